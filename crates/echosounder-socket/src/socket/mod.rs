//! The socket object: one type for every address family, with the methods of Python's socket
//! object.

mod connect;
mod options;
mod receive;
mod send;

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::family::{Family, Protocol, Type};
use crate::message::MessageFlags;
use crate::poll::Interest;
use crate::sys;
use crate::wait::{CallWait, Timeout};

/// A socket of any address family. Dropping it closes its descriptor.
///
/// Programs that this process executes do not inherit the descriptor of a socket that this crate
/// has created.
///
/// # How calls wait
///
/// [`set_timeout`](Self::set_timeout) selects one of three modes for every call that may have to
/// wait:
///
/// | timeout | descriptor | a call that would block |
/// |---|---|---|
/// | `None`, the default | blocking | waits in the kernel |
/// | zero | non-blocking | fails with `WouldBlock` |
/// | longer | non-blocking | waits with poll(2), and fails with `TimedOut` at the deadline |
///
/// Every call is tried before it waits, so a call that does not block costs one system call in
/// every mode. The timeout covers the whole call and is measured by the monotonic clock.
/// SO_RCVTIMEO and SO_SNDTIMEO are not used, except to connect to a UNIX listener whose queue is
/// full.
///
/// Duplicates of a descriptor share its blocking mode; the timeout belongs to this object. A
/// timeout holds even if a duplicate changes the mode: receives and sends pass MSG_DONTWAIT, and
/// [`accept`](Self::accept), [`connect`](Self::connect) and [`send_file`](Self::send_file) check
/// the mode first. Two cases depend on the shared mode: a socket without a timeout fails with
/// `WouldBlock` once a duplicate has a timeout, and an accept or connect with a timeout of zero
/// blocks once a duplicate has none.
///
/// # Signals
///
/// A write to a closed connection returns EPIPE and never raises SIGPIPE. A call that a signal
/// handler interrupts is continued, unless the [hook](crate::set_interrupt_hook) returns an error.
#[derive(Debug)]
#[doc(alias = "fileno")]
pub struct Socket {
    fd: OwnedFd,
    timeout: Timeout,
    /// The family's number once it is known, else [`UNKNOWN`]. The meaning of an empty source
    /// address depends on it.
    family: AtomicI32,
}

// A server keeps one per connection.
const _: () = assert!(size_of::<Socket>() == 16);

/// A number that no family has.
const UNKNOWN: i32 = -1;

/// The error of [`Socket::from_fd`]: a descriptor is not a socket.
///
/// Converting it to an [`io::Error`] keeps `source` and closes the descriptor.
///
/// ```
/// use echosounder_socket::Socket;
///
/// let (reader, _writer) = std::io::pipe()?;
/// let error = Socket::from_fd(reader.into()).unwrap_err();
/// assert_eq!(error.source.raw_os_error(), Some(88)); // ENOTSOCK
/// let _reader = std::io::PipeReader::from(error.fd);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("cannot use descriptor {} as a socket", fd.as_raw_fd())]
pub struct FromFdError {
    /// The descriptor, still open.
    pub fd: OwnedFd,
    /// The kernel's reason.
    pub source: io::Error,
}

impl From<FromFdError> for io::Error {
    fn from(error: FromFdError) -> Self {
        error.source
    }
}

