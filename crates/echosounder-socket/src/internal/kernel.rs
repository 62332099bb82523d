//! Features of the running kernel other than sockets. Each function tries one; an error is the
//! reason why it is absent.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::family::{Family, Protocol, Type};
use crate::socket::Socket;
use crate::sys;

/// Checks for io_uring, by creating a ring: io_uring_setup(2).
///
/// # Errors
///
/// ENOSYS if the kernel lacks it, EPERM if kernel.io_uring_disabled or a seccomp filter forbids it.
pub fn io_uring() -> io::Result<()> {
    sys::kernel::io_uring_setup().map(drop)
}

/// Returns the version of the Landlock interface: landlock(7).
///
/// # Errors
///
/// ENOSYS or EOPNOTSUPP if the kernel lacks it.
pub fn landlock() -> io::Result<i64> {
    sys::kernel::landlock_version()
}

/// Checks whether seccomp filters can make system calls fail with an error: SECCOMP_RET_ERRNO,
/// seccomp(2).
///
/// # Errors
///
/// ENOSYS or EOPNOTSUPP if the kernel lacks it.
pub fn seccomp() -> io::Result<()> {
    sys::kernel::seccomp_action(libc::SECCOMP_RET_ERRNO)
}

/// The packet timestamps that a network interface supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceTimestamping {
    /// The kernel timestamps packets when it passes them to the interface.
    pub software_send: bool,
    /// The kernel timestamps packets when it gets them from the interface.
    pub software_receive: bool,
    /// The interface timestamps packets that it sends.
    pub hardware_send: bool,
    /// The interface timestamps packets that it receives.
    pub hardware_receive: bool,
}

/// Returns the packet timestamps that an interface supports: ETHTOOL_GET_TS_INFO, the kernel's
/// timestamping document.
///
/// # Errors
///
/// As ioctl(2): ENODEV if the interface does not exist, EOPNOTSUPP if its driver does not answer
/// the request.
pub fn interface_timestamping(interface: impl AsRef<OsStr>) -> io::Result<InterfaceTimestamping> {
    let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    let bits = sys::kernel::timestamping(socket.as_fd(), &CString::new(interface.as_ref().as_bytes())?)?;
    let has = |bit: libc::c_uint| bits & bit != 0;
    Ok(InterfaceTimestamping {
        software_send: has(libc::SOF_TIMESTAMPING_TX_SOFTWARE),
        software_receive: has(libc::SOF_TIMESTAMPING_RX_SOFTWARE),
        hardware_send: has(libc::SOF_TIMESTAMPING_TX_HARDWARE),
        hardware_receive: has(libc::SOF_TIMESTAMPING_RX_HARDWARE),
    })
}

/// The state of the system clock, as the kernel knows it: adjtimex(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// Whether a time service keeps the clock synchronised: STA_UNSYNC is not set.
    pub synchronized: bool,
    /// Maximum error of the clock. It grows while no time service corrects the clock.
    pub error_max: Duration,
}

/// Returns the state of the system clock: adjtimex(2).
///
/// # Errors
///
/// EPERM if a seccomp filter forbids the call.
#[doc(alias = "adjtimex")]
pub fn clock_state() -> io::Result<ClockState> {
    let time = sys::kernel::adjtimex()?;
    let micros = u64::try_from(time.maxerror).unwrap_or(0);
    Ok(ClockState {
        synchronized: time.status & libc::STA_UNSYNC == 0,
        error_max: Duration::from_micros(micros),
    })
}
