//! What a ping tells: each call as it ends, and what came of all.

mod json;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{
    Clock, Distribution, FailureKind, KernelTimestamps, PingEvent, PingReport, Place, Verdict,
};
use echosounder_socket::Address;
use echosounder_socket::kernel::ClockState;

pub(crate) use self::json::{
    csv, csv_header, error_object, hdr, left_out_object, object, report_object, start_object,
};
use super::load::grouped;
use super::prose;
use super::style::Style;

/// Percentiles that are shown, as far as there are enough answers for them to say anything.
const PERCENTILES: [(f64, &str); 5] =
    [(50.0, "p50"), (90.0, "p90"), (95.0, "p95"), (99.0, "p99"), (99.9, "p99.9")];

/// A target, as it was when it was first called.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As it was asked for.
    pub(crate) endpoint: String,
    /// Where it was found, as an endpoint.
    pub(crate) found: String,
    /// Where it was found, in a word.
    pub(crate) place: String,
    pub(crate) local: Option<String>,
    pub(crate) wire: KernelTimestamps,
    pub(crate) clock: Clock,
    /// How good this machine's clock is.
    pub(crate) own_clock: Option<ClockState>,
    pub(crate) size: usize,
    pub(crate) interval: Duration,
    pub(crate) wait: Duration,
    pub(crate) count: Option<u64>,
    /// When the first call left, in nanoseconds since 1970.
    pub(crate) started: u64,
}

impl Target {
    /// An address without its family: for hosts theirs alone.
    pub(crate) fn place(found: &str, address: &Address) -> String {
        address.ip().map_or_else(|| found.to_owned(), |ip| ip.to_string())
    }

    /// Where calls leave from, of hosts.
    pub(crate) fn local(address: &Address) -> Option<String> {
        address.port().map(|_| address.to_string())
    }

    /// The same target, found somewhere else.
    pub(crate) fn moved(self, to: &Place) -> Self {
        Self {
            place: Self::place(&to.endpoint, &to.address),
            found: to.endpoint.clone(),
            local: to.local.as_ref().and_then(Self::local),
            wire: to.wire,
            clock: to.clock,
            ..self
        }
    }
}

/// What is written before the first call.
pub(crate) fn header(out: &mut impl Write, target: &Target) -> io::Result<()> {
    let Target { endpoint, found, place, local, size, interval, .. } = target;
    write!(out, "PING {endpoint}")?;
    if found != endpoint {
        write!(out, " ({place})")?;
    }
    if let Some(local) = local {
        write!(out, " from {local}")?;
    }
    match interval {
        &Duration::ZERO => writeln!(out, ", {size} bytes as fast as answers come"),
        interval => writeln!(out, ", {size} bytes every {}", spaced(*interval)),
    }
}

/// A line for what happens to a call; `who` is said to have answered.
pub(crate) fn line(
    out: &mut impl Write,
    style: Style,
    who: &str,
    size: usize,
    happening: &PingEvent,
) -> io::Result<()> {
    match happening {
        PingEvent::Answered(answered) => {
            let mut text =
                format!("{size} bytes from {who}: seq={} rtt={} ms", answered.number, span(answered.rtt));
            if let Some(ways) = answered.ways {
                let sign = if answered.clock == Clock::Free { "+" } else { "" };
                let [up, down] = [ways.up, ways.down].map(|nanos| format!("{sign}{}", millis(nanos)));
                // Writing to a string does not fail.
                let _ = write!(text, " up={up} down={down}");
            }
            for (is_so, word) in [(answered.late, "late"), (answered.reordered, "reordered")] {
                if is_so {
                    let _ = write!(text, " {}", style.caution(word));
                }
            }
            writeln!(out, "{text}")
        }
        PingEvent::Lost { number, word: Some(word), .. } => {
            writeln!(out, "{who}: seq={number} {}", style.bad(word))
        }
        PingEvent::Lost { number, word: None, .. } => {
            writeln!(out, "{who}: seq={number} not sent")
        }
        PingEvent::Duplicate(number) => writeln!(out, "{who}: seq={number} duplicate"),
        PingEvent::Unexpected => writeln!(out, "{who}: unexpected data that matches no request"),
        PingEvent::Connected(false) => writeln!(out, "{who}: {}", style.bad("connection lost")),
        PingEvent::Connected(true) => writeln!(out, "{who}: reconnected"),
        PingEvent::Contradicted => {
            writeln!(
                out,
                "{who}: its clock differs from ours although its address is local; delays are relative to the fastest seen"
            )
        }
        _ => Ok(()),
    }
}

