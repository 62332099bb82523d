//! Pings of a peer that the test plays, with a clock that the test moves.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use echosounder_client::{
    ClockRelation, FailureKind, LossReason, Order, PingControl, PingEvent, PingOptions, PingReply,
    PingReport, Pinger, ProbePace, TargetEvent, TimestampSource,
};
use echosounder_socket::{Socket, StopToken, Transport};
use echosounder_testkit::{FakeClock, PATIENCE};

const TIMEOUT: Duration = Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(60);

/// A pinger on a thread of its own, and what it reports.
struct Running {
    clock: FakeClock,
    control: Arc<PingControl>,
    events: Receiver<(usize, TargetEvent)>,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(targets: Vec<PingOptions>, order: Order) -> Self {
        let (clock, (sender, events)) = (FakeClock::new(), mpsc::channel());
        let control = Arc::new(PingControl::new(StopToken::new().unwrap()).unwrap());
        let pinger =
            Pinger::with_clock(targets, order, Arc::clone(&control), Arc::new(clock.clone())).unwrap();
        let thread = thread::spawn(move || pinger.run(|index, event| sender.send((index, event)).is_ok()));
        Self { clock, control, events, thread }
    }

    /// Lets time pass, and lets the pinger notice it.
    fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.control.request_checkpoint();
    }

    fn next(&self) -> (usize, TargetEvent) {
        self.events.recv_timeout(PATIENCE).expect("the pinger reports something")
    }

    /// Returns the next event of a request or a connection.
    fn event(&self) -> PingEvent {
        loop {
            match self.next().1 {
                TargetEvent::Started(_)
                | TargetEvent::Happened(PingEvent::Checkpoint(_) | PingEvent::Interval(_)) => {}
                TargetEvent::Happened(event) => return event,
                TargetEvent::Ended { error, .. } => panic!("it has ended: {error:?}"),
                other => panic!("{other:?}"),
            }
        }
    }

    fn reply(&self) -> PingReply {
        match self.event() {
            PingEvent::Replied(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the report at the end.
    fn report(self) -> PingReport {
        loop {
            if let (_, TargetEvent::Ended { report, error }) = self.next() {
                assert!(error.is_none(), "{error:?}");
                self.thread.join().unwrap();
                return *report.unwrap();
            }
        }
    }
}

fn ping(endpoint: &str, count: Option<u64>) -> PingOptions {
    let mut options = PingOptions::new(endpoint.parse().unwrap());
    options.connect.wait = TIMEOUT;
    options.pace = ProbePace::Open { interval: INTERVAL };
    options.count = count;
    options.clock = Some(ClockRelation::Free);
    options.timestamps = TimestampSource::User;
    options
}

/// Returns the options after a change.
fn with(mut options: PingOptions, change: impl FnOnce(&mut PingOptions)) -> PingOptions {
    change(&mut options);
    options
}

/// The peer's socket.
struct UdpPeer(UdpSocket);

impl UdpPeer {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn ping(&self, count: Option<u64>) -> PingOptions {
        ping(&format!("udp://{}", self.0.local_addr().unwrap()), count)
    }

    fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (len, from) = self.0.recv_from(&mut buffer).unwrap();
        (buffer[..len].to_vec(), from)
    }

    fn send(&self, (message, to): &(Vec<u8>, SocketAddr)) {
        self.0.send_to(message, to).unwrap();
    }
}

#[test]
fn a_reply_after_the_timeout_is_late() {
    let peer = UdpPeer::bind();
    let running = Running::start(vec![peer.ping(Some(2))], Order::AtOnce);
    let first = peer.receive();
    running.advance(INTERVAL);
    let second = peer.receive();
    peer.send(&second);
    let reply = running.reply();
    assert_eq!((reply.number, reply.late, reply.reordered), (2, false, false));
    running.clock.advance(TIMEOUT);
    peer.send(&first);
    let lost = running.event();
    let timeout = LossReason::Peer(FailureKind::Timeout);
    assert!(matches!(lost, PingEvent::Lost { number: 1, reason, .. } if reason == timeout), "{lost:?}");
    let reply = running.reply();
    assert_eq!((reply.number, reply.late, reply.reordered), (1, true, true));
    assert_eq!(reply.rtt, TIMEOUT + INTERVAL);
    let report = running.report();
    assert_eq!((report.answered, report.late, report.lost.total(), report.reordered), (1, 1, 0, 1));
}

#[test]
fn a_request_without_a_reply_is_lost_after_the_timeout() {
    let peer = UdpPeer::bind();
    let running = Running::start(vec![peer.ping(Some(1))], Order::AtOnce);
    peer.receive();
    running.advance(TIMEOUT);
    let report = running.report();
    assert_eq!((report.answered, report.lost.timeout, report.sent()), (0, 1, 1));
}

#[test]
fn until_up_ends_at_the_first_reply() {
    let peer = UdpPeer::bind();
    let running = Running::start(vec![with(peer.ping(None), |ping| ping.until_up = true)], Order::AtOnce);
    peer.receive();
    running.advance(INTERVAL);
    peer.send(&peer.receive());
    assert_eq!(running.reply().number, 2);
    let report = running.report();
    // The first request has waited longer than the reply took.
    assert_eq!((report.answered, report.lost.timeout, report.up_after), (1, 1, Some(INTERVAL)));
}

#[test]
fn a_name_without_an_address_is_looked_up_again_until_the_deadline() {
    let options = with(ping("tcp://nobody.invalid", None), |ping| {
        (ping.until_up, ping.deadline) = (true, Some(Duration::from_secs(7)));
    });
    let running = Running::start(vec![options], Order::InTurn);
    for _ in 0..2 {
        let not_found = running.next().1;
        assert!(matches!(not_found, TargetEvent::NotFound(FailureKind::Dns)), "{not_found:?}");
        running.advance(Duration::from_secs(5));
    }
    let ended = running.next().1;
    let TargetEvent::Ended { report: None, error: Some(error) } = ended else { panic!("{ended:?}") };
    assert_eq!(error.failure_kind(), Some(FailureKind::Dns));
}

#[test]
fn duplicates_and_unexpected_messages_are_distinguished() {
    let peer = UdpPeer::bind();
    let running = Running::start(vec![peer.ping(Some(2))], Order::AtOnce);
    let (request, from) = peer.receive();
    let message = (request, from);
    peer.send(&message);
    assert_eq!(running.reply().number, 1);
    peer.send(&message);
    assert!(matches!(running.event(), PingEvent::Duplicate(1)));
    peer.send(&(b"no reply".to_vec(), from));
    assert!(matches!(running.event(), PingEvent::Unexpected));
    running.control.stop();
    let report = running.report();
    assert_eq!((report.answered, report.duplicate, report.unexpected), (1, 1, 1));
}

#[test]
fn a_refused_datagram_is_lost_at_once() {
    let peer = UdpPeer::bind();
    let target = peer.ping(Some(1));
    drop(peer);
    let report = Running::start(vec![target], Order::AtOnce).report();
    assert_eq!((report.lost.refused, report.sent()), (1, 1));
}

#[test]
fn a_stop_ends_all_targets_with_their_reports() {
    let peers: Vec<_> = (0..3).map(|_| UdpPeer::bind()).collect();
    let targets = peers.iter().map(|peer| peer.ping(None)).collect();
    let running = Running::start(targets, Order::AtOnce);
    for peer in &peers {
        peer.send(&peer.receive());
    }
    let mut replied = [false; 3];
    while replied != [true; 3] {
        if let (index, TargetEvent::Happened(PingEvent::Replied(_))) = running.next() {
            replied[index] = true;
        }
    }
    running.control.stop();
    let mut ended = [false; 3];
    while ended != [true; 3] {
        if let (index, TargetEvent::Ended { report, error }) = running.next() {
            assert!(error.is_none() && report.is_some_and(|report| report.answered == 1));
            ended[index] = true;
        }
    }
    running.thread.join().unwrap();
}

#[test]
fn targets_in_turn_wait_for_each_other() {
    let peers = [UdpPeer::bind(), UdpPeer::bind()];
    let targets = peers.iter().map(|peer| peer.ping(Some(1))).collect();
    let running = Running::start(targets, Order::InTurn);
    for (index, peer) in peers.iter().enumerate() {
        assert!(matches!(running.next(), (at, TargetEvent::Started(_)) if at == index));
        peer.send(&peer.receive());
        assert!(matches!(running.next(), (at, TargetEvent::Happened(PingEvent::Replied(_))) if at == index));
        assert!(matches!(running.next(), (at, TargetEvent::Ended { .. }) if at == index));
    }
    running.thread.join().unwrap();
}

#[test]
fn many_targets_are_measured_by_one_loop() {
    // The peer's receive buffer holds a request of each.
    const TARGETS: usize = 100;
    let peer = UdpPeer::bind();
    let echo = peer.0.try_clone().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..len], from);
        }
    });
    let targets = (0..TARGETS).map(|_| with(peer.ping(Some(4)), |options| options.pace = ProbePace::Closed));
    let running = Running::start(targets.collect(), Order::AtOnce);
    let (mut ended, mut replies) = (0, 0);
    while ended < TARGETS {
        if let (_, TargetEvent::Ended { report, error }) = running.next() {
            assert!(error.is_none(), "{error:?}");
            replies += report.unwrap().answered;
            ended += 1;
        }
    }
    assert_eq!(replies, 4 * TARGETS as u64);
}

