//! Options of IPv4: IPPROTO_IP, ip(7). The numbers are those of linux/in.h.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::multicast::{
    Group, GroupFilter, GroupSource, Membership, MulticastInterface, SourceFilter, SourceMembership,
};
use super::value::{GetValue, ReadOnly, SetValue, SocketOption, WriteOnly, named, options};
use crate::family::Protocol;

named! {
    /// Whether the kernel discovers the path MTU, and whether it fragments packets: the IP_PMTUDISC_
    /// constants of linux/in.h, which IPv6 has too.
    ///
    /// See [how to set and read options](crate::option).
    PathMtuDiscovery: i32 {
        /// Fragment packets to the MTU of the interface; never set the flag "don't fragment".
        DONT = 0;
        /// Discover the path MTU, and fragment larger datagrams to it.
        WANT = 1;
        /// Discover the path MTU, and refuse larger datagrams with EMSGSIZE.
        DO = 2;
        /// Set the flag "don't fragment", and ignore the path MTU.
        PROBE = 3;
        /// Use the MTU of the interface, never set the flag, and ignore ICMP errors about it.
        INTERFACE = 4;
        /// As `INTERFACE`, but fragment datagrams that exceed the MTU of the interface.
        OMIT = 5;
    }
}

/// The index of an interface, as [`interface_index`](crate::interface_index) returns it. The kernel
/// expects it in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceIndex(pub u32);

impl SetValue for InterfaceIndex {
    type Bytes = [u8; 4];

    fn encode(&self) -> Option<[u8; 4]> {
        Some(self.0.to_be_bytes())
    }
}

impl GetValue for InterfaceIndex {
    const LEN_MAX: usize = 4;

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self(u32::from_be_bytes(*bytes)))
    }
}

/// A range of ports. 0 as a limit means the limit of the system.
///
/// ```
/// use echosounder_socket::option::{IP_LOCAL_PORT_RANGE, PortRange};
/// use echosounder_socket::{Family, Protocol, Socket, Type, is_feature_absent};
///
/// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
/// match socket.set_option(IP_LOCAL_PORT_RANGE, PortRange { low: 40_000, high: 40_999 }) {
///     Err(error) if is_feature_absent(&error) => {} // Before Linux 6.3.
///     result => result?,
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest port.
    pub low: u16,
    /// The highest port.
    pub high: u16,
}

impl SetValue for PortRange {
    type Bytes = [u8; 4];

    fn encode(&self) -> Option<[u8; 4]> {
        (u32::from(self.high) << 16 | u32::from(self.low)).encode()
    }
}

impl GetValue for PortRange {
    const LEN_MAX: usize = 4;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [low, high] = [u32::decode(bytes)? & 0xffff, u32::decode(bytes)? >> 16];
        Some(Self { low: low.try_into().ok()?, high: high.try_into().ok()? })
    }
}

/// A `struct sockaddr_in`, ip(7).
impl GetValue for SocketAddrV4 {
    const LEN_MAX: usize = 16;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let ip = Ipv4Addr::decode(bytes.get(4..)?)?;
        Some(Self::new(ip, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)))
    }
}

