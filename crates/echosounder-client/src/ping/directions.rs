//! Dividing round trips into their two directions.

use std::collections::VecDeque;
use std::time::Duration;

use echosounder_proto::{MonoTime, OffsetEstimate, PeerClock, Reading, Sample, WallTime};

use super::detail::Detail;
use crate::distribution::Distribution;

/// How much the wall clock and the monotonic clock may drift apart, in nanoseconds, before one
/// counts as stepped.
const STEP_NS: i128 = 1_000_000;

/// How the peer's clock relates to this machine's.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockRelation {
    /// It is the same clock.
    Same,
    /// Both are synchronised.
    Synced,
    /// They are unrelated: each may show anything.
    Free,
}

/// The delay of each direction of one round trip, in nanoseconds.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneWayDelay {
    /// Outbound.
    pub up_ns: i64,
    /// Return.
    pub down_ns: i64,
}

/// The state of the peer's clock, as far as the measurement shows it.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerClockReport {
    /// By which relation of the clocks one-way delays were measured.
    pub relation: ClockRelation,
    /// Whether timestamps have shown that the clock is not this machine's, as had been assumed.
    pub contradicted: bool,
    /// Whether the peer's clock stands still or ticks slowly: it showed the same time for two
    /// requests although the second was sent after the reply to the first had arrived. Its
    /// timestamps are then ignored.
    pub stands_still: bool,
    /// How far the peer's clock is ahead of this machine's, in nanoseconds: the middle of the
    /// possible range. If its time zone is unknown, whole quarters of an hour are left out.
    pub offset_ns: Option<i64>,
    /// By how much the offset may be wrong, in nanoseconds.
    pub offset_uncertainty_ns: Option<u64>,
    /// How fast the offset changes.
    pub drift: Option<Drift>,
    /// The time zone of the peer's clock in minutes east of UTC, if its timestamps do not state it.
    pub zone_minutes: Option<i64>,
    /// How often the peer's clock was stepped.
    pub peer_steps: u64,
    /// How often this machine's clock was stepped.
    pub own_steps: u64,
}

/// How much faster the peer's clock runs than this machine's.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Drift {
    /// In parts per million.
    pub ppm: f64,
    /// By how much that may be wrong, in parts per million.
    pub uncertainty_ppm: f64,
}

/// The interarrival jitter of RFC 3550 §6.4.1: the smoothed difference of the delay from one reply
/// to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jitter {
    mean: f64,
    last: Option<i64>,
    has_any: bool,
}

impl Jitter {
    pub(super) fn add(&mut self, transit_ns: i64) {
        if let Some(last) = self.last.replace(transit_ns) {
            self.mean += (transit_ns.saturating_sub(last).saturating_abs() as f64 - self.mean) / 16.0;
            self.has_any = true;
        }
    }

    /// The next delay cannot be compared with those before.
    fn restart(&mut self) {
        self.last = None;
    }

    pub(super) fn nanos(&self) -> Option<f64> {
        self.has_any.then_some(self.mean)
    }
}

/// The absolute difference between the delays of consecutive requests (RFC 3393 §2.1).
#[derive(Clone, Debug)]
pub(super) struct Variation {
    last: Option<(u64, i64)>,
    pub(super) distribution: Distribution,
}

impl Variation {
    pub(super) fn new(detail: Detail) -> Self {
        Self { last: None, distribution: detail.minor_distribution() }
    }

    pub(super) fn add(&mut self, number: u64, transit_ns: i64) {
        if let Some((last, before)) = self.last.replace((number, transit_ns))
            && last + 1 == number
        {
            self.distribution.record(transit_ns.saturating_sub(before).saturating_abs());
        }
    }

    fn restart(&mut self) {
        self.last = None;
    }
}

/// One direction.
#[derive(Clone, Debug)]
pub(super) struct Direction {
    pub(super) delay: Distribution,
    pub(super) jitter: Jitter,
    pub(super) variation: Variation,
}

