//! The parameters of a lookup besides the name: the IP version and the side.

use std::net::SocketAddr;

/// The IP versions that a host name may resolve to.
///
/// See [`Endpoint`](crate::Endpoint) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl IpVersion {
    pub(crate) fn admits(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// The side on which an endpoint is used. `*` means every address of this host to a server, and
/// this host to a client.
///
/// See [`Endpoint`](crate::Endpoint) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The endpoint is bound.
    Server,
    /// The endpoint is connected to.
    Client,
}
