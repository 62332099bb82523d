//! Receiving signals through a descriptor: signalfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::sys;
use crate::sys::sigmask::SignalSet;

/// A signal that a program may want to handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C on the terminal.
    Interrupt,
    /// SIGTERM: the usual request of a service manager to stop.
    Terminate,
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// SIGUSR1: a meaning that the program defines.
    User1,
    /// SIGQUIT: Ctrl-\ on the terminal.
    Quit,
}

/// Receives signals that would otherwise end the process, until it is dropped.
///
/// Create it before the first thread, because threads inherit the signal mask. When it is dropped,
/// the signals have their usual effect again, so a second Ctrl-C ends a program that is slow to
/// stop.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    blocked: SignalSet,
}

impl Signals {
    /// Blocks the signals and starts to receive them.
    ///
    /// # Errors
    ///
    /// As signalfd(2).
    pub fn receive(signals: &[Signal]) -> io::Result<Self> {
        let numbers: Vec<i32> = signals.iter().map(|signal| signal.number()).collect();
        let blocked = SignalSet::of(&numbers)?;
        sys::sigmask::change_mask(libc::SIG_BLOCK, &blocked)?;
        Ok(Self { fd: sys::process::signalfd(&blocked)?, blocked })
    }

    /// Returns the next pending signal, or `None` if no signal is pending.
    ///
    /// # Errors
    ///
    /// As read(2).
    pub fn next(&self) -> io::Result<Option<Signal>> {
        match sys::process::read_signal(self.fd.as_fd()) {
            Ok(libc::SIGINT) => Ok(Some(Signal::Interrupt)),
            Ok(libc::SIGHUP) => Ok(Some(Signal::Hangup)),
            Ok(libc::SIGUSR1) => Ok(Some(Signal::User1)),
            Ok(libc::SIGQUIT) => Ok(Some(Signal::Quit)),
            Ok(_) => Ok(Some(Signal::Terminate)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Pending signals would otherwise take effect as soon as they are unblocked.
        while matches!(self.next(), Ok(Some(_))) {}
        // An error is impossible: the same set was valid when the signals were blocked.
        let _ = sys::sigmask::change_mask(libc::SIG_UNBLOCK, &self.blocked);
    }
}

impl Signal {
    /// Every signal of this type.
    pub const ALL: [Self; 5] = [Self::Interrupt, Self::Terminate, Self::Hangup, Self::User1, Self::Quit];

    /// Sends the signal to another process: kill(2).
    ///
    /// # Errors
    ///
    /// As kill(2).
    #[doc(alias = "kill")]
    pub fn send(self, pid: u32) -> io::Result<()> {
        sys::process::kill(pid, self.number())
    }

    /// Returns whether this process ignores the signal, as a process that nohup(1) has started
    /// ignores SIGHUP. [`Signals`] receives ignored signals too.
    ///
    /// # Errors
    ///
    /// As sigaction(2).
    #[doc(alias = "sigaction")]
    #[doc(alias = "SIG_IGN")]
    pub fn is_ignored(self) -> io::Result<bool> {
        sys::process::is_ignored(self.number())
    }

    fn number(self) -> i32 {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::Hangup => libc::SIGHUP,
            Self::User1 => libc::SIGUSR1,
            Self::Quit => libc::SIGQUIT,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
