//! The error of a send that had to send more.

use std::error;
use std::fmt;
use std::io;

/// A send that ended before it had sent everything. The reason is its source.
///
/// Converted to an [`io::Error`], it keeps the reason's kind and displays the reason too.
/// `io::Error::downcast` returns this type again.
///
/// ```
/// use echosounder_socket::{Family, Protocol, Socket, Type, Unfinished};
/// use std::io;
/// use std::time::Duration;
///
/// fn fill(socket: &Socket) -> io::Result<()> {
///     loop {
///         socket.send_all(&[0; 100_000])?;
///     }
/// }
///
/// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
/// one.set_timeout(Some(Duration::from_millis(10)))?;
/// let error = fill(&one).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// let unfinished: Unfinished = error.downcast()?;
/// assert!(unfinished.sent < 100_000);
///
/// drop(other);
/// let unfinished = one.send_all(b"ahoy").unwrap_err();
/// assert_eq!(unfinished.to_string(), "cannot send more than 0 bytes");
/// assert_eq!(unfinished.source.raw_os_error(), Some(32)); // EPIPE
/// let error = io::Error::from(unfinished);
/// assert_eq!(error.to_string(), "cannot send more than 0 bytes: Broken pipe (os error 32)");
/// # Ok::<(), io::Error>(())
/// ```
#[non_exhaustive]
pub struct Unfinished {
    /// Number of bytes sent before the error.
    pub sent: u64,
    /// The kernel's reason, or a timeout.
    pub source: io::Error,
    /// Whether the reason is displayed rather than returned as the source: within an `io::Error`.
    shows_reason: bool,
}

impl Unfinished {
    pub(crate) fn new(sent: u64, source: io::Error) -> Self {
        Self { sent, source, shows_reason: false }
    }

    /// Returns the kind of the reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot send more than {} bytes", self.sent)?;
        if self.shows_reason { write!(formatter, ": {}", self.source) } else { Ok(()) }
    }
}

/// The text with the reason, which a program prints that returns an error from `main`.
impl fmt::Debug for Unfinished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot send more than {} bytes: {}", self.sent, self.source)
    }
}

impl error::Error for Unfinished {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if self.shows_reason { self.source.source() } else { Some(&self.source) }
    }
}

/// An error of the same kind, with the [`Unfinished`] as its payload.
impl From<Unfinished> for io::Error {
    fn from(error: Unfinished) -> Self {
        Self::new(error.kind(), Unfinished { shows_reason: true, ..error })
    }
}
