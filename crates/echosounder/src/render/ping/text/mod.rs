//! The lines of `sounder ping` for people: one per event, and the statistics at the end.

mod comparison;
mod line;
mod statistics;

use echosounder_client::PingReport;

pub(crate) use comparison::{Row, compared_by, comparison};
pub(crate) use line::{event, header, left_out, moved, sweep_header};
pub(crate) use statistics::statistics;

use crate::render::numbers::{millis, percentage_of};

fn percent_lost(report: &PingReport) -> String {
    percentage_of(report.lost.total(), report.sent())
}

/// What stands in place of a missing value.
fn none() -> String {
    "-".to_owned()
}

fn cell(nanos: Option<i64>) -> String {
    nanos.map_or_else(none, |nanos| millis(nanos as f64))
}
