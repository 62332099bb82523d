//! `ToEndpoint`: every kind of value that names an endpoint.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{
    Address, Endpoint, EndpointError, Error, Family, Protocol, ServerOptions, Side, Socket, ToEndpoint,
    Transport, Type, create_connection, create_server,
};

use crate::{Folder, UNNAMED, wait_readable};

#[test]
fn every_kind_of_value_names_an_endpoint() {
    fn endpoint(value: impl ToEndpoint) -> String {
        value.to_endpoint().unwrap().to_string()
    }
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 0, 3);
    let vsock = VsockAddress { cid: 5, port: 6 };
    let parsed: Endpoint = "sctp://b:8".parse().unwrap();
    for (found, expected) in [
        (endpoint("udp://b:7"), "udp://b:7"),
        (endpoint("b"), "tcp://b:21567"),
        (endpoint(String::from("/run/x")), "unix:/run/x"),
        (endpoint(("b", 7)), "tcp://b:7"),
        (endpoint((String::from("b"), 7)), "tcp://b:7"),
        (endpoint(("", 7)), "tcp://*:7"),
        (endpoint(("127.0.0.1", 7)), "tcp://127.0.0.1:7"),
        (endpoint(("::1", 7)), "tcp://[::1]:7"),
        (endpoint(("[::1]", 7)), "tcp://[::1]:7"),
        (endpoint(("fe80::1%lo", 7)), "tcp://[fe80::1%lo]:7"),
        (endpoint((IpAddr::from([127, 0, 0, 1]), 7)), "tcp://127.0.0.1:7"),
        (endpoint((Ipv4Addr::LOCALHOST, 7)), "tcp://127.0.0.1:7"),
        (endpoint((Ipv6Addr::LOCALHOST, 7)), "tcp://[::1]:7"),
        (endpoint(([127, 0, 0, 1], 7)), "tcp://127.0.0.1:7"),
        (endpoint(([0, 0, 0, 0, 0, 0, 0, 1], 7)), "tcp://[::1]:7"),
        (endpoint(v4), "tcp://127.0.0.1:7"),
        (endpoint(v6), "tcp://[::1%3]:7"),
        (endpoint(SocketAddr::from(v4)), "tcp://127.0.0.1:7"),
        (endpoint(Address::from(v4)), "tcp://127.0.0.1:7"),
        (endpoint(Address::from(v4)), "tcp://127.0.0.1:7"),
        (endpoint(Path::new("/run/x")), "unix:/run/x"),
        (endpoint(PathBuf::from("/run/x")), "unix:/run/x"),
        (endpoint(UnixName::Abstract(b"x".as_slice().into())), "unix:@x"),
        (endpoint(vsock), "vsock://5:6"),
        (endpoint(TipcAddress::service(70, 1)), "tipc://70:1"),
        (endpoint(NetlinkAddress::default()), "netlink://0"),
        (endpoint(&parsed), "sctp://b:8"),
        (endpoint((Transport::Udp, ("b", 7))), "udp://b:7"),
        (endpoint((Transport::Udp, "b:7")), "udp://b:7"),
        (endpoint((Transport::UnixDatagram, Path::new("/run/x"))), "unix-dgram:/run/x"),
        (endpoint((Transport::VsockSeqpacket, vsock)), "vsock-seqpacket://5:6"),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn invalid_values_are_refused_with_the_reason() {
    fn refused(value: impl ToEndpoint) -> io::Error {
        let error = value.to_endpoint().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        error
    }
    let error = refused("tcp://b:x y");
    let reason = "port \"x y\" is not a number from 0 to 65535";
    assert_eq!(error.to_string(), format!("cannot parse \"tcp://b:x y\": {reason}"));
    let error: Error = error.downcast().unwrap();
    let source: &EndpointError = error.cause().get_ref().unwrap().downcast_ref().unwrap();
    assert_eq!(*source, EndpointError::BadPort("x y".into()));

    for host in ["a b", "127.1", "a:b", "[::1", "::1%", "a/b"] {
        assert!(refused((host, 7)).to_string().contains(&format!("{host:?}")));
    }
    refused(&UNNAMED);
    refused(Address::Unspecified);
    refused(Address::Other([17, 0, 1].into()));
    refused((Transport::Udp, Path::new("/run/x")));
    refused((Transport::UnixStream, ("localhost", 7)));
    assert!((Transport::UnixStream, &UNNAMED).to_addresses(Side::Server).is_ok());
    let mixed = (Transport::Tcp, &UNNAMED).to_addresses(Side::Server).unwrap_err();
    assert_eq!(mixed.to_string(), "cannot use unnamed over tcp: the transport has another address family");

    let error = create_server("http://b", ServerOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot parse \"http://b\"");
    let error = create_connection("http://b", None, None).unwrap_err();
    assert_eq!(error.to_string(), "cannot parse \"http://b\"");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn socket_selects_the_ip_version_of_a_host() {
    let v4 = ("*", 7).to_address(Side::Server, Family::INET).unwrap();
    assert_eq!(*v4, (Ipv4Addr::UNSPECIFIED, 7).into());
    let v6 = ("*", 7).to_address(Side::Server, Family::INET6).unwrap();
    assert_eq!(*v6, (Ipv6Addr::UNSPECIFIED, 7).into());
    let error = ("127.0.0.1", 7).to_address(Side::Client, Family::INET6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // No lookup for a family that has no hosts.
    let error = ("no-such-host.invalid", 7).to_address(Side::Client, Family::UNIX).unwrap_err();
    let error: Error = error.downcast().unwrap();
    assert_eq!(error.cause().raw_os_error(), Some(libc::EAFNOSUPPORT));
    // An address is passed on, so that the kernel decides.
    let flow = Address::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 5, 0));
    let Cow::Borrowed(same) = flow.to_address(Side::Client, Family::INET).unwrap() else {
        panic!("the address was cloned")
    };
    assert_eq!(*same, flow);
    let (_, addresses) = flow.to_addresses(Side::Client).unwrap();
    assert_eq!(addresses, [flow]);
}

#[test]
fn socket_methods_take_every_kind_of_value() {
    let server = create_server("udp://127.0.0.1:0", ServerOptions::default()).unwrap();
    let address = server.local_addr().unwrap();
    let port = address.port().unwrap();
    let client = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT).unwrap();
    client.bind(("localhost", 0)).unwrap();
    assert_eq!(client.send_to(b"1", ("localhost", port)).unwrap(), 1);
    assert_eq!(client.send_to(b"2", &address).unwrap(), 1);
    // The scheme of the text does not matter to a socket.
    assert_eq!(client.send_to(b"3", format!("localhost:{port}")).unwrap(), 1);
    assert_eq!(client.send_to(b"4", SocketAddr::from(([127, 0, 0, 1], port))).unwrap(), 1);
    client.connect(format!("udp://localhost:{port}").as_str()).unwrap();
    assert_eq!(client.connect_ex((Ipv4Addr::LOCALHOST, port)).unwrap(), 0);
    client.send(b"5").unwrap();
    for expected in b'1'..=b'5' {
        let mut buffer = [0; 2];
        assert_eq!(server.recv_from(&mut buffer).unwrap(), (1, client.local_addr().unwrap()));
        assert_eq!(buffer[0], expected);
    }

    for host in ["localhost:1", "tcp://x", "::1::"] {
        let error = (host, 7).to_endpoint().unwrap_err().to_string();
        assert!(error.contains("is neither a name nor an address"), "{error}");
    }

    let folder = Folder::new();
    let path = folder.path().join("socket");
    let server = create_server(path.as_path(), ServerOptions::default()).unwrap();
    let client = create_connection(&path, None, None).unwrap();
    wait_readable(&server);
    assert_eq!(client.peer_addr().unwrap(), UnixName::from(path.as_path()).into());
    let client = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT).unwrap();
    client.connect(path).unwrap();
}
