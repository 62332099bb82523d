//! One suite for every transport. Differences between transports are explicit in the tests.

use std::io::{self, BufRead, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{
    Address, Batch, ControlSpace, Family, Interest, Kind, MessageFlags, Outgoing, Protocol, ServerOptions,
    Shutdown, Socket, Transport, create_server, option, ready,
};

use crate::python::{python_client_gets_echoes, python_server_echoes};
use crate::{Folder, PATIENCE, UNNAMED, skip};

/// A transport over one of its address families, if this kernel has it.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) transport: Transport,
    pub(crate) family: Family,
}

/// Returns whether VSOCK works within this machine: many kernels have the family without the
/// loopback.
static VSOCK_LOOPBACK: LazyLock<Result<(), String>> = LazyLock::new(|| {
    let fixture = Fixture { transport: Transport::VsockStream, family: Family::VSOCK };
    let request = || {
        let listener = fixture.transport.socket(&fixture.address())?;
        listener.bind(fixture.address())?;
        listener.listen()?;
        let client_socket = fixture.transport.socket(&fixture.address())?;
        client_socket.set_timeout(Some(Duration::from_secs(1)))?;
        client_socket.connect(&listener.local_addr()?)
    };
    request().map_err(|error: io::Error| error.to_string())
});

impl Fixture {
    /// Returns the fixture, or skips the test if this kernel lacks the family.
    pub(crate) fn find(transport: Transport, family: Family) -> Option<Self> {
        let fixture = Self { transport, family };
        let bind = || transport.socket(&fixture.address())?.bind(fixture.address());
        let found = bind().map_err(|error| error.to_string());
        let found = if family == Family::VSOCK { VSOCK_LOOPBACK.clone() } else { found };
        match found {
            Ok(()) => Some(fixture),
            Err(why) => {
                let no_v6 = family == Family::INET6 && Self::find(transport, Family::INET).is_some();
                let name = if no_v6 { "ipv6" } else { transport.scheme().split('-').next().unwrap() };
                skip(name, format!("{} over {family}: {why}", transport.scheme()));
                None
            }
        }
    }

    /// Returns an unused address to bind to.
    pub(crate) fn address(&self) -> Address {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        match self.family {
            Family::INET => (Ipv4Addr::LOCALHOST, 0).into(),
            Family::INET6 => (Ipv6Addr::LOCALHOST, 0).into(),
            Family::UNIX => UNNAMED,
            Family::NETLINK => NetlinkAddress::default().into(),
            Family::VSOCK => {
                VsockAddress { cid: VsockAddress::CID_LOCAL, port: VsockAddress::PORT_ANY }.into()
            }
            Family::TIPC => {
                let service = 1_000_000 + process::id();
                TipcAddress::service(service, NEXT.fetch_add(1, Ordering::Relaxed)).into()
            }
            other => panic!("{other} has no suite"),
        }
    }

    /// Returns a server's socket and the address to connect to.
    pub(crate) fn server(&self) -> (Socket, Address) {
        let address = self.address();
        let server = create_server((self.transport, &address), ServerOptions::default()).unwrap();
        server.set_timeout(Some(PATIENCE)).unwrap();
        // A TIPC socket has its own address, but clients connect to its service.
        let name = if self.family == Family::TIPC { address } else { server.local_addr().unwrap() };
        (server, name)
    }

    /// Returns a client's socket, bound if it needs an address to receive replies.
    pub(crate) fn client_socket(&self) -> Socket {
        let address = self.address();
        let client_socket = self.transport.socket(&address).unwrap();
        client_socket.set_timeout(Some(PATIENCE)).unwrap();
        let datagrams = self.transport.kind() == Kind::Datagrams;
        if self.family == Family::UNIX || datagrams && self.family != Family::TIPC {
            client_socket.bind(&address).unwrap();
        }
        client_socket
    }

    /// Returns the client's and the server's socket of a connection.
    fn connection(&self) -> (Socket, Socket) {
        let (listener, name) = self.server();
        let client = self.client_socket();
        // With TIPC a connect returns only after the accept.
        let server = thread::scope(|scope| {
            let connecting = scope.spawn(|| client.connect(&name).unwrap());
            let (server, peer) = listener.accept().unwrap();
            connecting.join().unwrap();
            assert_eq!(peer, server.peer_addr().unwrap());
            server
        });
        server.set_timeout(Some(PATIENCE)).unwrap();
        (client, server)
    }

