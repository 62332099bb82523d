use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::{effective_user_id, raise_fd_limit};
use echosounder_socket::option::{self, GetValue, SetValue, SocketOption};
use echosounder_socket::{
    Address, ControlSpace, Family, Interest, Kind, MessageFlags, Protocol, Shutdown, Socket, Transport, Type,
    Waker, is_family_absent, is_out_of_resources, is_unreachable, ready,
};
use echosounder_testkit::pipe;

use crate::alone::{Process, is_alone};
use crate::{Folder, LOOPBACK, PATIENCE, UNNAMED, bound, connected, everywhere, field, read, wait_readable};

const UNIX: [Transport; 3] = [Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket];

/// Returns a listener and its address.
fn listening(transport: Transport, address: &Address) -> (Socket, Address) {
    let (socket, name) = bound(transport, address);
    socket.listen().unwrap();
    (socket, name)
}

/// Returns the client's and the server's socket of a connection.
fn connection(transport: Transport, address: &Address) -> (Socket, Socket) {
    let (listener, name) = listening(transport, address);
    let client = connected(transport, &name);
    wait_readable(&listener);
    (client, listener.accept_nonblocking().unwrap().0)
}

/// Returns every connection-oriented IP and UNIX transport with its addresses.
fn connections() -> impl Iterator<Item = (Transport, Address)> {
    [Kind::Stream, Kind::Messages].into_iter().flat_map(everywhere)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn pair_carries_bytes_in_both_directions() {
    for transport in UNIX {
        let (one, other) = transport.pair().unwrap();
        assert_eq!(one.send(b"call").unwrap(), 4);
        assert_eq!(read(&other), b"call");
        other.send(b"answer").unwrap();
        assert_eq!(read(&one), b"answer");
        assert_eq!((one.local_addr().unwrap(), one.peer_addr().unwrap()), (UNNAMED, UNNAMED));
    }
}

#[test]
fn stream_has_no_message_boundaries() {
    for (transport, address) in everywhere(Kind::Stream) {
        let (client, server) = connection(transport, &address);
        client.send(b"one").unwrap();
        client.send(b"two").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        loop {
            match read(&server) {
                bytes if bytes.is_empty() => break,
                bytes => received.extend(bytes),
            }
        }
        assert_eq!(received, b"onetwo");

        server.send(b"abc").unwrap();
        let mut byte = [0];
        for expected in [b"a", b"b", b"c"] {
            wait_readable(&client);
            assert_eq!(client.recv(&mut byte).unwrap(), 1);
            assert_eq!(&byte, expected);
        }
    }
}

#[test]
fn seqpacket_preserves_messages_and_ends() {
    for (transport, address) in everywhere(Kind::Messages) {
        let (client, server) = connection(transport, &address);
        client.send(b"one").unwrap();
        client.send(b"two").unwrap();
        assert_eq!(read(&server), b"one");
        assert_eq!(read(&server), b"two");
        server.send(b"three").unwrap();
        assert_eq!(read(&client), b"three");
        drop(client);
        assert_eq!(read(&server), b"");
    }
}

#[test]
fn datagrams_have_a_source() {
    for (transport, address) in everywhere(Kind::Datagrams) {
        let (server, server_name) = bound(transport, &address);
        let (client, client_name) = bound(transport, &address);
        client.send_to(b"call", &server_name).unwrap();
        let mut buffer = [0; 16];
        wait_readable(&server);
        assert_eq!(server.recv_from(&mut buffer).unwrap(), (4, client_name.clone()));
        server.send_to(b"answer", &client_name).unwrap();
        wait_readable(&client);
        assert_eq!(client.recv_from(&mut buffer).unwrap(), (6, server_name));
        assert_eq!(&buffer[..6], b"answer");
    }
}

#[test]
fn empty_datagram_is_received() {
    for (transport, address) in everywhere(Kind::Datagrams) {
        let (server, name) = bound(transport, &address);
        let client = connected(transport, &name);
        let mut buffer = [0; 16];
        for call in [&b""[..], b"after", b""] {
            assert_eq!(client.send(call).unwrap(), call.len());
        }
        for len in [0, 5, 0] {
            wait_readable(&server);
            assert_eq!(server.recv_from(&mut buffer).unwrap(), (len, client.local_addr().unwrap()));
        }
        server.send_to(b"", client.local_addr().unwrap()).unwrap();
        assert_eq!(read(&client), b"");
    }
}

#[test]
fn truncated_message_returns_its_length() {
    let udp = LOOPBACK.iter().map(|address| {
        let (server, name) = bound(Transport::Udp, address);
        (connected(Transport::Udp, &name), server)
    });
    let pairs =
        [Transport::UnixSeqpacket, Transport::UnixDatagram].map(|transport| transport.pair().unwrap());
    for (one, other) in udp.chain(pairs) {
        one.send(b"0123456789").unwrap();
        one.send(b"next").unwrap();
        let mut buffer = [0; 4];
        wait_readable(&other);
        let message = other.recv_message(&mut buffer).unwrap();
        assert_eq!((message.len, message.full_len, message.is_truncated()), (4, 10, true));
        assert_eq!(&buffer, b"0123");
        wait_readable(&other);
        assert_eq!(other.recv_message(&mut buffer).unwrap().full_len, 4);
        assert_eq!(&buffer, b"next");
    }
}

#[test]
fn accept_nonblocking_returns_socket_and_peer() {
    for (transport, address) in connections() {
        let (listener, name) = listening(transport, &address);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(kind(listener.accept_nonblocking()), ErrorKind::WouldBlock);

        let client = connected(transport, &name);
        wait_readable(&listener);
        let (server, peer) = listener.accept_nonblocking().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(server.peer_addr().unwrap(), peer);
        assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
        assert!(has_flag(&server, libc::O_NONBLOCK));
        assert_eq!(kind(listener.accept_nonblocking()), ErrorKind::WouldBlock);
    }
}

#[test]
fn blocking_mode_can_be_changed() {
    let (one, other) = Transport::UnixStream.pair().unwrap();
    one.set_nonblocking(true).unwrap();
    assert_eq!(kind(one.recv(&mut [0; 16])), ErrorKind::WouldBlock);
    one.set_nonblocking(false).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| one.recv(&mut [0; 16]));
        other.send(b"late").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 4);
    });
}

