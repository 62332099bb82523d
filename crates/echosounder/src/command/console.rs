//! Where a command shows its progress and its statistics.
//!
//! A slow reader of standard output is waited for, and gets everything. But a run that is over ends, whether or not
//! somebody reads: then a reader that takes nothing is waited for a moment only.

use std::io::{self, StdoutLock, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use echosounder_socket::{Interest, ready};

use crate::args::{Output, OutputFile};
use crate::render::style::Style;
use crate::stderr::{Stderr, stderr};

/// How long a reader is waited for that takes nothing although the run is over.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often a wait for the reader looks whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Most bytes that are written at once: a pipe with room takes so many without a wait (PIPE_BUF, pipe(7)).
const WRITE_MAX: usize = 4096;

/// When the run is over at the latest, as far as that is known.
static OVER: Mutex<Option<Instant>> = Mutex::new(None);

/// When a signal has asked the command to end.
static STOPPED: OnceLock<Instant> = OnceLock::new();

/// Says that the run is over after this time. An earlier end that was said before stays.
pub(super) fn over_after(time: Duration) {
    let Some(end) = now().checked_add(time) else { return };
    let mut over = OVER.lock().unwrap_or_else(PoisonError::into_inner);
    *over = Some(over.map_or(end, |known| known.min(end)));
}

/// Says that a signal has asked the command to end.
pub(super) fn stopped() {
    STOPPED.get_or_init(now);
}

#[expect(clippy::disallowed_methods, reason = "how long a reader is waited for measures nothing")]
fn now() -> Instant {
    Instant::now()
}

/// Whether a reader that has taken nothing since then is no longer waited for.
fn is_given_up(since: Instant) -> bool {
    let now = now();
    if STOPPED.get().is_some_and(|stopped| PATIENCE <= now - *stopped) {
        return true;
    }
    let over = *OVER.lock().unwrap_or_else(PoisonError::into_inner);
    over.is_some_and(|over| PATIENCE <= now.saturating_duration_since(over.max(since)))
}

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
            Self::Stdout => {
                let mut out = stdout();
                write(&mut out).and_then(|()| out.flush())
            }
            Self::Stderr => write(&mut Lock::Stderr(stderr())),
        }
    }
}

/// Standard output, whose errors say what has failed.
pub(super) fn stdout() -> Lock {
    Lock::Stdout(Lines { out: io::stdout().lock(), text: Vec::new() })
}

/// The kind stays what it is, so that a closed pipe is known as one.
fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write standard output: {error}"))
}

/// One of both, for as long as something is written.
#[derive(Debug)]
pub(super) enum Lock {
    Stdout(Lines),
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

/// Standard output, which gets whole lines, and the rest when it is flushed or dropped.
#[derive(Debug)]
pub(super) struct Lines {
    /// Nobody else writes meanwhile. Its own buffer stays empty, since what is written from that waits for ever.
    out: StdoutLock<'static>,
    text: Vec<u8>,
}

impl Lines {
    /// Writes what is in front of this place. What cannot be written is lost.
    fn write_until(&mut self, end: usize) -> io::Result<()> {
        let text: Vec<u8> = self.text.drain(..end).collect();
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            self.wait_for_room()?;
            match rustix::io::write(&self.out, &rest[..rest.len().min(WRITE_MAX)]) {
                Ok(len) => rest = &rest[len..],
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until something can be written without a wait, or that fails at once.
    fn wait_for_room(&self) -> io::Result<()> {
        let since = now();
        loop {
            let [state] = ready([(self.out.as_fd(), Interest::Write)], Some(LOOK_EVERY))?;
            if state.writable {
                return Ok(());
            }
            if is_given_up(since) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"));
            }
        }
    }
}

impl Write for Lines {
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

impl Drop for Lines {
    fn drop(&mut self) {
        // Whoever wants to know whether it was written has flushed it.
        let _ = self.flush();
    }
}
