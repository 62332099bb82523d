//! The loop that serves connections: one thread and one epoll for connections of every transport.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime};
use echosounder_socket::{
    Address, Events, Interest, Locality, Poll, Readiness, Socket, StopToken, Transport, option, ready,
};

use crate::access::Access;
use crate::connection::Connection;
use crate::event::{CloseReason, DisconnectReason, Observer, ServerEvent};
use crate::failures::{Failures, PAUSE, Starvation};
use crate::limits::{ConnectionPermit, Limits, Timeouts, WorkerLimits};
use crate::link::{Link, TurnEnd};
use crate::listeners::{self, Listeners, concerns_one_client};
use crate::peers::{PeerKey, Peers};
use crate::service::EchoService;
use crate::slots::Slots;
use crate::socket_memory::{Holding, SocketMemory};
use crate::turn_context::TurnContext;
use crate::wait_queues::{WaitQueues, WaitState};

/// Maximum number of events in a turn.
const EVENTS_MAX: usize = 256;

/// Maximum number of connections that a listener accepts in a turn.
const ACCEPT_MAX: usize = 64;

/// How long clients wait for a connection to end before those of the peer with most connections are
/// refused.
const FULL_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long clients have to receive their last replies and to close, after the server has stopped.
const ENDING_MAX: Duration = Duration::from_secs(1);

/// Maximum number of turns in which a stopping worker replies to messages that had arrived before
/// the stop.
const LAST_TURNS_MAX: usize = 64;

/// Stack size in bytes of a thread that only closes a socket.
const CLOSER_STACK_SIZE: usize = 64 * 1024;

/// The token of the stop token in the poll. Connections have the numbers of their slots.
const STOP_TOKEN: u64 = u64::MAX;

/// Serves the connections of its listeners, turn by turn.
#[derive(Debug)]
pub struct Worker<C, O> {
    poll: Poll,
    events: Events,
    stop: StopToken,
    limits: Arc<Limits>,
    access: Arc<Access>,
    timeouts: Timeouts,
    wait_queues: WaitQueues,
    socket_memory: SocketMemory,
    peers: Peers,
    listeners: Listeners,
    links: Slots,
    wait_failures: Failures,
    starvation: Starvation,
    context: TurnContext<C, O>,
}

