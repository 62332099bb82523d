//! The loop that drives a prober: it sends when a call is due, and takes what comes back.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use echosounder_proto::{
    Clock as _, FailureKind, Moment, MonoTime, Payload, Plan, ProbeEvent, Prober, Sample,
    TIMESTAMP_PLACEHOLDER, Times, WallTime,
};
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{
    Address, Endpoint, Error, Events, Interest, IoBuffer, Kind, Poll, Socket, StopToken, Transport, Waker,
    is_out_of_resources, set_timer_slack,
};

use crate::clock::{Deadline, SystemClock};
use crate::connect::{Candidates, ConnectOptions};
use crate::directions::{Clock, OneWayDelay};
use crate::error::{ClientError, failure_kind, is_about_earlier};
use crate::nonblocking::{is_transient, prepare};
use crate::starvation::Starvation;
use crate::statistics::{PingInterval, PingReport, Statistics};
use crate::wait_limit::WaitLimit;
use crate::wire::{ErrorQueueEvent, KernelTimestamps, TimestampSource, left, rx_times};

/// The shortest call on a stream: a blank, a digit, a newline.
pub const STREAM_CALL_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + 2;

/// The shortest call where messages have bounds: its number tells ten million apart.
pub const CALL_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + 8;

/// The longest time between two looks at what is to be done.
const LONGEST: Duration = Duration::from_secs(3600);

/// Most calls before it is heard what has come, and most reads before calls are due again.
const TURN_MAX: usize = 64;

/// How long nothing is sent after a failure, if calls would otherwise leave as fast as they fail; and how long a peer that
/// is gone is left alone.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a name that was not found is not looked up again: a lookup that hangs cannot be ended.
const LOOKUP_PAUSE: Duration = Duration::from_secs(5);

/// How many calls are remembered that were given up for another reason than that they took too long.
const REASONS_MAX: usize = 1024;

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
    pub call: ConnectOptions,
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
    /// Which clock reads times the receipt of replies.
    pub timestamps: TimestampSource,
}

impl Ping {
    /// A single request only finds out whether the peer replies; anything longer waits for a peer to come up.
    fn is_probe(&self) -> bool {
        self.count == Some(1)
    }

    /// Whether it has gone on for as long as it may.
    fn is_over(&self, elapsed: Duration) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= elapsed)
    }

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
pub enum PingEvent {
    /// One was answered, perhaps late.
    Answered(Answered),
    /// One was not answered in time, or failed in another way; without a word there was no room to send it.
    Lost {
        /// Which.
        number: u64,
        /// When it left, or was to leave.
        sent: WallTime,
        /// How.
        word: Option<FailureKind>,
    },
    /// One was answered once more.
    Duplicate(u64),
    /// Something rx_times that answers no call.
    Unexpected,
    /// The stamps do not come from the clock that they were taken for.
    Contradicted,
    /// The connection was lost, or is there again.
    Connected(bool),
    /// The target is somewhere else: the name has another address, and that has answered.
    Moved(Box<Place>),
    /// How it went since this was last told.
    Interval(Box<PingInterval>),
    /// How it went until now, since somebody has asked.
    Interim(Box<PingReport>),
    /// The report so far, since [`Control::checkpoint`] has asked for it.
    Checkpoint(Box<PingReport>),
}

/// Where a target was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The endpoint that was called, at the address that takes the calls.
    pub endpoint: String,
    /// That address.
    pub address: Address,
    /// Where calls leave from, if that is known.
    pub local: Option<Address>,
    /// What the kernel tells.
    pub wire: KernelTimestamps,
    /// What the peer's clock is taken for.
    pub clock: Clock,
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
    pub ways: Option<OneWayDelay>,
    /// How long the server had it.
    pub residence: Option<Duration>,
    /// By which clock the ways are told.
    pub clock: Clock,
    /// Whether it rx_times when it had been given up.
    pub late: bool,
    /// Whether the answer to a later call had come before.
    pub reordered: bool,
}

