//! Why a load was refused or failed.

use std::io;

use echosounder_proto::NUMBERED_MIN;
use echosounder_socket::Error;

use super::options::REMOTE_RATE_MAX;
use crate::error::ClientError;

/// Why a load has no report.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The server could not be reached, or stopped replying.
    #[error(transparent)]
    Connect(#[from] ClientError),
    /// A datagram is too short to hold its number, so its reply could not be matched.
    #[error("the minimum message size on datagram sockets is {NUMBERED_MIN} bytes, for the sequence number")]
    MessageTooShort,
    /// The address is a multicast or broadcast address, at which many hosts would receive the load.
    #[error("cannot connect to {0}: it is a multicast or broadcast address")]
    Multicast(String),
    /// The messages in flight would take more than a gibibyte of memory.
    #[error("{messages} messages of up to {bytes} bytes in flight need more than 1 GiB of memory")]
    TooMuchInFlight {
        /// Messages in flight on all connections.
        messages: usize,
        /// The maximum size of a message, in bytes.
        bytes: usize,
    },
    /// The rate exceeds [`REMOTE_RATE_MAX`], and the server is on another host.
    #[error("{0} is another host: the maximum rate is {max} messages per second", max = REMOTE_RATE_MAX)]
    RemoteRate(String),
    /// The peer sent data, but no reply that contains a request.
    #[error("cannot measure {0}: a reply does not contain its request (not an echo server?)")]
    NotAnEcho(String),
    /// The options contradict each other, or exceed a maximum.
    #[error("{0}")]
    Options(String),
    /// This machine failed.
    #[error(transparent)]
    Local(Error),
}

/// Keeps the kind of the system's error. The inner error is this one, and displays the reason.
impl From<LoadError> for io::Error {
    fn from(error: LoadError) -> Self {
        let kind = match &error {
            LoadError::Connect(error) => error.kind(),
            LoadError::Local(error) => error.kind(),
            LoadError::NotAnEcho(_) => io::ErrorKind::InvalidData,
            LoadError::MessageTooShort
            | LoadError::Multicast(_)
            | LoadError::TooMuchInFlight { .. }
            | LoadError::Options(_)
            | LoadError::RemoteRate(_) => io::ErrorKind::InvalidInput,
        };
        let error = match error {
            LoadError::Connect(error) => LoadError::Connect(error.with_reason()),
            LoadError::Local(error) => LoadError::Local(error.with_reason()),
            error => error,
        };
        Self::new(kind, error)
    }
}