/// Creating and converting sockets.
impl Socket {
    /// Creates a socket: socket(2). It is blocking unless the type contains SOCK_NONBLOCK, and
    /// close-on-exec.
    ///
    /// # Errors
    ///
    /// As socket(2). [`is_family_absent`](crate::is_family_absent) recognises a family that this
    /// kernel lacks.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// assert_eq!(socket.protocol()?, Protocol::TCP);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "socket")]
    pub fn new(family: Family, kind: Type, protocol: Protocol) -> io::Result<Self> {
        match sys::socket::socket(family.0, kind.0, protocol.0) {
            // MPTCP that is disabled (net.mptcp.enabled) is reported like a protocol that the
            // kernel lacks.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                Err(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT))
            }
            fd => fd.map(|fd| Self::created(fd, family, kind)),
        }
    }

    /// Creates two connected sockets: socketpair(2). Only UNIX and TIPC support this.
    ///
    /// # Errors
    ///
    /// As socketpair(2); EOPNOTSUPP for a family that has no pairs.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// one.send(b"ahoy")?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "socketpair")]
    pub fn pair(family: Family, kind: Type, protocol: Protocol) -> io::Result<(Self, Self)> {
        let (one, other) = sys::socket::socketpair(family.0, kind.0, protocol.0)?;
        Ok((Self::created(one, family, kind), Self::created(other, family, kind)))
    }

    /// Creates a `Socket` from a descriptor, which keeps its blocking mode.
    ///
    /// [`family`](Self::family), [`socket_type`](Self::socket_type) and
    /// [`protocol`](Self::protocol) then return the arguments that the socket was created with.
    ///
    /// # Errors
    ///
    /// ENOTSOCK if the descriptor is not a socket. The error contains the descriptor, still open.
    ///
    /// ```
    /// use echosounder_socket::{Family, Socket, Type};
    /// use std::net::UdpSocket;
    ///
    /// let socket = Socket::from_fd(UdpSocket::bind("127.0.0.1:0")?.into())?;
    /// assert_eq!((socket.family()?, socket.socket_type()?), (Family::INET, Type::DGRAM));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "fromfd")]
    pub fn from_fd(fd: OwnedFd) -> Result<Self, FromFdError> {
        let socket = Self::with(fd, None, UNKNOWN);
        let found = || Ok((socket.family()?, sys::socket::is_nonblocking(socket.as_fd())?));
        match found() {
            Ok((family, nonblocking)) => {
                socket.family.store(family.0, Ordering::Relaxed);
                socket.timeout.set(nonblocking.then_some(Duration::ZERO));
                Ok(socket)
            }
            Err(source) => Err(FromFdError { fd: socket.fd, source }),
        }
    }

    /// Returns a second descriptor of the same socket, with the same timeout: fcntl(2) with
    /// F_DUPFD_CLOEXEC.
    ///
    /// # Errors
    ///
    /// EMFILE if the process has no descriptor left.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let again = one.try_clone()?;
    /// drop(one); // The connection goes on through the other descriptor.
    /// again.send(b"ahoy")?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "dup")]
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::with(self.fd.try_clone()?, self.timeout(), self.family.load(Ordering::Relaxed)))
    }

    /// Converts the socket to its descriptor, which stays open. The same as `OwnedFd::from`.
    ///
    /// The descriptor keeps its blocking mode. That of a socket with a timeout is non-blocking:
    /// call [`set_nonblocking(false)`](Self::set_nonblocking) before the conversion, or
    /// `set_nonblocking(false)` on the std type after it.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// UnixStream::from(one.into_fd()).write_all(b"ahoy")?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "detach")]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Closes the socket and returns the error of close(2), which dropping the socket ignores.
    ///
    /// The descriptor is closed even if there is an error. EINTR is not reported, because Linux has
    /// closed the descriptor by then (close(2)), nor is ECONNRESET, which is about a peer that no
    /// longer matters.
    ///
    /// # Errors
    ///
    /// As close(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?.close()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(self) -> io::Result<()> {
        match sys::socket::close(self.fd) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Returns whether programs that this process executes inherit the descriptor: FD_CLOEXEC,
    /// fcntl(2).
    ///
    /// # Errors
    ///
    /// As fcntl(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// assert!(!socket.inheritable()?);
    /// socket.set_inheritable(true)?;
    /// assert!(socket.inheritable()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "get_inheritable")]
    #[doc(alias = "FD_CLOEXEC")]
    pub fn inheritable(&self) -> io::Result<bool> {
        sys::socket::is_inheritable(self.as_fd())
    }

    /// Sets whether programs that this process executes inherit the descriptor. The default is that
    /// they do not.
    ///
    /// # Errors
    ///
    /// As fcntl(2).
    pub fn set_inheritable(&self, inheritable: bool) -> io::Result<()> {
        sys::socket::set_inheritable(self.as_fd(), inheritable)
    }

    /// Wraps a new descriptor whose blocking mode follows from its type.
    fn created(fd: OwnedFd, family: Family, kind: Type) -> Self {
        let nonblocking = kind.0 & libc::SOCK_NONBLOCK != 0;
        Self::with(fd, nonblocking.then_some(Duration::ZERO), family.0)
    }

    fn with(fd: OwnedFd, timeout: Option<Duration>, family: i32) -> Self {
        Self { fd, timeout: Timeout::new(timeout), family: AtomicI32::new(family) }
    }
}

