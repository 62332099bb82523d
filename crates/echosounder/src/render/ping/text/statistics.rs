//! The statistics of a target.

use std::io::{self, Write};

use echosounder_client::{Distribution, PingReport, Verdict};

use super::{cell, none, percent_lost};
use crate::render::numbers::{counted, grouped, in_millis, millis, nanos, span};
use crate::render::ping::target::Target;
use crate::render::prose::{self, median_and_max};
use crate::render::style::Style;

/// Percentiles in the table. A column is left out if the sample is too small for it.
const PERCENTILES: [(f64, &str); 5] =
    [(50.0, "p50"), (90.0, "p90"), (95.0, "p95"), (99.0, "p99"), (99.9, "p99.9")];

/// The width of the first column of the table.
const NAME_WIDTH: usize = 5;

/// Writes the statistics of a target.
pub(crate) fn statistics(
    out: &mut dyn Write,
    style: Style,
    target: &Target,
    report: &PingReport,
) -> io::Result<()> {
    writeln!(out, "--- {} ---", target.endpoint)?;
    write_counts(out, style, target, report)?;
    write_up(out, target, report)?;
    if report.rtt.delay.count() == 0 {
        return Ok(());
    }
    write_table(out, style, report)?;
    write_jitter(out, report)?;
    if let Some(line) = prose::queue(report, in_millis) {
        writeln!(out, "queue    {}", style.caution(line))?;
    }
    if let Some(line) = prose::tcp(report, in_millis) {
        writeln!(out, "tcp      {line}")?;
    }
    if let Some(line) = target.clock_line(report, in_millis) {
        writeln!(out, "clock    {line}")?;
    }
    if let Some(line) = prose::request_header(report) {
        writeln!(out, "header   {line}")?;
    }
    write_timing(out, target, report)?;
    if let Some(line) = prose::verdict(report, in_millis) {
        let steady = report.verdict().is_some_and(|(verdict, _)| verdict == Verdict::Steady);
        writeln!(out, "verdict  {}", if steady { style.good(line) } else { style.caution(line) })?;
    }
    Ok(())
}

fn write_counts(out: &mut dyn Write, style: Style, target: &Target, report: &PingReport) -> io::Result<()> {
    let lost = format!("{} lost ({}%)", grouped(report.lost.total()), percent_lost(report));
    let late = format!("{} late", grouped(report.late));
    writeln!(
        out,
        "{} sent, {} answered, {}, {}, {} duplicate, {} reordered, {:.1} s",
        grouped(report.sent()),
        grouped(report.answered),
        style.bad_if(report.lost.total() != 0, lost),
        if report.late == 0 { late } else { style.caution(late) },
        grouped(report.duplicate),
        grouped(report.reordered),
        report.elapsed.as_secs_f64()
    )?;
    if report.lost.total() != 0 {
        writeln!(out, "lost     {}", style.bad(prose::losses(report)))?;
    }
    if let Some(line) = prose::refused(report, target.is_host(), in_millis) {
        writeln!(out, "refused  {line}")?;
    }
    for (count, what, reason) in [
        (report.unexpected, "unexpected message", "(no matching request)"),
        (report.skipped, "request", "skipped (could not be sent in time)"),
    ] {
        if count != 0 {
            writeln!(out, "{:8} {} {reason}", "", counted(count, what))?;
        }
    }
    Ok(())
}

/// Writes how long a target that was awaited was not up.
fn write_up(out: &mut dyn Write, target: &Target, report: &PingReport) -> io::Result<()> {
    let Some(after) = report.up_after.filter(|_| target.until_up) else { return Ok(()) };
    let lost = counted(report.lost.total(), "request");
    writeln!(out, "up       after {}, {lost} without a reply", span(nanos(after)))
}

/// Returns the percentiles for which there are enough replies.
fn percentiles(report: &PingReport) -> Vec<(f64, &'static str)> {
    let is_carried = |percent| report.rtt.delay.percentile(percent).is_some();
    PERCENTILES.into_iter().filter(|(percent, _)| is_carried(*percent)).collect()
}

/// Returns the names of the table's columns.
fn columns(report: &PingReport) -> Vec<&'static str> {
    let percentiles = percentiles(report).into_iter().map(|(_, name)| name);
    ["min", "mean"].into_iter().chain(percentiles).chain(["max", "stddev"]).collect()
}

/// Returns the values of a distribution in the order of the columns, in milliseconds.
fn cells(report: &PingReport, times: &Distribution) -> Vec<String> {
    let mut cells = vec![cell(times.min()), times.mean().map_or_else(none, millis)];
    cells.extend(percentiles(report).into_iter().map(|(percent, _)| cell(times.percentile(percent))));
    cells.extend([cell(times.max()), times.stddev().map_or_else(none, millis)]);
    cells
}

