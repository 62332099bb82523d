//! Surprising behaviour of the kernel's sockets, one test for each. Other modules test these:
//!
//! | trap | test |
//! |---|---|
//! | UDP answers from 0.0.0.0 | `control::packet_info_selects_the_source_address`, `batch::reply_leaves_from_…` |
//! | UDP on both IP versions | `control::dual_stack_socket_replies_from_mapped_addresses` |
//! | link-local peers | `batch::reply_leaves_from_the_requested_link_local_address` |
//! | no descriptor for an accept | echosounder-server: `bind::the_surplus_waits_until_a_connection_ends` |
//! | errors of one connection in accept | echosounder-server: `service::peers_that_reset_disturb_nobody` |
//! | one listener in several polls | `poll::exclusive_listener_reports_every_connection` |
//! | half-close | `family::*::half_close_works_where_supported`, `poll::finished_peer_makes_readable_only` |
//! | a peer that does not read | `family::*::send_all_times_out_and_counts` |
//! | SIGPIPE | `signal::write_to_a_closed_peer_raises_no_signal`, `file::send_file_to_a_closed_peer_raises_no_signal` |
//! | messages that are too long | `family::*::too_long_message_is_refused` |
//! | truncated messages | `family::*::long_message_is_truncated` |
//! | empty datagrams | `family::*::empty_datagram_is_delivered_or_refused` |
//! | stale UNIX paths | echosounder-server: `path::a_dead_socket_is_replaced_and_removed_at_the_end` and the others there |
//! | UNIX names | `address::abstract_name_may_contain_any_byte`, `address::paths_of_any_length_round_trip` |
//! | a full UNIX queue | `socket::connect_to_a_full_queue_times_out` |
//! | netlink | `netlink` |
//! | UDP GSO and GRO | `control::segments_are_sent_and_coalesced` |
//! | SCM_RIGHTS | `control::descriptors_…` |
//! | TIPC | `tipc` |

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{
    Address, ControlSpace, Family, Interest, MessageFlags, ServerOptions, Shutdown, Socket, Transport, Type,
    create_server, option, ready,
};
use echosounder_testkit::pipe;

use crate::{LOOPBACK, PATIENCE, UNNAMED, bound, connected, read, skip, wait_readable};

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn tcp_server(options: ServerOptions, address: &Address) -> Socket {
    create_server(address, options).unwrap()
}

fn port(socket: &Socket) -> u16 {
    socket.local_addr().unwrap().port().unwrap()
}

#[test]
fn dual_stack_socket_occupies_the_port_of_both_versions() {
    let [_, _] = &LOOPBACK[..] else { return };
    let v6 = (Ipv6Addr::UNSPECIFIED, 0).into();
    let both = tcp_server(ServerOptions::default().dual_stack(true), &v6);
    assert!(!both.option(option::IPV6_V6ONLY).unwrap());
    let v4 = Address::from((Ipv4Addr::UNSPECIFIED, port(&both)));
    let refused = create_server(&v4, ServerOptions::default()).unwrap_err();
    assert_eq!(refused.cause().kind(), ErrorKind::AddrInUse);
    assert_eq!(refused.to_string(), format!("cannot bind tcp://{v4}"));

    let client = connected(Transport::Tcp, &(Ipv4Addr::LOCALHOST, port(&both)).into());
    let (_server, peer) = both.accept().unwrap();
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!((peer.ip(), peer.port()), (Some(mapped.into()), client.local_addr().unwrap().port()));

    // Another test may have the port over IPv4.
    let both_have_the_port = || {
        let only = tcp_server(ServerOptions::default(), &v6);
        assert!(only.option(option::IPV6_V6ONLY).unwrap());
        create_server((Ipv4Addr::UNSPECIFIED, port(&only)), ServerOptions::default()).is_ok()
    };
    assert!((0..20).any(|_| both_have_the_port()));
}

