//! Limits that the result of a ping must keep.

use std::time::Duration;

use super::report::PingReport;

/// A percentage, 0 to 100.
///
/// See [`Thresholds`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// Returns the percentage, or `None` if it is not between 0 and 100.
    pub fn new(percent: f64) -> Option<Self> {
        (0.0..=100.0).contains(&percent).then_some(Self(percent))
    }

    /// Returns the percentage as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// Limits that a result must keep. `None` means no limit.
///
/// ```
/// use std::time::Duration;
/// use echosounder_client::{PingReport, Thresholds};
///
/// fn is_good(report: &PingReport) -> bool {
///     let mut limits = Thresholds::default();
///     limits.p99_max = Some(Duration::from_millis(5));
///     limits.check(report).is_empty()
/// }
/// # let _ = is_good;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Thresholds {
    /// The maximum packet loss.
    pub loss_max: Option<Percent>,
    /// The maximum 99th percentile of the round-trip time.
    pub p99_max: Option<Duration>,
}

/// A limit that a result does not keep.
///
/// See [`Thresholds`] for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Miss {
    /// Too many requests were lost, or none was sent.
    Loss {
        /// Lost requests.
        lost: u64,
        /// All requests.
        sent: u64,
        /// The limit.
        max: Percent,
    },
    /// The 99th percentile of the round-trip time is too high.
    P99 {
        /// The 99th percentile in nanoseconds, by nearest rank; `None` if nothing was replied to.
        rtt_ns: Option<i64>,
        /// Whether there are enough replies for a 99th percentile. If not, the time is the maximum.
        is_percentile: bool,
        /// The limit.
        max: Duration,
    },
}

impl Thresholds {
    /// Returns the limits that the result does not keep.
    pub fn check(&self, report: &PingReport) -> Vec<Miss> {
        let (lost, sent) = (report.lost.total(), report.sent());
        let is_lossy = |max: &Percent| sent == 0 || max.get() < report.loss_percent();
        let loss = self.loss_max.filter(is_lossy).map(|max| Miss::Loss { lost, sent, max });
        let rtt_ns = report.rtt.delay.rank(99.0);
        let rtt = rtt_ns.map(|nanos| Duration::from_nanos(nanos.max(0).unsigned_abs()));
        let is_percentile = report.rtt.delay.percentile(99.0).is_some();
        let is_slow = |max: &Duration| rtt.is_none_or(|rtt| *max < rtt);
        let p99 = self.p99_max.filter(is_slow).map(|max| Miss::P99 { rtt_ns, is_percentile, max });
        loss.into_iter().chain(p99).collect()
    }
}

#[cfg(test)]
mod tests {
    use echosounder_proto::{FailureKind, Moment, MonoTime, Sample, Seen, Times, WallTime};

    use super::*;
    use crate::ping::detail::Detail;
    use crate::ping::directions::ClockRelation;
    use crate::ping::statistics::Statistics;

    /// The report of requests with round-trip times of 1 ms, 2 ms and so on, and of some that were
    /// lost.
    fn report(replied: u64, lost: u64) -> PingReport {
        let mono = |millis| MonoTime::from_origin(Duration::from_millis(millis));
        let mut statistics = Statistics::new(ClockRelation::Free, true, mono(0), Detail::Full);
        for number in 1..=replied {
            let at = |millis| Times::of(Moment { wall: WallTime::from_nanos(millis), mono: mono(millis) });
            let (sent, received, due) = (at(0), at(number), mono(0));
            let sample = Sample {
                number,
                due,
                sent,
                received,
                timestamp: None,
                seen: Seen::default(),
                queued: None,
                reordered: false,
            };
            statistics.replied(&sample, false, None);
        }
        (0..lost).for_each(|_| statistics.lost(FailureKind::Timeout.into(), mono(0), mono(1), None));
        statistics.report(0)
    }

    #[test]
    fn only_numbers_from_0_to_100_are_percentages() {
        for valid in [0.0, 0.5, 100.0] {
            assert_eq!(Percent::new(valid).map(Percent::get), Some(valid));
        }
        for invalid in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Percent::new(invalid), None);
        }
    }

    #[test]
    fn the_loss_must_not_exceed_its_limit() {
        let check = |percent, report: &PingReport| {
            Thresholds { loss_max: Percent::new(percent), p99_max: None }.check(report)
        };
        let one_in_ten = report(9, 1);
        assert_eq!(check(10.0, &one_in_ten), []);
        let max = Percent::new(9.9).unwrap();
        assert_eq!(check(9.9, &one_in_ten), [Miss::Loss { lost: 1, sent: 10, max }]);
        // Without a request nothing is known of the loss.
        let max = Percent::new(100.0).unwrap();
        assert_eq!(check(100.0, &report(0, 0)), [Miss::Loss { lost: 0, sent: 0, max }]);
    }

    #[test]
    fn the_p99_must_not_exceed_its_limit() {
        let check = |millis, report: &PingReport| {
            Thresholds { loss_max: None, p99_max: Some(Duration::from_millis(millis)) }.check(report)
        };
        assert_eq!(check(100, &report(100, 0)), []);
        let [Miss::P99 { rtt_ns: Some(98_500_000..=99_500_000), is_percentile: true, .. }] =
            check(98, &report(100, 0))[..]
        else {
            panic!("99 ms exceed 98 ms")
        };
        // Too few for a percentile, the maximum must keep the limit.
        assert_eq!(check(10, &report(10, 0)), []);
        assert!(matches!(check(9, &report(10, 0))[..], [Miss::P99 { is_percentile: false, .. }]));
        assert!(matches!(check(9, &report(0, 5))[..], [Miss::P99 { rtt_ns: None, .. }]));
    }
}
