//! The socket object.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::address::Address;
use crate::batch::Batch;
use crate::control::{ControlMessage, SendControl};
use crate::error::is_too_long;
use crate::family::unix::UnixName;
use crate::family::{Family, Protocol, Type};
use crate::option::{self, OptionValue, SocketOption};
use crate::poll::{Interest, peer_has_finished};
use crate::raw_address::RawAddress;
use crate::sys;
use crate::wait::{Timeout, Waits};

/// Most bytes of an option that is read as bytes, as CPython has it.
const OPTION_MAX: usize = 1024;

/// Most bytes that one sendfile(2) is asked for, as CPython has it.
const SEND_FILE_MAX: u64 = 1 << 30;

/// Which direction of a connection is shut down: shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more will be read.
    Read,
    /// Nothing more will be written; the peer reads the end.
    Write,
    /// Both.
    Both,
}

/// A socket: a descriptor that is closed when it is dropped, and, of those made here, not inherited.
///
/// # How calls wait
///
/// [`set_timeout`](Self::set_timeout) chooses one of three modes for every call that may have to wait:
///
/// | timeout | the descriptor | a call that cannot go on |
/// |---|---|---|
/// | `None`, as in a new socket | blocks | waits in the kernel |
/// | zero | does not block | fails with `WouldBlock` |
/// | longer | does not block | waits with poll(2) until it can, or fails with `TimedOut` when the time is up |
///
/// A call is tried before it waits, so one that need not wait costs one system call in every mode. The time is
/// measured by the monotonic clock, and is that of the whole call. SO_RCVTIMEO and SO_SNDTIMEO are not used, but for a
/// connect to a UNIX listener whose queue is full.
///
/// Whether a descriptor blocks is a property of the socket that duplicates share, the timeout is one of this
/// object. A timeout holds whatever duplicates make of the descriptor: receives and sends say in each call that they do
/// not block (MSG_DONTWAIT), and [`accept`](Self::accept), [`connect`](Self::connect) and
/// [`send_file`](Self::send_file) look first whether the descriptor does. What follows the descriptor is a socket
/// without a timeout, whose calls fail with `WouldBlock` if a duplicate has been given one, and an accept or connect
/// with a timeout of zero.
///
/// # Signals
///
/// A write to a connection that is gone is an error (EPIPE), never a signal. A call that a signal handler
/// interrupts goes on, unless the [hook](crate::set_interrupt_hook) says otherwise.
#[derive(Debug)]
#[doc(alias = "fileno")]
pub struct Socket {
    fd: OwnedFd,
    timeout: Timeout,
    /// The family's number, once it is known: what has no address is another thing for each family.
    family: AtomicI32,
}

// A server has one for each connection.
const _: () = assert!(size_of::<Socket>() == 16);

/// No family's number.
const UNKNOWN: i32 = -1;

/// How a message is to be sent or received, or was: the MSG_ flags of send(2) and recv(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessageFlags(pub i32);

impl MessageFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Control messages were lost for want of room.
    pub const CTRUNC: Self = Self(libc::MSG_CTRUNC);
    /// Do not wait, whatever the timeout says.
    pub const DONTWAIT: Self = Self(libc::MSG_DONTWAIT);
    /// The end of a record.
    pub const EOR: Self = Self(libc::MSG_EOR);
    /// Read from the queue of errors; never waits.
    pub const ERRQUEUE: Self = Self(libc::MSG_ERRQUEUE);
    /// More will follow at once.
    pub const MORE: Self = Self(libc::MSG_MORE);
    /// Urgent data; of TIPC groups, a member has come or gone.
    pub const OOB: Self = Self(libc::MSG_OOB);
    /// Leave what is read where it is.
    pub const PEEK: Self = Self(libc::MSG_PEEK);
    /// A message was longer than the room for it; asked for, the length that is told is the message's own.
    pub const TRUNC: Self = Self(libc::MSG_TRUNC);
    /// Wait until the buffer is full.
    pub const WAITALL: Self = Self(libc::MSG_WAITALL);

    /// Whether all flags of `other` are among these.
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
    /// How many bytes it put into the buffers. If [`MessageFlags::TRUNC`] was asked for, how many the message has, which
    /// may be more than the buffers hold.
    pub len: usize,
    /// Who sent it, on sockets without connection. Where the kernel names nobody, as on most connections, it is
    /// [`Address::Unspecified`], but [`UnixName::Unnamed`] over AF_UNIX.
    pub from: Address,
    /// What came beside the bytes.
    pub control: Vec<ControlMessage>,
    /// What the kernel says of it.
    pub flags: MessageFlags,
}

