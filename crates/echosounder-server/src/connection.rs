//! One connection: a stream, or messages one after the other.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::{DropReason, Input, Moment, Responder, StampContext};
use echosounder_socket::{
    Address, Interest, Kind, Readiness, Shutdown, Socket, Transport, is_out_of_resources, is_too_long, ready,
};

use crate::event::{Observer, ServerEvent};
use crate::failures::Starvation;
use crate::limits::{Budget, ConnectionPermit};
use crate::wait_queues::WaitState;
use crate::worker::TurnContext;
use echosounder_proto::Clock;

/// A connection, and what of it is not done with.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    peer: Address,
    /// This end's address, if stamps show it.
    local: Option<Box<Address>>,
    transport: Transport,
    /// The transport's.
    kind: Kind,
    phase: Phase,
    /// What it is waited for at present.
    interest: Interest,
    /// Messages answered.
    messages: u64,
    kept: Option<Box<Backlog>>,
    _place: ConnectionPermit,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Both sides may write.
    Open,
    /// The peer has finished; it gets the rest of its answers and then our end.
    PeerFinished,
    /// We finish: the peer gets the rest of its answers and then our end, as soon as possible.
    Finishing,
    /// We have finished and wait for the peer's end, since closing with input unread would reset the
    /// connection and destroy answers on their way.
    Lingering,
}

