//! How much can it take: many connections, at a pace, every answer looked at.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echosounder_proto::{FailureKind, NUMBERED_MIN};
use echosounder_socket::{Address, Endpoint, Error, Kind, Socket, family::vsock::VsockAddress};
use hdrhistogram::Histogram;

use crate::clock::Deadline;
use crate::clock::now;
use crate::connect::{Candidates, ConnectOptions, connect_many, is_multicast_or_broadcast};
use crate::distribution::Distribution;
use crate::driver::{Counts, Driver, Failure, LoadPlan, LoadResult, Shared, histogram, prepare};
use crate::error::ClientError;
use crate::pace::Pace;

/// Messages a second that another host is not sent unless it is said to be all right.
pub const STRANGERS_MAX: f64 = 100_000.0;

/// Bytes that a closed loop may have under way on all connections.
const UNDER_WAY_MAX: usize = 1 << 30;

/// Bytes that an open loop may come to have under way, before it leaves messages out.
const ROOM: usize = 256 << 20;

/// What is kept of a message beside its bytes.
const BESIDE: usize = 64;

/// How often whoever runs a load is told how it goes.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A thread that had so much of its time to do something could not have done more.
const BUSY: f64 = 0.9;

/// Messages that leave later than this were kept by the load, not by the server.
const LAG_MAX: Duration = Duration::from_millis(1);

/// What a load is to be.
#[derive(Clone, Debug)]
pub struct Load {
    /// Whom to call; its wait is how long each answer may take.
    pub call: ConnectOptions,
    /// How many connections, or sockets where there are none.
    pub connections: NonZeroUsize,
    /// When messages leave.
    pub pace: Pace,
    /// The shortest and the longest message, in bytes.
    pub sizes: (usize, usize),
    /// How long it goes on without being measured, at the beginning.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Option<Duration>,
    /// How many messages are measured at most.
    pub messages: Option<u64>,
    /// How many threads send.
    pub threads: NonZeroUsize,
    /// Whether another host may be sent more than [`STRANGERS_MAX`].
    pub strangers_too: bool,
    /// How often the report so far is told; `None` for never.
    pub checkpoint_every: Option<Duration>,
    /// Set by whoever wants it to end now.
    pub stop: Arc<AtomicBool>,
}

/// Why a load did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nobody could be reached.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// A message is too short to be told from others.
    #[error("the minimum message size on datagram sockets is {NUMBERED_MIN} bytes, for the sequence number")]
    Short,
    /// It would reach many.
    #[error("cannot connect to {0}: it is a multicast or broadcast address")]
    Many(String),
    /// It would be too much for this machine.
    #[error("{messages} messages of up to {size} bytes in flight need more than 1 GiB of memory")]
    Heavy {
        /// How many would be under way.
        messages: usize,
        /// How long they might be.
        size: usize,
    },
    /// It would be too much for a stranger.
    #[error("{0} is another host: the maximum rate is {max} messages per second", max = STRANGERS_MAX)]
    Stranger(String),
    /// What rx_times back is not what was sent.
    #[error("cannot measure {0}: a reply does not contain its request (not an echo server?)")]
    NotAnEcho(String),
    /// This machine failed.
    #[error(transparent)]
    Local(Error),
}

/// What is told of a load while it runs.
#[derive(Debug)]
pub enum LoadEvent<'a> {
    /// A second has passed.
    Interval(LoadInterval),
    /// The report so far, every [`Load::checkpoint_every`].
    Checkpoint(&'a LoadReport),
}

/// How a load goes, told every second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadInterval {
    /// Since the start, the warm-up included.
    pub elapsed: Duration,
    /// Messages sent since the start.
    pub sent: u64,
    /// Answers since the start.
    pub answered: u64,
    /// Answers a second since it was last told.
    pub rate: f64,
}

/// What rx_times of a load.
#[derive(Debug)]
pub struct LoadReport {
    /// Where the peer was.
    pub peer: String,
    /// What became of the messages.
    pub tally: Counts,
    /// From when each message was to leave until its last byte was back, in nanoseconds.
    pub latency: Histogram<u64>,
    /// How much later than due messages left, in nanoseconds; of an open loop.
    pub lag: Histogram<u64>,
    /// From the end of the warm-up until the last measured answer.
    pub elapsed: Duration,
    /// The share of the time in which messages were sent that the busiest thread was on a processor, from 0 to 1.
    pub busy: f64,
    /// The share that it waited for one.
    pub starved: f64,
    /// How long nothing had come back at the end, at least, if that was too long.
    pub gave_up: Option<Duration>,
    /// Messages sent, those of the warm-up included.
    pub sent_in_all: u64,
    /// Answers, those of the warm-up included.
    pub answered_in_all: u64,
}

