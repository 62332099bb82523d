//! The prober and a server over a simulated link in virtual time. Scenarios are data; nothing
//! waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use echosounder_proto::{
    FailureKind, Framing, Input, LocalTime, LossReason, LossReport, Moment, MonoTime, Payload, ProbeEvent,
    ProbeInput, ProbeOutput, ProbePace, ProbePlan, Prober, Responder, Sample, Seen, SendStage, StampContext,
    TIMESTAMP_PLACEHOLDER, Template, TextEcho, Times, Timestamp, WallTime,
};
use echosounder_testkit::Random;
use proptest::collection::vec;
use proptest::prelude::*;

/// How long the server holds a message.
const RESIDENCE: Duration = Duration::from_micros(5);

/// From the program to the wire, and from the wire to the program.
const TO_WIRE: Duration = Duration::from_micros(7);
const FROM_WIRE: Duration = Duration::from_micros(9);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn at(count: u64) -> u64 {
    count * 1_000_000
}

fn mono(nanos: u64) -> MonoTime {
    MonoTime::from_origin(Duration::from_nanos(nanos))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

/// The plan of a scenario's prober.
#[derive(Clone, Copy, Debug)]
struct Plan {
    stream: bool,
    payload: Payload,
    pace: ProbePace,
    count: Option<u64>,
    timeout: Duration,
}

impl Plan {
    fn prober(&self, start: MonoTime) -> Prober<TextEcho> {
        let format = if self.stream { TextEcho::stream } else { TextEcho::messages };
        let plan = ProbePlan { pace: self.pace, count: self.count, timeout: self.timeout, end: None };
        Prober::new(format(self.payload), plan, start)
    }
}

const fn every(interval: Duration) -> ProbePace {
    ProbePace::Open { interval }
}

/// The delays of one request and of its reply; `None` is a loss.
#[derive(Clone, Copy, Debug)]
struct Transit {
    up: Option<Duration>,
    /// The delay of each copy of the reply.
    down: [Option<Duration>; 2],
}

const FAIR: Transit =
    Transit { up: Some(Duration::from_micros(400)), down: [Some(Duration::from_micros(600)), None] };

/// The round-trip time over a fair link.
const FAIR_RTT: Duration = Duration::from_micros(1005);

const LOST_UP: Transit = Transit { up: None, ..FAIR };

const LOST_DOWN: Transit = Transit { down: [None, None], ..FAIR };

const fn slow_up(up: Duration) -> Transit {
    Transit { up: Some(up), ..FAIR }
}

const fn duplicated(again: Duration) -> Transit {
    Transit { down: [FAIR.down[0], Some(again)], ..FAIR }
}

/// The kind of server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    /// Our own server, with this template.
    Ours(&'static str),
    /// Puts `[ctime] ` before everything, and knows no placeholder.
    Textbook,
    /// Returns the bytes unchanged, as a socket that is connected to itself.
    Plain,
    /// Puts a timestamp before each message that nobody else writes, and quotes the message as
    /// Python does.
    Quoting,
    /// Does not echo at all.
    Web,
}

/// An event of a scenario.
#[derive(Clone, Debug)]
enum Incident {
    /// The client does not run until then; its kernel does.
    StandStill(u64),
    /// The server is gone until then.
    Restart(u64),
    /// The server's clock is set ahead by that many milliseconds.
    ServerClock(i64),
    /// The client's wall clock is set ahead by that many milliseconds.
    ClientClock(i64),
    /// These bytes arrive.
    Arrives(Vec<u8>),
    /// The kernel reports that nothing listens at the address.
    Refused,
}

use Incident::{Arrives, ClientClock, Refused, Restart, ServerClock, StandStill};

#[derive(Clone, Copy)]
struct Scenario<'a> {
    name: &'a str,
    plan: Plan,
    peer: Peer,
    link: &'a dyn Fn(u64) -> Transit,
    /// Whether the kernel timestamps packets.
    kernel: bool,
    /// How long a packet waits in this host before the kernel hands it to the wire.
    to_wire: Duration,
    /// How often the server of a stream reads; what arrived meanwhile is one read.
    reads_every: Duration,
    /// The most bytes of a stream that arrive together.
    segment: usize,
    script: &'a [(u64, Incident)],
    expect: Counts,
    /// The round-trip time of every request, if all have the same.
    rtt: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    sent: u64,
    answered: u64,
    lost: u64,
    late: u64,
    duplicates: u64,
    reordered: u64,
    unexpected: u64,
    skipped: u64,
    /// Requests that could not be sent.
    unsent: u64,
}

/// A packet on its way.
enum Packet {
    Request(u64, Vec<u8>),
    Reply(Vec<u8>),
    Script(Incident),
    /// The server reads from a stream.
    Read,
}

/// The two ends of a link.
struct World<'a> {
    scenario: Scenario<'a>,
    prober: Prober<TextEcho>,
    now: u64,
    /// What arrives when; at the same time, in the order of sending.
    wire: BTreeMap<(u64, u64), (u64, Packet)>,
    sequence: u64,
    /// The current connection. Packets of earlier ones are dropped.
    connection: u64,
    /// When the last packet of a stream arrives, in each direction: none overtakes it.
    last: [u64; 2],
    still: Range<u64>,
    gone: Range<u64>,
    server_ahead: i64,
    client_ahead: i64,
    /// Bytes of the stream that the server has received and not read.
    unread: Vec<u8>,
    /// When the server received each request and replied, by its own clock.
    truth: BTreeMap<u64, (u64, u64)>,
    /// The events of the prober, with their times.
    events: Vec<(u64, ProbeEvent)>,
    due: Vec<u64>,
    /// Requests that were sent.
    sent: BTreeSet<u64>,
    counts: Counts,
}

impl<'a> World<'a> {
    fn new(scenario: Scenario<'a>) -> Self {
        let start = at(1000);
        let mut world = Self {
            scenario,
            prober: scenario.plan.prober(mono(start)),
            now: start,
            wire: BTreeMap::new(),
            sequence: 0,
            connection: 0,
            last: [0; 2],
            still: 0..0,
            gone: 0..0,
            server_ahead: 0,
            client_ahead: 0,
            unread: Vec::new(),
            truth: BTreeMap::new(),
            events: Vec::new(),
            due: Vec::new(),
            sent: BTreeSet::new(),
            counts: Counts::default(),
        };
        for (after, incident) in scenario.script {
            world.put(start + after, Packet::Script(incident.clone()));
        }
        world
    }

    /// Runs until all requests have an outcome and nothing is on its way.
    fn run(&mut self) -> Counts {
        for _ in 0..1_000_000 {
            let arrival = self.wire.first_key_value().map(|((time, _), _)| *time);
            let wake = self.prober.deadline().map(|wake| self.awake(wake.as_nanos().max(self.now)));
            match (arrival, wake) {
                (None, None) => {
                    assert!(self.prober.is_over(mono(self.now)));
                    self.counts.skipped = self.prober.skipped();
                    return self.counts;
                }
                (Some(arrival), _) if wake.is_none_or(|wake| arrival <= wake) => {
                    self.now = arrival;
                    let (_, (connection, packet)) = self.wire.pop_first().unwrap();
                    self.arrive(connection, packet);
                }
                (_, wake) => {
                    self.now = wake.unwrap();
                    self.wake();
                }
            }
        }
        panic!("{}: it does not end", self.scenario.name);
    }

    /// Returns when the client, which may stand still, does what is due then.
    fn awake(&self, time: u64) -> u64 {
        if self.still.contains(&time) { self.still.end } else { time }
    }

    fn put(&mut self, time: u64, packet: Packet) {
        self.sequence += 1;
        self.wire.insert((time, self.sequence), (self.connection, packet));
    }

    /// Sends a packet in one direction: up (0) or down (1).
    fn transmit(&mut self, way: usize, time: u64, packet: Packet) {
        if self.scenario.plan.stream {
            self.last[way] = self.last[way].max(time);
        }
        let time = if self.scenario.plan.stream { self.last[way] } else { time };
        self.put(time, packet);
    }

    fn moment(&self, time: u64) -> Moment {
        let wall = LocalTime::EXAMPLE.wall.as_nanos() + time;
        Moment { wall: WallTime::from_nanos(wall.saturating_add_signed(self.client_ahead)), mono: mono(time) }
    }

    fn server_clock(&self, time: u64) -> u64 {
        // It is fast by 50 ppm.
        (LocalTime::EXAMPLE.wall.as_nanos() + time + time / 20_000).saturating_add_signed(self.server_ahead)
    }

