//! What is meant by what was typed. Whatever does not go together ends here, in one sentence.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{
    CALL_MIN, Clock, ConnectOptions, Eol, IpOptions, Pace, Source, Spacing, TimestampSource,
};
use echosounder_proto::PlainEcho;
use echosounder_server::{Config, Timeouts};
use echosounder_socket::family::inet::Host;
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Endpoint, IpVersion, Kind, Name};

use crate::args::{self, OutputFile};
use crate::failure::Usage;

/// What `serve` is to do.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) server: Config,
    pub(crate) transcript: Transcript,
    /// Whether nobody said where to answer.
    pub(crate) on_defaults: bool,
    /// Whether it ends with standard input.
    pub(crate) until_input_ends: bool,
}

/// What is written of what a server hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transcript {
    Off,
    Peers,
    Messages,
}

/// What `talk` is to do.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) call: ConnectOptions,
    pub(crate) deadline: Option<Duration>,
    /// Whether to send one line at a time also where bytes could pass in both directions at once.
    pub(crate) lines: bool,
    pub(crate) eol: Eol,
    pub(crate) raw: bool,
    pub(crate) colored: bool,
    pub(crate) verbose: bool,
}

pub(crate) fn serve(args: args::Serve) -> Result<Serve> {
    let on_defaults = args.endpoints.is_empty();
    let endpoints = if on_defaults { vec![default("tcp"), default("udp")] } else { args.endpoints };
    let on_datagrams = endpoints.iter().find(|endpoint| endpoint.transport().kind() == Kind::Datagrams);
    if let Some(endpoint) = on_datagrams
        && !args.stamp.is_none()
        && !args.stamp.starts_with_builtin()
    {
        return Err(Usage(format!(
            "on {endpoint} a stamp must begin with \"[{{ctime}}] \", \"[{{rfc3339}}] \", \"[{{unix}}] \" or \
             \"[{{rx}} {{tx}}] \", or two servers could answer each other for ever"
        ))
        .into());
    }
    if args.allow_plain_echo && !args.stamp.is_none() {
        return Err(Usage("--allow-plain-echo is for --stamp none: other answers are stamped".into()).into());
    }
    if args.frame.is_some() && endpoints.iter().all(|endpoint| endpoint.transport().kind() != Kind::Stream) {
        return Err(Usage("--frame is for streams: other sockets keep messages apart".into()).into());
    }
    let by_path = |endpoint: &Endpoint| matches!(endpoint.name(), Name::Unix(UnixName::Path(_)));
    if args.unix_mode.is_some() && !endpoints.iter().any(by_path) {
        return Err(Usage("--unix-mode is for paths of UNIX sockets, and none is given".into()).into());
    }
    check_version(args.ip_version, &endpoints)?;
    check_services(&endpoints)?;
    let transcript = match args.transcript {
        args::Transcript::Auto if io::stdout().is_terminal() => Transcript::Messages,
        args::Transcript::Auto | args::Transcript::Off => Transcript::Off,
        args::Transcript::Peers => Transcript::Peers,
        args::Transcript::Messages => Transcript::Messages,
    };
    let server = Config {
        endpoints,
        ip_version: ip_version(args.ip_version),
        stamp: args.stamp,
        framing: args.frame.unwrap_or_default(),
        plain_echo: if args.allow_plain_echo { PlainEcho::Metered } else { PlainEcho::Local },
        host: host_name(),
        workers: args.workers.unwrap_or_else(cores),
        connections_max: args.max_connections.map(NonZeroUsize::get),
        per_peer_max: args.max_per_peer.map(|max| u32::try_from(max.get()).unwrap_or(u32::MAX)),
        patience: Timeouts { idle: args.idle_timeout, stall: args.stall_timeout },
        unix_mode: args.unix_mode.unwrap_or(0o600),
    };
    Ok(Serve { server, transcript, on_defaults, until_input_ends: args.until_input_ends })
}

