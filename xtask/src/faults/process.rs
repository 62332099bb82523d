//! The server's process: its sandbox, the paths of its sockets, families that the kernel lacks,
//! wrong clocks, and arguments.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::{Address, Family, Protocol, Socket, Type};
use echosounder_testkit::{Finished, finish};

use crate::faults::lab::Namespace;
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::{Honest, Server, binary, wait_until};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        21,
        "unix-path",
        "the mode is the requested one without the umask's bits before the path exists; a path that is not \
         a dead socket of a server stays as it is",
        unix_path,
    ),
    Row::new(
        23,
        "netlink",
        "replies go to unicast ports only, a flood ends nothing, a port id in use is an error",
        netlink,
    ),
    Row::new(
        24,
        "families",
        "a family that the kernel lacks is named, the other endpoints work, and without others the exit \
         status is 1",
        missing_families,
    ),
    Row::new(25, "clocks", "every request is answered in any year", clocks),
    Row::new(
        26,
        "arguments",
        "bad values are usage errors with a text, and a connection to itself is an error each time",
        arguments,
    ),
    Row::new(
        29,
        "sandbox",
        "all threads have a seccomp filter and cannot gain privileges; replies and the removal of paths work",
        sandbox,
    ),
];

/// Returns the endpoint of a UNIX stream socket.
fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Runs the program to its end.
fn run(host: &Namespace, arguments: &[&str]) -> Finished {
    finish(host.command(binary()).args(arguments), b"")
}

/// Row 21: the mode of a path, and paths that exist.
fn unix_path(_scale: Scale) -> Result<Verdict> {
    let host = Namespace::new()?;
    let folder = tempfile::tempdir()?;
    let mut figures = Figures::default();
    let path = folder.path().join("mode");
    for (umask, mode) in [(0o000, 0o666), (0o022, 0o666), (0o077, 0o666), (0o000, 0o600), (0o022, 0o660)] {
        let (server, early) = start_with_umask(&host, &path, umask, mode)?;
        let actual = fs::metadata(&path)?.permissions().mode() & 0o777;
        server.stop();
        let holds = actual == mode & !umask && early != Some(false) && !path.exists();
        figures.add(format!("{mode:03o} with umask {umask:03o}: {actual:03o}"), holds);
    }
    let target = folder.path().join("target");
    fs::write(&target, "kept")?;
    let [dangling, link, file, socket] =
        ["dangling-link", "link-to-a-file", "file", "socket-in-use"].map(|name| folder.path().join(name));
    symlink("nowhere", &dangling)?;
    symlink(&target, &link)?;
    fs::write(&file, "kept")?;
    let _listener = UnixListener::bind(&socket)?;
    for path in [dangling, link, file, socket] {
        let name = path.file_name().unwrap_or_default().display().to_string();
        figures.add(name, is_refused(&host, &path)?);
    }
    let path = folder.path().join("twice");
    let server = Server::start(&host, &[&unix(&path)])?;
    figures.add("second server", is_refused(&host, &path)?);
    // A file takes the place of the socket while the server runs.
    fs::rename(&path, folder.path().join("moved"))?;
    fs::write(&path, "kept")?;
    server.stop();
    figures.add("file in the socket's place", fs::read(&path).is_ok_and(|text| text == b"kept"));
    let path = folder.path().join("dead");
    drop(UnixListener::bind(&path)?);
    let server = Server::start(&host, &[&unix(&path)])?;
    let answered = Honest::run(&host, &unix(&path), 10)?.answered;
    server.stop();
    figures.add("dead socket replaced", answered == 10 && !path.exists());
    Ok(figures.verdict("five modes, with strace where it is installed, and seven occupied paths"))
}

