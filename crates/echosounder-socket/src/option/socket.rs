//! Options of every socket: SOL_SOCKET, socket(7). The numbers are those of asm-generic/socket.h.

use std::time::Duration;

use super::timestamping::TimestampingFlags;
use super::value::{ReadOnly, SocketOption, WriteOnly, layout_read, options};
use crate::credentials::Credentials;
use crate::family::{Family, Protocol, Type};

/// The kernel memory of a socket in bytes, and the messages that it has dropped: linux/sock_diag.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

layout_read!(MemoryInfo, 36, {
    rmem_alloc: u32 = 0,
    rcvbuf: u32 = 4,
    wmem_alloc: u32 = 8,
    sndbuf: u32 = 12,
    fwd_alloc: u32 = 16,
    wmem_queued: u32 = 20,
    optmem: u32 = 24,
    backlog: u32 = 28,
    drops: u32 = 32,
});

options! {
    level libc::SOL_SOCKET;
    /// Whether the socket listens: socket(7).
    SO_ACCEPTCONN: SocketOption<ReadOnly, bool> = libc::SO_ACCEPTCONN;
    /// The only interface to send and receive through; empty for any: socket(7). Needs no privilege
    /// since Linux 5.7.
    SO_BINDTODEVICE: SocketOption<String> = libc::SO_BINDTODEVICE;
    /// Allow sending to broadcast addresses: socket(7).
    SO_BROADCAST: SocketOption<bool> = libc::SO_BROADCAST;
    /// Microseconds to poll the network interface before waiting: socket(7).
    SO_BUSY_POLL: SocketOption<i32> = libc::SO_BUSY_POLL;
    /// Remove the program of [`Socket::attach_filter`](crate::Socket::attach_filter) or
    /// [`Socket::attach_bpf`](crate::Socket::attach_bpf): socket(7). The value is ignored.
    SO_DETACH_FILTER: SocketOption<i32, WriteOnly> = libc::SO_DETACH_FILTER;
    /// The address family: socket(7).
    SO_DOMAIN: SocketOption<ReadOnly, Family> = libc::SO_DOMAIN;
    /// The pending error number, which reading clears: socket(7).
    SO_ERROR: SocketOption<ReadOnly, i32> = libc::SO_ERROR;
    /// The processor that handles received packets: socket(7).
    SO_INCOMING_CPU: SocketOption<i32> = libc::SO_INCOMING_CPU;
    /// Probe an idle peer: socket(7).
    SO_KEEPALIVE: SocketOption<bool> = libc::SO_KEEPALIVE;
    /// How long close(2) waits for unsent data; zero resets the connection: socket(7).
    SO_LINGER: SocketOption<Option<Duration>> = libc::SO_LINGER;
    /// Mark of sent packets, for routing and filtering; needs CAP_NET_ADMIN: socket(7).
    SO_MARK: SocketOption<u32> = libc::SO_MARK;
    /// Kernel memory and drops of the socket: Linux 4.12.
    SO_MEMINFO: SocketOption<ReadOnly, MemoryInfo> = libc::SO_MEMINFO;
    /// Send UDP datagrams over IPv4 without a checksum: Linux 2.2.
    SO_NO_CHECK: SocketOption<bool> = libc::SO_NO_CHECK;
    /// Deliver urgent data in the normal stream: socket(7).
    SO_OOBINLINE: SocketOption<bool> = libc::SO_OOBINLINE;
    /// Receive the sending process with each message, also over netlink: unix(7).
    SO_PASSCRED: SocketOption<bool> = libc::SO_PASSCRED;
    /// Receive a pidfd of the sending process with each message: Linux 6.5.
    SO_PASSPIDFD: SocketOption<bool> = 76;
    /// Accept descriptors with messages: Linux 6.16. On by default.
    SO_PASSRIGHTS: SocketOption<bool> = 83;
    /// The process that connected, listened or created the pair: unix(7).
    SO_PEERCRED: SocketOption<ReadOnly, Credentials> = libc::SO_PEERCRED;
    /// Priority of sent packets: socket(7).
    SO_PRIORITY: SocketOption<i32> = libc::SO_PRIORITY;
    /// The protocol: socket(7).
    SO_PROTOCOL: SocketOption<ReadOnly, Protocol> = libc::SO_PROTOCOL;
    /// Receive buffer in bytes; the kernel doubles a value that is set, up to rmem_max: socket(7).
    SO_RCVBUF: SocketOption<i32> = libc::SO_RCVBUF;
    /// Receive buffer in bytes beyond rmem_max; needs CAP_NET_ADMIN: socket(7).
    SO_RCVBUFFORCE: SocketOption<i32, WriteOnly> = libc::SO_RCVBUFFORCE;
    /// Number of received bytes from which the socket is readable: socket(7).
    SO_RCVLOWAT: SocketOption<i32> = libc::SO_RCVLOWAT;
    /// Timeout of receives in the kernel; zero means none: socket(7).
    /// [`Socket::set_timeout`](crate::Socket::set_timeout) does not use it.
    SO_RCVTIMEO: SocketOption<Duration> = libc::SO_RCVTIMEO;
    /// Allow binding to an address that only connections in TIME-WAIT use: socket(7).
    SO_REUSEADDR: SocketOption<bool> = libc::SO_REUSEADDR;
    /// Share the address with other sockets of this user that set the option too: socket(7).
    SO_REUSEPORT: SocketOption<bool> = libc::SO_REUSEPORT;
    /// Receive the number of dropped datagrams with each datagram: socket(7).
    SO_RXQ_OVFL: SocketOption<bool> = libc::SO_RXQ_OVFL;
    /// Send buffer in bytes; the kernel doubles a value that is set, up to wmem_max: socket(7).
    SO_SNDBUF: SocketOption<i32> = libc::SO_SNDBUF;
    /// Send buffer in bytes beyond wmem_max; needs CAP_NET_ADMIN: socket(7).
    SO_SNDBUFFORCE: SocketOption<i32, WriteOnly> = libc::SO_SNDBUFFORCE;
    /// Timeout of sends and connects in the kernel; zero means none: socket(7).
    SO_SNDTIMEO: SocketOption<Duration> = libc::SO_SNDTIMEO;
    /// Receive the arrival time with each datagram, in microseconds: socket(7).
    SO_TIMESTAMP: SocketOption<bool> = libc::SO_TIMESTAMP;
    /// Timestamp received or sent packets: the kernel's document networking/timestamping.
    SO_TIMESTAMPING: SocketOption<TimestampingFlags> = libc::SO_TIMESTAMPING;
    /// Receive the arrival time with each datagram, in nanoseconds: socket(7).
    SO_TIMESTAMPNS: SocketOption<bool> = libc::SO_TIMESTAMPNS;
    /// The socket type: socket(7).
    SO_TYPE: SocketOption<ReadOnly, Type> = libc::SO_TYPE;
    /// Allow [`MessageFlags::ZEROCOPY`](crate::MessageFlags::ZEROCOPY), which sends from the
    /// caller's memory without a copy: Linux 4.14.
    SO_ZEROCOPY: SocketOption<bool> = libc::SO_ZEROCOPY;
}
