//! Generating load in one expression.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_socket::{Endpoint, Error, IpVersion, StopToken, ToEndpoint};

use super::error::LoadError;
use super::options::{LoadOptions, SizeRange};
use super::pace::{Pace, Spacing};
use super::progress::LoadEvent;
use super::ramp::{RampEvent, RampOptions, Step, ramp};
use super::report::LoadReport;
use super::run::load;
use crate::connect::{ConnectProbe, Source};
use crate::error::ClientError;

/// A load on a server, as `sounder load` generates it: a builder that [runs](Self::run).
///
/// The peer is any server that echoes messages, and every reply is verified. Without other settings
/// 10 connections send messages of 64 bytes for 10 seconds, each the next one as soon as the reply
/// has arrived.
///
/// # Examples
///
/// ```
/// use echosounder_client::Load;
///
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let endpoint = format!("udp://{}", server.local_addr()?);
/// # std::thread::spawn(move || {
/// #     let mut message = [0; 128];
/// #     while let Ok((len, client)) = server.recv_from(&mut message) {
/// #         server.send_to(&message[..len], client).expect("the client waits");
/// #     }
/// # });
/// // let endpoint = "udp://host:21567";
/// let report = Load::to(&endpoint).connections(2).depth(4).messages(1000).run()?;
///
/// assert_eq!((report.counts.answered, report.counts.lost()), (1000, 0));
/// println!("{:.0} replies per second, p99 {:?}", report.rate(), report.percentile(99.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a load does nothing until it is run"]
pub struct Load {
    /// The target, or why what was given is none.
    target: io::Result<Endpoint>,
    connections: Option<NonZeroUsize>,
    depth: usize,
    rate: Option<f64>,
    spacing: Spacing,
    connect_each: Option<ConnectProbe>,
    sizes: Option<SizeRange>,
    warm_up: Duration,
    duration: Option<Duration>,
    messages: Option<u64>,
    threads: Option<NonZeroUsize>,
    timeout: Option<Duration>,
    ip_version: IpVersion,
    source: Option<Source>,
    allow_remote: bool,
    stop: Option<StopToken>,
}

/// Settings.
impl Load {
    /// Returns a load on a target: a text such as `tcp://host:21567` or `unix:/run/echo`, an
    /// [`Endpoint`], or anything else that is [`ToEndpoint`].
    ///
    /// If it is no endpoint, [`run`](Self::run) fails.
    pub fn to(target: impl ToEndpoint) -> Self {
        Self {
            target: target.to_endpoint(),
            connections: None,
            depth: 1,
            rate: None,
            spacing: Spacing::Even,
            connect_each: None,
            sizes: None,
            warm_up: Duration::ZERO,
            duration: None,
            messages: None,
            threads: None,
            timeout: None,
            ip_version: IpVersion::Any,
            source: None,
            allow_remote: false,
            stop: None,
        }
    }

    /// Sets the number of connections, or of sockets if the transport has no connections. The
    /// default is 10; 0 counts as 1.
    pub fn connections(self, connections: usize) -> Self {
        Self { connections: Some(NonZeroUsize::new(connections).unwrap_or(NonZeroUsize::MIN)), ..self }
    }

    /// Sets how many messages each connection has in flight in a closed loop. The default is 1; 0
    /// counts as 1.
    pub fn depth(self, messages: usize) -> Self {
        Self { depth: messages.max(1), ..self }
    }

    /// Sets the rate of an open loop, in messages per second over all connections: messages are
    /// sent on schedule, whether replies have arrived or not. A rate is more than 0 and at most
    /// 10⁹; with another one [`run`](Self::run) fails.
    pub fn rate(self, per_second: f64) -> Self {
        Self { rate: Some(per_second), ..self }
    }

    /// Sets the intervals between the messages of an open loop. The default is [`Spacing::Even`].
    pub fn spacing(self, spacing: Spacing) -> Self {
        Self { spacing, ..self }
    }

    /// Makes a new connection for each message and closes it after the reply, so that the rate is in
    /// connections per second and the latency includes the time to connect. The number of
    /// [connections](Self::connections) is then the maximum at a time. Before the load, one
    /// connection is made that is not measured.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use echosounder_client::{ConnectProbe, Load};
    ///
    /// // A reset leaves no local port in TIME-WAIT, so that ports do not run out.
    /// let load = Load::to("tcp://host").connect_each(ConnectProbe::default().reset(true));
    /// let report = load.connections(50).run()?;
    /// let exchanges = report.exchanges.as_ref().expect("each message has a connection");
    /// println!("{:.0} connections per second", report.rate());
    /// println!("p99: connect {:?} ns", exchanges.connect.percentile(99.0));
    /// println!("p99: reply {:?} ns", exchanges.reply.percentile(99.0));
    /// # Ok::<(), echosounder_client::LoadError>(())
    /// ```
    pub fn connect_each(self, connect: ConnectProbe) -> Self {
        Self { connect_each: Some(connect), ..self }
    }

