//! The address families: their addresses, and where their sockets behave differently from others.
//!
//! A new family is one file here and one row per transport in `transport.rs`.
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type};
//!
//! let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
//! assert_eq!((socket.family()?, socket.protocol()?), (Family::INET, Protocol::UDP));
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod alg;
pub mod can;
pub mod inet;
pub mod netlink;
pub mod packet;
pub mod tipc;
pub mod unix;
pub mod vsock;
pub mod xdp;

use std::fmt;

/// An address family: the first argument of socket(2).
///
/// ```
/// use echosounder_socket::Family;
///
/// assert_eq!(Family::INET.to_string(), "AF_INET");
/// assert_eq!(format!("{:?}", Family(300)), "Family(300)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Frames of a network interface: packet(7), [`packet`].
    pub const PACKET: Self = Self(libc::AF_PACKET);
    /// Controller area networks: [`can`].
    pub const CAN: Self = Self(libc::AF_CAN);
    /// The kernel's cryptography: [`alg`].
    pub const ALG: Self = Self(libc::AF_ALG);
    /// Frames that bypass the network stack, since Linux 4.18: [`xdp`]. The number is that of
    /// include/linux/socket.h, which not every C library has.
    pub const XDP: Self = Self(44);
    /// Bluetooth: net/bluetooth/bluetooth.h.
    pub const BLUETOOTH: Self = Self(libc::AF_BLUETOOTH);
    /// Reliable datagrams over TCP or InfiniBand, with IPv4 or IPv6 addresses: linux/rds.h.
    pub const RDS: Self = Self(libc::AF_RDS);
    /// PPP over Ethernet, L2TP and PPTP: linux/if_pppox.h.
    pub const PPPOX: Self = Self(libc::AF_PPPOX);
    /// Messages over TCP, since Linux 4.6: linux/kcm.h.
    pub const KCM: Self = Self(41);
    /// Services of Qualcomm processors, since Linux 4.7: linux/qrtr.h.
    pub const QIPCRTR: Self = Self(42);
    /// TCP over RDMA with IPv4 or IPv6 addresses, since Linux 4.11: RFC 7609.
    pub const SMC: Self = Self(43);

    const NAMES: [(Self, &str); 17] = [
        (Self::UNSPEC, "AF_UNSPEC"),
        (Self::INET, "AF_INET"),
        (Self::INET6, "AF_INET6"),
        (Self::UNIX, "AF_UNIX"),
        (Self::NETLINK, "AF_NETLINK"),
        (Self::TIPC, "AF_TIPC"),
        (Self::VSOCK, "AF_VSOCK"),
        (Self::PACKET, "AF_PACKET"),
        (Self::CAN, "AF_CAN"),
        (Self::ALG, "AF_ALG"),
        (Self::XDP, "AF_XDP"),
        (Self::BLUETOOTH, "AF_BLUETOOTH"),
        (Self::RDS, "AF_RDS"),
        (Self::PPPOX, "AF_PPPOX"),
        (Self::KCM, "AF_KCM"),
        (Self::QIPCRTR, "AF_QIPCRTR"),
        (Self::SMC, "AF_SMC"),
    ];

    fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(family, _)| *family == self).map(|(_, name)| *name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "family {}", self.0),
        }
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "Family({name})"),
            None => write!(f, "Family({})", self.0),
        }
    }
}

