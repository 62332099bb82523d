//! A million probes over a lossy link in virtual time: the same seed gives the same counts
//! in every version of the prober.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use echosounder_proto::{
    FailureKind, LossReport, Moment, MonoTime, Payload, ProbeEvent, ProbeInput, ProbeOutput, ProbePace,
    ProbePlan, Prober, TextEcho, Times, WallTime,
};

use echosounder_testkit::Random;

/// The outcomes of the requests, and the sum of the numbers of each kind, which shows more than
/// their count.
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

/// A delay in nanoseconds: mostly short, seldom longer than the timeout; `None` if the packet is
/// lost.
fn delay(random: &mut Random) -> Option<u64> {
    let short = random.next_u64() % 2_000_000;
    match random.next_u64() % 64 {
        0 => None,
        1 => Some(short * 1000),
        2..=8 => Some(short * 30),
        _ => Some(short),
    }
}

fn count(outcome: &mut Outcome, event: ProbeEvent) {
    let add = |pair: &mut (u64, u64), number: u64| *pair = (pair.0 + 1, pair.1 + number);
    match event {
        ProbeEvent::Replied { sample, .. } | ProbeEvent::Late { sample, .. } => {
            let is_late = matches!(event, ProbeEvent::Late { .. });
            add(if is_late { &mut outcome.late } else { &mut outcome.answered }, sample.number);
            if sample.reordered {
                add(&mut outcome.reordered, sample.number);
            }
            outcome.rtt_sum += u64::try_from(sample.rtt().as_nanos()).unwrap();
        }
        ProbeEvent::Lost { number, .. } => add(&mut outcome.lost, number),
        ProbeEvent::Duplicate(number) => add(&mut outcome.duplicate, number),
        ProbeEvent::Unexpected => outcome.unexpected += 1,
        ProbeEvent::Disconnected => {}
    }
}

/// Runs so many probes at this pace. With `failures` some cannot be sent, and some are refused.
fn simulate(seed: u64, probes: u64, pace: ProbePace, failures: bool) -> Outcome {
    let (mut random, mut outcome) = (Random::new(seed), Outcome::default());
    let plan = ProbePlan { pace, count: Some(probes), timeout: Duration::from_secs(1), end: None };
    let mut prober = Prober::new(TextEcho::messages(PAYLOAD), plan, moment(0).mono);
    let mut wire: BinaryHeap<Reverse<(u64, u64, u64, Arrival)>> = BinaryHeap::new();
    let (mut sequence, mut bytes) = (0_u64, Vec::new());
    loop {
        let arrival = wire.peek().map(|Reverse((at, ..))| *at);
        let wake = prober.deadline().map(MonoTime::as_nanos);
        let Some(now) = arrival.into_iter().chain(wake).min() else { return outcome };
        if arrival.is_some_and(|arrival| wake.is_none_or(|wake| arrival <= wake)) {
            let Some(Reverse((_, _, number, arrival))) = wire.pop() else { return outcome };
            bytes.clear();
            match arrival {
                Arrival::Noise => bytes.extend_from_slice(b"what is this?"),
                Arrival::Reply | Arrival::Refusal => PAYLOAD.write(number, &mut bytes),
            }
            let at = moment(now);
            prober.handle(match arrival {
                Arrival::Refusal => ProbeInput::Undelivered {
                    packet: Some(&bytes),
                    reason: FailureKind::Refused.into(),
                    report: LossReport::default(),
                    at: at.mono,
                },
                Arrival::Reply | Arrival::Noise => ProbeInput::Received { bytes: &bytes, at: Times::of(at) },
            });
        }
        let is_due = prober.due().is_some_and(|due| due.as_nanos() <= now);
        let is_blocked = is_due && failures && random.next_u64() % 1000 == 0;
        prober.handle(ProbeInput::Blocked(is_blocked));
        while let Some(output) = prober.poll(moment(now), &mut bytes) {
            let number = match output {
                ProbeOutput::Event(event) => {
                    count(&mut outcome, event);
                    continue;
                }
                ProbeOutput::Send { number } => number,
                ProbeOutput::Connect => panic!("it is connected"),
            };
            let mut put = |delay: u64, arrival| {
                sequence += 1;
                wire.push(Reverse((now + delay, sequence, number, arrival)));
            };
            if let Some(up) = delay(&mut random) {
                delay(&mut random).into_iter().for_each(|down| put(up + down, Arrival::Reply));
                if random.next_u64() % 64 == 0 {
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
    assert_eq!(simulate(7, 1_000_000, ProbePace::Open { interval: Duration::from_millis(1) }, true), open);
    let closed = Outcome {
        answered: (95_344, 4_769_676_515),
        late: (1543, 75_990_257),
        lost: (4656, 230_373_485),
        duplicate: (1550, 78_426_259),
        reordered: (1463, 72_009_559),
        unexpected: 20,
        rtt_sum: 3_905_947_186_909,
    };
    assert_eq!(simulate(8, 100_000, ProbePace::Closed, false), closed);
}
