//! Sentences about a result that several formats share: the text report and the HTML report use the
//! same words and differ only in how they write delays.

use std::time::Duration;

use echosounder_client::{
    ClockRelation, Drift, LoadOptions, LoadReport, LossCounts, LossDirection, Pace, PeerClockReport,
    PingReport, Spacing, Step, TimestampSupport, Verdict,
};
use echosounder_socket::Kind;
use echosounder_socket::internal::kernel::ClockState;

use super::numbers::{counted, grouped, in_millis, nanos, percentage, rate};

/// How a delay in nanoseconds is written.
type Delay = fn(f64) -> String;

/// Facts about two clocks that the report does not contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks<'a> {
    /// The address of the peer.
    pub(crate) peer: &'a str,
    /// The state of this machine's clock, if the kernel reports it.
    pub(crate) own: Option<ClockState>,
}

/// Returns whether and where delay varies; `None` if the replies cannot show it.
pub(crate) fn verdict(report: &PingReport, delay: Delay) -> Option<String> {
    let (verdict, spreads) = report.verdict()?;
    let [up, down, server] =
        [spreads.up_ns, spreads.down_ns, spreads.server_ns].map(|nanos| delay(nanos as f64));
    Some(match verdict {
        Verdict::Steady => {
            format!("steady: delay varies by no more than scheduling explains ({up} up, {down} down)")
        }
        Verdict::Up => format!("most of the jitter is in the outbound direction ({up} vs {down})"),
        Verdict::Down => format!("most of the jitter is in the return direction ({down} vs {up})"),
        Verdict::Both => format!("the jitter is in both directions ({up} up, {down} down)"),
        Verdict::Server => format!("most of the jitter is in the server ({server} vs {up} up, {down} down)"),
    })
}

/// Returns how requests were lost, and in which direction if that is known: `7 TIMEOUT (4 up, 2 down,
/// 1 unknown)`.
pub(crate) fn losses(report: &PingReport) -> String {
    let mut text = failures(&report.lost);
    if let Some(LossDirection { up, down, unknown, .. }) = report.loss_direction {
        text += &format!(" ({} up, {} down", grouped(up), grouped(down));
        text += &if unknown == 0 { ")".to_owned() } else { format!(", {} unknown)", grouped(unknown)) };
    }
    text
}

/// Returns how many requests were refused, and how long after they were sent: then the host is up.
/// `None` if no refusal has a time.
pub(crate) fn refused(report: &PingReport, is_host: bool, delay: Delay) -> Option<String> {
    let times = &report.refused_after;
    let after = median_and_max(times.percentile(50.0), times.max(), delay)?;
    let meaning = if is_host { " (the host is up, the port is closed)" } else { "" };
    Some(format!("{} after {after}{meaning}", grouped(times.count())))
}

/// Returns the header fields of requests as they arrived at the peer: `requests arrived with TTL 61,
/// DSCP 46, ECN 0`. `None` if the peer does not report them.
pub(crate) fn request_header(report: &PingReport) -> Option<String> {
    let header = &report.seen.header;
    let fields = [("TTL", header.ttl), ("DSCP", header.dscp), ("ECN", header.ecn)];
    let fields: Vec<_> =
        fields.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    let changes = match report.seen.changes {
        0 => String::new(),
        1 => " after one change".to_owned(),
        changes => format!(" after {} changes", grouped(changes)),
    };
    (!fields.is_empty()).then(|| format!("requests arrived with {}{changes}", fields.join(", ")))
}

