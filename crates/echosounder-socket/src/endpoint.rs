//! What a user writes to say where: a transport and a name, not yet resolved.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::address::Address;
use crate::error::{Error, is_family_absent, is_feature_absent};
use crate::family::inet::{self, Host};
use crate::family::netlink::NetlinkAddress;
use crate::family::tipc::{self, TipcAddress};
use crate::family::unix::{ABSTRACT_MAX, PATH_MAX, UnixName};
use crate::family::vsock::VsockAddress;
use crate::family::{Family, Protocol, Type};
use crate::socket::Socket;

/// The port of a stamped echo, unless another is written.
pub const DEFAULT_PORT: u16 = 21567;

/// A way of moving bytes: a family, a type and a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// SOCK_STREAM over AF_INET and AF_INET6: tcp(7).
    Tcp,
    /// SOCK_DGRAM over AF_INET and AF_INET6: udp(7).
    Udp,
    /// SOCK_STREAM over AF_UNIX: unix(7).
    UnixStream,
    /// SOCK_DGRAM over AF_UNIX.
    UnixDatagram,
    /// SOCK_SEQPACKET over AF_UNIX.
    UnixSeqpacket,
    /// SOCK_STREAM over AF_VSOCK: vsock(7).
    VsockStream,
    /// SOCK_SEQPACKET over AF_VSOCK, since Linux 5.14.
    VsockSeqpacket,
    /// SOCK_STREAM over AF_TIPC.
    TipcStream,
    /// SOCK_SEQPACKET over AF_TIPC.
    TipcSeqpacket,
    /// SOCK_RDM over AF_TIPC: datagrams that the network does not lose.
    TipcRdm,
    /// SOCK_DGRAM over AF_TIPC.
    TipcDatagram,
    /// SOCK_DGRAM over AF_NETLINK with NETLINK_USERSOCK, between processes: netlink(7).
    Netlink,
    /// SOCK_STREAM with IPPROTO_MPTCP over AF_INET and AF_INET6: RFC 8684.
    Mptcp,
    /// SOCK_STREAM with IPPROTO_SCTP over AF_INET and AF_INET6, one socket for each association: sctp(7).
    Sctp,
}

/// How a socket is spoken through; all that a server or a client needs to know of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections that carry bytes, without bounds: accept, read, write.
    Stream,
    /// Connections that keep the bounds of messages: one read is one message.
    Messages,
    /// No connections: receive with the source, send to an address.
    Datagrams,
}

/// A row of the endpoint table.
struct Row {
    transport: Transport,
    /// What is written before the name, the separator included.
    prefix: &'static str,
    form: Form,
    kind: Kind,
    socket: (Type, Protocol),
}

/// What the names of a transport look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A host and a port.
    Inet,
    /// A path or an abstract name.
    Unix,
    /// A context id and a port.
    Vsock,
    /// A type and an instance.
    Tipc,
    /// A port id.
    Netlink,
}

impl Form {
    fn parse(self, text: &str, transport: Transport) -> Result<Name, EndpointError> {
        match self {
            Self::Inet => inet::parse(text, transport).map(|(host, port)| Name::Inet(host, port)),
            Self::Unix => UnixName::parse(text).map(Name::Unix),
            Self::Vsock => VsockAddress::parse(text).map(Name::Vsock),
            Self::Tipc => TipcAddress::parse(text).map(Name::Tipc),
            Self::Netlink => NetlinkAddress::parse(text).map(Name::Netlink),
        }
    }
}

const STREAM: (Type, Protocol) = (Type::STREAM, Protocol::DEFAULT);
const SEQPACKET: (Type, Protocol) = (Type::SEQPACKET, Protocol::DEFAULT);
const DGRAM: (Type, Protocol) = (Type::DGRAM, Protocol::DEFAULT);

