//! The loop that drives a prober: it sends when a call is due, and takes what comes back.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use echosounder_proto::{BLANK, Event, Moment, MonoTime, Payload, Plan, Prober, Sample, Times, WallTime};
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{
    Address, Endpoint, Error, Events, Interest, Kind, Poll, Socket, Transport, Waker, exact_timers,
};

use crate::clock::{Clocks, Deadline};
use crate::connect::{Call, Candidates, is_many};
use crate::directions::{Clock, Ways};
use crate::driver::{is_momentary, prepare};
use crate::error::{CallError, Word};
use crate::statistics::{Interval, Report, Statistics};
use crate::wire::{Notice, Wire, came, left};

/// The shortest call on a stream: a blank, a digit, a newline.
pub const STREAM_CALL_MIN: usize = BLANK.len() + 2;

/// The shortest call where messages have bounds: its number tells ten million apart.
pub const CALL_MIN: usize = BLANK.len() + 8;

/// The longest time between two looks at what is to be done.
const LONGEST: Duration = Duration::from_secs(3600);

/// Most calls before it is heard what has come, and most reads before calls are due again.
const TURN_MAX: usize = 64;

/// How long nothing is sent after a failure, if calls would otherwise leave as fast as they fail.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is told how things go; or every ten calls, if that takes longer.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Bytes of one read of a stream, and what an answer may have beyond its call.
const READ: usize = 64 * 1024;

/// Tokens of the poll.
const SOCKET: u64 = 0;
const CONTROL: u64 = 1;

/// What a ping is to do.
#[derive(Clone, Debug)]
pub struct Ping {
    /// Whom to call; its wait is how long each answer may take.
    pub call: Call,
    /// Bytes of a call: at least [`CALL_MIN`], on a stream [`STREAM_CALL_MIN`].
    pub size: usize,
    /// How long after the start the first call leaves, so that those to several targets take turns.
    pub first: Duration,
    /// Between two calls; zero, if the next is to leave when the last is done with.
    pub interval: Duration,
    /// How many calls; `None` for no end.
    pub count: Option<u64>,
    /// How long to go on at most.
    pub deadline: Option<Duration>,
    /// What is known of the peer's clock; `None` to find out.
    pub clock: Option<Clock>,
}

impl Ping {
    /// The same for another endpoint.
    #[must_use]
    pub fn to(&self, endpoint: Endpoint) -> Self {
        let mut other = self.clone();
        other.call.endpoint = endpoint;
        other
    }
}

/// What happens to the calls, as it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// One was answered, perhaps late.
    Answered(Answered),
    /// One was not answered in time, or failed in another way; without a word there was no room to send it.
    Lost {
        /// Which.
        number: u64,
        /// How.
        word: Option<Word>,
    },
    /// One was answered once more.
    Duplicate(u64),
    /// Something came that answers no call.
    Stray,
    /// The stamps do not come from the clock that they were taken for.
    Contradicted,
    /// The connection was lost, or is there again.
    Connected(bool),
    /// How it went since this was last told.
    Interval(Box<Interval>),
    /// How it went until now, since somebody has asked.
    Interim(Box<Report>),
}

/// A call that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which.
    pub number: u64,
    /// When it left.
    pub sent: WallTime,
    /// There and back.
    pub rtt: Duration,
    /// What each way took, in nanoseconds; of a clock that is free, more than the quickest so far.
    pub ways: Option<Ways>,
    /// How long the server had it.
    pub residence: Option<Duration>,
    /// By which clock the ways are told.
    pub clock: Clock,
    /// Whether it came when it had been given up.
    pub late: bool,
    /// Whether the answer to a later call had come before.
    pub reordered: bool,
}

/// How a ping is told to end, or to say how it goes, from another thread.
#[derive(Debug)]
pub struct Control {
    stop: AtomicBool,
    interim: AtomicBool,
    waker: Waker,
}

impl Control {
    /// For one ping.
    ///
    /// # Errors
    ///
    /// As eventfd(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { stop: AtomicBool::new(false), interim: AtomicBool::new(false), waker: Waker::new()? })
    }

    /// It is to end.
    pub fn stop(&self) {
        self.tell(&self.stop);
    }

    /// It is to say how it goes.
    pub fn ask(&self) {
        self.tell(&self.interim);
    }

    fn tell(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Relaxed);
        // An eventfd that cannot be written to has been written to often enough.
        let _ = self.waker.wake();
    }
}

