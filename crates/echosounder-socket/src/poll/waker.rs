//! Waking a waiting thread: eventfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::sys;

/// Wakes a [`Poll`](crate::Poll) from another thread: eventfd(2). After [`wake`](Self::wake) it is
/// readable until [`reset`](Self::reset).
///
/// ```
/// use std::thread;
///
/// use echosounder_socket::{Events, Interest, Poll, Waker};
///
/// let (poll, waker) = (Poll::new()?, Waker::new()?);
/// poll.add(&waker, 0, Interest::READ)?;
/// thread::scope(|scope| {
///     scope.spawn(|| waker.wake());
///     poll.wait(&mut Events::with_capacity(1), None)
/// })?;
/// waker.reset()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "eventfd")]
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    /// Creates a waker that is not readable. Its descriptor is non-blocking and close-on-exec.
    ///
    /// # Errors
    ///
    /// As eventfd(2): EMFILE if the process has no descriptor left.
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

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
