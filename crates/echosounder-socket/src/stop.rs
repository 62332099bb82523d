//! A request to stop, shared by threads.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::poll::Waker;

/// A request to stop. Any thread can make it, and every clone shows it.
///
/// A loop that waits adds the token to its [`Poll`](crate::Poll), or waits for it with
/// [`ready`](crate::ready): the token is readable after the first [`stop`](Self::stop) and stays
/// so. A loop that does not wait checks [`is_stopped`](Self::is_stopped), which needs no system
/// call. Built on eventfd(2).
///
/// ```
/// use std::os::fd::AsFd;
///
/// use echosounder_socket::{Interest, StopToken, ready};
///
/// let token = StopToken::new()?;
/// let loop_side = token.clone();
/// assert!(!loop_side.is_stopped());
///
/// token.stop();
/// assert!(loop_side.is_stopped());
/// ready([(loop_side.as_fd(), Interest::READ)], None)?;
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
    /// Creates a token that is not stopped.
    ///
    /// # Errors
    ///
    /// As eventfd(2): EMFILE if the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { state: Arc::new(State { stopped: AtomicBool::new(false), waker: Waker::new()? }) })
    }

    /// Stops every clone of the token. Further calls have no effect.
    pub fn stop(&self) {
        self.state.stopped.store(true, Ordering::Release);
        // The only possible error is a full counter, and then the token is already readable.
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

impl AsRawFd for StopToken {
    fn as_raw_fd(&self) -> RawFd {
        self.state.waker.as_raw_fd()
    }
}
