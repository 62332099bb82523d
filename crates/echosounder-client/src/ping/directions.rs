//! Which part of a round trip was the way there, and which the way back.

use std::collections::VecDeque;
use std::time::Duration;

use echosounder_proto::{MonoTime, OffsetEstimate, PeerClock, Reading, Sample, WallTime};

use crate::distribution::Distribution;

/// How many answers a clock that is not ours is given to become known, before delays are counted by it.
const PENDING: usize = 64;

/// How much our two clocks may come apart before one of them was stepped.
const STEP: i128 = 1_000_000;

/// What is known beforehand of the peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It is this machine's.
    Same,
    /// It is kept in step with this machine's.
    Synced,
    /// It may show anything.
    Free,
}

/// The delay on either way of one call, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneWayDelay {
    /// There.
    pub up: i64,
    /// Back.
    pub down: i64,
}

/// What is known of the peer's clock in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerClockReport {
    /// By which clock delays were told.
    pub clock: Clock,
    /// Whether the stamps were found not to come from this machine's clock, as had been expected.
    pub contradicted: bool,
    /// Whether the peer's clock stands still or ticks slowly: it showed the same time for two requests although the
    /// second was sent after the reply to the first had arrived. Its timestamps are then ignored.
    pub stands_still: bool,
    /// How far the peer's clock is ahead of this machine's, in nanoseconds: the middle of what is possible. Where its zone
    /// is unknown, whole quarters of an hour are left out.
    pub ahead: Option<i64>,
    /// By how much that may be wrong, in nanoseconds.
    pub uncertainty: Option<u64>,
    /// How much faster than this machine's it goes, in millionths, and by how much that may be wrong.
    pub drift_ppm: Option<(f64, f64)>,
    /// The zone that its clock on the wall seems to be in, in minutes east of UTC, if its stamps do not tell.
    pub zone_minutes: Option<i64>,
    /// How often it was stepped.
    pub peer_steps: u64,
    /// How often this machine's was.
    pub own_steps: u64,
}

/// RFC 3550 §6.4.1: the mean of how much the delay differs from one answer to the next, of which each counts a sixteenth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Jitter {
    mean: f64,
    last: Option<i64>,
    any: bool,
}

impl Jitter {
    pub(crate) fn add(&mut self, transit: i64) {
        if let Some(last) = self.last.replace(transit) {
            self.mean += (transit.saturating_sub(last).saturating_abs() as f64 - self.mean) / 16.0;
            self.any = true;
        }
    }

    /// What comes next cannot be compared with what was before.
    fn restart(&mut self) {
        self.last = None;
    }

    pub(crate) fn nanos(&self) -> Option<f64> {
        self.any.then_some(self.mean)
    }
}

/// How much a delay differs from that of the call before, whichever is longer: RFC 3393 §2.1, without its sign.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variation {
    last: Option<(u64, i64)>,
    pub(crate) distribution: Distribution,
}

impl Variation {
    pub(crate) fn add(&mut self, number: u64, transit: i64) {
        if let Some((last, before)) = self.last.replace((number, transit))
            && last + 1 == number
        {
            self.distribution.record(transit.saturating_sub(before).saturating_abs());
        }
    }

    fn restart(&mut self) {
        self.last = None;
    }
}

/// One way, as all calls have gone it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub(crate) delay: Distribution,
    pub(crate) jitter: Jitter,
    pub(crate) variation: Variation,
}

/// Divides round trips in two.
#[derive(Clone, Debug)]
pub(crate) struct Directions {
    clock: Clock,
    /// Whether the clock may turn out not to be what it was taken for.
    guessed: bool,
    contradicted: bool,
    /// Whether the peer's clock was found to stand still.
    stands_still: bool,
    /// When a reply rx_times last, and what the peer's clock showed when it left.
    last_reading: Option<(MonoTime, WallTime)>,
    peer: PeerClock,
    zoned: bool,
    /// Whether its stamps tell whole seconds.
    coarse: bool,
    /// The latest that have not been counted, while more is learned of the peer's clock.
    pending: VecDeque<Sample>,
    /// The shortest time there and back, without the server's.
    quickest: Option<Duration>,
    pub(crate) up: Way,
    pub(crate) down: Way,
    /// How far our wall clock was before the monotonic one, and when.
    own: Option<(i128, MonoTime)>,
    own_steps: u64,
}