/// How a ping is told to end, or to say how it goes, from another thread.
#[derive(Debug)]
pub struct Control {
    stop: StopToken,
    interim: AtomicBool,
    checkpoint: AtomicBool,
    waker: Waker,
}

impl Control {
    /// For one ping.
    ///
    /// # Errors
    ///
    /// As eventfd(2).
    pub fn new() -> io::Result<Self> {
        let [interim, checkpoint] = [(); 2].map(|()| AtomicBool::new(false));
        Ok(Self { stop: StopToken::new()?, interim, checkpoint, waker: Waker::new()? })
    }

    /// It is to end.
    pub fn stop(&self) {
        self.stop.stop();
        // An eventfd that cannot be written to is readable already.
        let _ = self.waker.wake();
    }

    /// Whether it is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }

    /// It is to say how it goes.
    pub fn ask(&self) {
        self.tell(&self.interim);
    }

    /// Asks for the report so far, to be saved rather than shown.
    pub fn checkpoint(&self) {
        self.tell(&self.checkpoint);
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
    /// When the name was looked up, from which the deadline counts.
    began: MonoTime,
    transport: Transport,
    address: Address,
    /// Where else it may be, as long as nothing was answered.
    candidates: Candidates,
    /// None while the connection is lost.
    socket: Option<Socket>,
    local: Option<Address>,
    wire: KernelTimestamps,
    clock: Clock,
    control: Arc<Control>,
    poll: Poll,
    events: Events,
    clocks: SystemClock,
    start: MonoTime,
    prober: Prober,
    statistics: Statistics,
    /// Nothing is sent before.
    paused_until: MonoTime,
    /// No connection is tried before, and what the last has failed in.
    gone_until: (MonoTime, FailureKind),
    /// Calls that were given up, not because they took too long.
    reasons: VecDeque<(u64, FailureKind)>,
    told: MonoTime,
    /// What the kernel has not taken, of a stream.
    unsent: VecDeque<u8>,
    message: Vec<u8>,
    buffer: IoBuffer,
    starvation: Starvation,
    /// What has happened and is to be told.
    happenings: VecDeque<PingEvent>,
}

impl Pinger {
    /// Reaches the target. Of datagrams it shows only later whether anybody is there. Unless a single request is to be
    /// sent, a peer that cannot be reached yet is no error: it is tried again for the requests.
    ///
    /// # Errors
    ///
    /// If the name has no address, if many hosts would be reached, if this machine fails, or, with a count of one, if
    /// the peer cannot be reached.
    pub fn connect(ping: Ping, control: Arc<Control>) -> Result<Self, ClientError> {
        let clocks = SystemClock::new();
        let limit = WaitLimit::with_clock(Arc::new(clocks), control.stop.clone(), Duration::MAX);
        let began = clocks.now().mono;
        let local = |error| ClientError::Local(Error::new("poll", &ping.call.endpoint, error));
        let deadline = limit.within(ping.call.wait.min(ping.deadline.unwrap_or(ping.call.wait)));
        let mut candidates = Candidates::resolve(&ping.call, deadline, &limit)?;
        candidates.refuse_multicast(&ping.call.endpoint)?;
        let poll = Poll::new().map_err(local)?;
        poll.add(&control.waker, CONTROL, Interest::Read).map_err(local)?;
        let nobody = || Err(ClientError::timeout("connect to", &ping.call.endpoint));
        let first = candidates.addresses().next().cloned();
        let (socket, address, word) = match candidates.connect(deadline).unwrap_or_else(nobody) {
            Ok((socket, address)) => (Some(socket), address, None),
            Err(error) => match (error.word(), first) {
                (Some(word), Some(first)) if !ping.is_probe() && !ping.is_over(clocks.now().mono - began) => {
                    (None, first, Some(word))
                }
                _ => return Err(error),
            },
        };
        let mut pinger = Self::new(ping, control, candidates, address, poll, clocks, began);
        if let Some(socket) = socket {
            pinger.use_socket(socket)?;
        }
        pinger.start_over();
        if let Some(word) = word {
            pinger.gone_until = (pinger.clocks.now().mono + PAUSE, word);
        }
        Ok(pinger)
    }

