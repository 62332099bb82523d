//! A stranger's text on a terminal, as it comes.

use std::io::{self, Write};

use super::escape::Escaped;

/// Writes bytes so that nothing in them acts on a terminal: lines and tabs stay, everything else is escaped. A character
/// that comes in two pieces is not torn. What is dropped ends its last line.
pub(crate) struct TerminalText<W: Write> {
    out: W,
    /// The beginning of a character, or a carriage return of which it is not known what follows.
    kept: Vec<u8>,
    at_line_start: bool,
}

impl<W: Write> TerminalText<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, kept: Vec::new(), at_line_start: true }
    }

    fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
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
        let mut all = std::mem::take(&mut self.kept);
        all.extend_from_slice(bytes);
        self.kept = all.split_off(all.len() - unfinished(&all));
        self.show(&all)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for TerminalText<W> {
    fn drop(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        // A terminal that has gone shows nothing.
        let _ = self.show(&kept);
        if !self.at_line_start {
            let _ = self.out.write_all(b"\n").and_then(|()| self.out.flush());
        }
    }
}

/// How many bytes at the end may be the beginning of something longer: of a character, or of a line end.
pub(crate) fn unfinished(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let tail = &bytes[bytes.len() - bytes.len().min(3)..];
    let Some(start) = tail.iter().rposition(|&byte| byte & 0xc0 != 0x80) else { return 0 };
    let character = &tail[start..];
    // Only what is cut short, and not what is wrong, has no length of its error.
    match str::from_utf8(character) {
        Err(error) if error.error_len().is_none() => character.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut text = TerminalText::new(&mut out);
        pieces.iter().for_each(|piece| text.write_all(piece).unwrap());
        drop(text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_and_tabs_stay_and_what_acts_is_escaped() {
        assert_eq!(shown(&[b"HTTP/1.0 200 OK\r\n\r\na\tb\n"]), "HTTP/1.0 200 OK\n\na\tb\n");
        assert_eq!(shown(&[b"\x1b[2Jred\rgreen\xff\x00"]), "\\x1b[2Jred\\rgreen\\xff\\x00\n");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn however_it_is_cut_the_same_is_shown() {
        let whole = "é中😀 ok\r\n\r\r\nno end: ".bytes().chain(*b"\xe4\xb8\xff\xf0\x9f").collect::<Vec<u8>>();
        let expected = shown(&[&whole]);
        assert_eq!(expected, "é中😀 ok\n\\r\nno end: \\xe4\\xb8\\xff\\xf0\\x9f\n");
        for piece in 1..whole.len() {
            assert_eq!(shown(&whole.chunks(piece).collect::<Vec<_>>()), expected, "{piece}");
        }
    }
}
