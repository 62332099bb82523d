//! The system calls of each method, and its behaviour when a signal interrupts it, as strace(1)
//! records them.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, ErrorKind, IoSlice, IoSliceMut};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use echosounder_socket::{
    Address, Batch, ConnectionError, ControlSpace, MessageFlags, Outgoing, Socket, SocketRef, Transport,
    create_connection, option, set_interrupt_hook,
};

use crate::alone::{Process, is_alone, send_line};
use crate::create::{Addresses, full_listener};
use crate::{Folder, LOOPBACK, PATIENCE, UNNAMED, bound, connected, skip, wait_readable};

const MODES: [(&str, Option<Duration>); 3] =
    [("blocking", None), ("nonblocking", Some(Duration::ZERO)), ("timeout", Some(PATIENCE))];

/// Returns whether strace may trace here, or skips.
fn has_strace() -> bool {
    let trial = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).stdin(Stdio::null()).output();
    let why = match trial {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        Err(error) => error.to_string(),
    };
    skip("strace", &why);
    false
}

/// Marks the beginning and the end of a call in the trace.
fn look<T>(name: &str, call: impl FnOnce() -> T) -> T {
    send_line(&format!("== {name}"));
    let result = call();
    send_line("==");
    result
}

/// Returns a listener with a connection to accept, and its client.
fn called(transport: Transport, address: &Address) -> (Socket, Socket) {
    let (listener, name) = bound(transport, address);
    listener.listen().unwrap();
    let client = connected(transport, &name);
    wait_readable(&listener);
    (listener, client)
}

/// Makes every call that the test checks.
fn do_everything() {
    let (one, other) = Transport::UnixStream.pair().unwrap();
    let mut buffer = [0; 64];
    for (mode, timeout) in MODES {
        for socket in [&one, &other] {
            look(&format!("set_timeout {mode}"), || socket.set_timeout(timeout)).unwrap();
        }
        look(&format!("send {mode}"), || one.send(b"ahoy")).unwrap();
        look(&format!("recv {mode}"), || other.recv(&mut buffer)).unwrap();
        look(&format!("send_all {mode}"), || one.send_all(b"ahoy")).unwrap();
        look(&format!("recv_from {mode}"), || other.recv_from(&mut buffer)).unwrap();
        look(&format!("send_all {mode}"), || one.send_all(b"ahoy")).unwrap();
        look(&format!("recv_message {mode}"), || other.recv_message(&mut buffer)).unwrap();
        let pieces = [IoSlice::new(b"ahoy")];
        look(&format!("send_msg {mode}"), || one.send_msg(&pieces, &[], None, MessageFlags::NONE)).unwrap();
        let mut into = [IoSliceMut::new(&mut buffer)];
        look(&format!("recv_msg {mode}"), || {
            other.recv_msg(&mut into, ControlSpace::ALL, MessageFlags::NONE)
        })
        .unwrap();
        look(&format!("send_with {mode}"), || one.send_with(b"ahoy", MessageFlags::DONTWAIT)).unwrap();
        look(&format!("peek {mode}"), || other.peek(&mut buffer)).unwrap();
        look(&format!("recv_with {mode}"), || other.recv_with(&mut buffer, MessageFlags::DONTWAIT)).unwrap();
        let outgoing = [Outgoing::new(&pieces)];
        look(&format!("send_many {mode}"), || one.send_many(&outgoing)).unwrap();
        let mut behind = Vec::with_capacity(8);
        look(&format!("recv_append {mode}"), || other.recv_append(&mut behind)).unwrap();
        look(&format!("recv nothing {mode}"), || other.recv(&mut [])).unwrap();
        look(&format!("recv_append nothing {mode}"), || other.recv_append(&mut Vec::new())).unwrap();

        let (listener, _client) = called(Transport::UnixStream, &UNNAMED);
        listener.set_timeout(timeout).unwrap();
        look(&format!("accept {mode}"), || listener.accept()).unwrap();

        let (datagrams, peer) = Transport::UnixDatagram.pair().unwrap();
        datagrams.send(b"ahoy").unwrap();
        peer.set_timeout(timeout).unwrap();
        let mut batch = Batch::new(2, 8);
        look(&format!("recv_many {mode}"), || peer.recv_many(&mut batch)).unwrap();
    }
    one.set_timeout(Some(Duration::from_millis(5))).unwrap();
    look("recv too late", || one.recv(&mut buffer)).unwrap_err();
    connect();
    files(&one, &other);

    look("timeout", || one.timeout());
    look("option", || one.option(option::SO_RCVBUF)).unwrap();
    look("borrow", || SocketRef::from(&one));
    look("borrow and send", || SocketRef::from(&one).send(b"ahoy")).unwrap();
    let again = look("duplicate", || one.try_clone()).unwrap();
    let stream = look("to std, with a timeout", || UnixStream::from(again));
    let again = look("from std", || Socket::from(stream));
    let stream = look("to std", || UnixStream::from(again));
    let again = Socket::from(stream);
    look("close", || again.close()).unwrap();
}

