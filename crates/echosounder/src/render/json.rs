//! One JSON object a line, in ASCII: what a stranger said cannot act on the terminal it ends up on.

use std::io::{self, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// The time of an event, as two keys of its object: flatten it into a struct, or write the object with [`event`].
///
/// `time` is RFC 3339 in UTC with nine fractional digits. `time_unix_ns` counts nanoseconds since the Unix epoch; it
/// is a string because jq and JavaScript round numbers above 2^53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EventTime {
    time: String,
    time_unix_ns: String,
}

impl EventTime {
    /// Returns the current time.
    #[expect(
        clippy::disallowed_methods,
        reason = "an event is labelled with the time of day, nothing is measured"
    )]
    pub(crate) fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_nanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the time that is so many nanoseconds after the Unix epoch.
    pub(crate) fn from_unix_nanos(nanos: u64) -> Self {
        Self { time: rfc3339(nanos), time_unix_ns: nanos.to_string() }
    }
}

/// Nanoseconds since the Unix epoch as RFC 3339 in UTC with nine fractional digits.
pub(crate) fn rfc3339(nanos: u64) -> String {
    // All of u64's nanoseconds end in 2554, which RFC 3339 can write.
    let time = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::MAX);
    format!("{time:.9}")
}

/// An object and the time of its event.
#[derive(Serialize)]
struct Timed<'a, T> {
    #[serde(flatten)]
    object: &'a T,
    #[serde(flatten)]
    time: &'a EventTime,
}

/// Writes the object of an event, with the keys of its time at the end.
pub(crate) fn event(out: &mut impl Write, time: &EventTime, object: &impl Serialize) -> io::Result<()> {
    line(out, &Timed { object, time })
}

/// Writes an object and ends the line.
pub(crate) fn line(out: &mut impl Write, object: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::new();
    object.serialize(&mut Serializer::with_formatter(&mut line, Ascii)).map_err(io::Error::from)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// A stranger's bytes: as text if they are that, otherwise in hexadecimal. The other key is null.
#[derive(Debug, Serialize)]
pub(crate) struct Bytes<'a> {
    text: Option<&'a str>,
    hex: Option<String>,
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { text: Some(text), hex: None },
            Err(_) => {
                Self { text: None, hex: Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()) }
            }
        }
    }
}

/// Writes everything outside printable ASCII as `\u....`.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| !matches!(c, ' '..='~')) {
            CompactFormatter.write_string_fragment(out, &fragment[plain..at])?;
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            plain = at + c.len_utf8();
        }
        CompactFormatter.write_string_fragment(out, &fragment[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        line(&mut out, &Bytes::from(bytes)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_text_and_anything_else_is_hexadecimal() {
        assert_eq!(json(b"say \"hi\"\\"), "{\"text\":\"say \\\"hi\\\"\\\\\",\"hex\":null}\n");
        assert_eq!(json(b"\xff\x00"), "{\"text\":null,\"hex\":\"ff00\"}\n");
    }

    #[test]
    fn an_event_has_its_time_to_the_nanosecond_in_text_and_in_digits() {
        let time = |nanos| serde_json::to_value(EventTime::from_unix_nanos(nanos)).unwrap();
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_795_810_829_000_000_010, "2026-11-27T20:20:29.000000010Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            let expected = serde_json::json!({ "time": text, "time_unix_ns": nanos.to_string() });
            assert_eq!(time(nanos), expected);
        }

        let mut out = Vec::new();
        event(&mut out, &EventTime::from_unix_nanos(7), &Bytes::from(&b"x"[..])).unwrap();
        let expected = "{\"text\":\"x\",\"hex\":null,\"time\":\"1970-01-01T00:00:00.000000007Z\",\"time_unix_ns\":\"7\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn only_printable_ascii_comes_out_and_a_parser_gets_the_text_back() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}é👋\n\0z";
        let line = json(text.as_bytes());
        assert!(line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], text);
    }
}
