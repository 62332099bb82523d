//! What a report says in words.

use echosounder_client::{PingReport, TimestampSupport};

use crate::render::numbers::{delay, grouped, span};
use crate::render::ping::target::Target;
use crate::render::prose::{self, capitalized, median_and_max};

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
        None => match report.timestamps {
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

/// What is worth saying of a report beside its times, and what each is of.
pub(super) fn notes(about: Option<&Target>, report: &PingReport) -> Vec<(&'static str, String)> {
    let mut notes = vec![("requests", counts(report))];
    let clock = about.and_then(|about| prose::clock(about.clocks(), report, delay));
    notes.extend(clock.map(|clock| ("clock", clock)));
    if let Some(behind) = median_and_max(report.send_delay.percentile(50.0), report.send_delay.max(), delay) {
        let stamps = match report.kernel_tx_delay.count() + report.kernel_rx_delay.count() {
            0 => "this program's",
            _ => "the kernel's, where it gave any",
        };
        let late = format!("requests were sent {behind} behind schedule");
        notes.push(("timing", format!("{late}; timestamps are {stamps}")));
    }
    notes
}

fn counts(report: &PingReport) -> String {
    let mut counts = format!("{} answered", grouped(report.answered));
    for (count, what) in [
        (report.late, "late"),
        (report.lost.total(), "lost"),
        (report.duplicate, "duplicate"),
        (report.reordered, "reordered"),
        (report.unexpected, "unexpected"),
        (report.skipped, "skipped, since they could not be sent in time"),
    ] {
        if count != 0 {
            counts += &format!(", {} {what}", grouped(count));
        }
    }
    if report.lost.total() != 0 {
        counts += &format!(" ({})", prose::failures(&report.lost));
    }
    format!("{counts}, in {}", span(report.elapsed.as_nanos() as f64))
}

fn requests(count: u64) -> String {
    format!("{} request{}", grouped(count), if count == 1 { "" } else { "s" })
}
