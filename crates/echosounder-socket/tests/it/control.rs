//! Control messages: descriptors, credentials, timestamps and header fields.

use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process;
use std::time::{Duration, SystemTime};

use echosounder_socket::internal::effective_user_id;
use echosounder_socket::option::{self, Membership, TimestampingFlags};
use echosounder_socket::{
    Address, Batch, ControlMessage, ControlSpace, Credentials, ExtendedError, Family, Message, MessageFlags,
    Outgoing, PacketInfo, RawControl, SendControl, Socket, TimestampResolution, Transport, interface_index,
};
use echosounder_testkit::pipe;

use crate::alone::{Process, is_alone};
use crate::{LOOPBACK, PATIENCE, bound, field, link_local, skip, wait_readable};

/// Enough buffer space for all control messages of one datagram.
const ROOM: ControlSpace = ControlSpace::ALL;

fn send(socket: &Socket, bytes: &[u8], control: &[SendControl<'_>], to: Option<&Address>) {
    let sent = socket.send_msg(&[IoSlice::new(bytes)], control, to, MessageFlags::NONE).unwrap();
    assert_eq!(sent, bytes.len());
}

/// Receives a message with `space` bytes for control messages.
fn receive(socket: &Socket, control: ControlSpace, flags: MessageFlags) -> (Message, Vec<u8>) {
    let mut buffer = vec![0; 1 << 16];
    let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], control, flags).unwrap();
    buffer.truncate(message.len);
    (message, buffer)
}

/// Receives a message and returns its control messages.
fn beside(socket: &Socket) -> Vec<ControlMessage> {
    receive(socket, ROOM, MessageFlags::NONE).0.control
}

fn pair(transport: Transport) -> (Socket, Socket) {
    let (one, other) = transport.pair().unwrap();
    for socket in [&one, &other] {
        socket.set_timeout(Some(PATIENCE)).unwrap();
    }
    (one, other)
}

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

/// Returns the writing ends of pipes, to pass to a peer, and the reading ends, which show when
/// every writing end is closed.
fn pipes(count: usize) -> (Vec<File>, Vec<File>) {
    (0..count).map(|_| pipe()).unzip()
}

/// Passes descriptors to the peer of a socket and closes them here.
fn give(socket: &Socket, writers: Vec<File>) {
    let fds: Vec<BorrowedFd<'_>> = writers.iter().map(AsFd::as_fd).collect();
    send(socket, b"take", &[SendControl::Rights(&fds)], None);
}

