//! A way that loses, delays, repeats and swaps what goes over it, and remembers what it has done: the truth that a ping is
//! to find.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use echosounder_socket::option::{SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE};
use echosounder_socket::{
    ControlMessage, Events, Interest, MessageFlags, Poll, Shutdown, Socket, control_space, ready,
    set_timer_slack,
};

use crate::support::PATIENCE;

/// Bytes of a call of these tests. Its number has 19 digits, behind the blank of 42 bytes.
pub(crate) const LEN: usize = 64;
const NUMBER: Range<usize> = 42..61;

/// The longest time until a forwarder sees that it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Less than this before something is due, a timer would be too coarse.
const SHORT: Duration = Duration::from_micros(500);

/// What happens to a message on one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) delay: Duration,
    /// How often it arrives: 0 if it is lost.
    pub(crate) copies: usize,
}

/// What happens to a call, and to each answer to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) up: Way,
    pub(crate) down: Way,
}

impl Fate {
    /// It arrives, after so many milliseconds on each way.
    pub(crate) fn delayed(up: u64, down: u64) -> Self {
        let way = |millis| Way { delay: Duration::from_millis(millis), copies: 1 };
        Self { up: way(up), down: way(down) }
    }
}

/// Chance, the same each time: Steele, Lea and Flood's SplitMix.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

/// What was done to a call, by the system's clock, in nanoseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deed {
    /// When it came, as the kernel saw it.
    pub(crate) arrived: u64,
    /// What the first answer to it said: when the server had it, and when the answer left.
    pub(crate) stamps: Option<(u64, u64)>,
    /// When each answer was passed on.
    pub(crate) answered: Vec<u64>,
}

/// All that was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) calls: BTreeMap<u64, Deed>,
    /// The numbers of the answers, in the order in which they were passed on.
    pub(crate) order: Vec<u64>,
}

impl Deeds {
    /// Calls of which no answer was passed on.
    pub(crate) fn lost(&self) -> usize {
        self.calls.values().filter(|deed| deed.answered.is_empty()).count()
    }

    /// Answers beyond the first to each.
    pub(crate) fn duplicates(&self) -> usize {
        self.calls.values().map(|deed| deed.answered.len().saturating_sub(1)).sum()
    }

    /// The calls whose first answer was passed on after one to a later call.
    pub(crate) fn reordered(&self) -> Vec<u64> {
        let (mut seen, mut newest) = (BTreeSet::new(), 0);
        let is_late = |number: &&u64| {
            let late = seen.insert(**number) && **number < newest;
            newest = newest.max(**number);
            late
        };
        self.order.iter().filter(is_late).copied().collect()
    }

    /// What the two ways of a call took, in nanoseconds: from its arrival here to that at the server, and back.
    pub(crate) fn ways(&self, number: u64) -> Option<(i64, i64)> {
        let deed = self.calls.get(&number)?;
        let (rx, tx) = deed.stamps?;
        Some((span(deed.arrived, rx), span(tx, *deed.answered.first()?)))
    }
}

fn span(from: u64, to: u64) -> i64 {
    i64::try_from(i128::from(to) - i128::from(from)).unwrap()
}

/// A way to a server, until it is dropped.
pub(crate) struct Forwarder {
    pub(crate) endpoint: String,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Deeds>>,
}

impl Forwarder {
    /// Passes datagrams on to the server at this endpoint; `fate` says of each call by its number what happens to it.
    pub(crate) fn datagrams(server: &str, fate: impl FnMut(u64) -> Fate + Send + 'static) -> Self {
        let facing = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let beyond = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        beyond.connect(server.strip_prefix("udp://").unwrap()).unwrap();
        let endpoint = format!("udp://{}", facing.local_addr().unwrap());
        let link = Link::new(timed(facing), timed(beyond), fate);
        Self::start(endpoint, |over| link.run(&over))
    }

    /// Passes one connection on to the server at this endpoint: what comes is held so long on each way, as the number of
    /// the call says that begins in it or goes on, and leaves in pieces of so many bytes.
    pub(crate) fn stream(
        server: &str,
        pieces: (usize, usize),
        fate: impl FnMut(u64) -> Fate + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let server: SocketAddr = server.strip_prefix("tcp://").unwrap().parse().unwrap();
        Self::start(endpoint, move |over| {
            let wanted = [(listener.as_fd(), Interest::Read)];
            assert!(ready(wanted, Some(PATIENCE)).unwrap()[0].readable, "nobody has connected");
            let (facing, _) = listener.accept().unwrap();
            let beyond = TcpStream::connect(server).unwrap();
            Pipe::new(facing, beyond, pieces, fate).run(&over)
        })
    }

