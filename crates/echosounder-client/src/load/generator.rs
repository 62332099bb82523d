//! The loop of one thread of a load: one epoll, many connections, and no waiting but for events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime};
use echosounder_socket::{
    Endpoint, Events, Interest, Kind, Poll, Socket, StopToken, is_too_long, set_timer_slack,
};

use super::connection::Connection;
use super::counts::Counts;
use super::cpu::CpuMeter;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::pace::{Pace, Random, Schedule};
use super::plan::LoadPlan;
use super::recorder::{Recorder, Times};
use super::refusals::{Failure, Refusals};
use super::shared::Shared;
use super::thread_result::{CpuShare, ThreadResult};
use crate::distribution::Distribution;
use crate::error::{ClientError, failure_kind};
use crate::starvation::Starvation;

/// The maximum number of events of one turn.
const EVENTS_MAX: usize = 256;

/// How often messages in flight are checked for their timeouts, and sockets that do not report buffer space are tried
/// again.
pub(super) const SWEEP_EVERY: Duration = Duration::from_millis(20);

/// The maximum number of connections that one sweep checks.
const SWEEP_MAX: usize = 1024;

/// How long an open loop that is behind schedule still sends the messages that were due before the end.
const GRACE: Duration = Duration::from_millis(100);

/// A load gives up when it has received nothing for this many timeouts.
const SILENT_TIMEOUTS: u32 = 3;

/// Sends messages on the connections of one thread and checks every reply.
///
/// [`load`](fn@super::load) runs one generator in each of its threads. To run one elsewhere, or with another clock, create
/// it over connected sockets and call [`turn`](Self::turn) until it returns `false`:
///
/// ```
/// use std::time::Duration;
///
/// use echosounder_client::{Generator, LoadPlan, Pace, SizeRange, SystemClock};
/// use echosounder_socket::{StopToken, Transport, family::unix::UnixName};
///
/// let (ours, theirs) = Transport::UnixStream.pair()?;
/// std::thread::spawn(move || {
///     let mut buffer = [0; 1024];
///     while let Ok(len @ 1..) = theirs.recv(&mut buffer) {
///         theirs.send(&buffer[..len]).expect("the generator receives");
///     }
/// });
/// let plan = LoadPlan {
///     thread: 0,
///     transport: Transport::UnixStream,
///     address: UnixName::Unnamed.into(),
///     pace: Pace::Closed { depth: 2 },
///     first_due: Duration::ZERO,
///     sizes: SizeRange { min: 64, max: 64 },
///     warm_up: Duration::ZERO,
///     duration: None,
///     messages_max: 100,
///     timeout: Duration::from_secs(1),
///     backlog_max_bytes: 1 << 20,
/// };
/// ours.set_blocking(false)?;
/// let mut generator = Generator::new(plan, vec![ours], SystemClock::new(), StopToken::new()?)?;
/// while generator.turn(Duration::MAX)? {}
/// assert_eq!((generator.counts().sent, generator.counts().answered), (100, 100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Generator<C> {
    pub(super) plan: LoadPlan,
    pub(super) kind: Kind,
    clock: C,
    /// The origin of all times of the load.
    start: MonoTime,
    phase: Phase,
    pub(super) shared: Arc<Shared>,
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) connections: Vec<Connection>,
    /// Connections that are open.
    pub(super) open: usize,
    /// When the messages of an open loop are due.
    pub(super) schedule: Option<Schedule>,
    /// The connection that sends the next message of an open loop.
    pub(super) next_connection: usize,
    /// The number of the next message.
    pub(super) next_number: u64,
    pub(super) random: Random,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) recorder: Recorder,
    /// Since when no reply has arrived, although messages were sent or are to be sent.
    pub(super) silent_since: Option<Duration>,
    pub(super) refusals: Refusals,
    sweep: Sweep,
    pub(super) starvation: Starvation,
    cpu_meter: CpuMeter,
    cpu: CpuShare,
    silence: Option<Duration>,
}

/// The phases of a load, in their order.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No turn has begun.
    New,
    Sending,
    /// No more messages are sent; replies are awaited.
    Draining {
        /// When sending ended, since the start.
        since: Duration,
    },
    Over {
        /// The time that was measured.
        elapsed: Duration,
    },
}

/// The last sweep over the connections.
#[derive(Clone, Copy, Debug, Default)]
struct Sweep {
    /// When it was, since the start.
    at: Duration,
    /// The connection with which the next one begins.
    next: usize,
}

