//! Options of IPv6: IPPROTO_IPV6, ipv6(7). The numbers are those of linux/in6.h.

use std::net::{Ipv6Addr, SocketAddrV6};

use super::ip::{InterfaceIndex, PathMtuDiscovery};
use super::multicast::{Group, GroupFilter, GroupSource, Membership6};
use super::value::{GetValue, ReadOnly, SocketOption, WriteOnly, flag_set, options};
use crate::family::Family;

bitflags::bitflags! {
    /// Which source addresses to prefer: RFC 5014, the IPV6_PREFER_SRC_ flags of linux/in6.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AddressPreferences: u32 {
        /// A temporary address: RFC 8981.
        const TEMPORARY = 0x1;
        /// A public address.
        const PUBLIC = 0x2;
        /// The system's choice between temporary and public addresses.
        const TEMPORARY_OR_PUBLIC_DEFAULT = 0x100;
        /// A care-of address of Mobile IPv6.
        const CARE_OF = 0x4;
        /// A home address of Mobile IPv6.
        const HOME = 0x400;
        /// A cryptographically generated address, which Linux does not tell apart.
        const GENERATED = 0x8;
        /// An address that is not cryptographically generated.
        const NOT_GENERATED = 0x800;
    }
}

flag_set!(AddressPreferences: u32);

/// The path MTU to a peer: `struct ip6_mtuinfo`, RFC 3542.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "ip6_mtuinfo")]
pub struct PathMtu {
    /// The peer. The option leaves it unspecified; the control message has it.
    pub peer: SocketAddrV6,
    /// The path MTU in bytes.
    pub mtu: u32,
}

impl GetValue for PathMtu {
    const LEN_MAX: usize = 32;

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self { peer: SocketAddrV6::decode(bytes)?, mtu: u32::decode(bytes.get(28..)?)? })
    }
}

/// A `struct sockaddr_in6`, ipv6(7).
impl GetValue for SocketAddrV6 {
    const LEN_MAX: usize = 28;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
        let flow = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
        let (ip, scope) = (Ipv6Addr::decode(bytes.get(8..)?)?, u32::decode(bytes.get(24..)?)?);
        Some(Self::new(ip, port, flow, scope))
    }
}

