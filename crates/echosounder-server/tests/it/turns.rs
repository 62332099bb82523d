//! Connections in any order of events, compared with a model.
//!
//! These tests play the kernel: they perform each [`Operation`] on buffers of their own, with sizes
//! that the kernel would rarely choose. The model is [`Responder::respond`].

use std::collections::VecDeque;

use echosounder_proto::{EchoReader, Framing, Input, LocalTime, Responder, Scan, StampContext, scan};
use echosounder_server::internal::{Completion, Connection, Operation, TurnContext};
use echosounder_socket::{Interest, Kind, Readiness, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::harness::{SteppedClock, named, service};
use crate::{CTIME, Event, Record, line, size};

const CLIENTS: usize = 4;

/// Enough for the backlogs of all clients.
const BACKLOG_MAX: usize = 1 << 20;

/// So little that the clients often exhaust it.
const SMALL_BACKLOG_MAX: usize = 16_000;

/// A step of a scenario.
#[derive(Clone, Debug)]
enum Step {
    /// A client sends at most so many bytes.
    Send(usize, usize),
    /// A client receives at most so many bytes.
    Receive(usize, usize),
    /// A client finishes sending.
    Finish(usize),
    /// A client disappears without receiving its replies.
    Vanish(usize),
    /// Every connection that is ready takes a turn, in which the kernel moves at most so many
    /// bytes.
    Turn(usize),
    /// The wall clock moves by so many seconds.
    Clock(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = || prop_oneof![1..40_usize, 1..3000_usize, 1..70_000_usize];
    let step = prop_oneof![
        8 => (0..CLIENTS, len()).prop_map(|(client, len)| Step::Send(client, len)),
        6 => (0..CLIENTS, len()).prop_map(|(client, len)| Step::Receive(client, len)),
        1 => (0..CLIENTS).prop_map(Step::Finish),
        1 => (0..CLIENTS).prop_map(Step::Vanish),
        8 => prop_oneof![len(), Just(usize::MAX)].prop_map(Step::Turn),
        1 => (-100_000..100_000_i64).prop_map(Step::Clock),
    ];
    vec(step, 0..150)
}

/// One direction of a connection: a buffer of limited size, as the kernel has it.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// The lengths of messages, if the transport preserves their boundaries.
    lens: VecDeque<usize>,
    finished: bool,
}

impl Pipe {
    /// Takes as many bytes as there is space for, but a message whole, and returns their number.
    fn push(&mut self, kind: Kind, bytes: &[u8], capacity: usize) -> usize {
        let space = capacity.saturating_sub(self.bytes.len());
        let len = match kind {
            Kind::Messages if space == 0 => return 0,
            Kind::Messages => {
                self.lens.push_back(bytes.len());
                bytes.len()
            }
            _ => bytes.len().min(space),
        };
        self.bytes.extend(&bytes[..len]);
        len
    }

    /// Returns at most `max` bytes, or one message; `None` if there are none.
    fn pop(&mut self, kind: Kind, max: usize) -> Option<Vec<u8>> {
        let len = match kind {
            Kind::Messages => self.lens.pop_front()?,
            _ if self.bytes.is_empty() => return None,
            _ => self.bytes.len().min(max),
        };
        Some(self.bytes.drain(..len).collect())
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lens.is_empty()
    }
}

/// A client, the connection that serves it, and the replies that the model expects.
struct Client {
    /// `None` once it is closed.
    connection: Option<Connection>,
    kind: Kind,
    /// Bytes that each direction holds.
    capacity: usize,
    to_server: Pipe,
    to_client: Pipe,
    vanished: bool,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// The messages that were replied to.
    messages: Vec<Vec<u8>>,
    /// The replies of the model, and the offset at which each begins.
    expected: Vec<u8>,
    starts: Vec<usize>,
}

impl Client {
    fn readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        let is_readable = !self.to_server.is_empty() || self.to_server.finished;
        ready.set(Readiness::READABLE, is_readable);
        ready.set(Readiness::WRITABLE, self.to_client.bytes.len() < self.capacity);
        ready.set(Readiness::HANG_UP, self.vanished);
        ready
    }

    /// Gives the connection its turn if it is ready, and performs its operations. `max` bounds each
    /// transfer.
    fn turn(&mut self, context: &mut TurnContext<SteppedClock, Record>, max: usize) {
        let ready = self.readiness();
        let Some(connection) = &mut self.connection else { return };
        let is_ready = match connection.interest() {
            Interest::READ => ready.can_read(),
            _ => ready.can_write(),
        };
        if !is_ready {
            return;
        }
        let (mut receives, mut sends) = (0, 0);
        let mut operation = connection.on_ready(ready, context);
        loop {
            let completion = match operation {
                Operation::Wait(interest) => {
                    assert_eq!(interest, connection.interest());
                    break;
                }
                Operation::Close => {
                    connection.release(context);
                    self.connection = None;
                    break;
                }
                Operation::CheckWritable => Completion::Writable(ready.can_write()),
                Operation::Recv { offset, max: wanted } => {
                    receives += 1;
                    match self.to_server.pop(self.kind, wanted.min(max)) {
                        Some(bytes) => {
                            context.input_mut()[offset..offset + bytes.len()].copy_from_slice(&bytes);
                            Completion::Received(bytes.len())
                        }
                        None if self.to_server.finished || self.vanished => Completion::End,
                        None => Completion::WouldBlock,
                    }
                }
                Operation::Send => {
                    sends += 1;
                    let output = connection.output(context);
                    let len = if self.kind == Kind::Stream { output.len().min(max) } else { output.len() };
                    match self.vanished {
                        true => Completion::SendFailed,
                        false => {
                            Completion::Sent(self.to_client.push(self.kind, &output[..len], self.capacity))
                        }
                    }
                }
                Operation::Shutdown(_) => {
                    self.to_client.finished = true;
                    Completion::ShutDown
                }
            };
            operation = connection.complete(completion, context);
        }
        assert!(receives <= 1 && sends <= 1, "{receives} receives and {sends} sends in one turn");
    }
}

