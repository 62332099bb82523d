use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;

use echosounder_socket::option;
use echosounder_socket::{
    Address, Batch, ControlMessage, ControlSpace, Family, Kind, MessageFlags, PacketInfo, Socket, Transport,
};

use crate::{
    LOOPBACK, PATIENCE, UNNAMED, bound, connected, everywhere, link_local, read, skip, wait_readable,
};

/// Sends the queued replies, and fails if the send of any reply fails.
fn send(batch: &mut Batch, socket: &Socket) {
    batch
        .send(socket, on_hosts(socket), |index, error| panic!("the reply to {index} did not leave: {error}"));
}

/// Sends the queued replies and returns those that failed.
fn send_all_but(batch: &mut Batch, socket: &Socket) -> Vec<(usize, ErrorKind)> {
    let mut failed = Vec::new();
    batch.send(socket, on_hosts(socket), |index, error| failed.push((index, error.kind())));
    failed
}

/// Receives the queued datagrams, at least one.
fn receive(batch: &mut Batch, socket: &Socket) -> usize {
    socket.recv_many(batch).unwrap()
}

/// Returns a UNIX server and clients. A datagram between them is in the queue as soon as it is
/// sent.
fn unix_server<const N: usize>() -> (Socket, Address, [Socket; N]) {
    let (server, name) = bound(Transport::UnixDatagram, &UNNAMED);
    server.set_nonblocking(true).unwrap();
    let clients = std::array::from_fn(|_| connected(Transport::UnixDatagram, &name));
    (server, name, clients)
}

#[test]
fn replies_go_to_their_senders() {
    for (transport, address) in everywhere(Kind::Datagrams) {
        let (server, name) = bound(transport, &address);
        let clients = [(); 3].map(|()| connected(transport, &name));
        let call = |number: u8| vec![number; usize::from(number) * 20];
        for number in 0..9 {
            clients[usize::from(number) % 3].send(&call(number)).unwrap();
        }
        let mut batch = Batch::new(4, 200);
        let mut number = 0;
        while number < 9 {
            for index in 0..receive(&mut batch, &server) {
                assert_eq!(batch.sender(index), clients[usize::from(number) % 3].local_addr().unwrap());
                assert_eq!(batch.bytes(index), call(number));
                assert!(!batch.metadata(index).truncated);
                assert_eq!(
                    (batch.metadata(index).packet_info, batch.metadata(index).overflows),
                    (None, None)
                );
                batch.reply(index, &[b'>', number], None, None).unwrap();
                number += 1;
            }
            send(&mut batch, &server);
        }
        for number in 0..9 {
            let reply = [&[b'>', number], &call(number)[..]].concat();
            assert_eq!(read(&clients[usize::from(number) % 3]), reply);
        }
    }
}

