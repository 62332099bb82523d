//! What this kernel has beside its sockets, found out by trying. An error says why it is not to be had.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use crate::family::{Family, Protocol, Type};
use crate::socket::Socket;
use crate::sys;

/// Makes a ring and lets it go: io_uring_setup(2).
///
/// # Errors
///
/// ENOSYS if there is none, EPERM if kernel.io_uring_disabled or a filter forbids it.
pub fn io_uring() -> io::Result<()> {
    sys::kernel::io_uring_setup().map(drop)
}

/// The version of Landlock's interface: landlock(7).
///
/// # Errors
///
/// ENOSYS or EOPNOTSUPP if there is none.
pub fn landlock() -> io::Result<i64> {
    sys::kernel::landlock_version()
}

/// Whether filters of system calls can refuse them with an error: seccomp(2).
///
/// # Errors
///
/// ENOSYS or EOPNOTSUPP if they cannot.
pub fn seccomp() -> io::Result<()> {
    sys::kernel::seccomp_action(libc::SECCOMP_RET_ERRNO)
}

/// Where the times of packets can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamping {
    /// By the kernel, when a packet is handed to the interface.
    pub software_send: bool,
    /// By the kernel, when a packet comes from the interface.
    pub software_receive: bool,
    /// By the interface itself, when a packet leaves.
    pub hardware_send: bool,
    /// By the interface itself, when a packet arrives.
    pub hardware_receive: bool,
}

/// Where an interface's packets can get their times: ETHTOOL_GET_TS_INFO, the kernel's timestamping document.
///
/// # Errors
///
/// As ioctl(2): there is no such interface, or it does not say.
pub fn timestamping(interface: &str) -> io::Result<Timestamping> {
    let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    let bits = sys::kernel::timestamping(socket.as_fd(), &CString::new(interface)?)?;
    let has = |bit: libc::c_uint| bits & bit != 0;
    Ok(Timestamping {
        software_send: has(libc::SOF_TIMESTAMPING_TX_SOFTWARE),
        software_receive: has(libc::SOF_TIMESTAMPING_RX_SOFTWARE),
        hardware_send: has(libc::SOF_TIMESTAMPING_TX_HARDWARE),
        hardware_receive: has(libc::SOF_TIMESTAMPING_RX_HARDWARE),
    })
}
