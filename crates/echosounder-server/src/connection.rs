//! The state of one connection, without a socket.
//!
//! A [`Connection`] returns the next [`Operation`] and is given its [`Completion`]. The worker
//! performs the operations on sockets; tests perform them on buffers. A turn begins with
//! [`Connection::on_ready`] and ends with [`Operation::Wait`] or [`Operation::Close`]. It has at
//! most one receive and one send, so that connections take equal turns.

use echosounder_proto::{Clock, DropReason, Input, Moment};
use echosounder_socket::{Address, Interest, Kind, Readiness, Shutdown, Transport};

use crate::backlog::{BacklogBudget, BacklogSlot, Remainder};
use crate::buffer_limit::BufferLimit;
use crate::event::Observer;
use crate::service::Request;
use crate::turn_context::{Exchange, TurnContext};
use crate::wait_queues::WaitState;

/// Number of bytes that a stalled client must receive for its stall timeout to start again. A client
/// that receives less within the timeout costs the server more memory than it is worth.
const PROGRESS_MIN: usize = 64 * 1024;

/// Bytes per unit of the progress. A send of fewer bytes is none.
const PROGRESS_UNIT: usize = 64;

/// A connection of a server, as a state that input and output advance.
#[derive(Debug)]
pub struct Connection {
    peer: Address,
    /// The local address, if timestamps show it.
    local: Option<Box<Address>>,
    transport: Transport,
    /// The kind of `transport`, which would be a look-up in a table.
    kind: Kind,
    state: State,
    /// Whether the connection waits for buffer space between its turns. If not, it waits for input.
    waits_to_send: bool,
    /// Replies that the kernel has taken since the stall timeout started, in units of 64 bytes.
    progress: u16,
    buffer_limit: BufferLimit,
    /// Messages replied to.
    messages: u64,
    backlog: BacklogSlot,
}

/// The state of a connection before a turn. After the turn it shows whether the timer restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerMark {
    state: WaitState,
    messages: u64,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Both sides may send.
    Open,
    /// The client has finished sending. It receives its remaining replies, then the connection is
    /// closed.
    PeerFinished,
    /// The server is stopping. The client receives its remaining replies, then the server finishes
    /// sending.
    Finishing,
    /// The server has finished sending and discards input until the client closes. To close
    /// earlier, with input unread, would reset the connection and destroy replies that the client
    /// has not received.
    Lingering,
}

/// An operation that the owner of a connection performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Wait for the event, then call [`Connection::on_ready`].
    Wait(Interest),
    /// Report whether the socket is writable at this moment: [`Completion::Writable`].
    CheckWritable,
    /// Receive at most `max` bytes, or one message, into [`TurnContext::input_mut`] from `offset`
    /// on. Complete it with [`Completion::Received`], [`Truncated`](Completion::Truncated),
    /// [`WouldBlock`](Completion::WouldBlock) or [`End`](Completion::End).
    Recv {
        /// Where in the input buffer to put the bytes.
        offset: usize,
        /// Maximum number of bytes.
        max: usize,
    },
    /// Send [`Connection::output`]: [`Completion::Sent`],
    /// [`MessageTooLong`](Completion::MessageTooLong) or [`SendFailed`](Completion::SendFailed).
    Send,
    /// Shut the connection down: [`Completion::ShutDown`].
    Shutdown(Shutdown),
    /// Close the connection.
    Close,
}

/// The result of an [`Operation`]. Other errors than these end the connection: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Whether the socket is writable.
    Writable(bool),
    /// The number of bytes received; 0 is an empty message.
    Received(usize),
    /// A message was longer than the input buffer and is lost.
    Truncated,
    /// No input was available, or no memory to receive it.
    WouldBlock,
    /// The client has finished sending.
    End,
    /// The number of bytes that the kernel took; 0 if there was no buffer space.
    Sent(usize),
    /// The output is one message that is too long for the kernel to send.
    MessageTooLong,
    /// The send failed. The messages count as replied to, and the connection must be closed.
    SendFailed,
    /// The connection is shut down.
    ShutDown,
}