/// A message for [`Socket::send_many`].
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its bytes, in pieces.
    pub buffers: &'a [IoSlice<'a>],
    /// What goes beside them.
    pub control: &'a [SendControl<'a>],
    /// To where, unless the socket is connected.
    pub to: Option<&'a Address>,
}

/// Not everything has been sent.
#[derive(Debug, thiserror::Error)]
#[error("sent {sent} bytes")]
pub struct Unfinished {
    /// How many bytes have been.
    pub sent: u64,
    /// Why not the others.
    pub source: io::Error,
}

impl From<Unfinished> for io::Error {
    fn from(error: Unfinished) -> Self {
        error.source
    }
}

/// A descriptor is not a socket: [`Socket::from_fd`]. As an [`io::Error`] it is `source` alone, and the descriptor is
/// closed.
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
    /// The descriptor, open.
    pub fd: OwnedFd,
    /// The kernel's reason.
    pub source: io::Error,
}

impl From<FromFdError> for io::Error {
    fn from(error: FromFdError) -> Self {
        error.source
    }
}

/// Making sockets, and giving them away.
impl Socket {
    /// Makes a socket: socket(2). It blocks, unless the type has SOCK_NONBLOCK in it, and is not inherited.
    ///
    /// # Errors
    ///
    /// As socket(2); [`is_family_absent`](crate::is_family_absent) tells whether this kernel lacks the family.
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
            // A protocol that is turned off (net.mptcp.enabled) is as good as none.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                Err(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT))
            }
            fd => fd.map(|fd| Self::made(fd, family, kind)),
        }
    }

    /// Makes two connected sockets: socketpair(2). UNIX and TIPC have them.
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
        Ok((Self::made(one, family, kind), Self::made(other, family, kind)))
    }

    /// Takes a descriptor that came from elsewhere. Its mode is found out; what it is, [`family`](Self::family),
    /// [`socket_type`](Self::socket_type) and [`protocol`](Self::protocol) tell.
    ///
    /// # Errors
    ///
    /// ENOTSOCK if it is no socket; the error has the descriptor, which is still open.
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

    /// A second descriptor of the same socket, with the same timeout: fcntl(2) with F_DUPFD_CLOEXEC.
    ///
    /// # Errors
    ///
    /// If no descriptor is left.
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

    /// Gives the descriptor away, open. The same as `OwnedFd::from`.
    ///
    /// It stays in its mode: that of a socket with a timeout does not block, and the types of std fail with `WouldBlock`
    /// until [`set_blocking`](Self::set_blocking) has been called here, or `set_nonblocking(false)` there.
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

    /// Closes the socket and says how that went: close(2). Dropping it does the same without a word.
    ///
    /// The descriptor is gone even if there was an error. EINTR is none, since Linux has closed it then; neither is
    /// ECONNRESET, which says of the peer what no longer matters.
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

    /// Whether programs that this process executes get the descriptor: FD_CLOEXEC, fcntl(2).
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

    /// Sets whether programs that this process executes get the descriptor. At first they do not.
    ///
    /// # Errors
    ///
    /// As fcntl(2).
    pub fn set_inheritable(&self, inheritable: bool) -> io::Result<()> {
        sys::socket::set_inheritable(self.as_fd(), inheritable)
    }

    /// A socket that has just been made, in the mode that its type asks for.
    fn made(fd: OwnedFd, family: Family, kind: Type) -> Self {
        let nonblocking = kind.0 & libc::SOCK_NONBLOCK != 0;
        Self::with(fd, nonblocking.then_some(Duration::ZERO), family.0)
    }

    fn with(fd: OwnedFd, timeout: Option<Duration>, family: i32) -> Self {
        Self { fd, timeout: Timeout::of(timeout), family: AtomicI32::new(family) }
    }
}

/// Names and connections.
impl Socket {
    /// Gives the socket a name: bind(2). TIPC sockets can have several.
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

    /// Lets peers connect: listen(2). The queue is as long as the system allows (net.core.somaxconn).
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

