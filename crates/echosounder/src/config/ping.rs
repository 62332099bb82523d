//! The work of `ping`.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{
    ConnectOptions, ConnectProbe, PingOptions, Probe, ProbePace, StampOptions, Thresholds, TimestampSource,
};
use echosounder_socket::family::inet::Host;
use echosounder_socket::{Endpoint, Name, Transport};

use super::sweep::{self, check_sweep};
use super::{
    check_connections, check_ports, check_version, connect_options, default, has_host, needs_host,
    on_this_host, source_or_interface,
};
use crate::args;
use crate::failure::UsageError;
use crate::output::OutputFile;
use crate::request_sizes::RequestSizes;
use crate::stamp_key;
use crate::target::{Service, Target};

/// The work of `ping`.
#[derive(Debug)]
pub(crate) struct Ping {
    /// One measurement for each target.
    pub(crate) targets: Vec<PingOptions>,
    /// The measurement of any target, without what depends on its service.
    pub(crate) template: PingOptions,
    /// How requests to a STAMP reflector are written.
    pub(crate) stamp: StampOptions,
    /// The size of requests; `None` for the default of each service.
    size: Option<RequestSizes>,
    /// The sizes that each target is measured with, if they are several. Those of a target follow
    /// each other in `targets`.
    pub(crate) sweep: Option<RequestSizes>,
    pub(crate) with_server: bool,
    /// Whether to measure the targets one after another instead of all at once.
    pub(crate) in_turn: bool,
    /// Which timestamps measure arrivals; `None` for the best that all targets have.
    pub(crate) timestamps: Option<TimestampSource>,
    pub(crate) print_time: bool,
    pub(crate) verbose: bool,
    pub(crate) thresholds: Thresholds,
    pub(crate) output: Vec<OutputFile>,
    /// Sentences for the user about what was given.
    pub(crate) notes: Vec<String>,
}

/// The default time between two requests to a target.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for a reply by default.
const WAIT: Duration = Duration::from_secs(2);

/// The default where targets on this machine are measured one after another.
const INTERVAL_IN_TURN: Duration = Duration::from_millis(20);

/// The maximum number of requests in flight to one target.
const IN_FLIGHT_MAX: u128 = 1_000_000;

/// The default size of echo requests over UDP with header fields that were chosen, in bytes: the
/// server reports how they arrived.
const SIZE_WITH_HEADER: usize = 80;

/// Returns the work of `ping`.
pub(crate) fn ping(mut args: args::Ping) -> Result<Ping> {
    let on_this_host =
        |target: &Target| Target { endpoint: on_this_host(target.endpoint.clone()), ..*target };
    let targets: Vec<Target> = match (args.targets.is_empty(), args.with_server) {
        (true, false) => vec![default("tcp").into()],
        (_, true) => args.targets.clone(),
        (false, false) => args.targets.iter().map(on_this_host).collect(),
    };
    check_targets(&args, &targets)?;
    check_stamp(&args, &targets)?;
    check_connect(&args, &targets)?;
    let sweep = args.size.filter(|sizes| sizes.is_range());
    if sweep.is_some() {
        check_sweep(&args, &targets)?;
        sweep::set_defaults(&mut args);
    }
    // On one machine, targets that are measured at once would slow each other down.
    let in_turn = sweep.is_some() || args.with_server && (args.count.is_some() || args.deadline.is_some());
    let interval = args.interval.unwrap_or(if in_turn { INTERVAL_IN_TURN } else { INTERVAL });
    let wait = args.wait.unwrap_or(WAIT);
    let in_flight = wait.as_nanos().checked_div(interval.as_nanos());
    if in_flight.is_some_and(|requests| IN_FLIGHT_MAX < requests) {
        let text = "this --interval and --wait allow over a million requests in flight";
        return Err(UsageError(text.into()).into());
    }
    check_timestamps(&args, &targets)?;
    let key = args.stamp_key.as_deref().map(stamp_key::read).transpose()?;
    let source = source_or_interface(args.source.clone())?;
    let connect = connect_options(default("tcp"), args.ip_version, source, wait);
    let template = template(&args, connect, interval);
    let mut stamp = StampOptions::default();
    stamp.timestamp_format = args.stamp_time.unwrap_or_default();
    let notes = key.iter().filter_map(|file| file.note.clone()).collect();
    stamp.key = key.map(|file| file.key);
    let targets = targets.into_iter().map(|target| options(&template, target, &stamp, args.size));
    let targets: Vec<_> = match args.source_port {
        Some(ports) => targets.flat_map(|ping| from_ports(&ping, ports.clone())).collect(),
        None => targets.collect(),
    };
    let targets = match sweep {
        Some(sizes) => targets.iter().flat_map(|ping| sweep::by_size(ping, sizes)).collect(),
        None => targets,
    };
    check_size(&targets)?;
    let mut thresholds = Thresholds::default();
    (thresholds.loss_max, thresholds.p99_max) = (args.max_loss, args.max_p99);
    Ok(Ping {
        targets,
        template,
        stamp,
        size: args.size,
        sweep,
        with_server: args.with_server,
        in_turn,
        timestamps: args.timestamps,
        print_time: args.print_time,
        verbose: args.verbose,
        thresholds,
        output: args.output,
        notes,
    })
}

