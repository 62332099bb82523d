//! Properties of the rule against loops, for any datagram from any sender.

use echosounder_proto::{
    Datagram, DatagramFilter, DropReason, Framing, LocalTime, PlainEcho, Responder, Sender, StampContext,
    TIMESTAMP_PLACEHOLDER, starts_with_timestamp,
};

use super::script::Script;

const STAMPS: [&str; 6] = ["ctime", "rfc3339", "unix", "ns", "none", "[{unix}] {peer} "];

const SENDERS: [Sender; 6] =
    [Sender::Local, Sender::Remote, Sender::Nameless, Sender::Own, Sender::Kernel, Sender::Service];

/// Reads the input as a script: the server, the sender, and the datagram.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let (stamp, sender) = (STAMPS[script.byte() % STAMPS.len()], SENDERS[script.byte() % SENDERS.len()]);
    let flags = script.byte();
    let plain = if flags & 1 == 0 { PlainEcho::Local } else { PlainEcho::Metered };
    let datagram = Datagram { bytes: script.0, sender, to_group: flags & 2 != 0, truncated: flags & 4 != 0 };
    let responder = Responder { stamp: stamp.parse().expect("a stamp"), framing: Framing::Message };
    let filter = DatagramFilter::new(&responder.stamp, plain);

    let verdict = filter.check(&datagram);
    assert_eq!(filter.check(&datagram), verdict, "the rule remembers nothing");
    if verdict.is_err() {
        return assert!(is_dropped_for_a_reason(&datagram, filter.is_plain(script.0), plain));
    }
    assert!(!starts_with_timestamp(script.0), "a reply is not replied to");
    assert!(!datagram.to_group && !datagram.truncated);
    assert!(matches!(sender, Sender::Local | Sender::Remote));

    let reply = reply_to(&responder, script.0);
    assert_eq!(filter.is_plain(script.0), reply == script.0, "a plain echo repeats its request");
    if script.0.starts_with(TIMESTAMP_PLACEHOLDER) {
        assert_eq!(reply.len(), script.0.len(), "a placeholder is filled in at its length");
    }
    if !filter.is_plain(script.0) {
        ends_every_exchange(&reply);
    }
}

fn is_dropped_for_a_reason(datagram: &Datagram<'_>, is_plain: bool, plain: PlainEcho) -> bool {
    let is_remote_plain = is_plain && datagram.sender == Sender::Remote && plain == PlainEcho::Local;
    let has_peer = matches!(datagram.sender, Sender::Local | Sender::Remote);
    let is_reply = starts_with_timestamp(datagram.bytes);
    datagram.to_group || datagram.truncated || !has_peer || is_reply || is_remote_plain
}

/// Asserts that no server replies to a reply with a timestamp, whatever it stamps and whoever sends it.
fn ends_every_exchange(reply: &[u8]) {
    for (stamp, sender) in STAMPS.iter().flat_map(|stamp| SENDERS.map(|sender| (stamp, sender))) {
        let other = DatagramFilter::new(&stamp.parse().expect("a stamp"), PlainEcho::Metered);
        let datagram = Datagram { bytes: reply, sender, to_group: false, truncated: false };
        let verdict = other.check(&datagram);
        let has_peer = matches!(sender, Sender::Local | Sender::Remote);
        assert!(verdict == Err(DropReason::Stamped) || !has_peer && verdict.is_err());
    }
}

fn reply_to(responder: &Responder, request: &[u8]) -> Vec<u8> {
    let (mut message, mut stamp) = (request.to_vec(), Vec::new());
    let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
    responder.respond_to_datagram(&mut message, &mut context, &mut stamp);
    [stamp, message].concat()
}