/// A line for what was not told of a target, since there was too much of it.
pub(crate) fn left_out(out: &mut impl Write, who: &str, count: u64) -> io::Result<()> {
    writeln!(out, "{who}: … and {} more", grouped(count))
}

/// All that came of the calls to one target.
pub(crate) fn statistics(
    out: &mut impl Write,
    style: Style,
    target: &Target,
    report: &PingReport,
) -> io::Result<()> {
    writeln!(out, "--- {} ---", target.endpoint)?;
    counts(out, style, report)?;
    if report.rtt.delay.count() == 0 {
        return Ok(());
    }
    table(out, style, report)?;
    jitter(out, report)?;
    if let Some(line) = prose::clock(target, report, in_millis) {
        writeln!(out, "clock    {line}")?;
    }
    timing(out, target, report)?;
    if let Some(line) = prose::verdict(report, in_millis) {
        let steady = report.verdict().is_some_and(|(verdict, _)| verdict == Verdict::Steady);
        writeln!(out, "verdict  {}", if steady { style.good(line) } else { style.caution(line) })?;
    }
    Ok(())
}

fn counts(out: &mut impl Write, style: Style, report: &PingReport) -> io::Result<()> {
    let lost = format!("{} lost ({}%)", grouped(report.lost.all()), prose::percent_lost(report));
    let late = format!("{} late", grouped(report.late));
    writeln!(
        out,
        "{} sent, {} answered, {}, {}, {} duplicate, {} reordered, {:.1} s",
        grouped(report.sent()),
        grouped(report.answered),
        style.bad_if(report.lost.all() != 0, lost),
        if report.late == 0 { late } else { style.caution(late) },
        grouped(report.duplicate),
        grouped(report.reordered),
        report.elapsed.as_secs_f64()
    )?;
    if report.lost.all() != 0 {
        writeln!(out, "lost     {}", style.bad(prose::failures(&report.lost)))?;
    }
    if report.stray != 0 {
        writeln!(out, "stray    {} that match no request", grouped(report.stray))?;
    }
    if report.skipped != 0 {
        writeln!(out, "skipped  {} that could not be sent in time", grouped(report.skipped))?;
    }
    Ok(())
}

/// The percentiles for which there are enough answers.
fn percentiles(report: &PingReport) -> Vec<(f64, &'static str)> {
    let enough = |of_100| report.rtt.delay.percentile(of_100).is_some();
    PERCENTILES.into_iter().filter(|(of_100, _)| enough(*of_100)).collect()
}

/// What is shown of each distribution, by name.
pub(crate) fn columns(report: &PingReport) -> Vec<&'static str> {
    let percentiles = percentiles(report).into_iter().map(|(_, name)| name);
    ["min", "mean"].into_iter().chain(percentiles).chain(["max", "stddev"]).collect()
}

/// What is known of one distribution, in the order of the columns, in milliseconds.
pub(crate) fn cells(report: &PingReport, times: &Distribution) -> Vec<String> {
    let mut cells = vec![shown(times.min()), times.mean().map_or_else(none, fixed)];
    cells.extend(percentiles(report).into_iter().map(|(of_100, _)| shown(times.percentile(of_100))));
    cells.extend([shown(times.max()), times.stddev().map_or_else(none, fixed)]);
    cells
}

/// The distributions that were measured, by name.
pub(crate) fn rows(report: &PingReport) -> Vec<(&'static str, &Distribution)> {
    [
        ("rtt", &report.rtt.delay),
        ("up", &report.up.delay),
        ("down", &report.down.delay),
        ("server", &report.server),
    ]
    .into_iter()
    .filter(|(_, times)| times.count() != 0)
    .collect()
}

fn table(out: &mut impl Write, style: Style, report: &PingReport) -> io::Result<()> {
    let rows: Vec<_> = rows(report).into_iter().map(|(name, times)| (name, cells(report, times))).collect();
    let widest = rows.iter().flat_map(|(_, cells)| cells).map(String::len).max();
    let width = widest.unwrap_or(0).max(7) + 1;
    if !style.fits(5 + width * columns(report).len()) {
        return narrow_table(out, width, &columns(report), &rows);
    }
    write!(out, "{:5}", "ms")?;
    columns(report).iter().try_for_each(|name| write!(out, "{name:>width$}"))?;
    writeln!(out)?;
    for (name, cells) in rows {
        // The longest name runs into the room of the first column.
        write!(out, "{name:5}")?;
        let first = width + 5 - name.len().max(5);
        let widths = std::iter::once(first).chain(std::iter::repeat(width));
        cells.iter().zip(widths).try_for_each(|(cell, width)| write!(out, "{cell:>width$}"))?;
        writeln!(out)?;
    }
    Ok(())
}

