//! Options of the other families.

use std::io;
use std::process;
use std::time::Duration;

use echosounder_socket::Type;
use echosounder_socket::option::{
    self, AeadTagLength, CanFilter, PacketFanout, PacketFanoutFlags, PacketFanoutMode, PacketMembership,
    PacketSelection, SctpDelayedSack, SctpEvent, SctpEvents, SctpInit, SctpRto, SctpSendInfo, SctpState,
    SctpValue, TipcGroup, TipcGroupFlags,
};

use super::check::{Needs, Row, check, copies, keeps, reads, rows, takes, toggles, works};
use super::makers::*;

fn value(value: u32) -> SctpValue {
    SctpValue { association: 0, value }
}

fn tipc_group() -> TipcGroup {
    TipcGroup { group: 2_000_000_077, instance: 1, scope: 3, flags: TipcGroupFlags::empty() }
}

fn in_tipc_group() -> io::Result<Made> {
    prepared(tipc(Type::RDM), |socket| socket.set_option(option::TIPC_GROUP_JOIN, tipc_group()))
}

fn promiscuous() -> PacketMembership {
    PacketMembership { interface: lo(), packets: PacketSelection::Promiscuous }
}

/// The group is of this process, as other tests may use the same number.
fn fanout() -> PacketFanout {
    let group = u16::try_from(process::id() & 0x7fff).unwrap();
    PacketFanout { group, mode: PacketFanoutMode::HASH, flags: PacketFanoutFlags::empty() }
}

/// Another group, whose packets go to another socket when one is full.
fn rolling_over() -> PacketFanout {
    PacketFanout { group: fanout().group | 0x8000, flags: PacketFanoutFlags::ROLLOVER, ..fanout() }
}

fn subscribed() -> io::Result<Made> {
    prepared(netlink(), |socket| socket.set_option(option::NETLINK_ADD_MEMBERSHIP, 1))
}

pub(super) const NETLINK: &[Row] = rows! {
    NETLINK_ADD_MEMBERSHIP => takes(netlink(), 1);
    NETLINK_BROADCAST_ERROR => toggles(netlink());
    NETLINK_CAP_ACK => toggles(netlink());
    NETLINK_DROP_MEMBERSHIP => takes(subscribed(), 1);
    NETLINK_EXT_ACK => toggles(netlink());
    NETLINK_GET_STRICT_CHK => toggles(netlink());
    NETLINK_LISTEN_ALL_NSID => takes(netlink(), true);
    NETLINK_LIST_MEMBERSHIPS => reads(subscribed(), |groups| groups[0] == 1);
    NETLINK_NO_ENOBUFS => toggles(netlink());
    NETLINK_PKTINFO => toggles(netlink());
};

pub(super) const TIPC: &[Row] = rows! {
    TIPC_CONN_TIMEOUT => keeps(tipc(Type::STREAM), 1234, 1234);
    TIPC_DEST_DROPPABLE => toggles(tipc(Type::RDM));
    TIPC_GROUP_JOIN => keeps(tipc(Type::RDM), tipc_group(), tipc_group().group);
    TIPC_GROUP_LEAVE => works(in_tipc_group(), (), |socket| Ok(socket.option(option::TIPC_GROUP_JOIN)? == 0));
    TIPC_IMPORTANCE => keeps(tipc(Type::RDM), 3, 3);
    TIPC_MCAST_BROADCAST feature "tipc bearer" ENOTSUP => takes(tipc(Type::RDM), ());
    TIPC_MCAST_REPLICAST feature "tipc bearer" ENOTSUP => takes(tipc(Type::RDM), ());
    TIPC_NODELAY => takes(tipc(Type::STREAM), true);
    TIPC_NODE_RECVQ_DEPTH => reads(tipc(Type::RDM), |depth| *depth == 0);
    TIPC_SOCK_RECVQ_DEPTH => reads(tipc(Type::RDM), |depth| *depth == 0);
    TIPC_SOCK_RECVQ_USED => reads(tipc(Type::RDM), |bytes| *bytes == 0);
    TIPC_SRC_DROPPABLE => toggles(tipc(Type::RDM));
};

pub(super) const VSOCK: &[Row] = rows! {
    SO_VM_SOCKETS_BUFFER_MAX_SIZE => keeps(vsock(), 1 << 20, 1 << 20);
    SO_VM_SOCKETS_BUFFER_MIN_SIZE => keeps(vsock(), 1 << 10, 1 << 10);
    SO_VM_SOCKETS_BUFFER_SIZE => keeps(vsock(), 1 << 16, 1 << 16);
    SO_VM_SOCKETS_CONNECT_TIMEOUT => keeps(vsock(), Duration::from_secs(3), Duration::from_secs(3));
};

