//! The sockets of connections whose setup is measured.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use echosounder_proto::Moment;
use echosounder_socket::{Events, Interest, Poll, Socket};

use crate::connect::ConnectProbe;

/// Most connections of a target that are established at once. A request beyond that is not sent.
pub(super) const PENDING_MAX: usize = 1024;

/// Connections that one wait reports at most.
const EVENTS_MAX: usize = 64;

/// The sockets of a session that measures connection setup.
#[derive(Debug)]
pub(super) struct FreshSockets {
    pub(super) probe: ConnectProbe,
    /// The set of the sockets that are being connected, by the numbers of their requests. It is
    /// itself in the set of all sessions.
    pub(super) poll: Poll,
    events: Events,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// The socket of the next request, so that the time to create it does not count.
    pub(super) next: Option<Socket>,
}

/// A connection that is being established.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) socket: Socket,
    pub(super) sent: Moment,
}

impl FreshSockets {
    /// Creates an empty set, which becomes readable in `poll` with `token` when a connection is
    /// established or has failed.
    pub(super) fn new(probe: ConnectProbe, poll: &Poll, token: u64) -> io::Result<Self> {
        let own = Poll::new()?;
        poll.add(&own, token, Interest::READ)?;
        let events = Events::with_capacity(EVENTS_MAX);
        Ok(Self { probe, poll: own, events, pending: BTreeMap::new(), next: None })
    }

    /// Closes the socket of a request that was given up.
    pub(super) fn forget(&mut self, number: u64) {
        self.pending.remove(&number);
    }

    /// Closes all sockets, because the target has another address.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.next = None;
    }

    /// Takes the sockets whose connections are established or have failed.
    pub(super) fn take_ready(&mut self) -> io::Result<Vec<(u64, Pending)>> {
        if self.pending.is_empty() {
            return Ok(Vec::new());
        }
        self.poll.wait(&mut self.events, Some(Duration::ZERO))?;
        let ready = self.events.iter().filter_map(|event| self.pending.remove_entry(&event.token));
        Ok(ready.collect())
    }
}
