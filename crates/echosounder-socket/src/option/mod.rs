//! Socket options, under their kernel names. The types of a constant are the types of the values
//! that are set and read.
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type, option};
//! use std::time::Duration;
//!
//! let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
//! socket.set_option(option::SO_RCVBUF, 65536)?;
//! assert!(65536 <= socket.option(option::SO_RCVBUF)?);
//! socket.set_option(option::SO_LINGER, Some(Duration::from_secs(2)))?;
//! assert_eq!(socket.option(option::SO_LINGER)?, Some(Duration::from_secs(2)));
//! // Options that can only be read, or only be set:
//! assert_eq!(socket.option(option::SO_TYPE)?, Type::STREAM);
//! println!("{:?}", socket.option(option::TCP_INFO)?.rtt);
//! socket.set_option(option::SO_CNX_ADVICE, 1)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The most used options
//!
//! | purpose | options |
//! |---|---|
//! | reuse or share an address | [`SO_REUSEADDR`], [`SO_REUSEPORT`] |
//! | bind before the address exists | [`IP_FREEBIND`], [`IPV6_FREEBIND`] |
//! | choose an interface | [`SO_BINDTODEVICE`], [`SO_BINDTOIFINDEX`] |
//! | accept IPv4 on IPv6 or not | [`IPV6_V6ONLY`] |
//! | size the buffers | [`SO_RCVBUF`], [`SO_SNDBUF`], [`TCP_NOTSENT_LOWAT`] |
//! | send at once, or in full segments | [`TCP_NODELAY`], [`TCP_CORK`] |
//! | notice that an idle peer is gone | [`SO_KEEPALIVE`], [`TCP_KEEPIDLE`], [`TCP_KEEPINTVL`], [`TCP_KEEPCNT`] |
//! | notice that a silent peer is gone | [`TCP_USER_TIMEOUT`] |
//! | wait for unsent data on close | [`SO_LINGER`] |
//! | observe a connection | [`TCP_INFO`], [`SO_MEMINFO`] |
//! | set DSCP and ECN | [`IP_TOS`], [`IPV6_TCLASS`] |
//! | set time to live or hop limit | [`IP_TTL`], [`IPV6_UNICAST_HOPS`] |
//! | mark packets for the firewall | [`SO_MARK`], [`SO_PRIORITY`] |
//! | join a multicast group | [`IP_ADD_MEMBERSHIP`], [`IPV6_ADD_MEMBERSHIP`], [`MCAST_JOIN_SOURCE_GROUP`] |
//! | send to a multicast group | [`IP_MULTICAST_TTL`], [`IP_MULTICAST_LOOP`], [`IPV6_MULTICAST_HOPS`] |
//! | send multicast or broadcast | [`IP_MULTICAST_IF`], [`IPV6_MULTICAST_IF`], [`SO_BROADCAST`] |
//! | receive the time of arrival | [`SO_TIMESTAMPNS`], [`SO_TIMESTAMPING`] |
//! | receive destination and interface | [`IP_PKTINFO`], [`IPV6_RECVPKTINFO`] |
//! | receive the time to live | [`IP_RECVTTL`], [`IPV6_RECVHOPLIMIT`] |
//! | receive errors with their origin | [`IP_RECVERR`], [`IPV6_RECVERR`] |
//! | discover the path MTU | [`IP_MTU_DISCOVER`], [`IP_MTU`] |
//! | many datagrams in one call | [`UDP_SEGMENT`], [`UDP_GRO`] |
//! | identify a local peer | [`SO_PEERCRED`], [`SO_PASSCRED`], [`Socket::peer_pidfd`] |
//! | filter packets | [`Socket::attach_filter`], [`Socket::attach_reuseport_filter`] |
//!
//! # Kinds of options
//!
//! The type [`SocketOption<i32>`](SocketOption) is set and read as an `i32`,
//! `SocketOption<ReadOnly, i32>` is only read, and `SocketOption<Membership, WriteOnly>` is only
//! set. What an option does not support does not compile. A bool is an `int`, 0 or 1, and a
//! [`Duration`](std::time::Duration) a `struct timeval`; other units are in the description of the
//! option.
//!
//! An option that the kernel does not have is refused with ENOPROTOOPT or EOPNOTSUPP
//! ([`is_feature_absent`](crate::is_feature_absent)). "Linux 5.9" in a description is the version
//! that brought the option; those without one are older than Linux 4.9.
//!
//! Define an option that is not listed here with [`SocketOption::new`], or set and read it as bytes
//! with [`Socket::set_option_bytes`], [`Socket::option_bytes`] and [`Socket::option_with_input`].
//!
//! [`Socket::attach_filter`]: crate::Socket::attach_filter
//! [`Socket::attach_reuseport_filter`]: crate::Socket::attach_reuseport_filter
//! [`Socket::option_bytes`]: crate::Socket::option_bytes
//! [`Socket::option_with_input`]: crate::Socket::option_with_input
//! [`Socket::peer_pidfd`]: crate::Socket::peer_pidfd
//! [`Socket::set_option_bytes`]: crate::Socket::set_option_bytes

mod alg;
mod can;
mod filter;
mod icmp;
mod icmp6;
mod ip;
mod ipv6;
mod mptcp;
mod multicast;
pub(crate) mod names;
mod netlink;
mod packet;
mod sctp;
mod socket;
mod tcp;
mod tcp_info;
mod timestamping;
mod tipc;
mod tls;
mod udp;
mod udplite;
mod value;
mod vsock;
mod xdp;

// Each of these files contains only options and their values, which are all public here.
pub use self::alg::*;
pub use self::can::*;
pub use self::icmp::*;
pub use self::icmp6::*;
pub use self::ip::*;
pub use self::ipv6::*;
pub use self::mptcp::*;
pub use self::netlink::*;
pub use self::packet::*;
pub use self::sctp::*;
pub use self::socket::*;
pub use self::tcp::*;
pub use self::tipc::*;
pub use self::tls::*;
pub use self::udp::*;
pub use self::udplite::*;
pub use self::vsock::*;
pub use self::xdp::*;
pub use filter::BpfInstruction;
pub use multicast::{
    FilterMode, Group, GroupFilter, GroupSource, Membership, Membership6, MulticastInterface, SourceFilter,
    SourceMembership,
};
pub use tcp_info::{TcpCongestionState, TcpInfo, TcpInfoOptions, TcpState};
pub use timestamping::TimestampingFlags;
pub use value::{GetValue, ReadOnly, SetValue, SocketOption, WriteOnly};
