use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use echosounder_socket::family::alg::AlgAddress;
use echosounder_socket::family::can::CanAddress;
use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::packet::HardwareAddress;
use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::family::xdp::XdpAddress;
use echosounder_socket::{
    Address, Batch, ControlSpace, EndpointError, Family, MessageFlags, Protocol, RawAddress, Socket,
    Transport, Type, is_family_absent,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Folder, LOOPBACK, UNNAMED, bound, connected, link_local, unique, wait_readable};

const UNIX: [Transport; 3] = [Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket];

fn at_path(path: &Path) -> Address {
    Address::Unix(UnixName::Path(path.as_os_str().as_bytes().into()))
}

fn at_name(name: &[u8]) -> Address {
    Address::Unix(UnixName::Abstract(name.into()))
}

/// Families from this number on are unknown to the crate.
const FAMILIES_KNOWN: u16 = 46;

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<SocketAddrV4>().prop_map(Address::Inet),
        (any::<Ipv6Addr>(), any::<u16>(), any::<u32>(), any::<u32>())
            .prop_map(|(ip, port, flow, scope)| Address::Inet6(SocketAddrV6::new(ip, port, flow, scope))),
        Just(UNNAMED),
        vec(1..=u8::MAX, 1..=108).prop_map(|path| Address::Unix(UnixName::Path(path.into()))),
        vec(any::<u8>(), 0..=107).prop_map(|name| at_name(&name)),
        any::<(u32, u32)>().prop_map(|(port_id, groups)| NetlinkAddress { port_id, groups }.into()),
        (any::<u32>(), prop_oneof![any::<u32>(), 0..3_u32]).prop_map(|(cid, port)| VsockAddress {
            cid,
            port
        }
        .into()),
        tipc_address().prop_map(Address::Tipc),
        packet_address(),
        any::<(u32, u32, u32)>().prop_map(|(interface, rx_id, tx_id)| {
            let mut address = CanAddress::new(interface);
            (address.rx_id, address.tx_id) = (rx_id, tx_id);
            address.into()
        }),
        ("[a-z]{0,13}", "[ -~]{0,63}", any::<(u32, u32)>()).prop_map(|(kind, name, (features, mask))| {
            let mut address = AlgAddress::new(&kind, &name);
            (address.features, address.mask) = (features, mask);
            address.into()
        }),
        any::<(u32, u32, u16)>().prop_map(|(interface, queue, flags)| {
            XdpAddress::new(interface, queue).with_flags(flags).into()
        }),
        (FAMILIES_KNOWN..=u16::MAX, vec(any::<u8>(), 0..=126)).prop_map(|(family, rest)| {
            Address::Other([&family.to_ne_bytes()[..], &rest].concat().into())
        }),
    ]
}

fn packet_address() -> impl Strategy<Value = Address> {
    (any::<(u16, u32, u16, u8)>(), vec(any::<u8>(), 0..=20)).prop_map(
        |((protocol, interface, hardware_type, packet_type), hardware)| {
            let mut bytes = u16::try_from(Family::PACKET.0).unwrap().to_ne_bytes().to_vec();
            bytes.extend(protocol.to_be_bytes());
            bytes.extend(interface.to_ne_bytes());
            bytes.extend(hardware_type.to_ne_bytes());
            bytes.extend([packet_type, u8::try_from(hardware.len()).unwrap()]);
            bytes.extend(&hardware);
            let address = Address::from(&RawAddress::from_bytes(&bytes));
            match &address {
                Address::Packet(packet) => {
                    assert_eq!((packet.protocol, packet.interface), (protocol, interface));
                    assert_eq!(packet.hardware().as_bytes(), hardware);
                }
                other => {
                    assert!(matches!(other, Address::Other(kept) if **kept == bytes && 8 < hardware.len()))
                }
            }
            address
        },
    )
}

fn tipc_address() -> impl Strategy<Value = TipcAddress> {
    let scope = || prop_oneof![Just(TipcScope::Cluster), Just(TipcScope::Node)];
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(node, reference)| TipcAddress::Socket { node, reference }),
        (any::<(u32, u32, u32)>(), scope()).prop_map(|((service, instance, domain), scope)| {
            TipcAddress::Service { service, instance, scope, domain }
        }),
        (any::<(u32, u32, u32)>(), scope()).prop_map(|((service, lower, upper), scope)| TipcAddress::Range {
            service,
            lower,
            upper,
            scope
        }),
    ]
}

