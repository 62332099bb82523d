use echosounder_proto::{
    Framing, HEADER_PLACEHOLDER, HeaderFields, LocalTime, NUMBERED_MIN, Payload, ProbeFormat, ProbeReply,
    Responder, StampContext, TIMESTAMP_PLACEHOLDER, TextEcho,
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
fn a_message_of_any_length_is_found_in_a_decorated_reply() {
    for len in [PLACEHOLDER_FROM, PLACEHOLDER_FROM + 1, 200] {
        let (payload, message) = (Payload::new(len), message(123, len));
        assert!(payload.can_be_found());
        let without_newline = &message[..len - 1];
        for reply in [[b"you said '", without_newline, b"'"].concat(), [b"> ", &message[..]].concat()] {
            let found = Payload::find_in(&reply, 124).unwrap();
            assert_eq!((found.number(124), found.body_len), (Some(123), payload.body_len()), "{len}");
        }
        assert_eq!(Payload::find_in(&message, 123), None, "it was not sent yet");
    }
    let short = Payload::new(PLACEHOLDER_FROM - 1);
    assert!(!short.can_be_found() && !Payload::with_header_fields(200).can_be_found());
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

/// Returns a request that asks for its header fields, and the datagram that a server sends back if
/// the request arrived with these fields.
fn with_header(number: u64, len: usize, stamp: &str, header: Option<HeaderFields>) -> (Vec<u8>, Vec<u8>) {
    let mut request = Vec::new();
    Payload::with_header_fields(len).write(number, &mut request);
    assert!(Responder::asks_for_header(&request));
    let responder = Responder { stamp: stamp.parse().unwrap(), framing: Framing::Message };
    let (mut head, mut message) = (Vec::new(), request.clone());
    let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
    context.header = header;
    responder.respond_to_datagram(&mut message, &mut context, &mut head);
    (request, [head, message].concat())
}

/// Reads a datagram as the only reply to a request of this length and number.
fn read_with_header(reply: &[u8], number: u64, len: usize) -> Option<ProbeReply> {
    let mut replies = Vec::new();
    let is_reply =
        !TextEcho::messages(Payload::with_header_fields(len)).read(reply, number + 1, &mut replies);
    assert_eq!(is_reply, replies.len() == 1);
    replies.pop().filter(|reply| reply.number == number)
}

#[test]
fn a_reply_reports_the_header_fields_of_its_request() {
    for (ttl, dscp, ecn) in [(1, 0, 0), (61, 46, 1), (255, 63, 3)] {
        for len in [61, 73, 80, 1400] {
            let fields = HeaderFields { ttl, traffic_class: dscp << 2 | ecn };
            for stamp in ["ctime", "ns", "none"] {
                let (request, reply) = with_header(7, len, stamp, Some(fields));
                assert_eq!((request.len(), reply.len()), (len, len));
                let text = format!("] [{ttl:03} {dscp:02} {ecn}] ");
                assert_eq!(&reply[40..53], text.as_bytes());
                let read = read_with_header(&reply, 7, len).unwrap();
                assert!(read.timestamp.is_some());
                assert_eq!(
                    (read.seen.ttl, read.seen.dscp, read.seen.ecn),
                    (Some(ttl), Some(dscp), Some(ecn))
                );
                // A server may decorate its replies, and an ICMP error quotes a part of the request.
                let quoted = [b"you said: ", &reply[..reply.len() - 1], b"!"].concat();
                assert_eq!(read_with_header(&quoted, 7, len).unwrap().seen, read.seen);
                let packet = [b"headers", &request[..]].concat();
                let quote = &packet[..packet.len().min(7 + 53 + 19)];
                assert_eq!(Payload::with_header_fields(len).find(quote, 8), Some(7));
            }
        }
    }
}

#[test]
fn without_header_fields_a_reply_reports_none() {
    let unknown = HeaderFields { ttl: 0, traffic_class: 46 << 2 };
    for header in [None, Some(unknown)] {
        let (_, reply) = with_header(7, 80, "ctime", header);
        let read = read_with_header(&reply, 7, 80).unwrap();
        assert_eq!((read.seen.ttl, read.seen.dscp, read.seen.ecn), (None, None, None));
    }
    // This server does not know any placeholder.
    let (request, _) = with_header(7, 80, "ctime", None);
    let reply = [b"[Sun Nov 22 12:19:36 2026] ", &request[..]].concat();
    assert_eq!(read_with_header(&reply, 7, 80).unwrap().seen.ttl, None);
}

#[test]
fn impossible_header_fields_are_no_reply() {
    let (_, reply) = with_header(7, 80, "none", None);
    for fields in ["[256 46 1] ", "[061 64 1] ", "[061 46 4] ", "[+61 46 1] ", "[061 46 1]x", "[6   46 1] "] {
        let mut wrong = reply.clone();
        wrong[42..53].copy_from_slice(fields.as_bytes());
        assert_eq!(read_with_header(&wrong, 7, 80), None, "{fields}");
    }
}

#[test]
fn only_a_datagram_with_both_placeholders_asks_for_its_header_fields() {
    let asks = [&TIMESTAMP_PLACEHOLDER[..], HEADER_PLACEHOLDER].concat();
    assert!(Responder::asks_for_header(&asks));
    assert!(!Responder::asks_for_header(&asks[..asks.len() - 1]));
    assert!(!Responder::asks_for_header(&asks[1..]));
    assert!(!Responder::asks_for_header(TIMESTAMP_PLACEHOLDER));
    assert!(!Responder::asks_for_header(HEADER_PLACEHOLDER));
    let (_, filled) = with_header(7, 80, "none", None);
    assert!(!Responder::asks_for_header(&filled), "a reply does not ask");
}
