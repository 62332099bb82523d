//! A conversation in lockstep: each line of the input is a request, and the next line waits for its
//! reply.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::FailureKind;
use echosounder_socket::{Interest, Kind};

use super::exchange::FailedRequest;
use super::line_ending::{Eol, Translator};
use super::lines::{Line, LineSource};
use super::outcome::{TalkEnd, TalkError};
use super::peer::Peer;
use super::received::{Received, RequestOutcome};
use crate::error::ClientError;

/// How long to wait for a program's next line after the peer has closed, to find out whether a line
/// was not sent.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// How many reads of the input count the lines that were not sent.
const COUNTING_READS_MAX: usize = 256;

/// Who writes the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TalkMode {
    /// A person types them. An empty line ends the conversation if no line ending is sent, and
    /// every end takes effect at once.
    Interactive,
    /// A program or a file supplies them. An empty line is an empty message; a stream has no such
    /// message and sends nothing. After the end of the input, data from the peer is still received.
    Scripted,
}

/// An event of a conversation, reported as it happens.
#[derive(Clone, Copy, Debug)]
pub enum TalkEvent<'a> {
    /// The conversation waits for a line.
    Prompt,
    /// The first data has arrived. The peer is at this endpoint.
    Reached(&'a str),
    /// A line is sent next.
    Sending,
    /// Data has arrived.
    Received(Received<'a>),
    /// A line was not sent, or has no reply. The conversation continues.
    LineFailed {
        /// The number of the line, from 1.
        line: u64,
        /// Its length in bytes.
        len: usize,
        /// The reason.
        reason: &'a LineFailure,
    },
}

/// Why a line has no reply.
#[derive(Debug)]
pub enum LineFailure {
    /// No reply has arrived in time.
    TimedOut,
    /// The line is longer than one message, and was not sent.
    TooLong,
    /// The line cannot be sent for another reason.
    NotSent(ClientError),
    /// The message was refused, or an error was reported about it.
    Failed(ClientError),
}

/// The result of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TalkSummary {
    /// Lines that were sent.
    pub sent: u64,
    /// Lines whose reply has arrived in time.
    pub replied: u64,
    /// Lines that were not sent: they were too long, or the peer had closed.
    pub unsent: u64,
    /// Whether there may be more lines that were not sent, since not all of the input was read.
    pub more_unsent: bool,
    /// The first failure of the peer.
    pub failure: Option<FailureKind>,
    /// Why the conversation has ended.
    pub close_reason: TalkEnd,
}

/// A conversation between the lines of an input and a peer.
#[derive(Debug)]
pub struct Talk<L> {
    peer: Peer,
    lines: L,
    eol: Eol,
    mode: TalkMode,
    summary: TalkSummary,
    /// The number of the line that was taken last.
    line: u64,
    is_reached: bool,
}

enum Next {
    Line(Line),
    Close(TalkEnd),
}

impl<L: LineSource> Talk<L> {
    /// Returns a conversation that has not begun. It ends with the [`WaitLimit`](crate::WaitLimit)
    /// of its peer.
    pub fn new(peer: Peer, lines: L, eol: Eol, mode: TalkMode) -> Self {
        let summary = TalkSummary {
            sent: 0,
            replied: 0,
            unsent: 0,
            more_unsent: false,
            failure: None,
            close_reason: TalkEnd::EndOfInput,
        };
        Self { peer, lines, eol, mode, summary, line: 0, is_reached: false }
    }

