//! Tests of the server: single connections without a kernel, workers turn by turn over socket
//! pairs, and whole servers over the kernel's sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bind;
mod connections;
mod corpus;
mod crowd;
mod datagrams;
mod examples;
mod fairness;
mod flood;
mod harness;
mod header;
mod library;
mod limits;
mod path;
mod reflector;
mod service;
mod time;
mod turns;
mod unread;

use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use echosounder_proto::{DropReason, Framing};
use echosounder_server::{
    BindError, CloseReason, Config, DisconnectReason, Observer, Running, Server, ServerEvent, Totals,
};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, Interest, IpVersion, Kind, Shutdown, Side, Socket, ready};
use echosounder_testkit::{Folder, PATIENCE, has_ipv6, skip, unique};

/// Length of `[{ctime}] `.
const CTIME: usize = 27;

/// An event of a server, with the client's address as text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Connected(String),
    Message(String, Vec<u8>),
    /// The number of messages that were replied to, and why the connection ended.
    Closed(String, u64, Reason),
    /// The operation that failed.
    Error(&'static str),
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Finished,
    Failed(io::ErrorKind),
    Disconnected(DisconnectReason),
}

/// An observer that records everything.
#[derive(Clone, Debug, Default)]
struct Record(Arc<Mutex<Vec<Event>>>);

impl Record {
    /// Removes and returns the events so far.
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Record {
    fn observe(&mut self, event: ServerEvent<'_>) {
        let event = match event {
            ServerEvent::Connected { peer } => Event::Connected(peer.to_string()),
            ServerEvent::Message { peer, bytes } => Event::Message(peer.to_string(), bytes.into()),
            ServerEvent::Closed { peer, messages, reason } => {
                let reason = match reason {
                    CloseReason::Finished => Reason::Finished,
                    CloseReason::Failed(error) => Reason::Failed(error.kind()),
                    CloseReason::Disconnected(reason) => Reason::Disconnected(reason),
                    _ => return,
                };
                Event::Closed(peer.to_string(), messages, reason)
            }
            ServerEvent::Error { operation, .. } => Event::Error(operation),
            _ => return,
        };
        self.0.lock().unwrap().push(event);
    }

    fn wants_messages(&self) -> bool {
        true
    }
}

fn size(size: usize) -> Framing {
    Framing::Size(NonZeroUsize::new(size).unwrap())
}

fn line(max: usize) -> Framing {
    Framing::Line(NonZeroUsize::new(max).unwrap())
}

fn dropped(totals: &Totals, reason: DropReason) -> u64 {
    totals.dropped_for(reason)
}

/// A server to bind: its endpoints, and its configuration, which it stands for.
struct Plan {
    endpoints: Vec<String>,
    config: Config,
}

impl Plan {
    /// Changes the configuration.
    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    fn bind(self) -> Result<Server, BindError> {
        self.config.bind(self.endpoints)
    }
}

impl Deref for Plan {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl DerefMut for Plan {
    fn deref_mut(&mut self) -> &mut Config {
        &mut self.config
    }
}

/// Returns the plan of a server on these endpoints with one worker.
fn config(endpoints: &[&str]) -> Plan {
    let endpoints = endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect();
    Plan { endpoints, config: Config::new().host("here").stall_timeout(PATIENCE) }
}

/// Starts a server. Returns its endpoints as well.
fn start(plan: Plan) -> (Running, Vec<Endpoint>) {
    let running = plan.bind().unwrap().start().unwrap();
    let endpoints = running.endpoints().cloned().collect();
    (running, endpoints)
}

/// Stops a server.
fn stop(running: Running) -> Totals {
    stopping(running).recv_timeout(PATIENCE).expect("a server stops in bounded time").unwrap()
}

/// Stops a server in a thread. The receiver gets the totals when it has stopped.
fn stopping(running: Running) -> mpsc::Receiver<io::Result<Totals>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || drop(sender.send(running.stop())));
    receiver
}

/// Address families and protocols that not every kernel has, with an endpoint of each.
const OPTIONAL: [(&str, &str); 5] = [
    ("vsock", "vsock://local:0"),
    ("tipc", "tipc://21567:0?scope=node"),
    ("netlink", "netlink://0"),
    ("mptcp", "mptcp://127.0.0.1:0"),
    ("sctp", "sctp://127.0.0.1:0"),
];

