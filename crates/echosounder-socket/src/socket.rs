//! The socket object: one type for every address family, with the methods of Python's socket
//! object.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::address::Address;
use crate::batch::Batch;
use crate::control::{ControlMessage, SendControl};
use crate::errno::is_too_long;
use crate::family::unix::UnixName;
use crate::family::{Family, Protocol, Type};
use crate::option::{self, OptionValue, SocketOption};
use crate::poll::{Interest, peer_has_finished};
use crate::raw_address::RawAddress;
use crate::sys;
use crate::wait::{CallWait, Timeout};

/// Maximum length of an option that is read as bytes. CPython has the same limit.
const OPTION_MAX: usize = 1024;

/// Maximum number of bytes that one sendfile(2) is asked to send. CPython has the same limit.
const SEND_FILE_MAX: u64 = 1 << 30;

/// The direction of a connection that [`Socket::shutdown`] ends: shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The receiving direction: no further reads.
    Read,
    /// The sending direction: no further writes, and the peer reads the end.
    Write,
    /// Both directions.
    Both,
}

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

/// The MSG_ flags of send(2) and recv(2): how to send or receive a message, or how it was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessageFlags(pub i32);

impl MessageFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Control messages were lost because the buffer was too small.
    pub const CTRUNC: Self = Self(libc::MSG_CTRUNC);
    /// Do not wait, even if the socket has a timeout.
    pub const DONTWAIT: Self = Self(libc::MSG_DONTWAIT);
    /// The end of a record.
    pub const EOR: Self = Self(libc::MSG_EOR);
    /// Receive from the error queue. Such a receive never waits.
    pub const ERRQUEUE: Self = Self(libc::MSG_ERRQUEUE);
    /// More data follows at once.
    pub const MORE: Self = Self(libc::MSG_MORE);
    /// Urgent data. In a TIPC group: a member has joined or left.
    pub const OOB: Self = Self(libc::MSG_OOB);
    /// Leave the received data in the queue.
    pub const PEEK: Self = Self(libc::MSG_PEEK);
    /// Received: the message was longer than the buffer. Requested: return the length of the whole
    /// message.
    pub const TRUNC: Self = Self(libc::MSG_TRUNC);
    /// Wait until the buffer is full.
    pub const WAITALL: Self = Self(libc::MSG_WAITALL);

    /// Returns whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for MessageFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A message that [`Socket::recv_msg`] has received.
#[derive(Debug)]
pub struct Message {
    /// Number of bytes received into the buffers. With [`MessageFlags::TRUNC`] requested, the
    /// length of the message, which may exceed that of the buffers.
    pub len: usize,
    /// The source address. The kernel reports none on most connections; it is then
    /// [`Address::Unspecified`], or [`UnixName::Unnamed`] over AF_UNIX.
    pub from: Address,
    /// The control messages received with it.
    pub control: Vec<ControlMessage>,
    /// The flags that the kernel has set.
    pub flags: MessageFlags,
}

/// A message for [`Socket::send_many`].
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The bytes of the message, from one or more buffers.
    pub buffers: &'a [IoSlice<'a>],
    /// The control messages to send with it.
    pub control: &'a [SendControl<'a>],
    /// The destination; `None` for the peer of a connected socket.
    pub to: Option<&'a Address>,
}

/// An error of a send that had to send more.
#[derive(Debug, thiserror::Error)]
#[error("sent {sent} bytes")]
pub struct Unfinished {
    /// Number of bytes sent before the error.
    pub sent: u64,
    /// The kernel's reason, or a timeout.
    pub source: io::Error,
}

impl From<Unfinished> for io::Error {
    fn from(error: Unfinished) -> Self {
        error.source
    }
}

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
    /// let again = one.duplicate()?;
    /// drop(one); // The connection goes on through the other descriptor.
    /// again.send(b"ahoy")?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "dup")]
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self::with(self.fd.try_clone()?, self.timeout(), self.family.load(Ordering::Relaxed)))
    }

    /// Converts the socket to its descriptor, which stays open. The same as `OwnedFd::from`.
    ///
    /// The descriptor keeps its blocking mode. That of a socket with a timeout is non-blocking:
    /// call [`set_blocking(true)`](Self::set_blocking) before the conversion, or
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

