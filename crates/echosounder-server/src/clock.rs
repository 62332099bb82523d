//! The system's clocks, behind the [`Clock`] trait that the workers read time through.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use echosounder_proto::{Clock, Moment, MonoTime, WallTime};

/// The system's clocks: CLOCK_REALTIME and CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the loop's one clock")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the loop's one clock")]
    fn now(&self) -> Moment {
        // A clock set before 1970 reads as 1970, so that every message can have a timestamp.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            wall: WallTime::from_nanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)),
            mono: MonoTime::from_origin(self.origin.elapsed()),
        }
    }
}
