//! Received control messages.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use crate::control::error::ExtendedError;
use crate::control::packet_info::PacketInfo;
use crate::control::raw::RawControlBuf;
use crate::control::records::{PacketAuxData, SctpReceiveInfo};
use crate::control::timestamp::{Timestamp, system_time};
use crate::credentials::Credentials;
use crate::family::tipc::TipcAddress;

/// A control message received with a message, from the kernel or from the peer.
///
/// [`Message`](crate::Message) and [`Datagram`](crate::Datagram) have methods for the usual ones,
/// such as [`Message::packet_info`](crate::Message::packet_info).
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlMessage {
    /// Descriptors that the peer has passed, close-on-exec: SCM_RIGHTS, unix(7).
    Rights(Vec<OwnedFd>),
    /// A pidfd of the sending process: SCM_PIDFD, since Linux 6.5. The option
    /// [`SO_PASSPIDFD`](crate::option::SO_PASSPIDFD) enables it.
    Pidfd(OwnedFd),
    /// The sending process: SCM_CREDENTIALS, unix(7), netlink(7). The option
    /// [`SO_PASSCRED`](crate::option::SO_PASSCRED) enables it.
    Credentials(Credentials),
    /// The security label of the sending process: SCM_SECURITY, unix(7). The option
    /// [`SO_PASSSEC`](crate::option::SO_PASSSEC) enables it, if a security module such as SELinux
    /// runs.
    Security(Box<[u8]>),
    /// The destination address and interface: IP_PKTINFO, ip(7), IPV6_PKTINFO, ipv6(7). The options
    /// [`IP_PKTINFO`](crate::option::IP_PKTINFO) and
    /// [`IPV6_RECVPKTINFO`](crate::option::IPV6_RECVPKTINFO) enable it.
    PacketInfo(PacketInfo),
    /// The destination address and port before a packet filter changed them: IP_ORIGDSTADDR,
    /// IPV6_ORIGDSTADDR. The options [`IP_RECVORIGDSTADDR`](crate::option::IP_RECVORIGDSTADDR) and
    /// [`IPV6_RECVORIGDSTADDR`](crate::option::IPV6_RECVORIGDSTADDR) enable it.
    OriginalDestination(SocketAddr),
    /// The time to live on arrival, 1 to 255: IP_TTL, ip(7). The option
    /// [`IP_RECVTTL`](crate::option::IP_RECVTTL) enables it.
    Ttl(i32),
    /// The hop limit on arrival, 0 to 255: IPV6_HOPLIMIT, ipv6(7). The option
    /// [`IPV6_RECVHOPLIMIT`](crate::option::IPV6_RECVHOPLIMIT) enables it.
    HopLimit(i32),
    /// The type of service on arrival, DSCP and ECN: IP_TOS, ip(7). The option
    /// [`IP_RECVTOS`](crate::option::IP_RECVTOS) enables it.
    Tos(u8),
    /// The traffic class on arrival, DSCP and ECN: IPV6_TCLASS, RFC 3542. The option
    /// [`IPV6_RECVTCLASS`](crate::option::IPV6_RECVTCLASS) enables it.
    TrafficClass(i32),
    /// The traffic class and flow label on arrival, the lower 28 bits: IPV6_FLOWINFO. The option of
    /// the same name enables it.
    FlowInfo(u32),
    /// The length in bytes of the largest fragment of an IPv4 datagram: IP_RECVFRAGSIZE, since
    /// Linux 4.10. The option of the same name enables it.
    FragmentSize(i32),
    /// The length in bytes of the largest fragment of an IPv6 datagram: IPV6_RECVFRAGSIZE, since
    /// Linux 4.10. The option of the same name enables it.
    FragmentSizeV6(i32),
    /// The options of the IPv4 header: [`IP_RECVOPTS`](crate::option::IP_RECVOPTS), ip(7). The
    /// option of the same name enables it.
    IpOptions(Box<[u8]>),
    /// The options of the IPv4 header with the timestamps and the route filled in, fit for a reply:
    /// [`IP_RETOPTS`](crate::option::IP_RETOPTS), ip(7). The option of the same name enables it.
    IpReturnOptions(Box<[u8]>),
    /// The hop-by-hop options header: IPV6_HOPOPTS, RFC 3542. The option
    /// [`IPV6_RECVHOPOPTS`](crate::option::IPV6_RECVHOPOPTS) enables it.
    HopByHopOptions(Box<[u8]>),
    /// The routing header: IPV6_RTHDR, RFC 3542. The option
    /// [`IPV6_RECVRTHDR`](crate::option::IPV6_RECVRTHDR) enables it.
    RoutingHeader(Box<[u8]>),
    /// The destination options header: IPV6_DSTOPTS, RFC 3542. The option
    /// [`IPV6_RECVDSTOPTS`](crate::option::IPV6_RECVDSTOPTS) enables it.
    DestinationOptions(Box<[u8]>),
    /// The arrival time by the system clock: SCM_TIMESTAMP and SCM_TIMESTAMPNS, socket(7). The
    /// options [`SO_TIMESTAMP`](crate::option::SO_TIMESTAMP) and
    /// [`SO_TIMESTAMPNS`](crate::option::SO_TIMESTAMPNS) enable it.
    Timestamp(Timestamp),
    /// The arrival or departure time since the Unix epoch: SCM_TIMESTAMPING, from the kernel's
    /// document networking/timestamping. The option
    /// [`SO_TIMESTAMPING`](crate::option::SO_TIMESTAMPING) enables it.
    Timestamping {
        /// By the system clock, if the kernel has taken it.
        software: Option<Duration>,
        /// By the clock of the network interface, if that has taken it.
        hardware: Option<Duration>,
    },
    /// The packet of a hardware timestamp: SCM_TIMESTAMPING_PKTINFO, since Linux 4.13. The flag
    /// SOF_TIMESTAMPING_OPT_PKTINFO enables it.
    TimestampingPacketInfo {
        /// The index of the interface that received the packet; 0 if it is not known.
        interface: u32,
        /// Length of the packet in bytes, with the link-layer header.
        len: u32,
    },
    /// Statistics of the connection at the time of a departure, as netlink attributes:
    /// SCM_TIMESTAMPING_OPT_STATS, since Linux 4.10. The flag SOF_TIMESTAMPING_OPT_STATS enables
    /// it.
    TimestampingStats(Box<[u8]>),
    /// The length in bytes of the datagrams received as one; the last may be shorter: UDP_GRO,
    /// udp(7). The option [`UDP_GRO`](crate::option::UDP_GRO) enables it.
    UdpGro(i32),
    /// Number of datagrams that this socket has dropped since its creation: SO_RXQ_OVFL, socket(7).
    /// It wraps around. The option [`SO_RXQ_OVFL`](crate::option::SO_RXQ_OVFL) enables it.
    Overflow(u32),
    /// The mark of the packet: SO_MARK, since Linux 5.19. The option
    /// [`SO_RCVMARK`](crate::option::SO_RCVMARK) enables it.
    Mark(u32),
    /// The priority of the packet: SO_PRIORITY, since Linux 6.14. The option
    /// [`SO_RCVPRIORITY`](crate::option::SO_RCVPRIORITY) enables it.
    Priority(u32),
    /// Number of bytes in the receive queue after this receive: TCP_CM_INQ, since Linux 4.18. The
    /// option [`TCP_INQ`](crate::option::TCP_INQ) enables it.
    TcpInq(i32),
    /// The type of a TLS record other than data, for example 21 for an alert: TLS_GET_RECORD_TYPE,
    /// from the kernel's document networking/tls.
    TlsRecordType(u8),
    /// An error from the socket's error queue, received with
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE): IP_RECVERR, ip(7), IPV6_RECVERR,
    /// ipv6(7). Timestamps of departures and zero-copy completions come in the same form.
    Error(ExtendedError),
    /// How an SCTP message was received: SCTP_RCVINFO, RFC 6458.
    SctpReceiveInfo(SctpReceiveInfo),
    /// Facts about a frame: PACKET_AUXDATA, packet(7).
    PacketAuxData(PacketAuxData),
    /// The multicast group that a netlink message was sent to: NETLINK_PKTINFO, netlink(7).
    NetlinkGroup(u32),
    /// The network namespace of a netlink message, by the receiver's number for it:
    /// NETLINK_LISTEN_ALL_NSID, netlink(7).
    NetlinkNamespace(i32),
    /// The reason why a TIPC connection ended or a message was returned: TIPC_ERRINFO.
    TipcError {
        /// The kernel's reason: TIPC_ERR_NO_NAME (1) and following, linux/tipc.h.
        code: u32,
        /// Length of the returned message in bytes.
        returned: u32,
    },
    /// The bytes of a returned TIPC message: TIPC_RETDATA.
    TipcReturned(Box<[u8]>),
    /// The service that a TIPC message was addressed to: TIPC_DESTNAME.
    TipcDestination(TipcAddress),
    /// A control message of another type.
    Unknown(RawControlBuf),
}

