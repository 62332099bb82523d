//! Taking addresses: all of a name, none that is in use.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_server::{BindError, Config, Server, StartError};
use echosounder_socket::{Endpoint, Kind};

use crate::{CTIME, Client, Event, Folder, Record, config, everywhere, has_ipv6, start, stop, unique};

/// Why a server cannot be bound, in one line.
fn refusal(endpoints: &[&str]) -> String {
    match Server::bind(config(endpoints)) {
        Err(BindError::Bind(error)) => format!("{error}: {}", error.source().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn ports(endpoints: &[Endpoint]) -> HashSet<String> {
    endpoints.iter().map(|at| at.to_string().rsplit(':').next().unwrap().to_owned()).collect()
}

#[test]
fn a_name_binds_every_address_on_one_port() {
    let addresses: HashSet<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    let here = addresses.iter().filter(|address| UdpSocket::bind(address).is_ok()).count();
    for name in ["tcp://localhost:0", "udp://localhost:0"] {
        let (running, endpoints) = start(config(&[name]));
        assert_eq!(endpoints.len(), here, "{endpoints:?}");
        assert_eq!(ports(&endpoints).len(), 1, "{endpoints:?}");
        endpoints.iter().for_each(|endpoint| Client::of(endpoint).echo(b"hello"));
        assert_eq!(stop(running).messages, here as u64);
    }
}

#[test]
fn a_star_is_two_sockets_on_one_port() {
    let v6 = has_ipv6();
    let wildcards = ["0.0.0.0:0", "[::]:0"].iter().filter(|address| UdpSocket::bind(address).is_ok()).count();
    for name in ["tcp://*:0", "udp://*:0"] {
        let (running, endpoints) = start(config(&[name]));
        assert_eq!(endpoints.len(), wildcards, "{endpoints:?}");
        assert_eq!(ports(&endpoints).len(), 1, "{endpoints:?}");
        let port = ports(&endpoints).drain().next().unwrap();
        let scheme = endpoints[0].transport().scheme();
        for host in ["127.0.0.1", "127.0.0.2", "[::1]"].iter().filter(|host| v6 || !host.starts_with('[')) {
            Client::of(&format!("{scheme}://{host}:{port}").parse().unwrap()).echo(b"hello");
        }
        stop(running);
    }
}

#[test]
fn an_address_in_use_is_refused_and_its_owner_undisturbed() {
    for workers in [1, 3] {
        let folder = Folder::new();
        let names = everywhere(&folder);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let workers = NonZeroUsize::new(workers).unwrap();
        let server = Server::bind(Config { workers, ..config(&names) }).unwrap();
        let endpoints: Vec<_> = server.endpoints().cloned().collect();
        let record = Record::default();
        let running = server.start(|| record.clone()).unwrap();
        // Of a TIPC service there may be many.
        let alone = endpoints.iter().map(Endpoint::to_string).filter(|name| !name.starts_with("tipc"));
        for endpoint in alone {
            for intruders in [1, 3] {
                let workers = NonZeroUsize::new(intruders).unwrap();
                let intruder = Config { workers, ..config(&["tcp://127.0.0.1:0", &endpoint]) };
                let Err(BindError::Bind(error)) = Server::bind(intruder) else {
                    panic!("{endpoint} is shared");
                };
                assert!(error.to_string().contains(&endpoint), "{error}");
                assert_eq!(error.cause().kind(), io::ErrorKind::AddrInUse);
            }
        }
        assert_eq!(record.take(), []);
        endpoints.iter().for_each(|endpoint| Client::of(endpoint).echo(b"still there"));
        let connected = record.take().iter().filter(|told| matches!(told, Event::Connected(_))).count();
        assert_eq!(connected, endpoints.iter().filter(|at| at.transport().kind() != Kind::Datagrams).count());
        let totals = stop(running);
        assert_eq!((totals.messages, totals.errors), (endpoints.len() as u64, 0));
    }
}

#[test]
fn an_address_that_a_stranger_uses_is_refused() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("tcp://{}", tcp.local_addr().unwrap());
    assert!(refusal(&[&name]).starts_with(&format!("cannot bind {name}: ")));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("udp://{}", udp.local_addr().unwrap());
    assert!(refusal(&[&name]).starts_with(&format!("cannot bind {name}: ")));
}

#[test]
fn all_endpoints_are_taken_or_none() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = format!("tcp://{}", taken.local_addr().unwrap());
    refusal(&[&folder.endpoint("unix", "s"), &tcp]);
    assert!(!folder.path().join("s").exists());
}

#[test]
fn every_worker_has_its_share() {
    let folder = Folder::new();
    for name in everywhere(&folder) {
        let workers = NonZeroUsize::new(4).unwrap();
        let (running, endpoints) = start(Config { workers, ..config(&[&name]) });
        let clients: Vec<_> = (0..40).map(|_| Client::of(&endpoints[0])).collect();
        for _ in 0..3 {
            clients.iter().for_each(|client| client.echo(b"hello"));
        }
        drop(clients);
        assert_eq!(stop(running).messages, 120, "{name}");
    }
}

#[test]
fn wildcards_answer_from_the_address_that_was_asked() {
    let mut config = config(&["udp://*:0"]);
    config.stamp = "[{ctime}] {local} ".parse().unwrap();
    let (running, endpoints) = start(config);
    let port = ports(&endpoints).drain().next().unwrap();
    let mut hosts: Vec<_> = (1..10).map(|last| format!("127.0.0.{last}")).collect();
    if has_ipv6() {
        hosts.push("[::1]".into());
    }
    for host in hosts {
        // A connected socket hears nobody else.
        let client = Client::of(&format!("udp://{host}:{port}").parse().unwrap());
        client.send(b"hello");
        assert_eq!(client.recv()[CTIME..], *format!("{host}:{port} hello").as_bytes());
    }
    stop(running);
}

#[test]
fn more_connections_than_descriptors_are_refused() {
    let mut greedy = config(&[&format!("unix:@{}", unique())]);
    greedy.connections_max = Some(usize::MAX);
    let Err(StartError::Descriptors { wanted, available }) = Server::bind(greedy).unwrap().start(|| ())
    else {
        panic!("nobody has so many descriptors");
    };
    assert!(available < wanted && 0 < available);
}

#[test]
fn the_surplus_waits_until_a_connection_ends() {
    let folder = Folder::new();
    // With TIPC nobody is connected before the server accepts, so nobody can wait and be connected.
    for name in everywhere(&folder).into_iter().filter(|name| !name.starts_with("tipc")) {
        let mut config = config(&[&name]);
        config.connections_max = Some(2);
        let (running, endpoints) = start(config);
        if endpoints[0].transport().kind() == Kind::Datagrams {
            continue;
        }
        let mut served: Vec<_> = (0..2).map(|_| Client::of(&endpoints[0])).collect();
        served.iter().for_each(|client| client.echo(b"hello"));
        let waiting: Vec<_> = (0..3).map(|_| Client::of(&endpoints[0])).collect();
        waiting.iter().for_each(|client| client.send(b"hello"));
        (0..10).for_each(|_| served.iter().for_each(|client| client.echo(b"go on")));
        assert!(waiting.iter().all(|client| !client.is_told(Duration::ZERO)));
        assert_eq!(running.totals().connections, 2);
        served.pop();
        for client in waiting {
            assert_eq!(client.recv_exact(CTIME + 5)[CTIME..], *b"hello");
        }
        drop(served);
        let totals = stop(running);
        assert_eq!((totals.connections, totals.errors), (5, 0));
    }
}