#[rustfmt::skip]
const TABLE: [Row; 14] = {
    use Transport::*;
    use {Form::{Inet, Tipc, Unix, Vsock}, Kind::*};
    [
        Row { transport: Tcp, prefix: "tcp://", form: Inet, kind: Stream, socket: STREAM },
        Row { transport: Udp, prefix: "udp://", form: Inet, kind: Datagrams, socket: DGRAM },
        Row { transport: UnixStream, prefix: "unix:", form: Unix, kind: Stream, socket: STREAM },
        Row { transport: UnixDatagram, prefix: "unix-dgram:", form: Unix, kind: Datagrams, socket: DGRAM },
        Row { transport: UnixSeqpacket, prefix: "unix-seqpacket:", form: Unix, kind: Messages, socket: SEQPACKET },
        Row { transport: VsockStream, prefix: "vsock://", form: Vsock, kind: Stream, socket: STREAM },
        Row { transport: VsockSeqpacket, prefix: "vsock-seqpacket://", form: Vsock, kind: Messages, socket: SEQPACKET },
        Row { transport: TipcStream, prefix: "tipc://", form: Tipc, kind: Stream, socket: STREAM },
        Row { transport: TipcSeqpacket, prefix: "tipc-seqpacket://", form: Tipc, kind: Messages, socket: SEQPACKET },
        Row { transport: TipcRdm, prefix: "tipc-rdm://", form: Tipc, kind: Datagrams, socket: (Type::RDM, Protocol::DEFAULT) },
        Row { transport: TipcDatagram, prefix: "tipc-dgram://", form: Tipc, kind: Datagrams, socket: DGRAM },
        Row { transport: Netlink, prefix: "netlink://", form: Form::Netlink, kind: Datagrams, socket: (Type::DGRAM, Protocol::NETLINK_USERSOCK) },
        Row { transport: Mptcp, prefix: "mptcp://", form: Inet, kind: Stream, socket: (Type::STREAM, Protocol::MPTCP) },
        Row { transport: Sctp, prefix: "sctp://", form: Inet, kind: Stream, socket: (Type::STREAM, Protocol::SCTP) },
    ]
};

impl Transport {
    /// Every transport, in the order of the endpoint table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.transport)
    }

    /// How a socket of this transport is spoken through.
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// Whether its sockets have connections, which a server accepts.
    pub fn listens(self) -> bool {
        self.kind() != Kind::Datagrams
    }

    /// What is written before the name, without the separator: `tcp`, `unix-dgram`.
    pub fn scheme(self) -> &'static str {
        self.row().prefix.trim_end_matches(['/', ':'])
    }

    /// Whether its names are a host and a port.
    pub fn has_hosts(self) -> bool {
        self.row().form == Form::Inet
    }

    /// The type, as socket(2) takes it.
    pub fn socket_type(self) -> Type {
        self.row().socket.0
    }

    /// The protocol, as socket(2) takes it.
    pub fn protocol(self) -> Protocol {
        self.row().socket.1
    }

    /// Whether one side of a connection can say that it has finished and still hear the other. With TIPC and SCTP
    /// it cannot: whoever ends, ends both.
    pub fn half_closes(self) -> bool {
        !matches!(self, Self::TipcStream | Self::TipcSeqpacket | Self::Sctp)
    }

    /// Whether an error of a receive is how it tells that the peer has closed. TIPC does it with ECONNRESET, after
    /// everything that the peer had sent.
    pub fn is_end(self, error: &io::Error) -> bool {
        self.row().form == Form::Tipc && error.kind() == io::ErrorKind::ConnectionReset
    }

    /// Whether closing or shutting down a connection may wait although it never waits otherwise: as long as the peer
    /// takes nothing, TIPC does so for up to 8 seconds, and then the connection is not writable.
    pub fn close_waits(self) -> bool {
        matches!(self, Self::TipcStream | Self::TipcSeqpacket)
    }

    /// Whether an error of making or binding a socket, or of connecting to this machine, says that the machine does not
    /// have what it takes: the family, of IPv6 the address, of VSOCK the loopback.
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

    /// Whether several sockets can have one address and the kernel spreads the peers among them, if each of them
    /// allows it: SO_REUSEPORT, socket(7).
    pub fn shares_addresses(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Mptcp)
    }

    /// Whether a socket that is connected hears others than its peer. Then a message's source says nothing about
    /// whose answer it is.
    pub fn receives_from_any(self) -> bool {
        matches!(self, Self::TipcRdm | Self::TipcDatagram)
    }

    /// Makes a socket that can have an address like `address`.
    ///
    /// # Errors
    ///
    /// As [`Socket::new`].
    pub fn socket(self, address: &Address) -> io::Result<Socket> {
        let (kind, protocol) = self.row().socket;
        Socket::new(address.family(), kind, protocol)
    }

    /// Makes two connected sockets. Only UNIX and TIPC have them.
    ///
    /// # Errors
    ///
    /// As [`Socket::pair`]; EOPNOTSUPP for a transport that has no pairs.
    pub fn pair(self) -> io::Result<(Socket, Socket)> {
        let family = match self.row().form {
            Form::Inet => Family::INET,
            Form::Unix => Family::UNIX,
            Form::Vsock => Family::VSOCK,
            Form::Tipc => Family::TIPC,
            Form::Netlink => Family::NETLINK,
        };
        let (kind, protocol) = self.row().socket;
        Socket::pair(family, kind, protocol)
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.transport == self).expect("every transport has its row in the table")
    }
}

