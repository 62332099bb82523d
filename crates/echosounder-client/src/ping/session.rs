//! The measurement of one target: its prober, its link and its statistics.

use std::time::Duration;

use echosounder_proto::{LossReason, MonoTime, ProbeEvent, ProbeInput, ProbeOutput, Prober, Sample};
use echosounder_socket::{Address, Locality, Socket};

use super::connector::ConnectOutcome;
use super::context::Context;
use super::detail::Detail;
use super::directions::ClockRelation;
use super::event::{PingEvent, PingReply, ResolvedTarget};
use super::format::Format;
use super::fresh_sockets::FreshSockets;
use super::kernel_timestamps::KernelTimestamps;
use super::link::Link;
use super::plan::PingOptions;
use super::probe::Probe;
use super::report::PingReport;
use super::resolve_schedule::ResolveSchedule;
use super::seen::RequestHeader;
use super::statistics::Statistics;
use super::tcp_watch::TcpWatch;
use crate::connect::{Candidates, ConnectProbe};
use crate::error::{ClientError, Operation};
use crate::starvation::Starvation;

/// Most requests of a session before others have their turn.
const SENDS_MAX: usize = 64;

/// How often an interval is reported; or every ten requests, if that takes longer.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A target that requests are sent to.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) ping: PingOptions,
    pub(super) index: usize,
    /// Addresses that were not tried, for as long as nothing has come of any request.
    pub(super) candidates: Candidates,
    pub(super) link: Link,
    pub(super) prober: Prober<Format>,
    statistics: Statistics,
    pub(super) tcp: TcpWatch,
    /// When the name is looked up again; `None` if the endpoint has no name.
    pub(super) resolve: Option<ResolveSchedule>,
    /// Whether the connection was closed here to move to the new address of the name.
    pub(super) is_moving: bool,
    /// As it was reported last.
    clock: ClockRelation,
    /// When the target was looked up, from which the deadline counts.
    began: MonoTime,
    /// From then to the first reply.
    up_after: Option<Duration>,
    /// When the last interval was reported.
    reported_at: MonoTime,
    /// Sends of a stream's remaining bytes that lack memory.
    pub(super) send_starvation: Starvation,
    pub(super) receive_starvation: Starvation,
    /// The sockets of requests that are connections; the link is then not connected.
    pub(super) fresh: Option<FreshSockets>,
}

