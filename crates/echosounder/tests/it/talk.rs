use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::{
    CTIME, Folder, PATIENCE, Program, Serving, again, assert_stamped, finish, has_ipv6, now, private_hosts,
    private_network, python, run, sh, sounder,
};

/// What a textbook server on a thread of its own saw of its only client.
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

    fn seen(self) -> T {
        self.thread.join().unwrap()
    }
}

/// What one read brings.
fn hear(client: &mut TcpStream) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let len = again(|| client.read(&mut buffer)).unwrap();
    buffer[..len].to_vec()
}

/// All that comes until the end.
fn hear_out(client: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    all
}

/// A datagram socket and the endpoint it is at.
fn port() -> (UdpSocket, String) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = format!("udp://{}", port.local_addr().unwrap());
    (port, endpoint)
}

/// A command that runs our client where the name `both` is ::1 and, after that, 127.0.0.1; as long as the folder
/// is there.
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

/// Answers one message with itself.
fn echo(client: &mut TcpStream) {
    let message = hear(client);
    client.write_all(&message).unwrap();
}

/// Our client on a terminal that can do nothing but print.
fn on_terminal(args: &[&str]) -> Option<Program> {
    let mut terminal = python("terminal.py", [env!("CARGO_BIN_EXE_sounder")])?;
    Some(Program::start(terminal.arg("talk").args(args).env("TERM", "dumb")))
}

#[test]
fn the_next_line_leaves_when_the_answer_has_come() {
    let server = Server::with(|mut client| {
        let mut heard = Vec::new();
        for _ in 0..3 {
            let message = hear(&mut client);
            // If the client is ahead of us, what comes next is here in no time.
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let early = again(|| client.read(&mut [0; 1024]));
            assert!(early.is_err(), "{early:?} bytes came before the answer to {message:?}");
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(&message).unwrap();
            heard.push(message);
        }
        assert_eq!(hear(&mut client), b"");
        heard
    });
    let talk = run(&["talk", &server.endpoint], b"one\ntwo\nthree\n");
    assert_eq!(talk.all(), (Some(0), "one\ntwo\nthree\n", ""));
    assert_eq!(server.seen(), [&b"one"[..], b"two", b"three"]);
}

#[test]
fn answers_are_written_as_they_are() {
    let hostile = b"\x1b[31m\xff\x00\r\x9b\xe2\x80\xae";
    let server = Server::with(|mut client| {
        hear(&mut client);
        client.write_all(hostile).unwrap();
    });
    let talk = run(&["talk", &server.endpoint], b"hello\n");
    assert_eq!((talk.code, talk.stdout), (Some(0), [hostile, &b"\n"[..]].concat()));
    server.seen();
}

#[test]
fn an_empty_line_ends_the_conversation() {
    let server = Server::with(|mut client| {
        let message = hear(&mut client);
        client.write_all(&message).unwrap();
        hear_out(&mut client)
    });
    let mut program = Program::start(&mut sounder(["talk", &server.endpoint]));
    program.say(b"one\n\ntwo\n");
    assert_eq!(server.seen(), b"", "nothing is said after the empty line, and the input need not end");
    let talk = program.finish();
    assert_eq!((talk.code, talk.text()), (Some(0), "one\n"));
}

#[test]
fn with_an_end_of_line_lines_are_sent_whole_and_an_empty_one_is_a_line() {
    for (eol, sent) in [("lf", &b"one\n\ntwo\nthree"[..]), ("crlf", b"one\r\n\r\ntwo\r\nthree")] {
        let server = Server::with(|mut client| {
            let mut all = Vec::new();
            loop {
                let message = hear(&mut client);
                if message.is_empty() {
                    return all;
                }
                client.write_all(&message).unwrap();
                all.extend(message);
            }
        });
        let talk = run(&["talk", "--eol", eol, &server.endpoint], b"one\n\ntwo\nthree");
        assert_eq!(talk.stdout, sent, "{eol}");
        assert_eq!((talk.code, server.seen()), (Some(0), sent.to_vec()), "{eol}");
    }
}

#[test]
fn at_the_end_of_input_the_server_is_heard_out() {
    let server = Server::with(|mut client| {
        let all = hear_out(&mut client);
        client.write_all(&[&all.to_ascii_uppercase(), &b", and more"[..]].concat()).unwrap();
    });
    // Two lines that are not answered, each in its time, and then the end.
    let talk = run(&["talk", "-w", "100ms", &server.endpoint], b"one\ntwo\n");
    assert_eq!(talk.stdout.strip_suffix(b"\n").unwrap_or(&talk.stdout), b"ONETWO, and more");
    let silence = format!("no answer from {} within 100ms\n", server.endpoint);
    assert_eq!(talk.stderr, silence.repeat(2));
    server.seen();
}

