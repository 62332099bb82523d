//! Data from a peer, and how a request for it has ended.

use std::time::Duration;

/// Data that a peer has sent.
///
/// [`Peer`](crate::Peer) has examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The bytes. A peer may send anything: escape them before they are shown.
    pub bytes: &'a [u8],
    /// Which message they belong to.
    pub kind: ReceivedKind,
}

/// How received data relates to what was sent.
///
/// [`Peer`](crate::Peer) has examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceivedKind {
    /// A fragment. Its relation is known when the last of it has arrived.
    Fragment,
    /// A reply, or the last of it, which may be empty, with its round-trip time.
    Reply(Duration),
    /// A reply, or the last of it, that arrived when the wait for it had ended, with its round-trip
    /// time.
    LateReply(Duration),
    /// Data that matches no request, or the last of it, which may be empty.
    Unexpected,
}

/// How a request has ended.
///
/// [`Peer`](crate::Peer) has examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The reply has arrived.
    Replied,
    /// The reply has not arrived in time.
    TimedOut,
    /// The peer has closed the connection.
    Closed,
    /// The [`WaitLimit`](crate::WaitLimit) has ended the wait.
    Stopped,
}
