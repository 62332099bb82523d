//! Received control messages as the kernel wrote them.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use crate::address::Address;
use crate::control::number::*;
use crate::control::raw::RawControlBuf;
use crate::control::received::ControlMessage;
use crate::control::timestamp::{TimestampResolution, encode_timestamping};
use crate::family::tipc::TipcAddress;
use crate::raw_address::RawAddress;

impl ControlMessage {
    /// Returns the level, type and data as the kernel has written them, for programs that handle
    /// control messages as bytes.
    ///
    /// [`Rights`](Self::Rights) and [`Pidfd`](Self::Pidfd) return the numbers of their descriptors,
    /// which this value still owns. See [`decode`](Self::decode) for an example.
    pub fn to_raw(&self) -> RawControlBuf {
        if let Self::Unknown(raw) = self {
            return raw.clone();
        }
        let (level, kind) = self.level_and_kind();
        RawControlBuf { level, kind, data: self.data() }
    }

    fn level_and_kind(&self) -> (i32, i32) {
        match self {
            Self::Rights(_) => (libc::SOL_SOCKET, libc::SCM_RIGHTS),
            Self::Pidfd(_) => (libc::SOL_SOCKET, SCM_PIDFD),
            Self::Credentials(_) => (libc::SOL_SOCKET, libc::SCM_CREDENTIALS),
            Self::Security(_) => (libc::SOL_SOCKET, SCM_SECURITY),
            Self::PacketInfo(info) => info.level_and_kind(),
            Self::OriginalDestination(SocketAddr::V4(_)) => (libc::IPPROTO_IP, IP_ORIGDSTADDR),
            Self::OriginalDestination(SocketAddr::V6(_)) => (libc::IPPROTO_IPV6, IPV6_ORIGDSTADDR),
            Self::Ttl(_) => (libc::IPPROTO_IP, libc::IP_TTL),
            Self::HopLimit(_) => (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
            Self::Tos(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            Self::TrafficClass(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            Self::FlowInfo(_) => (libc::IPPROTO_IPV6, IPV6_FLOWINFO),
            Self::FragmentSize(_) => (libc::IPPROTO_IP, IP_RECVFRAGSIZE),
            Self::FragmentSizeV6(_) => (libc::IPPROTO_IPV6, IPV6_RECVFRAGSIZE),
            Self::IpOptions(_) => (libc::IPPROTO_IP, IP_RECVOPTS),
            Self::IpReturnOptions(_) => (libc::IPPROTO_IP, IP_RETOPTS),
            Self::HopByHopOptions(_) => (libc::IPPROTO_IPV6, IPV6_HOPOPTS),
            Self::RoutingHeader(_) => (libc::IPPROTO_IPV6, IPV6_RTHDR),
            Self::DestinationOptions(_) => (libc::IPPROTO_IPV6, IPV6_DSTOPTS),
            Self::Timestamp(timestamp) => match timestamp.resolution() {
                TimestampResolution::Micros => (libc::SOL_SOCKET, libc::SO_TIMESTAMP),
                TimestampResolution::Nanos => (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
            },
            Self::Timestamping { .. } => (libc::SOL_SOCKET, libc::SO_TIMESTAMPING),
            Self::TimestampingPacketInfo { .. } => (libc::SOL_SOCKET, SCM_TIMESTAMPING_PKTINFO),
            Self::TimestampingStats(_) => (libc::SOL_SOCKET, SCM_TIMESTAMPING_OPT_STATS),
            Self::UdpGro(_) => (libc::SOL_UDP, libc::UDP_GRO),
            Self::Overflow(_) => (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
            Self::Mark(_) => (libc::SOL_SOCKET, libc::SO_MARK),
            Self::Priority(_) => (libc::SOL_SOCKET, libc::SO_PRIORITY),
            Self::TcpInq(_) => (libc::IPPROTO_TCP, TCP_CM_INQ),
            Self::TlsRecordType(_) => (SOL_TLS, TLS_GET_RECORD_TYPE),
            Self::Error(error) => error.protocol.level_and_kind(),
            Self::SctpReceiveInfo(_) => (SOL_SCTP, SCTP_RCVINFO),
            Self::PacketAuxData(_) => (SOL_PACKET, PACKET_AUXDATA),
            Self::NetlinkGroup(_) => (SOL_NETLINK, NETLINK_PKTINFO),
            Self::NetlinkNamespace(_) => (SOL_NETLINK, NETLINK_LISTEN_ALL_NSID),
            Self::TipcError { .. } => (SOL_TIPC, TIPC_ERRINFO),
            Self::TipcReturned(_) => (SOL_TIPC, TIPC_RETDATA),
            Self::TipcDestination(_) => (SOL_TIPC, TIPC_DESTNAME),
            Self::Unknown(raw) => (raw.level, raw.kind),
        }
    }

    fn data(&self) -> Box<[u8]> {
        match self {
            Self::Rights(fds) => fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect(),
            Self::Pidfd(fd) => fd.as_raw_fd().to_ne_bytes().into(),
            Self::Credentials(who) => who.encode().into(),
            Self::PacketInfo(info) => info.data(),
            Self::OriginalDestination(address) => sockaddr(*address),
            Self::Ttl(number)
            | Self::HopLimit(number)
            | Self::TrafficClass(number)
            | Self::FragmentSize(number)
            | Self::FragmentSizeV6(number)
            | Self::UdpGro(number)
            | Self::TcpInq(number)
            | Self::NetlinkNamespace(number) => number.to_ne_bytes().into(),
            Self::Overflow(number)
            | Self::Mark(number)
            | Self::Priority(number)
            | Self::NetlinkGroup(number) => number.to_ne_bytes().into(),
            Self::FlowInfo(flow) => flow.to_be_bytes().into(),
            Self::Tos(byte) | Self::TlsRecordType(byte) => [*byte].into(),
            Self::Timestamp(timestamp) => timestamp.data().into(),
            Self::Timestamping { software, hardware } => encode_timestamping(*software, *hardware).into(),
            Self::TimestampingPacketInfo { interface, len } => words(&[*interface, *len, 0, 0]),
            Self::Error(error) => error.bytes(),
            Self::SctpReceiveInfo(info) => info.data().into(),
            Self::PacketAuxData(data) => data.data().into(),
            Self::TipcError { code, returned } => words(&[*code, *returned]),
            Self::TipcDestination(TipcAddress::Range { service, lower, upper, .. }) => {
                words(&[*service, *lower, *upper])
            }
            Self::TipcDestination(TipcAddress::Service { service, instance, .. }) => {
                words(&[*service, *instance, *instance])
            }
            // No receive returns another form.
            Self::TipcDestination(_) => Box::default(),
            Self::Security(data)
            | Self::IpOptions(data)
            | Self::IpReturnOptions(data)
            | Self::HopByHopOptions(data)
            | Self::RoutingHeader(data)
            | Self::DestinationOptions(data)
            | Self::TimestampingStats(data)
            | Self::TipcReturned(data)
            | Self::Unknown(RawControlBuf { data, .. }) => data.clone(),
        }
    }
}

fn words(words: &[u32]) -> Box<[u8]> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Encodes a `sockaddr_in` or `sockaddr_in6`.
pub(crate) fn sockaddr(address: SocketAddr) -> Box<[u8]> {
    RawAddress::try_from(&Address::from(address)).map_or_else(|_| Box::default(), |raw| raw.as_bytes().into())
}
