//! The messages of a measurement: a number, and nothing that could be taken for a timestamp.

use alloc::vec::Vec;

use crate::header_fields::{HEADER_PLACEHOLDER, HeaderFields};
use crate::placeholder::TIMESTAMP_PLACEHOLDER;
use crate::probe_format::{ProbeReply, Seen};
use crate::timestamp::{Scan, Timestamp, scan};

/// The shortest datagram with a unique number, in bytes: seven digits distinguish all requests in
/// flight.
pub const NUMBERED_MIN: usize = 8;

/// Digits of a number, if the message is long enough.
const NUMBER: usize = 19;

/// The form of a measurement's messages: placeholders, a number, filler, and a newline. All bytes
/// are printable ASCII, and after the placeholders none is a bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    len: usize,
    placeholders: Placeholders,
}

/// What a message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholders {
    None,
    Timestamp,
    /// That of the timestamp, and that of the header fields right after it.
    TimestampAndHeader,
}

impl Placeholders {
    const fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Timestamp => TIMESTAMP_PLACEHOLDER.len(),
            Self::TimestampAndHeader => TIMESTAMP_PLACEHOLDER.len() + HEADER_PLACEHOLDER.len(),
        }
    }
}

impl Payload {
    /// Returns the form of messages with that many bytes, at least one. They begin with a
    /// placeholder if they are long enough for it and a complete number.
    pub const fn new(len: usize) -> Self {
        let has_placeholder = TIMESTAMP_PLACEHOLDER.len() + NUMBER < len;
        Self {
            len: if len == 0 { 1 } else { len },
            placeholders: if has_placeholder { Placeholders::Timestamp } else { Placeholders::None },
        }
    }

    /// Returns the form of messages that begin with a placeholder, however few bytes are left for
    /// the number: at least two bytes more than the placeholder has.
    pub fn with_placeholder(len: usize) -> Self {
        Self { len: len.max(TIMESTAMP_PLACEHOLDER.len() + 2), placeholders: Placeholders::Timestamp }
    }

    /// Returns the form of datagrams that also ask for their [header fields](HeaderFields): at least
    /// 61 bytes. A server that does not know this returns the placeholder unchanged, and so reports
    /// no fields.
    pub fn with_header_fields(len: usize) -> Self {
        let placeholders = Placeholders::TimestampAndHeader;
        Self { len: len.max(placeholders.len() + NUMBERED_MIN), placeholders }
    }

