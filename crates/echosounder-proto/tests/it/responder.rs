use std::num::NonZeroUsize;

use echosounder_proto::{
    FRAME_MAX, Framing, Input, LocalTime, PREFIX_MAX, Responder, StampContext, TIMESTAMP_PLACEHOLDER,
    Template, WallTime,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{cut, reply_all};

const STAMP: &[u8] = b"[Sun Nov 22 12:19:36 2026] ";

fn stamping(framing: Framing) -> Responder {
    Responder { stamp: Template::ctime(), framing }
}

fn size(size: usize) -> Framing {
    Framing::Size(NonZeroUsize::new(size).unwrap())
}

fn line(max: usize) -> Framing {
    Framing::Line(NonZeroUsize::new(max).unwrap())
}

/// Bytes in which newlines and the placeholder are frequent.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => vec(any::<u8>(), 0..60),
        2 => Just(b"\n".to_vec()),
        1 => Just(TIMESTAMP_PLACEHOLDER.to_vec()),
        1 => vec(Just(b'x'), 0..3000),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The textbook's server: it reads at most `buffer` bytes at a time, and replies to each read.
fn textbook(reads: &[&[u8]], buffer: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in reads.iter().flat_map(|read| read.chunks(buffer)) {
        match piece.strip_prefix(TIMESTAMP_PLACEHOLDER) {
            Some(payload) => out.extend([&filled()[..], payload].concat()),
            None => out.extend([STAMP, piece].concat()),
        }
    }
    out
}

fn filled() -> Vec<u8> {
    let now = LocalTime::EXAMPLE.wall.as_nanos();
    format!("[{now:019} {now:019}] ").into_bytes()
}

proptest! {
    #[test]
    fn by_size_it_equals_the_textbook_server(
        input in input(), cuts in vec(1..4000_usize, 0..8), buffer in 1..2000_usize,
    ) {
        let reads = cut(&input, &cuts);
        let responder = stamping(size(buffer));
        let mut out = Vec::new();
        for read in &reads {
            let (reply, consumed) = reply_all(&responder, read, Input::More);
            prop_assert_eq!(consumed, read.len());
            out.extend(reply);
        }
        prop_assert_eq!(out, textbook(&reads, buffer));
    }

    #[test]
    fn by_line_the_segmentation_does_not_matter(
        input in input(), cuts in vec(1..400_usize, 0..20), max in 1..500_usize,
    ) {
        let responder = stamping(line(max));
        let (whole, consumed) = reply_all(&responder, &input, Input::Last);
        prop_assert_eq!(consumed, input.len());

        let mut out = Vec::new();
        let mut unfinished = Vec::new();
        for read in cut(&input, &cuts) {
            unfinished.extend_from_slice(read);
            let (reply, consumed) = reply_all(&responder, &unfinished, Input::More);
            out.extend(reply);
            unfinished.drain(..consumed);
            prop_assert!(unfinished.len() < max);
        }
        out.extend(reply_all(&responder, &unfinished, Input::Last).0);
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn nothing_is_added_or_lost_beside_the_prefixes(input in input(), by_line: bool, limit in 1..2000_usize) {
        let framing = if by_line { line(limit) } else { size(limit) };
        let mut responder = stamping(framing);
        responder.stamp = Template::none();
        let unblanked: Vec<u8> = input.iter().map(|&byte| if byte == b'[' { b'(' } else { byte }).collect();
        prop_assert_eq!(reply_all(&responder, &unblanked, Input::Last).0, unblanked);
    }

    #[test]
    fn one_turn_appends_at_most_twice_the_input_and_a_prefix(
        input in input(), limit in 1..100_usize, template in "[ -z]{0,128}",
    ) {
        let Ok(stamp) = template.parse() else { return Ok(()) };
        let responder = Responder { stamp, framing: size(limit) };
        let mut out = b"before".to_vec();
        let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
        let mut received = Vec::new();
        let consumed = responder.respond(&input, Input::More, &mut context, &mut out, |m| received.extend_from_slice(m));
        prop_assert!(out.len() - 6 <= 2 * input.len() + PREFIX_MAX);
        prop_assert!(input.is_empty() || 0 < consumed);
        // The turn ends only if the next reply might exceed that.
        let next = limit.min(input.len() - consumed);
        prop_assert!(next == 0 || 2 * input.len() < out.len() - 6 + next);
        prop_assert_eq!(&received, &input[..consumed]);
        prop_assert_eq!(context.seq, consumed.div_ceil(limit) as u64);
    }

    #[test]
    fn it_predicts_whether_a_reply_shows_exact_times(input in input(), buffer in 1..2000_usize) {
        let mut responder = stamping(size(buffer));
        responder.stamp = Template::none();
        let answered = reply_all(&responder, &input, Input::More).0;
        prop_assert_eq!(responder.needs_exact_time(&input), answered != input);
    }
}

#[test]
fn messages_as_long_as_their_prefix_are_replied_to_in_one_turn() {
    for (stamp, len) in [("::", 1), ("ctime", 27)] {
        let responder = Responder { stamp: stamp.parse().unwrap(), framing: size(len) };
        let input = vec![b'm'; 2 * len];
        let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
        let consumed = responder.respond(&input, Input::More, &mut context, &mut Vec::new(), |_| {});
        assert_eq!((consumed, context.seq), (2 * len, 2), "{stamp}");
    }
}

#[test]
fn a_message_is_replied_to_as_a_whole() {
    let responder = stamping(Framing::Message);
    let input = [b'm'; 5000];
    assert_eq!(reply_all(&responder, &input, Input::More).0, [STAMP, &input].concat());
}

#[test]
fn an_unfinished_line_waits_for_its_newline() {
    let responder = stamping(line(8));
    assert_eq!(reply_all(&responder, b"ab\ncd", Input::More), ([STAMP, b"ab\n"].concat(), 3));
    assert_eq!(reply_all(&responder, b"cd", Input::Last), ([STAMP, b"cd"].concat(), 2));
    assert_eq!(reply_all(&responder, b"12345678", Input::More), ([STAMP, b"12345678"].concat(), 8));
    assert_eq!(reply_all(&responder, b"1234567\n", Input::More), ([STAMP, b"1234567\n"].concat(), 8));
}

#[test]
fn a_line_is_at_most_as_long_as_the_buffer() {
    let long = vec![b'x'; FRAME_MAX + 1];
    assert_eq!(line(usize::MAX).frame_len(&long, Input::More), Some(FRAME_MAX));
}

#[test]
fn a_placeholder_is_filled_in_at_its_own_length() {
    for stamp in ["ctime", "rfc3339", "unix", "ns", "none", "{seq}"] {
        let responder = Responder { stamp: stamp.parse().unwrap(), framing: Framing::default() };
        let call = [&TIMESTAMP_PLACEHOLDER[..], b"payload"].concat();
        assert_eq!(reply_all(&responder, &call, Input::More).0, [&filled()[..], b"payload"].concat());

        let (mut message, mut head) = (call, b"stale".to_vec());
        responder.respond_to_datagram(
            &mut message,
            &mut StampContext::anonymous(&LocalTime::EXAMPLE),
            &mut head,
        );
        assert_eq!((head, message), (Vec::new(), [&filled()[..], b"payload"].concat()));
    }
}

#[test]
fn an_empty_datagram_gets_a_prefix() {
    let responder = stamping(Framing::default());
    let mut head = Vec::new();
    responder.respond_to_datagram(&mut [], &mut StampContext::anonymous(&LocalTime::EXAMPLE), &mut head);
    assert_eq!(head, STAMP);
}

#[test]
fn an_empty_message_counts() {
    let responder = Responder { stamp: "{seq} ".parse().unwrap(), framing: Framing::Message };
    let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
    let mut out = Vec::new();
    (0..3).for_each(|_| responder.respond_to_empty(&mut context, &mut out));
    assert_eq!(out, b"1 2 3 ");
}

#[test]
fn the_prefix_shows_receive_and_send_times() {
    let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
    context.rx = WallTime::from_nanos(0);
    context.tx = WallTime::from_nanos(u64::MAX);
    let responder = Responder { stamp: "ns".parse().unwrap(), framing: Framing::default() };
    let mut out = Vec::new();
    responder.respond(b"x", Input::More, &mut context, &mut out, |_| {});
    assert_eq!(out, b"[0000000000000000001 9999999999999999999] x");
}
