//! Socket options, under their kernel names. The type of a constant is the type of the option's
//! value.
//!
//! Set and read an option that is not listed here with [`SocketOption::new`], or as bytes with
//! [`Socket::set_option_bytes`] and [`Socket::option_bytes`](crate::Socket::option_bytes).
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type, option};
//! use std::time::Duration;
//!
//! let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
//! socket.set_option(option::SO_RCVBUF, 65536)?;
//! assert!(65536 <= socket.option(option::SO_RCVBUF)?);
//! socket.set_option(option::SO_LINGER, Some(Duration::from_secs(2)))?;
//! assert_eq!(socket.option(option::SO_LINGER)?, Some(Duration::from_secs(2)));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Socket::set_option_bytes`]: crate::Socket::set_option_bytes

use std::fmt;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::credentials::Credentials;
use crate::family::{Family, Protocol, Type};

/// A socket option: its level, its name, and the type of its value.
pub struct SocketOption<T> {
    pub(crate) level: i32,
    pub(crate) name: i32,
    value: PhantomData<fn(T) -> T>,
}

impl<T> SocketOption<T> {
    /// Defines an option that this module lacks, with the level and name from its protocol's header
    /// file.
    pub const fn new(level: i32, name: i32) -> Self {
        Self { level, name, value: PhantomData }
    }
}

impl<T> Clone for SocketOption<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SocketOption<T> {}

impl<T> fmt::Debug for SocketOption<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOption").field("level", &self.level).field("name", &self.name).finish()
    }
}

/// The type of an option's value.
pub trait OptionValue: Sized {
    /// Maximum length in bytes of a value that the kernel returns.
    const LEN_MAX: usize;

    /// Returns the value as the kernel reads it.
    fn encode(&self) -> Vec<u8>;

    /// Returns whether the kernel accepts the whole value. A value that it would truncate is not
    /// set.
    fn fits(&self) -> bool {
        true
    }

    /// Decodes a value that the kernel has returned; `None` if the bytes are not one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Membership in an IPv4 multicast group on one interface: `struct ip_mreqn`, ip(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: Ipv4Addr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

/// Membership in an IPv6 multicast group on one interface: `struct ipv6_mreq`, ipv6(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership6 {
    /// The group.
    pub group: Ipv6Addr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

/// Membership in a TIPC group: `struct tipc_group_req`, linux/tipc.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipcGroup {
    /// The group.
    pub group: u32,
    /// This member's instance.
    pub instance: u32,
    /// 2 for the whole cluster, 3 for this node only.
    pub scope: u32,
    /// TIPC_GROUP_LOOPBACK (1), TIPC_GROUP_MEMBER_EVTS (2).
    pub flags: u32,
}

/// The kernel memory of a socket in bytes, and the messages that it has dropped: linux/sock_diag.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Receive queue.
    pub rmem_alloc: u32,
    /// Limit of the receive queue.
    pub rcvbuf: u32,
    /// Sent data that the kernel has not released.
    pub wmem_alloc: u32,
    /// Limit of sent data that the kernel has not released.
    pub sndbuf: u32,
    /// Reserved for future use.
    pub fwd_alloc: u32,
    /// Send queue.
    pub wmem_queued: u32,
    /// Socket options and filters.
    pub optmem: u32,
    /// Packets that arrived while the socket was locked.
    pub backlog: u32,
    /// Number of messages dropped since the socket was created, because a queue was full. It wraps
    /// around.
    pub drops: u32,
}

/// Numbers, in native byte order.
macro_rules! number {
    ($($type:ty),+) => {$(
        impl OptionValue for $type {
            const LEN_MAX: usize = size_of::<$type>();

            fn encode(&self) -> Vec<u8> {
                self.to_ne_bytes().into()
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|bytes| Self::from_ne_bytes(*bytes))
            }
        }
    )+};
}

number!(i32, u32, u64);

/// An `int`, 0 or 1.
impl OptionValue for bool {
    const LEN_MAX: usize = 4;

