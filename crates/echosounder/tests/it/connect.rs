//! `sounder ping --connect`: connections to servers of every kind, and to ports where none is; and
//! source ports.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use echosounder_socket::{Address, Endpoint, Kind, Transport};

use crate::ping::{assert_counts, count, end, ping, samples};
use crate::support::{Serving, closed_port, finish, free_port, installed, net_lab, run};

/// Accepts and closes connections. Returns the address, and the peers of the connections.
fn server() -> (SocketAddr, mpsc::Receiver<SocketAddr>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, peers) = mpsc::channel();
    thread::spawn(move || {
        // A connection that was reset already is accepted, too.
        while let Ok((connection, peer)) = listener.accept() {
            // The client closes first, with a FIN or with a reset.
            let _ = (&connection).read(&mut [0]);
            drop(connection);
            // The test may have ended.
            let _ = sender.send(peer);
        }
    });
    (address, peers)
}

/// Returns the states of the sockets of these clients of a TCP server on 127.0.0.1, by
/// linux/tcp_states.h.
fn client_states(server: SocketAddr, clients: &[SocketAddr]) -> Vec<String> {
    let row = |address: &SocketAddr| format!("0100007F:{:04X}", address.port());
    let (remote, clients): (_, Vec<_>) = (row(&server), clients.iter().map(row).collect());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2] == remote && clients.iter().any(|client| client == row[1]))
        .map(|row| row[3].to_owned())
        .collect()
}

