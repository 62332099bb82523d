use std::time::Duration;

use echosounder_proto::{
    Reading, Scan, TIMESTAMP_PLACEHOLDER, Timestamp, WallTime, scan, starts_with_timestamp,
};
use proptest::prelude::*;

#[test]
fn the_beginning_of_a_timestamp_is_partial_and_its_tail_is_ignored() {
    for stamp in [
        "[Sun Nov 22 12:19:36 2026] ",
        "[Tue Dec  1 00:00:00 2026] ",
        "[2026-11-22T12:19:36.123456789-01:00] ",
        "[1795346376.123456789] ",
        "[1795346376123456789 1795346376123456790] ",
    ] {
        for len in 0..stamp.len() {
            assert_eq!(scan(&stamp.as_bytes()[..len]), Scan::Partial, "{}", &stamp[..len]);
        }
        let message = format!("{stamp}[rest");
        assert!(matches!(scan(message.as_bytes()), Scan::Timestamp(_, len) if len == stamp.len()));
    }
}

#[test]
fn the_placeholder_is_no_timestamp() {
    assert!(!starts_with_timestamp(TIMESTAMP_PLACEHOLDER));
    assert!(!starts_with_timestamp(b"[0000000000000000000 0000000000000000000] payload"));
    assert!(starts_with_timestamp(b"[0000000000000000000 0000000000000000001] payload"));
}

#[test]
fn near_misses_are_no_timestamps() {
    for text in [
        "Sun Nov 22 12:19:36 2026 ",
        "[Sun Nov 22 12:19:36 2026]x",
        "[Sun Nov 2a 12:19:36 2026] ",
        "[179534637.123456789] ",
        "[17953463760.123456789] ",
        "[]",
        " ",
    ] {
        assert_eq!(scan(text.as_bytes()), Scan::Other, "{text}");
    }
}

#[test]
fn an_ns_timestamp_shows_both_times() {
    let Scan::Timestamp(Timestamp::Ns { rx, tx }, 42) = scan(b"[1795346376123456789 9999999999999999999] ")
    else {
        panic!("it is an ns stamp");
    };
    assert_eq!(rx, WallTime::from_nanos(1_795_346_376_123_456_789));
    assert_eq!(tx, WallTime::from_nanos(9_999_999_999_999_999_999));
}

/// Returns the timestamp that this text begins with.
fn reading(text: &str) -> Option<Reading> {
    match scan(text.as_bytes()) {
        Scan::Timestamp(stamp, _) => stamp.reading(),
        scan => panic!("{scan:?}"),
    }
}

#[test]
fn every_timestamp_has_a_reading() {
    const SECOND: u64 = 1_795_346_376;
    let exact = WallTime::from_nanos(SECOND * 1_000_000_000 + 123_456_789);
    let fine = Reading { rx: exact, tx: exact, resolution: Duration::ZERO, zoned: true };
    assert_eq!(reading("[1795346376.123456789] "), Some(fine));
    assert_eq!(reading("[2026-11-22T12:19:36.123456789+01:00] "), Some(fine));
    assert_eq!(reading("[2026-11-22T08:19:36.123456789-03:00] "), Some(fine));
    assert_eq!(reading("[2026-11-22T16:49:36.123456789+05:30] "), Some(fine));
    assert_eq!(reading("[2026-11-22T07:49:36.123456789-03:30] "), Some(fine));
    let whole = WallTime::from_nanos((SECOND + 3600) * 1_000_000_000);
    let coarse = Reading { rx: whole, tx: whole, resolution: Duration::from_millis(1010), zoned: false };
    assert_eq!(reading("[Sun Nov 22 12:19:36 2026] "), Some(coarse));
    let first = WallTime::from_nanos(1_796_083_200_000_000_000);
    assert_eq!(reading("[Tue Dec  1 00:00:00 2026] ").map(|reading| reading.rx), Some(first));
    let leap_day = WallTime::from_nanos(1_709_164_800_000_000_000);
    assert_eq!(reading("[Thu Feb 29 00:00:00 2024] ").map(|reading| reading.rx), Some(leap_day));
}

#[test]
fn years_of_a_new_century_are_leap_years_if_400_divides_them() {
    let seconds = |text: &str| reading(text).map(|reading| reading.rx.seconds());
    assert_eq!(seconds("[Tue Feb 29 00:00:00 2000] "), Some(951_782_400));
    assert_eq!(seconds("[Mon Feb 29 00:00:00 2100] "), None);
    assert_eq!(seconds("[Mon Mar  1 00:00:00 2100] "), Some(4_107_542_400));
    assert_eq!(seconds("[Fri Dec 31 23:59:60 1999] "), Some(946_684_800), "a leap second");
}

#[test]
fn a_timestamp_of_an_impossible_time_is_still_recognised() {
    for text in [
        "[Sun Nop 22 12:19:36 2026] ",
        "[Sun Nov 31 12:19:36 2026] ",
        "[Wed Feb 29 12:19:36 2023] ",
        "[Sun Nov 22 24:00:00 2026] ",
        "[Sun Nov 22 12:60:00 2026] ",
        "[Sun Nov 22 12:00:61 2026] ",
        "[Sun Nov  0 12:19:36 2026] ",
        "[Sun Nov 22 12:19:36 1969] ",
        "[Sun Nov 22 12:19:36 0000] ",
        "[2026-13-22T12:19:36.123456789+01:00] ",
        "[1970-01-01T00:59:59.123456789+01:00] ",
        "[0000-01-01T00:00:00.000000000+99:99] ",
    ] {
        assert_eq!(reading(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), head in "\\[[0-9 .:T+A-Za-z-]{0,50}\\]? ?") {
        scan(&bytes);
        scan(head.as_bytes());
    }
}
