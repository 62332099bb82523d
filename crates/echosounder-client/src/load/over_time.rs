//! The course of a load over time, in bounded memory.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::counts::Counts;

/// The maximum number of points: as many as a chart can show.
const POINTS_MAX: usize = 1024;

/// A span of a load, usually one second. The points of a report follow each other without gaps.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadPoint {
    /// The time from the end of the warm-up to the beginning of the span.
    pub at: Duration,
    /// The length of the span.
    pub span: Duration,
    /// Messages sent in the span.
    pub sent: u64,
    /// Messages whose reply arrived in the span, within the timeout.
    pub answered: u64,
    /// Messages whose reply arrived in the span, but after the timeout.
    pub late: u64,
    /// Messages that were given up in the span. A message whose reply arrives late no longer
    /// counts.
    pub lost: u64,
    /// Latencies of the replies in the span; `None` if there were none.
    pub latency: Option<PointLatency>,
}

/// Latencies of a span. Where several spans were merged into one point, each value is the highest
/// of them.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PointLatency {
    /// The median by nearest rank.
    pub p50: Duration,
    /// The 99th percentile by nearest rank.
    pub p99: Duration,
    /// The maximum.
    pub max: Duration,
}

impl LoadPoint {
    /// Returns the replies within the timeout per second.
    pub fn rate(&self) -> f64 {
        let seconds = self.span.as_secs_f64();
        if seconds == 0.0 { 0.0 } else { self.answered as f64 / seconds }
    }

    fn merge(&mut self, later: &Self) {
        self.span = later.at + later.span - self.at;
        self.sent += later.sent;
        self.answered += later.answered;
        self.late += later.late;
        self.lost += later.lost;
        self.latency = match (self.latency, later.latency) {
            (Some(one), Some(other)) => Some(PointLatency {
                p50: one.p50.max(other.p50),
                p99: one.p99.max(other.p99),
                max: one.max.max(other.max),
            }),
            (some, other) => some.or(other),
        };
    }
}

/// Totals of a load at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Counters without the messages in flight.
    pub(super) counts: Counts,
    pub(super) in_flight: u64,
}

/// Collects points. When there are too many, each two become one, so that memory is bounded however
/// long a load runs.
#[derive(Debug, Default)]
pub(super) struct OverTime {
    points: Vec<LoadPoint>,
    /// The length that each merged point has at least; zero while no points were merged.
    width: Duration,
    /// The end of the last span, from the end of the warm-up.
    end: Duration,
    before: Totals,
}

impl OverTime {
    pub(super) fn points(&self) -> &[LoadPoint] {
        &self.points
    }

    /// Adds the span that ends now, at `end` after the warm-up, in which these latencies were
    /// recorded.
    pub(super) fn add(&mut self, end: Duration, totals: Totals, latency: &Histogram<u64>) {
        let (now, before) = (totals.counts, self.before.counts);
        let sent = (now.sent + totals.in_flight).saturating_sub(before.sent + self.before.in_flight);
        let point = LoadPoint {
            at: self.end,
            span: end.saturating_sub(self.end),
            sent,
            answered: now.answered.saturating_sub(before.answered),
            late: now.late.saturating_sub(before.late),
            lost: now.lost().saturating_sub(before.lost()),
            latency: PointLatency::of(latency),
        };
        self.take_back_lost(before.lost().saturating_sub(now.lost()));
        (self.end, self.before) = (self.end.max(end), totals);
        match self.points.last_mut() {
            Some(last) if point.span.is_zero() || last.span < self.width => last.merge(&point),
            _ => self.points.push(point),
        }
        if POINTS_MAX < self.points.len() {
            self.halve();
        }
    }

    /// Counts messages that were lost in earlier spans as not lost, because their replies came
    /// late.
    fn take_back_lost(&mut self, mut count: u64) {
        for point in self.points.iter_mut().rev() {
            let taken = count.min(point.lost);
            point.lost -= taken;
            count -= taken;
        }
    }

    fn halve(&mut self) {
        self.points = self
            .points
            .chunks(2)
            .map(|pair| {
                let mut merged = pair[0];
                pair[1..].iter().for_each(|later| merged.merge(later));
                merged
            })
            .collect();
        self.width = self.points.first().map_or(Duration::ZERO, |first| first.span);
    }
}

impl PointLatency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |percent| Duration::from_nanos(histogram.value_at_percentile(percent));
        (!histogram.is_empty()).then(|| Self {
            p50: at(50.0),
            p99: at(99.0),
            max: Duration::from_nanos(histogram.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::histogram::histogram;

    fn totals(sent: u64, answered: u64, late: u64, in_flight: u64) -> Totals {
        Totals { counts: Counts { sent, answered, late, ..Counts::default() }, in_flight }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn points_are_differences_of_totals() {
        let mut over_time = OverTime::default();
        let mut latency = histogram();
        latency.record_n(1000, 8).unwrap();
        over_time.add(seconds(1), totals(8, 8, 0, 2), &latency);
        over_time.add(seconds(2), totals(20, 15, 1, 0), &histogram());
        let [first, second] = over_time.points() else { panic!("{over_time:?}") };
        assert_eq!((first.at, first.span, first.sent, first.answered), (seconds(0), seconds(1), 10, 8));
        assert_eq!(first.latency.unwrap().p99, Duration::from_nanos(1000));
        assert_eq!((second.at, second.sent, second.answered, second.late), (seconds(1), 10, 7, 1));
        assert_eq!((second.lost, second.latency), (4, None));
        assert!((first.rate() - 8.0).abs() < 1e-9);
    }

    #[test]
    fn late_reply_takes_a_loss_back() {
        let mut over_time = OverTime::default();
        over_time.add(seconds(1), totals(10, 7, 0, 0), &histogram());
        over_time.add(seconds(2), totals(10, 7, 2, 0), &histogram());
        let lost: Vec<_> = over_time.points().iter().map(|point| (point.lost, point.late)).collect();
        assert_eq!(lost, [(1, 0), (0, 2)]);
    }

    #[test]
    fn many_points_are_merged_without_losing_counts() {
        let mut over_time = OverTime::default();
        for second in 1..=10_000 {
            let mut latency = histogram();
            latency.record(second).unwrap();
            over_time.add(seconds(second), totals(second * 10, second * 10, 0, 0), &latency);
        }
        let points = over_time.points();
        assert!((POINTS_MAX / 2..=POINTS_MAX).contains(&points.len()), "{}", points.len());
        assert_eq!(points.iter().map(|point| point.sent).sum::<u64>(), 100_000);
        assert!(points.windows(2).all(|pair| pair[0].at + pair[0].span == pair[1].at));
        assert!(points.iter().all(|point| (point.rate() - 10.0).abs() < 1e-9));
        assert_eq!(points.last().map(|last| last.at + last.span), Some(seconds(10_000)));
    }
}
