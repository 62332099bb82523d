//! Standard error that cannot be written: its disk is full, or its reader is gone or stuck.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Child, Command, Stdio};

use crate::serve::exchange;
use crate::support::{CTIME, PATIENCE, closed_port, run, sh, sounder, unique, wait_for};

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
    _reader: Option<UnixStream>,
}

impl Running {
    fn start(command: &mut Command, log: Log) -> Self {
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
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        Self { child, _reader: reader }
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
    let mut reader = serving._reader.take().unwrap();
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
