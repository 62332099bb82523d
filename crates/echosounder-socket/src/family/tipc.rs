//! AF_TIPC: the services of a cluster, whichever of its nodes they are on. See linux/tipc.h.
//!
//! A server binds a service address, or a range of them; any number of sockets may bind the same one, and one
//! socket any number of them. A client calls the service, and the cluster finds a socket that has it. The kernel
//! tells every socket by its own address, never by the service's.
//!
//! - A bind is published at once: `listen` before `bind`, or clients that come between are refused.
//! - A connect returns when the peer calls `accept`; whoever does both in one thread waits for ever. Without such
//!   a service it fails at once with EHOSTUNREACH.
//! - There is no half-close: only [`Shutdown::Both`](crate::Shutdown::Both) can be shut down; the peer reads the end, once.
//! - A close or shutdown of a connection whose peer takes nothing waits up to 8 seconds, even on a socket that does
//!   not block; then it is not writable.
//! - A peer's close is ECONNRESET, after what it had sent; with room for control messages the read gives zero
//!   bytes instead and [`ControlMessage::TipcError`](crate::ControlMessage::TipcError).
//! - An empty message is thrown away by the receiver.
//! - Messages have at most [`MESSAGE_MAX`] bytes.
//! - Messages to a service are dropped where nobody takes them, unless
//!   [`TIPC_DEST_DROPPABLE`](crate::option::TIPC_DEST_DROPPABLE) is off: then they come back, as a receive of zero
//!   bytes with [`ControlMessage::TipcReturned`](crate::ControlMessage::TipcReturned).
//! - A message to a range goes to every socket that has a service in it: by the network's broadcast once option 133
//!   (TIPC_MCAST_BROADCAST) is set to nothing, by a message for each node after 134 (TIPC_MCAST_REPLICAST).
//!   [`Socket::clear_option`](crate::Socket::clear_option) does that; the kernel takes no value.

use std::fmt;
use std::io;

use crate::endpoint_error::EndpointError;
use crate::errno::{PeerFailure, has_no_route};
use crate::raw_address::RawAddress;

/// The longest message: TIPC_MAX_USER_MSG_SIZE.
pub const MESSAGE_MAX: usize = 66_000;

/// Services below this are the kernel's own: TIPC_RESERVED_TYPES.
pub const RESERVED: u32 = 64;
// EndpointError names the limit.
const _: () = assert!(RESERVED == 64);

/// Where a TIPC socket is, or what it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TipcAddress {
    /// One socket: TIPC_SOCKET_ADDR. It cannot be bound, the kernel gives it.
    Socket {
        /// The node it is on; 0 for this node, as long as that has no number.
        node: u32,
        /// Its number on the node.
        reference: u32,
    },
    /// A service: TIPC_SERVICE_ADDR. A message goes to one of the sockets that have it.
    Service {
        /// What is served: `type` in linux/tipc.h.
        service: u32,
        /// Which of them.
        instance: u32,
        /// From where it is visible, when it is bound.
        scope: TipcScope,
        /// The only node where it is looked up, when it is called; 0 for all.
        domain: u32,
    },
    /// All instances from `lower` to `upper`: TIPC_SERVICE_RANGE. A message goes to every socket that has one.
    Range {
        /// What is served.
        service: u32,
        /// The first instance.
        lower: u32,
        /// The last instance.
        upper: u32,
        /// From where they are visible.
        scope: TipcScope,
    },
}

/// From where a service is visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TipcScope {
    /// From every node of the cluster: TIPC_CLUSTER_SCOPE.
    #[default]
    Cluster,
    /// From its own node alone: TIPC_NODE_SCOPE.
    Node,
}

/// `struct sockaddr_tipc`, of which libc has none; here to hold the offsets below against.
#[repr(C)]
struct Layout {
    family: u16,
    kind: u8,
    scope: i8,
    /// The number of a socket, or the service.
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
        match number.cast_signed() {
            CLUSTER_SCOPE => Some(Self::Cluster),
            NODE_SCOPE => Some(Self::Node),
            _ => None,
        }
    }
}

impl TipcAddress {
    /// A service that the whole cluster sees.
    pub const fn service(service: u32, instance: u32) -> Self {
        Self::Service { service, instance, scope: TipcScope::Cluster, domain: 0 }
    }

    /// Parses `TYPE:INSTANCE`, with `?scope=node` or `?scope=cluster` behind it.
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
        raw.put(&[kind, scope.cast_unsigned()]);
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

    /// Whether it can be written as an endpoint: one service that is looked up everywhere.
    pub(crate) fn is_service(&self) -> bool {
        matches!(*self, Self::Service { service, domain: 0, .. } if RESERVED <= service)
    }

    /// The bytes that withdraw this name in a bind: the kernel takes a negative scope for that. `None` if it is
    /// not a name.
    pub(crate) fn withdrawal(&self) -> Option<RawAddress> {
        let mut raw = RawAddress::of_family(super::Family::TIPC);
        self.put_scoped(&mut raw, -self.scope()?.number());
        Some(raw)
    }

    /// The node that a socket is on. A service may be on any.
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

/// Returns what an error says about the peer, where AF_TIPC has a meaning of its own for it.
pub(crate) fn peer_failure(error: &io::Error) -> Option<PeerFailure> {
    match error.kind() {
        // No socket is bound to the service.
        io::ErrorKind::HostUnreachable => Some(PeerFailure::Refused),
        _ => has_no_route(error).then_some(PeerFailure::Unreachable),
    }
}

impl fmt::Display for TipcAddress {
    /// A service as in an endpoint; a range as `TYPE:LOWER-UPPER`, a socket as `NODE/NUMBER`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Socket { node, reference } => write!(f, "{node:x}/{reference}")?,
            Self::Service { service, instance, .. } => write!(f, "{service}:{instance}")?,
            Self::Range { service, lower, upper, .. } => write!(f, "{service}:{lower}-{upper}")?,
        }
        match self.scope() {
            Some(TipcScope::Node) => f.write_str("?scope=node"),
            _ => Ok(()),
        }
    }
}
