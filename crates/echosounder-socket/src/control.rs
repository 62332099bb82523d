//! Control messages: what goes beside the bytes. See cmsg(3).
//!
//! What is received comes as [`ControlMessage`]s, what is to be sent is said in [`SendControl`]s. Messages of a
//! kind that is not known here are kept as bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::address::Address;
use crate::credentials::Credentials;
use crate::family::tipc::{TipcAddress, TipcScope};
use crate::raw_address::RawAddress;

/// Length of a `cmsghdr` and alignment of what follows: a length, a level and a type.
const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();
const _: () = assert!(HEADER == 16 && ALIGN == 8, "cmsghdr is laid out here as on 64-bit Linux");

/// Most bytes of control messages that come or go with one datagram of a batch: IPV6_PKTINFO, SO_RXQ_OVFL and
/// SCM_CREDENTIALS, or of TIPC where it was sent to.
pub(crate) const BATCH_CONTROL_MAX: usize = 128;

/// Bytes that a control message takes whose data has `len` bytes.
///
/// # Panics
///
/// If the address space does not hold so many bytes.
#[doc(alias = "CMSG_SPACE")]
pub const fn control_space(len: usize) -> usize {
    let space = match len.checked_add(HEADER) {
        Some(len) => len.checked_next_multiple_of(ALIGN),
        None => None,
    };
    space.expect("a control message fits the address space")
}

/// A control message as it stands in the buffer: its level and type, and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawControl<'a> {
    /// The protocol's level, SOL_SOCKET for that of all sockets.
    pub level: i32,
    /// The type within the level.
    pub kind: i32,
    /// What it says.
    pub data: &'a [u8],
}

impl<'a> RawControl<'a> {
    /// Walks through a buffer of control messages; what is malformed ends it.
    #[doc(alias = "CMSG_NXTHDR")]
    pub fn walk(mut bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (first, rest) = Self::split_first(bytes)?;
            bytes = rest;
            Some(first)
        })
    }

    fn split_first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let (len, ids) = header.split_first_chunk::<8>()?;
        let (level, kind) = ids.split_first_chunk::<4>()?;
        let len = usize::from_ne_bytes(*len);
        let data = bytes.get(HEADER..len)?;
        let rest = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        let (level, kind) = (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind.first_chunk()?));
        Some((Self { level, kind, data }, rest))
    }
}

/// What the kernel, or the peer by way of it, tells beside the bytes of a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlMessage {
    /// Descriptors, ours from now on and not inherited; closed when they are dropped: SCM_RIGHTS, unix(7).
    Rights(Vec<OwnedFd>),
    /// The process that sent it, as a descriptor of ours: SCM_PIDFD, since Linux 6.5.
    Pidfd(OwnedFd),
    /// Who sent it: SCM_CREDENTIALS, unix(7), netlink(7).
    Credentials(Credentials),
    /// Where it was sent to: IP_PKTINFO, IPV6_PKTINFO.
    PacketInfo(PacketInfo),
    /// The time to live it arrived with: IP_TTL, ip(7).
    Ttl(i32),
    /// The hop limit it arrived with: IPV6_HOPLIMIT, ipv6(7).
    HopLimit(i32),
    /// The type of service it arrived with: IP_TOS, ip(7).
    Tos(u8),
    /// The traffic class it arrived with: IPV6_TCLASS, RFC 3542.
    TrafficClass(i32),
    /// When it arrived, since 1970, by the system's clock: SCM_TIMESTAMP and SCM_TIMESTAMPNS, socket(7).
    Timestamp(Duration),
    /// When it arrived or left: SCM_TIMESTAMPING, since 1970.
    Timestamping {
        /// By the system's clock, if the kernel has taken it.
        software: Option<Duration>,
        /// By the network card's clock, if that has taken it.
        hardware: Option<Duration>,
    },
    /// Bytes of each datagram of those that have come in one piece; the last may be shorter: UDP_GRO, udp(7).
    UdpGro(i32),
    /// Datagrams that this socket has dropped since it was made: SO_RXQ_OVFL, socket(7). It wraps around.
    Overflow(u32),
    /// An error of this socket, from the queue that [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE)
    /// reads: IP_RECVERR, IPV6_RECVERR, ip(7).
    Error(ExtendedError),
    /// Why a TIPC connection has ended or a message came back: TIPC_ERRINFO.
    TipcError {
        /// The kernel's reason: TIPC_ERR_NO_NAME (1) and those behind it.
        code: u32,
        /// The length of the message that came back.
        returned: u32,
    },
    /// A TIPC message that came back: TIPC_RETDATA.
    TipcReturned(Box<[u8]>),
    /// The service to which a TIPC message was sent: TIPC_DESTNAME.
    TipcDestination(TipcAddress),
    /// Anything else, as it came.
    Unknown {
        /// The protocol's level.
        level: i32,
        /// The type within the level.
        kind: i32,
        /// What it says.
        data: Box<[u8]>,
    },
}

