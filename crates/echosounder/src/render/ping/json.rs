//! The objects of `sounder ping --json` and of its JSON files.

use std::io::{self, Write};

use echosounder_client::{
    ClockRelation, DelayReport, FailureKind, PingEvent, PingInterval, PingReply, PingReport,
    TimestampSupport, Verdict,
};
use echosounder_proto::WallTime;
use serde::Serialize;

use super::target::Target;
use crate::render::json::{self, Distribution, EventTime};
use crate::render::numbers::whole_nanos;

#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    endpoint: &'a str,
    resolved: &'a str,
    local: Option<&'a str>,
    size_bytes: usize,
    interval_ns: u64,
    wait_ns: u64,
    count: Option<u64>,
    clock: &'static str,
    timestamps: &'static str,
    kernel_tx_timestamps: bool,
    kernel_rx_timestamps: bool,
    own_clock_synchronized: Option<bool>,
    own_clock_error_max_ns: Option<u64>,
    started_unix_ns: u64,
    started_time: String,
}

/// A request that has ended.
#[derive(Serialize)]
pub(super) struct Sample<'a> {
    event: &'static str,
    endpoint: &'a str,
    pub(super) seq: u64,
    pub(super) outcome: &'static str,
    pub(super) reason: Option<String>,
    pub(super) sent_unix_ns: Option<u64>,
    sent_time: Option<String>,
    pub(super) rtt_ns: Option<u64>,
    pub(super) up_ns: Option<i64>,
    pub(super) down_ns: Option<i64>,
    pub(super) pdv_up_ns: Option<i64>,
    pub(super) pdv_down_ns: Option<i64>,
    pub(super) server_ns: Option<u64>,
    pub(super) reordered: bool,
}

#[derive(Serialize)]
struct Interval<'a> {
    event: &'static str,
    endpoint: &'a str,
    answered: u64,
    lost: u64,
    rtt: Distribution,
}

/// An event that has no keys of its own.
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

/// The reason why a target was not measured, or not until its end.
#[derive(Serialize)]
struct Failure<'a> {
    event: &'static str,
    endpoint: &'a str,
    reason: Option<String>,
    error: &'a str,
}

/// The result of a target.
#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    endpoint: &'a str,
    resolved: &'a str,
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
    not_sent: u64,
    loss_percent: f64,
    duplicate: u64,
    reordered: u64,
    unexpected: u64,
    skipped: u64,
    rtt: Distribution,
    server: Distribution,
    up: Distribution,
    down: Distribution,
    up_down_assume_symmetric_minimum: bool,
    rtt_jitter_ns: Option<f64>,
    up_jitter_ns: Option<f64>,
    down_jitter_ns: Option<f64>,
    rtt_ipdv: Distribution,
    up_ipdv: Distribution,
    down_ipdv: Distribution,
    server_timestamps: &'static str,
    clock: &'static str,
    clock_contradicted: bool,
    clock_stands_still: bool,
    clock_offset_ns: Option<i64>,
    clock_offset_uncertainty_ns: Option<u64>,
    clock_drift_ppm: Option<f64>,
    clock_drift_uncertainty_ppm: Option<f64>,
    clock_zone_minutes: Option<i64>,
    clock_peer_steps: u64,
    clock_own_steps: u64,
    send_delay: Distribution,
    kernel_tx_delay: Distribution,
    kernel_rx_delay: Distribution,
    verdict: Option<&'static str>,
    missed: &'a [&'static str],
}

/// Writes the object that precedes the first request to a target.
pub(crate) fn start(out: &mut dyn Write, time: &EventTime, target: &Target) -> io::Result<()> {
    json::event(
        out,
        time,
        &Start {
            event: "start",
            endpoint: &target.endpoint,
            resolved: &target.resolved,
            local: target.local.as_deref(),
            size_bytes: target.size,
            interval_ns: whole_nanos(target.interval),
            wait_ns: whole_nanos(target.wait),
            count: target.count,
            clock: clock_name(target.clock),
            timestamps: if target.kernel.receives { "kernel" } else { "user" },
            kernel_tx_timestamps: target.kernel.sends,
            kernel_rx_timestamps: target.kernel.receives,
            own_clock_synchronized: target.own_clock.map(|clock| clock.synchronized),
            own_clock_error_max_ns: target.own_clock.map(|clock| whole_nanos(clock.error_max)),
            started_unix_ns: target.started,
            started_time: json::rfc3339(target.started),
        },
    )
}

