//! How long connections may wait for their peers, and who makes room for whom.

use std::time::Duration;

use echosounder_proto::Framing;
use echosounder_server::{BACKLOG_MAX, DisconnectReason, Limits, Timeouts, Totals};
use echosounder_socket::{Endpoint, IpVersion, Kind, Side, Socket, Transport, ready};

use crate::harness::{TestWorker, receive, send};
use crate::{Client, Folder, config, everywhere, start, stop, unique};

const SECOND: i64 = 1_000_000_000;

fn table(limits: Limits, idle: Option<u64>, stall: u64) -> TestWorker {
    let patience = Timeouts { idle: idle.map(Duration::from_secs), stall: Duration::from_secs(stall) };
    TestWorker::with_limits("none", Framing::default(), BACKLOG_MAX, limits, patience)
}

fn cuts(totals: &Totals, reason: DisconnectReason) -> u64 {
    totals.disconnects[reason as usize]
}

/// Whether the other end is gone: the end of the connection, or its reset.
fn is_connection_lost(socket: &Socket) -> bool {
    loop {
        match socket.recv(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A listener at a name of its own.
fn listening() -> (Socket, Endpoint) {
    let endpoint: Endpoint = format!("unix:@{}", unique()).parse().unwrap();
    let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
    let listener = endpoint.transport().socket(&address).unwrap();
    listener.set_blocking(false).unwrap();
    listener.bind(&address).unwrap();
    listener.listen().unwrap();
    (listener, endpoint)
}

/// Somebody who is connected, or waits in the queue.
fn caller(endpoint: &Endpoint) -> Socket {
    let socket = Client::of(endpoint).socket;
    socket.set_blocking(false).unwrap();
    socket
}

#[test]
fn whoever_says_nothing_for_too_long_is_told_the_end() {
    let mut table = table(Limits::new(10, None), Some(30), 60);
    let quiet = table.connect(Transport::UnixStream, "quiet", 4096);
    table.clock.step(20 * SECOND, 20 * SECOND);
    let lively = table.connect(Transport::UnixStream, "lively", 4096);
    table.turn();
    table.clock.step(9 * SECOND, 9 * SECOND);
    send(&lively, b"here");
    table.turn();
    assert_eq!(receive(&lively, 100), Some(b"here".into()));
    assert_eq!(cuts(&table.totals(), DisconnectReason::Idle), 0);

    table.clock.step(-3600 * SECOND, 2 * SECOND);
    table.turn();
    assert_eq!((cuts(&table.totals(), DisconnectReason::Idle), table.worker.connections()), (1, 1));
    assert_eq!(receive(&quiet, 100), Some(Vec::new()));
    assert_eq!(receive(&lively, 100), None);
}

#[test]
fn whoever_takes_nothing_for_too_long_is_cut_off_and_who_takes_a_little_is_not() {
    let mut table = table(Limits::new(10, None), None, 30);
    let deaf = table.connect(Transport::UnixStream, "deaf", 4096);
    let slow = table.connect(Transport::UnixStream, "slow", 4096);
    for peer in [&deaf, &slow] {
        while send(peer, &[b'x'; 4096]) != 0 {
            table.turn();
        }
    }
    for _ in 0..4 {
        table.clock.step(10 * SECOND, 10 * SECOND);
        assert!(receive(&slow, 4096).is_some_and(|bytes| !bytes.is_empty()));
        table.turn();
        table.turn();
    }
    assert_eq!(cuts(&table.totals(), DisconnectReason::Stalled), 1);
    assert!(is_connection_lost(&deaf));
    assert_eq!(table.worker.connections(), 1);
}

#[test]
fn under_pressure_the_longest_idle_makes_room() {
    let mut table = table(Limits::new(2, None), None, 60);
    let (listener, endpoint) = listening();
    table.worker.serve(listener, endpoint.transport()).unwrap();
    let (first, second) = (caller(&endpoint), caller(&endpoint));
    table.turn();
    table.clock.step(SECOND / 2, SECOND / 2);
    send(&first, b"still here");
    table.turn();
    assert_eq!(receive(&first, 100), Some(b"still here".into()));

    // Nobody has been idle for long enough: the third waits in the queue.
    let third = caller(&endpoint);
    send(&third, b"hello");
    table.turn();
    assert_eq!(cuts(&table.totals(), DisconnectReason::Evicted), 0);
    table.clock.step(SECOND * 7 / 10, SECOND * 7 / 10);
    for _ in 0..3 {
        table.turn();
    }
    assert_eq!(cuts(&table.totals(), DisconnectReason::Evicted), 1);
    assert_eq!(receive(&third, 100), Some(b"hello".into()));
    assert_eq!(receive(&second, 100), Some(Vec::new()));
    assert_eq!(receive(&first, 100), None);
}

#[test]
fn nobody_has_to_go_when_nobody_waits() {
    let mut table = table(Limits::new(2, None), None, 60);
    let (listener, endpoint) = listening();
    table.worker.serve(listener, endpoint.transport()).unwrap();
    let first = caller(&endpoint);
    table.turn();
    table.clock.step(5 * SECOND, 5 * SECOND);
    let second = caller(&endpoint);
    table.turn();
    assert_eq!((table.worker.connections(), table.totals().disconnected()), (2, 0));
    drop((first, second));
}

#[test]
fn a_worker_that_ends_minds_nothing_that_comes_to_sockets_it_shares() {
    let (mut one, mut other) = (table(Limits::new(9, None), None, 60), table(Limits::new(9, None), None, 60));
    let (listener, endpoint) = listening();
    for table in [&mut one, &mut other] {
        table.worker.serve(listener.duplicate().unwrap(), endpoint.transport()).unwrap();
    }
    // It waits for this peer's end; what comes meanwhile is for the other worker alone.
    let lingering = Client {
        socket: one.connect(Transport::UnixStream, "lingering", 4096),
        kind: Kind::Stream,
        half_closes: true,
    };
    let callers = std::thread::spawn(move || {
        assert_eq!(lingering.recv(), b"");
        let caller = caller(&endpoint);
        // Whoever is told of it by mistake has time for it.
        ready([], Some(Duration::from_millis(50))).unwrap();
        caller
    });
    one.stop();
    let _caller = callers.join().unwrap();
    other.turn();
    other.turn();
    assert_eq!(other.worker.connections(), 1);
}

#[test]
fn one_host_has_as_many_connections_as_it_may_and_gets_its_places_back() {
    let (running, endpoints) = start(echosounder_server::Config {
        connections_per_host_max: Some(2),
        ..config(&["tcp://127.0.0.1:0"])
    });
    let (first, second) = (Client::of(&endpoints[0]), Client::of(&endpoints[0]));
    first.echo(b"one");
    second.echo(b"two");
    assert_eq!(Client::of(&endpoints[0]).recv(), b"");
    first.finish();
    assert_eq!(first.recv(), b"");
    Client::of(&endpoints[0]).echo(b"three");
    let totals = stop(running);
    assert_eq!((totals.connections, cuts(&totals, DisconnectReason::Refused)), (3, 1));
}

/// The kernel may make whoever closes such a connection wait; the others are not to.
#[test]
fn whoever_takes_nothing_makes_nobody_wait_when_it_is_cut_off() {
    let folder = Folder::new();
    for name in everywhere(&folder) {
        let mut config = config(&[&name, &format!("unix:@{}", unique())]);
        config.timeouts.stall = Duration::from_millis(200);
        let (running, endpoints) = start(config);
        if endpoints[0].transport().kind() == Kind::Datagrams {
            continue;
        }
        let deaf: Vec<Socket> = (0..3).map(|_| caller(&endpoints[0])).collect();
        // Three closes that wait 8 seconds each would take longer than any answer may.
        let other = Client::of(&endpoints[1]);
        let ended = || cuts(&running.totals(), DisconnectReason::Stalled) + running.totals().errors;
        for _ in 0..200_000 {
            if ended() == 3 {
                break;
            }
            deaf.iter().for_each(|socket| drop(socket.send(&[b'x'; 10_000])));
            other.echo(b"still there?");
        }
        assert_eq!(ended(), 3, "{name}");
        drop(other);
        drop(deaf);
        stop(running);
    }
}
