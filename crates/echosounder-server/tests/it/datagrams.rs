//! Datagrams over the kernel: which have replies, and that two servers never reply to each other.

use std::fs;
use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixDatagram;

use echosounder_proto::{DropReason, Framing, LocalTime, Responder, StampContext, Template};
use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::effective_user_id;
use echosounder_socket::{
    Endpoint, Interest, Kind, MessageFlags, Name, SendControl, Socket, Transport, option, ready,
};
use echosounder_testkit::flush_loopback;

use crate::harness::TestDatagramWorker;
use crate::{
    CTIME, Client, Folder, PATIENCE, all_endpoints, config, dropped, optional_families, skip, start, stop,
    unique,
};

/// Returns endpoints of every transport with datagrams.
fn endpoints_of_datagrams(folder: &Folder) -> Vec<String> {
    let mut endpoints = all_endpoints(folder);
    endpoints.retain(|at| at.parse::<Endpoint>().unwrap().transport().kind() == Kind::Datagrams);
    endpoints
}

/// What a server with this stamp replies to `request`.
fn reply(stamp: &str, request: &[u8]) -> Vec<u8> {
    let stamp: Template = stamp.parse().unwrap();
    let responder = Responder { stamp, framing: Framing::Message };
    let (mut message, mut head) = (request.to_vec(), Vec::new());
    responder.respond_to_datagram(&mut message, &mut StampContext::anonymous(&LocalTime::EXAMPLE), &mut head);
    [head, message].concat()
}

#[test]
fn an_empty_datagram_has_a_reply() {
    let folder = Folder::new();
    // TIPC discards empty messages, netlink refuses to send them.
    let carries = |name: &String| !name.starts_with("tipc") && !name.starts_with("netlink");
    for name in endpoints_of_datagrams(&folder).into_iter().filter(carries) {
        let (running, endpoints) = start(config(&[&name]));
        let client = Client::of(&endpoints[0]);
        for _ in 0..5 {
            client.echo(b"");
            client.echo(b"hello");
        }
        let totals = stop(running);
        assert_eq!((totals.messages, totals.bytes, totals.dropped()), (10, 25, 0), "{name}");
    }
}

#[test]
fn a_reply_of_a_server_is_dropped_and_counted() {
    let folder = Folder::new();
    for name in endpoints_of_datagrams(&folder) {
        for stamp in ["ctime", "none"] {
            let (running, endpoints) =
                start(config(&[&name]).with(|config| config.stamp = stamp.parse().unwrap()));
            let client = Client::of(&endpoints[0]);
            for theirs in ["ctime", "rfc3339", "unix", "ns", "[{unix}] {peer}: "] {
                client.send(&reply(theirs, b"hello"));
                client.send(&reply(theirs, b""));
            }
            // Replies are in the order of the requests, so the ten messages had none.
            client.send(b"a request");
            assert!(client.recv().ends_with(b"a request"));
            let totals = stop(running);
            assert_eq!(
                (totals.messages, dropped(&totals, DropReason::Stamped), totals.dropped()),
                (1, 10, 10)
            );
        }
    }
}

#[test]
fn a_sender_without_a_name_is_dropped_and_counted() {
    let folder = Folder::new();
    let (running, endpoints) = start(config(&[&folder.endpoint("unix-dgram", "s")]));
    UnixDatagram::unbound().unwrap().send_to(b"hello", folder.path().join("s")).unwrap();
    Client::of(&endpoints[0]).echo(b"hello");
    let totals = stop(running);
    assert_eq!((totals.messages, dropped(&totals, DropReason::Nameless)), (1, 1));
}

#[test]
fn a_reply_that_is_too_long_to_send_is_counted() {
    let (running, endpoints) = start(config(&["udp://127.0.0.1:0"]));
    let client = Client::of(&endpoints[0]);
    let longest = vec![b'x'; 65_507];
    client.send(&longest);
    client.echo(&longest[CTIME..]);
    client.echo(b"hello");
    let totals = stop(running);
    assert_eq!((dropped(&totals, DropReason::Unsent), totals.dropped(), totals.errors), (1, 1, 0));
}

