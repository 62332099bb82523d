//! Messages that are about to be sent.

use std::io::IoSlice;

use echosounder_proto::Payload;
use echosounder_socket::{IoBuffer, Outgoing};

/// Messages of one connection that are sent next, one behind the other in memory, so that a stream
/// needs one write.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: IoBuffer,
    /// Where each message ends.
    ends: Vec<usize>,
}

impl Outbox {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Returns the number of messages.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns all messages.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a message of `len` bytes, and returns it.
    pub(super) fn push(&mut self, number: u64, len: usize) -> &[u8] {
        let start = self.bytes.len();
        self.bytes.append_with(|bytes| Payload::new(len).write(number, bytes));
        self.ends.push(self.bytes.len());
        &self.bytes[start..]
    }

    /// Returns the messages one by one.
    pub(super) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// Calls `send` with the messages as datagrams to the connected address.
    pub(super) fn with_datagrams<T>(&self, send: impl FnOnce(&[Outgoing<'_>]) -> T) -> T {
        let slices: Vec<[IoSlice<'_>; 1]> = self.messages().map(|message| [IoSlice::new(message)]).collect();
        let datagrams: Vec<Outgoing<'_>> = slices.iter().map(|buffers| Outgoing::new(buffers)).collect();
        send(&datagrams)
    }
}
