//! How much is written of what peers cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most such lines that are written within a second.
const LINES_PER_SECOND: u64 = 100;

/// How long one kind of trouble is not reported again.
const TROUBLE_EVERY: Duration = Duration::from_secs(10);

/// When each kind of trouble was last reported, by whichever worker.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    last: Mutex<Vec<(&'static str, Instant)>>,
}

impl Troubles {
    /// Returns whether trouble with this operation is to be reported, and notes that it is.
    #[expect(clippy::disallowed_methods, reason = "lines are limited by the writer's own clock")]
    pub(super) fn is_due(&self, operation: &'static str) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.iter().any(|(other, at)| *other == operation && now - *at < TROUBLE_EVERY) {
            return false;
        }
        last.retain(|(other, _)| *other != operation);
        last.push((operation, now));
        true
    }
}

/// The lines of this second.
#[derive(Debug)]
pub(super) struct LineRateLimit {
    since: Instant,
    lines: u64,
}

#[expect(clippy::disallowed_methods, reason = "lines a second are counted by the writer's own clock")]
impl LineRateLimit {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), lines: 0 }
    }

    /// Whether another second has begun, which has all its lines.
    pub(super) fn renew(&mut self) -> bool {
        let over = Duration::from_secs(1) <= self.since.elapsed();
        if over {
            *self = Self::new();
        }
        over
    }

    /// Takes a line, if there is one left.
    pub(super) fn take(&mut self) -> bool {
        let left = !self.is_used_up();
        self.lines += u64::from(left);
        left
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.lines == LINES_PER_SECOND
    }
}
