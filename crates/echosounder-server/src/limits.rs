//! What all connections together may have.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use echosounder_socket::Address;

/// Most bytes kept for all connections together: answers that the kernel has not taken, input not answered.
pub const BACKLOG_MAX: usize = 16 * 1024 * 1024;

/// Most bytes of one read.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// Fewest bytes that a read is worth.
const READ_MIN: usize = 1024;

/// How many counters there are for connections of one peer.
const PEERS: usize = 64 * 1024;

/// What the workers share: how many connections there are, and of whom.
///
/// The tables have a fixed size, so that no crowd of peers can make them grow. Peers are counted by a keyed hash
/// of their host's address; two that share a counter share the limit, which nobody can bring about on purpose.
#[derive(Debug)]
pub struct Limits {
    connections: AtomicUsize,
    connections_max: usize,
    peers: Box<[AtomicU32]>,
    per_peer_max: Option<u32>,
    keys: RandomState,
}

impl Limits {
    /// Room for so many connections, and so many of one host.
    pub fn new(connections_max: usize, per_peer_max: Option<u32>) -> Self {
        let counters = if per_peer_max.is_some() { PEERS } else { 0 };
        Self {
            connections: AtomicUsize::new(0),
            connections_max,
            peers: (0..counters).map(|_| AtomicU32::new(0)).collect(),
            per_peer_max,
            keys: RandomState::new(),
        }
    }

    /// Takes a place for a connection, if one is free.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let next = |taken: usize| Some(taken + 1).filter(|&taken| taken <= self.connections_max);
        self.connections.try_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(ConnectionPermit { limits: Arc::clone(self), peer: None })
    }

    /// The counter of a peer, if its kind is counted: hosts are, and of IPv6 the network that one host has.
    fn counter(&self, peer: &Address) -> Option<u32> {
        let hash = match peer {
            Address::Inet(address) => self.keys.hash_one(address.ip().octets()),
            Address::Inet6(address) => self.keys.hash_one(&address.ip().octets()[..8]),
            _ => return None,
        };
        u32::try_from(hash % PEERS as u64).ok().filter(|_| self.per_peer_max.is_some())
    }
}

/// The right of one connection to be there, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limits: Arc<Limits>,
    peer: Option<u32>,
}

impl ConnectionPermit {
    /// Makes it the place of a certain peer; `None` if that has as many as it may have.
    pub(crate) fn take(mut self, peer: &Address) -> Option<Self> {
        let Some(counter) = self.limits.counter(peer) else { return Some(self) };
        let max = self.limits.per_peer_max.unwrap_or(u32::MAX);
        let next = |taken: u32| Some(taken + 1).filter(|&taken| taken <= max);
        let taken =
            self.limits.peers[counter as usize].try_update(Ordering::Relaxed, Ordering::Relaxed, next);
        self.peer = Some(counter).filter(|_| taken.is_ok());
        taken.is_ok().then_some(self)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(counter) = self.peer {
            self.limits.peers[counter as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One worker's part of [`BACKLOG_MAX`].
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    used: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: 0 }
    }

    /// How much one connection may read, so that whatever comes of it can be kept: less and less, as less is
    /// left. `None` if nothing is sure to be kept any more.
    pub(crate) fn read_size(&self) -> Option<usize> {
        // At most three times a read is kept of it: its answers, twice as long at most, and unanswered input.
        let size = (self.max.saturating_sub(self.used) / 8).min(READ_MAX);
        (READ_MIN <= size).then_some(size)
    }

    /// What may be read when nothing is left, of a connection whose answers are sure to be taken.
    pub(crate) fn last_size() -> usize {
        READ_MIN
    }

    /// Notes that a connection keeps `after` bytes instead of `before`. A message is read whole, whatever is
    /// left, so more may be used for a while than there is.
    pub(crate) fn change(&mut self, before: usize, after: usize) {
        self.used = self.used.saturating_sub(before) + after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_beyond_the_budget_does_not_come_back_as_more() {
        let mut budget = Budget::new(100_000);
        budget.change(0, 300_000);
        assert_eq!(budget.read_size(), None);
        budget.change(300_000, 0);
        assert_eq!(budget.read_size(), Some(12_500));
    }
}
