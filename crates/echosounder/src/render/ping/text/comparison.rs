//! The table that compares several targets.

use std::io::{self, Write};

use echosounder_client::{FailureKind, PingReport};

use super::{cell, none, percent_lost};
use crate::render::numbers::{grouped, millis};
use crate::render::ping::target::Target;
use crate::render::style::Style;

/// A line of the comparison of several targets.
pub(crate) struct Row<'a> {
    /// The endpoint that was reached, or that could not be reached.
    pub(crate) name: &'a str,
    /// The report, if any request was sent.
    pub(crate) report: Option<&'a PingReport>,
    /// How the target failed, if it did.
    pub(crate) failure: Option<FailureKind>,
}

/// Writes a table with a row for each of several targets. The first target is the base: the column
/// `+p50` is the difference to its median.
pub(crate) fn comparison(out: &mut dyn Write, style: Style, rows: &[Row<'_>]) -> io::Result<()> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let has_refused = rows.iter().filter_map(|row| row.report).any(|report| report.lost.refused != 0);
    // On a narrow terminal the name has a line of its own.
    let own_line = !style.fits(width + if has_refused { 88 } else { 78 });
    let name_width = if own_line { 0 } else { width };
    let mut line = |name: &str, cells: [String; 9], has_lost: bool, failure: Option<FailureKind>| {
        let [sent, lost, refused, times @ ..] = cells;
        let lost = style.bad_if(has_lost, format!("{lost:>7}"));
        write!(out, "{name:name_width$}{}{sent:>9} {lost}", if own_line { "\n" } else { " " })?;
        if has_refused {
            write!(out, " {refused:>9}")?;
        }
        times.iter().try_for_each(|cell| write!(out, " {cell:>9}"))?;
        failure.map_or(Ok(()), |failure| write!(out, "  {}", style.bad(failure)))?;
        writeln!(out)
    };
    line(
        "ms",
        ["sent", "lost", "refused", "min", "p50", "+p50", "p99", "max", "jitter"].map(str::to_owned),
        false,
        None,
    )?;
    let base = rows.first().and_then(|row| median(row.report?));
    rows.iter().enumerate().try_for_each(|(index, row)| {
        let has_lost = row.report.is_some_and(|report| report.lost.total() != 0);
        let base = base.filter(|_| index != 0);
        let cells =
            row.report.map_or_else(|| [(); 9].map(|()| none()), |report| compared_cells(report, base));
        line(row.name, cells, has_lost, row.failure)
    })
}

/// Returns the median of the round-trip times in nanoseconds.
fn median(report: &PingReport) -> Option<i64> {
    report.rtt.delay.percentile(50.0)
}

/// Returns the cells of a target, if the base has this median in nanoseconds.
fn compared_cells(report: &PingReport, base: Option<i64>) -> [String; 9] {
    let times = &report.rtt.delay;
    let beyond = median(report).zip(base).map(|(median, base)| (median - base) as f64 / 1e6);
    [
        grouped(report.sent()),
        format!("{}%", percent_lost(report)),
        grouped(report.lost.refused),
        cell(times.min()),
        cell(median(report)),
        beyond.map_or_else(none, |beyond| format!("{beyond:+.3}")),
        cell(times.percentile(99.0)),
        cell(times.max()),
        report.rtt.jitter_ns.map_or_else(none, millis),
    ]
}

/// Writes which clock reads timed the replies of the compared targets.
pub(crate) fn compared_by<'a>(
    out: &mut dyn Write,
    targets: impl Iterator<Item = &'a Target>,
) -> io::Result<()> {
    let (kernel, user): (Vec<_>, Vec<_>) = targets.partition(|target| target.kernel.receives);
    match (kernel.is_empty(), user.is_empty()) {
        (true, true) => Ok(()),
        (false, true) => writeln!(out, "all with kernel timestamps of receipt (--timestamps)"),
        (true, false) => writeln!(out, "all with user-space timestamps (--timestamps)"),
        (false, false) => {
            writeln!(out, "some with kernel timestamps of receipt, some without (--timestamps)")
        }
    }
}
