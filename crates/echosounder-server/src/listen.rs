//! Binding: every endpoint, before anything is answered.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, Error, IpVersion, Side, Socket, Transport, option};

use crate::path::BoundPath;

/// How much longer than us the kernel waits for a peer that takes nothing: it only knows of a failure, we know why.
const KERNEL_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes not yet sent above which a TCP connection counts as full, so that they wait here rather than there.
const NOT_SENT_MAX: i32 = 64 * 1024;

/// Bytes of buffer that a datagram socket asks for; the system may give less.
const DATAGRAM_BUFFER: i32 = 8 * 1024 * 1024;

/// Why a server could not take its endpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An endpoint's name has no address.
    #[error(transparent)]
    Resolve(Error),
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(Error),
    /// None of the endpoints exists on this machine.
    #[error(transparent)]
    Absent(Error),
}

/// Something that a server does without, and says so.
#[derive(Debug)]
pub struct Note {
    /// What is missing, and why.
    pub error: Error,
    /// Whether an endpoint that was asked for is missing altogether, rather than one of a name's addresses.
    pub whole_endpoint: bool,
    /// Whether this machine does not have what it takes, rather than one address.
    pub(crate) absent: bool,
}

/// An address that is bound, with a socket for each worker that it has.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: Address,
    /// Removed before the sockets are closed: as long as they are open, nobody can have taken it over.
    pub(crate) path: Option<BoundPath>,
    pub(crate) sockets: Vec<Socket>,
}

impl Bound {
    /// Whether its sockets hold those that they answer.
    pub(crate) fn holds_peers(&self) -> bool {
        self.endpoint.transport() == Transport::UnixDatagram
    }
}

/// What binding depends on beside the endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) ip_version: IpVersion,
    pub(crate) workers: NonZeroUsize,
    pub(crate) unix_mode: u32,
    /// How long a peer may leave sent data unacknowledged, or its window closed.
    pub(crate) stalled_max: Duration,
}

/// Binds every address of every endpoint. What this machine does not have is noted, unless nothing is left.
pub(crate) fn bind_all(endpoints: &[Endpoint], terms: Terms) -> Result<(Vec<Bound>, Vec<Note>), BindError> {
    let mut bound = Vec::new();
    let mut notes = Vec::new();
    for endpoint in endpoints {
        bind_endpoint(endpoint, terms, &mut bound, &mut notes)?;
    }
    if bound.is_empty()
        && let Some(note) = notes.pop()
    {
        return Err(if note.absent { BindError::Absent(note.error) } else { BindError::Bind(note.error) });
    }
    Ok((bound, notes))
}

fn bind_endpoint(
    endpoint: &Endpoint,
    terms: Terms,
    bound: &mut Vec<Bound>,
    notes: &mut Vec<Note>,
) -> Result<(), BindError> {
    let transport = endpoint.transport();
    let addresses = endpoint.resolve(Side::Server, terms.ip_version).map_err(BindError::Resolve)?;
    let alone = addresses.len() == 1;
    let bound_before = bound.len();
    let mut missing = Vec::new();
    let mut port = None;
    for address in addresses {
        // Where any port will do, all addresses of a name get the same one, if it is free.
        let wished = port.filter(|_| address.port() == Some(0)).map(|port| address.clone().with_port(port));
        let result = match wished.map(|wished| bind_address(transport, &wished, terms)) {
            Some(Ok(bound)) => Ok(bound),
            Some(Err(_)) | None => bind_address(transport, &address, terms),
        };
        match result {
            Ok(one) => {
                port = one.address.port();
                bound.push(one);
            }
            Err(error) => {
                let optional = !alone && error.kind() == io::ErrorKind::AddrNotAvailable;
                let without = transport.is_absent(&address, &error);
                let object = Endpoint::display(transport, &address);
                let error = Error::new("bind", &object, error).with_address(&address);
                if !without && !optional {
                    return Err(BindError::Bind(error));
                }
                missing.push((error, without));
            }
        }
    }
    let whole_endpoint = bound.len() == bound_before;
    if transport == Transport::UnixDatagram && !whole_endpoint && fs::metadata("/proc/self/fd").is_err() {
        let error = io::Error::new(io::ErrorKind::Unsupported, "/proc is not mounted");
        missing.push((Error::new("reply to clients with a path on", endpoint, error), false));
    }
    notes.extend(missing.into_iter().map(|(error, absent)| Note { error, whole_endpoint, absent }));
    Ok(())
}