#[test]
fn receive_fills_the_batch() {
    let (server, _, [client]) = unix_server();
    for call in 0..9_u8 {
        client.send(&[call]).unwrap();
    }
    let mut batch = Batch::new(4, 16);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 4);
    assert_eq!(batch.bytes(3), [3]);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 4);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
    assert_eq!(batch.bytes(0), [8]);
    assert_eq!(server.recv_many(&mut batch).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn reply_sends_the_bytes_at_the_time_of_the_send() {
    let (server, _, [client]) = unix_server();
    for call in [b"zero", b"one_", b"two_", b"six_"] {
        client.send(call).unwrap();
    }
    let mut batch = Batch::new(8, 16);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 4);
    batch.reply(1, b"", None, None).unwrap();
    batch.bytes_mut(2).reverse();
    batch.reply(2, b"head ", None, None).unwrap();
    batch.bytes_mut(1)[0] = b'O';
    send(&mut batch, &server);
    assert_eq!(read(&client), b"One_");
    assert_eq!(read(&client), b"head _owt");

    client.set_nonblocking(true).unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    send(&mut batch, &server);
    assert_eq!(client.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn receive_discards_unsent_replies() {
    let (server, _, [client]) = unix_server();
    let mut batch = Batch::new(8, 16);
    client.send(b"old").unwrap();
    assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
    batch.reply(0, b"", None, None).unwrap();
    assert_eq!(server.recv_many(&mut batch).unwrap_err().kind(), ErrorKind::WouldBlock);
    send(&mut batch, &server);
    client.send(b"new").unwrap();
    assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
    batch.reply(0, b"", None, None).unwrap();
    send(&mut batch, &server);
    assert_eq!(read(&client), b"new");
}

#[test]
fn empty_datagrams_get_replies() {
    for (transport, address) in everywhere(Kind::Datagrams) {
        let (server, name) = bound(transport, &address);
        let client = connected(transport, &name);
        let mut batch = Batch::new(4, 16);
        for head in [&b""[..], b"head"] {
            client.send(b"").unwrap();
            assert_eq!(receive(&mut batch, &server), 1);
            assert_eq!(batch.bytes(0), b"");
            batch.reply(0, head, None, None).unwrap();
            send(&mut batch, &server);
            assert_eq!(read(&client), head);
        }
    }
}

#[test]
fn long_datagram_is_truncated() {
    for (transport, address) in everywhere(Kind::Datagrams) {
        let (server, name) = bound(transport, &address);
        let client = connected(transport, &name);
        let mut batch = Batch::new(1, 8);
        for (call, truncated) in [(&b"01234567"[..], false), (b"012345678", true), (b"after", false)] {
            client.send(call).unwrap();
            assert_eq!(receive(&mut batch, &server), 1);
            assert_eq!(batch.metadata(0).truncated, truncated);
            assert_eq!(batch.bytes(0), &call[..call.len().min(8)]);
        }
    }
}

#[test]
fn long_prefix_is_truncated() {
    let (server, _, [client]) = unix_server();
    let mut batch = Batch::new(1, 8);
    for len in [Batch::HEAD_MAX, Batch::HEAD_MAX + 1] {
        client.send(b"call").unwrap();
        assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
        batch.reply(0, &vec![b'h'; len], None, None).unwrap();
        send(&mut batch, &server);
        assert_eq!(read(&client), [&[b'h'; Batch::HEAD_MAX][..], b"call"].concat());
    }
}

#[test]
fn failed_reply_does_not_stop_the_others() {
    for gone in [vec![0], vec![1], vec![3], vec![0, 1], vec![1, 3], vec![0, 1, 2, 3]] {
        let (server, _, clients) = unix_server::<4>();
        clients.iter().for_each(|client| assert_eq!(client.send(b"call").unwrap(), 4));
        let mut batch = Batch::new(8, 16);
        assert_eq!(server.recv_many(&mut batch).unwrap(), 4);
        (0..4).for_each(|index| batch.reply(index, b"> ", None, None).unwrap());
        let mut clients = clients.map(Some);
        gone.iter().for_each(|&index| clients[index] = None);

        let failed: Vec<_> = gone.iter().map(|&index| (index, ErrorKind::ConnectionRefused)).collect();
        assert_eq!(send_all_but(&mut batch, &server), failed);
        for client in clients.iter().flatten() {
            assert_eq!(read(client), b"> call");
        }
    }
}

#[test]
fn failed_reply_is_reported_by_datagram_index() {
    let (server, _, [gone, here]) = unix_server();
    here.send(b"first").unwrap();
    gone.send(b"second").unwrap();
    here.send(b"third").unwrap();
    drop(gone);
    let mut batch = Batch::new(8, 16);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 3);
    batch.reply(1, b"", None, None).unwrap();
    batch.reply(2, b"", None, None).unwrap();
    assert_eq!(send_all_but(&mut batch, &server), [(1, ErrorKind::ConnectionRefused)]);
    assert_eq!(read(&here), b"third");
}

#[test]
fn send_does_not_wait_for_a_slow_peer() {
    let (server, name, [here]) = unix_server();
    // The kernel does not limit the queue of a socket that is connected to the sender.
    let (full, full_name) = bound(Transport::UnixDatagram, &UNNAMED);
    full.send_to(b"call", &name).unwrap();
    here.send(b"call").unwrap();
    while server.send_to(b"noise", &full_name).is_ok() {}
    let mut batch = Batch::new(8, 16);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 2);
    batch.reply(0, b"", None, None).unwrap();
    batch.reply(1, b"", None, None).unwrap();
    assert_eq!(send_all_but(&mut batch, &server), [(0, ErrorKind::WouldBlock)]);
    assert_eq!(read(&here), b"call");
}

