//! Properties of the division of a stream into messages, for any bytes.

use std::num::NonZeroUsize;

use echosounder_proto::{FRAME_MAX, Framing, Input};

use super::script::Script;

/// Reads the input as a script: the framing, a position, and the bytes of a stream.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let limit = NonZeroUsize::MIN.saturating_add(script.byte());
    let framing = [Framing::Size(limit), Framing::Line(limit), Framing::Message][script.byte() % 3];
    let at = script.byte();
    let stream = script.0;

    let mut rest = stream;
    while let Some(len) = framing.frame_len(rest, Input::Last) {
        assert!(0 < len && len <= rest.len(), "a frame is not empty and lies in the input");
        let (frame, after) = rest.split_at(len);
        is_frame(framing, limit.get(), frame, after);
        rest = after;
    }
    assert!(rest.is_empty(), "the frames are the whole input");
    if let Framing::Line(_) = framing {
        let (begun, new) = stream.split_at(at.min(stream.len()));
        arrives_in_two_pieces(framing, begun, new, stream);
    }
}

fn is_frame(framing: Framing, limit: usize, frame: &[u8], after: &[u8]) {
    match framing {
        Framing::Message => assert!(after.is_empty()),
        Framing::Size(_) => assert!(frame.len() == limit || frame.len() < limit && after.is_empty()),
        Framing::Line(_) => {
            let (last, before) = frame.split_last().expect("a frame is not empty");
            assert!(!before.contains(&b'\n'), "a line ends at its first newline");
            assert!(frame.len() <= limit.min(FRAME_MAX));
            assert!(*last == b'\n' || frame.len() == limit.min(FRAME_MAX) || after.is_empty());
        }
    }
}

/// Asserts that a line is the same whether it arrives at once or in two pieces.
fn arrives_in_two_pieces(framing: Framing, begun: &[u8], new: &[u8], stream: &[u8]) {
    let whole = framing.frame_len(stream, Input::More);
    match framing.frame_len(begun, Input::More) {
        Some(len) => assert_eq!(whole, Some(len), "bytes behind a line do not change it"),
        None => {
            assert!(!begun.contains(&b'\n'));
            assert_eq!(framing.completes(begun.len(), new), whole.is_some());
        }
    }
}
