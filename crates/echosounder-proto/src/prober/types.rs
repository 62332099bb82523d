//! The plan of a prober, what happens to its socket, and what it returns.

use core::time::Duration;

use crate::failure::{FailureKind, LossReason, LossReport};
use crate::sample::{Sample, Times};
use crate::schedule::ProbePace;
use crate::time::{Moment, MonoTime, WallTime};

/// The plan of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// What decides when the next request is sent.
    pub pace: ProbePace,
    /// How many requests to send; `None` means no limit.
    pub count: Option<u64>,
    /// How long to wait for each reply; not zero, or a closed loop would send without a pause. A reply
    /// after that is late.
    pub timeout: Duration,
    /// When to end at the latest; `None` means no limit.
    pub end: Option<MonoTime>,
}

/// A stage of a packet's transmission that the kernel timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStage {
    /// It entered the queue of the network interface: SOF_TIMESTAMPING_TX_SCHED. An interface on
    /// top of another has a queue of its own, and the first one counts.
    Queued,
    /// It was handed to the network interface: SOF_TIMESTAMPING_TX_SOFTWARE.
    Sent,
}

/// What happened to the socket.
#[derive(Clone, Copy, Debug)]
pub enum ProbeInput<'a> {
    /// A message arrived, or bytes of a stream. The kernel's time is that of the last byte.
    Received {
        /// The message, or the bytes.
        bytes: &'a [u8],
        /// When they arrived.
        at: Times,
    },
    /// The kernel reports when a packet passed a stage of its transmission.
    Transmitted {
        /// The packet, with its headers.
        packet: &'a [u8],
        /// The stage.
        stage: SendStage,
        /// When it passed that, by the wall clock.
        at: WallTime,
    },
    /// The network reports that a request was not delivered.
    Undelivered {
        /// The quoted part of the request; without it, the oldest request in flight has failed.
        packet: Option<&'a [u8]>,
        /// Why it was not.
        reason: LossReason,
        /// What is known about it.
        report: LossReport,
        /// When that was reported.
        at: MonoTime,
    },
    /// A request was completed without a reply that has bytes: its connection was established.
    Completed {
        /// Its number.
        number: u64,
        /// When it was completed.
        at: Times,
    },
    /// The peer or the network rejected a request.
    Rejected {
        /// Its number.
        number: u64,
        /// How the peer or the network failed.
        kind: FailureKind,
        /// When it was rejected.
        at: MonoTime,
    },
    /// A request from [`ProbeOutput::Send`] was sent. Without this input, the time of the
    /// [`poll`](super::Prober::poll) counts, which does not include what it costs to write the request.
    Sent {
        /// Its number.
        number: u64,
        /// When the driver began to send it.
        at: Moment,
    },
    /// A request from [`ProbeOutput::Send`] could not be sent.
    SendFailed {
        /// Its number.
        number: u64,
        /// Why not.
        reason: LossReason,
        /// What is known about it.
        report: LossReport,
        /// When it failed.
        at: MonoTime,
    },
    /// Whether a stream still has bytes of earlier requests to send, so that nothing more can be
    /// sent.
    Blocked(bool),
    /// The socket is connected.
    Connected,
    /// A connection could not be made.
    ConnectFailed {
        /// How the peer or the network failed.
        kind: FailureKind,
        /// When it failed.
        at: Moment,
    },
    /// The connection has ended.
    Disconnected {
        /// How the peer or the network failed.
        kind: FailureKind,
        /// When it ended.
        at: MonoTime,
    },
    /// The measurement ends. A request in flight counts as lost if it has waited longer than the
    /// slowest reply took, and is ignored otherwise.
    Stop {
        /// When it ends.
        at: MonoTime,
    },
    /// This machine has failed, and the measurement ends. Requests in flight are ignored, since
    /// their replies may have arrived.
    Abandon,
}

/// An action or an event that a prober returns to its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutput {
    /// Send the request in the buffer at once, and report [`Sent`](ProbeInput::Sent).
    Send {
        /// Its number.
        number: u64,
    },
    /// Connect, and report [`Connected`](ProbeInput::Connected) or
    /// [`ConnectFailed`](ProbeInput::ConnectFailed).
    Connect,
    /// Record what became of a request.
    Event(ProbeEvent),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEvent {
    /// It was replied to in time.
    Replied {
        /// The measured times.
        sample: Sample,
        /// Why it had counted as lost before, if it had: an ICMP error may be wrong.
        given_up: Option<LossReason>,
    },
    /// It was replied to after the timeout.
    Late {
        /// The measured times.
        sample: Sample,
        /// Why it had counted as lost before.
        given_up: LossReason,
    },
    /// It was replied to once more.
    Duplicate(u64),
    /// It counts as lost.
    Lost {
        /// Its number.
        number: u64,
        /// When it was sent, or was to be sent.
        sent: Moment,
        /// Why it counts as lost.
        reason: LossReason,
        /// What is known about it.
        report: LossReport,
        /// When it was given up.
        at: MonoTime,
    },
    /// Something arrived that is no reply to any request, or to one that is long forgotten.
    Unexpected,
    /// The connection has ended, and so have the requests that were in flight on it.
    Disconnected,
}
