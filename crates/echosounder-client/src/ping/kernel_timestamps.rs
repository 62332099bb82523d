//! Timestamps and errors that the kernel reports about single packets.

use std::io::{self, IoSliceMut};
use std::time::Duration;

use echosounder_proto::{Moment, MonoTime, ProbePace, SendStage, Times, WallTime};
use echosounder_socket::internal::Timestamping;
use echosounder_socket::option::{self, TimestampingFlags};
use echosounder_socket::{
    Address, ControlMessage, ControlSpace, ExtendedError, MessageFlags, Socket, Transport,
};

/// Bytes of control messages: a `struct scm_timestamping`, an error with the address of its origin,
/// and others.
const CONTROL_SPACE: ControlSpace =
    ControlSpace::TIMESTAMPING.plus(ControlSpace::ERROR).plus(ControlSpace::TTL);

/// A kernel time that is further than this from the program's comes from a clock that was stepped
/// in between, and not from a program that stood still.
const APART_MAX: Duration = Duration::from_secs(60);

/// The origin of an error that this machine found in a packet that it was to send:
/// linux/errqueue.h.
const ORIGIN_LOCAL: u8 = 1;

/// The origin of an "error" that is the time of a send: linux/errqueue.h.
const ORIGIN_TIMESTAMPING: u8 = 4;

/// The type of an ICMP message by which a router names a better one and forwards the packet all the
/// same: RFC 792. Only ping sockets report it.
const ICMP_REDIRECT: u8 = 5;

/// The stages of a send whose times the kernel reports, as numbers of linux/errqueue.h.
const STAGE_SENT: u32 = 0;
const STAGE_QUEUED: u32 = 1;

/// The timestamps and errors that the kernel reports about the packets of a socket.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelTimestamps {
    /// When requests are sent.
    pub sends: bool,
    /// When replies arrive.
    pub receives: bool,
    /// Which requests were not delivered and why, rather than only that one was not.
    pub(super) errors: bool,
    /// The time to live or hop limit of replies.
    pub(super) ttl: bool,
}

/// Whose times of receiving replies count.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampSource {
    /// The kernel's, if it has any: on TCP and UDP sockets.
    #[default]
    Kernel,
    /// This program's, on every kind of socket, so that they can be compared.
    User,
}

impl TimestampSource {
    /// Returns whether the kernel timestamps what arrives over this transport.
    pub fn has_kernel(transport: Transport) -> bool {
        transport.timestamping() != Timestamping::None
    }
}

/// Data that has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Bytes in the buffer.
    pub(super) len: usize,
    /// When they arrived for the kernel, since the Unix epoch.
    pub(super) kernel: Option<Duration>,
    /// The time to live or hop limit on arrival.
    pub(super) ttl: Option<u8>,
}

/// An entry of the error queue.
#[derive(Debug)]
pub(super) enum ErrorQueueEvent {
    /// A packet has passed a stage of its transmission.
    Sent {
        /// Bytes of the packet with its headers, in the buffer.
        len: usize,
        /// The stage.
        stage: SendStage,
        /// When it passed that, by the wall clock.
        at: WallTime,
    },
    /// A packet was not delivered.
    Failed {
        /// Bytes of the packet that are quoted, in the buffer.
        len: usize,
        /// Why not.
        error: ExtendedError,
    },
    /// Something else, which the send returns itself.
    Other,
}

impl KernelTimestamps {
    /// Enables all that the kernel reports about the packets of such a socket, except timestamps
    /// that are not wanted. In a closed loop requests never wait for each other, and the times at
    /// which they are queued would cost a read of the error queue each.
    pub(super) fn enable(
        socket: &Socket,
        transport: Transport,
        address: &Address,
        source: TimestampSource,
        pace: ProbePace,
    ) -> Self {
        let can = |result: io::Result<()>| result.is_ok();
        let recverr = match address {
            Address::Inet6(_) => option::IPV6_RECVERR,
            _ => option::IP_RECVERR,
        };
        let errors = transport.has_error_queue() && can(socket.set_option(recverr, true));
        // IP_RECVTTL, ip(7), and IPV6_RECVHOPLIMIT, ipv6(7).
        let ttl = match (transport, address) {
            (Transport::Udp, Address::Inet6(_)) => can(socket.set_option(option::IPV6_RECVHOPLIMIT, true)),
            (Transport::Udp, _) => can(socket.set_option(option::IP_RECVTTL, true)),
            _ => false,
        };
        let receives = TimestampingFlags::RX_SOFTWARE | TimestampingFlags::SOFTWARE;
        let is_wanted = source == TimestampSource::Kernel;
        let timestamp = |flags| is_wanted && can(socket.set_option(option::SO_TIMESTAMPING, flags));
        match transport.timestamping() {
            Timestamping::None => Self { sends: false, receives: false, errors, ttl },
            Timestamping::Receive => Self { sends: false, receives: timestamp(receives), errors, ttl },
            Timestamping::SendAndReceive => {
                let sends = match pace {
                    ProbePace::Closed => TimestampingFlags::TX_SOFTWARE,
                    ProbePace::Open { .. } => TimestampingFlags::TX_SOFTWARE | TimestampingFlags::TX_SCHED,
                };
                // Times of sends arrive on the error queue.
                let sends = errors && timestamp(receives | sends);
                Self { sends, receives: sends || timestamp(receives), errors, ttl }
            }
        }
    }