    fn new(
        ping: Ping,
        control: Arc<Control>,
        candidates: Candidates,
        address: Address,
        poll: Poll,
        clocks: SystemClock,
        began: MonoTime,
    ) -> Self {
        let transport = ping.call.endpoint.transport();
        let plan = Plan {
            stream: transport.kind() == Kind::Stream,
            payload: Payload::with_placeholder(ping.size),
            interval: ping.interval,
            count: ping.count,
            wait: ping.call.wait,
        };
        Self {
            transport,
            address,
            candidates,
            socket: None,
            local: None,
            wire: KernelTimestamps::default(),
            clock: Clock::Free,
            control,
            poll,
            events: Events::with_capacity(8),
            clocks,
            began,
            start: began,
            prober: Prober::new(plan, began),
            statistics: Statistics::new(Clock::Free, false, began),
            paused_until: began,
            gone_until: (began, FailureKind::Closed),
            reasons: VecDeque::new(),
            told: began,
            unsent: VecDeque::new(),
            message: Vec::new(),
            buffer: IoBuffer::zeroed(ping.size + READ),
            starvation: Starvation::default(),
            happenings: VecDeque::new(),
            ping,
        }
    }

    /// What it is to do.
    pub fn ping(&self) -> &Ping {
        &self.ping
    }

    /// Where the target is.
    pub fn place(&self) -> Place {
        Place {
            endpoint: self.endpoint(),
            address: self.address.clone(),
            local: self.local.clone(),
            wire: self.wire,
            clock: self.statistics.clock(),
        }
    }

    fn endpoint(&self) -> String {
        Endpoint::display(self.transport, &self.address)
    }