#[test]
fn connections_of_every_kind_are_measured() {
    let done = ping(&["--connect", "--self", "-c", "3", "-i", "5ms"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let results: Vec<_> = done.objects().into_iter().filter(|object| object["event"] == "result").collect();
    let mut kinds = BTreeSet::new();
    for result in &results {
        assert_counts(result, &[("sent", 3), ("answered", 3)]);
        let endpoint: Endpoint = result["endpoint"].as_str().unwrap().parse().unwrap();
        assert_ne!(endpoint.transport().kind(), Kind::Datagrams, "{endpoint}");
        kinds.insert(endpoint.transport().scheme());
    }
    assert!(kinds.is_superset(&BTreeSet::from(["tcp", "unix", "unix-seqpacket"])), "{kinds:?}");
}

#[test]
fn the_kernel_measures_the_handshake_over_tcp() {
    let (address, peers) = server();
    let endpoint = format!("tcp://{address}");
    let done = ping(&["--connect", &endpoint, "-c", "5", "-i", "5ms"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let start = done.objects().swap_remove(0);
    assert_eq!((&start["probe"], &start["size_bytes"]), (&"connect".into(), &0.into()), "{start}");
    assert_eq!(start["timestamps"], "kernel", "{start}");
    assert_counts(&end(&done), &[("sent", 5), ("answered", 5)]);
    assert_eq!(count(&end(&done)["kernel_rx_delay"], "count"), 5, "{done:?}");
    let sources: BTreeSet<_> = (0..5).map(|_| peers.recv().unwrap()).collect();
    assert_eq!(sources.len(), 5, "each request is a connection: {sources:?}");
    let text = run(&["ping", "--connect", &endpoint, "-c", "1"], b"");
    assert!(
        text.text().starts_with(&format!(
            "PING {endpoint}, a connection every 1 s\nconnected to 127.0.0.1: seq=1 rtt="
        )),
        "{text:?}"
    );
    assert!(!text.text().contains("timestamps, so only"), "{text:?}");
}

#[test]
fn a_refusal_has_its_time_over_every_transport() {
    let port = closed_port();
    for args in [&["--connect", "tcp://127.0.0.1:PORT"][..], &["udp://127.0.0.1:PORT"]] {
        let args: Vec<_> = args.iter().map(|arg| arg.replace("PORT", &port.to_string())).collect();
        let args: Vec<_> = args.iter().map(String::as_str).chain(["-c", "3", "-i", "5ms"]).collect();
        let done = ping(&args);
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        assert_counts(&end(&done), &[("sent", 3), ("lost", 3)]);
        for sample in samples(&done) {
            assert_eq!(sample["reason"], "REFUSED", "{sample}");
            assert!(sample["rejected_after_ns"].is_u64(), "{args:?}: {sample}");
        }
        assert_eq!(count(&end(&done)["refused_after"], "count"), 3, "{done:?}");
        let text = run(&[&["ping"], &args[..]].concat(), b"");
        assert!(text.text().contains(": seq=2 REFUSED after "), "{text:?}");
        assert!(text.text().contains("\nrefused  3 after "), "{text:?}");
        assert!(text.text().contains("(the host is up, the port is closed)\n"), "{text:?}");
    }
}

#[test]
fn nobody_rejects_a_connection_that_times_out() {
    let (_listener, address) = full_listener();
    let endpoint = format!("tcp://{address}");
    let done = ping(&["--connect", &endpoint, "-c", "2", "-i", "5ms", "-W", "200ms"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    for sample in samples(&done) {
        assert_eq!(
            (&sample["reason"], &sample["rejected_after_ns"]),
            (&"TIMEOUT".into(), &serde_json::Value::Null)
        );
    }
}

/// Rules that drop connections to port 7001 and reject those to the next ports.
const FIREWALL: &str = "nft -f - <<'END'
table inet filter {
    chain incoming {
        type filter hook input priority 0;
        tcp dport 7001 drop
        tcp dport 7002 reject with tcp reset
        tcp dport 7003 reject
        tcp dport 7004 reject with icmpx type admin-prohibited
    }
}
END";

#[test]
fn firewalls_drop_or_reject_connections() {
    if installed("nft").is_none() {
        return;
    }
    for (port, reason, is_rejected) in [
        (7001, "TIMEOUT", false),
        (7002, "REFUSED", true),
        (7003, "REFUSED", true),
        (7004, "UNREACHABLE", true),
    ] {
        let Some(mut lab) = net_lab(FIREWALL) else { return };
        lab.arg(env!("CARGO_BIN_EXE_sounder")).args(["ping", "--json", "--connect", "-c", "2", "-i", "5ms"]);
        let wait = if is_rejected { "20s" } else { "300ms" };
        let done = finish(lab.args(["-W", wait, &format!("tcp://127.0.0.1:{port}")]), b"");
        assert_eq!(done.code, Some(1), "{port}: {done:?}");
        assert_eq!(samples(&done).len(), 2, "{port}: {done:?}");
        for sample in samples(&done) {
            assert_eq!(sample["reason"], reason, "{port}: {sample}");
            assert_eq!(sample["rejected_after_ns"].is_u64(), is_rejected, "{port}: {sample}");
        }
    }
}

/// Returns a listener whose queue is full, so that the kernel drops further SYNs, and the connections
/// that fill it.
fn full_listener() -> ((echosounder_socket::Socket, Vec<TcpStream>), SocketAddr) {
    let any = Address::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Transport::Tcp.socket(&any).unwrap();
    listener.bind(&any).unwrap();
    listener.listen_with(0).unwrap();
    let address = listener.local_addr().unwrap();
    let address = SocketAddr::new(address.ip().unwrap(), address.port().unwrap());
    // The queue has space for one connection more than its backlog: listen(2), net/sock.h.
    let filling = vec![TcpStream::connect(address).unwrap()];
    ((listener, filling), address)
}

#[test]
fn a_reset_leaves_no_port_in_time_wait() {
    for (args, left) in [(&["--reset"][..], 0), (&[], 3)] {
        let (address, peers) = server();
        let endpoint = format!("tcp://{address}");
        let done = ping(&[&["--connect", &endpoint, "-c", "3", "-i", "5ms"], args].concat());
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
        let sources: Vec<_> = (0..3).map(|_| peers.recv().unwrap()).collect();
        let states = client_states(address, &sources);
        assert_eq!(states.len(), left, "{args:?}: {states:?} of {sources:?}");
    }
}

#[test]
fn requests_come_from_the_chosen_ports() {
    let (address, peers) = server();
    let port = free_port();
    let endpoint = format!("tcp://{address}");
    let done = ping(&[
        "--connect",
        "--reset",
        &endpoint,
        "-c",
        "3",
        // The port of the connection before is free by then.
        "-i",
        "0",
        "--source-port",
        &port.to_string(),
    ]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(done.objects()[0]["source_port"], port, "{done:?}");
    for _ in 0..3 {
        assert_eq!(peers.recv().unwrap().port(), port);
    }
    // Messages have a source port, too.
    let served = Serving::at(&["udp://127.0.0.1:0"]);
    let done = ping(&[served.endpoint(), "-c", "2", "-i", "5ms", "--source-port", &port.to_string()]);
    assert_eq!(done.objects()[0]["local"], format!("127.0.0.1:{port}"), "{done:?}");
    assert_counts(&end(&done), &[("sent", 2), ("answered", 2)]);
    served.stop();
}

#[test]
fn ports_of_a_range_are_targets_of_their_own() {
    // Nothing listens at the target: the report has a part for each port all the same.
    let target = format!("tcp://127.0.0.1:{}", closed_port());
    let port = free_port();
    let range = format!("{port}-{}", port + 1);
    let done = ping(&["--connect", "--reset", &target, "-c", "1", "--source-port", &range]);
    let mut starts: Vec<_> = done.objects().into_iter().filter(|object| object["event"] == "start").collect();
    // The target that is ready first starts first.
    starts.sort_by_key(|start| start["source_port"].as_u64());
    for (start, port) in starts.iter().zip([port, port + 1]) {
        assert_eq!(start["endpoint"], format!("{target} from port {port}"), "{done:?}");
        assert_eq!(
            (&start["resolved"], &start["source_port"]),
            (&start["endpoint"], &port.into()),
            "{done:?}"
        );
    }
    assert_eq!(starts.len(), 2, "{done:?}");
}

#[test]
fn wrong_usage_of_connections_and_ports_is_explained() {
    for (args, part) in [
        (&["--connect", "udp://127.0.0.1:7"][..], "--connect does not apply to udp://127.0.0.1:7"),
        (&["--connect", "stamp://127.0.0.1"], "--connect does not apply to stamp://127.0.0.1:862"),
        (&["--connect", "--reset", "unix:/x"], "--reset does not apply to unix:/x"),
        (&["--reset", "tcp://127.0.0.1:7"], "--connect"),
        (&["--connect", "-s", "64", "tcp://127.0.0.1:7"], "cannot be used with"),
        (&["--source-port", "0", "tcp://127.0.0.1:7"], "is not a port from 1 to 65535"),
        (&["--source-port", "9", "icmp://127.0.0.1"], "--source-port does not apply to icmp://127.0.0.1"),
        (&["--source-port", "9", "unix:/x"], "--source-port does not apply to unix:/x"),
    ] {
        let done = run(&[&["ping"], args].concat(), b"");
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert!(done.stderr.contains(part), "{args:?}: {}", done.stderr);
    }
}
