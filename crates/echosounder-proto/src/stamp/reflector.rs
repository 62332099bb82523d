//! The Session-Reflector: from a request to its reply.

use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

use super::auth::Key;
use super::packet::{Layout, ReflectorPacket, SenderPacket};
use super::sessions::{Session, Sessions};
use super::time::{ErrorEstimate, TimestampFormat};
use super::tlv::{self, Facts, Integrity};
use crate::datagram::DropReason;
use crate::time::WallTime;

/// A packet is a reply if it has a timestamp this close to now where only replies have timestamps.
const REPLY_AGE_MAX_NANOS: u64 = 60_000_000_000;

/// How a reflector replies.
///
/// ```
/// let mut config = echosounder_proto::stamp::ReflectorConfig::default();
/// config.is_stateful = false;
/// assert!(config.key.is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReflectorConfig {
    /// Whether replies are numbered by session, which shows the direction of a loss. Otherwise they
    /// repeat the number of the request.
    pub is_stateful: bool,
    /// The key of the authenticated mode; `None` means the unauthenticated mode.
    pub key: Option<Key>,
    /// The format of the timestamps T2 and T3.
    pub timestamp_format: TimestampFormat,
    /// Whether a reply has the DSCP of its request, or the one that the request chooses by the Class
    /// of Service extension.
    pub honours_dscp: bool,
}

/// Stateful, unauthenticated, NTP timestamps, and replies with the DSCP that the request asks for.
impl Default for ReflectorConfig {
    fn default() -> Self {
        Self {
            is_stateful: true,
            key: None,
            timestamp_format: TimestampFormat::default(),
            honours_dscp: true,
        }
    }
}

/// The addresses, the time of receipt and the header fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestContext {
    /// The source address and port.
    pub source: SocketAddr,
    /// The address that it was sent to, if it is known.
    pub destination: Option<IpAddr>,
    /// When it was received, T2.
    pub received: WallTime,
    /// Its time to live or hop limit when it arrived, if it is known.
    pub ttl: Option<u8>,
    /// Its traffic class or type of service, DSCP and ECN, when it arrived, if it is known.
    pub traffic_class: Option<u8>,
}

impl RequestContext {
    /// Creates the context of a request with a known source and time of receipt. The other fields are
    /// unknown.
    pub fn new(source: SocketAddr, received: WallTime) -> Self {
        Self { source, destination: None, received, ttl: None, traffic_class: None }
    }
}

/// A reply that is complete except for its time of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reflected {
    /// The bytes of the reply, at the beginning of the buffer.
    pub len: usize,
    /// The DSCP that the request asks for, from 0 to 63; `None` if it asks for none, or if requests
    /// may not choose.
    pub dscp: Option<u8>,
}

/// Turns requests into replies, in the same buffer.
///
/// A reply has as many bytes as its request, and 44 (112 if authenticated) at least. Only a request
/// of TWAMP Light of 14 to 43 bytes is shorter than its reply: pass the
/// [excess](Layout::excess) to a [`ReplyMeter`](crate::ReplyMeter) before, as
/// [`ReplyForm::Reflected`](crate::ReplyForm::Reflected).
///
/// # Loops
///
/// A reply can be read as a request, so two reflectors would reply to each other for ever after one
/// packet with a forged source. A reply is recognised by its contents: where it has T2, or the
/// timestamp that it copies from its request, a request has zeros. A packet with a time within 60
/// seconds of now in one of these places, in either format, is dropped as
/// [`DropReason::Stamped`]. Since a reply to this reflector copies T3 of this reflector, which is
/// less than 60 seconds old, two reflectors send at most one reply each after a forged packet. This
/// holds for any difference of their clocks and for a round trip of up to 60 seconds. Each step of a
/// clock by 60 seconds or more in the meantime allows one reply more.
///
/// The padding of a TWAMP Light sender that is random is taken for a reply once in 10⁷ requests.
#[derive(Debug)]
pub struct Reflector<S> {
    config: ReflectorConfig,
    sessions: Option<Sessions<S>>,
}

impl<S: BuildHasher> Reflector<S> {
    /// Creates a reflector without sessions. The hasher must have a random key, as in
    /// [`Sessions::new`].
    pub fn new(config: ReflectorConfig, hasher: S) -> Self {
        let sessions = config.is_stateful.then(|| Sessions::new(hasher));
        Self { config, sessions }
    }

    /// Returns the layout of requests and replies.
    pub fn layout(&self) -> Layout {
        if self.config.key.is_some() { Layout::Authenticated } else { Layout::Unauthenticated }
    }

