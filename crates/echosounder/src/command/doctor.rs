//! `sounder doctor`: what works on this machine, and why the rest does not.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::option::{self, SocketOption};
use echosounder_socket::{
    Address, ControlMessage, Family, Interest, MessageFlags, Poll, Protocol, SendControl, ServerOptions,
    Socket, Transport, Type, create_server, interfaces, is_feature_absent, kernel, raise_fd_limit, ready,
};
use serde::Serialize;

use crate::args::Output;
use crate::command::console::stdout;
use crate::failure::{Outcome, plain};
use crate::render::escape::Escaped;
use crate::render::json::{self, EventTime};
use crate::render::style::Style;
use crate::support;

/// How long something may take that happens within this machine.
const WAIT: Duration = Duration::from_millis(300);

/// Something that was tried.
#[derive(Debug, Serialize)]
struct Check {
    event: &'static str,
    group: &'static str,
    check: String,
    /// What it is, in the kernel's terms.
    about: String,
    status: Status,
    /// Why it does not work, or more about how it does.
    reason: Option<String>,
    remedy: Option<String>,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// It works.
    Works,
    /// This kernel does not have it.
    Absent,
    /// This process may not.
    NotPermitted,
    /// It is there, and does not work.
    Fails,
}

impl Status {
    fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Absent => "absent",
            Self::NotPermitted => "not permitted",
            Self::Fails => "fails",
        }
    }

    fn of(error: &io::Error, absent: bool) -> Self {
        match error.kind() {
            _ if absent => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Fails,
        }
    }
}

/// A limit of this machine.
#[derive(Debug, Serialize)]
struct Limit {
    event: &'static str,
    check: &'static str,
    about: &'static str,
    value: Option<u64>,
}

pub(crate) fn run(output: Output) -> Result<Outcome> {
    let style = Style::stdout(output);
    let mut out = style.wrapped(stdout());
    if !output.json {
        writeln!(out, "{}", this_machine())?;
    }
    let groups =
        [("Sockets, each by carrying a byte", sockets as fn() -> Vec<Check>), ("Kernel features", features)];
    for (title, checks) in groups {
        tell(&mut out, style, title, &checks(), output)?;
    }
    tell(
        &mut out,
        style,
        "Packet timestamps",
        &timestamps().context("cannot list the network interfaces")?,
        output,
    )?;
    tell_limits(&mut out, output)?;
    Ok(Outcome::Done)
}

fn this_machine() -> String {
    let file = |name| fs::read_to_string(name).unwrap_or_default();
    let version = file("/proc/sys/kernel/osrelease");
    let user = echosounder_socket::effective_user_id();
    let who = if user == 0 { "as root".to_owned() } else { format!("as user {user}") };
    format!("Linux {} on {}, {who}", Escaped(version.trim().as_bytes()), std::env::consts::ARCH)
}

fn tell(out: &mut impl Write, style: Style, title: &str, checks: &[Check], output: Output) -> Result<()> {
    if output.json {
        return checks.iter().try_for_each(|check| Ok(json::event(out, &EventTime::now(), check)?));
    }
    writeln!(out, "\n{title}")?;
    let width = |text: fn(&Check) -> usize| checks.iter().map(text).max().unwrap_or(0);
    let (names, abouts) = (width(|check| check.check.len()), width(|check| check.about.len()));
    for check in checks {
        let Check { check: name, about, status, reason, remedy, .. } = check;
        let status = match status {
            Status::Works => style.good(status.words()),
            Status::Absent | Status::NotPermitted => style.caution(status.words()),
            Status::Fails => style.bad(status.words()),
        };
        write!(out, "  {name:names$}  {about:abouts$}  {status}")?;
        let why: Vec<&str> = reason.iter().chain(remedy).map(String::as_str).collect();
        writeln!(out, "{}{}", if why.is_empty() { "" } else { ": " }, why.join("; "))?;
    }
    Ok(())
}