/// A target that is called again and again.
#[derive(Debug)]
pub struct Pinger {
    ping: Ping,
    transport: Transport,
    address: Address,
    /// Where else it may be, as long as nothing was answered.
    candidates: Candidates,
    /// None while the connection is lost.
    socket: Option<Socket>,
    local: Option<Address>,
    wire: Wire,
    clock: Clock,
    control: Arc<Control>,
    poll: Poll,
    events: Events,
    clocks: Clocks,
    start: MonoTime,
    prober: Prober,
    statistics: Statistics,
    /// Nothing is sent before.
    paused_until: MonoTime,
    told: MonoTime,
    /// What the kernel has not taken, of a stream.
    unsent: VecDeque<u8>,
    message: Vec<u8>,
    buffer: Vec<u8>,
    /// What has happened and is to be told.
    happenings: VecDeque<Happening>,
}

impl Pinger {
    /// Reaches the target. Of datagrams it shows only later whether anybody is there.
    ///
    /// # Errors
    ///
    /// If nobody can be reached, or many would be.
    pub fn connect(ping: Ping, control: Arc<Control>) -> Result<Self, CallError> {
        let transport = ping.call.endpoint.transport();
        let local = |error| CallError::Local(Error::new("poll", &ping.call.endpoint, error));
        let deadline = Deadline::after(ping.call.wait);
        let mut candidates = Candidates::of(&ping.call, deadline)?;
        if candidates.addresses().any(is_many) {
            let error = io::Error::other("it is the address of many hosts");
            return Err(CallError::Local(Error::new("call", &ping.call.endpoint, error)));
        }
        let poll = Poll::new().map_err(local)?;
        poll.add(&control.waker, CONTROL, Interest::Read).map_err(local)?;
        let nobody = || Err(CallError::timeout("connect", &ping.call.endpoint));
        let (socket, address) = candidates.connect(deadline).unwrap_or_else(nobody)?;
        let clocks = Clocks::start();
        let start = clocks.now().mono;
        let plan = Plan {
            stream: transport.kind() == Kind::Stream,
            payload: Payload::with_blank(ping.size),
            interval: ping.interval,
            count: ping.count,
            wait: ping.call.wait,
        };
        let mut pinger = Self {
            transport,
            address,
            candidates,
            socket: None,
            local: None,
            wire: Wire::default(),
            clock: Clock::Free,
            control,
            poll,
            events: Events::with_capacity(8),
            clocks,
            start,
            prober: Prober::new(plan, start),
            statistics: Statistics::new(Clock::Free, false, start),
            paused_until: start,
            told: start,
            unsent: VecDeque::new(),
            message: Vec::new(),
            buffer: vec![0; ping.size + READ],
            happenings: VecDeque::new(),
            ping,
        };
        pinger.use_socket(socket)?;
        pinger.start_over();
        Ok(pinger)
    }

    /// Where the target is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The endpoint that was called, at the address that took the call.
    pub fn endpoint(&self) -> String {
        Endpoint::shown(self.transport, &self.address)
    }

    /// Where calls leave from, if that is known.
    pub fn local(&self) -> Option<&Address> {
        self.local.as_ref()
    }

    /// What it is to do.
    pub fn ping(&self) -> &Ping {
        &self.ping
    }

    /// What the kernel tells.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// What the peer's clock is taken for.
    pub fn clock(&self) -> Clock {
        self.statistics.clock()
    }

    /// Calls until all is done, or it is told to stop; `tell` is told what happens. If it fails, the ping ends.
    ///
    /// # Errors
    ///
    /// If this machine fails. The report is of what was before.
    pub fn run(mut self, mut tell: impl FnMut(Happening) -> bool) -> (Report, Option<CallError>) {
        let mut error = exact_timers().err().map(|error| self.error("set the timers of", error));
        self.start_over();
        while error.is_none() && !self.is_over() {
            error = self.turn().err();
            while let Some(happening) = self.happenings.pop_front() {
                if !tell(happening) {
                    self.control.stop();
                }
            }
        }
        (self.statistics.report(self.prober.skipped()), error)
    }

    /// Begins to count, from now on.
    fn start_over(&mut self) {
        let start = self.clocks.now().mono + self.ping.first;
        let guessed = self.ping.clock.is_none();
        self.clock = self.ping.clock.unwrap_or_else(|| self.likely_clock());
        self.prober = Prober::new(*self.prober.plan(), start);
        self.statistics = Statistics::new(self.clock, guessed, start);
        (self.start, self.paused_until, self.told) = (start, start, start);
    }

