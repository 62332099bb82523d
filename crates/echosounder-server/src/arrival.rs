//! A datagram that has arrived, beside its bytes.

use echosounder_proto::Sender;
use echosounder_socket::Address;
use echosounder_socket::internal::Received;

use crate::sender::is_to_group;

/// What is known about a datagram beside its bytes.
pub(crate) struct Arrival {
    pub(crate) received: Received,
    pub(crate) peer: Address,
    /// The address that it was sent to, if that is not the one of the socket.
    pub(crate) destination: Option<Address>,
    pub(crate) sender: Sender,
}

impl Arrival {
    /// Returns the address that it was sent to. `socket` is the one of the socket.
    pub(crate) fn local<'a>(&'a self, socket: &'a Address) -> &'a Address {
        self.destination.as_ref().unwrap_or(socket)
    }

    /// Returns the user who sent it, if the kernel attests one.
    pub(crate) fn user(&self) -> Option<u32> {
        self.received.credentials.map(|sender| sender.uid)
    }

    /// Returns whether it was sent to several sockets.
    pub(crate) fn is_to_group(&self) -> bool {
        is_to_group(&self.received, &self.peer)
    }
}
