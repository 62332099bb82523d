//! One target's socket: connected or not, with its kernel timestamps and the bytes that the
//! kernel has not accepted.

use std::collections::VecDeque;
use std::io;

use echosounder_socket::option::{self, PathMtuDiscovery};
use echosounder_socket::{Address, Endpoint, Interest, Kind, Poll, Socket, Transport, Type, is_too_long};

use super::kernel_timestamps::KernelTimestamps;
use super::plan::PingOptions;
use super::probe::Probe;
use crate::error::{ClientError, Operation, failure_kind};
use crate::nonblocking::{prepare, would_block};
use crate::tcp_reading::TcpReading;
use echosounder_proto::FailureKind;

/// A socket, and what belongs to it.
#[derive(Debug)]
pub(super) struct Link {
    /// What the requests are, which decides how the endpoint is displayed.
    probe: Probe,
    pub(super) transport: Transport,
    pub(super) address: Address,
    /// `None` until the first connection.
    pub(super) local: Option<Address>,
    /// `None` while there is no connection.
    pub(super) socket: Option<Socket>,
    pub(super) timestamps: KernelTimestamps,
    /// Bytes that the kernel has not accepted from a stream.
    unsent: VecDeque<u8>,
    /// The token of the socket in the poll.
    token: u64,
    /// Whether it is a raw socket, which receives the replies to other programs, too.
    is_raw: bool,
}

impl Link {
    /// Creates a link that is not connected.
    pub(super) fn new(probe: Probe, transport: Transport, address: Address, token: u64) -> Self {
        Self {
            probe,
            transport,
            address,
            local: None,
            socket: None,
            timestamps: KernelTimestamps::default(),
            unsent: VecDeque::new(),
            token,
            is_raw: false,
        }
    }

    /// Takes a connected socket in place of any other.
    pub(super) fn connect(
        &mut self,
        socket: Socket,
        address: Address,
        ping: &PingOptions,
        poll: &Poll,
    ) -> Result<(), ClientError> {
        // The socket that is dropped leaves the poll.
        (self.socket, self.address) = (None, address);
        let ready = prepare(&socket, self.transport.kind())
            .and_then(|()| poll.add(&socket, self.token, Interest::READ));
        ready.map_err(|error| self.error(Operation::Prepare, error))?;
        self.timestamps =
            KernelTimestamps::enable(&socket, self.transport, &self.address, ping.timestamps, ping.pace);
        self.local = socket.local_addr().ok();
        self.is_raw = socket.socket_type().is_ok_and(|kind| kind == Type::RAW);
        self.socket = Some(socket);
        Ok(())
    }

    /// Closes the socket. Returns whether there was one.
    pub(super) fn disconnect(&mut self) -> bool {
        self.unsent = VecDeque::new();
        self.socket.take().is_some()
    }

    /// Sends a message. Bytes that a stream does not accept stay with the link.
    pub(super) fn send(&mut self, message: &[u8], poll: &Poll) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let is_stream = self.transport.kind() == Kind::Stream;
        let sent = match socket.send(message) {
            Ok(len) if is_stream => len,
            Err(error) if is_stream && would_block(&error) => 0,
            result => return result.map(drop),
        };
        self.unsent.extend(&message[sent..]);
        if self.unsent.is_empty() {
            Ok(())
        } else {
            poll.modify(socket, self.token, Interest::READ | Interest::WRITE)
        }
    }

    /// Sends the remaining bytes of a stream, as far as the kernel accepts them.
    pub(super) fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.unsent.is_empty()) else { return Ok(()) };
        match socket.send(self.unsent.make_contiguous()) {
            Ok(len) => drop(self.unsent.drain(..len)),
            Err(error) if would_block(&error) => {}
            Err(error) => return Err(error),
        }
        if self.unsent.is_empty() { poll.modify(socket, self.token, Interest::READ) } else { Ok(()) }
    }

    /// Returns whether a stream has bytes of earlier messages to send.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Returns the kernel's state of the connection, if it is one of TCP.
    pub(super) fn tcp(&self) -> Option<TcpReading> {
        TcpReading::of(self.socket.as_ref()?, self.transport)
    }

    /// Returns the endpoint with the address.
    pub(super) fn endpoint(&self) -> String {
        self.probe.display(&Endpoint::display(self.transport, &self.address))
    }

    /// Returns how the peer has failed, or `None` if this machine has.
    pub(super) fn failure_kind(&self, operation: Operation, error: &io::Error) -> Option<FailureKind> {
        failure_kind(operation, error, &self.address)
    }

    /// Returns whether the socket also receives what is meant for others.
    pub(super) fn receives_from_any(&self) -> bool {
        self.is_raw || self.transport.receives_from_any()
    }

    /// Returns the identifier that the kernel writes into the requests of a ping socket: icmp(7).
    pub(super) fn icmp_identifier(&self) -> Option<u16> {
        self.local.as_ref().and_then(Address::port).filter(|_| !self.is_raw)
    }

    /// Returns the path MTU in bytes, if the error of a send means that the message is longer and must
    /// not be fragmented: IP_MTU_DISCOVER, ip(7).
    pub(super) fn exceeded_mtu(&self, error: &io::Error) -> Option<u32> {
        let socket = self.socket.as_ref().filter(|_| is_too_long(error))?;
        let (discovery, mtu) = match self.address {
            Address::Inet(_) => (socket.option(option::IP_MTU_DISCOVER), socket.option(option::IP_MTU)),
            Address::Inet6(_) => {
                // A socket of ICMPv6 may show the path MTU at the time of its connect(2), and a
                // connected socket can connect to its peer again. If not, the old value stays.
                let _ = socket.connect(&self.address);
                (socket.option(option::IPV6_MTU_DISCOVER), socket.option(option::IPV6_MTU))
            }
            _ => return None,
        };
        let is_forbidden = discovery.is_ok_and(|discovery| discovery == PathMtuDiscovery::DO);
        mtu.ok().filter(|_| is_forbidden).and_then(|mtu| u32::try_from(mtu).ok())
    }

    pub(super) fn error(&self, operation: Operation, error: io::Error) -> ClientError {
        ClientError::new(operation, &self.endpoint(), &self.address, error)
    }
}