impl LoadReport {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds == 0.0 { 0.0 } else { self.tally.answered as f64 / seconds }
    }

    /// Whether it is the load, or the want of processors for it, that could not go faster, rather than the server: a
    /// closed loop that had no time left, or an open one that sent one in a hundred messages a millisecond late.
    pub fn is_the_limit(&self) -> bool {
        match percentile(&self.lag, 99.0) {
            Some(lag) => LAG_MAX < lag,
            None => self.lag.is_empty() && BUSY <= self.busy + self.starved,
        }
    }

    /// Whether more threads would help a load that is the limit.
    pub fn is_busy(&self) -> bool {
        BUSY <= self.busy
    }

    /// What the peer has failed in, if it has answered nothing that was measured, or nothing any more.
    pub fn failure(&self, connections: NonZeroUsize) -> Option<LoadError> {
        let tally = &self.tally;
        let any = tally.answered + tally.late != 0;
        let (word, why) = match self.gave_up {
            _ if !any && tally.wrong != 0 => return Some(LoadError::NotAnEcho(self.peer.clone())),
            _ if !any && tally.closed == connections.get() as u64 => {
                (FailureKind::Closed, "the server closed every connection".to_owned())
            }
            Some(silence) if self.answered_in_all != 0 => {
                (FailureKind::Timeout, format!("no reply arrived in the last {silence:?}"))
            }
            _ if any || self.sent_in_all <= self.answered_in_all => return None,
            _ if self.answered_in_all != 0 => {
                (FailureKind::Timeout, "no reply arrived after the warm-up".to_owned())
            }
            _ => (FailureKind::Timeout, "no reply arrived".to_owned()),
        };
        let error = Error::new("measure", &self.peer, io::Error::other(why));
        Some(ClientError::Peer(word, error).into())
    }

    /// Whether every reply is there that was to come. Where messages can be lost on the way, how many are is a part of
    /// what is measured, unless a certain number was asked for.
    pub fn is_complete(&self, load: &Load) -> bool {
        let may_lose = load.call.endpoint.transport().kind() == Kind::Datagrams && load.messages.is_none();
        self.tally.answered != 0
            && self.tally.wrong == 0
            && self.tally.closed == 0
            && (may_lose || self.tally.lost() == 0)
    }

    /// Whether no message rx_times due while it was measured.
    pub fn came_to_nothing(&self) -> bool {
        let tally = &self.tally;
        tally.sent + tally.unsent + tally.closed + tally.wrong == 0
    }

    /// The time that so much of a hundred answers did not exceed, if there are enough for it to say anything: one at
    /// least beyond it.
    pub fn percentile(&self, of_100: f64) -> Option<Duration> {
        percentile(&self.latency, of_100)
    }

    /// Returns the 99th percentile, or of fewer than a hundred replies the maximum.
    pub fn p99_or_max(&self) -> Option<Duration> {
        let max = || (!self.latency.is_empty()).then(|| Duration::from_nanos(self.latency.max()));
        self.percentile(99.0).or_else(max)
    }
}

/// The value that so much of a hundred did not exceed, if there is one at least beyond it.
pub fn percentile(histogram: &Histogram<u64>, of_100: f64) -> Option<Duration> {
    Distribution::from(histogram)
        .percentile(of_100)
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map(Duration::from_nanos)
}

