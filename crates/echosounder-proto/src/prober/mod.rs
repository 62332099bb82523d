//! The prober: when requests are sent, and what becomes of each.
//!
//! A state machine without a clock or a socket, with three verbs. Its driver passes what happens to
//! [`handle`](Prober::handle), does what [`poll`](Prober::poll) returns until that is nothing more,
//! and then waits until the socket is ready or the [`deadline`](Prober::deadline) has come.

mod types;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZero;
use core::time::Duration;

use crate::failure::{FailureKind, LossReason, LossReport};
use crate::in_flight::{InFlight, Match};
use crate::probe_format::{ProbeFormat, ProbeReply};
use crate::sample::{Sample, Times};
use crate::schedule::{ProbePace, Schedule};
use crate::time::{Moment, MonoTime, WallTime};

pub use types::{ProbeEvent, ProbeInput, ProbeOutput, ProbePlan, SendStage};

/// Requests in flight at once. No more are sent until some are replied to or given up.
const IN_FLIGHT_MAX: usize = 1 << 20;

/// How long requests that were given up are remembered, as far as their number allows.
const REMEMBERED_FOR: Duration = Duration::from_secs(32);

/// The least and the most requests that are remembered after they were given up.
const REMEMBERED_MIN: u64 = 64;
const REMEMBERED_MAX: u64 = 65_536;

/// How long nothing is sent in a closed loop after a failure, since requests would otherwise be
/// sent as fast as they fail; and how long a peer that closed the connection or refused one is left
/// alone.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a name that was not found is not looked up again: a lookup that hangs cannot be ended.
const LOOKUP_PAUSE: Duration = Duration::from_secs(5);

/// A time of the kernel's that is further than this from the program's comes from a clock that was
/// stepped in between.
const APART_MAX: Duration = Duration::from_secs(60);

/// The record of a request.
#[derive(Clone, Copy, Debug)]
struct Probe {
    due: MonoTime,
    sent: Moment,
    /// One more than the nanoseconds from the send until the kernel handed the request to the
    /// network interface. Records of 65,536 requests are kept, so they are small.
    kernel_after: Option<NonZero<u64>>,
    /// The same for when the request entered the queue of the network interface, as it does at
    /// once.
    queued_after: Option<NonZero<u32>>,
    /// Why it was given up, if it was.
    lost: Option<LossReason>,
}

impl Probe {
    fn new(due: MonoTime, sent: Moment) -> Self {
        Self { due, sent, kernel_after: None, queued_after: None, lost: None }
    }

    /// Returns the moment of a stage.
    fn at(&self, after: Option<NonZero<u64>>) -> Option<Moment> {
        let span = after.map(|after| Duration::from_nanos(after.get() - 1))?;
        Some(Moment { wall: self.sent.wall + span, mono: self.sent.mono + span })
    }
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Connected,
    /// Being connected for the request that was due then.
    Connecting {
        due: MonoTime,
    },
    /// Not to be connected before `until`; requests that are due before that fail as the connection
    /// did.
    Disconnected {
        until: MonoTime,
        kind: FailureKind,
    },
}

/// Decides when requests are sent, and finds out what becomes of each.
#[derive(Debug)]
pub struct Prober<F> {
    format: F,
    plan: ProbePlan,
    schedule: Schedule,
    link: Link,
    is_blocked: bool,
    is_stopped: bool,
    /// The number of the next request; the first is 1.
    next: u64,
    in_flight: InFlight<Probe>,
    /// The number of the oldest request in flight, or of the next.
    oldest: u64,
    /// The highest number that was replied to.
    newest: u64,
    /// Whether any request was replied to or counts as lost.
    has_outcome: bool,
    /// The longest round-trip time.
    longest: Duration,
    /// Nothing is sent before, in a closed loop.
    paused_until: MonoTime,
    events: VecDeque<ProbeEvent>,
    replies: Vec<ProbeReply>,
}