#[test]
fn closing_a_reuseport_listener_drops_its_queue() {
    let options = ServerOptions::default().reuse_port(true);
    let one = tcp_server(options, &LOOPBACK[0]);
    let name = one.local_addr().unwrap();
    let other = tcp_server(options, &name);
    let clients: Vec<Socket> = (0..64).map(|_| connected(Transport::Tcp, &name)).collect();
    drop(one);
    other.set_nonblocking(true).unwrap();
    let accepted = (0..64).take_while(|_| other.accept().is_ok()).count();
    assert!(0 < accepted && accepted < 64, "{accepted} connections of 64 were in one queue");
    let reset = clients
        .iter()
        .filter(|client| {
            client.set_timeout(Some(PATIENCE)).unwrap();
            // The accepted connections were closed in order.
            client.recv(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        })
        .count();
    assert_eq!(reset, 64 - accepted);
}

#[test]
fn close_with_unread_input_resets_the_connection() {
    for (transport, address) in [(Transport::Tcp, &LOOPBACK[0]), (Transport::UnixStream, &UNNAMED)] {
        let call = |narrow: bool| {
            let (listener, name) = bound(transport, address);
            listener.listen().unwrap();
            let client = transport.socket(&name).unwrap();
            client.set_timeout(Some(PATIENCE)).unwrap();
            if narrow {
                client.set_option(option::SO_RCVBUF, 4096).unwrap();
            }
            client.connect(&name).unwrap();
            let (server, _) = listener.accept().unwrap();
            client.send(b"call").unwrap();
            wait_readable(&server);
            server.set_nonblocking(true).unwrap();
            let reply = vec![7; 1 << 16];
            let sent: usize = (0..10_000).map_while(|_| server.send(&reply).ok()).sum();
            (client, server, sent)
        };
        /// Receives to the end and returns the bytes and the result.
        fn receive_one(client: &Socket) -> (usize, io::Result<()>) {
            let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
            loop {
                match client.recv(&mut buffer) {
                    Ok(0) => return (received, Ok(())),
                    Ok(len) => received += len,
                    Err(error) => return (received, Err(error)),
                }
            }
        }
        let (client, server, sent) = call(true);
        drop(server);
        let (received, end) = receive_one(&client);
        assert_eq!(kind(end), ErrorKind::ConnectionReset);
        assert!(received < sent || transport == Transport::UnixStream, "UNIX has no way to be on");

        // A peer that shuts down, reads to the end and then closes loses nothing.
        let (client, server, sent) = call(false);
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.recv(&mut [0; 16]).unwrap(), 4);
        drop(server);
        let (received, end) = receive_one(&client);
        end.unwrap();
        assert_eq!(received, sent);
    }
}

#[test]
fn refused_datagram_fails_one_later_call_of_a_connected_socket() {
    for loopback in LOOPBACK.iter() {
        let (silent, nobody) = bound(Transport::Udp, loopback);
        drop(silent);
        let client = connected(Transport::Udp, &nobody);
        client.send(b"anybody?").unwrap();
        wait_readable(&client);
        assert_eq!(kind(client.send(b"anybody?")), ErrorKind::ConnectionRefused);
        client.send(b"anybody?").unwrap();
        wait_readable(&client);
        client.set_nonblocking(true).unwrap();
        assert_eq!(kind(client.recv(&mut [0; 8])), ErrorKind::ConnectionRefused);
        assert_eq!(kind(client.recv(&mut [0; 8])), ErrorKind::WouldBlock);

        let (other, name) = bound(Transport::Udp, loopback);
        other.send_to(b"anybody?", &nobody).unwrap();
        // A reply from here arrives later than a refusal would.
        other.send_to(b"myself", &name).unwrap();
        assert_eq!(read(&other), b"myself");
        assert!(other.take_error().unwrap().is_none());
    }
}

#[test]
fn trunc_flag_returns_the_full_length() {
    let (client, server) = Transport::UnixDatagram.pair().unwrap();
    for (flags, reported) in [(MessageFlags::TRUNC, 500), (MessageFlags::NONE, 10)] {
        client.send(&[7; 500]).unwrap();
        let mut buffer = [0; 10];
        let into = &mut [IoSliceMut::new(&mut buffer)];
        let message = server.recv_msg(into, ControlSpace::NONE, flags).unwrap();
        assert_eq!((message.len, message.full_len, message.is_truncated()), (10, reported, true));
    }
    client.send(&[7; 500]).unwrap();
    let peeked =
        server.recv_msg(&mut [], ControlSpace::NONE, MessageFlags::PEEK | MessageFlags::TRUNC).unwrap();
    assert_eq!(peeked.full_len, 500, "the length of the whole message");
    assert_eq!(read(&server).len(), 500);
}

#[test]
fn empty_unix_message_looks_like_the_end() {
    let (one, other) = Transport::UnixSeqpacket.pair().unwrap();
    let receive = || {
        other.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])], ControlSpace::TTL, MessageFlags::NONE).unwrap()
    };
    one.send(b"").unwrap();
    let empty = receive();
    drop(one);
    let end = receive();
    assert_eq!((empty.len, empty.from, empty.control.len()), (end.len, end.from, end.control.len()));
    assert!(!empty.flags.contains(MessageFlags::EOR) && !end.flags.contains(MessageFlags::EOR));
}

