//! The output of `sounder serve`, as text or as JSON: its transcript, its statistics, and the notes
//! that other commands write, too.

pub(crate) mod event;
mod json;
mod text;

use std::io::{self, Write};

use echosounder_server::Totals;
use echosounder_socket::Kind;

use self::event::TranscriptLine;
use super::json::EventTime;
use crate::target::{Service, Target};

/// Writes that an endpoint is served.
pub(crate) fn listening(out: &mut dyn Write, target: &Target, as_json: bool) -> io::Result<()> {
    let kind = match (target.service, target.endpoint.transport().kind()) {
        (Service::Stamp | Service::Icmp, _) => "request",
        (Service::Echo, Kind::Datagrams) => "message",
        (Service::Echo, Kind::Stream | Kind::Messages) => "connection",
    };
    let endpoint = target.to_string();
    if as_json {
        json::listening(out, &EventTime::now(), endpoint, kind)
    } else {
        text::listening(out, &endpoint, kind)
    }
}

/// Writes a note: a part of the endpoints that is not served, or why a result is incomplete.
pub(crate) fn note(out: &mut dyn Write, note: &str, as_json: bool) -> io::Result<()> {
    if as_json { json::note(out, &EventTime::now(), note) } else { text::note(out, note) }
}

/// Writes a line of the transcript.
pub(crate) fn write_line(out: &mut dyn Write, line: &TranscriptLine, as_json: bool) -> io::Result<()> {
    if as_json { json::line(out, line) } else { text::line(out, &line.event) }
}

/// Writes the statistics.
pub(crate) fn summary(out: &mut dyn Write, totals: &Totals, as_json: bool) -> io::Result<()> {
    if as_json { json::summary(out, &EventTime::now(), totals) } else { text::summary(out, totals) }
}
