//! Behaviour of AF_TIPC only.

use std::io::{ErrorKind, IoSliceMut};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
use echosounder_socket::option::{self, TipcGroup, TipcGroupFlags};
use echosounder_socket::{
    Address, Batch, ControlMessage, ControlSpace, Family, Message, MessageFlags, Shutdown, Socket, Transport,
};

use crate::PATIENCE;
use crate::family::Fixture;

/// Returns an unused service, or skips if this kernel lacks TIPC.
fn service() -> Option<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Fixture::find(Transport::TipcRdm, Family::TIPC)?;
    Some(1_000_000_000 + process::id() * 100 + NEXT.fetch_add(1, Ordering::Relaxed))
}

fn socket(transport: Transport) -> Socket {
    let socket = transport.socket(&TipcAddress::service(64, 0).into()).unwrap();
    socket.set_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn at(service: u32, instance: u32) -> Address {
    TipcAddress::service(service, instance).into()
}

fn range(service: u32, lower: u32, upper: u32) -> TipcAddress {
    TipcAddress::Range { service, lower, upper, scope: TipcScope::Cluster }
}

fn receive(socket: &Socket) -> (Message, Vec<u8>) {
    let mut buffer = vec![0; 1 << 17];
    let message = socket
        .recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::of(1 << 17), MessageFlags::NONE)
        .unwrap();
    buffer.truncate(message.len);
    (message, buffer)
}

