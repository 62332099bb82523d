//! The measurements that a thread of a load hands to the thread that reports.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::counts::Counts;
use super::exchange_times::ExchangeTimes;
use super::tcp_sum::TcpSum;

/// The measurements of one thread: totals in counters, and times since the previous result in
/// histograms. The times of all results together are those of the whole load.
#[derive(Clone, Debug)]
pub(super) struct ThreadResult {
    /// The thread, from 0.
    pub(super) thread: usize,
    /// The number of the request that this result fulfils; `u64::MAX` for the last result of the
    /// thread.
    pub(super) request: u64,
    /// Totals so far. Messages in flight do not count as sent.
    pub(super) counts: Counts,
    /// Measured messages in flight.
    pub(super) in_flight: u64,
    /// Nanoseconds from when a message was due until its reply was complete.
    pub(super) latency: Histogram<u64>,
    /// Nanoseconds from when a message of an open loop was due until it was sent.
    pub(super) send_delay: Histogram<u64>,
    /// The times of exchanges, of a load that makes a connection for each message.
    pub(super) exchanges: Option<ExchangeTimes>,
    /// The time from the end of the warm-up until now, or until the last measured reply if the load
    /// is over.
    pub(super) elapsed: Duration,
    pub(super) cpu: CpuShare,
    /// How long no reply had arrived when the thread gave up, if it did.
    pub(super) silence: Option<Duration>,
    /// Connections that have ended since the previous result.
    pub(super) tcp: TcpSum,
}

/// How a thread spent its time while it sent messages, as shares from 0 to 1.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CpuShare {
    /// The share of the time that the thread ran on a processor.
    pub busy: f64,
    /// The share of the time that the thread was ready to run, but waited for a processor.
    pub waiting: f64,
}

impl CpuShare {
    /// Returns the share of the time that the thread had work to do.
    pub fn wanted(self) -> f64 {
        self.busy + self.waiting
    }
}
