//! Flags of a single receive or send.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_socket::{
    Batch, ControlSpace, Interest, MessageFlags, Socket, SocketRef, Transport, option, ready,
};

use crate::{LOOPBACK, PATIENCE, UNNAMED, bound, connected, wait_readable};

/// Returns a connection over TCP.
fn tcp_pair() -> (Socket, Socket) {
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen().unwrap();
    let client = connected(Transport::Tcp, &name);
    let (server, _) = listener.accept().unwrap();
    server.set_timeout(Some(PATIENCE)).unwrap();
    (client, server)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn peek_leaves_the_data() {
    let mut buffer = [0; 8];
    for (one, other) in [Transport::UnixStream.pair().unwrap(), tcp_pair()] {
        one.send(b"ahoy").unwrap();
        for _ in 0..2 {
            assert_eq!(other.peek(&mut buffer).unwrap(), 4);
            assert_eq!(&buffer[..4], b"ahoy");
        }
        assert_eq!(other.peek(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(other.recv(&mut buffer).unwrap(), 4);
        drop(one);
        assert_eq!(other.peek(&mut buffer).unwrap(), 0);
    }
    let (socket, name) = bound(Transport::Udp, &LOOPBACK[0]);
    socket.send_to(b"ahoy", &name).unwrap();
    for _ in 0..2 {
        assert_eq!(socket.peek_from(&mut buffer).unwrap(), (4, name.clone()));
        assert_eq!(socket.peek_from(&mut []).unwrap(), (0, name.clone()));
    }
    assert_eq!(socket.recv_from(&mut buffer).unwrap(), (4, name));
}

/// The kernel returns the length of the whole message with MSG_TRUNC; a slice of the buffer up to
/// that length would panic.
#[test]
fn result_never_exceeds_the_buffer() {
    let (socket, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let mut buffer = [0; 4];
    for flags in [MessageFlags::TRUNC, MessageFlags::TRUNC | MessageFlags::PEEK] {
        socket.send_to(b"longer than a buffer", &name).unwrap();
        assert_eq!(socket.recv_with(&mut buffer, flags).unwrap(), 4);
        assert_eq!(&buffer, b"long");
        socket.send_to(b"longer than a buffer", &name).unwrap();
        assert_eq!(socket.recv_from_with(&mut buffer, flags).unwrap(), (4, name.clone()));
    }
}

#[test]
fn dontwait_does_not_wait() {
    for timeout in [None, Some(PATIENCE)] {
        let (one, other) = Transport::UnixStream.pair().unwrap();
        for socket in [&one, &other] {
            socket.set_timeout(timeout).unwrap();
        }
        assert_eq!(kind(other.recv_with(&mut [0; 8], MessageFlags::DONTWAIT)), ErrorKind::WouldBlock);
        assert_eq!(kind(other.recv_from_with(&mut [0; 8], MessageFlags::DONTWAIT)), ErrorKind::WouldBlock);
        let full = loop {
            if let Err(error) = one.send_with(&[0; 4096], MessageFlags::DONTWAIT) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    let (receiver, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let sender = Transport::UnixDatagram.socket(&name).unwrap();
    let full = loop {
        if let Err(error) = sender.send_to_with(b"ahoy", &name, MessageFlags::DONTWAIT) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(receiver.recv_with(&mut [0; 8], MessageFlags::NONE).unwrap(), 4);
}

#[test]
fn calls_with_flags_time_out() {
    let (one, _other) = Transport::UnixStream.pair().unwrap();
    one.set_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(kind(one.recv_with(&mut [0; 8], MessageFlags::WAITALL)), ErrorKind::TimedOut);
    assert_eq!(kind(one.recv_from_with(&mut [0; 8], MessageFlags::PEEK)), ErrorKind::TimedOut);
    assert_eq!(kind(one.peek(&mut [0; 8])), ErrorKind::TimedOut);
    let full = loop {
        if let Err(error) = one.send_with(&[0; 4096], MessageFlags::MORE) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::TimedOut);
}

#[test]
fn waitall_fills_the_buffer() {
    let (client, server) = tcp_pair();
    server.set_timeout(None).unwrap();
    let mut buffer = [0; 10];
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| server.recv_with(&mut buffer, MessageFlags::WAITALL).unwrap());
        for byte in b"0123456789" {
            client.send_all(&[*byte]).unwrap();
        }
        assert_eq!(reader.join().unwrap(), 10);
    });
    assert_eq!(&buffer, b"0123456789");
}

#[test]
fn urgent_byte_is_received_apart() {
    let (client, server) = tcp_pair();
    // There is none: EINVAL at once, even with a timeout.
    let error = server.recv_with(&mut [0; 1], MessageFlags::OOB).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    client.send(b"data").unwrap();
    assert_eq!(client.send_with(b"!", MessageFlags::OOB).unwrap(), 1);
    let [readiness] = ready([(server.as_fd(), Interest::PRIORITY)], Some(PATIENCE)).unwrap();
    assert!(readiness.is_priority());
    let mut buffer = [0; 8];
    assert!(!server.is_at_mark().unwrap());
    assert_eq!(server.recv_with(&mut buffer[..1], MessageFlags::OOB).unwrap(), 1);
    assert_eq!(buffer[0], b'!');
    assert_eq!(server.recv(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"data");
    assert!(server.is_at_mark().unwrap());
}

/// Receives with each method that takes flags, and returns the errors.
fn receive_with_all(socket: &Socket, flags: MessageFlags) -> [ErrorKind; 4] {
    [
        kind(socket.recv_with(&mut [0; 1], flags)),
        kind(socket.recv_from_with(&mut [0; 1], flags)),
        kind(socket.recv_msg(&mut [IoSliceMut::new(&mut [0; 1])], ControlSpace::NONE, flags)),
        kind(socket.recv_many_with(&mut Batch::new(2, 8), flags)),
    ]
}

/// UDP ignores MSG_OOB, so the receive waits as any other.
#[test]
fn urgent_receive_waits_on_datagram_sockets() {
    let (socket, _) = bound(Transport::Udp, &LOOPBACK[0]);
    socket.set_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(receive_with_all(&socket, MessageFlags::OOB), [ErrorKind::TimedOut; 4]);
    socket.set_nonblocking(true).unwrap();
    assert_eq!(receive_with_all(&socket, MessageFlags::OOB), [ErrorKind::WouldBlock; 4]);
}

/// The urgent byte is announced before it arrives (RFC 6093, section 3.1). A receive of it fails
/// until then, and poll(2) reports the ordinary data before it.
#[test]
fn urgent_receive_does_not_wait_on_streams() {
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.set_option(option::SO_RCVBUF, 4096).unwrap();
    listener.listen().unwrap();
    let client = connected(Transport::Tcp, &name);
    client.set_option(option::SO_SNDBUF, 100_000).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_timeout(Some(PATIENCE)).unwrap();
    // More than the receive buffer holds.
    client.send_with(&[7; 60_000], MessageFlags::OOB).unwrap();
    loop {
        match server.recv_with(&mut [0; 1], MessageFlags::OOB) {
            Ok(_) => panic!("the urgent byte is the last"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "it is not announced yet"),
        }
        server.recv(&mut [0; 1000]).unwrap();
    }
    assert_eq!(receive_with_all(&server, MessageFlags::OOB), [ErrorKind::WouldBlock; 4]);
}

#[test]
fn more_joins_datagrams() {
    let (socket, name) = bound(Transport::Udp, &LOOPBACK[0]);
    socket.send_to_with(b"one ", &name, MessageFlags::MORE).unwrap();
    assert_eq!(kind(socket.recv_with(&mut [0; 8], MessageFlags::DONTWAIT)), ErrorKind::WouldBlock);
    socket.send_to_with(b"datagram", &name, MessageFlags::NONE).unwrap();
    wait_readable(&socket);
    let mut buffer = [0; 16];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 12);
    assert_eq!(&buffer[..12], b"one datagram");
}

#[test]
fn empty_buffer_receives_nothing() {
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    assert_eq!(other.recv_with(&mut [], MessageFlags::NONE).unwrap(), 0);
    one.send(b"ahoy").unwrap();
    assert_eq!(other.recv_with(&mut [], MessageFlags::PEEK).unwrap(), 0);
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 4);
}

/// A borrowed socket knows its family only from the kernel, and a host name may have addresses of
/// another.
#[test]
fn borrowed_socket_sends_to_a_host_name() {
    let std = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = std.local_addr().unwrap();
    SocketRef::from(&std).send_to(b"ahoy", ("localhost", to.port())).unwrap();
    assert_eq!(std.recv_from(&mut [0; 8]).unwrap(), (4, to));
    let socket = Socket::from(std);
    socket.set_option(option::SO_BROADCAST, true).unwrap();
    socket.send_to_with(b"ahoy", ("localhost", to.port()), MessageFlags::DONTWAIT).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 8]).unwrap(), (4, to.into()));
}

#[test]
fn queues_are_measured() {
    for (one, other) in [Transport::UnixStream.pair().unwrap(), tcp_pair()] {
        assert_eq!((other.recv_queue_len().unwrap(), one.send_queue_len().unwrap()), (0, 0));
        one.send(b"ahoy").unwrap();
        one.send(b"there").unwrap();
        assert_eq!(other.recv_with(&mut [0; 9], MessageFlags::WAITALL | MessageFlags::PEEK).unwrap(), 9);
        assert_eq!(other.recv_queue_len().unwrap(), 9);
        other.recv(&mut [0; 16]).unwrap();
        assert_eq!(other.recv_queue_len().unwrap(), 0);
    }
    // The length of the first datagram counts.
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    one.send(b"ahoy").unwrap();
    one.send(b"there").unwrap();
    assert_eq!(other.recv_queue_len().unwrap(), 4);
    assert!(9 <= one.send_queue_len().unwrap());
    assert!(other.is_at_mark().is_err() || !other.is_at_mark().unwrap());
    let (listener, _) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen().unwrap();
    assert_eq!(listener.recv_queue_len().unwrap_err().raw_os_error(), Some(libc::EINVAL));
}
