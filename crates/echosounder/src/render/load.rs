//! What a load tells: how it goes, and what came of it.

use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{Distribution, Load, LoadInterval, LoadReport, Pace, SizeRange, Spacing, Step};
use echosounder_socket::Kind;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use serde::Serialize;

use super::json::{self, EventTime};
use super::style::Style;
use crate::args::ResultFormat;

/// Percentiles that are shown, as far as there are enough answers for them to say anything.
const PERCENTILES: [(f64, &str); 7] = [
    (50.0, "p50"),
    (90.0, "p90"),
    (95.0, "p95"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
    (99.999, "p99.999"),
];

/// The longest bar.
const BAR: usize = 40;

/// Most bars.
const BARS: usize = 12;

/// What came of a load, and what is known beside.
pub(crate) struct Result<'a> {
    /// The name of its object: "result", or "interim" while the load goes on.
    pub(crate) event: &'static str,
    pub(crate) load: &'a Load,
    pub(crate) report: &'a LoadReport,
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
    duplicate: u64,
    unsent: u64,
    unstamped: u64,
    closed: u64,
    bytes: u64,
    network_errors: u64,
    rate: f64,
    latency: Times,
    lag: Option<Times>,
    load_busy: f64,
    load_starved: f64,
    load_is_the_limit: bool,
    server_cpu_ns: Option<u64>,
    server_cpu_ns_per_message: Option<f64>,
}

/// A distribution of times.
#[derive(Serialize)]
struct Times {
    min_ns: Option<i64>,
    mean_ns: Option<f64>,
    stddev_ns: Option<f64>,
    p50_ns: Option<i64>,
    p90_ns: Option<i64>,
    p95_ns: Option<i64>,
    p99_ns: Option<i64>,
    p99_9_ns: Option<i64>,
    p99_99_ns: Option<i64>,
    p99_999_ns: Option<i64>,
    max_ns: Option<i64>,
}

