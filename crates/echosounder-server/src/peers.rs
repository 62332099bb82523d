//! The connections of a worker by peer, and which of them makes room for a newcomer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::Address;
use echosounder_socket::family::tipc::TipcAddress;

use crate::wait_queues::WaitQueues;

/// How long a connection must have waited for its client before it makes room for a peer that would
/// then have as many connections as its own.
const EVICTABLE_AFTER: Duration = Duration::from_secs(1);

/// Maximum number of connections that one search for an evictable one examines.
const SEARCH_MAX: usize = 256;

/// The index that means that there is no node.
const NONE: u32 = u32::MAX;

/// What counts as one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerKey {
    /// An IPv4 address.
    Ipv4([u8; 4]),
    /// An IPv6 network of 48 bits: what one site usually has (RFC 6177).
    Ipv6([u8; 6]),
    /// The user of a UNIX socket.
    User(u32),
    /// The context of a VSOCK address: a virtual machine, or this host.
    Vsock(u32),
    /// The node of a TIPC address.
    TipcNode(u32),
    /// All peers of an address family that cannot be told apart.
    Family(i32),
}

const _: () = assert!(size_of::<PeerKey>() == 8, "a table has one per peer");

impl PeerKey {
    /// Returns the key of the peer at an address. `user` is the user of a UNIX socket.
    pub(crate) fn new(peer: &Address, user: Option<u32>) -> Self {
        let key = match (peer, user) {
            (Address::Unix(_), Some(user)) => Some(Self::User(user)),
            (Address::Vsock(address), _) => Some(Self::Vsock(address.cid)),
            (Address::Tipc(TipcAddress::Socket { node, .. }), _) => Some(Self::TipcNode(*node)),
            // A socket of both IP versions shows IPv4 addresses as IPv6: ipv6(7).
            _ => peer.ip().map(|ip| match ip.to_canonical() {
                IpAddr::V4(ip) => Self::Ipv4(ip.octets()),
                IpAddr::V6(ip) => {
                    let [a, b, c, d, e, f, ..] = ip.octets();
                    Self::Ipv6([a, b, c, d, e, f])
                }
            }),
        };
        key.unwrap_or_else(|| Self::Family(peer.family().0))
    }
}

/// A client that asks for a place although there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    pub(crate) peer: PeerKey,
    /// The number of connections that its peer would have in all workers.
    pub(crate) share: u32,
}

/// The connections of a worker by peer, and the peers by their numbers of connections.
///
/// To add and to remove a connection takes constant time, and a search examines at most
/// [`SEARCH_MAX`] connections. A turn of a connection changes nothing here.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    indices: HashMap<PeerKey, u32>,
    peers: Vec<Node<Peer>>,
    free: Vec<u32>,
    /// The peer of each connection. Each peer has a ring of its connections, oldest first.
    connections: Vec<Node<u32>>,
    /// For each number of connections, the first of the ring of peers that have as many. The last
    /// entry is not [`NONE`].
    by_count: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    key: PeerKey,
    count: u32,
    first_connection: u32,
}

/// A connection that waits for its client, and the time of its last turn.
type Waiting = (u32, MonoTime);

impl Peers {
    /// Adds a connection of a peer.
    pub(crate) fn add(&mut self, connection: usize, key: PeerKey) {
        let index = self.index_or_insert(key);
        if self.connections.len() <= connection {
            self.connections.resize(connection + 1, Node::new(NONE));
        }
        self.connections[connection] = Node::new(index);
        let first = &mut self.peers[index as usize].value.first_connection;
        insert_last(&mut self.connections, first, node_index(connection));
        let count = self.peers[index as usize].value.count;
        self.set_count(index, count + 1);
    }

    /// Removes a connection and returns its peer.
    pub(crate) fn remove(&mut self, connection: usize) -> Option<PeerKey> {
        let index = std::mem::replace(&mut self.connections.get_mut(connection)?.value, NONE);
        let peer = &mut self.peers.get_mut(index as usize)?.value;
        let (key, count) = (peer.key, peer.count);
        remove(&mut self.connections, &mut peer.first_connection, node_index(connection));
        self.set_count(index, count - 1);
        if count == 1 {
            self.indices.remove(&key);
            self.free.push(index);
        }
        Some(key)
    }

    /// Returns the number of connections of the peer that has most.
    fn most(&self) -> usize {
        self.by_count.len().saturating_sub(1)
    }

    /// Returns whether a connection has waited so long that it may make room for a newcomer.
    pub(crate) fn has_evictable(queues: &WaitQueues, now: MonoTime) -> bool {
        queues.longest_waiting().is_some_and(|(_, since)| is_evictable(since, now))
    }