#[test]
fn reply_to_an_unnamed_sender_fails() {
    let (server, name, [named]) = unix_server();
    let nameless = Transport::UnixDatagram.socket(&name).unwrap();
    let mut batch = Batch::new(8, 16);
    // The buffers of names may contain names of earlier datagrams.
    for _ in 0..2 {
        named.send(b"call").unwrap();
        named.send(b"call").unwrap();
        assert_eq!(server.recv_many(&mut batch).unwrap(), 2);
        nameless.send_to(b"call", &name).unwrap();
        named.send(b"call").unwrap();
        assert_eq!(server.recv_many(&mut batch).unwrap(), 2);
        assert_eq!(batch.sender(0), UNNAMED);
        assert_eq!(batch.sender(1), named.local_addr().unwrap());
        batch.reply(0, b"", None, None).unwrap();
        batch.reply(1, b"", None, None).unwrap();
        assert_eq!(send_all_but(&mut batch, &server), [(0, ErrorKind::NotConnected)]);
        assert_eq!(read(&named), b"call");
    }
}

#[test]
fn socket_pair_replies_without_names() {
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    one.send(b"call").unwrap();
    let mut batch = Batch::new(8, 16);
    assert_eq!(other.recv_many(&mut batch).unwrap(), 1);
    assert_eq!(batch.sender(0), UNNAMED);
    batch.reply(0, b"> ", None, None).unwrap();
    send(&mut batch, &other);
    assert_eq!(read(&one), b"> call");
}

#[test]
fn batch_moves_between_threads() {
    let (server, _, [client]) = unix_server();
    client.send(b"call").unwrap();
    let mut batch = Batch::new(8, 16);
    assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
    batch.reply(0, b"> ", None, None).unwrap();
    thread::spawn(move || send(&mut batch, &server)).join().unwrap();
    assert_eq!(read(&client), b"> call");
}

#[test]
#[should_panic(expected = "datagram 1 of 1")]
fn index_beyond_the_received_panics() {
    let (server, _, [client]) = unix_server();
    client.send(b"call").unwrap();
    let mut batch = Batch::new(8, 16);
    server.recv_many(&mut batch).unwrap();
    batch.bytes(1);
}

#[test]
#[should_panic(expected = "replies are queued in ascending order, one per datagram")]
fn second_reply_to_a_datagram_panics() {
    let (server, _, [client]) = unix_server();
    client.send(b"call").unwrap();
    let mut batch = Batch::new(8, 16);
    server.recv_many(&mut batch).unwrap();
    batch.reply(0, b"", None, None).unwrap();
    batch.reply(0, b"", None, None).unwrap();
}

/// Returns a UDP socket that is bound to the wildcard address and receives the destination of each
/// datagram.
fn wildcard(v6_only: Option<bool>) -> (Socket, u16) {
    let every = match v6_only {
        Some(_) => Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        None => Address::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
    };
    let socket = Transport::Udp.socket(&every).unwrap();
    match v6_only {
        Some(only) => {
            socket.set_option(option::IPV6_V6ONLY, only).unwrap();
            socket.set_option(option::IPV6_RECVPKTINFO, true).unwrap();
        }
        None => socket.set_option(option::IP_PKTINFO, true).unwrap(),
    }
    socket.bind(&every).unwrap();
    let port = socket.local_addr().unwrap().port().unwrap();
    (socket, port)
}

