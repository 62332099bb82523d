//! How a peer fails, and why a request counts as lost.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::icmp::IcmpError;

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
    /// It is longer than the path MTU and must not be fragmented.
    TooLong,
}

impl LossReason {
    /// Returns how the peer failed, if it did.
    pub fn kind(self) -> Option<FailureKind> {
        match self {
            Self::Peer(kind) => Some(kind),
            Self::NotSent | Self::TooLong => None,
        }
    }
}

impl From<FailureKind> for LossReason {
    fn from(kind: FailureKind) -> Self {
        Self::Peer(kind)
    }
}

/// What the kernel knows about the loss of a request. `None` means not known.
///
/// ```
/// use echosounder_proto::LossReport;
///
/// let mut report = LossReport::default();
/// report.path_mtu = Some(1400);
/// assert!(report.error.is_none() && report.from.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LossReport {
    /// The ICMP error about the request.
    pub error: Option<IcmpError>,
    /// The host that sent the ICMP error.
    pub from: Option<IpAddr>,
    /// The path MTU that the request exceeds, in bytes of an IP packet.
    pub path_mtu: Option<u32>,
    /// How long after it was sent the peer or the network rejected the request; `None` if nothing
    /// shows that this request was rejected.
    pub after: Option<Duration>,
}