impl<C: Clock, O: Observer> Worker<C, O> {
    /// Creates a worker without sockets.
    ///
    /// # Errors
    ///
    /// If no descriptor or no memory is left.
    pub fn new(service: EchoService<C, O>, stop: StopToken, limits: WorkerLimits) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&stop, STOP_TOKEN, Interest::READ)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            stop,
            limits: limits.shared,
            access: limits.access,
            timeouts: limits.timeouts,
            wait_queues: WaitQueues::default(),
            socket_memory: SocketMemory::new(limits.socket_memory_max),
            peers: Peers::default(),
            listeners: Listeners::default(),
            links: Slots::default(),
            wait_failures: Failures::default(),
            starvation: Starvation::default(),
            context: TurnContext::new(service, limits.backlog_max)?,
        })
    }

    /// Adds a listener, whose connections the worker accepts and serves. It must be non-blocking.
    ///
    /// # Errors
    ///
    /// If the listener cannot be polled.
    pub fn serve(&mut self, listener: Socket, transport: Transport) -> io::Result<()> {
        self.listeners.add(&self.poll, listener, transport)
    }

    /// Adds a connection. Its socket must be non-blocking.
    ///
    /// # Errors
    ///
    /// If the socket cannot be polled, if the client is not allowed, or if a limit of connections is
    /// reached.
    pub fn adopt(&mut self, socket: Socket, peer: Address, transport: Transport) -> io::Result<()> {
        let permit = self.permit(&socket, &peer).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        self.add_connection(socket, peer, transport, permit, None)
    }

    /// Serves until the stop token is stopped, then ends all connections in order.
    ///
    /// # Errors
    ///
    /// If waiting is impossible: EBADF, EFAULT, EINVAL. Other errors of a wait are reported.
    pub fn run(mut self) -> io::Result<()> {
        while !self.stop.is_stopped() {
            self.turn_or_pause(self.timeout())?;
            self.pause_if_starved();
        }
        self.finish()
    }

    /// Waits until a socket is ready or the timeout has passed, and gives each ready socket its
    /// turn.
    ///
    /// # Errors
    ///
    /// If waiting fails.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poll.wait(&mut self.events, timeout)?;
        self.context.begin_turn();
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            self.dispatch(event.token, event.ready);
            index += 1;
        }
        self.links.end_turn();
        self.end_overdue();
        if self.memory_check_due().is_some_and(|due| due <= self.now()) {
            self.check_memory();
        }
        if self.listeners.resume_at.is_some_and(|due| due <= self.now()) {
            self.resume_listeners();
        }
        Ok(())
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        self.links.len()
    }

    /// Returns when the current turn began.
    fn now(&self) -> MonoTime {
        self.context.service.now().mono
    }

    /// Takes a turn. A failed wait is reported, and followed by a pause unless it was the first.
    fn turn_or_pause(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Err(error) = self.turn(timeout) else {
            self.wait_failures.reset();
            return Ok(());
        };
        self.context.begin_turn();
        self.report_error("wait", &error);
        self.wait_failures.add_wait(error)
    }

    /// Pauses after many receives or sends that failed for lack of a resource of this machine. The
    /// sockets stay ready meanwhile, and to retry at once would occupy a core.
    fn pause_if_starved(&mut self) {
        let Some((operation, error)) = self.starvation.last.take() else { return };
        if !self.starvation.failures.should_pause() {
            return;
        }
        self.report_error(operation, &error);
        // If this wait fails, the next turn reports it.
        let _ = ready([(self.stop.as_fd(), Interest::READ)], Some(PAUSE));
    }

    /// Counts a failed operation and reports it.
    fn report_error(&mut self, operation: &'static str, error: &io::Error) {
        self.context.service.counters().add_error();
        self.context.service.report(operation, error);
    }

    fn dispatch(&mut self, token: u64, ready: Readiness) {
        let index = usize::try_from(token & (listeners::FIRST_TOKEN - 1)).unwrap_or(usize::MAX);
        match token {
            // `run` looks at the token itself.
            STOP_TOKEN => {}
            listeners::FIRST_TOKEN.. => self.accept(index),
            _ => {
                if self.context.budget.is_short() {
                    self.cut_lines();
                }
                self.turn_connection(index, ready);
            }
        }
    }
}

/// Connections: how they begin, take turns, and end.
impl<C: Clock, O: Observer> Worker<C, O> {
    fn add_connection(
        &mut self,
        socket: Socket,
        peer: Address,
        transport: Transport,
        permit: ConnectionPermit,
        listener: Option<usize>,
    ) -> io::Result<()> {
        let uses_addresses = self.context.service.uses_addresses();
        let local = uses_addresses.then(|| socket.local_addr().map(Box::new)).transpose()?;
        let number = self.links.reserve();
        if let Err(error) = self.poll_connection(&socket, number as u64, listener) {
            self.links.free(number);
            return Err(error);
        }
        let now = self.now();
        self.wait_queues.touch(number, WaitState::Idle, now);
        self.context.service.counters().add_accepted();
        self.context.service.observe(ServerEvent::Connected { peer: &peer });
        self.peers.add(number, permit.into_peer());
        self.links.put(number, Link::new(Connection::new(peer, local, transport), socket));
        Ok(())
    }

    /// Adds a new connection to the poll. If the user's limit of polled sockets is reached (ENOSPC,
    /// epoll_ctl(2)), its listener leaves the poll instead, and later clients wait in the
    /// listener's queue.
    fn poll_connection(&mut self, socket: &Socket, token: u64, listener: Option<usize>) -> io::Result<()> {
        match (self.poll.add(socket, token, Interest::READ), listener) {
            (Err(error), Some(listener)) if error.kind() == io::ErrorKind::StorageFull => {
                self.context.service.report("watch", &error);
                self.pause_listener(listener);
                self.poll.add(socket, token, Interest::READ)
            }
            (result, _) => result,
        }
    }