impl Connection {
    /// Creates an open connection with a client. `local` is only used by templates that show it.
    pub fn new(peer: Address, local: Option<Box<Address>>, transport: Transport) -> Self {
        let buffer_limit = match transport {
            Transport::UnixStream => BufferLimit::begun(),
            _ => BufferLimit::default(),
        };
        Self {
            peer,
            local,
            transport,
            kind: transport.kind(),
            state: State::Open,
            waits_to_send: false,
            progress: 0,
            buffer_limit,
            messages: 0,
            backlog: None,
        }
    }

    /// Returns the client's address.
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// Returns the number of messages that were replied to.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the event that the connection waits for between its turns.
    pub fn interest(&self) -> Interest {
        if self.waits_to_send { Interest::WRITE } else { Interest::READ }
    }

    /// Returns whether the kernel should hold little for the connection, because its client has not
    /// shown that it reads its replies. The owner looks at the beginning and after each turn.
    pub fn limits_buffers(&self) -> bool {
        self.buffer_limit.is_on()
    }

    /// Returns whether the connection only waits for its client to close.
    pub(crate) fn is_lingering(&self) -> bool {
        self.state == State::Lingering
    }

    /// Returns the queue in which the connection waits.
    pub(crate) fn wait_state(&self) -> WaitState {
        match self.state {
            State::Lingering | State::Finishing => WaitState::Ending,
            _ if self.waits_to_send => WaitState::Stalled,
            _ if self.backlog.is_some() => WaitState::Unfinished,
            _ => WaitState::Idle,
        }
    }

    /// Returns the mark for [`restarts_timer`](Self::restarts_timer) after the next turn.
    pub(crate) fn timer_mark(&self) -> TimerMark {
        TimerMark { state: self.wait_state(), messages: self.messages }
    }

    /// Returns whether the turns since `before` have restarted the timer of the connection: it
    /// waits for something else, its client has received [`PROGRESS_MIN`], or another line has
    /// begun. Single bytes restart no timer.
    pub(crate) fn restarts_timer(&mut self, before: TimerMark) -> bool {
        let state = self.wait_state();
        let restarts = state != before.state
            || match state {
                WaitState::Idle | WaitState::Ending => true,
                WaitState::Stalled => PROGRESS_MIN / PROGRESS_UNIT <= usize::from(self.progress),
                WaitState::Unfinished => self.messages != before.messages,
            };
        if restarts {
            self.progress = 0;
        }
        restarts
    }

    /// Begins a turn of a connection that is ready, and returns its first operation.
    #[inline]
    pub fn on_ready<C: Clock, O: Observer>(
        &mut self,
        ready: Readiness,
        context: &mut TurnContext<C, O>,
    ) -> Operation {
        match (self.state, self.interest()) {
            (State::Lingering, _) => Operation::Recv { offset: 0, max: context.input.len() },
            (_, Interest::WRITE) if ready.can_write() => self.continue_backlog(context),
            (_, Interest::READ) if ready.can_read() => match context.budget.read_size() {
                Some(max) => self.receive(max),
                // The reply to a read now must be sendable at once.
                None => Operation::CheckWritable,
            },
            _ => self.end_turn(self.interest()),
        }
    }

    /// Advances the connection by the result of its last operation, and returns the next one.
    // Inlined, the branch over the completion disappears where the completion is known.
    #[inline(always)]
    pub fn complete<C: Clock, O: Observer>(
        &mut self,
        completion: Completion,
        context: &mut TurnContext<C, O>,
    ) -> Operation {
        match completion {
            Completion::Writable(true) => self.receive(BacklogBudget::LAST_READ_SIZE),
            Completion::Writable(false) => self.end_turn(Interest::WRITE),
            Completion::End if self.is_lingering() => Operation::Close,
            Completion::Received(_) | Completion::Truncated if self.is_lingering() => {
                self.end_turn(Interest::READ)
            }
            Completion::Received(len) => self.on_received(len, context),
            Completion::End => self.on_end(context),
            Completion::Truncated => {
                context.service.add_drops(DropReason::Truncated, 1);
                self.end_turn(Interest::READ)
            }
            Completion::WouldBlock => self.end_turn(Interest::READ),
            Completion::Sent(len) => self.on_sent(len, context),
            Completion::MessageTooLong => self.on_too_long(context),
            Completion::SendFailed => {
                self.on_sent(0, context);
                Operation::Close
            }
            Completion::ShutDown if self.state == State::Finishing => {
                self.state = State::Lingering;
                self.end_turn(Interest::READ)
            }
            Completion::ShutDown => Operation::Close,
        }
    }

