//! sendfile(2), which cannot be told not to raise SIGPIPE.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::length;

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
