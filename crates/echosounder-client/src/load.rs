//! How much can it take: many connections, at a pace, every answer looked at.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use echosounder_socket::{Address, Endpoint, Error, Kind, Socket, family::vsock::VsockAddress};
use hdrhistogram::Histogram;

use crate::clock::now;
use crate::connect::{Call, connect_many};
use crate::driver::{Driver, Found, Shared, Tally, Task, histogram, prepare};
use crate::error::CallError;
use crate::pace::Pace;
use crate::payload::DATAGRAM_MIN;

/// Messages a second that another host is not sent unless it is said to be all right.
pub const STRANGERS_MAX: f64 = 100_000.0;

/// How often whoever runs a load is told how it goes.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Of this share of its time a thread that is busy could not have done more.
const BUSY: f64 = 0.9;

/// Messages that leave later than this were kept by the load, not by the server.
const LAG_MAX: Duration = Duration::from_millis(1);

/// What a load is to be.
#[derive(Clone, Debug)]
pub struct Load {
    /// Whom to call; its wait is how long each answer may take.
    pub call: Call,
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
}

/// Why a load did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nobody could be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A message is too short to be told from others.
    #[error("a datagram of a load has at least {DATAGRAM_MIN} bytes, to hold its number")]
    Short,
    /// It would reach many.
    #[error("{0} is the address of many hosts")]
    Many(String),
    /// It would be too much for a stranger.
    #[error("{0} is another host, and gets at most {max} messages a second", max = STRANGERS_MAX)]
    Stranger(String),
    /// This machine failed.
    #[error(transparent)]
    Local(Error),
}

/// How a load goes, told every second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Since the start, the warm-up included.
    pub elapsed: Duration,
    /// Messages sent since the start.
    pub sent: u64,
    /// Answers since the start.
    pub answered: u64,
    /// Answers a second since this was last told.
    pub rate: f64,
}

/// What came of a load.
#[derive(Debug)]
pub struct Report {
    /// Where the peer was.
    pub peer: String,
    /// What became of the messages.
    pub tally: Tally,
    /// From when each message was to leave until its last byte was back, in nanoseconds.
    pub latency: Histogram<u64>,
    /// How much later than due messages left, in nanoseconds; of an open loop.
    pub lag: Histogram<u64>,
    /// How long it was measured.
    pub elapsed: Duration,
    /// The share of the measured time that the busiest thread was on a processor, from 0 to 1.
    pub busy: f64,
}

impl Report {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds == 0.0 { 0.0 } else { self.tally.answered as f64 / seconds }
    }

    /// Whether the load itself was what could not go faster, rather than the server: a closed loop that had no time
    /// left, or an open one that sent one in a hundred messages a millisecond late.
    pub fn is_the_limit(&self) -> bool {
        match percentile(&self.lag, 99.0) {
            Some(lag) => LAG_MAX < lag,
            None => self.lag.is_empty() && BUSY <= self.busy,
        }
    }

    /// The time that so much of a hundred answers did not exceed, if there are enough for it to say anything: one at
    /// least beyond it.
    pub fn percentile(&self, of_100: f64) -> Option<Duration> {
        percentile(&self.latency, of_100)
    }
}

/// The value that so much of a hundred did not exceed, if there is one at least beyond it.
pub fn percentile(histogram: &Histogram<u64>, of_100: f64) -> Option<Duration> {
    let beyond = histogram.len() as f64 * (1.0 - of_100 / 100.0);
    (1.0 <= beyond).then(|| Duration::from_nanos(histogram.value_at_percentile(of_100)))
}

