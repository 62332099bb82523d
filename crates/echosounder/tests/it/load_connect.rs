//! `sounder load --connect`: a new connection for each message, to servers of every kind.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use echosounder_socket::{Endpoint, Kind};
use serde_json::Value;

use crate::families::{endpoint, schemes};
use crate::ping::count;
use crate::schema::assert_lines;
use crate::support::{
    Finished, Folder, Serving, closed_port, connections, finish, net_lab, run, sh, unique, wait_until,
};

/// Runs `sounder load --connect --json` without a warm-up.
#[track_caller]
fn load(args: &[&str]) -> Finished {
    let fixed = ["load", "--connect", "--json", "--warm-up", "0", "-w", "20s"];
    let done = run(&[&fixed, args].concat(), b"");
    assert_lines(&done.objects());
    done
}

/// Returns the last object, which is the result.
#[track_caller]
fn result(done: &Finished) -> Value {
    let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(result["event"], "result", "{done:?}");
    result
}

#[test]
fn every_kind_of_connection_carries_one_message() {
    let name = unique();
    let mut endpoints = vec!["tcp://127.0.0.1:0".to_owned()];
    endpoints.extend(["unix", "unix-seqpacket"].map(|scheme| format!("{scheme}:@{name}-{scheme}")));
    let others = schemes().into_iter().map(endpoint);
    let is_connected = |endpoint: &String| {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        endpoint.transport().kind() != Kind::Datagrams
    };
    endpoints.extend(others.filter(is_connected));
    for endpoint in &endpoints {
        for pace in [&["-t", "2"][..], &["-r", "2k"], &["-s", "1-100k"]] {
            if endpoint.contains("seqpacket") && pace[0] == "-s" {
                // A message must fit into the send buffer.
                continue;
            }
            let done = load(&[&["--self", endpoint, "-n", "201", "-c", "4"], pace].concat());
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint} {pace:?}");
            let result = result(&done);
            for key in ["sent", "answered"] {
                assert_eq!(result[key], 201, "{endpoint} {pace:?}: {result}");
            }
            for key in ["lost", "late", "unexpected", "connections_closed", "connections_refused"] {
                assert_eq!(result[key], 0, "{endpoint} {pace:?}: {key} in {result}");
            }
            for key in ["latency", "connect", "reply"] {
                assert_eq!(count(&result[key], "count"), 201, "{endpoint} {pace:?}: {result}");
            }
            assert_eq!(result["tcp"], Value::Null, "{result}");
        }
    }
}

#[test]
fn each_message_has_a_connection_of_its_own() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    let peer = connections(move |mut stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut message = [0; 64];
        if stream.read_exact(&mut message).and_then(|()| stream.write_all(&message)).is_ok() {
            // Nothing follows.
            assert_eq!(stream.read(&mut message).unwrap_or(0), 0);
        }
    });
    let done = load(&[&peer, "-n", "30", "-c", "3", "--reset"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    // The first connection shows that the server is there.
    wait_until("31 connections", || accepted.load(Ordering::Relaxed) == 31);
    let text = run(&["load", "--connect", &peer, "-n", "30", "-c", "3", "--warm-up", "0"], b"");
    let text = text.text();
    assert!(text.contains("\n3 connections at a time, a new one for each message of 64 bytes, "), "{text}");
    assert!(
        text.contains(" connections/s, ") && text.contains("     latency     connect       reply\n"),
        "{text}"
    );
}

#[test]
fn connections_without_a_reply_are_reported() {
    let closes = connections(drop);
    let done = run(&["load", "--connect", &closes, "-n", "20", "--warm-up", "0"], b"");
    assert_eq!(done.code, Some(1));
    let expected = format!("sounder: CLOSED: cannot measure {closes}: the server closed every connection\n");
    assert_eq!(done.stderr, expected);
    assert!(done.text().contains("\n         20 connections closed by the server\n"), "{}", done.text());
    // A server that goes away in the middle.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = format!("tcp://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for stream in listener.incoming().take(6) {
            let mut stream = stream.unwrap();
            let mut message = [0; 64];
            // The first connection has no message.
            if stream.read_exact(&mut message).is_ok() {
                stream.write_all(&message).unwrap();
            }
        }
    });
    let done = load(&[&peer, "-n", "20", "-c", "1"]);
    server.join().unwrap();
    let refused = result(&done);
    assert_eq!(
        (done.code, &refused["sent"], &refused["answered"]),
        (Some(1), &20.into(), &5.into()),
        "{refused}"
    );
    // The connection that waited to be accepted was reset.
    let lost = ["connections_refused", "connections_closed"].map(|key| refused[key].as_u64().unwrap());
    assert!(lost[0] + lost[1] == 15 && 13 <= lost[0], "{refused}");
}

