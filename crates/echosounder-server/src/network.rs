//! IP networks, which lists of clients consist of.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use echosounder_socket::Address;
use ipnet::{IpNet, Ipv4Net};

/// An IP network, or a single IP address: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`.
///
/// An IPv4 address that is mapped into IPv6, such as `::ffff:192.0.2.1`, counts as IPv4 (RFC 4291
/// section 2.5.5.2), because that is how an IPv6 socket shows a client of IPv4: ipv6(7).
///
/// ```
/// use std::net::Ipv4Addr;
/// use echosounder_server::Network;
/// use echosounder_server::socket::Address;
///
/// let network: Network = "192.0.2.0/24".parse()?;
/// assert!(network.contains(&Address::from((Ipv4Addr::new(192, 0, 2, 77), 4000))));
/// assert_eq!(network.to_string(), "192.0.2.0/24");
/// assert!("192.0.2.1/24".parse::<Network>().is_err());
/// # Ok::<(), echosounder_server::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// Why a text is not a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The text is neither an IP address nor an IP address and the length of a prefix.
    #[error("{0:?} is not an IP network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1")]
    Syntax(String),
    /// The address has bits beyond the prefix, so one of the two is probably a slip.
    #[error("{text:?} has address bits beyond its prefix; the network is {network}")]
    HostBits {
        /// The text.
        text: String,
        /// The network of the prefix.
        network: Network,
    },
}

impl Network {
    /// Returns whether the IP address of `address` lies in the network. An address without an IP
    /// address lies in none.
    pub fn contains(&self, address: &Address) -> bool {
        address.ip().is_some_and(|ip| self.contains_ip(ip))
    }

    fn contains_ip(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

/// Parses `ADDRESS` or `ADDRESS/PREFIX`.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parsed = match text.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address)),
            Err(_) => text.parse().ok(),
        };
        let written = parsed.ok_or_else(|| NetworkError::Syntax(text.into()))?;
        let network = Self(unmapped(written.trunc()));
        if written.addr() != written.network() {
            return Err(NetworkError::HostBits { text: text.into(), network });
        }
        Ok(network)
    }
}

/// Returns a network of mapped IPv4 addresses as an IPv4 network.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED_PREFIX: u8 = 96;
    let mapped = match network {
        IpNet::V6(network) => {
            network.addr().to_ipv4_mapped().zip(network.prefix_len().checked_sub(MAPPED_PREFIX))
        }
        IpNet::V4(_) => None,
    };
    let unmapped = mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    unmapped.map_or(network, IpNet::V4)
}

/// Writes the network as [`FromStr`] reads it, and a single address without its prefix.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// The network of one address.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

#[cfg(test)]
mod tests {
    use echosounder_socket::family::unix::UnixName;
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn contains(text: &str, ip: &str) -> bool {
        network(text).contains(&Address::from((ip.parse::<IpAddr>().unwrap(), 4000)))
    }

    #[test]
    fn a_network_contains_the_addresses_of_its_prefix() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            assert!(contains(text, inside) && !contains(text, outside), "{text}");
        }
        assert!(!network("0.0.0.0/0").contains(&UnixName::Unnamed.into()));
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.9"));
        assert!(!contains("::/0", "::ffff:192.0.2.9"));
        assert!(contains("::ffff:192.0.2.0/120", "192.0.2.9"));
        assert_eq!(network("::ffff:192.0.2.0/120").to_string(), "192.0.2.0/24");
        assert_eq!(Network::from("::ffff:192.0.2.1".parse::<IpAddr>().unwrap()), network("192.0.2.1"));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let error = |text: &str| text.parse::<Network>().unwrap_err().to_string();
        assert_eq!(
            error("10.1.2.3/8"),
            "\"10.1.2.3/8\" has address bits beyond its prefix; the network is 10.0.0.0/8"
        );
        for text in
            ["", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "localhost", "10.0.0.0/08x"]
        {
            assert_eq!(
                error(text),
                format!("{text:?} is not an IP network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1")
            );
        }
    }

    proptest! {
        #[test]
        fn texts_and_networks_are_inverse(v4: u32, v6: u128, is_ipv6: bool, prefix in 0..=128_u8) {
            let net = match is_ipv6 {
                true => IpNet::new(IpAddr::V6(v6.into()), prefix),
                false => IpNet::new(IpAddr::V4(v4.into()), prefix % 33),
            };
            let net = Network(unmapped(net.unwrap().trunc()));
            prop_assert_eq!(net.to_string().parse(), Ok(net));
        }
    }
}
