//! Facts and settings of this process: its user, the descriptor limit, the file size limit, the timer
//! slack and refused system calls.

use std::io;
use std::time::Duration;

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

/// Takes the right to set the system clock from the calling thread and those that it creates later:
/// CAP_SYS_TIME, capabilities(7). Without effect on a thread that lacks it.
///
/// # Errors
///
/// As capset(2).
#[doc(alias = "CAP_SYS_TIME")]
pub fn drop_clock_capability() -> io::Result<()> {
    /// linux/capability.h.
    const CAP_SYS_TIME: u32 = 25;
    sys::process::drop_capability(CAP_SYS_TIME)
}

/// Returns the timer slack of this thread, by how much its waits may end late: PR_GET_TIMERSLACK,
/// prctl(2).
///
/// # Errors
///
/// As prctl(2).
///
/// # Examples
///
/// [`set_timer_slack`] has one.
#[doc(alias = "PR_GET_TIMERSLACK")]
pub fn timer_slack() -> io::Result<Duration> {
    sys::process::timer_slack().map(Duration::from_nanos)
}

/// Sets the timer slack of this thread: PR_SET_TIMERSLACK, prctl(2).
///
/// Most threads have 50 µs. With 1 ns waits end on time, at the cost of more interrupts. Zero
/// restores the default of the thread. Threads that this thread creates later inherit the setting.
///
/// # Errors
///
/// As prctl(2).
///
/// # Examples
///
/// ```
/// use echosounder_socket::internal::{set_timer_slack, timer_slack};
/// use std::time::Duration;
///
/// let before = timer_slack()?;
/// set_timer_slack(Duration::from_nanos(1))?;
/// assert_eq!(timer_slack()?, Duration::from_nanos(1));
/// set_timer_slack(before)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "PR_SET_TIMERSLACK")]
pub fn set_timer_slack(slack: Duration) -> io::Result<()> {
    sys::process::set_timer_slack(u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX))
}

/// Returns the effective user id of this process: geteuid(2).
#[doc(alias = "geteuid")]
pub fn effective_user_id() -> u32 {
    sys::process::effective_user_id()
}

/// Ends the process at the first system call that a seccomp filter refuses by SECCOMP_RET_TRAP,
/// seccomp(2), after writing the call's number and name to standard error.
///
/// `name_of` runs in a signal handler and may only use what signal-safety(7) allows: a search in a
/// constant table does.
///
/// # Errors
///
/// As sigaction(2).
#[doc(alias = "SIGSYS")]
pub fn end_at_refused_call(name_of: fn(i32) -> Option<&'static str>) -> io::Result<()> {
    sys::sigsys::end_at_refused_call(name_of)
}