/// Returns letters and newlines, a different text for each client.
fn text(client: usize, from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| match (at * 31 + at / 7 * 17 + client * 5) % 97 {
            0 => b'\n',
            n => b'a' + u8::try_from(n % 26).unwrap(),
        })
        .collect()
}

/// Several connections of one worker, and their clients.
struct Scenario {
    context: TurnContext<SteppedClock, Record>,
    clock: SteppedClock,
    record: Record,
    framing: Framing,
    /// Whether the backlog budget can be exhausted. Unfinished lines then become frames.
    is_budget_small: bool,
    model: Responder,
    /// Whether the timestamp shows the local time.
    is_ctime: bool,
    clients: Vec<Client>,
}

impl Scenario {
    fn new(transport: Transport, stamp: &str, framing: Framing, capacity: usize, backlog_max: usize) -> Self {
        let (service, clock, record) = service(stamp, framing);
        let context = TurnContext::new(service, backlog_max).unwrap();
        let client = |number: usize| Client {
            connection: Some(Connection::new(named(&number.to_string()), None, transport)),
            kind: transport.kind(),
            capacity,
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            vanished: false,
            sent: Vec::new(),
            received: Vec::new(),
            messages: Vec::new(),
            expected: Vec::new(),
            starts: Vec::new(),
        };
        let clients = (0..CLIENTS).map(client).collect();
        let model = Responder { stamp: stamp.parse().unwrap(), framing: Framing::Message };
        let is_budget_small = backlog_max < BACKLOG_MAX;
        let is_ctime = stamp == "ctime";
        Self { context, clock, record, framing, is_budget_small, model, is_ctime, clients }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Turn(max) => self.turn(max),
            Step::Clock(seconds) => self.clock.step(seconds * 1_000_000_000, 0),
            Step::Send(number, len) => {
                let client = &mut self.clients[number];
                if !client.to_server.finished && !client.vanished && client.connection.is_some() {
                    let bytes = text(number, client.sent.len(), len);
                    let taken = client.to_server.push(client.kind, &bytes, client.capacity);
                    client.sent.extend(&bytes[..taken]);
                }
            }
            Step::Receive(number, max) => {
                let client = &mut self.clients[number];
                let more = client.to_client.pop(client.kind, max).filter(|_| !client.vanished);
                client.received.extend(more.unwrap_or_default());
            }
            Step::Finish(number) => self.clients[number].to_server.finished = true,
            Step::Vanish(number) => self.clients[number].vanished = true,
        }
    }

    /// Gives every connection its turn, and lets the model reply to the messages that were replied
    /// to.
    fn turn(&mut self, max: usize) {
        self.context.begin_turn();
        let before: Vec<usize> = self.clients.iter().map(|client| client.messages.len()).collect();
        for client in &mut self.clients {
            client.turn(&mut self.context, max);
        }
        let time = LocalTime { wall: self.clock.wall(), ..LocalTime::EXAMPLE };
        for event in self.record.take() {
            let Event::Message(name, bytes) = event else { panic!("{event:?}") };
            let number: usize = name.strip_prefix('@').unwrap().parse().unwrap();
            let client = &mut self.clients[number];
            let seq = client.messages.len() as u64;
            let mut context = StampContext { peer: &name, seq, ..StampContext::anonymous(&time) };
            client.starts.push(client.expected.len());
            self.model.respond(&bytes, Input::More, &mut context, &mut client.expected, |_| {});
            client.messages.push(bytes);
        }
        // Only the last frame of a read may be shorter than the frame size.
        if let Framing::Size(size) = self.framing {
            for (client, before) in self.clients.iter().zip(before) {
                let lens: Vec<usize> = client.messages[before..].iter().map(Vec::len).collect();
                if let [whole @ .., last] = &lens[..] {
                    assert!(whole.iter().all(|&len| len == size.get()) && *last <= size.get(), "{lens:?}");
                }
            }
        }
    }

    fn open_connections(&self) -> usize {
        self.clients.iter().filter(|client| client.connection.is_some()).count()
    }

    /// Lets every client finish and receive its remaining replies.
    fn end(&mut self) {
        for number in 0..CLIENTS {
            self.take(&Step::Finish(number));
        }
        let mut unchanged = 0;
        while self.open_connections() != 0 {
            let before = self.progress();
            self.turn(usize::MAX);
            for number in 0..CLIENTS {
                self.take(&Step::Receive(number, 1 << 16));
            }
            unchanged = if before == self.progress() { unchanged + 1 } else { 0 };
            assert!(unchanged < 10, "the connections do not end");
        }
        for client in self.clients.iter_mut().filter(|client| !client.vanished) {
            while let Some(more) = client.to_client.pop(client.kind, 1 << 16) {
                client.received.extend(&more);
            }
        }
    }

    fn progress(&self) -> (usize, usize, usize) {
        let sum = |of: fn(&Client) -> usize| self.clients.iter().map(of).sum();
        let received = sum(|client| client.received.len());
        (received, sum(|client| client.messages.len()), self.open_connections())
    }

    /// Compares what the clients received with the replies of the model, byte for byte.
    fn check(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let replied = client.messages.concat();
            assert!(client.sent.starts_with(&replied), "the replies to {number} are to what it sent");
            // The local time depends on the machine's zone. The tests of the stamp cache check it.
            for &start in self.is_ctime.then_some(&client.starts).into_iter().flatten() {
                let Some(stamp) = client.received.get_mut(start..).filter(|stamp| !stamp.is_empty()) else {
                    break;
                };
                assert_ne!(scan(stamp), Scan::Other);
                let shown = stamp.len().min(CTIME);
                stamp[..shown].copy_from_slice(&client.expected[start..start + shown]);
            }
            assert!(client.expected.starts_with(&client.received), "{number} received the model's replies");
            if !client.vanished {
                assert!(client.to_client.finished, "the server has shut down the connection of {number}");
                assert_eq!(replied.len(), client.sent.len(), "{number} has replies to all it sent");
                assert_eq!(client.received.len(), client.expected.len(), "{number} received all replies");
                if let Framing::Line(_) = self.framing
                    && !self.is_budget_small
                {
                    assert!(
                        client.messages == frames(self.framing, &client.sent),
                        "reads do not split lines"
                    );
                }
            }
        }
        let totals = self.context.service().counters().totals();
        let messages = || self.clients.iter().flat_map(|client| &client.messages);
        assert_eq!(totals.messages, messages().count() as u64);
        assert_eq!(totals.bytes, messages().map(Vec::len).sum::<usize>() as u64);
        assert_eq!(totals.dropped(), 0);
    }
}

