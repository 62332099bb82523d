//! The distribution of measured times, in memory that depends on their spread and not on their
//! number.
//!
//! [`Distribution`] serves the reports of ping and of load alike. A ping records each time into it;
//! a load converts the histograms of its threads at the end.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Times above one hour, in nanoseconds, count as one hour in percentiles.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Buckets of one power of two. 1024 buckets keep three significant digits: a bucket is at most
/// 1/1024 of its value wide.
const BUCKETS_PER_OCTAVE: u64 = 1024;

/// A distribution of times in nanoseconds. Times may be negative, because two clocks may differ.
///
/// Count, minimum, maximum, mean and standard deviation are exact; percentiles have three
/// significant digits. Memory grows by 8 bytes for each distinct value of three digits, so a
/// distribution of a few values is small.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use echosounder_client::Distribution;
///
/// let times: Distribution = (1..=100).map(Duration::from_nanos).collect();
/// assert_eq!((times.count(), times.min(), times.max()), (100, Some(1), Some(100)));
/// assert_eq!((times.percentile(99.0), times.percentile(99.9)), (Some(99), None));
/// assert_eq!(times.rank(99.9), Some(100));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    /// In ascending order. A full bucket is followed by another of the same index.
    buckets: Vec<Bucket>,
    count: u64,
    negative: u64,
    min: i64,
    max: i64,
    mean: f64,
    /// The sum of squared differences from the mean, updated with each value (Welford 1962).
    squares: f64,
    /// Nanoseconds that are added to every value afterwards.
    shift: i64,
    /// The most buckets; 0 means no limit.
    buckets_max: usize,
    /// The bits of an index that are not distinguished, so that the buckets are few enough.
    coarse_bits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    index: i32,
    count: u32,
}

impl Distribution {
    /// Creates an empty distribution that has at most that many buckets. The wider the values
    /// spread, the less precise are its percentiles.
    pub(crate) fn with_buckets_max(buckets_max: usize) -> Self {
        Self { buckets_max, ..Self::default() }
    }

    /// Adds one value in nanoseconds.
    pub fn record(&mut self, nanos: i64) {
        self.count_in_bucket(index_of(nanos), 1);
        (self.min, self.max) =
            if self.count == 0 { (nanos, nanos) } else { (self.min.min(nanos), self.max.max(nanos)) };
        self.count += 1;
        self.negative += u64::from(nanos < 0);
        let difference = nanos as f64 - self.mean;
        self.mean += difference / self.count as f64;
        self.squares += difference * (nanos as f64 - self.mean);
    }

    /// Adds one value that cannot be negative.
    pub fn record_span(&mut self, span: Duration) {
        self.record(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX));
    }

    fn count_in_bucket(&mut self, index: i32, count: u32) {
        let index = coarse(index, self.coarse_bits);
        let end = self.buckets.partition_point(|bucket| bucket.index <= index);
        let last = self.buckets[..end].last_mut().filter(|bucket| bucket.index == index);
        match last.map(|bucket| (bucket.count.checked_add(count), bucket)) {
            Some((Some(sum), bucket)) => bucket.count = sum,
            _ => self.buckets.insert(end, Bucket { index, count }),
        }
        while self.buckets_max != 0
            && self.buckets_max < self.buckets.len()
            && self.coarse_bits < i32::BITS - 1
        {
            self.coarsen();
        }
    }

    /// Merges pairs of neighbouring buckets.
    fn coarsen(&mut self) {
        self.coarse_bits += 1;
        let bits = self.coarse_bits;
        self.buckets.iter_mut().for_each(|bucket| bucket.index = coarse(bucket.index, bits));
        self.buckets.dedup_by(|later, first| {
            let sum = first.count.checked_add(later.count).filter(|_| first.index == later.index);
            first.count = sum.unwrap_or(first.count);
            sum.is_some()
        });
    }

    /// Returns the value of a bucket that is furthest from zero.
    fn furthest_of(&self, bucket: Bucket) -> i64 {
        let mask = (1 << self.coarse_bits) - 1;
        furthest_of(if bucket.index < 0 { bucket.index & !mask } else { bucket.index | mask })
    }

    /// Returns the distribution with `nanos` added to every value.
    pub(crate) fn shifted(mut self, nanos: i64) -> Self {
        self.shift += nanos;
        self
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the number of values that were recorded below zero.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Returns the minimum in nanoseconds, or `None` if there are no values.
    pub fn min(&self) -> Option<i64> {
        (!self.is_empty()).then(|| self.min.saturating_add(self.shift))
    }

    /// Returns the maximum in nanoseconds, or `None` if there are no values.
    pub fn max(&self) -> Option<i64> {
        (!self.is_empty()).then(|| self.max.saturating_add(self.shift))
    }

    /// Returns the mean in nanoseconds, or `None` if there are no values.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.mean + self.shift as f64)
    }

    /// Returns the standard deviation of the population in nanoseconds, or `None` if there are no
    /// values.
    pub fn stddev(&self) -> Option<f64> {
        (!self.is_empty()).then(|| (self.squares / self.count as f64).max(0.0).sqrt())
    }

    /// Returns the given percentile in nanoseconds, or `None` if no value lies above it: fewer than
    /// 100 values have no 99th percentile. `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Option<i64> {
        // The tolerance is for fractions such as 99.9, which are no binary numbers.
        let is_carried = 100.0 - 1e-6 <= self.count as f64 * (100.0 - percent);
        is_carried.then(|| self.rank(percent)).flatten()
    }

    /// Returns the given percentile in nanoseconds by nearest rank, however few values there are.
    /// `percent` is from 0 to 100.
    pub fn rank(&self, percent: f64) -> Option<i64> {
        let rank = (percent / 100.0 * self.count as f64 - 1e-6).ceil().max(1.0);
        let mut up_to = 0;
        let bucket = self.buckets.iter().find(|bucket| {
            up_to += u64::from(bucket.count);
            rank <= up_to as f64
        })?;
        Some(self.furthest_of(*bucket).clamp(self.min, self.max).saturating_add(self.shift))
    }

    /// Returns the distinct values in ascending order, in nanoseconds and with three significant
    /// digits, each with how often it occurs.
    ///
    /// A program that has a histogram of its own can fill it from these.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, u64)> {
        self.buckets
            .iter()
            .map(|bucket| (self.furthest_of(*bucket).saturating_add(self.shift), u64::from(bucket.count)))
    }
}

