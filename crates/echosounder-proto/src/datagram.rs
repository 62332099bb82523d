//! The rule against loops: which datagrams are replied to.

use crate::placeholder::starts_with_placeholder;
use crate::template::Template;
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
    /// A socket on this host, or on a trusted one.
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

impl Sender {
    /// Returns why datagrams of the sender are dropped, if they are.
    pub fn refusal(self) -> Option<DropReason> {
        match self {
            Self::Local | Self::Remote => None,
            Self::Nameless => Some(DropReason::Nameless),
            Self::Own => Some(DropReason::Own),
            Self::Kernel => Some(DropReason::Kernel),
            Self::Service => Some(DropReason::Service),
        }
    }
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
    /// The rate limit of plain echoes, or of replies to the port of a UDP responder, is reached.
    Rate,
    /// Its sender's address or user is not allowed.
    Denied,
    /// It is shorter than a request of the protocol.
    Short,
    /// Its HMAC is missing or wrong.
    Unauthenticated,
    /// The reply is longer than its request, and the limit of such bytes is reached.
    Excess,
    /// Unread replies fill much of the send buffer, and the reply would exceed its client's share of
    /// the rest.
    Unread,
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
        Self::Short,
        Self::Unauthenticated,
        Self::Excess,
        Self::Unread,
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
            Self::Short => "short",
            Self::Unauthenticated => "unauthenticated",
            Self::Excess => "excess",
            Self::Unread => "unread",
            Self::Unsent => "unsent",
            Self::Overflow => "overflow",
        }
    }
}

/// Which hosts an echo without a timestamp replies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainEcho {
    /// This host only, and trusted ones.
    Local,
    /// Remote hosts, too, at a limited rate.
    Metered,
}

/// Decides which datagrams of one socket are replied to.
///
/// Two servers that reply to each other would never stop, and one datagram with a forged source
/// would start them. So a datagram that begins with a filled timestamp is taken for a reply and
/// dropped, and so are those from the server itself or from the port of a service (CVE-2024-2169).
/// The replies of an echo without a timestamp look like requests, so it replies to remote hosts
/// only if that is enabled. How often it replies, a [`ReplyMeter`](crate::ReplyMeter) decides.
#[derive(Clone, Copy, Debug)]
pub struct DatagramFilter {
    stamped: bool,
    plain: PlainEcho,
}

impl DatagramFilter {
    /// Creates the filter of a socket that replies with `stamp`.
    pub fn new(stamp: &Template, plain: PlainEcho) -> Self {
        Self { stamped: !stamp.is_none(), plain }
    }

    /// Checks whether the server may reply to the datagram.
    ///
    /// # Errors
    ///
    /// The reason why it is not.
    pub fn check(&self, datagram: &Datagram<'_>) -> Result<(), DropReason> {
        if datagram.to_group {
            return Err(DropReason::Group);
        }
        if let Some(reason) = datagram.sender.refusal() {
            return Err(reason);
        }
        if datagram.truncated {
            return Err(DropReason::Truncated);
        }
        if starts_with_timestamp(datagram.bytes) {
            return Err(DropReason::Stamped);
        }
        match self.plain {
            PlainEcho::Local if datagram.sender == Sender::Remote && self.is_plain(datagram.bytes) => {
                Err(DropReason::Remote)
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the reply to `request` repeats it unchanged.
    pub fn is_plain(&self, request: &[u8]) -> bool {
        !self.stamped && !starts_with_placeholder(request)
    }
}