impl<C: Clock> Generator<C> {
    /// Creates the generator of a load that starts now, over connected sockets that do not block.
    ///
    /// # Errors
    ///
    /// If this machine lacks memory or file descriptors.
    pub fn new(plan: LoadPlan, sockets: Vec<Socket>, clock: C, stop: StopToken) -> io::Result<Self> {
        Self::with_shared(plan, sockets, clock, Arc::new(Shared::new(stop)))
    }

    /// Creates the generator of a load that shares its state with other threads.
    pub(super) fn with_shared(
        plan: LoadPlan,
        sockets: Vec<Socket>,
        clock: C,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (token, socket) in sockets.iter().enumerate() {
            poll.add(socket, token as u64, Interest::Read)?;
        }
        let seed = plan.thread as u64 + 1;
        let schedule = match plan.pace {
            Pace::Closed { .. } => None,
            Pace::Open { rate, spacing } => Some(Schedule::new(rate, spacing, plan.first_due, seed)),
        };
        let kind = plan.transport.kind();
        Ok(Self {
            kind,
            start: clock.mono(),
            clock,
            phase: Phase::New,
            shared,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            open: sockets.len(),
            connections: sockets.into_iter().map(Connection::new).collect(),
            schedule,
            next_connection: 0,
            next_number: 0,
            random: Random::new(!seed),
            outbox: Outbox::default(),
            inbox: Inbox::try_new(kind, plan.sizes.max)?,
            recorder: Recorder::new(plan.warm_up, plan.timeout),
            silent_since: None,
            refusals: Refusals::default(),
            sweep: Sweep::default(),
            starvation: Starvation::default(),
            cpu_meter: CpuMeter::start(Duration::ZERO),
            cpu: CpuShare::default(),
            silence: None,
            plan,
        })
    }

    /// Sets the origin of all times, before the first turn: threads that start together have the same.
    pub(super) fn start_at(&mut self, start: MonoTime) {
        self.start = start;
    }

    /// Sends the messages that are due, waits at most `wait_max` for events, and receives what has arrived. Returns whether
    /// the load goes on.
    ///
    /// # Errors
    ///
    /// If the server refused every datagram, or this machine failed.
    pub fn turn(&mut self, wait_max: Duration) -> Result<bool, ClientError> {
        let result = match self.phase {
            Phase::New => self.begin().map(|()| true),
            Phase::Sending => self.turn_sending(wait_max).map(|()| true),
            Phase::Draining { since } => self.turn_draining(since, wait_max),
            Phase::Over { .. } => Ok(false),
        };
        result.map_err(|Failure { operation, error }| {
            self.shared.failed.store(true, Ordering::Relaxed);
            let peer = Endpoint::display(self.plan.transport, &self.plan.address);
            ClientError::new(operation, &peer, &self.plan.address, error)
        })
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.phase = Phase::Sending;
        self.cpu_meter = CpuMeter::start(self.elapsed());
        match self.plan.pace {
            Pace::Closed { depth } => {
                (0..self.connections.len()).try_for_each(|index| self.enqueue(index, depth))
            }
            Pace::Open { .. } => {
                // Where a sandbox refuses, waits end up to 50 µs late.
                let _ = set_timer_slack();
                Ok(())
            }
        }
    }

    fn turn_sending(&mut self, wait_max: Duration) -> Result<(), Failure> {
        let now = self.elapsed();
        if !self.goes_on(now) {
            self.stop_sending(now);
            return Ok(());
        }
        if self.cpu_meter.since() < self.plan.warm_up && self.plan.warm_up <= now {
            self.cpu_meter = CpuMeter::start(now);
            if let Some(schedule) = &mut self.schedule {
                // A load that is behind schedule already would measure nothing but that.
                schedule.skip_to(self.plan.warm_up);
            }
        }
        let idle = self.send_scheduled()?;
        self.receive(idle.min(wait_max))?;
        self.sweep()
    }

    /// Returns whether messages are still to be sent.
    fn goes_on(&self, now: Duration) -> bool {
        if self.open == 0 || self.shared.is_stopped() {
            return false;
        }
        match &self.schedule {
            _ if self.plan.duration.is_none() && self.is_silent(now) => false,
            None => self.may_send(now),
            Some(schedule) => {
                self.may_send(now)
                    || self.may_send(schedule.due()) && self.may_send(now.saturating_sub(GRACE))
            }
        }
    }

    /// Returns whether a message that is due then is still to be sent.
    pub(super) fn may_send(&self, due: Duration) -> bool {
        self.plan.end().is_none_or(|end| due < end) && !self.has_sent_all()
    }

    fn has_sent_all(&self) -> bool {
        self.plan.messages_max <= self.recorder.counts.sent
    }

    fn is_silent(&self, now: Duration) -> bool {
        self.silent_since.is_some_and(|since| since.saturating_add(self.silence_max()) < now)
    }

