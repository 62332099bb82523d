//! A conversation by hand, or line by line for a program: each line is asked, and its answer awaited before the next.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use echosounder_proto::FailureKind;
use echosounder_socket::{Interest, Kind, ready};

use crate::clock::Deadline;
use crate::eol::{Eol, Translator};
use crate::error::ClientError;
use crate::lines::{Line, LineSource};
use crate::peer::{Heard, Outcome, Peer, Reply};

/// How long a program's next line is waited for when the peer has ended, to know whether one was not sent.
const AFTER_END: Duration = Duration::from_secs(1);

/// How many reads are made at most to count the lines that were not sent.
const COUNTING_MAX: usize = 256;

/// Who writes the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A person. The next line is asked for, an empty one ends the conversation if no line ending is sent, and whatever
    /// ends it ends it at once.
    Typed,
    /// A program. An empty line is a message without content, or on a stream, where there is no such thing, nothing.
    /// At the end of the input the peer is heard out.
    Program,
}

/// What happens in a conversation, told as it happens.
#[derive(Clone, Copy, Debug)]
pub enum TalkEvent<'a> {
    /// A line is awaited.
    Prompt,
    /// The peer has said something for the first time: it is at this endpoint.
    Reached(&'a str),
    /// A line has come, and is sent.
    Asked,
    /// The peer said something.
    Heard(Heard<'a>),
    /// A line was not sent or not answered; the conversation goes on.
    Missed {
        /// The number of the line, from 1.
        line: u64,
        /// Its length in bytes.
        len: usize,
        /// Why.
        why: &'a Missed,
    },
}

/// Why a line has no answer.
#[derive(Debug)]
pub enum Missed {
    /// None rx_times in time.
    Silence,
    /// It is too long for one message, and was not sent.
    TooLong,
    /// It cannot be sent.
    Unsent(ClientError),
    /// It was refused, or is lost.
    Failed(ClientError),
}

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TalkError {
    /// The peer, or the way to it.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// The input.
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// Whoever is told.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// How a conversation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Lines that were sent.
    pub asked: u64,
    /// Lines that were answered in time.
    pub answered: u64,
    /// Lines that were not sent: they were too long, or the peer had ended.
    pub unsent: u64,
    /// Whether there may be more of these, since not all of the input was read.
    pub more_unsent: bool,
    /// How the peer failed first.
    pub word: Option<FailureKind>,
    /// What ended it.
    pub end: End,
}

/// What ends a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end of the input.
    Input,
    /// An empty line.
    EmptyLine,
    /// The peer.
    Peer,
    /// Somebody who wants it to end.
    Interrupt,
    /// The time of [`Peer::call_within`] is up.
    Deadline,
}

/// A conversation between the lines of an input and a peer.
#[derive(Debug)]
pub struct Talk<L> {
    peer: Peer,
    lines: L,
    eol: Eol,
    manner: Manner,
    interrupt: OwnedFd,
    summary: Summary,
    /// The number of the line that was taken last.
    line: u64,
    /// Whether it was told where the peer is.
    is_reached: bool,
}

/// What comes next in a conversation.
enum Next {
    Line(Line),
    End(End),
}

impl<L: LineSource> Talk<L> {
    /// A conversation that has not begun.
    /// It ends when `interrupt` becomes readable.
    ///
    /// # Errors
    ///
    /// If no descriptor is left.
    pub fn new(mut peer: Peer, lines: L, eol: Eol, manner: Manner, interrupt: OwnedFd) -> io::Result<Self> {
        peer.heed(interrupt.try_clone()?);
        let summary =
            Summary { asked: 0, answered: 0, unsent: 0, more_unsent: false, word: None, end: End::Input };
        Ok(Self { peer, lines, eol, manner, interrupt, summary, line: 0, is_reached: false })
    }

