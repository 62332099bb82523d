use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use echosounder_socket::{Address, Endpoint, Family, IpVersion, Protocol, Side, Socket, Transport, Type};

use crate::support::{
    CTIME, Folder, PATIENCE, Program, Serving, assert_stamped, connections, finish, has_ipv6, json_lines,
    now, private_hosts, private_network, python, retry_interrupted, run, sh, sounder, unique, wait_until,
    without_times,
};

/// A server with one client, on a thread of its own.
struct Server<T> {
    endpoint: String,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    fn with(handle: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            handle(client)
        });
        Self { endpoint, thread }
    }

    /// Waits until the server has ended, and returns its result.
    fn join(self) -> T {
        self.thread.join().unwrap()
    }
}

/// Receives once.
fn receive(client: &mut TcpStream) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let len = retry_interrupted(|| client.read(&mut buffer)).unwrap();
    buffer[..len].to_vec()
}

/// Receives until the client has half-closed the connection.
fn receive_all(client: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    all
}

/// Returns a datagram socket and its endpoint.
fn port() -> (UdpSocket, String) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = format!("udp://{}", port.local_addr().unwrap());
    (port, endpoint)
}

/// Returns a command that runs our client where the name `both` has the addresses ::1 and
/// 127.0.0.1, in that order, as long as the folder exists.
pub(crate) fn where_both_is_a_name() -> Option<(Command, Folder)> {
    if !has_ipv6() {
        return None;
    }
    let folder = Folder::new();
    let hosts = folder.join("hosts");
    fs::write(&hosts, "::1 both\n127.0.0.1 both\n").unwrap();
    let mut command = private_hosts(&hosts)?;
    command.arg(env!("CARGO_BIN_EXE_sounder"));
    Some((command, folder))
}

/// Echoes one message.
fn echo(client: &mut TcpStream) {
    let message = receive(client);
    client.write_all(&message).unwrap();
}

/// Starts our client on a terminal that can only print, without its first line.
fn on_terminal(args: &[&str]) -> Option<Program> {
    let mut terminal = python("terminal.py", [env!("CARGO_BIN_EXE_sounder")])?;
    Some(Program::start(terminal.args(["talk", "-q"]).args(args).env("TERM", "dumb")))
}

#[test]
fn multicast_and_broadcast_addresses_are_refused() {
    let mut groups = vec!["udp://224.0.0.1:9", "udp://255.255.255.255:9", "tcp://224.0.0.1:9"];
    if has_ipv6() {
        groups.push("tcp://[ff02::1%lo]:9");
    }
    for endpoint in groups {
        let talk = run(&["talk", endpoint], b"hello\n");
        let expected_stderr =
            format!("sounder: cannot connect to {endpoint}: it is a multicast or broadcast address\n");
        assert_eq!(talk.all(), (Some(2), "", &*expected_stderr));
    }
}

#[test]
fn next_line_waits_for_the_reply() {
    let server = Server::with(|mut client| {
        let mut received = Vec::new();
        for _ in 0..3 {
            let message = receive(&mut client);
            // If the client did not wait, its next message would arrive in no time.
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let early = retry_interrupted(|| client.read(&mut [0; 1024]));
            assert!(early.is_err(), "{early:?} bytes arrived before the reply to {message:?}");
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(&message).unwrap();
            received.push(message);
        }
        assert_eq!(receive(&mut client), b"");
        received
    });
    let talk = run(&["talk", "-v", "--lines", &server.endpoint], b"one\ntwo\nthree\n");
    let expected_stderr = format!("Connected to {}\n", server.endpoint);
    assert_eq!(talk.all(), (Some(0), "one\ntwo\nthree\n", &*expected_stderr));
    assert_eq!(server.join(), [&b"one"[..], b"two", b"three"]);
}

#[test]
fn replies_are_written_unchanged() {
    let hostile = b"\x1b[31m\xff\x00\r\x9b\xe2\x80\xae";
    for (args, added) in [(&["talk"][..], &b""[..]), (&["talk", "--lines"], b"\n")] {
        let server = Server::with(|mut client| {
            receive(&mut client);
            client.write_all(hostile).unwrap();
        });
        let talk = run(&[args, &[&server.endpoint]].concat(), b"hello\n");
        assert_eq!((talk.code, talk.stdout), (Some(0), [hostile, added].concat()));
        server.join();
    }
}

#[test]
fn with_eol_lines_keep_their_ending_and_empty_lines_are_sent() {
    for (eol, sent) in [("lf", &b"one\n\ntwo\nthree"[..]), ("crlf", b"one\r\n\r\ntwo\r\nthree")] {
        let server = Server::with(|mut client| {
            let mut all = Vec::new();
            loop {
                let message = receive(&mut client);
                if message.is_empty() {
                    return all;
                }
                client.write_all(&message).unwrap();
                all.extend(message);
            }
        });
        let talk = run(&["talk", "--lines", "--eol", eol, &server.endpoint], b"one\n\ntwo\nthree");
        assert_eq!(talk.stdout, sent, "{eol}");
        assert_eq!((talk.code, server.join()), (Some(0), sent.to_vec()), "{eol}");
    }
}

