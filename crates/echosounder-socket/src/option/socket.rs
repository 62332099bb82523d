//! Options of every socket: SOL_SOCKET, socket(7). The numbers are those of asm-generic/socket.h.

use std::ffi::OsString;
use std::time::Duration;

use super::timestamping::TimestampingFlags;
use super::value::{
    GetValue, ReadOnly, SetValue, SocketOption, WriteOnly, flag_set, joined, layout_read, options,
};
use crate::credentials::Credentials;
use crate::family::{Family, Protocol, Type};

bitflags::bitflags! {
    /// Buffer sizes that the kernel must not adjust: the SOCK_ flags of linux/socket.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct BufferLocks: u32 {
        /// The size of the send buffer, as after setting [`SO_SNDBUF`]: SOCK_SNDBUF_LOCK.
        const SEND = 1;
        /// The size of the receive buffer, as after setting [`SO_RCVBUF`]: SOCK_RCVBUF_LOCK.
        const RECEIVE = 2;
    }
}

flag_set!(BufferLocks: u32);

bitflags::bitflags! {
    /// How the kernel treats the times of [`SO_TXTIME`]: the SOF_TXTIME_ flags of
    /// linux/net_tstamp.h.
    ///
    /// See [`TxTime`] for an example.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TxTimeFlags: u32 {
        /// The time is the latest rather than the earliest: SOF_TXTIME_DEADLINE_MODE.
        const DEADLINE_MODE = 1;
        /// Report messages that could not be sent in time on the error queue:
        /// SOF_TXTIME_REPORT_ERRORS.
        const REPORT_ERRORS = 2;
    }
}

/// The clock of the times at which messages are sent: `struct sock_txtime`, linux/net_tstamp.h.
///
/// ```
/// use echosounder_socket::option::{SO_TXTIME, TxTime, TxTimeFlags};
/// use echosounder_socket::{Family, Protocol, Socket, Type};
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// // By CLOCK_MONOTONIC. `SendControl::TransmitTime` is the time of a message.
/// socket.set_option(SO_TXTIME, TxTime { clock: 1, flags: TxTimeFlags::REPORT_ERRORS })?;
/// assert_eq!(socket.option(SO_TXTIME)?.clock, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "sock_txtime")]
pub struct TxTime {
    /// The number of the clock, such as 1 for CLOCK_MONOTONIC or 11 for CLOCK_TAI. All but
    /// CLOCK_MONOTONIC need CAP_NET_ADMIN.
    pub clock: i32,
    /// How the kernel treats the times.
    pub flags: TxTimeFlags,
}

impl SetValue for TxTime {
    type Bytes = [u8; 8];

    fn encode(&self) -> Option<[u8; 8]> {
        Some(joined(self.clock.to_ne_bytes(), self.flags.bits().to_ne_bytes()))
    }
}

impl GetValue for TxTime {
    const LEN_MAX: usize = 8;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let flags = TxTimeFlags::from_bits_retain(u32::decode(bytes.get(4..)?)?);
        Some(Self { clock: i32::decode(bytes)?, flags })
    }
}