/// What the kernel did not take, and what has not been answered for it.
#[derive(Debug)]
struct Backlog {
    /// Answers not sent.
    tail: Vec<u8>,
    /// Input not answered.
    rest: Vec<u8>,
    /// When that input arrived.
    arrival: Moment,
    /// Whether the rest could be answered at once, rather than being an unfinished line.
    answerable: bool,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Stays,
    Over,
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        peer: Address,
        local: Option<Box<Address>>,
        transport: Transport,
        place: ConnectionPermit,
    ) -> Self {
        let (kind, phase, interest) = (transport.kind(), Phase::Open, Interest::Read);
        Self { socket, peer, local, transport, kind, phase, interest, messages: 0, kept: None, _place: place }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn peer(&self) -> &Address {
        &self.peer
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// What kind of wait it is in.
    pub(crate) fn waits(&self) -> WaitState {
        match (self.phase, self.interest) {
            (Phase::Lingering | Phase::Finishing, _) => WaitState::Ending,
            (_, Interest::Read) => WaitState::Idle,
            _ => WaitState::Stalled,
        }
    }

    /// What it waits for now, if that is not what it waited for before.
    pub(crate) fn changed_interest(&mut self, wanted: Interest) -> Option<Interest> {
        let before = std::mem::replace(&mut self.interest, wanted);
        (before != wanted).then_some(wanted)
    }

    /// Takes one turn: at most one read and one write. What it should wait for next comes back with it.
    pub(crate) fn turn<C: Clock, O: Observer>(
        &mut self,
        ready: Readiness,
        tools: &mut TurnContext<C, O>,
    ) -> io::Result<(Next, Interest)> {
        let mut interest = Interest::Read;
        match (self.phase, self.interest) {
            (Phase::Lingering, _) => return self.discard(tools).map(|next| (next, Interest::Read)),
            (_, Interest::Write) if ready.writable => self.go_on(tools)?,
            (_, Interest::Read) if ready.readable => interest = self.hear(tools)?,
            _ => interest = self.interest,
        }
        if self.phase == Phase::PeerFinished && !self.transport.half_closes() {
            // Its end is ours, too: nothing can be sent any more.
            return Ok((Next::Over, Interest::Read));
        }
        match (&self.kept, self.phase) {
            (Some(kept), _) if kept.answerable || !kept.tail.is_empty() => Ok((Next::Stays, Interest::Write)),
            (None, Phase::PeerFinished) => {
                self.end_writing()?;
                Ok((Next::Over, Interest::Read))
            }
            (None, Phase::Finishing) => {
                self.end_writing()?;
                self.phase = Phase::Lingering;
                Ok((Next::Stays, Interest::Read))
            }
            _ => Ok((Next::Stays, interest)),
        }
    }

    /// Finishes from our side: nothing more is read. Call [`turn`](Self::turn) as if it were writable.
    pub(crate) fn finish(&mut self) {
        self.phase = Phase::Finishing;
        self.interest = Interest::Write;
        if let Some(kept) = &mut self.kept {
            kept.answerable = !kept.rest.is_empty();
        }
    }

    /// Gives up what is kept.
    pub(crate) fn release(&mut self, budget: &mut Budget) {
        budget.change(self.kept_size(), 0);
        self.kept = None;
    }

    /// Reads once and answers. Returns what to wait for, if nothing is kept.
    fn hear<C: Clock, O: Observer>(&mut self, tools: &mut TurnContext<C, O>) -> io::Result<Interest> {
        let size = match tools.budget.read_size() {
            Some(size) => size,
            // What is read now must leave again at once.
            None if self.has_room()? => Budget::last_size(),
            None => return Ok(Interest::Write),
        };
        let unfinished = self.kept.as_ref().map_or(0, |kept| kept.rest.len());
        let received = match self.receive(&mut tools.input[unfinished..], size) {
            Ok(Some(received)) => received,
            Ok(None) => {
                tools.counters.dropped(DropReason::Truncated, 1);
                return Ok(Interest::Read);
            }
            Err(error) if is_transient(&error) => {
                if is_out_of_resources(&error) {
                    tools.starvation.add("receive", error);
                }
                return Ok(Interest::Read);
            }
            Err(error) if self.transport.is_end(&error) => 0,
            Err(error) => return Err(error),
        };
        if received == 0 && (self.transport != Transport::UnixSeqpacket || self.socket.has_ended()?) {
            self.phase = Phase::PeerFinished;
            if !self.transport.half_closes() {
                return Ok(Interest::Read);
            }
        }
        tools.starvation.failures.end();
        let mut arrival = tools.turn;
        if let Some(kept) = &self.kept {
            tools.input[..unfinished].copy_from_slice(&kept.rest);
        }
        let len = unfinished + received;
        if self.responder(tools).needs_exact_time(&tools.input[..len]) {
            arrival = tools.clock.now();
        }
        self.answer(len, arrival, tools)?;
        Ok(Interest::Read)
    }

    /// Reads bytes, or one message; `None` if that was too long for the buffer, and is lost.
    fn receive(&self, buffer: &mut [u8], size: usize) -> io::Result<Option<usize>> {
        if self.kind == Kind::Messages {
            let len = self.socket.recv_message(buffer)?;
            return Ok(Some(len).filter(|&len| len <= buffer.len()));
        }
        let size = size.min(buffer.len());
        self.socket.recv(&mut buffer[..size]).map(Some)
    }

    /// Sends what is kept, or answers more of the input that is.
    fn go_on<C: Clock, O: Observer>(&mut self, tools: &mut TurnContext<C, O>) -> io::Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        if kept.tail.is_empty() {
            let (len, arrival) = (kept.rest.len(), kept.arrival);
            tools.input[..len].copy_from_slice(&kept.rest);
            return self.answer(len, arrival, tools);
        }
        let sent = send(&self.socket, self.kind, &kept.tail, &mut tools.starvation)?;
        if sent != 0 {
            tools.starvation.failures.end();
        }
        let before = kept.size();
        kept.tail.drain(..sent);
        if kept.tail.is_empty() {
            kept.tail = Vec::new();
        }
        tools.budget.change(before, kept.size());
        if kept.tail.is_empty() && kept.rest.is_empty() {
            self.kept = None;
        }
        Ok(())
    }

    /// Answers the first `len` bytes of the input buffer, sends once, and keeps what is left of either.
    fn answer<C: Clock, O: Observer>(
        &mut self,
        len: usize,
        arrival: Moment,
        tools: &mut TurnContext<C, O>,
    ) -> io::Result<()> {
        // With nothing left to keep it in, an unfinished line is answered as it is.
        let input_kind = match self.phase {
            Phase::Open if tools.budget.read_size().is_some() => Input::More,
            _ => Input::Last,
        };
        let exact = arrival != tools.turn;
        let tx = if exact { arrival.wall_at(tools.clock.now().mono) } else { arrival.wall };
        let responder = if self.kind == Kind::Messages { &tools.messages } else { &tools.streams };
        let mut context = StampContext {
            label: tools.labels.current(),
            rx: arrival.wall,
            tx,
            peer: &self.peer,
            local: self.local.as_deref().map_or(&"", |local| local as &dyn std::fmt::Display),
            host: &tools.host,
            seq: self.messages,
            stamp: tools.labels.stamp(),
        };
        let input = &tools.input[..len];
        let is_empty_message = self.kind == Kind::Messages && len == 0 && self.phase == Phase::Open;
        let (peer, observer, hears) = (&self.peer, &mut tools.observer, tools.wants_messages);
        let mut tell = |bytes: &[u8]| {
            if hears {
                observer.observe(ServerEvent::Message { peer, bytes });
            }
        };
        tools.out.clear();
        let consumed = tools.out.append_with(|out| {
            if is_empty_message {
                tell(input);
                responder.answer_empty(&mut context, out);
                return 0;
            }
            responder.answer(input, input_kind, &mut context, out, &mut tell)
        });
        let answered = context.seq;
        let result = if is_empty_message && tools.out.is_empty() {
            // Without a prefix the reply is an empty message, too.
            self.socket.send(&[]).or_else(|error| if is_transient(&error) { Ok(0) } else { Err(error) })
        } else {
            send(&self.socket, self.kind, &tools.out, &mut tools.starvation)
        };
        let sent = match result {
            // A message can be too long, with its stamp, to be sent at all.
            Err(error) if is_too_long(&error) => {
                tools.counters.dropped(DropReason::Unsent, 1);
                tools.out.len()
            }
            result => {
                tools.counters.answered(answered - self.messages, consumed);
                self.messages = answered;
                result?
            }
        };
        let rest = &input[consumed..];
        let answerable = responder.framing.frame_len(rest, input_kind).is_some();
        let before = self.kept_size();
        self.kept = Backlog::of(&tools.out[sent..], rest, arrival, answerable);
        tools.budget.change(before, self.kept_size());
        Ok(())
    }

    /// Reads what comes after our end, for nobody, until the peer ends too.
    fn discard<C, O>(&mut self, tools: &mut TurnContext<C, O>) -> io::Result<Next> {
        match self.socket.recv(&mut tools.input) {
            Ok(0) => Ok(Next::Over),
            Err(error) if is_transient(&error) => Ok(Next::Stays),
            // Our end was the peer's, too.
            Err(_) if !self.transport.half_closes() => Ok(Next::Over),
            Err(error) => Err(error),
            Ok(_) => Ok(Next::Stays),
        }
    }

    /// Says that nothing more will be written. A peer that has gone already need not be told.
    fn end_writing(&self) -> io::Result<()> {
        if self.closes_late() {
            return Ok(());
        }
        let half = if self.transport.half_closes() { Shutdown::Write } else { Shutdown::Both };
        match self.socket.shutdown(half) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Whether to close it would make everybody wait.
    pub(crate) fn closes_late(&self) -> bool {
        self.transport.close_may_block() && !self.has_room().unwrap_or(true)
    }

    fn has_room(&self) -> io::Result<bool> {
        let [state] = ready([(self.socket.as_fd(), Interest::Write)], Some(Duration::ZERO))?;
        Ok(state.writable)
    }

    fn responder<'a, C, O>(&self, tools: &'a TurnContext<C, O>) -> &'a Responder {
        if self.kind == Kind::Messages { &tools.messages } else { &tools.streams }
    }

    fn kept_size(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.size())
    }
}

