//! Messages of sendmsg(2) and recvmsg(2), and their flags.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::SystemTime;

use bitflags::bitflags;

use crate::address::Address;
use crate::control::{ControlMessage, ExtendedError, PacketInfo, SendControl};
use crate::credentials::Credentials;

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
        /// Send: urgent data, tcp(7). Receive: take the urgent byte of a stream; such a receive never
        /// waits. Received: the data is urgent; in a TIPC group, a member has joined or left.
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
        /// Send: transmit from the caller's pages without a copy; since Linux 4.14. Only the unsafe
        /// [`Socket::send_msg_zerocopy`](crate::Socket::send_msg_zerocopy) takes it; other sends fail
        /// with `InvalidInput`, because the kernel reads the memory after the call.
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

/// A message that [`Socket::recv_msg`](crate::Socket::recv_msg) has received.
///
/// ```
/// use echosounder_socket::{ControlSpace, Family, MessageFlags, Protocol, Socket, Type, option};
/// use std::io::IoSliceMut;
/// use std::net::Ipv4Addr;
///
/// let receiver = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// receiver.bind((Ipv4Addr::LOCALHOST, 0))?;
/// receiver.set_option(option::IP_PKTINFO, true)?;
/// receiver.set_option(option::IP_RECVTTL, true)?;
/// receiver.set_option(option::SO_TIMESTAMPNS, true)?;
/// let sender = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// sender.send_to(b"ahoy", receiver.local_addr()?)?;
///
/// let mut buffer = [0; 16];
/// let message =
///     receiver.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::ALL, MessageFlags::NONE)?;
/// assert_eq!(message.len, 4);
/// assert_eq!(message.from.as_ref().and_then(|from| from.port()), sender.local_addr()?.port());
/// assert_eq!(message.packet_info().map(|info| info.destination), Some(Ipv4Addr::LOCALHOST.into()));
/// assert!(message.ttl().is_some_and(|ttl| 0 < ttl));
/// assert!(message.timestamp().is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Message {
    /// Number of bytes received into the buffers, never more than they hold. With
    /// [`MessageFlags::TRUNC`] on a TCP socket, the number of bytes discarded.
    pub len: usize,
    /// Length of the whole message, if [`MessageFlags::TRUNC`] was requested; otherwise the same as
    /// `len`.
    pub full_len: usize,
    /// The source address; `None` if the kernel reports none, as on most connections. A UNIX socket
    /// without a name is [`UnixName::Unnamed`](crate::family::unix::UnixName::Unnamed).
    pub from: Option<Address>,
    /// The control messages received with it.
    pub control: Vec<ControlMessage>,
    /// The flags that the kernel has set.
    pub flags: MessageFlags,
}

/// The control messages by what they carry. Each method returns the first of its type, and `None` if
/// there is none: if the option is off, or the control space was too small.
impl Message {
    /// Returns whether the message was longer than the buffers: [`MessageFlags::TRUNC`].
    pub fn is_truncated(&self) -> bool {
        self.flags.contains(MessageFlags::TRUNC)
    }

    /// Returns whether control messages were lost because the control space was too small:
    /// [`MessageFlags::CTRUNC`].
    pub fn is_control_truncated(&self) -> bool {
        self.flags.contains(MessageFlags::CTRUNC)
    }

    /// Returns the destination address and interface: [`ControlMessage::PacketInfo`].
    #[doc(alias = "IP_PKTINFO")]
    pub fn packet_info(&self) -> Option<PacketInfo> {
        self.control.iter().find_map(ControlMessage::as_packet_info)
    }

    /// Returns the arrival time by the system clock: [`ControlMessage::Timestamp`], or the software
    /// time of [`ControlMessage::Timestamping`].
    #[doc(alias = "SO_TIMESTAMP")]
    pub fn timestamp(&self) -> Option<SystemTime> {
        self.control.iter().find_map(ControlMessage::as_time)
    }

    /// Returns the time to live or hop limit on arrival: [`ControlMessage::Ttl`],
    /// [`ControlMessage::HopLimit`]. An IPv6 socket that receives IPv4 too needs
    /// [`IP_RECVTTL`](crate::option::IP_RECVTTL) beside
    /// [`IPV6_RECVHOPLIMIT`](crate::option::IPV6_RECVHOPLIMIT).
    #[doc(alias = "hop_limit")]
    pub fn ttl(&self) -> Option<u8> {
        self.control.iter().find_map(ControlMessage::as_ttl)
    }

