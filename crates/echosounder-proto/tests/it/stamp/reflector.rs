use std::net::SocketAddr;

use echosounder_proto::DropReason;
use echosounder_proto::ProbeFormat;
use echosounder_proto::stamp::{
    ErrorEstimate, Layout, Reflected, Reflector, ReflectorConfig, ReflectorPacket, SenderConfig,
    SenderPacket, Session, Sessions, StampSender, TimestampFormat, tlv,
};
use proptest::prelude::*;

use crate::FixedKey;

use super::{NOW, at, context, key, reflector, source};

/// A request, and the bytes behind its fields.
fn request(sequence: u32, ssid: u16, tail: &[u8]) -> Vec<u8> {
    let fields = SenderPacket {
        sequence,
        timestamp: TimestampFormat::Ntp.encode(at(NOW - 5000)),
        error_estimate: ErrorEstimate::from_bits(0x8001),
        ssid,
    };
    let mut packet = vec![0; 44];
    assert!(fields.write(Layout::Unauthenticated, &mut packet));
    packet.extend_from_slice(tail);
    packet
}

fn reflect(reflector: &mut Reflector<FixedKey>, packet: &mut [u8]) -> Result<Reflected, DropReason> {
    let (len, estimate) = (packet.len(), ErrorEstimate::from_bits(0x8a10));
    let result = reflector.reflect(packet, len, &context(NOW), estimate, at(NOW + 1000));
    reflector.finish(packet, at(NOW + 2000));
    result
}

/// Returns the reply to a request with these bytes behind its fields, and the DSCP that it asks for.
fn reply_to(config: impl FnOnce(&mut ReflectorConfig), tail: &[u8]) -> (Vec<u8>, Option<u8>) {
    let mut packet = request(7, 1, tail);
    let reflected = reflect(&mut reflector(config), &mut packet).unwrap();
    (packet.split_off(44), reflected.dscp)
}

#[test]
fn a_request_with_random_padding_has_no_session_identifier() {
    for at in 16..44 {
        let mut reflector = reflector(|_| {});
        let counts = [1, 2].map(|ssid| {
            let mut packet = request(7, ssid, &[]);
            packet[at] = 1;
            reflect(&mut reflector, &mut packet).unwrap();
            ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap().sequence
        });
        assert_eq!(counts, [0, 1], "the byte at {at} shows that both are of one session");
    }
}

#[test]
fn without_a_key_an_hmac_is_unrecognized() {
    for len in [16, 4] {
        let tail = [&[0, tlv::HMAC, 0, len][..], &[0; 16][..usize::from(len)]].concat();
        assert_eq!(reply_to(|_| {}, &tail).0[0], tlv::UNRECOGNIZED, "{len}");
    }
}

#[test]
fn a_packet_with_a_time_within_60_seconds_is_a_reply() {
    const LIMIT: u64 = 60_000_000_000;
    for (distance, expected) in [(LIMIT - 1, Err(DropReason::Stamped)), (LIMIT, Ok(()))] {
        for time in [NOW + 1000 - distance, NOW + 1000 + distance] {
            let mut packet = request(7, 0, &[]);
            packet[16..24].copy_from_slice(&TimestampFormat::Ptp.encode(at(time)).to_be_bytes());
            assert_eq!(reflect(&mut reflector(|_| {}), &mut packet).map(drop), expected, "{time}");
        }
    }
}

#[test]
fn replies_show_the_times_and_the_fields_of_the_request() {
    for format in [TimestampFormat::Ntp, TimestampFormat::Ptp] {
        let mut packet = request(7, 4711, &[]);
        let sent = SenderPacket::read(Layout::Unauthenticated, &packet).unwrap();
        reflect(&mut reflector(|config| config.timestamp_format = format), &mut packet).unwrap();
        let reply = ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap();
        assert_eq!((reply.receive_time(at(NOW)), reply.send_time(at(NOW))), (at(NOW), at(NOW + 2000)));
        assert_eq!((reply.sequence, reply.sender_sequence, reply.ssid), (0, 7, 4711));
        assert_eq!(
            (reply.sender_timestamp, reply.sender_error_estimate),
            (sent.timestamp, sent.error_estimate)
        );
        assert_eq!(reply.sender_ttl, Some(61));
        assert_eq!(reply.error_estimate, ErrorEstimate::from_bits(0x8a10).with_format(format));
    }
}

#[test]
fn a_stateless_reflector_repeats_the_number_of_the_request() {
    let mut ours = reflector(|config| config.is_stateful = false);
    for sequence in [9, 9, u32::MAX] {
        let mut packet = request(sequence, 1, &[]);
        reflect(&mut ours, &mut packet).unwrap();
        assert_eq!(ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap().sequence, sequence);
    }
}

