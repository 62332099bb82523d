//! Times of the two clocks, as two types: the wall clock labels events, the monotonic clock
//! measures.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// It labels events and never measures, since the wall clock may be stepped. It always has nineteen
/// digits or fewer and is never zero, because nineteen zeros are the placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(u64);

impl WallTime {
    const MAX_NANOS: u64 = 9_999_999_999_999_999_999;

    /// Returns the wall time that many nanoseconds after the epoch, clamped to what a timestamp can
    /// show.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos.clamp(1, Self::MAX_NANOS))
    }

    /// Returns nanoseconds since the epoch.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns whether this is the first or the last time that a timestamp can show. The clock is
    /// then at that time or beyond it, and how far beyond is unknown.
    ///
    /// ```
    /// use echosounder_proto::WallTime;
    ///
    /// assert!(WallTime::from_nanos(u64::MAX).is_limit());
    /// assert!(!WallTime::from_nanos(1_795_346_376_123_456_789).is_limit());
    /// ```
    pub fn is_limit(self) -> bool {
        self.0 == 1 || self.0 == Self::MAX_NANOS
    }

    /// Returns whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Returns the nanoseconds within the second.
    pub fn subsec_nanos(self) -> u64 {
        self.0 % 1_000_000_000
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self::from_nanos(self.0.saturating_add(nanos))
    }
}

/// A point on a clock that never steps, in nanoseconds since an origin that only this process
/// knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonoTime(u64);

impl MonoTime {
    /// Returns the time that long after the origin.
    pub fn from_origin(span: Duration) -> Self {
        Self(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns nanoseconds since the origin.
    pub fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for MonoTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for MonoTime {
    type Output = Duration;

    /// Returns the time since `earlier`, or zero if that is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A source of the current time. It is a parameter, so that tests can set it.
///
/// ```
/// use core::time::Duration;
/// use echosounder_proto::{Clock, Moment, MonoTime, WallTime};
///
/// struct Stopped;
///
/// impl Clock for Stopped {
///     fn now(&self) -> Moment {
///         Moment { wall: WallTime::from_nanos(1), mono: MonoTime::from_origin(Duration::ZERO) }
///     }
/// }
///
/// assert_eq!(Stopped.now(), Stopped.now());
/// ```
pub trait Clock {
    /// Returns the current time, read from both clocks.
    fn now(&self) -> Moment;

    /// Returns the current monotonic time alone, which may be cheaper.
    fn mono(&self) -> MonoTime {
        self.now().mono
    }
}

/// One instant, read from both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of the wall clock.
    pub wall: WallTime,
    /// The time of the monotonic clock.
    pub mono: MonoTime,
}

impl Moment {
    /// Returns the wall time at the later monotonic time `mono`, as if the wall clock had not been
    /// stepped since.
    pub fn wall_at(&self, mono: MonoTime) -> WallTime {
        self.wall + (mono - self.mono)
    }
}

/// A wall time in the local zone, as text. The owner of the clock renders it once a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The instant that the texts show.
    pub wall: WallTime,
    /// As `ctime(3)` writes it, without the newline: `Sun Nov 22 12:19:36 2026`, the day padded
    /// with a space.
    pub ctime: [u8; 24],
    /// Local date and time of RFC 3339 §5.6, to the second: `2026-11-22T12:19:36`.
    pub date_time: [u8; 19],
    /// Offset from UTC of RFC 3339 §5.6, always numeric: `+01:00`.
    pub offset: [u8; 6],
}

impl LocalTime {
    /// A fixed instant in the zone UTC+1, for examples and tests.
    pub const EXAMPLE: Self = Self {
        wall: WallTime(1_795_346_376_123_456_789),
        ctime: *b"Sun Nov 22 12:19:36 2026",
        date_time: *b"2026-11-22T12:19:36",
        offset: *b"+01:00",
    };
}
