//! Waiting for a few descriptors: poll(2).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::interest::{Interest, Readiness};
use super::millis;
use crate::sys;
use crate::sys::poll::PollFd;

impl<'fd> PollFd<'fd> {
    /// Returns a descriptor to wait for, which is not ready until [`poll`] has found it ready.
    pub fn new<Fd: AsFd + ?Sized>(fd: &'fd Fd, interest: Interest) -> Self {
        Self::of(fd.as_fd(), interest)
    }

    fn of(fd: BorrowedFd<'fd>, interest: Interest) -> Self {
        // POLLIN and its siblings have the values of EPOLLIN and its siblings. The flags that poll(2)
        // lacks do not fit, or are not in the mask.
        Self::from_bits(fd, (interest & POLLABLE).bits().try_into().unwrap_or(0))
    }

    /// Returns what to wait for.
    pub fn interest(&self) -> Interest {
        Interest::from_bits_retain(u16::from_ne_bytes(self.events().to_ne_bytes()).into())
    }

    /// Changes what to wait for.
    pub fn set_interest(&mut self, interest: Interest) {
        *self = Self::of(self.fd(), interest);
    }

    /// Returns the readiness that the last [`poll`] has found.
    pub fn ready(&self) -> Readiness {
        Readiness::from_bits_retain(u16::from_ne_bytes(self.revents().to_ne_bytes()).into())
    }
}

impl AsFd for PollFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl fmt::Debug for PollFd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFd")
            .field("fd", &self.fd())
            .field("interest", &self.interest())
            .field("ready", &self.ready())
            .finish()
    }
}

/// Waits until a descriptor is ready or the timeout has passed, and returns the number of ready
/// descriptors: poll(2). `None` means no timeout; other timeouts are rounded up to a millisecond.
///
/// Each [`PollFd`] then has its readiness. Regular files are always ready; epoll(7) refuses them.
/// A signal ends the wait early, with no descriptor ready. For a number of descriptors that is
/// known when the program is compiled, [`ready`] is shorter; for many descriptors, or the same ones
/// again and again, a [`Poll`](crate::Poll) is faster.
///
/// # Errors
///
/// As poll(2).
///
/// ```
/// use std::time::Duration;
///
/// use echosounder_socket::{Interest, PollFd, Transport, poll};
///
/// let (one, other) = Transport::UnixStream.pair()?;
/// other.send(b"ahoy")?;
/// let sockets = [one, other];
/// let mut fds: Vec<PollFd> = sockets.iter().map(|socket| PollFd::new(socket, Interest::READ)).collect();
/// assert_eq!(poll(&mut fds, Some(Duration::from_secs(1)))?, 1);
/// assert!(fds[0].ready().is_readable() && fds[1].ready().is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    match poll_once(fds, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            fds.iter_mut().for_each(|fd| fd.set_interest(fd.interest()));
            Ok(0)
        }
        result => result,
    }
}

/// Waits like [`poll`], but returns the error if a signal interrupts the call.
pub(crate) fn poll_once(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    sys::poll::poll(fds, millis(timeout))
}

/// Waits until one of a few descriptors is ready or the timeout has passed, and returns the
/// readiness of each: poll(2). `None` means no timeout; other timeouts are rounded up to a
/// millisecond.
///
/// Regular files are always ready; epoll(7) refuses them. A signal ends the wait early, with no
/// descriptor ready. For a number of descriptors that only the running program knows, use
/// [`poll`].
///
/// # Errors
///
/// As poll(2).
///
/// ```
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// use echosounder_socket::{Interest, Transport, ready};
///
/// let (one, other) = Transport::UnixStream.pair()?;
/// other.send(b"ahoy")?;
/// let sockets = [(one.as_fd(), Interest::READ), (other.as_fd(), Interest::READ)];
/// let [one, other] = ready(sockets, Some(Duration::from_secs(1)))?;
/// assert!(one.can_read() && !other.can_read());
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "select")]
pub fn ready<const N: usize>(
    fds: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[Readiness; N]> {
    let mut list = fds.map(|(fd, interest)| PollFd::of(fd, interest));
    poll(&mut list, timeout)?;
    Ok(list.map(|fd| fd.ready()))
}

/// Returns whether a descriptor becomes ready within the timeout: one poll(2). A signal is an
/// error.
pub(crate) fn ready_once(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    sys::poll::poll(&mut [PollFd::of(fd, interest)], millis(timeout)).map(|count| count != 0)
}

/// Returns whether the peer of a connection has shut down its sending direction: POLLRDHUP,
/// poll(2).
pub(crate) fn peer_has_finished(fd: BorrowedFd<'_>) -> io::Result<bool> {
    ready_once(fd, Interest::PEER_CLOSED, Some(Duration::ZERO))
}

/// The flags that poll(2) knows.
const POLLABLE: Interest =
    Interest::READ.union(Interest::WRITE).union(Interest::PRIORITY).union(Interest::PEER_CLOSED);

const _: () = {
    assert!(libc::POLLIN as u32 == Interest::READ.bits());
    assert!(libc::POLLOUT as u32 == Interest::WRITE.bits());
    assert!(libc::POLLPRI as u32 == Interest::PRIORITY.bits());
    assert!(libc::POLLRDHUP as u32 == Interest::PEER_CLOSED.bits());
    assert!(libc::POLLERR as u32 == Readiness::ERROR.bits());
    assert!(libc::POLLHUP as u32 == Readiness::HANG_UP.bits());
};
