//! How a peer fails, and why a request counts as lost.

use core::fmt;

/// How a peer, or the network on the way to it, fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing listens at the address.
    Refused,
    /// No reply arrived in time.
    Timeout,
    /// There is no route to the peer.
    Unreachable,
    /// The name has no address.
    Dns,
    /// The peer or the network closed the connection.
    Closed,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "REFUSED",
            Self::Timeout => "TIMEOUT",
            Self::Unreachable => "UNREACHABLE",
            Self::Dns => "DNS",
            Self::Closed => "CLOSED",
        })
    }
}

/// Why a request counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The peer failed, or the network on the way to it.
    Peer(FailureKind),
    /// This host had no buffer space to send it.
    NotSent,
}

impl LossReason {
    /// Returns how the peer failed, if it did.
    pub fn kind(self) -> Option<FailureKind> {
        match self {
            Self::Peer(kind) => Some(kind),
            Self::NotSent => None,
        }
    }
}

impl From<FailureKind> for LossReason {
    fn from(kind: FailureKind) -> Self {
        Self::Peer(kind)
    }
}
