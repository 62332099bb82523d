//! One JSON object a line, in ASCII: what a stranger said cannot act on the terminal it ends up on.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

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
    fn only_printable_ascii_comes_out_and_a_parser_gets_the_text_back() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}é👋\n\0z";
        let line = json(text.as_bytes());
        assert!(line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], text);
    }
}
