//! `create_server` and `create_connection`.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use echosounder_socket::{
    Address, ConnectionError, Endpoint, ServerOptions, Side, Socket, ToEndpoint, Transport,
    create_connection, create_server, is_multicast_or_broadcast, option,
};

use crate::{LOOPBACK, PATIENCE, UNNAMED, bound, wait_readable};

fn server(transport: Transport, address: &Address, options: ServerOptions) -> Socket {
    create_server((transport, address), options).unwrap()
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

#[test]
fn create_server_sets_the_options_of_the_kind() {
    for loopback in LOOPBACK.iter() {
        let tcp = server(Transport::Tcp, loopback, ServerOptions::default());
        assert!(tcp.option(option::SO_ACCEPTCONN).unwrap());
        assert!(tcp.option(option::SO_REUSEADDR).unwrap());
        assert!(!tcp.option(option::SO_REUSEPORT).unwrap());
        let udp = server(Transport::Udp, loopback, ServerOptions::default());
        assert!(!udp.option(option::SO_REUSEADDR).unwrap());
        for transport in [Transport::Tcp, Transport::Udp] {
            let options = ServerOptions::default().reuse_port(true);
            let one = server(transport, loopback, options);
            let other = server(transport, &one.local_addr().unwrap(), options);
            assert_eq!(one.local_addr().unwrap(), other.local_addr().unwrap());
        }
    }
    if let [_, _] = &LOOPBACK[..] {
        for dual_stack in [false, true] {
            for transport in [Transport::Tcp, Transport::Udp] {
                let options = ServerOptions::default().dual_stack(dual_stack);
                let server = server(transport, &(Ipv6Addr::UNSPECIFIED, 0).into(), options);
                assert_eq!(server.option(option::IPV6_V6ONLY).unwrap(), !dual_stack);
            }
        }
    }
}

#[test]
fn backlog_is_applied() {
    let options = ServerOptions::default().backlog(0);
    let listener = server(Transport::UnixStream, &UNNAMED, options);
    let name = listener.local_addr().unwrap();
    let call = || {
        let client = Transport::UnixStream.socket(&name).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect_ex(&name).unwrap()
    };
    assert_eq!([call(), call()], [0, libc::EAGAIN]);
}

#[test]
fn failed_server_names_operation_and_address() {
    let taken = server(Transport::Tcp, &LOOPBACK[0], ServerOptions::default());
    let name = taken.local_addr().unwrap();
    let error = create_server(&name, ServerOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot bind tcp://{name}"));
    assert_eq!(error.cause().kind(), ErrorKind::AddrInUse);
    assert!(error.source().unwrap().to_string().contains("in use"));
}

#[test]
fn first_accepting_address_is_connected() {
    let v4 = server(Transport::Tcp, &LOOPBACK[0], ServerOptions::default());
    let port = v4.local_addr().unwrap().port().unwrap();
    let to = endpoint(&format!("tcp://localhost:{port}"));
    let client = create_connection(&to, Some(PATIENCE), None).unwrap();
    assert_eq!(client.peer_addr().unwrap(), v4.local_addr().unwrap());
    assert_eq!(client.timeout(), Some(PATIENCE));
    wait_readable(&v4);
    assert_eq!(v4.accept().unwrap().1, client.local_addr().unwrap());

    let source = (Ipv4Addr::new(127, 0, 0, 3), 0).into();
    let to = endpoint(&format!("tcp://127.0.0.1:{port}"));
    let client = create_connection(&to, None, Some(&source)).unwrap();
    assert_eq!((client.local_addr().unwrap().ip(), client.timeout()), (source.ip(), None));
}

#[test]
fn failed_connection_lists_every_attempt() {
    let (_silent, nobody) = bound(Transport::Tcp, &LOOPBACK[0]);
    let port = nobody.port().unwrap();
    let to = endpoint(&format!("tcp://localhost:{port}"));
    let error = create_connection(&to, Some(PATIENCE), None).unwrap_err();
    let ConnectionError::Connect(unreached) = &error else { panic!("{error}") };
    assert_eq!(unreached.target(), to.to_string());
    assert!(!unreached.attempts().is_empty());
    let of_v4 = unreached.attempts().iter().find(|(address, _)| *address == nobody).unwrap();
    assert_eq!(of_v4.1.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), format!("cannot connect to {to}"));
    let last = unreached.attempts().last().unwrap().1.to_string();
    assert_eq!(error.source().unwrap().to_string(), last);

    // As an `io::Error`, it shows every reason, and has no source that repeats one.
    let all: Vec<_> =
        unreached.attempts().iter().map(|(at, error)| (at.clone(), error.to_string())).collect();
    let error = io::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to {to}: ")), "{text}");
    assert!(all.iter().all(|(_, reason)| text.contains(reason)), "{text}");
    assert!(all.len() == 1 || all.iter().all(|(address, _)| text.contains(&address.to_string())), "{text}");
    assert!(error.source().is_none());
    assert!(matches!(error.downcast::<ConnectionError>().unwrap(), ConnectionError::Connect(_)));

    let error = create_connection(endpoint("tcp://no-such-host.invalid"), None, None).unwrap_err();
    assert!(matches!(error, ConnectionError::Resolve(_)));
    assert_eq!(error.to_string(), "cannot resolve no-such-host.invalid");
    assert!(error.source().is_some());
    let error = io::Error::from(error);
    assert!(error.to_string().starts_with("cannot resolve no-such-host.invalid: "), "{error}");
}

#[test]
fn slow_connection_times_out() {
    let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
    listener.listen_with(0).unwrap();
    let to = Endpoint::at(Transport::UnixStream, &name).unwrap();
    let _first = create_connection(&to, None, None).unwrap();
    let error = create_connection(&to, Some(Duration::from_millis(20)), None).unwrap_err();
    let ConnectionError::Connect(unreached) = error else { panic!("{error}") };
    let [(address, error)] = unreached.attempts() else { panic!("{unreached}") };
    assert_eq!((address, error.kind()), (&name, ErrorKind::TimedOut));
}

/// A name with several addresses.
pub(crate) struct Addresses(pub(crate) Vec<Address>);

impl ToEndpoint for Addresses {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        "tcp://several".to_endpoint()
    }

    fn to_addresses(&self, _side: Side) -> io::Result<(Transport, Vec<Address>)> {
        Ok((Transport::Tcp, self.0.clone()))
    }
}

