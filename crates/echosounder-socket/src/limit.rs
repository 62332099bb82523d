//! Process-wide settings: the descriptor limit, the file size limit and the timer slack.

use std::io;

use crate::sys;

/// The soft limit of most systems, assumed if a sandbox refuses the query.
const USUAL_FD_LIMIT: u64 = 1024;

/// Returns the soft limit of open descriptors of this process: RLIMIT_NOFILE, getrlimit(2).
///
/// # Errors
///
/// As getrlimit(2). If a seccomp filter refuses the call, 1024 is returned, the limit of most
/// systems.
#[doc(alias = "RLIMIT_NOFILE")]
pub fn fd_limit() -> io::Result<u64> {
    match sys::process::fd_limit() {
        Err(error) if sys::is_missing(&error) => Ok(USUAL_FD_LIMIT),
        limits => limits.map(|(soft, _)| soft),
    }
}

/// Raises the soft limit of open descriptors to the hard limit and returns it: RLIMIT_NOFILE,
/// getrlimit(2).
///
/// The change affects the whole process and the programs that it executes later. Code that uses
/// select(2) fails with descriptors from 1024 on, and code that closes every possible descriptor
/// takes longer.
///
/// # Errors
///
/// As getrlimit(2). If a seccomp filter refuses the call, the limit stays as it is and no error is
/// returned.
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

/// Ignores SIGXFSZ, so that a write beyond the file size limit (RLIMIT_FSIZE, getrlimit(2)) fails
/// with EFBIG instead of ending the process.
///
/// The change affects the whole process and the programs that it executes later.
///
/// # Errors
///
/// As signal(2).
#[doc(alias = "SIGXFSZ")]
#[doc(alias = "RLIMIT_FSIZE")]
pub fn ignore_file_size_signal() -> io::Result<()> {
    sys::process::ignore(libc::SIGXFSZ)
}

/// Sets the timer slack of this thread to 1 ns, so that its waits end on time rather than up to 50
/// µs late, at the cost of more interrupts: PR_SET_TIMERSLACK, prctl(2).
///
/// Threads that this thread creates later inherit the setting.
///
/// # Errors
///
/// As prctl(2).
#[doc(alias = "PR_SET_TIMERSLACK")]
pub fn set_timer_slack() -> io::Result<()> {
    sys::process::set_timer_slack(1)
}
