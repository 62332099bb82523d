//! Reaching somebody: every address of a name, with staggered starts, until one takes the call.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use echosounder_proto::FailureKind;
use echosounder_socket::family::inet::Host;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{
    Address, Endpoint, Error, Events, Interest, IpVersion, Kind, Name, Poll, Side, Socket, Transport,
    is_out_of_descriptors, option,
};

use crate::clock::Deadline;
use crate::error::ClientError;

/// How long it takes to notice that somebody wants an attempt to end.
const NOTICE: Duration = Duration::from_millis(50);

/// How long an address is tried alone before the next is tried beside it: RFC 8305 §5.
const STAGGER: Duration = Duration::from_millis(250);

/// How many descriptors a lookup needs at once, at most.
const DESCRIPTORS: usize = 4;

/// How many addresses of a name are tried. The name server chooses them, and could send us to thousands.
const ADDRESSES_MAX: usize = 16;

/// Whom to call, and how.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Whom.
    pub endpoint: Endpoint,
    /// Which addresses of a name to try.
    pub ip_version: IpVersion,
    /// From where; `None` for wherever the way there begins.
    pub source: Option<Source>,
    /// What is said of its packets.
    pub marks: IpOptions,
    /// How long to try, all addresses together; then, how long to wait for each answer.
    pub wait: Duration,
}

/// What the packets of a call say of how they are to be carried; `None` leaves it to the system. Only hosts' do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpOptions {
    /// The differentiated services code point, up to 63: RFC 2474.
    pub dscp: Option<u8>,
    /// How many routers may pass them on: the time to live, or hop limit.
    pub ttl: Option<u8>,
}

/// Where a call leaves from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address of this machine. Only addresses of its family can be called.
    Address(IpAddr),
    /// An interface, whatever the routes say: SO_BINDTODEVICE, socket(7).
    Interface(String),
}

/// The addresses of an endpoint that have not been tried.
#[derive(Debug)]
pub(crate) struct Candidates {
    transport: Transport,
    source: Option<Source>,
    marks: IpOptions,
    addresses: VecDeque<Address>,
    stop: Stop,
}

/// Set by whoever wants an attempt to end before its time.
pub(crate) type Stop = Arc<AtomicBool>;

fn check(stop: &Stop) -> Result<(), ClientError> {
    if stop.load(Ordering::Relaxed) { Err(ClientError::Interrupted) } else { Ok(()) }
}