impl Times {
    fn of(times: &Distribution) -> Self {
        let at = |of_100| times.percentile(of_100);
        Self {
            min_ns: times.min(),
            mean_ns: times.mean(),
            stddev_ns: times.stddev(),
            p50_ns: at(50.0),
            p90_ns: at(90.0),
            p95_ns: at(95.0),
            p99_ns: at(99.0),
            p99_9_ns: at(99.9),
            p99_99_ns: at(99.99),
            p99_999_ns: at(99.999),
            max_ns: times.max(),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells how a load goes: on a terminal on one line that changes, otherwise as an object.
pub(crate) fn interval(
    out: &mut impl Write,
    style: Style,
    now: &LoadInterval,
    as_json: bool,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Object {
        event: &'static str,
        elapsed_ns: u64,
        sent: u64,
        answered: u64,
        rate: f64,
    }
    let LoadInterval { elapsed, sent, answered, rate } = *now;
    if as_json {
        return json::event(
            out,
            &EventTime::now(),
            &Object { event: "interval", elapsed_ns: nanos(elapsed), sent, answered, rate },
        );
    }
    let (seconds, rate) = (elapsed.as_secs_f64(), round(rate));
    let mut line = format!("{seconds:4.0} s  {} answered  {rate}/s", grouped(answered));
    // A line that a narrow terminal breaks is not taken away as a whole.
    if !style.fits(line.len() + 1) {
        line = format!("{seconds:4.0} s  {rate}/s");
    }
    write!(out, "\r\x1b[K{line}")?;
    out.flush()
}

/// Tells of a rate that was tried.
pub(crate) fn step(
    out: &mut impl Write,
    style: Style,
    step: &Step,
    bound: Duration,
    as_json: bool,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Object {
        event: &'static str,
        rate_asked: f64,
        rate: f64,
        p99_ns: Option<u64>,
        lost: u64,
        holds: bool,
        load_is_the_limit: bool,
    }
    let Step { rate, report, holds } = step;
    let p99 = report.percentile(99.0);
    if as_json {
        return json::event(
            out,
            &EventTime::now(),
            &Object {
                event: "step",
                rate_asked: *rate,
                rate: report.rate(),
                p99_ns: p99.map(nanos),
                lost: report.counts.lost(),
                holds: *holds,
                load_is_the_limit: report.is_generator_the_bottleneck(),
            },
        );
    }
    let why = match p99 {
        _ if *holds => "holds".to_owned(),
        _ if report.is_generator_the_bottleneck() => {
            "inconclusive: the generator could not send fast enough".to_owned()
        }
        _ if report.counts.lost() != 0 => format!("not held: {} lost", grouped(report.counts.lost())),
        _ if report.p99_or_max().is_some_and(|p99| bound < p99) => {
            format!("not held: over {} ms", millis(bound))
        }
        _ => format!("not held: {}/s came back", round(report.rate())),
    };
    // Fewer than a hundred replies have no 99th percentile: then it is the maximum that counts.
    let name = if p99.is_some() { "p99" } else { "max" };
    let time = report.p99_or_max().map_or_else(|| "-".to_owned(), millis);
    let why = if *holds { style.good(why) } else { style.bad(why) };
    writeln!(style.wrapped(out), "{:>11}/s  {name} {time:>9} ms  {why}", round(*rate))
}

/// Tells what came of a load.
pub(crate) fn result(
    out: &mut impl Write,
    style: Style,
    result: &Result<'_>,
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        return json::event(out, &EventTime::now(), &result.object());
    }
    let out = &mut style.wrapped(out);
    let Result { load, report, .. } = result;
    let seconds = report.elapsed.as_secs_f64();
    writeln!(out, "--- {} ---", report.peer)?;
    writeln!(out, "{}, {seconds:.1} s", describe(load))?;
    counts(out, style, load, report)?;
    let megabytes = report.counts.bytes as f64 / seconds.max(1e-9) / 1e6;
    writeln!(out, "rate     {} messages/s, {megabytes:.1} MB/s each way", round(report.rate()))?;
    if let Some(cost) = result.server_cost() {
        writeln!(out, "server   {:.2} µs of CPU time per message", cost * 1e6)?;
    }
    if report.is_generator_the_bottleneck() {
        writeln!(out, "bottleneck: {}", style.caution(limit(report)))?;
    }
    if !report.latency.is_empty() {
        times(out, report)?;
        bars(out, style, &report.latency.histogram())?;
    }
    Ok(())
}

/// What became of the messages: what there always is on one line, and what there should not be on lines of its own.
fn counts(out: &mut impl Write, style: Style, load: &Load, report: &LoadReport) -> io::Result<()> {
    let counts = &report.counts;
    let late = format!("{} late", grouped(counts.late));
    writeln!(
        out,
        "{} sent, {} answered, {}, {}, {}",
        grouped(counts.sent),
        grouped(counts.answered),
        style.bad_if(counts.lost() != 0, format!("{} lost", grouped(counts.lost()))),
        if counts.late == 0 { late } else { style.caution(late) },
        style.bad_if(counts.unexpected != 0, format!("{} wrong", grouped(counts.unexpected)))
    )?;
    let connected = load.connect.endpoint.transport().kind() != Kind::Datagrams;
    // Of a server that does not stamp, none of the replies has a timestamp.
    let unstamped = match counts.answered + counts.late {
        all if counts.unstamped == all => "came without a timestamp (the server sends none)",
        _ => "shared a timestamp with an earlier one (server read several at once)",
    };
    let ended = if connected { "connections ended by the server" } else { "sockets refused by the server" };
    for (count, what) in [
        (counts.duplicate, "answered more than once"),
        (counts.unsent, "due but not sent: no buffer space or no time"),
        (counts.unstamped, unstamped),
        (counts.closed, ended),
        (counts.network_errors, "errors about earlier messages reported by the network (ICMP)"),
    ] {
        if count != 0 {
            writeln!(out, "{:8} {} {what}", "", grouped(count))?;
        }
    }
    Ok(())
}

/// Why the load could not go faster.
fn limit(report: &LoadReport) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let (ran, waited) = (percent(report.cpu.busy), percent(report.cpu.waiting));
    match (report.send_delay.is_empty(), report.is_generator_busy()) {
        (true, true) => format!("the generator (busiest thread {ran} busy; see --threads)"),
        (true, false) => {
            format!("this machine (generator busy {ran}, waiting for CPU {waited})")
        }
        (false, true) => {
            format!("the generator (messages sent late, busy {ran}; see --threads)")
        }
        (false, false) => {
            format!("this machine (messages sent late, generator busy {ran})")
        }
    }
}

fn describe(load: &Load) -> String {
    let SizeRange { min: low, max: high } = load.sizes;
    let sizes = match (low, high) {
        (1, 1) => "1 byte".to_owned(),
        _ if low == high => format!("{} bytes", grouped(low as u64)),
        _ => format!("{} to {} bytes", grouped(low as u64), grouped(high as u64)),
    };
    let many = |count: usize, what: &str| {
        format!("{} {what}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
    };
    let connected = load.connect.endpoint.transport().kind() != Kind::Datagrams;
    let connections = many(load.connections.get(), if connected { "connection" } else { "socket" });
    match load.pace {
        Pace::Closed { depth } => {
            format!("{connections}, {} of {sizes} in flight on each", many(depth, "message"))
        }
        Pace::Open { rate, spacing: Spacing::Even } => format!("{connections}, {}/s of {sizes}", round(rate)),
        Pace::Open { rate, .. } => format!("{connections}, {}/s of {sizes} at random times", round(rate)),
    }
}

/// Percentiles below each other, so that they fit a terminal whatever they are.
fn times(out: &mut impl Write, report: &LoadReport) -> io::Result<()> {
    let columns: Vec<&Distribution> =
        [&report.latency, &report.send_delay].into_iter().filter(|times| !times.is_empty()).collect();
    let late = if columns.len() == 2 { "   sent late" } else { "" };
    writeln!(out, "ms           latency{late}")?;
    let mut row = |name: &str, value: &dyn Fn(&Distribution) -> Option<f64>| {
        write!(out, "{name:8}")?;
        columns.iter().try_for_each(|times| write!(out, "{:>12.3}", value(times).unwrap_or(0.0) / 1e6))?;
        writeln!(out)
    };
    row("min", &|times| times.min().map(|nanos| nanos as f64))?;
    row("mean", &Distribution::mean)?;
    for (of_100, name) in PERCENTILES {
        if report.percentile(of_100).is_some() {
            row(name, &|times| times.rank(of_100).map(|nanos| nanos as f64))?;
        }
    }
    row("max", &|times| times.max().map(|nanos| nanos as f64))?;
    row("stddev", &Distribution::stddev)
}

/// The distribution, on steps of 1, 2, 5, 10 and so on, from the first that has an answer.
fn bars(out: &mut impl Write, style: Style, histogram: &Histogram<u64>) -> io::Result<()> {
    // In front of each bar there are 25 columns.
    let longest = style.at_most(BAR + 25).saturating_sub(25).max(1);
    let steps = (0..20).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power).min(u64::MAX / 5)));
    let above: Vec<u64> = steps.skip_while(|&step| step <= histogram.min()).take(BARS).collect();
    let mut rows = Vec::new();
    let mut below = 0;
    for &step in &above {
        if histogram.max() < below {
            break;
        }
        rows.push((format!("< {}", plain_millis(step)), histogram.count_between(below, step - 1)));
        below = step;
    }
    if below <= histogram.max() {
        let rest = histogram.count_between(below, histogram.max());
        rows.push((format!(">= {}", plain_millis(below)), rest));
    }
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    for (name, count) in rows {
        let len = usize::try_from(count * longest as u64 / most).unwrap_or(0);
        let share = count as f64 / histogram.len() as f64 * 100.0;
        writeln!(out, "{}", format!("{name:>10} ms {share:>7.2} %  {}", "#".repeat(len)).trim_end())?;
    }
    Ok(())
}

