//! The kernel's state of the TCP connections of a load.

use std::time::Duration;

use crate::distribution::Distribution;
use crate::tcp_reading::TcpReading;

/// The kernel's state of the TCP connections of a load (`TCP_INFO`, tcp(7)), each read when it
/// ends, so that no message costs a system call more.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpSummary {
    /// Segments that this host retransmitted, SYN and warm-up included.
    pub retransmissions: u64,
    /// The smoothed round-trip time (RFC 6298) of each connection.
    pub rtt: Distribution,
}

/// The readings of the connections of one thread, or of all.
#[derive(Clone, Debug, Default)]
pub(super) struct TcpSum {
    retransmissions: u64,
    rtts: Vec<Duration>,
}

impl TcpSum {
    /// Adds a connection that ends.
    pub(super) fn add(&mut self, last: TcpReading) {
        self.retransmissions += u64::from(last.retransmissions);
        self.rtts.push(last.rtt);
    }

    /// Adds the connections of a thread.
    pub(super) fn merge(&mut self, other: &Self) {
        self.retransmissions += other.retransmissions;
        self.rtts.extend(&other.rtts);
    }

    /// Returns the summary; `None` without a TCP connection that has ended.
    pub(super) fn summary(&self) -> Option<TcpSummary> {
        let rtt: Distribution = self.rtts.iter().copied().collect();
        (!rtt.is_empty()).then_some(TcpSummary { retransmissions: self.retransmissions, rtt })
    }
}