impl Candidates {
    /// Looks the endpoint's name up.
    pub(crate) fn of(call: &ConnectOptions, deadline: Deadline, stop: &Stop) -> Result<Self, ClientError> {
        let mut addresses = resolve(call, deadline, stop)?;
        if let Some(Source::Address(ip)) = &call.source {
            addresses.retain(|address| is_v6(address) == ip.is_ipv6());
            if addresses.is_empty() {
                let error = io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("the name has no address of the family of {ip}"),
                );
                return Err(ClientError::Local(Error::new("resolve", &call.endpoint, error)));
            }
        }
        let addresses = to_be_tried(addresses);
        let (transport, source) = (call.endpoint.transport(), call.source.clone());
        Ok(Self { transport, source, marks: call.marks, addresses, stop: Arc::clone(stop) })
    }

    /// Refuses a name that stands for many hosts: a connected socket hears only the address it is connected to, and
    /// nobody sends from a group's.
    pub(crate) fn refuse_many(&self, endpoint: &Endpoint) -> Result<(), ClientError> {
        if !self.addresses().any(is_multicast_or_broadcast) {
            return Ok(());
        }
        let error = io::Error::other("it is a multicast or broadcast address");
        Err(ClientError::Local(Error::new("connect to", endpoint, error)))
    }

    /// Those that have not been tried.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// Connects to the first address that takes it; `None` if there was none left.
    ///
    /// Connections are tried at all addresses, each beginning a little after the one before it, or at once when
    /// that has failed. Of datagrams nobody can tell before they are sent, so there only the next is taken.
    pub(crate) fn connect(&mut self, deadline: Deadline) -> Option<Result<(Socket, Address), ClientError>> {
        if self.addresses.is_empty() {
            return None;
        }
        if self.transport.kind() != Kind::Datagrams {
            return Some(self.race(deadline));
        }
        let mut failures = Vec::new();
        while let Some(address) = self.addresses.pop_front() {
            if deadline.is_over() {
                failures.push(failure(self.transport, &address, io::ErrorKind::TimedOut.into()));
                break;
            }
            match self.begin(&address, deadline) {
                Ok((socket, _)) => return Some(Ok((socket, address))),
                Err(error) => failures.push(error),
            }
        }
        Some(Err(ClientError::all(failures)))
    }

    fn race(&mut self, deadline: Deadline) -> Result<(Socket, Address), ClientError> {
        let mut race = Race::new(self.transport).map_err(|error| self.local("poll", error))?;
        let mut next_start = Deadline::after(Duration::ZERO);
        loop {
            check(&self.stop)?;
            let idle = race.is_idle();
            if deadline.is_over() {
                return Err(self.too_late(race));
            }
            if (idle || next_start.is_over())
                && let Some(address) = self.addresses.pop_front()
            {
                next_start = Deadline::after(STAGGER);
                match self.begin(&address, deadline) {
                    Ok((socket, true)) => return Ok((socket, address)),
                    Ok((socket, false)) => {
                        race.enter(socket, address).map_err(|error| self.local("poll", error))?
                    }
                    Err(error) => race.failures.push(error),
                }
            } else if idle {
                return Err(race.lost());
            } else {
                let until = if self.addresses.is_empty() { deadline } else { deadline.earlier(next_start) };
                if let Some(winner) = race.wait(until).map_err(|error| self.local("poll", error))? {
                    return Ok(winner);
                }
            }
        }
    }

    /// Why nobody was reached in time.
    fn too_late(&mut self, mut race: Race) -> ClientError {
        if race.has_begun() {
            return race.lost();
        }
        let timeout = |address| failure(self.transport, &address, io::ErrorKind::TimedOut.into());
        race.failures.extend(self.addresses.pop_front().map(timeout));
        race.lost()
    }

    /// Begins to connect; whether it is done already is returned.
    fn begin(&self, address: &Address, deadline: Deadline) -> Result<(Socket, bool), ClientError> {
        let socket =
            self.transport.socket(address).map_err(|error| failure(self.transport, address, error))?;
        self.check_loopback(address)?;
        if let Some(source) = &self.source {
            leave_from(&socket, source)?;
        }
        self.marks.apply(&socket, address).map_err(|error| self.local("mark the packets of", error))?;
        let done = match address {
            Address::Unix(_) => {
                connect_by_path(&socket, self.transport, address, deadline, &self.stop).map(|()| true)
            }
            _ => begin_to_connect(&socket, address),
        };
        match done {
            Ok(done) => Ok((socket, done)),
            Err(error) => check(&self.stop).and(Err(self.failed(address, error))),
        }
    }

    /// A connection to an address has failed at once. Some errors have two reasons each; a datagram socket that has
    /// neither the port nor the source that this one was to have tells them apart.
    fn failed(&self, address: &Address, error: io::Error) -> ClientError {
        use io::ErrorKind::{AddrNotAvailable, InvalidInput, NetworkUnreachable, PermissionDenied};
        let endpoint = Endpoint::display(self.transport, address);
        match (error.kind(), address, &self.source) {
            // No local port, or no address of this machine to reach an IPv6 address from.
            (AddrNotAvailable, Address::Inet6(_), None) if probe(address, false) == Err(AddrNotAvailable) => {
                ClientError::Peer(FailureKind::Unreachable, Error::new("connect to", &endpoint, error))
            }
            // A route that discards what is sent, or a source that is not allowed on the way there.
            (InvalidInput, _, Some(Source::Address(source))) if probe(address, false).is_ok() => {
                let error = Error::new("connect to", &format!("{endpoint} from {source}"), error);
                ClientError::Local(error.with_address(address))
            }
            // A route that prohibits it, or none, or the address of all hosts of a network.
            (PermissionDenied | NetworkUnreachable, Address::Inet(_), _)
                if probe(address, false) == Err(PermissionDenied) && probe(address, true).is_ok() =>
            {
                let error = io::Error::other("it is a multicast or broadcast address");
                ClientError::Local(Error::new("connect to", &endpoint, error))
            }
            _ => failure(self.transport, address, error),
        }
    }

    /// Without VSOCK loopback a call to this machine goes to its host, which never answers; only a bind tells.
    fn check_loopback(&self, address: &Address) -> Result<(), ClientError> {
        let here = VsockAddress { cid: VsockAddress::CID_LOCAL, port: VsockAddress::PORT_ANY };
        match address {
            Address::Vsock(VsockAddress { cid: VsockAddress::CID_LOCAL, .. }) => {}
            _ => return Ok(()),
        }
        let bound = self.transport.socket(address).and_then(|socket| socket.bind(&here.into()));
        match bound {
            Err(error) if self.transport.is_absent(address, &error) => {
                let endpoint = Endpoint::display(self.transport, address);
                Err(ClientError::Absent(Error::new("connect to", &endpoint, error)))
            }
            _ => Ok(()),
        }
    }

    fn local(&self, operation: &'static str, error: io::Error) -> ClientError {
        ClientError::Local(Error::new(operation, &self.transport.scheme(), error))
    }
}

