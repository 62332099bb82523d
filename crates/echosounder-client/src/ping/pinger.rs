//! The loop that drives the sessions of all targets on one thread.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime};
use echosounder_socket::{Error, Events, Interest, IoBuffer, Poll};

use super::connector::{ConnectOutcome, Connector, index_of};
use super::context::Context;
use super::control::PingControl;
use super::detail::Detail;
use super::event::{PingEvent, TargetEvent};
use super::plan::PingOptions;
use super::probe::Probe;
use super::session::Session;
use crate::clock::SystemClock;
use crate::error::ClientError;
use crate::exact_timers::ExactTimers;

/// The longest wait: a signal or a step of the clock must not be waited for longer.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Maximum bytes of one read of a stream, and of the text that a server adds to a request.
const READ_BYTES: usize = 64 * 1024;

/// How long a name without an address is not looked up again.
const LOOKUP_PAUSE: Duration = Duration::from_secs(5);

/// Sockets that one wait reports at most.
const EVENTS_MAX: usize = 256;

/// Tokens of the poll. Sessions have their indices.
const CONTROL: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const CONNECTOR: u64 = u64::MAX - 2;

/// Which targets are measured at the same time.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All of them.
    AtOnce,
    /// One after another.
    InTurn,
}

/// Measures round trips to many targets on the calling thread.
///
/// [`Ping`](crate::Ping) does the same with fewer words, and has examples.
pub struct Pinger {
    context: Context,
    control: Arc<PingControl>,
    order: Order,
    slots: Vec<Slot>,
    /// How many slots have not ended.
    running: usize,
    /// When each running session is to have its next turn.
    deadlines: BTreeSet<(MonoTime, usize)>,
}

/// A target.
struct Slot {
    state: State,
    /// The session's entry in the deadlines.
    deadline: Option<MonoTime>,
}

enum State {
    /// Its turn has not come.
    Waiting(Box<PingOptions>),
    /// It is looked up and connected for the first time, since that time.
    Opening(Box<PingOptions>, MonoTime),
    /// It was not found, and is to be opened again until it is up.
    Reopening(Box<PingOptions>, MonoTime, ClientError),
    Running(Box<Session>),
    Ended,
}

impl Pinger {
    /// Creates a pinger for these targets, by the system's clock.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a request is smaller than the minimum of its transport, or larger than
    /// [`REQUEST_BYTES_MAX`](crate::REQUEST_BYTES_MAX). If this machine has no descriptors left.
    pub fn new(targets: Vec<PingOptions>, order: Order, control: Arc<PingControl>) -> io::Result<Self> {
        Self::with_clock(targets, order, control, Arc::new(SystemClock::new()))
    }

    /// Creates a pinger by another clock, for tests that decide what time it is. The kernel still
    /// measures the waits.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a request is smaller than the minimum of its transport, or larger than
    /// [`REQUEST_BYTES_MAX`](crate::REQUEST_BYTES_MAX). If this machine has no descriptors left.
    pub fn with_clock(
        targets: Vec<PingOptions>,
        order: Order,
        control: Arc<PingControl>,
        clock: Arc<dyn Clock + Send + Sync>,
    ) -> io::Result<Self> {
        targets.iter().try_for_each(PingOptions::check)?;
        let (poll, connector) = (Poll::new()?, Connector::new(Arc::clone(&clock))?);
        poll.add(&*control, CONTROL, Interest::READ)?;
        poll.add(control.stop_token(), STOP, Interest::READ)?;
        poll.add(&connector, CONNECTOR, Interest::READ)?;
        let longest = targets.iter().map(|ping| ping.size_bytes).max().unwrap_or(0);
        let context = Context {
            clock,
            poll,
            connector,
            detail: Detail::of_targets(targets.len()),
            buffer: IoBuffer::zeroed(longest + READ_BYTES),
            message: Vec::new(),
            events: Vec::new(),
        };
        let slots = targets.into_iter().map(|mut ping| {
            ping.connect.opens = ping.probe.opens();
            Slot::new(State::Waiting(Box::new(ping)))
        });
        let slots: Vec<_> = slots.collect();
        let running = slots.len();
        Ok(Self { context, control, order, slots, running, deadlines: BTreeSet::new() })
    }

