//! Bytes that pass unchanged in both directions at once, between a stream and an input and an output.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use echosounder_proto::{EchoReader, FailureKind};
use echosounder_socket::{Interest, IoBuffer, Readiness, ready};

use crate::background::BackgroundWriter;
use crate::clock::Deadline;
use crate::eol::{Eol, Translator};
use crate::error::ClientError;
use crate::peer::Peer;
use crate::talk::{End, TalkError};

/// The size of a read of the input.
const READ: usize = 64 * 1024;

/// How many bytes may be under way whose echo is waited for, where the end of the input cannot be told to the peer.
const ECHO_MAX: usize = 1024 * 1024;

/// How long input is waited for when the peer has gone, to know whether some was not sent.
const AFTER_END: Duration = Duration::from_secs(1);

/// Most bytes of the input that are read to count them when the peer has gone.
const COUNTING_MAX: usize = 1024 * 1024;

/// How it went.
#[derive(Debug)]
pub struct Passed {
    /// Bytes that the kernel took for the peer.
    pub sent: u64,
    /// Bytes that rx_times.
    pub received: u64,
    /// Bytes of the input that were read and not sent.
    pub unsent: u64,
    /// Whether there may be more of these, since not all of the input was read.
    pub more_unsent: bool,
    /// How the connection failed.
    pub failure: Option<ClientError>,
    /// What ended it.
    pub end: End,
}

/// A stream between an input and an output.
#[derive(Debug)]
pub struct Pipe<I> {
    peer: Peer,
    input: I,
    output: BackgroundWriter,
    interrupt: OwnedFd,
    translator: Translator,
    buffer: IoBuffer,
    /// What is to be sent, and how much of it has been.
    outgoing: Vec<u8>,
    outgoing_sent: usize,
    /// What is still to come back, where the end of the input cannot be told to the peer.
    echo: Option<EchoReader>,
    echo_missing: usize,
    input_ended: bool,
    /// Whether the peer was told of the end of the input.
    finished: bool,
    /// Whether the peer sends nothing more.
    peer_ended: bool,
    /// Whether the peer takes nothing more.
    peer_gone: bool,
    /// When there has been nothing for so long that it is the end.
    quiet: Deadline,
    passed: Passed,
}

impl<I: Read + AsFd> Pipe<I> {
    /// Joins a stream to an input and an output. It ends when `interrupt` becomes readable.
    pub fn new(peer: Peer, input: I, output: BackgroundWriter, eol: Eol, interrupt: OwnedFd) -> Self {
        let echo = (!peer.transport().half_closes()).then(EchoReader::new);
        let passed =
            Passed { sent: 0, received: 0, unsent: 0, more_unsent: false, failure: None, end: End::Input };
        Self {
            peer,
            input,
            output,
            interrupt,
            translator: Translator::new(eol),
            buffer: IoBuffer::zeroed(READ),
            outgoing: Vec::new(),
            outgoing_sent: 0,
            echo,
            echo_missing: 0,
            input_ended: false,
            finished: false,
            peer_ended: false,
            peer_gone: false,
            quiet: Deadline::after(Duration::MAX),
            passed,
        }
    }

