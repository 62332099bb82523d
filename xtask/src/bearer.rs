//! Two guests joined by an Ethernet link, to test that a client in one kernel gets replies from a
//! server in the other.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result};

use crate::args;
use crate::guest::{Ended, Guest, Side, try_kernels};
use crate::notice::notice;

/// Runs a server in one guest and a client in another, and returns the client's exit status.
pub(crate) fn run(args: &args::Bearer) -> Result<u8> {
    try_kernels(args.machine, |kernel| {
        let (one, other) = UnixDatagram::pair().context("cannot create the link")?;
        // Locally administered addresses, with the prefix that QEMU uses.
        let server = Side { node: "server", mac: "52:54:00:00:00:01", socket: one };
        let client = Side { node: "client", mac: "52:54:00:00:00:02", socket: other };
        let server = Guest::start(kernel, args.machine, &shell(&args.server), Some(server))?;
        let client = Guest::start(kernel, args.machine, &shell(&args.client), Some(client))?;
        let client = client.wait()?;
        let server = server.end()?;
        if let Ended::Job(status) = server {
            notice(format!("the server ended before the client, with status {status}"));
        }
        Ok(match (client, server) {
            // The client failed because there was no server.
            (Ended::Lost { .. }, unbooted @ Ended::Unbooted { .. }) => unbooted,
            (client, _) => client,
        })
    })
}

fn shell(line: &OsString) -> [OsString; 3] {
    ["sh".into(), "-c".into(), line.clone()]
}
