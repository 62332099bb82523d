//! A lack of memory in this machine: whether it passes, or is a failure.

use std::time::{Duration, Instant};

use echosounder_socket::ready;

use crate::clock::now;

/// How long receives may fail one after another before that is this machine's failure.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to rest after each: the socket stays readable, so a wait for it would end at once.
const REST: Duration = Duration::from_millis(5);

/// Receives that fail because this machine has no memory for them (ENOMEM, ENOBUFS).
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    since: Option<Instant>,
}

impl Starvation {
    /// Rests after a receive that has failed, and returns whether none has succeeded for too long.
    pub(crate) fn rest(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(now);
        // If it cannot rest, it tries again at once.
        let _ = ready([], Some(REST));
        PATIENCE <= now().saturating_duration_since(since)
    }

    /// Notes a receive that has not failed.
    pub(crate) fn end(&mut self) {
        self.since = None;
    }
}
