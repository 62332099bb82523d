//! Membership in multicast groups.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::value::SetValue;

/// Membership in an IPv4 multicast group on one interface: `struct ip_mreqn`, ip(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ip_mreqn")]
pub struct Membership {
    /// The group.
    pub group: Ipv4Addr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

impl SetValue for Membership {
    type Bytes = [u8; 12];

    fn encode(&self) -> Option<[u8; 12]> {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.group.octets());
        bytes[8..].copy_from_slice(&self.interface.to_ne_bytes());
        Some(bytes)
    }
}

/// Membership in an IPv6 multicast group on one interface: `struct ipv6_mreq`, ipv6(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ipv6_mreq")]
pub struct Membership6 {
    /// The group.
    pub group: Ipv6Addr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

impl SetValue for Membership6 {
    type Bytes = [u8; 20];

    fn encode(&self) -> Option<[u8; 20]> {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.group.octets());
        bytes[16..].copy_from_slice(&self.interface.to_ne_bytes());
        Some(bytes)
    }
}
