//! Control messages to send.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::control::number::*;
use crate::control::packet_info::PacketInfo;
use crate::control::raw::{RawControl, put};
use crate::control::records::SctpSendInfo;
use crate::control::space::ControlSpace;
use crate::credentials::Credentials;

/// A control message to send with a message. It holds for this message only, where a socket option
/// would hold for all.
///
/// ```
/// use echosounder_socket::{ControlSpace, Family, MessageFlags, Protocol, SendControl, Socket, Type, option};
/// use std::io::{IoSlice, IoSliceMut};
/// use std::net::Ipv4Addr;
///
/// let receiver = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// receiver.bind((Ipv4Addr::LOCALHOST, 0))?;
/// receiver.set_option(option::IP_RECVTTL, true)?;
/// let sender = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
/// sender.connect(receiver.local_addr()?)?;
///
/// sender.send_msg(&[IoSlice::new(b"near")], &[SendControl::Ttl(1)], None, MessageFlags::NONE)?;
/// let mut buffer = [0; 16];
/// let message =
///     receiver.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::TTL, MessageFlags::NONE)?;
/// assert_eq!(message.ttl(), Some(1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SendControl<'a> {
    /// Pass descriptors to the peer, at most 253: SCM_RIGHTS, unix(7). On a stream they need at least
    /// one byte of data: the kernel drops those of an empty message.
    Rights(&'a [BorrowedFd<'a>]),
    /// Send the identity of this process, which the kernel checks: SCM_CREDENTIALS, unix(7).
    Credentials(Credentials),
    /// Send from the [`local`](PacketInfo::local) address, through the
    /// [`interface`](PacketInfo::interface) unless it is 0: IP_PKTINFO, IPV6_PKTINFO.
    PacketInfo(PacketInfo),
    /// Set the time to live, 1 to 255: IP_TTL, ip(7).
    Ttl(i32),
    /// Set the hop limit, 0 to 255: IPV6_HOPLIMIT, RFC 3542.
    HopLimit(i32),
    /// Set the type of service: IP_TOS, ip(7).
    Tos(u8),
    /// Set the traffic class: IPV6_TCLASS, RFC 3542.
    TrafficClass(i32),
    /// Set the traffic class and the flow label, the lower 28 bits: IPV6_FLOWINFO.
    FlowInfo(u32),
    /// Fail with EMSGSIZE instead of sending an IPv6 datagram in fragments: IPV6_DONTFRAG, RFC 3542.
    DontFragment(bool),
    /// Set the options of the IPv4 header, in the form that
    /// [`ControlMessage::IpReturnOptions`](crate::ControlMessage::IpReturnOptions) has:
    /// [`IP_RETOPTS`](crate::option::IP_RETOPTS), ip(7).
    IpOptions(&'a [u8]),
    /// Add a hop-by-hop options header: IPV6_HOPOPTS, RFC 3542. It needs CAP_NET_RAW.
    HopByHopOptions(&'a [u8]),
    /// Add a routing header: IPV6_RTHDR, RFC 3542.
    RoutingHeader(&'a [u8]),
    /// Add a destination options header: IPV6_DSTOPTS, RFC 3542. It needs CAP_NET_RAW.
    DestinationOptions(&'a [u8]),
    /// Cut the message into datagrams of this many bytes; the last carries the rest: UDP_SEGMENT,
    /// udp(7).
    UdpSegment(u16),
    /// Set the mark of the packet, for packet filters and routing: SO_MARK, socket(7). It needs
    /// CAP_NET_ADMIN or CAP_NET_RAW.
    Mark(u32),
    /// Set the priority of the packet: SO_PRIORITY, socket(7), since Linux 6.14. More than 6 needs
    /// CAP_NET_ADMIN or CAP_NET_RAW.
    Priority(u32),
    /// Send at a time of the clock that the option [`SO_TXTIME`](crate::option::SO_TXTIME) has
    /// chosen: SCM_TXTIME, since Linux 4.19. It needs a queueing discipline such as etf, tc-etf(8).
    TransmitTime(Duration),
    /// Take departure times of this message: the flags SOF_TIMESTAMPING_TX_ of
    /// [`SO_TIMESTAMPING`](crate::option::SO_TIMESTAMPING), from the kernel's document
    /// networking/timestamping.
    Timestamping(u32),
    /// Set the number of the departure time of this message: SCM_TS_OPT_ID, since Linux 6.13. The
    /// socket needs the flag SOF_TIMESTAMPING_OPT_ID.
    TimestampId(u32),
    /// Send a TLS record of this type, for example 21 for an alert: TLS_SET_RECORD_TYPE, from the
    /// kernel's document networking/tls.
    TlsRecordType(u8),
    /// Set the stream and other properties of an SCTP message: SCTP_SNDINFO, RFC 6458.
    SctpSendInfo(SctpSendInfo),
    /// Choose the operation of an AF_ALG socket, ALG_OP_DECRYPT (0) or ALG_OP_ENCRYPT (1):
    /// ALG_SET_OP, linux/if_alg.h.
    AlgOperation(u32),
    /// Set the initialisation vector of an AF_ALG socket: ALG_SET_IV, linux/if_alg.h.
    AlgIv(&'a [u8]),
    /// Set how many bytes are authenticated but not encrypted by an AF_ALG socket:
    /// ALG_SET_AEAD_ASSOCLEN, linux/if_alg.h.
    AlgAssociatedLen(u32),
    /// A control message of another type.
    ///
    /// Types that carry descriptors or pointers as numbers are refused with `InvalidInput`:
    /// SCM_RIGHTS, SCM_PIDFD and SCM_CREDENTIALS of SOL_SOCKET, and all of SOL_RDS. Use
    /// [`Rights`](Self::Rights), which only accepts descriptors that the caller has borrowed, and
    /// [`Credentials`](Self::Credentials).
    Raw(RawControl<'a>),
}

impl SendControl<'_> {
    /// Appends control messages for sendmsg(2) to a buffer.
    pub(crate) fn append_all(messages: &[SendControl<'_>], control: &mut Vec<u8>) -> io::Result<()> {
        for message in messages {
            if let SendControl::Raw(raw) = message {
                refuse_descriptors_and_pointers(*raw)?;
            }
            message.append(control);
        }
        Ok(())
    }

    /// Encodes control messages for sendmsg(2).
    pub(crate) fn encode_all(messages: &[SendControl<'_>]) -> io::Result<Vec<u8>> {
        let mut control = Vec::new();
        Self::append_all(messages, &mut control)?;
        Ok(control)
    }

    fn append(&self, control: &mut Vec<u8>) {
        let mut add = |level, kind, data: &[u8]| append(control, level, kind, data);
        match self {
            Self::Rights(fds) => append_rights(fds, control),
            Self::PacketInfo(info) => append_packet_info(info, control),
            Self::AlgIv(iv) => append_iv(iv, control),
            Self::Credentials(who) => add(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &who.encode()),
            Self::Ttl(hops) => add(libc::IPPROTO_IP, libc::IP_TTL, &hops.to_ne_bytes()),
            Self::HopLimit(hops) => add(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &hops.to_ne_bytes()),
            Self::Tos(tos) => add(libc::IPPROTO_IP, libc::IP_TOS, &[*tos]),
            Self::TrafficClass(class) => add(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class.to_ne_bytes()),
            Self::FlowInfo(flow) => add(libc::IPPROTO_IPV6, IPV6_FLOWINFO, &flow.to_be_bytes()),
            Self::DontFragment(on) => add(libc::IPPROTO_IPV6, IPV6_DONTFRAG, &i32::from(*on).to_ne_bytes()),
            Self::IpOptions(options) => add(libc::IPPROTO_IP, IP_RETOPTS, options),
            Self::HopByHopOptions(header) => add(libc::IPPROTO_IPV6, IPV6_HOPOPTS, header),
            Self::RoutingHeader(header) => add(libc::IPPROTO_IPV6, IPV6_RTHDR, header),
            Self::DestinationOptions(header) => add(libc::IPPROTO_IPV6, IPV6_DSTOPTS, header),
            Self::UdpSegment(size) => add(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes()),
            Self::Mark(mark) => add(libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes()),
            Self::Priority(priority) => add(libc::SOL_SOCKET, libc::SO_PRIORITY, &priority.to_ne_bytes()),
            Self::TransmitTime(time) => {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                add(libc::SOL_SOCKET, SCM_TXTIME, &nanos.to_ne_bytes());
            }
            Self::Timestamping(flags) => add(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags.to_ne_bytes()),
            Self::TimestampId(id) => add(libc::SOL_SOCKET, SCM_TS_OPT_ID, &id.to_ne_bytes()),
            Self::TlsRecordType(kind) => add(SOL_TLS, TLS_SET_RECORD_TYPE, &[*kind]),
            Self::SctpSendInfo(info) => add(SOL_SCTP, SCTP_SNDINFO, &info.data()),
            Self::AlgOperation(operation) => add(SOL_ALG, ALG_SET_OP, &operation.to_ne_bytes()),
            Self::AlgAssociatedLen(len) => add(SOL_ALG, ALG_SET_AEAD_ASSOCLEN, &len.to_ne_bytes()),
            Self::Raw(raw) => add(raw.level, raw.kind, raw.data),
        }
    }
}

/// Refuses control messages whose bytes the kernel takes for descriptors or for pointers: safe code
/// could pass on descriptors that it does not own, or make the kernel write to any address.
fn refuse_descriptors_and_pointers(raw: RawControl<'_>) -> io::Result<()> {
    let socket_kinds = [libc::SCM_RIGHTS, libc::SCM_CREDENTIALS, SCM_PIDFD];
    if raw.level == SOL_RDS || (raw.level == libc::SOL_SOCKET && socket_kinds.contains(&raw.kind)) {
        let reason = "descriptors, credentials and pointers cannot be sent as raw control messages";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}

fn append(control: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    let start = control.len();
    control.resize(start + ControlSpace::of(data.len()).bytes(), 0);
    put(&mut control[start..], level, kind, data);
}

fn append_rights(fds: &[BorrowedFd<'_>], control: &mut Vec<u8>) {
    let numbers: Vec<u8> = fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
    append(control, libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers);
}

fn append_packet_info(info: &PacketInfo, control: &mut Vec<u8>) {
    let mut buffer = [0; ControlSpace::PACKET_INFO.bytes()];
    let len = info.encode(&mut buffer);
    control.extend_from_slice(&buffer[..len]);
}

/// Appends a `struct af_alg_iv`: the length and the bytes.
fn append_iv(iv: &[u8], control: &mut Vec<u8>) {
    // A longer vector would not fit the address space of the kernel's own copy either.
    let len = u32::try_from(iv.len()).unwrap_or(u32::MAX);
    append(control, SOL_ALG, ALG_SET_IV, &[&len.to_ne_bytes(), iv].concat());
}

/// Writes the control message that sets the type of service or traffic class of a datagram, and
/// returns its length.
pub(crate) fn put_traffic_class(control: &mut [u8], class: u8, is_ipv6: bool) -> usize {
    match is_ipv6 {
        true => put(control, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &i32::from(class).to_ne_bytes()),
        false => put(control, libc::IPPROTO_IP, libc::IP_TOS, &[class]),
    }
}

/// Writes the control message that cuts a send into datagrams of `size` bytes, and returns its
/// length.
pub(crate) fn put_segment_size(control: &mut [u8], size: u16) -> usize {
    put(control, libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes())
}