/// Binding, listening and connecting.
impl Socket {
    /// Binds the socket to an address: bind(2). A TIPC socket can be bound to several.
    ///
    /// # Errors
    ///
    /// As bind(2); EACCES for a port below 1024 without CAP_NET_BIND_SERVICE.
    ///
    /// ```
    /// use echosounder_socket::{Address, Family, Protocol, Socket, Type};
    /// use std::net::SocketAddr;
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// socket.bind(&Address::from(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    /// assert_ne!(socket.local_addr()?.port(), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(&self, address: &Address) -> io::Result<()> {
        self.bind_raw(&RawAddress::try_from(address)?)
    }

    pub(crate) fn bind_raw(&self, address: &RawAddress) -> io::Result<()> {
        sys::socket::bind(self.as_fd(), address)
    }

    /// Starts to listen for connections: listen(2). The queue is as long as the system allows
    /// (net.core.somaxconn).
    ///
    /// # Errors
    ///
    /// As listen(2).
    ///
    /// ```
    /// use echosounder_socket::option::SO_ACCEPTCONN;
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::net::Ipv4Addr;
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// socket.bind(&(Ipv4Addr::LOCALHOST, 0).into())?;
    /// socket.listen()?;
    /// assert!(socket.option(SO_ACCEPTCONN)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn listen(&self) -> io::Result<()> {
        self.listen_with(u32::MAX)
    }

    /// Starts to listen for connections, with a queue of `backlog` connections, limited by
    /// net.core.somaxconn.
    ///
    /// # Errors
    ///
    /// As listen(2).
    ///
    /// ```
    /// use echosounder_socket::family::unix::UnixName;
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::time::Duration;
    ///
    /// let listener = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// listener.bind(&UnixName::Unnamed.into())?; // The kernel chooses a name.
    /// listener.listen_with(0)?;
    /// let [first, second] = [(); 2].map(|()| Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT));
    /// first?.connect(&listener.local_addr()?)?;
    /// let second = second?;
    /// second.set_timeout(Some(Duration::from_millis(10)))?;
    /// assert!(second.connect(&listener.local_addr()?).is_err(), "the queue holds one connection");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn listen_with(&self, backlog: u32) -> io::Result<()> {
        sys::socket::listen(self.as_fd(), i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// Accepts the next connection and returns it as a blocking socket, with the peer's address:
    /// accept4(2).
    ///
    /// # Errors
    ///
    /// As accept4(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::net::SocketAddr;
    ///
    /// let [listener, client] = [(); 2].map(|()| Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT));
    /// let (listener, client) = (listener?, client?);
    /// listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    /// listener.listen()?;
    ///
    /// client.connect(&listener.local_addr()?)?;
    /// let (server, peer) = listener.accept()?;
    /// assert_eq!(peer, client.local_addr()?);
    /// assert_eq!(server.timeout(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "accept4")]
    pub fn accept(&self) -> io::Result<(Self, Address)> {
        let (fd, peer) = self.accept_with(0)?;
        Ok((Self::with(fd, None, self.family.load(Ordering::Relaxed)), peer))
    }

    /// Accepts the next connection and returns it as a non-blocking socket, with the peer's
    /// address: accept4(2).
    ///
    /// # Errors
    ///
    /// As accept4(2); `WouldBlock` if the listener is non-blocking and the queue is empty.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    /// use std::net::{Ipv4Addr, TcpStream};
    ///
    /// let listener = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// listener.bind(&(Ipv4Addr::LOCALHOST, 0).into())?;
    /// listener.listen()?;
    /// let _client = TcpStream::connect(("localhost", listener.local_addr()?.port().unwrap_or(0)))?;
    /// let (server, _) = listener.accept_nonblocking()?;
    /// assert_eq!(server.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "accept4")]
    #[doc(alias = "SOCK_NONBLOCK")]
    pub fn accept_nonblocking(&self) -> io::Result<(Self, Address)> {
        let (fd, peer) = self.accept_with(libc::SOCK_NONBLOCK)?;
        Ok((Self::with(fd, Some(Duration::ZERO), self.family.load(Ordering::Relaxed)), peer))
    }

    fn accept_with(&self, flags: i32) -> io::Result<(OwnedFd, Address)> {
        let accept = || self.nonblocking(|| sys::socket::accept(self.as_fd(), flags));
        let (fd, peer) = self.call(Interest::Read, accept)?;
        Ok((fd, Address::from(&peer)))
    }

    /// Connects to a peer. A datagram socket then sends to the peer and receives from it only:
    /// connect(2).
    ///
    /// A timeout also limits the wait at a UNIX listener whose queue is full, which poll(2) does
    /// not report as ready.
    ///
    /// # Errors
    ///
    /// As connect(2). A non-blocking socket returns EINPROGRESS: see
    /// [`is_in_progress`](Self::is_in_progress).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::net::UdpSocket;
    /// use std::time::Duration;
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let client = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// client.set_timeout(Some(Duration::from_secs(5)))?;
    /// client.connect(&server.local_addr()?.into())?;
    /// client.send(b"ahoy")?;
    /// assert_eq!(server.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(&self, address: &Address) -> io::Result<()> {
        let raw = RawAddress::try_from(address)?;
        let mut wait = self.call_wait();
        if wait.has_limit() {
            wait = wait.started();
        }
        let mut began = false;
        loop {
            let error = match self.nonblocking(|| sys::socket::connect(self.as_fd(), &raw)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                // A second call continues the first and returns EALREADY or EISCONN.
                Some(libc::EINTR) => crate::wait::interrupted()?,
                Some(libc::EISCONN) if began => return Ok(()),
                // SCTP also returns these from a blocking call that follows an interrupted one.
                Some(libc::EINPROGRESS | libc::EALREADY) if wait.has_limit() || began => {
                    wait.until_ready(self.as_fd(), Interest::Write)?;
                    return self.take_error();
                }
                Some(libc::EAGAIN) if wait.has_limit() && address.family() == Family::UNIX => {
                    return self.connect_at_queue(&raw, &wait);
                }
                _ => return Err(error),
            }
            began = true;
        }
    }

    /// Connects to a UNIX listener whose queue is full, with SO_SNDTIMEO to limit the wait in the
    /// kernel.
    fn connect_at_queue(&self, address: &RawAddress, wait: &CallWait) -> io::Result<()> {
        let before = self.option(option::SO_SNDTIMEO)?;
        let nonblocking = sys::socket::is_nonblocking(self.as_fd())?;
        sys::socket::set_nonblocking(self.as_fd(), false)?;
        let result = loop {
            // Zero would mean no limit.
            let left = wait.left().unwrap_or(Duration::MAX).max(Duration::from_micros(1));
            self.set_option(option::SO_SNDTIMEO, left)?;
            match sys::socket::connect(self.as_fd(), address) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if let Err(error) = crate::wait::interrupted() {
                        break Err(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    break Err(io::ErrorKind::TimedOut.into());
                }
                result => break result,
            }
        };
        sys::socket::set_nonblocking(self.as_fd(), nonblocking)?;
        self.set_option(option::SO_SNDTIMEO, before)?;
        result
    }

    /// Connects and returns the error number, or 0 on success. A timeout is EAGAIN, as in Python.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use echosounder_socket::family::unix::UnixName;
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let missing = UnixName::Path(b"/no/such/path".as_slice().into());
    /// assert_eq!(socket.connect_ex(&missing.into()), 2); // ENOENT
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_ex(&self, address: &Address) -> i32 {
        match self.connect(address) {
            Ok(()) => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => libc::EINTR,
            Err(error) => error.raw_os_error().unwrap_or(libc::EAGAIN),
        }
    }

    /// Returns whether an error of a non-blocking connect means that the connection is being
    /// established. The socket becomes writable when that ends, and
    /// [`take_error`](Self::take_error) then returns the result.
    ///
    /// ```
    /// use echosounder_socket::{Family, Interest, Protocol, Socket, Type, ready};
    /// use std::net::TcpListener;
    /// use std::os::fd::AsFd;
    ///
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// let client = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// client.set_blocking(false)?;
    /// if let Err(error) = client.connect(&server.local_addr()?.into()) {
    ///     assert!(Socket::is_in_progress(&error), "{error}");
    ///     ready([(client.as_fd(), Interest::Write)], None)?;
    ///     client.take_error()?;
    /// }
    /// assert_eq!(client.peer_addr()?, server.local_addr()?.into());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "EINPROGRESS")]
    pub fn is_in_progress(error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::EINPROGRESS)
    }

    /// Shuts down one or both directions of a connection: shutdown(2).
    ///
    /// # Errors
    ///
    /// As shutdown(2): `NotConnected` if the peer has closed the connection, EINVAL for one
    /// direction of a TIPC connection.
    ///
    /// ```
    /// use echosounder_socket::{Family, Shutdown, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.shutdown(Shutdown::Write)?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 0);
    /// other.send(b"still here")?;
    /// assert_eq!(one.recv(&mut [0; 16])?, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, direction: Shutdown) -> io::Result<()> {
        let how = match direction {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        sys::socket::shutdown(self.as_fd(), how)
    }
}

