//! Waiting for sockets: many, level-triggered, with epoll(7); a few with poll(2).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::sys;

/// What is waited for. Errors and hang-ups are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or to accept.
    Read,
    /// Room to write.
    Write,
    /// Either.
    Both,
    /// Something to accept, on a socket that several polls wait for: one of them is told (EPOLLEXCLUSIVE).
    /// It cannot be modified, only removed.
    ReadExclusive,
}

impl Interest {
    fn bits(self) -> i32 {
        match self {
            Self::Read => libc::EPOLLIN,
            Self::Write => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
            Self::ReadExclusive => libc::EPOLLIN | libc::EPOLLEXCLUSIVE,
        }
    }

    fn epoll_bits(self) -> u32 {
        self.bits().cast_unsigned()
    }
}

/// What a socket is ready for. One with an error or a hang-up is ready for both: either call tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A read will not wait.
    pub readable: bool,
    /// A write will not wait.
    pub writable: bool,
}

impl Readiness {
    fn of(bits: i32) -> Self {
        let failed = bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
        Self { readable: failed || bits & libc::EPOLLIN != 0, writable: failed || bits & libc::EPOLLOUT != 0 }
    }
}

/// A set of descriptors to wait for: epoll(7), level-triggered.
///
/// A descriptor leaves the set by itself when the last copy of it is closed.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// As epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: sys::poll::create()? })
    }

    /// Adds a descriptor; its events will carry `token`.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2).
    pub fn add(&self, fd: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_fd(), token, interest)
    }

    /// Changes what a descriptor is waited for.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2).
    pub fn modify(&self, fd: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_fd(), token, interest)
    }

    /// Takes a descriptor out of the set.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2).
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_fd(), 0, Interest::Read)
    }

    /// Waits until something is ready or the time is up, and replaces `events` by what is ready. A signal ends
    /// the wait early, with nothing ready.
    ///
    /// # Errors
    ///
    /// As epoll_wait(2).
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match sys::poll::wait(self.epoll.as_fd(), &mut events.list, millis(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// The same with a time that is kept to the nanosecond where the kernel can (Linux 5.11) and a seccomp filter lets
    /// it, and otherwise rounded up to a millisecond.
    ///
    /// # Errors
    ///
    /// As epoll_wait(2).
    #[doc(alias = "epoll_pwait2")]
    pub fn wait_precise(&self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        match sys::poll::wait_precise(self.epoll.as_fd(), &mut events.list, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if sys::is_missing(&error) => self.wait(events, Some(timeout)),
            result => result,
        }
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        sys::poll::control(self.epoll.as_fd(), operation, fd, interest.epoll_bits(), token)
    }
}

/// Room for what one [`Poll::wait`] tells.
pub struct Events {
    list: Vec<libc::epoll_event>,
}

impl Events {
    /// Room for so many events at a time; what does not fit is told by the next wait.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity.max(1)) }
    }

    /// The event of this number, if there is one.
    pub fn get(&self, index: usize) -> Option<Event> {
        let event = self.list.get(index)?;
        Some(Event { token: event.u64, ready: Readiness::of(event.events.cast_signed()) })
    }

    /// Whether nothing was ready.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.list.len()).filter_map(|index| self.get(index))).finish()
    }
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it was added with.
    pub token: u64,
    /// What it is ready for.
    pub ready: Readiness,
}

/// Waits until one of a few descriptors is ready or the time is up: poll(2). Unlike epoll it takes files too,
/// which are always ready. A signal ends the wait early, with nothing ready.
///
/// # Errors
///
/// As poll(2).
pub fn ready<const N: usize>(
    fds: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[Readiness; N]> {
    let mut list = fds.map(|(fd, interest)| record(fd, interest));
    match sys::poll::poll(&mut list, millis(timeout)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            list.iter_mut().for_each(|fd| fd.revents = 0)
        }
        result => result?,
    }
    Ok(list.map(|fd| Readiness::of(i32::from(fd.revents))))
}

/// Whether a descriptor becomes ready in time: poll(2), once. A signal is an error.
pub(crate) fn ready_once(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut list = [record(fd, interest)];
    sys::poll::poll(&mut list, millis(timeout))?;
    Ok(list[0].revents != 0)
}

/// Whether the peer of a connection will send nothing more.
pub(crate) fn peer_has_finished(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut list = [libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 }];
    sys::poll::poll(&mut list, 0)?;
    Ok(list[0].revents != 0)
}

fn record(fd: BorrowedFd<'_>, interest: Interest) -> libc::pollfd {
    // POLLIN and POLLOUT have the values of EPOLLIN and EPOLLOUT.
    let events = i16::try_from(interest.bits() & (libc::EPOLLIN | libc::EPOLLOUT)).unwrap_or(0);
    libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
}

const _: () = assert!(libc::POLLIN as i32 == libc::EPOLLIN && libc::POLLOUT as i32 == libc::EPOLLOUT);
const _: () = assert!(libc::POLLERR as i32 == libc::EPOLLERR && libc::POLLHUP as i32 == libc::EPOLLHUP);

/// In milliseconds, rounded up, so that a wait never ends before its time.
fn millis(timeout: Option<Duration>) -> i32 {
    match timeout {
        None => -1,
        Some(timeout) => i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    }
}

/// Wakes a [`Poll`] from another thread: eventfd(2). Once woken it stays readable until it is [put to
/// reset](Self::reset).
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    /// A waker that has not been used.
    ///
    /// # Errors
    ///
    /// As eventfd(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: sys::poll::eventfd()? })
    }

    /// Makes it readable.
    ///
    /// # Errors
    ///
    /// As write(2); a waker that is readable already is none.
    pub fn wake(&self) -> io::Result<()> {
        match sys::poll::write(self.fd.as_fd(), &1_u64.to_ne_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes it unreadable, until it is woken again.
    ///
    /// # Errors
    ///
    /// As read(2); a waker that was not woken is none.
    pub fn reset(&self) -> io::Result<()> {
        match sys::poll::read(self.fd.as_fd(), &mut [0; 8]) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
