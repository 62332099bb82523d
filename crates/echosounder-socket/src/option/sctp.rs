//! Options of SCTP: IPPROTO_SCTP, sctp(7) and RFC 6458. The numbers are those of linux/sctp.h.
//!
//! The fields `association` are ignored by one-to-one sockets ([`Type::STREAM`]). On one-to-many
//! sockets ([`Type::SEQPACKET`]), 0 stands for future associations, and reading returns their
//! values; [`Socket::option_with_input`] reads those of one association.
//!
//! [`Type::STREAM`]: crate::Type::STREAM
//! [`Type::SEQPACKET`]: crate::Type::SEQPACKET
//! [`Socket::option_with_input`]: crate::Socket::option_with_input

use super::value::{GetValue, ReadOnly, SetValue, SocketOption, WriteOnly, layout, named, options};

/// Numbers of streams and attempts of new associations: `struct sctp_initmsg`, RFC 6458, 8.1.3. Zero
/// leaves a number unchanged.
///
/// ```no_run
/// use echosounder_socket::option::{SCTP_INITMSG, SctpInit};
/// use echosounder_socket::{Family, Protocol, Socket, Type};
///
/// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::SCTP)?;
/// socket.set_option(SCTP_INITMSG, SctpInit { streams_out: 10, ..SctpInit::default() })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_initmsg")]
pub struct SctpInit {
    /// Number of streams to send.
    pub streams_out: u16,
    /// Maximum number of streams to receive.
    pub streams_in_max: u16,
    /// Maximum number of attempts.
    pub attempts_max: u16,
    /// Maximum retransmission timeout of an attempt in milliseconds.
    pub timeout_max_ms: u16,
}

layout!(SctpInit, 8, {
    streams_out: u16 = 0, streams_in_max: u16 = 2, attempts_max: u16 = 4, timeout_max_ms: u16 = 6,
});

/// Retransmission timeouts in milliseconds: `struct sctp_rtoinfo`, RFC 6458, 8.1.1. Zero leaves a
/// number unchanged.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_rtoinfo")]
pub struct SctpRto {
    /// The association.
    pub association: i32,
    /// The first timeout.
    pub initial_ms: u32,
    /// The longest timeout.
    pub max_ms: u32,
    /// The shortest timeout.
    pub min_ms: u32,
}

layout!(SctpRto, 16, { association: i32 = 0, initial_ms: u32 = 4, max_ms: u32 = 8, min_ms: u32 = 12 });

/// Limits of an association: `struct sctp_assocparams`, RFC 6458, 8.1.2.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_assocparams")]
pub struct SctpAssociationParameters {
    /// The association.
    pub association: i32,
    /// Maximum number of retransmissions; zero leaves it unchanged.
    pub retransmissions_max: u16,
    /// Number of addresses of the peer. It is only read.
    pub peer_destinations: u16,
    /// The peer's receive window in bytes. It is only read.
    pub peer_window: u32,
    /// This host's receive window in bytes. It is only read.
    pub local_window: u32,
    /// The lifetime of cookies in milliseconds; zero leaves it unchanged.
    pub cookie_life_ms: u32,
}

layout!(SctpAssociationParameters, 20, {
    association: i32 = 0,
    retransmissions_max: u16 = 4,
    peer_destinations: u16 = 6,
    peer_window: u32 = 8,
    local_window: u32 = 12,
    cookie_life_ms: u32 = 16,
});

/// A number of an association: `struct sctp_assoc_value`, RFC 6458.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_assoc_value")]
pub struct SctpValue {
    /// The association.
    pub association: i32,
    /// The number.
    pub value: u32,
}

layout!(SctpValue, 8, { association: i32 = 0, value: u32 = 4 });

/// Delay and frequency of acknowledgements: `struct sctp_sack_info`, RFC 6458, 8.1.19. Zero leaves a
/// number unchanged.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_sack_info")]
pub struct SctpDelayedSack {
    /// The association.
    pub association: i32,
    /// The longest delay in milliseconds, at most 500.
    pub delay_ms: u32,
    /// Number of packets after which an acknowledgement is sent at once.
    pub frequency: u32,
}

layout!(SctpDelayedSack, 12, { association: i32 = 0, delay_ms: u32 = 4, frequency: u32 = 8 });

/// Stream and flags of a sent message: `struct sctp_sndinfo`, RFC 6458, 5.3.4.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_sndinfo")]
pub struct SctpSendInfo {
    /// The number of the stream.
    pub stream: u16,
    /// SCTP_UNORDERED (1) and other flags of linux/sctp.h.
    pub flags: u16,
    /// The payload protocol identifier, which the peer receives unchanged.
    pub payload_protocol: u32,
    /// A number that errors about the message report.
    pub context: u32,
    /// The association.
    pub association: i32,
}

