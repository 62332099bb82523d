//! The pace of a load: when each message is due.

use std::time::Duration;

/// When messages are sent.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A closed loop: each connection has a number of messages in flight and sends the next when a
    /// reply has arrived.
    Closed {
        /// Messages in flight on each connection, at least 1.
        depth: usize,
    },
    /// An open loop: messages are sent on schedule, whether replies have arrived or not.
    Open {
        /// Messages per second over all connections.
        rate: f64,
        /// The intervals between messages.
        spacing: Spacing,
    },
}

/// The intervals between the messages of an open loop.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Equal intervals.
    Even,
    /// Exponentially distributed intervals, as between the requests of independent users (a Poisson
    /// process).
    Poisson,
}

/// When each message of an open loop is due, since the start.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// The mean interval in nanoseconds.
    interval_ns: f64,
    spacing: Spacing,
    /// When the next message is due, in nanoseconds since the start. A `f64` is exact for 100 days.
    next_ns: f64,
    random: Random,
}

impl Schedule {
    /// Creates a schedule of `rate` messages per second. The first message is due at `first_due`.
    pub(super) fn new(rate: f64, spacing: Spacing, first_due: Duration, seed: u64) -> Self {
        let next_ns = first_due.as_nanos() as f64;
        Self { interval_ns: 1e9 / rate, spacing, next_ns, random: Random::new(seed) }
    }

    /// Returns when the next message is due.
    pub(super) fn due(&self) -> Duration {
        Duration::from_nanos(nanos(self.next_ns))
    }

    /// Returns how many messages are still due before `end`, on average.
    pub(super) fn left_before(&self, end: Duration) -> u64 {
        nanos(((end.as_nanos() as f64 - self.next_ns) / self.interval_ns).ceil().max(0.0))
    }

    /// Skips the messages that are due before `time`.
    pub(super) fn skip_to(&mut self, time: Duration) {
        self.next_ns = self.next_ns.max(time.as_nanos() as f64);
    }

    /// Goes on to the next message.
    pub(super) fn advance(&mut self) {
        self.next_ns += match self.spacing {
            Spacing::Even => self.interval_ns,
            // The inverse of the distribution function; 1 - u is never zero.
            Spacing::Poisson => -(1.0 - self.random.unit()).ln() * self.interval_ns,
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

/// Pseudo-random numbers that are the same in every run: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number from `min` to `max`, both included.
    pub(super) fn between(&mut self, min: usize, max: usize) -> usize {
        let span = (max - min) as u64 + 1;
        min + usize::try_from(self.next() % span).unwrap_or(0)
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
    fn even_messages_are_due_at_equal_intervals() {
        let schedule = Schedule::new(1000.0, Spacing::Even, Duration::from_millis(5), 1);
        assert_eq!(dues(schedule, 3), [5, 6, 7].map(Duration::from_millis));
        // A rate that does not divide a second does not drift.
        let last = dues(Schedule::new(3.0, Spacing::Even, Duration::ZERO, 1), 3_000_001).pop().unwrap();
        assert!(last.abs_diff(Duration::from_secs(1_000_000)) < Duration::from_millis(1), "{last:?}");
    }

    #[test]
    fn left_before_counts_the_messages_that_are_still_due() {
        let mut schedule = Schedule::new(1e6, Spacing::Even, Duration::ZERO, 1);
        assert_eq!(schedule.left_before(Duration::from_secs(3600)), 3_600_000_000);
        schedule.advance();
        assert_eq!(schedule.left_before(Duration::from_micros(1)), 0);
        assert_eq!(schedule.left_before(Duration::from_micros(2)), 1);
        assert_eq!(schedule.left_before(Duration::ZERO), 0);
    }

    #[test]
    fn poisson_intervals_have_the_mean_and_the_deviation_of_their_distribution() {
        let dues = dues(Schedule::new(1000.0, Spacing::Poisson, Duration::ZERO, 7), 100_001);
        let mean = dues.last().unwrap().as_secs_f64() / 100_000.0;
        assert!((mean - 1e-3).abs() < 2e-5, "{mean}");
        let intervals = dues.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        let variance = intervals.map(|interval| (interval - mean).powi(2)).sum::<f64>() / 100_000.0;
        // The standard deviation of an exponential distribution is its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn random_numbers_lie_within_their_bounds_and_reach_them() {
        let mut random = Random::new(3);
        let numbers: Vec<usize> = (0..1000).map(|_| random.between(7, 9)).collect();
        assert!([7, 8, 9].iter().all(|number| numbers.contains(number)));
        assert!(numbers.iter().all(|number| (7..=9).contains(number)));
    }
}
