//! Socket options, under their kernel names. The type of a constant is the type of the option's
//! value.
//!
//! Set and read an option that is not listed here with [`SocketOption::new`], or as bytes with
//! [`Socket::set_option_bytes`] and [`Socket::option_bytes`](crate::Socket::option_bytes).
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
//! # Ok::<(), std::io::Error>(())
//! ```
//!
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
mod names;
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
#[doc(hidden)]
pub use names::list;
pub use tcp_info::{TcpCongestionState, TcpInfo, TcpInfoOptions, TcpState};
pub use timestamping::TimestampingFlags;
pub use value::{GetValue, ReadOnly, SetValue, SocketOption, WriteOnly};