    /// Returns the connection that makes room for a newcomer, if there is one.
    ///
    /// The peer that has most connections gives the one that has waited longest for its client. If
    /// it has as many as the newcomer's peer would have, that connection must have waited for
    /// [`EVICTABLE_AFTER`]; if it has fewer, it gives none. Then the newcomer's own peer gives one
    /// that has waited as long. `share_of` returns the number of connections of a peer in all
    /// workers.
    pub(crate) fn victim(
        &self,
        newcomer: Newcomer,
        share_of: impl Fn(PeerKey) -> u32,
        queues: &WaitQueues,
        now: MonoTime,
    ) -> Option<usize> {
        let own = self.indices.get(&newcomer.peer).copied();
        let of_others = self.longest_of_most(own, queues).filter(|&(connection, since)| {
            let share = self.peer_of(connection).map_or(0, |peer| share_of(peer.key));
            newcomer.share < share || newcomer.share == share && is_evictable(since, now)
        });
        let victim = of_others.or_else(|| {
            let longest = longest(self.connections_of(own?), queues, |connection| {
                self.connections[connection as usize].value == own.unwrap_or(NONE)
            });
            longest.filter(|&(_, since)| is_evictable(since, now))
        });
        victim.map(|(connection, _)| connection as usize)
    }

    /// Returns the connection that has waited longest among those of the peers that have most,
    /// without those of the newcomer's own peer.
    fn longest_of_most(&self, own: Option<u32>, queues: &WaitQueues) -> Option<Waiting> {
        let most = self.most();
        let first = *self.by_count.get(most)?;
        let peers = ring(&self.peers, first).filter(|&index| Some(index) != own);
        longest(peers.flat_map(|index| self.connections_of(index)), queues, |connection| {
            Some(self.connections[connection as usize].value) != own
                && self.peer_of(connection).is_some_and(|peer| peer.count as usize == most)
        })
    }

    fn connections_of(&self, index: u32) -> impl Iterator<Item = u32> {
        ring(&self.connections, self.peers[index as usize].value.first_connection)
    }

    fn peer_of(&self, connection: u32) -> Option<&Peer> {
        let index = self.connections.get(connection as usize)?.value;
        self.peers.get(index as usize).map(|node| &node.value)
    }

    fn index_or_insert(&mut self, key: PeerKey) -> u32 {
        let vacant = match self.indices.entry(key) {
            Entry::Occupied(entry) => return *entry.get(),
            Entry::Vacant(entry) => entry,
        };
        let new = Node::new(Peer { key, count: 0, first_connection: NONE });
        let index = self.free.pop().unwrap_or_else(|| {
            self.peers.push(new);
            node_index(self.peers.len() - 1)
        });
        self.peers[index as usize] = new;
        *vacant.insert(index)
    }

    /// Moves a peer to the ring of those with `count` connections; 0 removes it from all.
    fn set_count(&mut self, index: u32, count: u32) {
        let before = std::mem::replace(&mut self.peers[index as usize].value.count, count) as usize;
        if before != 0 {
            remove(&mut self.peers, &mut self.by_count[before], index);
        }
        let count = count as usize;
        if count != 0 {
            if self.by_count.len() <= count {
                self.by_count.resize(count + 1, NONE);
            }
            insert_last(&mut self.peers, &mut self.by_count[count], index);
        }
        while self.by_count.last() == Some(&NONE) {
            self.by_count.pop();
        }
    }
}

fn is_evictable(since: MonoTime, now: MonoTime) -> bool {
    EVICTABLE_AFTER <= now - since
}

/// Returns the connection that has waited longest. It is that of all connections if it `belongs` to
/// the candidates, and otherwise the longest of the first [`SEARCH_MAX`] candidates.
fn longest(
    candidates: impl Iterator<Item = u32>,
    queues: &WaitQueues,
    belongs: impl Fn(u32) -> bool,
) -> Option<Waiting> {
    if let Some((connection, since)) = queues.longest_waiting()
        && belongs(node_index(connection))
    {
        return Some((node_index(connection), since));
    }
    let waiting = candidates.take(SEARCH_MAX).filter_map(|connection| {
        let since = queues.waiting_since(connection as usize)?;
        Some((connection, since))
    });
    waiting.min_by_key(|&(_, since)| since)
}

/// A node of a ring: a circular list whose nodes name their neighbours by index.
#[derive(Clone, Copy, Debug)]
struct Node<T> {
    next: u32,
    previous: u32,
    value: T,
}

impl<T> Node<T> {
    fn new(value: T) -> Self {
        Self { next: NONE, previous: NONE, value }
    }
}

