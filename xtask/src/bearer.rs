//! Two guests, joined by an Ethernet link: what one kernel sends the other must answer.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result};

use crate::args;
use crate::guest::{Ended, Guest, Side, try_kernels};
use crate::tell;

/// Runs a server in one guest and a client in another, and returns the client's exit status.
pub(crate) fn run(args: &args::Bearer) -> Result<u8> {
    try_kernels(args.machine, |kernel| {
        let (one, other) = UnixDatagram::pair().context("make the link")?;
        // From the block of addresses that everybody may use.
        let server = Side { node: "server", mac: "52:54:00:00:00:01", socket: one };
        let client = Side { node: "client", mac: "52:54:00:00:00:02", socket: other };
        let server = Guest::start(kernel, args.machine, &shell(&args.server), Some(server))?;
        let client = Guest::start(kernel, args.machine, &shell(&args.client), Some(client))?;
        let client = client.wait()?;
        let server = server.end()?;
        if let Ended::Job(status) = server {
            tell(&format!("the server ended before the client, with status {status}"));
        }
        Ok(match (client, server) {
            // The client has waited in vain for a server that is not there.
            (Ended::Lost { .. }, unbooted @ Ended::Unbooted { .. }) => unbooted,
            (client, _) => client,
        })
    })
}

fn shell(line: &OsString) -> [OsString; 3] {
    ["sh".into(), "-c".into(), line.clone()]
}
