//! Options of TCP: IPPROTO_TCP, tcp(7). The numbers are those of linux/tcp.h.

use std::fmt;
use std::net::IpAddr;

use super::multicast::storage;
use super::tcp_info::TcpInfo;
use super::value::{ReadOnly, SetValue, SocketOption, WriteOnly, layout, options};

/// The longest key of [`TcpMd5Key`] in bytes: TCP_MD5SIG_MAXKEYLEN of linux/tcp.h.
const MD5_KEY_MAX: usize = 80;

/// The key that signs the segments to and from a peer: `struct tcp_md5sig`, linux/tcp.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, PartialEq, Eq, Hash)]
#[doc(alias = "tcp_md5sig")]
pub struct TcpMd5Key {
    /// The peer, or a network of peers. Its family is that of the socket.
    pub peer: IpAddr,
    /// The length of the network's prefix in bits; `None` for one peer.
    /// [`TCP_MD5SIG`] ignores it.
    pub prefix_len: Option<u8>,
    /// The index of the interface; 0 for any. [`TCP_MD5SIG`] ignores it.
    pub interface: u32,
    /// The key, at most 80 bytes. An empty key removes that of the peer.
    pub key: Vec<u8>,
}

/// The key is not shown.
impl fmt::Debug for TcpMd5Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, prefix_len, interface, .. } = self;
        f.debug_struct("TcpMd5Key")
            .field("peer", peer)
            .field("prefix_len", prefix_len)
            .field("interface", interface)
            .finish_non_exhaustive()
    }
}

impl SetValue for TcpMd5Key {
    type Bytes = [u8; 216];

    fn encode(&self) -> Option<[u8; 216]> {
        if MD5_KEY_MAX < self.key.len() {
            return None;
        }
        let mut bytes = [0; 216];
        bytes[..128].copy_from_slice(&storage(self.peer));
        // TCP_MD5SIG_FLAG_PREFIX and TCP_MD5SIG_FLAG_IFINDEX.
        bytes[128] = u8::from(self.prefix_len.is_some()) | u8::from(self.interface != 0) << 1;
        bytes[129] = self.prefix_len.unwrap_or(0);
        bytes[130..132].copy_from_slice(&u16::try_from(self.key.len()).ok()?.to_ne_bytes());
        bytes[132..136].copy_from_slice(&self.interface.to_ne_bytes());
        bytes[136..136 + self.key.len()].copy_from_slice(&self.key);
        Some(bytes)
    }
}

/// A TCP option that the peers of a restored connection have negotiated: `struct tcp_repair_opt`,
/// linux/tcp.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "tcp_repair_opt")]
pub struct TcpRepairOption {
    /// The kind of the option, such as 2 for the maximum segment size.
    pub code: u32,
    /// Its value.
    pub value: u32,
}

impl SetValue for Vec<TcpRepairOption> {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        Some(self.iter().flat_map(|option| [option.code, option.value]).flat_map(u32::to_ne_bytes).collect())
    }
}

/// The windows of a restored connection: `struct tcp_repair_window`, linux/tcp.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "tcp_repair_window")]
pub struct TcpRepairWindow {
    /// The sequence number of the segment that last updated the send window.
    pub snd_wl1: u32,
    /// The send window in bytes.
    pub snd_wnd: u32,
    /// The largest send window so far in bytes.
    pub max_window: u32,
    /// The receive window in bytes.
    pub rcv_wnd: u32,
    /// The sequence number at which the receive window begins.
    pub rcv_wup: u32,
}

layout!(TcpRepairWindow, 20, {
    snd_wl1: u32 = 0, snd_wnd: u32 = 4, max_window: u32 = 8, rcv_wnd: u32 = 12, rcv_wup: u32 = 16,
});