#[test]
fn replies_have_the_class_and_length_that_they_are_given() {
    for address in ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse::<SocketAddr>().unwrap()) {
        let (server, name) = bound(Transport::Udp, &address.into());
        let client = connected(Transport::Udp, &name);
        for socket in [&server, &client] {
            if address.is_ipv4() {
                socket.set_option(option::IP_RECVTTL, true).unwrap();
                socket.set_option(option::IP_RECVTOS, true).unwrap();
            } else {
                socket.set_option(option::IPV6_RECVHOPLIMIT, true).unwrap();
                socket.set_option(option::IPV6_RECVTCLASS, true).unwrap();
            }
            socket.set_option(option::SO_TIMESTAMPNS, true).unwrap();
        }
        (0..3).for_each(|_| assert_eq!(client.send(b"call").unwrap(), 4));
        let space = ControlSpace::TTL + ControlSpace::TOS + ControlSpace::TIMESTAMP;
        let mut batch = Batch::with_control(8, 64, space);
        let mut received = 0;
        while received < 3 {
            for index in 0..receive(&mut batch, &server) {
                let info = batch.metadata(index);
                assert_eq!((info.ttl, info.traffic_class), (Some(64), Some(0)));
                assert!(info.timestamp.is_some());
                batch.buffer_mut(index)[..8].copy_from_slice(b"answered");
                batch.set_len(index, 8);
                // The third has the class of the socket.
                let class = [0xb8, 0x28, 0][received];
                batch.reply_with_class(index, b"", None, None, class).unwrap();
                received += 1;
            }
            send(&mut batch, &server);
        }
        let mut replies = Batch::with_control(8, 64, space);
        let mut classes = Vec::new();
        while classes.len() < 3 {
            for index in 0..receive(&mut replies, &client) {
                assert_eq!(replies.bytes(index), b"answered");
                classes.push(replies.metadata(index).traffic_class);
            }
        }
        assert_eq!(classes, [Some(0xb8), Some(0x28), Some(0)], "{address}");
    }
}

/// Checks that a client connected to each address receives a reply from it.
fn check_answers_leave_from_the_address_asked(
    server: &Socket,
    asked: &[SocketAddr],
    is_seen_as: fn(SocketAddr) -> SocketAddr,
) {
    let clients: Vec<Socket> = asked.iter().map(|&to| connected(Transport::Udp, &to.into())).collect();
    clients.iter().for_each(|client| assert_eq!(client.send(b"call").unwrap(), 4));
    let mut batch = Batch::new(16, 16);
    let mut answered = 0;
    while answered < asked.len() {
        for index in 0..receive(&mut batch, server) {
            let info = batch.metadata(index).packet_info.unwrap();
            let ip = is_seen_as(asked[answered]).ip();
            assert_eq!((info.destination, info.local), (ip, ip));
            assert!(info.interface != 0 && !info.is_to_group());
            batch.reply(index, b"> ", Some(info), None).unwrap();
            answered += 1;
        }
        send(&mut batch, server);
    }
    for (client, asked) in clients.iter().zip(asked) {
        wait_readable(client);
        let mut buffer = [0; 16];
        assert_eq!(client.recv_from(&mut buffer).unwrap(), (6, Address::from(*asked)));
        assert_eq!(&buffer[..6], b"> call");
    }
}

fn loopbacks(port: u16) -> Vec<SocketAddr> {
    (1..=9).map(|last| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port))).collect()
}

#[test]
fn reply_leaves_from_the_requested_ipv4_address() {
    let (server, port) = wildcard(None);
    check_answers_leave_from_the_address_asked(&server, &loopbacks(port), |asked| asked);
}

#[test]
fn reply_leaves_from_the_requested_ipv6_address() {
    let [_, _] = LOOPBACK[..] else { return };
    let (server, port) = wildcard(Some(true));
    let asked = [SocketAddr::from((Ipv6Addr::LOCALHOST, port)); 2];
    check_answers_leave_from_the_address_asked(&server, &asked, |asked| asked);
}

#[test]
fn reply_leaves_from_the_requested_link_local_address() {
    let Some(mut address) = link_local() else { return };
    let (server, port) = wildcard(Some(true));
    address.set_port(port);
    check_answers_leave_from_the_address_asked(&server, &[address.into()], |asked| asked);
}

#[test]
fn dual_stack_reply_leaves_from_the_requested_ipv4_address() {
    let [_, _] = LOOPBACK[..] else { return };
    let (server, port) = wildcard(Some(false));
    check_answers_leave_from_the_address_asked(&server, &loopbacks(port), |asked| match asked {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        v6 => v6,
    });
}