options! {
    level libc::IPPROTO_IPV6;
    /// The destination of a connection before the firewall of this host redirected it:
    /// linux/netfilter_ipv6/ip6_tables.h. Needs connection tracking.
    IP6T_SO_ORIGINAL_DST: SocketOption<ReadOnly, SocketAddrV6> = 80;
    /// Turn a socket that is connected to a mapped IPv4 address into an AF_INET socket: ipv6(7).
    IPV6_ADDRFORM: SocketOption<Family, WriteOnly> = libc::IPV6_ADDRFORM;
    /// Which source addresses to prefer: RFC 5014, Linux 2.6.26.
    IPV6_ADDR_PREFERENCES: SocketOption<AddressPreferences> = libc::IPV6_ADDR_PREFERENCES;
    /// Join a multicast group: ipv6(7).
    IPV6_ADD_MEMBERSHIP: SocketOption<Membership6, WriteOnly> = libc::IPV6_ADD_MEMBERSHIP;
    /// Choose a flow label for each flow automatically: Linux 3.17.
    IPV6_AUTOFLOWLABEL: SocketOption<bool> = libc::IPV6_AUTOFLOWLABEL;
    /// The offset of the checksum in the packets of a raw socket, which the kernel fills in; -1
    /// turns it off: RFC 3542.
    IPV6_CHECKSUM: SocketOption<i32> = libc::IPV6_CHECKSUM;
    /// Do not fragment sent packets: RFC 3542.
    IPV6_DONTFRAG: SocketOption<bool> = libc::IPV6_DONTFRAG;
    /// Leave a multicast group: ipv6(7).
    IPV6_DROP_MEMBERSHIP: SocketOption<Membership6, WriteOnly> = libc::IPV6_DROP_MEMBERSHIP;
    /// The destination options header of sent packets; none clears it: RFC 3542. Needs CAP_NET_RAW.
    IPV6_DSTOPTS: SocketOption<Vec<u8>> = libc::IPV6_DSTOPTS;
    /// Receive the traffic class and flow label with each datagram: linux/in6.h.
    IPV6_FLOWINFO: SocketOption<bool> = libc::IPV6_FLOWINFO;
    /// Send with the flow label of the destination address: Linux 2.2.
    IPV6_FLOWINFO_SEND: SocketOption<bool> = libc::IPV6_FLOWINFO_SEND;
    /// Allow binding to an address that this host does not have yet: Linux 4.15.
    IPV6_FREEBIND: SocketOption<bool> = libc::IPV6_FREEBIND;
    /// The caller supplies the IPv6 header of packets of a raw socket: Linux 4.5.
    IPV6_HDRINCL: SocketOption<bool> = libc::IPV6_HDRINCL;
    /// The hop-by-hop options header of sent packets; none clears it: RFC 3542. Needs CAP_NET_RAW.
    IPV6_HOPOPTS: SocketOption<Vec<u8>> = libc::IPV6_HOPOPTS;
    /// Receive packets to an anycast address: Linux 2.6. Needs CAP_NET_ADMIN.
    IPV6_JOIN_ANYCAST: SocketOption<Membership6, WriteOnly> = libc::IPV6_JOIN_ANYCAST;
    /// Stop receiving packets to an anycast address: Linux 2.6.
    IPV6_LEAVE_ANYCAST: SocketOption<Membership6, WriteOnly> = libc::IPV6_LEAVE_ANYCAST;
    /// MCAST_BLOCK_SOURCE for IPv6: stop receiving messages of a source to a joined group: RFC
    /// 3678.
    IPV6_MCAST_BLOCK_SOURCE: SocketOption<GroupSource, WriteOnly> = libc::MCAST_BLOCK_SOURCE;
    /// MCAST_JOIN_GROUP for IPv6: join a multicast group: RFC 3678.
    IPV6_MCAST_JOIN_GROUP: SocketOption<Group, WriteOnly> = libc::MCAST_JOIN_GROUP;
    /// MCAST_JOIN_SOURCE_GROUP for IPv6: join a multicast group for one source: RFC 3678.
    IPV6_MCAST_JOIN_SOURCE_GROUP: SocketOption<GroupSource, WriteOnly> = libc::MCAST_JOIN_SOURCE_GROUP;
    /// MCAST_LEAVE_GROUP for IPv6: leave a multicast group: RFC 3678.
    IPV6_MCAST_LEAVE_GROUP: SocketOption<Group, WriteOnly> = libc::MCAST_LEAVE_GROUP;
    /// MCAST_LEAVE_SOURCE_GROUP for IPv6: leave a multicast group for one source: RFC 3678.
    IPV6_MCAST_LEAVE_SOURCE_GROUP: SocketOption<GroupSource, WriteOnly> = libc::MCAST_LEAVE_SOURCE_GROUP;
    /// MCAST_MSFILTER for IPv6: set all sources of a joined group at once: RFC 3678.
    IPV6_MCAST_MSFILTER: SocketOption<GroupFilter, WriteOnly> = libc::MCAST_MSFILTER;
    /// MCAST_UNBLOCK_SOURCE for IPv6: receive messages of a blocked source again: RFC 3678.
    IPV6_MCAST_UNBLOCK_SOURCE: SocketOption<GroupSource, WriteOnly> = libc::MCAST_UNBLOCK_SOURCE;
    /// Discard received packets with a lower hop limit, 0 to 255: Linux 2.6.35, RFC 5082.
    IPV6_MINHOPCOUNT: SocketOption<i32> = libc::IPV6_MINHOPCOUNT;
    /// The path MTU of a connected socket in bytes: ipv6(7).
    IPV6_MTU: SocketOption<i32> = libc::IPV6_MTU;
    /// Path MTU discovery: ipv6(7).
    IPV6_MTU_DISCOVER: SocketOption<PathMtuDiscovery> = libc::IPV6_MTU_DISCOVER;
    /// [`IP_MULTICAST_ALL`](crate::option::IP_MULTICAST_ALL) for IPv6: Linux 4.20.
    IPV6_MULTICAST_ALL: SocketOption<bool> = 29;
    /// Hop limit of multicast messages: ipv6(7).
    IPV6_MULTICAST_HOPS: SocketOption<i32> = libc::IPV6_MULTICAST_HOPS;
    /// The index of the interface of sent multicast messages; 0 lets the routing table choose:
    /// ipv6(7).
    IPV6_MULTICAST_IF: SocketOption<u32> = libc::IPV6_MULTICAST_IF;
    /// Receive the multicast messages that this host sends: ipv6(7).
    IPV6_MULTICAST_LOOP: SocketOption<bool> = libc::IPV6_MULTICAST_LOOP;
    /// The path MTU of a connected socket: RFC 3542.
    IPV6_PATHMTU: SocketOption<ReadOnly, PathMtu> = libc::IPV6_PATHMTU;
    /// Receive the destination options header with each datagram: RFC 3542.
    IPV6_RECVDSTOPTS: SocketOption<bool> = libc::IPV6_RECVDSTOPTS;
    /// Queue errors with their origin, for
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE): ipv6(7).
    IPV6_RECVERR: SocketOption<bool> = libc::IPV6_RECVERR;
    /// Report the offset of the extensions of ICMPv6 errors (RFC 4884) on the error queue: Linux
    /// 5.9.
    IPV6_RECVERR_RFC4884: SocketOption<bool> = 31;
    /// Receive the size of the largest fragment with each datagram: Linux 4.11.
    IPV6_RECVFRAGSIZE: SocketOption<bool> = libc::IPV6_RECVFRAGSIZE;
    /// Receive the hop limit with each datagram: ipv6(7).
    IPV6_RECVHOPLIMIT: SocketOption<bool> = libc::IPV6_RECVHOPLIMIT;
    /// Receive the hop-by-hop options header with each datagram: RFC 3542.
    IPV6_RECVHOPOPTS: SocketOption<bool> = libc::IPV6_RECVHOPOPTS;
    /// Receive the original destination address with each datagram, before a firewall has changed
    /// it: Linux 2.6.37.
    IPV6_RECVORIGDSTADDR: SocketOption<bool> = libc::IPV6_RECVORIGDSTADDR;
    /// Receive changes of the path MTU: RFC 3542.
    IPV6_RECVPATHMTU: SocketOption<bool> = libc::IPV6_RECVPATHMTU;
    /// Receive the destination address and interface with each datagram: ipv6(7).
    IPV6_RECVPKTINFO: SocketOption<bool> = libc::IPV6_RECVPKTINFO;
    /// Receive the routing header with each datagram: RFC 3542.
    IPV6_RECVRTHDR: SocketOption<bool> = libc::IPV6_RECVRTHDR;
    /// Receive the traffic class with each datagram: RFC 3542.
    IPV6_RECVTCLASS: SocketOption<bool> = libc::IPV6_RECVTCLASS;
    /// Receive packets with this router alert that pass through this host, on a raw socket; -1
    /// turns it off: ipv6(7).
    IPV6_ROUTER_ALERT: SocketOption<i32> = libc::IPV6_ROUTER_ALERT;
    /// Do not pass the packets of [`IPV6_ROUTER_ALERT`] to sockets of other network namespaces:
    /// Linux 5.2.
    IPV6_ROUTER_ALERT_ISOLATE: SocketOption<bool> = 30;
    /// The routing header of sent packets; none clears it: RFC 3542. Needs CAP_NET_RAW.
    IPV6_RTHDR: SocketOption<Vec<u8>> = libc::IPV6_RTHDR;
    /// Traffic class of sent packets, DSCP and ECN: RFC 3542.
    IPV6_TCLASS: SocketOption<i32> = libc::IPV6_TCLASS;
    /// Allow binding to addresses of other hosts; needs CAP_NET_ADMIN: Linux 2.6.37.
    IPV6_TRANSPARENT: SocketOption<bool> = libc::IPV6_TRANSPARENT;
    /// Hop limit of sent packets; -1 for the system default: ipv6(7).
    IPV6_UNICAST_HOPS: SocketOption<i32> = libc::IPV6_UNICAST_HOPS;
    /// The interface of sent unicast messages, which the routing table does not override; 0 for
    /// any: Linux 3.4.
    IPV6_UNICAST_IF: SocketOption<InterfaceIndex> = libc::IPV6_UNICAST_IF;
    /// Refuse IPv4 traffic on an IPv6 socket: ipv6(7).
    IPV6_V6ONLY: SocketOption<bool> = libc::IPV6_V6ONLY;
}
