//! A target of ping as every format describes it.

use std::time::Duration;

use echosounder_client::{ClockRelation, KernelTimestamps, ResolvedTarget};
use echosounder_socket::Address;
use echosounder_socket::internal::kernel::ClockState;

use crate::render::prose::Clocks;

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
    /// What requests are: `echo` or `stamp`.
    pub(crate) probe: &'static str,
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

    /// Returns the facts for a sentence about the clocks.
    pub(crate) fn clocks(&self) -> Clocks<'_> {
        Clocks { peer: &self.address, own: self.own_clock }
    }
}
