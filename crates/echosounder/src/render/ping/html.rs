//! The HTML report of `sounder ping`: a table that compares the targets, then for each target its
//! main values, a verdict, a table of delays and three figures.

use std::io::{self, Write};

use echosounder_client::{ClockRelation, Distribution, PingReport, TimestampSupport};
use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use super::target::Target;
use super::text;
use crate::render::html::distribution::{self, Texts};
use crate::render::html::over_time::{Curve, OverTime, Point, Shape};
use crate::render::html::page::{self, Row, Tile};
use crate::render::html::{Text, percentiles, range, zoned};
use crate::render::numbers::{self, Unit, counted, delay, grouped, nanos, percentage_of};
use crate::render::prose::{self, capitalized, median_and_max};

/// The result of a target, or its error.
pub(crate) struct Measured<'a> {
    /// The endpoint as it was typed.
    pub(crate) endpoint: &'a str,
    /// The target, if it was resolved.
    pub(crate) target: Option<&'a Target>,
    /// The report, if the target was measured.
    pub(crate) report: Option<&'a PingReport>,
    /// The error, if the target failed.
    pub(crate) error: Option<&'a str>,
    /// The thresholds that were missed, in words.
    pub(crate) missed: &'a [String],
}

/// Writes the page. Its size is bounded, however many requests were sent. Times of the day are in
/// `zone`.
pub(crate) fn page(
    out: &mut dyn Write,
    title: &str,
    zone: &TimeZone,
    targets: &[Measured<'_>],
    path_mtus: &[String],
) -> io::Result<()> {
    page::write(out, title, |out| {
        if 1 < targets.len() {
            write_comparison(out, targets)?;
        }
        path_mtus
            .iter()
            .try_for_each(|path| page::verdict(out, &format!("{}.", capitalized(path)), false))?;
        let mut sections = targets.iter().enumerate();
        sections.try_for_each(|(number, target)| write_section(out, &id(number), zone, target))
    })
}

fn id(number: usize) -> String {
    format!("target-{}", number + 1)
}

/// Writes a table with a row for each target.
fn write_comparison(out: &mut dyn Write, targets: &[Measured<'_>]) -> io::Result<()> {
    let reports = targets.iter().filter_map(|target| target.report);
    let unit = page::table_unit(reports.map(|report| &report.rtt.delay));
    let has_refused =
        targets.iter().filter_map(|target| target.report).any(|report| report.lost.refused != 0);
    let mut columns = vec!["sent", "lost", "min", "p50", "+p50", "p99", "max", "jitter"];
    if has_refused {
        columns.insert(2, "refused");
    }
    let base = targets.first().and_then(|target| median(target.report?));
    page::begin_table(out, &format!("Round trips, in {}", unit.name), "target", &columns)?;
    for (number, target) in targets.iter().enumerate() {
        let name = Text(target.endpoint);
        write!(
            out,
            r##"<tr><th scope="row" class="name"><a href="#{}"><bdi>{name}</bdi></a></th>"##,
            id(number)
        )?;
        match target.report {
            Some(report) => write_compared(out, report, has_refused, base.filter(|_| number != 0), unit)?,
            None => {
                let error = Text(target.error.unwrap_or("–"));
                write!(out, r#"<td class="word" colspan="{}">{error}</td>"#, columns.len())?;
            }
        }
        writeln!(out, "</tr>")?;
    }
    page::end_table(out)
}

/// Returns the median of the round-trip times in nanoseconds.
fn median(report: &PingReport) -> Option<f64> {
    report.rtt.delay.percentile(50.0).map(|nanos| nanos as f64)
}

/// Writes the cells of a target, and the difference of its median to that of the first target.
fn write_compared(
    out: &mut dyn Write,
    report: &PingReport,
    has_refused: bool,
    base: Option<f64>,
    unit: Unit,
) -> io::Result<()> {
    let rtt = &report.rtt.delay;
    let class = if report.lost.total() == 0 { "" } else { r#" class="bad""# };
    write!(out, "<td>{}</td><td{class}>{}</td>", grouped(report.sent()), Text(&percent_lost(report)))?;
    if has_refused {
        write!(out, "<td>{}</td>", grouped(report.lost.refused))?;
    }
    let median = median(report);
    page::delay_cell(out, rtt.min().map(|nanos| nanos as f64), unit)?;
    page::delay_cell(out, median, unit)?;
    page::delay_cell(out, median.zip(base).map(|(median, base)| median - base), unit)?;
    for nanos in [rtt.percentile(99.0), rtt.max()] {
        page::delay_cell(out, nanos.map(|nanos| nanos as f64), unit)?;
    }
    page::delay_cell(out, report.rtt.jitter_ns, unit)
}

fn percent_lost(report: &PingReport) -> String {
    format!("{} %", percentage_of(report.lost.total(), report.sent()))
}

fn write_section(out: &mut dyn Write, id: &str, zone: &TimeZone, target: &Measured<'_>) -> io::Result<()> {
    writeln!(out, r#"<section id="{id}" aria-labelledby="{id}-name">"#)?;
    writeln!(out, r#"<h2 id="{id}-name"><bdi>{}</bdi></h2>"#, Text(target.endpoint))?;
    if let Some(target) = target.target {
        let mut header = Vec::new();
        text::header(&mut header, target)?;
        writeln!(out, r#"<p class="dim">{}</p>"#, Text(String::from_utf8_lossy(&header).trim_end()))?;
    }
    if let Some(report) = target.report {
        let lost = Tile { is_bad: report.lost.total() != 0, ..Tile::new("lost", percent_lost(report)) };
        let [p50, slow] = page::delay_tiles(&report.rtt.delay);
        page::tiles(out, &[Tile::new("sent", grouped(report.sent())), lost, p50, slow])?;
        page::verdict(out, &verdict(target.target, report), false)?;
    }
    if let Some(error) = target.error {
        page::verdict(out, error, true)?;
    }
    for missed in target.missed {
        page::verdict(out, &format!("Missed: {missed}."), true)?;
    }
    if let Some(report) = target.report {
        write_delays(out, report)?;
        page::notes(out, &notes(target.target, report))?;
        if report.rtt.delay.count() + report.refused_after.count() != 0 {
            let start = target.target.map(|target| zoned(target.started, zone.clone()));
            write_figures(out, id, start, report)?;
        }
    }
    writeln!(out, "</section>")
}

fn write_delays(out: &mut dyn Write, report: &PingReport) -> io::Result<()> {
    let PingReport { rtt, wire, queue, up, down, server, refused_after, .. } = report;
    let rows = [
        Row { name: "rtt", times: &rtt.delay, jitter: rtt.jitter_ns },
        Row { name: "wire", times: wire, jitter: None },
        Row { name: "queue", times: queue, jitter: None },
        Row { name: "up", times: &up.delay, jitter: up.jitter_ns },
        Row { name: "down", times: &down.delay, jitter: down.jitter_ns },
        Row { name: "server", times: server, jitter: None },
        Row { name: "refused", times: refused_after, jitter: None },
    ];
    page::distributions(out, "Delays", &rows)
}

/// Returns whether and where delay varies, or why that is unknown.
fn verdict(target: Option<&Target>, report: &PingReport) -> String {
    if report.rtt.delay.count() == 0 {
        return match report.sent() {
            0 => "No request was sent.".to_owned(),
            sent => {
                let failures = prose::losses(report);
                format!("No reply to {}: {failures}.", counted(sent, "request"))
            }
        };
    }
    if target.is_some_and(Target::is_connect) {
        return "Connections show round trips only, not the two directions.".to_owned();
    }
    match prose::verdict(report, delay) {
        Some(verdict) => format!("{}.", capitalized(&verdict)),
        None => match report.timestamps {
            TimestampSupport::None => {
                "The replies have no timestamps, so the two directions cannot be distinguished."
            }
            TimestampSupport::Seconds => {
                "The replies have timestamps in whole seconds, too coarse to distinguish the two directions."
            }
            TimestampSupport::Single | TimestampSupport::RxTx => {
                "There are too few replies to determine in which direction the delay varies."
            }
        }
        .to_owned(),
    }
}

/// Returns the remarks on a target: counts, clocks and timing.
fn notes(target: Option<&Target>, report: &PingReport) -> Vec<(&'static str, String)> {
    let mut notes = vec![("requests", counts(report))];
    let clock = target.and_then(|target| target.clock_line(report, delay));
    let is_host = target.is_some_and(Target::is_host);
    notes.extend(prose::refused(report, is_host, delay).map(|refused| ("refused", refused)));
    notes.extend(clock.map(|clock| ("clock", clock)));
    notes.extend(prose::request_header(report).map(|header| ("header", header)));
    notes.extend(prose::queue(report, delay).map(|queue| ("queue", queue)));
    notes.extend(prose::tcp(report, delay).map(|tcp| ("tcp", tcp)));
    if let Some(behind) = median_and_max(report.send_delay.percentile(50.0), report.send_delay.max(), delay) {
        let timestamps = match report.kernel_tx_delay.count() + report.kernel_rx_delay.count() {
            0 => "user-space timestamps",
            _ => "kernel timestamps where the kernel reported them",
        };
        notes.push(("timing", format!("requests were sent {behind} behind schedule; {timestamps}")));
    }
    notes
}

fn counts(report: &PingReport) -> String {
    let mut counts = format!("{} answered", grouped(report.answered));
    for (count, what) in [
        (report.late, "late"),
        (report.lost.total(), "lost"),
        (report.duplicate, "duplicate"),
        (report.reordered, "reordered"),
        (report.unexpected, "unexpected"),
        (report.skipped, "skipped because they could not be sent in time"),
    ] {
        if count != 0 {
            counts += &format!(", {} {what}", grouped(count));
        }
    }
    if report.lost.total() != 0 {
        counts += &format!(" ({})", prose::losses(report));
    }
    format!("{counts}, in {}", numbers::span(nanos(report.elapsed)))
}

fn write_figures(
    out: &mut dyn Write,
    id: &str,
    start: Option<ZonedDateTime>,
    report: &PingReport,
) -> io::Result<()> {
    let rtt = &report.rtt.delay;
    if rtt.count() == 0 {
        return over_time(format!("{id}-time"), start, report).delays(&report.refused_after).write(out);
    }
    over_time(format!("{id}-time"), start, report).delays(rtt).write(out)?;
    let texts = Texts {
        title: "Distribution of round trips",
        plural: "round trips",
        noun: ("round trip", "round trips"),
    };
    distribution::figure(format!("{id}-distribution"), texts, rtt).write(out)?;
    let curves = [
        ("first", "round trip", rtt),
        ("second", "up", &report.up.delay),
        ("third", "down", &report.down.delay),
    ];
    percentiles::figure(format!("{id}-percentiles"), "requests", &curves).write(out)
}

fn over_time(id: String, start: Option<ZonedDateTime>, report: &PingReport) -> OverTime {
    let (points, width) = (report.series.points(), report.series.width());
    let span = points.last().map_or(0.0, |last| nanos(last.at + width));
    let is_single = width.is_zero();
    let up: Vec<_> = points.iter().map(|point| point.up_max_ns.map(|nanos| nanos as f64)).collect();
    let down: Vec<_> = points.iter().map(|point| point.down_max_ns.map(|nanos| nanos as f64)).collect();
    let low: Vec<_> = points.iter().map(|point| point.rtt.map(|rtt| nanos(rtt.min))).collect();
    let rtt: Vec<_> = points.iter().map(|point| point.rtt.map(|rtt| nanos(rtt.max))).collect();
    let refusals = report.series.refusals();
    let refusal_at = |at| refusals.binary_search_by_key(&at, |refusal| refusal.at).ok();
    let refused: Vec<Option<f64>> =
        points.iter().map(|point| Some(nanos(refusals[refusal_at(point.at)?].after))).collect();
    let unit = Unit::for_delay(rtt.iter().chain(&refused).flatten().copied().fold(0.0, f64::max) / 10.0);
    let (name, shape) = match is_single {
        true => ("round trip", Shape::Dots),
        false => ("round trip, minimum to maximum", Shape::Band(low)),
    };
    let mut curves = Vec::new();
    if rtt.iter().any(Option::is_some) {
        curves.push(Curve { class: "first", name: name.to_owned(), shape, values: rtt });
    }
    let maximum = if is_single { "" } else { ", maximum" };
    let relative = if report.clock.relation == ClockRelation::Free { ", beyond the fastest" } else { "" };
    for (class, name, values) in [("second", "up", up), ("third", "down", down)] {
        if values.iter().any(Option::is_some) {
            curves.push(Curve {
                class,
                name: format!("{name}{maximum}{relative}"),
                shape: Shape::Line,
                values,
            });
        }
    }
    let range_of = |what, times: &Distribution| match times.count() {
        0 => String::new(),
        _ => format!("; {what} between {}", range(times)),
    };
    let description = format!(
        "{} over {}{}{}; {} lost.",
        counted(points.len() as u64, "point"),
        numbers::span(span),
        range_of("round trips", &report.rtt.delay),
        range_of("times until requests were refused", &report.refused_after),
        counted(report.lost.total(), "request")
    );
    let points = points.iter().zip(&refused).map(|(point, refused)| Point {
        at: nanos(point.at + width / 2),
        lost: point.lost as f64 / (point.lost + point.answered).max(1) as f64,
        reading: reading(point, *refused, unit),
    });
    let points = points.collect();
    if !refusals.is_empty() {
        let name = format!("refused{maximum}");
        curves.push(Curve { class: "refused", name, shape: Shape::Squares, values: refused });
    }
    OverTime {
        id,
        title: "Round trips over time",
        description,
        points,
        curves,
        span,
        gap: (!is_single).then(|| nanos(width * 3)),
        start,
        lost: if is_single { "lost" } else { "share lost" },
    }
}

/// Returns the values of a point for the readout.
fn reading(point: &echosounder_client::Point, refused_after: Option<f64>, unit: Unit) -> String {
    let mut parts = Vec::new();
    if let Some((least, most)) = point.rtt.map(|rtt| (nanos(rtt.min), nanos(rtt.max))) {
        let rtt = match least < most {
            true => format!("rtt {} to {}", unit.brief(least), unit.brief(most)),
            false => format!("rtt {}", unit.brief(most)),
        };
        let way =
            |name, value: Option<i64>| value.map(|nanos| format!("{name} {}", unit.brief(nanos as f64)));
        let values = [Some(rtt), way("up", point.up_max_ns), way("down", point.down_max_ns)];
        let values: Vec<String> = values.into_iter().flatten().collect();
        parts.push(format!("{} {}", values.join(", "), unit.name));
    }
    match (point.answered, point.lost) {
        (_, 0) => {}
        (0, 1) if refused_after.is_none() => parts.push("lost".to_owned()),
        (0, 1) => {}
        (answered, lost) => parts.push(format!("{lost} of {} lost", answered + lost)),
    }
    if let Some(after) = refused_after {
        parts.push(format!("refused after {} {}", unit.brief(after), unit.name));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;
