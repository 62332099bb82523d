//! Many datagrams in one system call: recvmmsg(2), and a reply to each with sendmmsg(2).

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use crate::address::Address;
use crate::buffer::{IoBuffer, check_memory};
use crate::control::{ControlMessage, PacketInfo, RawControl};
use crate::credentials::Credentials;
use crate::family::tipc::TipcAddress;
use crate::raw_address::RawAddress;
use crate::socket::Socket;
use crate::sys::batch::{HEAD_MAX, Slots};

/// Most datagrams that one send can be cut into: UDP_MAX_SEGMENTS of Linux before 6.9.
const SEGMENTS_MAX: usize = 64;

/// Most bytes of what is to be cut: an IPv4 packet's, less its headers.
const GROUP_MAX: usize = 65_507;

/// The longest segment: what fits an IPv6 packet on Ethernet. Longer ones mostly cannot be cut (EMSGSIZE).
const SEGMENT_MAX: usize = 1452;

/// Room to receive some datagrams at once with [`Socket::recv_many`], and to reply each with some bytes put before its own.
///
/// The bytes are received and sent in place; nothing is copied but what is put before them.
#[derive(Debug)]
pub struct Batch {
    slots: Slots,
    received: usize,
    /// Who a sender is that the kernel has not named.
    unnamed_sender: Address,
    /// The datagrams that are to be answered, in order.
    replies: Vec<usize>,
    /// Which replies each send takes; kept for its room alone.
    groups: Vec<Range<usize>>,
}

/// What is known of a received datagram beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Whether it was longer than the room for it.
    pub truncated: bool,
    /// Where it was sent to, if the socket was asked to tell: [`IP_PKTINFO`](crate::option::IP_PKTINFO).
    pub packet_info: Option<PacketInfo>,
    /// How many datagrams the socket has dropped so far for want of buffer, if it was asked to tell and has
    /// dropped any: [`SO_RXQ_OVFL`](crate::option::SO_RXQ_OVFL). It wraps around.
    pub overflows: Option<u32>,
    /// Who sent it, if the socket was asked to tell: [`SO_PASSCRED`](crate::option::SO_PASSCRED).
    pub credentials: Option<Credentials>,
    /// The TIPC service that it was sent to, if it was sent to one.
    pub tipc_destination: Option<TipcAddress>,
}

impl Batch {
    /// Most bytes that a reply puts before the message.
    pub const HEAD_MAX: usize = HEAD_MAX;

    /// Room for `count` datagrams of at most `size` bytes each.
    ///
    /// # Panics
    ///
    /// If the address space does not hold so many bytes.
    pub fn new(count: usize, size: usize) -> Self {
        let slots = Slots::new(count, size);
        Self {
            slots,
            received: 0,
            unnamed_sender: Address::Unspecified,
            replies: Vec::with_capacity(count),
            groups: Vec::with_capacity(count),
        }
    }

    /// Room for `count` datagrams of at most `size` bytes each, if there is memory for it.
    ///
    /// # Errors
    ///
    /// ENOMEM, such as under a low limit of the address space (RLIMIT_AS).
    pub fn try_new(count: usize, size: usize) -> io::Result<Self> {
        let slot = size.saturating_add(HEAD_MAX + 2 * IoBuffer::ALIGN);
        check_memory(slot.saturating_mul(count))?;
        Ok(Self::new(count, size))
    }

