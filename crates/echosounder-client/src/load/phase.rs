//! The phases of a load.

use std::time::Duration;

/// How often messages in flight are checked for their timeouts, and sockets that do not report
/// buffer space are tried again.
pub(super) const SWEEP_EVERY: Duration = Duration::from_millis(20);

/// The phases of a load, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// No turn has begun.
    New,
    Sending,
    /// No more messages are sent; replies are awaited.
    Draining {
        /// When sending ended, since the start.
        since: Duration,
    },
    Over {
        /// The time that was measured.
        elapsed: Duration,
    },
}

/// The last sweep over the connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    /// When it was, since the start.
    pub(super) at: Duration,
    /// The connection with which the next one begins.
    pub(super) next: usize,
}