    /// Whether the peer reads the same clock: it is on this machine.
    fn likely_clock(&self) -> Clock {
        let here = match &self.address {
            Address::Unix(_) | Address::Netlink(_) => true,
            Address::Vsock(address) => address.cid == VsockAddress::CID_LOCAL,
            // A host that calls itself does so from the address that it calls.
            address => address
                .ip()
                .is_some_and(|ip| ip.is_loopback() || self.local.as_ref().and_then(Address::ip) == Some(ip)),
        };
        if here { Clock::Same } else { Clock::Free }
    }

    fn use_socket(&mut self, socket: Socket) -> Result<(), CallError> {
        let ready = prepare(&socket, self.transport.kind())
            .and_then(|()| self.poll.add(&socket, SOCKET, Interest::Read));
        ready.map_err(|error| self.error("prepare", error))?;
        self.wire = Wire::ask(&socket, self.transport, &self.address);
        self.local = socket.local_addr().ok();
        self.socket = Some(socket);
        Ok(())
    }

    fn is_over(&self) -> bool {
        let now = self.clocks.now().mono;
        let late = self.end().is_some_and(|end| end <= now);
        late || self.prober.is_over() || self.control.stop.load(Ordering::Relaxed)
    }

    fn end(&self) -> Option<MonoTime> {
        self.ping.deadline.map(|deadline| self.start + deadline)
    }

    /// Sends what is due, waits, and takes what has come.
    fn turn(&mut self) -> Result<(), CallError> {
        self.send_due()?;
        let now = self.clocks.now().mono;
        let wakes = [self.prober.wakes().map(|wakes| wakes.max(self.held_until())), self.end()];
        let wait = wakes.into_iter().flatten().min().map_or(LONGEST, |wakes| wakes - now);
        self.poll
            .wait_exactly(&mut self.events, wait.min(LONGEST))
            .map_err(|error| self.error("wait for", error))?;
        let mut told = 0;
        while let Some(event) = self.events.get(told) {
            told += 1;
            match event.token {
                CONTROL => self.heed().map_err(|error| self.error("wait for", error))?,
                _ if event.ready.readable || event.ready.writable => {
                    self.flush()?;
                    self.hear()?;
                }
                _ => {}
            }
        }
        self.expire();
        self.tell_interval();
        Ok(())
    }

    /// Somebody wants something.
    fn heed(&mut self) -> io::Result<()> {
        self.control.waker.rest()?;
        if self.control.interim.swap(false, Ordering::Relaxed) {
            let report = self.statistics.report(self.prober.skipped());
            self.happenings.push_back(Happening::Interim(Box::new(report)));
        }
        Ok(())
    }

    /// A pause holds back calls, but not the end of waiting.
    fn held_until(&self) -> MonoTime {
        match self.prober.open() {
            0 => self.paused_until,
            _ => MonoTime::from_origin(Duration::ZERO),
        }
    }

