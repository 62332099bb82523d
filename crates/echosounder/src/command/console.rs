//! The stream on which a command prints its progress and statistics, and standard output for
//! everything else.
//!
//! Writes wait for a slow reader of standard output, however long it takes. Only when the command
//! should end, by its own plan ([`expect_end_after`]) or by a signal ([`stop_requested`]), a reader
//! that takes nothing delays it no longer than [`READER_WAIT`].

use std::io::{self, StdoutLock, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use echosounder_socket::{Interest, ready};

use crate::output::{Output, OutputFile};
use crate::render::style::Style;
use crate::stderr::{Stderr, stderr};

/// How long to wait for a reader that takes nothing after the command should have ended.
const READER_WAIT: Duration = Duration::from_millis(500);

/// How often a wait for the reader checks whether the command should have ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The maximum size of a write: a pipe that is writable takes this many bytes without blocking
/// (PIPE_BUF, pipe(7)).
const WRITE_MAX: usize = 4096;

/// When the command should end by its own plan, if it has one.
static PLANNED_END: Mutex<Option<Instant>> = Mutex::new(None);

/// When a signal asked the command to end.
static STOP_REQUESTED: OnceLock<Instant> = OnceLock::new();

/// Notes that the command should end after this time. The earliest end counts.
pub(super) fn expect_end_after(time: Duration) {
    let Some(end) = now().checked_add(time) else { return };
    let mut planned = PLANNED_END.lock().unwrap_or_else(PoisonError::into_inner);
    *planned = Some(planned.map_or(end, |known| known.min(end)));
}

/// Notes that a signal asks the command to end.
pub(super) fn stop_requested() {
    STOP_REQUESTED.get_or_init(now);
}

/// Returns the current time, for waits and rate limits.
#[expect(clippy::disallowed_methods, reason = "nothing that is shown is measured with it")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Returns whether to stop waiting for a reader that has taken nothing since `since`.
fn is_overdue(since: Instant) -> bool {
    let now = now();
    if STOP_REQUESTED.get().is_some_and(|requested| READER_WAIT <= now - *requested) {
        return true;
    }
    let planned = *PLANNED_END.lock().unwrap_or_else(PoisonError::into_inner);
    planned.is_some_and(|end| READER_WAIT <= now.saturating_duration_since(end.max(since)))
}

/// The stream for progress and statistics: standard output, unless that is for the result alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Console {
    Stdout,
    Stderr,
}

impl Console {
    /// Returns standard error if one of the outputs is standard output (`-o -`).
    pub(super) fn beside(outputs: &[OutputFile]) -> Self {
        if outputs.contains(&OutputFile::Stdout) { Self::Stderr } else { Self::Stdout }
    }

    /// Returns the style of text on it.
    pub(super) fn style(self, output: Output) -> Style {
        match self {
            Self::Stdout => Style::stdout(output),
            Self::Stderr => Style::stderr(output),
        }
    }

    /// Writes to it and flushes.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written. Standard error never fails.
    pub(super) fn write(self, write: impl FnOnce(&mut ConsoleWriter) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = stdout();
                write(&mut out).and_then(|()| out.flush())
            }
            Self::Stderr => write(&mut ConsoleWriter::Stderr(stderr())),
        }
    }
}

/// Returns a writer to standard output whose errors name the operation.
pub(super) fn stdout() -> ConsoleWriter {
    ConsoleWriter::Stdout(StdoutSink { out: io::stdout().lock(), text: Vec::new() })
}

/// Adds the operation to an error. The kind remains, so that a closed pipe is recognised.
fn with_operation(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write standard output: {error}"))
}

/// A writer to standard output or standard error.
#[derive(Debug)]
pub(super) enum ConsoleWriter {
    Stdout(StdoutSink),
    Stderr(Stderr),
}

impl Write for ConsoleWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes).map_err(with_operation),
            Self::Stderr(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush().map_err(with_operation),
            Self::Stderr(out) => out.flush(),
        }
    }
}

/// Standard output, locked. Writes whole lines at once, and the rest when it is flushed or dropped.
#[derive(Debug)]
pub(super) struct StdoutSink {
    /// The lock of std's stream. Its buffer stays empty, since its writes would block without a
    /// limit.
    out: StdoutLock<'static>,
    text: Vec<u8>,
}

impl StdoutSink {
    /// Writes the first `end` bytes of the text. Bytes that cannot be written are lost.
    fn write_until(&mut self, end: usize) -> io::Result<()> {
        let text: Vec<u8> = self.text.drain(..end).collect();
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            self.wait_until_writable()?;
            match rustix::io::write(&self.out, &rest[..rest.len().min(WRITE_MAX)]) {
                Ok(len) => rest = &rest[len..],
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until a write does not block.
    ///
    /// # Errors
    ///
    /// `TimedOut` if the command should have ended and the reader takes nothing.
    fn wait_until_writable(&self) -> io::Result<()> {
        let since = now();
        loop {
            let [state] = ready([(self.out.as_fd(), Interest::WRITE)], Some(CHECK_INTERVAL))?;
            if state.can_write() {
                return Ok(());
            }
            if is_overdue(since) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"));
            }
        }
    }
}

impl Write for StdoutSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if bytes.contains(&b'\n') {
            let line = self.text.iter().rposition(|&byte| byte == b'\n').map_or(0, |place| place + 1);
            self.write_until(line).inspect_err(|_| self.text.clear())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_until(self.text.len())
    }
}

impl Drop for StdoutSink {
    fn drop(&mut self) {
        // A caller that needs the error has flushed before.
        let _ = self.flush();
    }
}
