//! What the kernel knows of a TCP connection.

use std::time::Duration;

use super::value::{GetValue, named};

named! {
    /// The state of a TCP connection: RFC 9293, linux/tcp_states.h.
    ///
    /// See [`TcpInfo`] for an example.
    TcpState: u8 {
        /// Data can be sent and received.
        ESTABLISHED = 1;
        /// SYN was sent.
        SYN_SENT = 2;
        /// SYN was received.
        SYN_RECV = 3;
        /// The program has closed, and FIN was sent.
        FIN_WAIT1 = 4;
        /// FIN was acknowledged.
        FIN_WAIT2 = 5;
        /// The connection is over, and late segments are discarded.
        TIME_WAIT = 6;
        /// There is no connection.
        CLOSE = 7;
        /// The peer has closed.
        CLOSE_WAIT = 8;
        /// Both have closed, and the last FIN is not acknowledged.
        LAST_ACK = 9;
        /// The socket accepts connections.
        LISTEN = 10;
        /// Both have closed at the same time.
        CLOSING = 11;
    }
}

named! {
    /// The state of congestion control: `enum tcp_ca_state`, linux/tcp.h.
    ///
    /// See [`TcpInfo`] for an example.
    TcpCongestionState: u8 {
        /// Nothing unusual.
        OPEN = 0;
        /// Acknowledgements are missing, which loss or reordering may explain.
        DISORDER = 1;
        /// The window was reduced, for example because routers have reported congestion (ECN).
        CWR = 2;
        /// Lost segments are being retransmitted: fast recovery.
        RECOVERY = 3;
        /// The retransmission timeout has expired.
        LOSS = 4;
    }
}

bitflags::bitflags! {
    /// Options that the peers of a TCP connection have negotiated: the TCPI_OPT_ flags of
    /// linux/tcp.h.
    ///
    /// See [`TcpInfo`] for an example.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TcpInfoOptions: u8 {
        /// Timestamps: RFC 7323.
        const TIMESTAMPS = 1;
        /// Selective acknowledgements: RFC 2018.
        const SACK = 2;
        /// Window scale: RFC 7323.
        const WINDOW_SCALE = 4;
        /// Explicit congestion notification: RFC 3168.
        const ECN = 8;
        /// A packet with ECN has been received.
        const ECN_SEEN = 16;
        /// The SYN carried data that the peer has acknowledged: RFC 7413.
        const SYN_DATA = 32;
        /// Microseconds as the unit of timestamps.
        const USEC_TIMESTAMPS = 64;
    }
}