impl Direction {
    fn new(detail: Detail) -> Self {
        Self { delay: detail.distribution(), jitter: Jitter::default(), variation: Variation::new(detail) }
    }

    /// The next delay cannot be compared with those before.
    fn restart(&mut self) {
        self.jitter.restart();
        self.variation.restart();
    }
}

/// Divides round trips into their two directions.
#[derive(Clone, Debug)]
pub(super) struct Directions {
    clock: ClockRelation,
    /// Whether the relation may turn out to be wrong.
    is_guess: bool,
    contradicted: bool,
    stands_still: bool,
    /// When the last reply arrived, and the time that the peer's clock showed when it was sent.
    last_reading: Option<(MonoTime, WallTime)>,
    peer: PeerClock,
    /// Whether the timestamps state a time zone, or need none.
    is_zoned: bool,
    /// Whether the timestamps show whole seconds only.
    is_coarse: bool,
    /// The last replies, whose delays are counted when more is known of an unrelated clock.
    pending: VecDeque<Sample>,
    /// The shortest round trip without the server's share.
    fastest: Option<Duration>,
    up: Direction,
    down: Direction,
    /// How far this machine's wall clock was ahead of the monotonic one, and when.
    own: Option<(i128, MonoTime)>,
    own_steps: u64,
    detail: Detail,
}

impl Directions {
    pub(super) fn new(clock: ClockRelation, is_guess: bool, detail: Detail) -> Self {
        Self {
            clock,
            is_guess,
            contradicted: false,
            stands_still: false,
            last_reading: None,
            peer: PeerClock::new(),
            is_zoned: true,
            is_coarse: false,
            pending: VecDeque::new(),
            fastest: None,
            up: Direction::new(detail),
            down: Direction::new(detail),
            own: None,
            own_steps: 0,
            detail,
        }
    }

    pub(super) fn clock(&self) -> ClockRelation {
        self.clock
    }

    /// Counts a reply and returns its one-way delays; if the clocks are unrelated, how far they are
    /// above the fastest seen.
    pub(super) fn split(&mut self, sample: &Sample) -> Option<OneWayDelay> {
        let has_stepped = self.watch_own_clock(sample);
        // A peer can send any timestamp.
        let reading = sample.timestamp?.reading().filter(|_| sample.is_possible())?;
        (self.is_zoned, self.is_coarse) = (reading.zoned, !reading.resolution.is_zero());
        if !self.is_coarse && self.finds_clock_still(sample, reading) {
            return None;
        }
        let steps = self.peer.steps();
        if self.peer.is_contradicted_by(sample) {
            // Earlier replies are counted by the bounds that held at their time.
            self.count_pending();
        }
        self.peer.observe(sample);
        if self.is_coarse {
            return None;
        }
        if has_stepped || steps != self.peer.steps() {
            [&mut self.up, &mut self.down].into_iter().for_each(Direction::restart);
        }
        self.count_variation(sample);
        if has_stepped && self.clock != ClockRelation::Free {
            return None;
        }
        let net = sample.rtt().saturating_sub(sample.residence().unwrap_or_default());
        self.fastest = Some(self.fastest.map_or(net, |fastest| fastest.min(net)));
        if self.clock == ClockRelation::Free {
            self.pending.push_back(*sample);
            if self.detail.pending_max() < self.pending.len()
                && let Some(sample) = self.pending.pop_front()
            {
                self.count_above_fastest(&sample);
            }
            return self.above_fastest(sample);
        }
        let delay = by_wall_clock(sample)?;
        if self.is_guess && (delay.up_ns < 0 || delay.down_ns < 0) {
            self.contradict();
            self.pending.push_back(*sample);
            return self.above_fastest(sample);
        }
        self.up.delay.record(delay.up_ns);
        self.down.delay.record(delay.down_ns);
        Some(delay)
    }