/// Returns the frames of everything that a client sent.
fn frames(framing: Framing, mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(len) = framing.frame_len(sent, Input::Last) {
        let (frame, rest) = sent.split_at(len);
        frames.push(frame.to_vec());
        sent = rest;
    }
    frames
}

fn framings() -> impl Strategy<Value = Framing> {
    let max = prop_oneof![1..20_usize, 1..2000_usize, Just(echosounder_proto::FRAME_MAX)];
    (any::<bool>(), max).prop_map(|(by_line, max)| if by_line { line(max) } else { size(max) })
}

const STAMPS: [&str; 4] = ["none", "ctime", "unix", "{seq} {peer} {unix}> "];

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_time: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn every_client_of_a_stream_receives_the_replies_of_the_model(
        steps in steps(), stamp in select(&STAMPS[..]), framing in framings(), capacity in 1..30_000_usize,
        backlog_max in select(&[BACKLOG_MAX, SMALL_BACKLOG_MAX][..]),
    ) {
        let mut scenario = Scenario::new(Transport::UnixStream, stamp, framing, capacity, backlog_max);
        steps.iter().for_each(|step| scenario.take(step));
        scenario.end();
        scenario.check();
        for client in scenario.clients.iter().filter(|client| !client.vanished) {
            if stamp == "none" {
                prop_assert!(client.received == client.sent);
            } else if !stamp.starts_with('{') {
                let mut reader = EchoReader::new();
                reader.sent(&client.sent);
                prop_assert_eq!(reader.receive(&client.received, |_| {}), Ok(()));
                prop_assert_eq!(reader.pending(), 0);
            }
        }
    }

    #[test]
    fn every_message_has_one_reply(
        steps in vec((0..CLIENTS, 1..3000_usize, 0..3_u8), 0..150), stamp in select(&STAMPS[..]),
    ) {
        let mut scenario = Scenario::new(Transport::UnixSeqpacket, stamp, Framing::Message, 1, BACKLOG_MAX);
        let mut requests = vec![Vec::new(); CLIENTS];
        for (number, len, what) in steps {
            let before = scenario.clients[number].sent.len();
            match what {
                0 => scenario.take(&Step::Send(number, len)),
                1 => scenario.take(&Step::Receive(number, 1 << 16)),
                _ => scenario.take(&Step::Turn(len)),
            }
            let sent = &scenario.clients[number].sent[before..];
            if !sent.is_empty() {
                requests[number].push(sent.to_vec());
            }
        }
        scenario.end();
        scenario.check();
        for (client, requests) in scenario.clients.iter().zip(requests) {
            prop_assert!(client.messages == requests);
        }
    }
}