    /// Returns two sockets that are connected to each other, in the sense of their kind.
    fn connected_pair(&self) -> (Socket, Socket) {
        if self.transport.has_connections() {
            return self.connection();
        }
        let ((server, name), client) = (self.server(), self.client_socket());
        client.connect(&name).unwrap();
        // The source of the message is the socket's own address, not the service.
        server.connect(client.local_addr().unwrap()).unwrap();
        (client, server)
    }

    /// Returns the bytes of one receive; none at the end.
    pub(crate) fn receive_one(&self, socket: &Socket) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 19];
        match socket.recv(&mut buffer) {
            Err(error) if self.transport.is_end(&error) => Vec::new(),
            result => {
                let len = result.unwrap();
                buffer.truncate(len);
                buffer
            }
        }
    }

    /// Receives `len` bytes: in several receives on a stream, in one otherwise.
    pub(crate) fn receive_all(&self, socket: &Socket, len: usize) -> Vec<u8> {
        let mut received = self.receive_one(socket);
        while self.transport.kind() == Kind::Stream && received.len() < len {
            match self.receive_one(socket) {
                more if more.is_empty() => break,
                more => received.extend(more),
            }
        }
        received
    }

    /// Returns the maximum message length, if it does not depend on the machine.
    pub(crate) fn message_max(&self) -> Option<usize> {
        match self.transport {
            Transport::Udp if self.family == Family::INET => Some(65_507),
            Transport::Udp => Some(65_527),
            Transport::TipcRdm | Transport::TipcDatagram | Transport::TipcSeqpacket => Some(66_000),
            _ => None,
        }
    }

    /// Returns lengths to test, up to the maximum.
    fn lengths(&self) -> Vec<usize> {
        let max = match self.transport.kind() {
            Kind::Stream => 1_000_000,
            _ => self.message_max().unwrap_or(150_000),
        };
        vec![1, 2, 3, 64, 1000, 1449, 4096, 16_384, 65_483, max]
    }
}

/// Returns bytes that depend on their position, so that misplaced ones are noticed.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|fixture| u8::try_from(fixture * 7 % 251).unwrap()).collect()
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

macro_rules! scenarios {
    ($($scenario:ident)*) => {$(
        #[test]
        fn $scenario() {
            if let Some(fixture) = fixture() {
                super::$scenario(&fixture);
            }
        }
    )*};
}

macro_rules! all {
    () => {
        scenarios! {
            socket_reports_its_creation_arguments
            messages_of_every_length_are_echoed
            buffers_are_gathered_and_scattered
            send_many_sends_every_message
            peeked_message_stays
            receive_waits_until_its_timeout
            blocked_receive_is_woken
            duplicate_shares_the_socket
            new_sockets_are_close_on_exec
            buffer_sizes_are_read_back
            readiness_is_reported
            pairs_exist_for_unix_and_tipc
            python_server_echoes
            python_client_gets_echoes
        }
    };
}

macro_rules! connections {
    () => {
        all! {}
        scenarios! {
            both_sides_report_both_addresses
            accept_waits_until_its_timeout
            nonblocking_connect_completes
            connect_without_listener_fails
            end_follows_the_last_data
            half_close_works_where_supported
            full_shutdown_is_received
            send_to_a_closed_peer_fails
        }
    };
}

macro_rules! streams {
    () => {
        connections! {}
        scenarios! {
            stream_has_no_boundaries
            empty_send_on_a_stream_delivers_nothing
            send_all_times_out_and_counts
            file_object_reads_and_writes_lines
            send_file_sends_a_file
        }
    };
}

macro_rules! messages {
    () => {
        connections! {}
        scenarios! {
            messages_keep_their_boundaries
            long_message_is_truncated
            too_long_message_is_refused
            empty_message_is_delivered_or_dropped
        }
    };
}

macro_rules! datagrams {
    () => {
        all! {}
        scenarios! {
            reply_goes_to_the_sender
            messages_keep_their_boundaries
            long_message_is_truncated
            too_long_message_is_refused
            empty_datagram_is_delivered_or_refused
            batch_is_received_and_replied_to
            connected_socket_receives_from_others_or_not
            refused_datagram_does_not_end_the_socket
        }
    };
}

