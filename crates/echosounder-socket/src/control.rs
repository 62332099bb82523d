//! Control messages, also called ancillary data: descriptors, credentials, timestamps and addresses
//! that accompany a message. See cmsg(3).
//!
//! Received ones are [`ControlMessage`]s; those to send are [`SendControl`]s. Unknown types are
//! kept as bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::address::Address;
use crate::credentials::Credentials;
use crate::family::tipc::{TipcAddress, TipcScope};
use crate::raw_address::RawAddress;

/// Length of a `cmsghdr` (a length, a level and a type) and alignment of each control message.
const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();
const _: () = assert!(HEADER == 16 && ALIGN == 8, "cmsghdr is laid out here as on 64-bit Linux");

/// Maximum length of the control messages of one datagram in a batch. It fits IPV6_PKTINFO,
/// SO_RXQ_OVFL and SCM_CREDENTIALS together, and TIPC_DESTNAME.
pub(crate) const BATCH_CONTROL_MAX: usize = 128;

/// Returns the buffer space in bytes for one control message with `len` bytes of data.
///
/// # Panics
///
/// If the result overflows the address space.
#[doc(alias = "CMSG_SPACE")]
pub const fn control_space(len: usize) -> usize {
    let space = match len.checked_add(HEADER) {
        Some(len) => len.checked_next_multiple_of(ALIGN),
        None => None,
    };
    space.expect("a control message fits the address space")
}

/// A control message as the kernel writes it: level, type and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawControl<'a> {
    /// The protocol level, for example SOL_SOCKET.
    pub level: i32,
    /// The type within the level.
    pub kind: i32,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> RawControl<'a> {
    /// Returns the control messages in a buffer, up to the first malformed one.
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

/// A control message received with a message, from the kernel or from the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlMessage {
    /// Descriptors that the peer has passed, close-on-exec: SCM_RIGHTS, unix(7).
    Rights(Vec<OwnedFd>),
    /// A pidfd of the sending process: SCM_PIDFD, since Linux 6.5.
    Pidfd(OwnedFd),
    /// The sending process: SCM_CREDENTIALS, unix(7), netlink(7).
    Credentials(Credentials),
    /// The destination address and interface: IP_PKTINFO, IPV6_PKTINFO.
    PacketInfo(PacketInfo),
    /// The time to live on arrival: IP_TTL, ip(7).
    Ttl(i32),
    /// The hop limit on arrival: IPV6_HOPLIMIT, ipv6(7).
    HopLimit(i32),
    /// The type of service on arrival, DSCP and ECN: IP_TOS, ip(7).
    Tos(u8),
    /// The traffic class on arrival, DSCP and ECN: IPV6_TCLASS, RFC 3542.
    TrafficClass(i32),
    /// The arrival time since the Unix epoch, by the system clock: SCM_TIMESTAMP and
    /// SCM_TIMESTAMPNS, socket(7).
    Timestamp(Duration),
    /// The arrival or departure time since the Unix epoch: SCM_TIMESTAMPING, the kernel's
    /// timestamping document.
    Timestamping {
        /// By the system clock, if the kernel has taken it.
        software: Option<Duration>,
        /// By the clock of the network interface, if that has taken it.
        hardware: Option<Duration>,
    },
    /// The length in bytes of the datagrams received as one; the last may be shorter: UDP_GRO,
    /// udp(7).
    UdpGro(i32),
    /// Number of datagrams that this socket has dropped since its creation: SO_RXQ_OVFL, socket(7).
    /// It wraps around.
    Overflow(u32),
    /// An error from the socket's error queue, received with
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE): IP_RECVERR, IPV6_RECVERR, ip(7).
    Error(ExtendedError),
    /// The reason why a TIPC connection ended or a message was returned: TIPC_ERRINFO.
    TipcError {
        /// The kernel's reason: TIPC_ERR_NO_NAME (1) and following, linux/tipc.h.
        code: u32,
        /// Length of the returned message in bytes.
        returned: u32,
    },
    /// The bytes of a returned TIPC message: TIPC_RETDATA.
    TipcReturned(Box<[u8]>),
    /// The service that a TIPC message was addressed to: TIPC_DESTNAME.
    TipcDestination(TipcAddress),
    /// A control message of another type.
    Unknown {
        /// The protocol level.
        level: i32,
        /// The type within the level.
        kind: i32,
        /// The data.
        data: Box<[u8]>,
    },
}

