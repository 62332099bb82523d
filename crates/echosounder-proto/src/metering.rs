//! How many replies the server sends to sources that may be forged: token buckets in tables of a
//! fixed size.

use alloc::boxed::Box;
use core::hash::BuildHasher;
use core::iter;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::datagram::DropReason;
use crate::stamp;
use crate::template::PREFIX_MAX;
use crate::time::MonoTime;

/// Number of buckets for source prefixes. Prefixes that share a bucket share its bytes, so the
/// limits hold for any number of sources.
const PREFIX_SLOTS: usize = 16_384;

/// Number of buckets for ports of UDP responders.
const RESPONDER_SLOTS: usize = 4_096;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// UDP ports of 1024 or more whose services reply to what they do not understand, in ascending
/// order. An exchange with one of them could continue for ever, or amplify a forged request (US-CERT
/// alert TA14-017A, RFC 8085 section 3.1; names from the IANA registry of service names and ports).
const RESPONDER_PORTS: [u16; 22] = [
    1194,   // OpenVPN
    1434,   // ms-sql-m
    1604,   // Citrix ICA browser
    1645,   // RADIUS before RFC 2865
    1701,   // L2TP
    1812,   // RADIUS
    1900,   // SSDP
    2049,   // NFS
    2123,   // GTP control
    3283,   // net-assistant
    3478,   // STUN
    3702,   // WS-Discovery
    5060,   // SIP
    5093,   // Sentinel LM
    5351,   // NAT-PMP
    5353,   // mDNS
    5355,   // LLMNR
    5683,   // CoAP
    10_001, // Ubiquiti discovery
    11_211, // memcached
    27_015, // Source engine query
    37_810, // DHDiscover
];

/// The bytes by which replies to one source, and to all, may exceed their requests. A timestamp
/// prefix makes a reply longer than its request, so a forged source could be sent more than the
/// forger spends.
///
/// ```
/// let mut limits = echosounder_proto::ReplyLimits::default();
/// limits.rate_total = 1 << 20;
/// assert_eq!((limits.burst, limits.rate), (8 * 1024, 256));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyLimits {
    /// Maximum number of bytes at once to one source prefix.
    pub burst: u32,
    /// Bytes per second to one source prefix; 0 allows none.
    pub rate: u32,
    /// Bytes per second to all source prefixes; 0 allows none. At most the bytes of one second are
    /// sent at once.
    pub rate_total: u32,
}

/// 8 KiB at once and 256 bytes per second to one source prefix, 64 KiB per second in all.
impl Default for ReplyLimits {
    fn default() -> Self {
        Self { burst: 8 * 1024, rate: 256, rate_total: 64 * 1024 }
    }
}

/// The sources that share a bucket: an IPv4 /24, an IPv6 /56, or a TIPC node.
///
/// ```
/// use core::net::IpAddr;
/// use echosounder_proto::SourcePrefix;
///
/// let prefix = |text: &str| SourcePrefix::from(text.parse::<IpAddr>().unwrap());
/// assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.200"));
/// assert_eq!(prefix("2001:db8:0:1::1"), prefix("2001:db8:0:ff::1"));
/// assert_ne!(prefix("2001:db8:0:1::1"), prefix("2001:db8:0:100::1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePrefix(u64);

impl SourcePrefix {
    const KIND_SHIFT: u32 = 56;
    const IPV4: u64 = 1 << Self::KIND_SHIFT;
    const NODE: u64 = 2 << Self::KIND_SHIFT;

    /// Returns the prefix of all sources at a node of a network without IP, such as a TIPC node.
    pub fn node(number: u32) -> Self {
        Self(Self::NODE | u64::from(number))
    }
}

/// An IPv4 address mapped into IPv6 counts as IPv4.
impl From<IpAddr> for SourcePrefix {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(Self::IPV4 | u64::from(address.to_bits() >> 8)),
            // 56 bits of 128.
            IpAddr::V6(address) => Self(u64::try_from(address.to_bits() >> 72).unwrap_or(u64::MAX)),
        }
    }
}

/// The source of a datagram, as far as its limits depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel has verified the sender, as over UNIX sockets. There are no limits.
    Verified,
    /// A host that is trusted, such as this one. Only plain echoes are limited.
    Trusted,
    /// Any other host: the address may be forged.
    Remote {
        /// The sources that share its limits.
        prefix: SourcePrefix,
        /// The source port; 0 for a network without ports.
        port: u16,
    },
}

