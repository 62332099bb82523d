//! What a load tells: how it goes, and what came of it.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use echosounder_client::{Interval, Load, Pace, Report, Spacing, Step, percentile};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use serde::Serialize;

use super::json;
use super::transcript::counted;

/// Percentiles that are shown, as far as there are enough answers for them to say anything.
const PERCENTILES: [(f64, &str); 6] =
    [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99.9"), (99.99, "p99.99"), (99.999, "p99.999")];

/// The longest bar.
const BAR: usize = 40;

/// Most bars.
const BARS: usize = 12;

/// What came of a load, and what is known beside.
pub(crate) struct Result<'a> {
    pub(crate) load: &'a Load,
    pub(crate) report: &'a Report,
    /// The processor's time that the load's own server took.
    pub(crate) server_cpu: Option<Duration>,
}

/// An object of the result. Times are `null` where there are too few answers for them.
#[derive(Serialize)]
struct Object {
    event: &'static str,
    endpoint: String,
    connections: usize,
    depth: Option<usize>,
    rate_asked: Option<f64>,
    spacing: Option<&'static str>,
    size_min: usize,
    size_max: usize,
    threads: usize,
    elapsed_ns: u64,
    sent: u64,
    answered: u64,
    lost: u64,
    late: u64,
    wrong: u64,
    unsent: u64,
    unstamped: u64,
    closed: u64,
    bytes: u64,
    rate: f64,
    latency: Times,
    lag: Option<Times>,
    load_busy: f64,
    load_is_the_limit: bool,
    server_cpu_ns: Option<u64>,
}

/// A distribution of times.
#[derive(Serialize)]
struct Times {
    min_ns: Option<u64>,
    mean_ns: Option<f64>,
    stddev_ns: Option<f64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p99_9_ns: Option<u64>,
    p99_99_ns: Option<u64>,
    p99_999_ns: Option<u64>,
    max_ns: Option<u64>,
}

