//! Round trips as a log of HdrHistogram, for its own tools: one interval per target, values in
//! nanoseconds.

use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::PingReport;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::target::Target;
use crate::render::histogram;

/// Writes the log. With several targets each interval has the target's position as its tag.
pub(crate) fn log(out: &mut dyn Write, results: &[(&Target, &PingReport)]) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("round trips in nanoseconds");
    for (position, (target, _)) in results.iter().enumerate() {
        builder.add_comment(&format!("target {position}: {}", target.endpoint));
    }
    let mut out = out;
    let mut log = builder.begin_log_with(&mut out, &mut serializer)?;
    for (position, (_, report)) in results.iter().enumerate() {
        let tag = position.to_string();
        let tag = (results.len() != 1).then(|| Tag::new(&tag)).flatten();
        log.write_histogram(&histogram::of(&report.rtt.delay), Duration::ZERO, report.elapsed, tag)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    Ok(())
}
