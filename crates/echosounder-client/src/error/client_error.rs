//! The error of the client's operations.

use std::fmt;
use std::io;

use echosounder_proto::FailureKind;
use echosounder_socket::{Address, Error};

use super::classify::{Class, classify, is_out_of_ports};
use super::operation::Operation;

/// How many failures of an endpoint's addresses a message names; the others are counted.
const NAMED_MAX: usize = 3;

/// Why an operation on a peer has failed.
///
/// It displays the operation and its object, and the reason is its source. The word of a failure,
/// such as `REFUSED`, is [`failure_kind`](Self::failure_kind).
/// [`Peer`](crate::Peer) has examples.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The peer has failed, or the network on the way to it. The text is that of the [`Error`], and
    /// so is the source.
    Peer(FailureKind, Error),
    /// Every address of the endpoint has failed; these are the failures, in the order in which they
    /// happened.
    AllAddresses(Vec<Self>),
    /// The operation was stopped.
    Stopped,
    /// This machine lacks the address family.
    FamilyAbsent(Error),
    /// This machine does not permit the operation, or lacks a resource for it.
    Local(Error),
    /// What was given as the target is no endpoint.
    Target(Error),
    /// The options contradict each other or the transport of the target.
    Options(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(_, error) | Self::FamilyAbsent(error) | Self::Local(error) | Self::Target(error) => {
                error.fmt(f)
            }
            Self::AllAddresses(failures) => f.write_str(&sentences(failures, sentence)),
            Self::Stopped => f.write_str("interrupted"),
            Self::Options(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Peer(_, error) | Self::FamilyAbsent(error) | Self::Local(error) | Self::Target(error) => {
                error.source()
            }
            Self::AllAddresses(_) | Self::Stopped | Self::Options(_) => None,
        }
    }
}

/// Keeps the kind of the system's error. The inner error is this one, and displays the reason.
impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        Self::new(error.kind(), error.with_reason())
    }
}

/// Returns the text of an error, with the word of its [`FailureKind`] before the failure of each
/// address.
pub fn with_failure_kinds(error: &ClientError) -> String {
    match error {
        ClientError::Peer(kind, error) => format!("{kind}: {error}"),
        ClientError::AllAddresses(failures) => sentences(failures, |failure| match failure {
            ClientError::Peer(kind, _) => format!("{kind}: {}", sentence(failure)),
            failure => sentence(failure),
        }),
        error => error.to_string(),
    }
}

/// Making an error.
impl ClientError {
    /// Returns the error of a target that is no endpoint.
    pub(crate) fn target(cause: io::Error) -> Self {
        Self::Target(Error::new("use", &"the target", cause))
    }

    /// Returns the form of the error for an `io::Error`: it displays the reason, rather than
    /// returning it as the source.
    pub(crate) fn with_reason(self) -> Self {
        match self {
            Self::Peer(kind, error) => Self::Peer(kind, error.with_reason()),
            Self::FamilyAbsent(error) => Self::FamilyAbsent(error.with_reason()),
            Self::Local(error) => Self::Local(error.with_reason()),
            Self::Target(error) => Self::Target(error.with_reason()),
            error @ (Self::AllAddresses(_) | Self::Stopped | Self::Options(_)) => error,
        }
    }

    /// Returns the error of an operation on `object`, which is at `address`.
    pub(crate) fn new(
        operation: Operation,
        object: &dyn fmt::Display,
        address: &Address,
        cause: io::Error,
    ) -> Self {
        let class = classify(operation, &cause, address);
        if class == Class::Local && is_out_of_ports(operation, &cause, address) {
            return Self::no_port(operation, object);
        }
        let error = Error::new(operation.as_str(), object, explained(class, cause)).with_address(address);
        match class {
            Class::Peer(kind) => Self::Peer(kind, error),
            Class::FamilyAbsent => Self::FamilyAbsent(error),
            Class::Local => Self::Local(error),
        }
    }

    /// Returns the error of an operation that needs a local port when none is free.
    pub(crate) fn no_port(operation: Operation, object: &dyn fmt::Display) -> Self {
        let cause = io::Error::new(io::ErrorKind::AddrNotAvailable, "no local port is free");
        Self::Local(Error::new(operation.as_str(), object, cause))
    }

    /// Combines the failures of several addresses. A single failure is returned itself.
    pub(crate) fn combine(mut failures: Vec<Self>) -> Self {
        failures.dedup_by_key(|failure| sentence(failure));
        match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                Self::AllAddresses(failures)
            }
        }
    }

    /// Returns the error of an operation whose time is over.
    pub(crate) fn timeout(operation: Operation, object: &dyn fmt::Display) -> Self {
        Self::Peer(
            FailureKind::Timeout,
            Error::new(operation.as_str(), object, io::ErrorKind::TimedOut.into()),
        )
    }
}

