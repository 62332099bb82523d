//! Conversations on a full-featured terminal. A terminal parser turns the output into the screen
//! that a user sees.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::support::{Folder, PATIENCE, Serving, closed_port, sh, skip};
use crate::talk::HOSTILE;

const SIZE: PtySize = PtySize { rows: 24, cols: 100, pixel_width: 0, pixel_height: 0 };

/// A terminal with our client on it.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser<Acts>,
    raw: Vec<u8>,
    /// Whether the terminal reports its cursor position on request.
    reports_cursor: bool,
    /// A test locks it to keep the terminal from reading output.
    showing: Arc<Mutex<()>>,
    /// Keeps the terminal open.
    _master: Box<dyn MasterPty + Send>,
    home: Folder,
}

/// Changes of the terminal by a program, apart from the text.
#[derive(Default)]
struct Acts {
    seen: Vec<String>,
    /// Cursor reports that the program has requested.
    replies: Vec<u8>,
}

impl vt100::Callbacks for Acts {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.seen.push("bell".into());
    }

    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.seen.push(format!("title {title:?}"));
    }

    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.seen.push(format!("clipboard {data:?}"));
    }

    fn unhandled_control(&mut self, _: &mut vt100::Screen, byte: u8) {
        self.seen.push(format!("control {byte:#x}"));
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, params: &[&[u8]]) {
        self.seen.push(format!("osc {params:?}"));
    }

    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        action: char,
    ) {
        if (first, params, action) == (None, &[&[6][..]][..], 'n') {
            let (row, column) = screen.cursor_position();
            self.replies.extend(format!("\x1b[{};{}R", row + 1, column + 1).into_bytes());
        } else {
            self.seen.push(format!("csi {first:?} {params:?} {action}"));
        }
    }
}

impl Terminal {
    /// Starts our client on a terminal, if this machine has pseudo-terminals.
    fn talk(args: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_sounder"));
        command.args([&["talk"], args].concat());
        environment.iter().for_each(|(name, value)| command.env(name, value));
        Self::start(command)
    }

    /// Starts a shell on a terminal, in which our client is `"$SOUNDER"`.
    fn shell(script: &str) -> Option<Self> {
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", script]);
        command.env("SOUNDER", env!("CARGO_BIN_EXE_sounder"));
        Self::start(command)
    }

    fn start(mut command: CommandBuilder) -> Option<Self> {
        let home = Folder::new();
        let pair = match native_pty_system().openpty(SIZE) {
            Ok(pair) => pair,
            Err(error) => {
                skip("pseudo-terminals", error);
                return None;
            }
        };
        if command.get_env("TERM").is_none_or(|term| term != "dumb") {
            command.env("TERM", "xterm-256color");
        }
        command.env("XDG_STATE_HOME", home.path());
        if command.get_env("NO_COLOR").is_some_and(|value| value.is_empty()) {
            command.env_remove("NO_COLOR");
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let (sender, output) = mpsc::channel();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let showing = Arc::new(Mutex::new(()));
        let shown = Arc::clone(&showing);
        thread::spawn(move || read_all(&mut reader, &sender, &shown));
        let keys = pair.master.take_writer().unwrap();
        let [rows, columns] = [SIZE.rows, SIZE.cols].map(|size| NonZero::new(size).unwrap());
        let parser = vt100::Parser::new_with_callbacks(rows, columns, 1000, Acts::default());
        Some(Self {
            child,
            keys,
            output,
            parser,
            raw: Vec::new(),
            reports_cursor: true,
            showing,
            _master: pair.master,
            home,
        })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen meets a condition, and returns it without its empty lines.
    #[track_caller]
    fn shows(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("{screen}"),
            }
        }
    }