pub(super) const SCTP: &[Row] = rows! {
    SCTP_ADAPTATION_LAYER => keeps(sctp(Type::STREAM), 7, 7);
    SCTP_ASSOCINFO => copies(sctp(Type::STREAM));
    SCTP_AUTOCLOSE => keeps(sctp(Type::SEQPACKET), 9, 9);
    SCTP_AUTO_ASCONF => toggles(sctp_on_all_addresses());
    SCTP_CONTEXT => keeps(sctp(Type::STREAM), value(9), value(9));
    SCTP_DEFAULT_SNDINFO => keeps(
        sctp(Type::STREAM),
        SctpSendInfo { payload_protocol: 7, ..SctpSendInfo::default() },
        SctpSendInfo { payload_protocol: 7, ..SctpSendInfo::default() }
    );
    SCTP_DELAYED_SACK => keeps(
        sctp(Type::STREAM),
        SctpDelayedSack { association: 0, delay_ms: 100, frequency: 3 },
        SctpDelayedSack { association: 0, delay_ms: 100, frequency: 3 }
    );
    SCTP_DISABLE_FRAGMENTS => toggles(sctp(Type::STREAM));
    SCTP_EVENT => works(
        sctp(Type::STREAM),
        SctpEvent { association: 0, kind: 0x8001, is_on: true },
        |socket| Ok(socket.option(option::SCTP_EVENTS)?.contains(SctpEvents::ASSOCIATION))
    );
    SCTP_EVENTS => keeps(
        sctp(Type::STREAM),
        SctpEvents::ASSOCIATION | SctpEvents::SHUTDOWN,
        SctpEvents::ASSOCIATION | SctpEvents::SHUTDOWN
    );
    SCTP_FRAGMENT_INTERLEAVE => keeps(sctp(Type::SEQPACKET), 1, 1);
    SCTP_GET_ASSOC_NUMBER => reads(sctp(Type::SEQPACKET), |number| *number == 0);
    SCTP_INITMSG => keeps(
        sctp(Type::STREAM),
        SctpInit { streams_out: 5, streams_in_max: 6, attempts_max: 7, timeout_max_ms: 8000 },
        SctpInit { streams_out: 5, streams_in_max: 6, attempts_max: 7, timeout_max_ms: 8000 }
    );
    SCTP_INTERLEAVING_SUPPORTED => reads(sctp(Type::STREAM), |supported| supported.value <= 1);
    SCTP_I_WANT_MAPPED_V4_ADDR => toggles(sctp(Type::STREAM));
    SCTP_MAXSEG => keeps(sctp(Type::STREAM), value(1200), value(1200));
    SCTP_MAX_BURST => keeps(sctp(Type::STREAM), value(9), value(9));
    SCTP_NODELAY => toggles(sctp(Type::STREAM));
    SCTP_PARTIAL_DELIVERY_POINT => keeps(sctp(Type::STREAM), 4096, 4096);
    SCTP_PEER_ADDR_PARAMS => copies(sctp(Type::STREAM));
    SCTP_PR_SUPPORTED => keeps(sctp(Type::STREAM), value(0), value(0));
    SCTP_RECONFIG_SUPPORTED => keeps(sctp(Type::STREAM), value(1), value(1));
    SCTP_RECVNXTINFO => toggles(sctp(Type::STREAM));
    SCTP_RECVRCVINFO => toggles(sctp(Type::STREAM));
    SCTP_REUSE_PORT => toggles(sctp(Type::STREAM));
    SCTP_RTOINFO => keeps(
        sctp(Type::STREAM),
        SctpRto { association: 0, initial_ms: 2000, max_ms: 9000, min_ms: 500 },
        SctpRto { association: 0, initial_ms: 2000, max_ms: 9000, min_ms: 500 }
    );
    SCTP_STATUS => reads(sctp_client(), |status| status.state == SctpState::ESTABLISHED && 0 < status.mtu);
};