/// Addresses, family, type and protocol.
impl Socket {
    /// Returns the socket's own address: getsockname(2).
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    ///
    /// ```
    /// use echosounder_socket::{Address, Family, Protocol, Socket, Type};
    /// use std::net::Ipv4Addr;
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// let unbound = Address::from((Ipv4Addr::UNSPECIFIED, 0));
    /// assert_eq!(socket.local_addr()?, unbound);
    /// socket.bind(&unbound)?; // The kernel chooses a port.
    /// assert_ne!(socket.local_addr()?.port(), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<Address> {
        sys::socket::local_address(self.as_fd()).map(|raw| Address::from(&raw))
    }

    /// Returns the peer's address: getpeername(2).
    ///
    /// # Errors
    ///
    /// As getpeername(2): `NotConnected` if the socket is not connected.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    /// use std::net::UdpSocket;
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let client = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    /// client.connect(&server.local_addr()?.into())?;
    /// assert_eq!(client.peer_addr()?, server.local_addr()?.into());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<Address> {
        sys::socket::peer_address(self.as_fd()).map(|raw| Address::from(&raw))
    }

    /// Returns the address family: SO_DOMAIN, socket(7).
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET6, Type::DGRAM, Protocol::DEFAULT)?;
    /// assert_eq!(socket.family()?.to_string(), "AF_INET6");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_DOMAIN")]
    pub fn family(&self) -> io::Result<Family> {
        self.option(option::SO_DOMAIN)
    }

    /// Returns the socket type: SO_TYPE, socket(7).
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (socket, _) = Socket::pair(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT)?;
    /// assert_eq!(socket.socket_type()?, Type::SEQPACKET);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_TYPE")]
    #[doc(alias = "type")]
    pub fn socket_type(&self) -> io::Result<Type> {
        self.option(option::SO_TYPE)
    }

    /// Returns the protocol: SO_PROTOCOL, socket(7).
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// assert_eq!(socket.protocol()?, Protocol::UDP);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_PROTOCOL")]
    #[doc(alias = "proto")]
    pub fn protocol(&self) -> io::Result<Protocol> {
        self.option(option::SO_PROTOCOL)
    }

    /// Sets the permissions that the path of a UNIX socket will have when it is bound, less the
    /// umask: fchmod(2).
    ///
    /// Setting them before the bind leaves no moment at which other users can connect.
    ///
    /// # Errors
    ///
    /// As fchmod(2).
    #[doc(alias = "fchmod")]
    pub fn set_permissions(&self, mode: u32) -> io::Result<()> {
        sys::socket::change_mode(self.as_fd(), mode)
    }
}

