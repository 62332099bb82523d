//! Counters: each worker writes its own, any thread can add them up.

use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use echosounder_proto::DropReason;

use crate::event::DisconnectReason;

/// The counters of one worker. Only that worker writes them, so it needs no atomic addition.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    drops: [AtomicU64; DropReason::ALL.len()],
    disconnects: [AtomicU64; DisconnectReason::ALL.len()],
}

/// The sums of all workers' counters: [`Running::totals`](crate::Running::totals).
///
/// # Examples
///
/// ```
/// use echosounder_server::Server;
/// use echosounder_server::proto::DropReason;
///
/// let totals = Server::bind(["udp://127.0.0.1:0"])?.start()?.stop()?;
/// assert_eq!((totals.messages, totals.dropped()), (0, 0));
/// assert_eq!(totals.dropped_for(DropReason::Overflow), 0);
/// for (reason, count) in totals.drops() {
///     println!("{}: {count}", reason.word());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open at the moment.
    pub connected_now: u64,
    /// Messages replied to: frames of a stream, messages of a connection, datagrams.
    pub messages: u64,
    /// Bytes in those messages, without timestamps.
    pub bytes: u64,
    /// Connections that failed, and other operations that failed.
    pub errors: u64,
    /// Messages dropped, in the order of [`DropReason::ALL`].
    drops: [u64; DropReason::ALL.len()],
    /// Clients disconnected by the server, in the order of [`DisconnectReason::ALL`].
    disconnects: [u64; DisconnectReason::ALL.len()],
}

impl Counters {
    pub(crate) fn add_accepted(&self) {
        add(&self.accepted, 1);
    }

    pub(crate) fn add_closed(&self) {
        add(&self.closed, 1);
    }

    pub(crate) fn add_replies(&self, messages: u64, bytes: usize) {
        add(&self.messages, messages);
        add(&self.bytes, bytes as u64);
    }

    pub(crate) fn add_error(&self) {
        add(&self.errors, 1);
    }

    pub(crate) fn add_drops(&self, reason: DropReason, messages: u64) {
        add(&self.drops[reason as usize], messages);
    }

    pub(crate) fn add_disconnect(&self, reason: DisconnectReason) {
        add(&self.disconnects[reason as usize], 1);
    }

    /// Returns the counts so far.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Read first, so that a connection that ends meanwhile counts as open and the difference is
        // never negative.
        let closed = read(&self.closed);
        let connections = read(&self.accepted);
        Totals {
            connections,
            connected_now: connections.saturating_sub(closed),
            messages: read(&self.messages),
            bytes: read(&self.bytes),
            errors: read(&self.errors),
            drops: std::array::from_fn(|index| read(&self.drops[index])),
            disconnects: std::array::from_fn(|index| read(&self.disconnects[index])),
        }
    }
}

impl Totals {
    /// Returns the number of messages dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Returns the number of messages dropped for one reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Returns every reason to drop a message, with the number of messages dropped for it.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.iter().copied().zip(self.drops)
    }

    /// Returns the number of clients disconnected by the server for one reason.
    pub fn disconnected_for(&self, reason: DisconnectReason) -> u64 {
        self.disconnects[reason as usize]
    }

    /// Returns every reason to disconnect a client, with the number of clients disconnected for it.
    pub fn disconnects(&self) -> impl Iterator<Item = (DisconnectReason, u64)> {
        DisconnectReason::ALL.iter().copied().zip(self.disconnects)
    }

    /// Returns the number of clients disconnected by the server for any reason.
    pub fn disconnected(&self) -> u64 {
        self.disconnects.iter().sum()
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
            disconnects: std::array::from_fn(|index| self.disconnects[index] + other.disconnects[index]),
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// Adds to a counter that no other thread writes.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