/// An error and its origin: `struct sock_extended_err`, ip(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// The error number.
    pub errno: u32,
    /// The origin: SO_EE_ORIGIN_LOCAL (1), SO_EE_ORIGIN_ICMP (2), SO_EE_ORIGIN_ICMP6 (3) and
    /// following.
    pub origin: u8,
    /// The ICMP type.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// Additional information: with EMSGSIZE the path MTU in bytes.
    pub info: u32,
    /// Additional data: with a timestamp the number of the message.
    pub data: u32,
    /// The address of the node that reported the error, if any.
    pub offender: Option<Address>,
}

impl ControlMessage {
    /// Decodes a control message. SCM_RIGHTS and SCM_PIDFD become [`Unknown`](Self::Unknown),
    /// because only a receive can take ownership of descriptors.
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
                let nonzero = |time: Duration| Some(time).filter(|time| !time.is_zero());
                Self::Timestamping { software: nonzero(fields.time(0)?), hardware: nonzero(fields.time(32)?) }
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

/// From linux/socket.h; libc lacks it.
pub(crate) const SCM_PIDFD: i32 = 4;

const TIPC_ERRINFO: i32 = 1;
const TIPC_RETDATA: i32 = 2;
const TIPC_DESTNAME: i32 = 3;

/// Reads fields from the data of a control message, in native byte order.
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

    /// A `struct timespec` since the Unix epoch.
    fn time(self, at: usize) -> Option<Duration> {
        since_1970(self.i64(at)?, self.i64(at + 8)?)
    }
}

const _: () = assert!(size_of::<libc::timespec>() == 16 && size_of::<libc::timeval>() == 16);

