use echosounder_proto::{
    Framing, LocalTime, NUMBERED_MIN, Payload, Responder, StampContext, TIMESTAMP_PLACEHOLDER,
};

/// The shortest message with a placeholder and a complete number.
const PLACEHOLDER_FROM: usize = TIMESTAMP_PLACEHOLDER.len() + 20;

fn message(number: u64, len: usize) -> Vec<u8> {
    let mut message = Vec::new();
    Payload::new(len).write(number, &mut message);
    message
}

/// Returns what a server with this template replies.
fn reply(stamp: &str, mut message: Vec<u8>) -> Vec<u8> {
    let responder = Responder { stamp: stamp.parse().unwrap(), framing: Framing::Message };
    let mut head = Vec::new();
    responder.respond_to_datagram(&mut message, &mut StampContext::anonymous(&LocalTime::EXAMPLE), &mut head);
    [head, message].concat()
}

#[test]
fn every_reply_is_recognised_by_its_number() {
    let mut scratch = Vec::new();
    for len in NUMBERED_MIN..300 {
        for number in [0, 7, 9_999_999, 123_456_789_012] {
            let message = message(number, len);
            assert_eq!(message.len(), len);
            for stamp in ["ctime", "rfc3339", "unix", "ns", "none"] {
                let reply = reply(stamp, message.clone());
                let read = Payload::read(&reply, &mut scratch).unwrap();
                assert_eq!(read.number(number + 1), Some(number), "{len}");
                assert_eq!(read.number(number + 9_999_999), Some(number), "{len}");
                assert_eq!(read.body_len, Payload::new(len).body_len());
                assert_eq!(read.stamp.is_some(), stamp != "none" || PLACEHOLDER_FROM <= len, "{stamp} {len}");
                let mut wrong = reply;
                *wrong.last_mut().unwrap() ^= 1;
                assert_eq!(Payload::read(&wrong, &mut scratch), None);
            }
        }
    }
}

#[test]
fn a_timestamp_may_precede_the_placeholder() {
    let mut reply = b"[Sun Nov 22 12:19:36 2026] ".to_vec();
    Payload::new(100).write(5, &mut reply);
    let read = Payload::read(&reply, &mut Vec::new()).unwrap();
    assert_eq!(
        (read.number(6), read.stamp.is_some(), read.body_len),
        (Some(5), true, Payload::new(100).body_len())
    );
}

#[test]
fn a_number_that_was_not_sent_is_refused() {
    for len in [NUMBERED_MIN, 30, 100] {
        let reply = message(5, len);
        assert_eq!(Payload::read(&reply, &mut Vec::new()).unwrap().number(5), None, "{len}");
    }
}

#[test]
fn other_bytes_are_no_reply() {
    let mut scratch = Vec::new();
    for nonsense in
        [&b""[..], b"\n", b"x", b"hello\n", b"[Sun Nov 22 12:19:36 2026] ", b"12a\n", b"0000000.\n\n"]
    {
        assert_eq!(Payload::read(nonsense, &mut scratch), None, "{nonsense:?}");
    }
}

#[test]
fn no_message_is_empty() {
    assert_eq!(message(7, 0), b"\n");
}

#[test]
fn the_placeholder_may_leave_few_digits_for_the_number() {
    for (body_bytes, digits) in [(2, 1), (3, 2), (8, 7), (100, 19)] {
        let payload = Payload::with_placeholder(TIMESTAMP_PLACEHOLDER.len() + body_bytes);
        for number in [1, 7, 123_456_789] {
            let mut message = Vec::new();
            payload.write(number, &mut message);
            assert_eq!(message.len(), TIMESTAMP_PLACEHOLDER.len() + body_bytes);
            let read = Payload::read(&message, &mut Vec::new()).unwrap();
            let next = number + 10_u64.pow(digits.min(9)) / 2;
            assert_eq!(read.number(next), Some(number), "{body_bytes}");
            // A quote may begin with headers, and end early.
            let packet = [&b"headers"[..], &message].concat();
            assert_eq!(payload.find(&packet, next), Some(number));
            assert_eq!(payload.find(&packet[..packet.len() - 1], next), Some(number));
            assert_eq!(payload.find(&packet[..40], next), None);
        }
    }
}
