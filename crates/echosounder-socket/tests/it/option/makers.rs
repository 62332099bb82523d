//! Sockets in the states in which options can be set and read.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use echosounder_socket::option::{self, BpfInstruction};
use echosounder_socket::{Address, Family, Protocol, Socket, Transport, Type, interface_index};

/// A socket, with those that keep its state.
pub(super) struct Made {
    pub(super) socket: Socket,
    pub(super) others: Vec<Socket>,
}

impl From<Socket> for Made {
    fn from(socket: Socket) -> Self {
        Self { socket, others: Vec::new() }
    }
}

/// What this machine lacks, under the name of a skip, and the reason.
#[derive(Debug)]
pub(super) struct Lacking(pub(super) &'static str, pub(super) io::Error);

impl Lacking {
    /// Returns what an error says is lacking.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl Error for Lacking {}

/// Creates a socket, whose family this machine may lack.
pub(super) fn of(name: &'static str, family: i32, kind: Type, protocol: i32) -> io::Result<Made> {
    let socket = Socket::new(Family(family), kind, Protocol(protocol));
    Ok(socket.map_err(|error| io::Error::other(Lacking(name, error)))?.into())
}

pub(super) fn lo() -> u32 {
    interface_index("lo").unwrap()
}

pub(super) fn tcp() -> io::Result<Made> {
    of("tcp", libc::AF_INET, Type::STREAM, 0)
}

pub(super) fn tcp6() -> io::Result<Made> {
    of("ipv6", libc::AF_INET6, Type::STREAM, 0)
}

pub(super) fn udp() -> io::Result<Made> {
    of("udp", libc::AF_INET, Type::DGRAM, 0)
}

pub(super) fn udp6() -> io::Result<Made> {
    of("ipv6", libc::AF_INET6, Type::DGRAM, 0)
}

pub(super) fn raw(protocol: i32) -> io::Result<Made> {
    of("raw sockets", libc::AF_INET, Type::RAW, protocol)
}

pub(super) fn raw6(protocol: i32) -> io::Result<Made> {
    udp6()?;
    of("raw sockets", libc::AF_INET6, Type::RAW, protocol)
}

/// Returns a socket in a state that a function prepares.
pub(super) fn prepared(made: io::Result<Made>, prepare: fn(&Socket) -> io::Result<()>) -> io::Result<Made> {
    let made = made?;
    prepare(&made.socket)?;
    Ok(made)
}

pub(super) fn loopback(ip: impl Into<IpAddr>) -> Address {
    SocketAddr::new(ip.into(), 0).into()
}

pub(super) fn listener() -> io::Result<Made> {
    prepared(tcp(), |socket| {
        socket.bind(loopback(Ipv4Addr::LOCALHOST))?;
        socket.listen()
    })
}

/// Returns a connected socket, with the accepted one and the listener.
pub(super) fn client() -> io::Result<Made> {
    connected(tcp()?, listener()?)
}

fn connected(mut client: Made, listener: Made) -> io::Result<Made> {
    client.socket.connect(listener.socket.local_addr()?)?;
    client.others = vec![listener.socket.accept()?.0, listener.socket];
    Ok(client)
}

/// Returns an accepted socket whose listener has kept the SYN.
pub(super) fn accepted_with_syn() -> io::Result<Made> {
    let listener = prepared(listener(), |socket| socket.set_option(option::TCP_SAVE_SYN, 1))?;
    let mut made = connected(tcp()?, listener)?;
    std::mem::swap(&mut made.socket, &mut made.others[0]);
    Ok(made)
}

/// Returns a connected socket whose connection can be repaired.
pub(super) fn repairing() -> io::Result<Made> {
    prepared(client(), |socket| {
        socket.set_option(option::TCP_REPAIR, 1)?;
        socket.set_option(option::TCP_REPAIR_QUEUE, 2)
    })
}

/// Returns a socket without a connection that can be restored.
pub(super) fn restoring() -> io::Result<Made> {
    prepared(tcp(), |socket| {
        socket.set_option(option::TCP_REPAIR, 1)?;
        socket.set_option(option::TCP_REPAIR_QUEUE, 2)
    })
}

/// Returns a connected socket with the TLS protocol of the kernel.
pub(super) fn tls() -> io::Result<Made> {
    let made = client()?;
    let enabled = made.socket.set_option(option::TCP_ULP, "tls".into());
    enabled.map_err(|error| io::Error::other(Lacking("kernel tls", error)))?;
    Ok(made)
}

pub(super) fn mptcp() -> io::Result<Made> {
    let socket = || of("mptcp", libc::AF_INET, Type::STREAM, Protocol::MPTCP.0);
    let listener = prepared(socket(), |socket| {
        socket.bind(loopback(Ipv4Addr::LOCALHOST))?;
        socket.listen()
    })?;
    connected(socket()?, listener)
}

pub(super) fn sctp(kind: Type) -> io::Result<Made> {
    of("sctp", libc::AF_INET, kind, Protocol::SCTP.0)
}

/// Returns a connected one-to-one socket of SCTP.
pub(super) fn sctp_client() -> io::Result<Made> {
    let listener = prepared(sctp(Type::STREAM), |socket| {
        socket.bind(loopback(Ipv4Addr::LOCALHOST))?;
        socket.listen()
    })?;
    connected(sctp(Type::STREAM)?, listener)
}

/// Returns a one-to-one socket of SCTP that is bound to all addresses.
pub(super) fn sctp_on_all_addresses() -> io::Result<Made> {
    prepared(sctp(Type::STREAM), |socket| socket.bind(loopback(Ipv4Addr::UNSPECIFIED)))
}

/// Returns a UDP socket that is connected to itself.
pub(super) fn udp_to_itself() -> io::Result<Made> {
    prepared(udp(), |socket| {
        socket.bind(loopback(Ipv4Addr::LOCALHOST))?;
        socket.connect(socket.local_addr()?)
    })
}

/// As [`udp_to_itself`], over IPv6.
pub(super) fn udp6_to_itself() -> io::Result<Made> {
    prepared(udp6(), |socket| {
        socket.bind(loopback(Ipv6Addr::LOCALHOST))?;
        socket.connect(socket.local_addr()?)
    })
}

/// Returns an IPv6 socket that is connected to an IPv4 address.
pub(super) fn mapped() -> io::Result<Made> {
    prepared(udp6(), |socket| {
        socket.bind(loopback(Ipv4Addr::LOCALHOST.to_ipv6_mapped()))?;
        socket.connect(socket.local_addr()?)
    })
}

pub(super) fn unix(transport: Transport) -> io::Result<Made> {
    let (socket, other) = transport.pair()?;
    Ok(Made { socket, others: vec![other] })
}

/// Returns a socket with a filter.
pub(super) fn filtered() -> io::Result<Made> {
    prepared(unix(Transport::UnixDatagram), |socket| socket.attach_filter(&[BpfInstruction::ret(9)]))
}

/// Returns a socket with a filter that chooses a socket of its group.
pub(super) fn grouped() -> io::Result<Made> {
    prepared(udp(), |socket| {
        socket.set_option(option::SO_REUSEPORT, true)?;
        socket.bind(loopback(Ipv4Addr::LOCALHOST))?;
        socket.attach_reuseport_filter(&[BpfInstruction::ret(0)])
    })
}

pub(super) fn netlink() -> io::Result<Made> {
    of("netlink", libc::AF_NETLINK, Type::RAW, 0)
}

pub(super) fn tipc(kind: Type) -> io::Result<Made> {
    of("tipc", libc::AF_TIPC, kind, 0)
}

pub(super) fn vsock() -> io::Result<Made> {
    of("vsock", libc::AF_VSOCK, Type::STREAM, 0)
}

pub(super) fn udplite() -> io::Result<Made> {
    of("udplite", libc::AF_INET, Type::DGRAM, libc::IPPROTO_UDPLITE)
}

/// Returns an AF_PACKET socket that receives nothing.
pub(super) fn packet() -> io::Result<Made> {
    of("af_packet", libc::AF_PACKET, Type::RAW, 0)
}

/// Returns an AF_PACKET socket that is bound to the loopback interface, for an Ethernet type of
/// local experiments: `struct sockaddr_ll`, packet(7).
pub(super) fn bound_packet() -> io::Result<Made> {
    prepared(packet(), |socket| {
        let mut bytes = u16::try_from(libc::AF_PACKET).unwrap().to_ne_bytes().to_vec();
        bytes.extend(0x88b5_u16.to_be_bytes());
        bytes.extend(lo().to_ne_bytes());
        bytes.extend([0; 12]);
        socket.bind(Address::Other(bytes.into()))
    })
}

pub(super) fn can() -> io::Result<Made> {
    of("af_can", libc::AF_CAN, Type::RAW, 1)
}

/// Returns an AF_ALG socket for an algorithm: `struct sockaddr_alg`, linux/if_alg.h.
pub(super) fn alg(kind: &[u8], name: &[u8]) -> io::Result<Made> {
    let made = of("af_alg", libc::AF_ALG, Type::SEQPACKET, 0)?;
    let mut bytes = u16::try_from(libc::AF_ALG).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind);
    bytes.resize(24, 0);
    bytes.extend(name);
    bytes.resize(88, 0);
    let bound = made.socket.bind(Address::Other(bytes.into()));
    bound.map_err(|error| io::Error::other(Lacking("algorithms", error)))?;
    Ok(made)
}

pub(super) fn xdp() -> io::Result<Made> {
    of("af_xdp", libc::AF_XDP, Type::RAW, 0)
}
