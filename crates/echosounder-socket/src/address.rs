//! Socket addresses of every family.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use crate::endpoint_error::EndpointError;
use crate::errno::{PeerFailure, PeerOperation};
use crate::family::alg::AlgAddress;
use crate::family::can::CanAddress;
use crate::family::netlink::NetlinkAddress;
use crate::family::packet::PacketAddress;
use crate::family::tipc::TipcAddress;
use crate::family::unix::UnixName;
use crate::family::vsock::VsockAddress;
use crate::family::xdp::XdpAddress;
use crate::family::{self, Family, inet, tipc, unix, vsock};
use crate::raw_address::RawAddress;
use crate::sys;

/// A socket address of any family.
///
/// Addresses of unknown families are kept as bytes, so they can be passed back to the kernel
/// unchanged.
///
/// # Text
///
/// `{}` writes an address as in an endpoint, without the scheme; `{:#}` adds the family where the
/// text alone does not show it. [`FromStr`] parses what `{:#}` writes, with the family in capitals
/// too, and reads a text without a family as an IP address and port, a UNIX path that begins with
/// `/`, `./` or `../`, or `@` and an abstract name.
///
/// The text `unix:unnamed` is the address of a socket without a name. An
/// [`Endpoint`](crate::Endpoint) of that text has the path `unnamed`, since no client can connect to
/// a socket without a name.
///
/// | family | `{}` | `{:#}` |
/// |---|---|---|
/// | AF_INET, AF_INET6 | `127.0.0.1:80`, `[fe80::1%2]:80` | the same |
/// | AF_UNIX | `/run/echo`, `@echo`, `unnamed` | `unix:/run/echo` |
/// | AF_VSOCK | `2:21567` | `vsock:2:21567` |
/// | AF_TIPC | `70:1`, `70:1-9?scope=node`, `1001001/5` | `tipc:70:1` |
/// | AF_NETLINK | `5`, `0?groups=0x1` | `netlink:5` |
/// | AF_UNSPEC | `unspecified` | the same |
/// | others | in words | `sockaddr:` and all bytes in hexadecimal |
///
/// The flow label of an IPv6 address has no text.
///
/// ```
/// use echosounder_socket::Address;
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// let address: Address = "127.0.0.1:80".parse()?;
/// assert_eq!(address, (Ipv4Addr::LOCALHOST, 80).into());
/// assert_eq!(SocketAddr::try_from(&address)?, "127.0.0.1:80".parse()?);
///
/// let address: Address = "unix:/run/echo".parse()?;
/// assert_eq!(format!("{address} or {address:#}"), "/run/echo or unix:/run/echo");
/// assert_eq!(format!("{address:?}"), r#"Unix(Path("/run/echo"))"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address {
    /// No address: AF_UNSPEC. Connecting a datagram socket to it dissolves the association with its
    /// peer: see [`Socket::connect`](crate::Socket::connect).
    Unspecified,
    /// AF_INET: ip(7).
    Inet(SocketAddrV4),
    /// AF_INET6: ipv6(7), with the scope id of a link-local address.
    Inet6(SocketAddrV6),
    /// AF_UNIX: unix(7).
    Unix(UnixName),
    /// AF_NETLINK: netlink(7).
    Netlink(NetlinkAddress),
    /// AF_TIPC: linux/tipc.h.
    Tipc(TipcAddress),
    /// AF_VSOCK: vsock(7).
    Vsock(VsockAddress),
    /// AF_PACKET: packet(7).
    Packet(PacketAddress),
    /// AF_CAN: linux/can.h.
    Can(CanAddress),
    /// AF_ALG: linux/if_alg.h.
    Alg(Box<AlgAddress>),
    /// AF_XDP: linux/if_xdp.h.
    Xdp(XdpAddress),
    /// An address of another family or form: the bytes of the whole `sockaddr`, including the
    /// family.
    Other(Box<[u8]>),
}

// A server keeps one per connection.
const _: () = assert!(size_of::<Address>() == 32);

