//! How a call fails: by the peer, in one of five words, or by this machine.

use std::fmt;
use std::io;

use echosounder_proto::FailureKind;
use echosounder_socket::{
    Address, Error, Kind, PeerFailure, PeerOperation, is_connection_lost, is_family_absent, is_forbidden,
    is_from_icmp, is_too_long, is_unreachable,
};

/// How many of a name's failures an error names; the others are counted.
const NAMED_MAX: usize = 3;

/// Returns how the peer failed, or `None` if this machine is the reason why the operation failed.
pub(crate) fn failure_kind(operation: &str, error: &io::Error, address: &Address) -> Option<FailureKind> {
    match class(operation, error, address) {
        Class::Peer(kind) => Some(kind),
        Class::Absent | Class::Local => None,
    }
}

/// Why somebody could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The peer failed.
    #[error("{0}")]
    Peer(FailureKind, #[source] Error),
    /// Every address of a name failed, each in its way.
    #[error("{}", sentences(.0))]
    Everywhere(Vec<Self>),
    /// Somebody wanted it to end.
    #[error("interrupted")]
    Interrupted,
    /// This machine does not have the address family.
    #[error(transparent)]
    Absent(Error),
    /// This machine does not allow it, or has run out of something.
    #[error(transparent)]
    Local(Error),
}

impl ClientError {
    /// Says whose fault a failed operation on `object` is.
    pub(crate) fn of(
        operation: &'static str,
        object: &dyn fmt::Display,
        address: &Address,
        cause: io::Error,
    ) -> Self {
        let class = class(operation, &cause, address);
        if matches!(class, Class::Local) && is_out_of_ports(operation, &cause, address) {
            return Self::no_port(operation, object);
        }
        let error = Error::new(operation, object, reason(class, cause)).with_address(address);
        match class {
            Class::Peer(word) => Self::Peer(word, error),
            Class::Absent => Self::Absent(error),
            Class::Local => Self::Local(error),
        }
    }

    /// This machine has no local port for another connection.
    pub(crate) fn no_port(operation: &'static str, object: &dyn fmt::Display) -> Self {
        let cause = io::Error::new(io::ErrorKind::AddrNotAvailable, "no local port is free");
        Self::Local(Error::new(operation, object, cause))
    }

    /// All of these failures: one of them if there is only one.
    pub(crate) fn all(mut failures: Vec<Self>) -> Self {
        failures.dedup_by_key(|failure| sentence(failure));
        match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                Self::Everywhere(failures)
            }
        }
    }

    /// Nothing rx_times in time.
    pub(crate) fn timeout(operation: &'static str, object: &dyn fmt::Display) -> Self {
        Self::Peer(FailureKind::Timeout, Error::new(operation, object, io::ErrorKind::TimedOut.into()))
    }

    /// How the peer failed, if it was the peer. If this machine failed at one of a name's addresses, nothing is known of
    /// the peer.
    pub fn word(&self) -> Option<FailureKind> {
        match self {
            Self::Peer(word, _) => Some(*word),
            Self::Everywhere(failures) if failures.iter().any(Self::is_local) => None,
            // The last is what was left when all others had failed.
            Self::Everywhere(failures) => failures.iter().rev().find_map(Self::word),
            Self::Absent(_) | Self::Local(_) | Self::Interrupted => None,
        }
    }

    /// Whether it failed because this machine does not have the address family.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Absent(_) => true,
            Self::Everywhere(failures) => !failures.is_empty() && failures.iter().all(Self::is_absent),
            Self::Peer(..) | Self::Interrupted | Self::Local(_) => false,
        }
    }

    /// Whether this machine failed.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Everywhere(failures) => failures.iter().any(Self::is_local),
            Self::Peer(..) | Self::Interrupted | Self::Absent(_) => false,
        }
    }
}

/// The first failures with their causes, and how many more there are.
fn sentences(failures: &[ClientError]) -> String {
    let named: Vec<String> = failures.iter().take(NAMED_MAX).map(sentence).collect();
    match failures.len().saturating_sub(NAMED_MAX) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}

fn sentence(failure: &ClientError) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The operations in which a peer takes part. All others are this machine's own.
const CONNECT: &str = "connect to";
const SEND: &str = "send to";
const RECEIVE: &str = "receive from";

/// Whose failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The peer's, or the network's on the way there.
    Peer(FailureKind),
    /// This machine does not have the address family.
    Absent,
    /// This machine's, or the user's.
    Local,
}

/// Says whose failure an error is: the one table of operations, errors and kinds of address.
///
/// A datagram socket returns from its next operation also what ICMP reported about an earlier packet; see
/// [`is_about_earlier`] and [`send_twice`].
fn class(operation: &str, error: &io::Error, address: &Address) -> Class {
    use Class::{Absent, Local, Peer};
    match address {
        _ if !matches!(operation, CONNECT | SEND | RECEIVE) => Local,
        // Making the socket is a part of connecting.
        _ if operation == CONNECT && is_family_absent(error) => Absent,
        Address::Inet(_) | Address::Inet6(_) => class_of_host(operation, error, address),
        address => match address.peer_failure(peer_operation(operation), error) {
            Some(PeerFailure::Refused) => Peer(FailureKind::Refused),
            Some(PeerFailure::Unreachable) => Peer(FailureKind::Unreachable),
            None => class_of_any(error),
        },
    }
}

