//! What a ping tells: each call as it ends, and what came of all.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{
    Answered, Clock, Distribution, Happening, PingInterval, PingReport, Place, Told, Verdict, WayReport,
    Wire, Word,
};
use echosounder_proto::WallTime;
use echosounder_socket::Address;
use echosounder_socket::kernel::ClockState;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;

use super::json;
use super::load::grouped;
use super::words;

/// Percentiles that are shown, as far as there are enough answers for them to say anything.
const PERCENTILES: [(f64, &str); 4] = [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99.9")];

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
    pub(crate) wire: Wire,
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
pub(crate) fn line(out: &mut impl Write, who: &str, size: usize, happening: &Happening) -> io::Result<()> {
    match happening {
        Happening::Answered(answered) => {
            let mut text =
                format!("{size} bytes from {who}: seq={} rtt={} ms", answered.number, span(answered.rtt));
            if let Some(ways) = answered.ways {
                let sign = if answered.clock == Clock::Free { "+" } else { "" };
                let [up, down] = [ways.up, ways.down].map(|nanos| format!("{sign}{}", millis(nanos)));
                // Writing to a string does not fail.
                let _ = write!(text, " up={up} down={down}");
            }
            text.push_str(if answered.late { " late" } else { "" });
            text.push_str(if answered.reordered { " reordered" } else { "" });
            writeln!(out, "{text}")
        }
        Happening::Lost { number, word: Some(word), .. } => writeln!(out, "{who}: seq={number} {word}"),
        Happening::Lost { number, word: None, .. } => {
            writeln!(out, "{who}: seq={number} not sent: no room for it")
        }
        Happening::Duplicate(number) => writeln!(out, "{who}: seq={number} once more"),
        Happening::Stray => writeln!(out, "{who}: something that answers no call"),
        Happening::Connected(false) => writeln!(out, "{who}: the connection is lost"),
        Happening::Connected(true) => writeln!(out, "{who}: connected again"),
        Happening::Contradicted => {
            writeln!(out, "{who}: its clock is not this machine's; delay is told above the quickest path")
        }
        _ => Ok(()),
    }
}

/// A line for what was not told of a target, since there was too much of it.
pub(crate) fn left_out(out: &mut impl Write, who: &str, count: u64) -> io::Result<()> {
    writeln!(out, "{who}: … and {} more", grouped(count))
}

/// All that came of the calls to one target.
pub(crate) fn statistics(out: &mut impl Write, target: &Target, report: &PingReport) -> io::Result<()> {
    writeln!(out, "--- {} ---", target.endpoint)?;
    counts(out, report)?;
    if report.rtt.delay.count() == 0 {
        return Ok(());
    }
    table(out, report)?;
    jitter(out, report)?;
    if let Some(line) = words::clock(target, report, in_millis) {
        writeln!(out, "clock    {line}")?;
    }
    timing(out, target, report)?;
    if let Some(line) = words::verdict(report, in_millis) {
        writeln!(out, "verdict  {line}")?;
    }
    Ok(())
}

fn counts(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    writeln!(
        out,
        "{} sent, {} answered, {} lost ({}%), {} late, {} duplicate, {} reordered, {:.1} s",
        grouped(report.sent()),
        grouped(report.answered),
        grouped(report.lost.all()),
        words::percent_lost(report),
        grouped(report.late),
        grouped(report.duplicate),
        grouped(report.reordered),
        report.elapsed.as_secs_f64()
    )?;
    if report.lost.all() != 0 {
        writeln!(out, "lost     {}", words::failures(&report.lost))?;
    }
    if report.stray != 0 {
        writeln!(out, "stray    {} that answer no call", grouped(report.stray))?;
    }
    if report.skipped != 0 {
        writeln!(out, "skipped  {} that could not leave in time", grouped(report.skipped))?;
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

fn table(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    let rows: Vec<_> = rows(report).into_iter().map(|(name, times)| (name, cells(report, times))).collect();
    let widest = rows.iter().flat_map(|(_, cells)| cells).map(String::len).max();
    let width = widest.unwrap_or(0).max(7) + 1;
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

fn jitter(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    let Some(rtt) = report.rtt.jitter else { return Ok(()) };
    write!(out, "jitter   {} ms there and back", fixed(rtt))?;
    if let (Some(up), Some(down)) = (report.up.jitter, report.down.jitter) {
        write!(out, ", {} up, {} down", fixed(up), fixed(down))?;
    }
    writeln!(out, " (RFC 3550)")
}

fn timing(out: &mut impl Write, target: &Target, report: &PingReport) -> io::Result<()> {
    let (sent, received) = (&report.kernel_sent, &report.kernel_received);
    write!(out, "timing   calls left late by ")?;
    if let Some(median) = report.lag.percentile(50.0) {
        write!(out, "{} ms p50, ", millis(median))?;
    }
    write!(out, "{} ms max", millis(report.lag.max().unwrap_or(0)))?;
    if sent.count() + received.count() == 0 {
        let why = if target.wire.receives { ", since the kernel told none" } else { "" };
        return writeln!(out, "; user-space timestamps{why}");
    }
    let told = |times: &Distribution, what: &str, way: &str| {
        let share = match times.count() {
            count if count == report.rtt.delay.count() => "all".to_owned(),
            count => grouped(count),
        };
        let (nanos, of) = match times.percentile(50.0) {
            Some(median) => (median, "p50"),
            None => (times.max()?, "max"),
        };
        Some(format!("{share} {what} {} ms {way} ({of})", millis(nanos)))
    };
    let parts = [told(sent, "calls leave", "later"), told(received, "answers come", "earlier")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    writeln!(out, "\nkernel   saw {}", parts.join(", "))
}

/// A target among several.
pub(crate) struct Row<'a> {
    /// Where it was found; otherwise where it was sought.
    pub(crate) name: &'a str,
    /// What came of the calls, if any was made.
    pub(crate) report: Option<&'a PingReport>,
    /// In a word, how it has failed.
    pub(crate) word: Option<Word>,
}

/// Several targets side by side.
pub(crate) fn comparison(out: &mut impl Write, rows: &[Row<'_>]) -> io::Result<()> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut line = |name: &str, cells: [String; 7], word: Option<Word>| {
        let [sent, lost, times @ ..] = cells;
        write!(out, "{name:width$} {sent:>9} {lost:>7}")?;
        times.iter().try_for_each(|cell| write!(out, " {cell:>9}"))?;
        word.map_or(Ok(()), |word| write!(out, "  {word}"))?;
        writeln!(out)
    };
    line("ms", ["sent", "lost", "min", "p50", "p99", "max", "jitter"].map(str::to_owned), None)?;
    rows.iter().try_for_each(|row| {
        line(row.name, row.report.map_or_else(|| [(); 7].map(|()| none()), compared), row.word)
    })
}

fn compared(report: &PingReport) -> [String; 7] {
    let times = &report.rtt.delay;
    [
        grouped(report.sent()),
        format!("{}%", words::percent_lost(report)),
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

fn in_millis(nanos: f64) -> String {
    format!("{} ms", fixed(nanos))
}

fn span(time: Duration) -> String {
    fixed(time.as_secs_f64() * 1e9)
}

fn fixed(nanos: f64) -> String {
    format!("{:.3}", nanos / 1e6)
}

/// The objects of `--json`.
#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    endpoint: &'a str,
    found: &'a str,
    local: Option<&'a str>,
    size: usize,
    interval_ns: u64,
    wait_ns: u64,
    count: Option<u64>,
    clock: &'static str,
    kernel_sends: bool,
    kernel_receives: bool,
    own_clock_synchronized: Option<bool>,
    own_clock_error_max_ns: Option<u64>,
    started_unix_ns: u64,
}

#[derive(Serialize)]
struct Sample<'a> {
    event: &'static str,
    endpoint: &'a str,
    seq: u64,
    outcome: &'static str,
    word: Option<String>,
    sent_unix_ns: Option<u64>,
    rtt_ns: Option<u64>,
    up_ns: Option<i64>,
    down_ns: Option<i64>,
    up_above_quickest_ns: Option<i64>,
    down_above_quickest_ns: Option<i64>,
    server_ns: Option<u64>,
    reordered: bool,
}

#[derive(Serialize)]
struct Interval<'a> {
    event: &'static str,
    endpoint: &'a str,
    answered: u64,
    lost: u64,
    rtt: Times,
}

#[derive(Serialize)]
struct Plain<'a> {
    event: &'static str,
    endpoint: &'a str,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    event: &'static str,
    endpoint: &'a str,
    count: u64,
}

/// Why a target was not called, or not any more.
#[derive(Serialize)]
struct Failure<'a> {
    event: &'static str,
    endpoint: &'a str,
    word: Option<String>,
    error: &'a str,
}

/// What came of all calls.
#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    endpoint: &'a str,
    found: &'a str,
    elapsed_ns: u64,
    sent: u64,
    answered: u64,
    late: u64,
    lost: u64,
    refused: u64,
    timeout: u64,
    unreachable: u64,
    dns: u64,
    closed: u64,
    unsent: u64,
    loss_percent: f64,
    duplicate: u64,
    reordered: u64,
    stray: u64,
    skipped: u64,
    rtt: Times,
    server: Times,
    up: Times,
    down: Times,
    up_down_assume_equal_quickest: bool,
    rtt_jitter_ns: Option<f64>,
    up_jitter_ns: Option<f64>,
    down_jitter_ns: Option<f64>,
    rtt_ipdv: Times,
    up_ipdv: Times,
    down_ipdv: Times,
    stamp: &'static str,
    clock: &'static str,
    clock_contradicted: bool,
    clock_ahead_ns: Option<i64>,
    clock_uncertainty_ns: Option<u64>,
    clock_drift_ppm: Option<f64>,
    clock_drift_uncertainty_ppm: Option<f64>,
    clock_zone_minutes: Option<i64>,
    clock_peer_steps: u64,
    clock_own_steps: u64,
    left_late: Times,
    kernel_sends: u64,
    kernel_receives: u64,
    kernel_send_later: Times,
    kernel_receive_earlier: Times,
    verdict: Option<&'static str>,
    missed: &'a [&'static str],
}

