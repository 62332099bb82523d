//! Families and protocols without a transport. Some refuse flags and addresses that others accept.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::UdpSocket;

use echosounder_socket::family::alg::AlgAddress;
use echosounder_socket::family::can::CanAddress;
use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::packet::{ETH_P_ALL, ETH_P_IP, PacketAddress};
use echosounder_socket::family::xdp::XdpAddress;
use echosounder_socket::{
    Address, Batch, ControlMessage, ControlSpace, Family, MessageFlags, Outgoing, Protocol, Socket, Type,
    interface_index, option,
};

use crate::{PATIENCE, skip, unique};

/// An Ethernet type for local experiments, which nothing else on this machine sends: IEEE 802.
const EXPERIMENT: u16 = 0x88b5;

/// The address of packets of our type on the loopback interface.
fn loopback() -> PacketAddress {
    PacketAddress::new(EXPERIMENT, interface_index("lo").unwrap()).with_ethernet([0; 6])
}

fn socket(name: &str, family: i32, kind: Type, protocol: i32) -> Option<Socket> {
    match Socket::new(Family(family), kind, Protocol(protocol)) {
        Ok(socket) => {
            socket.set_timeout(Some(PATIENCE)).unwrap();
            Some(socket)
        }
        Err(error) => {
            skip(name, error.to_string());
            None
        }
    }
}

#[test]
fn packet_socket_receives_the_frame_with_its_address() {
    let protocol = Protocol::packet(ETH_P_ALL).0;
    let Some(packets) = socket("af_packet", libc::AF_PACKET, Type::RAW, protocol) else { return };
    let index = interface_index("lo").unwrap();
    packets.bind(PacketAddress::new(ETH_P_IP, index)).unwrap();
    let Address::Packet(name) = packets.local_addr().unwrap() else { panic!("not AF_PACKET") };
    assert_eq!((name.protocol, name.interface), (ETH_P_IP, index));
    assert_eq!(name.hardware_type, libc::ARPHRD_LOOPBACK);
    assert_eq!(name.hardware().as_bytes(), [0; 6]);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let word = format!("frame {}", unique());
    udp.send_to(word.as_bytes(), udp.local_addr().unwrap()).unwrap();
    loop {
        // Other frames of this machine arrive, too.
        let mut frame = [0; 2048];
        let (len, from) = packets.recv_from(&mut frame).unwrap();
        let Address::Packet(from) = from else { panic!("not AF_PACKET") };
        assert_eq!((from.interface, from.protocol), (index, ETH_P_IP));
        assert!([PacketAddress::HOST, PacketAddress::OUTGOING].contains(&from.packet_type) || len == 0);
        // An Ethernet header of 14 bytes, an IPv4 header of 20, a UDP header of 8.
        if frame[..len].get(42..) == Some(word.as_bytes()) {
            assert_eq!(frame[12..14], ETH_P_IP.to_be_bytes());
            break;
        }
    }
}

/// An echo request (RFC 792) with a checksum that the kernel fills in only for ICMPv6 and for
/// datagram sockets.
fn echo_request(kind: u8) -> [u8; 16] {
    let mut request = *b"\0\0\0\0\0\0\0\x07echo it!";
    request[0] = kind;
    let sum: u32 = request.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from(sum).unwrap();
    request[2..4].copy_from_slice(&checksum.to_be_bytes());
    request
}

#[test]
fn icmp_sockets_ping_the_loopback_address() {
    for (name, kind, header) in [("icmp datagrams", Type::DGRAM, 0), ("raw sockets", Type::RAW, 20)] {
        let Some(icmp) = socket(name, libc::AF_INET, kind, Protocol::ICMP.0) else { continue };
        assert_eq!(icmp.protocol().unwrap(), Protocol::ICMP);
        icmp.connect(("127.0.0.1", 0)).unwrap();
        icmp.send(&echo_request(8)).unwrap();
        loop {
            let mut reply = [0; 1500];
            let len = icmp.recv(&mut reply).unwrap();
            // A raw socket also receives the request, and what others send.
            let message = &reply[header..len];
            if message[0] == 0 && message.ends_with(b"\0\x07echo it!") {
                break;
            }
        }
    }
    let Some(icmp) = socket("raw sockets", libc::AF_INET6, Type::RAW, Protocol::ICMPV6.0) else { return };
    if let Err(error) = icmp.connect(("::1", 0)) {
        return skip("ipv6", error);
    }
    icmp.send(&echo_request(128)).unwrap();
    loop {
        let mut reply = [0; 1500];
        let len = icmp.recv(&mut reply).unwrap();
        if reply[0] == 129 && reply[..len].ends_with(b"\0\x07echo it!") {
            break;
        }
    }
}

