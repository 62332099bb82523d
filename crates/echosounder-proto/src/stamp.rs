//! Recognising a stamp in what somebody else wrote.

use crate::template::BLANK;
use crate::time::WallTime;

/// A filled stamp of a built-in shape, and what it tells to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// `[Sun Nov 22 12:19:36 2026] `
    Ctime,
    /// `[2026-11-22T12:19:36.123456789+01:00] `
    Rfc3339,
    /// `[1795346376.123456789] `
    Unix,
    /// `[1795346376123456789 1795346376123461789] `: when the message arrived, and when its answer left.
    Ns {
        /// When the message arrived.
        rx: WallTime,
        /// When the answer left.
        tx: WallTime,
    },
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A filled stamp of so many bytes, the bracket and the space behind it included.
    Stamp(Stamp, usize),
    /// Something that more bytes could make a stamp.
    Partial,
    /// No stamp.
    Other,
}

/// Whether `message` begins with a filled stamp of any built-in shape: whether it is somebody's answer.
pub fn begins_with_stamp(message: &[u8]) -> bool {
    matches!(scan(message), Scan::Stamp(..))
}

/// Says what stands at the beginning of `bytes`. The blank is not a stamp: nobody has filled it in.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut partial = false;
    for Shape { picture, read } in SHAPES {
        match compare(picture, bytes) {
            Fit::Whole if bytes.starts_with(BLANK) => return Scan::Other,
            Fit::Whole => return Scan::Stamp(read(bytes), picture.len()),
            Fit::Prefix => partial = true,
            Fit::No => {}
        }
    }
    if partial { Scan::Partial } else { Scan::Other }
}

/// A form that stamps have.
struct Shape {
    /// `9` stands for a digit, `_` for a digit or a space, `A` for a letter, `+` for a sign; anything else for
    /// itself.
    picture: &'static [u8],
    /// What bytes that fit the picture say.
    read: fn(&[u8]) -> Stamp,
}

const SHAPES: [Shape; 4] = [
    Shape { picture: b"[AAA AAA _9 99:99:99 9999] ", read: |_| Stamp::Ctime },
    Shape { picture: b"[9999-99-99T99:99:99.999999999+99:99] ", read: |_| Stamp::Rfc3339 },
    Shape { picture: b"[9999999999.999999999] ", read: |_| Stamp::Unix },
    Shape {
        picture: b"[9999999999999999999 9999999999999999999] ",
        read: |bytes| Stamp::Ns { rx: digits(&bytes[1..20]), tx: digits(&bytes[21..40]) },
    },
];

enum Fit {
    Whole,
    Prefix,
    No,
}

fn compare(picture: &[u8], bytes: &[u8]) -> Fit {
    let fits = picture.iter().zip(bytes).all(|(&drawn, &byte)| match drawn {
        b'9' => byte.is_ascii_digit(),
        b'_' => byte.is_ascii_digit() || byte == b' ',
        b'A' => byte.is_ascii_alphabetic(),
        b'+' => byte == b'+' || byte == b'-',
        literal => byte == literal,
    });
    match fits {
        false => Fit::No,
        true if bytes.len() < picture.len() => Fit::Prefix,
        true => Fit::Whole,
    }
}

/// Nineteen digits fit a `u64`: its greatest value has twenty.
fn digits(text: &[u8]) -> WallTime {
    let nanos = text.iter().fold(0_u64, |value, &digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    WallTime::from_nanos(nanos)
}
