//! Reading and setting socket options.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;

use super::Socket;
use crate::message::MessageFlags;
use crate::option::{self, OptionValue, SocketOption};
use crate::poll::peer_has_finished;
use crate::sys;

/// Maximum length of an option that is read as bytes. CPython has the same limit.
const OPTION_MAX: usize = 1024;

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

    /// Returns the pending error of the socket, if there is one, and clears it: SO_ERROR, socket(7).
    ///
    /// A non-blocking connect reports its result this way: see
    /// [`is_in_progress`](Self::is_in_progress).
    ///
    /// # Errors
    ///
    /// As getsockopt(2), if the pending error cannot be read.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"unread")?;
    /// drop(other);
    /// let error = one.take_error()?.expect("the peer has discarded data");
    /// assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    /// assert!(one.take_error()?.is_none(), "the error was cleared");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_ERROR")]
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let errno = self.option(option::SO_ERROR)?;
        Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
    }

    /// Returns the pending error as an error, whether it or reading it has failed.
    pub(super) fn pending_error(&self) -> io::Result<()> {
        self.take_error()?.map_or(Ok(()), Err)
    }
}
