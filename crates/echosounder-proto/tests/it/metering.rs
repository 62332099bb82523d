use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use echosounder_proto::{DropReason, MonoTime, ReplyForm, ReplyLimits, ReplyMeter, Source, SourcePrefix};
use proptest::prelude::*;

use crate::FixedKey;

const CTIME: ReplyForm = ReplyForm::Stamped { excess: 27 };
const SAME_LENGTH: ReplyForm = ReplyForm::Stamped { excess: 0 };

fn at(millis: u64) -> MonoTime {
    MonoTime::from_origin(Duration::from_millis(millis))
}

fn meter() -> ReplyMeter<FixedKey> {
    with_limits(8 * 1024, 256, 64 * 1024)
}

fn with_limits(burst: u32, rate: u32, rate_total: u32) -> ReplyMeter<FixedKey> {
    let mut limits = ReplyLimits::default();
    (limits.burst, limits.rate, limits.rate_total) = (burst, rate, rate_total);
    ReplyMeter::new(limits, FixedKey::default())
}

/// A source in the IPv4 network of this number.
fn remote(network: u32) -> Source {
    at_port(network, 4000)
}

fn at_port(network: u32, port: u16) -> Source {
    Source::Remote { prefix: IpAddr::V4(Ipv4Addr::from_bits(network << 8)).into(), port }
}

fn replies(meter: &ReplyMeter<FixedKey>, requests: u32, source: Source, form: ReplyForm, millis: u64) -> u32 {
    (0..requests).map(|_| u32::from(meter.admit(source, form, at(millis)).is_ok())).sum()
}

/// Returns whether the bytes of every window stay within a burst and a rate. Each sent item is a
/// time in milliseconds and a number of bytes, in the order of the times.
fn are_within(sent: &[(u64, u64)], burst: u64, rate: u64) -> bool {
    (0..sent.len()).all(|first| {
        let mut bytes = 0;
        sent[first..].iter().all(|(millis, len)| {
            bytes += len;
            bytes * 1000 <= burst * 1000 + rate * (millis - sent[first].0)
        })
    })
}

proptest! {
    #[test]
    fn excess_bytes_stay_within_the_limits(
        burst in 0_u32..2000, rate in 0_u32..2000, rate_total in 0_u32..4000,
        requests in prop::collection::vec((0_u64..400, 0_u32..4, 0_usize..=128), 1..200),
    ) {
        let meter = with_limits(burst, rate, rate_total);
        let mut now = 0;
        let (mut sent, mut all): (HashMap<u32, Vec<_>>, Vec<_>) = Default::default();
        for (pause, network, excess) in requests {
            now += pause;
            match meter.admit(remote(network), ReplyForm::Stamped { excess }, at(now)) {
                Ok(()) => {
                    sent.entry(network).or_default().push((now, excess as u64));
                    all.push((now, excess as u64));
                }
                Err(reason) => {
                    prop_assert_eq!(reason, DropReason::Excess);
                    prop_assert!(0 < excess, "a reply of the request's length is never limited");
                }
            }
        }
        for sent in sent.values() {
            prop_assert!(are_within(sent, burst.into(), rate.into()));
        }
        prop_assert!(are_within(&all, rate_total.max(256).into(), rate_total.into()));
    }
}

#[test]
fn a_prefix_is_granted_its_burst_and_then_its_rate() {
    let meter = meter();
    assert_eq!(replies(&meter, 1000, remote(1), CTIME, 0), 8192 / 27);
    assert_eq!(replies(&meter, 1000, remote(1), CTIME, 1000), 256 / 27);
    assert_eq!(replies(&meter, 1000, remote(2), CTIME, 1000), 8192 / 27, "another prefix");
    assert_eq!(replies(&meter, 1000, remote(1), CTIME, 3_600_000), 8192 / 27);
    for source in [Source::Trusted, Source::Verified] {
        assert_eq!(replies(&meter, 10_000, source, CTIME, 0), 10_000);
    }
    assert_eq!(replies(&meter, 10_000, remote(1), SAME_LENGTH, 0), 10_000);
}

