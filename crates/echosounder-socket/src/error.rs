//! Errors that name the operation and the object, and what some of the kernel's mean.

use std::fmt;
use std::io;

use crate::address::Address;
use crate::family::unix::UnixName;

/// An operation on an object that did not work; the kernel's reason is its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}")]
pub struct Error {
    operation: &'static str,
    object: String,
    source: io::Error,
    hint: Option<&'static str>,
}

/// The first port that anybody may bind, unless net.ipv4.ip_unprivileged_port_start says otherwise: ip(7), vsock(7).
const UNPRIVILEGED: u32 = 1024;

impl Error {
    /// Notes that `operation` on `object` failed.
    pub fn new(operation: &'static str, object: &dyn fmt::Display, source: io::Error) -> Self {
        Self { operation, object: object.to_string(), source, hint: None }
    }

    /// Notes that `object` could not be bound to an address, and what would help if a right is missing.
    pub fn of_bind(object: &dyn fmt::Display, address: &Address, source: io::Error) -> Self {
        let port = match address {
            Address::Vsock(address) => Some(address.port),
            address => address.port().map(u32::from),
        };
        let refused = source.kind() == io::ErrorKind::PermissionDenied;
        let hint = match address {
            Address::Unix(UnixName::Path(_)) if refused => {
                Some("a path needs the right to write to its folder")
            }
            _ if refused && port.is_some_and(|port| (1..UNPRIVILEGED).contains(&port)) => {
                Some("ports below 1024 need CAP_NET_BIND_SERVICE")
            }
            _ => None,
        };
        Self { hint, ..Self::new("bind", object, source) }
    }

    /// Adds what would help.
    #[must_use]
    pub fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// What would help, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// The kernel's reason.
    pub fn cause(&self) -> &io::Error {
        &self.source
    }

    /// The kernel's reason alone.
    pub fn into_cause(self) -> io::Error {
        self.source
    }
}

/// What an error says about the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFailure {
    /// The host is there, and no socket takes the message or the connection.
    Refused,
    /// No packet reaches the host.
    Unreachable,
}

/// The operation that an error ended. Some error numbers mean something else to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerOperation {
    /// connect(2).
    Connect,
    /// A send or a receive.
    Transfer,
}

/// Whether the process, the system or the kernel has run out of something that may come back:
/// descriptors (EMFILE, ENFILE) or memory (ENOBUFS, ENOMEM).
pub fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Whether the process or the system has no descriptor left: EMFILE, ENFILE.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether this kernel lacks the address family, or the type or protocol within it.
pub fn is_family_absent(error: &io::Error) -> bool {
    let absent = [libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ESOCKTNOSUPPORT];
    error.raw_os_error().is_some_and(|errno| absent.contains(&errno))
}

/// Whether this kernel lacks a feature: it does not know the system call (ENOSYS), the option (ENOPROTOOPT,
/// EOPNOTSUPP), the device (ENODEV) or, of TCP_ULP, the protocol (ENOENT).
pub fn is_feature_absent(error: &io::Error) -> bool {
    let absent = [libc::ENOSYS, libc::ENOPROTOOPT, libc::EOPNOTSUPP, libc::ENODEV, libc::ENOENT];
    error.raw_os_error().is_some_and(|errno| absent.contains(&errno))
}

/// Whether there is no way to the peer: no route, no such address here, or a gateway or filter says no.
pub fn is_unreachable(error: &io::Error) -> bool {
    let unreachable =
        [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::ENETDOWN, libc::EHOSTDOWN];
    error.raw_os_error().is_some_and(|errno| unreachable.contains(&errno))
}

/// Whether no route leads to the peer: [`is_unreachable`] without EADDRNOTAVAIL, which is about our own address.
pub(crate) fn has_no_route(error: &io::Error) -> bool {
    is_unreachable(error) && error.kind() != io::ErrorKind::AddrNotAvailable
}

/// Whether an error may come from an ICMP message about a packet that was sent earlier: ip(7), `icmp_err_convert` in
/// net/ipv4/icmp.c, `tab_unreach` in net/ipv6/icmp.c. A connected datagram socket returns it from its next call.
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
    ];
    error.raw_os_error().is_some_and(|errno| converted.contains(&errno))
}

/// Whether a rule of this machine forbids the operation, such as a packet filter's or a seccomp filter's: EPERM, as
/// distinct from EACCES, which routes and paths say.
pub fn is_forbidden(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Whether the connection or the network under it is gone: ESHUTDOWN, ENETRESET.
pub fn is_cut_off(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESHUTDOWN | libc::ENETRESET))
}

/// Whether the socket at a path has another type than ours: EPROTOTYPE, unix(7).
pub fn is_other_type(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPROTOTYPE)
}

/// Whether a message is too long to be sent as one: EMSGSIZE.
pub fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}