    /// Replaces the request in the first `len` bytes of `buffer` by its reply, which is to be
    /// [finished](Self::finish) before it is sent. `estimate` is that of the clock that measured
    /// `received` and `now`.
    ///
    /// # Errors
    ///
    /// [`DropReason::Short`] if the request has fewer bytes than its fields;
    /// [`DropReason::Truncated`] if `buffer` is too short for the reply; [`DropReason::Stamped`] if
    /// the request is a reply; [`DropReason::Unauthenticated`] if its HMAC is wrong.
    pub fn reflect(
        &mut self,
        buffer: &mut [u8],
        len: usize,
        context: &RequestContext,
        estimate: ErrorEstimate,
        now: WallTime,
    ) -> Result<Reflected, DropReason> {
        let layout = self.layout();
        let reply_len = len.max(layout.len());
        let request = self.check(buffer.get(..len).ok_or(DropReason::Truncated)?, now)?;
        let packet = buffer.get_mut(..reply_len).ok_or(DropReason::Truncated)?;
        let ssid = if layout.has_session_identifier(&packet[..len]) { request.ssid } else { 0 };
        let session = Session { source: context.source, destination: context.destination, ssid };
        let count = self.sessions.as_mut().map(|sessions| sessions.count(&session));
        let sequence = count.unwrap_or(request.sequence);
        let format = self.config.timestamp_format;

        // A short request has no extensions, and the bytes behind it are not part of it.
        let (fields, tail) = packet.split_at_mut(layout.len());
        let facts = Facts {
            traffic_class: context.traffic_class,
            honours_dscp: self.config.honours_dscp,
            is_synchronized: estimate.is_synchronized(),
            counts: count.map(|before| (before.wrapping_add(1), before.wrapping_add(1))),
            has_key: self.config.key.is_some(),
        };
        let dscp = self.answer_extensions(request.sequence, sequence, tail, &facts);
        let reply = ReflectorPacket {
            sequence,
            timestamp: 0,
            error_estimate: estimate.with_format(format),
            ssid: request.ssid,
            receive_timestamp: format.encode(context.received),
            sender_sequence: request.sequence,
            sender_timestamp: request.timestamp,
            sender_error_estimate: request.error_estimate,
            sender_ttl: context.ttl,
        };
        if !reply.write(layout, fields) {
            return Err(DropReason::Truncated);
        }
        Ok(Reflected { len: reply_len, dscp })
    }

    /// Writes the time of sending, T3, into a reply, and then its HMAC. Call it right before the
    /// send.
    pub fn finish(&self, reply: &mut [u8], now: WallTime) {
        self.layout().write_timestamp(reply, now);
        if let Some(key) = &self.config.key {
            key.sign_packet(reply);
        }
    }

    /// Reads a request that is to be replied to.
    fn check(&self, request: &[u8], now: WallTime) -> Result<SenderPacket, DropReason> {
        let layout = self.layout();
        let fields = SenderPacket::read(layout, request).ok_or(DropReason::Short)?;
        if layout.reply_timestamps(request).into_iter().flatten().any(|bits| is_recent(bits, now)) {
            return Err(DropReason::Stamped);
        }
        match &self.config.key {
            Some(key) if !key.verify_packet(request) => Err(DropReason::Unauthenticated),
            _ => Ok(fields),
        }
    }

    /// Answers the extensions, whose HMAC covers the sequence number too. Returns the DSCP that the
    /// reply is to have.
    fn answer_extensions(&self, request: u32, reply: u32, tail: &mut [u8], facts: &Facts) -> Option<u8> {
        let Some(key) = &self.config.key else { return tlv::answer(tail, facts) };
        match tlv::integrity(key, &request.to_be_bytes(), tail) {
            Integrity::Valid(at) => {
                let dscp = tlv::answer(tail, facts);
                tlv::sign(key, &reply.to_be_bytes(), tail, at);
                dscp
            }
            Integrity::NotNeeded => tlv::answer(tail, facts),
            Integrity::Failed => {
                tlv::refuse(tail);
                None
            }
        }
    }
}

/// Returns whether the bits are a time close to now in either format. Zero is no time, although it
/// is one in NTP in 2036 and in PTP in 2106.
fn is_recent(bits: u64, now: WallTime) -> bool {
    bits != 0
        && [TimestampFormat::Ntp, TimestampFormat::Ptp]
            .into_iter()
            .any(|format| format.decode(bits, now).as_nanos().abs_diff(now.as_nanos()) < REPLY_AGE_MAX_NANOS)
}
