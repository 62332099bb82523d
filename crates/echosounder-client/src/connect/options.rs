//! The options of a connection attempt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use std::{fmt, io};

use echosounder_socket::option::PathMtuDiscovery;
use echosounder_socket::{Address, Endpoint, Error, IpVersion, Socket, option};

use crate::error::{ClientError, Operation};

/// How long to try to connect, and to wait for each reply, unless it is set.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// The target of a connection, and how to connect to it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use echosounder_client::ConnectOptions;
///
/// let options = ConnectOptions::new("tcp://localhost".parse()?).wait(Duration::from_secs(1));
/// assert_eq!(options.endpoint.to_string(), "tcp://localhost:21567");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The target.
    pub endpoint: Endpoint,
    /// Which addresses of a name to try.
    pub ip_version: IpVersion,
    /// The local address or interface; `None` lets the kernel choose by its routes.
    pub source: Option<Source>,
    /// The local port; `None` lets the kernel choose. Only IP sockets have ports.
    pub source_port: Option<u16>,
    /// Header fields of the packets that are sent.
    pub ip_options: IpOptions,
    /// How long to try to connect, over all addresses; afterwards, how long to wait for each reply.
    pub wait: Duration,
    /// The kind of the socket.
    pub(crate) opens: Opens,
}

/// The kind of socket that reaches a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Opens {
    /// The socket of the endpoint's transport.
    #[default]
    Transport,
    /// The socket of the endpoint's transport, which is UDP, to a STAMP reflector.
    Stamp,
    /// A socket for ICMP echo to the host of the endpoint, whose transport is UDP.
    Icmp,
}

impl Opens {
    /// Returns the text of an endpoint that is reached by such a socket.
    pub(crate) fn display(self, endpoint: &dyn fmt::Display) -> String {
        let text = endpoint.to_string();
        let rest = text.strip_prefix("udp");
        match (self, rest, rest.and_then(|rest| rest.rsplit_once(':'))) {
            (Self::Stamp, Some(rest), _) => format!("stamp{rest}"),
            (Self::Icmp, _, Some((host, _))) => format!("icmp{host}"),
            _ => text,
        }
    }
}

/// Settings. The [type](Self) has an example.
impl ConnectOptions {
    /// Returns the options of a connection to `endpoint` that waits 5 seconds at most and leaves
    /// everything else to the kernel.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ip_version: IpVersion::Any,
            source: None,
            source_port: None,
            ip_options: IpOptions::default(),
            wait: DEFAULT_WAIT,
            opens: Opens::Transport,
        }
    }

    /// Sets which addresses of a name to try: those of IPv4, of IPv6, or both.
    #[must_use]
    pub fn ip_version(self, ip_version: IpVersion) -> Self {
        Self { ip_version, ..self }
    }

    /// Sets the local address or interface to connect from.
    #[must_use]
    pub fn source(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Sets the local port to connect from. A connection can use it again as soon as the one before
    /// is closed.
    #[must_use]
    pub fn source_port(self, port: u16) -> Self {
        Self { source_port: Some(port), ..self }
    }

    /// Sets header fields of the packets that are sent.
    #[must_use]
    pub fn ip_options(self, ip_options: IpOptions) -> Self {
        Self { ip_options, ..self }
    }

    /// Sets how long to try to connect, over all addresses; afterwards, how long to wait for each
    /// reply.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Returns the text of the target.
    pub(crate) fn target(&self) -> String {
        self.opens.display(&self.endpoint)
    }
}

/// Header fields of outgoing IP packets. `None` leaves a field to the kernel. Other families ignore
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IpOptions {
    /// The differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: Option<u8>,
    /// The time to live of IPv4, or the hop limit of IPv6.
    pub ttl: Option<u8>,
    /// The bits of explicit congestion notification, 0 to 3 (RFC 3168 §5). Only on sockets for
    /// datagrams: TCP decides about them itself.
    pub ecn: Option<u8>,
    /// Whether packets may be fragmented, and whether the path MTU is discovered. With
    /// [`PathMtuDiscovery::DO`], a request that is longer than the path MTU is lost:
    /// [`LossReason::TooLong`](echosounder_proto::LossReason::TooLong).
    pub path_mtu: Option<PathMtuDiscovery>,
}

