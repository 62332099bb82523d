//! Facts that the kernel or the protocol attaches to a message: SCTP, AF_PACKET.

use crate::control::raw::Fields;

/// How to send an SCTP message: `struct sctp_sndinfo`, RFC 6458, section 5.3.4.
///
/// ```
/// use echosounder_socket::{SctpSendInfo, SendControl};
///
/// let info = SctpSendInfo { stream: 3, ..SctpSendInfo::default() };
/// let control = [SendControl::SctpSendInfo(info)];
/// # let _ = control;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SctpSendInfo {
    /// The number of the stream.
    pub stream: u16,
    /// Flags, for example SCTP_UNORDERED (1).
    pub flags: u16,
    /// The payload protocol identifier, as the peer receives it: the kernel does not change its
    /// byte order.
    pub ppid: u32,
    /// A value that the kernel returns if the message cannot be sent.
    pub context: u32,
    /// The association; 0 on a one-to-one socket.
    pub association: i32,
}

impl SctpSendInfo {
    pub(crate) fn data(self) -> [u8; 16] {
        let mut data = [0; 16];
        data[..2].copy_from_slice(&self.stream.to_ne_bytes());
        data[2..4].copy_from_slice(&self.flags.to_ne_bytes());
        data[4..8].copy_from_slice(&self.ppid.to_ne_bytes());
        data[8..12].copy_from_slice(&self.context.to_ne_bytes());
        data[12..].copy_from_slice(&self.association.to_ne_bytes());
        data
    }
}

/// How an SCTP message was received: `struct sctp_rcvinfo`, RFC 6458, section 5.3.5. The option
/// [`SCTP_RECVRCVINFO`](crate::option::SCTP_RECVRCVINFO) enables it.
///
/// It is received as the control messages of [`Message`](crate::Message) are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SctpReceiveInfo {
    /// The number of the stream.
    pub stream: u16,
    /// The number of the message in the stream.
    pub stream_sequence: u16,
    /// Flags, for example SCTP_UNORDERED (1).
    pub flags: u16,
    /// The payload protocol identifier, as the peer has sent it.
    pub ppid: u32,
    /// The transmission sequence number of the first chunk.
    pub tsn: u32,
    /// The cumulative transmission sequence number.
    pub cumulative_tsn: u32,
    /// The context that the receiver has set with SCTP_CONTEXT.
    pub context: u32,
    /// The association.
    pub association: i32,
}

impl SctpReceiveInfo {
    const LEN: usize = 28;

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        let fields = Fields(data);
        fields.exactly::<{ Self::LEN }>()?;
        // Two bytes of padding follow the flags.
        (fields.u16(6)? == 0).then_some(())?;
        Some(Self {
            stream: fields.u16(0)?,
            stream_sequence: fields.u16(2)?,
            flags: fields.u16(4)?,
            ppid: fields.u32(8)?,
            tsn: fields.u32(12)?,
            cumulative_tsn: fields.u32(16)?,
            context: fields.u32(20)?,
            association: fields.i32(24)?,
        })
    }

    pub(crate) fn data(self) -> [u8; Self::LEN] {
        let mut data = [0; Self::LEN];
        data[..2].copy_from_slice(&self.stream.to_ne_bytes());
        data[2..4].copy_from_slice(&self.stream_sequence.to_ne_bytes());
        data[4..6].copy_from_slice(&self.flags.to_ne_bytes());
        data[8..12].copy_from_slice(&self.ppid.to_ne_bytes());
        data[12..16].copy_from_slice(&self.tsn.to_ne_bytes());
        data[16..20].copy_from_slice(&self.cumulative_tsn.to_ne_bytes());
        data[20..24].copy_from_slice(&self.context.to_ne_bytes());
        data[24..].copy_from_slice(&self.association.to_ne_bytes());
        data
    }
}

/// Facts about a received frame: `struct tpacket_auxdata`, packet(7). The option
/// [`PACKET_AUXDATA`](crate::option::PACKET_AUXDATA) enables it.
///
/// It is received as the control messages of [`Message`](crate::Message) are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PacketAuxData {
    /// Flags TP_STATUS_ of linux/if_packet.h.
    pub status: u32,
    /// Length of the frame in bytes.
    pub len: u32,
    /// Number of bytes captured, which a filter may have reduced.
    pub snapshot_len: u32,
    /// Offset of the link-layer header in bytes.
    pub mac_offset: u16,
    /// Offset of the network header in bytes.
    pub network_offset: u16,
    /// The VLAN tag; see [`vlan`](Self::vlan).
    pub vlan_tci: u16,
    /// The protocol of the VLAN tag, for example 0x8100.
    pub vlan_tpid: u16,
}

impl PacketAuxData {
    const LEN: usize = 20;
    const STATUS_VLAN_VALID: u32 = 1 << 4;

    /// Returns the VLAN tag that the network card has removed from the frame: the priority in the
    /// upper 3 bits, the VLAN in the lower 12 (IEEE 802.1Q).
    pub fn vlan(&self) -> Option<u16> {
        (self.status & Self::STATUS_VLAN_VALID != 0).then_some(self.vlan_tci)
    }

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        let fields = Fields(data);
        fields.exactly::<{ Self::LEN }>()?;
        Some(Self {
            status: fields.u32(0)?,
            len: fields.u32(4)?,
            snapshot_len: fields.u32(8)?,
            mac_offset: fields.u16(12)?,
            network_offset: fields.u16(14)?,
            vlan_tci: fields.u16(16)?,
            vlan_tpid: fields.u16(18)?,
        })
    }

    pub(crate) fn data(self) -> [u8; Self::LEN] {
        let mut data = [0; Self::LEN];
        data[..4].copy_from_slice(&self.status.to_ne_bytes());
        data[4..8].copy_from_slice(&self.len.to_ne_bytes());
        data[8..12].copy_from_slice(&self.snapshot_len.to_ne_bytes());
        data[12..14].copy_from_slice(&self.mac_offset.to_ne_bytes());
        data[14..16].copy_from_slice(&self.network_offset.to_ne_bytes());
        data[16..18].copy_from_slice(&self.vlan_tci.to_ne_bytes());
        data[18..].copy_from_slice(&self.vlan_tpid.to_ne_bytes());
        data
    }
}
