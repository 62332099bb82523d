//! Errors and completions from the error queue.

use std::io;

use crate::address::Address;
use crate::control::number::{PACKET_TX_TIMESTAMP, SOL_PACKET, SOL_VSOCK, VSOCK_RECVERR};
use crate::control::raw::RawControl;
use crate::raw_address::RawAddress;

/// An error and its origin, from the error queue of a socket: `struct sock_extended_err`, ip(7).
///
/// Departure times ([`SO_TIMESTAMPING`](crate::option::SO_TIMESTAMPING)) and completions of
/// [`MessageFlags::ZEROCOPY`](crate::MessageFlags::ZEROCOPY) come in the same form, with another
/// origin.
///
/// ```
/// use echosounder_socket::{ControlSpace, Interest, MessageFlags, PollFd, ServerOptions, Transport};
/// use echosounder_socket::{create_connection, create_server, option, poll};
/// use std::io::{ErrorKind, IoSliceMut};
///
/// let server = create_server("udp://127.0.0.1:0", ServerOptions::default())?;
/// let socket = create_connection((Transport::Udp, server.local_addr()?), None, None)?;
/// drop(server); // Nobody receives at that port any more.
/// socket.set_option(option::IP_RECVERR, true)?;
/// socket.send(b"anybody?")?;
///
/// // The empty interest waits for errors alone.
/// poll(&mut [PollFd::new(&socket, Interest::empty())], None)?;
/// let mut buffer = [0; 64];
/// let flags = MessageFlags::ERRQUEUE;
/// let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::ERROR, flags)?;
/// let error = message.error().expect("the queue is not empty");
/// assert_eq!(error.to_io_error().kind(), ErrorKind::ConnectionRefused);
/// assert_eq!(&buffer[..message.len], b"anybody?");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ExtendedError {
    /// The protocol whose control message this was.
    pub protocol: ErrorProtocol,
    /// The error number, for example ECONNREFUSED. ENOMSG with a timestamp, 0 with a completion.
    pub errno: u32,
    /// The origin: [`ORIGIN_LOCAL`](Self::ORIGIN_LOCAL) and following.
    pub origin: u8,
    /// The ICMP type.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// Additional information: with EMSGSIZE the path MTU in bytes.
    pub info: u32,
    /// Additional data: with a timestamp the number of the message.
    pub data: u32,
    /// The address of the node that reported the error, if any.
    pub offender: Option<Address>,
}

/// The protocol whose control message an [`ExtendedError`] was.
///
/// See [`ExtendedError`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorProtocol {
    /// IPv4: IP_RECVERR, ip(7).
    Ipv4,
    /// IPv6: IPV6_RECVERR, ipv6(7).
    Ipv6,
    /// AF_PACKET: PACKET_TX_TIMESTAMP, linux/if_packet.h.
    Packet,
    /// AF_VSOCK: VSOCK_RECVERR, linux/vm_sockets.h, since Linux 6.7.
    Vsock,
}

/// The completion of sends with [`Socket::send_msg_zerocopy`](crate::Socket::send_msg_zerocopy): the
/// kernel no longer reads their pages. From the kernel's document networking/msg_zerocopy.
///
/// [`ExtendedError::zerocopy`] returns it; [`ExtendedError`] shows how to read the error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ZerocopyCompletion {
    /// The number of the first completed send. The kernel counts the sends with the flag from 0;
    /// the number wraps around.
    pub first: u32,
    /// The number of the last completed send. It is less than `first` if the number has wrapped
    /// around.
    pub last: u32,
    /// Whether the kernel has copied the data after all, for example because the receiver is on
    /// this host.
    pub copied: bool,
}

impl ErrorProtocol {
    fn of(level: i32, kind: i32) -> Option<Self> {
        [Self::Ipv4, Self::Ipv6, Self::Packet, Self::Vsock]
            .into_iter()
            .find(|protocol| protocol.level_and_kind() == (level, kind))
    }

    pub(crate) fn level_and_kind(self) -> (i32, i32) {
        match self {
            Self::Ipv4 => (libc::IPPROTO_IP, libc::IP_RECVERR),
            Self::Ipv6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
            Self::Packet => (SOL_PACKET, PACKET_TX_TIMESTAMP),
            Self::Vsock => (SOL_VSOCK, VSOCK_RECVERR),
        }
    }

