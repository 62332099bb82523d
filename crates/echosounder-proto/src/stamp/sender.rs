//! The Session-Sender: writes the requests of a measurement and reads their replies.

use alloc::vec::Vec;
use core::time::Duration;

use super::auth::Key;
use super::loss_direction::{LossDirection, LossDirections};
use super::packet::{Layout, REQUEST_MAX, ReflectorPacket, SenderPacket};
use super::time::{ErrorEstimate, TimestampFormat};
use super::tlv::{self, ClassOfService, Integrity};
use crate::probe_format::{ProbeFormat, ProbeReply, Seen};
use crate::time::WallTime;
use crate::timestamp::Timestamp;

/// Bytes of the extension for the HMAC of the others.
const HMAC_TLV: usize = tlv::HEADER + 16;

/// A quoted request was sent within this time before the most recent one.
const QUOTED_AGE_MAX: Duration = Duration::from_secs(3600);

/// How a sender writes requests.
///
/// ```
/// use echosounder_proto::stamp::{SenderConfig, StampSender};
///
/// let mut config = SenderConfig::default();
/// config.ssid = 4711;
/// assert_eq!(StampSender::new(config).size(), 72);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SenderConfig {
    /// Bytes of a request: 44 (112 if authenticated) to [`REQUEST_MAX`], beyond which it is clamped.
    /// A longer request has the extensions Class of Service and Direct Measurement, as far as they
    /// fit, and padding. The default is 72 bytes, just enough for them.
    pub size: usize,
    /// The session identifier, which a sender chooses at random; 0 means none.
    pub ssid: u16,
    /// The key of the authenticated mode; `None` means the unauthenticated mode.
    pub key: Option<Key>,
    /// The format of the timestamp T1.
    pub timestamp_format: TimestampFormat,
    /// The error estimate of this host's clock.
    pub error_estimate: ErrorEstimate,
    /// The DSCP that replies are to have, from 0 to 63, if the request has the Class of Service
    /// extension.
    pub dscp: u8,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            size: 72,
            ssid: 0,
            key: None,
            timestamp_format: TimestampFormat::default(),
            error_estimate: ErrorEstimate::UNKNOWN,
            dscp: 0,
        }
    }
}

/// The requests of one session to a STAMP reflector, or to one of TWAMP Light.
///
/// Request `number` has the sequence number `number - 1`, since the first of a session is zero. Its
/// reply shows [`Timestamp::Ns`] with T2 and T3, and [`Seen`].
#[derive(Clone, Debug)]
pub struct StampSender {
    config: SenderConfig,
    /// When the most recent request was sent; timestamps of replies are close to it.
    last: WallTime,
    losses: LossDirections,
}

impl StampSender {
    /// Creates the sender of a session.
    pub fn new(mut config: SenderConfig) -> Self {
        let least = layout(&config).len();
        config.size = config.size.clamp(least, REQUEST_MAX);
        Self { config, last: WallTime::from_nanos(0), losses: LossDirections::new() }
    }

    /// Returns the bytes of a request.
    pub fn size(&self) -> usize {
        self.config.size
    }

    /// Changes the error estimate of further requests.
    pub fn set_error_estimate(&mut self, estimate: ErrorEstimate) {
        self.config.error_estimate = estimate;
    }

    /// Returns the direction of the loss of `lost` requests, which do not include those with a late
    /// reply. Returns `None` if the reflector is not known to be stateful.
    pub fn loss_direction(&self, lost: u64) -> Option<LossDirection> {
        self.losses.direction(lost)
    }

    /// Appends the extensions, `len` bytes of them.
    fn write_extensions(&self, sequence: u32, len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        // Padding needs no HMAC; the other extensions of an authenticated request do.
        let signature = if self.config.key.is_some() { HMAC_TLV } else { 0 };
        let mut rest = len.saturating_sub(signature);
        let mut counts = [0; 12];
        counts[..4].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
        let class = ClassOfService::request(self.config.dscp & 63);
        let extensions = [(tlv::CLASS_OF_SERVICE, &class[..]), (tlv::DIRECT_MEASUREMENT, &counts)];
        for (kind, value) in extensions {
            let needed = tlv::HEADER + value.len();
            // What is left must be nothing or enough for padding.
            if rest == needed || needed + tlv::HEADER <= rest {
                write_tlv(kind, value, out);
                rest -= needed;
            }
        }
        let signs = signature != 0 && out.len() != start;
        if signature != 0 && !signs {
            rest = len;
        }
        write_padding(rest, out);
        if let Some(key) = self.config.key.as_ref().filter(|_| signs) {
            write_tlv(tlv::HMAC, &[0; 16], out);
            let tail = &mut out[start..];
            let at = tail.len() - HMAC_TLV;
            tlv::sign(key, &sequence.to_be_bytes(), tail, at);
        }
    }

