//! Controlling a ping from another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use echosounder_socket::{StopToken, Waker};

/// Stops a [`Pinger`](super::Pinger), or asks it for reports, from another thread.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Debug)]
pub struct PingControl {
    stop: StopToken,
    interim: AtomicBool,
    checkpoint: AtomicBool,
    waker: Waker,
}

/// The reports that were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    pub(super) interim: bool,
    pub(super) checkpoint: bool,
}

impl PingControl {
    /// Creates the control of one pinger, which ends when `stop` is stopped.
    ///
    /// # Errors
    ///
    /// As eventfd(2).
    pub fn new(stop: StopToken) -> io::Result<Self> {
        let [interim, checkpoint] = [(); 2].map(|()| AtomicBool::new(false));
        Ok(Self { stop, interim, checkpoint, waker: Waker::new()? })
    }

    /// Ends the measurement of all targets.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Returns the token that ends the measurement.
    pub fn stop_token(&self) -> &StopToken {
        &self.stop
    }

    /// Asks for a [`PingEvent::Interim`](super::PingEvent::Interim) of each target, to be shown.
    pub fn request_interim(&self) {
        self.request(&self.interim);
    }

    /// Asks for a [`PingEvent::Checkpoint`](super::PingEvent::Checkpoint) of each target, to be
    /// saved.
    pub fn request_checkpoint(&self) {
        self.request(&self.checkpoint);
    }

    fn request(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Relaxed);
        // A write to an eventfd fails only if it is readable already.
        let _ = self.waker.wake();
    }

    pub(super) fn take_requests(&self) -> io::Result<Requests> {
        self.waker.reset()?;
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::Relaxed);
        Ok(Requests { interim: take(&self.interim), checkpoint: take(&self.checkpoint) })
    }
}

impl AsFd for PingControl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
