//! Process tests of `sounder serve`.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use echosounder_testkit::Random;

use crate::support::{
    CTIME, Folder, PATIENCE, Program, Serving, assert_stamped, finish, has_ipv6, host_and_port, json_lines,
    now, retry_interrupted, run, sh, sounder, unique, without_times,
};
use crate::talk::HOSTILE;

/// Connects to a server.
pub(crate) fn connect(serving: &Serving) -> TcpStream {
    let stream = TcpStream::connect(serving.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a message and returns its reply, which must have this length.
pub(crate) fn exchange(stream: &mut (impl Read + Write), message: &[u8], len: usize) -> Vec<u8> {
    stream.write_all(message).unwrap();
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).unwrap();
    reply
}

/// Returns the transcript's line of a message.
fn transcript_line(peer: impl std::fmt::Display, text: &str) -> String {
    format!("Client {peer}: {text}")
}

#[test]
fn an_address_in_use_is_never_shared() {
    let folder = Folder::new();
    let path = format!("unix:{}", folder.join("s"));
    let wanted = ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", &path, &format!("unix-dgram:@{}", unique())];
    let first = Serving::at(&wanted);
    for endpoint in first.endpoints() {
        let second = run(&["serve", endpoint], b"");
        let expected = format!(
            "sounder: cannot bind {endpoint}: Address already in use\nhint: \"ss -lp\" shows which process listens there\n"
        );
        assert_eq!(second.all(), (Some(2), "", &*expected));
        let talk = run(&["talk", endpoint], b"hello\n");
        assert_eq!(
            (talk.code, talk.text().len()),
            (Some(0), CTIME + 6),
            "the first server is undisturbed: {endpoint}"
        );
    }
    let done = first.stop();
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.ends_with("2 connections, 4 messages, 22 bytes, 0 dropped\n"), "{}", done.stderr);
}

#[test]
fn if_one_address_is_in_use_none_is_bound() {
    let first = Serving::at(&["tcp://127.0.0.1:0"]);
    let name = unique();
    let second = run(&["serve", &format!("@{name}"), first.endpoint()], b"");
    assert_eq!(second.code, Some(2));
    assert!(!second.stderr.contains("Waiting"), "{}", second.stderr);
    Serving::at(&[&format!("@{name}")]);
}

#[test]
fn a_signal_shuts_the_server_down() {
    for signal in ["INT", "TERM", "USR2", "ALRM"] {
        let folder = Folder::new();
        let path = folder.join("s");
        let serving = Serving::at(&["tcp://127.0.0.1:0", &path]);
        let mut open = UnixStream::connect(&path).unwrap();
        exchange(&mut open, b"hello", CTIME + 5);
        let done = serving.stop_by(signal);
        assert_eq!((done.code, done.text()), (Some(0), ""), "SIG{signal}");
        let last = done.stderr.lines().last().unwrap();
        assert_eq!(last, "1 connection, 1 message, 5 bytes, 0 dropped", "SIG{signal}");
        assert_eq!(retry_interrupted(|| open.read(&mut [0])).unwrap(), 0, "the connection has ended");
        assert!(!Path::new(&path).exists(), "the path is gone");
    }
}

#[test]
fn a_second_signal_kills_the_server() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let mut stream = connect(&serving);
    exchange(&mut stream, b"hello", CTIME + 5);
    serving.program().signal("TERM");
    assert_eq!(retry_interrupted(|| stream.read(&mut [0])).unwrap(), 0);
    // The server waits for the client to close now. A second signal that comes at once counts as
    // the first.
    serving.program().signal("TERM");
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    nobody.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    retry_interrupted(|| nobody.recv(&mut [0])).unwrap_err();
    let done = serving.stop_by("TERM");
    assert_eq!((done.code, done.stderr.contains("1 connection")), (None, false), "{}", done.stderr);
}

