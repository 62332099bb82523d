//! Datagrams over the kernel: which are answered, and that no two servers talk for ever.

use std::fs;
use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixDatagram;

use echosounder_proto::{DropReason, Framing, LocalTime, Responder, StampContext, Template};
use echosounder_server::{Config, Server};
use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{
    Endpoint, Interest, Kind, MessageFlags, Name, SendControl, Socket, Transport, effective_user_id, option,
    ready,
};

use crate::harness::TestDatagramWorker;
use crate::{
    CTIME, Client, Folder, PATIENCE, config, dropped, everywhere, optional, skip, start, stop, unique,
};

/// The endpoints at which there are datagrams.
fn ports(folder: &Folder) -> Vec<String> {
    let mut endpoints = everywhere(folder);
    endpoints.retain(|at| at.parse::<Endpoint>().unwrap().transport().kind() == Kind::Datagrams);
    endpoints
}

/// What a server with this stamp answers to `call`.
fn answer(stamp: &str, call: &[u8]) -> Vec<u8> {
    let stamp: Template = stamp.parse().unwrap();
    let responder = Responder { stamp, framing: Framing::Message };
    let (mut message, mut head) = (call.to_vec(), Vec::new());
    responder.answer_datagram(&mut message, &mut StampContext::anonymous(&LocalTime::EXAMPLE), &mut head);
    [head, message].concat()
}