    /// Measures until all targets have ended or the control's token is stopped. Each event is
    /// passed to `emit` with the index of its target; when `emit` returns `false`, all targets end.
    ///
    /// Meanwhile the calling thread has a timer slack of 1 ns: PR_SET_TIMERSLACK, prctl(2). Then it
    /// has its former one again.
    pub fn run(mut self, mut emit: impl FnMut(usize, TargetEvent) -> bool) {
        let _exact = ExactTimers::start();
        let mut events = Events::with_capacity(EVENTS_MAX);
        let emit: &mut dyn FnMut(usize, TargetEvent) -> bool = &mut emit;
        let mut goes_on = self.open(0, emit);
        while goes_on && self.running != 0 && !self.control.stop_token().is_stopped() {
            goes_on = self.turn(&mut events, emit);
        }
        for index in 0..self.slots.len() {
            self.end(index, None, emit);
        }
    }

    /// Waits until something is due or ready, and deals with it. Returns whether to go on.
    fn turn(&mut self, events: &mut Events, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        let now = self.context.clock.mono();
        let due = self.deadlines.first().map(|(deadline, _)| *deadline);
        let due = due.into_iter().chain(self.context.connector.deadline()).min();
        let wait = due.map_or(WAIT_MAX, |due| due - now);
        if let Err(error) = self.context.poll.wait_precise(events, wait.min(WAIT_MAX)) {
            return self.fail_all(&error, emit);
        }
        let mut place = 0;
        while let Some(event) = events.get(place) {
            place += 1;
            let goes_on = match event.token {
                STOP => return true,
                CONTROL => self.report(emit),
                CONNECTOR => {
                    self.context.connector.receive(&self.context.poll);
                    true
                }
                token => match index_of(token) {
                    Some(index) => {
                        self.context.connector.resume(index, &self.context.poll);
                        true
                    }
                    None => usize::try_from(token).is_ok_and(|index| self.run_session(index, true, emit)),
                },
            };
            if !goes_on {
                return false;
            }
        }
        self.take_connected(emit) && self.run_due(emit)
    }

    /// Gives each session whose time has come a turn.
    fn run_due(&mut self, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        let now = self.context.clock.mono();
        let due: Vec<usize> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, index)| *index).collect();
        due.into_iter().all(|index| match self.slots[index].state {
            State::Reopening(..) => self.reopen(index, emit),
            _ => self.run_session(index, false, emit),
        })
    }

    /// Gives a session a turn, reports its events, and ends the session if it is over.
    fn run_session(
        &mut self,
        index: usize,
        is_ready: bool,
        emit: &mut dyn FnMut(usize, TargetEvent) -> bool,
    ) -> bool {
        let Some(Slot { state: State::Running(session), .. }) = self.slots.get_mut(index) else {
            return true;
        };
        let result = session.turn(is_ready, &mut self.context);
        self.settle(index, result, emit)
    }

    /// Reports the events of a session, records when its next turn is due, and ends it if it is
    /// over or this machine has failed.
    fn settle(
        &mut self,
        index: usize,
        result: Result<(), ClientError>,
        emit: &mut dyn FnMut(usize, TargetEvent) -> bool,
    ) -> bool {
        if !self.emit_events(index, emit) {
            return false;
        }
        let now = self.context.clock.mono();
        let slot = &mut self.slots[index];
        let State::Running(session) = &slot.state else { return true };
        if let Some(old) = slot.deadline.take() {
            self.deadlines.remove(&(old, index));
        }
        if let Err(error) = result {
            return self.end(index, Some(error), emit) && self.open_next(index, emit);
        }
        if session.is_over(now) {
            return self.end(index, None, emit) && self.open_next(index, emit);
        }
        slot.deadline = session.deadline();
        self.deadlines.extend(slot.deadline.map(|deadline| (deadline, index)));
        true
    }

    /// Reports the events of a session.
    fn emit_events(&mut self, index: usize, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        self.context.events.drain(..).all(|event| emit(index, TargetEvent::Happened(event)))
    }
}

