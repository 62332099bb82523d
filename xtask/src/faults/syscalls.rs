//! Errors of system calls, injected by strace(1) into a server that works.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use echosounder_testkit::Program;

use crate::command::output;
use crate::faults::lab::{Lab, PORT, SERVER, server_address};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::Server;

pub(crate) const ROWS: &[Row] = &[Row::new(
    15,
    "syscalls",
    "the server lives, no wrong byte, EINTR loses nothing, and everything is answered after the errors",
    errors,
)];

/// The system calls of a server that works. strace ignores those with `?` that the machine lacks.
const CALLS: [&str; 13] = [
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "accept4",
    "?epoll_wait",
    "epoll_pwait2",
    "epoll_ctl",
    "?poll",
    "ppoll",
    "read",
];

const ERRORS: [&str; 13] = [
    "EINTR",
    "EAGAIN",
    "ENOBUFS",
    "ENOMEM",
    "EMFILE",
    "ENFILE",
    "ECONNABORTED",
    "ECONNRESET",
    "EPIPE",
    "EHOSTUNREACH",
    "ENETDOWN",
    "EPERM",
    "EIO",
];

/// A message that a datagram server answers at its own length.
const REQUEST: &[u8] = b"[0000000000000000000 0000000000000000000] over and out";

/// How long a client waits for a reply before it takes it for lost.
const REPLY_MAX: Duration = Duration::from_secs(2);

/// What the clients have seen.
#[derive(Debug, Default)]
struct Seen {
    replies: AtomicU64,
    /// Replies with other bytes than the request's.
    wrong: AtomicU64,
    /// Connections that the server closed.
    closed: AtomicU64,
    /// Datagrams without a reply.
    lost: AtomicU64,
}

/// Row 15: each error in each system call.
fn errors(scale: Scale) -> Result<Verdict> {
    if output(std::process::Command::new("strace").arg("-V")).is_err() {
        return Ok(Verdict::absent("strace is not installed"));
    }
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let mut figures = Figures::default();
    let mut tried = 0;
    let (mut bad, mut injected) = (0, 0);
    // The short form injects into all calls at once.
    let all = CALLS.join(",");
    let calls = scale.pick(vec![all.as_str()], CALLS.to_vec());
    let mut server = start(&lab, folder.path())?;
    for (error, calls) in ERRORS.iter().flat_map(|error| calls.iter().map(move |calls| (*error, *calls))) {
        tried += 1;
        let outcome = inject(&lab, folder.path(), &server, error, calls, scale.pick(800, 3000));
        let problem = match outcome {
            Ok((count, problem)) => {
                injected += count;
                problem
            }
            Err(cause) => Some(format!("{cause:#}")),
        };
        if let Some(problem) = problem {
            bad += 1;
            figures.add(format!("{error} of {}: {problem}", name(calls)), false);
        }
        if server.check_alive().is_err() {
            server = start(&lab, folder.path())?;
        }
    }
    let text = format!("{} of {tried} combinations hold, {injected} errors", tried - bad);
    figures.add(text, bad == 0 && 0 < injected);
    Ok(figures.verdict("each error in every seventh call, with clients of four transports"))
}

fn name(calls: &str) -> &str {
    if calls.contains(',') { "all calls" } else { calls }
}

fn start(lab: &Lab, folder: &Path) -> Result<Server> {
    let endpoints = [
        format!("tcp://{SERVER}:{PORT}"),
        format!("udp://{SERVER}:{PORT}"),
        format!("unix:{}", folder.join("stream").display()),
        format!("unix-dgram:{}", folder.join("datagram").display()),
    ];
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    Server::start(&lab.server, &[&["--frame", "line"], &endpoints[..]].concat())
}