    /// Returns the fields of a reply in this session, or `None` if it is no such reply.
    fn fields(&self, packet: &[u8]) -> Option<ReflectorPacket> {
        let fields = ReflectorPacket::read(layout(&self.config), packet)?;
        let is_authentic = self.config.key.as_ref().is_none_or(|key| key.verify_packet(packet));
        let is_ours = fields.ssid == 0 || fields.ssid == self.config.ssid;
        (is_authentic && is_ours).then_some(fields)
    }

    /// Returns the number of the request with this sequence number, the last one before `next`.
    fn number(sequence: u32, next: u64) -> Option<u64> {
        let newest = next.checked_sub(2)?;
        let era = u64::from(u32::MAX) + 1;
        let ago = (newest % era + era - u64::from(sequence)) % era;
        newest.checked_sub(ago).map(|before| before + 1)
    }

    /// Reads the extensions of a reply. Returns the traffic class of the request as it arrived, and
    /// whether the reflector counts packets.
    fn read_extensions(&self, sequence: u32, packet: &[u8]) -> (Option<u8>, bool) {
        let tail = packet.get(layout(&self.config).len()..).unwrap_or(&[]);
        let has_failed = |key| tlv::integrity(key, &sequence.to_be_bytes(), tail) == Integrity::Failed;
        if self.config.key.as_ref().is_some_and(has_failed) {
            return (None, false);
        }
        let (mut class, mut is_counted) = (None, false);
        for tlv in tlv::walk(tail).filter(tlv::Tlv::is_answered) {
            match tlv.kind {
                tlv::CLASS_OF_SERVICE => class = ClassOfService::read(tlv.value),
                tlv::DIRECT_MEASUREMENT => is_counted = true,
                _ => {}
            }
        }
        (class, is_counted)
    }
}

impl ProbeFormat for StampSender {
    fn write(&mut self, number: u64, now: WallTime, out: &mut Vec<u8>) {
        let layout = layout(&self.config);
        let format = self.config.timestamp_format;
        let sequence = u32::try_from(number.wrapping_sub(1) & u64::from(u32::MAX)).unwrap_or(0);
        let request = SenderPacket {
            sequence,
            timestamp: format.encode(now),
            error_estimate: self.config.error_estimate.with_format(format),
            ssid: self.config.ssid,
        };
        let start = out.len();
        out.resize(start + layout.len(), 0);
        let has_space = request.write(layout, &mut out[start..]);
        debug_assert!(has_space, "the buffer was extended");
        if let Some(key) = &self.config.key {
            key.sign_packet(&mut out[start..]);
        }
        self.write_extensions(sequence, self.config.size - layout.len(), out);
        self.last = now;
    }

    fn read(&mut self, bytes: &[u8], next: u64, replies: &mut Vec<ProbeReply>) -> bool {
        let Some(fields) = self.fields(bytes) else { return true };
        let Some(number) = Self::number(fields.sender_sequence, next) else { return true };
        let (class, is_counted) = self.read_extensions(fields.sequence, bytes);
        if is_counted {
            self.losses.confirm_stateful();
        }
        self.losses.replied(fields.sender_sequence, fields.sequence);
        let times = (fields.receive_timestamp != 0 && fields.timestamp != 0)
            .then(|| Timestamp::Ns { rx: fields.receive_time(self.last), tx: fields.send_time(self.last) });
        let seen = Seen {
            count: Some(fields.sequence),
            ttl: fields.sender_ttl,
            dscp: class.map(|class| class >> 2),
            ecn: class.map(|class| class & 3),
            error_estimate: Some(fields.error_estimate),
        };
        replies.push(ProbeReply { number, timestamp: times, ends_read: true, seen });
        false
    }

    /// Looks for the session identifier and a timestamp of this session; a quoted packet that ends
    /// before the identifier is not found.
    fn find(&self, packet: &[u8], next: u64) -> Option<u64> {
        let layout = layout(&self.config);
        (0..packet.len()).find_map(|at| {
            let fields = SenderPacket::read_quoted(layout, &packet[at..])?;
            let sent = self.config.timestamp_format.decode(fields.timestamp, self.last);
            let age = self.last.as_nanos().checked_sub(sent.as_nanos()).map(Duration::from_nanos);
            let is_ours = fields.ssid == self.config.ssid && age.is_some_and(|age| age <= QUOTED_AGE_MAX);
            is_ours.then(|| Self::number(fields.sequence, next)).flatten()
        })
    }
}

fn layout(config: &SenderConfig) -> Layout {
    if config.key.is_some() { Layout::Authenticated } else { Layout::Unauthenticated }
}

fn write_tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    let [high, low] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
    out.extend_from_slice(&[tlv::UNRECOGNIZED | tlv::MALFORMED, kind, high, low]);
    out.extend_from_slice(value);
}

/// Appends `len` bytes of padding: an extension, or zeros if they are too few for one.
fn write_padding(len: usize, out: &mut Vec<u8>) {
    let end = out.len() + len;
    if let Some(value) = len.checked_sub(tlv::HEADER) {
        let [high, low] = u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes();
        out.extend_from_slice(&[tlv::UNRECOGNIZED | tlv::MALFORMED, tlv::EXTRA_PADDING, high, low]);
    }
    out.resize(end, 0);
}
