//! Estimates of the peer's clock against the true offset. All numbers are nanoseconds.

use std::time::Duration;

use echosounder_proto::{
    Moment, MonoTime, OffsetEstimate, Payload, PeerClock, ProbeInput, ProbePace, ProbePlan, Prober, Sample,
    Seen, TextEcho, Times, Timestamp, WallTime,
};
use echosounder_testkit::Random;
use proptest::collection::vec;
use proptest::prelude::*;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// About Sun Nov 22 12:19:36 2026.
const EPOCH: i64 = 1_795_346_376_123_456_789;

/// The peer's clock: its offset at the beginning, and its drift in parts per billion.
#[derive(Clone, Copy, Debug)]
struct Truth {
    ahead: i64,
    ppb: i64,
}

impl Truth {
    fn ahead(self, at: u64) -> i64 {
        let drifted = i128::from(at) * i128::from(self.ppb);
        self.ahead + i64::try_from(drifted.div_euclid(i128::from(SECOND))).unwrap()
    }

    fn shows(self, at: u64) -> WallTime {
        WallTime::from_nanos(at.checked_add_signed(self.ahead(at)).unwrap())
    }

    /// Returns a request that is sent then and takes so long up, at the peer, and down.
    fn sample(self, sent: u64, [up, residence, down]: [u64; 3]) -> Sample {
        let stamp = Timestamp::Ns { rx: self.shows(sent + up), tx: self.shows(sent + up + residence) };
        sample(sent, sent + up + residence + down, stamp)
    }

    /// Asserts that the true offset is within an estimate.
    #[track_caller]
    fn is_within(self, estimate: OffsetEstimate, at: u64) {
        let off = estimate.ahead.abs_diff(self.ahead(at));
        assert!(off <= estimate.uncertainty + 1, "off by {off} at {at}: {self:?} {estimate:?}");
        let Some(drift) = estimate.drift else { return };
        let off = (drift - ratio(self.ppb)).abs();
        assert!(
            off <= estimate.drift_uncertainty + 1e-12,
            "drift off by {off} at {at}: {self:?} {estimate:?}"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "billionths of a second are few")]
fn ratio(ppb: i64) -> f64 {
    ppb as f64 / 1e9
}

fn sample(sent: u64, received: u64, timestamp: Timestamp) -> Sample {
    let (due, sent) = (mono(sent), times(sent));
    Sample {
        number: 1,
        due,
        sent,
        received: times(received),
        timestamp: Some(timestamp),
        seen: Seen::default(),
        queued: None,
        reordered: false,
    }
}

fn mono(nanos: u64) -> MonoTime {
    MonoTime::from_origin(Duration::from_nanos(nanos))
}

fn times(at: u64) -> Times {
    Times::of(Moment { wall: WallTime::from_nanos(at), mono: mono(at) })
}

/// Distributions of the times that these tests draw.
trait Draw {
    /// Returns a number from `low` up to but not including `high`.
    fn within(&mut self, low: i64, high: i64) -> i64;

    /// Returns a number between the two, each decade as likely as the others.
    fn decades(&mut self, low: u64, high: u64) -> u64;

    /// Returns a number that is mostly little more than `scale`, from a distribution without a
    /// variance.
    fn heavy(&mut self, scale: u64) -> u64;
}

impl Draw for Random {
    fn within(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below((high - low).unsigned_abs())).unwrap()
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a random number need not be exact"
    )]
    fn decades(&mut self, low: u64, high: u64) -> u64 {
        (low as f64 * (high as f64 / low as f64).powf(self.unit())) as u64
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a random number need not be exact"
    )]
    fn heavy(&mut self, scale: u64) -> u64 {
        (scale as f64 * (self.unit().max(1e-6).powf(-1.0 / 1.5) - 1.0)) as u64
    }
}

