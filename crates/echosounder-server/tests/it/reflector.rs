//! STAMP reflectors over the kernel's sockets.

use std::net::UdpSocket;
use std::time::Duration;

use echosounder_proto::stamp::{
    ErrorEstimate, Key, Layout, ReflectorConfig, ReflectorPacket, SenderConfig, SenderPacket, StampSender,
    TimestampFormat, tlv,
};
use echosounder_proto::{Clock, ProbeFormat, WallTime};
use echosounder_server::internal::SystemClock;
use echosounder_server::{BindError, Config, Running, Totals};
use echosounder_socket::{Batch, ControlSpace, Socket, option};
use echosounder_testkit::{PATIENCE, has_ipv6, skip};

/// Returns a running reflector, and its address as text.
fn reflector(endpoint: &str, change: impl FnOnce(&mut ReflectorConfig)) -> (Running, String) {
    let mut config = Config::new();
    change(&mut config.reflector);
    let mut server = config.bind::<&str>([]).unwrap();
    server.add_reflectors([endpoint]).unwrap();
    let server = server.start().unwrap();
    let address = server.reflectors().next().unwrap().to_string();
    (server, address.trim_start_matches("udp://").to_owned())
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(if address.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn now() -> WallTime {
    SystemClock::start().now().wall
}

fn request(sequence: u32, sent: WallTime) -> [u8; 44] {
    let fields = SenderPacket {
        sequence,
        timestamp: TimestampFormat::Ntp.encode(sent),
        error_estimate: ErrorEstimate::UNKNOWN,
        ssid: 77,
    };
    let mut packet = [0; 44];
    assert!(fields.write(Layout::Unauthenticated, &mut packet));
    packet
}

/// Returns how many datagrams were dropped for each reason.
fn dropped(totals: &Totals) -> Vec<(&'static str, u64)> {
    totals.drops().filter(|(_, count)| *count != 0).map(|(reason, count)| (reason.word(), count)).collect()
}

fn exchange(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).unwrap();
    let mut reply = [0; 2048];
    let len = client.recv(&mut reply).unwrap();
    reply[..len].to_vec()
}

#[test]
fn replies_show_when_and_how_requests_arrived() {
    for endpoint in ["udp://127.0.0.1:0", "udp://[::1]:0", "udp://*:0"] {
        if endpoint.contains("::1") && !has_ipv6() {
            skip("IPv6", "this machine has none");
            continue;
        }
        for is_stateful in [true, false] {
            let (server, address) = reflector(endpoint, |config| config.is_stateful = is_stateful);
            let client = client(&address.replace("*", "127.0.0.1").replace("0.0.0.0", "127.0.0.1"));
            for count in 0..3 {
                let sent = now();
                let reply = exchange(&client, &request(count + 5, sent));
                let received = now();
                let fields = ReflectorPacket::read(Layout::Unauthenticated, &reply).unwrap();
                let sequence = if is_stateful { count } else { count + 5 };
                assert_eq!((fields.sequence, fields.sender_sequence), (sequence, count + 5), "{endpoint}");
                assert_eq!((reply.len(), fields.ssid, fields.sender_ttl), (44, 77, Some(64)));
                assert!(fields.error_estimate.is_valid());
                // The kernel assumes 16 seconds for a clock that nothing corrects.
                assert!(fields.error_estimate.error() < Duration::from_secs(60), "of this machine's clock");
                let sender_timestamp = TimestampFormat::Ntp.encode(sent);
                assert_eq!(fields.sender_timestamp, sender_timestamp);
                let times = [sent, fields.receive_time(sent), fields.send_time(sent), received];
                assert!(times.is_sorted(), "{times:?}");
            }
            assert_eq!(server.stop().unwrap().messages, 3);
        }
    }
}

#[test]
fn short_requests_replies_and_others_get_no_reply() {
    let (server, address) = reflector("udp://127.0.0.1:0", |_| {});
    let client = client(&address);
    let reply = exchange(&client, &request(0, now()));
    client.send(&reply).unwrap();
    client.send(&[0; 13]).unwrap();
    client.send(b"").unwrap();
    for len in [14, 36, 41, 43] {
        assert_eq!(exchange(&client, &request(1, now())[..len]).len(), 44);
    }
    assert_eq!(exchange(&client, &[request(1, now()).to_vec(), vec![0; 500]].concat()).len(), 544);
    let totals = server.stop().unwrap();
    assert_eq!(totals.messages, 6);
    assert_eq!(dropped(&totals), [("stamped", 1), ("short", 2)]);
}

#[test]
fn only_signed_requests_are_replied_to_with_a_key() {
    let key = || Key::new(b"a key of 24 random bytes").unwrap();
    let (server, address) = reflector("udp://127.0.0.1:0", |config| config.key = Some(key()));
    let client = client(&address);
    client.send(&[0; 112]).unwrap();
    client.send(&request(0, now())).unwrap();
    let mut config = SenderConfig::default();
    (config.key, config.size) = (Some(key()), 112);
    let mut signed = Vec::new();
    StampSender::new(config).write(1, now(), &mut signed);
    let reply = exchange(&client, &signed);
    assert_eq!(reply.len(), 112);
    let totals = server.stop().unwrap();
    assert_eq!(totals.messages, 1);
    assert_eq!(dropped(&totals), [("short", 1), ("unauthenticated", 1)]);
}

#[test]
fn replies_have_the_dscp_of_their_requests() {
    let (_server, address) = reflector("udp://127.0.0.1:0", |_| {});
    let client = Socket::from(client(&address));
    client.set_option(option::IP_RECVTOS, true).unwrap();
    let mut batch = Batch::with_control(1, 64, ControlSpace::TOS);
    for (class, of_reply) in [(0xb8, 0xb8), (0x2a, 0x28), (0, 0)] {
        client.set_option(option::IP_TOS, class).unwrap();
        client.send(&request(0, now())).unwrap();
        client.set_timeout(Some(Duration::from_secs(10))).unwrap();
        client.recv_many(&mut batch).unwrap();
        assert_eq!(batch.metadata(0).traffic_class, Some(of_reply));
    }
    // The Class of Service extension chooses another one.
    let extension = [0x80, tlv::CLASS_OF_SERVICE, 0, 4, 46 << 2, 0, 0, 0];
    client.send(&[&request(0, now())[..], &extension].concat()).unwrap();
    client.recv_many(&mut batch).unwrap();
    assert_eq!(batch.metadata(0).traffic_class, Some(46 << 2));
}

#[test]
fn a_server_echoes_and_reflects() {
    let mut server = Config::new().bind(["udp://127.0.0.1:0"]).unwrap();
    server.add_reflectors(["udp://127.0.0.1:0"]).unwrap();
    assert_eq!((server.endpoints().count(), server.reflectors().count()), (1, 1));
    let server = server.start().unwrap();
    let echo = client(server.endpoints().next().unwrap().to_string().trim_start_matches("udp://"));
    assert!(exchange(&echo, b"hello").ends_with(b"] hello"));
    let stamp = client(server.reflectors().next().unwrap().to_string().trim_start_matches("udp://"));
    assert_eq!(exchange(&stamp, &request(0, now())).len(), 44);
    assert_eq!(server.stop().unwrap().messages, 2);
}

#[test]
fn reflectors_are_bound_to_udp_only() {
    let mut server = Config::new().bind(["udp://127.0.0.1:0"]).unwrap();
    let error = server.add_reflectors(["tcp://127.0.0.1:0"]).unwrap_err();
    assert!(matches!(error, BindError::Endpoint(_)), "{error:?}");
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("tcp://127.0.0.1:0"), "{error}");
    assert_eq!(server.reflectors().count(), 0);
}
