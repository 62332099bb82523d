//! How a thread spends its time, as the kernel accounts it.

use std::fs;
use std::time::Duration;

use super::thread_result::CpuShare;

/// Measures the [`CpuShare`] of the thread that uses it.
#[derive(Debug)]
pub(super) struct CpuMeter {
    since: Duration,
    before: CpuTime,
}

impl CpuMeter {
    /// Starts to measure at `now`.
    pub(super) fn start(now: Duration) -> Self {
        Self { since: now, before: CpuTime::of_this_thread() }
    }

    /// Returns when the meter was started.
    pub(super) fn since(&self) -> Duration {
        self.since
    }

    /// Returns the share of the time until `now`.
    pub(super) fn share(&self, now: Duration) -> CpuShare {
        let after = CpuTime::of_this_thread();
        let span = now.saturating_sub(self.since).as_secs_f64();
        let share = |after: Duration, before: Duration| {
            if span == 0.0 { 0.0 } else { (after.saturating_sub(before).as_secs_f64() / span).min(1.0) }
        };
        CpuShare { busy: share(after.ran, self.before.ran), waiting: share(after.waited, self.before.waited) }
    }
}

/// The first two fields of schedstat: proc(5).
#[derive(Clone, Copy, Debug)]
struct CpuTime {
    /// Time on a processor.
    ran: Duration,
    /// Time in the run queue.
    waited: Duration,
}

impl CpuTime {
    fn of_this_thread() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
        let mut next = || Duration::from_nanos(fields.next().unwrap_or(0));
        Self { ran: next(), waited: next() }
    }
}
