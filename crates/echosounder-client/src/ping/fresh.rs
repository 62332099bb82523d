//! Measuring connection setup: a new connection for each request, closed when it is established.

use std::io;
use std::time::Duration;

use echosounder_proto::{FailureKind, LossReason, LossReport, Moment, ProbeInput, Times};
use echosounder_socket::{Address, Interest, Socket, Transport, option};

use super::context::Context;
use super::event::PingEvent;
use super::fresh_sockets::{FreshSockets, PENDING_MAX, Pending};
use super::session::Session;
use crate::connect::{connect_result, start_to_connect};
use crate::error::{ClientError, Operation};
use crate::nonblocking::would_block;

/// Measuring connection setup.
impl Session {
    /// Connects a new socket for a request that is due `now`.
    pub(super) fn send_connection(
        &mut self,
        number: u64,
        now: Moment,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        let Some(fresh) = &mut self.fresh else { return Ok(()) };
        if PENDING_MAX <= fresh.pending.len() {
            let reason = LossReason::NotSent;
            self.prober.handle(ProbeInput::SendFailed {
                number,
                reason,
                report: LossReport::default(),
                at: now.mono,
            });
            return Ok(());
        }
        let address = &self.link.address;
        let socket = match fresh.next.take() {
            Some(socket) => socket,
            None => self.candidates.socket(address)?,
        };
        let sent = context.clock.now();
        let started = start_to_connect(&socket, address);
        self.prober.handle(ProbeInput::Sent { number, at: sent });
        match started {
            Ok(true) => self.established(number, socket, sent, context.clock.now()),
            Ok(false) => {
                let added = fresh.poll.add(&socket, number, Interest::WRITE);
                added.map_err(|error| self.link.error(Operation::Wait, error))?;
                fresh.pending.insert(number, Pending { socket, sent });
            }
            // The queue of the listener is full, and no event shows when it no longer is: unix(7).
            Err(error) if matches!(address, Address::Unix(_)) && would_block(&error) => {}
            Err(error) => {
                self.connection_failed(number, error, true, context)?;
            }
        }
        // A socket that cannot be created now fails the next request.
        if let Some(fresh) = self.fresh.as_mut().filter(|fresh| fresh.next.is_none()) {
            fresh.next = self.candidates.socket(&self.link.address).ok();
        }
        Ok(())
    }

