//! Checks replies: timestamps show the time, and the other bytes are those that were sent.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::load::PERIOD;

/// `[Sun Nov 22 12:19:36 2026] `
const TIMESTAMP_LEN: usize = 27;

/// The maximum number of bytes after one timestamp.
const CHUNK: usize = 1024;

/// How far a timestamp may be from the clock. A server that renders a timestamp once per second may
/// be a second behind.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The header that sockperf's server expects: a number, flags (from a client, reply wanted) and the
/// length.
const SOCKPERF: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 64];

/// The placeholders of sounder's timestamps and of the header fields with which a request arrived.
const FIELDS: &[u8] = b"[0000000000000000000 0000000000000000000] [000 00 0] ";

/// The header fields of a reply over loopback: the TTL, DSCP and ECN of a socket's defaults.
const FIELDS_FILLED: &[u8] = b"[064 00 0] ";

/// A STAMP request of 64 bytes: 44 zeros, and the extension Extra Padding of 16 bytes (RFC 8762
/// section 4.2.1, RFC 8972 section 4.1).
const STAMP: &[u8; 48] = &{
    let mut request = [0; 48];
    (request[44], request[45], request[47]) = (0x80, 1, 16);
    request
};

/// Seconds from the epoch of NTP, 1900, to that of Unix (RFC 5905 section 6).
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// The bytes that a server puts before its echo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ReplyFormat {
    Stamped,
    Plain,
    Sockperf,
    /// Two timestamps and the header fields of the request, in place of zeros.
    Fields,
    /// A STAMP packet, whose padding is the message.
    Stamp,
}

impl ReplyFormat {
    /// Returns the bytes that the client puts before each message.
    pub fn header(self) -> &'static [u8] {
        match self {
            Self::Stamped | Self::Plain => &[],
            Self::Sockperf => SOCKPERF,
            Self::Fields => FIELDS,
            Self::Stamp => STAMP,
        }
    }

    /// Returns how many bytes the server puts before a message.
    pub fn head_len(self) -> usize {
        match self {
            Self::Stamped => TIMESTAMP_LEN,
            Self::Plain | Self::Sockperf | Self::Fields | Self::Stamp => self.header().len(),
        }
    }

    /// Returns the time in the bytes before a message, which is in nanoseconds or in NTP's format.
    fn time(self, head: &[u8]) -> Option<Timestamp> {
        match self {
            Self::Fields if head.ends_with(FIELDS_FILLED) => {
                let nanos = str::from_utf8(head.get(1..20)?).ok()?.parse().ok()?;
                Timestamp::from_nanosecond(nanos).ok()
            }
            Self::Stamp => {
                let seconds = u32::from_be_bytes(*head.get(4..)?.first_chunk()?);
                Timestamp::from_second(i64::from(seconds) - NTP_TO_UNIX).ok()
            }
            _ => None,
        }
    }
}

/// A timestamp that was found to be correct at a time.
struct Correct {
    text: Vec<u8>,
    at: Timestamp,
}

/// Checks replies byte by byte.
pub struct Checker {
    reply_format: ReplyFormat,
    /// The beginning of an incomplete timestamp.
    head: Vec<u8>,
    /// Payload bytes since the last timestamp.
    chunk: usize,
    /// Payload bytes in all.
    position: usize,
    /// The last correct timestamp.
    correct: Option<Correct>,
}

impl Checker {
    pub fn new(reply_format: ReplyFormat) -> Self {
        // The first message needs a timestamp, as after a whole chunk.
        Self { reply_format, head: Vec::new(), chunk: CHUNK, position: 0, correct: None }
    }

    /// Checks the next bytes of a stream whose messages follow the pattern.
    pub fn stream(&mut self, mut bytes: &[u8], pattern: &[u8]) -> Result<()> {
        while let Some(first) = bytes.first() {
            if first.is_ascii() {
                let missing = self.reply_format.head_len().saturating_sub(self.head.len());
                ensure!(missing != 0, "there is unexpected data before a message");
                let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() == self.reply_format.head_len() {
                    let head = std::mem::take(&mut self.head);
                    self.head(&head)?;
                    self.chunk = 0;
                }
                continue;
            }
            let len = bytes.iter().position(u8::is_ascii).unwrap_or(bytes.len());
            let (payload, rest) = bytes.split_at(len);
            ensure!(self.head.is_empty(), "a timestamp is incomplete");
            ensure!(
                payload == &pattern[self.position % PERIOD..][..len],
                "the server returned other bytes than it received"
            );
            self.position += len;
            self.chunk += len;
            ensure!(
                self.reply_format != ReplyFormat::Stamped || self.chunk <= CHUNK,
                "a timestamp is missing"
            );
            bytes = rest;
        }
        Ok(())
    }

    /// Checks a datagram whose message begins as `pattern` does.
    pub fn datagram(&mut self, bytes: &[u8], pattern: &[u8]) -> Result<()> {
        let (head, payload) = bytes.split_at(self.reply_format.head_len());
        ensure!(payload == &pattern[..payload.len()], "the server returned other bytes than it received");
        self.head(head)
    }

    fn head(&mut self, head: &[u8]) -> Result<()> {
        let now = Timestamp::now();
        let is_current = |time: Timestamp| time.duration_until(now).unsigned_abs() <= TOLERANCE;
        match self.reply_format {
            ReplyFormat::Plain | ReplyFormat::Sockperf => return Ok(()),
            ReplyFormat::Fields | ReplyFormat::Stamp => {
                let time = self.reply_format.time(head);
                ensure!(time.is_some_and(is_current), "a reply is wrong: {}", head.escape_ascii());
                return Ok(());
            }
            ReplyFormat::Stamped => {}
        }
        if self.correct.as_ref().is_some_and(|correct| correct.text == head && is_current(correct.at)) {
            return Ok(());
        }
        let found = (-2..=2).find_map(|seconds| {
            let time = now + SignedDuration::from_secs(seconds);
            (rendered(time).as_bytes() == head).then_some(time)
        });
        ensure!(found.is_some(), "a timestamp is wrong: {}", head.escape_ascii());
        self.correct = Some(Correct { text: head.to_vec(), at: now });
        Ok(())
    }
}

fn rendered(time: Timestamp) -> String {
    ZonedDateTime::new(time, jiff::tz::TimeZone::system()).strftime("[%a %b %e %H:%M:%S %Y] ").to_string()
}
