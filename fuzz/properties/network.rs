//! Properties of IP networks, for any text and any address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use echosounder_server::Network;
use echosounder_server::socket::Address;

use super::script::Script;

/// Reads the input as a script: an address, and the text of a network.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let is_ipv6 = script.byte() % 2 == 1;
    let bits = script.bytes(16).iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    let ip = match u32::try_from(bits) {
        Ok(bits) if !is_ipv6 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    };
    let single = Network::from(ip);
    assert!(contains(single, ip));
    assert_eq!(single.to_string().parse(), Ok(single), "the network of one address parses to itself");

    let Ok(text) = str::from_utf8(script.0) else { return };
    match text.parse::<Network>() {
        Ok(network) => check(network, ip),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?} prints");
        }
    }
}

fn check(network: Network, ip: IpAddr) {
    let shown = network.to_string();
    assert_eq!(shown.parse(), Ok(network), "a displayed network parses to itself");
    let (address, prefix) = match shown.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().expect("the length of a prefix"))),
        None => (shown.as_str(), None),
    };
    let address: IpAddr = address.parse().expect("an address");
    assert!(contains(network, address), "a network contains its first address");
    let ip = ip.to_canonical();
    let agrees = match (address, ip) {
        (IpAddr::V4(address), IpAddr::V4(ip)) => {
            same_bits(address.to_bits().into(), ip.to_bits().into(), 32 - prefix.unwrap_or(32))
        }
        (IpAddr::V6(address), IpAddr::V6(ip)) => {
            same_bits(address.to_bits(), ip.to_bits(), 128 - prefix.unwrap_or(128))
        }
        _ => false,
    };
    assert_eq!(contains(network, ip), agrees, "{ip} and {network}");
}

fn contains(network: Network, ip: IpAddr) -> bool {
    network.contains(&Address::from((ip, 4000)))
}

/// Returns whether two addresses agree in all bits but the last ones.
fn same_bits(a: u128, b: u128, last: u32) -> bool {
    a.checked_shr(last).unwrap_or(0) == b.checked_shr(last).unwrap_or(0)
}
