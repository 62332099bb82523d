//! Sending: bytes, messages and files.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Socket;
use crate::address::Address;
use crate::control::SendControl;
use crate::errno::is_too_long;
use crate::family::Type;
use crate::lookup::Side;
use crate::message::{MessageFlags, Outgoing};
use crate::poll::Interest;
use crate::raw_address::RawAddress;
use crate::sys;
use crate::sys::message::SendBatch;
use crate::to_endpoint::ToEndpoint;
use crate::unfinished::Unfinished;
use crate::wait::CallWait;

/// Maximum number of bytes that one sendfile(2) is asked to send. CPython has the same limit.
const SEND_FILE_MAX: u64 = 1 << 30;

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
    /// one.set_nonblocking(true)?;
    /// let accepted = one.send(&[0; 10_000_000])?;
    /// assert!(accepted < 10_000_000, "more than the kernel's buffers hold");
    /// drop(other);
    /// assert_eq!(one.send(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "write")]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.call(Interest::WRITE, || sys::socket::send(self.as_fd(), bytes, self.mode()))
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
    /// use echosounder_socket::{MessageFlags, ServerOptions, create_connection, create_server};
    ///
    /// let server = create_server(("localhost", 0), ServerOptions::default())?;
    /// let client = create_connection(server.local_addr()?, None, None)?;
    /// client.send_all_with(b"a header, ", MessageFlags::MORE)?;
    /// client.send_all(b"and what comes next")?; // Both leave in one segment.
    /// let (connection, _) = server.accept()?;
    /// assert_eq!(connection.recv(&mut [0; 64])?, 29);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "sendall")]
    pub fn send_all_with(&self, bytes: &[u8], flags: MessageFlags) -> Result<(), Unfinished> {
        let mut wait = self.call_wait_with(flags);
        wait.start();
        let mut sent = 0;
        let mut part_max = bytes.len();
        loop {
            let part = &bytes[sent..bytes.len().min(sent + part_max)];
            let send = || sys::socket::send(self.as_fd(), part, flags.bits() | self.mode());
            match wait.call(self.as_fd(), Interest::WRITE, send) {
                // A signal does not fail a send that has begun, but cuts it short: signal(7).
                Ok(len) if len < part.len() => {
                    sent += len;
                    let interrupted = crate::wait::interrupted();
                    interrupted.map_err(|source| Unfinished::new(sent as u64, source))?;
                }
                Ok(len) => sent += len,
                Err(error) if 1 < part.len() && is_too_long(&error) && self.is_stream() => {
                    part_max = part.len() / 2;
                    continue;
                }
                Err(source) => return Err(Unfinished::new(sent as u64, source)),
            }
            if sent == bytes.len() {
                return Ok(());
            }
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.socket_type().is_ok_and(|kind| kind == Type::STREAM)
    }

    /// Sends a datagram to an address: sendto(2). On an unconnected TIPC stream or seqpacket socket
    /// it also connects.
    ///
    /// The address is any value that names one: see [`ToEndpoint`]. A host name is looked up for
    /// every call.
    ///
    /// # Errors
    ///
    /// As [`ToEndpoint::to_address`] and sendto(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.bind(("localhost", 0))?;
    /// socket.send_to(b"ahoy", socket.local_addr()?)?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(socket.recv_from(&mut buffer)?, (4, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendto")]
    pub fn send_to(&self, bytes: &[u8], to: impl ToEndpoint) -> io::Result<usize> {
        let to = RawAddress::try_from(&*to.to_address(Side::Client, self.known_family())?)?;
        self.call(Interest::WRITE, || sys::socket::send_to(self.as_fd(), bytes, self.mode(), &to))
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
        let send =
            || sys::message::send(self.as_fd(), buffers, &control, to.as_ref(), flags.bits() | self.mode());
        self.call_wait_with(flags).call(self.as_fd(), Interest::WRITE, send)
    }

    /// Sends several messages and returns how many were sent, at most 1,024: sendmmsg(2).
    ///
    /// # Errors
    ///
    /// As sendmmsg(2), if the first message cannot be sent; `InvalidInput` if its address or one of
    /// its control messages is invalid. An error of a later message ends the call early, after the
    /// messages before it; send the rest in a second call to learn the reason.
    ///
    /// ```
    /// use echosounder_socket::{Family, Outgoing, Protocol, Socket, Type};
    /// use std::io::IoSlice;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// let words = [[IoSlice::new(b"ahoy")], [IoSlice::new(b"there")]];
    /// let messages = words.each_ref().map(|word| Outgoing::new(word));
    /// assert_eq!(one.send_many(&messages)?, 2);
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendmmsg")]
    pub fn send_many(&self, messages: &[Outgoing<'_>]) -> io::Result<usize> {
        self.send_many_with(&mut SendBatch::new(), messages, MessageFlags::NONE)
    }

    /// Sends several messages like [`send_many`](Self::send_many), with flags for each of them, and
    /// with memory that the caller keeps from call to call.
    ///
    /// # Errors
    ///
    /// As [`send_many`](Self::send_many); `WouldBlock` with [`MessageFlags::DONTWAIT`].
    ///
    /// ```
    /// use echosounder_socket::{Family, MessageFlags, Outgoing, Protocol, SendBatch, Socket, Type};
    /// use std::io::IoSlice;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    /// let mut memory = SendBatch::new();
    /// for round in 0..3_u8 {
    ///     let bytes = [round];
    ///     let parts = [IoSlice::new(&bytes)];
    ///     one.send_many_with(&mut memory, &[Outgoing::new(&parts)], MessageFlags::DONTWAIT)?;
    /// }
    /// assert_eq!(other.recv(&mut [0; 16])?, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendmmsg")]
    pub fn send_many_with(
        &self,
        memory: &mut SendBatch,
        messages: &[Outgoing<'_>],
        flags: MessageFlags,
    ) -> io::Result<usize> {
        memory.encode(messages)?;
        let send = || memory.send(self.as_fd(), messages, flags.bits() | self.mode());
        self.call_wait_with(flags).call(self.as_fd(), Interest::WRITE, send)
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
        let unfit = |source| Unfinished::new(0, source);
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
        let size = sys::sendfile::size(file).map_err(|source| Unfinished::new(sent, source))?;
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
            let result = wait.call(self.as_fd(), Interest::WRITE, || {
                self.in_nonblocking_mode(|| {
                    sys::sendfile::sendfile(self.as_fd(), file, offset + sent, wanted)
                })
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
                        crate::wait::interrupted().map_err(|source| Unfinished::new(sent, source))?;
                    }
                }
                Err(source) => return Err(Unfinished::new(sent, source)),
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
        wait.call(self.as_fd(), Interest::WRITE, send)
    }
}