    /// Returns how long no reply may arrive. At a low rate there is silence between two messages.
    fn silence_max(&self) -> Duration {
        let gap = match self.plan.pace {
            Pace::Open { rate, .. } => Duration::try_from_secs_f64(rate.recip()).unwrap_or_default(),
            Pace::Closed { .. } => Duration::ZERO,
        };
        self.plan.timeout.max(gap).saturating_mul(SILENT_TIMEOUTS)
    }

    fn stop_sending(&mut self, now: Duration) {
        self.cpu = self.cpu_meter.share(now);
        if self.open != 0 && !self.shared.is_stopped() && self.is_silent(now) {
            self.silence = Some(self.silence_max());
        }
        self.recorder.counts.skipped += self.overdue();
        self.phase = Phase::Draining { since: now };
    }

    /// Returns how many messages of an open loop were due before the end and have not been sent.
    fn overdue(&self) -> u64 {
        match (&self.schedule, self.plan.end()) {
            (Some(schedule), Some(end)) if !self.has_sent_all() && !self.shared.is_stopped() => {
                schedule.left_before(end)
            }
            _ => 0,
        }
    }

    /// Waits for the replies to messages in flight. Returns whether any are still to be awaited.
    fn turn_draining(&mut self, since: Duration, wait_max: Duration) -> Result<bool, Failure> {
        let now = self.elapsed();
        let left = since.saturating_add(self.plan.timeout).checked_sub(now);
        let may_arrive = self.recorder.in_flight() != 0
            && self.open != 0
            && !self.is_silent(since)
            && !self.shared.is_stopped()
            && !self.refusals.is_believed(now);
        if let (true, Some(left)) = (may_arrive, left) {
            self.receive(left.min(wait_max))?;
            return Ok(true);
        }
        self.end(since);
        match self.refusals.take_last() {
            Some(refusal) if !self.shared.stop.is_stopped() => Err(refusal),
            _ => Ok(false),
        }
    }

    fn end(&mut self, since: Duration) {
        let is_stopped = self.shared.is_stopped();
        if is_stopped {
            self.recorder.forget_in_flight();
        }
        self.recorder.lose_in_flight();
        let is_refused = |connection: &&Connection| {
            let is_lost = connection.is_failing || !is_stopped && connection.has_in_flight();
            connection.is_refused && is_lost
        };
        self.recorder.counts.connections_closed += self.connections.iter().filter(is_refused).count() as u64;
        (0..self.connections.len()).for_each(|index| self.count_unexpected_stream(index));
        // A load that has sent all its messages ended with the last reply.
        let end = match (self.has_sent_all(), self.plan.end()) {
            (true, _) => Duration::ZERO,
            (false, planned) => planned.map_or(since, |planned| planned.min(since)),
        };
        let last = end.max(self.recorder.last_reply());
        self.phase = Phase::Over { elapsed: last.saturating_sub(self.plan.warm_up) };
    }

    /// Gives messages up whose timeout has passed, so that a closed loop goes on, and tries again to send those that could
    /// not be sent.
    fn sweep(&mut self) -> Result<(), Failure> {
        let now = self.elapsed();
        if self.kind == Kind::Stream || now < self.sweep.at + SWEEP_EVERY {
            return Ok(());
        }
        if self.refusals.is_believed(now)
            && let Some(refusal) = self.refusals.take_last()
        {
            return Err(refusal);
        }
        let count = self.connections.len();
        let first = self.sweep.next;
        for index in first..first + SWEEP_MAX.min(count) {
            self.give_up_expired(index % count, now)?;
        }
        self.sweep = Sweep { at: now, next: (first + SWEEP_MAX) % count };
        Ok(())
    }

    fn give_up_expired(&mut self, index: usize, now: Duration) -> Result<(), Failure> {
        let mut expired = 0;
        if self.kind == Kind::Datagrams {
            let due = now.saturating_sub(self.plan.timeout);
            let connection = &mut self.connections[index];
            while let Some(number) = connection.expire(due) {
                connection.is_failing = true;
                self.recorder.record_given_up(number);
                expired += 1;
            }
        }
        if self.plan.is_closed_loop() { self.enqueue(index, expired) } else { Ok(()) }
    }
}

/// The results so far.
impl<C: Clock> Generator<C> {
    /// Returns the counters so far.
    pub fn counts(&self) -> Counts {
        self.recorder.counts
    }

    /// Returns how many measured messages are in flight.
    pub fn in_flight(&self) -> u64 {
        self.recorder.in_flight()
    }

