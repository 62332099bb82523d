//! The work that the arguments ask for: defaults filled in, contradictions refused, types of the
//! libraries.
//!
//! There is one function for each command. Its error is a [`UsageError`] of one sentence.

mod load;
mod ping;
mod serve;
mod sweep;
mod talk;

use std::fs;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{ConnectOptions, Source};
use echosounder_socket::family::inet::Host;
use echosounder_socket::{Endpoint, IpVersion, Kind, Name};

pub(crate) use load::{Load, load};
pub(crate) use ping::{Ping, ping};
pub(crate) use serve::{Serve, serve};
pub(crate) use talk::{Talk, talk};

use crate::args;
use crate::failure::UsageError;
use crate::target::{Service, Target};

/// How often a long run saves its result so far, which bounds the loss if the run is killed.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(10);

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

fn needs_host(flag: &str, target: &Target) -> UsageError {
    UsageError(format!("{flag} does not apply to {target}, which has no IP address"))
}

/// Refuses --connect for targets without connections, and --reset for those without segments.
fn check_connections(targets: &[Target], reset: bool) -> Result<()> {
    let has_none = |target: &&Target| {
        target.service == Service::Stamp || target.endpoint.transport().kind() == Kind::Datagrams
    };
    if let Some(target) = targets.iter().find(has_none) {
        return Err(
            UsageError(format!("--connect does not apply to {target}, which has no connections")).into()
        );
    }
    match targets.iter().find(|target| !has_host(&target.endpoint)) {
        Some(target) if reset => Err(needs_host("--reset", target).into()),
        _ => Ok(()),
    }
}

/// Returns the source to send from to this endpoint.
fn source(typed: Option<String>, target: &Target) -> Result<Option<Source>> {
    match source_or_interface(typed)? {
        Some(_) if !has_host(&target.endpoint) => Err(needs_host("--source", target).into()),
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

/// Refuses ports that only a server can use.
fn check_ports(targets: &[Target]) -> Result<()> {
    let has_port = |target: &&Target| target.service != Service::Icmp;
    match targets.iter().filter(has_port).find(|target| is_any_port(&target.endpoint)) {
        Some(target) => Err(UsageError(format!(
            "{target} has no port to connect to: 0 means any free port, for servers only"
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
fn check_version(typed: args::IpVersion, targets: &[Target]) -> Result<()> {
    let typed_any = typed.v4 || typed.v6;
    match targets.first() {
        Some(target) if typed_any && !targets.iter().any(|target| has_host(&target.endpoint)) => {
            return Err(
                UsageError(format!("-4 and -6 do not apply to {target}, which has no IP address")).into()
            );
        }
        _ => {}
    }
    let other = targets.iter().find_map(|target| match target.endpoint.name() {
        Name::Inet(Host::V4(_), _) if typed.v6 => Some((target, "-6", "IPv4")),
        Name::Inet(Host::V6(..), _) if typed.v4 => Some((target, "-4", "IPv6")),
        _ => None,
    });
    match other {
        Some((target, flag, version)) => {
            Err(UsageError(format!("{flag} excludes {target}, which is an {version} address")).into())
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
