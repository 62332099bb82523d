//! The work of `talk`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{ConnectOptions, Eol};

use super::{check_ports, check_version, connect_options, default, on_this_host, source};
use crate::args;
use crate::output::Color;
use crate::target::Target;

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

/// Returns the work of `talk`.
pub(crate) fn talk(args: args::Talk, color: Color) -> Result<Talk> {
    let endpoint = args.endpoint.map_or_else(|| default("tcp"), on_this_host);
    let target = Target::from(endpoint.clone());
    check_ports(std::slice::from_ref(&target))?;
    check_version(args.ip_version, std::slice::from_ref(&target))?;
    let source = source(args.source, &target)?;
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
