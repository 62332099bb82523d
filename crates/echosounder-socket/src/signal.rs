//! Signals as something to wait for: signalfd(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;
use crate::sys::process::SignalSet;

/// A signal that asks the process for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: a person at the keyboard asks.
    Interrupt,
    /// SIGTERM: a program asks.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGUSR1: somebody wants to know how things stand.
    User1,
    /// SIGQUIT: a person at the keyboard wants to know it, with Ctrl-\.
    Quit,
}

/// Receives some signals instead of dying of them, until it is dropped.
///
/// Made before the first thread, since threads inherit what is blocked. When it is dropped the signals have
/// their usual effect again, so a second Ctrl-C ends a program that is slow to end.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    blocked: SignalSet,
}

impl Signals {
    /// Starts to receive the signals.
    ///
    /// # Errors
    ///
    /// As signalfd(2).
    pub fn receive(signals: &[Signal]) -> io::Result<Self> {
        let numbers: Vec<i32> = signals.iter().map(|signal| signal.number()).collect();
        let blocked = SignalSet::of(&numbers)?;
        sys::process::change_mask(libc::SIG_BLOCK, &blocked)?;
        Ok(Self { fd: sys::process::signalfd(&blocked)?, blocked })
    }

    /// The next signal that has come, if one has.
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
        // What has come and was not asked for would take its usual effect at once.
        while matches!(self.next(), Ok(Some(_))) {}
        // It succeeded when the signals were blocked, and there is nobody to tell.
        let _ = sys::process::change_mask(libc::SIG_UNBLOCK, &self.blocked);
    }
}

impl Signal {
    /// Every signal that can be received.
    pub const ALL: [Self; 5] = [Self::Interrupt, Self::Terminate, Self::Hangup, Self::User1, Self::Quit];

    /// Sends it to another process: kill(2).
    ///
    /// # Errors
    ///
    /// As kill(2).
    #[doc(alias = "kill")]
    pub fn send(self, pid: u32) -> io::Result<()> {
        sys::process::kill(pid, self.number())
    }

    /// Returns whether this process ignores the signal, as one that nohup(1) has started ignores SIGHUP. A signal that
    /// is [received](Signals::receive) comes nevertheless.
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
