//! What has been counted: each worker writes its own, whoever asks adds them up.

use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use echosounder_proto::Reason;

/// One worker's counts. Only that worker writes them, so writing needs no atomic addition.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    drops: [AtomicU64; Reason::ALL.len()],
}

/// Counts of all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Messages answered: pieces of a stream, messages, datagrams.
    pub messages: u64,
    /// Bytes of those messages, without stamps.
    pub bytes: u64,
    /// Connections that ended with an error, and calls that failed otherwise.
    pub errors: u64,
    /// Messages not answered, by reason, in the order of [`Reason::ALL`].
    pub drops: [u64; Reason::ALL.len()],
}

impl Counters {
    pub(crate) fn connected(&self) {
        add(&self.connections, 1);
    }

    pub(crate) fn answered(&self, messages: u64, bytes: usize) {
        add(&self.messages, messages);
        add(&self.bytes, bytes as u64);
    }

    pub(crate) fn failed(&self) {
        add(&self.errors, 1);
    }

    pub(crate) fn dropped(&self, reason: Reason, messages: u64) {
        add(&self.drops[reason as usize], messages);
    }

    /// The counts so far.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            connections: read(&self.connections),
            messages: read(&self.messages),
            bytes: read(&self.bytes),
            errors: read(&self.errors),
            drops: std::array::from_fn(|index| read(&self.drops[index])),
        }
    }
}

impl Totals {
    /// Messages not answered, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            errors: self.errors + other.errors,
            drops: std::array::from_fn(|index| self.drops[index] + other.drops[index]),
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
