//! Lack of kernel memory for sends or receives: whether it passes, or is a failure of this machine.

use std::io;
use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::ready;

/// How long every operation may fail before that is a failure of this machine.
const FAILING_MAX: Duration = Duration::from_secs(1);

/// How long to rest after a failed operation. The socket stays ready, so a wait for it would end at
/// once.
const REST: Duration = Duration::from_millis(5);

/// Sends, or receives, that fail because this machine has no memory for them (ENOMEM, ENOBUFS).
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    since: Option<MonoTime>,
    last: Option<io::Error>,
}

impl Starvation {
    /// Notes that an operation has failed.
    ///
    /// Fails with the same error if none has succeeded for too long.
    pub(crate) fn note(&mut self, now: MonoTime, error: io::Error) -> io::Result<()> {
        let since = *self.since.get_or_insert(now);
        if FAILING_MAX <= now - since {
            return Err(error);
        }
        self.last = Some(error);
        Ok(())
    }

    /// Rests after an operation that has failed, as [`note`](Self::note) does without a rest.
    pub(crate) fn rest(&mut self, now: MonoTime, error: io::Error) -> io::Result<()> {
        // If the wait fails, the next operation is tried at once.
        let _ = ready([], Some(REST));
        self.note(now, error)
    }

    /// Notes that an operation has not failed.
    pub(crate) fn end(&mut self) {
        if self.since.is_some() {
            *self = Self::default();
        }
    }

    /// Returns whether the last operation has failed.
    pub(crate) fn is_going_on(&self) -> bool {
        self.since.is_some()
    }

    /// Takes the error of the last operation, if it has failed.
    pub(crate) fn take(&mut self) -> Option<io::Error> {
        self.since = None;
        self.last.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_millis(millis))
    }

    fn no_memory() -> io::Error {
        io::ErrorKind::OutOfMemory.into()
    }

    #[test]
    fn starvation_is_a_failure_after_a_second_without_success() {
        let mut starvation = Starvation::default();
        assert!(starvation.note(at(0), no_memory()).is_ok() && starvation.note(at(999), no_memory()).is_ok());
        starvation.end();
        assert!(starvation.note(at(1500), no_memory()).is_ok());
        assert!(starvation.note(at(2499), no_memory()).is_ok());
        let error = starvation.note(at(2500), no_memory()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn starvation_at_the_end_of_a_measurement_has_its_error() {
        let mut starvation = Starvation::default();
        starvation.note(at(0), no_memory()).unwrap();
        assert!(starvation.is_going_on());
        assert_eq!(starvation.take().map(|error| error.kind()), Some(io::ErrorKind::OutOfMemory));
        starvation.note(at(5), no_memory()).unwrap();
        starvation.end();
        assert!(!starvation.is_going_on() && starvation.take().is_none());
    }
}
