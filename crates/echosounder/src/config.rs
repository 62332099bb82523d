//! The work that the arguments ask for: defaults filled in, contradictions refused, types of the
//! libraries.
//!
//! There is one function for each command. Its error is a [`UsageError`] of one sentence.

use std::fs;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{
    ConnectOptions, Eol, LoadOptions, Pace, PingOptions, ProbePace, REQUEST_BYTES_MIN, RampOptions, Source,
    Spacing, Thresholds, TimestampSource,
};
use echosounder_proto::PlainEcho;
use echosounder_server::{Config, Network};
use echosounder_socket::family::inet::Host;
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Endpoint, IpVersion, Kind, Name, StopToken};

use crate::args;
use crate::failure::UsageError;
use crate::output::{Color, OutputFile, Transcript};
use crate::run_as::RunAs;

/// The work of `serve`.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) server: Config,
    pub(crate) transcript: Transcript,
    /// The maximum size of the transcript in bytes; `None` means no limit.
    pub(crate) transcript_max: Option<u64>,
    /// Whether the endpoints are the default ones.
    pub(crate) on_defaults: bool,
    /// Whether the server also stops when standard input ends.
    pub(crate) until_input_ends: bool,
    /// The user to become after binding.
    pub(crate) user: Option<RunAs>,
    pub(crate) sandbox: bool,
}

/// The work of `talk`.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) connect: ConnectOptions,
    pub(crate) deadline: Option<Duration>,
    /// Whether to work in lockstep even on a stream without a terminal.
    pub(crate) lines: bool,
    pub(crate) eol: Eol,
    pub(crate) raw: bool,
    pub(crate) colored: bool,
    pub(crate) verbose: bool,
}

/// Returns the work of `serve`.
pub(crate) fn serve(args: args::Serve) -> Result<Serve> {
    let on_defaults = args.endpoints.is_empty();
    let endpoints = if on_defaults { vec![default("tcp"), default("udp")] } else { args.endpoints };
    let on_datagrams = endpoints.iter().find(|endpoint| endpoint.transport().kind() == Kind::Datagrams);
    if let Some(endpoint) = on_datagrams
        && !args.stamp.is_none()
        && !args.stamp.starts_with_builtin()
    {
        return Err(UsageError(format!(
            "--stamp on {endpoint} must begin with \"[{{ctime}}] \", \"[{{rfc3339}}] \", \"[{{unix}}] \" or \
             \"[{{rx}} {{tx}}] \", or two servers could reply to each other for ever"
        ))
        .into());
    }
    if args.allow_plain_echo && !args.stamp.is_none() {
        return Err(UsageError("--allow-plain-echo requires --stamp none".into()).into());
    }
    if args.frame.is_some() && endpoints.iter().all(|endpoint| endpoint.transport().kind() != Kind::Stream) {
        return Err(UsageError(
            "--frame applies to stream sockets only; others preserve message boundaries".into(),
        )
        .into());
    }
    let by_path = |endpoint: &Endpoint| matches!(endpoint.name(), Name::Unix(UnixName::Path(_)));
    if args.unix_mode.is_some() && !endpoints.iter().any(by_path) {
        return Err(
            UsageError("--unix-mode requires an endpoint with the path of a UNIX socket".into()).into()
        );
    }
    check_version(args.ip_version, &endpoints)?;
    check_services(&endpoints)?;
    let allowed_users = allowed_users(&args.allow_uid, &endpoints)?;
    check_networks(&args.allow, &args.deny, &endpoints)?;
    let by_default = || if io::stdout().is_terminal() { Transcript::Messages } else { Transcript::Off };
    let transcript = args.transcript.unwrap_or_else(by_default);
    let mut server = Config::new()
        .ip_version(ip_version(args.ip_version))
        .stamp(args.stamp)
        .framing(args.frame.unwrap_or_default())
        .plain_echo(if args.allow_plain_echo { PlainEcho::Metered } else { PlainEcho::Local })
        .host(host_name())
        .workers(args.workers.unwrap_or_else(cores).get())
        .stall_timeout(args.stall_timeout)
        .allow_networks(args.allow)
        .deny_networks(args.deny)
        .allow_users(allowed_users)
        .unix_mode(args.unix_mode.unwrap_or(0o600))
        .raise_fd_limit(true);
    server.connections_max = args.max_connections.map(NonZeroUsize::get);
    server.connections_per_peer_max =
        args.max_per_peer.map(|max| u32::try_from(max.get()).unwrap_or(u32::MAX));
    server.idle_timeout = args.idle_timeout;
    server.socket_memory_max = args.socket_memory;
    server.trust = args.trust;
    server.reply_limits.burst = args.excess_burst;
    server.reply_limits.rate = args.excess_rate;
    server.reply_limits.rate_total = args.excess_rate_total;
    Ok(Serve {
        endpoints,
        server,
        transcript,
        transcript_max: args.transcript_max.or_else(transcript_max),
        on_defaults,
        until_input_ends: args.until_input_ends,
        user: args.user.as_deref().map(RunAs::find).transpose()?,
        sandbox: !args.no_sandbox,
    })
}

