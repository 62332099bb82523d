//! Many datagrams per system call: receive them with recvmmsg(2), reply to them with sendmmsg(2).

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::address::Address;
use crate::buffer::{IoBuffer, check_memory};
use crate::control::{ControlMessage, ControlSpace, PacketInfo, RawControl, put_traffic_class};
use crate::credentials::Credentials;
use crate::datagram::{Datagram, Datagrams};
use crate::family::tipc::TipcAddress;
use crate::message::MessageFlags;
use crate::raw_address::RawAddress;
use crate::sys::batch::{HEAD_MAX, Slots};

/// Maximum number of datagrams that the kernel cuts one send into: UDP_MAX_SEGMENTS before Linux
/// 6.9.
const SEGMENTS_MAX: usize = 64;

/// Maximum length of a segmented send: an IPv4 packet without its headers.
const GROUP_MAX: usize = 65_507;

/// Maximum length of a segment: an IPv6 packet on Ethernet without its headers. Most devices refuse
/// longer segments (EMSGSIZE).
const SEGMENT_MAX: usize = 1452;

/// Space for the control messages of a datagram, unless the caller chooses another.
const CONTROL: ControlSpace = ControlSpace::PACKET_INFO
    .plus(ControlSpace::OVERFLOW)
    .plus(ControlSpace::CREDENTIALS)
    .plus(ControlSpace::TIMESTAMP);

/// Buffers to receive several datagrams at once with
/// [`Socket::recv_many`](crate::Socket::recv_many).
///
/// The buffers are allocated once and reused by every receive. Each received datagram is a
/// [`Datagram`]: its bytes, its source, its flags and its control messages, which are decoded when
/// they are asked for. Descriptors that come with a datagram are closed: receive them with
/// [`Socket::recv_msg`](crate::Socket::recv_msg).
///
/// ```
/// use echosounder_socket::{Batch, ControlSpace, Family, Protocol, Socket, Type, option};
/// use std::net::Ipv4Addr;
///
/// let receiver = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// receiver.bind((Ipv4Addr::LOCALHOST, 0))?;
/// receiver.set_option(option::IP_RECVTTL, true)?;
/// let sender = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// sender.connect(receiver.local_addr()?)?;
/// sender.send(b"one")?;
/// sender.send(b"two")?;
///
/// // 32 datagrams of at most 2048 bytes, with space for one time to live each.
/// let mut batch = Batch::with_control(32, 2048, ControlSpace::TTL);
/// receiver.recv_many(&mut batch)?;
/// for datagram in &batch {
///     assert_eq!(datagram.bytes().len(), 3);
///     assert_eq!(datagram.from(), Some(sender.local_addr()?));
///     assert!(datagram.ttl().is_some_and(|ttl| 0 < ttl));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Batch {
    slots: Slots,
    received: usize,
    /// The address of senders for which the kernel reports none.
    unnamed_sender: Address,
    /// Indices of the datagrams to reply to, in ascending order.
    replies: Vec<usize>,
    /// The replies that each send carries. A field, to reuse the allocation.
    groups: Vec<Range<usize>>,
}

// The echo server replies to each datagram with the datagram's own bytes after a prefix. A reply is
// sent from the buffer that its request was received into; only the prefix is copied. These methods
// and this type are for that server alone.

/// The kernel's report about a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Whether the datagram was longer than its buffer.
    pub truncated: bool,
    /// Its destination, if the socket has the option [`IP_PKTINFO`](crate::option::IP_PKTINFO).
    pub packet_info: Option<PacketInfo>,
    /// Number of datagrams that the socket has dropped so far because its receive buffer was full,
    /// if it has the option [`SO_RXQ_OVFL`](crate::option::SO_RXQ_OVFL) and has dropped any. The
    /// number wraps around.
    pub overflows: Option<u32>,
    /// The sending process, if the socket has the option
    /// [`SO_PASSCRED`](crate::option::SO_PASSCRED).
    pub credentials: Option<Credentials>,
    /// The TIPC service that it was addressed to, if any.
    pub tipc_destination: Option<TipcAddress>,
    /// Its time of arrival since the Unix epoch, if the socket has the option
    /// [`SO_TIMESTAMPNS`](crate::option::SO_TIMESTAMPNS).
    pub timestamp: Option<Duration>,
    /// Its time to live or hop limit on arrival, if the socket has the option
    /// [`IP_RECVTTL`](crate::option::IP_RECVTTL) or
    /// [`IPV6_RECVHOPLIMIT`](crate::option::IPV6_RECVHOPLIMIT).
    pub ttl: Option<u8>,
    /// Its type of service or traffic class on arrival, DSCP and ECN, if the socket has the option
    /// [`IP_RECVTOS`](crate::option::IP_RECVTOS) or
    /// [`IPV6_RECVTCLASS`](crate::option::IPV6_RECVTCLASS).
    pub traffic_class: Option<u8>,
}