/// A distribution of times; `null` where there are too few for them.
#[derive(Serialize)]
struct Times {
    count: u64,
    min_ns: Option<i64>,
    mean_ns: Option<f64>,
    stddev_ns: Option<f64>,
    p50_ns: Option<i64>,
    p90_ns: Option<i64>,
    p99_ns: Option<i64>,
    p99_9_ns: Option<i64>,
    p99_99_ns: Option<i64>,
    max_ns: Option<i64>,
}

impl Times {
    fn of(times: &Distribution) -> Self {
        Self {
            count: times.count(),
            min_ns: times.min(),
            mean_ns: times.mean(),
            stddev_ns: times.stddev(),
            p50_ns: times.percentile(50.0),
            p90_ns: times.percentile(90.0),
            p99_ns: times.percentile(99.0),
            p99_9_ns: times.percentile(99.9),
            p99_99_ns: times.percentile(99.99),
            max_ns: times.max(),
        }
    }
}

/// The object before the first call.
pub(crate) fn start_object(out: &mut impl Write, target: &Target) -> io::Result<()> {
    json::line(
        out,
        &Start {
            event: "start",
            endpoint: &target.endpoint,
            found: &target.found,
            local: target.local.as_deref(),
            size: target.size,
            interval_ns: nanos(target.interval),
            wait_ns: nanos(target.wait),
            count: target.count,
            clock: clock_name(target.clock),
            kernel_sends: target.wire.sends,
            kernel_receives: target.wire.receives,
            own_clock_synchronized: target.own_clock.map(|clock| clock.synchronized),
            own_clock_error_max_ns: target.own_clock.map(|clock| nanos(clock.error_max)),
            started_unix_ns: target.started,
        },
    )
}

