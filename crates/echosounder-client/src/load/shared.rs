//! The state that the threads of a load share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use echosounder_socket::StopToken;

use super::thread_result::ThreadResult;

/// Counters and requests between the sending threads and the thread that reports.
#[derive(Debug)]
pub(super) struct Shared {
    /// Messages sent, including those of the warm-up.
    pub(super) sent: AtomicU64,
    /// Messages replied to, including those of the warm-up.
    pub(super) answered: AtomicU64,
    /// Ends the load: its user wants no more.
    pub(super) stop: StopToken,
    /// Ends the load: a thread has failed, or a limit is exceeded.
    pub(super) failed: AtomicBool,
    /// How often results were requested.
    requests: AtomicU64,
    /// The results that were published and not taken yet.
    results: Mutex<Vec<ThreadResult>>,
}

impl Shared {
    pub(super) fn new(stop: StopToken) -> Self {
        Self {
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            stop,
            failed: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            results: Mutex::default(),
        }
    }

    /// Requests a result from every thread, and returns the number of the request.
    pub(super) fn request_results(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns how often results were requested.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Publishes the result of a thread.
    pub(super) fn publish(&self, result: ThreadResult) {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    }

    /// Takes the results that were published since this was last called.
    pub(super) fn take_results(&self) -> Vec<ThreadResult> {
        std::mem::take(&mut self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether the threads are to end early.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_stopped() || self.failed.load(Ordering::Relaxed)
    }
}
