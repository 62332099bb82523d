//! Datagrams of extreme lengths, forged ICMP errors, and floods of the transcript.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Family, Protocol, Socket, Type, option};
use echosounder_testkit::{PATIENCE, Program, Random};

use crate::faults::frame;
use crate::faults::lab::{LINK, Lab, PEER, PEER_MAC, PORT, SERVER, SERVER_MAC, server_address};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::{Honest, Server, binary};
use crate::faults::wire::{Wire, forged};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        7,
        "lengths",
        "every request is answered, none ends a socket, an empty one costs no more than another",
        lengths,
    ),
    Row::new(8, "icmp", "no reply is lost, the server and the clients go on", icmp_errors),
    Row::new(
        20,
        "transcript",
        "nothing is printed about a random packet by default; with a transcript no control byte, and at most \
         64 KiB per second after a burst",
        transcript,
    ),
];

/// A request whose reply is not longer than itself.
const PLACEHOLDER: &[u8] = b"[0000000000000000000 0000000000000000000] ";

/// Row 7: empty, longest, and too long datagrams.
fn lengths(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    // Empty requests have longer replies, which the limits for remote hosts would drop.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("server");
    let endpoints = [format!("udp://127.0.0.1:{PORT}"), format!("unix-dgram:{}", path.display())];
    let server = Server::start(&lab.server, &["--workers", "1", &endpoints[0], &endpoints[1]])?;
    let descriptors = server.descriptors()?;
    let mut figures = Figures::default();
    let count = scale.pick(10_000, 100_000);
    let mut costs = Vec::new();
    for (name, request) in [("empty", &b""[..]), ("64 bytes", &[b'x'; 64])] {
        let before = server.cpu()?;
        let answered = lab.server.run(|| exchanges(request, count))?;
        let cost = (server.cpu()? - before) / u32::try_from(count)?;
        costs.push(cost);
        figures
            .add(format!("{name}: {answered} of {count} answered, {cost:?} of CPU each"), answered == count);
    }
    // The clock of the kernel counts CPU time in hundredths of a second.
    let slack = Duration::from_millis(30) / u32::try_from(count)? + costs[1] / 2;
    figures.add("empty against 64 bytes", costs[0] <= costs[1] + slack);
    let longest = [PLACEHOLDER, &vec![b'x'; 65_507 - PLACEHOLDER.len()]].concat();
    let answered = lab.server.run(|| exchanges(&longest, 3))?;
    figures.add(format!("65,507 bytes: {answered} of 3"), answered == 3);
    // The sockets, before the server keeps those of its UNIX peers to reply to.
    figures.add("the same sockets", server.descriptors()? == descriptors);
    let client = Socket::new(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
    client.bind(Address::from(UnixName::path(folder.path().join("client"))))?;
    client.set_option(option::SO_SNDBUFFORCE, 1 << 20)?;
    let client = UnixDatagram::from(client.into_fd());
    client.send_to(&vec![b'x'; 300_000], &path).context("cannot send 300,000 bytes")?;
    client.send_to(b"next", &path)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.recv(&mut [0; 64]).context("no reply behind a datagram that was too long")?;
    let truncated = server.counter("dropped.truncated")?;
    figures.add(format!("300,000 bytes on a UNIX socket: {truncated} truncated"), truncated == 1);
    server.check_alive()?;
    Ok(figures.verdict(format!("{count} requests each, in windows of 32")))
}

/// Sends requests in windows to a server on loopback and returns how many were answered.
fn exchanges(request: &[u8], count: usize) -> io::Result<usize> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", PORT))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let window = if 1000 < request.len() { 1 } else { 32 };
    let mut buffer = vec![0; 65_536];
    let mut answered = 0;
    for start in (0..count).step_by(window) {
        let window = window.min(count - start);
        for _ in 0..window {
            socket.send(request)?;
        }
        for _ in 0..window {
            match socket.recv(&mut buffer) {
                Ok(_) => answered += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answered),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(answered)
}

/// The ICMP errors that are forged: type, code, MTU, and what it means.
const ICMP_ERRORS: [(u8, u8, u16, &str); 3] =
    [(3, 3, 0, "port unreachable"), (3, 1, 0, "host unreachable"), (3, 4, 552, "fragmentation needed")];

/// Row 8: forged ICMP errors to the server and to the clients.
fn icmp_errors(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let endpoint = format!("udp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &[&endpoint])?;
    let (to_server, to_peer) = (Wire::open(&lab.peer)?, Wire::open(&lab.server)?);
    let mut figures = Figures::default();
    let count = scale.pick(1000_u64, 4000);
    let interval = Duration::from_millis(10);
    for (kind, code, mtu, name) in ICMP_ERRORS {
        let honest = Honest::start(&lab.peer, &endpoint, count);
        let client = SocketAddr::new(PEER.into(), honest.local()?.port());
        let forge = |from: SocketAddr, to: SocketAddr| {
            // About a packet from `from` to `to`, as if by `to`, for `from`.
            let about = frame::udp(from, to, b"x");
            frame::icmp_error(to.ip(), from.ip(), kind, code, mtu, &about)
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(count) {
            to_server.send(&[frame::ethernet(PEER_MAC, SERVER_MAC, &forge(server_address(), client))])?;
            to_peer.send(&[frame::ethernet(SERVER_MAC, PEER_MAC, &forge(client, server_address()))])?;
            thread::sleep(interval);
        }
        let honest = honest.finish().with_context(|| format!("ping with {name}"))?;
        server.check_alive()?;
        let text = format!("{name}: {} of {} pings answered", honest.answered, honest.sent);
        figures.add(text, honest.answered == honest.sent && honest.sent == count);
    }
    // A load's ports are not known, so all get errors that may have a port: those of its connection.
    let mut load = lab.peer.command(binary());
    load.args(["load", "--json", "-c", "1", "--depth", "1", "-d", "2", "--warm-up", "0", &endpoint]);
    let load = Program::start(&mut load);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        for client in clients(&lab)? {
            let about = frame::udp(client, server_address(), b"x");
            let error = frame::icmp_error(SERVER.into(), PEER.into(), 3, 4, 552, &about);
            to_peer.send(&[frame::ethernet(SERVER_MAC, PEER_MAC, &error)])?;
        }
        thread::sleep(interval);
    }
    let done = load.wait();
    let lines = done.objects();
    let result = lines.iter().find(|line| line["event"] == "result").context("load has no result")?;
    let (lost, errors) = (&result["lost"], &result["network_errors"]);
    figures
        .add(format!("load with fragmentation needed: {lost} lost, {errors} errors"), done.code == Some(0));
    server.check_alive()?;
    Ok(figures.verdict("100 forged errors per second to both sides of a ping of 1,000 per second"))
}

/// Returns the addresses of connected UDP sockets of the peer's host.
fn clients(lab: &Lab) -> Result<Vec<SocketAddr>> {
    let table = crate::command::output(lab.peer.command("ss").args(["-unHa", "state", "established"]))?;
    let ports = table.lines().filter_map(|line| {
        // Receive queue, send queue, local address and port.
        line.split_whitespace().nth(2)?.rsplit(':').next()?.parse::<u16>().ok()
    });
    Ok(ports.map(|port| SocketAddr::new(IpAddr::from(PEER), port)).collect())
}

/// Row 20: floods of the log, with bytes that control terminals.
fn transcript(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let endpoint = format!("udp://{SERVER}:{PORT}");
    let span = scale.pick(Duration::from_secs(3), Duration::from_secs(20));
    let mut figures = Figures::default();
    for mode in ["auto", "peers", "messages", "json"] {
        let mut command = lab.server.command(binary());
        command.args(["serve", "--transcript", if mode == "json" { "messages" } else { mode }]);
        if mode == "json" {
            command.arg("--json");
        }
        command.arg(&endpoint);
        let server = Server::start_text(command);
        let sent = flood(&lab, span)?;
        server.check_alive()?;
        let output = server.output();
        let rate = output.len() as u64 * 1000 / u64::try_from(span.as_millis())?;
        let is_control = |&&byte: &&u8| byte != b'\n' && (byte < b' ' || byte == 0x7f);
        let controls = output.iter().filter(is_control).count();
        let complaints = server.complaints().len();
        let limit = if mode == "auto" { 0 } else { 128 << 10 };
        let text = format!(
            "{mode}: {} KiB/s of {sent} datagrams, {controls} control bytes, {complaints} lines on standard error",
            rate >> 10
        );
        figures.add(text, rate <= limit && controls == 0 && complaints <= 3);
        // The next server has the same address.
        server.stop();
    }
    Ok(figures.verdict(format!(
        "floods of random bytes and escape sequences, {} s each, on {LINK}",
        span.as_secs()
    )))
}

/// Sends datagrams with control sequences from many sources, and returns how many.
fn flood(lab: &Lab, span: Duration) -> Result<u64> {
    let wire = Wire::open(&lab.peer)?;
    let mut random = Random::new(5);
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < span {
        let frames: Vec<Vec<u8>> = (0..256)
            .map(|_| {
                let noise: Vec<u8> = (0..4).flat_map(|_| random.next_u64().to_le_bytes()).collect();
                let payload = [PLACEHOLDER, b"\x1b]0;title\x07\x1b[2J\r\x9b6n\xe2\x80\xae", &noise].concat();
                let [a, b, c, ..] = random.next_u64().to_ne_bytes();
                forged(([10, 99, a, b], 0x8000 | u16::from(c)).into(), server_address(), &payload)
            })
            .collect();
        wire.send(&frames)?;
        sent += frames.len() as u64;
    }
    Ok(sent)
}
