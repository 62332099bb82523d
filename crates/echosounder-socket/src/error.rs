//! Errors that name the operation and the object, and functions that classify the kernel's error numbers.

use std::fmt;
use std::io;

use crate::address::Address;

/// A failed operation on an object. The kernel's reason is its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}")]
pub struct Error {
    operation: &'static str,
    object: String,
    address: Option<Address>,
    source: io::Error,
}

impl Error {
    /// Creates an error of `operation`, a verb such as `bind` or `send to`, on `object`.
    pub fn new(operation: &'static str, object: &dyn fmt::Display, source: io::Error) -> Self {
        Self { operation, object: object.to_string(), address: None, source }
    }

    /// Adds the address that the operation was about.
    #[must_use]
    pub fn with_address(self, address: &Address) -> Self {
        Self { address: Some(address.clone()), ..self }
    }

    /// Returns the operation.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the address that the operation was about, if it was about one.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Returns the kernel's reason.
    pub fn cause(&self) -> &io::Error {
        &self.source
    }

    /// Returns the kernel's reason alone.
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
pub fn is_connection_lost(error: &io::Error) -> bool {
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
