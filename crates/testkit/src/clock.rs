//! A clock that the test sets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use echosounder_proto::{Clock, Moment, MonoTime, WallTime};

/// A clock that stands still until the test moves it. Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use echosounder_proto::Clock;
/// use echosounder_testkit::FakeClock;
///
/// let clock = FakeClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now().mono - start.mono, Duration::from_millis(5));
/// ```
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<Mutex<Moment>>);

impl FakeClock {
    /// The wall time at which a new clock stands: 2026-11-22T11:19:36Z, in nanoseconds since the
    /// Unix epoch.
    pub const START_UNIX_NS: u64 = 1_795_346_376_000_000_000;

    /// Returns a clock that stands at [`START_UNIX_NS`](Self::START_UNIX_NS), its monotonic time at
    /// zero.
    pub fn new() -> Self {
        let wall = WallTime::from_nanos(Self::START_UNIX_NS);
        Self(Arc::new(Mutex::new(Moment { wall, mono: MonoTime::from_origin(Duration::ZERO) })))
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = Moment { wall: now.wall + span, mono: now.mono + span };
    }

    /// Lets time pass until the monotonic clock shows `mono`. A time in the past changes nothing.
    pub fn advance_to(&self, mono: MonoTime) {
        let span = mono - self.now().mono;
        self.advance(span);
    }

    /// Steps the wall clock, as an administrator does; the monotonic clock does not move.
    pub fn set_wall(&self, wall: WallTime) {
        self.0.lock().unwrap().wall = wall;
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advance_moves_both_clocks_and_set_wall_only_one() {
        let clock = FakeClock::new();
        clock.clone().advance(Duration::from_secs(1));
        let wall = WallTime::from_nanos(FakeClock::START_UNIX_NS + 1_000_000_000);
        let mono = MonoTime::from_origin(Duration::from_secs(1));
        assert_eq!(clock.now(), Moment { wall, mono });
        clock.set_wall(WallTime::from_nanos(7));
        assert_eq!(clock.now(), Moment { wall: WallTime::from_nanos(7), mono });
        clock.advance_to(MonoTime::from_origin(Duration::ZERO));
        assert_eq!(clock.now().mono, mono);
    }
}