#[test]
fn broadcast_counts_as_sent_to_a_group() {
    let (server, port) = wildcard(None);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.set_broadcast(true).unwrap();
    let everybody = Ipv4Addr::new(127, 255, 255, 255);
    if let Err(error) = client.send_to(b"all", (everybody, port)) {
        return skip("broadcast", error);
    }
    let mut batch = Batch::new(1, 16);
    assert_eq!(receive(&mut batch, &server), 1);
    let info = batch.metadata(0).packet_info.unwrap();
    assert_eq!((info.destination, info.local), (everybody.into(), Ipv4Addr::LOCALHOST.into()));
    assert!(info.is_to_group());
}

#[test]
fn multicast_counts_as_sent_to_a_group() {
    let (server, port) = wildcard(None);
    let server = UdpSocket::from(OwnedFd::from(server));
    let group = Ipv4Addr::new(239, 255, 77, 77);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let joined = server.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST);
    if let Err(error) = joined.and_then(|()| client.send_to(b"all", (group, port)).map(drop)) {
        return skip("groups", error);
    }
    let server = Socket::from_fd(OwnedFd::from(server)).unwrap();
    let mut batch = Batch::new(1, 16);
    assert_eq!(receive(&mut batch, &server), 1);
    let info = batch.metadata(0).packet_info.unwrap();
    assert_eq!(info.destination, group);
    assert!(info.is_to_group());
}