/// Returns the measurement of any target, without what depends on its service.
fn template(args: &args::Ping, connect: ConnectOptions, interval: Duration) -> PingOptions {
    let mut template = PingOptions::new(default("tcp"));
    template.connect = connect;
    let ip_options = &mut template.connect.ip_options;
    (ip_options.dscp, ip_options.ttl) = (args.dscp, args.ttl);
    (ip_options.ecn, ip_options.path_mtu) = (args.ecn, args.path_mtu);
    template.pace = ProbePace::from_interval(interval);
    template.count = args.count.map(|count| count.get() as u64);
    template.deadline = args.deadline;
    template.until_up = args.until_up;
    template.resolve_every = args.resolve_every;
    template.clock = args.clock;
    template.timestamps = args.timestamps.unwrap_or_default();
    if args.connect {
        template = template.with_probe(Probe::Connect(ConnectProbe::default().reset(args.reset)));
    }
    template
}

impl Ping {
    /// Returns the options of a target, such as one of our own server.
    pub(crate) fn options(&self, target: Target) -> PingOptions {
        options(&self.template, target, &self.stamp, self.size)
    }
}

/// Returns the options of a target.
fn options(
    template: &PingOptions,
    target: Target,
    stamp: &StampOptions,
    size: Option<RequestSizes>,
) -> PingOptions {
    let probe = match target.service {
        Service::Echo => template.probe.clone(),
        Service::Stamp => Probe::Stamp(stamp.clone()),
        Service::Icmp => Probe::Icmp,
    };
    let mut options = template.with_endpoint(target.endpoint).with_probe(probe);
    let ip_options = &options.connect.ip_options;
    let has_header = ip_options.dscp.is_some() || ip_options.ttl.is_some() || ip_options.ecn.is_some();
    if has_header && target.service == Service::Echo && options.connect.endpoint.transport() == Transport::Udp
    {
        options.size_bytes = SIZE_WITH_HEADER;
    }
    options.size_bytes = size.map_or(options.size_bytes, |sizes| sizes.min);
    options
}

/// Returns the measurement of a target from each of these ports.
fn from_ports(ping: &PingOptions, ports: RangeInclusive<u16>) -> Vec<PingOptions> {
    let has_several = 1 < ports.len();
    let from_port = |port| {
        let mut ping = ping.clone();
        ping.connect.source_port = Some(port);
        ping.label = has_several.then(|| format!("from port {port}"));
        ping
    };
    ports.map(from_port).collect()
}

/// Refuses source ports and connections of targets that have none, and resets of those that have no
/// segments.
fn check_connect(args: &args::Ping, targets: &[Target]) -> Result<()> {
    let without_ports = targets.iter().find(|target| target.service == Service::Icmp);
    if let Some(target) = without_ports.filter(|_| args.source_port.is_some()) {
        return Err(
            UsageError(format!("--source-port does not apply to {target}, which has no ports")).into()
        );
    }
    if args.connect { check_connections(targets, args.reset) } else { Ok(()) }
}

