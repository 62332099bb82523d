//! The options of a ping.

use std::time::Duration;

use echosounder_proto::{MonoTime, ProbePace, ProbePlan};
use echosounder_socket::family::inet::Host;
use echosounder_socket::{Endpoint, Kind, Name};

use super::directions::ClockRelation;
use super::kernel_timestamps::TimestampSource;
use super::probe::Probe;
use crate::connect::ConnectOptions;
use crate::error::ClientError;

/// The default time between two requests.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for each reply, unless it is set.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);

/// The options of one target's measurement, for a [`Pinger`](super::Pinger).
///
/// [`Ping`](super::Ping) is a simpler way to measure.
///
/// # Examples
///
/// ```
/// use echosounder_client::PingOptions;
///
/// let mut options = PingOptions::new("udp://localhost".parse()?);
/// options.count = Some(20);
/// assert_eq!(options.size_bytes, 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PingOptions {
    /// The target. Its `wait` is how long each reply may take.
    pub connect: ConnectOptions,
    /// What a request is. [`with_probe`](Self::with_probe) sets it with its default size.
    pub probe: Probe,
    /// Bytes of a request. To an echo server: at least
    /// [`REQUEST_BYTES_MIN`](crate::REQUEST_BYTES_MIN), on a stream
    /// [`STREAM_REQUEST_BYTES_MIN`](crate::STREAM_REQUEST_BYTES_MIN), and at most
    /// [`REQUEST_BYTES_MAX`](crate::REQUEST_BYTES_MAX). To a STAMP reflector: 44 (112 with a key) to
    /// 65,507.
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
    /// Whether to stop at the first reply, even if it is late. A name without an address is looked
    /// up again every 5 seconds until then.
    pub until_up: bool,
    /// How often to look the name of the target up again; `None` means only while at least ten
    /// requests in a row are lost, at most every 5 seconds. If the name no longer has the address
    /// in use, requests go to its new one.
    pub resolve_every: Option<Duration>,
    /// How the peer's clock relates to this machine's; `None` to find out.
    pub clock: Option<ClockRelation>,
    /// Whose times of receiving replies count.
    pub timestamps: TimestampSource,
    /// Words after the name of the target that distinguish it from others with the same endpoint.
    pub label: Option<String>,
}

impl PingOptions {
    /// Returns the options of a measurement that sends a request of 64 bytes each second, waits 2
    /// seconds for each reply and does not end.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            connect: ConnectOptions::new(endpoint).wait(DEFAULT_WAIT),
            size_bytes: Probe::Echo.default_size_bytes(),
            probe: Probe::Echo,
            start_delay: Duration::ZERO,
            pace: ProbePace::from_interval(DEFAULT_INTERVAL),
            count: None,
            deadline: None,
            until_up: false,
            resolve_every: None,
            clock: None,
            timestamps: TimestampSource::default(),
            label: None,
        }
    }

    /// Returns the same for another target.
    #[must_use]
    pub fn with_endpoint(&self, endpoint: Endpoint) -> Self {
        let mut other = self.clone();
        other.connect.endpoint = endpoint;
        other
    }

    /// Sets what a request is, and its size to the default of such requests.
    #[must_use]
    pub fn with_probe(mut self, probe: Probe) -> Self {
        self.size_bytes = probe.default_size_bytes();
        self.probe = probe;
        self
    }

    /// Returns the target as a user writes it, `udp://host:21567` or `stamp://host:862`, with its
    /// label.
    pub fn target(&self) -> String {
        self.labelled(self.probe.display(&self.connect.endpoint.to_string()))
    }

    /// Returns the name of a target with the label behind it.
    pub(super) fn labelled(&self, name: String) -> String {
        match &self.label {
            Some(label) => format!("{name} {label}"),
            None => name,
        }
    }

    /// Returns the smallest size of a request to the target, in bytes.
    pub fn size_bytes_min(&self) -> usize {
        self.probe.size_bytes_min(self.is_stream())
    }

    /// Checks that requests suit the endpoint, that they have space for the number that matches
    /// replies, that they fit into memory, and that a reply has time to arrive.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        if self.connect.wait.is_zero() {
            return Err(ClientError::Options("a timeout is more than 0".into()));
        }
        self.probe.check(&self.connect.endpoint)?;
        let (size, min, max) = (self.size_bytes, self.size_bytes_min(), self.probe.size_bytes_max());
        if (min..=max).contains(&size) {
            return Ok(());
        }
        let target = self.target();
        let (bound, bytes) = if size < min { ("minimum", min) } else { ("maximum", max) };
        Err(ClientError::Options(format!(
            "the {bound} request size on {target} is {bytes} bytes, not {size}"
        )))
    }

    /// Returns whether it is to find out only if the peer replies. A longer ping waits for a peer
    /// that is not there yet.
    pub(super) fn is_single(&self) -> bool {
        self.count == Some(1)
    }

    /// Returns whether the endpoint has a name that is looked up.
    pub(super) fn has_name(&self) -> bool {
        matches!(self.connect.endpoint.name(), Name::Inet(Host::Name(_), _))
    }

    pub(super) fn is_stream(&self) -> bool {
        self.connect.endpoint.transport().kind() == Kind::Stream
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
