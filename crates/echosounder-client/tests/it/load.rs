//! The generator over socket pairs, in virtual time: the test is the server and moves the clock.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use echosounder_client::internal::{Generator, LoadPlan};
use echosounder_client::{Counts, FailureKind, LoadEvent, LoadOptions, Pace, SizeRange, Spacing, load};
use echosounder_proto::Clock;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Socket, StopToken, Transport};
use echosounder_testkit::FakeClock;

/// Returns counts that are zero but for these.
macro_rules! counts {
    ($($field:ident: $count:expr),*) => {{
        let mut counts = Counts::default();
        $(counts.$field = $count;)*
        counts
    }};
}

/// The size of a message in these tests, in bytes.
const SIZE: usize = 64;

/// The timeout of a reply in these tests.
const TIMEOUT: Duration = millis(100);

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A generator with one connection, and the server's end of it.
struct Bench {
    clock: FakeClock,
    generator: Generator<FakeClock>,
    server: Socket,
    stop: StopToken,
}

fn plan(transport: Transport, pace: Pace) -> LoadPlan {
    LoadPlan {
        thread: 0,
        transport,
        address: UnixName::Unnamed.into(),
        pace,
        first_due: Duration::ZERO,
        sizes: SizeRange { min: SIZE, max: SIZE },
        warm_up: Duration::ZERO,
        duration: None,
        messages_max: u64::MAX,
        timeout: TIMEOUT,
        backlog_max_bytes: 1 << 20,
    }
}

fn open_loop(rate: f64) -> Pace {
    Pace::Open { rate, spacing: Spacing::Even }
}

impl Bench {
    fn new(plan: LoadPlan) -> Self {
        let (ours, server) = plan.transport.pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        let (clock, stop) = (FakeClock::new(), StopToken::new().unwrap());
        let generator = Generator::new(plan, vec![ours], clock.clone(), stop.clone()).unwrap();
        Self { clock, generator, server, stop }
    }

    /// Lets the generator send and receive all that it can without time passing. Returns whether
    /// the load goes on.
    fn turns(&mut self) -> bool {
        (0..20).all(|_| self.generator.turn(Duration::ZERO).unwrap())
    }

    /// Lets time pass in steps of a millisecond, with turns after each.
    fn pass(&mut self, span: Duration) -> bool {
        let mut goes_on = true;
        for _ in 0..span.as_millis() {
            self.clock.advance(millis(1));
            goes_on = self.turns();
        }
        goes_on
    }

    /// Returns the messages that the server has received; on a stream, each has [`SIZE`] bytes.
    fn requests(&self) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        let mut buffer = [0; 64 * SIZE];
        while let Ok(len @ 1..) = self.server.recv(&mut buffer) {
            requests.extend(buffer[..len].chunks(SIZE).map(<[u8]>::to_vec));
        }
        requests
    }

    fn reply(&self, message: &[u8]) {
        assert_eq!(self.server.send(message).unwrap(), message.len());
    }

    /// Replies to all messages that the server has received, and returns their number.
    fn echo(&self) -> usize {
        let requests = self.requests();
        requests.iter().for_each(|request| self.reply(request));
        requests.len()
    }

    /// Fails unless these counts and no others are above zero. Closed sockets are not compared.
    #[track_caller]
    fn assert_counts(&self, expected: Counts) {
        let mut counts = self.generator.counts();
        (counts.without_timestamp, counts.bytes) = (0, 0);
        assert_eq!(counts, expected);
    }
}

#[test]
fn closed_loop_keeps_the_depth_in_flight() {
    for transport in [Transport::UnixStream, Transport::UnixSeqpacket, Transport::UnixDatagram] {
        let mut bench = Bench::new(plan(transport, Pace::Closed { depth: 3 }));
        for round in 1..=10 {
            assert!(bench.turns());
            assert_eq!(bench.generator.in_flight(), 3, "{transport:?}");
            bench.clock.advance(millis(2));
            assert_eq!(bench.echo(), 3, "{transport:?} {round}");
        }
        assert!(bench.turns());
        bench.assert_counts(counts!(sent: 33, answered: 30));
        let latency = bench.generator.latency();
        assert_eq!((latency.count(), latency.percentile(50.0)), (30, latency.max()), "{transport:?}");
        assert!((2_000_000..2_010_000).contains(&latency.max().unwrap()), "{latency:?}");
    }
}

