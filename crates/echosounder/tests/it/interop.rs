//! `sounder serve` with other clients, and `sounder talk` with other servers, byte for byte.

use std::process::Command;

use crate::support::{
    CTIME, Folder, Program, Serving, assert_stamped, finish, free_port, has_ipv6, host_and_port, installed,
    now, python, run, skip, sounder, unique,
};

/// Returns the messages that every client sends: text, a long message, and bytes that are not text.
/// None has a newline, at which some clients would split it.
fn messages() -> [Vec<u8>; 3] {
    [b"hello".to_vec(), vec![b'x'; 900], b"\x00\xff\x1b[31m\r\xe2\x80\xae".to_vec()]
}

/// Lets a client that forwards its input send the messages one by one, and compares the replies.
fn exchange_messages(client: &mut Command) -> Program {
    let start = now();
    let shown = format!("{client:?}");
    let mut client = Program::start(client);
    let mut received = 0;
    for message in messages() {
        client.write(&message);
        let end = received + CTIME + message.len();
        let all = client.wait_for_bytes(end);
        assert_eq!(all.len(), end, "{shown} receives the replies and nothing else");
        assert_stamped(&all[received..], start, &message);
        received = end;
    }
    client
}

/// Lets the client exchange messages. It must end when its input ends.
fn exchange_until_end_of_input(client: Option<Command>) {
    let Some(mut client) = client else { return };
    let done = exchange_messages(&mut client).finish();
    assert_eq!(done.code, Some(0), "{client:?}: {}", done.stderr);
}

/// Lets the client exchange messages. Without connections it has no end, so it is killed.
fn exchange_and_kill(client: Option<Command>) {
    let Some(mut client) = client else { return };
    drop(exchange_messages(&mut client));
}

fn with_args(name: &str, args: &[&str]) -> Option<Command> {
    let mut command = installed(name)?;
    command.args(args);
    Some(command)
}

/// Returns OpenBSD's netcat. Other programs of that name have other options.
fn netcat(args: &[&str]) -> Option<Command> {
    let help = finish(installed("nc")?.arg("-h"), b"");
    if !help.stderr.contains("OpenBSD") {
        skip("nc", "it is not OpenBSD's netcat");
        return None;
    }
    with_args("nc", args)
}

fn loopbacks() -> Vec<&'static str> {
    if has_ipv6() { vec!["127.0.0.1", "[::1]"] } else { vec!["127.0.0.1"] }
}

/// Lets a client of the textbook send three lines, and compares its output.
fn textbook_client(name: &str, endpoint: &str) {
    let (host, port) = host_and_port(endpoint);
    let Some(mut client) = python(name, [host, port]) else { return };
    let start = now();
    let done = finish(&mut client, b"hello\n  indented, \xc3\xa9\nbye\n\nnot sent\n");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let lines: Vec<&str> = done.text().lines().collect();
    assert_eq!(lines.len(), 3, "{}", done.text());
    for (line, message) in lines.iter().zip(["hello", "  indented, é", "bye"]) {
        assert_stamped(line.strip_prefix("Server: ").unwrap().as_bytes(), start, message.as_bytes());
    }
}

#[test]
fn textbook_clients_work_with_the_server() {
    for host in loopbacks() {
        let serving = Serving::at(&[&format!("tcp://{host}:0"), &format!("udp://{host}:0")]);
        textbook_client("tcp_client.py", &serving.endpoints()[0]);
        textbook_client("udp_client.py", &serving.endpoints()[1]);
    }
}

#[test]
fn other_clients_work_with_the_tcp_server() {
    for address in loopbacks() {
        let serving = Serving::at(&[&format!("tcp://{address}:0")]);
        let (host, port) = host_and_port(serving.endpoint());
        exchange_until_end_of_input(with_args("socat", &["-", &format!("TCP:{}", serving.address())]));
        exchange_until_end_of_input(with_args("ncat", &[host, port]));
        exchange_until_end_of_input(netcat(&["-N", host, port]));
    }
}

#[test]
fn other_clients_work_with_the_udp_server() {
    for address in loopbacks() {
        let serving = Serving::at(&[&format!("udp://{address}:0")]);
        let (host, port) = host_and_port(serving.endpoint());
        exchange_and_kill(with_args("socat", &["-", &format!("UDP:{}", serving.address())]));
        exchange_and_kill(with_args("ncat", &["-u", host, port]));
        exchange_and_kill(netcat(&["-u", host, port]));
    }
}

