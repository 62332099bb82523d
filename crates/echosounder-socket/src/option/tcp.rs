//! Options of TCP: IPPROTO_TCP, tcp(7). The numbers are those of linux/tcp.h.

use super::value::{SocketOption, options};

options! {
    level libc::IPPROTO_TCP;
    /// The congestion control algorithm: tcp(7).
    TCP_CONGESTION: SocketOption<String> = libc::TCP_CONGESTION;
    /// Send full segments only, for at most 200 ms: tcp(7).
    TCP_CORK: SocketOption<bool> = libc::TCP_CORK;
    /// Seconds to wait for data before a connection can be accepted: tcp(7).
    TCP_DEFER_ACCEPT: SocketOption<i32> = libc::TCP_DEFER_ACCEPT;
    /// Maximum number of pending connections that begin with data: tcp(7).
    TCP_FASTOPEN: SocketOption<i32> = libc::TCP_FASTOPEN;
    /// Number of unanswered keepalive probes after which the connection is lost: tcp(7).
    TCP_KEEPCNT: SocketOption<i32> = libc::TCP_KEEPCNT;
    /// Seconds without traffic before the first keepalive probe: tcp(7).
    TCP_KEEPIDLE: SocketOption<i32> = libc::TCP_KEEPIDLE;
    /// Seconds between keepalive probes: tcp(7).
    TCP_KEEPINTVL: SocketOption<i32> = libc::TCP_KEEPINTVL;
    /// Maximum segment size in bytes: tcp(7).
    TCP_MAXSEG: SocketOption<i32> = libc::TCP_MAXSEG;
    /// Send small segments at once: tcp(7).
    TCP_NODELAY: SocketOption<bool> = libc::TCP_NODELAY;
    /// Number of unsent bytes above which the socket is not writable: tcp(7).
    TCP_NOTSENT_LOWAT: SocketOption<i32> = libc::TCP_NOTSENT_LOWAT;
    /// Acknowledge at once; the kernel may turn it off again: tcp(7).
    TCP_QUICKACK: SocketOption<bool> = libc::TCP_QUICKACK;
    /// Number of connection attempts (SYN retransmissions): tcp(7).
    TCP_SYNCNT: SocketOption<i32> = libc::TCP_SYNCNT;
    /// The upper-layer protocol, such as `tls`, which cannot be removed: Linux 4.13.
    TCP_ULP: SocketOption<String> = libc::TCP_ULP;
    /// Milliseconds that sent data may stay unacknowledged before the connection is lost: tcp(7).
    TCP_USER_TIMEOUT: SocketOption<i32> = libc::TCP_USER_TIMEOUT;
}
