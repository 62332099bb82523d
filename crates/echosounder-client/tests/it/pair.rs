//! A peer over a socket pair whose other end is the test, with a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use echosounder_client::{Peer, WaitLimit};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, Socket, StopToken};
use echosounder_testkit::{FakeClock, PATIENCE, socket_pair};

/// How long the peer waits for a reply. Decisions depend on the fake clock alone, but a wait that
/// no event ends takes this long by the real clock before the peer looks at the fake one.
pub(crate) const WAIT: Duration = Duration::from_millis(20);

/// The test's end of a socket pair, and what it controls.
pub(crate) struct Pair {
    /// The server's end.
    pub(crate) server: Socket,
    pub(crate) clock: FakeClock,
    pub(crate) stop: StopToken,
    pub(crate) limit: WaitLimit,
}

/// Returns a connected peer and the test's end, with a clock that stands still.
pub(crate) fn pair(scheme: &str) -> (Peer, Pair) {
    pair_within(scheme, Duration::MAX)
}

/// Returns a peer whose operations end after `time`.
pub(crate) fn pair_within(scheme: &str, time: Duration) -> (Peer, Pair) {
    let (clock, stop) = (FakeClock::new(), StopToken::new().unwrap());
    let limit = WaitLimit::with_clock(Arc::new(clock.clone()), stop.clone(), time);
    pair_with(scheme, clock, stop, limit, WAIT)
}

/// Returns a peer by the system's clock, for a conversation that waits for a greeting first.
pub(crate) fn real_time_pair(scheme: &str) -> (Peer, Pair) {
    let stop = StopToken::new().unwrap();
    let limit = WaitLimit::new(stop.clone(), Duration::MAX);
    pair_with(scheme, FakeClock::new(), stop, limit, PATIENCE)
}

fn pair_with(
    scheme: &str,
    clock: FakeClock,
    stop: StopToken,
    limit: WaitLimit,
    wait: Duration,
) -> (Peer, Pair) {
    let endpoint: Endpoint = format!("{scheme}:@test").parse().unwrap();
    let (client, server) = socket_pair(endpoint.transport());
    client.set_nonblocking(true).unwrap();
    let address = Address::Unix(UnixName::Unnamed);
    let peer = Peer::with_socket(client, address, endpoint, wait, limit.clone());
    (peer, Pair { server, clock, stop, limit })
}

impl Pair {
    /// Receives once.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 64 * 1024];
        let len = self.server.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    /// Receives until the client has half-closed the connection.
    pub(crate) fn receive_all(&self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.receive();
            if bytes.is_empty() {
                return all;
            }
            all.extend(bytes);
        }
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.server.send_all(bytes).unwrap();
    }
}