impl Batch {
    /// Maximum length of the prefix of a reply, in bytes.
    #[doc(hidden)]
    pub const HEAD_MAX: usize = HEAD_MAX;

    /// Creates buffers for `count` datagrams of at most `size` bytes each.
    ///
    /// The space for control messages fits a destination address, a number of dropped datagrams,
    /// credentials and a timestamp. Use [`with_control`](Self::with_control) for others.
    ///
    /// # Panics
    ///
    /// If the total length overflows the address space.
    pub fn new(count: usize, size: usize) -> Self {
        Self::with_control(count, size, CONTROL)
    }

    /// Creates buffers for `count` datagrams of at most `size` bytes each, with space for control
    /// messages for each of them.
    ///
    /// # Panics
    ///
    /// If the total length overflows the address space.
    pub fn with_control(count: usize, size: usize, control: ControlSpace) -> Self {
        Self {
            slots: Slots::new(count, size, control),
            received: 0,
            unnamed_sender: Address::Unspecified,
            replies: Vec::with_capacity(count),
            groups: Vec::with_capacity(count),
        }
    }

    /// Creates buffers like [`new`](Self::new), if there is memory for them.
    ///
    /// # Errors
    ///
    /// ENOMEM, for example under a low limit of the address space (RLIMIT_AS).
    pub fn try_new(count: usize, size: usize) -> io::Result<Self> {
        Self::try_with_control(count, size, CONTROL)
    }

    /// Creates buffers like [`with_control`](Self::with_control), if there is memory for them.
    ///
    /// # Errors
    ///
    /// ENOMEM, for example under a low limit of the address space (RLIMIT_AS).
    pub fn try_with_control(count: usize, size: usize, control: ControlSpace) -> io::Result<Self> {
        let fixed = HEAD_MAX + 2 * IoBuffer::ALIGN;
        let slot = size.saturating_add(control.bytes()).saturating_add(fixed);
        check_memory(slot.saturating_mul(count))?;
        Ok(Self::with_control(count, size, control))
    }

    /// Returns the number of datagrams that the last receive returned.
    pub fn len(&self) -> usize {
        self.received
    }

    /// Returns whether the last receive returned no datagram, or failed.
    pub fn is_empty(&self) -> bool {
        self.received == 0
    }

    /// Returns the maximum number of datagrams of one receive.
    pub fn capacity(&self) -> usize {
        self.slots.count()
    }

