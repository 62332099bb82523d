//! What a server tells of itself, as lines.

use std::collections::BTreeMap;
use std::io::{self, Write};

use echosounder_proto::DropReason;
use echosounder_server::{DisconnectReason, Totals};
use echosounder_socket::{Endpoint, Kind};
use serde::Serialize;

use super::escape::{Escaped, Harmless};
use super::json::{self, Bytes, EventTime};

/// What happened in a server, and when.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) time: EventTime,
    pub(crate) what: What,
}

/// What happened in a server.
#[derive(Debug)]
pub(crate) enum What {
    /// Somebody has connected.
    Connected { peer: String },
    /// Somebody has said something; of a long message, the beginning.
    Message { peer: String, bytes: Vec<u8>, len: usize },
    /// A connection has ended.
    Closed { peer: String, messages: u64, reason: Option<String> },
    /// Something did not work.
    Error { error: String },
    /// So many entries were left out, because there were too many.
    LeftOut { entries: u64 },
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
        entries: u64,
    },
    Summary {
        connections: u64,
        connected_now: u64,
        messages: u64,
        bytes: u64,
        errors: u64,
        dropped: BTreeMap<&'static str, u64>,
        cut: BTreeMap<&'static str, u64>,
    },
}

/// Tells that a server answers at an endpoint.
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

/// Tells what a server does without.
pub(crate) fn note(out: &mut impl Write, note: &str, as_json: bool) -> io::Result<()> {
    if as_json {
        return json::event(out, &EventTime::now(), &Object::Note { note });
    }
    writeln!(out, "note: {}", Harmless(note))
}

/// Tells one entry.
pub(crate) fn entry(out: &mut impl Write, entry: &Entry, as_json: bool) -> io::Result<()> {
    if as_json {
        return json::event(out, &entry.time, &object(&entry.what));
    }
    match &entry.what {
        What::Connected { peer } => writeln!(out, "Connected client from {peer}"),
        What::Message { peer, bytes, len } if bytes.len() < *len => {
            writeln!(out, "Client {peer}: {}... ({len} bytes)", Escaped(bytes))
        }
        What::Message { peer, bytes, .. } => writeln!(out, "Client {peer}: {}", Escaped(bytes)),
        What::Closed { peer, messages, reason } => {
            write!(out, "Closed {peer} after {}", counted(*messages, "message"))?;
            match reason {
                Some(reason) => writeln!(out, ": {reason}"),
                None => writeln!(out),
            }
        }
        What::Error { error } => writeln!(out, "Error: {error}"),
        What::LeftOut { entries } => writeln!(out, "({} left out)", counted(*entries, "line")),
    }
}

/// Tells what was counted.
pub(crate) fn summary(out: &mut impl Write, totals: &Totals, as_json: bool) -> io::Result<()> {
    let drops = || DropReason::ALL.iter().map(|reason| reason.word()).zip(totals.drops);
    let cuts = || DisconnectReason::ALL.iter().map(|cut| cut.word()).zip(totals.cuts);
    let &Totals { connections, connected_now, messages, bytes, errors, .. } = totals;
    if as_json {
        let (dropped, cut) = (drops().collect(), cuts().collect());
        let object = Object::Summary { connections, connected_now, messages, bytes, errors, dropped, cut };
        return json::event(out, &EventTime::now(), &object);
    }
    let [connections, messages, bytes] =
        [(connections, "connection"), (messages, "message"), (bytes, "byte")]
            .map(|(n, noun)| counted(n, noun));
    let now = if connected_now == 0 { String::new() } else { format!(" ({connected_now} connected now)") };
    write!(out, "{connections}{now}, {messages}, {bytes}, {} dropped", totals.dropped())?;
    breakdown(out, drops())?;
    if totals.cut() != 0 {
        write!(out, ", {} cut off", totals.cut())?;
        breakdown(out, cuts())?;
    }
    if errors != 0 {
        write!(out, ", {}", counted(errors, "error"))?;
    }
    writeln!(out)
}

/// Tells of what a sum consists, if of anything: ` (2 idle, 1 stalled)`.
fn breakdown(out: &mut impl Write, parts: impl Iterator<Item = (&'static str, u64)>) -> io::Result<()> {
    let parts: Vec<String> =
        parts.filter(|(_, count)| *count != 0).map(|(word, count)| format!("{count} {word}")).collect();
    if parts.is_empty() { Ok(()) } else { write!(out, " ({})", parts.join(", ")) }
}

fn object(what: &What) -> Object<'_> {
    match what {
        What::Connected { peer } => Object::Connected { peer },
        What::Message { peer, bytes, len } => {
            Object::Message { peer, bytes: *len, content: Bytes::from(&bytes[..]) }
        }
        What::Closed { peer, messages, reason } => {
            Object::Closed { peer, messages: *messages, reason: reason.as_deref() }
        }
        What::Error { error } => Object::Trouble { error },
        What::LeftOut { entries } => Object::LeftOut { entries: *entries },
    }
}

/// `1 message`, `2 messages`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
