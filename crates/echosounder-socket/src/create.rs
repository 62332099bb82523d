//! A server's or a client's socket in one call, as most programs want it.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::errno::{is_family_absent, is_feature_absent};
use crate::error::Error;
use crate::family::vsock::VsockAddress;
use crate::family::{Family, Protocol};
use crate::lookup::{IpVersion, Side};
use crate::option;
use crate::socket::Socket;
use crate::transport::Transport;

/// Creating sockets.
impl Transport {
    /// Returns the transport of a socket, such as one that a service manager has passed: SO_DOMAIN,
    /// SO_TYPE and SO_PROTOCOL, socket(7).
    ///
    /// # Errors
    ///
    /// `Unsupported` if the socket is of no transport. As getsockopt(2).
    ///
    /// # Examples
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Transport, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// assert_eq!(Transport::of(&socket)?, Transport::Udp);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of(socket: &Socket) -> io::Result<Self> {
        let family = match socket.family()? {
            Family::INET6 => Family::INET,
            family => family,
        };
        let kind = socket.option(option::SO_TYPE)?;
        // The kernel reports the protocol that it chose for the default one.
        let protocol = match socket.option(option::SO_PROTOCOL)? {
            Protocol::TCP | Protocol::UDP if family == Family::INET => Protocol::DEFAULT,
            protocol => protocol,
        };
        Self::all()
            .find(|transport| {
                (transport.pair_family(), transport.socket_type(), transport.protocol())
                    == (family, kind, protocol)
            })
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no transport has such sockets"))
    }

    /// Creates a socket that can be bound or connected to an address of the family of `address`.
    ///
    /// # Errors
    ///
    /// As [`Socket::new`].
    pub fn socket(self, address: &Address) -> io::Result<Socket> {
        Socket::new(address.family(), self.socket_type(), self.protocol())
    }

    /// Creates two connected sockets. Only UNIX and TIPC support this.
    ///
    /// # Errors
    ///
    /// As [`Socket::pair`]: EOPNOTSUPP for a transport that has no pairs.
    pub fn pair(self) -> io::Result<(Socket, Socket)> {
        Socket::pair(self.pair_family(), self.socket_type(), self.protocol())
    }

    /// Whether an error of creating or binding a socket, or of connecting to this machine, means
    /// that the machine lacks the address family, IPv6 addresses or the VSOCK loopback.
    pub fn is_absent(self, address: &Address, error: &io::Error) -> bool {
        let no_address = error.kind() == io::ErrorKind::AddrNotAvailable;
        let is_missing = match address {
            Address::Vsock(address) if address.cid == VsockAddress::CID_LOCAL => {
                no_address || is_feature_absent(error)
            }
            Address::Inet6(address) => address.ip().is_loopback() && no_address,
            _ => false,
        };
        is_family_absent(error) || is_missing
    }

    /// Checks that this machine can connect to `address` if it is its own: VSOCK needs a loopback
    /// for that. Without one a connection to the local context id goes to the hypervisor, which
    /// never replies, and only bind(2) fails.
    ///
    /// # Errors
    ///
    /// As bind(2), if the loopback [is absent](Self::is_absent).
    pub fn check_loopback(self, address: &Address) -> io::Result<()> {
        let local = VsockAddress { cid: VsockAddress::CID_LOCAL, port: VsockAddress::PORT_ANY };
        match address {
            Address::Vsock(address) if address.cid == VsockAddress::CID_LOCAL => {}
            _ => return Ok(()),
        }
        let bound = self.socket(address).and_then(|socket| socket.bind(&local.into()));
        bound.or_else(|error| if self.is_absent(address, &error) { Err(error) } else { Ok(()) })
    }
}

/// How [`create_server`] makes a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// Whether an IPv6 socket takes IPv4 peers too; their addresses are mapped then
    /// (`::ffff:192.0.2.1`).
    pub dual_stack: bool,
    /// Whether other sockets of this user may have the same address: SO_REUSEPORT, socket(7).
    pub reuse_port: bool,
    /// Most connections that wait to be accepted; `None` for as many as the system allows.
    pub backlog: Option<u32>,
}