/// A socket type: the second argument of socket(2). It may include SOCK_NONBLOCK; SOCK_CLOEXEC is
/// always added.
///
/// ```
/// use echosounder_socket::Type;
///
/// assert_eq!(Type::STREAM.to_string(), "SOCK_STREAM");
/// assert_eq!(format!("{:?}", Type::DGRAM), "Type(SOCK_DGRAM)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Connections that carry messages with congestion control, which may be lost: RFC 4340. Linux
    /// 6.16 has removed DCCP.
    pub const DCCP: Self = Self(6);

    fn name(self) -> Option<&'static str> {
        match Self(self.0 & !libc::SOCK_NONBLOCK & !libc::SOCK_CLOEXEC) {
            Self::STREAM => Some("SOCK_STREAM"),
            Self::DGRAM => Some("SOCK_DGRAM"),
            Self::SEQPACKET => Some("SOCK_SEQPACKET"),
            Self::RDM => Some("SOCK_RDM"),
            Self::RAW => Some("SOCK_RAW"),
            Self::DCCP => Some("SOCK_DCCP"),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.name() else { return write!(f, "type {}", self.0) };
        f.pad(name)?;
        for (flag, name) in [(libc::SOCK_NONBLOCK, "SOCK_NONBLOCK"), (libc::SOCK_CLOEXEC, "SOCK_CLOEXEC")] {
            if self.0 & flag != 0 {
                write!(f, " | {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name().is_some() { write!(f, "Type({self})") } else { write!(f, "Type({})", self.0) }
    }
}

/// A protocol within a family: the third argument of socket(2). The meaning of a number depends on
/// the family, so its text names all protocols with the number.
///
/// ```
/// use echosounder_socket::Protocol;
///
/// assert_eq!(Protocol::UDP.to_string(), "IPPROTO_UDP");
/// assert_eq!(Protocol::TCP.to_string(), "IPPROTO_TCP or NETLINK_XFRM or CAN_ISOTP");
/// assert_eq!(format!("{:?}", Protocol(99)), "Protocol(99)");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "IPPROTO_TCP")]
pub struct Protocol(pub i32);

impl Protocol {
    /// The default protocol of the family for the type.
    pub const DEFAULT: Self = Self(0);
    /// TCP, of AF_INET and AF_INET6: tcp(7).
    pub const TCP: Self = Self(libc::IPPROTO_TCP);
    /// UDP, of AF_INET and AF_INET6: udp(7).
    pub const UDP: Self = Self(libc::IPPROTO_UDP);
    /// UDP with a partial checksum, of AF_INET and AF_INET6: udplite(7).
    pub const UDPLITE: Self = Self(libc::IPPROTO_UDPLITE);
    /// Multipath TCP, of AF_INET and AF_INET6: RFC 8684, since Linux 5.6.
    pub const MPTCP: Self = Self(libc::IPPROTO_MPTCP);
    /// SCTP, of AF_INET and AF_INET6: sctp(7). With [`Type::STREAM`], one socket for each
    /// association.
    pub const SCTP: Self = Self(libc::IPPROTO_SCTP);
    /// DCCP, of AF_INET and AF_INET6: RFC 4340. Linux 6.16 has removed it.
    pub const DCCP: Self = Self(libc::IPPROTO_DCCP);
    /// ICMP, of AF_INET: icmp(7). With [`Type::DGRAM`], echo requests without privileges, if the
    /// group of the process is in net.ipv4.ping_group_range; with [`Type::RAW`], every message.
    pub const ICMP: Self = Self(libc::IPPROTO_ICMP);
    /// ICMPv6, of AF_INET6, like [`ICMP`](Self::ICMP).
    pub const ICMPV6: Self = Self(libc::IPPROTO_ICMPV6);
    /// IGMP, of AF_INET with [`Type::RAW`]: RFC 3376.
    pub const IGMP: Self = Self(libc::IPPROTO_IGMP);
    /// Any protocol, of AF_INET and AF_INET6 with [`Type::RAW`]: the program sends whole IP packets
    /// and receives none. See raw(7).
    pub const RAW: Self = Self(libc::IPPROTO_RAW);
    /// Routes, addresses and links, of AF_NETLINK: rtnetlink(7).
    pub const NETLINK_ROUTE: Self = Self(libc::NETLINK_ROUTE);
    /// Messages between processes, of AF_NETLINK: netlink(7).
    pub const NETLINK_USERSOCK: Self = Self(libc::NETLINK_USERSOCK);
    /// Information about sockets, of AF_NETLINK: sock_diag(7).
    pub const NETLINK_SOCK_DIAG: Self = Self(libc::NETLINK_SOCK_DIAG);
    /// IPsec, of AF_NETLINK: netlink(7).
    pub const NETLINK_XFRM: Self = Self(libc::NETLINK_XFRM);
    /// SELinux events, of AF_NETLINK: netlink(7).
    pub const NETLINK_SELINUX: Self = Self(libc::NETLINK_SELINUX);
    /// iSCSI, of AF_NETLINK: netlink(7).
    pub const NETLINK_ISCSI: Self = Self(libc::NETLINK_ISCSI);
    /// Auditing, of AF_NETLINK: netlink(7), auditd(8).
    pub const NETLINK_AUDIT: Self = Self(libc::NETLINK_AUDIT);
    /// Lookups in the routing tables, of AF_NETLINK: netlink(7).
    pub const NETLINK_FIB_LOOKUP: Self = Self(libc::NETLINK_FIB_LOOKUP);
    /// The kernel connector, for example process events, of AF_NETLINK: netlink(7).
    pub const NETLINK_CONNECTOR: Self = Self(libc::NETLINK_CONNECTOR);
    /// Packet filters and connection tracking, of AF_NETLINK: netlink(7).
    pub const NETLINK_NETFILTER: Self = Self(libc::NETLINK_NETFILTER);
    /// Device events of the kernel, which udev(7) receives, of AF_NETLINK. Group 1 has those of the
    /// kernel, group 2 those of the udev daemon.
    pub const NETLINK_KOBJECT_UEVENT: Self = Self(libc::NETLINK_KOBJECT_UEVENT);
    /// Generic netlink, whose families are looked up by name, of AF_NETLINK.
    pub const NETLINK_GENERIC: Self = Self(libc::NETLINK_GENERIC);
    /// RDMA devices, of AF_NETLINK: netlink(7).
    pub const NETLINK_RDMA: Self = Self(libc::NETLINK_RDMA);
    /// The kernel's cryptography, of AF_NETLINK: netlink(7).
    pub const NETLINK_CRYPTO: Self = Self(libc::NETLINK_CRYPTO);
    /// Raw frames, of AF_CAN with [`Type::RAW`]: linux/can.h.
    pub const CAN_RAW: Self = Self(1);
    /// The broadcast manager, of AF_CAN with [`Type::DGRAM`]: linux/can.h.
    pub const CAN_BCM: Self = Self(2);
    /// Transport of long messages (ISO 15765-2), of AF_CAN with [`Type::DGRAM`], since Linux 5.10.
    pub const CAN_ISOTP: Self = Self(6);
    /// SAE J1939, of AF_CAN with [`Type::DGRAM`], since Linux 5.4.
    pub const CAN_J1939: Self = Self(7);

    /// Returns the protocol of AF_PACKET for an Ethernet type, which is in network byte order there:
    /// packet(7).
    ///
    /// ```
    /// use echosounder_socket::Protocol;
    /// use echosounder_socket::family::packet::ETH_P_IP;
    ///
    /// let number = u16::try_from(Protocol::packet(ETH_P_IP).0).unwrap_or(0);
    /// assert_eq!(number.to_ne_bytes(), [0x08, 0x00]);
    /// ```
    pub fn packet(ethernet_type: u16) -> Self {
        Self(i32::from(ethernet_type.to_be()))
    }

    /// The protocols whose numbers do not depend on the processor.
    const NAMES: [(Self, &str); 30] = [
        (Self::ICMP, "IPPROTO_ICMP"),
        (Self::IGMP, "IPPROTO_IGMP"),
        (Self::TCP, "IPPROTO_TCP"),
        (Self::UDP, "IPPROTO_UDP"),
        (Self::DCCP, "IPPROTO_DCCP"),
        (Self::ICMPV6, "IPPROTO_ICMPV6"),
        (Self::SCTP, "IPPROTO_SCTP"),
        (Self::UDPLITE, "IPPROTO_UDPLITE"),
        (Self::RAW, "IPPROTO_RAW"),
        (Self::MPTCP, "IPPROTO_MPTCP"),
        (Self::DEFAULT, "default"),
        (Self::NETLINK_ROUTE, "NETLINK_ROUTE"),
        (Self::NETLINK_USERSOCK, "NETLINK_USERSOCK"),
        (Self::NETLINK_SOCK_DIAG, "NETLINK_SOCK_DIAG"),
        (Self::NETLINK_XFRM, "NETLINK_XFRM"),
        (Self::NETLINK_SELINUX, "NETLINK_SELINUX"),
        (Self::NETLINK_ISCSI, "NETLINK_ISCSI"),
        (Self::NETLINK_AUDIT, "NETLINK_AUDIT"),
        (Self::NETLINK_FIB_LOOKUP, "NETLINK_FIB_LOOKUP"),
        (Self::NETLINK_CONNECTOR, "NETLINK_CONNECTOR"),
        (Self::NETLINK_NETFILTER, "NETLINK_NETFILTER"),
        (Self::NETLINK_KOBJECT_UEVENT, "NETLINK_KOBJECT_UEVENT"),
        (Self::NETLINK_GENERIC, "NETLINK_GENERIC"),
        (Self::NETLINK_RDMA, "NETLINK_RDMA"),
        (Self::NETLINK_CRYPTO, "NETLINK_CRYPTO"),
        (Self::CAN_RAW, "CAN_RAW"),
        (Self::CAN_BCM, "CAN_BCM"),
        (Self::CAN_ISOTP, "CAN_ISOTP"),
        (Self::CAN_J1939, "CAN_J1939"),
        (Self(115), "IPPROTO_L2TP"),
    ];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.iter().filter(|(protocol, _)| protocol == self).map(|(_, name)| name);
        let Some(first) = names.next() else { return write!(f, "protocol {}", self.0) };
        f.write_str(first)?;
        names.try_for_each(|name| write!(f, " or {name}"))
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().any(|(protocol, _)| protocol == self) {
            true => write!(f, "Protocol({}: {self})", self.0),
            false => write!(f, "Protocol({})", self.0),
        }
    }
}

/// Writes bytes in hexadecimal digits.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8], separator: &str) -> fmt::Result {
    for (place, byte) in bytes.iter().enumerate() {
        let separator = if place == 0 { "" } else { separator };
        write!(f, "{separator}{byte:02x}")?;
    }
    Ok(())
}

/// Parses a number in an endpoint: digits only, without a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Parses a hexadecimal number, without a sign.
fn hex_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| digits)
}
