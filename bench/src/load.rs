//! A closed loop: so many messages under way on each connection, the next when one has come back.
//!
//! The bytes of messages follow a pattern that goes on from message to message, and no stamp has them. So what comes back is counted
//! on every connection, and on the first one each byte is checked.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use echosounder_socket::{
    Batch, Endpoint, Events, Interest, IoBuffer, IpVersion, Outgoing, Poll, Side, Socket, option,
};
use hdrhistogram::Histogram;

use crate::check::{Answers, Checker};
use crate::scenario::{Scenario, Transport};
use crate::server::Interrupt;

/// The pattern's length. It is prime, so that a message's first byte tells which of the last messages it is.
pub const PERIOD: usize = 127;

/// Most bytes that are sent at once.
const SEND_MAX: usize = 256 * 1024;

/// How long one message may take while the connections are made.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// After this a datagram that has not come back is lost. A server that waits for its core is silent for tens of milliseconds.
const LOST: Duration = Duration::from_millis(200);

/// How often is looked for lost ones.
const SWEEP: Duration = Duration::from_millis(20);

/// The token of the signals; the connections have their numbers.
const SIGNALS: u64 = u64::MAX;

#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    /// Connections beside them that exchange one message and then are silent.
    pub idle: usize,
    /// Whether datagrams that are sent together leave as one, to be cut by the kernel.
    pub segments: bool,
}

/// What has come back within a span.
pub struct Outcome {
    pub messages: u64,
    pub elapsed: Duration,
    /// Round trips in nanoseconds.
    pub latency: Histogram<u64>,
    /// Datagrams that did not come back in time.
    pub lost: u64,
    /// Datagrams that came back after that.
    pub late: u64,
}

pub struct Flood {
    load: Load,
    is_stream: bool,
    answers: Answers,
    /// Payload bytes of a message: all but what the server wants before it.
    payload: usize,
    pattern: Vec<u8>,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    checker: Checker,
    buffer: IoBuffer,
    batch: Batch,
    /// Whether the next messages are to follow what has come back.
    flowing: bool,
    outcome: Outcome,
    measured_from: Instant,
}

struct Connection {
    socket: Socket,
    /// Messages that are to be sent so far.
    wanted: usize,
    /// Payload bytes that the kernel has taken of them.
    written: usize,
    /// Payload bytes that have come back.
    returned: usize,
    /// Messages that have come back, or are lost.
    done: usize,
    /// When the messages that are under way left.
    under_way: VecDeque<Sent>,
    is_blocked: bool,
}

/// Messages that left together.
struct Sent {
    at: Instant,
    /// The number of the message after them.
    end: usize,
}

impl Flood {
    /// Connects; one message goes there and back on each connection.
    pub fn connect(
        scenario: &Scenario,
        endpoint: &Endpoint,
        answers: Answers,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let load = scenario.load;
        let mut flood = Self {
            load,
            is_stream: scenario.transport.is_stream(),
            answers,
            payload: load.size - answers.header().len(),
            pattern: pattern(),
            poll: Poll::new()?,
            events: Events::with_capacity(256),
            connections: Vec::new(),
            checker: Checker::new(answers),
            buffer: IoBuffer::zeroed(SEND_MAX),
            batch: Batch::new(load.depth.max(1), 2048),
            flowing: false,
            outcome: Outcome::new()?,
            measured_from: now(),
        };
        flood.poll.add(interrupt, SIGNALS, Interest::Read)?;
        for index in 0..load.connections + load.idle {
            let socket = connected(scenario, endpoint, &folder.join(format!("client-{index}")))?;
            flood.poll.add(&socket, index as u64, Interest::Read)?;
            flood.connections.push(Connection::new(socket));
            flood.send(index, 1)?;
            let start = now();
            while flood.connections[index].done == 0 {
                ensure!(start.elapsed() < FIRST_ANSWER, "no answer on connection {index}");
                flood.turn()?;
            }
        }
        Ok(flood)
    }

    /// Puts the first messages under way.
    pub fn start(&mut self) -> Result<()> {
        self.flowing = true;
        (0..self.load.connections).try_for_each(|index| self.send(index, self.load.depth))
    }

