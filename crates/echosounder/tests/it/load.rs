//! `sounder load`: its counters with peers of all kinds, its end, and its files.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;

use crate::families::{endpoint, schemes};
use crate::support::{
    Finished, Folder, Program, Serving, closed_port, connections, finish, has_ipv6, host_and_port,
    json_lines, private_network, run, skip, sounder, unique, wait_until,
};
use crate::talk::where_both_is_a_name;

/// Length of a message in these tests.
const LEN: usize = 64;

/// Runs `sounder load --json` without a warm-up.
#[track_caller]
fn load(args: &[&str]) -> Finished {
    let fixed = ["load", "--json", "--warm-up", "0", "--size", "64"];
    run(&[&fixed, args].concat(), b"")
}

/// Returns the last object, which is the result.
#[track_caller]
fn result(done: &Finished) -> Value {
    let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(result["event"], "result", "{done:?}");
    result
}

/// Fails unless the result has these counts and all others are zero.
#[track_caller]
fn assert_counts(result: &Value, expected: &[(&str, u64)]) {
    for key in
        ["sent", "answered", "lost", "late", "unexpected", "duplicate", "skipped", "connections_closed"]
    {
        let expected = expected.iter().find(|(name, _)| *name == key).map_or(0, |(_, count)| *count);
        assert_eq!(result[key], expected, "{key}: {result}");
    }
}

/// Starts a peer for datagrams that sends the replies that `replies` returns for each message. It
/// ends with the program.
fn datagrams(mut replies: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            for reply in replies(&buffer[..len]) {
                socket.send_to(&reply, from).unwrap();
            }
        }
    });
    endpoint
}

/// Echoes `count` messages.
fn echo(stream: &mut TcpStream, count: usize) {
    let mut message = [0; LEN];
    for _ in 0..count {
        if stream.read_exact(&mut message).and_then(|()| stream.write_all(&message)).is_err() {
            return;
        }
    }
}

/// Returns whether no process but this one has `word` on its command line.
fn nobody_runs(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ours = std::process::id().to_string();
    let mut others = processes.filter(|entry| *entry.file_name() != *ours);
    !others.any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    })
}

#[test]
fn every_transport_counts_each_message_once() {
    let name = unique();
    let mut endpoints: Vec<String> = ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"].map(str::to_owned).into();
    endpoints
        .extend(["unix", "unix-dgram", "unix-seqpacket"].map(|scheme| format!("{scheme}:@{name}-{scheme}")));
    if has_ipv6() {
        endpoints.extend(["tcp://[::1]:0", "udp://[::1]:0"].map(str::to_owned));
    }
    endpoints.extend(schemes().iter().map(|scheme| endpoint(scheme)));
    for endpoint in &endpoints {
        for pace in [&["-p", "1"][..], &["-p", "5"], &["-r", "5k"], &["-r", "5k", "--spacing", "poisson"]] {
            let args = ["--self", endpoint, "-n", "301", "-t", "2", "-c", "4", "-w", "20s"];
            let done = load(&[&args, pace].concat());
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint} {pace:?}");
            let result = result(&done);
            // The queue of a UNIX datagram socket holds ten datagrams and may be full when a
            // message is due.
            let left_out = if pace[0] == "-r" { result["skipped"].as_u64().unwrap() } else { 0 };
            assert_counts(&result, &[("sent", 301), ("answered", 301), ("skipped", left_out)]);
        }
    }
}

#[test]
fn messages_of_every_size_are_answered() {
    for sizes in ["1", "8-70", "1-100k", "1m"] {
        let done = run(&["load", "--self", "-n", "50", "-p", "4", "-s", sizes, "-w", "20s", "--json"], b"");
        assert_eq!(done.code, Some(0), "{sizes}: {done:?}");
        assert_counts(&result(&done), &[("sent", 50), ("answered", 50)]);
    }
}

#[test]
fn lost_datagrams_count_as_lost() {
    let mut count = 0;
    let peer = datagrams(move |message| {
        count += 1;
        if count % 3 == 0 { Vec::new() } else { vec![message.to_vec()] }
    });
    let done = load(&[&peer, "-c", "1", "-p", "10", "-n", "10", "-w", "3s"]);
    // A number of messages was requested, so each must be answered.
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert_counts(&result(&done), &[("sent", 10), ("answered", 7), ("lost", 3)]);
}

