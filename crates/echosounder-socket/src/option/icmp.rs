//! Options of raw ICMP sockets: SOL_RAW, raw(7). The number is that of linux/icmp.h.

use super::value::{SocketOption, options};

options! {
    level libc::SOL_RAW;
    /// The types of ICMP messages, as a set of bits, that a raw socket does not receive: raw(7).
    /// The level is SOL_RAW.
    ICMP_FILTER: SocketOption<u32> = 1;
}