    /// Sets the size of messages in bytes, from 1 to
    /// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX). The default is 64. With another size
    /// [`run`](Self::run) fails.
    pub fn size(self, bytes: usize) -> Self {
        self.sizes(SizeRange { min: bytes, max: bytes })
    }

    /// Sets the smallest and the largest size of messages. Their bounds are those of
    /// [`size`](Self::size).
    pub fn sizes(self, sizes: SizeRange) -> Self {
        Self { sizes: Some(sizes), ..self }
    }

    /// Sets how long the load runs before it is measured. The default is zero.
    pub fn warm_up(self, warm_up: Duration) -> Self {
        Self { warm_up, ..self }
    }

    /// Sets how long the load is measured. The default is 10 seconds, or no limit if the number of
    /// [messages](Self::messages) is set.
    pub fn duration(self, duration: Duration) -> Self {
        Self { duration: Some(duration), ..self }
    }

    /// Sets the maximum number of measured messages.
    pub fn messages(self, messages: u64) -> Self {
        Self { messages: Some(messages), ..self }
    }

    /// Sets the number of threads that send. The default is 1; 0 counts as 1.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN)), ..self }
    }

    /// Sets how long each reply may take, and how long to try to connect. The default is 2 seconds.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Sets which addresses of a host name to try: those of IPv4, of IPv6, or both.
    pub fn ip_version(self, ip_version: IpVersion) -> Self {
        Self { ip_version, ..self }
    }

    /// Sets the local address or interface to send from.
    pub fn source(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Sets whether another host may receive more than
    /// [`REMOTE_RATE_MAX`](crate::REMOTE_RATE_MAX) messages per second. The default is `false`.
    pub fn allow_remote(self, allow: bool) -> Self {
        Self { allow_remote: allow, ..self }
    }

    /// Sets a token that ends the load from another thread.
    pub fn stop(self, stop: StopToken) -> Self {
        Self { stop: Some(stop), ..self }
    }
}

/// Running.
impl Load {
    /// Generates the load in threads of its own, waits for its end, and returns the report.
    ///
    /// # Errors
    ///
    /// If the target is no endpoint, if the settings contradict each other, or if the server cannot
    /// be reached. A server that fails later is seen in the report: [`LoadReport::failure`].
    ///
    /// # Examples
    ///
    /// The [type](Self) has one.
    pub fn run(self) -> Result<LoadReport, LoadError> {
        self.run_with(|_| ())
    }

    /// Generates the load as [`run`](Self::run) does, and calls `on_event` every second.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use echosounder_client::{Load, LoadEvent};
    ///
    /// Load::to("tcp://localhost").rate(1000.0).run_with(|event| {
    ///     if let LoadEvent::Interval(interval) = event {
    ///         println!("{:.0} replies per second", interval.rate);
    ///     }
    /// })?;
    /// # Ok::<(), echosounder_client::LoadError>(())
    /// ```
    pub fn run_with(self, on_event: impl FnMut(LoadEvent<'_>)) -> Result<LoadReport, LoadError> {
        load(&self.options()?, on_event)
    }

    /// Searches the highest rate at which the 99th percentile of the latency stays within `p99_max`
    /// and no reply is missing. Returns `None` if no rate does. Each rate that is tried takes the
    /// [duration](Self::duration) of the load.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use echosounder_client::Load;
    ///
    /// let load = Load::to("tcp://localhost").duration(Duration::from_secs(2));
    /// if let Some(step) = load.find_rate(Duration::from_millis(1))? {
    ///     println!("{:.0} messages per second", step.rate);
    /// }
    /// # Ok::<(), echosounder_client::LoadError>(())
    /// ```
    pub fn find_rate(self, p99_max: Duration) -> Result<Option<Step>, LoadError> {
        let spacing = self.spacing;
        ramp(&self.options()?, RampOptions { p99_max, spacing }, |_: RampEvent<'_>| ())
    }

    fn options(self) -> Result<LoadOptions, LoadError> {
        let endpoint = self.target.map_err(ClientError::target)?;
        let local = |error| LoadError::Local(Error::new("prepare", &"the load", error));
        let stop = self.stop.map_or_else(StopToken::new, Ok).map_err(local)?;
        let mut options = LoadOptions::new(endpoint, stop);
        options.connect.ip_version = self.ip_version;
        options.connect.source = self.source;
        options.connect.wait = self.timeout.unwrap_or(options.connect.wait);
        options.connections = self.connections.unwrap_or(options.connections);
        let spacing = self.spacing;
        options.pace =
            self.rate.map_or(Pace::Closed { depth: self.depth }, |rate| Pace::Open { rate, spacing });
        options.connect_each = self.connect_each;
        options.sizes = self.sizes.unwrap_or(options.sizes);
        options.warm_up = self.warm_up;
        options.duration = self.duration.or_else(|| options.duration.filter(|_| self.messages.is_none()));
        options.messages = self.messages;
        options.threads = self.threads.unwrap_or(options.threads);
        options.allow_remote = self.allow_remote;
        Ok(options)
    }
}