    /// Returns the output of [`Operation::Send`].
    pub fn output<'a, C, O>(&'a self, context: &'a TurnContext<C, O>) -> &'a [u8] {
        match &self.backlog {
            Some(backlog) if !backlog.unsent().is_empty() => backlog.unsent(),
            _ => &context.output,
        }
    }

    /// Finishes the connection from the server's side: it reads no more input and sends what
    /// remains. Call [`on_ready`](Self::on_ready) as if the connection were writable.
    pub fn finish(&mut self) {
        self.state = State::Finishing;
        self.waits_to_send = true;
        if let Some(backlog) = &mut self.backlog {
            backlog.end_input();
        }
    }

    /// Ends the unfinished line of the connection, so that its memory becomes free. Call
    /// [`on_ready`](Self::on_ready) as if the connection were writable; the line is then replied to
    /// without its newline.
    pub(crate) fn cut_line(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            backlog.cut_line();
            self.waits_to_send = true;
        }
    }

    /// Returns the backlog's memory to the context. Call it before you drop the connection.
    pub fn release<C, O>(&mut self, context: &mut TurnContext<C, O>) {
        context.budget.release(&mut self.backlog);
    }
}

/// The steps of a turn.
impl Connection {
    fn receive(&self, max: usize) -> Operation {
        Operation::Recv { offset: self.unprocessed_len(), max }
    }