/// Binds one address for all workers.
///
/// The first socket binds and listens alone, so that an address which anybody else uses is refused; only then is
/// it opened for sharing, and the other workers' sockets join it. Addresses of other families than IP's are not
/// shared that way: there the workers have one listener together, and datagrams have one worker.
fn bind_address(transport: Transport, address: &Address, terms: Terms) -> io::Result<Bound> {
    let first = prepare(transport, address, terms)?;
    let mut path = None;
    // A TIPC service is published when it is bound: who came before the listen would be refused.
    let early = matches!(address, Address::Tipc(_));
    if transport.has_connections() && early {
        first.listen()?;
    }
    match address {
        Address::Unix(UnixName::Path(name)) => path = Some(BoundPath::bind(&first, name, terms.unix_mode)?),
        _ => first.bind(address)?,
    }
    if transport.has_connections() && !early {
        first.listen()?;
    }
    let local = first.local_addr()?;
    // A TIPC socket's own address is not the service that it is found by.
    let endpoint = Endpoint::at(transport, &local).or_else(|_| Endpoint::at(transport, address))?;
    let address = local;
    let mut sockets = vec![first];
    for _ in 1..terms.workers.get() {
        if !transport.shares_addresses() {
            // What one thread alone reads is answered in order.
            if transport.has_connections() {
                sockets.push(sockets[0].duplicate()?);
            }
            continue;
        }
        sockets[0].set_option(option::SO_REUSEPORT, true)?;
        let next = prepare(transport, &address, terms)?;
        next.set_option(option::SO_REUSEPORT, true)?;
        next.bind(&address)?;
        if transport.has_connections() {
            next.listen()?;
        }
        sockets.push(next);
    }
    Ok(Bound { endpoint, address, path, sockets })
}

/// Makes a socket with everything set that must be set before it is bound, or that connections inherit.
fn prepare(transport: Transport, address: &Address, terms: Terms) -> io::Result<Socket> {
    let socket = transport.socket(address)?;
    socket.set_blocking(false)?;
    if let Address::Inet6(_) = address {
        socket.set_option(option::IPV6_V6ONLY, true)?;
    }
    if let Address::Unix(_) = address {
        // Of a descriptor that nobody wants the close may wait as long as its sender likes. Older kernels cannot refuse.
        let _ = socket.set_option(option::SO_PASSRIGHTS, false);
    }
    match transport {
        Transport::Tcp => prepare_tcp(&socket, terms)?,
        // Of the options of TCP, each kernel knows some for all the ways of a connection, and the others not yet.
        Transport::Mptcp => {
            socket.set_option(option::SO_REUSEADDR, true)?;
            let _ = prepare_tcp(&socket, terms);
        }
        Transport::Sctp => {
            socket.set_option(option::SO_REUSEADDR, true)?;
            socket.set_option(option::SCTP_NODELAY, true)?;
        }
        Transport::Udp => prepare_udp(&socket, address)?,
        Transport::UnixDatagram => {
            // Answers that peers have not read are charged to this one socket, so it should bear many.
            socket.set_option(option::SO_SNDBUF, DATAGRAM_BUFFER)?;
            // From the first datagram on, whose a path is that is to be answered to.
            socket.set_option(option::SO_PASSCRED, true)?;
        }
        Transport::Netlink => socket.set_option(option::SO_RCVBUF, DATAGRAM_BUFFER)?,
        _ => {}
    }
    Ok(socket)
}

fn prepare_tcp(socket: &Socket, terms: Terms) -> io::Result<()> {
    socket.set_option(option::SO_REUSEADDR, true)?;
    socket.set_option(option::SO_KEEPALIVE, true)?;
    socket.set_option(option::TCP_NODELAY, true)?;
    socket.set_option(option::TCP_KEEPIDLE, 30)?;
    socket.set_option(option::TCP_KEEPINTVL, 10)?;
    socket.set_option(option::TCP_NOTSENT_LOWAT, NOT_SENT_MAX)?;
    let millis = terms.stalled_max.saturating_add(KERNEL_PATIENCE).as_millis();
    socket.set_option(option::TCP_USER_TIMEOUT, i32::try_from(millis).unwrap_or(i32::MAX))
}

fn prepare_udp(socket: &Socket, address: &Address) -> io::Result<()> {
    if is_of_many(address)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a multicast or broadcast address"));
    }
    let (multicast_all, packet_info) = match address {
        Address::Inet(_) => (option::IP_MULTICAST_ALL, option::IP_PKTINFO),
        _ => (option::IPV6_MULTICAST_ALL, option::IPV6_RECVPKTINFO),
    };
    socket.set_option(multicast_all, false)?;
    if address.is_wildcard() {
        socket.set_option(packet_info, true)?;
    }
    socket.set_option(option::SO_RCVBUF, DATAGRAM_BUFFER)
}

/// Whether an address stands for a group or for everybody on a network, so that many would answer one call.
///
/// A socket without SO_BROADCAST may not even connect to a network's broadcast address (connect(2)), and for
/// datagrams to connect sends nothing.
fn is_of_many(address: &Address) -> io::Result<bool> {
    let Some(ip) = address.ip() else { return Ok(false) };
    if ip.is_unspecified() || ip.is_multicast() {
        return Ok(ip.is_multicast());
    }
    let probe = Transport::Udp.socket(address)?;
    let refused = probe.connect(&address.clone().with_port(9));
    Ok(refused.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
}
