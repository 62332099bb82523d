//! Separating the echo on a stream from the timestamps that the server has put into it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::placeholder::TIMESTAMP_PLACEHOLDER;
use crate::timestamp::{Scan, Timestamp, scan};

/// Reads an echo with timestamps from a stream.
///
/// A stream has no message bounds: a server may put several timestamps into one message, or one
/// before several messages. The reader knows what was sent, so it recognises timestamps wherever
/// they are. It follows servers with a built-in timestamp, and those that add nothing.
///
/// A message may hold anything but the text of a filled timestamp: that is taken for the echo if it
/// is exactly what was sent, and for a timestamp otherwise. After a
/// [placeholder](TIMESTAMP_PLACEHOLDER) a message must not go on with a bracket.
#[derive(Debug, Default)]
pub struct EchoReader {
    /// Bytes that were sent and have not come back.
    sent: VecDeque<u8>,
    /// Lengths of the messages in `sent`; the first one counts its remaining bytes.
    lengths: VecDeque<usize>,
    /// Whether the first message in `sent` has begun to come back.
    begun: bool,
    /// The timestamp right before the first message.
    stamp: Option<Timestamp>,
    /// Whether a timestamp came last. No server puts two in a row.
    stamped: bool,
    /// Bytes that have arrived and are ambiguous until more arrive.
    held: Vec<u8>,
}

/// A message that has come back completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The timestamp right before the message.
    pub stamp: Option<Timestamp>,
    /// Where the message ended in the bytes passed to [`EchoReader::receive`].
    pub end: usize,
}

/// The bytes are neither a timestamp nor what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEcho;

impl core::fmt::Display for NotAnEcho {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the reply is not what was sent")
    }
}

impl core::error::Error for NotAnEcho {}

impl EchoReader {
    /// Creates a reader that expects nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `message` was sent. An empty one leaves no trace on a stream and is never echoed.
    pub fn sent(&mut self, message: &[u8]) {
        if !message.is_empty() {
            self.sent.extend(message);
            self.lengths.push_back(message.len());
        }
    }

    /// Takes the bytes that arrived, and passes each message that is complete to `each`, in the
    /// order in which they were sent.
    ///
    /// # Errors
    ///
    /// If the bytes are neither a timestamp nor what was sent. The reader is of no use from then
    /// on, and the bytes that it could not follow are [unread](Self::unread).
    pub fn receive(&mut self, bytes: &[u8], mut each: impl FnMut(Echo)) -> Result<(), NotAnEcho> {
        let mut held = core::mem::take(&mut self.held);
        if held.is_empty() {
            return self.read(bytes, 0, &mut each);
        }
        let held_before = held.len();
        held.extend_from_slice(bytes);
        self.read(&held, held_before, &mut each)
    }

    /// Takes bytes. The first `held_before` bytes had arrived before.
    fn read(
        &mut self,
        arrived: &[u8],
        held_before: usize,
        each: &mut impl FnMut(Echo),
    ) -> Result<(), NotAnEcho> {
        let mut at = 0;
        while at < arrived.len() {
            let rest = &arrived[at..];
            let taken = self.take(rest);
            let Ok(Some(taken)) = taken else {
                self.held.extend_from_slice(rest);
                return taken.map(drop);
            };
            at += taken;
            if let Some(stamp) = self.completed() {
                each(Echo { stamp, end: at.saturating_sub(held_before) });
            }
        }
        Ok(())
    }

    /// Returns the bytes that have arrived and are neither a timestamp nor an echo yet, or, after
    /// an error, never will be.
    pub fn unread(&self) -> &[u8] {
        &self.held
    }

    /// Returns how many bytes of the first message are missing, if it has begun to come back.
    pub(crate) fn missing(&self) -> Option<usize> {
        self.lengths.front().copied().filter(|_| self.begun)
    }

    /// Returns how many messages have not come back completely.
    pub fn pending(&self) -> usize {
        self.lengths.len()
    }