/// Refuses options of STAMP without a STAMP reflector.
fn check_stamp(args: &args::Ping, targets: &[Target]) -> Result<()> {
    let replies_itself = targets.iter().find(|target| target.service == Service::Icmp);
    if let Some(target) = replies_itself.filter(|_| args.with_server) {
        return Err(UsageError(format!("--self starts no server at {target}: the kernel replies")).into());
    }
    if targets.iter().any(|target| target.service == Service::Stamp) {
        return Ok(());
    }
    let flags = [(args.stamp_key.is_some(), "--stamp-key"), (args.stamp_time.is_some(), "--stamp-time")];
    match flags.into_iter().find(|(is_given, _)| *is_given) {
        Some((_, flag)) => Err(UsageError(format!("{flag} requires a stamp:// ENDPOINT")).into()),
        None => Ok(()),
    }
}

/// Refuses requests that lack space for what every request has.
fn check_size(targets: &[PingOptions]) -> Result<()> {
    match targets.iter().find(|ping| ping.size_bytes < ping.size_bytes_min()) {
        Some(ping) => Err(UsageError(format!(
            "the minimum message size on {} is {} bytes",
            ping.target(),
            ping.size_bytes_min()
        ))
        .into()),
        None => Ok(()),
    }
}

/// Refuses options that do not apply to one of the targets.
fn check_targets(args: &args::Ping, targets: &[Target]) -> Result<()> {
    if !targets.is_empty() {
        check_version(args.ip_version, targets)?;
    }
    if !args.with_server {
        check_ports(targets)?;
    }
    let without_host = targets.iter().find(|target| !has_host(&target.endpoint));
    for (is_given, flag) in [
        (args.source.is_some(), "--source"),
        (args.source_port.is_some(), "--source-port"),
        (args.dscp.is_some(), "--dscp"),
        (args.ttl.is_some(), "--ttl"),
    ] {
        match without_host {
            Some(target) if is_given => return Err(needs_host(flag, target).into()),
            None if is_given && targets.is_empty() => {
                return Err(UsageError(format!("{flag} with --self requires an ENDPOINT")).into());
            }
            _ => {}
        }
    }
    if args.resolve_every.is_some() && !targets.iter().any(|target| has_name(&target.endpoint)) {
        return Err(UsageError("--resolve-every requires an ENDPOINT with a host name".into()).into());
    }
    let not_udp = targets.iter().find(|target| target.endpoint.transport() != Transport::Udp);
    for (is_given, flag) in [(args.ecn.is_some(), "--ecn"), (args.path_mtu.is_some(), "--path-mtu")] {
        if let Some(target) = not_udp.filter(|_| is_given) {
            return Err(
                UsageError(format!("{flag} requires udp://, stamp:// or icmp://, not {target}")).into()
            );
        }
        if is_given && targets.is_empty() {
            return Err(UsageError(format!("{flag} with --self requires a udp:// ENDPOINT")).into());
        }
    }
    Ok(())
}

/// Returns whether the endpoint has a name that is looked up.
fn has_name(endpoint: &Endpoint) -> bool {
    matches!(endpoint.name(), Name::Inet(Host::Name(_), _))
}

/// Refuses kernel timestamps for targets that have none.
fn check_timestamps(args: &args::Ping, targets: &[Target]) -> Result<()> {
    if args.timestamps != Some(TimestampSource::Kernel) {
        return Ok(());
    }
    let without = targets.iter().find(|target| !TimestampSource::has_kernel(target.endpoint.transport()));
    let text = match without {
        Some(target) => format!("--timestamps kernel requires tcp:// or udp://, not {target}"),
        None if args.with_server && targets.is_empty() => {
            "--timestamps kernel with --self requires a tcp:// or udp:// ENDPOINT".to_owned()
        }
        None => return Ok(()),
    };
    Err(UsageError(text).into())
}
