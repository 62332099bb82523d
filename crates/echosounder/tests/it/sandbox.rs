//! Restricted machines: seccomp filters, limits, no /proc.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use crate::abuse::ticks;
use crate::serve::{connect, exchange};
use crate::support::{
    CTIME, Folder, PATIENCE, Serving, closed_port, finish, installed, may_run, python, retry_interrupted,
    unique,
};

/// Returns a command that runs our program with a seccomp filter, by which each of the system calls
/// fails with this error. `None` if that is impossible here.
pub(crate) fn sandboxed(error: &str, calls: &str, args: &[&str]) -> Option<Command> {
    let mut command = may_run(python("sandbox.py", [error, calls])?)?;
    command.arg(env!("CARGO_BIN_EXE_sounder")).args(args);
    Some(command)
}

/// System calls that have an older replacement.
const NEWER: [&str; 8] = [
    "epoll_pwait2",
    "prctl",
    "accept4",
    "recvmmsg",
    "sendmmsg",
    "recvmmsg,sendmmsg",
    "eventfd2,signalfd4,epoll_create1",
    "epoll_pwait2,prctl,accept4,recvmmsg,sendmmsg",
];

#[test]
fn older_system_calls_replace_refused_ones() {
    let folder = Folder::new();
    let cases = NEWER.iter().map(|calls| ("EPERM", *calls)).chain([("ENOSYS", NEWER[7])]);
    for (error, calls) in cases {
        // Newer architectures lack the predecessors of these calls.
        if calls.contains("eventfd2") && !cfg!(target_arch = "x86_64") {
            continue;
        }
        let (stream, datagrams) =
            (format!("unix:{}", folder.join("s")), format!("unix-dgram:{}", folder.join("d")));
        let ends = ["serve", "tcp://127.0.0.1:0", "udp://127.0.0.1:0", &stream, &datagrams];
        let Some(mut serve) = sandboxed(error, calls, &ends) else { return };
        let serving = Serving::start(&mut serve, 4);
        for endpoint in serving.endpoints() {
            let ping = ["ping", "-c", "3", "-i", "10ms", endpoint];
            let Some(mut ping) = sandboxed(error, calls, &ping) else { return };
            let done = finish(&mut ping, b"");
            assert_eq!(done.code, Some(0), "{error} of {calls}, {endpoint}: {done:?}");
        }
        for pace in [&["-n", "100"][..], &["-r", "200", "-d", "0.3", "--warm-up", "0"]] {
            let load = [&["load", "-c", "2"], pace, &[serving.endpoints()[0].as_str()]].concat();
            let Some(mut load) = sandboxed(error, calls, &load) else { return };
            let done = finish(&mut load, b"");
            assert_eq!(done.code, Some(0), "{error} of {calls}: {done:?}");
        }
        // The totals may count a connection that the load generator closed before it had read the
        // last reply.
        let done = serving.stop();
        assert_eq!((done.code, errors(&done.stderr)), (Some(0), vec![]), "{calls}: {}", done.stderr);
    }
}

#[test]
fn refused_system_call_is_a_local_failure() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    for calls in ["recvmsg", "epoll_wait,epoll_pwait,epoll_pwait2"] {
        for endpoint in serving.endpoints() {
            let ping = ["ping", "-c", "1", "-w", "2", endpoint];
            let Some(mut ping) = sandboxed("EPERM", calls, &ping) else { return };
            let done = finish(&mut ping, b"");
            let output = format!("{} {}", done.stderr, done.text());
            assert_eq!(done.code, Some(2), "{calls}, {endpoint}: {output}");
            assert!(output.contains("Operation not permitted"), "{calls}, {endpoint}: {output}");
            assert!(!output.contains("UNREACHABLE"), "{calls}, {endpoint}: {output}");
        }
    }
}

/// Returns the lines that report errors.
fn errors(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("Error: ")).collect()
}

