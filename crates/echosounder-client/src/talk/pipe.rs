//! A pipe to a peer: bytes pass unchanged between a stream, an input and an output, in both
//! directions at once.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::{EchoReader, FailureKind};
use echosounder_socket::{Interest, IoBuffer};

use super::background_writer::BackgroundWriter;
use super::line_ending::{Eol, Translator};
use super::outcome::{TalkEnd, TalkError};
use super::peer::Peer;
use crate::clock::Deadline;
use crate::error::{ClientError, Operation};
use crate::nonblocking::would_block;

/// The largest read of the input.
const READ_MAX: usize = 64 * 1024;

/// How many bytes may be in flight for their echo to mark the end, on a transport without a
/// half-close.
const ECHO_MAX: usize = 1024 * 1024;

/// How long to wait for input after the peer has closed, to find out whether some was not sent.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// How many bytes of the input are read to count those that were not sent.
const COUNTING_BYTES_MAX: usize = 1024 * 1024;

/// The result of a pipe.
#[derive(Debug)]
#[non_exhaustive]
pub struct PipeSummary {
    /// Bytes that the kernel has accepted for the peer.
    pub sent_bytes: u64,
    /// Bytes that have arrived.
    pub received_bytes: u64,
    /// Bytes of the input that were read and not sent.
    pub unsent_bytes: u64,
    /// Whether there may be more bytes that were not sent, since not all of the input was read.
    pub more_unsent: bool,
    /// How the connection has failed.
    pub failure: Option<ClientError>,
    /// Why the pipe has ended.
    pub close_reason: TalkEnd,
}

/// A stream between an input and an output.
#[derive(Debug)]
pub struct Pipe<I> {
    peer: Peer,
    input: I,
    output: BackgroundWriter,
    translator: Translator,
    buffer: IoBuffer,
    outgoing: Outgoing,
    /// The echo that is still to come, on a transport without a half-close.
    echo: Option<EchoReader>,
    echo_missing: usize,
    input_ended: bool,
    /// Whether the end of the input was passed on to the peer.
    is_finished: bool,
    /// Whether the peer sends nothing more.
    peer_sends_no_more: bool,
    /// Whether the peer receives nothing more.
    peer_receives_no_more: bool,
    /// When silence becomes the end.
    quiet: Deadline,
    summary: PipeSummary,
}

