//! Lines of an input, read without ever waiting for more than there is.

use std::io::{self, Read};

/// Longest piece of a line that is one message; what is longer becomes several.
pub(crate) const LINE_MAX: usize = 64 * 1024;

/// Cuts an input into lines.
#[derive(Debug)]
pub(crate) struct Lines<I> {
    input: I,
    buffer: Vec<u8>,
    ended: bool,
}

/// A line, or a piece of a long one, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    /// Whether a newline ended it.
    pub(crate) ended: bool,
}

impl<I: Read> Lines<I> {
    pub(crate) fn new(input: I) -> Self {
        Self { input, buffer: Vec::new(), ended: false }
    }

    pub(crate) fn input(&self) -> &I {
        &self.input
    }

    /// Reads once.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.input.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The next line that has been read; at the end of the input, what is left.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let reach = self.buffer.len().min(LINE_MAX);
        match self.buffer[..reach].iter().position(|&byte| byte == b'\n') {
            Some(newline) => {
                let mut bytes: Vec<u8> = self.buffer.drain(..=newline).collect();
                bytes.pop();
                Some(Line { bytes, ended: true })
            }
            None if reach == LINE_MAX || (self.ended && 0 < reach) => {
                Some(Line { bytes: self.buffer.drain(..reach).collect(), ended: false })
            }
            None => None,
        }
    }

    /// Whether there will be no more lines.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<(String, bool)> {
        let mut lines = Lines::new(input);
        let mut all = Vec::new();
        while !lines.is_done() {
            match lines.next() {
                Some(line) => all.push((String::from_utf8(line.bytes).unwrap(), line.ended)),
                None => lines.fill().unwrap(),
            }
        }
        all
    }

    #[test]
    fn a_line_is_what_a_newline_ends_and_the_rest_is_one_too() {
        let expected = [("a", true), ("", true), ("b\r", true), ("c", false)];
        assert_eq!(lines(b"a\n\nb\r\nc"), expected.map(|(line, ended)| (line.to_string(), ended)));
        assert_eq!(lines(b"a\n"), [("a".to_string(), true)]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let long = "x".repeat(LINE_MAX + 3) + "\n";
        let pieces = lines(long.as_bytes());
        assert_eq!(pieces.iter().map(|(piece, _)| piece.len()).collect::<Vec<_>>(), [LINE_MAX, 3]);
        assert_eq!(pieces.iter().map(|(_, ended)| *ended).collect::<Vec<_>>(), [false, true]);
    }
}