/// Which addresses of a host are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl IpVersion {
    pub(crate) fn admits(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// On which side of a conversation an endpoint is used: `*` means every address to a server, and this host to
/// a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is bound to.
    Server,
    /// It is connected to.
    Client,
}

/// A transport and a name in it, as users write it: `tcp://[::1]:21567`, `unix-dgram:@echo`.
///
/// Parsing and printing are inverses: what is printed parses to the same endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    transport: Transport,
    name: Name,
}

/// A name, in the form that its family has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Name {
    /// A host and a port; port 0 stands for any that is free.
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

/// Why a text is not an [`Endpoint`]: which part of it is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Nothing is written.
    #[error("the endpoint is empty")]
    Empty,
    /// No transport has this scheme.
    #[error("no scheme is named {0:?}; there are {schemes}", schemes = schemes())]
    UnknownScheme(String),
    /// The port is no number from 0 to 65535.
    #[error("port {0:?} is not a number from 0 to 65535")]
    BadPort(String),
    /// The port is a word, and no service of the protocol has this name.
    #[error("port {name:?} is neither a number from 0 to 65535 nor a {protocol} service in /etc/services")]
    UnknownService {
        /// The word.
        name: String,
        /// The protocol, as /etc/services names it.
        protocol: &'static str,
    },
    /// The host is no name and no address.
    #[error("host {0:?} is neither a name nor an address")]
    BadHost(String),
    /// The host consists of numbers alone and is no IPv4 address. inet_aton(3) would read some of these as an
    /// address that nobody means.
    #[error("host {0:?} is not an IPv4 address, which has four decimal numbers from 0 to 255")]
    BadV4(String),
    /// What stands in brackets is no IPv6 address.
    #[error("{0:?} in brackets is not an IPv6 address")]
    BadV6(String),
    /// A bracket is not closed.
    #[error("the bracket [ of the IPv6 address is not closed")]
    UnclosedBracket,
    /// An IPv6 address stands without brackets, so its port could not be told.
    #[error("an IPv6 address must be in brackets: [{}]", .0.escape_debug())]
    BareV6(String),
    /// A UNIX endpoint has neither path nor name.
    #[error("the path is empty")]
    NoPath,
    /// A path holds a NUL byte.
    #[error("the path holds a NUL byte")]
    NulInPath,
    /// A path does not fit `sun_path`.
    #[error("the path is {0} bytes long, over the {PATH_MAX} that a UNIX socket can have")]
    PathTooLong(usize),
    /// An abstract name does not fit `sun_path`.
    #[error("the name is {0} bytes long, over the {ABSTRACT_MAX} that an abstract socket can have")]
    NameTooLong(usize),
    /// A percent sign is not followed by two hexadecimal digits.
    #[error("%{} is not % and two hexadecimal digits (write a percent sign as %25)", .0.escape_debug())]
    BadPercent(String),
    /// A VSOCK context id is neither a number nor a name for one.
    #[error("context id {0:?} is neither a number nor any, local or host")]
    BadCid(String),
    /// A VSOCK port is no number.
    #[error("port {0:?} is not a number from 0 to {max}", max = u32::MAX)]
    BadVsockPort(String),
    /// A TIPC name is not a type and an instance.
    #[error("{0:?} is not TYPE:INSTANCE, two numbers from 0 to {max}", max = u32::MAX)]
    BadService(String),
    /// A TIPC type that the kernel keeps for itself.
    #[error("type {0} is one of the kernel's own, below {min}", min = tipc::RESERVED)]
    ReservedService(u32),
    /// What stands behind the question mark is no scope.
    #[error("{0:?} is neither scope=node nor scope=cluster")]
    BadScope(String),
    /// A netlink port id is no number.
    #[error("port id {0:?} is not a number from 0 to {max}", max = u32::MAX)]
    BadPortId(String),
}

