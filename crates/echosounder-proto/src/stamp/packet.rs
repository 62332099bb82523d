//! The fields of requests and replies.

use super::time::{ErrorEstimate, TimestampFormat};
use crate::time::WallTime;

/// The longest request, in bytes: a UDP datagram over IPv4.
pub const REQUEST_MAX: usize = 65_507;

/// The shortest request of TWAMP Light: sequence number, timestamp and error estimate (RFC 5357
/// section 4.1.2).
const REQUEST_MIN: usize = 14;

/// The positions of fields. The first three are the same in requests and replies.
struct Offsets {
    timestamp: usize,
    error_estimate: usize,
    ssid: usize,
    receive_timestamp: usize,
    sender_sequence: usize,
    sender_timestamp: usize,
    sender_error_estimate: usize,
    sender_ttl: usize,
}

/// The arrangement of the fields of a packet, which both sides must agree on (RFC 8762 section 4).
///
/// ```
/// use echosounder_proto::stamp::Layout;
///
/// assert_eq!((Layout::Unauthenticated.len(), Layout::Authenticated.len()), (44, 112));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The packets of the unauthenticated mode, 44 bytes (RFC 8762 sections 4.2.1 and 4.3.1).
    Unauthenticated,
    /// The packets of the authenticated mode, 112 bytes, the last 16 of which are the HMAC of those
    /// before them (RFC 8762 sections 4.2.2 and 4.3.2).
    Authenticated,
}

impl Layout {
    /// Returns the bytes of a packet without extensions, 44 or 112.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Unauthenticated => 44,
            Self::Authenticated => 112,
        }
    }

    /// Returns the number of bytes by which the reply to a request of that length exceeds it.
    pub fn excess(self, request_len: usize) -> usize {
        self.len().saturating_sub(request_len)
    }

    fn offsets(self) -> &'static Offsets {
        match self {
            Self::Unauthenticated => &Offsets {
                timestamp: 4,
                error_estimate: 12,
                ssid: 14,
                receive_timestamp: 16,
                sender_sequence: 24,
                sender_timestamp: 28,
                sender_error_estimate: 36,
                sender_ttl: 40,
            },
            Self::Authenticated => &Offsets {
                timestamp: 16,
                error_estimate: 24,
                ssid: 26,
                receive_timestamp: 32,
                sender_sequence: 48,
                sender_timestamp: 64,
                sender_error_estimate: 72,
                sender_ttl: 80,
            },
        }
    }

    /// Writes the time of sending of a reply, whose error estimate shows the format.
    pub(super) fn write_timestamp(self, packet: &mut [u8], time: WallTime) {
        let offsets = self.offsets();
        let Some(estimate) = u16_at(packet, offsets.error_estimate) else { return };
        let bits = ErrorEstimate::from_bits(estimate).format().encode(time);
        write(packet, offsets.timestamp, &bits.to_be_bytes());
    }

    /// Returns whether a request has zeros behind its session identifier, as those of STAMP do. One of
    /// TWAMP Light may have random padding there, and in place of the identifier.
    pub(super) fn has_session_identifier(self, request: &[u8]) -> bool {
        let behind = self.offsets().ssid + 2..self.len().min(request.len());
        // The last field of an authenticated request is its HMAC.
        self == Self::Authenticated
            || request.get(behind).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
    }

    /// Returns the bits at the two positions where replies have the time of receipt and the copied
    /// timestamp of the sender, as far as the packet has them. Requests have zeros there.
    pub(super) fn reply_timestamps(self, packet: &[u8]) -> [Option<u64>; 2] {
        let offsets = self.offsets();
        [offsets.receive_timestamp, offsets.sender_timestamp].map(|at| u64_at(packet, at))
    }
}

/// The fields of a request (RFC 8762 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderPacket {
    /// The sequence number; the first of a session is 0.
    pub sequence: u32,
    /// The time of sending, T1, in the format that the error estimate shows.
    pub timestamp: u64,
    /// The error estimate of the timestamp.
    pub error_estimate: ErrorEstimate,
    /// The session identifier that the sender has chosen (RFC 8972 section 3); 0 means none.
    pub ssid: u16,
}

impl SenderPacket {
    /// Reads a request. In the unauthenticated layout, a request of TWAMP Light of 14 bytes or more
    /// is read too, whose missing bytes count as zeros. Returns `None` if the request is shorter.
    ///
    /// ```
    /// use echosounder_proto::stamp::{Layout, SenderPacket};
    ///
    /// let request = SenderPacket::read(Layout::Unauthenticated, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    /// assert_eq!(request.unwrap().sequence, 7);
    /// assert_eq!(SenderPacket::read(Layout::Authenticated, &[0; 111]), None);
    /// ```
    pub fn read(layout: Layout, packet: &[u8]) -> Option<Self> {
        let least = match layout {
            Layout::Unauthenticated => REQUEST_MIN,
            Layout::Authenticated => layout.len(),
        };
        if packet.len() < least {
            return None;
        }
        Self::read_fields(layout, packet, u16_at(packet, layout.offsets().ssid).unwrap_or(0))
    }

    /// Reads the beginning of a request that an ICMP error quotes; `None` if it does not contain all
    /// fields.
    pub(super) fn read_quoted(layout: Layout, packet: &[u8]) -> Option<Self> {
        Self::read_fields(layout, packet, u16_at(packet, layout.offsets().ssid)?)
    }

    fn read_fields(layout: Layout, packet: &[u8], ssid: u16) -> Option<Self> {
        let offsets = layout.offsets();
        Some(Self {
            sequence: u32_at(packet, 0)?,
            timestamp: u64_at(packet, offsets.timestamp)?,
            error_estimate: ErrorEstimate::from_bits(u16_at(packet, offsets.error_estimate)?),
            ssid,
        })
    }

