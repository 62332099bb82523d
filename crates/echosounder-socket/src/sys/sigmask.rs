//! The signal mask of a thread, and calls that must not raise SIGPIPE.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use super::check;

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn of(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `set` has the size of a signal set.
        check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        // SAFETY: sigemptyset(3) has initialised it.
        let mut set = unsafe { set.assume_init() };
        for &signal in signals {
            // SAFETY: `set` is an initialised signal set.
            check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
        }
        Ok(Self(set))
    }

    pub(super) fn as_ptr(&self) -> *const libc::sigset_t {
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
    // SAFETY: the set outlives the call, and the pointer for the old mask is null.
    match unsafe { libc::pthread_sigmask(how, &raw const set.0, ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Calls a function that may raise SIGPIPE in this thread, and removes the signal afterwards.
pub(crate) fn without_sigpipe<T>(call: impl FnOnce() -> T) -> io::Result<T> {
    let pipe = SignalSet::of(&[libc::SIGPIPE])?;
    // A SIGPIPE that was pending before belongs to other code and stays pending.
    if is_pending()? {
        return Ok(call());
    }
    let before = block(&pipe)?;
    let result = call();
    while is_pending()? {
        let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time outlive the call, and the pointer for information is null.
        if unsafe { libc::sigtimedwait(pipe.as_ptr(), ptr::null_mut(), &raw const no_time) } == -1 {
            break;
        }
    }
    if !before {
        change_mask(libc::SIG_UNBLOCK, &pipe)?;
    }
    Ok(result)
}

/// Returns whether SIGPIPE is pending for this thread or process.
fn is_pending() -> io::Result<bool> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` has the size of a signal set.
    check(unsafe { libc::sigpending(set.as_mut_ptr()) })?;
    // SAFETY: sigpending(2) has initialised it.
    let set = unsafe { set.assume_init() };
    // SAFETY: `set` is an initialised signal set.
    Ok(unsafe { libc::sigismember(&raw const set, libc::SIGPIPE) } == 1)
}

/// Blocks signals and returns whether SIGPIPE was blocked before.
fn block(signals: &SignalSet) -> io::Result<bool> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets outlive the call.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), before.as_mut_ptr()) } {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)),
    }
    // SAFETY: pthread_sigmask(3) has initialised it.
    let before = unsafe { before.assume_init() };
    // SAFETY: `before` is an initialised signal set.
    Ok(unsafe { libc::sigismember(&raw const before, libc::SIGPIPE) } == 1)
}
