//! Options of VSOCK: vsock(7). The level is AF_VSOCK, the numbers are those of linux/vm_sockets.h.

use std::time::Duration;

use super::value::{SocketOption, options};

options! {
    level libc::AF_VSOCK;
    /// Maximum of [`SO_VM_SOCKETS_BUFFER_SIZE`] in bytes: linux/vm_sockets.h.
    SO_VM_SOCKETS_BUFFER_MAX_SIZE: SocketOption<u64> = 2;
    /// Minimum of [`SO_VM_SOCKETS_BUFFER_SIZE`] in bytes: linux/vm_sockets.h.
    SO_VM_SOCKETS_BUFFER_MIN_SIZE: SocketOption<u64> = 1;
    /// Receive buffer of a VSOCK stream in bytes: linux/vm_sockets.h.
    SO_VM_SOCKETS_BUFFER_SIZE: SocketOption<u64> = 0;
    /// Timeout of a VSOCK connect: linux/vm_sockets.h.
    SO_VM_SOCKETS_CONNECT_TIMEOUT: SocketOption<Duration> = 6;
}
