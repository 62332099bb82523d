//! The work of `load`.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{ConnectProbe, LoadOptions, Pace, RampOptions, Spacing};
use echosounder_socket::StopToken;

use super::{
    SAVE_EVERY, check_connections, check_ports, check_version, connect_options, default, on_this_host, source,
};
use crate::args;
use crate::failure::UsageError;
use crate::output::OutputFile;
use crate::target::Target;

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
    let target = Target::from(endpoint.clone());
    if !args.with_server {
        check_ports(std::slice::from_ref(&target))?;
    }
    check_version(args.ip_version, std::slice::from_ref(&target))?;
    if args.connect {
        check_connections(std::slice::from_ref(&target), args.reset)?;
    }
    let source = source(args.source, &target)?;
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
    load.connect_each = args.connect.then(|| ConnectProbe::default().reset(args.reset));
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