#[test]
fn messages_that_have_arrived_get_replies_before_the_end() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let mut stream = connect(&serving);
    exchange(&mut stream, b"hello", CTIME + 5);
    // The message and the signal are both pending when the server continues.
    serving.program().signal("STOP");
    let long = vec![b'x'; 60_000];
    stream.write_all(&long).unwrap();
    serving.program().signal("TERM");
    serving.program().signal("CONT");
    let mut reply = vec![0];
    stream.read_exact(&mut reply).unwrap();
    // Input after the end must not destroy replies in flight.
    stream.write_all(b"more").unwrap();
    stream.read_to_end(&mut reply).unwrap();
    assert_eq!(reply.iter().filter(|&&byte| byte == b'x').count(), long.len());
}

#[test]
fn the_transcript_has_the_lines_of_the_textbook() {
    let serving = Serving::with(&["--transcript", "messages", "tcp://127.0.0.1:0", "udp://127.0.0.1:0"], 2);
    let (_, port) = host_and_port(&serving.endpoints()[0]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse().unwrap())).unwrap();
    let peer = stream.local_addr().unwrap();
    exchange(&mut stream, b"hello", CTIME + 5);
    exchange(&mut stream, b"\x1b[31m\r\n\xff\xe2\x80\xae", CTIME + 11);
    drop(stream);
    let mut expected = vec![
        format!("Connected client from {peer}"),
        transcript_line(peer, "hello"),
        transcript_line(peer, "\\x1b[31m\\r\\n\\xff\\u{202e}"),
        format!("Closed {peer} after 2 messages"),
    ];
    assert_eq!(serving.program().wait_for_lines(4), expected);

    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_, port) = host_and_port(&serving.endpoints()[1]);
    datagrams.send_to(b"hi", (Ipv4Addr::LOCALHOST, port.parse().unwrap())).unwrap();
    expected.push(transcript_line(datagrams.local_addr().unwrap(), "hi"));
    assert_eq!(serving.program().wait_for_lines(5), expected);

    let done = serving.stop();
    assert_eq!(done.text().lines().collect::<Vec<_>>(), expected);
    assert!(done.stderr.ends_with("\n1 connection, 3 messages, 18 bytes, 0 dropped\n"), "{}", done.stderr);
}

#[test]
fn the_transcript_of_peers_has_no_messages() {
    let serving = Serving::with(&["--transcript", "peers", "tcp://127.0.0.1:0"], 1);
    let mut stream = connect(&serving);
    let peer = stream.local_addr().unwrap();
    exchange(&mut stream, b"secret", CTIME + 6);
    drop(stream);
    let expected = [format!("Connected client from {peer}"), format!("Closed {peer} after 1 message")];
    assert_eq!(serving.program().wait_for_lines(2), expected);
    let done = serving.stop();
    assert_eq!(done.text().lines().count(), 2, "{}", done.text());
}

