use echosounder_proto::{BLANK, Scan, Stamp, WallTime, begins_with_stamp, scan};
use proptest::prelude::*;

#[test]
fn every_prefix_of_a_stamp_is_partial_and_more_is_ignored() {
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
        assert!(matches!(scan(message.as_bytes()), Scan::Stamp(_, len) if len == stamp.len()));
    }
}

#[test]
fn the_blank_is_nobodys_answer() {
    assert!(!begins_with_stamp(BLANK));
    assert!(!begins_with_stamp(b"[0000000000000000000 0000000000000000000] payload"));
    assert!(begins_with_stamp(b"[0000000000000000000 0000000000000000001] payload"));
}

#[test]
fn what_is_nearly_a_stamp_is_none() {
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
fn an_ns_stamp_tells_its_times() {
    let Scan::Stamp(Stamp::Ns { rx, tx }, 42) = scan(b"[1795346376123456789 9999999999999999999] ") else {
        panic!("it is an ns stamp");
    };
    assert_eq!(rx, WallTime::from_nanos(1_795_346_376_123_456_789));
    assert_eq!(tx, WallTime::from_nanos(9_999_999_999_999_999_999));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in any::<Vec<u8>>(), head in "\\[[0-9 .:T+A-Za-z-]{0,50}\\]? ?") {
        scan(&bytes);
        scan(head.as_bytes());
    }
}