impl Times {
    fn of(histogram: &Histogram<u64>) -> Self {
        let any = !histogram.is_empty();
        let at = |of_100| percentile(histogram, of_100).map(nanos);
        Self {
            min_ns: any.then(|| histogram.min()),
            mean_ns: any.then(|| histogram.mean()),
            stddev_ns: any.then(|| histogram.stdev()),
            p50_ns: at(50.0),
            p90_ns: at(90.0),
            p99_ns: at(99.0),
            p99_9_ns: at(99.9),
            p99_99_ns: at(99.99),
            p99_999_ns: at(99.999),
            max_ns: any.then(|| histogram.max()),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells how a load goes: on a terminal on one line that changes, otherwise as an object.
pub(crate) fn interval(out: &mut impl Write, now: &Interval, as_json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Object {
        event: &'static str,
        elapsed_ns: u64,
        sent: u64,
        answered: u64,
        rate: f64,
    }
    let Interval { elapsed, sent, answered, rate } = *now;
    if as_json {
        return json::line(
            out,
            &Object { event: "interval", elapsed_ns: nanos(elapsed), sent, answered, rate },
        );
    }
    write!(
        out,
        "\r\x1b[K{:4.0} s  {} answered  {}/s",
        elapsed.as_secs_f64(),
        grouped(answered),
        round(rate)
    )?;
    out.flush()
}

/// Tells of a rate that was tried.
pub(crate) fn step(out: &mut impl Write, step: &Step, as_json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Object {
        event: &'static str,
        rate_asked: f64,
        rate: f64,
        p99_ns: Option<u64>,
        lost: u64,
        holds: bool,
    }
    let p99 = step.report.percentile(99.0);
    if as_json {
        return json::line(
            out,
            &Object {
                event: "step",
                rate_asked: step.rate,
                rate: step.report.rate(),
                p99_ns: p99.map(nanos),
                lost: step.report.tally.lost(),
                holds: step.holds,
            },
        );
    }
    let p99 = p99.map_or_else(|| "-".to_owned(), millis);
    let verdict = if step.holds { "holds" } else { "does not hold" };
    writeln!(out, "{:>11}/s  p99 {p99:>9} ms  {verdict}", round(step.rate))
}

/// Tells what came of a load.
pub(crate) fn result(out: &mut impl Write, result: &Result<'_>, as_json: bool) -> io::Result<()> {
    if as_json {
        return json::line(out, &result.object());
    }
    let Result { load, report, server_cpu } = result;
    let tally = &report.tally;
    writeln!(out, "--- {}: {} ---", report.peer, describe(load))?;
    write!(
        out,
        "{} sent, {} answered, {} lost, {} late, {} wrong",
        grouped(tally.sent),
        grouped(tally.answered),
        grouped(tally.lost()),
        grouped(tally.late),
        grouped(tally.wrong)
    )?;
    for (count, what) in [
        (tally.unsent, "not sent"),
        (tally.unstamped, "without a stamp of their own"),
        (tally.closed, "ended by the peer"),
    ] {
        if count != 0 {
            write!(out, ", {} {what}", grouped(count))?;
        }
    }
    writeln!(out, ", {:.1} s", report.elapsed.as_secs_f64())?;
    let megabytes = tally.bytes as f64 / report.elapsed.as_secs_f64().max(1e-9) / 1e6;
    writeln!(out, "rate     {} messages/s, {megabytes:.1} MB/s each way", round(report.rate()))?;
    if let Some(cpu) = server_cpu
        && tally.answered != 0
    {
        writeln!(
            out,
            "server   {:.2} µs of a processor for each message, warm-up included",
            cpu.as_secs_f64() * 1e6 / tally.answered as f64
        )?;
    }
    if !report.latency.is_empty() {
        times(out, report)?;
        bars(out, &report.latency)?;
    }
    if report.is_the_limit() {
        let why = if report.lag.is_empty() { "it had no time left" } else { "messages left late" };
        writeln!(
            out,
            "limit    this load: {why}, its busiest thread on a processor {:.0} % of the time; see --threads",
            report.busy * 100.0
        )?;
    }
    Ok(())
}

fn describe(load: &Load) -> String {
    let (low, high) = load.sizes;
    let sizes = if low == high { format!("{low} bytes") } else { format!("{low} to {high} bytes") };
    let connections = counted(load.connections.get() as u64, "connection");
    match load.pace {
        Pace::Closed { depth } => format!("{connections}, {depth} of {sizes} under way on each"),
        Pace::Open { rate, spacing: Spacing::Even } => format!("{connections}, {}/s of {sizes}", round(rate)),
        Pace::Open { rate, .. } => format!("{connections}, {}/s of {sizes} at random times", round(rate)),
    }
}

fn times(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let lag = (!report.lag.is_empty()).then_some(("sent late", &report.lag));
    let shown: Vec<(f64, &str)> =
        PERCENTILES.into_iter().filter(|(of_100, _)| report.percentile(*of_100).is_some()).collect();
    write!(out, "{:9}{:>10}{:>10}", "ms", "min", "mean")?;
    shown.iter().try_for_each(|(_, name)| write!(out, "{name:>10}"))?;
    writeln!(out, "{:>10}{:>10}", "max", "stddev")?;
    for (name, histogram) in [Some(("latency", &report.latency)), lag].into_iter().flatten() {
        let ms = |nanos: f64| format!("{:.3}", nanos / 1e6);
        write!(out, "{name:9}{:>10}{:>10}", ms(histogram.min() as f64), ms(histogram.mean()))?;
        for (of_100, _) in &shown {
            write!(out, "{:>10}", ms(histogram.value_at_percentile(*of_100) as f64))?;
        }
        writeln!(out, "{:>10}{:>10}", ms(histogram.max() as f64), ms(histogram.stdev()))?;
    }
    Ok(())
}

/// The distribution, on steps that double, from the first that has an answer.
fn bars(out: &mut impl Write, histogram: &Histogram<u64>) -> io::Result<()> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    let mut low = histogram.min().max(1).next_power_of_two() / 2;
    while low <= histogram.max() && counts.len() < 64 {
        let high = (low * 2).max(1);
        counts.push((high, histogram.count_between(low, high - 1)));
        low = high;
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let left_out = counts.len().saturating_sub(BARS);
    for (high, count) in counts.iter().take(BARS) {
        let len = usize::try_from(count * BAR as u64 / most).unwrap_or(0);
        let share = *count as f64 / histogram.len() as f64 * 100.0;
        writeln!(
            out,
            "  < {:>9} ms {share:6.2} %  {}",
            millis(Duration::from_nanos(*high)),
            "#".repeat(len)
        )?;
    }
    if left_out != 0 {
        let rest: u64 = counts.iter().skip(BARS).map(|(_, count)| count).sum();
        writeln!(out, "  and {} later", grouped(rest))?;
    }
    Ok(())
}

impl Result<'_> {
    fn object(&self) -> Object {
        let Self { load, report, server_cpu } = self;
        let tally = &report.tally;
        let (depth, rate_asked, spacing) = match load.pace {
            Pace::Closed { depth } => (Some(depth), None, None),
            Pace::Open { rate, spacing: Spacing::Even } => (None, Some(rate), Some("even")),
            Pace::Open { rate, spacing: Spacing::Poisson } => (None, Some(rate), Some("poisson")),
        };
        Object {
            event: "result",
            endpoint: report.peer.clone(),
            connections: load.connections.get(),
            depth,
            rate_asked,
            spacing,
            size_min: load.sizes.0,
            size_max: load.sizes.1,
            threads: load.threads.get(),
            elapsed_ns: nanos(report.elapsed),
            sent: tally.sent,
            answered: tally.answered,
            lost: tally.lost(),
            late: tally.late,
            wrong: tally.wrong,
            unsent: tally.unsent,
            unstamped: tally.unstamped,
            closed: tally.closed,
            bytes: tally.bytes,
            rate: report.rate(),
            latency: Times::of(&report.latency),
            lag: (!report.lag.is_empty()).then(|| Times::of(&report.lag)),
            load_busy: report.busy,
            load_is_the_limit: report.is_the_limit(),
            server_cpu_ns: server_cpu.map(nanos),
        }
    }

    /// Writes the result as the file's name says.
    pub(crate) fn save(&self, out: &mut impl Write, path: &Path) -> anyhow::Result<()> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("hdr") => save_hdr(out, self.report)?,
            Some("csv") => save_csv(out, &self.report.latency)?,
            _ => json::line(out, &self.object())?,
        }
        Ok(out.flush()?)
    }
}

/// The percentiles at which the time grows, as rows.
fn save_csv(out: &mut impl Write, histogram: &Histogram<u64>) -> io::Result<()> {
    writeln!(out, "latency_ns,percentile,answers_up_to_it")?;
    let mut so_far = 0;
    for value in histogram.iter_recorded() {
        so_far += value.count_since_last_iteration();
        writeln!(out, "{},{:.6},{so_far}", value.value_iterated_to(), value.percentile())?;
    }
    Ok(())
}

/// HdrHistogram's log, of one interval; values are in nanoseconds.
fn save_hdr(out: &mut impl Write, report: &Report) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latency in nanoseconds")
        .begin_log_with(out, &mut serializer)?;
    log.write_histogram(&report.latency, Duration::ZERO, report.elapsed, None)
        .map_err(|error| anyhow::anyhow!("{error:?}"))
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

fn round(rate: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are positive and below 2^64"
    )]
    if rate < 10.0 { format!("{rate:.3}") } else { grouped(rate.round() as u64) }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
