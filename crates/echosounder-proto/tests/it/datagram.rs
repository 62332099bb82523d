use std::time::Duration;

use echosounder_proto::{
    Datagram, DatagramFilter, DropReason, Framing, LocalTime, MonoTime, PlainEcho, Responder, Sender,
    StampContext, TIMESTAMP_PLACEHOLDER, Template, starts_with_timestamp,
};
use proptest::prelude::*;

fn at(millis: u64) -> MonoTime {
    MonoTime::from_origin(Duration::from_millis(millis))
}

fn datagram(bytes: &[u8], sender: Sender) -> Datagram<'_> {
    Datagram { bytes, sender, to_group: false, truncated: false }
}

fn rule(stamp: &str, plain: PlainEcho) -> DatagramFilter {
    DatagramFilter::new(&stamp.parse().unwrap(), plain, at(0))
}

proptest! {
    #[test]
    fn no_reply_is_replied_to(
        request in any::<Vec<u8>>(), has_placeholder: bool,
        mine in prop::sample::select(vec!["ctime", "rfc3339", "unix", "ns", "[{unix}] {peer}> "]),
        theirs in prop::sample::select(vec!["ctime", "rfc3339", "unix", "ns", "none"]),
    ) {
        let stamp: Template = mine.parse().unwrap();
        let responder = Responder { stamp, framing: Framing::default() };
        let mut message = if has_placeholder { [&TIMESTAMP_PLACEHOLDER[..], &request].concat() } else { request };
        let mut head = Vec::new();
        responder.respond_to_datagram(&mut message, &mut StampContext::anonymous(&LocalTime::EXAMPLE), &mut head);
        let reply = [head, message].concat();
        prop_assert!(starts_with_timestamp(&reply));
        let verdict = rule(theirs, PlainEcho::Metered).check(&datagram(&reply, Sender::Local), at(0));
        prop_assert_eq!(verdict, Err(DropReason::Stamped));
    }
}

#[test]
fn every_reason_of_the_filter_occurs() {
    let mut stamping = rule("ctime", PlainEcho::Local);
    let hello = datagram(b"hello", Sender::Remote);
    assert_eq!(stamping.check(&hello, at(0)), Ok(()));
    assert_eq!(stamping.check(&datagram(b"", Sender::Remote), at(0)), Ok(()));
    assert_eq!(stamping.check(&Datagram { to_group: true, ..hello }, at(0)), Err(DropReason::Group));
    assert_eq!(stamping.check(&Datagram { truncated: true, ..hello }, at(0)), Err(DropReason::Truncated));
    assert_eq!(stamping.check(&datagram(b"x", Sender::Nameless), at(0)), Err(DropReason::Nameless));
    assert_eq!(stamping.check(&datagram(b"x", Sender::Own), at(0)), Err(DropReason::Own));
    assert_eq!(stamping.check(&datagram(b"x", Sender::Service), at(0)), Err(DropReason::Service));
    let reply = datagram(b"[Sun Nov 22 12:19:36 2026] hello", Sender::Local);
    assert_eq!(stamping.check(&reply, at(0)), Err(DropReason::Stamped));
}

#[test]
fn the_plain_echo_to_remote_hosts_is_rate_limited() {
    let hello = datagram(b"hello", Sender::Remote);
    assert_eq!(rule("none", PlainEcho::Local).check(&hello, at(0)), Err(DropReason::Remote));
    assert_eq!(rule("none", PlainEcho::Local).check(&datagram(b"hello", Sender::Local), at(0)), Ok(()));
    assert_eq!(
        rule("none", PlainEcho::Local).check(&datagram(TIMESTAMP_PLACEHOLDER, Sender::Remote), at(0)),
        Ok(())
    );

    let mut metered = rule("none", PlainEcho::Metered);
    let mut replies = |millis| (0..1000).filter(|_| metered.check(&hello, at(millis)).is_ok()).count();
    assert_eq!(replies(0), 100);
    assert_eq!(replies(99), 0);
    assert_eq!(replies(100), 1);
    assert_eq!(replies(350), 2);
    assert_eq!(replies(400), 1);
    assert_eq!(replies(3_600_000), 100);
}
