//! Clients whose system calls fail: their words name this machine, never the peer.

use std::process::Command;
use std::thread;

use crate::support::{Finished, Serving, finish, installed, may_run};

const PING: &[&str] = &["ping", "-c", "5", "-i", "20ms", "-W", "20s", "-w", "20s"];
const LOAD: &[&str] = &["load", "-c", "2", "-n", "100", "-d", "20s", "--warm-up", "0", "-w", "20s"];
const TALK: &[&str] = &["talk", "--lines", "-w", "20s", "--deadline", "20s"];

/// The words for a failure of the peer.
const PEER_FAILURES: [&str; 5] = ["REFUSED", "TIMEOUT", "UNREACHABLE", "CLOSED", "DNS"];

/// A command, the transports, a system call, and the errors that it fails with.
type Case = (&'static [&'static str], &'static [&'static str], &'static str, &'static [&'static str]);

/// Starts servers, and runs a command against each while strace lets system calls fail. Returns
/// each endpoint with its result.
fn run_injected(args: &[&str], transports: &[&str], injection: &str) -> Vec<(String, Finished)> {
    let Some(strace) = installed("strace") else { return Vec::new() };
    let run = |transport: &&str| {
        let mut trial = Command::new(strace.get_program());
        let calls = injection.split(':').next().unwrap_or_default();
        trial.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
        trial.args(["-e", &format!("inject={injection}")]);
        let mut command = may_run(trial)?;
        let serving = Serving::at(&[&format!("{transport}://127.0.0.1:0")]);
        command.arg(env!("CARGO_BIN_EXE_sounder")).args(args).arg(serving.endpoint());
        let done = finish(&mut command, b"one\ntwo\nthree\n");
        Some((serving.endpoint().to_owned(), done))
    };
    transports.iter().filter_map(run).collect()
}

/// Fails if the words of a command say that the peer has failed.
#[track_caller]
fn assert_blames_no_peer(what: &str, done: &Finished) {
    for word in PEER_FAILURES {
        let output = format!("{}{}", done.text(), done.stderr);
        assert!(!output.contains(word), "{what}: {output}");
    }
}

#[test]
fn failing_system_calls_are_failures_of_this_machine() {
    const BOTH: &[&str] = &["tcp", "udp"];
    let cases: [Case; 9] = [
        (PING, BOTH, "epoll_pwait2", &["EIO", "ENOMEM"]),
        (PING, BOTH, "recvmsg", &["EIO", "ENOMEM", "ENOBUFS"]),
        (PING, BOTH, "sendto", &["EIO"]),
        (LOAD, BOTH, "epoll_pwait2", &["EIO", "ENOMEM"]),
        (LOAD, &["tcp"], "recvfrom", &["EIO", "ENOMEM", "ENOBUFS"]),
        (LOAD, &["udp"], "recvmmsg", &["EIO", "ENOMEM", "ENOBUFS"]),
        (LOAD, BOTH, "sendto", &["EIO", "ENOMEM", "ENOBUFS"]),
        (TALK, BOTH, "recvfrom", &["EIO", "ENOMEM", "ENOBUFS"]),
        (TALK, BOTH, "sendto", &["EIO", "ENOMEM", "ENOBUFS"]),
    ];
    let check = |(args, transports, call, errors): Case| {
        for error in errors {
            for (endpoint, done) in run_injected(args, transports, &format!("{call}:error={error}:when=3+")) {
                let what = format!("{} {endpoint}, {call} fails with {error}: {done:?}", args[0]);
                assert_eq!(done.code, Some(2), "{what}");
                let words = match *error {
                    "EIO" => "Input/output error",
                    "ENOMEM" => "Cannot allocate memory",
                    _ => "No buffer space available",
                };
                assert!(done.stderr.contains(words), "{what}");
                assert_blames_no_peer(&what, &done);
            }
        }
    };
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

#[test]
fn requests_that_lack_memory_are_not_sent() {
    for error in ["ENOMEM", "ENOBUFS"] {
        let injection = format!("sendto:error={error}:when=3+");
        for (endpoint, done) in run_injected(PING, &["tcp", "udp"], &injection) {
            let what = format!("{endpoint}, {error}: {done:?}");
            assert_eq!(done.code, Some(1), "{what}");
            assert!(done.text().contains("\nlost     3 not sent\n"), "{what}");
            assert_blames_no_peer(&what, &done);
        }
    }
}

#[test]
fn interrupted_system_calls_change_nothing() {
    let cases = [
        (PING, "epoll_pwait2"),
        (PING, "recvmsg"),
        (PING, "sendto"),
        (LOAD, "epoll_pwait2"),
        (LOAD, "recvfrom,recvmmsg"),
        (LOAD, "sendto"),
        (TALK, "recvfrom"),
        (TALK, "sendto"),
    ];
    thread::scope(|scope| {
        for (args, calls) in cases {
            scope.spawn(move || {
                let injection = format!("{calls}:error=EINTR:when=2+2");
                for (endpoint, done) in run_injected(args, &["tcp", "udp"], &injection) {
                    let what = format!("{} {endpoint}, {calls}: {done:?}", args[0]);
                    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{what}");
                }
            });
        }
    });
}
