//! Options of AF_PACKET: SOL_PACKET, packet(7). The numbers are those of linux/if_packet.h.
//!
//! PACKET_RX_RING and PACKET_TX_RING need a mapping of memory and are set with
//! [`Socket::set_option_bytes`](crate::Socket::set_option_bytes).

use super::value::{GetValue, ReadOnly, SetValue, SocketOption, WriteOnly, layout_read, named, options};

/// Which packets of an interface a socket receives besides those to this host: `struct packet_mreq`,
/// packet(7).
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "packet_mreq")]
pub struct PacketMembership {
    /// The index of the interface.
    pub interface: u32,
    /// Which packets.
    pub packets: PacketSelection,
}

/// Packets of an interface: the PACKET_MR_ constants of linux/if_packet.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketSelection {
    /// Packets to a multicast address of at most 8 bytes.
    Multicast(Vec<u8>),
    /// All packets.
    Promiscuous,
    /// Packets to any multicast address.
    AllMulticast,
    /// Packets to another address of at most 8 bytes: Linux 2.6.31.
    Unicast(Vec<u8>),
}

impl SetValue for PacketMembership {
    type Bytes = [u8; 16];

    fn encode(&self) -> Option<[u8; 16]> {
        let (kind, address): (u16, &[u8]) = match &self.packets {
            PacketSelection::Multicast(address) => (0, address),
            PacketSelection::Promiscuous => (1, &[]),
            PacketSelection::AllMulticast => (2, &[]),
            PacketSelection::Unicast(address) => (3, address),
        };
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.interface.to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(address.len()).ok()?.to_ne_bytes());
        bytes[8..].get_mut(..address.len())?.copy_from_slice(address);
        Some(bytes)
    }
}

/// A group of sockets that share packets: packet(7).
///
/// ```no_run
/// use echosounder_socket::option::{PACKET_FANOUT, PacketFanout, PacketFanoutFlags, PacketFanoutMode};
/// use echosounder_socket::{Family, Protocol, Socket, Type, family::packet::ETH_P_ALL};
///
/// let socket = Socket::new(Family::PACKET, Type::RAW, Protocol::packet(ETH_P_ALL))?;
/// let fanout =
///     PacketFanout { group: 7, mode: PacketFanoutMode::HASH, flags: PacketFanoutFlags::empty() };
/// socket.set_option(PACKET_FANOUT, fanout)?; // After the bind to an interface.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "fanout_args")]
pub struct PacketFanout {
    /// The number of the group in its network namespace.
    pub group: u16,
    /// How the kernel chooses the socket.
    pub mode: PacketFanoutMode,
    /// How the kernel treats full sockets and fragments.
    pub flags: PacketFanoutFlags,
}

named! {
    /// How the kernel chooses the socket of a group: the PACKET_FANOUT_ constants of
    /// linux/if_packet.h.
    ///
    /// See [`PacketFanout`] for an example.
    PacketFanoutMode: u8 {
        /// By a hash of the flow, so that a flow stays with one socket.
        HASH = 0;
        /// One after the other.
        LOAD_BALANCE = 1;
        /// By the processor that received the packet.
        CPU = 2;
        /// The first socket until it is full, then the next.
        ROLLOVER = 3;
        /// At random.
        RANDOM = 4;
        /// By the receive queue of the interface.
        QUEUE = 5;
        /// By a classic BPF program.
        CBPF = 6;
        /// By an eBPF program.
        EBPF = 7;
    }
}

bitflags::bitflags! {
    /// How a group treats full sockets and fragments: the PACKET_FANOUT_FLAG_ flags of
    /// linux/if_packet.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PacketFanoutFlags: u16 {
        /// Use another socket if the chosen one is full.
        const ROLLOVER = 0x1000;
        /// Let the kernel choose an unused number of a group, if `group` is 0.
        const UNIQUE_ID = 0x2000;
        /// Do not pass packets that this host sends to the group: Linux 5.15.
        const IGNORE_OUTGOING = 0x4000;
        /// Reassemble fragments before the socket is chosen.
        const DEFRAGMENT = 0x8000;
    }
}

impl SetValue for PacketFanout {
    type Bytes = [u8; 4];

    fn encode(&self) -> Option<[u8; 4]> {
        let mode = u32::from(self.mode.0) | u32::from(self.flags.bits());
        (mode << 16 | u32::from(self.group)).encode()
    }
}

