//! The measurement of one target: its prober, its link and its statistics.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::{
    Clock, FailureKind, LossReason, Moment, MonoTime, ProbeEvent, ProbeInput, ProbeOutput, Prober, Sample,
    TextEcho,
};
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{Address, IoBuffer, Kind, Poll, Socket, is_out_of_resources};

use super::connector::{ConnectOutcome, Connector};
use super::detail::Detail;
use super::directions::ClockRelation;
use super::event::{PingEvent, PingReply, ResolvedTarget};
use super::kernel_timestamps::{ErrorQueueEvent, rx_times};
use super::link::Link;
use super::plan::Ping;
use super::report::PingReport;
use super::statistics::Statistics;
use crate::clock::Deadline;
use crate::connect::Candidates;
use crate::error::{ClientError, Operation, is_about_earlier};
use crate::nonblocking::is_transient;
use crate::starvation::Starvation;

/// Most requests of a session before others have their turn, and most reads before requests are due
/// again.
const TURN_MAX: usize = 64;

/// How often an interval is reported; or every ten requests, if that takes longer.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What all sessions share.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock + Send + Sync>,
    pub(super) poll: Poll,
    pub(super) connector: Connector,
    /// How much the statistics of a session remember.
    pub(super) detail: Detail,
    /// What was received.
    pub(super) buffer: IoBuffer,
    /// The request that is sent.
    pub(super) message: Vec<u8>,
    pub(super) starvation: Starvation,
    /// What has happened and was not reported yet.
    pub(super) events: Vec<PingEvent>,
}

/// A target that requests are sent to.
#[derive(Debug)]
pub(super) struct Session {
    ping: Ping,
    index: usize,
    /// Addresses that were not tried, for as long as nothing has come of any request.
    candidates: Candidates,
    link: Link,
    prober: Prober<TextEcho>,
    statistics: Statistics,
    /// As it was reported last.
    clock: ClockRelation,
    /// When the target was looked up, from which the deadline counts.
    began: MonoTime,
    /// When the last interval was reported.
    reported_at: MonoTime,
}

impl Session {
    /// Begins to measure a target. Unless a single request is to be sent, a peer that cannot be
    /// reached yet is no error: it is tried again for the requests.
    ///
    /// Fails if the name has no address, if this machine fails, or, with a count of one, if the
    /// peer cannot be reached.
    pub(super) fn open(
        ping: Ping,
        index: usize,
        began: MonoTime,
        outcome: ConnectOutcome,
        context: &Context,
    ) -> Result<Self, ClientError> {
        let ConnectOutcome { candidates, first, result } = outcome;
        let now = context.clock.now();
        let is_past_deadline = ping.deadline.is_some_and(|deadline| deadline <= now.mono - began);
        let (socket, address) = match (result, first) {
            (Ok((socket, address)), _) => (Ok(socket), address),
            (Err(error), Some(first)) if !ping.is_single() && !is_past_deadline => match error.failure_kind()
            {
                Some(kind) => (Err(kind), first),
                None => return Err(error),
            },
            (Err(error), _) => return Err(error),
        };
        let Some(candidates) = candidates else { return Err(ClientError::Stopped) };
        let transport = ping.connect.endpoint.transport();
        let mut session = Self {
            index,
            candidates,
            link: Link::new(transport, address.clone(), index as u64),
            prober: Prober::new(ping.format(), ping.plan(began), now.mono),
            statistics: Statistics::new(ClockRelation::Free, false, now.mono, context.detail),
            clock: ClockRelation::Free,
            began,
            reported_at: now.mono,
            ping,
        };
        let failed = match socket {
            Ok(socket) => {
                session.link.connect(socket, address, session.ping.timestamps, &context.poll)?;
                None
            }
            Err(kind) => Some(kind),
        };
        session.start_over(now.mono, context.detail);
        if let Some(kind) = failed {
            session.prober.handle(ProbeInput::ConnectFailed { kind, at: now });
        }
        Ok(session)
    }

    /// Returns where the target is.
    pub(super) fn target(&self) -> ResolvedTarget {
        ResolvedTarget {
            endpoint: self.link.endpoint(),
            address: self.link.address.clone(),
            local: self.link.local.clone(),
            kernel: self.link.timestamps,
            clock: self.statistics.clock(),
        }
    }

