//! The system calls, as safe functions over borrowed descriptors: the one place with `unsafe`.
//!
//! Every `unsafe` block holds one operation and says why it is sound. Nothing here interprets a result; what
//! the kernel says comes back as it is.

pub(crate) mod batch;
pub(crate) mod interface;
pub(crate) mod kernel;
pub(crate) mod message;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod sendfile;
pub(crate) mod service;
pub(crate) mod socket;

use std::io;

/// Turns the kernel's -1 into the error behind it.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that return a length.
fn length(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Whether a system call is missing: the kernel does not know it (ENOSYS), or a seccomp filter that does not know it
/// refuses it. The default filters of older container runtimes answer EPERM then.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}
