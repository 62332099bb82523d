//! The distribution of a load's latency as a table: one line per distinct latency.

use std::io::{self, Write};

use super::summary::Summary;
use crate::render::histogram;

/// Writes the table.
pub(crate) fn distribution(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    writeln!(out, "latency_ns,percentile,replies_up_to_it")?;
    let mut replies = 0;
    for value in histogram::of(&summary.report.latency).iter_recorded() {
        replies += value.count_since_last_iteration();
        writeln!(out, "{},{:.6},{replies}", value.value_iterated_to(), value.percentile())?;
    }
    Ok(())
}