    fn turn_connection(&mut self, number: usize, ready: Readiness) {
        let Some(link) = self.links.get(number) else { return };
        let polled = link.connection.interest();
        self.turn_polled(number, ready, polled);
    }

    /// Gives a connection its turn. The poll has it with the interest `polled`.
    fn turn_polled(&mut self, number: usize, ready: Readiness, polled: Interest) {
        let Some(link) = self.links.get_mut(number) else { return };
        let mark = link.connection.timer_mark();
        let result = link.turn(ready, &mut self.context, &mut self.starvation).and_then(|end| {
            if let TurnEnd::Waits(interest) = end
                && interest != polled
            {
                self.poll.modify(&link.socket, number as u64, interest)?;
            }
            Ok(end)
        });
        match result {
            Ok(TurnEnd::Waits(_)) => {
                if link.connection.restarts_timer(mark) {
                    let state = link.connection.wait_state();
                    self.wait_queues.touch(number, state, self.context.service.now().mono);
                }
            }
            Ok(TurnEnd::Closes) => self.close(number, CloseReason::Finished),
            Err(error) => self.close(number, CloseReason::Failed(&error)),
        }
    }

    /// Replies to unfinished lines as they are while the backlog budget is short, those first that
    /// have waited longest, so that no client takes the memory for the lines of others.
    #[cold]
    fn cut_lines(&mut self) {
        while self.context.budget.is_short()
            && let Some((number, _)) = self.wait_queues.oldest(WaitState::Unfinished)
            && let Some(link) = self.links.get_mut(number)
        {
            link.connection.cut_line();
            self.turn_polled(number, Readiness::WRITABLE, Interest::READ);
        }
    }

    fn close(&mut self, number: usize, reason: CloseReason<'_>) {
        let Some(mut link) = self.links.remove(number) else { return };
        self.wait_queues.remove(number);
        let permit = self.peers.remove(number).map(|peer| self.limits.permit_of(peer));
        link.connection.release(&mut self.context);
        let service = &mut self.context.service;
        service.counters().add_closed();
        if let CloseReason::Failed(_) = reason {
            service.counters().add_error();
        }
        let (peer, messages) = (link.connection.peer(), link.connection.messages());
        service.observe(ServerEvent::Closed { peer, messages, reason });
        if link.close_blocks() {
            close_in_thread(link, permit);
        }
        self.resume_listeners();
    }

    /// Disconnects a client. A stalled connection is reset, so that the kernel frees its buffers at
    /// once.
    fn disconnect(&mut self, number: usize, reason: DisconnectReason) {
        self.context.service.counters().add_disconnect(reason);
        let Some(link) = self.links.get(number) else { return };
        if link.connection.wait_state() == WaitState::Stalled {
            // If this fails, the kernel retransmits for as long as TCP_USER_TIMEOUT says.
            let _ = link.socket.set_option(option::SO_LINGER, Some(Duration::ZERO));
        }
        self.close(number, CloseReason::Disconnected(reason));
    }

    /// Ends the connections whose timeouts have passed.
    fn end_overdue(&mut self) {
        let now = self.now();
        loop {
            let Some((number, state, _)) = self.deadlines().find(|(.., due)| *due <= now) else { return };
            match state {
                WaitState::Idle => self.disconnect(number, DisconnectReason::Idle),
                WaitState::Stalled => self.disconnect(number, DisconnectReason::Stalled),
                WaitState::Unfinished => self.disconnect(number, DisconnectReason::Unfinished),
                WaitState::Ending => self.close(number, CloseReason::Finished),
            }
        }
    }