/// Returns a time since the Unix epoch, or `None` for an invalid or earlier one.
fn since_1970(seconds: i64, nanos: i64) -> Option<Duration> {
    let nanos = u32::try_from(nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

const _: () = assert!(size_of::<libc::ucred>() == 12 && std::mem::offset_of!(libc::ucred, uid) == 4);

impl ExtendedError {
    /// Number of bytes before the offender's address.
    const FIXED: usize = size_of::<libc::sock_extended_err>();

    fn of(data: &[u8]) -> Option<Self> {
        let fields = Fields(data);
        let [origin, kind, code] = fields.bytes(4)?;
        let offender = RawAddress::from_bytes(data.get(Self::FIXED..)?);
        // The kernel writes AF_UNSPEC if no node has reported the error.
        let is_unspecified = offender.field::<2>(0).is_none_or(|family| family == [0; 2]);
        Some(Self {
            errno: fields.u32(0)?,
            origin,
            kind,
            code,
            info: fields.u32(8)?,
            data: fields.u32(12)?,
            offender: (!is_unspecified).then(|| Address::from(&offender)),
        })
    }
}

const _: () = assert!(ExtendedError::FIXED == 16);

/// Returns the service that a TIPC message was addressed to: a type and two instances.
fn destination(data: &[u8]) -> Option<TipcAddress> {
    let fields = Fields(data);
    let (service, lower, upper) = (fields.u32(0)?, fields.u32(4)?, fields.u32(8)?);
    Some(TipcAddress::Range { service, lower, upper, scope: TipcScope::Cluster })
}

/// The destination address and the interface of a datagram: IP_PKTINFO and IPV6_PKTINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The destination in the datagram's header, which may be a multicast or broadcast address.
    pub destination: IpAddr,
    /// The address of this host that received the datagram. Replies must be sent from it.
    pub local: IpAddr,
    /// The interface's index. In a send, 0 lets the routing table choose the interface.
    pub interface: u32,
}

impl PacketInfo {
    /// Returns the same without the interface, so that a reply can take another route than its
    /// request. An IPv6 link-local address keeps its interface, because it is valid on that
    /// interface only.
    #[must_use]
    pub fn by_any_interface(self) -> Self {
        let link_local = matches!(self.local, IpAddr::V6(local) if local.is_unicast_link_local());
        Self { interface: if link_local { self.interface } else { 0 }, ..self }
    }

    /// Returns whether the datagram was sent to a multicast or broadcast address.
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

    /// Writes the control message that sends a datagram from `local` through `interface`, and
    /// returns its length.
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

/// A control message to send with a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SendControl<'a> {
    /// Pass descriptors to the peer, at most 253: SCM_RIGHTS, unix(7).
    Rights(&'a [BorrowedFd<'a>]),
    /// Send the identity of this process, which the kernel checks: SCM_CREDENTIALS, unix(7).
    Credentials(Credentials),
    /// Send from the [`local`](PacketInfo::local) address, through the
    /// [`interface`](PacketInfo::interface) unless it is 0: IP_PKTINFO, IPV6_PKTINFO.
    PacketInfo(PacketInfo),
    /// Set the time to live: IP_TTL, ip(7).
    Ttl(i32),
    /// Set the hop limit: IPV6_HOPLIMIT, RFC 3542.
    HopLimit(i32),
    /// Set the type of service: IP_TOS, ip(7).
    Tos(u8),
    /// Set the traffic class: IPV6_TCLASS, RFC 3542.
    TrafficClass(i32),
    /// Cut the message into datagrams of this many bytes; the last carries the rest: UDP_SEGMENT,
    /// udp(7).
    UdpSegment(u16),
    /// A control message of another type. SCM_RIGHTS and SCM_CREDENTIALS are refused with
    /// `InvalidInput`: use [`Rights`](Self::Rights), which only accepts descriptors that the caller
    /// has borrowed, and [`Credentials`](Self::Credentials).
    Raw(RawControl<'a>),
}

impl SendControl<'_> {
    /// Encodes a list of control messages for sendmsg(2).
    pub(crate) fn encode_all(messages: &[SendControl<'_>]) -> io::Result<Vec<u8>> {
        let mut control = Vec::new();
        for message in messages {
            let is_refused = |raw: &RawControl<'_>| {
                raw.level == libc::SOL_SOCKET && [libc::SCM_RIGHTS, libc::SCM_CREDENTIALS].contains(&raw.kind)
            };
            if matches!(message, SendControl::Raw(raw) if is_refused(raw)) {
                let reason = "descriptors and credentials cannot be sent as raw control messages";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            message.encode(&mut control);
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
            Self::Credentials(credentials) => {
                add(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &credentials.encode());
            }
            Self::PacketInfo(info) => {
                let mut buffer = [0; 40];
                let len = info.encode(&mut buffer);
                control.extend_from_slice(&buffer[..len]);
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

/// Writes the control message that cuts a send into datagrams of `size` bytes, and returns its
/// length.
pub(crate) fn put_segment_size(control: &mut [u8], size: u16) -> usize {
    put(control, libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes())
}

/// Writes one control message and returns its length in `control`, including padding.
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
    fn packet_info_is_encoded_as_the_kernel_expects() {
        for local in [IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), Ipv6Addr::LOCALHOST.into()] {
            for interface in [0, 7] {
                let info = PacketInfo { destination: local, local, interface };
                let mut control = [0; 40];
                let len = info.encode(&mut control);
                let raw = RawControl::walk(&control[..len]).next().expect("one message");
                let sent = Fields(raw.data);
                let (index, address) = match local {
                    // struct in_pktinfo: the interface, the source, and an ignored field.
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
        assert_eq!(info.by_any_interface(), info, "a link-local address keeps its interface");
    }
}
