//! The lines that `sounder serve` prints: its transcript, notes and statistics, as text or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use echosounder_proto::DropReason;
use echosounder_server::{DisconnectReason, Totals};
use echosounder_socket::{Endpoint, Kind};
use serde::Serialize;

use super::escape::{Escaped, Harmless};
use super::json::{self, Bytes, EventTime};

/// An event of a server with its time.
#[derive(Debug)]
pub(crate) struct TranscriptLine {
    pub(crate) time: EventTime,
    pub(crate) event: TranscriptEvent,
}

/// An event of a server, with addresses and errors as text.
#[derive(Debug)]
pub(crate) enum TranscriptEvent {
    /// A client has connected.
    Connected { peer: String },
    /// A message has been replied to. `bytes` are the beginning of a long message, `len` is the
    /// length of the whole.
    Message { peer: String, bytes: Vec<u8>, len: usize },
    /// A connection has ended.
    Closed { peer: String, messages: u64, reason: Option<String> },
    /// An operation failed.
    Error { error: String },
    /// The number of lines that were left out, because they exceeded the rate limit.
    LeftOut { lines: u64 },
}

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

/// Writes that an endpoint is served.
pub(crate) fn listening(out: &mut impl Write, endpoint: &Endpoint, as_json: bool) -> io::Result<()> {
    let kind = match endpoint.transport().kind() {
        Kind::Datagrams => "message",
        Kind::Stream | Kind::Messages => "connection",
    };
    if as_json {
        let object = Object::Listening { endpoint: endpoint.to_string(), kind };
        return json::event(out, &EventTime::now(), &object);
    }
    writeln!(out, "Waiting for {kind} on {endpoint}")
}

/// Writes what is not served.
pub(crate) fn note(out: &mut impl Write, note: &str, as_json: bool) -> io::Result<()> {
    if as_json {
        return json::event(out, &EventTime::now(), &Object::Note { note });
    }
    writeln!(out, "note: {}", Harmless(note))
}

/// Writes a line of the transcript.
pub(crate) fn write_line(out: &mut impl Write, line: &TranscriptLine, as_json: bool) -> io::Result<()> {
    if as_json {
        return json::event(out, &line.time, &object(&line.event));
    }
    match &line.event {
        TranscriptEvent::Connected { peer } => writeln!(out, "Connected client from {peer}"),
        TranscriptEvent::Message { peer, bytes, len } if bytes.len() < *len => {
            writeln!(out, "Client {peer}: {}... ({len} bytes)", Escaped(bytes))
        }
        TranscriptEvent::Message { peer, bytes, .. } => writeln!(out, "Client {peer}: {}", Escaped(bytes)),
        TranscriptEvent::Closed { peer, messages, reason } => {
            write!(out, "Closed {peer} after {}", counted(*messages, "message"))?;
            match reason {
                Some(reason) => writeln!(out, ": {reason}"),
                None => writeln!(out),
            }
        }
        TranscriptEvent::Error { error } => writeln!(out, "Error: {error}"),
        TranscriptEvent::LeftOut { lines } => writeln!(out, "({} left out)", counted(*lines, "line")),
    }
}

/// Writes the statistics.
pub(crate) fn summary(out: &mut impl Write, totals: &Totals, as_json: bool) -> io::Result<()> {
    let drops = || DropReason::ALL.iter().map(|reason| reason.word()).zip(totals.drops);
    let disconnects = || DisconnectReason::ALL.iter().map(|reason| reason.name()).zip(totals.disconnects);
    let &Totals { connections, connected_now, messages, bytes, errors, .. } = totals;
    if as_json {
        let (dropped, disconnected) = (drops().collect(), disconnects().collect());
        let object =
            Object::Summary { connections, connected_now, messages, bytes, errors, dropped, disconnected };
        return json::event(out, &EventTime::now(), &object);
    }
    let [connections, messages, bytes] =
        [(connections, "connection"), (messages, "message"), (bytes, "byte")]
            .map(|(n, noun)| counted(n, noun));
    let now = if connected_now == 0 { String::new() } else { format!(" ({connected_now} connected now)") };
    write!(out, "{connections}{now}, {messages}, {bytes}, {} dropped", totals.dropped())?;
    breakdown(out, drops())?;
    if totals.disconnected() != 0 {
        write!(out, ", {} disconnected", totals.disconnected())?;
        breakdown(out, disconnects())?;
    }
    if errors != 0 {
        write!(out, ", {}", counted(errors, "error"))?;
    }
    writeln!(out)
}

/// Writes the parts of a sum that are not zero: ` (2 idle, 1 stalled)`.
fn breakdown(out: &mut impl Write, parts: impl Iterator<Item = (&'static str, u64)>) -> io::Result<()> {
    let parts: Vec<String> =
        parts.filter(|(_, count)| *count != 0).map(|(word, count)| format!("{count} {word}")).collect();
    if parts.is_empty() { Ok(()) } else { write!(out, " ({})", parts.join(", ")) }
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

/// Returns a count with its noun: `1 message`, `2 messages`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
