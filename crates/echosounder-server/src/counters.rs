//! What has been counted: each worker writes its own, whoever asks adds them up.

use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use echosounder_proto::DropReason;

/// Why a connection was ended from our side while the server went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DisconnectReason {
    /// Its peer said nothing for too long.
    Idle,
    /// Its peer did not take what was said for too long.
    Stalled,
    /// There were as many connections as there may be, and it had been idle longest.
    Evicted,
    /// Its peer had as many connections as it may have.
    Refused,
}

impl DisconnectReason {
    /// Every reason, in the order in which they are reported.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Stalled, Self::Evicted, Self::Refused];

    /// The reason in one word, as it stands in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Stalled => "stall",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
        }
    }
}

/// One worker's counts. Only that worker writes them, so writing needs no atomic addition.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    /// Connections that have ended.
    disconnected: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    drops: [AtomicU64; DropReason::ALL.len()],
    cuts: [AtomicU64; DisconnectReason::ALL.len()],
}

/// Counts of all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open at the moment.
    pub connected_now: u64,
    /// Messages answered: pieces of a stream, messages, datagrams.
    pub messages: u64,
    /// Bytes of those messages, without stamps.
    pub bytes: u64,
    /// Connections that ended with an error, and calls that failed otherwise.
    pub errors: u64,
    /// Messages not answered, by reason, in the order of [`DropReason::ALL`].
    pub drops: [u64; DropReason::ALL.len()],
    /// Connections ended from our side, by reason, in the order of [`DisconnectReason::ALL`].
    pub cuts: [u64; DisconnectReason::ALL.len()],
}

impl Counters {
    pub(crate) fn connected(&self) {
        add(&self.connections, 1);
    }

    pub(crate) fn disconnected(&self) {
        add(&self.disconnected, 1);
    }

    pub(crate) fn answered(&self, messages: u64, bytes: usize) {
        add(&self.messages, messages);
        add(&self.bytes, bytes as u64);
    }

    pub(crate) fn failed(&self) {
        add(&self.errors, 1);
    }

    pub(crate) fn dropped(&self, reason: DropReason, messages: u64) {
        add(&self.drops[reason as usize], messages);
    }

    pub(crate) fn cut(&self, reason: DisconnectReason) {
        add(&self.cuts[reason as usize], 1);
    }

    /// The counts so far.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Read first: a connection that ends meanwhile still counts as open, rather than as less than none.
        let disconnected = read(&self.disconnected);
        let connections = read(&self.connections);
        Totals {
            connections,
            connected_now: connections.saturating_sub(disconnected),
            messages: read(&self.messages),
            bytes: read(&self.bytes),
            errors: read(&self.errors),
            drops: std::array::from_fn(|index| read(&self.drops[index])),
            cuts: std::array::from_fn(|index| read(&self.cuts[index])),
        }
    }
}

impl Totals {
    /// Messages not answered, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Connections ended from our side, for whatever reason.
    pub fn cut(&self) -> u64 {
        self.cuts.iter().sum()
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            connected_now: self.connected_now + other.connected_now,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            errors: self.errors + other.errors,
            drops: std::array::from_fn(|index| self.drops[index] + other.drops[index]),
            cuts: std::array::from_fn(|index| self.cuts[index] + other.cuts[index]),
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// Adds to a count that nobody else writes.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
