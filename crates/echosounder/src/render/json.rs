//! JSON for every command: one object per line, in printable ASCII, so that nothing in it acts on a
//! terminal.
//!
//! `docs/json.md` explains the keys and `docs/schema.json` is their JSON Schema. [`event`] adds the
//! keys that every line has; [`Distribution`] is the object of every distribution.

use std::io::{self, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// The version of the keys and their meaning. It grows when a key is renamed, removed or changes
/// its meaning, but not when a key is added.
const SCHEMA: u32 = 1;

/// The time of an event, as two keys of its object.
///
/// `time` is RFC 3339 in UTC with nine fractional digits. `time_unix_ns` counts nanoseconds since
/// the Unix epoch; it is a string because jq and JavaScript round numbers above 2^53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EventTime {
    time: String,
    time_unix_ns: String,
}

impl EventTime {
    /// Returns the current time.
    pub(crate) fn now() -> Self {
        Self::from_unix_nanos(unix_now_ns())
    }

    /// Converts nanoseconds since the Unix epoch.
    pub(crate) fn from_unix_nanos(nanos: u64) -> Self {
        Self { time: rfc3339(nanos), time_unix_ns: nanos.to_string() }
    }
}

/// Returns the current time in nanoseconds since the Unix epoch: 0 before it, and the greatest number
/// after the year 2554.
#[expect(clippy::disallowed_methods, reason = "this is the time of day for people, and measures nothing")]
pub(crate) fn unix_now_ns() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts nanoseconds since the Unix epoch to RFC 3339 in UTC with nine fractional digits.
pub(crate) fn rfc3339(nanos: u64) -> String {
    // The greatest u64 is in the year 2554, which RFC 3339 can write.
    let time = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::MAX);
    format!("{time:.9}")
}

/// An object with the keys that every line has.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(flatten)]
    object: &'a T,
    #[serde(flatten)]
    time: &'a EventTime,
    schema: u32,
}

/// Writes an object as a line and adds its time and the version of the schema.
///
/// Every line has the version, not only the first one: lines are filtered, appended to older files
/// and spread over standard output and standard error, so that no reader can rely on having seen
/// the first.
pub(crate) fn event(out: &mut dyn Write, time: &EventTime, object: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::new();
    Line { object, time, schema: SCHEMA }
        .serialize(&mut Serializer::with_formatter(&mut line, Ascii))
        .map_err(io::Error::from)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// A distribution of times in nanoseconds. Everything but the count is `null` without values; a
/// percentile is `null` unless at least one value lies above it.
#[derive(Debug, Serialize)]
pub(crate) struct Distribution {
    count: u64,
    min_ns: Option<i64>,
    mean_ns: Option<f64>,
    p50_ns: Option<i64>,
    p90_ns: Option<i64>,
    p95_ns: Option<i64>,
    p99_ns: Option<i64>,
    p99_9_ns: Option<i64>,
    p99_99_ns: Option<i64>,
    max_ns: Option<i64>,
    stddev_ns: Option<f64>,
}

impl From<&echosounder_client::Distribution> for Distribution {
    fn from(times: &echosounder_client::Distribution) -> Self {
        Self {
            count: times.count(),
            min_ns: times.min(),
            mean_ns: times.mean(),
            p50_ns: times.percentile(50.0),
            p90_ns: times.percentile(90.0),
            p95_ns: times.percentile(95.0),
            p99_ns: times.percentile(99.0),
            p99_9_ns: times.percentile(99.9),
            p99_99_ns: times.percentile(99.99),
            max_ns: times.max(),
            stddev_ns: times.stddev(),
        }
    }
}

/// Bytes from a peer: `text` if they are UTF-8, otherwise `hex`. The other key is `null`.
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
        event(&mut out, &EventTime::from_unix_nanos(7), &Bytes::from(bytes)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_are_text_if_they_are_utf8_and_hexadecimal_otherwise() {
        let text = r#"{"text":"say \"hi\"\\","hex":null,"#;
        assert!(json(b"say \"hi\"\\").starts_with(text));
        assert!(json(b"\xff\x00").starts_with(r#"{"text":null,"hex":"ff00","#));
    }

    #[test]
    fn time_is_written_to_the_nanosecond_in_text_and_in_digits() {
        let time = |nanos| serde_json::to_value(EventTime::from_unix_nanos(nanos)).unwrap();
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_795_810_829_000_000_010, "2026-11-27T20:20:29.000000010Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            let expected = serde_json::json!({ "time": text, "time_unix_ns": nanos.to_string() });
            assert_eq!(time(nanos), expected);
        }
    }

    #[test]
    fn every_line_has_its_time_and_the_schema_version() {
        let expected = concat!(
            r#"{"text":"x","hex":null,"time":"1970-01-01T00:00:00.000000007Z","#,
            r#""time_unix_ns":"7","schema":1}"#,
            "\n"
        );
        assert_eq!(json(b"x"), expected);
    }

    #[test]
    fn lines_are_printable_ascii_and_parse_to_the_same_text() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}é👋\n\0z";
        let line = json(text.as_bytes());
        assert!(line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], text);
    }
}
