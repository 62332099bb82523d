//! A worker that takes its turns one by one, and a clock that goes when it is told to.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::{Clock, Framing, Moment, MonoTime, PlainEcho, Responder, WallTime};
use echosounder_server::{
    Counters, DatagramWorker, Limits, Timeouts, Totals, Worker, WorkerConfig, WorkerLimits,
};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Socket, Transport, Waker, option};

use crate::{Record, Told};

/// More turns than any test needs.
const TURNS_MAX: u32 = 10_000;

/// A clock that stands still, or moves by the same steps whenever somebody reads it.
#[derive(Clone, Debug)]
pub(crate) struct HandClock(Rc<Hands>);

#[derive(Debug)]
struct Hands {
    wall: Cell<i64>,
    mono: Cell<i64>,
    wall_step: Cell<i64>,
    mono_step: Cell<i64>,
}

impl HandClock {
    /// The time of day, in nanoseconds since 1970.
    pub(crate) fn wall(&self) -> WallTime {
        WallTime::from_nanos(self.0.wall.get().cast_unsigned())
    }

    /// Moves both hands, each by its own width in nanoseconds.
    pub(crate) fn step(&self, wall: i64, mono: i64) {
        self.0.wall.set(self.0.wall.get() + wall);
        self.0.mono.set(self.0.mono.get() + mono);
    }

    /// From now on both hands move after each reading.
    pub(crate) fn step_when_read(&self, wall: i64, mono: i64) {
        self.0.wall_step.set(wall);
        self.0.mono_step.set(mono);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        let hands = &self.0;
        let mono = MonoTime::from_origin(Duration::from_nanos(hands.mono.get().cast_unsigned()));
        let moment = Moment { wall: self.wall(), mono };
        self.step(hands.wall_step.get(), hands.mono_step.get());
        moment
    }
}

fn setup(stamp: &str, framing: Framing) -> WorkerConfig<HandClock, Record> {
    let clock = HandClock(Rc::new(Hands {
        wall: Cell::new(1_795_346_376_123_456_789),
        mono: Cell::new(1_000_000_000),
        wall_step: Cell::new(0),
        mono_step: Cell::new(0),
    }));
    WorkerConfig {
        responder: Responder { stamp: stamp.parse().unwrap(), framing },
        host: "here".into(),
        counters: Arc::default(),
        stop: Arc::new(Waker::new().unwrap()),
        clock,
        observer: Record::default(),
    }
}

/// A worker of one datagram socket.
pub(crate) struct DatagramTable {
    worker: DatagramWorker<HandClock, Record>,
    pub(crate) clock: HandClock,
    stop: Arc<Waker>,
    counters: Arc<Counters>,
}

impl DatagramTable {
    pub(crate) fn new(stamp: &str, socket: Socket) -> Self {
        let setup = setup(stamp, Framing::default());
        let (clock, stop) = (setup.clock.clone(), Arc::clone(&setup.stop));
        let counters = Arc::clone(&setup.counters);
        Self { worker: DatagramWorker::new(setup, socket, PlainEcho::Local).unwrap(), clock, stop, counters }
    }

    pub(crate) fn turn(&mut self) {
        self.worker.turn();
    }

    /// Tells the worker to stop, and lets it come to its end.
    pub(crate) fn stop(self) -> Totals {
        self.stop.wake().unwrap();
        self.worker.run().unwrap();
        self.counters.totals()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.counters.totals()
    }
}

/// A worker, with everything that a test wants to know of it.
pub(crate) struct Table {
    pub(crate) worker: Worker<HandClock, Record>,
    pub(crate) clock: HandClock,
    turns: u32,
    stop: Arc<Waker>,
    record: Record,
    counters: Arc<Counters>,
}

impl Table {
    pub(crate) fn new(stamp: &str, framing: Framing, kept_max: usize) -> Self {
        let patience = Timeouts { idle: None, stall: Duration::MAX };
        Self::with_limits(stamp, framing, kept_max, Limits::new(10_000, None), patience)
    }

    /// A table of a worker that is not as patient, or has not as many places.
    pub(crate) fn with_limits(
        stamp: &str,
        framing: Framing,
        kept_max: usize,
        limits: Limits,
        patience: Timeouts,
    ) -> Self {
        let setup = setup(stamp, framing);
        let (clock, record) = (setup.clock.clone(), setup.observer.clone());
        let (stop, counters) = (Arc::clone(&setup.stop), Arc::clone(&setup.counters));
        let worker =
            Worker::new(setup, WorkerLimits { limits: Arc::new(limits), patience, kept_max }).unwrap();
        Self { worker, clock, turns: 0, stop, record, counters }
    }

    /// A new peer of this name: the far end of a connection that the worker serves. Neither end blocks, and
    /// each takes only about so many bytes before the other reads them.
    pub(crate) fn seat(&mut self, transport: Transport, name: &str, buffer: i32) -> Socket {
        let (near, far) = transport.pair().unwrap();
        for end in [&near, &far] {
            end.set_blocking(false).unwrap();
            end.set_option(option::SO_SNDBUF, buffer).unwrap();
        }
        let peer = Address::Unix(UnixName::Abstract(name.as_bytes().into()));
        self.worker.adopt(near, peer, transport).unwrap();
        self.record.take();
        far
    }

    /// One turn, without waiting; returns what was told in it.
    pub(crate) fn turn(&mut self) -> Vec<Told> {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "what is waited for does not come");
        self.worker.turn(Some(Duration::ZERO)).unwrap();
        self.record.take()
    }

    /// Tells the worker to stop, and lets it come to its end.
    pub(crate) fn stop(self) {
        self.stop.wake().unwrap();
        self.worker.run().unwrap();
    }

    pub(crate) fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// Turns until nothing more is answered, and returns what was told meanwhile.
    pub(crate) fn settle(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        let mut idle = 0;
        while idle < 3 {
            let before = (self.totals(), self.worker.connections());
            told.extend(self.turn());
            let after = (self.totals(), self.worker.connections());
            idle = if before == after { idle + 1 } else { 0 };
        }
        told
    }
}

/// What a socket that does not block has to say: `None` is nothing for now, no bytes are the end.
pub(crate) fn hear(socket: &Socket, max: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; max];
    match socket.recv(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => {
            bytes.truncate(result.unwrap());
            Some(bytes)
        }
    }
}

/// Everything that a socket has to say for now.
pub(crate) fn hear_all(socket: &Socket) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(more) = hear(socket, 64 * 1024).filter(|more| !more.is_empty()) {
        bytes.extend(more);
    }
    bytes
}

/// Says as much of `bytes` as the socket takes, and returns how much that was.
pub(crate) fn say(socket: &Socket, bytes: &[u8]) -> usize {
    match socket.send(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        result => result.unwrap(),
    }
}
