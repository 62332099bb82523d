//! The kernel features that socket programs use, each tested by using it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::internal::kernel;
use echosounder_socket::option::{self, SetValue, SocketOption, TimestampingFlags};
use echosounder_socket::{
    Address, ControlMessage, ControlSpace, Interest, MessageFlags, Poll, SendControl, ServerOptions, Socket,
    Transport, create_server, is_feature_absent, ready,
};

use super::check::{Check, check};

/// How long to wait for a datagram within this machine.
const WAIT: Duration = Duration::from_millis(300);

/// A feature: its name, its use, its test, and what enables it. The test may return a detail to
/// print.
type Feature = (&'static str, &'static str, fn() -> io::Result<Option<String>>, &'static str);

const FEATURES: [Feature; 23] = [
    ("SO_REUSEPORT", "workers share a port", reuse_port, "Linux 3.9"),
    ("EPOLLEXCLUSIVE", "one of several workers wakes", epoll_exclusive, "Linux 4.5"),
    (
        "IP_PKTINFO",
        "replies leave from the address of the request",
        || packet_info(Ipv4Addr::LOCALHOST.into()),
        "",
    ),
    ("IPV6_PKTINFO", "the same for IPv6", || packet_info(Ipv6Addr::LOCALHOST.into()), ""),
    ("IP_RECVERR", "ICMP errors and their origin", || set_on_udp(option::IP_RECVERR, true), ""),
    ("SO_MEMINFO", "count of dropped datagrams", drops, "Linux 4.12"),
    ("SO_TIMESTAMPNS", "arrival time of datagrams", arrival_time, ""),
    ("SO_TIMESTAMPING", "departure time of datagrams", departure_time, ""),
    ("UDP_SEGMENT", "many datagrams in one send (GSO)", segmentation, "Linux 4.18"),
    ("UDP_GRO", "many datagrams in one receive", || set_on_udp(option::UDP_GRO, true), "Linux 5.0"),
    (
        "SO_BINDTODEVICE",
        "send through one interface",
        || set_on_udp(option::SO_BINDTODEVICE, "lo".into()),
        "",
    ),
    (
        "SO_BUSY_POLL",
        "busy polling of the network card",
        || set_on_udp(option::SO_BUSY_POLL, 1),
        "CAP_NET_ADMIN",
    ),
    ("SO_MARK", "packet marks for routing and filtering", || set_on_udp(option::SO_MARK, 1), "CAP_NET_ADMIN"),
    (
        "IP_TRANSPARENT",
        "bind to addresses of other hosts",
        || set_on_udp(option::IP_TRANSPARENT, true),
        "CAP_NET_ADMIN",
    ),
    ("SO_ZEROCOPY", "send without a copy", || set_on_udp(option::SO_ZEROCOPY, true), "Linux 5.0"),
    ("TCP_FASTOPEN", "data in the first packet of a connection", || set_on_tcp(option::TCP_FASTOPEN, 16), ""),
    ("TCP_ULP tls", "TLS in the kernel", kernel_tls, "\"modprobe tls\", or a kernel with CONFIG_TLS"),
    (
        "VSOCK CID",
        "context id of this machine",
        vsock_cid,
        "a virtual machine with a vsock device, or vhost_vsock",
    ),
    ("SO_PEERCRED", "user and process of the peer", peer_credentials, ""),
    (
        "ports < 1024",
        "bind to well-known ports",
        low_port,
        "CAP_NET_BIND_SERVICE, or \"sysctl net.ipv4.ip_unprivileged_port_start\"",
    ),
    (
        "io_uring",
        "asynchronous system calls",
        || kernel::io_uring().map(|()| None),
        "\"sysctl kernel.io_uring_disabled=0\", and in a container a seccomp profile that allows it",
    ),
    (
        "Landlock",
        "sandbox for files and network",
        || kernel::landlock().map(|version| Some(format!("version {version}"))),
        "a kernel with CONFIG_SECURITY_LANDLOCK, and lsm=landlock",
    ),
    (
        "seccomp",
        "filters of system calls",
        || kernel::seccomp().map(|()| None),
        "a kernel with CONFIG_SECCOMP_FILTER",
    ),
];

/// Tests every feature.
pub(super) fn checks() -> Vec<Check> {
    let checks = FEATURES.iter().map(|(name, about, test, remedy)| {
        let result = test();
        let no_address = |error: &io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
        let absent = result.as_ref().is_err_and(|error| is_feature_absent(error) || no_address(error));
        // A capability does not help on a kernel that lacks the feature.
        let helps = !(absent && remedy.starts_with("CAP_"));
        check("feature", name, about, result, absent, Some(remedy).filter(|_| helps).copied())
    });
    checks.collect()
}

fn loopback() -> Address {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn server(transport: Transport, address: &Address, options: ServerOptions) -> io::Result<Socket> {
    let socket = create_server((transport, address), options).map_err(|error| error.into_cause())?;
    socket.set_timeout(Some(WAIT))?;
    Ok(socket)
}

/// Returns two UDP sockets; the first is connected to the second.
fn udp(address: &Address) -> io::Result<(Socket, Socket)> {
    let receiver = server(Transport::Udp, address, ServerOptions::default())?;
    let sender = Transport::Udp.socket(address)?;
    sender.set_timeout(Some(WAIT))?;
    sender.connect(&receiver.local_addr()?)?;
    Ok((sender, receiver))
}

fn set_on_udp<S: SetValue, G>(option: SocketOption<S, G>, value: S) -> io::Result<Option<String>> {
    Transport::Udp.socket(&loopback())?.set_option(option, value).map(|()| None)
}

fn set_on_tcp<S: SetValue, G>(option: SocketOption<S, G>, value: S) -> io::Result<Option<String>> {
    Transport::Tcp.socket(&loopback())?.set_option(option, value).map(|()| None)
}

fn drops() -> io::Result<Option<String>> {
    Transport::Udp.socket(&loopback())?.option(option::SO_MEMINFO).map(|_| None)
}

fn reuse_port() -> io::Result<Option<String>> {
    let options = ServerOptions::default().reuse_port(true);
    let one = server(Transport::Tcp, &loopback(), options)?;
    server(Transport::Tcp, &one.local_addr()?, options).map(|_| None)
}

fn epoll_exclusive() -> io::Result<Option<String>> {
    let socket = server(Transport::Tcp, &loopback(), ServerOptions::default())?;
    Poll::new()?.add(&socket, 0, Interest::READ | Interest::EXCLUSIVE).map(|()| None)
}

/// Sends a datagram and returns the control messages that the receiver gets with it.
fn control_messages(sender: &Socket, receiver: &Socket) -> io::Result<Vec<ControlMessage>> {
    sender.send(b"?")?;
    let mut buffer = [0];
    let message =
        receiver.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::ALL, MessageFlags::NONE)?;
    Ok(message.control)
}

/// Returns the error for a kernel that accepts an option and then has no effect.
fn without_effect() -> io::Error {
    io::Error::other("the kernel does not report it")
}

fn packet_info(ip: std::net::IpAddr) -> io::Result<Option<String>> {
    let (sender, receiver) = udp(&(ip, 0).into())?;
    let option = if ip.is_ipv4() { option::IP_PKTINFO } else { option::IPV6_RECVPKTINFO };
    receiver.set_option(option, true)?;
    let control = control_messages(&sender, &receiver)?;
    let is_present =
        control.iter().any(|message| matches!(message, ControlMessage::PacketInfo(info) if info.local == ip));
    is_present.then_some(None).ok_or_else(without_effect)
}

fn arrival_time() -> io::Result<Option<String>> {
    let (sender, receiver) = udp(&loopback())?;
    receiver.set_option(option::SO_TIMESTAMPNS, true)?;
    let control = control_messages(&sender, &receiver)?;
    let is_present = control.iter().any(|message| matches!(message, ControlMessage::Timestamp(_)));
    is_present.then_some(None).ok_or_else(without_effect)
}

fn departure_time() -> io::Result<Option<String>> {
    let (sender, _receiver) = udp(&loopback())?;
    let flags = TimestampingFlags::TX_SOFTWARE | TimestampingFlags::SOFTWARE;
    sender.set_option(option::SO_TIMESTAMPING, flags)?;
    sender.send(b"?")?;
    ready([(sender.as_fd(), Interest::READ)], Some(WAIT))?;
    let mut buffer = [0; 64];
    let message =
        sender.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::ALL, MessageFlags::ERRQUEUE)?;
    let is_software =
        |message: &ControlMessage| matches!(message, ControlMessage::Timestamping { software: Some(_), .. });
    message.control.iter().any(is_software).then_some(None).ok_or_else(without_effect)
}

