//! Whole lines to a writer that may fail at any byte, such as a file on a full disk.

use std::io::{self, ErrorKind, Write};

/// Writes whole lines. If only the beginning of a line can be written, its rest precedes the next
/// line, so that no line is torn.
#[derive(Debug)]
pub(crate) struct LineSink<W> {
    out: W,
    /// The rest of a line.
    rest: Vec<u8>,
    /// The number of bytes that may still be written; `None` means no limit.
    left: Option<u64>,
}

/// The result of [`LineSink::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The line is written, or its beginning is and the rest follows.
    Line,
    /// The line exceeds the maximum, and so does every further one.
    Exceeds,
}

impl<W: Write> LineSink<W> {
    /// Creates a sink that writes at most `max` bytes; `None` means no limit.
    pub(crate) fn new(out: W, max: Option<u64>) -> Self {
        Self { out, rest: Vec::new(), left: max }
    }

    /// Writes a line that ends with a newline. `reserve` bytes of the maximum stay for another line.
    ///
    /// # Errors
    ///
    /// If nothing of the line is written. A later line may be written, since a disk may have space
    /// again.
    pub(crate) fn write(&mut self, line: &[u8], reserve: u64) -> io::Result<Written> {
        let len = line.len() as u64;
        if self.left.is_some_and(|left| left < len.saturating_add(reserve)) {
            return Ok(Written::Exceeds);
        }
        self.write_rest()?;
        let mut rest = line;
        let result = write_most(&mut self.out, &mut rest);
        if rest.len() == line.len() {
            return result.map(|()| Written::Line);
        }
        self.left = self.left.map(|left| left - len);
        self.rest = rest.to_vec();
        match result {
            // The next write reports that nobody reads.
            Err(_) => Ok(Written::Line),
            Ok(()) => self.out.flush().map(|()| Written::Line),
        }
    }

    /// Writes the rest of a line, if there is one.
    pub(crate) fn write_rest(&mut self) -> io::Result<()> {
        let mut rest = &self.rest[..];
        let result = write_most(&mut self.out, &mut rest);
        self.rest.drain(..self.rest.len() - rest.len());
        result
    }
}

/// Writes bytes until all are written or a write fails. `bytes` becomes what is not written.
fn write_most(out: &mut impl Write, bytes: &mut &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => *bytes = &bytes[len..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with a number of free bytes.
    #[derive(Default)]
    struct Disk {
        free: usize,
        file: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.free);
            if len == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.free -= len;
            self.file.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_is_torn_wherever_the_disk_is_full() {
        for free in 0..30 {
            let mut disk = Disk { free, ..Disk::default() };
            let mut rest = Vec::new();
            let mut lost = Vec::new();
            for number in 0..10 {
                if number == 7 {
                    disk.free = 1000;
                }
                let mut sink = LineSink { out: &mut disk, rest, left: None };
                let line = format!("line {number}\n");
                if sink.write(line.as_bytes(), 0).is_err() {
                    lost.push(number);
                }
                rest = sink.rest;
            }
            let expected: String = (0..10)
                .filter(|number| !lost.contains(number))
                .map(|number| format!("line {number}\n"))
                .collect();
            assert_eq!(String::from_utf8(disk.file).unwrap(), expected, "{free} bytes free");
            assert!(!lost.is_empty() && lost.iter().all(|number| *number < 7), "{free}: {lost:?}");
        }
    }

    #[test]
    fn rest_of_the_last_line_is_written_when_there_is_space() {
        let mut disk = Disk { free: 3, ..Disk::default() };
        let mut sink = LineSink::new(&mut disk, None);
        assert_eq!(sink.write(b"hello\n", 0).unwrap(), Written::Line);
        assert!(sink.write_rest().is_err());
        let rest = sink.rest;
        disk.free = 10;
        LineSink { out: &mut disk, rest, left: None }.write_rest().unwrap();
        assert_eq!(disk.file, b"hello\n");
    }

    #[test]
    fn lines_up_to_the_maximum_are_written() {
        let mut disk = Disk { free: 100, ..Disk::default() };
        let mut sink = LineSink::new(&mut disk, Some(12));
        assert_eq!(sink.write(b"hello\n", 6).unwrap(), Written::Line);
        assert_eq!(sink.write(b"hello\n", 6).unwrap(), Written::Exceeds);
        assert_eq!(sink.write(b"end..\n", 0).unwrap(), Written::Line);
        assert_eq!(sink.write(b"\n", 0).unwrap(), Written::Exceeds);
        assert_eq!(disk.file, b"hello\nend..\n");
    }
}
