//! What a report says in words.

use echosounder_client::{Clock, Failures, PingReport, Told, Verdict};

use super::super::load::grouped;
use super::axis::Unit;

/// Whether, and where, delay varies.
pub(super) fn verdict(report: &PingReport) -> String {
    if report.rtt.delay.count() == 0 {
        return match report.sent() {
            0 => "No call was made.".to_owned(),
            sent => format!("None of {} was answered: {}.", calls(sent), failures(&report.lost)),
        };
    }
    let Some((verdict, spreads)) = report.verdict() else {
        return match report.told {
            Told::Nothing => "The answers tell no time, so the way up cannot be told from the way down.",
            Told::Second => {
                "The answers tell whole seconds only, too coarse to tell the way up from the way down."
            }
            Told::Time | Told::Both => "Too few answers to say on which way delay varies.",
        }
        .to_owned();
    };
    let [up, down, server] = spreads.map(|nanos| delay(nanos as f64));
    match verdict {
        Verdict::Steady => format!("Delay is steady: it varies by {up} on the way up, {down} down."),
        Verdict::Up => format!("Delay varies on the way up: {up} against {down} down."),
        Verdict::Down => format!("Delay varies on the way down: {down} against {up} up."),
        Verdict::Both => format!("Delay varies on both ways: {up} up, {down} down."),
        Verdict::Server => format!("Delay varies in the server: {server} against {up} up and {down} down."),
    }
}

/// What is worth saying of a report beside its times, and what each is of.
pub(super) fn notes(report: &PingReport) -> Vec<(&'static str, String)> {
    let mut notes = vec![("calls", counts(report))];
    notes.extend(clock(report).map(|clock| ("clock", clock)));
    if let (Some(p50), Some(max)) = (report.lag.rank(50.0), report.lag.max()) {
        let stamps = if report.kernel_sent.count() == 0 { "program" } else { "kernel" };
        let late = format!("left late by {} p50, {} max", delay(p50 as f64), delay(max as f64));
        notes.push(("timing", format!("calls {late}; times are the {stamps}'s")));
    }
    notes
}

fn counts(report: &PingReport) -> String {
    let mut counts = format!("{} answered", grouped(report.answered));
    for (count, what) in [
        (report.late, "late"),
        (report.lost.all(), "lost"),
        (report.duplicate, "duplicate"),
        (report.reordered, "reordered"),
        (report.stray, "stray"),
        (report.skipped, "left out, since the machine stood still"),
    ] {
        if count != 0 {
            counts += &format!(", {} {what}", grouped(count));
        }
    }
    if report.lost.all() != 0 {
        counts += &format!(" ({})", failures(&report.lost));
    }
    let elapsed = report.elapsed.as_nanos() as f64;
    let unit = Unit::of_span(elapsed);
    format!("{counts}, in {} {}", unit.brief(elapsed), unit.name)
}

/// How calls have failed.
fn failures(lost: &Failures) -> String {
    let told = [
        (lost.timeout, "TIMEOUT"),
        (lost.refused, "REFUSED"),
        (lost.unreachable, "UNREACHABLE"),
        (lost.dns, "DNS"),
        (lost.closed, "CLOSED"),
        (lost.unsent, "not sent, for want of room"),
    ];
    let told = told.into_iter().filter(|(count, _)| *count != 0);
    told.map(|(count, word)| format!("{} {word}", grouped(count))).collect::<Vec<_>>().join(", ")
}

/// What is known of the peer's clock.
fn clock(report: &PingReport) -> Option<String> {
    let clock = &report.clock;
    let mut text = match (clock.clock, clock.ahead) {
        _ if report.told == Told::Nothing => return None,
        (Clock::Same, _) => "the peer reads this machine's".to_owned(),
        (_, None) => return None,
        (kind, Some(ahead)) => {
            let word = if ahead < 0 { "behind" } else { "ahead" };
            let within = clock.uncertainty.map(|nanos| format!(", ±{}", delay(nanos as f64)));
            let assumed = if kind == Clock::Free { ", if the quickest paths are equal" } else { "" };
            let ahead = delay(ahead.unsigned_abs() as f64);
            format!("the peer's is {ahead} {word}{}{assumed}", within.unwrap_or_default())
        }
    };
    if let Some((drift, within)) = clock.drift_ppm {
        text += &format!("; it drifts by {drift:.1} ±{within:.1} ppm");
    }
    if let Some(minutes) = clock.zone_minutes {
        text += &format!("; its zone seems to be UTC{minutes:+} min");
    }
    for (steps, whose) in [(clock.peer_steps, "the peer's"), (clock.own_steps, "this machine's")] {
        if steps != 0 {
            text += &format!("; {whose} was stepped {}", times(steps));
        }
    }
    Some(text)
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{} times", grouped(count)) }
}

fn calls(count: u64) -> String {
    format!("{} call{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A delay in the unit that fits.
pub(super) fn delay(nanos: f64) -> String {
    let unit = Unit::of_delay(nanos);
    format!("{} {}", unit.brief(nanos), unit.name)
}
