//! Lack of kernel memory for received data: whether it passes, or is a failure of this machine.

use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::ready;

/// How long every receive may fail before that is a failure of this machine.
const FAILING_MAX: Duration = Duration::from_secs(1);

/// How long to rest after a failed receive. The socket stays readable, so a wait for it would end
/// at once.
const REST: Duration = Duration::from_millis(5);

/// Receives that fail because this machine has no memory for them (ENOMEM, ENOBUFS).
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    since: Option<MonoTime>,
}

impl Starvation {
    /// Rests after a receive that has failed, and returns whether none has succeeded for too long.
    pub(crate) fn rest(&mut self, now: MonoTime) -> bool {
        let since = *self.since.get_or_insert(now);
        // If the wait fails, the next receive is tried at once.
        let _ = ready([], Some(REST));
        FAILING_MAX <= now - since
    }

    /// Notes that a receive has not failed.
    pub(crate) fn end(&mut self) {
        self.since = None;
    }
}
