//! sendfile(2), which has no flag against SIGPIPE.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::length;

/// Sends at most `count` bytes of a file from `offset` and returns how many were sent. The position
/// of the file does not change.
pub(crate) fn sendfile(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer points to the offset, which the call reads and writes.
    length(unsafe { libc::sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut offset, count) })
}

/// Returns the length of a file according to fstat(2), which is 0 for files without one, as in
/// /proc.
pub(crate) fn size(file: BorrowedFd<'_>) -> io::Result<u64> {
    let mut about = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` has the size of the structure that the call writes.
    super::check(unsafe { libc::fstat(file.as_raw_fd(), about.as_mut_ptr()) })?;
    // SAFETY: fstat(2) has initialised it.
    let about = unsafe { about.assume_init() };
    Ok(u64::try_from(about.st_size).unwrap_or(0))
}

/// Reads a file at an offset: pread(2).
pub(crate) fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `buffer` has the length passed to the call.
    length(unsafe { libc::pread(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset) })
}
