//! The prober against a peer, over a link in virtual time. Whatever happens is written down; nothing waits.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use echosounder_proto::{
    Framing, Input, LocalTime, Moment, MonoTime, Payload, Plan, ProbeEvent, Prober, Responder, Sample,
    StampContext, TIMESTAMP_PLACEHOLDER, Template, Times, Timestamp, WallTime,
};
use echosounder_testkit::Random;
use proptest::collection::vec;
use proptest::prelude::*;

/// How long the server has a message.
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

/// What the link does with one call, and with its answer.
#[derive(Clone, Copy, Debug)]
struct Fate {
    up: Option<Duration>,
    /// Of each copy of the answer.
    down: [Option<Duration>; 2],
}

const FAIR: Fate =
    Fate { up: Some(Duration::from_micros(400)), down: [Some(Duration::from_micros(600)), None] };

/// What a fair call and its answer take.
const FAIR_RTT: Duration = Duration::from_micros(1005);

const LOST_UP: Fate = Fate { up: None, ..FAIR };

const LOST_DOWN: Fate = Fate { down: [None, None], ..FAIR };

const fn slow_up(up: Duration) -> Fate {
    Fate { up: Some(up), ..FAIR }
}

const fn twice(again: Duration) -> Fate {
    Fate { down: [FAIR.down[0], Some(again)], ..FAIR }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    /// Our own server, with this stamp.
    Ours(&'static str),
    /// Puts `[ctime] ` before everything, and knows no blank.
    Textbook,
    /// Sends back what it gets; so does a socket that is connected to itself.
    Plain,
    /// Puts a timestamp before each message that nobody else writes, and quotes the message as Python does.
    Quoting,
    /// Does not echo at all.
    Web,
}

/// What happens besides.
#[derive(Clone, Debug)]
enum Happening {
    /// The client does not run until then; its kernel does.
    StandStill(u64),
    /// The server is gone until then.
    Restart(u64),
    /// The server's clock is set to be so much ahead, in milliseconds.
    ServerClock(i64),
    /// The client's clock on the wall is set to be so much ahead.
    ClientClock(i64),
    /// Somebody sends this.
    Arrives(Vec<u8>),
    /// The kernel says that nobody is there.
    Refused,
}

use Happening::{Arrives, ClientClock, Refused, Restart, ServerClock, StandStill};

#[derive(Clone, Copy)]
struct Scenario<'a> {
    name: &'a str,
    plan: Plan,
    peer: Peer,
    link: &'a dyn Fn(u64) -> Fate,
    /// Whether the kernel tells when packets left and came.
    kernel: bool,
    /// How long a packet waits in this host before the kernel hands it to the wire.
    to_wire: Duration,
    /// How often a stream's server reads; what came in between is one piece.
    reads_every: Duration,
    /// At most so many bytes of a stream arrive at once.
    segment: usize,
    script: &'a [(u64, Happening)],
    expect: Tally,
    /// What every answered call takes, if all take the same.
    rtt: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    sent: u64,
    answered: u64,
    unanswered: u64,
    late: u64,
    duplicates: u64,
    reordered: u64,
    stray: u64,
    skipped: u64,
    /// Calls that could not be sent.
    unsent: u64,
}

/// What the wire holds.
enum Packet {
    Call(u64, Vec<u8>),
    Answer(Vec<u8>),
    Script(Happening),
    /// The server looks at what a stream has brought.
    Read,
}

/// The two ends of a link.
struct World<'a> {
    scenario: Scenario<'a>,
    prober: Prober,
    now: u64,
    /// What happens when; what happens at once, in the order in which it came about.
    wire: BTreeMap<(u64, u64), (u64, Packet)>,
    sequence: u64,
    /// A connection's packets do not live longer than it.
    connection: u64,
    /// Nothing on a stream overtakes: when the last that was sent arrives there, and back.
    last: [u64; 2],
    still: Range<u64>,
    gone: Range<u64>,
    server_ahead: i64,
    client_ahead: i64,
    /// What the server has of the stream and has not read.
    unread: Vec<u8>,
    /// When the server was called and when it answered, by its own clock.
    truth: BTreeMap<u64, (u64, u64)>,
    /// What was heard, with the time at which it was.
    events: Vec<(u64, ProbeEvent)>,
    due: Vec<u64>,
    tally: Tally,
}

impl<'a> World<'a> {
    fn new(scenario: Scenario<'a>) -> Self {
        let start = at(1000);
        let mut world = Self {
            scenario,
            prober: Prober::new(scenario.plan, mono(start)),
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
            tally: Tally::default(),
        };
        for (after, happening) in scenario.script {
            world.put(start + after, Packet::Script(happening.clone()));
        }
        world
    }

