//! Measuring round trips in one expression.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::ProbePace;
use echosounder_socket::{Endpoint, Error, IpVersion, StopToken, ToEndpoint};

use super::control::PingControl;
use super::directions::ClockRelation;
use super::event::{PingEvent, TargetEvent};
use super::kernel_timestamps::TimestampSource;
use super::pinger::{Order, Pinger};
use super::plan::PingOptions;
use super::probe::Probe;
use super::report::PingReport;
use crate::connect::{IpOptions, Source};
use crate::error::ClientError;

/// The number of requests, unless it or the time is set.
const DEFAULT_COUNT: u64 = 10;

/// A measurement of delay and loss, as `sounder ping` makes it: a builder that [runs](Self::run).
///
/// The peer is any server that echoes messages, with or without timestamps. Without other settings
/// 10 requests of 64 bytes are sent, one a second, and each reply may take 2 seconds.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use echosounder_client::Ping;
///
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let endpoint = format!("udp://{}", server.local_addr()?);
/// # std::thread::spawn(move || {
/// #     let mut message = [0; 128];
/// #     while let Ok((len, client)) = server.recv_from(&mut message) {
/// #         let now = std::time::UNIX_EPOCH.elapsed().expect("the clock is set");
/// #         let stamp = format!("[{}.{:09}] ", now.as_secs(), now.subsec_nanos());
/// #         server.send_to(&[stamp.as_bytes(), &message[..len]].concat(), client).expect("the client waits");
/// #     }
/// # });
/// // let endpoint = "udp://host:21567";
/// let report = Ping::to(&endpoint).count(20).interval(Duration::from_millis(2)).run()?;
///
/// assert_eq!((report.sent(), report.answered), (20, 20));
/// println!("{} % lost", report.loss_percent());
/// println!("min {:?}, p50 {:?}, max {:?}", report.min(), report.percentile(50.0), report.max());
/// // A server that sends timestamps shows the delay of each direction.
/// assert_eq!(report.up.delay.count(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a ping does nothing until it is run"]
pub struct Ping {
    /// The targets, or why what was given is none.
    targets: Vec<io::Result<Endpoint>>,
    count: Option<u64>,
    deadline: Option<Duration>,
    until_up: bool,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    probe: Probe,
    size_bytes: Option<usize>,
    ip_version: IpVersion,
    source: Option<Source>,
    ip_options: IpOptions,
    clock: Option<ClockRelation>,
    timestamps: Option<TimestampSource>,
    stop: Option<StopToken>,
}

/// The result of one target of [`Ping::run_each`].
#[derive(Debug)]
#[non_exhaustive]
pub struct TargetResult {
    /// The target.
    pub endpoint: Endpoint,
    /// The measurement; `None` if the target was not found.
    pub report: Option<PingReport>,
    /// Why the measurement ended early, if it did.
    pub error: Option<ClientError>,
}

/// Targets, and settings.
impl Ping {
    /// Returns a measurement of a target: a text such as `udp://host:21567` or `unix:/run/echo`, an
    /// [`Endpoint`], or anything else that is [`ToEndpoint`].
    ///
    /// If it is no endpoint, [`run`](Self::run) fails.
    pub fn to(target: impl ToEndpoint) -> Self {
        Self {
            targets: vec![target.to_endpoint()],
            count: None,
            deadline: None,
            until_up: false,
            interval: None,
            timeout: None,
            probe: Probe::Echo,
            size_bytes: None,
            ip_version: IpVersion::Any,
            source: None,
            ip_options: IpOptions::default(),
            clock: None,
            timestamps: None,
            stop: None,
        }
    }

    /// Adds another target. All targets are measured at the same time:
    /// [`run_each`](Self::run_each).
    pub fn and_to(mut self, target: impl ToEndpoint) -> Self {
        self.targets.push(target.to_endpoint());
        self
    }

    /// Sets how many requests to send to each target. The default is 10, or no limit if there is a
    /// [deadline](Self::deadline).
    pub fn count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Sets how long to measure at most, the time to connect included.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Stops at the first reply of each target, and until then tries again whatever fails: a name
    /// without an address is looked up every 5 seconds. There is no limit without a
    /// [count](Self::count) or a [deadline](Self::deadline).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use echosounder_client::Ping;
    ///
    /// let report = Ping::to("tcp://host").until_up().deadline(Duration::from_secs(60)).run()?;
    /// println!("up after {:?}", report.up_after);
    /// # Ok::<(), echosounder_client::ClientError>(())
    /// ```
    pub fn until_up(self) -> Self {
        Self { until_up: true, ..self }
    }

