//! Options of AF_XDP: SOL_XDP, the kernel's document networking/af_xdp. The numbers are those of
//! linux/if_xdp.h.
//!
//! XDP_UMEM_REG contains an address and is set with
//! [`Socket::set_option_bytes`](crate::Socket::set_option_bytes).

use super::value::{GetValue, ReadOnly, SocketOption, WriteOnly, flag_set, layout_read, options};

/// Where the fields of a ring are in its mapping, in bytes: `struct xdp_ring_offset`,
/// linux/if_xdp.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "xdp_ring_offset")]
pub struct XdpRingOffset {
    /// The number of the next entry that the producer writes.
    pub producer: u64,
    /// The number of the next entry that the consumer reads.
    pub consumer: u64,
    /// The entries.
    pub descriptors: u64,
    /// The flags.
    pub flags: u64,
}

layout_read!(XdpRingOffset, 32, {
    producer: u64 = 0, consumer: u64 = 8, descriptors: u64 = 16, flags: u64 = 24,
});

/// The offsets of the four rings: `struct xdp_mmap_offsets`, linux/if_xdp.h.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "xdp_mmap_offsets")]
pub struct XdpMmapOffsets {
    /// The receive ring.
    pub receive: XdpRingOffset,
    /// The send ring.
    pub send: XdpRingOffset,
    /// The fill ring.
    pub fill: XdpRingOffset,
    /// The completion ring.
    pub completion: XdpRingOffset,
}

impl GetValue for XdpMmapOffsets {
    const LEN_MAX: usize = 128;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let ring = |number: usize| XdpRingOffset::decode(bytes.get(32 * number..)?);
        Some(Self { receive: ring(0)?, send: ring(1)?, fill: ring(2)?, completion: ring(3)? })
    }
}

/// Numbers of dropped packets and invalid descriptors: `struct xdp_statistics`, linux/if_xdp.h,
/// Linux 5.9.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "xdp_statistics")]
pub struct XdpStatistics {
    /// Packets dropped for other reasons.
    pub rx_dropped: u64,
    /// Packets dropped because of an invalid descriptor.
    pub rx_invalid_descs: u64,
    /// Invalid descriptors in the send ring.
    pub tx_invalid_descs: u64,
    /// Packets dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// How often the fill ring was empty.
    pub rx_fill_ring_empty_descs: u64,
    /// How often the send ring was empty.
    pub tx_ring_empty_descs: u64,
}

layout_read!(XdpStatistics, 48, {
    rx_dropped: u64 = 0,
    rx_invalid_descs: u64 = 8,
    tx_invalid_descs: u64 = 16,
    rx_ring_full: u64 = 24,
    rx_fill_ring_empty_descs: u64 = 32,
    tx_ring_empty_descs: u64 = 40,
});

bitflags::bitflags! {
    /// Properties of an AF_XDP socket: `struct xdp_options`, linux/if_xdp.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct XdpOptions: u32 {
        /// The driver reads and writes packets in the memory of the program.
        const ZEROCOPY = 1;
    }
}

flag_set!(XdpOptions: u32);

options! {
    level libc::SOL_XDP;
    /// Where the fields of the rings are in their mappings: the kernel's document
    /// networking/af_xdp.
    XDP_MMAP_OFFSETS: SocketOption<ReadOnly, XdpMmapOffsets> = 1;
    /// Whether the socket uses zero-copy: Linux 5.3.
    XDP_OPTIONS: SocketOption<ReadOnly, XdpOptions> = 8;
    /// The number of entries of the receive ring, a power of two: the kernel's document
    /// networking/af_xdp.
    XDP_RX_RING: SocketOption<u32, WriteOnly> = 2;
    /// Numbers of dropped packets and invalid descriptors: the kernel's document networking/af_xdp.
    XDP_STATISTICS: SocketOption<ReadOnly, XdpStatistics> = 7;
    /// The number of entries of the send ring, a power of two: the kernel's document
    /// networking/af_xdp.
    XDP_TX_RING: SocketOption<u32, WriteOnly> = 3;
    /// The number of entries of the completion ring, a power of two: the kernel's document
    /// networking/af_xdp.
    XDP_UMEM_COMPLETION_RING: SocketOption<u32, WriteOnly> = 6;
    /// The number of entries of the fill ring, a power of two: the kernel's document
    /// networking/af_xdp.
    XDP_UMEM_FILL_RING: SocketOption<u32, WriteOnly> = 5;
}