    /// Takes the timestamp or the echo at the beginning of `rest` and returns its length, or `None`
    /// if it is ambiguous until more bytes arrive.
    fn take(&mut self, rest: &[u8]) -> Result<Option<usize>, NotAnEcho> {
        match scan(rest) {
            Scan::Timestamp(_, len) if self.stamped && !self.expects(&rest[..len]) => Err(NotAnEcho),
            Scan::Timestamp(stamp, len) if !self.expects(&rest[..len]) => {
                Ok(self.take_stamp(stamp, rest, len))
            }
            Scan::Partial if !self.completes(rest) => Ok(None),
            _ => self.take_echo(rest).map(Some),
        }
    }

    /// Takes a timestamp that the server has put in or filled in: a filled placeholder is a part of
    /// the message.
    fn take_stamp(&mut self, stamp: Timestamp, rest: &[u8], len: usize) -> Option<usize> {
        let mut filled = false;
        if !self.begun {
            filled = matches!(stamp, Timestamp::Ns { .. })
                && self.expects(TIMESTAMP_PLACEHOLDER)
                && self.filled(&rest[len..])?;
            if filled {
                self.advance(len);
            }
            self.stamp = Some(stamp);
        }
        self.stamped = !filled;
        Some(len)
    }

    /// Whether the `ns` timestamp before `after` is the placeholder filled in, rather than put in
    /// before a placeholder that the server received in parts; `None` if that is ambiguous until
    /// more bytes arrive.
    ///
    /// A payload does not begin with a bracket, and a timestamp after the placeholder shows a time
    /// after 2001.
    fn filled(&self, after: &[u8]) -> Option<bool> {
        let message = self.lengths.front().copied().unwrap_or(0);
        match after {
            // A placeholder in two messages is none.
            _ if message <= TIMESTAMP_PLACEHOLDER.len() => Some(message == TIMESTAMP_PLACEHOLDER.len()),
            [] | [b'['] => None,
            [b'[', b'0' | b'[', ..] => Some(false),
            _ => Some(true),
        }
    }

    /// Takes echoed bytes up to the end of the message, or to where a timestamp may begin.
    fn take_echo(&mut self, rest: &[u8]) -> Result<usize, NotAnEcho> {
        let message = self.lengths.front().copied().ok_or(NotAnEcho)?;
        let reach = &rest[..rest.len().min(message)];
        let run = 1 + until_bracket(&reach[1..]);
        if !self.expects(&rest[..run]) {
            return Err(NotAnEcho);
        }
        self.advance(run);
        Ok(run)
    }

    fn advance(&mut self, len: usize) {
        self.begun = true;
        self.stamped = false;
        self.sent.drain(..len);
        if let Some(left) = self.lengths.front_mut() {
            *left -= len;
        }
    }

    /// Ends the first message if it is complete, and returns its timestamp.
    fn completed(&mut self) -> Option<Option<Timestamp>> {
        if *self.lengths.front()? != 0 {
            return None;
        }
        self.lengths.pop_front();
        self.begun = false;
        Some(self.stamp.take())
    }

    /// Whether `bytes` are the next ones to come back.
    fn expects(&self, bytes: &[u8]) -> bool {
        let (front, back) = self.sent.as_slices();
        let (here, behind) = bytes.split_at(bytes.len().min(front.len()));
        front.starts_with(here) && back.starts_with(behind)
    }

    /// Whether `bytes` are all that is to come back.
    fn completes(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.sent.len() && self.expects(bytes)
    }
}

/// Returns how many bytes are before the first bracket, or their number if there is none. Long
/// messages consist of little else, and the library searches a block many times as fast as a
/// closure does byte by byte.
fn until_bracket(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let before = bytes.chunks(BLOCK).take_while(|block| !block.contains(&b'[')).count() * BLOCK;
    let block = bytes.get(before..).unwrap_or_default();
    before.min(bytes.len()) + block.iter().take_while(|&&byte| byte != b'[').take(BLOCK).count()
}
