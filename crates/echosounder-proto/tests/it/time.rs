//! Laws of the wall clock's times, from before 1970 to after the last timestamp.

use std::time::Duration;

use echosounder_proto::{
    Framing, Input, LocalTime, Moment, MonoTime, Responder, Scan, StampContext, WallTime, scan,
};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// Times at which other programs fail, in seconds since 1970.
const CRITICAL: [u64; 12] = [
    0,
    1,
    // 2016-12-31T23:59:59, before a leap second, and the second after it.
    1_483_228_799,
    1_483_228_800,
    // 32 bits with a sign end in 2038, those without one in 2106.
    2_147_483_647,
    2_147_483_648,
    4_294_967_295,
    4_294_967_296,
    // 64 bits of nanoseconds with a sign end in 2262.
    9_223_372_036,
    9_223_372_037,
    // The last second of a timestamp, in 2286, and the last of 64 bits without a sign, in 2554.
    9_999_999_999,
    18_446_744_073,
];

fn any_nanos() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..CRITICAL.len(), 0..SECOND)
            .prop_map(|(index, nanos)| (CRITICAL[index] * SECOND).saturating_add(nanos)),
    ]
}

/// Returns the prefix of a reply at this time.
fn prefix(template: &str, wall: WallTime) -> Vec<u8> {
    let responder = Responder { stamp: template.parse().unwrap(), framing: Framing::default() };
    let time = LocalTime { wall, ..LocalTime::EXAMPLE };
    let mut context = StampContext::anonymous(&time);
    (context.rx, context.tx) = (wall, wall);
    let mut out = Vec::new();
    responder.respond(b"x", Input::Last, &mut context, &mut out, |_| {});
    assert_eq!(out.pop(), Some(b'x'));
    out
}

proptest! {
    #[test]
    fn wall_time_is_clamped_and_keeps_the_order(one in any_nanos(), other in any_nanos()) {
        let [one_wall, other_wall] = [one, other].map(WallTime::from_nanos);
        prop_assert_eq!(one_wall.seconds() * SECOND + one_wall.subsec_nanos(), one_wall.as_nanos());
        prop_assert!((1..10 * SECOND * SECOND).contains(&one_wall.as_nanos()));
        prop_assert!(one_wall.is_limit() || one_wall.as_nanos() == one);
        prop_assert!((one <= other) <= (one_wall <= other_wall));
    }

    #[test]
    fn sum_of_a_time_and_a_span_is_not_earlier(nanos in any_nanos(), span in any::<u64>(), start in any::<u64>()) {
        let wall = WallTime::from_nanos(nanos);
        prop_assert!(wall <= wall + Duration::from_secs(span));
        let mono = MonoTime::from_origin(Duration::from_nanos(start));
        let moment = Moment { wall, mono };
        prop_assert_eq!(moment.wall_at(mono), wall);
        prop_assert!(wall <= moment.wall_at(mono + Duration::from_secs(span)));
        // A step of the wall clock changes no monotonic time.
        prop_assert_eq!((mono + Duration::from_nanos(span)) - mono, Duration::from_nanos(span.min(u64::MAX - start)));
    }

    #[test]
    fn timestamp_shows_the_time_in_the_same_number_of_bytes(nanos in any_nanos()) {
        let wall = WallTime::from_nanos(nanos);
        for (template, len) in [("ns", 42), ("unix", 23)] {
            let prefix = prefix(template, wall);
            prop_assert_eq!(prefix.len(), len, "{}", String::from_utf8_lossy(&prefix));
            let Scan::Timestamp(timestamp, end) = scan(&prefix) else { panic!("{prefix:?}") };
            prop_assert_eq!(end, len);
            let reading = timestamp.reading().unwrap();
            prop_assert_eq!((reading.rx, reading.tx), (wall, wall));
        }
    }
}