#[test]
fn empty_buffer_leaves_a_datagram_unless_the_source_is_requested() {
    for (transport, address) in [(Transport::Udp, &LOOPBACK[0]), (Transport::UnixDatagram, &UNNAMED)] {
        let (server, name) = bound(transport, address);
        let client = connected(transport, &name);
        client.send(b"first").unwrap();
        client.send(b"second").unwrap();
        wait_readable(&server);
        assert_eq!(server.recv(&mut []).unwrap(), 0);
        assert_eq!(server.recv_append(&mut Vec::new()).unwrap(), 0);
        assert_eq!(read(&server), b"first");
        wait_readable(&server);
        assert_eq!(server.recv_from(&mut []).unwrap(), (0, client.local_addr().unwrap()));
        server.set_nonblocking(true).unwrap();
        assert_eq!(kind(server.recv(&mut [0; 8])), ErrorKind::WouldBlock);
    }
}

/// Returns a port in TIME-WAIT, because its listener's side closed first.
fn leave_in_time_wait(reuse: bool) -> Address {
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.set_option(option::SO_REUSEADDR, reuse).unwrap();
    listener.listen().unwrap();
    let client = connected(Transport::Tcp, &name);
    let (server, _) = listener.accept().unwrap();
    drop(server);
    assert_eq!(read(&client), b"");
    name
}

#[test]
fn time_wait_port_is_reusable_if_both_sockets_allow_it() {
    for (old, new) in [(false, false), (false, true), (true, false), (true, true)] {
        let name = leave_in_time_wait(old);
        let again = Transport::Tcp.socket(&name).unwrap();
        again.set_option(option::SO_REUSEADDR, new).unwrap();
        let result = again.bind(&name);
        if old && new {
            result.unwrap();
            again.listen().unwrap();
        } else {
            assert_eq!(kind(result), ErrorKind::AddrInUse, "{old} {new}");
        }
    }
}

#[test]
fn server_restarts_while_an_old_connection_is_open() {
    let first = tcp_server(ServerOptions::default(), &LOOPBACK[0]);
    let name = first.local_addr().unwrap();
    let client = connected(Transport::Tcp, &name);
    let (living, _) = first.accept().unwrap();
    drop(first);
    let second = tcp_server(ServerOptions::default(), &name);
    let _another = connected(Transport::Tcp, &name);
    wait_readable(&second);
    living.send(b"still").unwrap();
    assert_eq!(read(&client), b"still");
}