    /// Keeps going for a while.
    pub fn run(&mut self, span: Duration) -> Result<Outcome> {
        let start = now();
        self.measured_from = start;
        self.outcome = Outcome::new()?;
        let mut swept = start;
        // Nothing may come back for long if others have the cores; that is for the caller to check.
        while start.elapsed() < span || (self.outcome.messages == 0 && start.elapsed() < 10 * span) {
            self.turn()?;
            if !self.is_stream && SWEEP < swept.elapsed() {
                swept = now();
                self.give_up_lost()?;
            }
        }
        let outcome = std::mem::replace(&mut self.outcome, Outcome::new()?);
        Ok(Outcome { elapsed: start.elapsed(), ..outcome })
    }

    /// Waits for something to come back, and deals with it.
    fn turn(&mut self) -> Result<()> {
        self.poll.wait(&mut self.events, Some(SWEEP))?;
        let mut told = 0;
        while let Some(event) = self.events.get(told) {
            told += 1;
            if event.token == SIGNALS {
                bail!("interrupted");
            }
            let index = usize::try_from(event.token)?;
            if event.ready.writable && self.connections[index].is_blocked {
                self.flush(index)?;
            }
            if event.ready.readable {
                if self.is_stream { self.receive_stream(index)? } else { self.receive_datagrams(index)? }
            }
        }
        Ok(())
    }