    /// Returns the bytes of a message.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(self) -> usize {
        self.len
    }

    /// Returns the bytes of a message after its placeholders.
    pub fn body_len(self) -> usize {
        self.len - self.body_start()
    }

    /// Returns the bytes of a message before its number.
    pub(crate) fn body_start(self) -> usize {
        self.placeholders.len()
    }

    /// Appends the message with this number.
    pub fn write(self, number: u64, out: &mut Vec<u8>) {
        if self.placeholders != Placeholders::None {
            out.extend_from_slice(TIMESTAMP_PLACEHOLDER);
        }
        if self.placeholders == Placeholders::TimestampAndHeader {
            out.extend_from_slice(HEADER_PLACEHOLDER);
        }
        write_body(number, self.body_len(), out);
    }

    /// Returns the number of the message in a packet, or in as much of it as an ICMP error quotes,
    /// if the next message will have the number `next`.
    pub fn find(self, packet: &[u8], next: u64) -> Option<u64> {
        self.locate(packet, next).map(|located| located.number)
    }

    /// Returns how many bytes of a message are needed to recognise it.
    pub(crate) fn head_len(self) -> usize {
        self.body_start() + digits_of(self.body_len())
    }

    /// Finds the first message in `bytes`, with any bytes before and after it. `next` is the number
    /// of the next message. Only the head of the message is compared: the placeholders or
    /// the values in their place, and the number.
    pub(crate) fn locate(self, bytes: &[u8], next: u64) -> Option<Located> {
        if self.placeholders == Placeholders::None {
            return None;
        }
        let brackets = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'[');
        brackets.map(|(at, _)| at).find_map(|at| {
            let rest = &bytes[at..];
            let stamp = match scan(rest) {
                Scan::Timestamp(stamp @ Timestamp::Ns { .. }, _) => Some(stamp),
                _ if rest.starts_with(TIMESTAMP_PLACEHOLDER) => None,
                _ => return None,
            };
            let (header, _) = self.split_header(&rest[TIMESTAMP_PLACEHOLDER.len()..])?;
            let body = at + self.body_start();
            let digits = bytes.get(body..body + digits_of(self.body_len()))?;
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let returned = Returned { number: read_number(digits), stamp, header, body_len: self.body_len() };
            returned.number(next).map(|number| Located { number, stamp, header, body })
        })
    }

    /// Reads a reply to one message of this form, decorated by the server in any way. Returns
    /// `None` if it does not contain such a message.
    pub(crate) fn read_anywhere(self, reply: &[u8], next: u64, scratch: &mut Vec<u8>) -> Option<ProbeReply> {
        let read = |number, timestamp, header: Option<HeaderFields>| {
            let seen = header.map_or_else(Seen::default, HeaderFields::seen);
            ProbeReply { number, timestamp, ends_read: true, seen }
        };
        let plain = self.read_form(reply, scratch).filter(|returned| returned.body_len == self.body_len());
        if let Some(returned) = plain {
            return returned.number(next).map(|number| read(number, returned.stamp, returned.header));
        }
        let located = self.locate(reply, next)?;
        scratch.clear();
        write_body(located.number, self.body_len(), scratch);
        // The server may have removed the newline, or written it in another way.
        scratch.pop();
        let is_reply = reply[located.body..].starts_with(scratch);
        is_reply.then(|| read(located.number, located.stamp, located.header))
    }

    /// Reads a reply to one message with a placeholder, decorated by the server in any way. Returns
    /// `None` if it does not contain such a message.
    pub fn find_in(reply: &[u8], next: u64) -> Option<Returned> {
        let located = Self::new(TIMESTAMP_PLACEHOLDER.len() + NUMBER + 1).locate(reply, next)?;
        let filler = reply[located.body + NUMBER..].iter().take_while(|byte| **byte == b'.').count();
        // The server may have removed the newline, or written it in another way.
        let body_len = NUMBER + filler + 1;
        Some(Returned { number: located.number, stamp: located.stamp, header: None, body_len })
    }

    /// Returns whether [`find_in`](Self::find_in) finds messages of this form.
    pub fn can_be_found(self) -> bool {
        self.placeholders == Placeholders::Timestamp && NUMBER < self.body_len()
    }

    /// Reads a reply to one message of any form without header fields. Returns `None` if it is no
    /// reply to such a message.
    pub fn read(reply: &[u8], scratch: &mut Vec<u8>) -> Option<Returned> {
        Self::new(0).read_form(reply, scratch)
    }

    /// Reads a reply to one message of any length with these placeholders, or with fewer of them.
    fn read_form(self, reply: &[u8], scratch: &mut Vec<u8>) -> Option<Returned> {
        let (stamp, rest) = match scan(reply) {
            Scan::Timestamp(stamp, len) => (Some(stamp), &reply[len..]),
            _ => (None, reply),
        };
        // A server that does not know placeholders puts its timestamp before them.
        let rest = rest.strip_prefix(TIMESTAMP_PLACEHOLDER).unwrap_or(rest);
        let (header, body) = self.split_header(rest)?;
        let digits = body.iter().take(NUMBER).take_while(|byte| byte.is_ascii_digit()).count();
        scratch.clear();
        if digits == 0 || digits != digits_of(body.len()) {
            return None;
        }
        let number = read_number(&body[..digits]);
        write_body(number, body.len(), scratch);
        (scratch == body).then_some(Returned { number, stamp, header, body_len: body.len() })
    }

    /// Splits the header fields off, if messages of this form have them. Returns `None` if they are
    /// missing.
    fn split_header(self, bytes: &[u8]) -> Option<(Option<HeaderFields>, &[u8])> {
        match self.placeholders {
            Placeholders::None | Placeholders::Timestamp => Some((None, bytes)),
            Placeholders::TimestampAndHeader => {
                Some((Some(HeaderFields::read(bytes)?), &bytes[HEADER_PLACEHOLDER.len()..]))
            }
        }
    }
}

/// Returns how many digits of its number a body of this length has.
fn digits_of(body_len: usize) -> usize {
    NUMBER.min(body_len.saturating_sub(1))
}

fn read_number(digits: &[u8]) -> u64 {
    digits.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

fn write_body(number: u64, len: usize, out: &mut Vec<u8>) {
    let digits = digits_of(len);
    let mut text = [b'0'; NUMBER];
    let mut rest = number;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    out.extend_from_slice(&text[NUMBER - digits..]);
    out.resize(out.len() + len - digits - 1, b'.');
    out.push(b'\n');
}

/// The position of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Its complete number.
    pub(crate) number: u64,
    /// The timestamp that was filled into its placeholder.
    pub(crate) stamp: Option<Timestamp>,
    /// The header fields, if its form has them.
    pub(crate) header: Option<HeaderFields>,
    /// Where its body begins.
    pub(crate) body: usize,
}

/// A message that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The number's last digits, as many as fit.
    number: u64,
    /// The filled timestamp that the reply begins with.
    pub stamp: Option<Timestamp>,
    /// The header fields, if its form has them.
    header: Option<HeaderFields>,
    /// The bytes without timestamp and placeholders.
    pub body_len: usize,
}

impl Returned {
    /// Returns the complete number, if the next message will have the number `next`: the last one
    /// before it that ends in these digits. `None` if there is none.
    pub fn number(&self, next: u64) -> Option<u64> {
        if NUMBER < self.body_len {
            return Some(self.number).filter(|number| *number < next);
        }
        let fit = u32::try_from(self.body_len - 1).ok()?;
        let ago = next.checked_sub(1 + self.number)? % 10_u64.pow(fit);
        Some(next - 1 - ago)
    }
}
