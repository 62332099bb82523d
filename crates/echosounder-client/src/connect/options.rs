//! The options of a connection attempt.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use echosounder_socket::{Address, Endpoint, Error, IpVersion, Socket, option};

use crate::error::{ClientError, Operation};

/// The target of a connection, and how to connect to it.
#[derive(Clone, Debug)]
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

/// Header fields of outgoing IP packets. `None` leaves a field to the kernel. Other families ignore
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpOptions {
    /// The differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: Option<u8>,
    /// The time to live of IPv4, or the hop limit of IPv6.
    pub ttl: Option<u8>,
}

impl IpOptions {
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
