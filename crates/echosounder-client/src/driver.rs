//! The loop of a load: one thread, one epoll, many connections. It sends when the [pace](crate::Pace) says so.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use echosounder_proto::EchoReader;
use echosounder_socket::{
    Batch, Events, Interest, Kind, Outgoing, Poll, Socket, exact_timers, is_out_of_resources, option,
};
use hdrhistogram::Histogram;

use crate::clock::now;
use crate::pace::{Pace, Random, Schedule};
use crate::payload;

/// Most events of one turn.
const EVENTS_MAX: usize = 256;

/// Most datagrams received or sent in one call.
const BATCH_MAX: usize = 64;

/// Bytes of one read.
const READ_MAX: usize = 256 * 1024;

/// Most bytes that wait for a connection that takes none; what comes due beyond them is not sent at all.
const BACKLOG_MAX: usize = 4 * 1024 * 1024;

/// How often datagrams that have not come back are looked for.
const SWEEP: Duration = Duration::from_millis(20);

/// What a thread is to do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) kind: Kind,
    /// Of this thread's connections.
    pub(crate) pace: Pace,
    pub(crate) sizes: (usize, usize),
    /// Not measured, at the beginning.
    pub(crate) warm_up: Duration,
    /// How long it is measured then; `None` until so many messages have been sent.
    pub(crate) measured: Option<Duration>,
    /// How many messages are sent to be measured at most.
    pub(crate) messages_max: u64,
    /// How long an answer may take.
    pub(crate) wait: Duration,
    /// Whether a connected socket hears others than its peer.
    pub(crate) hears_strangers: bool,
    pub(crate) seed: u64,
}

/// What all threads of a load show while they run.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) sent: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) stop: AtomicBool,
}

/// What became of the messages of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent to be measured.
    pub sent: u64,
    /// Of these, came back as they were.
    pub answered: u64,
    /// Came back later than they might.
    pub late: u64,
    /// Something came back that was not sent.
    pub wrong: u64,
    /// Were due and could not be sent, because their connection took nothing.
    pub unsent: u64,
    /// Came back without a stamp of their own: the server had stamped several as one, or does not stamp.
    pub unstamped: u64,
    /// Connections that the server has ended.
    pub closed: u64,
    /// Bytes of the answered messages.
    pub bytes: u64,
}

impl Tally {
    /// Sent, and never came back.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.late)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.late += other.late;
        self.wrong += other.wrong;
        self.unsent += other.unsent;
        self.unstamped += other.unstamped;
        self.closed += other.closed;
        self.bytes += other.bytes;
    }
}

/// What a thread has found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tally: Tally,
    /// From when a message was to leave until its last byte was back, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// How much later than due messages left, in nanoseconds; of an open loop.
    pub(crate) lag: Histogram<u64>,
    /// Between the first and the last moment that was measured.
    pub(crate) elapsed: Duration,
    /// The processor's time that this thread took meanwhile.
    pub(crate) cpu: Duration,
}

/// A message under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// When it was to leave, since the start.
    due: Duration,
    len: usize,
    /// What its answer is known by, where answers can come in any order.
    key: u64,
    measured: bool,
}

#[derive(Debug)]
struct Connection {
    socket: Option<Socket>,
    reader: EchoReader,
    /// In the order in which they were sent.
    flights: VecDeque<Flight>,
    /// What the kernel has not taken, of a stream.
    unsent: Vec<u8>,
    waits_to_write: bool,
}

/// A histogram of nanoseconds up to an hour, true to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("these are bounds and a precision that it has")
}

/// Sends on its connections and hears what comes back.
pub(crate) struct Driver {
    task: Task,
    shared: Arc<Shared>,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// Connections that are open.
    open: usize,
    schedule: Option<Schedule>,
    /// The connection whose turn it is in an open loop.
    turn: usize,
    number: u64,
    random: Random,
    start: Instant,
    swept: Duration,
    /// Messages under way on all connections that are measured.
    under_way: u64,
    found: Found,
    message: Vec<u8>,
    buffer: Vec<u8>,
    batch: Option<Batch>,
    scratch: Vec<u8>,
    /// Of each message of a read, whether it came with a stamp.
    stamped: Vec<bool>,
}