macro_rules! fixtures {
    ($($name:ident: $transport:ident over $family:ident, $suite:ident;)*) => {
        const PLACES: &[Transport] = &[$(Transport::$transport),*];

        $(mod $name {
            use echosounder_socket::{Family, Transport};

            fn fixture() -> Option<super::Fixture> {
                super::Fixture::find(Transport::$transport, Family::$family)
            }

            $suite! {}
        })*
    };
}

fixtures! {
    tcp_v4: Tcp over INET, streams;
    tcp_v6: Tcp over INET6, streams;
    udp_v4: Udp over INET, datagrams;
    udp_v6: Udp over INET6, datagrams;
    unix_stream: UnixStream over UNIX, streams;
    unix_datagram: UnixDatagram over UNIX, datagrams;
    unix_seqpacket: UnixSeqpacket over UNIX, messages;
    vsock_stream: VsockStream over VSOCK, streams;
    vsock_seqpacket: VsockSeqpacket over VSOCK, messages;
    tipc_stream: TipcStream over TIPC, streams;
    tipc_seqpacket: TipcSeqpacket over TIPC, messages;
    tipc_rdm: TipcRdm over TIPC, datagrams;
    tipc_datagram: TipcDatagram over TIPC, datagrams;
    netlink: Netlink over NETLINK, datagrams;
    mptcp_v4: Mptcp over INET, streams;
    mptcp_v6: Mptcp over INET6, streams;
    sctp_v4: Sctp over INET, streams;
    sctp_v6: Sctp over INET6, streams;
}

#[test]
fn every_transport_has_a_suite() {
    for transport in Transport::all() {
        assert!(PLACES.contains(&transport), "{transport:?}");
    }
}

fn socket_reports_its_creation_arguments(fixture: &Fixture) {
    let protocol = match fixture.transport {
        Transport::Tcp => Protocol::TCP,
        Transport::Udp => Protocol::UDP,
        other => other.protocol(),
    };
    for timeout in [None, Some(Duration::ZERO), Some(PATIENCE)] {
        let socket = fixture.client_socket();
        socket.set_timeout(timeout).unwrap();
        let again = Socket::from_fd(OwnedFd::from(socket)).unwrap();
        assert_eq!(again.family().unwrap(), fixture.family);
        assert_eq!(again.socket_type().unwrap(), fixture.transport.socket_type());
        assert_eq!(again.protocol().unwrap(), protocol);
        // A descriptor has a blocking mode but no timeout.
        assert_eq!(again.timeout(), timeout.map(|_| Duration::ZERO));
        assert_eq!(again.nonblocking(), timeout.is_some());
        assert!(!again.option(option::SO_ACCEPTCONN).unwrap());
        assert_eq!(again.option(option::SO_ERROR).unwrap(), 0);
        assert!(again.take_error().unwrap().is_none());
    }
    assert_eq!(
        fixture.server().0.option(option::SO_ACCEPTCONN).unwrap(),
        fixture.transport.has_connections()
    );
}

fn messages_of_every_length_are_echoed(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    for len in fixture.lengths() {
        let sent = pattern(len);
        thread::scope(|scope| {
            let echo = scope.spawn(|| {
                let received = fixture.receive_all(&server, len);
                server.send_all(&received).unwrap();
            });
            client.send_all(&sent).unwrap();
            let received = fixture.receive_all(&client, len);
            assert!(received == sent, "{len} bytes have become {}", received.len());
            echo.join().unwrap();
        });
    }
}

fn buffers_are_gathered_and_scattered(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    let pieces = [&b"ahoy"[..], b"", b" ", b"there"].map(IoSlice::new);
    assert_eq!(client.send_msg(&pieces, &[], None, MessageFlags::NONE).unwrap(), 10);
    let (mut head, mut tail) = ([0; 3], [0; 64]);
    let mut buffer = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    let message = server.recv_msg(&mut buffer, ControlSpace::NONE, MessageFlags::NONE).unwrap();
    assert_eq!((message.len, message.control.len()), (10, 0));
    assert!(!message.flags.contains(MessageFlags::TRUNC));
    assert_eq!((&head, &tail[..7]), (b"aho", b"y there".as_slice()));
    if fixture.transport.kind() == Kind::Datagrams {
        assert_eq!(message.from, Some(client.local_addr().unwrap()));
    }
}

