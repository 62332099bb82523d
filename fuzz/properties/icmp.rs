//! Properties of ICMP echo, for any replies and quoted packets.

use echosounder_proto::{IcmpEcho, IcmpVersion, ProbeFormat, WallTime};

use super::script::Script;

/// Reads the input as a script: the form of the requests, and replies with their length.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let kind = script.byte();
    let version = if kind & 1 == 0 { IcmpVersion::V4 } else { IcmpVersion::V6 };
    let id = u16::try_from(script.byte()).expect("a byte");
    let mut format = IcmpEcho::new(version, id, 0x1fed_cba9_8765_4321, script.number());
    let mut next = 1 << (kind >> 2);
    let (mut request, mut replies) = (Vec::new(), Vec::new());
    while !script.0.is_empty() {
        request.clear();
        format.write(next, WallTime::from_nanos(0), &mut request);
        assert_eq!(request.len(), 8 + format.size());
        next += 1;
        assert_eq!(format.find(&request, next), Some(next - 1), "a request is found");
        assert_eq!(format.find(&request[..8], next), Some(next - 1), "its header is found");

        // A reply that begins with the request, so that much of it is valid.
        let form = script.byte();
        let (kept, len) = (script.byte().min(request.len()), script.byte());
        let mut packet = [&request[..kept], script.bytes(len)].concat();
        if let Some(first) = packet.first_mut().filter(|_| form & 1 == 1) {
            *first = version.reply();
        }
        if form & 2 == 2 {
            packet.splice(..0, [0x45; 20]);
        }
        replies.clear();
        let is_unexpected = format.read(&packet, next, &mut replies);
        assert_eq!(is_unexpected, replies.is_empty());
        assert!(replies.iter().all(|reply| (1..next).contains(&reply.number)));
        assert!(format.find(&packet, next).is_none_or(|number| (1..next).contains(&number)));
    }
}
