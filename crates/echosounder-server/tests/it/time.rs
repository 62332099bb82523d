//! Timestamps when the clock is stepped.

use std::time::Duration;

use echosounder_proto::{Scan, TIMESTAMP_PLACEHOLDER, Timestamp, WallTime, scan};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Socket, Transport};

use crate::harness::{TestDatagramWorker, TestWorker, receive_all, send};
use crate::{CTIME, line, size};

const HOUR: i64 = 3_600_000_000_000;

fn connected(stamp: &str) -> (TestWorker, Socket) {
    let mut server = TestWorker::new(stamp, size(1024), 1 << 20);
    let client = server.connect(Transport::UnixStream, "a", 4096);
    (server, client)
}

/// Sends a request and returns its reply.
fn exchange(server: &mut TestWorker, client: &Socket, request: &[u8]) -> Vec<u8> {
    assert_eq!(send(client, request), request.len());
    server.turn();
    receive_all(client)
}

/// Returns the receive and transmit times of a reply with an `ns` timestamp.
fn times(reply: &[u8]) -> (WallTime, WallTime) {
    match scan(reply) {
        Scan::Timestamp(Timestamp::Ns { rx, tx }, _) => (rx, tx),
        other => panic!("{other:?}: {reply:?}"),
    }
}

fn after(time: WallTime, nanos: u64) -> WallTime {
    time + Duration::from_nanos(nanos)
}

#[test]
fn timestamps_follow_the_clock_back_and_forth() {
    let (mut server, client) = connected("ctime");
    let now = exchange(&mut server, &client, b"x");
    server.clock.step(999, 999);
    assert_eq!(exchange(&mut server, &client, b"x"), now);
    server.clock.step(-HOUR, 1);
    let earlier = exchange(&mut server, &client, b"x");
    assert_ne!(earlier[..CTIME], now[..CTIME]);
    server.clock.step(HOUR, 1);
    assert_eq!(exchange(&mut server, &client, b"x"), now);

    let (mut server, client) = connected("unix");
    assert_eq!(exchange(&mut server, &client, b"x"), b"[1795346376.123456789] x");
    server.clock.step(-1, 5);
    assert_eq!(exchange(&mut server, &client, b"x"), b"[1795346376.123456788] x");
    server.clock.step(HOUR, 5);
    assert_eq!(exchange(&mut server, &client, b"x"), b"[1795349976.123456788] x");
}

#[test]
fn a_transmit_time_is_never_before_the_receive_time() {
    let request = [&TIMESTAMP_PLACEHOLDER[..], b"payload"].concat();
    for (stamp, request) in [("ns", &b"x"[..]), ("ctime", &request), ("none", &request), ("ns", &request)] {
        let (mut server, client) = connected(stamp);
        for step in [-HOUR, -1, 0, 5_000, HOUR] {
            server.clock.step_when_read(step, 5_000);
            // The turn reads the clock once before the request, so the receive time is one step
            // later.
            let arrived = WallTime::from_nanos((server.clock.wall().as_nanos()).wrapping_add_signed(step));
            let (rx, tx) = times(&exchange(&mut server, &client, request));
            assert_eq!((rx, tx), (arrived, after(arrived, 5_000)), "{stamp}, {step}");
        }
    }
}

#[test]
fn the_clock_is_read_once_per_turn_if_no_exact_time_is_shown() {
    let (mut server, client) = connected("ctime");
    server.clock.step_when_read(7, 7);
    let before = server.clock.wall();
    exchange(&mut server, &client, b"x");
    assert_eq!(server.clock.wall(), after(before, 7));
}

#[test]
fn the_receive_time_of_a_request_in_the_backlog_is_that_of_its_read() {
    // So many short lines precede the request that it is not replied to in the turn that reads it.
    let mut server = TestWorker::new("ctime", line(100), 1 << 20);
    let client = server.connect(Transport::UnixStream, "a", 100_000);
    let request = [&b"\n".repeat(3000)[..], TIMESTAMP_PLACEHOLDER, b"payload\n"].concat();
    assert_eq!(send(&client, &request), request.len());
    let arrived = server.clock.wall();
    let mut reply = Vec::new();
    let mut turns = 0;
    while reply.len() < request.len() + 3000 * CTIME {
        server.turn();
        reply.extend(receive_all(&client));
        server.clock.step(-HOUR, 1000);
        turns += 1;
        assert!(turns < 100);
    }
    assert!(2 < turns);
    let (rx, tx) = times(&reply[3000 * (CTIME + 1)..]);
    assert_eq!((rx, tx), (arrived, after(arrived, (turns - 1) * 1000)));
}

#[test]
fn datagrams_follow_the_same_rules() {
    let unnamed = Address::Unix(UnixName::Unnamed);
    let [near, far] = [(); 2].map(|()| Transport::UnixDatagram.socket(&unnamed).unwrap());
    near.bind(&unnamed).unwrap();
    far.bind(&unnamed).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    far.set_nonblocking(true).unwrap();
    let mut server = TestDatagramWorker::new("ctime", near);

    server.clock.step_when_read(-HOUR, 5_000);
    let arrived = server.clock.wall();
    far.send(TIMESTAMP_PLACEHOLDER).unwrap();
    server.turn();
    let mut reply = [0; 100];
    assert_eq!(far.recv(&mut reply).unwrap(), TIMESTAMP_PLACEHOLDER.len());
    assert_eq!(times(&reply), (arrived, after(arrived, 5_000)));
}