/// The kernel memory of a socket in bytes, and the messages that it has dropped: linux/sock_diag.h.
///
/// ```
/// use echosounder_socket::{Family, Protocol, Socket, Type, option};
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// assert_eq!(socket.option(option::SO_MEMINFO)?.drops, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// The index of the only interface to send and receive through; 0 for any: Linux 5.1.
    SO_BINDTOIFINDEX: SocketOption<u32> = libc::SO_BINDTOIFINDEX;
    /// Number of extensions of classic BPF that the kernel has: Linux 3.14.
    SO_BPF_EXTENSIONS: SocketOption<ReadOnly, i32> = libc::SO_BPF_EXTENSIONS;
    /// Allow sending to broadcast addresses: socket(7).
    SO_BROADCAST: SocketOption<bool> = libc::SO_BROADCAST;
    /// Which buffer sizes the kernel must not adjust: Linux 5.15.
    SO_BUF_LOCK: SocketOption<BufferLocks> = 72;
    /// Microseconds to poll the network interface before waiting: socket(7). Raising it needs
    /// CAP_NET_ADMIN.
    SO_BUSY_POLL: SocketOption<i32> = libc::SO_BUSY_POLL;
    /// Number of packets for each busy poll, 8 by default; more need CAP_NET_ADMIN: Linux 5.11.
    SO_BUSY_POLL_BUDGET: SocketOption<i32> = libc::SO_BUSY_POLL_BUDGET;
    /// Ask the network layer with 1 to choose another path for the connection: Linux 4.6.
    SO_CNX_ADVICE: SocketOption<i32, WriteOnly> = libc::SO_CNX_ADVICE;
    /// The number of the socket, unique until the machine restarts: Linux 4.12.
    SO_COOKIE: SocketOption<ReadOnly, u64> = libc::SO_COOKIE;
    /// Record debugging information; enabling it needs CAP_NET_ADMIN: socket(7).
    SO_DEBUG: SocketOption<bool> = libc::SO_DEBUG;
    /// Remove the program of [`Socket::attach_filter`](crate::Socket::attach_filter) or
    /// [`Socket::attach_bpf`](crate::Socket::attach_bpf): socket(7). The value is ignored.
    SO_DETACH_FILTER: SocketOption<i32, WriteOnly> = libc::SO_DETACH_FILTER;
    /// Remove the program of
    /// [`Socket::attach_reuseport_filter`](crate::Socket::attach_reuseport_filter) or
    /// [`Socket::attach_reuseport_bpf`](crate::Socket::attach_reuseport_bpf): Linux 5.3. The value
    /// is ignored.
    SO_DETACH_REUSEPORT_BPF: SocketOption<i32, WriteOnly> = libc::SO_DETACH_REUSEPORT_BPF;
    /// The address family: socket(7).
    SO_DOMAIN: SocketOption<ReadOnly, Family> = libc::SO_DOMAIN;
    /// Send to directly connected hosts only, without a gateway: socket(7).
    SO_DONTROUTE: SocketOption<bool> = libc::SO_DONTROUTE;
    /// The pending error number, which reading clears: socket(7).
    SO_ERROR: SocketOption<ReadOnly, i32> = libc::SO_ERROR;
    /// The processor that handles received packets: socket(7).
    SO_INCOMING_CPU: SocketOption<i32> = libc::SO_INCOMING_CPU;
    /// The number of the receive queue of the last packet; 0 if unknown: Linux 4.12.
    SO_INCOMING_NAPI_ID: SocketOption<ReadOnly, u32> = libc::SO_INCOMING_NAPI_ID;
    /// Receive the number of bytes left in the queue of a UNIX stream with each receive: Linux
    /// 6.17.
    SO_INQ: SocketOption<bool, WriteOnly> = 84;
    /// Probe an idle peer: socket(7).
    SO_KEEPALIVE: SocketOption<bool> = libc::SO_KEEPALIVE;
    /// How long close(2) waits for unsent data; zero resets the connection: socket(7).
    SO_LINGER: SocketOption<Option<Duration>> = libc::SO_LINGER;
    /// Refuse to change or remove the attached BPF program; it cannot be turned off: Linux 3.9.
    SO_LOCK_FILTER: SocketOption<bool> = libc::SO_LOCK_FILTER;
    /// Mark of sent packets, for routing and filtering; needs CAP_NET_ADMIN: socket(7).
    SO_MARK: SocketOption<u32> = libc::SO_MARK;
    /// Maximum rate of sending in bytes per second; [`u64::MAX`] means no limit: Linux 3.13, 64
    /// bits since 4.20.
    SO_MAX_PACING_RATE: SocketOption<u64> = libc::SO_MAX_PACING_RATE;
    /// Kernel memory and drops of the socket: Linux 4.12.
    SO_MEMINFO: SocketOption<ReadOnly, MemoryInfo> = libc::SO_MEMINFO;
    /// The number of the network namespace of the socket: Linux 5.14.
    SO_NETNS_COOKIE: SocketOption<ReadOnly, u64> = 71;
    /// Send frames of AF_PACKET with a checksum from the caller: Linux 3.4.
    SO_NOFCS: SocketOption<bool> = libc::SO_NOFCS;
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
    /// Receive the security label of the sender with each message: unix(7).
    SO_PASSSEC: SocketOption<bool> = libc::SO_PASSSEC;
    /// The offset in the receive queue at which [`MessageFlags::PEEK`](crate::MessageFlags::PEEK)
    /// begins, which each peek moves; -1 turns it off: socket(7).
    SO_PEEK_OFF: SocketOption<i32> = libc::SO_PEEK_OFF;
    /// The process that connected, listened or created the pair: unix(7).
    SO_PEERCRED: SocketOption<ReadOnly, Credentials> = libc::SO_PEERCRED;
    /// The supplementary groups of the process of [`SO_PEERCRED`]: Linux 4.13.
    SO_PEERGROUPS: SocketOption<ReadOnly, Vec<u32>> = libc::SO_PEERGROUPS;
    /// The security label of the peer, if a security module such as SELinux gives one: socket(7).
    SO_PEERSEC: SocketOption<ReadOnly, OsString> = libc::SO_PEERSEC;
    /// Prefer busy polling to interrupts; enabling it needs CAP_NET_ADMIN: Linux 5.11.
    SO_PREFER_BUSY_POLL: SocketOption<bool> = libc::SO_PREFER_BUSY_POLL;
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
    /// Receive the mark of [`SO_MARK`] with each datagram: Linux 5.19.
    SO_RCVMARK: SocketOption<bool> = 75;
    /// Receive the priority of [`SO_PRIORITY`] with each datagram: Linux 6.14.
    SO_RCVPRIORITY: SocketOption<bool> = 82;
    /// Timeout of receives in the kernel; zero means none: socket(7).
    /// [`Socket::set_timeout`](crate::Socket::set_timeout) does not use it.
    SO_RCVTIMEO: SocketOption<Duration> = libc::SO_RCVTIMEO;
    /// Bytes of memory that the kernel reserves for the socket, within a memory control group:
    /// Linux 5.16.
    SO_RESERVE_MEM: SocketOption<i32> = 73;
    /// Allow binding to an address that only connections in TIME-WAIT use, or, for UDP, that other
    /// sockets with the option use, such as the port of a multicast group: socket(7).
    SO_REUSEADDR: SocketOption<bool> = libc::SO_REUSEADDR;
    /// Share the address with other sockets of this user that set the option too: socket(7).
    SO_REUSEPORT: SocketOption<bool> = libc::SO_REUSEPORT;
    /// Receive the number of dropped datagrams with each datagram: socket(7).
    SO_RXQ_OVFL: SocketOption<bool> = libc::SO_RXQ_OVFL;
    /// Report a readable error queue as urgent data (POLLPRI): Linux 3.10.
    SO_SELECT_ERR_QUEUE: SocketOption<bool> = libc::SO_SELECT_ERR_QUEUE;
    /// Send buffer in bytes; the kernel doubles a value that is set, up to wmem_max: socket(7).
    SO_SNDBUF: SocketOption<i32> = libc::SO_SNDBUF;
    /// Send buffer in bytes beyond wmem_max; needs CAP_NET_ADMIN: socket(7).
    SO_SNDBUFFORCE: SocketOption<i32, WriteOnly> = libc::SO_SNDBUFFORCE;
    /// Number of bytes of send buffer space from which the socket is writable, always 1: socket(7).
    SO_SNDLOWAT: SocketOption<ReadOnly, i32> = libc::SO_SNDLOWAT;
    /// Timeout of sends and connects in the kernel; zero means none: socket(7).
    SO_SNDTIMEO: SocketOption<Duration> = libc::SO_SNDTIMEO;
    /// Receive the arrival time with each datagram, in microseconds: socket(7).
    SO_TIMESTAMP: SocketOption<bool> = libc::SO_TIMESTAMP;
    /// Timestamp received or sent packets: the kernel's document networking/timestamping.
    SO_TIMESTAMPING: SocketOption<TimestampingFlags> = libc::SO_TIMESTAMPING;
    /// Receive the arrival time with each datagram, in nanoseconds: socket(7).
    SO_TIMESTAMPNS: SocketOption<bool> = libc::SO_TIMESTAMPNS;
    /// Whether a lost packet makes the connection try another path: 1, 0, or -1 for the system
    /// default: Linux 5.18.
    SO_TXREHASH: SocketOption<i32> = 74;
    /// Send each message at a time that the caller chooses with a control message: Linux 4.19.
    SO_TXTIME: SocketOption<TxTime> = libc::SO_TXTIME;
    /// The socket type: socket(7).
    SO_TYPE: SocketOption<ReadOnly, Type> = libc::SO_TYPE;
    /// Report on the error queue whether a station acknowledged the frame: Linux 3.3.
    SO_WIFI_STATUS: SocketOption<bool> = libc::SO_WIFI_STATUS;
    /// Allow [`Socket::send_msg_zerocopy`](crate::Socket::send_msg_zerocopy), which sends from the
    /// caller's memory without a copy: Linux 4.14.
    SO_ZEROCOPY: SocketOption<bool> = libc::SO_ZEROCOPY;
}
