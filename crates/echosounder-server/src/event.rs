//! The events that a server reports while it runs, and the trait that receives them.
//!
//! Each worker has its own [`Observer`] and calls it from its loop, between two system calls.

use std::io;

use echosounder_socket::Address;

/// An event, reported as it happens.
///
/// [`Server::start_with`](crate::Server::start_with) has an example.
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
///
/// [`Server::start_with`](crate::Server::start_with) has an example.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CloseReason<'a> {
    /// The client closed it, or the server is stopping.
    Finished,
    /// The connection failed.
    Failed(&'a io::Error),
    /// The server disconnected the client and continues to serve others.
    Disconnected(DisconnectReason),
}

/// Why the server disconnected a client.
///
/// [`Server::start_with`](crate::Server::start_with) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum DisconnectReason {
    /// The client sent nothing for longer than the idle timeout.
    Idle,
    /// The client received less than 64 KiB within the stall timeout, although the server had more
    /// output for it.
    Stalled,
    /// The client did not finish a line within the stall timeout.
    Unfinished,
    /// The kernel held too much memory for stalled connections, and this one had much of it.
    Memory,
    /// The maximum number of connections was reached, and this one made room for another: its peer
    /// had most connections, and this one had waited longest for its client.
    Evicted,
    /// The client's host or user already had its maximum number of connections, or the server was
    /// full and that host or user had most connections.
    Refused,
    /// The client's address or user is not allowed.
    Denied,
}

impl DisconnectReason {
    /// Every reason, in the order of reports.
    pub const ALL: &'static [Self] = &[
        Self::Idle,
        Self::Stalled,
        Self::Unfinished,
        Self::Memory,
        Self::Evicted,
        Self::Refused,
        Self::Denied,
    ];

    /// Returns the reason as one word for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Unfinished => "unfinished",
            Self::Memory => "memory",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Denied => "denied",
        }
    }
}

/// Receives the events of one worker.
///
/// A closure that takes a [`ServerEvent`] is an observer of all events, and `()` is one of none.
/// The worker waits for each call to return, so an observer must neither block nor panic.
///
/// # Examples
///
/// An observer that counts connections, and does not want each message:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use echosounder_server::{Observer, Server, ServerEvent};
///
/// #[derive(Clone, Default)]
/// struct Connections(Arc<AtomicUsize>);
///
/// impl Observer for Connections {
///     fn observe(&mut self, event: ServerEvent<'_>) {
///         if let ServerEvent::Connected { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
///
///     fn wants_messages(&self) -> bool {
///         false
///     }
/// }
///
/// let connections = Connections::default();
/// let server = Server::bind(["tcp://127.0.0.1:0"])?.start_with(connections.clone())?;
/// server.stop()?;
/// assert_eq!(connections.0.load(Ordering::Relaxed), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Observer {
    /// Handles an event. The default ignores it.
    fn observe(&mut self, event: ServerEvent<'_>) {
        let _ = event;
    }

    /// Returns whether [`ServerEvent::Message`] is wanted; the default is `true`. The worker asks
    /// once. To report every message costs more than to reply to it.
    fn wants_messages(&self) -> bool {
        true
    }
}

/// Ignores every event.
impl Observer for () {
    fn wants_messages(&self) -> bool {
        false
    }
}

/// Calls the closure with every event.
impl<F: FnMut(ServerEvent<'_>)> Observer for F {
    fn observe(&mut self, event: ServerEvent<'_>) {
        self(event);
    }
}