fn send_many_sends_every_message(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    let words = [[IoSlice::new(b"one")], [IoSlice::new(b"three")], [IoSlice::new(b"seven")]];
    let messages = words.each_ref().map(|buffers| Outgoing::new(buffers));
    assert_eq!(client.send_many(&messages).unwrap(), 3);
    assert_eq!(client.send_many(&[]).unwrap(), 0);
    let mut received = Vec::new();
    while received.len() < 13 {
        received.extend(fixture.receive_one(&server));
    }
    assert_eq!(received, b"onethreeseven");
}

fn peeked_message_stays(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    client.send(b"ahoy").unwrap();
    for _ in 0..2 {
        let mut buffer = [0; 64];
        match server.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::NONE, MessageFlags::PEEK) {
            // Before Linux 6.6 VSOCK does not support MSG_PEEK here.
            Err(error) if fixture.transport == Transport::VsockSeqpacket => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
            }
            message => assert_eq!(&buffer[..message.unwrap().len], b"ahoy"),
        }
    }
    assert_eq!(fixture.receive_one(&server), b"ahoy");
    server.set_nonblocking(true).unwrap();
    assert_eq!(kind(server.recv(&mut [0; 64])), ErrorKind::WouldBlock);
}

#[expect(clippy::disallowed_methods, reason = "how long a wait takes is what is tested")]
fn receive_waits_until_its_timeout(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    server.set_nonblocking(true).unwrap();
    assert!(server.nonblocking());
    let mut buffer = [0; 64];
    assert_eq!(kind(server.recv(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(server.recv_message(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(server.recv_from(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(server.recv_append(&mut Vec::with_capacity(8))), ErrorKind::WouldBlock);

    let limit = Duration::from_millis(20);
    server.set_timeout(Some(limit)).unwrap();
    assert_eq!(server.timeout(), Some(limit));
    let begin = Instant::now();
    let error = server.recv(&mut buffer).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::TimedOut, None));
    assert!(limit <= begin.elapsed());
    let message =
        server.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::NONE, MessageFlags::DONTWAIT);
    assert_eq!(kind(message), ErrorKind::WouldBlock);

    // A receive of queued data does not wait in any mode.
    for timeout in [None, Some(Duration::ZERO), Some(limit)] {
        client.send(b"ahoy").unwrap();
        let [readiness] = ready([(server.as_fd(), Interest::READ)], Some(PATIENCE)).unwrap();
        assert!(readiness.can_read());
        server.set_timeout(timeout).unwrap();
        assert_eq!(server.recv(&mut buffer).unwrap(), 4);
    }
}

fn blocked_receive_is_woken(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    for timeout in [None, Some(PATIENCE)] {
        server.set_timeout(timeout).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| fixture.receive_one(&server));
            client.send(b"late").unwrap();
            assert_eq!(reader.join().unwrap(), b"late");
        });
    }
}

fn duplicate_shares_the_socket(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    let again = server.try_clone().unwrap();
    assert_ne!(server.as_raw_fd(), again.as_raw_fd());
    assert_eq!(again.timeout(), Some(PATIENCE));
    assert_eq!(again.local_addr().unwrap(), server.local_addr().unwrap());
    drop(server);
    client.send(b"here").unwrap();
    assert_eq!(fixture.receive_one(&again), b"here");
}

fn new_sockets_are_close_on_exec(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    let again = server.try_clone().unwrap();
    for socket in [client, server, again] {
        assert!(!socket.inheritable().unwrap());
        socket.set_inheritable(true).unwrap();
        assert!(socket.inheritable().unwrap());
        socket.set_inheritable(false).unwrap();
        assert!(!socket.inheritable().unwrap());
        socket.close().unwrap();
    }
}

fn buffer_sizes_are_read_back(fixture: &Fixture) {
    let socket = fixture.client_socket();
    for size in [option::SO_RCVBUF, option::SO_SNDBUF] {
        socket.set_option(size, 20_000).unwrap();
        assert_eq!(socket.option(size).unwrap(), 40_000);
    }
    assert_eq!(socket.option(option::SO_DOMAIN).unwrap(), fixture.family);
    assert_eq!(errno(socket.option_bytes(libc::SOL_SOCKET, 9999, 4)), Some(libc::ENOPROTOOPT));
}

