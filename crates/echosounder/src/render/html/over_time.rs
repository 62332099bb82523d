//! A figure of values over time: lines, dots or a band, with a lane of losses below.

use jiff::ZonedDateTime;

use super::axis::Axis;
use super::scales::{Scales, TICKS_ALONG, TICKS_UP, delay_labels, unit_labels};
use super::svg::{Drawing, Figure, HEIGHT, LANE_HEIGHT, Labels, Layer, Pen, Scale, WIDTH};
use super::wall_clock;
use crate::render::numbers::{Unit, plain, rate};

/// From this number of points on, lines are thin and dots are small.
const MANY: usize = 100;

/// Pixels between the highest loss and the top of the lane.
const LANE_MARGIN: f64 = 3.0;

/// A figure of values over time.
pub(crate) struct OverTime {
    pub(crate) id: String,
    pub(crate) title: &'static str,
    pub(crate) description: String,
    /// In the order of time.
    pub(crate) points: Vec<Point>,
    /// Each curve has a value for each point.
    pub(crate) curves: Vec<Curve>,
    /// The end of the time axis in nanoseconds.
    pub(crate) span: f64,
    /// The longest distance of two points in nanoseconds that a line crosses; `None` means any
    /// distance.
    pub(crate) gap: Option<f64>,
    /// The time of day at which the axis begins. Without it, the axis shows elapsed time.
    pub(crate) start: Option<ZonedDateTime>,
    /// The name of the losses in the legend.
    pub(crate) lost: &'static str,
}

/// A moment, or a short span of time.
pub(crate) struct Point {
    /// Nanoseconds from the beginning of the axis.
    pub(crate) at: f64,
    /// The share of requests that were lost, from 0 to 1.
    pub(crate) lost: f64,
    /// What the readout shows behind the time.
    pub(crate) reading: String,
}

/// Values that belong together.
pub(crate) struct Curve {
    /// The class of its colour: `first`, `second`, `third` or `refused`.
    pub(crate) class: &'static str,
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) values: Vec<Option<f64>>,
}

/// How a curve is drawn.
pub(crate) enum Shape {
    Line,
    /// A dot for each value, and a faint line.
    Dots,
    /// A square for each value.
    Squares,
    /// An area from these lower values up to the values of the curve.
    Band(Vec<Option<f64>>),
}

/// A position on the page and a value.
type Spot<T> = (f64, T);

impl OverTime {
    /// Returns the figure of delays in nanoseconds.
    pub(crate) fn delays(&self, times: &echosounder_client::Distribution) -> Figure {
        let scales = Scales::new(times, self.values());
        let [first, second] = scales.in_order().map(|(scale, axis)| {
            let readings = scale == scales.preferred;
            self.layer(scale, axis, delay_labels(&axis, TICKS_UP), readings)
        });
        self.figure((first, Some(second)))
    }

    /// Returns the figure of rates per second.
    pub(crate) fn rates(&self) -> Figure {
        let axis = Axis::rounded(0.0, self.values().fold(0.0, f64::max), TICKS_UP);
        let label = |tick: f64| (axis.position(tick), rate_label(tick));
        let up = axis.ticks(TICKS_UP).into_iter().map(label).collect();
        self.figure((self.layer(Scale::Linear, axis, up, true), None))
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.curves.iter().flat_map(|curve| curve.values.iter().flatten().copied())
    }

    fn figure(&self, layers: (Layer, Option<Layer>)) -> Figure {
        let mut legend: Vec<_> = self.curves.iter().map(|curve| (curve.class, curve.name.clone())).collect();
        let lane = self.lane();
        if lane.is_some() {
            legend.push(("lost", self.lost.to_owned()));
        }
        let zone = self.start.as_ref().filter(|_| !self.wall_clock_labels().is_empty()).map(wall_clock::zone);
        Figure {
            id: self.id.clone(),
            title: self.title,
            description: self.description.clone(),
            legend,
            remark: zone.unwrap_or_default(),
            layers,
            lane,
        }
    }

    fn layer(&self, scale: Scale, axis: Axis, up: Labels, readings: bool) -> Layer {
        let mut drawing = Drawing::default();
        for curve in self.curves.iter().filter(|curve| !matches!(curve.shape, Shape::Squares)) {
            self.draw(&mut drawing, curve, &axis);
        }
        for curve in &self.curves {
            match curve.shape {
                Shape::Dots => self.draw_dots(&mut drawing, curve, "dots", &axis),
                Shape::Squares => self.draw_dots(&mut drawing, curve, "dots squares", &axis),
                Shape::Line | Shape::Band(_) => {}
            }
        }
        for point in self.points.iter().filter(|_| readings) {
            drawing.reading(self.x(point.at), &self.reading(point));
        }
        Layer { scale, along: self.time_labels(), up, drawing }
    }

