//! The objects of `sounder ping --json` and of its JSON files.

mod path_mtu;
mod result;
mod sample;
mod start;

use std::io::{self, Write};

use echosounder_client::{ClockRelation, FailureKind, PingEvent, PingInterval};
use serde::Serialize;

pub(crate) use path_mtu::path_mtu;
pub(crate) use result::report;
pub(super) use sample::Sample;
pub(crate) use start::start;

use crate::render::json::{self, Distribution, EventTime};

#[derive(Serialize)]
struct Interval<'a> {
    event: &'static str,
    endpoint: &'a str,
    answered: u64,
    lost: u64,
    rtt: Distribution,
}

/// An event that has no keys of its own.
#[derive(Serialize)]
struct Plain<'a> {
    event: &'static str,
    endpoint: &'a str,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    event: &'static str,
    endpoint: &'a str,
    count: u64,
}

/// The reason why a target was not measured, or not until its end.
#[derive(Serialize)]
struct Failure<'a> {
    event: &'static str,
    endpoint: &'a str,
    reason: Option<String>,
    error: &'a str,
}

/// Writes the object of an event. Reports are written by [`report`].
pub(crate) fn event(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    event: &PingEvent,
) -> io::Result<()> {
    if let Some(sample) = Sample::of(endpoint, event) {
        return json::event(out, time, &sample);
    }
    let name = match event {
        PingEvent::Interval(interval) => return write_interval(out, time, endpoint, interval),
        PingEvent::Unexpected => "unexpected",
        PingEvent::ClockContradicted => "clock_contradicted",
        PingEvent::Reconnected => "reconnected",
        PingEvent::Disconnected => "disconnected",
        _ => return Ok(()),
    };
    json::event(out, time, &Plain { event: name, endpoint })
}

fn write_interval(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    interval: &PingInterval,
) -> io::Result<()> {
    let PingInterval { answered, lost, rtt, .. } = interval;
    json::event(
        out,
        time,
        &Interval { event: "interval", endpoint, answered: *answered, lost: *lost, rtt: rtt.into() },
    )
}

/// Writes how many events of a target were left out by the limit of lines per second.
pub(crate) fn left_out(out: &mut dyn Write, time: &EventTime, endpoint: &str, count: u64) -> io::Result<()> {
    json::event(out, time, &LeftOut { event: "left_out", endpoint, count })
}

/// Writes the error of a target into a file.
pub(crate) fn error(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    kind: Option<FailureKind>,
    error: &str,
) -> io::Result<()> {
    let reason = kind.map(|kind| kind.to_string());
    json::event(out, time, &Failure { event: "error", endpoint, reason, error })
}

fn clock_name(clock: ClockRelation) -> &'static str {
    match clock {
        ClockRelation::Same => "same",
        ClockRelation::Synced => "synced",
        ClockRelation::Free => "free",
    }
}

#[cfg(test)]
mod tests {
    use echosounder_proto::{LossReport, WallTime};

    use super::*;

    #[test]
    fn times_that_jq_would_round_are_also_text() {
        let sent = WallTime::from_nanos(1_795_810_829_000_000_010);
        let (reason, report) = (FailureKind::Timeout.into(), LossReport::default());
        let lost = PingEvent::Lost { number: 1, sent, reason, report };
        let mut out = Vec::new();
        event(&mut out, &EventTime::from_unix_nanos(0), "tcp://h:1", &lost).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.contains("\"sent_unix_ns\":1795810829000000010,"), "{line}");
        assert!(line.contains("\"sent_time\":\"2026-11-27T20:20:29.000000010Z\","), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(value["time"].is_string() && value["time_unix_ns"].is_string(), "{line}");
    }
}