#[test]
fn a_request_that_the_total_refuses_is_not_charged_to_its_prefix() {
    let meter = with_limits(10_000, 1, 1000);
    assert_eq!(replies(&meter, 10, remote(1), ReplyForm::Stamped { excess: 100 }, 0), 10);
    assert_eq!(replies(&meter, 100, remote(2), ReplyForm::Stamped { excess: 100 }, 0), 0);
    // The total is full again, and the prefix still has its whole burst.
    assert_eq!(replies(&meter, 100, remote(2), ReplyForm::Stamped { excess: 100 }, 2000), 10);
}

#[test]
fn a_request_that_its_prefix_refuses_is_not_charged_to_the_total() {
    let meter = with_limits(500, 1, 2000);
    assert_eq!(replies(&meter, 1000, remote(1), ReplyForm::Stamped { excess: 100 }, 0), 5);
    assert_eq!(replies(&meter, 1000, remote(2), ReplyForm::Stamped { excess: 100 }, 0), 5);
}

#[test]
fn busy_prefixes_leave_half_of_the_total_to_others() {
    let meter = meter();
    let mut quiet = 0;
    // 1,000 prefixes ask as often as they may: together four times the total.
    for second in 0..200 {
        for tenth in 0..10 {
            for network in 0..1000 {
                let _ = replies(&meter, 2, remote(network), CTIME, second * 1000 + tenth * 100);
            }
        }
        let asked = meter.admit(remote(5000), CTIME, at(second * 1000 + 950));
        // For the first minute, the busy prefixes have bursts.
        quiet += u32::from(100 <= second && asked.is_ok());
    }
    assert!(90 <= quiet, "{quiet} of 100 requests of a quiet prefix have a reply");
}

#[test]
fn a_prefix_gets_its_second_half_only_from_the_first_half_of_the_total() {
    const HUNDRED: ReplyForm = ReplyForm::Stamped { excess: 100 };
    const NOW: u64 = 60_000;
    let meter = with_limits(1000, 10, 1600);
    assert_eq!(replies(&meter, 4, remote(1), HUNDRED, NOW), 4);
    // The first half of the burst is granted, although half of the total is used up by then.
    assert_eq!(replies(&meter, 10, remote(2), HUNDRED, NOW), 5);
    assert_eq!(replies(&meter, 10, remote(3), HUNDRED, NOW), 5);
    assert_eq!(replies(&meter, 10, remote(4), HUNDRED, NOW), 2, "the total");
    let alone = with_limits(1000, 10, 1600);
    assert_eq!(replies(&alone, 20, remote(1), HUNDRED, NOW), 8);
}

#[test]
fn many_sources_leave_a_share_to_an_honest_one_while_the_total_lasts() {
    let meter = meter();
    let mut honest = 0;
    // 2,000 new sources a second ask for five sixths of the total.
    for second in 0..500 {
        for number in 0..2000 {
            let now = at(second * 1000 + u64::from(number / 2));
            let _ = meter.admit(remote(u32::try_from(second).unwrap() * 2000 + number), CTIME, now);
        }
        honest += u32::from(meter.admit(remote(2_000_000), CTIME, at(second * 1000 + 999)).is_ok());
    }
    assert!(490 <= honest, "{honest} of 500 requests have a reply");
}

#[test]
fn ten_million_sources_get_the_total_and_no_more() {
    const SOURCES: u32 = 10_000_000;
    let meter = meter();
    let granted = |number: &u32| meter.admit(remote(*number), CTIME, at(u64::from(*number / 1000))).is_ok();
    // Within ten seconds. At the beginning there are the bytes of one second more.
    let bytes = 27 * (0..SOURCES).filter(granted).count();
    assert!((9 * 64 * 1024..=11 * 64 * 1024).contains(&bytes), "{bytes} bytes");
}

