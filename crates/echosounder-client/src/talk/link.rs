//! The socket of a conversation: a single send, receive or wait, and which of their errors end the
//! conversation.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use echosounder_socket::{
    Address, ControlSpace, Endpoint, Interest, IoBuffer, Kind, MessageFlags, Shutdown, Socket, Transport,
    ready,
};

use crate::clock::Deadline;
use crate::error::{ClientError, Operation, is_about_earlier, send_twice};
use crate::nonblocking::would_block;
use crate::wait_limit::WaitLimit;

/// The largest read, and the largest datagram.
const READ_MAX: usize = 256 * 1024;

/// A connected socket, its peer's address and its receive buffer.
#[derive(Debug)]
pub(super) struct Link {
    transport: Transport,
    socket: Socket,
    address: Address,
    buffer: IoBuffer,
    limit: WaitLimit,
}

/// The result of a read.
pub(super) enum Arrival {
    /// That many bytes, see [`Link::bytes`].
    Bytes(usize),
    /// Nothing is there to read.
    Nothing,
    /// The peer sends nothing more.
    End,
    /// The network has reported an error about an earlier datagram.
    Report(io::Error),
}

/// The event that has ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Data has arrived.
    Readable,
    /// The socket is writable, or the time to wait is over.
    Otherwise,
    /// The operation is to end.
    Stopped,
}

/// Why an operation on a peer has failed.
pub(super) enum Failure<E> {
    /// This operation on the socket has failed.
    Socket(Operation, io::Error),
    /// The caller's function has failed.
    Caller(E),
}

impl Link {
    pub(super) fn new(transport: Transport, socket: Socket, address: Address, limit: WaitLimit) -> Self {
        Self { transport, socket, address, buffer: IoBuffer::zeroed(READ_MAX), limit }
    }

    /// Replaces the socket by one that is connected to another address of the same endpoint.
    pub(super) fn replace(&mut self, socket: Socket, address: Address) {
        (self.socket, self.address) = (socket, address);
    }

    /// Sends once. Returns `None` if the kernel takes nothing now.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let (sent, _) = send_twice(self.kind(), || self.socket.send(bytes));
        match sent {
            Err(error) if would_block(&error) => Ok(None),
            sent => sent.map(Some),
        }
    }

    /// Reads once.
    pub(super) fn receive(&mut self) -> io::Result<Arrival> {
        let len = match self.socket.recv(&mut self.buffer) {
            Err(error) if would_block(&error) => return Ok(Arrival::Nothing),
            Err(error) if self.transport.is_end(&error) => return Ok(Arrival::End),
            Err(error) if is_about_earlier(self.kind(), &error) => return Ok(Arrival::Report(error)),
            result => result?,
        };
        let is_end = len == 0 && self.kind() != Kind::Datagrams && !self.was_empty_message();
        Ok(if is_end { Arrival::End } else { Arrival::Bytes(len) })
    }

    /// Returns the bytes of the last read.
    pub(super) fn bytes(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    /// Returns whether a read of zero bytes was an empty message rather than the end. After an
    /// empty message, either nothing is readable or a message that is not empty; after the end, the
    /// socket stays readable.
    fn was_empty_message(&self) -> bool {
        let peek =
            || self.socket.recv_msg(&mut [IoSliceMut::new(&mut [0])], ControlSpace::NONE, MessageFlags::PEEK);
        self.transport.receives_empty_messages()
            && (self.is_readable().is_ok_and(|readable| !readable)
                || peek().is_ok_and(|message| message.len != 0))
    }

    pub(super) fn is_readable(&self) -> io::Result<bool> {
        ready([(self.as_fd(), Interest::READ)], Some(Duration::ZERO)).map(|[socket]| socket.can_read())
    }

    /// Waits until the socket is ready, `until` has come or the operation is to end.
    pub(super) fn wait<E>(&self, interest: Interest, until: Deadline) -> Result<Woken, Failure<E>> {
        let woken = self.limit.wait([(self.as_fd(), interest)], until);
        Ok(match woken.map_err(|error| Failure::Socket(Operation::Wait, error))? {
            None => Woken::Stopped,
            Some([socket]) if socket.can_read() => Woken::Readable,
            Some(_) => Woken::Otherwise,
        })
    }

    /// Half-closes the connection, if the transport can: the peer then knows that nothing more will
    /// be sent.
    pub(super) fn half_close(&self) -> Result<(), ClientError> {
        match self.socket.shutdown(Shutdown::Write) {
            Err(error) if self.transport.half_closes() && error.kind() != io::ErrorKind::NotConnected => {
                Err(self.error(Operation::ShutDown, error))
            }
            _ => Ok(()),
        }
    }

    /// Returns the endpoint at the address that the socket is connected to.
    pub(super) fn endpoint(&self) -> String {
        Endpoint::display(self.transport, &self.address)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn kind(&self) -> Kind {
        self.transport.kind()
    }

    pub(super) fn limit(&self) -> &WaitLimit {
        &self.limit
    }

    pub(super) fn error(&self, operation: Operation, error: io::Error) -> ClientError {
        ClientError::new(operation, &self.endpoint(), &self.address, error)
    }

    /// Returns the error of an operation to its caller.
    pub(super) fn error_of<E: From<ClientError>>(&self, failure: Failure<E>) -> E {
        match failure {
            Failure::Socket(operation, error) => self.error(operation, error).into(),
            Failure::Caller(error) => error,
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
