//! Receiving: bytes, messages and batches.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;

use super::Socket;
use crate::address::Address;
use crate::batch::Batch;
use crate::control::ControlSpace;
use crate::family::Family;
use crate::family::unix::UnixName;
use crate::message::{Message, MessageFlags, MessageLen};
use crate::poll::Interest;
use crate::raw_address::RawAddress;
use crate::sys;

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
        self.call(Interest::READ, || sys::socket::recv(self.as_fd(), buffer, self.mode()))
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
        self.call(Interest::READ, || sys::socket::recv_append(self.as_fd(), buffer, self.mode()))
    }

    /// Receives one message and returns its length, and that of the whole message if it was longer
    /// than the buffer: MSG_TRUNC, recv(2).
    ///
    /// TIPC does not report the length of a truncated message; `full_len` is then the buffer's
    /// length plus one.
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
    /// let message = other.recv_message(&mut buffer)?;
    /// assert_eq!(&buffer[..message.len], b"longer");
    /// assert!(message.is_truncated());
    /// assert_eq!(message.full_len, 20);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_TRUNC")]
    pub fn recv_message(&self, buffer: &mut [u8]) -> io::Result<MessageLen> {
        let message =
            self.recv_msg(&mut [IoSliceMut::new(buffer)], ControlSpace::NONE, MessageFlags::TRUNC)?;
        Ok(MessageLen { len: message.len, full_len: message.full_len })
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
    /// use std::net::UdpSocket;
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind(("localhost", 0))?;
    /// let peer = UdpSocket::bind("127.0.0.1:0")?;
    /// peer.send_to(b"ahoy", ("127.0.0.1", socket.local_addr()?.port().unwrap_or(0)))?;
    /// assert_eq!(socket.recv_from(&mut [0; 16])?, (4, peer.local_addr()?.into()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvfrom")]
    #[doc(alias = "recvfrom_into")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let receive = || sys::socket::recv_from(self.as_fd(), buffer, self.mode());
        let (len, from) = self.call(Interest::READ, receive)?;
        Ok((len, self.source(&from).unwrap_or(Address::Unspecified)))
    }

    /// Receives a message into several buffers, with its control messages: recvmsg(2).
    ///
    /// `control` is the buffer space for control messages. The kernel drops control messages that do
    /// not fit and sets [`MessageFlags::CTRUNC`]. Received descriptors belong to the [`Message`],
    /// which closes them when it is dropped; with no space for them the kernel installs none.
    ///
    /// With [`MessageFlags::DONTWAIT`], [`ERRQUEUE`](MessageFlags::ERRQUEUE) or, on a stream,
    /// [`OOB`](MessageFlags::OOB), the call never waits.
    ///
    /// Control messages are decoded into a new vector. A [`Batch`], even of one datagram, receives
    /// without an allocation.
    ///
    /// # Errors
    ///
    /// As recvmsg(2); `WouldBlock` if the call does not wait and there is nothing to receive.
    ///
    /// ```
    /// use echosounder_socket::{ControlSpace, Family, MessageFlags, Protocol, SendControl, Socket, Type};
    /// use std::io::{IoSlice, IoSliceMut};
    /// use std::os::fd::AsFd;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let ours = [std::io::stdin()];
    /// let fds = [ours[0].as_fd()];
    /// one.send_msg(&[IoSlice::new(b"take this")], &[SendControl::Rights(&fds)], None, MessageFlags::NONE)?;
    ///
    /// let mut buffer = [0; 16];
    /// let space = ControlSpace::rights(1);
    /// let mut message = other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
    /// assert_eq!(message.len, 9);
    /// assert_eq!(message.take_rights().len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvmsg")]
    #[doc(alias = "recv_fds")]
    #[doc(alias = "recvmsg_into")]
    pub fn recv_msg(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        control: ControlSpace,
        flags: MessageFlags,
    ) -> io::Result<Message> {
        let capacity = buffers.iter().map(|buffer| buffer.len()).sum();
        let receive =
            || sys::message::receive(self.as_fd(), buffers, control.bytes(), flags.bits() | self.mode());
        let received = self.receive(flags, receive)?;
        let requested = flags;
        let flags = MessageFlags::from_bits_retain(received.flags);
        let full_len = if (requested & flags).contains(MessageFlags::TRUNC) {
            received.len.max(capacity + 1)
        } else {
            received.len.min(capacity)
        };
        let len = received.len.min(capacity);
        Ok(Message { len, full_len, from: self.source(&received.from), control: received.control, flags })
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
    /// let words: Vec<&[u8]> = batch.iter().map(|datagram| datagram.bytes()).collect();
    /// assert_eq!(words, [&b"ahoy"[..], b"there"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvmmsg")]
    pub fn recv_many(&self, batch: &mut Batch) -> io::Result<usize> {
        self.recv_many_with(batch, MessageFlags::NONE)
    }

    /// Receives messages like [`recv_many`](Self::recv_many), with flags for each of them.
    ///
    /// With [`MessageFlags::PEEK`] every place of the batch holds the first message in the queue.
    ///
    /// # Errors
    ///
    /// As recvmmsg(2); `WouldBlock` with [`MessageFlags::DONTWAIT`] or [`MessageFlags::ERRQUEUE`].
    ///
    /// ```
    /// use echosounder_socket::{Batch, Family, MessageFlags, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// one.send(b"longer than a buffer")?;
    /// let mut batch = Batch::new(8, 6);
    /// other.recv_many_with(&mut batch, MessageFlags::TRUNC)?;
    /// let datagram = batch.get(0).expect("one datagram");
    /// assert_eq!((datagram.bytes(), datagram.full_len()), (&b"longer"[..], 20));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "recvmmsg")]
    pub fn recv_many_with(&self, batch: &mut Batch, flags: MessageFlags) -> io::Result<usize> {
        let receive = || batch.receive(self.as_fd(), flags.bits() | self.mode());
        let received = self.receive(flags, receive)?;
        batch.set_unnamed_sender(|| self.source(&RawAddress::empty()).unwrap_or(Address::Unspecified));
        Ok(received)
    }

    /// Returns the source of a message that the kernel reported as `from`. It reports an empty
    /// address for the peer of a connection and for an unbound UNIX socket, which has the address
    /// "unnamed".
    pub(super) fn source(&self, from: &RawAddress) -> Option<Address> {
        if from.len() == 0 {
            return (self.known_family() == Family::UNIX).then(|| UnixName::Unnamed.into());
        }
        Some(Address::from(from)).filter(|from| *from != Address::Unspecified)
    }
}
