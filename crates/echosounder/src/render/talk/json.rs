//! The objects of `sounder talk --json`: one for each line of input that was sent, and one for each
//! line that was not.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::render::json::{self, Bytes, EventTime};
use crate::render::numbers::whole_nanos;

#[derive(Serialize)]
struct Reply<'a> {
    event: &'static str,
    endpoint: &'a str,
    #[serde(flatten)]
    content: Bytes<'a>,
    rtt_ns: Option<u64>,
}

#[derive(Serialize)]
struct NoReply<'a> {
    event: &'static str,
    endpoint: &'a str,
}

#[derive(Serialize)]
struct NotSent<'a> {
    event: &'static str,
    endpoint: &'a str,
    line: u64,
    bytes: usize,
    error: &'a str,
}

/// Writes received data. `rtt` is the round-trip time of a complete reply in time.
pub(crate) fn reply(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    data: &[u8],
    rtt: Option<Duration>,
) -> io::Result<()> {
    let (content, rtt_ns) = (Bytes::from(data), rtt.map(whole_nanos));
    json::event(out, time, &Reply { event: "reply", endpoint, content, rtt_ns })
}

/// Writes that a line was not answered completely in time.
pub(crate) fn no_reply(out: &mut dyn Write, time: &EventTime, endpoint: &str) -> io::Result<()> {
    json::event(out, time, &NoReply { event: "no_reply", endpoint })
}

/// Writes why a line, by its number and its length in bytes, was not sent.
pub(crate) fn not_sent(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: &str,
    line: u64,
    bytes: usize,
    error: &str,
) -> io::Result<()> {
    json::event(out, time, &NotSent { event: "not_sent", endpoint, line, bytes, error })
}
