//! The latency of a load as a log of HdrHistogram, for its own tools: one interval, values in
//! nanoseconds.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::summary::Summary;
use crate::render::histogram;

/// Writes the log.
pub(crate) fn log(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut out = out;
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latency in nanoseconds")
        .begin_log_with(&mut out, &mut serializer)?;
    log.write_histogram(&histogram::of(&summary.report.latency), Duration::ZERO, summary.report.elapsed, None)
        .map_err(|error| io::Error::other(format!("{error:?}")))
}