/// Starting targets and ending them.
impl Pinger {
    /// Starts the next target, if the targets are measured in turn.
    fn open_next(&mut self, index: usize, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        self.order == Order::AtOnce || self.open(index + 1, emit)
    }

    /// Starts the targets from `first` on: all of them, or one if they are measured in turn.
    fn open(&mut self, first: usize, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        for index in first..self.slots.len() {
            if self.order == Order::InTurn && self.slots.iter().any(Slot::is_active) {
                return true;
            }
            let slot = &mut self.slots[index];
            let State::Waiting(ping) = std::mem::replace(&mut slot.state, State::Ended) else { continue };
            if !self.connect(index, ping, self.context.clock.mono(), emit) {
                return false;
            }
        }
        true
    }

    /// Looks a target up and connects to it. Its deadline counts from `began`.
    fn connect(
        &mut self,
        index: usize,
        ping: Box<PingOptions>,
        began: MonoTime,
        emit: &mut dyn FnMut(usize, TargetEvent) -> bool,
    ) -> bool {
        let context = &mut self.context;
        let now = context.clock.mono();
        let left = ping.deadline.map_or(Duration::MAX, |deadline| began + deadline - now);
        let (timeout, options) = (ping.connect.wait.min(left), ping.connect.clone());
        let started = match ping.probe {
            // The first connection is measured like all others.
            Probe::Connect(_) => context.connector.look_up(index, &options, timeout).map(|()| None),
            _ => context.connector.connect(index, &options, timeout, &context.poll),
        };
        self.slots[index].state = State::Opening(ping, began);
        match started {
            Ok(None) => true,
            Ok(Some(outcome)) => self.connected(index, outcome, emit),
            Err(error) => self.end(index, Some(error), emit),
        }
    }

    /// Opens a target again that was not found, unless its deadline has passed.
    fn reopen(&mut self, index: usize, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        let now = self.context.clock.mono();
        let state = std::mem::replace(&mut self.slots[index].state, State::Ended);
        let State::Reopening(ping, began, error) = state else { return true };
        self.take_deadline(index);
        if ping.deadline.is_some_and(|deadline| deadline <= now - began) {
            self.running -= 1;
            return emit(index, TargetEvent::Ended { report: None, error: Some(error) })
                && self.open_next(index, emit);
        }
        self.connect(index, ping, began, emit) && self.open_next(index, emit)
    }

    /// Removes a slot from the deadlines.
    fn take_deadline(&mut self, index: usize) {
        if let Some(old) = self.slots[index].deadline.take() {
            self.deadlines.remove(&(old, index));
        }
    }

    /// Notes that a target that is to be awaited was not found.
    fn await_target(&mut self, index: usize, ping: Box<PingOptions>, began: MonoTime, error: ClientError) {
        let retry = self.context.clock.mono() + LOOKUP_PAUSE;
        let due = ping.deadline.map_or(retry, |deadline| retry.min(began + deadline));
        self.slots[index] = Slot { state: State::Reopening(ping, began, error), deadline: Some(due) };
        self.deadlines.insert((due, index));
    }