/// Writes the object of an event. Reports are written by [`report`].
pub(crate) fn event(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    event: &PingEvent,
) -> io::Result<()> {
    if let Some(sample) = Sample::of(endpoint, event) {
        return json::event(out, time, &sample);
    }
    let name = match event {
        PingEvent::Interval(interval) => return write_interval(out, time, endpoint, interval),
        PingEvent::Unexpected => "unexpected",
        PingEvent::ClockContradicted => "clock_contradicted",
        PingEvent::Reconnected => "reconnected",
        PingEvent::Disconnected => "disconnected",
        _ => return Ok(()),
    };
    json::event(out, time, &Plain { event: name, endpoint })
}

fn write_interval(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    interval: &PingInterval,
) -> io::Result<()> {
    let PingInterval { answered, lost, rtt, .. } = interval;
    json::event(
        out,
        time,
        &Interval { event: "interval", endpoint, answered: *answered, lost: *lost, rtt: rtt.into() },
    )
}

/// Writes how many events of a target were left out by the limit of lines per second.
pub(crate) fn left_out(out: &mut dyn Write, time: &EventTime, endpoint: &str, count: u64) -> io::Result<()> {
    json::event(out, time, &LeftOut { event: "left_out", endpoint, count })
}

/// Writes the error of a target into a file.
pub(crate) fn error(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    kind: Option<FailureKind>,
    error: &str,
) -> io::Result<()> {
    let reason = kind.map(|kind| kind.to_string());
    json::event(out, time, &Failure { event: "error", endpoint, reason, error })
}

impl<'a> Sample<'a> {
    /// Returns the sample of an event that ends a request, and `None` for other events.
    pub(super) fn of(endpoint: &'a str, event: &PingEvent) -> Option<Self> {
        match event {
            PingEvent::Replied(answered) => Some(Self::answered(endpoint, answered)),
            PingEvent::Lost { number, sent, reason } => {
                Some(Self::lost(endpoint, *number, *sent, reason.kind()))
            }
            PingEvent::Duplicate(number) => Some(Self::outcome(endpoint, *number, "duplicate")),
            _ => None,
        }
    }

    fn outcome(endpoint: &'a str, seq: u64, outcome: &'static str) -> Self {
        Self {
            event: "sample",
            endpoint,
            seq,
            outcome,
            reason: None,
            sent_unix_ns: None,
            sent_time: None,
            rtt_ns: None,
            up_ns: None,
            down_ns: None,
            pdv_up_ns: None,
            pdv_down_ns: None,
            server_ns: None,
            reordered: false,
        }
    }

    fn lost(endpoint: &'a str, seq: u64, sent: WallTime, kind: Option<FailureKind>) -> Self {
        Self {
            sent_unix_ns: Some(sent.as_nanos()),
            sent_time: Some(json::rfc3339(sent.as_nanos())),
            reason: Some(kind.map_or_else(|| "NOT_SENT".to_owned(), |kind| kind.to_string())),
            ..Self::outcome(endpoint, seq, "lost")
        }
    }

    fn answered(endpoint: &'a str, answered: &PingReply) -> Self {
        let free = answered.clock == ClockRelation::Free;
        let delays = |wanted: bool| answered.delay.filter(|_| wanted);
        Self {
            sent_unix_ns: Some(answered.sent.as_nanos()),
            sent_time: Some(json::rfc3339(answered.sent.as_nanos())),
            rtt_ns: Some(whole_nanos(answered.rtt)),
            up_ns: delays(!free).map(|delay| delay.up_ns),
            down_ns: delays(!free).map(|delay| delay.down_ns),
            pdv_up_ns: delays(free).map(|delay| delay.up_ns),
            pdv_down_ns: delays(free).map(|delay| delay.down_ns),
            server_ns: answered.residence.map(whole_nanos),
            reordered: answered.reordered,
            ..Self::outcome(endpoint, answered.number, if answered.late { "late" } else { "answered" })
        }
    }
}

