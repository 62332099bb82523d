//! The course of a measurement over time, in bounded memory.

use std::time::Duration;

use super::directions::OneWayDelay;

/// What happened in one span of a series.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// When the first of its requests was sent, since the start of the measurement.
    pub at: Duration,
    /// Requests that were replied to.
    pub answered: u64,
    /// Requests that were lost.
    pub lost: u64,
    /// The range of the round-trip times.
    pub rtt: Option<RttRange>,
    /// The longest time after which the peer refused one of the requests.
    pub refused_after: Option<Duration>,
    /// The maximum outbound delay, in nanoseconds.
    pub up_max_ns: Option<i64>,
    /// The maximum return delay, in nanoseconds.
    pub down_max_ns: Option<i64>,
}

/// The minimum and the maximum of some round-trip times.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RttRange {
    /// The minimum.
    pub min: Duration,
    /// The maximum.
    pub max: Duration,
}

/// The points of a measurement in the order of time. When there are too many, each two become one:
/// so the series is as fine as its memory allows, whether it lasts a second or a year.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Debug)]
pub struct Series {
    points: Vec<Point>,
    points_max: usize,
    /// The span of each point; zero while each point stands for one request.
    width: Duration,
}

impl Series {
    /// Creates a series of at most that many points.
    pub(super) fn new(points_max: usize) -> Self {
        Self { points: Vec::new(), points_max, width: Duration::ZERO }
    }

    /// Returns the points in the order of time.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Returns the span of each point; zero if each point stands for one request.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// Adds a request that was replied to.
    pub(super) fn replied(&mut self, at: Duration, rtt: Duration, delay: Option<OneWayDelay>) {
        self.add(Point {
            at,
            answered: 1,
            lost: 0,
            rtt: Some(RttRange { min: rtt, max: rtt }),
            refused_after: None,
            up_max_ns: delay.map(|delay| delay.up_ns),
            down_max_ns: delay.map(|delay| delay.down_ns),
        });
    }

    /// Adds a request that was lost. If the peer refused it, that was so long after it was sent.
    pub(super) fn lost(&mut self, at: Duration, refused_after: Option<Duration>) {
        self.add(Point { at, lost: 1, refused_after, ..Point::default() });
    }

    /// Removes a lost request, because its reply has arrived after all.
    pub(super) fn take_back(&mut self, at: Duration) {
        let has_lost = |point: &&mut Point| point.lost != 0 && point.at <= at && at <= point.at + self.width;
        if let Some(point) = self.points.iter_mut().rev().find(has_lost) {
            point.lost -= 1;
            point.refused_after = point.refused_after.filter(|_| point.lost != 0);
        }
        self.points.retain(|point| point.answered + point.lost != 0);
    }

    fn add(&mut self, point: Point) {
        // Replies arrive nearly in the order of their requests.
        let place = self.points.iter().rposition(|other| other.at <= point.at);
        match place.map(|place| &mut self.points[place]) {
            Some(last) if point.at < last.at + self.width => last.merge(&point),
            _ => self.points.insert(place.map_or(0, |place| place + 1), self.aligned(point)),
        }
        if self.points_max < self.points.len() {
            self.halve();
        }
    }

    /// Moves a point to the start of its span.
    fn aligned(&self, mut point: Point) -> Point {
        let width = self.width.as_nanos();
        if let Some(over) = point.at.as_nanos().checked_rem(width) {
            point.at -= Duration::from_nanos(u64::try_from(over).unwrap_or(0));
        }
        point
    }

    /// Merges points until about half as many are left.
    fn halve(&mut self) {
        let span = self.points.last().map_or(Duration::ZERO, |last| last.at);
        let points = std::mem::take(&mut self.points);
        // Twice the width, or at first the width that leaves half as many.
        let half = u32::try_from(self.points_max / 2).map_or(Duration::ZERO, |half| span / half.max(1));
        self.width = (self.width * 2).max(half).max(Duration::from_nanos(1));
        self.points.reserve_exact(self.points_max + 1);
        for point in points {
            let point = self.aligned(point);
            match self.points.last_mut() {
                Some(last) if point.at == last.at => last.merge(&point),
                _ => self.points.push(point),
            }
        }
    }
}

impl Point {
    fn merge(&mut self, other: &Self) {
        self.answered += other.answered;
        self.lost += other.lost;
        self.rtt = match (self.rtt, other.rtt) {
            (Some(own), Some(other)) => {
                Some(RttRange { min: own.min.min(other.min), max: own.max.max(other.max) })
            }
            (own, other) => own.or(other),
        };
        self.refused_after = self.refused_after.max(other.refused_after);
        self.up_max_ns = self.up_max_ns.max(other.up_max_ns);
        self.down_max_ns = self.down_max_ns.max(other.down_max_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS_MAX: usize = 1024;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn few_requests_are_one_point_each_in_the_order_of_time() {
        let mut series = Series::new(POINTS_MAX);
        for (at, rtt) in [(0, 5), (20, 1), (10, 12)] {
            series.replied(millis(at), millis(rtt), Some(OneWayDelay { up_ns: 1, down_ns: 2 }));
        }
        series.lost(millis(15), None);
        let counts: Vec<_> =
            series.points().iter().map(|point| (point.at, point.answered, point.lost)).collect();
        assert_eq!(counts, [(millis(0), 1, 0), (millis(10), 1, 0), (millis(15), 0, 1), (millis(20), 1, 0)]);
        assert_eq!(series.width(), Duration::ZERO);
    }

    #[test]
    fn a_late_reply_takes_back_the_loss() {
        let mut series = Series::new(POINTS_MAX);
        for at in [0, 10, 20] {
            series.lost(millis(at), None);
        }
        series.take_back(millis(10));
        series.replied(millis(10), millis(500), None);
        let counts: Vec<_> =
            series.points().iter().map(|point| (point.at, point.answered, point.lost)).collect();
        assert_eq!(counts, [(millis(0), 0, 1), (millis(10), 1, 0), (millis(20), 0, 1)]);
    }

    #[test]
    fn the_longest_time_of_a_refusal_stays_until_it_is_taken_back() {
        let mut series = Series::new(2);
        for (at, after) in [(0, 5), (10, 7), (20, 1)] {
            series.lost(millis(at), Some(millis(after)));
        }
        let refused = |series: &Series| series.points().iter().filter_map(|point| point.refused_after).max();
        assert_eq!((series.points().len(), refused(&series)), (2, Some(millis(7))));
        let mut one = Series::new(2);
        one.lost(millis(0), Some(millis(5)));
        one.replied(millis(0), millis(6), None);
        one.take_back(millis(0));
        assert_eq!(refused(&one), None);
    }

    #[test]
    fn many_requests_share_points_and_all_are_counted() {
        let mut series = Series::new(POINTS_MAX);
        for number in 0..100_000 {
            if number % 100 == 7 {
                series.lost(millis(number), None);
            } else {
                series.replied(millis(number), millis(1 + number % 10), None);
            }
        }
        let points = series.points();
        assert!((POINTS_MAX / 4..=POINTS_MAX).contains(&points.len()), "{}", points.len());
        assert_eq!(points.iter().map(|point| point.answered).sum::<u64>(), 99_000);
        assert_eq!(points.iter().map(|point| point.lost).sum::<u64>(), 1000);
        assert!(points.windows(2).all(|pair| pair[0].at + series.width() <= pair[1].at));
        assert!(points.iter().all(|point| point.rtt == Some(RttRange { min: millis(1), max: millis(10) })));
    }
}
