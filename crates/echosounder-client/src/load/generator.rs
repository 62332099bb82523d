//! The generator of one thread of a load: its state and its results.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime};
use echosounder_socket::{Events, Kind, Poll, Socket, StopToken};

use super::connection::Connection;
use super::counts::Counts;
use super::cpu::CpuMeter;
use super::fresh::FreshConnections;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::pace::{Pace, Random, Schedule};
use super::phase::{Phase, Sweep};
use super::plan::LoadPlan;
use super::recorder::{Recorder, Times};
use super::refusals::Refusals;
use super::shared::Shared;
use super::tcp_sum::TcpSum;
use super::thread_result::{CpuShare, ThreadResult};
use crate::distribution::Distribution;
use crate::starvation::Starvation;
use crate::tcp_reading::TcpReading;

/// The maximum number of events of one turn.
const EVENTS_MAX: usize = 256;

/// Sends messages on the connections of one thread and checks every reply.
///
/// [`load`](fn@super::load) runs one generator in each of its threads. To run one elsewhere, or
/// with another clock, create it over connected sockets and call [`turn`](Self::turn) until it
/// returns `false`:
///
/// ```
/// use std::time::Duration;
///
/// use echosounder_client::internal::{Generator, LoadPlan, SystemClock};
/// use echosounder_client::{Pace, SizeRange};
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
/// ours.set_nonblocking(true)?;
/// let mut generator = Generator::new(plan, vec![ours], SystemClock::new(), StopToken::new()?)?;
/// while generator.turn(Duration::MAX)? {}
/// assert_eq!((generator.counts().sent, generator.counts().answered), (100, 100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Generator<C> {
    pub(super) plan: LoadPlan,
    pub(super) kind: Kind,
    pub(super) clock: C,
    /// The origin of all times of the load.
    start: MonoTime,
    pub(super) phase: Phase,
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
    /// Since when no reply has arrived, although messages were sent or are due.
    pub(super) silent_since: Option<Duration>,
    pub(super) refusals: Refusals,
    pub(super) sweep: Sweep,
    pub(super) send_starvation: Starvation,
    pub(super) receive_starvation: Starvation,
    pub(super) cpu_meter: CpuMeter,
    pub(super) cpu: CpuShare,
    pub(super) silence: Option<Duration>,
    /// Connections that have ended since the last result.
    tcp: TcpSum,
    pub(super) after_reply: AfterReply,
    /// The exchanges of a load that makes a connection for each message.
    pub(super) fresh: Option<FreshConnections>,
}

/// What a connection does when a reply has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterReply {
    /// It sends the next message of a closed loop.
    Send,
    /// It waits until a message of an open loop is due.
    Wait,
    /// It is closed.
    Close,
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
        let connections = sockets.into_iter().map(Connection::new).collect();
        let mut generator = Self::with_connections(plan, connections, clock, shared)?;
        for (token, connection) in generator.connections.iter_mut().enumerate() {
            connection.start_polling(&generator.poll, token as u64, false)?;
        }
        Ok(generator)
    }

    /// Creates the generator of a load that makes a connection for each message, and shares its
    /// state with other threads.
    pub(super) fn with_fresh(
        plan: LoadPlan,
        fresh: FreshConnections,
        clock: C,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let connections = (0..fresh.len()).map(|_| Connection::closed()).collect();
        let generator = Self::with_connections(plan, connections, clock, shared)?;
        Ok(Self { after_reply: AfterReply::Close, fresh: Some(fresh), ..generator })
    }

    fn with_connections(
        plan: LoadPlan,
        connections: Vec<Connection>,
        clock: C,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
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
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            open: connections.len(),
            connections,
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
            send_starvation: Starvation::default(),
            receive_starvation: Starvation::default(),
            cpu_meter: CpuMeter::start(Duration::ZERO),
            cpu: CpuShare::default(),
            silence: None,
            tcp: TcpSum::default(),
            after_reply: if plan.is_closed_loop() { AfterReply::Send } else { AfterReply::Wait },
            fresh: None,
            plan,
        })
    }

    /// Sets the origin of all times, before the first turn: threads that start together have the
    /// same.
    pub(super) fn start_at(&mut self, start: MonoTime) {
        self.start = start;
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
        Distribution::from_histogram(self.recorder.latency())
    }

    /// Returns the times from when each message of an open loop was due until it was sent.
    pub fn send_delay(&self) -> Distribution {
        Distribution::from_histogram(self.recorder.send_delay())
    }

    /// Returns the counters so far, and takes the times since the last result. Messages in flight
    /// are not lost yet, so they do not count as sent.
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
        let tcp = std::mem::take(&mut self.tcp);
        let exchanges = self.fresh.as_mut().map(FreshConnections::take_times);
        ThreadResult {
            thread,
            request,
            counts,
            in_flight,
            latency,
            send_delay,
            exchanges,
            elapsed,
            cpu,
            silence,
            tcp,
        }
    }
}

/// Time and events.
impl<C: Clock> Generator<C> {
    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.mono() - self.start
    }

    /// Returns the monotonic time, whose origin is the clock's.
    pub(super) fn mono(&self) -> MonoTime {
        self.clock.mono()
    }

    /// Reads the kernel's state of a connection that ends.
    pub(super) fn read_tcp(&mut self, index: usize) {
        if self.fresh.is_some() {
            // Connections of one message have no state worth a system call each.
            return;
        }
        let socket = self.connections[index].socket.as_ref();
        let last = socket.and_then(|socket| TcpReading::of(socket, self.plan.transport));
        last.into_iter().for_each(|last| self.tcp.add(last));
    }

    pub(super) fn poll_writable(&mut self, index: usize, writable: bool) -> io::Result<()> {
        self.connections[index].poll_writable(&self.poll, index as u64, writable)
    }
}
