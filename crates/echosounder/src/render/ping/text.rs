//! The lines of `sounder ping` for people: one per event, and the statistics at the end.

use std::fmt::Write as _;
use std::io::{self, Write};

use echosounder_client::{
    ClockRelation, Distribution, FailureKind, LossReason, PingEvent, PingReply, PingReport, Verdict,
};

use super::target::Target;
use crate::render::numbers::{counted, duration, grouped, in_millis, millis, percentage_of, whole_nanos};
use crate::render::prose::{self, median_and_max};
use crate::render::style::Style;

/// Percentiles in the table. A column is left out if the sample is too small for it.
const PERCENTILES: [(f64, &str); 5] =
    [(50.0, "p50"), (90.0, "p90"), (95.0, "p95"), (99.0, "p99"), (99.9, "p99.9")];

/// The width of the first column of the table.
const NAME_WIDTH: usize = 5;

/// Writes the line that precedes the first request.
pub(crate) fn header(out: &mut dyn Write, target: &Target) -> io::Result<()> {
    let Target { endpoint, resolved, address, local, size, interval, .. } = target;
    write!(out, "PING {endpoint}")?;
    if resolved != endpoint {
        write!(out, " ({address})")?;
    }
    if let Some(local) = local {
        write!(out, " from {local}")?;
    }
    if interval.is_zero() {
        writeln!(out, ", {size} bytes as fast as replies come")
    } else {
        writeln!(out, ", {size} bytes every {}", duration(*interval))
    }
}

/// Writes the line of an event, if it has one. `peer` is the name of the target in the line.
pub(crate) fn event(
    out: &mut dyn Write,
    style: Style,
    peer: &str,
    size: usize,
    event: &PingEvent,
) -> io::Result<()> {
    match event {
        PingEvent::Replied(answered) => write_answered(out, style, peer, size, answered),
        PingEvent::Lost { number, reason: LossReason::Peer(reason), .. } => {
            writeln!(out, "{peer}: seq={number} {}", style.bad(reason))
        }
        PingEvent::Lost { number, reason: LossReason::NotSent, .. } => {
            writeln!(out, "{peer}: seq={number} not sent")
        }
        PingEvent::Duplicate(number) => writeln!(out, "{peer}: seq={number} duplicate"),
        PingEvent::Unexpected => writeln!(out, "{peer}: unexpected data that matches no request"),
        PingEvent::Disconnected => writeln!(out, "{peer}: {}", style.bad("connection lost")),
        PingEvent::Reconnected => writeln!(out, "{peer}: reconnected"),
        PingEvent::ClockContradicted => {
            writeln!(
                out,
                "{peer}: its clock differs from ours although its address is local; delays are relative to the fastest seen"
            )
        }
        _ => Ok(()),
    }
}

fn write_answered(
    out: &mut dyn Write,
    style: Style,
    peer: &str,
    size: usize,
    answered: &PingReply,
) -> io::Result<()> {
    let rtt = millis(whole_nanos(answered.rtt) as f64);
    let mut text = format!("{size} bytes from {peer}: seq={} rtt={rtt} ms", answered.number);
    if let Some(delay) = answered.delay {
        let sign = if answered.clock == ClockRelation::Free { "+" } else { "" };
        let [up, down] = [delay.up_ns, delay.down_ns].map(|nanos| format!("{sign}{}", millis(nanos as f64)));
        // Writing to a string does not fail.
        let _ = write!(text, " up={up} down={down}");
    }
    for (applies, word) in [(answered.late, "late"), (answered.reordered, "reordered")] {
        if applies {
            let _ = write!(text, " {}", style.caution(word));
        }
    }
    writeln!(out, "{text}")
}

/// Writes how many lines about a target were left out by the limit of lines per second.
pub(crate) fn left_out(out: &mut dyn Write, peer: &str, count: u64) -> io::Result<()> {
    writeln!(out, "{peer}: … and {} more", grouped(count))
}

/// Writes the statistics of a target.
pub(crate) fn statistics(
    out: &mut dyn Write,
    style: Style,
    target: &Target,
    report: &PingReport,
) -> io::Result<()> {
    writeln!(out, "--- {} ---", target.endpoint)?;
    write_counts(out, style, report)?;
    if report.rtt.delay.count() == 0 {
        return Ok(());
    }
    write_table(out, style, report)?;
    write_jitter(out, report)?;
    if let Some(line) = prose::clock(target.clocks(), report, in_millis) {
        writeln!(out, "clock    {line}")?;
    }
    write_timing(out, target, report)?;
    if let Some(line) = prose::verdict(report, in_millis) {
        let steady = report.verdict().is_some_and(|(verdict, _)| verdict == Verdict::Steady);
        writeln!(out, "verdict  {}", if steady { style.good(line) } else { style.caution(line) })?;
    }
    Ok(())
}