    /// Talks until the input or the peer ends, or an empty line does. `told` hears of everything.
    ///
    /// # Errors
    ///
    /// If the peer fails, the input, or whoever is told; an error of kind `Interrupted` from the latter ends it in good
    /// order.
    pub fn run(
        mut self,
        mut told: impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<Summary, TalkError> {
        self.summary.end = match self.converse(&mut told) {
            Err(TalkError::Output(error)) if error.kind() == io::ErrorKind::Interrupted => End::Interrupt,
            result => result?,
        };
        if self.summary.end == End::Interrupt && self.peer.is_overdue() {
            self.summary.end = End::Deadline;
        }
        let missed = self.summary.answered < self.summary.asked || self.summary.unsent != 0;
        if self.summary.end == End::Peer && missed {
            self.summary.word.get_or_insert(FailureKind::Closed);
        }
        Ok(self.summary)
    }

    fn converse(&mut self, told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>) -> Result<End, TalkError> {
        let end = loop {
            told(TalkEvent::Prompt).map_err(TalkError::Output)?;
            match self.next(told)? {
                Next::End(end) => break end,
                Next::Line(line) => {
                    if let Some(end) = self.take(line, told)? {
                        break end;
                    }
                }
            }
        };
        match (self.manner, end) {
            (Manner::Program, End::Input) => self.drain(told),
            (Manner::Program, End::Peer) => self.count_unsent().map(|()| End::Peer),
            (Manner::Program, _) => Ok(end),
            (Manner::Typed, _) => {
                // A person who wants to leave does not want to wait.
                let _ = self.peer.half_close();
                Ok(end)
            }
        }
    }

    /// Waits for a line, and hears the peer meanwhile.
    fn next(&mut self, told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>) -> Result<Next, TalkError> {
        loop {
            if let Some(line) = self.lines.next_line() {
                self.line += 1;
                if self.manner == Manner::Program && !self.is_open(told)? {
                    self.summary.unsent += 1;
                    return Ok(Next::End(End::Peer));
                }
                return Ok(Next::Line(line));
            }
            if self.lines.is_done() {
                return Ok(Next::End(End::Input));
            }
            let watched = [self.lines.as_fd(), self.peer.as_fd(), self.interrupt.as_fd()];
            let watched = watched.map(|fd| (fd, Interest::Read));
            let [input, peer, interrupt] =
                ready(watched, self.peer.wakes().left()).map_err(TalkError::Input)?;
            if interrupt.readable || self.peer.is_overdue() {
                return Ok(Next::End(End::Interrupt));
            }
            if input.readable {
                self.lines.fill().map_err(TalkError::Input)?;
            }
            let more = if peer.readable {
                self.peer.listen(&mut heard(told))?
            } else {
                self.peer.catch_up(&mut heard(told))?
            };
            self.tell_where(told)?;
            if !more {
                return Ok(Next::End(End::Peer));
            }
        }
    }

    /// Hears what the peer has said before a program's line is sent; whether it still listens is returned.
    fn is_open(&mut self, told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>) -> Result<bool, TalkError> {
        Ok(self.peer.hear_greeting(&mut heard(told))? && self.peer.catch_up(&mut heard(told))?)
    }

    /// Sends a line and waits for its answer; returns what ends the conversation, if it is to end.
    fn take(
        &mut self,
        line: Line,
        told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<Option<End>, TalkError> {
        let len = line.len;
        if line.is_too_long() {
            self.summary.unsent += 1;
            self.miss(len, &Missed::TooLong, told)?;
            return Ok(None);
        }
        if line.bytes.is_empty() && self.eol == Eol::None {
            match self.manner {
                Manner::Typed => return Ok(Some(End::EmptyLine)),
                Manner::Program if self.peer.transport().kind() == Kind::Stream => return Ok(None),
                Manner::Program => {}
            }
        }
        let message = self.message(line);
        self.summary.asked += 1;
        told(TalkEvent::Asked).map_err(TalkError::Output)?;
        let outcome = self.peer.request(&message, &mut heard(told))?;
        self.tell_where(told)?;
        match outcome {
            Outcome::Reply(Reply::Answered) => self.summary.answered += 1,
            Outcome::Reply(Reply::Silence) => {
                self.summary.word.get_or_insert(FailureKind::Timeout);
                self.miss(len, &Missed::Silence, told)?;
            }
            Outcome::Reply(Reply::Ended) => return Ok(Some(End::Peer)),
            Outcome::Reply(Reply::Interrupted) => return Ok(Some(End::Interrupt)),
            Outcome::Unsendable(error) => {
                self.summary.asked -= 1;
                self.summary.unsent += 1;
                let why = if len == 0 { Missed::Unsent(error) } else { Missed::TooLong };
                self.miss(len, &why, told)?;
            }
            // If nobody has ever answered, the next line will not fare better.
            Outcome::Failed(error)
                if !self.peer.has_answered() && error.word() != Some(FailureKind::Timeout) =>
            {
                return Err(error.into());
            }
            Outcome::Failed(error) => {
                self.summary.word = self.summary.word.or_else(|| error.word());
                self.miss(len, &Missed::Failed(error), told)?;
            }
        }
        Ok(None)
    }

    fn tell_where(
        &mut self,
        told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<(), TalkError> {
        if !self.is_reached && self.peer.has_answered() {
            self.is_reached = true;
            told(TalkEvent::Reached(&self.peer.endpoint())).map_err(TalkError::Output)?;
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

    fn miss(
        &self,
        len: usize,
        why: &Missed,
        told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
    ) -> Result<(), TalkError> {
        told(TalkEvent::Missed { line: self.line, len, why }).map_err(TalkError::Output)
    }

    /// Hears the peer out at the end of the input.
    fn drain(&mut self, told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>) -> Result<End, TalkError> {
        let drained = self.peer.drain(&mut heard(told))?;
        Ok(if drained == Reply::Interrupted { End::Interrupt } else { End::Input })
    }

    /// Counts the lines that the peer's end has left.
    fn count_unsent(&mut self) -> Result<(), TalkError> {
        let first = Deadline::after(AFTER_END.min(self.peer.patience())).earlier(self.peer.limit());
        for _ in 0..COUNTING_MAX {
            while self.lines.next_line().is_some() {
                self.summary.unsent += 1;
            }
            if self.lines.is_done() {
                return Ok(());
            }
            let wait = if self.summary.unsent == 0 { first.left() } else { Some(Duration::ZERO) };
            let watched = [self.lines.as_fd(), self.interrupt.as_fd()].map(|fd| (fd, Interest::Read));
            let [input, interrupt] = ready(watched, wait).map_err(TalkError::Input)?;
            if interrupt.readable || !input.readable {
                break;
            }
            self.lines.fill().map_err(TalkError::Input)?;
        }
        self.summary.more_unsent = self.summary.unsent != 0;
        Ok(())
    }
}

/// Hands on what the peer says.
fn heard(
    told: &mut impl FnMut(TalkEvent<'_>) -> io::Result<()>,
) -> impl FnMut(Heard<'_>) -> Result<(), TalkError> {
    |heard| told(TalkEvent::Heard(heard)).map_err(TalkError::Output)
}