#[test]
fn write_to_a_closed_peer_is_an_error() {
    for transport in [Transport::UnixStream, Transport::UnixSeqpacket] {
        let (one, other) = transport.pair().unwrap();
        drop(other);
        assert_eq!(kind(one.send(b"x")), ErrorKind::BrokenPipe);
    }
    for (transport, address) in connections() {
        let (client, _server) = connection(transport, &address);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(kind(client.send(b"x")), ErrorKind::BrokenPipe);
    }
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    drop(other);
    assert_eq!(kind(one.send(b"x")), ErrorKind::ConnectionRefused);
}

#[test]
fn directions_shut_down_independently() {
    for (transport, address) in connections() {
        let (client, server) = connection(transport, &address);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read(&server), b"");
        server.send(b"still").unwrap();
        assert_eq!(read(&client), b"still");

        let (client, _server) = connection(transport, &address);
        client.shutdown(Shutdown::Read).unwrap();
        assert_eq!(read(&client), b"");
        client.send(b"still").unwrap();

        let (client, server) = connection(transport, &address);
        client.shutdown(Shutdown::Both).unwrap();
        assert_eq!(read(&client), b"");
        assert_eq!(read(&server), b"");
        assert_eq!(kind(client.send(b"x")), ErrorKind::BrokenPipe);
    }
    let lonely = Transport::Tcp.socket(&LOOPBACK[0]).unwrap();
    assert_eq!(kind(lonely.shutdown(Shutdown::Both)), ErrorKind::NotConnected);
}

#[test]
fn duplicate_shares_the_socket() {
    let (one, other) = Transport::UnixStream.pair().unwrap();
    let again = one.try_clone().unwrap();
    assert_ne!(one.as_raw_fd(), again.as_raw_fd());
    one.set_nonblocking(true).unwrap();
    assert_eq!(kind(again.recv(&mut [0; 16])), ErrorKind::WouldBlock);

    drop(one);
    other.send(b"here").unwrap();
    assert_eq!(read(&again), b"here");
    drop(again);
    assert_eq!(read(&other), b"");
}

