//! Properties of endpoints, for any text.

use echosounder_socket::family::inet::Host;
use echosounder_socket::{Address, Endpoint, IpVersion, Name, Side};

/// Reads the input as the text of an endpoint.
pub(crate) fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let endpoint: Endpoint = match text.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?} prints");
            return;
        }
    };
    let shown = endpoint.to_string();
    assert!(shown.bytes().all(|byte| matches!(byte, b'!'..=b'~')), "{shown:?} prints");
    assert_eq!(shown.parse(), Ok(endpoint.clone()), "a displayed endpoint parses to itself");

    for address in [Side::Server, Side::Client].into_iter().flat_map(|side| addresses(&endpoint, side)) {
        let there = Endpoint::at(endpoint.transport(), &address).expect("an endpoint leads to its addresses");
        assert_eq!(there.to_string().parse(), Ok(there.clone()));
        assert_eq!(addresses(&there, Side::Server), [address], "an endpoint at an address leads there");
    }
}

/// Returns the addresses of an endpoint that needs no lookup.
fn addresses(endpoint: &Endpoint, side: Side) -> Vec<Address> {
    let needs_lookup = match endpoint.name() {
        Name::Inet(Host::Any, _) => side == Side::Client,
        Name::Inet(Host::Name(_), _) => true,
        Name::Inet(Host::V6(_, Some(zone)), _) => !is_index(zone),
        _ => false,
    };
    if needs_lookup {
        return Vec::new();
    }
    endpoint.resolve(side, IpVersion::Any).expect("the endpoint needs no lookup")
}

/// Returns whether a text is an interface index: digits without a sign.
fn is_index(zone: &str) -> bool {
    zone.bytes().all(|byte| byte.is_ascii_digit()) && zone.parse::<u32>().is_ok()
}
