//! The socket object.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::address::{Address, RawAddress};
use crate::endpoint::Transport;
use crate::option::IntOption;
use crate::sys;

/// Which direction of a connection is shut down: shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Nothing more will be read.
    Read,
    /// Nothing more will be written; the peer reads the end.
    Write,
    /// Both.
    Both,
}

/// A socket: a descriptor that is closed when it is dropped, and not inherited.
///
/// A write to a connection that is gone is an error (EPIPE), never a signal.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// Makes a socket that can have an address like `address`: socket(2).
    ///
    /// # Errors
    ///
    /// As socket(2); [`is_family_absent`](crate::is_family_absent) tells whether this kernel lacks the family.
    #[doc(alias = "socket")]
    pub fn new(transport: Transport, address: &Address) -> io::Result<Self> {
        Ok(Self { fd: sys::socket::socket(address.family(), transport.socket_type(), 0)? })
    }

    /// Makes two connected sockets: socketpair(2). Only UNIX transports have them.
    ///
    /// # Errors
    ///
    /// As socketpair(2); EOPNOTSUPP for a transport that has no pairs.
    #[doc(alias = "socketpair")]
    pub fn pair(transport: Transport) -> io::Result<(Self, Self)> {
        let (one, other) = sys::socket::socketpair(transport.pair_family(), transport.socket_type())?;
        Ok((Self { fd: one }, Self { fd: other }))
    }

    /// A second descriptor of the same socket: they share everything but the number.
    ///
    /// # Errors
    ///
    /// If no descriptor is left.
    #[doc(alias = "dup")]
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// Gives the socket a name: bind(2).
    ///
    /// # Errors
    ///
    /// As bind(2).
    pub fn bind(&self, address: &Address) -> io::Result<()> {
        sys::socket::bind(self.as_fd(), &RawAddress::from(address))
    }

    /// Lets peers connect: listen(2). The queue is as long as the system allows.
    ///
    /// # Errors
    ///
    /// As listen(2).
    pub fn listen(&self) -> io::Result<()> {
        // The kernel cuts it to net.core.somaxconn.
        sys::socket::listen(self.as_fd(), i32::MAX)
    }

    /// Takes the next connection from the queue, as a socket that does not block, and the peer's address:
    /// accept4(2).
    ///
    /// # Errors
    ///
    /// As accept4(2); `WouldBlock` if the listener does not block and the queue is empty.
    pub fn accept_nonblocking(&self) -> io::Result<(Self, Address)> {
        let (fd, peer) = sys::socket::accept(self.as_fd(), libc::SOCK_NONBLOCK)?;
        Ok((Self { fd }, Address::from(&peer)))
    }

    /// Connects, or sets where datagrams go and come from: connect(2).
    ///
    /// # Errors
    ///
    /// As connect(2); see [`is_in_progress`](Self::is_in_progress) for sockets that do not block.
    pub fn connect(&self, address: &Address) -> io::Result<()> {
        sys::socket::connect(self.as_fd(), &RawAddress::from(address))
    }

    /// Whether a connect that did not wait goes on in the background, to end when the socket is writable.
    pub fn is_in_progress(error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::EINPROGRESS)
    }

    /// Reads what is there: recv(2). Zero is the end of a connection.
    ///
    /// # Errors
    ///
    /// As recv(2).
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        sys::socket::recv(self.as_fd(), buffer, 0)
    }

    /// Reads one message, and returns how long it was: more than the buffer if a part of it was lost
    /// (MSG_TRUNC, recv(2)).
    ///
    /// # Errors
    ///
    /// As recv(2).
    pub fn recv_message(&self, buffer: &mut [u8]) -> io::Result<usize> {
        sys::socket::recv(self.as_fd(), buffer, libc::MSG_TRUNC)
    }

    /// Receives a datagram and its sender's address: recvfrom(2).
    ///
    /// # Errors
    ///
    /// As recvfrom(2).
    #[doc(alias = "recvfrom")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let (len, from) = sys::socket::recv_from(self.as_fd(), buffer, 0)?;
        Ok((len, Address::from(&from)))
    }

    /// Writes as much as the kernel takes: send(2).
    ///
    /// # Errors
    ///
    /// As send(2), with EPIPE instead of a signal.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        sys::socket::send(self.as_fd(), bytes, libc::MSG_NOSIGNAL)
    }

    /// Sends a datagram to an address: sendto(2).
    ///
    /// # Errors
    ///
    /// As sendto(2).
    #[doc(alias = "sendto")]
    pub fn send_to(&self, bytes: &[u8], to: &Address) -> io::Result<usize> {
        sys::socket::send_to(self.as_fd(), bytes, libc::MSG_NOSIGNAL, &RawAddress::from(to))
    }

    /// Ends one direction of a connection, or both: shutdown(2).
    ///
    /// # Errors
    ///
    /// As shutdown(2); `NotConnected` if the peer has already gone.
    pub fn shutdown(&self, half: Half) -> io::Result<()> {
        let how = match half {
            Half::Read => libc::SHUT_RD,
            Half::Write => libc::SHUT_WR,
            Half::Both => libc::SHUT_RDWR,
        };
        sys::socket::shutdown(self.as_fd(), how)
    }

    /// This socket's address: getsockname(2).
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<Address> {
        sys::socket::local_address(self.as_fd()).map(|raw| Address::from(&raw))
    }

    /// The peer's address: getpeername(2).
    ///
    /// # Errors
    ///
    /// As getpeername(2).
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<Address> {
        sys::socket::peer_address(self.as_fd()).map(|raw| Address::from(&raw))
    }

    /// Sets an option: setsockopt(2).
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "setsockopt")]
    pub fn set_option(&self, option: IntOption, value: i32) -> io::Result<()> {
        sys::socket::set_option(self.as_fd(), option.level, option.name, &value.to_ne_bytes())
    }

    /// An option's value: getsockopt(2).
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    #[doc(alias = "getsockopt")]
    pub fn option(&self, option: IntOption) -> io::Result<i32> {
        let mut value = [0; 4];
        sys::socket::option(self.as_fd(), option.level, option.name, &mut value)?;
        Ok(i32::from_ne_bytes(value))
    }

    /// Takes the error that waits on the socket, if one does: SO_ERROR, socket(7).
    ///
    /// # Errors
    ///
    /// The error that waited.
    #[doc(alias = "SO_ERROR")]
    pub fn take_error(&self) -> io::Result<()> {
        let mut errno = [0; 4];
        sys::socket::option(self.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR, &mut errno)?;
        match i32::from_ne_bytes(errno) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Sets how long a write or a connect may block: SO_SNDTIMEO, socket(7). Rounded up to a microsecond.
    ///
    /// For a UNIX connect it is the only way: with a full queue it has no readiness to wait for.
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "SO_SNDTIMEO")]
    pub fn set_send_timeout(&self, timeout: std::time::Duration) -> io::Result<()> {
        let micros = i64::from(timeout.subsec_micros()) + 1;
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX).saturating_add(micros / 1_000_000);
        let value = [seconds.to_ne_bytes(), (micros % 1_000_000).to_ne_bytes()].concat();
        sys::socket::set_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_SNDTIMEO, &value)
    }

    /// Lets traffic go and come by one interface alone, by its name: SO_BINDTODEVICE, socket(7). Since Linux 5.7
    /// it takes no privilege.
    ///
    /// # Errors
    ///
    /// As setsockopt(2): there is no such interface.
    #[doc(alias = "SO_BINDTODEVICE")]
    pub fn bind_to_device(&self, name: &str) -> io::Result<()> {
        sys::socket::set_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.as_bytes())
    }

    /// Makes the close that follows reset the connection: what has not been sent is forgotten, and the peer is
    /// told that it was cut off (SO_LINGER, socket(7)).
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "SO_LINGER")]
    pub fn reset_on_close(&self) -> io::Result<()> {
        let on_for_no_time = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
        sys::socket::set_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &on_for_no_time)
    }

    /// Sets whether calls wait: O_NONBLOCK, fcntl(2).
    ///
    /// # Errors
    ///
    /// As ioctl(2).
    #[doc(alias = "setblocking")]
    pub fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        sys::socket::set_nonblocking(self.as_fd(), !blocking)
    }

    /// Sets the permissions that the path of a UNIX socket will have, less the umask, when it is bound:
    /// fchmod(2). So there is no moment at which others may connect.
    ///
    /// # Errors
    ///
    /// As fchmod(2).
    #[doc(alias = "fchmod")]
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        sys::socket::change_mode(self.as_fd(), mode)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

/// The user whose rights this process has: geteuid(2).
#[doc(alias = "geteuid")]
pub fn effective_user() -> u32 {
    sys::process::effective_user()
}
