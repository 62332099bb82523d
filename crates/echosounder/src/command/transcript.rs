//! The transcript of `sounder serve`: a bounded channel from the workers to a thread that writes
//! lines.
//!
//! Workers never wait for the writer. Lines that do not fit into the channel, and lines beyond the
//! rate limit, are counted; the writer prints their number when it may write again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use echosounder_server::{CloseReason, Observer, ServerEvent};
use echosounder_socket::Waker;

use crate::command::line_rate_limit::{ErrorRateLimit, LineRateLimit};
use crate::failure::plain;
use crate::output::Transcript;
use crate::render::json::EventTime;
use crate::render::serve;
use crate::render::serve::event::{TranscriptEvent, TranscriptLine};

/// How long the end of the program waits for lines that have not been written.
const FINISH_MAX: Duration = Duration::from_millis(500);

/// Maximum number of lines that wait to be written.
const QUEUE_MAX: usize = 1024;

/// Maximum number of bytes of a message that are shown.
const SHOWN_MAX: usize = 4096;

/// How often the writer looks for left-out lines while no event arrives.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// Passes the events of a worker to the writer thread.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    wanted: Transcript,
    sender: SyncSender<TranscriptLine>,
    shared: Arc<Shared>,
}

/// The state that the workers and the writer share.
#[derive(Debug, Default)]
struct Shared {
    /// Whether the lines of this second are used up.
    is_limited: AtomicBool,
    /// The number of lines that were left out and not reported yet.
    left_out: AtomicU64,
    /// When the failure of each operation was last reported.
    errors: ErrorRateLimit,
}

/// The handle of the writer thread.
#[derive(Debug)]
pub(crate) struct WriterThread {
    result: Receiver<io::Result<()>>,
    broken: Arc<Waker>,
}

/// Starts a thread that writes to `out`. Returns the reporter for the workers, and the thread's
/// handle.
pub(crate) fn start(
    wanted: Transcript,
    as_json: bool,
    out: impl Write + Send + 'static,
) -> io::Result<(Reporter, WriterThread)> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_MAX);
    let shared = Arc::new(Shared::default());
    let broken = Arc::new(Waker::new()?);
    // The server ends if nobody reads its transcript any more, but not if nobody reads its errors.
    let needs_reader = wanted != Transcript::Off;
    let writer = TranscriptWriter { out, as_json, needs_reader, shared: Arc::clone(&shared) };
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
    Ok((Reporter { wanted, sender, shared }, WriterThread { result, broken }))
}

impl Reporter {
    /// Sends an event to the writer. `event` is not called if the line would be left out.
    fn send(&self, event: impl FnOnce() -> TranscriptEvent) {
        let line = || TranscriptLine { time: EventTime::now(), event: event() };
        if self.shared.is_limited.load(Ordering::Relaxed) || self.sender.try_send(line()).is_err() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Reporter {
    fn observe(&mut self, event: ServerEvent<'_>) {
        match event {
            ServerEvent::Error { operation, error } if self.shared.errors.is_due(operation) => {
                let error = || format!("{operation}: {}", plain(&error.to_string()));
                self.send(|| TranscriptEvent::Error { error: error() });
            }
            ServerEvent::Error { .. } => {}
            _ if self.wanted == Transcript::Off => {}
            ServerEvent::Connected { peer } => {
                self.send(|| TranscriptEvent::Connected { peer: peer.to_string() });
            }
            ServerEvent::Closed { peer, messages, reason } => self.send(|| TranscriptEvent::Closed {
                peer: peer.to_string(),
                messages,
                reason: match reason {
                    CloseReason::Failed(error) => Some(plain(&error.to_string())),
                    CloseReason::Disconnected(reason) => Some(reason.name().to_owned()),
                    _ => None,
                },
            }),
            ServerEvent::Message { peer, bytes } if self.wants_messages() => {
                self.send(|| TranscriptEvent::Message {
                    peer: peer.to_string(),
                    bytes: bytes[..bytes.len().min(SHOWN_MAX)].into(),
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
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.result.recv_timeout(FINISH_MAX) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the transcript's writer panicked")),
        }
    }
}

/// Writes the lines of the transcript at a limited rate.
struct TranscriptWriter<W> {
    out: W,
    as_json: bool,
    needs_reader: bool,
    shared: Arc<Shared>,
}

impl<W: Write> TranscriptWriter<W> {
    /// Writes until all reporters have been dropped.
    fn run(mut self, receiver: &Receiver<TranscriptLine>) -> io::Result<()> {
        let mut limit = LineRateLimit::new();
        loop {
            let received = receiver.recv_timeout(IDLE_INTERVAL);
            if limit.renew() {
                self.shared.is_limited.store(false, Ordering::Relaxed);
                self.write_left_out()?;
            }
            match received {
                Ok(line) if limit.take() => {
                    self.shared.is_limited.store(limit.is_used_up(), Ordering::Relaxed);
                    self.write(&line)?;
                }
                Ok(_) => {
                    self.shared.left_out.fetch_add(1, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write_left_out(),
            }
        }
    }

    /// Writes the number of lines that were left out, if there were any.
    fn write_left_out(&mut self) -> io::Result<()> {
        match self.shared.left_out.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            lines => {
                let event = TranscriptEvent::LeftOut { lines };
                self.write(&TranscriptLine { time: EventTime::now(), event })
            }
        }
    }

    /// Writes a line. If the disk is full, the line counts as left out, since there may be space
    /// for the next.
    fn write(&mut self, line: &TranscriptLine) -> io::Result<()> {
        let written = serve::write_line(&mut self.out, line, self.as_json).and_then(|()| self.out.flush());
        match written {
            Err(error) if self.needs_reader && error.kind() == io::ErrorKind::BrokenPipe => Err(error),
            Err(_) => {
                self.shared.left_out.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
