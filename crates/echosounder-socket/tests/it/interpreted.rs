//! Tests that Miri can run, which checks every pointer: TCP connections, pairs and ownership of
//! descriptors. Miri supports neither datagrams nor control messages.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use echosounder_socket::{Family, Protocol, Shutdown, Socket, SocketRef, Type};

fn tcp() -> Socket {
    Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT).unwrap()
}

fn pair() -> (Socket, Socket) {
    Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT).unwrap()
}

#[test]
fn request_and_reply() {
    let listener = tcp();
    listener.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.listen_with(1).unwrap();
    let client = tcp();
    client.connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());

    client.send_all(b"ahoy").unwrap();
    let mut appended = Vec::with_capacity(6);
    appended.extend_from_slice(b"> ");
    while appended.len() < 6 {
        assert_ne!(server.recv_append(&mut appended).unwrap(), 0);
    }
    assert_eq!(appended, b"> ahoy");
    assert_eq!(server.recv_append(&mut appended).unwrap(), 0, "no capacity is left");

    assert_eq!(server.send(&appended).unwrap(), 6);
    let (mut buffer, mut len) = ([0; 6], 0);
    while len < 6 {
        len += client.recv(&mut buffer[len..]).unwrap();
    }
    assert_eq!(buffer[..], appended);
    server.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn received_descriptors_have_one_owner() {
    let (one, other) = pair();
    let second = one.try_clone().unwrap();
    assert_ne!(second.as_raw_fd(), one.as_raw_fd());
    assert!(!second.inheritable().unwrap());
    let number = one.as_raw_fd();
    let fd: OwnedFd = one.into_fd();
    assert_eq!(fd.as_raw_fd(), number);
    drop(fd);
    second.close().unwrap();
    drop(OwnedFd::from(other));
}

#[test]
fn borrowed_socket_leaves_the_descriptor_open() {
    let (one, other) = pair();
    {
        let borrowed = SocketRef::from(&one);
        assert_eq!(borrowed.as_raw_fd(), one.as_raw_fd());
        borrowed.send_all(b"ahoy").unwrap();
    }
    assert_eq!(SocketRef::from(other.as_fd()).recv(&mut [0; 8]).unwrap(), 4);
    one.send_all(b"still open").unwrap();
    assert_eq!(other.recv(&mut [0; 16]).unwrap(), 10);
}