#[test]
fn load_of_a_number_of_messages_ends_with_the_last_reply() {
    for transport in [Transport::UnixStream, Transport::UnixDatagram] {
        let plan = LoadPlan { messages_max: 5, ..plan(transport, Pace::Closed { depth: 2 }) };
        let mut bench = Bench::new(plan);
        while bench.turns() {
            bench.clock.advance(millis(1));
            bench.echo();
        }
        assert!(!bench.generator.turn(Duration::ZERO).unwrap());
        bench.assert_counts(counts!(sent: 5, answered: 5));
    }
}

#[test]
fn open_loop_sends_on_schedule_without_replies() {
    let plan = LoadPlan { duration: Some(millis(50)), ..plan(Transport::UnixDatagram, open_loop(1000.0)) };
    let mut bench = Bench::new(plan);
    let mut replies = Vec::new();
    for sent in 1..=10 {
        assert!(bench.turns());
        replies.extend(bench.requests());
        assert_eq!((replies.len(), bench.generator.counts().sent), (sent, sent as u64));
        bench.clock.advance(millis(1));
    }
    replies.iter().for_each(|request| bench.reply(request));
    assert!(bench.turns());
    bench.assert_counts(counts!(sent: 11, answered: 10));
    // The first message waited for ten milliseconds, the last for one.
    let latency = bench.generator.latency();
    assert_eq!((latency.min().unwrap() / 10_000, latency.max().unwrap() / 10_000), (99, 1000));
}

#[test]
fn open_loop_behind_schedule_sends_what_was_due_and_measures_the_delay() {
    let plan = LoadPlan { messages_max: 8, ..plan(Transport::UnixDatagram, open_loop(1000.0)) };
    let mut bench = Bench::new(plan);
    assert!(bench.turns());
    bench.clock.advance(millis(7));
    while bench.turns() {
        bench.echo();
    }
    bench.assert_counts(counts!(sent: 8, answered: 8));
    let send_delay = bench.generator.send_delay();
    assert_eq!(send_delay.count(), 8);
    assert_eq!((send_delay.min(), send_delay.max().unwrap() / 10_000), (Some(0), 600));
}

#[test]
fn warm_up_is_not_measured() {
    let plan = LoadPlan {
        warm_up: millis(5),
        duration: Some(millis(5)),
        ..plan(Transport::UnixStream, open_loop(1000.0))
    };
    let mut bench = Bench::new(plan);
    let mut sent = 0;
    while bench.turns() {
        sent += bench.echo();
        bench.clock.advance(millis(1));
    }
    assert_eq!(sent, 10);
    bench.assert_counts(counts!(sent: 5, answered: 5));
}

#[test]
fn lost_datagram_is_given_up_and_the_closed_loop_goes_on() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 1 }));
    assert!(bench.turns());
    assert_eq!(bench.requests().len(), 1);
    assert!(bench.pass(TIMEOUT - millis(1)));
    assert_eq!(bench.requests().len(), 0);
    assert!(bench.pass(millis(25)));
    assert_eq!(bench.echo(), 1);
    assert!(bench.turns());
    let counts = bench.generator.counts();
    // The third message is in flight, the first is lost.
    assert_eq!((counts.sent, counts.answered, bench.generator.in_flight()), (3, 1, 1));
    assert_eq!(counts.lost() - bench.generator.in_flight(), 1);
}

#[test]
fn late_reply_counts_as_late() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 1 }));
    assert!(bench.turns());
    let first = bench.requests();
    assert!(bench.pass(TIMEOUT + millis(25)));
    bench.reply(&first[0]);
    assert!(bench.turns());
    bench.assert_counts(counts!(sent: 2, late: 1));
    assert_eq!(bench.generator.in_flight(), 1);
    // The reply to a stream's message is late as well, though it is never given up.
    let mut bench = Bench::new(plan(Transport::UnixStream, Pace::Closed { depth: 1 }));
    assert!(bench.turns());
    bench.clock.advance(TIMEOUT + millis(1));
    bench.echo();
    assert!(bench.turns());
    bench.assert_counts(counts!(sent: 2, late: 1));
}

#[test]
fn repeated_reply_counts_as_duplicate() {
    for transport in [Transport::UnixDatagram, Transport::UnixSeqpacket] {
        let mut bench = Bench::new(plan(transport, Pace::Closed { depth: 1 }));
        assert!(bench.turns());
        let first = bench.requests();
        (0..3).for_each(|_| bench.reply(&first[0]));
        assert!(bench.turns());
        bench.assert_counts(counts!(sent: 2, answered: 1, duplicate: 2));
    }
}