fn readiness_is_reported(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    let now = |socket: &Socket| {
        ready([(socket.as_fd(), Interest::READ | Interest::WRITE)], Some(Duration::ZERO)).unwrap()[0]
    };
    assert!(now(&client).can_write() && now(&server).can_write());
    assert!(!now(&client).can_read() && !now(&server).can_read());
    client.send(b"ahoy").unwrap();
    let [readiness] = ready([(server.as_fd(), Interest::READ)], Some(PATIENCE)).unwrap();
    assert!(readiness.can_read() && !now(&client).can_read());
    fixture.receive_one(&server);
    assert!(!now(&server).can_read());
}

fn pairs_exist_for_unix_and_tipc(fixture: &Fixture) {
    if ![Family::UNIX, Family::TIPC].contains(&fixture.family) {
        return assert_eq!(errno(fixture.transport.pair()), Some(libc::EOPNOTSUPP));
    }
    let (one, other) = fixture.transport.pair().unwrap();
    for (from, to) in [(&one, &other), (&other, &one)] {
        to.set_timeout(Some(PATIENCE)).unwrap();
        from.send(b"ahoy").unwrap();
        assert_eq!(fixture.receive_one(to), b"ahoy");
    }
}

fn both_sides_report_both_addresses(fixture: &Fixture) {
    let (listener, name) = fixture.server();
    let client = fixture.client_socket();
    let (server, peer) = thread::scope(|scope| {
        let connecting = scope.spawn(|| client.connect(&name).unwrap());
        let accepted = listener.accept().unwrap();
        connecting.join().unwrap();
        accepted
    });
    assert_eq!((server.timeout(), server.nonblocking()), (None, false));
    assert_eq!(peer, server.peer_addr().unwrap());
    let mut local = client.local_addr().unwrap();
    if let Address::Vsock(address) = &mut local {
        // The connect has chosen a port, but no context id.
        assert_eq!(mem::replace(&mut address.cid, VsockAddress::CID_LOCAL), VsockAddress::CID_ANY);
    }
    assert_eq!(peer, local);
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    if fixture.family != Family::TIPC {
        assert_eq!(client.peer_addr().unwrap(), name);
    }
    assert_eq!(kind(fixture.client_socket().peer_addr()), ErrorKind::NotConnected);
}

fn accept_waits_until_its_timeout(fixture: &Fixture) {
    let (listener, name) = fixture.server();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    assert_eq!(kind(listener.accept_nonblocking()), ErrorKind::WouldBlock);
    listener.set_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::TimedOut);
    for timeout in [None, Some(PATIENCE)] {
        listener.set_timeout(timeout).unwrap();
        let client = fixture.client_socket();
        thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept_nonblocking().unwrap().0);
            client.connect(&name).unwrap();
            let server = accepting.join().unwrap();
            assert!(server.nonblocking());
            assert_eq!(kind(server.recv(&mut [0; 64])), ErrorKind::WouldBlock);
        });
    }
}

fn nonblocking_connect_completes(fixture: &Fixture) {
    let (listener, name) = fixture.server();
    let client = fixture.client_socket();
    client.set_nonblocking(true).unwrap();
    match client.connect(&name) {
        Err(error) => assert!(Socket::is_in_progress(&error), "{error}"),
        // UNIX refuses at once, without waiting.
        Ok(()) => assert!([Family::UNIX, Family::VSOCK].contains(&fixture.family)),
    }
    let (server, _) = listener.accept().unwrap();
    let [readiness] = ready([(client.as_fd(), Interest::WRITE)], Some(PATIENCE)).unwrap();
    assert!(readiness.can_write());
    assert!(client.take_error().unwrap().is_none());
    client.send(b"ahoy").unwrap();
    assert_eq!(fixture.receive_one(&server), b"ahoy");
}

fn connect_without_listener_fails(fixture: &Fixture) {
    let (listener, name) = fixture.server();
    drop(listener);
    let expected = match fixture.family {
        Family::TIPC => libc::EHOSTUNREACH,
        Family::VSOCK => libc::ECONNRESET,
        _ => libc::ECONNREFUSED,
    };
    for timeout in [None, Some(PATIENCE)] {
        let client = fixture.client_socket();
        client.set_timeout(timeout).unwrap();
        assert_eq!(errno(client.connect(&name)), Some(expected));
        let client = fixture.client_socket();
        client.set_timeout(timeout).unwrap();
        assert_eq!(client.connect_ex(&name).unwrap(), expected);
        let again = client.take_error().unwrap();
        // SCTP reports the error twice if the connect blocked, and so does VSOCK in late versions
        // of Linux 6.1.
        let twice = fixture.transport == Transport::Sctp || fixture.family == Family::VSOCK;
        assert!(again.is_none() || twice, "{again:?}");
    }
}