/// The form of a reply, on which its limits depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyForm {
    /// It begins with a timestamp.
    Stamped {
        /// Number of bytes by which it exceeds its request.
        excess: usize,
    },
    /// It repeats its request unchanged.
    Plain,
    /// It is the reply of a STAMP reflector. Replies to the port of another reflector are limited,
    /// because that may take them for requests.
    Reflected {
        /// Number of bytes by which it exceeds its request.
        excess: usize,
        /// The port of this reflector, which others may use too.
        port: u16,
    },
}

/// Decides which datagrams are replied to, by how much has been sent to their sources before.
///
/// All datagram sockets and threads of a server share one meter, or a forger would be granted each
/// limit once for every thread. Its memory is fixed, 160 KiB. Each bucket is the generic cell rate
/// algorithm (ITU-T I.371): the time at which it will be full again.
///
/// ```
/// use std::hash::RandomState;
/// use std::net::IpAddr;
/// use std::time::Duration;
/// use echosounder_proto::{DropReason, MonoTime, ReplyForm, ReplyLimits, ReplyMeter, Source};
///
/// let meter = ReplyMeter::new(ReplyLimits::default(), RandomState::new());
/// let source = Source::Remote { prefix: IpAddr::from([192, 0, 2, 1]).into(), port: 4000 };
/// let now = MonoTime::from_origin(Duration::ZERO);
/// // A placeholder is replaced by a timestamp of its length: such replies are not limited.
/// assert_eq!(meter.admit(source, ReplyForm::Stamped { excess: 0 }, now), Ok(()));
/// // The others are granted 8 KiB at once.
/// let ctime = ReplyForm::Stamped { excess: 27 };
/// assert_eq!((0..1000).filter(|_| meter.admit(source, ctime, now).is_ok()).count(), 8192 / 27);
/// assert_eq!(meter.admit(source, ctime, now), Err(DropReason::Excess));
/// ```
#[derive(Debug)]
pub struct ReplyMeter<S> {
    hasher: S,
    prefix_rate: Rate,
    total_rate: Rate,
    prefixes: Box<[AtomicU64]>,
    responders: Box<[AtomicU64]>,
    total: AtomicU64,
    plain_remote: AtomicU64,
    plain_trusted: AtomicU64,
}

impl<S: BuildHasher> ReplyMeter<S> {
    /// Creates a meter whose buckets are full. The hasher must have a random key, or a forger could
    /// choose sources that share the bucket of another.
    pub fn new(limits: ReplyLimits, hasher: S) -> Self {
        let slots = |count| iter::repeat_with(AtomicU64::default).take(count).collect();
        // A total of less than two prefixes at once would never be granted.
        let least = u32::try_from(2 * PREFIX_MAX).unwrap_or(u32::MAX);
        Self {
            hasher,
            prefix_rate: Rate::new(limits.burst, limits.rate),
            total_rate: Rate::new(limits.rate_total.max(least), limits.rate_total),
            prefixes: slots(PREFIX_SLOTS),
            responders: slots(RESPONDER_SLOTS),
            total: AtomicU64::default(),
            plain_remote: AtomicU64::default(),
            plain_trusted: AtomicU64::default(),
        }
    }

    /// Charges a reply to the limits of its source.
    ///
    /// # Errors
    ///
    /// [`DropReason::Rate`] if the source is the port of a responder that got a reply in the last
    /// second, or that of a STAMP reflector that got 1,000 at once and 1,000 per second since, or if
    /// there were too many plain echoes; [`DropReason::Excess`] if the bytes beyond
    /// the requests' length are used up.
    pub fn admit(&self, source: Source, reply: ReplyForm, now: MonoTime) -> Result<(), DropReason> {
        let now = now.as_nanos();
        match (source, reply) {
            (Source::Verified, _)
            | (Source::Trusted, ReplyForm::Stamped { .. } | ReplyForm::Reflected { .. }) => Ok(()),
            (Source::Trusted, ReplyForm::Plain) => granted(PLAIN_TRUSTED.take(&self.plain_trusted, 1, now)),
            (Source::Remote { prefix, port }, reply) => {
                if let Some(rate) = rate_of(port, reply) {
                    let slot = Self::slot(&self.responders, self.hasher.hash_one((prefix, port)));
                    granted(rate.take(slot, 1, now))?;
                }
                match reply {
                    ReplyForm::Plain => granted(PLAIN_REMOTE.take(&self.plain_remote, 1, now)),
                    ReplyForm::Stamped { excess: 0 } | ReplyForm::Reflected { excess: 0, .. } => Ok(()),
                    ReplyForm::Stamped { excess } | ReplyForm::Reflected { excess, .. } => {
                        self.charge(prefix, excess, now)
                    }
                }
            }
        }
    }