    /// Runs until all calls are done with and the wire is empty.
    fn run(&mut self) -> Tally {
        for _ in 0..1_000_000 {
            let arrival = self.wire.first_key_value().map(|((time, _), _)| *time);
            let wake = self.prober.wakes().map(|wake| self.awake(wake.as_nanos().max(self.now)));
            match (arrival, wake) {
                (None, None) => {
                    assert!(self.prober.is_over());
                    assert_eq!(self.prober.open(), 0);
                    self.tally.skipped = self.prober.skipped();
                    return self.tally;
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
        panic!("{}: it never ends", self.scenario.name);
    }

    /// When the client does what it would do then.
    fn awake(&self, time: u64) -> u64 {
        if self.still.contains(&time) { self.still.end } else { time }
    }

    fn put(&mut self, time: u64, packet: Packet) {
        self.sequence += 1;
        self.wire.insert((time, self.sequence), (self.connection, packet));
    }

    /// Puts what takes its way there (0) or back (1).
    fn convey(&mut self, way: usize, time: u64, packet: Packet) {
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

    fn wake(&mut self) {
        let (now, mut given_up) = (self.now, Vec::new());
        self.prober.expire(mono(now), |event| given_up.push(event));
        if !given_up.is_empty() && self.prober.take_unmatched() {
            self.count(ProbeEvent::Unexpected);
        }
        given_up.into_iter().for_each(|event| self.count(event));
        while self.prober.due().is_some_and(|due| due <= mono(now)) {
            self.call();
            if self.scenario.plan.interval.is_zero() {
                break;
            }
        }
    }

    fn call(&mut self) {
        self.due.push(self.prober.due().unwrap().as_nanos());
        self.tally.sent += 1;
        let at = self.moment(self.now);
        if self.scenario.plan.stream && self.gone.contains(&self.now) {
            self.prober.miss(at);
            self.tally.unsent += 1;
            return;
        }
        let mut bytes = b"before".to_vec();
        let number = self.prober.call(at, &mut bytes);
        assert_eq!(number, self.tally.sent);
        let bytes = bytes.split_off(6);
        let mut leaves = self.now;
        if self.scenario.kernel {
            leaves += nanos(self.scenario.to_wire);
            self.prober.left(number, self.moment(leaves));
        }
        if let Some(up) = (self.scenario.link)(number).up {
            self.convey(0, leaves + nanos(up), Packet::Call(number, bytes));
        }
    }

    fn arrive(&mut self, connection: u64, packet: Packet) {
        match packet {
            Packet::Script(happening) => self.happen(happening),
            _ if self.scenario.plan.stream && connection != self.connection => {}
            Packet::Call(..) if self.gone.contains(&self.now) => {}
            Packet::Call(_, bytes) if self.scenario.plan.stream => {
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
                let answer = self.answer_stream();
                for segment in answer.chunks(self.scenario.segment) {
                    // A stream's answers take their way as the first call's does.
                    let down = (self.scenario.link)(1).down[0].unwrap();
                    let arrives = self.now + nanos(RESIDENCE) + nanos(down);
                    self.convey(1, arrives, Packet::Answer(segment.to_vec()));
                }
            }
            Packet::Call(number, bytes) => {
                let answer = self.answer_message(number, bytes);
                for down in (self.scenario.link)(number).down.into_iter().flatten() {
                    let arrives = self.now + nanos(RESIDENCE) + nanos(down);
                    self.convey(1, arrives, Packet::Answer(answer.clone()));
                }
            }
            Packet::Answer(bytes) => {
                let awake = self.awake(self.now + if self.scenario.kernel { nanos(FROM_WIRE) } else { 0 });
                let kernel = self.scenario.kernel.then(|| self.moment(self.now));
                self.hear(&bytes, Times { program: self.moment(awake), kernel });
            }
        }
    }

    fn hear(&mut self, bytes: &[u8], times: Times) {
        let mut events = Vec::new();
        self.prober.hear(bytes, times, |event| events.push(event));
        events.into_iter().for_each(|event| self.count(event));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            StandStill(until) => self.still = self.now..at(1000) + until,
            Restart(until) => {
                self.gone = self.now..at(1000) + until;
                if self.scenario.plan.stream {
                    self.cut();
                }
            }
            ServerClock(ahead) => self.server_ahead = ahead * 1_000_000,
            ClientClock(ahead) => self.client_ahead = ahead * 1_000_000,
            Arrives(bytes) => self.hear(&bytes, Times::of(self.moment(self.now))),
            Refused => {
                if let Some(number) = self.prober.fail(None, mono(self.now)) {
                    self.count(ProbeEvent::Unanswered(number));
                }
            }
        }
    }

    fn cut(&mut self) {
        let mut given_up = Vec::new();
        self.prober.cut(mono(self.now), |number| given_up.push(number));
        given_up.into_iter().for_each(|number| self.count(ProbeEvent::Unanswered(number)));
        self.connection += 1;
        self.last = [0; 2];
        self.unread.clear();
    }

    fn count(&mut self, event: ProbeEvent) {
        match event {
            ProbeEvent::Answered(_) => self.tally.answered += 1,
            ProbeEvent::Late(_) => self.tally.late += 1,
            ProbeEvent::Duplicate(_) => self.tally.duplicates += 1,
            ProbeEvent::Unanswered(_) => self.tally.unanswered += 1,
            ProbeEvent::Unexpected => self.tally.stray += 1,
        }
        if let ProbeEvent::Answered(sample) | ProbeEvent::Late(sample) = event {
            self.tally.reordered += u64::from(sample.reordered);
        }
        self.events.push((self.now, event));
    }

    fn label(&self) -> LocalTime {
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

    fn answer_message(&mut self, number: u64, mut message: Vec<u8>) -> Vec<u8> {
        let rx = self.server_clock(self.now);
        let tx = rx + nanos(RESIDENCE);
        self.truth.insert(number, (rx, tx));
        let label = self.label();
        let mut context = StampContext::anonymous(&label);
        (context.rx, context.tx) = (WallTime::from_nanos(rx), WallTime::from_nanos(tx));
        let mut head = Vec::new();
        match self.scenario.peer {
            Peer::Ours(_) => self.responder().answer_datagram(&mut message, &mut context, &mut head),
            Peer::Textbook => head = stamped(&label, b""),
            Peer::Plain => {}
            Peer::Quoting => message = quoted(&message),
            Peer::Web => message = b"HTTP/1.1 400\r\n".to_vec(),
        }
        [head, message].concat()
    }

    fn answer_stream(&mut self) -> Vec<u8> {
        let input = std::mem::take(&mut self.unread);
        let label = self.label();
        let mut context = StampContext::anonymous(&label);
        context.rx = WallTime::from_nanos(self.server_clock(self.now));
        context.tx = context.rx + RESIDENCE;
        let mut out = Vec::new();
        match self.scenario.peer {
            Peer::Ours(_) => {
                let mut taken = 0;
                while taken < input.len() {
                    let rest = &input[taken..];
                    taken += self.responder().answer(rest, Input::More, &mut context, &mut out, |_| {});
                }
            }
            Peer::Textbook => out = input.chunks(1024).flat_map(|piece| stamped(&label, piece)).collect(),
            Peer::Plain => out = input,
            Peer::Quoting => out = input.chunks(1024).flat_map(quoted).collect(),
            Peer::Web => out = b"HTTP/1.1 400\r\n".to_vec(),
        }
        out
    }

    /// Every call ends once, whatever the link does.
    fn holds(&self) {
        let name = self.scenario.name;
        let mut ends: BTreeMap<u64, Vec<&ProbeEvent>> = BTreeMap::new();
        for (_, event) in &self.events {
            match event {
                ProbeEvent::Answered(sample) | ProbeEvent::Late(sample) => {
                    ends.entry(sample.number).or_default().push(event);
                    self.is_true(sample);
                }
                ProbeEvent::Unanswered(number) => ends.entry(*number).or_default().push(event),
                ProbeEvent::Duplicate(_) | ProbeEvent::Unexpected => {}
            }
        }
        for (number, events) in &ends {
            let once = matches!(
                events[..],
                [ProbeEvent::Answered(_)]
                    | [ProbeEvent::Unanswered(_)]
                    | [ProbeEvent::Unanswered(_), ProbeEvent::Late(_)]
            );
            assert!(once, "{name}: {number} {events:?}");
        }
        let tally = self.tally;
        assert_eq!(tally.sent, tally.unsent + ends.len() as u64, "{name}");
        assert_eq!(tally.sent, tally.unsent + tally.answered + tally.unanswered, "{name}: {tally:?}");
        assert_eq!(tally.sent, self.prober.calls(), "{name}");
        assert!(self.due.is_sorted(), "{name}: {:?}", self.due);
    }

    /// A sample tells what really was.
    fn is_true(&self, sample: &Sample) {
        let name = self.scenario.name;
        let late = self.scenario.plan.wait < sample.rtt();
        assert!(
            !late || !self.events.iter().any(|(_, event)| *event == ProbeEvent::Answered(*sample)),
            "{name}"
        );
        if self.scenario.plan.stream {
            return;
        }
        let (rx, tx) = self.truth[&sample.number];
        if let Some(Timestamp::Ns { rx: told_rx, tx: told_tx }) = sample.stamp {
            assert_eq!((told_rx.as_nanos(), told_tx.as_nanos()), (rx, tx), "{name}");
            assert_eq!(sample.residence(), Some(RESIDENCE), "{name}");
        }
        let fate = (self.scenario.link)(sample.number);
        let to_wire = if self.scenario.kernel { self.scenario.to_wire } else { Duration::ZERO };
        let takes = |down: Duration| to_wire + fate.up.unwrap() + RESIDENCE + down;
        let known = fate.down.into_iter().flatten().any(|down| takes(down) == sample.rtt());
        let stood_still =
            self.scenario.script.iter().any(|(_, happening)| matches!(happening, StandStill(_)));
        assert!(known || stood_still, "{name}: {sample:?}");
    }
}

fn stamped(label: &LocalTime, message: &[u8]) -> Vec<u8> {
    [b"[", &label.ctime[..], b"] ", message].concat()
}

/// What a server in Python writes that formats bytes as text: quoted, and with newlines that are spelt out.
fn quoted(message: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(message).unwrap().replace('\n', "\\n");
    format!("[b'Fri Nov 27 12:19:36 2026'] b'{text}'").into_bytes()
}

/// Ten calls to our own server, ten each second, none of them waited for longer than a second.
const PLAIN: Scenario<'static> = Scenario {
    name: "nothing happens",
    plan: Plan { stream: false, payload: PAYLOAD, interval: ms(100), count: Some(10), wait: ms(1000) },
    peer: Peer::Ours("ctime"),
    link: &|_| FAIR,
    kernel: false,
    to_wire: TO_WIRE,
    reads_every: ms(0),
    segment: 1500,
    script: &[],
    expect: WELL,
    rtt: None,
};

const PAYLOAD: Payload = Payload::new(64);

const WELL: Tally = Tally {
    sent: 10,
    answered: 10,
    unanswered: 0,
    late: 0,
    duplicates: 0,
    reordered: 0,
    stray: 0,
    skipped: 0,
    unsent: 0,
};

const STREAM: Plan = Plan { stream: true, ..PLAIN.plan };

/// Seven answered, three not.
const THREE_LOST: Tally = Tally { answered: 7, unanswered: 3, ..WELL };

#[track_caller]
fn check(scenarios: &[Scenario<'_>]) {
    for scenario in scenarios {
        let mut world = World::new(*scenario);
        let tally = world.run();
        world.holds();
        assert_eq!(tally, scenario.expect, "{}", scenario.name);
        for (_, event) in &world.events {
            if let (ProbeEvent::Answered(sample), Some(rtt)) = (event, scenario.rtt) {
                assert_eq!(sample.rtt(), rtt, "{}", scenario.name);
            }
        }
    }
}

#[test]
fn whoever_answers_every_call_is_timed() {
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
fn a_bracket_does_not_begin_a_reply() {
    let brackets = [(at(250), Arrives(b"[[[[".to_vec()))];
    // What stands before the next reply does not hide it.
    check(&[Scenario { name: "brackets", plan: STREAM, script: &brackets, ..PLAIN }]);
    let alone = Tally { answered: 0, unanswered: 10, stray: 1, ..WELL };
    let nobody = Scenario { name: "brackets alone", plan: STREAM, link: &|_| LOST_UP, ..PLAIN };
    check(&[Scenario { script: &[(at(950), Arrives(b"[[[[".to_vec()))], expect: alone, ..nobody }]);
}

#[test]
fn a_request_that_waits_in_this_host_is_late_all_the_same() {
    let queued = Scenario { name: "queued", kernel: true, to_wire: ms(1500), ..PLAIN };
    check(&[
        Scenario { expect: Tally { answered: 0, unanswered: 10, late: 10, ..WELL }, ..queued },
        Scenario { plan: Plan { wait: ms(2000), ..PLAIN.plan }, rtt: Some(ms(1500) + FAIR_RTT), ..queued },
    ]);
}

#[test]
fn messages_are_lost_and_late_and_come_twice_and_in_another_order() {
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
            name: "one comes twice",
            link: &|n| if n == 4 { twice(ms(5)) } else { FAIR },
            expect: Tally { duplicates: 1, ..WELL },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one comes twice, and long after it would have been given up",
            link: &|n| if n == 4 { twice(ms(5000)) } else { FAIR },
            expect: Tally { duplicates: 1, ..WELL },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is overtaken by two",
            link: &|n| if n == 3 { slow_up(ms(250)) } else { FAIR },
            expect: Tally { reordered: 1, ..WELL },
            ..PLAIN
        },
        Scenario {
            name: "one overtakes nine",
            link: &|n| if n == 10 { FAIR } else { slow_up(ms(950)) },
            expect: Tally { reordered: 9, ..WELL },
            ..PLAIN
        },
        Scenario {
            name: "one is late",
            link: &|n| if n == 2 { slow_up(ms(1500)) } else { FAIR },
            expect: Tally { answered: 9, unanswered: 1, late: 1, reordered: 1, ..WELL },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is late, and late again",
            link: &|n| if n == 2 { Fate { down: [Some(ms(1500)), Some(ms(1600))], ..FAIR } } else { FAIR },
            expect: Tally { answered: 9, unanswered: 1, late: 1, duplicates: 1, reordered: 1, ..WELL },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "one is just in time",
            plan: Plan { wait: FAIR_RTT, ..PLAIN.plan },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "all are late",
            plan: Plan { wait: ms(1), ..PLAIN.plan },
            expect: Tally { answered: 0, unanswered: 10, late: 10, ..WELL },
            ..PLAIN
        },
        Scenario {
            name: "nobody is there",
            link: &|_| LOST_UP,
            expect: Tally { answered: 0, unanswered: 10, ..WELL },
            ..PLAIN
        },
        Scenario {
            name: "nobody is there, which the kernel says once",
            link: &|n| if n == 1 { LOST_UP } else { FAIR },
            script: &[(at(50), Refused), (at(60), Refused)],
            expect: Tally { answered: 9, unanswered: 1, ..WELL },
            ..PLAIN
        },
    ]);
}

#[test]
fn answers_to_what_was_not_asked_are_stray() {
    let message = |payload: Payload, number| {
        let mut message = Vec::new();
        payload.write(number, &mut message);
        message
    };
    let answer = |number| (at(250), Arrives(message(PAYLOAD, number)));
    let [never, next, null] = [99, 4, 0].map(answer);
    let short = (at(250), Arrives(message(Payload::new(30), 2)));
    let nonsense = (at(250), Arrives(b"who is there?".to_vec()));
    for stray in [never, next, null, short, nonsense] {
        let expect = Tally { stray: 1, ..WELL };
        check(&[Scenario { name: "one is stray", script: &[stray], expect, ..PLAIN }]);
    }
    check(&[Scenario {
        name: "what is no echo is stray",
        peer: Peer::Web,
        expect: Tally { answered: 0, unanswered: 10, stray: 10, ..WELL },
        ..PLAIN
    }]);
}

#[test]
fn no_clock_on_a_wall_matters() {
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
fn a_server_restarts() {
    let script = &[(at(350), Restart(at(650)))];
    check(&[
        Scenario { name: "messages vanish", script, expect: THREE_LOST, ..PLAIN },
        Scenario {
            name: "the connection is cut",
            plan: STREAM,
            script,
            expect: Tally { unsent: 3, answered: 7, ..WELL },
            rtt: Some(FAIR_RTT),
            ..PLAIN
        },
        Scenario {
            name: "the connection is cut while calls are under way",
            plan: STREAM,
            link: &|n| slow_up(ms(if n < 5 { 250 } else { 10 })),
            script,
            // Calls 2, 3 and 4 were under way, 5, 6 and 7 could not be sent.
            expect: Tally { unsent: 3, answered: 4, unanswered: 3, ..WELL },
            ..PLAIN
        },
    ]);
}

#[test]
fn a_machine_that_stands_still_leaves_calls_out() {
    let still = |until| [(at(150), StandStill(at(until)))];
    let skipping = Scenario {
        name: "for five seconds",
        script: &still(5150),
        // Those due from 200 ms to 5,000 ms are left out; the next was due 50 ms before it leaves.
        expect: Tally { skipped: 49, ..WELL },
        rtt: Some(FAIR_RTT),
        ..PLAIN
    };
    check(&[
        skipping,
        Scenario {
            name: "for half a second: the five that are due leave at once",
            script: &still(620),
            ..PLAIN
        },
        Scenario {
            name: "one second is not too long for one call a second",
            plan: Plan { interval: ms(1000), ..PLAIN.plan },
            script: &still(1900),
            ..PLAIN
        },
        Scenario {
            name: "while an answer arrives in time, as the kernel says",
            link: &|n| if n == 2 { slow_up(ms(100)) } else { FAIR },
            script: &still(5150),
            kernel: true,
            expect: Tally { skipped: 49, ..WELL },
            ..PLAIN
        },
        Scenario {
            name: "while an answer arrives, nobody knows when",
            link: &|n| if n == 2 { slow_up(ms(100)) } else { FAIR },
            script: &still(5150),
            expect: Tally { skipped: 49, answered: 9, unanswered: 1, late: 1, ..WELL },
            ..PLAIN
        },
    ]);
    let mut world = World::new(skipping);
    world.run();
    assert!(world.due.windows(2).all(|pair| at(100) <= pair[1] - pair[0]), "{:?}", world.due);
    for (_, event) in &world.events {
        let ProbeEvent::Answered(sample) = event else { panic!("{event:?}") };
        assert!(sample.lag() < ms(100), "{:?}", sample.lag());
    }
}

#[test]
fn without_an_interval_the_next_leaves_when_the_last_is_done_with() {
    let plan = Plan { interval: ms(0), ..PLAIN.plan };
    let lossy = Scenario {
        name: "one is lost",
        plan,
        link: &|n| if n == 4 { LOST_UP } else { FAIR },
        expect: Tally { answered: 9, unanswered: 1, ..WELL },
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
    let plan = Plan { payload, interval: ms(1), count: Some(350), ..PLAIN.plan };
    let sent = Tally { sent: 350, answered: 350, ..WELL };
    check(&[
        Scenario { name: "two digits", plan, expect: sent, rtt: Some(FAIR_RTT), ..PLAIN },
        Scenario {
            name: "two digits, with ninety under way",
            plan,
            link: &|_| slow_up(ms(90)),
            expect: sent,
            ..PLAIN
        },
        Scenario {
            name: "two digits, lost, twice and overtaken",
            plan,
            link: &|n| match n % 100 {
                7 => LOST_UP,
                23 => twice(ms(10)),
                55 => slow_up(ms(20)),
                _ => FAIR,
            },
            expect: Tally { answered: 346, unanswered: 4, duplicates: 4, reordered: 3, ..sent },
            ..PLAIN
        },
    ]);
}

#[test]
fn streams_have_no_bounds() {
    let late = Tally { answered: 4, unanswered: 6, late: 6, ..WELL };
    let fast = Plan { interval: ms(1), count: Some(200), ..STREAM };
    let many = Tally { sent: 200, answered: 200, ..WELL };
    for (name, peer) in
        [("ours", Peer::Ours("ctime")), ("the textbook's", Peer::Textbook), ("plain", Peer::Plain)]
    {
        check(&[
            Scenario { name, plan: STREAM, peer, segment: 1, rtt: Some(FAIR_RTT), ..PLAIN },
            Scenario { name, plan: fast, peer, segment: 7, reads_every: ms(25), expect: many, ..PLAIN },
            Scenario { name, plan: fast, peer, segment: 2000, reads_every: ms(50), expect: many, ..PLAIN },
            Scenario {
                name: "what is behind a late one is late",
                plan: STREAM,
                peer,
                link: &|n| if n == 3 { slow_up(ms(1500)) } else { FAIR },
                // Calls 3 to 10 are answered at once when 1,701 ms have gone: 9 and 10 are the first in time.
                expect: late,
                ..PLAIN
            },
        ]);
    }
    check(&[Scenario {
        name: "a server that does not echo is reported when the first request is given up",
        plan: STREAM,
        peer: Peer::Web,
        expect: Tally { answered: 0, unanswered: 10, stray: 1, ..WELL },
        ..PLAIN
    }]);
}

/// A link that does everything, at random, and the same each time.
fn wild(seed: u64) -> impl Fn(u64) -> Fate {
    move |number| {
        let mut random = Random::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let up = delay(&mut random);
        let down = [
            delay(&mut random),
            Some(delay(&mut random)).filter(|_| random.next_u64().is_multiple_of(8)).flatten(),
        ];
        Fate { up, down }
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

fn happenings() -> impl Strategy<Value = Vec<(u64, Happening)>> {
    let happening = prop_oneof![
        (0..8000_u64).prop_map(|until| StandStill(at(until))),
        (0..8000_u64).prop_map(|until| Restart(at(until))),
        (-5_000_000..5_000_000_i64).prop_map(ServerClock),
        (-5_000_000..5_000_000_i64).prop_map(ClientClock),
        vec(any::<u8>(), 0..100).prop_map(Arrives),
        Just(Refused),
    ];
    vec(((0..8000_u64).prop_map(at), happening), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_call_ends_once_whatever_the_link_does(
        seed: u64, stream: bool, kernel: bool, peer in 0..6_usize, len in prop_oneof![8..70_usize, 1000..1400_usize],
        interval in prop_oneof![Just(0_u64), 1..50_u64, 100..2500_u64], wait in 1..3000_u64, count in 1..60_u64,
        reads_every in 0..100_u64, segment in 1..2000_usize, script in happenings(),
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
            plan: Plan { stream, payload, interval: ms(interval), count: Some(count), wait: ms(wait) },
            peer: peers[peer],
            link: if stream { &tame } else { &wild },
            kernel,
            to_wire: TO_WIRE,
            reads_every: ms(reads_every),
            segment,
            script: &script,
            expect: WELL,
            rtt: None,
        });
        prop_assert_eq!(world.run().sent, count);
        world.holds();
    }

    #[test]
    fn nothing_that_a_driver_does_panics(
        stream: bool, len in 0..80_usize, blank: bool, interval: u64, wait: u64,
        deeds in vec((0..10_u8, any::<u64>(), any::<u8>(), vec(any::<u8>(), 0..60)), 0..60),
    ) {
        let payload = if blank { Payload::with_placeholder(len) } else { Payload::new(len) };
        let (interval, wait) = (Duration::from_nanos(interval), Duration::from_nanos(wait));
        let mut prober = Prober::new(Plan { stream, payload, interval, count: None, wait }, mono(0));
        let mut sent = VecDeque::new();
        for (deed, number, small, bytes) in deeds {
            let moment = Moment { wall: WallTime::from_nanos(number), mono: mono(number) };
            let number = u64::from(small);
            match deed {
                0..=2 => {
                    let mut call = Vec::new();
                    prober.call(moment, &mut call);
                    sent.push_back(call);
                }
                3 => _ = prober.miss(moment),
                4 => prober.left(number, moment),
                5 => prober.hear(&bytes, Times::of(moment), |_| {}),
                6 => prober.hear(&sent.pop_front().unwrap_or_default(), Times::of(moment), |_| {}),
                7 => prober.expire(moment.mono, |_| {}),
                8 => prober.aim(Duration::from_nanos(moment.mono.as_nanos())),
                _ if small % 2 == 0 => prober.cut(moment.mono, |_| {}),
                _ => _ = prober.fail(Some(number), moment.mono),
            }
            let _ = (prober.wakes(), prober.number_in(&bytes), prober.open(), prober.is_over());
        }
    }
}

/// A stream's link loses nothing.
fn tame(seed: u64) -> impl Fn(u64) -> Fate {
    let wild = wild(seed);
    move |number| {
        let Fate { up, down } = wild(number);
        Fate { up: up.or(FAIR.up), down: [down[0].or(FAIR.down[0]), None] }
    }
}

/// A prober that calls once a millisecond, all of whose calls were given up.
fn given_up(calls: u64) -> (Prober, Vec<u8>) {
    let mut prober = Prober::new(Plan { interval: ms(1), count: None, ..PLAIN.plan }, mono(0));
    let mut out = Vec::new();
    for number in 0..calls {
        let now = Moment { wall: LocalTime::EXAMPLE.wall, mono: mono(at(number)) };
        prober.call(now, &mut out);
        prober.expire(now.mono, |_| {});
    }
    prober.expire(mono(u64::MAX), |_| {});
    assert_eq!(prober.open(), 0);
    (prober, out)
}

#[test]
fn messages_long_ago_are_forgotten() {
    let (mut prober, out) = given_up(70_000);
    let mut hear = |number: usize| {
        let message = out[(number - 1) * 64..number * 64].to_vec();
        let mut told = None;
        let now = Moment { wall: LocalTime::EXAMPLE.wall, mono: mono(u64::MAX) };
        prober.hear(&message, Times::of(now), |event| told = Some(event));
        told.unwrap()
    };
    assert_eq!(hear(1), ProbeEvent::Unexpected);
    assert_eq!(hear(70_000 - 65_536), ProbeEvent::Unexpected);
    assert!(matches!(hear(70_000 - 65_535), ProbeEvent::Late(Sample { number: 4465, .. })));
    assert!(matches!(hear(70_000), ProbeEvent::Late(Sample { number: 70_000, reordered: false, .. })));
}

#[test]
fn what_is_quoted_names_its_call() {
    let (prober, out) = given_up(70_000);
    let quote = |number: usize, len: usize| {
        let quoted = &out[(number - 1) * 64..(number - 1) * 64 + len];
        prober.number_in(&[&[0x45; 28], quoted].concat())
    };
    assert_eq!(quote(70_000, 64), Some(70_000));
    assert_eq!(quote(70_000, TIMESTAMP_PLACEHOLDER.len() + 19), Some(70_000));
    assert_eq!(quote(70_000, TIMESTAMP_PLACEHOLDER.len() + 18), None);
    assert_eq!(quote(1, 64), None);
    let mut next = Vec::new();
    PAYLOAD.write(70_001, &mut next);
    assert_eq!(prober.number_in(&next), None);
}

#[test]
fn a_call_that_failed_may_be_answered_all_the_same() {
    let mut prober = Prober::new(PLAIN.plan, mono(0));
    let now = Moment { wall: LocalTime::EXAMPLE.wall, mono: mono(0) };
    let mut calls = [Vec::new(), Vec::new(), Vec::new()];
    calls.iter_mut().for_each(|call| _ = prober.call(now, call));
    assert_eq!(prober.fail(Some(2), now.mono), Some(2));
    assert_eq!(prober.fail(Some(2), now.mono), None);
    assert_eq!(prober.open(), 3);
    let mut events = Vec::new();
    for call in &calls {
        prober.hear(call, Times::of(now), |event| events.push(event));
    }
    let [ProbeEvent::Answered(_), ProbeEvent::Late(late), ProbeEvent::Answered(_)] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((late.number, late.reordered, prober.open()), (2, false, 0));
    assert_eq!(prober.fail(None, now.mono), None);
}

#[test]
fn a_residence_that_cannot_be_is_none() {
    let now = Moment { wall: LocalTime::EXAMPLE.wall, mono: mono(at(5)) };
    let sent = Times::of(Moment { mono: mono(at(1)), ..now });
    let told = |rx, tx| {
        let [rx, tx] = [rx, tx].map(WallTime::from_nanos);
        let stamp = Some(Timestamp::Ns { rx, tx });
        Sample { number: 1, due: mono(0), sent, received: Times::of(now), stamp, reordered: false }
            .residence()
    };
    assert_eq!(told(at(7), at(11)), Some(ms(4)));
    assert_eq!(told(at(7), at(11) + 1), None);
    assert_eq!(told(at(7), at(6)), None);
    let kernel = Some(Moment { mono: mono(at(3)), ..now });
    assert_eq!(Times { program: now, kernel }.difference(), Some(ms(2)));
}

#[test]
fn a_stream_that_owes_too_much_has_no_room_for_more() {
    for (size, most) in [(64, 65_536), (1 << 20, 64)] {
        let payload = Payload::new(size);
        let mut prober = Prober::new(Plan { stream: true, payload, count: None, ..PLAIN.plan }, mono(0));
        let now = Moment { wall: LocalTime::EXAMPLE.wall, mono: mono(0) };
        let mut out = Vec::new();
        let mut calls = 0;
        while prober.has_room() {
            prober.call(now, &mut out);
            calls += 1;
        }
        assert_eq!(calls, most);
        prober.hear(&out[..size], Times::of(now), |_| {});
        assert!(prober.has_room());
    }
}

#[test]
fn a_stream_knows_what_it_owes_however_many_calls_could_not_be_sent() {
    let mut prober = Prober::new(Plan { stream: true, count: None, ..PLAIN.plan }, mono(0));
    let now = Moment { wall: LocalTime::EXAMPLE.wall, mono: mono(0) };
    let mut out = Vec::new();
    prober.call(now, &mut out);
    prober.fail(Some(1), now.mono);
    (0..70_000).for_each(|_| _ = prober.miss(now));
    prober.call(now, &mut out);
    let mut events = Vec::new();
    prober.hear(&out, Times::of(now), |event| events.push(event));
    assert!(
        matches!(events[..], [ProbeEvent::Unexpected, ProbeEvent::Answered(Sample { number: 70_002, .. })]),
        "{events:?}"
    );
}

/// When calls leave that are aimed as `aim` says, each before it is made.
fn aimed(interval: Duration, calls: u64, aim: impl Fn(u64) -> Option<Duration>) -> Vec<u64> {
    let plan = Plan { interval, count: None, ..PLAIN.plan };
    let mut prober = Prober::new(plan, mono(at(1_234)));
    let mut left = Vec::new();
    for number in 1..=calls {
        if let Some(phase) = aim(number) {
            prober.aim(phase);
        }
        let due = prober.due().unwrap();
        left.push(due.as_nanos());
        prober.miss(Moment { wall: LocalTime::EXAMPLE.wall, mono: due });
    }
    left
}

#[test]
fn aimed_calls_stay_an_interval_apart() {
    // One in so many leaves at the phase.
    for (interval, one_in) in [(1000, 1), (3000, 1), (500, 2), (200, 5), (300, 10), (1500, 2), (333, 1000)] {
        let phase = ms(777);
        let left = aimed(ms(interval), 3000, |number| (3 < number).then_some(phase));
        let gaps: Vec<_> = left.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(
            gaps.iter().filter(|gap| **gap != at(interval)).count(),
            usize::from(interval != 333),
            "{interval}"
        );
        assert!(gaps.iter().all(|gap| (at(interval) / 2..at(interval) * 3 / 2).contains(gap)), "{interval}");
        let hits = left.iter().filter(|time| *time % at(1000) == nanos(phase)).count();
        assert_eq!(hits.max(2997 / one_in), hits, "{interval}");
    }
}

proptest! {
    #[test]
    fn whatever_is_aimed_at_no_call_is_due_before_another(interval in 1..5_000_000_000_u64, seed: u64) {
        let phase = |number| Some(Duration::from_nanos(Random::new(seed ^ number).next_u64() % 2_000_000_000));
        let interval = Duration::from_nanos(interval);
        let left = aimed(interval, 100, phase);
        for pair in left.windows(2) {
            prop_assert!(nanos(interval) <= 2 * (pair[1] - pair[0]) + 1, "{:?}", pair);
            prop_assert!(pair[1] - pair[0] <= 2 * nanos(interval));
        }
    }
}
