//! AF_TIPC: services of a cluster, addressed by name rather than by node. See linux/tipc.h.
//!
//! A server binds a service address or a range of them. Any number of sockets may bind the same
//! address, and one socket any number of addresses. A client connects or sends to the service, and
//! the cluster chooses one of its sockets. The kernel reports the socket's own address as the
//! source and peer address, never the service.
//!
//! - A bind publishes the service at once. Call `listen` before `bind`, or connections in between
//!   are refused.
//! - A connect returns when the peer calls `accept`, so one thread cannot do both. If no socket is
//!   bound to the service, it fails at once with EHOSTUNREACH.
//! - There is no half-close: only [`Shutdown::Both`](crate::Shutdown::Both) is possible. The peer
//!   reads the end once.
//! - A close or shutdown waits up to 8 seconds for a peer that does not read, even on a
//!   non-blocking socket. Such a connection is not writable.
//! - After the data that a peer sent before it closed, a receive fails with ECONNRESET. With buffer
//!   space for control messages it returns zero bytes and
//!   [`ControlMessage::TipcError`](crate::ControlMessage::TipcError) instead.
//! - The receiver discards empty messages.
//! - A message has at most [`MESSAGE_MAX`] bytes.
//! - The kernel drops a message to a service that no socket is bound to. If
//!   [`TIPC_DEST_DROPPABLE`](crate::option::TIPC_DEST_DROPPABLE) is off, it returns the message as
//!   a receive of zero bytes with
//!   [`ControlMessage::TipcReturned`](crate::ControlMessage::TipcReturned).
//! - A message to a range goes to every socket that is bound to a service in the range.
//!   [`TIPC_MCAST_BROADCAST`](crate::option::TIPC_MCAST_BROADCAST) selects the network's broadcast
//!   for this, [`TIPC_MCAST_REPLICAST`](crate::option::TIPC_MCAST_REPLICAST) one message per node.
//!
//! ```no_run
//! use echosounder_socket::{ServerOptions, create_connection, create_server};
//!
//! let server = create_server("tipc://21567:1", ServerOptions::default())?;
//! let client = create_connection("tipc://21567:1", None, None)?;
//! client.send_all(b"ahoy")?;
//! let (connection, _peer) = server.accept()?;
//! assert_eq!(connection.recv(&mut [0; 16])?, 4);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::endpoint_error::EndpointError;
use crate::errno::{PeerFailure, has_no_route};
use crate::raw_address::RawAddress;

/// Maximum length of a message in bytes: TIPC_MAX_USER_MSG_SIZE.
pub const MESSAGE_MAX: usize = 66_000;

/// The kernel reserves service types below this for itself: TIPC_RESERVED_TYPES.
pub const RESERVED: u32 = 64;
// EndpointError names the limit.
const _: () = assert!(RESERVED == 64);

/// The address of a TIPC socket or service.
///
/// As text, a service is `TYPE:INSTANCE`, a range `TYPE:LOWER-UPPER` and a socket `NODE/NUMBER`
/// with the node in hexadecimal. A service and a range may be followed by `?scope=node`, a service
/// also by `domain=` and a node.
///
/// ```
/// use echosounder_socket::family::tipc::TipcAddress;
///
/// assert_eq!("70:1".parse(), Ok(TipcAddress::service(70, 1)));
/// assert_eq!(TipcAddress::Socket { node: 0x1001001, reference: 5 }.to_string(), "1001001/5");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TipcAddress {
    /// One socket: TIPC_SOCKET_ADDR. The kernel assigns it; it cannot be bound.
    Socket {
        /// The node; 0 for this node while it has no number.
        node: u32,
        /// The socket's number on the node.
        reference: u32,
    },
    /// A service: TIPC_SERVICE_ADDR. A message to it goes to one of the sockets that are bound to
    /// it.
    Service {
        /// The service type: `type` in linux/tipc.h.
        service: u32,
        /// The instance of the service.
        instance: u32,
        /// In a bind: the nodes that see the service.
        scope: TipcScope,
        /// In a send or connect: the node to look the service up on; 0 for all.
        domain: u32,
    },
    /// The instances from `lower` to `upper`: TIPC_SERVICE_RANGE. A message goes to every socket
    /// bound to one of them.
    Range {
        /// The service type.
        service: u32,
        /// The first instance.
        lower: u32,
        /// The last instance.
        upper: u32,
        /// In a bind: the nodes that see the services.
        scope: TipcScope,
    },
}

