//! Options of Multipath TCP: SOL_MPTCP, the kernel's document networking/mptcp. The numbers are
//! those of linux/mptcp.h.

use super::value::{GetValue, ReadOnly, SocketOption, options};

bitflags::bitflags! {
    /// Properties of a Multipath TCP connection: the MPTCP_INFO_FLAG_ flags of linux/mptcp.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MptcpFlags: u32 {
        /// The connection uses plain TCP, because the peer or a middlebox does not know Multipath
        /// TCP: MPTCP_INFO_FLAG_FALLBACK.
        const FALLBACK = 1;
        /// The key of the peer is known: MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED.
        const REMOTE_KEY_RECEIVED = 2;
    }
}

/// The state of a Multipath TCP connection: `struct mptcp_info`, linux/mptcp.h. Numbers that the
/// kernel does not report are 0.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[doc(alias = "mptcp_info")]
pub struct MptcpInfo {
    /// Number of subflows besides the first.
    pub subflows: u8,
    /// Number of addresses announced to the peer.
    pub add_addr_signal: u8,
    /// Number of addresses of the peer that were accepted.
    pub add_addr_accepted: u8,
    /// Maximum of `subflows`.
    pub subflows_max: u8,
    /// Maximum of `add_addr_signal`.
    pub add_addr_signal_max: u8,
    /// Maximum of `add_addr_accepted`.
    pub add_addr_accepted_max: u8,
    /// Properties of the connection.
    pub flags: MptcpFlags,
    /// The number of the connection on this host.
    pub token: u32,
    /// The sequence number of the next byte to send.
    pub write_seq: u64,
    /// The sequence number of the first byte that the peer has not acknowledged.
    pub snd_una: u64,
    /// The sequence number of the next byte to receive.
    pub rcv_nxt: u64,
    /// Number of local addresses in use.
    pub local_addr_used: u8,
    /// Maximum of `local_addr_used`.
    pub local_addr_max: u8,
    /// Whether data is protected by checksums.
    pub csum_enabled: u8,
    /// Number of retransmissions on another subflow: Linux 6.5.
    pub retransmits: u32,
    /// Number of retransmitted bytes: Linux 6.5.
    pub bytes_retrans: u64,
    /// Number of bytes sent: Linux 6.5.
    pub bytes_sent: u64,
    /// Number of bytes received: Linux 6.5.
    pub bytes_received: u64,
    /// Number of bytes that the peer has acknowledged: Linux 6.5.
    pub bytes_acked: u64,
    /// Number of subflows: Linux 6.9.
    pub subflows_total: u8,
}

impl GetValue for MptcpInfo {
    const LEN_MAX: usize = 96;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; Self::LEN_MAX];
        let len = bytes.len().min(Self::LEN_MAX);
        all[..len].copy_from_slice(&bytes[..len]);
        let byte = |at: usize| all[at];
        let number = |at: usize| u32::decode(&all[at..]);
        let long = |at: usize| u64::decode(&all[at..]);
        Some(Self {
            subflows: byte(0),
            add_addr_signal: byte(1),
            add_addr_accepted: byte(2),
            subflows_max: byte(3),
            add_addr_signal_max: byte(4),
            add_addr_accepted_max: byte(5),
            flags: MptcpFlags::from_bits_retain(number(8)?),
            token: number(12)?,
            write_seq: long(16)?,
            snd_una: long(24)?,
            rcv_nxt: long(32)?,
            local_addr_used: byte(40),
            local_addr_max: byte(41),
            csum_enabled: byte(42),
            retransmits: number(44)?,
            bytes_retrans: long(48)?,
            bytes_sent: long(56)?,
            bytes_received: long(64)?,
            bytes_acked: long(72)?,
            subflows_total: byte(80),
        })
    }
}

/// The level of the options: linux/socket.h.
const SOL_MPTCP: i32 = 284;

options! {
    level SOL_MPTCP;
    /// The state of a connection and its counters: Linux 5.16.
    MPTCP_INFO: SocketOption<ReadOnly, MptcpInfo> = 1;
}
