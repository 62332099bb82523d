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

mod filter;
mod ip;
mod ipv6;
mod multicast;
mod names;
mod netlink;
mod sctp;
mod socket;
mod tcp;
mod timestamping;
mod tipc;
mod udp;
mod value;
mod vsock;

// Each of these files contains hundreds of names that are all public here.
pub use self::ip::*;
pub use self::ipv6::*;
pub use self::netlink::*;
pub use self::sctp::*;
pub use self::socket::*;
pub use self::tcp::*;
pub use self::tipc::*;
pub use self::udp::*;
pub use self::vsock::*;
pub use filter::BpfInstruction;
pub use multicast::{Membership, Membership6};
#[doc(hidden)]
pub use names::list;
pub use timestamping::TimestampingFlags;
pub use value::{GetValue, ReadOnly, SetValue, SocketOption, WriteOnly};
