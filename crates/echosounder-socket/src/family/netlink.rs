//! AF_NETLINK: port ids and groups. See netlink(7).
//!
//! Processes use it to communicate with the kernel, and with each other through
//! [`NETLINK_USERSOCK`](super::Protocol::NETLINK_USERSOCK).
//!
//! - A port id identifies a socket, not a process, and any process may bind any free one. Port id 0
//!   is the kernel. [`SO_PASSCRED`](crate::option::SO_PASSCRED) identifies the sending process.
//! - ENOBUFS from a receive means that messages were lost. Later receives continue with the
//!   messages in the queue; a program that tracks kernel state must request it again.
//! - An empty message cannot be sent: ENODATA, since Linux 5.16.
//! - A connected socket receives from its peer only. The kernel refuses messages from others.
//!
//! ```
//! use echosounder_socket::family::netlink::NetlinkAddress;
//! use echosounder_socket::{Family, Protocol, Socket, Type};
//!
//! let socket = Socket::new(Family::NETLINK, Type::RAW, Protocol::NETLINK_ROUTE)?;
//! socket.connect(NetlinkAddress::default())?; // Port 0 is the kernel.
//!
//! // struct nlmsghdr and struct rtgenmsg: RTM_GETLINK (18), NLM_F_REQUEST | NLM_F_DUMP (0x301).
//! let mut request = [0; 20];
//! request[..4].copy_from_slice(&20_u32.to_ne_bytes());
//! request[4..6].copy_from_slice(&18_u16.to_ne_bytes());
//! request[6..8].copy_from_slice(&0x301_u16.to_ne_bytes());
//! socket.send(&request)?;
//!
//! let mut buffer = vec![0; 32 * 1024];
//! let message = socket.recv_message(&mut buffer)?;
//! assert!(!message.is_truncated());
//! assert_eq!(buffer[4..6], 16_u16.to_ne_bytes()); // RTM_NEWLINK
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::endpoint_error::EndpointError;
use crate::raw_address::RawAddress;

/// The address of a netlink socket.
///
/// As text, it is the port id, followed by the groups if there are any: `0?groups=0x1`.
///
/// ```
/// use echosounder_socket::family::netlink::NetlinkAddress;
///
/// // A socket that receives device events.
/// let address = NetlinkAddress { port_id: 0, groups: 1 };
/// assert_eq!(address.to_string(), "0?groups=0x1");
/// assert_eq!("0?groups=0x1".parse(), Ok(address));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetlinkAddress {
    /// The socket's number within its protocol. 0 is the kernel; in a bind, 0 lets the kernel
    /// choose a free one.
    pub port_id: u32,
    /// The multicast groups, one bit for each of the first 32.
    pub groups: u32,
}

impl NetlinkAddress {
    /// Parses `PORTID`.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let port_id = super::number(text).ok_or_else(|| EndpointError::BadPortId(text.into()))?;
        Ok(Self { port_id, groups: 0 })
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        raw.put(&[0; 2]);
        raw.put(&self.port_id.to_ne_bytes());
        raw.put(&self.groups.to_ne_bytes());
    }

    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        Some(Self { port_id: u32::from_ne_bytes(raw.field(4)?), groups: u32::from_ne_bytes(raw.field(8)?) })
    }
}

const _: () = assert!(size_of::<libc::sockaddr_nl>() == 12);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_nl, nl_pid) == 4);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_nl, nl_groups) == 8);

impl FromStr for NetlinkAddress {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let Some((port_id, groups)) = text.split_once('?') else { return Self::parse(text) };
        let digits = groups.strip_prefix("groups=0x").and_then(super::hex_number);
        let groups = digits.ok_or_else(|| EndpointError::BadGroups(groups.into()))?;
        Ok(Self { groups, ..Self::parse(port_id)? })
    }
}

impl fmt::Display for NetlinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port_id)?;
        if self.groups == 0 { Ok(()) } else { write!(f, "?groups={:#x}", self.groups) }
    }
}
