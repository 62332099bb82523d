//! Waiting for readiness: many descriptors with epoll(7), a few with poll(2).

mod fds;
mod interest;
mod waker;

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::slice;
use std::time::Duration;

pub(crate) use self::fds::{peer_has_finished, poll_once, ready_once};
pub use self::fds::{poll, ready};
pub use self::interest::{Interest, Readiness};
pub use self::waker::Waker;
use crate::sys;
pub use crate::sys::poll::PollFd;

/// A set of descriptors to wait for: epoll(7).
///
/// Each descriptor has an [`Interest`], which says what to wait for, and a token, a number that its
/// [`Event`]s carry. Events are level-triggered unless the interest contains [`Interest::EDGE`]: a
/// wait reports a descriptor again as long as it is ready.
///
/// The kernel removes a descriptor from the set when its last duplicate is closed. Other threads
/// may change the set during a wait. A [`Waker`] or a [`StopToken`](crate::StopToken) in the set
/// ends the wait from another thread. The set is readable itself while one of its descriptors is
/// ready, so it can be added to another set or to the reactor of an asynchronous runtime.
///
/// ```
/// use echosounder_socket::{Events, Interest, Poll, ServerOptions, Transport};
/// use echosounder_socket::{create_connection, create_server};
///
/// // Two servers in one loop. The token is the index of the server.
/// let server = || create_server("udp://localhost:0", ServerOptions::default());
/// let servers = [server()?, server()?];
/// let poll = Poll::new()?;
/// for (token, server) in (0..).zip(&servers) {
///     poll.add(server, token, Interest::READ)?;
/// }
///
/// let client = create_connection((Transport::Udp, servers[1].local_addr()?), None, None)?;
/// client.send(b"ahoy")?;
///
/// let mut events = Events::with_capacity(64);
/// poll.wait(&mut events, None)?;
/// for event in &events {
///     assert_eq!(event.token, 1);
///     if event.ready.can_read() {
///         let mut buffer = [0; 2048];
///         let (len, client) = servers[1].recv_from(&mut buffer)?;
///         servers[1].send_to(&buffer[..len], &client)?;
///     }
/// }
/// assert_eq!(client.recv(&mut [0; 16])?, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "epoll")]
#[doc(alias = "selectors")]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// Creates an empty set. Its descriptor is close-on-exec.
    ///
    /// # Errors
    ///
    /// As epoll_create1(2): EMFILE if the process has no descriptor left.
    #[doc(alias = "epoll_create1")]
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: sys::poll::create()? })
    }

    /// Adds a descriptor, whose events will carry `token`.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2): EEXIST ([`AlreadyExists`](io::ErrorKind::AlreadyExists)) if the descriptor
    /// is in the set, EPERM if it cannot be polled, as a regular file.
    #[doc(alias = "EPOLL_CTL_ADD")]
    #[doc(alias = "register")]
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_fd(), token, interest)
    }

    /// Changes the token and the interest of a descriptor in the set.
    ///
    /// A descriptor that is ready is reported again, also with [`Interest::EDGE`] and
    /// [`Interest::ONE_SHOT`].
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2): ENOENT ([`NotFound`](io::ErrorKind::NotFound)) if the descriptor is not in
    /// the set, EINVAL if it was added with [`Interest::EXCLUSIVE`].
    #[doc(alias = "EPOLL_CTL_MOD")]
    #[doc(alias = "reregister")]
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_fd(), token, interest)
    }

    /// Removes a descriptor from the set.
    ///
    /// # Errors
    ///
    /// As epoll_ctl(2): ENOENT ([`NotFound`](io::ErrorKind::NotFound)) if the descriptor is not in
    /// the set.
    #[doc(alias = "EPOLL_CTL_DEL")]
    #[doc(alias = "deregister")]
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_fd(), 0, Interest::empty())
    }

    /// Waits until a descriptor is ready or the timeout has passed, and replaces `events` with the
    /// ready descriptors. `None` means no timeout; other timeouts are rounded up to a millisecond.
    /// A signal ends the wait early, without events.
    ///
    /// # Errors
    ///
    /// As epoll_wait(2).
    #[doc(alias = "epoll_wait")]
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
        sys::poll::control(self.epoll.as_fd(), operation, fd, interest.bits(), token)
    }
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

/// The ready descriptors that [`Poll::wait`] returns.
///
/// ```
/// use echosounder_socket::{Events, Interest, Poll, Transport};
///
/// let (one, other) = Transport::UnixStream.pair()?;
/// let poll = Poll::new()?;
/// poll.add(&one, 1, Interest::WRITE)?;
/// poll.add(&other, 2, Interest::READ)?;
///
/// let mut events = Events::with_capacity(64);
/// poll.wait(&mut events, None)?;
/// assert_eq!(events.len(), 1);
/// for event in &events {
///     assert!(event.token == 1 && event.ready.is_writable());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Events {
    list: Vec<libc::epoll_event>,
}

impl Events {
    /// Creates a list for `capacity` events, at least one. The next wait returns those that do not
    /// fit.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity.max(1)) }
    }

    /// Returns the event with this index, or `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<Event> {
        self.list.get(index).map(Event::of)
    }

    /// Returns an iterator over the events.
    pub fn iter(&self) -> EventsIter<'_> {
        EventsIter { list: self.list.iter() }
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether no descriptor was ready.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'events> IntoIterator for &'events Events {
    type Item = Event;
    type IntoIter = EventsIter<'events>;

    fn into_iter(self) -> EventsIter<'events> {
        self.iter()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// An iterator over [`Events`]: see [`Events::iter`].
#[derive(Clone)]
pub struct EventsIter<'events> {
    list: slice::Iter<'events, libc::epoll_event>,
}

impl Iterator for EventsIter<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.list.next().map(Event::of)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl ExactSizeIterator for EventsIter<'_> {}

impl FusedIterator for EventsIter<'_> {}

impl fmt::Debug for EventsIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// A ready descriptor: an item of [`Events`], which has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The token that the descriptor was added with.
    pub token: u64,
    /// Its readiness.
    pub ready: Readiness,
}

impl Event {
    fn of(event: &libc::epoll_event) -> Self {
        Self { token: event.u64, ready: Readiness::from_bits_retain(event.events) }
    }
}

/// Returns a timeout in milliseconds, rounded up, so that no wait ends too early.
fn millis(timeout: Option<Duration>) -> i32 {
    match timeout {
        None => -1,
        Some(timeout) => i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    }
}
