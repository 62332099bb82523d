//! Waiting that ends.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen.
///
/// A test that passes does not wait for it, so it is long enough for a machine whose cores are all
/// busy with other work.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long [`wait_for`] pauses before it looks again.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `look` returns a value, and returns it.
///
/// Use it only for a state without an event of its own, such as an entry in `/proc`.
///
/// # Panics
///
/// If `look` has returned `None` for [`PATIENCE`]; the message says that `what` did not happen.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a bound on the time that a test waits is real time")]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        thread::park_timeout(PAUSE);
    }
}

/// Waits until a condition holds, as [`wait_for`] does.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Repeats a system call as long as it fails with EINTR.
///
/// The kernel does not restart calls on a socket that has a timeout: signal(7).
///
/// # Errors
///
/// The first other error.
pub fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_for_returns_the_first_value() {
        let mut looks = 0..3;
        assert_eq!(wait_for("three looks", || looks.next().filter(|&look| look == 2)), 2);
        let mut looks = 0..3;
        wait_until("two looks", || looks.next() == Some(1));
        assert_eq!(looks.next(), Some(2));
    }

    #[test]
    fn interrupted_calls_are_repeated_and_other_errors_returned() {
        let mut results = [Err(ErrorKind::Interrupted), Err(ErrorKind::TimedOut)].into_iter();
        let error = retry_interrupted::<()>(|| results.next().unwrap().map_err(io::Error::from)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