    fn start(endpoint: String, run: impl FnOnce(Arc<AtomicBool>) -> Deeds + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&over);
        let thread = thread::spawn(move || {
            set_timer_slack().unwrap();
            run(shared)
        });
        Self { endpoint, over, thread: Some(thread) }
    }

    /// Ends it, and tells what it has done.
    pub(crate) fn end(mut self) -> Deeds {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The socket, which tells when something came.
fn timed(socket: impl Into<OwnedFd>) -> Socket {
    let socket = Socket::from_fd(socket.into()).unwrap();
    socket.set_option(SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE).unwrap();
    socket.set_blocking(false).unwrap();
    socket
}

#[expect(clippy::disallowed_methods, reason = "what was done is compared with what was measured of it")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// What comes next, with the time when the kernel saw it and where from.
fn receive(socket: &Socket, buffer: &mut [u8]) -> Option<(usize, Duration, Option<SocketAddr>)> {
    let message =
        socket.recv_msg(&mut [IoSliceMut::new(buffer)], control_space(48), MessageFlags::NONE).ok()?;
    let told = message.control.iter().find_map(|control| match control {
        ControlMessage::Timestamping { software, .. } => *software,
        _ => None,
    });
    let from = message.from.ip().zip(message.from.port()).map(SocketAddr::from);
    Some((message.len, told.unwrap_or_else(now), from))
}

/// Waits until something comes or is due.
fn wait(poll: &Poll, events: &mut Events, due: Option<Duration>) {
    let left = due.map_or(LOOK, |due| due.saturating_sub(now()).min(LOOK));
    // The last of it is spun, as timers are coarse.
    poll.wait_exactly(events, left.saturating_sub(SHORT)).unwrap();
}

fn number_of(message: &[u8]) -> Option<u64> {
    str::from_utf8(message.get(NUMBER)?).ok()?.parse().ok()
}

/// The times in a stamp of nanoseconds.
fn stamps_of(message: &[u8]) -> Option<(u64, u64)> {
    let time = |place: Range<usize>| str::from_utf8(message.get(place)?).ok()?.parse().ok();
    Some((time(1..20)?, time(21..40)?)).filter(|(rx, _)| *rx != 0)
}

/// A datagram that waits; what is due first goes first, and of these what came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Duration,
    place: u64,
    up: bool,
    bytes: Vec<u8>,
}

struct Link<F> {
    facing: Socket,
    beyond: Socket,
    client: Option<SocketAddr>,
    fate: F,
    fates: BTreeMap<u64, Fate>,
    held: BinaryHeap<Reverse<Held>>,
    count: u64,
    deeds: Deeds,
}

impl<F: FnMut(u64) -> Fate> Link<F> {
    fn new(facing: Socket, beyond: Socket, fate: F) -> Self {
        let (fates, held) = (BTreeMap::new(), BinaryHeap::new());
        Self { facing, beyond, client: None, fate, fates, held, count: 0, deeds: Deeds::default() }
    }

    fn run(mut self, over: &AtomicBool) -> Deeds {
        let (poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(4));
        poll.add(&self.facing, 0, Interest::Read).unwrap();
        poll.add(&self.beyond, 1, Interest::Read).unwrap();
        let mut buffer = [0; 65_536];
        while !over.load(Ordering::Relaxed) {
            let due = self.held.peek().map(|Reverse(held)| held.due);
            wait(&poll, &mut events, due);
            while let Some((len, at, from)) = receive(&self.facing, &mut buffer) {
                self.client = from;
                self.take(true, &buffer[..len], at);
            }
            while let Some((len, at, _)) = receive(&self.beyond, &mut buffer) {
                self.take(false, &buffer[..len], at);
            }
            while self.held.peek().is_some_and(|Reverse(held)| held.due <= now()) {
                let Reverse(held) = self.held.pop().unwrap();
                self.pass_on(&held);
            }
        }
        self.deeds
    }

    fn take(&mut self, up: bool, bytes: &[u8], at: Duration) {
        let number = number_of(bytes).unwrap();
        let fate = *self.fates.entry(number).or_insert_with(|| (self.fate)(number));
        let deed = self.deeds.calls.entry(number).or_default();
        let way = if up {
            deed.arrived = nanos(at);
            fate.up
        } else {
            deed.stamps = deed.stamps.or_else(|| stamps_of(bytes));
            fate.down
        };
        for _ in 0..way.copies {
            self.count += 1;
            let (due, place, bytes) = (at + way.delay, self.count, bytes.to_vec());
            self.held.push(Reverse(Held { due, place, up, bytes }));
        }
    }