    /// Returns the times from when each message was due until its reply was complete.
    pub fn latency(&self) -> Distribution {
        Distribution::from(self.recorder.latency())
    }

    /// Returns the times from when each message of an open loop was due until it was sent.
    pub fn send_delay(&self) -> Distribution {
        Distribution::from(self.recorder.send_delay())
    }

    /// Returns the counters so far, and takes the times since the last result. Messages in flight are not lost yet, so they
    /// do not count as sent.
    pub(super) fn take_result(&mut self, request: u64) -> ThreadResult {
        let (elapsed, cpu) = match self.phase {
            Phase::Over { elapsed } => (elapsed, self.cpu),
            Phase::Draining { .. } => (self.elapsed().saturating_sub(self.plan.warm_up), self.cpu),
            Phase::New | Phase::Sending => {
                let now = self.elapsed();
                (now.saturating_sub(self.plan.warm_up), self.cpu_meter.share(now))
            }
        };
        let in_flight = self.recorder.in_flight();
        let mut counts = self.recorder.counts;
        counts.sent -= in_flight;
        let Times { latency, send_delay } = self.recorder.take_times();
        let (thread, silence) = (self.plan.thread, self.silence);
        ThreadResult { thread, request, counts, in_flight, latency, send_delay, elapsed, cpu, silence }
    }
}

/// Time, and the failures of connections and peers.
impl<C: Clock> Generator<C> {
    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.mono() - self.start
    }

    /// Returns the monotonic time, whose origin is the clock's.
    pub(super) fn mono(&self) -> MonoTime {
        self.clock.mono()
    }

    pub(super) fn poll_writable(&mut self, index: usize, writable: bool) -> io::Result<()> {
        self.connections[index].poll_writable(&self.poll, index as u64, writable)
    }

    /// Handles an error of a connection: either the server closed it, or this machine failed.
    pub(super) fn connection_failed(
        &mut self,
        index: usize,
        operation: &'static str,
        error: io::Error,
    ) -> Result<(), Failure> {
        match failure_kind(operation, &error, &self.plan.address) {
            Some(_) => self.connection_ended(index),
            None => Err(Failure { operation, error }),
        }
    }

    /// Counts and closes a connection that the server has closed.
    pub(super) fn connection_ended(&mut self, index: usize) -> Result<(), Failure> {
        self.recorder.counts.connections_closed += u64::from(self.connections[index].is_open());
        self.close(index)
    }

    pub(super) fn close(&mut self, index: usize) -> Result<(), Failure> {
        self.count_unexpected_stream(index);
        if let Some(socket) = self.connections[index].socket.take() {
            self.poll.remove(&socket)?;
            self.open -= 1;
            while let Some((number, _)) = self.connections[index].take_first() {
                self.recorder.record_given_up(number);
            }
        }
        Ok(())
    }

    /// Counts a connection as unexpected over which data arrived, but no message came back: the peer does not echo.
    fn count_unexpected_stream(&mut self, index: usize) {
        let finder = self.connections[index].finder.take();
        let is_unexpected = finder.is_some_and(|finder| finder.has_found_nothing());
        self.recorder.counts.unexpected += u64::from(is_unexpected);
    }

    /// Counts an error about an earlier datagram that the network reported.
    pub(super) fn count_network_error(&mut self) {
        self.recorder.counts.network_errors += u64::from(self.plan.address.ip().is_some());
    }

    /// Handles an error about an earlier datagram that a receive returned.
    pub(super) fn earlier_datagram_failed(&mut self, index: usize, error: io::Error) -> Result<(), Failure> {
        self.count_network_error();
        if is_too_long(&error) {
            // The kernel has noted the path MTU and fragments the next messages: ip(7), IP_MTU_DISCOVER.
            return Ok(());
        }
        self.datagram_refused(index, "receive from", error)?;
        if !self.refusals.is_first() || !self.plan.is_closed_loop() {
            return Ok(());
        }
        // The next message shows whether the error was forged.
        let given_up = self.connections[index].expire(Duration::MAX);
        given_up.into_iter().for_each(|number| self.recorder.record_given_up(number));
        self.enqueue(index, usize::from(given_up.is_some()))
    }

    /// Handles an error that says that the server does not receive datagrams. As long as it has replied to none, no server
    /// may be there.
    pub(super) fn datagram_refused(
        &mut self,
        index: usize,
        operation: &'static str,
        error: io::Error,
    ) -> Result<(), Failure> {
        if self.shared.answered.load(Ordering::Relaxed) == 0 {
            self.refusals.add(self.elapsed(), Failure { operation, error });
            return Ok(());
        }
        self.connections[index].is_refused = true;
        self.poll_writable(index, false)?;
        Ok(())
    }
}
