//! Vertical axes for delays: a linear and a logarithmic one over the same values, and which of them
//! shows more.

use echosounder_client::Distribution;

use super::axis::Axis;
use super::svg::{Labels, Scale};
use crate::render::numbers::Unit;

/// Ticks of a vertical axis.
pub(super) const TICKS_UP: usize = 5;

/// Ticks of a horizontal axis.
pub(super) const TICKS_ALONG: usize = 6;

/// A linear axis would hide a value below another one that is this many times as large.
const LOG_FROM: f64 = 50.0;

/// Two axes over the same delays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    pub(super) linear: Axis,
    pub(super) log: Axis,
    /// The scale that shows more.
    pub(super) preferred: Scale,
}

impl Scales {
    /// Returns the scales for delays with this distribution and for further values in the same
    /// figure.
    pub(super) fn new(times: &Distribution, others: impl Iterator<Item = f64>) -> Self {
        let [min, p99, max] =
            [times.min(), times.rank(99.0), times.max()].map(|nanos| nanos.unwrap_or(0).max(1) as f64);
        let others: Vec<f64> = others.collect();
        let high = others.iter().copied().fold(max, f64::max);
        let positive = others.iter().copied().filter(|value| 0.0 < *value).fold(min, f64::min);
        let log = Axis::log(positive.max(lowest_of_log(times)), high);
        let linear = Axis::rounded(others.into_iter().fold(0.0, f64::min), high, TICKS_UP);
        let differs_much = LOG_FROM * min < p99 || LOG_FROM * p99 < max;
        Self { linear, log, preferred: if differs_much { Scale::Log } else { Scale::Linear } }
    }

    /// Returns each axis with its scale, the preferred one first.
    pub(super) fn in_order(&self) -> [(Scale, Axis); 2] {
        let (linear, log) = ((Scale::Linear, self.linear), (Scale::Log, self.log));
        if self.preferred == Scale::Log { [log, linear] } else { [linear, log] }
    }
}

/// Returns the lowest beginning of a logarithmic axis: a tenth of the first percentile, so that a
/// few tiny values do not stretch it.
pub(super) fn lowest_of_log(times: &Distribution) -> f64 {
    times.rank(1.0).unwrap_or(0).max(1) as f64 / 10.0
}

/// Returns the labels of an axis of delays: in one unit on a linear axis, each in its own unit on a
/// logarithmic one.
pub(super) fn delay_labels(axis: &Axis, most: usize) -> Labels {
    if !axis.is_log() {
        return unit_labels(axis, most, Unit::for_delay(axis.high() * 0.999));
    }
    let label = |tick: f64| {
        let unit = Unit::for_delay(tick * 1.001);
        (axis.position(tick), format!("{} {}", unit.plain(tick), unit.name))
    };
    axis.ticks(most).into_iter().map(label).collect()
}

/// Returns the labels of an axis of nanoseconds in one unit.
pub(super) fn unit_labels(axis: &Axis, most: usize, unit: Unit) -> Labels {
    let label = |nanos: f64| match nanos {
        0.0 => "0".to_owned(),
        _ => format!("{} {}", unit.plain(nanos), unit.name),
    };
    axis.ticks(most).into_iter().map(|tick| (axis.position(tick), label(tick))).collect()
}

/// Returns the range of a distribution in words: `0.071 and 0.412 ms`.
pub(crate) fn range(times: &Distribution) -> String {
    let [min, max] = [times.min(), times.max()].map(|nanos| nanos.unwrap_or(0) as f64);
    let unit = Unit::for_delay(min);
    format!("{} and {} {}", unit.brief(min), unit.brief(max), unit.name)
}
