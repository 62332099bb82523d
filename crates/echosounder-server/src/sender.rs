//! Who sent a datagram, and whether it was sent to this socket alone.

use echosounder_proto::{Sender, Source, SourcePrefix};
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::Received;
use echosounder_socket::{Address, Locality};

/// The first port that is not reserved for services: IPPORT_RESERVED, ip(7).
const FIRST_UNRESERVED_PORT: u16 = 1024;

/// Returns whether a datagram was sent to several sockets, by multicast, broadcast or a range of
/// services.
pub(crate) fn is_to_group(received: &Received, peer: &Address) -> bool {
    let is_range = |to| matches!(to, TipcAddress::Range { lower, upper, .. } if lower != upper);
    received.packet_info.is_some_and(|info| info.is_to_group())
        || received.tipc_destination.is_some_and(is_range)
        || matches!(peer, Address::Netlink(address) if address.groups != 0)
}

/// Returns the source of a datagram, on which the limits of replies depend. The kernel vouches for
/// the senders on this host of all families but IP.
pub(crate) fn source(peer: &Address, sender: Sender) -> Source {
    match (sender, peer.ip(), peer) {
        (Sender::Local, None, _) => Source::Verified,
        (Sender::Local, Some(_), _) => Source::Trusted,
        (_, Some(ip), _) => Source::Remote { prefix: ip.into(), port: peer.port().unwrap_or(0) },
        (_, None, Address::Tipc(TipcAddress::Socket { node, .. })) => {
            Source::Remote { prefix: SourcePrefix::node(*node), port: 0 }
        }
        _ => Source::Remote { prefix: SourcePrefix::node(0), port: 0 },
    }
}

/// Classifies the sender of a datagram by its source address and the address `local` that it was
/// sent to. The kernel must have dropped those that claim an address of this host and came from
/// another: [`own_address`](crate::own_address).
pub(crate) fn classify(peer: &Address, local: &Address) -> Sender {
    let port = peer.port();
    match peer {
        Address::Unix(UnixName::Unnamed) | Address::Unspecified => Sender::Nameless,
        Address::Netlink(address) if address.port_id == 0 => Sender::Kernel,
        _ if peer == local => Sender::Own,
        // Nothing can be sent to port 0 or to the wildcard address.
        _ if port == Some(0) || peer.is_wildcard() => Sender::Nameless,
        _ if port.is_some_and(|port| port < FIRST_UNRESERVED_PORT) => Sender::Service,
        _ => match peer.locality(Some(local)) {
            Locality::ThisHost => Sender::Local,
            Locality::OtherHost | Locality::Unknown => Sender::Remote,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use echosounder_socket::family::netlink::NetlinkAddress;

    use super::*;

    #[test]
    fn addresses_classify_senders() {
        let inet = |ip: [u8; 4], port| Address::from((Ipv4Addr::from(ip), port));
        let netlink = |port_id| Address::from(NetlinkAddress { port_id, groups: 0 });
        let tipc = |node, reference| Address::from(TipcAddress::Socket { node, reference });
        let unix = |name: &[u8]| Address::from(UnixName::Abstract(name.into()));
        for (peer, local, sender) in [
            (netlink(0), netlink(7), Sender::Kernel),
            (netlink(7), netlink(7), Sender::Own),
            (netlink(8), netlink(7), Sender::Local),
            (tipc(0, 1), tipc(0, 1), Sender::Own),
            (tipc(5, 1), tipc(5, 2), Sender::Local),
            (tipc(6, 1), tipc(5, 2), Sender::Remote),
            (UnixName::Unnamed.into(), unix(b"s"), Sender::Nameless),
            (Address::Unspecified, inet([127, 0, 0, 1], 3000), Sender::Nameless),
            (unix(b"s"), unix(b"s"), Sender::Own),
            (unix(b"c"), unix(b"s"), Sender::Local),
            (inet([127, 0, 0, 1], 2000), inet([127, 0, 0, 1], 3000), Sender::Local),
            (inet([192, 0, 2, 1], 2000), inet([192, 0, 2, 1], 3000), Sender::Local),
            (inet([192, 0, 2, 2], 2000), inet([192, 0, 2, 1], 3000), Sender::Remote),
            (inet([192, 0, 2, 2], 19), inet([192, 0, 2, 1], 3000), Sender::Service),
            (inet([192, 0, 2, 2], 1023), inet([192, 0, 2, 1], 3000), Sender::Service),
            (inet([192, 0, 2, 2], 1024), inet([192, 0, 2, 1], 3000), Sender::Remote),
            (inet([0, 0, 0, 0], 2000), inet([192, 0, 2, 1], 3000), Sender::Nameless),
            (inet([192, 0, 2, 2], 0), inet([192, 0, 2, 1], 3000), Sender::Nameless),
        ] {
            assert_eq!(classify(&peer, &local), sender, "{peer} at {local}");
        }
    }

    #[test]
    fn sources_have_the_limits_of_their_network() {
        let inet = |ip: [u8; 4]| Address::from((Ipv4Addr::from(ip), 2000));
        let tipc = |node| Address::from(TipcAddress::Socket { node, reference: 1 });
        let remote = |prefix, port| Source::Remote { prefix, port };
        let ip_prefix = SourcePrefix::from(std::net::IpAddr::from([192, 0, 2, 77]));
        for (peer, sender, expected) in [
            (inet([192, 0, 2, 1]), Sender::Remote, remote(ip_prefix, 2000)),
            (inet([192, 0, 2, 1]), Sender::Local, Source::Trusted),
            (tipc(6), Sender::Remote, remote(SourcePrefix::node(6), 0)),
            (tipc(6), Sender::Local, Source::Verified),
            (UnixName::Abstract(b"c"[..].into()).into(), Sender::Local, Source::Verified),
        ] {
            assert_eq!(source(&peer, sender), expected, "{peer}");
        }
    }

    #[test]
    fn datagrams_to_groups_are_recognised() {
        let to = |lower, upper| Received {
            tipc_destination: Some(TipcAddress::Range {
                service: 70,
                lower,
                upper,
                scope: Default::default(),
            }),
            ..Received::default()
        };
        let peer = Address::from(TipcAddress::Socket { node: 0, reference: 1 });
        assert!(is_to_group(&to(1, 2), &peer));
        assert!(!is_to_group(&to(1, 1), &peer));
        assert!(is_to_group(&Received::default(), &NetlinkAddress { port_id: 7, groups: 2 }.into()));
        assert!(!is_to_group(&Received::default(), &NetlinkAddress { port_id: 7, groups: 0 }.into()));
    }
}
