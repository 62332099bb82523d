//! The loop of a load: one thread, one epoll, many connections. It sends when the [pace](crate::Pace) says so.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use echosounder_proto::{EchoReader, Finder, Payload, Returned};
use echosounder_socket::{
    Address, Batch, Events, Interest, IoBuffer, Kind, Outgoing, Poll, Socket, is_out_of_resources,
    is_too_long, set_timer_slack,
};

use super::counts::Counts;
use super::flights::{Fate, Flight, Flights};
use super::options::SizeRange;
use super::pace::{Pace, Random, Schedule};
use super::shared::Shared;
use super::thread_result::{CpuShare, ThreadResult, histogram};
use crate::clock::now;
use crate::error::{failure_kind, is_about_earlier, send_twice};
use crate::nonblocking::is_transient;
use crate::starvation::Starvation;

/// Most events of one turn.
const EVENTS_MAX: usize = 256;

/// Most messages of an open loop that leave before it is looked what has come.
const TURN_MAX: usize = 256;

/// Most datagrams received or sent in one call.
const BATCH_MAX: usize = 64;

/// Bytes of one read, and of one write, or one message if that is longer.
const PIECE_MAX: usize = 256 * 1024;

/// A peer that sends more than this at once before any message comes back does not echo. Less may be a greeting.
const GREETING_MAX: usize = 1024;

/// How often datagrams that have not come back are looked for, and what could not be sent is tried again.
const SWEEP: Duration = Duration::from_millis(20);

/// How many connections are looked at then.
const SWEEP_MAX: usize = 1024;

/// How long an open loop that is behind still sends after the end what was due before.
const GRACE: Duration = Duration::from_millis(100);

/// A load without an end gives up when this many times the longest wait has brought nothing.
const PATIENCE: u32 = 3;

/// How many errors about earlier datagrams are believed, and how long after the first, as long as nothing was answered.
/// Anybody can forge them.
const REFUSALS_BELIEVED: u32 = 2;
const REFUSALS_FOR: Duration = Duration::from_millis(200);

/// What a thread is to do.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    /// The number of the thread, from 0.
    pub(crate) thread: usize,
    pub(crate) kind: Kind,
    pub(crate) address: Address,
    /// Of this thread's connections.
    pub(crate) pace: Pace,
    /// When the first message of an open loop is due, since the start.
    pub(crate) first: Duration,
    pub(crate) sizes: SizeRange,
    /// Not measured, at the beginning.
    pub(crate) warm_up: Duration,
    /// How long it is measured then; `None` until so many messages have been sent.
    pub(crate) measured: Option<Duration>,
    /// How many messages are sent to be measured at most.
    pub(crate) messages_max: u64,
    /// How long an answer may take.
    pub(crate) wait: Duration,
    /// Whether a connected socket hears others than its peer.
    pub(crate) receives_from_any: bool,
    /// Memory for what is under way on each connection of an open loop.
    pub(crate) backlog_max_bytes: usize,
    pub(crate) seed: u64,
}

/// Why a thread cannot go on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) operation: &'static str,
    pub(crate) error: io::Error,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { operation: "wait for", error }
    }
}

#[derive(Debug)]
struct Connection {
    socket: Option<Socket>,
    reader: EchoReader,
    /// Looks for messages on a stream that the reader cannot follow, since all its replies are decorated.
    finder: Option<Finder>,
    /// Whether the reader has seen a message come back.
    has_echoed: bool,
    flights: Flights,
    /// Messages of a closed loop that are to be sent and have not been.
    owed: usize,
    /// What the kernel has not taken, of a stream.
    unsent: VecDeque<u8>,
    waits_to_write: bool,
    /// Whether datagrams were reported as refused since the last answer.
    refused: bool,
    /// Whether one was lost or not sent since then, so that it was no forgery.
    failing: bool,
}