/// An error with its origin: `struct sock_extended_err`, ip(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// The kernel's number for it.
    pub errno: u32,
    /// Who found it: SO_EE_ORIGIN_LOCAL (1), SO_EE_ORIGIN_ICMP (2), SO_EE_ORIGIN_ICMP6 (3) and so on.
    pub origin: u8,
    /// The ICMP type.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// More of it: with EMSGSIZE the path's MTU.
    pub info: u32,
    /// More of it: with a timestamp the number of the message.
    pub data: u32,
    /// The node that found it, if one did.
    pub offender: Option<Address>,
}

impl ControlMessage {
    /// What a control message means. Descriptors are not made from bytes: SCM_RIGHTS and SCM_PIDFD
    /// stay unknown here.
    pub fn decode(raw: RawControl<'_>) -> Self {
        Self::known(raw).unwrap_or_else(|| Self::Unknown {
            level: raw.level,
            kind: raw.kind,
            data: raw.data.into(),
        })
    }

    fn known(raw: RawControl<'_>) -> Option<Self> {
        let fields = Fields(raw.data);
        Some(match (raw.level, raw.kind) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => Self::Credentials(Credentials::decode(raw.data)?),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMP) => {
                Self::Timestamp(since_1970(fields.i64(0)?, fields.i64(8)?.checked_mul(1000)?)?)
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => Self::Timestamp(fields.time(0)?),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                let taken = |time: Duration| Some(time).filter(|time| !time.is_zero());
                Self::Timestamping { software: taken(fields.time(0)?), hardware: taken(fields.time(32)?) }
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => Self::Overflow(fields.u32(0)?),
            (libc::IPPROTO_IP, libc::IP_PKTINFO) | (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                Self::PacketInfo(PacketInfo::of(raw)?)
            }
            (libc::IPPROTO_IP, libc::IP_TTL) => Self::Ttl(fields.i32(0)?),
            (libc::IPPROTO_IP, libc::IP_TOS) => Self::Tos(*raw.data.first()?),
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => Self::HopLimit(fields.i32(0)?),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => Self::TrafficClass(fields.i32(0)?),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                Self::Error(ExtendedError::of(raw.data)?)
            }
            (libc::SOL_UDP, libc::UDP_GRO) => Self::UdpGro(fields.i32(0)?),
            (libc::SOL_TIPC, TIPC_ERRINFO) => {
                Self::TipcError { code: fields.u32(0)?, returned: fields.u32(4)? }
            }
            (libc::SOL_TIPC, TIPC_RETDATA) => Self::TipcReturned(raw.data.into()),
            (libc::SOL_TIPC, TIPC_DESTNAME) => Self::TipcDestination(destination(raw.data)?),
            _ => return None,
        })
    }
}

/// As linux/socket.h has it; libc does not.
pub(crate) const SCM_PIDFD: i32 = 4;

const TIPC_ERRINFO: i32 = 1;
const TIPC_RETDATA: i32 = 2;
const TIPC_DESTNAME: i32 = 3;

/// The fields of a control message's data, in this machine's byte order.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn i32(self, at: usize) -> Option<i32> {
        self.bytes(at).map(i32::from_ne_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    fn i64(self, at: usize) -> Option<i64> {
        self.bytes(at).map(i64::from_ne_bytes)
    }

    /// A `struct timespec` that says when.
    fn time(self, at: usize) -> Option<Duration> {
        since_1970(self.i64(at)?, self.i64(at + 8)?)
    }
}

const _: () = assert!(size_of::<libc::timespec>() == 16 && size_of::<libc::timeval>() == 16);

