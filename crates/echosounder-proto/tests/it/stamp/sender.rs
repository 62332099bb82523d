use std::time::Duration;

use echosounder_proto::stamp::{
    ErrorEstimate, Key, Layout, LossDirection, REQUEST_MAX, SenderConfig, SenderPacket, StampSender,
    TimestampFormat, tlv,
};
use echosounder_proto::{
    Moment, MonoTime, ProbeEvent, ProbeFormat, ProbeInput, ProbeOutput, ProbePace, ProbePlan, ProbeReply,
    Prober, Seen, Times, Timestamp,
};
use proptest::prelude::*;

use super::{NOW, at, context, key, reflector};

fn sender(change: impl FnOnce(&mut SenderConfig)) -> StampSender {
    let mut config = SenderConfig::default();
    config.ssid = 4711;
    change(&mut config);
    StampSender::new(config)
}

fn request(sender: &mut StampSender, number: u64, sent: u64) -> Vec<u8> {
    let mut packet = b"before".to_vec();
    sender.write(number, at(sent), &mut packet);
    packet.split_off(6)
}

/// Returns the reply of our reflector, which received the request then and held it for 300 ns.
fn reflected(key: Option<Key>, mut packet: Vec<u8>, received: u64) -> Vec<u8> {
    let mut ours = reflector(|config| config.key = key);
    let (len, estimate) = (packet.len(), ErrorEstimate::from_bits(0x8a10));
    let reply = ours.reflect(&mut packet, len, &context(received), estimate, at(received + 100));
    assert_eq!(reply.unwrap().len, len);
    ours.finish(&mut packet, at(received + 300));
    packet
}

fn read(sender: &mut StampSender, packet: &[u8], next: u64) -> Option<ProbeReply> {
    let mut replies = Vec::new();
    let is_unexpected = sender.read(packet, next, &mut replies);
    assert_eq!(is_unexpected, replies.is_empty());
    replies.pop()
}

#[test]
fn requests_have_every_size_and_are_read_back() {
    for key in [None, Some(key())] {
        let least = if key.is_some() { 112 } else { 44 };
        for size in (least..least + 100).chain([1400, REQUEST_MAX]) {
            let mut sender = sender(|config| (config.size, config.key) = (size, key.clone()));
            let packet = request(&mut sender, 1, NOW);
            assert_eq!(packet.len(), size);
            let tail = &packet[least..];
            let covered: usize = tlv::walk(tail).map(|tlv| 4 + tlv.value.len()).sum();
            assert!(tail.len() - covered < 4, "{size} bytes: the extensions fill it");
            assert!(tlv::walk(tail).all(|tlv| !tlv.is_truncated));

            let reply = read(&mut sender, &reflected(key.clone(), packet, NOW + 1000), 2).unwrap();
            let times = Timestamp::Ns { rx: at(NOW + 1000), tx: at(NOW + 1300) };
            assert_eq!((reply.number, reply.timestamp), (1, Some(times)), "{size} bytes");
            assert_eq!((reply.seen.count, reply.seen.ttl), (Some(0), Some(61)));
            // The extension needs 8 bytes, and the HMAC of extensions 20.
            let has_class = match size - least {
                extra if key.is_some() => extra == 28 || 32 <= extra,
                extra => extra == 8 || 12 <= extra,
            };
            let wanted = if has_class { (Some(46), Some(1)) } else { (None, None) };
            assert_eq!((reply.seen.dscp, reply.seen.ecn), wanted, "{size} bytes");
        }
    }
}

#[test]
fn the_text_of_a_key_does_not_show_it() {
    assert_eq!(format!("{:?}", key()), "Key(..)");
}

#[test]
fn sizes_are_clamped() {
    assert_eq!(sender(|config| config.size = 0).size(), 44);
    assert_eq!(sender(|config| (config.size, config.key) = (44, Some(key()))).size(), 112);
    assert_eq!(sender(|config| config.size = 1 << 20).size(), REQUEST_MAX);
}

