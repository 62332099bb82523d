//! The trait by which functions take text, hosts and addresses alike.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::endpoint::{Endpoint, Name};
use crate::endpoint_error::EndpointError;
use crate::error::Error;
use crate::family::Family;
use crate::family::alg::AlgAddress;
use crate::family::can::CanAddress;
use crate::family::inet;
use crate::family::netlink::NetlinkAddress;
use crate::family::packet::PacketAddress;
use crate::family::tipc::TipcAddress;
use crate::family::unix::UnixName;
use crate::family::vsock::VsockAddress;
use crate::family::xdp::XdpAddress;
use crate::lookup::{IpVersion, Side};
use crate::transport::Transport;

/// A value that names an endpoint: text, a host and a port, or an address.
///
/// [`create_server`](crate::create_server), [`create_connection`](crate::create_connection),
/// [`Socket::bind`](crate::Socket::bind), [`Socket::connect`](crate::Socket::connect) and
/// [`Socket::send_to`](crate::Socket::send_to) take any of these:
///
/// | value | transport |
/// |---|---|
/// | `"udp://localhost:21567"`, `"unix:/run/echo"`, `"vsock://2:21567"` | the one in the text |
/// | `"localhost:21567"`, `"localhost"` (port 21567), `":80"` | TCP |
/// | `"/run/echo"`, `"@echo"`, a [`Path`], a [`UnixName`] | UNIX stream |
/// | `("localhost", 21567)`, `(Ipv4Addr::LOCALHOST, 0)`, `([127, 0, 0, 1], 0)` | TCP |
/// | a [`SocketAddr`] | TCP |
/// | an [`Address`] of another family | the stream transport of the family |
/// | `(Transport::Udp, value)`, with any of the above | the given one |
/// | an [`Endpoint`] | its own |
///
/// The methods of a [`Socket`](crate::Socket) use the name alone, since the socket has a transport
/// already.
///
/// ```
/// use echosounder_socket::{Endpoint, ToEndpoint, Transport};
/// use std::net::Ipv4Addr;
///
/// let endpoint: Endpoint = "udp://localhost:7".parse()?;
/// assert_eq!((Transport::Udp, ("localhost", 7)).to_endpoint()?, endpoint);
/// assert_eq!((Ipv4Addr::LOCALHOST, 7).to_endpoint()?.to_string(), "tcp://127.0.0.1:7");
/// assert_eq!("@echo".to_endpoint()?.transport(), Transport::UnixStream);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ToEndpoint {
    /// Returns the endpoint.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the text is not an endpoint (the source is the
    /// [`EndpointError`]), the name does not suit the transport, or the
    /// address has no endpoint.
    fn to_endpoint(&self) -> io::Result<Endpoint>;

    /// Returns the transport, and the addresses in the order in which to try them.
    ///
    /// # Errors
    ///
    /// As [`to_endpoint`](Self::to_endpoint) and [`Endpoint::resolve`].
    fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
        let endpoint = self.to_endpoint()?;
        Ok((endpoint.transport(), endpoint.resolve(side, IpVersion::Any)?))
    }

    /// Returns the first address for a socket of this family. A host name resolves to IPv4
    /// addresses for [`Family::INET`] and to IPv6 addresses for [`Family::INET6`].
    ///
    /// # Errors
    ///
    /// As [`to_addresses`](Self::to_addresses); `NotFound` if the host has no address of the
    /// family, EAFNOSUPPORT if sockets of the family are not addressed by host and port.
    fn to_address(&self, side: Side, family: Family) -> io::Result<Cow<'_, Address>> {
        first_address(&self.to_endpoint()?, side, family).map(Cow::Owned)
    }
}

fn first_address(endpoint: &Endpoint, side: Side, family: Family) -> io::Result<Address> {
    let version = match family {
        Family::INET => IpVersion::V4,
        Family::INET6 => IpVersion::V6,
        Family::UNIX | Family::NETLINK | Family::TIPC | Family::VSOCK if endpoint.transport().has_hosts() => {
            return Err(no_hosts(endpoint));
        }
        _ => IpVersion::Any,
    };
    let addresses = endpoint.resolve(side, version)?;
    addresses.into_iter().next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn no_hosts(endpoint: &Endpoint) -> io::Error {
    Error::new("use", endpoint, io::Error::from_raw_os_error(libc::EAFNOSUPPORT)).into()
}

/// Returns the stream transport of the address family.
fn default_transport(address: &Address) -> io::Result<Transport> {
    match address {
        Address::Inet(_) | Address::Inet6(_) => Ok(Transport::Tcp),
        Address::Unix(_) => Ok(Transport::UnixStream),
        Address::Vsock(_) => Ok(Transport::VsockStream),
        Address::Tipc(_) => Ok(Transport::TipcStream),
        Address::Netlink(_) => Ok(Transport::Netlink),
        _ => {
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "the address family has no endpoints");
            Err(Error::new("use", address, reason).into())
        }
    }
}