#[test]
fn server_may_finish_after_the_end_of_input() {
    let upper = |mut client: TcpStream| {
        let all = receive_all(&mut client);
        client.write_all(&[&all.to_ascii_uppercase(), &b", and more"[..]].concat()).unwrap();
    };
    let server = Server::with(upper);
    let talk = run(&["talk", &server.endpoint], b"one\ntwo\n");
    assert_eq!(talk.all(), (Some(0), "ONE\nTWO\n, and more", ""));
    server.join();

    // Each of the two lines times out, and then the input ends.
    let server = Server::with(upper);
    let talk = run(&["talk", "--lines", "-w", "100ms", &server.endpoint], b"one\ntwo\n");
    assert_eq!((talk.code, talk.text().trim_end()), (Some(1), "ONETWO, and more"));
    let silence = format!("no reply from {} within 100ms\n", server.endpoint);
    let expected_stderr = format!(
        "sounder: TIMEOUT: cannot talk to {}: 2 of 2 lines got no reply within 100ms\n\
         hint: a server that reads whole lines needs --eol lf or --eol crlf\n",
        server.endpoint
    );
    assert_eq!(talk.stderr, silence.repeat(2) + &expected_stderr);
    server.join();
}

#[test]
fn closed_connection_ends_the_conversation() {
    for args in [&["talk", "-w", "300ms"][..], &["talk", "-w", "300ms", "--lines"]] {
        let at_once = Server::with(drop);
        let program = Program::start(&mut sounder([args, &[&at_once.endpoint]].concat()));
        at_once.join();
        // No line is sent: the client notices the end while it waits for a line.
        let talk = program.wait();
        assert_eq!(talk.all(), (Some(0), "", ""), "{args:?}");
    }
}

#[test]
fn line_without_a_reply_is_reported_when_the_server_closes() {
    let server = Server::with(|mut client| {
        receive(&mut client);
    });
    let mut program = Program::start(&mut sounder(["talk", "--lines", &server.endpoint]));
    program.write(b"hello\n");
    let endpoint = server.endpoint.clone();
    server.join();
    let talk = program.finish();
    let expected_stderr = format!("sounder: CLOSED: cannot talk to {endpoint}: 1 of 1 line got no reply\n");
    assert_eq!(talk.all(), (Some(1), "", &*expected_stderr));
}

#[test]
fn unsent_lines_are_counted_when_the_server_closes() {
    let server = Server::with(|mut client| {
        let message = receive(&mut client);
        client.write_all(&[b"bye ", &message[..]].concat()).unwrap();
    });
    let talk = run(&["talk", "--lines", &server.endpoint], b"one\ntwo\nthree\n");
    let expected_stderr =
        format!("sounder: CLOSED: cannot talk to {}: 2 of 3 lines were not sent\n", server.endpoint);
    assert_eq!(talk.all(), (Some(1), "bye one\n", &*expected_stderr));
    server.join();
    let server = Server::with(drop);
    let talk = run(&["talk", "-q", "--lines", &server.endpoint], b"one\n");
    assert_eq!(talk.all(), (Some(1), "", ""));
    server.join();
}

#[test]
fn any_bytes_pass_unchanged() {
    let binary: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let name = unique();
    let plain = ["--stamp", "none", "tcp://127.0.0.1:0", &format!("unix:@{name}")];
    let serving = Serving::with(&plain, 2);
    for endpoint in serving.endpoints() {
        for input in [&b""[..], b"\n", b"a\n\nb\n", b"no newline", b"\x00\r\n\x1b[2J\xff\xfe\n\n\n", &binary]
        {
            let talk = run(&["talk", endpoint], input);
            assert_eq!((talk.code, talk.stderr.as_str()), (Some(0), ""), "{endpoint}");
            assert!(talk.stdout == input, "{endpoint}: {} bytes of {}", talk.stdout.len(), input.len());
        }
    }
}

#[test]
fn paused_input_and_output_lose_nothing() {
    let serving = Serving::with(&["--stamp", "none", "tcp://127.0.0.1:0"], 1);
    // This is more than all buffers on the way hold. The output is read only when the input is
    // blocked.
    let pipeline = "head -c 30000000 /dev/zero | tr '\\0' x | \"$SOUNDER\" talk \"$AT\" | { read wait <\"$GO\"; cat; } | wc -c";
    let folder = Folder::new();
    let go = folder.join("go");
    assert!(sh(&format!("mkfifo '{go}'")).status().unwrap().success());
    let mut pipeline = sh(pipeline);
    pipeline.env("SOUNDER", env!("CARGO_BIN_EXE_sounder")).env("AT", serving.endpoint()).env("GO", &go);
    let program = Program::start(&mut pipeline);
    fs::write(&go, "go\n").unwrap();
    assert_eq!(program.wait().text().trim(), "30000000");
}

#[test]
fn blocked_output_does_not_delay_a_signal() {
    for (lines, signal) in [(&[][..], "INT"), (&[], "TERM"), (&["--lines"], "TERM")] {
        let (report, stuck) = mpsc::channel();
        let server = Server::with(move |mut client| {
            receive(&mut client);
            // A timeout shows that all buffers between the two ends are full.
            client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            while client.write_all(&[b'x'; 65536]).is_ok() {}
            report.send(()).unwrap();
            client
        });
        let mut talk = sounder([&["talk"], lines, &[&server.endpoint]].concat());
        let mut talk = talk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        talk.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        stuck.recv().unwrap();
        assert!(sh(&format!("kill -{signal} {}", talk.id())).status().unwrap().success());
        let mut unread = talk.stdout.take().unwrap();
        // Its output is read only after it has ended.
        assert_eq!(talk.wait().unwrap().code(), Some(0), "{lines:?}");
        assert!(0 < unread.read(&mut [0; 1024]).unwrap());
        server.join();
    }
}

