//! What a server tells of itself while it works.

use std::io;

use echosounder_socket::Address;

use crate::counters::DisconnectReason;

/// Something that happened, told as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent<'a> {
    /// A connection was accepted.
    Connected {
        /// Who connected.
        peer: &'a Address,
    },
    /// A message was answered. Its bytes are a stranger's: escape them before they are shown.
    Message {
        /// Who said it.
        peer: &'a Address,
        /// What was said.
        bytes: &'a [u8],
    },
    /// A connection has ended.
    Closed {
        /// Who had connected.
        peer: &'a Address,
        /// How many of its messages were answered.
        messages: u64,
        /// What ended it, unless it ended in good order.
        error: Option<&'a io::Error>,
        /// Why we ended it, if we did.
        cut: Option<DisconnectReason>,
    },
    /// Something did not work, and the server goes on.
    Error {
        /// What it was doing.
        operation: &'static str,
        /// Why it did not work.
        error: &'a io::Error,
    },
}

/// Who is told of events. It is called in the middle of the work, so it must neither wait nor fail.
pub trait Observer {
    /// Takes note of an event.
    fn observe(&mut self, event: ServerEvent<'_>);

    /// Whether it wants each message; telling them costs more than answering them.
    fn wants_messages(&self) -> bool;
}

/// Nobody is told anything.
impl Observer for () {
    fn observe(&mut self, _: ServerEvent<'_>) {}

    fn wants_messages(&self) -> bool {
        false
    }
}