#[test]
fn later_requests_have_the_error_estimate_that_was_set() {
    let mut ours = sender(|_| {});
    ours.set_error_estimate(ErrorEstimate::from_bits(0x8001));
    let packet = SenderPacket::read(Layout::Unauthenticated, &request(&mut ours, 1, NOW));
    assert_eq!(packet.unwrap().error_estimate.bits(), 0x8001);
}

#[test]
fn a_reflector_that_counts_packets_is_stateful() {
    let lost_down = Some(LossDirection { up: 0, down: 1, unknown: 0 });
    for (size, expected) in [(72, lost_down), (44, None)] {
        let mut ours = sender(|config| config.size = size);
        let mut reflector = reflector(|_| {});
        for number in 1..=3 {
            let mut packet = request(&mut ours, number, NOW);
            let estimate = ErrorEstimate::UNKNOWN;
            reflector.reflect(&mut packet, size, &context(NOW), estimate, at(NOW + 100)).unwrap();
            reflector.finish(&mut packet, at(NOW + 300));
            assert!(number == 2 || read(&mut ours, &packet, number + 1).is_some());
        }
        assert_eq!(ours.loss_direction(1), expected, "{size}");
    }
}

#[test]
fn quoted_requests_of_other_sessions_are_not_found() {
    const TWO_HOURS: u64 = 7_200_000_000_000;
    let mut ours = sender(|_| {});
    let packet = request(&mut ours, 5, NOW);
    assert_eq!(ours.find(&packet, 6), Some(5));
    let other = request(&mut sender(|config| config.ssid = 4712), 5, NOW);
    assert_eq!(ours.find(&other, 6), None);
    let old = request(&mut sender(|_| {}), 5, NOW - TWO_HOURS);
    assert_eq!(ours.find(&old, 6), None);
}

#[test]
fn replies_of_twamp_light_reflectors_are_read() {
    let mut sender = sender(|config| config.ssid = 0);
    let packet = request(&mut sender, 3, NOW);
    let reply = reflected(None, packet, NOW + 1000);
    for (len, ttl) in [(36, None), (37, None), (38, None), (41, Some(61)), (44, Some(61))] {
        let found = read(&mut sender, &reply[..len], 4).unwrap();
        assert_eq!((found.number, found.seen.ttl, found.seen.dscp), (3, ttl, None), "{len} bytes");
    }
    assert_eq!(read(&mut sender, &reply[..35], 4), None);
}

#[test]
fn replies_that_are_not_ours_are_unexpected() {
    let reply = |key: Option<Key>, ssid| {
        let mut sender = sender(|config| (config.ssid, config.key) = (ssid, key.clone()));
        let packet = request(&mut sender, 1, NOW);
        reflected(key, packet, NOW)
    };
    let mut open = sender(|_| {});
    assert!(read(&mut open, &reply(None, 4711), 2).is_some());
    assert!(read(&mut open, &reply(None, 0), 2).is_some(), "a reflector that does not know the identifier");
    assert_eq!(read(&mut open, &reply(None, 4712), 2), None, "another session");
    assert_eq!(read(&mut open, &reply(None, 4711), 1), None, "before the first request");
    let mut authenticated = sender(|config| config.key = Some(key()));
    assert!(read(&mut authenticated, &reply(Some(key()), 4711), 2).is_some());
    assert_eq!(read(&mut authenticated, &reply(Key::new(&[1; 16]), 4711), 2), None, "another key");
    assert_eq!(read(&mut authenticated, &reply(None, 4711), 2), None, "no key");
}

/// A reflector that copies extensions without reading them leaves the flags of the sender set.
#[test]
fn extensions_that_are_not_answered_show_nothing() {
    let mut sender = sender(|_| {});
    let packet = request(&mut sender, 1, NOW);
    let mut reply = reflected(None, packet.clone(), NOW);
    reply[44..].copy_from_slice(&packet[44..]);
    let seen = read(&mut sender, &reply, 2).unwrap().seen;
    assert_eq!((seen.dscp, seen.ecn, seen.ttl), (None, None, Some(61)));
    assert_eq!(sender.loss_direction(0), None, "the reflector is not known to be stateful");
}