    fn encode(&self) -> Vec<u8> {
        i32::from(*self).encode()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        i32::decode(bytes).map(|value| value != 0)
    }
}

/// A `struct timeval`, rounded up to a microsecond. Zero means no limit.
impl OptionValue for Duration {
    const LEN_MAX: usize = 16;

    fn encode(&self) -> Vec<u8> {
        let micros = self.as_nanos().div_ceil(1000);
        let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        let rest = i64::try_from(micros % 1_000_000).unwrap_or(0);
        [seconds.to_ne_bytes(), rest.to_ne_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (seconds, rest) = bytes.split_first_chunk()?;
        let micros = u64::try_from(i64::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
        Some(Self::from_secs(seconds) + Self::from_micros(micros))
    }
}

/// A `struct linger`, rounded up to a second. `None` means off.
impl OptionValue for Option<Duration> {
    const LEN_MAX: usize = 8;

    fn encode(&self) -> Vec<u8> {
        let seconds = |time: Duration| time.as_nanos().div_ceil(1_000_000_000);
        let seconds = self.map_or(0, |time| i32::try_from(seconds(time)).unwrap_or(i32::MAX));
        [i32::from(self.is_some()).to_ne_bytes(), seconds.to_ne_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (on, seconds) = (i32::decode(bytes)?, i32::decode(bytes.get(4..)?)?);
        Some((on != 0).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    }
}

/// A name of at most 15 bytes without a NUL. The kernel would truncate longer names of interfaces,
/// congestion controls and upper-layer protocols. A returned name may end in a NUL, which is
/// removed.
impl OptionValue for String {
    const LEN_MAX: usize = 64;

    fn encode(&self) -> Vec<u8> {
        self.as_bytes().into()
    }

    fn fits(&self) -> bool {
        self.len() < libc::IF_NAMESIZE && !self.as_bytes().contains(&0)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        Self::from_utf8(text.into()).ok()
    }
}

impl OptionValue for Credentials {
    const LEN_MAX: usize = Self::LEN;

    fn encode(&self) -> Vec<u8> {
        (*self).encode().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes)
    }
}

/// Numbers with a type of their own.
macro_rules! named_number {
    ($($type:ty),+) => {$(
        impl OptionValue for $type {
            const LEN_MAX: usize = i32::LEN_MAX;

            fn encode(&self) -> Vec<u8> {
                self.0.encode()
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                i32::decode(bytes).map(Self)
            }
        }
    )+};
}

named_number!(Family, Type, Protocol);

impl OptionValue for Membership {
    const LEN_MAX: usize = 12;

    fn encode(&self) -> Vec<u8> {
        [self.group.octets(), [0; 4], self.interface.to_ne_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let group = Ipv4Addr::from(*bytes.first_chunk::<4>()?);
        Some(Self { group, interface: u32::decode(bytes.get(8..)?)? })
    }
}

impl OptionValue for Membership6 {
    const LEN_MAX: usize = 20;

    fn encode(&self) -> Vec<u8> {
        [&self.group.octets()[..], &self.interface.to_ne_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let group = Ipv6Addr::from(*bytes.first_chunk::<16>()?);
        Some(Self { group, interface: u32::decode(bytes.get(16..)?)? })
    }
}

impl OptionValue for MemoryInfo {
    const LEN_MAX: usize = 36;

    fn encode(&self) -> Vec<u8> {
        let Self { rmem_alloc, rcvbuf, wmem_alloc, sndbuf, fwd_alloc, wmem_queued, optmem, backlog, drops } =
            *self;
        [rmem_alloc, rcvbuf, wmem_alloc, sndbuf, fwd_alloc, wmem_queued, optmem, backlog, drops]
            .map(u32::to_ne_bytes)
            .concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let field = |number: usize| u32::decode(bytes.get(4 * number..)?);
        Some(Self {
            rmem_alloc: field(0)?,
            rcvbuf: field(1)?,
            wmem_alloc: field(2)?,
            sndbuf: field(3)?,
            fwd_alloc: field(4)?,
            wmem_queued: field(5)?,
            optmem: field(6)?,
            backlog: field(7)?,
            drops: field(8)?,
        })
    }
}

impl OptionValue for TipcGroup {
    const LEN_MAX: usize = 16;

    fn encode(&self) -> Vec<u8> {
        [self.group, self.instance, self.scope, self.flags].map(u32::to_ne_bytes).concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize| u32::decode(bytes.get(at..)?);
        Some(Self { group: field(0)?, instance: field(4)?, scope: field(8)?, flags: field(12)? })
    }
}

const fn of<T>(level: i32, name: i32) -> SocketOption<T> {
    SocketOption::new(level, name)
}

const AF_VSOCK: i32 = libc::AF_VSOCK;

/// Join a multicast group: ip(7). Write-only.
pub const IP_ADD_MEMBERSHIP: SocketOption<Membership> = of(libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP);
/// Choose the local port at connect rather than at bind, so that connections to different peers can
/// share it: ip(7), Linux 4.2.
pub const IP_BIND_ADDRESS_NO_PORT: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
/// Leave a multicast group: ip(7). Write-only.
pub const IP_DROP_MEMBERSHIP: SocketOption<Membership> = of(libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP);
/// Allow binding to an address that this host does not have yet: ip(7).
pub const IP_FREEBIND: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_FREEBIND);
/// The path MTU of a connected socket in bytes: ip(7). Read-only.
pub const IP_MTU: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_MTU);
/// Path MTU discovery: IP_PMTUDISC_DONT (0), WANT (1), DO (2) or PROBE (3): ip(7).
pub const IP_MTU_DISCOVER: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
/// Receive messages to any group that a socket of this host has joined: ip(7). On by default.
pub const IP_MULTICAST_ALL: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL);
/// Receive the multicast messages that this host sends: ip(7). On by default.
pub const IP_MULTICAST_LOOP: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP);
/// Time to live of multicast messages: ip(7). 1 by default.
pub const IP_MULTICAST_TTL: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL);
/// Receive the destination address and interface with each datagram: ip(7).
pub const IP_PKTINFO: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_PKTINFO);
/// Queue errors with their origin, for [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE):
/// ip(7).
pub const IP_RECVERR: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_RECVERR);
/// Receive the type of service with each datagram: ip(7).
pub const IP_RECVTOS: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_RECVTOS);
/// Receive the time to live with each datagram: ip(7).
pub const IP_RECVTTL: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_RECVTTL);
/// Type of service of sent packets, DSCP and ECN: ip(7).
pub const IP_TOS: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_TOS);
/// Allow binding to addresses of other hosts; needs CAP_NET_ADMIN: ip(7).
pub const IP_TRANSPARENT: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_TRANSPARENT);
/// Time to live of sent packets, 1 to 255: ip(7).
pub const IP_TTL: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_TTL);
/// Join a multicast group: ipv6(7). Write-only.
pub const IPV6_ADD_MEMBERSHIP: SocketOption<Membership6> = of(libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP);
/// Leave a multicast group: ipv6(7). Write-only.
pub const IPV6_DROP_MEMBERSHIP: SocketOption<Membership6> =
    of(libc::IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP);
