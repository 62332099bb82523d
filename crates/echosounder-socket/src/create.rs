//! A server's socket in one call, as most programs want it, and facts about addresses.

use std::io;
use std::net::Ipv4Addr;

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::errno::{is_family_absent, is_feature_absent};
use crate::error::Error;
use crate::family::vsock::VsockAddress;
use crate::family::{Family, Protocol};
use crate::lookup::Side;
use crate::option;
use crate::socket::Socket;
use crate::to_endpoint::ToEndpoint;
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
        let bound = self.socket(address).and_then(|socket| socket.bind(local));
        bound.or_else(|error| if self.is_absent(address, &error) { Err(error) } else { Ok(()) })
    }
}

/// How [`create_server`] creates a socket.
///
/// ```
/// use echosounder_socket::{ServerOptions, create_server};
/// use std::net::Ipv6Addr;
///
/// let options = ServerOptions::default().dual_stack(true).backlog(16);
/// let server = create_server((Ipv6Addr::UNSPECIFIED, 0), options)?;
/// assert!(server.local_addr()?.is_wildcard());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerOptions {
    dual_stack: bool,
    reuse_port: bool,
    backlog: Option<u32>,
}

impl ServerOptions {
    /// Sets whether an IPv6 socket accepts IPv4 peers too: IPV6_V6ONLY, ipv6(7). Their addresses
    /// are then mapped (`::ffff:192.0.2.1`). The default is that it does not, and that the option
    /// is set.
    #[must_use]
    pub fn dual_stack(self, dual_stack: bool) -> Self {
        Self { dual_stack, ..self }
    }

    /// Sets whether other sockets of this user may have the same address: SO_REUSEPORT, socket(7).
    /// The default is that they may not.
    #[must_use]
    pub fn reuse_port(self, reuse_port: bool) -> Self {
        Self { reuse_port, ..self }
    }

    /// Sets the maximum number of connections that wait to be accepted: listen(2). The default is
    /// as many as the system allows (net.core.somaxconn).
    #[must_use]
    pub fn backlog(self, backlog: u32) -> Self {
        Self { backlog: Some(backlog), ..self }
    }
}

/// Creates a socket that is bound and, if the transport has connections, listens.
///
/// A host name is bound to its first address. The next is tried only if this machine lacks the
/// address family of the one before; an address in use is an error. With
/// [`dual_stack`](ServerOptions::dual_stack), only IPv6 addresses are tried.
///
/// SO_REUSEADDR is set for connections, so that a server can start again at once, and not for
/// datagrams, where it would let two servers have one address (socket(7)). A TIPC socket listens
/// before it is bound, because a bind publishes the service at once.
///
/// # Errors
///
/// As [`ToEndpoint::to_addresses`] and the system calls, with the address.
///
/// ```
/// use echosounder_socket::{ServerOptions, create_connection, create_server};
///
/// let server = create_server(("localhost", 0), ServerOptions::default())?;
/// let client = create_connection(server.local_addr()?, None, None)?;
/// let (connection, peer) = server.accept()?;
/// assert_eq!(peer, client.local_addr()?);
///
/// let server = create_server("udp://127.0.0.1:0", ServerOptions::default())?;
/// client.send_all(b"ahoy")?;
/// # assert_eq!(connection.recv(&mut [0; 16])?, 4);
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_server(endpoint: impl ToEndpoint, options: ServerOptions) -> Result<Socket, Error> {
    let (transport, mut addresses) =
        endpoint.to_addresses(Side::Server).map_err(|error| Error::from_io(error, "bind"))?;
    if options.dual_stack && addresses.iter().any(|address| address.family() == Family::INET6) {
        addresses.retain(|address| address.family() == Family::INET6);
    }
    let last = addresses.len().saturating_sub(1);
    for (place, address) in addresses.iter().enumerate() {
        match server_at(transport, address, options) {
            Ok(socket) => return Ok(socket),
            Err(error) if place < last && transport.is_absent(address, &error) => {}
            Err(error) => {
                let object = Endpoint::display(transport, address);
                return Err(Error::new("bind", &object, error).with_address(address));
            }
        }
    }
    Err(Error::new("bind", &"the endpoint", io::ErrorKind::NotFound.into()))
}

fn server_at(transport: Transport, address: &Address, options: ServerOptions) -> io::Result<Socket> {
    if options.dual_stack && address.family() != Family::INET6 {
        let message = "only an IPv6 socket accepts peers of both IP versions";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let socket = transport.socket(address)?;
    if address.family() == Family::INET6 {
        socket.set_option(option::IPV6_V6ONLY, !options.dual_stack)?;
    }
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
        if transport.has_connections() {
            socket.listen_with(backlog)?;
        }
    }
    Ok(socket)
}

/// Returns whether an address is that of a multicast group or a broadcast address, so that one
/// message to it may be answered by many hosts.
///
/// Only the kernel knows the broadcast addresses of its networks. It refuses to connect a datagram
/// socket without SO_BROADCAST to one (connect(2)). Connecting a datagram socket sends nothing.
///
/// # Errors
///
/// If no datagram socket of the family can be created.
///
/// ```
/// use echosounder_socket::is_multicast_or_broadcast;
///
/// assert!(is_multicast_or_broadcast(&"239.1.2.3:7".parse().unwrap())?);
/// assert!(!is_multicast_or_broadcast(&"127.0.0.1:7".parse().unwrap())?);
/// # Ok::<(), std::io::Error>(())
/// ```
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
