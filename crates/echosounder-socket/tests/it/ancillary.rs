//! Each type of control message, produced by the kernel, and the space that it needs.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::option::{self, TimestampingFlags, TxTime, TxTimeFlags};
use echosounder_socket::{
    Address, Batch, ControlMessage, ControlSpace, Message, MessageFlags, Outgoing, RawControl, SendBatch,
    SendControl, Socket, Transport,
};

use crate::{LOOPBACK, PATIENCE, bound, skip, wait_readable};

/// Returns two UDP sockets of a family, the first connected to the other.
fn udp(loopback: &Address) -> (Socket, Socket) {
    let (server, name) = bound(Transport::Udp, loopback);
    let (client, _) = bound(Transport::Udp, loopback);
    client.connect(&name).unwrap();
    for socket in [&client, &server] {
        socket.set_timeout(Some(PATIENCE)).unwrap();
    }
    (client, server)
}

/// Returns a TCP connection: the client, the server.
fn tcp() -> (Socket, Socket) {
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen().unwrap();
    let client = Transport::Tcp.socket(&name).unwrap();
    client.connect(&name).unwrap();
    let (server, _) = listener.accept().unwrap();
    for socket in [&client, &server] {
        socket.set_timeout(Some(PATIENCE)).unwrap();
    }
    (client, server)
}

fn send(socket: &Socket, bytes: &[u8], control: &[SendControl<'_>]) -> io::Result<usize> {
    socket.send_msg(&[IoSlice::new(bytes)], control, None, MessageFlags::NONE)
}

fn receive_with(socket: &Socket, space: ControlSpace, flags: MessageFlags) -> Message {
    let mut buffer = vec![0; 1 << 16];
    socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, flags).unwrap()
}

fn receive(socket: &Socket) -> Message {
    receive_with(socket, ControlSpace::ALL, MessageFlags::NONE)
}

/// Sends with one control message, or skips the case if the kernel refuses it.
fn try_send(case: &str, socket: &Socket, control: SendControl<'_>) -> bool {
    match send(socket, b"ahoy", &[control]) {
        Ok(_) => true,
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied),
                "{case}: {error}"
            );
            skip(case, error);
            false
        }
    }
}

/// Turns all options on that add control messages to an IP datagram.
fn turn_everything_on(server: &Socket, is_v4: bool) {
    let version = if is_v4 {
        [
            option::IP_PKTINFO,
            option::IP_RECVTTL,
            option::IP_RECVTOS,
            option::IP_RECVOPTS,
            option::IP_RETOPTS,
            option::IP_RECVORIGDSTADDR,
            option::IP_RECVFRAGSIZE,
        ]
    } else {
        [
            option::IPV6_RECVPKTINFO,
            option::IPV6_RECVHOPLIMIT,
            option::IPV6_RECVTCLASS,
            option::IPV6_RECVHOPOPTS,
            option::IPV6_RECVDSTOPTS,
            option::IPV6_RECVORIGDSTADDR,
            option::IPV6_FLOWINFO,
        ]
    };
    for option in version.into_iter().chain([option::SO_TIMESTAMPNS, option::SO_RXQ_OVFL, option::UDP_GRO]) {
        server.set_option(option, true).unwrap();
    }
    server
        .set_option(option::SO_TIMESTAMPING, TimestampingFlags::RX_SOFTWARE | TimestampingFlags::SOFTWARE)
        .unwrap();
    for (name, option) in [("rcvmark", option::SO_RCVMARK), ("rcvpriority", option::SO_RCVPRIORITY)] {
        if let Err(error) = server.set_option(option, true) {
            skip(name, error);
        }
    }
}

#[test]
fn all_space_fits_everything_that_the_kernel_sends() {
    for loopback in LOOPBACK.iter() {
        let (client, server) = udp(loopback);
        let is_v4 = loopback.ip().unwrap().is_ipv4();
        turn_everything_on(&server, is_v4);
        let options = [SendControl::IpOptions(&[1, 1, 1, 1])];
        let options = if is_v4 { &options[..] } else { &[] };
        send(&client, b"ahoy", options).unwrap();
        let message = receive(&server);
        assert!(!message.is_control_truncated(), "{message:?}");
        assert!(7 <= message.control.len(), "{message:?}");
        assert!(!message.control.iter().any(|control| matches!(control, ControlMessage::Unknown(_))));
        assert_eq!(message.packet_info().unwrap().destination, loopback.ip().unwrap());
        assert!(message.ttl().is_some() && message.tos() == Some(0) && message.timestamp().is_some());
        assert_eq!((message.segment_size(), message.overflow(), message.credentials()), (None, None, None));
    }

    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    for option in [option::SO_PASSCRED, option::SO_TIMESTAMPNS, option::SO_PASSPIDFD] {
        if let Err(error) = other.set_option(option, true) {
            skip("pidfd", error);
        }
    }
    let stdin = io::stdin();
    let fds = vec![stdin.as_fd(); 253];
    send(&one, b"take", &[SendControl::Rights(&fds)]).unwrap();
    let mut message = receive(&other);
    assert!(!message.is_control_truncated());
    assert!(message.credentials().is_some() && message.timestamp().is_some());
    assert_eq!(message.take_rights().len(), 253);
    assert!(message.take_rights().is_empty());
}

