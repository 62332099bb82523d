//! The loop that answers on connections: one thread, one epoll, every kind of them.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use echosounder_proto::{Clock, FRAME_MAX, Framing, Moment, MonoTime, Responder};
use echosounder_socket::{
    Address, Events, Interest, IoBuffer, Poll, Readiness, Socket, Transport, Waker, is_unreachable, option,
    ready,
};

use crate::clock::StampCache;
use crate::connection::{Connection, Next};
use crate::counters::{Counters, DisconnectReason};
use crate::event::{Observer, ServerEvent};
use crate::failures::{Failures, PAUSE, Reports, Starvation};
use crate::limits::{Budget, ConnectionPermit, Limits, READ_MAX};
use crate::wait_queues::{WaitQueues, WaitState};

/// Most events of one turn.
const EVENTS_MAX: usize = 256;

/// Most connections accepted from one listener in one turn.
const ACCEPT_MAX: usize = 64;

/// A message's greatest length on a socket that keeps bounds, and with it the length of the input buffer: more
/// than the 208 KiB that a UNIX socket sends by default.
const MESSAGE_MAX: usize = 256 * 1024;
const _: () =
    assert!(READ_MAX + FRAME_MAX <= MESSAGE_MAX, "an unfinished line and a read fit the input buffer");

/// How long peers have to take their last answers and to end, when we have ended.
const ENDING_MAX: Duration = Duration::from_secs(1);

/// How long a connection has been idle, at least, that is ended to make room for another.
const EVICTED_AFTER: Duration = Duration::from_secs(1);

/// Most turns that a stopping worker takes to answer what had arrived before it was told to stop.
const LAST_TURNS_MAX: usize = 64;

/// Bytes of stack of a thread that only closes.
const CLOSER_STACK: usize = 64 * 1024;

/// The token of the waker; connections have tokens from zero up, listeners from here.
const WAKER: u64 = u64::MAX;
const LISTENERS: u64 = 1 << 32;

/// What every worker is made of, of connections or of datagrams.
#[derive(Debug)]
pub struct WorkerConfig<C, O> {
    /// How streams are answered. Sockets that keep bounds have the same stamp.
    pub responder: Responder,
    /// This machine's name, for stamps.
    pub host: Arc<str>,
    /// Where it counts.
    pub counters: Arc<Counters>,
    /// What stops it.
    pub stop: Arc<Waker>,
    /// The clock.
    pub clock: C,
    /// Who is told.
    pub observer: O,
}

/// What bounds a worker's connections.
#[derive(Clone, Debug)]
pub struct WorkerLimits {
    /// What all workers share.
    pub limits: Arc<Limits>,
    /// How patient it is.
    pub patience: Timeouts,
    /// Bytes that this worker may keep: its part of [`BACKLOG_MAX`](crate::BACKLOG_MAX).
    pub kept_max: usize,
}

/// How long connections may wait for their peers.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long a peer may say nothing; `None` for ever.
    pub idle: Option<Duration>,
    /// How long a peer may take nothing of what is said.
    pub stall: Duration,
}

/// What a connection borrows for its turn.
#[derive(Debug)]
pub(crate) struct TurnContext<C, O> {
    pub(crate) streams: Responder,
    pub(crate) messages: Responder,
    pub(crate) host: Arc<str>,
    pub(crate) input: IoBuffer,
    pub(crate) out: IoBuffer,
    pub(crate) budget: Budget,
    pub(crate) labels: StampCache,
    /// When this turn began.
    pub(crate) turn: Moment,
    pub(crate) wants_messages: bool,
    pub(crate) starvation: Starvation,
    pub(crate) clock: C,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: O,
}

#[derive(Debug)]
struct Listener {
    socket: Socket,
    transport: Transport,
    interest: Interest,
    /// Accepts that have failed.
    failures: Failures,
    /// Whether it is out of the poll, because nothing can be accepted.
    paused: bool,
}

/// Answers on the connections of the listeners it is given, one turn at a time.
#[derive(Debug)]
pub struct Worker<C, O> {
    poll: Poll,
    events: Events,
    stop: Arc<Waker>,
    stopping: bool,
    limits: Arc<Limits>,
    patience: Timeouts,
    wait_queues: WaitQueues,
    listeners: Vec<Listener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Places that came free in this turn; an event of it may still name them.
    freed: Vec<usize>,
    /// When paused listeners are tried again.
    resume: Option<MonoTime>,
    /// WaitState that have failed.
    waits: Failures,
    reports: Reports,
    tools: TurnContext<C, O>,
}

