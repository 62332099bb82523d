//! Properties of a STAMP sender, for any replies.

use echosounder_proto::stamp::{Key, SenderConfig, StampSender};
use echosounder_proto::{ProbeFormat, WallTime};

use super::script::Script;

/// Reads the input as a script: the form of the requests, and replies with their length.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let kind = script.byte();
    let mut config = SenderConfig::default();
    config.size = script.number();
    config.ssid = u16::try_from(script.byte()).expect("a byte");
    config.key = (kind & 1 == 1).then(|| Key::new(&[7; 16]).expect("a key of 16 bytes"));
    let mut sender = StampSender::new(config);
    let mut next = 1 << (kind >> 2);
    let (mut request, mut replies, mut lost) = (Vec::new(), Vec::new(), 0);
    while !script.0.is_empty() {
        request.clear();
        sender.write(next, WallTime::from_nanos(1_795_346_376_123_456_789), &mut request);
        assert_eq!(request.len(), sender.size());
        assert_eq!(sender.find(&request, next + 1), Some(next), "a request is found");
        next += 1;
        lost += 1;

        // A reply that begins with the request, so that much of it is valid.
        let (kept, len) = (script.byte().min(request.len()), script.byte());
        let packet = [&request[..kept], script.bytes(len)].concat();
        replies.clear();
        let is_unexpected = sender.read(&packet, next, &mut replies);
        assert_eq!(is_unexpected, replies.is_empty());
        for reply in &replies {
            assert!(0 < reply.number && reply.number < next);
            assert!(reply.seen.dscp.is_none_or(|dscp| dscp < 64) && reply.seen.ecn.is_none_or(|ecn| ecn < 4));
        }
        if let Some(number) = sender.find(&packet, next) {
            assert!(0 < number && number < next);
        }
        if let Some(loss) = sender.loss_direction(lost) {
            assert_eq!(loss.up + loss.down + loss.unknown, lost);
        }
    }
}
