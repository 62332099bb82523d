//! The asker's clock.

use std::time::{Duration, Instant, SystemTime};

use echosounder_proto::{Moment, MonoTime, WallTime};

/// Two clocks that were read within this time were read at once.
const AT_ONCE: Duration = Duration::from_micros(1);

/// How often they are read anew to come to that.
const RETRIES: u32 = 3;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the asking loop's one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Both clocks, the monotonic one counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks(Instant);

impl Clocks {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    /// The time now, by both as nearly at once as can be: whoever reads one clock may stand still before the other.
    #[expect(clippy::disallowed_methods, reason = "this is the asking loop's one clock")]
    pub(crate) fn now(self) -> Moment {
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
        let mono = MonoTime::from_origin(before + apart / 2 - self.0);
        Moment { wall: WallTime::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)), mono }
    }
}

/// A point in time by which something is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now; a time too far away to be told is never.
    pub(crate) fn after(span: Duration) -> Self {
        Self(now().checked_add(span))
    }

    /// The time left; `None` for a deadline that never comes.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|deadline| deadline.saturating_duration_since(now()))
    }

    /// Whichever comes first.
    pub(crate) fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(another)) => Self(Some(one.min(another))),
            (one, another) => Self(one.or(another)),
        }
    }

    /// Whether a moment is in time.
    pub(crate) fn includes(self, moment: Instant) -> bool {
        self.0.is_none_or(|deadline| moment <= deadline)
    }

    pub(crate) fn is_over(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}
