//! Many datagrams in one system call: recvmmsg(2), and an answer to each with sendmmsg(2).

use std::io;
use std::os::fd::AsFd;

use crate::address::Address;
use crate::control::{Control, PacketInfo};
use crate::socket::Socket;
use crate::sys::batch::{HEAD_MAX, Slots};

/// Room to receive some datagrams at once, and to answer each with some bytes put before its own.
///
/// The bytes are received and sent in place; nothing is copied but what is put before them.
#[derive(Debug)]
pub struct Batch {
    slots: Slots,
    received: usize,
    /// The datagrams that are to be answered, in order.
    answers: Vec<usize>,
}

/// What is known of a received datagram beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Whether it was longer than the room for it.
    pub truncated: bool,
    /// Where it was sent to, if the socket was asked to tell: [`IP_PKTINFO`](crate::option::IP_PKTINFO).
    pub packet_info: Option<PacketInfo>,
    /// How many datagrams the socket has dropped so far for want of buffer, if it was asked to tell and has
    /// dropped any: [`SO_RXQ_OVFL`](crate::option::SO_RXQ_OVFL). It wraps around.
    pub overflows: Option<u32>,
}

impl Batch {
    /// Most bytes that an answer puts before the message.
    pub const HEAD_MAX: usize = HEAD_MAX;

    /// Room for `count` datagrams of at most `size` bytes each.
    pub fn new(count: usize, size: usize) -> Self {
        Self { slots: Slots::new(count, size), received: 0, answers: Vec::with_capacity(count) }
    }

    /// Receives what is there without waiting, in place of what was received before, and returns how many
    /// datagrams that is.
    ///
    /// # Errors
    ///
    /// As recvmmsg(2); `WouldBlock` if there is nothing.
    #[doc(alias = "recvmmsg")]
    pub fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.answers.clear();
        self.received = 0;
        self.received = self.slots.receive(socket.as_fd())?;
        Ok(self.received)
    }

    /// The bytes of a received datagram. Its answer carries them as they are when it is sent.
    ///
    /// # Panics
    ///
    /// If no datagram of this number was received.
    pub fn bytes(&mut self, index: usize) -> &mut [u8] {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        self.slots.bytes_mut(index)
    }

    /// What is known of a received datagram beside its bytes.
    pub fn about(&self, index: usize) -> Received {
        let Control { packet_info, overflows } = Control::decode(self.slots.control(index));
        Received { truncated: self.slots.is_truncated(index), packet_info, overflows }
    }

    /// Who sent a received datagram.
    pub fn sender(&self, index: usize) -> Address {
        Address::from(self.slots.name(index))
    }

    /// Notes that a received datagram is to be answered with `head`, of which at most [`Self::HEAD_MAX`] bytes
    /// count, and its own bytes. With `from`, the answer leaves from the address that was asked.
    ///
    /// # Panics
    ///
    /// If no datagram of this number was received, or it is answered twice.
    pub fn answer(&mut self, index: usize, head: &[u8], from: Option<PacketInfo>) {
        assert!(index < self.received, "datagram {index} of {}", self.received);
        assert!(
            self.answers.last().is_none_or(|&last| last < index),
            "datagrams are answered in order, once"
        );
        self.slots
            .prepare(self.answers.len(), index, head, |control| from.map_or(0, |info| info.encode(control)));
        self.answers.push(index);
    }

    /// Sends the answers without waiting, and tells `failed` of each that did not leave, by the number of the
    /// datagram. One that fails does not keep the others.
    #[doc(alias = "sendmmsg")]
    pub fn send(&mut self, socket: &Socket, mut failed: impl FnMut(usize, io::Error)) {
        let mut next = 0;
        while next < self.answers.len() {
            match self.slots.send(socket.as_fd(), next..self.answers.len()) {
                // It sends one at least; should it not, the rest is not tried for ever.
                Ok(sent) => next += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed(self.answers[next], error);
                    next += 1;
                }
            }
        }
        self.answers.clear();
    }
}
