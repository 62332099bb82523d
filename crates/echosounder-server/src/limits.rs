//! Limits on connections: how many there may be, how many of one peer, and how long they may wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::access::Access;
use crate::peers::{Newcomer, PeerKey};

/// How long connections may wait for their peers.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long a client may send nothing; `None` means no limit.
    pub idle: Option<Duration>,
    /// How long a client may take to receive 64 KiB or all output that the server has for it, and
    /// to finish a line.
    pub stall: Duration,
}

/// The limits of one worker.
#[derive(Clone, Debug)]
pub struct WorkerLimits {
    /// The limits that all workers share.
    pub shared: Arc<Limits>,
    /// Which clients may connect.
    pub access: Arc<Access>,
    /// How long connections may wait for their peers.
    pub timeouts: Timeouts,
    /// Bytes of backlog that this worker may hold: its part of
    /// [`BACKLOG_MAX`](crate::internal::BACKLOG_MAX).
    pub backlog_max: usize,
    /// Bytes that the kernel may hold for this worker's stalled connections.
    pub socket_memory_max: u64,
}

/// The numbers of connections that all workers share: in all, and per peer.
///
/// The table of peers is exact. It has at most as many entries as there are connections, and clients
/// that are being accepted.
#[derive(Debug)]
pub struct Limits {
    connections: AtomicUsize,
    connections_max: usize,
    per_peer_max: Option<u32>,
    peers: Mutex<HashMap<PeerKey, u32>>,
}

impl Limits {
    /// Creates limits of `connections_max` connections in all and `per_peer_max` of one peer.
    /// `None` means a quarter of all, at least 1, for a peer on another host, and no limit for this
    /// host.
    pub fn new(connections_max: usize, per_peer_max: Option<u32>) -> Self {
        let peers = Mutex::default();
        Self { connections: AtomicUsize::new(0), connections_max, per_peer_max, peers }
    }