/// The object for what happens; a report has one of its own.
pub(crate) fn object(out: &mut impl Write, endpoint: &str, happening: &Happening) -> io::Result<()> {
    match happening {
        Happening::Answered(answered) => json::line(out, &Sample::answered(endpoint, answered)),
        Happening::Lost { number, sent, word } => {
            json::line(out, &Sample::lost(endpoint, *number, *sent, *word))
        }
        Happening::Duplicate(number) => json::line(out, &Sample::outcome(endpoint, *number, "duplicate")),
        Happening::Interval(interval) => {
            let PingInterval { answered, lost, rtt } = &**interval;
            let (answered, lost, rtt) = (*answered, *lost, Times::of(rtt));
            json::line(out, &Interval { event: "interval", endpoint, answered, lost, rtt })
        }
        Happening::Stray => json::line(out, &Plain { event: "stray", endpoint }),
        Happening::Contradicted => json::line(out, &Plain { event: "clock_contradicted", endpoint }),
        Happening::Connected(true) => json::line(out, &Plain { event: "connected", endpoint }),
        Happening::Connected(false) => json::line(out, &Plain { event: "disconnected", endpoint }),
        _ => Ok(()),
    }
}

/// The object for what was not told of a target, since there was too much of it.
pub(crate) fn left_out_object(out: &mut impl Write, endpoint: &str, count: u64) -> io::Result<()> {
    json::line(out, &LeftOut { event: "left_out", endpoint, count })
}

