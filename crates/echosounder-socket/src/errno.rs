//! The meaning of the kernel's error numbers, for programs that must decide what to do about an
//! error.

use std::io;

/// The failure of a peer that an error of an operation indicates.
///
/// ```
/// use echosounder_socket::{Address, PeerFailure, PeerOperation, Transport};
///
/// // Over UNIX sockets, a missing path means what a closed port means over TCP.
/// let address: Address = "/no/such/socket".parse().unwrap();
/// let error = Transport::UnixStream.socket(&address)?.connect(&address).unwrap_err();
/// assert_eq!(address.peer_failure(PeerOperation::Connect, &error), Some(PeerFailure::Refused));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerFailure {
    /// The host is reachable, but no socket accepts the message or the connection.
    Refused,
    /// No route leads to the host.
    Unreachable,
}

/// The operation that failed. Some error numbers have a different meaning for each.
///
/// See [`PeerFailure`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerOperation {
    /// connect(2).
    Connect,
    /// A send or a receive.
    Transfer,
}

/// Returns whether the process or the system has temporarily run out of descriptors (EMFILE,
/// ENFILE) or memory (ENOBUFS, ENOMEM).
///
/// See [`is_unreachable`] for an example.
pub fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Returns whether a call failed because of its arguments, so that a repetition fails too: EBADF,
/// EFAULT, EINVAL. These are the errors of epoll_wait(2) and poll(2) that a running program cannot
/// outlast.
///
/// See [`is_unreachable`] for an example.
pub fn is_invalid_call(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::EFAULT | libc::EINVAL))
}

/// Returns whether the process or the system has no descriptor left: EMFILE, ENFILE.
///
/// See [`is_unreachable`] for an example.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Returns whether this kernel lacks the address family, or the type or protocol within it:
/// EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
///
/// ```
/// use echosounder_socket::{Family, Protocol, Socket, Type, is_family_absent};
///
/// // A server goes on without the families that this kernel lacks.
/// match Socket::new(Family::TIPC, Type::STREAM, Protocol::DEFAULT) {
///     Ok(_) => println!("TIPC works"),
///     Err(error) if is_family_absent(&error) => println!("this kernel has no TIPC"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_family_absent(error: &io::Error) -> bool {
    let absent = [libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ESOCKTNOSUPPORT];
    error.raw_os_error().is_some_and(|errno| absent.contains(&errno))
}

/// Returns whether this kernel lacks a feature: the system call (ENOSYS), the option (ENOPROTOOPT,
/// EOPNOTSUPP), the device (ENODEV) or the upper-layer protocol of TCP_ULP (ENOENT).
///
/// ```
/// use echosounder_socket::{Family, Protocol, Socket, Type, is_feature_absent, option};
///
/// let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
/// let error = socket.set_option(option::TCP_NODELAY, true).unwrap_err();
/// assert!(is_feature_absent(&error)); // EOPNOTSUPP
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_feature_absent(error: &io::Error) -> bool {
    let absent = [libc::ENOSYS, libc::ENOPROTOOPT, libc::EOPNOTSUPP, libc::ENODEV, libc::ENOENT];
    error.raw_os_error().is_some_and(|errno| absent.contains(&errno))
}

/// Returns whether no route leads to the peer, our own address is not available, or a gateway or
/// packet filter has rejected the packet.
///
/// ```
/// use echosounder_socket::is_unreachable;
/// use std::io;
///
/// let error = io::Error::from_raw_os_error(113); // EHOSTUNREACH
/// assert!(is_unreachable(&error));
/// ```
pub fn is_unreachable(error: &io::Error) -> bool {
    let unreachable =
        [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::ENETDOWN, libc::EHOSTDOWN];
    error.raw_os_error().is_some_and(|errno| unreachable.contains(&errno))
}

/// Returns whether no route leads to the peer: [`is_unreachable`] without EADDRNOTAVAIL, which
/// concerns our own address.
pub(crate) fn has_no_route(error: &io::Error) -> bool {
    is_unreachable(error) && error.kind() != io::ErrorKind::AddrNotAvailable
}

/// Returns whether an error may come from an ICMP message about an earlier packet: ip(7),
/// `icmp_err_convert` in net/ipv4/icmp.c, `tab_unreach` in net/ipv6/icmp.c, and EREMOTEIO for a
/// redirect in net/ipv4/ping.c. A connected datagram socket returns such an error from its next call.
///
/// See [`is_unreachable`] for an example.
pub fn is_from_icmp(error: &io::Error) -> bool {
    let converted = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::ENOPROTOOPT,
        libc::ECONNREFUSED,
        libc::EMSGSIZE,
        libc::EOPNOTSUPP,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EACCES,
        libc::EPROTO,
        libc::EREMOTEIO,
    ];
    error.raw_os_error().is_some_and(|errno| converted.contains(&errno))
}

/// Returns whether a packet filter or a seccomp filter of this machine forbids the operation:
/// EPERM. Routes and file permissions return EACCES instead.
///
/// See [`is_unreachable`] for an example.
pub fn is_forbidden(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Returns whether the connection was lost because the network below it was shut down or reset:
/// ESHUTDOWN, ENETRESET.
///
/// See [`is_unreachable`] for an example.
pub fn is_connection_lost(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESHUTDOWN | libc::ENETRESET))
}

/// Returns whether the socket at a path has another type than ours: EPROTOTYPE, unix(7).
///
/// See [`is_unreachable`] for an example.
pub fn is_other_type(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPROTOTYPE)
}

/// Returns whether a message is too long for one send: EMSGSIZE.
///
/// ```
/// use echosounder_socket::{Transport, is_too_long};
///
/// let (one, _other) = Transport::UnixDatagram.pair()?;
/// assert!(is_too_long(&one.send(&[0; 1 << 20]).unwrap_err()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}
