//! The load of the benchmark: a closed loop, with a number of messages in flight on each
//! connection.
//!
//! The bytes of messages follow a pattern that continues from message to message and that no
//! timestamp contains. The load counts the replies on every connection, and checks each byte on the
//! first one.

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

use crate::check::{Checker, ReplyFormat};
use crate::scenario::{Scenario, Transport};
use crate::server::Interrupt;

/// The length of the pattern. It is prime, so that the first byte of a reply shows which of the
/// last messages it belongs to.
pub const PERIOD: usize = 127;

/// The maximum number of bytes of one send.
const SEND_MAX: usize = 256 * 1024;

/// How long the first reply on a connection may take.
const FIRST_REPLY_MAX: Duration = Duration::from_secs(3);

/// A datagram counts as lost if no reply has arrived after this time. A server that waits for its
/// core is silent for tens of milliseconds.
const LOST_AFTER: Duration = Duration::from_millis(200);

/// How often datagrams in flight are checked.
const SWEEP_EVERY: Duration = Duration::from_millis(20);

/// The poll token of the signals. The token of a connection is its number.
const SIGNALS: u64 = u64::MAX;

#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    /// Further connections, which exchange one message and then are silent.
    pub idle: usize,
    /// Whether datagrams are sent as one that the kernel cuts (UDP_SEGMENT).
    pub segments: bool,
}

/// The replies within a span.
pub struct Outcome {
    pub messages: u64,
    pub elapsed: Duration,
    /// Round trips in nanoseconds.
    pub latency: Histogram<u64>,
    /// Datagrams without a reply in time.
    pub lost: u64,
    /// Replies to datagrams that had counted as lost.
    pub late: u64,
}

pub struct Flood {
    load: Load,
    is_stream: bool,
    reply_format: ReplyFormat,
    /// Payload bytes of a message: all but the header that the server expects.
    payload: usize,
    pattern: Vec<u8>,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    checker: Checker,
    buffer: IoBuffer,
    batch: Batch,
    /// Whether a reply causes the next message.
    flowing: bool,
    outcome: Outcome,
    measured_from: Instant,
}

struct Connection {
    socket: Socket,
    /// Messages that were sent or are about to be sent.
    wanted: usize,
    /// Payload bytes of them that the kernel has accepted.
    written: usize,
    /// Payload bytes of the replies.
    returned: usize,
    /// Messages that were replied to, or are lost.
    done: usize,
    /// When the messages in flight were sent.
    in_flight: VecDeque<Sent>,
    is_blocked: bool,
}

/// Messages that were sent together.
struct Sent {
    at: Instant,
    /// The number of the message after them.
    end: usize,
}

impl Flood {
    /// Connects, and exchanges one message on each connection.
    pub fn connect(
        scenario: &Scenario,
        endpoint: &Endpoint,
        reply_format: ReplyFormat,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let load = scenario.load;
        let mut flood = Self {
            load,
            is_stream: scenario.transport.is_stream(),
            reply_format,
            payload: load.size - reply_format.header().len(),
            pattern: pattern(),
            poll: Poll::new()?,
            events: Events::with_capacity(256),
            connections: Vec::new(),
            checker: Checker::new(reply_format),
            buffer: IoBuffer::zeroed(SEND_MAX),
            batch: Batch::new(load.depth.max(1), 2048),
            flowing: false,
            outcome: Outcome::new()?,
            measured_from: now(),
        };
        flood.poll.add(interrupt, SIGNALS, Interest::READ)?;
        for index in 0..load.connections + load.idle {
            let socket = connected(scenario, endpoint, &folder.join(format!("client-{index}")))?;
            flood.poll.add(&socket, index as u64, Interest::READ)?;
            flood.connections.push(Connection::new(socket));
            flood.send(index, 1)?;
            let start = now();
            while flood.connections[index].done == 0 {
                ensure!(start.elapsed() < FIRST_REPLY_MAX, "no reply on connection {index}");
                flood.turn()?;
            }
        }
        Ok(flood)
    }

    /// Sends the first messages.
    pub fn start(&mut self) -> Result<()> {
        self.flowing = true;
        (0..self.load.connections).try_for_each(|index| self.send(index, self.load.depth))
    }