    /// Returns the report so far.
    pub(super) fn report(&self) -> PingReport {
        self.statistics.report(self.prober.skipped())
    }

    /// Returns whether nothing more is to be done.
    pub(super) fn is_over(&self, now: MonoTime) -> bool {
        self.prober.is_over(now)
    }

    /// Returns when the next [turn](Self::turn) is due.
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        self.prober.deadline()
    }

    /// Receives what has come, and sends what is due.
    pub(super) fn turn(&mut self, is_ready: bool, context: &mut Context) -> Result<(), ClientError> {
        let mut has_received = is_ready;
        if is_ready {
            self.flush(context)?;
            self.receive(context)?;
        }
        let mut sends = 0;
        while sends < TURN_MAX {
            let now = context.clock.now();
            // A reply that waits in the socket may have arrived in time.
            if !has_received && self.prober.is_expiring(now.mono) {
                has_received = true;
                self.receive(context)?;
            }
            match self.prober.poll(now, &mut context.message) {
                None => break,
                Some(ProbeOutput::Event(event)) => self.record(event, context),
                Some(ProbeOutput::Connect) => self.connect(context)?,
                Some(ProbeOutput::Send { number }) => {
                    sends += 1;
                    self.send(number, now, context)?;
                }
            }
        }
        self.report_interval(context);
        Ok(())
    }

    /// Ends the measurement: what has come is counted, and nothing more is waited for.
    pub(super) fn finish(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let received = self.receive(context);
        let now = context.clock.now();
        self.prober.handle(ProbeInput::Stop { at: now.mono });
        while let Some(ProbeOutput::Event(event)) = self.prober.poll(now, &mut context.message) {
            self.record(event, context);
        }
        received
    }

    /// Takes the outcome of an attempt to connect that the prober has wanted.
    pub(super) fn connected(
        &mut self,
        outcome: ConnectOutcome,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        match outcome.result {
            Ok((socket, address)) => self.reconnected(socket, address, context),
            Err(ClientError::Stopped) => Ok(()),
            Err(error) => {
                let Some(kind) = error.failure_kind() else { return Err(error) };
                self.prober.handle(ProbeInput::ConnectFailed { kind, at: context.clock.now() });
                Ok(())
            }
        }
    }

    fn reconnected(
        &mut self,
        socket: Socket,
        address: Address,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        // A target that could not be reached at first has not been described yet.
        let is_first = self.link.local.is_none();
        let has_moved = self.link.address != address || is_first;
        self.link.connect(socket, address, self.ping.timestamps, &context.poll)?;
        self.prober.handle(ProbeInput::Connected);
        if !is_first {
            context.events.push(PingEvent::Reconnected);
        }
        if has_moved {
            self.clock = self.ping.clock.unwrap_or_else(|| self.likely_clock());
            self.statistics.moved(self.clock, self.ping.clock.is_none());
            context.events.push(PingEvent::Moved(Box::new(self.target())));
        }
        Ok(())
    }

    /// Begins to count, from now on.
    fn start_over(&mut self, now: MonoTime, detail: Detail) {
        let start = now + self.ping.start_delay;
        self.clock = self.ping.clock.unwrap_or_else(|| self.likely_clock());
        self.prober = Prober::new(self.ping.format(), self.ping.plan(self.began), start);
        self.statistics = Statistics::new(self.clock, self.ping.clock.is_none(), start, detail);
        self.reported_at = start;
    }

    /// Returns how the peer's clock relates to this machine's, as far as the addresses show.
    fn likely_clock(&self) -> ClockRelation {
        let is_local = match &self.link.address {
            Address::Unix(_) | Address::Netlink(_) => true,
            Address::Vsock(address) => address.cid == VsockAddress::CID_LOCAL,
            // A host that sends to itself does so from the address that it sends to.
            address => address.ip().is_some_and(|ip| {
                ip.is_loopback() || self.link.local.as_ref().and_then(Address::ip) == Some(ip)
            }),
        };
        if is_local { ClockRelation::Same } else { ClockRelation::Free }
    }

    fn connect(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let now = context.clock.mono();
        let left = self.prober.plan().end.map_or(self.ping.connect.wait, |end| end - now);
        let timeout = self.ping.connect.wait.min(left);
        match context.connector.connect(self.index, &self.ping.connect, timeout)? {
            Some(outcome) => self.connected(outcome, context),
            None => Ok(()),
        }
    }

    /// Sends the request in the message buffer.
    fn send(&mut self, number: u64, now: Moment, context: &mut Context) -> Result<(), ClientError> {
        let mut sent = self.link.send(&context.message, &context.poll);
        let is_datagram = self.link.transport.kind() == Kind::Datagrams;
        if is_datagram && sent.as_ref().is_err_and(|error| !is_transient(error)) {
            // The error may be about an earlier packet, of which the error queue says more: this
            // one has not been sent yet.
            if self.receive_errors(context)? {
                return Ok(());
            }
            sent = self.link.send(&context.message, &context.poll);
        }
        match sent {
            Ok(()) => {
                self.prober.handle(ProbeInput::Blocked(self.link.is_blocked()));
                Ok(())
            }
            Err(error) if is_transient(&error) => {
                let reason = LossReason::NotSent;
                self.prober.handle(ProbeInput::SendFailed { number, reason, at: now.mono });
                Ok(())
            }
            Err(error) => {
                let Some(kind) = self.link.failure_kind(Operation::Send, &error) else {
                    let reason = LossReason::NotSent;
                    self.prober.handle(ProbeInput::SendFailed { number, reason, at: now.mono });
                    return Err(self.link.error(Operation::Send, error));
                };
                self.fail(kind, context, |at| ProbeInput::SendFailed { number, reason: kind.into(), at })?;
                Ok(())
            }
        }
    }

    fn flush(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let flushed = self.link.flush(&context.poll);
        self.prober.handle(ProbeInput::Blocked(self.link.is_blocked()));
        flushed.or_else(|error| self.fail_by(Operation::Send, error, context))
    }

    /// Receives what has come.
    fn receive(&mut self, context: &mut Context) -> Result<(), ClientError> {
        self.receive_errors(context)?;
        let kind = self.link.transport.kind();
        for _ in 0..TURN_MAX {
            let Some(socket) = &self.link.socket else { return Ok(()) };
            let received = self.link.timestamps.receive(socket, &mut context.buffer);
            let program = context.clock.now();
            if !received.as_ref().is_err_and(is_out_of_resources) {
                context.starvation.end();
            }
            match received {
                Ok((0, _)) if kind != Kind::Datagrams => {
                    self.disconnect(FailureKind::Closed, context);
                    return Ok(());
                }
                Ok((len, kernel)) => {
                    let (bytes, at) = (&context.buffer[..len], rx_times(program, kernel));
                    self.prober.handle(ProbeInput::Received { bytes, at });
                }
                Err(error) if is_out_of_resources(&error) && context.starvation.rest(program.mono) => {
                    return Err(self.link.error(Operation::Receive, error));
                }
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) if self.link.transport.is_end(&error) => {
                    self.disconnect(FailureKind::Closed, context);
                }
                // It is about an earlier packet, and the error queue says which.
                Err(error) if self.link.timestamps.errors && is_about_earlier(kind, &error) => {
                    self.receive_errors(context)?;
                }
                Err(error) if is_about_earlier(kind, &error) => {
                    let kind = self.link.failure_kind(Operation::Receive, &error);
                    self.fail_undelivered(None, kind.unwrap_or(FailureKind::Unreachable), context)?;
                }
                Err(error) => return self.fail_by(Operation::Receive, error, context),
            }
        }
        Ok(())
    }

    /// Takes what the error queue holds. Returns whether all begins anew at another address.
    fn receive_errors(&mut self, context: &mut Context) -> Result<bool, ClientError> {
        loop {
            let Some(socket) = &self.link.socket else { return Ok(false) };
            let next = self.link.timestamps.next_error(socket, &mut context.buffer);
            match next.map_err(|error| self.link.error(Operation::ReceiveErrors, error))? {
                None => return Ok(false),
                Some(ErrorQueueEvent::Other) => {}
                Some(ErrorQueueEvent::Sent { len, at }) => {
                    let packet = &context.buffer[..len];
                    self.prober.handle(ProbeInput::Transmitted { packet, at });
                }
                Some(ErrorQueueEvent::Failed { len, error }) => {
                    let error = io::Error::from_raw_os_error(i32::try_from(error.errno).unwrap_or(0));
                    // Whatever a router has against a packet, there is no route for it.
                    let kind = self.link.failure_kind(Operation::Receive, &error);
                    let kind = kind.unwrap_or(FailureKind::Unreachable);
                    if self.fail_undelivered(Some(len), kind, context)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// The operation has failed, of the peer or of this machine.
    fn fail_by(
        &mut self,
        operation: Operation,
        error: io::Error,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        match self.link.failure_kind(operation, &error) {
            Some(kind) => self.fail_undelivered(None, kind, context).map(drop),
            None => Err(self.link.error(operation, error)),
        }
    }

    /// The request that the first bytes of the buffer quote was not delivered, or, without them,
    /// the oldest in flight. Returns whether all begins anew at another address.
    fn fail_undelivered(
        &mut self,
        quoted: Option<usize>,
        kind: FailureKind,
        context: &mut Context,
    ) -> Result<bool, ClientError> {
        if self.moves_on(kind, context)? {
            return Ok(true);
        }
        let (packet, at) = (quoted.map(|len| &context.buffer[..len]), context.clock.mono());
        self.prober.handle(ProbeInput::Undelivered { packet, kind, at });
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
        self.link.connect(socket, address, self.ping.timestamps, &context.poll)?;
        self.start_over(now, context.detail);
        context.events.push(PingEvent::Moved(Box::new(self.target())));
        Ok(true)
    }

    /// Where there are no hosts, a datagram socket stays with the very socket that it was connected
    /// to.
    fn disconnect_without_hosts(&mut self, kind: FailureKind, context: &Context) {
        let transport = self.link.transport;
        if transport.kind() != Kind::Datagrams || !transport.has_hosts() {
            self.disconnect(kind, context);
        }
    }

    fn disconnect(&mut self, kind: FailureKind, context: &Context) {
        if self.link.disconnect() {
            self.prober.handle(ProbeInput::Disconnected { kind, at: context.clock.mono() });
        }
    }

    fn record(&mut self, event: ProbeEvent, context: &mut Context) {
        let event = match event {
            ProbeEvent::Replied { sample, given_up } => self.replied(&sample, false, given_up, context),
            ProbeEvent::Late { sample, given_up } => self.replied(&sample, true, Some(given_up), context),
            ProbeEvent::Duplicate(number) => {
                self.statistics.duplicate();
                PingEvent::Duplicate(number)
            }
            ProbeEvent::Lost { number, sent, reason, at } => {
                self.statistics.lost(reason, sent.mono, at);
                PingEvent::Lost { number, sent: sent.wall, reason }
            }
            // A socket that receives from any sender receives what is not meant for it.
            ProbeEvent::Unexpected if self.link.transport.receives_from_any() => return,
            ProbeEvent::Unexpected => {
                self.statistics.unexpected();
                PingEvent::Unexpected
            }
            ProbeEvent::Disconnected => PingEvent::Disconnected,
        };
        context.events.push(event);
    }

    fn replied(
        &mut self,
        sample: &Sample,
        late: bool,
        given_up: Option<LossReason>,
        context: &mut Context,
    ) -> PingEvent {
        let delay = self.statistics.replied(sample, late, given_up);
        let clock = self.statistics.clock();
        if clock != self.clock {
            self.clock = clock;
            context.events.push(PingEvent::ClockContradicted);
        }
        if let Some(next) = self.prober.due()
            && let Some(phase) = self.statistics.edge(next, sample.rtt())
        {
            self.prober.aim(phase);
        }
        PingEvent::Replied(PingReply {
            number: sample.number,
            sent: sample.sent.program.wall,
            rtt: sample.rtt(),
            delay,
            residence: sample.residence(),
            clock,
            late,
            reordered: sample.reordered,
        })
    }

    fn report_interval(&mut self, context: &mut Context) {
        let now = context.clock.mono();
        let ten = self.ping.pace.interval().unwrap_or_default().saturating_mul(10);
        if INTERVAL_MIN.max(ten) <= now - self.reported_at {
            self.reported_at = now;
            context.events.push(PingEvent::Interval(Box::new(self.statistics.take_interval())));
        }
    }
}
