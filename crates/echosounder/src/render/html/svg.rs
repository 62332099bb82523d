//! Figures as inline SVG. Text keeps its size and lines keep their width, however wide the page is,
//! since each drawing is a nested SVG that the page stretches horizontally.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::markup::Text;

/// Width of a drawing in its own units.
pub(super) const WIDTH: f64 = 1000.0;

/// Height of a figure in pixels.
pub(super) const HEIGHT: f64 = 220.0;

/// Height of the lane below a figure in pixels.
pub(super) const LANE_HEIGHT: f64 = 14.0;

/// Pixels between the figure and the lane.
const LANE_GAP: f64 = 8.0;

/// Pixels below the figure for the labels of the horizontal axis.
const LABELS_HEIGHT: f64 = 24.0;

/// Labels at positions along an axis, from 0 to 1.
pub(super) type Labels = Vec<(f64, String)>;

/// A figure: a title, a legend, and a drawing on one scale or on two that a switch selects.
pub(crate) struct Figure {
    pub(super) id: String,
    pub(super) title: &'static str,
    /// A description of the figure in words.
    pub(super) description: String,
    /// The class and the name of each curve.
    pub(super) legend: Vec<(&'static str, String)>,
    /// A remark beside the title.
    pub(super) remark: String,
    /// The layer that is shown first, and the other one if there is a choice.
    pub(super) layers: (Layer, Option<Layer>),
    /// A drawing below the figure, on the same horizontal axis.
    pub(super) lane: Option<Drawing>,
}

/// A drawing with its axes.
pub(super) struct Layer {
    pub(super) scale: Scale,
    pub(super) along: Labels,
    pub(super) up: Labels,
    pub(super) drawing: Drawing,
}

/// The scale of an axis of delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
}

impl Scale {
    fn class(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
        }
    }
}

/// Curves, words above them, and a text for each position that the readout shows.
#[derive(Default)]
pub(super) struct Drawing {
    svg: String,
    marks: Vec<Mark>,
    readings: String,
}

/// A word above the figure at a position from 0 to 1.
struct Mark {
    position: f64,
    class: &'static str,
    text: &'static str,
}

/// The path of a pen in the units of a drawing.
#[derive(Default)]
pub(super) struct Pen {
    path: String,
    is_down: bool,
}

impl Pen {
    pub(super) fn lift(&mut self) {
        self.is_down = false;
    }

    pub(super) fn to(&mut self, x: f64, y: f64) {
        let command = if self.is_down { 'L' } else { 'M' };
        // Writing to a string does not fail.
        let _ = write!(self.path, "{command}{} {}", short(x), short(y));
        self.is_down = true;
    }

    /// Draws a line between two points and lifts the pen.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.lift();
        self.to(from.0, from.1);
        self.to(to.0, to.1);
        self.lift();
    }

    /// Draws a dot: a line without a length, whose round ends are visible.
    pub(super) fn dot(&mut self, x: f64, y: f64) {
        self.lift();
        self.to(x, y);
        self.path.push_str("h0");
        self.lift();
    }

    pub(super) fn close(&mut self) {
        self.path.push('Z');
        self.lift();
    }
}