/// The usual control messages by what they carry, for [`Message`](crate::Message) and
/// [`Datagram`](crate::Datagram).
impl ControlMessage {
    pub(crate) fn as_packet_info(&self) -> Option<PacketInfo> {
        match self {
            Self::PacketInfo(info) => Some(*info),
            _ => None,
        }
    }

    pub(crate) fn as_time(&self) -> Option<SystemTime> {
        match self {
            Self::Timestamp(timestamp) => Some(timestamp.system_time()),
            Self::Timestamping { software: Some(time), .. } => Some(system_time(*time)),
            _ => None,
        }
    }

    pub(crate) fn as_ttl(&self) -> Option<u8> {
        match self {
            Self::Ttl(hops) | Self::HopLimit(hops) => u8::try_from(*hops).ok(),
            _ => None,
        }
    }

    pub(crate) fn as_tos(&self) -> Option<u8> {
        match self {
            Self::Tos(tos) => Some(*tos),
            Self::TrafficClass(class) => u8::try_from(*class).ok(),
            _ => None,
        }
    }

    pub(crate) fn as_credentials(&self) -> Option<Credentials> {
        match self {
            Self::Credentials(who) => Some(*who),
            _ => None,
        }
    }

    pub(crate) fn as_overflow(&self) -> Option<u32> {
        match self {
            Self::Overflow(count) => Some(*count),
            _ => None,
        }
    }

    pub(crate) fn as_segment_size(&self) -> Option<usize> {
        match self {
            Self::UdpGro(size) => usize::try_from(*size).ok().filter(|&size| size != 0),
            _ => None,
        }
    }

    pub(crate) fn as_error(&self) -> Option<&ExtendedError> {
        match self {
            Self::Error(error) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn as_pidfd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pidfd(fd) => Some(fd.as_fd()),
            _ => None,
        }
    }
}
