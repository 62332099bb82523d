//! Splits an input into lines without blocking: each read takes the bytes that are available.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use crate::nonblocking::would_block;

/// The largest read of the input.
const READ_MAX: usize = 16 * 1024;

/// A source of lines. Its descriptor becomes readable when [`fill`](Self::fill) has something to
/// read.
pub trait LineSource: AsFd {
    /// Reads the available bytes, once. Call it when the descriptor is readable.
    ///
    /// # Errors
    ///
    /// If the input cannot be read.
    fn fill(&mut self) -> io::Result<()>;

    /// Returns the next line that was read. At the end of the input the rest is a line, too.
    fn next_line(&mut self) -> Option<Line>;

    /// Returns whether no more lines will come.
    fn is_done(&self) -> bool;
}

/// A line without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The bytes of the line; empty if it is too long.
    pub bytes: Vec<u8>,
    /// The length of the line in bytes.
    pub len: usize,
    /// Whether the line ended with a newline, rather than with the input.
    pub ended: bool,
}

impl Line {
    /// Returns a line that ended with a newline.
    pub fn ended(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes, ended: true }
    }

    /// Returns whether the line was longer than the source's limit.
    pub fn is_too_long(&self) -> bool {
        self.bytes.len() < self.len
    }
}

/// Splits an input into lines.
#[derive(Debug)]
pub struct Lines<I> {
    input: I,
    /// The length of the longest line that is returned with its bytes.
    max: usize,
    buffer: Vec<u8>,
    /// How many bytes of the buffer have been searched for a newline.
    searched: usize,
    /// How many bytes of the current line were discarded because it is too long.
    skipped: usize,
    ended: bool,
}

impl<I: Read> Lines<I> {
    /// Returns the lines of `input`. A line that is longer than `max` bytes is returned without its
    /// bytes.
    pub fn new(input: I, max: usize) -> Self {
        Self { input, max, buffer: Vec::new(), searched: 0, skipped: 0, ended: false }
    }

    /// Puts bytes in front of what will be read from the input.
    pub fn with_first(mut self, bytes: &[u8]) -> Self {
        self.buffer.extend_from_slice(bytes);
        self
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; READ_MAX];
        match self.input.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
            Err(error) if would_block(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Line> {
        let found = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
        match found {
            Some(offset) => Some(self.take(self.searched + offset, true)),
            None if self.ended && self.has_rest() => Some(self.take(self.buffer.len(), false)),
            None => {
                self.searched = self.buffer.len();
                if self.max < self.skipped + self.buffer.len() {
                    self.skipped += self.buffer.len();
                    self.buffer.clear();
                    self.searched = 0;
                }
                None
            }
        }
    }

    /// Removes the line that ends before `end` from the buffer.
    fn take(&mut self, end: usize, ended: bool) -> Line {
        let mut bytes: Vec<u8> = self.buffer.drain(..end + usize::from(ended)).collect();
        bytes.truncate(end);
        let len = std::mem::take(&mut self.skipped) + end;
        self.searched = 0;
        if self.max < len {
            bytes.clear();
        }
        Line { bytes, len, ended }
    }

    fn has_rest(&self) -> bool {
        !self.buffer.is_empty() || self.skipped != 0
    }
}

impl<I: AsFd> AsFd for Lines<I> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

impl<I: Read + AsFd> LineSource for Lines<I> {
    fn fill(&mut self) -> io::Result<()> {
        self.read()
    }

    fn next_line(&mut self) -> Option<Line> {
        self.next()
    }

    fn is_done(&self) -> bool {
        self.ended && !self.has_rest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_lines(input: &[u8], max: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, max);
        let mut all = Vec::new();
        while !lines.ended || lines.has_rest() {
            match lines.next() {
                Some(line) => all.push(line),
                None => lines.read().unwrap(),
            }
        }
        all
    }

    fn lines(input: &[u8]) -> Vec<(String, bool)> {
        let all = all_lines(input, 1 << 20).into_iter();
        all.map(|line| (String::from_utf8(line.bytes).unwrap(), line.ended)).collect()
    }

    #[test]
    fn newlines_end_lines_and_the_rest_is_a_line() {
        let expected = [("a", true), ("", true), ("b\r", true), ("c", false)];
        assert_eq!(lines(b"a\n\nb\r\nc"), expected.map(|(line, ended)| (line.to_string(), ended)));
        assert_eq!(lines(b"a\n"), [("a".to_string(), true)]);
        assert_eq!(lines(b"\n"), [(String::new(), true)]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn long_line_stays_whole() {
        let long = "x".repeat(5 * READ_MAX + 3) + "\n";
        let all = all_lines(long.as_bytes(), long.len());
        assert_eq!(all, [Line::ended(long.trim_end().into())]);
    }

    #[test]
    fn line_that_is_too_long_keeps_its_length_and_the_next_line_follows() {
        for len in [11, 20, READ_MAX, 7 * READ_MAX + 1] {
            let input = format!("{}\nshort\n{}", "x".repeat(len), "y".repeat(len));
            let all = all_lines(input.as_bytes(), 10);
            let too_long = |ended| Line { bytes: Vec::new(), len, ended };
            assert_eq!(all, [too_long(true), Line::ended(b"short".into()), too_long(false)]);
            assert!(all[0].is_too_long() && !all[1].is_too_long());
        }
        let exact = all_lines(b"0123456789\n", 10);
        assert_eq!(exact, [Line::ended(b"0123456789".into())]);
    }
}
