//! Estimating the offset of a peer's clock from the timestamps of its replies.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::sample::Sample;
use crate::time::MonoTime;
use crate::timestamp::{Reading, Timestamp};

/// The highest drift between two clocks. A quartz clock drifts by a tenth of it.
const DRIFT_MAX: f64 = 500e-6;

/// The replies of this span are reduced to the two that bound the offset best.
const BLOCK: Duration = Duration::from_secs(1);

/// How many such spans are remembered.
const BLOCKS: usize = 64;

/// Steps of a search in an interval; each narrows it by a third or a half.
const STEPS: usize = 60;

/// The rounding error of a bound, in nanoseconds.
const SLACK: f64 = 1.0;

/// The least and the greatest offset that a reply allows, in nanoseconds: how far the peer's clock
/// is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetBounds {
    low: i64,
    high: i64,
}

impl Sample {
    /// Returns the bounds of the offset to the monotonic clock: the peer read its clock between the
    /// send and the receive.
    pub(crate) fn bounds(&self) -> Option<OffsetBounds> {
        let is_known = |reading: &Reading| !reading.rx.is_limit() && !reading.tx.is_limit();
        let reading =
            self.timestamp?.reading().filter(|reading| reading.rx <= reading.tx && is_known(reading))?;
        let ahead = |wall: u64, mono: MonoTime| clamp(i128::from(wall) - i128::from(mono.as_nanos()));
        let resolution = i64::try_from(reading.resolution.as_nanos()).unwrap_or(i64::MAX);
        // Both clocks show whole nanoseconds: the receive and the reading may have been up to one
        // nanosecond later.
        let low = ahead(reading.tx.as_nanos(), self.received.best().mono).saturating_sub(1);
        let high = ahead(reading.rx.as_nanos(), self.sent.program.mono).saturating_add(resolution.max(1));
        (low <= high).then_some(OffsetBounds { low, high })
    }

    /// Returns whether the timestamp is possible: it does not show that the server held the request
    /// for longer than the round trip, or for a negative time, and its times are within the
    /// [limits](crate::WallTime::is_limit).
    pub fn is_possible(&self) -> bool {
        self.bounds().is_some()
    }

    /// Whether the timestamp is finer than whole seconds.
    fn is_exact(&self) -> bool {
        self.timestamp.and_then(Timestamp::reading).is_some_and(|reading| reading.resolution.is_zero())
    }
}

/// An estimate of the peer's clock at some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffsetEstimate {
    /// How far it is ahead of the monotonic clock, in nanoseconds: the middle of the possible
    /// range. It is exact if the minimum delays of both directions are equal.
    pub ahead: i64,
    /// By how much that may be wrong, in nanoseconds, however unequal the directions are.
    pub uncertainty: u64,
    /// How much faster than the monotonic clock it runs, in seconds per second; `None` if that is
    /// not known better than for any clock.
    pub drift: Option<f64>,
    /// By how much the drift may be wrong, in seconds per second.
    pub drift_uncertainty: f64,
}

/// Estimates the offset of the peer's clock. Each reply bounds it from both sides, since the peer
/// read its clock after the request was sent and before the reply arrived.
///
/// Plotted over time, the bounds of a sliding window leave a strip that contains the offset. Its
/// upper edge comes from the fastest requests and its lower edge from the fastest replies, so the
/// distance of a bound from its edge is how much longer than the fastest a delay was. The
/// difference between the minimum delays of both directions cannot be determined.
#[derive(Clone, Debug, Default)]
pub struct PeerClock {
    blocks: VecDeque<Block>,
    /// Bounds are stored relative to this offset, in nanoseconds.
    origin: i64,
    /// The likely drift, at which all bounds are consistent.
    drift: f64,
    steps: u64,
}

/// The best bounds from the replies of one second, and when each was set, in nanoseconds.
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
    /// Returns the bound moved to another time, at that drift.
    fn moved(self, at: f64, drift: f64) -> f64 {
        self.ahead + drift * (at - self.at)
    }
}

