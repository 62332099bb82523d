//! Whose failure the error of a socket operation is: the peer's, a missing address family's, or
//! this machine's.

use std::io;

use echosounder_proto::FailureKind;
use echosounder_socket::{
    Address, PeerFailure, PeerOperation, is_connection_lost, is_family_absent, is_forbidden, is_from_icmp,
    is_too_long, is_unreachable,
};

use super::operation::Operation;

/// Whose failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The peer's, or the network's on the way to it.
    Peer(FailureKind),
    /// This machine lacks the address family.
    FamilyAbsent,
    /// This machine's, or the user's.
    Local,
}

/// Returns how the peer failed, or `None` if the operation failed because of this machine.
pub(crate) fn failure_kind(
    operation: Operation,
    error: &io::Error,
    address: &Address,
) -> Option<FailureKind> {
    match classify(operation, error, address) {
        Class::Peer(kind) => Some(kind),
        Class::FamilyAbsent | Class::Local => None,
    }
}

/// Returns whose failure an error is.
///
/// The next operation of a datagram socket also returns errors that ICMP has reported about an
/// earlier datagram: see [`is_about_earlier`](super::earlier::is_about_earlier).
pub(super) fn classify(operation: Operation, error: &io::Error, address: &Address) -> Class {
    match address {
        // A peer cannot make any other operation fail.
        _ if !matches!(operation, Operation::Connect | Operation::Send | Operation::Receive) => Class::Local,
        // To connect includes to create the socket.
        _ if operation == Operation::Connect && is_family_absent(error) => Class::FamilyAbsent,
        Address::Inet(_) | Address::Inet6(_) => classify_ip(operation, error, address),
        address => match address.peer_failure(peer_operation(operation), error) {
            Some(PeerFailure::Refused) => Class::Peer(FailureKind::Refused),
            Some(PeerFailure::Unreachable) => Class::Peer(FailureKind::Unreachable),
            None => classify_any(error),
        },
    }
}

fn peer_operation(operation: Operation) -> PeerOperation {
    if operation == Operation::Connect { PeerOperation::Connect } else { PeerOperation::Transfer }
}

/// Classifies an error at an IP address, where ICMP reports more than other families know.
fn classify_ip(operation: Operation, error: &io::Error, address: &Address) -> Class {
    use Class::{Local, Peer};
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, InvalidInput, WouldBlock};
    match error.kind() {
        // No local port is free: a connection fails with EADDRNOTAVAIL, a datagram socket with
        // EAGAIN.
        AddrNotAvailable | WouldBlock if operation == Operation::Connect => Local,
        // The local address of the socket was removed.
        AddrNotAvailable => Peer(FailureKind::Unreachable),
        // A route of the type "blackhole" drops the packets: ip-route(8).
        InvalidInput if operation != Operation::Receive && !lacks_interface(address) => {
            Peer(FailureKind::Unreachable)
        }
        ConnectionRefused => Peer(FailureKind::Refused),
        // A packet filter of this machine forbids it.
        _ if is_forbidden(error) => Local,
        // A message that is too long to send exceeds this machine's own limit.
        _ if is_too_long(error) && operation != Operation::Receive => Local,
        _ if is_without_route(error) || is_from_icmp(error) => Peer(FailureKind::Unreachable),
        _ => classify_any(error),
    }
}

/// Classifies an error that has the same meaning in every family.
fn classify_any(error: &io::Error) -> Class {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, TimedOut, WouldBlock,
    };
    match error.kind() {
        ConnectionRefused => Class::Peer(FailureKind::Refused),
        // A blocking operation fails with EAGAIN when its timeout is over: socket(7), SO_RCVTIMEO.
        TimedOut | WouldBlock => Class::Peer(FailureKind::Timeout),
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected => Class::Peer(FailureKind::Closed),
        _ if is_connection_lost(error) => Class::Peer(FailureKind::Closed),
        _ => Class::Local,
    }
}

/// Returns whether no route leads to the peer.
fn is_without_route(error: &io::Error) -> bool {
    is_unreachable(error) && error.kind() != io::ErrorKind::AddrNotAvailable
}

