//! How times are distributed, in bounded memory.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::carries;

/// The longest time that is told from longer ones.
const LONGEST: u64 = 3_600_000_000_000;

/// Times of which many were measured, in nanoseconds. They may be below zero, where two clocks differ.
///
/// Memory depends on how long the times are, not on how many. The least, the greatest, the mean and the deviation are
/// exact; percentiles are true to three digits.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: Histogram<u64>,
    /// How far those below zero are below it, if there are any.
    below: Option<Box<Histogram<u64>>>,
    min: i64,
    max: i64,
    mean: f64,
    /// The sum of the squares of what differs from the mean: Welford 1962.
    squares: f64,
    negative: u64,
    /// What is added to each, as it turned out afterwards.
    shift: i64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            histogram: empty(),
            below: None,
            min: i64::MAX,
            max: i64::MIN,
            mean: 0.0,
            squares: 0.0,
            negative: 0,
            shift: 0,
        }
    }
}

impl Distribution {
    /// Counts one more.
    pub(crate) fn record(&mut self, nanos: i64) {
        let counted = nanos.max(0).unsigned_abs().min(LONGEST);
        // It grows as it must, up to the longest.
        let _ = self.histogram.record(counted);
        if nanos < 0 {
            let below = self.below.get_or_insert_with(|| Box::new(empty()));
            let _ = below.record(nanos.unsigned_abs().min(LONGEST));
        }
        self.negative += u64::from(nanos < 0);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        let off = nanos as f64 - self.mean;
        self.mean += off / self.histogram.len() as f64;
        self.squares += off * (nanos as f64 - self.mean);
    }

    pub(crate) fn record_span(&mut self, span: Duration) {
        self.record(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX));
    }

    /// All of them are so much greater.
    pub(crate) fn shifted(mut self, nanos: i64) -> Self {
        self.shift += nanos;
        self
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How many were below zero.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// The least.
    pub fn min(&self) -> Option<i64> {
        self.any().then(|| self.min.saturating_add(self.shift))
    }

    /// The greatest.
    pub fn max(&self) -> Option<i64> {
        self.any().then(|| self.max.saturating_add(self.shift))
    }

    /// The mean.
    pub fn mean(&self) -> Option<f64> {
        self.any().then_some(self.mean + self.shift as f64)
    }

    /// The standard deviation, of all that were measured.
    pub fn stddev(&self) -> Option<f64> {
        self.any().then(|| (self.squares / self.count() as f64).max(0.0).sqrt())
    }

    /// What so much of a hundred did not exceed, if there is one at least beyond it.
    pub fn percentile(&self, of_100: f64) -> Option<i64> {
        carries(self.count(), of_100).then(|| self.rank(of_100)).flatten()
    }

    /// What so much of a hundred did not exceed, however few there are: the nearest rank.
    pub fn rank(&self, of_100: f64) -> Option<i64> {
        let whole = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        let rank = (of_100 / 100.0 * self.count() as f64).ceil().max(1.0);
        let negative = self.negative as f64;
        let nanos = match &self.below {
            // What is furthest below zero is the last of these.
            Some(below) if rank <= negative => {
                -whole(below.value_at_quantile((negative - rank + 1.0) / negative))
            }
            _ => whole(self.histogram.value_at_percentile(of_100)),
        };
        self.any().then(|| nanos.clamp(self.min, self.max).saturating_add(self.shift))
    }

    /// The distribution itself; times below zero are there as zero, and nothing is added to any.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// What is to be added to the histogram's times.
    pub fn shift(&self) -> i64 {
        self.shift
    }

    fn any(&self) -> bool {
        !self.histogram.is_empty()
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new(3).expect("it has three digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = i64>) -> Distribution {
        let mut distribution = Distribution::default();
        times.into_iter().for_each(|time| distribution.record(time));
        distribution
    }

    #[test]
    fn of_nothing_nothing_is_known() {
        let none = of([]);
        assert_eq!((none.min(), none.max(), none.mean(), none.stddev()), (None, None, None, None));
        assert_eq!((none.percentile(50.0), none.rank(99.0)), (None, None));
    }

    #[test]
    fn it_knows_what_it_can() {
        let hundred = of(1..=100);
        assert_eq!((hundred.count(), hundred.min(), hundred.max()), (100, Some(1), Some(100)));
        assert_eq!((hundred.percentile(50.0), hundred.percentile(99.0)), (Some(50), Some(99)));
        let carried = |count, of_100| of(1..=count).percentile(of_100).is_some();
        for (count, of_100) in [(2, 50.0), (10, 90.0), (20, 95.0), (100, 99.0), (1000, 99.9), (10_000, 99.99)]
        {
            assert!(carried(count, of_100) && !carried(count - 1, of_100), "{of_100} of {count}");
        }
        // Nothing lies beyond it that would tell it from the greatest.
        assert_eq!((hundred.percentile(99.9), hundred.rank(99.9)), (None, Some(100)));
        assert!((hundred.mean().unwrap() - 50.5).abs() < 1e-9);
        assert!((hundred.stddev().unwrap() - 28.866_070_047_722_12).abs() < 1e-9);
        let shifted = hundred.shifted(1000);
        assert_eq!((shifted.min(), shifted.rank(50.0), shifted.max()), (Some(1001), Some(1050), Some(1100)));
        assert!((shifted.mean().unwrap() - 1050.5).abs() < 1e-9);
    }

    #[test]
    fn times_below_zero_are_counted() {
        let crossed = of([-30, -10, 20]);
        assert_eq!((crossed.min(), crossed.max(), crossed.negative()), (Some(-30), Some(20), 2));
        assert!((crossed.mean().unwrap() + 20.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_true_below_zero() {
        let crossed = of(-50..50);
        let ranks = [1.0, 25.0, 50.0, 51.0, 75.0, 100.0].map(|of_100| crossed.rank(of_100).unwrap());
        assert_eq!(ranks, [-50, -26, -1, 0, 24, 49]);
        let below = of([-4_000_000, -3_000_000, -2_000_000]).rank(50.0).unwrap();
        assert!((below + 3_000_000).abs() <= 3000, "{below}");
    }

    #[test]
    fn nothing_is_too_long() {
        let long = of([i64::MAX, i64::MIN, 5]);
        assert_eq!((long.min(), long.max(), long.count()), (Some(i64::MIN), Some(i64::MAX), 3));
        assert!(long.rank(100.0).is_some());
    }
}