#[test]
fn signal_while_connecting_ends_at_once() {
    let Some(mut silent) = python("full.py", ["127.0.0.1"]) else { return };
    let silent = Program::start(&mut silent);
    let port = silent.wait_for_lines(1).remove(0);
    let program = Program::start(&mut sounder(["talk", "-w", "1h", &format!("tcp://127.0.0.1:{port}")]));
    // An earlier signal would kill the program.
    let tasks = format!("/proc/{}/task", program.pid());
    let names =
        || fs::read_dir(&tasks).unwrap().map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    wait_until("a thread that receives signals", || names().flatten().any(|name| name == "signals\n"));
    // The program ignores it, since it has no statistics to print.
    program.signal("USR1");
    program.signal("TERM");
    assert_eq!(program.wait().all(), (Some(1), "", ""));
}

#[test]
fn input_is_sent_after_the_server_has_half_closed() {
    let server = Server::with(|mut client| {
        client.write_all(b"first words\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        receive_all(&mut client)
    });
    let mut program = Program::start(&mut sounder(["talk", &server.endpoint]));
    program.write(b"a\n");
    program.wait_for_lines(1);
    program.write(b"b\n");
    let talk = program.finish();
    assert_eq!(talk.all(), (Some(0), "first words\n", ""));
    assert_eq!(server.join(), b"a\nb\n");
}

#[test]
fn input_after_the_server_has_closed_is_an_error() {
    for _ in 0..5 {
        let talk = run(&["talk", &connections(drop)], b"one\ntwo\nthree\n");
        assert_eq!((talk.code, talk.text()), (Some(1), ""), "{}", talk.stderr);
        assert!(talk.stderr.starts_with("sounder: CLOSED: "), "{}", talk.stderr);
    }
}

#[test]
fn unsent_input_is_an_error() {
    let (sent, input) = (b"x".repeat(30_000_000), "30000000");
    let server = Server::with(|mut client| {
        client.write_all(b"enough").unwrap();
        retry_interrupted(|| client.peek(&mut [0])).unwrap();
    });
    let talk = run(&["talk", &server.endpoint], &sent);
    assert_eq!((talk.code, talk.text()), (Some(1), "enough"), "of {input}: {}", talk.stderr);
    assert!(talk.stderr.contains("CLOSED") && talk.stderr.contains(" bytes"), "{}", talk.stderr);
    assert!(talk.stderr.contains("of the input were not sent"), "{}", talk.stderr);
    server.join();

    // A UNIX socket reports at once that its peer has closed. Input that follows is counted, too.
    let folder = Folder::new();
    let path = folder.join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let mut program = Program::start(&mut sounder(["talk", &path]));
    drop(listener.accept().unwrap());
    program.write(b"too late\n");
    let talk = program.finish();
    assert_eq!((talk.code, talk.text()), (Some(1), ""), "{}", talk.stderr);
    assert!(
        talk.stderr.starts_with(&format!("sounder: CLOSED: cannot talk to unix:{path}: ")),
        "{}",
        talk.stderr
    );
    assert!(talk.stderr.ends_with(": 9 bytes of the input were not sent\n"), "{}", talk.stderr);
}

#[test]
fn line_endings_are_translated_in_a_pipe() {
    for (eol, expected) in [("crlf", &b"GET /\r\n\r\na\r\nb"[..]), ("lf", b"GET /\n\na\nb")] {
        let server = Server::with(|mut client| {
            let mut head = receive_all(&mut client);
            client.write_all(b"200 OK\n").unwrap();
            head.shrink_to_fit();
            head
        });
        let talk = run(&["talk", "--eol", eol, &server.endpoint], b"GET /\n\r\na\nb");
        assert_eq!(talk.all(), (Some(0), "200 OK\n", ""), "{eol}");
        assert_eq!(server.join(), expected, "{eol}");
    }
}

#[test]
fn http_request_ends_with_its_response() {
    let server = Server::with(|mut client| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(receive(&mut client));
        }
        client.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n").unwrap();
        head
    });
    // A wait for anything but the server's end would last longer than this test.
    let args = ["talk", "--eol", "crlf", "-w", "1h", &server.endpoint];
    let talk = run(&args, b"GET / HTTP/1.0\nHost: x\n\n");
    assert_eq!(talk.all(), (Some(0), "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n", ""));
    assert_eq!(server.join(), b"GET / HTTP/1.0\r\nHost: x\r\n\r\n");
}

#[test]
fn data_in_several_reads_is_written_unchanged() {
    let text = "part one, é中😀\n".as_bytes();
    for lines in [&[][..], &["--lines"]] {
        let server = Server::with(move |mut client| {
            client.set_nodelay(true).unwrap();
            receive(&mut client);
            text.iter().for_each(|byte| client.write_all(&[*byte]).unwrap());
        });
        let talk = run(&[&["talk"], lines, &[&server.endpoint]].concat(), b"x\n");
        assert_eq!((talk.code, &talk.stdout[..]), (Some(0), text), "{lines:?}");
        server.join();

        let long = b"0123456789".repeat(30_000);
        let sent = long.clone();
        let server = Server::with(move |mut client| {
            receive(&mut client);
            client.write_all(&sent).unwrap();
        });
        let talk = run(&[&["talk"], lines, &[&server.endpoint]].concat(), b"x\n");
        let newline = if lines.is_empty() { &b""[..] } else { b"\n" };
        assert_eq!(talk.code, Some(0));
        assert!(talk.stdout == [&long[..], newline].concat(), "{lines:?}: {} bytes", talk.stdout.len());
        server.join();
    }
}