    /// Runs the load for a time.
    pub fn run(&mut self, span: Duration) -> Result<Outcome> {
        let start = now();
        self.measured_from = start;
        self.outcome = Outcome::new()?;
        let mut swept = start;
        // Other processes may occupy the cores. The caller checks whether there were any replies.
        while start.elapsed() < span || (self.outcome.messages == 0 && start.elapsed() < 10 * span) {
            self.turn()?;
            if !self.is_stream && SWEEP_EVERY < swept.elapsed() {
                swept = now();
                self.give_up_lost()?;
            }
        }
        let outcome = std::mem::replace(&mut self.outcome, Outcome::new()?);
        Ok(Outcome { elapsed: start.elapsed(), ..outcome })
    }

    /// Waits for events and handles them.
    fn turn(&mut self) -> Result<()> {
        self.poll.wait(&mut self.events, Some(SWEEP_EVERY))?;
        let mut handled = 0;
        while let Some(event) = self.events.get(handled) {
            handled += 1;
            if event.token == SIGNALS {
                bail!("interrupted");
            }
            let index = usize::try_from(event.token)?;
            if event.ready.can_write() && self.connections[index].is_blocked {
                self.flush(index)?;
            }
            if event.ready.can_read() {
                if self.is_stream { self.receive_stream(index)? } else { self.receive_datagrams(index)? }
            }
        }
        Ok(())
    }

    fn receive_stream(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let len = match connection.socket.recv(&mut self.buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        let bytes = &self.buffer[..len];
        if index == 0 {
            self.checker.stream(bytes, &self.pattern)?;
        }
        connection.returned += bytes.iter().filter(|byte| !byte.is_ascii()).count();
        let (done, whole) = (connection.done, connection.returned / self.payload);
        ensure!(whole <= connection.wanted, "more bytes were received than sent");
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
            let start = bytes.len().checked_sub(self.payload).context("a reply is too short")?;
            ensure!(start == self.reply_format.head_len(), "a reply has {} bytes", bytes.len());
            let connection = &self.connections[index];
            // A message that is not in flight counted as lost before its reply arrived.
            let Some(message) = (connection.done..connection.wanted)
                .find(|message| self.pattern[message * self.payload % PERIOD] == bytes[start])
            else {
                self.outcome.late += 1;
                continue;
            };
            if index == 0 {
                self.checker.datagram(bytes, &self.pattern[message * self.payload % PERIOD..])?;
            }
            // Datagrams are not reordered on one host, so the messages before this one are lost.
            self.outcome.lost += (message - connection.done) as u64;
            self.connections[index].done = message;
            self.complete(index, message..message + 1);
        }
        self.top_up(index)
    }

    /// Counts messages that were replied to, and records their round-trip times.
    fn complete(&mut self, index: usize, messages: Range<usize>) {
        if messages.is_empty() {
            return;
        }
        let (connection, at) = (&mut self.connections[index], now());
        self.outcome.messages += messages.len() as u64;
        connection.done = messages.end;
        let mut first = messages.start;
        while let Some(sent) = connection.in_flight.front() {
            let count = sent.end.min(messages.end).saturating_sub(first);
            if self.measured_from <= sent.at {
                let nanos = u64::try_from((at - sent.at).as_nanos()).unwrap_or(u64::MAX);
                self.outcome.latency.saturating_record_n(nanos, count as u64);
            }
            first += count;
            if messages.end < sent.end {
                break;
            }
            connection.in_flight.pop_front();
        }
    }

    /// Sends messages until the depth is reached.
    fn top_up(&mut self, index: usize) -> Result<()> {
        let connection = &self.connections[index];
        let missing = self.load.depth.saturating_sub(connection.wanted - connection.done);
        if self.flowing && missing != 0 { self.send(index, missing) } else { Ok(()) }
    }

    fn send(&mut self, index: usize, messages: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.wanted += messages;
        connection.in_flight.push_back(Sent { at: now(), end: connection.wanted });
        if connection.is_blocked { Ok(()) } else { self.flush(index) }
    }