    /// Waits until the program has ended, and returns its exit code and the last screen.
    fn ended(&mut self) -> (u32, String) {
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.take(&bytes);
        }
        (self.child.wait().unwrap().exit_code(), self.screen())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.parser.process(bytes);
        let replies = std::mem::take(&mut self.parser.callbacks_mut().replies);
        if !self.reports_cursor {
            return;
        }
        // It fails if the program has ended.
        let _ = self.keys.write_all(&replies);
    }

    /// Returns the screen without empty lines and without the client's first line.
    fn screen(&self) -> String {
        let contents = self.parser.screen().contents();
        let lines = contents.lines().map(str::trim_end);
        let lines = lines.filter(|line| !line.is_empty() && !line.ends_with(" ends the conversation"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn acts(&self) -> &[String] {
        &self.parser.callbacks().seen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It fails if the program has ended.
        let _ = self.child.kill();
    }
}

fn read_all(reader: &mut impl Read, sender: &Sender<Vec<u8>>, showing: &Mutex<()>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = {
        drop(showing.lock().unwrap());
        reader.read(&mut buffer)
    } {
        if sender.send(buffer[..len].into()).is_err() {
            return;
        }
    }
}

/// Returns the endpoint of a server with one client.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || serve(listener.accept().unwrap().0));
    endpoint
}

fn receive(stream: &mut TcpStream) -> usize {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read(&mut [0; 1024]).unwrap()
}

#[test]
fn line_is_edited_sent_replied_to_and_stored() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let Some(mut terminal) = Terminal::talk(&[serving.endpoint()], &[]) else { return };
    terminal.shows(|screen| screen == ">");
    terminal.press("hellp\x7fo\r");
    let screen = terminal.shows(|screen| screen.ends_with("\n>"));
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, ">hello"), "{screen}");
    assert!(lines[1].starts_with("Server: [") && lines[1].contains("] hello   "), "{screen}");
    assert!(lines[1].ends_with(" ms"), "{screen}");
    assert!(String::from_utf8_lossy(&terminal.raw).contains("   \x1b[2m"), "the round trip is dim");
    terminal.press("\x1b[A");
    terminal.shows(|screen| screen.ends_with("\n>hello"));
    terminal.press("\x15\x04");
    assert_eq!(terminal.ended().0, 0);
    assert_eq!(serving.stop().stderr.lines().last().unwrap(), "1 connection, 1 message, 5 bytes, 0 dropped");
}

#[test]
fn without_colors_nothing_is_colored() {
    for (args, environment) in [(&["--color", "never"][..], &[][..]), (&[], &[("NO_COLOR", "1")])] {
        let serving = Serving::at(&["tcp://127.0.0.1:0"]);
        let Some(mut terminal) = Terminal::talk(&[args, &[serving.endpoint()]].concat(), environment) else {
            return;
        };
        terminal.shows(|screen| screen == ">");
        terminal.press("hello\r");
        terminal.shows(|screen| screen.ends_with("ms\n>"));
        terminal.press("\x03");
        assert_eq!(terminal.ended().0, 0);
        assert!(!String::from_utf8_lossy(&terminal.raw).contains("\x1b[2m"));
    }
}

#[test]
fn data_that_arrives_while_a_line_is_typed_does_not_tear_it() {
    let (sender, to_send) = mpsc::channel::<&[u8]>();
    let endpoint = server(move |mut stream| {
        for bytes in to_send {
            stream.write_all(bytes).unwrap();
        }
        assert_eq!(receive(&mut stream), "half a line, and the rest".len());
        stream.write_all(b"thank you").unwrap();
        receive(&mut stream);
    });
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.shows(|screen| screen == ">");
    terminal.press("half a line");
    terminal.shows(|screen| screen == ">half a line");
    sender.send(b"unexpected").unwrap();
    terminal.shows(|screen| screen == "Server: unexpected\n>half a line");
    sender.send(b"once\nmore\n").unwrap();
    terminal.shows(|screen| screen == "Server: unexpected\nServer: once\\nmore\n>half a line");
    drop(sender);
    terminal.press(", and the rest\r");
    terminal.shows(|screen| {
        screen.contains("\n>half a line, and the rest\nServer: thank you   ") && screen.ends_with("\n>")
    });
}

#[test]
fn closed_connection_ends_the_prompt_at_once() {
    let (end, ended) = mpsc::channel::<()>();
    let endpoint = server(move |stream| {
        assert!(ended.recv().is_err());
        drop(stream);
    });
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.shows(|screen| screen == ">");
    terminal.press("never sent");
    terminal.shows(|screen| screen == ">never sent");
    drop(end);
    let (code, screen) = terminal.ended();
    assert_eq!((code, screen), (0, format!(">never sent\n{endpoint} closed the connection")));
}

