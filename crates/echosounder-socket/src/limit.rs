//! How many descriptors a process may have, how large its files may be, and how exactly its threads are woken.

use std::io;

use crate::sys;

/// The soft limit of most systems, which is taken for ours where a sandbox does not let us ask.
const USUAL_FD_LIMIT: u64 = 1024;

/// Raises the limit of open descriptors as far as the process may, and returns it: RLIMIT_NOFILE, getrlimit(2).
///
/// This changes the whole process for good, and the programs that it executes later. Code that uses select(2) fails with
/// descriptors from 1024 on, and code that closes every possible descriptor takes longer.
///
/// # Errors
///
/// As getrlimit(2), unless a seccomp filter refuses the call: then nothing is raised.
#[doc(alias = "RLIMIT_NOFILE")]
pub fn raise_fd_limit() -> io::Result<u64> {
    let (soft, hard) = match sys::process::fd_limit() {
        Err(error) if sys::is_missing(&error) => return Ok(USUAL_FD_LIMIT),
        limits => limits?,
    };
    if soft < hard && sys::process::set_fd_limit(hard, hard).is_ok() {
        return Ok(hard);
    }
    Ok(soft)
}

/// Lets a write beyond the limit of file sizes (RLIMIT_FSIZE, getrlimit(2)) fail with EFBIG, instead of ending the process
/// by SIGXFSZ.
///
/// This changes the whole process for good, and the programs that it executes later.
///
/// # Errors
///
/// As signal(2).
#[doc(alias = "SIGXFSZ")]
#[doc(alias = "RLIMIT_FSIZE")]
pub fn ignore_file_size_signal() -> io::Result<()> {
    sys::process::ignore(libc::SIGXFSZ)
}

/// Lets the waits of this thread end when their time is up, rather than up to 50 µs later, for the price of more
/// interrupts: PR_SET_TIMERSLACK, prctl(2).
///
/// The thread stays so until it ends, whatever it does next, and so do the threads that it makes.
///
/// # Errors
///
/// As prctl(2).
#[doc(alias = "PR_SET_TIMERSLACK")]
pub fn set_timer_slack() -> io::Result<()> {
    sys::process::set_timer_slack(1)
}
