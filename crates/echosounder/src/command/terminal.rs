//! The terminal of a conversation: its modes, its cursor reports, and the rest of its input at the
//! end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use echosounder_socket::{Interest, ready};
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

/// How long to wait for a cursor report: longer than the round trip of a slow line.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// How long the terminal must be silent for its input to count as complete.
const QUIET: Duration = Duration::from_millis(50);

/// How long input is discarded at most.
const DISCARD_MAX: Duration = Duration::from_secs(2);

/// Requests a cursor position report: DSR, replied to by CPR (ECMA-48).
const REQUEST_CURSOR: &[u8] = b"\x1b[6n";

/// Turns bracketed paste on, so that a pasted line end is text and not the Enter key (xterm control
/// sequences).
const MARK_PASTES: &[u8] = b"\x1b[?2004h";

/// Turns bracketed paste off.
const MARK_NO_PASTES: &[u8] = b"\x1b[?2004l";

/// A terminal on standard input. Dropping it discards the rest of a paste, so that the shell does
/// not run it, and restores the modes.
#[derive(Debug)]
pub(crate) struct Terminal {
    original: Termios,
    marks_pastes: bool,
}

impl Terminal {
    /// Returns the terminal on standard input. This process must be in its foreground process
    /// group: otherwise a change of the modes stops the process (SIGTTOU, termios(3)).
    pub(crate) fn of_input() -> io::Result<Self> {
        Ok(Self { original: tcgetattr(io::stdin())?, marks_pastes: false })
    }

    /// Turns echo and line editing off: keys can be read at once and are not shown. Ctrl-C still
    /// sends a signal.
    pub(crate) fn stop_echo(&self) -> io::Result<()> {
        let mut modes = self.original.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Turns echo and line editing on again.
    pub(crate) fn restore(&self) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.original)?)
    }

    /// Turns bracketed paste on until this is dropped.
    pub(crate) fn mark_pastes(&mut self) -> io::Result<()> {
        self.marks_pastes = true;
        write(MARK_PASTES)
    }

    /// Returns whether the terminal reports the position of its cursor, which the line editor
    /// requests before each prompt, and the keys that were pressed before the report. Echo must be
    /// off.
    pub(crate) fn reports_cursor(&self) -> io::Result<(bool, Vec<u8>)> {
        write(REQUEST_CURSOR)?;
        let deadline = now() + REPORT_WAIT;
        let mut typed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() || !has_input(left)? {
                return Ok((false, typed));
            }
            let mut chunk = [0; 256];
            // A copy of the descriptor is read, since the buffer of std's stdin would keep bytes
            // that are not taken here.
            let len = input()?.read(&mut chunk)?;
            typed.extend_from_slice(&chunk[..len]);
            if remove_cursor_report(&mut typed) {
                return Ok((true, typed));
            }
            if len == 0 {
                return Ok((false, typed));
            }
        }
    }

    /// Discards input until nothing more arrives: a long paste arrives in several parts.
    fn discard_input() -> io::Result<()> {
        let deadline = now() + DISCARD_MAX;
        loop {
            tcflush(io::stdin(), QueueSelector::IFlush)?;
            if !has_input(QUIET)? || deadline <= now() {
                return Ok(());
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It fails if the terminal is closed. Then nothing is left to restore.
        let _ = self.stop_echo().and_then(|()| Self::discard_input());
        if self.marks_pastes {
            let _ = write(MARK_NO_PASTES);
        }
        let _ = self.restore();
    }
}

/// Returns a function that restores the modes of the terminal on standard input, for a process that
/// a signal is about to kill.
pub(crate) fn restorer() -> io::Result<impl FnOnce() + Send + 'static> {
    let original = tcgetattr(io::stdin())?;
    Ok(move || {
        // Nothing can be done about an error now.
        let _ = write(MARK_NO_PASTES);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &original);
    })
}

/// Discards output that the terminal has not shown yet.
pub(crate) fn discard_output() {
    // If it fails, the output is shown late.
    let _ = tcflush(io::stdout(), QueueSelector::OFlush);
}

/// Removes the first cursor report from the input. Returns whether there was one.
fn remove_cursor_report(typed: &mut Vec<u8>) -> bool {
    for start in 0..typed.len() {
        let Some(rest) = typed[start..].strip_prefix(b"\x1b[") else { continue };
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let row = digits(rest);
        let Some(after) = rest[row..].strip_prefix(b";") else { continue };
        let column = digits(after);
        if row != 0 && column != 0 && after.get(column) == Some(&b'R') {
            typed.drain(start..start + 2 + row + 1 + column + 1);
            return true;
        }
    }
    false
}

/// Standard input without a cursor report that has arrived too late.
#[derive(Debug)]
pub(crate) struct WithoutCursorReport(pub(crate) File);

impl Read for WithoutCursorReport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buffer)?;
        let mut typed = buffer[..len].to_vec();
        if !remove_cursor_report(&mut typed) {
            return Ok(len);
        }
        buffer[..typed.len()].copy_from_slice(&typed);
        // An empty read would mean the end of the input.
        if typed.is_empty() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(typed.len()) }
    }
}

impl AsFd for WithoutCursorReport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Returns standard input without a buffer.
pub(crate) fn input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

fn has_input(wait: Duration) -> io::Result<bool> {
    ready([(io::stdin().as_fd(), Interest::READ)], Some(wait)).map(|[input]| input.can_read())
}

/// Writes a few bytes to the terminal, or nothing if it accepts none now: it may be stopped
/// (Ctrl-S).
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let out = io::stdout();
    let [writable] = ready([(out.as_fd(), Interest::WRITE)], Some(Duration::ZERO))?;
    // The lock of std's stdout is avoided: a thread that waits in a write may hold it.
    let mut out = File::from(out.as_fd().try_clone_to_owned()?);
    if writable.can_write() { out.write_all(bytes) } else { Ok(()) }
}

#[expect(clippy::disallowed_methods, reason = "waits for the terminal are short and measured here")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_report_is_separated_from_typed_keys() {
        for (typed, is_there, left) in [
            (&b"\x1b[1;1R"[..], true, &b""[..]),
            (b"hel\x1b[12;140Rlo\r", true, b"hello\r"),
            (b"\x1b[A\x1b[2;3R", true, b"\x1b[A"),
            (b"\x1b[12;", false, b"\x1b[12;"),
            (b"\x1b[;1R\x1b[1;R\x1b[1R", false, b"\x1b[;1R\x1b[1;R\x1b[1R"),
            (b"", false, b""),
        ] {
            let mut bytes = typed.to_vec();
            assert_eq!((remove_cursor_report(&mut bytes), &bytes[..]), (is_there, left), "{typed:?}");
        }
    }
}
