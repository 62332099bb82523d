//! The asker's side: taking the stamps out of what comes back on a stream.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::template::TIMESTAMP_PLACEHOLDER;
use crate::timestamp::{Scan, Timestamp, scan};

/// Reads a stamped echo off a stream.
///
/// A server may stamp a message several times, or several messages once: a stream has no bounds. The reader
/// knows what was sent, so it can tell the stamps from the echo wherever they fall. It follows servers with a
/// built-in stamp, and those that add nothing.
///
/// A payload may hold anything but the text of a filled stamp; such a text is taken for the echo if it is
/// exactly what was sent, and otherwise for a stamp. Behind a [blank](TIMESTAMP_PLACEHOLDER) it must not begin with a bracket.
#[derive(Debug, Default)]
pub struct EchoReader {
    /// What was sent and has not come back.
    sent: VecDeque<u8>,
    /// Lengths of the messages in `sent`; of the first, what is left of it.
    lengths: VecDeque<usize>,
    /// Whether the first message in `sent` has begun to come back.
    begun: bool,
    /// The stamp that stood right before the first message.
    stamp: Option<Timestamp>,
    /// Whether a stamp came last. No server puts in two: that would stamp nothing.
    stamped: bool,
    /// What has arrived and cannot be told yet.
    held: Vec<u8>,
}

/// A message that has come back whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The stamp, if the message began right behind one.
    pub stamp: Option<Timestamp>,
    /// Where the message ended in the bytes given to [`EchoReader::receive`].
    pub end: usize,
}

/// What came back is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEcho;

impl core::fmt::Display for NotAnEcho {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("what came back is not what was sent")
    }
}

impl core::error::Error for NotAnEcho {}

impl EchoReader {
    /// A reader that expects nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `message` was sent. An empty one leaves no trace on a stream and is never answered.
    pub fn sent(&mut self, message: &[u8]) {
        if !message.is_empty() {
            self.sent.extend(message);
            self.lengths.push_back(message.len());
        }
    }

    /// Takes what arrived, and tells `each` message that is complete, in the order in which they were sent.
    ///
    /// # Errors
    ///
    /// If the bytes are neither a stamp nor what was sent. The reader is of no use from then on, and the bytes that it
    /// could not follow are [unread](Self::unread).
    pub fn receive(&mut self, bytes: &[u8], mut each: impl FnMut(Echo)) -> Result<(), NotAnEcho> {
        let mut held = core::mem::take(&mut self.held);
        if held.is_empty() {
            return self.read(bytes, 0, &mut each);
        }
        let held_before = held.len();
        held.extend_from_slice(bytes);
        self.read(&held, held_before, &mut each)
    }

    /// Takes what arrived, of which so many bytes were held from before.
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

    /// The bytes that have arrived and are neither a stamp nor an echo yet, or, after an error, never will be.
    pub fn unread(&self) -> &[u8] {
        &self.held
    }

    /// How many bytes of the first message are missing, if it has begun to come back.
    pub(crate) fn missing(&self) -> Option<usize> {
        self.lengths.front().copied().filter(|_| self.begun)
    }

    /// How many messages have not come back whole.
    pub fn pending(&self) -> usize {
        self.lengths.len()
    }

    /// Takes the stamp or the echo at the beginning of `rest`; `None` if more bytes are needed to tell.
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

    /// Takes a stamp that the server put in, or filled in: a filled blank is a part of the message.
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

    /// Whether the `ns` stamp before `after` is the blank filled in, rather than put in before a blank whose
    /// first bytes came to the server alone; `None` if more bytes are needed to tell.
    ///
    /// A payload does not begin with a bracket, a stamp put in behind the blank shows a time after 2001.
    fn filled(&self, after: &[u8]) -> Option<bool> {
        let message = self.lengths.front().copied().unwrap_or(0);
        match after {
            // A blank that was sent in two messages is none.
            _ if message <= TIMESTAMP_PLACEHOLDER.len() => Some(message == TIMESTAMP_PLACEHOLDER.len()),
            [] | [b'['] => None,
            [b'[', b'0' | b'[', ..] => Some(false),
            _ => Some(true),
        }
    }

    /// Takes echoed bytes up to the end of the message, or to where a stamp may begin.
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

    /// If the first message is complete: ends it, and returns its stamp.
    fn completed(&mut self) -> Option<Option<Timestamp>> {
        self.lengths.pop_front_if(|left| *left == 0)?;
        self.begun = false;
        Some(self.stamp.take())
    }

    /// Whether `bytes` are the next that are to come back.
    fn expects(&self, bytes: &[u8]) -> bool {
        let (front, back) = self.sent.as_slices();
        let (here, behind) = bytes.split_at(bytes.len().min(front.len()));
        front.starts_with(here) && back.starts_with(behind)
    }

    /// Whether `bytes` are all that is still to come back.
    fn completes(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.sent.len() && self.expects(bytes)
    }
}

/// How many bytes stand before the first bracket; all, if there is none. Long messages are nearly nothing else, and
/// the library looks through a piece many times as fast as a closure through its bytes.
fn until_bracket(bytes: &[u8]) -> usize {
    const PIECE: usize = 64;
    let before = bytes.chunks(PIECE).take_while(|piece| !piece.contains(&b'[')).count() * PIECE;
    let piece = bytes.get(before..).unwrap_or_default();
    before.min(bytes.len()) + piece.iter().take_while(|&&byte| byte != b'[').take(PIECE).count()
}
