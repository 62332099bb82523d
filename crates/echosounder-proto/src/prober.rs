//! The prober: when calls leave, and what becomes of each.
//!
//! A state machine without a clock or a socket. Whoever drives it asks [`Prober::due`] when the next call leaves, sends
//! what [`Prober::call`] composes, gives what comes back to [`Prober::hear`], and lets time pass with
//! [`Prober::expire`].

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::payload::Payload;
use crate::reader::{EchoReader, NotAnEcho};
use crate::stamp::Stamp;
use crate::time::{Moment, MonoTime};

/// How many calls that are done with are remembered, to know what comes late, again, or in another order.
const KEPT: usize = 65_536;

/// Calls that are due longer than this, and than their interval, are left out: the machine stood still, and the peer
/// must not get them all at once.
const STALL: Duration = Duration::from_secs(1);

/// Server clocks that tell whole seconds are called at the seconds' edges.
const SECOND: Duration = Duration::from_secs(1);

/// What a prober is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether it calls over a stream, where messages have no bounds.
    pub stream: bool,
    /// The form of the calls.
    pub payload: Payload,
    /// Between two calls, whatever comes back; if it is zero, the next leaves when the last is done with.
    pub interval: Duration,
    /// How many calls; `None` for no end.
    pub count: Option<u64>,
    /// How long an answer may take. Later ones are late.
    pub wait: Duration,
}

/// When something happened: as the program saw it, and as the kernel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Right before the send, or right after the receive.
    pub program: Moment,
    /// When the packet left or came, if the kernel has told.
    pub kernel: Option<Moment>,
}

impl Times {
    /// As the program saw it.
    pub fn of(program: Moment) -> Self {
        Self { program, kernel: None }
    }

    /// The nearest to the wire that is known.
    pub fn best(&self) -> Moment {
        self.kernel.unwrap_or(self.program)
    }

    /// The time between what the kernel and the program saw.
    pub fn difference(&self) -> Option<Duration> {
        self.kernel.map(|kernel| kernel.mono.max(self.program.mono) - kernel.mono.min(self.program.mono))
    }
}

/// A call that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which call.
    pub number: u64,
    /// When it was to leave.
    pub due: MonoTime,
    /// When it left.
    pub sent: Times,
    /// When the last of its answer came.
    pub received: Times,
    /// The stamp of the answer, if it began with one.
    pub stamp: Option<Stamp>,
    /// Whether an answer to a later call had come before it: RFC 4737 §3.
    pub reordered: bool,
}

impl Sample {
    /// There and back.
    pub fn rtt(&self) -> Duration {
        self.received.best().mono - self.sent.best().mono
    }

    /// How much later than due the call left.
    pub fn lag(&self) -> Duration {
        self.sent.program.mono - self.due
    }

    /// How long the server had it; `None` if it does not tell, or tells what cannot be.
    pub fn residence(&self) -> Option<Duration> {
        match self.stamp? {
            Stamp::Ns { rx, tx } => {
                let nanos = tx.as_nanos().checked_sub(rx.as_nanos())?;
                Some(Duration::from_nanos(nanos)).filter(|residence| *residence <= self.rtt())
            }
            _ => None,
        }
    }
}

/// What becomes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// One was answered in time.
    Answered(Sample),
    /// One was answered after it had been given up.
    Late(Sample),
    /// One was answered once more.
    Duplicate(u64),
    /// One was not answered in time.
    Unanswered(u64),
    /// Something came that answers no call, or one that is long forgotten.
    Stray,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is under way.
    Awaited,
    /// It was given up.
    Missed,
    /// It was given up before it left.
    Unsent,
    Answered,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    due: MonoTime,
    sent: Times,
    state: State,
}

/// Calls, and knows what comes back.
#[derive(Debug)]
pub struct Prober {
    plan: Plan,
    /// When the first call would have been due, if all had been on time since.
    start: MonoTime,
    /// The number of the next call; the first is 1.
    next: u64,
    /// Those that are remembered, up to the one before `next`.
    calls: VecDeque<Call>,
    /// All before it are done with.
    open: u64,
    /// When the last call was done with.
    settled: MonoTime,
    /// The greatest number that was answered.
    newest: u64,
    /// Calls that were left out because the machine stood still.
    skipped: u64,
    /// Whether no more calls are to be made.
    ended: bool,
    /// Where in each second calls are to leave.
    phase: Option<Duration>,
    reader: EchoReader,
    /// On a stream, the number of the message that comes back next, if it was sent.
    returning: u64,
    scratch: Vec<u8>,
}

