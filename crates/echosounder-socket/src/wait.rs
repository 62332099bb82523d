//! Waiting within a call: timeouts, and interruption by signals.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::poll::{Interest, poll_once, ready_once};
use crate::sys;

/// The function that decides whether an interrupted call is continued.
static INTERRUPT_HOOK: OnceLock<fn() -> io::Result<()>> = OnceLock::new();

/// Sets the function that is called when a signal handler may have interrupted a call of a
/// [`Socket`](crate::Socket): after EINTR, and after a send that was cut short (signal(7)).
///
/// If the function returns an error, the call returns that error. Otherwise, and without a hook,
/// the call continues under its original deadline. A handler installed with SA_RESTART does not
/// interrupt calls. Like signal handlers, the hook is set for the whole process.
///
/// An error of the kind [`Interrupted`](io::ErrorKind::Interrupted) becomes one of the kind
/// [`Other`](io::ErrorKind::Other), with the hook's error inside: the loops of std, for example
/// [`read_to_end`](io::Read::read_to_end) and [`write_all`](io::Write::write_all), repeat a call that
/// returns `Interrupted`.
///
/// # Errors
///
/// `AlreadyExists` if a hook is set.
///
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static STOP: AtomicBool = AtomicBool::new(false);
///
/// echosounder_socket::set_interrupt_hook(|| match STOP.load(Ordering::Relaxed) {
///     true => Err(io::Error::other("stopped by a signal")),
///     false => Ok(()),
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[doc(alias = "EINTR")]
#[doc(alias = "PyErr_CheckSignals")]
pub fn set_interrupt_hook(hook: fn() -> io::Result<()>) -> io::Result<()> {
    INTERRUPT_HOOK
        .set(hook)
        .map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "the interrupt hook is already set"))
}

/// Calls the hook after a signal.
pub(crate) fn interrupted() -> io::Result<()> {
    let result = INTERRUPT_HOOK.get().map_or(Ok(()), |hook| hook());
    result.map_err(|error| match error.kind() {
        // std's loops would repeat the call.
        io::ErrorKind::Interrupted => io::Error::other(error),
        _ => error,
    })
}

/// The timeout of a socket, which can be changed while other threads use the socket.
#[derive(Debug)]
pub(crate) struct Timeout {
    /// Nanoseconds. Zero means no waiting, [`Self::NONE`] no limit, and [`Self::OF_DESCRIPTOR`] that
    /// the blocking mode of the descriptor decides.
    nanos: AtomicU64,
}

impl Timeout {
    const NONE: u64 = u64::MAX;
    const OF_DESCRIPTOR: u64 = u64::MAX - 1;

    /// Returns the timeout of a socket whose calls wait in the kernel or not at all, as the
    /// descriptor's blocking mode is at that moment.
    pub(crate) fn of_descriptor() -> Self {
        Self { nanos: AtomicU64::new(Self::OF_DESCRIPTOR) }
    }

    pub(crate) fn is_of_descriptor(&self) -> bool {
        self.nanos.load(Ordering::Relaxed) == Self::OF_DESCRIPTOR
    }

    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        Self { nanos: AtomicU64::new(Self::encode(timeout)) }
    }

    pub(crate) fn set(&self, timeout: Option<Duration>) {
        self.nanos.store(Self::encode(timeout), Ordering::Relaxed);
    }

    /// Returns the timeout of this crate's own waiting; `None` if the kernel waits, if anything.
    pub(crate) fn get(&self) -> Option<Duration> {
        Some(self.nanos.load(Ordering::Relaxed))
            .filter(|&nanos| nanos < Self::OF_DESCRIPTOR)
            .map(Duration::from_nanos)
    }

    fn encode(timeout: Option<Duration>) -> u64 {
        // A longer timeout than 584 years becomes 584 years.
        let nanos = |timeout: Duration| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).min(Self::OF_DESCRIPTOR - 1)
        };
        timeout.map_or(Self::NONE, nanos)
    }
}

