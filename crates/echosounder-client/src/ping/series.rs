//! How times went on, in bounded memory.

use std::time::Duration;

/// Most points of a series: as many as a page can show.
const POINTS_MAX: usize = 1024;

/// What a series knows of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Since the beginning of the series, when the first of its calls left.
    pub at: Duration,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were not.
    pub lost: u64,
    /// The least and the greatest round trip.
    pub rtt: Option<(Duration, Duration)>,
    /// Of the delay on the way up: the greatest, in nanoseconds.
    pub up: Option<i64>,
    /// On the way down.
    pub down: Option<i64>,
}

/// Calls in the order of time. When there are too many points, each two become one: so it is as fine as there is
/// room for, whether it lasts a second or a year.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<Point>,
    /// How long a time each point stands for; zero while each stands for one call.
    width: Duration,
}

impl Series {
    /// The points, in the order of time.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// How long a time each point stands for; zero if each stands for one call.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// Adds a call that was answered.
    pub(crate) fn answered(&mut self, at: Duration, rtt: Duration, ways: Option<(i64, i64)>) {
        let (up, down) = (ways.map(|ways| ways.0), ways.map(|ways| ways.1));
        self.add(Point { at, answered: 1, lost: 0, rtt: Some((rtt, rtt)), up, down });
    }

    /// Adds one that was not.
    pub(crate) fn lost(&mut self, at: Duration) {
        self.add(Point { at, lost: 1, ..Point::default() });
    }

    /// One that was lost has been found.
    pub(crate) fn take_back(&mut self, at: Duration) {
        let lost = |point: &&mut Point| point.lost != 0 && point.at <= at && at <= point.at + self.width;
        if let Some(point) = self.points.iter_mut().rev().find(lost) {
            point.lost -= 1;
        }
        self.points.retain(|point| point.answered + point.lost != 0);
    }

    fn add(&mut self, point: Point) {
        // Answers do not come in the order of their calls, but nearly.
        let place = self.points.iter().rposition(|other| other.at <= point.at);
        match place.map(|place| &mut self.points[place]) {
            Some(last) if point.at < last.at + self.width => last.merge(&point),
            _ => self.points.insert(place.map_or(0, |place| place + 1), self.aligned(point)),
        }
        if POINTS_MAX < self.points.len() {
            self.thin();
        }
    }

    /// A point begins with the time it stands for.
    fn aligned(&self, mut point: Point) -> Point {
        let width = self.width.as_nanos();
        if let Some(over) = point.at.as_nanos().checked_rem(width) {
            point.at -= Duration::from_nanos(u64::try_from(over).unwrap_or(0));
        }
        point
    }

    /// Makes half as many points of them, or nearly.
    fn thin(&mut self) {
        let span = self.points.last().map_or(Duration::ZERO, |last| last.at);
        let points = std::mem::take(&mut self.points);
        // Twice what they stand for now, or what makes half as many of the calls so far.
        let half = u32::try_from(POINTS_MAX / 2).map_or(Duration::ZERO, |half| span / half);
        self.width = (self.width * 2).max(half).max(Duration::from_nanos(1));
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
            (Some((low, high)), Some((least, most))) => Some((low.min(least), high.max(most))),
            (some, other) => some.or(other),
        };
        self.up = self.up.max(other.up);
        self.down = self.down.max(other.down);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn few_calls_are_points_of_their_own_in_the_order_of_time() {
        let mut series = Series::default();
        for (at, rtt) in [(0, 5), (20, 1), (10, 12)] {
            series.answered(millis(at), millis(rtt), Some((1, 2)));
        }
        series.lost(millis(15));
        let told: Vec<_> =
            series.points().iter().map(|point| (point.at, point.answered, point.lost)).collect();
        assert_eq!(told, [(millis(0), 1, 0), (millis(10), 1, 0), (millis(15), 0, 1), (millis(20), 1, 0)]);
        assert_eq!(series.width(), Duration::ZERO);
    }

    #[test]
    fn what_comes_late_was_not_lost() {
        let mut series = Series::default();
        for at in [0, 10, 20] {
            series.lost(millis(at));
        }
        series.take_back(millis(10));
        series.answered(millis(10), millis(500), None);
        let told: Vec<_> =
            series.points().iter().map(|point| (point.at, point.answered, point.lost)).collect();
        assert_eq!(told, [(millis(0), 0, 1), (millis(10), 1, 0), (millis(20), 0, 1)]);
    }

    #[test]
    fn many_are_bounded_and_none_is_lost() {
        let mut series = Series::default();
        for number in 0..100_000 {
            if number % 100 == 7 {
                series.lost(millis(number));
            } else {
                series.answered(millis(number), millis(1 + number % 10), None);
            }
        }
        let points = series.points();
        assert!((POINTS_MAX / 4..=POINTS_MAX).contains(&points.len()), "{}", points.len());
        assert_eq!(points.iter().map(|point| point.answered).sum::<u64>(), 99_000);
        assert_eq!(points.iter().map(|point| point.lost).sum::<u64>(), 1000);
        assert!(points.windows(2).all(|pair| pair[0].at + series.width() <= pair[1].at));
        assert!(points.iter().all(|point| point.rtt == Some((millis(1), millis(10)))));
    }
}
