//! The end of a ping: its statistics, missed thresholds and exit status.

use std::io::{self, IsTerminal, Write};

use echosounder_client::{Miss, PingReport, Thresholds};

use super::sweep;
use super::target_state::TargetState;
use crate::failure::{self, Outcome};
use crate::output::Output;
use crate::render::json::EventTime;
use crate::render::numbers::{duration, grouped, millis};
use crate::render::ping::json;
use crate::render::ping::path_mtu::PathMtu;
use crate::render::ping::text::{self, Row};
use crate::render::style::Style;
use crate::request_sizes::RequestSizes;

/// How the statistics are written.
#[derive(Clone, Copy)]
pub(super) struct Format {
    pub(super) output: Output,
    pub(super) style: Style,
    /// Whether to write the statistics of each target, beside the table of all.
    pub(super) verbose: bool,
}

/// Writes the statistics of all targets.
pub(super) fn write(
    out: &mut impl Write,
    format: Format,
    thresholds: Thresholds,
    targets: &[TargetState],
    path_mtus: &[PathMtu],
) -> io::Result<()> {
    let Format { output, style, verbose } = format;
    let out = &mut style.wrapped(out);
    let results: Vec<_> = targets.iter().filter_map(TargetState::result).collect();
    // The terminal may have written ^C.
    if !output.json && !results.is_empty() && io::stdout().is_terminal() {
        writeln!(out)?;
    }
    for (target, report) in &results {
        let misses = thresholds.check(report);
        if output.json {
            let names: Vec<_> = misses.iter().map(miss_name).collect();
            json::report(out, &EventTime::now(), "result", target, report, &names)?;
            continue;
        }
        if results.len() == 1 || verbose {
            text::statistics(out, style, target, report)?;
        }
        for miss in misses {
            writeln!(out, "missed   {}: {}", target.endpoint, style.bad(miss_in_words(miss)))?;
        }
    }
    // Without any result each target has reported its error, and the rows would be empty.
    if 1 < targets.len() && !results.is_empty() && !output.json {
        // Sizes of a sweep that were left out have no row.
        let is_shown = |state: &&TargetState| path_mtus.is_empty() || state.has_begun();
        let rows: Vec<Row<'_>> = targets.iter().filter(is_shown).map(TargetState::row).collect();
        text::comparison(out, style, &rows)?;
        text::compared_by(out, targets.iter().filter_map(|state| state.target.as_ref()))?;
    }
    path_mtus.iter().try_for_each(|path| match output.json {
        true => json::path_mtu(out, &EventTime::now(), path),
        false => writeln!(out, "{path}"),
    })
}

/// Returns the path MTU of each target of a sweep.
pub(super) fn path_mtus(targets: &[TargetState], sweep: Option<RequestSizes>) -> Vec<PathMtu> {
    sweep.map_or_else(Vec::new, |sizes| sweep::path_mtus(targets, sizes.count()))
}

/// Returns the exit status. Of a sweep, only the smallest size decides.
pub(super) fn outcome(
    thresholds: Thresholds,
    targets: &[TargetState],
    sweep: Option<RequestSizes>,
) -> Outcome {
    let is_good = |state: &TargetState| {
        let (Some(target), Some(report), None) = (&state.target, &state.report, &state.error) else {
            return false;
        };
        let has_all = target.count.is_none_or(|count| report.answered == count);
        report.answered + report.late != 0 && has_all && thresholds.check(report).is_empty()
    };
    let deciding = targets.iter().step_by(sweep.map_or(1, RequestSizes::count));
    let is_good = |state: &TargetState| match sweep {
        Some(_) => state.error.is_none() && state.size_result().is_some_and(|result| result.has_reply),
        None => is_good(state),
    };
    let mut begun = deciding.filter(|state| state.has_begun()).peekable();
    if targets.iter().filter_map(|state| state.error.as_ref()).any(failure::is_local) {
        Outcome::Failed
    } else if begun.peek().is_some() && begun.all(is_good) {
        Outcome::Done
    } else {
        Outcome::Incomplete
    }
}

/// Returns the names of the missed thresholds in JSON.
pub(super) fn missed_names(thresholds: Thresholds, report: &PingReport) -> Vec<&'static str> {
    thresholds.check(report).iter().map(miss_name).collect()
}

/// Returns a phrase for each missed threshold.
pub(super) fn missed_in_words(thresholds: Thresholds, report: &PingReport) -> Vec<String> {
    thresholds.check(report).into_iter().map(miss_in_words).collect()
}

fn miss_name(miss: &Miss) -> &'static str {
    match miss {
        Miss::Loss { .. } => "max_loss",
        Miss::P99 { .. } => "max_p99",
    }
}

fn miss_in_words(miss: Miss) -> String {
    match miss {
        Miss::Loss { lost, sent, max } => {
            format!("{} of {} lost, over {}%", grouped(lost), grouped(sent), max.get())
        }
        Miss::P99 { rtt_ns: Some(rtt), is_percentile, max } => {
            let (rtt, max) = (millis(rtt as f64), duration(max));
            if is_percentile {
                format!("p99 is {rtt} ms, over {max}")
            } else {
                format!("the maximum is {rtt} ms, over {max} (fewer than 100 replies have no p99)")
            }
        }
        Miss::P99 { rtt_ns: None, .. } => "no request was replied to, so there is no p99".to_owned(),
    }
}