/// Every transport, in every family that it has, and what else sockets are made of.
fn sockets() -> Vec<Check> {
    let carried = Transport::all().flat_map(|transport| {
        transport.loopback_addresses().into_iter().map(move |place| {
            let result = support::carry(transport, &place).map(|()| None);
            let about = format!("{} {}", place.family(), transport.socket_type());
            let missing = result.as_ref().err().filter(|error| transport.is_absent(&place, error));
            let remedy = missing.and_then(|error| support::remedy(transport, &place, error));
            let absent = missing.is_some();
            let result = result.map_err(|error| support::explained(&place, error));
            check("socket", transport.scheme(), &about, result, absent, remedy)
        })
    });
    let made = [
        (
            "icmp",
            Family::INET,
            Type::DGRAM,
            Protocol(1),
            "allowed groups: \"sysctl net.ipv4.ping_group_range\"",
        ),
        ("raw", Family::INET, Type::RAW, Protocol(1), "CAP_NET_RAW"),
        ("route", Family::NETLINK, Type::RAW, Protocol::NETLINK_ROUTE, ""),
        ("sock_diag", Family::NETLINK, Type::RAW, Protocol::NETLINK_SOCK_DIAG, "\"modprobe inet_diag\""),
        ("genetlink", Family::NETLINK, Type::RAW, Protocol::NETLINK_GENERIC, ""),
    ];
    let made = made.into_iter().map(|(name, family, kind, protocol, remedy)| {
        let result = Socket::new(family, kind, protocol).map(|_| None);
        let absent = result.as_ref().is_err_and(echosounder_socket::is_family_absent);
        check("socket", name, &format!("{family} {kind}"), result, absent, Some(remedy))
    });
    carried.chain(made).collect()
}

/// What became of a try, as it is told. The remedy counts if it did not work.
fn check(
    group: &'static str,
    name: &str,
    about: &str,
    result: io::Result<Option<String>>,
    absent: bool,
    remedy: Option<&str>,
) -> Check {
    let (status, reason) = match &result {
        Ok(detail) => (Status::Works, detail.clone()),
        Err(error) => (Status::of(error, absent), Some(plain(&error.to_string()))),
    };
    let remedy = remedy.filter(|remedy| result.is_err() && !remedy.is_empty()).map(str::to_owned);
    Check { event: "check", group, check: name.to_owned(), about: about.to_owned(), status, reason, remedy }
}