/// Writes the object of a report. `event` is `interim` or `result`.
pub(crate) fn report(
    out: &mut dyn Write,
    time: &EventTime,
    event: &'static str,
    target: &Target,
    report: &PingReport,
    missed: &[&'static str],
) -> io::Result<()> {
    json::event(out, time, &Summary::new(event, target, report, missed))
}

impl<'a> Summary<'a> {
    fn new(event: &'static str, target: &'a Target, report: &PingReport, missed: &'a [&'static str]) -> Self {
        let PingReport { lost, clock, .. } = report;
        let jitter = |way: &DelayReport| way.jitter_ns;
        Self {
            event,
            endpoint: &target.endpoint,
            resolved: &target.resolved,
            elapsed_ns: whole_nanos(report.elapsed),
            sent: report.sent(),
            answered: report.answered,
            late: report.late,
            lost: lost.total(),
            refused: lost.refused,
            timeout: lost.timeout,
            unreachable: lost.unreachable,
            dns: lost.dns,
            closed: lost.closed,
            not_sent: lost.not_sent,
            loss_percent: report.loss_percent(),
            duplicate: report.duplicate,
            reordered: report.reordered,
            unexpected: report.unexpected,
            skipped: report.skipped,
            rtt: (&report.rtt.delay).into(),
            server: (&report.server).into(),
            up: (&report.up.delay).into(),
            down: (&report.down.delay).into(),
            up_down_assume_symmetric_minimum: clock.relation == ClockRelation::Free,
            rtt_jitter_ns: jitter(&report.rtt),
            up_jitter_ns: jitter(&report.up),
            down_jitter_ns: jitter(&report.down),
            rtt_ipdv: (&report.rtt.variation).into(),
            up_ipdv: (&report.up.variation).into(),
            down_ipdv: (&report.down.variation).into(),
            server_timestamps: support_name(report.timestamps),
            clock: clock_name(clock.relation),
            clock_contradicted: clock.contradicted,
            clock_stands_still: clock.stands_still,
            clock_offset_ns: clock.offset_ns,
            clock_offset_uncertainty_ns: clock.offset_uncertainty_ns,
            clock_drift_ppm: clock.drift.map(|drift| drift.ppm),
            clock_drift_uncertainty_ppm: clock.drift.map(|drift| drift.uncertainty_ppm),
            clock_zone_minutes: clock.zone_minutes,
            clock_peer_steps: clock.peer_steps,
            clock_own_steps: clock.own_steps,
            send_delay: (&report.send_delay).into(),
            kernel_tx_delay: (&report.kernel_tx_delay).into(),
            kernel_rx_delay: (&report.kernel_rx_delay).into(),
            verdict: report.verdict().map(|(verdict, _)| verdict_name(verdict)),
            missed,
        }
    }
}

fn clock_name(clock: ClockRelation) -> &'static str {
    match clock {
        ClockRelation::Same => "same",
        ClockRelation::Synced => "synced",
        ClockRelation::Free => "free",
    }
}

fn support_name(support: TimestampSupport) -> &'static str {
    match support {
        TimestampSupport::None => "none",
        TimestampSupport::Seconds => "seconds",
        TimestampSupport::Single => "single",
        TimestampSupport::RxTx => "rx_tx",
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Steady => "steady",
        Verdict::Up => "up",
        Verdict::Down => "down",
        Verdict::Both => "both",
        Verdict::Server => "server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_jq_would_round_are_also_text() {
        let sent = WallTime::from_nanos(1_795_810_829_000_000_010);
        let lost = PingEvent::Lost { number: 1, sent, reason: FailureKind::Timeout.into() };
        let mut out = Vec::new();
        event(&mut out, &EventTime::from_unix_nanos(0), "tcp://h:1", &lost).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.contains("\"sent_unix_ns\":1795810829000000010,"), "{line}");
        assert!(line.contains("\"sent_time\":\"2026-11-27T20:20:29.000000010Z\","), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(value["time"].is_string() && value["time_unix_ns"].is_string(), "{line}");
    }
}
