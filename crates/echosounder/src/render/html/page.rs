//! The frame of a report, and the parts that reports share: tiles, tables and notes.

use std::io::{self, Write};

use echosounder_client::Distribution;
use jiff::ZonedDateTime;

use super::markup::Text;
use crate::render::numbers::{Unit, delay};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// A browser that shows the report loads nothing, even if the report contains hostile text.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Returns the title of a report: the command, when it began, and whether it is an interim report.
pub(crate) fn title(command: &str, started: &ZonedDateTime, is_interim: bool) -> String {
    let interim = if is_interim { " (interim report)" } else { "" };
    format!("{command}, {}{interim}", started.strftime("%F %T %:z"))
}

/// Writes a page with this content.
pub(crate) fn write(
    out: &mut dyn Write,
    title: &str,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let title = Text(title);
    writeln!(out, r#"<!DOCTYPE html><html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head>"#)?;
    writeln!(
        out,
        r#"<meta charset="utf-8"/><meta http-equiv="Content-Security-Policy" content="{POLICY}"/>"#
    )?;
    writeln!(out, r#"<meta name="viewport" content="width=device-width, initial-scale=1"/>"#)?;
    writeln!(out, "<title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>")?;
    writeln!(out, "<h1><bdi>{title}</bdi></h1>")?;
    content(out)?;
    writeln!(out, "</main><footer><p>Made by echosounder {}.</p></footer>", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "<script>\n{SCRIPT}</script></body></html>")
}

/// A value in large type.
pub(crate) struct Tile {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) is_bad: bool,
}

impl Tile {
    pub(crate) fn new(name: &'static str, value: String) -> Self {
        Self { name, value, is_bad: false }
    }

    pub(crate) fn delay(name: &'static str, nanos: Option<i64>) -> Self {
        Self::new(name, nanos.map_or_else(none, |nanos| delay(nanos as f64)))
    }
}

/// Returns the tiles of a distribution: the median, and the 99th percentile or the maximum of a
/// small sample.
pub(crate) fn delay_tiles(times: &Distribution) -> [Tile; 2] {
    let slow = match times.percentile(99.0) {
        Some(p99) => Tile::delay("p99", Some(p99)),
        None => Tile::delay("max", times.max()),
    };
    [Tile::delay("p50", times.percentile(50.0)), slow]
}

pub(crate) fn tiles(out: &mut dyn Write, tiles: &[Tile]) -> io::Result<()> {
    writeln!(out, r#"<dl class="tiles">"#)?;
    for Tile { name, value, is_bad } in tiles {
        let class = if *is_bad { r#" class="bad""# } else { "" };
        writeln!(out, "<div><dt>{name}</dt><dd{class}>{}</dd></div>", Text(value))?;
    }
    writeln!(out, "</dl>")
}

/// Writes a paragraph in larger type.
pub(crate) fn verdict(out: &mut dyn Write, text: &str, is_bad: bool) -> io::Result<()> {
    let class = if is_bad { "verdict bad" } else { "verdict" };
    writeln!(out, r#"<p class="{class}">{}</p>"#, Text(text))
}

/// Writes names and sentences.
pub(crate) fn notes(out: &mut dyn Write, notes: &[(&str, String)]) -> io::Result<()> {
    writeln!(out, r#"<dl class="notes">"#)?;
    for (name, text) in notes {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Text(text))?;
    }
    writeln!(out, "</dl>")
}

/// Begins a table that scrolls sideways if the page is too narrow for it.
pub(crate) fn begin_table(
    out: &mut dyn Write,
    caption: &str,
    first: &str,
    columns: &[&str],
) -> io::Result<()> {
    let columns: String = columns.iter().map(|name| format!(r#"<th scope="col">{name}</th>"#)).collect();
    writeln!(out, r#"<p class="caption">{}</p>"#, Text(caption))?;
    writeln!(
        out,
        r#"<div class="scroll" tabindex="0" role="region" aria-label="{}"><table>"#,
        Text(caption)
    )?;
    writeln!(out, r#"<thead><tr><th scope="col">{first}</th>{columns}</tr></thead><tbody>"#)
}

pub(crate) fn end_table(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "</tbody></table></div>")
}

/// Writes a cell with a delay in nanoseconds.
pub(crate) fn delay_cell(out: &mut dyn Write, nanos: Option<f64>, unit: Unit) -> io::Result<()> {
    let text = nanos.map_or_else(none, |nanos| unit.measured(nanos));
    write!(out, "<td>{text}</td>")
}

/// A column of a table of distributions.
type Column = (&'static str, fn(&Distribution) -> Option<f64>);

/// The columns of a table of distributions. A column is left out if every sample is too small for
/// it.
const COLUMNS: [Column; 11] = [
    ("min", |times| times.min().map(|nanos| nanos as f64)),
    ("mean", Distribution::mean),
    ("p50", |times| times.percentile(50.0).map(|nanos| nanos as f64)),
    ("p90", |times| times.percentile(90.0).map(|nanos| nanos as f64)),
    ("p95", |times| times.percentile(95.0).map(|nanos| nanos as f64)),
    ("p99", |times| times.percentile(99.0).map(|nanos| nanos as f64)),
    ("p99.9", |times| times.percentile(99.9).map(|nanos| nanos as f64)),
    ("p99.99", |times| times.percentile(99.99).map(|nanos| nanos as f64)),
    ("p99.999", |times| times.percentile(99.999).map(|nanos| nanos as f64)),
    ("max", |times| times.max().map(|nanos| nanos as f64)),
    ("stddev", Distribution::stddev),
];

/// A row of a table of distributions.
pub(crate) struct Row<'a> {
    pub(crate) name: &'static str,
    pub(crate) times: &'a Distribution,
    pub(crate) jitter: Option<f64>,
}

/// Writes a table of distributions; rows without values are left out. The first row sets the unit.
pub(crate) fn distributions(out: &mut dyn Write, name: &str, rows: &[Row<'_>]) -> io::Result<()> {
    let rows: Vec<&Row<'_>> = rows.iter().filter(|row| row.times.count() != 0).collect();
    let Some(first) = rows.first() else { return Ok(()) };
    let unit = table_unit(std::iter::once(first.times));
    let has_values = |(_, value): &&Column| rows.iter().any(|row| value(row.times).is_some());
    let columns: Vec<&Column> = COLUMNS.iter().filter(has_values).collect();
    let has_jitter = rows.iter().any(|row| row.jitter.is_some());
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.extend(has_jitter.then_some("jitter"));
    begin_table(out, &format!("{name}, in {}", unit.name), "", &names)?;
    for row in rows {
        write!(out, r#"<tr><th scope="row">{}</th>"#, row.name)?;
        columns.iter().try_for_each(|(_, value)| delay_cell(out, value(row.times), unit))?;
        match (row.jitter, has_jitter) {
            (_, false) => {}
            (None, true) => write!(out, "<td></td>")?,
            (jitter, true) => delay_cell(out, jitter, unit)?,
        }
        writeln!(out, "</tr>")?;
    }
    end_table(out)
}

/// Returns the unit of a table: the one that fits the smallest median.
pub(crate) fn table_unit<'a>(times: impl Iterator<Item = &'a Distribution>) -> Unit {
    let median = times.filter_map(|times| times.rank(50.0)).min();
    // Below a tenth of a millisecond, three decimals of a millisecond are too few.
    Unit::for_delay(median.map_or(1e6, |nanos| nanos as f64 * 10.0).max(1e3))
}

/// What stands in place of a missing value.
fn none() -> String {
    "–".to_owned()
}
