//! Somebody to ask: send a message, wait until it has come back.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use echosounder_proto::EchoReader;
use echosounder_socket::{Address, Endpoint, Half, Interest, IoBuffer, Kind, Socket, Transport, ready};

use crate::clock::{Deadline, now};
use crate::connect::{Call, Candidates};
use crate::error::CallError;

/// Most bytes of one read, and of one datagram.
const READ_MAX: usize = 256 * 1024;

/// How many unanswered datagrams are remembered, to know their answers when they come late.
const LATE_MAX: usize = 16;

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
    /// The beginning of an answer, or more of it.
    Begun,
    /// An answer, or the last of it, and how long after its message was sent it came.
    Answer(Duration),
    /// Nothing that was asked for.
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
    /// Somebody wants it to end: what [`Peer::heed`] was given has become readable.
    Interrupted,
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
}

impl Peer {
    /// Reaches the peer: the addresses of its name are tried with staggered starts, until one takes the call.
    ///
    /// # Errors
    ///
    /// If none does: how each has failed. For datagrams that shows only when the first is sent.
    pub fn call(call: Call) -> Result<Self, CallError> {
        let deadline = Deadline::after(call.wait);
        let mut candidates = Candidates::of(&call, deadline, &Arc::default())?;
        let nobody = || Err(CallError::timeout("connect", &call.endpoint));
        let (socket, address) = candidates.connect(deadline).unwrap_or_else(nobody)?;
        let transport = call.endpoint.transport();
        let (kind, answers) = (transport.kind(), Answers::new(transport));
        let (buffer, interrupt) = (IoBuffer::zeroed(READ_MAX), None);
        Ok(Self { call, transport, kind, socket, address, candidates, answers, buffer, interrupt })
    }