fn segmentation() -> io::Result<Option<String>> {
    let (sender, receiver) = udp(&loopback())?;
    let control = [SendControl::UdpSegment(2)];
    sender.send_msg(&[IoSlice::new(b"abcd")], &control, None, MessageFlags::NONE)?;
    let mut buffer = [0; 8];
    let lengths = [receiver.recv(&mut buffer)?, receiver.recv(&mut buffer)?];
    (lengths == [2, 2])
        .then_some(None)
        .ok_or_else(|| io::Error::other("the kernel does not split the datagram"))
}

fn kernel_tls() -> io::Result<Option<String>> {
    let listener = server(Transport::Tcp, &loopback(), ServerOptions::default())?;
    let client = Transport::Tcp.socket(&loopback())?;
    client.set_timeout(Some(WAIT))?;
    client.connect(&listener.local_addr()?)?;
    client.set_option(option::TCP_ULP, "tls".into()).map(|()| None)
}

fn peer_credentials() -> io::Result<Option<String>> {
    let (one, _other) = Transport::UnixStream.pair()?;
    let peer = one.option(option::SO_PEERCRED)?;
    (peer.uid == echosounder_socket::internal::effective_user_id()).then_some(None).ok_or_else(without_effect)
}

fn low_port() -> io::Result<Option<String>> {
    let socket = Transport::Udp.socket(&loopback())?;
    match socket.bind(loopback().with_port(1)) {
        // The permission suffices if another socket has the port.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        result => result.map(|()| None),
    }
}

fn vsock_cid() -> io::Result<Option<String>> {
    VsockAddress::local_cid().map(|cid| {
        Some(match cid {
            VsockAddress::CID_HOST => "2, the host".to_owned(),
            VsockAddress::CID_ANY => "none assigned".to_owned(),
            cid => cid.to_string(),
        })
    })
}
