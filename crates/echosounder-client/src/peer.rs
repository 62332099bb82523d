//! Somebody to ask: send a message, wait until it has come back.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use echosounder_proto::EchoReader;
use echosounder_proto::FailureKind;
use echosounder_socket::{
    Address, Endpoint, Interest, IoBuffer, Kind, MessageFlags, Shutdown, Socket, Transport, is_too_long,
    ready,
};

use crate::clock::{Deadline, now};
use crate::connect::{Candidates, ConnectOptions};
use crate::error::{ClientError, failure_kind, is_about_earlier, send_twice};

/// Most bytes of one read, and of one datagram.
const READ_MAX: usize = 256 * 1024;

/// How many unanswered messages are remembered, to know their replies when they come late.
const LATE_MAX: usize = 256;

/// How many bytes of them.
const LATE_BYTES_MAX: usize = 4 << 20;

/// How many bytes must arrive within the time to wait for a stream to be flowing rather than dripping: then the time
/// begins anew.
const FLOW: usize = 64 * 1024;

/// How long a stream must be silent before a reply that does not end in a newline is taken as complete.
const QUIET: Duration = Duration::from_millis(300);

/// How long after the connection was made a greeting is waited for, before the first line of a program.
const GREETING: Duration = Duration::from_millis(250);

/// How long after a greeting more of it is waited for.
const MORE_GREETING: Duration = Duration::from_millis(50);

/// How long a greeting may take altogether, once it has begun.
const GREETING_MAX: Duration = Duration::from_secs(2);

/// How long a reply may still come after the network has reported, twice, that the request was refused.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// The same if nobody has ever answered.
const GRACE: Duration = Duration::from_millis(100);

/// How many reads are made in a row before a line is sent, to see whether the peer has ended.
const READS_MAX: usize = 16;

/// Bytes that rx_times from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// What it said. It is a stranger's: escape it before it is shown.
    pub bytes: &'a [u8],
    /// What they are.
    pub part: Part,
}

/// What bytes from a peer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The beginning of something, or more of it. What it is shows at its end.
    Begun,
    /// An answer, or the last of it, which may be empty, and how long after its message was sent it rx_times.
    Answer(Duration),
    /// The same, but it rx_times when its message was no longer waited for.
    Late(Duration),
    /// Nothing that was asked for, or the last of it, which may be empty.
    Unasked,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message rx_times back.
    Answered,
    /// It did not, within the time.
    Silence,
    /// The peer ended the conversation.
    Ended,
    /// Somebody wants it to end: what [`Peer::heed`] was given has become readable, or the time of
    /// [`Peer::call_within`] is up.
    Interrupted,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// As a question does.
    Reply(Reply),
    /// A datagram could not be sent or was refused. The next may fare better.
    Failed(ClientError),
    /// It cannot be sent as one message: it is too long, or it is empty and the family has no such messages.
    Unsendable(ClientError),
}

/// Somebody to ask.
#[derive(Debug)]
pub struct Peer {
    call: ConnectOptions,
    transport: Transport,
    kind: Kind,
    socket: Socket,
    address: Address,
    /// Where else the peer may be, as long as it has not answered.
    candidates: Candidates,
    answers: Answers,
    buffer: IoBuffer,
    interrupt: Option<OwnedFd>,
    /// When every wait ends.
    limit: Deadline,
    /// Until when a greeting is waited for, as long as nothing was sent.
    greeting: Option<Deadline>,
}

impl Peer {
    /// Reaches the peer: the addresses of its name are tried with staggered starts, until one takes the call.
    ///
    /// # Errors
    ///
    /// If the name stands for many hosts, or if no address does: how each has failed. For datagrams that shows only when the first is sent.
    pub fn call(call: ConnectOptions) -> Result<Self, ClientError> {
        Self::call_within(call, Duration::MAX)
    }