/// Checks that every writing end is closed, also those of undelivered messages.
fn check_closed(readers: Vec<File>) {
    for mut reader in readers {
        wait_readable(&reader);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}

fn rights(control: Vec<ControlMessage>) -> Vec<OwnedFd> {
    let [ControlMessage::Rights(fds)] = <[_; 1]>::try_from(control).unwrap() else {
        panic!("these are no descriptors");
    };
    fds
}

const CARRIERS: [Transport; 3] = [Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket];

#[test]
fn received_descriptors_are_owned_and_close_on_exec() {
    for transport in CARRIERS {
        let (one, other) = pair(transport);
        let (readers, writers) = pipes(4);
        give(&one, writers);
        let (message, bytes) = receive(&other, ControlSpace::rights(4), MessageFlags::NONE);
        assert_eq!((bytes, message.flags.contains(MessageFlags::CTRUNC)), (b"take".to_vec(), false));
        let fds = rights(message.control);
        assert_eq!(fds.len(), 4);
        for (fd, mut reader) in fds.into_iter().zip(&readers) {
            let flags = field(&format!("/proc/self/fdinfo/{}", fd.as_raw_fd()), "flags:");
            assert_ne!(i32::from_str_radix(&flags, 8).unwrap() & libc::O_CLOEXEC, 0);
            File::from(fd).write_all(b"x").unwrap();
            reader.read_exact(&mut [0]).unwrap();
        }
        check_closed(readers);
    }
}

#[test]
fn excess_descriptors_are_closed_and_flagged() {
    for transport in CARRIERS {
        let (one, other) = pair(transport);
        let (readers, writers) = pipes(4);
        give(&one, writers);
        let (message, _) = receive(&other, ControlSpace::rights(2), MessageFlags::NONE);
        assert!(message.flags.contains(MessageFlags::CTRUNC));
        assert_eq!(rights(message.control).len(), 2);
        check_closed(readers);
    }
}

/// 20 bytes fit a header and one descriptor, as CMSG_LEN has it; CMSG_SPACE fits two.
#[test]
fn exact_control_space_limits_descriptors() {
    for transport in CARRIERS {
        let (one, other) = pair(transport);
        for (bytes, expected) in [(20, 1), (23, 1), (24, 2), (28, 3)] {
            let (readers, writers) = pipes(4);
            give(&one, writers);
            let (mut message, _) = receive(&other, ControlSpace::from_bytes(bytes), MessageFlags::NONE);
            assert!(message.is_control_truncated());
            assert_eq!(message.take_rights().len(), expected, "{bytes} bytes");
            check_closed(readers);
        }
        let (readers, writers) = pipes(4);
        give(&one, writers);
        // Less than a header: the kernel writes nothing.
        let (message, _) = receive(&other, ControlSpace::from_bytes(15), MessageFlags::NONE);
        assert!(message.is_control_truncated() && message.control.is_empty());
        check_closed(readers);
    }
    // In a batch every datagram has that space.
    let (client, server) = udp(&LOOPBACK[0]);
    server.set_option(option::IP_RECVTTL, true).unwrap();
    server.set_option(option::IP_RECVTOS, true).unwrap();
    let mut batch = Batch::with_control(3, 8, ControlSpace::from_bytes(20));
    (0..3).for_each(|_| send(&client, b"ahoy", &[], None));
    (0..3).for_each(|_| wait_readable(&server));
    assert_eq!(server.recv_many(&mut batch).unwrap(), 3);
    for datagram in batch.iter() {
        assert_eq!(datagram.control().count(), 1);
        assert!(datagram.flags().contains(MessageFlags::CTRUNC));
    }
    assert_eq!((ControlSpace::from_bytes(20) + ControlSpace::TTL).bytes(), 48);
    assert_eq!((ControlSpace::TTL + ControlSpace::from_bytes(20)).bytes(), 48);
}

#[test]
fn receive_without_control_space_gets_no_descriptors() {
    let receivers: [fn(&Socket); 6] = [
        |socket| assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 4),
        |socket| assert_eq!(socket.recv_message(&mut [0; 8]).unwrap().len, 4),
        |socket| assert_eq!(socket.recv_from(&mut [0; 8]).unwrap().0, 4),
        |socket| assert_eq!(socket.recv_append(&mut Vec::with_capacity(8)).unwrap(), 4),
        |socket| {
            let (message, _) = receive(socket, ControlSpace::NONE, MessageFlags::NONE);
            assert!(message.control.is_empty() && message.flags.contains(MessageFlags::CTRUNC));
        },
        |socket| {
            let mut batch = Batch::new(2, 8);
            assert_eq!(socket.recv_many(&mut batch).unwrap(), 1);
            assert_eq!(batch.bytes(0), b"take");
            // The message stays in the queue; the peek has installed no descriptors.
            Box::leak(Box::new(batch));
        },
    ];
    for transport in CARRIERS {
        for receiver in receivers {
            let (one, other) = pair(transport);
            let (readers, writers) = pipes(3);
            give(&one, writers);
            receiver(&other);
            check_closed(readers);
        }
    }
}

#[test]
fn unreceived_descriptors_are_closed() {
    let (one, other) = pair(Transport::UnixStream);
    let (readers, writers) = pipes(3);
    give(&one, writers);
    drop(one);
    drop(other);
    check_closed(readers);
}

#[test]
fn at_most_253_descriptors_fit_one_message() {
    let (one, other) = pair(Transport::UnixStream);
    let stdin = io::stdin();
    let fds = vec![stdin.as_fd(); 254];
    let error = one
        .send_msg(&[IoSlice::new(b"x")], &[SendControl::Rights(&fds)], None, MessageFlags::NONE)
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    send(&one, b"x", &[SendControl::Rights(&fds[1..])], None);
    let (message, _) = receive(&other, ControlSpace::rights(253), MessageFlags::NONE);
    assert_eq!(rights(message.control).len(), 253);
}

