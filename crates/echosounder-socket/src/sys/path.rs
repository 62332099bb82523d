//! References to files: open(2) with O_PATH.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;

use super::check;

/// Opens a reference to the file at a path, without following a symbolic link there.
///
/// The standard library ignores O_PATH with musl, which counts it among the access modes.
pub(crate) fn open(path: &[u8]) -> io::Result<File> {
    let path = CString::new(path)?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the path ends in NUL and outlives the call.
    let fd = check(unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { File::from_raw_fd(fd) })
}
