//! Whole conversations over the kernel's sockets, from the first byte to the end of the server.

use std::env;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::thread;

use echosounder_proto::Framing;
use echosounder_server::{Config, Server};
use echosounder_socket::{Interest, Kind, Shutdown, Socket, ready};
use echosounder_testkit::Random;

use crate::{
    CTIME, Client, Event, Folder, PATIENCE, Reason, Record, config, everywhere, line, size, start, stop,
    stopping, unique,
};

#[test]
fn every_transport_answers() {
    let folder = Folder::new();
    let names = everywhere(&folder);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (running, endpoints) = start(config(&names));
    assert_eq!(endpoints.len(), names.len());
    for endpoint in &endpoints {
        let client = Client::of(endpoint);
        client.echo(b"hello");
        client.echo(&[b'x'; 1000]);
    }
    let totals = stop(running);
    let connected = endpoints.iter().filter(|at| at.transport().kind() != Kind::Datagrams).count();
    assert_eq!((totals.connections, totals.errors), (connected as u64, 0));
    assert_eq!((totals.messages, totals.bytes), (2 * names.len() as u64, 1005 * names.len() as u64));
    assert_eq!(totals.dropped(), 0);
}

#[test]
fn what_happens_is_told_and_counted() {
    let name = format!("unix-seqpacket:@{}", unique());
    let server = Server::bind(config(&[&name])).unwrap();
    let endpoint = server.endpoints().next().unwrap().clone();
    let record = Record::default();
    let running = server.start(|| record.clone()).unwrap();
    assert_eq!(running.totals(), Default::default());
    let client = Client::of(&endpoint);
    client.echo(b"one");
    client.echo(b"three");
    client.finish();
    assert_eq!(client.recv(), b"");
    let totals = stop(running);
    assert_eq!((totals.connections, totals.messages, totals.bytes), (1, 2, 8));
    assert_eq!((totals.errors, totals.dropped()), (0, 0));
    let peer = || "unnamed".to_owned();
    let messages = [b"one".to_vec(), b"three".to_vec()].map(|bytes| Event::Message(peer(), bytes));
    let [one, three] = messages;
    assert_eq!(
        record.take(),
        [Event::Connected(peer()), one, three, Event::Closed(peer(), 2, Reason::Finished)]
    );
}

#[test]
fn an_empty_message_is_no_end() {
    for (stamp, reply) in [("ctime", CTIME), ("none", 0)] {
        let name = format!("unix-seqpacket:@{}", unique());
        let mut config = config(&[&name]);
        config.stamp = stamp.parse().unwrap();
        let (running, endpoints) = start(config);
        let client = Client::of(&endpoints[0]);
        for _ in 0..2 {
            client.send(b"");
            client.send(b"");
            assert_eq!([client.recv().len(), client.recv().len()], [reply, reply], "{stamp}");
        }
        client.send(b"after");
        assert_eq!(client.recv().len(), reply + 5, "{stamp}");
        client.finish();
        assert_eq!(client.recv(), b"", "{stamp}");
        let totals = stop(running);
        assert_eq!((totals.messages, totals.bytes, totals.errors), (5, 5, 0), "{stamp}");
    }
}

#[test]
fn a_stop_answers_what_had_arrived() {
    let folder = Folder::new();
    for name in everywhere(&folder) {
        for workers in [1, 3] {
            let workers = NonZeroUsize::new(workers).unwrap();
            let (running, endpoints) = start(Config { workers, ..config(&[&name]) });
            let clients: Vec<_> = (0..20).map(|_| Client::of(&endpoints[0])).collect();
            clients.iter().for_each(|client| client.send(b"hello"));
            let stopped = stopping(running);
            for client in clients {
                assert_eq!(client.recv()[CTIME..], *b"hello");
                if client.kind != Kind::Datagrams {
                    assert_eq!(client.recv(), b"", "the end, not a reset");
                }
            }
            let totals = stopped.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!((totals.messages, totals.errors), (20, 0), "{name}");
        }
    }
}

#[test]
fn a_stop_answers_an_unfinished_line() {
    let folder = Folder::new();
    for name in streams(&folder) {
        let (running, endpoints) = start(Config { framing: line(1024), ..config(&[&name]) });
        let client = Client::of(&endpoints[0]);
        client.echo(b"a line\n");
        client.send(b"no end");
        let stopped = stopping(running);
        assert_eq!(client.recv_all()[CTIME..], *b"no end");
        drop(client);
        assert_eq!(stopped.recv_timeout(PATIENCE).unwrap().unwrap().messages, 2);
    }
}

#[test]
fn peers_that_reset_disturb_nobody() {
    let (running, endpoints) = start(config(&["tcp://127.0.0.1:0"]));
    let polite = Client::of(&endpoints[0]);
    for round in 0..200 {
        let rude = Client::of(&endpoints[0]);
        rude.send(&[b'x'; 2000]);
        if round % 2 == 0 {
            rude.recv();
            rude.send(&[b'x'; 2000]);
        }
        // Gone with answers unread, or on their way: the kernel resets the connection.
        drop(rude);
        polite.echo(b"hello");
    }
    drop(polite);
    let totals = stop(running);
    assert_eq!(totals.connections, 201);
    assert!(totals.errors <= 200 && 200 <= totals.messages);
}

/// The endpoints that are streams.
fn streams(folder: &Folder) -> Vec<String> {
    let mut endpoints = everywhere(folder);
    endpoints.retain(|at| at.starts_with("tcp:") || at.starts_with("unix:"));
    endpoints
}