#[test]
fn when_the_server_ends_all_is_well() {
    let at_once = Server::with(drop);
    let mut program = Program::start(&mut sounder(["talk", &at_once.endpoint]));
    at_once.seen();
    // Without a line of input: the server is heard while one is awaited.
    let talk = program.ended();
    assert_eq!(talk.all(), (Some(0), "", ""));

    let in_between = Server::with(|mut client| {
        hear(&mut client);
    });
    program = Program::start(&mut sounder(["talk", &in_between.endpoint]));
    program.say(b"hello\n");
    in_between.seen();
    let talk = program.ended();
    assert_eq!(talk.all(), (Some(0), "", "the last line was not answered\n"));
}

#[test]
fn a_reset_is_closed() {
    let server = Server::with(|client| {
        // Closing with input unread resets the connection.
        again(|| client.peek(&mut [0])).unwrap();
    });
    let talk = run(&["talk", &server.endpoint], b"hello\n");
    let told = format!("sounder: CLOSED: receive from {}: connection reset by peer\n", server.endpoint);
    assert_eq!(talk.all(), (Some(1), "", &*told));
    server.seen();
}

#[test]
fn a_reset_while_a_line_is_awaited_is_closed() {
    let server = Server::with(|mut client| {
        let message = hear(&mut client);
        client.write_all(&message).unwrap();
        again(|| client.peek(&mut [0])).unwrap();
    });
    let mut program = Program::start(&mut sounder(["talk", &server.endpoint]));
    program.say(b"hello\n");
    assert_eq!(program.lines(1), ["hello"]);
    program.say(b"again\n");
    let talk = program.ended();
    assert_eq!((talk.code, talk.text()), (Some(1), "hello\n"));
    assert!(talk.stderr.starts_with("sounder: CLOSED: receive from tcp://127.0.0.1:"), "{}", talk.stderr);
    server.seen();
}

#[test]
fn a_datagram_without_an_answer_is_told_and_the_next_one_sent() {
    let (server, endpoint) = port();
    let silence = format!("no answer from {endpoint} within 50ms\n");
    let talk = run(&["talk", "-w", "50ms", &endpoint], b"one\ntwo\n");
    assert_eq!(talk.all(), (Some(1), "", &*silence.repeat(2)));

    let mut buffer = [0; 16];
    for expected in [&b"one"[..], b"two"] {
        let len = again(|| server.recv(&mut buffer)).unwrap();
        assert_eq!(&buffer[..len], expected);
    }
    let answering = thread::spawn(move || {
        let (_, _) = again(|| server.recv_from(&mut buffer)).unwrap();
        let (len, client) = again(|| server.recv_from(&mut buffer)).unwrap();
        server.send_to(&buffer[..len], client).unwrap();
    });
    let talk = run(&["talk", "-w", "200ms", &endpoint], b"one\ntwo\n");
    let silence = silence.replace("50ms", "200ms");
    assert_eq!(talk.all(), (Some(0), "two\n", &*silence));
    answering.join().unwrap();
}

#[test]
fn an_empty_datagram_is_an_answer() {
    let (server, endpoint) = port();
    let answering = thread::spawn(move || {
        let (_, client) = again(|| server.recv_from(&mut [0; 16])).unwrap();
        server.send_to(b"", client).unwrap();
    });
    let talk = run(&["talk", &endpoint], b"hello\n");
    assert_eq!((talk.code, talk.text()), (Some(0), "\n"));
    answering.join().unwrap();
}

#[test]
fn a_datagram_refused_at_one_address_of_a_name_goes_to_the_next() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let (server, endpoint) = port();
    let answering = thread::spawn(move || {
        let mut buffer = [0; 16];
        let (len, client) = again(|| server.recv_from(&mut buffer)).unwrap();
        server.send_to(&buffer[..len], client).unwrap();
    });
    let endpoint = endpoint.replace("127.0.0.1", "both");
    client.args(["talk", "-v", &endpoint]);
    let talk = finish(&mut client, b"hello\n");
    assert_eq!((talk.code, talk.text()), (Some(0), "hello\n"), "{}", talk.stderr);
    assert!(talk.stderr.starts_with("Connected to udp://[::1]:"), "{}", talk.stderr);
    answering.join().unwrap();
}

#[test]
fn a_connection_refused_at_one_address_of_a_name_goes_to_the_next() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let endpoint = serving.endpoint().replace("127.0.0.1", "both");
    client.args(["talk", "-v", &endpoint]);
    let talk = finish(&mut client, b"hello\n");
    assert_eq!((talk.code, talk.text().len()), (Some(0), CTIME + 6), "{}", talk.stderr);
    assert_eq!(talk.stderr, format!("Connected to {}\n", serving.endpoint()));
}