    /// Length of the offender's address, which the kernel writes even if it is not known.
    fn offender_len(self) -> usize {
        match self {
            Self::Ipv4 => size_of::<libc::sockaddr_in>(),
            Self::Ipv6 => size_of::<libc::sockaddr_in6>(),
            Self::Packet | Self::Vsock => 0,
        }
    }
}

impl ExtendedError {
    /// The origin of an error of this host: SO_EE_ORIGIN_LOCAL.
    pub const ORIGIN_LOCAL: u8 = 1;
    /// The origin of an ICMP message: SO_EE_ORIGIN_ICMP.
    pub const ORIGIN_ICMP: u8 = 2;
    /// The origin of an ICMPv6 message: SO_EE_ORIGIN_ICMP6.
    pub const ORIGIN_ICMP6: u8 = 3;
    /// The origin of a departure time: SO_EE_ORIGIN_TIMESTAMPING.
    pub const ORIGIN_TIMESTAMPING: u8 = 4;
    /// The origin of a completion: SO_EE_ORIGIN_ZEROCOPY, since Linux 4.14.
    pub const ORIGIN_ZEROCOPY: u8 = 5;
    /// The origin of a failure to send at a given time: SO_EE_ORIGIN_TXTIME, since Linux 4.19.
    pub const ORIGIN_TXTIME: u8 = 6;

    /// The code of a completion whose data was copied: SO_EE_CODE_ZEROCOPY_COPIED.
    const CODE_COPIED: u8 = 1;

    /// Number of bytes before the offender's address.
    const FIXED: usize = size_of::<libc::sock_extended_err>();

    /// Returns the completion of sends without a copy, if this is one.
    pub fn zerocopy(&self) -> Option<ZerocopyCompletion> {
        (self.origin == Self::ORIGIN_ZEROCOPY && self.errno == 0).then_some(ZerocopyCompletion {
            first: self.info,
            last: self.data,
            copied: self.code & Self::CODE_COPIED != 0,
        })
    }

    /// Returns the path MTU in bytes, if the error is that a message was longer (EMSGSIZE).
    pub fn path_mtu(&self) -> Option<u32> {
        (self.to_io_error().raw_os_error() == Some(libc::EMSGSIZE)).then_some(self.info)
    }

    /// Returns the error number as an error of std.
    pub fn to_io_error(&self) -> io::Error {
        i32::try_from(self.errno).map_or_else(|_| io::ErrorKind::Other.into(), io::Error::from_raw_os_error)
    }

    pub(crate) fn decode(raw: RawControl<'_>) -> Option<Self> {
        let protocol = ErrorProtocol::of(raw.level, raw.kind)?;
        let fields = raw.fields();
        let [origin, kind, code] = fields.bytes(4)?;
        let offender = RawAddress::from_bytes(raw.data.get(Self::FIXED..)?);
        // The kernel writes AF_UNSPEC if no node has reported the error.
        let is_unspecified = offender.field::<2>(0).is_none_or(|family| family == [0; 2]);
        let error = Self {
            protocol,
            errno: fields.u32(0)?,
            origin,
            kind,
            code,
            info: fields.u32(8)?,
            data: fields.u32(12)?,
            offender: (!is_unspecified).then(|| Address::from(&offender)),
        };
        // Data that this type cannot represent stays raw.
        (*error.bytes() == *raw.data).then_some(error)
    }

    pub(crate) fn bytes(&self) -> Box<[u8]> {
        let mut data = Vec::with_capacity(Self::FIXED + self.protocol.offender_len());
        data.extend_from_slice(&self.errno.to_ne_bytes());
        data.extend_from_slice(&[self.origin, self.kind, self.code, 0]);
        data.extend_from_slice(&self.info.to_ne_bytes());
        data.extend_from_slice(&self.data.to_ne_bytes());
        match self.offender.as_ref().and_then(|offender| RawAddress::try_from(offender).ok()) {
            Some(offender) => data.extend_from_slice(offender.as_bytes()),
            None => data.resize(Self::FIXED + self.protocol.offender_len(), 0),
        }
        data.into()
    }
}

const _: () = assert!(ExtendedError::FIXED == 16);
