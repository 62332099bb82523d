//! Which clients the server serves: lists of networks and of users.

use echosounder_socket::Address;

use crate::network::Network;

/// Which clients may connect and send datagrams. The default allows all.
///
/// Networks apply to clients with an IP address, users to clients of UNIX sockets. Clients of other
/// families are always allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    allowed: Vec<Network>,
    denied: Vec<Network>,
    users: Vec<u32>,
}

impl Access {
    /// Creates the rules. If there is an allowed network, all others are denied; likewise with
    /// users. A denied network takes precedence.
    pub fn new(allowed: Vec<Network>, denied: Vec<Network>, users: Vec<u32>) -> Self {
        Self { allowed, denied, users }
    }

    /// Returns whether every client is allowed.
    pub(crate) fn allows_all(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty() && self.users.is_empty()
    }

    /// Returns whether a client is allowed. `user` is the user of a UNIX socket, if it is known.
    pub(crate) fn allows(&self, peer: &Address, user: Option<u32>) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(peer));
        match peer {
            Address::Unix(_) => self.users.is_empty() || user.is_some_and(|user| self.users.contains(&user)),
            _ if peer.ip().is_none() => true,
            _ => !is_in(&self.denied) && (self.allowed.is_empty() || is_in(&self.allowed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use echosounder_socket::family::unix::UnixName;
    use echosounder_socket::family::vsock::VsockAddress;

    use super::*;

    fn access(allowed: &[&str], denied: &[&str], users: &[u32]) -> Access {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Access::new(networks(allowed), networks(denied), users.into())
    }

    fn allows(access: &Access, ip: &str) -> bool {
        access.allows(&Address::from((ip.parse::<IpAddr>().unwrap(), 4000)), None)
    }

    #[test]
    fn a_denied_network_takes_precedence_and_an_allowed_one_excludes_the_others() {
        let denies = access(&[], &["10.0.0.0/8", "2001:db8::/32"], &[]);
        let allows_some = access(&["10.0.0.0/8", "::1"], &["10.1.0.0/16"], &[]);
        for (ip, without_rules, with_denied, with_both) in [
            ("10.0.0.1", true, false, true),
            ("10.1.0.1", true, false, false),
            ("::ffff:10.1.0.1", true, false, false),
            ("127.0.0.1", true, true, false),
            ("::1", true, true, true),
            ("2001:db8::1", true, false, false),
        ] {
            assert_eq!(allows(&Access::default(), ip), without_rules, "{ip}");
            assert_eq!(allows(&denies, ip), with_denied, "{ip}");
            assert_eq!(allows(&allows_some, ip), with_both, "{ip}");
        }
    }

    #[test]
    fn networks_concern_ip_and_users_concern_unix_sockets() {
        let unix = Address::from(UnixName::Unnamed);
        let vsock = Address::from(VsockAddress { cid: 7, port: 1 });
        assert!(Access::default().allows_all());
        let networks = access(&["10.0.0.0/8"], &["0.0.0.0/0"], &[]);
        assert!(networks.allows(&unix, None) && networks.allows(&vsock, None) && !networks.allows_all());
        let users = access(&[], &[], &[7, 8]);
        assert!(users.allows(&unix, Some(8)) && !users.allows(&unix, Some(0)) && !users.allows(&unix, None));
        assert!(allows(&users, "10.0.0.1") && users.allows(&vsock, None) && !users.allows_all());
    }
}
