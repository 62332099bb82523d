//! The lines of `sounder serve` for people, and the notes that other commands share.

use std::io::{self, Write};

use echosounder_server::Totals;

use super::event::TranscriptEvent;
use crate::render::escape::{Escaped, Harmless};
use crate::render::numbers::{counted, grouped};

/// Writes that an endpoint is served. `kind` is "connection" or "message".
pub(crate) fn listening(out: &mut dyn Write, endpoint: &str, kind: &str) -> io::Result<()> {
    writeln!(out, "Waiting for {kind} on {endpoint}")
}

/// Writes a note.
pub(crate) fn note(out: &mut dyn Write, note: &str) -> io::Result<()> {
    writeln!(out, "note: {}", Harmless(note))
}

/// Writes a line of the transcript.
pub(crate) fn line(out: &mut dyn Write, event: &TranscriptEvent) -> io::Result<()> {
    match event {
        TranscriptEvent::Connected { peer } => writeln!(out, "Connected client from {peer}"),
        TranscriptEvent::Message { peer, bytes, len } if bytes.len() < *len => {
            let len = counted(*len as u64, "byte");
            writeln!(out, "Client {peer}: {}... ({len})", Escaped(bytes))
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
pub(crate) fn summary(out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
    let drops = totals.drops().map(|(reason, count)| (reason.word(), count));
    let disconnects = totals.disconnects().map(|(reason, count)| (reason.name(), count));
    let &Totals { connections, connected_now, messages, bytes, errors, .. } = totals;
    let [connections, messages, bytes] =
        [(connections, "connection"), (messages, "message"), (bytes, "byte")]
            .map(|(count, noun)| counted(count, noun));
    let now = match connected_now {
        0 => String::new(),
        now => format!(" ({} connected now)", grouped(now)),
    };
    write!(out, "{connections}{now}, {messages}, {bytes}, {} dropped", grouped(totals.dropped()))?;
    write_parts(out, drops)?;
    if totals.disconnected() != 0 {
        write!(out, ", {} disconnected", grouped(totals.disconnected()))?;
        write_parts(out, disconnects)?;
    }
    if errors != 0 {
        write!(out, ", {}", counted(errors, "error"))?;
    }
    writeln!(out)
}

/// Writes the parts of a sum that are not zero: ` (2 idle, 1 stalled)`.
fn write_parts(out: &mut dyn Write, parts: impl Iterator<Item = (&'static str, u64)>) -> io::Result<()> {
    let parts = parts.filter(|(_, count)| *count != 0);
    let parts: Vec<String> = parts.map(|(reason, count)| format!("{} {reason}", grouped(count))).collect();
    if parts.is_empty() { Ok(()) } else { write!(out, " ({})", parts.join(", ")) }
}
