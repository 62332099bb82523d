//! Buffer space for the control messages of one message.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use crate::control::raw::{ALIGN, HEADER};
use crate::credentials::Credentials;

/// Buffer space in bytes for the control messages of one message.
///
/// The kernel drops control messages that do not fit and sets
/// [`MessageFlags::CTRUNC`](crate::MessageFlags::CTRUNC). Add the constants of the control messages
/// that the socket's options enable, or use [`ALL`](Self::ALL).
///
/// | constant | control messages | bytes |
/// |---|---|---|
/// | [`NONE`](Self::NONE) | none | 0 |
/// | [`TTL`](Self::TTL) | IP_TTL, IPV6_HOPLIMIT | 24 |
/// | [`TOS`](Self::TOS) | IP_TOS, IPV6_TCLASS | 24 |
/// | [`SEGMENT_SIZE`](Self::SEGMENT_SIZE) | UDP_GRO | 24 |
/// | [`OVERFLOW`](Self::OVERFLOW) | SO_RXQ_OVFL | 24 |
/// | [`PIDFD`](Self::PIDFD) | SCM_PIDFD | 24 |
/// | [`MARK`](Self::MARK) | SO_MARK | 24 |
/// | [`TCP_INQ`](Self::TCP_INQ) | TCP_CM_INQ | 24 |
/// | [`NETLINK_GROUP`](Self::NETLINK_GROUP) | NETLINK_PKTINFO | 24 |
/// | [`TIMESTAMP`](Self::TIMESTAMP) | SCM_TIMESTAMP, SCM_TIMESTAMPNS | 32 |
/// | [`CREDENTIALS`](Self::CREDENTIALS) | SCM_CREDENTIALS | 32 |
/// | [`PACKET_INFO`](Self::PACKET_INFO) | IP_PKTINFO, IPV6_PKTINFO | 40 |
/// | [`PACKET_AUXDATA`](Self::PACKET_AUXDATA) | PACKET_AUXDATA | 40 |
/// | [`ERROR`](Self::ERROR) | IP_RECVERR, IPV6_RECVERR | 64 |
/// | [`TIMESTAMPING`](Self::TIMESTAMPING) | SCM_TIMESTAMPING, SCM_TIMESTAMPING_PKTINFO | 96 |
/// | [`ALL`](Self::ALL) | all, including 253 descriptors | 4096 |
///
/// ```
/// use echosounder_socket::ControlSpace;
///
/// let space = ControlSpace::PACKET_INFO + ControlSpace::TTL + ControlSpace::rights(4);
/// assert_eq!(space.bytes(), 40 + 24 + 32);
/// // In a constant, where operators cannot be used:
/// const SPACE: ControlSpace = ControlSpace::TIMESTAMP.plus(ControlSpace::TOS);
/// assert_eq!(SPACE.bytes(), 32 + 24);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlSpace(usize);

impl ControlSpace {
    /// No control messages.
    pub const NONE: Self = Self(0);
    /// One time to live or hop limit: [`IP_RECVTTL`](crate::option::IP_RECVTTL),
    /// [`IPV6_RECVHOPLIMIT`](crate::option::IPV6_RECVHOPLIMIT).
    pub const TTL: Self = Self::of(4);
    /// One type of service or traffic class: [`IP_RECVTOS`](crate::option::IP_RECVTOS),
    /// [`IPV6_RECVTCLASS`](crate::option::IPV6_RECVTCLASS).
    pub const TOS: Self = Self::of(4);
    /// The size of coalesced datagrams: [`UDP_GRO`](crate::option::UDP_GRO).
    pub const SEGMENT_SIZE: Self = Self::of(4);
    /// The number of dropped datagrams: [`SO_RXQ_OVFL`](crate::option::SO_RXQ_OVFL).
    pub const OVERFLOW: Self = Self::of(4);
    /// A pidfd of the sender: [`SO_PASSPIDFD`](crate::option::SO_PASSPIDFD).
    pub const PIDFD: Self = Self::of(4);
    /// The mark of a packet: [`SO_RCVMARK`](crate::option::SO_RCVMARK).
    pub const MARK: Self = Self::of(4);
    /// The number of bytes left in the receive queue: [`TCP_INQ`](crate::option::TCP_INQ).
    pub const TCP_INQ: Self = Self::of(4);
    /// The destination group of a netlink message:
    /// [`NETLINK_PKTINFO`](crate::option::NETLINK_PKTINFO).
    pub const NETLINK_GROUP: Self = Self::of(4);
    /// The lengths and VLAN tag of a packet: [`PACKET_AUXDATA`](crate::option::PACKET_AUXDATA).
    pub const PACKET_AUXDATA: Self = Self::of(20);
    /// One arrival time: [`SO_TIMESTAMP`](crate::option::SO_TIMESTAMP),
    /// [`SO_TIMESTAMPNS`](crate::option::SO_TIMESTAMPNS).
    pub const TIMESTAMP: Self = Self::of(16);
    /// The sending process: [`SO_PASSCRED`](crate::option::SO_PASSCRED).
    pub const CREDENTIALS: Self = Self::of(Credentials::LEN);
    /// The destination address and interface, of IPv4 or IPv6:
    /// [`IP_PKTINFO`](crate::option::IP_PKTINFO),
    /// [`IPV6_RECVPKTINFO`](crate::option::IPV6_RECVPKTINFO).
    pub const PACKET_INFO: Self = Self::of(20);
    /// An error of the error queue with the address of the node that reported it, of IPv4 or IPv6:
    /// [`IP_RECVERR`](crate::option::IP_RECVERR), [`IPV6_RECVERR`](crate::option::IPV6_RECVERR).
    pub const ERROR: Self = Self::of(16 + 28);
    /// The times of [`SO_TIMESTAMPING`](crate::option::SO_TIMESTAMPING), and the interface of
    /// SOF_TIMESTAMPING_OPT_PKTINFO. A departure time comes from the error queue, with an
    /// [`ERROR`](Self::ERROR) beside it.
    pub const TIMESTAMPING: Self = Self::of(48).plus(Self::of(16));
    /// Everything that the kernel attaches to one message with all options on, and 253 descriptors.
    /// Only IPv6 extension headers and returned TIPC messages of more than 1 KiB need more.
    pub const ALL: Self = Self(4096);

