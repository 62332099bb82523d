//! Header fields of datagrams: replies have the DSCP of their requests, and report how these
//! arrived.

use std::net::UdpSocket;

use echosounder_proto::{Payload, ProbeFormat, Seen, TextEcho, WallTime};
use echosounder_server::{Config, Running};
use echosounder_socket::{Batch, ControlSpace, Socket, option};
use echosounder_testkit::{PATIENCE, has_ipv6, skip};

/// Endpoints to bind, and the addresses to send requests to and from.
const ENDPOINTS: [(&str, &str); 3] =
    [("udp://127.0.0.1:0", "127.0.0.1"), ("udp://[::1]:0", "[::1]"), ("udp://0.0.0.0:0", "127.0.0.1")];

/// Starts a server, echo or reflector, and returns a client of it for each endpoint.
fn clients(reflects_dscp: bool, is_reflector: bool) -> Vec<(Running, Socket)> {
    let mut clients = Vec::new();
    for (endpoint, ip) in ENDPOINTS {
        if ip == "[::1]" && !has_ipv6() {
            skip("IPv6", "this machine has none");
            continue;
        }
        let mut config = Config::new().reflect_dscp(reflects_dscp);
        config.reflector.honours_dscp = reflects_dscp;
        let (echoes, reflectors) = if is_reflector { (None, Some(endpoint)) } else { (Some(endpoint), None) };
        let mut server = config.bind(echoes).unwrap();
        server.add_reflectors(reflectors).unwrap();
        let server = server.start().unwrap();
        let bound = server.endpoints().chain(server.reflectors()).next().unwrap().to_string();
        let (_, port) = bound.rsplit_once(':').unwrap();
        let client = UdpSocket::bind(format!("{ip}:0")).unwrap();
        client.connect(format!("{ip}:{port}")).unwrap();
        let client = Socket::from(client);
        client.set_timeout(Some(PATIENCE)).unwrap();
        clients.push((server, client));
    }
    clients
}

fn set_class(client: &Socket, class: i32) {
    match client.local_addr().unwrap().ip().unwrap().is_ipv4() {
        true => client.set_option(option::IP_TOS, class).unwrap(),
        false => client.set_option(option::IPV6_TCLASS, class).unwrap(),
    }
}

/// Sends a request and returns the traffic class of its reply.
fn class_of_reply(client: &Socket) -> Option<u8> {
    if client.local_addr().unwrap().ip().unwrap().is_ipv4() {
        client.set_option(option::IP_RECVTOS, true).unwrap();
    } else {
        client.set_option(option::IPV6_RECVTCLASS, true).unwrap();
    }
    client.send(&[0; 44]).unwrap();
    let mut batch = Batch::with_control(1, 256, ControlSpace::TOS);
    client.recv_many(&mut batch).unwrap();
    batch.metadata(0).traffic_class
}

#[test]
fn replies_have_the_dscp_of_their_requests() {
    for is_reflector in [false, true] {
        for (_server, client) in clients(true, is_reflector) {
            for (class, of_reply) in [(0xb8, 0xb8), (0x2a, 0x28), (0, 0)] {
                set_class(&client, class);
                assert_eq!(class_of_reply(&client), Some(of_reply), "{client:?}");
            }
        }
    }
}

#[test]
fn replies_have_no_dscp_if_that_is_disabled() {
    for is_reflector in [false, true] {
        for (_server, client) in clients(false, is_reflector) {
            set_class(&client, 0xb8);
            assert_eq!(class_of_reply(&client), Some(0), "{client:?}");
        }
    }
}

/// Sends a request that asks for its header fields, and returns what its reply reports.
fn report(client: &Socket, number: u64) -> Seen {
    let mut format = TextEcho::messages(Payload::with_header_fields(80));
    let mut request = Vec::new();
    format.write(number, WallTime::from_nanos(0), &mut request);
    client.send(&request).unwrap();
    let (mut reply, mut replies) = ([0; 256], Vec::new());
    let len = client.recv(&mut reply).unwrap();
    assert_eq!(len, request.len());
    assert!(!format.read(&reply[..len], number + 1, &mut replies));
    assert_eq!(replies[0].number, number);
    assert!(replies[0].timestamp.is_some());
    replies[0].seen
}

#[test]
fn replies_report_the_header_fields_of_requests_after_the_first_that_asks() {
    for reflects_dscp in [true, false] {
        for (_server, client) in clients(reflects_dscp, false) {
            set_class(&client, 0xb9);
            // Linux sets the hop limit of both versions by the option of its own.
            let _ = client.set_option(option::IP_TTL, 61);
            let _ = client.set_option(option::IPV6_UNICAST_HOPS, 61);
            assert_eq!(report(&client, 1), Seen::default());
            for number in 2..5 {
                let seen = report(&client, number);
                assert_eq!((seen.ttl, seen.dscp, seen.ecn), (Some(61), Some(46), Some(1)), "{client:?}");
            }
        }
    }
}