fn schemes() -> String {
    let schemes: Vec<&str> = TABLE.iter().map(|row| row.prefix).collect();
    schemes.join(" ")
}

impl Endpoint {
    /// The endpoint at an address that the kernel has told.
    ///
    /// # Errors
    ///
    /// If the address is not of a family that the transport has, or is no name that a socket can be found by.
    pub fn at(transport: Transport, address: &Address) -> io::Result<Self> {
        let name = match (transport.row().form, address) {
            (Form::Inet, Address::Inet(address)) => Name::Inet(Host::V4(*address.ip()), address.port()),
            (Form::Inet, Address::Inet6(address)) => Name::Inet(Host::of(address), address.port()),
            (Form::Unix, Address::Unix(name)) if name.is_usable() => Name::Unix(name.clone()),
            (Form::Vsock, Address::Vsock(address)) if address.port != 0 => Name::Vsock(*address),
            (Form::Tipc, Address::Tipc(address)) if address.is_service() => Name::Tipc(*address),
            (Form::Netlink, Address::Netlink(address)) if address.groups == 0 => Name::Netlink(*address),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Self { transport, name })
    }

    /// The endpoint at an address as it is shown; of a family that the transport does not have, the address.
    pub fn shown(transport: Transport, address: &Address) -> String {
        Self::at(transport, address).map_or_else(|_| address.to_string(), |endpoint| endpoint.to_string())
    }

    /// The transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The name in it.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The addresses of the name, in the order in which they are to be tried; of a host name perhaps several.
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
        f.write_str(self.transport.row().prefix)?;
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
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        let bare_path = text.starts_with(['/', '@']) || text.starts_with("./") || text.starts_with("../");
        let (transport, name) = if bare_path {
            (Transport::UnixStream, text)
        } else if let Some(found) =
            TABLE.iter().find_map(|row| Some((row.transport, without_scheme(text, row.prefix)?)))
        {
            found
        } else if let Some((scheme, _)) = text.split_once("://") {
            return Err(EndpointError::UnknownScheme(scheme.into()));
        } else if let Some(scheme) = mistaken_scheme(text) {
            return Err(EndpointError::UnknownScheme(format!("{scheme}:")));
        } else {
            (Transport::Tcp, text)
        };
        Ok(Self { transport, name: transport.row().form.parse(name, transport)? })
    }
}

/// What follows a scheme and its separator. Schemes ignore case: RFC 3986, section 3.1.
fn without_scheme<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (scheme, rest) = text.split_at_checked(prefix.len())?;
    scheme.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What stands before a colon and can be no host: a scheme without its slashes, or one before a path.
fn mistaken_scheme(text: &str) -> Option<&str> {
    let (before, after) = text.split_once(':')?;
    let known = Transport::all().any(|transport| transport.scheme().eq_ignore_ascii_case(before));
    let unix = before.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("unix"));
    let path = after.starts_with(['/', '@', '.']);
    (known || unix || path).then_some(before)
}