    /// Lets peers connect, with a queue of so many, up to what the system allows.
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
    /// listener.bind(&UnixName::Unnamed.into())?; // The kernel makes up a name.
    /// listener.listen_with(0)?;
    /// let [first, second] = [(); 2].map(|()| Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT));
    /// first?.connect(&listener.local_addr()?)?;
    /// let second = second?;
    /// second.set_timeout(Some(Duration::from_millis(10)))?;
    /// assert!(second.connect(&listener.local_addr()?).is_err(), "the queue has room for one");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn listen_with(&self, backlog: u32) -> io::Result<()> {
        sys::socket::listen(self.as_fd(), i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// Takes the next connection from the queue, as a socket that blocks, and the peer's address: accept4(2).
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

    /// Takes the next connection from the queue, as a socket that does not block, and the peer's address.
    ///
    /// # Errors
    ///
    /// As accept4(2); `WouldBlock` if the listener does not block and the queue is empty.
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

    /// Connects, or sets where datagrams go and come from: connect(2).
    ///
    /// With a timeout the connection is waited for, also where the kernel knows no readiness to wait for: at a UNIX
    /// listener whose queue is full.
    ///
    /// # Errors
    ///
    /// As connect(2); for sockets that never wait see [`is_in_progress`](Self::is_in_progress).
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
        let mut waits = self.waits();
        if waits.any() {
            waits = waits.started();
        }
        let mut began = false;
        loop {
            let error = match self.nonblocking(|| sys::socket::connect(self.as_fd(), &raw)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                // Called again it goes on where it was, and says so.
                Some(libc::EINTR) => crate::wait::interrupted()?,
                Some(libc::EISCONN) if began => return Ok(()),
                // SCTP says so to a call that comes behind an interrupted one, even if that blocks.
                Some(libc::EINPROGRESS | libc::EALREADY) if waits.any() || began => {
                    waits.wait(self.as_fd(), Interest::Write)?;
                    return self.take_error();
                }
                Some(libc::EAGAIN) if waits.any() && address.family() == Family::UNIX => {
                    return self.connect_at_queue(&raw, &waits);
                }
                _ => return Err(error),
            }
            began = true;
        }
    }

