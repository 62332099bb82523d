//! The prober: when calls leave, and what becomes of each.
//!
//! A state machine without a clock or a socket. Whoever drives it asks [`Prober::due`] when the next call leaves, sends
//! what [`Prober::call`] composes, gives what comes back to [`Prober::hear`], and lets time pass with
//! [`Prober::expire`].

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::finder::Finder;
use crate::payload::Payload;
use crate::reader::EchoReader;
use crate::time::{Moment, MonoTime};
use crate::timestamp::Timestamp;

/// How many calls that are done with are remembered, to know what comes late, again, or in another order. No stream is
/// trusted to bring back more than so many at once.
const KEPT: usize = 65_536;

/// Most bytes of calls that are to come back on a stream.
const OWED_MAX: usize = 64 << 20;

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
    pub stamp: Option<Timestamp>,
    /// Whether an answer to a later call had come before it: RFC 4737 §3.
    pub reordered: bool,
}

impl Sample {
    /// The round-trip time: from the send, so that the time in which the packet waits in this host's queues counts, to
    /// when the reply came, by the kernel if it has reported that.
    pub fn rtt(&self) -> Duration {
        self.received.best().mono - self.sent.program.mono
    }

    /// How much later than due the call left.
    pub fn lag(&self) -> Duration {
        self.sent.program.mono - self.due
    }

    /// How long the server had it; `None` if it does not tell, or tells what cannot be.
    pub fn residence(&self) -> Option<Duration> {
        match self.stamp? {
            Timestamp::Ns { rx, tx } => {
                let nanos = tx.as_nanos().checked_sub(rx.as_nanos())?;
                Some(Duration::from_nanos(nanos)).filter(|residence| *residence <= self.rtt())
            }
            _ => None,
        }
    }
}

/// What becomes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEvent {
    /// One was answered in time.
    Answered(Sample),
    /// One was answered after it had been given up.
    Late(Sample),
    /// One was answered once more.
    Duplicate(u64),
    /// One was not answered in time.
    Unanswered(u64),
    /// Something came that answers no call, or one that is long forgotten.
    Unexpected,
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
    /// When the next call is due, unless it is aimed elsewhere.
    upcoming: MonoTime,
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
    /// Where in each second calls are to leave.
    phase: Option<Duration>,
    reader: EchoReader,
    /// Looks for requests on a stream that the reader cannot follow.
    finder: Option<Finder>,
    /// Whether bytes have come over this connection that are no reply, and that was not reported.
    unmatched: bool,
    /// The calls that are to come back on the stream, in the order in which they were sent. A finder needs no order.
    returning: VecDeque<u64>,
    scratch: Vec<u8>,
}

