//! Options of IPv6: IPPROTO_IPV6, ipv6(7). The numbers are those of linux/in6.h.

use super::multicast::Membership6;
use super::value::{SocketOption, WriteOnly, options};

options! {
    level libc::IPPROTO_IPV6;
    /// Join a multicast group: ipv6(7).
    IPV6_ADD_MEMBERSHIP: SocketOption<Membership6, WriteOnly> = libc::IPV6_ADD_MEMBERSHIP;
    /// Leave a multicast group: ipv6(7).
    IPV6_DROP_MEMBERSHIP: SocketOption<Membership6, WriteOnly> = libc::IPV6_DROP_MEMBERSHIP;
    /// The path MTU of a connected socket in bytes: ipv6(7).
    IPV6_MTU: SocketOption<i32> = libc::IPV6_MTU;
    /// [`IP_MULTICAST_ALL`] for IPv6: Linux 4.20.
    IPV6_MULTICAST_ALL: SocketOption<bool> = 29;
    /// Hop limit of multicast messages: ipv6(7).
    IPV6_MULTICAST_HOPS: SocketOption<i32> = libc::IPV6_MULTICAST_HOPS;
    /// Receive the multicast messages that this host sends: ipv6(7).
    IPV6_MULTICAST_LOOP: SocketOption<bool> = libc::IPV6_MULTICAST_LOOP;
    /// Queue errors with their origin, for
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE): ipv6(7).
    IPV6_RECVERR: SocketOption<bool> = libc::IPV6_RECVERR;
    /// Receive the hop limit with each datagram: ipv6(7).
    IPV6_RECVHOPLIMIT: SocketOption<bool> = libc::IPV6_RECVHOPLIMIT;
    /// Receive the destination address and interface with each datagram: ipv6(7).
    IPV6_RECVPKTINFO: SocketOption<bool> = libc::IPV6_RECVPKTINFO;
    /// Receive the traffic class with each datagram: RFC 3542.
    IPV6_RECVTCLASS: SocketOption<bool> = libc::IPV6_RECVTCLASS;
    /// Traffic class of sent packets, DSCP and ECN: RFC 3542.
    IPV6_TCLASS: SocketOption<i32> = libc::IPV6_TCLASS;
    /// Hop limit of sent packets; -1 for the system default: ipv6(7).
    IPV6_UNICAST_HOPS: SocketOption<i32> = libc::IPV6_UNICAST_HOPS;
    /// Refuse IPv4 traffic on an IPv6 socket: ipv6(7).
    IPV6_V6ONLY: SocketOption<bool> = libc::IPV6_V6ONLY;
}
