//! Conversions between sockets and the types of std, and borrowed sockets.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use echosounder_socket::{FromFdError, Socket, SocketRef, Transport, Unfinished, option};

use crate::{PATIENCE, UNNAMED, bound, connected, unique};

const SOON: Duration = Duration::from_millis(20);

/// Returns whether a descriptor is blocking, as a socket that adopts a duplicate finds it.
fn blocks(socket: &impl AsFd) -> bool {
    Socket::from_fd(socket.as_fd().try_clone_to_owned().unwrap()).unwrap().timeout().is_none()
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Converts std's type to a socket and back in each mode, and checks that the descriptor and its
/// mode stay the same.
fn convert<S: Into<Socket> + From<Socket> + AsRawFd + AsFd>(std: S, transport: Transport) {
    let number = std.as_raw_fd();
    let socket: Socket = std.into();
    assert_eq!((socket.as_raw_fd(), socket.timeout()), (number, None));
    assert_eq!(socket.socket_type().unwrap(), transport.socket_type());

    socket.set_nonblocking(true).unwrap();
    let std = S::from(socket);
    assert_eq!((std.as_raw_fd(), blocks(&std)), (number, false));
    let socket: Socket = std.into();
    assert!(socket.nonblocking());

    // A timeout becomes those of std's type, which is blocking.
    socket.set_timeout(Some(SOON)).unwrap();
    let std = S::from(socket);
    assert!(blocks(&std));
    let borrowed = SocketRef::from(&std);
    assert_eq!(borrowed.option(option::SO_SNDTIMEO).unwrap(), SOON);
    assert_eq!(borrowed.option(option::SO_RCVTIMEO).unwrap(), SOON);
    let socket: Socket = std.into();
    assert_eq!((socket.as_raw_fd(), socket.timeout()), (number, None));
}

/// std's streams transfer less; a message would be cut.
#[test]
fn vectored_calls_take_any_number_of_buffers() {
    let (mut one, mut other) = Transport::UnixStream.pair().unwrap();
    assert_eq!(one.write_vectored(&[IoSlice::new(b"x"); 2000]).unwrap(), 1024);
    let mut bytes = [0; 2000];
    let mut buffers: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
    assert_eq!(other.read_vectored(&mut buffers).unwrap(), 1024);
    let (mut one, _other) = Transport::UnixDatagram.pair().unwrap();
    let error = one.write_vectored(&[IoSlice::new(b"x"); 2000]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn std_types_convert_both_ways() {
    let (tcp, _peer) = tcp_pair();
    convert(tcp, Transport::Tcp);
    convert(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), Transport::Tcp);
    convert(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), Transport::Udp);
    let (stream, _peer) = UnixStream::pair().unwrap();
    convert(stream, Transport::UnixStream);
    let name = SocketAddr::from_abstract_name(unique()).unwrap();
    convert(UnixListener::bind_addr(&name).unwrap(), Transport::UnixStream);
    convert(UnixDatagram::unbound().unwrap(), Transport::UnixDatagram);
}

#[test]
fn converted_types_wait_as_before() {
    // A blocking stream of std with a timeout, from a socket with a timeout.
    let (one, mut other) = tcp_pair();
    let one = Socket::from(one);
    one.set_timeout(Some(SOON)).unwrap();
    let mut one = TcpStream::from(one);
    assert_eq!(one.read_timeout().unwrap(), Some(SOON));
    assert_eq!(one.write_timeout().unwrap(), Some(SOON));
    // As std documents, Linux reports the end of a read timeout as `WouldBlock`.
    assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);

    // The timeout of std's stream remains in force for a socket without one, but not for a socket
    // with one.
    let read_timeout = one.read_timeout().unwrap();
    let one = Socket::from(one);
    assert_eq!(one.timeout(), None);
    assert_eq!(one.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    one.set_timeout(read_timeout).unwrap();
    assert_eq!(one.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);

    // The shortest timeout does not become none.
    one.set_timeout(Some(Duration::from_nanos(1))).unwrap();
    let mut one = TcpStream::from(one);
    assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);

    // A socket without a timeout makes a stream that waits.
    let without = Socket::from(one);
    without.set_option(option::SO_RCVTIMEO, Duration::ZERO).unwrap();
    let mut one = TcpStream::from(without);
    other.write_all(b"ahoy").unwrap();
    let mut buffer = [0; 4];
    one.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ahoy");
}

#[test]
fn sockets_are_readers_and_writers() {
    let (mut one, other) = Transport::UnixStream.pair().unwrap();
    other.set_timeout(Some(PATIENCE)).unwrap();
    writeln!(one, "{} lines", 2).unwrap();
    writeln!(&one, "the second").unwrap();
    let mut reader = BufReader::new(other);
    let mut lines = reader.by_ref().lines().map(Result::unwrap);
    assert_eq!([lines.next().unwrap(), lines.next().unwrap()], ["2 lines", "the second"]);

    let parts = [IoSlice::new(b"in "), IoSlice::new(b"parts")];
    assert_eq!(one.write_vectored(&parts).unwrap(), 8);
    one.flush().unwrap();
    let (mut first, mut second) = ([0; 3], [0; 9]);
    let mut other = reader.into_inner();
    let mut into = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(other.read_vectored(&mut into).unwrap(), 8);
    assert_eq!((&first, &second[..5]), (b"in ", &b"parts"[..]));
    drop(one);
    assert_eq!(other.read(&mut first).unwrap(), 0);
}