#[test]
fn reply_after_the_timeout_counts_as_late() {
    let mut first = None;
    let peer = datagrams(move |message| match first.take() {
        // The second message is sent because the first was given up.
        Some(first) => vec![first, message.to_vec()],
        None => {
            first = Some(message.to_vec());
            Vec::new()
        }
    });
    let done = load(&[&peer, "-c", "1", "-n", "2", "-w", "2s"]);
    let result = result(&done);
    assert_eq!((&result["late"], &result["duplicate"], &result["lost"]), (&1.into(), &0.into(), &0.into()));
    assert_eq!((&result["sent"], &result["answered"]), (&2.into(), &1.into()), "{result}");
}

#[test]
fn repeated_reply_counts_as_duplicate() {
    let mut before = Vec::new();
    let peer = datagrams(move |message| {
        let again = std::mem::replace(&mut before, message.to_vec());
        [again, message.to_vec()].into_iter().filter(|reply| !reply.is_empty()).collect()
    });
    let done = load(&[&peer, "-c", "1", "-n", "10", "-w", "20s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_counts(&result(&done), &[("sent", 10), ("answered", 10), ("duplicate", 9)]);
}

#[test]
fn reordered_datagrams_count_as_answered() {
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    let peer = datagrams(move |message| {
        waiting.push(message.to_vec());
        let replies = if waiting.len() == 10 { std::mem::take(&mut waiting) } else { Vec::new() };
        replies.into_iter().rev().collect()
    });
    let done = load(&[&peer, "-c", "1", "-p", "10", "-n", "50", "-w", "20s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_counts(&result(&done), &[("sent", 50), ("answered", 50)]);
}

#[test]
fn data_that_was_not_sent_counts_as_unexpected() {
    let peer = datagrams(|message| vec![b"nonsense\n".to_vec(), message[1..].to_vec(), message.to_vec()]);
    let done = load(&[&peer, "-c", "1", "-n", "10", "-w", "20s"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert_counts(&result(&done), &[("sent", 10), ("answered", 10), ("unexpected", 20)]);

    let corrupts = connections(|mut stream| {
        echo(&mut stream, 1);
        let _ = stream.write_all(b"nonsense");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let done = load(&[&corrupts, "-c", "1", "-n", "5", "-w", "20s"]);
    let result = result(&done);
    assert_eq!(
        (done.code, &result["unexpected"], &result["connections_closed"]),
        (Some(1), &1.into(), &0.into()),
        "{result}"
    );
}

#[test]
fn replies_without_timestamps_are_counted() {
    let plain = connections(|mut stream| echo(&mut stream, usize::MAX));
    let done = load(&[&plain, "-n", "50", "-w", "20s"]);
    assert_eq!((done.code, &result(&done)["without_timestamp"]), (Some(0), &50.into()));
    let text = run(&["load", &plain, "-n", "50", "-w", "20s", "--warm-up", "0"], b"");
    assert!(
        text.text().contains(" 50 came without a timestamp (the server sends none)\n"),
        "{}",
        text.text()
    );
    let done = load(&["--self", "-n", "50", "-w", "20s"]);
    assert_eq!((done.code, &result(&done)["without_timestamp"]), (Some(0), &0.into()));
    // The textbook's server puts a timestamp before the placeholder instead of filling the
    // placeholder in.
    let stamped = datagrams(|message| vec![[&b"[Sun Nov 22 12:19:36 2026] "[..], message].concat()]);
    let done = load(&[&stamped, "-n", "50", "-w", "20s"]);
    assert_eq!((done.code, &result(&done)["without_timestamp"]), (Some(0), &0.into()));
}

#[test]
fn closed_connections_are_reported() {
    let some = connections(|mut stream| echo(&mut stream, 5));
    let done = load(&[&some, "-c", "3", "-n", "1000", "-w", "20s"]);
    let closed = result(&done);
    assert_eq!(
        (done.code, &closed["connections_closed"], &closed["answered"]),
        (Some(1), &3.into(), &15.into()),
        "{closed}"
    );

    let none = connections(|mut stream| echo(&mut stream, 0));
    let done = run(&["load", &none, "-n", "1000"], b"");
    assert_eq!(done.code, Some(1));
    let expected = format!("sounder: CLOSED: cannot measure {none}: the server closed every connection\n");
    assert_eq!(done.stderr, expected);
}

#[test]
fn silent_server_is_reported() {
    let peer = connections(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    for end in [["-n", "1000"], ["-d", "200ms"]] {
        let done = run(&["load", &peer, "--warm-up", "0", "-w", "100ms", end[0], end[1]], b"");
        assert_eq!(done.code, Some(1));
        assert_eq!(done.stderr, format!("sounder: TIMEOUT: cannot measure {peer}: no reply arrived\n"));
        assert!(
            done.text().contains("\n10 sent, 0 answered, 10 lost, 0 late, 0 unexpected\n"),
            "{}",
            done.text()
        );
    }
}

/// The failure that is reported of a peer that does not echo.
#[derive(Clone, Copy, Debug)]
enum PeerFailure {
    NotAnEcho,
    Closed,
    Timeout,
}

#[test]
fn peer_that_does_not_echo_ends_every_load_with_its_failure() {
    let read = |stream: &mut TcpStream| stream.read(&mut [0; 4096]).unwrap_or(0);
    let silent = connections(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let html = connections(move |mut stream| {
        read(&mut stream);
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>Bad Request</html>");
    });
    let greets = connections(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let garbage = connections(|mut stream| while stream.write_all(&[0xa5; 4096]).is_ok() {});
    let closes = connections(drop);
    let half_closes = connections(|mut stream| {
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let peers = [
        (silent, PeerFailure::Timeout),
        (html, PeerFailure::NotAnEcho),
        (greets, PeerFailure::NotAnEcho),
        (garbage, PeerFailure::NotAnEcho),
        (closes, PeerFailure::Closed),
        (half_closes, PeerFailure::Closed),
        (datagrams(|_| Vec::new()), PeerFailure::Timeout),
        (datagrams(|_| vec![b"nonsense".to_vec()]), PeerFailure::NotAnEcho),
        (datagrams(|_| vec![Vec::new()]), PeerFailure::NotAnEcho),
    ];
    for (peer, expected) in &peers {
        for args in [
            &["-n", "1000"][..],
            &["-n", "1000", "-r", "1k"],
            &["-d", "200ms"],
            &["-d", "200ms", "-r", "1k"],
            &["-d", "200ms", "--ramp", "1s"],
        ] {
            let done = run(&[&["load", peer, "-w", "200ms", "--warm-up", "50ms"], args].concat(), b"");
            assert_eq!(done.code, Some(1), "{args:?} {expected:?}: {done:?}");
            let stderr = match expected {
                PeerFailure::NotAnEcho => {
                    format!(
                        "sounder: cannot measure {peer}: a reply does not contain its request (not an echo server?)\n"
                    )
                }
                PeerFailure::Closed => {
                    format!("sounder: CLOSED: cannot measure {peer}: the server closed every connection\n")
                }
                PeerFailure::Timeout => {
                    format!("sounder: TIMEOUT: cannot measure {peer}: no reply arrived\n")
                }
            };
            assert_eq!(done.stderr, stderr, "{args:?}");
        }
    }
}

#[test]
fn messages_are_found_in_decorated_replies() {
    let quoted = |message: &[u8]| {
        let text = str::from_utf8(message).unwrap().replace('\n', "\\n");
        format!("[b'Fri Nov 27 12:19:36 2026'] b'{text}'").into_bytes()
    };
    let stream = connections(move |mut stream| {
        let mut buffer = [0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            let _ = stream.write_all(&quoted(&buffer[..len]));
        }
    });
    for peer in [stream, datagrams(move |message| vec![quoted(message)])] {
        for size in ["64", "64-1400"] {
            let done = run(&["load", &peer, "-n", "500", "-c", "2", "-s", size, "--warm-up", "0"], b"");
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{peer} {size}: {}", done.text());
            assert!(done.text().contains("500 sent, 500 answered, 0 lost"), "{}", done.text());
        }
    }
}

#[test]
fn load_of_a_number_of_messages_ends_when_the_server_stops_replying() {
    // It echoes one message of each connection, and then does not read any more.
    let stops = connections(|mut stream| {
        echo(&mut stream, 1);
        while stream.peek(&mut [0]).is_ok_and(|len| len != 0) {
            thread::park();
        }
    });
    for args in [&["-p", "4000", "-c", "1"][..], &["-r", "20k"], &["-r", "10", "-c", "2"]] {
        let fixed = ["load", &stops, "-n", "1m", "-s", "64", "-w", "500ms", "--warm-up", "0"];
        let done = run(&[&fixed, args].concat(), b"");
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        let stderr = format!("sounder: TIMEOUT: cannot measure {stops}: no reply arrived in the last 1.5s\n");
        assert_eq!(done.stderr, stderr, "{args:?}: {}", done.text());
    }
}

#[test]
fn load_ends_when_the_server_stops_reading_a_message() {
    // It echoes the first message, and then leaves the next in the buffers of the connection.
    const LONG: usize = 1 << 20;
    let stops = connections(|mut stream| {
        let mut message = vec![0; LONG];
        let _ = stream.read_exact(&mut message).and_then(|()| stream.write_all(&message));
        while stream.peek(&mut [0]).is_ok_and(|len| len != 0) {
            thread::park();
        }
    });
    let args =
        ["load", &stops, "-n", "1000", "-s", "1m", "-c", "1", "-p", "10", "-w", "500ms", "--warm-up", "0"];
    let done = run(&args, b"");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.starts_with("sounder: TIMEOUT: "), "{}", done.stderr);
}

#[test]
fn silent_datagram_server_is_reported() {
    let peer = || {
        let mut left = 5;
        datagrams(move |message| {
            left -= i32::from(left != 0);
            if left == 0 { Vec::new() } else { vec![message.to_vec()] }
        })
    };
    for end in [["-n", "1m"], ["-d", "3s"]] {
        let done =
            run(&[&["load", &peer(), "-w", "500ms", "--warm-up", "0", "-c", "1"], &end[..]].concat(), b"");
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.starts_with("sounder: TIMEOUT: cannot measure udp://"), "{}", done.stderr);
        assert!(done.stderr.ends_with(": no reply arrived in the last 1.5s\n"), "{}", done.stderr);
    }
}

#[test]
fn next_address_is_tried_when_one_refuses_datagrams() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let (_, port) = host_and_port(serving.endpoint());
    let endpoint = format!("udp://both:{port}");
    let done =
        finish(client.args(["load", "--json", "-n", "100", "-w", "20s", "--warm-up", "0", &endpoint]), b"");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = result(&done);
    assert_counts(&result, &[("sent", 100), ("answered", 100)]);
    assert_eq!(result["resolved"], serving.endpoint());
}

#[test]
fn backlog_to_a_server_that_does_not_read_is_bounded() {
    let peer = connections(|stream| {
        while stream.peek(&mut [0]).is_ok_and(|len| len != 0) {
            thread::park();
        }
    });
    let done = run(&["load", &peer, "-d", "1s", "-r", "5k", "-s", "1m", "-w", "100ms", "--json"], b"");
    let result = result(&done);
    let sent = result["sent"].as_u64().unwrap();
    assert!(sent < 512 && result["skipped"] != 0, "{result}");
}

#[test]
fn stall_of_the_server_delays_every_message_due_in_it() {
    const GAP: u64 = 5_000_000;
    // It does not reply to the 21st message until the 40th has arrived.
    let peer = connections(|mut stream| {
        echo(&mut stream, 20);
        let mut messages = [0; 20 * LEN];
        if stream.read_exact(&mut messages).and_then(|()| stream.write_all(&messages)).is_ok() {
            echo(&mut stream, usize::MAX);
        }
    });
    let folder = Folder::new();
    let path = folder.join("result.csv");
    let done = load(&[&peer, "-c", "1", "-r", "200", "-n", "60", "-w", "20s", "-o", &path]);
    assert_counts(&result(&done), &[("sent", 60), ("answered", 60)]);
    let rows = rows(&path);
    for gaps in 1..=19 {
        // A message that was due so many gaps before the 40th took at least as long, with three
        // significant digits.
        let delayed: u64 =
            rows.iter().filter(|(nanos, _)| gaps * GAP * 999 / 1000 <= *nanos).map(|(_, count)| count).sum();
        assert!(20 - gaps <= delayed, "{gaps}: {delayed} of {rows:?}");
    }
}

/// Returns the latencies of a CSV file, and the number of replies with each.
fn rows(path: &str) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("latency_ns,percentile,replies_up_to_it"));
    let mut before = 0;
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [nanos, percentile, up_to_it] = fields[..] else { panic!("{line}") };
        assert!((0.0..=100.0).contains(&percentile.parse::<f64>().unwrap()), "{line}");
        let up_to_it: u64 = up_to_it.parse().unwrap();
        let count = up_to_it - std::mem::replace(&mut before, up_to_it);
        (nanos.parse().unwrap(), count)
    };
    lines.map(row).collect()
}

#[test]
fn own_server_ends_with_the_load() {
    let folder = Folder::new();
    let path = folder.join("echo");
    let done = load(&["--self", &path, "-n", "100", "-w", "20s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!Path::new(&path).exists() && nobody_runs(&path));
    for signal in ["INT", "TERM"] {
        let running = Program::start(&mut sounder(["load", "--self", &path, "--json", "-d", "1h"]));
        running.wait_for_lines(1);
        running.signal(signal);
        let done = running.wait();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{signal}");
        let result = result(&done);
        assert_eq!((&result["sent"], &result["lost"]), (&result["answered"], &0.into()), "{result}");
        assert!(!Path::new(&path).exists() && nobody_runs(&path), "{signal}");
    }
}

#[test]
fn own_server_ends_when_the_load_is_killed() {
    let folder = Folder::new();
    let path = folder.join("echo");
    let running = Program::start(&mut sounder(["load", "--self", &path, "--json", "-d", "1h"]));
    running.wait_for_lines(1);
    assert!(!nobody_runs(&path));
    running.signal("KILL");
    running.wait();
    // It ends by itself and removes its socket.
    wait_until("the end of the server", || !Path::new(&path).exists() && nobody_runs(&path));
}

#[test]
fn signal_ends_a_ramp() {
    let folder = Folder::new();
    let path = folder.join("echo");
    let args = ["load", "--self", &path, "--ramp", "10s", "-d", "1h", "--json"];
    let running = Program::start(&mut sounder(args));
    running.wait_for_lines(1);
    running.signal("INT");
    let done = running.wait();
    assert_eq!(done.code, Some(1));
    let [note] = &json_lines(&done.stderr)[..] else { panic!("{}", done.stderr) };
    assert_eq!(
        (&note["event"], &note["note"]),
        (&"note".into(), &"stopped before any rate was found".into())
    );
    assert!(nobody_runs(&path));
}

#[test]
fn ramp_without_a_rate_is_reported_as_text_and_as_json() {
    let text = "no tested rate met the p99 limit";
    let ramp = ["load", "--self", "--ramp", "1us", "-d", "50ms"];
    let done = run(&ramp, b"");
    assert!(done.code == Some(1) && done.stderr.ends_with(&format!("{text}\n")), "{done:?}");
    let done = run(&[&ramp[..], &["--json"]].concat(), b"");
    let note = json_lines(&done.stderr).pop().unwrap();
    assert_eq!((done.code, &note["event"], &note["note"]), (Some(1), &"note".into(), &text.into()));
}

#[test]
fn failure_of_the_own_server_is_reported() {
    let done = run(&["load", "--self", "tcp://192.0.2.1:0"], b"");
    let why =
        "sounder: cannot start a server: cannot bind tcp://192.0.2.1:0: Cannot assign requested address\n";
    assert_eq!(done.all(), (Some(2), "", why));
}

#[test]
fn results_are_written_to_files() {
    let folder = Folder::new();
    let paths = ["json", "csv", "hdr"].map(|ending| folder.join(&format!("result.{ending}")));
    for path in &paths {
        let done = load(&["--self", "-n", "500", "-r", "10k", "-w", "20s", "-o", path]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
    let object: Value = serde_json::from_str(&fs::read_to_string(&paths[0]).unwrap()).unwrap();
    assert_counts(&object, &[("sent", 500), ("answered", 500)]);
    assert_eq!(rows(&paths[1]).iter().map(|(_, count)| count).sum::<u64>(), 500);
    let histogram = histogram(&fs::read(&paths[2]).unwrap());
    assert_eq!(histogram.len(), 500);
}

/// Returns the only histogram of a log.
fn histogram(log: &[u8]) -> Histogram<u64> {
    let entries = IntervalLogIterator::new(log).map(Result::unwrap);
    let mut found = entries.filter_map(|entry| match entry {
        LogEntry::Interval(interval) => Some(interval.encoded_histogram().to_owned()),
        _ => None,
    });
    let (encoded, more) = (found.next().unwrap(), found.next());
    assert_eq!(more, None);
    Deserializer::new().deserialize(&mut BASE64_STANDARD.decode(encoded).unwrap().as_slice()).unwrap()
}

#[test]
fn every_key_is_documented() {
    let documented =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md")).unwrap();
    let done = load(&["--self", "-d", "1100ms", "-r", "100"]);
    let mut objects = done.objects();
    objects.extend(load(&["--self", "--ramp", "10s", "-d", "150ms"]).objects());
    for event in ["interval", "step", "result"] {
        let object =
            objects.iter().find(|object| object["event"] == event).unwrap_or_else(|| panic!("{event}"));
        let times = object["latency"].as_object().into_iter().flatten();
        for (key, _) in object.as_object().unwrap().iter().chain(times) {
            assert!(documented.contains(&format!("`{key}`")), "{event}: {key}");
        }
    }
}

#[test]
fn result_that_cannot_be_written_is_a_local_failure() {
    let folder = Folder::new();
    let full = folder.join("full.json");
    symlink("/dev/full", &full).unwrap();
    let done = load(&["--self", "-n", "10", "-w", "20s", "-o", &full]);
    assert_eq!((done.code, &result(&done)["answered"]), (Some(2), &10.into()));
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert!(
        done.stderr.contains(&format!("cannot write {full}: No space left on device")),
        "{}",
        done.stderr
    );
    let missing = folder.join("missing/result.json");
    let done = run(&["load", "--self", "-o", &missing], b"");
    let why = format!("sounder: cannot create {missing}: No such file or directory\n");
    assert_eq!(done.all(), (Some(2), "", why.as_str()));
}

#[test]
fn ramp_reports_the_highest_rate_that_held() {
    let done = load(&["--self", "--ramp", "20s", "-d", "150ms", "-w", "20s"]);
    let objects = done.objects();
    let steps: Vec<&Value> = objects.iter().filter(|object| object["event"] == "step").collect();
    let rate = |step: &&Value| step["target_rate_per_s"].as_f64().unwrap();
    let held = steps.iter().filter(|step| step["held"] == true).copied();
    match held.map(|step| rate(&step)).max_by(f64::total_cmp) {
        Some(best) => assert_eq!((done.code, rate(&&result(&done))), (Some(0), best)),
        None => assert_eq!(done.code, Some(1), "on a machine that has no time at all, none holds"),
    }
}

#[test]
fn missing_server_at_the_default_endpoint_has_a_hint() {
    let Some(mut command) = private_network() else { return };
    let refused = finish(command.arg(env!("CARGO_BIN_EXE_sounder")).arg("load"), b"");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.starts_with("sounder: REFUSED: cannot connect to tcp://"), "{}", refused.stderr);
    let hint = "\nhint: start one with \"sounder serve\", or try --self\n";
    assert!(refused.stderr.ends_with(hint), "{}", refused.stderr);
}

#[test]
fn refused_datagrams_are_reported() {
    let refused = run(&["load", &format!("udp://127.0.0.1:{}", closed_port())], b"");
    assert_eq!((refused.code, refused.text()), (Some(1), ""));
    assert!(refused.stderr.starts_with("sounder: REFUSED: "), "{}", refused.stderr);
}

#[test]
fn closed_pipe_ends_the_load_silently() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inside, _) = listener.accept().unwrap();
    // A write to the other end fails from here on.
    drop(outside);
    let mut command = sounder(["load", "--self", "-d", "1h", "--json"]);
    command.stdin(std::process::Stdio::null()).stdout(std::os::fd::OwnedFd::from(inside));
    command.stderr(std::process::Stdio::piped());
    let done = command.output();
    match done {
        Ok(done) => assert_eq!((done.status.code(), done.stderr), (Some(0), Vec::new())),
        Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
    }
}

#[test]
fn ten_thousand_connections_are_served() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard = line.split_whitespace().nth(4).unwrap();
    if hard.parse::<u64>().is_ok_and(|hard| hard < 10_100) {
        return skip("open files", format!("the hard limit is {hard}"));
    }
    let done = load(&["--self", "-c", "10k", "-n", "20k", "-w", "60s"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert_counts(&result(&done), &[("sent", 20_000), ("answered", 20_000)]);
}
