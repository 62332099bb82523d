//! The figures: inline SVG whose text keeps its size, however wide the page is.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{ClockRelation, Distribution, PingReport, Point};

use super::axis::Axis;
use crate::render::numbers::{Unit, plain};

/// How wide the drawing is in its own units; the page stretches it.
const WIDTH: f64 = 1000.0;

/// How high a figure is, in pixels.
const HEIGHT: f64 = 220.0;

/// How high the lane of losses is.
const LANE: f64 = 14.0;

/// What is between the figure and the lane.
const GAP: f64 = 8.0;

/// Ticks of an axis of times, and of one along the page.
const TICKS: usize = 5;
const TICKS_ALONG: usize = 6;

/// Times of which the greatest is so many times the least are laid out by their logarithm.
const LOG_FROM: f64 = 50.0;

/// From so many points on they are drawn finely.
const MANY: usize = 100;

/// Most bars of a distribution.
const BARS: f64 = 60.0;

/// The least that a bar's end is beyond its beginning: what the histogram tells apart, and some.
const BAR_MIN: f64 = 0.005;

/// Points of the curve of percentiles for each nine.
const POINTS_A_NINE: f64 = 40.0;

/// A frame with axes and what is drawn in it.
struct Figure<'a> {
    id: &'a str,
    title: &'static str,
    /// What there is to see, for those who cannot.
    about: String,
    /// The class of each curve, and its name.
    keys: Vec<(&'static str, String)>,
    along: Vec<(f64, String)>,
    up: Vec<(f64, String)>,
    /// What is to be known of the axes.
    scale: &'static str,
    drawing: Drawing,
    /// How high the lane below is, if there is one.
    lane: Option<Lane>,
}

/// What lies below a figure, on the same axis.
struct Lane {
    drawing: Drawing,
}

/// What is drawn in a frame.
#[derive(Default)]
struct Drawing {
    svg: String,
    /// Words at places along the frame, above it.
    marks: Vec<(f64, &'static str, String)>,
    /// What is to be read at which place.
    readings: String,
}

/// The way of a pen, in the units of a drawing.
#[derive(Default)]
struct Pen {
    way: String,
    down: bool,
}

impl Pen {
    fn lift(&mut self) {
        self.down = false;
    }

    fn to(&mut self, x: f64, y: f64) {
        let letter = if self.down { 'L' } else { 'M' };
        // A string takes whatever is written to it.
        let _ = write!(self.way, "{letter}{} {}", short(x), short(y));
        self.down = true;
    }

    /// Away from where it is, and back to where nothing is drawn.
    fn dot(&mut self, x: f64, y: f64) {
        self.lift();
        self.to(x, y);
        self.way.push_str("h0");
        self.lift();
    }