    fn x(&self, at: f64) -> f64 {
        WIDTH * self.time_axis().position(at)
    }

    fn time_axis(&self) -> Axis {
        Axis::linear(0.0, self.span.max(1e3))
    }

    fn time_labels(&self) -> Labels {
        match self.wall_clock_labels() {
            labels if labels.is_empty() => {
                unit_labels(&self.time_axis(), TICKS_ALONG, Unit::for_span(self.span))
            }
            labels => labels,
        }
    }

    fn wall_clock_labels(&self) -> Labels {
        let ticks = self.start.iter().flat_map(|start| wall_clock::ticks(start, self.span, TICKS_ALONG));
        ticks.map(|(at, label)| (self.time_axis().position(at), label)).collect()
    }

    fn reading(&self, point: &Point) -> String {
        let unit = Unit::for_span(self.span);
        let elapsed = format!("{} {}", unit.brief(point.at), unit.name);
        let time = self.start.as_ref().and_then(|start| wall_clock::reading(start, point.at, self.span));
        let time = time.map_or_else(|| elapsed.clone(), |time| format!("{time} (+{elapsed})"));
        format!("{time}: {}", point.reading)
    }

    /// Returns the stretches of values without a gap.
    fn stretches<T: Copy>(&self, values: &[Option<T>]) -> Vec<Vec<Spot<T>>> {
        let mut stretches: Vec<Vec<Spot<T>>> = Vec::new();
        let mut before: Option<f64> = None;
        for (point, value) in self.points.iter().zip(values) {
            let is_near = before.is_some_and(|at| self.gap.is_none_or(|gap| point.at <= at + gap));
            before = value.is_some().then_some(point.at);
            let Some(value) = *value else { continue };
            match stretches.last_mut() {
                Some(stretch) if is_near => stretch.push((self.x(point.at), value)),
                _ => stretches.push(vec![(self.x(point.at), value)]),
            }
        }
        stretches
    }

    fn draw(&self, drawing: &mut Drawing, curve: &Curve, axis: &Axis) {
        let y = |value: f64| HEIGHT * (1.0 - axis.position(value));
        let mut pen = Pen::default();
        if let Shape::Band(low) = &curve.shape {
            let ranges: Vec<Option<(f64, f64)>> =
                low.iter().zip(&curve.values).map(|(low, high)| low.zip(*high)).collect();
            for stretch in self.stretches(&ranges) {
                stretch.iter().for_each(|(x, (_, high))| pen.to(*x, y(*high)));
                stretch.iter().rev().for_each(|(x, (low, _))| pen.to(*x, y(*low)));
                pen.close();
            }
            return drawing.path(&format!("band {}", curve.class), &pen);
        }
        for stretch in self.stretches(&curve.values) {
            stretch.iter().for_each(|(x, value)| pen.to(*x, y(*value)));
            pen.lift();
        }
        let weight = match curve.shape {
            Shape::Dots => " faint",
            _ if MANY <= self.points.len() => " thin",
            _ => "",
        };
        drawing.path(&format!("line{weight} {}", curve.class), &pen);
    }

    fn draw_dots(&self, drawing: &mut Drawing, curve: &Curve, kind: &str, axis: &Axis) {
        let mut pen = Pen::default();
        for (point, value) in self.points.iter().zip(&curve.values) {
            if let Some(value) = value {
                pen.dot(self.x(point.at), HEIGHT * (1.0 - axis.position(*value)));
            }
        }
        let size = if MANY <= self.points.len() { " small" } else { "" };
        drawing.path(&format!("{kind}{size} {}", curve.class), &pen);
    }

    /// Returns the losses, each as high as its share compared with the greatest share; `None` if
    /// there are none.
    fn lane(&self) -> Option<Drawing> {
        let most = self.points.iter().map(|point| point.lost).fold(0.0, f64::max);
        let mut pen = Pen::default();
        for point in self.points.iter().filter(|point| point.lost != 0.0) {
            let x = self.x(point.at);
            pen.line((x, LANE_HEIGHT), (x, (LANE_HEIGHT - LANE_MARGIN) * (1.0 - point.lost / most)));
        }
        let mut drawing = Drawing::default();
        drawing.path("losses", &pen);
        (0.0 < most).then_some(drawing)
    }
}

/// Returns the label of a round rate per second, with no more digits than it has.
fn rate_label(tick: f64) -> String {
    match tick {
        0.0 => "0".to_owned(),
        _ if tick < 10.0 => format!("{}/s", plain(tick)),
        _ => format!("{}/s", rate(tick)),
    }
}