fn write_counts(out: &mut dyn Write, style: Style, report: &PingReport) -> io::Result<()> {
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
        writeln!(out, "lost     {}", style.bad(prose::failures(&report.lost)))?;
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

fn percent_lost(report: &PingReport) -> String {
    percentage_of(report.lost.total(), report.sent())
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
        ("up", &report.up.delay),
        ("down", &report.down.delay),
        ("server", &report.server),
    ]
    .into_iter()
    .filter(|(_, times)| times.count() != 0)
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
    write!(out, "kernel   {}replies arrived {earlier} before this program woke up", unless_all(received))?;
    if let Some(later) = typical(sent) {
        write!(out, ", {}requests left {later} after they were sent", unless_all(sent))?;
    }
    writeln!(out)
}

fn typical(times: &Distribution) -> Option<String> {
    median_and_max(times.percentile(50.0), times.max(), in_millis)
}

/// A line of the comparison of several targets.
pub(crate) struct Row<'a> {
    /// The endpoint that was reached, or that could not be reached.
    pub(crate) name: &'a str,
    /// The report, if any request was sent.
    pub(crate) report: Option<&'a PingReport>,
    /// How the target failed, if it did.
    pub(crate) failure: Option<FailureKind>,
}

/// Writes a table with a row for each of several targets.
pub(crate) fn comparison(out: &mut dyn Write, style: Style, rows: &[Row<'_>]) -> io::Result<()> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    // On a narrow terminal the name has a line of its own.
    let own_line = !style.fits(width + 68);
    let name_width = if own_line { 0 } else { width };
    let mut line = |name: &str, cells: [String; 7], has_lost: bool, failure: Option<FailureKind>| {
        let [sent, lost, times @ ..] = cells;
        let lost = style.bad_if(has_lost, format!("{lost:>7}"));
        write!(out, "{name:name_width$}{}{sent:>9} {lost}", if own_line { "\n" } else { " " })?;
        times.iter().try_for_each(|cell| write!(out, " {cell:>9}"))?;
        failure.map_or(Ok(()), |failure| write!(out, "  {}", style.bad(failure)))?;
        writeln!(out)
    };
    line("ms", ["sent", "lost", "min", "p50", "p99", "max", "jitter"].map(str::to_owned), false, None)?;
    rows.iter().try_for_each(|row| {
        let has_lost = row.report.is_some_and(|report| report.lost.total() != 0);
        let cells = row.report.map_or_else(|| [(); 7].map(|()| none()), compared_cells);
        line(row.name, cells, has_lost, row.failure)
    })
}

fn compared_cells(report: &PingReport) -> [String; 7] {
    let times = &report.rtt.delay;
    [
        grouped(report.sent()),
        format!("{}%", percent_lost(report)),
        cell(times.min()),
        cell(times.percentile(50.0)),
        cell(times.percentile(99.0)),
        cell(times.max()),
        report.rtt.jitter_ns.map_or_else(none, millis),
    ]
}

/// Writes which clock reads timed the replies of the compared targets.
pub(crate) fn compared_by<'a>(
    out: &mut dyn Write,
    targets: impl Iterator<Item = &'a Target>,
) -> io::Result<()> {
    let (kernel, user): (Vec<_>, Vec<_>) = targets.partition(|target| target.kernel.receives);
    match (kernel.is_empty(), user.is_empty()) {
        (true, true) => Ok(()),
        (false, true) => writeln!(out, "all with kernel timestamps of receipt (--timestamps)"),
        (true, false) => writeln!(out, "all with user-space timestamps (--timestamps)"),
        (false, false) => {
            writeln!(out, "some with kernel timestamps of receipt, some without (--timestamps)")
        }
    }
}

/// What stands in place of a missing value.
fn none() -> String {
    "-".to_owned()
}

fn cell(nanos: Option<i64>) -> String {
    nanos.map_or_else(none, |nanos| millis(nanos as f64))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use echosounder_proto::WallTime;

    use super::*;

    fn written(style: Style, happened: &PingEvent) -> String {
        let mut out = Vec::new();
        event(&mut out, style, "h", 64, happened).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn failures_are_coloured() {
        let sent = WallTime::from_nanos(0);
        let answered = |late, reordered| {
            let mut reply = PingReply::new(7, sent, Duration::from_micros(1500));
            (reply.late, reply.reordered) = (late, reordered);
            PingEvent::Replied(reply)
        };
        let lost = |reason| PingEvent::Lost { number: 8, sent, reason };
        for (happened, colored) in [
            (answered(false, false), "64 bytes from h: seq=7 rtt=1.500 ms\n"),
            (
                answered(true, true),
                "64 bytes from h: seq=7 rtt=1.500 ms \x1b[33mlate\x1b[0m \x1b[33mreordered\x1b[0m\n",
            ),
            (lost(FailureKind::Timeout.into()), "h: seq=8 \x1b[31mTIMEOUT\x1b[0m\n"),
            (lost(LossReason::NotSent), "h: seq=8 not sent\n"),
            (PingEvent::Disconnected, "h: \x1b[31mconnection lost\x1b[0m\n"),
        ] {
            assert_eq!(written(Style::with(true, None), &happened), colored);
            let plain = ["\x1b[31m", "\x1b[33m", "\x1b[0m"]
                .iter()
                .fold(colored.to_owned(), |text, code| text.replace(code, ""));
            assert_eq!(written(Style::PLAIN, &happened), plain);
        }
    }

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