/// Returns whether an IPv6 address needs an interface and has none.
fn lacks_interface(address: &Address) -> bool {
    matches!(address, Address::Inet6(address) if address.ip().is_unicast_link_local() && address.scope_id() == 0)
}

/// Returns whether this machine has no local port left for another connection.
pub(super) fn is_out_of_ports(operation: Operation, error: &io::Error, address: &Address) -> bool {
    let kinds = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::AddrInUse, io::ErrorKind::WouldBlock];
    operation == Operation::Connect && address.ip().is_some() && kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

    use echosounder_socket::family::netlink::NetlinkAddress;
    use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
    use echosounder_socket::family::unix::UnixName;
    use echosounder_socket::family::vsock::VsockAddress;

    use super::*;

    /// The class of each error of connect(2), send(2), recv(2), socket(2) and bind(2), on connect,
    /// on send and on receive: `R`efused, `T`imeout, `U`nreachable, `C`losed, `A`bsent, or local,
    /// `.`. The numbers are those of asm-generic/errno.h, which x86-64, aarch64 and riscv64 share.
    #[rustfmt::skip]
    const TABLE: [(&str, i32, [&str; 5]); 45] = [
        //                       host   unix   vsock  tipc   netlink
        ("EPERM",             1, ["...", "RRR", "...", "...", "..."]),
        ("ENOENT",            2, ["...", "RRR", "UUU", "...", "..."]),
        ("EINTR",             4, ["...", "...", "...", "...", "..."]),
        ("EIO",               5, ["...", "...", "...", "...", "..."]),
        ("ENXIO",             6, ["...", "...", "...", "...", "..."]),
        ("EBADF",             9, ["...", "...", "...", "...", "..."]),
        ("EAGAIN",           11, [".TT", "TTT", "TTT", "TTT", "TTT"]),
        ("ENOMEM",           12, ["...", "...", "...", "...", "..."]),
        ("EACCES",           13, ["UUU", "...", "...", "...", "..."]),
        ("EFAULT",           14, ["...", "...", "...", "...", "..."]),
        ("ENODEV",           19, ["...", "...", "UUU", "...", "..."]),
        ("ENOTDIR",          20, ["...", "...", "...", "...", "..."]),
        ("EINVAL",           22, ["UU.", "...", "...", "...", "..."]),
        ("ENFILE",           23, ["...", "...", "...", "...", "..."]),
        ("EMFILE",           24, ["...", "...", "...", "...", "..."]),
        ("EROFS",            30, ["...", "...", "...", "...", "..."]),
        ("EPIPE",            32, ["CCC", "CCC", "CCC", "CCC", "CCC"]),
        ("ENAMETOOLONG",     36, ["...", "...", "...", "...", "..."]),
        ("ENOSYS",           38, ["...", "...", "UUU", "...", "..."]),
        ("ELOOP",            40, ["...", "...", "...", "...", "..."]),
        ("ENONET",           64, ["UUU", "...", "...", "...", "..."]),
        ("EPROTO",           71, ["UUU", "...", "...", "...", "..."]),
        ("ENOTSOCK",         88, ["...", "...", "...", "...", "..."]),
        ("EDESTADDRREQ",     89, ["...", "...", "...", "...", "..."]),
        ("EMSGSIZE",         90, ["..U", "...", "...", "...", "..."]),
        ("EPROTOTYPE",       91, ["...", "...", "...", "...", "..."]),
        ("ENOPROTOOPT",      92, ["UUU", "...", "UUU", "...", "..."]),
        ("EPROTONOSUPPORT",  93, ["A..", "A..", "A..", "A..", "A.."]),
        ("ESOCKTNOSUPPORT",  94, ["A..", "A..", "A..", "A..", "A.."]),
        ("EOPNOTSUPP",       95, ["UUU", "...", "UUU", "...", "..."]),
        ("EAFNOSUPPORT",     97, ["A..", "A..", "A..", "A..", "A.."]),
        ("EADDRINUSE",       98, ["...", "...", "...", "...", "..."]),
        ("EADDRNOTAVAIL",    99, [".UU", "...", "...", "...", "..."]),
        ("ENETDOWN",        100, ["UUU", "...", "UUU", "UUU", "..."]),
        ("ENETUNREACH",     101, ["UUU", "...", "UUU", "UUU", "..."]),
        ("ENETRESET",       102, ["CCC", "CCC", "CCC", "CCC", "CCC"]),
        ("ECONNABORTED",    103, ["CCC", "CCC", "CCC", "CCC", "CCC"]),
        ("ECONNRESET",      104, ["CCC", "CCC", "RCC", "CCC", "CCC"]),
        ("ENOBUFS",         105, ["...", "...", "...", "...", "..."]),
        ("EISCONN",         106, ["...", "...", "...", "...", "..."]),
        ("ENOTCONN",        107, ["CCC", "CCC", "CCC", "CCC", "CCC"]),
        ("ESHUTDOWN",       108, ["CCC", "CCC", "CCC", "CCC", "CCC"]),
        ("ETIMEDOUT",       110, ["TTT", "TTT", "TTT", "TTT", "TTT"]),
        ("ECONNREFUSED",    111, ["RRR", "RRR", "RRR", "RRR", "RRR"]),
        ("EHOSTDOWN",       112, ["UUU", "...", "UUU", "UUU", "..."]),
    ];

    /// Errors with higher numbers, and errors that do not concern a peer.
    const MORE: [(&str, i32, [&str; 5]); 4] = [
        ("EHOSTUNREACH", 113, ["UUU", "...", "UUU", "RRR", "..."]),
        ("EALREADY", 114, ["...", "...", "...", "...", "..."]),
        ("EINPROGRESS", 115, ["...", "...", "...", "...", "..."]),
        ("EREMOTEIO", 121, ["UUU", "...", "...", "...", "..."]),
    ];

    fn host() -> Address {
        (Ipv4Addr::LOCALHOST, 7).into()
    }

    fn link_local(interface: u32) -> Address {
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 7, 0, interface)).into()
    }

    fn of(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    fn letter(class: Class) -> char {
        match class {
            Class::Peer(FailureKind::Refused) => 'R',
            Class::Peer(FailureKind::Timeout) => 'T',
            Class::Peer(FailureKind::Unreachable) => 'U',
            Class::Peer(FailureKind::Closed) => 'C',
            Class::Peer(FailureKind::Dns) => 'D',
            Class::FamilyAbsent => 'A',
            Class::Local => '.',
        }
    }

    #[test]
    fn error_of_each_operation_has_its_class() {
        let tipc = TipcAddress::Service { service: 1, instance: 1, scope: TipcScope::Node, domain: 0 };
        let addresses = [
            host(),
            UnixName::Path(b"/run/x"[..].into()).into(),
            VsockAddress { cid: VsockAddress::CID_LOCAL, port: 7 }.into(),
            tipc.into(),
            NetlinkAddress::default().into(),
        ];
        for (name, errno, classes) in TABLE.iter().chain(&MORE) {
            let found = addresses.each_ref().map(|address| {
                let letters = [Operation::Connect, Operation::Send, Operation::Receive]
                    .map(|operation| classify(operation, &of(*errno), address));
                String::from_iter(letters.map(letter))
            });
            assert_eq!(found.each_ref().map(String::as_str), *classes, "{name}");
        }
        // IPv6 is a host like IPv4.
        let v6 = (Ipv6Addr::LOCALHOST, 7).into();
        for (name, errno, _) in TABLE.iter().chain(&MORE) {
            for operation in [Operation::Connect, Operation::Send, Operation::Receive] {
                let [v4, v6] = [&host(), &v6].map(|address| classify(operation, &of(*errno), address));
                assert_eq!(v4, v6, "{name} {operation:?}");
            }
        }
    }

    #[test]
    fn failure_of_a_local_operation_is_local() {
        for operation in [Operation::Wait, Operation::Prepare, Operation::Bind, Operation::ShutDown] {
            for errno in 1..134 {
                assert_eq!(classify(operation, &of(errno), &host()), Class::Local, "{operation:?}: {errno}");
            }
        }
    }

    #[test]
    fn link_local_address_without_interface_is_a_local_failure() {
        assert_eq!(classify(Operation::Connect, &of(22), &link_local(0)), Class::Local);
        assert_eq!(
            classify(Operation::Connect, &of(22), &link_local(1)),
            Class::Peer(FailureKind::Unreachable)
        );
    }
}
