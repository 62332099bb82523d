//! A conversation by hand: each line is asked, and its answer awaited before the next.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use echosounder_socket::{Interest, ready};

use crate::error::CallError;
use crate::lines::{LINE_MAX, Line, Lines};
use crate::peer::{Heard, Peer, Reply};

/// What is sent at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// Nothing, as the textbook's client does; an empty line ends the conversation.
    None,
    /// A line feed.
    Lf,
    /// A carriage return and a line feed.
    CrLf,
}

/// What happens in a conversation, told as it happens.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// A line is awaited.
    Prompt,
    /// A line has come, and is sent; whether its newline is left out.
    Asked {
        /// A newline stood behind it, or the end of the input, and it is not sent.
        without_newline: bool,
    },
    /// The peer said something.
    Heard(Heard<'a>),
    /// A line was not answered in time; the conversation goes on.
    Silence,
}

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TalkError {
    /// The peer, or the way to it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The input.
    #[error("read the input")]
    Input(#[source] io::Error),
    /// Whoever is told.
    #[error("write the output")]
    Output(#[source] io::Error),
}

/// How a conversation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Lines that were sent.
    pub asked: u64,
    /// Lines that were answered in time.
    pub answered: u64,
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
}

/// A conversation between the lines of an input and a peer.
#[derive(Debug)]
pub struct Talk<I> {
    peer: Peer,
    lines: Lines<I>,
    eol: Eol,
    interrupt: OwnedFd,
}

/// What comes next in a conversation.
enum Next {
    /// What is sent, and whether a newline is left out.
    Message(Vec<u8>, bool),
    End(End),
}

impl<I: Read + AsFd> Talk<I> {
    /// A conversation that has not begun.
    /// It ends when `interrupt` becomes readable.
    ///
    /// # Errors
    ///
    /// If no descriptor is left.
    pub fn new(mut peer: Peer, input: I, eol: Eol, interrupt: OwnedFd) -> io::Result<Self> {
        peer.heed(interrupt.try_clone()?);
        Ok(Self { peer, lines: Lines::new(input), eol, interrupt })
    }

    /// Talks until the input or the peer ends, or an empty line does. `told` hears of everything.
    ///
    /// # Errors
    ///
    /// If the peer fails, the input, or whoever is told.
    pub fn run(mut self, mut told: impl FnMut(Said<'_>) -> io::Result<()>) -> Result<Summary, TalkError> {
        let (mut asked, mut answered) = (0, 0);
        let end = loop {
            told(Said::Prompt).map_err(TalkError::Output)?;
            let (message, without_newline) = match self.next(&mut told)? {
                Next::Message(message, without_newline) => (message, without_newline),
                Next::End(end) => break end,
            };
            asked += 1;
            told(Said::Asked { without_newline }).map_err(TalkError::Output)?;
            let reply = self.peer.ask(&message, &mut heard(&mut told))?;
            match reply {
                Reply::Answered => answered += 1,
                Reply::Silence => told(Said::Silence).map_err(TalkError::Output)?,
                Reply::Ended => break End::Peer,
                Reply::Interrupted => break End::Interrupt,
            }
        };
        if !matches!(end, End::Peer | End::Interrupt) {
            self.peer.drain(&mut heard(&mut told))?;
        }
        Ok(Summary { asked, answered, end })
    }

    /// Waits for a line, and hears the peer meanwhile.
    fn next(&mut self, told: &mut impl FnMut(Said<'_>) -> io::Result<()>) -> Result<Next, TalkError> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(self.meaning(line));
            }
            if self.lines.is_done() {
                return Ok(Next::End(End::Input));
            }
            let watched = [self.lines.input().as_fd(), self.peer.as_fd(), self.interrupt.as_fd()];
            let watched = watched.map(|fd| (fd, Interest::Read));
            let [input, peer, interrupt] = ready(watched, None).map_err(TalkError::Input)?;
            if interrupt.readable {
                return Ok(Next::End(End::Interrupt));
            }
            if peer.readable && !self.peer.listen(&mut heard(told))? {
                return Ok(Next::End(End::Peer));
            }
            if input.readable {
                self.lines.fill().map_err(TalkError::Input)?;
            }
        }
    }

    fn meaning(&self, line: Line) -> Next {
        let eol: &[u8] = match self.eol {
            Eol::None if line.bytes.is_empty() => return Next::End(End::EmptyLine),
            Eol::Lf if line.ended => b"\n",
            Eol::CrLf if line.ended => b"\r\n",
            _ => b"",
        };
        let whole = line.ended || line.bytes.len() < LINE_MAX;
        let mut message = line.bytes;
        if self.eol == Eol::CrLf && line.ended && message.last() == Some(&b'\r') {
            message.pop();
        }
        message.extend_from_slice(eol);
        Next::Message(message, whole && self.eol == Eol::None)
    }
}

/// Hands on what the peer says.
fn heard(
    told: &mut impl FnMut(Said<'_>) -> io::Result<()>,
) -> impl FnMut(Heard<'_>) -> Result<(), TalkError> {
    |heard| told(Said::Heard(heard)).map_err(TalkError::Output)
}
