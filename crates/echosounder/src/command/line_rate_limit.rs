//! Limits for lines that peers cause, so that a peer cannot fill the disk with a log. The time is a
//! parameter.

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
    pub(super) fn is_due(&self, operation: &'static str, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Instant| now.saturating_duration_since(at) < ERROR_INTERVAL;
        if last.iter().any(|(other, at)| *other == operation && is_recent(*at)) {
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

impl LineRateLimit {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, lines: 0 }
    }

    /// Starts a new second with all its lines if the current one is over. Returns whether it did.
    pub(super) fn renew(&mut self, now: Instant) -> bool {
        let over = Duration::from_secs(1) <= now.saturating_duration_since(self.since);
        if over {
            *self = Self::new(now);
        }
        over
    }

    /// Takes one of the lines. Returns whether there was one left.
    pub(super) fn take(&mut self) -> bool {
        let left = self.lines < LINES_PER_SECOND;
        self.lines += u64::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test needs any instant to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn each_second_has_its_lines() {
        let start = start();
        let mut limit = LineRateLimit::new(start);
        for second in 1..=5 {
            assert_eq!((0..1000).filter(|_| limit.take()).count(), 100);
            assert!(!limit.renew(start + Duration::from_millis(second * 1000 - 1)) && !limit.take());
            assert!(limit.renew(start + Duration::from_secs(second)));
        }
    }

    #[test]
    fn each_operation_is_reported_once_in_ten_seconds() {
        let (limit, start) = (ErrorRateLimit::default(), start());
        for (millis, operation, is_due) in [
            (0, "accept", true),
            (0, "send", true),
            (9999, "accept", false),
            (10_000, "accept", true),
            (10_001, "accept", false),
            // Another worker may have read the clock earlier.
            (9000, "accept", false),
        ] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(limit.is_due(operation, now), is_due, "{operation} after {millis} ms");
        }
    }
}
