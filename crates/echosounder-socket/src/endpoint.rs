//! Endpoints: a transport and a name, as users write them.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process;
use std::str::FromStr;

use crate::address::Address;
use crate::endpoint_error::EndpointError;
use crate::error::Error;
use crate::family::inet::{self, Host};
use crate::family::netlink::NetlinkAddress;
use crate::family::tipc::{TipcAddress, TipcScope};
use crate::family::unix;
use crate::family::unix::UnixName;
use crate::family::vsock::VsockAddress;
use crate::lookup::{IpVersion, Side};
use crate::raw_address::RawAddress;
use crate::sys;
use crate::transport::{DEFAULT_PORT, Kind, NameForm, Transport};

/// A transport and a name, as users write it: `tcp://[::1]:21567`, `unix-dgram:@echo`.
///
/// Parsing and printing are inverses: the printed text parses to the same endpoint.
///
/// ```
/// use echosounder_socket::{Endpoint, IpVersion, Name, Side, Transport};
///
/// let endpoint: Endpoint = "udp://127.0.0.1:21567".parse()?;
/// assert_eq!(endpoint.transport(), Transport::Udp);
/// assert!(matches!(endpoint.name(), Name::Inet(_, 21567)));
/// let addresses = endpoint.resolve(Side::Client, IpVersion::Any)?;
/// assert_eq!(Endpoint::at(Transport::Udp, &addresses[0])?, endpoint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    transport: Transport,
    name: Name,
}

/// A name, in the form of its address family.
///
/// See [`Endpoint`] for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Name {
    /// A host and a port. With port 0 the kernel chooses a free one.
    Inet(Host, u16),
    /// A path or an abstract name.
    Unix(UnixName),
    /// A context id and a port.
    Vsock(VsockAddress),
    /// A type and an instance.
    Tipc(TipcAddress),
    /// A port id.
    Netlink(NetlinkAddress),
}

impl Name {
    /// Parses the text after the scheme. `default_port` is that of a host without a port.
    fn parse(text: &str, transport: Transport, default_port: u16) -> Result<Self, EndpointError> {
        match transport.form() {
            NameForm::Inet => {
                inet::parse(text, transport, default_port).map(|(host, port)| Self::Inet(host, port))
            }
            NameForm::Unix => UnixName::parse(text).map(Self::Unix),
            NameForm::Vsock => VsockAddress::parse(text).map(Self::Vsock),
            NameForm::Tipc => TipcAddress::parse(text).map(Self::Tipc),
            NameForm::Netlink => NetlinkAddress::parse(text).map(Self::Netlink),
        }
    }
}

impl Endpoint {
    /// Creates an endpoint from a transport and a name.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the name has another form than the transport's names, or no text stands
    /// for it, such as a host name with a space.
    ///
    /// ```
    /// use echosounder_socket::family::inet::Host;
    /// use echosounder_socket::{Endpoint, Name, Transport};
    ///
    /// let endpoint = Endpoint::new(Transport::Udp, Name::Inet(Host::Name("localhost".into()), 7))?;
    /// assert_eq!(endpoint.to_string(), "udp://localhost:7");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(transport: Transport, name: Name) -> io::Result<Self> {
        let endpoint = Self { transport, name };
        if endpoint.to_string().parse().as_ref() == Ok(&endpoint) {
            return Ok(endpoint);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the name does not suit the transport"))
    }

    /// Returns the endpoint of an address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the address is not of the transport's family, or is not one that a client
    /// can connect to, such as an unnamed UNIX socket.
    pub fn at(transport: Transport, address: &Address) -> io::Result<Self> {
        let name = match (transport.form(), address) {
            (NameForm::Inet, Address::Inet(address)) => Name::Inet(Host::V4(*address.ip()), address.port()),
            (NameForm::Inet, Address::Inet6(address)) => Name::Inet(Host::of(address), address.port()),
            (NameForm::Unix, Address::Unix(name)) if name.is_usable() => Name::Unix(name.clone()),
            (NameForm::Vsock, Address::Vsock(address)) => Name::Vsock(*address),
            (NameForm::Tipc, Address::Tipc(address)) if address.is_service() => Name::Tipc(*address),
            (NameForm::Netlink, Address::Netlink(address)) if address.groups == 0 => Name::Netlink(*address),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Self { transport, name })
    }

    /// Returns the text of the endpoint of an address, or the address if it has no endpoint.
    pub fn display(transport: Transport, address: &Address) -> String {
        Self::at(transport, address).map_or_else(|_| address.to_string(), |endpoint| endpoint.to_string())
    }

    /// Parses an endpoint of a service whose port is not the usual one if the text has none.
    ///
    /// # Errors
    ///
    /// As `FromStr`.
    #[doc(hidden)]
    pub fn parse_with_port(text: &str, default_port: u16) -> Result<Self, EndpointError> {
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        let (transport, name) = if unix::is_bare_name(text) {
            (Transport::UnixStream, text)
        } else if let Some(found) = Transport::all()
            .find_map(|transport| Some((transport, without_scheme(text, transport.prefix())?)))
        {
            found
        } else if let Some((scheme, _)) = text.split_once("://") {
            return Err(EndpointError::UnknownScheme(scheme.into()));
        } else if let Some(scheme) = mistaken_scheme(text) {
            return Err(EndpointError::UnknownScheme(format!("{scheme}:")));
        } else {
            (Transport::Tcp, text)
        };
        Ok(Self { transport, name: Name::parse(name, transport, default_port)? })
    }

