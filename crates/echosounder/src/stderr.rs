//! Messages on standard error.
//!
//! Writing a message never fails and never blocks for long, since the disk of a log may be full and
//! the reader of a pipe may be gone or stuck. A thread writes the messages; `main` calls [`finish`]
//! at the end, which returns how many are lost.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use echosounder_socket::{Signal, Signals};

use crate::line_sink::LineSink;

/// How long the sender of a message waits until it is written, so that it precedes later text on
/// standard output. After a message that takes longer, senders do not wait until that message is
/// written.
const WRITE_WAIT: Duration = Duration::from_millis(200);

/// How long the end of the program waits for queued messages: long enough for a machine whose cores
/// are all busy.
const FINISH_WAIT: Duration = Duration::from_secs(1);

/// The maximum number of queued messages; further ones are lost.
const QUEUE_MAX: usize = 64;

static MESSAGES: Messages = Messages { state: Mutex::new(State::new()), changed: Condvar::new() };

/// The queue of messages and its progress.
struct Messages {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: VecDeque<Vec<u8>>,
    /// The number of messages queued so far.
    queued: u64,
    /// The number of messages written so far, or lost in the attempt.
    written: u64,
    /// Whether the sender of the last message stopped waiting for it.
    is_stuck: bool,
    losses: Losses,
}

/// Messages that are missing on standard error.
#[derive(Debug)]
pub(crate) struct Losses {
    pub(crate) messages: u64,
    /// Why the last one could not be written; `None` if nothing was written for so long that the
    /// queue was full.
    pub(crate) cause: Option<io::Error>,
}

/// A message to standard error, queued as a whole when it is flushed or dropped. Writing to it
/// never fails.
#[derive(Debug, Default)]
pub(crate) struct Stderr {
    text: Vec<u8>,
}

/// Returns an empty message.
pub(crate) fn stderr() -> Stderr {
    Stderr::default()
}

/// Waits a moment for queued messages, at the end of the program, and returns the losses until then.
pub(crate) fn finish() -> Losses {
    let pending = |state: &mut State| state.written < state.queued;
    // A reader that is still stuck misses the messages.
    let waited = MESSAGES.changed.wait_timeout_while(MESSAGES.state(), FINISH_WAIT, pending);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut state.losses, Losses::NONE)
}

impl Losses {
    const NONE: Self = Self { messages: 0, cause: None };

    fn add(&mut self, cause: Option<io::Error>) {
        self.messages += 1;
        self.cause = cause;
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            MESSAGES.send(text);
        }
        Ok(())
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // It never fails.
        let _ = self.flush();
    }
}

impl State {
    const fn new() -> Self {
        Self { queue: VecDeque::new(), queued: 0, written: 0, is_stuck: false, losses: Losses::NONE }
    }
}

impl Messages {
    /// Queues a message and waits a moment until it is written.
    fn send(&'static self, text: Vec<u8>) {
        if !self.has_writer() {
            // Without the thread, the message is written here.
            let _ = io::stderr().write_all(&text);
            return;
        }
        let mut state = self.state();
        if QUEUE_MAX <= state.queue.len() {
            state.losses.add(None);
            return;
        }
        state.queue.push_back(text);
        state.queued += 1;
        let number = state.queued;
        self.changed.notify_all();
        if state.is_stuck {
            return;
        }
        let waited = self.changed.wait_timeout_while(state, WRITE_WAIT, |state| state.written < number);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_stuck = state.written < number;
    }

    /// Starts the writing thread at the first message. Returns whether it runs.
    fn has_writer(&'static self) -> bool {
        static STARTED: OnceLock<bool> = OnceLock::new();
        *STARTED.get_or_init(|| {
            let write = || {
                // Block all signals here: otherwise the kernel could deliver one to this thread,
                // with its default action. They stay blocked even if the descriptor cannot be
                // created.
                let _signals = Signals::receive(Signal::ALL);
                self.write_all()
            };
            thread::Builder::new().name("stderr".into()).spawn(write).is_ok()
        })
    }

    /// Writes the messages in order, for ever. A message that cannot be written is lost.
    fn write_all(&self) -> ! {
        let mut sink = LineSink::new(io::stderr(), None);
        loop {
            let waited = self.changed.wait_while(self.state(), |state| state.queue.is_empty());
            let text = waited.unwrap_or_else(PoisonError::into_inner).queue.pop_front().unwrap_or_default();
            let result = sink.write(&text, 0);
            let mut state = self.state();
            if let Err(cause) = result {
                state.losses.add(Some(cause));
            }
            state.written += 1;
            state.is_stuck = false;
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
