//! Options of SCTP: IPPROTO_SCTP, sctp(7) and RFC 6458. The numbers are those of linux/sctp.h.

use super::value::{SocketOption, options};

options! {
    level libc::IPPROTO_SCTP;
    /// Send small messages at once: sctp(7).
    SCTP_NODELAY: SocketOption<bool> = libc::SCTP_NODELAY;
}