proptest! {
    #[test]
    fn addresses_round_trip_through_raw_form(address in address()) {
        let raw = RawAddress::try_from(&address).unwrap();
        prop_assert_eq!(Address::from(&raw), address.clone());
        let family = u16::try_from(address.family().0).unwrap();
        prop_assert_eq!(&raw.as_bytes()[..2], family.to_ne_bytes());
    }
}

proptest! {
    #[test]
    fn addresses_round_trip_through_text(address in address()) {
        let expected = match address.clone() {
            // The flow label has no text.
            Address::Inet6(v6) => {
                Address::Inet6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()))
            }
            address => address,
        };
        prop_assert_eq!(format!("{address:#}").parse(), Ok(expected));
    }

    #[test]
    fn address_text_never_panics(text in "[ -~é]{0,40}", scheme in 0..6_usize) {
        let scheme = ["", "unix:", "vsock:", "tipc:", "netlink:", "sockaddr:"][scheme];
        if let Ok(address) = format!("{scheme}{text}").parse::<Address>() {
            prop_assert_eq!(format!("{address:#}").parse(), Ok(address));
        }
    }

    #[test]
    fn unix_names_convert_to_std_and_back(name in prop_oneof![
        Just(UnixName::Unnamed),
        vec(1..=u8::MAX, 1..=107).prop_map(|path| UnixName::Path(path.into())),
        vec(any::<u8>(), 0..=107).prop_map(UnixName::abstract_name),
    ]) {
        let std = std::os::unix::net::SocketAddr::try_from(&name).unwrap();
        prop_assert_eq!(std.is_unnamed(), name == UnixName::Unnamed);
        prop_assert_eq!(std.as_pathname(), name.as_path());
        prop_assert_eq!(Address::from(std), Address::Unix(name));
    }
}

#[test]
fn names_that_std_does_not_accept_are_refused() {
    for name in [&b""[..], b"a\0b", &[b'a'; 108]] {
        let address = Address::Unix(UnixName::Path(name.into()));
        let error = std::os::unix::net::SocketAddr::try_from(&address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let error = std::os::unix::net::SocketAddr::try_from(&LOOPBACK[0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let error = SocketAddr::try_from(UNNAMED).unwrap_err();
    assert_eq!(error.to_string(), "unnamed of AF_UNIX is not an IP address");
}

/// Safe code could make the kernel use a descriptor of another owner.
#[test]
fn addresses_with_descriptors_are_refused() {
    let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT).unwrap();
    let shared: Address = "sockaddr:2c000100010000000000000004000000".parse().unwrap();
    let shared_typed = XdpAddress::new(1, 0).with_flags(1 | XdpAddress::COPY).into();
    // The kernel does not check the family of an L2TP address.
    let l2tp = |family: u16, len: usize| {
        let mut bytes = [&family.to_ne_bytes()[..], &1_u32.to_ne_bytes()].concat();
        bytes.resize(len, 0);
        Address::Other(bytes.into())
    };
    let unchecked = [38, 46, 50, 58].map(|len| l2tp(0, len));
    for refused in [shared, shared_typed, l2tp(24, 38)].into_iter().chain(unchecked) {
        for error in [socket.bind(&refused).unwrap_err(), socket.connect(&refused).unwrap_err()] {
            assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::InvalidInput, None));
        }
    }
}

#[test]
fn addresses_convert_to_std_with_scope_and_flow_label() {
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 5, 3);
    for std in [SocketAddr::from(v4), SocketAddr::from(v6)] {
        let address = Address::from(&std);
        assert_eq!(SocketAddr::try_from(&address).unwrap(), std);
        assert_eq!(SocketAddr::try_from(address).unwrap(), std);
    }
    assert_eq!((Address::from(v4), Address::from(v6)), (Address::Inet(v4), Address::Inet6(v6)));
}