    /// Sends as much as the kernel accepts. The rest is sent when the socket is writable.
    fn flush(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let target = connection.wanted * self.payload;
        let is_blocked = loop {
            let rest = &self.pattern[connection.written % PERIOD..][..target - connection.written];
            if rest.is_empty() {
                break false;
            }
            let header = self.reply_format.header();
            let sent = if !self.is_stream && !self.load.segments {
                send_each(&connection.socket, header, rest, self.payload)
            } else if header.is_empty() {
                connection.socket.send(rest)
            } else {
                connection.socket.send(&[header, rest].concat()).map(|_| rest.len())
            };
            match sent {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                result => connection.written += result?,
            }
        };
        if is_blocked != connection.is_blocked {
            connection.is_blocked = is_blocked;
            let interest = if is_blocked { Interest::READ | Interest::WRITE } else { Interest::READ };
            self.poll.modify(&connection.socket, index as u64, interest)?;
        }
        Ok(())
    }

    /// Counts datagrams that have been in flight for too long as lost, and sends others.
    fn give_up_lost(&mut self) -> Result<()> {
        for index in 0..self.load.connections {
            let connection = &mut self.connections[index];
            if !connection.is_blocked
                && connection.in_flight.front().is_some_and(|sent| LOST_AFTER < sent.at.elapsed())
            {
                self.outcome.lost += (connection.wanted - connection.done) as u64;
                connection.done = connection.wanted;
                connection.in_flight.clear();
                self.top_up(index)?;
            }
        }
        Ok(())
    }
}

impl Connection {
    fn new(socket: Socket) -> Self {
        let (wanted, written, returned, done) = (0, 0, 0, 0);
        Self { socket, wanted, written, returned, done, in_flight: VecDeque::new(), is_blocked: false }
    }
}

impl Outcome {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(100, 10_000_000_000, 3)?;
        Ok(Self { messages: 0, elapsed: Duration::ZERO, latency, lost: 0, late: 0 })
    }
}

/// Returns whether a server serves this endpoint. For a stream a connection is proof enough.
pub fn is_up(scenario: &Scenario, endpoint: &Endpoint, reply_format: ReplyFormat, folder: &Path) -> bool {
    let Ok(socket) = connected(scenario, endpoint, &folder.join("first")) else { return false };
    let message =
        [reply_format.header(), &pattern()[..scenario.load.size - reply_format.header().len()]].concat();
    let exchange = || {
        socket.set_timeout(Some(SWEEP_EVERY))?;
        socket.send(&message)?;
        socket.recv(&mut [0; 2048])
    };
    scenario.transport.is_stream() || exchange().is_ok()
}

fn connected(scenario: &Scenario, endpoint: &Endpoint, own: &Path) -> Result<Socket> {
    let address = endpoint.resolve(Side::Client, IpVersion::Any)?.pop().context("no address")?;
    let socket = endpoint.transport().socket(&address)?;
    socket.set_timeout(Some(FIRST_REPLY_MAX))?;
    if scenario.transport == Transport::UnixDatagram {
        // Not every server can reply to a client without a path.
        let _ = std::fs::remove_file(own);
        let own: Endpoint = scenario.transport.endpoint(&own.to_string_lossy()).parse()?;
        socket.bind(&own.resolve(Side::Server, IpVersion::Any)?.pop().context("no address")?)?;
    }
    socket.connect(&address)?;
    if scenario.transport == Transport::Tcp {
        socket.set_option(option::TCP_NODELAY, true)?;
        // Thousands of connections that are closed with a reset leave no TIME_WAIT sockets.
        socket.set_option(option::SO_LINGER, Some(Duration::ZERO))?;
    }
    if scenario.load.segments {
        socket.set_option(option::UDP_SEGMENT, i32::try_from(scenario.load.size)?)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends a datagram for each `size` bytes, behind a header. Returns how many of the bytes were sent.
fn send_each(socket: &Socket, header: &[u8], bytes: &[u8], size: usize) -> io::Result<usize> {
    if bytes.len() == size && header.is_empty() {
        return socket.send(bytes);
    }
    let parts: Vec<_> = bytes.chunks(size).map(|bytes| [IoSlice::new(header), IoSlice::new(bytes)]).collect();
    // The kernel checks each part, so an empty header is left out.
    let first = usize::from(header.is_empty());
    let messages: Vec<_> = parts.iter().map(|buffers| Outgoing::new(&buffers[first..])).collect();
    Ok(socket.send_many(&messages)? * size)
}

/// Returns the bytes from 0x80 to 0xfe, repeated.
fn pattern() -> Vec<u8> {
    (0x80..0xff).cycle().take(PERIOD + SEND_MAX).collect()
}

#[expect(clippy::disallowed_methods, reason = "the load is its own clock")]
fn now() -> Instant {
    Instant::now()
}
