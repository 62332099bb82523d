//! The measurements of a target by a range of sizes, which find the path MTU.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Result;
use echosounder_client::PingOptions;
use echosounder_socket::Transport;
use echosounder_socket::option::PathMtuDiscovery;

use crate::args;
use crate::failure::UsageError;
use crate::request_sizes::RequestSizes;
use crate::target::Target;

/// The default number of requests of each size: one may be lost for another reason.
const COUNT: usize = 3;

/// How long to wait for a reply by default. Where no router reports the path MTU, each request that
/// exceeds it takes so long.
const WAIT: Duration = Duration::from_secs(1);

/// Fills in the defaults of a sweep.
pub(super) fn set_defaults(args: &mut args::Ping) {
    args.count = args.count.or(NonZeroUsize::new(COUNT));
    args.interval = args.interval.or(Some(Duration::ZERO));
    args.wait = args.wait.or(Some(WAIT));
    args.path_mtu = Some(PathMtuDiscovery::DO);
}

/// Refuses options that contradict a range of sizes, and targets that do not preserve the size of
/// packets.
pub(super) fn check_sweep(args: &args::Ping, targets: &[Target]) -> Result<()> {
    let is_fragmented = args.path_mtu.is_some_and(|how| how != PathMtuDiscovery::DO);
    let has_ports = args.source_port.as_ref().is_some_and(|ports| 1 < ports.len());
    for (is_given, flag) in [
        (args.with_server, "--self"),
        (args.until_up, "--until-up"),
        (is_fragmented, "-M want or dont"),
        (has_ports, "a range of source ports"),
        (args.max_loss.is_some(), "--max-loss"),
        (args.max_p99.is_some(), "--max-p99"),
    ] {
        if is_given {
            return Err(UsageError(format!("{flag} cannot be used with a range of sizes")).into());
        }
    }
    match targets.iter().find(|target| target.endpoint.transport() != Transport::Udp) {
        Some(target) => {
            Err(UsageError(format!("a range of sizes requires udp://, stamp:// or icmp://, not {target}"))
                .into())
        }
        None => Ok(()),
    }
}

/// Returns the measurement of a target by each size.
pub(super) fn by_size(ping: &PingOptions, sizes: RequestSizes) -> impl Iterator<Item = PingOptions> {
    sizes.iter().map(|size| {
        let mut ping = ping.clone();
        ping.size_bytes = size;
        ping.label = Some(format!("{size} bytes"));
        ping
    })
}