impl Address {
    /// Returns the port of an IP address; `None` for other families.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Inet6(address) => Some(address.port()),
            _ => None,
        }
    }

    /// Returns the address with another port. Addresses of families other than IP are returned
    /// unchanged.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        match &mut self {
            Self::Inet(address) => address.set_port(port),
            Self::Inet6(address) => address.set_port(port),
            _ => {}
        }
        self
    }

    /// Returns the IP address; `None` for other families.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some((*address.ip()).into()),
            Self::Inet6(address) => Some((*address.ip()).into()),
            _ => None,
        }
    }

    /// Returns the host name of an IP address: getnameinfo(3). The call blocks while the resolver
    /// looks it up.
    ///
    /// The owner of the address chooses the name, which may contain control characters and proves
    /// nothing. Escape it before printing it.
    ///
    /// # Errors
    ///
    /// `NotFound` if the address has no name; EAFNOSUPPORT for an address of another family.
    ///
    /// ```no_run
    /// use echosounder_socket::Address;
    ///
    /// let address: Address = "127.0.0.1:0".parse()?;
    /// println!("{}", address.lookup_name()?.escape_debug()); // Often "localhost".
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "getnameinfo")]
    #[doc(alias = "gethostbyaddr")]
    pub fn lookup_name(&self) -> io::Result<String> {
        match self {
            Self::Inet(_) | Self::Inet6(_) => {
                let raw = RawAddress::try_from(self)?;
                sys::service::names(&raw, libc::NI_NAMEREQD | libc::NI_NUMERICSERV).map(|(host, _)| host)
            }
            _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
    }

    /// Returns whether this is the IP address that stands for all addresses of this host.
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Returns whether a peer at this address is on this host. `local` is the address of our own
    /// socket, which equals the peer's IP address if a host connects to itself by an address of a
    /// network interface.
    pub fn locality(&self, local: Option<&Self>) -> Locality {
        let is_here = match (self, local) {
            (Self::Unix(_) | Self::Netlink(_) | Self::Alg(_), _) => true,
            (Self::Vsock(peer), _) => peer.cid == VsockAddress::CID_LOCAL,
            (Self::Tipc(peer), Some(Self::Tipc(local))) => match (peer.node(), local.node()) {
                (Some(peer), Some(local)) => peer == local,
                // A service address does not say on which node its socket is.
                _ => return Locality::Unknown,
            },
            (address, local) => match address.ip() {
                Some(ip) => ip.is_loopback() || ip.is_unspecified() || local.and_then(Self::ip) == Some(ip),
                None => return Locality::Unknown,
            },
        };
        if is_here { Locality::ThisHost } else { Locality::OtherHost }
    }

    /// Returns the failure of the peer that an error of an operation with this address indicates,
    /// if the address family gives the error number a meaning that it does not have in others.
    pub fn peer_failure(&self, operation: PeerOperation, error: &io::Error) -> Option<PeerFailure> {
        match self {
            Self::Unix(_) => unix::peer_failure(error),
            Self::Vsock(_) => vsock::peer_failure(operation, error),
            Self::Tipc(_) => tipc::peer_failure(error),
            _ => None,
        }
    }

    /// Returns the address family.
    pub fn family(&self) -> Family {
        match self {
            Self::Unspecified => Family::UNSPEC,
            Self::Inet(_) => Family::INET,
            Self::Inet6(_) => Family::INET6,
            Self::Unix(_) => Family::UNIX,
            Self::Netlink(_) => Family::NETLINK,
            Self::Tipc(_) => Family::TIPC,
            Self::Vsock(_) => Family::VSOCK,
            Self::Packet(_) => Family::PACKET,
            Self::Can(_) => Family::CAN,
            Self::Alg(_) => Family::ALG,
            Self::Xdp(_) => Family::XDP,
            Self::Other(bytes) => {
                Family(i32::from(bytes.first_chunk().map_or(0, |family| u16::from_ne_bytes(*family))))
            }
        }
    }
}

/// The host of a peer, relative to this one.
///
/// ```
/// use echosounder_socket::{Address, Locality};
///
/// let address: Address = "127.0.0.1:7".parse().unwrap();
/// assert_eq!(address.locality(None), Locality::ThisHost);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Locality {
    /// This host.
    ThisHost,
    /// Another host.
    OtherHost,
    /// Unknown: the address does not identify a host.
    Unknown,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::Inet(address),
            SocketAddr::V6(address) => Self::Inet6(address),
        }
    }
}

impl From<&SocketAddr> for Address {
    fn from(address: &SocketAddr) -> Self {
        (*address).into()
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self::Inet(address)
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self::Inet6(address)
    }
}

impl<T: Into<IpAddr>> From<(T, u16)> for Address {
    fn from((ip, port): (T, u16)) -> Self {
        SocketAddr::new(ip.into(), port).into()
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self::Unix(name)
    }
}

impl From<NetlinkAddress> for Address {
    fn from(address: NetlinkAddress) -> Self {
        Self::Netlink(address)
    }
}

impl From<TipcAddress> for Address {
    fn from(address: TipcAddress) -> Self {
        Self::Tipc(address)
    }
}

impl From<VsockAddress> for Address {
    fn from(address: VsockAddress) -> Self {
        Self::Vsock(address)
    }
}

impl From<PacketAddress> for Address {
    fn from(address: PacketAddress) -> Self {
        Self::Packet(address)
    }
}

impl From<CanAddress> for Address {
    fn from(address: CanAddress) -> Self {
        Self::Can(address)
    }
}

