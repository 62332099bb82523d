use std::time::Duration;

use echosounder_proto::stamp::{ErrorEstimate, TimestampFormat};
use proptest::prelude::*;

use super::at;

const FORMATS: [TimestampFormat; 2] = [TimestampFormat::Ntp, TimestampFormat::Ptp];

/// The clock has nineteen digits, so the last year is 2286.
const NANOS_MAX: u64 = 9_999_999_999_999_999_998;

proptest! {
    #[test]
    fn times_are_exact_in_any_era(nanos in 2..NANOS_MAX, away in 0_u64..2_000_000_000, is_later: bool) {
        let away = away * 1_000_000_000;
        let near = if is_later { nanos.saturating_add(away) } else { nanos.saturating_sub(away) };
        for format in FORMATS {
            prop_assert_eq!(format.decode(format.encode(at(nanos)), at(near)), at(nanos));
        }
    }

    #[test]
    fn any_bits_are_decoded_to_a_time_within_68_years(bits: u64, near: u64) {
        let half = i128::from(1_u64 << 31) + 5;
        for format in FORMATS {
            let (near, time) = (at(near), format.decode(bits, at(near)));
            let apart = i128::from(time.seconds()) - i128::from(near.seconds());
            prop_assert!(-half < apart && apart < half, "{apart} seconds");
        }
    }

    #[test]
    fn estimates_are_rounded_up_by_a_percent_at_most(nanos: u64, is_synchronized: bool) {
        let error = Duration::from_nanos(nanos);
        for format in FORMATS {
            let estimate = ErrorEstimate::new(is_synchronized, error, format);
            prop_assert!(estimate.is_valid(), "a multiplier of zero is not allowed");
            prop_assert_eq!((estimate.is_synchronized(), estimate.format()), (is_synchronized, format));
            prop_assert!(error <= estimate.error(), "{:?}", estimate.error());
            let most = error + error / 100 + Duration::from_nanos(1);
            prop_assert!(estimate.error() <= most, "{:?}", estimate.error());
            prop_assert_eq!(ErrorEstimate::from_bits(estimate.bits()), estimate);
        }
    }

    #[test]
    fn any_estimate_has_an_error(bits: u16) {
        let estimate = ErrorEstimate::from_bits(bits);
        prop_assert_eq!(estimate.error().is_zero(), !estimate.is_valid());
    }
}

/// The eras of NTP end on 2036-02-07T06:28:16Z, those of PTP on 2106-02-07T06:28:16Z; a signed number of
/// seconds ends on 2038-01-19T03:14:08Z.
#[test]
fn timestamps_go_on_after_the_end_of_an_era() {
    for end in [2_085_978_496_u64, 2_147_483_648, 4_294_967_296] {
        for seconds in [end - 1, end, end + 1] {
            let time = at(seconds * 1_000_000_000 + 999_999_999);
            for format in FORMATS {
                let bits = format.encode(time);
                for near in [end - 100, end + 100] {
                    assert_eq!(format.decode(bits, at(near * 1_000_000_000)), time, "{format:?} {seconds}");
                }
            }
        }
    }
    assert_eq!(TimestampFormat::Ntp.encode(at(2_085_978_496_000_000_000)), 1);
    assert_eq!(TimestampFormat::Ptp.encode(at(4_294_967_296_000_000_000)), 1);
}

#[test]
fn known_timestamps_and_estimates() {
    let time = at(1_000_000_000_500_000_000);
    // 2001-09-09T01:46:40.5Z is 3,208,988,800.5 seconds after 1900.
    assert_eq!(TimestampFormat::Ntp.encode(time), 0xbf45_4880_8000_0000);
    assert_eq!(TimestampFormat::Ptp.encode(time), 0x3b9a_ca00_1dcd_6500);
    // Two nanoseconds are 8.59 × 2^-32 seconds.
    assert_eq!(TimestampFormat::Ntp.encode(at(1_000_000_000_000_000_002)), 0xbf45_4880_0000_0009);
    // Estimates of other programs: 2^-32 seconds, and the greatest without the bits S and Z.
    assert_eq!(ErrorEstimate::from_bits(0x0001).error(), Duration::from_nanos(1));
    assert!(Duration::from_secs(86_400 * 365 * 1000) < ErrorEstimate::UNKNOWN.error());
    assert_eq!(ErrorEstimate::new(true, Duration::ZERO, TimestampFormat::Ptp).bits(), 0xc001);
    // One second is 128 × 2^25 × 2^-32.
    assert_eq!(ErrorEstimate::new(false, Duration::from_secs(1), TimestampFormat::Ntp).bits(), 0x1980);
    let bits = |bits| ErrorEstimate::from_bits(bits);
    assert!(bits(0x8001).is_valid() && !bits(0x3f00).is_valid() && !bits(0).is_valid());
    for format in FORMATS {
        assert_eq!(bits(0x4001).with_format(format).format(), format);
    }
    let most = ErrorEstimate::new(false, Duration::MAX, TimestampFormat::Ntp);
    assert_eq!(most.bits(), 0x3fff, "an error beyond the format is shown as the greatest");
    assert_eq!(TimestampFormat::Ntp.decode(1 << 62, at(1)), at(1), "1934 is before the clock");
}