#[test]
fn a_stateful_reflector_numbers_the_replies_of_each_session() {
    let mut ours = reflector(|_| {});
    let mut number = |from: SocketAddr, ssid| {
        let mut packet = request(1000, ssid, &[]);
        let mut context = context(NOW);
        context.source = from;
        ours.reflect(&mut packet, 44, &context, ErrorEstimate::UNKNOWN, at(NOW)).unwrap();
        ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap().sequence
    };
    assert_eq!([number(source(1), 1), number(source(1), 1), number(source(1), 1)], [0, 1, 2]);
    assert_eq!([number(source(1), 2), number(source(2), 1), number(source(1), 1)], [0, 0, 3]);
}

#[test]
fn requests_with_random_padding_belong_to_one_session() {
    let mut ours = reflector(|_| {});
    for filler in 1..6 {
        let sequence = u32::from(filler) - 1;
        let mut packet = request(sequence, 0x1000 + u16::from(filler), &[0x55; 56]);
        packet[16..44].fill(filler);
        reflect(&mut ours, &mut packet).unwrap();
        assert_eq!(ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap().sequence, sequence);
    }
}

#[test]
fn short_requests_get_44_bytes() {
    let mut ours = reflector(|_| {});
    for len in 0..44 {
        // The bytes behind the request are from an earlier one.
        let mut buffer = [0xee; 50];
        buffer[..len].copy_from_slice(&request(7, 4711, &[])[..len]);
        let result = ours.reflect(&mut buffer, len, &context(NOW), ErrorEstimate::UNKNOWN, at(NOW));
        if len < 14 {
            assert_eq!(result, Err(DropReason::Short), "{len} bytes");
            continue;
        }
        assert_eq!(result, Ok(Reflected { len: 44, dscp: None }), "{len} bytes");
        assert_eq!(Layout::Unauthenticated.excess(len), 44 - len);
        let reply = ReflectorPacket::read(Layout::Unauthenticated, &buffer).unwrap();
        assert_eq!((reply.sender_sequence, reply.ssid), (7, if len < 16 { 0 } else { 4711 }));
        assert_eq!(
            (&buffer[38..40], &buffer[41..44], &buffer[44..]),
            (&[0; 2][..], &[0; 3][..], &[0xee; 6][..])
        );
    }
    let mut short_buffer = request(7, 1, &[])[..40].to_vec();
    let result = ours.reflect(&mut short_buffer, 40, &context(NOW), ErrorEstimate::UNKNOWN, at(NOW));
    assert_eq!(result, Err(DropReason::Truncated));
}

