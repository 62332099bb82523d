//! Workers that take their turns one by one, and a clock that the test moves.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::{Clock, Framing, Moment, MonoTime, PlainEcho, ReplyLimits, Responder, WallTime};
use echosounder_server::Totals;
use echosounder_server::internal::{
    Counters, DatagramWorker, EchoService, Limits, ReplyRules, Timeouts, Worker, WorkerLimits,
};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Socket, StopToken, Transport, option};

use crate::{Event, Record};

/// More turns than any test needs.
const TURNS_MAX: u32 = 10_000;

/// A clock that stands still, or moves by the same steps whenever it is read. Steps may be
/// negative.
#[derive(Clone, Debug)]
pub(crate) struct SteppedClock(Rc<State>);

#[derive(Debug)]
struct State {
    wall_ns: Cell<i64>,
    mono_ns: Cell<i64>,
    wall_step_ns: Cell<i64>,
    mono_step_ns: Cell<i64>,
}

impl SteppedClock {
    /// Returns the wall time without a step.
    pub(crate) fn wall(&self) -> WallTime {
        WallTime::from_nanos(self.0.wall_ns.get().cast_unsigned())
    }

    /// Moves the wall clock and the monotonic clock, each by its own number of nanoseconds.
    pub(crate) fn step(&self, wall_ns: i64, mono_ns: i64) {
        self.0.wall_ns.set(self.0.wall_ns.get() + wall_ns);
        self.0.mono_ns.set(self.0.mono_ns.get() + mono_ns);
    }

    /// Moves the clocks by these nanoseconds after each reading from now on.
    pub(crate) fn step_when_read(&self, wall_ns: i64, mono_ns: i64) {
        self.0.wall_step_ns.set(wall_ns);
        self.0.mono_step_ns.set(mono_ns);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Moment {
        let state = &self.0;
        let mono = MonoTime::from_origin(Duration::from_nanos(state.mono_ns.get().cast_unsigned()));
        let moment = Moment { wall: self.wall(), mono };
        self.step(state.wall_step_ns.get(), state.mono_step_ns.get());
        moment
    }
}

/// Returns a service with its clock and the record of its events.
pub(crate) fn service(
    stamp: &str,
    framing: Framing,
) -> (EchoService<SteppedClock, Record>, SteppedClock, Record) {
    let clock = SteppedClock(Rc::new(State {
        wall_ns: Cell::new(1_795_346_376_123_456_789),
        mono_ns: Cell::new(1_000_000_000),
        wall_step_ns: Cell::new(0),
        mono_step_ns: Cell::new(0),
    }));
    let responder = Responder { stamp: stamp.parse().unwrap(), framing };
    let record = Record::default();
    (EchoService::new(responder, "here".into(), clock.clone(), record.clone()), clock, record)
}

/// A worker of one datagram socket.
pub(crate) struct TestDatagramWorker {
    worker: DatagramWorker<SteppedClock, Record>,
    pub(crate) clock: SteppedClock,
    stop: StopToken,
    counters: Arc<Counters>,
}

impl TestDatagramWorker {
    pub(crate) fn new(stamp: &str, socket: Socket) -> Self {
        let (service, clock, _) = service(stamp, Framing::default());
        let (stop, counters) = (StopToken::new().unwrap(), Arc::clone(service.counters()));
        let rules = ReplyRules::new(PlainEcho::Local, &[], ReplyLimits::default());
        let worker = DatagramWorker::new(service, stop.clone(), socket, rules).unwrap();
        Self { worker, clock, stop, counters }
    }

    pub(crate) fn turn(&mut self) {
        self.worker.turn();
    }

    /// Stops the worker and waits for its end.
    pub(crate) fn stop(self) -> Totals {
        self.stop.stop();
        self.worker.run().unwrap();
        self.counters.totals()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.counters.totals()
    }
}

/// A worker of connections that are socket pairs.
pub(crate) struct TestWorker {
    pub(crate) worker: Worker<SteppedClock, Record>,
    pub(crate) clock: SteppedClock,
    turns: u32,
    stop: StopToken,
    record: Record,
    counters: Arc<Counters>,
}

impl TestWorker {
    /// Creates a worker without timeouts.
    pub(crate) fn new(stamp: &str, framing: Framing, backlog_max: usize) -> Self {
        let timeouts = Timeouts { idle: None, stall: Duration::MAX };
        Self::with_limits(stamp, framing, backlog_max, Limits::new(10_000, None), timeouts)
    }

    pub(crate) fn with_limits(
        stamp: &str,
        framing: Framing,
        backlog_max: usize,
        limits: Limits,
        timeouts: Timeouts,
    ) -> Self {
        let (shared, access) = (Arc::new(limits), Arc::default());
        let limits = WorkerLimits { shared, access, timeouts, backlog_max, socket_memory_max: u64::MAX };
        Self::with_worker_limits(stamp, framing, limits)
    }

    pub(crate) fn with_worker_limits(stamp: &str, framing: Framing, limits: WorkerLimits) -> Self {
        let (service, clock, record) = service(stamp, framing);
        let (stop, counters) = (StopToken::new().unwrap(), Arc::clone(service.counters()));
        let worker = Worker::new(service, stop.clone(), limits).unwrap();
        Self { worker, clock, turns: 0, stop, record, counters }
    }

    /// Connects a client of this name and returns its socket. Neither socket blocks, and each takes
    /// about `buffer` bytes before the other reads them.
    pub(crate) fn connect(&mut self, transport: Transport, name: &str, buffer: i32) -> Socket {
        let (near, far) = transport.pair().unwrap();
        for end in [&near, &far] {
            end.set_nonblocking(true).unwrap();
        }
        self.worker.adopt(near.try_clone().unwrap(), named(name), transport).unwrap();
        // The worker has limited the buffer of a UNIX stream.
        for end in [near, far.try_clone().unwrap()] {
            end.set_option(option::SO_SNDBUF, buffer).unwrap();
        }
        self.record.take();
        far
    }

    /// Takes a turn without waiting, and returns the events that were reported in it.
    pub(crate) fn turn(&mut self) -> Vec<Event> {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "an event that the test waits for does not occur");
        self.worker.turn(Some(Duration::ZERO)).unwrap();
        self.record.take()
    }

    /// Stops the worker and waits for its end.
    pub(crate) fn stop(self) {
        self.stop.stop();
        self.worker.run().unwrap();
    }

    pub(crate) fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// Takes turns until nothing changes any more, and returns the events of these turns.
    pub(crate) fn settle(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut unchanged = 0;
        while unchanged < 3 {
            let before = (self.totals(), self.worker.connections());
            events.extend(self.turn());
            let after = (self.totals(), self.worker.connections());
            unchanged = if before == after { unchanged + 1 } else { 0 };
        }
        events
    }
}

/// The abstract UNIX address of this name.
pub(crate) fn named(name: &str) -> Address {
    Address::Unix(UnixName::Abstract(name.as_bytes().into()))
}

/// Receives once without waiting. `None` means that nothing has arrived, no bytes mean the end.
pub(crate) fn receive(socket: &Socket, max: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; max];
    match socket.recv(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => {
            bytes.truncate(result.unwrap());
            Some(bytes)
        }
    }
}

/// Receives everything that has arrived.
pub(crate) fn receive_all(socket: &Socket) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(more) = receive(socket, 64 * 1024).filter(|more| !more.is_empty()) {
        bytes.extend(more);
    }
    bytes
}

/// Sends as many of the bytes as the socket takes, and returns their number.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> usize {
    match socket.send(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        result => result.unwrap(),
    }
}
