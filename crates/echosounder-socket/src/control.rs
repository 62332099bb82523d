//! Control messages: what the kernel tells beside the bytes. See cmsg(3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of a `cmsghdr` and alignment of what follows: a length, a level and a type.
const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();
const _: () = assert!(HEADER == 16 && ALIGN == 8, "cmsghdr is laid out here as on 64-bit Linux");

/// Most bytes of control messages that come or go with one datagram here: IPV6_PKTINFO and SO_RXQ_OVFL.
pub(crate) const CONTROL_MAX: usize = 96;

/// To which address of which interface a datagram was sent: IP_PKTINFO and IPV6_PKTINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The destination in the datagram's header; it may be a group, or everybody.
    pub destination: IpAddr,
    /// This host's address that the datagram came in by, from which it is to be answered.
    pub local: IpAddr,
    /// The interface's index.
    pub interface: u32,
}

impl PacketInfo {
    /// Whether the datagram was sent to a group or to everybody.
    pub fn is_to_group(&self) -> bool {
        self.destination.is_multicast() || self.destination != self.local
    }

    /// The control message that makes an answer leave from the address that was asked.
    ///
    /// An interface is named only where the address does not say it: the way back need not be the way in.
    pub(crate) fn encode(&self, control: &mut [u8; CONTROL_MAX]) -> usize {
        match self.local {
            IpAddr::V4(local) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&local.octets());
                put(control, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
            }
            IpAddr::V6(local) => {
                let interface = if local.is_unicast_link_local() { self.interface } else { 0 };
                let mut info = [0; 20];
                info[..16].copy_from_slice(&local.octets());
                info[16..].copy_from_slice(&interface.to_ne_bytes());
                put(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
            }
        }
    }
}

/// What control messages with a datagram said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) packet_info: Option<PacketInfo>,
    /// Datagrams that this socket has dropped since it was made: SO_RXQ_OVFL.
    pub(crate) overflows: Option<u32>,
}

impl Control {
    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let mut control = Self::default();
        while let Some((level, kind, data, rest)) = next(bytes) {
            control.take(level, kind, data);
            bytes = rest;
        }
        control
    }

    fn take(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let &[i0, i1, i2, i3, l0, l1, l2, l3, d0, d1, d2, d3, ..] = data {
                    self.packet_info = Some(PacketInfo {
                        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
                        local: Ipv4Addr::new(l0, l1, l2, l3).into(),
                        interface: u32::from_ne_bytes([i0, i1, i2, i3]),
                    });
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let address = data.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
                let interface =
                    data.get(16..).and_then(<[u8]>::first_chunk).map(|index| u32::from_ne_bytes(*index));
                if let (Some(address), Some(interface)) = (address, interface) {
                    self.packet_info =
                        Some(PacketInfo { destination: address.into(), local: address.into(), interface });
                }
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.overflows = data.first_chunk().map(|count| u32::from_ne_bytes(*count));
            }
            _ => {}
        }
    }
}

/// Splits off the first control message: level, type, data, and the bytes behind it.
fn next(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let (len, ids) = header.split_first_chunk::<8>()?;
    let (level, kind) = ids.split_first_chunk::<4>()?;
    let len = usize::from_ne_bytes(*len);
    let data = bytes.get(HEADER..len)?;
    let rest = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind.first_chunk()?), data, rest))
}

/// Writes one control message, and returns how many bytes of `control` it takes.
fn put(control: &mut [u8; CONTROL_MAX], level: i32, kind: i32, data: &[u8]) -> usize {
    let len = HEADER + data.len();
    control[..8].copy_from_slice(&len.to_ne_bytes());
    control[8..12].copy_from_slice(&level.to_ne_bytes());
    control[12..16].copy_from_slice(&kind.to_ne_bytes());
    control[HEADER..len].copy_from_slice(data);
    len.next_multiple_of(ALIGN)
}
