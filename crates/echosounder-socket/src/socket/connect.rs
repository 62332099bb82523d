//! Binding, listening, accepting and connecting, and the addresses of both ends.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Socket;
use crate::address::Address;
use crate::family::{Family, Protocol, Type};
use crate::lookup::Side;
use crate::option;
use crate::poll::Interest;
use crate::raw_address::RawAddress;
use crate::sys;
use crate::to_endpoint::ToEndpoint;
use crate::wait::CallWait;

/// Binding, listening and accepting.
impl Socket {
    /// Binds the socket to an address: bind(2). A TIPC socket can be bound to several.
    ///
    /// The address is any value that names one: an [`Address`], a host and a port, a
    /// [`SocketAddr`](std::net::SocketAddr), a path or text. See [`ToEndpoint`].
    ///
    /// # Errors
    ///
    /// As [`ToEndpoint::to_address`] and bind(2); EACCES for a port below 1024 without
    /// CAP_NET_BIND_SERVICE.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// socket.bind(("localhost", 0))?;
    /// assert_ne!(socket.local_addr()?.port(), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(&self, address: impl ToEndpoint) -> io::Result<()> {
        let address = address.to_address(Side::Server, self.known_family())?;
        self.bind_raw(&RawAddress::try_from(&*address)?)
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
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// socket.bind(("localhost", 0))?;
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
    /// listener.bind(UnixName::Unnamed)?; // The kernel chooses a name.
    /// listener.listen_with(0)?;
    /// let [first, second] = [(); 2].map(|()| Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT));
    /// first?.connect(listener.local_addr()?)?;
    /// let second = second?;
    /// second.set_timeout(Some(Duration::from_millis(10)))?;
    /// assert!(second.connect(listener.local_addr()?).is_err(), "the queue holds one connection");
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
    ///
    /// let [listener, client] = [(); 2].map(|()| Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT));
    /// let (listener, client) = (listener?, client?);
    /// listener.bind(("localhost", 0))?;
    /// listener.listen()?;
    ///
    /// client.connect(listener.local_addr()?)?;
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
    /// use std::net::TcpStream;
    ///
    /// let listener = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// listener.bind(("localhost", 0))?;
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
        let accept = || self.in_nonblocking_mode(|| sys::socket::accept(self.as_fd(), flags));
        let (fd, peer) = self.call(Interest::READ, accept)?;
        Ok((fd, Address::from(&peer)))
    }
}