impl GetValue for PacketFanout {
    const LEN_MAX: usize = 4;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let value = u32::decode(bytes)?;
        let flags = u16::try_from(value >> 16 & 0xff00).ok()?;
        Some(Self {
            group: u16::try_from(value & 0xffff).ok()?,
            mode: PacketFanoutMode(u8::try_from(value >> 16 & 0xff).ok()?),
            flags: PacketFanoutFlags::from_bits_retain(flags),
        })
    }
}

/// Numbers of packets since the last read: `struct tpacket_stats`, packet(7).
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "tpacket_stats")]
pub struct PacketStatistics {
    /// Number of packets, with the dropped ones.
    pub packets: u32,
    /// Number of packets dropped because the queue was full.
    pub drops: u32,
}

layout_read!(PacketStatistics, 8, { packets: u32 = 0, drops: u32 = 4 });

/// How often a group used another socket: `struct tpacket_rollover_stats`, linux/if_packet.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "tpacket_rollover_stats")]
pub struct PacketRolloverStatistics {
    /// Number of packets that went to another socket.
    pub all: u64,
    /// Number of those from one large flow.
    pub huge: u64,
    /// Number of packets for which no socket had space.
    pub failed: u64,
}

layout_read!(PacketRolloverStatistics, 24, { all: u64 = 0, huge: u64 = 8, failed: u64 = 16 });

options! {
    level libc::SOL_PACKET;
    /// Receive packets to an address, or all packets of an interface: packet(7).
    PACKET_ADD_MEMBERSHIP: SocketOption<PacketMembership, WriteOnly> = 1;
    /// Receive lengths, checksum state and VLAN tag with each packet: packet(7).
    PACKET_AUXDATA: SocketOption<bool> = 8;
    /// Minimum length in bytes of packets that a ring receives both cut and in full:
    /// linux/if_packet.h.
    PACKET_COPY_THRESH: SocketOption<i32> = 7;
    /// Undo [`PACKET_ADD_MEMBERSHIP`]: packet(7).
    PACKET_DROP_MEMBERSHIP: SocketOption<PacketMembership, WriteOnly> = 2;
    /// Share the packets of an interface with the other sockets of a group: packet(7), Linux 3.1.
    PACKET_FANOUT: SocketOption<PacketFanout> = 18;
    /// Do not receive packets that this host sends: Linux 4.20.
    PACKET_IGNORE_OUTGOING: SocketOption<bool> = 23;
    /// Skip malformed packets of a send ring instead of stopping: packet(7), Linux 2.6.31.
    PACKET_LOSS: SocketOption<bool> = 14;
    /// Report the interface that received a packet first, rather than its bond or bridge:
    /// linux/if_packet.h.
    PACKET_ORIGDEV: SocketOption<bool> = 9;
    /// Send without a queueing discipline: packet(7), Linux 3.14.
    PACKET_QDISC_BYPASS: SocketOption<bool> = 20;
    /// Number of bytes that a ring leaves free before each packet: packet(7), Linux 2.6.27.
    PACKET_RESERVE: SocketOption<u32> = 12;
    /// How often a group of [`PACKET_FANOUT`] used another socket because one was full: Linux 4.2.
    PACKET_ROLLOVER_STATS: SocketOption<ReadOnly, PacketRolloverStatistics> = 21;
    /// Number of received and dropped packets since the last read: packet(7).
    PACKET_STATISTICS: SocketOption<ReadOnly, PacketStatistics> = 6;
    /// Where the timestamps of a ring come from: SOF_TIMESTAMPING_RAW_HARDWARE (64) or 0:
    /// packet(7), Linux 2.6.36.
    PACKET_TIMESTAMP: SocketOption<i32> = 17;
    /// The frames of a send ring say where their packet begins: linux/if_packet.h.
    PACKET_TX_HAS_OFF: SocketOption<bool> = 19;
    /// The layout of rings: TPACKET_V1 (0), TPACKET_V2 (1) or TPACKET_V3 (2): packet(7).
    PACKET_VERSION: SocketOption<i32> = 10;
    /// Put a `struct virtio_net_hdr` before each packet of a raw socket: linux/if_packet.h.
    PACKET_VNET_HDR: SocketOption<bool> = 15;
    /// The length in bytes of the header of [`PACKET_VNET_HDR`]; 0, 10 or 12: Linux 6.5.
    PACKET_VNET_HDR_SZ: SocketOption<i32> = 24;
}