#[test]
fn repeated_failures_pause_and_are_reported_rarely() {
    for (error, calls, message) in [
        ("EPERM", "accept,accept4", "accept: Operation not permitted"),
        ("EPERM", "recvmsg,recvmmsg", "receive: Operation not permitted"),
        ("ENOMEM", "recvfrom", "receive: Cannot allocate memory"),
        ("ENOBUFS", "sendto", "send: No buffer space available"),
    ] {
        let ends =
            ["serve", "--transcript", "off", "--workers", "2", "tcp://127.0.0.1:0", "udp://127.0.0.1:0"];
        let Some(mut serve) = sandboxed(error, calls, &ends) else { return };
        let serving = Serving::start(&mut serve, 2);
        let [tcp, udp] = [0, 1].map(|place| serving.endpoints()[place].split_once("://").unwrap().1);
        // Enough for each worker to get some.
        let mut streams: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(tcp).unwrap()).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(b"hello").unwrap());
        let datagrams: Vec<UdpSocket> = (0..16).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for socket in &datagrams {
            socket.send_to(b"hello", udp).unwrap();
        }
        serving.program().wait_for_stderr("Error: ");
        let before = ticks(serving.program().pid());
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
        nobody.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        retry_interrupted(|| nobody.recv(&mut [0])).unwrap_err();
        let spent = ticks(serving.program().pid()) - before;
        assert!(spent < 20, "{spent} hundredths of a second of CPU time without work: {calls}");
        let done = serving.stop();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let mut errors = errors(&done.stderr);
        assert!(errors.len() <= 2, "at most one in ten seconds: {errors:?}");
        errors.dedup();
        assert_eq!(errors, [format!("Error: {message}")], "{calls}");
    }
}

#[test]
fn server_that_cannot_wait_reports_it_rarely_and_stops_on_a_signal() {
    for (error, message) in [("EPERM", "Operation not permitted"), ("EPIPE", "Broken pipe")] {
        let ends = ["serve", "--transcript", "off", "--workers", "1", "tcp://127.0.0.1:0"];
        let calls = "epoll_wait,epoll_pwait,epoll_pwait2";
        let Some(mut serve) = sandboxed(error, calls, &ends) else { return };
        let serving = Serving::start(&mut serve, 1);
        serving.program().wait_for_stderr("Error: wait: ");
        let done = serving.stop();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(errors(&done.stderr), [format!("Error: wait: {message}")]);
    }
}

