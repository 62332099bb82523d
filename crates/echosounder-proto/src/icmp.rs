//! Echo requests of ICMP (RFC 792) and ICMPv6 (RFC 4443 §4), and the errors of both.

use alloc::vec::Vec;
use core::fmt;

use crate::probe_format::{ProbeFormat, ProbeReply, Seen};
use crate::time::WallTime;

/// The shortest payload of a request in bytes: a key and the number of the request.
pub const ICMP_PAYLOAD_MIN: usize = KEY + 8;

/// The longest payload of a request in bytes: an IPv4 packet has at most 65,535 bytes, of which the
/// headers take 28.
pub const ICMP_PAYLOAD_MAX: usize = 65_507;

/// Bytes of the header: type, code, checksum, identifier and sequence number.
const HEADER: usize = 8;

/// Bytes of the key at the beginning of a payload.
const KEY: usize = 8;

/// The version of ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpVersion {
    /// ICMP, for IPv4.
    V4,
    /// ICMPv6, for IPv6.
    V6,
}

impl IcmpVersion {
    /// Returns the type of an echo request.
    pub const fn request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    /// Returns the type of an echo reply.
    pub const fn reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

/// The echo requests of one measurement.
///
/// The payload begins with a random key and the 64-bit number of the request, so that replies match
/// even after the 16-bit sequence number has wrapped around, and replies to other programs do not.
/// Replies have no timestamp.
///
/// ```
/// use echosounder_proto::{IcmpEcho, IcmpVersion, ProbeFormat, WallTime};
///
/// let mut format = IcmpEcho::new(IcmpVersion::V4, 4711, 0x0123_4567_89ab_cdef, 56);
/// let mut packet = Vec::new();
/// format.write(1, WallTime::from_nanos(0), &mut packet);
/// assert_eq!(packet.len(), 64); // the header has 8 bytes
///
/// packet[0] = IcmpVersion::V4.reply();
/// let mut replies = Vec::new();
/// assert!(!format.read(&packet, 2, &mut replies));
/// assert_eq!(replies[0].number, 1);
/// ```
#[derive(Clone, Debug)]
pub struct IcmpEcho {
    version: IcmpVersion,
    id: u16,
    key: [u8; KEY],
    size: usize,
}

impl IcmpEcho {
    /// Creates the format of a measurement with this identifier, a random key, and `size` bytes of
    /// payload: [`ICMP_PAYLOAD_MIN`] to [`ICMP_PAYLOAD_MAX`], beyond which it is clamped.
    ///
    /// A ping socket replaces the identifier with its local port: icmp(7).
    pub fn new(version: IcmpVersion, id: u16, key: u64, size: usize) -> Self {
        let size = size.clamp(ICMP_PAYLOAD_MIN, ICMP_PAYLOAD_MAX);
        Self { version, id, key: key.to_be_bytes(), size }
    }

    /// Returns the payload of a request in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the number of the request whose payload, or the beginning of it, this is.
    fn number(&self, payload: &[u8], next: u64) -> Option<u64> {
        let number = payload.strip_prefix(&self.key)?.first_chunk()?;
        Some(u64::from_be_bytes(*number)).filter(|number| (1..next).contains(number))
    }