impl Prober {
    /// A prober whose first call is due at `start`.
    pub fn new(plan: Plan, start: MonoTime) -> Self {
        Self {
            plan,
            start,
            next: 1,
            calls: VecDeque::new(),
            open: 1,
            settled: start,
            newest: 0,
            skipped: 0,
            ended: false,
            phase: None,
            reader: EchoReader::new(),
            returning: 1,
            scratch: Vec::new(),
        }
    }

    /// What it is to do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many calls it has made, those that could not be sent included.
    pub fn calls(&self) -> u64 {
        self.next - 1
    }

    /// Calls that were left out because the machine stood still when they were due.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// When the next call leaves; `None` if there is none, or none before something else happens.
    pub fn due(&self) -> Option<MonoTime> {
        if self.has_ended() {
            return None;
        }
        if self.plan.interval.is_zero() {
            return (self.open == self.next).then_some(self.settled);
        }
        let due = self.start + times(self.plan.interval, self.next - 1);
        let Some(phase) = self.phase else { return Some(due) };
        let within = Duration::from_nanos(nanos(due - MonoTime::from_origin(Duration::ZERO)) % nanos(SECOND));
        let wait = if within <= phase { phase - within } else { SECOND + phase - within };
        Some(if wait < self.plan.interval { due + wait } else { due })
    }

    /// When something is to be done: a call is due, or one has been waited for long enough.
    pub fn wakes(&self) -> Option<MonoTime> {
        let expiry = self.first_awaited().map(|call| call.sent.program.mono + self.plan.wait);
        match (self.due(), expiry) {
            (Some(due), Some(expiry)) => Some(due.min(expiry)),
            (due, expiry) => due.or(expiry),
        }
    }

    /// Makes the next call, which leaves at `at`: appends it to `out`, and returns its number.
    pub fn call(&mut self, at: Moment, out: &mut Vec<u8>) -> u64 {
        let from = out.len();
        self.plan.payload.write(self.next, out);
        if self.plan.stream {
            self.reader.sent(&out[from..]);
        }
        self.note(at, State::Awaited)
    }

    /// Gives the next call up, which cannot be sent, and returns its number.
    pub fn miss(&mut self, at: Moment) -> u64 {
        self.note(at, State::Unsent)
    }

    fn note(&mut self, at: Moment, state: State) -> u64 {
        let due = self.due().unwrap_or(at.mono);
        self.skip(due, at.mono);
        self.calls.push_back(Call { due, sent: Times::of(at), state });
        self.next += 1;
        self.settle(at.mono);
        self.next - 1
    }

    /// Leaves out what is long due.
    fn skip(&mut self, due: MonoTime, at: MonoTime) {
        let interval = self.plan.interval;
        if !interval.is_zero() && STALL.max(interval) < at - due {
            let skipped = nanos(at - due) / nanos(interval);
            self.start = self.start + times(interval, skipped);
            self.skipped += skipped;
        }
    }

    /// The kernel has told when a call left.
    pub fn left(&mut self, number: u64, kernel: Moment) {
        if let Some(call) = self.find(number) {
            call.sent.kernel = Some(kernel);
        }
    }

    /// When the program sent a call, if it is one of those that are remembered.
    pub fn sent(&self, number: u64) -> Option<Moment> {
        let place = number.checked_sub(self.first())?;
        self.calls.get(usize::try_from(place).ok()?).map(|call| call.sent.program)
    }

    /// The number of the call that a packet holds, or that an ICMP error quotes, if it is one of those that are remembered.
    pub fn number_in(&self, packet: &[u8]) -> Option<u64> {
        self.plan.payload.find(packet, self.next).filter(|number| self.first() <= *number)
    }

    /// Takes what came back: a message, or bytes of a stream. The kernel's time is that of the last byte.
    ///
    /// # Errors
    ///
    /// If a stream does not bring back what was sent. Nothing more can be told from it: it is to be [`cut`](Self::cut).
    pub fn hear(&mut self, bytes: &[u8], at: Times, mut each: impl FnMut(Event)) -> Result<(), NotAnEcho> {
        if !self.plan.stream {
            each(self.hear_message(bytes, at));
            return Ok(());
        }
        let mut reader = core::mem::take(&mut self.reader);
        let result = reader.receive(bytes, |echo| {
            let kernel = at.kernel.filter(|_| echo.end == bytes.len());
            let number = self.next_of_stream();
            each(self.take(number, Times { kernel, ..at }, echo.stamp));
        });
        self.reader = reader;
        result
    }

