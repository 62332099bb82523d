//! The forms of messages that a forwarder reads.

use echosounder_proto::WallTime;
use echosounder_proto::stamp::{Layout, ReflectorPacket, SenderPacket};

use super::log::server_times;
use super::{nanos, now, sequence};

/// How a forwarder finds the numbers of requests, from 1, and the times of the server.
#[derive(Clone, Copy, Debug)]
pub struct MessageForm {
    pub(super) request_number: fn(&[u8]) -> Option<u64>,
    pub(super) reply_number: fn(&[u8]) -> Option<u64>,
    /// Returns when the server received the request and when it sent the reply, in nanoseconds since
    /// the Unix epoch.
    pub(super) server_times: fn(&[u8]) -> Option<(u64, u64)>,
}

impl MessageForm {
    /// Text echo probes of [`REQUEST_LEN`](crate::REQUEST_LEN) bytes.
    pub const TEXT: Self = Self { request_number: sequence, reply_number: sequence, server_times };

    /// Unauthenticated STAMP packets (RFC 8762).
    pub const STAMP: Self = Self {
        request_number: |bytes| {
            SenderPacket::read(Layout::Unauthenticated, bytes).map(|packet| u64::from(packet.sequence) + 1)
        },
        reply_number: |bytes| reply(bytes).map(|packet| u64::from(packet.sender_sequence) + 1),
        server_times: |bytes| {
            let near = WallTime::from_nanos(nanos(now()));
            reply(bytes)
                .map(|packet| (packet.receive_time(near).as_nanos(), packet.send_time(near).as_nanos()))
        },
    };
}

fn reply(bytes: &[u8]) -> Option<ReflectorPacket> {
    ReflectorPacket::read(Layout::Unauthenticated, bytes)
}
