//! Which sockets work on this machine: found out by carrying a byte.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{Address, Family, Interest, ServerOptions, Socket, Transport, create_server, ready};

/// How long a byte may take within this machine.
const WAIT: Duration = Duration::from_millis(300);

/// The first TIPC type that is tried. Each transport has its own: a service is found by its name alone, whatever
/// type of socket has it.
const SERVICE: u32 = 21567;

/// An address of this machine for each family that a transport has, with any port that is free.
pub(crate) fn places(transport: Transport) -> Vec<Address> {
    match transport {
        Transport::Netlink => vec![NetlinkAddress::default().into()],
        Transport::VsockStream | Transport::VsockSeqpacket => {
            vec![VsockAddress { cid: VsockAddress::CID_LOCAL, port: VsockAddress::PORT_ANY }.into()]
        }
        Transport::TipcStream | Transport::TipcSeqpacket | Transport::TipcRdm | Transport::TipcDatagram => {
            let place = Transport::all().position(|other| other == transport);
            let service = SERVICE + place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0);
            let (instance, scope) = (std::process::id(), TipcScope::Node);
            vec![TipcAddress::Service { service, instance, scope, domain: 0 }.into()]
        }
        _ if transport.has_hosts() => {
            vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]
        }
        _ => vec![UnixName::Unnamed.into()],
    }
}

/// Carries a byte from one socket of this machine to another.
pub(crate) fn carry(transport: Transport, place: &Address) -> io::Result<()> {
    let server = create_server(transport, place, ServerOptions::default())
        .map_err(echosounder_socket::Error::into_cause)?;
    server.set_timeout(Some(WAIT))?;
    let to = match server.local_addr()? {
        Address::Tipc(_) => place.clone(),
        Address::Vsock(VsockAddress { port, .. }) => {
            VsockAddress { cid: VsockAddress::CID_LOCAL, port }.into()
        }
        local => local,
    };
    let client = transport.socket(place)?;
    client.set_blocking(false)?;
    match client.connect(&to) {
        Err(error) if Socket::is_in_progress(&error) => {}
        result => result?,
    }
    let listener = transport.listens().then(|| server.accept()).transpose();
    if transport.listens() {
        let [state] = ready([(client.as_fd(), Interest::Write)], Some(WAIT))?;
        client.take_error()?;
        if !state.writable {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    let receiver = listener?.map_or(server, |(connection, _)| connection);
    receiver.set_timeout(Some(WAIT))?;
    client.set_timeout(Some(WAIT))?;
    client.send(b"?")?;
    let mut byte = [0];
    match receiver.recv(&mut byte)? {
        1 if byte == *b"?" => Ok(()),
        _ => Err(io::Error::other("another byte came than was sent")),
    }
}

/// Tells a missing loopback from a missing family: with VSOCK, guest and host may reach each other without one.
pub(crate) fn explained(transport: Transport, error: io::Error) -> io::Error {
    let is_vsock = matches!(transport, Transport::VsockStream | Transport::VsockSeqpacket);
    if !is_vsock || error.kind() != io::ErrorKind::AddrNotAvailable {
        return error;
    }
    io::Error::new(error.kind(), format!("no loopback, but the family is there: {error}"))
}

/// What would bring a transport that this kernel does not have.
pub(crate) fn remedy(transport: Transport, place: &Address, error: &io::Error) -> Option<&'static str> {
    let no_address = error.kind() == io::ErrorKind::AddrNotAvailable;
    match transport {
        _ if place.family() == Family::INET6 && no_address => {
            Some("\"sysctl net.ipv6.conf.all.disable_ipv6=0\"")
        }
        Transport::TipcStream | Transport::TipcSeqpacket | Transport::TipcRdm | Transport::TipcDatagram => {
            Some("\"modprobe tipc\", or a kernel with CONFIG_TIPC")
        }
        Transport::VsockStream => {
            Some("\"modprobe vsock_loopback\", or a kernel with CONFIG_VSOCKETS_LOOPBACK")
        }
        Transport::VsockSeqpacket => Some("\"modprobe vsock_loopback\", and Linux 5.14"),
        Transport::Sctp => Some("\"modprobe sctp\", or a kernel with CONFIG_IP_SCTP"),
        Transport::Mptcp => Some("\"sysctl net.mptcp.enabled=1\", or a kernel with CONFIG_MPTCP"),
        _ => None,
    }
}