fn connect() {
    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen().unwrap();
    for (mode, timeout) in MODES {
        let client = Transport::Tcp.socket(&name).unwrap();
        client.set_timeout(timeout).unwrap();
        let result = look(&format!("connect {mode}"), || client.connect(&name));
        assert_eq!(result.is_err(), timeout == Some(Duration::ZERO));
    }
    let (silent, nobody) = bound(Transport::UnixStream, &UNNAMED);
    silent.listen().unwrap();
    let client = Transport::UnixStream.socket(&nobody).unwrap();
    client.set_timeout(Some(PATIENCE)).unwrap();
    look("connect unix", || client.connect(&nobody)).unwrap();
}

fn files(one: &Socket, other: &Socket) {
    one.send(b"a line\nanother\n").unwrap();
    let mut file = look("make_file", || other.make_file()).unwrap();
    let mut line = String::new();
    look("make_file read", || file.read_line(&mut line)).unwrap();
    look("make_file buffered", || file.read_line(&mut line)).unwrap();

    let folder = Folder::new();
    let path = folder.path_of_len(90);
    fs::write(&path, b"content").unwrap();
    let content = File::open(&path).unwrap();
    look("send_file", || one.send_file(&content, 0, Some(7))).unwrap();
    let (lonely, gone) = Transport::UnixStream.pair().unwrap();
    drop(gone);
    look("send_file to nobody", || lonely.send_file(&content, 0, Some(7))).unwrap_err();
}

/// Returns the system calls of each marked call. Repeated calls must be equal.
fn calls(trace: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut current: Option<(String, Vec<String>)> = None;
    for line in trace.lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(mark) = call.strip_prefix("write(2, \"==") {
            let name = mark.split("\\n").next().unwrap().trim().to_owned();
            if let Some((name, calls)) = current.take() {
                let before = found.insert(name.clone(), calls.clone());
                assert!(before.is_none_or(|before| before == calls), "{name}:\n{trace}");
            }
            current = (!name.is_empty()).then(|| (name, Vec::new()));
        } else if let (Some((_, calls)), Some((name, _))) = (&mut current, call.split_once('(')) {
            // C libraries differ in these calls.
            let name = match name {
                "newfstatat" => "fstat",
                "ppoll" => "poll",
                name => name,
            };
            // Some machines cannot read the clock without a system call, and the other thread of the
            // test program waits for this one at any time.
            let is_ignored = ["clock_gettime", "futex"].contains(&name);
            // musl returns large buffers to the kernel at once, and sets close-on-exec of a duplicate
            // with a second call.
            let is_repeated = name == "fcntl" && calls.last().is_some_and(|last| last == name);
            let is_of_musl = is_repeated || ["mmap", "munmap", "brk"].contains(&name);
            if !(is_ignored || cfg!(target_env = "musl") && is_of_musl) {
                calls.push(name.into());
            }
        }
    }
    found
}

#[test]
fn calls_make_the_expected_system_calls() {
    if is_alone() {
        return do_everything();
    }
    if !has_strace() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path_of_len(90);
    let by = ["strace", "-f", "-qq", "-s", "100", "-o", path.to_str().unwrap()];
    let (status, output) =
        Process::start(&by, "syscalls::calls_make_the_expected_system_calls").unwrap().end();
    assert!(status.success(), "{output}");
    let trace = fs::read_to_string(&path).unwrap();
    let calls = calls(&trace);
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(calls.get(name).unwrap_or_else(|| panic!("{name}:\n{trace}")), expected, "{name}");
    };
    for (mode, _) in MODES {
        for (call, expected) in [
            ("set_timeout", &["ioctl"][..]),
            ("send", &["sendto"]),
            ("send_all", &["sendto"]),
            ("send_msg", &["sendmsg"]),
            ("send_many", &["sendmmsg"]),
            ("recv", &["recvfrom"]),
            ("recv_from", &["recvfrom"]),
            ("recv_message", &["recvmsg"]),
            ("recv_append", &["recvfrom"]),
            ("recv_msg", &["recvmsg"]),
            ("recv_many", &["recvmmsg"]),
            ("send_with", &["sendto"]),
            ("peek", &["recvfrom"]),
            ("recv_with", &["recvfrom"]),
            ("recv nothing", &[]),
            ("recv_append nothing", &[]),
        ] {
            check(&format!("{call} {mode}"), expected);
        }
    }
    // With a timeout, calls without MSG_DONTWAIT first check the blocking mode.
    check("accept blocking", &["accept4"]);
    check("accept nonblocking", &["accept4"]);
    check("accept timeout", &["fcntl", "accept4"]);
    check("recv too late", &["recvfrom", "poll"]);
    check("connect blocking", &["connect"]);
    check("connect nonblocking", &["connect"]);
    check("connect timeout", &["fcntl", "connect", "poll", "getsockopt"]);
    check("connect unix", &["fcntl", "connect"]);
    check("make_file", &["fcntl"]);
    check("make_file read", &["recvfrom"]);
    check("make_file buffered", &[]);
    check("timeout", &[]);
    check("option", &["getsockopt"]);
    check("borrow", &[]);
    check("borrow and send", &["sendto"]);
    check("duplicate", &["fcntl"]);
    check("to std, with a timeout", &["setsockopt", "setsockopt", "ioctl"]);
    check("from std", &["fcntl"]);
    check("to std", &[]);
    check("close", &["close"]);
    // The socket type, blocking SIGPIPE, the file's length, with a timeout the blocking mode, and
    // the file.
    let before = &["getsockopt", "rt_sigpending", "rt_sigprocmask", "fstat"][..];
    let sent = &["sendfile", "rt_sigpending"][..];
    check("send_file", &[before, &["fcntl"], sent, &["rt_sigprocmask"]].concat());
    check(
        "send_file to nobody",
        &[before, sent, &["rt_sigtimedwait", "rt_sigpending", "rt_sigprocmask"]].concat(),
    );
    let taken = trace.lines().any(|line| line.contains("rt_sigtimedwait") && line.contains("(SIGPIPE)"));
    assert!(taken, "the signal was taken away:\n{trace}");
}