pub(crate) fn talk(args: args::Talk, color: args::Color) -> Result<Talk> {
    let endpoint = args.endpoint.map_or_else(|| default("tcp"), on_this_host);
    check_ports(std::slice::from_ref(&endpoint))?;
    check_version(args.ip_version, std::slice::from_ref(&endpoint))?;
    let source = source(args.source)?;
    if source.is_some() && !matches!(endpoint.name(), Name::Inet(..)) {
        return Err(Usage(format!("--source is for hosts, and {endpoint} has none")).into());
    }
    let call = ConnectOptions {
        endpoint,
        ip_version: ip_version(args.ip_version),
        source,
        marks: IpOptions::default(),
        wait: args.wait,
    };
    let eol = match args.eol {
        None => Eol::None,
        Some(args::Eol::Lf) => Eol::Lf,
        Some(args::Eol::Crlf) => Eol::CrLf,
    };
    Ok(Talk {
        call,
        deadline: args.deadline,
        lines: args.lines,
        eol,
        raw: args.raw,
        colored: colored(color, io::stdout().is_terminal()),
        verbose: args.verbose,
    })
}

/// How often the report so far of a long run is saved: so much is lost at most if the run is killed.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(10);

/// What `load` is to do.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) load: echosounder_client::Load,
    /// The bound of a ramp, and what lies between its messages.
    pub(crate) ramp: Option<(Duration, Spacing)>,
    pub(crate) with_server: bool,
    pub(crate) output: Vec<OutputFile>,
}

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
    let source = source(args.source)?;
    if source.is_some() && !matches!(endpoint.name(), Name::Inet(..)) {
        return Err(Usage(format!("--source is for hosts, and {endpoint} has none")).into());
    }
    let spacing = match args.spacing {
        Some(args::Spacing::Poisson) => Spacing::Poisson,
        _ => Spacing::Even,
    };
    if args.spacing.is_some() && args.rate.is_none() && args.ramp.is_none() {
        return Err(Usage(
            "--spacing is for --rate and --ramp: a closed loop leaves it to the answers".into(),
        )
        .into());
    }
    let depth = args.depth.map_or(1, NonZeroUsize::get);
    let pace = args.rate.map_or(Pace::Closed { depth }, |rate| Pace::Open { rate, spacing });
    let default_duration = match (args.messages, args.ramp) {
        (Some(_), None) => None,
        (_, Some(_)) => Some(Duration::from_secs(2)),
        (None, None) => Some(Duration::from_secs(10)),
    };
    let load = echosounder_client::Load {
        connect: ConnectOptions {
            endpoint,
            ip_version: ip_version(args.ip_version),
            source,
            marks: IpOptions::default(),
            wait: args.wait,
        },
        connections: args.connections,
        pace,
        sizes: args.size,
        warm_up: args.warm_up,
        duration: args.duration.or(default_duration),
        messages: args.messages.map(|messages| messages.get() as u64),
        threads: args.threads,
        allow_remote: args.yes,
        checkpoint_every: (!args.output.is_empty()).then_some(SAVE_EVERY),
        stop: Arc::default(),
    };
    let ramp = args.ramp.map(|bound| (bound, spacing));
    Ok(Load { load, ramp, with_server: args.with_server, output: args.output })
}

/// What `ping` is to do.
#[derive(Debug)]
pub(crate) struct Ping {
    /// What to do with each target.
    pub(crate) targets: Vec<echosounder_client::Ping>,
    /// What to do with each that its own server makes.
    pub(crate) template: echosounder_client::Ping,
    pub(crate) with_server: bool,
    /// Whether to measure one target after another, rather than all at once.
    pub(crate) in_turn: bool,
    /// Which times of receipt count; `None` for the best that all targets have.
    pub(crate) timestamps: Option<TimestampSource>,
    pub(crate) print_time: bool,
    pub(crate) verbose: bool,
    pub(crate) bounds: Bounds,
    pub(crate) output: Vec<OutputFile>,
}

/// What a ping must keep to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// How much of a hundred calls may be lost.
    pub(crate) loss: Option<f64>,
    /// What 99 of 100 answers may take.
    pub(crate) p99: Option<Duration>,
}

/// The time between two requests to a target, unless it is set.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same where the targets are this machine's own, and one after another is measured.
const INTERVAL_IN_TURN: Duration = Duration::from_millis(20);

/// Calls that may be waited for at the same time.
const UNDER_WAY_MAX: u128 = 1_000_000;

