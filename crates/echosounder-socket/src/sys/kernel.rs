//! Queries for kernel features other than sockets.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::check;

/// Creates a ring: io_uring_setup(2).
pub(crate) fn io_uring_setup() -> io::Result<OwnedFd> {
    // `struct io_uring_params` has 120 bytes, which the call reads and writes.
    let mut params = [0_u64; 15];
    // SAFETY: `params` has the length of the structure that the call reads and writes.
    let fd = raw(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) })?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns the version of Landlock: landlock_create_ruleset(2).
pub(crate) fn landlock_version() -> io::Result<i64> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes.
    raw(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0_usize, VERSION) })
}

/// Checks whether a seccomp filter may return an action: seccomp(2).
pub(crate) fn seccomp_action(action: u32) -> io::Result<()> {
    // SAFETY: the pointer points to the action, which the call reads.
    raw(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) })
        .map(drop)
}

/// Returns the state of the kernel's clock without changing it.
pub(crate) fn adjtimex() -> io::Result<libc::timex> {
    // SAFETY: the structure consists of integers, and zeros request no change.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the call reads and writes `time`. It returns the state of the clock, or -1.
    check(unsafe { libc::adjtimex(&raw mut time) })?;
    Ok(time)
}

/// `struct ethtool_ts_info`, linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct TimestampInfo {
    command: u32,
    so_timestamping: u32,
    clock_index: i32,
    tx_types: u32,
    tx_reserved: [u32; 3],
    rx_filters: u32,
    rx_reserved: [u32; 3],
}

const _: () = assert!(size_of::<TimestampInfo>() == 44);

/// Returns the SOF_TIMESTAMPING flags that an interface supports: ETHTOOL_GET_TS_INFO.
pub(crate) fn timestamping(socket: BorrowedFd<'_>, interface: &CStr) -> io::Result<u32> {
    const ETHTOOL_GET_TS_INFO: u32 = 0x41;
    let mut info = TimestampInfo { command: ETHTOOL_GET_TS_INFO, ..TimestampInfo::default() };
    if libc::IF_NAMESIZE <= interface.to_bytes().len() {
        // The kernel truncates a longer name and would find another interface.
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let mut name = [0; libc::IF_NAMESIZE];
    for (place, byte) in name.iter_mut().zip(interface.to_bytes()) {
        // C characters are signed on x86-64 and unsigned on aarch64, riscv64, ppc64le and s390x.
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut info).cast() },
    };
    // SAFETY: the request contains a name and a pointer to the structure that the call writes.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) })?;
    Ok(info.so_timestamping)
}

/// Returns the context id of this machine, from an open /dev/vsock: IOCTL_VM_SOCKETS_GET_LOCAL_CID,
/// linux/vm_sockets.h.
pub(crate) fn local_cid(device: BorrowedFd<'_>) -> io::Result<u32> {
    const IOCTL_VM_SOCKETS_GET_LOCAL_CID: libc::Ioctl = 0x7b9;
    let mut cid = 0_u32;
    // SAFETY: the call writes the number, which outlives it.
    check(unsafe { libc::ioctl(device.as_raw_fd(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &raw mut cid) })?;
    Ok(cid)
}

fn raw(result: libc::c_long) -> io::Result<i64> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