/// Puts a load on a server, and returns what came of it. `tell` is called every second; when it says `false`, the
/// load ends early.
///
/// # Errors
///
/// If the server cannot be reached, or the load is not to be put on it.
pub fn load(load: &Load, mut tell: impl FnMut(Interval) -> bool) -> Result<Report, LoadError> {
    let transport = load.call.endpoint.transport();
    if transport.kind() == Kind::Datagrams && load.sizes.0 < DATAGRAM_MIN {
        return Err(LoadError::Short);
    }
    let local = |operation, error| LoadError::Local(Error::new(operation, &load.call.endpoint, error));
    let (sockets, address) = connect_many(&load.call, load.connections.get())?;
    let peer = Endpoint::shown(transport, &address);
    if address.ip().is_some_and(|ip| ip.is_multicast()) {
        return Err(LoadError::Many(peer));
    }
    let stranger = !load.strangers_too && is_elsewhere(&address, &sockets);
    if let Pace::Open { rate, .. } = load.pace
        && stranger
        && STRANGERS_MAX < rate
    {
        return Err(LoadError::Stranger(peer));
    }
    sockets
        .iter()
        .try_for_each(|socket| prepare(socket, transport.kind()))
        .map_err(|error| local("prepare", error))?;

    let shared = Arc::new(Shared::default());
    let drivers = drivers(load, sockets, &shared).map_err(|error| local("poll", error))?;
    let start = now();
    let threads: io::Result<Vec<_>> = drivers
        .into_iter()
        .map(|driver| thread::Builder::new().name("load".into()).spawn(move || driver.run(start)))
        .collect();
    let threads = threads.map_err(|error| local("start a thread for", error))?;

    let mut watch = Watch { start, last: start, answered: 0 };
    let mut too_much = false;
    while !threads.iter().all(thread::JoinHandle::is_finished) {
        watch.pause();
        let interval = watch.interval(&shared);
        too_much |= stranger && STRANGERS_MAX < interval.rate;
        if too_much || (TELL_EVERY <= now() - watch.last && !watch.tell(&shared, &mut tell)) {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }
    let mut report = Report {
        peer,
        tally: Tally::default(),
        latency: histogram(),
        lag: histogram(),
        elapsed: Duration::ZERO,
        busy: 0.0,
    };
    for thread in threads {
        let found = thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the load panicked")));
        report.add(&found.map_err(|error| local("load", error))?);
    }
    if too_much { Err(LoadError::Stranger(report.peer)) } else { Ok(report) }
}

impl Report {
    fn add(&mut self, found: &Found) {
        self.tally.add(&found.tally);
        // Both have three digits and grow as they must.
        let _ = self.latency.add(&found.latency);
        let _ = self.lag.add(&found.lag);
        self.elapsed = self.elapsed.max(found.elapsed);
        let busy = found.cpu.as_secs_f64() / found.elapsed.as_secs_f64().max(1e-9);
        self.busy = self.busy.max(busy.min(1.0));
    }
}

/// Watches a load that runs.
struct Watch {
    start: std::time::Instant,
    /// When it was last told of.
    last: std::time::Instant,
    /// Answers until then.
    answered: u64,
}

impl Watch {
    /// Lets a moment pass; no longer than anybody would notice at the end.
    fn pause(&self) {
        let _ = echosounder_socket::ready([], Some(Duration::from_millis(20)));
    }

    fn interval(&self, shared: &Shared) -> Interval {
        let answered = shared.answered.load(Ordering::Relaxed);
        let since = (now() - self.last).as_secs_f64().max(0.1);
        Interval {
            elapsed: now() - self.start,
            sent: shared.sent.load(Ordering::Relaxed),
            answered,
            rate: (answered - self.answered) as f64 / since,
        }
    }

    fn tell(&mut self, shared: &Shared, tell: &mut impl FnMut(Interval) -> bool) -> bool {
        let interval = self.interval(shared);
        (self.last, self.answered) = (now(), interval.answered);
        tell(interval)
    }
}

/// Divides the connections and the pace among the threads.
fn drivers(load: &Load, sockets: Vec<Socket>, shared: &Arc<Shared>) -> io::Result<Vec<Driver>> {
    let transport = load.call.endpoint.transport();
    let threads = load.threads.get().min(sockets.len());
    let mut shares: Vec<Vec<Socket>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        shares[index % threads].push(socket);
    }
    let count = load.connections.get() as f64;
    let each_max = load.messages.map_or(u64::MAX, |messages| messages.div_ceil(threads as u64));
    let mut left = load.messages.unwrap_or(u64::MAX);
    let driver = |(thread, share): (usize, Vec<Socket>)| {
        let pace = match load.pace {
            Pace::Open { rate, spacing } => Pace::Open { rate: rate * share.len() as f64 / count, spacing },
            closed => closed,
        };
        let messages_max = each_max.min(left);
        left -= messages_max.min(left);
        let task = Task {
            kind: transport.kind(),
            pace,
            sizes: load.sizes,
            warm_up: load.warm_up,
            measured: load.duration,
            messages_max,
            wait: load.call.wait,
            hears_strangers: transport.hears_strangers(),
            seed: thread as u64 + 1,
        };
        Driver::new(task, share, Arc::clone(shared))
    };
    shares.into_iter().enumerate().map(driver).collect()
}

/// Whether the peer is on another host.
fn is_elsewhere(address: &Address, sockets: &[Socket]) -> bool {
    match address {
        Address::Unix(_) | Address::Netlink(_) => false,
        Address::Vsock(address) => address.cid != VsockAddress::CID_LOCAL,
        address => {
            // A host that calls itself does so from the address that it calls.
            let here = || sockets.first()?.local_addr().ok()?.ip();
            address.ip().is_some_and(|ip| !ip.is_loopback() && here() != Some(ip))
        }
    }
}
