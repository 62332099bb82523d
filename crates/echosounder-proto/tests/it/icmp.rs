use echosounder_proto::{
    FailureKind, ICMP_PAYLOAD_MAX, ICMP_PAYLOAD_MIN, IcmpEcho, IcmpError, IcmpVersion, LossReport, Moment,
    MonoTime, ProbeEvent, ProbeFormat, ProbeInput, ProbeOutput, ProbePace, ProbePlan, Prober, Times,
    WallTime,
};
use proptest::prelude::*;
use std::time::Duration;

const KEY: u64 = 0x0123_4567_89ab_cdef;
const ID: u16 = 0x1267;
const BOTH: [IcmpVersion; 2] = [IcmpVersion::V4, IcmpVersion::V6];

fn format(version: IcmpVersion, size: usize) -> IcmpEcho {
    IcmpEcho::new(version, ID, KEY, size)
}

fn request(format: &mut IcmpEcho, number: u64) -> Vec<u8> {
    let mut packet = b"before".to_vec();
    format.write(number, WallTime::from_nanos(0), &mut packet);
    packet.split_off(6)
}

/// Returns the reply of a host, which leaves the checksum to its kernel.
fn echoed(version: IcmpVersion, mut packet: Vec<u8>) -> Vec<u8> {
    packet[0] = version.reply();
    packet
}

fn read(format: &mut IcmpEcho, bytes: &[u8], next: u64) -> Option<u64> {
    let mut replies = Vec::new();
    let is_unexpected = format.read(bytes, next, &mut replies);
    assert_eq!(is_unexpected, replies.is_empty());
    replies.pop().map(|reply| reply.number)
}

#[test]
fn request_has_the_fields_of_the_rfc() {
    let packet = request(&mut format(IcmpVersion::V4, 18), 0x01_0002);
    let wanted = [
        [8, 0, 0x37, 0x5d, 0x12, 0x67, 0, 2].as_slice(),
        &KEY.to_be_bytes(),
        &0x01_0002_u64.to_be_bytes(),
        &[16, 17],
    ]
    .concat();
    // The checksum of a valid packet, with its own field, is 0: RFC 1071.
    let sum: u64 = wanted.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(word[1])).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    assert_eq!(packet, wanted);

    let packet = request(&mut format(IcmpVersion::V6, 18), 2);
    assert_eq!(packet[..8], [128, 0, 0, 0, 0x12, 0x67, 0, 2], "the kernel computes the checksum");
    assert_eq!(BOTH.map(IcmpVersion::reply), [0, 129]);
}

#[test]
fn the_checksum_covers_the_last_byte_of_an_odd_payload() {
    let packet = request(&mut format(IcmpVersion::V4, 17), 1);
    let words =
        packet.chunks(2).map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |&low| low.into()));
    let sum: u64 = words.sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
}

#[test]
fn sizes_are_clamped() {
    for (wanted, size) in [(0, ICMP_PAYLOAD_MIN), (56, 56), (1 << 20, ICMP_PAYLOAD_MAX)] {
        let mut format = format(IcmpVersion::V4, wanted);
        assert_eq!((format.size(), request(&mut format, 1).len()), (size, 8 + size));
    }
}

#[test]
fn replies_match_after_the_sequence_number_has_wrapped_around() {
    for version in BOTH {
        let mut format = format(version, 56);
        let [early, late] = [7, 7 + 65_536].map(|number| request(&mut format, number));
        assert_eq!(early[6..8], late[6..8], "both have the same sequence number");
        assert_eq!(read(&mut format, &echoed(version, early), 70_000), Some(7));
        assert_eq!(read(&mut format, &echoed(version, late.clone()), 70_000), Some(65_543));
        assert_eq!(read(&mut format, &echoed(version, late), 65_543), None, "it was not sent yet");
    }
}

#[test]
fn reply_of_a_raw_socket_has_an_ip_header() {
    let mut format = format(IcmpVersion::V4, 56);
    let reply = echoed(IcmpVersion::V4, request(&mut format, 1));
    for words in [5_usize, 15] {
        let header = vec![0x40 | u8::try_from(words).unwrap(); words * 4];
        assert_eq!(read(&mut format, &[&header, &reply[..]].concat(), 2), Some(1));
    }
    assert_eq!(read(&mut format, &[0x4f; 40], 2), None, "the header is cut off");
    assert_eq!(read(&mut format, &[&[0x55; 20], &reply[..]].concat(), 2), None, "no header of IPv4");
}

#[test]
fn messages_of_others_are_no_replies() {
    for version in BOTH {
        let mut format = format(version, 56);
        let packet = request(&mut format, 1);
        assert_eq!(read(&mut format, &packet, 2), None, "a request");
        let reply = echoed(version, packet);
        let mut other = IcmpEcho::new(version, ID, KEY + 1, 56);
        let others = echoed(version, request(&mut other, 1));
        assert_eq!(read(&mut format, &others, 2), None, "a reply to another program");
        for (index, why) in [(0, "type"), (1, "code"), (8, "key"), (16, "number"), (40, "filler")] {
            let mut changed = reply.clone();
            changed[index] ^= 1;
            assert_eq!(read(&mut format, &changed, 2), None, "the {why} differs");
        }
        assert_eq!(read(&mut format, &[&reply[..], b"!"].concat(), 2), None, "it is longer");
        assert_eq!(read(&mut format, &reply[..24], 2), Some(1), "some hosts cut long replies");
        assert_eq!(read(&mut format, &reply[..23], 2), None);
    }
}

