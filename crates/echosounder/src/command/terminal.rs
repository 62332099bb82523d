//! The terminal that a conversation is typed on: its modes, whether it answers, and what is left of its input.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use echosounder_socket::{Interest, ready};
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

/// How long the terminal may take to say where its cursor is: longer than a slow line takes there and back.
const REPORT: Duration = Duration::from_secs(1);

/// How long nothing must come from the terminal until its input counts as over.
const QUIET: Duration = Duration::from_millis(50);

/// How long input is thrown away at most.
const LEFTOVER: Duration = Duration::from_secs(2);

/// Asks the terminal where the cursor is: DSR, answered by CPR (ECMA-48).
const ASK_POSITION: &[u8] = b"\x1b[6n";

/// Has the terminal mark what is pasted, so that pasted line ends are text and not the Enter key.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
const MARK_NO_PASTES: &[u8] = b"\x1b[?2004l";

/// A terminal on standard input. When this is dropped, what is left of a paste is thrown away, so that the shell does
/// not run it, and the terminal is as it was.
#[derive(Debug)]
pub(crate) struct Terminal {
    original: Termios,
    marks_pastes: bool,
}

impl Terminal {
    /// Returns the terminal on standard input. This process must be in its foreground, or changes of its modes would stop
    /// it (SIGTTOU, termios(3)).
    pub(crate) fn of_input() -> io::Result<Self> {
        Ok(Self { original: tcgetattr(io::stdin())?, marks_pastes: false })
    }

    /// Stops echoing what is typed, and hands it on key by key. Ctrl-C is a signal all the same.
    pub(crate) fn stop_echo(&self) -> io::Result<()> {
        let mut modes = self.original.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Echoes and edits lines again.
    pub(crate) fn restore(&self) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.original)?)
    }

    /// Has pastes marked, until the end.
    pub(crate) fn mark_pastes(&mut self) -> io::Result<()> {
        self.marks_pastes = true;
        write(MARK_PASTES)
    }

    /// Whether the terminal tells where its cursor is, which the line editor asks before each prompt; and what was typed
    /// before it did. It must not echo.
    pub(crate) fn tells_position(&self) -> io::Result<(bool, Vec<u8>)> {
        write(ASK_POSITION)?;
        let deadline = now() + REPORT;
        let mut typed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() || !has_input(left)? {
                return Ok((false, typed));
            }
            let mut chunk = [0; 256];
            // Through a copy of the descriptor, since the library's own buffer would keep what we do not take.
            let len = input()?.read(&mut chunk)?;
            typed.extend_from_slice(&chunk[..len]);
            if remove_position(&mut typed) {
                return Ok((true, typed));
            }
            if len == 0 {
                return Ok((false, typed));
            }
        }
    }

    /// Throws away what has been typed and not read, until nothing more comes: a long paste comes in pieces.
    fn discard_input() -> io::Result<()> {
        let deadline = now() + LEFTOVER;
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
        // A terminal that has gone has nothing to be put in order.
        let _ = self.stop_echo().and_then(|()| Self::discard_input());
        if self.marks_pastes {
            let _ = write(MARK_NO_PASTES);
        }
        let _ = self.restore();
    }
}

/// Throws away what was written to the terminal and is not shown yet.
pub(crate) fn discard_output() {
    // What cannot be thrown away is shown late.
    let _ = tcflush(io::stdout(), QueueSelector::OFlush);
}

/// Removes the first report of a cursor position; whether there was one is returned.
fn remove_position(typed: &mut Vec<u8>) -> bool {
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

/// Standard input, without the report of a position that has come too late.
#[derive(Debug)]
pub(crate) struct WithoutPosition(pub(crate) File);

impl Read for WithoutPosition {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buffer)?;
        let mut typed = buffer[..len].to_vec();
        if !remove_position(&mut typed) {
            return Ok(len);
        }
        buffer[..typed.len()].copy_from_slice(&typed);
        // Nothing at all would be the end.
        if typed.is_empty() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(typed.len()) }
    }
}

impl AsFd for WithoutPosition {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A copy of standard input that keeps nothing back.
pub(crate) fn input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

fn has_input(wait: Duration) -> io::Result<bool> {
    ready([(io::stdin().as_fd(), Interest::Read)], Some(wait)).map(|[input]| input.readable)
}

/// Writes a little to the terminal, unless that would have to wait: it may be stopped.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let out = io::stdout();
    let [writable] = ready([(out.as_fd(), Interest::Write)], Some(Duration::ZERO))?;
    // Past the library's lock, which a thread that is stuck may have.
    let mut out = File::from(out.as_fd().try_clone_to_owned()?);
    if writable.writable { out.write_all(bytes) } else { Ok(()) }
}

#[expect(clippy::disallowed_methods, reason = "what a terminal may take is measured where it is waited for")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_from_what_was_typed() {
        for (typed, is_there, left) in [
            (&b"\x1b[1;1R"[..], true, &b""[..]),
            (b"hel\x1b[12;140Rlo\r", true, b"hello\r"),
            (b"\x1b[A\x1b[2;3R", true, b"\x1b[A"),
            (b"\x1b[12;", false, b"\x1b[12;"),
            (b"\x1b[;1R\x1b[1;R\x1b[1R", false, b"\x1b[;1R\x1b[1;R\x1b[1R"),
            (b"", false, b""),
        ] {
            let mut bytes = typed.to_vec();
            assert_eq!((remove_position(&mut bytes), &bytes[..]), (is_there, left), "{typed:?}");
        }
    }
}