#[test]
fn signal_restores_the_terminal_and_the_history_is_private() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let Some(mut terminal) = Terminal::talk(&[serving.endpoint()], &[]) else { return };
    terminal.shows(|screen| screen == ">");
    terminal.press("a secret\r");
    terminal.shows(|screen| screen.ends_with(" ms\n>"));
    terminal.press("half");
    terminal.shows(|screen| screen.ends_with("\n>half"));
    let pid = terminal.child.process_id().unwrap();
    assert!(sh(&format!("kill -TERM {pid}")).status().unwrap().success());
    let (code, screen) = terminal.ended();
    assert_eq!((code, screen.lines().last()), (0, Some(">half")), "{screen}");
    let history = terminal.home.path().join("echosounder/talk_history");
    assert_eq!(fs::read_to_string(&history).unwrap(), "a secret\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&history), mode(history.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn received_data_never_controls_the_terminal() {
    for (number, &hostile) in [&[&b"harmless"[..]], HOSTILE].concat().iter().enumerate() {
        let endpoint = server(move |mut stream| {
            stream.write_all(hostile).unwrap();
            receive(&mut stream);
            stream.write_all(hostile).unwrap();
            receive(&mut stream);
        });
        let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
        terminal.shows(|screen| screen.starts_with("Server: ") && screen.ends_with("\n>"));
        terminal.press("x\r");
        let screen = terminal.shows(|screen| screen.ends_with(" ms\n>"));
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!((lines.len(), lines[1]), (4, ">x"), "{number}: {screen}");
        assert!(lines[2].starts_with(lines[0]), "{number}: {screen}");
        assert!(lines[0].contains('\\') || number == 0, "{number}: {screen}");
        assert_eq!(terminal.acts(), [""; 0], "{number}: {screen}");
        terminal.press("\x04");
        assert_eq!(terminal.ended().0, 0);
    }
}

/// Returns the endpoint of a server that replies `ok` to each read, and the data that it has read.
fn recorder() -> (String, Receiver<Vec<u8>>) {
    let (sender, received) = mpsc::channel();
    let endpoint = server(move |mut stream| {
        let mut buffer = [0; 65536];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            sender.send(buffer[..len].to_vec()).unwrap();
            stream.write_all(b"ok\n").unwrap();
        }
    });
    (endpoint, received)
}

#[test]
fn first_line_shows_the_endpoint_and_how_to_leave() {
    let (endpoint, _heard) = recorder();
    for (args, expected) in [
        (&[][..], format!("Connected to {endpoint}; an empty line or Ctrl-D ends the conversation\n>")),
        (&["--eol", "lf"], format!("Connected to {endpoint}; Ctrl-D ends the conversation\n>")),
        (&["-q"], ">".into()),
    ] {
        let (endpoint, expected) = match args {
            [] => (endpoint.clone(), expected),
            _ => {
                let (other, _heard) = recorder();
                let expected = expected.replace(&endpoint, &other);
                (other, expected)
            }
        };
        let Some(mut terminal) = Terminal::talk(&[args, &[&endpoint]].concat(), &[]) else { return };
        terminal.shows(|screen| screen == ">");
        let contents = terminal.parser.screen().contents();
        let lines: Vec<&str> = contents.lines().map(str::trim_end).collect();
        assert_eq!(lines.join("\n").trim_end(), expected);
        terminal.press("\x04");
        assert_eq!(terminal.ended().0, 0);
    }
}

#[test]
fn pasted_text_is_one_message() {
    let (endpoint, received) = recorder();
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.shows(|screen| screen == ">");
    terminal.press("\x1b[200~one\r\r\ttwo\r\x1b[201~");
    terminal.shows(|screen| screen.contains("two"));
    terminal.press(" and typed\ttoo\r");
    terminal.shows(|screen| screen.ends_with(" ms\n>"));
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"one\n\n\ttwo\n and typed\ttoo");
    // A pasted empty line does not end the conversation.
    terminal.press("\x1b[200~\n\x1b[201~\r");
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"\n");
    terminal.shows(|screen| screen.ends_with(" ms\n>"));
    let long = "a line of sixteen\r\r".repeat(600);
    terminal.press(&format!("\x1b[200~{long}\x1b[201~\r"));
    let mut all = Vec::new();
    while all.len() < long.len() {
        all.extend(received.recv_timeout(PATIENCE).unwrap());
    }
    assert_eq!(String::from_utf8(all).unwrap(), long.replace('\r', "\n"));
    terminal.press("\x04");
    assert_eq!(terminal.ended().0, 0);
    assert!(String::from_utf8_lossy(&terminal.raw).contains("\x1b[?2004l"), "pastes are not marked any more");
}

