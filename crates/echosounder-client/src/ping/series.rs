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

/// The time after which a request was refused.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The [`at`](Point::at) of the point with the request.
    pub at: Duration,
    /// The longest time after which one of the point's requests was refused.
    pub after: Duration,
}

/// The points of a measurement in the order of time. When there are too many, each two become one:
/// so the series is as fine as its memory allows, whether it lasts a second or a year.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Debug)]
pub struct Series {
    points: Vec<Point>,
    /// The refused requests. Most measurements have none, so points do not contain them.
    refusals: Vec<Refusal>,
    points_max: usize,
    /// The span of each point; zero while each point stands for one request.
    width: Duration,
}

impl Series {
    /// Creates a series of at most that many points.
    pub(super) fn new(points_max: usize) -> Self {
        Self { points: Vec::new(), refusals: Vec::new(), points_max, width: Duration::ZERO }
    }

    /// Returns the points in the order of time.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Returns when requests were refused, in the order of time, one for each point with any.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
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
            up_max_ns: delay.map(|delay| delay.up_ns),
            down_max_ns: delay.map(|delay| delay.down_ns),
        });
    }

    /// Adds a request that was lost. If the peer refused it, that was so long after it was sent.
    pub(super) fn lost(&mut self, at: Duration, refused_after: Option<Duration>) {
        self.add(Point { at, lost: 1, ..Point::default() });
        let at = self.aligned(at);
        let Some(after) = refused_after else { return };
        let place = self.refusals.iter().rposition(|other| other.at <= at);
        match place.map(|place| &mut self.refusals[place]) {
            Some(last) if last.at == at => last.after = last.after.max(after),
            _ => self.refusals.insert(place.map_or(0, |place| place + 1), Refusal { at, after }),
        }
    }

    /// Removes a lost request, because its reply has arrived after all.
    pub(super) fn take_back(&mut self, at: Duration) {
        let has_lost = |point: &&mut Point| point.lost != 0 && point.at <= at && at <= point.at + self.width;
        if let Some(point) = self.points.iter_mut().rev().find(has_lost) {
            point.lost -= 1;
            let (at, is_last) = (point.at, point.lost == 0);
            self.refusals.retain(|refusal| refusal.at != at || !is_last);
        }
        self.points.retain(|point| point.answered + point.lost != 0);
    }

    fn add(&mut self, point: Point) {
        // Replies arrive nearly in the order of their requests.
        let place = self.points.iter().rposition(|other| other.at <= point.at);
        match place.map(|place| &mut self.points[place]) {
            Some(last) if point.at < last.at + self.width => last.merge(&point),
            _ => {
                let at = self.aligned(point.at);
                self.points.insert(place.map_or(0, |place| place + 1), Point { at, ..point });
            }
        }
        if self.points_max < self.points.len() {
            self.halve();
        }
    }

    /// Returns the start of the span that a time is in.
    fn aligned(&self, at: Duration) -> Duration {
        let over = at.as_nanos().checked_rem(self.width.as_nanos()).unwrap_or(0);
        at - Duration::from_nanos(u64::try_from(over).unwrap_or(0))
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
            let point = Point { at: self.aligned(point.at), ..point };
            match self.points.last_mut() {
                Some(last) if point.at == last.at => last.merge(&point),
                _ => self.points.push(point),
            }
        }
        for Refusal { at, after } in std::mem::take(&mut self.refusals) {
            let at = self.aligned(at);
            match self.refusals.last_mut() {
                Some(last) if at == last.at => last.after = last.after.max(after),
                _ => self.refusals.push(Refusal { at, after }),
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
        let refusals = |series: &Series| -> Vec<_> {
            series.refusals().iter().map(|refusal| (refusal.at, refusal.after)).collect()
        };
        let mut series = Series::new(POINTS_MAX);
        for (at, after) in [(20, Some(1)), (0, Some(5)), (10, None)] {
            series.lost(millis(at), after.map(millis));
        }
        assert_eq!(refusals(&series), [(millis(0), millis(5)), (millis(20), millis(1))]);
        series.replied(millis(20), millis(6), None);
        series.take_back(millis(20));
        assert_eq!(refusals(&series), [(millis(0), millis(5))]);
    }

    #[test]
    fn many_refusals_share_points() {
        let mut series = Series::new(POINTS_MAX);
        for number in 0..100_000 {
            series.lost(millis(number), Some(millis(1 + number % 1000)));
        }
        let (points, refusals) = (series.points(), series.refusals());
        assert_eq!(points.len(), refusals.len());
        assert!(points.iter().zip(refusals).all(|(point, refusal)| point.at == refusal.at));
        assert_eq!(refusals.iter().map(|refusal| refusal.after).max(), Some(millis(1000)));
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