/// Runs in a process of its own, where no other test opens descriptors.
#[test]
fn descriptors_do_not_leak() {
    if is_alone() {
        let count = || fs::read_dir("/proc/self/fd").unwrap().count();
        let (one, other) = pair(Transport::UnixDatagram);
        let mut batch = Batch::new(4, 8);
        let before = count();
        for _ in 0..20 {
            for space in [ControlSpace::NONE, ControlSpace::rights(1), ControlSpace::rights(2), ROOM] {
                give(&one, pipes(4).1);
                drop(receive(&other, space, MessageFlags::NONE));
            }
            give(&one, pipes(4).1);
            give(&one, pipes(4).1);
            assert_eq!(other.recv_many(&mut batch).unwrap(), 2);
        }
        return assert_eq!(count(), before);
    }
    let (status, output) = Process::start(&[], "control::descriptors_do_not_leak").unwrap().end();
    assert!(status.success(), "{output}");
}

fn ourselves() -> Credentials {
    let gid = field("/proc/self/status", "Gid:").split_whitespace().nth(1).unwrap().parse().unwrap();
    Credentials { pid: process::id().try_into().unwrap(), uid: effective_user_id(), gid }
}

#[test]
fn passcred_reports_the_sender() {
    for transport in CARRIERS {
        let (one, other) = pair(transport);
        other.set_option(option::SO_PASSCRED, true).unwrap();
        assert!(other.option(option::SO_PASSCRED).unwrap());
        for control in [&[][..], &[SendControl::Credentials(ourselves())]] {
            send(&one, b"who", control, None);
            let control = beside(&other);
            let [ControlMessage::Credentials(who)] = &control[..] else { panic!("{control:?}") };
            assert_eq!(*who, ourselves());
        }
        send(&one, b"batch", &[], None);
        let mut batch = Batch::new(1, 8);
        other.recv_many(&mut batch).unwrap();
        assert_eq!(batch.metadata(0).credentials, Some(ourselves()));
        assert_eq!(one.option(option::SO_PEERCRED).unwrap(), ourselves());
    }
}

#[test]
fn passpidfd_reports_a_pidfd_of_the_sender() {
    let (one, other) = pair(Transport::UnixDatagram);
    if let Err(error) = other.set_option(option::SO_PASSPIDFD, true) {
        return skip("pidfd", error);
    }
    one.send(b"it is me").unwrap();
    let control = beside(&other);
    let [ControlMessage::Pidfd(fd)] = &control[..] else { panic!("{control:?}") };
    let pid = field(&format!("/proc/self/fdinfo/{}", fd.as_raw_fd()), "Pid:");
    assert_eq!(pid, process::id().to_string());
    // A batch ignores the pidfd and closes it.
    one.send(b"it is me").unwrap();
    let mut batch = Batch::new(1, 8);
    assert_eq!(other.recv_many(&mut batch).unwrap(), 1);
    assert_eq!(batch.bytes(0), b"it is me");
}

fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

#[test]
fn timestamp_option_reports_the_arrival() {
    for loopback in LOOPBACK.iter() {
        for (stamps, unit, resolution) in [
            (option::SO_TIMESTAMPNS, 1, TimestampResolution::Nanos),
            (option::SO_TIMESTAMP, 1000, TimestampResolution::Micros),
        ] {
            let (client, server) = udp(loopback);
            server.set_option(stamps, true).unwrap();
            let before = now().as_nanos() / unit;
            client.send(b"ahoy").unwrap();
            let control = beside(&server);
            let after = now().as_nanos() / unit;
            let [ControlMessage::Timestamp(stamp)] = &control[..] else { panic!("{control:?}") };
            let at = stamp.since_epoch();
            assert_eq!(stamp.resolution(), resolution);
            assert!((before..=after).contains(&(at.as_nanos() / unit)), "{before} {at:?} {after}");
            assert_eq!(at.as_nanos() % unit, 0);
        }
    }
}

const ORIGIN_TIMESTAMPING: u8 = 4;