#[test]
fn the_receive_buffer_is_limited_until_the_client_has_taken_enough_replies() {
    const CAPACITY: usize = 100_000;
    let mut scenario = Scenario::new(Transport::Tcp, "none", size(1024), CAPACITY, BACKLOG_MAX);
    let limits = |scenario: &Scenario, number: usize| {
        scenario.clients[number].connection.as_ref().unwrap().limits_buffers()
    };
    for round in 0..20 {
        for number in [0, 1] {
            scenario.take(&Step::Send(number, 60_000));
        }
        scenario.take(&Step::Send(2, 1000));
        scenario.turn(usize::MAX);
        for number in [1, 2] {
            scenario.take(&Step::Receive(number, usize::MAX));
        }
        assert!(limits(&scenario, 0), "the client receives nothing");
        assert_eq!(limits(&scenario, 1), round < 6, "the client receives everything: {round}");
        assert!(!limits(&scenario, 2), "the client sends little");
    }
    scenario.end();
    scenario.check();
}

#[test]
fn a_finished_connection_sends_its_unfinished_line_and_lingers() {
    let mut scenario = Scenario::new(Transport::UnixStream, "none", line(60_000), 8, BACKLOG_MAX);
    scenario.take(&Step::Send(1, 5));
    scenario.turn(usize::MAX);
    let client = &mut scenario.clients[1];
    assert!(client.messages.is_empty() && !client.sent.contains(&b'\n'), "the line has no end");
    client.connection.as_mut().unwrap().finish();
    client.turn(&mut scenario.context, 3);
    assert_eq!((client.to_client.bytes.len(), client.to_client.finished), (3, false));
    client.turn(&mut scenario.context, 3);
    assert_eq!(client.to_client.bytes, client.sent);
    assert!(client.to_client.finished);
    // Input is discarded until the client closes.
    client.to_server.push(Kind::Stream, b"late", 8);
    client.turn(&mut scenario.context, usize::MAX);
    assert!(client.to_server.is_empty() && client.connection.is_some());
    client.to_server.finished = true;
    client.turn(&mut scenario.context, usize::MAX);
    assert!(client.connection.is_none());
    assert_eq!(scenario.record.take(), [Event::Message("@1".into(), client.sent.clone())]);
}