fn end_follows_the_last_data(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    client.send_all(b"last words").unwrap();
    drop(client);
    assert_eq!(fixture.receive_all(&server, 10), b"last words");
    assert_eq!(fixture.receive_one(&server), b"");
    assert_eq!(fixture.receive_one(&server), b"", "it does not change its mind");
}

fn half_close_works_where_supported(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    if fixture.family == Family::TIPC {
        for half in [Shutdown::Read, Shutdown::Write] {
            assert_eq!(errno(client.shutdown(half)), Some(libc::EINVAL));
        }
        assert!(!fixture.transport.half_closes());
        return;
    }
    client.send(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(fixture.receive_one(&server), b"last words");
    assert_eq!(fixture.receive_one(&server), b"");
    assert_eq!(kind(client.send(b"x")), ErrorKind::BrokenPipe);
    if fixture.transport.half_closes() {
        server.send(b"still").unwrap();
        assert_eq!(fixture.receive_one(&client), b"still");
        drop(server);
        assert_eq!(fixture.receive_one(&client), b"");
    } else {
        assert!(server.send(b"still").is_err());
    }
}

fn full_shutdown_is_received(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(fixture.receive_one(&server), b"");
    assert_eq!(kind(client.send(b"x")), ErrorKind::BrokenPipe);
    // A UNIX socket notices the shutdown only later.
    if fixture.family != Family::UNIX {
        assert_eq!(kind(fixture.client_socket().shutdown(Shutdown::Both)), ErrorKind::NotConnected);
    }
}

#[expect(clippy::disallowed_methods, reason = "the news may take its time")]
fn send_to_a_closed_peer_fails(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    drop(server);
    assert_eq!(fixture.receive_one(&client), b"");
    // Sends to a closed MPTCP peer succeed for up to a minute.
    if fixture.transport == Transport::Mptcp {
        return assert_eq!(client.send(b"x").unwrap(), 1);
    }
    // TCP must first learn it from the peer, so the first send succeeds.
    let begin = Instant::now();
    let error = loop {
        match client.send(b"x") {
            Err(error) => break error,
            Ok(_) => assert!(begin.elapsed() < PATIENCE, "it takes everything"),
        }
    };
    assert!([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()), "{error}");
}

fn stream_has_no_boundaries(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    client.send_all(b"one").unwrap();
    client.send_all(b"two").unwrap();
    let mut byte = [0];
    let mut received = Vec::new();
    for _ in 0..6 {
        assert_eq!(server.recv(&mut byte).unwrap(), 1);
        received.extend(byte);
    }
    assert_eq!(received, b"onetwo");
    assert_eq!(server.recv(&mut []).unwrap(), 0);
}

fn empty_send_on_a_stream_delivers_nothing(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    if fixture.transport == Transport::Sctp {
        assert_eq!(errno(client.send(b"")), Some(libc::EINVAL));
    } else {
        assert_eq!(client.send(b"").unwrap(), 0);
        client.send_all(b"").unwrap();
    }
    client.send(b"after").unwrap();
    assert_eq!(fixture.receive_all(&server, 5), b"after");
    server.set_nonblocking(true).unwrap();
    assert_eq!(kind(server.recv(&mut [0; 64])), ErrorKind::WouldBlock);
}

fn send_all_times_out_and_counts(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    let bytes = pattern(30_000_000);
    client.set_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = client.send_all(&bytes).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::TimedOut);
    let sent = usize::try_from(error.sent).unwrap();
    assert!(0 < sent && sent < bytes.len());
    assert_eq!(error.to_string(), format!("cannot send more than {sent} bytes"));

    client.set_nonblocking(true).unwrap();
    let error = (0..10_000).find_map(|_| client.send(&bytes[..10_000]).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    // The counted bytes were sent.
    assert!(fixture.receive_all(&server, sent)[..sent] == bytes[..sent]);
}

fn file_object_reads_and_writes_lines(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    let mut client_file = client.make_file().unwrap();
    drop(client);
    let mut server_file = server.make_file().unwrap();
    drop(server);
    writeln!(client_file, "ahoy").unwrap();
    writeln!(client_file, "there").unwrap();
    client_file.flush().unwrap();
    let mut line = String::new();
    for expected in ["ahoy\n", "there\n"] {
        line.clear();
        server_file.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    server_file.write_all(b"echo").unwrap();
    server_file.flush().unwrap();
    let mut buffer = [0; 4];
    client_file.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"echo");
    // The last file flushes its buffer and closes the connection.
    server_file.write_all(b"rest").unwrap();
    drop(server_file);
    client_file.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"rest");
    match client_file.read(&mut buffer) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert!(fixture.transport.is_end(&error), "{error}"),
    }
}

