//! The object with the result of a target.

use std::io::{self, Write};

use echosounder_client::{ClockRelation, DelayReport, PingReport, TcpReport, TimestampSupport, Verdict};
use echosounder_proto::stamp::ErrorEstimate;
use serde::Serialize;

use super::clock_name;
use crate::render::json::{self, Distribution, EventTime};
use crate::render::numbers::whole_nanos;
use crate::render::ping::target::Target;

/// The result of a target.
#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    endpoint: &'a str,
    resolved: &'a str,
    elapsed_ns: u64,
    up_after_ns: Option<u64>,
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
    too_long: u64,
    lost_up: Option<u64>,
    lost_down: Option<u64>,
    lost_unknown: Option<u64>,
    loss_percent: f64,
    refused_after: Distribution,
    duplicate: u64,
    reordered: u64,
    unexpected: u64,
    skipped: u64,
    rtt: Distribution,
    wire: Distribution,
    queue: Distribution,
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
    peer_clock_synchronized: Option<bool>,
    peer_clock_error_max_ns: Option<u64>,
    request_ttl: Option<u8>,
    request_dscp: Option<u8>,
    request_ecn: Option<u8>,
    request_header_changes: u64,
    send_delay: Distribution,
    kernel_tx_delay: Distribution,
    kernel_rx_delay: Distribution,
    tcp: Option<Tcp>,
    verdict: Option<&'static str>,
    missed: &'a [&'static str],
}

/// The kernel's knowledge of the TCP connections to a target.
#[derive(Serialize)]
struct Tcp {
    retransmissions: u64,
    rtt_ns: u64,
    rtt_variation_ns: u64,
    window_segments: u32,
    delivery_rate_bytes_per_s: u64,
    reordering_seen: u64,
}

impl From<&TcpReport> for Tcp {
    fn from(tcp: &TcpReport) -> Self {
        Self {
            retransmissions: tcp.retransmissions,
            rtt_ns: whole_nanos(tcp.rtt),
            rtt_variation_ns: whole_nanos(tcp.rtt_variation),
            window_segments: tcp.window_segments,
            delivery_rate_bytes_per_s: tcp.delivery_rate,
            reordering_seen: tcp.reordering_seen,
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
        let PingReport { lost, clock, seen, .. } = report;
        let jitter = |way: &DelayReport| way.jitter_ns;
        Self {
            event,
            endpoint: &target.endpoint,
            resolved: &target.resolved,
            elapsed_ns: whole_nanos(report.elapsed),
            up_after_ns: report.up_after.map(whole_nanos),
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
            too_long: lost.too_long,
            lost_up: report.loss_direction.map(|lost| lost.up),
            lost_down: report.loss_direction.map(|lost| lost.down),
            lost_unknown: report.loss_direction.map(|lost| lost.unknown),
            loss_percent: report.loss_percent(),
            refused_after: (&report.refused_after).into(),
            duplicate: report.duplicate,
            reordered: report.reordered,
            unexpected: report.unexpected,
            skipped: report.skipped,
            rtt: (&report.rtt.delay).into(),
            wire: (&report.wire).into(),
            queue: (&report.queue).into(),
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
            peer_clock_synchronized: seen.clock_error.map(ErrorEstimate::is_synchronized),
            peer_clock_error_max_ns: seen.clock_error.map(|error| whole_nanos(error.error())),
            request_ttl: seen.header.ttl,
            request_dscp: seen.header.dscp,
            request_ecn: seen.header.ecn,
            request_header_changes: seen.changes,
            send_delay: (&report.send_delay).into(),
            kernel_tx_delay: (&report.kernel_tx_delay).into(),
            kernel_rx_delay: (&report.kernel_rx_delay).into(),
            tcp: report.tcp.as_ref().map(Tcp::from),
            verdict: report.verdict().map(|(verdict, _)| verdict_name(verdict)),
            missed,
        }
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