impl Drawing {
    pub(super) fn path(&mut self, class: &str, pen: &Pen) {
        if !pen.path.is_empty() {
            let _ = write!(self.svg, r#"<path class="{class}" d="{}"/>"#, pen.path);
        }
    }

    /// Adds the text that the readout shows at a position of the pen.
    pub(super) fn reading(&mut self, x: f64, text: &str) {
        let separator = if self.readings.is_empty() { "" } else { ";" };
        let _ = write!(self.readings, "{separator}{} {}", short(x), Text(text));
    }

    pub(super) fn mark(&mut self, position: f64, class: &'static str, text: &'static str) {
        self.marks.push(Mark { position, class, text });
    }
}

impl Figure {
    /// Writes the figure.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { id, title, description, layers: (first, second), lane, .. } = self;
        writeln!(out, r#"<figure data-scale="{}">"#, first.scale.class())?;
        self.write_caption(out)?;
        let low = if lane.is_some() { HEIGHT + LANE_GAP + LANE_HEIGHT } else { HEIGHT };
        writeln!(out, r#"<div class="plot" data-low="{low}">"#)?;
        writeln!(
            out,
            r#"<svg role="img" width="100%" height="{}" aria-labelledby="{id}-title {id}-description">"#,
            low + LABELS_HEIGHT
        )?;
        writeln!(
            out,
            r#"<title id="{id}-title">{}</title><desc id="{id}-description">{}</desc>"#,
            Text(title),
            Text(description)
        )?;
        first.write(out, low)?;
        second.as_ref().map_or(Ok(()), |second| second.write(out, low))?;
        if let Some(lane) = lane {
            writeln!(out, r#"<text class="side lost" x="-8" y="{}">lost</text>"#, low - 3.0)?;
            write_canvas(out, low - LANE_HEIGHT, LANE_HEIGHT, &lane.svg)?;
        }
        writeln!(out, "</svg></div>\n</figure>")
    }

    fn write_caption(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<figcaption><h3>{}</h3>", Text(self.title))?;
        if 1 < self.legend.len() {
            let item = |(class, name): &(_, String)| format!(r#"<li class="{class}">{}</li>"#, Text(name));
            let items: String = self.legend.iter().map(item).collect();
            writeln!(out, r#"<ul class="legend">{items}</ul>"#)?;
        }
        if !self.remark.is_empty() {
            writeln!(out, r#"<span class="dim">{}</span>"#, Text(&self.remark))?;
        }
        // The script replaces it with a switch if there is a choice.
        if self.layers.0.scale == Scale::Log {
            writeln!(out, r#"<span class="dim scale">logarithmic scale</span>"#)?;
        }
        writeln!(out, "</figcaption>")
    }
}

impl Layer {
    fn write(&self, out: &mut dyn Write, low: f64) -> io::Result<()> {
        let Drawing { svg, marks, readings } = &self.drawing;
        // The script reads those of the other layer if this one has none of its own.
        let readings = match readings.as_str() {
            "" => String::new(),
            readings => format!(r#" data-readings="{readings}""#),
        };
        writeln!(out, r#"<g class="{}"{readings}>"#, self.scale.class())?;
        self.write_ticks(out, low)?;
        write_canvas(out, 0.0, HEIGHT, svg)?;
        for Mark { position, class, text } in marks {
            let dx = if *class == "mark before" { -4 } else { 4 };
            let x = position * 100.0;
            writeln!(out, r#"<text class="{class}" x="{x:.2}%" y="-8" dx="{dx}">{text}</text>"#)?;
        }
        writeln!(out, "</g>")
    }

    fn write_ticks(&self, out: &mut dyn Write, low: f64) -> io::Result<()> {
        let mut grid = Pen::default();
        for (position, label) in &self.up {
            let y = HEIGHT * (1.0 - position);
            grid.line((0.0, y), (WIDTH, y));
            writeln!(out, r#"<text class="side" x="-8" y="{}">{}</text>"#, short(y + 4.0), Text(label))?;
        }
        for (number, (position, label)) in self.along.iter().enumerate() {
            grid.line((WIDTH * position, 0.0), (WIDTH * position, HEIGHT));
            // A narrow page shows every second label.
            let optional = if 3 < self.along.len() && number % 2 == 1 { " optional" } else { "" };
            writeln!(
                out,
                r#"<text class="along{optional}" x="{:.2}%" y="{}">{}</text>"#,
                position * 100.0,
                low + 18.0,
                Text(label)
            )?;
        }
        write_canvas(out, 0.0, HEIGHT, &format!(r#"<path class="grid" d="{}"/>"#, grid.path))
    }
}

/// Writes a drawing that the page stretches horizontally but not vertically.
fn write_canvas(out: &mut dyn Write, y: f64, height: f64, svg: &str) -> io::Result<()> {
    writeln!(
        out,
        r#"<svg y="{y}" width="100%" height="{height}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none">{svg}</svg>"#
    )
}

/// Returns a coordinate with at most one decimal.
fn short(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pen_writes_short_paths() {
        let mut pen = Pen::default();
        pen.to(0.0, 1.26);
        pen.to(10.04, 2.0);
        pen.dot(3.0, 4.0);
        pen.line((0.0, 5.0), (1.0, 5.0));
        assert_eq!(pen.path, "M0 1.3L10 2M3 4h0M0 5L1 5");
    }
}
