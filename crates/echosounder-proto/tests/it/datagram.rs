use std::collections::BTreeSet;

use echosounder_proto::{
    Datagram, DatagramFilter, DropReason, Framing, HEADER_PLACEHOLDER, HeaderFields, LocalTime, PlainEcho,
    Responder, Sender, StampContext, TIMESTAMP_PLACEHOLDER, Template, starts_with_timestamp,
};
use proptest::prelude::*;

fn datagram(bytes: &[u8], sender: Sender) -> Datagram<'_> {
    Datagram { bytes, sender, to_group: false, truncated: false }
}

fn rule(stamp: &str, plain: PlainEcho) -> DatagramFilter {
    DatagramFilter::new(&stamp.parse().unwrap(), plain)
}

proptest! {
    #[test]
    fn no_reply_is_replied_to(
        request in any::<Vec<u8>>(), placeholders in 0..3_usize, ttl: u8,
        mine in prop::sample::select(vec!["ctime", "rfc3339", "unix", "ns", "[{unix}] {peer}> "]),
        theirs in prop::sample::select(vec!["ctime", "rfc3339", "unix", "ns", "none"]),
    ) {
        let stamp: Template = mine.parse().unwrap();
        let responder = Responder { stamp, framing: Framing::default() };
        let head = [&TIMESTAMP_PLACEHOLDER[..], HEADER_PLACEHOLDER][..placeholders].concat();
        let mut message = [head, request].concat();
        let len = message.len();
        let mut head = Vec::new();
        let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
        context.header = Some(HeaderFields { ttl, traffic_class: ttl });
        responder.respond_to_datagram(&mut message, &mut context, &mut head);
        let reply = [head, message].concat();
        prop_assert!(placeholders == 0 || reply.len() == len);
        prop_assert!(starts_with_timestamp(&reply));
        let verdict = rule(theirs, PlainEcho::Metered).check(&datagram(&reply, Sender::Local));
        prop_assert_eq!(verdict, Err(DropReason::Stamped));
    }
}

#[test]
fn every_reason_of_the_filter_occurs() {
    let stamping = rule("ctime", PlainEcho::Local);
    let hello = datagram(b"hello", Sender::Remote);
    assert_eq!(stamping.check(&hello), Ok(()));
    assert_eq!(stamping.check(&datagram(b"", Sender::Remote)), Ok(()));
    assert_eq!(stamping.check(&Datagram { to_group: true, ..hello }), Err(DropReason::Group));
    assert_eq!(stamping.check(&Datagram { truncated: true, ..hello }), Err(DropReason::Truncated));
    assert_eq!(stamping.check(&datagram(b"x", Sender::Nameless)), Err(DropReason::Nameless));
    assert_eq!(stamping.check(&datagram(b"x", Sender::Own)), Err(DropReason::Own));
    assert_eq!(stamping.check(&datagram(b"x", Sender::Service)), Err(DropReason::Service));
    let reply = datagram(b"[Sun Nov 22 12:19:36 2026] hello", Sender::Local);
    assert_eq!(stamping.check(&reply), Err(DropReason::Stamped));
}

#[test]
fn every_drop_reason_has_a_word_of_its_own() {
    let words: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), DropReason::ALL.len());
    assert!(words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())));
}

#[test]
fn the_plain_echo_replies_to_remote_hosts_only_if_enabled() {
    let hello = datagram(b"hello", Sender::Remote);
    let local = rule("none", PlainEcho::Local);
    assert_eq!(local.check(&hello), Err(DropReason::Remote));
    assert_eq!(local.check(&datagram(b"hello", Sender::Local)), Ok(()));
    assert_eq!(local.check(&datagram(TIMESTAMP_PLACEHOLDER, Sender::Remote)), Ok(()));
    assert_eq!(rule("none", PlainEcho::Metered).check(&hello), Ok(()));
    assert!(local.is_plain(b"hello") && !local.is_plain(TIMESTAMP_PLACEHOLDER));
    assert!(!rule("ctime", PlainEcho::Local).is_plain(b"hello"));
}
