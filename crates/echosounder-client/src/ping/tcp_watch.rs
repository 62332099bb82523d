//! The kernel's knowledge of a TCP connection: retransmissions, its round-trip time, its window.

use std::time::Duration;

use crate::tcp_reading::TcpReading;

/// The state of TCP at the end of a measurement, by the kernel: `TCP_INFO`, tcp(7). Counts are
/// those of this side: segments that the peer retransmits do not count.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpReport {
    /// Segments that were retransmitted, on all connections to the target, SYN included.
    pub retransmissions: u64,
    /// The smoothed round-trip time (RFC 6298) of the last connection.
    pub rtt: Duration,
    /// The variation of that round-trip time.
    pub rtt_variation: Duration,
    /// The congestion window of the last connection, in segments.
    pub window_segments: u32,
    /// The latest rate of delivery to the peer, in bytes per second.
    pub delivery_rate: u64,
    /// How often the network has reordered segments, on all connections: Linux 4.19.
    pub reordering_seen: u64,
}

/// Sums up the readings of the connections to one target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TcpWatch {
    retransmissions: u64,
    reordering_seen: u64,
    /// The counters of the present connection that are in the sums.
    counted: (u32, u32),
    /// The last reading of any connection.
    last: Option<TcpReading>,
}

impl TcpWatch {
    /// Takes a reading of the present connection. Returns how many segments were retransmitted
    /// since the one before.
    pub(super) fn read(&mut self, now: TcpReading) -> u32 {
        let retransmissions = now.retransmissions.saturating_sub(self.counted.0);
        self.retransmissions += u64::from(retransmissions);
        self.reordering_seen += u64::from(now.reordering_seen.saturating_sub(self.counted.1));
        self.counted = (now.retransmissions, now.reordering_seen);
        self.last = Some(now);
        retransmissions
    }

    /// Notes that the connection has ended. The counters of the next one begin at 0.
    pub(super) fn disconnected(&mut self) {
        self.counted = (0, 0);
    }

    /// Returns the sums, with a reading of now if there is a connection; `None` without any
    /// reading.
    pub(super) fn report(mut self, now: Option<TcpReading>) -> Option<TcpReport> {
        now.map(|now| self.read(now));
        self.last.map(|last| TcpReport {
            retransmissions: self.retransmissions,
            rtt: last.rtt,
            rtt_variation: last.rtt_variation,
            window_segments: last.window_segments,
            delivery_rate: last.delivery_rate,
            reordering_seen: self.reordering_seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(retransmissions: u32, reordering_seen: u32) -> TcpReading {
        TcpReading { retransmissions, reordering_seen, window_segments: 10, ..TcpReading::default() }
    }

    #[test]
    fn a_retransmission_is_credited_once() {
        let mut watch = TcpWatch::default();
        // A SYN was sent twice.
        assert_eq!(watch.read(reading(1, 0)), 1);
        assert_eq!(watch.read(reading(1, 0)), 0);
        assert_eq!(watch.read(reading(4, 1)), 3);
        assert_eq!(watch.read(reading(4, 1)), 0);
        let report = watch.report(None).unwrap();
        assert_eq!((report.retransmissions, report.reordering_seen, report.window_segments), (4, 1, 10));
    }

    #[test]
    fn sums_continue_over_connections() {
        let mut watch = TcpWatch::default();
        watch.read(reading(3, 2));
        watch.disconnected();
        assert_eq!(watch.read(reading(2, 1)), 2);
        let report = watch.report(Some(reading(4, 1))).unwrap();
        assert_eq!((report.retransmissions, report.reordering_seen), (7, 3));
    }

    #[test]
    fn nothing_is_reported_without_a_reading() {
        assert_eq!(TcpWatch::default().report(None), None);
        assert_eq!(TcpWatch::default().report(Some(reading(0, 0))).unwrap().retransmissions, 0);
    }
}
