//! A datagram of a batch.

use std::fmt;
use std::iter::{FusedIterator, once};
use std::ops::Range;
use std::time::SystemTime;

use crate::address::Address;
use crate::control::{ControlMessage, ExtendedError, PacketInfo, RawControl, SCM_PIDFD};
use crate::credentials::Credentials;
use crate::message::MessageFlags;
use crate::sys::batch::Slots;

/// A datagram that a [`Batch`](crate::Batch) has received: its bytes, source, flags and control
/// messages.
///
/// The control messages are decoded by each call of a method that returns them.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    slots: &'a Slots,
    unnamed_sender: &'a Address,
    index: usize,
}

impl<'a> Datagram<'a> {
    pub(crate) fn new(slots: &'a Slots, unnamed_sender: &'a Address, index: usize) -> Self {
        Self { slots, unnamed_sender, index }
    }

    /// Returns the bytes, without those that did not fit the buffer.
    pub fn bytes(&self) -> &'a [u8] {
        self.slots.bytes(self.index)
    }

    /// Returns the length of the whole datagram in bytes, if [`MessageFlags::TRUNC`] was requested;
    /// otherwise that of [`bytes`](Self::bytes).
    pub fn full_len(&self) -> usize {
        self.slots.kernel_len(self.index)
    }

    /// Returns the source; `None` if the kernel reports none, as on most connections. A UNIX socket
    /// without a name is [`UnixName::Unnamed`](crate::family::unix::UnixName::Unnamed).
    pub fn from(&self) -> Option<Address> {
        let name = self.slots.name(self.index);
        let address = if name.len() == 0 { self.unnamed_sender.clone() } else { Address::from(name) };
        Some(address).filter(|address| *address != Address::Unspecified)
    }

    /// Returns the flags that the kernel has set.
    pub fn flags(&self) -> MessageFlags {
        MessageFlags::from_bits_retain(self.slots.flags(self.index))
    }

    /// Returns whether the datagram was longer than the buffer: [`MessageFlags::TRUNC`].
    pub fn is_truncated(&self) -> bool {
        self.flags().contains(MessageFlags::TRUNC)
    }

    /// Returns whether control messages were lost because their space was too small:
    /// [`MessageFlags::CTRUNC`].
    pub fn is_control_truncated(&self) -> bool {
        self.flags().contains(MessageFlags::CTRUNC)
    }

    /// Returns the datagrams that the kernel has received as one (UDP_GRO, udp(7)), in order. Each
    /// has [`segment_size`](Self::segment_size) of the [`bytes`](Self::bytes); the last may be
    /// shorter. Without UDP_GRO there is one. `None` if the size is unknown because control messages
    /// were lost ([`is_control_truncated`](Self::is_control_truncated)): give the batch space for
    /// [`ControlSpace::SEGMENT_SIZE`](crate::ControlSpace::SEGMENT_SIZE) beside the others.
    ///
    /// The buffer must hold all of them, up to 65,535 bytes. If it does not, the last one is cut and
    /// those after it are lost ([`is_truncated`](Self::is_truncated)).
    ///
    /// ```
    /// use echosounder_socket::{Batch, ControlSpace, Family, MessageFlags, Protocol, SendControl, Socket, Type};
    /// use echosounder_socket::option;
    /// use std::io::IoSlice;
    /// use std::net::Ipv4Addr;
    ///
    /// let receiver = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// receiver.bind((Ipv4Addr::LOCALHOST, 0))?;
    /// receiver.set_option(option::UDP_GRO, true)?;
    /// let sender = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// sender.connect(receiver.local_addr()?)?;
    /// let cut = [SendControl::UdpSegment(4)];
    /// sender.send_msg(&[IoSlice::new(b"ahoymate!")], &cut, None, MessageFlags::NONE)?;
    ///
    /// let mut batch = Batch::with_control(8, 65_535, ControlSpace::SEGMENT_SIZE);
    /// receiver.recv_many(&mut batch)?;
    /// let datagrams: Vec<&[u8]> = batch.iter().filter_map(|datagram| datagram.segments()).flatten().collect();
    /// assert_eq!(datagrams, [&b"ahoy"[..], b"mate", b"!"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "UDP_GRO")]
    pub fn segments(&self) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let (bytes, size) = (self.bytes(), self.segment_size());
        if size.is_none() && self.is_control_truncated() {
            return None;
        }
        // An empty datagram is one segment, too.
        let size = size.unwrap_or(bytes.len()).clamp(1, bytes.len().max(1));
        let (first, rest) = bytes.split_at(size.min(bytes.len()));
        Some(once(first).chain(rest.chunks(size)))
    }

    /// Returns the control messages, decoded.
    ///
    /// Descriptors are not among them: the batch has closed them.
    pub fn control(&self) -> impl Iterator<Item = ControlMessage> + use<'a> {
        self.raw_control().map(ControlMessage::decode)
    }

    /// Returns the control messages as the kernel has written them.
    ///
    /// SCM_RIGHTS and SCM_PIDFD are not among them: the batch has closed their descriptors.
    pub fn raw_control(&self) -> impl Iterator<Item = RawControl<'a>> + use<'a> {
        RawControl::walk(self.slots.control(self.index))
            .filter(|raw| raw.level != libc::SOL_SOCKET || ![libc::SCM_RIGHTS, SCM_PIDFD].contains(&raw.kind))
    }

    /// Returns the destination address and interface: [`ControlMessage::PacketInfo`].
    #[doc(alias = "IP_PKTINFO")]
    pub fn packet_info(&self) -> Option<PacketInfo> {
        self.control().find_map(|control| control.as_packet_info())
    }

    /// Returns the arrival time by the system clock: [`ControlMessage::Timestamp`], or the software
    /// time of [`ControlMessage::Timestamping`].
    #[doc(alias = "SO_TIMESTAMP")]
    pub fn timestamp(&self) -> Option<SystemTime> {
        self.control().find_map(|control| control.as_time())
    }

    /// Returns the time to live or hop limit on arrival: [`ControlMessage::Ttl`],
    /// [`ControlMessage::HopLimit`]. An IPv6 socket that receives IPv4 too needs
    /// [`IP_RECVTTL`](crate::option::IP_RECVTTL) beside
    /// [`IPV6_RECVHOPLIMIT`](crate::option::IPV6_RECVHOPLIMIT).
    #[doc(alias = "hop_limit")]
    pub fn ttl(&self) -> Option<u8> {
        self.control().find_map(|control| control.as_ttl())
    }

    /// Returns the type of service or traffic class on arrival, the DSCP in the upper 6 bits, the
    /// ECN in the lower 2: [`ControlMessage::Tos`], [`ControlMessage::TrafficClass`].
    /// An IPv6 socket that receives IPv4 too needs [`IP_RECVTOS`](crate::option::IP_RECVTOS) beside
    /// [`IPV6_RECVTCLASS`](crate::option::IPV6_RECVTCLASS).
    #[doc(alias = "traffic_class")]
    pub fn tos(&self) -> Option<u8> {
        self.control().find_map(|control| control.as_tos())
    }

    /// Returns the sending process: [`ControlMessage::Credentials`].
    #[doc(alias = "SO_PASSCRED")]
    pub fn credentials(&self) -> Option<Credentials> {
        self.control().find_map(|control| control.as_credentials())
    }

    /// Returns the number of datagrams that the socket has dropped so far, if it has dropped any:
    /// [`ControlMessage::Overflow`]. It wraps around.
    #[doc(alias = "SO_RXQ_OVFL")]
    pub fn overflow(&self) -> Option<u32> {
        self.control().find_map(|control| control.as_overflow())
    }

    /// Returns the error, if the message is from the error queue: [`ControlMessage::Error`].
    #[doc(alias = "IP_RECVERR")]
    pub fn error(&self) -> Option<ExtendedError> {
        self.control().find_map(|control| control.as_error().cloned())
    }

    /// Returns the length in bytes of each of the datagrams that were received as one; the last may
    /// be shorter: [`ControlMessage::UdpGro`]. `None` for a single datagram, or if the control message
    /// was lost ([`is_control_truncated`](Self::is_control_truncated)).
    #[doc(alias = "UDP_GRO")]
    pub fn segment_size(&self) -> Option<usize> {
        self.control().find_map(|control| control.as_segment_size())
    }
}

impl fmt::Debug for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("bytes", &format_args!("b\"{}\"", self.bytes().escape_ascii()))
            .field("from", &self.from())
            .field("flags", &self.flags())
            .field("control", &self.control().collect::<Vec<_>>())
            .finish()
    }
}

/// The datagrams of a [`Batch`](crate::Batch): the iterator that
/// [`Batch::iter`](crate::Batch::iter) returns.
#[derive(Clone, Debug)]
pub struct Datagrams<'a> {
    slots: &'a Slots,
    unnamed_sender: &'a Address,
    indices: Range<usize>,
}

impl<'a> Datagrams<'a> {
    pub(crate) fn new(slots: &'a Slots, unnamed_sender: &'a Address, count: usize) -> Self {
        Self { slots, unnamed_sender, indices: 0..count }
    }
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        Some(Datagram::new(self.slots, self.unnamed_sender, self.indices.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl DoubleEndedIterator for Datagrams<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(Datagram::new(self.slots, self.unnamed_sender, self.indices.next_back()?))
    }
}

impl ExactSizeIterator for Datagrams<'_> {}

impl FusedIterator for Datagrams<'_> {}