    /// Takes the results of the connector.
    fn take_connected(&mut self, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        let now = self.context.clock.mono();
        while let Some((index, result)) = self.context.connector.take_looked_up() {
            let goes_on = match &mut self.slots[index].state {
                State::Running(session) => {
                    session.looked_up(result, now);
                    let result = session.turn(false, &mut self.context);
                    self.settle(index, result, emit)
                }
                State::Opening(..) => {
                    let open = |ping, began, context: &Context| {
                        Session::open_fresh(ping, index, began, result, context)
                    };
                    self.opened(index, open, emit) && self.open_next(index, emit)
                }
                State::Waiting(_) | State::Reopening(..) | State::Ended => true,
            };
            if !goes_on {
                return false;
            }
        }
        while let Some((index, outcome)) = self.context.connector.take(now, &self.context.poll) {
            let goes_on = match &mut self.slots[index].state {
                State::Running(session) => {
                    let result = session.connected(outcome, &mut self.context);
                    let result = result.and_then(|()| session.turn(false, &mut self.context));
                    self.settle(index, result, emit)
                }
                State::Opening(..) => self.connected(index, outcome, emit) && self.open_next(index, emit),
                State::Waiting(_) | State::Reopening(..) | State::Ended => true,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Begins to measure a target that was connected, or could not be.
    fn connected(
        &mut self,
        index: usize,
        outcome: ConnectOutcome,
        emit: &mut dyn FnMut(usize, TargetEvent) -> bool,
    ) -> bool {
        let open = |ping, began, context: &Context| Session::open(ping, index, began, outcome, context);
        self.opened(index, open, emit)
    }

    /// Begins to measure a target with the session that `open` returns.
    fn opened(
        &mut self,
        index: usize,
        open: impl FnOnce(PingOptions, MonoTime, &Context) -> Result<Session, ClientError>,
        emit: &mut dyn FnMut(usize, TargetEvent) -> bool,
    ) -> bool {
        let state = std::mem::replace(&mut self.slots[index].state, State::Ended);
        let State::Opening(ping, began) = state else { return true };
        let awaited = ping.until_up.then(|| ping.clone());
        match open(*ping, began, &self.context) {
            Err(error) => {
                if let (Some(ping), Some(kind)) = (awaited, error.failure_kind()) {
                    self.await_target(index, ping, began, error);
                    return emit(index, TargetEvent::NotFound(kind));
                }
                self.running -= 1;
                emit(index, TargetEvent::Ended { report: None, error: Some(error) })
            }
            Ok(session) => {
                let target = Box::new(session.target());
                self.slots[index].state = State::Running(Box::new(session));
                emit(index, TargetEvent::Started(target)) && self.run_session(index, false, emit)
            }
        }
    }

    /// Emits the requested reports of all sessions.
    fn report(&mut self, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        let requests = match self.control.take_requests() {
            Ok(requests) => requests,
            Err(error) => return self.fail_all(&error, emit),
        };
        for (index, slot) in self.slots.iter().enumerate() {
            let State::Running(session) = &slot.state else { continue };
            let report = || Box::new(session.report());
            let mut report_event = |event| emit(index, TargetEvent::Happened(event));
            if requests.interim && !report_event(PingEvent::Interim(report()))
                || requests.checkpoint && !report_event(PingEvent::Checkpoint(report()))
            {
                return false;
            }
        }
        true
    }

    /// Ends a target, if it has not ended.
    fn end(
        &mut self,
        index: usize,
        error: Option<ClientError>,
        emit: &mut dyn FnMut(usize, TargetEvent) -> bool,
    ) -> bool {
        self.take_deadline(index);
        let state = std::mem::replace(&mut self.slots[index].state, State::Ended);
        if matches!(state, State::Ended) {
            return true;
        }
        self.running -= 1;
        let mut session = match state {
            State::Running(session) => session,
            State::Opening(..) => {
                let error = error.or(Some(ClientError::Stopped));
                return emit(index, TargetEvent::Ended { report: None, error });
            }
            State::Reopening(_, _, last) => {
                let error = error.or(Some(last));
                return emit(index, TargetEvent::Ended { report: None, error });
            }
            State::Waiting(_) | State::Ended => {
                return emit(index, TargetEvent::Ended { report: None, error });
            }
        };
        let finished = session.finish(error.is_some(), &mut self.context);
        let error = error.or_else(|| finished.err());
        let goes_on = self.emit_events(index, emit);
        let report = Some(Box::new(session.report()));
        emit(index, TargetEvent::Ended { report, error }) && goes_on
    }

    /// Ends all targets, since this machine cannot wait for them any more.
    fn fail_all(&mut self, error: &io::Error, emit: &mut dyn FnMut(usize, TargetEvent) -> bool) -> bool {
        for index in 0..self.slots.len() {
            let again =
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.end(index, Some(ClientError::Local(Error::new("wait for", &"sockets", again))), emit);
        }
        false
    }
}

impl Slot {
    fn new(state: State) -> Self {
        Self { state, deadline: None }
    }

    /// Returns whether it has begun and not ended.
    fn is_active(&self) -> bool {
        matches!(self.state, State::Opening(..) | State::Reopening(..) | State::Running(_))
    }
}
