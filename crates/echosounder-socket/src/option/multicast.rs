//! Membership in multicast groups.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::value::SetValue;

/// Membership in an IPv4 multicast group on one interface: `struct ip_mreqn`, ip(7).
///
/// ```
/// use echosounder_socket::option::{IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, Membership};
/// use echosounder_socket::{Family, Protocol, Socket, Type, interface_index};
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// let membership = Membership { group: [239, 1, 2, 3].into(), interface: interface_index("lo")? };
/// socket.set_option(IP_ADD_MEMBERSHIP, membership)?;
/// socket.set_option(IP_DROP_MEMBERSHIP, membership)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ip_mreqn")]
pub struct Membership {
    /// The group.
    pub group: Ipv4Addr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

impl SetValue for Membership {
    type Bytes = [u8; 12];

    fn encode(&self) -> Option<[u8; 12]> {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.group.octets());
        bytes[8..].copy_from_slice(&self.interface.to_ne_bytes());
        Some(bytes)
    }
}

/// Membership in an IPv6 multicast group on one interface: `struct ipv6_mreq`, ipv6(7).
///
/// It is used as a [`Membership`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ipv6_mreq")]
pub struct Membership6 {
    /// The group.
    pub group: Ipv6Addr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

impl SetValue for Membership6 {
    type Bytes = [u8; 20];

    fn encode(&self) -> Option<[u8; 20]> {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.group.octets());
        bytes[16..].copy_from_slice(&self.interface.to_ne_bytes());
        Some(bytes)
    }
}

/// The interface of sent multicast messages: `struct ip_mreqn`, ip(7).
///
/// ```
/// use echosounder_socket::option::{IP_MULTICAST_IF, MulticastInterface};
/// use echosounder_socket::{Family, Protocol, Socket, Type, interface_index};
/// use std::net::Ipv4Addr;
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// socket.set_option(IP_MULTICAST_IF, MulticastInterface::Address(Ipv4Addr::LOCALHOST))?;
/// assert_eq!(socket.option(IP_MULTICAST_IF)?, Ipv4Addr::LOCALHOST);
/// socket.set_option(IP_MULTICAST_IF, MulticastInterface::Index(interface_index("lo")?))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MulticastInterface {
    /// The index of the interface; 0 lets the routing table choose.
    Index(u32),
    /// The interface with this address; 0.0.0.0 lets the routing table choose.
    Address(Ipv4Addr),
}

impl SetValue for MulticastInterface {
    type Bytes = [u8; 12];

    fn encode(&self) -> Option<[u8; 12]> {
        let mut bytes = [0; 12];
        match self {
            Self::Index(index) => bytes[8..].copy_from_slice(&index.to_ne_bytes()),
            Self::Address(address) => bytes[4..8].copy_from_slice(&address.octets()),
        }
        Some(bytes)
    }
}

/// Membership in an IPv4 multicast group for one source: `struct ip_mreq_source`, ip(7).
///
/// ```
/// use echosounder_socket::option::{IP_ADD_SOURCE_MEMBERSHIP, SourceMembership};
/// use echosounder_socket::{Family, Protocol, Socket, Type};
/// use std::net::Ipv4Addr;
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// let membership = SourceMembership {
///     group: [239, 1, 2, 3].into(),
///     source: Ipv4Addr::LOCALHOST,
///     interface: Ipv4Addr::LOCALHOST,
/// };
/// socket.set_option(IP_ADD_SOURCE_MEMBERSHIP, membership)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ip_mreq_source")]
pub struct SourceMembership {
    /// The group.
    pub group: Ipv4Addr,
    /// The source.
    pub source: Ipv4Addr,
    /// The address of the interface; 0.0.0.0 lets the routing table choose.
    pub interface: Ipv4Addr,
}

impl SetValue for SourceMembership {
    type Bytes = [u8; 12];

    fn encode(&self) -> Option<[u8; 12]> {
        let mut bytes = [0; 12];
        let fields = [self.group, self.interface, self.source];
        for (to, field) in bytes.chunks_mut(4).zip(fields) {
            to.copy_from_slice(&field.octets());
        }
        Some(bytes)
    }
}

/// Whether a list of sources contains the wanted or the unwanted ones: RFC 3678.
///
/// See [`SourceFilter`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterMode {
    /// Receive messages of all sources but these: MCAST_EXCLUDE.
    Exclude,
    /// Receive messages of these sources only: MCAST_INCLUDE.
    Include,
}

impl FilterMode {
    fn number(self) -> [u8; 4] {
        match self {
            Self::Exclude => 0_u32,
            Self::Include => 1,
        }
        .to_ne_bytes()
    }
}