/// How much longer than the fastest one request and its reply took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayVariation {
    /// From the client to the server.
    pub up: Duration,
    /// From the server to the client.
    pub down: Duration,
}

impl PeerClock {
    /// Creates an estimate without any reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how often the peer's clock was stepped: a reply contradicted all before it. If a
    /// reply contradicts only old ones, the drift has changed, and those are forgotten.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Adds a reply. Replies may come in any order.
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

    /// Returns whether a reply contradicts earlier ones, so that [`observe`](Self::observe) would
    /// forget them.
    pub fn is_contradicted_by(&self, sample: &Sample) -> bool {
        let contradicts = |new| !self.fits(new) && !self.clone().admits(new);
        !self.blocks.is_empty() && self.block(sample).is_some_and(contradicts)
    }

    /// Returns the bounds that a reply sets.
    fn block(&self, sample: &Sample) -> Option<Block> {
        let bounds = sample.bounds()?;
        let low = Point { at: float(sample.received.best().mono), ahead: self.relative(bounds.low) };
        let high = Point { at: float(sample.sent.program.mono), ahead: self.relative(bounds.high) };
        Some(Block { since: low.at, low, high })
    }

    /// Whether the known bounds and these are consistent at the likely drift.
    fn fits(&self, new: Block) -> bool {
        new.low.ahead <= self.high(new.low.at, self.drift) + SLACK
            && self.low(new.high.at, self.drift) <= new.high.ahead + SLACK
    }

    /// Whether the known bounds and these are consistent at any drift, which becomes the likely
    /// one.
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

    /// Returns the estimate at that time.
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

    /// Returns how much longer than the fastest the request and the reply took (the packet delay
    /// variation of RFC 5481); `None` if the timestamp shows no time, or whole seconds.
    pub fn delay_variation(&self, sample: &Sample) -> Option<DelayVariation> {
        let bounds = sample.bounds().filter(|_| sample.is_exact())?;
        self.blocks.back()?;
        let (sent, received) = (float(sample.sent.program.mono), float(sample.received.best().mono));
        let up = self.relative(bounds.high) - self.high(sent, self.drift);
        let down = self.low(received, self.drift) - self.relative(bounds.low);
        let span = |nanos: f64| Duration::from_nanos(whole(nanos).max(0).unsigned_abs());
        Some(DelayVariation { up: span(up), down: span(down) })
    }

    /// Returns where in a second of the monotonic clock a request must be sent around that time, if
    /// its round trip takes `rtt`, so that the peer reads its clock when one of its seconds begins.
    pub fn edge(&self, at: MonoTime, rtt: Duration) -> Option<Duration> {
        const SECOND: i128 = 1_000_000_000;
        let ahead = i128::from(self.estimate(at)?.ahead) + i128::try_from(rtt.as_nanos()).ok()? / 2;
        let phase = (-ahead).rem_euclid(SECOND);
        Some(Duration::from_nanos(u64::try_from(phase).ok()?))
    }

    /// Returns the upper edge of the strip at that time, for that drift.
    fn high(&self, at: f64, drift: f64) -> f64 {
        self.blocks.iter().map(|block| block.high.moved(at, drift)).fold(f64::INFINITY, f64::min)
    }

    /// Returns the lower edge.
    fn low(&self, at: f64, drift: f64) -> f64 {
        self.blocks.iter().map(|block| block.low.moved(at, drift)).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Returns the width of the strip for that drift. It is the minimum of linear functions, and so
    /// has one maximum.
    fn width(&self, drift: f64) -> f64 {
        let at = self.blocks.back().map_or(0.0, |block| block.since);
        self.high(at, drift) - self.low(at, drift)
    }

    /// Returns the drift for which the strip is widest; zero as long as the replies of one second
    /// allow it.
    fn likely_drift(&self) -> f64 {
        if self.blocks.len() < 2 && 0.0 <= self.width(0.0) {
            return 0.0;
        }
        maximum(-DRIFT_MAX, DRIFT_MAX, |drift| self.width(drift))
    }

    /// Returns the lowest and the highest drift for which the strip is not empty, around a likely
    /// one.
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

/// Returns where a function with one maximum has it.
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
