//! Packets of other programs, captured once. docs/stamp.md says how they were made.

use echosounder_proto::stamp::{ErrorEstimate, Key, Layout, ReflectorPacket, SenderConfig, StampSender, tlv};
use echosounder_proto::{ProbeFormat, Timestamp};

use super::{at, context, reflector};

/// The second in which the packets of scapy's reflector were captured: 2026-11-28T15:20:10Z.
const CAPTURED: u64 = 1_795_879_210_000_000_000;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A request of ours with DSCP 46, and the reply of scapy 2.8.0 to it and to the next one.
#[test]
fn replies_of_scapy_are_read() {
    let mut config = SenderConfig::default();
    (config.ssid, config.dscp) = (0x24c8, 46);
    let mut sender = StampSender::new(config);
    let mut request = Vec::new();
    sender.write(1, at(CAPTURED + 417_769_694), &mut request);
    let captured = "00000000eeb56faa6af2f4653fff24c800000000000000000000000000000000000000000000000000000000\
                    c0040004b8000000c005000c000000010000000000000000c0010000";
    let mut captured = bytes(captured);
    // A nanosecond is several units of NTP.
    captured[8..12].copy_from_slice(&request[8..12]);
    assert_eq!(request, captured);
    let replies = [
        (
            "00000000eeb56faa6b455800000124c8eeb56faa6af8d00000000000eeb56faa6af2f4643fff000040000000\
          c0040004b8000000c005000c000000010000000000000000c0010000",
            1,
            417_859_077,
            419_026_852,
        ),
        (
            "00000001eeb56faa78728000000124c8eeb56faa77c9200000000001eeb56faa77c0354a3fff000040000000\
          c0040004b8000000c005000c000000020000000000000000c0010000",
            2,
            467_912_674,
            470_497_131,
        ),
    ];
    for (packet, number, rx, tx) in replies {
        let mut read = Vec::new();
        assert!(!sender.read(&bytes(packet), 3, &mut read));
        let reply = read.pop().unwrap();
        let times = Timestamp::Ns { rx: at(CAPTURED + rx), tx: at(CAPTURED + tx) };
        assert_eq!((reply.number, reply.timestamp), (number, Some(times)));
        // It returns the extensions without an answer.
        assert_eq!((reply.seen.ttl, reply.seen.dscp, reply.seen.ecn), (Some(64), None, None));
        assert_eq!(reply.seen.error_estimate, Some(ErrorEstimate::from_bits(1)));
    }
}

/// A request that scapy 2.8.0 wrote: sequence number 5, SSID 0x1234, a DSCP of 46 for the reply, and
/// padding.
#[test]
fn requests_of_scapy_are_reflected() {
    let request = "00000005eeb57900800000008409123400000000000000000000000000000000000000000000000000000000\
                   c0040004b8000000c001000470616421";
    let mut packet = bytes(request);
    let (len, now) = (packet.len(), 1_795_881_600_600_000_000);
    let mut ours = reflector(|_| ());
    let reflected = ours.reflect(&mut packet, len, &context(now), ErrorEstimate::UNKNOWN, at(now)).unwrap();
    ours.finish(&mut packet, at(now + 5));
    assert_eq!((reflected.len, reflected.dscp), (len, Some(46)));
    let fields = ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap();
    assert_eq!((fields.sequence, fields.sender_sequence, fields.ssid), (0, 5, 0x1234));
    assert_eq!((fields.receive_time(at(now)), fields.send_time(at(now))), (at(now), at(now + 5)));
    assert_eq!((fields.sender_ttl, fields.sender_timestamp), (Some(61), 0xeeb5_7900_8000_0000));
    let answered: Vec<_> = tlv::walk(&packet[44..]).map(|tlv| (tlv.kind, tlv.is_answered())).collect();
    assert_eq!(answered, [(tlv::CLASS_OF_SERVICE, true), (tlv::EXTRA_PADDING, true)]);
    assert!(packet.ends_with(b"pad!"));
}

/// The key of the packets of stamp-suite.
fn suite_key() -> Option<Key> {
    Key::new(&bytes("000102030405060708090a0b0c0d0e0f1011121314151617"))
}

/// The authenticated reply of stamp-suite 1.0.0 to our first request, with its HMAC extension.
#[test]
fn authenticated_replies_of_stamp_suite_are_read() {
    let packet = "00000000000000000000000000000000eeb57674088392e50001e61e00000000eeb57674083dfe57\
                  000000000000000000000000000000000000000000000000eeb57674082c349a3fff000000000000\
                  40000000000000000000000000000000d72a77560843884c81eedd6950ebb71d00040004bae03000\
                  0005000c0000000100000001000000000001000000080010381eea410ba6e21c1c58c1c1bc79fcd5";
    let mut config = SenderConfig::default();
    (config.ssid, config.key) = (0xe61e, suite_key());
    let mut sender = StampSender::new(config);
    let second = 1_795_880_948_000_000_000;
    sender.write(1, at(second), &mut Vec::new());
    let mut packet = bytes(packet);
    let mut read = Vec::new();
    assert!(!sender.read(&packet, 2, &mut read));
    let reply = read.pop().unwrap();
    let times = Timestamp::Ns { rx: at(second + 32_195_946), tx: at(second + 33_257_657) };
    assert_eq!((reply.number, reply.timestamp), (1, Some(times)));
    assert_eq!((reply.seen.ttl, reply.seen.dscp, reply.seen.ecn), (Some(64), Some(46), Some(0)));
    packet[20] ^= 1;
    assert!(sender.read(&packet, 2, &mut read), "a changed packet");
}

/// An authenticated request of stamp-suite 1.0.0 with SSID 9 and DSCP 46.
#[test]
fn authenticated_requests_of_stamp_suite_are_reflected() {
    let request = "00000000000000000000000000000000eeb576740c7866130001000900000000000000000000000000000000\
                   0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
                   000000000000000097ade56ee4a3e0f3ecad5ed1cfeafed580040004b80000008005000c0000000100000000\
                   0000000080080010c91025b526cbcbf76bf0a85cfc4b0cbd";
    let mut packet = bytes(request);
    let (len, now) = (packet.len(), 1_795_880_948_100_000_000);
    let mut ours = reflector(|config| config.key = suite_key());
    let reflected = ours.reflect(&mut packet, len, &context(now), ErrorEstimate::UNKNOWN, at(now)).unwrap();
    assert_eq!((reflected.len, reflected.dscp), (len, Some(46)));
    ours.finish(&mut packet, at(now));
    let fields = ReflectorPacket::read(Layout::Authenticated, &packet).unwrap();
    assert_eq!((fields.ssid, fields.sender_timestamp), (9, 0xeeb5_7674_0c78_6613));
    let kinds = [tlv::CLASS_OF_SERVICE, tlv::DIRECT_MEASUREMENT, tlv::HMAC];
    let answered: Vec<_> = tlv::walk(&packet[112..]).map(|tlv| (tlv.kind, tlv.is_answered())).collect();
    assert_eq!(answered, kinds.map(|kind| (kind, true)));
}
