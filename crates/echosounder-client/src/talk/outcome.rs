//! How a conversation or a pipe ends.

use std::io;

use echosounder_socket::Error;

use crate::error::ClientError;

/// Why a conversation or a pipe has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TalkEnd {
    /// The input has ended.
    EndOfInput,
    /// An empty line was typed.
    EmptyLine,
    /// The peer has closed the connection.
    Peer,
    /// The stop token was stopped.
    Stopped,
    /// The time of the [`WaitLimit`](crate::WaitLimit) is over.
    TimeLimit,
}

/// Why a conversation or a pipe has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TalkError {
    /// The peer or the network has failed.
    #[error(transparent)]
    Peer(#[from] ClientError),
    /// The input cannot be read.
    #[error(transparent)]
    Input(Error),
    /// The output cannot be written.
    #[error(transparent)]
    Output(Error),
}

impl TalkError {
    /// Returns the error of a failed read of the input.
    pub(crate) fn input(cause: io::Error) -> Self {
        Self::Input(Error::new("read", &"the input", cause))
    }

    /// Returns the error of a failed write of the output.
    pub(crate) fn output(cause: io::Error) -> Self {
        Self::Output(Error::new("write", &"the output", cause))
    }
}

/// Keeps the kind of the system's error. The inner error is this one, and displays the reason.
impl From<TalkError> for io::Error {
    fn from(error: TalkError) -> Self {
        let (kind, error) = match error {
            TalkError::Peer(error) => (error.kind(), TalkError::Peer(error.with_reason())),
            TalkError::Input(error) => (error.kind(), TalkError::Input(error.with_reason())),
            TalkError::Output(error) => (error.kind(), TalkError::Output(error.with_reason())),
        };
        Self::new(kind, error)
    }
}
