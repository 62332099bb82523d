//! The form of a session's requests, by the kind of its probe.

use std::hash::{BuildHasher, Hasher, RandomState};

use echosounder_proto::stamp::{ErrorEstimate, LossDirection, SenderConfig, StampSender};
use echosounder_proto::{
    HEADER_PLACEHOLDER, IcmpEcho, Payload, ProbeFormat, ProbeReply, TIMESTAMP_PLACEHOLDER, TextEcho, WallTime,
};
use echosounder_socket::Transport;
use echosounder_socket::internal::kernel::clock_state;

use super::link::Link;
use super::plan::PingOptions;
use super::probe::{Probe, StampOptions};
use crate::connect::icmp;

/// The shortest UDP request that asks for its header fields, in bytes: both placeholders, a complete
/// number and a newline.
const HEADER_REQUEST_BYTES_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + HEADER_PLACEHOLDER.len() + 20;

/// Writes requests and reads replies.
#[derive(Debug)]
pub(super) enum Format {
    Text(Box<TextEcho>),
    Icmp(IcmpEcho),
    Stamp(Box<StampSender>),
    /// Requests without bytes.
    Connect,
}

impl Format {
    /// Creates the format of a new connection.
    pub(super) fn new(ping: &PingOptions, link: &Link) -> Self {
        match &ping.probe {
            Probe::Echo => {
                let payload = payload(ping.connect.endpoint.transport(), ping.size_bytes);
                Self::Text(Box::new(match ping.is_stream() {
                    true => TextEcho::stream(payload),
                    false => TextEcho::messages(payload),
                }))
            }
            Probe::Icmp => {
                let key = random();
                let low = || u16::try_from(key & 0xffff).unwrap_or(0);
                let id = link.icmp_identifier().unwrap_or_else(low);
                Self::Icmp(IcmpEcho::new(icmp::version(&link.address), id, key, ping.size_bytes))
            }
            Probe::Stamp(stamp) => Self::Stamp(Box::new(StampSender::new(sender_config(ping, stamp)))),
            Probe::Connect(_) => Self::Connect,
        }
    }

    /// Returns the direction in which that many requests were lost, as far as the replies show it.
    pub(super) fn loss_direction(&self, lost: u64) -> Option<LossDirection> {
        match self {
            Self::Text(_) | Self::Icmp(_) | Self::Connect => None,
            Self::Stamp(sender) => sender.loss_direction(lost),
        }
    }
}

/// Returns the form of requests to an echo server.
fn payload(transport: Transport, size_bytes: usize) -> Payload {
    match transport {
        Transport::Udp if HEADER_REQUEST_BYTES_MIN <= size_bytes => Payload::with_header_fields(size_bytes),
        _ => Payload::with_placeholder(size_bytes),
    }
}

fn sender_config(ping: &PingOptions, stamp: &StampOptions) -> SenderConfig {
    let mut config = SenderConfig::default();
    config.size = ping.size_bytes;
    config.ssid = session_identifier();
    config.key.clone_from(&stamp.key);
    config.timestamp_format = stamp.timestamp_format;
    if let Ok(state) = clock_state()
        && state.synchronized
    {
        config.error_estimate = ErrorEstimate::new(true, state.error_max, stamp.timestamp_format);
    }
    // The replies are to be treated as the requests are.
    config.dscp = ping.connect.ip_options.dscp.unwrap_or(0);
    config
}

/// Returns a random identifier that is not zero, which would mean none.
fn session_identifier() -> u16 {
    u16::try_from(random() % u64::from(u16::MAX)).unwrap_or(0) + 1
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl ProbeFormat for Format {
    fn write(&mut self, number: u64, now: WallTime, out: &mut Vec<u8>) {
        match self {
            Self::Text(format) => format.write(number, now, out),
            Self::Icmp(format) => format.write(number, now, out),
            Self::Stamp(format) => format.write(number, now, out),
            Self::Connect => {}
        }
    }

    fn read(&mut self, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) -> bool {
        match self {
            Self::Text(format) => format.read(bytes, next, replies),
            Self::Icmp(format) => format.read(bytes, next, replies),
            Self::Stamp(format) => format.read(bytes, next, replies),
            Self::Connect => false,
        }
    }

    fn find(&self, packet: &[u8], next: u64) -> Option<u64> {
        match self {
            Self::Text(format) => format.find(packet, next),
            Self::Icmp(format) => format.find(packet, next),
            Self::Stamp(format) => format.find(packet, next),
            Self::Connect => None,
        }
    }

    fn can_write(&self) -> bool {
        match self {
            Self::Text(format) => format.can_write(),
            Self::Icmp(format) => format.can_write(),
            Self::Stamp(format) => format.can_write(),
            Self::Connect => true,
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Text(format) => format.reset(),
            Self::Icmp(format) => format.reset(),
            Self::Stamp(format) => format.reset(),
            Self::Connect => {}
        }
    }

    fn take_unmatched(&mut self) -> bool {
        match self {
            Self::Text(format) => format.take_unmatched(),
            Self::Icmp(format) => format.take_unmatched(),
            Self::Stamp(format) => format.take_unmatched(),
            Self::Connect => false,
        }
    }
}