#[test]
fn borrowed_socket_sets_options_of_its_owner() {
    let std = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for borrowed in [SocketRef::from(&std), SocketRef::from(std.as_fd())] {
        assert_eq!(borrowed.as_raw_fd(), std.as_raw_fd());
        assert_eq!(borrowed.as_fd().as_raw_fd(), std.as_raw_fd());
        borrowed.set_option(option::IP_TTL, 7).unwrap();
    }
    assert_eq!(std.ttl().unwrap(), 7);
    // The descriptor is still open.
    std.send_to(b"ahoy", std.local_addr().unwrap()).unwrap();
    let (len, from) = SocketRef::from(&std).recv_from(&mut [0; 8]).unwrap();
    assert_eq!((len, from), (4, std.local_addr().unwrap().into()));
}

#[test]
fn borrowed_socket_follows_the_mode_of_its_owner() {
    let (one, other) = UnixStream::pair().unwrap();
    let borrowed = SocketRef::from(&one);
    assert_eq!((borrowed.timeout(), borrowed.nonblocking()), (None, false));
    one.set_nonblocking(true).unwrap();
    assert_eq!(borrowed.timeout(), Some(Duration::ZERO));
    assert_eq!(borrowed.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // A duplicate of its own has the present mode.
    assert!(borrowed.try_clone().unwrap().nonblocking());
    one.set_nonblocking(false).unwrap();
    one.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(borrowed.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // A timeout of its own holds, and makes the owner's descriptor non-blocking.
    borrowed.set_timeout(Some(SOON)).unwrap();
    assert_eq!(borrowed.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!((&one).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    borrowed.set_nonblocking(false).unwrap();
    assert!(blocks(&one));
    drop(other);
}

#[test]
fn other_descriptors_are_no_sockets() {
    let file = File::open("/dev/null").unwrap();
    let borrowed = SocketRef::from(&file);
    assert_eq!(borrowed.send(b"ahoy").unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    let debug = format!("{borrowed:?}");
    assert!(debug.starts_with("Socket { fd: ") && !debug.contains("family"), "{debug}");

    let error = Socket::try_from(OwnedFd::from(file)).unwrap_err();
    assert_eq!(error.source.raw_os_error(), Some(libc::ENOTSOCK));
    let mut file = File::from(error.fd);
    assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn listener_is_an_iterator() {
    let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
    listener.listen().unwrap();
    let clients = [connected(Transport::UnixStream, &name), connected(Transport::UnixStream, &name)];
    for (client, connection) in clients.iter().zip(listener.incoming()) {
        let connection = connection.unwrap();
        assert_eq!(connection.timeout(), None);
        connection.send(b"ahoy").unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 4);
    }
    // An error does not end it.
    listener.set_nonblocking(true).unwrap();
    let kinds: Vec<_> = listener.incoming().take(2).map(|result| result.unwrap_err().kind()).collect();
    assert_eq!(kinds, [ErrorKind::WouldBlock; 2]);
}

/// Converts errors with `?`, which must lose nothing.
#[test]
fn errors_become_io_errors() {
    fn adopt(fd: OwnedFd) -> io::Result<Socket> {
        Ok(Socket::from_fd(fd)?)
    }
    let error = adopt(File::open("/dev/null").unwrap().into()).unwrap_err();
    let reason = io::Error::from_raw_os_error(libc::ENOTSOCK);
    assert_eq!(error.kind(), reason.kind());
    assert!(error.to_string().ends_with(&format!("as a socket: {reason}")), "{error}");
    let error: FromFdError = error.downcast().unwrap();
    assert_eq!(error.source.raw_os_error(), Some(libc::ENOTSOCK));
    assert_eq!(File::from(error.fd).read(&mut [0; 8]).unwrap(), 0);

    fn send(socket: &Socket) -> io::Result<()> {
        Ok(socket.send_all(b"nobody")?)
    }
    let (one, other) = Transport::UnixStream.pair().unwrap();
    drop(other);
    let error = send(&one).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(error.source().is_none(), "the reason is displayed already");
    let error: Unfinished = error.downcast().unwrap();
    assert_eq!((error.sent, error.source.raw_os_error()), (0, Some(libc::EPIPE)));
    // Alone, the error has its reason as its source.
    let error = one.send_all(b"nobody").unwrap_err();
    assert_eq!(error.to_string(), "cannot send more than 0 bytes");
    assert_eq!(error.source().unwrap().to_string(), error.source.to_string());
}

#[test]
fn debug_shows_addresses() -> io::Result<()> {
    let (one, _other) = tcp_pair();
    let (local, peer) = (one.local_addr()?.port().to_string(), one.peer_addr()?.port().to_string());
    let debug = format!("{:?}", Socket::from(one));
    for part in ["family: AF_INET,", "timeout: None", &local, &peer] {
        assert!(debug.contains(part), "{debug} has no {part}");
    }
    Ok(())
}
