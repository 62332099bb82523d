//! What a ping's report says in words.

use echosounder_client::{Clock, Failures, PeerClockReport, PingReport, TimestampSupport, Verdict};
use echosounder_socket::kernel::ClockState;

use super::load::grouped;
use super::ping::Target;

/// How nanoseconds are told.
type Delay = fn(f64) -> String;

/// Whether, and where, delay varies; `None` if that cannot be told.
pub(super) fn verdict(report: &PingReport, delay: Delay) -> Option<String> {
    let (verdict, spreads) = report.verdict()?;
    let [up, down, server] = spreads.map(|nanos| delay(nanos as f64));
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

/// How calls have failed: `3 REFUSED, 1 TIMEOUT`.
pub(super) fn failures(lost: &Failures) -> String {
    let counts = [
        (lost.refused, "REFUSED"),
        (lost.timeout, "TIMEOUT"),
        (lost.unreachable, "UNREACHABLE"),
        (lost.dns, "DNS"),
        (lost.closed, "CLOSED"),
        (lost.unsent, "not sent"),
    ];
    let told = counts.into_iter().filter(|(count, _)| *count != 0);
    let told: Vec<String> = told.map(|(count, word)| format!("{} {word}", grouped(count))).collect();
    told.join(", ")
}

/// How much of a hundred was lost; never nothing if it was something, nor all if it was not.
pub(super) fn percent_lost(report: &PingReport) -> String {
    match (report.loss_percent(), report.lost.all()) {
        (_, 0) => "0".to_owned(),
        (percent, _) if percent < 0.01 => "<0.01".to_owned(),
        (percent, lost) if lost != report.sent() && 99.99 < percent => ">99.99".to_owned(),
        (percent, _) => ((percent * 100.0).round() / 100.0).to_string(),
    }
}

/// What is known of the clocks.
pub(super) fn clock(target: &Target, report: &PingReport, delay: Delay) -> Option<String> {
    let PeerClockReport { clock, contradicted, ahead, uncertainty, .. } = report.clock;
    let mut text = match (report.told, clock) {
        (TimestampSupport::None, _) => {
            return Some("the server sends no timestamps, so only round trips are measured".to_owned());
        }
        _ if report.clock.stands_still => {
            return Some(
                "the peer's clock showed the same time for different requests, so only round trips are measured"
                    .to_owned(),
            );
        }
        (TimestampSupport::RxTx | TimestampSupport::Single, Clock::Same) => {
            format!("the same at both ends{}", crossed(report))
        }
        (TimestampSupport::RxTx | TimestampSupport::Single, Clock::Synced) => synced(target, report, delay),
        _ => compared(target, report, ahead?, uncertainty?, delay),
    };
    if contradicted {
        text += "; the peer's clock differs from ours although its address is local";
    }
    for (count, whose) in
        [(report.clock.peer_steps, "the peer's"), (report.clock.own_steps, "this machine's")]
    {
        match count {
            0 => {}
            1 => text += &format!("; {whose} clock was set once meanwhile"),
            _ => text += &format!("; {whose} clock was set {} times meanwhile", grouped(count)),
        }
    }
    Some(text)
}

fn synced(target: &Target, report: &PingReport, delay: Delay) -> String {
    let state = match target.own_clock {
        Some(ClockState { synchronized: true, error_max }) => {
            format!("; this machine's is within {} of UTC", delay(error_max.as_nanos() as f64))
        }
        Some(_) => ", but nothing keeps this machine's in step".to_owned(),
        None => String::new(),
    };
    format!("taken to be in step (--clock){state}{}", crossed(report))
}

/// What shows that two clocks are not what they are said to be.
fn crossed(report: &PingReport) -> String {
    match report.up.delay.negative() + report.down.delay.negative() {
        0 => String::new(),
        1 => "; it is not: a delay was below zero".to_owned(),
        negative => format!("; it is not: {} delays were below zero", grouped(negative)),
    }
}

/// How far the peer's clock is ahead.
fn compared(target: &Target, report: &PingReport, ahead: i64, uncertainty: u64, delay: Delay) -> String {
    let sign = if ahead < 0 { '−' } else { '+' };
    let (far, within) = (delay(ahead.unsigned_abs() as f64), delay(uncertainty as f64));
    let mut text = format!("offset of {} {sign}{far} ±{within}", target.place);
    if let Some((drift, within)) = report.clock.drift_ppm {
        let sign = if drift < 0.0 { '−' } else { '+' };
        text += &format!(", drift {sign}{:.1} µs/s ±{within:.1}", drift.abs());
    }
    match report.clock.zone_minutes.filter(|_| report.told == TimestampSupport::Seconds) {
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
            text + &format!(" (assumes that it shows UTC{sign}{hours:02}:{minutes:02}, in whole seconds)")
        }
        None => text + " (assumes symmetric minimum delay; see --clock)",
    }
}