/// How many connections are begun before the first of them is waited for.
const WINDOW: usize = 128;

/// Connects so many times to the first address that takes a call. When it is to stop, those that are there by then are
/// returned.
pub(crate) fn connect_many(
    candidates: &mut Candidates,
    call: &ConnectOptions,
    count: usize,
) -> Result<(Vec<Socket>, Address), ClientError> {
    // Each that is there gives the next as much time.
    let mut deadline = Deadline::after(call.wait);
    let nobody = || Err(ClientError::timeout("connect to", &call.endpoint));
    let (first, address) = candidates.connect(deadline).unwrap_or_else(nobody)?;
    let mut sockets = vec![first];
    let mut race = Race::new(candidates.transport).map_err(|error| candidates.local("poll", error))?;
    let mut running = 0;
    while sockets.len() < count && check(&candidates.stop).is_ok() {
        if sockets.len() + running < count && running < WINDOW {
            deadline = Deadline::after(call.wait);
            match candidates.begin(&address, deadline)? {
                (socket, true) => sockets.push(socket),
                (socket, false) => {
                    race.enter(socket, address.clone()).map_err(|error| candidates.local("poll", error))?;
                    running += 1;
                }
            }
        } else if let Some((socket, _)) =
            race.wait(deadline).map_err(|error| candidates.local("poll", error))?
        {
            sockets.push(socket);
            running -= 1;
        } else if !race.failures.is_empty() {
            // Nothing is known of those that are still on their way.
            return Err(ClientError::all(race.failures));
        } else if deadline.is_over() {
            return Err(race.lost());
        }
    }
    Ok((sockets, address))
}

/// Connections that are on their way, each to its address.
struct Race {
    transport: Transport,
    poll: Poll,
    events: Events,
    /// In the order of their starts; those that have failed are gone.
    running: Vec<Option<(Socket, Address)>>,
    failures: Vec<ClientError>,
}