    /// Connects to a UNIX listener whose queue is full: the kernel waits, for as long as SO_SNDTIMEO says.
    fn connect_at_queue(&self, address: &RawAddress, waits: &Waits) -> io::Result<()> {
        let before = self.option(option::SO_SNDTIMEO)?;
        let nonblocking = sys::socket::is_nonblocking(self.as_fd())?;
        sys::socket::set_nonblocking(self.as_fd(), false)?;
        let result = loop {
            // Zero would be no limit.
            let left = waits.left().unwrap_or(Duration::MAX).max(Duration::from_micros(1));
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

    /// Connects and tells the error's number, 0 if there was none. A timeout is EAGAIN, as in Python.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use echosounder_socket::family::unix::UnixName;
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let nobody = UnixName::Path(b"/nobody/is/here".as_slice().into());
    /// assert_eq!(socket.connect_ex(&nobody.into()), 2); // ENOENT
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_ex(&self, address: &Address) -> i32 {
        match self.connect(address) {
            Ok(()) => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => libc::EINTR,
            Err(error) => error.raw_os_error().unwrap_or(libc::EAGAIN),
        }
    }

    /// Whether a connect that did not wait goes on in the background, to end when the socket is writable; then
    /// [`take_error`](Self::take_error) tells how.
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

    /// Ends one direction of a connection, or both: shutdown(2).
    ///
    /// # Errors
    ///
    /// As shutdown(2); `NotConnected` if the peer has already gone; EINVAL for one direction of a TIPC connection.
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
    pub fn shutdown(&self, half: Shutdown) -> io::Result<()> {
        let how = match half {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        sys::socket::shutdown(self.as_fd(), how)
    }

    /// This socket's address: getsockname(2).
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
    /// let nowhere = Address::from((Ipv4Addr::UNSPECIFIED, 0));
    /// assert_eq!(socket.local_addr()?, nowhere);
    /// socket.bind(&nowhere)?;
    /// assert_ne!(socket.local_addr()?.port(), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<Address> {
        sys::socket::local_address(self.as_fd()).map(|raw| Address::from(&raw))
    }

    /// The peer's address: getpeername(2).
    ///
    /// # Errors
    ///
    /// As getpeername(2); `NotConnected` without a peer.
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

    /// The family: SO_DOMAIN, socket(7).
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

    /// The type: SO_TYPE, socket(7).
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

    /// The protocol: SO_PROTOCOL, socket(7).
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

    /// Sets the permissions that the path of a UNIX socket will have, less the umask, when it is bound:
    /// fchmod(2). So there is no moment at which others may connect.
    ///
    /// # Errors
    ///
    /// As fchmod(2).
    #[doc(alias = "fchmod")]
    pub fn set_permissions(&self, mode: u32) -> io::Result<()> {
        sys::socket::change_mode(self.as_fd(), mode)
    }
}

/// Receiving and sending.
impl Socket {
    /// Reads what is there: recv(2). Zero is the end of a connection, or an empty datagram.
    ///
    /// Without room for a byte nothing is asked of the kernel, and a datagram stays where it is.
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

    /// Reads what is there behind what the buffer has, into the room it has left, which need not be set before.
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

    /// Reads one message, and returns how long it was: more than the buffer if a part of it was lost
    /// (MSG_TRUNC, recv(2)). TIPC does not tell how much more; then it is one byte.
    ///
    /// The length is the peer's to choose, so `&buffer[..len]` would panic as soon as a peer sends a longer message.
    /// Compare it with the buffer's length first, or take `&buffer[..len.min(buffer.len())]`.
    ///
    /// # Errors
    ///
    /// As recv(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// one.send(b"longer than the room")?;
    /// let mut buffer = [0; 6];
    /// let len = other.recv_message(&mut buffer)?;
    /// assert_eq!(len, 20);
    /// assert_eq!(&buffer[..len.min(buffer.len())], b"longer");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_TRUNC")]
    pub fn recv_message(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let message = self.recv_msg(&mut [IoSliceMut::new(buffer)], 0, MessageFlags::TRUNC)?;
        let cut = message.flags.contains(MessageFlags::TRUNC);
        Ok(if cut { message.len.max(room + 1) } else { message.len })
    }

    /// Receives a datagram and its sender's address: recvfrom(2). Where the kernel names nobody, as on most connections,
    /// the address is [`Address::Unspecified`], but [`UnixName::Unnamed`] over AF_UNIX.
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

    /// Receives a message into several buffers, with what the kernel tells beside it: recvmsg(2).
    ///
    /// There is room for `control` bytes of control messages: see [`control_space`](crate::control_space). What does
    /// not fit is lost, and [`MessageFlags::CTRUNC`] says so. Descriptors that come are ours, and closed with the
    /// message; without room for them the kernel takes none.
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
    /// let room = control_space(4);
    /// let message = other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], room, MessageFlags::NONE)?;
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
            self.waits_with(flags).call(self.as_fd(), Interest::Read, receive)?;
        Ok(Message { len, from: self.sender(&from), control, flags: MessageFlags(flags) })
    }

    /// Receives the messages that are there, up to a batch: recvmmsg(2). It waits for the first alone.
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

    /// Writes as much as the kernel takes: send(2).
    ///
    /// # Errors
    ///
    /// As send(2), with EPIPE instead of a signal.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.set_blocking(false)?;
    /// let taken = one.send(&[0; 10_000_000])?;
    /// assert!(taken < 10_000_000, "more than the kernel keeps for the peer");
    /// drop(other);
    /// assert_eq!(one.send(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "write")]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.call(Interest::Write, || sys::socket::send(self.as_fd(), bytes, self.mode()))
    }

    /// Writes everything, as often as it takes, within one timeout altogether. Of nothing it sends one empty
    /// message.
    ///
    /// SCTP takes no more at once than its send buffer holds, and gets it in pieces.
    ///
    /// # Errors
    ///
    /// As send(2), and how much went out before.
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