/// Times before 1970 are none that a socket can have seen.
fn since_1970(seconds: i64, nanos: i64) -> Option<Duration> {
    let nanos = u32::try_from(nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

const _: () = assert!(size_of::<libc::ucred>() == 12 && std::mem::offset_of!(libc::ucred, uid) == 4);

impl ExtendedError {
    /// Bytes before the offender's address.
    const FIXED: usize = size_of::<libc::sock_extended_err>();

    fn of(data: &[u8]) -> Option<Self> {
        let fields = Fields(data);
        let [origin, kind, code] = fields.bytes(4)?;
        let offender = RawAddress::from_bytes(data.get(Self::FIXED..)?);
        // The kernel says AF_UNSPEC where nobody is to blame.
        let nobody = offender.field::<2>(0).is_none_or(|family| family == [0; 2]);
        Some(Self {
            errno: fields.u32(0)?,
            origin,
            kind,
            code,
            info: fields.u32(8)?,
            data: fields.u32(12)?,
            offender: (!nobody).then(|| Address::from(&offender)),
        })
    }
}

const _: () = assert!(ExtendedError::FIXED == 16);

/// The service that a TIPC message was sent to: a type and two instances.
fn destination(data: &[u8]) -> Option<TipcAddress> {
    let fields = Fields(data);
    let (service, lower, upper) = (fields.u32(0)?, fields.u32(4)?, fields.u32(8)?);
    Some(TipcAddress::Range { service, lower, upper, scope: TipcScope::Cluster })
}

/// To which address of which interface a datagram was sent: IP_PKTINFO and IPV6_PKTINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The destination in the datagram's header; it may be a group, or everybody.
    pub destination: IpAddr,
    /// This host's address that the datagram came in by, from which it is to be answered.
    pub local: IpAddr,
    /// The interface's index. To be sent with 0, the routes choose the interface.
    pub interface: u32,
}

impl PacketInfo {
    /// The same without the interface where the address is enough to send from it: the way back of a reply need not be
    /// the way that the request came. A link-local address of IPv6 means something on one interface only, and keeps it.
    #[must_use]
    pub fn by_any_interface(self) -> Self {
        let link_local = matches!(self.local, IpAddr::V6(local) if local.is_unicast_link_local());
        Self { interface: if link_local { self.interface } else { 0 }, ..self }
    }

    /// Whether the datagram was sent to a group or to everybody.
    pub fn is_to_group(&self) -> bool {
        self.destination.is_multicast() || self.destination != self.local
    }

    fn of(raw: RawControl<'_>) -> Option<Self> {
        let fields = Fields(raw.data);
        if raw.level == libc::IPPROTO_IP {
            let [local, destination] = [fields.bytes::<4>(4)?, fields.bytes(8)?].map(Ipv4Addr::from);
            let interface = fields.u32(0)?;
            return Some(Self { destination: destination.into(), local: local.into(), interface });
        }
        let address = IpAddr::from(Ipv6Addr::from(fields.bytes::<16>(0)?));
        Some(Self { destination: address, local: address, interface: fields.u32(16)? })
    }

    /// Writes the control message that makes a datagram leave from `local` by `interface`, and returns its length.
    pub(crate) fn encode(&self, control: &mut [u8]) -> usize {
        match self.local {
            IpAddr::V4(local) => {
                let mut info = [0; 12];
                info[..4].copy_from_slice(&self.interface.to_ne_bytes());
                info[4..8].copy_from_slice(&local.octets());
                put(control, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
            }
            IpAddr::V6(local) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&local.octets());
                info[16..].copy_from_slice(&self.interface.to_ne_bytes());
                put(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
            }
        }
    }
}

/// What is to go beside the bytes of a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SendControl<'a> {
    /// Give the peer descriptors, 253 at most: SCM_RIGHTS, unix(7).
    Rights(&'a [BorrowedFd<'a>]),
    /// Say who we are; the kernel checks it: SCM_CREDENTIALS, unix(7).
    Credentials(Credentials),
    /// Leave from its [`local`](PacketInfo::local) address, by its [`interface`](PacketInfo::interface) unless that is
    /// 0: IP_PKTINFO, IPV6_PKTINFO.
    PacketInfo(PacketInfo),
    /// Leave with this time to live: IP_TTL, ip(7).
    Ttl(i32),
    /// Leave with this hop limit: IPV6_HOPLIMIT, RFC 3542.
    HopLimit(i32),
    /// Leave with this type of service: IP_TOS, ip(7).
    Tos(u8),
    /// Leave with this traffic class: IPV6_TCLASS, RFC 3542.
    TrafficClass(i32),
    /// Leave as datagrams of so many bytes, the last with the rest: UDP_SEGMENT, udp(7).
    UdpSegment(u16),
    /// Anything else. Descriptors (SCM_RIGHTS) and credentials are refused with `InvalidInput`: they are sent as
    /// [`Rights`](Self::Rights), which cannot name a descriptor that somebody else owns, and as
    /// [`Credentials`](Self::Credentials).
    Raw(RawControl<'a>),
}