/// The path MTU of a connected socket in bytes: ipv6(7).
pub const IPV6_MTU: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_MTU);
/// [`IP_MULTICAST_ALL`] for IPv6: Linux 4.20.
pub const IPV6_MULTICAST_ALL: SocketOption<bool> = of(libc::IPPROTO_IPV6, 29);
/// Hop limit of multicast messages: ipv6(7).
pub const IPV6_MULTICAST_HOPS: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS);
/// Receive the multicast messages that this host sends: ipv6(7).
pub const IPV6_MULTICAST_LOOP: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP);
/// Queue errors with their origin, for [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE):
/// ipv6(7).
pub const IPV6_RECVERR: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
/// Receive the hop limit with each datagram: ipv6(7).
pub const IPV6_RECVHOPLIMIT: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT);
/// Receive the destination address and interface with each datagram: ipv6(7).
pub const IPV6_RECVPKTINFO: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO);
/// Receive the traffic class with each datagram: RFC 3542.
pub const IPV6_RECVTCLASS: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS);
/// Traffic class of sent packets, DSCP and ECN: RFC 3542.
pub const IPV6_TCLASS: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_TCLASS);
/// Hop limit of sent packets; -1 for the system default: ipv6(7).
pub const IPV6_UNICAST_HOPS: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS);
/// Refuse IPv4 traffic on an IPv6 socket: ipv6(7).
pub const IPV6_V6ONLY: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
/// Join the group with this number: netlink(7). Write-only.
pub const NETLINK_ADD_MEMBERSHIP: SocketOption<i32> = of(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP);
/// Acknowledge without repeating the message: netlink(7).
pub const NETLINK_CAP_ACK: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK);
/// Leave the group with this number: netlink(7). Write-only.
pub const NETLINK_DROP_MEMBERSHIP: SocketOption<i32> = of(libc::SOL_NETLINK, libc::NETLINK_DROP_MEMBERSHIP);
/// Return the reason of a refused request as text: Linux 4.12.
pub const NETLINK_EXT_ACK: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK);
/// Check dump requests strictly: Linux 4.20.
pub const NETLINK_GET_STRICT_CHK: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK);
/// Do not report lost messages with ENOBUFS: netlink(7).
pub const NETLINK_NO_ENOBUFS: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS);
/// Receive the destination group with each message: netlink(7).
pub const NETLINK_PKTINFO: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_PKTINFO);
/// Send small messages at once: sctp(7).
pub const SCTP_NODELAY: SocketOption<bool> = of(libc::IPPROTO_SCTP, libc::SCTP_NODELAY);
/// Whether the socket listens: socket(7). Read-only.
pub const SO_ACCEPTCONN: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
/// The only interface to send and receive through; empty for any: socket(7). Needs no privilege
/// since Linux 5.7.
pub const SO_BINDTODEVICE: SocketOption<String> = of(libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
/// Allow sending to broadcast addresses: socket(7).
pub const SO_BROADCAST: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_BROADCAST);
/// Microseconds to poll the network interface before waiting: socket(7).
pub const SO_BUSY_POLL: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_BUSY_POLL);
/// The address family: socket(7). Read-only.
pub const SO_DOMAIN: SocketOption<Family> = of(libc::SOL_SOCKET, libc::SO_DOMAIN);
/// The pending error number, which reading clears: socket(7). Read-only.
pub const SO_ERROR: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_ERROR);
/// The processor that handles received packets: socket(7).
pub const SO_INCOMING_CPU: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_INCOMING_CPU);
/// Probe an idle peer: socket(7).
pub const SO_KEEPALIVE: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_KEEPALIVE);
/// How long close(2) waits for unsent data; zero resets the connection: socket(7).
pub const SO_LINGER: SocketOption<Option<Duration>> = of(libc::SOL_SOCKET, libc::SO_LINGER);
/// Mark of sent packets, for routing and filtering; needs CAP_NET_ADMIN: socket(7).
pub const SO_MARK: SocketOption<u32> = of(libc::SOL_SOCKET, libc::SO_MARK);
/// Kernel memory and drops of the socket: Linux 4.12. Read-only.
pub const SO_MEMINFO: SocketOption<MemoryInfo> = of(libc::SOL_SOCKET, libc::SO_MEMINFO);
/// Deliver urgent data in the normal stream: socket(7).
pub const SO_OOBINLINE: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_OOBINLINE);
/// Receive the sending process with each message, also over netlink: unix(7).
pub const SO_PASSCRED: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_PASSCRED);
/// Receive a pidfd of the sending process with each message: Linux 6.5.
pub const SO_PASSPIDFD: SocketOption<bool> = of(libc::SOL_SOCKET, 76);
/// Accept descriptors with messages: Linux 6.16. On by default.
pub const SO_PASSRIGHTS: SocketOption<bool> = of(libc::SOL_SOCKET, 83);
/// The process that connected, listened or created the pair: unix(7). Read-only.
pub const SO_PEERCRED: SocketOption<Credentials> = of(libc::SOL_SOCKET, libc::SO_PEERCRED);
/// Priority of sent packets: socket(7).
pub const SO_PRIORITY: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_PRIORITY);
/// The protocol: socket(7). Read-only.
pub const SO_PROTOCOL: SocketOption<Protocol> = of(libc::SOL_SOCKET, libc::SO_PROTOCOL);
/// Receive buffer in bytes; the kernel doubles a value that is set, up to rmem_max: socket(7).
pub const SO_RCVBUF: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_RCVBUF);
/// Receive buffer in bytes beyond rmem_max; needs CAP_NET_ADMIN: socket(7). Write-only.
pub const SO_RCVBUFFORCE: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
/// Number of received bytes from which the socket is readable: socket(7).
pub const SO_RCVLOWAT: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_RCVLOWAT);
/// Timeout of receives in the kernel; zero means none: socket(7).
/// [`Socket::set_timeout`](crate::Socket::set_timeout) does not use it.
pub const SO_RCVTIMEO: SocketOption<Duration> = of(libc::SOL_SOCKET, libc::SO_RCVTIMEO);
/// Allow binding to an address that only connections in TIME-WAIT use: socket(7).
pub const SO_REUSEADDR: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_REUSEADDR);
/// Share the address with other sockets of this user that set the option too: socket(7).
pub const SO_REUSEPORT: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_REUSEPORT);
/// Receive the number of dropped datagrams with each datagram: socket(7).
pub const SO_RXQ_OVFL: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
/// Send buffer in bytes; the kernel doubles a value that is set, up to wmem_max: socket(7).
pub const SO_SNDBUF: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_SNDBUF);
/// Send buffer in bytes beyond wmem_max; needs CAP_NET_ADMIN: socket(7). Write-only.
pub const SO_SNDBUFFORCE: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE);
/// Timeout of sends and connects in the kernel; zero means none: socket(7).
pub const SO_SNDTIMEO: SocketOption<Duration> = of(libc::SOL_SOCKET, libc::SO_SNDTIMEO);
/// Receive the arrival time with each datagram, in microseconds: socket(7).
pub const SO_TIMESTAMP: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_TIMESTAMP);
/// Timestamp received or sent packets, a sum of SOF_TIMESTAMPING_ flags: the kernel's timestamping
/// document.
pub const SO_TIMESTAMPING: SocketOption<u32> = of(libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
/// Receive the arrival time with each datagram, in nanoseconds: socket(7).
pub const SO_TIMESTAMPNS: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS);
/// The socket type: socket(7). Read-only.
pub const SO_TYPE: SocketOption<Type> = of(libc::SOL_SOCKET, libc::SO_TYPE);
/// Receive buffer of a VSOCK stream in bytes: linux/vm_sockets.h.
pub const SO_VM_SOCKETS_BUFFER_SIZE: SocketOption<u64> = of(AF_VSOCK, 0);
/// Timeout of a VSOCK connect: linux/vm_sockets.h.
pub const SO_VM_SOCKETS_CONNECT_TIMEOUT: SocketOption<Duration> = of(AF_VSOCK, 6);
/// The congestion control algorithm: tcp(7).
pub const TCP_CONGESTION: SocketOption<String> = of(libc::IPPROTO_TCP, libc::TCP_CONGESTION);
/// Send full segments only, for at most 200 ms: tcp(7).
pub const TCP_CORK: SocketOption<bool> = of(libc::IPPROTO_TCP, libc::TCP_CORK);
/// Seconds to wait for data before a connection can be accepted: tcp(7).
pub const TCP_DEFER_ACCEPT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
/// Maximum number of pending connections that begin with data: tcp(7).
pub const TCP_FASTOPEN: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_FASTOPEN);
/// Number of unanswered keepalive probes after which the connection is lost: tcp(7).
pub const TCP_KEEPCNT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_KEEPCNT);
/// Seconds without traffic before the first keepalive probe: tcp(7).
pub const TCP_KEEPIDLE: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
/// Seconds between keepalive probes: tcp(7).
pub const TCP_KEEPINTVL: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
/// Maximum segment size in bytes: tcp(7).
pub const TCP_MAXSEG: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_MAXSEG);
/// Send small segments at once: tcp(7).
pub const TCP_NODELAY: SocketOption<bool> = of(libc::IPPROTO_TCP, libc::TCP_NODELAY);
/// Number of unsent bytes above which the socket is not writable: tcp(7).
pub const TCP_NOTSENT_LOWAT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
/// Acknowledge at once; the kernel may turn it off again: tcp(7).
pub const TCP_QUICKACK: SocketOption<bool> = of(libc::IPPROTO_TCP, libc::TCP_QUICKACK);
/// Number of connection attempts (SYN retransmissions): tcp(7).
pub const TCP_SYNCNT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_SYNCNT);
/// Milliseconds that sent data may stay unacknowledged before the connection is lost: tcp(7).
pub const TCP_USER_TIMEOUT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
/// Timeout of a connect in milliseconds, 8000 by default: linux/tipc.h. Do not set less than 4:
/// some kernels divide by zero (CVE-2026-43411).
pub const TIPC_CONN_TIMEOUT: SocketOption<u32> = of(libc::SOL_TIPC, 130);
/// Drop messages that have no receiver instead of returning them: linux/tipc.h.
pub const TIPC_DEST_DROPPABLE: SocketOption<bool> = of(libc::SOL_TIPC, 129);
/// Join a group: linux/tipc.h. Leave it by clearing option 136 with
/// [`Socket::clear_option`](crate::Socket::clear_option).
pub const TIPC_GROUP_JOIN: SocketOption<TipcGroup> = of(libc::SOL_TIPC, 135);
/// Importance of sent messages, 0 to 3: how full a receive queue may be to accept them:
/// linux/tipc.h.
pub const TIPC_IMPORTANCE: SocketOption<u32> = of(libc::SOL_TIPC, 127);
/// Send small segments at once: linux/tipc.h. Write-only.
pub const TIPC_NODELAY: SocketOption<bool> = of(libc::SOL_TIPC, 138);
/// Number of messages in the receive queue: linux/tipc.h. Read-only.
pub const TIPC_SOCK_RECVQ_DEPTH: SocketOption<u32> = of(libc::SOL_TIPC, 132);
/// Bytes in the receive queue: linux/tipc.h. Read-only.
pub const TIPC_SOCK_RECVQ_USED: SocketOption<u32> = of(libc::SOL_TIPC, 137);
/// Drop sent messages on a congested link: linux/tipc.h.
pub const TIPC_SRC_DROPPABLE: SocketOption<bool> = of(libc::SOL_TIPC, 128);
/// Receive several datagrams of one size as one: udp(7), Linux 5.0.
pub const UDP_GRO: SocketOption<bool> = of(libc::SOL_UDP, libc::UDP_GRO);
/// Cut sends into datagrams of this many bytes: udp(7), Linux 4.18.
pub const UDP_SEGMENT: SocketOption<i32> = of(libc::SOL_UDP, libc::UDP_SEGMENT);

/// Flag of [`SO_TIMESTAMPING`]: report the timestamps that the kernel takes.
pub const SOF_TIMESTAMPING_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_SOFTWARE;
/// Flag of [`SO_TIMESTAMPING`]: timestamp packets when the kernel gets them from the interface.
pub const SOF_TIMESTAMPING_RX_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_RX_SOFTWARE;
/// Flag of [`SO_TIMESTAMPING`]: timestamp packets when the kernel passes them to the interface. The
/// timestamps arrive on the error queue, with the packets.
pub const SOF_TIMESTAMPING_TX_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_TX_SOFTWARE;
