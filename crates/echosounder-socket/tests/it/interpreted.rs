//! Tests that Miri can run, which checks every pointer: TCP connections, pairs, ownership of
//! descriptors, and decoding of control messages. Miri cannot receive datagrams or control messages.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, UNIX_EPOCH};

use echosounder_socket::{
    ControlMessage, ErrorProtocol, ExtendedError, Family, Protocol, RawControl, Shutdown, Socket,
    TimestampResolution, Type,
};

fn tcp() -> Socket {
    Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT).unwrap()
}

fn pair() -> (Socket, Socket) {
    Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT).unwrap()
}

#[test]
fn request_and_reply() {
    let listener = tcp();
    listener.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.listen_with(1).unwrap();
    let client = tcp();
    client.connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());

    client.send_all(b"ahoy").unwrap();
    let mut appended = Vec::with_capacity(6);
    appended.extend_from_slice(b"> ");
    while appended.len() < 6 {
        assert_ne!(server.recv_append(&mut appended).unwrap(), 0);
    }
    assert_eq!(appended, b"> ahoy");
    assert_eq!(server.recv_append(&mut appended).unwrap(), 0, "no capacity is left");

    assert_eq!(server.send(&appended).unwrap(), 6);
    let (mut buffer, mut len) = ([0; 6], 0);
    while len < 6 {
        len += client.recv(&mut buffer[len..]).unwrap();
    }
    assert_eq!(buffer[..], appended);
    server.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn received_descriptors_have_one_owner() {
    let (one, other) = pair();
    let second = one.try_clone().unwrap();
    assert_ne!(second.as_raw_fd(), one.as_raw_fd());
    assert!(!second.inheritable().unwrap());
    let number = one.as_raw_fd();
    let fd: OwnedFd = one.into_fd();
    assert_eq!(fd.as_raw_fd(), number);
    drop(fd);
    second.close().unwrap();
    drop(OwnedFd::from(other));
}

/// Bytes as the kernel writes them for each type of control message, on a little-endian machine.
fn control_messages() -> Vec<(i32, i32, Vec<u8>)> {
    let int = |number: i32| number.to_ne_bytes().to_vec();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let longs = |longs: &[i64]| longs.iter().flat_map(|long| long.to_ne_bytes()).collect::<Vec<u8>>();
    let sockaddr_in = [&2_u16.to_ne_bytes()[..], &[0, 7, 192, 0, 2, 1], &[0; 8]].concat();
    let sockaddr_in6 = [&10_u16.to_ne_bytes()[..], &[0, 7, 0, 0, 0, 0], &[0xfe; 16], &[2, 0, 0, 0]].concat();
    let error = [words(&[111]), vec![2, 3, 3, 0], words(&[0, 0])].concat();
    let aux_data = [words(&[16, 60, 60]), vec![0, 0, 14, 0, 5, 0, 0, 0x81]].concat();
    let sctp = [vec![1, 0, 2, 0, 4, 0, 0, 0], words(&[7, 8, 9, 10, 11])].concat();
    vec![
        (1, 2, words(&[7, 1000, 1000])),                 // SCM_CREDENTIALS
        (1, 3, b"label".to_vec()),                       // SCM_SECURITY
        (1, 12, words(&[6])),                            // SO_PRIORITY
        (1, 29, longs(&[1_700_000_000, 999_999])),       // SCM_TIMESTAMP
        (1, 35, longs(&[1_700_000_000, 999_999_999])),   // SCM_TIMESTAMPNS
        (1, 36, words(&[0x1234])),                       // SO_MARK
        (1, 37, longs(&[1_700_000_000, 5, 0, 0, 9, 1])), // SCM_TIMESTAMPING
        (1, 40, words(&[u32::MAX])),                     // SO_RXQ_OVFL
        (1, 54, vec![8, 0, 1, 0, 1, 2, 3, 4]),           // SCM_TIMESTAMPING_OPT_STATS
        (1, 58, words(&[3, 1500, 0, 0])),                // SCM_TIMESTAMPING_PKTINFO
        (0, 1, vec![0x48]),                              // IP_TOS
        (0, 2, int(64)),                                 // IP_TTL
        (0, 6, vec![1, 1, 1, 1]),                        // IP_RECVOPTS
        (0, 7, vec![1, 1, 1, 1]),                        // IP_RETOPTS
        (0, 8, [words(&[2]), vec![192, 0, 2, 1, 224, 0, 0, 1]].concat()), // IP_PKTINFO
        (0, 11, [&error[..], &sockaddr_in].concat()),    // IP_RECVERR
        (0, 11, [&error[..], &[0; 16]].concat()),        // IP_RECVERR without an offender
        (0, 20, sockaddr_in),                            // IP_ORIGDSTADDR
        (0, 25, int(1400)),                              // IP_RECVFRAGSIZE
        (41, 11, 0x0480_1234_u32.to_be_bytes().to_vec()), // IPV6_FLOWINFO
        (41, 25, [&error[..], &sockaddr_in6].concat()),  // IPV6_RECVERR
        (41, 50, [vec![0xfe; 16], words(&[2])].concat()), // IPV6_PKTINFO
        (41, 52, int(64)),                               // IPV6_HOPLIMIT
        (41, 54, vec![0, 0, 1, 4, 0, 0, 0, 0]),          // IPV6_HOPOPTS
        (41, 57, vec![0, 0, 4, 0, 0, 0, 0, 0]),          // IPV6_RTHDR
        (41, 59, vec![0, 0, 1, 4, 0, 0, 0, 0]),          // IPV6_DSTOPTS
        (41, 67, int(0x48)),                             // IPV6_TCLASS
        (41, 74, sockaddr_in6),                          // IPV6_ORIGDSTADDR
        (41, 77, int(1400)),                             // IPV6_RECVFRAGSIZE
        (6, 36, int(10)),                                // TCP_CM_INQ
        (17, 104, int(1200)),                            // UDP_GRO
        (132, 3, sctp),                                  // SCTP_RCVINFO
        (263, 8, aux_data),                              // PACKET_AUXDATA
        (263, 16, error.clone()),                        // PACKET_TX_TIMESTAMP
        (270, 3, words(&[1])),                           // NETLINK_PKTINFO
        (270, 8, int(-1)),                               // NETLINK_LISTEN_ALL_NSID
        (271, 1, words(&[2, 100])),                      // TIPC_ERRINFO
        (271, 2, b"returned".to_vec()),                  // TIPC_RETDATA
        (271, 3, words(&[1000, 1, 9])),                  // TIPC_DESTNAME
        (282, 2, vec![21]),                              // TLS_GET_RECORD_TYPE
        (287, 1, error),                                 // VSOCK_RECVERR
    ]
}

