//! AF_NETLINK, with the kernel as the peer.

use std::fs;
use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process;

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::internal::effective_user_id;
use echosounder_socket::{
    Address, Batch, ControlMessage, ControlSpace, Family, InterfaceFlags, Message, MessageFlags, Protocol,
    Socket, Type, interface_index, interface_name, interfaces, option,
};

use crate::PATIENCE;

const HEADER: usize = 16;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const IFLA_IFNAME: u16 = 3;

const KERNEL: NetlinkAddress = NetlinkAddress { port_id: 0, groups: 0 };

/// Returns a bound socket and its port id.
fn socket(protocol: Protocol) -> (Socket, u32) {
    let socket = Socket::new(Family::NETLINK, Type::RAW, protocol).unwrap();
    socket.set_timeout(Some(PATIENCE)).unwrap();
    socket.bind(KERNEL).unwrap();
    let Address::Netlink(name) = socket.local_addr().unwrap() else { panic!("no netlink socket") };
    assert_ne!(name.port_id, 0);
    (socket, name.port_id)
}

/// Requests one link, or all.
fn ask(socket: &Socket, link: Option<u32>) {
    let flags = if link.is_some() { REQUEST } else { REQUEST | DUMP };
    let mut request = Vec::new();
    request.extend(32_u32.to_ne_bytes());
    request.extend(GET_LINK.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend(7_u32.to_ne_bytes());
    request.extend(0_u32.to_ne_bytes());
    request.extend([0; 4]);
    request.extend(link.unwrap_or(0).to_ne_bytes());
    request.extend([0; 8]);
    assert_eq!(socket.send_to(&request, KERNEL).unwrap(), 32);
}

fn receive(socket: &Socket, flags: MessageFlags) -> (Message, Vec<u8>) {
    let mut buffer = vec![0; 1 << 17];
    let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::ALL, flags).unwrap();
    buffer.truncate(message.len);
    (message, buffer)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Returns the type and the content of each reply in a message.
fn replies(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while HEADER <= bytes.len() {
        let len = u32_at(bytes, 0) as usize;
        found.push((u16_at(bytes, 4), &bytes[HEADER..len]));
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Returns the index and the name of the link in a reply.
fn link(reply: &[u8]) -> (u32, String) {
    let mut rest = &reply[16..];
    loop {
        let len = usize::from(u16_at(rest, 0));
        if u16_at(rest, 2) == IFLA_IFNAME {
            let name = rest[4..len].strip_suffix(b"\0").unwrap();
            return (u32_at(reply, 4), String::from_utf8(name.into()).unwrap());
        }
        rest = &rest[len.next_multiple_of(4)..];
    }
}

#[test]
fn kernel_at_port_0_lists_the_links() {
    let (socket, number) = socket(Protocol::NETLINK_ROUTE);
    ask(&socket, None);
    let mut links = Vec::new();
    'dump: loop {
        let (message, bytes) = receive(&socket, MessageFlags::NONE);
        assert_eq!(message.from, Some(KERNEL.into()));
        for (kind, reply) in replies(&bytes) {
            match kind {
                DONE => break 'dump,
                NEW_LINK => links.push(link(reply)),
                other => panic!("a reply of type {other}"),
            }
        }
        assert_eq!((u32_at(&bytes, 8), u32_at(&bytes, 12)), (7, number));
    }
    // The C library returns the same list.
    let mut known: Vec<_> = interfaces()
        .unwrap()
        .into_iter()
        .map(|interface| (interface.index, interface.name.into_string().unwrap()))
        .collect();
    known.sort_unstable();
    links.sort_unstable();
    assert_eq!(links, known);
    for (index, name) in &links {
        assert_eq!(interface_index(name).unwrap(), *index);
        assert_eq!(interface_name(*index).unwrap(), name.as_str());
    }
    assert!(links.iter().any(|(_, name)| name == "lo"));
    assert!(fs::read_to_string("/proc/net/dev").unwrap().lines().count() == links.len() + 2);
}

/// The addresses are those of /proc/net/if_inet6 and of `ip address`.
#[test]
fn interfaces_have_flags_and_addresses() {
    let list = interfaces().unwrap();
    let lo = list.iter().find(|interface| interface.name == "lo").unwrap();
    assert!(lo.flags.contains(InterfaceFlags::LOOPBACK | InterfaceFlags::UP), "{lo:?}");
    assert!(!lo.flags.intersects(InterfaceFlags::BROADCAST | InterfaceFlags::POINT_TO_POINT), "{lo:?}");
    assert_eq!(lo.hardware.unwrap().as_bytes(), [0; 6]);
    let v4 = lo.addresses.iter().find(|address| address.ip == Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!((v4.prefix_len, v4.broadcast, v4.peer), (8, None, None));

    let mut v6: Vec<_> = list
        .iter()
        .flat_map(|interface| {
            let v6 = interface.addresses.iter().filter(|address| address.ip.is_ipv6());
            v6.map(|address| {
                let IpAddr::V6(ip) = address.ip else { unreachable!("filtered") };
                (interface.name.to_str().unwrap(), format!("{:032x}", ip.to_bits()), address.prefix_len)
            })
        })
        .collect();
    let file = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut expected: Vec<_> = file
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields[5], fields[0].to_owned(), u8::from_str_radix(fields[2], 16).unwrap())
        })
        .collect();
    v6.sort();
    expected.sort();
    assert_eq!(v6, expected);
    for interface in &list {
        let path = format!("/sys/class/net/{}/address", interface.name.to_str().unwrap());
        let Ok(address) = fs::read_to_string(path) else { continue };
        assert_eq!(
            interface.hardware.map(|hardware| hardware.to_string()),
            Some(address.trim().to_owned()).filter(|text| !text.is_empty())
        );
    }
}