/// Each protocol of AF_NETLINK that this kernel has can be bound, and so can a group.
#[test]
fn netlink_protocols_are_bound() {
    for protocol in [
        Protocol::NETLINK_ROUTE,
        Protocol::NETLINK_SOCK_DIAG,
        Protocol::NETLINK_NETFILTER,
        Protocol::NETLINK_XFRM,
        Protocol::NETLINK_AUDIT,
        Protocol::NETLINK_CONNECTOR,
        Protocol::NETLINK_CRYPTO,
        Protocol::NETLINK_GENERIC,
        Protocol::NETLINK_KOBJECT_UEVENT,
    ] {
        let socket = match Socket::new(Family::NETLINK, Type::RAW, protocol) {
            Ok(socket) => socket,
            Err(error) => {
                skip("netlink protocols", format!("{protocol}: {error}"));
                continue;
            }
        };
        socket.bind(NetlinkAddress::default()).unwrap();
        let Address::Netlink(name) = socket.local_addr().unwrap() else { panic!("not AF_NETLINK") };
        assert_ne!(name.port_id, 0);
    }
    let protocol = Protocol::NETLINK_KOBJECT_UEVENT;
    let Some(events) = socket("uevents", libc::AF_NETLINK, Type::RAW, protocol.0) else { return };
    let group = NetlinkAddress { port_id: 0, groups: 1 };
    match events.bind(group) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return skip("privileged options", error);
        }
        bound => bound.unwrap(),
    }
    let Address::Netlink(name) = events.local_addr().unwrap() else { panic!("not AF_NETLINK") };
    assert_eq!(name.groups, 1);
}

/// Families that this kernel has create a socket, which tells its family.
#[test]
fn families_create_sockets() {
    for (family, kind, protocol) in [
        (Family::PACKET, Type::DGRAM, Protocol::DEFAULT),
        (Family::CAN, Type::RAW, Protocol::CAN_RAW),
        (Family::ALG, Type::SEQPACKET, Protocol::DEFAULT),
        (Family::XDP, Type::RAW, Protocol::DEFAULT),
        (Family::BLUETOOTH, Type::SEQPACKET, Protocol::DEFAULT),
        (Family::RDS, Type::SEQPACKET, Protocol::DEFAULT),
        (Family::KCM, Type::DGRAM, Protocol::DEFAULT),
        (Family::QIPCRTR, Type::DGRAM, Protocol::DEFAULT),
        (Family::SMC, Type::STREAM, Protocol::DEFAULT),
        (Family::PPPOX, Type::STREAM, Protocol::DEFAULT),
        (Family::INET, Type::RAW, Protocol::RAW),
        (Family::INET, Type::RAW, Protocol::IGMP),
        (Family::INET, Type::DGRAM, Protocol::UDPLITE),
        (Family::INET, Type::DCCP, Protocol::DCCP),
    ] {
        let socket = match Socket::new(family, kind, protocol) {
            Ok(socket) => socket,
            Err(error) => {
                skip("socket families", format!("{family} {protocol}: {error}"));
                continue;
            }
        };
        assert_eq!((socket.family().unwrap(), socket.socket_type().unwrap()), (family, kind));
        match (family, protocol) {
            (Family::CAN, _) => {
                socket.bind(CanAddress::new(0)).unwrap();
                assert_eq!(socket.local_addr().unwrap(), CanAddress::new(0).into());
            }
            // An XDP socket needs memory before it can be bound.
            (Family::XDP, _) => {
                let address = XdpAddress::new(interface_index("lo").unwrap(), 0);
                assert_eq!(socket.bind(address).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
            (Family::INET, Protocol::UDPLITE) => socket.bind(("127.0.0.1", 0)).unwrap(),
            _ => {}
        }
    }
}

/// AF_PACKET refuses unknown flags, such as MSG_CMSG_CLOEXEC.
#[test]
fn packet_sockets_work_with_every_receive() {
    let Some(packets) = socket("af_packet", libc::AF_PACKET, Type::DGRAM, 0) else { return };
    packets.bind(loopback()).unwrap();
    let send = || packets.send_to(b"a packet", loopback()).unwrap();
    let mut buffer = [0; 64];

    for space in [ControlSpace::NONE, ControlSpace::ALL] {
        send();
        let into = &mut [IoSliceMut::new(&mut buffer)];
        let message = packets.recv_msg(into, space, MessageFlags::NONE).unwrap();
        assert_eq!((message.len, message.flags), (8, MessageFlags::NONE));
        assert_eq!(message.from.unwrap().family(), Family(libc::AF_PACKET));
        send();
        let into = &mut [IoSliceMut::new(&mut buffer[..4])];
        let message = packets.recv_msg(into, space, MessageFlags::TRUNC).unwrap();
        assert_eq!((message.len, message.full_len, message.flags), (4, 8, MessageFlags::TRUNC));
    }
    send();
    assert_eq!(packets.recv_message(&mut buffer).unwrap().len, 8);
    send();
    let (one, other) = buffer.split_at_mut(4);
    let mut reader = &packets;
    assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(one), IoSliceMut::new(other)]).unwrap(), 8);
    let mut batch = Batch::new(4, 64);
    send();
    let received = packets.recv_many(&mut batch).unwrap();
    assert!(1 <= received && batch.bytes(0) == b"a packet");

    packets.set_option(option::PACKET_AUXDATA, true).unwrap();
    send();
    let into = &mut [IoSliceMut::new(&mut buffer)];
    let message = packets.recv_msg(into, ControlSpace::ALL, MessageFlags::NONE).unwrap();
    let [ControlMessage::PacketAuxData(facts)] = message.control[..] else { panic!("{message:?}") };
    assert_eq!((facts.len, facts.snapshot_len, facts.vlan()), (8, 8, None));
    packets.set_option(option::PACKET_AUXDATA, false).unwrap();

    // A flag that the caller passes and the family does not support is still refused.
    let into = &mut [IoSliceMut::new(&mut buffer)];
    let refused = packets.recv_msg(into, ControlSpace::ALL, MessageFlags::CMSG_CLOEXEC).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
}

