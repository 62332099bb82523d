//! Timestamps and error estimates.

use core::time::Duration;

use crate::time::WallTime;

/// Seconds from 1900-01-01, the epoch of NTP, to 1970-01-01 (RFC 868).
const NTP_EPOCH: u64 = 2_208_988_800;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The format of a timestamp, which the Z bit of its error estimate shows (RFC 8186 section 2).
///
/// Both formats repeat after 2³² seconds, NTP in 2036 and PTP in 2106, so a timestamp is decoded to
/// the time nearest to a known one.
///
/// ```
/// use echosounder_proto::WallTime;
/// use echosounder_proto::stamp::TimestampFormat;
///
/// let time = WallTime::from_nanos(1_500_000_000);
/// assert_eq!(TimestampFormat::Ntp.encode(time), 2_208_988_801 << 32 | 1 << 31);
/// assert_eq!(TimestampFormat::Ptp.encode(time), 1 << 32 | 500_000_000);
/// assert_eq!(TimestampFormat::Ntp.decode(TimestampFormat::Ntp.encode(time), time), time);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampFormat {
    /// The 64-bit format of NTP (RFC 5905 section 6): seconds since 1900, and a binary fraction of
    /// 233 picoseconds.
    #[default]
    Ntp,
    /// The truncated format of IEEE 1588 version 2: seconds since 1970, and nanoseconds. The seconds
    /// are those of UTC, as other implementations send them, although the clock of IEEE 1588 counts
    /// TAI.
    Ptp,
}

impl TimestampFormat {
    /// Returns the 64 bits that show `time`. They are never zero, which means that the time is unknown
    /// (RFC 5905 section 6).
    pub fn encode(self, time: WallTime) -> u64 {
        let (seconds, nanos) = (time.seconds(), u128::from(time.subsec_nanos()));
        let (seconds, fraction) = match self {
            Self::Ntp => {
                let fraction = ((nanos << 32) + NANOS_PER_SECOND / 2) / NANOS_PER_SECOND;
                (seconds + NTP_EPOCH, fraction)
            }
            Self::Ptp => (seconds, nanos),
        };
        // The seconds lose their upper half, and the fraction has 32 bits.
        (seconds << 32 | u64::try_from(fraction).unwrap_or(0)).max(1)
    }

    /// Returns the time nearest to `near` that these 64 bits show. A timestamp of this format is
    /// exact to a nanosecond if it is within 68 years of `near`.
    pub fn decode(self, bits: u64, near: WallTime) -> WallTime {
        let (seconds, fraction) = (bits >> 32, u128::from(bits & 0xffff_ffff));
        let (epoch, nanos) = match self {
            Self::Ntp => (NTP_EPOCH, (fraction * NANOS_PER_SECOND + (1 << 31)) >> 32),
            Self::Ptp => (0, fraction),
        };
        let near = i128::from(near.seconds() + epoch);
        let era = 1_i128 << 32;
        let ahead = (i128::from(seconds) - near + era / 2).rem_euclid(era) - era / 2;
        let seconds = u128::try_from(near + ahead - i128::from(epoch)).unwrap_or(0);
        WallTime::from_nanos(u64::try_from(seconds * NANOS_PER_SECOND + nanos).unwrap_or(u64::MAX))
    }
}

/// How far the clock of a timestamp may be from UTC, and the format of the timestamp (RFC 4656
/// section 4.1.2).
///
/// ```
/// use core::time::Duration;
/// use echosounder_proto::stamp::{ErrorEstimate, TimestampFormat};
///
/// let estimate = ErrorEstimate::new(true, Duration::from_millis(1), TimestampFormat::Ntp);
/// assert!(estimate.is_synchronized());
/// // Rounded up, by less than 1 %.
/// assert!(Duration::from_millis(1) <= estimate.error() && estimate.error() < Duration::from_micros(1010));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEstimate(u16);

impl ErrorEstimate {
    const SYNCHRONIZED: u16 = 1 << 15;
    const PTP: u16 = 1 << 14;
    const SCALE_SHIFT: u32 = 8;
    const SCALE_MAX: u32 = 63;
    const MULTIPLIER_MAX: u128 = 255;

    /// The estimate of a clock that nothing is known about: not synchronized, the greatest error,
    /// timestamps in the format of NTP.
    pub const UNKNOWN: Self = Self(0x3fff);

    /// Returns the estimate of a clock with that error at most, rounded up. `is_synchronized`
    /// states that an external source synchronizes the clock to UTC.
    pub fn new(is_synchronized: bool, error: Duration, format: TimestampFormat) -> Self {
        // Units of 2^-32 seconds.
        let mut multiplier = (error.as_nanos() << 32).div_ceil(NANOS_PER_SECOND).max(1);
        let mut scale = 0;
        while Self::MULTIPLIER_MAX < multiplier && scale < Self::SCALE_MAX {
            multiplier = multiplier.div_ceil(2);
            scale += 1;
        }
        let multiplier = u16::try_from(multiplier.min(Self::MULTIPLIER_MAX)).unwrap_or(u16::MAX);
        let scale = u16::try_from(scale << Self::SCALE_SHIFT).unwrap_or(0);
        let synchronized = if is_synchronized { Self::SYNCHRONIZED } else { 0 };
        Self(synchronized | scale | multiplier).with_format(format)
    }

    /// Returns the estimate of a packet, from its 16 bits.
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the 16 bits of a packet.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Returns the same estimate for a timestamp in that format.
    #[must_use]
    pub fn with_format(self, format: TimestampFormat) -> Self {
        Self(match format {
            TimestampFormat::Ntp => self.0 & !Self::PTP,
            TimestampFormat::Ptp => self.0 | Self::PTP,
        })
    }

    /// Returns whether an external source synchronizes the clock to UTC (the S bit).
    pub fn is_synchronized(self) -> bool {
        self.0 & Self::SYNCHRONIZED != 0
    }

    /// Returns the format of the timestamp (the Z bit).
    pub fn format(self) -> TimestampFormat {
        if self.0 & Self::PTP == 0 { TimestampFormat::Ntp } else { TimestampFormat::Ptp }
    }

    /// Returns whether the multiplier is not zero, as RFC 4656 demands. The error of an estimate
    /// with a multiplier of zero is unknown.
    pub fn is_valid(self) -> bool {
        self.0 & 0xff != 0
    }

    /// Returns the error, rounded up to nanoseconds; up to 17,000 years.
    pub fn error(self) -> Duration {
        let multiplier = u128::from(self.0 & 0xff);
        let scale = u32::from(self.0 >> Self::SCALE_SHIFT) & Self::SCALE_MAX;
        let nanos = ((multiplier << scale) * NANOS_PER_SECOND).div_ceil(1 << 32);
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX);
        Duration::new(seconds, u32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0))
    }
}
