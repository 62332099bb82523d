//! The rule against loops: which datagrams are replied to.

use core::time::Duration;

use crate::template::{Template, starts_with_placeholder};
use crate::time::MonoTime;
use crate::timestamp::starts_with_timestamp;

/// A datagram, as far as the rule depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The contents.
    pub bytes: &'a [u8],
    /// The sender.
    pub sender: Sender,
    /// Whether it was sent to a multicast or broadcast address.
    pub to_group: bool,
    /// Whether it was longer than the buffer it was received into.
    pub truncated: bool,
}

/// The sender of a datagram, by its source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A socket on this host.
    Local,
    /// A socket on another host; the address may be forged.
    Remote,
    /// A socket that cannot be replied to: it has no name, or no port.
    Nameless,
    /// The socket that received it; the address may be forged.
    Own,
    /// The kernel.
    Kernel,
    /// A port below 1024, where a service may reply to anything.
    Service,
}

/// Why a datagram is not replied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// It begins with a filled timestamp, so it is a reply itself.
    Stamped,
    /// It was longer than the buffer: a part of it would be no echo.
    Truncated,
    /// It was sent to a multicast or broadcast address.
    Group,
    /// Its sender has no address to reply to.
    Nameless,
    /// Its sender is the server itself.
    Own,
    /// Its sender is the kernel.
    Kernel,
    /// The address to reply to belongs to another socket than the sender's.
    Forged,
    /// Its sender is a service, which may reply to the reply.
    Service,
    /// The plain echo does not reply to remote hosts.
    Remote,
    /// The rate limit of the plain echo to remote hosts is reached.
    Rate,
    /// Its sender's address or user is not allowed.
    Denied,
    /// The kernel had no buffer space for the reply.
    Unsent,
    /// The receive buffer was full: the kernel dropped it before it was read.
    Overflow,
}

impl DropReason {
    /// All reasons, in the order in which they are reported.
    pub const ALL: &'static [Self] = &[
        Self::Stamped,
        Self::Truncated,
        Self::Group,
        Self::Nameless,
        Self::Own,
        Self::Kernel,
        Self::Forged,
        Self::Service,
        Self::Remote,
        Self::Rate,
        Self::Denied,
        Self::Unsent,
        Self::Overflow,
    ];

    /// Returns the reason in one word, for reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stamped => "stamped",
            Self::Truncated => "truncated",
            Self::Group => "group",
            Self::Nameless => "nameless",
            Self::Own => "own",
            Self::Kernel => "kernel",
            Self::Forged => "forged",
            Self::Service => "service",
            Self::Remote => "stranger",
            Self::Rate => "rate",
            Self::Denied => "denied",
            Self::Unsent => "unsent",
            Self::Overflow => "overflow",
        }
    }
}

/// Which hosts an echo without a timestamp replies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainEcho {
    /// This host only.
    Local,
    /// Remote hosts, too, at the rate of a token bucket.
    Metered,
}

/// Decides which datagrams of one socket are replied to.
///
/// Two servers that reply to each other would never stop, and one datagram with a forged source
/// would start them. So a datagram that begins with a filled timestamp is taken for a reply and
/// dropped, and so are those from the server itself or from the port of a service (CVE-2024-2169).
/// The replies of an echo without a timestamp look like requests, so it replies to remote hosts
/// only if that is enabled, and then at a limited rate.
#[derive(Debug)]
pub struct DatagramFilter {
    stamped: bool,
    plain: PlainEcho,
    bucket: TokenBucket,
}

impl DatagramFilter {
    /// Creates the filter of a socket that replies with `stamp`, at `now`.
    pub fn new(stamp: &Template, plain: PlainEcho, now: MonoTime) -> Self {
        Self { stamped: !stamp.is_none(), plain, bucket: TokenBucket::full(now) }
    }

    /// Checks whether the server may reply to the datagram.
    ///
    /// # Errors
    ///
    /// The reason why it is not.
    pub fn check(&mut self, datagram: &Datagram<'_>, now: MonoTime) -> Result<(), DropReason> {
        if datagram.to_group {
            return Err(DropReason::Group);
        }
        match datagram.sender {
            Sender::Nameless => return Err(DropReason::Nameless),
            Sender::Own => return Err(DropReason::Own),
            Sender::Kernel => return Err(DropReason::Kernel),
            Sender::Service => return Err(DropReason::Service),
            Sender::Local | Sender::Remote => {}
        }
        if datagram.truncated {
            return Err(DropReason::Truncated);
        }
        if starts_with_timestamp(datagram.bytes) {
            return Err(DropReason::Stamped);
        }
        let is_reply_stamped = self.stamped || starts_with_placeholder(datagram.bytes);
        if is_reply_stamped || datagram.sender == Sender::Local {
            return Ok(());
        }
        match self.plain {
            PlainEcho::Local => Err(DropReason::Remote),
            PlainEcho::Metered if self.bucket.take(now) => Ok(()),
            PlainEcho::Metered => Err(DropReason::Rate),
        }
    }
}

/// Tokens that are refilled at a steady rate, up to a burst.
#[derive(Debug)]
struct TokenBucket {
    tokens: u32,
    refilled: MonoTime,
}

impl TokenBucket {
    const BURST: u32 = 100;
    const EVERY: Duration = Duration::from_millis(100);

    fn full(now: MonoTime) -> Self {
        Self { tokens: Self::BURST, refilled: now }
    }

    fn take(&mut self, now: MonoTime) -> bool {
        let due = (now - self.refilled).as_nanos() / Self::EVERY.as_nanos();
        match u32::try_from(due) {
            Ok(due) if due < Self::BURST - self.tokens => {
                self.tokens += due;
                self.refilled = self.refilled + Self::EVERY * due;
            }
            _ => *self = Self::full(now),
        }
        let granted = 0 < self.tokens;
        self.tokens -= u32::from(granted);
        granted
    }
}
