//! AF_NETLINK: port ids and groups. See netlink(7).
//!
//! Processes talk to the kernel through it, and with [`NETLINK_USERSOCK`](super::Protocol::NETLINK_USERSOCK) to
//! each other.
//!
//! - A port id identifies a socket, not a process: anybody may bind any that is free. Who sent a message is told
//!   by [`SO_PASSCRED`](crate::option::SO_PASSCRED), and port id 0 is the kernel.
//! - A receive that fails with ENOBUFS says that messages have been lost, once; those before and after can be
//!   read. Whoever keeps a state has to ask for it anew.
//! - An empty message cannot be sent: ENODATA (Linux 5.16).
//! - Whoever is connected hears nobody else; the kernel refuses the others.

use std::fmt;

use crate::endpoint_error::EndpointError;
use crate::raw_address::RawAddress;

/// Where a netlink socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetlinkAddress {
    /// The socket's number within its protocol; 0 for the kernel, and to bind to, for any that is free.
    pub port_id: u32,
    /// The multicast groups, a bit for each of the first 32.
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

impl fmt::Display for NetlinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port_id)
    }
}