#[test]
fn the_transcript_says_why_a_connection_failed() {
    let serving = Serving::with(&["--transcript", "peers", "tcp://127.0.0.1:0"], 1);
    let mut stream = connect(&serving);
    let peer = stream.local_addr().unwrap();
    stream.write_all(b"hello").unwrap();
    retry_interrupted(|| stream.peek(&mut [0])).unwrap();
    // To close with an unread reply resets the connection.
    drop(stream);
    let lines = serving.program().wait_for_lines(2);
    assert_eq!(lines[1], format!("Closed {peer} after 1 message: Connection reset by peer"));
    let done = serving.stop();
    assert!(
        done.stderr.ends_with("\n1 connection, 1 message, 5 bytes, 0 dropped, 1 error\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn the_transcript_shows_the_beginning_of_a_long_message() {
    let name = unique();
    let serving = Serving::with(&["--transcript", "messages", &format!("unix-dgram:@{name}")], 1);
    let long = "x".repeat(5000);
    let talk = run(&["talk", serving.endpoint()], format!("{long}\n").as_bytes());
    assert_eq!(talk.text().len(), CTIME + 5001);
    let line = serving.program().wait_for_lines(1).remove(0);
    assert!(line.ends_with(&format!(": {}... (5,000 bytes)", "x".repeat(512))), "{line}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a round is longer than a second of the server")]
fn a_flood_does_not_hide_the_messages_of_another_host() {
    const ROUNDS: usize = 10;
    let serving =
        Serving::with(&["--json", "--transcript", "messages", "--workers", "1", "udp://0.0.0.0:0"], 1);
    let (_, port) = host_and_port(serving.endpoint());
    let at = |ip: &str| {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(("127.0.0.1", port.parse().unwrap())).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let loud: Vec<_> = (0..8).map(|_| at("127.0.0.1")).collect();
    let quiet = at("127.0.0.2");
    let flood = [0x1b; 2000];
    let mut buffer = [0; 4096];
    let start = Instant::now();
    for round in 0..ROUNDS {
        let round_start = Instant::now();
        // Longer than a second of the quota, which thus begins between two rounds.
        while round_start.elapsed() < Duration::from_millis(1100) {
            for socket in &loud {
                socket.send(&flood).unwrap();
            }
            for socket in &loud {
                retry_interrupted(|| socket.recv(&mut buffer)).unwrap();
            }
        }
        quiet.send(format!("round {round}").as_bytes()).unwrap();
        retry_interrupted(|| quiet.recv(&mut buffer)).unwrap();
    }
    let done = serving.stop();
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    let from = |prefix: &str| {
        let lines = done.objects().into_iter();
        lines.filter(|line| line["peer"].as_str().is_some_and(|peer| peer.starts_with(prefix))).count()
    };
    // On a busy machine the thread that begins the seconds may be late once.
    let quiet_lines = from("127.0.0.2:");
    assert!(
        (ROUNDS - 1..=ROUNDS).contains(&quiet_lines),
        "{quiet_lines} lines of the quiet host in {ROUNDS} rounds"
    );
    let bytes = done.stdout.len();
    assert!(bytes <= (seconds + 2) * 65_536 + 262_144, "{bytes} bytes in {seconds} s");
    let lines = from("127.0.0.1:");
    assert!(lines <= (seconds + 2) * 51, "{lines} lines of the flood in {seconds} s");
}

#[test]
fn random_packets_cause_no_line() {
    let name = unique();
    let serving = Serving::at(&[
        "udp://127.0.0.1:0",
        "tcp://127.0.0.1:0",
        &format!("unix-dgram:@{name}-d"),
        &format!("unix:@{name}-s"),
    ]);
    let addresses: Vec<&str> = serving
        .endpoints()
        .iter()
        .filter_map(|endpoint| endpoint.split_once("://"))
        .map(|(_, at)| at)
        .collect();
    let unix = |kind: &str| SocketAddr::from_abstract_name(format!("{name}-{kind}")).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nameless = UnixDatagram::unbound().unwrap();
    nameless.set_nonblocking(true).unwrap();
    let mut random = Random::new(15);
    let mut packet = [0; 3000];
    for number in 0..20_000 {
        packet.fill_with(|| random.next_u64().to_be_bytes()[0]);
        let len = usize::try_from(random.next_u64() % 3000).unwrap();
        let packet = &packet[..len];
        // Every second one begins as a reply does.
        let stamped = [b"[Sun Nov 22 12:19:36 2026] ", packet].concat();
        // Nobody reads the replies. Sends fail while a queue is full or a client's socket has an
        // error.
        let _ = datagrams.send_to(if number % 2 == 0 { packet } else { &stamped }, addresses[0]);
        let _ = nameless.send_to_addr(packet, &unix("d"));
        if number % 20 == 0 {
            // A client that has gone when its reply arrives.
            let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
            let _ = gone.send_to(packet, addresses[0]);
            let mut stream = TcpStream::connect(addresses[1]).unwrap();
            let _ = stream.write_all(packet);
            let mut stream = UnixStream::connect_addr(&unix("s")).unwrap();
            let _ = stream.write_all(packet);
        }
    }
    exchange(&mut TcpStream::connect(addresses[1]).unwrap(), b"hello", CTIME + 5);
    let done = serving.stop();
    let lines: Vec<&str> = done.stderr.lines().filter(|line| !line.starts_with("Waiting for ")).collect();
    assert_eq!((done.code, done.text(), lines.len()), (Some(0), "", 1), "{lines:?}");
    assert!(lines[0].contains(" dropped ("), "{lines:?}");
}

#[test]
fn a_hostile_name_of_a_peer_is_shown_in_one_harmless_line() {
    for json in [&[][..], &["--json"]] {
        let (name, folder) = (unique(), Folder::new());
        let endpoint = format!("unix-dgram:@{name}");
        let serving = Serving::with(&[json, &["--transcript", "messages", &endpoint]].concat(), 1);
        let server = SocketAddr::from_abstract_name(&name).unwrap();
        let mut peers = Vec::new();
        for hostile in HOSTILE {
            let abstract_name = [name.as_bytes(), hostile].concat();
            peers.push(
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(abstract_name).unwrap()).unwrap(),
            );
            if !hostile.iter().any(|byte| matches!(byte, 0 | b'/')) {
                peers.push(UnixDatagram::bind(folder.path().join(OsStr::from_bytes(hostile))).unwrap());
            }
        }
        for peer in &peers {
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.send_to_addr(b"hello", &server).unwrap();
            assert_eq!(retry_interrupted(|| peer.recv(&mut [0; 64])).unwrap(), CTIME + 5);
        }
        serving.program().wait_for_lines(peers.len());
        let done = serving.stop();
        assert_eq!(done.text().lines().count(), peers.len(), "{}", done.text());
        assert!(done.stdout.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{}", done.text());
    }
}

#[test]
fn many_messages_are_shown_in_part_and_all_have_replies() {
    const MESSAGES: usize = 10_000;
    let serving = Serving::with(&["--transcript", "messages", "tcp://127.0.0.1:0"], 1);
    let start = now();
    let mut stream = connect(&serving);
    for number in 0..MESSAGES {
        let message = format!("{number:05}");
        let reply = exchange(&mut stream, message.as_bytes(), CTIME + 5);
        assert_eq!(&reply[CTIME..], message.as_bytes());
    }
    drop(stream);
    let done = serving.stop();
    let seconds = usize::try_from(now() - start).unwrap() + 2;
    let (left_out, shown): (Vec<&str>, Vec<&str>) =
        done.text().lines().partition(|line| line.starts_with('('));
    let counts = left_out.iter().map(|line| {
        let count = line.strip_prefix('(').unwrap().strip_suffix(" left out)").unwrap();
        count.split(' ').next().unwrap().replace(',', "").parse::<usize>().unwrap()
    });
    assert!(shown.len() <= 100 * seconds, "{} lines in less than {seconds} s", shown.len());
    assert!(!left_out.is_empty() && left_out.len() <= seconds, "{left_out:?}");
    // The messages, and one line each for the begin and the end of the connection.
    assert_eq!(shown.len() + counts.sum::<usize>(), MESSAGES + 2);
    assert!(
        done.stderr.ends_with("1 connection, 10,000 messages, 50,000 bytes, 0 dropped\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn with_json_every_line_is_an_object_with_the_documented_keys() {
    let serving = Serving::with(&["--json", "--transcript", "messages", "tcp://127.0.0.1:0"], 1);
    let mut stream = connect(&serving);
    let peer = stream.local_addr().unwrap().to_string();
    exchange(&mut stream, b"hello", CTIME + 5);
    exchange(&mut stream, b"\xff\x1b", CTIME + 2);
    drop(stream);
    serving.program().wait_for_lines(4);
    let endpoint = serving.endpoint().to_owned();
    let done = serving.stop();
    assert!(done.stdout.iter().chain(done.stderr.as_bytes()).all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
    assert_eq!(
        without_times(done.objects()),
        [
            serde_json::json!({ "event": "connected", "peer": peer }),
            serde_json::json!({ "event": "message", "peer": peer, "bytes": 5, "text": "hello", "hex": null }),
            serde_json::json!({ "event": "message", "peer": peer, "bytes": 2, "text": null, "hex": "ff1b" }),
            serde_json::json!({ "event": "closed", "peer": peer, "messages": 2, "reason": null }),
        ]
    );
    let dropped = serde_json::json!({
        "stamped": 0, "truncated": 0, "group": 0, "nameless": 0, "own": 0, "kernel": 0, "forged": 0, "service": 0,
        "stranger": 0, "rate": 0, "denied": 0, "short": 0, "unauthenticated": 0, "excess": 0, "unread": 0,
        "unsent": 0, "overflow": 0,
    });
    let cut = serde_json::json!({ "idle": 0, "stalled": 0, "unfinished": 0, "memory": 0, "evicted": 0, "refused": 0, "denied": 0 });
    assert_eq!(
        without_times(json_lines(&done.stderr)),
        [
            serde_json::json!({ "event": "listening", "endpoint": endpoint, "kind": "connection" }),
            serde_json::json!({
                "event": "summary", "connections": 1, "connected_now": 0, "messages": 2, "bytes": 7, "errors": 0, "dropped": dropped,
                "disconnected": cut,
            }),
        ]
    );
}

#[test]
fn the_summary_has_the_number_of_open_connections() {
    for json in [false, true] {
        let args: &[&str] = if json { &["--json"] } else { &[] };
        let more = ["--workers", "1", "--transcript", "off", "tcp://127.0.0.1:0"];
        let serving = Serving::with(&[args, &more].concat(), 1);
        let mut streams: Vec<TcpStream> = (0..3).map(|_| connect(&serving)).collect();
        streams.iter_mut().for_each(|stream| drop(exchange(stream, b"hello", CTIME + 5)));
        let gone = streams.pop().unwrap();
        gone.shutdown(Shutdown::Write).unwrap();
        assert_eq!(retry_interrupted(|| (&gone).read(&mut [0])).unwrap(), 0, "the server has closed it, too");
        // The worker closes the other connection before it replies to this message.
        exchange(&mut streams[0], b"hello", CTIME + 5);
        serving.program().signal("USR1");
        let reported = serving.program().wait_for_stderr(if json { "\"summary\"" } else { " dropped\n" });
        if json {
            let summary = json_lines(&reported).pop().unwrap();
            assert_eq!((&summary["connections"], &summary["connected_now"]), (&3.into(), &2.into()));
        } else {
            // The last message is counted after its reply has been sent.
            let summary = "\n3 connections (2 connected now), ";
            assert!(reported.contains(summary), "{reported}");
        }
    }
}

#[test]
fn quiet_prints_nothing() {
    let name = unique();
    let program = Program::start(&mut sounder(["serve", "-q", &format!("@{name}")]));
    // It does not print when it is ready, so a client tries until it is.
    let is_ready = || run(&["talk", &format!("@{name}")], b"hello\n").code == Some(0);
    assert!((0..1000).any(|_| is_ready()));
    program.signal("INT");
    let done = program.finish();
    assert_eq!(done.all(), (Some(0), "", ""));
}

#[test]
fn a_closed_transcript_pipe_is_a_clean_end() {
    let name = unique();
    let pipeline = "{ timeout --foreground 30 \"$SOUNDER\" serve --transcript peers \"$AT\"; echo exit $? >&2; } \
                    | { read line; exec <&-; echo gone >&2; }";
    let mut pipeline = sh(pipeline);
    pipeline.env("SOUNDER", env!("CARGO_BIN_EXE_sounder")).env("AT", format!("@{name}"));
    let serving = Serving::start(&mut pipeline, 1);
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let first = UnixStream::connect_addr(&address).unwrap();
    serving.program().wait_for_stderr("gone");
    drop(first);
    let done = serving.program().wait();
    assert!(done.stderr.ends_with("\nexit 0\n"), "{}", done.stderr);
}

#[test]
fn a_star_is_ipv4_and_ipv6() {
    if !has_ipv6() {
        return;
    }
    let serving = Serving::with(&["tcp://*:0", "udp://:0"], 4);
    let ends: Vec<(&str, u16)> = serving
        .endpoints()
        .iter()
        .map(|endpoint| {
            let (host, port) = host_and_port(endpoint);
            (host, port.parse().unwrap())
        })
        .collect();
    let [(tcp4, port4), (tcp6, port6), (udp4, udp_port4), (udp6, udp_port6)] = ends[..] else { panic!() };
    assert_eq!((tcp4, tcp6, udp4, udp6), ("0.0.0.0", "::", "0.0.0.0", "::"));
    for mut stream in [
        TcpStream::connect((Ipv4Addr::LOCALHOST, port4)).unwrap(),
        TcpStream::connect((Ipv6Addr::LOCALHOST, port6)).unwrap(),
    ] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(&mut stream, b"hello", CTIME + 5);
    }
    for endpoint in [format!("udp://127.0.0.1:{udp_port4}"), format!("udp://[::1]:{udp_port6}")] {
        assert_eq!(run(&["talk", &endpoint], b"hello\n").text().len(), CTIME + 6);
    }
    let mapped = TcpStream::connect((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port6));
    assert!(port4 == port6 || mapped.is_err(), "an IPv6 socket accepts only IPv6");
}

/// Returns whether a text has a shape, in which `9` stands for a digit and `+` for a sign.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, expected)| match expected {
            b'9' => byte.is_ascii_digit(),
            b'+' => byte == b'+' || byte == b'-',
            literal => byte == literal,
        })
}

#[test]
fn timestamps_have_the_requested_form() {
    for (stamp, shape) in [
        ("rfc3339", "[9999-99-99T99:99:99.999999999+99:99] hello\n"),
        ("unix", "[9999999999.999999999] hello\n"),
        ("ns", "[9999999999999999999 9999999999999999999] hello\n"),
        ("none", "hello\n"),
        ("<{unix}|{seq}> ", "<9999999999.999999999|9> hello\n"),
    ] {
        let serving = Serving::with(&["--stamp", stamp, "tcp://127.0.0.1:0"], 1);
        let talk = run(&["talk", serving.endpoint()], b"hello\n");
        assert!(
            has_shape(talk.text(), shape),
            "{stamp}: {:?} does not have the shape {shape:?}",
            talk.text()
        );
    }
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let start = now();
    let talk = run(&["talk", serving.endpoint()], b"hello\n");
    assert_stamped(talk.text().trim_end().as_bytes(), start, b"hello");
}

#[test]
fn a_template_shows_addresses_host_and_message_number() {
    let stamp = "{peer} {local} {host} {seq} ";
    let serving = Serving::with(&["--stamp", stamp, "tcp://127.0.0.1:0"], 1);
    let mut stream = connect(&serving);
    let (peer, local) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for number in 1..=3 {
        let expected = format!("{peer} {local} {} {number} hello", host.trim());
        let reply = exchange(&mut stream, b"hello", expected.len());
        assert_eq!(String::from_utf8_lossy(&reply), expected);
    }
}

#[test]
fn a_timestamp_placeholder_is_filled_in_at_its_own_length() {
    let placeholder = "[0000000000000000000 0000000000000000000] hello";
    let serving = Serving::with(&["--stamp", "none", "udp://127.0.0.1:0"], 1);
    let talk = run(&["talk", serving.endpoint()], format!("{placeholder}\n").as_bytes());
    assert!(has_shape(talk.text(), "[9999999999999999999 9999999999999999999] hello\n"), "{}", talk.text());
    let nanos = |from: usize| talk.text()[from..from + 19].parse::<u64>().unwrap();
    let (rx, tx) = (nanos(1), nanos(21));
    assert!(rx <= tx && tx / 1_000_000_000 <= now(), "{rx} {tx}");
}

#[test]
fn with_frame_line_a_line_gets_its_reply_when_it_ends() {
    let serving = Serving::with(&["--frame", "line:8", "tcp://127.0.0.1:0"], 1);
    let start = now();
    let mut stream = connect(&serving);
    stream.write_all(b"ab").unwrap();
    let reply = exchange(&mut stream, b"c\nd", CTIME + 4);
    assert_stamped(&reply, start, b"abc\n");
    let reply = exchange(&mut stream, b"2345678", CTIME + 8);
    assert_stamped(&reply, start, b"d2345678");
    stream.write_all(b"end").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_stamped(&rest, start, b"end");
}

#[test]
fn with_frame_size_a_read_is_split_into_frames() {
    let serving = Serving::with(
        &["--frame", "4", "--stamp", "none", "--transcript", "messages", "tcp://127.0.0.1:0"],
        1,
    );
    let mut stream = connect(&serving);
    let peer = stream.local_addr().unwrap();
    assert_eq!(exchange(&mut stream, b"abcdefghij", 10), b"abcdefghij");
    let lines = serving.program().wait_for_lines(4);
    assert_eq!(
        lines[1..],
        [transcript_line(peer, "abcd"), transcript_line(peer, "efgh"), transcript_line(peer, "ij")]
    );
}

#[test]
fn a_path_has_the_requested_mode() {
    let folder = Folder::new();
    for (args, mode) in [(&["--unix-mode", "640"][..], 0o640), (&[], 0o600)] {
        let path = folder.join(&mode.to_string());
        let serving = Serving::start(sounder(["serve", &path]).args(args), 1);
        let is = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(format!("{is:o}"), format!("{mode:o}"));
        serving.stop();
    }
}

#[test]
fn a_maximum_beyond_the_limit_of_open_files_is_refused() {
    let refused = run(&["serve", "--max-connections", "1000m", "tcp://127.0.0.1:0"], b"");
    assert_eq!(refused.code, Some(2));
    let hint = "\nhint: raise \"ulimit -n\", or lower --max-connections\n";
    assert!(refused.stderr.ends_with(hint), "{}", refused.stderr);
}

#[test]
fn without_descriptors_for_a_connection_only_the_limit_can_be_raised() {
    for command in ["demo", "ping --self -c 1", "serve tcp://127.0.0.1:0"] {
        let program = env!("CARGO_BIN_EXE_sounder");
        let refused = finish(&mut sh(&format!("ulimit -n 14; exec '{program}' {command}")), b"");
        assert_eq!(refused.code, Some(2), "{command}: {}", refused.stderr);
        let message =
            "cannot serve 1 connection: the limit of open files allows 0\nhint: raise \"ulimit -n\"\n";
        assert!(refused.stderr.ends_with(message), "{command}: {}", refused.stderr);
    }
}

#[test]
fn connections_beyond_the_maximum_wait() {
    let serving = Serving::with(&["--max-connections", "2", "--workers", "1", "tcp://127.0.0.1:0"], 1);
    let mut streams: Vec<TcpStream> = (0..3).map(|_| connect(&serving)).collect();
    let mut waiting = streams.pop().unwrap();
    for stream in &mut streams {
        exchange(stream, b"hello", CTIME + 5);
    }
    waiting.write_all(b"hello").unwrap();
    drop(streams);
    assert_eq!(exchange(&mut waiting, b"", CTIME + 5).len(), CTIME + 5);
    let done = serving.stop();
    assert!(done.stderr.contains("3 connections, 3 messages"), "{}", done.stderr);
}
