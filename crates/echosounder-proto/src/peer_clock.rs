//! How far the peer's clock is ahead of ours, from nothing but its stamps.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::sample::Sample;
use crate::time::MonoTime;
use crate::timestamp::Timestamp;

/// How much a clock may be faster or slower than ours; quartz is good for a tenth of it.
const DRIFT_MAX: f64 = 500e-6;

/// The answers of so long a time are kept as two: those that bound the clock best.
const BLOCK: Duration = Duration::from_secs(1);

/// How many of these are looked back to.
const BLOCKS: usize = 64;

/// How often an interval is narrowed when its end is searched; each time by a third or a half.
const STEPS: usize = 60;

/// What rounding may do to a bound, in nanoseconds.
const SLACK: f64 = 1.0;

/// How far the peer's clock is ahead, in nanoseconds, from the least it may be to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetBounds {
    low: i64,
    high: i64,
}

impl Sample {
    /// How far the peer's clock was ahead of our monotonic one: it read its own between our send and our receive.
    pub(crate) fn bounds(&self) -> Option<OffsetBounds> {
        let reading = self.timestamp?.reading().filter(|reading| reading.rx <= reading.tx)?;
        let ahead = |wall: u64, mono: MonoTime| clamp(i128::from(wall) - i128::from(mono.as_nanos()));
        let resolution = i64::try_from(reading.resolution.as_nanos()).unwrap_or(i64::MAX);
        // Both clocks tell whole nanoseconds alone: the receive may have been as much later, and so may the reading.
        let low = ahead(reading.tx.as_nanos(), self.received.best().mono).saturating_sub(1);
        let high = ahead(reading.rx.as_nanos(), self.sent.program.mono).saturating_add(resolution.max(1));
        (low <= high).then_some(OffsetBounds { low, high })
    }

    /// Whether the stamp can be true: it does not say that the server had the call for longer than there and back took,
    /// or for less than no time.
    pub fn is_possible(&self) -> bool {
        self.bounds().is_some()
    }

    /// Whether the stamp tells more than whole seconds.
    fn is_exact(&self) -> bool {
        self.timestamp.and_then(Timestamp::reading).is_some_and(|reading| reading.resolution.is_zero())
    }
}

/// What is known of the peer's clock at some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffsetEstimate {
    /// How far it is ahead of our monotonic clock, in nanoseconds: the middle of what is possible. That is right if the
    /// quickest way there takes as long as the quickest way back.
    pub ahead: i64,
    /// It may be so much more or less, in nanoseconds, however unequal the ways are.
    pub uncertainty: u64,
    /// How much faster than ours it goes: seconds a second. `None` if that is not known better than a clock is good for.
    pub drift: Option<f64>,
    /// It may be so much more or less.
    pub drift_uncertainty: f64,
}

/// How far the peer's clock is ahead: each answer bounds it from both sides, since the peer read its clock after the call
/// left and before the answer came.
///
/// The bounds of a sliding window leave a strip, through which every clock goes that is possible. Its upper edge is
/// made by the calls that were quickest there, its lower edge by the answers that were quickest back, so what a delay is
/// above the quickest is its distance from the edge. What cannot be seen is how much more time the quickest call took than the
/// quickest answer.
#[derive(Clone, Debug, Default)]
pub struct PeerClock {
    blocks: VecDeque<Block>,
    /// The bounds are kept relative to it, in nanoseconds.
    origin: i64,
    /// How much faster the peer's clock goes, as far as is known: all bounds leave room for it.
    drift: f64,
    steps: u64,
}

/// The bounds that a second's answers have set: where each is best, and when that was, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Block {
    since: f64,
    low: Point,
    high: Point,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: f64,
    ahead: f64,
}

impl Point {
    /// Where it would be at that time, at that drift.
    fn moved(self, at: f64, drift: f64) -> f64 {
        self.ahead + drift * (at - self.at)
    }
}

impl PeerClock {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the peer's clock was stepped: an answer contradicted all that were before, the last ones included. If
    /// it contradicts old ones alone, the drift has changed, and they are forgotten.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes in what an answer tells. Answers may come in any order.
    pub fn observe(&mut self, sample: &Sample) {
        if let Some(bounds) = sample.bounds().filter(|_| self.blocks.is_empty()) {
            self.origin = bounds.low;
        }
        let Some(block) = self.block(sample) else { return };
        while !self.admits(block) {
            self.blocks.pop_front();
            if self.blocks.is_empty() {
                self.steps += 1;
                return self.observe(sample);
            }
        }
        self.add(block);
    }

    /// Whether an answer contradicts what is known, and taking it in will forget of that.
    pub fn is_contradicted_by(&self, sample: &Sample) -> bool {
        let contradicts = |new| !self.fits(new) && !self.clone().admits(new);
        !self.blocks.is_empty() && self.block(sample).is_some_and(contradicts)
    }

    /// The bounds that an answer sets.
    fn block(&self, sample: &Sample) -> Option<Block> {
        let bounds = sample.bounds()?;
        let low = Point { at: float(sample.received.best().mono), ahead: self.relative(bounds.low) };
        let high = Point { at: float(sample.sent.program.mono), ahead: self.relative(bounds.high) };
        Some(Block { since: low.at, low, high })
    }

    /// Whether a clock could have set both the bounds that are known and these, at the drift that is likely.
    fn fits(&self, new: Block) -> bool {
        new.low.ahead <= self.high(new.low.at, self.drift) + SLACK
            && self.low(new.high.at, self.drift) <= new.high.ahead + SLACK
    }