    /// Returns a received datagram; `None` if `index` is not less than [`len`](Self::len).
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        (index < self.received).then(|| Datagram::new(&self.slots, &self.unnamed_sender, index))
    }

    /// Returns an iterator over the received datagrams.
    pub fn iter(&self) -> Datagrams<'_> {
        Datagrams::new(&self.slots, &self.unnamed_sender, self.received)
    }

    /// Receives the queued datagrams, which replace those of the previous call.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, flags: i32) -> io::Result<usize> {
        self.replies.clear();
        self.received = 0;
        self.received = self.slots.receive(fd, flags)?;
        Ok(self.received)
    }

    /// Returns the bytes of a received datagram, the same as [`Datagram::bytes`].
    ///
    /// # Panics
    ///
    /// If `index` is not less than the number of received datagrams.
    pub fn bytes(&self, index: usize) -> &[u8] {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        self.slots.bytes(index)
    }

    /// Returns the bytes of a received datagram, to change them; a reply sends their content at that
    /// time.
    ///
    /// # Panics
    ///
    /// If `index` is not less than the number of received datagrams.
    pub fn bytes_mut(&mut self, index: usize) -> &mut [u8] {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        self.slots.bytes_mut(index)
    }

    /// Returns the kernel's report about a received datagram.
    #[doc(hidden)]
    pub fn metadata(&self, index: usize) -> Received {
        let flags = MessageFlags::from_bits_retain(self.slots.flags(index));
        let truncated = flags.contains(MessageFlags::TRUNC);
        let mut metadata = Received { truncated, ..Received::default() };
        for raw in RawControl::walk(self.slots.control(index)) {
            match ControlMessage::decode(raw) {
                ControlMessage::PacketInfo(info) => metadata.packet_info = Some(info),
                ControlMessage::Overflow(count) => metadata.overflows = Some(count),
                ControlMessage::Credentials(who) => metadata.credentials = Some(who),
                ControlMessage::TipcDestination(range) => metadata.tipc_destination = Some(range),
                ControlMessage::Timestamp(arrival) => metadata.timestamp = Some(arrival.since_epoch()),
                ControlMessage::Ttl(hops) | ControlMessage::HopLimit(hops) => {
                    metadata.ttl = u8::try_from(hops).ok();
                }
                ControlMessage::Tos(class) => metadata.traffic_class = Some(class),
                ControlMessage::TrafficClass(class) => metadata.traffic_class = u8::try_from(class).ok(),
                _ => {}
            }
        }
        metadata
    }

    /// Returns the whole buffer of a received datagram, whose first bytes are the datagram.
    ///
    /// # Panics
    ///
    /// If `index` is not less than the number of received datagrams.
    #[doc(hidden)]
    pub fn buffer_mut(&mut self, index: usize) -> &mut [u8] {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        self.slots.buffer_mut(index)
    }

    /// Changes the length of a received datagram, at most to that of its buffer. Its bytes are the
    /// first ones of the buffer.
    ///
    /// # Panics
    ///
    /// If `index` is not less than the number of received datagrams.
    #[doc(hidden)]
    pub fn set_len(&mut self, index: usize, len: usize) {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        self.slots.set_len(index, len);
    }

    /// Returns the source of a received datagram.
    ///
    /// A source that the kernel does not report is [`Address::Unspecified`], or
    /// [`UnixName::Unnamed`](crate::family::unix::UnixName::Unnamed) over AF_UNIX.
    pub fn sender(&self, index: usize) -> Address {
        let name = self.slots.name(index);
        if name.len() == 0 { self.unnamed_sender.clone() } else { Address::from(name) }
    }

    /// Sets the address of senders for which the kernel reports none, if the batch has any.
    pub(crate) fn set_unnamed_sender(&mut self, unnamed_sender: impl FnOnce() -> Address) {
        if (0..self.received).any(|index| self.slots.name(index).len() == 0) {
            self.unnamed_sender = unnamed_sender();
        }
    }
}

/// Replying to the received datagrams.
impl Batch {
    /// Queues a reply to a received datagram: the first [`Self::HEAD_MAX`] bytes of `head`, then
    /// the datagram's own bytes.
    ///
    /// `from` sets the source address and, unless it is 0, the interface. `to` sets a destination
    /// other than the sender.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the kernel cannot represent `to`. No reply is queued then.
    ///
    /// # Panics
    ///
    /// If `index` is not less than the number of received datagrams, or not greater than that of
    /// the previous reply.
    #[doc(hidden)]
    pub fn reply(
        &mut self,
        index: usize,
        head: &[u8],
        from: Option<PacketInfo>,
        to: Option<&Address>,
    ) -> io::Result<()> {
        self.reply_with_class(index, head, from, to, 0)
    }

    /// Queues a reply like [`reply`](Self::reply), with a type of service or traffic class (DSCP and
    /// ECN). 0 leaves that of the socket.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    ///
    /// # Panics
    ///
    /// As [`reply`](Self::reply).
    #[doc(hidden)]
    pub fn reply_with_class(
        &mut self,
        index: usize,
        head: &[u8],
        from: Option<PacketInfo>,
        to: Option<&Address>,
        class: u8,
    ) -> io::Result<()> {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        assert!(
            self.replies.last().is_none_or(|&last| last < index),
            "replies are queued in ascending order, one per datagram"
        );
        let to = to.map(RawAddress::try_from).transpose()?;
        // A mapped IPv4 address takes the control messages of IPv4: ip_cmsg_send in net/ipv4/ip_sockglue.c.
        let ip = if class == 0 { None } else { self.sender(index).ip() };
        let is_ipv6 = ip.is_some_and(|ip| matches!(ip.to_canonical(), IpAddr::V6(_)));
        self.slots.prepare(self.replies.len(), index, head, to.as_ref(), |control| {
            let len = from.map_or(0, |info| info.encode(control));
            if class == 0 { len } else { len + put_traffic_class(&mut control[len..], class, is_ipv6) }
        });
        self.replies.push(index);
        Ok(())
    }