/// Bytes of the input that are not sent yet.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// How many of them were sent.
    sent: usize,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Notes that the next `len` bytes were sent.
    fn advance(&mut self, len: usize) {
        self.sent += len;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

/// The directions in which a turn can move bytes.
#[derive(Clone, Copy)]
struct Directions {
    receive: bool,
    send: bool,
    read_input: bool,
}

/// The descriptors that are ready in a turn.
struct Ready {
    peer: bool,
    input: bool,
    output: bool,
}

impl<I: Read + AsFd> Pipe<I> {
    /// Connects a stream with an input and an output. It ends with the
    /// [`WaitLimit`](crate::WaitLimit) of its peer.
    pub fn new(peer: Peer, input: I, output: BackgroundWriter, eol: Eol) -> Self {
        let echo = (!peer.transport().half_closes()).then(EchoReader::new);
        let summary = PipeSummary {
            sent_bytes: 0,
            received_bytes: 0,
            unsent_bytes: 0,
            more_unsent: false,
            failure: None,
            close_reason: TalkEnd::EndOfInput,
        };
        Self {
            peer,
            input,
            output,
            translator: Translator::new(eol),
            buffer: IoBuffer::zeroed(READ_MAX),
            outgoing: Outgoing::default(),
            echo,
            echo_missing: 0,
            input_ended: false,
            is_finished: false,
            peer_sends_no_more: false,
            peer_receives_no_more: false,
            quiet: Deadline::NEVER,
            summary,
        }
    }

    /// Passes bytes until the peer has closed, or has sent nothing for [`ConnectOptions::wait`]
    /// after the end of the input. If the peer stops sending first, input is still sent to it until
    /// the input ends or pauses for as long.
    ///
    /// # Errors
    ///
    /// If the input, the output or this machine fails. A failure of the peer is a part of the
    /// result.
    ///
    /// [`ConnectOptions::wait`]: crate::ConnectOptions::wait
    pub fn run(mut self) -> Result<PipeSummary, TalkError> {
        let reason = loop {
            if let Some(reason) = self.close_reason() {
                break reason;
            }
            if let Some(reason) = self.turn()? {
                break reason;
            }
        };
        self.summary.close_reason = reason;
        match reason {
            TalkEnd::Peer => self.count_unsent()?,
            TalkEnd::EndOfInput => {
                // The peer may have closed the connection before the last bytes arrived there.
                if let Err(error) | Ok(Some(error)) = self.peer.socket().take_error() {
                    self.lose_peer(Operation::Send, error)?;
                }
            }
            TalkEnd::Stopped | TalkEnd::TimeLimit | TalkEnd::EmptyLine => {
                self.output.finish_soon();
                return Ok(self.summary);
            }
        }
        match self.output.finish() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.summary.close_reason = limit_reason(&self.peer);
            }
            result => result.map_err(TalkError::output)?,
        }
        Ok(self.summary)
    }

    /// Returns why nothing is left to do, if that is so.
    fn close_reason(&self) -> Option<TalkEnd> {
        let is_echo_complete = self.echo.as_ref().is_some_and(|reader| reader.pending() == 0);
        if self.peer_receives_no_more && self.peer_sends_no_more {
            Some(TalkEnd::Peer)
        } else if self.is_finished && (self.peer_sends_no_more || is_echo_complete) {
            Some(TalkEnd::EndOfInput)
        } else {
            None
        }
    }

    /// Waits until something can be done, and does it. Returns why the pipe ends, if it does.
    fn turn(&mut self) -> Result<Option<TalkEnd>, TalkError> {
        let directions = Directions {
            receive: !self.peer_sends_no_more && self.output.has_capacity(),
            send: !self.outgoing.is_empty() && !self.peer_receives_no_more,
            read_input: self.outgoing.is_empty() && !self.input_ended && !self.peer_receives_no_more,
        };
        // Silence counts once one side has ended, unless the output holds the other side up.
        let one_side_ended = self.is_finished || self.peer_receives_no_more || self.peer_sends_no_more;
        let silence_counts = one_side_ended && (directions.receive || self.peer_sends_no_more);
        let until = if silence_counts { self.quiet } else { Deadline::NEVER };
        let Some(ready) = self.wait(directions, until)? else {
            return Ok(Some(limit_reason(&self.peer)));
        };
        if ready.output {
            self.output.collect().map_err(TalkError::output)?;
        }
        if ready.input && directions.read_input {
            self.read_input()?;
        }
        if !self.outgoing.is_empty() && !self.peer_receives_no_more {
            self.send()?;
        }
        if ready.peer && directions.receive {
            self.receive()?;
        }
        let is_all_sent = self.input_ended && self.outgoing.is_empty();
        if is_all_sent && !self.is_finished && !self.peer_receives_no_more {
            self.finish()?;
        }
        if silence_counts && self.quiet.is_over(self.peer.limit().now()) {
            let is_done = self.is_finished;
            return Ok(Some(if is_done { TalkEnd::EndOfInput } else { TalkEnd::Peer }));
        }
        Ok(None)
    }

    /// Waits for the directions that can move bytes. Returns `None` if the pipe is to end.
    fn wait(&self, directions: Directions, until: Deadline) -> Result<Option<Ready>, TalkError> {
        let interest = match (directions.receive, directions.send) {
            (true, true) => Some(Interest::READ | Interest::WRITE),
            (true, false) => Some(Interest::READ),
            (false, true) => Some(Interest::WRITE),
            (false, false) => None,
        };
        // A descriptor whose bytes are not wanted now could be ready all the time.
        let watched = [
            interest.map(|interest| (self.peer.as_fd(), interest)),
            directions.read_input.then(|| (self.input.as_fd(), Interest::READ)),
            Some((self.output.as_fd(), Interest::READ)),
        ];
        let ready = self.peer.limit().wait(watched, until).map_err(TalkError::input)?;
        Ok(ready.map(|[peer, input, output]| Ready {
            peer: peer.can_read() || peer.can_write(),
            input: input.can_read(),
            output: output.can_read(),
        }))
    }

    /// Reads the input once.
    fn read_input(&mut self) -> Result<(), TalkError> {
        match self.input.read(&mut self.buffer) {
            Err(error) if would_block(&error) => return Ok(()),
            Err(error) => return Err(TalkError::input(error)),
            Ok(0) => {
                self.input_ended = true;
                self.translator.finish(&mut self.outgoing.bytes);
            }
            Ok(len) => self.translator.push(&self.buffer[..len], &mut self.outgoing.bytes),
        }
        self.restart_silence();
        Ok(())
    }

    /// Sends once.
    fn send(&mut self) -> Result<(), TalkError> {
        let unsent = self.outgoing.unsent();
        let len = match self.peer.socket().send(unsent) {
            Err(error) if would_block(&error) => return Ok(()),
            Err(error) => return self.lose_peer(Operation::Send, error),
            Ok(len) => len,
        };
        if let Some(reader) = &mut self.echo {
            reader.sent(&unsent[..len]);
            self.echo_missing += len;
            if ECHO_MAX < self.echo_missing {
                self.echo = None;
            }
        }
        self.summary.sent_bytes += len as u64;
        self.outgoing.advance(len);
        self.restart_silence();
        Ok(())
    }

    /// Receives once.
    fn receive(&mut self) -> Result<(), TalkError> {
        let mut buffer = self.output.buffer();
        let len = match self.peer.socket().recv(&mut buffer) {
            Ok(0) => {
                self.peer_sends_no_more = true;
                self.restart_silence();
                self.check_whether_peer_receives()?;
                0
            }
            Ok(len) => len,
            Err(error) if would_block(&error) => 0,
            Err(error) if self.peer.transport().is_end(&error) => {
                (self.peer_sends_no_more, self.peer_receives_no_more) = (true, true);
                0
            }
            Err(error) => {
                self.peer_sends_no_more = true;
                self.lose_peer(Operation::Receive, error)?;
                0
            }
        };
        if len == 0 {
            self.output.give_back(buffer);
            return Ok(());
        }
        if let Some(reader) = &mut self.echo {
            let is_echo = reader.receive(&buffer[..len], |_| {}).is_ok();
            self.echo_missing = if reader.pending() == 0 { 0 } else { self.echo_missing };
            if !is_echo {
                self.echo = None;
            }
        }
        self.summary.received_bytes += len as u64;
        self.output.push(buffer, len);
        self.restart_silence();
        Ok(())
    }

    /// Finds out whether a peer that sends nothing more still receives. An IP peer refuses data
    /// only after bytes have arrived there unread; those are lost.
    fn check_whether_peer_receives(&mut self) -> Result<(), TalkError> {
        let transport = self.peer.transport();
        self.peer_receives_no_more |= !transport.half_closes();
        if self.is_finished {
            return Ok(());
        }
        match self.peer.socket().send(&[]) {
            Err(error) if transport.has_hosts() && self.summary.sent_bytes != 0 => {
                self.lose_peer(Operation::Send, error)
            }
            Err(error) => {
                let failure = self.peer.error(Operation::Send, error).failure_kind();
                self.peer_receives_no_more |= failure == Some(FailureKind::Closed);
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Notes that the peer receives nothing more. Data that it has sent before may still arrive.
    fn lose_peer(&mut self, operation: Operation, error: io::Error) -> Result<(), TalkError> {
        let failure = self.peer.error(operation, error);
        if failure.failure_kind().is_none() {
            return Err(failure.into());
        }
        self.peer_receives_no_more = true;
        self.summary.failure.get_or_insert(failure);
        self.restart_silence();
        Ok(())
    }

    /// Half-closes the connection, if the transport can.
    fn finish(&mut self) -> Result<(), TalkError> {
        self.is_finished = true;
        self.restart_silence();
        if self.peer.transport().half_closes() {
            self.peer.half_close()?;
        }
        Ok(())
    }

    /// Gives the silence that ends the pipe its whole time again.
    fn restart_silence(&mut self) {
        self.quiet = self.peer.limit().after(self.peer.wait());
    }

    /// Counts the bytes of the input that can no longer be sent.
    fn count_unsent(&mut self) -> Result<(), TalkError> {
        let mut unsent = self.outgoing.unsent().len();
        let limit = self.peer.limit().clone();
        let first_read = limit.within(AFTER_CLOSE.min(self.peer.wait()));
        while !self.input_ended && unsent < COUNTING_BYTES_MAX {
            let is_first = unsent == 0 && self.peer_receives_no_more;
            let until = if is_first { first_read } else { limit.after(Duration::ZERO) };
            match limit.wait([(self.input.as_fd(), Interest::READ)], until).map_err(TalkError::input)? {
                Some([input]) if input.can_read() => {}
                _ => break,
            }
            match self.input.read(&mut self.buffer) {
                Err(error) if would_block(&error) => break,
                result => {
                    let len = result.map_err(TalkError::input)?;
                    self.input_ended = len == 0;
                    unsent += len;
                }
            }
        }
        self.summary.unsent_bytes = unsent as u64;
        self.summary.more_unsent = unsent != 0 && !self.input_ended;
        Ok(())
    }
}

/// Returns which of the two limits has ended a wait.
fn limit_reason(peer: &Peer) -> TalkEnd {
    if peer.limit().is_over() { TalkEnd::TimeLimit } else { TalkEnd::Stopped }
}