    /// Receives what is there, in place of what was received before.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, flags: i32) -> io::Result<usize> {
        self.replies.clear();
        self.received = 0;
        self.received = self.slots.receive(fd, flags)?;
        Ok(self.received)
    }

    /// The bytes of a received datagram. Its reply carries them as they are when it is sent.
    ///
    /// # Panics
    ///
    /// If no datagram of this number was received.
    pub fn bytes(&mut self, index: usize) -> &mut [u8] {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        self.slots.bytes_mut(index)
    }

    /// What is known of a received datagram beside its bytes.
    pub fn metadata(&self, index: usize) -> Received {
        let mut about = Received { truncated: self.slots.is_truncated(index), ..Received::default() };
        for raw in RawControl::walk(self.slots.control(index)) {
            match ControlMessage::decode(raw) {
                ControlMessage::PacketInfo(info) => about.packet_info = Some(info),
                ControlMessage::Overflow(count) => about.overflows = Some(count),
                ControlMessage::Credentials(who) => about.credentials = Some(who),
                ControlMessage::TipcDestination(range) => about.tipc_destination = Some(range),
                _ => {}
            }
        }
        about
    }

    /// Who sent a received datagram; once it is answered, where the reply goes. A sender that the kernel has not named is
    /// [`Address::Unspecified`], but [`UnixName::Unnamed`](crate::family::unix::UnixName::Unnamed) over AF_UNIX.
    pub fn sender(&self, index: usize) -> Address {
        let name = self.slots.name(index);
        if name.len() == 0 { self.unnamed_sender.clone() } else { Address::from(name) }
    }

    /// Notes who the senders are that the kernel has not named, if there are any.
    pub(crate) fn set_unnamed_sender(&mut self, unnamed_sender: impl FnOnce() -> Address) {
        if (0..self.received).any(|index| self.slots.name(index).len() == 0) {
            self.unnamed_sender = unnamed_sender();
        }
    }

    /// Notes that a received datagram is to be answered with `head`, of which at most [`Self::HEAD_MAX`] bytes
    /// count, and its own bytes. With `from`, the reply leaves from that address, by that interface unless it is 0; with
    /// `to`, it goes there instead of to the sender's address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `to` is not an address that the kernel can be given; then the datagram is not answered.
    ///
    /// # Panics
    ///
    /// If no datagram of this number was received, or it is answered twice.
    pub fn reply(
        &mut self,
        index: usize,
        head: &[u8],
        from: Option<PacketInfo>,
        to: Option<&Address>,
    ) -> io::Result<()> {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        assert!(
            self.replies.last().is_none_or(|&last| last < index),
            "datagrams are answered in order, once"
        );
        let to = to.map(RawAddress::try_from).transpose()?;
        self.slots.prepare(self.replies.len(), index, head, to.as_ref(), |control| {
            from.map_or(0, |info| info.encode(control))
        });
        self.replies.push(index);
        Ok(())
    }

    /// Sends the replies without waiting, and tells `failed` of each that did not leave, by the number of the
    /// datagram. One that fails does not keep the others.
    ///
    /// With `segments`, which UDP sockets have, consecutive replies of one size to one peer leave as one send that the
    /// kernel cuts (UDP_SEGMENT, udp(7)); where it cannot, they are sent one by one.
    #[doc(alias = "sendmmsg")]
    #[doc(alias = "UDP_SEGMENT")]
    pub fn send(&mut self, socket: &Socket, segments: bool, mut failed: impl FnMut(usize, io::Error)) {
        let mut groups = std::mem::take(&mut self.groups);
        let mut first = 0;
        while first < self.replies.len() {
            self.group(first..self.replies.len(), segments, &mut groups);
            first = self.send_groups(socket, &groups, &mut failed);
        }
        self.groups = groups;
        self.replies.clear();
    }

    /// Prepares sends for the replies in the range; `groups` holds then which replies each of them takes.
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

    /// Where the replies end that can leave with the one at `start`: all of its size, and one that is shorter behind
    /// them.
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

    /// Whether two prepared replies go to the same peer, from the same address.
    fn share_destination(&self, one: usize, other: usize) -> bool {
        let name = |reply: usize| self.slots.name(self.replies[reply]);
        name(one).is_same(name(other)) && self.slots.reply_control(one) == self.slots.reply_control(other)
    }

    /// Sends groups until one fails that can be tried in pieces; the first reply that is to be prepared again is
    /// returned.
    fn send_groups(
        &mut self,
        socket: &Socket,
        groups: &[Range<usize>],
        failed: &mut impl FnMut(usize, io::Error),
    ) -> usize {
        let mut next = 0;
        while next < groups.len() {
            match self.slots.send(socket.as_fd(), next) {
                // It sends one at least; should it not, the rest is not tried for ever.
                Ok(sent) => next += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let replies = groups[next].clone();
                    if 1 < replies.len() && error.kind() != io::ErrorKind::WouldBlock {
                        // What cannot leave in segments may leave one by one.
                        let mut singles = Vec::new();
                        self.group(replies.clone(), false, &mut singles);
                        self.send_groups(socket, &singles, failed);
                        return replies.end;
                    }
                    for reply in replies {
                        failed(self.replies[reply], again(&error));
                    }
                    next += 1;
                }
            }
        }
        groups.last().map_or(0, |group| group.end)
    }
}

/// The same error once more: each of the replies that leave together has it.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
