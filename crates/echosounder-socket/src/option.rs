//! Socket options, by the names that the kernel gives them.
//!
//! ```
//! use echosounder_socket::{Socket, Transport, option};
//!
//! let (one, _other) = Socket::pair(Transport::UnixStream)?;
//! one.set_option(option::SO_RCVBUF, 65536)?;
//! assert!(65536 <= one.option(option::SO_RCVBUF)?);
//! # Ok::<(), std::io::Error>(())
//! ```

/// An option whose value is an integer: its level and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntOption {
    pub(crate) level: i32,
    pub(crate) name: i32,
}

const fn of(level: i32, name: i32) -> IntOption {
    IntOption { level, name }
}

/// Receive what is sent to any group that somebody on this host has joined, 0 or 1: ip(7). On by default.
pub const IP_MULTICAST_ALL: IntOption = of(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL);
/// Tell with each datagram which address it was sent to, 0 or 1: ip(7).
pub const IP_PKTINFO: IntOption = of(libc::IPPROTO_IP, libc::IP_PKTINFO);
/// The same as [`IP_MULTICAST_ALL`] for IPv6 (Linux 4.20).
pub const IPV6_MULTICAST_ALL: IntOption = of(libc::IPPROTO_IPV6, 29);
/// Tell with each datagram which address it was sent to, 0 or 1: ipv6(7).
pub const IPV6_RECVPKTINFO: IntOption = of(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO);
/// Take no IPv4 traffic on an IPv6 socket, 0 or 1: ipv6(7).
pub const IPV6_V6ONLY: IntOption = of(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
/// Probe an idle peer, 0 or 1: socket(7).
pub const SO_KEEPALIVE: IntOption = of(libc::SOL_SOCKET, libc::SO_KEEPALIVE);
/// Bytes of the receive buffer; the kernel doubles what is set, up to rmem_max: socket(7).
pub const SO_RCVBUF: IntOption = of(libc::SOL_SOCKET, libc::SO_RCVBUF);
/// Let a bound address be used again that only connections in TIME_WAIT use, 0 or 1: socket(7).
pub const SO_REUSEADDR: IntOption = of(libc::SOL_SOCKET, libc::SO_REUSEADDR);
/// Share the address with other sockets of this user that set it too, 0 or 1: socket(7).
pub const SO_REUSEPORT: IntOption = of(libc::SOL_SOCKET, libc::SO_REUSEPORT);
/// Tell with each datagram how many were dropped for want of buffer, 0 or 1: socket(7).
pub const SO_RXQ_OVFL: IntOption = of(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
/// Bytes of the send buffer; the kernel doubles what is set, up to wmem_max: socket(7).
pub const SO_SNDBUF: IntOption = of(libc::SOL_SOCKET, libc::SO_SNDBUF);
/// Send small segments at once, 0 or 1: tcp(7).
pub const TCP_NODELAY: IntOption = of(libc::IPPROTO_TCP, libc::TCP_NODELAY);
/// Bytes not yet sent above which a socket is not writable: tcp(7).
pub const TCP_NOTSENT_LOWAT: IntOption = of(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
/// Milliseconds that sent data may stay unacknowledged before the connection is given up: tcp(7).
pub const TCP_USER_TIMEOUT: IntOption = of(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
/// Seconds of silence after which an idle peer is probed: tcp(7).
pub const TCP_KEEPIDLE: IntOption = of(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
/// Seconds between two probes of an idle peer: tcp(7).
pub const TCP_KEEPINTVL: IntOption = of(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