/// The nodes that see a service.
///
/// ```
/// use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
///
/// let address: TipcAddress = "21567:1?scope=node".parse().unwrap();
/// assert!(matches!(address, TipcAddress::Service { scope: TipcScope::Node, .. }));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TipcScope {
    /// Every node of the cluster: TIPC_CLUSTER_SCOPE.
    #[default]
    Cluster,
    /// Its own node only: TIPC_NODE_SCOPE.
    Node,
}

/// `struct sockaddr_tipc`, which libc lacks. It serves to check the offsets below.
#[repr(C)]
struct Layout {
    family: u16,
    kind: u8,
    scope: i8,
    /// The number of a socket, or the service type.
    first: u32,
    /// The node of a socket, or the lower instance.
    second: u32,
    /// The upper instance, or the domain.
    third: u32,
}

const _: () = assert!(size_of::<Layout>() == 16 && align_of::<Layout>() == 4);
const _: () = assert!(std::mem::offset_of!(Layout, family) == 0);
const _: () = assert!(std::mem::offset_of!(Layout, kind) == 2);
const _: () = assert!(std::mem::offset_of!(Layout, scope) == 3);
const _: () = assert!(std::mem::offset_of!(Layout, first) == 4);
const _: () = assert!(std::mem::offset_of!(Layout, second) == 8);
const _: () = assert!(std::mem::offset_of!(Layout, third) == 12);

const RANGE: u8 = 1;
const SERVICE: u8 = 2;
const SOCKET: u8 = 3;

const CLUSTER_SCOPE: i8 = 2;
const NODE_SCOPE: i8 = 3;

impl TipcScope {
    fn number(self) -> i8 {
        match self {
            Self::Cluster => CLUSTER_SCOPE,
            Self::Node => NODE_SCOPE,
        }
    }

    fn of(number: u8) -> Option<Self> {
        match i8::from_ne_bytes([number]) {
            CLUSTER_SCOPE => Some(Self::Cluster),
            NODE_SCOPE => Some(Self::Node),
            _ => None,
        }
    }
}

impl TipcAddress {
    /// Returns the address of a service that the whole cluster sees.
    pub const fn service(service: u32, instance: u32) -> Self {
        Self::Service { service, instance, scope: TipcScope::Cluster, domain: 0 }
    }

