//! Waiting for readiness: many descriptors with epoll(7), a few with poll(2).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::sys;

/// The readiness to wait for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Readable: data, or a connection to accept.
    Read,
    /// Writable: buffer space for more data.
    Write,
    /// Readable or writable.
    Both,
    /// Readable, for a listener that several polls wait for: the kernel wakes one of them
    /// (EPOLLEXCLUSIVE). The entry cannot be modified, only removed: epoll_ctl(2).
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

/// The readiness of a descriptor. A descriptor with an error or a hang-up is both readable and
/// writable; the next call returns the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A read does not block.
    pub readable: bool,
    /// A write does not block.
    pub writable: bool,
}

impl Readiness {
    fn of(bits: i32) -> Self {
        let failed = bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
        Self { readable: failed || bits & libc::EPOLLIN != 0, writable: failed || bits & libc::EPOLLOUT != 0 }
    }
}

/// A set of descriptors to wait for, level-triggered: epoll(7).
///
/// The kernel removes a descriptor from the set when its last duplicate is closed.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// Creates an empty set.
    ///
    /// # Errors
    ///
    /// As epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: sys::poll::create()? })
    }

    /// Adds a descriptor, whose events will carry `token`.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2).
    pub fn add(&self, fd: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_fd(), token, interest)
    }

    /// Changes the token and the interest of a descriptor in the set.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2).
    pub fn modify(&self, fd: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_fd(), token, interest)
    }

    /// Removes a descriptor from the set.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2).
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_fd(), 0, Interest::Read)
    }

    /// Waits until a descriptor is ready or the timeout has passed, and replaces `events` with the
    /// ready descriptors. `None` means no timeout. A signal ends the wait early, without events.
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

    /// Waits like [`wait`](Self::wait), with a timeout in nanoseconds: epoll_pwait2(2).
    ///
    /// The timeout is rounded up to a millisecond before Linux 5.11, and where a seccomp filter
    /// refuses the call.
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

/// The ready descriptors that [`Poll::wait`] returns.
pub struct Events {
    list: Vec<libc::epoll_event>,
}

impl Events {
    /// Creates a list for `capacity` events. The next wait returns those that do not fit.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity.max(1)) }
    }

    /// Returns the event with this index, or `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<Event> {
        let event = self.list.get(index)?;
        Some(Event { token: event.u64, ready: Readiness::of(event.events.cast_signed()) })
    }

    /// Returns whether no descriptor was ready.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.list.len()).filter_map(|index| self.get(index))).finish()
    }
}

/// A ready descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token that the descriptor was added with.
    pub token: u64,
    /// Its readiness.
    pub ready: Readiness,
}

/// Waits until one of a few descriptors is ready or the timeout has passed: poll(2). `None` means
/// no timeout.
///
/// Regular files are always ready; epoll(7) refuses them. A signal ends the wait early, with no
/// descriptor ready.
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

/// Returns whether a descriptor becomes ready within the timeout: one poll(2). A signal is an
/// error.
pub(crate) fn ready_once(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut list = [record(fd, interest)];
    sys::poll::poll(&mut list, millis(timeout))?;
    Ok(list[0].revents != 0)
}

/// Returns whether the peer of a connection has shut down its sending direction: POLLRDHUP,
/// poll(2).
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

/// Returns a timeout in milliseconds, rounded up, so that no wait ends too early.
fn millis(timeout: Option<Duration>) -> i32 {
    match timeout {
        None => -1,
        Some(timeout) => i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    }
}

/// Wakes a [`Poll`] from another thread: eventfd(2). After [`wake`](Self::wake) it is readable
/// until [`reset`](Self::reset).
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    /// Creates a waker that is not readable.
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
    /// As write(2). Waking a waker that is already readable is not an error.
    pub fn wake(&self) -> io::Result<()> {
        match sys::poll::write(self.fd.as_fd(), &1_u64.to_ne_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes it unreadable until the next wake.
    ///
    /// # Errors
    ///
    /// As read(2). Resetting a waker that is not readable is not an error.
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