#[test]
fn each_constant_fits_its_control_message() {
    for loopback in LOOPBACK.iter() {
        let cases = if loopback.ip().unwrap().is_ipv4() {
            [
                (option::IP_PKTINFO, ControlSpace::PACKET_INFO),
                (option::IP_RECVTTL, ControlSpace::TTL),
                (option::IP_RECVTOS, ControlSpace::TOS),
                (option::SO_TIMESTAMP, ControlSpace::TIMESTAMP),
                (option::SO_TIMESTAMPNS, ControlSpace::TIMESTAMP),
            ]
        } else {
            [
                (option::IPV6_RECVPKTINFO, ControlSpace::PACKET_INFO),
                (option::IPV6_RECVHOPLIMIT, ControlSpace::TTL),
                (option::IPV6_RECVTCLASS, ControlSpace::TOS),
                (option::SO_TIMESTAMP, ControlSpace::TIMESTAMP),
                (option::SO_TIMESTAMPNS, ControlSpace::TIMESTAMP),
            ]
        };
        for (option, space) in cases {
            let (client, server) = udp(loopback);
            server.set_option(option, true).unwrap();
            client.send(b"ahoy").unwrap();
            let message = receive_with(&server, space, MessageFlags::NONE);
            assert_eq!((message.is_control_truncated(), message.control.len()), (false, 1), "{option:?}");
            client.send(b"ahoy").unwrap();
            let message = receive_with(&server, ControlSpace::NONE, MessageFlags::NONE);
            assert_eq!((message.is_control_truncated(), message.control.len()), (true, 0), "{option:?}");
        }
    }
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    other.set_option(option::SO_PASSCRED, true).unwrap();
    one.send(b"who").unwrap();
    let message = receive_with(&other, ControlSpace::CREDENTIALS, MessageFlags::NONE);
    assert_eq!((message.is_control_truncated(), message.credentials().is_some()), (false, true));
}

#[test]
fn ip_options_and_destinations_are_received() {
    let (client, server) = udp(&LOOPBACK[0]);
    let Address::Inet(name) = server.local_addr().unwrap() else { panic!("no IPv4 address") };
    server.set_option(option::IP_RECVORIGDSTADDR, true).unwrap();
    client.send(b"ahoy").unwrap();
    let control = receive(&server).control;
    assert!(
        matches!(control[..], [ControlMessage::OriginalDestination(to)] if to == SocketAddr::from(name)),
        "{control:?}"
    );

    let (client, server) = udp(&LOOPBACK[0]);
    server.set_option(option::IP_RECVOPTS, true).unwrap();
    server.set_option(option::IP_RETOPTS, true).unwrap();
    let padding = [1, 1, 1, 1];
    send(&client, b"ahoy", &[SendControl::IpOptions(&padding)]).unwrap();
    let control = receive(&server).control;
    let is_padding = |control: &ControlMessage| match control {
        ControlMessage::IpOptions(options) => **options == padding,
        // Padding is not returned.
        ControlMessage::IpReturnOptions(options) => options.is_empty(),
        _ => false,
    };
    assert!(!control.is_empty() && control.iter().all(is_padding), "{control:?}");
}

