//! Counters of a load's messages.

/// How many messages of a load had which outcome. Messages of the warm-up do not count.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Messages whose reply was complete and arrived within the timeout.
    pub answered: u64,
    /// Messages whose reply was complete, but arrived after the timeout.
    pub late: u64,
    /// Received data that matches no message: it was never sent.
    pub unexpected: u64,
    /// Further replies to messages that had been replied to before.
    pub duplicate: u64,
    /// Messages of an open loop that were due and could not be sent.
    pub skipped: u64,
    /// Replies without a timestamp of their own: the server read several messages at once, or sends
    /// no timestamps.
    pub without_timestamp: u64,
    /// Connections that the server closed, and sockets whose datagrams it refused.
    pub connections_closed: u64,
    /// Connections that the server refused, of a load that makes one for each message. They count
    /// as lost messages, as do the next two.
    pub connections_refused: u64,
    /// Connections of such a load that were not established within the timeout.
    pub connections_timed_out: u64,
    /// Connections of such a load that failed because the host or its network was unreachable.
    pub connections_unreachable: u64,
    /// Bytes of the answered messages.
    pub bytes: u64,
    /// Errors about earlier datagrams that the network reported (ICMP), including those of the
    /// warm-up.
    pub network_errors: u64,
}

impl Counts {
    /// Returns how many of the sent messages had no complete reply.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.late)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.late += other.late;
        self.unexpected += other.unexpected;
        self.duplicate += other.duplicate;
        self.skipped += other.skipped;
        self.without_timestamp += other.without_timestamp;
        self.connections_closed += other.connections_closed;
        self.connections_refused += other.connections_refused;
        self.connections_timed_out += other.connections_timed_out;
        self.connections_unreachable += other.connections_unreachable;
        self.bytes += other.bytes;
        self.network_errors += other.network_errors;
    }
}