    fn close(&mut self) {
        self.way.push('Z');
        self.lift();
    }
}

impl Drawing {
    fn path(&mut self, class: &str, pen: &Pen) {
        if !pen.way.is_empty() {
            let _ = write!(self.svg, r#"<path class="{class}" d="{}"/>"#, pen.way);
        }
    }

    fn reading(&mut self, x: f64, text: &str) {
        let separator = if self.readings.is_empty() { "" } else { ";" };
        let _ = write!(self.readings, "{separator}{} {text}", short(x));
    }
}

impl Figure<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { id, title, about, keys, drawing, lane, .. } = self;
        writeln!(out, "<figure>\n<figcaption><h3>{title}</h3>")?;
        if 1 < keys.len() {
            let keys: String =
                keys.iter().map(|(class, name)| format!(r#"<li class="{class}">{name}</li>"#)).collect();
            writeln!(out, r#"<ul class="keys">{keys}</ul>"#)?;
        }
        if !self.scale.is_empty() {
            writeln!(out, r#"<span class="dim">{}</span>"#, self.scale)?;
        }
        let low = lane.as_ref().map_or(HEIGHT, |_| HEIGHT + GAP + LANE);
        let height = low + 24.0;
        writeln!(
            out,
            r#"</figcaption><div class="plot" data-low="{low}" data-readings="{}">"#,
            drawing.readings
        )?;
        writeln!(
            out,
            r#"<svg role="img" width="100%" height="{height}" aria-labelledby="{id}-title {id}-about">"#
        )?;
        writeln!(out, r#"<title id="{id}-title">{title}</title><desc id="{id}-about">{about}</desc>"#)?;
        self.ticks(out, low)?;
        canvas(out, 0.0, HEIGHT, &drawing.svg)?;
        if let Some(lane) = lane {
            writeln!(out, r#"<text class="side lost" x="-8" y="{}">lost</text>"#, low - 3.0)?;
            canvas(out, low - LANE, LANE, &lane.drawing.svg)?;
        }
        for (place, class, text) in &drawing.marks {
            let dx = if *class == "mark before" { -4 } else { 4 };
            writeln!(
                out,
                r#"<text class="{class}" x="{:.2}%" y="-8" dx="{dx}">{text}</text>"#,
                place * 100.0
            )?;
        }
        writeln!(out, "</svg></div>\n</figure>")
    }

    fn ticks(&self, out: &mut impl Write, low: f64) -> io::Result<()> {
        let mut grid = Pen::default();
        for (place, label) in &self.up {
            let y = HEIGHT * (1.0 - place);
            grid.to(0.0, y);
            grid.to(WIDTH, y);
            grid.lift();
            writeln!(out, r#"<text class="side" x="-8" y="{}">{label}</text>"#, short(y + 4.0))?;
        }
        for (number, (place, label)) in self.along.iter().enumerate() {
            grid.to(WIDTH * place, 0.0);
            grid.to(WIDTH * place, HEIGHT);
            grid.lift();
            let rare = if 4 < self.along.len() && number % 2 == 1 { " odd" } else { "" };
            writeln!(
                out,
                r#"<text class="along{rare}" x="{:.2}%" y="{}">{label}</text>"#,
                place * 100.0,
                low + 18.0
            )?;
        }
        canvas(out, 0.0, HEIGHT, &format!(r#"<path class="grid" d="{}"/>"#, grid.way))
    }
}

/// A drawing that is stretched along the page, and not up.
fn canvas(out: &mut impl Write, y: f64, height: f64, svg: &str) -> io::Result<()> {
    writeln!(
        out,
        r#"<svg y="{y}" width="100%" height="{height}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none">{svg}</svg>"#
    )
}

/// A coordinate, to a tenth of a unit.
fn short(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The figures of a target that has answered.
pub(super) fn figures(out: &mut impl Write, id: &str, report: &PingReport) -> io::Result<()> {
    over_time(&format!("{id}-time"), report).write(out)?;
    distribution(&format!("{id}-distribution"), &report.rtt.delay).write(out)?;
    percentiles(&format!("{id}-percentiles"), report).write(out)
}

/// How the times went on.
struct OverTime<'a> {
    points: &'a [Point],
    width: Duration,
    x: Axis,
    y: Axis,
}

impl OverTime<'_> {
    fn x(&self, point: &Point) -> f64 {
        WIDTH * self.x.place(nanos(point.at + self.width / 2))
    }

    fn y(&self, nanos: f64) -> f64 {
        HEIGHT * (1.0 - self.y.place(nanos))
    }

    /// Each stretch of points that have a value, without a hole.
    fn stretches<T>(&self, value: impl Fn(&Point) -> Option<T>) -> Vec<Vec<(f64, T)>> {
        let mut stretches: Vec<Vec<(f64, T)>> = Vec::new();
        let mut before: Option<Duration> = None;
        for point in self.points {
            let value = value(point);
            let near = before.is_some_and(|at| self.width.is_zero() || point.at <= at + self.width * 3);
            before = value.is_some().then_some(point.at);
            match (value, stretches.last_mut()) {
                (Some(value), Some(stretch)) if near => stretch.push((self.x(point), value)),
                (Some(value), _) => stretches.push(vec![(self.x(point), value)]),
                (None, _) => {}
            }
        }
        stretches
    }

    /// From the least to the greatest round trip of each point.
    fn band(&self) -> Pen {
        let mut pen = Pen::default();
        for stretch in self.stretches(|point| point.rtt) {
            stretch.iter().for_each(|(x, (_, most))| pen.to(*x, self.y(nanos(*most))));
            stretch.iter().rev().for_each(|(x, (least, _))| pen.to(*x, self.y(nanos(*least))));
            pen.close();
        }
        pen
    }

    fn curve(&self, value: impl Fn(&Point) -> Option<f64>) -> Pen {
        let mut pen = Pen::default();
        for stretch in self.stretches(value) {
            stretch.iter().for_each(|(x, value)| pen.to(*x, self.y(*value)));
            pen.lift();
        }
        pen
    }

    fn dots(&self, value: impl Fn(&Point) -> Option<f64>) -> Pen {
        let mut pen = Pen::default();
        for point in self.points {
            value(point).into_iter().for_each(|value| pen.dot(self.x(point), self.y(value)));
        }
        pen
    }

    fn draw(&self) -> Drawing {
        let mut drawing = Drawing::default();
        let single = self.width.is_zero();
        let many = MANY <= self.points.len();
        let line = if many { "line thin" } else { "line" };
        if single {
            drawing.path("line faint rtt", &self.curve(greatest));
        } else {
            drawing.path("band rtt", &self.band());
        }
        for (class, value) in [("up", up as fn(&Point) -> Option<f64>), ("down", down)] {
            drawing.path(&format!("{line} {class}"), &self.curve(value));
        }
        if single {
            let size = if many { "dots small" } else { "dots" };
            drawing.path(&format!("{size} rtt"), &self.dots(greatest));
        }
        let (span, delay) = (Unit::for_span(self.x.high()), Unit::for_delay(self.y.high() / 10.0));
        for point in self.points {
            drawing.reading(self.x(point), &reading(point, span, delay));
        }
        drawing
    }

    /// What was lost: as high as so much of it was.
    fn lane(&self) -> Option<Lane> {
        let share = |point: &Point| point.lost as f64 / (point.lost + point.answered).max(1) as f64;
        let most = self.points.iter().map(share).fold(0.0, f64::max);
        let mut pen = Pen::default();
        for point in self.points.iter().filter(|point| point.lost != 0) {
            pen.to(self.x(point), LANE);
            pen.to(self.x(point), (LANE - 3.0) * (1.0 - share(point) / most));
            pen.lift();
        }
        let mut drawing = Drawing::default();
        drawing.path("losses", &pen);
        (0.0 < most).then_some(Lane { drawing })
    }
}

fn greatest(point: &Point) -> Option<f64> {
    point.rtt.map(|(_, most)| nanos(most))
}

fn up(point: &Point) -> Option<f64> {
    point.up.map(|nanos| nanos as f64)
}

fn down(point: &Point) -> Option<f64> {
    point.down.map(|nanos| nanos as f64)
}

fn nanos(span: Duration) -> f64 {
    span.as_nanos() as f64
}

/// What is known of a point.
fn reading(point: &Point, span: Unit, delay: Unit) -> String {
    let mut text = format!("{} {}:", span.brief(nanos(point.at)), span.name);
    if let Some((least, most)) = point.rtt.map(|(least, most)| (nanos(least), nanos(most))) {
        let _ = match least < most {
            true => write!(text, " rtt {} to {}", delay.brief(least), delay.brief(most)),
            false => write!(text, " rtt {}", delay.brief(most)),
        };
        for (name, way) in [("up", up(point)), ("down", down(point))] {
            text += &way.map_or_else(String::new, |way| format!(", {name} {}", delay.brief(way)));
        }
        let _ = write!(text, " {}", delay.name);
    }
    match (point.answered, point.lost) {
        (_, 0) => {}
        (0, 1) => text.push_str(" lost"),
        (answered, lost) => text += &format!(" {lost} of {} lost", answered + lost),
    }
    text
}

fn over_time<'a>(id: &'a str, report: &PingReport) -> Figure<'a> {
    let (points, width) = (report.series.points(), report.series.width());
    let end = points.last().map_or(Duration::ZERO, |last| last.at + width);
    let ways = points.iter().flat_map(|point| [up(point), down(point)]).flatten();
    let time = OverTime { points, width, x: Axis::linear(0.0, nanos(end).max(1e3)), y: delays(report, ways) };
    let (span, single) = (Unit::for_span(time.x.high()), width.is_zero());
    let mut keys =
        vec![("rtt", if single { "round trip" } else { "round trip, least to greatest" }.to_owned())];
    if points.iter().any(|point| point.up.is_some()) {
        let most = if single { "" } else { ", greatest" };
        let beyond = if report.clock.relation == ClockRelation::Free { ", beyond the quickest" } else { "" };
        keys.extend([("up", format!("up{most}{beyond}")), ("down", format!("down{most}{beyond}"))]);
    }
    let lane = time.lane();
    if lane.is_some() {
        let share = if single { "" } else { ", the higher the more of the calls" };
        keys.push(("lost", format!("lost{share}")));
    }
    Figure {
        id,
        title: "Round trips over time",
        about: format!(
            "{} points over {} {}; the round trips are between {}. {} calls were lost.",
            points.len(),
            span.brief(time.x.high()),
            span.name,
            between(&report.rtt.delay),
            report.lost.total(),
        ),
        keys,
        along: labels(&time.x, TICKS_ALONG, span),
        up: delay_labels(&time.y, TICKS),
        scale: scale(&time.y),
        drawing: time.draw(),
        lane,
    }
}

/// An axis for the delays of a report: from zero, unless they differ so much that little would be seen.
fn delays(report: &PingReport, others: impl Iterator<Item = f64>) -> Axis {
    let rtt = &report.rtt.delay;
    let [min, p99, max] =
        [rtt.min(), rtt.rank(99.0), rtt.max()].map(|nanos| nanos.unwrap_or(0).max(1) as f64);
    let others: Vec<f64> = others.collect();
    let high = others.iter().copied().fold(max, f64::max);
    if LOG_FROM * min < p99 || LOG_FROM * p99 < max {
        let positive = others.into_iter().filter(|value| 0.0 < *value).fold(min, f64::min);
        return Axis::log(positive.max(floor(rtt)), high);
    }
    Axis::rounded(others.into_iter().fold(0.0, f64::min), high, TICKS)
}

/// Where a logarithmic axis begins at the lowest: a few times that are almost none are not to stretch it.
fn floor(times: &Distribution) -> f64 {
    times.rank(1.0).unwrap_or(0).max(1) as f64 / 10.0
}

fn between(times: &Distribution) -> String {
    let [min, max] = [times.min(), times.max()].map(|nanos| nanos.unwrap_or(0) as f64);
    let unit = Unit::for_delay(min);
    format!("{} and {} {}", unit.brief(min), unit.brief(max), unit.name)
}

fn scale(axis: &Axis) -> &'static str {
    if axis.is_log() { "logarithmic scale" } else { "" }
}

fn labels(axis: &Axis, most: usize, unit: Unit) -> Vec<(f64, String)> {
    let label = |nanos: f64| match nanos {
        0.0 => "0".to_owned(),
        _ => format!("{} {}", unit.plain(nanos), unit.name),
    };
    axis.ticks(most).into_iter().map(|tick| (axis.place(tick), label(tick))).collect()
}

/// The ticks of an axis of delays: in one unit, or each in its own, if they differ much.
fn delay_labels(axis: &Axis, most: usize) -> Vec<(f64, String)> {
    if !axis.is_log() {
        return labels(axis, most, Unit::for_delay(axis.high() * 0.999));
    }
    let label = |tick: f64| {
        let unit = Unit::for_delay(tick * 1.001);
        (axis.place(tick), format!("{} {}", unit.plain(tick), unit.name))
    };
    axis.ticks(most).into_iter().map(label).collect()
}

/// How often which times were measured.
fn distribution<'a>(id: &'a str, times: &Distribution) -> Figure<'a> {
    let [min, max] = [times.min(), times.max()].map(|nanos| nanos.unwrap_or(0).max(1) as f64);
    // A little more, so that the greatest is within the last bar.
    let x = Axis::log(min.max(floor(times)), (max * 1.001).max(min + 1.0));
    let bars = bars(times, &x);
    let most = bars.iter().max().copied().unwrap_or(0);
    let percent = |count: u64| count as f64 / times.count().max(1) as f64 * 100.0;
    let y = Axis::rounded(0.0, percent(most), TICKS);
    let mut drawing = Drawing::default();
    let mut pen = Pen::default();
    let unit = Unit::for_delay(x.low());
    for (number, &count) in bars.iter().enumerate().filter(|(_, count)| **count != 0) {
        let [from, to] = [number, number + 1].map(|edge| edge as f64 / bars.len() as f64);
        // However few there are, they are seen.
        let top = (HEIGHT * (1.0 - y.place(percent(count)))).min(HEIGHT - 1.5);
        for (x, y) in [(from, HEIGHT), (from, top), (to, top), (to, HEIGHT)] {
            pen.to(WIDTH * x, y);
        }
        pen.close();
        // What is below the axis is in the first.
        let least = unit.brief(if number == 0 { min } else { x.value(from) });
        let greatest = unit.brief(x.value(to));
        let text = format!("{least} to {greatest} {}: {count} calls, {:.3} %", unit.name, percent(count));
        drawing.reading(WIDTH * (from + to) / 2.0, &text);
    }
    drawing.path("bars rtt", &pen);
    mark(&mut drawing, times, &x);
    Figure {
        id,
        title: "Distribution of the round trips",
        about: format!(
            "{} round trips between {}, in {} bars; the highest has {:.1} percent.",
            times.count(),
            between(times),
            bars.len(),
            percent(most),
        ),
        keys: Vec::new(),
        along: delay_labels(&x, TICKS_ALONG),
        up: y.ticks(TICKS).into_iter().map(|tick| (y.place(tick), format!("{} %", plain(tick)))).collect(),
        scale: scale(&x),
        drawing,
        lane: None,
    }
}

/// How many times there are in each of the bars that an axis has.
fn bars(times: &Distribution, axis: &Axis) -> Vec<u64> {
    let apart = (axis.high() / axis.low()).ln() / BAR_MIN;
    // Few calls make few bars.
    let wanted = (times.count() as f64).sqrt() * 2.0;
    let number = wanted.clamp(8.0, BARS).min(apart).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and BARS")]
    let mut bars = vec![0; number as usize];
    for recorded in times.histogram().iter_recorded() {
        let place = axis.place(recorded.value_iterated_to() as f64) * bars.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places are from 0 to 1")]
        let bar = (place as usize).min(bars.len() - 1);
        bars[bar] += recorded.count_since_last_iteration();
    }
    bars
}

/// IpOptions the middle and the slowest hundredth.
fn mark(drawing: &mut Drawing, times: &Distribution, x: &Axis) {
    let mut pen = Pen::default();
    for (of_100, class, name) in [(50.0, "mark before", "p50"), (99.0, "mark", "p99")] {
        if let Some(nanos) = times.percentile(of_100) {
            let place = x.place(nanos as f64);
            pen.to(WIDTH * place, -14.0);
            pen.to(WIDTH * place, HEIGHT);
            pen.lift();
            drawing.marks.push((place, class, name.to_owned()));
        }
    }
    drawing.path("line mark", &pen);
}

/// What so much of all did not exceed.
fn percentiles<'a>(id: &'a str, report: &PingReport) -> Figure<'a> {
    let curves = [
        ("rtt", "round trip", &report.rtt.delay),
        ("up", "up", &report.up.delay),
        ("down", "down", &report.down.delay),
    ];
    let curves: Vec<_> = curves.into_iter().filter(|(.., times)| times.count() != 0).collect();
    let ends = curves.iter().flat_map(|(.., times)| [times.min(), times.max()]).flatten();
    let y = delays(report, ends.map(|nanos| nanos as f64));
    let x = Axis::nines(report.rtt.delay.count());
    let mut drawing = Drawing::default();
    let shares = shares(&x);
    for (class, _, times) in curves.iter().rev() {
        let mut pen = Pen::default();
        for &share in &shares {
            pen.to(WIDTH * x.place(share), HEIGHT * (1.0 - y.place(at(times, share))));
        }
        drawing.path(&format!("line strong {class}"), &pen);
    }
    let unit = Unit::for_delay(y.high() / 10.0);
    for &share in &shares {
        let told = curves.iter().map(|(class, _, times)| format!("{class} {}", unit.brief(at(times, share))));
        let told = told.collect::<Vec<_>>().join(", ");
        drawing.reading(WIDTH * x.place(share), &format!("{} %: {told} {}", percent(share), unit.name));
    }
    let told = x.ticks(TICKS).into_iter().map(|share| {
        format!("{} percent within {}", percent(share), unit.brief(at(&report.rtt.delay, share)))
    });
    Figure {
        id,
        title: "Percentiles: what so many of 100 calls did not exceed",
        about: format!("Of the round trips: {} {}.", told.collect::<Vec<_>>().join(", "), unit.name),
        keys: curves.iter().map(|(class, name, _)| (*class, (*name).to_owned())).collect(),
        along: x
            .ticks(TICKS)
            .into_iter()
            .map(|tick| (x.place(tick), format!("{} %", percent(tick))))
            .collect(),
        up: delay_labels(&y, TICKS),
        scale: scale(&y),
        drawing,
        lane: None,
    }
}

fn at(times: &Distribution, share: f64) -> f64 {
    times.rank(share * 100.0).unwrap_or(0) as f64
}

/// The shares at which a curve is drawn.
fn shares(x: &Axis) -> Vec<f64> {
    let nines = -(1.0 - x.high()).log10();
    let number = (nines * POINTS_A_NINE).ceil().clamp(20.0, 1000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 20 and 1000")]
    (0..=number as u32).map(|step| x.value(f64::from(step) / number)).collect()
}

/// A share as a percentage, with as many digits as tell it from 100.
fn percent(share: f64) -> String {
    let digits = (-(1.0 - share).log10() - 1.0).ceil().clamp(0.0, 12.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 12")]
    let text = format!("{:.*}", digits as usize, share * 100.0);
    plain(text.parse().unwrap_or(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_apart_from_all() {
        assert_eq!([0.5, 0.9, 0.99, 0.999, 0.999_999_9].map(percent), ["50", "90", "99", "99.9", "99.99999"]);
        assert_eq!(percent(0.0), "0");
    }

    #[test]
    fn a_pen_writes_short_ways() {
        let mut pen = Pen::default();
        pen.to(0.0, 1.26);
        pen.to(10.04, 2.0);
        pen.dot(3.0, 4.0);
        assert_eq!(pen.way, "M0 1.3L10 2M3 4h0");
    }

    #[test]
    fn a_curve_has_points_enough_and_not_too_many() {
        for count in [1, 10, 1000, 1_000_000_000, u64::MAX] {
            assert!((20..=1001).contains(&shares(&Axis::nines(count)).len()));
        }
    }
}