/// Returns a listener whose queue is full, so that no other connection is established, and what
/// fills the queue.
fn full_listener() -> (Socket, SocketAddr, Vec<Socket>) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    let listener = Transport::Tcp.socket(&any).unwrap();
    listener.bind(&any).unwrap();
    listener.listen_with(0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..4).map(|_| {
        let socket = Transport::Tcp.socket(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        // It is in progress: the kernel accepts the first of them and drops the others.
        let _ = socket.connect(&address);
        socket
    });
    let waiting = waiting.collect();
    let address = SocketAddr::from(([127, 0, 0, 1], address.port().unwrap()));
    (listener, address, waiting)
}

#[test]
fn targets_that_do_not_accept_delay_no_other_target() {
    // More than there are threads that look names up.
    const SILENT: usize = 200;
    let (_listener, silent, _waiting) = full_listener();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let targets = (0..SILENT).map(|_| ping(&format!("tcp://{silent}"), Some(1)));
    let target = ping(&format!("tcp://{}", listener.local_addr().unwrap()), Some(1));
    let running = Running::start(targets.chain([target]).collect(), Order::AtOnce);
    while !matches!(running.next(), (SILENT, TargetEvent::Started(_))) {}
    running.control.stop();
    running.thread.join().unwrap();
}

#[test]
fn a_connection_times_out_by_the_deadline_of_its_target() {
    let (_listener, silent, _waiting) = full_listener();
    let target = with(ping(&format!("tcp://{silent}"), Some(1)), |options| options.deadline = Some(INTERVAL));
    let running = Running::start(vec![target], Order::AtOnce);
    // The first advance may come before the target is opened.
    let (_, ended) = loop {
        running.advance(INTERVAL);
        if let Ok(event) = running.events.recv_timeout(Duration::from_millis(10)) {
            break event;
        }
    };
    let TargetEvent::Ended { error: Some(error), .. } = ended else { panic!("{ended:?}") };
    assert_eq!(error.failure_kind(), Some(FailureKind::Timeout), "{error}");
    running.thread.join().unwrap();
}

