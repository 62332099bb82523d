//! Operations that fail repeatedly: when to pause them, and when to report them.

use std::io;
use std::thread;
use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::{is_invalid_call, is_out_of_resources};

/// How long an operation that keeps failing is paused.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// Consecutive failures after which an operation is paused.
const CONSECUTIVE_MAX: u32 = 8;

/// The shortest time between two reports of the same operation.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Returns whether an operation had no effect and can succeed when it is repeated: there was no
/// data or no buffer space, a signal interrupted it, or memory or descriptors are short for the
/// moment.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        || is_out_of_resources(error)
}

/// The consecutive failures of one operation.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    consecutive: u32,
}

impl Failures {
    /// Records a success.
    pub(crate) fn reset(&mut self) {
        self.consecutive = 0;
    }

    /// Records a failure and returns whether the operation should pause.
    pub(crate) fn add(&mut self) -> bool {
        self.consecutive = self.consecutive.saturating_add(1);
        self.should_pause()
    }

    /// Records a failed wait. After the first it sleeps for [`PAUSE`] without the kernel's waits,
    /// which may fail as well.
    ///
    /// # Errors
    ///
    /// `error`, if the call itself is invalid and has failed repeatedly: the loop should end.
    pub(crate) fn add_wait(&mut self, error: io::Error) -> io::Result<()> {
        let is_first = self.consecutive == 0;
        if self.add() && is_invalid_call(&error) {
            return Err(error);
        }
        if !is_first {
            thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    /// Returns whether the operation has failed so often in a row that it should pause.
    pub(crate) fn should_pause(&self) -> bool {
        CONSECUTIVE_MAX <= self.consecutive
    }
}

/// Receives and sends that fail because this machine lacks a resource, such as memory.
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    pub(crate) failures: Failures,
    /// The last failure of this turn, with its operation.
    pub(crate) last: Option<(&'static str, io::Error)>,
}

impl Starvation {
    /// Records a failure.
    pub(crate) fn add(&mut self, operation: &'static str, error: io::Error) {
        self.failures.add();
        self.last = Some((operation, error));
    }
}

/// When the failure of each operation was last reported.
#[derive(Debug, Default)]
pub(crate) struct FailureReports {
    last: Vec<(&'static str, MonoTime)>,
}

impl FailureReports {
    /// Returns whether a failure of `operation` should be reported at `now`. If so, the next one is
    /// due [`REPORT_INTERVAL`] later.
    pub(crate) fn is_due(&mut self, operation: &'static str, now: MonoTime) -> bool {
        let Some((_, last)) = self.last.iter_mut().find(|(other, _)| *other == operation) else {
            self.last.push((operation, now));
            return true;
        };
        let due = REPORT_INTERVAL <= now - *last;
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
    fn eight_consecutive_failures_pause_an_operation_until_it_succeeds() {
        let mut failures = Failures::default();
        for _ in 0..2 {
            assert!((0..7).all(|_| !failures.add()));
            assert!(failures.add() && failures.add() && failures.should_pause());
            failures.reset();
            assert!(!failures.should_pause());
        }
    }

    #[test]
    fn signals_and_a_lack_of_data_or_resources_are_transient() {
        let is_transient = |errno| is_transient(&io::Error::from_raw_os_error(errno));
        let (eintr, eagain, enomem, emfile, enobufs) = (4, 11, 12, 24, 105);
        assert!([eintr, eagain, enomem, emfile, enobufs].into_iter().all(is_transient));
        let (ebadf, epipe, econnreset) = (9, 32, 104);
        assert!(![ebadf, epipe, econnreset].into_iter().any(is_transient));
    }

    #[test]
    fn repeated_starvation_pauses_and_keeps_the_last_failure() {
        let mut starvation = Starvation::default();
        (1..=8).for_each(|errno| starvation.add("receive", io::Error::from_raw_os_error(errno)));
        assert!(starvation.failures.should_pause());
        let last = starvation.last.map(|(operation, error)| (operation, error.raw_os_error()));
        assert_eq!(last, Some(("receive", Some(8))));
    }

    #[test]
    fn only_an_invalid_wait_ends_the_loop() {
        let (ebadf, enomem) = (9, 12);
        let wait = |errno, failures: &mut Failures| {
            let error = io::Error::from_raw_os_error(errno);
            // With a token, the pause of the thread ends at once.
            thread::current().unpark();
            failures.add_wait(error)
        };
        let mut failures = Failures::default();
        assert!((0..20).all(|_| wait(enomem, &mut failures).is_ok()));
        assert_eq!(wait(ebadf, &mut failures).unwrap_err().raw_os_error(), Some(ebadf));
        failures.reset();
        assert!((0..7).all(|_| wait(ebadf, &mut failures).is_ok()));
        assert!(wait(ebadf, &mut failures).is_err());
    }

    #[test]
    fn each_operation_is_reported_every_ten_seconds() {
        let at = |seconds| MonoTime::from_origin(Duration::from_secs(seconds));
        let mut reports = FailureReports::default();
        let due: Vec<bool> = [0, 1, 9, 10, 11, 20].map(|now| reports.is_due("accept", at(now))).into();
        assert_eq!(due, [true, false, false, true, false, true]);
        assert!(reports.is_due("receive", at(20)));
    }
}
