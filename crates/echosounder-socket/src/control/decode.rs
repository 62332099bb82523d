//! Decoding of received control messages.
//!
//! Data that a type does not represent in full stays raw, so that
//! [`to_raw`](ControlMessage::to_raw) returns what the kernel has written.

use std::net::SocketAddr;

use crate::address::Address;
use crate::control::encode::sockaddr;
use crate::control::error::ExtendedError;
use crate::control::number::*;
use crate::control::packet_info::PacketInfo;
use crate::control::raw::RawControl;
use crate::control::received::ControlMessage;
use crate::control::records::{PacketAuxData, SctpReceiveInfo};
use crate::control::timestamp::{Timestamp, decode_timestamping};
use crate::credentials::Credentials;
use crate::family::tipc::{TipcAddress, TipcScope};
use crate::raw_address::RawAddress;

impl ControlMessage {
    /// Decodes a control message. SCM_RIGHTS and SCM_PIDFD become [`Unknown`](Self::Unknown),
    /// because only a receive can take ownership of descriptors.
    ///
    /// Data of an unexpected length or content becomes [`Unknown`](Self::Unknown), too:
    /// [`to_raw`](Self::to_raw) is the exact inverse.
    ///
    /// ```
    /// use echosounder_socket::{ControlMessage, RawControl};
    ///
    /// let raw = RawControl { level: 0, kind: 2, data: &64_i32.to_ne_bytes() }; // IP_TTL
    /// let message = ControlMessage::decode(raw);
    /// assert!(matches!(message, ControlMessage::Ttl(64)));
    /// assert_eq!(message.to_raw().as_raw(), raw);
    /// ```
    pub fn decode(raw: RawControl<'_>) -> Self {
        let known = match raw.level {
            libc::SOL_SOCKET => Self::decode_socket(raw),
            libc::IPPROTO_IP => Self::decode_ipv4(raw),
            libc::IPPROTO_IPV6 => Self::decode_ipv6(raw),
            _ => Self::decode_other(raw),
        };
        known.unwrap_or_else(|| Self::Unknown(raw.into()))
    }

    fn decode_socket(raw: RawControl<'_>) -> Option<Self> {
        let fields = raw.fields();
        Some(match raw.kind {
            libc::SCM_CREDENTIALS => {
                fields.exactly::<{ Credentials::LEN }>()?;
                Self::Credentials(Credentials::decode(raw.data)?)
            }
            SCM_SECURITY => Self::Security(raw.data.into()),
            libc::SO_TIMESTAMP => Self::Timestamp(Timestamp::micros(raw.data)?),
            libc::SO_TIMESTAMPNS => Self::Timestamp(Timestamp::nanos(raw.data)?),
            libc::SO_TIMESTAMPING => {
                let (software, hardware) = decode_timestamping(raw.data)?;
                Self::Timestamping { software, hardware }
            }
            SCM_TIMESTAMPING_PKTINFO => {
                fields.exactly::<16>()?;
                (fields.i64(8)? == 0).then_some(())?; // Reserved.
                Self::TimestampingPacketInfo { interface: fields.u32(0)?, len: fields.u32(4)? }
            }
            SCM_TIMESTAMPING_OPT_STATS => Self::TimestampingStats(raw.data.into()),
            libc::SO_RXQ_OVFL => Self::Overflow(u32::from_ne_bytes(fields.exactly()?)),
            libc::SO_MARK => Self::Mark(u32::from_ne_bytes(fields.exactly()?)),
            libc::SO_PRIORITY => Self::Priority(u32::from_ne_bytes(fields.exactly()?)),
            _ => return None,
        })
    }

    fn decode_ipv4(raw: RawControl<'_>) -> Option<Self> {
        let fields = raw.fields();
        Some(match raw.kind {
            libc::IP_PKTINFO => Self::PacketInfo(PacketInfo::decode(raw)?),
            libc::IP_TTL => Self::Ttl(i32::from_ne_bytes(fields.exactly()?)),
            libc::IP_TOS => {
                let [tos] = fields.exactly()?;
                Self::Tos(tos)
            }
            libc::IP_RECVERR => Self::Error(ExtendedError::decode(raw)?),
            IP_RECVOPTS => Self::IpOptions(raw.data.into()),
            IP_RETOPTS => Self::IpReturnOptions(raw.data.into()),
            IP_ORIGDSTADDR => Self::OriginalDestination(destination(raw)?),
            IP_RECVFRAGSIZE => Self::FragmentSize(i32::from_ne_bytes(fields.exactly()?)),
            _ => return None,
        })
    }

