//! Errors about earlier datagrams, as long as the server has not replied.

use std::io;
use std::time::Duration;

use crate::error::{ClientError, Operation};

/// How many reported errors prove that no server is there, and how long after the first of them. A
/// single ICMP message may be forged by anybody who knows the ports.
const BELIEVED_COUNT: u32 = 2;
const BELIEVED_AFTER: Duration = Duration::from_millis(200);

/// The reason why a thread of a load cannot go on.
#[derive(Debug)]
pub(super) enum Failure {
    /// An operation on a connected socket failed.
    Socket { operation: Operation, error: io::Error },
    /// A socket could not be created, or not be connected because of this machine.
    Connect(Box<ClientError>),
}

impl Failure {
    pub(super) fn connect(error: ClientError) -> Self {
        Self::Connect(Box::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Socket { operation: Operation::Wait, error }
    }
}

/// The errors that were reported since the last reply.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u32,
    /// When the first was reported, since the start.
    first: Duration,
    last: Option<Failure>,
}

impl Refusals {
    /// Adds an error.
    pub(super) fn add(&mut self, now: Duration, failure: Failure) {
        if self.count == 0 {
            self.first = now;
        }
        self.count += 1;
        self.last = Some(failure);
    }

    /// Forgets all errors: the server has replied.
    pub(super) fn clear(&mut self) {
        if self.count != 0 {
            *self = Self::default();
        }
    }

    /// Returns whether there was exactly one error.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }

    /// Returns whether the errors prove that no server is there.
    pub(super) fn is_believed(&self, now: Duration) -> bool {
        BELIEVED_COUNT <= self.count && self.first + BELIEVED_AFTER <= now
    }

    /// Takes the last error.
    pub(super) fn take_last(&mut self) -> Option<Failure> {
        self.last.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Failure {
        Failure::Socket { operation: Operation::Send, error: io::ErrorKind::ConnectionRefused.into() }
    }

    #[test]
    fn refusals_are_believed_when_there_are_several_for_a_while() {
        let mut refusals = Refusals::default();
        let at = Duration::from_millis;
        refusals.add(at(5), refusal());
        assert!(refusals.is_first() && !refusals.is_believed(at(1000)));
        refusals.add(at(100), refusal());
        assert!(!refusals.is_first() && !refusals.is_believed(at(204)));
        assert!(refusals.is_believed(at(205)));
        refusals.clear();
        assert!(!refusals.is_believed(at(1000)) && refusals.take_last().is_none());
    }
}