#[test]
fn a_datagram_longer_than_the_buffer_is_counted() {
    let (running, endpoints) = start(config(&[&format!("unix-dgram:@{}", unique())]));
    let client = Client::of(&endpoints[0]);
    client.socket.set_option(option::SO_SNDBUF, 400_000).unwrap();
    client.send(&[b'x'; 256 * 1024 + 1]);
    client.echo(b"hello");
    let totals = stop(running);
    assert_eq!((totals.messages, dropped(&totals, DropReason::Truncated), totals.dropped()), (1, 1, 1));
}

#[test]
fn a_broadcast_datagram_is_counted() {
    let (running, endpoints) = start(config(&["udp://0.0.0.0:0"]));
    let Name::Inet(_, port) = *endpoints[0].name() else { panic!("{endpoints:?}") };
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.set_broadcast(true).unwrap();
    sender.send_to(b"hello", ("127.255.255.255", port)).unwrap();
    Client::of(&format!("udp://127.0.0.1:{port}").parse().unwrap()).echo(b"hello");
    let totals = stop(running);
    assert_eq!((totals.messages, dropped(&totals, DropReason::Group), totals.dropped()), (1, 1, 1));
}

#[test]
fn datagrams_that_the_kernel_dropped_are_counted() {
    const REQUESTS: u64 = 400;
    let server = config(&["udp://127.0.0.1:0"]).bind().unwrap();
    let endpoint = server.endpoints().next().unwrap().clone();
    let client = Client::of(&endpoint);
    // The server does not read yet, and this is more than the receive buffer that it requests.
    (0..REQUESTS).for_each(|_| client.send(&[b'x'; 60_000]));
    flush_loopback();
    let totals = stop(server.start().unwrap());
    let lost = dropped(&totals, DropReason::Overflow);
    assert!(0 < lost && lost < REQUESTS);
    assert_eq!((totals.messages + lost, totals.dropped()), (REQUESTS, lost));
}

#[test]
fn a_stop_replies_to_all_datagrams_that_had_arrived() {
    // More than one turn takes.
    const REQUESTS: u64 = 3000;
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    let server = Socket::from_fd(OwnedFd::from(server)).unwrap();
    server.set_option(option::SO_RCVBUF, 8 << 20).unwrap();
    for number in 1..=REQUESTS {
        assert_eq!(client.send(b"hello").unwrap(), 5);
        // The queue of the loopback interface holds 1000 packets: net.core.netdev_max_backlog.
        if number % 500 == 0 {
            flush_loopback();
        }
    }
    let totals = TestDatagramWorker::new("ctime", server).stop();
    assert_eq!(totals.messages + dropped(&totals, DropReason::Overflow), REQUESTS);
}

#[test]
fn the_replies_of_a_full_batch_are_in_order() {
    let (running, endpoints) = start(config(&["udp://127.0.0.1:0"]));
    let client = Client::of(&endpoints[0]);
    // More than one batch, less than a receive buffer.
    (0..100).for_each(|number| client.send(format!("request {number}").as_bytes()));
    (0..100).for_each(|number| assert_eq!(client.recv()[CTIME..], *format!("request {number}").as_bytes()));
    assert_eq!(stop(running).messages, 100);
}

/// A forwarder passes each server's replies to the other, as forged source addresses would.
#[test]
fn two_servers_do_not_reply_to_each_other() {
    let folder = Folder::new();
    for name in endpoints_of_datagrams(&folder) {
        // The second server needs another name where the kernel does not choose it.
        let other = name.replace("/unix-dgram", "/other").replace('@', "@other-").replace('?', "9?");
        for stamps in [["ns", "ctime"], ["ctime", "ns"], ["none", "unix"], ["rfc3339", "none"]] {
            let servers = [(&name, stamps[0]), (&other, stamps[1])];
            let servers = servers.map(|(at, stamp)| {
                let (running, endpoints) =
                    start(config(&[at]).with(|config| config.stamp = stamp.parse().unwrap()));
                (running, Client::of(&endpoints[0]))
            });
            let mut message = b"spoofed".to_vec();
            let mut replies = [0, 0];
            for turn in [0, 1, 0, 1] {
                let forwarder = &servers[turn].1;
                forwarder.send(&message);
                // Replies are in order: if this one is first, the message before had none.
                forwarder.send(b"a request");
                message = forwarder.recv();
                if message.ends_with(b"a request") {
                    break;
                }
                assert!(forwarder.recv().ends_with(b"a request"));
                replies[turn] += 1;
            }
            let dropped = servers.map(|(running, _)| dropped(&stop(running), DropReason::Stamped));
            assert!(replies[0] == 1 && replies[1] <= 1, "{name} {stamps:?} {replies:?}");
            assert_eq!(dropped.iter().sum::<u64>(), 1);
        }
    }
}