/// The state and the counters of a TCP connection: `struct tcp_info`, linux/tcp.h, tcp(7).
///
/// Counters that the kernel does not have are 0; the Linux version stands beside fields that are
/// newer than 4.9.
///
/// ```
/// use echosounder_socket::option::{TCP_INFO, TcpState};
/// use echosounder_socket::Socket;
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// let socket = Socket::from(stream);
/// let info = socket.option(TCP_INFO)?;
/// assert_eq!(info.state, TcpState::ESTABLISHED);
/// println!("{:?} round trip, {} retransmissions", info.rtt, info.total_retrans);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[doc(alias = "tcp_info")]
pub struct TcpInfo {
    /// The state of the connection.
    pub state: TcpState,
    /// The state of congestion control.
    pub ca_state: TcpCongestionState,
    /// Number of retransmissions of the first unacknowledged segment in a row, 0 if it was
    /// acknowledged.
    pub retransmits: u8,
    /// Number of unanswered probes of a window of zero or of keepalive.
    pub probes: u8,
    /// How often the retransmission timeout has doubled.
    pub backoff: u8,
    /// The negotiated options.
    pub options: TcpInfoOptions,
    /// The window scale of the peer, a number of bits.
    pub snd_wscale: u8,
    /// The window scale of this host, a number of bits.
    pub rcv_wscale: u8,
    /// Whether `delivery_rate` was limited by the program rather than by the path.
    pub delivery_rate_app_limited: bool,
    /// Why data in the SYN was not accepted, `enum tcp_fastopen_client_fail`; 0 if unknown: Linux
    /// 5.5.
    pub fastopen_client_fail: u8,
    /// The retransmission timeout.
    pub rto: Duration,
    /// The delay of acknowledgements.
    pub ato: Duration,
    /// The maximum size of sent segments in bytes.
    pub snd_mss: u32,
    /// The maximum size of received segments in bytes, estimated.
    pub rcv_mss: u32,
    /// Number of segments that the peer has not acknowledged. Of a listener: number of connections
    /// to accept.
    pub unacked: u32,
    /// Number of segments that were acknowledged selectively. Of a listener: its backlog.
    pub sacked: u32,
    /// Number of segments in flight that are taken for lost.
    pub lost: u32,
    /// Number of segments in flight that were retransmitted.
    pub retrans: u32,
    /// Always 0 since Linux 4.15.
    pub fackets: u32,
    /// Time since data was sent.
    pub last_data_sent: Duration,
    /// Always 0.
    pub last_ack_sent: Duration,
    /// Time since data was received.
    pub last_data_recv: Duration,
    /// Time since an acknowledgement was received.
    pub last_ack_recv: Duration,
    /// The path MTU in bytes.
    pub pmtu: u32,
    /// Threshold of the receive window in bytes.
    pub rcv_ssthresh: u32,
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// The variation of the round-trip time: the mean deviation, RFC 6298.
    pub rttvar: Duration,
    /// The threshold of slow start in segments; `None` before the first congestion.
    pub snd_ssthresh: Option<u32>,
    /// The congestion window in segments.
    pub snd_cwnd: u32,
    /// The maximum segment size that this host advertises in bytes.
    pub advmss: u32,
    /// Number of segments that the network may reorder before they are taken for lost.
    pub reordering: u32,
    /// The round-trip time that the receiver estimates; zero if unknown.
    pub rcv_rtt: Duration,
    /// The space of the receive queue in bytes.
    pub rcv_space: u32,
    /// Number of retransmitted segments of the connection.
    pub total_retrans: u32,
    /// The rate of sending in bytes per second; [`u64::MAX`] if there is no limit.
    pub pacing_rate: u64,
    /// The maximum of `pacing_rate`: SO_MAX_PACING_RATE.
    pub max_pacing_rate: u64,
    /// Number of bytes that the peer has acknowledged, and one for the SYN of an active open.
    pub bytes_acked: u64,
    /// Number of bytes received.
    pub bytes_received: u64,
    /// Number of segments sent, with those without data.
    pub segs_out: u32,
    /// Number of segments received, with those without data.
    pub segs_in: u32,
    /// Number of bytes that the program has sent and the kernel has not.
    pub notsent_bytes: u32,
    /// The minimum round-trip time of the last minutes; `None` before the first measurement.
    pub min_rtt: Option<Duration>,
    /// Number of segments with data received.
    pub data_segs_in: u32,
    /// Number of segments with data sent, with retransmissions.
    pub data_segs_out: u32,
    /// The latest rate of delivery to the peer in bytes per second.
    pub delivery_rate: u64,
    /// Time with unacknowledged data: Linux 4.10.
    pub busy_time: Duration,
    /// Time in which the peer's receive window was the limit: Linux 4.10.
    pub rwnd_limited: Duration,
    /// Time in which the send buffer was the limit: Linux 4.10.
    pub sndbuf_limited: Duration,
    /// Number of segments delivered to the peer, with retransmissions: Linux 4.18.
    pub delivered: u32,
    /// Number of delivered segments that a router has marked for congestion: Linux 4.18.
    pub delivered_ce: u32,
    /// Number of bytes sent, with retransmissions: Linux 4.19.
    pub bytes_sent: u64,
    /// Number of retransmitted bytes: Linux 4.19.
    pub bytes_retrans: u64,
    /// Number of segments that the peer has received twice (DSACK): Linux 4.19.
    pub dsack_dups: u32,
    /// How often the network has reordered segments: Linux 4.19.
    pub reord_seen: u32,
    /// Number of segments received out of order: Linux 5.4.
    pub rcv_ooopack: u32,
    /// The peer's receive window in bytes: Linux 5.4.
    pub snd_wnd: u32,
    /// This host's receive window in bytes: Linux 6.2.
    pub rcv_wnd: u32,
    /// How often the connection has tried another path (SO_TXREHASH): Linux 6.2.
    pub rehash: u32,
    /// Number of retransmission timeouts: Linux 6.7.
    pub total_rto: u16,
    /// Number of recoveries from retransmission timeouts: Linux 6.7.
    pub total_rto_recoveries: u16,
    /// Time spent in recoveries from retransmission timeouts: Linux 6.7.
    pub total_rto_time: Duration,
}

/// Length in bytes of the part of the structure that is decoded.
const LEN: usize = 248;

/// Length in bytes of the structure since Linux 2.6. Later versions have only appended fields.
const LEN_MIN: usize = 104;

/// Builds the structure: each field is a function of the bytes and the offset in them.
macro_rules! decode {
    ($bytes:ident, { $($field:ident: $read:ident($at:literal),)+ }) => {
        TcpInfo { $($field: $read($bytes, $at)),+ }
    };
}