/// Starts a server under a umask. The second value tells whether it set the mode before it bound
/// the path, or is `None` without strace(1).
fn start_with_umask(host: &Namespace, path: &Path, umask: u32, mode: u32) -> Result<(Server, Option<bool>)> {
    let trace = path.with_extension("trace");
    let has_strace = Path::new("/usr/bin/strace").exists();
    let mut command = host.command("sh");
    command.args(["-c", &format!("umask {umask:03o} && exec \"$@\""), "sh"]);
    if has_strace {
        // The grandchild traces, so that signals go to the server itself.
        command.args(["strace", "-D", "-f", "-qq", "-e", "trace=chmod,fchmod,fchmodat,bind", "-o"]);
        command.arg(&trace);
    }
    let endpoint = unix(path);
    command.arg(binary()).args(["serve", "--json", "--transcript", "off", "--unix-mode"]);
    command.args([&format!("{mode:o}"), &endpoint]);
    let server = Server::start_as(command, &[&endpoint])?;
    if !has_strace {
        return Ok((server, None));
    }
    let name = path.display().to_string();
    let mut calls = String::new();
    wait_until("the call of bind in the trace", || {
        calls = fs::read_to_string(&trace)?;
        Ok(calls.lines().any(|call| call.contains("bind(") && call.contains(&name)))
    })?;
    let mut after_bind = calls.lines().skip_while(|call| !(call.contains("bind(") && call.contains(&name)));
    let changes_mode_late = after_bind.any(|call| call.contains("chmod"));
    Ok((server, Some(!changes_mode_late)))
}

/// Returns whether a server refuses the path and does not change it.
fn is_refused(host: &Namespace, path: &Path) -> Result<bool> {
    let identity = |path: &Path| -> Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    };
    let before = identity(path)?;
    let done = run(host, &["serve", &unix(path)]);
    let is_named = done.stderr.contains("cannot bind");
    Ok(done.code == Some(2) && is_named && identity(path)? == before)
}

/// Row 23: peers of a netlink socket.
fn netlink(scale: Scale) -> Result<Verdict> {
    const SERVER: u32 = 777_777;
    let host = Namespace::new()?;
    let endpoint = format!("netlink://{SERVER}");
    let server = Server::start(&host, &[&endpoint])?;
    let mut figures = Figures::default();
    let to = Address::from(NetlinkAddress { port_id: SERVER, groups: 0 });
    let client = |port_id: u32| host.run(|| netlink_socket(port_id));
    for port_id in [1, 888_888] {
        let socket = client(port_id)?;
        socket.send_to(b"hello", &to)?;
        let mut reply = [0; 256];
        let len = socket.recv(&mut reply).context("no reply")?;
        figures.add(format!("port id {port_id} answered"), reply[..len].ends_with(b"hello"));
    }
    let socket = client(2)?;
    let group = Address::from(NetlinkAddress { port_id: SERVER, groups: 1 });
    socket.send_to(b"hello", &group)?;
    // What follows in the queue is answered after it.
    socket.send_to(b"unicast", &to)?;
    let mut reply = [0; 256];
    let len = socket.recv(&mut reply).context("no reply behind a multicast message")?;
    figures.add("no reply to a group", reply[..len].ends_with(b"unicast"));
    let group = server.counter("dropped.group")?;
    figures.add(format!("{group} to a group dropped"), group == 1);
    let long = vec![b'x'; 150_000];
    socket.send_to(&long, &to).context("cannot send 150,000 bytes")?;
    let mut reply = vec![0; 200_000];
    let len = socket.recv(&mut reply).context("no reply to 150,000 bytes")?;
    figures.add("150,000 bytes answered", reply[..len].ends_with(&long));
    let flood = client(3)?;
    let count = scale.pick(20_000, 1_000_000);
    flood.set_nonblocking(true)?;
    let queued = (0..count).filter(|_| flood.send_to(b"hello", &to).is_ok()).count();
    figures.add(format!("{queued} of {count} queued by a peer that never reads"), 0 < queued);
    let service = Honest::run(&host, &endpoint, 100)?;
    figures.add(
        format!("{} of {} answered afterwards", service.answered, service.sent),
        service.answered == 100,
    );
    let second = run(&host, &["serve", &endpoint]);
    figures.add(
        "second server at the port id",
        second.code == Some(2) && second.stderr.contains("Address already in use"),
    );
    server.check_alive()?;
    Ok(figures.verdict("chosen port ids, a group, a long message, a flood, a port id in use"))
}

