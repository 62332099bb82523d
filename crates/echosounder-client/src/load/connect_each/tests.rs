//! Exchanges in virtual time: the test is the server and moves the clock.

use std::sync::{Arc, Mutex};

use echosounder_proto::{Clock, Moment, MonoTime, WallTime};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Socket, StopToken, Transport};

use super::*;
use crate::clock::Deadline;
use crate::connect::{Candidates, ConnectOptions, ConnectProbe};
use crate::load::counts::Counts;
use crate::load::fresh::FreshConnections;
use crate::load::options::SizeRange;
use crate::load::pace::{Pace, Spacing};
use crate::load::plan::LoadPlan;
use crate::load::shared::Shared;
use crate::wait_limit::WaitLimit;

/// The size of a message in these tests, in bytes.
const SIZE: usize = 64;

/// The timeout of each part of an exchange in these tests.
const TIMEOUT: Duration = Duration::from_millis(100);

const CLOSED: Pace = Pace::Closed { depth: 1 };

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A clock that stands still until the test moves it.
#[derive(Clone, Debug)]
struct SteppedClock(Arc<Mutex<Moment>>);

impl SteppedClock {
    fn new() -> Self {
        let start = Moment { wall: WallTime::from_nanos(1), mono: MonoTime::from_origin(Duration::ZERO) };
        Self(Arc::new(Mutex::new(start)))
    }

    fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = Moment { wall: now.wall + span, mono: now.mono + span };
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

/// A generator with two slots, and the listener that it connects to.
struct Bench {
    clock: SteppedClock,
    generator: Generator<SteppedClock>,
    listener: Socket,
    accepted: Vec<Socket>,
}

impl Bench {
    fn new(transport: Transport, pace: Pace, backlog: u32) -> Self {
        let name = match transport {
            Transport::Tcp => (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            // The kernel makes up an abstract name: unix(7), autobind feature.
            _ => Address::Unix(UnixName::Unnamed),
        };
        let listener = transport.socket(&name).unwrap();
        listener.bind(&name).unwrap();
        listener.listen_with(backlog).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (clock, stop) = (SteppedClock::new(), StopToken::new().unwrap());
        let plan = LoadPlan {
            thread: 0,
            transport,
            address: address.clone(),
            pace,
            first_due: Duration::ZERO,
            sizes: SizeRange { min: SIZE, max: SIZE },
            warm_up: Duration::ZERO,
            duration: None,
            messages_max: u64::MAX,
            timeout: TIMEOUT,
            backlog_max_bytes: 1 << 20,
        };
        let limit = WaitLimit::new(stop.clone(), Duration::MAX);
        let options =
            ConnectOptions::new(echosounder_socket::Endpoint::display(transport, &address).parse().unwrap());
        let candidates = Candidates::resolve(&options, Deadline::NEVER, &limit).unwrap();
        let fresh = FreshConnections::new(candidates, ConnectProbe::default(), 2, TIMEOUT);
        let shared = Arc::new(Shared::new(stop));
        let generator = Generator::with_fresh(plan, fresh, clock.clone(), shared).unwrap();
        Self { clock, generator, listener, accepted: Vec::new() }
    }

    /// Lets the generator do all that it can without time passing.
    fn turns(&mut self) {
        for _ in 0..20 {
            assert!(self.generator.turn(Duration::ZERO).unwrap());
        }
    }

    /// Lets time pass in steps of a millisecond, with turns after each.
    fn pass(&mut self, count: u64) {
        for _ in 0..count {
            self.clock.advance(millis(1));
            self.turns();
        }
    }

    /// Accepts the connections that wait, and returns their number.
    fn accept(&mut self) -> usize {
        let before = self.accepted.len();
        while let Ok((connection, _)) = self.listener.accept() {
            connection.set_nonblocking(true).unwrap();
            self.accepted.push(connection);
        }
        self.accepted.len() - before
    }

    /// Replies to the messages on all accepted connections, and returns their number.
    fn echo(&mut self) -> usize {
        let mut buffer = [0; 2 * SIZE];
        let echoes = self.accepted.iter().filter(|connection| match connection.recv(&mut buffer) {
            Ok(len @ 1..) => connection.send(&buffer[..len]).unwrap() == SIZE,
            _ => false,
        });
        echoes.count()
    }

    /// Returns how many of the accepted connections the generator has closed.
    fn closed(&self) -> usize {
        let mut buffer = [0; 1];
        let ended = |connection: &&Socket| connection.recv(&mut buffer).is_ok_and(|len| len == 0);
        self.accepted.iter().filter(ended).count()
    }

    #[track_caller]
    fn assert_counts(&self, expected: Counts) {
        let mut counts = self.generator.counts();
        (counts.without_timestamp, counts.bytes) = (0, 0);
        assert_eq!(counts, expected);
    }

    /// Returns the times in whole milliseconds: the highest latency, time to connect and time to
    /// reply.
    fn slowest(&self) -> [u64; 3] {
        let times = &self.generator.fresh.as_ref().unwrap().times;
        [self.generator.recorder.latency(), &times.connect, &times.reply].map(|times| times.max() / 1_000_000)
    }
}

#[test]
fn each_message_has_a_connection_that_is_closed_after_the_reply() {
    for transport in [Transport::Tcp, Transport::UnixStream, Transport::UnixSeqpacket] {
        let mut bench = Bench::new(transport, CLOSED, 8);
        for round in 1..=5 {
            bench.turns();
            assert_eq!(bench.accept(), 2, "{transport:?} {round}");
            assert_eq!(bench.generator.in_flight(), 2, "{transport:?}");
            bench.clock.advance(millis(3));
            assert_eq!(bench.echo(), 2, "{transport:?} {round}");
        }
        bench.turns();
        bench.assert_counts(Counts { sent: 12, answered: 10, ..Counts::default() });
        assert_eq!(bench.slowest(), [3, 0, 3], "{transport:?}");
        assert_eq!(bench.closed(), 10, "{transport:?}");
    }
}

#[test]
fn connections_of_an_open_loop_count_from_when_they_were_due() {
    let open = Pace::Open { rate: 1000.0, spacing: Spacing::Even };
    let mut bench = Bench::new(Transport::Tcp, open, 8);
    bench.turns();
    bench.pass(9);
    // Both slots are in use, and eight connections are due.
    assert_eq!((bench.accept(), bench.echo()), (2, 2));
    bench.turns();
    assert_eq!((bench.accept(), bench.echo()), (2, 2));
    bench.turns();
    bench.assert_counts(Counts { sent: 6, answered: 4, ..Counts::default() });
    // The third was due at 2 ms and began at 9 ms: the generator was not late.
    assert_eq!((bench.slowest(), bench.generator.send_delay().max()), ([9, 7, 9], Some(0)));
}

#[test]
fn a_connection_that_is_not_established_in_time_counts_as_timed_out() {
    // The queue of the listener holds one connection more than its backlog: listen(2), net/sock.h.
    let mut bench = Bench::new(Transport::Tcp, CLOSED, 0);
    bench.turns();
    assert_eq!(bench.accept(), 1);
    bench.pass(90);
    bench.assert_counts(Counts { sent: 2, ..Counts::default() });
    bench.pass(40);
    // Its slot makes another connection. The reply over the other one did not arrive in time either.
    let counts = bench.generator.counts();
    assert_eq!((counts.connections_timed_out, counts.lost() - bench.generator.in_flight()), (1, 2));
    assert_eq!((counts.sent, bench.generator.in_flight()), (4, 2));
}

#[test]
fn refused_and_closed_connections_are_counted_apart() {
    let mut bench = Bench::new(Transport::Tcp, CLOSED, 8);
    bench.turns();
    assert_eq!(bench.accept(), 2);
    bench.accepted.clear();
    assert!(bench.generator.turn(Duration::ZERO).unwrap());
    bench.assert_counts(Counts { sent: 2, connections_closed: 2, ..Counts::default() });
    // The connections of the next turn are refused.
    let bound = Transport::Tcp.socket(&bench.listener.local_addr().unwrap()).unwrap();
    drop(std::mem::replace(&mut bench.listener, bound));
    let before = bench.generator.counts().sent;
    while bench.generator.counts().connections_refused < 20 {
        assert!(bench.generator.turn(Duration::ZERO).unwrap());
        let counts = bench.generator.counts();
        assert!(counts.sent - before <= 22, "a turn begins no more exchanges than there are slots");
    }
    bench.assert_counts(Counts {
        sent: bench.generator.counts().sent,
        connections_closed: 2,
        connections_refused: bench.generator.counts().connections_refused,
        ..Counts::default()
    });
}

#[test]
fn full_queue_of_a_unix_listener_delays_the_connection() {
    let mut bench = Bench::new(Transport::UnixStream, CLOSED, 0);
    bench.turns();
    bench.pass(7);
    assert_eq!((bench.accept(), bench.echo()), (1, 1));
    bench.turns();
    // The second connection began with the first, and the queue has space for it now.
    assert_eq!((bench.accept(), bench.echo()), (1, 1));
    bench.turns();
    assert_eq!(bench.slowest(), [7, 7, 7]);
    // A connection that waits for space in the queue times out like any other.
    bench.pass(130);
    assert_eq!(bench.generator.counts().connections_timed_out, 1);
    // No more exchanges begin, and those that wait still go on. The connection in the queue is
    // closed already.
    bench.generator.plan.messages_max = bench.generator.counts().sent;
    bench.turns();
    assert_eq!(bench.accept(), 1);
    bench.accepted.clear();
    bench.turns();
    assert_eq!((bench.accept(), bench.echo()), (1, 1));
}