#[test]
fn ipv6_headers_are_sent_and_received() {
    let [_, v6] = &LOOPBACK[..] else { return };
    let (client, server) = udp(v6);
    let Address::Inet6(name) = server.local_addr().unwrap() else { panic!("no IPv6 address") };
    server.set_option(option::IPV6_RECVORIGDSTADDR, true).unwrap();
    client.send(b"ahoy").unwrap();
    let control = receive(&server).control;
    assert!(
        matches!(control[..], [ControlMessage::OriginalDestination(to)] if to == SocketAddr::from(name)),
        "{control:?}"
    );
    server.set_option(option::IPV6_RECVORIGDSTADDR, false).unwrap();

    // The traffic class, in the upper 8 bits; the flow label is the kernel's choice.
    server.set_option(option::IPV6_FLOWINFO, true).unwrap();
    send(&client, b"ahoy", &[SendControl::TrafficClass(0x48)]).unwrap();
    let control = receive(&server).control;
    assert!(matches!(control[..], [ControlMessage::FlowInfo(flow)] if flow >> 20 == 0x48), "{control:?}");
    server.set_option(option::IPV6_FLOWINFO, false).unwrap();

    // One header of 8 bytes: the next header, the length, and an option of padding.
    let header = [0, 0, 1, 4, 0, 0, 0, 0];
    server.set_option(option::IPV6_RECVHOPOPTS, true).unwrap();
    server.set_option(option::IPV6_RECVDSTOPTS, true).unwrap();
    if try_send("hop-by-hop options", &client, SendControl::HopByHopOptions(&header)) {
        let control = receive(&server).control;
        assert!(
            matches!(&control[..], [ControlMessage::HopByHopOptions(data)] if data[1..] == header[1..]),
            "{control:?}"
        );
    }
    if try_send("hop-by-hop options", &client, SendControl::DestinationOptions(&header)) {
        let control = receive(&server).control;
        assert!(
            matches!(&control[..], [ControlMessage::DestinationOptions(data)] if data[1..] == header[1..]),
            "{control:?}"
        );
    }
    // The loopback interface carries what is longer than any datagram here, so only the flag's
    // acceptance can be seen.
    send(&client, b"ahoy", &[SendControl::DontFragment(true)]).unwrap();
}

#[test]
fn mark_and_priority_are_sent_and_received() {
    let (client, server) = udp(&LOOPBACK[0]);
    let accepts = |option| server.set_option(option, true).map_err(|error| skip("rcvmark", error)).is_ok();
    if accepts(option::SO_RCVMARK) && try_send("mark", &client, SendControl::Mark(0x1234)) {
        let control = receive(&server).control;
        assert!(matches!(control[..], [ControlMessage::Mark(0x1234)]), "{control:?}");
    }
    let (client, server) = udp(&LOOPBACK[0]);
    let accepts =
        |option| server.set_option(option, true).map_err(|error| skip("rcvpriority", error)).is_ok();
    if accepts(option::SO_RCVPRIORITY) && try_send("priority", &client, SendControl::Priority(5)) {
        let control = receive(&server).control;
        assert!(matches!(control[..], [ControlMessage::Priority(5)]), "{control:?}");
    }
}

#[test]
fn tcp_reports_the_unread_bytes() {
    let (client, server) = tcp();
    server.set_option(option::TCP_INQ, true).unwrap();
    client.send_all(b"0123456789").unwrap();
    wait_readable(&server);
    let mut buffer = [0; 4];
    let message =
        server.recv_msg(&mut [IoSliceMut::new(&mut buffer)], ControlSpace::ALL, MessageFlags::NONE).unwrap();
    assert!(matches!(message.control[..], [ControlMessage::TcpInq(6)]), "{message:?}");
    assert_eq!((message.len, message.full_len, message.from), (4, 4, None));
}

#[test]
fn departure_is_numbered_as_requested() {
    let (client, server) = udp(&LOOPBACK[0]);
    client
        .set_option(option::SO_TIMESTAMPING, TimestampingFlags::SOFTWARE | TimestampingFlags::OPT_ID)
        .unwrap();
    let stamp = SendControl::Timestamping(TimestampingFlags::TX_SOFTWARE.bits());
    for id in [None, Some(77)] {
        let number = id.map(SendControl::TimestampId);
        let control: Vec<SendControl<'_>> = [stamp].into_iter().chain(number).collect();
        if let Err(error) = send(&client, b"ahoy", &control) {
            return skip("timestamp number", error);
        }
        assert_eq!(server.recv(&mut [0; 8]).unwrap(), 4);
        wait_readable(&client);
        let message =
            receive_with(&client, ControlSpace::TIMESTAMPING + ControlSpace::ERROR, MessageFlags::ERRQUEUE);
        assert!(!message.is_control_truncated() && message.timestamp().is_some());
        let error = message.error().unwrap();
        assert_eq!(error.data, id.unwrap_or(0));
        assert_eq!((error.zerocopy(), error.path_mtu()), (None, None));
    }
}