fn peer_operation(operation: &str) -> PeerOperation {
    if operation == CONNECT { PeerOperation::Connect } else { PeerOperation::Transfer }
}

/// The same for hosts, of which ICMP reports more.
fn class_of_host(operation: &str, error: &io::Error, address: &Address) -> Class {
    use Class::{Local, Peer};
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, InvalidInput, WouldBlock};
    match error.kind() {
        // There is no local port: a connection says EADDRNOTAVAIL, a datagram socket EAGAIN.
        AddrNotAvailable | WouldBlock if operation == CONNECT => Local,
        // The address that it had is gone.
        AddrNotAvailable => Peer(FailureKind::Unreachable),
        // A route of the type "blackhole" drops what is sent (ip-route(8)).
        InvalidInput if operation != RECEIVE && !lacks_interface(address) => Peer(FailureKind::Unreachable),
        ConnectionRefused => Peer(FailureKind::Refused),
        // A packet filter of this machine forbids it.
        _ if is_forbidden(error) => Local,
        // What is too long when it is sent exceeds this machine's own limit.
        _ if is_too_long(error) && operation != RECEIVE => Local,
        _ if has_no_way(error) || is_from_icmp(error) => Peer(FailureKind::Unreachable),
        _ => class_of_any(error),
    }
}

/// Errors that mean the same whatever the address is.
fn class_of_any(error: &io::Error) -> Class {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, TimedOut, WouldBlock,
    };
    match error.kind() {
        ConnectionRefused => Class::Peer(FailureKind::Refused),
        // A blocking operation says EAGAIN when its time is up: socket(7), SO_RCVTIMEO.
        TimedOut | WouldBlock => Class::Peer(FailureKind::Timeout),
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected => Class::Peer(FailureKind::Closed),
        _ if is_connection_lost(error) => Class::Peer(FailureKind::Closed),
        _ => Class::Local,
    }
}

/// Whether there is no way to the peer.
fn has_no_way(error: &io::Error) -> bool {
    is_unreachable(error) && error.kind() != io::ErrorKind::AddrNotAvailable
}

/// Whether an IPv6 address needs the interface that it is on, and has none.
fn lacks_interface(address: &Address) -> bool {
    matches!(address, Address::Inet6(address) if address.ip().is_unicast_link_local() && address.scope_id() == 0)
}

/// Whether this machine has no local port left for another connection.
fn is_out_of_ports(operation: &str, error: &io::Error, address: &Address) -> bool {
    let kinds = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::AddrInUse, io::ErrorKind::WouldBlock];
    operation == CONNECT && address.ip().is_some() && kinds.contains(&error.kind())
}

/// The kernel's reason, or ours where its says nothing.
fn reason(class: Class, cause: io::Error) -> io::Error {
    match (class, cause.kind()) {
        (Class::Peer(FailureKind::Unreachable), kind @ io::ErrorKind::InvalidInput) => {
            io::Error::new(kind, "a route discards what is sent there (blackhole)")
        }
        _ => cause,
    }
}

/// Whether what a receive on a connected datagram socket returned is about a packet that was sent earlier, and says
/// nothing of the next: what ICMP reported, or messages that this socket had no buffer space for (netlink(7)). It is to
/// be counted, and never ends anything: anybody who knows the port can forge it.
pub(crate) fn is_about_earlier(kind: Kind, error: &io::Error) -> bool {
    kind == Kind::Datagrams && (is_from_icmp(error) || error.kind() == io::ErrorKind::ConnectionReset)
}