    fn send_due(&mut self) -> Result<(), CallError> {
        for _ in 0..TURN_MAX {
            let at = self.clocks.now();
            let due = self.prober.due().filter(|due| (*due).max(self.paused_until) <= at.mono);
            let is_over = self.end().is_some_and(|end| end <= at.mono);
            let Some(due) = due.filter(|_| !is_over) else { return Ok(()) };
            if self.socket.is_none() {
                self.connect_again(due)?;
            } else {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Sends the next call.
    fn send(&mut self) -> Result<(), CallError> {
        if !self.unsent.is_empty() {
            return self.miss(None);
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        self.message.clear();
        let at = self.clocks.now();
        let number = self.prober.call(at, &mut self.message);
        let mut sent = socket.send(&self.message);
        if self.wire.errors && sent.as_ref().is_err_and(|error| !is_momentary(error)) {
            // It was an earlier call that failed, of which the queue tells more; this one has not left yet.
            self.hear_errors()?;
            sent = self.socket.as_ref().map_or(Ok(0), |socket| socket.send(&self.message));
        }
        match sent {
            Ok(len) if len < self.message.len() && self.prober.plan().stream => {
                self.unsent.extend(&self.message[len..]);
                self.watch(Interest::Both)
            }
            Ok(_) => Ok(()),
            Err(error) if is_momentary(&error) && self.prober.plan().stream => {
                self.unsent.extend(&self.message);
                self.watch(Interest::Both)
            }
            Err(error) if is_momentary(&error) => {
                self.lose(Some(number), None);
                Ok(())
            }
            Err(error) => self.failed("send to", Some(number), error),
        }
    }

    /// Sends what was kept of a stream.
    fn flush(&mut self) -> Result<(), CallError> {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.unsent.is_empty()) else { return Ok(()) };
        match socket.send(self.unsent.make_contiguous()) {
            Ok(len) => drop(self.unsent.drain(..len)),
            Err(error) if is_momentary(&error) => {}
            Err(error) => return self.failed("send to", None, error),
        }
        if self.unsent.is_empty() { self.watch(Interest::Read) } else { Ok(()) }
    }

    fn watch(&self, interest: Interest) -> Result<(), CallError> {
        let Some(socket) = &self.socket else { return Ok(()) };
        self.poll.modify(socket, SOCKET, interest).map_err(|error| self.error("wait for", error))
    }

    /// Takes what has come.
    fn hear(&mut self) -> Result<(), CallError> {
        self.hear_errors()?;
        for _ in 0..TURN_MAX {
            let Some(socket) = &self.socket else { return Ok(()) };
            let received = self.wire.receive(socket, &mut self.buffer);
            let program = self.clocks.now();
            match received {
                Ok((0, _)) if self.transport.kind() != Kind::Datagrams => {
                    self.cut(Word::Closed);
                    return Ok(());
                }
                Ok((len, kernel)) => self.take(len, came(program, kernel)),
                Err(error) if is_momentary(&error) => return Ok(()),
                Err(error) if self.transport.is_end(&error) => self.cut(Word::Closed),
                // The queue has told of it.
                Err(error) if self.wire.errors && self.word(&error).is_some() => self.hear_errors()?,
                Err(error) => return self.failed("receive from", None, error),
            }
        }
        Ok(())
    }

    /// Takes what has come back.
    fn take(&mut self, len: usize, at: Times) {
        let mut happened = Vec::new();
        let bytes = std::mem::take(&mut self.buffer);
        let heard = self.prober.hear(&bytes[..len], at, |event| happened.push(event));
        self.buffer = bytes;
        happened.into_iter().for_each(|event| self.count(event));
        if heard.is_err() {
            // What follows can no longer be told.
            self.statistics.stray();
            self.happenings.push_back(Happening::Stray);
            self.cut(Word::Closed);
        }
    }

    fn count(&mut self, event: Event) {
        let happening = match event {
            Event::Answered(sample) => self.answered(&sample, false),
            Event::Late(sample) => self.answered(&sample, true),
            Event::Duplicate(number) => {
                self.statistics.duplicate();
                Happening::Duplicate(number)
            }
            Event::Unanswered(number) => {
                return self.count_lost(number, Some(Word::Timeout), self.clocks.now().mono);
            }
            // Where anybody may speak, not all of it is for us.
            Event::Stray if self.transport.hears_strangers() => return,
            Event::Stray => {
                self.statistics.stray();
                Happening::Stray
            }
        };
        self.happenings.push_back(happening);
    }

    fn answered(&mut self, sample: &Sample, late: bool) -> Happening {
        let ways = self.statistics.answered(sample, late);
        let clock = self.statistics.clock();
        if clock != self.clock {
            self.clock = clock;
            self.happenings.push_back(Happening::Contradicted);
        }
        if let Some(next) = self.prober.due()
            && let Some(phase) = self.statistics.edge(next, sample.rtt())
        {
            self.prober.aim(phase);
        }
        Happening::Answered(Answered {
            number: sample.number,
            sent: sample.sent.best().wall,
            rtt: sample.rtt(),
            ways,
            residence: sample.residence(),
            clock,
            late,
            reordered: sample.reordered,
        })
    }

    /// Takes what the kernel tells of packets.
    fn hear_errors(&mut self) -> Result<(), CallError> {
        loop {
            let Some(socket) = &self.socket else { return Ok(()) };
            let notice = self.wire.notice(socket, &mut self.buffer);
            match notice.map_err(|error| self.error("receive errors of", error))? {
                None => return Ok(()),
                Some(Notice::Left { packet, at }) => {
                    let number = self.prober.number_in(&packet);
                    if let Some((number, sent)) = number.zip(number.and_then(|n| self.prober.sent(n)))
                        && let Some(kernel) = left(sent, at)
                    {
                        self.prober.left(number, kernel);
                    }
                }
                Some(Notice::Failed { packet, error }) => {
                    let number = self.prober.number_in(&packet);
                    let errno = i32::try_from(error.errno).unwrap_or(0);
                    self.failed("reach", number, io::Error::from_raw_os_error(errno))?;
                }
            }
        }
    }

    /// A call has failed, or the oldest that is awaited, if it is not known which.
    fn failed(
        &mut self,
        operation: &'static str,
        number: Option<u64>,
        error: io::Error,
    ) -> Result<(), CallError> {
        let Some(word) = self.word(&error) else { return Err(self.error(operation, error)) };
        if word == Word::Refused
            && self.transport.kind() == Kind::Datagrams
            && self.statistics.answers() == 0
            && let Some(next) = self.candidates.connect(Deadline::after(self.ping.call.wait))
            && let Ok((socket, address)) = next
        {
            // The name has another address, and nothing is known of this one.
            (self.socket, self.address) = (None, address);
            self.use_socket(socket)?;
            self.start_over();
            return Ok(());
        }
        self.lose(number, Some(word));
        if self.transport.kind() != Kind::Datagrams || !self.transport.has_hosts() {
            // Where there are no hosts a socket stays with the very socket that it was connected to.
            self.cut(word);
        }
        Ok(())
    }

    /// Gives all calls up that are under way on a connection, and it.
    fn cut(&mut self, word: Word) {
        let at = self.clocks.now().mono;
        let mut lost = Vec::new();
        self.prober.cut(at, |number| lost.push(number));
        lost.into_iter().for_each(|number| self.count_lost(number, Some(word), at));
        self.unsent.clear();
        if self.socket.take().is_some() {
            self.happenings.push_back(Happening::Connected(false));
        }
        self.pause(at);
    }

    /// Tries to reach the peer again, for the call that was due then; if it cannot be, all that came due are lost.
    fn connect_again(&mut self, due: MonoTime) -> Result<(), CallError> {
        let deadline = Deadline::after(self.ping.call.wait);
        let call = || CallError::timeout("connect", &self.ping.call.endpoint);
        let result = Candidates::of(&self.ping.call, deadline)
            .and_then(|mut candidates| candidates.connect(deadline).unwrap_or_else(|| Err(call())));
        match result {
            Ok((socket, address)) => {
                self.address = address;
                self.use_socket(socket)?;
                self.happenings.push_back(Happening::Connected(true));
                Ok(())
            }
            Err(error) => {
                let Some(word) = error.word() else { return Err(error) };
                let until = self.clocks.now();
                let mut next = Some(due);
                while let Some(due) = next.filter(|due| *due <= until.mono) {
                    let number = self.prober.miss(Moment { wall: until.wall, mono: due });
                    self.count_lost(number, Some(word), until.mono);
                    next = self.prober.due().filter(|_| !self.ping.interval.is_zero());
                }
                self.pause(until.mono);
                Ok(())
            }
        }
    }

    /// The next call cannot be sent.
    fn miss(&mut self, word: Option<Word>) -> Result<(), CallError> {
        let at = self.clocks.now();
        let number = self.prober.miss(at);
        self.count_lost(number, word, at.mono);
        self.pause(at.mono);
        Ok(())
    }

    fn lose(&mut self, number: Option<u64>, word: Option<Word>) {
        let at = self.clocks.now().mono;
        if let Some(number) = self.prober.fail(number, at) {
            self.count_lost(number, word, at);
        }
        self.pause(at);
    }

    fn count_lost(&mut self, number: u64, word: Option<Word>, at: MonoTime) {
        let sent = self.prober.sent(number).map_or(at, |sent| sent.mono);
        self.statistics.lost(word, sent, at);
        self.happenings.push_back(Happening::Lost { number, word });
    }

    fn pause(&mut self, at: MonoTime) {
        if self.ping.interval.is_zero() {
            self.paused_until = at + PAUSE;
        }
    }

    fn expire(&mut self) {
        let mut expired = Vec::new();
        self.prober.expire(self.clocks.now().mono, |event| expired.push(event));
        expired.into_iter().for_each(|event| self.count(event));
    }

    fn tell_interval(&mut self) {
        let now = self.clocks.now().mono;
        if TELL_EVERY.max(self.ping.interval * 10) <= now - self.told {
            self.told = now;
            let interval = Box::new(self.statistics.take_interval());
            self.happenings.push_back(Happening::Interval(interval));
        }
    }

    /// How the peer has failed, if it was the peer.
    fn word(&self, error: &io::Error) -> Option<Word> {
        Word::of(error, &self.address)
    }

    fn error(&self, operation: &'static str, error: io::Error) -> CallError {
        CallError::of(operation, &self.endpoint(), &self.address, error)
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
