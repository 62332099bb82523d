//! A figure of how often which delay was measured: bars on a logarithmic or a linear axis, with the
//! median and the 99th percentile.

use echosounder_client::Distribution;

use super::axis::Axis;
use super::scales::{TICKS_ALONG, TICKS_UP, delay_labels, lowest_of_log, range};
use super::svg::{Drawing, Figure, HEIGHT, Layer, Pen, Scale, WIDTH};
use crate::render::histogram;
use crate::render::numbers::{Unit, grouped, plain};

/// Most bars.
const BARS_MAX: f64 = 60.0;

/// The smallest ratio of a bar's width to its values. The buckets of a distribution are nearly as
/// wide.
const BAR_RATIO_MIN: f64 = 0.005;

/// The lowest bar in pixels, so that it is visible.
const BAR_HEIGHT_MIN: f64 = 1.5;

/// The share of the figure that the name of a mark takes.
const MARK_WIDTH: f64 = 0.06;

/// The texts of a figure of a distribution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts {
    pub(crate) title: &'static str,
    /// The name of the measured times in the plural, such as "round trips".
    pub(crate) plural: &'static str,
    /// One of them, for counts: `reply`.
    pub(crate) noun: Noun,
}

/// A noun in the singular and in the plural.
pub(crate) type Noun = (&'static str, &'static str);

/// Returns the figure.
pub(crate) fn figure(id: String, texts: Texts, times: &Distribution) -> Figure {
    let [min, max] = [times.min(), times.max()].map(|nanos| nanos.unwrap_or(0).max(1) as f64);
    // Slightly above the maximum, so that it is within the last bar.
    let high = (max * 1.001).max(min + 1.0);
    let log = Bars::new(times, Axis::log(min.max(lowest_of_log(times)), high));
    let linear = Bars::new(times, Axis::rounded(0.0, high, TICKS_ALONG));
    let description = format!(
        "{} {} between {}, in {} bars; the highest has {:.1} percent.",
        times.count(),
        texts.plural,
        range(times),
        log.counts.len(),
        log.highest()
    );
    let layers = (log.layer(Scale::Log, times, texts), Some(linear.layer(Scale::Linear, times, texts)));
    let (legend, remark, lane) = (Vec::new(), String::new(), None);
    Figure { id, title: texts.title, description, legend, remark, layers, lane }
}

/// The numbers of values in sections of an axis that have the same length.
struct Bars {
    axis: Axis,
    counts: Vec<u64>,
    total: u64,
    /// The smallest value, which may lie below the axis.
    min: f64,
}

impl Bars {
    fn new(times: &Distribution, axis: Axis) -> Self {
        // A small sample has few bars.
        let wanted = ((times.count() as f64).sqrt() * 2.0).clamp(8.0, BARS_MAX);
        let distinct =
            if axis.is_log() { (axis.high() / axis.low()).ln() / BAR_RATIO_MIN } else { f64::INFINITY };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and 60")]
        let mut counts = vec![0; wanted.min(distinct).max(1.0) as usize];
        for recorded in histogram::of(times).iter_recorded() {
            let position = axis.position(recorded.value_iterated_to() as f64) * counts.len() as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positions are from 0 to 1"
            )]
            let bar = (position as usize).min(counts.len() - 1);
            counts[bar] += recorded.count_since_last_iteration();
        }
        let min = times.min().unwrap_or(0).max(0) as f64;
        Self { axis, counts, total: times.count(), min }
    }

    fn percent(&self, count: u64) -> f64 {
        count as f64 / self.total.max(1) as f64 * 100.0
    }

    /// Returns the percentage of the highest bar.
    fn highest(&self) -> f64 {
        self.percent(self.counts.iter().max().copied().unwrap_or(0))
    }

    fn layer(&self, scale: Scale, times: &Distribution, texts: Texts) -> Layer {
        let height = Axis::rounded(0.0, self.highest(), TICKS_UP);
        let mut drawing = Drawing::default();
        let mut pen = Pen::default();
        let edge = |number: usize| number as f64 / self.counts.len() as f64;
        for (number, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count != 0) {
            let (from, to) = (edge(number), edge(number + 1));
            let top = (HEIGHT * (1.0 - height.position(self.percent(count)))).min(HEIGHT - BAR_HEIGHT_MIN);
            for (position, y) in [(from, HEIGHT), (from, top), (to, top), (to, HEIGHT)] {
                pen.to(WIDTH * position, y);
            }
            pen.close();
            drawing.reading(WIDTH * (from + to) / 2.0, &self.reading(number, count, texts));
        }
        drawing.path("bars first", &pen);
        mark_percentiles(&mut drawing, times, &self.axis);
        let up = height.ticks(TICKS_UP).into_iter();
        let up = up.map(|tick| (height.position(tick), format!("{} %", plain(tick)))).collect();
        Layer { scale, along: delay_labels(&self.axis, TICKS_ALONG), up, drawing }
    }

    fn reading(&self, number: usize, count: u64, texts: Texts) -> String {
        let value = |edge: usize| self.axis.value(edge as f64 / self.counts.len() as f64);
        // Values below the axis are in the first bar.
        let low = if number == 0 { self.min } else { value(number) };
        let unit = Unit::for_delay(value(number + 1) / 10.0);
        let (singular, plural) = texts.noun;
        let noun = if count == 1 { singular } else { plural };
        format!(
            "{} to {} {}: {} {noun}, {:.3} %",
            unit.brief(low),
            unit.brief(value(number + 1)),
            unit.name,
            grouped(count),
            self.percent(count)
        )
    }
}

/// Marks the median and the 99th percentile.
fn mark_percentiles(drawing: &mut Drawing, times: &Distribution, axis: &Axis) {
    let mut pen = Pen::default();
    for (percent, is_before, name) in [(50.0, true, "p50"), (99.0, false, "p99")] {
        if let Some(nanos) = times.percentile(percent) {
            let position = axis.position(nanos as f64);
            // The name stays within the figure.
            let is_before = (is_before || 1.0 - MARK_WIDTH < position) && MARK_WIDTH < position;
            let class = if is_before { "mark before" } else { "mark" };
            pen.line((WIDTH * position, -14.0), (WIDTH * position, HEIGHT));
            drawing.mark(position, class, name);
        }
    }
    drawing.path("line mark", &pen);
}