layout!(SctpSendInfo, 16, {
    stream: u16 = 0, flags: u16 = 2, payload_protocol: u32 = 4, context: u32 = 8, association: i32 = 12,
});

/// A type of notification to receive or not: `struct sctp_event`, RFC 6458, 6.2.2.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_event")]
pub struct SctpEvent {
    /// The association.
    pub association: i32,
    /// The type, such as SCTP_ASSOC_CHANGE (0x8001) of linux/sctp.h.
    pub kind: u16,
    /// Whether to receive it.
    pub is_on: bool,
}

impl SetValue for SctpEvent {
    type Bytes = [u8; 8];

    fn encode(&self) -> Option<[u8; 8]> {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.association.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6] = self.is_on.into();
        Some(bytes)
    }
}

bitflags::bitflags! {
    /// Notifications that a socket receives: `struct sctp_event_subscribe`, RFC 6458, 6.2.1.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    #[doc(alias = "sctp_event_subscribe")]
    pub struct SctpEvents: u16 {
        /// The control message SCTP_SNDRCV with each message.
        const DATA_IO = 1 << 0;
        /// Beginnings and ends of associations.
        const ASSOCIATION = 1 << 1;
        /// Changes of the peer's addresses.
        const ADDRESS = 1 << 2;
        /// Messages that could not be sent: deprecated by RFC 6458.
        const SEND_FAILURE = 1 << 3;
        /// Errors that the peer reports.
        const PEER_ERROR = 1 << 4;
        /// The peer has shut down.
        const SHUTDOWN = 1 << 5;
        /// Messages that are received in part.
        const PARTIAL_DELIVERY = 1 << 6;
        /// The adaptation layer indication of the peer.
        const ADAPTATION_LAYER = 1 << 7;
        /// Authentication keys.
        const AUTHENTICATION = 1 << 8;
        /// The peer has acknowledged everything.
        const SENDER_DRY = 1 << 9;
        /// Streams were reset: RFC 6525.
        const STREAM_RESET = 1 << 10;
        /// The association was reset: RFC 6525.
        const ASSOCIATION_RESET = 1 << 11;
        /// Streams were added: RFC 6525.
        const STREAM_CHANGE = 1 << 12;
        /// Messages that could not be sent.
        const SEND_FAILURE_EVENT = 1 << 13;
    }
}

/// One byte for each flag. Older kernels have fewer, and ignore the rest or refuse the value.
impl SetValue for SctpEvents {
    type Bytes = [u8; 14];

    fn encode(&self) -> Option<[u8; 14]> {
        let mut bytes = [0; 14];
        for (bit, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from(self.bits() >> bit & 1 == 1);
        }
        Some(bytes)
    }
}

impl GetValue for SctpEvents {
    const LEN_MAX: usize = 14;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let flag = |(bit, byte): (usize, &u8)| u16::from(*byte != 0) << bit;
        Some(Self::from_bits_retain(bytes.iter().take(Self::LEN_MAX).enumerate().map(flag).sum()))
    }
}

/// Heartbeats and path MTU of the peer's addresses: `struct sctp_paddrparams`, RFC 6458, 8.1.12. The
/// address is left out, which stands for all addresses.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sctp_paddrparams")]
pub struct SctpPeerParameters {
    /// The association.
    pub association: i32,
    /// Milliseconds between heartbeats; zero leaves the number unchanged.
    pub heartbeat_ms: u32,
    /// Number of retransmissions from which an address is unreachable; zero leaves it unchanged.
    pub retransmissions_max: u16,
    /// The path MTU in bytes, if SPP_PMTUD_DISABLE is set.
    pub path_mtu: u32,
    /// The delay of acknowledgements in milliseconds, if SPP_SACKDELAY_ENABLE is set.
    pub sack_delay_ms: u32,
    /// Which of the other fields to set, and which mechanisms are on.
    pub flags: SctpPeerFlags,
    /// The flow label of IPv6, if SPP_IPV6_FLOWLABEL is set.
    pub flow_label: u32,
    /// The DSCP value, if SPP_DSCP is set.
    pub dscp: u8,
}

bitflags::bitflags! {
    /// Mechanisms of a peer's addresses: the SPP_ flags of linux/sctp.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SctpPeerFlags: u32 {
        /// Send heartbeats.
        const HEARTBEAT_ENABLE = 1 << 0;
        /// Do not send heartbeats.
        const HEARTBEAT_DISABLE = 1 << 1;
        /// Send a heartbeat at once.
        const HEARTBEAT_DEMAND = 1 << 2;
        /// Discover the path MTU.
        const PATH_MTU_DISCOVERY_ENABLE = 1 << 3;
        /// Use `path_mtu`.
        const PATH_MTU_DISCOVERY_DISABLE = 1 << 4;
        /// Delay acknowledgements by `sack_delay_ms`.
        const SACK_DELAY_ENABLE = 1 << 5;
        /// Acknowledge at once.
        const SACK_DELAY_DISABLE = 1 << 6;
        /// A heartbeat interval of 0 is meant.
        const HEARTBEAT_TIME_IS_ZERO = 1 << 7;
        /// Set `flow_label`.
        const IPV6_FLOW_LABEL = 1 << 8;
        /// Set `dscp`.
        const DSCP = 1 << 9;
    }
}