impl Directions {
    pub(crate) fn new(clock: Clock, guessed: bool) -> Self {
        Self {
            clock,
            guessed,
            contradicted: false,
            stands_still: false,
            last_reading: None,
            peer: PeerClock::new(),
            zoned: true,
            coarse: false,
            pending: VecDeque::new(),
            quickest: None,
            up: Way::default(),
            down: Way::default(),
            own: None,
            own_steps: 0,
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Takes in an answer; what each way took is returned: by a clock that is free, more than the quickest so far.
    pub(crate) fn split(&mut self, sample: &Sample) -> Option<OneWayDelay> {
        let stepped = self.watch_own(sample);
        // A peer may say what it likes.
        let reading = sample.timestamp?.reading().filter(|_| sample.is_possible())?;
        (self.zoned, self.coarse) = (reading.zoned, !reading.resolution.is_zero());
        if !self.coarse && self.finds_still(sample, reading) {
            return None;
        }
        let steps = self.peer.steps();
        if self.peer.is_contradicted_by(sample) {
            // What was before is to be counted by what was known then.
            self.count_pending();
        }
        self.peer.observe(sample);
        if self.coarse {
            return None;
        }
        if stepped || steps != self.peer.steps() {
            [&mut self.up, &mut self.down].into_iter().for_each(|way| {
                way.jitter.restart();
                way.variation.restart();
            });
        }
        self.vary(sample);
        if stepped && self.clock != Clock::Free {
            return None;
        }
        let net = sample.rtt().saturating_sub(sample.residence().unwrap_or_default());
        self.quickest = Some(self.quickest.map_or(net, |quickest| quickest.min(net)));
        if self.clock == Clock::Free {
            self.pending.push_back(*sample);
            if PENDING < self.pending.len()
                && let Some(sample) = self.pending.pop_front()
            {
                self.count_free(&sample);
            }
            return self.free(sample);
        }
        let ways = by_wall(sample)?;
        if self.guessed && (ways.up < 0 || ways.down < 0) {
            self.contradict();
            return self.split_again(sample);
        }
        self.up.delay.record(ways.up);
        self.down.delay.record(ways.down);
        Some(ways)
    }

    /// Whether the peer's clock stands still, as far as this reply and those before show. Replies to requests that were
    /// under way at once may have been read at once.
    fn finds_still(&mut self, sample: &Sample, reading: Reading) -> bool {
        let before = self.last_reading.replace((sample.received.program.mono, reading.tx));
        let is_same =
            before.is_some_and(|(rx_times, tx)| rx_times <= sample.sent.program.mono && tx == reading.rx);
        if is_same && !self.stands_still {
            self.stands_still = true;
            // What was made of its readings is as good as they are.
            self.peer = PeerClock::new();
            self.pending.clear();
            (self.up, self.down) = (Way::default(), Way::default());
        }
        self.stands_still
    }

    /// It cannot be this machine's clock: a call was there before it left, or its answer back before it left there.
    fn contradict(&mut self) {
        self.contradicted = true;
        self.clock = Clock::Free;
        [&mut self.up, &mut self.down].into_iter().for_each(|way| way.delay = Distribution::default());
    }

    fn split_again(&mut self, sample: &Sample) -> Option<OneWayDelay> {
        self.pending.push_back(*sample);
        self.free(sample)
    }

    fn free(&self, sample: &Sample) -> Option<OneWayDelay> {
        let (up, down) = self.peer.excess(sample)?;
        Some(OneWayDelay { up: nanos(up), down: nanos(down) })
    }

    /// The peer is another from now on, with a clock of its own.
    pub(crate) fn moved(&mut self, clock: Clock, guessed: bool) {
        self.count_pending();
        (self.peer, self.quickest) = (PeerClock::new(), None);
        (self.stands_still, self.last_reading) = (false, None);
        [&mut self.up, &mut self.down].into_iter().for_each(|way| {
            way.jitter.restart();
            way.variation.restart();
            if clock != self.clock {
                way.delay = Distribution::default();
            }
        });
        (self.clock, self.guessed) = (clock, guessed);
    }

    fn count_pending(&mut self) {
        while let Some(sample) = self.pending.pop_front() {
            self.count_free(&sample);
        }
    }

    fn count_free(&mut self, sample: &Sample) {
        if let Some(ways) = self.free(sample) {
            self.up.delay.record(ways.up);
            self.down.delay.record(ways.down);
        }
    }

    /// How much delays vary can be told whatever the clocks show.
    fn vary(&mut self, sample: &Sample) {
        let Some((up, down)) = transits(sample) else { return };
        for (way, transit) in [(&mut self.up, up), (&mut self.down, down)] {
            way.jitter.add(transit);
            way.variation.add(sample.number, transit);
        }
    }

    /// Whether our own wall clock was stepped since the last call left.
    fn watch_own(&mut self, sample: &Sample) -> bool {
        let [sent, received] = [sample.sent.program, sample.received.program].map(|moment| {
            (i128::from(moment.wall.as_nanos()) - i128::from(moment.mono.as_nanos()), moment.mono)
        });
        let stepped = |(before, at): (i128, MonoTime), (after, then): (i128, MonoTime)| {
            // A clock that is slewed goes at most 500 millionths faster or slower: adjtimex(2).
            let slewed = (then - at).max(at - then).as_nanos() / 2000;
            let slewed = i128::try_from(slewed).unwrap_or(i128::MAX);
            STEP.saturating_add(slewed) < (after - before).abs()
        };
        let within = stepped(sent, received);
        let since = self.own.is_some_and(|own| stepped(own, received));
        self.own_steps += u64::from(within || since);
        self.own = Some(received);
        within
    }

    /// All that is known by now: the delays, which of a free clock assume that the quickest ways take equally long, and
    /// the clock.
    pub(crate) fn report(&self, at: MonoTime) -> (Way, Way, PeerClockReport) {
        let mut all = self.clone();
        all.count_pending();
        if all.clock == Clock::Free {
            let half = nanos(self.quickest.unwrap_or_default() / 2);
            all.up.delay = all.up.delay.shifted(half);
            all.down.delay = all.down.delay.shifted(half);
        }
        let estimate = self.peer.estimate(at).filter(|_| self.clock != Clock::Same || self.coarse);
        let clock = self.describe(estimate);
        (all.up, all.down, clock)
    }

    fn describe(&self, estimate: Option<OffsetEstimate>) -> PeerClockReport {
        const QUARTER: i64 = 900_000_000_000;
        let own = i64::try_from(self.own.map_or(0, |own| own.0)).unwrap_or(i64::MAX);
        let ahead = estimate.map(|estimate| estimate.ahead.saturating_sub(own));
        let zones =
            ahead.filter(|_| !self.zoned).map(|ahead| ahead.saturating_add(QUARTER / 2).div_euclid(QUARTER));
        PeerClockReport {
            clock: self.clock,
            contradicted: self.contradicted,
            stands_still: self.stands_still,
            ahead: ahead.map(|ahead| ahead - zones.unwrap_or(0) * QUARTER),
            uncertainty: estimate.map(|estimate| estimate.uncertainty),
            drift_ppm: estimate.and_then(|estimate| {
                estimate.drift.map(|drift| (drift * 1e6, estimate.drift_uncertainty * 1e6))
            }),
            zone_minutes: zones.map(|zones| zones * 15),
            peer_steps: self.peer.steps(),
            own_steps: self.own_steps,
        }
    }

    /// Where in a second the next call is to leave, about then, if the peer's stamps tell whole seconds alone.
    pub(crate) fn edge(&self, next: MonoTime, rtt: Duration) -> Option<Duration> {
        self.coarse.then(|| self.peer.edge(next, rtt)).flatten()
    }
}

/// What each way took, if both clocks show the same.
fn by_wall(sample: &Sample) -> Option<OneWayDelay> {
    let reading = sample.timestamp?.reading()?;
    let span = |from: u64, to: u64| clamp(i128::from(to) - i128::from(from));
    Some(OneWayDelay {
        up: span(sample.sent.program.wall.as_nanos(), reading.rx.as_nanos()),
        down: span(reading.tx.as_nanos(), sample.received.best().wall.as_nanos()),
    })
}

/// What each way took, and how much more the peer's clock showed on the way up, or less on the way down, than our
/// monotonic one: so only their differences mean anything.
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
    use echosounder_proto::{Moment, Times, Timestamp};

    use super::*;

    const NOON: u64 = 1_795_346_376_000_000_000;

    /// A call of this number that left at `sent` by both our clocks, of which the wall clock is `ours` ahead, and took
    /// 1 ms up and 2 ms down by a clock that is `theirs` ahead; the server had it for 100 µs.
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
            reordered: false,
        }
    }

    #[test]
    fn one_clock_tells_each_way_as_it_is() {
        let mut directions = Directions::new(Clock::Same, true);
        let ways = directions.split(&sample(1, 0, 0, 0));
        assert_eq!(ways, Some(OneWayDelay { up: 1_000_000, down: 2_000_000 }));
        assert_eq!(directions.report(MonoTime::from_origin(Duration::ZERO)).2.ahead, None);
    }

    #[test]
    fn a_clock_that_was_guessed_wrong_becomes_free_and_one_that_was_told_stays() {
        let wrong = sample(1, 0, 0, -5_000_000_000);
        let mut guessed = Directions::new(Clock::Same, true);
        assert_eq!(guessed.split(&wrong), Some(OneWayDelay { up: 0, down: 0 }));
        let (up, down, clock) = guessed.report(wrong.received.program.mono);
        assert_eq!((clock.clock, clock.contradicted), (Clock::Free, true));
        // Nobody can know that one way took longer.
        assert_eq!((up.delay.min(), down.delay.min()), (Some(1_500_000), Some(1_500_000)));
        let told = (clock.ahead.unwrap() + 5_000_000_000 + 500_000).abs();
        assert!(told <= 2000, "{clock:?}");
        assert!(clock.uncertainty.unwrap().abs_diff(1_500_000) <= 2000, "{clock:?}");

        let mut told = Directions::new(Clock::Synced, false);
        let ways = told.split(&wrong);
        assert_eq!(ways, Some(OneWayDelay { up: -4_999_000_000, down: 5_002_000_000 }));
        assert_eq!(told.report(wrong.received.program.mono).0.delay.negative(), 1);
    }

    #[test]
    fn a_step_of_the_peers_clock_is_no_delay() {
        let mut directions = Directions::new(Clock::Free, true);
        for number in 1..=40 {
            let theirs = if number <= 30 { 7_000_000_000 } else { 7_050_000_000 };
            let ways = directions.split(&sample(number, number * 20_000_000, 0, theirs));
            let Some(OneWayDelay { up, down }) = ways else { panic!("its stamps are right") };
            assert!(up < 1000 && down < 1000, "{number}: {ways:?}");
        }
        let (up, down, clock) = directions.report(MonoTime::from_origin(Duration::from_secs(1)));
        assert_eq!((clock.peer_steps, up.delay.count(), down.delay.count()), (1, 40, 40));
        assert!(down.delay.max() < Some(1_510_000), "{:?}", down.delay.max());
    }

    #[test]
    fn a_clock_that_stands_still_tells_nothing() {
        let mut directions = Directions::new(Clock::Free, true);
        for number in 1..=40 {
            // It always shows what it showed for the first request.
            let sent = number * 20_000_000;
            let ways = directions.split(&sample_read_at_once(number, sent, 20_000_000));
            assert_eq!(ways.is_some(), number == 1, "{number}: {ways:?}");
        }
        let (up, down, clock) = directions.report(MonoTime::from_origin(Duration::from_secs(1)));
        assert_eq!((clock.stands_still, clock.peer_steps, clock.ahead), (true, 0, None));
        assert_eq!((up.delay.count(), down.delay.count(), up.jitter.nanos()), (0, 0, None));
    }

    #[test]
    fn requests_that_are_read_at_once_may_bear_the_same_time() {
        let mut directions = Directions::new(Clock::Free, true);
        for number in 1..=3 {
            // All are under way at once: each is sent before the first reply has come.
            let ways = directions.split(&sample_read_at_once(number, number * 1000, 1000));
            assert!(ways.is_some(), "{number}");
        }
        assert!(!directions.report(MonoTime::from_origin(Duration::from_secs(1))).2.stands_still);
    }

    /// A request whose reply bears the time at which the first one, sent at `first`, was read.
    fn sample_read_at_once(number: u64, sent: u64, first: u64) -> Sample {
        let read = WallTime::from_nanos(NOON + first + 1_000_000);
        Sample { timestamp: Some(Timestamp::Ns { rx: read, tx: read }), ..sample(number, sent, 0, 0) }
    }

    #[test]
    fn stamps_that_cannot_be_tell_nothing() {
        let honest = sample(1, 0, 0, 0);
        let Some(Timestamp::Ns { rx, tx }) = honest.timestamp else { panic!("it has such a stamp") };
        let past = WallTime::from_nanos(5);
        let far = WallTime::from_nanos(9_900_000_000_000_000_000);
        for (rx, tx) in [(tx, rx), (rx, far), (past, tx), (far, past)] {
            let mut directions = Directions::new(Clock::Same, true);
            assert_eq!(
                directions.split(&Sample { timestamp: Some(Timestamp::Ns { rx, tx }), ..honest }),
                None
            );
            assert!(!directions.report(honest.received.program.mono).2.contradicted);
        }
    }

    #[test]
    fn a_step_of_our_own_clock_is_counted_and_spoils_nothing() {
        let mut directions = Directions::new(Clock::Same, true);
        for (number, ours) in [(1, 0), (2, 0), (3, 7_000_000_000), (4, 7_000_000_000)] {
            // The server's clock is ours, and is set with it.
            let ways = directions.split(&sample(number, number * 1_000_000_000, ours, ours.cast_signed()));
            assert_eq!(ways, Some(OneWayDelay { up: 1_000_000, down: 2_000_000 }), "{number}");
        }
        let clock = directions.report(MonoTime::from_origin(Duration::from_secs(5))).2;
        assert_eq!((clock.own_steps, clock.contradicted), (1, false));
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let mut jitter = Jitter::default();
        assert_eq!(jitter.nanos(), None);
        [1000, 1160, 1160, 840].into_iter().for_each(|transit| jitter.add(transit));
        // 160/16 = 10; 10 - 10/16 = 9.375; 9.375 + (320 - 9.375)/16
        assert!((jitter.nanos().unwrap() - 28.789_062_5).abs() < 1e-9);
    }

    #[test]
    fn variation_is_between_calls_that_follow_each_other() {
        let mut variation = Variation::default();
        for (number, transit) in [(1, 100), (2, 130), (4, 500), (5, 420)] {
            variation.add(number, transit);
        }
        let distribution = variation.distribution;
        assert_eq!((distribution.count(), distribution.min(), distribution.max()), (2, Some(30), Some(80)));
    }
}