    /// Parses `TYPE:INSTANCE`, optionally followed by `?scope=node` or `?scope=cluster`.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let (name, scope) = match text.split_once('?') {
            None => (text, TipcScope::Cluster),
            Some((name, "scope=node")) => (name, TipcScope::Node),
            Some((name, "scope=cluster")) => (name, TipcScope::Cluster),
            Some((_, other)) => return Err(EndpointError::BadScope(other.into())),
        };
        let bad = || EndpointError::BadService(name.into());
        let (service, instance) = name.split_once(':').ok_or_else(bad)?;
        let service = super::number(service).ok_or_else(bad)?;
        let instance = super::number(instance).ok_or_else(bad)?;
        if service < RESERVED {
            return Err(EndpointError::ReservedService(service));
        }
        Ok(Self::Service { service, instance, scope, domain: 0 })
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        self.put_scoped(raw, self.scope().map_or(0, TipcScope::number));
    }

    /// Writes the address with a number for its scope.
    fn put_scoped(&self, raw: &mut RawAddress, scope: i8) {
        let (kind, fields) = match *self {
            Self::Socket { node, reference } => (SOCKET, [reference, node, 0]),
            Self::Service { service, instance, domain, .. } => (SERVICE, [service, instance, domain]),
            Self::Range { service, lower, upper, .. } => (RANGE, [service, lower, upper]),
        };
        raw.put(&[kind]);
        raw.put(&scope.to_ne_bytes());
        fields.iter().for_each(|field| raw.put(&field.to_ne_bytes()));
    }

    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        let [kind, scope] = raw.field(2)?;
        let [first, second, third] = [raw.field(4)?, raw.field(8)?, raw.field(12)?].map(u32::from_ne_bytes);
        match kind {
            SOCKET if third == 0 && scope == 0 => Some(Self::Socket { node: second, reference: first }),
            SERVICE => Some(Self::Service {
                service: first,
                instance: second,
                scope: TipcScope::of(scope)?,
                domain: third,
            }),
            RANGE => Some(Self::Range {
                service: first,
                lower: second,
                upper: third,
                scope: TipcScope::of(scope)?,
            }),
            _ => None,
        }
    }

    /// Returns whether the address can be written as an endpoint: one service, looked up on all
    /// nodes.
    pub(crate) fn is_service(&self) -> bool {
        matches!(*self, Self::Service { service, domain: 0, .. } if RESERVED <= service)
    }

    /// Returns the address that withdraws this one in a bind, which has a negative scope; `None`
    /// for the address of a socket.
    pub(crate) fn withdrawal(&self) -> Option<RawAddress> {
        let mut raw = RawAddress::of_family(super::Family::TIPC);
        self.put_scoped(&mut raw, -self.scope()?.number());
        Some(raw)
    }

    /// Returns the node of a socket; `None` for a service, which may be on any node.
    pub(crate) fn node(&self) -> Option<u32> {
        match *self {
            Self::Socket { node, .. } => Some(node),
            Self::Service { .. } | Self::Range { .. } => None,
        }
    }

    fn scope(&self) -> Option<TipcScope> {
        match *self {
            Self::Socket { .. } => None,
            Self::Service { scope, .. } | Self::Range { scope, .. } => Some(scope),
        }
    }
}

/// Returns the failure of the peer that an error indicates, if AF_TIPC gives it its own meaning.
pub(crate) fn peer_failure(error: &io::Error) -> Option<PeerFailure> {
    match error.kind() {
        // No socket is bound to the service.
        io::ErrorKind::HostUnreachable => Some(PeerFailure::Refused),
        _ => has_no_route(error).then_some(PeerFailure::Unreachable),
    }
}

impl FromStr for TipcAddress {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bad = || EndpointError::BadTipcAddress(text.into());
        if let Some((node, reference)) = text.split_once('/') {
            let node = super::hex_number(node).ok_or_else(bad)?;
            return Ok(Self::Socket { node, reference: super::number(reference).ok_or_else(bad)? });
        }
        let (name, parameters) = text.split_once('?').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let (mut scope, mut domain) = (TipcScope::Cluster, 0);
        for parameter in parameters.into_iter().flat_map(|parameters| parameters.split('&')) {
            match parameter.split_once('=') {
                Some(("scope", "node")) => scope = TipcScope::Node,
                Some(("scope", "cluster")) => scope = TipcScope::Cluster,
                Some(("domain", node)) => domain = super::hex_number(node).ok_or_else(bad)?,
                _ => return Err(EndpointError::BadScope(parameter.into())),
            }
        }
        let (service, rest) = name.split_once(':').ok_or_else(bad)?;
        let service = super::number(service).ok_or_else(bad)?;
        match rest.split_once('-') {
            None => {
                let instance = super::number(rest).ok_or_else(bad)?;
                Ok(Self::Service { service, instance, scope, domain })
            }
            Some((lower, upper)) if domain == 0 => Ok(Self::Range {
                service,
                lower: super::number(lower).ok_or_else(bad)?,
                upper: super::number(upper).ok_or_else(bad)?,
                scope,
            }),
            Some(_) => Err(bad()),
        }
    }
}

impl fmt::Display for TipcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Socket { node, reference } => write!(f, "{node:x}/{reference}")?,
            Self::Service { service, instance, .. } => write!(f, "{service}:{instance}")?,
            Self::Range { service, lower, upper, .. } => write!(f, "{service}:{lower}-{upper}")?,
        }
        let is_node = self.scope() == Some(TipcScope::Node);
        if is_node {
            f.write_str("?scope=node")?;
        }
        match *self {
            Self::Service { domain, .. } if domain != 0 => {
                write!(f, "{}domain={domain:x}", if is_node { '&' } else { '?' })
            }
            _ => Ok(()),
        }
    }
}