#[test]
fn deadline_ends_a_server_that_sends_forever() {
    for lines in [&[][..], &["--lines"]] {
        let (end, ended) = mpsc::channel::<()>();
        let server = Server::with(move |mut client| {
            while client.write_all(b"x").is_ok() && ended.recv_timeout(Duration::from_millis(20)).is_err() {}
        });
        let args = [&["talk", "--deadline", "300ms"], lines, &[&server.endpoint]].concat();
        let talk = run(&args, b"");
        let expected_stderr = format!(
            "sounder: TIMEOUT: cannot talk to {}: stopped after 300ms (--deadline)\n",
            server.endpoint
        );
        assert_eq!((talk.code, talk.stderr), (Some(1), expected_stderr));
        assert!(talk.stdout.starts_with(b"x"));
        drop(end);
        server.join();
    }
}

/// Receives once, and then sends single bytes without end.
fn drip(mut client: impl Read + Write) {
    let (_never, ended) = mpsc::channel::<()>();
    let _ = client.read(&mut [0; 16]);
    while client.write_all(b"x").is_ok() {
        let _ = ended.recv_timeout(Duration::from_millis(20));
    }
}

#[test]
fn reply_that_drips_forever_times_out() {
    let name = Folder::new();
    let path = name.join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let unix = thread::spawn(move || drip(listener.accept().unwrap().0));
    let silence = |endpoint: &str| format!("no reply from {endpoint} within 100ms\n");
    // A silence of 300 ms would complete the reply, so the wait is short: a busy machine must not keep
    // the server from sending for so long while it lasts.
    let lines = |endpoint: &str, how: &[&str]| {
        run(&[&["talk", "-w", "100ms"], how, &[endpoint]].concat(), b"one\ntwo\n")
    };
    for how in [&["--lines"][..], &["--lines", "--eol", "crlf"]] {
        let server = Server::with(drip);
        let talk = lines(&server.endpoint, how);
        assert_eq!(talk.code, Some(1), "{how:?}: {}", talk.stderr);
        assert!(talk.stderr.starts_with(&silence(&server.endpoint).repeat(2)), "{how:?}: {}", talk.stderr);
        let expected_stderr = "2 of 2 lines got no reply within 100ms\n";
        assert!(talk.stderr.contains(expected_stderr), "{how:?}: {}", talk.stderr);
        assert!(talk.stdout.starts_with(b"x"), "{how:?}: what has come is written");
        server.join();
    }
    let talk = lines(&format!("unix:{path}"), &["--json"]);
    let events: Vec<_> =
        talk.objects().iter().map(|object| object["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!((talk.code, events.iter().filter(|event| *event == "no_reply").count()), (Some(1), 2));
    assert!(talk.objects().iter().all(|object| object["rtt_ns"].is_null()), "{}", talk.text());
    unix.join().unwrap();
}

#[test]
fn connection_reset_is_a_closed_connection() {
    let server = Server::with(|client| {
        // To close with unread input resets the connection: tcp(7).
        retry_interrupted(|| client.peek(&mut [0])).unwrap();
    });
    let talk = run(&["talk", &server.endpoint], b"hello\n");
    let expected_stderr =
        format!("sounder: CLOSED: cannot receive from {}: Connection reset by peer\n", server.endpoint);
    assert_eq!(talk.all(), (Some(1), "", &*expected_stderr));
    server.join();
}

#[test]
fn connection_reset_between_lines_is_a_closed_connection() {
    let server = Server::with(|mut client| {
        let message = receive(&mut client);
        client.write_all(&message).unwrap();
        retry_interrupted(|| client.peek(&mut [0])).unwrap();
    });
    let mut program = Program::start(&mut sounder(["talk", "--lines", &server.endpoint]));
    program.write(b"hello\n");
    assert_eq!(program.wait_for_lines(1), ["hello"]);
    program.write(b"again\n");
    let talk = program.wait();
    assert_eq!((talk.code, talk.text()), (Some(1), "hello\n"));
    assert!(
        talk.stderr.starts_with("sounder: CLOSED: cannot receive from tcp://127.0.0.1:"),
        "{}",
        talk.stderr
    );
    server.join();
}

#[test]
fn datagram_without_a_reply_is_reported_and_the_next_one_sent() {
    let (server, endpoint) = port();
    let silence = format!("no reply from {endpoint} within 50ms\n");
    let word =
        |missed| format!("sounder: TIMEOUT: cannot talk to {endpoint}: {missed} got no reply within 50ms\n");
    let talk = run(&["talk", "-w", "50ms", &endpoint], b"one\ntwo\n");
    assert_eq!(talk.all(), (Some(1), "", &*(silence.repeat(2) + &word("2 of 2 lines"))));

    let mut buffer = [0; 16];
    for expected in [&b"one"[..], b"two"] {
        let len = retry_interrupted(|| server.recv(&mut buffer)).unwrap();
        assert_eq!(&buffer[..len], expected);
    }
    let server_thread = thread::spawn(move || {
        let (_, _) = retry_interrupted(|| server.recv_from(&mut buffer)).unwrap();
        let (len, client) = retry_interrupted(|| server.recv_from(&mut buffer)).unwrap();
        server.send_to(&buffer[..len], client).unwrap();
    });
    let talk = run(&["talk", "-w", "2s", &endpoint], b"one\ntwo\n");
    let expected_stderr = (silence + &word("1 of 2 lines")).replace("50ms", "2s");
    assert_eq!(talk.all(), (Some(1), "two\n", &*expected_stderr));
    server_thread.join().unwrap();
}

#[test]
fn json_has_one_object_per_line_when_replies_are_late() {
    let (server, endpoint) = port();
    // Each reply is sent when the next line has arrived.
    let server_thread = thread::spawn(move || {
        let mut last = Vec::new();
        for _ in 0..3 {
            let mut buffer = [0; 16];
            let (len, client) = retry_interrupted(|| server.recv_from(&mut buffer)).unwrap();
            if !last.is_empty() {
                server.send_to(&last, client).unwrap();
            }
            last = [b"[now] ", &buffer[..len]].concat();
        }
    });
    let talk = run(&["talk", "--json", "-w", "1s", &endpoint], b"a\n\nbb\n");
    let objects = talk.objects();
    let records: Vec<_> = objects
        .iter()
        .map(|object| (object["event"].as_str().unwrap(), object["text"].as_str(), object["rtt_ns"].is_u64()))
        .collect();
    let silence = ("no_reply", None, false);
    let late = |text| ("reply", Some(text), false);
    assert_eq!(records, [silence, late("[now] a"), silence, late("[now] "), silence]);
    assert_eq!(talk.code, Some(1));
    assert!(talk.stderr.contains("3 of 3 lines got no reply within 1s"), "{}", talk.stderr);
    server_thread.join().unwrap();
}

#[test]
fn empty_datagram_is_a_reply() {
    let (server, endpoint) = port();
    let server_thread = thread::spawn(move || {
        let (_, client) = retry_interrupted(|| server.recv_from(&mut [0; 16])).unwrap();
        server.send_to(b"", client).unwrap();
    });
    let talk = run(&["talk", &endpoint], b"hello\n");
    assert_eq!((talk.code, talk.text()), (Some(0), "\n"));
    server_thread.join().unwrap();
}

#[test]
fn refused_datagram_is_sent_to_the_next_address_of_a_name() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let (server, endpoint) = port();
    let server_thread = thread::spawn(move || {
        let mut buffer = [0; 16];
        let (len, client) = retry_interrupted(|| server.recv_from(&mut buffer)).unwrap();
        server.send_to(&buffer[..len], client).unwrap();
    });
    let endpoint = endpoint.replace("127.0.0.1", "both");
    client.args(["talk", "-v", &endpoint]);
    let talk = finish(&mut client, b"hello\n");
    assert_eq!((talk.code, talk.text()), (Some(0), "hello\n"), "{}", talk.stderr);
    assert_eq!(talk.stderr, format!("Connected to {}\n", endpoint.replace("both", "127.0.0.1")));
    server_thread.join().unwrap();
}

#[test]
fn refused_connection_tries_the_next_address_of_a_name() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let endpoint = serving.endpoint().replace("127.0.0.1", "both");
    client.args(["talk", "-v", &endpoint]);
    let talk = finish(&mut client, b"hello\n");
    assert_eq!((talk.code, talk.text().len()), (Some(0), CTIME + 6), "{}", talk.stderr);
    assert_eq!(talk.stderr, format!("Connected to {}\n", serving.endpoint()));
}