fn netlink_socket(port_id: u32) -> Result<Socket> {
    let socket = Socket::new(Family::NETLINK, Type::RAW, Protocol::NETLINK_USERSOCK)?;
    socket.bind(Address::from(NetlinkAddress { port_id, groups: 0 }))?;
    socket.set_timeout(Some(echosounder_testkit::PATIENCE))?;
    Ok(socket)
}

/// Row 24: endpoints of families that this kernel does not have.
fn missing_families(_scale: Scale) -> Result<Verdict> {
    let host = Namespace::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("other");
    let mut figures = Figures::default();
    for (family, endpoint) in
        [(Family::TIPC, "tipc://40000:1?scope=node"), (Family::VSOCK, "vsock://local:0")]
    {
        if host.run(|| Socket::new(family, Type::STREAM, Protocol::DEFAULT)).is_ok() {
            continue;
        }
        let alone = run(&host, &["serve", endpoint]);
        let text = "Address family not supported";
        figures.add(
            format!("{endpoint} alone: {:?}", alone.code),
            alone.code == Some(1) && alone.stderr.contains(text),
        );
        // Two endpoints. Only one of them can listen.
        let mut command = host.command(binary());
        command.args(["serve", "--transcript", "off", endpoint, &unix(&path)]);
        let server = Server::start_text(command);
        let service = Honest::run(&host, &unix(&path), 10)?;
        let is_named = server.complaints().iter().any(|line| line.contains(text));
        server.stop();
        figures.add(format!("{} of 10 beside it", service.answered), service.answered == 10 && is_named);
    }
    if figures.is_empty() {
        return Ok(Verdict::absent("this kernel has TIPC and VSOCK"));
    }
    Ok(figures.verdict("a server on a family that this kernel lacks, alone and beside another"))
}

/// Returns the library of Debian's package `faketime`, which shows programs another time of day.
fn fake_clock() -> Result<Option<PathBuf>> {
    let libraries = fs::read_dir("/usr/lib")?.flatten();
    Ok(libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists()))
}