/// Sends on its connections and hears what comes back.
pub(crate) struct Driver {
    task: LoadPlan,
    shared: Arc<Shared>,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// Connections that are open.
    open: usize,
    schedule: Option<Schedule>,
    /// The connection whose turn it is in an open loop.
    turn: usize,
    /// Of the next message.
    number: u64,
    /// Of the first that is measured.
    first_measured: u64,
    random: Random,
    start: Instant,
    /// When the last sweep was, and with which connection the next begins.
    swept: (Duration, usize),
    /// Since when nothing has come back though something was sent or is to be.
    silent_since: Option<Duration>,
    /// Errors about earlier datagrams, as long as nothing was answered: how many, and when the first was.
    refusals: (u32, Duration),
    /// The last of these.
    refusal: Option<Failure>,
    /// Messages under way on all connections that are measured.
    under_way: u64,
    last_answer: Duration,
    found: ThreadResult,
    /// The messages that leave next, and where each of them ends.
    message: IoBuffer,
    ends: Vec<usize>,
    buffer: IoBuffer,
    batch: Option<Batch>,
    starvation: Starvation,
    scratch: Vec<u8>,
    /// Of each message of a read, whether it rx_times with a stamp.
    stamped: Vec<bool>,
    answers: Vec<Option<Returned>>,
}

