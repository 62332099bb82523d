//! Messages of sendmsg(2) and recvmsg(2), and their flags.

use std::io::IoSlice;

use bitflags::bitflags;

use crate::address::Address;
use crate::control::{ControlMessage, SendControl};

bitflags! {
    /// The MSG_ flags of send(2) and recv(2): how to send or receive a message, or how it was
    /// received.
    ///
    /// A set of flags: combine them with `|`. Numbers that have no constant here are kept; create
    /// them with [`from_bits_retain`](Self::from_bits_retain).
    ///
    /// ```
    /// use echosounder_socket::MessageFlags;
    ///
    /// let flags = MessageFlags::PEEK | MessageFlags::DONTWAIT;
    /// assert!(flags.contains(MessageFlags::PEEK) && !flags.contains(MessageFlags::TRUNC));
    /// assert_eq!(format!("{flags:?}"), "MessageFlags(PEEK | DONTWAIT)");
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct MessageFlags: i32 {
        /// Send: urgent data, tcp(7). Received: the data is urgent; in a TIPC group, a member has
        /// joined or left.
        const OOB = libc::MSG_OOB;
        /// Receive: leave the data in the queue.
        const PEEK = libc::MSG_PEEK;
        /// Send: use no gateway, only directly connected networks.
        const DONTROUTE = libc::MSG_DONTROUTE;
        /// Received: control messages were lost because the buffer was too small.
        const CTRUNC = libc::MSG_CTRUNC;
        /// Received: the message was longer than the buffer. Receive: return the length of the
        /// whole message; on a TCP socket, discard the data instead of copying it (tcp(7)).
        const TRUNC = libc::MSG_TRUNC;
        /// Do not wait, even if the socket has a timeout.
        const DONTWAIT = libc::MSG_DONTWAIT;
        /// The end of a record.
        const EOR = libc::MSG_EOR;
        /// Receive: wait until the buffer is full.
        const WAITALL = libc::MSG_WAITALL;
        /// Send: the peer has replied recently, so its entry in the neighbour table is valid
        /// (arp(7)). Only datagram and raw sockets over IP have it.
        const CONFIRM = libc::MSG_CONFIRM;
        /// Receive: take the message from the error queue. Such a receive never waits.
        const ERRQUEUE = libc::MSG_ERRQUEUE;
        /// Send: do not raise SIGPIPE. This crate adds it to every send.
        const NOSIGNAL = libc::MSG_NOSIGNAL;
        /// Send: more data follows at once.
        const MORE = libc::MSG_MORE;
        /// [`recv_many`](crate::Socket::recv_many): wait for the first message only. This
        /// crate adds it to every such call.
        const WAITFORONE = libc::MSG_WAITFORONE;
        /// Send: transmit from the caller's pages without a copy, if the socket has the option
        /// SO_ZEROCOPY; since Linux 4.14. The pages must not change until
        /// the error queue reports the completion.
        const ZEROCOPY = libc::MSG_ZEROCOPY;
        /// Send: connect and carry the data in the SYN (TCP Fast Open, RFC 7413); since Linux 3.7.
        const FASTOPEN = libc::MSG_FASTOPEN;
        /// Receive: set close-on-exec for received descriptors. This crate adds it to every receive
        /// that can carry descriptors.
        const CMSG_CLOEXEC = libc::MSG_CMSG_CLOEXEC;

        // Flags of later kernels are kept.
        const _ = !0;
    }
}

impl MessageFlags {
    /// No flag: the same as [`empty`](Self::empty).
    pub const NONE: Self = Self::empty();
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