#[test]
fn connect_without_listener_is_refused() {
    for address in LOOPBACK.iter() {
        // The bound socket holds the port without listening.
        let (_silent, name) = bound(Transport::Tcp, address);
        let client = Transport::Tcp.socket(&name).unwrap();
        assert_eq!(kind(client.connect(&name)), ErrorKind::ConnectionRefused);
    }

    let folder = Folder::new();
    let path = folder.path_of_len(100);
    let address = Address::Unix(UnixName::Path(path.as_os_str().as_bytes().into()));
    let client = Transport::UnixStream.socket(&address).unwrap();
    assert_eq!(kind(client.connect(&address)), ErrorKind::NotFound);
    drop(bound(Transport::UnixStream, &address));
    assert_eq!(kind(client.connect(&address)), ErrorKind::ConnectionRefused);
    assert_eq!(kind(Transport::UnixStream.socket(&address).unwrap().bind(&address)), ErrorKind::AddrInUse);
}

#[test]
fn nonblocking_connect_leaves_one_error() {
    for address in LOOPBACK.iter() {
        let (_silent, name) = bound(Transport::Tcp, address);
        let client = Transport::Tcp.socket(&name).unwrap();
        client.set_nonblocking(true).unwrap();
        let error = client.connect(&name).unwrap_err();
        assert!(Socket::is_in_progress(&error), "{error}");
        let [readiness] = ready([(client.as_fd(), Interest::WRITE)], Some(PATIENCE)).unwrap();
        assert!(readiness.is_error() && readiness.can_read() && readiness.can_write());
        let error = client.take_error().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(client.take_error().unwrap().is_none());
    }
    assert!(!Socket::is_in_progress(&ErrorKind::WouldBlock.into()));
}

#[test]
fn nonblocking_connect_succeeds() {
    for address in LOOPBACK.iter() {
        let (listener, name) = listening(Transport::Tcp, address);
        let client = Transport::Tcp.socket(&name).unwrap();
        client.set_nonblocking(true).unwrap();
        assert!(Socket::is_in_progress(&client.connect(&name).unwrap_err()));
        let [readiness] = ready([(client.as_fd(), Interest::WRITE)], Some(PATIENCE)).unwrap();
        assert!(readiness.can_write() && !readiness.can_read());
        assert!(client.take_error().unwrap().is_none());
        wait_readable(&listener);
        assert_eq!(listener.accept_nonblocking().unwrap().1, client.local_addr().unwrap());
    }
}

#[test]
fn unreceived_datagram_is_refused_later() {
    for address in LOOPBACK.iter() {
        let (silent, name) = bound(Transport::Udp, address);
        let client = connected(Transport::Udp, &name);
        drop(silent);
        client.send(b"anybody?").unwrap();
        wait_readable(&client);
        assert_eq!(kind(client.recv(&mut [0; 16])), ErrorKind::ConnectionRefused);
    }
}