pub(crate) fn ping(args: args::Ping) -> Result<Ping> {
    let endpoints = match (args.endpoints.is_empty(), args.with_server) {
        (true, false) => vec![default("tcp")],
        (_, true) => args.endpoints,
        (false, false) => args.endpoints.into_iter().map(on_this_host).collect(),
    };
    if !endpoints.is_empty() {
        check_version(args.ip_version, &endpoints)?;
    }
    if !args.with_server {
        check_ports(&endpoints)?;
    }
    let source = source(args.source)?;
    let marks = IpOptions { dscp: args.dscp, ttl: args.ttl };
    let hostless = endpoints.iter().find(|endpoint| !matches!(endpoint.name(), Name::Inet(..)));
    for (given, flag) in
        [(source.is_some(), "--source"), (args.dscp.is_some(), "--dscp"), (args.ttl.is_some(), "--ttl")]
    {
        if let Some(endpoint) = hostless.filter(|_| given) {
            return Err(Usage(format!("{flag} is for hosts, and {endpoint} has none")).into());
        }
        if given && args.with_server && endpoints.is_empty() {
            return Err(Usage(format!("{flag} is for hosts; with --self, say which ENDPOINT")).into());
        }
    }
    let bounded = endpoints.iter().find(|endpoint| endpoint.transport().kind() != Kind::Stream);
    if let Some(endpoint) = bounded
        && args.size.get() < CALL_MIN
    {
        return Err(Usage(format!("on {endpoint} the minimum message size is {CALL_MIN} bytes")).into());
    }
    // Kinds of socket are compared on one machine, where they would be in each other's way.
    let in_turn = args.with_server && (args.count.is_some() || args.deadline.is_some());
    let interval = args.interval.unwrap_or(if in_turn { INTERVAL_IN_TURN } else { INTERVAL });
    let timestamps = timestamps(args.timestamps, args.with_server, &endpoints)?;
    let under_way = args.wait.as_nanos().checked_div(interval.as_nanos());
    if under_way.is_some_and(|calls| UNDER_WAY_MAX < calls) {
        return Err(Usage(
            "so short an --interval and so long a --wait put over a million requests in flight".into(),
        )
        .into());
    }
    let template = echosounder_client::Ping {
        call: ConnectOptions {
            endpoint: default("tcp"),
            ip_version: ip_version(args.ip_version),
            source,
            marks,
            wait: args.wait,
        },
        size: args.size.get(),
        first: Duration::ZERO,
        interval,
        count: args.count.map(|count| count.get() as u64),
        deadline: args.deadline,
        clock: match args.clock {
            args::Clock::Auto => None,
            args::Clock::Same => Some(Clock::Same),
            args::Clock::Synced => Some(Clock::Synced),
            args::Clock::Free => Some(Clock::Free),
        },
        timestamps: timestamps.unwrap_or_default(),
    };
    Ok(Ping {
        targets: endpoints.into_iter().map(|endpoint| template.to(endpoint)).collect(),
        template,
        with_server: args.with_server,
        in_turn,
        timestamps,
        print_time: args.print_time,
        verbose: args.verbose,
        bounds: Bounds { loss: args.max_loss, p99: args.max_p99 },
        output: args.output,
    })
}

/// Which times of receipt count, as far as that is known before the targets are.
fn timestamps(
    typed: args::TimestampSource,
    with_server: bool,
    targets: &[Endpoint],
) -> Result<Option<TimestampSource>> {
    let without = targets.iter().find(|target| !TimestampSource::has_kernel(target.transport()));
    match (typed, without) {
        (args::TimestampSource::Auto, _) => Ok(None),
        (args::TimestampSource::User, _) => Ok(Some(TimestampSource::User)),
        (args::TimestampSource::Kernel, Some(endpoint)) => {
            Err(Usage(format!("--timestamps kernel is for tcp:// and udp://, not for {endpoint}")).into())
        }
        (args::TimestampSource::Kernel, None) if with_server && targets.is_empty() => Err(Usage(
            "--timestamps kernel is for tcp:// and udp://; with --self, name such ENDPOINTs".into(),
        )
        .into()),
        (args::TimestampSource::Kernel, None) => Ok(Some(TimestampSource::Kernel)),
    }
}

