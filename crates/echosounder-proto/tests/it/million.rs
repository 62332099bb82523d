//! A million probes over a lossy link in virtual time: the same seed gives the same counts, whatever
//! becomes of the prober's insides.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use echosounder_proto::{Moment, MonoTime, Payload, Plan, ProbeEvent, Prober, Times, WallTime};
use echosounder_testkit::Random;

/// What became of the requests, and the sum of the numbers of each kind, which tells more than how many
/// there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    answered: (u64, u64),
    late: (u64, u64),
    lost: (u64, u64),
    duplicate: (u64, u64),
    reordered: (u64, u64),
    unexpected: u64,
    /// The sum of all round-trip times in nanoseconds.
    rtt_sum: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    Reply,
    /// An ICMP error that quotes the request.
    Refusal,
    /// Bytes that are no reply.
    Noise,
}

const PAYLOAD: Payload = Payload::new(64);

fn moment(nanos: u64) -> Moment {
    let mono = MonoTime::from_origin(Duration::from_nanos(nanos));
    Moment { wall: WallTime::from_nanos(1_795_346_376_000_000_000 + nanos), mono }
}

/// A delay in nanoseconds: mostly short, seldom longer than the timeout; `None` if the packet is lost.
fn delay(random: &mut Random) -> Option<u64> {
    let short = random.next_u64() % 2_000_000;
    match random.next_u64() % 64 {
        0 => None,
        1 => Some(short * 1000),
        2..=8 => Some(short * 30),
        _ => Some(short),
    }
}

fn count(outcome: &mut Outcome, refused: &BTreeSet<u64>, event: ProbeEvent) {
    let add = |pair: &mut (u64, u64), number: u64| *pair = (pair.0 + 1, pair.1 + number);
    match event {
        ProbeEvent::Answered(sample) | ProbeEvent::Late(sample) => {
            // As the client has it: a request that was refused may be replied to in time.
            let is_late = matches!(event, ProbeEvent::Late(_))
                && (!refused.contains(&sample.number) || Duration::from_secs(1) < sample.rtt());
            add(if is_late { &mut outcome.late } else { &mut outcome.answered }, sample.number);
            if sample.reordered {
                add(&mut outcome.reordered, sample.number);
            }
            outcome.rtt_sum += u64::try_from(sample.rtt().as_nanos()).unwrap();
        }
        ProbeEvent::Unanswered(number) => add(&mut outcome.lost, number),
        ProbeEvent::Duplicate(number) => add(&mut outcome.duplicate, number),
        ProbeEvent::Unexpected => outcome.unexpected += 1,
    }
}

/// Runs so many probes, one each `interval`, or in lockstep if it is zero. With `failures` some cannot
/// be sent, and some are refused.
fn simulate(seed: u64, probes: u64, interval: Duration, failures: bool) -> Outcome {
    let (mut random, mut outcome) = (Random::new(seed), Outcome::default());
    let plan =
        Plan { stream: false, payload: PAYLOAD, interval, count: Some(probes), wait: Duration::from_secs(1) };
    let mut prober = Prober::new(plan, moment(0).mono);
    let mut wire: BinaryHeap<Reverse<(u64, u64, u64, Arrival)>> = BinaryHeap::new();
    let mut refused = BTreeSet::new();
    let (mut sequence, mut bytes) = (0_u64, Vec::new());
    loop {
        let arrival = wire.peek().map(|Reverse((at, ..))| *at);
        let wake = prober.wakes().map(MonoTime::as_nanos);
        let Some(now) = arrival.into_iter().chain(wake).min() else { return outcome };
        if arrival.is_some_and(|arrival| wake.is_none_or(|wake| arrival <= wake)) {
            let Some(Reverse((_, _, number, arrival))) = wire.pop() else { return outcome };
            bytes.clear();
            match arrival {
                Arrival::Noise => bytes.extend_from_slice(b"what is this?"),
                Arrival::Reply | Arrival::Refusal => PAYLOAD.write(number, &mut bytes),
            }
            if arrival != Arrival::Refusal {
                prober.hear(&bytes, Times::of(moment(now)), |event| count(&mut outcome, &refused, event));
            } else if let Some(number) = prober.fail(Some(number), moment(now).mono) {
                refused.insert(number);
                count(&mut outcome, &refused, ProbeEvent::Unanswered(number));
            }
            continue;
        }
        prober.expire(moment(now).mono, |event| count(&mut outcome, &refused, event));
        if prober.due().is_none_or(|due| now < due.as_nanos()) {
            continue;
        }
        if failures && random.next_u64().is_multiple_of(1000) {
            let number = prober.miss(moment(now));
            count(&mut outcome, &refused, ProbeEvent::Unanswered(number));
            continue;
        }
        bytes.clear();
        let number = prober.call(moment(now), &mut bytes);
        let mut put = |delay: u64, arrival| {
            sequence += 1;
            wire.push(Reverse((now + delay, sequence, number, arrival)));
        };
        if let Some(up) = delay(&mut random) {
            delay(&mut random).into_iter().for_each(|down| put(up + down, Arrival::Reply));
            if random.next_u64().is_multiple_of(64) {
                delay(&mut random).into_iter().for_each(|down| put(up + down, Arrival::Reply));
            }
        }
        match random.next_u64() % 4096 {
            0..=3 if failures => put(random.next_u64() % 3_000_000, Arrival::Refusal),
            4 => put(random.next_u64() % 3_000_000, Arrival::Noise),
            _ => {}
        }
    }
}

#[test]
fn a_million_probes_have_the_same_outcome_for_the_same_seed() {
    let open = Outcome {
        answered: (952_998, 476_476_867_852),
        late: (15_420, 7_809_365_077),
        lost: (47_643, 23_846_545_634),
        duplicate: (14_804, 7_368_842_427),
        reordered: (345_092, 172_639_373_550),
        unexpected: 266,
        rtt_sum: 38_760_349_587_933,
    };
    assert_eq!(simulate(7, 1_000_000, Duration::from_millis(1), true), open);
    let closed = Outcome {
        answered: (95_344, 4_769_676_515),
        late: (1543, 75_990_257),
        lost: (4656, 230_373_485),
        duplicate: (1550, 78_426_259),
        reordered: (1463, 72_009_559),
        unexpected: 20,
        rtt_sum: 3_905_947_186_909,
    };
    assert_eq!(simulate(8, 100_000, Duration::ZERO, false), closed);
}