impl Result<'_> {
    /// Seconds of a processor that the load's own server spent on each message, connecting and warm-up included.
    fn server_cost(&self) -> Option<f64> {
        let answered = self.report.answered_total;
        // Of a few, it would be the cost of the connections.
        let cpu = self.server_cpu.filter(|_| 1000 <= answered)?;
        Some(cpu.as_secs_f64() / answered as f64)
    }

    fn object(&self) -> Object {
        let Self { event, load, report, server_cpu } = self;
        let counts = &report.counts;
        let (depth, rate_asked, spacing) = match load.pace {
            Pace::Closed { depth } => (Some(depth), None, None),
            Pace::Open { rate, spacing: Spacing::Even } => (None, Some(rate), Some("even")),
            Pace::Open { rate, spacing: Spacing::Poisson } => (None, Some(rate), Some("poisson")),
        };
        Object {
            event,
            endpoint: report.peer.clone(),
            connections: load.connections.get(),
            depth,
            rate_asked,
            spacing,
            size_min: load.sizes.min,
            size_max: load.sizes.max,
            threads: load.threads.get(),
            elapsed_ns: nanos(report.elapsed),
            sent: counts.sent,
            answered: counts.answered,
            lost: counts.lost(),
            late: counts.late,
            wrong: counts.unexpected,
            duplicate: counts.duplicate,
            unsent: counts.unsent,
            unstamped: counts.unstamped,
            closed: counts.closed,
            bytes: counts.bytes,
            network_errors: counts.network_errors,
            rate: report.rate(),
            latency: Times::of(&report.latency),
            lag: (!report.send_delay.is_empty()).then(|| Times::of(&report.send_delay)),
            load_busy: report.cpu.busy,
            load_starved: report.cpu.waiting,
            load_is_the_limit: report.is_generator_the_bottleneck(),
            server_cpu_ns: server_cpu.map(nanos),
            server_cpu_ns_per_message: self.server_cost().map(|cost| cost * 1e9),
        }
    }

    /// Writes the result in a file's format.
    pub(crate) fn save(&self, mut out: &mut dyn Write, format: ResultFormat) -> anyhow::Result<()> {
        match format {
            ResultFormat::Hdr => save_hdr(&mut out, self.report),
            ResultFormat::Csv => Ok(save_csv(&mut out, &self.report.latency.histogram())?),
            ResultFormat::Json | ResultFormat::Html => {
                Ok(json::event(&mut out, &EventTime::now(), &self.object())?)
            }
        }
    }
}

