use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{
    Address, Batch, ControlSpace, Family, MessageFlags, Protocol, RawAddress, Socket, Transport, Type,
    interface_index, is_family_absent,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Folder, LOOPBACK, UNNAMED, bound, connected, link_local, skip, unique, wait_readable};

const UNIX: [Transport; 3] = [Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket];

fn at_path(path: &Path) -> Address {
    Address::Unix(UnixName::Path(path.as_os_str().as_bytes().into()))
}

fn at_name(name: &[u8]) -> Address {
    Address::Unix(UnixName::Abstract(name.into()))
}

/// Families from this number on are unknown to the crate.
const FAMILIES_KNOWN: u16 = 41;

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<SocketAddrV4>().prop_map(Address::Inet),
        (any::<Ipv6Addr>(), any::<u16>(), any::<u32>(), any::<u32>())
            .prop_map(|(ip, port, flow, scope)| Address::Inet6(SocketAddrV6::new(ip, port, flow, scope))),
        Just(UNNAMED),
        vec(1..=u8::MAX, 1..=108).prop_map(|path| Address::Unix(UnixName::Path(path.into()))),
        vec(any::<u8>(), 0..=107).prop_map(|name| at_name(&name)),
        any::<(u32, u32)>().prop_map(|(port_id, groups)| NetlinkAddress { port_id, groups }.into()),
        any::<(u32, u32)>().prop_map(|(cid, port)| VsockAddress { cid, port }.into()),
        tipc_address().prop_map(Address::Tipc),
        (FAMILIES_KNOWN..=u16::MAX, vec(any::<u8>(), 0..=126)).prop_map(|(family, rest)| {
            Address::Other([&family.to_ne_bytes()[..], &rest].concat().into())
        }),
    ]
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
    assert_eq!(socket.bind(at_path(&path)).unwrap_err().raw_os_error(), Some(libc::EINVAL));
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

/// The crate does not know AF_PACKET.
#[test]
fn unknown_families_keep_their_bytes() {
    let family = Family(libc::AF_PACKET);
    let socket = match Socket::new(family, Type::DGRAM, Protocol::DEFAULT) {
        Err(error) => return skip("af_packet", error),
        Ok(socket) => socket,
    };
    // A socket without a protocol receives nothing.
    let loopback = interface_index("lo").unwrap();
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&u16::try_from(family.0).unwrap().to_ne_bytes());
    bytes[4..8].copy_from_slice(&loopback.to_ne_bytes());
    let address = Address::Other(bytes[..].into());
    assert_eq!(address.family(), family);
    socket.bind(&address).unwrap();
    let name = socket.local_addr().unwrap();
    assert!(matches!(&name, Address::Other(reported) if reported[..8] == bytes[..8]), "{name:?}");
    assert_eq!(name.family(), family);
    assert_eq!(name.to_string(), format!("family {}", libc::AF_PACKET));
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