impl Driver {
    pub(crate) fn new(task: LoadPlan, sockets: Vec<Socket>, shared: Arc<Shared>) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (token, socket) in sockets.iter().enumerate() {
            poll.add(socket, token as u64, Interest::Read)?;
        }
        let connection = |socket| Connection {
            socket: Some(socket),
            reader: EchoReader::new(),
            finder: None,
            has_echoed: false,
            flights: Flights::default(),
            owed: 0,
            unsent: VecDeque::new(),
            waits_to_write: false,
            refused: false,
            failing: false,
        };
        let schedule = match task.pace {
            Pace::Closed { .. } => None,
            Pace::Open { rate, spacing } => Some(Schedule::new(rate, spacing, task.first, task.seed)),
        };
        // A stamp is put before it.
        let longest = task.sizes.max + 256;
        let batch = (task.kind == Kind::Datagrams).then(|| Batch::try_new(BATCH_MAX, longest)).transpose()?;
        Ok(Self {
            random: Random::new(!task.seed),
            open: sockets.len(),
            connections: sockets.into_iter().map(connection).collect(),
            events: Events::with_capacity(EVENTS_MAX),
            found: ThreadResult {
                thread: task.thread,
                request: 0,
                counts: Counts::default(),
                in_flight: 0,
                latency: histogram(),
                send_delay: histogram(),
                elapsed: Duration::ZERO,
                cpu: CpuShare::default(),
                silence: None,
            },
            turn: 0,
            number: 0,
            first_measured: u64::MAX,
            start: now(),
            swept: (Duration::ZERO, 0),
            silent_since: None,
            refusals: (0, Duration::ZERO),
            refusal: None,
            under_way: 0,
            last_answer: Duration::ZERO,
            message: IoBuffer::default(),
            ends: Vec::new(),
            buffer: IoBuffer::try_zeroed(longest.max(PIECE_MAX))?,
            batch,
            starvation: Starvation::default(),
            scratch: Vec::new(),
            stamped: Vec::new(),
            answers: Vec::new(),
            task,
            shared,
            poll,
            schedule,
        })
    }

    /// Runs from `start` on until everything is sent and has come back, or the time is up.
    pub(crate) fn run(mut self, start: Instant) -> Result<(), Failure> {
        self.start = start;
        let result = self.send_and_hear();
        if result.is_err() {
            self.shared.failed.store(true, Ordering::Relaxed);
        }
        result.and_then(|()| match self.refusal.take() {
            Some(refusal) if !self.shared.stop.is_stopped() => Err(refusal),
            _ => {
                self.shared.publish(ThreadResult { request: u64::MAX, ..self.found });
                Ok(())
            }
        })
    }

    fn send_and_hear(&mut self) -> Result<(), Failure> {
        if self.schedule.is_some() {
            // Where a sandbox refuses, waits end up to 50 µs later.
            let _ = set_timer_slack();
        }
        if let Pace::Closed { depth } = self.task.pace {
            for index in 0..self.connections.len() {
                self.owe(index, depth)?;
            }
        }
        let mut usage = (self.elapsed(), Usage::now());
        let mut published = 0;
        while self.goes_on() {
            if usage.0 < self.task.warm_up && self.task.warm_up <= self.elapsed() {
                usage = (self.elapsed(), Usage::now());
                if let Some(schedule) = &mut self.schedule {
                    // A load that is behind already would measure nothing but that.
                    schedule.skip_to(self.task.warm_up);
                }
            }
            let idle = self.send_due()?;
            self.wait(idle)?;
            self.sweep()?;
            let requests = self.shared.requests();
            if requests != published {
                published = requests;
                self.publish(requests, usage);
            }
        }
        self.rate_usage(usage);
        if self.open != 0 && !self.stopped() && self.has_lost_patience(self.elapsed()) {
            self.found.silence = Some(self.patience());
        }
        self.found.counts.unsent += self.left_behind();
        let end = self.elapsed();
        self.drain(end)?;
        (0..self.connections.len()).for_each(|index| self.count_no_echo(index));
        // Without an end, or with all sent before it, it was over with the last answer.
        let all_sent = self.task.messages_max <= self.found.counts.sent;
        let by_time = if all_sent { Duration::ZERO } else { self.end().map_or(end, |set| set.min(end)) };
        let last = by_time.max(self.last_answer);
        self.found.elapsed = last.saturating_sub(self.task.warm_up);
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.start)
    }

    fn stopped(&self) -> bool {
        self.shared.is_stopped()
    }

    /// When it is over, if that is a matter of time.
    fn end(&self) -> Option<Duration> {
        self.task.measured.map(|span| self.task.warm_up.saturating_add(span))
    }

    /// Whether a message that is due then is still to be sent.
    fn sends(&self, due: Duration) -> bool {
        self.end().is_none_or(|end| due < end) && self.found.counts.sent < self.task.messages_max
    }

    fn goes_on(&self) -> bool {
        let at = self.elapsed();
        if self.open == 0 || self.stopped() {
            return false;
        }
        match &self.schedule {
            _ if self.end().is_none() && self.has_lost_patience(at) => false,
            None => self.sends(at),
            // What was due goes out a moment later.
            Some(schedule) => {
                self.sends(at) || self.sends(schedule.due()) && self.sends(at.saturating_sub(GRACE))
            }
        }
    }

    fn has_lost_patience(&self, at: Duration) -> bool {
        self.silent_since.is_some_and(|since| since.saturating_add(self.patience()) < at)
    }

    /// How long nothing may come back. At a low rate there is silence between two messages.
    fn patience(&self) -> Duration {
        let gap = match self.task.pace {
            Pace::Open { rate, .. } => Duration::try_from_secs_f64(rate.recip()).unwrap_or_default(),
            Pace::Closed { .. } => Duration::ZERO,
        };
        self.task.wait.max(gap).saturating_mul(PATIENCE)
    }

    /// What an open loop has not sent though it was due.
    fn left_behind(&self) -> u64 {
        let all_sent = self.task.messages_max <= self.found.counts.sent;
        match (&self.schedule, self.end()) {
            (Some(schedule), Some(end)) if !all_sent && !self.stopped() => schedule.left_before(end),
            _ => 0,
        }
    }

    /// Waits for what is still under way.
    fn drain(&mut self, end: Duration) -> Result<(), Failure> {
        let silent = self.has_lost_patience(end);
        while self.under_way != 0 && self.open != 0 && !silent && !self.stopped() && !self.is_refused() {
            let Some(left) = end.saturating_add(self.task.wait).checked_sub(self.elapsed()) else { break };
            self.wait(left)?;
        }
        let stopped = self.stopped();
        if stopped {
            // Nobody knows what would have become of these.
            self.found.counts.sent -= self.under_way;
        }
        let is_refused = |connection: &&Connection| {
            connection.refused && (connection.failing || !stopped && !connection.flights.is_empty())
        };
        self.found.counts.closed += self.connections.iter().filter(is_refused).count() as u64;
        Ok(())
    }

    /// Publishes the counters so far, and the times since the last result. Messages in flight are not lost yet, so they
    /// do not count as sent.
    fn publish(&mut self, request: u64, usage: (Duration, Usage)) {
        self.rate_usage(usage);
        self.found.elapsed = self.elapsed().saturating_sub(self.task.warm_up);
        let mut result = ThreadResult {
            request,
            latency: std::mem::replace(&mut self.found.latency, histogram()),
            send_delay: std::mem::replace(&mut self.found.send_delay, histogram()),
            ..self.found
        };
        result.counts.sent -= self.under_way;
        result.in_flight = self.under_way;
        self.shared.publish(result);
    }

    fn rate_usage(&mut self, (since, before): (Duration, Usage)) {
        let (now, span) = (Usage::now(), self.elapsed().saturating_sub(since).as_secs_f64());
        let share = |after: Duration, before: Duration| {
            if span == 0.0 { 0.0 } else { (after.saturating_sub(before).as_secs_f64() / span).min(1.0) }
        };
        self.found.cpu =
            CpuShare { busy: share(now.ran, before.ran), waiting: share(now.waited, before.waited) };
    }

    /// Sends what has come due in an open loop, and returns how long there is nothing else to send.
    fn send_due(&mut self) -> Result<Duration, Failure> {
        for _ in 0..TURN_MAX {
            let Some(schedule) = &mut self.schedule else { return Ok(SWEEP) };
            let due = schedule.due();
            let at = now().saturating_duration_since(self.start);
            if at < due {
                return Ok(due - at);
            }
            if !self.sends(due) {
                return Ok(SWEEP);
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
            if self.task.warm_up <= due {
                self.found.send_delay.saturating_record(nanos(at - due));
            }
            let index = self.next_open();
            self.send_one(index, due)?;
        }
        Ok(Duration::ZERO)
    }

    /// The next connection in turn that is open, if any is.
    fn next_open(&mut self) -> usize {
        loop {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.connections.len();
            if self.connections[index].socket.is_some() || self.open == 0 {
                return index;
            }
        }
    }

    /// Waits for what comes, and takes it.
    fn wait(&mut self, longest: Duration) -> Result<(), Failure> {
        self.poll.wait_precise(&mut self.events, longest.min(SWEEP))?;
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

    /// Sends a message of an open loop. One for which there is no room is not sent.
    fn send_one(&mut self, index: usize, due: Duration) -> Result<(), Failure> {
        let connection = &self.connections[index];
        if connection.socket.is_none() {
            return Ok(());
        }
        self.message.clear();
        self.ends.clear();
        if self.task.backlog_max_bytes < connection.flights.weight() + connection.unsent.len() {
            self.silent_since.get_or_insert(due);
            self.found.counts.unsent += u64::from(self.task.warm_up <= due);
            return Ok(());
        }
        self.compose(index, due);
        let unsent = self.transmit(index)?;
        self.found.counts.unsent += self.unsend(index, unsent);
        Ok(())
    }

    /// So many more messages of a closed loop are to be sent.
    fn owe(&mut self, index: usize, count: usize) -> Result<(), Failure> {
        self.connections[index].owed += count;
        self.pay(index)
    }

    /// Sends what is owed, as few writes or batches as there can be, as far as the kernel takes it.
    fn pay(&mut self, index: usize) -> Result<(), Failure> {
        let at = self.elapsed();
        loop {
            self.message.clear();
            self.ends.clear();
            let connection = &self.connections[index];
            let (owed, blocked) = (connection.owed, !connection.unsent.is_empty() || self.stopped());
            while self.ends.len() < owed && !blocked && self.message.len() < PIECE_MAX && self.sends(at) {
                self.compose(index, at);
            }
            if self.ends.is_empty() || self.connections[index].socket.is_none() {
                if owed != 0 && blocked {
                    self.silent_since.get_or_insert(at);
                }
                return Ok(());
            }
            self.connections[index].owed -= self.ends.len();
            let unsent = self.transmit(index)?;
            if unsent != 0 {
                self.unsend(index, unsent);
                self.connections[index].owed += unsent;
                return Ok(());
            }
        }
    }

    /// Puts a message behind those that leave next.
    fn compose(&mut self, index: usize, due: Duration) {
        let SizeRange { min, max } = self.task.sizes;
        let len = if min == max { min } else { self.random.between(min, max) };
        let start = self.message.len();
        self.message.append_with(|message| Payload::new(len).write(self.number, message));
        self.ends.push(self.message.len());
        if self.task.warm_up <= due {
            self.first_measured = self.first_measured.min(self.number);
            self.found.counts.sent += 1;
            self.under_way += 1;
        }
        let connection = &mut self.connections[index];
        if self.task.kind == Kind::Stream && connection.finder.is_none() {
            connection.reader.sent(&self.message[start..]);
        }
        connection.flights.push(Flight { number: self.number, due, len });
        self.number += 1;
        self.silent_since.get_or_insert(due);
    }

    fn is_measured(&self, flight: &Flight) -> bool {
        self.first_measured <= flight.number
    }

    /// Sends what has been composed. How many of the last messages the kernel has not taken is returned; of a
    /// stream it is kept.
    fn transmit(&mut self, index: usize) -> Result<usize, Failure> {
        self.shared.sent.fetch_add(self.ends.len() as u64, Ordering::Relaxed);
        match self.task.kind {
            Kind::Stream => self.write(index).map(|()| 0),
            Kind::Messages => self.send_messages(index),
            Kind::Datagrams => self.send_datagrams(index),
        }
    }

    /// The last messages were not sent after all; how many of them would have been measured is returned.
    fn unsend(&mut self, index: usize, count: usize) -> u64 {
        self.shared.sent.fetch_sub(count as u64, Ordering::Relaxed);
        let mut measured = 0;
        for _ in 0..count {
            let flight = self.connections[index].flights.unsend();
            measured += u64::from(flight.is_some_and(|flight| self.is_measured(&flight)));
        }
        self.found.counts.sent -= measured;
        self.under_way -= measured;
        measured
    }

    /// Writes the messages on a stream, and keeps what it does not take.
    fn write(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        if !connection.unsent.is_empty() {
            connection.unsent.extend(&self.message[..]);
            return Ok(());
        }
        let Some(socket) = &connection.socket else { return Ok(()) };
        let sent = match socket.send(&self.message) {
            Ok(len) => len,
            Err(error) if is_transient(&error) => 0,
            Err(error) => return self.cut_off(index, "send to", error),
        };
        if sent < self.message.len() {
            connection.unsent.extend(&self.message[sent..]);
            self.watch(index, true)?;
        }
        Ok(())
    }

    /// Writes what was kept, and sends what is owed.
    fn flush(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return Ok(()) };
        let (front, _) = connection.unsent.as_slices();
        if !front.is_empty() {
            match socket.send(&front[..front.len().min(PIECE_MAX)]) {
                Ok(len) => drop(connection.unsent.drain(..len)),
                Err(error) if is_transient(&error) => {}
                Err(error) => return self.cut_off(index, "send to", error),
            }
        }
        if !self.connections[index].unsent.is_empty() {
            return Ok(());
        }
        self.watch(index, false)?;
        self.pay(index)
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

    /// Sends each message by itself on a connection that keeps bounds.
    fn send_messages(&mut self, index: usize) -> Result<usize, Failure> {
        let mut start = 0;
        for place in 0..self.ends.len() {
            let Some(socket) = &self.connections[index].socket else { return Ok(0) };
            let end = self.ends[place];
            match socket.send(&self.message[start..end]) {
                Ok(_) => start = end,
                Err(error) => return self.not_sent(index, self.ends.len() - place, error),
            }
        }
        Ok(0)
    }

    /// Sends the messages in as few calls as there are batches.
    fn send_datagrams(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(socket) = &self.connections[index].socket else { return Ok(0) };
        if let [_] = self.ends[..] {
            let (sent, earlier) = send_twice(self.task.kind, || socket.send(&self.message));
            self.note_earlier(earlier.as_ref());
            return match sent {
                Ok(_) => Ok(0),
                Err(error) => self.not_sent(index, 1, error),
            };
        }
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let pieces: Vec<[IoSlice<'_>; 1]> =
            starts.zip(&self.ends).map(|(start, &end)| [IoSlice::new(&self.message[start..end])]).collect();
        let messages: Vec<Outgoing<'_>> =
            pieces.iter().map(|buffers| Outgoing { buffers, control: &[], to: None }).collect();
        let (mut noted, mut failed) = (Vec::new(), None);
        let mut left = &messages[..];
        while !left.is_empty() {
            let batch = &left[..left.len().min(BATCH_MAX)];
            let (sent, earlier) = send_twice(self.task.kind, || socket.send_many(batch));
            noted.extend(earlier);
            match sent {
                Ok(sent) => left = &left[sent.max(1)..],
                Err(error) => {
                    failed = Some((left.len(), error));
                    break;
                }
            }
        }
        noted.iter().for_each(|error| self.note_earlier(Some(error)));
        match failed {
            Some((count, error)) => self.not_sent(index, count, error),
            None => Ok(0),
        }
    }

    /// The kernel has not taken the last messages: for now, because the peer is gone, or because it never will.
    fn not_sent(&mut self, index: usize, count: usize, error: io::Error) -> Result<usize, Failure> {
        if is_transient(&error) {
            let closed = matches!(self.task.pace, Pace::Closed { .. });
            // Netlink and TIPC do not tell when there is room again: the sweep tries.
            let tells = matches!(self.task.address, Address::Unix(_) | Address::Inet(_) | Address::Inet6(_));
            self.watch(index, closed && (tells || self.task.kind == Kind::Messages))?;
            return Ok(count);
        }
        if self.task.kind == Kind::Messages {
            return self.cut_off(index, "send to", error).map(|()| 0);
        }
        if failure_kind("send to", &error, &self.task.address).is_none() {
            return Err(Failure { operation: "send to", error });
        }
        self.connections[index].failing = true;
        self.refused(index, "send to", error).map(|()| count)
    }

    /// Counts what was reported of an earlier datagram.
    fn note_earlier(&mut self, error: Option<&io::Error>) {
        let counts = error.is_some() && self.task.address.ip().is_some();
        self.found.counts.network_errors += u64::from(counts);
    }

    /// Somebody is there.
    fn forget_refusals(&mut self) {
        (self.refusals, self.refusal) = ((0, Duration::ZERO), None);
    }

    /// Whether nobody is there, as more errors say than anybody would have forged.
    fn is_refused(&self) -> bool {
        let (count, first) = self.refusals;
        REFUSALS_BELIEVED <= count && first + REFUSALS_FOR <= self.elapsed()
    }

    /// An earlier datagram has failed, as a receive says.
    fn earlier_failed(&mut self, index: usize, error: io::Error) -> Result<(), Failure> {
        self.note_earlier(Some(&error));
        if is_too_long(&error) {
            // The kernel has noted what fits, and fragments what is sent from now on: ip(7), IP_MTU_DISCOVER.
            return Ok(());
        }
        self.refused(index, "receive from", error)?;
        if self.refusals.0 != 1 || self.schedule.is_some() {
            return Ok(());
        }
        // The next message shows whether that was forged.
        let given_up = self.connections[index].flights.give_up(Duration::MAX);
        self.under_way -= u64::from(given_up.is_some_and(|flight| self.is_measured(&flight)));
        self.owe(index, usize::from(given_up.is_some()))
    }

    /// The peer refuses datagrams. As long as it has answered none, nobody is there.
    fn refused(&mut self, index: usize, operation: &'static str, error: io::Error) -> Result<(), Failure> {
        if self.shared.answered.load(Ordering::Relaxed) == 0 {
            let (count, first) = self.refusals;
            self.refusals = (count + 1, if count == 0 { self.elapsed() } else { first });
            self.refusal = Some(Failure { operation, error });
            return Ok(());
        }
        self.connections[index].refused = true;
        self.watch(index, false)?;
        Ok(())
    }

    /// Reads once, and sends the next messages of a closed loop.
    fn hear(&mut self, index: usize) -> Result<(), Failure> {
        let back = match self.task.kind {
            Kind::Stream => self.hear_stream(index)?,
            Kind::Messages => self.hear_message(index)?,
            Kind::Datagrams => self.hear_datagrams(index)?,
        };
        if back == 0 {
            return Ok(());
        }
        self.shared.answered.fetch_add(back as u64, Ordering::Relaxed);
        self.silent_since = None;
        self.forget_refusals();
        (self.connections[index].refused, self.connections[index].failing) = (false, false);
        if self.schedule.is_none() { self.owe(index, back) } else { Ok(()) }
    }

    /// Receives some bytes; `None` if there are none now, or no more.
    fn receive(&mut self, index: usize) -> Result<Option<usize>, Failure> {
        let Some(socket) = &self.connections[index].socket else { return Ok(None) };
        match socket.recv(&mut self.buffer) {
            Ok(len @ 1..) => {
                self.starvation.end();
                Ok(Some(len))
            }
            Err(error) if is_out_of_resources(&error) && self.starvation.rest() => {
                Err(Failure { operation: "receive from", error })
            }
            Err(error) if is_transient(&error) => Ok(None),
            Ok(0) => self.end_of(index).map(|()| None),
            Err(error) => self.cut_off(index, "receive from", error).map(|()| None),
        }
    }

    /// How many messages have come back is returned.
    fn hear_stream(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(len) = self.receive(index)? else { return Ok(0) };
        let at = now().saturating_duration_since(self.start);
        if self.connections[index].finder.is_some() {
            let bytes = self.buffer[..len].to_vec();
            return self.search(index, &bytes, at);
        }
        let mut stamped = std::mem::take(&mut self.stamped);
        stamped.clear();
        let reader = &mut self.connections[index].reader;
        let heard = reader.receive(&self.buffer[..len], |echo| stamped.push(echo.stamp.is_some()));
        for &stamped in &stamped {
            if let Some(flight) = self.connections[index].flights.pop() {
                self.count(&flight, stamped, at);
            }
        }
        let back = stamped.len();
        self.stamped = stamped;
        self.connections[index].has_echoed |= back != 0;
        if heard.is_ok() {
            return Ok(back);
        }
        let connection = &mut self.connections[index];
        let (payload, first) = (Payload::new(self.task.sizes.min), connection.flights.first());
        if connection.has_echoed || !payload.can_be_found() {
            // What follows can no longer be told.
            self.found.counts.unexpected += 1;
            return self.close(index).map(|()| back);
        }
        connection.finder = Some(Finder::after(&connection.reader, payload, first));
        let unread = connection.reader.unread().to_vec();
        self.search(index, &unread, at).map(|found| back + found)
    }

    /// Looks for messages in bytes of a stream that the reader cannot follow; how many have come back is returned.
    fn search(&mut self, index: usize, bytes: &[u8], at: Duration) -> Result<usize, Failure> {
        let connection = &mut self.connections[index];
        let Some(finder) = &mut connection.finder else { return Ok(0) };
        let (flights, mut found) = (&connection.flights, Vec::new());
        finder.receive(bytes, self.number, |number| flights.len(number).unwrap_or(0), |one| found.push(one));
        if finder.has_found_nothing() && GREETING_MAX < bytes.len() {
            self.close(index)?;
        }
        let mut back = 0;
        for one in found {
            match self.connections[index].flights.take(one.number) {
                Fate::Answer(flight) => {
                    back += 1;
                    self.count(&flight, one.stamp.is_some(), at);
                }
                Fate::Late(_) | Fate::Again => self.found.counts.duplicate += 1,
            }
        }
        Ok(back)
    }

    fn hear_message(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(len) = self.receive(index)? else { return Ok(0) };
        let at = now().saturating_duration_since(self.start);
        let answer = read(&self.buffer[..len], self.number, &mut self.scratch);
        Ok(usize::from(self.take(index, answer, at)))
    }

    fn hear_datagrams(&mut self, index: usize) -> Result<usize, Failure> {
        let (Some(socket), Some(batch)) = (&self.connections[index].socket, &mut self.batch) else {
            return Ok(0);
        };
        let received = match socket.recv_many(batch) {
            Ok(received) => received,
            Err(error) if is_out_of_resources(&error) && self.starvation.rest() => {
                return Err(Failure { operation: "receive from", error });
            }
            Err(error) if is_transient(&error) => return Ok(0),
            Err(error) if is_about_earlier(self.task.kind, &error) => {
                return self.earlier_failed(index, error).map(|()| 0);
            }
            Err(error) => return Err(Failure { operation: "receive from", error }),
        };
        self.starvation.end();
        let at = now().saturating_duration_since(self.start);
        let mut answers = std::mem::take(&mut self.answers);
        answers.clear();
        answers.extend((0..received).map(|place| read(batch.bytes(place), self.number, &mut self.scratch)));
        let back = answers.iter().filter(|&&answer| self.take(index, answer, at)).count();
        self.answers = answers;
        Ok(back)
    }

    /// Finds the message that an answer belongs to; whether it was under way is returned.
    fn take(&mut self, index: usize, answer: Option<Returned>, at: Duration) -> bool {
        let numbered = answer.and_then(|answer| Some((answer, answer.number(self.number)?)));
        let Some((answer, number)) = numbered else {
            // Whoever may be heard may say anything.
            self.found.counts.unexpected += u64::from(!self.task.receives_from_any);
            return false;
        };
        let fate = self.connections[index].flights.take(number);
        match fate {
            Fate::Answer(flight) | Fate::Late(flight)
                if Payload::new(flight.len).body_len() != answer.body_len =>
            {
                self.found.counts.unexpected += 1;
                self.under_way -= u64::from(matches!(fate, Fate::Answer(_)) && self.is_measured(&flight));
            }
            Fate::Answer(flight) => self.count(&flight, answer.stamp.is_some(), at),
            // It may have been given up for what was reported of it, and be in time all the same.
            Fate::Late(flight) => {
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
                self.forget_refusals();
                if self.is_measured(&flight) {
                    self.record(&flight, answer.stamp.is_some(), at);
                }
            }
            Fate::Again => self.found.counts.duplicate += u64::from(self.first_measured <= number),
        }
        matches!(fate, Fate::Answer(_))
    }

    /// Counts a message that has come back.
    fn count(&mut self, flight: &Flight, stamped: bool, at: Duration) {
        if !self.is_measured(flight) {
            return;
        }
        self.under_way -= 1;
        self.last_answer = at;
        self.record(flight, stamped, at);
    }

    /// Records a measured message that has come back.
    fn record(&mut self, flight: &Flight, stamped: bool, at: Duration) {
        let took = at.saturating_sub(flight.due);
        self.found.latency.saturating_record(nanos(took));
        let counts = &mut self.found.counts;
        counts.unstamped += u64::from(!stamped);
        if took <= self.task.wait {
            counts.answered += 1;
            counts.bytes += flight.len as u64;
        } else {
            counts.late += 1;
        }
    }

    /// Gives up datagrams that do not come back, so that a closed loop goes on, and tries again what could not be
    /// sent.
    fn sweep(&mut self) -> Result<(), Failure> {
        let at = self.elapsed();
        let (last, from) = self.swept;
        if self.task.kind == Kind::Stream || at < last + SWEEP {
            return Ok(());
        }
        if self.is_refused()
            && let Some(refusal) = self.refusal.take()
        {
            return Err(refusal);
        }
        let count = self.connections.len();
        for place in from..from + SWEEP_MAX.min(count) {
            self.give_up(place % count, at)?;
        }
        self.swept = (at, (from + SWEEP_MAX) % count);
        Ok(())
    }

    fn give_up(&mut self, index: usize, at: Duration) -> Result<(), Failure> {
        let mut given_up = 0;
        if self.task.kind == Kind::Datagrams {
            let before = at.saturating_sub(self.task.wait);
            while let Some(flight) = self.connections[index].flights.give_up(before) {
                self.connections[index].failing = true;
                self.under_way -= u64::from(self.is_measured(&flight));
                given_up += 1;
            }
        }
        if self.schedule.is_none() { self.owe(index, given_up) } else { Ok(()) }
    }

    /// A connection has failed: the peer has ended it, or this machine cannot go on.
    fn cut_off(&mut self, index: usize, operation: &'static str, error: io::Error) -> Result<(), Failure> {
        match failure_kind(operation, &error, &self.task.address) {
            Some(_) => self.end_of(index),
            None => Err(Failure { operation, error }),
        }
    }

    /// The peer has ended a connection.
    fn end_of(&mut self, index: usize) -> Result<(), Failure> {
        self.found.counts.closed += u64::from(self.connections[index].socket.is_some());
        self.close(index)
    }

    /// A connection over which something rx_times, but no message back, was to a peer that does not echo.
    fn count_no_echo(&mut self, index: usize) {
        let finder = self.connections[index].finder.take();
        self.found.counts.unexpected += u64::from(finder.is_some_and(|finder| finder.has_found_nothing()));
    }

    fn close(&mut self, index: usize) -> Result<(), Failure> {
        self.count_no_echo(index);
        if let Some(socket) = self.connections[index].socket.take() {
            self.poll.remove(&socket)?;
            self.open -= 1;
            while let Some(flight) = self.connections[index].flights.pop() {
                self.under_way -= u64::from(self.is_measured(&flight));
            }
        }
        Ok(())
    }
}

/// Takes a reply to one message apart, in whatever a server has wrapped it.
fn read(reply: &[u8], next: u64, scratch: &mut Vec<u8>) -> Option<Returned> {
    Payload::read(reply, scratch).or_else(|| Payload::find_in(reply, next))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A thread's time: the first two numbers of schedstat, in nanoseconds (proc(5)).
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// On a processor.
    ran: Duration,
    /// Ready, while others were.
    waited: Duration,
}

impl Usage {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
        let mut next = || Duration::from_nanos(numbers.next().unwrap_or(0));
        Self { ran: next(), waited: next() }
    }
}
