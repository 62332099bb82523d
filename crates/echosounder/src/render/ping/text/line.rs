//! The lines that are written while ping runs.

use std::fmt::Write as _;
use std::io::{self, Write};

use echosounder_client::{ClockRelation, LossReason, PingEvent, PingReply, RequestHeader};
use echosounder_proto::LossReport;

use crate::render::numbers::{counted, duration, grouped, millis, whole_nanos};
use crate::render::ping::target::Target;
use crate::render::style::Style;
use crate::request_sizes::RequestSizes;

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
    match (target.is_connect(), interval.is_zero()) {
        (true, true) => writeln!(out, ", a connection as soon as the one before is established"),
        (true, false) => writeln!(out, ", a connection every {}", duration(*interval)),
        (false, true) => writeln!(out, ", {size} bytes as fast as replies come"),
        (false, false) => writeln!(out, ", {size} bytes every {}", duration(*interval)),
    }
}

/// Writes the line that precedes the requests of several sizes to a target.
pub(crate) fn sweep_header(
    out: &mut dyn Write,
    endpoint: &str,
    target: &Target,
    sizes: RequestSizes,
) -> io::Result<()> {
    let RequestSizes { min, max, step } = sizes;
    write!(out, "PING {endpoint}")?;
    // The endpoint of a name shows no address.
    if !endpoint.contains(&target.address) {
        write!(out, " ({})", target.address)?;
    }
    write!(out, ", {min} to {max} bytes in steps of {step}, ")?;
    match target.interval.is_zero() {
        true => writeln!(out, "as fast as replies come"),
        false => writeln!(out, "every {}", duration(target.interval)),
    }
}