/// Returns how requests failed: `3 REFUSED, 1 TIMEOUT`.
fn failures(lost: &LossCounts) -> String {
    let counts = [
        (lost.refused, "REFUSED"),
        (lost.timeout, "TIMEOUT"),
        (lost.unreachable, "UNREACHABLE"),
        (lost.dns, "DNS"),
        (lost.closed, "CLOSED"),
        (lost.not_sent, "not sent"),
        (lost.too_long, "TOO_LONG"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count != 0);
    let counts: Vec<String> = counts.map(|(count, reason)| format!("{} {reason}", grouped(count))).collect();
    counts.join(", ")
}

/// Returns how long requests waited in this machine's queues; `None` if they hardly did.
pub(crate) fn queue(report: &PingReport, delay: Delay) -> Option<String> {
    if !report.has_queued() {
        return None;
    }
    let waited = median_and_max(report.queue.percentile(50.0), report.queue.max(), delay)?;
    Some(format!("requests waited {waited} in this machine's send queue (rtt includes it, wire does not)"))
}

/// Returns the kernel's knowledge of the TCP connections; `None` if there are none.
pub(crate) fn tcp(report: &PingReport, delay: Delay) -> Option<String> {
    let tcp = report.tcp?;
    let [rtt, variation] = [tcp.rtt, tcp.rtt_variation].map(|time| delay(nanos(time)));
    let reordering = match tcp.reordering_seen {
        0 => "no reordering seen".to_owned(),
        count => format!("reordering seen {}", counted(count, "time")),
    };
    Some(format!(
        "{}, kernel rtt {rtt} ±{variation}, window {}, {} delivery rate, {reordering}",
        counted(tcp.retransmissions, "retransmission"),
        counted(tcp.window_segments.into(), "segment"),
        byte_rate(tcp.delivery_rate)
    ))
}

/// Returns the kernel's state of the TCP connections of a load; `None` without any.
pub(crate) fn load_tcp(report: &LoadReport, delay: Delay) -> Option<String> {
    let tcp = report.tcp.as_ref()?;
    let rtt = median_and_max(tcp.rtt.percentile(50.0), tcp.rtt.max(), delay)?;
    Some(format!("{}, kernel rtt {rtt}", counted(tcp.retransmissions, "retransmission")))
}

/// Returns a rate of bytes in the unit that fits it: `1.2 MB/s`.
fn byte_rate(per_second: u64) -> String {
    let units = [(1_000_000_000, "GB/s"), (1_000_000, "MB/s"), (1000, "kB/s")];
    match units.into_iter().find(|(unit, _)| *unit <= per_second) {
        Some((unit, name)) => format!("{:.1} {name}", per_second as f64 / unit as f64),
        None => format!("{per_second} B/s"),
    }
}

/// Returns how the peer's clock relates to this machine's; `None` if nothing is known.
pub(crate) fn clock(clocks: Clocks<'_>, report: &PingReport, delay: Delay) -> Option<String> {
    let PeerClockReport {
        relation: clock,
        contradicted,
        offset_ns: ahead,
        offset_uncertainty_ns: uncertainty,
        ..
    } = report.clock;
    let mut text = match (report.timestamps, clock) {
        (TimestampSupport::None, _) => {
            return Some("the server sends no timestamps, so only round trips are measured".to_owned());
        }
        _ if report.clock.stands_still => {
            return Some(
                "the peer's clock showed the same time for different requests, so only round trips are measured"
                    .to_owned(),
            );
        }
        (TimestampSupport::RxTx | TimestampSupport::Single, ClockRelation::Same) => {
            format!("the same at both ends{}", negative_delays(report))
        }
        (TimestampSupport::RxTx | TimestampSupport::Single, ClockRelation::Synced) => {
            synchronized(clocks, report, delay)
        }
        _ => offset(clocks, report, ahead?, uncertainty?, delay),
    };
    if clock != ClockRelation::Same
        && let Some(error) = report.seen.clock_error
    {
        text += &match error.is_synchronized() {
            true => {
                let within = delay(error.error().as_nanos() as f64);
                format!("; the peer states that its clock is within {within} of UTC")
            }
            false => "; the peer states that its clock is not synchronized".to_owned(),
        };
    }
    if contradicted {
        text += "; the peer's clock differs from ours although its address is local";
    }
    for (count, whose) in
        [(report.clock.peer_steps, "the peer's"), (report.clock.own_steps, "this machine's")]
    {
        match count {
            0 => {}
            1 => text += &format!("; {whose} clock was set once during the run"),
            _ => text += &format!("; {whose} clock was set {} times during the run", grouped(count)),
        }
    }
    Some(text)
}

fn synchronized(clocks: Clocks<'_>, report: &PingReport, delay: Delay) -> String {
    let state = match clocks.own {
        Some(ClockState { synchronized: true, error_max }) => {
            format!("; this machine's is within {} of UTC", delay(error_max.as_nanos() as f64))
        }
        Some(_) => ", but this machine's is not synchronized".to_owned(),
        None => String::new(),
    };
    format!("assumed to be synchronized (--clock){state}{}", negative_delays(report))
}

/// Returns the evidence against two clocks that are assumed to show the same time: negative delays.
fn negative_delays(report: &PingReport) -> String {
    match report.up.delay.negative() + report.down.delay.negative() {
        0 => String::new(),
        1 => "; contradicted by one negative delay".to_owned(),
        negative => format!("; contradicted by {} negative delays", grouped(negative)),
    }
}

/// Returns how far the peer's clock is ahead of this machine's.
fn offset(clocks: Clocks<'_>, report: &PingReport, ahead: i64, uncertainty: u64, delay: Delay) -> String {
    let sign = if ahead < 0 { '−' } else { '+' };
    let (far, within) = (delay(ahead.unsigned_abs() as f64), delay(uncertainty as f64));
    let mut text = format!("offset of {} {sign}{far} ±{within}", clocks.peer);
    if let Some(Drift { ppm: drift, uncertainty_ppm: within, .. }) = report.clock.drift {
        let sign = if drift < 0.0 { '−' } else { '+' };
        text += &format!(", drift {sign}{:.1} µs/s ±{within:.1}", drift.abs());
    }
    match report.clock.zone_minutes.filter(|_| report.timestamps == TimestampSupport::Seconds) {
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
            text + &format!(" (assumes that it shows UTC{sign}{hours:02}:{minutes:02}, in whole seconds)")
        }
        None => text + " (assumes symmetric minimum delay; see --clock)",
    }
}