#[test]
fn data_that_was_not_sent_counts_as_unexpected() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 1 }));
    assert!(bench.turns());
    let request = bench.requests().remove(0);
    bench.reply(b"nonsense\n");
    // A part of a message is not the message.
    bench.reply(&request[1..]);
    // A later number was not sent yet.
    let mut later = Vec::new();
    echosounder_proto::Payload::new(SIZE).write(7, &mut later);
    bench.reply(&later);
    bench.reply(&request);
    assert!(bench.turns());
    bench.assert_counts(counts!(sent: 2, answered: 1, unexpected: 3));
}

#[test]
fn unexpected_data_on_a_stream_closes_the_connection() {
    let mut bench = Bench::new(plan(Transport::UnixStream, Pace::Closed { depth: 1 }));
    assert!(bench.turns());
    assert_eq!(bench.echo(), 1);
    assert!(bench.turns());
    bench.reply(b"nonsense");
    assert!(!bench.turns());
    bench.assert_counts(counts!(sent: 2, answered: 1, unexpected: 1));
}

#[test]
fn reply_of_another_length_counts_as_unexpected() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 1 }));
    assert!(bench.turns());
    bench.requests();
    let mut longer = Vec::new();
    echosounder_proto::Payload::new(SIZE + 16).write(0, &mut longer);
    bench.reply(&longer);
    assert!(bench.turns());
    // The message is no longer in flight, so the next one is.
    bench.assert_counts(counts!(sent: 2, unexpected: 1));
    assert_eq!(bench.generator.in_flight(), 1);
}

#[test]
fn messages_that_a_standstill_prevents_count_as_skipped() {
    let plan = LoadPlan { duration: Some(millis(50)), ..plan(Transport::UnixDatagram, open_loop(1000.0)) };
    let mut bench = Bench::new(plan);
    assert!(bench.turns());
    // The process did not run for longer than an open loop catches up after its end.
    bench.clock.advance(millis(500));
    assert!(!bench.turns());
    bench.assert_counts(counts!(sent: 1, skipped: 49));
}

#[test]
fn refused_datagrams_end_the_load_when_no_forgery_can_explain_them() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 1 }));
    // Nobody receives any more.
    bench.server = Transport::UnixDatagram.pair().unwrap().0;
    let start = bench.clock.mono();
    let error = (0..500).find_map(|_| {
        bench.clock.advance(millis(1));
        bench.generator.turn(Duration::ZERO).err()
    });
    // The kernel disconnects a UNIX socket whose peer is gone: its sends fail with ENOTCONN.
    assert_eq!(error.unwrap().failure_kind(), Some(FailureKind::Closed));
    let elapsed = bench.clock.mono() - start;
    assert!((millis(200)..millis(250)).contains(&elapsed), "{elapsed:?}");
    assert_eq!(bench.generator.counts().sent, 0);
}

#[test]
fn replies_in_any_order_are_matched() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 8 }));
    assert!(bench.turns());
    let requests = bench.requests();
    requests.iter().rev().for_each(|request| bench.reply(request));
    assert!(bench.turns());
    bench.assert_counts(counts!(sent: 16, answered: 8));
}

#[test]
fn backlog_of_an_open_loop_is_bounded() {
    for transport in [Transport::UnixStream, Transport::UnixDatagram] {
        let backlog_max_bytes = 10_000;
        let plan = LoadPlan {
            backlog_max_bytes,
            duration: Some(millis(500)),
            timeout: Duration::from_secs(10),
            ..plan(transport, open_loop(1000.0))
        };
        let mut bench = Bench::new(plan);
        // The server reads nothing.
        bench.pass(millis(500));
        let counts = bench.generator.counts();
        assert!(counts.sent <= (backlog_max_bytes / SIZE) as u64, "{transport:?}: {counts:?}");
        assert_eq!(counts.sent + counts.skipped, 500, "{transport:?}: {counts:?}");
    }
}

#[test]
fn stop_ends_the_load_and_takes_back_the_messages_in_flight() {
    let mut bench = Bench::new(plan(Transport::UnixDatagram, Pace::Closed { depth: 4 }));
    assert!(bench.turns());
    bench.echo();
    assert!(bench.turns());
    bench.stop.stop();
    assert!(!bench.turns());
    bench.assert_counts(counts!(sent: 4, answered: 4));
}

