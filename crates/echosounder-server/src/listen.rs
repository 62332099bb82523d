//! Binding: takes the addresses of all endpoints before the server replies to any client.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::TcpOptions;
use echosounder_socket::{
    Address, Endpoint, Error, IpVersion, Side, Socket, Transport, is_multicast_or_broadcast, option,
};

use crate::link::NOT_SENT_MAX;
use crate::own_address;
use crate::path::BoundPath;
use crate::unread::UnreadLook;

/// How much longer than the stall timeout the kernel waits for a client that acknowledges nothing,
/// or whose receive window stays closed. The server's own timeout comes first, because it can
/// report the reason.
const USER_TIMEOUT_EXTRA: Duration = Duration::from_secs(5);

/// The shortest time that the kernel waits for such a client.
const USER_TIMEOUT_MIN: Duration = Duration::from_secs(50);

/// Seconds without input after which the kernel asks whether the client still exists.
///
/// The kernel asks again every [`KEEPALIVE_INTERVAL_S`] and gives up at the first of these times
/// that is not before TCP_USER_TIMEOUT (`tcp_keepalive_timer` in net/ipv4/tcp_timer.c): 55 seconds
/// after the last packet by default.
const KEEPALIVE_IDLE_S: i32 = 25;
const KEEPALIVE_INTERVAL_S: i32 = 10;

/// Bytes of buffer to request for a datagram socket. The system may grant less.
const DATAGRAM_BUFFER: i32 = 8 * 1024 * 1024;

/// Why a server could not bind its endpoints.
///
/// ```
/// use echosounder_server::{BindError, Server};
/// use std::io;
///
/// let first = Server::bind(["tcp://127.0.0.1:0"])?;
/// let endpoint = first.endpoints().next().expect("one endpoint").to_string();
/// let error = Server::bind([endpoint]).unwrap_err();
/// assert!(matches!(error, BindError::Bind(_)));
/// assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrInUse);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// What was given as an endpoint is none.
    #[error(transparent)]
    Endpoint(Error),
    /// A host name has no address.
    #[error(transparent)]
    Resolve(Error),
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(Error),
    /// This machine lacks what every endpoint needs, such as the address family.
    #[error(transparent)]
    Absent(Error),
}

/// Keeps the kind of the system's error. The inner error is this one, and displays the reason.
impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        let (kind, error) = match error {
            BindError::Endpoint(error) => (error.kind(), BindError::Endpoint(error.with_reason())),
            BindError::Resolve(error) => (error.kind(), BindError::Resolve(error.with_reason())),
            BindError::Bind(error) => (error.kind(), BindError::Bind(error.with_reason())),
            BindError::Absent(error) => (error.kind(), BindError::Absent(error.with_reason())),
        };
        Self::new(kind, error)
    }
}

/// An address that the server does not serve, although it serves others.
///
/// See [`Server::notes`](crate::Server::notes). Clones share the error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Note {
    /// The missing address, and the reason.
    pub error: Arc<Error>,
    /// Whether the whole endpoint is missing. If not, other addresses of its name are served.
    pub whole_endpoint: bool,
}

/// An address that cannot be served.
struct Missing {
    error: Error,
    whole_endpoint: bool,
    /// Whether this machine lacks what the address needs, such as the address family.
    absent: bool,
}

impl From<Missing> for Note {
    fn from(Missing { error, whole_endpoint, .. }: Missing) -> Self {
        Self { error: Arc::new(error), whole_endpoint }
    }
}

/// What a server does at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It echoes messages.
    Echo,
    /// It reflects STAMP requests.
    Stamp,
}

/// A bound address, with a socket for each worker that serves it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) service: Service,
    pub(crate) endpoint: Endpoint,
    pub(crate) address: Address,
    /// Removed before the sockets are closed: nobody can take over the path of an open socket.
    pub(crate) path: Option<BoundPath>,
    pub(crate) sockets: Vec<Socket>,
    /// For UNIX datagrams, if this machine has it. Opened here because a sandbox refuses it later.
    pub(crate) look: Option<UnreadLook>,
}

/// The parameters of binding that are the same for all endpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BindOptions {
    pub(crate) ip_version: IpVersion,
    pub(crate) workers: NonZeroUsize,
    pub(crate) unix_mode: u32,
    pub(crate) stall_timeout: Duration,
}

/// Binds every address of every endpoint for a service. Addresses that this machine lacks become
/// notes, unless none is left and the server has no `others`.
pub(crate) fn bind_all(
    service: Service,
    endpoints: &[Endpoint],
    others: &[Bound],
    options: BindOptions,
) -> Result<(Vec<Bound>, Vec<Note>), BindError> {
    let mut bound = Vec::new();
    let mut missing = Vec::new();
    for endpoint in endpoints {
        bind_endpoint(endpoint, options, &mut bound, &mut missing)?;
    }
    bound.iter_mut().for_each(|bound| bound.service = service);
    if bound.is_empty()
        && others.is_empty()
        && let Some(Missing { error, absent, .. }) = missing.pop()
    {
        return Err(if absent { BindError::Absent(error) } else { BindError::Bind(error) });
    }
    Ok((bound, missing.into_iter().map(Note::from).collect()))
}