#[test]
fn the_true_offset_is_within_the_estimate() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let ahead = EPOCH + random.within(-12 * HOUR, 12 * HOUR);
        let truth = Truth { ahead, ppb: random.within(-200_000, 200_000) };
        let interval = random.decades(MS, 10 * SECOND);
        let count = random.decades(10, 10_000);
        let quickest =
            [random.decades(5 * US, 50 * MS), random.decades(US, MS), random.decades(5 * US, 50 * MS)];
        let jitter = [random.decades(US, 20 * MS), random.decades(US, MS), random.decades(US, 20 * MS)];
        let uptime = random.decades(SECOND, 1000 * 86_400 * SECOND);

        let mut clock = PeerClock::new();
        let (mut now, mut least) = (0, Vec::new());
        for request in 1..=count {
            let sent = uptime + request * interval;
            let [up, residence, down] = [0, 1, 2].map(|part| quickest[part] + random.heavy(jitter[part]));
            let sample = truth.sample(sent, [up, residence, down]);
            clock.observe(&sample);
            now = now.max(sent + up + residence + down);
            least.push((sent, up + down));
            if request.is_power_of_two() || request == count {
                let estimate = clock.estimate(mono(now)).unwrap();
                truth.is_within(estimate, now);
                // The uncertainty grows with time.
                truth.is_within(clock.estimate(mono(now + 10 * SECOND)).unwrap(), now + 10 * SECOND);
                is_sensible(estimate, now, &least, interval);
            }
        }
        assert_eq!(clock.steps(), 0, "{seed}");
    }
}

/// The uncertainty is at most half the minimum round trip, and what drift adds to that in the
/// remembered time.
#[track_caller]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bound"
)]
fn is_sensible(estimate: OffsetEstimate, now: u64, least: &[(u64, u64)], interval: u64) {
    let since = now.saturating_sub(60 * interval.max(SECOND));
    let (_, quickest) = least.iter().filter(|(at, _)| since <= *at).min_by_key(|(_, rtt)| rtt).unwrap();
    let span = (now - since.max(least[0].0)) as f64;
    let drifted = (estimate.drift_uncertainty * 4.0 * span) as u64;
    assert!(estimate.uncertainty <= quickest / 2 + drifted + 2, "{estimate:?} {quickest} {span}");
}

#[test]
fn a_timestamp_that_is_backwards_or_at_a_limit_is_impossible() {
    let is_possible = |rx, tx| {
        let [rx, tx] = [rx, tx].map(WallTime::from_nanos);
        sample(SECOND, 2 * SECOND, Timestamp::Ns { rx, tx }).is_possible()
    };
    assert!(is_possible(5, 5) && is_possible(5, 6) && is_possible(5, 5 + SECOND));
    assert!(!is_possible(6, 5), "the reply was sent before the request was received");
    assert!(!is_possible(5, 10 + SECOND), "the server held the request for longer than the round trip");
    let last = 9_999_999_999_999_999_999;
    assert!(is_possible(last - 5, last - 1));
    assert!(!is_possible(1, 5) && !is_possible(last - 5, last), "the clock may be beyond the limit");
}

#[test]
fn the_estimate_improves_with_time() {
    let truth = Truth { ahead: EPOCH, ppb: -37_000 };
    let mut clock = PeerClock::new();
    assert_eq!(clock.estimate(mono(0)), None);
    let mut after = |seconds: std::ops::Range<u64>| {
        for tenth in seconds.start * 10..seconds.end * 10 {
            clock.observe(&truth.sample(tenth * SECOND / 10, [60 * US, 5 * US, 40 * US]));
        }
        clock.estimate(mono(seconds.end * SECOND)).unwrap()
    };
    assert_eq!(after(0..1).drift, None);
    let second = after(1..2);
    let minute = after(2..60);
    assert!(second.uncertainty < 300 * US, "{second:?}");
    assert!((50 * US..55 * US).contains(&minute.uncertainty), "{minute:?}");
    assert!(minute.drift_uncertainty < 3e-6, "{minute:?}");
    // The delays are unequal, which no estimate can show.
    assert!(minute.ahead.abs_diff(truth.ahead(60 * SECOND) + 10_000) < 2 * US, "{minute:?}");
}

