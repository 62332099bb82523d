//! Limits on connections: how many there may be, how many of one host, and how long they may wait.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use echosounder_socket::Address;

/// Number of counters for connections per host.
const HOST_COUNTERS: usize = 64 * 1024;

/// How long connections may wait for their peers.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long a client may send nothing; `None` means no limit.
    pub idle: Option<Duration>,
    /// How long a client may receive nothing although the server has output for it.
    pub stall: Duration,
}

/// The limits of one worker.
#[derive(Clone, Debug)]
pub struct WorkerLimits {
    /// The limits that all workers share.
    pub shared: Arc<Limits>,
    /// How long connections may wait for their peers.
    pub timeouts: Timeouts,
    /// Bytes of backlog that this worker may hold: its part of
    /// [`BACKLOG_MAX`](crate::internal::BACKLOG_MAX).
    pub backlog_max: usize,
}

/// The numbers of connections that all workers share: in all, and per host.
///
/// The table of hosts has a fixed size, so memory does not grow with the number of hosts. A keyed
/// hash of its address assigns each host a counter. Two hosts may share a counter and then share
/// the limit; the key is random, so nobody can cause that on purpose.
#[derive(Debug)]
pub struct Limits {
    connections: AtomicUsize,
    connections_max: usize,
    hosts: Box<[AtomicU32]>,
    per_host_max: Option<u32>,
    keys: RandomState,
}

impl Limits {
    /// Creates limits of `connections_max` connections in all and `per_host_max` of one host;
    /// `None` means no limit.
    pub fn new(connections_max: usize, per_host_max: Option<u32>) -> Self {
        let counters = if per_host_max.is_some() { HOST_COUNTERS } else { 0 };
        Self {
            connections: AtomicUsize::new(0),
            connections_max,
            hosts: (0..counters).map(|_| AtomicU32::new(0)).collect(),
            per_host_max,
            keys: RandomState::new(),
        }
    }

    /// Returns a permit for one more connection, unless the maximum is reached.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let next = |count: usize| Some(count + 1).filter(|&count| count <= self.connections_max);
        self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(ConnectionPermit { limits: Arc::clone(self), host: None })
    }

    /// Returns the index of a host's counter. IPv6 addresses count by /64, the network that one
    /// host usually has. `None` means that the peer's connections are not counted.
    fn host_counter(&self, peer: &Address) -> Option<u32> {
        let hash = match peer {
            Address::Inet(address) => self.keys.hash_one(address.ip().octets()),
            Address::Inet6(address) => self.keys.hash_one(&address.ip().octets()[..8]),
            _ => return None,
        };
        u32::try_from(hash % HOST_COUNTERS as u64).ok().filter(|_| self.per_host_max.is_some())
    }
}

/// The permission to hold one connection. Dropping it returns it to the [`Limits`].
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limits: Arc<Limits>,
    host: Option<u32>,
}

impl ConnectionPermit {
    /// Charges the permit to the peer's host. Returns `None` if that host has reached its maximum.
    pub(crate) fn charge_to(mut self, peer: &Address) -> Option<Self> {
        let Some(counter) = self.limits.host_counter(peer) else { return Some(self) };
        let max = self.limits.per_host_max.unwrap_or(u32::MAX);
        let next = |count: u32| Some(count + 1).filter(|&count| count <= max);
        let charged =
            self.limits.hosts[counter as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        self.host = Some(counter).filter(|_| charged.is_ok());
        charged.is_ok().then_some(self)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(counter) = self.host {
            self.limits.hosts[counter as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }
}