    /// Passes bytes until the peer has ended, or has sent nothing for as long as its call may wait after the end of the
    /// input. If the peer ends first, input is still sent until it ends, too, or stays away for as long.
    ///
    /// # Errors
    ///
    /// If the input fails, the output, or this machine. A peer that fails is a part of the result.
    pub fn run(mut self) -> Result<Passed, TalkError> {
        self.passed.end = loop {
            if let Some(end) = self.end() {
                break end;
            }
            if let Some(end) = self.turn()? {
                break end;
            }
        };
        if self.passed.end == End::Peer {
            self.count_unsent()?;
        } else if self.passed.end == End::Input
            && let Err(error) = self.peer.socket().take_error()
        {
            // The peer had closed the connection before what was sent last arrived.
            self.lose("send to", error)?;
        }
        if matches!(self.passed.end, End::Interrupt | End::Deadline) {
            self.output.finish_soon();
            return Ok(self.passed);
        }
        match self.output.finish() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.passed.end = if self.peer.is_overdue() { End::Deadline } else { End::Interrupt };
            }
            result => result.map_err(TalkError::Output)?,
        }
        Ok(self.passed)
    }

    /// Whether it has ended, and by what.
    fn end(&self) -> Option<End> {
        let echoed = self.echo.as_ref().is_some_and(|reader| reader.pending() == 0);
        if self.peer_gone && self.peer_ended {
            Some(End::Peer)
        } else if self.finished && (self.peer_ended || echoed) {
            Some(End::Input)
        } else {
            None
        }
    }

    /// Waits until something can be done, and does it.
    fn turn(&mut self) -> Result<Option<End>, TalkError> {
        let receives = !self.peer_ended && self.output.has_room();
        let sends = !self.outgoing.is_empty() && !self.peer_gone;
        let reads = self.outgoing.is_empty() && !self.input_ended && !self.peer_gone;
        let counts = (self.finished || self.peer_gone || self.peer_ended) && (receives || self.peer_ended);
        let deadline = if counts { self.quiet } else { Deadline::after(Duration::MAX) };
        let [peer, input, written, interrupt] =
            self.wait(receives, sends, reads, deadline.earlier(self.peer.limit()))?;
        if interrupt {
            return Ok(Some(End::Interrupt));
        }
        if self.peer.is_overdue() {
            return Ok(Some(End::Deadline));
        }
        if written {
            self.output.collect().map_err(TalkError::Output)?;
        }
        if input && reads {
            self.read()?;
        }
        if !self.outgoing.is_empty() && !self.peer_gone {
            self.send()?;
        }
        if peer && receives {
            self.receive()?;
        }
        if self.input_ended && self.outgoing.is_empty() && !self.finished && !self.peer_gone {
            self.finish()?;
        }
        let is_quiet = counts && self.quiet.is_over();
        Ok(is_quiet.then_some(if self.finished { End::Input } else { End::Peer }))
    }

    /// Waits for the peer, the input, the output and the interrupt; whether each has something is returned.
    fn wait(
        &self,
        receives: bool,
        sends: bool,
        reads: bool,
        deadline: Deadline,
    ) -> Result<[bool; 4], TalkError> {
        let interest = match (receives, sends) {
            (true, true) => Some(Interest::Both),
            (true, false) => Some(Interest::Read),
            (false, true) => Some(Interest::Write),
            (false, false) => None,
        };
        // What is not waited for is left out: it could be ready all the time.
        let interrupt = (self.interrupt.as_fd(), Interest::Read);
        let watched = [
            interest.map_or(interrupt, |interest| (self.peer.as_fd(), interest)),
            if reads { (self.input.as_fd(), Interest::Read) } else { interrupt },
            (self.output.as_fd(), Interest::Read),
            interrupt,
        ];
        let [peer, input, written, interrupt] = ready(watched, deadline.left()).map_err(TalkError::Input)?;
        let any = |ready: Readiness| ready.readable || ready.writable;
        Ok([any(peer), input.readable, written.readable, interrupt.readable])
    }

    /// Reads the input once.
    fn read(&mut self) -> Result<(), TalkError> {
        match self.input.read(&mut self.buffer) {
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(TalkError::Input(error)),
            Ok(0) => {
                self.input_ended = true;
                self.translator.finish(&mut self.outgoing);
            }
            Ok(len) => self.translator.push(&self.buffer[..len], &mut self.outgoing),
        }
        self.quiet = Deadline::after(self.peer.patience());
        Ok(())
    }

    /// Sends once.
    fn send(&mut self) -> Result<(), TalkError> {
        let rest = &self.outgoing[self.outgoing_sent..];
        let len = match self.peer.socket().send(rest) {
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return self.lose("send to", error),
            Ok(len) => len,
        };
        if let Some(reader) = &mut self.echo {
            reader.sent(&rest[..len]);
            self.echo_missing += len;
            if ECHO_MAX < self.echo_missing {
                self.echo = None;
            }
        }
        self.passed.sent += len as u64;
        self.outgoing_sent += len;
        if self.outgoing_sent == self.outgoing.len() {
            self.outgoing.clear();
            self.outgoing_sent = 0;
        }
        self.quiet = Deadline::after(self.peer.patience());
        Ok(())
    }

    /// Receives once.
    fn receive(&mut self) -> Result<(), TalkError> {
        let mut buffer = self.output.buffer();
        let len = match self.peer.socket().recv(&mut buffer) {
            Ok(0) => {
                self.peer_ended = true;
                self.quiet = Deadline::after(self.peer.patience());
                self.look_whether_gone()?;
                0
            }
            Ok(len) => len,
            Err(error) if is_transient(&error) => 0,
            Err(error) if self.peer.transport().is_end(&error) => {
                (self.peer_ended, self.peer_gone) = (true, true);
                0
            }
            Err(error) => {
                self.peer_ended = true;
                self.lose("receive from", error)?;
                0
            }
        };
        if len == 0 {
            self.output.give_back(buffer);
            return Ok(());
        }
        if let Some(reader) = &mut self.echo {
            let mut echoed = 0;
            let is_echo = reader.receive(&buffer[..len], |_| echoed += 1).is_ok();
            self.echo_missing = if reader.pending() == 0 { 0 } else { self.echo_missing };
            if !is_echo {
                self.echo = None;
            }
        }
        self.passed.received += len as u64;
        self.output.push(buffer, len);
        self.quiet = Deadline::after(self.peer.patience());
        Ok(())
    }

    /// Notes whether a peer that sends nothing more takes nothing more either. A network says so only when something
    /// arrived there that nobody read, so that was lost.
    fn look_whether_gone(&mut self) -> Result<(), TalkError> {
        let transport = self.peer.transport();
        self.peer_gone |= !transport.half_closes();
        if self.finished {
            return Ok(());
        }
        match self.peer.socket().send(&[]) {
            Err(error) if transport.has_hosts() && self.passed.sent != 0 => self.lose("send to", error),
            Err(error) => {
                self.peer_gone |= self.peer.error("send to", error).word() == Some(FailureKind::Closed);
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Notes that the peer takes nothing more. What it has sent before may still come.
    fn lose(&mut self, operation: &'static str, error: io::Error) -> Result<(), TalkError> {
        let failure = self.peer.error(operation, error);
        if failure.word().is_none() {
            return Err(failure.into());
        }
        self.peer_gone = true;
        self.passed.failure.get_or_insert(failure);
        self.quiet = Deadline::after(self.peer.patience());
        Ok(())
    }

    /// Tells the peer that nothing more will be sent.
    fn finish(&mut self) -> Result<(), TalkError> {
        self.finished = true;
        self.quiet = Deadline::after(self.peer.patience());
        if self.peer.transport().half_closes() {
            self.peer.half_close()?;
        }
        Ok(())
    }

    /// Counts the input that the peer's end has left.
    fn count_unsent(&mut self) -> Result<(), TalkError> {
        let mut unsent = self.outgoing.len() - self.outgoing_sent;
        let first = Deadline::after(AFTER_END.min(self.peer.patience())).earlier(self.peer.limit());
        while !self.input_ended && unsent < COUNTING_MAX {
            let wait = if unsent == 0 && self.peer_gone { first.left() } else { Some(Duration::ZERO) };
            let watched = [self.input.as_fd(), self.interrupt.as_fd()].map(|fd| (fd, Interest::Read));
            let [input, interrupt] = ready(watched, wait).map_err(TalkError::Input)?;
            if interrupt.readable || !input.readable {
                break;
            }
            match self.input.read(&mut self.buffer) {
                Err(error) if is_transient(&error) => break,
                result => {
                    let len = result.map_err(TalkError::Input)?;
                    self.input_ended = len == 0;
                    unsent += len;
                }
            }
        }
        self.passed.unsent = unsent as u64;
        self.passed.more_unsent = unsent != 0 && !self.input_ended;
        Ok(())
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
