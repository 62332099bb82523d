//! The system's clocks, and deadlines that are made from and compared with their times.

use std::time::{Duration, Instant, SystemTime};

use echosounder_proto::{Clock, Moment, MonoTime, WallTime};

/// Two readings of the clocks within this time count as one instant.
const AT_ONCE: Duration = Duration::from_micros(1);

/// How often the clocks are read again to get two readings that close.
const RETRIES: u32 = 3;

/// Returns the monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the client's one clock")]
fn now() -> Instant {
    Instant::now()
}

/// The clocks of this machine: the wall clock, and the monotonic clock counted from when this was
/// made.
///
/// Copies share one origin, so their times can be compared.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self { origin: now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    /// Returns both times, read again if the thread was suspended between the two readings.
    #[expect(clippy::disallowed_methods, reason = "this is the client's one clock")]
    fn now(&self) -> Moment {
        let read = || {
            let before = now();
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (now() - before, before, wall)
        };
        let mut best = read();
        for _ in 0..RETRIES {
            if best.0 <= AT_ONCE {
                break;
            }
            let again = read();
            best = if again.0 < best.0 { again } else { best };
        }
        let (apart, before, wall) = best;
        let mono = MonoTime::from_origin(before + apart / 2 - self.origin);
        Moment { wall: WallTime::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)), mono }
    }

    fn mono(&self) -> MonoTime {
        MonoTime::from_origin(now() - self.origin)
    }
}

/// A point in time by which an operation must end, or never.
///
/// It is made from and compared with times that one [`Clock`] has returned; times of two clocks
/// have two origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<MonoTime>);

impl Deadline {
    /// The deadline of an operation that may take forever.
    pub(crate) const NEVER: Self = Self(None);

    /// Returns the deadline `span` after `now`. A span that no clock can reach means never.
    pub(crate) fn after(now: MonoTime, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).ok().and_then(|span| now.as_nanos().checked_add(span));
        Self(nanos.map(|nanos| MonoTime::from_origin(Duration::from_nanos(nanos))))
    }

    /// Returns the point in time; `None` for a deadline that never comes.
    pub(crate) fn time(self) -> Option<MonoTime> {
        self.0
    }

    /// Returns the time left at `now`; `None` for a deadline that never comes.
    pub(crate) fn left(self, now: MonoTime) -> Option<Duration> {
        self.0.map(|deadline| deadline - now)
    }

    /// Returns the earlier of two deadlines.
    pub(crate) fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(another)) => Self(Some(one.min(another))),
            (one, another) => Self(one.or(another)),
        }
    }

    /// Returns whether `at` is not after the deadline.
    pub(crate) fn includes(self, at: MonoTime) -> bool {
        self.0.is_none_or(|deadline| at <= deadline)
    }

    /// Returns whether no time is left at `now`.
    pub(crate) fn is_over(self, now: MonoTime) -> bool {
        self.0.is_some_and(|deadline| deadline <= now)
    }
}
