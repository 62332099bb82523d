//! The rule against loops: which datagrams are answered.

use core::time::Duration;

use crate::template::{Template, starts_with_placeholder};
use crate::time::MonoTime;
use crate::timestamp::starts_with_timestamp;

/// A datagram as it arrived, as far as the rule needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub sender: Sender,
    /// Whether it was sent to a group or to everybody, rather than to this host.
    pub to_group: bool,
    /// Whether it was longer than the buffer it was received into.
    pub truncated: bool,
}

/// Who sent a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A socket on this host.
    Local,
    /// A socket elsewhere – or so its source address says.
    Stranger,
    /// A socket that cannot be answered: it has no name, or no port.
    Nameless,
    /// The very socket that received it – or so its source address says.
    Own,
    /// The kernel, which nobody answers.
    Kernel,
    /// A port below 1024, where services are that may answer whatever they are sent.
    Service,
}

/// Why a datagram is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// It begins with a filled stamp, so it is an answer itself.
    Stamped,
    /// It was longer than the buffer; a part of it would not be an echo.
    Truncated,
    /// It was sent to a group or to everybody.
    Group,
    /// Its sender has no address to answer to.
    Nameless,
    /// Its sender is the server itself.
    Own,
    /// Its sender is the kernel.
    Kernel,
    /// The address to answer to leads to somebody else than its sender.
    Forged,
    /// Its sender is a service, which would answer the answer.
    Service,
    /// The plain echo does not answer strangers.
    Stranger,
    /// The plain echo has answered strangers often enough for now.
    Rate,
    /// The kernel did not take the answer.
    Unsent,
    /// The receive buffer was full: the kernel dropped it before anybody read it.
    Overflow,
}

impl DropReason {
    /// Every reason, in the order in which they are reported.
    pub const ALL: [Self; 12] = [
        Self::Stamped,
        Self::Truncated,
        Self::Group,
        Self::Nameless,
        Self::Own,
        Self::Kernel,
        Self::Forged,
        Self::Service,
        Self::Stranger,
        Self::Rate,
        Self::Unsent,
        Self::Overflow,
    ];

    /// The reason in one word, as it stands in reports.
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
            Self::Stranger => "stranger",
            Self::Rate => "rate",
            Self::Unsent => "unsent",
            Self::Overflow => "overflow",
        }
    }
}

/// Whom an echo without a stamp answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainEcho {
    /// This host alone.
    Local,
    /// Strangers too, as often as a token bucket allows.
    Metered,
}

/// Decides which datagrams of one socket are answered.
///
/// Two servers that answer each other would go on for ever, and one datagram with a forged source would be
/// enough to start them. So whatever begins with a filled stamp is taken for an answer and is dropped, and so is
/// whatever comes from the server itself or from a service's port (CVE-2024-2169). An echo without a stamp makes answers that nobody can tell from calls, so it answers strangers only when asked to,
/// and then at a bounded rate.
#[derive(Debug)]
pub struct DatagramFilter {
    stamped: bool,
    plain: PlainEcho,
    bucket: TokenBucket,
}

impl DatagramFilter {
    /// The rule for a socket that answers with `stamp`, starting at `now`.
    pub fn new(stamp: &Template, plain: PlainEcho, now: MonoTime) -> Self {
        Self { stamped: !stamp.is_none(), plain, bucket: TokenBucket::full(now) }
    }

    /// Whether the datagram is to be answered; if not, why.
    pub fn check(&mut self, datagram: &Datagram<'_>, now: MonoTime) -> Result<(), DropReason> {
        if datagram.to_group {
            return Err(DropReason::Group);
        }
        match datagram.sender {
            Sender::Nameless => return Err(DropReason::Nameless),
            Sender::Own => return Err(DropReason::Own),
            Sender::Kernel => return Err(DropReason::Kernel),
            Sender::Service => return Err(DropReason::Service),
            Sender::Local | Sender::Stranger => {}
        }
        if datagram.truncated {
            return Err(DropReason::Truncated);
        }
        if starts_with_timestamp(datagram.bytes) {
            return Err(DropReason::Stamped);
        }
        let answer_is_stamped = self.stamped || starts_with_placeholder(datagram.bytes);
        if answer_is_stamped || datagram.sender == Sender::Local {
            return Ok(());
        }
        match self.plain {
            PlainEcho::Local => Err(DropReason::Stranger),
            PlainEcho::Metered if self.bucket.take(now) => Ok(()),
            PlainEcho::Metered => Err(DropReason::Rate),
        }
    }
}

/// Tokens that come back at a steady rate, up to a burst's worth.
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
