//! The parts that the servers share: the timestamp and the replies.

use std::io;
use std::net::UdpSocket;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

/// The maximum number of bytes after one timestamp.
const CHUNK: usize = 1024;

/// Bytes of one read. All peers that can choose it use this size.
pub const READ_SIZE: usize = 16 * 1024;

/// The timestamp of the current second, rendered once per second.
pub struct TimestampCache {
    zone: TimeZone,
    second: u64,
    text: Vec<u8>,
}

impl Default for TimestampCache {
    fn default() -> Self {
        Self { zone: TimeZone::system(), second: 0, text: Vec::new() }
    }
}

impl TimestampCache {
    #[expect(clippy::disallowed_methods, reason = "the server is its own clock")]
    pub fn now(&mut self) -> &[u8] {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            let time = Timestamp::from_second(second.cast_signed()).unwrap_or_default();
            let time = time.to_zoned_datetime(self.zone.clone());
            self.text = time.strftime("[%a %b %e %H:%M:%S %Y] ").to_string().into_bytes();
            self.second = second;
        }
        &self.text
    }

    /// Replaces `reply` with the reply to the bytes of a read from a stream.
    pub fn reply(&mut self, input: &[u8], reply: &mut Vec<u8>) {
        let timestamp = self.now();
        reply.clear();
        for chunk in input.chunks(CHUNK) {
            reply.extend_from_slice(timestamp);
            reply.extend_from_slice(chunk);
        }
    }

    /// Replaces `reply` with the reply to a datagram, which gets one timestamp.
    pub fn reply_to_datagram(&mut self, input: &[u8], reply: &mut Vec<u8>) {
        reply.clear();
        reply.extend_from_slice(self.now());
        reply.extend_from_slice(input);
    }
}

/// Opens a UDP socket with the receive buffer that the other servers use.
pub fn udp(port: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(format!("127.0.0.1:{port}"))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20)?;
    Ok(socket)
}

/// Returns the transport and the port or path.
pub fn arguments() -> (String, String) {
    let mut arguments = std::env::args().skip(1);
    (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default())
}