/// Receiving.
impl Socket {
    /// Receives into a buffer and returns the number of bytes: recv(2). Zero is the end of a
    /// connection, or an empty datagram.
    ///
    /// An empty buffer receives nothing: no system call is made, and a datagram stays in the queue.
    ///
    /// # Errors
    ///
    /// As recv(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send_all(b"ahoy")?;
    /// drop(one);
    /// let mut buffer = [0; 16];
    /// assert_eq!(other.recv(&mut buffer)?, 4);
    /// assert_eq!(other.recv(&mut buffer)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recv_into")]
    #[doc(alias = "read")]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.call(Interest::Read, || sys::socket::recv(self.as_fd(), buffer, self.mode()))
    }

    /// Receives into the spare capacity of a vector, after its content, and returns the number of
    /// bytes.
    ///
    /// The spare capacity does not have to be initialised. A vector without any receives nothing.
    ///
    /// # Errors
    ///
    /// As recv(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"ahoy")?;
    /// let mut buffer = Vec::with_capacity(64 * 1024);
    /// assert_eq!(other.recv_append(&mut buffer)?, 4);
    /// assert_eq!(buffer, b"ahoy");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_append(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if buffer.len() == buffer.capacity() {
            return Ok(0);
        }
        self.call(Interest::Read, || sys::socket::recv_append(self.as_fd(), buffer, self.mode()))
    }

    /// Receives one message and returns its length, which exceeds that of the buffer if the message
    /// was truncated: MSG_TRUNC, recv(2). TIPC does not report the length of a truncated message;
    /// it is then the buffer's plus one.
    ///
    /// The peer chooses the length, so `&buffer[..len]` panics when a peer sends a longer message
    /// than expected. Compare `len` with the buffer's length first, or take
    /// `&buffer[..len.min(buffer.len())]`.
    ///
    /// # Errors
    ///
    /// As recv(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// one.send(b"longer than a buffer")?;
    /// let mut buffer = [0; 6];
    /// let len = other.recv_message(&mut buffer)?;
    /// assert_eq!(len, 20);
    /// assert_eq!(&buffer[..len.min(buffer.len())], b"longer");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_TRUNC")]
    pub fn recv_message(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len();
        let message = self.recv_msg(&mut [IoSliceMut::new(buffer)], 0, MessageFlags::TRUNC)?;
        let truncated = message.flags.contains(MessageFlags::TRUNC);
        Ok(if truncated { message.len.max(size + 1) } else { message.len })
    }

    /// Receives a datagram and returns its length and source address: recvfrom(2).
    ///
    /// The kernel reports no source on most connections; it is then [`Address::Unspecified`], or
    /// [`UnixName::Unnamed`] over AF_UNIX.
    ///
    /// # Errors
    ///
    /// As recvfrom(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::net::{Ipv4Addr, UdpSocket};
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind(&(Ipv4Addr::LOCALHOST, 0).into())?;
    /// let peer = UdpSocket::bind("127.0.0.1:0")?;
    /// peer.send_to(b"ahoy", ("127.0.0.1", socket.local_addr()?.port().unwrap_or(0)))?;
    /// assert_eq!(socket.recv_from(&mut [0; 16])?, (4, peer.local_addr()?.into()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvfrom")]
    #[doc(alias = "recvfrom_into")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let receive = || sys::socket::recv_from(self.as_fd(), buffer, self.mode());
        let (len, from) = self.call(Interest::Read, receive)?;
        Ok((len, self.sender(&from)))
    }

    /// Receives a message into several buffers, with its control messages: recvmsg(2).
    ///
    /// `control` is the buffer space for control messages in bytes: see
    /// [`control_space`](crate::control_space). The kernel drops control messages that do not fit
    /// and sets [`MessageFlags::CTRUNC`]. Received descriptors belong to the [`Message`], which
    /// closes them when it is dropped; with no space for them the kernel installs none.
    ///
    /// # Errors
    ///
    /// As recvmsg(2).
    ///
    /// ```
    /// use echosounder_socket::{ControlMessage, Family, MessageFlags, Protocol, SendControl, Socket, Type};
    /// use echosounder_socket::control_space;
    /// use std::io::{IoSlice, IoSliceMut};
    /// use std::os::fd::AsFd;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let ours = [std::io::stdin()];
    /// let fds = [ours[0].as_fd()];
    /// one.send_msg(&[IoSlice::new(b"take this")], &[SendControl::Rights(&fds)], None, MessageFlags::NONE)?;
    ///
    /// let mut buffer = [0; 16];
    /// let space = control_space(size_of::<i32>());
    /// let message = other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
    /// assert_eq!(message.len, 9);
    /// assert!(matches!(&message.control[..], [ControlMessage::Rights(fds)] if fds.len() == 1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvmsg")]
    #[doc(alias = "recv_fds")]
    #[doc(alias = "recvmsg_into")]
    pub fn recv_msg(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        control: usize,
        flags: MessageFlags,
    ) -> io::Result<Message> {
        let receive = || sys::message::receive(self.as_fd(), buffers, control, flags.0 | self.mode());
        let sys::message::Received { len, from, control, flags } =
            self.call_wait_with(flags).call(self.as_fd(), Interest::Read, receive)?;
        Ok(Message { len, from: self.sender(&from), control, flags: MessageFlags(flags) })
    }

    /// Receives the messages in the queue, as many as the batch holds, and returns their number:
    /// recvmmsg(2). The call waits for the first message only.
    ///
    /// # Errors
    ///
    /// As recvmmsg(2).
    ///
    /// ```
    /// use echosounder_socket::{Batch, Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// one.send(b"ahoy")?;
    /// one.send(b"there")?;
    /// let mut batch = Batch::new(8, 64);
    /// assert_eq!(other.recv_many(&mut batch)?, 2);
    /// assert_eq!(batch.bytes(1), b"there");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvmmsg")]
    pub fn recv_many(&self, batch: &mut Batch) -> io::Result<usize> {
        let received = self.call(Interest::Read, || batch.receive(self.as_fd(), self.mode()))?;
        batch.set_unnamed_sender(|| self.sender(&RawAddress::empty()));
        Ok(received)
    }
}

