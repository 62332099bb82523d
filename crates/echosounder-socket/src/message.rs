//! Messages of sendmsg(2) and recvmsg(2), and their flags.

use std::io::{self, IoSlice};

use crate::address::Address;
use crate::control::{ControlMessage, SendControl};

/// The MSG_ flags of send(2) and recv(2): how to send or receive a message, or how it was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessageFlags(pub i32);

impl MessageFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Control messages were lost because the buffer was too small.
    pub const CTRUNC: Self = Self(libc::MSG_CTRUNC);
    /// Do not wait, even if the socket has a timeout.
    pub const DONTWAIT: Self = Self(libc::MSG_DONTWAIT);
    /// The end of a record.
    pub const EOR: Self = Self(libc::MSG_EOR);
    /// Receive from the error queue. Such a receive never waits.
    pub const ERRQUEUE: Self = Self(libc::MSG_ERRQUEUE);
    /// More data follows at once.
    pub const MORE: Self = Self(libc::MSG_MORE);
    /// Urgent data. In a TIPC group: a member has joined or left.
    pub const OOB: Self = Self(libc::MSG_OOB);
    /// Leave the received data in the queue.
    pub const PEEK: Self = Self(libc::MSG_PEEK);
    /// Received: the message was longer than the buffer. Requested: return the length of the whole
    /// message.
    pub const TRUNC: Self = Self(libc::MSG_TRUNC);
    /// Wait until the buffer is full.
    pub const WAITALL: Self = Self(libc::MSG_WAITALL);

    /// Returns whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for MessageFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A message that [`Socket::recv_msg`] has received.
#[derive(Debug)]
pub struct Message {
    /// Number of bytes received into the buffers. With [`MessageFlags::TRUNC`] requested, the
    /// length of the message, which may exceed that of the buffers.
    pub len: usize,
    /// The source address. The kernel reports none on most connections; it is then
    /// [`Address::Unspecified`], or [`UnixName::Unnamed`] over AF_UNIX.
    pub from: Address,
    /// The control messages received with it.
    pub control: Vec<ControlMessage>,
    /// The flags that the kernel has set.
    pub flags: MessageFlags,
}

/// A message for [`Socket::send_many`].
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The bytes of the message, from one or more buffers.
    pub buffers: &'a [IoSlice<'a>],
    /// The control messages to send with it.
    pub control: &'a [SendControl<'a>],
    /// The destination; `None` for the peer of a connected socket.
    pub to: Option<&'a Address>,
}

/// An error of a send that had to send more.
#[derive(Debug, thiserror::Error)]
#[error("sent {sent} bytes")]
pub struct Unfinished {
    /// Number of bytes sent before the error.
    pub sent: u64,
    /// The kernel's reason, or a timeout.
    pub source: io::Error,
}

impl From<Unfinished> for io::Error {
    fn from(error: Unfinished) -> Self {
        error.source
    }
}