#[test]
fn addresses_are_read_and_written_as_text() {
    for (text, plain) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[fe80::1%2]:80", "[fe80::1%2]:80"),
        ("unspecified", "unspecified"),
        ("unix:unnamed", "unnamed"),
        ("unix:%75nnamed", "%75nnamed"),
        ("unix:%40x", "%40x"),
        ("unix:/run/x%20y", "/run/x%20y"),
        ("unix:@x", "@x"),
        ("vsock:any:0", "any:0"),
        ("vsock:host:0x0", "host:0x0"),
        ("vsock:7:6", "7:6"),
        ("tipc:70:1", "70:1"),
        ("tipc:1:1-5?scope=node", "1:1-5?scope=node"),
        ("tipc:70:1?scope=node&domain=1001", "70:1?scope=node&domain=1001"),
        ("tipc:1001001/5", "1001001/5"),
        ("netlink:5", "5"),
        ("netlink:0?groups=0x1", "0?groups=0x1"),
        ("sockaddr:2c010102", "family 300"),
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!((format!("{address:#}").as_str(), address.to_string().as_str()), (text, plain));
    }
    assert_eq!("@x".parse(), Ok(at_name(b"x")));
    for path in ["/run/x", "./x", "../x:y"] {
        assert_eq!(path.parse(), Ok(at_path(Path::new(path))));
    }
    assert_eq!("UNIX:/a".parse(), Ok(at_path(Path::new("/a"))));
    assert_eq!("unix:tcp://x".parse(), Ok(at_path(Path::new("tcp://x"))), "a relative path");
    assert_eq!("unnamed".parse(), Ok(UNNAMED));
    for refused in ["", "x", "127.0.0.1", "::1:80", "5:6", "sockaddr:1", "sockaddr:+1", "netlink:1?groups=1"]
    {
        assert!(refused.parse::<Address>().is_err(), "{refused}");
    }
    for refused in ["tcp://127.0.0.1:1", "http://x", "UDP://[::1]:7", "unix-dgram:/x", "run/x", "vsock://2:7"]
    {
        assert!(refused.parse::<Address>().is_err(), "{refused}");
    }
    let long = format!("sockaddr:{}", "ff".repeat(129));
    assert_eq!(long.parse::<Address>(), Err(EndpointError::BadAddress(long.clone())));
}

#[test]
fn debug_output_is_readable() {
    for (debug, expected) in [
        (format!("{:?}", LOOPBACK[0]), "Inet(127.0.0.1:0)"),
        (format!("{:?}", UnixName::path("/tmp/x")), "Path(\"/tmp/x\")"),
        (format!("{:?}", at_name(b"a\0\"")), r#"Unix(Abstract("a\x00\""))"#),
        (format!("{:?}", Family::UNIX), "Family(AF_UNIX)"),
        (format!("{:?}", Type(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK)), "Type(SOCK_DGRAM | SOCK_NONBLOCK)"),
        (format!("{:?}", Type(99)), "Type(99)"),
        (format!("{:?}", Protocol::UDP), "Protocol(17: IPPROTO_UDP)"),
        (format!("{:?}", HardwareAddress::from([2, 0, 0, 0, 0, 1])), "HardwareAddress(02:00:00:00:00:01)"),
        (format!("{:?}", RawAddress::try_from(&LOOPBACK[0]).unwrap()), "RawAddress(127.0.0.1:0)"),
    ] {
        assert_eq!(debug, expected);
    }
}

#[test]
fn inet_addresses_have_the_kernel_layout() {
    let v4 = Address::Inet(SocketAddrV4::new(Ipv4Addr::new(1, 2, 3, 4), 0x0506));
    let raw = RawAddress::try_from(&v4).unwrap();
    assert_eq!(&raw.as_bytes()[2..], b"\x05\x06\x01\x02\x03\x04\0\0\0\0\0\0\0\0");
    let v6 = Address::Inet6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0x0506, 0, 7));
    let raw = RawAddress::try_from(&v6).unwrap();
    assert_eq!(&raw.as_bytes()[2..8], b"\x05\x06\0\0\0\0");
    assert_eq!(&raw.as_bytes()[8..24], Ipv6Addr::LOCALHOST.octets());
    assert_eq!(&raw.as_bytes()[24..], 7_u32.to_ne_bytes());
}