/// Sending.
impl Socket {
    /// Sends bytes and returns how many the kernel has accepted: send(2).
    ///
    /// # Errors
    ///
    /// As send(2): EPIPE, without SIGPIPE, if the connection is closed.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.set_blocking(false)?;
    /// let accepted = one.send(&[0; 10_000_000])?;
    /// assert!(accepted < 10_000_000, "more than the kernel's buffers hold");
    /// drop(other);
    /// assert_eq!(one.send(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "write")]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.call(Interest::Write, || sys::socket::send(self.as_fd(), bytes, self.mode()))
    }

    /// Sends all bytes, in several calls if necessary, under one timeout. An empty slice is sent as
    /// one empty message.
    ///
    /// SCTP refuses a send that exceeds its send buffer (EMSGSIZE); such data is sent in smaller
    /// parts.
    ///
    /// # Errors
    ///
    /// As send(2), with the number of bytes sent before the error.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::time::Duration;
    ///
    /// let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.set_timeout(Some(Duration::from_millis(20)))?;
    /// let error = one.send_all(&[0; 10_000_000]).unwrap_err();
    /// assert_eq!(error.source.kind(), std::io::ErrorKind::TimedOut);
    /// assert!(0 < error.sent && error.sent < 10_000_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendall")]
    pub fn send_all(&self, bytes: &[u8]) -> Result<(), Unfinished> {
        self.send_all_with(bytes, MessageFlags::NONE)
    }

    /// Sends all bytes like [`send_all`](Self::send_all), with flags for each send(2).
    ///
    /// # Errors
    ///
    /// As send(2), with the number of bytes sent before the error; `WouldBlock` with
    /// [`MessageFlags::DONTWAIT`].
    ///
    /// ```
    /// use echosounder_socket::{MessageFlags, ServerOptions, Transport, create_connection, create_server};
    /// use std::net::Ipv4Addr;
    ///
    /// let server = create_server(Transport::Tcp, &(Ipv4Addr::LOCALHOST, 0).into(), ServerOptions::default())?;
    /// let client = create_connection(&format!("tcp://{}", server.local_addr()?).parse()?, None, None)?;
    /// client.send_all_with(b"a header, ", MessageFlags::MORE)?;
    /// client.send_all(b"and what comes next")?; // Both leave in one segment.
    /// let (connection, _) = server.accept()?;
    /// assert_eq!(connection.recv(&mut [0; 64])?, 29);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "sendall")]
    pub fn send_all_with(&self, bytes: &[u8], flags: MessageFlags) -> Result<(), Unfinished> {
        let mut wait = self.call_wait_with(flags);
        if wait.has_limit() {
            wait = wait.started();
        }
        let mut sent = 0;
        let mut part_max = bytes.len();
        loop {
            let part = &bytes[sent..bytes.len().min(sent + part_max)];
            let send = || sys::socket::send(self.as_fd(), part, flags.0 | self.mode());
            match wait.call(self.as_fd(), Interest::Write, send) {
                // A signal does not fail a send that has begun, but cuts it short: signal(7).
                Ok(len) if len < part.len() => {
                    sent += len;
                    let interrupted = crate::wait::interrupted();
                    interrupted.map_err(|source| Unfinished { sent: sent as u64, source })?;
                }
                Ok(len) => sent += len,
                Err(error) if 1 < part.len() && is_too_long(&error) && self.is_stream() => {
                    part_max = part.len() / 2;
                    continue;
                }
                Err(source) => return Err(Unfinished { sent: sent as u64, source }),
            }
            if sent == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Returns the source of a message that the kernel reported as `from`. It reports an empty
    /// address for the peer of a connection and for an unbound UNIX socket, which has the address
    /// "unnamed".
    fn sender(&self, from: &RawAddress) -> Address {
        if from.len() == 0 && self.is_unix() { UnixName::Unnamed.into() } else { Address::from(from) }
    }

    fn is_unix(&self) -> bool {
        let mut family = self.family.load(Ordering::Relaxed);
        if family == UNKNOWN {
            family = self.family().map_or(UNKNOWN, |family| family.0);
            self.family.store(family, Ordering::Relaxed);
        }
        family == libc::AF_UNIX
    }

    fn is_stream(&self) -> bool {
        self.socket_type().is_ok_and(|kind| kind == Type::STREAM)
    }

    /// Sends a datagram to an address: sendto(2). On an unconnected TIPC stream or seqpacket socket
    /// it also connects.
    ///
    /// # Errors
    ///
    /// As sendto(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::net::SocketAddr;
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    /// socket.send_to(b"ahoy", &socket.local_addr()?)?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(socket.recv_from(&mut buffer)?, (4, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendto")]
    pub fn send_to(&self, bytes: &[u8], to: &Address) -> io::Result<usize> {
        let to = RawAddress::try_from(to)?;
        self.call(Interest::Write, || sys::socket::send_to(self.as_fd(), bytes, self.mode(), &to))
    }

    /// Sends a message from several buffers, with control messages, to an address or to the peer:
    /// sendmsg(2).
    ///
    /// # Errors
    ///
    /// As sendmsg(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, MessageFlags, Protocol, Socket, Type};
    /// use std::io::IoSlice;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT)?;
    /// let parts = [IoSlice::new(b"in "), IoSlice::new(b"parts")];
    /// assert_eq!(one.send_msg(&parts, &[], None, MessageFlags::NONE)?, 8);
    /// let mut buffer = [0; 16];
    /// let len = other.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"in parts");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendmsg")]
    #[doc(alias = "send_fds")]
    pub fn send_msg(
        &self,
        buffers: &[IoSlice<'_>],
        control: &[SendControl<'_>],
        to: Option<&Address>,
        flags: MessageFlags,
    ) -> io::Result<usize> {
        let (control, to) = (SendControl::encode_all(control)?, to.map(RawAddress::try_from).transpose()?);
        let send = || sys::message::send(self.as_fd(), buffers, &control, to.as_ref(), flags.0 | self.mode());
        self.call_wait_with(flags).call(self.as_fd(), Interest::Write, send)
    }

    /// Sends several messages and returns how many were sent: sendmmsg(2).
    ///
    /// # Errors
    ///
    /// As sendmmsg(2), if the first message cannot be sent. An error of a later message ends the
    /// call early; send the rest in a second call to learn the reason.
    ///
    /// ```
    /// use echosounder_socket::{Family, Outgoing, Protocol, Socket, Type};
    /// use std::io::IoSlice;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// let words = [[IoSlice::new(b"ahoy")], [IoSlice::new(b"there")]];
    /// let messages = words.each_ref().map(|buffers| Outgoing { buffers, control: &[], to: None });
    /// assert_eq!(one.send_many(&messages)?, 2);
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendmmsg")]
    pub fn send_many(&self, messages: &[Outgoing<'_>]) -> io::Result<usize> {
        let ready = messages.iter().map(|message| {
            Ok(sys::message::Outgoing {
                buffers: message.buffers,
                control: SendControl::encode_all(message.control)?,
                to: message.to.map(RawAddress::try_from).transpose()?,
            })
        });
        let ready = ready.collect::<io::Result<Vec<_>>>()?;
        self.call(Interest::Write, || sys::message::send_many(self.as_fd(), &ready, self.mode()))
    }
}

/// Sending files.
impl Socket {
    /// Sends `count` bytes of a file, or all of it, from `offset` on: sendfile(2). Returns the
    /// number of bytes sent, which is less than `count` if the file ends.
    ///
    /// The kernel copies the bytes directly if the file and the socket support it. The position of
    /// the file does not change. The timeout applies to each wait, not to the whole transfer.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket that is non-blocking or not a stream, otherwise as sendfile(2),
    /// with the number of bytes sent before the error.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::fs::File;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let sent = one.send_file(&File::open("src/lib.rs")?, 0, Some(3))?;
    /// assert_eq!(sent, 3);
    /// let mut buffer = [0; 16];
    /// let len = other.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"//!");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendfile")]
    pub fn send_file(&self, file: &impl AsFd, offset: u64, count: Option<u64>) -> Result<u64, Unfinished> {
        let unfit = |source| Unfinished { sent: 0, source };
        if self.timeout() == Some(Duration::ZERO) || self.socket_type().map_err(unfit)? != Type::STREAM {
            return Err(unfit(io::Error::new(
                io::ErrorKind::InvalidInput,
                "sendfile needs a blocking stream socket",
            )));
        }
        let send = || self.send_file_in_parts(file.as_fd(), offset, count);
        sys::sigmask::without_sigpipe(send).unwrap_or_else(|source| Err(unfit(source)))
    }

    fn send_file_in_parts(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        count: Option<u64>,
    ) -> Result<u64, Unfinished> {
        let mut sent = 0;
        let mut wait = self.call_wait();
        let size = sys::sendfile::size(file).map_err(|source| Unfinished { sent, source })?;
        loop {
            // A count beyond the end of the file makes the kernel set MSG_MORE, and SCTP then waits
            // for more data.
            let known = Some(size.saturating_sub(offset + sent)).filter(|&left| left != 0);
            let wanted = count.map_or(SEND_FILE_MAX, |count| (count - sent).min(SEND_FILE_MAX));
            let wanted = known.map_or(wanted, |left| wanted.min(left));
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            if wanted == 0 {
                return Ok(sent);
            }
            let result = wait.call(self.as_fd(), Interest::Write, || {
                self.nonblocking(|| sys::sendfile::sendfile(self.as_fd(), file, offset + sent, wanted))
            });
            let result = match result {
                // Some files and some sockets support no sendfile(2).
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                    self.send_copy(file, offset + sent, wanted, &mut wait)
                }
                result => result,
            };
            wait.restart();
            match result {
                Ok(0) => return Ok(sent),
                Ok(len) => {
                    sent += len as u64;
                    if len < wanted {
                        crate::wait::interrupted().map_err(|source| Unfinished { sent, source })?;
                    }
                }
                Err(source) => return Err(Unfinished { sent, source }),
            }
        }
    }

    fn send_copy(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        wanted: usize,
        wait: &mut CallWait,
    ) -> io::Result<usize> {
        let mut buffer = vec![0; wanted.min(64 * 1024)];
        let len = sys::sendfile::read_at(file, &mut buffer, offset)?;
        if len == 0 {
            return Ok(0);
        }
        let send = || sys::socket::send(self.as_fd(), &buffer[..len], self.mode());
        wait.call(self.as_fd(), Interest::Write, send)
    }
}

/// Socket options.
impl Socket {
    /// Sets an option: setsockopt(2).
    ///
    /// # Errors
    ///
    /// As setsockopt(2): EINVAL for a name that the kernel would truncate.
    ///
    /// ```
    /// use echosounder_socket::option::SO_KEEPALIVE;
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// assert!(!socket.option(SO_KEEPALIVE)?);
    /// socket.set_option(SO_KEEPALIVE, true)?;
    /// assert!(socket.option(SO_KEEPALIVE)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setsockopt")]
    pub fn set_option<T: OptionValue>(&self, option: SocketOption<T>, value: T) -> io::Result<()> {
        if !value.fits() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.set_option_bytes(option.level, option.name, &value.encode())
    }

    /// Returns the value of an option: getsockopt(2).
    ///
    /// # Errors
    ///
    /// As getsockopt(2); `InvalidData` if the kernel returns no value of the option's type.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type, option};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// socket.set_option(option::TCP_NODELAY, true)?;
    /// assert!(socket.option(option::TCP_NODELAY)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockopt")]
    pub fn option<T: OptionValue>(&self, option: SocketOption<T>) -> io::Result<T> {
        let bytes = self.option_bytes(option.level, option.name, T::LEN_MAX)?;
        T::decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Sets any option, with its value as bytes: setsockopt(2).
    ///
    /// The values of some options contain memory addresses or descriptor numbers (SO_ATTACH_FILTER,
    /// SO_ATTACH_BPF, IPT_SO_SET_REPLACE, RDS_GET_MR, XDP_UMEM_REG). The kernel reads or writes
    /// that memory and uses that descriptor without regard to its owner in this process, so the
    /// caller must make sure that the value is valid.
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// let (sol_socket, so_keepalive) = (1, 9);
    /// socket.set_option_bytes(sol_socket, so_keepalive, &1_i32.to_ne_bytes())?;
    /// assert_eq!(socket.option_bytes(sol_socket, so_keepalive, 4)?, 1_i32.to_ne_bytes());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setsockopt")]
    pub fn set_option_bytes(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        sys::socket::set_option(self.as_fd(), level, name, value)
    }

    /// Sets any option with a null pointer as its value and a length of `len`: setsockopt(2). Some
    /// options of the kernel take only that.
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "setsockopt")]
    pub fn clear_option(&self, level: i32, name: i32, len: u32) -> io::Result<()> {
        sys::socket::clear_option(self.as_fd(), level, name, len)
    }

    /// Returns the value of any option as bytes, at most `len_max` of them: getsockopt(2).
    ///
    /// # Errors
    ///
    /// As getsockopt(2); `InvalidInput` if `len_max` is not from 1 to 1024.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// let (ipproto_tcp, tcp_info) = (6, 11);
    /// let info = socket.option_bytes(ipproto_tcp, tcp_info, 1024)?;
    /// assert!(info.len() < 1024);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockopt")]
    pub fn option_bytes(&self, level: i32, name: i32, len_max: usize) -> io::Result<Vec<u8>> {
        if !(1..=OPTION_MAX).contains(&len_max) {
            let message = "the length of an option must be from 1 to 1024 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut value = vec![0; len_max];
        let len = sys::socket::option(self.as_fd(), level, name, &mut value)?;
        value.truncate(len);
        Ok(value)
    }

    /// Returns whether a receive of no bytes from a connected [`SEQPACKET`](crate::Type::SEQPACKET)
    /// socket of UNIX or VSOCK was the end of the connection rather than a message without content.
    /// recv(2) returns 0 for both.
    ///
    /// The kernel reports when the peer has finished (POLLRDHUP, poll(2)), but earlier messages may
    /// still have to be received. If that is nothing but empty messages, they are taken for the
    /// end.
    ///
    /// # Errors
    ///
    /// As poll(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT)?;
    /// other.send(b"")?;
    /// assert_eq!((one.recv(&mut [0; 8])?, one.has_ended()?), (0, false));
    /// drop(other);
    /// assert_eq!((one.recv(&mut [0; 8])?, one.has_ended()?), (0, true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "POLLRDHUP")]
    pub fn has_ended(&self) -> io::Result<bool> {
        if !peer_has_finished(self.as_fd())? {
            return Ok(false);
        }
        let next = self.recv_msg(&mut [IoSliceMut::new(&mut [0])], 0, MessageFlags::PEEK);
        Ok(next.map_or(true, |message| message.len == 0))
    }

    /// Returns the pending error of the socket and clears it: SO_ERROR, socket(7).
    ///
    /// # Errors
    ///
    /// The pending error.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"unread")?;
    /// drop(other);
    /// assert_eq!(one.take_error().unwrap_err().kind(), ErrorKind::ConnectionReset);
    /// one.take_error()?; // The error was cleared.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_ERROR")]
    pub fn take_error(&self) -> io::Result<()> {
        match self.option(option::SO_ERROR)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Blocking modes.
impl Socket {
    /// Sets whether calls wait: `true` means no timeout, `false` a timeout of zero.
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
    /// one.set_blocking(false)?;
    /// assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setblocking")]
    #[doc(alias = "FIONBIO")]
    pub fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        self.set_timeout(if blocking { None } else { Some(Duration::ZERO) })
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
    /// socket.set_blocking(false)?;
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
