//! What the kernel tells of packets: when they left and rx_times, and what became of those that found nobody.

use std::io::{self, IoSliceMut};
use std::time::Duration;

use echosounder_proto::{Moment, MonoTime, Times, WallTime};
use echosounder_socket::option::{
    self, SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE, SOF_TIMESTAMPING_TX_SOFTWARE,
};
use echosounder_socket::{
    Address, ControlMessage, ExtendedError, MessageFlags, Socket, Transport, control_space,
};

/// Room for a `struct scm_timestamping`, an error and its origin's address, and what else may come with them.
const CONTROL: usize = control_space(48) + control_space(64) + control_space(64);

/// A time of the kernel's that is further than this from the program's is by a clock that was stepped in between, rather than
/// of a program that stood still.
const APART: Duration = Duration::from_secs(60);

/// Of an error: who found it, linux/errqueue.h. This machine did, of what it was to send.
const ORIGIN_LOCAL: u8 = 1;

/// It is the time of a send.
const ORIGIN_TIMESTAMPING: u8 = 4;

/// What a socket's kernel was asked to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelTimestamps {
    /// When calls leave.
    pub sends: bool,
    /// When answers come.
    pub receives: bool,
    /// Which calls were refused, and why, rather than only that something was.
    pub(crate) errors: bool,
}

/// Which times of receipt count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampSource {
    /// The kernel's, where it takes any: TCP and UDP.
    #[default]
    Kernel,
    /// This program's, on every kind of socket, so that they can be compared.
    User,
}

impl TimestampSource {
    /// Whether the kernel takes the time of what comes over this transport.
    pub fn has_kernel(transport: Transport) -> bool {
        matches!(transport, Transport::Tcp | Transport::Udp)
    }
}

/// What the queue of errors holds.
#[derive(Debug)]
pub(crate) enum ErrorQueueEvent {
    /// The kernel has sent a packet.
    Sent {
        /// Bytes of the packet with its headers, in the buffer.
        len: usize,
        /// When it was sent, by the wall clock.
        at: WallTime,
    },
    /// A packet was not delivered.
    Failed {
        /// Bytes of the packet that are quoted, in the buffer.
        len: usize,
        error: ExtendedError,
    },
    /// Something else, which the send itself tells.
    Other,
}

impl KernelTimestamps {
    /// Asks the kernel for all that it tells of such a socket, but for times that are not wanted.
    pub(crate) fn ask(
        socket: &Socket,
        transport: Transport,
        address: &Address,
        timestamps: TimestampSource,
    ) -> Self {
        let recverr = match address {
            Address::Inet(_) => option::IP_RECVERR,
            Address::Inet6(_) => option::IPV6_RECVERR,
            _ => return Self::default(),
        };
        let can = |result: io::Result<()>| result.is_ok();
        let (rx, report) = (SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE);
        let wanted = timestamps == TimestampSource::Kernel;
        let stamp = |flags| wanted && can(socket.set_option(option::SO_TIMESTAMPING, flags));
        match transport {
            Transport::Udp => {
                let errors = can(socket.set_option(recverr, true));
                // Times of sends come by the queue of errors.
                let sends = errors && stamp(rx | report | SOF_TIMESTAMPING_TX_SOFTWARE);
                Self { sends, receives: sends || stamp(rx | report), errors }
            }
            Transport::Tcp => Self { receives: stamp(rx | report), ..Self::default() },
            _ => Self::default(),
        }
    }

    /// Receives, and says when it rx_times, if that was asked for and is known.
    pub(crate) fn receive(self, socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, Option<Duration>)> {
        if !self.receives {
            return socket.recv(buffer).map(|len| (len, None));
        }
        let message = socket.recv_msg(&mut [IoSliceMut::new(buffer)], CONTROL, MessageFlags::NONE)?;
        Ok((message.len, message.control.iter().find_map(software_time)))
    }

    /// What has come by the queue of errors next.
    pub(super) fn next_error(
        self,
        socket: &Socket,
        buffer: &mut [u8],
    ) -> io::Result<Option<ErrorQueueEvent>> {
        if !self.errors {
            return Ok(None);
        }
        let message = match socket.recv_msg(&mut [IoSliceMut::new(buffer)], CONTROL, MessageFlags::ERRQUEUE) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            result => result?,
        };
        let len = message.len.min(buffer.len());
        let at = message.control.iter().find_map(software_time);
        let error = message.control.iter().find_map(|control| match control {
            ControlMessage::Error(error) => Some(error.clone()),
            _ => None,
        });
        Ok(match (at, error) {
            (Some(at), Some(error)) if error.origin == ORIGIN_TIMESTAMPING => {
                Some(ErrorQueueEvent::Sent { len, at: wall(at) })
            }
            (_, Some(error)) if error.origin != ORIGIN_LOCAL => Some(ErrorQueueEvent::Failed { len, error }),
            _ => Some(ErrorQueueEvent::Other),
        })
    }
}

fn software_time(control: &ControlMessage) -> Option<Duration> {
    match control {
        ControlMessage::Timestamping { software, .. } => *software,
        _ => None,
    }
}

/// When something rx_times, of which the program and perhaps the kernel have taken the time.
pub(crate) fn rx_times(program: Moment, kernel: Option<Duration>) -> Times {
    let earlier = |kernel: WallTime| {
        let ago = program.wall.as_nanos().checked_sub(kernel.as_nanos()).map(Duration::from_nanos)?;
        let mono = Duration::from_nanos(program.mono.as_nanos()).checked_sub(ago)?;
        (ago <= APART).then(|| Moment { wall: kernel, mono: MonoTime::from_origin(mono) })
    };
    Times { program, kernel: kernel.map(wall).and_then(earlier) }
}

fn wall(since_1970: Duration) -> WallTime {
    WallTime::from_nanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: u64, mono: u64) -> Moment {
        Moment { wall: WallTime::from_nanos(wall), mono: MonoTime::from_origin(Duration::from_nanos(mono)) }
    }

    #[test]
    fn the_kernel_is_nearer_to_the_wire_on_both_sides() {
        let program = moment(5_000_000_000, 700_000);
        let heard = rx_times(program, Some(Duration::from_nanos(4_999_990_000)));
        assert_eq!(heard.best(), moment(4_999_990_000, 690_000));
        assert_eq!(heard.difference(), Some(Duration::from_micros(10)));
    }

    #[test]
    fn a_time_that_cannot_be_is_none() {
        let program = moment(5_000_000_000, 2_000_000_000);
        // After it was received, a minute away, or before this program ran.
        assert_eq!(rx_times(program, Some(Duration::from_nanos(5_000_000_001))).kernel, None);
        assert_eq!(
            rx_times(moment(90_000_000_000, 80_000_000_000), Some(Duration::from_secs(29))).kernel,
            None
        );
        assert_eq!(
            rx_times(moment(5_000_000_000, 10), Some(Duration::from_nanos(4_999_999_000))).kernel,
            None
        );
        assert_eq!(rx_times(program, None), Times::of(program));
    }
}