    /// Whether the peer's clock stands still, as far as this reply and those before show. Replies
    /// to requests that were in flight at the same time may have been read at the same time.
    fn finds_clock_still(&mut self, sample: &Sample, reading: Reading) -> bool {
        let before = self.last_reading.replace((sample.received.program.mono, reading.tx));
        let is_same =
            before.is_some_and(|(received, tx)| received <= sample.sent.program.mono && tx == reading.rx);
        if is_same && !self.stands_still {
            self.stands_still = true;
            // Results that were derived from its timestamps are void.
            self.peer = PeerClock::new();
            self.pending.clear();
            (self.up, self.down) = (Direction::new(self.detail), Direction::new(self.detail));
        }
        self.stands_still
    }

    /// It cannot be this machine's clock: a request arrived before it was sent, or a reply before
    /// it left.
    fn contradict(&mut self) {
        self.contradicted = true;
        self.clock = ClockRelation::Free;
        self.forget_delays();
    }

    fn forget_delays(&mut self) {
        (self.up.delay, self.down.delay) = (self.detail.distribution(), self.detail.distribution());
    }

    /// Returns how far the delays are above the fastest seen.
    fn above_fastest(&self, sample: &Sample) -> Option<OneWayDelay> {
        let variation = self.peer.delay_variation(sample)?;
        Some(OneWayDelay { up_ns: nanos(variation.up), down_ns: nanos(variation.down) })
    }

    /// Notes that the peer is another from now on, with another clock.
    pub(super) fn moved(&mut self, clock: ClockRelation, is_guess: bool) {
        self.count_pending();
        (self.peer, self.fastest) = (PeerClock::new(), None);
        (self.stands_still, self.last_reading) = (false, None);
        [&mut self.up, &mut self.down].into_iter().for_each(Direction::restart);
        if clock != self.clock {
            self.forget_delays();
        }
        (self.clock, self.is_guess) = (clock, is_guess);
    }

    fn count_pending(&mut self) {
        while let Some(sample) = self.pending.pop_front() {
            self.count_above_fastest(&sample);
        }
    }

    fn count_above_fastest(&mut self, sample: &Sample) {
        if let Some(delay) = self.above_fastest(sample) {
            self.up.delay.record(delay.up_ns);
            self.down.delay.record(delay.down_ns);
        }
    }

    /// Counts how much delays vary, which unrelated clocks show as well as others.
    fn count_variation(&mut self, sample: &Sample) {
        let Some((up, down)) = transits(sample) else { return };
        for (direction, transit) in [(&mut self.up, up), (&mut self.down, down)] {
            direction.jitter.add(transit);
            direction.variation.add(sample.number, transit);
        }
    }

    /// Returns whether this machine's wall clock was stepped between the request and its reply.
    fn watch_own_clock(&mut self, sample: &Sample) -> bool {
        if shows_limit(sample) {
            return false;
        }
        let [sent, received] = [sample.sent.program, sample.received.program].map(|moment| {
            (i128::from(moment.wall.as_nanos()) - i128::from(moment.mono.as_nanos()), moment.mono)
        });
        let is_step = |(before, at): (i128, MonoTime), (after, then): (i128, MonoTime)| {
            // The kernel slews a clock by at most 500 ppm: adjtimex(2).
            let slewed = (then - at).max(at - then).as_nanos() / 2000;
            let slewed = i128::try_from(slewed).unwrap_or(i128::MAX);
            STEP_NS.saturating_add(slewed) < (after - before).abs()
        };
        let within = is_step(sent, received);
        let since = self.own.is_some_and(|own| is_step(own, received));
        self.own_steps += u64::from(within || since);
        self.own = Some(received);
        within
    }

    /// Returns both directions and the peer's clock as far as they are known. If the clocks are
    /// unrelated, the delays assume that the minimum is the same in both directions.
    pub(super) fn report(&self, at: MonoTime) -> (Direction, Direction, PeerClockReport) {
        let mut all = self.clone();
        all.count_pending();
        if all.clock == ClockRelation::Free {
            let half = nanos(self.fastest.unwrap_or_default() / 2);
            all.up.delay = all.up.delay.shifted(half);
            all.down.delay = all.down.delay.shifted(half);
        }
        let estimate = self.peer.estimate(at).filter(|_| self.clock != ClockRelation::Same || self.is_coarse);
        let clock = self.describe(estimate);
        (all.up, all.down, clock)
    }