    /// Returns the transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn into_name(self) -> Name {
        self.name
    }

    /// Returns the addresses of the name in the order in which to try them. A host name may have
    /// several.
    ///
    /// The call blocks while the resolver looks up a host name: getaddrinfo(3).
    ///
    /// # Errors
    ///
    /// If a host name has no address, or an interface does not exist.
    #[doc(alias = "getaddrinfo")]
    pub fn resolve(&self, side: Side, version: IpVersion) -> Result<Vec<Address>, Error> {
        match &self.name {
            Name::Unix(name) => Ok(vec![name.clone().into()]),
            Name::Vsock(address) => Ok(vec![address.on(side).into()]),
            Name::Tipc(address) => Ok(vec![(*address).into()]),
            Name::Netlink(address) => Ok(vec![(*address).into()]),
            Name::Inet(host, port) => {
                let addresses = host
                    .resolve(*port, side, version)
                    .and_then(|found| if found.is_empty() { Err(no_address(version)) } else { Ok(found) })
                    .map_err(|error| Error::new("resolve", host, error))?;
                Ok(addresses.into_iter().map(Address::from).collect())
            }
        }
    }
}

/// Names of services.
impl Transport {
    /// Returns the port of a service: services(5). `None` if it is not listed, or the transport's
    /// names have no host.
    ///
    /// MPTCP and SCTP use the services of TCP.
    ///
    /// ```
    /// use echosounder_socket::Transport;
    ///
    /// if let Some(port) = Transport::Tcp.service_port("ssh") {
    ///     assert_eq!((port, Transport::Tcp.service_name(port).as_deref()), (22, Some("ssh")));
    /// }
    /// assert_eq!(Transport::Tcp.service_port("no such service"), None);
    /// ```
    #[doc(alias = "getservbyname")]
    pub fn service_port(self, name: &str) -> Option<u16> {
        self.has_hosts().then(|| sys::service::port(name, self.service_type())).flatten()
    }

    /// Returns the name of the service on a port: services(5). `None` if it is not listed, or the
    /// transport's names have no host. See [`service_port`](Self::service_port) for an example.
    #[doc(alias = "getservbyport")]
    pub fn service_name(self, port: u16) -> Option<String> {
        let address = RawAddress::try_from(&Address::from((Ipv4Addr::LOCALHOST, port))).ok()?;
        let datagram = if self.service_type() == libc::SOCK_DGRAM { libc::NI_DGRAM } else { 0 };
        let (_, name) = sys::service::names(&address, libc::NI_NUMERICHOST | datagram).ok()?;
        let is_name = !name.bytes().all(|byte| byte.is_ascii_digit());
        (self.has_hosts() && is_name).then_some(name)
    }

    fn service_type(self) -> i32 {
        if self.kind() == Kind::Datagrams { libc::SOCK_DGRAM } else { libc::SOCK_STREAM }
    }
}

impl Transport {
    /// Returns an address of this host for each address family of the transport, with a free port,
    /// for a server and a client on one machine.
    ///
    /// TIPC services have no port that the kernel could choose, and a client finds one by its name
    /// alone, and does not depend on its socket type. The address of a TIPC transport is therefore
    /// a service type of its own, with the process id as the instance.
    pub fn loopback_addresses(self) -> Vec<Address> {
        match self.form() {
            NameForm::Inet => vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()],
            NameForm::Unix => vec![UnixName::Unnamed.into()],
            NameForm::Vsock => {
                vec![VsockAddress { cid: VsockAddress::CID_LOCAL, port: VsockAddress::PORT_ANY }.into()]
            }
            NameForm::Tipc => {
                let service = u32::from(DEFAULT_PORT) + self as u32;
                let (instance, scope) = (process::id(), TipcScope::Node);
                vec![TipcAddress::Service { service, instance, scope, domain: 0 }.into()]
            }
            NameForm::Netlink => vec![NetlinkAddress::default().into()],
        }
    }
}

fn no_address(version: IpVersion) -> io::Error {
    let message = match version {
        IpVersion::Any => "the name has no address",
        IpVersion::V4 => "the name has no IPv4 address",
        IpVersion::V6 => "the name has no IPv6 address",
    };
    io::Error::new(io::ErrorKind::NotFound, message)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.transport.prefix())?;
        match &self.name {
            Name::Inet(host, port) => write!(f, "{host}:{port}"),
            Name::Unix(name) => name.fmt(f),
            Name::Vsock(address) => address.fmt(f),
            Name::Tipc(address) => address.fmt(f),
            Name::Netlink(address) => address.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse_with_port(text, DEFAULT_PORT)
    }
}

/// Parses a scheme without its separator, ignoring case.
///
/// ```
/// use echosounder_socket::Transport;
///
/// assert_eq!("unix-dgram".parse(), Ok(Transport::UnixDatagram));
/// assert_eq!(Transport::UnixDatagram.to_string(), "unix-dgram");
/// assert!("http".parse::<Transport>().is_err());
/// ```
impl FromStr for Transport {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let found = Self::all().find(|transport| transport.scheme().eq_ignore_ascii_case(text));
        found.ok_or_else(|| EndpointError::UnknownScheme(text.into()))
    }
}

/// Returns the text after a scheme and its separator. Schemes ignore case: RFC 3986, section 3.1.
fn without_scheme<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (scheme, rest) = text.split_at_checked(prefix.len())?;
    scheme.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Returns the text before a colon if it is a mistyped scheme rather than a host: `tcp:b`,
/// `unix-stream:/x`.
fn mistaken_scheme(text: &str) -> Option<&str> {
    let (before, after) = text.split_once(':')?;
    let known = Transport::all().any(|transport| transport.scheme().eq_ignore_ascii_case(before));
    let unix = before.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("unix"));
    let path = after.starts_with(['/', '@', '.']);
    (known || unix || path).then_some(before)
}
