//! What the servers have in common: the stamp, and the answer to what was read.

use std::io;
use std::net::UdpSocket;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

/// Most bytes that one stamp stands before.
const CHUNK: usize = 1024;

/// How much is read at once. All peers that choose it choose the same.
pub const ROOM: usize = 16 * 1024;

/// The stamp of the current second, rendered once.
pub struct Stamp {
    zone: TimeZone,
    second: u64,
    text: Vec<u8>,
}

impl Default for Stamp {
    fn default() -> Self {
        Self { zone: TimeZone::system(), second: 0, text: Vec::new() }
    }
}

impl Stamp {
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

    /// Puts the answer to what was read from a stream in place of `answer`.
    pub fn answer(&mut self, input: &[u8], answer: &mut Vec<u8>) {
        let stamp = self.now();
        answer.clear();
        for chunk in input.chunks(CHUNK) {
            answer.extend_from_slice(stamp);
            answer.extend_from_slice(chunk);
        }
    }

    /// The same for a datagram, which is stamped whole.
    pub fn answer_datagram(&mut self, input: &[u8], answer: &mut Vec<u8>) {
        answer.clear();
        answer.extend_from_slice(self.now());
        answer.extend_from_slice(input);
    }
}

/// A UDP socket with as much room as the other servers ask for.
pub fn udp(port: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(format!("127.0.0.1:{port}"))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20)?;
    Ok(socket)
}

/// The transport and the port or path.
pub fn arguments() -> (String, String) {
    let mut arguments = std::env::args().skip(1);
    (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default())
}
