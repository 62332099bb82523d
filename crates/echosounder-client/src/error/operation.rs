//! The operations that an error names.

/// An operation on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Create a socket and connect it.
    Connect,
    /// Send on a connected socket.
    Send,
    /// Receive on a connected socket.
    Receive,
    /// Receive from the error queue of a socket.
    ReceiveErrors,
    /// Wait for an event of the socket.
    Wait,
    /// Prepare the socket before it is used.
    Prepare,
    /// Half-close the connection.
    ShutDown,
    /// Bind the socket to a local address.
    Bind,
    /// Look up the address of a name.
    Resolve,
}

impl Operation {
    /// Returns the words for it in a message, after "cannot" and before the object.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect to",
            Self::Send => "send to",
            Self::Receive => "receive from",
            Self::ReceiveErrors => "receive errors of",
            Self::Wait => "wait for",
            Self::Prepare => "prepare",
            Self::ShutDown => "shut down",
            Self::Bind => "bind",
            Self::Resolve => "resolve",
        }
    }
}