#[test]
fn threads_share_the_limits() {
    let meter = meter();
    let granted: u32 = thread::scope(|scope| {
        let count = || replies(&meter, 10_000, remote(1), CTIME, 0);
        let threads = [(); 4].map(|()| scope.spawn(count));
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(granted, 8192 / 27);
}

#[test]
fn the_ports_of_responders_have_one_reply_a_second() {
    let meter = meter();
    for port in [1434, 1900, 2049, 3478, 3702, 5060, 5093, 5353, 5355, 11_211, 27_015] {
        for (form, second) in [(SAME_LENGTH, 1), (CTIME, 2), (ReplyForm::Plain, 3)] {
            assert_eq!(replies(&meter, 100, at_port(1, port), form, second * 1000), 1, "{port} {form:?}");
        }
        assert_eq!(meter.admit(at_port(1, port), SAME_LENGTH, at(3999)), Err(DropReason::Rate));
    }
    assert_eq!(replies(&meter, 100, at_port(2, 5353), SAME_LENGTH, 1000), 1, "another prefix");
    assert_eq!(replies(&meter, 100, at_port(1, 5354), SAME_LENGTH, 1000), 100);
}

#[test]
fn the_ports_of_reflectors_have_a_thousand_replies_a_second() {
    const REFLECTED: ReplyForm = ReplyForm::Reflected { excess: 0, port: 4000 };
    let meter = meter();
    for port in [4000, 862] {
        assert_eq!(replies(&meter, 3000, at_port(1, port), REFLECTED, 0), 1000, "{port}");
        assert_eq!(replies(&meter, 3000, at_port(1, port), REFLECTED, 500), 500, "{port}");
    }
    assert_eq!(replies(&meter, 3000, at_port(1, 4001), REFLECTED, 0), 3000);
    assert_eq!(replies(&meter, 3000, at_port(1, 4000), SAME_LENGTH, 500), 3000);
}

#[test]
fn plain_echoes_are_limited_for_all_sources_together() {
    let meter = meter();
    let remotes =
        |millis| (0..1000).map(|network| replies(&meter, 1, remote(network), ReplyForm::Plain, millis)).sum();
    let counts: [u32; 6] = [0, 99, 100, 350, 400, 3_600_000].map(remotes);
    assert_eq!(counts, [100, 0, 1, 2, 1, 100]);
    assert_eq!(replies(&meter, 20_000, Source::Trusted, ReplyForm::Plain, 0), 10_000);
    assert_eq!(replies(&meter, 20_000, Source::Trusted, ReplyForm::Plain, 10), 100);
    assert_eq!(replies(&meter, 20_000, Source::Verified, ReplyForm::Plain, 10), 20_000);
}

#[test]
fn prefixes_of_different_networks_differ() {
    let ip = |text: &str| SourcePrefix::from(text.parse::<IpAddr>().unwrap());
    let all =
        [ip("0.0.1.0"), ip("0.0.2.0"), ip("::"), ip("0:0:0:100::"), ip("0:0:0:200::"), SourcePrefix::node(1)];
    for (index, prefix) in all.iter().enumerate() {
        assert!(!all[..index].contains(prefix), "{all:?}");
    }
}

#[test]
fn a_prefix_is_an_ipv4_24_or_an_ipv6_56() {
    let ip = |text: &str| SourcePrefix::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(ip("192.0.2.0"), ip("192.0.2.255"));
    assert_ne!(ip("192.0.2.255"), ip("192.0.3.0"));
    assert_eq!(ip("2001:db8::"), ip("2001:db8:0:ff:ffff:ffff:ffff:ffff"));
    assert_ne!(ip("2001:db8:0:ff::"), ip("2001:db8:0:100::"));
    assert_ne!(ip("2001:db8::"), ip("2002:db8::"));
}