impl SetValue for SctpPeerParameters {
    type Bytes = [u8; 156];

    fn encode(&self) -> Option<[u8; 156]> {
        let mut bytes = [0; 156];
        bytes[..4].copy_from_slice(&self.association.to_ne_bytes());
        bytes[132..136].copy_from_slice(&self.heartbeat_ms.to_ne_bytes());
        bytes[136..138].copy_from_slice(&self.retransmissions_max.to_ne_bytes());
        bytes[138..142].copy_from_slice(&self.path_mtu.to_ne_bytes());
        bytes[142..146].copy_from_slice(&self.sack_delay_ms.to_ne_bytes());
        bytes[146..150].copy_from_slice(&self.flags.bits().to_ne_bytes());
        bytes[150..154].copy_from_slice(&self.flow_label.to_ne_bytes());
        bytes[154] = self.dscp;
        Some(bytes)
    }
}

impl GetValue for SctpPeerParameters {
    const LEN_MAX: usize = 156;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| u32::decode(bytes.get(at..)?);
        Some(Self {
            association: i32::decode(bytes)?,
            heartbeat_ms: number(132)?,
            retransmissions_max: u16::decode(bytes.get(136..)?)?,
            path_mtu: number(138)?,
            sack_delay_ms: number(142)?,
            flags: SctpPeerFlags::from_bits_retain(number(146)?),
            flow_label: number(150)?,
            dscp: u8::decode(bytes.get(154..)?)?,
        })
    }
}

named! {
    /// The state of an association: `enum sctp_sstat_state`, linux/sctp.h.
    ///
    /// [`SctpStatus`] has an example.
    SctpState: i32 {
        /// There is no association.
        EMPTY = 0;
        /// The association has ended.
        CLOSED = 1;
        /// INIT was sent.
        COOKIE_WAIT = 2;
        /// COOKIE ECHO was sent.
        COOKIE_ECHOED = 3;
        /// Data can be sent and received.
        ESTABLISHED = 4;
        /// The program has shut down; sent data is not acknowledged yet.
        SHUTDOWN_PENDING = 5;
        /// SHUTDOWN was sent.
        SHUTDOWN_SENT = 6;
        /// SHUTDOWN was received.
        SHUTDOWN_RECEIVED = 7;
        /// SHUTDOWN ACK was sent.
        SHUTDOWN_ACK_SENT = 8;
    }
}

/// The state of an association and of its primary path: `struct sctp_status`, RFC 6458, 8.2.1.
///
/// ```no_run
/// use echosounder_socket::{create_connection, option};
///
/// let socket = create_connection("sctp://localhost:21567", None, None)?;
/// println!("{} ms", socket.option(option::SCTP_STATUS)?.srtt_ms);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "sctp_status")]
pub struct SctpStatus {
    /// The association.
    pub association: i32,
    /// The state.
    pub state: SctpState,
    /// The peer's receive window in bytes.
    pub peer_window: u32,
    /// Number of chunks that the peer has not acknowledged.
    pub unacknowledged: u16,
    /// Number of chunks that have not been received by the program.
    pub pending: u16,
    /// Number of streams to receive.
    pub streams_in: u16,
    /// Number of streams to send.
    pub streams_out: u16,
    /// Number of bytes from which messages are fragmented.
    pub fragmentation_point: u32,
    /// The congestion window of the primary path in bytes.
    pub congestion_window: u32,
    /// The smoothed round-trip time of the primary path in milliseconds.
    pub srtt_ms: u32,
    /// The retransmission timeout of the primary path in milliseconds.
    pub rto_ms: u32,
    /// The MTU of the primary path in bytes.
    pub mtu: u32,
}

impl GetValue for SctpStatus {
    const LEN_MAX: usize = 176;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let short = |at: usize| u16::decode(bytes.get(at..)?);
        let number = |at: usize| u32::decode(bytes.get(at..)?);
        Some(Self {
            association: i32::decode(bytes)?,
            state: SctpState::decode(bytes.get(4..)?)?,
            peer_window: number(8)?,
            unacknowledged: short(12)?,
            pending: short(14)?,
            streams_in: short(16)?,
            streams_out: short(18)?,
            fragmentation_point: number(20)?,
            congestion_window: number(160)?,
            srtt_ms: number(164)?,
            rto_ms: number(168)?,
            mtu: number(172)?,
        })
    }
}