impl<F: ProbeFormat> Prober<F> {
    /// Creates a prober for a connected socket, whose first request is due at `start`.
    pub fn new(format: F, plan: ProbePlan, start: MonoTime) -> Self {
        let remembered = plan.pace.interval().map_or(0, |interval| {
            u64::try_from(REMEMBERED_FOR.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u64::MAX)
        });
        let remembered = remembered.clamp(REMEMBERED_MIN, REMEMBERED_MAX);
        Self {
            format,
            plan,
            schedule: Schedule::new(plan.pace, start),
            link: Link::Connected,
            is_blocked: false,
            is_stopped: false,
            next: 1,
            in_flight: InFlight::new(usize::try_from(remembered).unwrap_or(usize::MAX)),
            oldest: 1,
            newest: 0,
            has_outcome: false,
            longest: Duration::ZERO,
            paused_until: start,
            events: VecDeque::new(),
            replies: Vec::new(),
        }
    }

    /// Returns the plan of the measurement.
    pub fn plan(&self) -> &ProbePlan {
        &self.plan
    }

    /// Returns the format of the requests, which may have learnt something from their replies.
    pub fn format(&self) -> &F {
        &self.format
    }

    /// Returns the number of requests so far, including those that could not be sent.
    pub fn requests(&self) -> u64 {
        self.next - 1
    }

    /// Returns the number of requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the number of requests that were skipped because the machine stood still when they
    /// were due.
    pub fn skipped(&self) -> u64 {
        self.schedule.skipped()
    }

    /// Returns when the next request is due; `None` if there is none, or none before something else
    /// happens.
    pub fn due(&self) -> Option<MonoTime> {
        if self.has_made_all() || self.is_stopped {
            return None;
        }
        self.schedule.due(self.in_flight.is_empty())
    }

    /// Sends requests from now on that long after a whole second of the monotonic clock, as many of
    /// them as their interval allows. It serves to find the edges of seconds of a server whose
    /// timestamps show nothing finer.
    pub fn aim(&mut self, phase: Duration) {
        self.schedule.aim(phase);
    }

    /// Returns whether no request has an outcome yet. Until then, the caller may try another
    /// address of the peer.
    pub fn has_no_outcome(&self) -> bool {
        !self.has_outcome
    }

    /// Returns whether a request has waited for its reply for as long as it may. In
    /// that case, handle all received data before the next [`poll`](Self::poll).
    pub fn is_expiring(&self, now: MonoTime) -> bool {
        self.expiry().is_some_and(|expiry| expiry <= now)
    }

    /// Returns whether the measurement has ended: all requests were made and none is in flight, or
    /// the time is up, or it was stopped.
    pub fn is_over(&self, now: MonoTime) -> bool {
        let has_settled = self.has_made_all() && self.in_flight.is_empty() && self.events.is_empty();
        has_settled || self.is_stopped && self.events.is_empty() || self.is_past_end(now)
    }

    /// Returns when to call [`poll`](Self::poll) next if nothing else happens.
    pub fn deadline(&self) -> Option<MonoTime> {
        if !self.events.is_empty() {
            return Some(MonoTime::from_origin(Duration::ZERO));
        }
        if self.is_stopped {
            return None;
        }
        let is_connecting = matches!(self.link, Link::Connecting { .. });
        let due = self.due().filter(|_| !is_connecting).map(|due| due.max(self.paused_until));
        [due, self.expiry(), self.plan.end].into_iter().flatten().min()
    }