#[test]
fn rest_of_a_paste_never_reaches_the_shell() {
    // With the line editor, on a terminal without cursor reports, and on a terminal that can only
    // print.
    for (reports_cursor, term) in [(true, "xterm-256color"), (false, "xterm-256color"), (true, "dumb")] {
        let (endpoint, received) = recorder();
        let script = format!(
            "TERM={term} \"$SOUNDER\" talk {endpoint}; echo code $?; read line; echo \"shell: $line\""
        );
        let Some(mut terminal) = Terminal::shell(&script) else { return };
        terminal.reports_cursor = reports_cursor;
        terminal.shows(|screen| screen.ends_with('>'));
        // Without bracketed paste the text counts as typed, and its empty line ends the
        // conversation.
        terminal.press(&format!("one\r\r{}", "echo run by the shell\r".repeat(100)));
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"one");
        terminal.shows(|screen| screen.contains("code 0"));
        terminal.press("typed later\r");
        let screen = terminal.shows(|screen| screen.contains("shell: "));
        assert!(screen.ends_with("shell: typed later"), "{term}: {screen}");
    }
}

#[test]
fn terminal_without_cursor_reports_works() {
    let (endpoint, received) = recorder();
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.reports_cursor = false;
    for number in 0..3 {
        let line = format!("line {number}");
        terminal.shows(|screen| screen.ends_with('>'));
        // A late cursor report is not a part of the line.
        let late = if number == 0 { "\x1b[24;80R" } else { "" };
        terminal.press(&format!("{late}{line}\r"));
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), line.as_bytes());
    }
    terminal.shows(|screen| screen.ends_with(" ms\n>"));
    terminal.press("\x04");
    assert_eq!(terminal.ended().0, 0);
    let asked = terminal.raw.windows(4).filter(|bytes| bytes == b"\x1b[6n").count();
    assert_eq!(asked, 1, "it is asked once where its cursor is");
}

#[test]
fn keys_before_the_prompt_are_kept() {
    let (endpoint, received) = recorder();
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.press("early\rhalf");
    terminal.shows(|screen| screen.contains(" ms\n>half"));
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"early");
    terminal.press(" and the rest\r");
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"half and the rest");
    terminal.shows(|screen| screen.ends_with(" ms\n>"));
    terminal.press("\x04");
    assert_eq!(terminal.ended().0, 0);
}

#[test]
fn beginning_of_a_long_reply_is_shown() {
    let endpoint = server(|mut stream| {
        receive(&mut stream);
        stream.write_all(&[b"a".repeat(299_999), b"\n".to_vec()].concat()).unwrap();
        receive(&mut stream);
    });
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.shows(|screen| screen == ">");
    terminal.press("x\r");
    let screen = terminal.shows(|screen| screen.ends_with(" ms\n>"));
    assert!(screen.contains(" bytes)"), "{screen}");
    let shown = String::from_utf8_lossy(&terminal.raw).matches('a').count();
    assert!((4096..3 * 4096).contains(&shown), "{shown} of 300,000 bytes");
    terminal.press("\x04");
    assert_eq!(terminal.ended().0, 0);
}

#[test]
fn flood_is_bounded_and_can_be_interrupted() {
    for leave in ["\x03", "TERM"] {
        let endpoint = server(|mut stream| while stream.write_all(&[1; 65536]).is_ok() {});
        let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
        while terminal.raw.len() < 1_000_000 {
            let bytes = terminal.output.recv_timeout(PATIENCE).unwrap();
            terminal.take(&bytes);
        }
        let pid = terminal.child.process_id().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 64 * 1024, "{peak} KiB");
        if leave == "TERM" {
            assert!(sh(&format!("kill -TERM {pid}")).status().unwrap().success());
        } else {
            terminal.press(leave);
        }
        assert_eq!(terminal.ended().0, 0, "{leave:?}");
        assert!(String::from_utf8_lossy(&terminal.raw).contains("\x1b[?2004l"), "the terminal is given back");
    }
}