#[test]
fn timestamping_reports_the_arrival() {
    let (client, server) = udp(&LOOPBACK[0]);
    let flags = TimestampingFlags::RX_SOFTWARE | TimestampingFlags::SOFTWARE;
    server.set_option(option::SO_TIMESTAMPING, flags).unwrap();
    assert_eq!(server.option(option::SO_TIMESTAMPING).unwrap(), flags);
    // The kernel enables timestamps asynchronously.
    for _ in 0..10_000 {
        let before = now();
        client.send(b"ahoy").unwrap();
        if let [ControlMessage::Timestamping { software, hardware }] = &beside(&server)[..] {
            assert_eq!(*hardware, None);
            assert!((before..=now()).contains(&software.unwrap()));
            return;
        }
    }
    panic!("no datagram was stamped");
}

#[test]
fn timestamping_reports_the_departure() {
    let (client, server) = udp(&LOOPBACK[0]);
    let flags = TimestampingFlags::TX_SOFTWARE | TimestampingFlags::SOFTWARE | TimestampingFlags::OPT_ID;
    client.set_option(option::SO_TIMESTAMPING, flags).unwrap();
    for id in 0..3 {
        let before = now();
        client.send(b"ahoy").unwrap();
        assert_eq!(server.recv(&mut [0; 8]).unwrap(), 4);
        wait_readable(&client);
        let (message, _) = receive(&client, ROOM, MessageFlags::ERRQUEUE);
        assert!(message.flags.contains(MessageFlags::ERRQUEUE));
        let [
            ControlMessage::Timestamping { software, hardware: None },
            ControlMessage::Error(ExtendedError { origin: ORIGIN_TIMESTAMPING, data, errno, .. }),
        ] = &message.control[..]
        else {
            panic!("{:?}", message.control);
        };
        assert!((before..=now()).contains(&software.unwrap()));
        assert_eq!((*data, i32::try_from(*errno).unwrap()), (id, libc::ENOMSG));
    }
    let nothing = client.recv_msg(&mut [], ROOM, MessageFlags::ERRQUEUE).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock, "the queue of errors is never waited for");
}

#[test]
fn ipv4_header_fields_are_sent_and_received() {
    let (client, server) = udp(&LOOPBACK[0]);
    for option in [option::IP_RECVTTL, option::IP_RECVTOS] {
        server.set_option(option, true).unwrap();
    }
    client.set_option(option::IP_TTL, 33).unwrap();
    client.set_option(option::IP_TOS, 0x20).unwrap();
    for (control, ttl, tos) in [
        (&[][..], 33, 0x20),
        (&[SendControl::Ttl(17)], 17, 0x20),
        (&[SendControl::Tos(0x48)], 33, 0x48),
        (&[SendControl::Ttl(255), SendControl::Tos(0)], 255, 0),
    ] {
        send(&client, b"ahoy", control, None);
        let control = beside(&server);
        assert!(
            matches!(control[..], [ControlMessage::Ttl(hops), ControlMessage::Tos(service)]
                if (hops, service) == (ttl, tos)),
            "{control:?}"
        );
    }
}

#[test]
fn ipv6_header_fields_are_sent_and_received() {
    let [_, v6] = &LOOPBACK[..] else { return };
    let (client, server) = udp(v6);
    for option in [option::IPV6_RECVHOPLIMIT, option::IPV6_RECVTCLASS] {
        server.set_option(option, true).unwrap();
    }
    client.set_option(option::IPV6_UNICAST_HOPS, 33).unwrap();
    client.set_option(option::IPV6_TCLASS, 0x20).unwrap();
    for (control, hops, class) in [
        (&[][..], 33, 0x20),
        (&[SendControl::HopLimit(17)], 17, 0x20),
        (&[SendControl::TrafficClass(0x48)], 33, 0x48),
    ] {
        send(&client, b"ahoy", control, None);
        let control = beside(&server);
        assert!(
            matches!(control[..], [ControlMessage::HopLimit(limit), ControlMessage::TrafficClass(reported)]
                if (limit, reported) == (hops, class)),
            "{control:?}"
        );
    }
}

