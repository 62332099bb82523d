//! Timeouts of connections, limits of their number, and evictions.

use std::time::Duration;

use echosounder_proto::Framing;
use echosounder_server::internal::{BACKLOG_MAX, Limits, Timeouts};
use echosounder_server::{DisconnectReason, Totals};
use echosounder_socket::{Endpoint, IpVersion, Kind, Side, Socket, Transport};

use crate::harness::{TestWorker, receive, send};
use crate::{Client, Event, Folder, Reason, all_endpoints, config, start, stop, unique};

const SECOND: i64 = 1_000_000_000;

fn worker(limits: Limits, idle: Option<u64>, stall: u64) -> TestWorker {
    let timeouts = Timeouts { idle: idle.map(Duration::from_secs), stall: Duration::from_secs(stall) };
    TestWorker::with_limits("none", Framing::default(), BACKLOG_MAX, limits, timeouts)
}

fn disconnects(totals: &Totals, reason: DisconnectReason) -> u64 {
    totals.disconnected_for(reason)
}

/// Returns whether the connection has ended or has been reset.
fn is_connection_lost(socket: &Socket) -> bool {
    loop {
        match socket.recv(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Returns a listener with a unique name.
fn listen() -> (Socket, Endpoint) {
    let endpoint: Endpoint = format!("unix:@{}", unique()).parse().unwrap();
    let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
    let listener = endpoint.transport().socket(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.bind(&address).unwrap();
    listener.listen().unwrap();
    (listener, endpoint)
}

/// Connects a client, which may still be in the listener's queue.
fn connect(endpoint: &Endpoint) -> Socket {
    let socket = Client::of(endpoint).socket;
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn a_client_that_sends_nothing_is_disconnected_after_the_idle_timeout() {
    let mut server = worker(Limits::new(10, None), Some(30), 60);
    let idle_client = server.connect(Transport::UnixStream, "idle", 4096);
    server.clock.step(20 * SECOND, 20 * SECOND);
    let active = server.connect(Transport::UnixStream, "active", 4096);
    server.turn();
    server.clock.step(9 * SECOND, 9 * SECOND);
    send(&active, b"here");
    server.turn();
    assert_eq!(receive(&active, 100), Some(b"here".into()));
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Idle), 0);

    server.clock.step(-3600 * SECOND, 2 * SECOND);
    let reason = Reason::Disconnected(DisconnectReason::Idle);
    assert_eq!(server.turn(), [Event::Closed("@idle".into(), 0, reason)]);
    assert_eq!((disconnects(&server.totals(), DisconnectReason::Idle), server.worker.connections()), (1, 1));
    assert_eq!(receive(&idle_client, 100), Some(Vec::new()));
    assert_eq!(receive(&active, 100), None);
}

#[test]
fn a_client_that_receives_nothing_is_disconnected_after_the_stall_timeout() {
    let mut server = worker(Limits::new(10, None), None, 30);
    let stalled = server.connect(Transport::UnixStream, "stalled", 4096);
    let slow = server.connect(Transport::UnixStream, "slow", 4096);
    for client in [&stalled, &slow] {
        while send(client, &[b'x'; 4096]) != 0 {
            server.turn();
        }
    }
    for _ in 0..4 {
        server.clock.step(10 * SECOND, 10 * SECOND);
        assert!(receive(&slow, 4096).is_some_and(|bytes| !bytes.is_empty()));
        server.turn();
        server.turn();
    }
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Stalled), 1);
    assert!(is_connection_lost(&stalled));
    assert_eq!(server.worker.connections(), 1);
}

#[test]
fn the_connection_that_is_idle_longest_is_evicted() {
    let mut server = worker(Limits::new(2, None), None, 60);
    let (listener, endpoint) = listen();
    server.worker.serve(listener, endpoint.transport()).unwrap();
    let (first, second) = (connect(&endpoint), connect(&endpoint));
    server.turn();
    server.clock.step(SECOND / 2, SECOND / 2);
    send(&first, b"active");
    server.turn();
    assert_eq!(receive(&first, 100), Some(b"active".into()));

    // No connection has been idle long enough, so the third client waits in the queue.
    let third = connect(&endpoint);
    send(&third, b"hello");
    server.turn();
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Evicted), 0);
    server.clock.step(SECOND * 7 / 10, SECOND * 7 / 10);
    for _ in 0..3 {
        server.turn();
    }
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Evicted), 1);
    assert_eq!(receive(&third, 100), Some(b"hello".into()));
    assert_eq!(receive(&second, 100), Some(Vec::new()));
    assert_eq!(receive(&first, 100), None);
}

