//! The events that a ping reports while it runs.

use std::time::Duration;

use echosounder_proto::{FailureKind, LossReason, LossReport, WallTime};
use echosounder_socket::Address;

use super::directions::{ClockRelation, OneWayDelay};
use super::kernel_timestamps::KernelTimestamps;
use super::report::{PingInterval, PingReport};
use super::seen::RequestHeader;
use crate::error::ClientError;

/// What happens at one target of a [`Pinger`](super::Pinger).
///
/// [`Ping::run_with`](crate::Ping::run_with) has an example.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetEvent {
    /// The target was found, and requests will be sent to it.
    Started(Box<ResolvedTarget>),
    /// The name has no address, and is looked up again in 5 seconds:
    /// [`PingOptions::until_up`](super::PingOptions::until_up).
    NotFound(FailureKind),
    /// Something became of a request or of the connection.
    Happened(PingEvent),
    /// The measurement has ended. It is the last event of a target.
    Ended {
        /// The result; `None` if the target was not found.
        report: Option<Box<PingReport>>,
        /// Why it ended early.
        error: Option<ClientError>,
    },
}

/// What happens to requests and to their connection.
///
/// [`Ping::run_with`](crate::Ping::run_with) has an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PingEvent {
    /// A request was replied to, in time or late.
    Replied(PingReply),
    /// A request counts as lost.
    Lost {
        /// The number of the request.
        number: u64,
        /// When it was sent, or was to be sent.
        sent: WallTime,
        /// Why it counts as lost.
        reason: LossReason,
        /// What is known about it.
        report: LossReport,
    },
    /// A request with this number was replied to once more.
    Duplicate(u64),
    /// Data arrived that matches no request.
    Unexpected,
    /// The timestamps cannot come from the clock that they were assumed to come from.
    ClockContradicted,
    /// The connection was lost.
    Disconnected,
    /// The connection was made again.
    Reconnected,
    /// Requests go to another address from now on.
    Moved {
        /// The address before, if the name no longer has it or does not accept connections there;
        /// `None` if no request had an outcome before.
        from: Option<Address>,
        /// The target as it is now.
        to: Box<ResolvedTarget>,
    },
    /// What happened since the last event of this kind.
    Interval(Box<PingInterval>),
    /// The report so far, for
    /// [`PingControl::request_interim`](super::PingControl::request_interim).
    Interim(Box<PingReport>),
    /// The report so far, for
    /// [`PingControl::request_checkpoint`](super::PingControl::request_checkpoint).
    Checkpoint(Box<PingReport>),
}

/// The address of a target, and the state of its socket.
///
/// [`Ping::run_with`](crate::Ping::run_with) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedTarget {
    /// The endpoint with the address that requests are sent to.
    pub endpoint: String,
    /// That address.
    pub address: Address,
    /// The local address of the socket, if it is connected.
    pub local: Option<Address>,
    /// The timestamps that the kernel supports on the socket.
    pub kernel: KernelTimestamps,
    /// How the peer's clock is assumed to relate to this machine's.
    pub clock: ClockRelation,
}

/// A request that was replied to.
///
/// [`Ping::run_with`](crate::Ping::run_with) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PingReply {
    /// The number of the request.
    pub number: u64,
    /// When it was sent.
    pub sent: WallTime,
    /// The round-trip time.
    pub rtt: Duration,
    /// The round-trip time without the time in this host's queues, if the kernel reported when the
    /// request left.
    pub wire: Option<Duration>,
    /// The delay of each direction, in nanoseconds: if the clocks are unrelated, above the fastest
    /// seen.
    pub delay: Option<OneWayDelay>,
    /// How long the server held the request.
    pub residence: Option<Duration>,
    /// By which relation of the clocks the one-way delays were measured.
    pub clock: ClockRelation,
    /// Whether the reply arrived after the timeout.
    pub late: bool,
    /// Whether the reply to a later request had arrived before.
    pub reordered: bool,
    /// The header fields of the request as it arrived at the peer, if the peer reports them.
    pub header: RequestHeader,
    /// Whether one of these fields differs from that of the reply before.
    pub has_header_changed: bool,
    /// How many TCP segments this host retransmitted since the reply before, or since the request
    /// if no other was in flight; `None` if the target is no TCP connection.
    pub retransmissions: Option<u32>,
    /// The time to live or hop limit with which the reply arrived; `None` if it did not arrive in a
    /// datagram over IP.
    pub ttl: Option<u8>,
}

impl PingReply {
    /// Returns a reply that arrived in time and in order, without one-way delays: for the tests of
    /// a program that handles replies.
    pub fn new(number: u64, sent: WallTime, rtt: Duration) -> Self {
        Self {
            number,
            sent,
            rtt,
            wire: None,
            delay: None,
            residence: None,
            clock: ClockRelation::Free,
            late: false,
            reordered: false,
            header: RequestHeader::default(),
            has_header_changed: false,
            retransmissions: None,
            ttl: None,
        }
    }
}
