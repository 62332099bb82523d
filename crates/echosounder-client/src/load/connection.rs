//! A connection of a load: its socket, the messages in flight, and the bytes that the kernel has
//! not accepted.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use echosounder_proto::{EchoReader, Finder, InFlight, Match, MonoTime};
use echosounder_socket::{Interest, Poll, Socket, is_out_of_resources};

use super::recorder::Request;
use crate::nonblocking::would_block;
use crate::starvation::Starvation;

/// Requests that were given up and whose replies still count as late.
const GIVEN_UP_MAX: usize = 4096;

/// The maximum length of a write of unsent bytes.
const WRITE_MAX: usize = 256 * 1024;

/// A connection of a stream, or a connected socket of messages or datagrams.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` once it is closed.
    pub(super) socket: Option<Socket>,
    /// Reads the replies of a stream.
    pub(super) reader: EchoReader,
    /// Finds messages in a stream that the reader cannot follow, because the server decorates its
    /// replies.
    pub(super) finder: Option<Finder>,
    /// Whether the reader has seen a complete reply.
    pub(super) has_echoed: bool,
    in_flight: InFlight<Request>,
    /// Bytes of the messages in flight.
    in_flight_bytes: usize,
    /// Messages of a closed loop that are due and not sent.
    pub(super) to_send: usize,
    /// Bytes of sent messages that the kernel has not accepted. Only a stream has any.
    unsent: VecDeque<u8>,
    polls_writable: bool,
    /// Whether it is being established, or its only message is not sent yet, so that it goes on when
    /// the socket is writable.
    pub(super) is_setting_up: bool,
    /// Whether an error about an earlier datagram was reported since the last reply.
    pub(super) is_refused: bool,
    /// Whether a datagram was lost or could not be sent since the last reply, so that the error was
    /// not forged.
    pub(super) is_failing: bool,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Self {
        Self::with_socket(Some(socket))
    }

    fn with_socket(socket: Option<Socket>) -> Self {
        Self {
            socket,
            reader: EchoReader::new(),
            finder: None,
            has_echoed: false,
            in_flight: InFlight::new(GIVEN_UP_MAX),
            in_flight_bytes: 0,
            to_send: 0,
            unsent: VecDeque::new(),
            polls_writable: false,
            is_setting_up: false,
            is_refused: false,
            is_failing: false,
        }
    }

    /// Creates a connection that has no socket yet.
    pub(super) fn closed() -> Self {
        Self::with_socket(None)
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Returns the memory of the messages in flight and of unsent bytes.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.in_flight.memory_bytes() + self.in_flight_bytes + self.unsent.len()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(super) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Adds a message that is sent.
    pub(super) fn insert(&mut self, number: u64, request: Request) {
        self.in_flight_bytes += request.len;
        self.in_flight.insert(number, request);
    }

    /// Matches the number in a reply.
    pub(super) fn take(&mut self, number: u64) -> Match<Request> {
        let matched = self.in_flight.take(number);
        if let Match::InTime(request) = matched {
            self.in_flight_bytes -= request.len;
        }
        matched
    }

    /// Takes the oldest message in flight: its reply is complete, or the connection is closed.
    pub(super) fn take_first(&mut self) -> Option<(u64, Request)> {
        let taken = self.in_flight.take_first();
        self.left(taken)
    }

    /// Takes the message back that was inserted last: it was not sent after all.
    pub(super) fn take_back_last(&mut self) -> Option<(u64, Request)> {
        let taken = self.in_flight.take_back_last();
        self.left(taken)
    }

    /// Gives the oldest message in flight up if it was due before `due`. Call it until it
    /// returns `None`.
    pub(super) fn expire(&mut self, due: Duration) -> Option<u64> {
        let expired = self.in_flight.expire(|request| request.due < due);
        let expired = expired.map(|(number, request)| (number, *request));
        self.left(expired).map(|(number, _)| number)
    }

    fn left(&mut self, left: Option<(u64, Request)>) -> Option<(u64, Request)> {
        self.in_flight_bytes -= left.map_or(0, |(_, request)| request.len);
        left
    }

    /// Returns the number and the length of the oldest message in flight.
    pub(super) fn first(&self) -> Option<(u64, usize)> {
        self.in_flight.first().map(|(number, request)| (number, request.len))
    }

    /// Returns the lengths of the messages in flight by their numbers.
    pub(super) fn finder_and_requests(&mut self) -> Option<(&mut Finder, &InFlight<Request>)> {
        self.finder.as_mut().map(|finder| (finder, &self.in_flight))
    }

    /// Appends bytes to the stream. Bytes that the kernel does not accept stay unsent; `starvation`
    /// notes whether it lacks memory for them.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        starvation: &mut Starvation,
        now: impl FnOnce() -> MonoTime,
    ) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let sent = match self.unsent.is_empty() {
            false => 0,
            true => sent(socket.send(bytes), starvation, now)?,
        };
        if sent < bytes.len() {
            self.unsent.extend(&bytes[sent..]);
        }
        Ok(())
    }

    /// Writes unsent bytes to the stream, as many as one call accepts, as [`write`](Self::write)
    /// does.
    pub(super) fn flush(
        &mut self,
        starvation: &mut Starvation,
        now: impl FnOnce() -> MonoTime,
    ) -> io::Result<()> {
        let (front, _) = self.unsent.as_slices();
        let (Some(socket), false) = (&self.socket, front.is_empty()) else { return Ok(()) };
        let sent = sent(socket.send(&front[..front.len().min(WRITE_MAX)]), starvation, now)?;
        self.unsent.drain(..sent);
        Ok(())
    }

    /// Begins to poll, for writability instead of readability if it is `setting_up`.
    pub(super) fn start_polling(&mut self, poll: &Poll, token: u64, setting_up: bool) -> io::Result<()> {
        (self.is_setting_up, self.polls_writable) = (setting_up, setting_up);
        let interest = if setting_up { Interest::WRITE } else { Interest::READ };
        self.socket.as_ref().map_or(Ok(()), |socket| poll.add(socket, token, interest))
    }

    pub(super) fn polls_writable(&self) -> bool {
        self.polls_writable
    }

    /// Polls for writability beside readability, or no longer.
    pub(super) fn poll_writable(&mut self, poll: &Poll, token: u64, writable: bool) -> io::Result<()> {
        if self.polls_writable != writable
            && let Some(socket) = &self.socket
        {
            self.polls_writable = writable;
            poll.modify(
                socket,
                token,
                if writable { Interest::READ | Interest::WRITE } else { Interest::READ },
            )?;
        }
        Ok(())
    }
}

/// Returns how many bytes of a stream the kernel has accepted: none if the socket is not writable or
/// memory is short.
fn sent(
    result: io::Result<usize>,
    starvation: &mut Starvation,
    now: impl FnOnce() -> MonoTime,
) -> io::Result<usize> {
    match result {
        Err(error) if is_out_of_resources(&error) => starvation.note(now(), error).map(|()| 0),
        Err(error) if would_block(&error) => Ok(0),
        result => {
            starvation.end();
            result
        }
    }
}