/// Puts a load on a server, and returns what rx_times of it. `tell` is told how it goes.
///
/// # Errors
///
/// If the server cannot be reached, or the load is not to be put on it.
pub fn load(load: &Load, mut tell: impl FnMut(LoadEvent<'_>)) -> Result<LoadReport, LoadError> {
    let transport = load.call.endpoint.transport();
    check(load)?;
    let mut candidates = Candidates::of(&load.call, Deadline::after(load.call.wait), &load.stop)?;
    if let Some(many) = candidates.addresses().find(|address| is_multicast_or_broadcast(address)) {
        return Err(LoadError::Many(Endpoint::display(transport, many)));
    }
    let mut failures = Vec::new();
    loop {
        let failed = match connect_many(&mut candidates, &load.call, load.connections.get()) {
            Ok((sockets, address)) => run(load, sockets, &address, &mut tell),
            Err(error) => Err(error.into()),
        };
        match failed {
            // Nobody is at this address; the name may have another one.
            Err(LoadError::Call(error))
                if error.word().is_some() && candidates.addresses().next().is_some() =>
            {
                failures.push(error);
            }
            Err(LoadError::Call(error)) => {
                failures.push(error);
                return Err(ClientError::all(failures).into());
            }
            done => return done,
        }
    }
}

/// Puts the load on a peer, once its sockets are there.
fn run(
    load: &Load,
    sockets: Vec<Socket>,
    address: &Address,
    tell: &mut impl FnMut(LoadEvent<'_>),
) -> Result<LoadReport, LoadError> {
    let transport = load.call.endpoint.transport();
    let local = |operation, error| LoadError::Local(Error::new(operation, &load.call.endpoint, error));
    let peer = Endpoint::display(transport, address);
    let stranger = !load.strangers_too && is_remote(address, &sockets);
    let at_once = match load.pace {
        Pace::Open { rate, .. } => rate,
        Pace::Closed { depth } => load.connections.get().saturating_mul(depth) as f64,
    };
    if stranger && STRANGERS_MAX < at_once {
        return Err(LoadError::Stranger(peer));
    }
    sockets
        .iter()
        .try_for_each(|socket| prepare(socket, transport.kind()))
        .map_err(|error| local("prepare", error))?;

    let shared = Arc::new(Shared { stop: Arc::clone(&load.stop), ..Shared::default() });
    let drivers = drivers(load, sockets, address, &shared).map_err(|error| local("poll", error))?;
    let start = now();
    let threads: io::Result<Vec<_>> = drivers
        .into_iter()
        .map(|driver| thread::Builder::new().name("load".into()).spawn(move || driver.run(start)))
        .collect();
    let threads = threads.map_err(|error| local("start a thread for", error))?;

    let mut watch = Progress { start, last: start, before: (0, 0), checkpoint: start };
    let mut too_much = false;
    while !threads.iter().all(thread::JoinHandle::is_finished) {
        watch.pause();
        if stranger && STRANGERS_MAX < watch.sent_since(&shared) as f64 {
            too_much = true;
            shared.failed.store(true, Ordering::Relaxed);
        }
        if TELL_EVERY <= now() - watch.last {
            tell(LoadEvent::Interval(watch.interval(&shared)));
        }
        if let Some(report) = watch.checkpoint(load, &shared, &peer, threads.len()) {
            tell(LoadEvent::Checkpoint(&report));
        }
    }
    let mut report = LoadReport::new(peer);
    let mut silences = Vec::new();
    for thread in threads {
        let panicked = |_| Err(io::Error::other("a thread of the load panicked").into());
        let found = thread.join().unwrap_or_else(panicked);
        let found = found.map_err(|Failure { operation, error }| {
            ClientError::of(operation, &report.peer, address, error)
        })?;
        report.add(&found);
        silences.push(found.gave_up);
    }
    // If any thread was answered, the peer was not silent.
    report.gave_up = silences.into_iter().min().flatten();
    report.sent_in_all = shared.sent.load(Ordering::Relaxed);
    report.answered_in_all = shared.answered.load(Ordering::Relaxed);
    if too_much { Err(LoadError::Stranger(report.peer)) } else { Ok(report) }
}

/// Whether the load can be told from noise, and kept.
fn check(load: &Load) -> Result<(), LoadError> {
    let (low, high) = load.sizes;
    if load.call.endpoint.transport().kind() == Kind::Datagrams && low < NUMBERED_MIN {
        return Err(LoadError::Short);
    }
    if let Pace::Closed { depth } = load.pace {
        let messages = load.connections.get().saturating_mul(depth);
        if UNDER_WAY_MAX < messages.saturating_mul(high + BESIDE) {
            return Err(LoadError::Heavy { messages, size: high });
        }
    }
    Ok(())
}

impl LoadReport {
    fn new(peer: String) -> Self {
        Self {
            peer,
            tally: Counts::default(),
            latency: histogram(),
            lag: histogram(),
            elapsed: Duration::ZERO,
            busy: 0.0,
            starved: 0.0,
            gave_up: None,
            sent_in_all: 0,
            answered_in_all: 0,
        }
    }

    fn add(&mut self, found: &LoadResult) {
        self.tally.add(&found.tally);
        // Both have three digits and grow as they must.
        let _ = self.latency.add(&found.latency);
        let _ = self.lag.add(&found.lag);
        self.elapsed = self.elapsed.max(found.elapsed);
        if self.busy + self.starved < found.busy + found.starved {
            (self.busy, self.starved) = (found.busy, found.starved);
        }
    }
}

/// Watches a load that runs.
struct Progress {
    start: Instant,
    /// When it was last told of.
    last: Instant,
    /// Messages sent and answered until then.
    before: (u64, u64),
    /// When the threads were last asked for what they have found so far.
    checkpoint: Instant,
}

impl Progress {
    /// Lets a moment pass; no longer than anybody would notice at the end.
    fn pause(&self) {
        let _ = echosounder_socket::ready([], Some(Duration::from_millis(20)));
    }

    /// Messages sent since it was last told of, so within a second.
    fn sent_since(&self, shared: &Shared) -> u64 {
        shared.sent.load(Ordering::Relaxed).saturating_sub(self.before.0)
    }

    /// Asks for the report so far when it is time, and returns it when it is there. When a thread has ended, the whole
    /// report is near, and none so far comes any more.
    fn checkpoint(&mut self, load: &Load, shared: &Shared, peer: &str, threads: usize) -> Option<LoadReport> {
        if load.checkpoint_every? <= now() - self.checkpoint {
            self.checkpoint = now();
            shared.ask();
        }
        let so_far = shared.take_so_far(threads)?;
        let mut report = LoadReport::new(peer.to_owned());
        so_far.iter().for_each(|found| report.add(found));
        report.sent_in_all = shared.sent.load(Ordering::Relaxed);
        report.answered_in_all = shared.answered.load(Ordering::Relaxed);
        Some(report)
    }

    fn interval(&mut self, shared: &Shared) -> LoadInterval {
        let (sent, answered) = (shared.sent.load(Ordering::Relaxed), shared.answered.load(Ordering::Relaxed));
        let at = now();
        let rate = (answered - self.before.1) as f64 / (at - self.last).as_secs_f64();
        (self.last, self.before) = (at, (sent, answered));
        LoadInterval { elapsed: at - self.start, sent, answered, rate }
    }
}

/// Divides the connections and the pace among the threads.
fn drivers(
    load: &Load,
    sockets: Vec<Socket>,
    address: &Address,
    shared: &Arc<Shared>,
) -> io::Result<Vec<Driver>> {
    let transport = load.call.endpoint.transport();
    let threads = load.threads.get().min(sockets.len());
    let mut shares: Vec<Vec<Socket>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        shares[index % threads].push(socket);
    }
    let count = load.connections.get() as f64;
    let messages = |thread: usize| match load.messages {
        // The first threads take what is left over.
        Some(messages) => {
            let (threads, thread) = (threads as u64, thread as u64);
            messages / threads + u64::from(thread < messages % threads)
        }
        None => u64::MAX,
    };
    let driver = |(thread, share): (usize, Vec<Socket>)| {
        let pace = match load.pace {
            Pace::Open { rate, spacing } => Pace::Open { rate: rate * share.len() as f64 / count, spacing },
            closed => closed,
        };
        // Threads in step with each other would send in bursts.
        let first = match load.pace {
            Pace::Open { rate, .. } => Duration::try_from_secs_f64(thread as f64 / rate).unwrap_or_default(),
            Pace::Closed { .. } => Duration::ZERO,
        };
        let task = LoadPlan {
            kind: transport.kind(),
            address: address.clone(),
            pace,
            first,
            sizes: load.sizes,
            warm_up: load.warm_up,
            measured: load.duration,
            messages_max: messages(thread),
            wait: load.call.wait,
            receives_from_any: transport.receives_from_any(),
            room: ROOM / load.connections.get(),
            seed: thread as u64 + 1,
        };
        Driver::new(task, share, Arc::clone(shared))
    };
    shares.into_iter().enumerate().map(driver).collect()
}

/// Whether the peer is on another host.
fn is_remote(address: &Address, sockets: &[Socket]) -> bool {
    match address {
        Address::Unix(_) | Address::Netlink(_) => false,
        Address::Vsock(address) => address.cid != VsockAddress::CID_LOCAL,
        address => {
            // A host that calls itself does so from the address that it calls.
            let here = || sockets.first()?.local_addr().ok()?.ip();
            address.ip().is_some_and(|ip| !ip.is_loopback() && !ip.is_unspecified() && here() != Some(ip))
        }
    }
}
