//! Binding: every address of a name, and no address that is in use.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;

use echosounder_server::{BindError, StartError};
use echosounder_socket::{Endpoint, Kind};

use crate::{CTIME, Client, Event, Folder, Record, all_endpoints, config, has_ipv6, start, stop, unique};

/// Returns why a server cannot bind these endpoints, in one line.
fn bind_error(endpoints: &[&str]) -> String {
    match config(endpoints).bind() {
        Err(BindError::Bind(error)) => format!("{error}: {}", error.source().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn ports_of(endpoints: &[Endpoint]) -> HashSet<String> {
    endpoints.iter().map(|at| at.to_string().rsplit(':').next().unwrap().to_owned()).collect()
}

#[test]
fn a_name_binds_every_address_on_one_port() {
    let addresses: HashSet<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    let bindable = addresses.iter().filter(|address| UdpSocket::bind(address).is_ok()).count();
    for name in ["tcp://localhost:0", "udp://localhost:0"] {
        let (running, endpoints) = start(config(&[name]));
        assert_eq!(endpoints.len(), bindable, "{endpoints:?}");
        assert_eq!(ports_of(&endpoints).len(), 1, "{endpoints:?}");
        endpoints.iter().for_each(|endpoint| Client::of(endpoint).echo(b"hello"));
        assert_eq!(stop(running).messages, bindable as u64);
    }
}

#[test]
fn a_star_binds_two_sockets_on_one_port() {
    let has_v6 = has_ipv6();
    let wildcards = ["0.0.0.0:0", "[::]:0"].iter().filter(|address| UdpSocket::bind(address).is_ok()).count();
    for name in ["tcp://*:0", "udp://*:0"] {
        let (running, endpoints) = start(config(&[name]));
        assert_eq!(endpoints.len(), wildcards, "{endpoints:?}");
        assert_eq!(ports_of(&endpoints).len(), 1, "{endpoints:?}");
        let port = ports_of(&endpoints).drain().next().unwrap();
        let scheme = endpoints[0].transport().scheme();
        for host in ["127.0.0.1", "127.0.0.2", "[::1]"].iter().filter(|host| has_v6 || !host.starts_with('['))
        {
            Client::of(&format!("{scheme}://{host}:{port}").parse().unwrap()).echo(b"hello");
        }
        stop(running);
    }
}

#[test]
fn an_address_in_use_is_refused_and_its_owner_is_undisturbed() {
    for workers in [1, 3] {
        let folder = Folder::new();
        let names = all_endpoints(&folder);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let workers = NonZeroUsize::new(workers).unwrap();
        let server = config(&names).with(|config| config.workers = workers).bind().unwrap();
        let endpoints: Vec<_> = server.endpoints().cloned().collect();
        let record = Record::default();
        let running = server.start_with(record.clone()).unwrap();
        // Several TIPC sockets may be bound to one service.
        let unique_addresses =
            endpoints.iter().map(Endpoint::to_string).filter(|name| !name.starts_with("tipc"));
        for endpoint in unique_addresses {
            for intruders in [1, 3] {
                let workers = NonZeroUsize::new(intruders).unwrap();
                let intruder =
                    config(&["tcp://127.0.0.1:0", &endpoint]).with(|config| config.workers = workers);
                let Err(BindError::Bind(error)) = intruder.bind() else {
                    panic!("{endpoint} was bound twice");
                };
                assert!(error.to_string().contains(&endpoint), "{error}");
                assert_eq!(error.cause().kind(), io::ErrorKind::AddrInUse);
            }
        }
        assert_eq!(record.take(), []);
        endpoints.iter().for_each(|endpoint| Client::of(endpoint).echo(b"hello"));
        let connected = record.take().iter().filter(|event| matches!(event, Event::Connected(_))).count();
        assert_eq!(connected, endpoints.iter().filter(|at| at.transport().kind() != Kind::Datagrams).count());
        let totals = stop(running);
        assert_eq!((totals.messages, totals.errors), (endpoints.len() as u64, 0));
    }
}

#[test]
fn an_address_of_another_program_is_refused() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("tcp://{}", tcp.local_addr().unwrap());
    assert!(bind_error(&[&name]).starts_with(&format!("cannot bind {name}: ")));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("udp://{}", udp.local_addr().unwrap());
    assert!(bind_error(&[&name]).starts_with(&format!("cannot bind {name}: ")));
}

#[test]
fn a_server_binds_all_endpoints_or_none() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = format!("tcp://{}", taken.local_addr().unwrap());
    bind_error(&[&folder.endpoint("unix", "s"), &tcp]);
    assert!(!folder.path().join("s").exists());
}

#[test]
fn replies_are_correct_with_several_workers() {
    let folder = Folder::new();
    for name in all_endpoints(&folder) {
        let workers = NonZeroUsize::new(4).unwrap();
        let (running, endpoints) = start(config(&[&name]).with(|config| config.workers = workers));
        let clients: Vec<_> = (0..40).map(|_| Client::of(&endpoints[0])).collect();
        for _ in 0..3 {
            clients.iter().for_each(|client| client.echo(b"hello"));
        }
        drop(clients);
        assert_eq!(stop(running).messages, 120, "{name}");
    }
}

#[test]
fn wildcard_sockets_reply_from_the_destination_address() {
    let mut config = config(&["udp://*:0"]);
    config.stamp = "[{ctime}] {local} ".parse().unwrap();
    let (running, endpoints) = start(config);
    let port = ports_of(&endpoints).drain().next().unwrap();
    let mut hosts: Vec<_> = (1..10).map(|last| format!("127.0.0.{last}")).collect();
    if has_ipv6() {
        hosts.push("[::1]".into());
    }
    for host in hosts {
        // A connected socket receives only from the address that it is connected to.
        let client = Client::of(&format!("udp://{host}:{port}").parse().unwrap());
        client.send(b"hello");
        assert_eq!(client.recv()[CTIME..], *format!("{host}:{port} hello").as_bytes());
    }
    stop(running);
}

#[test]
fn a_maximum_beyond_the_descriptor_limit_is_refused() {
    let mut greedy = config(&[&format!("unix:@{}", unique())]);
    greedy.connections_max = Some(usize::MAX);
    let Err(StartError::Descriptors { wanted, available }) = greedy.bind().unwrap().start() else {
        panic!("no process has so many descriptors");
    };
    assert!(available < wanted && 0 < available);
}