/// Returns a program that listens at ::1 and whose queue is full, its port, and a socket because of
/// which 127.0.0.1 refuses connections to that port; or skips.
fn silent_address() -> Option<(Program, u16, Socket)> {
    let attempt = |_| {
        let silent = Program::start(&mut python("full.py", ["::1"])?);
        let port = silent.wait_for_lines(1)[0].parse().unwrap();
        let address = Address::from((Ipv4Addr::LOCALHOST, port));
        let refusing = Transport::Tcp.socket(&address).unwrap();
        // Another test may have the port over IPv4.
        Some(refusing.bind(&address).is_ok().then_some((silent, port, refusing)))
    };
    let mut attempts = (0..20).map(attempt);
    attempts.find(|found| !matches!(found, Some(None))).expect("a port that is free over IPv4").flatten()
}

#[test]
fn silent_address_does_not_delay_the_others() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let Some((_silent, port, refusing)) = silent_address() else { return };
    drop(refusing);
    let serving = Serving::at(&[&format!("tcp://127.0.0.1:{port}")]);
    // The time is for all addresses together. Without staggered starts the first would use all of
    // it.
    client.args(["talk", "-v", "-w", "5s", &format!("both:{port}")]);
    let talk = finish(&mut client, b"hello\n");
    assert_eq!((talk.code, talk.text().len()), (Some(0), CTIME + 6), "{}", talk.stderr);
    assert_eq!(talk.stderr, format!("Connected to {}\n", serving.endpoint()));
}

#[test]
fn error_names_the_failure_of_every_address() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let Some((_silent, port, _refusing)) = silent_address() else { return };
    client.args(["talk", "-w", "3s", &format!("both:{port}")]);
    let talk = finish(&mut client, b"hello\n");
    let expected_stderr = format!(
        "sounder: REFUSED: cannot connect to tcp://127.0.0.1:{port}: Connection refused; \
         TIMEOUT: cannot connect to tcp://[::1]:{port}: timed out\n"
    );
    assert_eq!(talk.all(), (Some(1), "", &*expected_stderr));
}

