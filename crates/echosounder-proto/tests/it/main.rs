//! Tests of the protocol, without a socket or a clock.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod corpus;
mod datagram;
mod failure;
mod icmp;
mod in_flight;
mod metering;
mod million;
mod payload;
mod peer_clock;
mod prober;
mod reader;
mod responder;
mod stamp;
mod template;
mod time;
mod timestamp;

use std::hash::{BuildHasherDefault, DefaultHasher};

use echosounder_proto::{Input, LocalTime, Responder, StampContext};

/// A fixed key for hashed tables, so that whether two sources share a bucket does not differ from run to
/// run.
type FixedKey = BuildHasherDefault<DefaultHasher>;

/// Replies to `input` as a server does that reads it at once, in as many turns as needed.
fn reply_all(responder: &Responder, input: &[u8], input_kind: Input) -> (Vec<u8>, usize) {
    let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
    let mut out = Vec::new();
    let mut consumed = 0;
    loop {
        let rest = &input[consumed..];
        let taken = responder.respond(rest, input_kind, &mut context, &mut out, |_| {});
        if taken == 0 {
            return (out, consumed);
        }
        consumed += taken;
    }
}

/// Cuts `bytes` after each of the lengths; the last piece is the rest.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths {
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