/// Returns the ids of the users that are served on UNIX sockets.
fn allowed_users(names: &[String], endpoints: &[Endpoint]) -> Result<Vec<u32>> {
    let is_unix = |endpoint: &Endpoint| matches!(endpoint.name(), Name::Unix(_));
    if !names.is_empty() && !endpoints.iter().any(is_unix) {
        return Err(UsageError("--allow-uid requires the endpoint of a UNIX socket".into()).into());
    }
    names.iter().map(|name| Ok(RunAs::find(name)?.uid())).collect()
}

/// Refuses networks for endpoints without IP addresses.
fn check_networks(allow: &[Network], deny: &[Network], endpoints: &[Endpoint]) -> Result<()> {
    let flag = match (allow, deny) {
        ([], []) => return Ok(()),
        ([], _) => "--deny",
        _ => "--allow",
    };
    if endpoints.iter().any(has_host) {
        return Ok(());
    }
    Err(UsageError(format!("{flag} requires an endpoint with an IP address")).into())
}

/// Returns the default of `--transcript-max`: a file would grow until the disk is full.
fn transcript_max() -> Option<u64> {
    let out = io::stdout().as_fd().try_clone_to_owned().map(fs::File::from);
    let is_file = out.and_then(|out| out.metadata()).is_ok_and(|metadata| metadata.is_file());
    is_file.then_some(1 << 30)
}

/// Returns the work of `talk`.
pub(crate) fn talk(args: args::Talk, color: Color) -> Result<Talk> {
    let endpoint = args.endpoint.map_or_else(|| default("tcp"), on_this_host);
    check_ports(std::slice::from_ref(&endpoint))?;
    check_version(args.ip_version, std::slice::from_ref(&endpoint))?;
    let source = source(args.source, &endpoint)?;
    Ok(Talk {
        connect: connect_options(endpoint, args.ip_version, source, args.wait),
        deadline: args.deadline,
        lines: args.lines,
        eol: args.eol.unwrap_or(Eol::None),
        raw: args.raw,
        colored: color.applies(io::stdout().is_terminal()),
        verbose: args.verbose,
    })
}

/// How often a long run saves its result so far, which bounds the loss if the run is killed.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(10);

/// The work of `load`.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) load: LoadOptions,
    /// The options of a ramp, if --ramp was given.
    pub(crate) ramp: Option<RampOptions>,
    pub(crate) with_server: bool,
    pub(crate) output: Vec<OutputFile>,
}

/// Returns the work of `load`.
pub(crate) fn load(args: args::Load) -> Result<Load> {
    let endpoint = match args.endpoint {
        Some(endpoint) if args.with_server => endpoint,
        Some(endpoint) => on_this_host(endpoint),
        None if args.with_server => "tcp://127.0.0.1:0".parse()?,
        None => default("tcp"),
    };
    if !args.with_server {
        check_ports(std::slice::from_ref(&endpoint))?;
    }
    check_version(args.ip_version, std::slice::from_ref(&endpoint))?;
    let source = source(args.source, &endpoint)?;
    if args.spacing.is_some() && args.rate.is_none() && args.ramp.is_none() {
        return Err(UsageError("--spacing requires --rate or --ramp".into()).into());
    }
    let spacing = args.spacing.unwrap_or(Spacing::Even);
    let depth = args.depth.map_or(1, NonZeroUsize::get);
    let pace = args.rate.map_or(Pace::Closed { depth }, |rate| Pace::Open { rate, spacing });
    let default_duration = match (args.messages, args.ramp) {
        (Some(_), None) => None,
        (_, Some(_)) => Some(Duration::from_secs(2)),
        (None, None) => Some(Duration::from_secs(10)),
    };
    let mut load = LoadOptions::new(endpoint.clone(), StopToken::new()?);
    load.connect = connect_options(endpoint, args.ip_version, source, args.wait);
    load.connections = args.connections;
    load.pace = pace;
    load.sizes = args.size;
    load.warm_up = args.warm_up;
    load.duration = args.duration.or(default_duration);
    load.messages = args.messages.map(|messages| messages.get() as u64);
    load.threads = args.threads;
    load.allow_remote = args.yes;
    load.checkpoint_every = (!args.output.is_empty()).then_some(SAVE_EVERY);
    let ramp = args.ramp.map(|p99_max| RampOptions::new(p99_max).spacing(spacing));
    Ok(Load { load, ramp, with_server: args.with_server, output: args.output })
}

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

