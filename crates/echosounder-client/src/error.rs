//! How a call fails: by the peer, in one of five words, or by this machine.

use std::fmt;
use std::io;

use echosounder_socket::{Address, Error, is_family_absent, is_feature_absent, is_unreachable};

/// How a peer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nobody listens there.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// There is no way there.
    Unreachable,
    /// The name has no address.
    Dns,
    /// The connection was cut off.
    Closed,
}

impl Word {
    /// How the peer has failed, if an error of a socket that is connected is its doing.
    pub(crate) fn of(error: &io::Error, address: &Address) -> Option<Self> {
        word("", error, address)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "REFUSED",
            Self::Timeout => "TIMEOUT",
            Self::Unreachable => "UNREACHABLE",
            Self::Dns => "DNS",
            Self::Closed => "CLOSED",
        })
    }
}

/// Why somebody could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The peer failed.
    #[error("{0}")]
    Peer(Word, #[source] Error),
    /// Every address of a name failed, each in its way.
    #[error("{}", sentences(.0))]
    Everywhere(Vec<Self>),
    /// Somebody wanted it to end.
    #[error("interrupted")]
    Interrupted,
    /// This machine does not have the address family.
    #[error(transparent)]
    Absent(Error),
    /// This machine does not allow it, or has run out of something.
    #[error(transparent)]
    Local(Error),
}

impl CallError {
    /// Says whose fault a failed operation on `object` is.
    pub(crate) fn of(
        operation: &'static str,
        object: &dyn fmt::Display,
        address: &Address,
        cause: io::Error,
    ) -> Self {
        let word = word(operation, &cause, address);
        let absent = is_family_absent(&cause);
        let error = Error::new(operation, object, cause);
        match word {
            Some(word) => Self::Peer(word, error),
            None if absent => Self::Absent(error),
            None => Self::Local(error),
        }
    }

    /// All of these failures: one of them if there is only one.
    pub(crate) fn all(mut failures: Vec<Self>) -> Self {
        failures.dedup_by_key(|failure| sentence(failure));
        match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                Self::Everywhere(failures)
            }
        }
    }

    /// Nothing came in time.
    pub(crate) fn timeout(operation: &'static str, object: &dyn fmt::Display) -> Self {
        Self::Peer(Word::Timeout, Error::new(operation, object, io::ErrorKind::TimedOut.into()))
    }

    /// How the peer failed, if it was the peer.
    pub fn word(&self) -> Option<Word> {
        match self {
            Self::Peer(word, _) => Some(*word),
            // The last is what was left when all others had failed.
            Self::Everywhere(failures) => failures.iter().rev().find_map(Self::word),
            Self::Absent(_) | Self::Local(_) | Self::Interrupted => None,
        }
    }
}

/// Each failure and its causes, one after the other.
fn sentences(failures: &[CallError]) -> String {
    failures.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

fn sentence(failure: &CallError) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn word(operation: &str, error: &io::Error, address: &Address) -> Option<Word> {
    let by_path = matches!(address, Address::Unix(_));
    match error.kind() {
        // So TIPC says that nobody has the service, and VSOCK that nobody listens there.
        io::ErrorKind::HostUnreachable if matches!(address, Address::Tipc(_)) => Some(Word::Refused),
        io::ErrorKind::ConnectionReset if operation == "connect" && matches!(address, Address::Vsock(_)) => {
            Some(Word::Refused)
        }
        // A path where nothing is: nobody listens there.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Some(Word::Refused),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Some(Word::Timeout),
        // A filter on the way says no; of a path it is this machine that does.
        io::ErrorKind::PermissionDenied if !by_path => Some(Word::Unreachable),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Some(Word::Closed),
        _ if is_unreachable(error) => Some(Word::Unreachable),
        // No machine of that context id.
        _ if matches!(address, Address::Vsock(_)) && is_feature_absent(error) => Some(Word::Unreachable),
        _ => None,
    }
}
