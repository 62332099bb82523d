//! Sending and receiving in a session, and the failures of both.

use std::io;

use echosounder_proto::{
    FailureKind, IcmpError, IcmpVersion, LossReason, LossReport, Moment, MonoTime, ProbeFormat, ProbeInput,
};
use echosounder_socket::{Address, ExtendedError, Kind, is_out_of_resources};

use super::context::Context;
use super::event::PingEvent;
use super::kernel_timestamps::{Arrival, ErrorQueueEvent, rx_times};
use super::session::Session;
use crate::clock::Deadline;
use crate::error::{ClientError, Operation, is_about_earlier};
use crate::nonblocking::{is_transient, would_block};

/// Most reads of a session before requests are due again.
const READS_MAX: usize = 64;

impl Session {
    /// Sends the request in the message buffer.
    pub(super) fn send(
        &mut self,
        number: u64,
        now: Moment,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        if self.fresh.is_some() {
            return self.send_connection(number, now, context);
        }
        // Segments that were retransmitted since the last reply delay no request that is sent now.
        if self.prober.in_flight() == 1
            && let Some(now) = self.link.tcp()
        {
            self.tcp.read(now);
        }
        let mut at = context.clock.now();
        let mut sent = self.link.send(&context.message, &context.poll);
        let is_datagram = self.link.transport.kind() == Kind::Datagrams;
        if is_datagram && sent.as_ref().is_err_and(|error| !is_transient(error)) {
            // The error may be about an earlier packet, and this one unsent: the error queue has
            // the details.
            if self.receive_errors(context)? {
                return Ok(());
            }
            at = context.clock.now();
            sent = self.link.send(&context.message, &context.poll);
        }
        match sent {
            Ok(()) => {
                self.prober.handle(ProbeInput::Sent { number, at });
                self.prober.handle(ProbeInput::Blocked(self.link.is_blocked()));
                Ok(())
            }
            Err(error) if is_transient(&error) => {
                self.not_sent(number, LossReason::NotSent, LossReport::default(), now.mono);
                Ok(())
            }
            Err(error) => self.send_failed(number, error, now.mono, context),
        }
    }

    /// Takes an error of a send that is no lack of memory.
    fn send_failed(
        &mut self,
        number: u64,
        error: io::Error,
        now: MonoTime,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        let mut report = LossReport::default();
        report.path_mtu = self.link.exceeded_mtu(&error);
        if report.path_mtu.is_some() {
            self.not_sent(number, LossReason::TooLong, report, now);
            return Ok(());
        }
        let Some(kind) = self.link.failure_kind(Operation::Send, &error) else {
            self.not_sent(number, LossReason::NotSent, report, now);
            return Err(self.link.error(Operation::Send, error));
        };
        self.fail(kind, context, |at| ProbeInput::SendFailed { number, reason: kind.into(), report, at })
    }

    fn not_sent(&mut self, number: u64, reason: LossReason, report: LossReport, at: MonoTime) {
        self.prober.handle(ProbeInput::SendFailed { number, reason, report, at });
    }

    pub(super) fn flush(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let flushed = self.link.flush(&context.poll);
        self.prober.handle(ProbeInput::Blocked(self.link.is_blocked()));
        match flushed {
            Err(error) if is_out_of_resources(&error) => self
                .send_starvation
                .rest(context.clock.mono(), error)
                .map_err(|error| self.link.error(Operation::Send, error)),
            flushed => {
                self.send_starvation.end();
                flushed.or_else(|error| self.fail_by(Operation::Send, error, context))
            }
        }
    }