    fn decode_ipv6(raw: RawControl<'_>) -> Option<Self> {
        let fields = raw.fields();
        Some(match raw.kind {
            libc::IPV6_PKTINFO => Self::PacketInfo(PacketInfo::decode(raw)?),
            libc::IPV6_HOPLIMIT => Self::HopLimit(i32::from_ne_bytes(fields.exactly()?)),
            libc::IPV6_TCLASS => Self::TrafficClass(i32::from_ne_bytes(fields.exactly()?)),
            libc::IPV6_RECVERR => Self::Error(ExtendedError::decode(raw)?),
            IPV6_FLOWINFO => Self::FlowInfo(u32::from_be_bytes(fields.exactly()?)),
            IPV6_HOPOPTS => Self::HopByHopOptions(raw.data.into()),
            IPV6_RTHDR => Self::RoutingHeader(raw.data.into()),
            IPV6_DSTOPTS => Self::DestinationOptions(raw.data.into()),
            IPV6_ORIGDSTADDR => Self::OriginalDestination(destination(raw)?),
            IPV6_RECVFRAGSIZE => Self::FragmentSizeV6(i32::from_ne_bytes(fields.exactly()?)),
            _ => return None,
        })
    }

    fn decode_other(raw: RawControl<'_>) -> Option<Self> {
        let fields = raw.fields();
        Some(match (raw.level, raw.kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => Self::UdpGro(i32::from_ne_bytes(fields.exactly()?)),
            (libc::IPPROTO_TCP, TCP_CM_INQ) => Self::TcpInq(i32::from_ne_bytes(fields.exactly()?)),
            (SOL_TLS, TLS_GET_RECORD_TYPE) => {
                let [kind] = fields.exactly()?;
                Self::TlsRecordType(kind)
            }
            (SOL_SCTP, SCTP_RCVINFO) => Self::SctpReceiveInfo(SctpReceiveInfo::decode(raw.data)?),
            (SOL_PACKET, PACKET_AUXDATA) => Self::PacketAuxData(PacketAuxData::decode(raw.data)?),
            (SOL_PACKET, PACKET_TX_TIMESTAMP) | (SOL_VSOCK, VSOCK_RECVERR) => {
                Self::Error(ExtendedError::decode(raw)?)
            }
            (SOL_NETLINK, NETLINK_PKTINFO) => Self::NetlinkGroup(u32::from_ne_bytes(fields.exactly()?)),
            (SOL_NETLINK, NETLINK_LISTEN_ALL_NSID) => {
                Self::NetlinkNamespace(i32::from_ne_bytes(fields.exactly()?))
            }
            (SOL_TIPC, TIPC_ERRINFO) => {
                fields.exactly::<8>()?;
                Self::TipcError { code: fields.u32(0)?, returned: fields.u32(4)? }
            }
            (SOL_TIPC, TIPC_RETDATA) => Self::TipcReturned(raw.data.into()),
            (SOL_TIPC, TIPC_DESTNAME) => {
                fields.exactly::<12>()?;
                let (service, lower, upper) = (fields.u32(0)?, fields.u32(4)?, fields.u32(8)?);
                Self::TipcDestination(TipcAddress::Range { service, lower, upper, scope: TipcScope::Cluster })
            }
            _ => return None,
        })
    }
}

/// Decodes a `sockaddr_in` or `sockaddr_in6`, of the protocol of the level.
fn destination(raw: RawControl<'_>) -> Option<SocketAddr> {
    let address = match (Address::from(&RawAddress::from_bytes(raw.data)), raw.level) {
        (Address::Inet(address), libc::IPPROTO_IP) => SocketAddr::from(address),
        (Address::Inet6(address), libc::IPPROTO_IPV6) => SocketAddr::from(address),
        _ => return None,
    };
    (*sockaddr(address) == *raw.data).then_some(address)
}
