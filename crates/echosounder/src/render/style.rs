//! Colours, and lines that fit a terminal. Renderers get a [`Style`] and do not look at the
//! terminal themselves.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::output::Output;

/// The style of text on standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    colored: bool,
    /// The width of the terminal; `None` for a file or a pipe.
    columns: Option<usize>,
}

impl Style {
    /// No colours and no width.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colored: false, columns: None };

    pub(crate) fn stdout(output: Output) -> Self {
        let out = io::stdout();
        let columns = terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0));
        Self::of(output, out.is_terminal(), columns)
    }

    pub(crate) fn stderr(output: Output) -> Self {
        let out = io::stderr();
        let columns = terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0));
        Self::of(output, out.is_terminal(), columns)
    }

    fn of(output: Output, is_terminal: bool, columns: Option<usize>) -> Self {
        let colored = !output.json && output.color.applies(is_terminal);
        Self { colored, columns: columns.filter(|columns| is_terminal && *columns != 0) }
    }

    #[cfg(test)]
    pub(crate) const fn with(colored: bool, columns: Option<usize>) -> Self {
        Self { colored, columns }
    }

    pub(crate) fn is_colored(self) -> bool {
        self.colored
    }

    /// Marks a failure or a loss.
    pub(crate) fn bad(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    /// Marks something that deserves attention: late, not permitted, absent.
    pub(crate) fn caution(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    /// Marks a success.
    pub(crate) fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    /// Emphasizes a text that is neither good nor bad.
    pub(crate) fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    /// Marks a text as a failure if `wrong` is true.
    pub(crate) fn bad_if(self, wrong: bool, text: impl Display) -> String {
        if wrong { self.bad(text) } else { text.to_string() }
    }

    fn paint(self, color: &str, text: impl Display) -> String {
        if self.colored { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Returns whether this many columns fit on a line.
    pub(crate) fn fits(self, columns: usize) -> bool {
        self.columns.is_none_or(|width| columns <= width)
    }

    /// Returns the number of columns, at most `columns`.
    pub(crate) fn at_most(self, columns: usize) -> usize {
        self.columns.map_or(columns, |width| width.min(columns))
    }

    /// Returns a writer that breaks lines between words where they would not fit.
    pub(crate) fn wrapped<W: Write>(self, out: W) -> Wrapped<W> {
        Wrapped { out, columns: self.columns, line: Vec::new() }
    }
}

/// Breaks lines that are too long for the terminal.
pub(crate) struct Wrapped<W: Write> {
    out: W,
    columns: Option<usize>,
    line: Vec<u8>,
}

impl<W: Write> Write for Wrapped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(columns) = self.columns else { return self.out.write(bytes) };
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.out.write_all(with_breaks(&String::from_utf8_lossy(&line), columns).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.line);
        self.out.write_all(&rest)?;
        self.out.flush()
    }
}

/// Returns the line with breaks between words. Continuations are indented by two more columns.
fn with_breaks(line: &str, columns: usize) -> String {
    if visible_len(line.trim_end()) <= columns {
        return line.to_owned();
    }
    let text = line.trim_end();
    let indent = text.len() - text.trim_start().len();
    let mut lines = " ".repeat(indent);
    let mut used = indent;
    let mut first = true;
    // Several spaces in a row, as in tables, stay where no break is needed.
    for word in text.trim_start().split_inclusive(' ') {
        let len = visible_len(word.trim_end());
        if columns < used + len && !first && len != 0 {
            lines.truncate(lines.trim_end_matches(' ').len());
            lines.push('\n');
            lines.push_str(&" ".repeat(indent + 2));
            used = indent + 2;
        }
        first = false;
        lines.push_str(word);
        used += visible_len(word);
    }
    lines.push('\n');
    lines
}

/// Returns the columns that a text takes, without its colours.
fn visible_len(text: &str) -> usize {
    let mut len = 0;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        len += before.chars().count();
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    len + rest.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_depend_on_the_style() {
        assert_eq!(Style::with(true, None).bad("REFUSED"), "\x1b[31mREFUSED\x1b[0m");
        assert_eq!(Style::PLAIN.bad("REFUSED"), "REFUSED");
        assert_eq!(Style::with(true, None).bad_if(false, 0), "0");
    }

    #[test]
    fn long_lines_break_between_words() {
        let write = |columns, text: &str| {
            let mut out = Vec::new();
            let mut wrapped = Style::with(true, columns).wrapped(&mut out);
            // In parts, as write! writes.
            text.as_bytes().chunks(3).for_each(|part| wrapped.write_all(part).unwrap());
            wrapped.flush().unwrap();
            String::from_utf8(out).unwrap()
        };
        let line = "64 bytes from 127.0.0.1: seq=1 rtt=0.070 ms up=0.001\n";
        assert_eq!(write(None, line), line);
        assert_eq!(write(Some(60), line), line);
        assert_eq!(write(Some(40), line), "64 bytes from 127.0.0.1: seq=1 rtt=0.070\n  ms up=0.001\n");
        assert_eq!(write(Some(12), "  a table     of words\n"), "  a table\n    of words\n");
        assert_eq!(write(Some(3), "longest word\n"), "longest\n  word\n");
        assert_eq!(write(Some(5), "\x1b[31mab\x1b[0m cd\n"), "\x1b[31mab\x1b[0m cd\n");
        assert_eq!(write(Some(40), "no end"), "no end");
    }
}
