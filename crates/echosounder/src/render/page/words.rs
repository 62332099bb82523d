//! What a report says in words.

use echosounder_client::{PingReport, Told};

use super::super::load::grouped;
use super::super::ping::Target;
use super::super::words;
use super::axis::Unit;

/// Whether, and where, delay varies, or why that cannot be told.
pub(super) fn verdict(report: &PingReport) -> String {
    if report.rtt.delay.count() == 0 {
        return match report.sent() {
            0 => "No call was made.".to_owned(),
            sent => format!("None of {} was answered: {}.", calls(sent), words::failures(&report.lost)),
        };
    }
    match words::verdict(report, delay) {
        // It begins with "delay".
        Some(verdict) => format!("D{}.", &verdict[1..]),
        None => match report.told {
            Told::Nothing => "The answers tell no time, so the way up cannot be told from the way down.",
            Told::Second => {
                "The answers tell whole seconds only, too coarse to tell the way up from the way down."
            }
            Told::Time | Told::Both => "Too few answers to say on which way delay varies.",
        }
        .to_owned(),
    }
}

/// What is worth saying of a report beside its times, and what each is of.
pub(super) fn notes(about: Option<&Target>, report: &PingReport) -> Vec<(&'static str, String)> {
    let mut notes = vec![("calls", counts(report))];
    let clock = about.and_then(|about| words::clock(about, report, delay));
    notes.extend(clock.map(|clock| ("clock", clock)));
    if let Some(max) = report.lag.max() {
        let stamps = match report.kernel_sent.count() + report.kernel_received.count() {
            0 => "the program's",
            _ => "the kernel's, as far as it has told them",
        };
        let p50 = report.lag.percentile(50.0);
        let p50 = p50.map_or_else(String::new, |p50| format!("{} p50, ", delay(p50 as f64)));
        let late = format!("calls left late by {p50}{} max", delay(max as f64));
        notes.push(("timing", format!("{late}; times are {stamps}")));
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
        (report.skipped, "left out, since they could not leave in time"),
    ] {
        if count != 0 {
            counts += &format!(", {} {what}", grouped(count));
        }
    }
    if report.lost.all() != 0 {
        counts += &format!(" ({})", words::failures(&report.lost));
    }
    let elapsed = report.elapsed.as_nanos() as f64;
    let unit = Unit::of_span(elapsed);
    format!("{counts}, in {} {}", unit.brief(elapsed), unit.name)
}

fn calls(count: u64) -> String {
    format!("{} call{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A delay in the unit that fits.
pub(super) fn delay(nanos: f64) -> String {
    let unit = Unit::of_delay(nanos);
    format!("{} {}", unit.brief(nanos), unit.name)
}
