//! Properties of the responder, for any template and any input.

use std::num::NonZeroUsize;

use echosounder_proto::{
    Datagram, DatagramFilter, DropReason, Framing, HeaderFields, Input, LocalTime, PREFIX_MAX, PlainEcho,
    Responder, Sender, StampContext, TIMESTAMP_PLACEHOLDER, Template, starts_with_timestamp,
};

use super::script::{Script, cut};

/// Reads the input as a script: a template, the peer's name, the framing, where the input is split, and the input.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let len = script.byte();
    let stamp = script.bytes(len);
    let len = script.byte();
    let peer = String::from_utf8_lossy(script.bytes(len)).into_owned();
    let limit = NonZeroUsize::MIN.saturating_add(script.number());
    let (by_line, cuts) = (script.byte() % 2 == 1, script.lengths());
    let received = script.0;

    let Ok(stamp) = String::from_utf8_lossy(stamp).parse::<Template>() else { return };
    let framing = if by_line { Framing::Line(limit) } else { Framing::Size(limit) };
    let context = StampContext { peer: &peer, ..StampContext::anonymous(&LocalTime::EXAMPLE) };

    let responder = Responder { stamp: stamp.clone(), framing };
    let whole = reply_all(&responder, &mut context.clone(), received, Input::Last);
    assert_eq!(whole.1, received.len(), "at the end nothing is left");
    if by_line {
        assert_eq!(
            in_pieces(&responder, &mut context.clone(), received, &cuts),
            whole.0,
            "the segmentation does not matter"
        );
    }
    let plain = Responder { stamp: Template::none(), framing };
    if !by_line {
        let untouched = reply_all(&plain, &mut context.clone(), received, Input::More).0 == received;
        assert_eq!(plain.needs_exact_time(received), !untouched, "only a placeholder is filled in");
    }
    responds_to_datagram(&Responder { stamp, framing: Framing::Message }, context, received);
}

/// Replies to `input` as a server does that reads it at once, in as many turns as needed. Returns the replies, and how
/// many bytes they cover.
fn reply_all(
    responder: &Responder,
    context: &mut StampContext<'_>,
    input: &[u8],
    input_kind: Input,
) -> (Vec<u8>, usize) {
    let (mut all, mut consumed) = (Vec::new(), 0);
    loop {
        let rest = &input[consumed..];
        let (mut out, mut messages, before) = (Vec::new(), Vec::new(), context.seq);
        let taken =
            responder.respond(rest, input_kind, context, &mut out, |message| messages.push(message.to_vec()));
        assert!(out.len() <= 2 * rest.len() + PREFIX_MAX, "a turn is bounded");
        assert_eq!(messages.concat(), rest[..taken], "the messages are the bytes that were covered");
        assert_eq!(context.seq - before, messages.len() as u64);
        assert!(
            messages
                .iter()
                .all(|message| out.ends_with(message) || messages.len() > 1 || has_placeholder(message))
        );
        all.extend(out);
        consumed += taken;
        if taken == 0 {
            assert_eq!(
                responder.framing.frame_len(rest, input_kind),
                None,
                "a complete message is always taken"
            );
            return (all, consumed);
        }
    }
}

fn has_placeholder(message: &[u8]) -> bool {
    message.starts_with(TIMESTAMP_PLACEHOLDER)
}

/// Replies to `input` as a server does that reads it in pieces and buffers an unfinished line.
fn in_pieces(responder: &Responder, context: &mut StampContext<'_>, input: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut all, mut buffered) = (Vec::new(), Vec::new());
    for read in cut(input, cuts) {
        buffered.extend_from_slice(read);
        let (out, consumed) = reply_all(responder, context, &buffered, Input::More);
        all.extend(out);
        buffered.drain(..consumed);
    }
    all.extend(reply_all(responder, context, &buffered, Input::Last).0);
    all
}

/// Asserts that a datagram is replied to like a message, and that a reply never is.
fn responds_to_datagram(responder: &Responder, context: StampContext<'_>, received: &[u8]) {
    let (mut message, mut head) = (received.to_vec(), b"stale".to_vec());
    responder.respond_to_datagram(&mut message, &mut context.clone(), &mut head);
    let reply = [&head[..], &message].concat();
    if !received.is_empty() {
        assert_eq!(reply_all(responder, &mut context.clone(), received, Input::More).0, reply);
    }

    // The header fields take the place of their placeholder, and nothing else changes.
    let fields = HeaderFields { ttl: received.len().to_le_bytes()[0], traffic_class: 0xb9 };
    let (mut with_header, header) = (received.to_vec(), Some(fields));
    Responder::fill_placeholder(&mut with_header, &StampContext { header, ..context });
    let asks = Responder::asks_for_header(received);
    let is_same = |(at, (one, other)): (usize, (&u8, &u8))| asks && (42..53).contains(&at) || one == other;
    assert_eq!(with_header.len(), message.len());
    assert!(with_header.iter().zip(&message).enumerate().all(is_same));

    if let Some(stamp) = reply.strip_suffix(received) {
        assert!(stamp.len() <= PREFIX_MAX && stamp.iter().all(|byte| matches!(byte, b' '..=b'~')));
    }
    if responder.stamp.starts_with_builtin() || has_placeholder(received) {
        assert!(starts_with_timestamp(&reply), "a reply is recognised");
        let datagram = Datagram { bytes: &reply, sender: Sender::Local, to_group: false, truncated: false };
        let verdict = DatagramFilter::new(&responder.stamp, PlainEcho::Metered).check(&datagram);
        assert_eq!(verdict, Err(DropReason::Stamped));
    }
}