    /// Returns what the kernel reports about connections that are closed when they are established:
    /// the round-trip time of a TCP handshake.
    pub(super) fn of_handshake(transport: Transport, source: TimestampSource) -> Self {
        let is_tcp = matches!(transport, Transport::Tcp | Transport::Mptcp);
        Self {
            sends: false,
            receives: is_tcp && source == TimestampSource::Kernel,
            errors: false,
            ttl: false,
        }
    }

    /// Receives, with what the kernel reports about the data as far as that was enabled.
    pub(super) fn receive(self, socket: &Socket, buffer: &mut [u8]) -> io::Result<Arrival> {
        if !self.receives && !self.ttl {
            return socket.recv(buffer).map(|len| Arrival { len, kernel: None, ttl: None });
        }
        let message = socket.recv_msg(&mut [IoSliceMut::new(buffer)], CONTROL_SPACE, MessageFlags::NONE)?;
        let kernel = message.control.iter().find_map(software_time);
        Ok(Arrival { len: message.len, kernel, ttl: message.ttl() })
    }

    /// Takes the next entry of the error queue.
    pub(super) fn next_error(
        self,
        socket: &Socket,
        buffer: &mut [u8],
    ) -> io::Result<Option<ErrorQueueEvent>> {
        if !self.errors {
            return Ok(None);
        }
        let message =
            match socket.recv_msg(&mut [IoSliceMut::new(buffer)], CONTROL_SPACE, MessageFlags::ERRQUEUE) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                result => result?,
            };
        let at = message.control.iter().find_map(software_time);
        let error = message.error().cloned();
        Ok(match (at, error) {
            (Some(at), Some(error)) if error.origin == ORIGIN_TIMESTAMPING => {
                let stage = match error.info {
                    STAGE_SENT => SendStage::Sent,
                    STAGE_QUEUED => SendStage::Queued,
                    _ => return Ok(Some(ErrorQueueEvent::Other)),
                };
                Some(ErrorQueueEvent::Sent { len: message.len, stage, at: wall(at) })
            }
            (_, Some(error)) if error.origin == ExtendedError::ORIGIN_ICMP && error.kind == ICMP_REDIRECT => {
                Some(ErrorQueueEvent::Other)
            }
            (_, Some(error)) if error.origin != ORIGIN_LOCAL => {
                Some(ErrorQueueEvent::Failed { len: message.len, error })
            }
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

/// Returns the times of a receive from the program's time and perhaps the kernel's.
pub(super) fn rx_times(program: Moment, kernel: Option<Duration>) -> Times {
    let earlier = |kernel: WallTime| {
        let ago = program.wall.as_nanos().checked_sub(kernel.as_nanos()).map(Duration::from_nanos)?;
        let mono = Duration::from_nanos(program.mono.as_nanos()).checked_sub(ago)?;
        (ago <= APART_MAX).then(|| Moment { wall: kernel, mono: MonoTime::from_origin(mono) })
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
    fn the_kernel_time_is_nearer_to_the_wire() {
        let program = moment(5_000_000_000, 700_000);
        let times = rx_times(program, Some(Duration::from_nanos(4_999_990_000)));
        assert_eq!(times.best(), moment(4_999_990_000, 690_000));
        assert_eq!(times.difference(), Some(Duration::from_micros(10)));
    }

    #[test]
    fn an_impossible_kernel_time_is_ignored() {
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