#[test]
fn other_clients_work_with_unix_streams() {
    let folder = Folder::new();
    let (path, name) = (folder.join("s"), unique());
    let _serving = Serving::at(&[&format!("unix:{path}"), &format!("@{name}")]);
    exchange_until_end_of_input(with_args("socat", &["-", &format!("UNIX-CONNECT:{path}")]));
    exchange_until_end_of_input(with_args("socat", &["-", &format!("ABSTRACT-CONNECT:{name}")]));
    exchange_until_end_of_input(with_args("ncat", &["-U", &path]));
    exchange_until_end_of_input(netcat(&["-N", "-U", &path]));
}

#[test]
fn other_clients_work_with_unix_datagrams() {
    let folder = Folder::new();
    let (path, name) = (folder.join("d"), unique());
    let _serving = Serving::at(&[&format!("unix-dgram:{path}"), &format!("unix-dgram:@{name}")]);
    let ours = folder.join("socat");
    exchange_and_kill(with_args("socat", &["-", &format!("UNIX-SENDTO:{path},bind={ours}")]));
    let ours = unique();
    exchange_and_kill(with_args("socat", &["-", &format!("ABSTRACT-SENDTO:{name},bind={ours}")]));
    exchange_and_kill(netcat(&["-u", "-U", "-s", &folder.join("nc"), &path]));
}

#[test]
fn other_clients_work_with_unix_seqpackets() {
    let folder = Folder::new();
    let (path, name) = (folder.join("q"), unique());
    let _serving = Serving::at(&[&format!("unix-seqpacket:{path}"), &format!("unix-seqpacket:@{name}")]);
    exchange_until_end_of_input(with_args("socat", &["-", &format!("UNIX-CONNECT:{path},type=5")]));
    exchange_until_end_of_input(with_args("socat", &["-", &format!("ABSTRACT-CONNECT:{name},type=5")]));
    for address in [path, format!("\0{name}")] {
        let Some(mut client) = python("seqpacket_client.py", [hex(address.as_bytes())]) else { return };
        let start = now();
        let done = finish(&mut client, b"hello\nworld\n");
        let lines: Vec<&str> = done.text().lines().collect();
        assert_eq!((done.code, lines.len()), (Some(0), 2), "{}", done.stderr);
        assert_stamped(lines[0].as_bytes(), start, b"hello");
        assert_stamped(lines[1].as_bytes(), start, b"world");
    }
}

/// Returns bytes in hexadecimal. An argument cannot contain the NUL byte with which an abstract
/// name begins.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn ctime_timestamps_follow_tz() {
    let Some(mut python) = installed("python3") else { return };
    let mut serve = sounder(["serve", "tcp://127.0.0.1:0"]);
    let serving = Serving::start(serve.env("TZ", "Europe/Berlin"), 1);
    let start = now();
    let talk = run(&["talk", serving.endpoint()], b"hello\n");
    let code =
        "import sys, time; print([time.ctime(t) for t in range(int(sys.argv[1]), int(sys.argv[2]) + 1)])";
    python.env("TZ", "Europe/Berlin").args(["-c", code, &start.to_string(), &now().to_string()]);
    let ctimes = finish(&mut python, b"");
    let stamp = &talk.text()[1..CTIME - 2];
    assert!(ctimes.text().contains(&format!("'{stamp}'")), "{stamp} is not of {}", ctimes.text());
}

/// Checks that a server echoes what `sounder talk` sends.
fn assert_echoes(endpoint: &str) {
    assert_echoes_to(&["talk", endpoint], endpoint);
}

/// As [`assert_echoes`], line by line: when the client's input ends, `ncat --exec` loses the output
/// that its program has not written yet, whichever client it is.
fn assert_echoes_by_line(endpoint: &str) {
    assert_echoes_to(&["talk", "--lines", endpoint], endpoint);
}

fn assert_echoes_to(args: &[&str], endpoint: &str) {
    let talk = run(args, b"hello\n  world, \xc3\xa9\n");
    let replies = "hello\n  world, é\n";
    assert_eq!((talk.text(), talk.stderr.as_str(), talk.code), (replies, "", Some(0)), "{endpoint}");
}

#[test]
fn talk_works_with_textbook_servers() {
    for (script, scheme) in [("tcp_server.py", "tcp"), ("udp_server.py", "udp")] {
        for host in loopbacks() {
            let Some(mut server) = python(script, [host.trim_matches(['[', ']'])]) else { return };
            let server = Program::start(&mut server);
            let endpoint = format!("{scheme}://{host}:{}", server.wait_for_lines(1)[0]);
            let start = now();
            let talk = run(&["talk", "--lines", &endpoint], b"hello\nworld\n");
            let lines: Vec<&str> = talk.text().lines().collect();
            assert_eq!((talk.code, lines.len()), (Some(0), 2), "{endpoint}: {}", talk.stderr);
            assert_stamped(lines[0].as_bytes(), start, b"hello");
            assert_stamped(lines[1].as_bytes(), start, b"world");
        }
    }
}

