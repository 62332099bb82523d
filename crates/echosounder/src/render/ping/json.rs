//! A ping for machines: the objects of `--json`, and the lines and histograms of files.

use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{
    Answered, Clock, Distribution, FailureKind, PingEvent, PingInterval, PingReport, TimestampSupport,
    Verdict, WayReport,
};
use echosounder_proto::WallTime;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;

use super::Target;
use crate::render::json::{self, EventTime};

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
    timestamps: &'static str,
    kernel_sends: bool,
    kernel_receives: bool,
    own_clock_synchronized: Option<bool>,
    own_clock_error_max_ns: Option<u64>,
    started_unix_ns: u64,
    started_time: String,
}

#[derive(Serialize)]
struct Sample<'a> {
    event: &'static str,
    endpoint: &'a str,
    seq: u64,
    outcome: &'static str,
    word: Option<String>,
    sent_unix_ns: Option<u64>,
    sent_time: Option<String>,
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
    clock_stands_still: bool,
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
    p95_ns: Option<i64>,
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
            p95_ns: times.percentile(95.0),
            p99_ns: times.percentile(99.0),
            p99_9_ns: times.percentile(99.9),
            p99_99_ns: times.percentile(99.99),
            max_ns: times.max(),
        }
    }
}

/// The object before the first call.
pub(crate) fn start_object(out: &mut impl Write, target: &Target) -> io::Result<()> {
    json::event(
        out,
        &EventTime::now(),
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
            timestamps: if target.wire.receives { "kernel" } else { "user" },
            kernel_sends: target.wire.sends,
            kernel_receives: target.wire.receives,
            own_clock_synchronized: target.own_clock.map(|clock| clock.synchronized),
            own_clock_error_max_ns: target.own_clock.map(|clock| nanos(clock.error_max)),
            started_unix_ns: target.started,
            started_time: json::rfc3339(target.started),
        },
    )
}

/// The object for what happens; a report has one of its own.
pub(crate) fn object(out: &mut impl Write, endpoint: &str, happening: &PingEvent) -> io::Result<()> {
    match happening {
        PingEvent::Answered(answered) => {
            json::event(out, &EventTime::now(), &Sample::answered(endpoint, answered))
        }
        PingEvent::Lost { number, sent, word } => {
            json::event(out, &EventTime::now(), &Sample::lost(endpoint, *number, *sent, *word))
        }
        PingEvent::Duplicate(number) => {
            json::event(out, &EventTime::now(), &Sample::outcome(endpoint, *number, "duplicate"))
        }
        PingEvent::Interval(interval) => {
            let PingInterval { answered, lost, rtt } = &**interval;
            let (answered, lost, rtt) = (*answered, *lost, Times::of(rtt));
            json::event(
                out,
                &EventTime::now(),
                &Interval { event: "interval", endpoint, answered, lost, rtt },
            )
        }
        PingEvent::Unexpected => json::event(out, &EventTime::now(), &Plain { event: "stray", endpoint }),
        PingEvent::Contradicted => {
            json::event(out, &EventTime::now(), &Plain { event: "clock_contradicted", endpoint })
        }
        PingEvent::Connected(true) => {
            json::event(out, &EventTime::now(), &Plain { event: "connected", endpoint })
        }
        PingEvent::Connected(false) => {
            json::event(out, &EventTime::now(), &Plain { event: "disconnected", endpoint })
        }
        _ => Ok(()),
    }
}

/// The object for what was not told of a target, since there was too much of it.
pub(crate) fn left_out_object(out: &mut impl Write, endpoint: &str, count: u64) -> io::Result<()> {
    json::event(out, &EventTime::now(), &LeftOut { event: "left_out", endpoint, count })
}

/// The object for what has failed, in a file.
pub(crate) fn error_object(
    out: &mut impl Write,
    endpoint: &str,
    word: Option<FailureKind>,
    error: &str,
) -> io::Result<()> {
    let word = word.map(|word| word.to_string());
    json::event(out, &EventTime::now(), &Failure { event: "error", endpoint, word, error })
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
            sent_time: None,
            rtt_ns: None,
            up_ns: None,
            down_ns: None,
            up_above_quickest_ns: None,
            down_above_quickest_ns: None,
            server_ns: None,
            reordered: false,
        }
    }

    fn lost(endpoint: &'a str, seq: u64, sent: WallTime, word: Option<FailureKind>) -> Self {
        let outcome = if word.is_some() { "lost" } else { "unsent" };
        let sent_unix_ns = Some(sent.as_nanos());
        Self {
            sent_unix_ns,
            sent_time: Some(json::rfc3339(sent.as_nanos())),
            word: word.map(|word| word.to_string()),
            ..Self::outcome(endpoint, seq, outcome)
        }
    }

    fn answered(endpoint: &'a str, answered: &Answered) -> Self {
        let free = answered.clock == Clock::Free;
        let ways = |wanted: bool| answered.ways.filter(|_| wanted);
        Self {
            sent_unix_ns: Some(answered.sent.as_nanos()),
            sent_time: Some(json::rfc3339(answered.sent.as_nanos())),
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
    json::event(
        out,
        &EventTime::now(),
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
                TimestampSupport::None => "none",
                TimestampSupport::Seconds => "second",
                TimestampSupport::Single => "time",
                TimestampSupport::RxTx => "both",
            },
            clock: clock_name(clock.clock),
            clock_contradicted: clock.contradicted,
            clock_stands_still: clock.stands_still,
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
pub(crate) fn csv(out: &mut impl Write, endpoint: &str, happening: &PingEvent) -> io::Result<()> {
    let sample = match happening {
        PingEvent::Answered(answered) => Sample::answered(endpoint, answered),
        PingEvent::Lost { number, sent, word } => Sample::lost(endpoint, *number, *sent, *word),
        PingEvent::Duplicate(number) => Sample::outcome(endpoint, *number, "duplicate"),
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
        log.write_histogram(&report.rtt.delay.histogram(), Duration::ZERO, report.elapsed, tag)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_numbers_round_is_there_as_text_too() {
        let sent = WallTime::from_nanos(1_795_810_829_000_000_010);
        let mut out = Vec::new();
        object(&mut out, "tcp://h:1", &PingEvent::Lost { number: 1, sent, word: Some(FailureKind::Timeout) })
            .unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.contains("\"sent_unix_ns\":1795810829000000010,"), "{line}");
        assert!(line.contains("\"sent_time\":\"2026-11-27T20:20:29.000000010Z\","), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(value["time"].is_string() && value["time_unix_ns"].is_string(), "{line}");
    }
}