/// The object for what has failed, in a file.
pub(crate) fn error_object(
    out: &mut impl Write,
    endpoint: &str,
    word: Option<Word>,
    error: &str,
) -> io::Result<()> {
    let word = word.map(|word| word.to_string());
    json::line(out, &Failure { event: "error", endpoint, word, error })
}

impl<'a> Sample<'a> {
    fn outcome(endpoint: &'a str, seq: u64, outcome: &'static str) -> Self {
        Self {
            event: "sample",
            endpoint,
            seq,
            outcome,
            word: None,
            sent_unix_ns: None,
            rtt_ns: None,
            up_ns: None,
            down_ns: None,
            up_above_quickest_ns: None,
            down_above_quickest_ns: None,
            server_ns: None,
            reordered: false,
        }
    }

    fn lost(endpoint: &'a str, seq: u64, sent: WallTime, word: Option<Word>) -> Self {
        let outcome = if word.is_some() { "lost" } else { "unsent" };
        let sent_unix_ns = Some(sent.as_nanos());
        Self {
            sent_unix_ns,
            word: word.map(|word| word.to_string()),
            ..Self::outcome(endpoint, seq, outcome)
        }
    }

    fn answered(endpoint: &'a str, answered: &Answered) -> Self {
        let free = answered.clock == Clock::Free;
        let ways = |wanted: bool| answered.ways.filter(|_| wanted);
        Self {
            sent_unix_ns: Some(answered.sent.as_nanos()),
            rtt_ns: Some(nanos(answered.rtt)),
            up_ns: ways(!free).map(|ways| ways.up),
            down_ns: ways(!free).map(|ways| ways.down),
            up_above_quickest_ns: ways(free).map(|ways| ways.up),
            down_above_quickest_ns: ways(free).map(|ways| ways.down),
            server_ns: answered.residence.map(nanos),
            reordered: answered.reordered,
            ..Self::outcome(endpoint, answered.number, if answered.late { "late" } else { "answered" })
        }
    }
}

