//! How long calls wait: the three modes of a socket, and what a signal does to a wait.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::poll::{Interest, ready, ready_once};
use crate::sys;

/// What is asked when a signal has interrupted a call: whether to go on.
static INTERRUPT_HOOK: OnceLock<fn() -> io::Result<()>> = OnceLock::new();

/// Sets what is called when a signal handler has interrupted a call of a [`Socket`](crate::Socket) (EINTR,
/// signal(7)), or may have: one that has come while something was sent only shortens that. A handler with SA_RESTART is
/// never noticed. If it returns an error, the call ends with that; otherwise it goes on, under the deadline it had.
/// Without a hook every call goes on.
///
/// It is set once for the process, as the handlers are.
///
/// # Errors
///
/// If there is one already.
///
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static STOP: AtomicBool = AtomicBool::new(false);
///
/// echosounder_socket::set_interrupt_hook(|| match STOP.load(Ordering::Relaxed) {
///     true => Err(io::ErrorKind::Interrupted.into()),
///     false => Ok(()),
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[doc(alias = "EINTR")]
#[doc(alias = "PyErr_CheckSignals")]
pub fn set_interrupt_hook(hook: fn() -> io::Result<()>) -> io::Result<()> {
    INTERRUPT_HOOK
        .set(hook)
        .map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "there is a hook already"))
}

/// Whether to go on after a signal.
pub(crate) fn interrupted() -> io::Result<()> {
    INTERRUPT_HOOK.get().map_or(Ok(()), |hook| hook())
}

/// How long the calls of a socket wait, changeable while it is used.
#[derive(Debug)]
pub(crate) struct Timeout {
    /// In nanoseconds; zero never waits, [`Self::NONE`] waits for ever.
    nanos: AtomicU64,
}

impl Timeout {
    const NONE: u64 = u64::MAX;

    pub(crate) fn of(timeout: Option<Duration>) -> Self {
        Self { nanos: AtomicU64::new(Self::encode(timeout)) }
    }

    pub(crate) fn set(&self, timeout: Option<Duration>) {
        self.nanos.store(Self::encode(timeout), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        Some(self.nanos.load(Ordering::Relaxed))
            .filter(|&nanos| nanos != Self::NONE)
            .map(Duration::from_nanos)
    }

    fn encode(timeout: Option<Duration>) -> u64 {
        // 584 years are as good as any longer time.
        let nanos =
            |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).min(Self::NONE - 1);
        timeout.map_or(Self::NONE, nanos)
    }
}

/// The waits of one call, all under one deadline.
#[derive(Debug)]
pub(crate) struct Waits {
    /// How long they may be together, if this call waits here rather than in the kernel or not at all.
    limit: Option<Duration>,
    /// Whether it waits here for ever, if there is no limit and the descriptor does not block.
    patient: bool,
    /// Set when the first begins.
    deadline: Option<Instant>,
    /// How often in a row a wait has promised that the call can be done, and it could not.
    false_alarms: u32,
}

/// The longest pause behind a false alarm.
const PAUSE_MAX: Duration = Duration::from_millis(32);

impl Waits {
    pub(crate) fn of(timeout: Option<Duration>) -> Self {
        let limit = timeout.filter(|timeout| !timeout.is_zero());
        Self { limit, patient: false, deadline: None, false_alarms: 0 }
    }

    /// The same, but without a timeout it waits also where others have made the descriptor such that the kernel does not.
    pub(crate) fn patient(timeout: Option<Duration>) -> Self {
        Self { patient: timeout.is_none(), ..Self::of(timeout) }
    }

    /// Starts the clock now rather than at the first wait.
    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    /// Forgets how long the waits have been so far.
    pub(crate) fn restart(&mut self) {
        self.deadline = None;
    }

    /// Whether a call that would block waits for it here.
    pub(crate) fn any(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether a call that would block now waits for it here. One that would block although the descriptor does so has
    /// waited in the kernel, for as long as SO_RCVTIMEO or SO_SNDTIMEO says.
    fn waits_here(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(self.any() || self.patient && sys::socket::is_nonblocking(fd)?)
    }

    /// Calls until it is done: first without a wait, and again whenever a wait promises that it can be.
    pub(crate) fn call<T>(
        &mut self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupted()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.waits_here(fd)? => {
                    self.wait(fd, interest)?
                }
                result => {
                    self.false_alarms = 0;
                    return result;
                }
            }
        }
    }

    /// Waits until the descriptor is ready; without a limit, for ever.
    ///
    /// # Errors
    ///
    /// `TimedOut`, without a number of the kernel's, when the time is up.
    pub(crate) fn wait(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        // The call has just been tried; a descriptor that is always ready must not make it go on for ever.
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
                // Of a time too long for poll(2) something may be left.
                Ok(false) if self.left() == Some(Duration::ZERO) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupted()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets a while pass behind false alarms, longer with each. Some sockets are ready whatever can be done: a UNIX
    /// datagram socket without a peer to write, one with something in its queue of errors to read.
    fn pause(&self) -> io::Result<()> {
        let Some(doublings) = self.false_alarms.checked_sub(1) else { return Ok(()) };
        let pause = Duration::from_millis(1 << doublings.min(5)).min(PAUSE_MAX);
        let pause = self.left().map_or(pause, |left| left.min(pause));
        ready([], Some(pause)).map(drop)
    }

    /// How long it may still wait; `None` for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now()))
    }

    fn start(&mut self) {
        if self.deadline.is_none() {
            // A time that the clock will never show is as good as none.
            self.deadline = self.limit.and_then(|limit| now().checked_add(limit));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline is kept where the wait is")]
fn now() -> Instant {
    Instant::now()
}