#[test]
fn no_connection_is_evicted_unless_a_client_waits() {
    let mut server = worker(Limits::new(2, None), None, 60);
    let (listener, endpoint) = listen();
    server.worker.serve(listener, endpoint.transport()).unwrap();
    let first = connect(&endpoint);
    server.turn();
    server.clock.step(5 * SECOND, 5 * SECOND);
    let second = connect(&endpoint);
    server.turn();
    assert_eq!((server.worker.connections(), server.totals().disconnected()), (2, 0));
    drop((first, second));
}

#[test]
fn an_ending_worker_accepts_nothing_from_a_shared_listener() {
    let (mut one, mut other) =
        (worker(Limits::new(9, None), None, 60), worker(Limits::new(9, None), None, 60));
    let (listener, endpoint) = listen();
    for server in [&mut one, &mut other] {
        server.worker.serve(listener.try_clone().unwrap(), endpoint.transport()).unwrap();
    }
    let lingering = Client {
        socket: one.connect(Transport::UnixStream, "lingering", 4096),
        kind: Kind::Stream,
        half_closes: true,
    };
    // The ending worker waits until this client closes. By then another one has connected, so if
    // the worker still polled the listener, it would know.
    let client = std::thread::spawn(move || {
        assert_eq!(lingering.recv(), b"");
        connect(&endpoint)
    });
    one.stop();
    let _client = client.join().unwrap();
    other.turn();
    other.turn();
    assert_eq!(other.worker.connections(), 1);
}

#[test]
fn a_host_has_its_maximum_of_connections_and_gets_permits_back() {
    let (running, endpoints) =
        start(config(&["tcp://127.0.0.1:0"]).with(|config| config.connections_per_peer_max = Some(2)));
    let (first, second) = (Client::of(&endpoints[0]), Client::of(&endpoints[0]));
    first.echo(b"one");
    second.echo(b"two");
    assert_eq!(Client::of(&endpoints[0]).recv(), b"");
    first.finish();
    assert_eq!(first.recv(), b"");
    Client::of(&endpoints[0]).echo(b"three");
    let totals = stop(running);
    assert_eq!((totals.connections, disconnects(&totals, DisconnectReason::Refused)), (3, 1));
}

/// Closing the connection of a stalled client may block in the kernel.
#[test]
fn disconnecting_a_stalled_client_does_not_delay_the_others() {
    let folder = Folder::new();
    for name in all_endpoints(&folder) {
        let mut config = config(&[&name, &format!("unix:@{}", unique())]);
        config.stall_timeout = Duration::from_millis(200);
        let (running, endpoints) = start(config);
        if endpoints[0].transport().kind() == Kind::Datagrams {
            continue;
        }
        let stalled: Vec<Socket> = (0..3).map(|_| connect(&endpoints[0])).collect();
        // Three closes that block for 8 seconds each would take longer than a client waits for its
        // reply.
        let other = Client::of(&endpoints[1]);
        let ended = || disconnects(&running.totals(), DisconnectReason::Stalled) + running.totals().errors;
        for _ in 0..200_000 {
            if ended() == 3 {
                break;
            }
            stalled.iter().for_each(|socket| drop(socket.send(&[b'x'; 10_000])));
            other.echo(b"hello");
        }
        assert_eq!(ended(), 3, "{name}");
        drop(other);
        drop(stalled);
        stop(running);
    }
}
