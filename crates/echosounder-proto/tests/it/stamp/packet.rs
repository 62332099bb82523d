use echosounder_proto::stamp::{ErrorEstimate, Layout, ReflectorPacket, SenderPacket};
use proptest::prelude::*;

const LAYOUTS: [Layout; 2] = [Layout::Unauthenticated, Layout::Authenticated];

/// A request whose fields have a different byte each.
const REQUEST: SenderPacket = SenderPacket {
    sequence: 0x0102_0304,
    timestamp: 0x1112_1314_1516_1718,
    error_estimate: ErrorEstimate::UNKNOWN,
    ssid: 0x2122,
};

fn reply() -> ReflectorPacket {
    ReflectorPacket {
        sequence: 0x3132_3334,
        timestamp: 0x4142_4344_4546_4748,
        error_estimate: ErrorEstimate::from_bits(0x5152),
        ssid: REQUEST.ssid,
        receive_timestamp: 0x6162_6364_6566_6768,
        sender_sequence: REQUEST.sequence,
        sender_timestamp: REQUEST.timestamp,
        sender_error_estimate: REQUEST.error_estimate,
        sender_ttl: Some(0x71),
    }
}

/// Returns a packet of zeros with these bytes at these positions.
fn packet<const N: usize>(fields: &[(usize, &[u8])]) -> [u8; N] {
    let mut packet = [0; N];
    for (at, bytes) in fields {
        packet[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    packet
}

const T1: &[u8] = b"\x11\x12\x13\x14\x15\x16\x17\x18";
const T2: &[u8] = b"\x61\x62\x63\x64\x65\x66\x67\x68";
const T3: &[u8] = b"\x41\x42\x43\x44\x45\x46\x47\x48";

/// RFC 8762 section 4.2.1, with the identifier of RFC 8972 section 3.
#[test]
fn unauthenticated_requests_have_the_layout_of_the_rfc() {
    let wanted = packet::<44>(&[(0, b"\x01\x02\x03\x04"), (4, T1), (12, b"\x3f\xff"), (14, b"\x21\x22")]);
    let mut written = [0xee; 44];
    assert!(REQUEST.write(Layout::Unauthenticated, &mut written));
    assert_eq!(written, wanted);
}

/// RFC 8762 section 4.2.2.
#[test]
fn authenticated_requests_have_the_layout_of_the_rfc() {
    let wanted = packet::<112>(&[(0, b"\x01\x02\x03\x04"), (16, T1), (24, b"\x3f\xff"), (26, b"\x21\x22")]);
    let mut written = [0xee; 112];
    assert!(REQUEST.write(Layout::Authenticated, &mut written));
    assert_eq!(written, wanted);
}

/// RFC 8762 section 4.3.1. The two bytes after the error estimate of the sender are zero: they are no second
/// session identifier.
#[test]
fn unauthenticated_replies_have_the_layout_of_the_rfc() {
    let wanted = packet::<44>(&[
        (0, b"\x31\x32\x33\x34"),
        (4, T3),
        (12, b"\x51\x52"),
        (14, b"\x21\x22"),
        (16, T2),
        (24, b"\x01\x02\x03\x04"),
        (28, T1),
        (36, b"\x3f\xff\x00\x00"),
        (40, b"\x71"),
    ]);
    let mut written = [0xee; 44];
    assert!(reply().write(Layout::Unauthenticated, &mut written));
    assert_eq!(written, wanted);
}

/// RFC 8762 section 4.3.2.
#[test]
fn authenticated_replies_have_the_layout_of_the_rfc() {
    let wanted = packet::<112>(&[
        (0, b"\x31\x32\x33\x34"),
        (16, T3),
        (24, b"\x51\x52"),
        (26, b"\x21\x22"),
        (32, T2),
        (48, b"\x01\x02\x03\x04"),
        (64, T1),
        (72, b"\x3f\xff"),
        (80, b"\x71"),
    ]);
    let mut written = [0xee; 112];
    assert!(reply().write(Layout::Authenticated, &mut written));
    assert_eq!(written, wanted);
}

/// Replies of TWAMP Light reflectors end at byte 36, 38 or 41.
#[test]
fn short_replies_are_read_as_far_as_they_go() {
    let mut bytes = [0; 44];
    assert!(reply().write(Layout::Unauthenticated, &mut bytes));
    let read = |len: usize| ReflectorPacket::read(Layout::Unauthenticated, &bytes[..len]);
    assert_eq!(read(35), None);
    let without_ttl = ReflectorPacket { sender_ttl: None, ..reply() };
    let bare = ReflectorPacket { sender_error_estimate: ErrorEstimate::from_bits(0), ..without_ttl };
    assert_eq!([read(36), read(37)], [Some(bare); 2]);
    assert_eq!([read(38), read(40)], [Some(without_ttl); 2]);
    assert_eq!([read(41), read(44)], [Some(reply()); 2]);
}

proptest! {
    #[test]
    fn requests_are_read_as_they_were_written(sequence: u32, timestamp: u64, error: u16, ssid: u16, behind in 0_usize..9) {
        let request = SenderPacket { sequence, timestamp, error_estimate: ErrorEstimate::from_bits(error), ssid };
        for layout in LAYOUTS {
            let mut bytes = vec![0xee; layout.len() + behind];
            prop_assert!(request.write(layout, &mut bytes));
            prop_assert_eq!(SenderPacket::read(layout, &bytes), Some(request));
            prop_assert!(bytes[layout.len()..].iter().all(|byte| *byte == 0xee));
        }
    }

    #[test]
    fn replies_are_read_as_they_were_written(numbers: [u32; 2], times: [u64; 3], errors: [u16; 2], ssid: u16, ttl: u8) {
        let reply = ReflectorPacket {
            sequence: numbers[0],
            timestamp: times[0],
            error_estimate: ErrorEstimate::from_bits(errors[0]),
            ssid,
            receive_timestamp: times[1],
            sender_sequence: numbers[1],
            sender_timestamp: times[2],
            sender_error_estimate: ErrorEstimate::from_bits(errors[1]),
            sender_ttl: Some(ttl),
        };
        for layout in LAYOUTS {
            let mut bytes = vec![0xee; layout.len()];
            prop_assert!(reply.write(layout, &mut bytes));
            prop_assert_eq!(ReflectorPacket::read(layout, &bytes), Some(reply));
        }
    }
}

#[test]
fn nothing_is_written_to_a_buffer_that_is_too_short() {
    for layout in LAYOUTS {
        let mut bytes = vec![0xee; layout.len() - 1];
        assert!(!REQUEST.write(layout, &mut bytes) && !reply().write(layout, &mut bytes));
        assert!(bytes.iter().all(|byte| *byte == 0xee));
    }
}
