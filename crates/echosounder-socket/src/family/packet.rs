//! AF_PACKET: the frames of network interfaces. See packet(7).
//!
//! - A socket needs CAP_NET_RAW. With [`Type::RAW`](super::Type::RAW) a message begins with the
//!   link-layer header, with [`Type::DGRAM`](super::Type::DGRAM) without it.
//! - The protocol of the socket is an Ethernet type in network byte order: see
//!   [`Protocol::packet`](super::Protocol::packet). A socket with protocol 0 receives nothing until
//!   it is bound to a protocol.
//! - A socket that is not bound to an interface receives from all of them.
//! - A frame that the loopback interface sends is received twice with [`ETH_P_ALL`]: once as
//!   [`PacketAddress::OUTGOING`], once as [`PacketAddress::HOST`].

use std::fmt;

use crate::raw_address::RawAddress;

/// The Ethernet type that stands for all: linux/if_ether.h.
pub const ETH_P_ALL: u16 = 0x0003;
/// IPv4: linux/if_ether.h.
pub const ETH_P_IP: u16 = 0x0800;
/// ARP: linux/if_ether.h.
pub const ETH_P_ARP: u16 = 0x0806;
/// IPv6: linux/if_ether.h.
pub const ETH_P_IPV6: u16 = 0x86dd;

/// The address of a packet socket or a frame: `struct sockaddr_ll`, packet(7).
///
/// ```
/// use echosounder_socket::family::packet::{ETH_P_IP, PacketAddress};
/// use echosounder_socket::{Address, interface_index};
///
/// let address = PacketAddress::new(ETH_P_IP, interface_index("lo")?);
/// assert_eq!(address.to_string(), "interface 1, protocol 0x0800");
/// let address = Address::from(address); // For `Socket::bind`.
/// # let _ = address;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct PacketAddress {
    /// The Ethernet type of the frames, for example [`ETH_P_IP`].
    pub protocol: u16,
    /// The index of the network interface; in a bind, 0 means all of them.
    pub interface: u32,
    /// The type of the interface's hardware: an ARPHRD_ number of linux/if_arp.h. The kernel sets
    /// it.
    pub hardware_type: u16,
    /// How the frame was addressed: [`HOST`](Self::HOST) or another of these constants. The kernel
    /// sets it.
    pub packet_type: u8,
    hardware_len: u8,
    hardware: [u8; 8],
}

impl PacketAddress {
    /// A frame to this host: PACKET_HOST.
    pub const HOST: u8 = 0;
    /// A broadcast frame: PACKET_BROADCAST.
    pub const BROADCAST: u8 = 1;
    /// A multicast frame: PACKET_MULTICAST.
    pub const MULTICAST: u8 = 2;
    /// A frame to another host that a promiscuous interface has received: PACKET_OTHERHOST.
    pub const OTHER_HOST: u8 = 3;
    /// A frame from this host: PACKET_OUTGOING.
    pub const OUTGOING: u8 = 4;

    /// Creates an address to bind to: the frames of an Ethernet type on an interface.
    pub const fn new(protocol: u16, interface: u32) -> Self {
        Self { protocol, interface, hardware_type: 0, packet_type: 0, hardware_len: 0, hardware: [0; 8] }
    }

    /// Returns the address with an Ethernet address, to send to with
    /// [`Type::DGRAM`](super::Type::DGRAM).
    #[must_use]
    pub fn with_ethernet(mut self, address: [u8; 6]) -> Self {
        self.hardware = [0; 8];
        self.hardware[..6].copy_from_slice(&address);
        Self { hardware_len: 6, ..self }
    }

    /// Returns the hardware address: of the sender of a received frame, or of a socket's interface.
    pub fn hardware(&self) -> HardwareAddress {
        HardwareAddress::new(&self.hardware[..usize::from(self.hardware_len.min(8))]).unwrap_or_default()
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        raw.put(&self.protocol.to_be_bytes());
        raw.put(&self.interface.to_ne_bytes());
        raw.put(&self.hardware_type.to_ne_bytes());
        raw.put(&[self.packet_type, self.hardware_len]);
        raw.put(&self.hardware);
    }

    /// Decodes an address; `None` if the hardware address has more than 8 bytes, as that of
    /// InfiniBand. getsockname(2) returns no more bytes of the hardware address than it has.
    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        let [packet_type, hardware_len] = raw.field(10)?;
        let mut hardware = [0; 8];
        let found = raw.as_bytes().get(12..12 + usize::from(hardware_len))?;
        hardware.get_mut(..found.len())?.copy_from_slice(found);
        Some(Self {
            protocol: u16::from_be_bytes(raw.field(2)?),
            interface: u32::from_ne_bytes(raw.field(4)?),
            hardware_type: u16::from_ne_bytes(raw.field(8)?),
            packet_type,
            hardware_len,
            hardware,
        })
    }
}

impl fmt::Debug for PacketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketAddress")
            .field("protocol", &format_args!("{:#06x}", self.protocol))
            .field("interface", &self.interface)
            .field("hardware_type", &self.hardware_type)
            .field("packet_type", &self.packet_type)
            .field("hardware", &format_args!("{}", self.hardware()))
            .finish()
    }
}

impl fmt::Display for PacketAddress {
    /// Writes the hardware address if there is one, the interface and the Ethernet type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hardware_len != 0 {
            write!(f, "{}, ", self.hardware())?;
        }
        write!(f, "interface {}, protocol {:#06x}", self.interface, self.protocol)
    }
}

const _: () = assert!(size_of::<libc::sockaddr_ll>() == 20);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_ll, sll_ifindex) == 4);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_ll, sll_hatype) == 8);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_ll, sll_addr) == 12);

/// The address of a network interface in its link layer: 6 bytes for Ethernet, at most 32.
///
/// ```
/// use echosounder_socket::family::packet::HardwareAddress;
///
/// let address = HardwareAddress::new(&[2, 0, 0, 0, 0, 0xfe]).ok_or("too long")?;
/// assert_eq!(address.to_string(), "02:00:00:00:00:fe");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "MAC address")]
pub struct HardwareAddress {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl HardwareAddress {
    /// Maximum length in bytes: MAX_ADDR_LEN of linux/netdevice.h.
    pub const MAX: usize = 32;

    /// Creates an address; `None` if it has more than 32 bytes.
    pub fn new(address: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..address.len())?.copy_from_slice(address);
        Some(Self { bytes, len: u8::try_from(address.len()).ok()? })
    }

    /// Returns the bytes. There are none if the interface has no address.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl From<[u8; 6]> for HardwareAddress {
    fn from(address: [u8; 6]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..6].copy_from_slice(&address);
        Self { bytes, len: 6 }
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_hex(f, self.as_bytes(), ":")
    }
}

impl fmt::Debug for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HardwareAddress({self})")
    }
}
