//! The events of a server as every format shows them.

use crate::render::json::EventTime;

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
