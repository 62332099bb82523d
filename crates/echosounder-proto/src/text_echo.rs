//! The format of the text echo: numbered messages that come back from an echo server, stamped or
//! not.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::finder::Finder;
use crate::payload::Payload;
use crate::probe_format::{ProbeFormat, ProbeReply, Seen};
use crate::reader::EchoReader;
use crate::time::WallTime;
use crate::timestamp::Timestamp;

/// Maximum number of outstanding requests on a stream.
const OUTSTANDING_MAX: usize = 65_536;

/// Maximum bytes of outstanding requests on a stream.
const OUTSTANDING_BYTES_MAX: usize = 64 << 20;

/// Numbered text messages to an echo server.
///
/// A server may decorate requests in any way, as long as its replies contain them.
#[derive(Debug)]
pub struct TextEcho {
    payload: Payload,
    scratch: Vec<u8>,
    /// `None` where messages have bounds.
    stream: Option<EchoStream>,
}

/// The expected echo of a stream.
#[derive(Debug, Default)]
struct EchoStream {
    reader: EchoReader,
    /// Looks for requests once the reader cannot follow the server.
    finder: Option<Finder>,
    /// Requests that have not come back, in the order in which they were sent. A finder needs no
    /// order.
    outstanding: VecDeque<u64>,
    /// Whether bytes without a request have arrived since the last report of such bytes.
    unmatched: bool,
}

impl TextEcho {
    /// Creates the format for sockets that keep the bounds of messages.
    pub fn messages(payload: Payload) -> Self {
        Self { payload, scratch: Vec::new(), stream: None }
    }

    /// Creates the format for streams.
    pub fn stream(payload: Payload) -> Self {
        Self { payload, scratch: Vec::new(), stream: Some(EchoStream::default()) }
    }
}

impl ProbeFormat for TextEcho {
    fn write(&mut self, number: u64, _now: WallTime, out: &mut Vec<u8>) {
        let start = out.len();
        self.payload.write(number, out);
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.finder.is_none()) {
            stream.reader.sent(&out[start..]);
            stream.outstanding.push_back(number);
        }
    }

    fn read(&mut self, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) -> bool {
        if let Some(stream) = &mut self.stream {
            stream.read(self.payload, bytes, next, replies);
            return false;
        }
        let reply = self.payload.read_anywhere(bytes, next, &mut self.scratch);
        replies.extend(reply);
        reply.is_none()
    }

    fn find(&self, packet: &[u8], next: u64) -> Option<u64> {
        self.payload.find(packet, next)
    }

    fn can_write(&self) -> bool {
        let outstanding = self.stream.as_ref().map_or(0, |stream| stream.outstanding.len());
        outstanding == 0
            || outstanding < OUTSTANDING_MAX
                && outstanding.saturating_mul(self.payload.len()) < OUTSTANDING_BYTES_MAX
    }

    fn reset(&mut self) {
        if let Some(stream) = &mut self.stream {
            *stream = EchoStream::default();
        }
    }

    fn take_unmatched(&mut self) -> bool {
        self.stream.as_mut().is_some_and(|stream| core::mem::take(&mut stream.unmatched))
    }
}

impl EchoStream {
    fn read(&mut self, payload: Payload, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) {
        if self.finder.is_some() {
            return self.search(payload, bytes, next, replies);
        }
        let outstanding = &mut self.outstanding;
        let result = self.reader.receive(bytes, |echo| {
            let ends_read = echo.end == bytes.len();
            let reply = |number| echoed(number, echo.stamp, ends_read);
            replies.extend(outstanding.pop_front().map(reply));
        });
        self.unmatched = !self.reader.unread().is_empty();
        if result.is_err() {
            let reader = core::mem::take(&mut self.reader);
            let first = self.outstanding.front().map(|number| (*number, payload.len()));
            self.finder = Some(Finder::after(&reader, payload, first));
            self.outstanding.clear();
            self.search(payload, reader.unread(), next, replies);
        }
    }

    fn search(&mut self, payload: Payload, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) {
        let Some(finder) = &mut self.finder else { return };
        let (before, len) = (replies.len(), payload.len());
        finder.receive(
            bytes,
            next,
            |_| len,
            |found| {
                replies.push(echoed(found.number, found.stamp, false));
            },
        );
        self.unmatched = finder.has_found_nothing();
        if let Some(last) = replies[before..].last_mut() {
            last.ends_read = true;
        }
    }
}

/// Returns a reply on a stream, in which the peer reports the time at most.
fn echoed(number: u64, timestamp: Option<Timestamp>, ends_read: bool) -> ProbeReply {
    ProbeReply { number, timestamp, ends_read, seen: Seen::default() }
}
