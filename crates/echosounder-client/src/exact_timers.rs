//! Exact timers for the time of a measurement.

use std::time::Duration;

use echosounder_socket::internal::{set_timer_slack, timer_slack};

/// The timer slack of an exact timer.
const EXACT: Duration = Duration::from_nanos(1);

/// Waits of this thread end on time, until this is dropped: then the thread has its former timer
/// slack again.
#[derive(Debug)]
pub(crate) struct ExactTimers {
    before: Option<Duration>,
}

impl ExactTimers {
    /// Sets the timer slack of this thread to 1 ns. If a sandbox refuses that, waits end up to 50 µs
    /// late.
    pub(crate) fn start() -> Self {
        let before = timer_slack().ok();
        Self { before: before.filter(|_| set_timer_slack(EXACT).is_ok()) }
    }
}

impl Drop for ExactTimers {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // It was permitted before.
            let _ = set_timer_slack(before);
        }
    }
}