/// Injects an error while clients work. Returns how often, and what was wrong.
fn inject(
    lab: &Lab,
    folder: &Path,
    server: &Server,
    error: &str,
    calls: &str,
    millis: u64,
) -> Result<(usize, Option<String>)> {
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let pid = server.pid().to_string();
    let (trace, traced) = (folder.join("trace"), format!("trace={calls}"));
    let rule = format!("inject={calls}:error={error}:when=3+7");
    thread::scope(|scope| -> Result<()> {
        spawn_clients(scope, lab, folder, &seen, &stop);
        let mut strace = lab.server.command("strace");
        strace.args(["-f", "-q", "-o"]).arg(&trace).args(["-e", &traced, "-e", &rule, "-p", &pid]);
        let strace = Program::start(&mut strace);
        // strace says nothing once it has attached, so the time includes that.
        thread::sleep(Duration::from_millis(200 + millis));
        // It detaches, and the server goes on.
        strace.signal("INT");
        strace.wait();
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    server.check_alive()?;
    let [replies, wrong, closed, lost] =
        [&seen.replies, &seen.wrong, &seen.closed, &seen.lost].map(|count| count.load(Ordering::Relaxed));
    ensure!(0 < replies, "nothing was answered");
    let mut problems = Vec::new();
    if wrong != 0 {
        problems.push(format!("{wrong} wrong replies"));
    }
    if error == "EINTR" && closed + lost != 0 {
        problems.push(format!("{closed} connections closed, {lost} datagrams lost"));
    }
    // After the errors everything must work again.
    let (after, stop) = (Seen::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        spawn_clients(scope, lab, folder, &after, &stop);
        let start = Instant::now();
        while after.replies.load(Ordering::Relaxed) < 200 && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [replies, lost] = [&after.replies, &after.lost].map(|count| count.load(Ordering::Relaxed));
    if replies < 200 || lost != 0 {
        problems.push(format!("afterwards {replies} replies, {lost} lost"));
    }
    let injected = fs::read_to_string(folder.join("trace"))?.matches("(INJECTED)").count();
    Ok((injected, (!problems.is_empty()).then(|| problems.join(", "))))
}

/// Starts a client of each transport, which works until it is stopped.
fn spawn_clients<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    lab: &'scope Lab,
    folder: &'scope Path,
    seen: &'scope Seen,
    stop: &'scope AtomicBool,
) {
    let work = move |exchange: &mut dyn FnMut() -> Result<()>| {
        while !stop.load(Ordering::Relaxed) {
            if exchange().is_err() {
                // The server closed the connection, or did not accept it yet.
                seen.closed.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        }
    };
    scope.spawn(move || {
        lab.peer.enter();
        work(&mut || {
            let stream = TcpStream::connect_timeout(&server_address(), REPLY_MAX)?;
            stream.set_read_timeout(Some(REPLY_MAX))?;
            lines(&stream, seen, stop)
        });
    });
    scope.spawn(move || {
        work(&mut || {
            let stream = UnixStream::connect(folder.join("stream"))?;
            stream.set_read_timeout(Some(REPLY_MAX))?;
            lines(&stream, seen, stop)
        });
    });
    scope.spawn(move || {
        lab.peer.enter();
        work(&mut || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(server_address())?;
            socket.set_read_timeout(Some(REPLY_MAX))?;
            datagrams(|message| socket.send(message), |buffer| socket.recv(buffer), seen, stop);
            Ok(())
        });
    });
    scope.spawn(move || {
        let path = folder.join(format!("client-{:p}", seen));
        work(&mut || {
            let _ = fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path)?;
            socket.connect(folder.join("datagram"))?;
            socket.set_read_timeout(Some(REPLY_MAX))?;
            datagrams(|message| socket.send(message), |buffer| socket.recv(buffer), seen, stop);
            Ok(())
        });
    });
}

/// Sends lines one by one and checks the replies.
fn lines<S>(stream: &S, seen: &Seen, stop: &AtomicBool) -> Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let mut reader = BufReader::new(stream);
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let line = format!("{number} {}\n", "x".repeat(usize::try_from(number % 900)?));
        (&mut &*stream).write_all(line.as_bytes())?;
        let mut reply = String::new();
        ensure!(reader.read_line(&mut reply).context("no reply")? != 0, "closed");
        // "[Sun Nov 22 12:19:36 2026] " and the line. The end of a closed connection may be missing.
        if reply.get(27..) == Some(&line) {
            seen.replies.fetch_add(1, Ordering::Relaxed);
        } else if reply.ends_with('\n') {
            seen.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Sends datagrams one by one and checks the replies.
fn datagrams(
    send: impl Fn(&[u8]) -> std::io::Result<usize>,
    receive: impl Fn(&mut [u8]) -> std::io::Result<usize>,
    seen: &Seen,
    stop: &AtomicBool,
) {
    let mut buffer = [0; 2048];
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let request = [REQUEST, number.to_string().as_bytes()].concat();
        if send(&request).is_err() {
            // An earlier error of the path; UDP reports it once.
            continue;
        }
        match receive(&mut buffer) {
            Ok(len) if len == request.len() && buffer[42..len] == request[42..] => {
                seen.replies.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {
                seen.wrong.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                seen.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