#[test]
fn transmit_time_is_accepted() {
    let (client, server) = udp(&LOOPBACK[0]);
    // The loopback interface has no queueing discipline that would heed the time.
    let refused = send(&client, b"later", &[SendControl::TransmitTime(Duration::from_secs(1))]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "SO_TXTIME is off");
    let clock = TxTime { clock: libc::CLOCK_MONOTONIC, flags: TxTimeFlags::empty() };
    client.set_option(option::SO_TXTIME, clock).unwrap();
    send(&client, b"now", &[SendControl::TransmitTime(Duration::from_secs(1))]).unwrap();
    assert_eq!(server.recv(&mut [0; 8]).unwrap(), 3, "the first send was refused");
}

/// The kernel would read the memory after the borrow has ended.
#[test]
fn safe_sends_refuse_zerocopy() {
    let (client, _server) = tcp();
    client.set_option(option::SO_ZEROCOPY, true).unwrap();
    let (datagrams, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let parts = [IoSlice::new(b"ahoy")];
    for flags in [MessageFlags::ZEROCOPY, MessageFlags::from_bits_retain(0x400_0000) | MessageFlags::MORE] {
        let results = [
            client.send_with(b"ahoy", flags),
            client.send_all_with(b"ahoy", flags).map(|()| 4).map_err(|error| error.source),
            client.send_msg(&parts, &[], None, flags),
            client.send_many_with(&mut SendBatch::new(), &[Outgoing::new(&parts)], flags),
            datagrams.send_to_with(b"ahoy", &name, flags),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}

#[test]
fn raw_descriptors_and_pointers_are_refused() {
    const SOL_RDS: i32 = 276;
    let (one, _other) = Transport::UnixStream.pair().unwrap();
    for (level, kind) in [(libc::SOL_SOCKET, 4), (SOL_RDS, 1), (SOL_RDS, 3)] {
        let raw = RawControl { level, kind, data: &[0; 64] };
        let refused = send(&one, b"here", &[SendControl::Raw(raw)]).unwrap_err();
        assert_eq!((refused.kind(), refused.raw_os_error()), (ErrorKind::InvalidInput, None));
    }
}

#[test]
fn batch_decodes_every_control_message() {
    for loopback in LOOPBACK.iter() {
        let (client, server) = udp(loopback);
        turn_everything_on(&server, loopback.ip().unwrap().is_ipv4());
        let name = client.local_addr().unwrap();
        let mut batch = Batch::with_control(8, 65_535, ControlSpace::ALL);
        assert_eq!((batch.len(), batch.capacity(), batch.is_empty()), (0, 8, true));
        assert!(batch.get(0).is_none());
        client.send(b"").unwrap();
        send(&client, b"0123456789", &[SendControl::UdpSegment(4)]).unwrap();
        let mut received = Vec::new();
        while received.len() < 4 {
            assert!(0 < server.recv_many(&mut batch).unwrap());
            for datagram in &batch {
                assert_eq!(datagram.from(), Some(name.clone()));
                assert_eq!(datagram.flags(), MessageFlags::NONE);
                assert_eq!(datagram.packet_info().unwrap().destination, loopback.ip().unwrap());
                assert!(datagram.ttl().is_some() && datagram.timestamp().is_some());
                assert_eq!(datagram.tos(), Some(0));
                assert_eq!(datagram.full_len(), datagram.bytes().len());
                let raw: Vec<_> = datagram.control().map(|control| control.to_raw()).collect();
                assert!(raw.iter().map(|raw| raw.as_raw()).eq(datagram.raw_control()));
                received.extend(datagram.segments().unwrap().map(<[u8]>::to_vec));
            }
        }
        assert_eq!(received, [&b""[..], b"0123", b"4567", b"89"]);
        assert_eq!(batch.iter().len(), batch.len());
    }
}

#[test]
fn lost_segment_size_is_not_one_datagram() {
    let (client, server) = udp(&LOOPBACK[0]);
    server.set_option(option::UDP_GRO, true).unwrap();
    let bytes = [IoSlice::new(b"0123456789")];
    for (space, segments) in [(ControlSpace::NONE, None), (ControlSpace::SEGMENT_SIZE, Some(3))] {
        client.send_msg(&bytes, &[SendControl::UdpSegment(4)], None, MessageFlags::NONE).unwrap();
        let mut batch = Batch::with_control(2, 64, space);
        assert_eq!(server.recv_many(&mut batch).unwrap(), 1);
        let datagram = batch.get(0).unwrap();
        assert_eq!(datagram.is_control_truncated(), segments.is_none());
        assert_eq!(datagram.segments().map(Iterator::count), segments);
    }
}

#[test]
fn send_many_sends_the_messages_before_a_bad_one() {
    let (client, server) = udp(&LOOPBACK[0]);
    let bytes = [IoSlice::new(b"ahoy")];
    let good = Outgoing::new(&bytes);
    let nameless = Address::Unix(UnixName::path(Path::new("")));
    let rights = RawControl { level: libc::SOL_SOCKET, kind: libc::SCM_RIGHTS, data: &[0; 4] };
    let control = [SendControl::Raw(rights)];
    for bad in [good.to(&nameless), good.with_control(&control)] {
        assert_eq!(client.send_many(&[good, bad, good]).unwrap(), 1);
        assert_eq!(server.recv(&mut [0; 16]).unwrap(), 4);
        let error = client.send_many(&[bad, good]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
        server.set_nonblocking(false).unwrap();
    }
}

#[test]
fn batch_reports_what_was_truncated() {
    let (client, server) = udp(&LOOPBACK[0]);
    server.set_option(option::IP_RECVTTL, true).unwrap();
    server.set_option(option::IP_PKTINFO, true).unwrap();
    let mut batch = Batch::with_control(2, 4, ControlSpace::TTL);
    for (flags, full_len) in [(MessageFlags::NONE, 4), (MessageFlags::TRUNC, 10)] {
        client.send(b"0123456789").unwrap();
        // A peek returns the same datagram for each place of the batch.
        for (flags, count) in [(flags | MessageFlags::PEEK, 2), (flags, 1)] {
            assert_eq!(server.recv_many_with(&mut batch, flags).unwrap(), count);
            let datagram = batch.get(0).unwrap();
            assert_eq!((datagram.bytes(), datagram.full_len()), (&b"0123"[..], full_len));
            assert!(datagram.is_truncated() && datagram.is_control_truncated());
        }
    }
    let empty = server.recv_many_with(&mut batch, MessageFlags::DONTWAIT).unwrap_err();
    assert_eq!((empty.kind(), batch.len()), (ErrorKind::WouldBlock, 0));
    let mut batch = Batch::with_control(2, 4, ControlSpace::NONE);
    client.send(b"ahoy").unwrap();
    server.recv_many(&mut batch).unwrap();
    assert_eq!(batch.get(0).map(|datagram| datagram.control().count()), Some(0));
}

#[test]
fn batch_hides_descriptors_that_it_has_closed() {
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    other.set_option(option::SO_PASSCRED, true).unwrap();
    let stdin = io::stdin();
    send(&one, b"take", &[SendControl::Rights(&[stdin.as_fd()])]).unwrap();
    let mut batch = Batch::with_control(2, 8, ControlSpace::ALL);
    assert_eq!(other.recv_many(&mut batch).unwrap(), 1);
    let datagram = batch.get(0).unwrap();
    let control: Vec<ControlMessage> = datagram.control().collect();
    assert!(matches!(control[..], [ControlMessage::Credentials(_)]), "{control:?}");
    assert_eq!(datagram.credentials().map(|who| who.pid), i32::try_from(std::process::id()).ok());
    assert!(format!("{datagram:?}").contains("b\"take\""), "{datagram:?}");
}

#[test]
fn send_batch_carries_addresses_control_messages_and_flags() {
    let (server, name) = bound(Transport::Udp, &LOOPBACK[0]);
    server.set_option(option::IP_RECVTTL, true).unwrap();
    server.set_timeout(Some(PATIENCE)).unwrap();
    let client = Transport::Udp.socket(&name).unwrap();
    let mut memory = SendBatch::new();
    for round in 0..3 {
        let words = [[IoSlice::new(b"one")], [IoSlice::new(b"two")]];
        let near = [SendControl::Ttl(round + 1)];
        let messages =
            [Outgoing::new(&words[0]).to(&name), Outgoing::new(&words[1]).with_control(&near).to(&name)];
        assert_eq!(client.send_many_with(&mut memory, &messages, MessageFlags::DONTWAIT).unwrap(), 2);
        assert_eq!(receive(&server).ttl(), Some(64));
        assert_eq!(receive(&server).ttl(), u8::try_from(round + 1).ok());
    }
    let nothing = client.send_many_with(&mut memory, &[], MessageFlags::NONE);
    assert_eq!(nothing.unwrap(), 0);
}
