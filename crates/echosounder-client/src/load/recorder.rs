//! The record of measured messages.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::counts::Counts;
use super::histogram::{histogram, nanos};

/// A message that was sent and not replied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// When it was due, since the start.
    pub(super) due: Duration,
    /// Its size in bytes.
    pub(super) len: usize,
}

/// Counts and times of the messages that were due after the warm-up.
#[derive(Debug)]
pub(super) struct Recorder {
    warm_up: Duration,
    timeout: Duration,
    /// The number of the first measured message, once it is sent.
    first_measured: u64,
    /// Measured messages in flight.
    in_flight: u64,
    /// When the last measured reply arrived, since the start.
    last_reply: Duration,
    pub(super) counts: Counts,
    latency: Histogram<u64>,
    send_delay: Histogram<u64>,
}

impl Recorder {
    pub(super) fn new(warm_up: Duration, timeout: Duration) -> Self {
        Self {
            warm_up,
            timeout,
            first_measured: u64::MAX,
            in_flight: 0,
            last_reply: Duration::ZERO,
            counts: Counts::default(),
            latency: histogram(),
            send_delay: histogram(),
        }
    }

    /// Returns whether a message that was sent is measured.
    pub(super) fn is_measured(&self, number: u64) -> bool {
        self.first_measured <= number
    }

    /// Returns how many measured messages are in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Returns when the last measured reply arrived, since the start.
    pub(super) fn last_reply(&self) -> Duration {
        self.last_reply
    }

    /// Records that a message of an open loop is about to be sent.
    pub(super) fn record_send_delay(&mut self, due: Duration, now: Duration) {
        if self.warm_up <= due {
            self.send_delay.saturating_record(nanos(now - due));
        }
    }

    /// Records that a message was sent.
    pub(super) fn record_sent(&mut self, number: u64, due: Duration) {
        if self.warm_up <= due {
            self.first_measured = self.first_measured.min(number);
            self.counts.sent += 1;
            self.in_flight += 1;
        }
    }

    /// Records that a message was not sent after all, and returns whether it would have been
    /// measured.
    pub(super) fn take_back_sent(&mut self, number: u64) -> bool {
        let is_measured = self.is_measured(number);
        self.counts.sent -= u64::from(is_measured);
        self.in_flight -= u64::from(is_measured);
        is_measured
    }

    /// Records that a message of an open loop was due, but could not be sent.
    pub(super) fn record_skipped(&mut self, due: Duration) {
        self.counts.skipped += u64::from(self.warm_up <= due);
    }

    /// Records that a message left the connection's table without a reply.
    pub(super) fn record_given_up(&mut self, number: u64) {
        self.in_flight -= u64::from(self.is_measured(number));
    }

    /// Records the complete reply to a message in flight.
    pub(super) fn record_reply(
        &mut self,
        number: u64,
        request: &Request,
        has_timestamp: bool,
        now: Duration,
    ) {
        if self.is_measured(number) {
            self.in_flight -= 1;
            self.last_reply = now;
            self.record(request, has_timestamp, now);
        }
    }

    /// Records the complete reply to a message that had been given up. It may be in time, if the
    /// message was given up because of a reported error.
    pub(super) fn record_late_reply(
        &mut self,
        number: u64,
        request: &Request,
        has_timestamp: bool,
        now: Duration,
    ) {
        if self.is_measured(number) {
            self.record(request, has_timestamp, now);
        }
    }

    fn record(&mut self, request: &Request, has_timestamp: bool, now: Duration) {
        let latency = now.saturating_sub(request.due);
        self.latency.saturating_record(nanos(latency));
        self.counts.without_timestamp += u64::from(!has_timestamp);
        if latency <= self.timeout {
            self.counts.answered += 1;
            self.counts.bytes += request.len as u64;
        } else {
            self.counts.late += 1;
        }
    }

    /// Takes the messages in flight out of the counters: the load was stopped before their replies
    /// could arrive.
    pub(super) fn forget_in_flight(&mut self) {
        self.counts.sent -= self.in_flight;
        self.in_flight = 0;
    }

    /// Counts the messages in flight as lost.
    pub(super) fn lose_in_flight(&mut self) {
        self.in_flight = 0;
    }

    /// Returns the latencies since times were last taken.
    pub(super) fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// Returns the send delays since times were last taken.
    pub(super) fn send_delay(&self) -> &Histogram<u64> {
        &self.send_delay
    }

    /// Takes the times that were recorded since the last call.
    pub(super) fn take_times(&mut self) -> Times {
        Times {
            latency: std::mem::replace(&mut self.latency, histogram()),
            send_delay: std::mem::replace(&mut self.send_delay, histogram()),
        }
    }
}

/// Recorded times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// From when a message was due until its reply was complete.
    pub(super) latency: Histogram<u64>,
    /// From when a message of an open loop was due until it was sent.
    pub(super) send_delay: Histogram<u64>,
}