#[test]
fn every_control_message_is_decoded_without_loss() {
    for (level, kind, data) in control_messages() {
        let raw = RawControl { level, kind, data: &data };
        let message = ControlMessage::decode(raw);
        assert!(!matches!(message, ControlMessage::Unknown(_)), "{raw:?}");
        assert_eq!(message.to_raw().as_raw(), raw, "{message:?}");
        assert!(!format!("{message:?}").is_empty());
        // A shorter one is another message or stays raw, and loses nothing either.
        for len in 0..data.len() {
            let raw = RawControl { data: &data[..len], ..raw };
            assert_eq!(ControlMessage::decode(raw).to_raw().as_raw(), raw);
        }
    }
}

#[test]
fn control_messages_have_the_values_of_the_kernel() {
    let decode = |level, kind, data: &[u8]| ControlMessage::decode(RawControl { level, kind, data });
    let all = control_messages();
    let find = |wanted: (i32, i32)| {
        let (level, kind, data) = all.iter().find(|(level, kind, _)| (*level, *kind) == wanted).unwrap();
        decode(*level, *kind, data)
    };
    let ControlMessage::Timestamp(micros) = find((1, 29)) else { panic!("no timestamp") };
    assert_eq!(micros.since_epoch(), Duration::new(1_700_000_000, 999_999_000));
    assert_eq!(micros.resolution(), TimestampResolution::Micros);
    assert_eq!(micros.system_time(), UNIX_EPOCH + micros.since_epoch());
    let ControlMessage::Timestamping { software, hardware } = find((1, 37)) else { panic!("no times") };
    assert_eq!(software, Some(Duration::new(1_700_000_000, 5)));
    assert_eq!(hardware, Some(Duration::new(9, 1)));
    let ControlMessage::Error(error) = find((0, 11)) else { panic!("no error") };
    assert_eq!((error.protocol, error.origin), (ErrorProtocol::Ipv4, ExtendedError::ORIGIN_ICMP));
    assert_eq!(error.to_io_error().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(error.offender, Some((Ipv4Addr::new(192, 0, 2, 1), 7).into()));
    let ControlMessage::Error(error) = find((287, 1)) else { panic!("no error") };
    assert_eq!((error.protocol, error.offender), (ErrorProtocol::Vsock, None));
    let ControlMessage::PacketAuxData(facts) = find((263, 8)) else { panic!("no facts") };
    assert_eq!((facts.network_offset, facts.vlan(), facts.vlan_tpid), (14, Some(5), 0x8100));
    let ControlMessage::SctpReceiveInfo(info) = find((132, 3)) else { panic!("no information") };
    assert_eq!(
        (info.stream, info.stream_sequence, info.flags, info.ppid, info.association),
        (1, 2, 4, 7, 11)
    );
    let ControlMessage::FlowInfo(flow) = find((41, 11)) else { panic!("no flow information") };
    assert_eq!(flow, 0x0480_1234);
    // Invalid times stay raw.
    for (kind, parts) in [(35, [1, 1_000_000_000]), (35, [-1, 0]), (29, [1, 1_000_000]), (29, [0, i64::MAX])]
    {
        let data: Vec<u8> = parts.iter().flat_map(|part: &i64| part.to_ne_bytes()).collect();
        assert!(matches!(decode(1, kind, &data), ControlMessage::Unknown(_)), "{kind} {parts:?}");
    }
}

#[test]
fn completions_carry_a_range_of_sends() {
    let completion = |errno: u32, origin: u8, code: u8| {
        let data = [errno.to_ne_bytes(), [origin, 0, code, 0], 3_u32.to_ne_bytes(), 5_u32.to_ne_bytes()];
        let data = [&data.concat()[..], &[0; 16]].concat();
        match ControlMessage::decode(RawControl { level: 0, kind: 11, data: &data }) {
            ControlMessage::Error(error) => error.zerocopy(),
            message => panic!("{message:?}"),
        }
    };
    for (code, copied) in [(0, false), (1, true)] {
        let found = completion(0, ExtendedError::ORIGIN_ZEROCOPY, code).unwrap();
        assert_eq!((found.first, found.last, found.copied), (3, 5, copied));
    }
    assert_eq!(completion(0, ExtendedError::ORIGIN_TIMESTAMPING, 0), None);
    assert_eq!(completion(1, ExtendedError::ORIGIN_ZEROCOPY, 0), None);
}
