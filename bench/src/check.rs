//! Whether answers are what they are to be: the stamps tell the time, the bytes are those that were sent.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::load::PERIOD;

/// `[Sun Nov 22 12:19:36 2026] `
const STAMP: usize = 27;

/// Most bytes that one stamp stands before.
const CHUNK: usize = 1024;

/// How far a stamp may be from the clock. A server that renders one a second may be a second behind.
const TOLERANCE: Duration = Duration::from_secs(2);

/// What sockperf's server wants before a message: a number, flags (of a client, to be answered) and the length.
const SOCKPERF: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 64];

/// What a server puts before what it echoes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Stamped,
    Plain,
    Sockperf,
}

impl Answers {
    /// What is to stand before each message.
    pub fn header(self) -> &'static [u8] {
        if self == Self::Sockperf { SOCKPERF } else { &[] }
    }

    /// How many bytes stand before an answered message.
    pub fn head_len(self) -> usize {
        match self {
            Self::Stamped => STAMP,
            Self::Plain => 0,
            Self::Sockperf => SOCKPERF.len(),
        }
    }
}

/// Reads answers byte by byte.
pub struct Checker {
    answers: Answers,
    /// What has come of a stamp that is not whole.
    head: Vec<u8>,
    /// Payload bytes behind the last stamp.
    chunk: usize,
    /// Payload bytes altogether.
    position: usize,
    /// The stamp that was found right, and its time.
    right: (Vec<u8>, Timestamp),
}

impl Checker {
    pub fn new(answers: Answers) -> Self {
        // As if a stamp had just ended after a whole chunk: another one is due.
        Self { answers, head: Vec::new(), chunk: CHUNK, position: 0, right: (Vec::new(), Timestamp::MIN) }
    }

    /// Checks what comes next on a stream of messages that follow the pattern.
    pub fn stream(&mut self, mut bytes: &[u8], pattern: &[u8]) -> Result<()> {
        while let Some(first) = bytes.first() {
            if first.is_ascii() {
                let missing = self.answers.head_len().saturating_sub(self.head.len());
                ensure!(missing != 0, "something stands before a message");
                let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() == self.answers.head_len() {
                    let head = std::mem::take(&mut self.head);
                    self.head(&head)?;
                    self.chunk = 0;
                }
                continue;
            }
            let len = bytes.iter().position(u8::is_ascii).unwrap_or(bytes.len());
            let (payload, rest) = bytes.split_at(len);
            ensure!(self.head.is_empty(), "a stamp is cut short");
            ensure!(
                payload == &pattern[self.position % PERIOD..][..len],
                "other bytes come back than were sent"
            );
            self.position += len;
            self.chunk += len;
            ensure!(self.answers != Answers::Stamped || self.chunk <= CHUNK, "a stamp is missing");
            bytes = rest;
        }
        Ok(())
    }

    /// Checks one datagram, whose message begins as the pattern does.
    pub fn datagram(&mut self, bytes: &[u8], pattern: &[u8]) -> Result<()> {
        let (head, payload) = bytes.split_at(self.answers.head_len());
        ensure!(payload == &pattern[..payload.len()], "other bytes come back than were sent");
        self.head(head)
    }

    fn head(&mut self, head: &[u8]) -> Result<()> {
        if self.answers != Answers::Stamped {
            return Ok(());
        }
        let now = Timestamp::now();
        let is_right = |time: Timestamp| time.duration_until(now).unsigned_abs() <= TOLERANCE;
        if head == self.right.0 && is_right(self.right.1) {
            return Ok(());
        }
        let found = (-2..=2).find_map(|seconds| {
            let time = now + SignedDuration::from_secs(seconds);
            (rendered(time).as_bytes() == head).then_some(time)
        });
        ensure!(found.is_some(), "a stamp is wrong: {}", head.escape_ascii());
        self.right = (head.to_vec(), now);
        Ok(())
    }
}

fn rendered(time: Timestamp) -> String {
    Zoned::new(time, jiff::tz::TimeZone::system()).strftime("[%a %b %e %H:%M:%S %Y] ").to_string()
}
