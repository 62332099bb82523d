//! Socket options, by the names that the kernel gives them, sorted. Each says what type its value has.
//!
//! An option that is not here is set and read as bytes: [`Socket::set_option_bytes`],
//! [`Socket::option_bytes`](crate::Socket::option_bytes).
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

/// An option: its level, its name, and the type of its value.
pub struct SocketOption<T> {
    pub(crate) level: i32,
    pub(crate) name: i32,
    value: PhantomData<fn(T) -> T>,
}

impl<T> SocketOption<T> {
    /// An option that is not in this list, as its protocol's header file has it.
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

/// A type that options have values of.
pub trait OptionValue: Sized {
    /// Most bytes that the kernel tells of a value.
    const LEN_MAX: usize;

    /// The bytes that the kernel reads.
    fn encode(&self) -> Vec<u8>;

    /// Whether the kernel takes the whole value. One that it would cut to another is not set.
    fn fits(&self) -> bool {
        true
    }

    /// The value of the bytes that the kernel told, if they make one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Joins or leaves an IPv4 group, on the interface of this number: `struct ip_mreqn`, ip(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: Ipv4Addr,
    /// The interface; 0 for whichever the routes say.
    pub interface: u32,
}

/// Joins or leaves an IPv6 group, on the interface of this number: `struct ipv6_mreq`, ipv6(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership6 {
    /// The group.
    pub group: Ipv6Addr,
    /// The interface; 0 for whichever the routes say.
    pub interface: u32,
}

/// Membership in a TIPC group: `struct tipc_group_req`, linux/tipc.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipcGroup {
    /// The group.
    pub group: u32,
    /// This member's instance.
    pub instance: u32,
    /// 2 for the whole cluster, 3 for this node alone.
    pub scope: u32,
    /// TIPC_GROUP_LOOPBACK (1), TIPC_GROUP_MEMBER_EVTS (2).
    pub flags: u32,
}

/// What a socket takes of the kernel's memory, in bytes, and what it has dropped: linux/sock_diag.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryInfo {
    /// What waits to be received.
    pub rmem_alloc: u32,
    /// Most that may wait to be received.
    pub rcvbuf: u32,
    /// What has been sent and not let go of.
    pub wmem_alloc: u32,
    /// Most that may be sent and not let go of.
    pub sndbuf: u32,
    /// Set aside for what is to come.
    pub fwd_alloc: u32,
    /// Queued to be sent.
    pub wmem_queued: u32,
    /// Options and filters.
    pub optmem: u32,
    /// What came while somebody had the socket locked.
    pub backlog: u32,
    /// Messages that were dropped for want of room since the socket was made. It wraps around.
    pub drops: u32,
}

/// Numbers, in this machine's byte order.
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

/// As an int, 0 or 1.
impl OptionValue for bool {
    const LEN_MAX: usize = 4;

    fn encode(&self) -> Vec<u8> {
        i32::from(*self).encode()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        i32::decode(bytes).map(|value| value != 0)
    }
}

/// As a `struct timeval`, rounded up to a microsecond; zero is no limit.
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

/// As a `struct linger`, rounded up to a second; `None` is off.
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

/// As a name of 15 bytes at most, without a NUL: longer ones of interfaces, congestion controls and upper layers are cut
/// by the kernel. What it tells may end in a NUL.
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

/// Numbers with a meaning of their own.
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

/// Join a group: ip(7). It can only be set.
pub const IP_ADD_MEMBERSHIP: SocketOption<Membership> = of(libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP);
/// Take the port at connect rather than at bind, so that many connections can share it: ip(7), Linux 4.2.
pub const IP_BIND_ADDRESS_NO_PORT: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
/// Leave a group: ip(7). It can only be set.
pub const IP_DROP_MEMBERSHIP: SocketOption<Membership> = of(libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP);
/// Bind to an address that is not there yet: ip(7).
pub const IP_FREEBIND: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_FREEBIND);
/// The path's MTU, once connected: ip(7). It can only be read.
pub const IP_MTU: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_MTU);
/// Whether datagrams may be fragmented: IP_PMTUDISC_DONT (0), WANT (1), DO (2), PROBE (3): ip(7).
pub const IP_MTU_DISCOVER: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
/// Receive what is sent to any group that somebody on this host has joined: ip(7). On by default.
pub const IP_MULTICAST_ALL: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL);
/// Hear what this host sends to groups: ip(7). On by default.
pub const IP_MULTICAST_LOOP: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP);
/// Time to live of what is sent to groups: ip(7). 1 by default.
pub const IP_MULTICAST_TTL: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL);
/// Tell with each datagram which address it was sent to: ip(7).
pub const IP_PKTINFO: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_PKTINFO);
/// Keep errors with their origin in a queue: ip(7).
pub const IP_RECVERR: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_RECVERR);
/// Tell with each datagram its type of service: ip(7).
pub const IP_RECVTOS: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_RECVTOS);
/// Tell with each datagram its time to live: ip(7).
pub const IP_RECVTTL: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_RECVTTL);
/// Type of service of what is sent, DSCP and ECN: ip(7).
pub const IP_TOS: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_TOS);
/// Answer for addresses of others, which takes CAP_NET_ADMIN: ip(7).
pub const IP_TRANSPARENT: SocketOption<bool> = of(libc::IPPROTO_IP, libc::IP_TRANSPARENT);
/// Time to live of what is sent, 1 to 255: ip(7).
pub const IP_TTL: SocketOption<i32> = of(libc::IPPROTO_IP, libc::IP_TTL);
/// Join a group: ipv6(7). It can only be set.
pub const IPV6_ADD_MEMBERSHIP: SocketOption<Membership6> = of(libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP);
/// Leave a group: ipv6(7). It can only be set.
pub const IPV6_DROP_MEMBERSHIP: SocketOption<Membership6> =
    of(libc::IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP);
