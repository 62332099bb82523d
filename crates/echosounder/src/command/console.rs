//! Where a command shows its progress and its statistics.

use std::io::{self, StdoutLock, Write};

use crate::args::{Output, OutputFile};
use crate::render::style::Style;
use crate::stderr::{Stderr, stderr};

/// Standard output, unless that is for the result alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Console {
    Stdout,
    Stderr,
}

impl Console {
    /// With `-o -` standard output is for the result.
    pub(super) fn beside(outputs: &[OutputFile]) -> Self {
        if outputs.contains(&OutputFile::Stdout) { Self::Stderr } else { Self::Stdout }
    }

    /// How text on it is set off.
    pub(super) fn style(self, output: Output) -> Style {
        match self {
            Self::Stdout => Style::stdout(output),
            Self::Stderr => Style::stderr(output),
        }
    }

    /// Writes to it.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written.
    pub(super) fn write(self, write: impl FnOnce(&mut Lock) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Stdout => write(&mut stdout()),
            Self::Stderr => write(&mut Lock::Stderr(stderr())),
        }
    }
}

/// Standard output, whose errors say what has failed.
pub(super) fn stdout() -> Lock {
    Lock::Stdout(io::stdout().lock())
}

/// The kind stays what it is, so that a closed pipe is known as one.
fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("write standard output: {error}"))
}

/// One of both, for as long as something is written.
#[derive(Debug)]
pub(super) enum Lock {
    Stdout(StdoutLock<'static>),
    Stderr(Stderr),
}

impl Write for Lock {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes).map_err(named),
            Self::Stderr(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush().map_err(named),
            Self::Stderr(out) => out.flush(),
        }
    }
}
