//! The transcript of `sounder serve`: a bounded channel from the workers to a thread that writes
//! lines.
//!
//! Workers never wait for the writer. Lines that do not fit into the channel, that exceed the quota
//! or that cannot be written are counted; the writer prints their number when it may write again.

mod quota;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use echosounder_server::{CloseReason, Observer, ServerEvent};
use echosounder_socket::{Address, Waker};

use self::quota::{Half, Quota, RecentHosts};
use crate::command::console::now;
use crate::command::line_rate_limit::ErrorRateLimit;
use crate::failure::plain;
use crate::line_sink::{LineSink, Written};
use crate::output::Transcript;
use crate::render::json::EventTime;
use crate::render::serve;
use crate::render::serve::event::{TranscriptEvent, TranscriptLine};
use crate::render::terminal_text::unfinished;
use crate::stderr::stderr;

/// How long the end of the program waits for lines that have not been written.
const FINISH_MAX: Duration = Duration::from_millis(500);

/// Maximum number of lines that wait to be written.
const QUEUE_MAX: usize = 1024;

/// Maximum number of bytes of a message that are shown on a terminal, where people read them.
const SHOWN_ON_TERMINAL_MAX: usize = 4096;

/// Maximum number of bytes of a message that are shown otherwise.
const SHOWN_MAX: usize = 512;

/// The part of `--transcript-max` that the last line has.
const LAST_LINE_BYTES: u64 = 256;

/// The last line of a transcript that has reached its maximum size.
const END: &str = "the transcript ends here: it has the size of --transcript-max";

/// What to print, and where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) wanted: Transcript,
    pub(crate) as_json: bool,
    /// The maximum number of bytes; `None` means no limit.
    pub(crate) bytes_max: Option<u64>,
}

/// Passes the events of a worker to the writer thread.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    wanted: Transcript,
    shown_max: usize,
    sender: SyncSender<Queued>,
    recent: RecentHosts,
    shared: Arc<Shared>,
}

/// A line on its way to the writer, and the half of the quota to charge; `None` if the machine and
/// not a peer has caused it.
#[derive(Debug)]
struct Queued {
    line: TranscriptLine,
    half: Option<Half>,
}

/// The state that the workers and the writer share.
#[derive(Debug)]
struct Shared {
    quota: Quota,
    /// The number of lines that were left out and not reported yet.
    left_out: AtomicU64,
    /// When the failure of each operation was last reported.
    errors: ErrorRateLimit,
}

/// The handle of the writer thread.
#[derive(Debug)]
pub(crate) struct WriterThread {
    result: Receiver<io::Result<Ending>>,
    broken: Arc<Waker>,
}

/// How a transcript ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// The number of missing lines that the transcript does not mention.
    pub(crate) left_out: u64,
    /// Why the last of them could not be written; `None` if they exceed the maximum size.
    pub(crate) cause: Option<io::Error>,
}

/// Starts a thread that writes the lines. Returns the reporter for the workers, and the thread's
/// handle.
pub(crate) fn start(plan: Plan) -> io::Result<(Reporter, WriterThread)> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_MAX);
    let shared = Arc::new(Shared {
        quota: Quota::new(),
        left_out: AtomicU64::new(0),
        errors: ErrorRateLimit::default(),
    });
    let broken = Arc::new(Waker::new()?);
    let has_transcript = plan.wanted != Transcript::Off;
    // Without a transcript, errors go to standard error. A copy of the descriptor of standard output
    // has no buffer that could keep a part of a line.
    let out: Box<dyn Write + Send> = match has_transcript {
        true => Box::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        false => Box::new(stderr()),
    };
    let writer = TranscriptWriter {
        sink: LineSink::new(out, plan.bytes_max.filter(|_| has_transcript)),
        as_json: plan.as_json,
        // The server ends if nobody reads its transcript any more, but not if nobody reads its
        // errors.
        needs_reader: has_transcript,
        started: now(),
        cause: None,
        shared: Arc::clone(&shared),
    };
    let alarm = Arc::clone(&broken);
    let (result_sender, result) = mpsc::sync_channel(1);
    thread::Builder::new().name("transcript".into()).spawn(move || {
        let result = writer.run(&receiver);
        if result.is_err() {
            // This and the next call fail only if nobody waits for the result any more.
            let _ = alarm.wake();
        }
        let _ = result_sender.send(result);
    })?;
    let shown_max = if io::stdout().is_terminal() { SHOWN_ON_TERMINAL_MAX } else { SHOWN_MAX };
    let recent = RecentHosts::new();
    Ok((Reporter { wanted: plan.wanted, shown_max, sender, recent, shared }, WriterThread { result, broken }))
}

impl Reporter {
    /// Sends an event that `peer` has caused to the writer. `event` is not called if the line would
    /// be left out.
    fn send(&mut self, peer: &Address, event: impl FnOnce() -> TranscriptEvent) {
        match self.shared.quota.take(&mut self.recent, peer) {
            Some(half) => self.queue(Some(half), event()),
            None => self.leave_out(),
        }
    }

    fn queue(&self, half: Option<Half>, event: TranscriptEvent) {
        let line = TranscriptLine { time: EventTime::now(), event };
        if self.sender.try_send(Queued { line, half }).is_err() {
            self.leave_out();
        }
    }