impl SendControl<'_> {
    /// Writes all of them, one behind the other.
    pub(crate) fn encode_all(all: &[SendControl<'_>]) -> io::Result<Vec<u8>> {
        let mut control = Vec::new();
        for one in all {
            if let SendControl::Raw(raw) = one
                && raw.level == libc::SOL_SOCKET
                && [libc::SCM_RIGHTS, libc::SCM_CREDENTIALS].contains(&raw.kind)
            {
                let message = "descriptors and credentials are not sent as raw control messages";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            one.encode(&mut control);
        }
        Ok(control)
    }

    fn encode(&self, control: &mut Vec<u8>) {
        let mut add = |level, kind, data: &[u8]| {
            let start = control.len();
            control.resize(start + control_space(data.len()), 0);
            put(&mut control[start..], level, kind, data);
        };
        match self {
            Self::Rights(fds) => {
                let numbers: Vec<u8> = fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
                add(libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers);
            }
            Self::Credentials(who) => add(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &who.encode()),
            Self::PacketInfo(info) => {
                let mut room = [0; 40];
                let len = info.encode(&mut room);
                control.extend_from_slice(&room[..len]);
            }
            Self::Ttl(hops) => add(libc::IPPROTO_IP, libc::IP_TTL, &hops.to_ne_bytes()),
            Self::HopLimit(hops) => add(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &hops.to_ne_bytes()),
            Self::Tos(tos) => add(libc::IPPROTO_IP, libc::IP_TOS, &[*tos]),
            Self::TrafficClass(class) => add(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class.to_ne_bytes()),
            Self::UdpSegment(size) => add(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes()),
            Self::Raw(raw) => add(raw.level, raw.kind, raw.data),
        }
    }
}

/// Writes the control message that makes a send leave as datagrams of so many bytes, and returns its length.
pub(crate) fn put_segment_size(control: &mut [u8], size: u16) -> usize {
    put(control, libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes())
}

/// Writes one control message, and returns how many bytes of `control` it takes.
fn put(control: &mut [u8], level: i32, kind: i32, data: &[u8]) -> usize {
    let len = HEADER + data.len();
    control[..8].copy_from_slice(&len.to_ne_bytes());
    control[8..12].copy_from_slice(&level.to_ne_bytes());
    control[12..16].copy_from_slice(&kind.to_ne_bytes());
    control[HEADER..len].copy_from_slice(data);
    len.next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_info_is_sent_as_it_is() {
        for local in [IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), Ipv6Addr::LOCALHOST.into()] {
            for interface in [0, 7] {
                let info = PacketInfo { destination: local, local, interface };
                let mut control = [0; 40];
                let len = info.encode(&mut control);
                let raw = RawControl::walk(&control[..len]).next().expect("one message");
                let sent = Fields(raw.data);
                let (index, address) = match local {
                    // struct in_pktinfo: the interface, the source, and what is not looked at.
                    IpAddr::V4(_) => (sent.u32(0), sent.bytes(4).map(Ipv4Addr::from).map(IpAddr::from)),
                    // struct in6_pktinfo: the source, the interface.
                    IpAddr::V6(_) => {
                        (sent.u32(16), sent.bytes::<16>(0).map(Ipv6Addr::from).map(IpAddr::from))
                    }
                };
                assert_eq!((index, address), (Some(interface), Some(local)));
                assert_eq!(info.by_any_interface(), PacketInfo { interface: 0, ..info });
            }
        }
        let link_local = IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
        let info = PacketInfo { destination: link_local, local: link_local, interface: 7 };
        assert_eq!(info.by_any_interface(), info, "the address is one of this interface alone");
    }
}
