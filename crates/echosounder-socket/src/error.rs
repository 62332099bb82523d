//! Errors that name the operation and the object.

use std::error;
use std::fmt;
use std::io;

use crate::address::Address;

/// A failed operation on an object. The kernel's reason is its source.
///
/// Converted to an [`io::Error`], it keeps the reason's kind and displays the reason too, since a
/// message that shows the error alone lacks its source. `Debug` prints the reason in any case:
/// `main` prints it for the error that it returns. `io::Error::downcast` returns this
/// type again, with the kernel's error number in its [`cause`](Self::cause), which functions such as
/// [`is_unreachable`](crate::is_unreachable) look at.
///
/// ```
/// use echosounder_socket::{Error, ServerOptions, create_server};
/// use std::io;
/// use std::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let taken = listener.local_addr()?;
/// let error = create_server(taken, ServerOptions::default()).unwrap_err();
/// assert_eq!(error.to_string(), format!("cannot bind tcp://{taken}"));
/// assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
///
/// let error = io::Error::from(error);
/// assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
/// assert!(error.to_string().starts_with(&format!("cannot bind tcp://{taken}: Address already in use")));
/// let error: Error = error.downcast()?;
/// assert_eq!(error.cause().raw_os_error(), Some(98)); // EADDRINUSE
/// # Ok::<(), io::Error>(())
/// ```
pub struct Error {
    operation: &'static str,
    object: String,
    address: Option<Address>,
    source: io::Error,
    /// Whether the reason is displayed rather than returned as the source: within an `io::Error`.
    shows_reason: bool,
}

impl Error {
    /// Creates an error of `operation`, a verb such as `bind` or `send to`, on `object`.
    pub fn new(operation: &'static str, object: &dyn fmt::Display, source: io::Error) -> Self {
        Self { operation, object: object.to_string(), address: None, source, shows_reason: false }
    }

    /// Returns the error that an `io::Error` has been made of, or an error of `operation`.
    pub(crate) fn from_io(error: io::Error, operation: &'static str) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => Self { shows_reason: false, ..error },
            Err(error) => Self::new(operation, &"the endpoint", error),
        }
    }

    /// Returns the form of the error for an `io::Error`: it displays the reason, and its source is
    /// the reason's source. For errors of other crates that convert into an [`io::Error`].
    ///
    /// ```
    /// use std::{error::Error as _, io};
    /// use echosounder_socket::Error;
    ///
    /// let error = Error::new("bind", &"tcp://*:80", io::Error::other("no permission")).with_reason();
    /// assert_eq!(error.to_string(), "cannot bind tcp://*:80: no permission");
    /// assert!(error.source().is_none());
    /// ```
    #[must_use]
    pub fn with_reason(self) -> Self {
        Self { shows_reason: true, ..self }
    }

    /// Adds the address that the operation was about.
    #[must_use]
    pub fn with_address(self, address: &Address) -> Self {
        Self { address: Some(address.clone()), ..self }
    }

    /// Returns the operation.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the address that the operation was about, if it was about one.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Returns the kind of the kernel's reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns the kernel's reason.
    pub fn cause(&self) -> &io::Error {
        &self.source
    }

    /// Returns the kernel's reason alone.
    pub fn into_cause(self) -> io::Error {
        self.source
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.object)?;
        if self.shows_reason { write!(f, ": {}", self.source) } else { Ok(()) }
    }
}

/// The text with the reason, which a program prints that returns an error from `main`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.object, self.source)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if self.shows_reason { self.source.source() } else { Some(&self.source) }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.with_reason())
    }
}