impl<T: ToEndpoint + ?Sized> ToEndpoint for &T {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (**self).to_endpoint()
    }

    fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
        (**self).to_addresses(side)
    }

    fn to_address(&self, side: Side, family: Family) -> io::Result<Cow<'_, Address>> {
        (**self).to_address(side, family)
    }
}

impl ToEndpoint for Endpoint {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        Ok(self.clone())
    }

    fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
        Ok((self.transport(), self.resolve(side, IpVersion::Any)?))
    }

    fn to_address(&self, side: Side, family: Family) -> io::Result<Cow<'_, Address>> {
        first_address(self, side, family).map(Cow::Owned)
    }
}

impl ToEndpoint for str {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        self.parse().map_err(|error| {
            let error: EndpointError = error;
            Error::new("parse", &format_args!("{self:?}"), error.into()).into()
        })
    }
}

impl ToEndpoint for String {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        self.as_str().to_endpoint()
    }
}

impl ToEndpoint for Address {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        Endpoint::at(default_transport(self)?, self)
    }

    fn to_addresses(&self, _side: Side) -> io::Result<(Transport, Vec<Address>)> {
        Ok((default_transport(self)?, vec![self.clone()]))
    }

    fn to_address(&self, _side: Side, _family: Family) -> io::Result<Cow<'_, Address>> {
        Ok(Cow::Borrowed(self))
    }
}

/// A name over a given transport. A name that does not suit the transport, such as a path over
/// [`Transport::Udp`], is refused with `InvalidInput`.
impl<T: ToEndpoint> ToEndpoint for (Transport, T) {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        let (transport, name) = self;
        Endpoint::new(*transport, name.to_endpoint()?.into_name())
    }

    fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
        let (transport, name) = self;
        let (default, addresses) = name.to_addresses(side)?;
        if default.form() == transport.form() {
            return Ok((*transport, addresses));
        }
        let reason = io::Error::new(io::ErrorKind::InvalidInput, "the transport has another address family");
        let name = addresses.first().map_or_else(String::new, Address::to_string);
        Err(Error::new("use", &format_args!("{name} over {transport}"), reason).into())
    }

    fn to_address(&self, side: Side, family: Family) -> io::Result<Cow<'_, Address>> {
        self.1.to_address(side, family)
    }
}

/// Implements the trait for types that convert to an address without a lookup.
macro_rules! address_types {
    ($($type:ty),* $(,)?) => {
        $(impl ToEndpoint for $type {
            fn to_endpoint(&self) -> io::Result<Endpoint> {
                Address::from(self.clone()).to_endpoint()
            }

            fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
                Address::from(self.clone()).to_addresses(side)
            }

            fn to_address(&self, _side: Side, _family: Family) -> io::Result<Cow<'_, Address>> {
                Ok(Cow::Owned(Address::from(self.clone())))
            }
        })*
    };
}

address_types!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16),
    ([u8; 4], u16),
    ([u16; 8], u16),
    UnixName,
    VsockAddress,
    TipcAddress,
    NetlinkAddress,
    PacketAddress,
    CanAddress,
    AlgAddress,
    XdpAddress,
    std::os::unix::net::SocketAddr,
);

/// A host name or an IP address, and a port. The empty host and `*` mean every address of this host
/// to a server, and localhost to a client. An IPv6 address needs no brackets.
impl ToEndpoint for (&str, u16) {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        let (host, port) = *self;
        match inet::parse_plain_host(host) {
            Ok(host) => Endpoint::new(Transport::Tcp, Name::Inet(host, port)),
            Err(error) => Err(Error::new("parse", &format_args!("{host:?}"), error.into()).into()),
        }
    }
}

/// As for `(&str, u16)`.
impl ToEndpoint for (String, u16) {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (self.0.as_str(), self.1).to_endpoint()
    }
}

impl ToEndpoint for Path {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        UnixName::from(self).to_endpoint()
    }

    fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
        UnixName::from(self).to_addresses(side)
    }

    fn to_address(&self, _side: Side, _family: Family) -> io::Result<Cow<'_, Address>> {
        Ok(Cow::Owned(UnixName::from(self).into()))
    }
}

impl ToEndpoint for PathBuf {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        self.as_path().to_endpoint()
    }

    fn to_addresses(&self, side: Side) -> io::Result<(Transport, Vec<Address>)> {
        self.as_path().to_addresses(side)
    }

    fn to_address(&self, side: Side, family: Family) -> io::Result<Cow<'_, Address>> {
        self.as_path().to_address(side, family)
    }
}