    /// The same, with a time after which every wait ends as if it were interrupted.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn call_within(call: ConnectOptions, span: Duration) -> Result<Self, ClientError> {
        let limit = Deadline::after(span);
        let deadline = Deadline::after(call.wait).earlier(limit);
        let mut candidates = Candidates::of(&call, deadline, &Arc::default())?;
        candidates.refuse_many(&call.endpoint)?;
        let nobody = || Err(ClientError::timeout("connect to", &call.endpoint));
        let (socket, address) = candidates.connect(deadline).unwrap_or_else(nobody)?;
        let transport = call.endpoint.transport();
        let kind = transport.kind();
        Ok(Self {
            call,
            transport,
            kind,
            socket,
            address,
            candidates,
            answers: Answers::new(transport),
            buffer: IoBuffer::zeroed(READ_MAX),
            interrupt: None,
            limit,
            greeting: (kind != Kind::Datagrams).then(|| Deadline::after(GREETING)),
        })
    }

    /// Ends every wait from now on when this becomes readable.
    pub fn heed(&mut self, interrupt: OwnedFd) {
        self.interrupt = Some(interrupt);
    }

    /// Whether the time of [`call_within`](Self::call_within) is up.
    pub fn is_overdue(&self) -> bool {
        self.limit.is_over()
    }

    /// Whether anything has ever come from the peer. Of datagrams only that tells that somebody is there.
    pub fn has_answered(&self) -> bool {
        self.answers.any
    }

    /// Sends a message and waits until it has come back, at most as long as the call may take. A long echo on a stream
    /// may take that long for each 64 KiB of it. Everything that comes meanwhile is told to `heard`; a reply that is not
    /// complete in time stays without an end.
    ///
    /// A datagram that is refused before anything was answered is sent to the name's next address.
    ///
    /// # Errors
    ///
    /// If the peer fails, if a stream does not take the message in time, or if `heard` fails.
    pub fn ask<E: From<ClientError>>(
        &mut self,
        message: &[u8],
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Reply, E> {
        match self.request(message, heard)? {
            Outcome::Reply(reply) => Ok(reply),
            Outcome::Failed(error) | Outcome::Unsendable(error) => Err(error.into()),
        }
    }

    /// The same, and tells failures that concern one message alone from those that end everything.
    pub(crate) fn request<E: From<ClientError>>(
        &mut self,
        message: &[u8],
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let deadline = Deadline::after(self.call.wait);
        loop {
            let (operation, error) = match self.exchange(message, deadline, heard) {
                Ok(reply) => return Ok(Outcome::Reply(reply)),
                Err(Stop::TimestampSupport(error)) => return Err(error),
                Err(Stop::Failed(operation, error)) => (operation, error),
            };
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            // Netlink refuses empty messages (ENODATA).
            let is_refused =
                || message.is_empty() && failure_kind(operation, &error, &self.address).is_none();
            if self.kind != Kind::Stream && operation == "send to" && (is_too_long(&error) || is_refused()) {
                self.answers.asked.pop_back();
                return Ok(Outcome::Unsendable(self.error(operation, error)));
            }
            if self.kind != Kind::Datagrams {
                return Err(self.error(operation, error).into());
            }
            if !refused || self.answers.any {
                let failed = self.error(operation, error);
                return if failed.word().is_some() {
                    Ok(Outcome::Failed(failed))
                } else {
                    Err(failed.into())
                };
            }
            let next = self.candidates.connect(deadline);
            let (socket, address) = next.unwrap_or_else(|| Err(self.error(operation, error)))?;
            (self.socket, self.address) = (socket, address);
            self.answers = Answers::new(self.transport);
        }
    }

    /// Takes what has come without being waited for; whether more may come is returned.
    ///
    /// # Errors
    ///
    /// If the peer fails, or if `heard` does.
    pub fn listen<E: From<ClientError>>(
        &mut self,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        match self.take(heard).and_then(|taken| self.settle(heard).map(|()| taken)) {
            Ok(Taken::End) => self.answers.finish_piece(heard).map(|()| false),
            Ok(_) => Ok(true),
            Err(stop) => Err(self.give_up(stop)),
        }
    }

    /// Takes all that is there now, and finishes what has come to its end by waiting; whether more may come is returned.
    pub(crate) fn catch_up<E: From<ClientError>>(
        &mut self,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        for _ in 0..READS_MAX {
            match self.is_readable() {
                Ok(true) if !self.listen(heard)? => return Ok(false),
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.error("wait for", error).into()),
            }
        }
        self.settle(heard).map_err(|stop| self.give_up(stop))?;
        Ok(true)
    }

    /// When [`catch_up`](Self::catch_up) has something to do although nothing has come.
    pub(crate) fn wakes(&self) -> Deadline {
        let left = |piece: &Piece| QUIET.saturating_sub(now().saturating_duration_since(piece.arrived));
        Deadline::after(self.answers.piece.as_ref().map_or(Duration::MAX, left)).earlier(self.limit)
    }

    /// Hears a greeting, which belongs to no message: waits a little if nothing was sent yet. Whether more may come
    /// is returned.
    pub(crate) fn hear_greeting<E: From<ClientError>>(
        &mut self,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(mut until) = self.greeting.take() else { return Ok(true) };
        let at_last = Deadline::after(GREETING_MAX);
        while !at_last.is_over() && (!until.is_over() || self.answers.piece.is_some()) {
            let wait = if self.answers.piece.is_some() { self.wakes() } else { until };
            match self.wait(Interest::Read, wait).map_err(|stop| self.give_up(stop))? {
                Woken::Interrupted => break,
                Woken::Readable if !self.listen(heard)? => return Ok(false),
                Woken::Readable => until = Deadline::after(MORE_GREETING),
                Woken::Otherwise => self.settle(heard).map_err(|stop| self.give_up(stop))?,
            }
        }
        Ok(true)
    }

    /// Says that nothing more will be asked, and hears the peer out: until it ends, at most as long as the call may take,
    /// and as long again after each 64 KiB. Where it cannot be said, only what is unanswered is waited for. With datagrams there is
    /// nothing to say and nobody to wait for.
    ///
    /// # Errors
    ///
    /// If the peer fails, or if `heard` does.
    pub fn drain<E: From<ClientError>>(
        &mut self,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Reply, E> {
        if self.kind == Kind::Datagrams {
            return Ok(Reply::Answered);
        }
        self.half_close().map_err(E::from)?;
        let half_closes = self.transport.half_closes();
        let mut deadline = Deadline::after(self.call.wait);
        self.answers.flow = 0;
        while !deadline.is_over() && (half_closes || !self.answers.asked.is_empty()) {
            match self.wait(Interest::Read, deadline).map_err(|stop| self.give_up(stop))? {
                Woken::Interrupted => return Ok(Reply::Interrupted),
                Woken::Readable if !self.listen(heard)? => return Ok(Reply::Ended),
                Woken::Readable if self.answers.flows() => deadline = Deadline::after(self.call.wait),
                Woken::Readable | Woken::Otherwise => {}
            }
        }
        self.answers.finish_piece(heard)?;
        Ok(Reply::Answered)
    }

    /// Says that nothing more will be sent, if the transport can say so.
    pub(crate) fn half_close(&self) -> Result<(), ClientError> {
        match self.socket.shutdown(Shutdown::Write) {
            Err(error) if self.transport.half_closes() && error.kind() != io::ErrorKind::NotConnected => {
                Err(self.error("shut down", error))
            }
            _ => Ok(()),
        }
    }

    /// Where the peer is: the endpoint that was called, at the address that took the call.
    pub fn endpoint(&self) -> String {
        Endpoint::display(self.call.endpoint.transport(), &self.address)
    }

    /// Whom was called.
    pub fn called(&self) -> &Endpoint {
        &self.call.endpoint
    }

    /// How long it is waited for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.call.wait
    }

    pub(crate) fn limit(&self) -> Deadline {
        self.limit
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    fn exchange<E>(
        &mut self,
        message: &[u8],
        mut deadline: Deadline,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Reply, Stop<E>> {
        self.answers.finish_piece(heard).map_err(Stop::TimestampSupport)?;
        self.answers.asked(message);
        self.greeting = None;
        let mut rest = Some(message);
        let mut trouble = Trouble::default();
        while rest.is_some() || !self.answers.is_complete() {
            if let Some(bytes) = rest {
                match self.send(bytes) {
                    Ok(Some(len)) => {
                        rest = Some(&bytes[len..]).filter(|rest| !rest.is_empty());
                        deadline = self.prolonged(deadline);
                    }
                    Ok(None) => {}
                    Err(error) if self.is_closed_by(&error) => return self.hear_out(deadline, heard),
                    Err(error) => return Err(Stop::Failed("send to", error)),
                }
            }
            if !self.is_in_time(deadline) {
                self.answers.give_up();
                return if rest.is_none() { trouble.or_silence() } else { Err(timed_out("send to")) };
            }
            let interest = if rest.is_none() { Interest::Read } else { Interest::Both };
            let wakes = if deadline.is_over() { self.wakes() } else { self.wakes().earlier(deadline) };
            match self.wait(interest, wakes)? {
                Woken::Interrupted => return Ok(Reply::Interrupted),
                Woken::Otherwise => {}
                Woken::Readable => match self.take(heard)? {
                    Taken::End => {
                        self.answers.finish_piece(heard).map_err(Stop::TimestampSupport)?;
                        let complete = rest.is_none() && self.answers.is_complete();
                        return Ok(if complete { Reply::Answered } else { Reply::Ended });
                    }
                    Taken::Trouble(error) => {
                        deadline = trouble.heed(error, &self.candidates, self.answers.any, deadline);
                        // Whatever the error was about, the message may not have arrived.
                        if trouble.count == 1 {
                            rest = Some(message);
                        }
                    }
                    // Of an echo it is known how long it is. Anything else could flow for ever.
                    Taken::Bytes if self.answers.piece.is_none() && self.answers.flows() => {
                        deadline = self.prolonged(deadline);
                    }
                    Taken::Bytes | Taken::Nothing => {}
                },
            }
            if self.is_in_time(deadline) {
                self.settle(heard)?;
            }
        }
        Ok(Reply::Answered)
    }

    /// Whether there may still be a reply that was complete in time: the silence that ends one may be heard later.
    fn is_in_time(&self, deadline: Deadline) -> bool {
        let rx_times = |piece: &Piece| piece.is_answer && deadline.includes(piece.arrived);
        !deadline.is_over() || self.answers.piece.as_ref().is_some_and(rx_times)
    }

    /// Whether an error of a send tells that the peer takes nothing more. What it has said before can still be read.
    fn is_closed_by(&self, error: &io::Error) -> bool {
        self.kind != Kind::Datagrams
            && failure_kind("send to", error, &self.address) == Some(FailureKind::Closed)
    }

    /// Takes what the peer has said before it closed the connection.
    fn hear_out<E>(
        &mut self,
        deadline: Deadline,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Reply, Stop<E>> {
        while !deadline.is_over() {
            match self.wait(Interest::Read, deadline)? {
                Woken::Interrupted => return Ok(Reply::Interrupted),
                Woken::Otherwise => {}
                Woken::Readable => {
                    if let Taken::End = self.take(heard)? {
                        break;
                    }
                }
            }
        }
        self.answers.finish_piece(heard).map_err(Stop::TimestampSupport)?;
        Ok(Reply::Ended)
    }

    /// The deadline of a reply when a part of the message was sent, or much of its echo has come: on a stream the time
    /// to wait counts from that.
    fn prolonged(&self, deadline: Deadline) -> Deadline {
        if self.kind == Kind::Stream { Deadline::after(self.call.wait) } else { deadline }
    }

    /// Sends once; `None` if the kernel takes nothing now.
    fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let (sent, _) = send_twice(self.kind, || self.socket.send(bytes));
        match sent {
            Err(error) if is_transient(&error) => Ok(None),
            sent => sent.map(Some),
        }
    }

    /// Reads once.
    fn take<E>(&mut self, heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<Taken, Stop<E>> {
        let len = match self.socket.recv(&mut self.buffer) {
            Err(error) if is_transient(&error) => return Ok(Taken::Nothing),
            Err(error) if self.transport.is_end(&error) => return Ok(Taken::End),
            Err(error) if is_about_earlier(self.kind, &error) => return Ok(Taken::Trouble(error)),
            result => result.map_err(|error| Stop::Failed("receive from", error))?,
        };
        if len == 0 && self.kind != Kind::Datagrams && !self.was_empty_message() {
            return Ok(Taken::End);
        }
        self.answers.take(&self.buffer[..len], heard).map_err(Stop::TimestampSupport)?;
        Ok(Taken::Bytes)
    }

    /// Whether a read of nothing was a message without content rather than the end: after that, nothing is readable,
    /// or something that is not empty.
    fn was_empty_message(&self) -> bool {
        let peek = || self.socket.recv_msg(&mut [IoSliceMut::new(&mut [0])], 0, MessageFlags::PEEK);
        self.kind == Kind::Messages
            && (self.is_readable().is_ok_and(|readable| !readable)
                || peek().is_ok_and(|message| message.len != 0))
    }

    fn is_readable(&self) -> io::Result<bool> {
        ready([(self.socket.as_fd(), Interest::Read)], Some(Duration::ZERO)).map(|[socket]| socket.readable)
    }

    /// Finishes what has come, if it is a whole line and nothing more is there, or nothing rx_times for a while.
    fn settle<E>(&mut self, heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<(), Stop<E>> {
        let Some(piece) = &self.answers.piece else { return Ok(()) };
        let over = piece.ends_line || QUIET <= now().saturating_duration_since(piece.arrived);
        if over && !self.is_readable().map_err(|error| Stop::Failed("wait for", error))? {
            self.answers.finish_piece(heard).map_err(Stop::TimestampSupport)?;
        }
        Ok(())
    }

    /// Waits until the socket is ready, somebody interrupts, or the time is up.
    fn wait<E>(&self, interest: Interest, deadline: Deadline) -> Result<Woken, Stop<E>> {
        let socket = (self.socket.as_fd(), interest);
        let left = deadline.earlier(self.limit).left();
        let (readable, interrupted) = match &self.interrupt {
            Some(interrupt) => ready([socket, (interrupt.as_fd(), Interest::Read)], left)
                .map(|[socket, interrupt]| (socket.readable, interrupt.readable)),
            None => ready([socket], left).map(|[socket]| (socket.readable, false)),
        }
        .map_err(|error| Stop::Failed("wait for", error))?;
        Ok(match (interrupted || self.is_overdue(), readable) {
            (true, _) => Woken::Interrupted,
            (false, true) => Woken::Readable,
            (false, false) => Woken::Otherwise,
        })
    }

    fn give_up<E: From<ClientError>>(&self, stop: Stop<E>) -> E {
        match stop {
            Stop::Failed(operation, error) => self.error(operation, error).into(),
            Stop::TimestampSupport(error) => error,
        }
    }

    pub(crate) fn error(&self, operation: &'static str, error: io::Error) -> ClientError {
        ClientError::of(operation, &self.endpoint(), &self.address, error)
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Why an exchange did not come to its end.
enum Stop<E> {
    /// An operation failed.
    Failed(&'static str, io::Error),
    /// Whoever was told of the answer failed.
    TimestampSupport(E),
}

fn timed_out<E>(operation: &'static str) -> Stop<E> {
    Stop::Failed(operation, io::ErrorKind::TimedOut.into())
}

/// What a wait has ended with.
enum Woken {
    Readable,
    Interrupted,
    /// There is room to write, or the time is up.
    Otherwise,
}

/// What a read has brought.
enum Taken {
    Bytes,
    Nothing,
    End,
    /// An error that is about an earlier datagram.
    Trouble(io::Error),
}

/// What the network has reported of a datagram that is not answered yet.
#[derive(Default)]
struct Trouble {
    count: u32,
    /// The last report, unless it only asks for smaller packets.
    last: Option<io::Error>,
}

impl Trouble {
    /// Takes a report, and returns until when an answer is still waited for: it may be there already, behind the
    /// report. If nobody has ever answered that is not long, once a second report has come or there is another address to
    /// try.
    fn heed(&mut self, error: io::Error, candidates: &Candidates, any: bool, deadline: Deadline) -> Deadline {
        self.count += 1;
        if is_too_long(&error) {
            return deadline;
        }
        self.last = Some(error);
        let is_believed = !any && (1 < self.count || candidates.addresses().next().is_some());
        deadline.earlier(Deadline::after(if is_believed { GRACE } else { LAST_CHANCE }))
    }

    /// How an exchange ends for which the time is up.
    fn or_silence<E>(self) -> Result<Reply, Stop<E>> {
        self.last.map_or(Ok(Reply::Silence), |error| Err(Stop::Failed("receive from", error)))
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tells which message an answer belongs to.
#[derive(Debug)]
struct Answers {
    /// The bytes that are to come back on a stream, as long as it is an echo that comes back.
    echo: Option<EchoReader>,
    is_stream: bool,
    /// What has not been answered, and since when. On a stream the reader knows the messages themselves.
    asked: VecDeque<Asked>,
    /// Whether a message has come back, so that a reply without the message in it is some other one's.
    echoes: bool,
    /// How much has come since it was last found to flow.
    flow: usize,
    /// Whether anybody may answer, so that only an answer with the message in it is one.
    from_anybody: bool,
    /// Whether anything has ever come.
    any: bool,
    /// What has begun to come on a stream, and is no echo.
    piece: Option<Piece>,
    last_echo: Option<LastEcho>,
}

/// A message that has no reply yet.
#[derive(Debug)]
struct Asked {
    message: Box<[u8]>,
    since: Instant,
    /// Whether its time is up, or it has failed.
    is_given_up: bool,
}

impl Asked {
    /// What its reply is.
    fn replied(&self, at: Instant) -> Part {
        let after = at.saturating_duration_since(self.since);
        if self.is_given_up { Part::Late(after) } else { Part::Answer(after) }
    }
}

/// The last message that rx_times back, and the answer that it rx_times back in.
#[derive(Debug)]
struct LastEcho {
    message: Box<[u8]>,
    answer: Box<[u8]>,
}

/// A part of a stream that is no echo: an answer, or something that nobody asked for.
#[derive(Debug)]
struct Piece {
    /// When the last of it rx_times.
    arrived: Instant,
    /// Whether it ends in a newline, as far as it has come.
    ends_line: bool,
    /// Whether something was unanswered when it began.
    is_answer: bool,
}

impl Answers {
    fn new(transport: Transport) -> Self {
        let is_stream = transport.kind() == Kind::Stream;
        Self {
            echo: is_stream.then(EchoReader::new),
            is_stream,
            asked: VecDeque::new(),
            echoes: false,
            flow: 0,
            from_anybody: transport.receives_from_any(),
            any: false,
            piece: None,
            last_echo: None,
        }
    }

    fn asked(&mut self, message: &[u8]) {
        self.give_up();
        self.flow = 0;
        if let Some(reader) = &mut self.echo {
            reader.sent(message);
        }
        let message = if self.is_stream { &[] } else { message };
        self.forget_for(message.len());
        self.asked.push_back(Asked { message: message.into(), since: now(), is_given_up: false });
    }

    /// Forgets the oldest messages if there are too many with one more of this length.
    fn forget_for(&mut self, len: usize) {
        // The reader of a stream counts on all of them.
        if self.is_stream {
            return;
        }
        let mut bytes = self.asked.iter().fold(len, |bytes, asked| bytes + asked.message.len());
        while LATE_MAX <= self.asked.len() || LATE_BYTES_MAX < bytes {
            let Some(oldest) = self.asked.pop_front() else { break };
            bytes -= oldest.message.len();
        }
    }

    /// From now on the reply to what was sent is late, and what has begun to come is nobody's.
    fn give_up(&mut self) {
        self.piece = None;
        self.asked.iter_mut().for_each(|asked| asked.is_given_up = true);
    }

    /// Whether nothing is waited for.
    fn is_complete(&self) -> bool {
        self.asked.back().is_none_or(|last| last.is_given_up)
    }

    /// Whether so much has come since this was last true that a stream flows.
    fn flows(&mut self) -> bool {
        let flows = FLOW <= self.flow;
        self.flow = if flows { 0 } else { self.flow };
        flows
    }

    fn take<E>(&mut self, bytes: &[u8], heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<(), E> {
        self.any = true;
        self.flow = self.flow.saturating_add(bytes.len());
        if !self.is_stream {
            let part = self.answered_by(bytes);
            return heard(Heard { bytes, part });
        }
        let rest = self.take_echoes(bytes, heard)?;
        if rest.is_empty() {
            return Ok(());
        }
        let is_answer = self.piece.as_ref().map_or(!self.asked.is_empty(), |piece| piece.is_answer);
        self.piece = Some(Piece { arrived: now(), ends_line: rest.ends_with(b"\n"), is_answer });
        heard(Heard { bytes: rest, part: Part::Begun })
    }

    /// Takes as much of a stream as is an echo, and returns the rest. What nobody has asked for is no echo, and does not
    /// tell that none will come.
    fn take_echoes<'a, E>(
        &mut self,
        bytes: &'a [u8],
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        let Some(reader) = self.echo.as_mut().filter(|_| self.piece.is_none() && !self.asked.is_empty())
        else {
            return Ok(bytes);
        };
        let mut ends = Vec::new();
        let echoes = reader.receive(bytes, |echo| ends.push(echo.end)).is_ok();
        if !echoes {
            // Whoever does not echo answers with whatever it says next. What follows the last echo is a part of it.
            self.echo = None;
            ends.pop();
        }
        let mut start = 0;
        for end in ends {
            let part = self.asked.pop_front().map_or(Part::Unasked, |asked| asked.replied(now()));
            heard(Heard { bytes: &bytes[start..end], part })?;
            start = end;
        }
        let rest = &bytes[start..];
        if echoes && !rest.is_empty() {
            heard(Heard { bytes: rest, part: Part::Begun })?;
        }
        Ok(if echoes { &[] } else { rest })
    }

    /// Ends what has begun to come on a stream.
    fn finish_piece<E>(&mut self, heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(piece) = self.piece.take() else { return Ok(()) };
        let last = if piece.is_answer { self.asked.drain(..).next_back() } else { None };
        let part = last.map_or(Part::Unasked, |asked| asked.replied(piece.arrived));
        heard(Heard { bytes: b"", part })
    }

    /// What a whole reply is.
    fn answered_by(&mut self, reply: &[u8]) -> Part {
        let Some(current) = self.asked.back() else { return Part::Unasked };
        let is_repeated = |last: &LastEcho| *last.answer == *reply && last.message != current.message;
        if self.last_echo.as_ref().is_some_and(is_repeated) {
            return Part::Unasked;
        }
        let owner = self.owner_of(reply).and_then(|number| self.asked.remove(number));
        let Some(owner) = owner else { return Part::Unasked };
        let part = owner.replied(now());
        let is_echo = !owner.message.is_empty() && reply.ends_with(&owner.message);
        self.echoes |= is_echo;
        self.last_echo = is_echo.then(|| LastEcho { message: owner.message, answer: reply.into() });
        part
    }

    /// Which message a whole reply belongs to: the longest that it ends with, and of equal ones the last. The reply to a
    /// message without content shows only by having none either, or none of a peer that is known to send messages back.
    /// Anything else that the peer says is the reply to the last message.
    fn owner_of(&self, reply: &[u8]) -> Option<usize> {
        let is_in = |message: &[u8]| !message.is_empty() && reply.ends_with(message);
        let echoed = self.asked.iter().enumerate().filter(|(_, asked)| is_in(&asked.message));
        let echoed = echoed.max_by_key(|(_, asked)| asked.message.len()).map(|(number, _)| number);
        let empty = self.asked.iter().rposition(|asked| asked.message.is_empty());
        if self.from_anybody {
            return echoed.or(empty);
        }
        let empty = empty.filter(|_| reply.is_empty() || self.echoes);
        echoed.or(empty).or_else(|| self.asked.len().checked_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str) -> Answers {
        Answers::new(endpoint.parse::<Endpoint>().unwrap().transport())
    }

    /// What the bytes are, and whether the last message is still waited for.
    fn take(answers: &mut Answers, bytes: &[u8]) -> (&'static str, bool) {
        let mut what = "";
        let mut heard = |heard: Heard<'_>| {
            what = match heard.part {
                Part::Begun => "begun",
                Part::Answer(_) => "reply",
                Part::Late(_) => "late",
                Part::Unasked => "unasked",
            };
            Ok::<(), ()>(())
        };
        answers.take(bytes, &mut heard).unwrap();
        (what, !answers.is_complete())
    }

    #[test]
    fn a_late_reply_does_not_end_the_wait_for_another() {
        for endpoint in ["udp://localhost:7", "unix-seqpacket:@a", "tcp://localhost:7"] {
            let mut answers = of(endpoint);
            for message in [b"L1", b"L2", b"L3"] {
                answers.asked(message);
            }
            let replies = [&b"L1"[..], b"L2", b"L3"].map(|reply| take(&mut answers, reply));
            assert_eq!(replies, [("late", true), ("late", true), ("reply", false)], "{endpoint}");
        }
    }

    #[test]
    fn a_reply_leaves_what_is_unanswered_to_its_late_reply() {
        let mut answers = of("udp://localhost:7");
        answers.asked(b"one");
        answers.asked(b"two");
        assert_eq!(take(&mut answers, b"[now] two"), ("reply", false));
        answers.asked(b"three");
        assert_eq!(take(&mut answers, b"[now] one"), ("late", true));
        assert_eq!(take(&mut answers, b"[now] one"), ("unasked", true), "it rx_times twice");
        assert_eq!(take(&mut answers, b"[now] three"), ("reply", false));
    }

    #[test]
    fn a_late_reply_is_no_reply_to_an_empty_message() {
        for stamp in ["", "[now] "] {
            let mut answers = of("udp://localhost:7");
            let reply = |text: &str| format!("{stamp}{text}").into_bytes();
            answers.asked(b"a");
            answers.asked(b"");
            assert_eq!(take(&mut answers, &reply("a")), ("late", true));
            answers.asked(b"bb");
            assert_eq!(take(&mut answers, &reply("")), ("late", true));
            assert_eq!(take(&mut answers, &reply("bb")), ("reply", false));
            answers.asked(b"");
            assert_eq!(take(&mut answers, &reply("")), ("reply", false));
        }
    }

    #[test]
    fn the_longest_message_in_a_reply_is_its_own() {
        let mut answers = of("udp://localhost:7");
        answers.asked(b"11");
        answers.asked(b"1");
        assert_eq!(take(&mut answers, b"11"), ("late", true));
        answers.asked(b"21");
        assert_eq!(take(&mut answers, b"21"), ("reply", false));
        assert_eq!(take(&mut answers, b"1"), ("late", false));
    }

    #[test]
    fn a_peer_that_does_not_echo_replies_to_the_last_message() {
        let mut answers = of("udp://localhost:7");
        answers.asked(b"one");
        answers.asked(b"two");
        assert_eq!(take(&mut answers, b"ERROR"), ("reply", false));
    }

    #[test]
    fn what_is_remembered_of_datagrams_is_bounded() {
        let mut answers = of("udp://localhost:7");
        (0..2 * LATE_MAX).for_each(|_| answers.asked(b"x"));
        assert_eq!(answers.asked.len(), LATE_MAX);
        answers.asked(&vec![b'x'; LATE_BYTES_MAX]);
        assert_eq!(answers.asked.len(), 1);
    }
}
