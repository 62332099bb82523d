//! Properties of the messages of a measurement.

use echosounder_proto::{
    EchoReader, Finder, HEADER_PLACEHOLDER, Payload, ProbeFormat, TIMESTAMP_PLACEHOLDER, TextEcho,
};

use super::script::{Script, cut};

/// Reads the input as a script: the form and the number of a message, and a reply that contains it.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let len = script.byte();
    let number = script.bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 1;
    let payload = match script.byte() % 4 {
        1 => Payload::with_placeholder(len),
        3 => Payload::with_header_fields(len),
        _ => Payload::new(len),
    };
    comes_back(payload, number);
    let pieces = script.lengths();
    is_found_in_any_pieces(payload, number, script.0, &pieces);
    reads_only_what_is_written(script.0);
}

fn written(payload: Payload, number: u64) -> Vec<u8> {
    let mut message = Vec::new();
    payload.write(number, &mut message);
    message
}

fn comes_back(payload: Payload, number: u64) {
    let message = written(payload, number);
    assert_eq!(message.len(), payload.len());
    let body = message.len() - payload.body_len();
    let heads = [0, TIMESTAMP_PLACEHOLDER.len(), TIMESTAMP_PLACEHOLDER.len() + HEADER_PLACEHOLDER.len()];
    assert!(heads.contains(&body));
    assert!(message[body..].iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'\n')));
    if 1 < payload.body_len() {
        let mut replies = Vec::new();
        assert!(!TextEcho::messages(payload).read(&message, number + 1, &mut replies));
        assert_eq!(replies[0].number, number, "an unchanged message is a reply");
    }
    if 1 < payload.body_len() && body != heads[2] {
        let returned = Payload::read(&message, &mut Vec::new()).expect("a message is read");
        assert_eq!(returned.body_len, payload.body_len());
        assert_eq!(returned.number(number + 1), Some(number), "the last message has its number");
    }
    if payload.can_be_found() {
        let decorated = [b"you said: [", &message[..], b"]"].concat();
        let found = Payload::find_in(&decorated, number + 1).expect("a message is found");
        assert_eq!(found.number(number + 1), Some(number));
        assert_eq!(payload.find(&decorated, number + 1), Some(number));
    }
}

/// Asserts that the requests that are found in a stream do not depend on its segmentation.
fn is_found_in_any_pieces(payload: Payload, number: u64, around: &[u8], pieces: &[usize]) {
    let message = written(payload, number);
    let (before, behind) = around.split_at(around.len() / 2);
    let stream = [before, &message, behind, &message].concat();
    let numbers = |pieces: &[usize]| {
        let mut finder = Finder::after(&EchoReader::new(), payload, None);
        let mut found = Vec::new();
        for piece in cut(&stream, pieces) {
            finder.receive(piece, number + 1, |_| payload.len(), |request| found.push(request.number));
        }
        assert!(found.iter().all(|found| *found <= number), "only requests that were sent are found");
        found
    };
    assert_eq!(numbers(pieces), numbers(&[]));
}

fn reads_only_what_is_written(reply: &[u8]) {
    let Some(returned) = Payload::read(reply, &mut Vec::new()) else { return };
    let number = returned.number(u64::MAX).expect("some message before the last has these digits");
    let message = written(Payload::with_placeholder(TIMESTAMP_PLACEHOLDER.len() + returned.body_len), number);
    assert!(reply.ends_with(&message[TIMESTAMP_PLACEHOLDER.len()..]), "a message is read byte for byte");
}