/// Each time that was measured, as a row.
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
fn save_hdr(out: &mut impl Write, report: &LoadReport) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latency in nanoseconds")
        .begin_log_with(out, &mut serializer)?;
    log.write_histogram(&report.latency.histogram(), Duration::ZERO, report.elapsed, None)
        .map_err(|error| anyhow::anyhow!("{error:?}"))
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

/// Nanoseconds of a round number as milliseconds, with no more digits than it has.
fn plain_millis(nanos: u64) -> String {
    format!("{}", nanos as f64 / 1e6)
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
pub(crate) fn grouped(number: u64) -> String {
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
    fn progress_fits_a_narrow_terminal() {
        let (elapsed, answered) = (Duration::from_secs(3600), 12_345_678_901);
        let now = LoadInterval { elapsed, sent: answered, answered, rate: 1_234_567.8 };
        for (columns, progress) in [
            (None, "3600 s  12,345,678,901 answered  1,234,568/s"),
            (Some(80), "3600 s  12,345,678,901 answered  1,234,568/s"),
            (Some(40), "3600 s  1,234,568/s"),
        ] {
            let mut out = Vec::new();
            interval(&mut out, Style::with(false, columns), &now, false).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("\r\x1b[K{progress}"));
        }
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!(
            [1_000, 20_000, 500_000, 2_000_000_000].map(plain_millis),
            ["0.001", "0.02", "0.5", "2000"]
        );
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
