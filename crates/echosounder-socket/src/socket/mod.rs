//! The socket object: one type for every address family, with the methods of Python's socket
//! object.

mod connect;
mod flags;
mod incoming;
mod options;
mod queues;
mod receive;
mod send;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::family::{Family, Protocol, Type};
use crate::from_fd_error::FromFdError;
use crate::message::MessageFlags;
use crate::option::{SO_RCVTIMEO, SO_SNDTIMEO};
use crate::poll::Interest;
use crate::sys;
use crate::wait::{CallWait, Timeout};

pub use incoming::Incoming;

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
///
/// # Conversions
///
/// Every socket type of std converts to a `Socket` and back with `From`, without a duplicate:
/// [`TcpStream`](std::net::TcpStream), [`TcpListener`](std::net::TcpListener),
/// [`UdpSocket`](std::net::UdpSocket), [`UnixStream`](std::os::unix::net::UnixStream),
/// [`UnixListener`](std::os::unix::net::UnixListener) and
/// [`UnixDatagram`](std::os::unix::net::UnixDatagram). A [`SocketRef`](crate::SocketRef) borrows any
/// of them, and those of other crates.
///
/// A `Socket` made of std's type waits as that type did: without limit, or not at all if it was
/// non-blocking. A read or write timeout of std's type remains in force in the kernel. A call
/// without a timeout of its own then fails with `WouldBlock` when that expires. To have a timeout of
/// this crate instead, call `socket.set_timeout(stream.read_timeout()?)`.
///
/// In the other direction the timeout decides:
///
/// | timeout | std's type |
/// |---|---|
/// | `None` | keeps the mode of the descriptor, which is blocking |
/// | zero | non-blocking |
/// | longer | blocking, with the timeout as its read and write timeout |
///
/// Conversions to a descriptor ([`into_fd`](Self::into_fd), `OwnedFd`, `IntoRawFd`) do not change
/// its mode, so that of a socket with a timeout is non-blocking.
///
/// ```
/// use echosounder_socket::Socket;
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// let listener = Socket::from(TcpListener::bind("127.0.0.1:0")?);
/// let socket = Socket::from(TcpStream::connect(TcpListener::from(listener).local_addr()?)?);
/// assert_eq!(socket.timeout(), None);
///
/// socket.set_timeout(Some(Duration::from_secs(1)))?;
/// let stream = TcpStream::from(socket);
/// assert_eq!(stream.read_timeout()?, Some(Duration::from_secs(1)));
/// # Ok::<(), std::io::Error>(())
/// ```
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

    /// Creates a `Socket` from a descriptor, which keeps its blocking mode: a non-blocking one gets a
    /// timeout of zero. A receive or send timeout of the descriptor (SO_RCVTIMEO, SO_SNDTIMEO)
    /// remains in force: see [conversions](Socket#conversions).
    ///
    /// Std's socket types need no check and convert with `Socket::from`.
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
    /// use std::os::fd::OwnedFd;
    ///
    /// let fd = OwnedFd::from(UdpSocket::bind("127.0.0.1:0")?);
    /// let socket = Socket::from_fd(fd)?;
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
            Err(source) => Err(FromFdError::new(socket.fd, source)),
        }
    }

    /// Wraps a descriptor without a check, and takes over its blocking mode.
    pub(crate) fn adopted(fd: OwnedFd) -> Self {
        let socket = Self::with(fd, None, UNKNOWN);
        // fcntl(2) does not fail for an open descriptor.
        let nonblocking = sys::socket::is_nonblocking(socket.as_fd()).unwrap_or(false);
        socket.timeout.set(nonblocking.then_some(Duration::ZERO));
        socket
    }

    /// Wraps a descriptor without a system call. Its calls follow the descriptor's blocking mode.
    pub(crate) fn in_any_mode(fd: OwnedFd) -> Self {
        Self { fd, timeout: Timeout::of_descriptor(), family: AtomicI32::new(UNKNOWN) }
    }

    /// Returns the descriptor in the mode in which std's types wait as this socket does.
    pub(crate) fn into_std_fd(self) -> OwnedFd {
        if let Some(timeout) = self.timeout.get().filter(|timeout| !timeout.is_zero()) {
            // None of these fails for an open socket. Should one fail all the same, calls of std's
            // type wait longer or fail with `WouldBlock`.
            let _ = self.set_option(SO_RCVTIMEO, timeout);
            let _ = self.set_option(SO_SNDTIMEO, timeout);
            let _ = sys::socket::set_nonblocking(self.as_fd(), false);
        }
        self.fd
    }

    /// Returns a second descriptor of the same socket, with the same timeout: fcntl(2) with
    /// F_DUPFD_CLOEXEC.
    ///
    /// Both descriptors share the blocking mode, which [`set_timeout`](Self::set_timeout) and
    /// [`set_nonblocking`](Self::set_nonblocking) change. See [`Socket`](Self#how-calls-wait) for the
    /// two cases in which one socket notices what the other sets.
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
    /// The descriptor keeps its blocking mode. That of a socket with a timeout is non-blocking: call
    /// [`set_nonblocking(false)`](Self::set_nonblocking) before the conversion if the new owner
    /// expects a blocking descriptor. The direct [conversion](Socket#conversions) to a socket type of
    /// std, such as `TcpStream::from(socket)`, takes care of the mode.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::fs::File;
    /// use std::io::Write;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// File::from(one.into_fd()).write_all(b"ahoy")?;
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
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::Read;
    /// use std::os::fd::AsRawFd;
    /// use std::process::Command;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// other.set_inheritable(true)?;
    /// let script = format!("echo ahoy >&{}", other.as_raw_fd());
    /// Command::new("sh").args(["-c", &script]).status()?;
    /// drop(other);
    /// let mut received = String::new();
    /// (&one).read_to_string(&mut received)?;
    /// assert_eq!(received, "ahoy\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "FD_CLOEXEC")]
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

    /// Returns whether calls fail with `WouldBlock` instead of waiting, which is the same as a
    /// [timeout](Self::timeout) of zero.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::time::Duration;
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// assert!(!socket.nonblocking());
    /// socket.set_timeout(Some(Duration::from_secs(1)))?;
    /// assert!(!socket.nonblocking());
    /// socket.set_nonblocking(true)?;
    /// assert!(socket.nonblocking());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getblocking")]
    #[doc(alias = "is_blocking")]
    pub fn nonblocking(&self) -> bool {
        self.timeout() == Some(Duration::ZERO)
    }

    /// Sets how long calls wait. `None` means no limit, zero not at all. See [`Socket`] for the
    /// three modes.
    ///
    /// The timeout belongs to this object, but the blocking mode to the descriptor: duplicates and
    /// other owners of it, such as a std type or a runtime, find it non-blocking while there is a
    /// timeout. In a loop of tokio or mio, only zero is right: see [`guide`](crate::guide).
    ///
    /// SO_RCVTIMEO and SO_SNDTIMEO, in which std keeps its timeouts, do not change. While they are
    /// set, a call without a timeout fails with `WouldBlock` when they expire. To end that, set
    /// [`SO_RCVTIMEO`] and [`SO_SNDTIMEO`] to zero.
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
    /// The timeout belongs to this object. It does not follow other owners of the descriptor that
    /// change its blocking mode, and does not contain SO_RCVTIMEO and SO_SNDTIMEO. Only a
    /// [`SocketRef`](crate::SocketRef) that has no timeout of its own returns the present mode of the
    /// descriptor: fcntl(2).
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
        if self.timeout.is_of_descriptor() {
            let nonblocking = sys::socket::is_nonblocking(self.as_fd()).unwrap_or(false);
            return nonblocking.then_some(Duration::ZERO);
        }
        self.timeout.get()
    }

    /// Carries out an operation, and waits up to the timeout if it would block.
    fn call<T>(&self, interest: Interest, operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.call_wait().call(self.as_fd(), interest, operation)
    }

    fn call_wait(&self) -> CallWait {
        CallWait::new(self.timeout.get())
    }

    /// Returns MSG_DONTWAIT for a socket with a timeout, so that the shared blocking mode does not
    /// matter.
    pub(crate) fn mode(&self) -> i32 {
        if self.timeout.get().is_some() { libc::MSG_DONTWAIT } else { 0 }
    }

    /// Makes a call that has no MSG_DONTWAIT with the descriptor in non-blocking mode, if this
    /// socket has a timeout. The mode is not checked for a timeout of zero, which would cost a
    /// server one system call per accept.
    fn in_nonblocking_mode<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.call_wait().has_limit() || sys::socket::is_nonblocking(self.as_fd())? {
            return call();
        }
        sys::socket::set_nonblocking(self.as_fd(), true)?;
        let result = call();
        sys::socket::set_nonblocking(self.as_fd(), false)?;
        result
    }

    /// Carries out a receive with these flags, and waits up to the timeout if it would block.
    ///
    /// A receive of urgent data from a stream never waits, because poll(2) reports ordinary data as
    /// readable, not urgent data: tcp(7). Other sockets ignore MSG_OOB.
    fn receive<T>(&self, flags: MessageFlags, mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let is_urgent = flags.contains(MessageFlags::OOB);
        let receive = || match receive() {
            Err(error) if is_urgent && error.kind() == io::ErrorKind::WouldBlock && self.is_stream() => {
                Ok(Err(error))
            }
            result => result.map(Ok),
        };
        self.call_wait_with(flags).call(self.as_fd(), Interest::READ, receive)?
    }

    /// Returns the wait of a call with these flags.
    pub(crate) fn call_wait_with(&self, flags: MessageFlags) -> CallWait {
        let never = flags.bits() & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE) != 0;
        if never { CallWait::new(Some(Duration::ZERO)) } else { self.call_wait() }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Shows the descriptor, the timeout and, as far as the kernel returns them, family and addresses.
impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Socket");
        fields.field("fd", &self.fd.as_raw_fd());
        if let Ok(family) = self.family() {
            fields.field("family", &format_args!("{family}"));
        }
        if let Ok(address) = self.local_addr() {
            fields.field("local_addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            fields.field("peer_addr", &address);
        }
        fields.field("timeout", &self.timeout()).finish()
    }
}