    fn pass_on(&mut self, held: &Held) {
        if held.up {
            // A server that is not there is one of the things that may happen.
            let _ = self.beyond.send(&held.bytes);
            return;
        }
        let number = number_of(&held.bytes).unwrap();
        let at = nanos(now());
        if self.facing.send_to(&held.bytes, &self.client.unwrap().into()).is_ok() {
            self.deeds.calls.entry(number).or_default().answered.push(at);
            self.deeds.order.push(number);
        }
    }
}

/// Bytes on one way of a stream.
struct Flow {
    piece: usize,
    held: VecDeque<(Duration, Vec<u8>)>,
    /// How many bytes have come, and how many have left.
    come: usize,
    left: usize,
}

struct Pipe<F> {
    /// The client's and the server's; of the flows, the first goes from that to this.
    sockets: [Socket; 2],
    flows: [Flow; 2],
    fate: F,
    /// The answers, of which there are as many bytes as of calls.
    answers: Vec<u8>,
    deeds: Deeds,
}

impl<F: FnMut(u64) -> Fate> Pipe<F> {
    fn new(facing: TcpStream, beyond: TcpStream, pieces: (usize, usize), fate: F) -> Self {
        facing.set_nodelay(true).unwrap();
        beyond.set_nodelay(true).unwrap();
        let flow = |piece| Flow { piece, held: VecDeque::new(), come: 0, left: 0 };
        Self {
            sockets: [facing, beyond].map(timed),
            flows: [flow(pieces.0), flow(pieces.1)],
            fate,
            answers: Vec::new(),
            deeds: Deeds::default(),
        }
    }

    fn run(mut self, over: &AtomicBool) -> Deeds {
        let (poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(4));
        self.sockets.iter().for_each(|socket| poll.add(socket, 0, Interest::Read).unwrap());
        let mut buffer = [0; 65_536];
        while !over.load(Ordering::Relaxed) {
            let dues = self.flows.iter().filter_map(|flow| flow.held.front().map(|(due, _)| *due));
            wait(&poll, &mut events, dues.min());
            for way in [0, 1] {
                match receive(&self.sockets[way], &mut buffer) {
                    // The client has gone, or the server, and so does the other.
                    Some((0, ..)) => return self.close(),
                    Some((len, at, _)) => self.take(way, &buffer[..len], at),
                    None => {}
                }
                while self.flows[way].held.front().is_some_and(|(due, _)| *due <= now()) {
                    let (_, bytes) = self.flows[way].held.pop_front().unwrap();
                    if self.pass_on(way, &bytes).is_err() {
                        return self.close();
                    }
                }
            }
        }
        self.close()
    }

    fn close(self) -> Deeds {
        self.sockets.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
        self.deeds
    }

    fn take(&mut self, way: usize, bytes: &[u8], at: Duration) {
        let number = |byte: usize| u64::try_from(byte / LEN).unwrap() + 1;
        let flow = &mut self.flows[way];
        let fates = flow.come / LEN..=(flow.come + bytes.len() - 1) / LEN;
        let fates = fates.map(|call| (self.fate)(number(call * LEN)));
        let delays = fates.map(|fate| if way == 0 { fate.up.delay } else { fate.down.delay });
        let delay = delays.max().unwrap();
        flow.held.push_back((at + delay, bytes.to_vec()));
        if way == 0 {
            // A call has arrived with its last byte.
            let ended = (flow.come / LEN..(flow.come + bytes.len()) / LEN).map(|call| number(call * LEN));
            ended.for_each(|call| self.deeds.calls.entry(call).or_default().arrived = nanos(at));
        } else {
            self.answers.extend_from_slice(bytes);
        }
        flow.come += bytes.len();
    }

    fn pass_on(&mut self, way: usize, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(self.flows[way].piece) {
            let before = nanos(now());
            let mut rest = piece;
            while !rest.is_empty() {
                match self.sockets[1 - way].send(rest) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                    sent => rest = &rest[sent?..],
                }
            }
            let flow = &mut self.flows[way];
            let ended = flow.left / LEN..(flow.left + piece.len()) / LEN;
            flow.left += piece.len();
            for place in ended.filter(|_| way == 1) {
                let number = u64::try_from(place).unwrap() + 1;
                let answer = &self.answers[place * LEN..(place + 1) * LEN];
                let deed = self.deeds.calls.entry(number).or_default();
                deed.stamps = stamps_of(answer).filter(|_| number_of(answer) == Some(number));
                deed.answered.push(before);
                self.deeds.order.push(number);
            }
        }
        Ok(())
    }
}
