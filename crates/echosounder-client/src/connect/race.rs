//! Connections that are being established at the same time.

use std::io;

use echosounder_socket::{Address, Endpoint, Events, Interest, Poll, Socket, Transport};

use crate::clock::Deadline;
use crate::error::{ClientError, Operation};
use crate::wait_limit::WaitLimit;

/// The token of the stop token in the poll set. Connections count from 0.
const STOP: u64 = u64::MAX;

/// Connections that are being established, each to its address. The first that is established wins.
pub(super) struct Race {
    transport: Transport,
    poll: Poll,
    events: Events,
    /// In the order of their starts. A connection that has been established or has failed leaves
    /// `None`.
    pending: Vec<Option<(Socket, Address)>>,
    /// How connections have failed so far.
    pub(super) failures: Vec<ClientError>,
}

impl Race {
    pub(super) fn new(transport: Transport, limit: &WaitLimit) -> io::Result<Self> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(8));
        poll.add(limit.stop(), STOP, Interest::READ)?;
        Ok(Self { transport, poll, events, pending: Vec::new(), failures: Vec::new() })
    }

    pub(super) fn enter(&mut self, socket: Socket, address: Address) -> io::Result<()> {
        self.poll.add(&socket, self.pending.len() as u64, Interest::WRITE)?;
        self.pending.push(Some((socket, address)));
        Ok(())
    }

    /// Waits until connections have been established or have failed, `until` has come, or the
    /// operation is to stop. Returns the first connection that has been established.
    pub(super) fn wait(
        &mut self,
        until: Deadline,
        limit: &WaitLimit,
    ) -> io::Result<Option<(Socket, Address)>> {
        self.poll.wait(&mut self.events, until.left(limit.now()))?;
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            index += 1;
            let entry = usize::try_from(event.token).ok().and_then(|token| self.pending.get_mut(token));
            let Some((socket, address)) = entry.and_then(Option::take) else { continue };
            match connect_result(&socket) {
                Ok(()) => return Ok(Some((socket, address))),
                Err(error) => self.failures.push(connect_error(self.transport, &address, error)),
            }
        }
        Ok(None)
    }

    /// Returns why no connection has been established: how some have failed, and that the others
    /// took too long.
    pub(super) fn into_error(self) -> ClientError {
        let mut failures = self.failures;
        for (_, address) in self.pending.into_iter().flatten() {
            failures.push(connect_error(self.transport, &address, io::ErrorKind::TimedOut.into()));
        }
        ClientError::combine(failures)
    }
}

/// Returns the error of a connection to `address` that has failed.
pub(super) fn connect_error(transport: Transport, address: &Address, error: io::Error) -> ClientError {
    ClientError::new(Operation::Connect, &Endpoint::display(transport, address), address, error)
}

/// Returns the result of a connect that has ended, and refuses a connection to itself.
pub(crate) fn connect_result(socket: &Socket) -> io::Result<()> {
    socket.take_error()?.map_or_else(|| refuse_self_connection(socket), Err)
}

/// Fails if a socket is connected to itself: the kernel can choose the port that the socket
/// connects to as its local port, and TCP then establishes a connection although nobody listens
/// there.
pub(super) fn refuse_self_connection(socket: &Socket) -> io::Result<()> {
    let local = socket.local_addr()?;
    // Only IP sockets have such ports, and not every other family has peer names.
    if local.port().is_some() && local == socket.peer_addr()? {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the connection led to itself"));
    }
    Ok(())
}