/// Returns which of these families this kernel has, and reports the others as skipped.
fn optional_families() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&str>> = OnceLock::new();
    let try_bind = |endpoint: &str| {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
        endpoint.transport().socket(&address)?.bind(&address)
    };
    FOUND.get_or_init(|| {
        let found = OPTIONAL.iter().filter(|(name, endpoint)| match try_bind(endpoint) {
            Ok(()) => true,
            Err(error) => {
                skip(name, &error);
                false
            }
        });
        found.map(|(name, _)| *name).collect()
    })
}

/// Returns endpoints of the families that not every kernel has.
fn optional_endpoints() -> Vec<String> {
    static SERVICE: AtomicU32 = AtomicU32::new(0);
    let service = || 1000 + SERVICE.fetch_add(1, Ordering::Relaxed);
    let mut endpoints = Vec::new();
    for family in optional_families() {
        match *family {
            "vsock" => {
                endpoints.extend(["vsock", "vsock-seqpacket"].map(|scheme| format!("{scheme}://local:0")))
            }
            "tipc" => endpoints.extend(
                ["tipc", "tipc-seqpacket", "tipc-rdm", "tipc-dgram"]
                    .map(|scheme| format!("{scheme}://{}:{}?scope=node", service(), process::id())),
            ),
            "netlink" => endpoints.push("netlink://0".into()),
            family => {
                endpoints.push(format!("{family}://127.0.0.1:0"));
                if has_ipv6() {
                    endpoints.push(format!("{family}://[::1]:0"));
                }
            }
        }
    }
    endpoints
}

/// Returns endpoints of every transport, with every form of name that this machine has.
fn all_endpoints(folder: &Folder) -> Vec<String> {
    let mut endpoints = vec!["tcp://127.0.0.1:0".into(), "udp://127.0.0.1:0".into()];
    if has_ipv6() {
        endpoints.extend(["tcp://[::1]:0".into(), "udp://[::1]:0".into()]);
    }
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        endpoints.push(folder.endpoint(scheme, scheme));
        endpoints.push(format!("{scheme}:@{}", unique()));
    }
    endpoints.extend(optional_endpoints());
    endpoints
}

/// A client over a kernel socket.
#[derive(Debug)]
struct Client {
    socket: Socket,
    kind: Kind,
    half_closes: bool,
}

impl Client {
    fn of(endpoint: &Endpoint) -> Self {
        let address = endpoint.resolve(Side::Client, IpVersion::Any).unwrap().remove(0);
        let socket = endpoint.transport().socket(&address).unwrap();
        let kind = endpoint.transport().kind();
        if kind == Kind::Datagrams && matches!(address, Address::Unix(_)) {
            socket.bind(Address::Unix(UnixName::Unnamed)).unwrap();
        }
        socket.set_timeout(Some(PATIENCE)).unwrap();
        socket.connect(&address).unwrap();
        Self { socket, kind, half_closes: endpoint.transport().half_closes() }
    }

    fn send(&self, mut bytes: &[u8]) {
        loop {
            let sent = self.socket.send(bytes).unwrap();
            bytes = &bytes[sent..];
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Receives the next bytes or the next message. No bytes mean the end.
    fn recv(&self) -> Vec<u8> {
        assert!(self.is_readable(PATIENCE), "nothing arrived");
        let mut buffer = vec![0; 256 * 1024];
        let len = self.socket.recv(&mut buffer).unwrap();
        buffer.truncate(len);
        buffer
    }

    /// Receives `len` bytes of a stream, or a message of that length.
    fn recv_exact(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.recv();
        while self.kind == Kind::Stream && bytes.len() < len {
            let more = self.recv();
            assert!(!more.is_empty(), "the end came after {bytes:?}");
            bytes.extend(more);
        }
        assert_eq!(bytes.len(), len, "{bytes:?}");
        bytes
    }

    /// Receives everything up to the end.
    fn recv_all(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match self.recv() {
                more if more.is_empty() => return bytes,
                more => bytes.extend(more),
            }
        }
    }

    /// Finishes sending, if the transport can half-close.
    fn finish(&self) {
        if self.half_closes {
            self.socket.shutdown(Shutdown::Write).unwrap();
        }
    }

    fn is_readable(&self, wait: Duration) -> bool {
        let [state] = ready([(self.socket.as_fd(), Interest::READ)], Some(wait)).unwrap();
        state.can_read()
    }

    /// Sends a message and checks that its reply is the message with a `ctime` timestamp.
    fn echo(&self, message: &[u8]) {
        self.send(message);
        let reply = self.recv_exact(CTIME + message.len());
        assert!(echosounder_proto::starts_with_timestamp(&reply), "{reply:?}");
        assert_eq!(&reply[CTIME..], message);
    }
}