    /// Calls until all is done, or it is told to stop; `tell` is told what happens. If it fails, the ping ends.
    ///
    /// The calling thread keeps exact timers afterwards: [`set_timer_slack`].
    ///
    /// # Errors
    ///
    /// If this machine fails. The report is of what was before.
    pub fn run(mut self, mut tell: impl FnMut(PingEvent) -> bool) -> (PingReport, Option<ClientError>) {
        // Where a sandbox refuses, waits end up to 50 µs later.
        let _ = set_timer_slack();
        let mut error = None;
        self.start_over();
        let mut told = |happenings: &mut VecDeque<PingEvent>| happenings.drain(..).all(&mut tell);
        while error.is_none() && !self.is_over() {
            error = self.turn().err();
            if !told(&mut self.happenings) {
                break;
            }
        }
        if error.is_none() {
            error = self.finish().err();
        }
        told(&mut self.happenings);
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

    /// Nothing more is waited for. A call that is under way is lost if it has been for longer than any answer took; of a
    /// younger one nobody knows, and it does not count.
    fn finish(&mut self) -> Result<(), ClientError> {
        self.hear()?;
        let (at, longest) = (self.clocks.now().mono, self.statistics.longest());
        let mut lost = Vec::new();
        self.prober.give_up_after(longest, at, |event| lost.push(event));
        if !lost.is_empty() {
            self.count_unmatched();
        }
        lost.into_iter().for_each(|event| self.count(event));
        Ok(())
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

    fn use_socket(&mut self, socket: Socket) -> Result<(), ClientError> {
        let ready = prepare(&socket, self.transport.kind())
            .and_then(|()| self.poll.add(&socket, SOCKET, Interest::Read));
        ready.map_err(|error| self.error("prepare", error))?;
        self.wire = KernelTimestamps::ask(&socket, self.transport, &self.address, self.ping.timestamps);
        self.local = socket.local_addr().ok();
        self.socket = Some(socket);
        Ok(())
    }

    fn is_over(&self) -> bool {
        let now = self.clocks.now().mono;
        let late = self.end().is_some_and(|end| end <= now);
        late || self.prober.is_over() || self.control.is_stopped()
    }

    fn end(&self) -> Option<MonoTime> {
        self.ping.deadline.map(|deadline| self.began + deadline)
    }

    /// Sends what is due, waits, and takes what has come.
    fn turn(&mut self) -> Result<(), ClientError> {
        self.send_due()?;
        let now = self.clocks.now().mono;
        let wakes = [self.prober.wakes().map(|wakes| wakes.max(self.held_until())), self.end()];
        // What has happened is reported before anything is waited for; with the last request that is all there is.
        let wait = match wakes.into_iter().flatten().min() {
            _ if !self.happenings.is_empty() || self.prober.is_over() => Duration::ZERO,
            Some(wakes) => wakes - now,
            None => LONGEST,
        };
        self.poll
            .wait_precise(&mut self.events, wait.min(LONGEST))
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
        self.control.waker.reset()?;
        if self.control.interim.swap(false, Ordering::Relaxed) {
            let report = self.statistics.report(self.prober.skipped());
            self.happenings.push_back(PingEvent::Interim(Box::new(report)));
        }
        if self.control.checkpoint.swap(false, Ordering::Relaxed) {
            let report = self.statistics.report(self.prober.skipped());
            self.happenings.push_back(PingEvent::Checkpoint(Box::new(report)));
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

    fn send_due(&mut self) -> Result<(), ClientError> {
        for _ in 0..TURN_MAX {
            let at = self.clocks.now();
            let due = self.prober.due().filter(|due| (*due).max(self.paused_until) <= at.mono);
            let is_over = self.end().is_some_and(|end| end <= at.mono);
            let Some(due) = due.filter(|_| !is_over) else { return Ok(()) };
            if self.socket.is_none() && at.mono < self.gone_until.0 {
                self.miss(Some(self.gone_until.1));
            } else if self.socket.is_none() {
                self.connect_again(due)?;
            } else {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Sends the next call.
    fn send(&mut self) -> Result<(), ClientError> {
        if !self.unsent.is_empty() || !self.prober.has_room() {
            self.miss(None);
            return Ok(());
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        self.message.clear();
        let at = self.clocks.now();
        let number = self.prober.call(at, &mut self.message);
        let mut sent = socket.send(&self.message);
        let of_earlier = self.transport.kind() == Kind::Datagrams;
        if of_earlier && sent.as_ref().is_err_and(|error| !is_transient(error)) {
            // The error may be about an earlier packet, of which the error queue says more: this one has not left yet.
            if self.hear_errors()? {
                return Ok(());
            }
            sent = self.socket.as_ref().map_or(Ok(0), |socket| socket.send(&self.message));
        }
        match sent {
            Ok(len) if len < self.message.len() && self.prober.plan().stream => {
                self.unsent.extend(&self.message[len..]);
                self.watch(Interest::Both)
            }
            Ok(_) => Ok(()),
            Err(error) if is_transient(&error) && self.prober.plan().stream => {
                self.unsent.extend(&self.message);
                self.watch(Interest::Both)
            }
            Err(error) if is_transient(&error) => {
                self.lose(Some(number), None);
                Ok(())
            }
            Err(error) => self.failed("send to", Some(number), error).map(drop),
        }
    }

    /// Sends what was kept of a stream.
    fn flush(&mut self) -> Result<(), ClientError> {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.unsent.is_empty()) else { return Ok(()) };
        match socket.send(self.unsent.make_contiguous()) {
            Ok(len) => drop(self.unsent.drain(..len)),
            Err(error) if is_transient(&error) => {}
            Err(error) => return self.failed("send to", None, error).map(drop),
        }
        if self.unsent.is_empty() { self.watch(Interest::Read) } else { Ok(()) }
    }

    fn watch(&self, interest: Interest) -> Result<(), ClientError> {
        let Some(socket) = &self.socket else { return Ok(()) };
        self.poll.modify(socket, SOCKET, interest).map_err(|error| self.error("wait for", error))
    }

    /// Takes what has come.
    fn hear(&mut self) -> Result<(), ClientError> {
        self.hear_errors()?;
        let kind = self.transport.kind();
        for _ in 0..TURN_MAX {
            let Some(socket) = &self.socket else { return Ok(()) };
            let received = self.wire.receive(socket, &mut self.buffer);
            let program = self.clocks.now();
            if !received.as_ref().is_err_and(is_out_of_resources) {
                self.starvation.end();
            }
            match received {
                Ok((0, _)) if self.transport.kind() != Kind::Datagrams => {
                    self.cut(FailureKind::Closed);
                    return Ok(());
                }
                Ok((len, kernel)) => self.take(len, rx_times(program, kernel)),
                Err(error) if is_out_of_resources(&error) && self.starvation.rest(self.clocks.mono()) => {
                    return Err(self.error("receive from", error));
                }
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) if self.transport.is_end(&error) => self.cut(FailureKind::Closed),
                // It is about an earlier packet, and the error queue says which.
                Err(error) if self.wire.errors && is_about_earlier(kind, &error) => {
                    self.hear_errors()?;
                }
                Err(error) if is_about_earlier(kind, &error) => {
                    let word = self.word("receive from", &error).unwrap_or(FailureKind::Unreachable);
                    self.lost_to(None, word)?;
                }
                Err(error) => return self.failed("receive from", None, error).map(drop),
            }
        }
        Ok(())
    }

    /// Takes what has come back.
    fn take(&mut self, len: usize, at: Times) {
        let mut happened = Vec::new();
        let bytes = std::mem::take(&mut self.buffer);
        self.prober.hear(&bytes[..len], at, |event| happened.push(event));
        self.buffer = bytes;
        happened.into_iter().for_each(|event| self.count(event));
    }

    /// Reports that a stream has brought bytes that are no reply, once requests are given up.
    fn count_unmatched(&mut self) {
        if self.prober.take_unmatched() {
            self.count(ProbeEvent::Unexpected);
        }
    }

    fn count(&mut self, event: ProbeEvent) {
        let happening = match event {
            ProbeEvent::Answered(sample) => self.answered(&sample, false),
            ProbeEvent::Late(sample) => self.answered(&sample, true),
            ProbeEvent::Duplicate(number) => {
                self.statistics.duplicate();
                PingEvent::Duplicate(number)
            }
            ProbeEvent::Unanswered(number) => {
                return self.count_lost(number, Some(FailureKind::Timeout), self.clocks.now().mono);
            }
            // Where anybody may speak, not all of it is for us.
            ProbeEvent::Unexpected if self.transport.receives_from_any() => return,
            ProbeEvent::Unexpected => {
                self.statistics.stray();
                PingEvent::Unexpected
            }
        };
        self.happenings.push_back(happening);
    }

    fn answered(&mut self, sample: &Sample, late: bool) -> PingEvent {
        // What was reported as a timeout stays late. A request that was given up for another reason, such as what a
        // router said of it, may be answered in time all the same.
        let given_up = late.then(|| self.take_reason(sample.number));
        let late = late && (given_up == Some(FailureKind::Timeout) || self.ping.call.wait < sample.rtt());
        let ways = self.statistics.answered(sample, late, given_up);
        let clock = self.statistics.clock();
        if clock != self.clock {
            self.clock = clock;
            self.happenings.push_back(PingEvent::Contradicted);
        }
        if let Some(next) = self.prober.due()
            && let Some(phase) = self.statistics.edge(next, sample.rtt())
        {
            self.prober.aim(phase);
        }
        PingEvent::Answered(Answered {
            number: sample.number,
            sent: sample.sent.program.wall,
            rtt: sample.rtt(),
            ways,
            residence: sample.residence(),
            clock,
            late,
            reordered: sample.reordered,
        })
    }

    /// Why a call was given up that is answered after all.
    fn take_reason(&mut self, number: u64) -> FailureKind {
        let place = self.reasons.iter().position(|(other, _)| *other == number);
        place.and_then(|place| self.reasons.remove(place)).map_or(FailureKind::Timeout, |(_, word)| word)
    }

    /// Takes what the kernel tells of packets; whether all begins anew is returned.
    fn hear_errors(&mut self) -> Result<bool, ClientError> {
        loop {
            let Some(socket) = &self.socket else { return Ok(false) };
            let notice = self.wire.notice(socket, &mut self.buffer);
            match notice.map_err(|error| self.error("receive errors of", error))? {
                None => return Ok(false),
                Some(ErrorQueueEvent::Other) => {}
                Some(ErrorQueueEvent::Left { packet, at }) => {
                    let number = self.prober.number_in(&packet);
                    if let Some((number, sent)) = number.zip(number.and_then(|n| self.prober.sent(n)))
                        && let Some(kernel) = left(sent, at)
                    {
                        self.prober.left(number, kernel);
                    }
                }
                Some(ErrorQueueEvent::Failed { packet, error }) => {
                    let number = self.prober.number_in(&packet);
                    let errno = i32::try_from(error.errno).unwrap_or(0);
                    let word = self.word("receive from", &io::Error::from_raw_os_error(errno));
                    // Whatever a router has against a packet, there is no way for it.
                    if self.lost_to(number, word.unwrap_or(FailureKind::Unreachable))? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// A call has failed, or the oldest that is awaited, if it is not known which; whether all begins anew is returned.
    fn failed(
        &mut self,
        operation: &'static str,
        number: Option<u64>,
        error: io::Error,
    ) -> Result<bool, ClientError> {
        match self.word(operation, &error) {
            Some(word) => self.lost_to(number, word),
            None => {
                self.lose(number, None);
                Err(self.error(operation, error))
            }
        }
    }

    fn lost_to(&mut self, number: Option<u64>, word: FailureKind) -> Result<bool, ClientError> {
        if word == FailureKind::Refused
            && self.transport.kind() == Kind::Datagrams
            && self.statistics.is_empty()
            && let Some(next) = self.candidates.connect(Deadline::NEVER)
            && let Ok((socket, address)) = next
        {
            // The name has another address, and nothing is known of this one.
            (self.socket, self.address) = (None, address);
            self.use_socket(socket)?;
            self.start_over();
            self.happenings.push_back(PingEvent::Moved(Box::new(self.place())));
            return Ok(true);
        }
        self.lose(number, Some(word));
        if self.transport.kind() != Kind::Datagrams || !self.transport.has_hosts() {
            // Where there are no hosts a socket stays with the very socket that it was connected to.
            self.cut(word);
        }
        Ok(false)
    }

    /// Gives all calls up that are under way on a connection, and it.
    fn cut(&mut self, word: FailureKind) {
        let at = self.clocks.now().mono;
        let mut lost = Vec::new();
        self.prober.cut(at, |number| lost.push(number));
        // A peer that ends a connection when all was answered may take the next request over another one.
        let pause = if lost.is_empty() { Duration::ZERO } else { PAUSE };
        if !lost.is_empty() {
            self.count_unmatched();
            self.pause(at);
        }
        lost.into_iter().for_each(|number| self.count_lost(number, Some(word), at));
        self.unsent.clear();
        if self.socket.take().is_some() {
            self.happenings.push_back(PingEvent::Connected(false));
        }
        self.gone_until = (at + pause, word);
    }

    /// Tries to reach the peer again, for the call that was due then; if it cannot be, all that rx_times due are lost.
    fn connect_again(&mut self, due: MonoTime) -> Result<(), ClientError> {
        let left = self.end().map_or(self.ping.call.wait, |end| end - self.clocks.now().mono);
        let limit = WaitLimit::with_clock(Arc::new(self.clocks), self.control.stop.clone(), Duration::MAX);
        let deadline = limit.within(self.ping.call.wait.min(left));
        let nobody = || Err(ClientError::timeout("connect to", &self.ping.call.endpoint));
        let result = Candidates::resolve(&self.ping.call, deadline, &limit)
            .and_then(|mut candidates| candidates.connect(deadline).unwrap_or_else(nobody));
        match result {
            Ok((socket, address)) => self.connected_again(socket, address),
            Err(ClientError::Interrupted) => Ok(()),
            Err(error) => {
                let Some(word) = error.word() else { return Err(error) };
                self.lose_due(due, word);
                Ok(())
            }
        }
    }

    fn connected_again(&mut self, socket: Socket, address: Address) -> Result<(), ClientError> {
        // A target that could not be reached at first has not been described yet.
        let is_first = self.local.is_none();
        let moved = self.address != address || is_first;
        self.address = address;
        self.use_socket(socket)?;
        if !is_first {
            self.happenings.push_back(PingEvent::Connected(true));
        }
        if moved {
            self.clock = self.ping.clock.unwrap_or_else(|| self.likely_clock());
            self.statistics.moved(self.clock, self.ping.clock.is_none());
            self.happenings.push_back(PingEvent::Moved(Box::new(self.place())));
        }
        Ok(())
    }

    /// The calls that have come due since then are lost, as long as any were to be made.
    fn lose_due(&mut self, due: MonoTime, word: FailureKind) {
        let now = self.clocks.now();
        let until = self.end().map_or(now.mono, |end| end.min(now.mono));
        let mut next = Some(due);
        while let Some(due) = next.filter(|due| *due <= until) {
            let number = self.prober.miss(Moment { wall: now.wall, mono: due });
            self.count_lost(number, Some(word), now.mono);
            next = self.prober.due().filter(|_| !self.ping.interval.is_zero());
        }
        let pause = if word == FailureKind::Dns { LOOKUP_PAUSE } else { PAUSE };
        self.gone_until = (now.mono + pause, word);
        self.pause(now.mono);
    }

    /// The next call cannot be sent.
    fn miss(&mut self, word: Option<FailureKind>) {
        let at = self.clocks.now();
        let number = self.prober.miss(at);
        self.count_lost(number, word, at.mono);
        self.pause(at.mono);
    }

    fn lose(&mut self, number: Option<u64>, word: Option<FailureKind>) {
        let at = self.clocks.now().mono;
        if let Some(number) = self.prober.fail(number, at) {
            self.count_lost(number, word, at);
        }
        self.pause(at);
    }

    fn count_lost(&mut self, number: u64, word: Option<FailureKind>, at: MonoTime) {
        let sent = self.prober.sent(number).unwrap_or_else(|| self.clocks.now());
        if let Some(word) = word.filter(|word| *word != FailureKind::Timeout) {
            if self.reasons.len() == REASONS_MAX {
                self.reasons.pop_front();
            }
            self.reasons.push_back((number, word));
        }
        self.statistics.lost(word, sent.mono, at);
        self.happenings.push_back(PingEvent::Lost { number, sent: sent.wall, word });
    }

    fn pause(&mut self, at: MonoTime) {
        if self.ping.interval.is_zero() {
            self.paused_until = at + PAUSE;
        }
    }

    fn expire(&mut self) {
        let mut expired = Vec::new();
        self.prober.expire(self.clocks.now().mono, |event| expired.push(event));
        if !expired.is_empty() {
            self.count_unmatched();
        }
        expired.into_iter().for_each(|event| self.count(event));
    }

    fn tell_interval(&mut self) {
        let now = self.clocks.now().mono;
        if TELL_EVERY.max(self.ping.interval.saturating_mul(10)) <= now - self.told {
            self.told = now;
            let interval = Box::new(self.statistics.take_interval());
            self.happenings.push_back(PingEvent::Interval(interval));
        }
    }

    /// How the peer has failed, if it was the peer.
    fn word(&self, operation: &str, error: &io::Error) -> Option<FailureKind> {
        failure_kind(operation, error, &self.address)
    }

    fn error(&self, operation: &'static str, error: io::Error) -> ClientError {
        ClientError::of(operation, &self.endpoint(), &self.address, error)
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
