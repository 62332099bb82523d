//! The error of a descriptor that is no socket.

use std::error;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The error of [`Socket::from_fd`](crate::Socket::from_fd): a descriptor is not a socket. The
/// reason is its source.
///
/// Converted to an [`io::Error`], it keeps the reason's kind and displays the reason too.
/// `io::Error::downcast` returns this type again. The descriptor stays open as long as either error
/// exists.
///
/// ```
/// use echosounder_socket::Socket;
///
/// let file = std::fs::File::open("/dev/null")?;
/// let error = Socket::from_fd(file.into()).unwrap_err();
/// assert_eq!(error.source.raw_os_error(), Some(88)); // ENOTSOCK
/// let _file = std::fs::File::from(error.fd);
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub struct FromFdError {
    /// The descriptor, still open.
    pub fd: OwnedFd,
    /// The kernel's reason.
    pub source: io::Error,
    /// Whether the reason is displayed rather than returned as the source: within an `io::Error`.
    shows_reason: bool,
}

impl FromFdError {
    pub(crate) fn new(fd: OwnedFd, source: io::Error) -> Self {
        Self { fd, source, shows_reason: false }
    }
}

impl fmt::Display for FromFdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot use descriptor {} as a socket", self.fd.as_raw_fd())?;
        if self.shows_reason { write!(formatter, ": {}", self.source) } else { Ok(()) }
    }
}

/// The text with the reason, which a program prints that returns an error from `main`.
impl fmt::Debug for FromFdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot use descriptor {} as a socket: {}", self.fd.as_raw_fd(), self.source)
    }
}

impl error::Error for FromFdError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if self.shows_reason { self.source.source() } else { Some(&self.source) }
    }
}

/// An error of the same kind, with the [`FromFdError`] as its payload.
impl From<FromFdError> for io::Error {
    fn from(error: FromFdError) -> Self {
        Self::new(error.source.kind(), FromFdError { shows_reason: true, ..error })
    }
}