options! {
    level libc::IPPROTO_SCTP;
    /// The adaptation layer indication that is sent to peers: RFC 6458, 8.1.10.
    SCTP_ADAPTATION_LAYER: SocketOption<u32> = 7;
    /// Limits of an association: RFC 6458, 8.1.2.
    SCTP_ASSOCINFO: SocketOption<SctpAssociationParameters> = 1;
    /// Seconds without traffic after which an association of a one-to-many socket ends; 0 for
    /// never: RFC 6458, 8.1.8.
    SCTP_AUTOCLOSE: SocketOption<i32> = 4;
    /// Tell peers about addresses that this host gains or loses: RFC 6458, 8.1.23.
    SCTP_AUTO_ASCONF: SocketOption<bool> = 30;
    /// The context that receives report: RFC 6458, 8.1.25.
    SCTP_CONTEXT: SocketOption<SctpValue> = 17;
    /// Stream and flags of messages that are sent without a control message: RFC 6458, 8.1.31.
    SCTP_DEFAULT_SNDINFO: SocketOption<SctpSendInfo> = 34;
    /// Delay and frequency of acknowledgements: RFC 6458, 8.1.19.
    SCTP_DELAYED_SACK: SocketOption<SctpDelayedSack> = 16;
    /// Refuse messages that do not fit into one packet: RFC 6458, 8.1.11.
    SCTP_DISABLE_FRAGMENTS: SocketOption<bool> = 8;
    /// Receive notifications of one type: RFC 6458, 6.2.2. Linux 5.0.
    SCTP_EVENT: SocketOption<SctpEvent, WriteOnly> = 127;
    /// Which notifications and information to receive: RFC 6458, 6.2.1.
    SCTP_EVENTS: SocketOption<SctpEvents> = 11;
    /// Whether parts of messages of different associations may be received in turn: RFC 6458,
    /// 8.1.20.
    SCTP_FRAGMENT_INTERLEAVE: SocketOption<i32> = 18;
    /// Number of associations: RFC 6458, 8.2.5.
    SCTP_GET_ASSOC_NUMBER: SocketOption<ReadOnly, u32> = 28;
    /// Numbers of streams and attempts of new associations: RFC 6458, 8.1.3.
    SCTP_INITMSG: SocketOption<SctpInit> = 2;
    /// Whether messages of different streams may interleave: RFC 8260.
    SCTP_INTERLEAVING_SUPPORTED: SocketOption<SctpValue> = 125;
    /// Report IPv4 addresses as mapped IPv6 addresses: RFC 6458, 8.1.15.
    SCTP_I_WANT_MAPPED_V4_ADDR: SocketOption<bool> = 12;
    /// Maximum size of a fragment in bytes; 0 for the path MTU: RFC 6458, 8.1.16.
    SCTP_MAXSEG: SocketOption<SctpValue> = 13;
    /// Maximum number of packets sent in a burst: RFC 6458, 8.1.24.
    SCTP_MAX_BURST: SocketOption<SctpValue> = 20;
    /// Send small messages at once: sctp(7).
    SCTP_NODELAY: SocketOption<bool> = libc::SCTP_NODELAY;
    /// Number of bytes of an incomplete message from which it is received in parts: RFC 6458,
    /// 8.1.21.
    SCTP_PARTIAL_DELIVERY_POINT: SocketOption<u32> = 19;
    /// Heartbeats and path MTU of all peer addresses: RFC 6458, 8.1.12.
    SCTP_PEER_ADDR_PARAMS: SocketOption<SctpPeerParameters> = 9;
    /// Whether messages may be given up after a time or a number of retransmissions: RFC 7496.
    SCTP_PR_SUPPORTED: SocketOption<SctpValue> = 113;
    /// Whether streams may be reset and added: RFC 6525. Linux 4.11.
    SCTP_RECONFIG_SUPPORTED: SocketOption<SctpValue> = 117;
    /// Receive the size and stream of the next message with each message: RFC 6458, 8.1.30.
    SCTP_RECVNXTINFO: SocketOption<bool> = 33;
    /// Receive the stream and sequence numbers of each message: RFC 6458, 8.1.29.
    SCTP_RECVRCVINFO: SocketOption<bool> = 32;
    /// Allow several one-to-one sockets to bind to one address: RFC 6458, 8.1.27.
    SCTP_REUSE_PORT: SocketOption<bool> = 36;
    /// Retransmission timeouts: RFC 6458, 8.1.1.
    SCTP_RTOINFO: SocketOption<SctpRto> = 0;
    /// The state of the association of a one-to-one socket: RFC 6458, 8.2.1.
    SCTP_STATUS: SocketOption<ReadOnly, SctpStatus> = 14;
}
