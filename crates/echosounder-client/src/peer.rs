//! Somebody to ask: send a message, wait until it has come back.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use echosounder_proto::EchoReader;
use echosounder_socket::{
    Address, Endpoint, Half, Interest, IoBuffer, Kind, MessageFlags, Socket, Transport, is_too_long, ready,
};

use crate::clock::{Deadline, now};
use crate::connect::{Call, Candidates};
use crate::error::{CallError, Word, is_about_earlier, send_twice};

/// Most bytes of one read, and of one datagram.
const READ_MAX: usize = 256 * 1024;

/// How many unanswered datagrams are remembered, to know their answers when they come late.
const LATE_MAX: usize = 16;

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

/// Bytes that came from the peer.
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
    /// An answer, or the last of it, which may be empty, and how long after its message was sent it came.
    Answer(Duration),
    /// Nothing that was asked for, or the last of it, which may be empty.
    Unasked,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message came back.
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
    Failed(CallError),
    /// It cannot be sent as one message: it is too long, or it is empty and the family has no such messages.
    Unsendable(CallError),
}

/// Somebody to ask.
#[derive(Debug)]
pub struct Peer {
    call: Call,
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
    pub fn call(call: Call) -> Result<Self, CallError> {
        Self::call_within(call, Duration::MAX)
    }

    /// The same, with a time after which every wait ends as if it were interrupted.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn call_within(call: Call, span: Duration) -> Result<Self, CallError> {
        let limit = Deadline::after(span);
        let deadline = Deadline::after(call.wait).earlier(limit);
        let mut candidates = Candidates::of(&call, deadline, &Arc::default())?;
        candidates.refuse_many(&call.endpoint)?;
        let nobody = || Err(CallError::timeout("connect", &call.endpoint));
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