fn bind_endpoint(
    endpoint: &Endpoint,
    options: BindOptions,
    bound: &mut Vec<Bound>,
    all_missing: &mut Vec<Missing>,
) -> Result<(), BindError> {
    let transport = endpoint.transport();
    let addresses = endpoint.resolve(Side::Server, options.ip_version).map_err(BindError::Resolve)?;
    let is_only_address = addresses.len() == 1;
    let bound_before = bound.len();
    let mut missing = Vec::new();
    let mut port = None;
    for address in addresses {
        match bind_with_port(transport, &address, port, options) {
            Ok(one) => {
                port = one.address.port();
                bound.push(one);
            }
            Err(error) => {
                let optional = !is_only_address && error.kind() == io::ErrorKind::AddrNotAvailable;
                let absent = transport.is_absent(&address, &error);
                let object = Endpoint::display(transport, &address);
                let error = Error::new("bind", &object, error).with_address(&address);
                if !absent && !optional {
                    return Err(BindError::Bind(error));
                }
                missing.push((error, absent));
            }
        }
    }
    let whole_endpoint = bound.len() == bound_before;
    // Replies to a path are sent through /proc/self/fd.
    if transport.replies_to_paths() && !whole_endpoint && fs::metadata("/proc/self/fd").is_err() {
        let error = io::Error::new(io::ErrorKind::Unsupported, "/proc is not mounted");
        missing.push((Error::new("reply to clients with a path on", endpoint, error), false));
    }
    all_missing.extend(missing.into_iter().map(|(error, absent)| Missing { error, whole_endpoint, absent }));
    Ok(())
}

/// Binds an address. If it leaves the port to the kernel, `port` is tried first, so that all
/// addresses of a name get the same port.
fn bind_with_port(
    transport: Transport,
    address: &Address,
    port: Option<u16>,
    options: BindOptions,
) -> io::Result<Bound> {
    let preferred = port.filter(|_| address.port() == Some(0)).map(|port| address.clone().with_port(port));
    if let Some(preferred) = preferred
        && let Ok(bound) = bind_address(transport, &preferred, options)
    {
        return Ok(bound);
    }
    bind_address(transport, address, options)
}

/// Binds one address for all workers.
///
/// The first socket binds and listens alone, so that an address in use is refused. Only then does
/// it allow sharing, and the sockets of the other workers bind the same address. Where addresses
/// cannot be shared, all workers have duplicates of one listener, and a datagram socket has one
/// worker.
fn bind_address(transport: Transport, address: &Address, options: BindOptions) -> io::Result<Bound> {
    let first = prepare(transport, address, options)?;
    let mut path = None;
    let listens_before_bind = transport.listens_before_bind();
    if transport.has_connections() && listens_before_bind {
        first.listen()?;
    }
    match address {
        Address::Unix(UnixName::Path(name)) => path = Some(BoundPath::bind(&first, name, options.unix_mode)?),
        _ => first.bind(address)?,
    }
    if transport.has_connections() && !listens_before_bind {
        first.listen()?;
    }
    let local = first.local_addr()?;
    // The address of a TIPC socket is not the service address that clients connect to.
    let endpoint = Endpoint::at(transport, &local).or_else(|_| Endpoint::at(transport, address))?;
    let address = local;
    let mut sockets = vec![first];
    for _ in 1..options.workers.get() {
        if !transport.shares_addresses() {
            // A datagram socket has one worker, so that replies leave in the order of the requests.
            if transport.has_connections() {
                sockets.push(sockets[0].try_clone()?);
            }
            continue;
        }
        sockets[0].set_option(option::SO_REUSEPORT, true)?;
        let next = prepare(transport, &address, options)?;
        next.set_option(option::SO_REUSEPORT, true)?;
        next.bind(&address)?;
        if transport.has_connections() {
            next.listen()?;
        }
        sockets.push(next);
    }
    let look = unread_look(transport);
    Ok(Bound { service: Service::Echo, endpoint, address, path, sockets, look })
}

/// Takes a socket that is bound already, for all workers.
pub(crate) fn adopt(socket: Socket, options: BindOptions) -> Result<Bound, BindError> {
    adopt_socket(socket, options)
        .map_err(|error| BindError::Bind(Error::new("serve", &"a bound socket", error)))
}