#[test]
fn multicast_all_receives_groups_of_other_sockets() {
    let (server, port) = wildcard(None);
    let group = Ipv4Addr::new(239, 255, 77, 78);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    if let Err(error) = client.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST) {
        return skip("groups", error);
    }
    for all in [true, false] {
        server.set_option(option::IP_MULTICAST_ALL, all).unwrap();
        client.send_to(b"group", (group, port)).unwrap();
        client.send_to(b"one", (Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    assert_eq!([read(&server), read(&server), read(&server)], [&b"group"[..], b"one", b"one"]);
}

#[test]
fn ipv6_multicast_counts_as_sent_to_a_group() {
    let to =
        |address: Ipv6Addr| PacketInfo { destination: address.into(), local: address.into(), interface: 1 };
    assert!(to("ff02::1".parse().unwrap()).is_to_group());
    assert!(!to(Ipv6Addr::LOCALHOST).is_to_group());
}

#[test]
fn dropped_datagrams_are_counted() {
    for loopback in LOOPBACK.iter() {
        let (server, name) = bound(Transport::Udp, loopback);
        server.set_option(option::SO_RCVBUF, 1).unwrap();
        server.set_option(option::SO_RXQ_OVFL, true).unwrap();
        let packet_info =
            if name.family() == Family::INET { option::IP_PKTINFO } else { option::IPV6_RECVPKTINFO };
        server.set_option(packet_info, true).unwrap();
        let client = connected(Transport::Udp, &name);
        for _ in 0..100 {
            client.send(&[0; 100]).unwrap();
        }
        let mut batch = Batch::new(8, 128);
        let (mut sent, mut received, mut dropped) = (100, 0, 0);
        // The number of drops is reported with a later datagram.
        while received + dropped < sent && sent < 200 {
            client.send(b"and now?").unwrap();
            sent += 1;
            let count = receive(&mut batch, &server);
            received += count;
            let about = batch.metadata(count - 1);
            assert!(about.packet_info.is_some());
            dropped = about.overflows.map_or(dropped, |count| usize::try_from(count).unwrap());
        }
        assert!(0 < dropped);
        assert_eq!(received + dropped, sent);
        assert_eq!(server.option(option::SO_MEMINFO).unwrap().drops as usize, dropped);
    }
}

/// Returns whether a socket is a UDP socket, which supports segmentation.
fn on_hosts(socket: &Socket) -> bool {
    socket.local_addr().unwrap().ip().is_some()
}

/// Returns a socket that receives segments as one message, with their size.
fn in_one_piece(address: &Address) -> (Socket, Address) {
    let (client, name) = bound(Transport::Udp, address);
    client.set_option(option::UDP_GRO, true).unwrap();
    client.set_timeout(Some(PATIENCE)).unwrap();
    (client, name)
}

/// Receives a message and returns its length, and the size of its segments if it has several.
fn piece(client: &Socket) -> (usize, Option<i32>) {
    let mut buffer = vec![0; 65_536];
    let message = client
        .recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::of(4), MessageFlags::NONE)
        .unwrap();
    let size = message.control.iter().find_map(|control| match control {
        ControlMessage::UdpGro(size) => Some(*size),
        _ => None,
    });
    (message.len, size)
}

#[test]
fn replies_of_one_size_are_segmented() {
    for address in LOOPBACK.iter() {
        let (server, name) = bound(Transport::Udp, address);
        let ((one, _), (other, _)) = (in_one_piece(address), in_one_piece(address));
        // Two sizes, the second shorter. The last datagram is empty before its prefix.
        for (client, len) in
            [(&one, 10), (&one, 10), (&one, 20), (&one, 5), (&other, 5), (&one, 5), (&one, 0)]
        {
            client.send_to(&vec![b'x'; len], &name).unwrap();
        }
        let mut batch = Batch::new(16, 64);
        assert_eq!(receive(&mut batch, &server), 7);
        (0..7).for_each(|index| batch.reply(index, b"> ", None, None).unwrap());
        send(&mut batch, &server);
        assert_eq!([(); 3].map(|()| piece(&one)), [(24, Some(12)), (29, Some(22)), (9, Some(7))]);
        assert_eq!(piece(&other), (7, None));
    }
}

#[test]
fn refused_segments_are_sent_one_by_one() {
    let (server, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let (client, _) = in_one_piece(&LOOPBACK[0]);
    // The kernel refuses to segment for a socket without checksums (EIO).
    server.set_option(option::SO_NO_CHECK, true).unwrap();
    for number in 0..3_u8 {
        client.send_to(&[number; 10], &name).unwrap();
    }
    let mut batch = Batch::new(16, 64);
    assert_eq!(receive(&mut batch, &server), 3);
    (0..3).for_each(|index| batch.reply(index, b"> ", None, None).unwrap());
    send(&mut batch, &server);
    assert_eq!([(); 3].map(|()| piece(&client)), [(12, None); 3]);
}

#[test]
fn long_runs_of_segments_are_split() {
    let (server, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let (client, _) = in_one_piece(&LOOPBACK[0]);
    // Short datagrams reach the maximum count: 64 and 36. Long ones reach the maximum length: 46
    // and 34.
    for (len, count) in [(10, 100), (1400, 80)] {
        for _ in 0..count {
            client.send_to(&vec![b'x'; len], &name).unwrap();
        }
        let mut batch = Batch::new(128, 2048);
        assert_eq!(receive(&mut batch, &server), count);
        (0..count).for_each(|index| batch.reply(index, b"", None, None).unwrap());
        send(&mut batch, &server);
        let pieces = [(); 2].map(|()| piece(&client).0);
        assert_eq!(pieces, if len == 10 { [640, 360] } else { [64_400, 47_600] });
    }
}

#[test]
fn segments_leave_from_the_requested_address() {
    let any = Address::from((Ipv4Addr::UNSPECIFIED, 0));
    let server = Transport::Udp.socket(&any).unwrap();
    server.bind(&any).unwrap();
    server.set_option(option::IP_PKTINFO, true).unwrap();
    let port = server.local_addr().unwrap().port().unwrap();
    // A connected socket receives from its peer only.
    let clients = [2, 3].map(|last| {
        let (client, _) = in_one_piece(&LOOPBACK[0]);
        client.connect((Ipv4Addr::new(127, 0, 0, last), port)).unwrap();
        client
    });
    for client in [0, 0, 1, 1] {
        clients[client].send(b"call").unwrap();
    }
    let mut batch = Batch::new(16, 64);
    assert_eq!(receive(&mut batch, &server), 4);
    for index in 0..4 {
        let asked = batch.metadata(index).packet_info;
        batch.reply(index, b"> ", asked, None).unwrap();
    }
    send(&mut batch, &server);
    clients.iter().for_each(|client| assert_eq!(piece(client), (12, Some(6))));
}