#[test]
fn a_timestamp_of_zero_is_no_time() {
    let mut sender = sender(|_| {});
    let packet = request(&mut sender, 1, NOW);
    let mut reply = reflected(None, packet, NOW);
    reply[16..24].fill(0);
    assert_eq!(read(&mut sender, &reply, 2).unwrap().timestamp, None);
}

proptest! {
    #[test]
    fn replies_have_the_number_of_their_request_after_any_wraparound(number in 1_u64..1 << 62, after in 1_u64..1 << 31, is_ptp: bool) {
        let format = if is_ptp { TimestampFormat::Ptp } else { TimestampFormat::Ntp };
        let mut sender = sender(|config| config.timestamp_format = format);
        let packet = request(&mut sender, number, NOW);
        let quoted = [b"headers ", &packet[..]].concat();
        prop_assert_eq!(sender.find(&quoted, number + after), Some(number));
        prop_assert_eq!(sender.find(&quoted[..8 + 15], number + after), None, "the identifier is cut off");
        let reply = reflected(None, packet, NOW + 1);
        prop_assert_eq!(read(&mut sender, &reply, number + after).map(|reply| reply.number), Some(number));
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), next: u64, is_authenticated: bool) {
        let mut sender = sender(|config| {
            config.key = is_authenticated.then(key);
            config.ssid = 0;
        });
        request(&mut sender, 1, NOW);
        if let Some(reply) = read(&mut sender, &bytes, next) {
            prop_assert!(0 < reply.number && reply.number < next);
        }
        if let Some(number) = sender.find(&bytes, next) {
            prop_assert!(0 < number && number < next);
        }
    }
}

/// A prober measures in this format: the second of three requests is lost on the way there.
#[test]
fn a_prober_measures_in_this_format() {
    let moment = |nanos: u64| Moment {
        wall: at(NOW + nanos),
        mono: MonoTime::from_origin(Duration::from_nanos(nanos)),
    };
    let interval = Duration::from_millis(1);
    let plan = ProbePlan {
        pace: ProbePace::Open { interval },
        count: Some(3),
        timeout: Duration::from_millis(10),
        end: None,
    };
    let mut prober = Prober::new(sender(|_| {}), plan, moment(0).mono);
    let mut ours = reflector(|_| {});
    let (mut buffer, mut samples, mut lost) = (Vec::new(), Vec::new(), 0);
    while let Some(deadline) = prober.deadline() {
        let now = deadline.as_nanos();
        match prober.poll(moment(now), &mut buffer) {
            Some(ProbeOutput::Send { number }) if number != 2 => {
                let (len, received) = (buffer.len(), at(NOW + now + 20_000));
                ours.reflect(
                    &mut buffer,
                    len,
                    &context(NOW + now + 20_000),
                    ErrorEstimate::UNKNOWN,
                    received,
                )
                .unwrap();
                ours.finish(&mut buffer, at(NOW + now + 25_000));
                prober.handle(ProbeInput::Received { bytes: &buffer, at: Times::of(moment(now + 30_000)) });
            }
            Some(ProbeOutput::Event(ProbeEvent::Replied { sample, .. })) => samples.push(sample),
            Some(ProbeOutput::Event(ProbeEvent::Lost { number: 2, .. })) => lost += 1,
            Some(ProbeOutput::Send { .. }) => {}
            output => panic!("{output:?}"),
        }
    }
    for sample in &samples {
        assert_eq!(
            (sample.rtt(), sample.residence()),
            (Duration::from_micros(30), Some(Duration::from_micros(5)))
        );
    }
    let counts: Vec<_> = samples.iter().map(|sample| (sample.number, sample.seen.count)).collect();
    assert_eq!((counts, lost), (vec![(1, Some(0)), (3, Some(1))], 1));
    assert_ne!(samples[0].seen, Seen::default());
    let direction = LossDirection { up: 1, down: 0, unknown: 0 };
    assert_eq!(prober.format().loss_direction(lost), Some(direction));
}
