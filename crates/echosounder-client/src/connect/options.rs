//! The options of a connection attempt.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
    /// Header fields of the packets that are sent.
    pub ip_options: IpOptions,
    /// How long to try to connect, over all addresses; afterwards, how long to wait for each reply.
    pub wait: Duration,
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
            ip_options: IpOptions::default(),
            wait: DEFAULT_WAIT,
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

    pub(crate) fn apply(self, socket: &Socket, address: &Address) -> io::Result<()> {
        let (traffic_class, hops) = match address {
            Address::Inet(_) => (option::IP_TOS, option::IP_TTL),
            Address::Inet6(_) => (option::IPV6_TCLASS, option::IPV6_UNICAST_HOPS),
            _ => return Ok(()),
        };
        // The two lowest bits of the byte carry explicit congestion notification (RFC 3168 §5).
        self.dscp.map_or(Ok(()), |dscp| socket.set_option(traffic_class, i32::from(dscp) << 2))?;
        self.ttl.map_or(Ok(()), |ttl| socket.set_option(hops, i32::from(ttl)))
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

impl Source {
    /// Binds a socket to the address or the interface.
    pub(crate) fn bind(&self, socket: &Socket) -> Result<(), ClientError> {
        let failed = |object: &str, error| ClientError::Local(Error::new("bind", &object, error));
        match self {
            Self::Address(ip) => {
                // The kernel then chooses the port on connect, so that connections to different
                // peers can share it: ip(7). A kernel without the option (before Linux 4.2) chooses
                // the port now.
                let _ = socket.set_option(option::IP_BIND_ADDRESS_NO_PORT, true);
                socket.bind(SocketAddr::new(*ip, 0)).map_err(|error| match error.kind() {
                    io::ErrorKind::AddrInUse => ClientError::no_port(Operation::Bind, ip),
                    _ => failed(&ip.to_string(), error),
                })
            }
            Self::Interface(name) => {
                socket.set_option(option::SO_BINDTODEVICE, name.clone()).map_err(|error| failed(name, error))
            }
        }
    }
}
