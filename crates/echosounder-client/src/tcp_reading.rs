//! A reading of the kernel's state of a TCP connection.

use std::time::Duration;

use echosounder_socket::option::{TCP_INFO, TcpInfo};
use echosounder_socket::{Socket, Transport};

/// The counters and the state of a connection at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpReading {
    pub(crate) retransmissions: u32,
    pub(crate) reordering_seen: u32,
    pub(crate) rtt: Duration,
    pub(crate) rtt_variation: Duration,
    pub(crate) window_segments: u32,
    pub(crate) delivery_rate: u64,
}

impl TcpReading {
    /// Reads the state of a connection; `None` if it is no TCP connection. Multipath TCP returns
    /// the state of its first subflow.
    pub(crate) fn of(socket: &Socket, transport: Transport) -> Option<Self> {
        if !matches!(transport, Transport::Tcp | Transport::Mptcp) {
            return None;
        }
        let info: TcpInfo = socket.option(TCP_INFO).ok()?;
        Some(Self {
            retransmissions: info.total_retrans,
            reordering_seen: info.reord_seen,
            rtt: info.rtt,
            rtt_variation: info.rttvar,
            window_segments: info.snd_cwnd,
            delivery_rate: info.delivery_rate,
        })
    }
}