#[test]
fn extensions_are_answered_in_place() {
    let tail = [
        &[0xc0, tlv::EXTRA_PADDING, 0, 3, 9, 8, 7][..],
        &[0xc0, tlv::TIMESTAMP_INFORMATION, 0, 4, 0, 0, 0, 0],
        // DSCP 10 for the reply.
        &[0xc0, tlv::CLASS_OF_SERVICE, 0, 4, 10 << 2, 0, 0, 0],
        &[0xc0, tlv::DIRECT_MEASUREMENT, 0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        // An unknown type, a wrong length, and the HMAC without a key.
        &[0xc0, 200, 0, 1, 5],
        &[0xc0, tlv::CLASS_OF_SERVICE, 0, 2, 1, 2],
        &[0xc0, tlv::HMAC, 0, 1, 3],
    ]
    .concat();
    let wanted = [
        &[0, tlv::EXTRA_PADDING, 0, 3, 9, 8, 7][..],
        // Synchronized by NTP, timestamps by software.
        &[0, tlv::TIMESTAMP_INFORMATION, 0, 4, 1, 2, 1, 2],
        // DSCP 46 and ECN 1 as they arrived.
        &[0, tlv::CLASS_OF_SERVICE, 0, 4, 10 << 2 | 46 >> 4, (46 & 15) << 4 | 1 << 2, 0, 0],
        &[0, tlv::DIRECT_MEASUREMENT, 0, 12, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1],
        &[tlv::UNRECOGNIZED, 200, 0, 1, 5],
        &[tlv::MALFORMED, tlv::CLASS_OF_SERVICE, 0, 2, 1, 2],
        &[tlv::UNRECOGNIZED, tlv::HMAC, 0, 1, 3],
    ]
    .concat();
    assert_eq!(reply_to(|_| {}, &tail), (wanted, Some(10)));
}

#[test]
fn a_refused_dscp_is_reported() {
    let tail = [0xc0, tlv::CLASS_OF_SERVICE, 0, 4, 10 << 2, 0, 0, 0];
    let (reply, dscp) = reply_to(|config| config.honours_dscp = false, &tail);
    assert_eq!((reply[5] & 3, dscp), (1, None));
}

#[test]
fn counts_are_not_claimed_without_state() {
    let tail = [0xc0, tlv::DIRECT_MEASUREMENT, 0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let (reply, _) = reply_to(|config| config.is_stateful = false, &tail);
    assert_eq!((reply[0], &reply[1..]), (tlv::UNRECOGNIZED, &tail[1..]));
}

/// The rest of a packet is unchanged after an extension that leaves it, and behind a type of zero.
#[test]
fn what_is_no_extension_is_returned_unchanged() {
    let (reply, _) = reply_to(|_| {}, &[0xc0, 200, 0, 0, 0xc0, 1, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(reply, [tlv::UNRECOGNIZED, 200, 0, 0, tlv::MALFORMED, 1, 0xff, 0xff, 1, 2, 3]);
    for padding in [&[0; 300][..], &[0xc0, 1, 0], &[9]] {
        assert_eq!(reply_to(|_| {}, padding), (padding.to_vec(), None));
    }
}

/// An authenticated request with the extensions Class of Service, Direct Measurement and HMAC.
fn authenticated() -> Vec<u8> {
    let mut config = SenderConfig::default();
    (config.key, config.size) = (Some(key()), 112 + 8 + 16 + 20);
    let mut packet = Vec::new();
    StampSender::new(config).write(1, at(NOW - 5000), &mut packet);
    packet
}

/// Returns the flags of the extensions.
fn flags(packet: &[u8]) -> Vec<(u8, u8)> {
    tlv::walk(&packet[112..]).map(|tlv| (tlv.kind, tlv.flags)).collect()
}

#[test]
fn authenticated_requests_need_a_valid_hmac() {
    let reflect_it = |mut packet: Vec<u8>| {
        reflect(&mut reflector(|config| config.key = Some(key())), &mut packet).map(|_| packet)
    };
    let reply = reflect_it(authenticated()).unwrap();
    assert_eq!(flags(&reply), [(tlv::CLASS_OF_SERVICE, 0), (tlv::DIRECT_MEASUREMENT, 0), (tlv::HMAC, 0)]);
    for byte in 0..112 {
        let mut packet = authenticated();
        packet[byte] ^= 1;
        let reason = reflect_it(packet).unwrap_err();
        assert_eq!(reason, DropReason::Unauthenticated, "byte {byte}");
    }
    assert_eq!(reflect_it(authenticated()[..111].to_vec()), Err(DropReason::Short));
}

/// The fields are valid, so there is a reply, but the extensions are not answered (RFC 8972 section 4.8).
#[test]
fn extensions_with_a_wrong_hmac_are_refused() {
    let refused = tlv::INTEGRITY_FAILED | tlv::UNRECOGNIZED;
    let mut without_hmac = authenticated();
    without_hmac.truncate(112 + 24);
    let mut changed = authenticated();
    changed[112 + 4] ^= 4;
    for mut packet in [without_hmac, changed] {
        let result = reflect(&mut reflector(|config| config.key = Some(key())), &mut packet).unwrap();
        assert_eq!(result.dscp, None);
        assert!(flags(&packet).iter().all(|(_, flags)| *flags == refused), "{:?}", flags(&packet));
    }
}

#[test]
fn a_million_sessions_evict_each_other() {
    let mut sessions = Sessions::new(FixedKey::default());
    let session = |number: u32| Session {
        source: SocketAddr::from((number.to_be_bytes(), 40_000)),
        destination: None,
        ssid: 0,
    };
    assert_eq!((0..1_000_000).filter(|number| sessions.count(&session(*number)) != 0).count(), 0);
    // Seen from the most recent, no more sessions than the table has places have remained.
    let mut remembered = 0;
    for number in (0..1_000_000).rev().take(20_000) {
        remembered += u32::from(sessions.count(&session(number)) != 0);
    }
    assert!((1000..=4096).contains(&remembered), "{remembered} sessions");
}

#[test]
fn a_busy_session_is_not_evicted() {
    let mut sessions = Sessions::new(FixedKey::default());
    let session = |port| Session { source: source(port), destination: None, ssid: 9 };
    for round in 0..60_000_u32 {
        assert_eq!(sessions.count(&session(1)), round);
        sessions.count(&session(2 + u16::try_from(round).unwrap()));
    }
}

proptest! {
    #[test]
    fn replies_have_the_length_of_their_request(
        tail in prop::collection::vec(any::<u8>(), 0..300), sequence: u32, ssid: u16, is_stateful: bool,
    ) {
        let mut ours = reflector(|config| config.is_stateful = is_stateful);
        let packet = request(sequence, ssid, &tail);
        for len in 14..=packet.len() {
            let mut buffer = packet.clone();
            buffer.resize(packet.len() + 1, 0xee);
            match ours.reflect(&mut buffer, len, &context(NOW), ErrorEstimate::UNKNOWN, at(NOW)) {
                Ok(reply) => prop_assert_eq!(reply.len, len.max(44)),
                Err(reason) => prop_assert_eq!(reason, DropReason::Stamped),
            }
            prop_assert_eq!(buffer[packet.len()], 0xee);
        }
    }
}