#[test]
fn an_address_that_says_nothing_does_not_keep_the_others_waiting() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let Some(mut silent) = python("full.py", ["::1"]) else { return };
    let silent = Program::start(&mut silent);
    let port = silent.lines(1).remove(0);
    let serving = Serving::at(&[&format!("tcp://127.0.0.1:{port}")]);
    // All of the time is for all addresses: tried one after the other, the first would use it up.
    client.args(["talk", "-v", "-w", "5s", &format!("both:{port}")]);
    let talk = finish(&mut client, b"hello\n");
    assert_eq!((talk.code, talk.text().len()), (Some(0), CTIME + 6), "{}", talk.stderr);
    assert_eq!(talk.stderr, format!("Connected to {}\n", serving.endpoint()));
}

#[test]
fn every_address_that_failed_is_told_with_its_word() {
    let Some((mut client, _hosts)) = where_both_is_a_name() else { return };
    let Some(mut silent) = python("full.py", ["::1"]) else { return };
    let silent = Program::start(&mut silent);
    let port = silent.lines(1).remove(0);
    client.args(["talk", "-w", "600ms", &format!("both:{port}")]);
    let talk = finish(&mut client, b"hello\n");
    let told = format!(
        "sounder: REFUSED: connect tcp://127.0.0.1:{port}: connection refused; \
         TIMEOUT: connect tcp://[::1]:{port}: timed out\n"
    );
    assert_eq!(talk.all(), (Some(1), "", &*told));
}

#[test]
fn a_call_leaves_from_where_it_is_told_to() {
    let server = Server::with(|mut client| {
        let from = client.peer_addr().unwrap().ip().to_string();
        echo(&mut client);
        from
    });
    let talk = run(&["talk", "-I", "127.0.0.9", &server.endpoint], b"hello\n");
    assert_eq!(talk.all(), (Some(0), "hello\n", ""));
    assert_eq!(server.seen(), "127.0.0.9");

    let server = Server::with(|mut client| echo(&mut client));
    let endpoint = server.endpoint.clone();
    let talk = run(&["talk", "--source", "lo", &endpoint], b"hello\n");
    assert_eq!(talk.all(), (Some(0), "hello\n", ""));
    server.seen();
    for (source, told) in [
        ("192.0.2.1", "bind 192.0.2.1: cannot assign requested address".to_owned()),
        ("no-such-iface", "bind no-such-iface: no such device".to_owned()),
        ("::1", format!("resolve {endpoint}: it has no address of the family of ::1")),
    ] {
        let talk = run(&["talk", "-I", source, &endpoint], b"");
        assert_eq!(talk.all(), (Some(2), "", &*format!("sounder: {told}\n")));
    }
}

#[test]
fn as_json_each_answer_is_an_object() {
    let server = Server::with(|mut client| {
        client.write_all(b"welcome").unwrap();
        for answer in [&b"one"[..], b"\xff\x00"] {
            hear(&mut client);
            client.write_all(answer).unwrap();
        }
    });
    let mut program = Program::start(&mut sounder(["talk", "--json", &server.endpoint]));
    program.lines(1);
    program.say(b"one\ntwo\n");
    let peer = server.endpoint.clone();
    server.seen();
    let done = program.finish();
    let answers = done.objects();
    let rtt = |number: usize| &answers[number]["rtt_ns"];
    assert!(rtt(1).is_u64() && rtt(2).is_u64(), "{answers:?}");
    let answer = |text: Option<&str>, hex: Option<&str>, rtt_ns: &serde_json::Value| serde_json::json!({ "event": "answer", "peer": peer, "text": text, "hex": hex, "rtt_ns": rtt_ns });
    let expected = [
        answer(Some("welcome"), None, &serde_json::Value::Null),
        answer(Some("one"), None, rtt(1)),
        answer(None, Some("ff00"), rtt(2)),
    ];
    assert_eq!((done.code, &answers[..]), (Some(0), &expected[..]));
}

#[test]
fn as_json_silence_has_no_round_trip() {
    let (_server, endpoint) = port();
    let talk = run(&["talk", "--json", "-w", "50ms", &endpoint], b"hello\n");
    let silence = serde_json::json!({ "event": "silence", "peer": endpoint, "rtt_ns": null });
    assert_eq!((talk.code, talk.objects(), talk.stderr.as_str()), (Some(1), vec![silence], ""));
}