    /// Returns the space of one control message with `len` bytes of data.
    ///
    /// # Panics
    ///
    /// If the result overflows the address space.
    #[doc(alias = "CMSG_SPACE")]
    pub const fn of(len: usize) -> Self {
        let space = match len.checked_add(HEADER) {
            Some(len) => len.checked_next_multiple_of(ALIGN),
            None => None,
        };
        Self(space.expect("a control message fits the address space"))
    }

    /// Returns a space of exactly this number of bytes. Use [`of`](Self::of) for the space of one
    /// control message.
    ///
    /// The kernel cuts a control message that does not fit, so an exact size limits the data: 20
    /// bytes are a header and one descriptor, CMSG_LEN in cmsg(3). A sum with another space counts
    /// the bytes as the next multiple of 8, because each control message begins at one.
    ///
    /// ```
    /// use echosounder_socket::{ControlSpace, Family, MessageFlags, Protocol, SendControl, Socket, Type};
    /// use std::io::{IoSlice, IoSliceMut, stdin};
    /// use std::os::fd::AsFd;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let stdin = stdin();
    /// let two = SendControl::Rights(&[stdin.as_fd(), stdin.as_fd()]);
    /// one.send_msg(&[IoSlice::new(b"x")], &[two], None, MessageFlags::NONE)?;
    ///
    /// let one_only = ControlSpace::from_bytes(20);
    /// let mut message = other.recv_msg(&mut [IoSliceMut::new(&mut [0])], one_only, MessageFlags::NONE)?;
    /// assert_eq!(message.take_rights().len(), 1);
    /// assert!(message.is_control_truncated());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "CMSG_LEN")]
    pub const fn from_bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Returns the space of one SCM_RIGHTS with `count` descriptors. The kernel passes at most 253
    /// in one message (SCM_MAX_FD).
    ///
    /// With space for fewer descriptors than the peer sent, the kernel closes the rest and sets
    /// [`MessageFlags::CTRUNC`](crate::MessageFlags::CTRUNC). The space for an odd number
    /// fits one more, because of the alignment; [`from_bytes`](Self::from_bytes) can be exact.
    ///
    /// # Panics
    ///
    /// If the result overflows the address space.
    pub const fn rights(count: usize) -> Self {
        Self::of(count.saturating_mul(size_of::<i32>()))
    }

    /// Returns the space of both: the same as `+`, for constants.
    ///
    /// # Panics
    ///
    /// If the result overflows the address space.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let sum = match (self.0.checked_next_multiple_of(ALIGN), other.0.checked_next_multiple_of(ALIGN)) {
            (Some(one), Some(other)) => one.checked_add(other),
            _ => None,
        };
        Self(sum.expect("control messages fit the address space"))
    }

    /// Returns the number of bytes. It is a multiple of 8, except for the result of
    /// [`from_bytes`](Self::from_bytes).
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl Add for ControlSpace {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.plus(other)
    }
}

impl AddAssign for ControlSpace {
    fn add_assign(&mut self, other: Self) {
        *self = self.plus(other);
    }
}

impl Sum for ControlSpace {
    fn sum<I: Iterator<Item = Self>>(spaces: I) -> Self {
        spaces.fold(Self::NONE, Self::plus)
    }
}
