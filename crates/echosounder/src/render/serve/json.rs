//! The objects of `sounder serve --json`, and the notes that other commands share.

use std::collections::BTreeMap;
use std::io::{self, Write};

use echosounder_server::Totals;
use serde::Serialize;

use super::event::{TranscriptEvent, TranscriptLine};
use crate::render::json::{self, Bytes, EventTime};

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Object<'a> {
    Note {
        note: &'a str,
    },
    Listening {
        endpoint: String,
        kind: &'static str,
    },
    Connected {
        peer: &'a str,
    },
    Message {
        peer: &'a str,
        bytes: usize,
        #[serde(flatten)]
        content: Bytes<'a>,
    },
    Closed {
        peer: &'a str,
        messages: u64,
        reason: Option<&'a str>,
    },
    Trouble {
        error: &'a str,
    },
    LeftOut {
        count: u64,
    },
    Summary {
        connections: u64,
        connected_now: u64,
        messages: u64,
        bytes: u64,
        errors: u64,
        dropped: BTreeMap<&'static str, u64>,
        disconnected: BTreeMap<&'static str, u64>,
    },
}

/// Writes that an endpoint is served. `kind` is "connection", "message" or "request".
pub(crate) fn listening(
    out: &mut dyn Write,
    time: &EventTime,
    endpoint: String,
    kind: &'static str,
) -> io::Result<()> {
    json::event(out, time, &Object::Listening { endpoint, kind })
}

/// Writes a note.
pub(crate) fn note(out: &mut dyn Write, time: &EventTime, note: &str) -> io::Result<()> {
    json::event(out, time, &Object::Note { note })
}

/// Writes a line of the transcript.
pub(crate) fn line(out: &mut dyn Write, line: &TranscriptLine) -> io::Result<()> {
    json::event(out, &line.time, &object(&line.event))
}

/// Writes the statistics.
pub(crate) fn summary(out: &mut dyn Write, time: &EventTime, totals: &Totals) -> io::Result<()> {
    let dropped = totals.drops().map(|(reason, count)| (reason.word(), count)).collect();
    let disconnected = totals.disconnects().map(|(reason, count)| (reason.name(), count)).collect();
    let &Totals { connections, connected_now, messages, bytes, errors, .. } = totals;
    let object =
        Object::Summary { connections, connected_now, messages, bytes, errors, dropped, disconnected };
    json::event(out, time, &object)
}

fn object(event: &TranscriptEvent) -> Object<'_> {
    match event {
        TranscriptEvent::Connected { peer } => Object::Connected { peer },
        TranscriptEvent::Message { peer, bytes, len } => {
            Object::Message { peer, bytes: *len, content: Bytes::from(&bytes[..]) }
        }
        TranscriptEvent::Closed { peer, messages, reason } => {
            Object::Closed { peer, messages: *messages, reason: reason.as_deref() }
        }
        TranscriptEvent::Error { error } => Object::Trouble { error },
        TranscriptEvent::LeftOut { lines } => Object::LeftOut { count: *lines },
    }
}