#[test]
fn servers_that_do_not_echo_are_understood_too() {
    let server = Server::with(|mut client| {
        client.write_all(b"220 ready\r\n").unwrap();
        let mut heard = Vec::new();
        for answer in ["250 hello\r\n", "500 what?\r\n", "221 bye\r\n"] {
            heard.push(hear(&mut client));
            client.write_all(answer.as_bytes()).unwrap();
        }
        heard
    });
    let mut program = Program::start(&mut sounder(["talk", "--eol", "crlf", &server.endpoint]));
    assert_eq!(program.lines(1), ["220 ready"], "a greeting is shown before anything is said");
    program.say(b"HELO me\nNOOP\nQUIT\n");
    assert_eq!(server.seen(), [&b"HELO me\r\n"[..], b"NOOP\r\n", b"QUIT\r\n"], "each in its turn");
    let talk = program.finish();
    let expected = "220 ready\r\n250 hello\r\n500 what?\r\n221 bye\r\n";
    assert_eq!(talk.all(), (Some(0), expected, ""));
}

#[test]
fn when_nobody_reads_the_output_any_more_it_is_a_clean_end() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let pipeline =
        "{ \"$SOUNDER\" talk \"$AT\"; echo exit $? >&2; } | { read line; exec <&-; echo gone >&2; }";
    let mut pipeline = sh(pipeline);
    pipeline.env("SOUNDER", env!("CARGO_BIN_EXE_sounder")).env("AT", serving.endpoint());
    let mut program = Program::start(&mut pipeline);
    program.say(b"one\n");
    program.told("gone");
    program.say(b"two\n");
    assert_eq!(program.ended().stderr, "gone\nexit 0\n");
}

#[test]
fn on_a_terminal_there_are_a_prompt_and_a_label() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let start = now();
    let Some(mut talk) = on_terminal(&[serving.endpoint()]) else { return };
    assert_eq!(talk.hear(1), b">");
    talk.say(b"hello\n");
    let shown = talk.lines(2);
    assert_eq!(shown[0], ">hello");
    let answer = shown[1].strip_prefix("Server: ").unwrap();
    assert_stamped(&answer.as_bytes()[..CTIME + 5], start, b"hello");
    assert!(answer.ends_with(" ms"), "{answer:?}");
    talk.say(b"\n");
    let done = talk.finish();
    assert_eq!((done.code, done.text().ends_with("\r\n>\r\n")), (Some(0), true), "{}", done.text());
}

#[test]
fn on_a_terminal_it_is_told_that_the_server_has_ended() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let Some(talk) = on_terminal(&[serving.endpoint()]) else { return };
    talk.hear(1);
    let told = format!(">\r\n{} has ended the conversation\r\n", serving.endpoint());
    serving.stop();
    assert_eq!(talk.ended().all(), (Some(0), &*told, ""));
}

/// Everything by which a stranger could act on a terminal, or mislead whoever reads it.
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
fn a_terminal_never_sees_what_could_act_on_it() {
    for (number, &hostile) in HOSTILE.iter().enumerate() {
        let server = Server::with(move |mut client| {
            hear(&mut client);
            client.write_all(hostile).unwrap();
        });
        let Some(mut talk) = on_terminal(&[&server.endpoint]) else { return };
        talk.hear(1);
        talk.say(b"x\n");
        let ended = format!("{} has ended the conversation", server.endpoint);
        server.seen();
        let shown = talk.ended();
        let lines: Vec<&str> = shown.text().split("\r\n").collect();
        let (answer, _rtt) = lines[1].strip_prefix("Server: ").unwrap().rsplit_once("   ").unwrap();
        assert_eq!(lines[0], ">x", "{number}");
        assert!(answer.contains('\\'), "{number}: {answer:?}");
        assert!(answer.chars().all(|c| matches!(c, ' '..='~')), "{number}: {answer:?}");
        assert_eq!(lines[2..], [">", &*ended, ""], "{number}");
    }
}

#[test]
fn raw_is_raw_on_a_terminal_too() {
    let server = Server::with(|mut client| {
        hear(&mut client);
        client.write_all(b"\x1b[31mred").unwrap();
    });
    let Some(mut talk) = on_terminal(&["--raw", &server.endpoint]) else { return };
    talk.hear(1);
    talk.say(b"x\n");
    server.seen();
    let shown = talk.ended();
    assert!(shown.text().starts_with(">x\r\n\x1b[31mred\r\n"), "{:?}", shown.text());
}

#[test]
fn a_path_with_an_escape_is_shown_without_it() {
    let refused = run(&["talk", "unix:/tmp/\x1b[31m"], b"");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("unix:/tmp/%1B[31m") && !refused.stderr.contains('\x1b'), "{refused:?}");
}

#[test]
fn it_does_not_talk_to_itself() {
    // Where only one port is to be had, a call to that port comes from that port, and TCP lets it through.
    let Some(mut alone) = private_network() else { return };
    let call = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" talk 127.0.0.1:40000";
    let talk = finish(alone.args(["sh", "-c", call]).arg(env!("CARGO_BIN_EXE_sounder")), b"hello\n");
    let told = "sounder: REFUSED: connect tcp://127.0.0.1:40000: the connection led to itself\n";
    assert_eq!(talk.all(), (Some(1), "", told));
}
