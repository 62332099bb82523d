//! Whole servers over the kernel's sockets, from the first byte to the stop.

use std::env;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::thread;

use echosounder_proto::Framing;
use echosounder_socket::{Interest, Kind, Shutdown, Socket, ready};
use echosounder_testkit::{Random, flush_loopback};

use crate::{
    CTIME, Client, Event, Folder, PATIENCE, Reason, Record, all_endpoints, config, line, size, start, stop,
    stopping, unique,
};

#[test]
fn every_transport_replies() {
    let folder = Folder::new();
    let names = all_endpoints(&folder);
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
fn events_are_reported_and_counted() {
    let name = format!("unix-seqpacket:@{}", unique());
    let server = config(&[&name]).bind().unwrap();
    let endpoint = server.endpoints().next().unwrap().clone();
    let record = Record::default();
    let running = server.start_with(record.clone()).unwrap();
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
fn an_empty_message_is_not_the_end() {
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
fn a_stop_replies_to_messages_that_had_arrived() {
    let folder = Folder::new();
    for name in all_endpoints(&folder) {
        for workers in [1, 3] {
            let workers = NonZeroUsize::new(workers).unwrap();
            let (running, endpoints) = start(config(&[&name]).with(|config| config.workers = workers));
            let clients: Vec<_> = (0..20).map(|_| Client::of(&endpoints[0])).collect();
            clients.iter().for_each(|client| client.send(b"hello"));
            flush_loopback();
            let stopped = stopping(running);
            for client in clients {
                let reply = client.recv();
                assert!(reply.ends_with(b"] hello"), "{name}, {workers} workers: {reply:?}");
                if client.kind != Kind::Datagrams {
                    assert_eq!(client.recv(), b"", "{name}: the end, not a reset");
                }
            }
            let totals = stopped.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!((totals.messages, totals.errors), (20, 0), "{name}");
        }
    }
}

#[test]
fn a_stop_replies_to_an_unfinished_line() {
    let folder = Folder::new();
    for name in streams(&folder) {
        let (running, endpoints) = start(config(&[&name]).with(|config| config.framing = line(1024)));
        let client = Client::of(&endpoints[0]);
        client.echo(b"a line\n");
        client.send(b"no end");
        flush_loopback();
        let stopped = stopping(running);
        let reply = client.recv_all();
        assert!(reply.ends_with(b"] no end"), "{name}: {reply:?}");
        drop(client);
        assert_eq!(stopped.recv_timeout(PATIENCE).unwrap().unwrap().messages, 2, "{name}");
    }
}

#[test]
fn connections_that_reset_do_not_disturb_others() {
    let (running, endpoints) = start(config(&["tcp://127.0.0.1:0"]));
    let other = Client::of(&endpoints[0]);
    for round in 0..200 {
        let resetting = Client::of(&endpoints[0]);
        resetting.send(&[b'x'; 2000]);
        if round % 2 == 0 {
            resetting.recv();
            resetting.send(&[b'x'; 2000]);
        }
        // Closed with replies unread or in flight: the kernel resets the connection.
        drop(resetting);
        other.echo(b"hello");
    }
    drop(other);
    let totals = stop(running);
    assert_eq!(totals.connections, 201);
    assert!(totals.errors <= 200 && 200 <= totals.messages);
}

/// Returns endpoints of TCP and UNIX streams.
fn streams(folder: &Folder) -> Vec<String> {
    let mut endpoints = all_endpoints(folder);
    endpoints.retain(|at| at.starts_with("tcp:") || at.starts_with("unix:"));
    endpoints
}

#[test]
fn a_stop_does_not_reset_a_client_that_keeps_sending() {
    let folder = Folder::new();
    for name in streams(&folder) {
        let (running, endpoints) = start(config(&[&name]));
        let client = Client::of(&endpoints[0]);
        client.echo(b"hello");
        let stopped = stopping(running);
        assert_eq!(client.recv(), b"");
        for _ in 0..10 {
            client.send(b"more");
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
        let (running, endpoints) =
            start(config(&[&name]).with(|config| config.stamp = "none".parse().unwrap()));
        let client = Client::of(&endpoints[0]);
        // Fill the buffers of both directions, so that unread input is left at the stop.
        client.socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        loop {
            while let Ok(taken) = client.socket.send(&[b'x'; 20_000]) {
                sent += taken;
            }
            let [state] = ready([(client.socket.as_fd(), Interest::WRITE)], Some(PATIENCE / 100)).unwrap();
            if !state.can_write() {
                break;
            }
        }
        let stopped = stopping(running);
        let received = client.recv_all();
        assert!(!received.is_empty() && received.len() <= sent && received.iter().all(|&byte| byte == b'x'));
        drop(client);
        let totals = stopped.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!((totals.bytes, totals.errors), (received.len() as u64, 0), "every reply has arrived");
    }
}

#[test]
fn a_stop_does_not_wait_for_idle_clients() {
    let folder = Folder::new();
    let names = all_endpoints(&folder);
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

/// A long text that is generated in parts: lines of up to a few hundred bytes.
struct Text(Random);

impl Text {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = b"\nabcdefghijklmnopqrstuvwxyz"[index(&mut self.0, 200).min(26)];
        }
    }
}

/// The number of bytes to send over one connection: SOUNDER_TEST_BYTES, or 32 MiB.
fn total_len() -> usize {
    env::var("SOUNDER_TEST_BYTES").map_or(32 << 20, |bytes| bytes.parse().unwrap())
}

fn echo_everything(name: &str, framing: Framing, seed: u64) {
    let stamp = "none".parse().unwrap();
    let (running, endpoints) =
        start(config(&[name]).with(|config| (config.stamp, config.framing) = (stamp, framing)));
    let client = Client::of(&endpoints[0]);
    let writer = Client { socket: client.socket.try_clone().unwrap(), kind: client.kind, half_closes: true };
    thread::scope(|scope| {
        scope.spawn(move || send_everything(&writer.socket, seed));
        let mut text = Text(Random::new(seed));
        let mut lens = Random::new(!seed);
        let (mut received, mut bytes, mut expected) = (0, vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            assert!(client.is_readable(PATIENCE), "nothing arrived after {received} bytes, seed {seed}");
            let len = client.socket.recv(&mut bytes[..1 + index(&mut lens, 64 * 1024)]).unwrap();
            text.fill(&mut expected[..len]);
            assert!(bytes[..len] == expected[..len], "not the echo after {received} bytes, seed {seed}");
            received += len;
            if len == 0 {
                break;
            }
        }
        assert_eq!(received, total_len(), "seed {seed}");
    });
    drop(client);
    let totals = stop(running);
    assert_eq!((totals.bytes, totals.errors), (total_len() as u64, 0));
}

fn send_everything(socket: &Socket, seed: u64) {
    let (mut text, mut lens, mut left) =
        (Text(Random::new(seed)), Random::new(seed.rotate_left(32)), total_len());
    let mut bytes = vec![0; 64 * 1024];
    while left != 0 {
        let len = (1 + index(&mut lens, 64 * 1024)).min(left);
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
fn a_long_text_over_tcp_is_echoed_without_loss() {
    echo_everything("tcp://127.0.0.1:0", size(1024), Random::fresh_seed());
    echo_everything("tcp://127.0.0.1:0", line(100), Random::fresh_seed());
}

#[test]
fn a_long_text_over_unix_is_echoed_without_loss() {
    echo_everything(&format!("unix:@{}", unique()), size(1024), Random::fresh_seed());
    echo_everything(&format!("unix:@{}", unique()), line(100), Random::fresh_seed());
}