    /// Returns the next action or event for the driver, or `None` if there is none before the
    /// [`deadline`](Self::deadline). A request to send replaces the contents of `buffer`.
    pub fn poll(&mut self, now: Moment, buffer: &mut Vec<u8>) -> Option<ProbeOutput> {
        if self.events.is_empty() && !self.is_stopped {
            self.expire(self.plan.timeout, now.mono);
        }
        if let Some(event) = self.events.pop_front() {
            return Some(ProbeOutput::Event(event));
        }
        let due = self.due().filter(|due| (*due).max(self.paused_until) <= now.mono)?;
        if self.is_past_end(now.mono) {
            // A connection that is still being made was not established in time.
            if matches!(self.link, Link::Connecting { .. }) {
                self.fail_to_connect(FailureKind::Timeout, now);
            }
            return self.events.pop_front().map(ProbeOutput::Event);
        }
        match self.link {
            Link::Connecting { .. } => return None,
            Link::Disconnected { until, kind } if now.mono < until => {
                self.lose_next(due, now, kind.into(), now.mono);
            }
            Link::Disconnected { .. } => {
                self.link = Link::Connecting { due };
                return Some(ProbeOutput::Connect);
            }
            Link::Connected if !self.can_send() => {
                self.lose_next(due, now, LossReason::NotSent, now.mono);
            }
            Link::Connected => return Some(self.send_next(due, now, buffer)),
        }
        self.events.pop_front().map(ProbeOutput::Event)
    }

    /// Returns the next event without sending anything, so that the caller can add to it what only
    /// it knows about the data that it has just passed.
    pub fn take_event(&mut self) -> Option<ProbeEvent> {
        self.events.pop_front()
    }

    /// Takes notice of what happened to the socket.
    pub fn handle(&mut self, input: ProbeInput<'_>) {
        match input {
            ProbeInput::Received { bytes, at } => self.receive(bytes, at),
            ProbeInput::Transmitted { packet, stage, at } => self.note_transmission(packet, stage, at),
            ProbeInput::Undelivered { packet, reason, report, at } => {
                let quoted = packet.and_then(|packet| self.format.find(packet, self.next));
                match quoted {
                    Some(number) => self.reject(number, reason, report, at),
                    None => self.lose(self.oldest, reason, report, at),
                }
                self.pause_after(reason, at);
            }
            ProbeInput::Completed { number, at } => self.match_reply(ProbeReply::new(number), at),
            ProbeInput::Rejected { number, kind, at } => {
                self.reject(number, kind.into(), LossReport::default(), at);
                self.pause(at);
            }
            ProbeInput::Sent { number, at } => self.note_sent(number, at),
            ProbeInput::SendFailed { number, reason, report, at } => {
                self.lose(number, reason, report, at);
                self.pause_after(reason, at);
            }
            ProbeInput::Blocked(is_blocked) => self.is_blocked = is_blocked,
            ProbeInput::Connected => self.link = Link::Connected,
            ProbeInput::ConnectFailed { kind, at } => self.fail_to_connect(kind, at),
            ProbeInput::Disconnected { kind, at } => self.disconnect(kind, at),
            ProbeInput::Stop { at } => {
                self.expire(self.longest, at);
                self.is_stopped = true;
            }
            ProbeInput::Abandon => self.is_stopped = true,
        }
    }
}

impl<F: ProbeFormat> Prober<F> {
    fn send_next(&mut self, due: MonoTime, now: Moment, buffer: &mut Vec<u8>) -> ProbeOutput {
        buffer.clear();
        let number = self.next;
        self.format.write(number, now.wall, buffer);
        let due = self.schedule.advance(due, now.mono);
        self.in_flight.insert(number, Probe::new(due, now));
        self.next += 1;
        self.settle(now.mono);
        ProbeOutput::Send { number }
    }

    /// Counts the next request as lost, because it cannot be sent.
    fn lose_next(&mut self, due: MonoTime, sent: Moment, reason: LossReason, at: MonoTime) {
        let number = self.next;
        self.schedule.advance(due, sent.mono);
        self.in_flight.insert_unsent(number);
        self.next += 1;
        self.settle(sent.mono);
        self.count_lost(number, sent, reason, at);
        self.pause(at);
    }

