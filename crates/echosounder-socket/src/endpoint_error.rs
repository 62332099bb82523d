//! Why a text is not an endpoint: one variant, and one sentence, for each part that can be wrong.

use std::io;

use crate::transport::Transport;

/// Why a text is not an [`Endpoint`](crate::Endpoint): the part that is wrong.
///
/// ```
/// use echosounder_socket::{Endpoint, EndpointError};
///
/// let error: EndpointError = "udp:/localhost".parse::<Endpoint>().unwrap_err();
/// println!("{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is empty.
    #[error("the endpoint is empty")]
    Empty,
    /// No transport has this scheme.
    #[error("no scheme is named {0:?}; there are {schemes}", schemes = schemes())]
    UnknownScheme(String),
    /// The port is not a number from 0 to 65535.
    #[error("port {0:?} is not a number from 0 to 65535")]
    BadPort(String),
    /// The port is a word that /etc/services does not list for the protocol.
    #[error("port {name:?} is neither a number from 0 to 65535 nor a {protocol} service in /etc/services")]
    UnknownService {
        /// The word.
        name: String,
        /// The protocol's name in /etc/services.
        protocol: &'static str,
    },
    /// The host is neither a name nor an address.
    #[error("host {0:?} is neither a name nor an address")]
    BadHost(String),
    /// The host consists of numbers only and is not an IPv4 address. inet_aton(3) would read some
    /// of these as an address that the user did not mean.
    #[error("host {0:?} is not an IPv4 address, which has four decimal numbers from 0 to 255")]
    BadV4(String),
    /// The text in brackets is not an IPv6 address.
    #[error("{0:?} in brackets is not an IPv6 address")]
    BadV6(String),
    /// A bracket is not closed.
    #[error("the bracket [ of the IPv6 address is not closed")]
    UnclosedBracket,
    /// An IPv6 address has no brackets, so its last group could be the port.
    #[error("an IPv6 address must be in brackets: [{}]", .0.escape_debug())]
    BareV6(String),
    /// A UNIX endpoint has neither a path nor a name.
    #[error("the path is empty")]
    NoPath,
    /// A path contains a NUL byte.
    #[error("the path contains a NUL byte")]
    NulInPath,
    /// A path of this many bytes does not fit `sun_path`.
    #[error("the path is {0} bytes long, over the 108 that a UNIX socket can have")]
    PathTooLong(usize),
    /// An abstract name of this many bytes does not fit `sun_path`.
    #[error("the name is {0} bytes long, over the 107 that an abstract socket can have")]
    NameTooLong(usize),
    /// A percent sign is not followed by two hexadecimal digits.
    #[error("%{} is not % and two hexadecimal digits (write a percent sign as %25)", .0.escape_debug())]
    BadPercent(String),
    /// A VSOCK context id is neither a number nor one of the names.
    #[error("context id {0:?} is neither a number nor any, local or host")]
    BadCid(String),
    /// A VSOCK port is not a number.
    #[error("port {0:?} is not a number from 0 to {max}", max = u32::MAX)]
    BadVsockPort(String),
    /// A TIPC name is not a type and an instance.
    #[error("{0:?} is not TYPE:INSTANCE, two numbers from 0 to {max}", max = u32::MAX)]
    BadService(String),
    /// The kernel reserves this TIPC type for itself.
    #[error("type {0} is one of the kernel's own, below 64")]
    ReservedService(u32),
    /// The text after the question mark is not a scope.
    #[error("{0:?} is neither scope=node nor scope=cluster")]
    BadScope(String),
    /// The text is not an [`Address`](crate::Address).
    #[error("{0:?} is not a socket address")]
    BadAddress(String),
    /// A TIPC address is none of a service, a range and a socket.
    #[error("{0:?} is not TYPE:INSTANCE, TYPE:LOWER-UPPER or NODE/NUMBER")]
    BadTipcAddress(String),
    /// The text after the question mark is not a set of netlink groups.
    #[error("{0:?} is not groups= and a hexadecimal number such as 0x1")]
    BadGroups(String),
    /// A netlink port id is not a number.
    #[error("port id {0:?} is not a number from 0 to {max}", max = u32::MAX)]
    BadPortId(String),
}

fn schemes() -> String {
    let schemes: Vec<&str> = Transport::all().map(Transport::prefix).collect();
    schemes.join(" ")
}

/// An error of the kind `InvalidInput` with the error as its payload.
impl From<EndpointError> for io::Error {
    fn from(error: EndpointError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
