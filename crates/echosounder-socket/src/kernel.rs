//! What this kernel has beside its sockets, found out by trying. An error says why it is not to be had.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

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

/// The VSOCK context id of this machine: vsock(7). On a host without guests it may be that of the host, 2, or any.
///
/// # Errors
///
/// ENOENT if there is no /dev/vsock, EACCES if this process may not open it.
pub fn vsock_cid() -> io::Result<u32> {
    sys::kernel::local_cid(File::open("/dev/vsock")?.as_fd())
}

/// Where the times of packets can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceTimestamping {
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
pub fn interface_timestamping(interface: &str) -> io::Result<InterfaceTimestamping> {
    let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    let bits = sys::kernel::timestamping(socket.as_fd(), &CString::new(interface)?)?;
    let has = |bit: libc::c_uint| bits & bit != 0;
    Ok(InterfaceTimestamping {
        software_send: has(libc::SOF_TIMESTAMPING_TX_SOFTWARE),
        software_receive: has(libc::SOF_TIMESTAMPING_RX_SOFTWARE),
        hardware_send: has(libc::SOF_TIMESTAMPING_TX_HARDWARE),
        hardware_receive: has(libc::SOF_TIMESTAMPING_RX_HARDWARE),
    })
}

/// How good this machine's clock is, as far as the kernel has been told: adjtimex(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// Whether something keeps it in step with UTC: STA_UNSYNC is not set.
    pub synchronized: bool,
    /// How far off it may be at most. It grows while nothing corrects the clock.
    pub error_max: Duration,
}

/// How good this machine's clock is.
///
/// # Errors
///
/// As adjtimex(2): a filter forbids the call.
#[doc(alias = "adjtimex")]
pub fn clock_state() -> io::Result<ClockState> {
    let time = sys::kernel::adjtimex()?;
    let micros = u64::try_from(time.maxerror).unwrap_or(0);
    Ok(ClockState {
        synchronized: time.status & libc::STA_UNSYNC == 0,
        error_max: Duration::from_micros(micros),
    })
}
