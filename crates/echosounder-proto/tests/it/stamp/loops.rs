//! Two reflectors and one packet with a forged source.

use std::time::Duration;

use crate::FixedKey;
use echosounder_proto::stamp::{
    ErrorEstimate, Key, PORT, Reflector, RequestContext, SenderConfig, StampSender, TimestampFormat,
};
use echosounder_proto::{
    DropReason, MonoTime, ProbeFormat, ReplyForm, ReplyLimits, ReplyMeter, Source, SourcePrefix,
};

use super::{NOW, at, key, reflector, source};

const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

fn request(key: Option<Key>, sent: u64) -> Vec<u8> {
    let mut config = SenderConfig::default();
    (config.key, config.size) = (key, 200);
    let mut request = Vec::new();
    StampSender::new(config).write(1, at(sent), &mut request);
    request
}

/// Passes one packet between two reflectors, whose clocks show these times at first, and returns how
/// often each replied, and why the last packet was dropped.
fn exchange(
    reflectors: &mut [Reflector<FixedKey>; 2],
    clocks: [u64; 2],
    delay: u64,
    mut packet: Vec<u8>,
) -> ([u32; 2], DropReason) {
    let mut replies = [0; 2];
    for turn in 0..100 {
        let (side, elapsed) = (turn % 2, u64::try_from(turn).unwrap() * delay);
        let now = at(clocks[side] + elapsed);
        let context = RequestContext::new(source(PORT), now);
        let len = packet.len();
        match reflectors[side].reflect(&mut packet, len, &context, ErrorEstimate::UNKNOWN, now) {
            Ok(reply) => assert_eq!(reply.len, len),
            Err(reason) => return (replies, reason),
        }
        reflectors[side].finish(&mut packet, now);
        replies[side] += 1;
    }
    panic!("the exchange does not end");
}

#[test]
fn two_reflectors_send_one_reply_each_at_most_after_a_forged_packet() {
    use TimestampFormat::{Ntp, Ptp};
    for key in [None, Some(key())] {
        for formats in [[Ntp, Ntp], [Ntp, Ptp], [Ptp, Ntp], [Ptp, Ptp]] {
            for delay in [0, 50 * MILLISECOND, 29_000 * MILLISECOND] {
                for (clocks, wanted) in [
                    ([NOW, NOW], [1, 0]),
                    ([NOW, NOW + YEAR], [1, 1]),
                    ([NOW + YEAR, NOW], [1, 1]),
                    // The end of the era of NTP.
                    ([2_085_978_496_000_000_000, NOW], [1, 1]),
                ] {
                    let mut sides = formats.map(|format| {
                        reflector(|config| {
                            (config.timestamp_format, config.key) = (format, key.clone());
                        })
                    });
                    let forged = request(key.clone(), clocks[0] - 1000);
                    let result = exchange(&mut sides, clocks, delay, forged);
                    assert_eq!(result, (wanted, DropReason::Stamped), "{formats:?} {delay} {clocks:?}");
                }
            }
        }
    }
}

/// A forger chooses the timestamp of the request, so only the time of receipt shows the reply.
#[test]
fn reflectors_with_equal_clocks_send_one_reply_whatever_the_request_shows() {
    for key in [None, Some(key())] {
        for sent in [1, NOW - YEAR, NOW, NOW + YEAR] {
            let mut sides = [(); 2].map(|()| reflector(|config| config.key = key.clone()));
            let forged = request(key.clone(), sent);
            let result = exchange(&mut sides, [NOW, NOW], 50 * MILLISECOND, forged);
            assert_eq!(result, ([1, 0], DropReason::Stamped), "{sent}");
        }
    }
}

/// A foreign reflector may reply to everything. Each of its replies repeats the timestamp of ours.
#[test]
fn a_reflector_without_this_rule_gets_one_reply() {
    let mut ours = reflector(|_| {});
    let mut packet = request(None, NOW);
    let mut replies = 0;
    for turn in 0_u64..10 {
        let now = at(NOW + turn * 100 * MILLISECOND);
        let context = RequestContext::new(source(PORT), now);
        let len = packet.len();
        if ours.reflect(&mut packet, len, &context, ErrorEstimate::UNKNOWN, now).is_err() {
            break;
        }
        ours.finish(&mut packet, now);
        replies += 1;
        // It copies the fields of our reply as those of a request, and its clock is a year behind.
        let (sequence, timestamp) = (packet[..4].to_vec(), packet[4..12].to_vec());
        packet[24..28].copy_from_slice(&sequence);
        packet[28..36].copy_from_slice(&timestamp);
        let theirs = TimestampFormat::Ntp.encode(at(NOW - YEAR)).to_be_bytes();
        packet[4..12].copy_from_slice(&theirs);
        packet[16..24].copy_from_slice(&theirs);
    }
    assert_eq!(replies, 1);
}

/// Zeros in place of timestamps are no reply, even when they are the time of day.
#[test]
fn requests_are_not_taken_for_replies_at_the_end_of_an_era() {
    for now in [2_085_978_496_000_000_000, 4_294_967_296_000_000_000] {
        for key in [None, Some(key())] {
            let mut ours = reflector(|config| config.key = key.clone());
            let mut packet = request(key, now);
            let (context, len) = (RequestContext::new(source(PORT), at(now)), packet.len());
            let reply = ours.reflect(&mut packet, len, &context, ErrorEstimate::UNKNOWN, at(now));
            assert_eq!(reply.map(|reply| reply.len), Ok(len));
        }
    }
}

/// Senders may use the port of reflectors, so replies to it have a higher limit than other services.
#[test]
fn the_meter_limits_replies_to_the_ports_of_reflectors() {
    let meter = ReplyMeter::new(ReplyLimits::default(), FixedKey::default());
    let prefix = SourcePrefix::from(source(0).ip());
    let granted = |port, millis, form| {
        let now = MonoTime::from_origin(Duration::from_millis(millis));
        (0..5000).filter(|_| meter.admit(Source::Remote { prefix, port }, form, now).is_ok()).count()
    };
    let reflected = ReplyForm::Reflected { excess: 0, port: 20_862 };
    assert_eq!(granted(PORT, 0, reflected), 1000);
    assert_eq!(granted(PORT, 500, reflected), 500);
    assert_eq!(granted(20_862, 0, reflected), 1000, "the reflector's own port");
    assert_eq!(granted(40_000, 0, reflected), 5000, "another port");
    assert_eq!(granted(5353, 0, reflected), 1, "a port of a UDP service");
    let short = ReplyForm::Reflected { excess: 30, port: PORT };
    assert_eq!(granted(40_000, 0, short), 8192 / 30, "replies that exceed their requests");
}