impl GetValue for TcpInfo {
    const LEN_MAX: usize = 512;

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < LEN_MIN {
            return None;
        }
        let mut all = [0; LEN];
        let len = bytes.len().min(LEN);
        all[..len].copy_from_slice(&bytes[..len]);
        let all = &all;
        Some(decode!(all, {
            state: state(0), ca_state: ca_state(1), retransmits: byte(2), probes: byte(3), backoff: byte(4),
            options: options(5), snd_wscale: low_half(6), rcv_wscale: high_half(6),
            delivery_rate_app_limited: lowest_bit(7), fastopen_client_fail: next_two_bits(7),
            rto: micros(8), ato: micros(12), snd_mss: number(16), rcv_mss: number(20),
            unacked: number(24), sacked: number(28), lost: number(32), retrans: number(36), fackets: number(40),
            last_data_sent: millis(44), last_ack_sent: millis(48),
            last_data_recv: millis(52), last_ack_recv: millis(56),
            pmtu: number(60), rcv_ssthresh: number(64), rtt: micros(68), rttvar: micros(72),
            snd_ssthresh: threshold(76), snd_cwnd: number(80), advmss: number(84), reordering: number(88),
            rcv_rtt: micros(92), rcv_space: number(96), total_retrans: number(100),
            pacing_rate: long(104), max_pacing_rate: long(112),
            bytes_acked: long(120), bytes_received: long(128), segs_out: number(136), segs_in: number(140),
            notsent_bytes: number(144), min_rtt: measured(148),
            data_segs_in: number(152), data_segs_out: number(156), delivery_rate: long(160),
            busy_time: long_micros(168), rwnd_limited: long_micros(176), sndbuf_limited: long_micros(184),
            delivered: number(192), delivered_ce: number(196),
            bytes_sent: long(200), bytes_retrans: long(208), dsack_dups: number(216), reord_seen: number(220),
            rcv_ooopack: number(224), snd_wnd: number(228), rcv_wnd: number(232), rehash: number(236),
            total_rto: short(240), total_rto_recoveries: short(242), total_rto_time: millis(244),
        }))
    }
}

fn byte(all: &[u8; LEN], at: usize) -> u8 {
    all[at]
}

fn state(all: &[u8; LEN], at: usize) -> TcpState {
    TcpState(all[at])
}

fn ca_state(all: &[u8; LEN], at: usize) -> TcpCongestionState {
    TcpCongestionState(all[at])
}

fn options(all: &[u8; LEN], at: usize) -> TcpInfoOptions {
    TcpInfoOptions::from_bits_retain(all[at])
}

/// Bit fields begin at the lowest bit on a little-endian machine, and at the highest on others.
fn low_half(all: &[u8; LEN], at: usize) -> u8 {
    if cfg!(target_endian = "little") { all[at] & 15 } else { all[at] >> 4 }
}

fn high_half(all: &[u8; LEN], at: usize) -> u8 {
    if cfg!(target_endian = "little") { all[at] >> 4 } else { all[at] & 15 }
}

fn lowest_bit(all: &[u8; LEN], at: usize) -> bool {
    all[at] & if cfg!(target_endian = "little") { 1 } else { 0x80 } != 0
}

fn next_two_bits(all: &[u8; LEN], at: usize) -> u8 {
    all[at] >> if cfg!(target_endian = "little") { 1 } else { 5 } & 3
}

fn short(all: &[u8; LEN], at: usize) -> u16 {
    u16::decode(&all[at..]).unwrap_or_default()
}

fn number(all: &[u8; LEN], at: usize) -> u32 {
    u32::decode(&all[at..]).unwrap_or_default()
}

fn long(all: &[u8; LEN], at: usize) -> u64 {
    u64::decode(&all[at..]).unwrap_or_default()
}

fn micros(all: &[u8; LEN], at: usize) -> Duration {
    Duration::from_micros(number(all, at).into())
}

fn millis(all: &[u8; LEN], at: usize) -> Duration {
    Duration::from_millis(number(all, at).into())
}

fn long_micros(all: &[u8; LEN], at: usize) -> Duration {
    Duration::from_micros(long(all, at))
}

/// A number that the kernel begins with a value without meaning: TCP_INFINITE_SSTHRESH.
fn threshold(all: &[u8; LEN], at: usize) -> Option<u32> {
    Some(number(all, at)).filter(|&number| number < 0x7fff_ffff)
}

/// A time that is `u32::MAX`, or absent from older kernels, if it has not been measured.
fn measured(all: &[u8; LEN], at: usize) -> Option<Duration> {
    let micros = Some(number(all, at)).filter(|micros| !matches!(micros, 0 | &u32::MAX));
    micros.map(|micros| Duration::from_micros(micros.into()))
}
