//! Untrusted text on a terminal, written as it arrives in pieces.

use std::io::{self, Write};

use super::escape::Escaped;

/// Escapes everything that could act on a terminal, except line ends and tabs. A character that
/// arrives in two pieces stays whole. Dropping it ends the last line.
pub(crate) struct TerminalText<W: Write> {
    out: W,
    /// The beginning of a character, or a carriage return that may belong to a line end.
    incomplete: Vec<u8>,
    at_line_start: bool,
}

impl<W: Write> TerminalText<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, incomplete: Vec::new(), at_line_start: true }
    }

    fn write_escaped(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\t')) {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            let before = before.strip_suffix(b"\r").filter(|_| rest[at] == b'\n').unwrap_or(before);
            write!(text, "{}", Escaped(before))?;
            text.push(rest[at]);
            rest = after;
        }
        write!(text, "{}", Escaped(rest))?;
        self.at_line_start = text.last().map_or(self.at_line_start, |&last| last == b'\n');
        self.out.write_all(&text)
    }
}

impl<W: Write> Write for TerminalText<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.incomplete);
        all.extend_from_slice(bytes);
        self.incomplete = all.split_off(all.len() - unfinished(&all));
        self.write_escaped(&all)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for TerminalText<W> {
    fn drop(&mut self) {
        let incomplete = std::mem::take(&mut self.incomplete);
        // A terminal that is gone cannot be written.
        let _ = self.write_escaped(&incomplete);
        if !self.at_line_start {
            let _ = self.out.write_all(b"\n").and_then(|()| self.out.flush());
        }
    }
}

/// Returns the number of bytes at the end that may be the beginning of a character or of a line
/// end.
pub(crate) fn unfinished(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let tail = &bytes[bytes.len() - bytes.len().min(3)..];
    let Some(start) = tail.iter().rposition(|&byte| byte & 0xc0 != 0x80) else { return 0 };
    let character = &tail[start..];
    // An error without a length means that the character is cut short rather than invalid.
    match str::from_utf8(character) {
        Err(error) if error.error_len().is_none() => character.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut text = TerminalText::new(&mut out);
        pieces.iter().for_each(|piece| text.write_all(piece).unwrap());
        drop(text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_ends_and_tabs_stay_and_controls_are_escaped() {
        assert_eq!(written(&[b"HTTP/1.0 200 OK\r\n\r\na\tb\n"]), "HTTP/1.0 200 OK\n\na\tb\n");
        assert_eq!(written(&[b"\x1b[2Jred\rgreen\xff\x00"]), "\\x1b[2Jred\\rgreen\\xff\\x00\n");
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn pieces_of_any_length_show_the_same() {
        let whole = "é中😀 ok\r\n\r\r\nno end: ".bytes().chain(*b"\xe4\xb8\xff\xf0\x9f").collect::<Vec<u8>>();
        let expected = written(&[&whole]);
        assert_eq!(expected, "é中😀 ok\n\\r\nno end: \\xe4\\xb8\\xff\\xf0\\x9f\n");
        for piece in 1..whole.len() {
            assert_eq!(written(&whole.chunks(piece).collect::<Vec<_>>()), expected, "{piece}");
        }
    }
}
