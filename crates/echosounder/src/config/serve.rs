//! The work of `serve`.

use std::fs;
use std::io::{self, IsTerminal};
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use anyhow::Result;
use echosounder_proto::PlainEcho;
use echosounder_server::{Config, Network};
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Endpoint, Kind, Name, Transport};

use super::{check_version, cores, default, has_host, host_name, ip_version};
use crate::args;
use crate::failure::UsageError;
use crate::output::Transcript;
use crate::run_as::RunAs;
use crate::stamp_key::{self, KeyFile};
use crate::target::{Service, Target};

/// The work of `serve`.
#[derive(Debug)]
pub(crate) struct Serve {
    /// The endpoints that echo.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The UDP endpoints that reflect STAMP requests.
    pub(crate) reflectors: Vec<Endpoint>,
    /// Sentences for the user about what was given.
    pub(crate) notes: Vec<String>,
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

/// Returns the work of `serve`.
pub(crate) fn serve(mut args: args::Serve) -> Result<Serve> {
    let on_defaults = args.targets.is_empty();
    check_dscp(&args)?;
    check_version(args.ip_version, &args.targets)?;
    if let Some(target) = args.targets.iter().find(|target| target.service == Service::Icmp) {
        return Err(UsageError(format!("cannot serve {target}: the kernel itself replies to ICMP")).into());
    }
    let key = check_stamp(&args)?;
    let (reflectors, echoes): (Vec<_>, Vec<_>) =
        mem::take(&mut args.targets).into_iter().partition(|target| target.service == Service::Stamp);
    let [endpoints, reflectors] = [echoes, reflectors]
        .map(|targets| targets.into_iter().map(|target| target.endpoint).collect::<Vec<_>>());
    let endpoints = if on_defaults { vec![default("tcp"), default("udp")] } else { endpoints };
    check_echo(&args, &endpoints)?;
    check_services(&endpoints)?;
    let allowed_users = allowed_users(&args.allow_uid, &endpoints)?;
    check_networks(&args.allow, &args.deny, endpoints.iter().chain(&reflectors))?;
    let by_default = || if io::stdout().is_terminal() { Transcript::Messages } else { Transcript::Off };
    let transcript = args.transcript.unwrap_or_else(by_default);
    let notes = key.iter().filter_map(|file| file.note.clone()).collect();
    Ok(Serve {
        endpoints,
        reflectors,
        notes,
        transcript,
        transcript_max: args.transcript_max.or_else(transcript_max),
        on_defaults,
        until_input_ends: args.until_input_ends,
        user: args.user.as_deref().map(RunAs::find).transpose()?,
        sandbox: !args.no_sandbox,
        server: server(args, allowed_users, key),
    })
}

/// Returns the configuration of the server in the library.
fn server(args: args::Serve, allowed_users: Vec<u32>, key: Option<KeyFile>) -> Config {
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
    server.reflect_dscp = args.reflect_dscp.unwrap_or(false);
    server.reflector.honours_dscp = args.reflect_dscp.unwrap_or(true);
    server.reflector.is_stateful = args.stamp_mode.unwrap_or(true);
    server.reflector.timestamp_format = args.stamp_time.unwrap_or_default();
    server.reflector.key = key.map(|file| file.key);
    server.reply_limits.burst = args.excess_burst;
    server.reply_limits.rate = args.excess_rate;
    server.reply_limits.rate_total = args.excess_rate_total;
    server
}

/// Refuses options of the echo that do not fit its endpoints.
fn check_echo(args: &args::Serve, endpoints: &[Endpoint]) -> Result<()> {
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
    Ok(())
}

/// Returns the ids of the users that are served on UNIX sockets.
fn allowed_users(names: &[String], endpoints: &[Endpoint]) -> Result<Vec<u32>> {
    let is_unix = |endpoint: &Endpoint| matches!(endpoint.name(), Name::Unix(_));
    if !names.is_empty() && !endpoints.iter().any(is_unix) {
        return Err(UsageError("--allow-uid requires the endpoint of a UNIX socket".into()).into());
    }
    names.iter().map(|name| Ok(RunAs::find(name)?.uid())).collect()
}

/// Refuses --reflect-dscp without an endpoint whose replies it concerns.
fn check_dscp(args: &args::Serve) -> Result<()> {
    let is_udp = |target: &Target| target.endpoint.transport() == Transport::Udp;
    if args.reflect_dscp.is_some() && !args.targets.is_empty() && !args.targets.iter().any(is_udp) {
        return Err(UsageError("--reflect-dscp requires an endpoint of UDP or STAMP".into()).into());
    }
    Ok(())
}

/// Refuses options of STAMP without a reflector. Returns the key, if there is one.
fn check_stamp(args: &args::Serve) -> Result<Option<KeyFile>> {
    let flags = [
        (args.stamp_mode.is_some(), "--stamp-mode"),
        (args.stamp_key.is_some(), "--stamp-key"),
        (args.stamp_time.is_some(), "--stamp-time"),
    ];
    let typed = flags.into_iter().find(|(is_given, _)| *is_given);
    let has_reflector = args.targets.iter().any(|target| target.service == Service::Stamp);
    match typed {
        Some((_, flag)) if !has_reflector => {
            Err(UsageError(format!("{flag} requires a stamp:// ENDPOINT")).into())
        }
        _ => args.stamp_key.as_deref().map(stamp_key::read).transpose(),
    }
}

/// Refuses networks for endpoints without IP addresses.
fn check_networks<'a>(
    allow: &[Network],
    deny: &[Network],
    mut endpoints: impl Iterator<Item = &'a Endpoint>,
) -> Result<()> {
    let flag = match (allow, deny) {
        ([], []) => return Ok(()),
        ([], _) => "--deny",
        _ => "--allow",
    };
    if endpoints.any(has_host) {
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