impl Backlog {
    fn of(tail: &[u8], rest: &[u8], arrival: Moment, answerable: bool) -> Option<Box<Self>> {
        let nothing = tail.is_empty() && rest.is_empty();
        (!nothing).then(|| Box::new(Self { tail: tail.into(), rest: rest.into(), arrival, answerable }))
    }

    /// What it takes of the budget.
    fn size(&self) -> usize {
        size_of::<Self>() + self.tail.capacity() + self.rest.capacity()
    }
}

/// Writes once, and returns how much the kernel took: nothing, if it has no room.
fn send(socket: &Socket, kind: Kind, bytes: &[u8], starvation: &mut Starvation) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match socket.send(bytes) {
        Err(error) if is_out_of_resources(&error) => {
            starvation.add("send", error);
            Ok(0)
        }
        Err(error) if is_transient(&error) => Ok(0),
        // SCTP takes no more at once than fits its send buffer.
        Err(error) if kind == Kind::Stream && 1 < bytes.len() && is_too_long(&error) => {
            send(socket, kind, &bytes[..bytes.len() / 2], starvation)
        }
        result => result,
    }
}

/// Whether a call did nothing, and may do something when it is called again: there was nothing to do, or for
/// the moment no memory to do it with.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        || is_out_of_resources(error)
}

const _: () = assert!(size_of::<Connection>() <= 96, "ten thousand idle connections are to cost little");