/// Inserts a node at the end of the ring that begins at `first`, which may be empty.
fn insert_last<T>(nodes: &mut [Node<T>], first: &mut u32, index: u32) {
    if *first == NONE {
        *first = index;
        (nodes[index as usize].next, nodes[index as usize].previous) = (index, index);
        return;
    }
    let last = std::mem::replace(&mut nodes[*first as usize].previous, index);
    nodes[last as usize].next = index;
    (nodes[index as usize].next, nodes[index as usize].previous) = (*first, last);
}

/// Removes a node from the ring that begins at `first`.
fn remove<T>(nodes: &mut [Node<T>], first: &mut u32, index: u32) {
    let (next, previous) = (nodes[index as usize].next, nodes[index as usize].previous);
    nodes[previous as usize].next = next;
    nodes[next as usize].previous = previous;
    if *first == index {
        *first = if next == index { NONE } else { next };
    }
}

/// Returns the indices of a ring.
fn ring<T>(nodes: &[Node<T>], first: u32) -> impl Iterator<Item = u32> {
    let start = Some(first).filter(|&first| first != NONE);
    std::iter::successors(start, move |&index| Some(nodes[index as usize].next).filter(|&next| next != first))
}

/// Converts an index to the width of a node's links: there are fewer than 2^31 descriptors.
fn node_index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use echosounder_socket::family::unix::UnixName;
    use echosounder_socket::family::vsock::VsockAddress;
    use proptest::prelude::*;

    use super::*;
    use crate::wait_queues::WaitState;

    #[test]
    fn one_host_site_user_or_context_is_one_peer() {
        let ip = |text: &str| PeerKey::new(&(text.parse::<IpAddr>().unwrap(), 4000).into(), None);
        assert_eq!(ip("192.0.2.1"), ip("::ffff:192.0.2.1"));
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
        assert_eq!(ip("2001:db8:1:2::3"), ip("2001:db8:1:ffff::9"));
        assert_ne!(ip("2001:db8:1::3"), ip("2001:db8:2::3"));
        let unix = |user| PeerKey::new(&UnixName::Unnamed.into(), user);
        assert_eq!([unix(Some(7)), unix(None)], [PeerKey::User(7), PeerKey::Family(1)]);
        let vsock = |cid| PeerKey::new(&VsockAddress { cid, port: 1 }.into(), None);
        assert!(vsock(3) == vsock(3) && vsock(3) != vsock(4));
        let tipc = |node, reference| PeerKey::new(&TipcAddress::Socket { node, reference }.into(), None);
        assert!(tipc(1, 1) == tipc(1, 2) && tipc(1, 1) != tipc(2, 1));
    }

    #[test]
    fn a_connection_is_evictable_when_it_has_waited_for_a_second() {
        let mut queues = WaitQueues::default();
        let evictable_after = |queues: &WaitQueues, millis| {
            Peers::has_evictable(queues, MonoTime::from_origin(Duration::from_millis(millis)))
        };
        assert!(!evictable_after(&queues, 10_000));
        queues.touch(3, WaitState::Ending, MonoTime::from_origin(Duration::ZERO));
        assert!(!evictable_after(&queues, 10_000), "it does not wait for its client");
        queues.touch(3, WaitState::Idle, MonoTime::from_origin(Duration::from_secs(1)));
        assert!(!evictable_after(&queues, 1999) && evictable_after(&queues, 2000));
    }

    fn host(number: u8) -> PeerKey {
        PeerKey::Ipv4([192, 0, 2, number])
    }

    /// The connections of a worker, with both structures and the same in plain lists.
    #[derive(Default)]
    struct Model {
        peers: Peers,
        queues: WaitQueues,
        plain: Vec<(usize, PeerKey, WaitState, MonoTime)>,
        now: u64,
    }

    impl Model {
        fn now(&self) -> MonoTime {
            MonoTime::from_origin(Duration::from_millis(self.now))
        }

        fn connect(&mut self, connection: usize, peer: PeerKey) {
            self.peers.add(connection, peer);
            self.plain.push((connection, peer, WaitState::Idle, self.now()));
            self.touch(connection, WaitState::Idle);
        }

        fn touch(&mut self, connection: usize, state: WaitState) {
            self.now += 1;
            let now = self.now();
            self.queues.touch(connection, state, now);
            let entry = self.plain.iter_mut().find(|(other, ..)| *other == connection).unwrap();
            (entry.2, entry.3) = (state, now);
        }

        fn close(&mut self, connection: usize) {
            let at = self.plain.iter().position(|(other, ..)| *other == connection);
            let peer = at.map(|at| self.plain.remove(at).1);
            assert_eq!(self.peers.remove(connection), peer);
            self.queues.remove(connection);
        }

        fn count(&self, peer: PeerKey) -> u32 {
            u32::try_from(self.plain.iter().filter(|(_, other, ..)| *other == peer).count()).unwrap()
        }

        fn victim(&self, peer: PeerKey) -> Option<usize> {
            let newcomer = Newcomer { peer, share: self.count(peer) + 1 };
            self.peers.victim(newcomer, |peer| self.count(peer), &self.queues, self.now())
        }

        /// Returns the victim by looking at every connection.
        fn expected_victim(&self, newcomer: PeerKey) -> Option<usize> {
            let most = self.plain.iter().map(|&(_, peer, ..)| self.count(peer)).max()?;
            let share = self.count(newcomer) + 1;
            let longest = |is_candidate: &dyn Fn(PeerKey) -> bool| {
                let waits = self
                    .plain
                    .iter()
                    .filter(|(_, peer, state, _)| is_candidate(*peer) && *state != WaitState::Ending);
                waits.min_by_key(|(.., since)| *since)
            };
            let old = |since: MonoTime| Duration::from_secs(1) <= self.now() - since;
            let other = longest(&|peer| peer != newcomer && self.count(peer) == most)
                .filter(|(.., since)| share < most || share == most && old(*since));
            let own = || longest(&|peer| peer == newcomer).filter(|(.., since)| old(*since));
            other.or_else(own).map(|(connection, ..)| *connection)
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Connect(usize, u8),
        Touch(usize, u8),
        Close(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..40_usize, 0..5_u8).prop_map(|(connection, peer)| Step::Connect(connection, peer)),
            4 => (0..40_usize, 0..4_u8).prop_map(|(connection, state)| Step::Touch(connection, state)),
            2 => (0..40_usize).prop_map(Step::Close),
            1 => (0..1500_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn any_sequence_agrees_with_a_search_of_all_connections(steps in prop::collection::vec(step(), 0..200)) {
            let mut model = Model::default();
            for step in steps {
                let is_open = |connection| model.plain.iter().any(|(other, ..)| *other == connection);
                match step {
                    Step::Connect(connection, peer) if !is_open(connection) => {
                        model.connect(connection, host(peer));
                    }
                    Step::Touch(connection, state) if is_open(connection) => {
                        let states =
                            [WaitState::Idle, WaitState::Stalled, WaitState::Unfinished, WaitState::Ending];
                        model.touch(connection, states[usize::from(state)]);
                    }
                    Step::Close(connection) => model.close(connection),
                    Step::Wait(millis) => model.now += millis,
                    _ => {}
                }
                let most = (0..5).map(|peer| model.count(host(peer))).max();
                prop_assert_eq!(Some(model.peers.most()), most.map(|most| most as usize));
                for newcomer in 0..6 {
                    let newcomer = host(newcomer);
                    prop_assert_eq!(model.victim(newcomer), model.expected_victim(newcomer));
                }
            }
            prop_assert!(model.peers.indices.len() <= 5 && model.peers.peers.len() <= 5);
        }
    }

    #[test]
    fn active_connections_make_room_for_a_peer_with_fewer() {
        let mut model = Model::default();
        (0..49).for_each(|connection| model.connect(connection, host(1)));
        model.connect(49, host(2));
        model.now += 10_000;
        (0..49).for_each(|connection| model.touch(connection, WaitState::Idle));
        // The honest host's connection has waited longest, but the other host has most.
        assert_eq!(model.victim(host(3)), Some(0));
        assert_eq!(model.victim(host(1)), None);
    }

    #[test]
    fn peers_with_one_connection_each_give_the_one_that_has_waited_longest() {
        let mut model = Model::default();
        (0..100).for_each(|peer| model.connect(usize::from(peer), host(peer)));
        assert_eq!(model.victim(host(200)), None);
        model.touch(0, WaitState::Idle);
        model.touch(1, WaitState::Stalled);
        model.now += 1_000;
        assert_eq!(model.victim(host(200)), Some(2));
        // A second connection of a host replaces its first one only.
        assert_eq!(model.victim(host(50)), Some(50));
    }

    /// A search does not examine more connections than the bound, and still finds one.
    #[test]
    fn a_peer_with_many_connections_gives_one_of_the_first() {
        let mut model = Model::default();
        model.connect(5_000, host(2));
        (0..SEARCH_MAX * 4).for_each(|connection| model.connect(connection, host(1)));
        model.touch(7, WaitState::Stalled);
        model.now += 1_000;
        assert_eq!(model.victim(host(3)), Some(0));
        (0..SEARCH_MAX).for_each(|connection| model.touch(connection, WaitState::Idle));
        assert_eq!(model.victim(host(3)), Some(0));
        assert_eq!(model.expected_victim(host(3)), Some(SEARCH_MAX));
        // The connection that has waited longest of all is found without a search.
        model.close(5_000);
        assert_eq!(model.victim(host(3)), Some(SEARCH_MAX));
    }
}