/// Returns a listener whose queue is full. The kernel discards further requests to connect.
pub(crate) fn full_listener() -> ([Socket; 2], Address) {
    let listener = server(Transport::Tcp, &LOOPBACK[0], ServerOptions::default().backlog(0));
    let name = listener.local_addr().unwrap();
    let queued = create_connection(&name, None, None).unwrap();
    ([listener, queued], name)
}

/// RFC 8305: an address that does not reply does not delay the others for long.
#[test]
fn addresses_are_tried_beside_each_other() {
    let (_full, silent) = full_listener();
    let (_refusing, refusing) = bound(Transport::Tcp, &LOOPBACK[0]);
    let listener = server(Transport::Tcp, &LOOPBACK[0], ServerOptions::default());
    let good = listener.local_addr().unwrap();
    for timeout in [None, Some(PATIENCE)] {
        // Without the race, the first address alone takes two minutes.
        let to = Addresses(vec![silent.clone(), refusing.clone(), silent.clone(), good.clone()]);
        let client = create_connection(to, timeout, None).unwrap();
        assert_eq!((client.peer_addr().unwrap(), client.timeout()), (good.clone(), timeout));
        wait_readable(&listener);
        let (connection, _) = listener.accept().unwrap();
        connection.send_all(b"x").unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1, "the socket waits as its timeout says");
    }
    let source = (Ipv4Addr::new(127, 0, 0, 3), 0).into();
    let to = Addresses(vec![refusing, good]);
    let client = create_connection(to, None, Some(&source)).unwrap();
    assert_eq!(client.local_addr().unwrap().ip(), source.ip());
}

/// The attempts share the source: the port belongs to the first when the second is bound.
#[test]
fn race_from_one_port_succeeds() {
    let (_full, silent) = full_listener();
    let listener = server(Transport::Tcp, &LOOPBACK[0], ServerOptions::default());
    let good = listener.local_addr().unwrap();
    // 127.0.0.4 is not used by other tests, so the port stays free.
    let (free, source) = bound(Transport::Tcp, &(Ipv4Addr::new(127, 0, 0, 4), 0).into());
    drop(free);
    let client = create_connection(Addresses(vec![silent, good]), Some(PATIENCE), Some(&source)).unwrap();
    assert_eq!(client.local_addr().unwrap(), source);
}

#[test]
fn failed_race_lists_every_attempt() {
    let (_full, silent) = full_listener();
    let (_refusing, refusing) = bound(Transport::Tcp, &LOOPBACK[0]);
    let to = Addresses(vec![silent.clone(), refusing.clone(), silent.clone()]);
    let error = create_connection(to, Some(Duration::from_millis(20)), None).unwrap_err();
    let ConnectionError::Connect(failed) = error else { panic!("{error}") };
    assert_eq!(failed.target(), "tcp://several:21567");
    let found: Vec<_> = failed.attempts().iter().map(|(at, error)| (at.clone(), error.kind())).collect();
    let [first, second, third] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*first, (silent.clone(), ErrorKind::TimedOut));
    assert_eq!(*second, (refusing, ErrorKind::ConnectionRefused));
    assert_eq!(*third, (silent, ErrorKind::TimedOut));
    let none = create_connection(Addresses(Vec::new()), None, None).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[test]
fn multicast_and_broadcast_addresses_are_recognized() {
    // 127.255.255.255 is the broadcast address of the loopback network.
    for (ip, expected) in [
        (Ipv4Addr::new(224, 0, 0, 1), true),
        (Ipv4Addr::BROADCAST, true),
        (Ipv4Addr::new(127, 255, 255, 255), true),
        (Ipv4Addr::LOCALHOST, false),
        (Ipv4Addr::UNSPECIFIED, false),
    ] {
        assert_eq!(is_multicast_or_broadcast(&(ip, 7).into()).unwrap(), expected, "{ip}");
    }
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    for (ip, expected) in [(all_nodes, true), (Ipv6Addr::UNSPECIFIED, false)] {
        assert_eq!(is_multicast_or_broadcast(&(ip, 7).into()).unwrap(), expected, "{ip}");
    }
    assert!(!is_multicast_or_broadcast(&UNNAMED).unwrap());
}
