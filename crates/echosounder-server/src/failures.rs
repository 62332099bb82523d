//! Operations that fail again and again: when they rest, and when that is reported.

use std::io;
use std::thread;
use std::time::Duration;

use echosounder_proto::MonoTime;

/// How long an operation rests that has failed again and again, unless there is a reason to try it sooner.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// Failures in a row after which an operation rests.
const IN_A_ROW_MAX: u32 = 8;

/// How long one kind of failure is not reported again.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The failures of one operation since it worked last.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    in_a_row: u32,
}

impl Failures {
    /// Notes that the operation has worked.
    pub(crate) fn end(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes a failure, and returns whether there have been [many](Self::are_many).
    pub(crate) fn add(&mut self) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.are_many()
    }

    /// Notes a wait that failed, rests unless it is the first in a row, and returns whether there have been
    /// [many](Self::are_many). It rests without the kernel's waits, which may fail as well.
    pub(crate) fn add_and_rest(&mut self) -> bool {
        let is_first = self.in_a_row == 0;
        let many = self.add();
        if !is_first && !many {
            thread::park_timeout(PAUSE);
        }
        many
    }

    /// Returns whether the operation has failed so often in a row that it should rest.
    pub(crate) fn are_many(&self) -> bool {
        IN_A_ROW_MAX <= self.in_a_row
    }
}

/// Receives and sends that fail for want of something of this machine's, such as memory.
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    pub(crate) failures: Failures,
    /// The last failure of this turn, with its operation.
    pub(crate) last: Option<(&'static str, io::Error)>,
}

impl Starvation {
    /// Notes a failure.
    pub(crate) fn add(&mut self, operation: &'static str, error: io::Error) {
        self.failures.add();
        self.last = Some((operation, error));
    }
}

/// When each operation's failure was last reported.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    last: Vec<(&'static str, MonoTime)>,
}

impl Reports {
    /// Returns whether a failure of this operation is to be reported, and notes that it is.
    pub(crate) fn is_due(&mut self, operation: &'static str, now: MonoTime) -> bool {
        let Some((_, last)) = self.last.iter_mut().find(|(other, _)| *other == operation) else {
            self.last.push((operation, now));
            return true;
        };
        let due = REPORT_EVERY <= now - *last;
        if due {
            *last = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_in_a_row_are_many_until_it_works_again() {
        let mut failures = Failures::default();
        for _ in 0..2 {
            assert!((0..7).all(|_| !failures.add()));
            assert!(failures.add() && failures.add() && failures.are_many());
            failures.end();
            assert!(!failures.are_many());
        }
    }

    #[test]
    fn each_operation_is_reported_every_ten_seconds() {
        let at = |seconds| MonoTime::from_origin(Duration::from_secs(seconds));
        let mut reports = Reports::default();
        let due: Vec<bool> = [0, 1, 9, 10, 11, 20].map(|now| reports.is_due("accept", at(now))).into();
        assert_eq!(due, [true, false, false, true, false, true]);
        assert!(reports.is_due("receive", at(20)));
    }
}