/// The path's MTU, once connected: ipv6(7).
pub const IPV6_MTU: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_MTU);
/// The same as [`IP_MULTICAST_ALL`] for IPv6: Linux 4.20.
pub const IPV6_MULTICAST_ALL: SocketOption<bool> = of(libc::IPPROTO_IPV6, 29);
/// Hop limit of what is sent to groups: ipv6(7).
pub const IPV6_MULTICAST_HOPS: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS);
/// Hear what this host sends to groups: ipv6(7).
pub const IPV6_MULTICAST_LOOP: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP);
/// Keep errors with their origin in a queue: ipv6(7).
pub const IPV6_RECVERR: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
/// Tell with each datagram its hop limit: ipv6(7).
pub const IPV6_RECVHOPLIMIT: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT);
/// Tell with each datagram which address it was sent to: ipv6(7).
pub const IPV6_RECVPKTINFO: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO);
/// Tell with each datagram its traffic class: RFC 3542.
pub const IPV6_RECVTCLASS: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS);
/// Traffic class of what is sent: RFC 3542.
pub const IPV6_TCLASS: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_TCLASS);
/// Hop limit of what is sent; -1 for the system's own: ipv6(7).
pub const IPV6_UNICAST_HOPS: SocketOption<i32> = of(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS);
/// Take no IPv4 traffic on an IPv6 socket: ipv6(7).
pub const IPV6_V6ONLY: SocketOption<bool> = of(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
/// Join the group of this number: netlink(7). It can only be set.
pub const NETLINK_ADD_MEMBERSHIP: SocketOption<i32> = of(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP);
/// Acknowledge without repeating the message: netlink(7).
pub const NETLINK_CAP_ACK: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK);
/// Leave the group of this number: netlink(7). It can only be set.
pub const NETLINK_DROP_MEMBERSHIP: SocketOption<i32> = of(libc::SOL_NETLINK, libc::NETLINK_DROP_MEMBERSHIP);
/// Say in words why something was refused: Linux 4.12.
pub const NETLINK_EXT_ACK: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK);
/// Refuse dump requests with what they may not have: Linux 4.20.
pub const NETLINK_GET_STRICT_CHK: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK);
/// Do not tell that messages were lost: netlink(7).
pub const NETLINK_NO_ENOBUFS: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS);
/// Tell with each message the group it was sent to: netlink(7).
pub const NETLINK_PKTINFO: SocketOption<bool> = of(libc::SOL_NETLINK, libc::NETLINK_PKTINFO);
/// Send small messages at once: sctp(7).
pub const SCTP_NODELAY: SocketOption<bool> = of(libc::IPPROTO_SCTP, libc::SCTP_NODELAY);
/// Whether it listens: socket(7). It can only be read.
pub const SO_ACCEPTCONN: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
/// The one interface by which traffic goes and comes; empty for any: socket(7). Since Linux 5.7 it takes no
/// privilege.
pub const SO_BINDTODEVICE: SocketOption<String> = of(libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
/// Allow to send to broadcast addresses: socket(7).
pub const SO_BROADCAST: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_BROADCAST);
/// Microseconds to poll a network card for, before waiting: socket(7).
pub const SO_BUSY_POLL: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_BUSY_POLL);
/// The family: socket(7). It can only be read.
pub const SO_DOMAIN: SocketOption<Family> = of(libc::SOL_SOCKET, libc::SO_DOMAIN);
/// The number of the error that waits, which reading takes away: socket(7).
pub const SO_ERROR: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_ERROR);
/// The processor that handles what comes: socket(7).
pub const SO_INCOMING_CPU: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_INCOMING_CPU);
/// Probe an idle peer: socket(7).
pub const SO_KEEPALIVE: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_KEEPALIVE);
/// How long a close waits for what has not been sent; zero resets the connection: socket(7).
pub const SO_LINGER: SocketOption<Option<Duration>> = of(libc::SOL_SOCKET, libc::SO_LINGER);
/// Mark of what is sent, which takes CAP_NET_ADMIN: socket(7).
pub const SO_MARK: SocketOption<u32> = of(libc::SOL_SOCKET, libc::SO_MARK);
/// What memory the socket takes, and how much it has dropped: Linux 4.12. It can only be read.
pub const SO_MEMINFO: SocketOption<MemoryInfo> = of(libc::SOL_SOCKET, libc::SO_MEMINFO);
/// Leave urgent data among the rest: socket(7).
pub const SO_OOBINLINE: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_OOBINLINE);
/// Tell with each message who sent it, over netlink, too: unix(7).
pub const SO_PASSCRED: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_PASSCRED);
/// Tell with each message the process that sent it, as a descriptor: Linux 6.5.
pub const SO_PASSPIDFD: SocketOption<bool> = of(libc::SOL_SOCKET, 76);
/// Take descriptors that come with messages: Linux 6.16. On by default.
pub const SO_PASSRIGHTS: SocketOption<bool> = of(libc::SOL_SOCKET, 83);
/// Who connected, or listens, or made the pair: unix(7). It can only be read.
pub const SO_PEERCRED: SocketOption<Credentials> = of(libc::SOL_SOCKET, libc::SO_PEERCRED);
/// Priority of what is sent: socket(7).
pub const SO_PRIORITY: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_PRIORITY);
/// The protocol: socket(7). It can only be read.
pub const SO_PROTOCOL: SocketOption<Protocol> = of(libc::SOL_SOCKET, libc::SO_PROTOCOL);
/// Bytes of the receive buffer; the kernel doubles what is set, up to rmem_max: socket(7).
pub const SO_RCVBUF: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_RCVBUF);
/// The same without the limit, which takes CAP_NET_ADMIN: socket(7). It can only be set.
pub const SO_RCVBUFFORCE: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
/// Bytes from which on a socket is readable: socket(7).
pub const SO_RCVLOWAT: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_RCVLOWAT);
/// How long the kernel lets a receive wait, zero for ever: socket(7).
/// [`Socket::set_timeout`](crate::Socket::set_timeout) does without it.
pub const SO_RCVTIMEO: SocketOption<Duration> = of(libc::SOL_SOCKET, libc::SO_RCVTIMEO);
/// Let a bound address be used again that only connections in TIME_WAIT use: socket(7).
pub const SO_REUSEADDR: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_REUSEADDR);
/// Share the address with other sockets of this user that set it too: socket(7).
pub const SO_REUSEPORT: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_REUSEPORT);
/// Tell with each datagram how many were dropped for want of buffer: socket(7).
pub const SO_RXQ_OVFL: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
/// Bytes of the send buffer; the kernel doubles what is set, up to wmem_max: socket(7).
pub const SO_SNDBUF: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_SNDBUF);
/// The same without the limit, which takes CAP_NET_ADMIN: socket(7). It can only be set.
pub const SO_SNDBUFFORCE: SocketOption<i32> = of(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE);
/// How long the kernel lets a send or a connect wait, zero for ever: socket(7).
pub const SO_SNDTIMEO: SocketOption<Duration> = of(libc::SOL_SOCKET, libc::SO_SNDTIMEO);
/// Tell with each datagram when it arrived, in microseconds: socket(7).
pub const SO_TIMESTAMP: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_TIMESTAMP);
/// Tell when messages arrived or left, as the bits say: the kernel's timestamping document.
pub const SO_TIMESTAMPING: SocketOption<u32> = of(libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
/// Tell with each datagram when it arrived, in nanoseconds: socket(7).
pub const SO_TIMESTAMPNS: SocketOption<bool> = of(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS);
/// The type: socket(7). It can only be read.
pub const SO_TYPE: SocketOption<Type> = of(libc::SOL_SOCKET, libc::SO_TYPE);
/// Bytes of the receive buffer of a VSOCK stream: linux/vm_sockets.h.
pub const SO_VM_SOCKETS_BUFFER_SIZE: SocketOption<u64> = of(AF_VSOCK, 0);
/// How long a VSOCK connect waits: linux/vm_sockets.h.
pub const SO_VM_SOCKETS_CONNECT_TIMEOUT: SocketOption<Duration> = of(AF_VSOCK, 6);
/// The congestion control: tcp(7).
pub const TCP_CONGESTION: SocketOption<String> = of(libc::IPPROTO_TCP, libc::TCP_CONGESTION);
/// Send whole segments only, for 200 ms at most: tcp(7).
pub const TCP_CORK: SocketOption<bool> = of(libc::IPPROTO_TCP, libc::TCP_CORK);
/// Seconds to wait for data before a connection is there to be accepted: tcp(7).
pub const TCP_DEFER_ACCEPT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
/// Most connections that may begin with data: tcp(7).
pub const TCP_FASTOPEN: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_FASTOPEN);
/// Probes that may stay unanswered: tcp(7).
pub const TCP_KEEPCNT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_KEEPCNT);
/// Seconds of silence after which an idle peer is probed: tcp(7).
pub const TCP_KEEPIDLE: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
/// Seconds between two probes of an idle peer: tcp(7).
pub const TCP_KEEPINTVL: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
/// Bytes of a segment at most: tcp(7).
pub const TCP_MAXSEG: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_MAXSEG);
/// Send small segments at once: tcp(7).
pub const TCP_NODELAY: SocketOption<bool> = of(libc::IPPROTO_TCP, libc::TCP_NODELAY);
/// Bytes not yet sent above which a socket is not writable: tcp(7).
pub const TCP_NOTSENT_LOWAT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
/// Acknowledge at once, for the time being: tcp(7).
pub const TCP_QUICKACK: SocketOption<bool> = of(libc::IPPROTO_TCP, libc::TCP_QUICKACK);
/// Times that a connect is tried: tcp(7).
pub const TCP_SYNCNT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_SYNCNT);
/// Milliseconds that sent data may stay unacknowledged before the connection is given up: tcp(7).
pub const TCP_USER_TIMEOUT: SocketOption<i32> = of(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
/// Milliseconds that a connect waits, 8000 by default; never below 4, which some kernels divide by
/// (CVE-2026-43411): linux/tipc.h.
pub const TIPC_CONN_TIMEOUT: SocketOption<u32> = of(libc::SOL_TIPC, 130);
/// Drop what nobody takes rather than send it back: linux/tipc.h.
pub const TIPC_DEST_DROPPABLE: SocketOption<bool> = of(libc::SOL_TIPC, 129);
/// Join a group: linux/tipc.h. It is left by setting option 136 to nothing:
/// [`Socket::clear_option`](crate::Socket::clear_option).
pub const TIPC_GROUP_JOIN: SocketOption<TipcGroup> = of(libc::SOL_TIPC, 135);
/// How much of what is sent a full receiver takes, 0 to 3: linux/tipc.h.
pub const TIPC_IMPORTANCE: SocketOption<u32> = of(libc::SOL_TIPC, 127);
/// Send small segments at once: linux/tipc.h. It can only be set.
pub const TIPC_NODELAY: SocketOption<bool> = of(libc::SOL_TIPC, 138);
/// Messages that wait to be received: linux/tipc.h. It can only be read.
pub const TIPC_SOCK_RECVQ_DEPTH: SocketOption<u32> = of(libc::SOL_TIPC, 132);
/// Bytes that wait to be received: linux/tipc.h. It can only be read.
pub const TIPC_SOCK_RECVQ_USED: SocketOption<u32> = of(libc::SOL_TIPC, 137);
/// Drop what is sent where a link is congested: linux/tipc.h.
pub const TIPC_SRC_DROPPABLE: SocketOption<bool> = of(libc::SOL_TIPC, 128);
/// Receive datagrams of one size in one piece: udp(7), Linux 5.0.
pub const UDP_GRO: SocketOption<bool> = of(libc::SOL_UDP, libc::UDP_GRO);
/// Send what is longer as datagrams of so many bytes: udp(7), Linux 4.18.
pub const UDP_SEGMENT: SocketOption<i32> = of(libc::SOL_UDP, libc::UDP_SEGMENT);

/// Of [`SO_TIMESTAMPING`]: report the times that the kernel takes.
pub const SOF_TIMESTAMPING_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_SOFTWARE;
/// Of [`SO_TIMESTAMPING`]: take a time when a packet comes from the interface.
pub const SOF_TIMESTAMPING_RX_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_RX_SOFTWARE;
/// Of [`SO_TIMESTAMPING`]: take a time when a packet is handed to the interface. It comes by the queue of errors, with
/// the packet.
pub const SOF_TIMESTAMPING_TX_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_TX_SOFTWARE;