#[test]
fn socket_binds_and_unbinds_several_services() {
    let Some(service) = service() else { return };
    let (server, client) = (socket(Transport::TipcRdm), socket(Transport::TipcRdm));
    let one = TipcAddress::service(service, 1);
    let node = TipcAddress::Service { service, instance: 2, scope: TipcScope::Node, domain: 0 };
    let many = range(service, 10, 20);
    for address in [one, node, many] {
        server.bind(address).unwrap();
    }
    let name = server.local_addr().unwrap();
    assert!(matches!(name, Address::Tipc(TipcAddress::Socket { .. })), "{name:?}");
    let reaches = |instance| match client.send_to(b"call", at(service, instance)) {
        Ok(_) => {
            assert_eq!(server.recv(&mut [0; 8]).unwrap(), 4);
            true
        }
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH));
            false
        }
    };
    assert_eq!([1, 2, 10, 15, 20].map(reaches), [true; 5]);
    assert_eq!([0, 3, 9, 21].map(reaches), [false; 4]);
    server.unbind(&node).unwrap();
    assert_eq!([1, 2, 10].map(reaches), [true, false, true]);
    server.unbind(&many).unwrap();
    assert_eq!([1, 2, 10].map(reaches), [true, false, false]);
    server.bind(many).unwrap();
    server.unbind_all().unwrap();
    assert_eq!([1, 2, 10].map(reaches), [false; 3]);
    // The socket's own address cannot be withdrawn.
    client.send_to(b"call", &name).unwrap();
    assert_eq!(server.recv(&mut [0; 8]).unwrap(), 4);
    let Address::Tipc(number) = name else { unreachable!() };
    assert_eq!(server.unbind(&number).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn unbindable_addresses_are_refused() {
    let Some(service) = service() else { return };
    let server = socket(Transport::TipcRdm);
    let number = server.local_addr().unwrap();
    for (address, errno) in
        [(at(63, 1), libc::EACCES), (range(service, 2, 1).into(), libc::EINVAL), (number, libc::EAFNOSUPPORT)]
    {
        assert_eq!(server.bind(&address).unwrap_err().raw_os_error(), Some(errno), "{address}");
    }
    let udp = Transport::Udp.socket(&([127, 0, 0, 1], 0).into()).unwrap();
    assert_eq!(udp.unbind_all().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn message_to_a_range_reaches_every_bound_socket() {
    let Some(service) = service() else { return };
    let servers = [(1, 3), (3, 5), (9, 9)].map(|(lower, upper)| {
        let server = socket(Transport::TipcRdm);
        server.bind(range(service, lower, upper)).unwrap();
        server
    });
    let client = socket(Transport::TipcRdm);
    client.send_to(b"all", range(service, 2, 4)).unwrap();
    for server in &servers[..2] {
        let mut buffer = [0; 8];
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (b"all".as_slice(), client.local_addr().unwrap()));
    }
    servers[2].set_nonblocking(true).unwrap();
    assert_eq!(servers[2].recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn destination_service_is_reported() {
    let Some(service) = service() else { return };
    let (server, client) = (socket(Transport::TipcDatagram), socket(Transport::TipcDatagram));
    server.bind(range(service, 5, 9)).unwrap();
    client.send_to(b"call", at(service, 7)).unwrap();
    let (message, _) = receive(&server);
    let [ControlMessage::TipcDestination(asked)] = message.control[..] else { panic!("{message:?}") };
    let TipcAddress::Range { service: reported, lower, upper, .. } = asked else { panic!("{asked}") };
    assert_eq!((reported, lower, upper), (service, 7, 7));

    client.send_to(b"call", at(service, 8)).unwrap();
    let mut batch = Batch::new(1, 8);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
    assert_eq!(batch.metadata(0).tipc_destination, Some(range(service, 8, 8)));
}

#[test]
fn undeliverable_message_returns_unless_droppable() {
    if service().is_none() {
        return;
    }
    let (client, gone) = (socket(Transport::TipcRdm), socket(Transport::TipcRdm));
    let to = gone.local_addr().unwrap();
    drop(gone);
    assert!(client.option(option::TIPC_DEST_DROPPABLE).unwrap());
    client.send_to(b"dropped", &to).unwrap();
    client.set_option(option::TIPC_DEST_DROPPABLE, false).unwrap();
    assert!(!client.option(option::TIPC_DEST_DROPPABLE).unwrap());
    client.send_to(b"and back", &to).unwrap();
    let (message, bytes) = receive(&client);
    assert_eq!(bytes, b"");
    let mut control = message.control.into_iter();
    let no_port = 2;
    assert!(
        matches!(control.next(), Some(ControlMessage::TipcError { code, returned: 8 }) if code == no_port)
    );
    assert!(matches!(control.next(), Some(ControlMessage::TipcReturned(bytes)) if &*bytes == b"and back"));
}

/// Returns both sockets of a connection.
fn connection(transport: Transport, service: u32) -> (Socket, Socket) {
    let (listener, client) = (socket(transport), socket(transport));
    listener.listen().unwrap();
    listener.bind(at(service, 1)).unwrap();
    let server = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| client.connect(at(service, 1)).unwrap());
        let (server, _) = listener.accept().unwrap();
        connecting.join().unwrap();
        server
    });
    server.set_timeout(Some(PATIENCE)).unwrap();
    (client, server)
}

#[test]
fn end_is_an_error_or_a_control_message() {
    let Some(service) = service() else { return };
    for transport in [Transport::TipcStream, Transport::TipcSeqpacket] {
        let (client, server) = connection(transport, service);
        server.send(b"last words").unwrap();
        drop(server);
        let (message, bytes) = receive(&client);
        assert_eq!(bytes, b"last words");
        let ended = |message: &ControlMessage| matches!(message, ControlMessage::TipcError { .. });
        assert!(!message.control.iter().any(ended), "{message:?}");
        // With buffer space for control messages the reason is one of them; without, it is the
        // error.
        let (message, _) = receive(&client);
        assert_eq!(message.len, 0);
        assert!(matches!(message.control[..], [ControlMessage::TipcError { code: 1.., .. }]), "{message:?}");

        let (client, server) = connection(transport, service);
        drop(server);
        let error = client.recv(&mut [0; 8]).unwrap_err();
        assert!(transport.is_end(&error), "{error}");
        assert!(!Transport::Tcp.is_end(&error));
        assert_eq!(client.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn shutdown_is_received_once() {
    let Some(service) = service() else { return };
    let (client, server) = connection(Transport::TipcStream, service);
    server.shutdown(Shutdown::Both).unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), 0);
    assert_eq!(client.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn send_to_connects_a_stream() {
    let Some(service) = service() else { return };
    let (listener, client) = (socket(Transport::TipcSeqpacket), socket(Transport::TipcSeqpacket));
    listener.listen().unwrap();
    listener.bind(at(service, 1)).unwrap();
    assert_eq!(client.send_to(b"first", at(service, 1)).unwrap(), 5);
    let (server, _) = listener.accept().unwrap();
    server.set_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(server.recv(&mut [0; 8]).unwrap(), 5);
    server.send(b"answer").unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), 6);
}

#[test]
fn topology_service_reports_publications() {
    let Some(service) = service() else { return };
    let topology = socket(Transport::TipcSeqpacket);
    topology.connect(at(1, 1)).unwrap();
    let (ports, for_ever, published, withdrawn) = (1_u32, u32::MAX, 1, 2);
    let mut request: Vec<u8> = [service, 0, 100, for_ever, ports].map(u32::to_ne_bytes).concat();
    request.extend(b"handle!!");
    topology.send(&request).unwrap();
    let event = |expected: u32| {
        let (message, bytes) = receive(&topology);
        assert_eq!(message.len, 48);
        let field = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((field(0), field(4), field(8)), (expected, 7, 9));
        assert_eq!(&bytes[40..], b"handle!!");
        (field(16), field(12))
    };
    let server = socket(Transport::TipcRdm);
    server.bind(range(service, 7, 9)).unwrap();
    let Address::Tipc(TipcAddress::Socket { node, reference }) = server.local_addr().unwrap() else {
        panic!("a socket without a number")
    };
    assert_eq!(event(published), (node, reference));
    drop(server);
    assert_eq!(event(withdrawn), (node, reference));
}

#[test]
fn group_member_receives_membership_events() {
    let Some(group) = service() else { return };
    let member = |instance| {
        let member = socket(Transport::TipcRdm);
        let request = TipcGroup { group, instance, scope: 2, flags: TipcGroupFlags::MEMBER_EVENTS };
        member.set_option(option::TIPC_GROUP_JOIN, request).unwrap();
        member
    };
    let first = member(1);
    let second = member(2);
    let (joined, _) = receive(&first);
    assert_eq!(joined.len, 0);
    assert!(joined.flags.contains(MessageFlags::OOB) && !joined.flags.contains(MessageFlags::EOR));
    let (known, _) = receive(&second);
    assert!(known.flags.contains(MessageFlags::OOB), "existing members are reported too");

    first.send_to(b"to you", at(group, 2)).unwrap();
    assert_eq!(receive(&second).1, b"to you");
    let bound = second.bind(at(group, 3)).unwrap_err();
    assert_eq!(bound.raw_os_error(), Some(libc::EACCES));

    assert_eq!(second.option(option::TIPC_GROUP_JOIN).unwrap(), group);
    second.set_option(option::TIPC_GROUP_LEAVE, ()).unwrap();
    let (left, _) = receive(&first);
    assert!(left.flags.contains(MessageFlags::OOB | MessageFlags::EOR));
}

#[test]
fn options_are_read_back_as_set() {
    if service().is_none() {
        return;
    }
    let rdm = socket(Transport::TipcRdm);
    assert_eq!(rdm.option(option::TIPC_IMPORTANCE).unwrap(), 0);
    rdm.set_option(option::TIPC_IMPORTANCE, 3).unwrap();
    assert_eq!(rdm.option(option::TIPC_IMPORTANCE).unwrap(), 3);
    assert!(rdm.set_option(option::TIPC_IMPORTANCE, 4).is_err());
    assert!(!rdm.option(option::TIPC_SRC_DROPPABLE).unwrap());
    rdm.set_option(option::TIPC_SRC_DROPPABLE, true).unwrap();
    assert!(rdm.option(option::TIPC_SRC_DROPPABLE).unwrap());
    for multicast in [option::TIPC_MCAST_BROADCAST, option::TIPC_MCAST_REPLICAST] {
        if let Err(error) = rdm.set_option(multicast, ()) {
            // A node without a bearer cannot broadcast.
            assert_eq!(error.raw_os_error(), Some(libc::ENOTSUP));
        }
    }
    assert_eq!(rdm.option(option::TIPC_SOCK_RECVQ_DEPTH).unwrap(), 0);
    rdm.send_to(b"to myself", rdm.local_addr().unwrap()).unwrap();
    assert_eq!(rdm.option(option::TIPC_SOCK_RECVQ_DEPTH).unwrap(), 1);
    assert!(0 < rdm.option(option::TIPC_SOCK_RECVQ_USED).unwrap());

    let stream = socket(Transport::TipcStream);
    assert_eq!(stream.option(option::TIPC_CONN_TIMEOUT).unwrap(), 8000);
    stream.set_option(option::TIPC_CONN_TIMEOUT, 1234).unwrap();
    assert_eq!(stream.option(option::TIPC_CONN_TIMEOUT).unwrap(), 1234);
    assert!(!stream.option(option::TIPC_DEST_DROPPABLE).unwrap());
    stream.set_option(option::TIPC_NODELAY, true).unwrap();
    assert!(socket(Transport::TipcDatagram).option(option::TIPC_SRC_DROPPABLE).unwrap());
}

#[test]
fn service_scope_limits_visibility() {
    let Some(service) = service() else { return };
    // Each connection reaches one of the two sockets of the service, in any order.
    let servers = [(); 2].map(|()| {
        let server = socket(Transport::TipcRdm);
        server.bind(at(service, 1)).unwrap();
        server.set_nonblocking(true).unwrap();
        server
    });
    let client = socket(Transport::TipcRdm);
    for _ in 0..8 {
        client.send_to(b"call", at(service, 1)).unwrap();
        let received = servers.iter().filter(|server| server.recv(&mut [0; 8]).is_ok()).count();
        assert_eq!(received, 1);
    }
    assert_eq!(socket(Transport::TipcRdm).peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    client.connect(at(service, 1)).unwrap();
    assert_eq!(
        client.peer_addr().unwrap_err().kind(),
        ErrorKind::NotConnected,
        "it only knows where to send"
    );
}