impl<C: Clock, O: Observer> Worker<C, O> {
    /// A worker without sockets.
    ///
    /// # Errors
    ///
    /// If no descriptor or no memory is left.
    pub fn new(setup: WorkerConfig<C, O>, bounds: WorkerLimits) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&*setup.stop, WAKER, Interest::Read)?;
        let turn = setup.clock.now();
        let tools = TurnContext {
            labels: StampCache::new(turn.wall, &setup.responder.stamp, &setup.host),
            messages: Responder { framing: Framing::Message, ..setup.responder.clone() },
            streams: setup.responder,
            host: setup.host,
            input: IoBuffer::try_zeroed(MESSAGE_MAX)?,
            out: IoBuffer::default(),
            budget: Budget::new(bounds.kept_max),
            turn,
            wants_messages: setup.observer.wants_messages(),
            starvation: Starvation::default(),
            clock: setup.clock,
            counters: setup.counters,
            observer: setup.observer,
        };
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            stop: setup.stop,
            stopping: false,
            limits: bounds.limits,
            patience: bounds.patience,
            wait_queues: WaitQueues::default(),
            listeners: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            resume: None,
            waits: Failures::default(),
            reports: Reports::default(),
            tools,
        })
    }

    /// Answers on the connections of a listener from now on.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub fn serve(&mut self, listener: Socket, transport: Transport) -> io::Result<()> {
        let interest = if transport.shares_addresses() {
            Interest::Read
        } else {
            // The workers have it together: one of them is enough for each event.
            Interest::ReadExclusive
        };
        self.poll.add(&listener, LISTENERS + self.listeners.len() as u64, interest)?;
        let failures = Failures::default();
        self.listeners.push(Listener { socket: listener, transport, interest, paused: false, failures });
        Ok(())
    }

    /// Answers on a connection from now on. Its socket must not block.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for, or there are as many connections as there may be.
    pub fn adopt(&mut self, socket: Socket, peer: Address, transport: Transport) -> io::Result<()> {
        let place = self.limits.admit().and_then(|place| place.take(&peer));
        let place = place.ok_or(io::ErrorKind::QuotaExceeded)?;
        self.take_in(socket, peer, transport, place, None)
    }

    /// Answers until it is told to stop, and then finishes in good order.
    ///
    /// # Errors
    ///
    /// If waiting itself fails again and again, which leaves nothing to be done.
    pub fn run(mut self) -> io::Result<()> {
        while !self.stopping {
            match self.turn(self.timeout()) {
                Ok(()) => self.waits.end(),
                Err(error) => self.rest_from_waiting(error)?,
            }
            self.rest_from_failing();
        }
        self.finish()
    }

    /// Lets a while pass after a wait that has failed, unless it was the first.
    fn rest_from_waiting(&mut self, error: io::Error) -> io::Result<()> {
        self.tools.turn = self.tools.clock.now();
        self.tools.counters.failed();
        self.report("wait", &error);
        if self.waits.add_and_rest() { Err(error) } else { Ok(()) }
    }

    /// Lets a while pass after many receives or sends that failed for want of something of this machine's: a socket that
    /// is ready all the while would keep a core busy.
    fn rest_from_failing(&mut self) {
        let Some((operation, error)) = self.tools.starvation.last.take() else { return };
        if !self.tools.starvation.failures.are_many() {
            return;
        }
        self.tools.counters.failed();
        self.report(operation, &error);
        // If it cannot be waited for, the next turn says so.
        let _ = ready([(self.stop.as_fd(), Interest::Read)], Some(PAUSE));
    }

    /// WaitState until something is ready, or the time is up, and does what there is to do: one turn for each
    /// socket that is ready.
    ///
    /// # Errors
    ///
    /// If waiting itself fails.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poll.wait(&mut self.events, timeout)?;
        self.tools.turn = self.tools.clock.now();
        self.tools.labels.set(self.tools.turn.wall);
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            self.dispatch(event.token, event.ready);
            index += 1;
        }
        self.free.append(&mut self.freed);
        self.end_waits();
        if self.resume.is_some_and(|due| due <= self.tools.turn.mono) {
            self.resume_listeners();
        }
        Ok(())
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len() - self.free.len() - self.freed.len()
    }

    fn take_in(
        &mut self,
        socket: Socket,
        peer: Address,
        transport: Transport,
        place: ConnectionPermit,
        listener: Option<usize>,
    ) -> io::Result<()> {
        let uses_addresses = self.tools.streams.stamp.uses_addresses();
        let local = uses_addresses.then(|| socket.local_addr().map(Box::new)).transpose()?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        if let Err(error) = self.watch(&socket, index as u64, listener) {
            self.free.push(index);
            return Err(error);
        }
        self.wait_queues.touch(index, WaitState::Idle, self.tools.turn.mono);
        self.tools.counters.connected();
        self.tools.observer.observe(ServerEvent::Connected { peer: &peer });
        self.connections[index] = Some(Connection::new(socket, peer, local, transport, place));
        Ok(())
    }

    /// WaitState for a new connection from now on. If this user may have no more of such waits (ENOSPC, epoll_ctl(2)), its
    /// listener makes room and leaves later peers in the queue.
    fn watch(&mut self, socket: &Socket, token: u64, listener: Option<usize>) -> io::Result<()> {
        match (self.poll.add(socket, token, Interest::Read), listener) {
            (Err(error), Some(listener)) if error.kind() == io::ErrorKind::StorageFull => {
                self.report("watch", &error);
                self.pause(listener);
                self.poll.add(socket, token, Interest::Read)
            }
            (result, _) => result,
        }
    }

    fn dispatch(&mut self, token: u64, ready: Readiness) {
        let index = usize::try_from(token & (LISTENERS - 1)).unwrap_or(usize::MAX);
        match token {
            WAKER => self.stopping = true,
            LISTENERS.. => self.accept(index),
            _ => self.turn_connection(index, ready),
        }
    }

    fn turn_connection(&mut self, index: usize, ready: Readiness) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let result = connection.turn(ready, &mut self.tools).and_then(|(next, interest)| {
            if next == Next::Stays
                && let Some(interest) = connection.changed_interest(interest)
            {
                self.poll.modify(connection.socket(), index as u64, interest)?;
            }
            Ok(next)
        });
        match result {
            Ok(Next::Stays) => self.wait_queues.touch(index, connection.waits(), self.tools.turn.mono),
            Ok(Next::Over) => self.close(index, None, None),
            Err(error) => self.close(index, Some(&error), None),
        }
    }

    fn close(&mut self, index: usize, error: Option<&io::Error>, cut: Option<DisconnectReason>) {
        let Some(mut connection) = self.connections[index].take() else { return };
        self.wait_queues.remove(index);
        self.tools.counters.disconnected();
        connection.release(&mut self.tools.budget);
        if error.is_some() {
            self.tools.counters.failed();
        }
        let (peer, messages) = (connection.peer(), connection.messages());
        self.tools.observer.observe(ServerEvent::Closed { peer, messages, error, cut });
        if connection.closes_late() {
            close_aside(connection);
        }
        self.freed.push(index);
        self.resume_listeners();
    }

    /// Ends the connections that have waited too long.
    fn end_waits(&mut self) {
        while let Some((index, waits)) = self.overdue() {
            match waits {
                WaitState::Idle => self.cut(index, DisconnectReason::Idle),
                WaitState::Stalled => self.cut(index, DisconnectReason::Stalled),
                WaitState::Ending => self.close(index, None, None),
            }
        }
    }

    /// A connection that has waited too long, and what for.
    fn overdue(&self) -> Option<(usize, WaitState)> {
        let now = self.tools.turn.mono;
        self.waits().find(|(_, _, due)| *due <= now).map(|(index, waits, _)| (index, waits))
    }

    /// Of each list the connection that has waited longest, and when that is too long.
    fn waits(&self) -> impl Iterator<Item = (usize, WaitState, MonoTime)> {
        let patience = [
            (WaitState::Idle, self.patience.idle),
            (WaitState::Stalled, Some(self.patience.stall)),
            (WaitState::Ending, Some(ENDING_MAX)),
        ];
        patience.into_iter().filter_map(|(waits, patience)| {
            let (index, since) = self.wait_queues.oldest(waits)?;
            Some((index, waits, since + patience?))
        })
    }

    /// Ends a connection from our side. Whoever takes nothing is cut off, so that the kernel forgets at once what
    /// it keeps for it.
    fn cut(&mut self, index: usize, reason: DisconnectReason) {
        self.tools.counters.cut(reason);
        let Some(connection) = &self.connections[index] else { return };
        if reason == DisconnectReason::Stalled {
            // If it cannot be set, the kernel goes on trying for as long as TCP_USER_TIMEOUT says.
            let _ = connection.socket().set_option(option::SO_LINGER, Some(Duration::ZERO));
        }
        self.close(index, None, Some(reason));
    }

    /// Ends the connection that has been idle longest, if that is long; whether it did is returned.
    fn evict(&mut self) -> bool {
        let Some((index, since)) = self.wait_queues.oldest(WaitState::Idle) else { return false };
        let evicted = EVICTED_AFTER <= self.tools.turn.mono - since;
        if evicted {
            self.cut(index, DisconnectReason::Evicted);
        }
        evicted
    }

    /// Accepts what is waiting, up to a turn's worth.
    fn accept(&mut self, index: usize) {
        let mut refused = false;
        for _ in 0..ACCEPT_MAX {
            // An event of this turn may name a listener that is gone.
            let Some(listener) = self.listeners.get(index) else { return };
            let Some(place) = self.limits.admit() else {
                // Nobody is to go for somebody who does not wait.
                if !is_readable(&listener.socket) {
                    return;
                }
                if !refused && self.evict() {
                    continue;
                }
                return self.pause(index);
            };
            let transport = listener.transport;
            let accepted =
                listener.socket.accept_nonblocking().and_then(|(socket, peer)| match place.take(&peer) {
                    Some(place) => self.take_in(socket, peer, transport, place, Some(index)),
                    None => {
                        // Whoever has all it may have costs nobody else a place.
                        refused = true;
                        self.tools.counters.cut(DisconnectReason::Refused);
                        Ok(())
                    }
                });
            let listener = &mut self.listeners[index];
            match accepted {
                Ok(()) if listener.paused => return,
                Ok(()) => listener.failures.end(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    let rests = listener.failures.add() || !concerns_one_peer(&error);
                    self.tools.counters.failed();
                    if rests {
                        self.report("accept", &error);
                        return self.pause(index);
                    }
                }
            }
        }
    }

    /// Reports that something fails, now and then as long as that lasts.
    fn report(&mut self, operation: &'static str, error: &io::Error) {
        if self.reports.is_due(operation, self.tools.turn.mono) {
            self.tools.observer.observe(ServerEvent::Error { operation, error });
        }
    }

    /// Takes a listener out of the poll, where it would be told as ready again and again.
    fn pause(&mut self, index: usize) {
        let listener = &mut self.listeners[index];
        if !listener.paused && self.poll.remove(&listener.socket).is_ok() {
            listener.paused = true;
        }
        self.resume = Some(self.tools.turn.mono + PAUSE);
    }

    fn resume_listeners(&mut self) {
        if self.resume.take().is_none() {
            return;
        }
        for (index, listener) in self.listeners.iter_mut().enumerate().filter(|(_, listener)| listener.paused)
        {
            let added = self.poll.add(&listener.socket, LISTENERS + index as u64, listener.interest);
            listener.paused = added.is_err();
            if listener.paused {
                self.resume = Some(self.tools.turn.mono + PAUSE);
            }
        }
    }

    /// How long a turn may wait.
    fn timeout(&self) -> Option<Duration> {
        let due = self.waits().map(|(_, _, due)| due).chain(self.resume).min()?;
        Some(due - self.tools.turn.mono)
    }

    /// Answers what had arrived, tells every peer the end, and waits a while for theirs.
    fn finish(&mut self) -> io::Result<()> {
        self.poll.remove(&*self.stop)?;
        self.resume_listeners();
        for _ in 0..LAST_TURNS_MAX {
            self.turn(Some(Duration::ZERO))?;
            if self.events.is_empty() {
                break;
            }
        }
        // The other workers have the same UNIX sockets: closing ours does not take them out of this poll (epoll(7)).
        for listener in self.listeners.drain(..).filter(|listener| !listener.paused) {
            self.poll.remove(&listener.socket)?;
        }
        let deadline = self.tools.turn.mono + ENDING_MAX;
        let writable = Readiness { readable: false, writable: true };
        for place in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[place] {
                connection.finish();
                // The poll still waits for what it waited for before.
                let _ = self.poll.modify(connection.socket(), place as u64, Interest::Write);
                self.turn_connection(place, writable);
            }
        }
        self.free.append(&mut self.freed);
        while self.connections() != 0 && self.tools.turn.mono < deadline {
            self.turn(Some(deadline - self.tools.turn.mono))?;
        }
        for index in 0..self.connections.len() {
            self.close(index, None, None);
        }
        Ok(())
    }
}

/// Closes a connection on a thread of its own. Until then it has its place, so there are no more of them than
/// connections.
fn close_aside(connection: Connection) {
    let thread = thread::Builder::new().name("closer".into()).stack_size(CLOSER_STACK);
    // Without a thread it is closed here, and everybody waits.
    let _ = thread.spawn(move || drop(connection));
}

/// Whether somebody waits on a listener. If it cannot be asked, nobody is ended for whoever that may be.
fn is_readable(listener: &Socket) -> bool {
    ready([(listener.as_fd(), Interest::Read)], Some(Duration::ZERO)).is_ok_and(|[state]| state.readable)
}

/// Whether an accept failed for the peer's sake, so that the next one may work at once: accept(2) hands on
/// errors that the new connection already has.
fn concerns_one_peer(error: &io::Error) -> bool {
    let peers = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::Interrupted,
    ];
    peers.contains(&error.kind()) || is_unreachable(error)
}
