//! The page of a ping: one file that needs nothing else, for a browser or for paper.
//!
//! It is both HTML and XML, so that a parser can tell whether it is well-formed. It is whole without its script.

mod axis;
mod figure;
mod markup;
mod prose;

use std::io::{self, Write};

use echosounder_client::{Distribution, PingReport};

use self::markup::Text;
use super::numbers::{Unit, delay, grouped, percentage_of};
use super::ping;

const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// Whatever the page says, a browser that shows it loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// A target on the page.
pub(crate) struct Target<'a> {
    /// Whom the calls went to.
    pub(crate) endpoint: &'a str,
    /// How it was found; none if nobody could be reached.
    pub(crate) about: Option<&'a ping::target::Target>,
    /// What came of them; none if nobody could be reached.
    pub(crate) report: Option<&'a PingReport>,
    /// What failed, if anything did.
    pub(crate) error: Option<&'a str>,
    /// The bounds that were missed, in words.
    pub(crate) missed: &'a [String],
}

/// Writes the page. Its size is bounded, however many calls there were.
pub(crate) fn page(out: &mut impl Write, title: &str, targets: &[Target<'_>]) -> io::Result<()> {
    let title = Text(title);
    writeln!(out, r#"<!DOCTYPE html><html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head>"#)?;
    writeln!(
        out,
        r#"<meta charset="utf-8"/><meta http-equiv="Content-Security-Policy" content="{POLICY}"/>"#
    )?;
    writeln!(out, r#"<meta name="viewport" content="width=device-width, initial-scale=1"/>"#)?;
    writeln!(out, "<title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>")?;
    writeln!(out, "<h1><bdi>{title}</bdi></h1>")?;
    if 1 < targets.len() {
        comparison(out, targets)?;
    }
    for (number, target) in targets.iter().enumerate() {
        section(out, &id(number), target)?;
    }
    writeln!(out, "</main><footer><p>Made by echosounder {}.</p></footer>", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "<script>\n{SCRIPT}</script></body></html>")
}

fn id(number: usize) -> String {
    format!("target-{}", number + 1)
}

fn reports<'a>(targets: &'a [Target<'_>]) -> impl Iterator<Item = &'a PingReport> {
    targets.iter().filter_map(|target| target.report)
}

/// All targets in one table.
fn comparison(out: &mut impl Write, targets: &[Target<'_>]) -> io::Result<()> {
    let unit = unit(reports(targets).map(|report| &report.rtt.delay));
    writeln!(
        out,
        r#"<div class="scroll" tabindex="0"><table><caption>Round trips, in {}</caption>"#,
        unit.name
    )?;
    let columns = ["sent", "lost", "min", "p50", "p99", "max", "jitter"].map(column).concat();
    writeln!(out, r#"<thead><tr><th scope="col">target</th>{columns}</tr></thead><tbody>"#)?;
    for (number, target) in targets.iter().enumerate() {
        let name = Text(target.endpoint);
        write!(out, r##"<tr><td class="name"><a href="#{}"><bdi>{name}</bdi></a></td>"##, id(number))?;
        match target.report {
            Some(report) => compared(out, report, unit)?,
            None => {
                write!(out, r#"<td class="word" colspan="7">{}</td>"#, Text(target.error.unwrap_or("–")))?
            }
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn compared(out: &mut impl Write, report: &PingReport, unit: Unit) -> io::Result<()> {
    let rtt = &report.rtt.delay;
    write!(out, "<td>{}</td>{}", grouped(report.sent()), lost_cell(report))?;
    for nanos in [rtt.min(), rtt.percentile(50.0), rtt.percentile(99.0), rtt.max()] {
        cell(out, nanos.map(|nanos| nanos as f64), unit)?;
    }
    cell(out, report.rtt.jitter_ns, unit)
}

fn lost_cell(report: &PingReport) -> String {
    let class = if report.lost.total() == 0 { "" } else { r#" class="bad""# };
    format!("<td{class}>{}</td>", lost(report))
}

fn column(name: &str) -> String {
    format!(r#"<th scope="col">{name}</th>"#)
}

fn cell(out: &mut impl Write, nanos: Option<f64>, unit: Unit) -> io::Result<()> {
    let text = nanos.map_or_else(|| "–".to_owned(), |nanos| unit.measured(nanos));
    write!(out, "<td>{text}</td>")
}

fn lost(report: &PingReport) -> String {
    Text(&format!("{} %", percentage_of(report.lost.total(), report.sent()))).to_string()
}

/// The unit of a table: that in which the shortest of its usual times is told.
fn unit<'a>(times: impl Iterator<Item = &'a Distribution>) -> Unit {
    let usual = times.filter_map(|times| times.rank(50.0)).min();
    // Below a tenth of a millisecond, three digits after the point are few.
    Unit::for_delay(usual.map_or(1e6, |nanos| nanos as f64 * 10.0).max(1e3))
}

fn section(out: &mut impl Write, id: &str, target: &Target<'_>) -> io::Result<()> {
    writeln!(out, r#"<section id="{id}" aria-labelledby="{id}-name">"#)?;
    writeln!(out, r#"<h2 id="{id}-name"><bdi>{}</bdi></h2>"#, Text(target.endpoint))?;
    if let Some(about) = target.about {
        let mut header = Vec::new();
        ping::text::header(&mut header, about)?;
        writeln!(out, r#"<p class="dim">{}</p>"#, Text(String::from_utf8_lossy(&header).trim_end()))?;
    }
    if let Some(report) = target.report {
        tiles(out, report)?;
        writeln!(out, r#"<p class="verdict">{}</p>"#, prose::verdict(report))?;
    }
    if let Some(error) = target.error {
        writeln!(out, r#"<p class="verdict bad">{}</p>"#, Text(error))?;
    }
    for text in target.missed {
        writeln!(out, r#"<p class="verdict bad">Missed: {}.</p>"#, Text(text))?;
    }
    if let Some(report) = target.report {
        table(out, report)?;
        notes(out, target.about, report)?;
        if report.rtt.delay.count() != 0 {
            figure::figures(out, id, report)?;
        }
    }
    writeln!(out, "</section>")
}

/// What is to be seen at first sight.
fn tiles(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    let rtt = &report.rtt.delay;
    let time = |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| delay(nanos as f64));
    // Of fewer than a hundred, the slowest says as much.
    let slow = match rtt.percentile(99.0) {
        Some(p99) => ("p99", Some(p99)),
        None => ("max", rtt.max()),
    };
    let bad = if report.lost.total() == 0 { "" } else { r#" class="bad""# };
    writeln!(out, r#"<dl class="tiles">"#)?;
    for (name, class, value) in [
        ("sent", "", grouped(report.sent())),
        ("lost", bad, lost(report)),
        ("p50", "", time(rtt.percentile(50.0))),
        (slow.0, "", time(slow.1)),
    ] {
        writeln!(out, "<div><dt>{name}</dt><dd{class}>{value}</dd></div>")?;
    }
    writeln!(out, "</dl>")
}

/// A value that a distribution may have.
type Column = (&'static str, fn(&Distribution) -> Option<f64>);

/// What is told of each distribution, as far as there are enough times for it.
const COLUMNS: [Column; 10] = [
    ("min", |times| times.min().map(|nanos| nanos as f64)),
    ("mean", Distribution::mean),
    ("p50", |times| times.percentile(50.0).map(|nanos| nanos as f64)),
    ("p90", |times| times.percentile(90.0).map(|nanos| nanos as f64)),
    ("p95", |times| times.percentile(95.0).map(|nanos| nanos as f64)),
    ("p99", |times| times.percentile(99.0).map(|nanos| nanos as f64)),
    ("p99.9", |times| times.percentile(99.9).map(|nanos| nanos as f64)),
    ("p99.99", |times| times.percentile(99.99).map(|nanos| nanos as f64)),
    ("max", |times| times.max().map(|nanos| nanos as f64)),
    ("stddev", Distribution::stddev),
];

fn table(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    let rows = [
        ("rtt", &report.rtt.delay, Some(report.rtt.jitter_ns)),
        ("up", &report.up.delay, Some(report.up.jitter_ns)),
        ("down", &report.down.delay, Some(report.down.jitter_ns)),
        ("server", &report.server, None),
    ];
    let rows: Vec<_> = rows.into_iter().filter(|(_, times, _)| times.count() != 0).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let unit = unit([&report.rtt.delay].into_iter());
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|(_, value)| rows.iter().any(|(_, times, _)| value(times).is_some())).collect();
    let names: String = columns.iter().map(|(name, _)| column(name)).collect();
    writeln!(out, r#"<div class="scroll" tabindex="0"><table><caption>Times, in {}</caption>"#, unit.name)?;
    writeln!(out, r#"<thead><tr><th scope="col"></th>{names}{}</tr></thead><tbody>"#, column("jitter"))?;
    for (name, times, jitter) in rows {
        write!(out, r#"<tr><th scope="row">{name}</th>"#)?;
        columns.iter().try_for_each(|(_, value)| cell(out, value(times), unit))?;
        match jitter {
            Some(jitter) => cell(out, jitter, unit)?,
            None => write!(out, "<td></td>")?,
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn notes(out: &mut impl Write, about: Option<&ping::target::Target>, report: &PingReport) -> io::Result<()> {
    writeln!(out, r#"<dl class="notes">"#)?;
    for (name, text) in prose::notes(about, report) {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Text(&text))?;
    }
    writeln!(out, "</dl>")
}

#[cfg(test)]
mod tests;