fn send_file_sends_a_file(fixture: &Fixture) {
    let folder = Folder::new();
    let path = folder.path_of_len(90);
    let content = pattern(300_000);
    std::fs::write(&path, &content).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let (client, server) = fixture.connection();
    for (offset, count, expected) in [
        (0, None, &content[..]),
        (1, Some(7), &content[1..8]),
        (299_990, Some(100), &content[299_990..]),
        (300_000, None, b""),
        (5, Some(0), b""),
    ] {
        let received = thread::scope(|scope| {
            let reader = scope.spawn(|| match expected.len() {
                0 => Vec::new(),
                len => fixture.receive_all(&server, len),
            });
            assert_eq!(client.send_file(&file, offset, count).unwrap(), expected.len() as u64);
            reader.join().unwrap()
        });
        assert!(received == expected, "from {offset}, {count:?}: {} bytes", received.len());
    }
}

fn messages_keep_their_boundaries(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    for word in [&b"one"[..], b"two", b"three"] {
        client.send_all(word).unwrap();
    }
    assert_eq!(fixture.receive_one(&server), b"one");
    assert_eq!(fixture.receive_one(&server), b"two");
    assert_eq!(fixture.receive_one(&server), b"three");
}

fn long_message_is_truncated(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    for _ in 0..2 {
        client.send(b"0123456789").unwrap();
        client.send(b"next").unwrap();
        let mut buffer = [0; 4];
        // TIPC reports that the message was truncated, but not its length.
        let reported = if fixture.family == Family::TIPC { 5 } else { 10 };
        let message = server.recv_message(&mut buffer).unwrap();
        assert_eq!((message.len, message.full_len, message.is_truncated()), (4, reported, true));
        assert_eq!(&buffer, b"0123");
        let message = server.recv_message(&mut buffer).unwrap();
        assert_eq!((message.len, message.full_len, message.is_truncated()), (4, 4, false));
        assert_eq!(&buffer, b"next");

        client.send(b"0123456789").unwrap();
        let message = server
            .recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::NONE, MessageFlags::NONE)
            .unwrap();
        assert_eq!((message.len, message.flags.contains(MessageFlags::TRUNC)), (4, true));
    }
}

fn too_long_message_is_refused(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    let long = vec![0; fixture.message_max().map_or(2_000_000, |max| max + 1)];
    let refused = errno(client.send(&long));
    // Before Linux 6.4 every failed VSOCK send returns ENOMEM.
    let strange = fixture.family == Family::VSOCK && refused == Some(libc::ENOMEM);
    assert!(refused == Some(libc::EMSGSIZE) || strange, "{refused:?}");
    client.send(b"after").unwrap();
    assert_eq!(fixture.receive_one(&server), b"after");
}

fn empty_message_is_delivered_or_dropped(fixture: &Fixture) {
    let (client, server) = fixture.connection();
    client.send_all(b"").unwrap();
    // VSOCK does not send empty messages, and TIPC does not deliver them.
    if fixture.family == Family::UNIX {
        assert_eq!(server.recv(&mut [0; 64]).unwrap(), 0);
    }
    client.send(b"after").unwrap();
    assert_eq!(fixture.receive_one(&server), b"after", "it was no end");
}

