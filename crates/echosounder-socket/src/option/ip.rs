//! Options of IPv4: IPPROTO_IP, ip(7). The numbers are those of linux/in.h.

use super::multicast::Membership;
use super::value::{ReadOnly, SocketOption, WriteOnly, options};

options! {
    level libc::IPPROTO_IP;
    /// Join a multicast group: ip(7).
    IP_ADD_MEMBERSHIP: SocketOption<Membership, WriteOnly> = libc::IP_ADD_MEMBERSHIP;
    /// Choose the local port at connect rather than at bind, so that connections to different peers
    /// can share it: ip(7), Linux 4.2.
    IP_BIND_ADDRESS_NO_PORT: SocketOption<bool> = libc::IP_BIND_ADDRESS_NO_PORT;
    /// Leave a multicast group: ip(7).
    IP_DROP_MEMBERSHIP: SocketOption<Membership, WriteOnly> = libc::IP_DROP_MEMBERSHIP;
    /// Allow binding to an address that this host does not have yet: ip(7).
    IP_FREEBIND: SocketOption<bool> = libc::IP_FREEBIND;
    /// The path MTU of a connected socket in bytes: ip(7).
    IP_MTU: SocketOption<ReadOnly, i32> = libc::IP_MTU;
    /// Path MTU discovery: IP_PMTUDISC_DONT (0), WANT (1), DO (2) or PROBE (3): ip(7).
    IP_MTU_DISCOVER: SocketOption<i32> = libc::IP_MTU_DISCOVER;
    /// Receive messages to any group that a socket of this host has joined: ip(7). On by default.
    IP_MULTICAST_ALL: SocketOption<bool> = libc::IP_MULTICAST_ALL;
    /// Receive the multicast messages that this host sends: ip(7). On by default.
    IP_MULTICAST_LOOP: SocketOption<bool> = libc::IP_MULTICAST_LOOP;
    /// Time to live of multicast messages: ip(7). 1 by default.
    IP_MULTICAST_TTL: SocketOption<i32> = libc::IP_MULTICAST_TTL;
    /// Receive the destination address and interface with each datagram: ip(7).
    IP_PKTINFO: SocketOption<bool> = libc::IP_PKTINFO;
    /// Queue errors with their origin, for
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE): ip(7).
    IP_RECVERR: SocketOption<bool> = libc::IP_RECVERR;
    /// Receive the original destination address with each datagram, before a firewall has changed
    /// it: Linux 2.6.29.
    IP_RECVORIGDSTADDR: SocketOption<bool> = libc::IP_RECVORIGDSTADDR;
    /// Receive the type of service with each datagram: ip(7).
    IP_RECVTOS: SocketOption<bool> = libc::IP_RECVTOS;
    /// Receive the time to live with each datagram: ip(7).
    IP_RECVTTL: SocketOption<bool> = libc::IP_RECVTTL;
    /// Type of service of sent packets, DSCP and ECN: ip(7).
    IP_TOS: SocketOption<i32> = libc::IP_TOS;
    /// Allow binding to addresses of other hosts; needs CAP_NET_ADMIN: ip(7).
    IP_TRANSPARENT: SocketOption<bool> = libc::IP_TRANSPARENT;
    /// Time to live of sent packets, 1 to 255: ip(7).
    IP_TTL: SocketOption<i32> = libc::IP_TTL;
}
