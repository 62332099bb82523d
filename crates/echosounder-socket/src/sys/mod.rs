//! System calls as safe functions over borrowed descriptors. All `unsafe` code of the project is
//! here.
//!
//! Every `unsafe` block contains one operation and says why it is sound. These functions return the
//! kernel's results unchanged; the modules above interpret them.

// Miri has no sockets for its test.
#[cfg(all(test, not(miri)))]
mod allocation;
pub(crate) mod batch;
pub(crate) mod interface;
pub(crate) mod kernel;
pub(crate) mod message;
pub(crate) mod option;
pub(crate) mod path;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod raw_fd;
pub(crate) mod sendfile;
pub(crate) mod service;
pub(crate) mod sigmask;
pub(crate) mod sigsys;
pub(crate) mod socket;
mod unchecked;

use std::io;

/// Converts a result of -1 to the error in `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Converts a result of -1 to the error in `errno`, for calls that return a length.
fn length(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Returns whether a system call is missing: the kernel lacks it (ENOSYS), or a seccomp filter
/// refuses it. The default filters of older container runtimes return EPERM for calls that they do
/// not know.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}