#[test]
fn an_empty_datagram_is_answered() {
    let folder = Folder::new();
    // TIPC throws empty messages away, netlink refuses to send them.
    let carries = |name: &String| !name.starts_with("tipc") && !name.starts_with("netlink");
    for name in ports(&folder).into_iter().filter(carries) {
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
fn an_answer_is_dropped_and_counted() {
    let folder = Folder::new();
    for name in ports(&folder) {
        for stamp in ["ctime", "none"] {
            let (running, endpoints) = start(Config { stamp: stamp.parse().unwrap(), ..config(&[&name]) });
            let client = Client::of(&endpoints[0]);
            for theirs in ["ctime", "rfc3339", "unix", "ns", "[{unix}] {peer}: "] {
                client.send(&answer(theirs, b"hello"));
                client.send(&answer(theirs, b""));
            }
            // Whatever is answered is answered in order: nothing came of the ten.
            client.send(b"a call");
            assert!(client.recv().ends_with(b"a call"));
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
fn an_answer_too_long_to_leave_is_counted() {
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
fn a_datagram_to_everybody_is_counted() {
    let (running, endpoints) = start(config(&["udp://0.0.0.0:0"]));
    let Name::Inet(_, port) = *endpoints[0].name() else { panic!("{endpoints:?}") };
    let everybody = UdpSocket::bind("127.0.0.1:0").unwrap();
    everybody.set_broadcast(true).unwrap();
    everybody.send_to(b"hello", ("127.255.255.255", port)).unwrap();
    Client::of(&format!("udp://127.0.0.1:{port}").parse().unwrap()).echo(b"hello");
    let totals = stop(running);
    assert_eq!((totals.messages, dropped(&totals, DropReason::Group), totals.dropped()), (1, 1, 1));
}

#[test]
fn what_the_kernel_had_no_room_for_is_counted() {
    const CALLS: u64 = 400;
    let server = Server::bind(config(&["udp://127.0.0.1:0"])).unwrap();
    let endpoint = server.endpoints().next().unwrap().clone();
    let client = Client::of(&endpoint);
    // Nobody reads yet, and this is more than the receive buffer that the server asks for.
    (0..CALLS).for_each(|_| client.send(&[b'x'; 60_000]));
    let totals = stop(server.start(|| ()).unwrap());
    let lost = dropped(&totals, DropReason::Overflow);
    assert!(0 < lost && lost < CALLS);
    assert_eq!((totals.messages + lost, totals.dropped()), (CALLS, lost));
}

/// More than any turn takes.
#[test]
fn a_stop_answers_all_datagrams_that_had_arrived() {
    const CALLS: u64 = 3000;
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    let server = Socket::from_fd(OwnedFd::from(server)).unwrap();
    server.set_option(option::SO_RCVBUF, 8 << 20).unwrap();
    (0..CALLS).for_each(|_| assert_eq!(client.send(b"hello").unwrap(), 5));
    let totals = TestDatagramWorker::new("ctime", server).stop();
    assert_eq!(totals.messages + dropped(&totals, DropReason::Overflow), CALLS);
}

#[test]
fn a_full_batch_is_answered_in_order() {
    let (running, endpoints) = start(config(&["udp://127.0.0.1:0"]));
    let client = Client::of(&endpoints[0]);
    // More than one batch, less than a receive buffer.
    (0..100).for_each(|number| client.send(format!("call {number}").as_bytes()));
    (0..100).for_each(|number| assert_eq!(client.recv()[CTIME..], *format!("call {number}").as_bytes()));
    assert_eq!(stop(running).messages, 100);
}

/// Somebody in the middle hands each server's answers to the other, as a forged source would.
#[test]
fn two_servers_do_not_answer_each_other() {
    let folder = Folder::new();
    for name in ports(&folder) {
        // A second path for the second server; elsewhere every name is new.
        let other = name.replace("/unix-dgram", "/other").replace('@', "@other-").replace('?', "9?");
        for stamps in [["ns", "ctime"], ["ctime", "ns"], ["none", "unix"], ["rfc3339", "none"]] {
            let servers = [(&name, stamps[0]), (&other, stamps[1])];
            let servers = servers.map(|(at, stamp)| {
                let (running, endpoints) = start(Config { stamp: stamp.parse().unwrap(), ..config(&[at]) });
                (running, Client::of(&endpoints[0]))
            });
            let mut on_its_way = b"spoofed".to_vec();
            let mut answers = [0, 0];
            for turn in [0, 1, 0, 1] {
                let middle = &servers[turn].1;
                middle.send(&on_its_way);
                // Answers come in order: if this one is first, there was none to the other.
                middle.send(b"a call");
                on_its_way = middle.recv();
                if on_its_way.ends_with(b"a call") {
                    break;
                }
                assert!(middle.recv().ends_with(b"a call"));
                answers[turn] += 1;
            }
            let dropped = servers.map(|(running, _)| dropped(&stop(running), DropReason::Stamped));
            assert!(answers[0] == 1 && answers[1] <= 1, "{name} {stamps:?} {answers:?}");
            assert_eq!(dropped.iter().sum::<u64>(), 1);
        }
    }
}

/// A server at a path, turned by hand.
fn table_at(folder: &Folder, stamp: &str, name: &str) -> TestDatagramWorker {
    let socket = UnixDatagram::bind(folder.path().join(name)).unwrap();
    TestDatagramWorker::new(stamp, Socket::from_fd(OwnedFd::from(socket)).unwrap())
}

/// A datagram's sender can exchange its path for a link to somebody else while its call is on the way.
#[test]
fn a_swapped_return_address_gets_no_answer() {
    let folder = Folder::new();
    let mut server = table_at(&folder, "ns", "server");
    let victim = UnixDatagram::bind(folder.path().join("victim")).unwrap();
    victim.set_nonblocking(true).unwrap();
    let caller = UnixDatagram::bind(folder.path().join("caller")).unwrap();
    caller.send_to(b"hello", folder.path().join("server")).unwrap();
    fs::remove_file(folder.path().join("caller")).unwrap();
    symlink(folder.path().join("victim"), folder.path().join("caller")).unwrap();
    server.turn();
    assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (0, 1));
    assert_eq!(victim.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Another socket can be moved to the path as well as a link; then it must be of the same user.
#[test]
fn a_return_address_that_is_another_users_gets_no_answer() {
    if effective_user_id() != 0 {
        return skip("sockets of another user", "only root can make them");
    }
    let folder = Folder::new();
    let mut server = table_at(&folder, "ns", "server");
    let victim = UnixDatagram::bind(folder.path().join("victim")).unwrap();
    victim.set_nonblocking(true).unwrap();
    chown(folder.path().join("victim"), Some(65_534), None).unwrap();
    let caller = UnixDatagram::bind(folder.path().join("caller")).unwrap();
    caller.send_to(b"hello", folder.path().join("server")).unwrap();
    fs::rename(folder.path().join("victim"), folder.path().join("caller")).unwrap();
    server.turn();
    assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (0, 1));
    assert_eq!(victim.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// A socket that was answered is reply_cache for the next time, and must not be taken for what is at its path by then.
#[test]
fn a_return_address_that_is_swapped_after_an_answer_gets_none() {
    let folder = Folder::new();
    let mut server = table_at(&folder, "ns", "server");
    let caller = UnixDatagram::bind(folder.path().join("caller")).unwrap();
    caller.set_nonblocking(true).unwrap();
    let ask = || {
        caller.send_to(b"hello", folder.path().join("server")).unwrap();
    };
    ask();
    server.turn();
    caller.recv(&mut [0; 64]).unwrap();

    let victim = UnixDatagram::bind(folder.path().join("victim")).unwrap();
    victim.set_nonblocking(true).unwrap();
    ask();
    fs::rename(folder.path().join("caller"), folder.path().join("aside")).unwrap();
    symlink(folder.path().join("victim"), folder.path().join("caller")).unwrap();
    server.turn();
    assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (1, 1));

    if effective_user_id() == 0 {
        ask();
        chown(folder.path().join("victim"), Some(65_534), None).unwrap();
        fs::rename(folder.path().join("victim"), folder.path().join("caller")).unwrap();
        server.turn();
        assert_eq!((server.totals().messages, dropped(&server.totals(), DropReason::Forged)), (1, 2));
    } else {
        skip("sockets of another user", "only root can make them");
    }
    assert_eq!(victim.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

    // Back at its path, it is answered again.
    ask();
    fs::rename(folder.path().join("aside"), folder.path().join("caller")).unwrap();
    server.turn();
    assert_eq!(server.totals().messages, 2);
    caller.recv(&mut [0; 64]).unwrap();
}

#[test]
fn whoever_binds_a_path_again_is_answered() {
    let folder = Folder::new();
    let mut server = table_at(&folder, "ns", "server");
    let mut earlier = Vec::new();
    for stays_open in [true, false, true, false] {
        let caller = UnixDatagram::bind(folder.path().join("caller")).unwrap();
        caller.set_nonblocking(true).unwrap();
        for _ in 0..2 {
            caller.send_to(b"hello", folder.path().join("server")).unwrap();
            server.turn();
            caller.recv(&mut [0; 64]).unwrap();
        }
        fs::remove_file(folder.path().join("caller")).unwrap();
        earlier.extend(stays_open.then_some(caller));
    }
    assert_eq!((server.totals().messages, server.totals().dropped()), (8, 0));
    for caller in earlier {
        assert_eq!(caller.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

/// Within one user the kernel cannot tell; the stamp ends it.
#[test]
fn two_servers_of_one_user_start_no_loop_by_a_swapped_path() {
    let folder = Folder::new();
    let (mut one, mut two) = (table_at(&folder, "ns", "one"), table_at(&folder, "ctime", "two"));
    let caller = UnixDatagram::bind(folder.path().join("caller")).unwrap();
    caller.send_to(b"hello", folder.path().join("one")).unwrap();
    fs::rename(folder.path().join("two"), folder.path().join("caller")).unwrap();
    for _ in 0..10 {
        one.turn();
        two.turn();
    }
    assert_eq!((one.totals().messages, one.totals().dropped()), (1, 0));
    assert_eq!((two.totals().messages, dropped(&two.totals(), DropReason::Stamped)), (0, 1));
}

#[test]
fn descriptors_that_come_with_a_datagram_are_closed() {
    let folder = Folder::new();
    let mut server = table_at(&folder, "ctime", "server");
    let caller = Transport::UnixDatagram.socket(&UnixName::Unnamed.into()).unwrap();
    caller.bind(&UnixName::Unnamed.into()).unwrap();
    let (kept, given) = io::pipe().unwrap();
    let to = UnixName::Path(folder.path().join("server").as_os_str().as_bytes().into()).into();
    let fds = [given.as_fd(), given.as_fd()];
    caller
        .send_msg(&[IoSlice::new(b"hello")], &[SendControl::Rights(&fds)], Some(&to), MessageFlags::NONE)
        .unwrap();
    drop(given);
    server.turn();
    assert_eq!(server.totals().messages, 1);
    // The pipe ends when nobody can write to it any more.
    let [state] = ready([(kept.as_fd(), Interest::Read)], Some(PATIENCE)).unwrap();
    assert!(state.readable, "somebody still holds the other end");
}

#[test]
fn the_kernel_and_groups_get_no_answer_over_netlink() {
    if !optional().contains(&"netlink") {
        return;
    }
    let (running, endpoints) = start(config(&["netlink://0"]));
    let client = Client::of(&endpoints[0]);
    client.echo(b"hello");
    let Name::Netlink(server) = endpoints[0].name() else { panic!("{endpoints:?}") };
    // To a group and at the same time to the server. NETLINK_USERSOCK allows it to every user: NL_CFG_F_NONROOT_SEND
    // in net/netlink/af_netlink.c.
    let to = NetlinkAddress { groups: 1, ..*server };
    let group = Transport::Netlink.socket(&to.into()).unwrap();
    group.send_to(b"to all", &to.into()).unwrap();
    client.echo(b"there?");
    let totals = stop(running);
    // A socket that has not joined a group receives only what is sent to itself, and that says so no more.
    assert_eq!(totals.messages + dropped(&totals, DropReason::Group), 3);
}

#[test]
fn readers_who_are_gone_or_full_do_not_hold_up_the_others() {
    let folder = Folder::new();
    let server = Server::bind(config(&[&folder.endpoint("unix-dgram", "s")])).unwrap();
    let gone = UnixDatagram::bind(folder.path().join("gone")).unwrap();
    gone.send_to(b"farewell", folder.path().join("s")).unwrap();
    drop(gone);
    let endpoint = server.endpoints().next().unwrap().clone();
    let running = server.start(|| ()).unwrap();
    let deaf = UnixDatagram::bind(folder.path().join("deaf")).unwrap();
    for _ in 0..1000 {
        deaf.send_to(b"I do not listen", folder.path().join("s")).unwrap();
    }
    Client::of(&endpoint).echo(b"hello");
    let totals = stop(running);
    let unsent = dropped(&totals, DropReason::Unsent);
    assert_eq!((totals.messages + unsent, totals.errors), (1002, 0));
    assert!(2 < unsent && 0 < totals.messages);
}
