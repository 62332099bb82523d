//! The times of the parts of a latency, of a load that makes a connection for each message.

use hdrhistogram::Histogram;

use super::histogram::histogram;
use crate::distribution::Distribution;

/// The times of exchanges, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct ExchangeTimes {
    /// From when a connection was due until it was established.
    pub(super) connect: Histogram<u64>,
    /// From when a connection was established until the reply over it was complete.
    pub(super) reply: Histogram<u64>,
}

impl Default for ExchangeTimes {
    fn default() -> Self {
        Self { connect: histogram(), reply: histogram() }
    }
}

impl ExchangeTimes {
    /// Adds times.
    pub(super) fn add(&mut self, other: &Self) {
        // All histograms have the same bounds, so adding cannot fail.
        let _ = self.connect.add(&other.connect);
        let _ = self.reply.add(&other.reply);
    }

    pub(super) fn report(&self) -> ExchangeReport {
        ExchangeReport {
            connect: Distribution::from_histogram(&self.connect),
            reply: Distribution::from_histogram(&self.reply),
        }
    }
}

/// The times of the parts of a latency, of a load that makes a connection for each message.
///
/// [`Load::connect_each`](crate::Load::connect_each) has an example.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExchangeReport {
    /// The times from when each connection was due until it was established. Connections that failed
    /// are not in it.
    pub connect: Distribution,
    /// The times from when each connection was established until the reply over it was complete.
    pub reply: Distribution,
}
