//! Levels and types of control messages. The numbers are those of the kernel's headers; the C
//! libraries lack some of them.

/// linux/socket.h.
pub(crate) const SCM_SECURITY: i32 = 3;
pub(crate) const SCM_PIDFD: i32 = 4;

/// asm-generic/socket.h.
pub(crate) const SCM_TIMESTAMPING_OPT_STATS: i32 = 54;
pub(crate) const SCM_TIMESTAMPING_PKTINFO: i32 = 58;
pub(crate) const SCM_TXTIME: i32 = 61;
pub(crate) const SCM_TS_OPT_ID: i32 = 81;

/// linux/in6.h.
pub(crate) const IPV6_FLOWINFO: i32 = 11;
pub(crate) const IPV6_HOPOPTS: i32 = 54;
pub(crate) const IPV6_RTHDR: i32 = 57;
pub(crate) const IPV6_DSTOPTS: i32 = 59;
pub(crate) const IPV6_DONTFRAG: i32 = 62;
pub(crate) const IPV6_ORIGDSTADDR: i32 = 74;
pub(crate) const IPV6_RECVFRAGSIZE: i32 = 77;

/// linux/in.h.
pub(crate) const IP_RECVOPTS: i32 = 6;
pub(crate) const IP_RETOPTS: i32 = 7;
pub(crate) const IP_ORIGDSTADDR: i32 = 20;
pub(crate) const IP_RECVFRAGSIZE: i32 = 25;

/// linux/tcp.h.
pub(crate) const TCP_CM_INQ: i32 = 36;

/// linux/sctp.h: `enum sctp_cmsg_type`.
pub(crate) const SOL_SCTP: i32 = 132;
pub(crate) const SCTP_SNDINFO: i32 = 2;
pub(crate) const SCTP_RCVINFO: i32 = 3;

/// linux/if_packet.h.
pub(crate) const SOL_PACKET: i32 = 263;
pub(crate) const PACKET_AUXDATA: i32 = 8;
pub(crate) const PACKET_TX_TIMESTAMP: i32 = 16;

/// linux/netlink.h.
pub(crate) const SOL_NETLINK: i32 = 270;
pub(crate) const NETLINK_PKTINFO: i32 = 3;
pub(crate) const NETLINK_LISTEN_ALL_NSID: i32 = 8;

/// linux/tipc.h.
pub(crate) const SOL_TIPC: i32 = 271;
pub(crate) const TIPC_ERRINFO: i32 = 1;
pub(crate) const TIPC_RETDATA: i32 = 2;
pub(crate) const TIPC_DESTNAME: i32 = 3;

/// linux/rds.h.
pub(crate) const SOL_RDS: i32 = 276;

/// linux/if_alg.h.
pub(crate) const SOL_ALG: i32 = 279;
pub(crate) const ALG_SET_IV: i32 = 2;
pub(crate) const ALG_SET_OP: i32 = 3;
pub(crate) const ALG_SET_AEAD_ASSOCLEN: i32 = 4;

/// linux/tls.h.
pub(crate) const SOL_TLS: i32 = 282;
pub(crate) const TLS_SET_RECORD_TYPE: i32 = 1;
pub(crate) const TLS_GET_RECORD_TYPE: i32 = 2;

/// linux/vm_sockets.h.
pub(crate) const SOL_VSOCK: i32 = 287;
pub(crate) const VSOCK_RECVERR: i32 = 1;