impl Race {
    fn new(transport: Transport) -> io::Result<Self> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(8));
        Ok(Self { transport, poll, events, running: Vec::new(), failures: Vec::new() })
    }

    /// Whether any address has been tried.
    fn has_begun(&self) -> bool {
        !self.running.is_empty() || !self.failures.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    fn enter(&mut self, socket: Socket, address: Address) -> io::Result<()> {
        self.poll.add(&socket, self.running.len() as u64, Interest::Write)?;
        self.running.push(Some((socket, address)));
        Ok(())
    }

    /// Waits until something has happened, the time is up, or it is to be looked whether to stop; the first that is
    /// connected wins.
    fn wait(&mut self, until: Deadline) -> io::Result<Option<(Socket, Address)>> {
        self.poll.wait(&mut self.events, until.earlier(Deadline::after(NOTICE)).left())?;
        let mut told = 0;
        while let Some(event) = self.events.get(told) {
            told += 1;
            let place = usize::try_from(event.token).unwrap_or(usize::MAX);
            let Some((socket, address)) = self.running.get_mut(place).and_then(Option::take) else {
                continue;
            };
            match socket.take_error().and_then(|()| refuse_itself(&socket)) {
                Ok(()) => return Ok(Some((socket, address))),
                Err(error) => self.failures.push(failure(self.transport, &address, error)),
            }
        }
        Ok(None)
    }

    /// Why nobody has won: how each has failed, and that the others were too slow.
    fn lost(self) -> ClientError {
        let mut failures = self.failures;
        for (_, address) in self.running.into_iter().flatten() {
            failures.push(failure(self.transport, &address, io::ErrorKind::TimedOut.into()));
        }
        ClientError::all(failures)
    }
}

/// How connecting a datagram socket to a host ends, if it may or may not send to all hosts of a network. Nothing is sent.
fn probe(address: &Address, to_all: bool) -> Result<(), io::ErrorKind> {
    let connect = || {
        let socket = Transport::Udp.socket(address)?;
        socket.set_option(option::SO_BROADCAST, to_all)?;
        socket.connect(address)
    };
    connect().map_err(|error: io::Error| error.kind())
}

/// A connection to an address has failed.
fn failure(transport: Transport, address: &Address, error: io::Error) -> ClientError {
    ClientError::of("connect to", &Endpoint::display(transport, address), address, error)
}

/// The addresses that are tried, in that order.
fn to_be_tried(addresses: Vec<Address>) -> VecDeque<Address> {
    interleave(addresses).into_iter().take(ADDRESSES_MAX).collect()
}