#[test]
fn segments_are_sent_and_coalesced() {
    for loopback in LOOPBACK.iter() {
        let (client, server) = udp(loopback);
        send(&client, &[7; 530], &[SendControl::UdpSegment(100)], None);
        for len in [100, 100, 100, 100, 100, 30] {
            assert_eq!(receive(&server, ControlSpace::NONE, MessageFlags::NONE).1, vec![7; len]);
        }

        server.set_option(option::UDP_GRO, true).unwrap();
        send(&client, &[7; 530], &[SendControl::UdpSegment(100)], None);
        let (message, bytes) = receive(&server, ROOM, MessageFlags::NONE);
        assert_eq!(bytes, [7; 530]);
        assert!(matches!(message.control[..], [ControlMessage::UdpGro(100)]), "{:?}", message.control);
        // A single datagram has no segment size.
        send(&client, b"one", &[], None);
        assert!(beside(&server).is_empty());
        // A buffer for one datagram loses all the others.
        send(&client, &[7; 530], &[SendControl::UdpSegment(100)], None);
        let message =
            server.recv_msg(&mut [IoSliceMut::new(&mut [0; 100])], ROOM, MessageFlags::NONE).unwrap();
        assert!(message.flags.contains(MessageFlags::TRUNC));
        send(&client, b"after", &[], None);
        assert_eq!(receive(&server, ROOM, MessageFlags::NONE).1, b"after");

        client.set_option(option::UDP_SEGMENT, 10).unwrap();
        assert_eq!(client.option(option::UDP_SEGMENT).unwrap(), 10);
        send(&client, b"0123456789abc", &[], None);
        assert_eq!(receive(&server, ROOM, MessageFlags::NONE).1, b"0123456789abc");
        // 64 before Linux 6.9, 128 since.
        client.set_option(option::UDP_SEGMENT, 0).unwrap();
        send(&client, &[7; 6400], &[SendControl::UdpSegment(100)], None);
        let many = client.send_msg(
            &[IoSlice::new(&[7; 12_900])],
            &[SendControl::UdpSegment(100)],
            None,
            MessageFlags::NONE,
        );
        assert_eq!(many.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}

/// Receives a datagram and returns its destination and source.
fn asked(server: &Socket) -> (PacketInfo, Address) {
    let (message, _) = receive(server, ROOM, MessageFlags::NONE);
    let infos: Vec<PacketInfo> = message
        .control
        .iter()
        .filter_map(|message| match message {
            ControlMessage::PacketInfo(info) => Some(*info),
            _ => None,
        })
        .collect();
    let [info] = infos[..] else { panic!("{:?}", message.control) };
    (info, message.from.unwrap())
}

#[test]
fn packet_info_selects_the_source_address() {
    let server = Transport::Udp.socket(&LOOPBACK[0]).unwrap();
    server.set_option(option::IP_PKTINFO, true).unwrap();
    server.bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = server.local_addr().unwrap().port().unwrap();
    for last in 1..=9 {
        let ip = Ipv4Addr::new(127, 0, 0, last);
        let (client, client_name) = bound(Transport::Udp, &LOOPBACK[0]);
        client.set_timeout(Some(PATIENCE)).unwrap();
        client.connect((ip, port)).unwrap();
        client.send(b"call").unwrap();
        let (info, from) = asked(&server);
        assert_eq!((info.local, info.destination, from), (ip.into(), ip.into(), client_name.clone()));
        // A plain reply leaves from the address that the route selects, so the connected client
        // does not receive it.
        server.send_to(b"plain", &client_name).unwrap();
        send(&server, b"answer", &[SendControl::PacketInfo(info)], Some(&client_name));
        let mut received = vec![receive(&client, ControlSpace::NONE, MessageFlags::NONE).1];
        if last == 1 {
            received.push(receive(&client, ControlSpace::NONE, MessageFlags::NONE).1);
            assert_eq!(received[0], b"plain");
        }
        assert_eq!(received.last().unwrap(), b"answer");
    }
}

#[test]
fn dual_stack_socket_replies_from_mapped_addresses() {
    let [v4, _] = &LOOPBACK[..] else { return };
    let server = Transport::Udp.socket(&(Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
    server.set_option(option::IPV6_V6ONLY, false).unwrap();
    server.set_option(option::IPV6_RECVPKTINFO, true).unwrap();
    server.bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = server.local_addr().unwrap().port().unwrap();
    let ip = Ipv4Addr::new(127, 0, 0, 5);
    let (client, client_name) = bound(Transport::Udp, v4);
    client.set_timeout(Some(PATIENCE)).unwrap();
    client.connect((ip, port)).unwrap();
    client.send(b"call").unwrap();
    let (info, from) = asked(&server);
    let mapped = |ip: Ipv4Addr| IpAddr::from(ip.to_ipv6_mapped());
    assert_eq!((info.local, from.ip()), (mapped(ip), Some(mapped(Ipv4Addr::LOCALHOST))));
    assert_eq!(from.port(), client_name.port());
    send(&server, b"answer", &[SendControl::PacketInfo(info)], Some(&from));
    assert_eq!(receive(&client, ControlSpace::NONE, MessageFlags::NONE).1, b"answer");
}

#[test]
fn queued_error_has_origin_and_destination() {
    for loopback in LOOPBACK.iter() {
        let (silent, nobody) = bound(Transport::Udp, loopback);
        drop(silent);
        let (client, _) = bound(Transport::Udp, loopback);
        client.set_timeout(Some(PATIENCE)).unwrap();
        let (recverr, origin, kind, code) = match nobody.family() {
            Family::INET => (option::IP_RECVERR, 2, 3, 3),
            _ => (option::IPV6_RECVERR, 3, 1, 4),
        };
        client.set_option(recverr, true).unwrap();
        assert!(client.option(recverr).unwrap());
        client.send_to(b"anybody?", &nobody).unwrap();
        // An unconnected socket receives queued errors too.
        let refused = client.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let (message, bytes) = receive(&client, ROOM, MessageFlags::ERRQUEUE);
        assert_eq!((bytes, message.from.as_ref()), (b"anybody?".to_vec(), Some(&nobody)));
        let [ControlMessage::Error(error)] = &message.control[..] else { panic!("{:?}", message.control) };
        assert_eq!(i32::try_from(error.errno).unwrap(), libc::ECONNREFUSED);
        assert_eq!((error.origin, error.kind, error.code), (origin, kind, code));
        assert_eq!(error.offender.as_ref().and_then(Address::ip), loopback.ip());
    }
}

#[test]
fn raw_control_messages_round_trip() {
    let (client, server) = udp(&LOOPBACK[0]);
    let ttl = 21_i32.to_ne_bytes();
    let raw = RawControl { level: libc::IPPROTO_IP, kind: libc::IP_TTL, data: &ttl };
    server.set_option(option::IP_RECVTTL, true).unwrap();
    send(&client, b"ahoy", &[SendControl::Raw(raw)], None);
    let control = beside(&server);
    assert!(matches!(&control[..], [ControlMessage::Ttl(21)]), "{control:?}");
    assert_eq!(control[0].to_raw().as_raw(), raw);
    let unknown = RawControl { level: 1, kind: 999, data: b"?" };
    assert!(
        matches!(ControlMessage::decode(unknown), ControlMessage::Unknown(raw) if raw.as_raw() == unknown)
    );
}

#[test]
fn walk_ends_at_a_malformed_control_message() {
    let header = |len: usize, rest: &[u8]| [&len.to_ne_bytes()[..], &[1, 0, 0, 0, 2, 0, 0, 0], rest].concat();
    let whole = header(20, &[7; 8]);
    let walked = |bytes: &[u8]| RawControl::walk(bytes).map(|raw| raw.data.to_vec()).collect::<Vec<_>>();
    assert_eq!(walked(&whole), [[7; 4]]);
    assert_eq!(walked(&[&whole[..], &whole].concat()), [[7; 4], [7; 4]]);
    assert_eq!(walked(&whole[..20]), [[7; 4]], "the last needs no padding");
    for malformed in
        [&whole[..19], &whole[..15], &[], &header(15, &[]), &header(0, &[]), &header(usize::MAX, &[])]
    {
        assert!(walked(malformed).is_empty(), "{malformed:?}");
        assert_eq!(walked(&[&whole[..], malformed].concat()).len(), 1);
    }
    assert_eq!([0, 1, 8, 9].map(|len| ControlSpace::of(len).bytes()), [16, 24, 24, 32]);
}

#[test]
#[should_panic(expected = "fits the address space")]
fn overflowing_control_space_panics() {
    let _ = ControlSpace::of(usize::MAX);
}

/// The kernel returns MSG_CMSG_CLOEXEC, which the caller has not passed.
#[test]
fn message_flags_are_those_of_the_kernel() {
    for transport in [Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket] {
        let (one, other) = pair(transport);
        // The kernel sets MSG_EOR for complete records.
        let expected = if transport == Transport::UnixStream { 0 } else { libc::MSG_EOR };
        let stderr = io::stderr();
        let fds = [stderr.as_fd()];
        let rights = [SendControl::Rights(&fds)];
        for (control, space) in [(&[][..], ControlSpace::NONE), (&[], ROOM), (&rights, ROOM)] {
            send(&one, b"ahoy", control, None);
            let (message, _) = receive(&other, space, MessageFlags::NONE);
            assert_eq!(message.flags.bits() & !expected, 0, "{transport:?}: {:?}", message.flags);
        }
        send(&one, b"ahoy", &rights, None);
        let (message, _) = receive(&other, ControlSpace::NONE, MessageFlags::NONE);
        assert_eq!(message.flags.bits() & !expected, libc::MSG_CTRUNC);
    }
    for loopback in LOOPBACK.iter() {
        let (client, server) = udp(loopback);
        for space in [ControlSpace::NONE, ROOM] {
            client.send(b"ahoy").unwrap();
            assert_eq!(receive(&server, space, MessageFlags::NONE).0.flags, MessageFlags::NONE);
        }
    }
}

/// Passing a descriptor needs a borrow of it; its number is not enough.
#[test]
fn raw_descriptors_and_credentials_are_refused() {
    let (one, other) = pair(Transport::UnixStream);
    let number = other.as_raw_fd().to_ne_bytes();
    for kind in [libc::SCM_RIGHTS, libc::SCM_CREDENTIALS] {
        let raw = [SendControl::Raw(RawControl { level: libc::SOL_SOCKET, kind, data: &number })];
        let pieces = [IoSlice::new(b"here")];
        let sent = one.send_msg(&pieces, &raw, None, MessageFlags::NONE);
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let outgoing = [Outgoing::new(&pieces).with_control(&raw)];
        assert_eq!(one.send_many(&outgoing).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// The routing table does not send multicast to the loopback interface; the control message does.
#[test]
fn packet_info_selects_the_interface() {
    let lo = interface_index("lo").unwrap();
    let group = Ipv4Addr::new(239, 255, 86, 21);
    let server = Transport::Udp.socket(&LOOPBACK[0]).unwrap();
    server.bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    server.set_option(option::IP_ADD_MEMBERSHIP, Membership { group, interface: lo }).unwrap();
    server.set_option(option::IP_MULTICAST_ALL, false).unwrap();
    server.set_option(option::IP_PKTINFO, true).unwrap();
    server.set_timeout(Some(PATIENCE)).unwrap();
    let to = server.local_addr().unwrap().port().map(|port| Address::from((group, port))).unwrap();
    // With a source address of the interface, the kernel would select the interface itself.
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let info = PacketInfo { destination: any, local: any, interface: lo };
    let client = Transport::Udp.socket(&LOOPBACK[0]).unwrap();
    send(&client, b"by lo", &[SendControl::PacketInfo(info)], Some(&to));
    let (asked, _) = asked(&server);
    assert_eq!((asked.interface, asked.destination), (lo, group.into()));
    // A missing interface is refused; interface 0 leaves the choice to the routing table.
    let sent = client.send_msg(
        &[IoSlice::new(b"by nothing")],
        &[SendControl::PacketInfo(PacketInfo { interface: u32::MAX >> 1, ..info })],
        Some(&to),
        MessageFlags::NONE,
    );
    assert!(sent.is_err());
    assert_eq!(info.by_any_interface().interface, 0);

    if let Some(v6) = link_local() {
        let there = Address::from(SocketAddr::from(v6));
        let (server, name) = bound(Transport::Udp, &there);
        server.set_timeout(Some(PATIENCE)).unwrap();
        let client = Transport::Udp.socket(&there).unwrap();
        let local = IpAddr::from(*v6.ip());
        let info = PacketInfo { destination: local, local, interface: v6.scope_id() };
        assert_eq!(info.by_any_interface(), info, "it means something on this interface alone");
        send(&client, b"ahoy", &[SendControl::PacketInfo(info)], Some(&name));
        assert_eq!(receive(&server, ControlSpace::NONE, MessageFlags::NONE).1, b"ahoy");
    }
}