    /// Returns the number of the request in an ICMP error that quotes no payload: RFC 792 demands
    /// only the first 8 bytes after the IP header.
    fn number_of_header(&self, packet: &[u8], next: u64) -> Option<u64> {
        let header: &[u8; HEADER] = packet.first_chunk()?;
        let [kind, 0, _, _, id @ .., high, low] = *header else { return None };
        let is_ours = kind == self.version.request() && id == self.id.to_be_bytes();
        let is_complete = HEADER + ICMP_PAYLOAD_MIN <= packet.len();
        let newest = next.checked_sub(1).filter(|_| is_ours && !is_complete)?;
        let sequence = u64::from(u16::from_be_bytes([high, low]));
        let ago = newest.wrapping_sub(sequence) & u64::from(u16::MAX);
        newest.checked_sub(ago).filter(|number| *number != 0)
    }
}

impl ProbeFormat for IcmpEcho {
    fn write(&mut self, number: u64, _now: WallTime, out: &mut Vec<u8>) {
        let start = out.len();
        let [.., high, low] = number.to_be_bytes();
        out.extend_from_slice(&[self.version.request(), 0, 0, 0]);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[high, low]);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&number.to_be_bytes());
        out.extend((ICMP_PAYLOAD_MIN..self.size).map(filler));
        // The kernel computes the checksum of ICMPv6, which covers the addresses: RFC 3542 §3.1.
        if self.version == IcmpVersion::V4 {
            let sum = checksum(&out[start..]).to_be_bytes();
            out[start + 2..start + 4].copy_from_slice(&sum);
        }
    }

    /// Reads an ICMP message, with the IPv4 header before it if a raw socket has received it. A
    /// reply with the beginning of the payload is a reply: some hosts limit its length.
    fn read(&mut self, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) -> bool {
        let message = if self.version == IcmpVersion::V4 { without_ip_header(bytes) } else { bytes };
        let Some((header, payload)) = message.split_first_chunk::<HEADER>() else { return true };
        let [kind, code, ..] = *header;
        let is_reply = kind == self.version.reply() && code == 0 && payload.len() <= self.size;
        let number = self.number(payload, next).filter(|_| is_reply);
        let mut rest = payload.iter().enumerate().skip(ICMP_PAYLOAD_MIN);
        let is_intact = rest.all(|(index, byte)| *byte == filler(index));
        let number = number.filter(|_| is_intact);
        replies.extend(number.map(|number| ProbeReply {
            number,
            timestamp: None,
            ends_read: true,
            seen: Seen::default(),
        }));
        number.is_none()
    }

    fn find(&self, packet: &[u8], next: u64) -> Option<u64> {
        (0..packet.len())
            .find_map(|at| self.number(&packet[at..], next))
            .or_else(|| self.number_of_header(packet, next))
    }
}

/// Returns the byte at that place of a payload, after the key and the number.
fn filler(index: usize) -> u8 {
    u8::try_from(index & 0xff).unwrap_or(0)
}

/// Returns what follows the IPv4 header, if there is one. Its first four bits are the version 4,
/// which no echo reply begins with.
fn without_ip_header(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(first) if first >> 4 == 4 => bytes.get(usize::from(first & 15) * 4..).unwrap_or(&[]),
        _ => bytes,
    }
}

/// Returns the Internet checksum: RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u16::from_be_bytes([high, low]),
        [high] => u16::from_be_bytes([high, 0]),
        _ => 0,
    });
    // A carry is added at the other end.
    !words.fold(0_u16, |sum, word| {
        let (sum, has_carried) = sum.overflowing_add(word);
        sum + u16::from(has_carried)
    })
}

/// An error message of ICMP or ICMPv6. It displays its meaning.
///
/// ```
/// use echosounder_proto::{IcmpError, IcmpVersion};
///
/// let error = IcmpError { version: IcmpVersion::V4, kind: 11, code: 0 };
/// assert_eq!(error.to_string(), "time to live exceeded");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// The version of ICMP.
    pub version: IcmpVersion,
    /// The type of the message.
    pub kind: u8,
    /// The code, which details the type.
    pub code: u8,
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, kind, code } = *self;
        match meaning(version, kind, code) {
            Some(meaning) => f.write_str(meaning),
            None => write!(f, "ICMP type {kind}, code {code}"),
        }
    }
}

/// Returns the meaning of an error: RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1 and RFC 4443 §3.
fn meaning(version: IcmpVersion, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (version, kind, code) {
        (IcmpVersion::V4, 3, 0 | 6 | 11) => "network unreachable",
        (IcmpVersion::V4, 3, 1 | 7 | 12) => "host unreachable",
        (IcmpVersion::V4, 3, 2) => "protocol unreachable",
        (IcmpVersion::V4, 3, 3) | (IcmpVersion::V6, 1, 4) => "port unreachable",
        (IcmpVersion::V4, 3, 4) => "fragmentation needed",
        (IcmpVersion::V4, 3, 5) => "source route failed",
        (IcmpVersion::V4, 3, 9 | 10 | 13) | (IcmpVersion::V6, 1, 1) => "administratively prohibited",
        (IcmpVersion::V4, 11, 0) => "time to live exceeded",
        (IcmpVersion::V4, 11, 1) | (IcmpVersion::V6, 3, 1) => "reassembly time exceeded",
        (IcmpVersion::V4, 12, _) | (IcmpVersion::V6, 4, _) => "parameter problem",
        (IcmpVersion::V6, 1, 0) => "no route to the destination",
        (IcmpVersion::V6, 1, 2) => "beyond the scope of the source address",
        (IcmpVersion::V6, 1, 3) => "address unreachable",
        (IcmpVersion::V6, 1, 5) => "source address failed policy",
        (IcmpVersion::V6, 1, 6) => "route rejects the destination",
        (IcmpVersion::V6, 2, _) => "packet too big",
        (IcmpVersion::V6, 3, 0) => "hop limit exceeded",
        _ => return None,
    })
}
