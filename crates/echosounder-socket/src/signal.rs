//! Receiving signals through a descriptor: signalfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::sys;
use crate::sys::sigmask::SignalSet;

/// A signal that ends a process unless the program handles it: signal(7).
///
/// [`Signals`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C on the terminal.
    #[doc(alias = "SIGINT")]
    Interrupt,
    /// SIGTERM: the usual request of a service manager to stop.
    #[doc(alias = "SIGTERM")]
    Terminate,
    /// SIGHUP: the terminal was closed.
    #[doc(alias = "SIGHUP")]
    Hangup,
    /// SIGUSR1: a meaning that the program defines.
    #[doc(alias = "SIGUSR1")]
    User1,
    /// SIGQUIT: Ctrl-\ on the terminal.
    #[doc(alias = "SIGQUIT")]
    Quit,
    /// SIGUSR2: a meaning that the program defines.
    #[doc(alias = "SIGUSR2")]
    User2,
    /// SIGALRM: the end of a time that a process has set by alarm(2).
    #[doc(alias = "SIGALRM")]
    Alarm,
}

/// Receives signals that would otherwise end the process, until it is dropped: signalfd(2).
///
/// It is readable while a signal is pending. Wait for it with a [`Poll`](crate::Poll) or with
/// [`ready`](crate::ready()), and then call [`next`](Self::next).
///
/// The signals are blocked in this thread and in the threads that it creates later. Create it
/// before the first other thread, since a signal ends the process if any thread does not block it.
/// Programs that this thread executes inherit the blocked signals: sigprocmask(2). When it is
/// dropped, this thread blocks the signals no longer and they have their usual effect again, so a
/// second Ctrl-C ends a program that is slow to stop.
///
/// The signal mask belongs to the thread, not to this object. Drop it in the thread that has created
/// it. The drop also unblocks signals that were blocked before, or that another `Signals` of the same
/// thread receives.
///
/// ```
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// use echosounder_socket::{Interest, Signal, Signals, ready};
///
/// let signals = Signals::receive(&[Signal::Interrupt, Signal::Terminate])?;
/// let [state] = ready([(signals.as_fd(), Interest::READ)], Some(Duration::ZERO))?;
/// if state.can_read() {
///     println!("stopped by {:?}", signals.next()?);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "signalfd")]
pub struct Signals {
    fd: OwnedFd,
    blocked: SignalSet,
}

impl Signals {
    /// Blocks the signals in this thread and starts to receive them. The descriptor is non-blocking
    /// and close-on-exec.
    ///
    /// # Errors
    ///
    /// As signalfd(2): EMFILE if the process has no descriptor left.
    pub fn receive(signals: &[Signal]) -> io::Result<Self> {
        let numbers: Vec<i32> = signals.iter().map(|signal| signal.number()).collect();
        let blocked = SignalSet::of(&numbers)?;
        // Created first, so that a failure leaves no signal blocked.
        let fd = sys::process::signalfd(&blocked)?;
        sys::sigmask::change_mask(libc::SIG_BLOCK, &blocked)?;
        Ok(Self { fd, blocked })
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
            Ok(libc::SIGUSR2) => Ok(Some(Signal::User2)),
            Ok(libc::SIGALRM) => Ok(Some(Signal::Alarm)),
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
    pub const ALL: &[Self] =
        &[Self::Interrupt, Self::Terminate, Self::Hangup, Self::User1, Self::Quit, Self::User2, Self::Alarm];

    /// Sends the signal to a process: kill(2).
    ///
    /// # Errors
    ///
    /// As kill(2): ESRCH if there is no such process, EPERM if it belongs to another user.
    /// `InvalidInput` if `pid` is 0 or does not fit the kernel's type, which would mean several
    /// processes.
    ///
    /// ```no_run
    /// use std::process::Command;
    ///
    /// use echosounder_socket::Signal;
    ///
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// Signal::Terminate.send(child.id())?;
    /// child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
    ///
    /// ```
    /// use echosounder_socket::{Signal, Signals};
    ///
    /// // Leave the effect of nohup(1).
    /// let mut wanted = vec![Signal::Interrupt, Signal::Terminate];
    /// if !Signal::Hangup.is_ignored()? {
    ///     wanted.push(Signal::Hangup);
    /// }
    /// let _signals = Signals::receive(&wanted)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
            Self::User2 => libc::SIGUSR2,
            Self::Alarm => libc::SIGALRM,
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