    /// Writes the request to the beginning of `packet`, without the HMAC. Returns whether `packet`
    /// has as many bytes as the layout; if not, nothing is written.
    #[must_use]
    pub fn write(&self, layout: Layout, packet: &mut [u8]) -> bool {
        let Some(packet) = packet.get_mut(..layout.len()) else { return false };
        let offsets = layout.offsets();
        packet.fill(0);
        write(packet, 0, &self.sequence.to_be_bytes());
        write(packet, offsets.timestamp, &self.timestamp.to_be_bytes());
        write(packet, offsets.error_estimate, &self.error_estimate.bits().to_be_bytes());
        write(packet, offsets.ssid, &self.ssid.to_be_bytes());
        true
    }
}

/// The fields of a reply (RFC 8762 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReflectorPacket {
    /// The sequence number: that of the request if the reflector is stateless, and the number of
    /// replies before in the session if it is stateful.
    pub sequence: u32,
    /// The time of sending, T3, in the format that the error estimate shows.
    pub timestamp: u64,
    /// The error estimate of the reflector's two timestamps.
    pub error_estimate: ErrorEstimate,
    /// The session identifier of the request; 0 from a reflector that does not know RFC 8972.
    pub ssid: u16,
    /// The time of receipt of the request, T2.
    pub receive_timestamp: u64,
    /// The sequence number of the request.
    pub sender_sequence: u32,
    /// The timestamp of the request.
    pub sender_timestamp: u64,
    /// The error estimate of the request; zero bits in a reply of 36 or 37 bytes.
    pub sender_error_estimate: ErrorEstimate,
    /// The time to live or hop limit of the request when it arrived. `None` is sent as 255, and read
    /// from a reply that ends before this field.
    pub sender_ttl: Option<u8>,
}

impl ReflectorPacket {
    /// Reads a reply. In the unauthenticated layout, replies of TWAMP Light reflectors of 36 bytes
    /// or more are read too: some end before the error estimate of the sender or before the time to
    /// live. Returns `None` if the reply is shorter.
    pub fn read(layout: Layout, packet: &[u8]) -> Option<Self> {
        if layout == Layout::Authenticated && packet.len() < layout.len() {
            return None;
        }
        let offsets = layout.offsets();
        let estimate_at = |at| u16_at(packet, at).map(ErrorEstimate::from_bits);
        Some(Self {
            sequence: u32_at(packet, 0)?,
            timestamp: u64_at(packet, offsets.timestamp)?,
            error_estimate: estimate_at(offsets.error_estimate)?,
            ssid: u16_at(packet, offsets.ssid)?,
            receive_timestamp: u64_at(packet, offsets.receive_timestamp)?,
            sender_sequence: u32_at(packet, offsets.sender_sequence)?,
            sender_timestamp: u64_at(packet, offsets.sender_timestamp)?,
            sender_error_estimate: estimate_at(offsets.sender_error_estimate)
                .unwrap_or_else(|| ErrorEstimate::from_bits(0)),
            sender_ttl: packet.get(offsets.sender_ttl).copied(),
        })
    }

    /// Writes the reply to the beginning of `packet`, without the HMAC. Returns whether `packet` has
    /// as many bytes as the layout; if not, nothing is written.
    #[must_use]
    pub fn write(&self, layout: Layout, packet: &mut [u8]) -> bool {
        let Some(packet) = packet.get_mut(..layout.len()) else { return false };
        let offsets = layout.offsets();
        packet.fill(0);
        write(packet, 0, &self.sequence.to_be_bytes());
        write(packet, offsets.timestamp, &self.timestamp.to_be_bytes());
        write(packet, offsets.error_estimate, &self.error_estimate.bits().to_be_bytes());
        write(packet, offsets.ssid, &self.ssid.to_be_bytes());
        write(packet, offsets.receive_timestamp, &self.receive_timestamp.to_be_bytes());
        write(packet, offsets.sender_sequence, &self.sender_sequence.to_be_bytes());
        write(packet, offsets.sender_timestamp, &self.sender_timestamp.to_be_bytes());
        let sender_error_estimate = self.sender_error_estimate.bits().to_be_bytes();
        write(packet, offsets.sender_error_estimate, &sender_error_estimate);
        write(packet, offsets.sender_ttl, &[self.sender_ttl.unwrap_or(u8::MAX)]);
        true
    }

    /// Returns when the request was received, T2, as the time nearest to `near`.
    pub fn receive_time(&self, near: WallTime) -> WallTime {
        self.format().decode(self.receive_timestamp, near)
    }

    /// Returns when the reply was sent, T3, as the time nearest to `near`.
    pub fn send_time(&self, near: WallTime) -> WallTime {
        self.format().decode(self.timestamp, near)
    }

    fn format(&self) -> TimestampFormat {
        self.error_estimate.format()
    }
}

fn bytes_at<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at + N)?.try_into().ok()
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    bytes_at(packet, at).map(u16::from_be_bytes)
}

fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    bytes_at(packet, at).map(u32::from_be_bytes)
}

fn u64_at(packet: &[u8], at: usize) -> Option<u64> {
    bytes_at(packet, at).map(u64::from_be_bytes)
}

/// Writes a field. All callers have checked the length of the packet.
fn write(packet: &mut [u8], at: usize, field: &[u8]) {
    if let Some(target) = packet.get_mut(at..at + field.len()) {
        target.copy_from_slice(field);
    }
}