    /// Returns the connection that has waited longest in each state, with its deadline.
    fn deadlines(&self) -> impl Iterator<Item = (usize, WaitState, MonoTime)> {
        let timeouts = [
            (WaitState::Idle, self.timeouts.idle),
            (WaitState::Stalled, Some(self.timeouts.stall)),
            (WaitState::Unfinished, Some(self.timeouts.stall)),
            (WaitState::Ending, Some(ENDING_MAX)),
        ];
        timeouts.into_iter().filter_map(|(state, timeout)| {
            let (number, since) = self.wait_queues.oldest(state)?;
            Some((number, state, since + timeout?))
        })
    }

    /// Returns when to look at the memory of stalled connections; `None` if there are none.
    fn memory_check_due(&self) -> Option<MonoTime> {
        self.wait_queues.oldest(WaitState::Stalled)?;
        Some(self.socket_memory.due().unwrap_or_else(|| self.now()))
    }

    /// Disconnects stalled clients if the kernel holds too much memory for all of them together.
    #[cold]
    fn check_memory(&mut self) {
        let stalled = self.wait_queues.connections(WaitState::Stalled);
        let len = self.wait_queues.len(WaitState::Stalled);
        let holding = |(connection, since)| {
            let bytes = self.links.get(connection)?.kernel_memory();
            Some(Holding { connection, since, bytes })
        };
        let sample = self.socket_memory.sample(stalled, len).filter_map(holding).collect();
        for Holding { connection, .. } in self.socket_memory.check(self.now(), sample, len) {
            self.disconnect(connection, DisconnectReason::Memory);
        }
    }

    /// Returns how long the next turn may wait; `None` means without limit.
    fn timeout(&self) -> Option<Duration> {
        let due = self.deadlines().map(|(.., due)| due);
        let due = due.chain(self.listeners.resume_at).chain(self.memory_check_due()).min()?;
        Some(due - self.now())
    }
}

/// Admission of clients.
impl<C: Clock, O: Observer> Worker<C, O> {
    /// Accepts waiting clients, at most [`ACCEPT_MAX`] of them.
    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPT_MAX {
            if self.limits.is_full() && !self.may_accept_when_full(index) {
                return;
            }
            // An event of this turn may carry the token of a listener that was removed.
            let Some(listener) = self.listeners.get_mut(index) else { return };
            let transport = listener.transport;
            let accepted = listener.socket.accept_nonblocking().and_then(|(socket, peer)| {
                match self.permit(&socket, &peer) {
                    Ok(permit) => self.add_connection(socket, peer, transport, permit, Some(index)),
                    Err(reason) => {
                        self.refuse(&socket, reason);
                        Ok(())
                    }
                }
            });
            if !self.goes_on_accepting(index, accepted) {
                return;
            }
        }
    }

    /// Returns whether to accept a client although the maximum number of connections is reached. If
    /// not, clients wait in the listener's queue until a connection ends or [`PAUSE`] has passed.
    ///
    /// The peer of a client is unknown until the client is accepted, and then the client cannot go
    /// back to the queue. So it is only accepted if a connection has waited long enough to make
    /// room, or if clients have waited for [`FULL_WAIT_MAX`] and one peer has several connections.
    /// Then the clients of that peer are refused, and those of others behind them are served.
    fn may_accept_when_full(&mut self, index: usize) -> bool {
        let now = self.now();
        let Some(listener) = self.listeners.get_mut(index) else { return false };
        // No connection is evicted unless a client waits.
        if !listener.is_readable() {
            listener.full_since = None;
            return false;
        }
        let since = *listener.full_since.get_or_insert(now);
        if Peers::has_evictable(&self.wait_queues, now)
            || FULL_WAIT_MAX <= now - since && self.limits.has_peer_with_several()
        {
            return true;
        }
        self.pause_listener(index);
        false
    }

    /// Returns a permit for the connection of a client, or why it gets none. When the maximum number
    /// of connections is reached, another connection may make room.
    fn permit(&mut self, socket: &Socket, peer: &Address) -> Result<ConnectionPermit, DisconnectReason> {
        let user = match peer {
            Address::Unix(_) => socket.option(option::SO_PEERCRED).ok().map(|credentials| credentials.uid),
            _ => None,
        };
        if !self.access.allows(peer, user) {
            return Err(DisconnectReason::Denied);
        }
        let permit = self.limits.charge(PeerKey::new(peer, user), || is_remote(socket, peer));
        let mut permit = permit.ok_or(DisconnectReason::Refused)?;
        if permit.admit() {
            return Ok(permit);
        }
        let share_of = |peer| self.limits.share_of(peer);
        let victim = self.peers.victim(permit.newcomer(), share_of, &self.wait_queues, self.now());
        self.disconnect(victim.ok_or(DisconnectReason::Refused)?, DisconnectReason::Evicted);
        // A connection whose close may block has its place until it is closed.
        if permit.admit() { Ok(permit) } else { Err(DisconnectReason::Refused) }
    }

    /// Records that a client is refused. A client that is denied gets a reset.
    fn refuse(&self, socket: &Socket, reason: DisconnectReason) {
        self.context.service.counters().add_disconnect(reason);
        if reason == DisconnectReason::Denied {
            // If this fails, the connection is closed without a reset.
            let _ = socket.set_option(option::SO_LINGER, Some(Duration::ZERO));
        }
    }
}