    fn describe(&self, estimate: Option<OffsetEstimate>) -> PeerClockReport {
        const QUARTER_NS: i64 = 900_000_000_000;
        let own = i64::try_from(self.own.map_or(0, |own| own.0)).unwrap_or(i64::MAX);
        let offset = estimate.map(|estimate| estimate.ahead.saturating_sub(own));
        let zones = offset
            .filter(|_| !self.is_zoned)
            .map(|offset| offset.saturating_add(QUARTER_NS / 2).div_euclid(QUARTER_NS));
        PeerClockReport {
            relation: self.clock,
            contradicted: self.contradicted,
            stands_still: self.stands_still,
            offset_ns: offset.map(|offset| offset - zones.unwrap_or(0) * QUARTER_NS),
            offset_uncertainty_ns: estimate.map(|estimate| estimate.uncertainty),
            drift: estimate.and_then(|estimate| {
                let uncertainty_ppm = estimate.drift_uncertainty * 1e6;
                estimate.drift.map(|drift| Drift { ppm: drift * 1e6, uncertainty_ppm })
            }),
            zone_minutes: zones.map(|zones| zones * 15),
            peer_steps: self.peer.steps(),
            own_steps: self.own_steps,
        }
    }

    /// Returns the position within a second at which to send the request that is due at `next`,
    /// if the peer's timestamps show whole seconds only.
    pub(super) fn edge(&self, next: MonoTime, rtt: Duration) -> Option<Duration> {
        self.is_coarse.then(|| self.peer.edge(next, rtt)).flatten()
    }
}

/// Returns the one-way delays if both clocks show the same time.
fn by_wall_clock(sample: &Sample) -> Option<OneWayDelay> {
    if shows_limit(sample) {
        return None;
    }
    let reading = sample.timestamp?.reading()?;
    let span = |from: u64, to: u64| clamp(i128::from(to) - i128::from(from));
    Some(OneWayDelay {
        up_ns: span(sample.sent.program.wall.as_nanos(), reading.rx.as_nanos()),
        down_ns: span(reading.tx.as_nanos(), sample.received.best().wall.as_nanos()),
    })
}

/// Returns whether this machine's wall clock is at a limit of [`WallTime`], or beyond it.
///
/// [`WallTime`]: echosounder_proto::WallTime
fn shows_limit(sample: &Sample) -> bool {
    sample.sent.program.wall.is_limit() || sample.received.best().wall.is_limit()
}

