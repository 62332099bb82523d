//! The work of `ping`.

use std::time::Duration;

use anyhow::Result;
use echosounder_client::{PingOptions, ProbePace, REQUEST_BYTES_MIN, Thresholds, TimestampSource};
use echosounder_socket::{Endpoint, Kind};

use super::{
    check_ports, check_version, connect_options, default, has_host, needs_host, on_this_host,
    source_or_interface,
};
use crate::args;
use crate::failure::UsageError;
use crate::output::OutputFile;

/// The work of `ping`.
#[derive(Debug)]
pub(crate) struct Ping {
    /// One measurement for each target.
    pub(crate) targets: Vec<PingOptions>,
    /// The measurement of each endpoint of our own server.
    pub(crate) template: PingOptions,
    pub(crate) with_server: bool,
    /// Whether to measure the targets one after another instead of all at once.
    pub(crate) in_turn: bool,
    /// Which timestamps measure arrivals; `None` for the best that all targets have.
    pub(crate) timestamps: Option<TimestampSource>,
    pub(crate) print_time: bool,
    pub(crate) verbose: bool,
    pub(crate) thresholds: Thresholds,
    pub(crate) output: Vec<OutputFile>,
}

/// The default time between two requests to a target.
const INTERVAL: Duration = Duration::from_secs(1);

/// The default where targets on this machine are measured one after another.
const INTERVAL_IN_TURN: Duration = Duration::from_millis(20);

/// The maximum number of requests in flight to one target.
const IN_FLIGHT_MAX: u128 = 1_000_000;

/// Returns the work of `ping`.
pub(crate) fn ping(args: args::Ping) -> Result<Ping> {
    let endpoints = match (args.endpoints.is_empty(), args.with_server) {
        (true, false) => vec![default("tcp")],
        (_, true) => args.endpoints.clone(),
        (false, false) => args.endpoints.iter().cloned().map(on_this_host).collect(),
    };
    check_targets(&args, &endpoints)?;
    // On one machine, targets that are measured at once would slow each other down.
    let in_turn = args.with_server && (args.count.is_some() || args.deadline.is_some());
    let interval = args.interval.unwrap_or(if in_turn { INTERVAL_IN_TURN } else { INTERVAL });
    let in_flight = args.wait.as_nanos().checked_div(interval.as_nanos());
    if in_flight.is_some_and(|requests| IN_FLIGHT_MAX < requests) {
        let text = "this --interval and --wait allow over a million requests in flight";
        return Err(UsageError(text.into()).into());
    }
    check_timestamps(&args, &endpoints)?;
    let source = source_or_interface(args.source)?;
    let mut template = PingOptions::new(default("tcp"));
    template.connect = connect_options(default("tcp"), args.ip_version, source, args.wait);
    let ip_options = &mut template.connect.ip_options;
    (ip_options.dscp, ip_options.ttl) = (args.dscp, args.ttl);
    template.size_bytes = args.size.get();
    template.pace = ProbePace::from_interval(interval);
    template.count = args.count.map(|count| count.get() as u64);
    template.deadline = args.deadline;
    template.clock = args.clock;
    template.timestamps = args.timestamps.unwrap_or_default();
    let mut thresholds = Thresholds::default();
    (thresholds.loss_max, thresholds.p99_max) = (args.max_loss, args.max_p99);
    Ok(Ping {
        targets: endpoints.into_iter().map(|endpoint| template.with_endpoint(endpoint)).collect(),
        template,
        with_server: args.with_server,
        in_turn,
        timestamps: args.timestamps,
        print_time: args.print_time,
        verbose: args.verbose,
        thresholds,
        output: args.output,
    })
}

/// Refuses options that do not apply to one of the targets.
fn check_targets(args: &args::Ping, endpoints: &[Endpoint]) -> Result<()> {
    if !endpoints.is_empty() {
        check_version(args.ip_version, endpoints)?;
    }
    if !args.with_server {
        check_ports(endpoints)?;
    }
    let without_host = endpoints.iter().find(|endpoint| !has_host(endpoint));
    for (is_given, flag) in
        [(args.source.is_some(), "--source"), (args.dscp.is_some(), "--dscp"), (args.ttl.is_some(), "--ttl")]
    {
        match without_host {
            Some(endpoint) if is_given => return Err(needs_host(flag, endpoint).into()),
            None if is_given && endpoints.is_empty() => {
                return Err(UsageError(format!("{flag} with --self requires an ENDPOINT")).into());
            }
            _ => {}
        }
    }
    let message_socket = endpoints.iter().find(|endpoint| endpoint.transport().kind() != Kind::Stream);
    match message_socket {
        Some(endpoint) if args.size.get() < REQUEST_BYTES_MIN => {
            Err(UsageError(format!("the minimum message size on {endpoint} is {REQUEST_BYTES_MIN} bytes"))
                .into())
        }
        _ => Ok(()),
    }
}

/// Refuses kernel timestamps for targets that have none.
fn check_timestamps(args: &args::Ping, targets: &[Endpoint]) -> Result<()> {
    if args.timestamps != Some(TimestampSource::Kernel) {
        return Ok(());
    }
    let without = targets.iter().find(|target| !TimestampSource::has_kernel(target.transport()));
    let text = match without {
        Some(endpoint) => format!("--timestamps kernel requires tcp:// or udp://, not {endpoint}"),
        None if args.with_server && targets.is_empty() => {
            "--timestamps kernel with --self requires a tcp:// or udp:// ENDPOINT".to_owned()
        }
        None => return Ok(()),
    };
    Err(UsageError(text).into())
}