fn reply_goes_to_the_sender(fixture: &Fixture) {
    let (server, name) = fixture.server();
    let clients = [fixture.client_socket(), fixture.client_socket()];
    for client in &clients {
        client.send_to(b"request", &name).unwrap();
    }
    let mut buffer = [0; 64];
    for client in &clients {
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], &from), (b"request".as_slice(), &client.local_addr().unwrap()));
        server.send_to(b"answer", &from).unwrap();
        assert_eq!(client.recv_from(&mut buffer).unwrap(), (6, server.local_addr().unwrap()));
        assert_eq!(&buffer[..6], b"answer");
    }
}

fn empty_datagram_is_delivered_or_refused(fixture: &Fixture) {
    let (client, server) = fixture.connected_pair();
    match fixture.family {
        Family::NETLINK => assert_eq!(errno(client.send(b"")), Some(libc::ENODATA)),
        // The send succeeds, and the receiver discards the message.
        Family::TIPC => assert_eq!(client.send(b"").unwrap(), 0),
        _ => {
            assert_eq!(client.send(b"").unwrap(), 0);
            let (len, from) = server.recv_from(&mut [0; 64]).unwrap();
            assert_eq!((len, from), (0, client.local_addr().unwrap()));
        }
    }
    client.send(b"after").unwrap();
    assert_eq!(fixture.receive_one(&server), b"after");
}

fn batch_is_received_and_replied_to(fixture: &Fixture) {
    let (server, name) = fixture.server();
    let clients = [fixture.client_socket(), fixture.client_socket()];
    clients.iter().for_each(|client| client.connect(&name).unwrap());
    let requests = [&b"one"[..], b"a longer one", b"three"];
    for (request, client) in requests.iter().zip(clients.iter().cycle()) {
        client.send(request).unwrap();
    }
    let mut batch = Batch::new(2, 8);
    let mut received = 0;
    while received < requests.len() {
        for index in 0..server.recv_many(&mut batch).unwrap() {
            let request = requests[received];
            assert_eq!(batch.sender(index), clients[received % 2].local_addr().unwrap());
            assert_eq!(batch.bytes(index), &request[..request.len().min(8)]);
            assert_eq!(batch.metadata(index).truncated, 8 < request.len());
            batch.reply(index, b"> ", None, None).unwrap();
            received += 1;
        }
        batch.send(&server, false, |index, error| panic!("the reply to {index} did not leave: {error}"));
    }
    assert_eq!(fixture.receive_one(&clients[0]), b"> one");
    assert_eq!(fixture.receive_one(&clients[1]), b"> a longer");
    assert_eq!(fixture.receive_one(&clients[0]), b"> three");

    server.set_nonblocking(true).unwrap();
    assert_eq!(kind(server.recv_many(&mut batch)), ErrorKind::WouldBlock);
    server.set_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(kind(server.recv_many(&mut batch)), ErrorKind::TimedOut);
}

fn connected_socket_receives_from_others_or_not(fixture: &Fixture) {
    let (server, name) = fixture.server();
    let client = fixture.client_socket();
    client.connect(&name).unwrap();
    let other_client = fixture.client_socket();
    let sent = other_client.send_to(b"other", client.local_addr().unwrap());
    server.send_to(b"server", client.local_addr().unwrap()).unwrap();
    let received = fixture.receive_one(&client);
    if fixture.transport.receives_from_any() {
        assert_eq!(received, b"other");
        return;
    }
    assert_eq!(received, b"server");
    match fixture.family {
        Family::UNIX => assert_eq!(errno(sent), Some(libc::EPERM)),
        Family::NETLINK => assert_eq!(errno(sent), Some(libc::ECONNREFUSED)),
        _ => assert_eq!(sent.unwrap(), 5),
    }
}

fn refused_datagram_does_not_end_the_socket(fixture: &Fixture) {
    let (gone, name) = fixture.server();
    let client = fixture.client_socket();
    client.connect(&name).unwrap();
    drop(gone);
    let sent = client.send(b"anybody?");
    match fixture.family {
        Family::TIPC => assert_eq!(errno(sent), Some(libc::EHOSTUNREACH)),
        Family::UNIX | Family::NETLINK => assert_eq!(errno(sent), Some(libc::ECONNREFUSED)),
        _ => {
            assert_eq!(sent.unwrap(), 8);
            assert_eq!(kind(client.recv(&mut [0; 64])), ErrorKind::ConnectionRefused);
        }
    }
    let (server, name) = fixture.server();
    client.connect(&name).unwrap();
    client.send(b"here").unwrap();
    assert_eq!(fixture.receive_one(&server), b"here");
}