#[test]
fn a_missing_server_is_reported_at_once() {
    let port = closed_port();
    let peer = format!("tcp://127.0.0.1:{port}");
    let done = run(&["load", "--connect", &peer], b"");
    assert_eq!((done.code, done.text()), (Some(1), ""));
    assert_eq!(done.stderr, format!("sounder: REFUSED: cannot connect to {peer}: Connection refused\n"));
}

#[test]
fn local_ports_that_run_out_are_no_failure_of_the_server() {
    let ports = "sysctl -qw net.ipv4.ip_local_port_range='40000 40009' net.ipv4.tcp_tw_reuse=0";
    for (command, args) in [
        ("load", &["--connect", "--self", "-n", "100", "-c", "2"][..]),
        ("ping", &["--connect", "--self", "tcp://127.0.0.1:0", "-c", "100", "-i", "0"]),
    ] {
        for reset in [false, true] {
            let Some(mut lab) = net_lab(ports) else { return };
            lab.arg(env!("CARGO_BIN_EXE_sounder")).arg(command).args(args);
            let done = finish(if reset { lab.arg("--reset") } else { &mut lab }, b"");
            if reset {
                assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{command}");
                continue;
            }
            assert_eq!(done.code, Some(2), "{command}: {done:?}");
            assert!(done.stderr.contains("no local port is free"), "{command}: {}", done.stderr);
            let hint = "hint: --reset makes the port of a closed connection free at once; or widen the range";
            assert!(done.stderr.contains(hint), "{command}: {}", done.stderr);
        }
    }
}

#[test]
fn closed_connections_keep_no_descriptors() {
    for (command, args) in [
        ("load", "--connect --reset -n 1000 -c 4 --warm-up 0 -w 20s"),
        ("ping", "--connect --reset -c 1000 -i 0 -q -W 20s"),
    ] {
        let served = Serving::at(&["tcp://127.0.0.1:0"]);
        let program = env!("CARGO_BIN_EXE_sounder");
        let limited = format!("ulimit -n 40 && exec {program} {command} {args} {}", served.endpoint());
        let done = finish(&mut sh(&limited), b"");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{command}: {done:?}");
        served.stop();
    }
}

#[test]
fn files_show_the_parts_of_the_latency() {
    let folder = Folder::new();
    let [html, hdr, json] = ["html", "hdr", "json"].map(|ending| folder.join(&format!("result.{ending}")));
    let done = load(&["--self", "-n", "200", "-o", &html, "-o", &hdr, "-o", &json]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let read = |path: &str| fs::read_to_string(path).unwrap();
    for text in [">connections per second<", ">connect</th>", ">reply</th>", "a new one for each message"] {
        assert!(read(&html).contains(text), "{text}");
    }
    let log = read(&hdr);
    let tags = log.lines().filter_map(|line| line.strip_prefix("Tag=")?.split(',').next());
    assert_eq!(tags.collect::<Vec<_>>(), ["connect", "reply"]);
    assert!(serde_json::from_str::<Value>(&read(&json)).unwrap()["connect"].is_object());
}

#[test]
fn wrong_usage_of_connections_is_explained() {
    for (args, part) in [
        (&["udp://127.0.0.1:7"][..], "--connect does not apply to udp://127.0.0.1:7"),
        (&["--reset", "unix:/x"], "--reset does not apply to unix:/x"),
        (&["-p", "2"], "cannot be used with"),
    ] {
        let done = run(&[&["load", "--connect"], args].concat(), b"");
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert!(done.stderr.contains(part), "{args:?}: {}", done.stderr);
    }
    let done = run(&["load", "--reset"], b"");
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("--connect"), "{}", done.stderr);
}
