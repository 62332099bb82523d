//! The sessions of a stateful reflector, in a table of a fixed size.

use alloc::boxed::Box;
use core::hash::{BuildHasher, Hash};
use core::net::{IpAddr, SocketAddr};

/// Number of sets; a session can be in one of them only.
const SETS: usize = 1024;

/// Number of sessions in a set.
const WAYS: usize = 4;

/// The addresses and the identifier of a session, by which RFC 8972 section 3 tells sessions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The source of the requests.
    pub source: SocketAddr,
    /// The address that they are sent to, if it is known.
    pub destination: Option<IpAddr>,
    /// The identifier that the sender has chosen.
    pub ssid: u16,
}

/// Counts the requests of each session.
///
/// It has 4,096 sessions in 64 KiB, and does not grow. A new session takes the place of the one in
/// its set that was idle for longest, which then begins at zero again. The hasher must have a
/// random key, or a forger could choose sources that evict another.
///
/// ```
/// use std::hash::RandomState;
/// use echosounder_proto::stamp::{Session, Sessions};
///
/// let mut sessions = Sessions::new(RandomState::new());
/// let session = Session { source: "192.0.2.1:40000".parse().unwrap(), destination: None, ssid: 1 };
/// assert_eq!([sessions.count(&session), sessions.count(&session)], [0, 1]);
/// assert_eq!(sessions.count(&Session { ssid: 2, ..session }), 0);
/// ```
#[derive(Debug)]
pub struct Sessions<S> {
    hasher: S,
    /// The most recent session of a set comes first.
    sets: Box<[[Entry; WAYS]]>,
}

/// A session by the hash of its key: that two of 4,096 sessions have the same 64 bits happens
/// once in 10¹² tables.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u64,
    /// The number of requests; 0 means that the entry is empty.
    count: u64,
}

impl<S: BuildHasher> Sessions<S> {
    /// Creates a table without a session.
    pub fn new(hasher: S) -> Self {
        Self { hasher, sets: alloc::vec![[Entry::default(); WAYS]; SETS].into_boxed_slice() }
    }

    /// Counts a request, and returns the number of requests before it in its session. After 2³² the
    /// number begins at zero again.
    pub fn count(&mut self, session: &Session) -> u32 {
        let hash = self.hasher.hash_one(session);
        // The lower bits choose the set.
        let index = usize::try_from(hash % SETS as u64).unwrap_or(0);
        let set = &mut self.sets[index];
        let is_present = |entry: &Entry| entry.hash == hash && entry.count != 0;
        let known = set.iter().position(is_present);
        let position = known.unwrap_or(WAYS - 1);
        set[..=position].rotate_right(1);
        if known.is_none() {
            set[0] = Entry { hash, count: 0 };
        }
        let before = set[0].count;
        set[0].count += 1;
        u32::try_from(before & u64::from(u32::MAX)).unwrap_or(0)
    }
}