/// All sources of an IPv4 group: `struct ip_msfilter`, ip(7).
///
/// ```
/// use echosounder_socket::option::{
///     FilterMode, IP_ADD_MEMBERSHIP, IP_MSFILTER, Membership, SourceFilter,
/// };
/// use echosounder_socket::{Family, Protocol, Socket, Type, interface_index};
/// use std::net::Ipv4Addr;
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// let group = Ipv4Addr::from([239, 1, 2, 3]);
/// socket.set_option(IP_ADD_MEMBERSHIP, Membership { group, interface: interface_index("lo")? })?;
/// let filter = SourceFilter {
///     group,
///     interface: Ipv4Addr::LOCALHOST,
///     mode: FilterMode::Include,
///     sources: vec![Ipv4Addr::LOCALHOST],
/// };
/// socket.set_option(IP_MSFILTER, filter)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ip_msfilter")]
pub struct SourceFilter {
    /// The group, which the socket has joined.
    pub group: Ipv4Addr,
    /// The address of the interface; 0.0.0.0 lets the routing table choose.
    pub interface: Ipv4Addr,
    /// Whether `sources` are wanted or unwanted.
    pub mode: FilterMode,
    /// The sources.
    pub sources: Vec<Ipv4Addr>,
}

impl SetValue for SourceFilter {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = [self.group.octets(), self.interface.octets()].concat();
        bytes.extend(self.mode.number());
        bytes.extend(u32::try_from(self.sources.len()).ok()?.to_ne_bytes());
        bytes.extend(self.sources.iter().flat_map(|source| source.octets()));
        Some(bytes)
    }
}

/// A multicast group on one interface: `struct group_req`, RFC 3678.
///
/// See [`GroupSource`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "group_req")]
pub struct Group {
    /// The group. Its family is that of the option's level.
    pub group: IpAddr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

impl SetValue for Group {
    type Bytes = [u8; 136];

    fn encode(&self) -> Option<[u8; 136]> {
        let mut bytes = [0; 136];
        bytes[..4].copy_from_slice(&self.interface.to_ne_bytes());
        bytes[8..].copy_from_slice(&storage(self.group));
        Some(bytes)
    }
}

/// A source of a multicast group on one interface: `struct group_source_req`, RFC 3678.
///
/// ```
/// use echosounder_socket::option::{GroupSource, MCAST_JOIN_SOURCE_GROUP};
/// use echosounder_socket::{Family, Protocol, Socket, Type, interface_index};
/// use std::net::Ipv4Addr;
///
/// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// let group = GroupSource {
///     group: [239, 1, 2, 3].into(),
///     source: Ipv4Addr::LOCALHOST.into(),
///     interface: interface_index("lo")?,
/// };
/// socket.set_option(MCAST_JOIN_SOURCE_GROUP, group)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "group_source_req")]
pub struct GroupSource {
    /// The group. Its family is that of the option's level.
    pub group: IpAddr,
    /// The source, of the same family.
    pub source: IpAddr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
}

impl SetValue for GroupSource {
    type Bytes = [u8; 264];

    fn encode(&self) -> Option<[u8; 264]> {
        let mut bytes = [0; 264];
        bytes[..4].copy_from_slice(&self.interface.to_ne_bytes());
        bytes[8..136].copy_from_slice(&storage(self.group));
        bytes[136..].copy_from_slice(&storage(self.source));
        Some(bytes)
    }
}

/// All sources of a group on one interface: `struct group_filter`, RFC 3678.
///
/// It is used as a [`SourceFilter`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "group_filter")]
pub struct GroupFilter {
    /// The group, which the socket has joined. Its family is that of the option's level.
    pub group: IpAddr,
    /// The index of the interface; 0 lets the routing table choose.
    pub interface: u32,
    /// Whether `sources` are wanted or unwanted.
    pub mode: FilterMode,
    /// The sources, of the same family.
    pub sources: Vec<IpAddr>,
}

impl SetValue for GroupFilter {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Group { group: self.group, interface: self.interface }.encode()?.to_vec();
        bytes.extend(self.mode.number());
        bytes.extend(u32::try_from(self.sources.len()).ok()?.to_ne_bytes());
        bytes.extend(self.sources.iter().flat_map(|source| storage(*source)));
        Some(bytes)
    }
}

/// Returns an address without a port as a `struct sockaddr_storage`.
pub(super) fn storage(ip: IpAddr) -> [u8; 128] {
    let mut bytes = [0; 128];
    let family = match ip {
        IpAddr::V4(ip) => {
            bytes[4..8].copy_from_slice(&ip.octets());
            libc::AF_INET
        }
        IpAddr::V6(ip) => {
            bytes[8..24].copy_from_slice(&ip.octets());
            libc::AF_INET6
        }
    };
    // AF_INET is 2, AF_INET6 is 10.
    let family = u16::try_from(family).unwrap_or_default();
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes
}
