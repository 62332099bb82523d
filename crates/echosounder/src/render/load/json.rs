//! The objects of `sounder load --json` and of its JSON files.

use std::io::{self, Write};

use echosounder_client::{LoadInterval, Pace, Spacing, Step};
use serde::Serialize;

use super::summary::Summary;
use crate::render::json::{self, Distribution, EventTime};
use crate::render::numbers::whole_nanos;

/// The kernel's state of the TCP connections.
#[derive(Serialize)]
struct Tcp {
    retransmissions: u64,
    rtt: Distribution,
}

#[derive(Serialize)]
struct Interval {
    event: &'static str,
    elapsed_ns: u64,
    sent: u64,
    answered: u64,
    rate_per_s: f64,
}

#[derive(Serialize)]
struct Tried {
    event: &'static str,
    target_rate_per_s: f64,
    rate_per_s: f64,
    lost: u64,
    latency: Distribution,
    held: bool,
    generator_limited: bool,
}

#[derive(Serialize)]
struct Object<'a> {
    event: &'static str,
    endpoint: String,
    resolved: &'a str,
    connections: usize,
    depth: Option<usize>,
    target_rate_per_s: Option<f64>,
    spacing: Option<&'static str>,
    size_min_bytes: usize,
    size_max_bytes: usize,
    threads: usize,
    elapsed_ns: u64,
    sent: u64,
    answered: u64,
    late: u64,
    lost: u64,
    duplicate: u64,
    unexpected: u64,
    skipped: u64,
    without_timestamp: u64,
    connections_closed: u64,
    connections_refused: u64,
    connections_timed_out: u64,
    connections_unreachable: u64,
    network_errors: u64,
    bytes: u64,
    rate_per_s: f64,
    latency: Distribution,
    connect: Option<Distribution>,
    reply: Option<Distribution>,
    send_delay: Distribution,
    generator_busy_ratio: f64,
    generator_starved_ratio: f64,
    generator_limited: bool,
    tcp: Option<Tcp>,
    server_cpu_ns: Option<u64>,
    server_cpu_ns_per_message: Option<f64>,
}

/// Writes the progress of a load.
pub(crate) fn interval(out: &mut dyn Write, time: &EventTime, now: &LoadInterval) -> io::Result<()> {
    let LoadInterval { elapsed, sent, answered, rate, .. } = *now;
    let elapsed_ns = whole_nanos(elapsed);
    json::event(out, time, &Interval { event: "interval", elapsed_ns, sent, answered, rate_per_s: rate })
}

/// Writes the result of a rate that a ramp has tried.
pub(crate) fn step(out: &mut dyn Write, time: &EventTime, step: &Step) -> io::Result<()> {
    let Step { rate, report, held, .. } = step;
    json::event(
        out,
        time,
        &Tried {
            event: "step",
            target_rate_per_s: *rate,
            rate_per_s: report.rate(),
            lost: report.counts.lost(),
            latency: (&report.latency).into(),
            held: *held,
            generator_limited: report.is_generator_limited(),
        },
    )
}

/// Writes the result. `event` is `interim` or `result`.
pub(crate) fn result(
    out: &mut dyn Write,
    time: &EventTime,
    event: &'static str,
    summary: &Summary<'_>,
) -> io::Result<()> {
    json::event(out, time, &Object::new(event, summary))
}

impl<'a> Object<'a> {
    fn new(event: &'static str, summary: &Summary<'a>) -> Self {
        let Summary { load, report, server_cpu, .. } = summary;
        let counts = &report.counts;
        let (depth, rate, spacing) = match load.pace {
            Pace::Closed { depth } => (Some(depth), None, None),
            Pace::Open { rate, spacing: Spacing::Even } => (None, Some(rate), Some("even")),
            Pace::Open { rate, spacing: Spacing::Poisson } => (None, Some(rate), Some("poisson")),
        };
        Self {
            event,
            endpoint: load.connect.endpoint.to_string(),
            resolved: &report.peer,
            connections: load.connections.get(),
            depth,
            target_rate_per_s: rate,
            spacing,
            size_min_bytes: load.sizes.min,
            size_max_bytes: load.sizes.max,
            threads: load.threads.get(),
            elapsed_ns: whole_nanos(report.elapsed),
            sent: counts.sent,
            answered: counts.answered,
            late: counts.late,
            lost: counts.lost(),
            duplicate: counts.duplicate,
            unexpected: counts.unexpected,
            skipped: counts.skipped,
            without_timestamp: counts.without_timestamp,
            connections_closed: counts.connections_closed,
            connections_refused: counts.connections_refused,
            connections_timed_out: counts.connections_timed_out,
            connections_unreachable: counts.connections_unreachable,
            network_errors: counts.network_errors,
            bytes: counts.bytes,
            rate_per_s: report.rate(),
            latency: (&report.latency).into(),
            connect: report.exchanges.as_ref().map(|parts| (&parts.connect).into()),
            reply: report.exchanges.as_ref().map(|parts| (&parts.reply).into()),
            send_delay: (&report.send_delay).into(),
            generator_busy_ratio: report.cpu.busy,
            generator_starved_ratio: report.cpu.waiting,
            generator_limited: report.is_generator_limited(),
            tcp: report
                .tcp
                .as_ref()
                .map(|tcp| Tcp { retransmissions: tcp.retransmissions, rtt: (&tcp.rtt).into() }),
            server_cpu_ns: server_cpu.map(whole_nanos),
            server_cpu_ns_per_message: summary.server_cpu_per_message(),
        }
    }
}