    fn receive(&mut self, bytes: &[u8], at: Times) {
        let mut replies = core::mem::take(&mut self.replies);
        if self.format.read(bytes, self.next, &mut replies) {
            self.events.push_back(ProbeEvent::Unexpected);
        }
        for reply in replies.drain(..) {
            let kernel = at.kernel.filter(|_| reply.ends_read);
            self.match_reply(reply, Times { kernel, ..at });
        }
        self.replies = replies;
    }

    fn match_reply(&mut self, reply: ProbeReply, received: Times) {
        let number = reply.number;
        let probe = match self.in_flight.take(number) {
            Match::InTime(probe) | Match::Late(probe) => probe,
            Match::Duplicate => return self.events.push_back(ProbeEvent::Duplicate(number)),
            Match::Unexpected => return self.events.push_back(ProbeEvent::Unexpected),
        };
        // A clock that was set meanwhile may have shown the kernel a time before the request.
        let kernel = received.kernel.filter(|kernel| probe.sent.mono <= kernel.mono);
        let sample = Sample {
            number,
            due: probe.due,
            sent: Times { program: probe.sent, kernel: probe.at(probe.kernel_after) },
            queued: probe.at(probe.queued_after.map(NonZero::from)),
            received: Times { kernel, ..received },
            timestamp: reply.timestamp,
            seen: reply.seen,
            reordered: number < self.newest,
        };
        let at = received.program.mono;
        let timeout = LossReason::Peer(FailureKind::Timeout);
        let is_slow = self.plan.timeout < sample.rtt();
        if is_slow && probe.lost.is_none() {
            self.count_lost(number, probe.sent, timeout, at);
        }
        // A request that was reported as a timeout stays late. One that was given up for another
        // reason, such as an ICMP error, may be replied to in time all the same.
        self.events.push_back(if is_slow || probe.lost == Some(timeout) {
            ProbeEvent::Late { sample, given_up: probe.lost.unwrap_or(timeout) }
        } else {
            ProbeEvent::Replied { sample, given_up: probe.lost }
        });
        self.has_outcome = true;
        self.newest = self.newest.max(number);
        self.longest = self.longest.max(sample.rtt());
        self.settle(at);
    }

    fn note_sent(&mut self, number: u64, at: Moment) {
        if let Some(probe) = self.in_flight.get_mut(number) {
            probe.sent = at;
        }
    }

    /// Notes the kernel's time of a stage, unless a step of the clock makes it impossible.
    fn note_transmission(&mut self, packet: &[u8], stage: SendStage, at: WallTime) {
        let number = self.format.find(packet, self.next);
        let Some(probe) = number.and_then(|number| self.in_flight.get_mut(number)) else { return };
        let Some(nanos) = at.as_nanos().checked_sub(probe.sent.wall.as_nanos()) else { return };
        let after = NonZero::new(nanos.saturating_add(1));
        let Some(after) = after.filter(|_| Duration::from_nanos(nanos) <= APART_MAX) else { return };
        match stage {
            SendStage::Queued => probe.queued_after = probe.queued_after.or_else(|| after.try_into().ok()),
            SendStage::Sent => probe.kernel_after = Some(after),
        }
    }

    fn disconnect(&mut self, kind: FailureKind, at: MonoTime) {
        // A peer that ends a connection when all was replied to may take the next request over
        // another.
        let mut until = at;
        if !self.in_flight.is_empty() {
            self.report_unmatched();
            self.pause(at);
            until = at + PAUSE;
        }
        while let Some((number, _)) = self.in_flight.first() {
            self.lose(number, kind.into(), LossReport::default(), at);
        }
        self.events.push_back(ProbeEvent::Disconnected);
        self.format.reset();
        self.is_blocked = false;
        self.link = Link::Disconnected { until, kind };
    }