#[test]
fn udp_address_is_stolen_only_with_reuseaddr() {
    let (victim, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let thief = Transport::Udp.socket(&name).unwrap();
    for socket in [&victim, &thief] {
        socket.set_option(option::SO_REUSEADDR, true).unwrap();
    }
    thief.bind(&name).unwrap();
    connected(Transport::Udp, &name).send(b"secret").unwrap();
    assert_eq!(read(&thief), b"secret");

    let ours = create_server((Transport::Udp, &LOOPBACK[0]), ServerOptions::default()).unwrap();
    assert!(!ours.option(option::SO_REUSEADDR).unwrap());
    let thief = Transport::Udp.socket(&name).unwrap();
    thief.set_option(option::SO_REUSEADDR, true).unwrap();
    assert_eq!(kind(thief.bind(ours.local_addr().unwrap())), ErrorKind::AddrInUse);
}

#[test]
fn unix_datagram_reply_needs_a_bound_and_open_sender() {
    let (server, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let nameless = Transport::UnixDatagram.socket(&name).unwrap();
    nameless.send_to(b"call", &name).unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(from, UNNAMED);
    assert!(server.send_to(b"answer", &from).is_err());

    nameless.bind(&UNNAMED).unwrap();
    let Address::Unix(UnixName::Abstract(digits)) = nameless.local_addr().unwrap() else { panic!() };
    assert!(digits.len() == 5 && digits.iter().all(u8::is_ascii_hexdigit), "{digits:?}");
    nameless.send_to(b"call", &name).unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
    server.send_to(b"answer", &from).unwrap();
    assert_eq!(read(&nameless), b"answer");
    drop(nameless);
    assert_eq!(kind(server.send_to(b"answer", &from)), ErrorKind::ConnectionRefused);
}

#[test]
fn unix_datagram_queue_is_limited_by_messages() {
    let (_full, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let client = Transport::UnixDatagram.socket(&name).unwrap();
    client.set_nonblocking(true).unwrap();
    let taken = (0..10_000).take_while(|_| client.send_to(b"x", &name).is_ok()).count();
    let limit = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen");
    let limit: usize = limit.map_or(10, |text| text.trim().parse().unwrap());
    assert_eq!(taken, limit + 1);
    assert_eq!(kind(client.send_to(b"x", &name)), ErrorKind::WouldBlock);
    client.set_timeout(Some(Duration::from_millis(20))).unwrap();
    client.connect(&name).unwrap();
    assert_eq!(kind(client.send(b"x")), ErrorKind::TimedOut);
}

#[test]
fn connection_queue_holds_the_backlog_plus_one() {
    let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
    listener.listen_with(1).unwrap();
    let call = || {
        let client = Transport::UnixStream.socket(&name).unwrap();
        client.set_nonblocking(true).unwrap();
        (errno_of(client.connect(&name)), client)
    };
    let calls = [call(), call(), call()];
    assert_eq!(calls.each_ref().map(|(errno, _)| *errno), [0, 0, libc::EAGAIN]);

    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen_with(2).unwrap();
    let clients: Vec<Socket> = (0..6)
        .map(|_| {
            let client = Transport::Tcp.socket(&name).unwrap();
            client.set_nonblocking(true).unwrap();
            assert!(Socket::is_in_progress(&client.connect(&name).unwrap_err()));
            client
        })
        .collect();
    let done = |client: &&Socket| {
        ready([(client.as_fd(), Interest::WRITE)], Some(Duration::ZERO)).unwrap()[0].can_write()
    };
    assert_eq!(clients.iter().filter(done).count(), 3);
    // The other clients retransmit, and no connection is lost.
    for _ in 0..6 {
        wait_readable(&listener);
        listener.accept_nonblocking().unwrap();
    }
}

fn errno_of(result: io::Result<()>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap(), |()| 0)
}

#[test]
fn connect_ex_returns_eagain_on_timeout_and_an_error_once() {
    // The queue is full, so the next client waits.
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen_with(0).unwrap();
    let _first = connected(Transport::Tcp, &name);
    let slow = Transport::Tcp.socket(&name).unwrap();
    slow.set_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(slow.connect_ex(&name).unwrap(), libc::EAGAIN);
    let slow = Transport::Tcp.socket(&name).unwrap();
    slow.set_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = slow.connect(&name).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::TimedOut, None));

    let (_silent, nobody) = bound(Transport::Tcp, &LOOPBACK[0]);
    for timeout in [None, Some(PATIENCE)] {
        let client = Transport::Tcp.socket(&nobody).unwrap();
        client.set_timeout(timeout).unwrap();
        assert_eq!(client.connect_ex(&nobody).unwrap(), libc::ECONNREFUSED);
        assert_eq!(client.option(option::SO_ERROR).unwrap(), 0);
    }
    let client = Transport::Tcp.socket(&nobody).unwrap();
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.connect_ex(&nobody).unwrap(), libc::EINPROGRESS);
    ready([(client.as_fd(), Interest::WRITE)], Some(PATIENCE)).unwrap();
    assert_eq!(client.option(option::SO_ERROR).unwrap(), libc::ECONNREFUSED);
    assert_eq!(client.option(option::SO_ERROR).unwrap(), 0);
}

#[test]
fn connect_to_a_full_unix_queue_restores_the_socket() {
    let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
    listener.listen_with(0).unwrap();
    let _first = connected(Transport::UnixStream, &name);
    let client = Transport::UnixStream.socket(&name).unwrap();
    client.set_option(option::SO_SNDTIMEO, Duration::from_secs(7)).unwrap();
    client.set_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(client.connect_ex(&name).unwrap(), libc::EAGAIN);
    assert_eq!(client.option(option::SO_SNDTIMEO).unwrap(), Duration::from_secs(7));
    assert_eq!(client.timeout(), Some(Duration::from_millis(20)));
    let again = Socket::from_fd(client.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!(again.timeout(), Some(Duration::ZERO), "it does not block");

    client.set_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| client.connect(&name));
        listener.accept().unwrap();
        connecting.join().unwrap().unwrap();
    });
    assert_eq!(client.option(option::SO_SNDTIMEO).unwrap(), Duration::from_secs(7));
}