/// What an error is about.
impl ClientError {
    /// Returns how the peer has failed, or `None` if this machine has failed: then nothing is known
    /// about the peer.
    pub fn failure_kind(&self) -> Option<FailureKind> {
        match self {
            Self::Peer(kind, _) => Some(*kind),
            Self::AllAddresses(failures) if failures.iter().any(Self::is_local) => None,
            // The last address is the one that the others fell back to.
            Self::AllAddresses(failures) => failures.iter().rev().find_map(Self::failure_kind),
            Self::FamilyAbsent(_) | Self::Local(_) | Self::Stopped | Self::Target(_) | Self::Options(_) => {
                None
            }
        }
    }

    /// Returns the kind of the system's error; of the last one if several addresses have failed.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Peer(_, error) | Self::FamilyAbsent(error) | Self::Local(error) | Self::Target(error) => {
                error.kind()
            }
            Self::AllAddresses(failures) => failures.last().map_or(io::ErrorKind::Other, Self::kind),
            Self::Stopped => io::ErrorKind::Interrupted,
            Self::Options(_) => io::ErrorKind::InvalidInput,
        }
    }

    /// Returns whether the operation has failed because this machine lacks the address family.
    pub fn is_family_absent(&self) -> bool {
        match self {
            Self::FamilyAbsent(_) => true,
            Self::AllAddresses(failures) => {
                !failures.is_empty() && failures.iter().all(Self::is_family_absent)
            }
            Self::Peer(..) | Self::Stopped | Self::Local(_) | Self::Target(_) | Self::Options(_) => false,
        }
    }

    /// Returns whether this machine has failed.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::AllAddresses(failures) => failures.iter().any(Self::is_local),
            Self::Peer(..) | Self::Stopped | Self::FamilyAbsent(_) | Self::Target(_) | Self::Options(_) => {
                false
            }
        }
    }
}

/// Returns the kernel's error, or a clearer one where the kernel's error misleads.
fn explained(class: Class, cause: io::Error) -> io::Error {
    match (class, cause.kind()) {
        (Class::Peer(FailureKind::Unreachable), kind @ io::ErrorKind::InvalidInput) => {
            io::Error::new(kind, "a route discards what is sent there (blackhole)")
        }
        _ => cause,
    }
}

/// Returns the first failures by their `sentence`, and the number of the others.
fn sentences(failures: &[ClientError], sentence: impl Fn(&ClientError) -> String) -> String {
    let named: Vec<String> = failures.iter().take(NAMED_MAX).map(sentence).collect();
    match failures.len().saturating_sub(NAMED_MAX) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}

/// Returns a failure with its causes.
fn sentence(failure: &ClientError) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host() -> Address {
        (Ipv4Addr::LOCALHOST, 7).into()
    }

    fn of(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn resources_missing_on_this_machine_are_local_failures() {
        for errno in [99, 98, 11] {
            let error = ClientError::new(Operation::Connect, &"udp://127.0.0.1:7", &host(), of(errno));
            assert_eq!(sentence(&error), "cannot connect to udp://127.0.0.1:7: no local port is free");
            assert_eq!(error.failure_kind(), None);
        }
        let too_long = ClientError::new(Operation::Send, &"udp://127.0.0.1:7", &host(), of(90));
        assert!(too_long.is_local());
        let forbidden = ClientError::new(Operation::Send, &"udp://127.0.0.1:7", &host(), of(1));
        assert!(forbidden.is_local());
    }

    #[test]
    fn first_three_failures_are_named_and_the_others_counted() {
        let refused = |host: &str| ClientError::new(Operation::Connect, &host, &self::host(), of(111));
        let all =
            |count: usize| ClientError::combine((0..count).map(|n| refused(&format!("h{n}"))).collect());
        let text = |error: &ClientError| error.to_string();
        assert_eq!(all(1).failure_kind(), Some(FailureKind::Refused));
        assert_eq!(text(&all(3)).matches("cannot connect to h").count(), 3);
        assert!(!text(&all(3)).contains("REFUSED"));
        assert_eq!(with_failure_kinds(&all(3)).matches("REFUSED: cannot connect to h").count(), 3);
        assert!(!text(&all(3)).contains("more"));
        assert!(text(&all(16)).ends_with("(os error 111); and 13 more"), "{}", all(16));
        // The same failure again is one failure.
        assert_eq!(ClientError::combine(vec![refused("h"), refused("h")]).to_string(), "cannot connect to h");
    }

    #[test]
    fn local_failure_at_one_address_hides_the_failure_of_the_peer() {
        let call = |errno| ClientError::new(Operation::Connect, &format!("h{errno}"), &host(), of(errno));
        let both = ClientError::combine(vec![call(111), call(99)]);
        assert!(both.is_local() && both.failure_kind().is_none());
        // An absent family says nothing about the other addresses.
        assert_eq!(
            ClientError::combine(vec![call(97), call(111)]).failure_kind(),
            Some(FailureKind::Refused)
        );
        let absent = ClientError::combine(vec![call(97), call(93)]);
        assert!(absent.is_family_absent() && !absent.is_local());
    }
}