pub(super) const PACKET: &[Row] = rows! {
    PACKET_ADD_MEMBERSHIP => takes(packet(), promiscuous());
    PACKET_AUXDATA => toggles(packet());
    PACKET_COPY_THRESH => takes(packet(), 100);
    PACKET_DROP_MEMBERSHIP =>
        takes(prepared(packet(), |socket| socket.set_option(option::PACKET_ADD_MEMBERSHIP, promiscuous())), promiscuous());
    PACKET_FANOUT => keeps(bound_packet(), fanout(), fanout());
    PACKET_IGNORE_OUTGOING => toggles(packet());
    PACKET_LOSS => toggles(packet());
    PACKET_ORIGDEV => toggles(packet());
    PACKET_QDISC_BYPASS => toggles(packet());
    PACKET_RESERVE => keeps(packet(), 64, 64);
    PACKET_ROLLOVER_STATS =>
        reads(prepared(bound_packet(), |socket| socket.set_option(option::PACKET_FANOUT, rolling_over())), |stats| stats.failed == 0);
    PACKET_STATISTICS => reads(packet(), |statistics| statistics.drops == 0);
    PACKET_TIMESTAMP => keeps(packet(), 64, 64);
    PACKET_TX_HAS_OFF => toggles(packet());
    PACKET_VERSION => keeps(packet(), 1, 1);
    PACKET_VNET_HDR => toggles(packet());
    PACKET_VNET_HDR_SZ newer "6.5" => keeps(packet(), 12, 12);
};

pub(super) const CAN: &[Row] = rows! {
    CAN_RAW_ERR_FILTER => keeps(can(), 7, 7);
    CAN_RAW_FD_FRAMES => toggles(can());
    CAN_RAW_FILTER => keeps(
        can(),
        vec![CanFilter { id: 0x123, mask: 0x7ff }, CanFilter { id: 0x200, mask: 0x700 }],
        vec![CanFilter { id: 0x123, mask: 0x7ff }, CanFilter { id: 0x200, mask: 0x700 }]
    );
    CAN_RAW_JOIN_FILTERS => toggles(can());
    CAN_RAW_LOOPBACK => toggles(can());
    CAN_RAW_RECV_OWN_MSGS => toggles(can());
    CAN_RAW_XL_FRAMES newer "6.2" => toggles(can());
};

pub(super) const ALG: &[Row] = rows! {
    ALG_SET_AEAD_AUTHSIZE => takes(alg(b"aead", b"gcm(aes)"), AeadTagLength(16));
    ALG_SET_DRBG_ENTROPY feature "algorithms" ENOPROTOOPT => takes(alg(b"rng", b"drbg_nopr_hmac_sha256"), vec![7; 48]);
    ALG_SET_KEY => takes(alg(b"hash", b"hmac(sha256)"), b"a key".to_vec());
};

pub(super) const XDP: &[Row] = rows! {
    XDP_MMAP_OFFSETS => reads(xdp(), |offsets| offsets.receive.producer != offsets.receive.descriptors);
    XDP_OPTIONS => reads(xdp(), |options| options.is_empty());
    XDP_RX_RING => takes(xdp(), 64);
    XDP_STATISTICS => reads(xdp(), |statistics| statistics.rx_dropped == 0);
    XDP_TX_RING => takes(xdp(), 64);
    XDP_UMEM_COMPLETION_RING => takes(xdp(), 64);
    XDP_UMEM_FILL_RING => takes(xdp(), 64);
};

#[test]
fn options_of_netlink_are_set_and_read() {
    check(NETLINK);
}

#[test]
fn options_of_tipc_are_set_and_read() {
    check(TIPC);
}

#[test]
fn options_of_vsock_are_set_and_read() {
    check(VSOCK);
}

#[test]
fn options_of_sctp_are_set_and_read() {
    check(SCTP);
}

#[test]
fn options_of_packet_sockets_are_set_and_read() {
    check(PACKET);
}

#[test]
fn options_of_can_are_set_and_read() {
    check(CAN);
}

#[test]
fn options_of_algorithms_are_set_and_read() {
    check(ALG);
}

#[test]
fn options_of_xdp_are_set_and_read() {
    check(XDP);
}

/// The length of the option counts instructions; a shorter buffer would ask how many there are.
#[test]
fn filter_does_not_fit_a_part_of_an_instruction() {
    let Made { socket, .. } = filtered().unwrap();
    for len in 1..8 {
        let error = socket.option_bytes(libc::SOL_SOCKET, libc::SO_GET_FILTER, len).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{len} bytes");
    }
    assert_eq!(socket.option_bytes(libc::SOL_SOCKET, libc::SO_GET_FILTER, 8).unwrap().len(), 8);
}