    /// Does all that the prober wants now.
    fn wake(&mut self) {
        let (now, mut bytes) = (self.moment(self.now), Vec::new());
        loop {
            let due = self.prober.due();
            match self.prober.poll(now, &mut bytes) {
                None => return,
                Some(ProbeOutput::Event(event)) => self.count(event),
                Some(ProbeOutput::Connect) if self.gone.contains(&self.now) => {
                    self.prober.handle(ProbeInput::ConnectFailed { kind: FailureKind::Refused, at: now });
                }
                Some(ProbeOutput::Connect) => self.prober.handle(ProbeInput::Connected),
                Some(ProbeOutput::Send { number }) => {
                    self.due.push(due.unwrap().as_nanos());
                    self.send(number, bytes.clone());
                }
            }
        }
    }

    fn send(&mut self, number: u64, bytes: Vec<u8>) {
        self.counts.sent += 1;
        assert_eq!(number, self.prober.requests());
        assert!(self.sent.insert(number));
        let mut leaves = self.now;
        if self.scenario.kernel {
            leaves += nanos(self.scenario.to_wire);
            let at = self.moment(leaves).wall;
            self.prober.handle(ProbeInput::Transmitted { packet: &bytes, stage: SendStage::Sent, at });
        }
        if let Some(up) = (self.scenario.link)(number).up {
            self.transmit(0, leaves + nanos(up), Packet::Request(number, bytes));
        }
    }

    fn arrive(&mut self, connection: u64, packet: Packet) {
        match packet {
            Packet::Script(incident) => self.apply(incident),
            _ if self.scenario.plan.stream && connection != self.connection => {}
            Packet::Request(..) if self.gone.contains(&self.now) => {}
            Packet::Request(_, bytes) if self.scenario.plan.stream => {
                let every = nanos(self.scenario.reads_every);
                if self.unread.is_empty() {
                    self.put(
                        if every == 0 { self.now } else { self.now.next_multiple_of(every) },
                        Packet::Read,
                    );
                }
                self.unread.extend(bytes);
            }
            Packet::Read => {
                let reply = self.reply_stream();
                for segment in reply.chunks(self.scenario.segment) {
                    // All replies of a stream have the delay of the first.
                    let down = (self.scenario.link)(1).down[0].unwrap();
                    let arrives = self.now + nanos(RESIDENCE) + nanos(down);
                    self.transmit(1, arrives, Packet::Reply(segment.to_vec()));
                }
            }
            Packet::Request(number, bytes) => {
                let reply = self.reply_message(number, bytes);
                for down in (self.scenario.link)(number).down.into_iter().flatten() {
                    let arrives = self.now + nanos(RESIDENCE) + nanos(down);
                    self.transmit(1, arrives, Packet::Reply(reply.clone()));
                }
            }
            Packet::Reply(bytes) => {
                let awake = self.awake(self.now + if self.scenario.kernel { nanos(FROM_WIRE) } else { 0 });
                let kernel = self.scenario.kernel.then(|| self.moment(self.now));
                self.receive(&bytes, Times { program: self.moment(awake), kernel });
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], at: Times) {
        self.prober.handle(ProbeInput::Received { bytes, at });
    }

    fn apply(&mut self, incident: Incident) {
        match incident {
            StandStill(until) => self.still = self.now..at(1000) + until,
            Restart(until) => {
                self.gone = self.now..at(1000) + until;
                if self.scenario.plan.stream {
                    self.disconnect();
                }
            }
            ServerClock(ahead) => self.server_ahead = ahead * 1_000_000,
            ClientClock(ahead) => self.client_ahead = ahead * 1_000_000,
            Arrives(bytes) => self.receive(&bytes, Times::of(self.moment(self.now))),
            Refused => self.prober.handle(ProbeInput::Undelivered {
                packet: None,
                reason: FailureKind::Refused.into(),
                report: LossReport::default(),
                at: mono(self.now),
            }),
        }
    }

    fn disconnect(&mut self) {
        self.prober.handle(ProbeInput::Disconnected { kind: FailureKind::Closed, at: mono(self.now) });
        self.connection += 1;
        self.last = [0; 2];
        self.unread.clear();
    }

    fn count(&mut self, event: ProbeEvent) {
        match event {
            ProbeEvent::Replied { .. } => self.counts.answered += 1,
            ProbeEvent::Late { .. } => self.counts.late += 1,
            ProbeEvent::Duplicate(_) => self.counts.duplicates += 1,
            ProbeEvent::Lost { number, .. } if self.sent.contains(&number) => self.counts.lost += 1,
            ProbeEvent::Lost { sent, .. } => {
                self.counts.sent += 1;
                self.counts.unsent += 1;
                self.due.push(sent.mono.as_nanos());
            }
            ProbeEvent::Unexpected => self.counts.unexpected += 1,
            ProbeEvent::Disconnected => {}
        }
        if let ProbeEvent::Replied { sample, given_up } = event {
            self.counts.reordered += u64::from(sample.reordered);
            // The request had been reported as lost, and its reply has arrived.
            self.counts.lost -= u64::from(given_up.is_some());
        }
        if let ProbeEvent::Late { sample, .. } = event {
            self.counts.reordered += u64::from(sample.reordered);
        }
        self.events.push((self.now, event));
    }

    fn local_time(&self) -> LocalTime {
        let wall = WallTime::from_nanos(self.server_clock(self.now));
        let second = wall.seconds() % 86_400;
        let text = format!("Sun Nov 22 {:02}:{:02}:{:02} 2026", second / 3600, second / 60 % 60, second % 60);
        LocalTime { wall, ctime: text.as_bytes().try_into().unwrap(), ..LocalTime::EXAMPLE }
    }

    fn responder(&self) -> Responder {
        let stamp = match self.scenario.peer {
            Peer::Ours(stamp) => stamp.parse().unwrap(),
            _ => Template::ctime(),
        };
        Responder { stamp, framing: Framing::default() }
    }

    fn reply_message(&mut self, number: u64, mut message: Vec<u8>) -> Vec<u8> {
        let rx = self.server_clock(self.now);
        let tx = rx + nanos(RESIDENCE);
        self.truth.insert(number, (rx, tx));
        let local_time = self.local_time();
        let mut context = StampContext::anonymous(&local_time);
        (context.rx, context.tx) = (WallTime::from_nanos(rx), WallTime::from_nanos(tx));
        let mut head = Vec::new();
        match self.scenario.peer {
            Peer::Ours(_) => self.responder().respond_to_datagram(&mut message, &mut context, &mut head),
            Peer::Textbook => head = stamped(&local_time, b""),
            Peer::Plain => {}
            Peer::Quoting => message = quoted(&message),
            Peer::Web => message = b"HTTP/1.1 400\r\n".to_vec(),
        }
        [head, message].concat()
    }

    fn reply_stream(&mut self) -> Vec<u8> {
        let input = std::mem::take(&mut self.unread);
        let local_time = self.local_time();
        let mut context = StampContext::anonymous(&local_time);
        context.rx = WallTime::from_nanos(self.server_clock(self.now));
        context.tx = context.rx + RESIDENCE;
        let mut out = Vec::new();
        match self.scenario.peer {
            Peer::Ours(_) => {
                let mut taken = 0;
                while taken < input.len() {
                    let rest = &input[taken..];
                    taken += self.responder().respond(rest, Input::More, &mut context, &mut out, |_| {});
                }
            }
            Peer::Textbook => {
                out = input.chunks(1024).flat_map(|piece| stamped(&local_time, piece)).collect()
            }
            Peer::Plain => out = input,
            Peer::Quoting => out = input.chunks(1024).flat_map(quoted).collect(),
            Peer::Web => out = b"HTTP/1.1 400\r\n".to_vec(),
        }
        out
    }

    /// Asserts that every request has one outcome.
    fn assert_one_outcome_each(&self) {
        let name = self.scenario.name;
        let mut ends: BTreeMap<u64, Vec<&ProbeEvent>> = BTreeMap::new();
        for (_, event) in &self.events {
            match event {
                ProbeEvent::Replied { sample, .. } | ProbeEvent::Late { sample, .. } => {
                    ends.entry(sample.number).or_default().push(event);
                    self.assert_true(sample);
                }
                ProbeEvent::Lost { number, .. } => ends.entry(*number).or_default().push(event),
                ProbeEvent::Duplicate(_) | ProbeEvent::Unexpected | ProbeEvent::Disconnected => {}
            }
        }
        for (number, events) in &ends {
            let once = matches!(
                events[..],
                [ProbeEvent::Replied { given_up: None, .. }]
                    | [ProbeEvent::Lost { .. }]
                    | [ProbeEvent::Lost { .. }, ProbeEvent::Replied { given_up: Some(_), .. }]
                    | [ProbeEvent::Lost { .. }, ProbeEvent::Late { .. }]
            );
            assert!(once, "{name}: {number} {events:?}");
        }
        let counts = self.counts;
        assert_eq!(counts.sent, ends.len() as u64, "{name}");
        assert_eq!(counts.sent, counts.unsent + counts.answered + counts.lost, "{name}: {counts:?}");
        assert_eq!(counts.sent, self.prober.requests(), "{name}");
        assert!(self.due.is_sorted(), "{name}: {:?}", self.due);
    }

    /// Asserts that a sample shows what really happened.
    fn assert_true(&self, sample: &Sample) {
        let name = self.scenario.name;
        let late = self.scenario.plan.timeout < sample.rtt();
        assert!(
            !late
                || !self.events.iter().any(
                    |(_, event)| matches!(event, ProbeEvent::Replied { sample: other, .. } if other == sample)
                ),
            "{name}"
        );
        if self.scenario.plan.stream {
            return;
        }
        let (rx, tx) = self.truth[&sample.number];
        if let Some(Timestamp::Ns { rx: shown_rx, tx: shown_tx }) = sample.timestamp {
            assert_eq!((shown_rx.as_nanos(), shown_tx.as_nanos()), (rx, tx), "{name}");
            assert_eq!(sample.residence(), Some(RESIDENCE), "{name}");
        }
        let fate = (self.scenario.link)(sample.number);
        let to_wire = if self.scenario.kernel { self.scenario.to_wire } else { Duration::ZERO };
        let takes = |down: Duration| to_wire + fate.up.unwrap() + RESIDENCE + down;
        let known = fate.down.into_iter().flatten().any(|down| takes(down) == sample.rtt());
        let stood_still = self.scenario.script.iter().any(|(_, incident)| matches!(incident, StandStill(_)));
        assert!(known || stood_still, "{name}: {sample:?}");
    }
}

fn stamped(local_time: &LocalTime, message: &[u8]) -> Vec<u8> {
    [b"[", &local_time.ctime[..], b"] ", message].concat()
}

/// Returns the reply of a Python server that formats bytes as text: quoted, with escaped
/// newlines.
fn quoted(message: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(message).unwrap().replace('\n', "\\n");
    format!("[b'Fri Nov 27 12:19:36 2026'] b'{text}'").into_bytes()
}

/// Ten requests to our own server, ten each second, with a timeout of a second.
const PLAIN: Scenario<'static> = Scenario {
    name: "a perfect link",
    plan: Plan { stream: false, payload: PAYLOAD, pace: every(ms(100)), count: Some(10), timeout: ms(1000) },
    peer: Peer::Ours("ctime"),
    link: &|_| FAIR,
    kernel: false,
    to_wire: TO_WIRE,
    reads_every: ms(0),
    segment: 1500,
    script: &[],
    expect: ALL_REPLIED,
    rtt: None,
};