    /// Receives the replies that have arrived.
    pub(super) fn receive(&mut self, context: &mut Context) -> Result<(), ClientError> {
        if self.fresh.is_some() {
            return self.receive_connections(context);
        }
        self.receive_errors(context)?;
        let kind = self.link.transport.kind();
        for _ in 0..READS_MAX {
            let Some(socket) = &self.link.socket else { return Ok(()) };
            let received = self.link.timestamps.receive(socket, &mut context.buffer);
            let program = context.clock.now();
            if !received.as_ref().is_err_and(is_out_of_resources) {
                self.receive_starvation.end();
            }
            match received {
                Ok(Arrival { len: 0, .. }) if kind != Kind::Datagrams => {
                    self.disconnect(FailureKind::Closed, context);
                    return Ok(());
                }
                Ok(Arrival { len, kernel, ttl }) => {
                    let (bytes, at) = (&context.buffer[..len], rx_times(program, kernel));
                    self.prober.handle(ProbeInput::Received { bytes, at });
                    while ttl.is_some()
                        && let Some(event) = self.prober.take_event()
                    {
                        self.record(event, ttl, context);
                    }
                }
                Err(error) if is_out_of_resources(&error) => {
                    let rested = self.receive_starvation.rest(program.mono, error);
                    return rested.map_err(|error| self.link.error(Operation::Receive, error));
                }
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) if self.link.transport.is_end(&error) => {
                    self.disconnect(FailureKind::Closed, context);
                }
                // It is about an earlier packet, which the error queue names.
                Err(error) if self.link.timestamps.errors && is_about_earlier(kind, &error) => {
                    self.receive_errors(context)?;
                }
                Err(error) if is_about_earlier(kind, &error) => {
                    let kind = self.link.failure_kind(Operation::Receive, &error);
                    let kind = kind.unwrap_or(FailureKind::Unreachable);
                    self.fail_undelivered(None, kind, LossReport::default(), context)?;
                }
                Err(error) => return self.fail_by(Operation::Receive, error, context),
            }
        }
        Ok(())
    }

    /// Takes the events of the error queue, so many that a flood of them cannot hold up the session.
    /// Returns whether the session starts again at another address.
    fn receive_errors(&mut self, context: &mut Context) -> Result<bool, ClientError> {
        for _ in 0..READS_MAX {
            let Some(socket) = &self.link.socket else { return Ok(false) };
            let next = match self.link.timestamps.next_error(socket, &mut context.buffer) {
                // The entry stays in the queue. A receive shows whether the lack of memory lasts.
                Err(error) if is_transient(&error) => return Ok(false),
                next => next,
            };
            match next.map_err(|error| self.link.error(Operation::ReceiveErrors, error))? {
                None => return Ok(false),
                Some(ErrorQueueEvent::Other) => {}
                Some(ErrorQueueEvent::Sent { len, stage, at }) => {
                    let packet = &context.buffer[..len];
                    self.prober.handle(ProbeInput::Transmitted { packet, stage, at });
                }
                Some(ErrorQueueEvent::Failed { len, error }) => {
                    if self.fail_quoted(len, &error, context)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The network has reported an error about the request that the first bytes of the buffer quote.
    /// Returns whether the session starts again at another address.
    fn fail_quoted(
        &mut self,
        len: usize,
        error: &ExtendedError,
        context: &mut Context,
    ) -> Result<bool, ClientError> {
        let report = report(error);
        let is_ours =
            || self.prober.format().find(&context.buffer[..len], self.prober.requests() + 1).is_some();
        // A raw socket also receives the errors about other programs.
        if self.link.receives_from_any() && !is_ours() {
            return Ok(false);
        }
        if report.path_mtu.is_some() {
            let (packet, at) = (Some(&context.buffer[..len]), context.clock.mono());
            let reason = LossReason::TooLong;
            self.prober.handle(ProbeInput::Undelivered { packet, reason, report, at });
            return Ok(false);
        }
        // A router that rejects a packet for another reason has no route for it.
        let kind = self.link.failure_kind(Operation::Receive, &error.to_io_error());
        self.fail_undelivered(Some(len), kind.unwrap_or(FailureKind::Unreachable), report, context)
    }

    /// The operation has failed, of the peer or of this machine.
    fn fail_by(
        &mut self,
        operation: Operation,
        error: io::Error,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        match self.link.failure_kind(operation, &error) {
            Some(kind) => self.fail_undelivered(None, kind, LossReport::default(), context).map(drop),
            None => Err(self.link.error(operation, error)),
        }
    }

    /// The request that the first bytes of the buffer quote was not delivered, or, without them,
    /// the oldest in flight. Returns whether all begins anew at another address.
    fn fail_undelivered(
        &mut self,
        quoted: Option<usize>,
        kind: FailureKind,
        report: LossReport,
        context: &mut Context,
    ) -> Result<bool, ClientError> {
        if self.moves_on(kind, context)? {
            return Ok(true);
        }
        let (packet, at) = (quoted.map(|len| &context.buffer[..len]), context.clock.mono());
        self.prober.handle(ProbeInput::Undelivered { packet, reason: kind.into(), report, at });
        self.disconnect_without_hosts(kind, context);
        Ok(false)
    }

    fn fail(
        &mut self,
        kind: FailureKind,
        context: &mut Context,
        input: impl FnOnce(MonoTime) -> ProbeInput<'static>,
    ) -> Result<(), ClientError> {
        if !self.moves_on(kind, context)? {
            self.prober.handle(input(context.clock.mono()));
            self.disconnect_without_hosts(kind, context);
        }
        Ok(())
    }

    /// Begins anew at the next address of the name, if the first request to a datagram socket was
    /// refused.
    fn moves_on(&mut self, kind: FailureKind, context: &mut Context) -> Result<bool, ClientError> {
        let is_refused = kind == FailureKind::Refused && self.link.transport.kind() == Kind::Datagrams;
        if !is_refused || !self.prober.has_no_outcome() {
            return Ok(false);
        }
        let now = context.clock.mono();
        let Some(Ok((socket, address))) =
            self.candidates.connect(Deadline::after(now, self.ping.connect.wait))
        else {
            return Ok(false);
        };
        self.link.connect(socket, address, &self.ping, &context.poll)?;
        self.start_over(now, context.detail);
        context.events.push(PingEvent::Moved { from: None, to: Box::new(self.target()) });
        Ok(true)
    }

    /// Disconnects a datagram socket of a family without hosts: it would stay connected to a socket
    /// that is gone, even after another socket has bound the address.
    fn disconnect_without_hosts(&mut self, kind: FailureKind, context: &Context) {
        let transport = self.link.transport;
        if transport.kind() != Kind::Datagrams || !transport.has_hosts() {
            self.disconnect(kind, context);
        }
    }

    pub(super) fn disconnect(&mut self, kind: FailureKind, context: &Context) {
        let last = self.link.tcp();
        if self.link.disconnect() {
            last.map(|last| self.tcp.read(last));
            self.tcp.disconnected();
            self.prober.handle(ProbeInput::Disconnected { kind, at: context.clock.mono() });
        }
    }
}

/// Returns what an entry of the error queue shows about a loss.
fn report(error: &ExtendedError) -> LossReport {
    let version = match error.origin {
        ExtendedError::ORIGIN_ICMP => Some(IcmpVersion::V4),
        ExtendedError::ORIGIN_ICMP6 => Some(IcmpVersion::V6),
        _ => None,
    };
    let mut report = LossReport::default();
    report.error = version.map(|version| IcmpError { version, kind: error.kind, code: error.code });
    report.from = error.offender.as_ref().and_then(Address::ip);
    report.path_mtu = error.path_mtu();
    report
}
