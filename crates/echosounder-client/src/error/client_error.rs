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
/// [`Peer`](crate::Peer) has examples.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The peer has failed, or the network on the way to it.
    #[error("{0}")]
    Peer(FailureKind, #[source] Error),
    /// Every address of the endpoint has failed; these are the failures, in the order in which they
    /// happened.
    #[error("{}", sentences(.0))]
    AllAddresses(Vec<Self>),
    /// The operation was stopped.
    #[error("interrupted")]
    Stopped,
    /// This machine lacks the address family.
    #[error(transparent)]
    FamilyAbsent(Error),
    /// This machine does not permit the operation, or lacks a resource for it.
    #[error(transparent)]
    Local(Error),
    /// What was given as the target is no endpoint.
    #[error("cannot use the target")]
    Target(#[source] io::Error),
    /// The options contradict each other or the transport of the target.
    #[error("{0}")]
    Options(String),
}

/// Keeps the kind of the system's error; the error itself is the inner error.
impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl ClientError {
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
            Self::Peer(_, error) | Self::FamilyAbsent(error) | Self::Local(error) => error.cause().kind(),
            Self::AllAddresses(failures) => failures.last().map_or(io::ErrorKind::Other, Self::kind),
            Self::Stopped => io::ErrorKind::Interrupted,
            Self::Target(error) => error.kind(),
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

/// Returns the first failures with their causes, and the number of the others.
fn sentences(failures: &[ClientError]) -> String {
    let named: Vec<String> = failures.iter().take(NAMED_MAX).map(sentence).collect();
    match failures.len().saturating_sub(NAMED_MAX) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}

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
        assert_eq!(text(&all(3)).matches("REFUSED: cannot connect to h").count(), 3);
        assert!(!text(&all(3)).contains("more"));
        assert!(text(&all(16)).ends_with("(os error 111); and 13 more"), "{}", all(16));
        // The same failure again is one failure.
        assert_eq!(ClientError::combine(vec![refused("h"), refused("h")]).to_string(), "REFUSED");
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
