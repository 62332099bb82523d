//! Which transports this machine supports, tested by sending a byte from one socket to another, and
//! what enables the others.

use std::os::fd::AsFd;
use std::time::Duration;
use std::{fs, io};

use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{Address, Family, Interest, ServerOptions, Socket, Transport, create_server, ready};

/// How long to wait for the byte. It takes far less within a machine.
const WAIT: Duration = Duration::from_millis(300);

/// Sends a byte to a server at this address of this machine.
pub(crate) fn send_byte(transport: Transport, address: &Address) -> io::Result<()> {
    let server = create_server((transport, address), ServerOptions::default())
        .map_err(echosounder_socket::Error::into_cause)?;
    server.set_timeout(Some(WAIT))?;
    let to = match server.local_addr()? {
        Address::Tipc(_) => address.clone(),
        Address::Vsock(VsockAddress { port, .. }) => {
            VsockAddress { cid: VsockAddress::CID_LOCAL, port }.into()
        }
        local => local,
    };
    let client = transport.socket(address)?;
    client.set_nonblocking(true)?;
    match client.connect(&to) {
        Err(error) if Socket::is_in_progress(&error) => {}
        result => result?,
    }
    let listener = transport.has_connections().then(|| server.accept()).transpose();
    if transport.has_connections() {
        let [state] = ready([(client.as_fd(), Interest::WRITE)], Some(WAIT))?;
        client.take_error()?.map_or(Ok(()), Err)?;
        if !state.can_write() {
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
        _ => Err(io::Error::other("the received byte differs from the sent one")),
    }
}

/// Adds to an error of VSOCK that the family exists: guest and host can reach each other without
/// its loopback.
pub(crate) fn explain(address: &Address, error: io::Error) -> io::Error {
    if !matches!(address, Address::Vsock(_)) || error.kind() != io::ErrorKind::AddrNotAvailable {
        return error;
    }
    io::Error::new(error.kind(), format!("the family exists, but not its loopback: {error}"))
}

/// Returns what would enable a transport that this kernel lacks.
pub(crate) fn remedy(transport: Transport, address: &Address, error: &io::Error) -> Option<&'static str> {
    if address.family() == Family::INET6 && error.kind() == io::ErrorKind::AddrNotAvailable {
        return Some("\"sysctl net.ipv6.conf.all.disable_ipv6=0\"");
    }
    transport.requirement()
}

/// Returns what allows this user to open ping sockets: icmp(7).
pub(crate) fn ping_socket_remedy() -> String {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    let range = range.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "let your group open ping sockets: \"sysctl -w net.ipv4.ping_group_range='0 2147483647'\" (it is \"{range}\")"
    )
}
