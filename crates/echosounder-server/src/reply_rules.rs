//! Which datagrams of a server are replied to, and how often: the same for all its sockets.

use std::hash::RandomState;
use std::sync::Arc;

use echosounder_proto::{PlainEcho, ReplyLimits, ReplyMeter};
use echosounder_socket::Address;

use crate::network::Network;

/// The rules of all datagram sockets of a server. Clones share the meter.
#[derive(Clone, Debug)]
pub struct ReplyRules {
    /// Which clients get replies without a timestamp.
    pub(crate) plain_echo: PlainEcho,
    /// Whether echoes over UDP have the DSCP of their requests.
    pub(crate) reflects_dscp: bool,
    trust: Arc<[Network]>,
    pub(crate) meter: Arc<ReplyMeter<RandomState>>,
}

impl ReplyRules {
    /// Creates the rules of a server that treats the hosts in `trust` like its own host.
    pub fn new(plain_echo: PlainEcho, trust: &[Network], limits: ReplyLimits) -> Self {
        let meter = Arc::new(ReplyMeter::new(limits, RandomState::new()));
        Self { plain_echo, reflects_dscp: false, trust: trust.into(), meter }
    }

    pub(crate) fn is_trusted(&self, peer: &Address) -> bool {
        self.trust.iter().any(|network| network.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn hosts_in_the_trusted_networks_are_trusted() {
        let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let rules = ReplyRules::new(PlainEcho::Local, &networks, ReplyLimits::default());
        let is_trusted = |ip: &str| rules.is_trusted(&(ip.parse::<IpAddr>().unwrap(), 4000).into());
        assert!(is_trusted("192.0.2.7") && is_trusted("2001:db8::7"));
        assert!(!is_trusted("192.0.3.7") && !is_trusted("2001:db9::7"));
    }
}