static INTERRUPTED: AtomicU32 = AtomicU32::new(0);
static REFUSES: AtomicBool = AtomicBool::new(false);

const CALL: &str = "ECHOSOUNDER_TEST_CALL";

/// An interrupted call continues, or returns the error of the hook.
fn check_interrupted<T: std::fmt::Debug>(mut call: impl FnMut() -> io::Result<T>, ends: Option<ErrorKind>) {
    REFUSES.store(false, Ordering::Relaxed);
    INTERRUPTED.store(0, Ordering::Relaxed);
    assert_eq!(call().err().map(|error| error.kind()), ends);
    assert_eq!(INTERRUPTED.load(Ordering::Relaxed), 1);
    REFUSES.store(true, Ordering::Relaxed);
    check_refusal(&call().unwrap_err());
    assert_eq!(INTERRUPTED.load(Ordering::Relaxed), 2);
}

/// The error of the hook does not make std's loops repeat the call.
fn check_refusal(error: &io::Error) {
    assert_eq!((error.to_string().as_str(), error.kind()), ("enough", ErrorKind::Other));
}

/// The hook ends all attempts to connect.
fn check_stopped(to: &[Address], timeout: Option<Duration>) {
    REFUSES.store(true, Ordering::Relaxed);
    let error = create_connection(Addresses(to.to_vec()), timeout, None).unwrap_err();
    let ConnectionError::Connect(failed) = error else { panic!("{error}") };
    let [(address, error)] = failed.attempts() else { panic!("{:?}", failed.attempts()) };
    assert_eq!(*address, to[0]);
    check_refusal(error);
    assert_eq!(INTERRUPTED.load(Ordering::Relaxed), 1);
}