/// The object of a report: `event` is "interim" or "end".
pub(crate) fn report_object(
    out: &mut impl Write,
    event: &'static str,
    target: &Target,
    report: &PingReport,
    missed: &[&'static str],
) -> io::Result<()> {
    let PingReport { lost, clock, .. } = report;
    let verdict = report.verdict().map(|(verdict, _)| match verdict {
        Verdict::Steady => "steady",
        Verdict::Up => "up",
        Verdict::Down => "down",
        Verdict::Both => "both",
        Verdict::Server => "server",
    });
    let jitter = |way: &WayReport| way.jitter;
    json::line(
        out,
        &Summary {
            event,
            endpoint: &target.endpoint,
            found: &target.found,
            elapsed_ns: nanos(report.elapsed),
            sent: report.sent(),
            answered: report.answered,
            late: report.late,
            lost: lost.all(),
            refused: lost.refused,
            timeout: lost.timeout,
            unreachable: lost.unreachable,
            dns: lost.dns,
            closed: lost.closed,
            unsent: lost.unsent,
            loss_percent: report.loss_percent(),
            duplicate: report.duplicate,
            reordered: report.reordered,
            stray: report.stray,
            skipped: report.skipped,
            rtt: Times::of(&report.rtt.delay),
            server: Times::of(&report.server),
            up: Times::of(&report.up.delay),
            down: Times::of(&report.down.delay),
            up_down_assume_equal_quickest: clock.clock == Clock::Free,
            rtt_jitter_ns: jitter(&report.rtt),
            up_jitter_ns: jitter(&report.up),
            down_jitter_ns: jitter(&report.down),
            rtt_ipdv: Times::of(&report.rtt.variation),
            up_ipdv: Times::of(&report.up.variation),
            down_ipdv: Times::of(&report.down.variation),
            stamp: match report.told {
                Told::Nothing => "none",
                Told::Second => "second",
                Told::Time => "time",
                Told::Both => "both",
            },
            clock: clock_name(clock.clock),
            clock_contradicted: clock.contradicted,
            clock_ahead_ns: clock.ahead,
            clock_uncertainty_ns: clock.uncertainty,
            clock_drift_ppm: clock.drift_ppm.map(|(drift, _)| drift),
            clock_drift_uncertainty_ppm: clock.drift_ppm.map(|(_, within)| within),
            clock_zone_minutes: clock.zone_minutes,
            clock_peer_steps: clock.peer_steps,
            clock_own_steps: clock.own_steps,
            left_late: Times::of(&report.lag),
            kernel_sends: report.kernel_sent.count(),
            kernel_receives: report.kernel_received.count(),
            kernel_send_later: Times::of(&report.kernel_sent),
            kernel_receive_earlier: Times::of(&report.kernel_received),
            verdict,
            missed,
        },
    )
}

/// The first line of a file of calls.
pub(crate) fn csv_header(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "endpoint,seq,outcome,sent_unix_ns,rtt_ns,up_ns,down_ns,up_above_quickest_ns,down_above_quickest_ns,\
         server_ns,reordered"
    )
}

/// A call as a line of such a file.
pub(crate) fn csv(out: &mut impl Write, endpoint: &str, happening: &Happening) -> io::Result<()> {
    let sample = match happening {
        Happening::Answered(answered) => Sample::answered(endpoint, answered),
        Happening::Lost { number, sent, word } => Sample::lost(endpoint, *number, *sent, *word),
        Happening::Duplicate(number) => Sample::outcome(endpoint, *number, "duplicate"),
        _ => return Ok(()),
    };
    fn cell<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    let outcome = sample.word.as_deref().unwrap_or(sample.outcome);
    writeln!(
        out,
        "\"{}\",{},{outcome},{},{},{},{},{},{},{},{}",
        endpoint.replace('"', "\"\""),
        sample.seq,
        cell(sample.sent_unix_ns),
        cell(sample.rtt_ns),
        cell(sample.up_ns),
        cell(sample.down_ns),
        cell(sample.up_above_quickest_ns),
        cell(sample.down_above_quickest_ns),
        cell(sample.server_ns),
        sample.reordered
    )
}

/// HdrHistogram's log, an interval for each target; values are in nanoseconds.
pub(crate) fn hdr(out: &mut impl Write, results: &[(&Target, &PingReport)]) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("round trips in nanoseconds");
    for (place, (target, _)) in results.iter().enumerate() {
        builder.add_comment(&format!("target {place}: {}", target.endpoint));
    }
    let mut log = builder.begin_log_with(out, &mut serializer)?;
    for (place, (_, report)) in results.iter().enumerate() {
        let tag = place.to_string();
        let tag = (results.len() != 1).then(|| Tag::new(&tag)).flatten();
        log.write_histogram(report.rtt.delay.histogram(), Duration::ZERO, report.elapsed, tag)
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    Ok(())
}

fn clock_name(clock: Clock) -> &'static str {
    match clock {
        Clock::Same => "same",
        Clock::Synced => "synced",
        Clock::Free => "free",
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