impl IpOptions {
    /// Sets the differentiated services code point, 0 to 63 (RFC 2474).
    ///
    /// # Examples
    ///
    /// ```
    /// use echosounder_client::{IpOptions, Ping};
    ///
    /// let ping = Ping::to("udp://host").ip_options(IpOptions::default().dscp(46).ttl(8));
    /// # drop(ping);
    /// ```
    #[must_use]
    pub fn dscp(self, dscp: u8) -> Self {
        Self { dscp: Some(dscp), ..self }
    }

    /// Sets the time to live of IPv4, or the hop limit of IPv6.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// Sets the bits of explicit congestion notification, 0 to 3 (RFC 3168 §5).
    ///
    /// # Examples
    ///
    /// ```
    /// use echosounder_client::IpOptions;
    /// use echosounder_socket::option::PathMtuDiscovery;
    ///
    /// let options = IpOptions::default().ecn(1).path_mtu(PathMtuDiscovery::DO);
    /// assert_eq!(options.ecn, Some(1));
    /// ```
    #[must_use]
    pub fn ecn(self, ecn: u8) -> Self {
        Self { ecn: Some(ecn), ..self }
    }

    /// Sets whether packets may be fragmented, and whether the path MTU is discovered. See
    /// [`ecn`](Self::ecn) for an example.
    #[must_use]
    pub fn path_mtu(self, path_mtu: PathMtuDiscovery) -> Self {
        Self { path_mtu: Some(path_mtu), ..self }
    }

    pub(crate) fn apply(self, socket: &Socket, address: &Address) -> io::Result<()> {
        let (traffic_class, hops, path_mtu) = match address {
            Address::Inet(_) => (option::IP_TOS, option::IP_TTL, option::IP_MTU_DISCOVER),
            Address::Inet6(_) => (option::IPV6_TCLASS, option::IPV6_UNICAST_HOPS, option::IPV6_MTU_DISCOVER),
            _ => return Ok(()),
        };
        if self.dscp.is_some() || self.ecn.is_some() {
            let (dscp, ecn) = (self.dscp.unwrap_or(0), self.ecn.unwrap_or(0));
            // The two lowest bits of the byte are ECN: RFC 3168 §5.
            socket.set_option(traffic_class, i32::from(dscp << 2 | ecn & 3))?;
        }
        self.ttl.map_or(Ok(()), |ttl| socket.set_option(hops, i32::from(ttl)))?;
        self.path_mtu.map_or(Ok(()), |discovery| socket.set_option(path_mtu, discovery))
    }
}

/// The local end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// An address of this machine. Only peers of its address family can be reached from it.
    Address(IpAddr),
    /// An interface, regardless of the routes: SO_BINDTODEVICE, socket(7).
    Interface(String),
}

/// Binds a socket that is to be connected to `address` to the local address, interface and port that
/// were chosen.
pub(super) fn bind(
    socket: &Socket,
    source: Option<&Source>,
    port: Option<u16>,
    address: &Address,
) -> Result<(), ClientError> {
    let failed = |object: &str, error| ClientError::Local(Error::new("bind", &object, error));
    let ip = match source {
        Some(Source::Address(ip)) => Some(*ip),
        Some(Source::Interface(name)) => {
            let bound = socket.set_option(option::SO_BINDTODEVICE, name.clone());
            bound.map_err(|error| failed(name, error))?;
            None
        }
        None => None,
    };
    let any = match address {
        Address::Inet6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    match (ip, port) {
        (None, None) => Ok(()),
        (Some(ip), None) => {
            // The kernel then chooses the port on connect, so that connections to different peers
            // can share it: ip(7). A kernel without the option (before Linux 4.2) chooses the port
            // now.
            let _ = socket.set_option(option::IP_BIND_ADDRESS_NO_PORT, true);
            socket.bind(SocketAddr::new(ip, 0)).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => ClientError::no_port(Operation::Bind, &ip),
                _ => failed(&ip.to_string(), error),
            })
        }
        (ip, Some(port)) => {
            let local = SocketAddr::new(ip.unwrap_or(any), port);
            socket.bind(local).map_err(|error| failed(&local.to_string(), error))
        }
    }
}
