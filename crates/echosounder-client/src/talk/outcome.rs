//! How a conversation or a pipe ends.

use std::io;

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
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// Keeps the kind of the system's error; the error itself is the inner error.
impl From<TalkError> for io::Error {
    fn from(error: TalkError) -> Self {
        let kind = match &error {
            TalkError::Peer(error) => error.kind(),
            TalkError::Input(error) | TalkError::Output(error) => error.kind(),
        };
        Self::new(kind, error)
    }
}