#[test]
fn address_has_a_port_and_prints_without_a_scheme() {
    for (address, port, printed) in [
        ("127.0.0.1:80", Some(80), "127.0.0.1:80"),
        ("[::1]:80", Some(80), "[::1]:80"),
        ("[fe80::1%2]:80", Some(80), "[fe80::1%2]:80"),
    ] {
        let address = Address::from(address.parse::<SocketAddr>().unwrap());
        assert_eq!((address.port(), address.to_string()), (port, printed.into()));
        assert_eq!(address.clone().with_port(7).port(), Some(7));
        assert_eq!(address.clone().with_port(7).with_port(80), address);
        assert!(!address.is_wildcard());
    }
    let other = Address::Other([&300_u16.to_ne_bytes()[..], b"bytes"].concat().into());
    for (address, printed) in [
        (UNNAMED, "unnamed"),
        (at_name(b"a\0b"), "@a%00b"),
        (at_path(Path::new("/a b")), "/a%20b"),
        (other, "family 300"),
    ] {
        assert_eq!((address.port(), address.to_string()), (None, printed.into()));
        assert_eq!(address.clone().with_port(7), address);
        assert!(!address.is_wildcard());
    }
    for all in ["0.0.0.0:1", "[::]:1"] {
        assert!(Address::from(all.parse::<SocketAddr>().unwrap()).is_wildcard());
    }
}

#[test]
fn local_address_equals_that_of_std() {
    for loopback in LOOPBACK.iter() {
        let (socket, name) = bound(Transport::Udp, loopback);
        let port = name.port().unwrap();
        assert_ne!(port, 0);
        assert_eq!(name, loopback.clone().with_port(port));

        let peer = connected(Transport::Udp, &name);
        assert_eq!(peer.peer_addr().unwrap(), name);
        let (socket, peer) = (UdpSocket::from(OwnedFd::from(socket)), UdpSocket::from(OwnedFd::from(peer)));
        assert_eq!(Address::from(socket.local_addr().unwrap()), name);
        assert_eq!(Address::from(peer.peer_addr().unwrap()), name);
    }
}

#[test]
fn link_local_address_keeps_its_interface() {
    let Some(address) = link_local() else { return };
    let (socket, name) = bound(Transport::Udp, &Address::Inet6(address));
    assert_eq!(name, Address::Inet6(address).with_port(name.port().unwrap()));
    socket.send_to(b"to myself", &name).unwrap();
    wait_readable(&socket);
    assert_eq!(socket.recv_from(&mut [0; 16]).unwrap(), (9, name));
}

