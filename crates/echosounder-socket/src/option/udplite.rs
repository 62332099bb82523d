//! Options of UDP-Lite: SOL_UDPLITE, udplite(7).

use super::value::{SocketOption, options};

/// The level of the options: IPPROTO_UDPLITE of linux/in.h.
const SOL_UDPLITE: i32 = libc::IPPROTO_UDPLITE;

options! {
    level SOL_UDPLITE;
    /// Minimum number of bytes that the checksum of a received datagram must cover: udplite(7).
    UDPLITE_RECV_CSCOV: SocketOption<i32> = 11;
    /// Number of bytes that the checksum of a sent datagram covers; 0 for all: udplite(7).
    UDPLITE_SEND_CSCOV: SocketOption<i32> = 10;
}
