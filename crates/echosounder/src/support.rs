//! Which sockets work on this machine: found out by carrying a byte.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{Address, Family, Interest, ServerOptions, Socket, Transport, create_server, ready};

/// How long a byte may take within this machine.
const WAIT: Duration = Duration::from_millis(300);

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
    let listener = transport.has_connections().then(|| server.accept()).transpose();
    if transport.has_connections() {
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
pub(crate) fn explained(place: &Address, error: io::Error) -> io::Error {
    if !matches!(place, Address::Vsock(_)) || error.kind() != io::ErrorKind::AddrNotAvailable {
        return error;
    }
    io::Error::new(error.kind(), format!("no loopback, but the family is there: {error}"))
}

/// Returns what would enable a transport that this kernel lacks.
pub(crate) fn remedy(transport: Transport, place: &Address, error: &io::Error) -> Option<&'static str> {
    if place.family() == Family::INET6 && error.kind() == io::ErrorKind::AddrNotAvailable {
        return Some("\"sysctl net.ipv6.conf.all.disable_ipv6=0\"");
    }
    transport.requirement()
}