    /// Whether a clock could have set both the bounds that are known and these; learns at what drift.
    fn admits(&mut self, new: Block) -> bool {
        if self.fits(new) {
            return true;
        }
        let mut with = self.clone();
        with.blocks.push_back(new);
        let likely = with.likely_drift();
        let admits = -SLACK <= with.width(likely);
        if admits {
            self.drift = likely;
        }
        admits
    }

    fn add(&mut self, new: Block) {
        let drift = self.drift;
        match self.blocks.back_mut() {
            Some(block) if new.since - block.since < nanos(BLOCK) => {
                if block.low.moved(new.low.at, drift) < new.low.ahead {
                    block.low = new.low;
                }
                if new.high.ahead < block.high.moved(new.high.at, drift) {
                    block.high = new.high;
                }
            }
            _ => {
                if self.blocks.len() == BLOCKS {
                    self.blocks.pop_front();
                }
                self.blocks.push_back(new);
                self.drift = self.likely_drift();
            }
        }
    }

    /// What is known of the peer's clock at that time.
    pub fn estimate(&self, at: MonoTime) -> Option<OffsetEstimate> {
        let at = float(at);
        self.blocks.back()?;
        let likely = self.likely_drift();
        let (slowest, fastest) = self.possible_drifts(likely);
        let low = maximum(slowest, fastest, |drift| -self.low(at, drift));
        let high = maximum(slowest, fastest, |drift| self.high(at, drift));
        let (low, high) = (self.low(at, low), self.high(at, high));
        let half = (fastest - slowest) / 2.0;
        Some(OffsetEstimate {
            ahead: self.origin.saturating_add(whole((low + high) / 2.0)),
            uncertainty: whole((high - low) / 2.0).max(0).unsigned_abs(),
            drift: (half < DRIFT_MAX / 2.0).then_some((slowest + fastest) / 2.0),
            drift_uncertainty: half,
        })
    }

    /// How much longer than the quickest a call took on its way there, and its answer on its way back; `None` if the
    /// peer tells no time, or whole seconds.
    pub fn excess(&self, sample: &Sample) -> Option<(Duration, Duration)> {
        let bounds = sample.bounds().filter(|_| sample.is_exact())?;
        self.blocks.back()?;
        let (sent, received) = (float(sample.sent.program.mono), float(sample.received.best().mono));
        let up = self.relative(bounds.high) - self.high(sent, self.drift);
        let down = self.low(received, self.drift) - self.relative(bounds.low);
        let span = |nanos: f64| Duration::from_nanos(whole(nanos).max(0).unsigned_abs());
        Some((span(up), span(down)))
    }

    /// Where in a second of our monotonic clock a call has to leave that leaves about then and takes so long there and
    /// back, so that the peer reads its clock when a second of its own begins.
    pub fn edge(&self, at: MonoTime, rtt: Duration) -> Option<Duration> {
        const SECOND: i128 = 1_000_000_000;
        let ahead = i128::from(self.estimate(at)?.ahead) + i128::try_from(rtt.as_nanos()).ok()? / 2;
        let phase = (-ahead).rem_euclid(SECOND);
        Some(Duration::from_nanos(u64::try_from(phase).ok()?))
    }

    /// The most that the clock may be ahead at that time, if it goes at that drift.
    fn high(&self, at: f64, drift: f64) -> f64 {
        self.blocks.iter().map(|block| block.high.moved(at, drift)).fold(f64::INFINITY, f64::min)
    }

    /// The least.
    fn low(&self, at: f64, drift: f64) -> f64 {
        self.blocks.iter().map(|block| block.low.moved(at, drift)).fold(f64::NEG_INFINITY, f64::max)
    }

    /// How wide the strip is, at that drift. It is the least of linear functions, and so has one top.
    fn width(&self, drift: f64) -> f64 {
        let at = self.blocks.back().map_or(0.0, |block| block.since);
        self.high(at, drift) - self.low(at, drift)
    }

    /// The drift at which the strip is widest; none as long as a second's answers do not show one.
    fn likely_drift(&self) -> f64 {
        if self.blocks.len() < 2 && 0.0 <= self.width(0.0) {
            return 0.0;
        }
        maximum(-DRIFT_MAX, DRIFT_MAX, |drift| self.width(drift))
    }

    /// The drifts at which there is a strip, around one at which there is.
    fn possible_drifts(&self, likely: f64) -> (f64, f64) {
        let edge = |mut outside: f64| {
            if 0.0 <= self.width(outside) {
                return outside;
            }
            let mut inside = likely;
            for _ in 0..STEPS {
                let middle = (inside + outside) / 2.0;
                if 0.0 <= self.width(middle) { inside = middle } else { outside = middle }
            }
            outside
        };
        (edge(-DRIFT_MAX), edge(DRIFT_MAX))
    }

    fn relative(&self, ahead: i64) -> f64 {
        from_whole(ahead.saturating_sub(self.origin))
    }
}

/// Where a function that has one top has it.
fn maximum(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..STEPS {
        let third = (high - low) / 3.0;
        let (left, right) = (low + third, high - third);
        if function(left) < function(right) { low = left } else { high = right }
    }
    (low + high) / 2.0
}

fn nanos(span: Duration) -> f64 {
    from_whole(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

fn float(at: MonoTime) -> f64 {
    from_whole(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "exact for 104 days of nanoseconds")]
fn from_whole(nanos: i64) -> f64 {
    nanos as f64
}

#[expect(clippy::cast_possible_truncation, reason = "`as` stays within the target's range")]
fn whole(nanos: f64) -> i64 {
    nanos as i64
}

fn clamp(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}