impl Prober {
    /// A prober whose first call is due at `start`.
    pub fn new(plan: Plan, start: MonoTime) -> Self {
        Self {
            plan,
            upcoming: start,
            next: 1,
            calls: VecDeque::new(),
            open: 1,
            settled: start,
            newest: 0,
            skipped: 0,
            phase: None,
            reader: EchoReader::new(),
            finder: None,
            unmatched: false,
            returning: VecDeque::new(),
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
        Some(self.phase.map_or(self.upcoming, |phase| self.aimed(phase)))
    }

    /// The time nearest to when the next call is due from which calls, at their interval, come to leave at that phase.
    fn aimed(&self, phase: Duration) -> MonoTime {
        let unit = common_divisor(nanos(self.plan.interval), nanos(SECOND));
        let due = self.upcoming.as_nanos();
        let wait = (nanos(phase) % unit + unit - due % unit) % unit;
        let early = MonoTime::from_origin(Duration::from_nanos(due.saturating_sub(unit - wait)));
        // What has passed when the aim is taken is too early.
        if unit - wait < wait && self.settled <= early {
            early
        } else {
            self.upcoming + Duration::from_nanos(wait)
        }
    }

    /// When something is to be done: a call is due, or one has been waited for long enough.
    pub fn wakes(&self) -> Option<MonoTime> {
        let expiry = self.first_awaited().map(|call| call.sent.program.mono + self.plan.wait);
        match (self.due(), expiry) {
            (Some(due), Some(expiry)) => Some(due.min(expiry)),
            (due, expiry) => due.or(expiry),
        }
    }

    /// Whether the next call can be made: a stream may owe so much already that no more can be remembered. Then it is to
    /// be [missed](Self::miss).
    pub fn has_room(&self) -> bool {
        let owed = self.returning.len();
        owed == 0 || owed < KEPT && owed.saturating_mul(self.plan.payload.len()) < OWED_MAX
    }

    /// Makes the next call, which leaves at `at`: appends it to `out`, and returns its number.
    pub fn call(&mut self, at: Moment, out: &mut Vec<u8>) -> u64 {
        let from = out.len();
        self.plan.payload.write(self.next, out);
        if self.plan.stream && self.finder.is_none() {
            self.reader.sent(&out[from..]);
            self.returning.push_back(self.next);
        }
        self.note(at, State::Awaited)
    }

    /// Gives the next call up, which cannot be sent, and returns its number.
    pub fn miss(&mut self, at: Moment) -> u64 {
        self.note(at, State::Unsent)
    }

    fn note(&mut self, at: Moment, state: State) -> u64 {
        let due = self.due().unwrap_or(at.mono);
        let due = due + self.skip(at.mono - due);
        self.upcoming = due + self.plan.interval;
        self.calls.push_back(Call { due, sent: Times::of(at), state });
        self.next += 1;
        self.settle(at.mono);
        self.next - 1
    }

    /// Leaves out the calls that are long due, the first of them for so long, and returns what they would have taken.
    fn skip(&mut self, lag: Duration) -> Duration {
        let interval = nanos(self.plan.interval);
        if interval == 0 || lag <= STALL.max(self.plan.interval) {
            return Duration::ZERO;
        }
        let skipped = nanos(lag) / interval;
        self.skipped += skipped;
        Duration::from_nanos(skipped * interval)
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
    /// A server may decorate requests in any way, as long as they are contained in its replies. Bytes in which no
    /// request is found are a [stray](ProbeEvent::Unexpected) message; of a stream they are [reported](Self::take_unmatched)
    /// when a request has been given up.
    pub fn hear(&mut self, bytes: &[u8], at: Times, mut each: impl FnMut(ProbeEvent)) {
        if !self.plan.stream {
            return self.hear_message(bytes, at, &mut each);
        }
        if self.finder.is_some() {
            return self.search(bytes, at, &mut each);
        }
        let mut reader = core::mem::take(&mut self.reader);
        let result = reader.receive(bytes, |echo| {
            let kernel = at.kernel.filter(|_| echo.end == bytes.len());
            if let Some(number) = self.returning.pop_front() {
                self.take(number, Times { kernel, ..at }, echo.stamp, &mut each);
            }
        });
        self.unmatched = !reader.unread().is_empty();
        if result.is_err() {
            let first = self.returning.front().map(|number| (*number, self.plan.payload.len()));
            self.finder = Some(Finder::after(&reader, self.plan.payload, first));
            self.returning.clear();
            return self.search(reader.unread(), at, &mut each);
        }
        self.reader = reader;
    }

    fn search(&mut self, bytes: &[u8], at: Times, each: &mut impl FnMut(ProbeEvent)) {
        let Some(mut finder) = self.finder.take() else { return };
        let mut found = Vec::new();
        let len = self.plan.payload.len();
        finder.receive(bytes, self.next, |_| len, |request| found.push(request));
        self.unmatched = finder.has_found_nothing();
        self.finder = Some(finder);
        let last = found.len();
        for (place, request) in (1..).zip(found) {
            let kernel = at.kernel.filter(|_| place == last);
            self.take(request.number, Times { kernel, ..at }, request.stamp, each);
        }
    }

    /// Whether a stream has brought bytes in which no request was found, although requests were given up. It is
    /// reported once for a connection, or when more such bytes have come.
    pub fn take_unmatched(&mut self) -> bool {
        core::mem::take(&mut self.unmatched)
    }

    fn hear_message(&mut self, message: &[u8], at: Times, each: &mut impl FnMut(ProbeEvent)) {
        match self.plan.payload.read_anywhere(message, self.next, &mut self.scratch) {
            Some((number, stamp)) => self.take(number, at, stamp, each),
            None => each(ProbeEvent::Unexpected),
        }
    }

    fn take(
        &mut self,
        number: u64,
        received: Times,
        stamp: Option<Timestamp>,
        each: &mut impl FnMut(ProbeEvent),
    ) {
        let (wait, reordered) = (self.plan.wait, number < self.newest);
        let Some(call) = self.find(number) else { return each(ProbeEvent::Unexpected) };
        // A clock that was set meanwhile may have told the kernel a time before the call.
        let kernel = received.kernel.filter(|kernel| call.sent.program.mono <= kernel.mono);
        let received = Times { kernel, ..received };
        let sample = Sample { number, due: call.due, sent: call.sent, received, stamp, reordered };
        let late = match call.state {
            State::Answered => return each(ProbeEvent::Duplicate(number)),
            // Whoever answers what was not sent has guessed it.
            State::Unsent => return each(ProbeEvent::Unexpected),
            State::Missed => true,
            State::Awaited => wait < sample.rtt(),
        };
        if late && call.state == State::Awaited {
            each(ProbeEvent::Unanswered(number));
        }
        call.state = State::Answered;
        self.newest = self.newest.max(number);
        self.settle(received.program.mono);
        each(if late { ProbeEvent::Late(sample) } else { ProbeEvent::Answered(sample) });
    }

    /// Gives up what has been waited for long enough.
    pub fn expire(&mut self, at: MonoTime, each: impl FnMut(ProbeEvent)) {
        self.give_up_after(self.plan.wait, at, each);
    }

    /// Gives up what has been waited for so long.
    pub fn give_up_after(&mut self, wait: Duration, at: MonoTime, mut each: impl FnMut(ProbeEvent)) {
        while let Some(call) = self.first_awaited()
            && call.sent.program.mono + wait <= at
        {
            let number = self.open;
            self.give_up(number, at);
            each(ProbeEvent::Unanswered(number));
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
        self.finder = None;
        self.returning.clear();
    }

    fn give_up(&mut self, number: u64, at: MonoTime) {
        if let Some(call) = self.find(number) {
            call.state = State::Missed;
        }
        self.settle(at);
    }

    /// From now on calls leave so long after a whole second of the clock that never steps, as many of them as their
    /// interval allows: all if it is in whole seconds, one each second if it divides the second. They stay an interval
    /// apart; one gap alone is longer or shorter, by half of it at most unless the time for that is past.
    pub fn aim(&mut self, phase: Duration) {
        self.phase = Some(phase);
    }

    /// Whether all calls have been made.
    pub fn has_ended(&self) -> bool {
        self.plan.count.is_some_and(|count| count < self.next)
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

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