    /// Charges excess bytes to a prefix and to the total, or to neither.
    fn charge(&self, prefix: SourcePrefix, excess: usize, now: u64) -> Result<(), DropReason> {
        let slot = Self::slot(&self.prefixes, self.hasher.hash_one(prefix));
        let charge = self.prefix_rate.take(slot, excess, now).ok_or(DropReason::Excess)?;
        // A prefix that has used half of its burst gets only the first half of the total, so that
        // many busy prefixes leave the other half to those that ask seldom.
        let is_busy = self.prefix_rate.tolerance / 2 < charge.after - now;
        let total = if is_busy { self.total_rate.halved() } else { self.total_rate };
        if total.take(&self.total, excess, now).is_some() {
            return Ok(());
        }
        // If another thread has charged the prefix since, this charge remains, and the prefix gets
        // fewer bytes than the limit allows.
        let _ = slot.compare_exchange(charge.after, charge.before, Ordering::Relaxed, Ordering::Relaxed);
        Err(DropReason::Excess)
    }

    fn slot(slots: &[AtomicU64], hash: u64) -> &AtomicU64 {
        let index = usize::try_from(hash % slots.len() as u64).unwrap_or(0);
        &slots[index]
    }
}

/// Returns the limit of replies to a port whose program may reply to them.
fn rate_of(port: u16, reply: ReplyForm) -> Option<Rate> {
    match reply {
        ReplyForm::Reflected { port: own, .. } if port == own || port == stamp::PORT => Some(REFLECTOR),
        _ if RESPONDER_PORTS.binary_search(&port).is_ok() => Some(RESPONDER),
        _ => None,
    }
}

fn granted(charge: Option<Charge>) -> Result<(), DropReason> {
    charge.map(drop).ok_or(DropReason::Rate)
}

/// Plain echoes to remote hosts, which may be servers like this one.
const PLAIN_REMOTE: Rate = Rate::new(100, 10);

/// Plain echoes to this host and to trusted ones. It bounds an exchange between two servers, and
/// exceeds what a program on the other side needs.
const PLAIN_TRUSTED: Rate = Rate::new(10_000, 10_000);

/// Replies to one port of a responder.
const RESPONDER: Rate = Rate::new(1, 1);

/// Replies to one port of a STAMP reflector, from which senders may send requests, too.
const REFLECTOR: Rate = Rate::new(1000, 1000);

/// A burst of units, and units per second.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: u64,
    /// How long an empty bucket takes to fill, in nanoseconds.
    tolerance: u64,
}

/// The time at which a bucket is full, before and after a charge.
struct Charge {
    before: u64,
    after: u64,
}

impl Rate {
    const fn new(burst: u32, per_second: u32) -> Self {
        let per_second = per_second as u64;
        let tolerance = match per_second {
            0 => 0,
            _ => burst as u64 * NANOS_PER_SECOND / per_second,
        };
        Self { per_second, tolerance }
    }

    /// Returns the rate with half the burst.
    fn halved(self) -> Self {
        Self { tolerance: self.tolerance / 2, ..self }
    }

    /// Takes units from a bucket, or none.
    fn take(self, bucket: &AtomicU64, units: usize, now: u64) -> Option<Charge> {
        let nanos = u64::try_from(units).ok()?.checked_mul(NANOS_PER_SECOND)?;
        let cost = nanos.checked_add(self.per_second.checked_sub(1)?)? / self.per_second;
        let latest = now.saturating_add(self.tolerance);
        let charged = |full_at: u64| full_at.max(now).checked_add(cost).filter(|full_at| *full_at <= latest);
        // No other memory depends on a bucket.
        let before = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged).ok()?;
        Some(Charge { before, after: before.max(now) + cost })
    }
}
