//! Standard error that cannot be written: its disk is full, or its reader is gone or stuck.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Child, Command, Stdio};

use crate::serve::exchange;
use crate::support::{
    CTIME, Folder, PATIENCE, closed_port, installed, retry_interrupted, run, sh, sounder, unique, wait_for,
    wait_until,
};

/// The fault of standard error.
#[derive(Clone, Copy, Debug)]
enum Log {
    Full,
    Gone,
    Stuck,
}

const LOGS: [Log; 3] = [Log::Full, Log::Gone, Log::Stuck];

/// A running program, killed when it is dropped.
struct Running {
    child: Child,
    /// The other end of standard error, which the test does not read.
    reader: Option<UnixStream>,
}

impl Running {
    fn start(command: &mut Command, log: Log) -> Self {
        Self::start_from(command, Stdio::null(), log)
    }

    fn start_from(command: &mut Command, input: Stdio, log: Log) -> Self {
        let (stderr, reader) = match log {
            Log::Full => (OwnedFd::from(OpenOptions::new().write(true).open("/dev/full").unwrap()), None),
            Log::Gone => (OwnedFd::from(UnixStream::pair().unwrap().0), None),
            Log::Stuck => {
                let (mut writer, reader) = UnixStream::pair().unwrap();
                writer.set_nonblocking(true).unwrap();
                let full = loop {
                    if let Err(error) = writer.write(&[b'x'; 4096]) {
                        break error;
                    }
                };
                assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
                writer.set_nonblocking(false).unwrap();
                (OwnedFd::from(writer), Some(reader))
            }
        };
        let child = command.stdin(input).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        Self { child, reader }
    }

    fn signal(&self, name: &str) {
        assert!(sh(&format!("kill -{name} {}", self.child.id())).status().unwrap().success());
    }

