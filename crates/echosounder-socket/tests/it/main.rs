//! Tests of endpoints, addresses and sockets. They use loopback addresses, abstract names and
//! temporary folders, and need no privilege.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod address;
mod alone;
mod ancillary;
mod batch;
mod control;
mod corpus;
mod create;
mod endpoint;
mod examples;
mod family;
mod file;
mod flags;
mod guide;
mod interpreted;
mod modes;
mod netlink;
mod option;
mod others;
mod poll;
mod python;
#[cfg(feature = "serde")]
mod serde;
mod signal;
mod socket;
mod std_types;
mod syscalls;
mod tipc;
mod to_endpoint;
mod traps;
mod unix;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::sync::LazyLock;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Interest, Kind, Socket, Transport, ready};
use echosounder_testkit::{Folder, PATIENCE, skip, unique};

/// In a bind, the kernel chooses an unused name.
const UNNAMED: Address = Address::Unix(UnixName::Unnamed);

/// Loopback addresses with port 0: IPv4, and IPv6 if this machine has it.
static LOOPBACK: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let v4 = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let v6 = Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    match Transport::Udp.socket(&v6).and_then(|socket| socket.bind(&v6)) {
        Ok(()) => vec![v4, v6],
        Err(error) => {
            skip("ipv6", error);
            vec![v4]
        }
    }
});

/// Returns a link-local address of this machine, or skips.
fn link_local() -> Option<SocketAddrV6> {
    let list = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let found = list.lines().filter(|line| line.starts_with("fe80")).find_map(|line| {
        let (ip, rest) = line.split_at_checked(32)?;
        let index = rest.split_whitespace().next()?;
        let ip = Ipv6Addr::from(u128::from_str_radix(ip, 16).ok()?);
        let address = SocketAddrV6::new(ip, 0, 0, u32::from_str_radix(index, 16).ok()?);
        // Duplicate address detection may not have finished.
        UdpSocket::bind(address).ok().map(|_| address)
    });
    if found.is_none() {
        skip("link-local", "no interface has one");
    }
    found
}

/// Returns every IP and UNIX transport of a kind, with the loopback addresses to bind to.
fn everywhere(kind: Kind) -> Vec<(Transport, Address)> {
    let mut cases = Vec::new();
    for transport in Transport::all().filter(|transport| transport.kind() == kind) {
        match transport {
            Transport::Tcp | Transport::Udp => {
                cases.extend(LOOPBACK.iter().map(|address| (transport, address.clone())));
            }
            Transport::UnixStream | Transport::UnixDatagram | Transport::UnixSeqpacket => {
                cases.push((transport, UNNAMED));
            }
            _ => {}
        }
    }
    cases
}

/// Returns a bound socket and its address.
fn bound(transport: Transport, address: &Address) -> (Socket, Address) {
    let socket = transport.socket(address).unwrap();
    socket.bind(address).unwrap();
    let name = socket.local_addr().unwrap();
    (socket, name)
}

/// Returns a socket that is bound and connected to an address.
fn connected(transport: Transport, to: &Address) -> Socket {
    let socket = transport.socket(to).unwrap();
    if matches!(to, Address::Unix(_)) {
        socket.bind(&UNNAMED).unwrap();
    }
    socket.connect(to).unwrap();
    socket
}

fn wait_readable(socket: &impl AsFd) {
    let [readiness] = ready([(socket.as_fd(), Interest::READ)], Some(PATIENCE)).unwrap();
    assert!(readiness.can_read(), "nothing came");
}

/// Waits for data and returns the bytes of one receive.
fn read(socket: &Socket) -> Vec<u8> {
    wait_readable(socket);
    let mut buffer = [0; 4096];
    let len = socket.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// Returns the value of a field in a file of /proc.
fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{file} has no {name}")).trim().into()
}