/// Row 25: wall clocks at the ends of their ranges.
fn clocks(_scale: Scale) -> Result<Verdict> {
    let Some(library) = fake_clock()? else {
        return Ok(Verdict::absent("libfaketime is not installed"));
    };
    let host = Namespace::new()?;
    let mut figures = Figures::default();
    // Timestamps begin with the year 1970.
    for (time, year) in [
        ("1969-12-31 23:59:00", "1970-"),
        ("2016-12-31 23:59:59", "201"),
        ("2038-01-19 03:14:06", "2038-"),
        ("2106-02-07 06:28:14", "2106-"),
        ("2262-04-11 23:47:15", "2262-"),
    ] {
        let endpoint = "tcp://127.0.0.1:21567";
        let mut command = host.command("env");
        command.arg(format!("LD_PRELOAD={}", library.display())).arg(format!("FAKETIME=@{time}"));
        command.args(["FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "TZ=:nowhere"]);
        command.arg(binary()).args(["serve", "--json", "--transcript", "off", endpoint]);
        let server = Server::start_as(command, &[endpoint])?;
        let service = Honest::run(&host, endpoint, 200)?;
        let shown = server.summary()?["time"].as_str().unwrap_or_default().to_owned();
        server.stop();
        figures.add(
            format!("{} of 200 at {shown}", service.answered),
            service.answered == 200 && shown.starts_with(year),
        );
    }
    Ok(figures.verdict(
        "a client with the right time, servers with these times, in a time zone that does not exist",
    ))
}

/// Values that no option accepts.
const BAD_ARGUMENTS: [&[&str]; 14] = [
    &["ping", "-c", "-1", "127.0.0.1"],
    &["ping", "-c", "1", "127.0.0.1:0"],
    &["ping", "-s", "99999999999", "127.0.0.1"],
    &["ping", "-i", "nan", "127.0.0.1"],
    &["load", "-r", "0", "127.0.0.1"],
    &["load", "-r", "18446744073709551615", "127.0.0.1"],
    &["load", "-c", "0", "127.0.0.1"],
    &["talk", "tcp://[::1:1"],
    &["talk", "127.0.0.1:65536"],
    &["serve", "tcp://127.0.0.1:65536"],
    &["serve", "tcp://127.0.0.1:-1"],
    &["serve", "netlink://4294967296"],
    &["serve", "--max-connections", "0"],
    &["serve", "--idle-timeout", "99999999999999999999"],
];

/// Row 26: bad values, and a client whose only local port is the port that it connects to.
fn arguments(scale: Scale) -> Result<Verdict> {
    let host = Namespace::new()?;
    let mut figures = Figures::default();
    for arguments in BAD_ARGUMENTS {
        let done = run(&host, arguments);
        if done.code != Some(2) || !done.stderr.starts_with("sounder: ") {
            figures.add(format!("{}: {:?}", arguments.join(" "), done.code), false);
        }
    }
    figures.add(format!("{} bad values tried", BAD_ARGUMENTS.len()), true);
    host.sysctl("ipv4/ip_local_port_range", "40000 40000")?;
    // The only port must be free again after each connection.
    host.sysctl("ipv4/tcp_max_tw_buckets", "0")?;
    let count = scale.pick(20, 5000);
    for endpoint in ["tcp://127.0.0.1:40000", "udp://127.0.0.1:40000"] {
        let is_refused = |_: &usize| {
            let done = run(&host, &["ping", "-c", "1", endpoint]);
            done.code == Some(1) && done.stderr.contains("the connection led to itself")
        };
        let refused = (0..count).filter(is_refused).count();
        figures.add(format!("{endpoint}: {refused} of {count} refused"), refused == count);
    }
    Ok(figures.verdict("values out of range, and a namespace with one local port"))
}

/// Row 29: the default sandbox of a server.
fn sandbox(_scale: Scale) -> Result<Verdict> {
    let host = Namespace::new()?;
    let folder = tempfile::tempdir()?;
    let [stream, datagrams] = ["stream", "datagrams"].map(|name| folder.path().join(name));
    let endpoints = [
        "tcp://127.0.0.1:21567".to_owned(),
        "udp://127.0.0.1:21567".to_owned(),
        unix(&stream),
        format!("unix-dgram:{}", datagrams.display()),
    ];
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let server = Server::start(&host, &[&["--workers", "2"], &endpoints[..]].concat())?;
    let mut figures = Figures::default();
    for &endpoint in &endpoints {
        let answered = Honest::run(&host, endpoint, 100)?.answered;
        figures.add(format!("{answered} of 100 answered"), answered == 100);
    }
    let (threads, locked) = locked_threads(server.pid())?;
    figures.add(format!("{locked} of {threads} threads locked in"), 2 <= threads && locked == threads);
    let is_socket = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    ensure!(is_socket(&stream) && is_socket(&datagrams), "a path is missing");
    let code = server.stop();
    figures.add(format!("exit status {code:?}"), code == Some(0));
    figures.add("paths removed", !stream.exists() && !datagrams.exists());
    let open = Server::start(&host, &["--no-sandbox", endpoints[0]])?;
    let (threads, locked) = locked_threads(open.pid())?;
    figures.add(format!("{locked} of {threads} threads with --no-sandbox"), locked == 0);
    Ok(figures.verdict("100 requests on each of four transports, and the status of every thread"))
}

/// Returns the number of a process's threads, and of those with a seccomp filter and without a way
/// to more privileges: proc_pid_status(5).
fn locked_threads(pid: u32) -> Result<(usize, usize)> {
    let mut counts = (0, 0);
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the server has ended")? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        counts.0 += 1;
        // The value 2 is SECCOMP_MODE_FILTER.
        counts.1 += usize::from(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"));
    }
    Ok(counts)
}