/// One thread for each core that this process may use.
pub(crate) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// This machine's name; without /proc it has none.
pub(crate) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// What `*` means to a client, by its name.
fn on_this_host(endpoint: Endpoint) -> Endpoint {
    match endpoint.name() {
        Name::Inet(Host::Any, port) => {
            let text = format!("{}://localhost:{port}", endpoint.transport().scheme());
            text.parse().expect("a scheme, a name and a port make an endpoint")
        }
        _ => endpoint,
    }
}

/// Whether to use colours where the output goes; NO_COLOR counts if it is not empty (no-color.org).
pub(crate) fn colored(color: args::Color, is_terminal: bool) -> bool {
    let wanted = || env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match color {
        args::Color::Auto => is_terminal && is_capable() && wanted(),
        args::Color::Always => true,
        args::Color::Never => false,
    }
}

/// Whether the terminal understands escape sequences.
pub(crate) fn is_capable() -> bool {
    env::var_os("TERM").is_some_and(|terminal| terminal != "dumb" && !terminal.is_empty())
}

/// An address if it is one, otherwise the name of an interface.
fn source(typed: Option<String>) -> Result<Option<Source>> {
    // The kernel takes an empty name for any interface.
    if typed.as_deref() == Some("") {
        return Err(Usage("--source is empty: it is neither an address nor an interface".into()).into());
    }
    Ok(typed.map(|text| text.parse().map_or(Source::Interface(text), Source::Address)))
}

fn default(scheme: &str) -> Endpoint {
    format!("{scheme}://localhost").parse().expect("the default endpoints parse")
}

/// A TIPC service is found by its name alone: with two types of socket behind it, a call would reach either.
fn check_services(endpoints: &[Endpoint]) -> Result<()> {
    for (place, endpoint) in endpoints.iter().enumerate() {
        let Some(service) = tipc_service(endpoint) else { continue };
        let twin = endpoints[..place].iter().find(|other| tipc_service(other) == Some(service));
        if let Some(twin) = twin {
            return Err(
                Usage(format!("{twin} and {endpoint} are one service, which has one socket here")).into()
            );
        }
    }
    Ok(())
}

/// What a TIPC service is found by.
fn tipc_service(endpoint: &Endpoint) -> Option<(u32, u32)> {
    match endpoint.name() {
        Name::Tipc(TipcAddress::Service { service, instance, .. }) => Some((*service, *instance)),
        _ => None,
    }
}

/// A client needs the number of a port: 0 is for servers, which get any that is free.
fn check_ports(endpoints: &[Endpoint]) -> Result<()> {
    match endpoints.iter().find(|endpoint| has_no_port(endpoint)) {
        Some(endpoint) => {
            Err(Usage(format!("{endpoint} has no port to connect to: 0 is for servers, and means any"))
                .into())
        }
        None => Ok(()),
    }
}

/// Whether nobody can be there: a server asks for any port by this number, and gets another.
fn has_no_port(endpoint: &Endpoint) -> bool {
    match endpoint.name() {
        Name::Inet(_, port) => *port == 0,
        Name::Vsock(address) => address.port == 0 || address.port == u32::MAX,
        Name::Netlink(address) => address.port_id == 0,
        _ => false,
    }
}

/// -4 and -6 choose among a host's addresses, so there must be a host.
fn check_version(typed: args::IpVersion, endpoints: &[Endpoint]) -> Result<()> {
    let on_hosts = endpoints.iter().any(|endpoint| matches!(endpoint.name(), Name::Inet(..)));
    match endpoints.first() {
        Some(endpoint) if !on_hosts && (typed.v4 || typed.v6) => {
            return Err(Usage(format!("-4 and -6 are for hosts, and {endpoint} has none")).into());
        }
        _ => {}
    }
    // A name may have addresses of both versions, an address has one.
    let other = endpoints.iter().find_map(|endpoint| match endpoint.name() {
        Name::Inet(Host::V4(_), _) if typed.v6 => Some((endpoint, "-6", "IPv4")),
        Name::Inet(Host::V6(..), _) if typed.v4 => Some((endpoint, "-4", "IPv6")),
        _ => None,
    });
    match other {
        Some((endpoint, flag, version)) => {
            Err(Usage(format!("{flag} excludes {endpoint}, which is an {version} address")).into())
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