    /// Returns the type of service or traffic class on arrival, the DSCP in the upper 6 bits, the
    /// ECN in the lower 2: [`ControlMessage::Tos`], [`ControlMessage::TrafficClass`].
    /// An IPv6 socket that receives IPv4 too needs [`IP_RECVTOS`](crate::option::IP_RECVTOS) beside
    /// [`IPV6_RECVTCLASS`](crate::option::IPV6_RECVTCLASS).
    #[doc(alias = "traffic_class")]
    pub fn tos(&self) -> Option<u8> {
        self.control.iter().find_map(ControlMessage::as_tos)
    }

    /// Returns the sending process: [`ControlMessage::Credentials`].
    #[doc(alias = "SO_PASSCRED")]
    pub fn credentials(&self) -> Option<Credentials> {
        self.control.iter().find_map(ControlMessage::as_credentials)
    }

    /// Returns a pidfd of the sending process: [`ControlMessage::Pidfd`].
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.control.iter().find_map(ControlMessage::as_pidfd)
    }

    /// Returns the error, if the message is from the error queue: [`ControlMessage::Error`].
    #[doc(alias = "IP_RECVERR")]
    pub fn error(&self) -> Option<&ExtendedError> {
        self.control.iter().find_map(ControlMessage::as_error)
    }

    /// Returns the number of datagrams that the socket has dropped so far, if it has dropped any:
    /// [`ControlMessage::Overflow`]. It wraps around.
    #[doc(alias = "SO_RXQ_OVFL")]
    pub fn overflow(&self) -> Option<u32> {
        self.control.iter().find_map(ControlMessage::as_overflow)
    }

    /// Returns the length in bytes of each of the datagrams that were received as one; the last may
    /// be shorter: [`ControlMessage::UdpGro`]. `None` for a single datagram.
    ///
    /// `buffer[..message.len].chunks(size)` are the datagrams.
    #[doc(alias = "UDP_GRO")]
    pub fn segment_size(&self) -> Option<usize> {
        self.control.iter().find_map(ControlMessage::as_segment_size)
    }

    /// Removes the received descriptors from the message and returns them:
    /// [`ControlMessage::Rights`].
    #[doc(alias = "SCM_RIGHTS")]
    pub fn take_rights(&mut self) -> Vec<OwnedFd> {
        let mut rights = Vec::new();
        self.control.retain_mut(|control| match control {
            ControlMessage::Rights(fds) => {
                rights.append(fds);
                false
            }
            _ => true,
        });
        rights
    }
}

/// The length of a message that [`Socket::recv_message`](crate::Socket::recv_message) has
/// received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MessageLen {
    /// Number of bytes received into the buffer, never more than it holds.
    pub len: usize,
    /// Length of the whole message.
    pub full_len: usize,
}

impl MessageLen {
    /// Returns whether the message was longer than the buffer.
    pub fn is_truncated(self) -> bool {
        self.len < self.full_len
    }
}

/// A message for [`Socket::send_many`](crate::Socket::send_many).
///
/// ```
/// use echosounder_socket::{Outgoing, SendControl};
/// use std::io::IoSlice;
/// use std::net::Ipv4Addr;
///
/// let parts = [IoSlice::new(b"in "), IoSlice::new(b"parts")];
/// let to = (Ipv4Addr::LOCALHOST, 21567).into();
/// let message = Outgoing::new(&parts).with_control(&[SendControl::Ttl(1)]).to(&to);
/// assert_eq!(message.to, Some(&to));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The bytes of the message, from one or more buffers.
    pub buffers: &'a [IoSlice<'a>],
    /// The control messages to send with it.
    pub control: &'a [SendControl<'a>],
    /// The destination; `None` for the peer of a connected socket.
    pub to: Option<&'a Address>,
}

impl<'a> Outgoing<'a> {
    /// Returns a message to the peer of a connected socket, without control messages.
    pub fn new(buffers: &'a [IoSlice<'a>]) -> Self {
        Self { buffers, control: &[], to: None }
    }

    /// Returns the message with these control messages.
    #[must_use]
    pub fn with_control(self, control: &'a [SendControl<'a>]) -> Self {
        Self { control, ..self }
    }

    /// Returns the message with this destination.
    #[must_use]
    pub fn to(self, to: &'a Address) -> Self {
        Self { to: Some(to), ..self }
    }
}