impl From<AlgAddress> for Address {
    fn from(address: AlgAddress) -> Self {
        Self::Alg(Box::new(address))
    }
}

impl From<XdpAddress> for Address {
    fn from(address: XdpAddress) -> Self {
        Self::Xdp(address)
    }
}

impl From<std::os::unix::net::SocketAddr> for Address {
    fn from(address: std::os::unix::net::SocketAddr) -> Self {
        Self::Unix(address.into())
    }
}

/// Keeps the scope id and the flow label.
///
/// # Errors
///
/// `InvalidInput` for an address of another family than IPv4 and IPv6.
impl TryFrom<&Address> for SocketAddr {
    type Error = io::Error;

    fn try_from(address: &Address) -> io::Result<Self> {
        match address {
            Address::Inet(address) => Ok(Self::V4(*address)),
            Address::Inet6(address) => Ok(Self::V6(*address)),
            other => {
                let message = format!("{other} of {} is not an IP address", other.family());
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// As for a reference.
impl TryFrom<Address> for SocketAddr {
    type Error = io::Error;

    fn try_from(address: Address) -> io::Result<Self> {
        (&address).try_into()
    }
}

/// # Errors
///
/// `InvalidInput` for an address of another family, or a name that std does not accept: a path of
/// 108 bytes.
impl TryFrom<&Address> for std::os::unix::net::SocketAddr {
    type Error = io::Error;

    fn try_from(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(name) => name.try_into(),
            other => {
                let message = format!("{other} of {} is not a UNIX address", other.family());
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// As for a reference.
impl TryFrom<Address> for std::os::unix::net::SocketAddr {
    type Error = io::Error;

    fn try_from(address: Address) -> io::Result<Self> {
        (&address).try_into()
    }
}

impl FromStr for Address {
    type Err = EndpointError;

    /// Parses the text of an address: see [`Address`](Self#text).
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bad = || EndpointError::BadAddress(text.into());
        let (family, rest) = text.split_once(':').unwrap_or_default();
        match family.to_ascii_lowercase().as_str() {
            "unix" => return rest.parse().map(Self::Unix),
            "vsock" => return rest.parse().map(Self::Vsock),
            "tipc" => return rest.parse().map(Self::Tipc),
            "netlink" => return rest.parse().map(Self::Netlink),
            "sockaddr" => {
                let bytes = hex(rest).filter(|bytes| bytes.len() <= RawAddress::CAPACITY as usize);
                return Ok(Self::from(&RawAddress::from_bytes(&bytes.ok_or_else(bad)?)));
            }
            _ => {}
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        match text {
            "unspecified" => Ok(Self::Unspecified),
            "unnamed" => Ok(Self::Unix(UnixName::Unnamed)),
            name if unix::is_bare_name(name) => name.parse().map(Self::Unix),
            _ => Err(bad()),
        }
    }
}

/// Decodes hexadecimal digits, two for each byte.
fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    pairs.collect()
}

impl fmt::Display for Address {
    /// Writes the text of the address: see [`Address`](Self#text).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            match self {
                Self::Unix(_) => f.write_str("unix:")?,
                Self::Netlink(_) => f.write_str("netlink:")?,
                Self::Tipc(_) => f.write_str("tipc:")?,
                Self::Vsock(_) => f.write_str("vsock:")?,
                Self::Packet(_) | Self::Can(_) | Self::Alg(_) | Self::Xdp(_) | Self::Other(_) => {
                    f.write_str("sockaddr:")?;
                    let raw = RawAddress::try_from(self).map_err(|_| fmt::Error)?;
                    return family::write_hex(f, raw.as_bytes(), "");
                }
                Self::Unspecified | Self::Inet(_) | Self::Inet6(_) => {}
            }
        }
        match self {
            Self::Unspecified => f.write_str("unspecified"),
            Self::Inet(address) => address.fmt(f),
            Self::Inet6(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
            Self::Netlink(address) => address.fmt(f),
            Self::Tipc(address) => address.fmt(f),
            Self::Vsock(address) => address.fmt(f),
            Self::Packet(address) => address.fmt(f),
            Self::Can(address) => address.fmt(f),
            Self::Alg(address) => address.fmt(f),
            Self::Xdp(address) => address.fmt(f),
            Self::Other(_) => self.family().fmt(f),
        }
    }
}

impl TryFrom<&Address> for RawAddress {
    type Error = io::Error;

    /// Converts the address for a system call.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address that the kernel would truncate or take for another: an empty
    /// path, a path with a NUL byte, or more bytes than an address of the family has. For a UNIX
    /// address the source is an [`EndpointError`].
    fn try_from(address: &Address) -> io::Result<Self> {
        let too_long = |reason| io::Error::new(io::ErrorKind::InvalidInput, reason);
        match address {
            Address::Unix(name) => name.check()?,
            Address::Alg(address) if !address.fits() => {
                return Err(too_long("the name of the algorithm contains a NUL byte or is too long"));
            }
            Address::Other(bytes) if bytes.len() <= Self::CAPACITY as usize => {
                return Ok(Self::from_bytes(bytes));
            }
            Address::Other(_) => return Err(too_long("a socket address has at most 128 bytes")),
            _ => {}
        }
        let mut raw = Self::of_family(address.family());
        match address {
            Address::Inet(address) => inet::put_v4(address, &mut raw),
            Address::Inet6(address) => inet::put_v6(address, &mut raw),
            Address::Unix(name) => name.put(&mut raw),
            Address::Netlink(address) => address.put(&mut raw),
            Address::Tipc(address) => address.put(&mut raw),
            Address::Vsock(address) => address.put(&mut raw),
            Address::Packet(address) => address.put(&mut raw),
            Address::Can(address) => address.put(&mut raw),
            Address::Alg(address) => address.put(&mut raw),
            Address::Xdp(address) => address.put(&mut raw),
            // The length of a `sockaddr`, which connect(2) accepts for every family.
            Address::Unspecified => raw.put(&[0; 14]),
            Address::Other(_) => {}
        }
        Ok(raw)
    }
}

impl From<&RawAddress> for Address {
    fn from(raw: &RawAddress) -> Self {
        let known = match raw.field(0).map(|family| Family(i32::from(u16::from_ne_bytes(family)))) {
            Some(Family::INET) => inet::get_v4(raw).map(Self::Inet),
            Some(Family::INET6) => inet::get_v6(raw).map(Self::Inet6),
            Some(Family::UNIX) => Some(Self::Unix(UnixName::get(raw))),
            Some(Family::NETLINK) => NetlinkAddress::get(raw).map(Self::Netlink),
            Some(Family::TIPC) => TipcAddress::get(raw).map(Self::Tipc),
            Some(Family::VSOCK) => VsockAddress::get(raw).map(Self::Vsock),
            Some(Family::PACKET) => PacketAddress::get(raw).map(Self::Packet),
            Some(Family::CAN) => CanAddress::get(raw).map(Self::Can),
            Some(Family::ALG) => AlgAddress::get(raw).map(|address| Self::Alg(Box::new(address))),
            Some(Family::XDP) => XdpAddress::get(raw).map(Self::Xdp),
            Some(Family::UNSPEC) if raw.as_bytes().iter().all(|&byte| byte == 0) => Some(Self::Unspecified),
            None if raw.len() == 0 => Some(Self::Unspecified),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other(raw.as_bytes().into()))
    }
}

/// Writes the text of the [`Address`].
impl fmt::Display for RawAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address::from(self).fmt(f)
    }
}

impl fmt::Debug for RawAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use super::*;

    #[test]
    fn raw_addresses_are_the_same_if_all_bytes_are_equal() {
        let link_local = |scope| SocketAddr::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 0, scope)).into();
        let path = |name: &[u8]| UnixName::Path(name.into()).into();
        let addresses: [Address; 9] = [
            ([127, 0, 0, 1], 7).into(),
            ([127, 0, 0, 1], 8).into(),
            ([127, 0, 0, 2], 7).into(),
            link_local(1),
            // Differs in the last four bytes only, which are not a whole word.
            link_local(2),
            path(b"/tmp/a"),
            path(b"/tmp/b"),
            path(b"/tmp/ab"),
            UnixName::Unnamed.into(),
        ];
        for (number, one) in addresses.iter().enumerate() {
            for (other_number, other) in addresses.iter().enumerate() {
                let raw = |address| RawAddress::try_from(address).expect("an address");
                let (raw, other) = (raw(one), raw(other));
                assert_eq!(raw.is_same(&other), number == other_number, "{raw:?} {other:?}");
            }
        }
    }

    #[test]
    fn invalid_addresses_are_refused_and_not_truncated() {
        let path = |name: &[u8]| Address::from(UnixName::Path(name.into()));
        let name = |name: &[u8]| Address::from(UnixName::Abstract(name.into()));
        for refused in [
            path(b""),
            path(b"/tmp/a\0b"),
            path(b"\0"),
            path(&[b'a'; 109]),
            name(&[b'a'; 108]),
            Address::Other([0; 129].into()),
        ] {
            let error = RawAddress::try_from(&refused).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{refused:?}");
        }
        for accepted in [
            path(&[b'a'; 108]),
            name(&[b'a'; 107]),
            name(b""),
            name(b"a\0b"),
            UnixName::Unnamed.into(),
            Address::Other([7; 128].into()),
        ] {
            let raw = RawAddress::try_from(&accepted).expect("accepted");
            assert_eq!(Address::from(&raw), accepted);
        }
    }
}
