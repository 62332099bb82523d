//! What all connections together may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes kept for all connections together: answers that the kernel has not taken, input not answered.
pub const KEPT_MAX: usize = 16 * 1024 * 1024;

/// Most bytes of one read.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// Fewest bytes that a read is worth.
const READ_MIN: usize = 1024;

/// What the workers share: how many connections there may be.
#[derive(Debug)]
pub struct Limits {
    connections: AtomicUsize,
    connections_max: usize,
}

impl Limits {
    /// Room for so many connections.
    pub fn new(connections_max: usize) -> Self {
        Self { connections: AtomicUsize::new(0), connections_max }
    }

    /// Takes a place for a connection, if one is free.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Place> {
        let next = |taken: usize| Some(taken + 1).filter(|&taken| taken <= self.connections_max);
        self.connections.try_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(Place { limits: Arc::clone(self) })
    }
}

/// The right of one connection to be there, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limits: Arc<Limits>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker's part of [`KEPT_MAX`].
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    used: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: 0 }
    }

    /// How much one connection may read, so that whatever comes of it can be kept: less and less, as less is
    /// left. `None` if nothing is sure to be kept any more.
    pub(crate) fn read_size(&self) -> Option<usize> {
        // At most three times a read is kept of it: its answers, twice as long at most, and unanswered input.
        let size = (self.max.saturating_sub(self.used) / 8).min(READ_MAX);
        (READ_MIN <= size).then_some(size)
    }

    /// What may be read when nothing is left, of a connection whose answers are sure to be taken.
    pub(crate) fn last_size() -> usize {
        READ_MIN
    }

    /// Notes that a connection keeps `after` bytes instead of `before`. A message is read whole, whatever is
    /// left, so more may be used for a while than there is.
    pub(crate) fn change(&mut self, before: usize, after: usize) {
        self.used = self.used.saturating_sub(before) + after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_beyond_the_budget_does_not_come_back_as_more() {
        let mut budget = Budget::new(100_000);
        budget.change(0, 300_000);
        assert_eq!(budget.read_size(), None);
        budget.change(300_000, 0);
        assert_eq!(budget.read_size(), Some(12_500));
    }
}