/// Addresses of both families in turn, each family in its order, so that one that leads nowhere costs one
/// stagger: RFC 8305 §4.
fn interleave(addresses: Vec<Address>) -> Vec<Address> {
    let first_is_v6 = addresses.first().is_some_and(is_v6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| is_v6(address) == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

fn is_v6(address: &Address) -> bool {
    matches!(address, Address::Inet6(_))
}

/// Looks a name up on a thread of its own: getaddrinfo(3) knows no time-out. An address needs no lookup, so no busy
/// machine makes it time out.
fn resolve(call: &ConnectOptions, deadline: Deadline, stop: &Stop) -> Result<Vec<Address>, ClientError> {
    if !matches!(call.endpoint.name(), Name::Inet(Host::Name(_), _)) {
        let addresses = call.endpoint.resolve(Side::Client, call.ip_version);
        return addresses.map_err(|error| unresolved(call, error));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let (endpoint, version) = (call.endpoint.clone(), call.ip_version);
    let lookup = move || {
        // If nobody waits any more, nobody wants to know.
        let _ = sender.send(endpoint.resolve(Side::Client, version));
    };
    let local = |error| ClientError::Local(Error::new("resolve", &call.endpoint, error));
    thread::Builder::new().name("resolver".into()).spawn(lookup).map_err(local)?;
    loop {
        match receiver.recv_timeout(deadline.left().map_or(NOTICE, |left| left.min(NOTICE))) {
            Ok(addresses) => return addresses.map_err(|error| unresolved(call, error)),
            Err(RecvTimeoutError::Timeout) if !deadline.is_over() => check(stop)?,
            Err(_) => return Err(ClientError::timeout("resolve", &call.endpoint)),
        }
    }
}

/// A name has no address, or the system cannot find out: it does not have the interface, for instance.
fn unresolved(call: &ConnectOptions, error: Error) -> ClientError {
    match (error.cause().raw_os_error(), check_descriptors()) {
        (Some(_), _) => ClientError::Local(error),
        (None, Err(missing)) if is_out_of_descriptors(&missing) => {
            ClientError::Local(Error::new("resolve", &call.endpoint, missing))
        }
        (None, _) => ClientError::Peer(FailureKind::Dns, error),
    }
}

/// Whether a lookup has the descriptors that it needs. getaddrinfo(3) does not say: for it a file that it cannot open has
/// no names.
fn check_descriptors() -> io::Result<()> {
    let files: io::Result<Vec<File>> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    files.map(drop)
}

impl IpOptions {
    fn apply(self, socket: &Socket, address: &Address) -> io::Result<()> {
        let (class, hops) = match address {
            Address::Inet(_) => (option::IP_TOS, option::IP_TTL),
            Address::Inet6(_) => (option::IPV6_TCLASS, option::IPV6_UNICAST_HOPS),
            _ => return Ok(()),
        };
        // Below the code point are two bits for congestion.
        self.dscp.map_or(Ok(()), |dscp| socket.set_option(class, i32::from(dscp) << 2))?;
        self.ttl.map_or(Ok(()), |ttl| socket.set_option(hops, i32::from(ttl)))
    }
}

/// Binds to where a call leaves from.
fn leave_from(socket: &Socket, source: &Source) -> Result<(), ClientError> {
    let failed = |object: &str, error| ClientError::Local(Error::new("bind", &object, error));
    match source {
        Source::Address(ip) => {
            // The port is chosen on connect, so that connections to different peers can share it: ip(7). What the
            // kernel does not know is done without.
            let _ = socket.set_option(option::IP_BIND_ADDRESS_NO_PORT, true);
            socket.bind(&SocketAddr::new(*ip, 0).into()).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => ClientError::no_port("bind", ip),
                _ => failed(&ip.to_string(), error),
            })
        }
        Source::Interface(name) => {
            socket.set_option(option::SO_BINDTODEVICE, name.clone()).map_err(|error| failed(name, error))
        }
    }
}

/// Connects to a path. A full queue has no readiness to wait for, so the call itself waits.
fn connect_by_path(
    socket: &Socket,
    transport: Transport,
    address: &Address,
    deadline: Deadline,
    stop: &Stop,
) -> io::Result<()> {
    if transport == Transport::UnixDatagram {
        // Without a name of its own it could not be answered; the kernel makes one up.
        socket.bind(&Address::Unix(UnixName::Unnamed))?;
    }
    loop {
        socket.set_timeout(deadline.earlier(Deadline::after(NOTICE)).left())?;
        match socket.connect(address) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
                    && !deadline.is_over()
                    && check(stop).is_ok() => {}
            result => {
                result?;
                return socket.set_blocking(false);
            }
        }
    }
}

/// Begins to connect; whether it is done already is returned.
fn begin_to_connect(socket: &Socket, address: &Address) -> io::Result<bool> {
    socket.set_blocking(false)?;
    match socket.connect(address) {
        Err(error) if Socket::is_in_progress(&error) => Ok(false),
        result => result.and_then(|()| refuse_itself(socket)).map(|()| true),
    }
}

/// Whether an address is that of a group, or of everybody. Of a network's own broadcast address the kernel knows.
pub(crate) fn is_multicast_or_broadcast(address: &Address) -> bool {
    address.ip().is_some_and(|ip| ip.is_multicast() || ip == Ipv4Addr::BROADCAST)
}

