//! What the messages of a measurement say: a number, and nothing that could be taken for a stamp.

use alloc::vec::Vec;

use crate::template::TIMESTAMP_PLACEHOLDER;
use crate::timestamp::{Scan, Timestamp, scan};

/// The shortest datagram that can be told from others: seven digits tell apart as many as are ever under way.
pub const NUMBERED_MIN: usize = 8;

/// Digits of a number that has room.
const NUMBER: usize = 19;

/// The form of a measurement's messages: a blank, a number, filler, and a newline. All of it prints, and behind the
/// blank nothing begins with a bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    len: usize,
    blank: bool,
}

impl Payload {
    /// Messages of so many bytes, at least one, with a blank where there is room for it and a whole number.
    pub const fn new(len: usize) -> Self {
        Self { len: if len == 0 { 1 } else { len }, blank: TIMESTAMP_PLACEHOLDER.len() + NUMBER < len }
    }

    /// Messages of so many bytes that begin with a blank, whatever is left for the number: at least two bytes more
    /// than the blank has.
    pub fn with_placeholder(len: usize) -> Self {
        Self { len: len.max(TIMESTAMP_PLACEHOLDER.len() + 2), blank: true }
    }

    /// How many bytes a message has.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(self) -> usize {
        self.len
    }

    /// How many bytes of a message are behind its blank.
    pub fn body_len(self) -> usize {
        if self.blank { self.len - TIMESTAMP_PLACEHOLDER.len() } else { self.len }
    }

    /// Appends the message of this number.
    pub fn write(self, number: u64, out: &mut Vec<u8>) {
        if self.blank {
            out.extend_from_slice(TIMESTAMP_PLACEHOLDER);
        }
        write_body(number, self.body_len(), out);
    }

    /// The number of the message that a packet holds, or as much of it as an ICMP error quotes, if the next that is sent
    /// will be `next`.
    pub fn find(self, packet: &[u8], next: u64) -> Option<u64> {
        self.locate(packet, next).map(|located| located.number)
    }

    /// How many bytes of a message are needed to recognise it.
    pub(crate) fn head_len(self) -> usize {
        self.len - self.body_len() + digits_of(self.body_len())
    }

    /// Finds the first message in `bytes` that has been sent if the next one will be `next`, whatever stands before it
    /// and behind it. Only its head is looked at: the placeholder or the timestamps in its place, and the number.
    pub(crate) fn locate(self, bytes: &[u8], next: u64) -> Option<Located> {
        if !self.blank {
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
            let body = at + TIMESTAMP_PLACEHOLDER.len();
            let digits = bytes.get(body..body + digits_of(self.body_len()))?;
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let returned = Returned { number: read_number(digits), stamp, body_len: self.body_len() };
            returned.number(next).map(|number| Located { number, stamp, body })
        })
    }

    /// Takes a reply to one message of this form apart, also one in which a server has decorated the message in a way
    /// of its own. `None` if it does not contain such a message.
    pub(crate) fn read_anywhere(
        self,
        reply: &[u8],
        next: u64,
        scratch: &mut Vec<u8>,
    ) -> Option<(u64, Option<Timestamp>)> {
        let plain = Self::read(reply, scratch).filter(|returned| returned.body_len == self.body_len());
        if let Some(returned) = plain {
            return returned.number(next).map(|number| (number, returned.stamp));
        }
        let located = self.locate(reply, next)?;
        scratch.clear();
        write_body(located.number, self.body_len(), scratch);
        // The newline may have been stripped, or written as something else.
        scratch.pop();
        reply[located.body..].starts_with(scratch).then_some((located.number, located.stamp))
    }

    /// Takes a reply to one message apart that has a placeholder, although a server has decorated it in a way of its own.
    /// `None` if it does not contain such a message.
    pub fn find_in(reply: &[u8], next: u64) -> Option<Returned> {
        let located = Self::new(TIMESTAMP_PLACEHOLDER.len() + NUMBER + 1).locate(reply, next)?;
        let filler = reply[located.body + NUMBER..].iter().take_while(|byte| **byte == b'.').count();
        // The newline may have been stripped, or written as something else.
        let body_len = NUMBER + filler + 1;
        Some(Returned { number: located.number, stamp: located.stamp, body_len })
    }

    /// Whether messages of this form can be found in a reply that is decorated.
    pub fn can_be_found(self) -> bool {
        self.blank && NUMBER < self.body_len()
    }

    /// Takes an answer to one message apart, whatever its form. `None` if it is no answer to such a message.
    pub fn read(answer: &[u8], scratch: &mut Vec<u8>) -> Option<Returned> {
        let (stamp, rest) = match scan(answer) {
            Scan::Timestamp(stamp, len) => (Some(stamp), &answer[len..]),
            _ => (None, answer),
        };
        // A server that does not know blanks puts its stamp before them.
        let body = rest.strip_prefix(TIMESTAMP_PLACEHOLDER).unwrap_or(rest);
        let digits = body.iter().take(NUMBER).take_while(|byte| byte.is_ascii_digit()).count();
        scratch.clear();
        if digits == 0 || digits != digits_of(body.len()) {
            return None;
        }
        let number = read_number(&body[..digits]);
        write_body(number, body.len(), scratch);
        (scratch == body).then_some(Returned { number, stamp, body_len: body.len() })
    }
}

/// How many digits of its number a body of this length has.
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

/// Where a message was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Its whole number.
    pub(crate) number: u64,
    /// The timestamps that were filled into its placeholder.
    pub(crate) stamp: Option<Timestamp>,
    /// Where its body begins.
    pub(crate) body: usize,
}

/// What an answer to one message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The number's last digits, as many as fit.
    number: u64,
    /// The filled stamp that it begins with.
    pub stamp: Option<Timestamp>,
    /// Its length without stamp and blank.
    pub body_len: usize,
}

impl Returned {
    /// The whole number, if the next that is sent will be `next`: the last that ends in these digits. `None` if
    /// there is none.
    pub fn number(&self, next: u64) -> Option<u64> {
        if NUMBER < self.body_len {
            return Some(self.number).filter(|number| *number < next);
        }
        let fit = u32::try_from(self.body_len - 1).ok()?;
        let ago = next.checked_sub(1 + self.number)? % 10_u64.pow(fit);
        Some(next - 1 - ago)
    }
}