#[test]
fn a_request_that_is_too_long_is_reported_as_not_sent() {
    let peer = UdpPeer::bind();
    let running =
        Running::start(vec![with(peer.ping(Some(2)), |options| options.size_bytes = 65_508)], Order::AtOnce);
    let lost = running.event();
    assert!(matches!(lost, PingEvent::Lost { number: 1, reason: LossReason::NotSent, .. }), "{lost:?}");
    let (_, TargetEvent::Ended { report, error }) = running.next() else { panic!("it must end") };
    assert!(error.is_some_and(|error| error.failure_kind().is_none()));
    assert_eq!(report.map(|report| (report.sent(), report.lost.total())), Some((1, 1)));
    running.thread.join().unwrap();
}

#[test]
fn a_closed_connection_is_made_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = ping(&format!("tcp://{}", listener.local_addr().unwrap()), Some(2));
    let running = Running::start(vec![target], Order::AtOnce);
    let mut buffer = [0; 64];
    let echo = |buffer: &mut [u8; 64]| {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(buffer).unwrap();
        stream.write_all(buffer).unwrap();
    };
    echo(&mut buffer);
    assert_eq!(running.reply().number, 1);
    assert!(matches!(running.event(), PingEvent::Disconnected));
    running.advance(INTERVAL);
    echo(&mut buffer);
    assert!(matches!(running.event(), PingEvent::Reconnected));
    assert_eq!(running.reply().number, 2);
    let report = running.report();
    assert_eq!((report.answered, report.lost.total()), (2, 0));
}

#[test]
fn an_interim_report_leaves_the_measurement_alone() {
    let peer = UdpPeer::bind();
    let running = Running::start(vec![peer.ping(Some(2))], Order::AtOnce);
    peer.send(&peer.receive());
    assert_eq!(running.reply().number, 1);
    running.control.request_interim();
    let PingEvent::Interim(interim) = running.event() else { panic!("it was requested") };
    assert_eq!(interim.answered, 1);
    running.advance(INTERVAL);
    peer.send(&peer.receive());
    assert_eq!(running.report().answered, 2);
}