#[test]
fn missing_interface_is_an_error() {
    assert_eq!(interface_index("no-such-iface").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    assert_eq!(interface_name(u32::MAX).unwrap_err().raw_os_error(), Some(libc::ENXIO));
    assert_eq!(interface_index("nul\0").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn sockets_get_distinct_port_ids() {
    let numbered = |_| socket(Protocol::NETLINK_USERSOCK);
    let sockets: Vec<_> = (0..4).map(numbered).collect();
    for (index, (socket, number)) in sockets.iter().enumerate() {
        assert!(sockets[..index].iter().all(|(_, other)| other != number), "{number} of {socket:?}");
    }
    let again = Socket::new(Family::NETLINK, Type::DGRAM, Protocol::NETLINK_USERSOCK).unwrap();
    let taken = NetlinkAddress { port_id: sockets[0].1, groups: 0 };
    assert_eq!(again.bind(taken).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn packet_info_reports_the_group() {
    let (socket, _) = socket(Protocol::NETLINK_ROUTE);
    socket.set_option(option::NETLINK_PKTINFO, true).unwrap();
    ask(&socket, Some(interface_index("lo").unwrap()));
    let (message, _) = receive(&socket, MessageFlags::NONE);
    assert!(matches!(message.control[..], [ControlMessage::NetlinkGroup(0)]), "{message:?}");
}

#[test]
fn peek_returns_the_length_of_a_message() {
    let (socket, _) = socket(Protocol::NETLINK_ROUTE);
    ask(&socket, Some(interface_index("lo").unwrap()));
    let peeked = socket
        .recv_msg(
            &mut [IoSliceMut::new(&mut [])],
            ControlSpace::NONE,
            MessageFlags::PEEK | MessageFlags::TRUNC,
        )
        .unwrap();
    assert_eq!(peeked.len, 0);
    assert!(100 < peeked.full_len && peeked.is_truncated());
    let (message, bytes) = receive(&socket, MessageFlags::NONE);
    assert_eq!((message.len, message.flags.contains(MessageFlags::TRUNC)), (peeked.full_len, false));
    let [(NEW_LINK, reply)] = replies(&bytes)[..] else { panic!("{bytes:?}") };
    assert_eq!(link(reply).1, "lo");
}

/// Returns a socket that has lost replies of the kernel.
fn overrun(no_enobufs: bool) -> Socket {
    let (socket, _) = socket(Protocol::NETLINK_ROUTE);
    socket.set_option(option::SO_RCVBUF, 1).unwrap();
    socket.set_option(option::NETLINK_NO_ENOBUFS, no_enobufs).unwrap();
    assert_eq!(socket.option(option::NETLINK_NO_ENOBUFS).unwrap(), no_enobufs);
    let loopback = interface_index("lo").unwrap();
    (0..100).for_each(|_| ask(&socket, Some(loopback)));
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn lost_messages_are_reported_once_and_earlier_ones_remain() {
    let socket = overrun(false);
    let mut buffer = [0; 1 << 16];
    let lost = socket.recv(&mut buffer).unwrap_err();
    assert_eq!(lost.raw_os_error(), Some(libc::ENOBUFS));
    assert!(echosounder_socket::is_out_of_resources(&lost));
    let left = (0..100).take_while(|_| socket.recv(&mut buffer).is_ok()).count();
    assert!(0 < left && left < 100, "{left} replies are left");
    assert_eq!(socket.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    // The socket still works.
    ask(&socket, Some(interface_index("lo").unwrap()));
    socket.set_timeout(Some(PATIENCE)).unwrap();
    assert!(0 < socket.recv(&mut buffer).unwrap());
}

#[test]
fn no_enobufs_suppresses_loss_reports() {
    let socket = overrun(true);
    assert!(0 < socket.recv(&mut [0; 1 << 16]).unwrap());
}

#[test]
fn passcred_reports_the_sending_process() {
    let ((one, one_number), (other, number)) =
        (socket(Protocol::NETLINK_USERSOCK), socket(Protocol::NETLINK_USERSOCK));
    other.set_option(option::SO_PASSCRED, true).unwrap();
    let to = NetlinkAddress { port_id: number, groups: 0 };
    one.send_to(b"ahoy", to).unwrap();
    let (message, bytes) = receive(&other, MessageFlags::NONE);
    assert_eq!(bytes, b"ahoy");
    let from = NetlinkAddress { port_id: one_number, groups: 0 };
    assert_eq!(message.from, Some(from.into()));
    let [ControlMessage::Credentials(who)] = &message.control[..] else { panic!("{:?}", message.control) };
    assert_eq!((u32::try_from(who.pid).unwrap(), who.uid), (process::id(), effective_user_id()));

    one.send_to(b"batch", to).unwrap();
    let mut batch = Batch::new(1, 8);
    assert_eq!(other.recv_many(&mut batch).unwrap(), 1);
    assert_eq!((batch.sender(0), batch.bytes(0)), (from.into(), &b"batch"[..]));
    assert_eq!(batch.metadata(0).credentials.unwrap().pid, who.pid);
    assert_ne!(one.as_raw_fd(), other.as_raw_fd());
}
