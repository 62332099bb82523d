//! The options of a ping.

use std::time::Duration;

use echosounder_proto::{MonoTime, Payload, ProbePace, ProbePlan, TIMESTAMP_PLACEHOLDER, TextEcho};
use echosounder_socket::{Endpoint, Kind};

use super::directions::ClockRelation;
use super::kernel_timestamps::TimestampSource;
use crate::connect::ConnectOptions;

/// The shortest request on a stream, in bytes: the placeholder, a digit and a newline.
pub const STREAM_REQUEST_BYTES_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + 2;

/// The shortest request where messages have bounds, in bytes: its number distinguishes ten million
/// requests.
pub const REQUEST_BYTES_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + 8;

/// The options of one target's measurement.
#[derive(Clone, Debug)]
pub struct Ping {
    /// The target. Its `wait` is how long each reply may take.
    pub connect: ConnectOptions,
    /// Bytes of a request: at least [`REQUEST_BYTES_MIN`], on a stream
    /// [`STREAM_REQUEST_BYTES_MIN`].
    pub size_bytes: usize,
    /// How long after the start the first request is due, so that requests to several targets
    /// alternate.
    pub start_delay: Duration,
    /// What decides when the next request is sent.
    pub pace: ProbePace,
    /// How many requests to send; `None` means no limit.
    pub count: Option<u64>,
    /// How long to measure, the time to connect included; `None` means no limit.
    pub deadline: Option<Duration>,
    /// How the peer's clock relates to this machine's; `None` to find out.
    pub clock: Option<ClockRelation>,
    /// Whose times of receiving replies count.
    pub timestamps: TimestampSource,
}

impl Ping {
    /// Returns the same for another target.
    #[must_use]
    pub fn to(&self, endpoint: Endpoint) -> Self {
        let mut other = self.clone();
        other.connect.endpoint = endpoint;
        other
    }

    /// Returns whether it is to find out only if the peer replies. A longer ping waits for a peer
    /// that is not there yet.
    pub(super) fn is_single(&self) -> bool {
        self.count == Some(1)
    }

    pub(super) fn is_stream(&self) -> bool {
        self.connect.endpoint.transport().kind() == Kind::Stream
    }

    /// Returns the form of the requests, for a new connection.
    pub(super) fn format(&self) -> TextEcho {
        let payload = Payload::with_placeholder(self.size_bytes);
        if self.is_stream() { TextEcho::stream(payload) } else { TextEcho::messages(payload) }
    }

    /// Returns the plan of a prober, if the target was looked up at `began`.
    pub(super) fn plan(&self, began: MonoTime) -> ProbePlan {
        ProbePlan {
            pace: self.pace,
            count: self.count,
            timeout: self.connect.wait,
            end: self.deadline.map(|deadline| began + deadline),
        }
    }
}