/// Writes the line of an event, if it has one. `peer` is the name of the target in the line.
pub(crate) fn event(
    out: &mut dyn Write,
    style: Style,
    peer: &str,
    target: &Target,
    event: &PingEvent,
) -> io::Result<()> {
    match event {
        PingEvent::Replied(answered) => write_answered(out, style, peer, target, answered),
        PingEvent::Lost { number, reason, report, .. } => {
            let reason = match reason {
                LossReason::Peer(kind) => style.bad(kind).to_string(),
                LossReason::NotSent => "not sent".to_owned(),
                LossReason::TooLong => style.bad("TOO_LONG").to_string(),
            };
            writeln!(out, "{peer}: seq={number} {reason}{}", loss_report(report))
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

/// Returns what is known about a loss: ` after 0.198 ms (time to live exceeded, from 192.0.2.254)`.
fn loss_report(report: &LossReport) -> String {
    let error = report.error.map(|error| error.to_string()).filter(|_| report.path_mtu.is_none());
    let parts = [
        report.path_mtu.map(|mtu| format!("path MTU {mtu}")),
        error,
        report.from.map(|from| format!("from {from}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let after = report.after.map(|after| format!(" after {} ms", millis(whole_nanos(after) as f64)));
    let reported = (!parts.is_empty()).then(|| format!(" ({})", parts.join(", ")));
    after.unwrap_or_default() + &reported.unwrap_or_default()
}

fn write_answered(
    out: &mut dyn Write,
    style: Style,
    peer: &str,
    target: &Target,
    answered: &PingReply,
) -> io::Result<()> {
    let rtt = millis(whole_nanos(answered.rtt) as f64);
    let mut text = match target.is_connect() {
        true => format!("connected to {peer}"),
        false => format!("{} bytes from {peer}", target.size),
    };
    // Writing to a string does not fail.
    let _ = write!(text, ": seq={} rtt={rtt} ms", answered.number);
    if let Some(delay) = answered.delay {
        let sign = if answered.clock == ClockRelation::Free { "+" } else { "" };
        let [up, down] = [delay.up_ns, delay.down_ns].map(|nanos| format!("{sign}{}", millis(nanos as f64)));
        let _ = write!(text, " up={up} down={down}");
    }
    if let Some(ttl) = answered.ttl.filter(|_| target.is_icmp()) {
        let _ = write!(text, " ttl={ttl}");
    }
    if answered.has_header_changed {
        text += " request";
        for (name, value) in header_fields(&answered.header) {
            let _ = write!(text, " {name}={value}");
        }
    }
    for (applies, word) in [(answered.late, "late"), (answered.reordered, "reordered")] {
        if applies {
            let _ = write!(text, " {}", style.caution(word));
        }
    }
    if let Some(count) = answered.retransmissions.filter(|count| *count != 0) {
        let _ = write!(text, ", {}", style.caution(counted(count.into(), "retransmission")));
    }
    writeln!(out, "{text}")
}

/// Returns the reported header fields of a request by name.
fn header_fields(header: &RequestHeader) -> impl Iterator<Item = (&'static str, u8)> {
    let fields = [("ttl", header.ttl), ("dscp", header.dscp), ("ecn", header.ecn)];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// Writes that the name of a target has another address.
pub(crate) fn moved(out: &mut dyn Write, old: &Target, new: &Target) -> io::Result<()> {
    writeln!(out, "{} moved from {} to {}", new.endpoint, old.address, new.address)
}

/// Writes how many lines about a target were left out by the limit of lines per second.
pub(crate) fn left_out(out: &mut dyn Write, peer: &str, count: u64) -> io::Result<()> {
    writeln!(out, "{peer}: … and {} more", grouped(count))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use echosounder_client::FailureKind;
    use echosounder_proto::WallTime;

    use super::*;

    fn written_of(probe: &'static str, style: Style, happened: &PingEvent) -> String {
        let mut out = Vec::new();
        event(&mut out, style, "h", &Target::example(probe), happened).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn written(style: Style, happened: &PingEvent) -> String {
        written_of("echo", style, happened)
    }

    #[test]
    fn replies_of_icmp_have_a_time_to_live() {
        let mut reply = PingReply::new(7, WallTime::from_nanos(0), Duration::from_micros(1500));
        reply.ttl = Some(63);
        for (probe, line) in [
            ("icmp", "64 bytes from h: seq=7 rtt=1.500 ms ttl=63\n"),
            ("echo", "64 bytes from h: seq=7 rtt=1.500 ms\n"),
            ("connect", "connected to h: seq=7 rtt=1.500 ms\n"),
        ] {
            assert_eq!(written_of(probe, Style::PLAIN, &PingEvent::Replied(reply)), line);
        }
    }

    #[test]
    fn failures_are_coloured() {
        let sent = WallTime::from_nanos(0);
        let answered = |late, reordered| {
            let mut reply = PingReply::new(7, sent, Duration::from_micros(1500));
            (reply.late, reply.reordered) = (late, reordered);
            PingEvent::Replied(reply)
        };
        let resent = |count| {
            let mut reply = PingReply::new(7, sent, Duration::from_micros(1500));
            reply.retransmissions = Some(count);
            PingEvent::Replied(reply)
        };
        let lost = |reason| PingEvent::Lost { number: 8, sent, reason, report: LossReport::default() };
        let mut report = LossReport::default();
        (report.from, report.path_mtu) = (Some([192, 0, 2, 254].into()), Some(1400));
        let too_long = PingEvent::Lost { number: 8, sent, reason: LossReason::TooLong, report };
        let mut report = LossReport::default();
        report.after = Some(Duration::from_micros(198));
        let refused = PingEvent::Lost { number: 9, sent, reason: FailureKind::Refused.into(), report };
        for (happened, colored) in [
            (answered(false, false), "64 bytes from h: seq=7 rtt=1.500 ms\n"),
            (
                answered(true, true),
                "64 bytes from h: seq=7 rtt=1.500 ms \x1b[33mlate\x1b[0m \x1b[33mreordered\x1b[0m\n",
            ),
            (resent(1), "64 bytes from h: seq=7 rtt=1.500 ms, \x1b[33m1 retransmission\x1b[0m\n"),
            (resent(0), "64 bytes from h: seq=7 rtt=1.500 ms\n"),
            (lost(FailureKind::Timeout.into()), "h: seq=8 \x1b[31mTIMEOUT\x1b[0m\n"),
            (lost(LossReason::NotSent), "h: seq=8 not sent\n"),
            (too_long, "h: seq=8 \x1b[31mTOO_LONG\x1b[0m (path MTU 1400, from 192.0.2.254)\n"),
            (refused, "h: seq=9 \x1b[31mREFUSED\x1b[0m after 0.198 ms\n"),
            (PingEvent::Disconnected, "h: \x1b[31mconnection lost\x1b[0m\n"),
        ] {
            assert_eq!(written(Style::with(true, None), &happened), colored);
            let plain = ["\x1b[31m", "\x1b[33m", "\x1b[0m"]
                .iter()
                .fold(colored.to_owned(), |text, code| text.replace(code, ""));
            assert_eq!(written(Style::PLAIN, &happened), plain);
        }
    }
}
