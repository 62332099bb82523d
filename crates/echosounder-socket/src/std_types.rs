//! Conversions between [`Socket`] and the socket types of std, and std's I/O traits.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::control::ControlSpace;
use crate::from_fd_error::FromFdError;
use crate::message::MessageFlags;
use crate::socket::Socket;

/// Defines the conversions of one type of std in both directions.
macro_rules! convert {
    ($($std:ty)*) => {$(
        /// Adopts the descriptor, which keeps its blocking mode: a non-blocking socket gets a timeout
        /// of zero. See [conversions](Socket#conversions).
        impl From<$std> for Socket {
            fn from(socket: $std) -> Self {
                Self::adopted(socket.into())
            }
        }

        /// Gives the descriptor to std's type, whose calls then wait as those of this socket did:
        /// see [conversions](Socket#conversions). Family and type are not checked. If they are
        /// others, some calls of std's type fail.
        impl From<Socket> for $std {
            fn from(socket: Socket) -> Self {
                socket.into_std_fd().into()
            }
        }
    )*};
}

convert!(TcpStream TcpListener UdpSocket UnixStream UnixListener UnixDatagram);

/// The same as [`Socket::from_fd`].
impl TryFrom<OwnedFd> for Socket {
    type Error = FromFdError;

    fn try_from(fd: OwnedFd) -> Result<Self, FromFdError> {
        Self::from_fd(fd)
    }
}

/// The same as [`Socket::into_fd`].
impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.into_fd()
    }
}

/// The descriptor of [`Socket::into_fd`] as a number. The caller must close it.
impl IntoRawFd for Socket {
    fn into_raw_fd(self) -> RawFd {
        self.into_fd().into_raw_fd()
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
        self.as_fd().as_raw_fd()
    }
}

/// As [`Socket::recv`].
impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

/// As [`Socket::recv`].
impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = self.vector_len(buffers.len());
        let buffers = &mut buffers[..count];
        self.recv_msg(buffers, ControlSpace::NONE, MessageFlags::NONE).map(|message| message.len)
    }
}

/// As [`Socket::send`]. There is no buffer, so each `write!` makes a system call for each of its
/// parts: wrap the socket in a [`BufWriter`](io::BufWriter), or use
/// [`make_file`](Socket::make_file). On TCP, the parts after the first also wait for the peer's
/// acknowledgement, which may take 40 ms, unless [`TCP_NODELAY`](crate::option::TCP_NODELAY) is set.
impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As [`Socket::send`].
impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_msg(&buffers[..self.vector_len(buffers.len())], &[], None, MessageFlags::NONE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// Returns how many of `count` buffers one call of a std trait transfers. A stream may transfer
    /// less than all, so it gets no more than the kernel takes; a message must not be cut.
    fn vector_len(&self, count: usize) -> usize {
        /// UIO_MAXIOV of linux/uio.h: recvmsg(2) and sendmsg(2) fail with EMSGSIZE beyond it.
        const MAX: usize = 1024;
        if MAX < count && self.is_stream() { MAX } else { count }
    }
}
