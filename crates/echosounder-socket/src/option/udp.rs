//! Options of UDP: SOL_UDP, udp(7). The numbers are those of linux/udp.h.

use super::value::{SocketOption, options};

options! {
    level libc::SOL_UDP;
    /// Collect the data of several sends in one datagram until the option is turned off: udp(7).
    UDP_CORK: SocketOption<bool> = libc::UDP_CORK;
    /// Pass encapsulated packets to another protocol, such as 2 for ESP (RFC 3948): udp(7).
    UDP_ENCAP: SocketOption<i32> = libc::UDP_ENCAP;
    /// Receive several datagrams of one size as one, of up to 65,535 bytes, which the buffer must
    /// hold: udp(7), Linux 5.0. See [`Datagram::segments`](crate::Datagram::segments).
    UDP_GRO: SocketOption<bool> = libc::UDP_GRO;
    /// Accept datagrams over IPv6 without a checksum: Linux 3.16, RFC 6935.
    UDP_NO_CHECK6_RX: SocketOption<bool> = libc::UDP_NO_CHECK6_RX;
    /// Send datagrams over IPv6 without a checksum: Linux 3.16, RFC 6935.
    UDP_NO_CHECK6_TX: SocketOption<bool> = libc::UDP_NO_CHECK6_TX;
    /// Cut sends into datagrams of this many bytes: udp(7), Linux 4.18.
    UDP_SEGMENT: SocketOption<i32> = libc::UDP_SEGMENT;
}