    /// Runs the conversation until the input ends, an empty line is typed, or the peer closes.
    /// Reports each event to `on_event`.
    ///
    /// # Errors
    ///
    /// If the peer, the input or `on_event` fails. An error of kind `Interrupted` from `on_event`
    /// stops the conversation without an error.
    pub fn run(
        mut self,
        mut on_event: impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<TalkSummary, TalkError> {
        let reason = match self.converse(&mut on_event) {
            Err(TalkError::Output(error)) if error.kind() == io::ErrorKind::Interrupted => TalkEnd::Stopped,
            result => result?,
        };
        let is_time_over = reason == TalkEnd::Stopped && self.peer.limit().is_over();
        self.summary.close_reason = if is_time_over { TalkEnd::TimeLimit } else { reason };
        let is_incomplete = self.summary.replied < self.summary.sent || self.summary.unsent != 0;
        if reason == TalkEnd::Peer && is_incomplete {
            self.summary.failure.get_or_insert(FailureKind::Closed);
        }
        Ok(self.summary)
    }

    fn converse(
        &mut self,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<TalkEnd, TalkError> {
        let reason = loop {
            on_event(TalkEvent::Prompt).map_err(TalkError::output)?;
            match self.next(on_event)? {
                Next::Close(reason) => break reason,
                Next::Line(line) => {
                    if let Some(reason) = self.handle_line(line, on_event)? {
                        break reason;
                    }
                }
            }
        };
        match (self.mode, reason) {
            (TalkMode::Scripted, TalkEnd::EndOfInput) => self.drain(on_event),
            (TalkMode::Scripted, TalkEnd::Peer) => self.count_unsent().map(|()| reason),
            (TalkMode::Scripted, _) => Ok(reason),
            (TalkMode::Interactive, _) => {
                // A person who leaves does not wait for the peer, and an error no longer matters.
                let _ = self.peer.half_close();
                Ok(reason)
            }
        }
    }

    /// Waits for a line, and passes on data that the peer sends meanwhile.
    fn next(
        &mut self,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<Next, TalkError> {
        loop {
            if let Some(line) = self.lines.next_line() {
                self.line += 1;
                if self.mode == TalkMode::Scripted && !self.is_open(on_event)? {
                    self.summary.unsent += 1;
                    return Ok(Next::Close(TalkEnd::Peer));
                }
                return Ok(Next::Line(line));
            }
            if self.lines.is_done() {
                return Ok(Next::Close(TalkEnd::EndOfInput));
            }
            let watched = [self.lines.as_fd(), self.peer.as_fd()].map(|fd| (fd, Interest::READ));
            let ready = self.peer.limit().wait(watched, self.peer.next_deadline());
            let Some([input, peer]) = ready.map_err(TalkError::input)? else {
                return Ok(Next::Close(TalkEnd::Stopped));
            };
            if input.can_read() {
                self.lines.fill().map_err(TalkError::input)?;
            }
            let is_open = if peer.can_read() {
                self.peer.receive(&mut reporting(on_event))?
            } else {
                self.peer.catch_up(&mut reporting(on_event))?
            };
            self.report_reached(on_event)?;
            if !is_open {
                return Ok(Next::Close(TalkEnd::Peer));
            }
        }
    }

    /// Receives the data that has arrived before the next scripted line. Returns whether the
    /// connection is still open.
    fn is_open(
        &mut self,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<bool, TalkError> {
        Ok(self.peer.receive_greeting(&mut reporting(on_event))?
            && self.peer.catch_up(&mut reporting(on_event))?)
    }

    /// Sends a line and waits for its reply. Returns why the conversation ends, if it does.
    fn handle_line(
        &mut self,
        line: Line,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<Option<TalkEnd>, TalkError> {
        let len = line.len;
        if line.is_too_long() {
            self.summary.unsent += 1;
            self.report_failure(len, &LineFailure::TooLong, on_event)?;
            return Ok(None);
        }
        if line.bytes.is_empty() && self.eol == Eol::None {
            match self.mode {
                TalkMode::Interactive => return Ok(Some(TalkEnd::EmptyLine)),
                TalkMode::Scripted if self.peer.transport().kind() == Kind::Stream => return Ok(None),
                TalkMode::Scripted => {}
            }
        }
        let message = self.message(line);
        on_event(TalkEvent::Sending).map_err(TalkError::output)?;
        let result = self.peer.try_request(&message, &mut reporting(on_event))?;
        self.report_reached(on_event)?;
        self.summary.sent += u64::from(!matches!(result, Err(FailedRequest::Unsendable(_))));
        let failure = match result {
            Ok(RequestOutcome::Replied) => {
                self.summary.replied += 1;
                return Ok(None);
            }
            Ok(RequestOutcome::Closed) => return Ok(Some(TalkEnd::Peer)),
            Ok(RequestOutcome::Stopped) => return Ok(Some(TalkEnd::Stopped)),
            Ok(RequestOutcome::TimedOut) => {
                self.summary.failure.get_or_insert(FailureKind::Timeout);
                LineFailure::TimedOut
            }
            Err(FailedRequest::Unsendable(error)) => {
                self.summary.unsent += 1;
                if len == 0 { LineFailure::NotSent(error) } else { LineFailure::TooLong }
            }
            // If the peer has never sent anything, the next line will fail, too.
            Err(FailedRequest::Refused(error))
                if !self.peer.has_replied() && error.failure_kind() != Some(FailureKind::Timeout) =>
            {
                return Err(error.into());
            }
            Err(FailedRequest::Refused(error)) => {
                self.summary.failure = self.summary.failure.or_else(|| error.failure_kind());
                LineFailure::Failed(error)
            }
        };
        self.report_failure(len, &failure, on_event).map(|()| None)
    }

    fn report_reached(
        &mut self,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<(), TalkError> {
        if !self.is_reached && self.peer.has_replied() {
            self.is_reached = true;
            on_event(TalkEvent::Reached(&self.peer.peer_endpoint())).map_err(TalkError::output)?;
        }
        Ok(())
    }

    fn message(&self, line: Line) -> Vec<u8> {
        let (mut text, eol) = (line.bytes, self.eol);
        if eol == Eol::None {
            return text;
        }
        text.extend(line.ended.then_some(b'\n'));
        let mut message = Vec::with_capacity(text.len() + 1);
        let mut translator = Translator::new(eol);
        translator.push(&text, &mut message);
        translator.finish(&mut message);
        message
    }

    fn report_failure(
        &self,
        len: usize,
        reason: &LineFailure,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<(), TalkError> {
        on_event(TalkEvent::LineFailed { line: self.line, len, reason }).map_err(TalkError::output)
    }

    /// Receives the data that the peer sends after the end of the input.
    fn drain(
        &mut self,
        on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<TalkEnd, TalkError> {
        let outcome = self.peer.drain(&mut reporting(on_event))?;
        let is_stopped = outcome == RequestOutcome::Stopped;
        Ok(if is_stopped { TalkEnd::Stopped } else { TalkEnd::EndOfInput })
    }

    /// Counts the lines of the input that can no longer be sent.
    fn count_unsent(&mut self) -> Result<(), TalkError> {
        let limit = self.peer.limit().clone();
        let first_line = limit.within(AFTER_CLOSE.min(self.peer.wait()));
        for _ in 0..COUNTING_READS_MAX {
            while self.lines.next_line().is_some() {
                self.summary.unsent += 1;
            }
            if self.lines.is_done() {
                return Ok(());
            }
            let until = if self.summary.unsent == 0 { first_line } else { limit.after(Duration::ZERO) };
            match limit.wait([(self.lines.as_fd(), Interest::READ)], until).map_err(TalkError::input)? {
                Some([input]) if input.can_read() => self.lines.fill().map_err(TalkError::input)?,
                _ => break,
            }
        }
        self.summary.more_unsent = self.summary.unsent != 0;
        Ok(())
    }
}

/// Returns a function that reports received data as events.
fn reporting(
    on_event: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
) -> impl FnMut(Received<'_>) -> Result<(), TalkError> {
    |received| on_event(TalkEvent::Received(received)).map_err(TalkError::output)
}