    /// Counts the requests that came due while connecting as lost.
    fn fail_to_connect(&mut self, kind: FailureKind, at: Moment) {
        let until = self.plan.end.map_or(at.mono, |end| end.min(at.mono));
        let first = match self.link {
            Link::Connecting { due } => Some(due),
            _ => self.due(),
        };
        let mut next = first.filter(|_| !self.has_made_all());
        while let Some(due) = next.filter(|due| *due <= until) {
            self.lose_next(due, Moment { wall: at.wall, mono: due }, kind.into(), at.mono);
            next = self.due().filter(|_| self.plan.pace != ProbePace::Closed);
        }
        let pause = if kind == FailureKind::Dns { LOOKUP_PAUSE } else { PAUSE };
        self.link = Link::Disconnected { until: at.mono + pause, kind };
        self.pause(at.mono);
    }

    /// Gives a request up, if it is in flight.
    fn lose(&mut self, number: u64, reason: LossReason, report: LossReport, at: MonoTime) {
        if let Some(probe) = self.in_flight.give_up(number) {
            probe.lost = Some(reason);
            let sent = probe.sent;
            self.has_outcome = true;
            self.events.push_back(ProbeEvent::Lost { number, sent, reason, report, at });
            self.settle(at);
        }
    }

    /// Gives a request up that the peer or the network has rejected, if it is in flight. A timeout
    /// is no rejection: nobody has answered.
    fn reject(&mut self, number: u64, reason: LossReason, mut report: LossReport, at: MonoTime) {
        let is_answered = reason != LossReason::Peer(FailureKind::Timeout);
        let sent = self.in_flight.get(number).map(|probe| probe.sent.mono);
        report.after = sent.filter(|_| is_answered).map(|sent| at - sent);
        self.lose(number, reason, report, at);
    }

    fn count_lost(&mut self, number: u64, sent: Moment, reason: LossReason, at: MonoTime) {
        self.has_outcome = true;
        let report = LossReport::default();
        self.events.push_back(ProbeEvent::Lost { number, sent, reason, report, at });
    }

    /// Gives the requests up that were sent that long ago.
    fn expire(&mut self, timeout: Duration, at: MonoTime) {
        let is_expired = |probe: &Probe| probe.sent.mono + timeout <= at;
        if self.in_flight.first().is_some_and(|(_, probe)| is_expired(probe)) {
            self.report_unmatched();
        }
        while let Some((number, _)) = self.in_flight.first().filter(|(_, probe)| is_expired(probe)) {
            self.lose(number, FailureKind::Timeout.into(), LossReport::default(), at);
        }
    }

    /// Reports that a stream has brought bytes that are no reply, once requests are given up.
    fn report_unmatched(&mut self) {
        if self.format.take_unmatched() {
            self.events.push_back(ProbeEvent::Unexpected);
        }
    }

    fn settle(&mut self, at: MonoTime) {
        let oldest = self.in_flight.first().map_or(self.next, |(number, _)| number);
        if oldest != self.oldest {
            self.oldest = oldest;
            self.schedule.settle(at);
        }
    }

    /// Pauses after a failure. A request that exceeds the path MTU costs the network nothing, so that
    /// a limited number of them needs no pause.
    fn pause_after(&mut self, reason: LossReason, at: MonoTime) {
        if reason != LossReason::TooLong || self.plan.count.is_none() {
            self.pause(at);
        }
    }

    fn pause(&mut self, at: MonoTime) {
        if self.plan.pace == ProbePace::Closed {
            self.paused_until = at + PAUSE;
        }
    }

    fn can_send(&self) -> bool {
        !self.is_blocked && self.in_flight.len() < IN_FLIGHT_MAX && self.format.can_write()
    }

    fn has_made_all(&self) -> bool {
        self.plan.count.is_some_and(|count| count < self.next)
    }

    fn is_past_end(&self, now: MonoTime) -> bool {
        self.plan.end.is_some_and(|end| end <= now)
    }

    fn expiry(&self) -> Option<MonoTime> {
        self.in_flight.first().map(|(_, probe)| probe.sent.mono + self.plan.timeout)
    }
}