    /// Sends a message and waits until it has come back, at most as long as the call may take. Everything that
    /// comes meanwhile is told to `heard`.
    ///
    /// A datagram that is refused before anything was answered is sent to the name's next address.
    ///
    /// # Errors
    ///
    /// If the peer fails, if a stream does not take the message in time, or if `heard` fails.
    pub fn ask<E: From<CallError>>(
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
    pub(crate) fn request<E: From<CallError>>(
        &mut self,
        message: &[u8],
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let deadline = Deadline::after(self.call.wait);
        loop {
            let (operation, error) = match self.exchange(message, deadline, heard) {
                Ok(reply) => return Ok(Outcome::Reply(reply)),
                Err(Stop::Told(error)) => return Err(error),
                Err(Stop::Failed(operation, error)) => (operation, error),
            };
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            // Netlink refuses empty messages (ENODATA).
            let is_refused = || message.is_empty() && Word::of(operation, &error, &self.address).is_none();
            if self.kind != Kind::Stream && operation == "send to" && (is_too_long(&error) || is_refused()) {
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
    pub fn listen<E: From<CallError>>(
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
    pub(crate) fn catch_up<E: From<CallError>>(
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
    pub(crate) fn hear_greeting<E: From<CallError>>(
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

    /// Says that nothing more will be asked, and hears the peer out: until it ends, or says nothing for as long
    /// as the call may take. Where it cannot be said, only what is unanswered is waited for. With datagrams there is
    /// nothing to say and nobody to wait for.
    ///
    /// # Errors
    ///
    /// If the peer fails, or if `heard` does.
    pub fn drain<E: From<CallError>>(
        &mut self,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Reply, E> {
        if self.kind == Kind::Datagrams {
            return Ok(Reply::Answered);
        }
        self.half_close().map_err(E::from)?;
        let half_closes = self.transport.half_closes();
        let mut deadline = Deadline::after(self.call.wait);
        while !deadline.is_over() && (half_closes || !self.answers.is_complete()) {
            match self.wait(Interest::Read, deadline).map_err(|stop| self.give_up(stop))? {
                Woken::Interrupted => return Ok(Reply::Interrupted),
                Woken::Readable if !self.listen(heard)? => return Ok(Reply::Ended),
                Woken::Readable => deadline = Deadline::after(self.call.wait),
                Woken::Otherwise => {}
            }
        }
        self.answers.finish_piece(heard)?;
        Ok(Reply::Answered)
    }

    /// Says that nothing more will be sent, if the transport can say so.
    pub(crate) fn half_close(&self) -> Result<(), CallError> {
        match self.socket.shutdown(Half::Write) {
            Err(error) if self.transport.half_closes() && error.kind() != io::ErrorKind::NotConnected => {
                Err(self.error("shut down", error))
            }
            _ => Ok(()),
        }
    }

    /// Where the peer is: the endpoint that was called, at the address that took the call.
    pub fn endpoint(&self) -> String {
        Endpoint::shown(self.call.endpoint.transport(), &self.address)
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
        self.answers.finish_piece(heard).map_err(Stop::Told)?;
        self.answers.asked(message);
        self.greeting = None;
        let mut rest = Some(message);
        let mut trouble = Trouble::default();
        while rest.is_some() || !self.answers.is_complete() {
            if let Some(bytes) = rest {
                match self.send(bytes) {
                    Ok(Some(len)) => {
                        rest = Some(&bytes[len..]).filter(|rest| !rest.is_empty());
                        deadline = if rest.is_some() { self.prolonged(deadline) } else { deadline };
                    }
                    Ok(None) => {}
                    Err(error) if self.is_closed_by(&error) => return self.hear_out(deadline, heard),
                    Err(error) => return Err(Stop::Failed("send to", error)),
                }
            }
            if deadline.is_over() {
                return if rest.is_none() { trouble.or_silence() } else { Err(timed_out("send to")) };
            }
            let interest = if rest.is_none() { Interest::Read } else { Interest::Both };
            match self.wait(interest, deadline.earlier(self.wakes()))? {
                Woken::Interrupted => return Ok(Reply::Interrupted),
                Woken::Otherwise => {}
                Woken::Readable => match self.take(heard)? {
                    Taken::End => {
                        self.answers.finish_piece(heard).map_err(Stop::Told)?;
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
                    Taken::Bytes => deadline = self.prolonged(deadline),
                    Taken::Nothing => {}
                },
            }
            self.settle(heard)?;
        }
        Ok(Reply::Answered)
    }

    /// Whether an error of a send tells that the peer takes nothing more. What it has said before can still be read.
    fn is_closed_by(&self, error: &io::Error) -> bool {
        self.kind != Kind::Datagrams && Word::of("send to", error, &self.address) == Some(Word::Closed)
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
        self.answers.finish_piece(heard).map_err(Stop::Told)?;
        Ok(Reply::Ended)
    }

    /// The deadline of an answer of which a part has come: on a stream it counts from that.
    fn prolonged(&self, deadline: Deadline) -> Deadline {
        if self.kind == Kind::Stream { Deadline::after(self.call.wait) } else { deadline }
    }

    /// Sends once; `None` if the kernel takes nothing now.
    fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let (sent, _) = send_twice(self.kind, || self.socket.send(bytes));
        match sent {
            Err(error) if is_nothing(&error) => Ok(None),
            sent => sent.map(Some),
        }
    }

    /// Reads once.
    fn take<E>(&mut self, heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<Taken, Stop<E>> {
        let len = match self.socket.recv(&mut self.buffer) {
            Err(error) if is_nothing(&error) => return Ok(Taken::Nothing),
            Err(error) if self.transport.is_end(&error) => return Ok(Taken::End),
            Err(error) if is_about_earlier(self.kind, &error) => return Ok(Taken::Trouble(error)),
            result => result.map_err(|error| Stop::Failed("receive from", error))?,
        };
        if len == 0 && self.kind != Kind::Datagrams && !self.was_empty_message() {
            return Ok(Taken::End);
        }
        self.answers.take(&self.buffer[..len], heard).map_err(Stop::Told)?;
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

    /// Finishes what has come, if it is a whole line and nothing more is there, or nothing came for a while.
    fn settle<E>(&mut self, heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<(), Stop<E>> {
        let Some(piece) = &self.answers.piece else { return Ok(()) };
        let over = piece.ends_line || QUIET <= now().saturating_duration_since(piece.arrived);
        if over && !self.is_readable().map_err(|error| Stop::Failed("wait for", error))? {
            self.answers.finish_piece(heard).map_err(Stop::Told)?;
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

    fn give_up<E: From<CallError>>(&self, stop: Stop<E>) -> E {
        match stop {
            Stop::Failed(operation, error) => self.error(operation, error).into(),
            Stop::Told(error) => error,
        }
    }

    pub(crate) fn error(&self, operation: &'static str, error: io::Error) -> CallError {
        CallError::of(operation, &self.endpoint(), &self.address, error)
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
    Told(E),
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

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tells which message an answer belongs to.
#[derive(Debug)]
struct Answers {
    /// The bytes that are to come back on a stream, as long as it is an echo that comes back.
    echo: Option<EchoReader>,
    is_stream: bool,
    /// What has not been answered, and since when. On a stream the reader knows the messages themselves.
    asked: VecDeque<(Box<[u8]>, Instant)>,
    /// Whether anybody may answer, so that only an answer with the message in it is one.
    from_anybody: bool,
    /// Whether anything has ever come.
    any: bool,
    /// What has begun to come on a stream, and is no echo.
    piece: Option<Piece>,
    last_echo: Option<LastEcho>,
}

/// The last message that came back, and the answer that it came back in.
#[derive(Debug)]
struct LastEcho {
    message: Box<[u8]>,
    answer: Box<[u8]>,
}

/// A part of a stream that is no echo: an answer, or something that nobody asked for.
#[derive(Debug)]
struct Piece {
    /// When the last of it came.
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
            from_anybody: transport.hears_strangers(),
            any: false,
            piece: None,
            last_echo: None,
        }
    }

    fn asked(&mut self, message: &[u8]) {
        if self.is_stream {
            if let Some(reader) = &mut self.echo {
                reader.sent(message);
            }
            self.asked.push_back((Box::default(), now()));
        } else {
            if self.asked.len() == LATE_MAX {
                self.asked.pop_front();
            }
            self.asked.push_back((message.into(), now()));
        }
    }

    fn is_complete(&self) -> bool {
        self.asked.is_empty()
    }

    fn take<E>(&mut self, bytes: &[u8], heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<(), E> {
        self.any = true;
        if !self.is_stream {
            let part = self.answered_by(bytes).map_or(Part::Unasked, Part::Answer);
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
            let after = self.asked.pop_front().map(|(_, since)| now().saturating_duration_since(since));
            heard(Heard { bytes: &bytes[start..end], part: after.map_or(Part::Unasked, Part::Answer) })?;
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
        let since = if piece.is_answer { self.asked.drain(..).next_back() } else { None };
        let after = since.map(|(_, since)| piece.arrived.saturating_duration_since(since));
        heard(Heard { bytes: b"", part: after.map_or(Part::Unasked, Part::Answer) })
    }

    /// The time that a whole answer took. It is the last message's, unless it plainly is an earlier one's, or came
    /// once before.
    fn answered_by(&mut self, answer: &[u8]) -> Option<Duration> {
        let (current, _) = self.asked.back()?;
        let is_repeated = |last: &LastEcho| *last.answer == *answer && *last.message != **current;
        if self.last_echo.as_ref().is_some_and(is_repeated) {
            return None;
        }
        let message = self.asked.iter().rposition(|(message, _)| answer.ends_with(message));
        let (message, since) = match message {
            Some(late) if late + 1 < self.asked.len() => self.asked.remove(late)?,
            None if self.from_anybody => return None,
            _ => self.asked.drain(..).next_back()?,
        };
        let is_echo = !message.is_empty() && answer.ends_with(&message);
        self.last_echo = is_echo.then(|| LastEcho { message, answer: answer.into() });
        Some(now().saturating_duration_since(since))
    }
}