#[test]
fn load_without_an_end_gives_up_when_the_server_is_silent() {
    for transport in [Transport::UnixStream, Transport::UnixDatagram] {
        let plan = LoadPlan { messages_max: 1000, ..plan(transport, Pace::Closed { depth: 1 }) };
        let mut bench = Bench::new(plan);
        assert!(bench.turns());
        assert!(bench.pass(3 * TIMEOUT), "{transport:?}");
        assert!(!bench.pass(millis(2)), "{transport:?}");
        assert_eq!(bench.generator.counts().answered, 0);
    }
}

#[test]
fn closed_connection_is_counted_and_ends_the_load() {
    for transport in [Transport::UnixStream, Transport::UnixSeqpacket] {
        let mut bench = Bench::new(plan(transport, Pace::Closed { depth: 1 }));
        assert!(bench.turns());
        bench.echo();
        assert!(bench.turns());
        // The server must have read everything, or the kernel reports a reset instead of the end.
        bench.requests();
        bench.server.shutdown(echosounder_socket::Shutdown::Both).unwrap();
        assert!(!bench.turns(), "{transport:?}");
        bench.assert_counts(counts!(sent: 2, answered: 1, connections_closed: 1));
    }
}

#[test]
fn stream_replies_in_pieces_and_with_timestamps_are_read() {
    let mut bench = Bench::new(plan(Transport::UnixStream, Pace::Closed { depth: 2 }));
    assert!(bench.turns());
    let requests = bench.requests();
    bench.reply(b"[Sun Nov 22 12:19:36 2026] ");
    for piece in requests.concat().chunks(7) {
        bench.reply(piece);
        assert!(bench.turns());
    }
    let counts = bench.generator.counts();
    assert_eq!((counts.sent, counts.answered, counts.without_timestamp), (4, 2, 1));
}

#[test]
fn messages_in_a_decorated_stream_are_found() {
    let mut bench = Bench::new(plan(Transport::UnixStream, Pace::Closed { depth: 1 }));
    for round in 1..=3 {
        assert!(bench.turns());
        let requests = bench.requests();
        assert_eq!(requests.len(), 1, "{round}");
        // The server quotes the message and leaves its newline out.
        bench.reply(&[b"[0.12] you said: '", &requests[0][..SIZE - 1], b"'"].concat());
    }
    assert!(bench.turns());
    bench.assert_counts(counts!(sent: 4, answered: 3));
}

/// Starts a server that echoes on TCP connections, and returns its endpoint. It ends with the
/// tests.
fn echo_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..len]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    endpoint
}

#[test]
fn report_sums_up_threads_and_time() {
    let count = |count| NonZeroUsize::new(count).unwrap();
    let mut options = LoadOptions::new(echo_server().parse().unwrap(), StopToken::new().unwrap());
    options.connect.wait = Duration::from_secs(20);
    options.connections = count(3);
    options.pace = open_loop(300.0);
    options.sizes = SizeRange { min: SIZE, max: SIZE };
    options.warm_up = millis(100);
    options.duration = None;
    options.threads = count(2);
    options.checkpoint_every = Some(millis(1));
    let (mut intervals, mut checkpoint) = (0, None);
    let report = load(&options, |event| match event {
        LoadEvent::Interval(_) => intervals += 1,
        LoadEvent::Checkpoint(report) => {
            checkpoint = Some((report.counts, report.latency.count()));
            options.stop.stop();
        }
        _ => {}
    })
    .unwrap();
    let counts = report.counts;
    assert!(intervals >= 1 && counts.answered != 0);
    assert_eq!((counts.sent, counts.skipped, report.latency.count()), (counts.answered, 0, counts.answered));
    assert!(report.send_delay.count() >= counts.sent);
    let (so_far, latencies) = checkpoint.unwrap();
    assert_eq!((so_far.sent, so_far.lost(), latencies), (so_far.answered, 0, so_far.answered));
    let points = &report.over_time;
    // One until the checkpoint and one for the rest.
    assert!(points.len() >= 2, "{points:?}");
    assert_eq!(points.iter().map(|point| point.answered).sum::<u64>(), counts.answered);
    assert!(points.iter().map(|point| point.sent).sum::<u64>() >= counts.sent, "{points:?}");
    assert!(points.windows(2).all(|pair| pair[0].at + pair[0].span == pair[1].at), "{points:?}");
    assert!(points.iter().all(|point| point.answered == 0 || point.latency.is_some()), "{points:?}");
}
