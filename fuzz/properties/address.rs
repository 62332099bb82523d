//! Properties of addresses, for any bytes that the kernel might return.

use echosounder_socket::family::unix::{ABSTRACT_MAX, PATH_MAX, UnixName};
use echosounder_socket::{Address, Endpoint, IpVersion, RawAddress, Side, Transport};

/// Reads the input as a `sockaddr`.
pub(crate) fn holds(input: &[u8]) {
    let address = Address::from(&RawAddress::from_bytes(input));
    let Ok(raw) = RawAddress::try_from(&address) else {
        // Longer than any address of the kernel.
        let too_long = match &address {
            Address::Unix(UnixName::Path(path)) => PATH_MAX < path.len(),
            Address::Unix(UnixName::Abstract(name)) => ABSTRACT_MAX < name.len(),
            _ => false,
        };
        return assert!(too_long, "{address:?}");
    };
    assert_eq!(Address::from(&raw), address, "a decoded address is encoded and decoded again");
    if let Address::Other(bytes) = &address {
        assert_eq!(raw.as_bytes(), &**bytes, "unknown families keep their bytes");
        assert!(input.starts_with(bytes));
    }
    if let Some(family) = input.first_chunk() {
        assert_eq!(address.family().0, i32::from(u16::from_ne_bytes(*family)));
    }
    for shown in [address.to_string(), format!("{raw:?}")] {
        assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{shown:?} prints");
    }

    assert_eq!(address.port().is_some(), address.ip().is_some());
    if let Some(port) = address.port() {
        assert_eq!(address.clone().with_port(port ^ 1).port(), Some(port ^ 1));
        assert_eq!(address.clone().with_port(port ^ 1).with_port(port), address);
    }

    for transport in Transport::all() {
        assert!(!Endpoint::display(transport, &address).is_empty());
        let Ok(endpoint) = Endpoint::at(transport, &address) else { continue };
        assert_eq!(
            endpoint.to_string().parse(),
            Ok(endpoint.clone()),
            "a displayed endpoint parses to itself"
        );
        let addresses = endpoint.resolve(Side::Server, IpVersion::Any).expect("an address needs no lookup");
        assert_eq!(addresses, [without_flow(address.clone())], "an endpoint at an address leads there");
    }
}

/// An endpoint does not contain the flow label of an IPv6 address, which belongs to a connection.
fn without_flow(mut address: Address) -> Address {
    if let Address::Inet6(address) = &mut address {
        address.set_flowinfo(0);
    }
    address
}