#[test]
fn packet_delay_variation_is_the_delay_above_the_fastest() {
    let paths = [[60 * US, 5 * US, 40 * US], [5 * US, 5 * US, 30 * MS], [MS, 400 * MS, MS]];
    for (path, ppb) in paths.into_iter().zip([0, 200_000, -150_000]) {
        let truth = Truth { ahead: EPOCH, ppb };
        for interval in [10 * MS, 200 * MS, SECOND, 10 * SECOND] {
            let mut clock = PeerClock::new();
            let requests = 100.max(10 * SECOND / interval);
            for request in 1..requests {
                let sample = truth.sample(request * interval, path);
                clock.observe(&sample);
            }
            for (up, down) in [(0, 0), (300 * US, 0), (0, 70 * US), (20 * MS, 3 * US)] {
                let sample = truth.sample(requests * interval, [path[0] + up, path[1], path[2] + down]);
                clock.observe(&sample);
                let variation = clock.delay_variation(&sample).unwrap();
                for (measured, is) in [(variation.up, up), (variation.down, down)] {
                    let off = measured.abs_diff(Duration::from_nanos(is));
                    assert!(off < Duration::from_micros(5), "{off:?} {path:?} {ppb} {interval}");
                }
            }
        }
    }
}

#[test]
fn a_step_is_counted_and_forgotten() {
    for step in [HOUR, -HOUR, 50_000_000, -50_000_000] {
        for interval in [10 * MS, SECOND, 5 * SECOND] {
            let mut truth = Truth { ahead: EPOCH, ppb: 20_000 };
            let mut random = Random::new(interval);
            let mut clock = PeerClock::new();
            for request in 1..300 {
                if request == 100 {
                    truth.ahead += step;
                }
                let sent = request * interval;
                let up = 200 * US + random.heavy(30 * US);
                clock.observe(&truth.sample(sent, [up, 5 * US, 250 * US]));
                assert_eq!(clock.steps(), u64::from(100 <= request), "{step} {interval} {request}");
                truth.is_within(clock.estimate(mono(sent)).unwrap(), sent);
            }
        }
    }
}

#[test]
fn a_reply_contradicts_earlier_ones_if_no_drift_explains_it() {
    const DELAYS: [u64; 3] = [40 * US, 5 * US, 40 * US];
    let truth = Truth { ahead: EPOCH, ppb: 0 };
    let mut clock = PeerClock::new();
    assert!(!clock.is_contradicted_by(&truth.sample(SECOND, DELAYS)), "there is none");
    (1..20).for_each(|second| clock.observe(&truth.sample(second * SECOND, DELAYS)));
    assert!(!clock.is_contradicted_by(&truth.sample(20 * SECOND, DELAYS)));
    let stepped = Truth { ahead: EPOCH + HOUR, ..truth };
    assert!(clock.is_contradicted_by(&stepped.sample(20 * SECOND, DELAYS)));
    let no_time = sample(20 * SECOND, 21 * SECOND, Timestamp::Rfc3339(None));
    assert!(!clock.is_contradicted_by(&no_time));

    let drifting = Truth { ahead: EPOCH, ppb: 200_000 };
    let mut clock = PeerClock::new();
    clock.observe(&drifting.sample(SECOND, DELAYS));
    assert!(!clock.is_contradicted_by(&drifting.sample(4 * SECOND, DELAYS)));
}

#[test]
fn a_change_of_drift_is_no_step() {
    let before = Truth { ahead: EPOCH, ppb: -5_000 };
    let turn = 100 * SECOND;
    let ppb = 25_000;
    let after = Truth { ahead: before.ahead(turn) - i64::try_from(turn).unwrap() * ppb / 1_000_000_000, ppb };
    let mut clock = PeerClock::new();
    for sent in (0..200).map(|second| second * SECOND) {
        let truth = if sent < turn { before } else { after };
        clock.observe(&truth.sample(sent, [40 * US, 5 * US, 40 * US]));
    }
    assert_eq!(clock.steps(), 0);
    after.is_within(clock.estimate(mono(200 * SECOND)).unwrap(), 200 * SECOND);
}

#[test]
fn rounding_is_no_step() {
    for (path, ppb) in
        [([0, 0, 0], 0), ([0, 0, 0], 123_457), ([1, 0, 0], -199_999), ([25 * US, US, 25 * US], 77_777)]
    {
        let truth = Truth { ahead: EPOCH, ppb };
        let mut clock = PeerClock::new();
        let uptime = 500 * 86_400 * SECOND;
        for request in 0..300_000 {
            clock.observe(&truth.sample(uptime + request * 1_000_003, path));
        }
        assert_eq!(clock.steps(), 0, "{path:?} {ppb}");
        let now = uptime + 300 * SECOND;
        truth.is_within(clock.estimate(mono(now)).unwrap(), now);
    }
}