    /// Waits until the program has ended; returns its exit status.
    fn wait(&mut self) -> Option<i32> {
        wait_for("the end of the program", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects to a server that cannot report when it is ready.
fn connect_when_ready(name: &str) -> UnixStream {
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let stream = wait_for("a listening server", || UnixStream::connect_addr(&address).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn server_works_with_any_fault_of_its_log() {
    for log in LOGS {
        for transcript in ["off", "messages"] {
            let name = unique();
            // Most machines lack TIPC, which the server reports in a note.
            let serve = ["serve", "--transcript", transcript, "tipc://99:1?scope=node", &format!("@{name}")];
            let mut serving = Running::start(&mut sounder(serve), log);
            let mut stream = connect_when_ready(&name);
            assert_eq!(exchange(&mut stream, b"hello", CTIME + 5).len(), CTIME + 5);
            for signal in ["USR1", "QUIT", "USR1"].repeat(5) {
                serving.signal(signal);
            }
            assert_eq!(exchange(&mut stream, b"hello", CTIME + 5).len(), CTIME + 5, "{log:?}");
            drop(stream);
            serving.signal("TERM");
            let code = serving.wait();
            // Without TIPC the exit status is 1.
            assert!(code == Some(0) || code == Some(1), "{log:?}: {code:?}");
        }
    }
}

#[test]
fn exit_status_of_other_commands_does_not_depend_on_the_log() {
    let unreachable = format!("tcp://127.0.0.1:{}", closed_port());
    for args in [
        &["demo", "--json"][..],
        &["ping", "--self", "-c", "1", "-i", "10ms"],
        &["ping", "-c", "1", &unreachable],
        &["load", "-n", "10", &unreachable],
        &["talk", &unreachable],
        &["doctor", "--json"],
        &["ping", "--no-such-flag"],
    ] {
        let expected = run(args, b"").code;
        for log in LOGS {
            let mut running = Running::start(&mut sounder(args), log);
            io::copy(running.child.stdout.as_mut().unwrap(), &mut io::sink()).unwrap();
            assert_eq!(running.wait(), expected, "{log:?}: {args:?}");
        }
    }
}

#[test]
fn late_reader_gets_the_complete_log() {
    let name = unique();
    let mut serving =
        Running::start(&mut sounder(["serve", "--transcript", "off", &format!("@{name}")]), Log::Stuck);
    let mut stream = connect_when_ready(&name);
    exchange(&mut stream, b"hello", CTIME + 5);
    serving.signal("USR1");
    // The reader gets the messages that were printed before it began to read.
    let mut reader = serving.reader.take().unwrap();
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut log, mut chunk) = (Vec::new(), [0; 4096]);
    while !log.ends_with(b" dropped\n") {
        let len = reader.read(&mut chunk).unwrap();
        log.extend_from_slice(&chunk[..len]);
    }
    let log = String::from_utf8(log).unwrap();
    let messages = log.trim_start_matches('x');
    let expected = format!(
        "Waiting for connection on unix:@{name}\n1 connection (1 connected now), 1 message, 5 bytes, 0 dropped\n"
    );
    assert_eq!(messages, expected);
}

/// Returns the number of a note such as "note: 3 messages missing on standard error: CAUSE".
fn missing_messages(log: &str, cause: &str) -> Option<usize> {
    let note = log.lines().find_map(|line| line.strip_prefix("note: "))?;
    let number = note.strip_suffix(&format!(" missing on standard error: {cause}"))?;
    number.split(' ').next()?.parse().ok()
}

#[test]
fn losses_on_a_full_disk_are_reported_when_there_is_space_again() {
    let Some(prlimit) = installed("prlimit") else { return };
    let prlimit = prlimit.get_program().to_owned();
    let (name, folder) = (unique(), Folder::new());
    let path = folder.join("log");
    let len = || fs::metadata(&path).unwrap().len();
    // The limit of a file's size acts as a full disk does.
    let mut command = Command::new(&prlimit);
    command.args(["--fsize=10:unlimited", env!("CARGO_BIN_EXE_sounder")]);
    command.args(["serve", "--transcript", "off", &format!("@{name}")]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&path).unwrap());
    let mut serving = Running { child: child.spawn().unwrap(), reader: None };
    let set_limit = |bytes: &str| {
        let pid = format!("--pid={}", serving.child.id());
        let fsize = format!("--fsize={bytes}:unlimited");
        assert!(Command::new(&prlimit).args([pid, fsize]).status().unwrap().success());
    };
    wait_until("the beginning of the first message", || len() == 10);
    // Each message tries to complete the first one, fails, and is lost. Several, in case the limit
    // rises while a message is between two writes.
    for bytes in [11, 12, 13, 14] {
        set_limit(&bytes.to_string());
        serving.signal("USR1");
        wait_until("another byte of the first message", || len() == bytes);
    }
    set_limit("unlimited");
    serving.signal("TERM");
    assert_eq!(serving.wait(), Some(0));
    let log = fs::read_to_string(&path).unwrap();
    assert_eq!(log.lines().next().unwrap(), format!("Waiting for connection on unix:@{name}"), "{log}");
    let missing = missing_messages(&log, "File too large").unwrap_or_else(|| panic!("{log}"));
    assert!((1..=4).contains(&missing), "{log}");
}

#[test]
fn losses_by_a_stuck_reader_are_reported_when_it_reads_again() {
    const LINES: usize = 100;
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = format!("udp://{}", port.local_addr().unwrap());
    // No line gets a reply, and each is reported.
    let mut running =
        Running::start_from(&mut sounder(["talk", "-w", "1ms", &endpoint]), Stdio::piped(), Log::Stuck);
    let mut input = running.child.stdin.take().unwrap();
    input.write_all("hello\n".repeat(LINES).as_bytes()).unwrap();
    // The last line is sent after the reports about the others.
    for _ in 0..LINES {
        retry_interrupted(|| port.recv(&mut [0; 16])).unwrap();
    }
    let mut reader = running.reader.take().unwrap();
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut log, mut chunk) = (Vec::new(), [0; 4096]);
    let reports = |log: &[u8]| String::from_utf8_lossy(log).matches("no reply from").count();
    // The queue of 64 messages was full, and a message was on its way.
    while reports(&log) < 64 {
        let len = reader.read(&mut chunk).unwrap();
        log.extend_from_slice(&chunk[..len]);
    }
    drop(input);
    reader.read_to_end(&mut log).unwrap();
    assert_eq!(running.wait(), Some(1));
    let log = String::from_utf8(log).unwrap();
    let missing = missing_messages(log.trim_start_matches('x'), "nobody read them in time");
    let missing = missing.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(reports(log.as_bytes()) + missing, LINES, "{log}");
}