#[test]
fn source_option_sets_the_local_address() {
    let server = Server::with(|mut client| {
        let from = client.peer_addr().unwrap().ip().to_string();
        echo(&mut client);
        from
    });
    let talk = run(&["talk", "-I", "127.0.0.9", &server.endpoint], b"hello\n");
    assert_eq!(talk.all(), (Some(0), "hello\n", ""));
    assert_eq!(server.join(), "127.0.0.9");

    let server = Server::with(|mut client| echo(&mut client));
    let endpoint = server.endpoint.clone();
    let talk = run(&["talk", "--source", "lo", &endpoint], b"hello\n");
    assert_eq!(talk.all(), (Some(0), "hello\n", ""));
    server.join();
    for (source, expected_stderr) in [
        ("192.0.2.1", "cannot bind 192.0.2.1: Cannot assign requested address".to_owned()),
        ("no-such-iface", "cannot bind no-such-iface: No such device".to_owned()),
        ("::1", format!("cannot resolve {endpoint}: the name has no address of the family of ::1")),
    ] {
        let talk = run(&["talk", "-I", source, &endpoint], b"");
        assert_eq!(talk.all(), (Some(2), "", &*format!("sounder: {expected_stderr}\n")));
    }
}

#[test]
fn json_has_one_object_per_reply() {
    let server = Server::with(|mut client| {
        client.write_all(b"welcome").unwrap();
        for reply in [&b"one"[..], b"\xff\x00"] {
            receive(&mut client);
            client.write_all(reply).unwrap();
        }
    });
    let mut program = Program::start(&mut sounder(["talk", "--json", &server.endpoint]));
    program.wait_for_lines(1);
    program.write(b"one\ntwo\n");
    let peer = server.endpoint.clone();
    server.join();
    let done = program.finish();
    let replies = without_times(done.objects());
    let rtt = |number: usize| &replies[number]["rtt_ns"];
    assert!(rtt(1).is_u64() && rtt(2).is_u64(), "{replies:?}");
    let reply = |text: Option<&str>, hex: Option<&str>, rtt_ns: &serde_json::Value| serde_json::json!({ "event": "reply", "endpoint": peer, "text": text, "hex": hex, "rtt_ns": rtt_ns });
    let expected = [
        reply(Some("welcome"), None, &serde_json::Value::Null),
        reply(Some("one"), None, rtt(1)),
        reply(None, Some("ff00"), rtt(2)),
    ];
    assert_eq!((done.code, &replies[..]), (Some(0), &expected[..]));
}

#[test]
fn json_object_of_the_connection() {
    let server = Server::with(|mut client| echo(&mut client));
    let talk = run(&["talk", "--json", "-v", &server.endpoint], b"one\n");
    let note = serde_json::json!({ "event": "note", "note": format!("connected to {}", server.endpoint) });
    assert_eq!((talk.code, without_times(json_lines(&talk.stderr))), (Some(0), vec![note]));
    server.join();
}

#[test]
fn json_object_of_a_missing_reply() {
    let (_server, endpoint) = port();
    let talk = run(&["talk", "--json", "-w", "50ms", &endpoint], b"hello\n");
    let silence = serde_json::json!({ "event": "no_reply", "endpoint": endpoint });
    assert_eq!((talk.code, without_times(talk.objects())), (Some(1), vec![silence]));
    let expected_stderr = format!("TIMEOUT: cannot talk to {endpoint}: 1 of 1 line got no reply within 50ms");
    let error: serde_json::Value = serde_json::from_str(&talk.stderr).unwrap();
    assert_eq!((&error["reason"], &error["error"]), (&"TIMEOUT".into(), &expected_stderr.into()));
}

#[test]
fn replies_of_servers_that_do_not_echo_are_matched() {
    let server = Server::with(|mut client| {
        client.write_all(b"220 ready\r\n").unwrap();
        let mut received = Vec::new();
        for reply in ["250 hello\r\n", "500 what?\r\n", "221 bye\r\n"] {
            received.push(receive(&mut client));
            client.write_all(reply.as_bytes()).unwrap();
        }
        received
    });
    let mut program = Program::start(&mut sounder(["talk", "--lines", "--eol", "crlf", &server.endpoint]));
    assert_eq!(program.wait_for_lines(1), ["220 ready"], "the greeting is shown before a line is sent");
    program.write(b"HELO me\nNOOP\nQUIT\n");
    assert_eq!(
        server.join(),
        [&b"HELO me\r\n"[..], b"NOOP\r\n", b"QUIT\r\n"],
        "each line waits for the reply before it"
    );
    let talk = program.finish();
    let expected = "220 ready\r\n250 hello\r\n500 what?\r\n221 bye\r\n";
    assert_eq!(talk.all(), (Some(0), expected, ""));
}

#[test]
fn closed_output_is_a_clean_end() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let pipeline =
        "{ \"$SOUNDER\" talk $HOW \"$AT\"; echo exit $? >&2; } | { read line; exec <&-; echo gone >&2; }";
    for how in ["", "--lines"] {
        let mut pipeline = sh(pipeline);
        pipeline.env("SOUNDER", env!("CARGO_BIN_EXE_sounder")).env("HOW", how).env("AT", serving.endpoint());
        let mut program = Program::start(&mut pipeline);
        program.write(b"one\n");
        program.wait_for_stderr("gone");
        program.write(b"two\n");
        assert_eq!(program.wait().stderr, "gone\nexit 0\n");
    }
}

