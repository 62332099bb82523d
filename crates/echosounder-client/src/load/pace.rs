//! When to send: the one place that says so.

use std::time::Duration;

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A closed loop: so many are under way on each connection, and the next leaves when one has come back.
    Closed {
        /// How many, at least one.
        depth: usize,
    },
    /// An open loop: they leave when it is time, whatever comes back.
    Open {
        /// How many each second, over all connections.
        rate: f64,
        /// What lies between them.
        spacing: Spacing,
    },
}

/// What lies between two messages of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Always the same time.
    Even,
    /// As between independent callers: exponentially distributed.
    Poisson,
}

/// Says when each message of an open loop is to leave, since the start.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// Between two messages, in nanoseconds, on average.
    gap: f64,
    spacing: Spacing,
    /// When the next is due, in nanoseconds since the start. A `f64` counts them exactly for 100 days.
    next: f64,
    random: Random,
}

impl Schedule {
    /// A schedule of so many messages each second, beginning after `first`.
    pub(crate) fn new(rate: f64, spacing: Spacing, first: Duration, seed: u64) -> Self {
        Self { gap: 1e9 / rate, spacing, next: first.as_nanos() as f64, random: Random::new(seed) }
    }

    /// When the next message is due.
    pub(crate) fn due(&self) -> Duration {
        Duration::from_nanos(nanos(self.next))
    }

    /// How many messages are still due before `end`, on average.
    pub(crate) fn left_before(&self, end: Duration) -> u64 {
        nanos(((end.as_nanos() as f64 - self.next) / self.gap).ceil().max(0.0))
    }

    /// Leaves out what is due before that.
    pub(crate) fn skip_to(&mut self, at: Duration) {
        self.next = self.next.max(at.as_nanos() as f64);
    }

    /// Goes on to the message behind it.
    pub(crate) fn advance(&mut self) {
        self.next += match self.spacing {
            Spacing::Even => self.gap,
            // The inverse of the distribution function; 1 - u is never zero.
            Spacing::Poisson => -(1.0 - self.random.unit()).ln() * self.gap,
        };
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` stays within the target's range"
)]
fn nanos(nanos: f64) -> u64 {
    nanos as u64
}

/// Numbers that look random and are the same in every run: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        let span = (high - low) as u64 + 1;
        low + usize::try_from(self.next() % span).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(mut schedule: Schedule, count: usize) -> Vec<Duration> {
        let mut next = || {
            let due = schedule.due();
            schedule.advance();
            due
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn even_messages_leave_at_even_times() {
        let schedule = Schedule::new(1000.0, Spacing::Even, Duration::from_millis(5), 1);
        assert_eq!(dues(schedule, 3), [5, 6, 7].map(Duration::from_millis));
        // A rate that does not divide a second does not drift.
        let last = dues(Schedule::new(3.0, Spacing::Even, Duration::ZERO, 1), 3_000_001).pop().unwrap();
        assert!(last.abs_diff(Duration::from_secs(1_000_000)) < Duration::from_millis(1), "{last:?}");
    }

    #[test]
    fn what_is_still_due_can_be_told_without_going_through_it() {
        let mut schedule = Schedule::new(1e6, Spacing::Even, Duration::ZERO, 1);
        assert_eq!(schedule.left_before(Duration::from_secs(3600)), 3_600_000_000);
        schedule.advance();
        assert_eq!(schedule.left_before(Duration::from_micros(1)), 0);
        assert_eq!(schedule.left_before(Duration::from_micros(2)), 1);
        assert_eq!(schedule.left_before(Duration::ZERO), 0);
    }

    #[test]
    fn poisson_messages_leave_at_the_rate_and_scatter_like_it() {
        let dues = dues(Schedule::new(1000.0, Spacing::Poisson, Duration::ZERO, 7), 100_001);
        let mean = dues.last().unwrap().as_secs_f64() / 100_000.0;
        assert!((mean - 1e-3).abs() < 2e-5, "{mean}");
        let gaps = dues.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        let variance = gaps.map(|gap| (gap - mean).powi(2)).sum::<f64>() / 100_000.0;
        // Of an exponential distribution the deviation is the mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn numbers_lie_between_their_bounds_and_reach_them() {
        let mut random = Random::new(3);
        let numbers: Vec<usize> = (0..1000).map(|_| random.between(7, 9)).collect();
        assert!([7, 8, 9].iter().all(|number| numbers.contains(number)));
        assert!(numbers.iter().all(|number| (7..=9).contains(number)));
    }
}
