//! An attempt to connect that does not block: the caller waits for its sockets and its deadline.

use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::{Address, Interest, Poll, Socket, Transport, ready};

use super::race::{connect_error, connect_result};
use crate::clock::Deadline;
use crate::error::ClientError;

/// How long an address is tried alone before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connections to the addresses of one endpoint that are being established. The first that is
/// established wins.
#[derive(Debug)]
pub(crate) struct Attempt {
    transport: Transport,
    deadline: Deadline,
    /// When the next address is tried beside the others.
    next_start: Deadline,
    pending: Vec<(Socket, Address)>,
    /// How connections have failed so far.
    failures: Vec<ClientError>,
}

impl Attempt {
    /// Creates an attempt that has tried no address yet.
    pub(crate) fn new(transport: Transport, now: MonoTime, deadline: Deadline) -> Self {
        let next_start = Deadline::after(now, Duration::ZERO);
        Self { transport, deadline, next_start, pending: Vec::new(), failures: Vec::new() }
    }

    /// Returns by when a connection must be established.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Returns when the next address is to be tried, even if no connection has failed.
    pub(super) fn next_start(&self) -> Deadline {
        self.next_start
    }

    /// Returns whether no connection is being established.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Notes that an address is tried now.
    pub(super) fn started(&mut self, now: MonoTime) {
        self.next_start = Deadline::after(now, STAGGER);
    }

    /// Takes a socket that is being connected, and adds it to `poll`.
    pub(super) fn enter(
        &mut self,
        socket: Socket,
        address: Address,
        poll: &Poll,
        token: u64,
    ) -> io::Result<()> {
        poll.add(&socket, token, Interest::WRITE)?;
        self.pending.push((socket, address));
        Ok(())
    }

    /// Notes that an address has failed.
    pub(super) fn fail(&mut self, error: ClientError) {
        self.failures.push(error);
    }

    /// Returns the first connection that has been established, and drops those that have failed.
    pub(super) fn take_established(&mut self, poll: &Poll) -> io::Result<Option<(Socket, Address)>> {
        let mut index = 0;
        while let Some((socket, _)) = self.pending.get(index) {
            let [readiness] = ready([(socket.as_fd(), Interest::WRITE)], Some(Duration::ZERO))?;
            if !readiness.can_write() {
                index += 1;
                continue;
            }
            let (socket, address) = self.pending.remove(index);
            match connect_result(&socket) {
                Ok(()) => return poll.remove(&socket).map(|()| Some((socket, address))),
                Err(error) => self.fail(connect_error(self.transport, &address, error)),
            }
        }
        Ok(None)
    }

    /// Returns why no connection has been established: how some have failed, and that the others,
    /// or `next` if none was tried, took too long.
    pub(super) fn take_error(&mut self, next: Option<Address>) -> ClientError {
        let mut failures = mem::take(&mut self.failures);
        let late = self.pending.drain(..).map(|(_, address)| address);
        let late: Vec<_> = late.chain(next.filter(|_| failures.is_empty())).collect();
        let timed_out = |address| connect_error(self.transport, &address, io::ErrorKind::TimedOut.into());
        failures.extend(late.into_iter().map(timed_out));
        ClientError::combine(failures)
    }
}
