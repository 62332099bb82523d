//! The latency of a load as a log of HdrHistogram, for its own tools: one interval, values in
//! nanoseconds. The parts of the latency, of a load with a connection for each message, have tags.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::summary::Summary;
use crate::render::histogram;

/// Writes the log.
pub(crate) fn log(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut out = out;
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latency in nanoseconds")
        .begin_log_with(&mut out, &mut serializer)?;
    let parts = summary.report.exchanges.iter();
    let parts =
        parts.flat_map(|parts| [(Tag::new("connect"), &parts.connect), (Tag::new("reply"), &parts.reply)]);
    for (tag, times) in std::iter::once((None, &summary.report.latency)).chain(parts) {
        log.write_histogram(&histogram::of(times), Duration::ZERO, summary.report.elapsed, tag)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    Ok(())
}
