//! The address families: their addresses, and where their sockets behave differently from others.
//!
//! A new family is one file here and one row per transport in `transport.rs`.

pub mod inet;
pub mod netlink;
pub mod tipc;
pub mod unix;
pub mod vsock;

use std::fmt;

/// An address family: the first argument of socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "AF_INET")]
pub struct Family(pub i32);

impl Family {
    /// No family, as in [`Address::Unspecified`](crate::Address::Unspecified).
    pub const UNSPEC: Self = Self(libc::AF_UNSPEC);
    /// IPv4: ip(7).
    pub const INET: Self = Self(libc::AF_INET);
    /// IPv6: ipv6(7).
    pub const INET6: Self = Self(libc::AF_INET6);
    /// Sockets of this host, with paths and abstract names: unix(7).
    pub const UNIX: Self = Self(libc::AF_UNIX);
    /// The kernel and processes of this host: netlink(7).
    pub const NETLINK: Self = Self(libc::AF_NETLINK);
    /// The nodes of a cluster: linux/tipc.h.
    pub const TIPC: Self = Self(libc::AF_TIPC);
    /// Virtual machines and their hosts: vsock(7).
    pub const VSOCK: Self = Self(libc::AF_VSOCK);
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNSPEC => f.write_str("AF_UNSPEC"),
            Self::INET => f.write_str("AF_INET"),
            Self::INET6 => f.write_str("AF_INET6"),
            Self::UNIX => f.write_str("AF_UNIX"),
            Self::NETLINK => f.write_str("AF_NETLINK"),
            Self::TIPC => f.write_str("AF_TIPC"),
            Self::VSOCK => f.write_str("AF_VSOCK"),
            Self(number) => write!(f, "family {number}"),
        }
    }
}

/// A socket type: the second argument of socket(2). It may include SOCK_NONBLOCK; SOCK_CLOEXEC is
/// always added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "SOCK_STREAM")]
pub struct Type(pub i32);

impl Type {
    /// Connections that carry a stream of bytes.
    pub const STREAM: Self = Self(libc::SOCK_STREAM);
    /// Messages without connections.
    pub const DGRAM: Self = Self(libc::SOCK_DGRAM);
    /// Connections that preserve message boundaries.
    pub const SEQPACKET: Self = Self(libc::SOCK_SEQPACKET);
    /// Messages without connections that the network does not lose: only TIPC has this type.
    pub const RDM: Self = Self(libc::SOCK_RDM);
    /// Raw access to the protocol below: raw(7).
    pub const RAW: Self = Self(libc::SOCK_RAW);
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::STREAM => f.write_str("SOCK_STREAM"),
            Self::DGRAM => f.write_str("SOCK_DGRAM"),
            Self::SEQPACKET => f.write_str("SOCK_SEQPACKET"),
            Self::RDM => f.write_str("SOCK_RDM"),
            Self::RAW => f.write_str("SOCK_RAW"),
            Self(number) => write!(f, "type {number}"),
        }
    }
}

/// A protocol within a family: the third argument of socket(2). The meaning of a number depends on
/// the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "IPPROTO_TCP")]
pub struct Protocol(pub i32);

impl Protocol {
    /// The default protocol of the family for the type.
    pub const DEFAULT: Self = Self(0);
    /// TCP, of AF_INET and AF_INET6: tcp(7).
    pub const TCP: Self = Self(libc::IPPROTO_TCP);
    /// UDP, of AF_INET and AF_INET6: udp(7).
    pub const UDP: Self = Self(libc::IPPROTO_UDP);
    /// Multipath TCP, of AF_INET and AF_INET6: RFC 8684, since Linux 5.6.
    pub const MPTCP: Self = Self(libc::IPPROTO_MPTCP);
    /// SCTP, of AF_INET and AF_INET6: sctp(7). With [`Type::STREAM`], one socket for each
    /// association.
    pub const SCTP: Self = Self(libc::IPPROTO_SCTP);
    /// Routes, addresses and links, of AF_NETLINK: rtnetlink(7).
    pub const NETLINK_ROUTE: Self = Self(libc::NETLINK_ROUTE);
    /// Messages between processes, of AF_NETLINK: netlink(7).
    pub const NETLINK_USERSOCK: Self = Self(libc::NETLINK_USERSOCK);
    /// Information about sockets, of AF_NETLINK: sock_diag(7).
    pub const NETLINK_SOCK_DIAG: Self = Self(libc::NETLINK_SOCK_DIAG);
    /// Generic netlink, whose families are looked up by name, of AF_NETLINK.
    pub const NETLINK_GENERIC: Self = Self(libc::NETLINK_GENERIC);
}

/// Parses a number in an endpoint: digits only, without a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