#[test]
fn a_stop_does_not_reset_a_client_who_goes_on() {
    let folder = Folder::new();
    for name in streams(&folder) {
        let (running, endpoints) = start(config(&[&name]));
        let client = Client::of(&endpoints[0]);
        client.echo(b"hello");
        let stopped = stopping(running);
        assert_eq!(client.recv(), b"");
        for _ in 0..10 {
            client.send(b"is anybody there?");
            assert_eq!(client.recv(), b"");
        }
        drop(client);
        assert_eq!(stopped.recv_timeout(PATIENCE).unwrap().unwrap().errors, 0);
    }
}

#[test]
fn a_stop_does_not_reset_a_client_whose_input_is_unread() {
    let folder = Folder::new();
    for name in streams(&folder) {
        let (running, endpoints) = start(Config { stamp: "none".parse().unwrap(), ..config(&[&name]) });
        let client = Client::of(&endpoints[0]);
        // Until nothing goes any more: the buffers of both ways are full, and input waits to be read.
        client.socket.set_blocking(false).unwrap();
        let mut said = 0;
        loop {
            while let Ok(sent) = client.socket.send(&[b'x'; 20_000]) {
                said += sent;
            }
            let [state] = ready([(client.socket.as_fd(), Interest::Write)], Some(PATIENCE / 100)).unwrap();
            if !state.writable {
                break;
            }
        }
        let stopped = stopping(running);
        let heard = client.recv_all();
        assert!(!heard.is_empty() && heard.len() <= said && heard.iter().all(|&byte| byte == b'x'));
        drop(client);
        let totals = stopped.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!((totals.bytes, totals.errors), (heard.len() as u64, 0), "what was answered has arrived");
    }
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let folder = Folder::new();
    let names = everywhere(&folder);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (running, endpoints) = start(config(&names));
    let clients: Vec<_> = endpoints.iter().map(Client::of).collect();
    clients.iter().for_each(|client| client.echo(b"hello"));
    assert_eq!(stop(running).messages, names.len() as u64);
    drop(clients);
}

#[test]
fn a_server_that_is_dropped_stops() {
    let folder = Folder::new();
    let (running, endpoints) = start(config(&[&folder.endpoint("unix", "s")]));
    let client = Client::of(&endpoints[0]);
    client.echo(b"hello");
    thread::scope(|scope| {
        scope.spawn(|| drop(running));
        assert_eq!(client.recv(), b"");
        drop(client);
    });
    assert!(!folder.path().join("s").exists());
}

/// A number from 0 up to but not including `bound`.
fn index(random: &mut Random, bound: u64) -> usize {
    usize::try_from(random.below(bound)).unwrap()
}

/// A long text, some bytes at a time: lines of all lengths up to a few hundred bytes.
struct Text(Random);

impl Text {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = b"\nabcdefghijklmnopqrstuvwxyz"[index(&mut self.0, 200).min(26)];
        }
    }
}

/// As many bytes as are to go through one responder: SOUNDER_TEST_BYTES, or 32 MiB.
fn length() -> usize {
    env::var("SOUNDER_TEST_BYTES").map_or(32 << 20, |bytes| bytes.parse().unwrap())
}

fn converse(name: &str, framing: Framing, seed: u64) {
    let stamp = "none".parse().unwrap();
    let (running, endpoints) = start(Config { stamp, framing, ..config(&[name]) });
    let client = Client::of(&endpoints[0]);
    let writer = Client { socket: client.socket.duplicate().unwrap(), kind: client.kind, half_closes: true };
    thread::scope(|scope| {
        scope.spawn(move || say_all(&writer.socket, seed));
        let mut text = Text(Random::new(seed));
        let mut cuts = Random::new(!seed);
        let (mut heard, mut bytes, mut expected) = (0, vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            assert!(client.is_told(PATIENCE), "nothing came after {heard} bytes, seed {seed}");
            let len = client.socket.recv(&mut bytes[..1 + index(&mut cuts, 64 * 1024)]).unwrap();
            text.fill(&mut expected[..len]);
            assert!(bytes[..len] == expected[..len], "not the echo after {heard} bytes, seed {seed}");
            heard += len;
            if len == 0 {
                break;
            }
        }
        assert_eq!(heard, length(), "seed {seed}");
    });
    drop(client);
    let totals = stop(running);
    assert_eq!((totals.bytes, totals.errors), (length() as u64, 0));
}

fn say_all(socket: &Socket, seed: u64) {
    let (mut text, mut cuts, mut left) =
        (Text(Random::new(seed)), Random::new(seed.rotate_left(32)), length());
    let mut bytes = vec![0; 64 * 1024];
    while left != 0 {
        let len = (1 + index(&mut cuts, 64 * 1024)).min(left);
        text.fill(&mut bytes[..len]);
        let mut rest = &bytes[..len];
        while !rest.is_empty() {
            rest = &rest[socket.send(rest).unwrap()..];
        }
        left -= len;
    }
    socket.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn a_long_conversation_over_tcp_loses_nothing() {
    converse("tcp://127.0.0.1:0", size(1024), Random::fresh_seed());
    converse("tcp://127.0.0.1:0", line(100), Random::fresh_seed());
}

#[test]
fn a_long_conversation_over_unix_loses_nothing() {
    converse(&format!("unix:@{}", unique()), size(1024), Random::fresh_seed());
    converse(&format!("unix:@{}", unique()), line(100), Random::fresh_seed());
}