/// Returns the number of cores that this process may use.
pub(crate) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Returns the name of this machine, or an empty text without /proc.
pub(crate) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Returns the endpoint with localhost in place of `*`: a client connects to one address.
fn on_this_host(endpoint: Endpoint) -> Endpoint {
    match endpoint.name() {
        Name::Inet(Host::Any, port) => {
            let text = format!("{}://localhost:{port}", endpoint.transport().scheme());
            text.parse().expect("a scheme, a name and a port make an endpoint")
        }
        _ => endpoint,
    }
}

fn connect_options(
    endpoint: Endpoint,
    version: args::IpVersion,
    source: Option<Source>,
    wait: Duration,
) -> ConnectOptions {
    let mut options = ConnectOptions::new(endpoint).ip_version(ip_version(version)).wait(wait);
    options.source = source;
    options
}

fn default(scheme: &str) -> Endpoint {
    format!("{scheme}://localhost").parse().expect("the default endpoints parse")
}

fn has_host(endpoint: &Endpoint) -> bool {
    matches!(endpoint.name(), Name::Inet(..))
}

fn needs_host(flag: &str, endpoint: &Endpoint) -> UsageError {
    UsageError(format!("{flag} does not apply to {endpoint}, which has no IP address"))
}

/// Returns the source to send from to this endpoint.
fn source(typed: Option<String>, endpoint: &Endpoint) -> Result<Option<Source>> {
    match source_or_interface(typed)? {
        Some(_) if !has_host(endpoint) => Err(needs_host("--source", endpoint).into()),
        source => Ok(source),
    }
}

/// Returns an address for a text that is one, and otherwise the name of an interface.
fn source_or_interface(typed: Option<String>) -> Result<Option<Source>> {
    // The kernel takes an empty name for any interface.
    if typed.as_deref() == Some("") {
        return Err(UsageError("--source is empty; give an address or a network interface".into()).into());
    }
    Ok(typed.map(|text| text.parse().map_or(Source::Interface(text), Source::Address)))
}

/// Refuses two socket types at one TIPC service, since a client that connects by its address may
/// reach either.
fn check_services(endpoints: &[Endpoint]) -> Result<()> {
    for (place, endpoint) in endpoints.iter().enumerate() {
        let Some(service) = tipc_service(endpoint) else { continue };
        let twin = endpoints[..place].iter().find(|other| tipc_service(other) == Some(service));
        if let Some(twin) = twin {
            return Err(UsageError(format!(
                "{twin} and {endpoint} are the same TIPC service, which can have only one socket"
            ))
            .into());
        }
    }
    Ok(())
}

/// Returns the type and instance of a TIPC service.
fn tipc_service(endpoint: &Endpoint) -> Option<(u32, u32)> {
    match endpoint.name() {
        Name::Tipc(TipcAddress::Service { service, instance, .. }) => Some((*service, *instance)),
        _ => None,
    }
}

/// Refuses ports that only a server can use.
fn check_ports(endpoints: &[Endpoint]) -> Result<()> {
    match endpoints.iter().find(|endpoint| is_any_port(endpoint)) {
        Some(endpoint) => Err(UsageError(format!(
            "{endpoint} has no port to connect to: 0 means any free port, for servers only"
        ))
        .into()),
        None => Ok(()),
    }
}

/// Returns whether the port is the one by which a server asks for any free port.
fn is_any_port(endpoint: &Endpoint) -> bool {
    match endpoint.name() {
        Name::Inet(_, port) => *port == 0,
        Name::Vsock(address) => address.port == 0 || address.port == u32::MAX,
        Name::Netlink(address) => address.port_id == 0,
        _ => false,
    }
}

/// Refuses -4 and -6 without any host to apply to, and for an address of the other version.
fn check_version(typed: args::IpVersion, endpoints: &[Endpoint]) -> Result<()> {
    let typed_any = typed.v4 || typed.v6;
    match endpoints.first() {
        Some(endpoint) if typed_any && !endpoints.iter().any(has_host) => {
            return Err(
                UsageError(format!("-4 and -6 do not apply to {endpoint}, which has no IP address")).into()
            );
        }
        _ => {}
    }
    let other = endpoints.iter().find_map(|endpoint| match endpoint.name() {
        Name::Inet(Host::V4(_), _) if typed.v6 => Some((endpoint, "-6", "IPv4")),
        Name::Inet(Host::V6(..), _) if typed.v4 => Some((endpoint, "-4", "IPv6")),
        _ => None,
    });
    match other {
        Some((endpoint, flag, version)) => {
            Err(UsageError(format!("{flag} excludes {endpoint}, which is an {version} address")).into())
        }
        None => Ok(()),
    }
}

fn ip_version(typed: args::IpVersion) -> IpVersion {
    match typed {
        args::IpVersion { v4: true, .. } => IpVersion::V4,
        args::IpVersion { v6: true, .. } => IpVersion::V6,
        _ => IpVersion::Any,
    }
}
