//! A request to stop, for loops that wait and for loops that do not.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::poll::Waker;

/// A request to stop that any thread can make and every holder of a clone sees.
///
/// A loop that waits adds the token to its [`Poll`](crate::Poll), or waits for it with
/// [`ready`](crate::ready): it is readable from the first [`stop`](Self::stop) on, for ever. A loop that
/// does not wait asks [`is_stopped`](Self::is_stopped), which costs no system call. Built on eventfd(2).
///
/// ```
/// use echosounder_socket::{Interest, StopToken, ready};
///
/// let token = StopToken::new()?;
/// let loop_side = token.clone();
/// assert!(!loop_side.is_stopped());
///
/// token.stop();
/// assert!(loop_side.is_stopped());
/// ready([(std::os::fd::AsFd::as_fd(&loop_side), Interest::Read)], None)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StopToken {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    stopped: AtomicBool,
    waker: Waker,
}

impl StopToken {
    /// Returns a token that nobody has stopped.
    ///
    /// # Errors
    ///
    /// As eventfd(2): no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { state: Arc::new(State { stopped: AtomicBool::new(false), waker: Waker::new()? }) })
    }

    /// Asks every holder of the token to stop. Further calls change nothing.
    pub fn stop(&self) {
        self.state.stopped.store(true, Ordering::Release);
        // A write to an eventfd that nobody reads fails only when it is readable already.
        let _ = self.state.waker.wake();
    }

    /// Returns whether [`stop`](Self::stop) has been called.
    pub fn is_stopped(&self) -> bool {
        self.state.stopped.load(Ordering::Acquire)
    }
}

impl AsFd for StopToken {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.state.waker.as_fd()
    }
}