fn adopt_socket(socket: Socket, options: BindOptions) -> io::Result<Bound> {
    let transport = Transport::of(&socket)?;
    let address = socket.local_addr()?;
    let endpoint = Endpoint::at(transport, &address)?;
    // getpeername(2) of a netlink socket succeeds always.
    if transport != Transport::Netlink && socket.peer_addr().is_ok() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is connected"));
    }
    socket.set_nonblocking(true)?;
    set_options(&socket, transport, &address, options)?;
    let mut sockets = vec![socket];
    if transport.has_connections() {
        // Without effect on a socket that listens already, apart from the length of its queue.
        sockets[0].listen()?;
        for _ in 1..options.workers.get() {
            sockets.push(sockets[0].try_clone()?);
        }
    }
    let look = unread_look(transport);
    Ok(Bound { service: Service::Echo, endpoint, address, path: None, sockets, look })
}

fn unread_look(transport: Transport) -> Option<UnreadLook> {
    transport.replies_to_paths().then(UnreadLook::new)?.ok()
}

/// Creates a socket and sets the options that must be set before it is bound, or that its
/// connections inherit.
fn prepare(transport: Transport, address: &Address, options: BindOptions) -> io::Result<Socket> {
    let socket = transport.socket(address)?;
    socket.set_nonblocking(true)?;
    if let Address::Inet6(_) = address {
        socket.set_option(option::IPV6_V6ONLY, true)?;
    }
    if transport.needs_reuse_addr() {
        socket.set_option(option::SO_REUSEADDR, true)?;
    }
    set_options(&socket, transport, address, options)?;
    Ok(socket)
}

/// Sets the options of a socket, bound or not, that its connections inherit or that datagrams need.
fn set_options(
    socket: &Socket,
    transport: Transport,
    address: &Address,
    options: BindOptions,
) -> io::Result<()> {
    if let Address::Unix(_) = address {
        // To close a descriptor that a client has passed may block for as long as that client
        // wants. Kernels before Linux 6.16 cannot refuse descriptors.
        let _ = socket.set_option(option::SO_PASSRIGHTS, false);
    }
    let set = set_connection_options(socket, transport, options);
    match transport.tcp_options() {
        // Each kernel version has some of the options, and the connection works without them.
        TcpOptions::Some => {}
        TcpOptions::None | TcpOptions::All => set?,
    }
    if transport.has_packet_info() {
        prepare_for_packet_info(socket, address)?;
    }
    if let Some(queue_limit) = transport.queue_limit() {
        // Unread replies of all UNIX clients share the send buffer. Root may exceed net.core.wmem_max.
        let is_forced = transport == Transport::UnixDatagram
            && socket.set_option(option::SO_SNDBUFFORCE, DATAGRAM_BUFFER).is_ok();
        if !is_forced {
            socket.set_option(queue_limit, DATAGRAM_BUFFER)?;
        }
    }
    if transport.replies_to_paths() {
        // Set before the bind, so that the first datagram carries its sender's credentials, too.
        socket.set_option(option::SO_PASSCRED, true)?;
    }
    Ok(())
}

/// Sets the options that accepted connections inherit.
fn set_connection_options(socket: &Socket, transport: Transport, options: BindOptions) -> io::Result<()> {
    if let Some(nodelay) = transport.nodelay() {
        socket.set_option(nodelay, true)?;
    }
    if transport.tcp_options() == TcpOptions::None {
        return Ok(());
    }
    socket.set_option(option::SO_KEEPALIVE, true)?;
    let user_timeout = options.stall_timeout.saturating_add(USER_TIMEOUT_EXTRA).max(USER_TIMEOUT_MIN);
    let user_timeout_ms = i32::try_from(user_timeout.as_millis()).unwrap_or(i32::MAX);
    // All are tried: a kernel that lacks one of them for MPTCP has others.
    [
        (option::TCP_KEEPIDLE, KEEPALIVE_IDLE_S),
        (option::TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S),
        (option::TCP_NOTSENT_LOWAT, NOT_SENT_MAX),
        (option::TCP_USER_TIMEOUT, user_timeout_ms),
    ]
    .map(|(option, value)| socket.set_option(option, value))
    .into_iter()
    .collect()
}

/// Prepares a datagram socket to reply from the address that each request was sent to.
fn prepare_for_packet_info(socket: &Socket, address: &Address) -> io::Result<()> {
    if is_multicast_or_broadcast(address)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a multicast or broadcast address"));
    }
    let (multicast_all, packet_info) = match address {
        Address::Inet(_) => (option::IP_MULTICAST_ALL, option::IP_PKTINFO),
        _ => (option::IPV6_MULTICAST_ALL, option::IPV6_RECVPKTINFO),
    };
    socket.set_option(multicast_all, false)?;
    // Linux delivers no packet from outside to a loopback address: ip-sysctl, route_localnet.
    if !address.ip().is_some_and(|ip| ip.to_canonical().is_loopback()) {
        own_address::drop_forged(socket)?;
    }
    if address.is_wildcard() {
        socket.set_option(packet_info, true)?;
    }
    Ok(())
}