/// Returns the median and the maximum: `0.274 ms (p50) / 1.461 ms (max)`; only the maximum of a
/// sample that is too small for a median, and `None` of an empty one.
pub(crate) fn median_and_max(p50: Option<i64>, max: Option<i64>, delay: Delay) -> Option<String> {
    let max = format!("{} (max)", delay(max? as f64));
    Some(match p50 {
        Some(p50) => format!("{} (p50) / {max}", delay(p50 as f64)),
        None => max,
    })
}

/// Returns a load in a phrase: its connections, its pace and the sizes of its messages.
pub(crate) fn load(load: &LoadOptions) -> String {
    let (low, high) = (load.sizes.min, load.sizes.max);
    let sizes = if low == high {
        counted(low as u64, "byte")
    } else {
        format!("{} to {}", grouped(low as u64), counted(high as u64, "byte"))
    };
    let noun = if is_connected(load) { "connection" } else { "socket" };
    let connections = counted(load.connections.get() as u64, noun);
    let connections = match (load.connect_each, load.pace) {
        (None, _) => connections,
        (Some(_), Pace::Closed { .. }) => {
            return format!("{connections} at a time, a new one for each message of {sizes}");
        }
        (Some(_), Pace::Open { .. }) => {
            format!("at most {connections} at a time, a new one for each message")
        }
    };
    match load.pace {
        Pace::Closed { depth } => {
            format!("{connections}, {} of {sizes} in flight on each", counted(depth as u64, "message"))
        }
        Pace::Open { rate: asked, spacing: Spacing::Even } => {
            format!("{connections}, {}/s of {sizes}", rate(asked))
        }
        Pace::Open { rate: asked, .. } => {
            format!("{connections}, {}/s of {sizes} at random times", rate(asked))
        }
    }
}