/// Listeners, and the end of the worker.
impl<C: Clock, O: Observer> Worker<C, O> {
    /// Records the result of an accept and returns whether the next should be tried now.
    fn goes_on_accepting(&mut self, index: usize, accepted: io::Result<()>) -> bool {
        let Some(listener) = self.listeners.get_mut(index) else { return false };
        match accepted {
            Ok(()) if listener.is_paused => false,
            Ok(()) => {
                listener.accept_failures.reset();
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.full_since = None;
                false
            }
            Err(error) => {
                if !listener.accept_failures.add() && concerns_one_client(&error) {
                    self.context.service.counters().add_error();
                    return true;
                }
                self.report_error("accept", &error);
                self.pause_listener(index);
                false
            }
        }
    }

    fn pause_listener(&mut self, index: usize) {
        let now = self.now();
        self.listeners.pause(&self.poll, index, now);
    }

    fn resume_listeners(&mut self) {
        let now = self.now();
        self.listeners.resume(&self.poll, now);
    }

    /// Replies to messages that had arrived, finishes every connection, and waits a while for the
    /// clients to close.
    fn finish(&mut self) -> io::Result<()> {
        self.poll.remove(&self.stop)?;
        self.resume_listeners();
        for _ in 0..LAST_TURNS_MAX {
            self.turn_or_pause(Some(Duration::ZERO))?;
            if self.events.is_empty() {
                break;
            }
        }
        self.listeners.remove_all(&self.poll)?;
        let deadline = self.now() + ENDING_MAX;
        for number in self.links.numbers() {
            if let Some(link) = self.links.get_mut(number) {
                link.connection.finish();
                // If this fails, the poll keeps the former interest, and the deadline ends the
                // connection.
                let _ = self.poll.modify(&link.socket, number as u64, Interest::WRITE);
                self.turn_connection(number, Readiness::WRITABLE);
            }
        }
        self.links.end_turn();
        while self.connections() != 0 && self.now() < deadline {
            self.turn_or_pause(Some(deadline - self.now()))?;
        }
        for number in self.links.numbers() {
            self.close(number, CloseReason::Finished);
        }
        Ok(())
    }
}

/// Returns whether a peer is on another host or may be.
fn is_remote(socket: &Socket, peer: &Address) -> bool {
    let is_local = |local: Option<&Address>| peer.locality(local) == Locality::ThisHost;
    !is_local(None) && !is_local(socket.local_addr().ok().as_ref())
}

/// Closes a connection in a thread of its own. It holds its permit until then, so there are never
/// more such threads than permits.
fn close_in_thread(link: Link, permit: Option<ConnectionPermit>) {
    let thread = thread::Builder::new().name("closer".into()).stack_size(CLOSER_STACK_SIZE);
    // If no thread can be created, the connection is closed here, and the others wait.
    let _ = thread.spawn(move || drop((link, permit)));
}