impl FromIterator<Duration> for Distribution {
    /// Records every time.
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut distribution = Self::default();
        distribution.extend(times);
        distribution
    }
}

impl Extend<Duration> for Distribution {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        times.into_iter().for_each(|time| self.record_span(time));
    }
}

impl Distribution {
    /// Converts a histogram in nanoseconds. Minimum, maximum, mean and standard deviation are as
    /// precise as its buckets.
    pub(crate) fn from_histogram(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let mut distribution = Self {
            count: histogram.len(),
            min: whole(histogram.min()),
            max: whole(histogram.max()),
            mean: histogram.mean(),
            squares: histogram.stdev().powi(2) * histogram.len() as f64,
            ..Self::default()
        };
        for recorded in histogram.iter_recorded() {
            let mut left = recorded.count_at_value();
            while left != 0 {
                let count = u32::try_from(left).unwrap_or(u32::MAX);
                distribution.count_in_bucket(index_of(whole(recorded.value_iterated_to())), count);
                left -= u64::from(count);
            }
        }
        distribution
    }
}

fn whole(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// Returns the bucket of a value: those of negative values mirror those of positive ones.
fn index_of(nanos: i64) -> i32 {
    let magnitude = nanos.unsigned_abs().min(LONGEST_NS);
    let octave = u64::from((magnitude / BUCKETS_PER_OCTAVE).checked_ilog2().unwrap_or(0));
    let index = i32::try_from(octave * BUCKETS_PER_OCTAVE + (magnitude >> octave)).unwrap_or(i32::MAX);
    if nanos < 0 { -1 - index } else { index }
}

/// Returns the first index of those that are not distinguished from this one: towards zero. An
/// arithmetic shift keeps negative values apart from positive ones.
fn coarse(index: i32, bits: u32) -> i32 {
    if index < 0 { !(!index >> bits << bits) } else { index >> bits << bits }
}

/// Returns the value of a bucket that is furthest from zero.
fn furthest_of(index: i32) -> i64 {
    let place = u64::from(if index < 0 { (-1 - index).unsigned_abs() } else { index.unsigned_abs() });
    let octave = (place / BUCKETS_PER_OCTAVE).saturating_sub(1);
    let highest = ((place - octave * BUCKETS_PER_OCTAVE + 1) << octave) - 1;
    if index < 0 { -whole(highest) } else { whole(highest) }
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
    fn empty_distribution_has_no_values() {
        let none = of([]);
        assert_eq!((none.min(), none.max(), none.mean(), none.stddev()), (None, None, None, None));
        assert_eq!((none.percentile(50.0), none.rank(99.0)), (None, None));
    }

    #[test]
    fn limited_buckets_lose_precision_but_no_value() {
        let mut limited = Distribution::with_buckets_max(63);
        let mut full = Distribution::default();
        for number in 0..100_000_i64 {
            let nanos = 20_000 + number.wrapping_mul(2_654_435_761) % 400_000;
            limited.record(nanos);
            full.record(nanos);
            assert!(limited.buckets.len() <= 63);
        }
        assert_eq!((limited.count(), limited.min(), limited.max()), (100_000, full.min(), full.max()));
        for percent in [1.0, 10.0, 30.0, 50.0, 90.0, 99.0, 100.0] {
            let (rough, exact) = (limited.rank(percent).unwrap(), full.rank(percent).unwrap());
            assert!((rough - exact).abs() <= exact.abs() / 8, "{percent}: {rough} {exact}");
        }
        assert_eq!(limited.buckets().map(|(_, count)| count).sum::<u64>(), 100_000);
    }

    #[test]
    fn percentiles_need_a_value_above_them() {
        let hundred = of(1..=100);
        assert_eq!((hundred.count(), hundred.min(), hundred.max()), (100, Some(1), Some(100)));
        assert_eq!((hundred.percentile(50.0), hundred.percentile(99.0)), (Some(50), Some(99)));
        let has = |count, percent| of(1..=count).percentile(percent).is_some();
        for (count, percent) in
            [(2, 50.0), (10, 90.0), (20, 95.0), (100, 99.0), (1000, 99.9), (10_000, 99.99)]
        {
            assert!(has(count, percent) && !has(count - 1, percent), "{percent} of {count}");
        }
        assert_eq!((hundred.percentile(99.9), hundred.rank(99.9)), (None, Some(100)));
        assert!((hundred.mean().unwrap() - 50.5).abs() < 1e-9);
        assert!((hundred.stddev().unwrap() - 28.866_070_047_722_12).abs() < 1e-9);
        let shifted = hundred.shifted(1000);
        assert_eq!((shifted.min(), shifted.rank(50.0), shifted.max()), (Some(1001), Some(1050), Some(1100)));
        assert!((shifted.mean().unwrap() - 1050.5).abs() < 1e-9);
    }

    #[test]
    fn negative_values_count() {
        let crossed = of([-30, -10, 20]);
        assert_eq!((crossed.min(), crossed.max(), crossed.negative()), (Some(-30), Some(20), 2));
        assert!((crossed.mean().unwrap() + 20.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_of_negative_values_are_exact() {
        let crossed = of(-50..50);
        let ranks = [1.0, 25.0, 50.0, 51.0, 75.0, 100.0].map(|percent| crossed.rank(percent).unwrap());
        assert_eq!(ranks, [-50, -26, -1, 0, 24, 49]);
        let below = of([-4_000_000, -3_000_000, -2_000_000]).rank(50.0).unwrap();
        assert!((below + 3_000_000).abs() <= 3000, "{below}");
    }

    #[test]
    fn every_value_is_within_its_bucket() {
        let mut before = index_of(-i64::MAX);
        for magnitude in (0..42).flat_map(|power| [(1_i64 << power) - 1, 1 << power, (1 << power) * 3 / 2]) {
            for nanos in [magnitude, -magnitude] {
                let furthest = furthest_of(index_of(nanos));
                assert_eq!(index_of(furthest), index_of(nanos), "{nanos}");
                assert!(nanos.abs() <= furthest.abs() && furthest.abs() - nanos.abs() <= magnitude / 1000);
            }
        }
        for nanos in (-5000..5000).map(|step| step * 777) {
            assert!(before <= index_of(nanos), "{nanos}");
            before = index_of(nanos);
        }
    }

    #[test]
    fn histogram_converts() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for (nanos, count) in [(0, 3), (1500, 1), (123_456_789, 5_000_000_000), (LONGEST_NS, 2)] {
            histogram.record_n(nanos, count).unwrap();
        }
        let distribution = Distribution::from_histogram(&histogram);
        assert_eq!(distribution.count(), histogram.len());
        assert_eq!(distribution.rank(50.0), i64::try_from(histogram.value_at_percentile(50.0)).ok());
        assert!((distribution.mean().unwrap() - histogram.mean()).abs() < 1e-3);
        let mut again = Histogram::<u64>::new(3).unwrap();
        for (nanos, count) in distribution.buckets() {
            again.record_n(u64::try_from(nanos).unwrap().min(LONGEST_NS), count).unwrap();
        }
        assert_eq!(again, histogram);
        assert!(Distribution::from_histogram(&Histogram::<u64>::new(3).unwrap()).is_empty());
    }

    #[test]
    fn few_values_take_little_memory() {
        let steady = of((0..100_000).map(|number| 250_000 + number % 5_000));
        assert!(steady.buckets.capacity() * size_of::<Bucket>() <= 1024, "{}", steady.buckets.len());
    }

    #[test]
    fn extreme_values_are_counted() {
        let long = of([i64::MAX, i64::MIN, 5]);
        assert_eq!((long.min(), long.max(), long.count()), (Some(i64::MIN), Some(i64::MAX), 3));
        assert!(long.rank(100.0).is_some());
    }
}