/// The table with a line for each column, for a narrow terminal.
fn narrow_table(
    out: &mut impl Write,
    width: usize,
    columns: &[&str],
    rows: &[(&str, Vec<String>)],
) -> io::Result<()> {
    write!(out, "{:6}", "ms")?;
    rows.iter().try_for_each(|(name, _)| write!(out, "{name:>width$}"))?;
    writeln!(out)?;
    for (place, column) in columns.iter().enumerate() {
        write!(out, "{column:6}")?;
        rows.iter().try_for_each(|(_, cells)| write!(out, "{:>width$}", cells[place]))?;
        writeln!(out)?;
    }
    Ok(())
}

fn jitter(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    let Some(rtt) = report.rtt.jitter else { return Ok(()) };
    write!(out, "jitter   {} ms round trip", fixed(rtt))?;
    if let (Some(up), Some(down)) = (report.up.jitter, report.down.jitter) {
        write!(out, ", {} up, {} down", fixed(up), fixed(down))?;
    }
    writeln!(out, " (RFC 3550)")
}

/// How good the measurement is: how far behind schedule requests left, and what the kernel's times make of it.
fn timing(out: &mut impl Write, target: &Target, report: &PingReport) -> io::Result<()> {
    let behind = times_of(&report.lag, in_millis_short).unwrap_or_else(none);
    writeln!(out, "timing   requests were sent {behind} behind schedule")?;
    let (sent, received) = (&report.kernel_sent, &report.kernel_received);
    if received.count() == 0 {
        let why = if target.wire.receives { ", since the kernel reported none" } else { "" };
        return writeln!(out, "kernel   user-space timestamps{why}");
    }
    let of_all = |times: &Distribution| match times.count() {
        count if count == report.rtt.delay.count() => String::new(),
        count => format!("{} ", grouped(count)),
    };
    let earlier = times_of(received, in_millis_short).unwrap_or_else(none);
    write!(
        out,
        "kernel   kernel timestamps: {}replies arrived {earlier} before this program woke up",
        of_all(received)
    )?;
    if let Some(later) = times_of(sent, in_millis_short) {
        write!(out, ", {}requests left {later} after they were sent", of_all(sent))?;
    }
    writeln!(out)
}

/// `0.274 ms (p50) / 1.461 ms (max)`, as far as there are enough for a median.
fn times_of(times: &Distribution, delay: fn(i64) -> String) -> Option<String> {
    let max = format!("{} (max)", delay(times.max()?));
    Some(match times.percentile(50.0) {
        Some(median) => format!("{} (p50) / {max}", delay(median)),
        None => max,
    })
}

/// A target among several.
pub(crate) struct Row<'a> {
    /// Where it was found; otherwise where it was sought.
    pub(crate) name: &'a str,
    /// What came of the calls, if any was made.
    pub(crate) report: Option<&'a PingReport>,
    /// In a word, how it has failed.
    pub(crate) word: Option<FailureKind>,
}

/// Several targets side by side.
pub(crate) fn comparison(out: &mut impl Write, style: Style, rows: &[Row<'_>]) -> io::Result<()> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    // On a narrow terminal the name has a line of its own.
    let own_line = !style.fits(width + 68);
    let name_width = if own_line { 0 } else { width };
    let mut line = |name: &str, cells: [String; 7], lossy: bool, word: Option<FailureKind>| {
        let [sent, lost, times @ ..] = cells;
        let lost = style.bad_if(lossy, format!("{lost:>7}"));
        write!(out, "{name:name_width$}{}{sent:>9} {lost}", if own_line { "\n" } else { " " })?;
        times.iter().try_for_each(|cell| write!(out, " {cell:>9}"))?;
        word.map_or(Ok(()), |word| write!(out, "  {}", style.bad(word)))?;
        writeln!(out)
    };
    line("ms", ["sent", "lost", "min", "p50", "p99", "max", "jitter"].map(str::to_owned), false, None)?;
    rows.iter().try_for_each(|row| {
        let lossy = row.report.is_some_and(|report| report.lost.all() != 0);
        line(row.name, row.report.map_or_else(|| [(); 7].map(|()| none()), compared), lossy, row.word)
    })
}

/// Which times of receipt the targets were compared by.
pub(crate) fn compared_by<'a>(
    out: &mut impl Write,
    targets: impl Iterator<Item = &'a Target>,
) -> io::Result<()> {
    let (kernel, user): (Vec<_>, Vec<_>) = targets.partition(|target| target.wire.receives);
    match (kernel.is_empty(), user.is_empty()) {
        (true, true) => Ok(()),
        (false, true) => writeln!(out, "all with kernel timestamps of receipt (--timestamps)"),
        (true, false) => writeln!(out, "all with user-space timestamps (--timestamps)"),
        (false, false) => {
            writeln!(out, "some with kernel timestamps of receipt, some without (--timestamps)")
        }
    }
}