/// Sends requests to a server that shows whole seconds, aimed at their edges, and returns the
/// estimate after each.
fn aimed(truth: Truth, interval: u64, [up, down]: [u64; 2], jitter: u64, count: u64) -> Vec<OffsetEstimate> {
    let mut random = Random::new(interval + up);
    let pace = ProbePace::Open { interval: Duration::from_nanos(interval) };
    let plan = ProbePlan { pace, count: Some(count), timeout: Duration::from_secs(1), end: None };
    let mut prober = Prober::new(TextEcho::messages(Payload::new(64)), plan, mono(3 * SECOND));
    let mut clock = PeerClock::new();
    let mut estimates = Vec::new();
    while let Some(due) = prober.due() {
        let sent = due.as_nanos();
        let mut message = Vec::new();
        while prober.poll(times(sent).program, &mut message).is_some() {}
        let [up, down] = [up, down].map(|least| least + random.heavy(jitter));
        let second = truth.shows(sent + up).seconds();
        let received = sent + up + down;
        let reply = sample(sent, received, Timestamp::Ctime(Some(second)));
        clock.observe(&reply);
        assert_eq!(clock.delay_variation(&reply), None);
        prober.handle(ProbeInput::Received { bytes: &message, at: times(received) });
        let next = prober.due().unwrap_or(reply.received.program.mono);
        prober.aim(clock.edge(next, reply.rtt()).unwrap());
        estimates.push(clock.estimate(mono(received)).unwrap());
        truth.is_within(*estimates.last().unwrap(), received);
    }
    assert_eq!(clock.steps(), 0);
    estimates
}

#[test]
fn a_clock_with_whole_seconds_is_estimated_too() {
    for (interval, count) in
        [(SECOND, 30), (2 * SECOND, 30), (200 * MS, 150), (500 * MS, 60), (300 * MS, 300)]
    {
        for (path, jitter) in
            [([50 * US, 50 * US], 0), ([300 * US, 200 * US], 50 * US), ([20 * MS, 15 * MS], MS)]
        {
            for ppb in [0, 30_000, -100_000] {
                let truth = Truth { ahead: EPOCH + 5 * HOUR, ppb };
                let estimates = aimed(truth, interval, path, jitter, count);
                let rtt = path[0] + path[1] + 2 * jitter;
                let last = estimates.last().unwrap();
                // The tick by which such a clock may lag stays unknown, and with it some of the
                // drift.
                assert!(last.uncertainty <= rtt + 15 * MS, "{interval} {path:?} {ppb}: {last:?}");
            }
        }
    }
}

fn hostile() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(9_900_000_000_000_000_000),
        any::<u64>(),
        0..SECOND,
        EPOCH.unsigned_abs()..EPOCH.unsigned_abs() + SECOND,
    ]
}

proptest! {
    #[test]
    fn no_timestamp_panics_or_corrupts_the_estimate(
        replies in vec((0..4_u8, hostile(), hostile(), hostile(), 0..SECOND), 1..150), later: u64,
    ) {
        let mut clock = PeerClock::new();
        for (kind, rx, tx, sent, rtt) in replies {
            let time = WallTime::from_nanos(rx);
            let stamp = match kind {
                0 => Timestamp::Unix(time),
                1 => Timestamp::Ctime(Some(rx)),
                2 => Timestamp::Rfc3339(None),
                _ => Timestamp::Ns { rx: time, tx: WallTime::from_nanos(tx) },
            };
            let reply = sample(sent, sent.saturating_add(rtt), stamp);
            clock.observe(&reply);
            let _ = (clock.delay_variation(&reply), clock.edge(mono(later), reply.rtt()));
        }
        prop_assert!(clock.steps() < 150);
        for at in [0, later, u64::MAX] {
            let Some(estimate) = clock.estimate(mono(at)) else { continue };
            prop_assert!(estimate.drift.is_none_or(|drift| drift.abs() <= 500e-6), "{estimate:?}");
            prop_assert!((0.0..=500e-6).contains(&estimate.drift_uncertainty), "{estimate:?}");
        }
    }
}
