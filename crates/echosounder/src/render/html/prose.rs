//! What a report says in words.

use echosounder_client::{PingReport, TimestampSupport};

use super::super::load::grouped;
use super::super::ping::Target;
use super::super::prose;
use super::axis::Unit;

/// Whether, and where, delay varies, or why that cannot be told.
pub(super) fn verdict(report: &PingReport) -> String {
    if report.rtt.delay.count() == 0 {
        return match report.sent() {
            0 => "No request was sent.".to_owned(),
            sent => format!("None of {} was answered: {}.", requests(sent), prose::failures(&report.lost)),
        };
    }
    match prose::verdict(report, delay) {
        Some(verdict) => format!("{}.", capitalized(&verdict)),
        None => match report.told {
            TimestampSupport::None => {
                "The replies carry no timestamps, so the directions cannot be told apart."
            }
            TimestampSupport::Seconds => {
                "The replies carry whole seconds only, too coarse to tell the directions apart."
            }
            TimestampSupport::Single | TimestampSupport::RxTx => {
                "Too few replies to say in which direction the delay varies."
            }
        }
        .to_owned(),
    }
}

/// A sentence that begins with a capital.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// What is worth saying of a report beside its times, and what each is of.
pub(super) fn notes(about: Option<&Target>, report: &PingReport) -> Vec<(&'static str, String)> {
    let mut notes = vec![("requests", counts(report))];
    let clock = about.and_then(|about| prose::clock(about, report, delay));
    notes.extend(clock.map(|clock| ("clock", clock)));
    if let Some(max) = report.lag.max() {
        let stamps = match report.kernel_sent.count() + report.kernel_received.count() {
            0 => "this program's",
            _ => "the kernel's, where it gave any",
        };
        let p50 = report.lag.percentile(50.0);
        let p50 = p50.map_or_else(String::new, |p50| format!("{} (p50) / ", delay(p50 as f64)));
        let late = format!("requests were sent {p50}{} (max) behind schedule", delay(max as f64));
        notes.push(("timing", format!("{late}; timestamps are {stamps}")));
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
        (report.skipped, "skipped, since they could not be sent in time"),
    ] {
        if count != 0 {
            counts += &format!(", {} {what}", grouped(count));
        }
    }
    if report.lost.all() != 0 {
        counts += &format!(" ({})", prose::failures(&report.lost));
    }
    let elapsed = report.elapsed.as_nanos() as f64;
    let unit = Unit::of_span(elapsed);
    format!("{counts}, in {} {}", unit.brief(elapsed), unit.name)
}

fn requests(count: u64) -> String {
    format!("{} request{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A delay in the unit that fits.
pub(super) fn delay(nanos: f64) -> String {
    let unit = Unit::of_delay(nanos);
    format!("{} {}", unit.brief(nanos), unit.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_begins_with_its_own_letter() {
        assert_eq!(capitalized("most of the jitter"), "Most of the jitter");
        assert_eq!(capitalized(""), "");
    }
}