#[test]
fn blocked_terminal_does_not_delay_a_signal() {
    for term in ["xterm-256color", "dumb"] {
        let (report, stuck) = mpsc::channel();
        let (block, blocked) = mpsc::channel();
        let endpoint = server(move |mut stream| {
            stream.write_all(b"first\n").unwrap();
            blocked.recv().unwrap();
            // A timeout shows that all buffers between the two ends are full.
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            while stream.write_all(&[1; 65536]).is_ok() {}
            report.send(()).unwrap();
            // The connection stays open until the client ends.
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = stream.read(&mut [0]);
        });
        let Some(mut terminal) = Terminal::talk(&[&endpoint], &[("TERM", term)]) else { return };
        terminal.shows(|screen| screen.contains("Server: first"));
        let showing = Arc::clone(&terminal.showing);
        let held = showing.lock().unwrap();
        block.send(()).unwrap();
        stuck.recv_timeout(PATIENCE).unwrap();
        let pid = terminal.child.process_id().unwrap();
        assert!(sh(&format!("kill -TERM {pid}")).status().unwrap().success());
        assert_eq!(terminal.child.wait().unwrap().exit_code(), 0, "{term}");
        drop(held);
    }
}

#[test]
fn character_in_two_reads_is_not_torn() {
    let (go, gone) = mpsc::channel::<()>();
    let endpoint = server(move |mut stream| {
        for byte in "é中😀 unexpected\n".bytes() {
            stream.write_all(&[byte]).unwrap();
            let _ = gone.recv_timeout(Duration::from_millis(5));
        }
        receive(&mut stream);
    });
    let Some(mut terminal) = Terminal::talk(&[&endpoint], &[]) else { return };
    terminal.shows(|screen| screen.starts_with("Server: é中😀 unexpected\n"));
    drop(go);
    terminal.press("\x04");
    assert_eq!(terminal.ended().0, 0);
}

/// Returns the lines that a script writes on a terminal of 40 columns.
fn narrow(script: &str) -> Option<Vec<String>> {
    let mut terminal = Terminal::shell(&format!("stty cols 40; {script}"))?;
    terminal.ended();
    Some(String::from_utf8_lossy(&terminal.raw).lines().map(str::to_owned).collect())
}

#[test]
fn narrow_terminal_breaks_no_word() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let (endpoint, dead) = (serving.endpoint(), format!("udp://127.0.0.1:{}", closed_port()));
    for command in [
        format!("ping --color never -i 10ms -c 3 {endpoint}"),
        format!("ping --color never -i 10ms -c 3 -W 100ms {endpoint} {dead}"),
        format!("load --color never -c 1 -n 200 {endpoint}"),
        "doctor --color never".to_owned(),
        "ping --color never -h".to_owned(),
        "serve --color never --help".to_owned(),
    ] {
        let Some(lines) = narrow(&format!("\"$SOUNDER\" {command}")) else { return };
        // A load erases its progress line.
        let lines = lines.iter().map(|line| line.rsplit('\r').next().unwrap().trim_start_matches("\x1b[K"));
        for line in lines {
            let is_word = !line.trim().contains(' ');
            assert!(line.chars().count() <= 40 || is_word, "{command}: {line:?}");
        }
    }
}

#[test]
fn colors_are_used_on_a_terminal_unless_disabled() {
    let dead = format!("udp://127.0.0.1:{}", closed_port());
    for (before, args, colored) in [
        ("", "", true),
        ("NO_COLOR= ", "", true),
        ("NO_COLOR=1 ", "", false),
        ("TERM=dumb ", "", false),
        ("", "--color never", false),
        ("NO_COLOR=1 ", "--color always", true),
        ("", "--json", false),
    ] {
        for command in [format!("ping -c 1 {dead}"), "doctor".to_owned()] {
            let Some(lines) = narrow(&format!("{before}\"$SOUNDER\" {command} {args}")) else { return };
            let has_colors = lines.iter().any(|line| line.contains("\x1b[3"));
            assert_eq!(has_colors, colored, "{before}{command} {args}: {lines:?}");
        }
    }
}
