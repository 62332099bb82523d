//! Properties of a STAMP reflector, for any request.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::SocketAddr;

use echosounder_proto::stamp::{
    ErrorEstimate, Key, Layout, Reflector, ReflectorConfig, ReflectorPacket, RequestContext, SenderPacket,
    TimestampFormat,
};
use echosounder_proto::{DropReason, WallTime};

use super::script::Script;

const NOW: u64 = 1_795_346_376_123_456_789;

/// Reads the input as a script: the configuration, what the network adds, and the request.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let (kind, ttl, class) =
        (script.byte(), script.bytes(1).first().copied(), script.bytes(1).first().copied());
    let mut config = ReflectorConfig::default();
    config.key = (kind & 1 == 1).then(|| Key::new(&[7; 16]).expect("a key of 16 bytes"));
    config.is_stateful = kind & 2 == 0;
    config.timestamp_format = if kind & 4 == 0 { TimestampFormat::Ntp } else { TimestampFormat::Ptp };
    // A fixed hash, so that a finding can be repeated.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut reflector = Reflector::new(config, hasher);
    let mut context = RequestContext::new(SocketAddr::from(([192, 0, 2, 1], 40_000)), at(0));
    (context.ttl, context.traffic_class) = (ttl, class);

    let (layout, len) = (reflector.layout(), script.0.len());
    let mut packet = script.0.to_vec();
    if kind & 8 == 8 {
        // The HMAC of a request is that of a reply with the same bytes.
        reflector.finish(&mut packet, at(0));
    }
    packet.resize(len.max(layout.len()) + 1, 0xee);
    let request = SenderPacket::read(layout, &packet[..len]);
    match reflector.reflect(&mut packet, len, &context, ErrorEstimate::UNKNOWN, at(1000)) {
        Err(DropReason::Short) => assert_eq!(request, None),
        Err(DropReason::Unauthenticated) => assert_eq!(layout, Layout::Authenticated),
        Err(reason) => assert_eq!(reason, DropReason::Stamped),
        Ok(reply) => {
            assert_eq!(reply.len, len.max(layout.len()));
            assert!(reply.dscp.is_none_or(|dscp| dscp < 64));
            reflector.finish(&mut packet[..reply.len], at(2000));
            let request = request.expect("a request that is replied to is read");
            is_reply_to(&request, layout, &packet[..reply.len]);
            let again = reflector.reflect(&mut packet, reply.len, &context, ErrorEstimate::UNKNOWN, at(3000));
            assert_eq!(again, Err(DropReason::Stamped), "a reply is never replied to");
        }
    }
    assert!(layout.len() <= len || packet[layout.len()] == 0xee, "nothing behind the reply is written");
}

fn is_reply_to(request: &SenderPacket, layout: Layout, packet: &[u8]) {
    let reply = ReflectorPacket::read(layout, packet).expect("a reply is read");
    assert_eq!((reply.sender_sequence, reply.ssid), (request.sequence, request.ssid));
    let copied = (reply.sender_timestamp, reply.sender_error_estimate);
    assert_eq!(copied, (request.timestamp, request.error_estimate));
    assert_eq!((reply.receive_time(at(0)), reply.send_time(at(0))), (at(0), at(2000)));
}

fn at(nanos: u64) -> WallTime {
    WallTime::from_nanos(NOW + nanos)
}
