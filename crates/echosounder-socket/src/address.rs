//! Where a socket is: addresses of every family.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::family::unix::{PATH_MAX, UnixName};

/// An address as the kernel tells it.
///
/// A family that is not known here keeps its bytes, so nothing is lost on the way back to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// AF_INET: ip(7).
    Inet(SocketAddrV4),
    /// AF_INET6: ipv6(7), with the scope id of a link-local address.
    Inet6(SocketAddrV6),
    /// AF_UNIX: unix(7).
    Unix(UnixName),
    /// Any other family: the whole `sockaddr`, the family included.
    Other(Box<[u8]>),
}

impl Address {
    /// The port, where the family has ports.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Inet6(address) => Some(address.port()),
            Self::Unix(_) | Self::Other(_) => None,
        }
    }

    /// The same address with another port; of a family without ports, the same address.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        match &mut self {
            Self::Inet(address) => address.set_port(port),
            Self::Inet6(address) => address.set_port(port),
            Self::Unix(_) | Self::Other(_) => {}
        }
        self
    }

    /// Whether it stands for all addresses of this host.
    pub fn is_wildcard(&self) -> bool {
        match self {
            Self::Inet(address) => address.ip().is_unspecified(),
            Self::Inet6(address) => address.ip().is_unspecified(),
            Self::Unix(_) | Self::Other(_) => false,
        }
    }

    /// The family's number, as socket(2) takes it.
    pub fn family(&self) -> i32 {
        match self {
            Self::Inet(_) => libc::AF_INET,
            Self::Inet6(_) => libc::AF_INET6,
            Self::Unix(_) => libc::AF_UNIX,
            Self::Other(bytes) => {
                i32::from(bytes.first_chunk().map_or(0, |family| u16::from_ne_bytes(*family)))
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::Inet(address),
            SocketAddr::V6(address) => Self::Inet6(address),
        }
    }
}

impl fmt::Display for Address {
    /// As in an endpoint, without the scheme. A socket without a name is `unnamed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Inet6(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
            Self::Other(_) => write!(f, "family {}", self.family()),
        }
    }
}

/// An address as the kernel reads and writes it: a `sockaddr` of any family, and its length.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct RawAddress {
    bytes: [u8; Self::CAPACITY as usize],
    len: u32,
}

impl RawAddress {
    /// Room for every family's address: `sizeof(struct sockaddr_storage)`.
    pub(crate) const CAPACITY: u32 = 128;

    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; Self::CAPACITY as usize], len: 0 }
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Notes how long the address is that the kernel wrote; it may have had more to say than there was room.
    pub(crate) fn set_len(&mut self, len: u32) {
        self.len = len.min(Self::CAPACITY);
    }

    /// The address's bytes, the family included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    fn put(&mut self, bytes: &[u8]) {
        let start = self.len as usize;
        let room = &mut self.bytes[start..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len += u32::try_from(fits).expect("an address has at most 128 bytes");
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.bytes[at..].first_chunk().expect("fields lie within the 28 bytes of the largest known layout")
    }
}

const _: () = assert!(size_of::<libc::sockaddr_storage>() == RawAddress::CAPACITY as usize);
const _: () = assert!(align_of::<libc::sockaddr_storage>() <= align_of::<RawAddress>());
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in, sin_port) == 2);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in, sin_addr) == 4);
const _: () = assert!(size_of::<libc::sockaddr_in>() == 16);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_port) == 2);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_flowinfo) == 4);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_addr) == 8);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_scope_id) == 24);
const _: () = assert!(size_of::<libc::sockaddr_in6>() == 28);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_un, sun_path) == 2);

/// The number of a family that is known to fit: all that socket(2) knows do.
fn family_bytes(family: i32) -> [u8; 2] {
    u16::try_from(family).unwrap_or(0).to_ne_bytes()
}

impl From<&Address> for RawAddress {
    fn from(address: &Address) -> Self {
        let mut raw = Self::empty();
        match address {
            Address::Inet(address) => {
                raw.put(&family_bytes(libc::AF_INET));
                raw.put(&address.port().to_be_bytes());
                raw.put(&address.ip().octets());
                raw.put(&[0; 8]);
            }
            Address::Inet6(address) => {
                raw.put(&family_bytes(libc::AF_INET6));
                raw.put(&address.port().to_be_bytes());
                raw.put(&address.flowinfo().to_ne_bytes());
                raw.put(&address.ip().octets());
                raw.put(&address.scope_id().to_ne_bytes());
            }
            Address::Unix(name) => {
                raw.put(&family_bytes(libc::AF_UNIX));
                match name {
                    UnixName::Unnamed => {}
                    UnixName::Path(path) => {
                        raw.put(path);
                        // A path may fill `sun_path` to its last byte.
                        if path.len() < PATH_MAX {
                            raw.put(&[0]);
                        }
                    }
                    UnixName::Abstract(name) => {
                        raw.put(&[0]);
                        raw.put(name);
                    }
                }
            }
            Address::Other(bytes) => raw.put(bytes),
        }
        raw
    }
}

impl From<&RawAddress> for Address {
    fn from(raw: &RawAddress) -> Self {
        let bytes = raw.as_bytes();
        let family =
            bytes.first_chunk().map_or(libc::AF_UNSPEC, |family| i32::from(u16::from_ne_bytes(*family)));
        match family {
            libc::AF_INET if 16 <= bytes.len() => Self::Inet(SocketAddrV4::new(
                Ipv4Addr::from(raw.field::<4>(4)),
                u16::from_be_bytes(raw.field(2)),
            )),
            libc::AF_INET6 if 28 <= bytes.len() => Self::Inet6(SocketAddrV6::new(
                Ipv6Addr::from(raw.field::<16>(8)),
                u16::from_be_bytes(raw.field(2)),
                u32::from_ne_bytes(raw.field(4)),
                u32::from_ne_bytes(raw.field(24)),
            )),
            libc::AF_UNIX => Self::Unix(match &bytes[2..] {
                [] => UnixName::Unnamed,
                [0, name @ ..] => UnixName::Abstract(name.into()),
                path => {
                    let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                    UnixName::Path(path[..end].into())
                }
            }),
            // The kernel tells the sender of a datagram from an unbound UNIX socket with no address at all.
            libc::AF_UNSPEC if bytes.is_empty() => Self::Unix(UnixName::Unnamed),
            _ => Self::Other(bytes.into()),
        }
    }
}

impl fmt::Debug for RawAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address::from(self).fmt(f)
    }
}