    /// Does the same with flags, which every send of it has.
    ///
    /// # Errors
    ///
    /// As send(2), and how much went out before; `WouldBlock` with [`MessageFlags::DONTWAIT`], whatever the timeout.
    ///
    /// ```
    /// use echosounder_socket::{MessageFlags, ServerOptions, Transport, create_connection, create_server};
    /// use std::net::Ipv4Addr;
    ///
    /// let server = create_server(Transport::Tcp, &(Ipv4Addr::LOCALHOST, 0).into(), ServerOptions::default())?;
    /// let client = create_connection(&format!("tcp://{}", server.local_addr()?).parse()?, None, None)?;
    /// client.send_all_with(b"a header, ", MessageFlags::MORE)?;
    /// client.send_all(b"and what follows it")?; // Both leave in one segment.
    /// let (connection, _) = server.accept()?;
    /// assert_eq!(connection.recv(&mut [0; 64])?, 29);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "sendall")]
    pub fn send_all_with(&self, bytes: &[u8], flags: MessageFlags) -> Result<(), Unfinished> {
        let mut waits = self.waits_with(flags);
        if waits.any() {
            waits = waits.started();
        }
        let mut sent = 0;
        let mut most = bytes.len();
        loop {
            let piece = &bytes[sent..bytes.len().min(sent + most)];
            let send = || sys::socket::send(self.as_fd(), piece, flags.0 | self.mode());
            match waits.call(self.as_fd(), Interest::Write, send) {
                // A signal does not fail a send that has begun, but makes it stop short.
                Ok(len) if len < piece.len() => {
                    sent += len;
                    let told = crate::wait::interrupted();
                    told.map_err(|source| Unfinished { sent: sent as u64, source })?;
                }
                Ok(len) => sent += len,
                Err(error) if 1 < piece.len() && is_too_long(&error) && self.is_stream() => {
                    most = piece.len() / 2;
                    continue;
                }
                Err(source) => return Err(Unfinished { sent: sent as u64, source }),
            }
            if sent == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Who sent what came from this address. The kernel gives none for a connection's peer, and none for a UNIX socket that
    /// is not bound, which alone is a name of its family.
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

    /// Sends a datagram to an address: sendto(2). On an unconnected TIPC socket with connections it connects, too.
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

    /// Sends a message from several buffers, with control messages, to an address or the peer: sendmsg(2).
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
    /// let pieces = [IoSlice::new(b"in "), IoSlice::new(b"pieces")];
    /// assert_eq!(one.send_msg(&pieces, &[], None, MessageFlags::NONE)?, 9);
    /// let mut buffer = [0; 16];
    /// let len = other.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"in pieces");
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
        self.waits_with(flags).call(self.as_fd(), Interest::Write, send)
    }

    /// Sends messages, and returns how many left: sendmmsg(2). An error concerns the first that did not leave; it is
    /// told if that is the first of all.
    ///
    /// # Errors
    ///
    /// As sendmmsg(2).
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

    /// Sends a file from `offset` on, `count` bytes or all, without a copy through this process where the kernel
    /// can: sendfile(2). Returns how many bytes went out, fewer than `count` if the file ends. The file's own
    /// position stays where it is; the timeout is that of each wait.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket that never waits or is no stream, otherwise as sendfile(2), and how much went out
    /// before.
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
                "a file is sent on a stream that waits",
            )));
        }
        let send = || self.send_file_in_pieces(file.as_fd(), offset, count);
        sys::process::without_sigpipe(send).unwrap_or_else(|source| Err(unfit(source)))
    }

    fn send_file_in_pieces(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        count: Option<u64>,
    ) -> Result<u64, Unfinished> {
        let mut sent = 0;
        let mut waits = self.waits();
        let size = sys::sendfile::size(file).map_err(|source| Unfinished { sent, source })?;
        loop {
            // Whoever asks for more than there is tells the socket that more follows, which SCTP waits for.
            let known = Some(size.saturating_sub(offset + sent)).filter(|&left| left != 0);
            let wanted = count.map_or(SEND_FILE_MAX, |count| (count - sent).min(SEND_FILE_MAX));
            let wanted = known.map_or(wanted, |left| wanted.min(left));
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            if wanted == 0 {
                return Ok(sent);
            }
            let piece = waits.call(self.as_fd(), Interest::Write, || {
                self.nonblocking(|| sys::sendfile::sendfile(self.as_fd(), file, offset + sent, wanted))
            });
            let piece = match piece {
                // Of some files, and on some sockets, only a copy can be sent.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                    self.send_copy(file, offset + sent, wanted, &mut waits)
                }
                piece => piece,
            };
            waits.restart();
            match piece {
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
        waits: &mut Waits,
    ) -> io::Result<usize> {
        let mut buffer = vec![0; wanted.min(64 * 1024)];
        let len = sys::sendfile::read_at(file, &mut buffer, offset)?;
        if len == 0 {
            return Ok(0);
        }
        let send = || sys::socket::send(self.as_fd(), &buffer[..len], self.mode());
        waits.call(self.as_fd(), Interest::Write, send)
    }
}