    /// Ends every wait from now on when this becomes readable.
    pub fn heed(&mut self, interrupt: OwnedFd) {
        self.interrupt = Some(interrupt);
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
        let deadline = Deadline::after(self.call.wait);
        loop {
            match self.exchange(message, deadline, heard) {
                Ok(reply) => return Ok(reply),
                Err(Stop::Told(error)) => return Err(error),
                Err(Stop::Failed(operation, error)) => {
                    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                    if !refused || self.kind != Kind::Datagrams || self.answers.any {
                        return Err(self.error(operation, error).into());
                    }
                    let next = self.candidates.connect(deadline);
                    let (socket, address) = next.unwrap_or_else(|| Err(self.error(operation, error)))?;
                    (self.socket, self.address) = (socket, address);
                    self.answers = Answers::new(self.transport);
                }
            }
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
        self.take(heard).map_err(|stop| self.give_up(stop))
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
    ) -> Result<(), E> {
        if self.kind == Kind::Datagrams {
            return Ok(());
        }
        let half_closes = self.transport.half_closes();
        if half_closes
            && let Err(error) = self.socket.shutdown(Half::Write)
            && error.kind() != io::ErrorKind::NotConnected
        {
            return Err(self.error("shut down", error).into());
        }
        let mut deadline = Deadline::after(self.call.wait);
        while !deadline.is_over() && (half_closes || !self.answers.is_complete()) {
            match self.wait(Interest::Read, deadline).map_err(|stop| self.give_up(stop))? {
                Woken::Interrupted => break,
                Woken::Readable if !self.listen(heard)? => break,
                Woken::Readable => deadline = Deadline::after(self.call.wait),
                Woken::Otherwise => {}
            }
        }
        Ok(())
    }

    /// Where the peer is: the endpoint that was called, at the address that took the call.
    pub fn endpoint(&self) -> String {
        Endpoint::shown(self.call.endpoint.transport(), &self.address)
    }

    /// Whom was called.
    pub fn called(&self) -> &Endpoint {
        &self.call.endpoint
    }

    fn exchange<E>(
        &mut self,
        message: &[u8],
        deadline: Deadline,
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Reply, Stop<E>> {
        self.answers.asked(message);
        let mut rest = message;
        let mut sent = false;
        while !sent || !self.answers.is_complete() {
            if !sent {
                match self.socket.send(rest) {
                    Ok(len) => rest = &rest[len..],
                    Err(error) if is_nothing(&error) => {}
                    Err(error) => return Err(Stop::Failed("send to", error)),
                }
                sent = rest.is_empty();
            }
            if deadline.is_over() {
                return if sent { Ok(Reply::Silence) } else { Err(timed_out("send to")) };
            }
            let interest = if sent { Interest::Read } else { Interest::Both };
            match self.wait(interest, deadline)? {
                Woken::Interrupted => return Ok(Reply::Interrupted),
                Woken::Readable if !self.take(heard)? => return Ok(Reply::Ended),
                _ => {}
            }
        }
        Ok(Reply::Answered)
    }

    /// Reads once; whether more may come is returned.
    fn take<E>(&mut self, heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<bool, Stop<E>> {
        let len = match self.socket.recv(&mut self.buffer) {
            Err(error) if is_nothing(&error) => return Ok(true),
            Err(error) if self.transport.is_end(&error) => return Ok(false),
            result => result.map_err(|error| Stop::Failed("receive from", error))?,
        };
        if len == 0 && self.kind != Kind::Datagrams {
            return Ok(false);
        }
        self.answers.take(&self.buffer[..len], heard).map_err(Stop::Told)?;
        Ok(true)
    }

    /// Waits until the socket is ready, somebody interrupts, or the time is up.
    fn wait<E>(&self, interest: Interest, deadline: Deadline) -> Result<Woken, Stop<E>> {
        let socket = (self.socket.as_fd(), interest);
        let (readable, interrupted) = match &self.interrupt {
            Some(interrupt) => ready([socket, (interrupt.as_fd(), Interest::Read)], deadline.left())
                .map(|[socket, interrupt]| (socket.readable, interrupt.readable)),
            None => ready([socket], deadline.left()).map(|[socket]| (socket.readable, false)),
        }
        .map_err(|error| Stop::Failed("wait for", error))?;
        Ok(match (interrupted, readable) {
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

    fn error(&self, operation: &'static str, error: io::Error) -> CallError {
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

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tells which message an answer belongs to.
#[derive(Debug)]
struct Answers {
    /// The bytes that are to come back on a stream, as long as it is an echo that comes back.
    stream: Option<EchoReader>,
    /// What has not been answered, and since when. On a stream the reader knows the messages themselves.
    asked: VecDeque<(Box<[u8]>, Instant)>,
    /// Whether anybody may answer, so that only an answer with the message in it is one.
    from_anybody: bool,
    /// Whether anything was ever answered.
    any: bool,
}

impl Answers {
    fn new(transport: Transport) -> Self {
        let stream = (transport.kind() == Kind::Stream).then(EchoReader::new);
        Self { stream, asked: VecDeque::new(), from_anybody: transport.hears_strangers(), any: false }
    }

    fn asked(&mut self, message: &[u8]) {
        match &mut self.stream {
            Some(reader) => {
                reader.sent(message);
                self.asked.push_back((Box::default(), now()));
            }
            None => {
                if self.asked.len() == LATE_MAX {
                    self.asked.pop_front();
                }
                self.asked.push_back((message.into(), now()));
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.asked.is_empty()
    }

    fn take<E>(&mut self, bytes: &[u8], heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>) -> Result<(), E> {
        self.any = true;
        let mut ends = Vec::new();
        if let Some(reader) = &mut self.stream {
            if reader.receive(bytes, |echo| ends.push(echo.end)).is_ok() {
                return self.take_pieces(bytes, &ends, heard);
            }
            // Whoever does not echo answers with whatever it says next.
            self.stream = None;
        }
        let part = self.answered_by(bytes).map_or(Part::Unasked, Part::Answer);
        heard(Heard { bytes, part })
    }

    /// Takes a piece of a stream, in which answers end at `ends`.
    fn take_pieces<E>(
        &mut self,
        bytes: &[u8],
        ends: &[usize],
        heard: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        for &end in ends {
            let after = self.asked.pop_front().map(|(_, since)| now().saturating_duration_since(since));
            heard(Heard { bytes: &bytes[start..end], part: after.map_or(Part::Unasked, Part::Answer) })?;
            start = end;
        }
        match &bytes[start..] {
            [] => Ok(()),
            rest => heard(Heard { bytes: rest, part: Part::Begun }),
        }
    }

    /// The time that a whole answer took. It is the last message's, unless it plainly is an earlier one's.
    fn answered_by(&mut self, answer: &[u8]) -> Option<Duration> {
        let message = self.asked.iter().rposition(|(message, _)| answer.ends_with(message));
        let (_, since) = match message {
            Some(late) if late + 1 < self.asked.len() => self.asked.remove(late)?,
            None if self.from_anybody => return None,
            _ => self.asked.drain(..).next_back()?,
        };
        Some(now().saturating_duration_since(since))
    }
}