/// Returns a worker whose socket is bound to a path in the folder.
fn worker_at(folder: &Folder, stamp: &str, name: &str) -> TestDatagramWorker {
    let socket = UnixDatagram::bind(folder.path().join(name)).unwrap();
    TestDatagramWorker::new(stamp, Socket::from_fd(OwnedFd::from(socket)).unwrap())
}

/// A client can replace its path by a link to another socket while its request is on the way.
#[test]
fn a_path_that_became_a_link_gets_no_reply() {
    let folder = Folder::new();
    let mut server = worker_at(&folder, "ns", "server");
    let victim = UnixDatagram::bind(folder.path().join("victim")).unwrap();
    victim.set_nonblocking(true).unwrap();
    let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
    client.send_to(b"hello", folder.path().join("server")).unwrap();
    fs::remove_file(folder.path().join("client")).unwrap();
    symlink(folder.path().join("victim"), folder.path().join("client")).unwrap();
    server.turn();
    assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (0, 1));
    assert_eq!(victim.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Another socket can be moved to the path. The reply is then sent only if it belongs to the same
/// user.
#[test]
fn a_path_with_a_socket_of_another_user_gets_no_reply() {
    if effective_user_id() != 0 {
        return skip("sockets of another user", "only root can make them");
    }
    let folder = Folder::new();
    let mut server = worker_at(&folder, "ns", "server");
    let victim = UnixDatagram::bind(folder.path().join("victim")).unwrap();
    victim.set_nonblocking(true).unwrap();
    chown(folder.path().join("victim"), Some(65_534), None).unwrap();
    let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
    client.send_to(b"hello", folder.path().join("server")).unwrap();
    fs::rename(folder.path().join("victim"), folder.path().join("client")).unwrap();
    server.turn();
    assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (0, 1));
    assert_eq!(victim.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// The reply cache must not be used for another socket that has taken the path since.
#[test]
fn a_path_that_changes_after_a_reply_gets_no_further_reply() {
    let folder = Folder::new();
    let mut server = worker_at(&folder, "ns", "server");
    let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
    client.set_nonblocking(true).unwrap();
    let send = || {
        client.send_to(b"hello", folder.path().join("server")).unwrap();
    };
    send();
    server.turn();
    client.recv(&mut [0; 64]).unwrap();

    let victim = UnixDatagram::bind(folder.path().join("victim")).unwrap();
    victim.set_nonblocking(true).unwrap();
    send();
    fs::rename(folder.path().join("client"), folder.path().join("aside")).unwrap();
    symlink(folder.path().join("victim"), folder.path().join("client")).unwrap();
    server.turn();
    assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (1, 1));

    if effective_user_id() == 0 {
        send();
        chown(folder.path().join("victim"), Some(65_534), None).unwrap();
        fs::rename(folder.path().join("victim"), folder.path().join("client")).unwrap();
        server.turn();
        assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (1, 2));
    } else {
        skip("sockets of another user", "only root can make them");
    }
    assert_eq!(victim.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

    // When the client's socket is back at its path, it gets replies again.
    send();
    fs::rename(folder.path().join("aside"), folder.path().join("client")).unwrap();
    server.turn();
    assert_eq!(server.totals().messages, 2);
    client.recv(&mut [0; 64]).unwrap();
}

#[test]
fn a_client_that_binds_its_path_again_gets_replies() {
    let folder = Folder::new();
    let mut server = worker_at(&folder, "ns", "server");
    let mut earlier = Vec::new();
    for stays_open in [true, false, true, false] {
        let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
        client.set_nonblocking(true).unwrap();
        for _ in 0..2 {
            client.send_to(b"hello", folder.path().join("server")).unwrap();
            server.turn();
            client.recv(&mut [0; 64]).unwrap();
        }
        fs::remove_file(folder.path().join("client")).unwrap();
        earlier.extend(stays_open.then_some(client));
    }
    assert_eq!((server.totals().messages, server.totals().dropped()), (8, 0));
    for client in earlier {
        assert_eq!(client.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

/// The kernel cannot distinguish sockets of one user. The timestamp in the reply ends the exchange.
#[test]
fn two_servers_of_one_user_do_not_loop_over_a_swapped_path() {
    let folder = Folder::new();
    let (mut one, mut two) = (worker_at(&folder, "ns", "one"), worker_at(&folder, "ctime", "two"));
    let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
    client.send_to(b"hello", folder.path().join("one")).unwrap();
    fs::rename(folder.path().join("two"), folder.path().join("client")).unwrap();
    for _ in 0..10 {
        one.turn();
        two.turn();
    }
    assert_eq!((one.totals().messages, one.totals().dropped()), (1, 0));
    assert_eq!((two.totals().messages, dropped(&two.totals(), DropReason::Stamped)), (0, 1));
}

#[test]
fn descriptors_passed_with_a_datagram_are_closed() {
    let folder = Folder::new();
    let mut server = worker_at(&folder, "ctime", "server");
    let client = Transport::UnixDatagram.socket(&UnixName::Unnamed.into()).unwrap();
    client.bind(UnixName::Unnamed).unwrap();
    let (reader, passed) = io::pipe().unwrap();
    let to = UnixName::Path(folder.path().join("server").as_os_str().as_bytes().into()).into();
    let fds = [passed.as_fd(), passed.as_fd()];
    client
        .send_msg(&[IoSlice::new(b"hello")], &[SendControl::Rights(&fds)], Some(&to), MessageFlags::NONE)
        .unwrap();
    drop(passed);
    server.turn();
    assert_eq!(server.totals().messages, 1);
    // The pipe ends when all copies of its write end are closed.
    let [state] = ready([(reader.as_fd(), Interest::READ)], Some(PATIENCE)).unwrap();
    assert!(state.can_read(), "the worker holds the write end");
}

#[test]
fn the_kernel_and_groups_get_no_reply_over_netlink() {
    if !optional_families().contains(&"netlink") {
        return;
    }
    let (running, endpoints) = start(config(&["netlink://0"]));
    let client = Client::of(&endpoints[0]);
    client.echo(b"hello");
    let Name::Netlink(server) = endpoints[0].name() else { panic!("{endpoints:?}") };
    // The destination is a group and the server at once. NETLINK_USERSOCK allows this to every
    // user: NL_CFG_F_NONROOT_SEND in net/netlink/af_netlink.c.
    let to = NetlinkAddress { groups: 1, ..*server };
    let group = Transport::Netlink.socket(&to.into()).unwrap();
    group.send_to(b"to all", to).unwrap();
    client.echo(b"there?");
    let totals = stop(running);
    // A socket that has not joined the group receives only the copy that is addressed to itself,
    // which does not show the group.
    assert_eq!(totals.messages + dropped(&totals, DropReason::Group), 3);
}

#[test]
fn closed_and_stalled_clients_do_not_delay_the_others() {
    let folder = Folder::new();
    let server = config(&[&folder.endpoint("unix-dgram", "s")]).bind().unwrap();
    let gone = UnixDatagram::bind(folder.path().join("gone")).unwrap();
    gone.send_to(b"farewell", folder.path().join("s")).unwrap();
    drop(gone);
    let endpoint = server.endpoints().next().unwrap().clone();
    let running = server.start().unwrap();
    let stalled = UnixDatagram::bind(folder.path().join("stalled")).unwrap();
    for _ in 0..1000 {
        stalled.send_to(b"no receive follows", folder.path().join("s")).unwrap();
    }
    Client::of(&endpoint).echo(b"hello");
    let totals = stop(running);
    let unsent = dropped(&totals, DropReason::Unsent);
    assert_eq!((totals.messages + unsent, totals.errors), (1002, 0));
    assert!(2 < unsent && 0 < totals.messages);
}
