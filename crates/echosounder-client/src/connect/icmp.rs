//! Sockets for ICMP echo.

use std::io;

use echosounder_proto::IcmpVersion;
use echosounder_socket::option::{self, Icmp6Filter};
use echosounder_socket::{Address, Error, Family, Protocol, Socket, Type, is_family_absent};

use crate::error::ClientError;

/// Returns the version of ICMP at an address.
pub(crate) fn version(address: &Address) -> IcmpVersion {
    match address {
        Address::Inet6(_) => IcmpVersion::V6,
        _ => IcmpVersion::V4,
    }
}

/// Opens a ping socket, which needs no privileges if net.ipv4.ping_group_range includes a group of
/// the user: icmp(7). Otherwise opens a raw socket, which needs CAP_NET_RAW.
pub(super) fn open(address: &Address) -> Result<Socket, ClientError> {
    let version = version(address);
    let (family, protocol) = match version {
        IcmpVersion::V4 => (Family::INET, Protocol::ICMP),
        IcmpVersion::V6 => (Family::INET6, Protocol::ICMPV6),
    };
    let socket = match Socket::new(family, Type::DGRAM, protocol) {
        // The error of the ping socket names the right that is simpler to give.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_raw(family, protocol, version).map_err(|_| error)
        }
        result => result,
    };
    socket.map_err(|error| {
        let is_absent = is_family_absent(&error);
        let error = Error::new("open", &"an ICMP socket", error).with_address(address);
        if is_absent { ClientError::FamilyAbsent(error) } else { ClientError::Local(error) }
    })
}

/// Opens a raw socket that receives echo replies only: those to all programs of this machine.
fn open_raw(family: Family, protocol: Protocol, version: IcmpVersion) -> io::Result<Socket> {
    let socket = Socket::new(family, Type::RAW, protocol)?;
    match version {
        IcmpVersion::V4 => socket.set_option(option::ICMP_FILTER, !(1 << version.reply()))?,
        IcmpVersion::V6 => {
            socket.set_option(option::ICMP6_FILTER, Icmp6Filter::BLOCK_ALL.pass(version.reply()))?;
        }
    }
    Ok(socket)
}
