//! Standard error. Nothing fails because it cannot be written, and nothing waits long for its reader: a log's disk may
//! be full, and whoever reads a pipe may be gone or stuck.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use echosounder_socket::{Signal, Signals};

/// How long a message is waited for, so that it stands before what is written to standard output after it. Behind one
/// that took longer none is waited for until that is written.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long the end of the program waits for messages that are not written yet.
const FINISH_MAX: Duration = Duration::from_millis(200);

/// Most messages that wait to be written; more are left out.
const QUEUE_MAX: usize = 64;

static MESSAGES: Messages = Messages { state: Mutex::new(State::new()), changed: Condvar::new() };

/// What is to be written, and how far that has come.
struct Messages {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: VecDeque<Vec<u8>>,
    /// Messages queued so far, and of these the ones that are done with.
    queued: u64,
    written: u64,
    /// Whether the last message that was waited for took too long.
    stuck: bool,
}

/// One message to standard error, which leaves as a whole when it is flushed or dropped. Writing to it never fails.
#[derive(Debug, Default)]
pub(crate) struct Stderr {
    text: Vec<u8>,
}

/// Returns an empty message.
pub(crate) fn stderr() -> Stderr {
    Stderr::default()
}

/// Waits a moment for what has not been written. To be called at the end of the program.
pub(crate) fn finish() {
    let pending = |state: &mut State| state.written < state.queued;
    // Whoever got none of the messages by now does not get them.
    let _ = MESSAGES.changed.wait_timeout_while(MESSAGES.state(), FINISH_MAX, pending);
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
        // It cannot fail.
        let _ = self.flush();
    }
}

impl State {
    const fn new() -> Self {
        Self { queue: VecDeque::new(), queued: 0, written: 0, stuck: false }
    }
}

impl Messages {
    /// Queues a message and waits a moment until it is written.
    fn send(&'static self, text: Vec<u8>) {
        if !self.has_writer() {
            // Without a thread there is nobody else to write it.
            let _ = io::stderr().write_all(&text);
            return;
        }
        let mut state = self.state();
        if QUEUE_MAX <= state.queue.len() {
            return;
        }
        state.queue.push_back(text);
        state.queued += 1;
        let number = state.queued;
        self.changed.notify_all();
        if state.stuck {
            return;
        }
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.written < number);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stuck = state.written < number;
    }

    /// Starts the thread that writes, at the first message; whether there is one is returned.
    fn has_writer(&'static self) -> bool {
        static STARTED: OnceLock<bool> = OnceLock::new();
        *STARTED.get_or_init(|| {
            let write = || {
                // A signal that this thread took would have its usual effect, whoever else receives it. Should this
                // fail, the signals are blocked all the same.
                let _signals = Signals::receive(&Signal::ALL);
                self.write_all()
            };
            thread::Builder::new().name("stderr".into()).spawn(write).is_ok()
        })
    }

    /// Writes one message after the other. What cannot be written is lost.
    fn write_all(&self) -> ! {
        loop {
            let waited = self.changed.wait_while(self.state(), |state| state.queue.is_empty());
            let text = waited.unwrap_or_else(PoisonError::into_inner).queue.pop_front().unwrap_or_default();
            let _ = io::stderr().write_all(&text);
            let mut state = self.state();
            state.written += 1;
            state.stuck = false;
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
