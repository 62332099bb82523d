//! Properties of the recognition of timestamps, for any bytes.

use echosounder_proto::{Scan, TIMESTAMP_PLACEHOLDER, Timestamp, scan, starts_with_timestamp};

/// Looks for a timestamp at the beginning of the input.
pub(crate) fn holds(input: &[u8]) {
    let found = scan(input);
    assert_eq!(starts_with_timestamp(input), matches!(found, Scan::Timestamp(..)));
    match found {
        Scan::Timestamp(stamp, len) => {
            assert!(len <= input.len() && !input.starts_with(TIMESTAMP_PLACEHOLDER));
            assert_eq!(scan(&input[..len]), found, "the bytes after it do not matter");
            assert_all_partial(&input[..len]);
            if let Timestamp::Ns { rx, tx } = stamp {
                let text = format!("[{:019} {:019}] ", rx.as_nanos(), tx.as_nanos());
                // Zero is read as one nanosecond.
                let zeros = [&input[1..20], &input[21..40]].contains(&&[b'0'; 19][..]);
                assert!(zeros || text.as_bytes() == &input[..len], "{text}");
            }
        }
        Scan::Partial => {
            assert!(input.len() < TIMESTAMP_PLACEHOLDER.len());
            assert_all_partial(input);
        }
        Scan::Other => assert!(!input.is_empty(), "no bytes may become anything"),
    }
}

fn assert_all_partial(stamp: &[u8]) {
    for len in 0..stamp.len() {
        assert_eq!(scan(&stamp[..len]), Scan::Partial, "more bytes make it a timestamp");
    }
}