#[test]
fn greeting_belongs_to_no_line() {
    let (go, gone) = mpsc::channel::<()>();
    // It is sent when the client has long read the first line.
    let server = Server::with(move |mut client| {
        let _ = gone.recv_timeout(Duration::from_millis(50));
        client.write_all(b"220 ready\r\n").unwrap();
        for reply in ["250 hello\r\n", "250-one\r\n250 two\r\n", "221 bye\r\n"] {
            receive(&mut client);
            client.write_all(reply.as_bytes()).unwrap();
        }
    });
    let args = ["talk", "--json", "--lines", "--eol", "crlf", &server.endpoint];
    let talk = run(&args, b"HELO me\nNOOP\nQUIT\n");
    let replies = talk.objects();
    let received: Vec<_> =
        replies.iter().map(|reply| (reply["text"].as_str().unwrap(), reply["rtt_ns"].is_u64())).collect();
    let expected = [
        ("220 ready\r\n", false),
        ("250 hello\r\n", true),
        ("250-one\r\n250 two\r\n", true),
        ("221 bye\r\n", true),
    ];
    assert_eq!((talk.code, received), (Some(0), expected.to_vec()));
    drop(go);
    server.join();
}

#[test]
fn echo_is_recognised_after_a_greeting() {
    let server = Server::with(|mut client| {
        client.write_all(b"welcome\n").unwrap();
        for _ in 0..2 {
            echo(&mut client);
        }
    });
    let talk = run(&["talk", "--lines", &server.endpoint], b"one\ntwo\n");
    assert_eq!(talk.all(), (Some(0), "welcome\none\ntwo\n", ""));
    server.join();
}

#[test]
fn each_line_is_a_message_and_an_empty_line_an_empty_message() {
    let name = unique();
    let serving = Serving::at(&["udp://127.0.0.1:0", &format!("unix-dgram:@{name}")]);
    for endpoint in serving.endpoints() {
        let start = now();
        let talk = run(&["talk", endpoint], b"a\n\nb");
        assert_eq!((talk.code, talk.stderr.as_str()), (Some(0), ""), "{endpoint}");
        let lines: Vec<&str> = talk.text().lines().collect();
        assert_eq!(lines.len(), 3, "{endpoint}: {lines:?}");
        for (line, message) in lines.iter().zip([&b"a"[..], b"", b"b"]) {
            assert_stamped(line.as_bytes(), start, message);
        }
    }
}

#[test]
fn empty_message_does_not_end_a_connection() {
    let listener = Socket::new(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT).unwrap();
    let name = unique();
    let endpoint: Endpoint = format!("unix-seqpacket:@{name}").parse().unwrap();
    let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
    listener.bind(&address).unwrap();
    listener.listen().unwrap();
    let server_thread = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        for message in [&b"a"[..], b"", b"b"] {
            let mut buffer = [0; 16];
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], message);
            client.send(&buffer[..len]).unwrap();
        }
    });
    let talk = run(&["talk", &endpoint.to_string()], b"a\n\nb\n");
    assert_eq!(talk.all(), (Some(0), "a\n\nb\n", ""));
    server_thread.join().unwrap();
}

#[test]
fn line_that_is_too_long_is_reported_and_the_next_one_sent() {
    let name = unique();
    let serving = Serving::at(&["udp://127.0.0.1:0", &format!("unix-dgram:@{name}")]);
    for endpoint in serving.endpoints() {
        for len in [400_000, 3_000_000] {
            let input = [&b"x".repeat(len)[..], b"\nshort\n"].concat();
            let talk = run(&["talk", endpoint], &input);
            assert_eq!((talk.code, talk.text().len()), (Some(1), CTIME + 6), "{endpoint}: {}", talk.stderr);
            let expected_stderr = format!(
                "line 1 was not sent: {},000 bytes are too long for one message to {endpoint}\n\
                 sounder: cannot talk to {endpoint}: 1 of 2 lines was not sent\n",
                if len == 400_000 { "400" } else { "3,000" }
            );
            assert_eq!(talk.stderr, expected_stderr);
        }
    }
    // The message fits in a datagram, and its reply with a timestamp does not.
    let endpoint = &serving.endpoints()[0];
    let talk = run(&["talk", "-w", "2s", endpoint], &[&b"x".repeat(65_490)[..], b"\nshort\n"].concat());
    assert_eq!((talk.code, talk.text().len()), (Some(1), CTIME + 6));
    assert!(talk.stderr.contains("(with a timestamp the reply may be too long for one message)"));
    assert!(talk.stderr.contains("\nsounder: TIMEOUT: cannot talk to "), "{}", talk.stderr);
}

#[test]
fn empty_line_that_netlink_cannot_send_is_reported_and_the_next_one_sent() {
    let serving = Serving::at(&["netlink://0"]);
    let talk = run(&["talk", serving.endpoint()], b"a\n\nb\n");
    assert_eq!((talk.code, talk.text().len()), (Some(1), 2 * (CTIME + 2)), "{}", talk.stderr);
    assert!(talk.stderr.starts_with("line 2 was not sent: "), "{}", talk.stderr);
    assert!(talk.stderr.ends_with(": 1 of 3 lines was not sent\n"), "{}", talk.stderr);
}

#[test]
fn duplicate_datagram_replies_to_one_line_only() {
    let (server, endpoint) = port();
    let server_thread = thread::spawn(move || {
        let mut buffer = [0; 16];
        for _ in 0..2 {
            let (len, client) = retry_interrupted(|| server.recv_from(&mut buffer)).unwrap();
            for _ in 0..2 {
                server.send_to(&buffer[..len], client).unwrap();
            }
        }
    });
    let talk = run(&["talk", "--json", &endpoint], b"one\ntwo\n");
    let replies = talk.objects();
    let received =
        |number: usize| (replies[number]["text"].as_str().unwrap(), replies[number]["rtt_ns"].is_u64());
    assert_eq!([received(0), received(1), received(2)], [("one", true), ("one", false), ("two", true)]);
    server_thread.join().unwrap();
}