/// Returns the one-way delays by the peer's clock and this machine's monotonic one. Their origins
/// differ, so only differences of such delays mean anything.
fn transits(sample: &Sample) -> Option<(i64, i64)> {
    let reading = sample.timestamp?.reading()?;
    let mono = |at: MonoTime| i128::from(at.as_nanos());
    let up = i128::from(reading.rx.as_nanos()) - mono(sample.sent.program.mono);
    let down = mono(sample.received.best().mono) - i128::from(reading.tx.as_nanos());
    Some((clamp(up), clamp(down)))
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn clamp(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use echosounder_proto::{Moment, Seen, Times, Timestamp};

    use super::*;

    const NOON: u64 = 1_795_346_376_000_000_000;

    /// A request that was sent at `sent` by both clocks of this machine, whose wall clock is `ours`
    /// ahead. It took 1 ms up and 2 ms down by a clock that is `theirs` ahead; the server held it
    /// for 100 µs.
    fn sample(number: u64, sent: u64, ours: u64, theirs: i64) -> Sample {
        let at = |nanos: u64| {
            let mono = MonoTime::from_origin(Duration::from_nanos(nanos));
            Times::of(Moment { wall: WallTime::from_nanos(NOON + nanos + ours), mono })
        };
        let shown = |nanos: u64| WallTime::from_nanos((NOON + nanos).checked_add_signed(theirs).unwrap());
        let (rx, tx) = (shown(sent + 1_000_000), shown(sent + 1_100_000));
        Sample {
            number,
            due: at(sent).program.mono,
            sent: at(sent),
            received: at(sent + 3_100_000),
            timestamp: Some(Timestamp::Ns { rx, tx }),
            seen: Seen::default(),
            queued: None,
            reordered: false,
        }
    }

    #[test]
    fn one_clock_shows_both_delays_exactly() {
        let mut directions = Directions::new(ClockRelation::Same, true, Detail::Full);
        let delay = directions.split(&sample(1, 0, 0, 0));
        assert_eq!(delay, Some(OneWayDelay { up_ns: 1_000_000, down_ns: 2_000_000 }));
        assert_eq!(directions.report(MonoTime::from_origin(Duration::ZERO)).2.offset_ns, None);
    }

    #[test]
    fn a_wrong_guess_is_corrected_and_a_stated_relation_stays() {
        let wrong = sample(1, 0, 0, -5_000_000_000);
        let mut guessed = Directions::new(ClockRelation::Same, true, Detail::Full);
        assert_eq!(guessed.split(&wrong), Some(OneWayDelay { up_ns: 0, down_ns: 0 }));
        let (up, down, clock) = guessed.report(wrong.received.program.mono);
        assert_eq!((clock.relation, clock.contradicted), (ClockRelation::Free, true));
        // Two unsynchronised clocks cannot show that one direction took longer.
        assert_eq!((up.delay.min(), down.delay.min()), (Some(1_500_000), Some(1_500_000)));
        let error = (clock.offset_ns.unwrap() + 5_000_000_000 + 500_000).abs();
        assert!(error <= 2000, "{clock:?}");
        assert!(clock.offset_uncertainty_ns.unwrap().abs_diff(1_500_000) <= 2000, "{clock:?}");

        let mut stated = Directions::new(ClockRelation::Synced, false, Detail::Full);
        let delay = stated.split(&wrong);
        assert_eq!(delay, Some(OneWayDelay { up_ns: -4_999_000_000, down_ns: 5_002_000_000 }));
        assert_eq!(stated.report(wrong.received.program.mono).0.delay.negative(), 1);
    }

    #[test]
    fn a_step_of_the_peer_clock_is_no_delay() {
        let mut directions = Directions::new(ClockRelation::Free, true, Detail::Full);
        for number in 1..=40 {
            let theirs = if number <= 30 { 7_000_000_000 } else { 7_050_000_000 };
            let delay = directions.split(&sample(number, number * 20_000_000, 0, theirs));
            let Some(OneWayDelay { up_ns: up, down_ns: down }) = delay else {
                panic!("its timestamps are right")
            };
            assert!(up < 1000 && down < 1000, "{number}: {delay:?}");
        }
        let (up, down, clock) = directions.report(MonoTime::from_origin(Duration::from_secs(1)));
        assert_eq!((clock.peer_steps, up.delay.count(), down.delay.count()), (1, 40, 40));
        assert!(down.delay.max() < Some(1_510_000), "{:?}", down.delay.max());
    }

    #[test]
    fn a_clock_that_stands_still_is_ignored() {
        let mut directions = Directions::new(ClockRelation::Free, true, Detail::Full);
        for number in 1..=40 {
            // It always shows the time of the first request.
            let sent = number * 20_000_000;
            let delay = directions.split(&sample_read_at_once(number, sent, 20_000_000));
            assert_eq!(delay.is_some(), number == 1, "{number}: {delay:?}");
        }
        let (up, down, clock) = directions.report(MonoTime::from_origin(Duration::from_secs(1)));
        assert_eq!((clock.stands_still, clock.peer_steps, clock.offset_ns), (true, 0, None));
        assert_eq!((up.delay.count(), down.delay.count(), up.jitter.nanos()), (0, 0, None));
    }

    #[test]
    fn requests_read_together_may_have_the_same_time() {
        let mut directions = Directions::new(ClockRelation::Free, true, Detail::Full);
        for number in 1..=3 {
            // All are in flight at the same time: each is sent before the first reply has arrived.
            let delay = directions.split(&sample_read_at_once(number, number * 1000, 1000));
            assert!(delay.is_some(), "{number}");
        }
        assert!(!directions.report(MonoTime::from_origin(Duration::from_secs(1))).2.stands_still);
    }

    /// A request whose reply has the time at which the first request, sent at `first`, was read.
    fn sample_read_at_once(number: u64, sent: u64, first: u64) -> Sample {
        let read = WallTime::from_nanos(NOON + first + 1_000_000);
        Sample { timestamp: Some(Timestamp::Ns { rx: read, tx: read }), ..sample(number, sent, 0, 0) }
    }

    #[test]
    fn impossible_timestamps_are_ignored() {
        let honest = sample(1, 0, 0, 0);
        let Some(Timestamp::Ns { rx, tx }) = honest.timestamp else { panic!("it has such a timestamp") };
        let past = WallTime::from_nanos(5);
        let far = WallTime::from_nanos(9_900_000_000_000_000_000);
        for (rx, tx) in [(tx, rx), (rx, far), (past, tx), (far, past)] {
            let mut directions = Directions::new(ClockRelation::Same, true, Detail::Full);
            assert_eq!(
                directions.split(&Sample { timestamp: Some(Timestamp::Ns { rx, tx }), ..honest }),
                None
            );
            assert!(!directions.report(honest.received.program.mono).2.contradicted);
        }
    }

    #[test]
    fn clocks_beyond_the_limits_yield_no_delay() {
        let honest = sample(1, 0, 0, 0);
        for limit in [0, u64::MAX].map(WallTime::from_nanos) {
            let peer = Sample { timestamp: Some(Timestamp::Ns { rx: limit, tx: limit }), ..honest };
            let mut both = peer;
            both.sent.program.wall = limit;
            both.received = Times::of(Moment { wall: limit, mono: honest.received.program.mono });
            let own = Sample { timestamp: honest.timestamp, ..both };
            for sample in [peer, both, own] {
                let mut directions = Directions::new(ClockRelation::Same, true, Detail::Full);
                assert_eq!((directions.split(&sample), directions.split(&sample)), (None, None));
                let report = directions.report(honest.received.program.mono).2;
                assert!(!report.contradicted && report.own_steps == 0, "{report:?}");
            }
        }
    }

    #[test]
    fn a_step_of_the_own_clock_is_counted_and_distorts_no_delay() {
        let mut directions = Directions::new(ClockRelation::Same, true, Detail::Full);
        for (number, ours) in [(1, 0), (2, 0), (3, 7_000_000_000), (4, 7_000_000_000)] {
            // The server reads the same clock.
            let delay = directions.split(&sample(number, number * 1_000_000_000, ours, ours.cast_signed()));
            assert_eq!(delay, Some(OneWayDelay { up_ns: 1_000_000, down_ns: 2_000_000 }), "{number}");
        }
        let clock = directions.report(MonoTime::from_origin(Duration::from_secs(5))).2;
        assert_eq!((clock.own_steps, clock.contradicted), (1, false));
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut jitter = Jitter::default();
        assert_eq!(jitter.nanos(), None);
        [1000, 1160, 1160, 840].into_iter().for_each(|transit| jitter.add(transit));
        // 160/16 = 10; 10 - 10/16 = 9.375; 9.375 + (320 - 9.375)/16
        assert!((jitter.nanos().unwrap() - 28.789_062_5).abs() < 1e-9);
    }

    #[test]
    fn variation_is_between_consecutive_requests() {
        let mut variation = Variation::new(Detail::Full);
        for (number, transit) in [(1, 100), (2, 130), (4, 500), (5, 420)] {
            variation.add(number, transit);
        }
        let distribution = variation.distribution;
        assert_eq!((distribution.count(), distribution.min(), distribution.max()), (2, Some(30), Some(80)));
    }
}