options! {
    level libc::IPPROTO_TCP;
    /// What the congestion control algorithm reports, as bytes: the structures of `union
    /// tcp_cc_info`, linux/inet_diag.h. Empty for algorithms that report nothing: Linux 4.1.
    TCP_CC_INFO: SocketOption<ReadOnly, Vec<u8>> = libc::TCP_CC_INFO;
    /// The congestion control algorithm: tcp(7).
    TCP_CONGESTION: SocketOption<String> = libc::TCP_CONGESTION;
    /// Send full segments only, for at most 200 ms: tcp(7).
    TCP_CORK: SocketOption<bool> = libc::TCP_CORK;
    /// Seconds to wait for data before a connection can be accepted: tcp(7).
    TCP_DEFER_ACCEPT: SocketOption<i32> = libc::TCP_DEFER_ACCEPT;
    /// Maximum delay of an acknowledgement in microseconds: Linux 6.15.
    TCP_DELACK_MAX_US: SocketOption<i32> = 46;
    /// Maximum number of pending connections that begin with data: tcp(7).
    TCP_FASTOPEN: SocketOption<i32> = libc::TCP_FASTOPEN;
    /// Send the first data of [`Socket::connect`](crate::Socket::connect) in the first packet, if
    /// the server has given a cookie before: Linux 4.11.
    TCP_FASTOPEN_CONNECT: SocketOption<bool> = libc::TCP_FASTOPEN_CONNECT;
    /// The key of the cookies of a listener, 16 bytes, or two keys, 32 bytes: Linux 4.15.
    TCP_FASTOPEN_KEY: SocketOption<Vec<u8>> = libc::TCP_FASTOPEN_KEY;
    /// Accept and send data in the first packet without a cookie: Linux 4.15.
    TCP_FASTOPEN_NO_COOKIE: SocketOption<bool> = libc::TCP_FASTOPEN_NO_COOKIE;
    /// The state of a connection and its counters: tcp(7).
    TCP_INFO: SocketOption<ReadOnly, TcpInfo> = libc::TCP_INFO;
    /// Receive the number of bytes left in the queue with each receive: Linux 4.18.
    TCP_INQ: SocketOption<bool> = libc::TCP_INQ;
    /// Whether the connection uses Multipath TCP, rather than plain TCP because the peer lacks it:
    /// Linux 6.9.
    TCP_IS_MPTCP: SocketOption<ReadOnly, bool> = 43;
    /// Number of unanswered keepalive probes after which the connection is lost: tcp(7).
    TCP_KEEPCNT: SocketOption<i32> = libc::TCP_KEEPCNT;
    /// Seconds without traffic before the first keepalive probe: tcp(7).
    TCP_KEEPIDLE: SocketOption<i32> = libc::TCP_KEEPIDLE;
    /// Seconds between keepalive probes: tcp(7).
    TCP_KEEPINTVL: SocketOption<i32> = libc::TCP_KEEPINTVL;
    /// Seconds that a closed socket waits in FIN-WAIT-2; -1 for not at all: tcp(7).
    TCP_LINGER2: SocketOption<i32> = libc::TCP_LINGER2;
    /// Maximum segment size in bytes: tcp(7).
    TCP_MAXSEG: SocketOption<i32> = libc::TCP_MAXSEG;
    /// Sign the segments to and from a peer: RFC 2385, Linux 2.6.20.
    TCP_MD5SIG: SocketOption<TcpMd5Key, WriteOnly> = libc::TCP_MD5SIG;
    /// [`TCP_MD5SIG`] for a network of peers and for one interface: Linux 4.13.
    TCP_MD5SIG_EXT: SocketOption<TcpMd5Key, WriteOnly> = libc::TCP_MD5SIG_EXT;
    /// Send small segments at once. Without it, a small segment waits until the one before it is
    /// acknowledged (RFC 896), which may take 40 ms: tcp(7).
    TCP_NODELAY: SocketOption<bool> = libc::TCP_NODELAY;
    /// Number of unsent bytes above which the socket is not writable: tcp(7).
    TCP_NOTSENT_LOWAT: SocketOption<i32> = libc::TCP_NOTSENT_LOWAT;
    /// The sequence number of the queue of [`TCP_REPAIR_QUEUE`]: Linux 3.5.
    TCP_QUEUE_SEQ: SocketOption<u32> = libc::TCP_QUEUE_SEQ;
    /// Acknowledge at once; the kernel may turn it off again: tcp(7).
    TCP_QUICKACK: SocketOption<bool> = libc::TCP_QUICKACK;
    /// Repair mode, in which a connection is restored from a checkpoint: 1 on, 0 off, -1 off
    /// without a window probe: Linux 3.5. Needs CAP_NET_ADMIN.
    TCP_REPAIR: SocketOption<i32> = libc::TCP_REPAIR;
    /// The negotiated TCP options of a connection in repair mode: Linux 3.5.
    TCP_REPAIR_OPTIONS: SocketOption<Vec<TcpRepairOption>, WriteOnly> = libc::TCP_REPAIR_OPTIONS;
    /// The queue of a connection in repair mode that is read or written: 0 none, 1 receive, 2 send:
    /// Linux 3.5.
    TCP_REPAIR_QUEUE: SocketOption<i32> = libc::TCP_REPAIR_QUEUE;
    /// The windows of a connection in repair mode: Linux 4.8.
    TCP_REPAIR_WINDOW: SocketOption<TcpRepairWindow> = libc::TCP_REPAIR_WINDOW;
    /// Maximum retransmission timeout in milliseconds, 1,000 to 120,000: Linux 6.15.
    TCP_RTO_MAX_MS: SocketOption<i32> = 44;
    /// Minimum retransmission timeout in microseconds: Linux 6.15.
    TCP_RTO_MIN_US: SocketOption<i32> = 45;
    /// The headers of the SYN of an accepted connection, which can be read once, if the listener
    /// has [`TCP_SAVE_SYN`]: Linux 4.3.
    TCP_SAVED_SYN: SocketOption<ReadOnly, Vec<u8>> = libc::TCP_SAVED_SYN;
    /// Keep the headers of the SYN of accepted connections: 1 from the IP header on, 2 from the
    /// link header on: Linux 4.3.
    TCP_SAVE_SYN: SocketOption<i32> = libc::TCP_SAVE_SYN;
    /// Number of connection attempts (SYN retransmissions): tcp(7).
    TCP_SYNCNT: SocketOption<i32> = libc::TCP_SYNCNT;
    /// Without effect since Linux 4.15.
    TCP_THIN_DUPACK: SocketOption<bool> = libc::TCP_THIN_DUPACK;
    /// Retransmit at constant intervals if few segments are in flight: Linux 2.6.34.
    TCP_THIN_LINEAR_TIMEOUTS: SocketOption<bool> = libc::TCP_THIN_LINEAR_TIMEOUTS;
    /// The current value of the TCP timestamp option; it can be set in repair mode only: Linux 3.9.
    TCP_TIMESTAMP: SocketOption<u32> = libc::TCP_TIMESTAMP;
    /// Delay of sent packets in microseconds, for tests, if the queueing discipline is fq: Linux
    /// 5.3.
    TCP_TX_DELAY: SocketOption<i32> = 37;
    /// The upper-layer protocol, such as `tls`, which cannot be removed: Linux 4.13.
    TCP_ULP: SocketOption<String> = libc::TCP_ULP;
    /// Milliseconds that sent data may stay unacknowledged before the connection is lost: tcp(7).
    TCP_USER_TIMEOUT: SocketOption<i32> = libc::TCP_USER_TIMEOUT;
    /// Maximum advertised window in bytes: tcp(7).
    TCP_WINDOW_CLAMP: SocketOption<i32> = libc::TCP_WINDOW_CLAMP;
}