impl Session {
    /// Begins to measure a target. If more than one request is planned, an unreachable peer is no
    /// error yet: each request tries to connect again.
    ///
    /// Fails if the name has no address, if this machine fails, or, with a count of one, if the
    /// peer cannot be reached.
    pub(super) fn open(
        ping: PingOptions,
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
        let mut session = Self::new(ping, index, began, candidates, address.clone(), context);
        let failed = match socket {
            Ok(socket) => {
                session.link.connect(socket, address, &session.ping, &context.poll)?;
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

    /// Begins to measure how long connections take to a target that was looked up.
    ///
    /// Fails if the name has no address, or if this machine fails.
    pub(super) fn open_fresh(
        ping: PingOptions,
        index: usize,
        began: MonoTime,
        looked_up: Result<Candidates, ClientError>,
        context: &Context,
    ) -> Result<Self, ClientError> {
        let mut candidates = looked_up?;
        let Some(address) = candidates.next_address() else {
            return Err(ClientError::timeout(Operation::Resolve, &ping.connect.endpoint));
        };
        let probe = match ping.probe {
            Probe::Connect(probe) => probe,
            _ => ConnectProbe::default(),
        };
        let mut session = Self::new(ping, index, began, candidates, address, context);
        let fresh = FreshSockets::new(probe, &context.poll, index as u64);
        session.fresh = Some(fresh.map_err(|error| session.link.error(Operation::Wait, error))?);
        let transport = session.link.transport;
        session.link.timestamps = KernelTimestamps::of_handshake(transport, session.ping.timestamps);
        session.start_over(context.clock.mono(), context.detail);
        Ok(session)
    }

    /// Creates a session that is not connected.
    fn new(
        ping: PingOptions,
        index: usize,
        began: MonoTime,
        candidates: Candidates,
        address: Address,
        context: &Context,
    ) -> Self {
        let (now, transport) = (context.clock.mono(), ping.connect.endpoint.transport());
        let link = Link::new(ping.probe.clone(), transport, address, index as u64);
        Self {
            index,
            candidates,
            prober: Prober::new(Format::new(&ping, &link), ping.plan(began), now),
            link,
            statistics: Statistics::new(ClockRelation::Free, false, now, context.detail),
            tcp: TcpWatch::default(),
            resolve: ping.has_name().then(|| ResolveSchedule::new(ping.resolve_every, now)),
            is_moving: false,
            clock: ClockRelation::Free,
            began,
            up_after: None,
            reported_at: now,
            send_starvation: Starvation::default(),
            receive_starvation: Starvation::default(),
            fresh: None,
            ping,
        }
    }

    /// Returns where the target is.
    pub(super) fn target(&self) -> ResolvedTarget {
        ResolvedTarget {
            endpoint: self.ping.labelled(self.link.endpoint()),
            address: self.link.address.clone(),
            local: self.link.local.clone(),
            kernel: self.link.timestamps,
            clock: self.statistics.clock(),
        }
    }

    /// Returns the report so far.
    pub(super) fn report(&self) -> PingReport {
        let mut report = self.statistics.report(self.prober.skipped());
        report.loss_direction = self.prober.format().loss_direction(report.lost.total());
        report.tcp = self.tcp.report(self.link.tcp());
        report.up_after = self.up_after;
        report
    }

    /// Returns whether the measurement has ended.
    pub(super) fn is_over(&self, now: MonoTime) -> bool {
        self.prober.is_over(now)
    }

    /// Returns when the next [turn](Self::turn) is due.
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        let resolve = self.resolve.and_then(|schedule| schedule.due());
        self.prober.deadline().into_iter().chain(resolve).min()
    }

    /// Receives the replies that have arrived, and sends the requests that are due.
    pub(super) fn turn(&mut self, is_ready: bool, context: &mut Context) -> Result<(), ClientError> {
        let mut has_received = is_ready;
        if is_ready {
            self.flush(context)?;
            self.receive(context)?;
        }
        let mut sends = 0;
        while sends < SENDS_MAX {
            let now = context.clock.now();
            let is_starving = self.receive_starvation.is_going_on();
            // A reply that waits in the socket may have arrived in time.
            if !has_received && (is_starving || self.prober.is_expiring(now.mono)) {
                has_received = true;
                self.receive(context)?;
            }
            // Nothing is known about replies that this machine cannot receive.
            if self.receive_starvation.is_going_on() {
                break;
            }
            match self.prober.poll(now, &mut context.message) {
                None => break,
                Some(ProbeOutput::Event(event)) => self.record(event, None, context),
                Some(ProbeOutput::Connect) => self.connect(context)?,
                Some(ProbeOutput::Send { number }) => {
                    sends += 1;
                    self.send(number, now, context)?;
                }
            }
        }
        self.follow_name(context)?;
        self.report_interval(context);
        Ok(())
    }

    /// Ends the measurement: replies that have arrived count, and no further reply is awaited.
    ///
    /// If this machine `has_failed`, or fails now, nothing is known about requests in flight, so
    /// they do not count.
    pub(super) fn finish(&mut self, has_failed: bool, context: &mut Context) -> Result<(), ClientError> {
        let received = self.receive(context).and_then(|()| self.check_starvation());
        let now = context.clock.now();
        let is_known = !has_failed && received.is_ok();
        self.prober.handle(if is_known { ProbeInput::Stop { at: now.mono } } else { ProbeInput::Abandon });
        while let Some(ProbeOutput::Event(event)) = self.prober.poll(now, &mut context.message) {
            self.record(event, None, context);
        }
        received
    }

    /// Fails if the last receive, or the last send of remaining bytes, has lacked memory.
    fn check_starvation(&mut self) -> Result<(), ClientError> {
        let operations = [
            (Operation::Receive, self.receive_starvation.take()),
            (Operation::Send, self.send_starvation.take()),
        ];
        let failed = operations.into_iter().find_map(|(operation, error)| Some((operation, error?)));
        failed.map_or(Ok(()), |(operation, error)| Err(self.link.error(operation, error)))
    }
}

/// The connection, and what becomes of requests.
impl Session {
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
        if self.link.local.is_some() && !std::mem::take(&mut self.is_moving) {
            context.events.push(PingEvent::Reconnected);
        }
        self.connected_to(socket, address, context)
    }

    /// Takes a connected socket, and reports its address if it is another one.
    pub(super) fn connected_to(
        &mut self,
        socket: Socket,
        address: Address,
        context: &mut Context,
    ) -> Result<(), ClientError> {
        let is_first = self.link.local.is_none();
        let old = self.link.address.clone();
        let has_moved = old != address || is_first;
        self.link.connect(socket, address, &self.ping, &context.poll)?;
        self.prober.handle(ProbeInput::Connected);
        if has_moved {
            self.clock = self.ping.clock.unwrap_or_else(|| self.likely_clock());
            self.statistics.moved(self.clock, self.ping.clock.is_none());
            let from = (!is_first).then_some(old);
            context.events.push(PingEvent::Moved { from, to: Box::new(self.target()) });
        }
        Ok(())
    }

    /// Begins to count, from now on.
    pub(super) fn start_over(&mut self, now: MonoTime, detail: Detail) {
        let start = now + self.ping.start_delay;
        self.clock = self.ping.clock.unwrap_or_else(|| self.likely_clock());
        self.prober = Prober::new(Format::new(&self.ping, &self.link), self.ping.plan(self.began), start);
        self.statistics = Statistics::new(self.clock, self.ping.clock.is_none(), start, detail);
        self.reported_at = start;
    }

    /// Returns how the peer's clock relates to this machine's, as far as the addresses show.
    fn likely_clock(&self) -> ClockRelation {
        match self.link.address.locality(self.link.local.as_ref()) {
            Locality::ThisHost => ClockRelation::Same,
            Locality::OtherHost | Locality::Unknown => ClockRelation::Free,
        }
    }

    fn connect(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let now = context.clock.mono();
        let left = self.prober.plan().end.map_or(self.ping.connect.wait, |end| end - now);
        let timeout = self.ping.connect.wait.min(left);
        match context.connector.connect(self.index, &self.ping.connect, timeout, &context.poll)? {
            Some(outcome) => self.connected(outcome, context),
            None => Ok(()),
        }
    }

    /// Counts an event and reports it. The reply in it arrived with this time to live, if that is
    /// known.
    pub(super) fn record(&mut self, event: ProbeEvent, ttl: Option<u8>, context: &mut Context) {
        let event = match event {
            ProbeEvent::Replied { sample, given_up } => self.replied(&sample, false, given_up, ttl, context),
            ProbeEvent::Late { sample, given_up } => {
                self.replied(&sample, true, Some(given_up), ttl, context)
            }
            ProbeEvent::Duplicate(number) => {
                self.statistics.duplicate();
                PingEvent::Duplicate(number)
            }
            ProbeEvent::Lost { number, sent, reason, report, at } => {
                self.statistics.lost(reason, sent.mono, at, report.after);
                self.fresh.iter_mut().for_each(|fresh| fresh.forget(number));
                self.resolve.iter_mut().for_each(ResolveSchedule::lost);
                PingEvent::Lost { number, sent: sent.wall, reason, report }
            }
            // A socket that receives from any sender also receives data of unrelated senders.
            ProbeEvent::Unexpected if self.link.receives_from_any() => return,
            ProbeEvent::Unexpected => {
                self.statistics.unexpected();
                PingEvent::Unexpected
            }
            ProbeEvent::Disconnected if self.is_moving => return,
            ProbeEvent::Disconnected => PingEvent::Disconnected,
        };
        context.events.push(event);
    }

    fn replied(
        &mut self,
        sample: &Sample,
        late: bool,
        given_up: Option<LossReason>,
        ttl: Option<u8>,
        context: &mut Context,
    ) -> PingEvent {
        self.resolve.iter_mut().for_each(ResolveSchedule::replied);
        let retransmissions = self.link.tcp().map(|now| self.tcp.read(now));
        let delay = self.statistics.replied(sample, late, given_up);
        let has_header_changed = self.statistics.note_seen(&sample.seen);
        let received = sample.received.best().mono;
        self.up_after.get_or_insert(received - self.began);
        if self.ping.until_up {
            self.prober.handle(ProbeInput::Stop { at: received });
        }
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
            wire: sample.wire(),
            delay,
            residence: sample.residence(),
            clock,
            late,
            reordered: sample.reordered,
            header: RequestHeader::of(&sample.seen),
            has_header_changed,
            retransmissions,
            ttl,
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
