//! Hints for operations on sockets that this machine could not carry out.

use std::io;

use echosounder_client::ClientError;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Error, is_forbidden, is_other_type, is_too_long};

/// The first port that any user may bind, unless net.ipv4.ip_unprivileged_port_start says
/// otherwise: ip(7), vsock(7).
const UNPRIVILEGED_PORT: u32 = 1024;

/// Returns a hint for a server that could not bind an address.
pub(crate) fn bind_error(error: &Error) -> Option<&'static str> {
    if error.cause().kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let port = match error.address()? {
        Address::Unix(UnixName::Path(_)) => return Some("a path requires write permission for its folder"),
        Address::Vsock(address) => address.port,
        address => address.port()?.into(),
    };
    match port {
        862 => Some("port 862 requires CAP_NET_BIND_SERVICE; a higher port does not, such as stamp://:20862"),
        1..UNPRIVILEGED_PORT => Some("ports below 1024 require CAP_NET_BIND_SERVICE"),
        _ => None,
    }
}

/// Returns a hint for a client that failed because of this machine.
pub(crate) fn client_error(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Local(error) => local_error(error),
        ClientError::AllAddresses(failures) => failures.iter().find_map(client_error),
        _ => None,
    }
}

/// Returns a hint for connections that are closed soon after they are made, without a reset, if no
/// local port is left for another one.
pub(crate) fn ports_in_time_wait(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Local(error) if is_out_of_ports(error) => Some(
            "--reset makes the port of a closed connection free at once; or widen the range of local ports: \
             sysctl net.ipv4.ip_local_port_range",
        ),
        ClientError::AllAddresses(failures) => failures.iter().find_map(ports_in_time_wait),
        _ => None,
    }
}

/// Returns whether no local port was free. That error is not the kernel's, which is ambiguous.
fn is_out_of_ports(error: &Error) -> bool {
    let cause = error.cause();
    cause.kind() == io::ErrorKind::AddrNotAvailable && cause.raw_os_error().is_none()
}

fn local_error(error: &Error) -> Option<&'static str> {
    let cause = error.cause();
    if is_out_of_ports(error) {
        return Some(
            "use fewer connections, or widen the range of local ports: sysctl net.ipv4.ip_local_port_range",
        );
    }
    if !matches!(error.operation(), "connect to" | "send to" | "receive from") {
        return None;
    }
    match error.address()? {
        address if address.ip().is_some() && is_forbidden(cause) => {
            Some("a packet filter of this machine forbids it, or its connection tracking table is full")
        }
        Address::Inet6(address)
            if address.ip().is_unicast_link_local()
                && address.scope_id() == 0
                && cause.kind() == io::ErrorKind::InvalidInput =>
        {
            Some("a link-local address requires its interface, as in [fe80::1%eth0]")
        }
        address
            if address.ip().is_some()
                && error.operation() == "connect to"
                && cause.kind() == io::ErrorKind::InvalidInput =>
        {
            Some("the source address cannot be used on the route to this peer")
        }
        Address::Unix(_) if is_other_type(cause) => {
            Some("the socket at this path has another type: try unix:, unix-dgram: or unix-seqpacket:")
        }
        address if is_too_long(cause) => Some(message_limit(address)),
        _ => None,
    }
}

/// Returns the limit that a message exceeds if send(2) fails with EMSGSIZE.
fn message_limit(address: &Address) -> &'static str {
    match address {
        Address::Inet(_) => "a UDP message over IPv4 has at most 65,507 bytes",
        Address::Inet6(_) => "a UDP message over IPv6 has at most 65,527 bytes",
        Address::Tipc(_) => "a TIPC message has at most 66,000 bytes",
        Address::Unix(_) | Address::Netlink(_) => {
            "a message must fit into the send buffer: sysctl net.core.wmem_default"
        }
        _ => "a message must fit into the send buffer",
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn errors_of_this_machine_are_explained() {
        // EPERM is 1, EINVAL 22, EMSGSIZE 90.
        let client = |operation, address: &str, errno| {
            let address = Address::from(address.parse::<SocketAddr>().unwrap());
            let error = Error::new(operation, &"x", io::Error::from_raw_os_error(errno));
            client_error(&ClientError::Local(error.with_address(&address))).unwrap_or_default()
        };
        assert!(client("send to", "127.0.0.1:7", 90).contains("65,507"));
        assert!(client("send to", "[::1]:7", 90).contains("65,527"));
        assert!(client("send to", "127.0.0.1:7", 1).contains("filter"));
        assert!(client("connect to", "[fe80::1]:7", 22).contains('%'));
        assert!(client("connect to", "192.0.2.1:7", 22).contains("source"));
        assert_eq!(client("wait for", "127.0.0.1:7", 1), "");
        let no_port = io::Error::new(io::ErrorKind::AddrNotAvailable, "no local port is free");
        let error = ClientError::Local(Error::new("connect to", &"x", no_port));
        assert!(client_error(&error).unwrap().contains("ip_local_port_range"));
        let hint = ports_in_time_wait(&ClientError::AllAddresses(vec![error])).unwrap();
        assert!(hint.contains("--reset") && hint.contains("ip_local_port_range"), "{hint}");
        let by_kernel = Error::new("connect to", &"x", io::Error::from_raw_os_error(99));
        assert_eq!(ports_in_time_wait(&ClientError::Local(by_kernel)), None);
    }
}
