//! Receiving and sending with the MSG_ flags of a single call.

use std::io;
use std::os::fd::AsFd;

use super::Socket;
use crate::address::Address;
use crate::lookup::Side;
use crate::message::MessageFlags;
use crate::poll::Interest;
use crate::raw_address::RawAddress;
use crate::sys;
use crate::to_endpoint::ToEndpoint;

/// Receiving and sending with flags.
///
/// [`send_all_with`](Self::send_all_with), [`recv_msg`](Self::recv_msg) and
/// [`send_msg`](Self::send_msg) take flags too.
impl Socket {
    /// Receives like [`recv`](Self::recv), with flags: recv(2).
    ///
    /// The result is the number of bytes in the buffer, also with [`MessageFlags::TRUNC`], with which
    /// the kernel returns the length of the whole message. A TCP socket discards that many bytes
    /// instead of copying them. [`recv_message`](Self::recv_message)
    /// returns that length. With [`MessageFlags::DONTWAIT`], [`ERRQUEUE`](MessageFlags::ERRQUEUE) or,
    /// on a stream, [`OOB`](MessageFlags::OOB), the call never waits.
    ///
    /// # Errors
    ///
    /// As recv(2); `WouldBlock` if the call does not wait and there is nothing to receive.
    ///
    /// ```
    /// use echosounder_socket::{Family, MessageFlags, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"ahoy")?;
    /// one.send(b" there")?;
    /// let mut buffer = [0; 10];
    /// assert_eq!(other.recv_with(&mut buffer, MessageFlags::WAITALL)?, 10);
    /// assert_eq!(&buffer, b"ahoy there");
    /// let error = other.recv_with(&mut buffer, MessageFlags::DONTWAIT).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recv")]
    #[doc(alias = "recv_with_flags")]
    pub fn recv_with(&self, buffer: &mut [u8], flags: MessageFlags) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let receive = || sys::socket::recv(self.as_fd(), buffer, flags.bits() | self.mode());
        let len = self.receive(flags, receive)?;
        Ok(len.min(buffer.len()))
    }

    /// Receives a datagram and its source address like [`recv_from`](Self::recv_from), with flags:
    /// recvfrom(2). The flags have the same meaning as in [`recv_with`](Self::recv_with).
    ///
    /// # Errors
    ///
    /// As recvfrom(2); `WouldBlock` if the call does not wait and there is nothing to receive.
    ///
    /// ```
    /// use echosounder_socket::{Family, MessageFlags, Protocol, Socket, Type};
    /// use std::net::Ipv4Addr;
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind((Ipv4Addr::LOCALHOST, 0))?;
    /// socket.send_to(b"ahoy", socket.local_addr()?)?;
    /// let mut buffer = [0; 16];
    /// let (len, from) = socket.recv_from_with(&mut buffer, MessageFlags::DONTWAIT)?;
    /// assert_eq!((len, from), (4, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvfrom")]
    #[doc(alias = "recv_from_with_flags")]
    pub fn recv_from_with(&self, buffer: &mut [u8], flags: MessageFlags) -> io::Result<(usize, Address)> {
        let receive = || sys::socket::recv_from(self.as_fd(), buffer, flags.bits() | self.mode());
        let (len, from) = self.receive(flags, receive)?;
        Ok((len.min(buffer.len()), self.source(&from).unwrap_or(Address::Unspecified)))
    }

    /// Receives into a buffer and leaves the data in the queue: MSG_PEEK, recv(2).
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
    /// let mut buffer = [0; 16];
    /// assert_eq!(other.peek(&mut buffer)?, 4);
    /// assert_eq!(other.recv(&mut buffer)?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_with(buffer, MessageFlags::PEEK)
    }

    /// Receives a datagram and its source address, and leaves the datagram in the queue: MSG_PEEK,
    /// recvfrom(2).
    ///
    /// # Errors
    ///
    /// As recvfrom(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::net::Ipv4Addr;
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind((Ipv4Addr::LOCALHOST, 0))?;
    /// socket.send_to(b"ahoy", socket.local_addr()?)?;
    /// // An empty buffer is enough to learn the source.
    /// assert_eq!(socket.peek_from(&mut [])?.1, socket.local_addr()?);
    /// assert_eq!(socket.recv_from(&mut [0; 16])?.0, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_PEEK")]
    #[doc(alias = "peek_sender")]
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        self.recv_from_with(buffer, MessageFlags::PEEK)
    }

    /// Sends bytes like [`send`](Self::send), with flags: send(2).
    ///
    /// # Errors
    ///
    /// As send(2); `WouldBlock` with [`MessageFlags::DONTWAIT`] if there is no space in the send
    /// buffer.
    ///
    /// ```
    /// use echosounder_socket::{Family, MessageFlags, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT)?;
    /// one.send_with(b"ahoy", MessageFlags::EOR | MessageFlags::DONTWAIT)?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "send_with_flags")]
    pub fn send_with(&self, bytes: &[u8], flags: MessageFlags) -> io::Result<usize> {
        let send = || sys::socket::send(self.as_fd(), bytes, flags.bits() | self.mode());
        self.call_wait_with(flags).call(self.as_fd(), Interest::WRITE, send)
    }

    /// Sends a datagram to an address like [`send_to`](Self::send_to), with flags: sendto(2).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); `WouldBlock` with [`MessageFlags::DONTWAIT`] if there is no
    /// space in the send buffer.
    ///
    /// ```
    /// use echosounder_socket::{Family, MessageFlags, Protocol, Socket, Type};
    /// use std::net::Ipv4Addr;
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind((Ipv4Addr::LOCALHOST, 0))?;
    /// let to = socket.local_addr()?;
    /// socket.send_to_with(b"one ", &to, MessageFlags::MORE)?; // Corked: udp(7).
    /// socket.send_to_with(b"datagram", &to, MessageFlags::NONE)?;
    /// assert_eq!(socket.recv(&mut [0; 16])?, 12);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendto")]
    #[doc(alias = "send_to_with_flags")]
    pub fn send_to_with(&self, bytes: &[u8], to: impl ToEndpoint, flags: MessageFlags) -> io::Result<usize> {
        let to = RawAddress::try_from(&*to.to_address(Side::Client, self.known_family())?)?;
        let send = || sys::socket::send_to(self.as_fd(), bytes, flags.bits() | self.mode(), &to);
        self.call_wait_with(flags).call(self.as_fd(), Interest::WRITE, send)
    }
}
