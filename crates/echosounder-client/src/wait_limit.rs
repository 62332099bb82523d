//! What ends a wait before its event: a request to stop, or the end of the time for the whole
//! operation.

use std::array;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime};
use echosounder_socket::{Interest, Readiness, StopToken, Waker, ready};

use crate::clock::{Deadline, SystemClock};

/// How many descriptors one wait can watch beside the stop token.
const WATCHED_MAX: usize = 3;

/// The clock of an operation, and the two things that end each of its waits early: its
/// [`StopToken`], and the limit of its time.
///
/// Clones share the clock and the token, so that connecting, talking and writing the output end
/// together.
#[derive(Clone)]
pub struct WaitLimit {
    clock: Arc<dyn Clock + Send + Sync>,
    stop: StopToken,
    deadline: Deadline,
}

impl WaitLimit {
    /// Returns a limit by the system's clock that ends all waits when `stop` is stopped or `time`
    /// has passed from now on. [`Duration::MAX`] means no limit of time.
    pub fn new(stop: StopToken, time: Duration) -> Self {
        Self::with_clock(Arc::new(SystemClock::new()), stop, time)
    }

    /// Returns a limit by another clock, for tests that decide what time it is.
    ///
    /// The kernel measures the waits themselves. A test moves the clock and then causes an event
    /// that ends the wait.
    pub fn with_clock(clock: Arc<dyn Clock + Send + Sync>, stop: StopToken, time: Duration) -> Self {
        let deadline = Deadline::after(clock.mono(), time);
        Self { clock, stop, deadline }
    }

    /// Returns whether the time is over.
    pub fn is_over(&self) -> bool {
        self.deadline.is_over(self.now())
    }

    /// Returns whether the token was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }

    pub(crate) fn now(&self) -> MonoTime {
        self.clock.mono()
    }

    /// Returns the deadline `span` from now.
    pub(crate) fn after(&self, span: Duration) -> Deadline {
        Deadline::after(self.now(), span)
    }

    /// Returns the deadline `span` from now, or the end of the whole time if that comes first.
    pub(crate) fn within(&self, span: Duration) -> Deadline {
        self.after(span).earlier(self.deadline)
    }

    pub(crate) fn stop(&self) -> &StopToken {
        &self.stop
    }

    /// Waits until one of `watched` is ready or `until` has come. Returns `None` if the operation
    /// is to end.
    ///
    /// A `None` in `watched` is never ready: it leaves out a descriptor whose events are not wanted
    /// now.
    pub(crate) fn wait<'a, const N: usize>(
        &'a self,
        watched: [impl Into<Option<(BorrowedFd<'a>, Interest)>>; N],
        until: Deadline,
    ) -> io::Result<Option<[Readiness; N]>> {
        const { assert!(N <= WATCHED_MAX) };
        // The token fills the unused places. It is not ready unless the wait is over anyway.
        let mut places = [(self.stop.as_fd(), Interest::READ); WATCHED_MAX + 1];
        for (place, watched) in places.iter_mut().zip(watched) {
            if let Some(watched) = watched.into() {
                *place = watched;
            }
        }
        let ready = ready(places, until.earlier(self.deadline).left(self.now()))?;
        let is_to_end = self.is_stopped() || self.is_over();
        Ok((!is_to_end).then(|| array::from_fn(|index| ready[index])))
    }

    /// Calls a function that may block for long, on a thread of its own. Returns `None` if it has
    /// not returned by `until` or the operation is to end; the thread then ends with the function.
    pub(crate) fn call_blocking<T: Send + 'static>(
        &self,
        thread_name: &str,
        until: Deadline,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let waker = Arc::new(Waker::new()?);
        let (sender, receiver) = mpsc::sync_channel(1);
        let alarm = Arc::clone(&waker);
        let run = move || {
            // Both fail only if nobody waits any more.
            let _ = sender.send(function());
            let _ = alarm.wake();
        };
        thread::Builder::new().name(thread_name.to_owned()).spawn(run)?;
        loop {
            if let Ok(result) = receiver.try_recv() {
                return Ok(Some(result));
            }
            if until.is_over(self.now()) || self.wait([(waker.as_fd(), Interest::READ)], until)?.is_none() {
                return Ok(receiver.try_recv().ok());
            }
        }
    }
}

impl fmt::Debug for WaitLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitLimit").field("stop", &self.stop).field("deadline", &self.deadline).finish()
    }
}