/// Connecting, and closing one direction.
impl Socket {
    /// Connects to a peer: connect(2). A datagram socket then sends to the peer and receives from
    /// it only.
    ///
    /// The address is any value that names one: see [`ToEndpoint`]. The first address of a host
    /// name is used; [`create_connection`](crate::create_connection) tries all of them.
    ///
    /// Connecting a datagram socket to [`Address::Unspecified`] dissolves the association: the socket
    /// then receives from everyone again, and sends only with an address. A connected TCP socket is
    /// reset, and can be connected again.
    ///
    /// A timeout also limits the wait at a UNIX listener whose queue is full, which poll(2) does
    /// not report as ready.
    ///
    /// # Errors
    ///
    /// As [`ToEndpoint::to_address`] and connect(2). A non-blocking socket returns EINPROGRESS: see
    /// [`is_in_progress`](Self::is_in_progress).
    ///
    /// ```
    /// use echosounder_socket::{Address, Family, Protocol, Socket, Type};
    /// use std::net::UdpSocket;
    /// use std::time::Duration;
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let client = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// client.set_timeout(Some(Duration::from_secs(5)))?;
    /// client.connect(server.local_addr()?)?;
    /// client.send(b"ahoy")?;
    /// assert_eq!(server.recv(&mut [0; 16])?, 4);
    ///
    /// client.connect(Address::Unspecified)?;
    /// assert!(client.peer_addr().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(&self, address: impl ToEndpoint) -> io::Result<()> {
        let address = address.to_address(Side::Client, self.known_family())?;
        self.connect_raw(&RawAddress::try_from(&*address)?, &mut self.call_wait())
    }

    /// Connects like [`connect`](Self::connect), and sets `is_stopped` if the error is that of the
    /// hook for interrupted calls.
    pub(crate) fn connect_or_stop(&self, address: &Address, is_stopped: &mut bool) -> io::Result<()> {
        let mut wait = self.call_wait();
        let result = self.connect_raw(&RawAddress::try_from(address)?, &mut wait);
        *is_stopped = wait.is_stopped();
        result
    }

    fn connect_raw(&self, address: &RawAddress, wait: &mut CallWait) -> io::Result<()> {
        wait.start();
        let mut began = false;
        loop {
            let error = match self.in_nonblocking_mode(|| sys::socket::connect(self.as_fd(), address)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                // A second call continues the first and returns EALREADY or EISCONN.
                Some(libc::EINTR) => wait.interrupted()?,
                Some(libc::EISCONN) if began => return Ok(()),
                // SCTP also returns these from a blocking call that follows an interrupted one.
                Some(libc::EINPROGRESS | libc::EALREADY) if wait.has_limit() || began => {
                    wait.until_ready(self.as_fd(), Interest::WRITE)?;
                    return self.pending_error();
                }
                Some(libc::EAGAIN) if wait.has_limit() && address.family() == Family::UNIX => {
                    return self.connect_at_queue(address, wait);
                }
                _ => return Err(error),
            }
            began = true;
        }
    }

    /// Connects to a UNIX listener whose queue is full, with SO_SNDTIMEO to limit the wait in the
    /// kernel.
    fn connect_at_queue(&self, address: &RawAddress, wait: &mut CallWait) -> io::Result<()> {
        let before = self.option(option::SO_SNDTIMEO)?;
        let nonblocking = sys::socket::is_nonblocking(self.as_fd())?;
        sys::socket::set_nonblocking(self.as_fd(), false)?;
        let result = loop {
            // Zero would mean no limit.
            let left = wait.left().unwrap_or(Duration::MAX).max(Duration::from_micros(1));
            self.set_option(option::SO_SNDTIMEO, left)?;
            match sys::socket::connect(self.as_fd(), address) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if let Err(error) = wait.interrupted() {
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

    /// Connects and returns the error number of connect(2), or 0 on success. A timeout is EAGAIN, as
    /// in Python.
    ///
    /// # Errors
    ///
    /// Only errors that connect(2) does not return: as [`ToEndpoint::to_address`], EINVAL for an
    /// invalid address, and the error of the [hook](crate::set_interrupt_hook) for interrupted
    /// calls.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use echosounder_socket::family::unix::UnixName;
    ///
    /// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let missing = UnixName::Path(b"/no/such/path".as_slice().into());
    /// assert_eq!(socket.connect_ex(missing)?, 2); // ENOENT
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_ex(&self, address: impl ToEndpoint) -> io::Result<i32> {
        let address = address.to_address(Side::Client, self.known_family())?;
        let raw = RawAddress::try_from(&*address)?;
        let mut wait = self.call_wait();
        match self.connect_raw(&raw, &mut wait) {
            Ok(()) => Ok(0),
            Err(error) if wait.is_stopped() => Err(error),
            Err(error) => Ok(error.raw_os_error().unwrap_or(libc::EAGAIN)),
        }
    }

    /// Returns whether an error of a non-blocking connect means that the connection is being
    /// established. The socket becomes writable when that ends, and
    /// [`take_error`](Self::take_error) then returns the error of the connect, if there was one.
    ///
    /// ```
    /// use echosounder_socket::{Family, Interest, Protocol, Socket, Type, ready};
    /// use std::net::TcpListener;
    /// use std::os::fd::AsFd;
    ///
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// let client = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// client.set_nonblocking(true)?;
    /// if let Err(error) = client.connect(server.local_addr()?) {
    ///     assert!(Socket::is_in_progress(&error), "{error}");
    ///     ready([(client.as_fd(), Interest::WRITE)], None)?;
    ///     assert!(client.take_error()?.is_none());
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
    /// client.connect(server.local_addr()?)?;
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

    /// Returns the family, for which a borrowed or adopted socket asks the kernel once;
    /// [`Family::UNSPEC`] if the descriptor is not a socket.
    pub(super) fn known_family(&self) -> Family {
        if self.family.load(Ordering::Relaxed) == super::UNKNOWN {
            let family = self.family().unwrap_or(Family::UNSPEC);
            self.family.store(family.0, Ordering::Relaxed);
        }
        Family(self.family.load(Ordering::Relaxed))
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