#[test]
fn server_whose_waits_fail_for_a_while_serves_afterwards() {
    for error in ["EIO", "EPIPE", "ENOMEM"] {
        let Some(strace) = installed("strace") else { return };
        let calls = "epoll_wait,poll,ppoll";
        let inject = format!("inject={calls}:error={error}:when=2..5");
        let mut trial = Command::new(strace.get_program());
        // The grandchild traces, so that signals go to the server itself.
        trial.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]);
        let Some(mut serve) = may_run(trial) else { return };
        serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", "--transcript", "off", "--workers", "1"]);
        let serving = Serving::start(serve.args(["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]), 2);
        let [tcp, udp] = [0, 1].map(|place| serving.endpoints()[place].split_once("://").unwrap().1);
        let mut stream = TcpStream::connect(tcp).unwrap();
        for _ in 0..5 {
            assert_eq!(&exchange(&mut stream, b"hello", CTIME + 5)[CTIME..], b"hello");
        }
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.connect(udp).unwrap();
        datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..5 {
            datagrams.send(b"hello").unwrap();
            assert_eq!(retry_interrupted(|| datagrams.recv(&mut [0; 64])).unwrap(), CTIME + 5);
        }
        drop(stream);
        let done = serving.stop();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(errors(&done.stderr).iter().all(|line| line.starts_with("Error: wait: ")), "{}", done.stderr);
        assert!(done.stderr.contains("1 connection, 10 messages, "), "{}", done.stderr);
    }
}

#[test]
fn without_more_epoll_entries_new_connections_are_served() {
    let Some(strace) = installed("strace") else { return };
    // The grandchild traces, so that signals go to the server itself.
    let inject = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=epoll_ctl", "-e"];
    let mut trial = Command::new(strace.get_program());
    trial.args(inject).arg("inject=epoll_ctl:error=ENOSPC:when=3");
    let Some(mut serve) = may_run(trial) else { return };
    serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", "--transcript", "off", "--workers", "1"]);
    let serving = Serving::start(serve.arg("tcp://127.0.0.1:0"), 1);
    // Adding the worker's third connection to its epoll fails.
    let mut streams: Vec<_> = (0..5).map(|_| connect(&serving)).collect();
    for stream in &mut streams {
        assert_eq!(&exchange(stream, b"hello", CTIME + 5)[CTIME..], b"hello");
    }
    drop(streams);
    let done = serving.stop();
    assert!(done.stderr.contains("\nError: watch: No space left on device\n"), "{}", done.stderr);
    assert!(done.stderr.ends_with("\n5 connections, 5 messages, 25 bytes, 0 dropped\n"), "{}", done.stderr);
}

#[test]
fn server_without_proc_notes_that_paths_get_no_reply() {
    let Some(mut unshare) = installed("unshare") else { return };
    let hide = "mount -t tmpfs none /proc && exec \"$@\"";
    unshare.args(["--map-root-user", "--mount", "sh", "-c", hide, "sh"]);
    let Some(mut serve) = may_run(unshare) else { return };
    let folder = Folder::new();
    let path = folder.join("d");
    serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", &format!("unix-dgram:{path}")]);
    let serving = Serving::start(&mut serve, 1);
    let name = SocketAddr::from_abstract_name(unique()).unwrap();
    let named = UnixDatagram::bind_addr(&name).unwrap();
    named.set_read_timeout(Some(PATIENCE)).unwrap();
    named.send_to(b"hello", &path).unwrap();
    assert_eq!(
        retry_interrupted(|| named.recv(&mut [0; 64])).unwrap(),
        CTIME + 5,
        "clients without a path get replies"
    );
    let done = serving.stop();
    let note =
        format!("note: cannot reply to clients with a path on unix-dgram:{path}: /proc is not mounted\n");
    assert!(done.stderr.starts_with(&note), "{}", done.stderr);
}

#[test]
fn no_file_named_by_tz_prevents_a_start() {
    let folder = Folder::new();
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let place = folder.path().to_str().unwrap();
    for (zone, database) in [("/dev/zero", ""), (&pipe, ""), ("pipe", place), ("zero", "/dev")] {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_sounder"));
        let serving = Serving::start(
            serve
                .args(["serve", "--stamp", "rfc3339", "tcp://127.0.0.1:0"])
                .env("TZ", zone)
                .env("TZDIR", database),
            1,
        );
        let mut stream = connect(&serving);
        stream.write_all(b"hello").unwrap();
        let reply = exchange(&mut stream, b"", 43);
        assert!(reply.ends_with(b"+00:00] hello"), "{}", String::from_utf8_lossy(&reply));
        serving.stop();
        let page = folder.join("ping.html");
        let mut ping = Command::new(env!("CARGO_BIN_EXE_sounder"));
        let nobody = format!("tcp://127.0.0.1:{}", closed_port());
        let done = finish(
            ping.args(["ping", "-c", "1", "-o", &page, &nobody]).env("TZ", zone).env("TZDIR", database),
            b"",
        );
        assert_eq!(done.code, Some(1), "{}", done.stderr);
    }
}

#[test]
fn lasting_lack_of_memory_is_a_local_failure() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    for endpoint in serving.endpoints() {
        for args in
            [&["ping", "-c", "3", "-W", "30s", endpoint][..], &["load", "-n", "10", "-w", "30s", endpoint]]
        {
            let Some(mut command) = sandboxed("ENOMEM", "recvmsg,recvfrom,recvmmsg", args) else { return };
            let done = finish(&mut command, b"");
            assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
            assert!(done.stderr.contains("Cannot allocate memory"), "{args:?}: {}", done.stderr);
            assert!(!done.stderr.contains("TIMEOUT"), "{args:?}: {}", done.stderr);
        }
    }
}
