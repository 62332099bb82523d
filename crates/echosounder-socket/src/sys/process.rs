//! Calls that concern the process: signals, limits, user ids.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::sigmask::SignalSet;
use super::{check, is_missing, length};

/// Returns whether the disposition of a signal is SIG_IGN.
pub(crate) fn is_ignored(signal: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the pointer to a new action is null, and `action` has the size of the present one.
    check(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the call has initialised it.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

/// Makes the whole process ignore a signal: SIG_IGN.
pub(crate) fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_IGN installs no handler.
    match unsafe { libc::signal(signal, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes a capability from the calling thread: capset(2).
pub(crate) fn drop_capability(number: u32) -> io::Result<()> {
    /// The version of these structures: linux/capability.h.
    const VERSION_3: u32 = 0x2008_0522;
    // `struct __user_cap_header_struct`: the version, and 0 for this thread.
    let mut header = [VERSION_3, 0];
    // Two of `struct __user_cap_data_struct`, with 32 bits of the effective, permitted and inheritable
    // set each.
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: the call reads and writes the header and the sets, which have the lengths of this version.
    check_syscall(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) })?;
    if let Some(sets) = sets.get_mut(number as usize / 32) {
        sets.iter_mut().for_each(|set| *set &= !(1 << (number % 32)));
    }
    // SAFETY: the call reads the header and the sets, which have the lengths of this version.
    check_syscall(unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) })
}

fn check_syscall(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn signalfd(set: &SignalSet) -> io::Result<OwnedFd> {
    // SAFETY: the set outlives the call.
    match check(unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }) {
        Err(error) if is_missing(&error) => signalfd_without_flags(set).ok_or(error),
        // SAFETY: the kernel has just created this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd?) }),
    }
}

/// The predecessor of signalfd4(2), which newer architectures lack.
#[cfg(target_arch = "x86_64")]
fn signalfd_without_flags(set: &SignalSet) -> Option<OwnedFd> {
    use std::os::fd::AsFd;

    use super::socket;

    // The kernel's signal set has 64 bits.
    const SET_SIZE: usize = 8;
    // SAFETY: the set is at least as long as the length passed to the call, and outlives it.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd, -1, set.as_ptr(), SET_SIZE) };
    let fd = libc::c_int::try_from(fd).ok().filter(|fd| 0 <= *fd)?;
    // SAFETY: the kernel has just created this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    socket::set_inheritable(fd.as_fd(), false).ok()?;
    socket::set_nonblocking(fd.as_fd(), true).ok()?;
    Some(fd)
}

#[cfg(not(target_arch = "x86_64"))]
fn signalfd_without_flags(_: &SignalSet) -> Option<OwnedFd> {
    None
}

/// Returns the number of the next pending signal of a signalfd.
pub(crate) fn read_signal(fd: BorrowedFd<'_>) -> io::Result<i32> {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: `record` has the length passed to the call.
    let read = length(unsafe { libc::read(fd.as_raw_fd(), record.as_mut_ptr().cast(), record.len()) })?;
    // The number is the record's first field (signalfd(2)); the kernel writes whole records.
    match record.first_chunk() {
        Some(number) if read == record.len() => Ok(i32::from_ne_bytes(*number)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(crate) fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // A number that does not fit a pid would address a process group or all processes.
    let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| 0 < pid).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Returns the soft and the hard limit of open descriptors.
pub(crate) fn fd_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes `limit`, which outlives it.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

pub(crate) fn set_fd_limit(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the call reads `limit`, which outlives it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}

/// Returns the timer slack of this thread in nanoseconds.
pub(crate) fn timer_slack() -> io::Result<u64> {
    // SAFETY: the call takes no pointers.
    let slack = check(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) })?;
    Ok(u64::try_from(slack).unwrap_or(0))
}

pub(crate) fn set_timer_slack(nanos: u64) -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) }).map(drop)
}

pub(crate) fn effective_user_id() -> u32 {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}
