//! A link that loses, delays, duplicates and reorders, and records what it did, so that a test can
//! compare what `sounder ping` measured with what happened.
//!
//! A [`Forwarder`] listens on loopback and forwards to a server. For each request a closure decides
//! by its number what happens to it and to its replies; with a [`Random`](crate::Random) of a fixed
//! seed the same happens in every run. Requests are text echo probes of [`REQUEST_LEN`] bytes, or
//! packets that a [`MessageForm`] reads.

mod datagrams;
mod form;
mod log;
mod stream;

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use echosounder_socket::internal::set_timer_slack;
use echosounder_socket::option::{SO_TIMESTAMPING, TimestampingFlags};
use echosounder_socket::{ControlMessage, ControlSpace, Events, Interest, MessageFlags, Poll, Socket, ready};

pub use log::{Log, OneWay, RequestLog};

use crate::PATIENCE;
use datagrams::DatagramLink;
pub use form::MessageForm;
use stream::StreamLink;

/// Bytes of each request that a forwarder expects.
pub const REQUEST_LEN: usize = 64;

/// The position of the sequence number in a request: 19 digits behind the timestamp placeholder of
/// 42 bytes.
const SEQUENCE: Range<usize> = 42..61;

/// How long a forwarder waits at most before it looks whether it has to end.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// This long before a message is due, a forwarder spins, since timers are too coarse.
const SPIN: Duration = Duration::from_micros(500);

/// What happens to a message in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// How long the forwarder holds it.
    pub delay: Duration,
    /// How many copies arrive; 0 if the message is lost.
    pub copies: usize,
}

/// What happens to a request and to each reply to it.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// From the client to the server.
    pub up: Passage,
    /// From the server to the client.
    pub down: Passage,
}

impl Fate {
    /// Both arrive once, after these delays in milliseconds.
    pub fn delayed(up_ms: u64, down_ms: u64) -> Self {
        let passage = |millis| Passage { delay: Duration::from_millis(millis), copies: 1 };
        Self { up: passage(up_ms), down: passage(down_ms) }
    }
}

/// A link to a server. It works until [`end`](Self::end) is called or it is dropped.
#[derive(Debug)]
pub struct Forwarder {
    endpoint: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Log>>,
}

impl Forwarder {
    /// Forwards datagrams to a `udp://ADDRESS:PORT` server.
    pub fn datagrams(server: &str, fate: impl FnMut(u64) -> Fate + Send + 'static) -> Self {
        Self::datagrams_by(server, MessageForm::TEXT, fate)
    }

    /// Forwards datagrams of that form to a `udp://ADDRESS:PORT` server.
    pub fn datagrams_by(
        server: &str,
        form: MessageForm,
        fate: impl FnMut(u64) -> Fate + Send + 'static,
    ) -> Self {
        let facing = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let beyond = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        beyond.connect(server.strip_prefix("udp://").unwrap()).unwrap();
        let endpoint = format!("udp://{}", facing.local_addr().unwrap());
        let link = DatagramLink::new(timestamped(facing), timestamped(beyond), form, fate);
        Self::start(endpoint, |stop| link.run(&stop))
    }

    /// Forwards one connection to a `tcp://ADDRESS:PORT` server.
    ///
    /// The bytes of each read are held for the longest delay of the requests that they belong to,
    /// and are then sent in segments of `segment_lens` bytes: those of the requests, and those of
    /// the replies. Nothing is lost or reordered.
    pub fn stream(
        server: &str,
        segment_lens: (usize, usize),
        fate: impl FnMut(u64) -> Fate + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let server: SocketAddr = server.strip_prefix("tcp://").unwrap().parse().unwrap();
        Self::start(endpoint, move |stop| {
            let wanted = [(listener.as_fd(), Interest::READ)];
            assert!(ready(wanted, Some(PATIENCE)).unwrap()[0].can_read(), "no client has connected");
            let (facing, _) = listener.accept().unwrap();
            let beyond = TcpStream::connect(server).unwrap();
            StreamLink::new(facing, beyond, segment_lens, fate).run(&stop)
        })
    }

    fn start(endpoint: String, run: impl FnOnce(Arc<AtomicBool>) -> Log + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            set_timer_slack(Duration::from_nanos(1)).unwrap();
            run(shared)
        });
        Self { endpoint, stop, thread: Some(thread) }
    }

    /// Returns the endpoint that a client connects to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Ends the forwarder and returns its log.
    pub fn end(mut self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Makes a socket non-blocking and has the kernel report when each message arrived.
fn timestamped(socket: impl Into<OwnedFd>) -> Socket {
    let socket = Socket::from_fd(socket.into()).unwrap();
    let flags = TimestampingFlags::RX_SOFTWARE | TimestampingFlags::SOFTWARE;
    socket.set_option(SO_TIMESTAMPING, flags).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Returns the time since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the log is compared with the measurements of a program")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// One read from a socket.
struct Arrival {
    len: usize,
    /// When the kernel received it, since the Unix epoch.
    time: Duration,
    from: Option<SocketAddr>,
}

/// Reads the available bytes, or returns `None` if there are none.
fn receive(socket: &Socket, buffer: &mut [u8]) -> Option<Arrival> {
    let message =
        socket.recv_msg(&mut [IoSliceMut::new(buffer)], ControlSpace::of(48), MessageFlags::NONE).ok()?;
    let time = message.control.iter().find_map(|control| match control {
        ControlMessage::Timestamping { software, .. } => *software,
        _ => None,
    });
    let from = message.from.and_then(|from| Some(SocketAddr::from((from.ip()?, from.port()?))));
    Some(Arrival { len: message.len, time: time.unwrap_or_else(now), from })
}

/// Waits until something arrives or is due.
fn wait(poll: &Poll, events: &mut Events, due: Option<Duration>) {
    let left = due.map_or(CHECK_INTERVAL, |due| due.saturating_sub(now()).min(CHECK_INTERVAL));
    poll.wait_precise(events, left.saturating_sub(SPIN)).unwrap();
}

/// Returns the sequence number of a request or of the reply to it.
fn sequence(message: &[u8]) -> Option<u64> {
    std::str::from_utf8(message.get(SEQUENCE)?).ok()?.parse().ok()
}