/// A feature: its name, what it is good for, how it is tried, and what would bring it.
type Feature = (&'static str, &'static str, fn() -> io::Result<Option<String>>, &'static str);

const FEATURES: [Feature; 23] = [
    ("SO_REUSEPORT", "workers share a port", reuse_port, "Linux 3.9"),
    ("EPOLLEXCLUSIVE", "one of several workers wakes", epoll_exclusive, "Linux 4.5"),
    (
        "IP_PKTINFO",
        "replies leave from the address that was asked",
        || packet_info(Ipv4Addr::LOCALHOST.into()),
        "",
    ),
    ("IPV6_PKTINFO", "the same for IPv6", || packet_info(Ipv6Addr::LOCALHOST.into()), ""),
    ("IP_RECVERR", "errors with their origin", || set_on_udp(option::IP_RECVERR, true), ""),
    ("SO_MEMINFO", "dropped datagrams are counted", drops, "Linux 4.12"),
    ("SO_TIMESTAMPNS", "when a datagram arrived", arrival_time, ""),
    ("SO_TIMESTAMPING", "when a datagram left", departure_time, ""),
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
        "bind to foreign addresses",
        || set_on_udp(option::IP_TRANSPARENT, true),
        "CAP_NET_ADMIN",
    ),
    ("SO_ZEROCOPY", "send without a copy", || set_on_udp(SocketOption::new(1, 60), true), "Linux 5.0"),
    ("TCP_FASTOPEN", "connections that begin with data", || set_on_tcp(option::TCP_FASTOPEN, 16), ""),
    ("TCP_ULP tls", "TLS in the kernel", kernel_tls, "\"modprobe tls\", or a kernel with CONFIG_TLS"),
    (
        "VSOCK CID",
        "context id of this machine",
        vsock_cid,
        "a virtual machine with a vsock device, or vhost_vsock",
    ),
    ("SO_PEERCRED", "who has connected", peer_credentials, ""),
    (
        "ports < 1024",
        "bind to ports of well-known services",
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

fn features() -> Vec<Check> {
    let tried = FEATURES.iter().map(|(name, about, try_it, remedy)| {
        let result = try_it();
        let no_address = |error: &io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
        let absent = result.as_ref().is_err_and(|error| is_feature_absent(error) || no_address(error));
        // A right does not help a kernel that does not have it.
        let helps = !(absent && remedy.starts_with("CAP_"));
        check("feature", name, about, result, absent, Some(remedy).filter(|_| helps).copied())
    });
    tried.collect()
}

fn loopback() -> Address {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn server(transport: Transport, address: &Address, options: ServerOptions) -> io::Result<Socket> {
    let socket = create_server(transport, address, options).map_err(|error| error.into_cause())?;
    socket.set_timeout(Some(WAIT))?;
    Ok(socket)
}

/// Two UDP sockets: one that sends to the other.
fn udp(address: &Address) -> io::Result<(Socket, Socket)> {
    let receiver = server(Transport::Udp, address, ServerOptions::default())?;
    let sender = Transport::Udp.socket(address)?;
    sender.set_timeout(Some(WAIT))?;
    sender.connect(&receiver.local_addr()?)?;
    Ok((sender, receiver))
}

fn set_on_udp<T: option::OptionValue>(option: SocketOption<T>, value: T) -> io::Result<Option<String>> {
    Transport::Udp.socket(&loopback())?.set_option(option, value).map(|()| None)
}

fn set_on_tcp<T: option::OptionValue>(option: SocketOption<T>, value: T) -> io::Result<Option<String>> {
    Transport::Tcp.socket(&loopback())?.set_option(option, value).map(|()| None)
}

fn drops() -> io::Result<Option<String>> {
    Transport::Udp.socket(&loopback())?.option(option::SO_MEMINFO).map(|_| None)
}

fn reuse_port() -> io::Result<Option<String>> {
    let options = ServerOptions { reuse_port: true, ..ServerOptions::default() };
    let one = server(Transport::Tcp, &loopback(), options)?;
    server(Transport::Tcp, &one.local_addr()?, options).map(|_| None)
}

fn epoll_exclusive() -> io::Result<Option<String>> {
    let socket = server(Transport::Tcp, &loopback(), ServerOptions::default())?;
    Poll::new()?.add(&socket, 0, Interest::ReadExclusive).map(|()| None)
}

/// Sends a datagram, and returns what the kernel told beside it.
fn told(sender: &Socket, receiver: &Socket) -> io::Result<Vec<ControlMessage>> {
    sender.send(b"?")?;
    let mut buffer = [0];
    let message = receiver.recv_msg(&mut [IoSliceMut::new(&mut buffer)], 256, MessageFlags::NONE)?;
    Ok(message.control)
}

/// The kernel took an option, and then did not do it.
fn not_told() -> io::Error {
    io::Error::other("the kernel does not report it")
}

fn packet_info(ip: std::net::IpAddr) -> io::Result<Option<String>> {
    let (sender, receiver) = udp(&(ip, 0).into())?;
    let option = if ip.is_ipv4() { option::IP_PKTINFO } else { option::IPV6_RECVPKTINFO };
    receiver.set_option(option, true)?;
    let told = told(&sender, &receiver)?;
    let is_there =
        told.iter().any(|told| matches!(told, ControlMessage::PacketInfo(info) if info.local == ip));
    is_there.then_some(None).ok_or_else(not_told)
}

fn arrival_time() -> io::Result<Option<String>> {
    let (sender, receiver) = udp(&loopback())?;
    receiver.set_option(option::SO_TIMESTAMPNS, true)?;
    let told = told(&sender, &receiver)?;
    let is_there = told.iter().any(|told| matches!(told, ControlMessage::Timestamp(_)));
    is_there.then_some(None).ok_or_else(not_told)
}

fn departure_time() -> io::Result<Option<String>> {
    const TX_SOFTWARE: u32 = 1 << 1;
    const SOFTWARE: u32 = 1 << 4;
    let (sender, _receiver) = udp(&loopback())?;
    sender.set_option(option::SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE)?;
    sender.send(b"?")?;
    ready([(sender.as_fd(), Interest::Read)], Some(WAIT))?;
    let mut buffer = [0; 64];
    let message = sender.recv_msg(&mut [IoSliceMut::new(&mut buffer)], 256, MessageFlags::ERRQUEUE)?;
    let taken =
        |told: &ControlMessage| matches!(told, ControlMessage::Timestamping { software: Some(_), .. });
    message.control.iter().any(taken).then_some(None).ok_or_else(not_told)
}

fn segmentation() -> io::Result<Option<String>> {
    let (sender, receiver) = udp(&loopback())?;
    let control = [SendControl::UdpSegment(2)];
    sender.send_msg(&[IoSlice::new(b"abcd")], &control, None, MessageFlags::NONE)?;
    let mut buffer = [0; 8];
    let lengths = [receiver.recv(&mut buffer)?, receiver.recv(&mut buffer)?];
    (lengths == [2, 2]).then_some(None).ok_or_else(|| io::Error::other("the kernel does not cut"))
}

fn kernel_tls() -> io::Result<Option<String>> {
    const TCP_ULP: SocketOption<String> = SocketOption::new(6, 31);
    let listener = server(Transport::Tcp, &loopback(), ServerOptions::default())?;
    let client = Transport::Tcp.socket(&loopback())?;
    client.set_timeout(Some(WAIT))?;
    client.connect(&listener.local_addr()?)?;
    client.set_option(TCP_ULP, "tls".into()).map(|()| None)
}

fn peer_credentials() -> io::Result<Option<String>> {
    let (one, _other) = Transport::UnixStream.pair()?;
    let peer = one.option(option::SO_PEERCRED)?;
    (peer.uid == echosounder_socket::effective_user_id()).then_some(None).ok_or_else(not_told)
}

fn low_port() -> io::Result<Option<String>> {
    let socket = Transport::Udp.socket(&loopback())?;
    match socket.bind(&loopback().with_port(1)) {
        // Somebody may have it; then we might have it, too.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        result => result.map(|()| None),
    }
}

fn vsock_cid() -> io::Result<Option<String>> {
    kernel::vsock_cid().map(|cid| {
        Some(match cid {
            VsockAddress::CID_HOST => "2, the host".to_owned(),
            VsockAddress::CID_ANY => "none assigned".to_owned(),
            cid => cid.to_string(),
        })
    })
}

/// Where each interface's packets can get their times.
fn timestamps() -> io::Result<Vec<Check>> {
    let ends = |send, receive| match (send, receive) {
        (true, true) => "send and receive",
        (true, false) => "send",
        (false, true) => "receive",
        (false, false) => "none",
    };
    let tried = interfaces()?.into_iter().map(|interface| {
        let result = kernel::interface_timestamping(&interface.name).map(|can| {
            let software = ends(can.software_send, can.software_receive);
            Some(format!("software {software}, hardware {}", ends(can.hardware_send, can.hardware_receive)))
        });
        let absent = result.as_ref().is_err_and(is_feature_absent);
        let name = Escaped(interface.name.as_bytes()).to_string();
        check("timestamps", &name, "SO_TIMESTAMPING", result, absent, None)
    });
    Ok(tried.collect())
}

fn tell_limits(out: &mut impl Write, output: Output) -> Result<()> {
    let number = |name: &str| fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim().parse().ok();
    let limits = [
        ("descriptors", "open descriptors of this process", raise_fd_limit().ok()),
        ("somaxconn", "length of an accept queue", number("core/somaxconn")),
        ("rmem_max", "bytes of a receive buffer", number("core/rmem_max")),
        ("wmem_max", "bytes of a send buffer", number("core/wmem_max")),
        ("max_dgram_qlen", "queue of a UNIX datagram socket", number("unix/max_dgram_qlen")),
    ];
    if !output.json {
        writeln!(out, "\nMaximums")?;
    }
    for (check, about, value) in limits {
        if output.json {
            let limit = Limit { event: "limit", check, about, value };
            json::event(out, &EventTime::now(), &limit)?;
        } else {
            let value = value.map_or_else(|| "?".to_owned(), |value| value.to_string());
            writeln!(out, "  {check:14}  {about:32}  {value}")?;
        }
    }
    Ok(())
}