    /// Sets the time between two requests to a target. Zero sends the next request when the reply
    /// has arrived. The default is one second.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval: Some(interval), ..self }
    }

    /// Sets how long each reply may take, and how long to try to connect: more than zero. The
    /// default is 2 seconds. A later reply counts as [late](PingReport::late).
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Sets what requests are and what replies to them, for all targets. The default is an echo
    /// server.
    ///
    /// # Examples
    ///
    /// The direction of loss at a STAMP reflector:
    ///
    /// ```no_run
    /// use echosounder_client::{Ping, Probe, StampOptions};
    ///
    /// let probe = Probe::Stamp(StampOptions::default());
    /// let report = Ping::to("udp://router.example:862").probe(probe).run()?;
    /// if let Some(lost) = report.loss_direction {
    ///     println!("{} lost on the way there, {} on the way back", lost.up, lost.down);
    /// }
    /// # Ok::<(), echosounder_client::ClientError>(())
    /// ```
    pub fn probe(self, probe: Probe) -> Self {
        Self { probe, ..self }
    }

    /// Sets the size of a request in bytes. The default is 64, and 72 or more for a
    /// [probe](Self::probe) of STAMP.
    ///
    /// The minimum is [`REQUEST_BYTES_MIN`](crate::REQUEST_BYTES_MIN), and
    /// [`STREAM_REQUEST_BYTES_MIN`](crate::STREAM_REQUEST_BYTES_MIN) on a stream: a request holds
    /// its number and space for the server's timestamp. The maximum is
    /// [`REQUEST_BYTES_MAX`](crate::REQUEST_BYTES_MAX), and less on most datagram sockets: 65,507
    /// on UDP. [`PingOptions::size_bytes`] has the sizes of STAMP. With another size
    /// [`run`](Self::run) fails.
    pub fn size(self, bytes: usize) -> Self {
        Self { size_bytes: Some(bytes), ..self }
    }

    /// Sets which addresses of a host name to try: those of IPv4, of IPv6, or both.
    pub fn ip_version(self, ip_version: IpVersion) -> Self {
        Self { ip_version, ..self }
    }

    /// Sets the local address or interface to send from.
    pub fn source(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Sets header fields of the packets that are sent.
    pub fn ip_options(self, ip_options: IpOptions) -> Self {
        Self { ip_options, ..self }
    }

    /// Sets how the peer's clock relates to this machine's, on which one-way delays depend. By
    /// default that is found out.
    pub fn clock(self, clock: ClockRelation) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Sets whose times of receiving replies count. The default is the kernel's, if it has any for
    /// every target.
    pub fn timestamps(self, timestamps: TimestampSource) -> Self {
        Self { timestamps: Some(timestamps), ..self }
    }

    /// Sets a token that ends the measurement from another thread. The reports are then those of
    /// the requests so far.
    pub fn stop(self, stop: StopToken) -> Self {
        Self { stop: Some(stop), ..self }
    }
}

/// Running.
impl Ping {
    /// Measures the target on the calling thread, and returns the report.
    ///
    /// A target that refuses requests, or that does not reply, is a report of lost requests, unless
    /// only one request is to be sent.
    ///
    /// # Errors
    ///
    /// If the target is no endpoint or there are [several](Self::and_to); if a name has no address,
    /// or a single request is refused; or if this machine fails.
    ///
    /// # Examples
    ///
    /// The [type](Self) has one.
    pub fn run(self) -> Result<PingReport, ClientError> {
        self.run_with(|_| ())
    }

    /// Measures the target as [`run`](Self::run) does, and calls `on_event` with everything that
    /// becomes of a request. A slow `on_event` delays the next request.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use echosounder_client::{Ping, PingEvent};
    ///
    /// Ping::to("tcp://localhost").run_with(|event| match event {
    ///     PingEvent::Replied(reply) => println!("{}: {:?}", reply.number, reply.rtt),
    ///     PingEvent::Lost { number, reason, .. } => println!("{number}: lost, {reason:?}"),
    ///     _ => {}
    /// })?;
    /// # Ok::<(), echosounder_client::ClientError>(())
    /// ```
    pub fn run_with(self, mut on_event: impl FnMut(&PingEvent)) -> Result<PingReport, ClientError> {
        if self.targets.len() != 1 {
            let text = "a measurement of several targets has several reports";
            return Err(ClientError::Options(text.into()));
        }
        let result = self.run_each_with(|_, event| on_event(event))?.pop();
        match result.map(|result| (result.report, result.error)) {
            Some((Some(report), None)) => Ok(report),
            Some((_, Some(error))) => Err(error),
            _ => Err(ClientError::Stopped),
        }
    }

