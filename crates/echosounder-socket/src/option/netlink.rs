//! Options of netlink: SOL_NETLINK, netlink(7). The numbers are those of linux/netlink.h.

use super::value::{ReadOnly, SocketOption, WriteOnly, options};

options! {
    level libc::SOL_NETLINK;
    /// Join the group with this number: netlink(7).
    NETLINK_ADD_MEMBERSHIP: SocketOption<i32, WriteOnly> = libc::NETLINK_ADD_MEMBERSHIP;
    /// Report to the sender of a broadcast that a receiver could not take it: netlink(7).
    NETLINK_BROADCAST_ERROR: SocketOption<bool> = 4;
    /// Acknowledge without repeating the message: netlink(7).
    NETLINK_CAP_ACK: SocketOption<bool> = libc::NETLINK_CAP_ACK;
    /// Leave the group with this number: netlink(7).
    NETLINK_DROP_MEMBERSHIP: SocketOption<i32, WriteOnly> = libc::NETLINK_DROP_MEMBERSHIP;
    /// Return the reason of a refused request as text: Linux 4.12.
    NETLINK_EXT_ACK: SocketOption<bool> = libc::NETLINK_EXT_ACK;
    /// Check dump requests strictly: Linux 4.20.
    NETLINK_GET_STRICT_CHK: SocketOption<bool> = libc::NETLINK_GET_STRICT_CHK;
    /// Receive notifications of all network namespaces that have a number in this one: netlink(7).
    /// Setting it needs CAP_NET_BROADCAST; older kernels, such as Linux 6.1, cannot read it.
    NETLINK_LISTEN_ALL_NSID: SocketOption<bool> = 8;
    /// The groups that the socket has joined, as a set of bits: group 1 is bit 0 of the first
    /// number: netlink(7).
    NETLINK_LIST_MEMBERSHIPS: SocketOption<ReadOnly, Vec<u32>> = 9;
    /// Do not report lost messages with ENOBUFS: netlink(7).
    NETLINK_NO_ENOBUFS: SocketOption<bool> = libc::NETLINK_NO_ENOBUFS;
    /// Receive the destination group with each message: netlink(7).
    NETLINK_PKTINFO: SocketOption<bool> = libc::NETLINK_PKTINFO;
}
