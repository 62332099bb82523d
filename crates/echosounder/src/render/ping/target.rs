//! A target of ping as every format describes it.

use std::net::IpAddr;
use std::time::Duration;

use echosounder_client::{ClockRelation, KernelTimestamps, PingReport, ResolvedTarget};
use echosounder_socket::Address;
use echosounder_socket::internal::kernel::ClockState;
use echosounder_socket::option::PathMtuDiscovery;

use crate::render::prose::{self, Clocks};

/// The name of the probe that is a connection.
pub(crate) const CONNECT: &str = "connect";

/// The name of the probe that is an echo request of ICMP.
pub(crate) const ICMP: &str = "icmp";

/// A target and how it is measured.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The endpoint as it was typed.
    pub(crate) endpoint: String,
    /// The endpoint at the address that was reached.
    pub(crate) resolved: String,
    /// The address that was reached, without scheme and port if it has an IP address.
    pub(crate) address: String,
    /// The local address, if the socket has a port.
    pub(crate) local: Option<String>,
    /// What requests are: `echo`, `stamp`, `icmp` or `connect`.
    pub(crate) probe: &'static str,
    /// The local port, if it was chosen.
    pub(crate) source_port: Option<u16>,
    /// The DSCP of requests, if it was chosen.
    pub(crate) dscp: Option<u8>,
    /// The ECN bits of requests, if they were chosen.
    pub(crate) ecn: Option<u8>,
    /// Whether requests may be fragmented, if that was chosen.
    pub(crate) path_mtu: Option<PathMtuDiscovery>,
    /// Which timestamps the kernel was asked for.
    pub(crate) kernel: KernelTimestamps,
    /// How the peer's clock is assumed to relate to this machine's.
    pub(crate) clock: ClockRelation,
    /// The state of this machine's clock, if the kernel reports it.
    pub(crate) own_clock: Option<ClockState>,
    /// Bytes of a request.
    pub(crate) size: usize,
    /// Time between two requests; zero sends each when the one before is done.
    pub(crate) interval: Duration,
    /// How long a reply may take.
    pub(crate) wait: Duration,
    /// How many requests are sent; `None` means no limit.
    pub(crate) count: Option<u64>,
    /// Whether the target is awaited: the run ends at the first reply.
    pub(crate) until_up: bool,
    /// When the run began, in nanoseconds since the Unix epoch.
    pub(crate) started: u64,
}

impl Target {
    /// Returns the IP address alone if there is one, otherwise the endpoint.
    pub(crate) fn address(resolved: &str, address: &Address) -> String {
        address.ip().map_or_else(|| resolved.to_owned(), |ip| ip.to_string())
    }

    /// Returns a local address that has a port.
    pub(crate) fn local(address: &Address) -> Option<String> {
        address.port().map(|_| address.to_string())
    }

    /// Returns the same target at another address.
    pub(crate) fn moved(self, to: &ResolvedTarget) -> Self {
        Self {
            address: Self::address(&to.endpoint, &to.address),
            resolved: to.endpoint.clone(),
            local: to.local.as_ref().and_then(Self::local),
            kernel: to.kernel,
            clock: to.clock,
            ..self
        }
    }

    /// Returns whether each request is a connection.
    pub(crate) fn is_connect(&self) -> bool {
        self.probe == CONNECT
    }

    /// Returns whether requests are those of ICMP.
    pub(crate) fn is_icmp(&self) -> bool {
        self.probe == ICMP
    }

    /// Returns whether the target is at an IP address.
    pub(crate) fn is_host(&self) -> bool {
        self.address.parse::<IpAddr>().is_ok()
    }

    /// Returns what is known of the peer's clock; `None` if that is nothing, or if no reply could
    /// show it.
    pub(crate) fn clock_line(&self, report: &PingReport, delay: fn(f64) -> String) -> Option<String> {
        if self.is_connect() { None } else { prose::clock(self.clocks(), report, delay) }
    }

    /// Returns the facts for a sentence about the clocks.
    fn clocks(&self) -> Clocks<'_> {
        Clocks { peer: &self.address, own: self.own_clock }
    }
}

#[cfg(test)]
impl Target {
    /// Returns a target for tests of what is written about it.
    pub(crate) fn example(probe: &'static str) -> Self {
        Self {
            endpoint: "udp://127.0.0.1:7".to_owned(),
            resolved: "udp://127.0.0.1:7".to_owned(),
            address: "127.0.0.1".to_owned(),
            local: None,
            probe,
            source_port: None,
            dscp: None,
            ecn: None,
            path_mtu: None,
            kernel: KernelTimestamps::default(),
            clock: ClockRelation::Same,
            own_clock: None,
            size: 64,
            interval: Duration::from_micros(200),
            wait: Duration::from_secs(2),
            count: None,
            until_up: false,
            started: 0,
        }
    }
}
