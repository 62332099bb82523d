//! When requests are due.

use core::time::Duration;

use crate::time::MonoTime;

/// Requests that are due for longer than this, and than their interval, are skipped: the machine
/// stood still, and the peer must not get them all at once.
const STALL: Duration = Duration::from_secs(1);

/// Requests to a server whose clock shows whole seconds are aimed at the seconds' edges.
const SECOND: Duration = Duration::from_secs(1);

/// The rule that decides when the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbePace {
    /// Closed loop: the next request is sent when the last was replied to or given up.
    Closed,
    /// Open loop: requests are sent at a fixed interval, whether or not replies arrive.
    Open {
        /// The time from one request to the next; not zero.
        interval: Duration,
    },
}

impl ProbePace {
    /// Returns the pace with this interval; zero means a closed loop.
    pub fn from_interval(interval: Duration) -> Self {
        if interval.is_zero() { Self::Closed } else { Self::Open { interval } }
    }

    /// Returns the time from one request to the next, or `None` in a closed loop.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Open { interval } => Some(interval),
        }
    }
}

/// The due times of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pace: ProbePace,
    /// When the next request is due in an open loop, unless it is aimed at a phase.
    upcoming: MonoTime,
    /// When the last request was replied to or given up.
    settled: MonoTime,
    /// The position within each second at which requests are sent.
    phase: Option<Duration>,
    skipped: u64,
}

impl Schedule {
    /// Creates a schedule whose first request is due at `start`.
    pub(crate) fn new(pace: ProbePace, start: MonoTime) -> Self {
        Self { pace, upcoming: start, settled: start, phase: None, skipped: 0 }
    }

    /// Returns when the next request is due; `None` in a closed loop while one is in flight.
    pub(crate) fn due(&self, is_idle: bool) -> Option<MonoTime> {
        match (self.pace, self.phase) {
            (ProbePace::Closed, _) => is_idle.then_some(self.settled),
            (ProbePace::Open { .. }, None) => Some(self.upcoming),
            (ProbePace::Open { interval }, Some(phase)) => Some(self.aimed(interval, phase)),
        }
    }

    /// Notes that no request up to some number is in flight any more.
    pub(crate) fn settle(&mut self, at: MonoTime) {
        self.settled = at;
    }

    /// Notes that the request that is due then is dealt with now, and skips those that are long due
    /// because the machine stood still. Returns when it counts as due.
    pub(crate) fn advance(&mut self, due: MonoTime, now: MonoTime) -> MonoTime {
        let Some(interval) = self.pace.interval() else {
            self.upcoming = due;
            return due;
        };
        let due = due + self.skip(interval, now - due);
        self.upcoming = due + interval;
        due
    }

    /// Sends requests from now on that long after a whole second of the monotonic clock, as many of
    /// them as their interval allows: all if it is in whole seconds, one each second if it divides
    /// the second. They stay an interval apart; one gap alone is longer or shorter, by half of it
    /// at most unless the time for that is past.
    pub(crate) fn aim(&mut self, phase: Duration) {
        self.phase = Some(phase);
    }

    /// Returns how many requests were skipped.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns the time nearest to when the next request is due from which requests, at their
    /// interval, come to be sent at that phase.
    fn aimed(&self, interval: Duration, phase: Duration) -> MonoTime {
        let unit = common_divisor(nanos(interval), nanos(SECOND));
        let due = self.upcoming.as_nanos();
        let wait = (nanos(phase) % unit + unit - due % unit) % unit;
        let early = MonoTime::from_origin(Duration::from_nanos(due.saturating_sub(unit - wait)));
        // A time that has passed when the aim is taken is too early.
        if unit - wait < wait && self.settled <= early {
            early
        } else {
            self.upcoming + Duration::from_nanos(wait)
        }
    }

    /// Skips the requests that are long due, the first of them for `delay`, and returns the time
    /// that they would have taken.
    fn skip(&mut self, interval: Duration, delay: Duration) -> Duration {
        let interval_ns = nanos(interval);
        if interval_ns == 0 || delay <= STALL.max(interval) {
            return Duration::ZERO;
        }
        let skipped = nanos(delay) / interval_ns;
        self.skipped += skipped;
        Duration::from_nanos(skipped * interval_ns)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