/// Returns the unusual outcomes of a load's messages, each with its count.
pub(crate) fn exceptions(load: &LoadOptions, report: &LoadReport) -> Vec<(u64, &'static str)> {
    let counts = &report.counts;
    // A server that sends no timestamps leaves every reply without one.
    let unstamped = match counts.answered + counts.late {
        all if counts.without_timestamp == all => "came without a timestamp (the server sends none)",
        _ => "shared a timestamp with an earlier one (server read several at once)",
    };
    let of = |count, one, many| if count == 1 { one } else { many };
    let closed = match (is_connected(load), counts.connections_closed) {
        (true, 1) => "connection closed by the server",
        (true, _) => "connections closed by the server",
        (false, 1) => "socket refused by the server",
        (false, _) => "sockets refused by the server",
    };
    let skipped = match load.connections.get() as u64 {
        _ if load.connect_each.is_some() => {
            "skipped: due, but not begun for lack of a free connection or time"
        }
        all if counts.connections_closed == all => "skipped: due when no connection was open any more",
        _ => "skipped: due, but not sent for lack of buffer space or time",
    };
    [
        (counts.duplicate, of(counts.duplicate, "duplicate reply", "duplicate replies")),
        (counts.skipped, skipped),
        (counts.without_timestamp, unstamped),
        (
            counts.connections_refused,
            of(counts.connections_refused, "connection refused", "connections refused"),
        ),
        (
            counts.connections_timed_out,
            of(
                counts.connections_timed_out,
                "connection not established in time",
                "connections not established in time",
            ),
        ),
        (
            counts.connections_unreachable,
            of(
                counts.connections_unreachable,
                "connection failed: the host is unreachable",
                "connections failed: the host is unreachable",
            ),
        ),
        (counts.connections_closed, closed),
        (
            counts.network_errors,
            of(
                counts.network_errors,
                "error about an earlier message reported by the network (ICMP)",
                "errors about earlier messages reported by the network (ICMP)",
            ),
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count != 0)
    .collect()
}

/// Returns whether a rate of a ramp held, or why not. `limit` is the limit of the 99th percentile.
pub(crate) fn step(step: &Step, limit: Duration) -> String {
    let Step { report, held, .. } = step;
    if *held {
        "holds".to_owned()
    } else if report.is_generator_limited() {
        "inconclusive: the generator could not send fast enough".to_owned()
    } else if report.counts.lost() != 0 {
        format!("not held: {} lost", grouped(report.counts.lost()))
    } else if report.p99_or_max().is_some_and(|slow| limit < slow) {
        format!("not held: over {}", in_millis(nanos(limit)))
    } else {
        format!("not held: only {}/s answered", rate(report.rate()))
    }
}

/// Returns the reason why a load that was its own limit could not send faster.
pub(crate) fn bottleneck(report: &LoadReport) -> String {
    let late = if report.exchanges.is_some() { "connections opened late" } else { "messages sent late" };
    let (busy, starved) = (percentage(report.cpu.busy), percentage(report.cpu.waiting));
    match (report.send_delay.is_empty(), report.is_generator_busy()) {
        (true, true) => format!("the generator (busiest thread {busy} busy; see --threads)"),
        (true, false) => format!("this machine (generator busy {busy}, waiting for CPU {starved})"),
        (false, true) => format!("the generator ({late}, busy {busy}; see --threads)"),
        (false, false) => format!("this machine ({late}, generator busy {busy})"),
    }
}

/// Returns the nouns for the units of a load's rate: a message, or a connection for each.
pub(crate) fn load_unit(load: &LoadOptions) -> (&'static str, &'static str) {
    match load.connect_each {
        Some(_) => ("connection", "connections"),
        None => ("message", "messages"),
    }
}

/// Whether the load uses connections rather than datagram sockets.
fn is_connected(load: &LoadOptions) -> bool {
    load.connect.endpoint.transport().kind() != Kind::Datagrams
}

/// Returns a text with a capital at its beginning.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitalized_text_begins_with_a_capital() {
        assert_eq!(capitalized("most of the jitter"), "Most of the jitter");
        assert_eq!(capitalized(""), "");
    }

    #[test]
    fn a_small_sample_has_no_median() {
        let millis = in_millis;
        let text = median_and_max(Some(274_000), Some(1_461_000), millis);
        assert_eq!(text.as_deref(), Some("0.274 ms (p50) / 1.461 ms (max)"));
        assert_eq!(median_and_max(None, Some(5_000), millis).as_deref(), Some("0.005 ms (max)"));
        assert_eq!(median_and_max(None, None, millis), None);
    }
}
