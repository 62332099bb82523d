//! How the requests of a measurement are written and their replies read.

use alloc::vec::Vec;

use crate::stamp::ErrorEstimate;
use crate::time::WallTime;
use crate::timestamp::Timestamp;

/// A request that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReply {
    /// The number of the request.
    pub number: u64,
    /// The server's timestamp, if it added one.
    pub timestamp: Option<Timestamp>,
    /// Whether the reply ended with the last of the bytes read, so that their time of arrival is
    /// its own.
    pub ends_read: bool,
    /// The peer's report beside the timestamp.
    pub seen: Seen,
}

impl ProbeReply {
    /// Returns the reply to the request with this number, without a timestamp, that ended with the
    /// last of the bytes read.
    pub fn new(number: u64) -> Self {
        Self { number, timestamp: None, ends_read: true, seen: Seen::default() }
    }
}

/// The peer's report on a request beside the timestamp: the number of the reply, header fields of the
/// request as it arrived, and the error of the peer's clock. `None` means not reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The number of the reply: that of the request, or of a count that the peer keeps by session.
    pub count: Option<u32>,
    /// The time to live or hop limit.
    pub ttl: Option<u8>,
    /// The DSCP, from 0 to 63.
    pub dscp: Option<u8>,
    /// The ECN bits, from 0 to 3.
    pub ecn: Option<u8>,
    /// How far the peer's clock may be from UTC.
    pub error_estimate: Option<ErrorEstimate>,
}

/// The form of requests and replies, used by a [`Prober`](crate::Prober).
///
/// A format for messages needs the first three methods only. One for streams also remembers which
/// requests the current connection is to bring back.
pub trait ProbeFormat {
    /// Appends the request with this number, which is sent at `now`, to `out`.
    fn write(&mut self, number: u64, now: WallTime, out: &mut Vec<u8>);

    /// Reads a message, or bytes of a stream, and appends each reply that they complete to
    /// `replies`. The next request will have the number `next`. Returns whether the bytes are
    /// certainly no reply.
    fn read(&mut self, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) -> bool;

    /// Returns the number of the request in a packet that the kernel or an ICMP error quotes.
    fn find(&self, packet: &[u8], next: u64) -> Option<u64>;

    /// Returns whether another request can be written: too many replies may be outstanding on
    /// a connection.
    fn can_write(&self) -> bool {
        true
    }

    /// Forgets the outstanding requests of the connection, because it has ended.
    fn reset(&mut self) {}

    /// Returns once whether a stream has brought bytes in which no reply was found.
    fn take_unmatched(&mut self) -> bool {
        false
    }
}
