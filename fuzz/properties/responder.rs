//! What a server says, with whatever stamp, to whatever it hears.

use std::num::NonZeroUsize;

use echosounder_proto::{
    Datagram, DatagramFilter, DropReason, Framing, Input, LocalTime, MonoTime, PREFIX_MAX, PlainEcho,
    Responder, Sender, StampContext, TIMESTAMP_PLACEHOLDER, Template, starts_with_timestamp,
};

use super::script::{Script, cut};

/// Reads the input as a script: a stamp, a peer's name, a framing, where the input is cut, and the input.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let len = script.byte();
    let stamp = script.bytes(len);
    let len = script.byte();
    let peer = String::from_utf8_lossy(script.bytes(len)).into_owned();
    let limit = NonZeroUsize::MIN.saturating_add(script.number());
    let (by_line, cuts) = (script.byte() % 2 == 1, script.lengths());
    let heard = script.0;

    let Ok(stamp) = String::from_utf8_lossy(stamp).parse::<Template>() else { return };
    let framing = if by_line { Framing::Line(limit) } else { Framing::Size(limit) };
    let context = StampContext { peer: &peer, ..StampContext::anonymous(&LocalTime::EXAMPLE) };

    let responder = Responder { stamp: stamp.clone(), framing };
    let whole = answer_all(&responder, &mut context.clone(), heard, Input::Last);
    assert_eq!(whole.1, heard.len(), "at the end nothing is left");
    if by_line {
        assert_eq!(in_pieces(&responder, &mut context.clone(), heard, &cuts), whole.0, "cuts do not matter");
    }
    let plain = Responder { stamp: Template::none(), framing };
    if !by_line {
        let untouched = answer_all(&plain, &mut context.clone(), heard, Input::More).0 == heard;
        assert_eq!(plain.needs_exact_time(heard), !untouched, "only a blank is filled in");
    }
    responds_to_datagram(&Responder { stamp, framing: Framing::Message }, context, heard);
}

/// Answers `input` as a server does that reads it in one go, however many turns its answers take; returns how much
/// of it was answered, too.
fn answer_all(
    responder: &Responder,
    context: &mut StampContext<'_>,
    input: &[u8],
    input_kind: Input,
) -> (Vec<u8>, usize) {
    let (mut all, mut consumed) = (Vec::new(), 0);
    loop {
        let rest = &input[consumed..];
        let (mut out, mut heard, before) = (Vec::new(), Vec::new(), context.seq);
        let taken =
            responder.respond(rest, input_kind, context, &mut out, |message| heard.push(message.to_vec()));
        assert!(out.len() <= 2 * rest.len() + PREFIX_MAX, "a turn is bounded");
        assert_eq!(heard.concat(), rest[..taken], "what was heard is what was taken");
        assert_eq!(context.seq - before, heard.len() as u64);
        assert!(heard.iter().all(|message| out.ends_with(message) || heard.len() > 1 || blank(message)));
        all.extend(out);
        consumed += taken;
        if taken == 0 {
            assert_eq!(responder.framing.frame_len(rest, input_kind), None, "of a piece one is always taken");
            return (all, consumed);
        }
    }
}

fn blank(message: &[u8]) -> bool {
    message.starts_with(TIMESTAMP_PLACEHOLDER)
}

/// Answers `input` as a server does that reads it in pieces, and keeps an unfinished line.
fn in_pieces(responder: &Responder, context: &mut StampContext<'_>, input: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut all, mut kept) = (Vec::new(), Vec::new());
    for read in cut(input, cuts) {
        kept.extend_from_slice(read);
        let (out, consumed) = answer_all(responder, context, &kept, Input::More);
        all.extend(out);
        kept.drain(..consumed);
    }
    all.extend(answer_all(responder, context, &kept, Input::Last).0);
    all
}

/// A datagram is answered like a message, and an answer never.
fn responds_to_datagram(responder: &Responder, context: StampContext<'_>, heard: &[u8]) {
    let (mut message, mut head) = (heard.to_vec(), b"stale".to_vec());
    responder.respond_to_datagram(&mut message, &mut context.clone(), &mut head);
    let answer = [head, message].concat();
    if !heard.is_empty() {
        assert_eq!(answer_all(responder, &mut context.clone(), heard, Input::More).0, answer);
    }

    if let Some(stamp) = answer.strip_suffix(heard) {
        assert!(stamp.len() <= PREFIX_MAX && stamp.iter().all(|byte| matches!(byte, b' '..=b'~')));
    }
    if responder.stamp.starts_with_builtin() || blank(heard) {
        assert!(starts_with_timestamp(&answer), "an answer is known for one");
        let now = MonoTime::from_origin(std::time::Duration::ZERO);
        let datagram = Datagram { bytes: &answer, sender: Sender::Local, to_group: false, truncated: false };
        let verdict = DatagramFilter::new(&responder.stamp, PlainEcho::Metered, now).check(&datagram, now);
        assert_eq!(verdict, Err(DropReason::Stamped));
    }
}