fn interrupt(call: &str) {
    set_interrupt_hook(|| {
        INTERRUPTED.fetch_add(1, Ordering::Relaxed);
        let refused = || io::Error::new(ErrorKind::Interrupted, "enough");
        if REFUSES.load(Ordering::Relaxed) { Err(refused()) } else { Ok(()) }
    })
    .unwrap();
    assert_eq!(set_interrupt_hook(|| Ok(())).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let (one, other) = Transport::UnixDatagram.pair().unwrap();
    (0..4).for_each(|_| assert_eq!(io::Write::write(&mut &one, b"ahoy").unwrap(), 4));
    let mut buffer = [0; 64];
    match call {
        "recvfrom" => check_interrupted(|| other.recv(&mut buffer), None),
        "recvmsg" => check_interrupted(|| other.recv_message(&mut buffer), None),
        "recvmmsg" => check_interrupted(|| other.recv_many(&mut Batch::new(1, 8)), None),
        "sendmsg" => {
            let pieces = [IoSlice::new(b"x")];
            check_interrupted(|| one.send_msg(&pieces, &[], None, MessageFlags::NONE), None);
        }
        "sendmmsg" => {
            let pieces = [IoSlice::new(b"x")];
            let outgoing = [Outgoing::new(&pieces)];
            check_interrupted(|| one.send_many(&outgoing), None);
        }
        "sendfile" => {
            let file = File::open("/proc/self/exe").unwrap();
            let (one, _other) = Transport::UnixStream.pair().unwrap();
            check_interrupted(|| one.send_file(&file, 0, Some(8)).map_err(|error| error.source), None);
        }
        "poll" => {
            let (silent, _other) = Transport::UnixDatagram.pair().unwrap();
            silent.set_timeout(Some(Duration::from_millis(20))).unwrap();
            check_interrupted(|| silent.recv(&mut [0; 8]), Some(ErrorKind::TimedOut));
        }
        "accept4" => {
            let (listener, _client) = called(Transport::UnixStream, &UNNAMED);
            check_interrupted(|| listener.accept(), None);
        }
        "connect" => {
            let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
            listener.listen().unwrap();
            check_interrupted(|| Transport::UnixStream.socket(&name).unwrap().connect(&name), None);
        }
        "connect_ex" => {
            let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
            listener.listen().unwrap();
            check_interrupted(|| Transport::UnixStream.socket(&name).unwrap().connect_ex(&name), None);
        }
        "pause" => {
            // poll(2) always reports the socket as writable.
            let (_receiver, name) = bound(Transport::UnixDatagram, &UNNAMED);
            let sender = Transport::UnixDatagram.socket(&name).unwrap();
            while sender.send_to_with(b"x", &name, MessageFlags::DONTWAIT).is_ok() {}
            sender.set_timeout(Some(Duration::from_millis(500))).unwrap();
            REFUSES.store(true, Ordering::Relaxed);
            check_refusal(&sender.send_to(b"x", &name).unwrap_err());
        }
        "read_line" => {
            let (one, other) = Transport::UnixStream.pair().unwrap();
            one.send(b"one\nother\n").unwrap();
            check_interrupted(|| other.make_file().unwrap().read_line(&mut String::new()), None);
        }
        "write_all" => {
            let (one, _other) = Transport::UnixStream.pair().unwrap();
            check_interrupted(|| io::Write::write_all(&mut &one, b"ahoy"), None);
        }
        "race" => {
            let (_full, silent) = full_listener();
            let (listener, good) = bound(Transport::Tcp, &LOOPBACK[0]);
            listener.listen().unwrap();
            check_stopped(&[silent, good], Some(PATIENCE));
        }
        "start of a race" | "zero" => {
            let (listener, good) = bound(Transport::Tcp, &LOOPBACK[0]);
            listener.listen().unwrap();
            let timeout = if call == "zero" { Duration::ZERO } else { PATIENCE };
            check_stopped(&[good.clone(), good], Some(timeout));
        }
        other => panic!("{other} is not interrupted"),
    }
}

#[test]
fn interrupted_call_consults_the_hook() {
    if is_alone() {
        return interrupt(&env::var(CALL).unwrap());
    }
    if !has_strace() {
        return;
    }
    let plain =
        ["recvfrom", "recvmsg", "recvmmsg", "sendmsg", "sendmmsg", "sendfile", "poll", "accept4", "connect"];
    // Interrupts every other call, beginning with the first.
    let plain = plain.map(|call| (call, call, "1+2"));
    let others = [
        ("connect_ex", "connect", "1+2"),
        // The first poll(2) is not a pause.
        ("pause", "poll", "2"),
        ("read_line", "recvfrom", "1+2"),
        ("write_all", "sendto", "1+2"),
        ("race", "poll", "1"),
        ("start of a race", "connect", "1"),
        ("zero", "connect", "1"),
    ];
    for (call, injected, when) in plain.into_iter().chain(others) {
        let set = format!("{CALL}={call}");
        let trace = format!("trace={injected}");
        let inject = format!("inject={injected}:error=EINTR:when={when}");
        let by = ["env", &set, "strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let test = "syscalls::interrupted_call_consults_the_hook";
        let (status, output) = Process::start(&by, test).unwrap().end();
        assert!(status.success(), "{call}: {output}");
    }
}

/// Works without strace: a stop signal interrupts a receive with SO_RCVTIMEO, signal(7).
#[test]
fn stopped_process_continues_its_call() {
    if is_alone() {
        set_interrupt_hook(|| {
            send_line("interrupted");
            if INTERRUPTED.fetch_add(1, Ordering::Relaxed) < 2 {
                return Ok(());
            }
            Err(io::Error::other("enough"))
        })
        .unwrap();
        let (one, _other) = Transport::UnixStream.pair().unwrap();
        one.set_option(option::SO_RCVTIMEO, Duration::from_secs(60)).unwrap();
        return assert_eq!(one.recv(&mut [0; 8]).unwrap_err().to_string(), "enough");
    }
    let mut process = Process::start(&[], "syscalls::stopped_process_continues_its_call").unwrap();
    for _ in 0..3 {
        // The call may not have begun to wait.
        while !process.has_line(Duration::from_millis(10)) {
            process.signal("STOP");
            process.signal("CONT");
        }
        assert_eq!(process.next_line(), "interrupted");
    }
    let (status, output) = process.end();
    assert!(status.success(), "{output}");
}
