//! Recognising the timestamps of other programs.

use core::time::Duration;

use crate::placeholder::TIMESTAMP_PLACEHOLDER;
use crate::time::WallTime;

/// A filled timestamp of a built-in shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// `[Sun Nov 22 12:19:36 2026] `: seconds from the epoch to the local time of the server, whose
    /// zone is unknown; `None` if there is no such time.
    Ctime(Option<u64>),
    /// `[2026-11-22T12:19:36.123456789+01:00] `; `None` if there is no such time.
    Rfc3339(Option<WallTime>),
    /// `[1795346376.123456789] `
    Unix(WallTime),
    /// `[1795346376123456789 1795346376123461789] `: when the request was received and the reply
    /// sent.
    Ns {
        /// When the request was received.
        rx: WallTime,
        /// When the reply was sent.
        tx: WallTime,
    },
}

/// A whole second and a tick, by which time(2) lags behind: 10 ms if the kernel ticks 100 times a
/// second.
const CTIME_RESOLUTION: Duration = Duration::from_millis(1010);

/// The clock reading of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time when the request was received.
    pub rx: WallTime,
    /// The time when the reply was sent; the same if the timestamp has only one time.
    pub tx: WallTime,
    /// The true times may be later by less than this.
    pub resolution: Duration,
    /// Whether the time zone is known.
    pub zoned: bool,
}

impl Timestamp {
    /// Returns the clock reading that it contains, or `None` if it contains no time.
    pub fn reading(self) -> Option<Reading> {
        let (rx, tx, resolution, zoned) = match self {
            Self::Ns { rx, tx } => (rx, tx, Duration::ZERO, true),
            Self::Unix(time) | Self::Rfc3339(Some(time)) => (time, time, Duration::ZERO, true),
            Self::Ctime(Some(seconds)) => {
                let time = WallTime::from_nanos(seconds.saturating_mul(1_000_000_000));
                (time, time, CTIME_RESOLUTION, false)
            }
            Self::Ctime(None) | Self::Rfc3339(None) => return None,
        };
        Some(Reading { rx, tx, resolution, zoned })
    }
}

/// What some bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A filled timestamp and its length in bytes, brackets and the space after them included.
    Timestamp(Timestamp, usize),
    /// The beginning of what may become a timestamp.
    Partial,
    /// No timestamp.
    Other,
}

/// Returns whether `message` begins with a filled timestamp of a built-in shape, and so is a reply.
pub fn starts_with_timestamp(message: &[u8]) -> bool {
    matches!(scan(message), Scan::Timestamp(..))
}

/// Returns what `bytes` begin with. The placeholder is no timestamp: it is not filled in.
pub fn scan(bytes: &[u8]) -> Scan {
    // All shapes begin with the same byte, and nearly no message does.
    if bytes.first().is_some_and(|&first| first != OPENING) {
        return Scan::Other;
    }
    let mut partial = false;
    for Shape { picture, read } in SHAPES {
        match compare(picture, bytes) {
            Fit::Whole if bytes.starts_with(TIMESTAMP_PLACEHOLDER) => return Scan::Other,
            Fit::Whole => return Scan::Timestamp(read(bytes), picture.len()),
            Fit::Prefix => partial = true,
            Fit::No => {}
        }
    }
    if partial { Scan::Partial } else { Scan::Other }
}

/// A form of timestamps.
struct Shape {
    /// `9` is a digit, `_` a digit or a space, `A` a letter, `+` a sign; any other byte is itself.
    picture: &'static [u8],
    /// Reads bytes that fit the picture.
    read: fn(&[u8]) -> Timestamp,
}

/// The first byte of every shape.
const OPENING: u8 = b'[';

const SHAPES: [Shape; 4] = [
    Shape { picture: b"[AAA AAA _9 99:99:99 9999] ", read: |bytes| Timestamp::Ctime(ctime(bytes)) },
    Shape {
        picture: b"[9999-99-99T99:99:99.999999999+99:99] ",
        read: |bytes| Timestamp::Rfc3339(rfc3339(bytes)),
    },
    Shape {
        picture: b"[9999999999.999999999] ",
        read: |bytes| Timestamp::Unix(within(digits(&bytes[1..11]), digits(&bytes[12..21]))),
    },
    Shape {
        picture: b"[9999999999999999999 9999999999999999999] ",
        read: |bytes| Timestamp::Ns {
            rx: WallTime::from_nanos(digits(&bytes[1..20])),
            tx: WallTime::from_nanos(digits(&bytes[21..40])),
        },
    },
];
const _: () = {
    let mut shape = 0;
    while shape < SHAPES.len() {
        assert!(SHAPES[shape].picture[0] == OPENING);
        shape += 1;
    }
};

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

/// Nineteen digits fit into a `u64`, whose greatest value has twenty. The space that pads a day is
/// skipped.
fn digits(text: &[u8]) -> u64 {
    text.iter().filter(|byte| byte.is_ascii_digit()).fold(0_u64, |value, &digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

fn within(seconds: u64, nanos: u64) -> WallTime {
    WallTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Reads `[Sun Nov 22 12:19:36 2026] `, in seconds of local time since 1970. The day of the week is
/// ignored.
fn ctime(text: &[u8]) -> Option<u64> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == &text[5..8])?.0;
    seconds(digits(&text[21..25]), month, digits(&text[9..11]), &text[12..20])
}

/// Reads `[2026-11-22T12:19:36.123456789+01:00] `.
fn rfc3339(text: &[u8]) -> Option<WallTime> {
    let local = seconds(digits(&text[1..5]), digits(&text[6..8]), digits(&text[9..11]), &text[12..20])?;
    let offset = digits(&text[31..33]) * 3600 + digits(&text[34..36]) * 60;
    let seconds = if text[30] == b'-' { local.checked_add(offset) } else { local.checked_sub(offset) };
    Some(within(seconds?, digits(&text[21..30])))
}

/// Returns the seconds from 1970 to a date and an `HH:MM:SS` of the proleptic Gregorian calendar. A
/// leap second counts as the second after it.
fn seconds(year: u64, month: u64, day: u64, time: &[u8]) -> Option<u64> {
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let (hour, minute, second) = (digits(&time[..2]), digits(&time[3..5]), digits(&time[6..8]));
    if !(1..=length).contains(&day) || 23 < hour || 59 < minute || 60 < second {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month < 3 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let since_1970 = days.checked_sub(DAYS_TO_1970)?;
    Some(since_1970 * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;