    fn leave_out(&self) {
        self.shared.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the bytes of a message that are shown: not a part of a character at the end, since
    /// such bytes are no text.
    fn shown<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        match message.get(..self.shown_max) {
            Some(beginning) if beginning.len() < message.len() => {
                &beginning[..beginning.len() - unfinished(beginning)]
            }
            _ => message,
        }
    }
}

impl Observer for Reporter {
    fn observe(&mut self, event: ServerEvent<'_>) {
        match event {
            // A line about this machine is rare, and a flood must not hide it.
            ServerEvent::Error { operation, error } if self.shared.errors.is_due(operation, now()) => {
                let error = format!("{operation}: {}", plain(&error.to_string()));
                self.queue(None, TranscriptEvent::Error { error });
            }
            ServerEvent::Error { .. } => {}
            _ if self.wanted == Transcript::Off => {}
            ServerEvent::Connected { peer } => {
                self.send(peer, || TranscriptEvent::Connected { peer: peer.to_string() });
            }
            ServerEvent::Closed { peer, messages, reason } => {
                self.send(peer, || TranscriptEvent::Closed {
                    peer: peer.to_string(),
                    messages,
                    reason: match reason {
                        CloseReason::Failed(error) => Some(plain(&error.to_string())),
                        CloseReason::Disconnected(reason) => Some(reason.name().to_owned()),
                        _ => None,
                    },
                });
            }
            ServerEvent::Message { peer, bytes } if self.wants_messages() => {
                let shown = self.shown(bytes);
                self.send(peer, || TranscriptEvent::Message {
                    peer: peer.to_string(),
                    bytes: shown.into(),
                    len: bytes.len(),
                });
            }
            _ => {}
        }
    }

    fn wants_messages(&self) -> bool {
        self.wanted == Transcript::Messages
    }
}

impl WriterThread {
    /// Returns a waker that is woken when the transcript cannot be written any more.
    pub(crate) fn broken(&self) -> &Waker {
        &self.broken
    }

    /// Waits until all lines are written, but not longer than [`FINISH_MAX`], because the reader
    /// may be stuck. All reporters must have been dropped.
    pub(crate) fn finish(self) -> io::Result<Ending> {
        match self.result.recv_timeout(FINISH_MAX) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Ok(Ending::default()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the transcript's writer panicked")),
        }
    }
}

/// Writes the lines of the transcript.
struct TranscriptWriter<W> {
    sink: LineSink<W>,
    as_json: bool,
    needs_reader: bool,
    started: Instant,
    /// Why the last line could not be written.
    cause: Option<io::Error>,
    shared: Arc<Shared>,
}

impl<W: Write> TranscriptWriter<W> {
    /// Writes until all reporters have been dropped.
    fn run(mut self, receiver: &Receiver<Queued>) -> io::Result<Ending> {
        loop {
            // A line that arrives late in a second must not make the second longer.
            let received = receiver.recv_timeout(self.shared.quota.until_renewal(self.elapsed()));
            if self.shared.quota.renew(self.elapsed()) {
                self.write_left_out()?;
            }
            match received {
                Ok(queued) => self.write(&queued.line, queued.half)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    /// Returns the time since the start.
    fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.started)
    }

    /// Writes what remains.
    fn end(mut self) -> io::Result<Ending> {
        self.write_left_out()?;
        if let Err(error) = self.sink.write_rest() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            self.fail(error)?;
        }
        Ok(Ending { left_out: self.shared.left_out.load(Ordering::Relaxed), cause: self.cause })
    }

    /// Writes the number of lines that were left out, if there were any.
    fn write_left_out(&mut self) -> io::Result<()> {
        let lines = self.shared.left_out.swap(0, Ordering::Relaxed);
        if lines == 0 {
            return Ok(());
        }
        let event = TranscriptEvent::LeftOut { lines };
        if !self.try_write(&TranscriptLine { time: EventTime::now(), event }, None)? {
            self.shared.left_out.fetch_add(lines, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes a line. If the disk is full, the line counts as left out, since there may be space
    /// for the next.
    fn write(&mut self, line: &TranscriptLine, half: Option<Half>) -> io::Result<()> {
        if !self.try_write(line, half)? {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes a line and charges its bytes. Returns whether it is written.
    fn try_write(&mut self, line: &TranscriptLine, half: Option<Half>) -> io::Result<bool> {
        if self.shared.quota.is_closed() {
            return Ok(false);
        }
        let mut text = Vec::new();
        serve::write_line(&mut text, line, self.as_json)?;
        if let Some(half) = half {
            self.shared.quota.charge(half, text.len());
        }
        match self.sink.write(&text, LAST_LINE_BYTES) {
            Ok(Written::Line) => {
                self.cause = None;
                Ok(true)
            }
            Ok(Written::Exceeds) => self.write_last().map(|()| false),
            Err(error) => self.fail(error).map(|()| false),
        }
    }

    /// Writes that the transcript ends, since it has its maximum size.
    fn write_last(&mut self) -> io::Result<()> {
        self.shared.quota.close();
        let mut text = Vec::new();
        serve::note(&mut text, END, self.as_json)?;
        match self.sink.write(&text, 0) {
            Ok(_) => {
                self.cause = None;
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    /// Keeps the cause of a failure. Returns it instead if nobody reads the transcript any more.
    fn fail(&mut self, error: io::Error) -> io::Result<()> {
        if self.needs_reader && error.kind() == io::ErrorKind::BrokenPipe {
            return Err(error);
        }
        self.cause = Some(error);
        Ok(())
    }
}
