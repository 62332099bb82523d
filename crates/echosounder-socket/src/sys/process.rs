//! Signals and limits: what concerns the process rather than a socket.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::{check, is_missing, length};

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn of(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `set` is room for one signal set.
        check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        // SAFETY: sigemptyset(3) has made it a set.
        let mut set = unsafe { set.assume_init() };
        for &signal in signals {
            // SAFETY: `set` is a signal set.
            check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
        }
        Ok(Self(set))
    }

    fn as_ptr(&self) -> *const libc::sigset_t {
        &raw const self.0
    }
}

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalSet")
    }
}

/// Changes this thread's signal mask; `how` is SIG_BLOCK or SIG_UNBLOCK.
pub(crate) fn change_mask(how: i32, set: &SignalSet) -> io::Result<()> {
    // SAFETY: the set outlives the call, and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const set.0, ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Whether a signal's disposition is SIG_IGN.
pub(crate) fn is_ignored(signal: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no new action is given, and `action` is room for the present one.
    check(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the call has filled it in.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

/// Lets the whole process ignore a signal: SIG_IGN.
pub(crate) fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: no handler is set that could run.
    match unsafe { libc::signal(signal, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

pub(crate) fn signalfd(set: &SignalSet) -> io::Result<OwnedFd> {
    // SAFETY: the set outlives the call.
    match check(unsafe { libc::signalfd(-1, &raw const set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }) {
        Err(error) if is_missing(&error) => signalfd_without_flags(set).ok_or(error),
        // SAFETY: the kernel has just made this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd?) }),
    }
}

/// The call that came before signalfd4(2). Newer architectures do not have it.
#[cfg(target_arch = "x86_64")]
fn signalfd_without_flags(set: &SignalSet) -> Option<OwnedFd> {
    use std::os::fd::AsFd;

    use super::socket;

    // The kernel's own set has a bit for each of 64 signals.
    const SET_SIZE: usize = 8;
    // SAFETY: the set is longer than it is said to be, and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd, -1, &raw const set.0, SET_SIZE) };
    let fd = libc::c_int::try_from(fd).ok().filter(|fd| 0 <= *fd)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    socket::set_inheritable(fd.as_fd(), false).ok()?;
    socket::set_nonblocking(fd.as_fd(), true).ok()?;
    Some(fd)
}

#[cfg(not(target_arch = "x86_64"))]
fn signalfd_without_flags(_: &SignalSet) -> Option<OwnedFd> {
    None
}

/// The number of the next signal that waits on a signalfd.
pub(crate) fn read_signal(fd: BorrowedFd<'_>) -> io::Result<i32> {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: `record` is room for as many bytes as the call is told.
    let read = length(unsafe { libc::read(fd.as_raw_fd(), record.as_mut_ptr().cast(), record.len()) })?;
    // The number is the record's first field (signalfd(2)); the kernel writes whole records.
    match record.first_chunk() {
        Some(number) if read == record.len() => Ok(i32::from_ne_bytes(*number)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(crate) fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // A number that is no process's would mean a group, or everybody.
    let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| 0 < pid).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// The soft and the hard limit of open descriptors.
pub(crate) fn fd_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is room for what the call writes.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

pub(crate) fn set_fd_limit(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is read by the call and outlives it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}

pub(crate) fn set_timer_slack(nanos: u64) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) }).map(drop)
}

pub(crate) fn effective_user_id() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Calls something that may raise SIGPIPE in this thread, of which nothing is left afterwards.
pub(crate) fn without_sigpipe<T>(call: impl FnOnce() -> T) -> io::Result<T> {
    let pipe = SignalSet::of(&[libc::SIGPIPE])?;
    // A signal that waits already is somebody else's.
    if is_pending()? {
        return Ok(call());
    }
    let before = block(&pipe)?;
    let result = call();
    while is_pending()? {
        let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time outlive the call, and nothing is asked about the signal.
        if unsafe { libc::sigtimedwait(pipe.as_ptr(), ptr::null_mut(), &raw const no_time) } == -1 {
            break;
        }
    }
    if !before {
        change_mask(libc::SIG_UNBLOCK, &pipe)?;
    }
    Ok(result)
}

/// Whether SIGPIPE waits for this thread or process.
fn is_pending() -> io::Result<bool> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` is room for one signal set.
    check(unsafe { libc::sigpending(set.as_mut_ptr()) })?;
    // SAFETY: sigpending(2) has made it a set.
    let set = unsafe { set.assume_init() };
    // SAFETY: `set` is a signal set.
    Ok(unsafe { libc::sigismember(&raw const set, libc::SIGPIPE) } == 1)
}

/// Blocks signals, and returns whether SIGPIPE was blocked before.
fn block(signals: &SignalSet) -> io::Result<bool> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the set outlives the call, and `before` is room for another.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), before.as_mut_ptr()) } {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)),
    }
    // SAFETY: pthread_sigmask(3) has made it a set.
    let before = unsafe { before.assume_init() };
    // SAFETY: `before` is a signal set.
    Ok(unsafe { libc::sigismember(&raw const before, libc::SIGPIPE) } == 1)
}
