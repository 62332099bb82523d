//! Limits for lines that peers cause, so that a peer cannot fill the disk with a log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The maximum number of lines per second.
const LINES_PER_SECOND: u64 = 100;

/// How long an error of the same operation is not reported again.
const ERROR_INTERVAL: Duration = Duration::from_secs(10);

/// When an error of each operation was last reported, by any worker.
#[derive(Debug, Default)]
pub(super) struct ErrorRateLimit {
    last: Mutex<Vec<(&'static str, Instant)>>,
}

impl ErrorRateLimit {
    /// Returns whether to report an error of this operation, and counts it as reported then.
    #[expect(clippy::disallowed_methods, reason = "the limit is not a measurement")]
    pub(super) fn is_due(&self, operation: &'static str) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.iter().any(|(other, at)| *other == operation && now - *at < ERROR_INTERVAL) {
            return false;
        }
        last.retain(|(other, _)| *other != operation);
        last.push((operation, now));
        true
    }
}

/// The lines that were printed in the current second.
#[derive(Debug)]
pub(super) struct LineRateLimit {
    since: Instant,
    lines: u64,
}

#[expect(clippy::disallowed_methods, reason = "the limit is not a measurement")]
impl LineRateLimit {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), lines: 0 }
    }

    /// Starts a new second with all its lines if the current one is over. Returns whether it did.
    pub(super) fn renew(&mut self) -> bool {
        let over = Duration::from_secs(1) <= self.since.elapsed();
        if over {
            *self = Self::new();
        }
        over
    }

    /// Takes one of the lines. Returns whether there was one left.
    pub(super) fn take(&mut self) -> bool {
        let left = !self.is_used_up();
        self.lines += u64::from(left);
        left
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.lines == LINES_PER_SECOND
    }
}