impl Driver {
    pub(crate) fn new(task: Task, sockets: Vec<Socket>, shared: Arc<Shared>) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (token, socket) in sockets.iter().enumerate() {
            poll.add(socket, token as u64, Interest::Read)?;
        }
        let connection = |socket| Connection {
            socket: Some(socket),
            reader: EchoReader::new(),
            flights: VecDeque::new(),
            unsent: Vec::new(),
            waits_to_write: false,
        };
        let schedule = match task.pace {
            Pace::Closed { .. } => None,
            Pace::Open { rate, spacing } => Some(Schedule::new(rate, spacing, Duration::ZERO, task.seed)),
        };
        let room = task.sizes.1 + 256;
        let batch = (task.kind == Kind::Datagrams).then(|| Batch::new(BATCH_MAX, room));
        Ok(Self {
            random: Random::new(!task.seed),
            open: sockets.len(),
            connections: sockets.into_iter().map(connection).collect(),
            events: Events::with_capacity(EVENTS_MAX),
            found: Found {
                tally: Tally::default(),
                latency: histogram(),
                lag: histogram(),
                elapsed: Duration::ZERO,
                cpu: Duration::ZERO,
            },
            turn: 0,
            number: 0,
            start: now(),
            swept: Duration::ZERO,
            under_way: 0,
            message: Vec::new(),
            buffer: vec![0; READ_MAX],
            batch,
            scratch: Vec::new(),
            stamped: Vec::new(),
            task,
            shared,
            poll,
            schedule,
        })
    }

    /// Runs from `start` on until everything is sent and has come back, or the time is up.
    pub(crate) fn run(mut self, start: Instant) -> io::Result<Found> {
        self.start = start;
        if self.schedule.is_some() {
            exact_timers()?;
        }
        if let Pace::Closed { depth } = self.task.pace {
            for index in 0..self.connections.len() {
                self.send(index, depth, self.elapsed())?;
            }
        }
        let mut cpu_before = cpu_time();
        let mut warm = self.task.warm_up.is_zero();
        while self.sends(self.elapsed()) && self.open != 0 {
            if !warm && self.task.warm_up <= self.elapsed() {
                (warm, cpu_before) = (true, cpu_time());
            }
            self.send_due()?;
            self.wait(self.until_due())?;
            self.sweep();
        }
        self.found.cpu = cpu_time().saturating_sub(cpu_before);
        self.found.elapsed = self.elapsed().saturating_sub(self.task.warm_up);
        let deadline = self.elapsed() + self.task.wait;
        while self.under_way != 0 && self.open != 0 && self.elapsed() < deadline && !self.stopped() {
            self.wait(Some(SWEEP))?;
        }
        Ok(self.found)
    }

    fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.start)
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Whether messages are still to be sent.
    fn sends(&self, at: Duration) -> bool {
        let over = self.task.measured.is_some_and(|span| self.task.warm_up + span <= at);
        !over && !self.stopped() && self.found.tally.sent < self.task.messages_max
    }

    fn is_measured(&self, due: Duration) -> bool {
        self.task.warm_up <= due && self.found.tally.sent < self.task.messages_max
    }

    /// Sends what has come due in an open loop.
    fn send_due(&mut self) -> io::Result<()> {
        loop {
            let Some(schedule) = &mut self.schedule else { return Ok(()) };
            let due = schedule.due();
            let at = now().saturating_duration_since(self.start);
            if at < due {
                return Ok(());
            }
            schedule.advance();
            if !self.sends(due) {
                return Ok(());
            }
            if self.task.warm_up <= due {
                let late = u64::try_from((at - due).as_nanos()).unwrap_or(u64::MAX);
                self.found.lag.saturating_record(late);
            }
            let index = self.next_open();
            self.send(index, 1, due)?;
        }
    }

    /// The next connection in turn that is open; there is one.
    fn next_open(&mut self) -> usize {
        loop {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.connections.len();
            if self.connections[index].socket.is_some() || self.open == 0 {
                return index;
            }
        }
    }

    /// How long there is nothing to send; `None` if that is for the peers to say.
    fn until_due(&self) -> Option<Duration> {
        let due = self.schedule.as_ref()?.due();
        Some(due.saturating_sub(self.elapsed()))
    }

    /// Waits for what comes, and takes it.
    fn wait(&mut self, until_due: Option<Duration>) -> io::Result<()> {
        let timeout = until_due.map_or(SWEEP, |left| left.min(SWEEP));
        self.poll.wait_exactly(&mut self.events, timeout)?;
        let mut told = 0;
        while let Some(event) = self.events.get(told) {
            told += 1;
            let index = usize::try_from(event.token).unwrap_or(usize::MAX);
            if event.ready.writable && self.connections[index].waits_to_write {
                self.flush(index)?;
            }
            if event.ready.readable {
                self.hear(index)?;
            }
        }
        Ok(())
    }

    /// Sends so many messages that are due, as one write or one batch.
    fn send(&mut self, index: usize, count: usize, due: Duration) -> io::Result<()> {
        if self.connections[index].socket.is_none() || !self.sends(due) {
            return Ok(());
        }
        let (low, high) = self.task.sizes;
        self.message.clear();
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            let backlog = self.connections[index].unsent.len() + self.message.len();
            if BACKLOG_MAX < backlog {
                self.found.tally.unsent += 1;
                continue;
            }
            let len = if low == high { low } else { self.random.between(low, high) };
            let (key, start) = (payload::key(self.number, len), self.message.len());
            payload::write(self.number, len, &mut self.message);
            self.number += 1;
            let measured = self.is_measured(due);
            self.found.tally.sent += u64::from(measured);
            self.under_way += u64::from(measured);
            let connection = &mut self.connections[index];
            if self.task.kind == Kind::Stream {
                connection.reader.sent(&self.message[start..]);
            }
            connection.flights.push_back(Flight { due, len, key, measured });
            ends.push(self.message.len());
        }
        self.shared.sent.fetch_add(ends.len() as u64, Ordering::Relaxed);
        match self.task.kind {
            Kind::Stream => self.write(index),
            Kind::Messages => self.send_messages(index, &ends),
            Kind::Datagrams => self.send_datagrams(index, &ends),
        }
    }

    /// Writes the messages on a stream, and keeps what it does not take.
    fn write(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if !connection.unsent.is_empty() {
            connection.unsent.extend_from_slice(&self.message);
            return Ok(());
        }
        let Some(socket) = &connection.socket else { return Ok(()) };
        match socket.send(&self.message) {
            Ok(len) if len == self.message.len() => Ok(()),
            Ok(len) => self.keep(index, len),
            Err(error) if is_momentary(&error) => self.keep(index, 0),
            Err(_) => self.close(index),
        }
    }

    fn keep(&mut self, index: usize, sent: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.unsent.extend_from_slice(&self.message[sent..]);
        self.watch(index, true)
    }

    /// Writes what was kept.
    fn flush(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return Ok(()) };
        match socket.send(&connection.unsent) {
            Ok(len) => {
                connection.unsent.drain(..len);
            }
            Err(error) if is_momentary(&error) => {}
            Err(_) => return self.close(index),
        }
        if self.connections[index].unsent.is_empty() { self.watch(index, false) } else { Ok(()) }
    }

    fn watch(&mut self, index: usize, write: bool) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if connection.waits_to_write != write
            && let Some(socket) = &connection.socket
        {
            connection.waits_to_write = write;
            let interest = if write { Interest::Both } else { Interest::Read };
            self.poll.modify(socket, index as u64, interest)?;
        }
        Ok(())
    }

    /// Sends each message by itself on a connection that keeps bounds. One that is full loses the rest.
    fn send_messages(&mut self, index: usize, ends: &[usize]) -> io::Result<()> {
        let mut start = 0;
        for (place, &end) in ends.iter().enumerate() {
            let Some(socket) = &self.connections[index].socket else { return Ok(()) };
            match socket.send(&self.message[start..end]) {
                Ok(_) => start = end,
                Err(error) if is_momentary(&error) => {
                    self.forget(index, ends.len() - place);
                    return Ok(());
                }
                Err(_) => return self.close(index),
            }
        }
        Ok(())
    }

    /// Sends the messages in as few calls as there are batches. What the kernel does not take is not sent.
    fn send_datagrams(&mut self, index: usize, ends: &[usize]) -> io::Result<()> {
        let Some(socket) = &self.connections[index].socket else { return Ok(()) };
        let starts = [0].into_iter().chain(ends.iter().copied());
        let pieces: Vec<[IoSlice<'_>; 1]> =
            starts.zip(ends).map(|(start, &end)| [IoSlice::new(&self.message[start..end])]).collect();
        let mut left = 0;
        while left < pieces.len() {
            let batch = &pieces[left..(left + BATCH_MAX).min(pieces.len())];
            let sent = match batch {
                [[piece]] => socket.send(piece).map(|_| 1),
                batch => {
                    let batch: Vec<Outgoing<'_>> =
                        batch.iter().map(|buffers| Outgoing { buffers, control: &[], to: None }).collect();
                    socket.send_many(&batch)
                }
            };
            match sent {
                Ok(sent) => left += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    // What ICMP says of an earlier datagram; this one has not been tried.
                    self.found.tally.closed += 1;
                    let count = pieces.len() - left;
                    drop(pieces);
                    self.forget(index, count);
                    return Ok(());
                }
                Err(_) => {
                    let count = pieces.len() - left;
                    drop(pieces);
                    self.forget(index, count);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The last messages were not sent after all.
    fn forget(&mut self, index: usize, count: usize) {
        for _ in 0..count {
            if let Some(flight) = self.connections[index].flights.pop_back() {
                self.found.tally.unsent += u64::from(flight.measured);
                self.found.tally.sent -= u64::from(flight.measured);
                self.under_way -= u64::from(flight.measured);
            }
        }
    }

    /// Reads once, and sends the next messages of a closed loop.
    fn hear(&mut self, index: usize) -> io::Result<()> {
        let back = match self.task.kind {
            Kind::Stream => self.hear_stream(index)?,
            Kind::Messages => self.hear_message(index)?,
            Kind::Datagrams => self.hear_datagrams(index)?,
        };
        self.shared.answered.fetch_add(back as u64, Ordering::Relaxed);
        if back != 0 && matches!(self.task.pace, Pace::Closed { .. }) {
            self.send(index, back, self.elapsed())?;
        }
        Ok(())
    }

    /// How many messages have come back is returned.
    fn hear_stream(&mut self, index: usize) -> io::Result<usize> {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return Ok(0) };
        let len = match socket.recv(&mut self.buffer) {
            Ok(0) => return self.close(index).map(|()| 0),
            Err(error) if is_momentary(&error) => return Ok(0),
            Err(_) => return self.close(index).map(|()| 0),
            Ok(len) => len,
        };
        let at = now().saturating_duration_since(self.start);
        let mut stamped = std::mem::take(&mut self.stamped);
        stamped.clear();
        let heard = connection.reader.receive(&self.buffer[..len], |echo| stamped.push(echo.stamp.is_some()));
        for &stamped in &stamped {
            if let Some(flight) = self.connections[index].flights.pop_front() {
                self.count(flight, stamped, at);
            }
        }
        let back = stamped.len();
        self.stamped = stamped;
        if heard.is_err() {
            self.found.tally.wrong += 1;
            self.close(index)?;
        }
        Ok(back)
    }

    fn hear_message(&mut self, index: usize) -> io::Result<usize> {
        let Some(socket) = &self.connections[index].socket else { return Ok(0) };
        let len = match socket.recv(&mut self.buffer) {
            Ok(0) => return self.close(index).map(|()| 0),
            Err(error) if is_momentary(&error) => return Ok(0),
            Err(_) => return self.close(index).map(|()| 0),
            Ok(len) => len,
        };
        let at = self.elapsed();
        let answer = payload::read(&self.buffer[..len], &mut self.scratch);
        Ok(usize::from(self.take(index, answer, at)))
    }

    fn hear_datagrams(&mut self, index: usize) -> io::Result<usize> {
        let (Some(socket), Some(batch)) = (&self.connections[index].socket, &mut self.batch) else {
            return Ok(0);
        };
        let received = match socket.recv_many(batch) {
            Err(error) if is_momentary(&error) => return Ok(0),
            // A datagram was refused; it will never come back.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.found.tally.closed += 1;
                return Ok(0);
            }
            result => result?,
        };
        let at = now().saturating_duration_since(self.start);
        let answers: Vec<Option<payload::Answer>> =
            (0..received).map(|place| payload::read(batch.bytes(place), &mut self.scratch)).collect();
        let mut back = 0;
        for answer in answers {
            back += usize::from(self.take(index, answer, at));
        }
        Ok(back)
    }

    /// Finds the message that an answer belongs to; whether there is one is returned.
    fn take(&mut self, index: usize, answer: Option<payload::Answer>, at: Duration) -> bool {
        let Some(answer) = answer else {
            // Whoever may be heard may say anything.
            self.found.tally.wrong += u64::from(!self.task.hears_strangers);
            return false;
        };
        let flights = &mut self.connections[index].flights;
        let Some(place) = flights.iter().position(|flight| flight.key == answer.key) else {
            // It was given up, or has come before.
            self.found.tally.late += 1;
            return false;
        };
        let flight = flights.remove(place);
        if let Some(flight) = flight {
            self.count(flight, answer.stamped, at);
        }
        true
    }

    /// Counts a message that has come back.
    fn count(&mut self, flight: Flight, stamped: bool, at: Duration) {
        if !flight.measured {
            return;
        }
        self.found.tally.unstamped += u64::from(!stamped);
        self.under_way -= 1;
        let took = at.saturating_sub(flight.due);
        self.found.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if took <= self.task.wait {
            self.found.tally.answered += 1;
            self.found.tally.bytes += flight.len as u64;
        } else {
            self.found.tally.late += 1;
        }
    }

    /// Gives up datagrams that do not come back, so that a closed loop goes on.
    fn sweep(&mut self) {
        let at = self.elapsed();
        if self.task.kind != Kind::Datagrams || at < self.swept + SWEEP {
            return;
        }
        self.swept = at;
        for index in 0..self.connections.len() {
            let mut given_up = 0;
            while let Some(flight) = self.connections[index].flights.front()
                && flight.due + self.task.wait < at
            {
                self.under_way -= u64::from(flight.measured);
                self.connections[index].flights.pop_front();
                given_up += 1;
            }
            if given_up != 0 && matches!(self.task.pace, Pace::Closed { .. }) {
                // If the next cannot be sent either, they will be given up in their turn.
                let _ = self.send(index, given_up, at);
            }
        }
    }

    fn close(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if let Some(socket) = connection.socket.take() {
            self.poll.remove(&socket)?;
            self.open -= 1;
            self.found.tally.closed += 1;
            for flight in connection.flights.drain(..) {
                self.under_way -= u64::from(flight.measured);
            }
        }
        Ok(())
    }
}

/// Prepares a socket that a load is to be sent on.
pub(crate) fn prepare(socket: &Socket, kind: Kind) -> io::Result<()> {
    socket.set_blocking(false)?;
    if kind == Kind::Stream && socket.local_addr()?.ip().is_some() {
        // What is not there, on SCTP for instance, is done without.
        let _ = socket.set_option(option::TCP_NODELAY, true);
    }
    Ok(())
}

fn is_momentary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        || is_out_of_resources(error)
}

/// The processor's time that this thread has taken: the first number of schedstat, in nanoseconds (proc(5)).
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