/// A port of the ephemeral range can be given to the very socket that calls it: then nobody is there.
fn refuse_itself(socket: &Socket) -> io::Result<()> {
    let local = socket.local_addr()?;
    // Only hosts have such ports, and not every other socket tells its peer.
    if local.port().is_some() && local == socket.peer_addr()? {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the connection led to itself"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let addresses = |texts: &[&str]| -> Vec<Address> {
            texts.iter().map(|text| text.parse::<SocketAddr>().unwrap().into()).collect()
        };
        let sorted = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let mixed = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleave(sorted), mixed);
        assert_eq!(interleave(addresses(&["127.0.0.1:1"])), addresses(&["127.0.0.1:1"]));
        assert_eq!(interleave(Vec::new()), Vec::new());
    }

    #[test]
    fn of_thousands_of_addresses_a_few_of_each_family_are_tried() {
        let v6 = (0..3000_u16).map(|n| (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n), 7).into());
        let v4 = (0..3000_u16).map(|n| (Ipv4Addr::from(0xcb00_7100 + u32::from(n)), 7).into());
        let tried = to_be_tried(v6.chain(v4).collect());
        assert_eq!(tried.len(), ADDRESSES_MAX);
        assert_eq!(tried.iter().filter(|address| is_v6(address)).count(), ADDRESSES_MAX / 2);
        // The first of a name are the first.
        let few = to_be_tried((0..3).map(|n| (Ipv4Addr::new(192, 0, 2, n), 7).into()).collect());
        assert_eq!(few.len(), 3);
    }

    /// Addresses where nobody listens.
    fn refusing(transport: Transport, count: usize) -> Candidates {
        let closed = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addresses = (0..count).map(|_| closed().into()).collect();
        Candidates { transport, source: None, marks: IpOptions::default(), addresses, stop: Stop::default() }
    }

    #[test]
    fn waiting_at_a_full_queue_ends_when_it_is_to_stop() {
        let folder = std::env::temp_dir().join(format!("sounder-connect-{}", std::process::id()));
        let address: Address = UnixName::Path(folder.as_os_str().as_encoded_bytes().into()).into();
        let listener = Transport::UnixStream.socket(&address).unwrap();
        listener.bind(&address).unwrap();
        listener.listen_with(0).unwrap();
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let socket = Transport::UnixStream.socket(&address).unwrap();
            socket.set_blocking(false).unwrap();
            if socket.connect(&address).is_ok() {
                waiting.push(socket);
            }
        }
        assert!(waiting.len() < 10);
        let candidates = || Candidates {
            transport: Transport::UnixStream,
            source: None,
            marks: IpOptions::default(),
            addresses: [address.clone()].into(),
            stop: Stop::default(),
        };
        let late = candidates().connect(Deadline::after(Duration::from_millis(80))).unwrap().unwrap_err();
        assert_eq!(late.word(), Some(FailureKind::Timeout), "{late}");
        let mut stopped = candidates();
        let stop = Arc::clone(&stopped.stop);
        let stopper = thread::spawn(move || stop.store(true, Ordering::Relaxed));
        let hour = Deadline::after(Duration::from_secs(3600));
        let ended = stopped.connect(hour).unwrap().unwrap_err();
        assert!(matches!(ended, ClientError::Interrupted), "{ended}");
        stopper.join().unwrap();
        std::fs::remove_file(&folder).unwrap();
    }

    #[test]
    fn when_the_time_is_up_no_other_address_is_tried() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let mut candidates = refusing(transport, 5);
            let deadline = Deadline::after(Duration::ZERO);
            let error = candidates.connect(deadline).unwrap().unwrap_err();
            assert_eq!(error.word(), Some(FailureKind::Timeout), "{error}");
            assert_eq!(candidates.addresses().count(), 4);
        }
        let mut in_time = refusing(Transport::Tcp, 5);
        let error = in_time.connect(Deadline::after(Duration::from_secs(60))).unwrap().unwrap_err();
        assert_eq!((error.word(), in_time.addresses().count()), (Some(FailureKind::Refused), 0), "{error}");
    }
}