#[test]
fn paths_of_any_length_round_trip() {
    let folder = Folder::new();
    for len in [100, 106, 107, 108] {
        for (transport, path) in UNIX.map(|transport| (transport, folder.path_of_len(len))) {
            let (socket, name) = bound(transport, &at_path(&path));
            assert_eq!(name, at_path(&path));
            assert!(fs::metadata(&path).unwrap().file_type().is_socket());
            if transport != Transport::UnixDatagram {
                socket.listen().unwrap();
            }
            assert_eq!(connected(transport, &name).peer_addr().unwrap(), name);
            fs::remove_file(&path).unwrap();
        }
    }
    let path = folder.path_of_len(109);
    let socket = Transport::UnixStream.socket(&UNNAMED).unwrap();
    assert_eq!(socket.bind(at_path(&path)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn abstract_name_may_contain_any_byte() {
    let unique = unique();
    let short = [unique.as_bytes(), b"\0\xff\n/\0"].concat();
    let mut long = short.clone();
    long.resize(107, 0);
    for name in [unique.as_bytes(), &short, &long].map(at_name) {
        for transport in UNIX {
            let (socket, reported) = bound(transport, &name);
            assert_eq!(reported, name);
            if transport != Transport::UnixDatagram {
                socket.listen().unwrap();
            }
            assert_eq!(connected(transport, &name).peer_addr().unwrap(), name);
        }
    }
}

#[test]
fn binding_unnamed_chooses_a_name() {
    for transport in UNIX {
        let socket = transport.socket(&UNNAMED).unwrap();
        assert_eq!(socket.local_addr().unwrap(), UNNAMED);
        socket.bind(&UNNAMED).unwrap();
        let name = socket.local_addr().unwrap();
        assert!(matches!(&name, Address::Unix(UnixName::Abstract(name)) if name.len() == 5), "{name:?}");
        assert_ne!(bound(transport, &UNNAMED).1, name);
    }
}

#[test]
fn datagram_source_is_the_name_or_unnamed() {
    let (receiver, to) = bound(Transport::UnixDatagram, &UNNAMED);
    let (named, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let nameless = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
    for (sender, name) in [(named, name), (nameless, UNNAMED)] {
        sender.send_to(b"hello", &to).unwrap();
        wait_readable(&receiver);
        assert_eq!(receiver.recv_from(&mut [0; 16]).unwrap(), (5, name));
    }
}

/// J1939 uses fields of its own in `sockaddr_can`.
#[test]
fn addresses_of_another_form_keep_their_bytes() {
    for (family, len, at) in [(Family::CAN, 24, 16), (Family::XDP, 16, 12), (Family::VSOCK, 16, 12)] {
        let mut bytes = vec![0; len];
        bytes[..2].copy_from_slice(&u16::try_from(family.0).unwrap().to_ne_bytes());
        bytes[at] = 1;
        let raw = RawAddress::from_bytes(&bytes);
        let address = Address::from(&raw);
        assert_eq!((address.clone(), address.family()), (Address::Other(bytes.into()), family));
        assert_eq!(RawAddress::try_from(&address).unwrap(), raw);
    }
}

#[test]
fn nonexistent_family_is_absent() {
    let nowhere = Address::Other(0x7fff_u16.to_ne_bytes()[..].into());
    assert!(is_family_absent(&Transport::Tcp.socket(&nowhere).unwrap_err()));
}

/// An unreported source is "unnamed" over AF_UNIX and "unspecified" otherwise.
#[test]
fn unreported_source_is_unspecified_or_unnamed() {
    let receive = |transport: Transport, call: fn(&Socket) -> Address| {
        let address = if transport == Transport::Tcp { &LOOPBACK[0] } else { &UNNAMED };
        let (listener, name) = bound(transport, address);
        listener.listen().unwrap();
        let client = connected(transport, &name);
        client.send(b"ahoy").unwrap();
        let (server, _) = listener.accept().unwrap();
        wait_readable(&server);
        // The socket may know its family or have to query it.
        let handed = Socket::from_fd(server.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let peeked = {
            let mut buffer = [0; 8];
            let into = &mut [IoSliceMut::new(&mut buffer)];
            handed.recv_msg(into, ControlSpace::NONE, MessageFlags::PEEK).unwrap().from
        };
        let from = call(&server);
        assert_eq!(peeked.unwrap_or(Address::Unspecified), from);
        from
    };
    let calls: [fn(&Socket) -> Address; 3] = [
        |socket| socket.recv_from(&mut [0; 8]).unwrap().1,
        |socket| {
            let mut buffer = [0; 8];
            let into = &mut [IoSliceMut::new(&mut buffer)];
            let message = socket.recv_msg(into, ControlSpace::NONE, MessageFlags::NONE).unwrap();
            message.from.unwrap_or(Address::Unspecified)
        },
        |socket| {
            let mut batch = Batch::new(1, 8);
            socket.recv_many(&mut batch).unwrap();
            batch.sender(0)
        },
    ];
    for call in calls {
        let from = receive(Transport::Tcp, call);
        assert_eq!((from.family(), from.to_string()), (Family::UNSPEC, "unspecified".into()));
        assert_eq!(from, Address::Unspecified);
    }
    // A batch that another socket has used returns the address for the present socket.
    let mut batch = Batch::new(1, 8);
    let (server, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let nameless = Transport::UnixDatagram.socket(&name).unwrap();
    for _ in 0..2 {
        nameless.send_to(b"ahoy", &name).unwrap();
        server.recv_many(&mut batch).unwrap();
        assert_eq!(batch.sender(0), UNNAMED);
        let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
        listener.listen().unwrap();
        connected(Transport::Tcp, &name).send(b"ahoy").unwrap();
        listener.accept().unwrap().0.recv_many(&mut batch).unwrap();
        assert_eq!(batch.sender(0), Address::Unspecified);
    }

    // Connecting a datagram socket to AF_UNSPEC disconnects it.
    let (udp, name) = bound(Transport::Udp, &LOOPBACK[0]);
    udp.connect(&name).unwrap();
    udp.connect(&Address::Unspecified).unwrap();
    assert_eq!(udp.peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
}