    /// Measures all targets at the same time on the calling thread, and returns their results in
    /// the order of the targets.
    ///
    /// # Errors
    ///
    /// If a target is no endpoint, if the size is below the minimum of a target or above the
    /// maximum, or if this machine cannot begin. The failure of one target is in its result.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use echosounder_client::Ping;
    ///
    /// for result in Ping::to("udp://one.example").and_to("udp://two.example").count(5).run_each()? {
    ///     match (result.report, result.error) {
    ///         (_, Some(error)) => println!("{}: {error}", result.endpoint),
    ///         (Some(report), None) => println!("{}: {:?}", result.endpoint, report.mean()),
    ///         (None, None) => println!("{}: stopped", result.endpoint),
    ///     }
    /// }
    /// # Ok::<(), echosounder_client::ClientError>(())
    /// ```
    pub fn run_each(self) -> Result<Vec<TargetResult>, ClientError> {
        self.run_each_with(|_, _| ())
    }

    /// Measures all targets as [`run_each`](Self::run_each) does, and calls `on_event` with
    /// everything that becomes of a request, and with the index of its target.
    ///
    /// # Errors
    ///
    /// As [`run_each`](Self::run_each).
    pub fn run_each_with(
        mut self,
        mut on_event: impl FnMut(usize, &PingEvent),
    ) -> Result<Vec<TargetResult>, ClientError> {
        let local = |error| ClientError::Local(Error::new("prepare", &"the measurement", error));
        let targets: io::Result<Vec<_>> = std::mem::take(&mut self.targets).into_iter().collect();
        let targets = self.options(targets.map_err(ClientError::target)?);
        targets.iter().try_for_each(PingOptions::check)?;
        let stop = self.stop.map_or_else(StopToken::new, Ok).map_err(local)?;
        let control = Arc::new(PingControl::new(stop).map_err(local)?);
        let mut results: Vec<_> = targets.iter().map(TargetResult::new).collect();
        Pinger::new(targets, Order::AtOnce, control).map_err(local)?.run(|index, event| {
            match event {
                TargetEvent::Started(_) | TargetEvent::NotFound(_) => {}
                TargetEvent::Happened(event) => on_event(index, &event),
                TargetEvent::Ended { report, error } => {
                    results[index].report = report.map(|report| *report);
                    results[index].error = error;
                }
            }
            true
        });
        Ok(results)
    }

    /// Returns the options of each target.
    fn options(&self, targets: Vec<Endpoint>) -> Vec<PingOptions> {
        let has_kernel = |target: &Endpoint| TimestampSource::has_kernel(target.transport());
        let common =
            if targets.iter().all(has_kernel) { TimestampSource::Kernel } else { TimestampSource::User };
        let has_end = self.deadline.is_some() || self.until_up;
        let default_count = (!has_end).then_some(DEFAULT_COUNT);
        let share = 1.0 / targets.len().max(1) as f64;
        let options = |(place, endpoint)| {
            let mut options = PingOptions::new(endpoint).with_probe(self.probe.clone());
            options.connect.ip_version = self.ip_version;
            options.connect.source.clone_from(&self.source);
            options.connect.ip_options = self.ip_options;
            options.connect.wait = self.timeout.unwrap_or(options.connect.wait);
            options.size_bytes = self.size_bytes.unwrap_or(options.size_bytes);
            options.pace = self.interval.map_or(options.pace, ProbePace::from_interval);
            options.count = self.count.or(default_count);
            options.deadline = self.deadline;
            options.until_up = self.until_up;
            options.clock = self.clock;
            options.timestamps = self.timestamps.unwrap_or(common);
            // Requests to several targets alternate.
            options.start_delay = options.pace.interval().unwrap_or_default().mul_f64(place as f64 * share);
            options
        };
        targets.into_iter().enumerate().map(options).collect()
    }
}

impl TargetResult {
    fn new(options: &PingOptions) -> Self {
        Self { endpoint: options.connect.endpoint.clone(), report: None, error: None }
    }
}
