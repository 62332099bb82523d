//! Connecting: whose failure it is, and what ends it.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use echosounder_client::{ClientError, ConnectOptions, FailureKind, Peer, Source, WaitLimit};
use echosounder_socket::{Endpoint, IpVersion, Socket, StopToken, Transport};
use echosounder_testkit::{Folder, PATIENCE, closed_port};

fn options(endpoint: &str) -> ConnectOptions {
    ConnectOptions::new(endpoint.parse().unwrap()).wait(PATIENCE)
}

fn connect(options: ConnectOptions) -> Result<Peer, ClientError> {
    Peer::connect_with(options, WaitLimit::new(StopToken::new().unwrap(), Duration::MAX))
}

/// Returns a UNIX listener whose queue is full, its endpoint, and the connections that fill the
/// queue.
fn full_queue(folder: &Folder) -> (Socket, String, Vec<Socket>) {
    let endpoint = format!("unix:{}", folder.join("full"));
    let address = endpoint.parse::<Endpoint>().unwrap();
    let address = address.resolve(echosounder_socket::Side::Server, IpVersion::Any).unwrap().remove(0);
    let listener = Transport::UnixStream.socket(&address).unwrap();
    listener.bind(&address).unwrap();
    listener.listen_with(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = Transport::UnixStream.socket(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        if socket.connect(&address).is_err() {
            return (listener, endpoint, waiting);
        }
        waiting.push(socket);
    }
}

#[test]
fn closed_port_refuses_a_connection() {
    let error = connect(options(&format!("tcp://127.0.0.1:{}", closed_port()))).unwrap_err();
    assert_eq!(error.failure_kind(), Some(FailureKind::Refused), "{error}");
}

#[test]
fn peer_names_the_address_that_has_accepted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let peer = connect(options(&endpoint)).unwrap();
    assert_eq!((peer.peer_endpoint(), peer.endpoint().to_string()), (endpoint.clone(), endpoint));
}

#[test]
fn multicast_address_is_a_local_failure() {
    for endpoint in ["udp://224.0.0.1:9", "tcp://224.0.0.1:9", "udp://127.255.255.255:9"] {
        let error = connect(options(endpoint)).unwrap_err();
        assert!(error.is_local() && error.failure_kind().is_none(), "{endpoint}: {error}");
    }
}

#[test]
fn source_of_another_family_has_no_address_to_connect_to() {
    let source = Source::Address("::1".parse().unwrap());
    let error = connect(options("tcp://127.0.0.1:7").source(source)).unwrap_err();
    assert!(error.is_local(), "{error}");
}

#[test]
fn stop_ends_the_wait_for_a_full_queue() {
    let folder = Folder::new();
    let (_listener, endpoint, _waiting) = full_queue(&folder);
    let stop = StopToken::new().unwrap();
    let limit = WaitLimit::new(stop.clone(), Duration::MAX);
    let stopping = thread::spawn(move || stop.stop());
    let error = Peer::connect_with(options(&endpoint), limit).unwrap_err();
    assert!(matches!(error, ClientError::Stopped), "{error}");
    stopping.join().unwrap();
}

#[test]
fn full_queue_times_out() {
    let folder = Folder::new();
    let (_listener, endpoint, _waiting) = full_queue(&folder);
    let error = connect(options(&endpoint).wait(Duration::from_millis(20))).unwrap_err();
    assert_eq!(error.failure_kind(), Some(FailureKind::Timeout), "{error}");
}

#[test]
fn connection_is_established_when_a_full_queue_empties() {
    let folder = Folder::new();
    let (listener, endpoint, waiting) = full_queue(&folder);
    let accept_all = move || (0..=waiting.len()).map(|_| listener.accept().unwrap()).collect::<Vec<_>>();
    let accepting = thread::spawn(accept_all);
    let peer = connect(options(&endpoint)).unwrap();
    assert_eq!(peer.peer_endpoint(), endpoint);
    accepting.join().unwrap();
}
