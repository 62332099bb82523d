//! The events that a server reports while it runs, and the trait that receives them.
//!
//! Each worker has its own [`Observer`] and calls it from its loop, between two system calls.

use std::io;

use echosounder_socket::Address;

/// An event, reported as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent<'a> {
    /// A connection was accepted.
    Connected {
        /// The client's address.
        peer: &'a Address,
    },
    /// A message is being replied to.
    Message {
        /// The client's address.
        peer: &'a Address,
        /// The message without a timestamp. These bytes are untrusted: escape them before printing.
        bytes: &'a [u8],
    },
    /// A connection has ended.
    Closed {
        /// The client's address.
        peer: &'a Address,
        /// The number of messages that were replied to.
        messages: u64,
        /// Why the connection ended.
        reason: CloseReason<'a>,
    },
    /// An operation failed. The server continues.
    Error {
        /// The operation, such as `accept`.
        operation: &'static str,
        /// The cause.
        error: &'a io::Error,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug)]
pub enum CloseReason<'a> {
    /// The client closed it, or the server is stopping.
    Finished,
    /// The connection failed.
    Failed(&'a io::Error),
    /// The server disconnected the client and continues to serve others.
    Disconnected(DisconnectReason),
}

/// Why the server disconnected a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DisconnectReason {
    /// The client sent nothing for longer than the idle timeout.
    Idle,
    /// The client received nothing for longer than the stall timeout.
    Stalled,
    /// The maximum number of connections was reached, and this one had been idle longest.
    Evicted,
    /// The client's host already had its maximum number of connections.
    Refused,
}

impl DisconnectReason {
    /// Every reason, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Stalled, Self::Evicted, Self::Refused];

    /// Returns the reason as one word for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
        }
    }
}

/// Receives the events of one worker.
///
/// The worker waits for each call to return, so an observer must neither block nor panic.
pub trait Observer {
    /// Handles an event.
    fn observe(&mut self, event: ServerEvent<'_>);

    /// Returns whether [`ServerEvent::Message`] is wanted. The worker asks once. To report every
    /// message costs more than to reply to it.
    fn wants_messages(&self) -> bool;
}

/// Ignores every event.
impl Observer for () {
    fn observe(&mut self, _: ServerEvent<'_>) {}

    fn wants_messages(&self) -> bool {
        false
    }
}