#[test]
fn requests_are_found_in_what_the_network_quotes() {
    for version in BOTH {
        let mut format = format(version, 56);
        let packet = request(&mut format, 65_543);
        let framed = [&[0; 34], &packet[..]].concat();
        assert_eq!(format.find(&framed, 70_000), Some(65_543), "the kernel's copy has all headers");
        assert_eq!(format.find(&packet[..24], 70_000), Some(65_543));
        // RFC 792 demands 8 bytes of the packet: the last request with that sequence number.
        assert_eq!(format.find(&packet[..8], 65_544), Some(65_543));
        assert_eq!(format.find(&packet[..8], 65_543), Some(7));
        assert_eq!(format.find(&packet[..8], 7), None);
        assert_eq!(format.find(&packet[..7], 70_000), None);
        let other = request(&mut IcmpEcho::new(version, ID + 1, KEY + 1, 56), 7);
        assert_eq!((format.find(&other, 10), format.find(&other[..8], 10)), (None, None));
        let same_id = request(&mut IcmpEcho::new(version, ID, KEY + 1, 56), 7);
        assert_eq!(format.find(&same_id, 10), None, "the key shows that it is another program's");
    }
}

#[test]
fn errors_have_a_meaning() {
    use IcmpVersion::{V4, V6};
    for (version, kind, codes, meaning) in [
        (V4, 3, &[0, 6, 11][..], "network unreachable"),
        (V4, 3, &[1, 7, 12], "host unreachable"),
        (V4, 3, &[2], "protocol unreachable"),
        (V4, 3, &[3], "port unreachable"),
        (V4, 3, &[4], "fragmentation needed"),
        (V4, 3, &[5], "source route failed"),
        (V4, 3, &[9, 10, 13], "administratively prohibited"),
        (V4, 11, &[0], "time to live exceeded"),
        (V4, 11, &[1], "reassembly time exceeded"),
        (V4, 12, &[0, 1], "parameter problem"),
        (V6, 1, &[0], "no route to the destination"),
        (V6, 1, &[1], "administratively prohibited"),
        (V6, 1, &[2], "beyond the scope of the source address"),
        (V6, 1, &[3], "address unreachable"),
        (V6, 1, &[4], "port unreachable"),
        (V6, 1, &[5], "source address failed policy"),
        (V6, 1, &[6], "route rejects the destination"),
        (V6, 2, &[0], "packet too big"),
        (V6, 3, &[0], "hop limit exceeded"),
        (V6, 3, &[1], "reassembly time exceeded"),
        (V6, 4, &[0, 2], "parameter problem"),
        (V6, 3, &[3], "ICMP type 3, code 3"),
    ] {
        for &code in codes {
            assert_eq!(IcmpError { version, kind, code }.to_string(), meaning);
        }
    }
}

#[test]
fn prober_attributes_an_error_to_the_quoted_request() {
    let mut format = format(IcmpVersion::V4, 56);
    let second = request(&mut format, 2);
    let plan = ProbePlan {
        pace: ProbePace::from_interval(Duration::from_millis(1)),
        count: Some(3),
        timeout: Duration::from_secs(1),
        end: None,
    };
    let moment = |millis| {
        let since = Duration::from_millis(millis);
        Moment { wall: WallTime::from_nanos(0), mono: MonoTime::from_origin(since) }
    };
    let mut prober = Prober::new(format, plan, moment(0).mono);
    let mut buffer = Vec::new();
    for number in 1..=3 {
        let output = prober.poll(moment(number - 1), &mut buffer);
        assert_eq!(output, Some(ProbeOutput::Send { number }));
    }
    let mut report = LossReport::default();
    report.error = Some(IcmpError { version: IcmpVersion::V4, kind: 11, code: 0 });
    let (reason, at) = (FailureKind::Unreachable.into(), moment(4).mono);
    prober.handle(ProbeInput::Undelivered { packet: Some(&second[..8]), reason, report, at });
    let output = prober.poll(moment(4), &mut buffer);
    let Some(ProbeOutput::Event(ProbeEvent::Lost { number: 2, report: lost, .. })) = output else {
        panic!("{output:?}")
    };
    // It was sent at 1 ms.
    report.after = Some(Duration::from_millis(3));
    assert_eq!(lost, report);

    let reply = echoed(IcmpVersion::V4, buffer.clone());
    prober.handle(ProbeInput::Received { bytes: &reply, at: Times::of(moment(5)) });
    let output = prober.poll(moment(5), &mut buffer);
    let Some(ProbeOutput::Event(ProbeEvent::Replied { sample, .. })) = output else { panic!("{output:?}") };
    assert_eq!((sample.number, sample.rtt()), (3, Duration::from_millis(3)));
}

proptest! {
    #[test]
    fn every_request_comes_back(number in 1_u64.., size in 0_usize..2000, around in ".{0,40}") {
        for version in BOTH {
            let mut format = format(version, size);
            let packet = request(&mut format, number);
            let next = number.saturating_add(1);
            prop_assume!(number < next);
            let quoted = [around.as_bytes(), &packet, around.as_bytes()].concat();
            prop_assert_eq!(format.find(&quoted, next), Some(number));
            prop_assert_eq!(read(&mut format, &echoed(version, packet), next), Some(number));
        }
    }
}