/// Fills the queue of a listener. The connections stay in it after their clients have closed them.
fn fill(name: &Address) {
    loop {
        let client = Transport::UnixStream.socket(name).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(name) {
            Ok(()) => {}
            Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn connect_to_a_full_queue_times_out() {
    let (listener, name) = listening(Transport::UnixStream, &UNNAMED);
    fill(&name);
    for (timeout, expected) in
        [(Duration::ZERO, ErrorKind::WouldBlock), (Duration::from_millis(1), ErrorKind::TimedOut)]
    {
        let client = Transport::UnixStream.socket(&name).unwrap();
        client.set_timeout(Some(timeout)).unwrap();
        assert_eq!(kind(client.connect(&name)), expected);
    }

    let client = Transport::UnixStream.socket(&name).unwrap();
    client.set_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| client.connect(&name));
        listener.accept_nonblocking().unwrap();
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn write_to_a_slow_peer_times_out() {
    let (one, _other) = Transport::UnixStream.pair().unwrap();
    one.set_timeout(Some(Duration::from_millis(1))).unwrap();
    let bytes = vec![0; 1 << 16];
    let error = (0..1000).find_map(|_| one.send(&bytes).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn path_has_the_set_permissions_less_the_umask() {
    let umask = u32::from_str_radix(&field("/proc/self/status", "Umask:"), 8).unwrap();
    let folder = Folder::new();
    let path = folder.path_of_len(100);
    let address = Address::Unix(UnixName::Path(path.as_os_str().as_bytes().into()));
    for transport in UNIX {
        for mode in [0o600, 0o777, 0o640, 0] {
            let socket = transport.socket(&address).unwrap();
            socket.set_permissions(mode).unwrap();
            socket.bind(&address).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode & !umask);
            fs::remove_file(&path).unwrap();
        }
    }
}

/// Sets an option to another value and reads it.
#[track_caller]
fn check<T: SetValue + GetValue + Copy + PartialEq + std::fmt::Debug>(
    socket: &Socket,
    option: SocketOption<T>,
    value: T,
) {
    assert_ne!(socket.option(option).unwrap(), value, "{option:?}");
    socket.set_option(option, value).unwrap();
    assert_eq!(socket.option(option).unwrap(), value, "{option:?}");
}

#[test]
fn options_are_read_back_as_set() {
    for address in LOOPBACK.iter() {
        let tcp = Transport::Tcp.socket(address).unwrap();
        check(&tcp, option::SO_KEEPALIVE, true);
        check(&tcp, option::SO_LINGER, Some(Duration::from_secs(3)));
        check(&tcp, option::SO_REUSEADDR, true);
        check(&tcp, option::SO_REUSEPORT, true);
        check(&tcp, option::TCP_NODELAY, true);
        check(&tcp, option::TCP_NOTSENT_LOWAT, 65537);
        check(&tcp, option::TCP_USER_TIMEOUT, 12345);
        check(&tcp, option::TCP_KEEPIDLE, 17);
        check(&tcp, option::TCP_KEEPINTVL, 18);
        let udp = Transport::Udp.socket(address).unwrap();
        check(&udp, option::SO_RXQ_OVFL, true);
        match address {
            Address::Inet6(_) => {
                check(&udp, option::IPV6_MULTICAST_ALL, false);
                check(&udp, option::IPV6_RECVPKTINFO, true);
                let only = udp.option(option::IPV6_V6ONLY).unwrap();
                check(&udp, option::IPV6_V6ONLY, !only);
            }
            _ => {
                check(&udp, option::IP_MULTICAST_ALL, false);
                check(&udp, option::IP_PKTINFO, true);
            }
        }
        for size in [option::SO_RCVBUF, option::SO_SNDBUF] {
            udp.set_option(size, 10_000).unwrap();
            assert_eq!(udp.option(size).unwrap(), 20_000);
        }
        assert!(udp.set_option(option::TCP_NODELAY, true).is_err());
        assert!(udp.option(option::TCP_NODELAY).is_err());
    }
}

#[test]
fn reuseport_sockets_share_a_port() {
    let (first, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let second = Transport::Udp.socket(&name).unwrap();
    assert_eq!(kind(second.bind(&name)), ErrorKind::AddrInUse);
    first.set_option(option::SO_REUSEPORT, true).unwrap();
    assert_eq!(kind(second.bind(&name)), ErrorKind::AddrInUse);
    second.set_option(option::SO_REUSEPORT, true).unwrap();
    second.bind(&name).unwrap();
}

/// Returns whether a flag of open(2) is set on a descriptor.
fn has_flag(fd: &impl AsFd, flag: i32) -> bool {
    let number = fd.as_fd().as_raw_fd();
    let flags = field(&format!("/proc/self/fdinfo/{number}"), "flags:");
    i32::from_str_radix(&flags, 8).unwrap() & flag != 0
}

fn is_inherited(fd: &impl AsFd) -> bool {
    !has_flag(fd, libc::O_CLOEXEC)
}

#[test]
fn descriptors_are_close_on_exec() {
    for (transport, address) in connections() {
        let (listener, name) = listening(transport, &address);
        let client = connected(transport, &name);
        wait_readable(&listener);
        let (server, _) = listener.accept_nonblocking().unwrap();
        let again = server.try_clone().unwrap();
        assert!(![listener, client, server, again].iter().any(is_inherited));
    }
    for transport in UNIX {
        let (one, other) = transport.pair().unwrap();
        assert!(!is_inherited(&one) && !is_inherited(&other));
    }
    assert!(!is_inherited(&Waker::new().unwrap()));
}

#[test]
fn socket_converts_from_and_to_a_descriptor() {
    let (one, other) = Transport::UnixStream.pair().unwrap();
    let number = one.as_raw_fd();
    let fd = OwnedFd::from(one);
    assert_eq!(fd.as_raw_fd(), number);
    Socket::from_fd(fd).unwrap().send(b"same").unwrap();
    assert_eq!(read(&other), b"same");
}

#[test]
fn nonblocking_type_sets_the_timeout() {
    let kind = Type(Type::DGRAM.0 | libc::SOCK_NONBLOCK);
    let socket = Socket::new(Family::UNIX, kind, Protocol::DEFAULT).unwrap();
    let (one, other) = Socket::pair(Family::UNIX, kind, Protocol::DEFAULT).unwrap();
    for socket in [socket, one, other] {
        assert_eq!(socket.timeout(), Some(Duration::ZERO));
        assert_eq!(socket.socket_type().unwrap(), Type::DGRAM);
    }
}

#[test]
fn from_fd_returns_a_descriptor_that_is_no_socket() {
    let (reader, mut writer) = pipe();
    let number = reader.as_raw_fd();
    let error = Socket::from_fd(OwnedFd::from(reader)).unwrap_err();
    assert_eq!(error.source.raw_os_error(), Some(libc::ENOTSOCK));
    assert_eq!(error.to_string(), format!("cannot use descriptor {number} as a socket"));
    writer.write_all(b"x").unwrap();
    let mut reader = File::from(error.fd);
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);

    // TryFrom does the same. Within an io::Error too, it keeps the descriptor open.
    let error = io::Error::from(Socket::try_from(OwnedFd::from(reader)).unwrap_err());
    writer.write_all(b"x").unwrap();
    drop(error);
    assert_eq!(kind(writer.write(b"x")), ErrorKind::BrokenPipe);
}

#[test]
fn send_all_with_passes_its_flags() {
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen().unwrap();
    let client = connected(Transport::Tcp, &name);
    let (server, _) = listener.accept().unwrap();
    client.send_all_with(b"!", MessageFlags::OOB).unwrap();
    client.send_all(b"rest").unwrap();
    wait_readable(&server);
    let mut urgent = [0; 1];
    let into = &mut [IoSliceMut::new(&mut urgent)];
    assert_eq!(server.recv_msg(into, ControlSpace::NONE, MessageFlags::OOB).unwrap().len, 1);
    assert_eq!(&urgent, b"!");
    assert_eq!(read(&server), b"rest");

    // MSG_DONTWAIT prevents waiting whatever the timeout is; the error contains the number of bytes
    // sent.
    let (one, other) = Transport::UnixStream.pair().unwrap();
    let error = one.send_all_with(&[7; 10_000_000], MessageFlags::DONTWAIT).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::WouldBlock);
    assert!(0 < error.sent && error.sent < 10_000_000);
    drop(one);
    let mut received = Vec::new();
    (&other).read_to_end(&mut received).unwrap();
    assert_eq!(received.len() as u64, error.sent);
}

#[test]
fn error_numbers_are_classified() {
    let of = io::Error::from_raw_os_error;
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        assert!(is_out_of_resources(&of(errno)));
    }
    for errno in [libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ESOCKTNOSUPPORT] {
        assert!(is_family_absent(&of(errno)));
    }
    for errno in [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::ENETDOWN, libc::EHOSTDOWN]
    {
        assert!(is_unreachable(&of(errno)));
    }
    for error in [of(libc::EAGAIN), of(libc::ECONNREFUSED), of(libc::EACCES), ErrorKind::OutOfMemory.into()] {
        assert!(!is_out_of_resources(&error) && !is_family_absent(&error) && !is_unreachable(&error));
    }
}

#[test]
fn fd_limit_is_raised_to_the_hard_limit() {
    if is_alone() {
        let raised = raise_fd_limit().unwrap();
        assert!(64 < raised);
        let limits = field("/proc/self/limits", "Max open files");
        let limits: Vec<u64> =
            limits.split_whitespace().take(2).map(|limit| limit.parse().unwrap()).collect();
        assert_eq!(limits, [raised, raised]);
        return assert_eq!(raise_fd_limit().unwrap(), raised);
    }
    let lower = ["sh", "-c", "ulimit -S -n 64 && exec \"$0\" \"$@\""];
    let test = "socket::fd_limit_is_raised_to_the_hard_limit";
    let (status, output) = Process::start(&lower, test).unwrap().end();
    assert!(status.success(), "{output}");
}

#[test]
fn effective_user_id_is_that_of_the_process() {
    let users = field("/proc/self/status", "Uid:");
    assert_eq!(users.split_whitespace().nth(1).unwrap().parse(), Ok(effective_user_id()));
}
