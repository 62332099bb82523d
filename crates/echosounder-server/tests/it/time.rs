//! What the stamps say when the clock is stepped.

use std::time::Duration;

use echosounder_proto::{Scan, TIMESTAMP_PLACEHOLDER, Timestamp, WallTime, scan};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Socket, Transport};

use crate::harness::{TestDatagramWorker, TestWorker, receive_all, send};
use crate::{CTIME, line, size};

const HOUR: i64 = 3_600_000_000_000;

fn table(stamp: &str) -> (TestWorker, Socket) {
    let mut table = TestWorker::new(stamp, size(1024), 1 << 20);
    let peer = table.connect(Transport::UnixStream, "a", 4096);
    (table, peer)
}

/// What is answered to `call`.
fn ask(table: &mut TestWorker, peer: &Socket, call: &[u8]) -> Vec<u8> {
    assert_eq!(send(peer, call), call.len());
    table.turn();
    receive_all(peer)
}

/// The two times of an answer that begins with an `ns` stamp.
fn times(answer: &[u8]) -> (WallTime, WallTime) {
    match scan(answer) {
        Scan::Timestamp(Timestamp::Ns { rx, tx }, _) => (rx, tx),
        other => panic!("{other:?}: {answer:?}"),
    }
}

fn after(time: WallTime, nanos: u64) -> WallTime {
    time + Duration::from_nanos(nanos)
}

#[test]
fn a_label_follows_the_clock_back_and_forth() {
    let (mut table, peer) = table("ctime");
    let now = ask(&mut table, &peer, b"x");
    table.clock.step(999, 999);
    assert_eq!(ask(&mut table, &peer, b"x"), now);
    table.clock.step(-HOUR, 1);
    let earlier = ask(&mut table, &peer, b"x");
    assert_ne!(earlier[..CTIME], now[..CTIME]);
    table.clock.step(HOUR, 1);
    assert_eq!(ask(&mut table, &peer, b"x"), now);

    let (mut table, peer) = self::table("unix");
    assert_eq!(ask(&mut table, &peer, b"x"), b"[1795346376.123456789] x");
    table.clock.step(-1, 5);
    assert_eq!(ask(&mut table, &peer, b"x"), b"[1795346376.123456788] x");
    table.clock.step(HOUR, 5);
    assert_eq!(ask(&mut table, &peer, b"x"), b"[1795349976.123456788] x");
}

#[test]
fn an_answer_never_leaves_before_its_call_came() {
    let call = [&TIMESTAMP_PLACEHOLDER[..], b"payload"].concat();
    for (stamp, call) in [("ns", &b"x"[..]), ("ctime", &call), ("none", &call), ("ns", &call)] {
        let (mut table, peer) = table(stamp);
        for step in [-HOUR, -1, 0, 5_000, HOUR] {
            table.clock.step_when_read(step, 5_000);
            // The turn reads the clock first, so the call is said to have come a step later.
            let came = WallTime::from_nanos((table.clock.wall().as_nanos()).wrapping_add_signed(step));
            let (rx, tx) = times(&ask(&mut table, &peer, call));
            assert_eq!((rx, tx), (came, after(came, 5_000)), "{stamp}, {step}");
        }
    }
}

#[test]
fn without_times_to_show_the_clock_is_read_once_a_turn() {
    let (mut table, peer) = table("ctime");
    table.clock.step_when_read(7, 7);
    let before = table.clock.wall();
    ask(&mut table, &peer, b"x");
    assert_eq!(table.clock.wall(), after(before, 7));
}

#[test]
fn a_call_that_waits_for_its_turn_came_when_it_came() {
    // So many short lines before it that it is not answered in the turn that reads it.
    let mut table = TestWorker::new("ctime", line(100), 1 << 20);
    let peer = table.connect(Transport::UnixStream, "a", 100_000);
    let call = [&b"\n".repeat(3000)[..], TIMESTAMP_PLACEHOLDER, b"payload\n"].concat();
    assert_eq!(send(&peer, &call), call.len());
    let came = table.clock.wall();
    let mut answer = Vec::new();
    let mut turns = 0;
    while answer.len() < call.len() + 3000 * CTIME {
        table.turn();
        answer.extend(receive_all(&peer));
        table.clock.step(-HOUR, 1000);
        turns += 1;
        assert!(turns < 100);
    }
    assert!(2 < turns);
    let (rx, tx) = times(&answer[3000 * (CTIME + 1)..]);
    assert_eq!((rx, tx), (came, after(came, (turns - 1) * 1000)));
}

#[test]
fn datagrams_are_stamped_by_the_same_rules() {
    let unnamed = Address::Unix(UnixName::Unnamed);
    let [near, far] = [(); 2].map(|()| Transport::UnixDatagram.socket(&unnamed).unwrap());
    near.bind(&unnamed).unwrap();
    far.bind(&unnamed).unwrap();
    far.connect(&near.local_addr().unwrap()).unwrap();
    far.set_blocking(false).unwrap();
    let mut table = TestDatagramWorker::new("ctime", near);

    table.clock.step_when_read(-HOUR, 5_000);
    let came = table.clock.wall();
    far.send(TIMESTAMP_PLACEHOLDER).unwrap();
    table.turn();
    let mut answer = [0; 100];
    assert_eq!(far.recv(&mut answer).unwrap(), TIMESTAMP_PLACEHOLDER.len());
    assert_eq!(times(&answer), (came, after(came, 5_000)));
}