/// RDS refuses every flag of a send but MSG_DONTWAIT, also MSG_NOSIGNAL.
#[test]
fn rds_sockets_work_with_every_send() {
    let open = || socket("rds", libc::AF_RDS, Type::SEQPACKET, 0);
    let (Some(one), Some(other)) = (open(), open()) else { return };
    for socket in [&one, &other] {
        // RDS does not choose a port.
        let port = (20_000..30_000).find(|&port| socket.bind(([127, 0, 0, 1], port)).is_ok());
        assert!(port.is_some());
    }
    let to = other.local_addr().unwrap();
    let mut buffer = [0; 64];
    let mut check = |sent: io::Result<usize>| {
        sent.unwrap();
        let (len, from) = other.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"ahoy"[..], one.local_addr().unwrap()));
    };
    let pieces = [IoSlice::new(b"ahoy")];
    check(one.send_to(b"ahoy", &to));
    check(one.send_msg(&pieces, &[], Some(&to), MessageFlags::NONE));
    check(one.send_many(&[Outgoing::new(&pieces).to(&to)]));
    one.connect(&to).unwrap();
    check(one.send(b"ahoy"));
    check(one.send_all(b"ahoy").map(|()| 4).map_err(io::Error::from));
    check((&one).write_vectored(&pieces));
}

/// AF_ALG has no addresses: an accept that requests the peer's address fails and closes the new
/// socket.
#[test]
fn alg_socket_accepts_without_an_address() {
    let Some(algorithm) = socket("af_alg", libc::AF_ALG, Type::SEQPACKET, 0) else { return };
    if let Err(error) = algorithm.bind(AlgAddress::new("hash", "sha256")) {
        return skip("af_alg", error.to_string());
    }
    for nonblocking in [false, true] {
        let accepted = if nonblocking { algorithm.accept_nonblocking() } else { algorithm.accept() };
        let (hash, peer) = accepted.unwrap();
        assert_eq!(peer.family(), Family(libc::AF_ALG));
        hash.set_timeout(Some(PATIENCE)).unwrap();
        hash.send_all_with(b"ab", MessageFlags::MORE).unwrap();
        hash.send_all(b"c").unwrap();
        let mut digest = [0; 32];
        assert_eq!(hash.recv(&mut digest).unwrap(), 32);
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf], "SHA-256 of abc, FIPS 180-2");
    }
}