const PAYLOAD: Payload = Payload::new(64);

const ALL_REPLIED: Counts = Counts {
    sent: 10,
    answered: 10,
    lost: 0,
    late: 0,
    duplicates: 0,
    reordered: 0,
    unexpected: 0,
    skipped: 0,
    unsent: 0,
};

const STREAM: Plan = Plan { stream: true, ..PLAIN.plan };

/// Seven requests are replied to, three are not.
const THREE_LOST: Counts = Counts { answered: 7, lost: 3, ..ALL_REPLIED };

#[track_caller]
fn check(scenarios: &[Scenario<'_>]) {
    for scenario in scenarios {
        let mut world = World::new(*scenario);
        let counts = world.run();
        world.assert_one_outcome_each();
        assert_eq!(counts, scenario.expect, "{}", scenario.name);
        for (_, event) in &world.events {
            if let (ProbeEvent::Replied { sample, .. }, Some(rtt)) = (event, scenario.rtt) {
                assert_eq!(sample.rtt(), rtt, "{}", scenario.name);
            }
        }
    }
}

#[test]
fn every_kind_of_server_is_timed() {
    let peers = [
        ("our server", Peer::Ours("ctime")),
        ("our server, rfc3339", Peer::Ours("rfc3339")),
        ("our server, none", Peer::Ours("none")),
        ("the textbook's", Peer::Textbook),
        ("a plain echo, or ourselves", Peer::Plain),
    ];
    for (name, peer) in peers {
        for stream in [false, true] {
            for (kernel, len) in [(false, 64), (true, 64), (false, 8), (false, 1400)] {
                let plan = Plan { stream, payload: Payload::new(len), ..PLAIN.plan };
                let rtt = Some(FAIR_RTT + if kernel { TO_WIRE } else { Duration::ZERO });
                check(&[Scenario { name, plan, peer, kernel, rtt, ..PLAIN }]);
            }
        }
    }
}

#[test]
fn a_reply_may_contain_the_request_in_any_decoration() {
    for len in [44, 50, 64, 1400, 5000] {
        for stream in [false, true] {
            let plan = Plan { stream, payload: Payload::with_placeholder(len), ..PLAIN.plan };
            let quoting = Scenario { name: "decorated", plan, peer: Peer::Quoting, ..PLAIN };
            check(&[quoting]);
            if stream {
                check(&[
                    Scenario { segment: 1, ..quoting },
                    Scenario { segment: 45, reads_every: ms(250), ..quoting },
                ]);
            }
        }
    }
}

#[test]
fn brackets_alone_are_no_reply() {
    let brackets = [(at(250), Arrives(b"[[[[".to_vec()))];
    // Bytes before the next reply do not hide it.
    check(&[Scenario { name: "brackets", plan: STREAM, script: &brackets, ..PLAIN }]);
    let alone = Counts { answered: 0, lost: 10, unexpected: 1, ..ALL_REPLIED };
    let alone_lost = Scenario { name: "brackets alone", plan: STREAM, link: &|_| LOST_UP, ..PLAIN };
    check(&[Scenario { script: &[(at(950), Arrives(b"[[[[".to_vec()))], expect: alone, ..alone_lost }]);
}

#[test]
fn time_in_the_queues_of_this_host_counts() {
    let queued = Scenario { name: "queued", kernel: true, to_wire: ms(1500), ..PLAIN };
    check(&[
        Scenario { expect: Counts { answered: 0, lost: 10, late: 10, ..ALL_REPLIED }, ..queued },
        Scenario { plan: Plan { timeout: ms(2000), ..PLAIN.plan }, rtt: Some(ms(1500) + FAIR_RTT), ..queued },
    ]);
}

#[test]
fn lost_late_duplicate_and_reordered_messages_are_counted() {
    check(&[
        PLAIN,
        Scenario {
            name: "lost both ways",
            link: &|n| {
                [FAIR, LOST_UP, LOST_DOWN, LOST_UP]
                    .get(usize::try_from(n - 1).unwrap())
                    .copied()
                    .unwrap_or(FAIR)
            },
            expect: THREE_LOST,
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is duplicated",
            link: &|n| if n == 4 { duplicated(ms(5)) } else { FAIR },
            expect: Counts { duplicates: 1, ..ALL_REPLIED },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is duplicated long after its timeout",
            link: &|n| if n == 4 { duplicated(ms(5000)) } else { FAIR },
            expect: Counts { duplicates: 1, ..ALL_REPLIED },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is overtaken by two",
            link: &|n| if n == 3 { slow_up(ms(250)) } else { FAIR },
            expect: Counts { reordered: 1, ..ALL_REPLIED },
            ..PLAIN
        },
        Scenario {
            name: "one overtakes nine",
            link: &|n| if n == 10 { FAIR } else { slow_up(ms(950)) },
            expect: Counts { reordered: 9, ..ALL_REPLIED },
            ..PLAIN
        },
        Scenario {
            name: "one is late",
            link: &|n| if n == 2 { slow_up(ms(1500)) } else { FAIR },
            expect: Counts { answered: 9, lost: 1, late: 1, reordered: 1, ..ALL_REPLIED },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is late twice",
            link: &|n| if n == 2 { Transit { down: [Some(ms(1500)), Some(ms(1600))], ..FAIR } } else { FAIR },
            expect: Counts { answered: 9, lost: 1, late: 1, duplicates: 1, reordered: 1, ..ALL_REPLIED },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is just in time",
            plan: Plan { timeout: FAIR_RTT, ..PLAIN.plan },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "all are late",
            plan: Plan { timeout: ms(1), ..PLAIN.plan },
            expect: Counts { answered: 0, lost: 10, late: 10, ..ALL_REPLIED },
            ..PLAIN
        },
        Scenario {
            name: "no server",
            link: &|_| LOST_UP,
            expect: Counts { answered: 0, lost: 10, ..ALL_REPLIED },
            ..PLAIN
        },
        Scenario {
            name: "one is refused",
            link: &|n| if n == 1 { LOST_UP } else { FAIR },
            script: &[(at(50), Refused), (at(60), Refused)],
            expect: Counts { answered: 9, lost: 1, ..ALL_REPLIED },
            ..PLAIN
        },
    ]);
}

#[test]
fn messages_that_match_no_request_are_unexpected() {
    let message = |payload: Payload, number| {
        let mut message = Vec::new();
        payload.write(number, &mut message);
        message
    };
    let reply = |number| (at(250), Arrives(message(PAYLOAD, number)));
    let [never, next, null] = [99, 4, 0].map(reply);
    let short = (at(250), Arrives(message(Payload::new(30), 2)));
    let nonsense = (at(250), Arrives(b"who is there?".to_vec()));
    for unexpected in [never, next, null, short, nonsense] {
        let expect = Counts { unexpected: 1, ..ALL_REPLIED };
        check(&[Scenario { name: "one is unexpected", script: &[unexpected], expect, ..PLAIN }]);
    }
    check(&[Scenario {
        name: "a server that does not echo",
        peer: Peer::Web,
        expect: Counts { answered: 0, lost: 10, unexpected: 10, ..ALL_REPLIED },
        ..PLAIN
    }]);
}

#[test]
fn steps_of_wall_clocks_do_not_matter() {
    let scripts: [&[_]; 5] = [
        &[(0, ServerClock(10_800_000))],
        &[(0, ServerClock(-10_800_000))],
        &[(at(250), ServerClock(60_000)), (at(450), ServerClock(-60_000))],
        &[(at(250), ClientClock(3_600_000))],
        &[(at(250), ClientClock(-3_600_000))],
    ];
    for script in scripts {
        for kernel in [false, true] {
            let rtt = Some(FAIR_RTT + if kernel { TO_WIRE } else { Duration::ZERO });
            check(&[Scenario { name: "clocks step", script, kernel, rtt, ..PLAIN }]);
        }
    }
}

#[test]
fn requests_during_a_restart_of_the_server_are_lost() {
    let script = &[(at(350), Restart(at(650)))];
    check(&[
        Scenario { name: "messages are lost", script, expect: THREE_LOST, ..PLAIN },
        Scenario {
            name: "the connection is lost",
            plan: STREAM,
            script,
            expect: Counts { unsent: 3, answered: 7, ..ALL_REPLIED },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "the connection is lost with requests in flight",
            plan: STREAM,
            link: &|n| slow_up(ms(if n < 5 { 250 } else { 10 })),
            script,
            // Requests 2, 3 and 4 were in flight, 5, 6 and 7 could not be sent.
            expect: Counts { unsent: 3, answered: 4, lost: 3, ..ALL_REPLIED },
            ..PLAIN
        },
    ]);
}

#[test]
fn requests_that_are_due_during_a_standstill_are_skipped() {
    let still = |until| [(at(150), StandStill(at(until)))];
    let skipping = Scenario {
        name: "for five seconds",
        script: &still(5150),
        // Those due from 200 ms to 5,000 ms are skipped; the next was due 50 ms before it is sent.
        expect: Counts { skipped: 49, ..ALL_REPLIED },
        rtt: Some(FAIR_RTT),
        ..PLAIN
    };
    check(&[
        skipping,
        Scenario { name: "for half a second: five requests are due together", script: &still(620), ..PLAIN },
        Scenario {
            name: "one second is not too long for one request per second",
            plan: Plan { pace: every(ms(1000)), ..PLAIN.plan },
            script: &still(1900),
            ..PLAIN
        },
        Scenario {
            name: "while a reply arrives in time by the kernel's clock",
            link: &|n| if n == 2 { slow_up(ms(100)) } else { FAIR },
            script: &still(5150),
            kernel: true,
            expect: Counts { skipped: 49, ..ALL_REPLIED },
            ..PLAIN
        },
        Scenario {
            name: "while a reply arrives at an unknown time",
            link: &|n| if n == 2 { slow_up(ms(100)) } else { FAIR },
            script: &still(5150),
            expect: Counts { skipped: 49, answered: 9, lost: 1, late: 1, ..ALL_REPLIED },
            ..PLAIN
        },
    ]);
    let mut world = World::new(skipping);
    world.run();
    assert!(world.due.windows(2).all(|pair| at(100) <= pair[1] - pair[0]), "{:?}", world.due);
    for (_, event) in &world.events {
        let ProbeEvent::Replied { sample, .. } = event else { panic!("{event:?}") };
        assert!(sample.send_delay() < ms(100), "{:?}", sample.send_delay());
    }
}

#[test]
fn a_closed_loop_sends_when_the_last_request_is_settled() {
    let plan = Plan { pace: ProbePace::Closed, ..PLAIN.plan };
    let lossy = Scenario {
        name: "one is lost",
        plan,
        link: &|n| if n == 4 { LOST_UP } else { FAIR },
        expect: Counts { answered: 9, lost: 1, ..ALL_REPLIED },
        rtt: Some(FAIR_RTT),
        ..PLAIN
    };
    check(&[
        Scenario { name: "in lockstep", plan, rtt: Some(FAIR_RTT), ..PLAIN },
        Scenario {
            name: "in lockstep on a stream",
            plan: Plan { stream: true, ..plan },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        lossy,
    ]);
    let mut world = World::new(lossy);
    world.run();
    let gaps: Vec<_> = world.due.windows(2).map(|pair| Duration::from_nanos(pair[1] - pair[0])).collect();
    let mut expected = [FAIR_RTT; 9];
    expected[3] = ms(1000);
    assert_eq!(gaps, expected);
}

#[test]
fn short_numbers_wrap_around() {
    let payload = Payload::with_placeholder(TIMESTAMP_PLACEHOLDER.len() + 3);
    let plan = Plan { payload, pace: every(ms(1)), count: Some(350), ..PLAIN.plan };
    let sent = Counts { sent: 350, answered: 350, ..ALL_REPLIED };
    check(&[
        Scenario { name: "two digits", plan, expect: sent, rtt: Some(FAIR_RTT), ..PLAIN },
        Scenario {
            name: "two digits, with ninety in flight",
            plan,
            link: &|_| slow_up(ms(90)),
            expect: sent,
            ..PLAIN
        },
        Scenario {
            name: "two digits, lost, duplicated and overtaken",
            plan,
            link: &|n| match n % 100 {
                7 => LOST_UP,
                23 => duplicated(ms(10)),
                55 => slow_up(ms(20)),
                _ => FAIR,
            },
            expect: Counts { answered: 346, lost: 4, duplicates: 4, reordered: 3, ..sent },
            ..PLAIN
        },
    ]);
}

#[test]
fn replies_on_streams_may_be_split_and_merged() {
    let late = Counts { answered: 4, lost: 6, late: 6, ..ALL_REPLIED };
    let fast = Plan { pace: every(ms(1)), count: Some(200), ..STREAM };
    let many = Counts { sent: 200, answered: 200, ..ALL_REPLIED };
    for (name, peer) in
        [("ours", Peer::Ours("ctime")), ("the textbook's", Peer::Textbook), ("plain", Peer::Plain)]
    {
        check(&[
            Scenario { name, plan: STREAM, peer, segment: 1, rtt: Some(FAIR_RTT), ..PLAIN },
            Scenario { name, plan: fast, peer, segment: 7, reads_every: ms(25), expect: many, ..PLAIN },
            Scenario { name, plan: fast, peer, segment: 2000, reads_every: ms(50), expect: many, ..PLAIN },
            Scenario {
                name: "a late reply delays those after it",
                plan: STREAM,
                peer,
                link: &|n| if n == 3 { slow_up(ms(1500)) } else { FAIR },
                // Requests 3 to 10 are replied to together after 1,701 ms: 9 and 10 are the first
                // in time.
                expect: late,
                ..PLAIN
            },
        ]);
    }
    check(&[Scenario {
        name: "a server that does not echo is reported when the first request is given up",
        plan: STREAM,
        peer: Peer::Web,
        expect: Counts { answered: 0, lost: 10, unexpected: 1, ..ALL_REPLIED },
        ..PLAIN
    }]);
}

/// A link that does everything at random, the same for the same seed.
fn wild(seed: u64) -> impl Fn(u64) -> Transit {
    move |number| {
        let mut random = Random::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let up = delay(&mut random);
        let down =
            [delay(&mut random), Some(delay(&mut random)).filter(|_| random.next_u64() % 8 == 0).flatten()];
        Transit { up, down }
    }
}

/// Returns a delay that is mostly short and seldom very long, or `None` for a loss.
fn delay(random: &mut Random) -> Option<Duration> {
    let short = Duration::from_nanos(random.below(2_000_000));
    match random.below(16) {
        0 => None,
        1 => Some(short * 1000),
        2..=4 => Some(short * 30),
        _ => Some(short),
    }
}

fn incidents() -> impl Strategy<Value = Vec<(u64, Incident)>> {
    let incident = prop_oneof![
        (0..8000_u64).prop_map(|until| StandStill(at(until))),
        (0..8000_u64).prop_map(|until| Restart(at(until))),
        (-5_000_000..5_000_000_i64).prop_map(ServerClock),
        (-5_000_000..5_000_000_i64).prop_map(ClientClock),
        vec(any::<u8>(), 0..100).prop_map(Arrives),
        Just(Refused),
    ];
    vec(((0..8000_u64).prop_map(at), incident), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_request_has_one_outcome(
        seed: u64, stream: bool, kernel: bool, peer in 0..6_usize, len in prop_oneof![8..70_usize, 1000..1400_usize],
        interval in prop_oneof![Just(0_u64), 1..50_u64, 100..2500_u64], wait in 1..3000_u64, count in 1..60_u64,
        reads_every in 0..100_u64, segment in 1..2000_usize, script in incidents(),
    ) {
        let peers = [
            Peer::Ours("ctime"),
            Peer::Ours("unix"),
            Peer::Textbook,
            Peer::Plain,
            Peer::Quoting,
            Peer::Web,
        ];
        let payload = Payload::new(len);
        let (tame, wild) = (tame(seed), wild(seed));
        let mut world = World::new(Scenario {
            name: "wild",
            plan: Plan { stream, payload, pace: ProbePace::from_interval(ms(interval)), count: Some(count), timeout: ms(wait) },
            peer: peers[peer],
            link: if stream { &tame } else { &wild },
            kernel,
            to_wire: TO_WIRE,
            reads_every: ms(reads_every),
            segment,
            script: &script,
            expect: ALL_REPLIED,
            rtt: None,
        });
        prop_assert_eq!(world.run().sent, count);
        world.assert_one_outcome_each();
    }

    #[test]
    fn no_sequence_of_inputs_panics(
        stream: bool, len in 0..80_usize, placeholder: bool, interval: u64, timeout: u64, count: Option<u64>,
        end: Option<u64>, actions in vec((0..14_u8, any::<u64>(), any::<u8>(), vec(any::<u8>(), 0..60)), 0..60),
    ) {
        let payload = if placeholder { Payload::with_placeholder(len) } else { Payload::new(len) };
        let pace = ProbePace::from_interval(Duration::from_nanos(interval));
        let (timeout, end) = (Duration::from_nanos(timeout), end.map(mono));
        let format = if stream { TextEcho::stream(payload) } else { TextEcho::messages(payload) };
        let mut prober = Prober::new(format, ProbePlan { pace, count, timeout, end }, mono(0));
        let (mut sent, mut buffer) = (VecDeque::new(), Vec::new());
        for (action, time, small, bytes) in actions {
            let now = Moment { wall: WallTime::from_nanos(time), mono: mono(time) };
            let kind = [FailureKind::Refused, FailureKind::Dns, FailureKind::Timeout][usize::from(small % 3)];
            let reply = if action == 6 { sent.pop_front().unwrap_or_default() } else { bytes };
            match action {
                0..=3 => match prober.poll(now, &mut buffer) {
                    Some(ProbeOutput::Send { .. }) => sent.push_back(buffer.clone()),
                    Some(ProbeOutput::Connect) if small % 2 == 0 => prober.handle(ProbeInput::Connected),
                    _ => {}
                },
                4 => prober.handle(ProbeInput::Transmitted {
                    packet: &reply,
                    stage: if small % 2 == 0 { SendStage::Queued } else { SendStage::Sent },
                    at: now.wall,
                }),
                5 | 6 => prober.handle(ProbeInput::Received { bytes: &reply, at: Times::of(now) }),
                7 => prober.handle(ProbeInput::Blocked(small % 2 == 0)),
                8 if small % 2 == 0 => prober.handle(ProbeInput::Sent { number: u64::from(small), at: now }),
                8 => prober.aim(Duration::from_nanos(time)),
                9 => prober.handle(ProbeInput::Disconnected { kind, at: now.mono }),
                10 if time < 1_000_000 => prober.handle(ProbeInput::ConnectFailed { kind, at: now }),
                11 => prober.handle(ProbeInput::SendFailed {
                    number: small.into(),
                    reason: LossReason::NotSent, report: LossReport::default(),
                    at: now.mono,
                }),
                12 => prober.handle(ProbeInput::Undelivered { packet: Some(&reply), reason: kind.into(), report: LossReport::default(), at: now.mono }),
                13 if small % 8 == 0 => prober.handle(ProbeInput::Stop { at: now.mono }),
                _ => prober.handle(ProbeInput::Connected),
            }
            let _ = (prober.deadline(), prober.due(), prober.is_over(now.mono), prober.is_expiring(now.mono));
        }
    }
}

/// The link of a stream, which loses nothing.
fn tame(seed: u64) -> impl Fn(u64) -> Transit {
    let wild = wild(seed);
    move |number| {
        let Transit { up, down } = wild(number);
        Transit { up: up.or(FAIR.up), down: [down[0].or(FAIR.down[0]), None] }
    }
}

/// A moment that many nanoseconds after the origin of the monotonic clock.
fn moment(nanos: u64) -> Moment {
    Moment { wall: LocalTime::EXAMPLE.wall + Duration::from_nanos(nanos), mono: mono(nanos) }
}

/// Takes the events that the prober has, and the requests that it sends at that time.
fn drain(prober: &mut Prober<TextEcho>, now: Moment) -> (Vec<ProbeEvent>, Vec<Vec<u8>>) {
    let (mut events, mut requests, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(output) = prober.poll(now, &mut buffer) {
        match output {
            ProbeOutput::Event(event) => events.push(event),
            ProbeOutput::Send { .. } => requests.push(buffer.clone()),
            ProbeOutput::Connect => panic!("it is connected"),
        }
    }
    (events, requests)
}

fn receive(prober: &mut Prober<TextEcho>, bytes: &[u8], now: Moment) {
    prober.handle(ProbeInput::Received { bytes, at: Times::of(now) });
}

/// Returns a prober that has sent and given up that many requests, one each millisecond.
fn given_up(requests: u64) -> (Prober<TextEcho>, Vec<Vec<u8>>) {
    let plan = Plan { pace: every(ms(1)), count: Some(requests), ..PLAIN.plan };
    let (mut prober, mut sent) = (plan.prober(mono(0)), Vec::new());
    for number in 0..requests {
        sent.extend(drain(&mut prober, moment(at(number))).1);
    }
    let end = moment(at(requests + 1000));
    drain(&mut prober, end);
    assert!(prober.is_over(end.mono));
    (prober, sent)
}

#[test]
fn requests_given_up_long_ago_are_forgotten() {
    let (mut prober, sent) = given_up(70_000);
    let mut event_of = |number: usize| {
        let now = moment(at(80_000));
        receive(&mut prober, &sent[number - 1], now);
        drain(&mut prober, now).0[0]
    };
    // 32 seconds of requests are remembered.
    assert_eq!(event_of(1), ProbeEvent::Unexpected);
    assert_eq!(event_of(70_000 - 32_000), ProbeEvent::Unexpected);
    let late = |event, wanted| matches!(event, ProbeEvent::Late { sample: Sample { number, reordered: false, .. }, .. } if number == wanted);
    assert!(late(event_of(70_000 - 31_999), 38_001));
    assert!(late(event_of(70_000), 70_000));
}

#[test]
fn round_trips_begin_when_the_driver_sends() {
    let mut prober = PLAIN.plan.prober(mono(0));
    let request = drain(&mut prober, moment(0)).1.remove(0);
    prober.handle(ProbeInput::Sent { number: 1, at: moment(5000) });
    // The kernel cannot have sent it before.
    for after in [4000, 7000] {
        let at = moment(after).wall;
        prober.handle(ProbeInput::Transmitted { packet: &request, stage: SendStage::Sent, at });
    }
    receive(&mut prober, &request, moment(20_000));
    let [ProbeEvent::Replied { sample, given_up: None }] = drain(&mut prober, moment(20_000)).0[..] else {
        panic!("it was replied to in time")
    };
    assert_eq!(sample.rtt(), Duration::from_nanos(15_000));
    assert_eq!(sample.sent, Times { program: moment(5000), kernel: Some(moment(7000)) });
}

#[test]
fn the_kernel_time_of_a_quoted_request_is_noted() {
    let mut prober = PLAIN.plan.prober(mono(0));
    let request = drain(&mut prober, moment(0)).1.remove(0);
    let quote = |len: usize| [&[0x45; 28], &request[..len]].concat();
    let at = |after: i64| WallTime::from_nanos(moment(0).wall.as_nanos().saturating_add_signed(after));
    let mut transmit = |packet: &[u8], at| {
        prober.handle(ProbeInput::Transmitted { packet, stage: SendStage::Sent, at });
    };
    transmit(&quote(64), at(7000));
    // Neither a quote that is too short, nor a time before the send or a minute after it, counts.
    transmit(&quote(TIMESTAMP_PLACEHOLDER.len() + 18), at(9000));
    transmit(&quote(64), at(-1));
    transmit(&quote(64), at(60_000_000_001));
    let mut never = Vec::new();
    PAYLOAD.write(2, &mut never);
    transmit(&never, at(9000));
    receive(&mut prober, &request, moment(20_000));
    let [ProbeEvent::Replied { sample, given_up: None }] = drain(&mut prober, moment(20_000)).0[..] else {
        panic!("it was replied to in time")
    };
    assert_eq!(sample.sent.kernel, Some(moment(7000)));
}

#[test]
fn the_time_in_the_queue_of_the_interface_is_the_time_between_two_stages() {
    let times = [(SendStage::Queued, 2000), (SendStage::Sent, 7000)];
    // The stages are reported in either order; an interface on top of another queues once more.
    let [mut backwards, mut twice] = [times.to_vec(), times.to_vec()];
    backwards.reverse();
    twice.insert(1, (SendStage::Queued, 6000));
    for reported in [times.to_vec(), backwards, twice] {
        let sample = replied_after(&reported, Some(15_000));
        let times = (sample.queue().map(nanos), sample.wire().map(nanos));
        assert_eq!(times, (Some(5000), Some(8000)), "{reported:?}");
    }
    assert_eq!(replied_after(&times[..1], Some(15_000)).queue(), None);
    let without_queue = replied_after(&times[1..], Some(15_000));
    assert_eq!((without_queue.queue(), without_queue.wire().map(nanos)), (None, Some(8000)));
    // The clock was set between the stages, or before the reply arrived.
    assert_eq!(replied_after(&[(SendStage::Queued, 9000), times[1]], Some(15_000)).queue(), None);
    assert_eq!(replied_after(&times, Some(6000)).wire(), None);
    assert_eq!(replied_after(&times, None).wire(), None);
}

/// Returns the sample of a request whose stages of transmission were reported so many nanoseconds
/// after it was sent, as was the arrival of its reply.
fn replied_after(stages: &[(SendStage, u64)], arrival: Option<u64>) -> Sample {
    let mut prober = PLAIN.plan.prober(mono(0));
    let packet = drain(&mut prober, moment(0)).1.remove(0);
    for (stage, at) in stages {
        let at = moment(*at).wall;
        prober.handle(ProbeInput::Transmitted { packet: &packet, stage: *stage, at });
    }
    let at = Times { program: moment(20_000), kernel: arrival.map(moment) };
    prober.handle(ProbeInput::Received { bytes: &packet, at });
    let [ProbeEvent::Replied { sample, .. }] = drain(&mut prober, moment(20_000)).0[..] else {
        panic!("it was replied to in time")
    };
    sample
}

#[test]
fn an_error_fails_the_request_that_it_quotes_or_the_oldest() {
    let plan = Plan { pace: every(ms(1)), ..PLAIN.plan };
    let mut prober = plan.prober(mono(0));
    let requests: Vec<_> = (0..3).map(|number| drain(&mut prober, moment(at(number))).1.remove(0)).collect();
    let now = moment(at(2));
    let mut fail = |packet: Option<&[u8]>| {
        prober.handle(ProbeInput::Undelivered {
            packet,
            reason: FailureKind::Unreachable.into(),
            report: LossReport::default(),
            at: now.mono,
        });
        drain(&mut prober, now).0
    };
    let lost = |events: &[ProbeEvent]| match events {
        [ProbeEvent::Lost { number, reason, .. }] => Some((*number, *reason)),
        _ => None,
    };
    let unreachable = LossReason::Peer(FailureKind::Unreachable);
    assert_eq!(lost(&fail(Some(&requests[1]))), Some((2, unreachable)));
    assert_eq!(fail(Some(&requests[1])), []);
    assert_eq!(lost(&fail(None)), Some((1, unreachable)));
    assert_eq!(lost(&fail(Some(b"no request"))), Some((3, unreachable)));
    assert_eq!(fail(None), []);
    // The report of a router may be wrong.
    receive(&mut prober, &requests[1], now);
    let [ProbeEvent::Replied { sample, given_up }] = drain(&mut prober, now).0[..] else {
        panic!("it was replied to in time")
    };
    assert_eq!((sample.number, given_up), (2, Some(unreachable)));
}

#[test]
fn a_request_completes_without_bytes_at_the_time_of_the_kernel() {
    let plan = Plan { pace: every(ms(1)), timeout: ms(100), ..PLAIN.plan };
    let mut prober = plan.prober(mono(0));
    (0..2).for_each(|number| assert_eq!(drain(&mut prober, moment(at(number))).1.len(), 1));
    let mut complete = |number, at: Times| {
        prober.handle(ProbeInput::Completed { number, at });
        drain(&mut prober, at.program).0
    };
    // The first request was sent at 0, and the kernel saw the handshake end after 2 ms.
    let times = Times { program: moment(at(3)), kernel: Some(moment(at(2))) };
    let [ProbeEvent::Replied { sample, given_up: None }] = complete(1, times)[..] else {
        panic!("it was completed in time")
    };
    assert_eq!((sample.number, sample.rtt(), sample.timestamp), (1, ms(2), None));
    let again = Times::of(moment(at(3)));
    assert_eq!(complete(1, again), [ProbeEvent::Duplicate(1)]);
    assert_eq!(complete(9, again), [ProbeEvent::Unexpected]);
    let late = complete(2, Times::of(moment(at(102))));
    let is_late = matches!(
        late[..],
        [ProbeEvent::Lost { number: 2, report: LossReport { after: None, .. }, .. }, ProbeEvent::Late { .. }]
    );
    assert!(is_late, "{late:?}");
}

#[test]
fn the_first_reply_or_loss_is_an_outcome() {
    let plan = Plan { pace: every(ms(1)), timeout: ms(100), ..PLAIN.plan };
    for is_lost in [false, true] {
        let mut prober = plan.prober(mono(0));
        assert_eq!((prober.in_flight(), prober.has_no_outcome()), (0, true));
        let now = moment(at(2));
        let requests: Vec<_> =
            (0..3).map(|number| drain(&mut prober, moment(at(number))).1.remove(0)).collect();
        assert_eq!((prober.in_flight(), prober.has_no_outcome()), (3, true));
        if is_lost {
            let kind = FailureKind::Refused;
            prober.handle(ProbeInput::Rejected { number: 1, kind, at: now.mono });
        } else {
            receive(&mut prober, &requests[0], now);
        }
        assert_eq!((prober.in_flight(), prober.has_no_outcome()), (2, false), "{is_lost}");
    }
}

#[test]
fn the_send_delay_begins_when_a_request_is_due() {
    let mut prober = PLAIN.plan.prober(mono(at(1)));
    let packet = drain(&mut prober, moment(at(4))).1.remove(0);
    receive(&mut prober, &packet, moment(at(5)));
    let [ProbeEvent::Replied { sample, .. }] = drain(&mut prober, moment(at(5))).0[..] else {
        panic!("it was replied to in time")
    };
    assert_eq!((sample.send_delay(), sample.rtt()), (ms(3), ms(1)));
}

#[test]
fn a_request_expires_when_it_has_waited_for_the_timeout() {
    let mut prober = Plan { timeout: ms(100), ..PLAIN.plan }.prober(mono(0));
    assert!(!prober.is_expiring(mono(at(1000))), "nothing was sent");
    drain(&mut prober, moment(at(5)));
    assert!(!prober.is_expiring(mono(at(105) - 1)) && prober.is_expiring(mono(at(105))));
}

#[test]
fn only_a_rejection_of_this_request_has_a_time() {
    let plan = Plan { pace: every(ms(1)), ..PLAIN.plan };
    let mut prober = plan.prober(mono(0));
    let requests: Vec<_> = (0..5).map(|number| drain(&mut prober, moment(at(number))).1.remove(0)).collect();
    let now = mono(at(10));
    let mut fail = |input| {
        prober.handle(input);
        match drain(&mut prober, moment(at(10))).0[..] {
            [ProbeEvent::Lost { number, report, .. }] => (number, report.after),
            ref events => panic!("{events:?}"),
        }
    };
    let (refused, report) = (FailureKind::Refused, LossReport::default());
    let reason = LossReason::from(refused);
    assert_eq!(fail(ProbeInput::Rejected { number: 1, kind: refused, at: now }), (1, Some(ms(10))));
    let packet = Some(&requests[1][..]);
    assert_eq!(fail(ProbeInput::Undelivered { packet, reason, report, at: now }), (2, Some(ms(9))));
    // Nothing shows which request an error without a quote is about.
    assert_eq!(fail(ProbeInput::Undelivered { packet: None, reason, report, at: now }), (3, None));
    // Nobody has answered.
    let timeout = FailureKind::Timeout;
    assert_eq!(fail(ProbeInput::Rejected { number: 4, kind: timeout, at: now }), (4, None));
    assert_eq!(fail(ProbeInput::SendFailed { number: 5, reason, report, at: now }), (5, None));
}

#[test]
fn a_residence_longer_than_the_round_trip_is_none() {
    let now = moment(at(5));
    let sent = Times::of(moment(at(1)));
    let residence = |rx, tx| {
        let [rx, tx] = [rx, tx].map(WallTime::from_nanos);
        let timestamp = Some(Timestamp::Ns { rx, tx });
        Sample {
            number: 1,
            due: mono(0),
            sent,
            received: Times::of(now),
            timestamp,
            seen: Seen::default(),
            queued: None,
            reordered: false,
        }
        .residence()
    };
    assert_eq!(residence(at(7), at(11)), Some(ms(4)));
    assert_eq!(residence(at(7), at(11) + 1), None);
    assert_eq!(residence(at(7), at(6)), None);
    let kernel = Some(Moment { mono: mono(at(3)), ..now });
    assert_eq!(Times { program: now, kernel }.difference(), Some(ms(2)));
}

#[test]
fn a_stream_with_too_many_outstanding_requests_gets_no_more() {
    for (size, most) in [(64, 65_536), (1 << 20, 64)] {
        let pace = every(Duration::from_nanos(1));
        let plan = Plan { stream: true, payload: Payload::new(size), pace, count: None, ..PLAIN.plan };
        let (mut prober, mut buffer, mut now, mut first) = (plan.prober(mono(0)), Vec::new(), 0, Vec::new());
        let mut next = |prober: &mut Prober<TextEcho>, now| {
            let output = prober.poll(moment(now), &mut buffer);
            (output, if now == 0 { buffer.clone() } else { Vec::new() })
        };
        while let (Some(ProbeOutput::Send { .. }), request) = next(&mut prober, now) {
            now += 1;
            first.extend(request);
        }
        assert_eq!(prober.requests(), most + 1);
        receive(&mut prober, &first, moment(now));
        assert!(matches!(next(&mut prober, now).0, Some(ProbeOutput::Event(ProbeEvent::Replied { .. }))));
        assert!(matches!(next(&mut prober, now + 1).0, Some(ProbeOutput::Send { .. })));
    }
}

#[test]
fn at_most_a_million_requests_are_in_flight() {
    const MOST: u64 = 1 << 20;
    let plan = Plan { pace: every(Duration::from_nanos(1)), count: None, ..PLAIN.plan };
    let (mut prober, mut buffer) = (plan.prober(mono(0)), Vec::new());
    for number in 1..=MOST {
        assert_eq!(prober.poll(moment(number), &mut buffer), Some(ProbeOutput::Send { number }));
    }
    let output = prober.poll(moment(MOST + 1), &mut buffer);
    let Some(ProbeOutput::Event(ProbeEvent::Lost { reason: LossReason::NotSent, .. })) = output else {
        panic!("{output:?}")
    };
    assert_eq!(prober.in_flight(), 1 << 20);
}

#[test]
fn a_stream_keeps_the_order_of_replies_however_many_requests_were_not_sent() {
    let mut prober = Plan { count: None, ..STREAM }.prober(mono(0));
    let first = drain(&mut prober, moment(0)).1.remove(0);
    prober.handle(ProbeInput::Blocked(true));
    for number in 1..=70_000 {
        let lost = drain(&mut prober, moment(at(100 * number))).0;
        assert!(
            lost.iter().any(|event| matches!(event, ProbeEvent::Lost { reason: LossReason::NotSent, .. }))
        );
    }
    prober.handle(ProbeInput::Blocked(false));
    let now = moment(at(100 * 70_001));
    let second = drain(&mut prober, now).1.remove(0);
    receive(&mut prober, &[first, second].concat(), now);
    let events = drain(&mut prober, now).0;
    assert!(
        matches!(
            events[..],
            [ProbeEvent::Unexpected, ProbeEvent::Replied { sample: Sample { number: 70_002, .. }, .. }]
        ),
        "{events:?}"
    );
}

/// What a prober reports about requests, one each 10 ms, whose link is cut at 25 ms and can be
/// connected again, or not, as `connect` says of each time; the numbers that were lost, with their
/// reasons.
fn reconnect(connect: impl Fn(u64) -> Option<FailureKind>) -> (Vec<u64>, Vec<(u64, LossReason)>) {
    let plan = Plan { pace: every(ms(10)), count: Some(30), ..STREAM };
    let (mut prober, mut buffer) = (plan.prober(mono(0)), Vec::new());
    let (mut attempts, mut lost) = (Vec::new(), Vec::new());
    for millis in 0..1500 {
        let now = moment(at(millis));
        if millis == 25 {
            prober.handle(ProbeInput::Disconnected { kind: FailureKind::Closed, at: now.mono });
        }
        while let Some(output) = prober.poll(now, &mut buffer) {
            match output {
                ProbeOutput::Event(ProbeEvent::Lost { number, reason, .. }) => lost.push((number, reason)),
                ProbeOutput::Event(ProbeEvent::Replied { .. } | ProbeEvent::Disconnected) => {}
                ProbeOutput::Event(event) => panic!("{event:?}"),
                ProbeOutput::Send { .. } => receive(&mut prober, &buffer, now),
                ProbeOutput::Connect => {
                    attempts.push(millis);
                    prober.handle(match connect(millis) {
                        Some(kind) => ProbeInput::ConnectFailed { kind, at: now },
                        None => ProbeInput::Connected,
                    });
                }
            }
        }
    }
    (attempts, lost)
}

#[test]
fn a_lost_connection_is_tried_again_each_100_ms() {
    let refused = LossReason::Peer(FailureKind::Refused);
    let (attempts, lost) = reconnect(|_| None);
    assert_eq!((attempts, lost), (vec![30], vec![]));
    // The requests that are due meanwhile are lost as the last attempt was.
    let (attempts, lost) = reconnect(|millis| (millis < 200).then_some(FailureKind::Refused));
    assert_eq!(attempts, [30, 130, 230]);
    assert_eq!(lost, (4..=23).map(|number| (number, refused)).collect::<Vec<_>>());
}

#[test]
fn a_name_that_was_not_found_is_not_looked_up_again_for_five_seconds() {
    let (attempts, lost) = reconnect(|_| Some(FailureKind::Dns));
    assert_eq!((attempts, lost.len()), (vec![30], 27));
    assert!(lost.iter().all(|(_, reason)| *reason == LossReason::Peer(FailureKind::Dns)));
}

#[test]
fn requests_that_come_due_while_connecting_are_lost_when_that_fails() {
    let plan = Plan { pace: every(ms(100)), count: Some(10), ..STREAM };
    let (mut prober, mut buffer) = (plan.prober(mono(0)), Vec::new());
    prober.handle(ProbeInput::Disconnected { kind: FailureKind::Closed, at: mono(0) });
    let disconnected = Some(ProbeOutput::Event(ProbeEvent::Disconnected));
    assert_eq!(prober.poll(moment(0), &mut buffer), disconnected);
    assert_eq!(prober.poll(moment(0), &mut buffer), Some(ProbeOutput::Connect));
    assert_eq!(prober.poll(moment(at(350)), &mut buffer), None);
    assert_eq!(prober.deadline(), None);
    prober.handle(ProbeInput::ConnectFailed { kind: FailureKind::Timeout, at: moment(at(350)) });
    let lost = drain(&mut prober, moment(at(350))).0;
    assert_eq!((lost.len(), prober.requests()), (4, 4));
    // The request that the connection was made for is lost, although the aim has moved it since.
    let mut prober = plan.prober(mono(0));
    prober.handle(ProbeInput::Disconnected { kind: FailureKind::Closed, at: mono(0) });
    assert_eq!(prober.poll(moment(0), &mut buffer), disconnected);
    assert_eq!(prober.poll(moment(0), &mut buffer), Some(ProbeOutput::Connect));
    prober.aim(ms(40));
    prober.handle(ProbeInput::ConnectFailed { kind: FailureKind::Timeout, at: moment(at(30)) });
    assert_eq!(drain(&mut prober, moment(at(30))).0.len(), 1);
    // If the connection succeeds, they are all sent at once.
    let mut prober = plan.prober(mono(0));
    prober.handle(ProbeInput::Disconnected { kind: FailureKind::Closed, at: mono(0) });
    let disconnected = Some(ProbeOutput::Event(ProbeEvent::Disconnected));
    assert_eq!(prober.poll(moment(0), &mut buffer), disconnected);
    assert_eq!(prober.poll(moment(0), &mut buffer), Some(ProbeOutput::Connect));
    prober.handle(ProbeInput::Connected);
    assert_eq!(drain(&mut prober, moment(at(350))).1.len(), 4);
}

#[test]
fn requests_that_come_due_while_connecting_are_lost_at_the_end() {
    let plan = ProbePlan { pace: every(ms(100)), count: None, timeout: ms(1000), end: Some(mono(at(350))) };
    let (mut prober, mut buffer) = (Prober::new(TextEcho::stream(STREAM.payload), plan, mono(0)), Vec::new());
    prober.handle(ProbeInput::Disconnected { kind: FailureKind::Closed, at: mono(0) });
    let disconnected = Some(ProbeOutput::Event(ProbeEvent::Disconnected));
    assert_eq!(prober.poll(moment(0), &mut buffer), disconnected);
    assert_eq!(prober.poll(moment(0), &mut buffer), Some(ProbeOutput::Connect));
    assert_eq!(prober.deadline(), Some(mono(at(350))));
    let timeout = LossReason::Peer(FailureKind::Timeout);
    let lost = drain(&mut prober, moment(at(350))).0;
    assert_eq!(lost.len(), 4);
    assert!(lost.iter().all(|event| matches!(event, ProbeEvent::Lost { reason, .. } if *reason == timeout)));
    assert!(prober.is_over(mono(at(350))));
}

#[test]
fn a_closed_loop_pauses_after_a_failure() {
    let plan = Plan { pace: ProbePace::Closed, count: Some(3), ..PLAIN.plan };
    let mut prober = plan.prober(mono(0));
    assert_eq!(drain(&mut prober, moment(0)).1.len(), 1);
    let kind = FailureKind::Refused;
    prober.handle(ProbeInput::Undelivered {
        packet: None,
        reason: kind.into(),
        report: LossReport::default(),
        at: mono(at(1)),
    });
    assert_eq!(drain(&mut prober, moment(at(1))).0.len(), 1);
    assert_eq!(prober.deadline(), Some(mono(at(101))));
    assert_eq!(drain(&mut prober, moment(at(101))).1.len(), 1);
}

#[test]
fn requests_that_exceed_the_path_mtu_pause_only_a_closed_loop_without_an_end() {
    let reason = LossReason::TooLong;
    for (count, next) in [(Some(3), at(0)), (None, at(100))] {
        let plan = Plan { pace: ProbePace::Closed, count, ..PLAIN.plan };
        let mut prober = plan.prober(mono(0));
        assert_eq!(drain(&mut prober, moment(0)).1.len(), 1);
        prober.handle(ProbeInput::SendFailed {
            number: 1,
            reason,
            report: LossReport::default(),
            at: mono(0),
        });
        assert_eq!(drain(&mut prober, moment(0)).1.len(), usize::from(next == 0));
        prober.handle(ProbeInput::Undelivered {
            packet: None,
            reason,
            report: LossReport::default(),
            at: mono(0),
        });
        let requests = drain(&mut prober, moment(next)).1.len();
        assert_eq!((requests, prober.requests()), (1, if count.is_some() { 3 } else { 2 }));
    }
}

#[test]
fn at_the_end_a_request_is_lost_if_it_waited_longer_than_the_slowest_reply() {
    let plan = Plan { pace: every(ms(10)), count: Some(10), ..PLAIN.plan };
    let mut prober = plan.prober(mono(0));
    let first = drain(&mut prober, moment(0)).1.remove(0);
    receive(&mut prober, &first, moment(at(5)));
    for number in 1..3 {
        drain(&mut prober, moment(at(10 * number)));
    }
    prober.handle(ProbeInput::Stop { at: mono(at(22)) });
    let events = drain(&mut prober, moment(at(22))).0;
    assert!(matches!(events[..], [ProbeEvent::Lost { number: 2, .. }]), "{events:?}");
    assert!(prober.is_over(mono(at(22))));
    assert_eq!(prober.deadline(), None);
}

#[test]
fn requests_in_flight_when_this_machine_fails_are_ignored() {
    let plan = Plan { pace: every(ms(10)), count: Some(10), ..PLAIN.plan };
    let mut prober = plan.prober(mono(0));
    for number in 0..3 {
        drain(&mut prober, moment(at(10 * number)));
    }
    prober.handle(ProbeInput::SendFailed {
        number: 2,
        reason: LossReason::NotSent,
        report: LossReport::default(),
        at: mono(at(21)),
    });
    prober.handle(ProbeInput::Abandon);
    // Long after every timeout.
    let (events, sent) = drain(&mut prober, moment(at(60_000)));
    assert!(matches!(events[..], [ProbeEvent::Lost { number: 2, reason: LossReason::NotSent, .. }]));
    assert!(sent.is_empty() && prober.is_over(mono(at(60_000))));
    assert_eq!(prober.deadline(), None);
}

#[test]
fn nothing_is_sent_after_the_end() {
    let plan = ProbePlan { pace: every(ms(10)), count: None, timeout: ms(1000), end: Some(mono(at(15))) };
    let mut prober = Prober::new(TextEcho::messages(PAYLOAD), plan, mono(0));
    assert_eq!(drain(&mut prober, moment(at(10))).1.len(), 2);
    assert_eq!(prober.deadline(), Some(mono(at(15))));
    assert!(prober.is_over(mono(at(15))) && !prober.is_over(mono(at(14))));
    assert_eq!(drain(&mut prober, moment(at(500))).1.len(), 0);
}

/// When requests are sent whose phase `aim` returns for each before it is sent.
fn aimed(interval: Duration, requests: u64, aim: impl Fn(u64) -> Option<Duration>) -> Vec<u64> {
    let plan = Plan { pace: every(interval), count: None, ..PLAIN.plan };
    let mut prober = plan.prober(mono(at(1_234)));
    prober.handle(ProbeInput::Blocked(true));
    let mut sent = Vec::new();
    for number in 1..=requests {
        if let Some(phase) = aim(number) {
            prober.aim(phase);
        }
        let due = prober.due().unwrap();
        sent.push(due.as_nanos());
        prober.poll(moment(due.as_nanos()), &mut Vec::new());
    }
    sent
}

#[test]
fn aimed_requests_stay_an_interval_apart() {
    // One in so many is sent at the phase.
    for (interval, one_in) in [(1000, 1), (3000, 1), (500, 2), (200, 5), (300, 10), (1500, 2), (333, 1000)] {
        let phase = ms(777);
        let sent = aimed(ms(interval), 3000, |number| (3 < number).then_some(phase));
        let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(
            gaps.iter().filter(|gap| **gap != at(interval)).count(),
            usize::from(interval != 333),
            "{interval}"
        );
        assert!(gaps.iter().all(|gap| (at(interval) / 2..at(interval) * 3 / 2).contains(gap)), "{interval}");
        let hits = sent.iter().filter(|time| *time % at(1000) == nanos(phase)).count();
        assert_eq!(hits.max(2997 / one_in), hits, "{interval}");
    }
}

proptest! {
    #[test]
    fn at_any_aim_no_request_is_due_before_another(interval in 1..5_000_000_000_u64, seed: u64) {
        let phase = |number| Some(Duration::from_nanos(Random::new(seed ^ number).next_u64() % 2_000_000_000));
        let interval = Duration::from_nanos(interval);
        let sent = aimed(interval, 100, phase);
        for pair in sent.windows(2) {
            prop_assert!(nanos(interval) <= 2 * (pair[1] - pair[0]) + 1, "{:?}", pair);
            prop_assert!(pair[1] - pair[0] <= 2 * nanos(interval));
        }
    }
}