options! {
    level libc::IPPROTO_IP;
    /// Join a multicast group: ip(7).
    IP_ADD_MEMBERSHIP: SocketOption<Membership, WriteOnly> = libc::IP_ADD_MEMBERSHIP;
    /// Join a multicast group for one source, on the interface that has an address: ip(7).
    /// [`MCAST_JOIN_SOURCE_GROUP`] takes the index of the interface.
    IP_ADD_SOURCE_MEMBERSHIP: SocketOption<SourceMembership, WriteOnly> = libc::IP_ADD_SOURCE_MEMBERSHIP;
    /// Choose the local port at connect rather than at bind, so that connections to different peers
    /// can share it: ip(7), Linux 4.2.
    IP_BIND_ADDRESS_NO_PORT: SocketOption<bool> = libc::IP_BIND_ADDRESS_NO_PORT;
    /// Stop receiving messages of a source to a group that was joined with [`IP_ADD_MEMBERSHIP`]:
    /// ip(7).
    IP_BLOCK_SOURCE: SocketOption<SourceMembership, WriteOnly> = libc::IP_BLOCK_SOURCE;
    /// Receive the checksum of the payload of each UDP datagram: Linux 4.0.
    IP_CHECKSUM: SocketOption<bool> = libc::IP_CHECKSUM;
    /// Leave a multicast group: ip(7).
    IP_DROP_MEMBERSHIP: SocketOption<Membership, WriteOnly> = libc::IP_DROP_MEMBERSHIP;
    /// Leave a multicast group for one source: ip(7).
    IP_DROP_SOURCE_MEMBERSHIP: SocketOption<SourceMembership, WriteOnly> = libc::IP_DROP_SOURCE_MEMBERSHIP;
    /// Allow binding to an address that this host does not have yet: ip(7).
    IP_FREEBIND: SocketOption<bool> = libc::IP_FREEBIND;
    /// The caller supplies the IP header of packets of a raw socket: ip(7).
    IP_HDRINCL: SocketOption<bool> = libc::IP_HDRINCL;
    /// The range from which the kernel chooses a port; 0 to 0 for the system's: ip(7), Linux 6.3.
    IP_LOCAL_PORT_RANGE: SocketOption<PortRange> = 51;
    /// Discard received packets with a lower time to live, 0 to 255: Linux 2.6.34, RFC 5082.
    IP_MINTTL: SocketOption<i32> = libc::IP_MINTTL;
    /// Set all sources of a joined group at once: ip(7).
    IP_MSFILTER: SocketOption<SourceFilter, WriteOnly> = libc::IP_MSFILTER;
    /// The path MTU of a connected socket in bytes: ip(7).
    IP_MTU: SocketOption<ReadOnly, i32> = libc::IP_MTU;
    /// Path MTU discovery: ip(7).
    IP_MTU_DISCOVER: SocketOption<PathMtuDiscovery> = libc::IP_MTU_DISCOVER;
    /// Receive messages to any group that a socket of this host has joined: ip(7). On by default.
    IP_MULTICAST_ALL: SocketOption<bool> = libc::IP_MULTICAST_ALL;
    /// The interface of sent multicast messages: ip(7). It is read as the address of the interface,
    /// which is 0.0.0.0 if the interface was set by index.
    IP_MULTICAST_IF: SocketOption<MulticastInterface, Ipv4Addr> = libc::IP_MULTICAST_IF;
    /// Receive the multicast messages that this host sends: ip(7). On by default.
    IP_MULTICAST_LOOP: SocketOption<bool> = libc::IP_MULTICAST_LOOP;
    /// Time to live of multicast messages: ip(7). 1 by default.
    IP_MULTICAST_TTL: SocketOption<i32> = libc::IP_MULTICAST_TTL;
    /// Do not reassemble fragments that a raw socket sends: ip(7).
    IP_NODEFRAG: SocketOption<bool> = libc::IP_NODEFRAG;
    /// The IP options of sent packets, at most 40 bytes; none clears them: ip(7).
    IP_OPTIONS: SocketOption<Vec<u8>> = libc::IP_OPTIONS;
    /// Receive the security label of the sender with each datagram: ip(7).
    IP_PASSSEC: SocketOption<bool> = libc::IP_PASSSEC;
    /// Receive the destination address and interface with each datagram: ip(7).
    IP_PKTINFO: SocketOption<bool> = libc::IP_PKTINFO;
    /// The protocol of a raw socket: Linux 6.4.
    IP_PROTOCOL: SocketOption<ReadOnly, Protocol> = 52;
    /// Queue errors with their origin, for
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE): ip(7).
    IP_RECVERR: SocketOption<bool> = libc::IP_RECVERR;
    /// Report the offset of the extensions of ICMP errors (RFC 4884) on the error queue: Linux 5.9.
    IP_RECVERR_RFC4884: SocketOption<bool> = 26;
    /// Receive the size of the largest fragment with each datagram: Linux 4.11.
    IP_RECVFRAGSIZE: SocketOption<bool> = libc::IP_RECVFRAGSIZE;
    /// Receive the IP options of each datagram: ip(7).
    IP_RECVOPTS: SocketOption<bool> = libc::IP_RECVOPTS;
    /// Receive the original destination address with each datagram, before a firewall has changed
    /// it: ip(7).
    IP_RECVORIGDSTADDR: SocketOption<bool> = libc::IP_RECVORIGDSTADDR;
    /// Receive the type of service with each datagram: ip(7).
    IP_RECVTOS: SocketOption<bool> = libc::IP_RECVTOS;
    /// Receive the time to live with each datagram: ip(7).
    IP_RECVTTL: SocketOption<bool> = libc::IP_RECVTTL;
    /// Receive the IP options of each datagram unprocessed, ready for a reply: ip(7).
    IP_RETOPTS: SocketOption<bool> = libc::IP_RETOPTS;
    /// Receive packets with the router alert option that pass through this host, on a raw socket:
    /// ip(7).
    IP_ROUTER_ALERT: SocketOption<bool, WriteOnly> = libc::IP_ROUTER_ALERT;
    /// Type of service of sent packets, DSCP and ECN: ip(7).
    IP_TOS: SocketOption<i32> = libc::IP_TOS;
    /// Allow binding to addresses of other hosts; needs CAP_NET_ADMIN: ip(7).
    IP_TRANSPARENT: SocketOption<bool> = libc::IP_TRANSPARENT;
    /// Time to live of sent packets, 1 to 255: ip(7).
    IP_TTL: SocketOption<i32> = libc::IP_TTL;
    /// Receive messages of a source again that was blocked with [`IP_BLOCK_SOURCE`]: ip(7).
    IP_UNBLOCK_SOURCE: SocketOption<SourceMembership, WriteOnly> = libc::IP_UNBLOCK_SOURCE;
    /// The interface of sent unicast messages, which the routing table does not override; 0 for
    /// any: Linux 3.4.
    IP_UNICAST_IF: SocketOption<InterfaceIndex> = libc::IP_UNICAST_IF;
    /// [`IP_BLOCK_SOURCE`] with an interface index: RFC 3678.
    MCAST_BLOCK_SOURCE: SocketOption<GroupSource, WriteOnly> = libc::MCAST_BLOCK_SOURCE;
    /// Join a multicast group: RFC 3678.
    MCAST_JOIN_GROUP: SocketOption<Group, WriteOnly> = libc::MCAST_JOIN_GROUP;
    /// Join a multicast group for one source: RFC 3678.
    MCAST_JOIN_SOURCE_GROUP: SocketOption<GroupSource, WriteOnly> = libc::MCAST_JOIN_SOURCE_GROUP;
    /// Leave a multicast group: RFC 3678.
    MCAST_LEAVE_GROUP: SocketOption<Group, WriteOnly> = libc::MCAST_LEAVE_GROUP;
    /// Leave a multicast group for one source: RFC 3678.
    MCAST_LEAVE_SOURCE_GROUP: SocketOption<GroupSource, WriteOnly> = libc::MCAST_LEAVE_SOURCE_GROUP;
    /// Set all sources of a joined group at once: RFC 3678.
    MCAST_MSFILTER: SocketOption<GroupFilter, WriteOnly> = libc::MCAST_MSFILTER;
    /// [`IP_UNBLOCK_SOURCE`] with an interface index: RFC 3678.
    MCAST_UNBLOCK_SOURCE: SocketOption<GroupSource, WriteOnly> = libc::MCAST_UNBLOCK_SOURCE;
    /// The destination of a connection before the firewall of this host redirected it:
    /// linux/netfilter_ipv4.h. Needs connection tracking.
    SO_ORIGINAL_DST: SocketOption<ReadOnly, SocketAddrV4> = libc::SO_ORIGINAL_DST;
}