/// Sends on a connected socket. The first error of a datagram socket may be about an earlier packet; only the second
/// is this message's own. The earlier error is returned beside.
pub(crate) fn send_twice<T>(
    kind: Kind,
    mut send: impl FnMut() -> io::Result<T>,
) -> (io::Result<T>, Option<io::Error>) {
    match send() {
        Err(earlier) if is_about_earlier(kind, &earlier) => (send(), Some(earlier)),
        result => (result, None),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

    use echosounder_socket::family::netlink::NetlinkAddress;
    use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
    use echosounder_socket::family::unix::UnixName;
    use echosounder_socket::family::vsock::VsockAddress;

    use super::*;

    /// Whose failure each error of connect(2), send(2), recv(2), socket(2) and bind(2) is, on connect, on send and on
    /// receive: `R`efused, `T`imeout, `U`nreachable, `C`losed, `A`bsent, or this machine's, `.`. The numbers are those of
    /// asm-generic/errno.h, which x86-64, aarch64 and riscv64 share.
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

    /// Errors whose numbers stand at the end, or that say nothing of a peer.
    const MORE: [(&str, i32, [&str; 5]); 3] = [
        ("EHOSTUNREACH", 113, ["UUU", "...", "UUU", "RRR", "..."]),
        ("EALREADY", 114, ["...", "...", "...", "...", "..."]),
        ("EINPROGRESS", 115, ["...", "...", "...", "...", "..."]),
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
            Class::Absent => 'A',
            Class::Local => '.',
        }
    }

    #[test]
    fn every_error_of_an_operation_with_a_peer_has_its_class() {
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
                let letters =
                    [CONNECT, SEND, RECEIVE].map(|operation| class(operation, &of(*errno), address));
                String::from_iter(letters.map(letter))
            });
            assert_eq!(found.each_ref().map(String::as_str), *classes, "{name}");
        }
        // IPv6 is a host like IPv4.
        let v6 = (Ipv6Addr::LOCALHOST, 7).into();
        for (name, errno, _) in TABLE.iter().chain(&MORE) {
            for operation in [CONNECT, SEND, RECEIVE] {
                let [v4, v6] = [&host(), &v6].map(|address| class(operation, &of(*errno), address));
                assert_eq!(v4, v6, "{name} {operation}");
            }
        }
    }

    #[test]
    fn operations_without_a_peer_never_fail_by_one() {
        for operation in ["wait for", "prepare", "set the timers of", "bind", "shut down", "poll", ""] {
            for errno in 1..134 {
                assert_eq!(class(operation, &of(errno), &host()), Class::Local, "{operation}: {errno}");
            }
        }
    }

    #[test]
    fn a_link_local_address_without_its_interface_is_not_the_peers_failure() {
        assert_eq!(class(CONNECT, &of(22), &link_local(0)), Class::Local);
        assert_eq!(class(CONNECT, &of(22), &link_local(1)), Class::Peer(FailureKind::Unreachable));
        let error = ClientError::of(CONNECT, &"udp://[fe80::1]:7", &link_local(0), of(22));
        assert!(error.is_local(), "{error:?}");
    }

    #[test]
    fn resources_missing_on_this_machine_are_local_failures() {
        for errno in [99, 98, 11] {
            let error = ClientError::of(CONNECT, &"udp://127.0.0.1:7", &host(), of(errno));
            assert_eq!(sentence(&error), "cannot connect to udp://127.0.0.1:7: no local port is free");
            assert_eq!(error.word(), None);
        }
        let too_long = ClientError::of(SEND, &"udp://127.0.0.1:7", &host(), of(90));
        assert!(too_long.is_local());
        let forbidden = ClientError::of(SEND, &"udp://127.0.0.1:7", &host(), of(1));
        assert!(forbidden.is_local());
    }

    #[test]
    fn of_many_failures_three_are_named_and_the_others_counted() {
        let refused = |host: &str| ClientError::of(CONNECT, &host, &self::host(), of(111));
        let all = |count: usize| ClientError::all((0..count).map(|n| refused(&format!("h{n}"))).collect());
        let text = |error: &ClientError| error.to_string();
        assert_eq!(all(1).word(), Some(FailureKind::Refused));
        assert_eq!(text(&all(3)).matches("REFUSED: cannot connect to h").count(), 3);
        assert!(!text(&all(3)).contains("more"));
        assert!(text(&all(16)).ends_with("(os error 111); and 13 more"), "{}", all(16));
        // The same failure again is one failure.
        assert_eq!(ClientError::all(vec![refused("h"), refused("h")]).to_string(), "REFUSED");
    }

    #[test]
    fn where_this_machine_has_failed_at_one_address_the_peer_is_not_blamed() {
        let call = |errno| ClientError::of(CONNECT, &format!("h{errno}"), &host(), of(errno));
        let both = ClientError::all(vec![call(111), call(99)]);
        assert!(both.is_local() && both.word().is_none());
        // A family that is absent says nothing of the others.
        assert_eq!(ClientError::all(vec![call(97), call(111)]).word(), Some(FailureKind::Refused));
        let absent = ClientError::all(vec![call(97), call(93)]);
        assert!(absent.is_absent() && !absent.is_local());
    }

    #[test]
    fn an_error_about_an_earlier_packet_costs_a_second_send_and_no_more() {
        let script = |errors: &[i32]| {
            let mut left = errors.iter();
            let mut tries = 0;
            let (result, earlier) = send_twice(Kind::Datagrams, || {
                tries += 1;
                left.next().map_or(Ok(64), |errno| Err(of(*errno)))
            });
            let errno = |error: io::Error| error.raw_os_error();
            (result.map_err(errno), earlier.and_then(errno), tries)
        };
        assert_eq!(script(&[]), (Ok(64), None, 1));
        for errno in [90, 111, 113, 101, 13, 71] {
            assert_eq!(script(&[errno]), (Ok(64), Some(errno), 2));
            assert_eq!(script(&[errno, errno]), (Err(Some(errno)), Some(errno), 2));
        }
        // What is about this packet, or about no packet at all, is not tried again.
        for errno in [11, 1, 22, 105, 9] {
            assert_eq!(script(&[errno]), (Err(Some(errno)), None, 1));
        }
        assert!(!is_about_earlier(Kind::Stream, &of(111)) && !is_about_earlier(Kind::Messages, &of(90)));
    }
}