/// Blocking modes.
impl Socket {
    /// Sets whether calls fail with `WouldBlock` instead of waiting: `true` means a timeout of zero,
    /// `false` no timeout.
    ///
    /// # Errors
    ///
    /// As ioctl(2) with FIONBIO.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.set_nonblocking(true)?;
    /// assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setblocking")]
    #[doc(alias = "FIONBIO")]
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.set_timeout(nonblocking.then_some(Duration::ZERO))
    }

    /// Returns whether calls wait, with or without a timeout.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::time::Duration;
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// assert!(socket.is_blocking());
    /// socket.set_timeout(Some(Duration::from_secs(1)))?;
    /// assert!(socket.is_blocking());
    /// socket.set_timeout(Some(Duration::ZERO))?;
    /// assert!(!socket.is_blocking());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getblocking")]
    pub fn is_blocking(&self) -> bool {
        self.timeout() != Some(Duration::ZERO)
    }

    /// Sets how long calls wait. `None` means no limit, zero not at all. See [`Socket`] for the
    /// three modes.
    ///
    /// # Errors
    ///
    /// As ioctl(2) with FIONBIO.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.set_timeout(Some(Duration::from_millis(10)))?;
    /// assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// one.set_timeout(Some(Duration::ZERO))?;
    /// assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "settimeout")]
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        sys::socket::set_nonblocking(self.as_fd(), timeout.is_some())?;
        self.timeout.set(timeout);
        Ok(())
    }

    /// Returns how long calls wait; `None` means no limit.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::time::Duration;
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// assert_eq!(socket.timeout(), None);
    /// socket.set_timeout(Some(Duration::from_secs(5)))?;
    /// assert_eq!(socket.timeout(), Some(Duration::from_secs(5)));
    /// socket.set_nonblocking(true)?;
    /// assert_eq!(socket.timeout(), Some(Duration::ZERO));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "gettimeout")]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.get()
    }

    /// Carries out an operation, and waits up to the timeout if it would block.
    fn call<T>(&self, interest: Interest, operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.call_wait().call(self.as_fd(), interest, operation)
    }

    fn call_wait(&self) -> CallWait {
        CallWait::new(self.timeout())
    }

    /// Returns MSG_DONTWAIT for a socket with a timeout, so that the shared blocking mode does not
    /// matter.
    pub(crate) fn mode(&self) -> i32 {
        if self.timeout().is_some() { libc::MSG_DONTWAIT } else { 0 }
    }

    /// Makes a call that has no MSG_DONTWAIT with the descriptor in non-blocking mode, if this
    /// socket has a timeout. The mode is not checked for a timeout of zero, which would cost a
    /// server one system call per accept.
    fn nonblocking<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.call_wait().has_limit() || sys::socket::is_nonblocking(self.as_fd())? {
            return call();
        }
        sys::socket::set_nonblocking(self.as_fd(), true)?;
        let result = call();
        sys::socket::set_nonblocking(self.as_fd(), false)?;
        result
    }

    /// Returns the wait of a call with these flags.
    fn call_wait_with(&self, flags: MessageFlags) -> CallWait {
        let never = flags.0 & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE) != 0;
        if never { CallWait::new(Some(Duration::ZERO)) } else { self.call_wait() }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The number of the descriptor, as Python's `fileno()` returns it.
///
/// ```
/// use echosounder_socket::{Family, Protocol, Socket, Type};
/// use std::os::fd::AsRawFd;
///
/// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
/// assert!(2 < socket.as_raw_fd());
/// # Ok::<(), std::io::Error>(())
/// ```
impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl TryFrom<OwnedFd> for Socket {
    type Error = FromFdError;

    fn try_from(fd: OwnedFd) -> Result<Self, FromFdError> {
        Self::from_fd(fd)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.recv_msg(buffers, 0, MessageFlags::NONE).map(|message| message.len)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_msg(buffers, &[], None, MessageFlags::NONE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the effective user id of this process: geteuid(2).
#[doc(alias = "geteuid")]
pub fn effective_user_id() -> u32 {
    sys::process::effective_user_id()
}