    /// Returns whether the maximum number of connections is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.connections_max <= self.connections.load(Ordering::Relaxed)
    }

    /// Returns whether a peer has several connections, with all workers together.
    pub(crate) fn has_peer_with_several(&self) -> bool {
        self.peers().len() < self.connections.load(Ordering::Relaxed)
    }

    /// Counts one more connection of a peer. Returns `None` if the peer has its maximum.
    /// `is_remote` returns whether the peer is on another host.
    pub(crate) fn charge(
        self: &Arc<Self>,
        peer: PeerKey,
        is_remote: impl FnOnce() -> bool,
    ) -> Option<ConnectionPermit> {
        let max = match self.per_peer_max {
            Some(max) => max,
            None if is_remote() => u32::try_from(self.connections_max / 4).unwrap_or(u32::MAX).max(1),
            None => u32::MAX,
        };
        let mut peers = self.peers();
        let share = peers.get(&peer).map_or(0, |&count| count) + 1;
        if max < share {
            return None;
        }
        peers.insert(peer, share);
        Some(ConnectionPermit {
            limits: Some(Arc::clone(self)),
            newcomer: Newcomer { peer, share },
            is_admitted: false,
        })
    }

    /// Returns the number of connections of a peer.
    pub(crate) fn share_of(&self, peer: PeerKey) -> u32 {
        self.peers().get(&peer).map_or(0, |&count| count)
    }

    /// Returns the permit of a connection whose peer [`into_peer`](ConnectionPermit::into_peer)
    /// returned.
    pub(crate) fn permit_of(self: &Arc<Self>, peer: PeerKey) -> ConnectionPermit {
        let newcomer = Newcomer { peer, share: 0 };
        ConnectionPermit { limits: Some(Arc::clone(self)), newcomer, is_admitted: true }
    }

    fn discharge(&self, peer: PeerKey) {
        if let Entry::Occupied(mut entry) = self.peers().entry(peer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerKey, u32>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts for its peer and, once it is [admitted](Self::admit), for the total.
/// Dropping it returns both to the [`Limits`].
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    /// `None` only while the permit is converted.
    limits: Option<Arc<Limits>>,
    newcomer: Newcomer,
    is_admitted: bool,
}

impl ConnectionPermit {
    /// Returns the peer, and its number of connections when the permit was given.
    pub(crate) fn newcomer(&self) -> Newcomer {
        self.newcomer
    }

    /// Counts the connection, and returns whether that was possible: the maximum number of
    /// connections may be reached.
    pub(crate) fn admit(&mut self) -> bool {
        let Some(limits) = &self.limits else { return false };
        let next = |count: usize| Some(count + 1).filter(|&count| count <= limits.connections_max);
        let admitted = limits.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        self.is_admitted = admitted.is_ok();
        self.is_admitted
    }

    /// Returns the peer of an admitted connection, which stays counted until its
    /// [permit](Limits::permit_of) is dropped. An idle connection keeps its peer only: a reference
    /// to the limits would cost it 8 bytes.
    pub(crate) fn into_peer(mut self) -> PeerKey {
        self.limits = None;
        self.newcomer.peer
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some(limits) = &self.limits else { return };
        limits.discharge(self.newcomer.peer);
        if self.is_admitted {
            limits.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> PeerKey {
        PeerKey::Ipv4(number.to_be_bytes())
    }

    #[test]
    fn five_thousand_hosts_have_one_connection_each() {
        let limits = Arc::new(Limits::new(5_000, Some(1)));
        let permits: Vec<_> = (0..5_000)
            .map(|number| {
                let mut permit = limits.charge(host(number), || true).expect("its first connection");
                assert!(permit.admit() && limits.charge(host(number), || true).is_none());
                permit
            })
            .collect();
        assert!(limits.is_full() && !limits.charge(host(5_000), || true).unwrap().admit());
        assert_eq!(limits.peers().len(), 5_000);
        drop(permits);
        assert_eq!((limits.peers().len(), limits.connections.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_remote_peer_has_a_quarter_of_all_and_this_host_has_no_limit() {
        for (max, quarter) in [(100, 25), (3, 1), (7, 1), (8, 2)] {
            let limits = Arc::new(Limits::new(max, None));
            let remote: Vec<_> = (0..max).map_while(|_| limits.charge(host(1), || true)).collect();
            assert_eq!(remote.len(), quarter, "of {max}");
            let local: Vec<_> = (0..max).map_while(|_| limits.charge(host(2), || false)).collect();
            assert_eq!((local.len(), limits.share_of(host(2)) as usize), (max, max));
        }
    }

    #[test]
    fn a_peer_with_several_connections_is_known_to_all_workers() {
        let limits = Arc::new(Limits::new(3, None));
        let admitted = |number| {
            let mut permit = limits.charge(host(number), || false).unwrap();
            assert!(permit.admit());
            permit
        };
        let _two_hosts = [admitted(1), admitted(2)];
        assert!(!limits.has_peer_with_several());
        let another = admitted(2);
        assert!(limits.has_peer_with_several());
        drop(another);
        assert!(!limits.has_peer_with_several());
    }

    #[test]
    fn a_configured_maximum_holds_for_this_host_too() {
        let limits = Arc::new(Limits::new(100, Some(2)));
        let permits: Vec<_> = (0..5).map_while(|_| limits.charge(host(1), || false)).collect();
        assert_eq!(permits.iter().map(|permit| permit.newcomer().share).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_permit_counts_while_only_its_peer_is_kept() {
        let limits = Arc::new(Limits::new(1, None));
        let mut permit = limits.charge(host(1), || true).unwrap();
        assert!(permit.admit());
        let peer = permit.into_peer();
        assert!(limits.is_full() && limits.share_of(peer) == 1);
        drop(limits.permit_of(peer));
        assert!(!limits.is_full() && limits.share_of(peer) == 0);
    }
}
