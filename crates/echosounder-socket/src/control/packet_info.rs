//! The destination and interface of a datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::control::raw::{RawControl, put};

/// The destination address and the interface of a datagram: IP_PKTINFO of ip(7) and IPV6_PKTINFO of
/// ipv6(7) and RFC 3542.
///
/// The options [`IP_PKTINFO`](crate::option::IP_PKTINFO) and
/// [`IPV6_RECVPKTINFO`](crate::option::IPV6_RECVPKTINFO) enable it for received datagrams.
/// A reply with the same information leaves from the address that was asked:
///
/// ```
/// use echosounder_socket::{
///     ControlSpace, MessageFlags, SendControl, ServerOptions, create_connection, create_server, option,
/// };
/// use std::io::{IoSlice, IoSliceMut};
///
/// let server = create_server("udp://0.0.0.0:0", ServerOptions::default())?;
/// server.set_option(option::IP_PKTINFO, true)?;
/// let port = server.local_addr()?.port().unwrap_or(0);
/// let client = create_connection(format!("udp://127.0.0.7:{port}"), None, None)?;
/// client.send(b"ahoy")?;
///
/// let mut buffer = [0; 64];
/// let space = ControlSpace::PACKET_INFO;
/// let request = server.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
/// let info = request.packet_info().expect("IP_PKTINFO is set");
/// assert_eq!(info.destination.to_string(), "127.0.0.7");
///
/// let reply = [IoSlice::new(&buffer[..request.len])];
/// let control = [SendControl::PacketInfo(info)];
/// server.send_msg(&reply, &control, request.from.as_ref(), MessageFlags::NONE)?;
/// assert_eq!(client.recv(&mut [0; 64])?, 4); // From 127.0.0.7, to which the client is connected.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketInfo {
    /// The destination in the datagram's header, which may be a multicast or broadcast address.
    pub destination: IpAddr,
    /// The address of this host that received the datagram. Replies must be sent from it.
    pub local: IpAddr,
    /// The interface's index. In a send, 0 lets the routing table choose the interface.
    pub interface: u32,
}

impl PacketInfo {
    /// Returns the same without the interface, so that a reply can take another route than its
    /// request. An IPv6 link-local address keeps its interface, because it is valid on that
    /// interface only.
    #[must_use]
    pub fn by_any_interface(self) -> Self {
        let link_local = matches!(self.local, IpAddr::V6(local) if local.is_unicast_link_local());
        Self { interface: if link_local { self.interface } else { 0 }, ..self }
    }

    /// Returns whether the datagram was sent to a multicast or broadcast address.
    pub fn is_to_group(&self) -> bool {
        self.destination.is_multicast() || self.destination != self.local
    }

    pub(crate) fn decode(raw: RawControl<'_>) -> Option<Self> {
        let fields = raw.fields();
        if raw.level == libc::IPPROTO_IP {
            fields.exactly::<12>()?;
            let [local, destination] = [fields.bytes::<4>(4)?, fields.bytes(8)?].map(Ipv4Addr::from);
            let interface = fields.u32(0)?;
            return Some(Self { destination: destination.into(), local: local.into(), interface });
        }
        fields.exactly::<20>()?;
        let address = IpAddr::from(Ipv6Addr::from(fields.bytes::<16>(0)?));
        Some(Self { destination: address, local: address, interface: fields.u32(16)? })
    }

    /// Returns the data as the kernel writes it: `struct in_pktinfo` or `struct in6_pktinfo`.
    pub(crate) fn data(&self) -> Box<[u8]> {
        match (self.local, self.destination) {
            (IpAddr::V4(local), destination) => {
                let mut info = in_pktinfo(local, self.interface);
                if let IpAddr::V4(destination) = destination {
                    info[8..].copy_from_slice(&destination.octets());
                }
                info.into()
            }
            (IpAddr::V6(local), _) => in6_pktinfo(local, self.interface).into(),
        }
    }

    pub(crate) fn level_and_kind(&self) -> (i32, i32) {
        match self.local {
            IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
        }
    }

    /// Writes the control message that sends a datagram from `local` through `interface`, and
    /// returns its length.
    pub(crate) fn encode(&self, control: &mut [u8]) -> usize {
        let (level, kind) = self.level_and_kind();
        match self.local {
            IpAddr::V4(local) => put(control, level, kind, &in_pktinfo(local, self.interface)),
            IpAddr::V6(local) => put(control, level, kind, &in6_pktinfo(local, self.interface)),
        }
    }
}

/// Returns a `struct in_pktinfo` with the interface, the local address, and a destination of zero,
/// which a send ignores.
fn in_pktinfo(local: Ipv4Addr, interface: u32) -> [u8; 12] {
    let mut info = [0; 12];
    info[..4].copy_from_slice(&interface.to_ne_bytes());
    info[4..8].copy_from_slice(&local.octets());
    info
}

/// Returns a `struct in6_pktinfo` with the local address and the interface.
fn in6_pktinfo(local: Ipv6Addr, interface: u32) -> [u8; 20] {
    let mut info = [0; 20];
    info[..16].copy_from_slice(&local.octets());
    info[16..].copy_from_slice(&interface.to_ne_bytes());
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_info_is_encoded_as_the_kernel_expects() {
        for local in [IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), Ipv6Addr::LOCALHOST.into()] {
            for interface in [0, 7] {
                let info = PacketInfo { destination: local, local, interface };
                let mut control = [0; 40];
                let len = info.encode(&mut control);
                let raw = RawControl::walk(&control[..len]).next().expect("one message");
                let sent = raw.fields();
                let (index, address) = match local {
                    // struct in_pktinfo: the interface, the source, and an ignored field.
                    IpAddr::V4(_) => (sent.u32(0), sent.bytes(4).map(Ipv4Addr::from).map(IpAddr::from)),
                    // struct in6_pktinfo: the source, the interface.
                    IpAddr::V6(_) => {
                        (sent.u32(16), sent.bytes::<16>(0).map(Ipv6Addr::from).map(IpAddr::from))
                    }
                };
                assert_eq!((index, address), (Some(interface), Some(local)));
                assert_eq!(info.by_any_interface(), PacketInfo { interface: 0, ..info });
            }
        }
        let link_local = IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
        let info = PacketInfo { destination: link_local, local: link_local, interface: 7 };
        assert_eq!(info.by_any_interface(), info, "a link-local address keeps its interface");
    }
}