#[test]
fn option_length_is_that_of_the_kernel() {
    let socket = Transport::Tcp.socket(&LOOPBACK[0]).unwrap();
    let info = socket.option_bytes(libc::IPPROTO_TCP, libc::TCP_INFO, 1024).unwrap();
    assert!((100..1024).contains(&info.len()), "{} bytes", info.len());
    assert_eq!(socket.option_bytes(libc::SOL_SOCKET, libc::SO_TYPE, 1).unwrap().len(), 1);
    for len_max in [0, (1 << 20) + 1] {
        assert_eq!(
            kind(socket.option_bytes(libc::IPPROTO_TCP, libc::TCP_INFO, len_max)),
            ErrorKind::InvalidInput
        );
    }
    let congestion = socket.option(option::TCP_CONGESTION).unwrap();
    socket.set_option(option::TCP_CONGESTION, congestion.clone()).unwrap();
    assert_eq!(socket.option(option::TCP_CONGESTION).unwrap(), congestion);
    // A null pointer with length 0 removes the interface; with length 4 the kernel cannot read the
    // value.
    socket.set_option(option::SO_BINDTODEVICE, "lo".into()).unwrap();
    assert_eq!(socket.option(option::SO_BINDTODEVICE).unwrap(), "lo");
    if let Err(error) = socket.clear_option(libc::SOL_SOCKET, libc::SO_BINDTODEVICE, 0) {
        return skip("bindtodevice", error);
    }
    assert_eq!(socket.option(option::SO_BINDTODEVICE).unwrap(), "");
    assert_eq!(errno(socket.clear_option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 4)), Some(libc::EFAULT));
    assert_eq!(errno(socket.clear_option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0)), Some(libc::EINVAL));
}

#[test]
fn truncated_names_are_refused() {
    let socket = Transport::Tcp.socket(&LOOPBACK[0]).unwrap();
    let congestion = socket.option(option::TCP_CONGESTION).unwrap();
    for name in [format!("{congestion}\0"), format!("{congestion}\0or another"), "l".repeat(16)] {
        assert_eq!(errno(socket.set_option(option::TCP_CONGESTION, name)), Some(libc::EINVAL));
    }
    for name in ["lo\0", "lo\0or another", "lo-and-behold-it-is-cut"] {
        assert_eq!(errno(socket.set_option(option::SO_BINDTODEVICE, name.into())), Some(libc::EINVAL));
    }
    assert_eq!(socket.option(option::SO_BINDTODEVICE).unwrap(), "");
    assert_eq!(socket.option(option::TCP_CONGESTION).unwrap(), congestion);
    let too_long = echosounder_socket::internal::kernel::interface_timestamping("l".repeat(16));
    assert_eq!(errno(too_long), Some(libc::ENODEV));
}

/// Some sockets are ready according to poll(2) although the operation would block.
#[test]
fn wait_ends_in_time_on_an_always_ready_socket() {
    let soon = Some(Duration::from_millis(50));
    let (reader, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let writer = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
    writer.set_timeout(soon).unwrap();
    let full = loop {
        if let Err(error) = writer.send_to(b"and more", &name) {
            break error;
        }
    };
    assert_eq!((full.kind(), full.raw_os_error()), (ErrorKind::TimedOut, None));
    // The send continues as soon as the peer reads.
    reader.recv(&mut [0; 16]).unwrap();
    assert_eq!(writer.send_to(b"and more", &name).unwrap(), 8);

    // A queued error makes a socket readable.
    let udp = Transport::Udp.socket(&LOOPBACK[0]).unwrap();
    udp.bind(&LOOPBACK[0]).unwrap();
    udp.set_option(option::IP_RECVERR, true).unwrap();
    let (gone, nobody) = bound(Transport::Udp, &LOOPBACK[0]);
    drop(gone);
    udp.send_to(b"anybody?", &nobody).unwrap();
    let [state] = ready([(udp.as_fd(), Interest::READ)], Some(PATIENCE)).unwrap();
    assert!(state.can_read());
    udp.set_timeout(soon).unwrap();
    assert_eq!(errno(udp.recv(&mut [0; 16])), Some(111), "the error itself, once");
    assert_eq!(kind(udp.recv(&mut [0; 16])), ErrorKind::TimedOut);
}

/// A service manager passes listeners (sd_listen_fds(3)) and keeps its own descriptors of them.
#[test]
fn inherited_listener_is_recognised_and_outlives_its_creator() {
    let listener = tcp_server(ServerOptions::default(), &LOOPBACK[0]);
    let handed = Socket::from_fd(listener.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!((handed.family().unwrap(), handed.socket_type().unwrap()), (Family::INET, Type::STREAM));
    assert!(handed.option(option::SO_ACCEPTCONN).unwrap());
    // The blocking mode belongs to the socket, so both descriptors share it.
    handed.set_nonblocking(true).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    drop(handed);
    let client = connected(Transport::Tcp, &listener.local_addr().unwrap());
    wait_readable(&listener);
    assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    // A descriptor that is not a socket is refused.
    let (pipe, _) = pipe();
    assert_eq!(Socket::from_fd(pipe.into()).unwrap_err().source.raw_os_error(), Some(88));
}