/// Returns the distributions that have values, by name.
fn rows(report: &PingReport) -> impl Iterator<Item = (&'static str, &Distribution)> {
    [
        ("rtt", &report.rtt.delay),
        ("wire", &report.wire),
        ("queue", &report.queue),
        ("up", &report.up.delay),
        ("down", &report.down.delay),
        ("server", &report.server),
    ]
    .into_iter()
    .filter(|(name, times)| times.count() != 0 && (*name != "queue" || report.has_queued()))
}

fn write_table(out: &mut dyn Write, style: Style, report: &PingReport) -> io::Result<()> {
    let rows: Vec<_> = rows(report).map(|(name, times)| (name, cells(report, times))).collect();
    let widest = rows.iter().flat_map(|(_, cells)| cells).map(String::len).max();
    let width = widest.unwrap_or(0).max(7) + 1;
    if !style.fits(NAME_WIDTH + width * columns(report).len()) {
        return write_narrow_table(out, width, &columns(report), &rows);
    }
    write!(out, "{:NAME_WIDTH$}", "ms")?;
    columns(report).iter().try_for_each(|name| write!(out, "{name:>width$}"))?;
    writeln!(out)?;
    for (name, cells) in rows {
        // A long name takes some of the first column's width.
        write!(out, "{name:NAME_WIDTH$}")?;
        let first = width + NAME_WIDTH - name.len().max(NAME_WIDTH);
        let widths = std::iter::once(first).chain(std::iter::repeat(width));
        cells.iter().zip(widths).try_for_each(|(cell, width)| write!(out, "{cell:>width$}"))?;
        writeln!(out)?;
    }
    Ok(())
}

/// Writes the table with rows and columns exchanged, for a narrow terminal.
fn write_narrow_table(
    out: &mut dyn Write,
    width: usize,
    columns: &[&str],
    rows: &[(&str, Vec<String>)],
) -> io::Result<()> {
    write!(out, "{:6}", "ms")?;
    rows.iter().try_for_each(|(name, _)| write!(out, "{name:>width$}"))?;
    writeln!(out)?;
    for (index, column) in columns.iter().enumerate() {
        write!(out, "{column:6}")?;
        rows.iter().try_for_each(|(_, cells)| write!(out, "{:>width$}", cells[index]))?;
        writeln!(out)?;
    }
    Ok(())
}

fn write_jitter(out: &mut dyn Write, report: &PingReport) -> io::Result<()> {
    let Some(rtt) = report.rtt.jitter_ns else { return Ok(()) };
    write!(out, "jitter   {} ms round trip", millis(rtt))?;
    if let (Some(up), Some(down)) = (report.up.jitter_ns, report.down.jitter_ns) {
        write!(out, ", {} up, {} down", millis(up), millis(down))?;
    }
    writeln!(out, " (RFC 3550)")
}

/// Writes how precise the measurement is: how far behind schedule requests were sent, and by how
/// much the kernel's timestamps differ from this program's.
fn write_timing(out: &mut dyn Write, target: &Target, report: &PingReport) -> io::Result<()> {
    let behind = typical(&report.send_delay).unwrap_or_else(none);
    writeln!(out, "timing   requests were sent {behind} behind schedule")?;
    let (sent, received) = (&report.kernel_tx_delay, &report.kernel_rx_delay);
    if received.count() == 0 {
        let why = if target.kernel.receives { " (the kernel reported none)" } else { "" };
        return writeln!(out, "kernel   user-space timestamps{why}");
    }
    let unless_all = |times: &Distribution| match times.count() {
        count if count == report.rtt.delay.count() => String::new(),
        count => format!("{} ", grouped(count)),
    };
    let earlier = typical(received).unwrap_or_else(none);
    let what = match target.is_connect() {
        true => format!("handshakes ended {earlier} before this program saw it"),
        false => format!("replies arrived {earlier} before this program woke up"),
    };
    write!(out, "kernel   {}{what}", unless_all(received))?;
    if let Some(later) = typical(sent) {
        write!(out, ", {}requests left {later} after they were sent", unless_all(sent))?;
    }
    writeln!(out)
}

fn typical(times: &Distribution) -> Option<String> {
    median_and_max(times.percentile(50.0), times.max(), in_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_table_has_a_line_for_each_column() {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [("rtt", cells(["0.070", "0.095"])), ("server", cells(["0.000", "0.001"]))];
        let mut out = Vec::new();
        write_narrow_table(&mut out, 8, &["min", "stddev"], &rows).unwrap();
        let table = "ms         rtt  server\nmin      0.070   0.000\nstddev   0.095   0.001\n";
        assert_eq!(String::from_utf8(out).unwrap(), table);
    }
}