#[test]
fn icmp_error_about_an_earlier_datagram_ends_nothing() {
    // 3 is "port unreachable", and 4 "fragmentation needed": RFC 792.
    for code in ["3", "4"] {
        let Some(mut alone) = private_network() else { return };
        let Some(server) = python("fragile_echo.py", [code]) else { return };
        let call = "mkfifo \"$D/port\"; \"$@\" >\"$D/port\" & read port <\"$D/port\"
            seq 50 | \"$SOUNDER\" talk udp://127.0.0.1:$port; code=$?; kill $!; exit $code";
        let folder = Folder::new();
        alone.args(["sh", "-c", call, "sh"]).arg(server.get_program()).args(server.get_args());
        alone.env("SOUNDER", env!("CARGO_BIN_EXE_sounder")).env("D", folder.path());
        let talk = finish(&mut alone, b"");
        let expected: String = (1..=50).map(|number| format!("{number}\n")).collect();
        let replies: Vec<&str> = talk.text().lines().collect();
        assert_eq!(talk.code, Some(0), "{}", talk.stderr);
        // A line that was sent twice has two replies.
        let mut distinct = replies.clone();
        distinct.dedup();
        assert_eq!(distinct.join("\n") + "\n", expected);
    }
}

#[test]
fn terminal_shows_a_prompt_and_a_label() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let start = now();
    let Some(mut talk) = on_terminal(&[serving.endpoint()]) else { return };
    assert_eq!(talk.wait_for_bytes(1), b">");
    talk.write(b"hello\n");
    let shown = talk.wait_for_lines(2);
    assert_eq!(shown[0], ">hello");
    let reply = shown[1].strip_prefix("Server: ").unwrap();
    assert_stamped(&reply.as_bytes()[..CTIME + 5], start, b"hello");
    assert!(reply.ends_with(" ms"), "{reply:?}");
    talk.wait_for_bytes(shown[..2].iter().map(|line| line.len() + 2).sum::<usize>() + 1);
    talk.write(b"\n");
    let done = talk.finish();
    assert_eq!((done.code, done.text().ends_with("\r\n>\r\n")), (Some(0), true), "{}", done.text());
}

#[test]
fn terminal_shows_that_the_server_has_closed() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let Some(talk) = on_terminal(&[serving.endpoint()]) else { return };
    talk.wait_for_bytes(1);
    let expected_stderr = format!(">\r\n{} closed the connection\r\n", serving.endpoint());
    serving.stop();
    assert_eq!(talk.wait().all(), (Some(0), &*expected_stderr, ""));
}

/// Data that could control a terminal or mislead its reader.
pub(crate) const HOSTILE: &[&[u8]] = &[
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b[2J\x1b[1;1H",
    b"\x9b31m",
    b"\xc2\x9b31m",
    b"\rServer: [forged]",
    b"\x08\x08\x7f\x00\x0e\x05",
    b"\nServer: [forged]\n>",
    "\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}".as_bytes(),
    b"\xff\xfe\xc3(",
];

#[test]
fn received_control_characters_never_reach_the_terminal() {
    for (number, &hostile) in HOSTILE.iter().enumerate() {
        let server = Server::with(move |mut client| {
            receive(&mut client);
            client.write_all(hostile).unwrap();
        });
        let Some(mut talk) = on_terminal(&[&server.endpoint]) else { return };
        talk.wait_for_bytes(1);
        talk.write(b"x\n");
        let ended = format!("{} closed the connection", server.endpoint);
        server.join();
        let shown = talk.wait();
        let lines: Vec<&str> = shown.text().split("\r\n").collect();
        let (reply, _rtt) = lines[1].strip_prefix("Server: ").unwrap().rsplit_once("   ").unwrap();
        assert_eq!(lines[0], ">x", "{number}");
        assert!(reply.contains('\\'), "{number}: {reply:?}");
        assert!(reply.chars().all(|c| matches!(c, ' '..='~')), "{number}: {reply:?}");
        assert_eq!(lines[2..], [">", &*ended, ""], "{number}");
    }
}

#[test]
fn raw_output_on_a_terminal_is_unchanged() {
    let server = Server::with(|mut client| {
        receive(&mut client);
        client.write_all(b"\x1b[31mred").unwrap();
    });
    let Some(mut talk) = on_terminal(&["--raw", &server.endpoint]) else { return };
    talk.wait_for_bytes(1);
    talk.write(b"x\n");
    server.join();
    let shown = talk.wait();
    assert!(shown.text().starts_with(">x\r\n\x1b[31mred\r\n"), "{:?}", shown.text());
}

#[test]
fn escape_character_in_a_path_is_shown_escaped() {
    let refused = run(&["talk", "unix:/tmp/\x1b[31m"], b"");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("unix:/tmp/%1B[31m") && !refused.stderr.contains('\x1b'), "{refused:?}");
}

#[test]
fn connection_to_itself_is_refused() {
    // With a single local port, a connection to that port comes from the port itself, and TCP
    // establishes it.
    let Some(mut alone) = private_network() else { return };
    let call = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" talk 127.0.0.1:40000";
    let talk = finish(alone.args(["sh", "-c", call]).arg(env!("CARGO_BIN_EXE_sounder")), b"hello\n");
    let expected_stderr =
        "sounder: REFUSED: cannot connect to tcp://127.0.0.1:40000: the connection led to itself\n";
    assert_eq!(talk.all(), (Some(1), "", expected_stderr));
}