    fn unprocessed_len(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.unprocessed().len())
    }

    fn has_unsent(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| !backlog.unsent().is_empty())
    }

    fn is_message(&self) -> bool {
        self.kind == Kind::Messages
    }

    /// Sends the backlog's output, or else replies to its input.
    fn continue_backlog<C: Clock, O: Observer>(&mut self, context: &mut TurnContext<C, O>) -> Operation {
        let Some(backlog) = &self.backlog else { return self.end_turn(Interest::READ) };
        if !backlog.unsent().is_empty() {
            return Operation::Send;
        }
        let (len, arrival) = (backlog.unprocessed().len(), backlog.arrival());
        let input = if backlog.is_cut_line() { Input::Last } else { self.input(&context.budget) };
        self.load_unprocessed(context);
        self.reply(len, arrival, input, context)
    }

    fn on_received<C: Clock, O: Observer>(
        &mut self,
        received: usize,
        context: &mut TurnContext<C, O>,
    ) -> Operation {
        self.buffer_limit.on_received(received);
        let unfinished = self.unprocessed_len();
        let len = unfinished + received;
        if let Some(backlog) = &mut self.backlog {
            let new = &context.input[unfinished..len];
            let framing = context.service.responder(false).framing;
            // An unfinished line is neither scanned nor copied again until it is complete.
            if context.budget.read_size().is_some() && !framing.completes(unfinished, new) {
                context.budget.append(backlog, new);
                return self.end_turn(Interest::READ);
            }
            self.load_unprocessed(context);
        }
        let arrival = context.service.arrival(self.is_message(), &context.input[..len]);
        self.reply(len, arrival, self.input(&context.budget), context)
    }

    fn on_end<C: Clock, O: Observer>(&mut self, context: &mut TurnContext<C, O>) -> Operation {
        self.state = State::PeerFinished;
        let len = self.unprocessed_len();
        if len == 0 || !self.transport.half_closes() {
            return self.end_turn(Interest::READ);
        }
        self.load_unprocessed(context);
        let arrival = context.service.arrival(self.is_message(), &context.input[..len]);
        self.reply(len, arrival, self.input(&context.budget), context)
    }

    /// Copies the backlog's input to the beginning of the input buffer.
    fn load_unprocessed<C, O>(&self, context: &mut TurnContext<C, O>) {
        if let Some(backlog) = &self.backlog {
            let unprocessed = backlog.unprocessed();
            context.input[..unprocessed.len()].copy_from_slice(unprocessed);
        }
    }

    /// Replies to the first `len` bytes of the input buffer.
    fn reply<C: Clock, O: Observer>(
        &mut self,
        len: usize,
        arrival: Moment,
        input: Input,
        context: &mut TurnContext<C, O>,
    ) -> Operation {
        let request = Request {
            peer: &self.peer,
            local: self.local.as_deref(),
            is_message: self.is_message(),
            bytes: &context.input[..len],
            input,
            arrival,
            seq: self.messages,
        };
        context.output.clear();
        let service = &mut context.service;
        let progress = context.output.append_with(|out| service.reply(&request, out));
        let sends = !context.output.is_empty() || request.is_empty_message();
        context.exchange = Exchange { input_len: len, arrival, progress };
        if sends { Operation::Send } else { self.on_sent(0, context) }
    }

    /// Returns whether more input may follow. When the budget is exhausted, none does, and an
    /// unfinished line is replied to as a frame.
    fn input(&self, budget: &BacklogBudget) -> Input {
        match self.state {
            State::Open if budget.read_size().is_some() => Input::More,
            _ => Input::Last,
        }
    }

    fn on_sent<C: Clock, O: Observer>(&mut self, sent: usize, context: &mut TurnContext<C, O>) -> Operation {
        let progress = u16::try_from(sent / PROGRESS_UNIT).unwrap_or(u16::MAX);
        self.progress = self.progress.saturating_add(progress);
        self.buffer_limit.on_sent(sent, self.output(context).len());
        if self.has_unsent() {
            context.budget.remove_sent(&mut self.backlog, sent);
            return self.end_turn(Interest::READ);
        }
        let Exchange { input_len, progress, .. } = context.exchange;
        context.service.counters().add_replies(progress.seq - self.messages, progress.consumed);
        self.messages = progress.seq;
        let nothing_remains = progress.consumed == input_len && sent == context.output.len();
        if nothing_remains && self.backlog.is_none() {
            return self.end_turn(Interest::READ);
        }
        self.store_remainder(sent, context)
    }

    /// Drops the output, which is one message.
    fn on_too_long<C: Clock, O: Observer>(&mut self, context: &mut TurnContext<C, O>) -> Operation {
        context.service.add_drops(DropReason::Unsent, 1);
        let len = self.output(context).len();
        if self.has_unsent() {
            context.budget.remove_sent(&mut self.backlog, len);
            return self.end_turn(Interest::READ);
        }
        self.store_remainder(len, context)
    }

    /// Stores what remains of the exchange as the backlog, and ends the turn.
    fn store_remainder<C: Clock, O: Observer>(
        &mut self,
        sent: usize,
        context: &mut TurnContext<C, O>,
    ) -> Operation {
        let Exchange { input_len, arrival, progress } = context.exchange;
        let unprocessed = &context.input[progress.consumed..input_len];
        let framing = context.service.responder(self.is_message()).framing;
        let has_frame = framing.frame_len(unprocessed, self.input(&context.budget)).is_some();
        let unsent = &context.output[sent..];
        context.budget.store(&mut self.backlog, Remainder { unsent, unprocessed, arrival, has_frame });
        self.end_turn(Interest::READ)
    }

    /// Returns the last operation of a turn, or the shutdown before it. `interest` is the event to
    /// wait for if there is no backlog to complete.
    fn end_turn(&mut self, interest: Interest) -> Operation {
        let is_pending = self.backlog.as_ref().is_some_and(|backlog| backlog.is_pending());
        match self.state {
            // The client's end is the end of both directions: nothing can be sent.
            State::PeerFinished if !self.transport.half_closes() => Operation::Close,
            _ if is_pending => self.wait(Interest::WRITE),
            State::PeerFinished | State::Finishing if self.backlog.is_none() => {
                let both = !self.transport.half_closes();
                Operation::Shutdown(if both { Shutdown::Both } else { Shutdown::Write })
            }
            _ => self.wait(interest),
        }
    }

    fn wait(&mut self, interest: Interest) -> Operation {
        self.waits_to_send = interest == Interest::WRITE;
        Operation::Wait(interest)
    }
}

#[cfg(test)]
mod tests;
