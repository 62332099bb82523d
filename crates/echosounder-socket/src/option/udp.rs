//! Options of UDP: SOL_UDP, udp(7). The numbers are those of linux/udp.h.

use super::value::{SocketOption, options};

options! {
    level libc::SOL_UDP;
    /// Receive several datagrams of one size as one: udp(7), Linux 5.0.
    UDP_GRO: SocketOption<bool> = libc::UDP_GRO;
    /// Cut sends into datagrams of this many bytes: udp(7), Linux 4.18.
    UDP_SEGMENT: SocketOption<i32> = libc::UDP_SEGMENT;
}
