//! Ports for tests that must know one before anything is bound to it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use echosounder_socket::{Address, Socket, Transport};

use crate::Random;

/// How many ports are tried; a port is seldom taken.
const ATTEMPTS: u32 = 100;

/// Returns a port on loopback that refuses TCP connections and UDP datagrams.
///
/// The test program holds the port until it ends, so nothing else can come to listen there: the TCP
/// socket is bound without listening, and the UDP socket is connected to another port, so the
/// kernel rejects datagrams from everywhere else. Both hold for 127.0.0.1 and, if this machine has
/// it, ::1.
pub fn closed_port() -> u16 {
    static HELD: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let (port, sockets) = (0..ATTEMPTS).find_map(|_| hold_port()).expect("a port is free");
    HELD.lock().unwrap_or_else(PoisonError::into_inner).extend(sockets);
    port
}

/// Holds a port of both protocols on both loopbacks, or returns `None` if one of them is taken.
fn hold_port() -> Option<(u16, Vec<Socket>)> {
    let first = bind(Transport::Tcp, Ipv4Addr::LOCALHOST, 0)?;
    let port = first.local_addr().unwrap().port().unwrap();
    let mut held = vec![first, hold_udp(Ipv4Addr::LOCALHOST, port)?];
    if bind(Transport::Tcp, Ipv6Addr::LOCALHOST, 0).is_some() {
        held.extend([bind(Transport::Tcp, Ipv6Addr::LOCALHOST, port)?, hold_udp(Ipv6Addr::LOCALHOST, port)?]);
    }
    Some((port, held))
}

fn bind(transport: Transport, host: impl Into<IpAddr>, port: u16) -> Option<Socket> {
    let address = Address::from(SocketAddr::new(host.into(), port));
    let socket = transport.socket(&address).ok()?;
    socket.bind(&address).ok().map(|()| socket)
}

/// Binds a UDP port and connects it to the discard service, port 9, which never sends.
fn hold_udp(host: impl Into<IpAddr> + Copy, port: u16) -> Option<Socket> {
    let socket = bind(Transport::Udp, host, port)?;
    let discard = SocketAddr::new(host.into(), 9);
    socket.connect(Address::from(discard)).ok().map(|()| socket)
}

/// Returns a port of 127.0.0.1 that is free now and that the kernel gives to nobody who asks for
/// any port.
///
/// Use it for a program that needs its port as an argument, or for a port that is first closed and
/// then opened. Each call returns another port.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let ephemeral: Vec<u16> = range.split_whitespace().map(|port| port.parse().unwrap()).collect();
    let mut random = Random::new(Random::fresh_seed());
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = |port: u16| {
        let address = (Ipv4Addr::LOCALHOST, port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    let ports = (0..10 * ATTEMPTS).map(|_| u16::try_from(2000 + random.below(60_000)).unwrap());
    let usable = |port: &u16| !(ephemeral[0]..=ephemeral[1]).contains(port) && is_free(*port);
    let port = ports.filter(usable).find(|&port| taken.insert(port));
    port.expect("a port outside the ephemeral range is free")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;
    use crate::{PATIENCE, has_ipv6};

    #[test]
    fn closed_port_refuses_both_protocols_and_cannot_be_bound() {
        let port = closed_port();
        let hosts = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        for host in hosts.into_iter().take(if has_ipv6() { 2 } else { 1 }) {
            let error = TcpStream::connect((host, port)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{host}");
            let client = UdpSocket::bind((host, 0)).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.connect((host, port)).unwrap();
            client.send(b"hello").unwrap();
            let error = crate::retry_interrupted(|| client.recv(&mut [0; 8])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{host}");
            assert!(TcpListener::bind((host, port)).is_err() && UdpSocket::bind((host, port)).is_err());
        }
    }

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let (one, other) = (free_port(), free_port());
        assert_ne!(one, other);
        TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
    }
}