/// A socket that is bound and, if the transport has connections, listens.
///
/// SO_REUSEADDR is set for connections, so that a server can start again at once, and not for
/// datagrams, where it would let two servers have one address. TIPC listens before it binds, since
/// a bind is published at once.
///
/// # Errors
///
/// As the calls that it takes, with the address.
///
/// ```
/// use echosounder_socket::{ServerOptions, Transport, create_server};
/// use std::net::Ipv6Addr;
///
/// let options = ServerOptions { dual_stack: true, ..ServerOptions::default() };
/// let server = create_server(Transport::Tcp, &(Ipv6Addr::UNSPECIFIED, 0).into(), options)?;
/// assert!(server.local_addr()?.is_wildcard());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn create_server(
    transport: Transport,
    address: &Address,
    options: ServerOptions,
) -> Result<Socket, Error> {
    let create = || {
        if options.dual_stack && address.family() != Family::INET6 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "only an IPv6 socket takes both"));
        }
        let socket = transport.socket(address)?;
        if address.family() == Family::INET6 {
            socket.set_option(option::IPV6_V6ONLY, !options.dual_stack)?;
        }
        let listens = transport.has_connections();
        if transport.needs_reuse_addr() {
            socket.set_option(option::SO_REUSEADDR, true)?;
        }
        if options.reuse_port {
            socket.set_option(option::SO_REUSEPORT, true)?;
        }
        let backlog = options.backlog.unwrap_or(u32::MAX);
        if transport.listens_before_bind() {
            socket.listen_with(backlog)?;
            socket.bind(address)?;
        } else {
            socket.bind(address)?;
            if listens {
                socket.listen_with(backlog)?;
            }
        }
        Ok(socket)
    };
    create().map_err(|error| {
        Error::new("bind", &Endpoint::display(transport, address), error).with_address(address)
    })
}

/// Nobody could be reached: what went wrong at each address.
#[derive(Debug)]
pub struct FailedAttempts {
    /// Whom was tried to reach.
    pub endpoint: Endpoint,
    /// How each address failed, in the order in which they were tried.
    pub attempts: Vec<(Address, io::Error)>,
}

impl fmt::Display for FailedAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}", self.endpoint)?;
        for (place, (address, error)) in self.attempts.iter().enumerate() {
            let separator = if place == 0 { ": " } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FailedAttempts {}

/// Why [`create_connection`] made none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The name has no address.
    #[error(transparent)]
    Resolve(Error),
    /// None of its addresses took the call.
    #[error(transparent)]
    Connect(FailedAttempts),
}

/// A socket that is connected to the first of an endpoint's addresses that takes the call, one
/// after the other, each within the timeout; the socket keeps the timeout. With `source`, it leaves
/// from there.
///
/// # Errors
///
/// If no address took it: how each of them failed.
///
/// ```
/// use echosounder_socket::{ServerOptions, Transport, create_connection, create_server};
/// use std::net::Ipv4Addr;
///
/// let loopback = (Ipv4Addr::LOCALHOST, 0).into();
/// let server = create_server(Transport::Tcp, &loopback, ServerOptions::default())?;
/// let endpoint = format!("tcp://localhost:{}", server.local_addr()?.port().unwrap_or(0)).parse()?;
/// let client = create_connection(&endpoint, None, None)?;
/// assert_eq!(client.peer_addr()?, server.local_addr()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn create_connection(
    endpoint: &Endpoint,
    timeout: Option<Duration>,
    source: Option<&Address>,
) -> Result<Socket, ConnectionError> {
    let addresses = endpoint.resolve(Side::Client, IpVersion::Any).map_err(ConnectionError::Resolve)?;
    let mut attempts = Vec::new();
    for address in addresses {
        let connect = || {
            let socket = endpoint.transport().socket(&address)?;
            socket.set_timeout(timeout)?;
            if let Some(source) = source {
                socket.bind(source)?;
            }
            socket.connect(&address)?;
            Ok(socket)
        };
        match connect() {
            Ok(socket) => return Ok(socket),
            Err(error) => attempts.push((address, error)),
        }
    }
    Err(ConnectionError::Connect(FailedAttempts { endpoint: endpoint.clone(), attempts }))
}

/// Whether an address is that of a multicast group or a broadcast address, so that one message to
/// it may be answered by many hosts.
///
/// Only the kernel knows the broadcast addresses of its networks. It refuses to connect a datagram
/// socket without SO_BROADCAST to one (connect(2)). Connecting a datagram socket sends nothing.
///
/// # Errors
///
/// If no datagram socket of the family can be created.
pub fn is_multicast_or_broadcast(address: &Address) -> io::Result<bool> {
    let Some(ip) = address.ip() else { return Ok(false) };
    if ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST {
        return Ok(!ip.is_unspecified());
    }
    // The port does not matter, since nothing is sent: 9 is that of the discard service.
    let address = address.clone().with_port(9);
    let connect = |broadcast: bool| -> io::Result<Result<(), io::ErrorKind>> {
        let probe = Transport::Udp.socket(&address)?;
        probe.set_option(option::SO_BROADCAST, broadcast)?;
        Ok(probe.connect(&address).map_err(|error| error.kind()))
    };
    // A route of the type "prohibit" causes the same error with the option, too: ip-route(8).
    Ok(connect(false)? == Err(io::ErrorKind::PermissionDenied) && connect(true)?.is_ok())
}