#[test]
fn a_textbook_server_replies_to_a_long_message_in_parts() {
    let Some(mut server) = python("tcp_server.py", ["127.0.0.1"]) else { return };
    let server = Program::start(&mut server);
    let endpoint = format!("tcp://127.0.0.1:{}", server.wait_for_lines(1)[0]);
    let long = "x".repeat(5000);
    let talk = run(&["talk", "--json", &endpoint], format!("{long}\nshort\n").as_bytes());
    let replies = talk.objects();
    let texts: Vec<&str> = replies.iter().map(|reply| reply["text"].as_str().unwrap()).collect();
    assert_eq!((talk.code, texts.len()), (Some(0), 2), "{texts:?}");
    let (x, stamps) = (texts[0].matches('x').count(), texts[0].matches('[').count());
    assert!(
        x == 5000 && 5 <= stamps,
        "the reply consists of all its parts: {x} bytes with {stamps} timestamps"
    );
    assert!(texts[1].ends_with("] short"));
}

/// Starts socat, and returns it with the port that it reports.
pub(crate) fn socat(address: &str, what: &str) -> Option<(Program, String)> {
    let mut socat = installed("socat")?;
    let server = Program::start(socat.args(["-d", "-d", address, what]));
    let stderr = server.wait_for_stderr("listening on");
    let line = stderr.lines().find(|line| line.contains("listening on")).unwrap();
    let port = line.rsplit(':').next().unwrap().to_owned();
    Some((server, port))
}

#[test]
fn talk_works_with_other_tcp_servers() {
    for (host, family) in [("127.0.0.1", 4), ("[::1]", 6)].into_iter().take(loopbacks().len()) {
        for what in ["PIPE", "EXEC:cat"] {
            let address = format!("TCP{family}-LISTEN:0,bind={host},fork");
            let Some((_server, port)) = socat(&address, what) else { return };
            assert_echoes(&format!("tcp://{host}:{port}"));
        }
    }
    let port = free_port().to_string();
    let Some(mut ncat) = installed("ncat") else { return };
    let server = Program::start(ncat.args(["-v", "-l", "127.0.0.1", &port, "--exec", "/bin/cat"]));
    server.wait_for_stderr("Listening on");
    assert_echoes_by_line(&format!("tcp://127.0.0.1:{port}"));
}

#[test]
fn talk_works_with_other_udp_servers() {
    for (host, family) in [("127.0.0.1", 4), ("[::1]", 6)].into_iter().take(loopbacks().len()) {
        // Without `fork`: a child would not notice that its UDP peer has ended, and would remain.
        let address = format!("UDP{family}-LISTEN:0,bind={host}");
        let Some((_server, port)) = socat(&address, "PIPE") else { return };
        assert_echoes(&format!("udp://{host}:{port}"));
    }
    let port = free_port().to_string();
    let Some(mut ncat) = installed("ncat") else { return };
    let server = Program::start(ncat.args(["-v", "-u", "-l", "127.0.0.1", &port, "--exec", "/bin/cat"]));
    server.wait_for_stderr("Listening on");
    assert_echoes(&format!("udp://127.0.0.1:{port}"));
}

#[test]
fn talk_works_with_other_unix_servers() {
    let folder = Folder::new();
    let path = |name| folder.join(name);
    let name = unique();
    for (address, endpoint) in [
        (format!("UNIX-LISTEN:{},fork", path("s")), format!("unix:{}", path("s"))),
        (format!("UNIX-LISTEN:{},type=5,fork", path("q")), format!("unix-seqpacket:{}", path("q"))),
        (format!("ABSTRACT-LISTEN:{name},fork"), format!("unix:@{name}")),
    ] {
        let Some(mut socat) = installed("socat") else { return };
        let server = Program::start(socat.args(["-d", "-d", &address, "PIPE"]));
        server.wait_for_stderr("listening on");
        assert_echoes(&endpoint);
    }
    let Some(mut socat) = installed("socat") else { return };
    let server =
        Program::start(socat.args(["-d", "-d", &format!("UNIX-RECVFROM:{},fork", path("d")), "PIPE"]));
    server.wait_for_stderr("receiving on");
    assert_echoes(&format!("unix-dgram:{}", path("d")));

    let Some(mut ncat) = installed("ncat") else { return };
    let server = Program::start(ncat.args(["-v", "-l", "-U", &path("n"), "--exec", "/bin/cat"]));
    server.wait_for_stderr("Listening on");
    assert_echoes_by_line(&path("n"));
}
