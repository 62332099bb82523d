//! sendfile(2), which is the one way to write to a socket that cannot be told not to raise SIGPIPE.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::length;
use super::process::{SignalSet, change_mask};

/// Sends at most `count` bytes of a file from `offset`, and returns how many. The file's own position stays.
pub(crate) fn sendfile(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer leads to the offset, which the call reads and changes.
    length(unsafe { libc::sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut offset, count) })
}

/// How long a file says that it is; some say nothing, which is 0.
pub(crate) fn size(file: BorrowedFd<'_>) -> io::Result<u64> {
    let mut about = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` is room for what the call writes.
    super::check(unsafe { libc::fstat(file.as_raw_fd(), about.as_mut_ptr()) })?;
    // SAFETY: fstat(2) has written it.
    let about = unsafe { about.assume_init() };
    Ok(u64::try_from(about.st_size).unwrap_or(0))
}

/// Reads a file at an offset: pread(2).
pub(crate) fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `buffer` is room for as many bytes as the call is told.
    length(unsafe { libc::pread(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset) })
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
    super::check(unsafe { libc::sigpending(set.as_mut_ptr()) })?;
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