    /// Takes the connections that are established or have failed.
    pub(super) fn receive_connections(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let Some(fresh) = &mut self.fresh else { return Ok(()) };
        let ready = fresh.take_ready().map_err(|error| self.link.error(Operation::Wait, error))?;
        for (number, Pending { socket, sent }) in ready {
            let at = context.clock.now();
            match connect_result(&socket) {
                Ok(()) => self.established(number, socket, sent, at),
                Err(error) => {
                    if self.connection_failed(number, error, false, context)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection was established at `at` for the program.
    fn established(&mut self, number: u64, socket: Socket, sent: Moment, at: Moment) {
        let handshake = match self.link.timestamps.receives {
            true => handshake(&socket, self.link.transport),
            false => None,
        };
        self.prober.handle(ProbeInput::Completed { number, at: times(sent, handshake, at) });
        if let Some(fresh) = &self.fresh {
            fresh.probe.close(socket);
        }
    }

    /// A connection could not be made: connect(2) has failed, `immediately` or later. Returns whether
    /// the session starts again at another address.
    fn connection_failed(
        &mut self,
        number: u64,
        error: io::Error,
        immediately: bool,
        context: &mut Context,
    ) -> Result<bool, ClientError> {
        let error = self.candidates.classify(&self.link.address, error);
        let at = context.clock.mono();
        let Some(kind) = error.failure_kind() else {
            let reason = LossReason::NotSent;
            self.prober.handle(ProbeInput::SendFailed { number, reason, report: LossReport::default(), at });
            // The chosen port is in use by the connection of an earlier request.
            let is_port = self.ping.connect.source_port.is_some();
            let is_busy = is_port && error.kind() == io::ErrorKind::AddrNotAvailable;
            return if is_busy { Ok(false) } else { Err(error) };
        };
        if self.moves_to_next(kind, context) {
            return Ok(true);
        }
        // Without an answer a connect(2) fails at once if no route leads to the peer.
        let is_answered = kind == FailureKind::Refused || !immediately;
        self.prober.handle(match is_answered {
            true => ProbeInput::Rejected { number, kind, at },
            false => {
                ProbeInput::SendFailed { number, reason: kind.into(), report: LossReport::default(), at }
            }
        });
        Ok(false)
    }

    /// Starts again at the next address of the name, if the first connection has failed.
    fn moves_to_next(&mut self, kind: FailureKind, context: &mut Context) -> bool {
        if kind == FailureKind::Timeout || !self.prober.has_no_outcome() {
            return false;
        }
        let Some(address) = self.candidates.next_address() else { return false };
        self.link.address = address;
        self.fresh.iter_mut().for_each(FreshSockets::clear);
        self.start_over(context.clock.mono(), context.detail);
        context.events.push(PingEvent::Moved { from: None, to: Box::new(self.target()) });
        true
    }

    /// Connects to the new address of the name from now on.
    pub(super) fn connect_elsewhere(&mut self, context: &mut Context) {
        let Some(address) = self.candidates.next_address() else { return };
        let from = Some(std::mem::replace(&mut self.link.address, address));
        self.fresh.iter_mut().for_each(|fresh| fresh.next = None);
        context.events.push(PingEvent::Moved { from, to: Box::new(self.target()) });
    }
}

/// The kernel's measurement of a TCP handshake.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    /// From the SYN to its acknowledgement.
    rtt: Duration,
    /// Whether the SYN was sent more than once.
    is_retransmitted: bool,
}

/// Returns the kernel's measurement of the handshake of an established connection. It is not valid
/// for other transports.
fn handshake(socket: &Socket, transport: Transport) -> Option<Handshake> {
    if !matches!(transport, Transport::Tcp | Transport::Mptcp) {
        return None;
    }
    let info = socket.option(option::TCP_INFO).ok()?;
    Some(Handshake { rtt: info.rtt, is_retransmitted: info.total_retrans != 0 })
}

/// Returns when a connection was established: `at` for the program, and for the kernel so long after
/// the request as it has measured. After a retransmission the kernel measures from the last SYN, or
/// in milliseconds by timestamps of TCP, so that only the program's time is right.
fn times(sent: Moment, handshake: Option<Handshake>, at: Moment) -> Times {
    let measured = handshake.filter(|handshake| !handshake.is_retransmitted && !handshake.rtt.is_zero());
    let kernel =
        measured.map(|Handshake { rtt, .. }| Moment { wall: sent.wall + rtt, mono: sent.mono + rtt });
    Times { program: at, kernel: kernel.filter(|kernel| kernel.mono <= at.mono) }
}

#[cfg(test)]
mod tests {
    use echosounder_proto::{MonoTime, WallTime};

    use super::*;

    fn moment(micros: u64) -> Moment {
        let mono = MonoTime::from_origin(Duration::from_micros(micros));
        Moment { wall: WallTime::from_nanos(1_795_346_376_000_000_000 + micros * 1000), mono }
    }

    #[test]
    fn the_kernel_measures_a_handshake_without_retransmissions() {
        let handshake = |micros, is_retransmitted| {
            Some(Handshake { rtt: Duration::from_micros(micros), is_retransmitted })
        };
        let kernel = |handshake| times(moment(100), handshake, moment(180)).kernel;
        assert_eq!(kernel(handshake(50, false)), Some(moment(150)));
        // Neither a retransmission, nor a kernel without the measurement, nor one that contradicts
        // the clock counts.
        for other in [handshake(50, true), handshake(0, false), handshake(81, false), None] {
            assert_eq!(kernel(other), None, "{other:?}");
        }
        assert_eq!(times(moment(100), None, moment(180)), Times::of(moment(180)));
    }
}