    /// The number of the message that has come back on a stream.
    fn next_of_stream(&mut self) -> u64 {
        while self.find(self.returning).is_some_and(|call| call.state == State::Unsent) {
            self.returning += 1;
        }
        self.returning += 1;
        self.returning - 1
    }

    fn hear_message(&mut self, message: &[u8], at: Times) -> Event {
        let returned = Payload::read(message, &mut self.scratch)
            .filter(|returned| returned.body_len == self.plan.payload.body_len());
        match returned.and_then(|returned| Some((returned.number(self.next)?, returned.stamp))) {
            Some((number, stamp)) => self.take(number, at, stamp),
            None => Event::Stray,
        }
    }

    fn take(&mut self, number: u64, received: Times, stamp: Option<Stamp>) -> Event {
        let reordered = number < self.newest;
        let Some(call) = self.find(number) else { return Event::Stray };
        let state = call.state;
        call.state = State::Answered;
        let sample = Sample { number, due: call.due, sent: call.sent, received, stamp, reordered };
        match state {
            State::Answered => return Event::Duplicate(number),
            // Whoever answers what was not sent has guessed it.
            State::Unsent => {
                call.state = State::Unsent;
                return Event::Stray;
            }
            State::Awaited | State::Missed => {}
        }
        self.newest = self.newest.max(number);
        self.settle(received.program.mono);
        if state == State::Missed { Event::Late(sample) } else { Event::Answered(sample) }
    }

    /// Gives up what has been waited for long enough.
    pub fn expire(&mut self, at: MonoTime, mut each: impl FnMut(Event)) {
        while let Some(call) = self.first_awaited()
            && call.sent.program.mono + self.plan.wait <= at
        {
            let number = self.open;
            self.give_up(number, at);
            each(Event::Unanswered(number));
        }
    }

    /// A call has failed, or the oldest that is awaited, if it is not known which; its number is returned, if there is
    /// one that was awaited.
    pub fn fail(&mut self, number: Option<u64>, at: MonoTime) -> Option<u64> {
        let number = number.unwrap_or(self.open);
        let awaited = self.find(number).is_some_and(|call| call.state == State::Awaited);
        if awaited {
            self.give_up(number, at);
        }
        awaited.then_some(number)
    }

    /// The connection has ended: what is awaited will not come. The next call goes over another one.
    pub fn cut(&mut self, at: MonoTime, mut each: impl FnMut(u64)) {
        while self.first_awaited().is_some() {
            let number = self.open;
            self.give_up(number, at);
            each(number);
        }
        self.reader = EchoReader::new();
        self.returning = self.next;
    }

    fn give_up(&mut self, number: u64, at: MonoTime) {
        if let Some(call) = self.find(number) {
            call.state = State::Missed;
        }
        self.settle(at);
    }

    /// From now on calls leave so long after each whole second of the clock that never steps, as far as their interval
    /// allows: each waits for it no longer than that.
    pub fn aim(&mut self, phase: Duration) {
        self.phase = Some(phase);
    }

    /// No more calls are to be made.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether all calls have been made.
    pub fn has_ended(&self) -> bool {
        self.ended || self.plan.count.is_some_and(|count| count < self.next)
    }

    /// Whether all calls have been made and none is awaited.
    pub fn is_over(&self) -> bool {
        self.has_ended() && self.open == self.next
    }

    /// Calls that are awaited, or were made after one that is.
    pub fn open(&self) -> u64 {
        self.next - self.open
    }

    /// The number of the first call that is remembered.
    fn first(&self) -> u64 {
        self.next - self.calls.len() as u64
    }

    fn find(&mut self, number: u64) -> Option<&mut Call> {
        let place = number.checked_sub(self.first())?;
        self.calls.get_mut(usize::try_from(place).ok()?)
    }

    fn first_awaited(&self) -> Option<&Call> {
        let place = self.open.checked_sub(self.first())?;
        self.calls.get(usize::try_from(place).ok()?)
    }

    /// Goes on to the first call that is awaited, and forgets what is long done with.
    fn settle(&mut self, at: MonoTime) {
        while self.first_awaited().is_some_and(|call| call.state != State::Awaited) {
            self.open += 1;
            self.settled = at;
        }
        while KEPT < self.calls.len() && self.first() < self.open {
            self.calls.pop_front();
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn times(span: Duration, count: u64) -> Duration {
    Duration::from_nanos(nanos(span).saturating_mul(count))
}