/// The waiting of one call: an operation may have to wait several times, always under one deadline.
#[derive(Debug)]
pub(crate) struct CallWait {
    /// The timeout; `None` if the call waits in the kernel or not at all.
    limit: Option<Duration>,
    /// Whether a call without a timeout waits with poll(2) if the descriptor is non-blocking.
    polls_without_limit: bool,
    /// Set when the first wait begins.
    deadline: Option<Instant>,
    /// Number of consecutive waits after which the operation would still have blocked.
    false_alarms: u32,
    /// Whether the hook for interrupted calls has returned an error.
    is_stopped: bool,
}

/// The longest pause after a false alarm.
const PAUSE_MAX: Duration = Duration::from_millis(32);

impl CallWait {
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let limit = timeout.filter(|timeout| !timeout.is_zero());
        Self { limit, polls_without_limit: false, deadline: None, false_alarms: 0, is_stopped: false }
    }

    /// Returns a wait that, without a timeout, also waits if a duplicate has made the descriptor
    /// non-blocking.
    pub(crate) fn in_any_mode(timeout: Option<Duration>) -> Self {
        Self { polls_without_limit: timeout.is_none(), ..Self::new(timeout) }
    }

    /// Grants the whole timeout again.
    pub(crate) fn restart(&mut self) {
        self.deadline = None;
    }

    /// Calls the hook after a signal.
    pub(crate) fn interrupted(&mut self) -> io::Result<()> {
        interrupted().inspect_err(|_| self.is_stopped = true)
    }

    /// Returns whether the error of the call is that of the hook.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Returns whether an operation that would block waits with poll(2), up to a limit.
    pub(crate) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// Returns whether to wait with poll(2) after an operation returned `WouldBlock`. On a blocking
    /// descriptor that error means that SO_RCVTIMEO or SO_SNDTIMEO has expired.
    fn polls(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(self.has_limit() || self.polls_without_limit && sys::socket::is_nonblocking(fd)?)
    }

    /// Carries out an operation: first without waiting, then again whenever poll(2) reports the
    /// descriptor ready.
    pub(crate) fn call<T>(
        &mut self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.interrupted()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.polls(fd)? => {
                    self.until_ready(fd, interest)?
                }
                result => {
                    self.false_alarms = 0;
                    return result;
                }
            }
        }
    }

    /// Waits until the descriptor is ready or the deadline has passed.
    ///
    /// # Errors
    ///
    /// `TimedOut`, without an error number, after the deadline.
    pub(crate) fn until_ready(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        // Checked before poll(2) too: a descriptor that is always ready would otherwise keep the
        // call going for ever.
        if self.left() == Some(Duration::ZERO) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.start();
        self.pause()?;
        loop {
            match ready_once(fd, interest, self.left()) {
                Ok(true) => {
                    self.false_alarms += 1;
                    return Ok(());
                }
                // poll(2) may end before a deadline that is more than 24 days away.
                Ok(false) if self.left() == Some(Duration::ZERO) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.interrupted()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Pauses after false alarms, longer after each. poll(2) reports some sockets as ready although
    /// the operation would block: an unconnected UNIX datagram socket as writable, a socket with a
    /// queued error as readable.
    fn pause(&mut self) -> io::Result<()> {
        let Some(doublings) = self.false_alarms.checked_sub(1) else { return Ok(()) };
        let pause = Duration::from_millis(1 << doublings.min(5)).min(PAUSE_MAX);
        let pause = self.left().map_or(pause, |left| left.min(pause));
        match poll_once(&mut [], Some(pause)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.interrupted(),
            result => result.map(drop),
        }
    }

    /// Returns the time until the deadline; `None` means no limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now()))
    }

    /// Sets the deadline now rather than at the first wait.
    pub(crate) fn start(&mut self) {
        if self.deadline.is_none() {
            // A deadline beyond the range of the clock means no limit.
            self.deadline = self.limit.and_then(|limit| now().checked_add(limit));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a wait in the kernel needs the real clock")]
fn now() -> Instant {
    Instant::now()
}