fn compared(report: &PingReport) -> [String; 7] {
    let times = &report.rtt.delay;
    [
        grouped(report.sent()),
        format!("{}%", prose::percent_lost(report)),
        shown(times.min()),
        shown(times.percentile(50.0)),
        shown(times.percentile(99.0)),
        shown(times.max()),
        report.rtt.jitter.map_or_else(none, fixed),
    ]
}

/// What stands where there is nothing.
fn none() -> String {
    "-".to_owned()
}

fn shown(nanos: Option<i64>) -> String {
    nanos.map_or_else(none, millis)
}

/// `200 ms`: a time as it was typed, as far as one unit tells it.
pub(crate) fn spaced(time: Duration) -> String {
    let text = format!("{time:?}");
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}

/// Nanoseconds in milliseconds.
pub(crate) fn millis(nanos: i64) -> String {
    fixed(nanos as f64)
}

fn in_millis_short(nanos: i64) -> String {
    format!("{} ms", millis(nanos))
}

fn in_millis(nanos: f64) -> String {
    format!("{} ms", fixed(nanos))
}

fn span(time: Duration) -> String {
    fixed(time.as_secs_f64() * 1e9)
}

fn fixed(nanos: f64) -> String {
    format!("{:.3}", nanos / 1e6)
}

#[cfg(test)]
mod tests {
    use echosounder_client::Answered;
    use echosounder_proto::WallTime;

    use super::*;

    fn written(style: Style, happening: &PingEvent) -> String {
        let mut out = Vec::new();
        line(&mut out, style, "h", 64, happening).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_went_wrong_has_a_colour() {
        let sent = WallTime::from_nanos(0);
        let answered = |late, reordered| {
            let rtt = Duration::from_micros(1500);
            let (ways, residence, clock) = (None, None, Clock::Free);
            PingEvent::Answered(Answered { number: 7, sent, rtt, ways, residence, clock, late, reordered })
        };
        let lost = |word| PingEvent::Lost { number: 8, sent, word };
        for (happening, colored) in [
            (answered(false, false), "64 bytes from h: seq=7 rtt=1.500 ms\n"),
            (
                answered(true, true),
                "64 bytes from h: seq=7 rtt=1.500 ms \x1b[33mlate\x1b[0m \x1b[33mreordered\x1b[0m\n",
            ),
            (lost(Some(FailureKind::Timeout)), "h: seq=8 \x1b[31mTIMEOUT\x1b[0m\n"),
            (lost(None), "h: seq=8 not sent\n"),
            (PingEvent::Connected(false), "h: \x1b[31mconnection lost\x1b[0m\n"),
        ] {
            assert_eq!(written(Style::with(true, None), &happening), colored);
            let plain = ["\x1b[31m", "\x1b[33m", "\x1b[0m"]
                .iter()
                .fold(colored.to_owned(), |text, code| text.replace(code, ""));
            assert_eq!(written(Style::PLAIN, &happening), plain);
        }
    }

    #[test]
    fn a_narrow_table_has_a_line_for_each_column() {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [("rtt", cells(["0.070", "0.095"])), ("server", cells(["0.000", "0.001"]))];
        let mut out = Vec::new();
        narrow_table(&mut out, 8, &["min", "stddev"], &rows).unwrap();
        let table = "ms         rtt  server\nmin      0.070   0.000\nstddev   0.095   0.001\n";
        assert_eq!(String::from_utf8(out).unwrap(), table);
    }
}
