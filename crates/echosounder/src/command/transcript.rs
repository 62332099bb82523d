//! The way from the workers to the output: a bounded channel, and a thread that writes.
//!
//! Workers never wait for it. What does not fit, and what is over a hundred lines a second, is counted, and
//! told when there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use echosounder_server::{Observer, ServerEvent};
use echosounder_socket::Waker;

use crate::command::line_rate_limit::{LineRateLimit, Troubles};
use crate::config::Transcript;
use crate::failure::plain;
use crate::render::json::EventTime;
use crate::render::transcript::{self, Entry, What};

/// How long the end waits for what has not been written.
const FINISH_MAX: Duration = Duration::from_millis(500);

/// Most entries that wait to be written.
const WAITING_MAX: usize = 1024;

/// Most bytes of a message that are shown.
const SHOWN_MAX: usize = 4096;

/// Passes events on to the writer, as far as they are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    wanted: Transcript,
    sender: SyncSender<Entry>,
    shared: Arc<Shared>,
}

/// What the workers and the writer tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// Whether enough was written within this second.
    sated: AtomicBool,
    /// Entries that were not written.
    left_out: AtomicU64,
    /// What was reported to fail.
    troubles: Troubles,
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    ended: Receiver<io::Result<()>>,
    broken: Arc<Waker>,
}

/// Starts the thread that writes to `out`, and whoever passes events on to it.
pub(crate) fn start(
    wanted: Transcript,
    as_json: bool,
    out: impl Write + Send + 'static,
) -> io::Result<(Reporter, Writer)> {
    let (sender, receiver) = mpsc::sync_channel(WAITING_MAX);
    let shared = Arc::new(Shared::default());
    let broken = Arc::new(Waker::new()?);
    // A transcript that nobody reads any more ends the server; errors that nobody reads do not.
    let needs_reader = wanted != Transcript::Off;
    let pages = Pages { out, as_json, needs_reader, shared: Arc::clone(&shared) };
    let alarm = Arc::clone(&broken);
    let (end, ended) = mpsc::sync_channel(1);
    thread::Builder::new().name("transcript".into()).spawn(move || {
        let result = pages.write(&receiver);
        if result.is_err() {
            // Both fail only if nobody waits for it any more.
            let _ = alarm.wake();
        }
        let _ = end.send(result);
    })?;
    Ok((Reporter { wanted, sender, shared }, Writer { ended, broken }))
}

impl Reporter {
    /// Passes an entry on; if it would not be written, it is not even made.
    fn pass(&self, what: impl FnOnce() -> What) {
        let entry = || Entry { time: EventTime::now(), what: what() };
        if self.shared.sated.load(Ordering::Relaxed) || self.sender.try_send(entry()).is_err() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Reporter {
    fn observe(&mut self, event: ServerEvent<'_>) {
        match event {
            ServerEvent::Error { operation, error } if self.shared.troubles.is_due(operation) => {
                self.pass(|| What::Error { error: format!("{operation}: {}", plain(&error.to_string())) });
            }
            ServerEvent::Error { .. } => {}
            _ if self.wanted == Transcript::Off => {}
            ServerEvent::Connected { peer } => self.pass(|| What::Connected { peer: peer.to_string() }),
            ServerEvent::Closed { peer, messages, error, cut } => self.pass(|| What::Closed {
                peer: peer.to_string(),
                messages,
                reason: error
                    .map(|error| plain(&error.to_string()))
                    .or_else(|| cut.map(|cut| cut.word().to_owned())),
            }),
            ServerEvent::Message { peer, bytes } if self.wants_messages() => self.pass(|| What::Message {
                peer: peer.to_string(),
                bytes: bytes[..bytes.len().min(SHOWN_MAX)].into(),
                len: bytes.len(),
            }),
            _ => {}
        }
    }

    fn wants_messages(&self) -> bool {
        self.wanted == Transcript::Messages
    }
}

impl Writer {
    /// Wakes whoever waits for it when nothing can be written any more.
    pub(crate) fn broken(&self) -> &Waker {
        &self.broken
    }

    /// Waits until all is written, but not for ever: whoever should read it may be stuck. The reporters must have
    /// been dropped.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.ended.recv_timeout(FINISH_MAX) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the transcript's writer panicked")),
        }
    }
}

/// What is being written.
struct Pages<W> {
    out: W,
    as_json: bool,
    needs_reader: bool,
    shared: Arc<Shared>,
}

impl<W: Write> Pages<W> {
    /// Writes until nobody sends any more.
    fn write(mut self, receiver: &Receiver<Entry>) -> io::Result<()> {
        let mut line_rate_limit = LineRateLimit::new();
        loop {
            let received = receiver.recv_timeout(Duration::from_secs(1));
            if line_rate_limit.renew() {
                self.shared.sated.store(false, Ordering::Relaxed);
                self.tell_left_out()?;
            }
            match received {
                Ok(entry) if line_rate_limit.take() => {
                    self.shared.sated.store(line_rate_limit.is_used_up(), Ordering::Relaxed);
                    self.line(&entry)?;
                }
                Ok(_) => {
                    self.shared.left_out.fetch_add(1, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.tell_left_out(),
            }
        }
    }

    fn tell_left_out(&mut self) -> io::Result<()> {
        match self.shared.left_out.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            entries => self.line(&Entry { time: EventTime::now(), what: What::LeftOut { entries } }),
        }
    }

    /// Writes a line. A full disk loses it, and may have room for the next.
    fn line(&mut self, entry: &Entry) -> io::Result<()> {
        let written = transcript::entry(&mut self.out, entry, self.as_json).and_then(|()| self.out.flush());
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