/// Options.
impl Socket {
    /// Sets an option: setsockopt(2).
    ///
    /// # Errors
    ///
    /// As setsockopt(2); EINVAL for a name that the kernel would cut to another.
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

    /// An option's value: getsockopt(2).
    ///
    /// # Errors
    ///
    /// As getsockopt(2); `InvalidData` if the kernel told something else than a value of this type.
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

    /// Sets any option to bytes.
    ///
    /// The values of some options hold addresses in memory or numbers of descriptors (SO_ATTACH_FILTER,
    /// SO_ATTACH_BPF, IPT_SO_SET_REPLACE, RDS_GET_MR, XDP_UMEM_REG): the kernel reads or writes there, or uses the
    /// descriptor, whoever owns it. With such options it is the caller who has to see to it that nobody is harmed.
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

    /// Sets any option to nothing: a null pointer, with a length that says how long nothing is. Some options of the
    /// kernel take nothing else.
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "setsockopt")]
    pub fn clear_option(&self, level: i32, name: i32, len: u32) -> io::Result<()> {
        sys::socket::clear_option(self.as_fd(), level, name, len)
    }

    /// Any option's bytes, as many as the kernel tells, with room for 1 to 1024.
    ///
    /// # Errors
    ///
    /// As getsockopt(2); `InvalidInput` for other lengths.
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
    pub fn option_bytes(&self, level: i32, name: i32, room: usize) -> io::Result<Vec<u8>> {
        if !(1..=OPTION_MAX).contains(&room) {
            let message = "there is to be room for 1 to 1024 bytes of an option";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut value = vec![0; room];
        let len = sys::socket::option(self.as_fd(), level, name, &mut value)?;
        value.truncate(len);
        Ok(value)
    }

    /// Returns whether a receive of no bytes from a connected [`SEQPACKET`](crate::Type::SEQPACKET) socket of UNIX or
    /// VSOCK was the end of the connection rather than a message without content. recv(2) returns 0 for both.
    ///
    /// The kernel says when the peer has finished (POLLRDHUP, poll(2)), but what the peer sent before may still have to
    /// be received. If that is nothing but empty messages, they are taken for the end.
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

    /// Takes the error that waits on the socket, if one does: SO_ERROR, socket(7).
    ///
    /// # Errors
    ///
    /// The error that waited.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"unread")?;
    /// drop(other);
    /// assert_eq!(one.take_error().unwrap_err().kind(), ErrorKind::ConnectionReset);
    /// one.take_error()?; // It has been taken.
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

/// The three modes.
impl Socket {
    /// Sets whether calls wait: `true` is no timeout, `false` a timeout of zero.
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

    /// Whether calls wait, for however long.
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

    /// Sets how long calls wait: for ever, not at all, or for this long. See [`Socket`] for what that means.
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

    /// How long calls wait; `None` for ever.
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

    /// Calls, and waits as the timeout says.
    fn call<T>(&self, interest: Interest, operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.waits().call(self.as_fd(), interest, operation)
    }

    fn waits(&self) -> Waits {
        Waits::of(self.timeout())
    }

    /// The flag that keeps a send or receive from blocking where the timeout says so, whatever a duplicate has made of
    /// the descriptor.
    pub(crate) fn mode(&self) -> i32 {
        if self.timeout().is_some() { libc::MSG_DONTWAIT } else { 0 }
    }

    /// Calls what takes no such flag while the descriptor does not block, if this socket waits with a timeout. That of a
    /// socket that never waits is not looked at, since a server accepts with it.
    fn nonblocking<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.waits().any() || sys::socket::is_nonblocking(self.as_fd())? {
            return call();
        }
        sys::socket::set_nonblocking(self.as_fd(), true)?;
        let result = call();
        sys::socket::set_nonblocking(self.as_fd(), false)?;
        result
    }

    /// The waits of a call with these flags.
    fn waits_with(&self, flags: MessageFlags) -> Waits {
        let never = flags.0 & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE) != 0;
        if never { Waits::of(Some(Duration::ZERO)) } else { self.waits() }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The number of the descriptor, as Python's `fileno()` tells it.
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

/// The user whose rights this process has: geteuid(2).
#[doc(alias = "geteuid")]
pub fn effective_user_id() -> u32 {
    sys::process::effective_user_id()
}