    /// Sends the queued replies without waiting. Calls `failed` with the index of the datagram for
    /// each reply that could not be sent, and continues with the next.
    ///
    /// With `segments`, which only UDP sockets support, consecutive replies of one size to one peer
    /// are handed to the kernel in one send that it cuts into datagrams (UDP_SEGMENT, udp(7)). If
    /// the kernel refuses, they are sent one by one.
    #[doc(alias = "sendmmsg")]
    #[doc(alias = "UDP_SEGMENT")]
    #[doc(hidden)]
    pub fn send(&mut self, socket: &impl AsFd, segments: bool, mut failed: impl FnMut(usize, io::Error)) {
        let mut groups = std::mem::take(&mut self.groups);
        let mut first = 0;
        while first < self.replies.len() {
            self.group(first..self.replies.len(), segments, &mut groups);
            first = self.send_groups(socket.as_fd(), &groups, &mut failed);
        }
        self.groups = groups;
        self.replies.clear();
    }

    /// Prepares the sends for a range of replies, and writes to `groups` the replies that each send
    /// carries.
    fn group(&mut self, replies: Range<usize>, segments: bool, groups: &mut Vec<Range<usize>>) {
        self.slots.begin();
        groups.clear();
        let mut start = replies.start;
        while start < replies.end {
            let end = if segments { self.group_end(start, replies.end) } else { start + 1 };
            self.slots.add(start..end);
            groups.push(start..end);
            start = end;
        }
    }

    /// Returns the end of the replies that one segmented send can carry: consecutive replies of the
    /// size of the one at `start`, and one shorter reply after them.
    fn group_end(&self, start: usize, last: usize) -> usize {
        let size = self.slots.reply_len(start);
        if size == 0 || SEGMENT_MAX < size {
            return start + 1;
        }
        let mut total = size;
        for next in start + 1..last.min(start + SEGMENTS_MAX) {
            let len = self.slots.reply_len(next);
            total += len;
            if len == 0 || size < len || GROUP_MAX < total || !self.share_destination(start, next) {
                return next;
            }
            if len < size {
                return next + 1;
            }
        }
        last.min(start + SEGMENTS_MAX)
    }

    /// Returns whether two prepared replies have the same destination and source address.
    fn share_destination(&self, one: usize, other: usize) -> bool {
        let name = |reply: usize| self.slots.name(self.replies[reply]);
        name(one).is_same(name(other)) && self.slots.reply_control(one) == self.slots.reply_control(other)
    }

    /// Sends groups up to the first that failed as segments and was sent as single replies instead.
    /// Returns the first reply that must be grouped again.
    fn send_groups(
        &mut self,
        fd: BorrowedFd<'_>,
        groups: &[Range<usize>],
        failed: &mut impl FnMut(usize, io::Error),
    ) -> usize {
        let mut next = 0;
        while next < groups.len() {
            match self.slots.send(fd, next) {
                // sendmmsg(2) sends at least one message or fails. The maximum guards against an
                // endless loop.
                Ok(sent) => next += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let replies = groups[next].clone();
                    if 1 < replies.len() && error.kind() != io::ErrorKind::WouldBlock {
                        // Not every route supports segmentation, so try the replies one by one.
                        let mut singles = Vec::new();
                        self.group(replies.clone(), false, &mut singles);
                        self.send_groups(fd, &singles, failed);
                        return replies.end;
                    }
                    for reply in replies {
                        failed(self.replies[reply], duplicate(&error));
                    }
                    next += 1;
                }
            }
        }
        groups.last().map_or(0, |group| group.end)
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Datagram<'a>;
    type IntoIter = Datagrams<'a>;

    fn into_iter(self) -> Datagrams<'a> {
        self.iter()
    }
}

/// Returns a copy of an error, for each of the replies of one send.
fn duplicate(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