    fn receive_stream(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let len = match connection.socket.recv(&mut self.buffer) {
            Ok(0) => bail!("the server has ended a connection"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        let bytes = &self.buffer[..len];
        if index == 0 {
            self.checker.stream(bytes, &self.pattern)?;
        }
        connection.returned += bytes.iter().filter(|byte| !byte.is_ascii()).count();
        let (done, whole) = (connection.done, connection.returned / self.payload);
        ensure!(whole <= connection.wanted, "more came back than was sent");
        self.complete(index, done..whole);
        self.top_up(index)
    }

    fn receive_datagrams(&mut self, index: usize) -> Result<()> {
        let received = match self.connections[index].socket.recv_many(&mut self.batch) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        for number in 0..received {
            let bytes = self.batch.bytes(number);
            let start = bytes.len().checked_sub(self.payload).context("an answer is too short")?;
            ensure!(start == self.answers.head_len(), "an answer has {} bytes", bytes.len());
            let connection = &self.connections[index];
            // A message that is not under way was given up before it came back.
            let Some(message) = (connection.done..connection.wanted)
                .find(|message| self.pattern[message * self.payload % PERIOD] == bytes[start])
            else {
                self.outcome.late += 1;
                continue;
            };
            if index == 0 {
                self.checker.datagram(bytes, &self.pattern[message * self.payload % PERIOD..])?;
            }
            // Datagrams do not overtake each other on one host, so those before it are lost.
            self.outcome.lost += (message - connection.done) as u64;
            self.connections[index].done = message;
            self.complete(index, message..message + 1);
        }
        self.top_up(index)
    }

    /// Counts messages that have come back, and how long they took.
    fn complete(&mut self, index: usize, messages: Range<usize>) {
        if messages.is_empty() {
            return;
        }
        let (connection, at) = (&mut self.connections[index], now());
        self.outcome.messages += messages.len() as u64;
        connection.done = messages.end;
        let mut first = messages.start;
        while let Some(sent) = connection.under_way.front() {
            let count = sent.end.min(messages.end).saturating_sub(first);
            if self.measured_from <= sent.at {
                let nanos = u64::try_from((at - sent.at).as_nanos()).unwrap_or(u64::MAX);
                self.outcome.latency.saturating_record_n(nanos, count as u64);
            }
            first += count;
            if messages.end < sent.end {
                break;
            }
            connection.under_way.pop_front();
        }
    }

    /// Puts as many messages under way as there are to be.
    fn top_up(&mut self, index: usize) -> Result<()> {
        let connection = &self.connections[index];
        let missing = self.load.depth.saturating_sub(connection.wanted - connection.done);
        if self.flowing && missing != 0 { self.send(index, missing) } else { Ok(()) }
    }

    fn send(&mut self, index: usize, messages: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.wanted += messages;
        connection.under_way.push_back(Sent { at: now(), end: connection.wanted });
        if connection.is_blocked { Ok(()) } else { self.flush(index) }
    }

    /// Sends what the kernel takes; the rest when it takes more.
    fn flush(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let target = connection.wanted * self.payload;
        let is_blocked = loop {
            let rest = &self.pattern[connection.written % PERIOD..][..target - connection.written];
            if rest.is_empty() {
                break false;
            }
            let header = self.answers.header();
            let sent = if !header.is_empty() {
                connection.socket.send(&[header, rest].concat()).map(|_| rest.len())
            } else if self.is_stream || self.load.segments {
                connection.socket.send(rest)
            } else {
                send_each(&connection.socket, rest, self.payload)
            };
            match sent {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                result => connection.written += result?,
            }
        };
        if is_blocked != connection.is_blocked {
            connection.is_blocked = is_blocked;
            let interest = if is_blocked { Interest::Both } else { Interest::Read };
            self.poll.modify(&connection.socket, index as u64, interest)?;
        }
        Ok(())
    }

    /// Counts datagrams that are under way for too long as lost, and sends others.
    fn give_up_lost(&mut self) -> Result<()> {
        for index in 0..self.load.connections {
            let connection = &mut self.connections[index];
            if !connection.is_blocked
                && connection.under_way.front().is_some_and(|sent| LOST < sent.at.elapsed())
            {
                self.outcome.lost += (connection.wanted - connection.done) as u64;
                connection.done = connection.wanted;
                connection.under_way.clear();
                self.top_up(index)?;
            }
        }
        Ok(())
    }
}

impl Connection {
    fn new(socket: Socket) -> Self {
        let (wanted, written, returned, done) = (0, 0, 0, 0);
        Self { socket, wanted, written, returned, done, under_way: VecDeque::new(), is_blocked: false }
    }
}

impl Outcome {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(100, 10_000_000_000, 3)?;
        Ok(Self { messages: 0, elapsed: Duration::ZERO, latency, lost: 0, late: 0 })
    }
}

/// Whether a server answers at this endpoint. A connection that is only made and closed is answer enough.
pub fn is_up(scenario: &Scenario, endpoint: &Endpoint, answers: Answers, folder: &Path) -> bool {
    let Ok(socket) = connected(scenario, endpoint, &folder.join("first")) else { return false };
    let message = [answers.header(), &pattern()[..scenario.load.size - answers.header().len()]].concat();
    let answered = || {
        socket.set_timeout(Some(SWEEP))?;
        socket.send(&message)?;
        socket.recv(&mut [0; 2048])
    };
    scenario.transport.is_stream() || answered().is_ok()
}

fn connected(scenario: &Scenario, endpoint: &Endpoint, own: &Path) -> Result<Socket> {
    let address = endpoint.resolve(Side::Client, IpVersion::Any)?.pop().context("no address")?;
    let socket = endpoint.transport().socket(&address)?;
    socket.set_timeout(Some(FIRST_ANSWER))?;
    if scenario.transport == Transport::UnixDatagram {
        // Not every server can answer a client that has no path.
        let _ = std::fs::remove_file(own);
        let own: Endpoint = scenario.transport.endpoint(&own.to_string_lossy()).parse()?;
        socket.bind(&own.resolve(Side::Server, IpVersion::Any)?.pop().context("no address")?)?;
    }
    socket.connect(&address)?;
    if scenario.transport == Transport::Tcp {
        socket.set_option(option::TCP_NODELAY, true)?;
        // Closed with a reset, thousands of connections leave nothing behind.
        socket.set_option(option::SO_LINGER, Some(Duration::ZERO))?;
    }
    if scenario.load.segments {
        socket.set_option(option::UDP_SEGMENT, i32::try_from(scenario.load.size)?)?;
    }
    socket.set_blocking(false)?;
    Ok(socket)
}

/// Sends a datagram for each piece of this size; how many bytes left.
fn send_each(socket: &Socket, bytes: &[u8], size: usize) -> io::Result<usize> {
    if bytes.len() == size {
        return socket.send(bytes);
    }
    let parts: Vec<_> = bytes.chunks(size).map(|bytes| [IoSlice::new(bytes)]).collect();
    let messages: Vec<_> = parts.iter().map(|buffers| Outgoing { buffers, control: &[], to: None }).collect();
    Ok(socket.send_many(&messages)? * size)
}

/// All bytes that are not ASCII but one, again and again.
fn pattern() -> Vec<u8> {
    (0x80..0xff).cycle().take(PERIOD + SEND_MAX).collect()
}

#[expect(clippy::disallowed_methods, reason = "the load is its own clock")]
fn now() -> Instant {
    Instant::now()
}
