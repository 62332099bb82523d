//! Crowds of connections: peers that never read, that are idle, slow, gone, or that reset.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use echosounder_socket::{Address, Family, Protocol, Socket, Type, option};
use echosounder_testkit::{PATIENCE, Random};

use crate::command::output;
use crate::faults::frame;
use crate::faults::lab::{LINK, Lab, Namespace, PEER_MAC, PORT, SERVER, SERVER_MAC, server_address};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::{Honest, Server, binary, kernel_memory, wait_until};
use crate::faults::wire::Wire;

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        9,
        "never-reading",
        "memory grows by 64 MiB at most, the kernel keeps 160 KiB per connection, a ping's p99 stays within \
         twice its baseline, all are closed 5 s after the timeout",
        never_reading,
    ),
    Row::new(
        10,
        "idle",
        "4 KiB per idle connection at most, closed at the timeout ± 1 s, slow senders live, a ping's p99 \
         stays within twice its baseline",
        idle,
    ),
    Row::new(
        11,
        "resets",
        "the descriptors are back within 1 s, memory grows by 4 MiB at most, the next 1,000 are served",
        resets,
    ),
    Row::new(12, "half-open", "all are closed within 60 s, a ping is answered meanwhile", half_open).beside(),
    Row::new(
        13,
        "descriptors",
        "5 % of a core at most, UDP and old connections served, a newcomer within 1 s after the release, at \
         most one line per 10 s",
        descriptors,
    ),
    Row::new(
        14,
        "syn-flood",
        "a ping loses nothing, its p99 stays within five times its baseline",
        syn_flood,
    ),
];

/// The addresses of a crowd. A server may limit the connections of each.
const CROWD: u8 = 200;

/// Gives the peer the addresses of a crowd.
fn add_crowd(lab: &Lab) -> Result<()> {
    let lines = (1..=CROWD).map(|host| format!("addr add 10.99.1.{host}/16 dev {LINK}\n"));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), lines.collect::<String>())?;
    output(lab.peer.command("ip").arg("-batch").arg(file.path()))?;
    Ok(())
}

/// Connects one of the crowd, by its number, to the server.
fn connect(index: usize) -> Result<TcpStream> {
    let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    let host = u8::try_from(index % usize::from(CROWD))? + 1;
    socket.set_option(option::IP_BIND_ADDRESS_NO_PORT, true)?;
    socket.bind(Address::from(SocketAddr::from(([10, 99, 1, host], 0))))?;
    socket.set_timeout(Some(PATIENCE))?;
    socket.connect(Address::from(server_address())).context("one of the crowd cannot connect")?;
    // A timeout of the socket type means non-blocking mode, which std does not expect.
    socket.set_timeout(None)?;
    Ok(TcpStream::from(socket.into_fd()))
}

/// Connects a crowd from the peer's host.
fn crowd(lab: &Lab, count: usize) -> Result<Vec<TcpStream>> {
    lab.peer.run(|| (0..count).map(connect).collect())
}

/// Counts the connections of a crowd that the server has closed.
fn closed(streams: &[TcpStream]) -> usize {
    let mut byte = [0; 1];
    let is_closed = |stream: &&TcpStream| {
        let _ = stream.set_nonblocking(true);
        match stream.peek(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    };
    streams.iter().filter(is_closed).count()
}

/// Row 9: peers that send until they are blocked and never read.
fn never_reading(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    add_crowd(&lab)?;
    let count = scale.pick(300, 9000);
    let timeout = scale.pick(Duration::from_secs(8), Duration::from_secs(45));
    let endpoint = format!("tcp://{SERVER}:{PORT}");
    let stall = format!("{}s", timeout.as_secs());
    let server = Server::start(&lab.server, &["--stall-timeout", &stall, &endpoint])?;
    let baseline = Honest::run(&lab.peer, &endpoint, 1000)?.p99.context("no baseline")?;
    let before = server.rss_kib()?;
    let mut streams = crowd(&lab, count)?;
    // The latency of a server that nobody attacks shows how much the machine itself is loaded.
    let spared_endpoint = format!("tcp://{SERVER}:{}", PORT + 1);
    let spared_server = Server::start(&lab.server, &[&spared_endpoint])?;
    let pings = scale.pick(2000, 10_000);
    let honest = Honest::start(&lab.peer, &endpoint, pings);
    let spared = Honest::start(&lab.peer, &spared_endpoint, pings);
    let start = Instant::now();
    let (message, mut kernel, mut growth) = (vec![b'x'; 64 << 10], 0, 0);
    // Until nothing moves in two rounds: then every peer is blocked.
    let mut quiet = 0;
    while quiet < 2 && start.elapsed() < timeout {
        let mut sent = 0;
        for stream in &mut streams {
            stream.set_nonblocking(true)?;
            sent += push(stream, &message);
        }
        quiet = if sent == 0 { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(100));
        kernel = kernel.max(kernel_memory(&lab.server, PORT)?);
        growth = growth.max(server.rss_kib()?.saturating_sub(before));
    }
    let blocked = start.elapsed();
    let honest = honest.finish()?;
    let p99 = honest.p99.context("no reply")?;
    let spared = spared.finish()?.p99.context("no reply")?;
    spared_server.stop();
    let limit = timeout + Duration::from_secs(5);
    wait_until_closed(&server, start + blocked + limit + PATIENCE)?;
    let all_closed = start.elapsed().saturating_sub(blocked);
    drop(streams);
    server.check_alive()?;
    let mut figures = Figures::default();
    figures.add(format!("memory +{growth} KiB"), growth <= 64 << 10);
    figures.add(format!("kernel {} KiB per connection", kernel >> 10), kernel <= 160 << 10);
    figures.add(
        format!("p99 {baseline:?} → {p99:?}, of another server {spared:?}"),
        p99 <= scale.p99_max(baseline),
    );
    figures.add(
        format!("{} of {} pings answered", honest.answered, honest.sent),
        honest.answered == honest.sent,
    );
    // The last peer stops reading before it is blocked, and a busy machine is late.
    let text = format!("all closed {all_closed:.1?} after the last was blocked, timeout {timeout:?}");
    figures.add(text, all_closed <= limit);
    Ok(figures.verdict(format!("{count} peers that send until they are blocked and never read")))
}

/// Sends as much as the kernel takes, and returns how much.
fn push(stream: &mut TcpStream, message: &[u8]) -> usize {
    let mut sum = 0;
    while let Ok(len @ 1..) = stream.write(message) {
        sum += len;
    }
    sum
}

/// Waits until the server has no connection. The peers may notice later, since a kernel without TCP
/// memory loses resets.
fn wait_until_closed(server: &Server, deadline: Instant) -> Result<()> {
    loop {
        let open = server.counter("connected_now")?;
        if open == 0 {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{open} connections are still open");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Row 10: idle peers and peers that send a byte now and then.
fn idle(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    add_crowd(&lab)?;
    let count = scale.pick(1000, 9000);
    let timeout = scale.pick(Duration::from_secs(8), Duration::from_secs(30));
    let endpoint = format!("tcp://{SERVER}:{PORT}");
    let server =
        Server::start(&lab.server, &["--idle-timeout", &format!("{}s", timeout.as_secs()), &endpoint])?;
    let baseline = Honest::run(&lab.peer, &endpoint, 1000)?.p99.context("no baseline")?;
    let before = server.rss_kib()?;
    let mut slow = crowd(&lab, count / 2)?;
    let first = Instant::now();
    let idle = crowd(&lab, count / 2)?;
    let last = Instant::now();
    wait_until("the crowd is accepted", || Ok(server.counter("connected_now")? >= count as u64))?;
    let per_connection = server.rss_kib()?.saturating_sub(before) * 1024 / count as u64;
    let honest = Honest::start(&lab.peer, &endpoint, scale.pick(2000, 10_000));
    let (mut first_closed, mut all_closed) = (None, None);
    let (sending, mut sent) = (Instant::now(), 0);
    while all_closed.is_none() && last.elapsed() < timeout + PATIENCE {
        // Each sends four times within the timeout, one after the other.
        let turns = sending.elapsed().as_secs_f64() / (timeout / 4).as_secs_f64();
        while (sent as f64) < turns * slow.len() as f64 {
            let index = sent % slow.len();
            slow[index].set_nonblocking(true)?;
            let _ = slow[index].write(b"x");
            sent += 1;
        }
        let gone = closed(&idle);
        if 0 < gone {
            first_closed.get_or_insert_with(|| first.elapsed());
        }
        if gone == idle.len() {
            all_closed = Some(last.elapsed());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let honest = honest.finish()?;
    let p99 = honest.p99.context("no reply")?;
    let lost = closed(&slow);
    server.check_alive()?;
    let mut figures = Figures::default();
    figures.add(format!("{per_connection} bytes per connection"), per_connection <= 4096);
    let is_timely = |closed: Option<Duration>| {
        closed.is_some_and(|closed| {
            closed.abs_diff(timeout) <= scale.pick(Duration::from_secs(3), Duration::from_secs(1))
        })
    };
    figures.add(
        format!(
            "closed after {:.1?} to {:.1?}, timeout {timeout:?}",
            first_closed.unwrap_or_default(),
            all_closed.unwrap_or_default()
        ),
        is_timely(first_closed) && is_timely(all_closed),
    );
    figures.add(format!("{lost} of {} slow senders closed", slow.len()), lost == 0);
    figures.add(format!("p99 {baseline:?} → {p99:?}"), p99 <= scale.p99_max(baseline));
    Ok(figures.verdict(format!("{} idle peers and {} that send a byte now and then", idle.len(), slow.len())))
}

/// Row 11: connections that are reset at random points of an exchange.
fn resets(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    add_crowd(&lab)?;
    let endpoint = format!("tcp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &[&endpoint])?;
    Honest::run(&lab.peer, &endpoint, 100)?;
    let count = scale.pick(10_000, 200_000);
    let (descriptors, before) = (server.descriptors()?, server.rss_kib()?);
    let failed = AtomicU64::new(0);
    let threads = 32;
    thread::scope(|scope| {
        for thread in 0..threads {
            let (lab, failed) = (&lab, &failed);
            scope.spawn(move || {
                lab.peer.enter();
                let mut random = Random::new(thread);
                for _ in 0..count / threads {
                    if reset(&mut random).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let ended = Instant::now();
    wait_until("descriptors are back", || Ok(server.descriptors()? <= descriptors))?;
    let back = ended.elapsed();
    let growth = server.rss_kib()?.saturating_sub(before);
    let served = lab.peer.run(|| (0..1000).filter(|&index| is_served(index)).count());
    server.check_alive()?;
    let mut figures = Figures::default();
    let slack = scale.pick(Duration::from_secs(4), Duration::ZERO);
    figures.add(format!("descriptors back after {back:.2?}"), back <= Duration::from_secs(1) + slack);
    figures.add(format!("memory +{growth} KiB"), growth <= 4096);
    figures.add(format!("{served} of 1,000 served afterwards"), served == 1000);
    let failed = failed.into_inner();
    Ok(figures
        .verdict(format!("{count} connections reset at random points, {threads} at a time, {failed} failed")))
}

/// Connects, gets to a random point of an exchange, and resets the connection.
fn reset(random: &mut Random) -> Result<()> {
    let mut stream = connect(usize::try_from(random.below(1 << 20))?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let point = random.below(4);
    if 1 <= point {
        stream.write_all(&vec![b'x'; usize::try_from(random.below(20_000))? + 1])?;
    }
    if 2 <= point {
        let len = usize::try_from(random.below(20))? + 1;
        stream.read_exact(&mut vec![0; len])?;
    }
    // SO_LINGER with zero seconds makes close send RST.
    let socket = Socket::from_fd(stream.into())?;
    socket.set_option(option::SO_LINGER, Some(Duration::ZERO))?;
    Ok(())
}

/// Returns whether one of the crowd gets a reply.
fn is_served(index: usize) -> bool {
    let exchange = || -> Result<()> {
        let mut stream = connect(index)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"hello")?;
        stream.read_exact(&mut [0; 5])?;
        Ok(())
    };
    exchange().is_ok()
}

/// Row 12: peers that vanish without a packet.
fn half_open(scale: Scale) -> Result<Verdict> {
    if output(std::process::Command::new("nft").arg("--version")).is_err() {
        return Ok(Verdict::absent("nft is not installed"));
    }
    let lab = Lab::new()?;
    add_crowd(&lab)?;
    let count = scale.pick(200, 1000);
    let endpoint = format!("tcp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &[&endpoint])?;
    let mut streams = crowd(&lab, count)?;
    // Half of them have a reply under way that they will not acknowledge.
    for stream in &mut streams {
        stream.write_all(b"hello")?;
        stream.read_exact(&mut [0; 5])?;
    }
    drop_crowd(&lab.server)?;
    let start = Instant::now();
    let honest = Honest::run(&lab.peer, &endpoint, 2000)?;
    let mut left = count as u64;
    while left != 0 && start.elapsed() < Duration::from_secs(90) {
        thread::sleep(Duration::from_millis(200));
        left = server.counter("connected_now")?;
    }
    let reaped = start.elapsed();
    server.check_alive()?;
    let mut figures = Figures::default();
    let slack = scale.pick(Duration::from_secs(3), Duration::ZERO);
    figures.add(
        format!("{left} left after {reaped:.1?}"),
        left == 0 && reaped <= Duration::from_secs(60) + slack,
    );
    figures.add(
        format!("{} of {} pings answered", honest.answered, honest.sent),
        honest.answered == honest.sent,
    );
    Ok(figures.verdict(format!("{count} peers whose packets are all dropped from one moment on")))
}

/// Drops all packets from and to the crowd.
fn drop_crowd(namespace: &Namespace) -> Result<()> {
    let rules = "table ip t {\n\
                 chain i { type filter hook input priority 0; ip saddr 10.99.1.0/24 drop; }\n\
                 chain o { type filter hook output priority 0; ip daddr 10.99.1.0/24 drop; }\n}";
    output(namespace.command("nft").arg(rules))?;
    Ok(())
}

/// Row 13: no descriptors left.
fn descriptors(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    add_crowd(&lab)?;
    let span = scale.pick(Duration::from_secs(4), Duration::from_secs(10));
    let endpoints = [format!("tcp://{SERVER}:{PORT}"), format!("udp://{SERVER}:{PORT}")];
    let mut figures = Figures::default();
    for lowered in [false, true] {
        let mut command = lab.server.command("prlimit");
        command.arg("--nofile=64:64").arg(binary()).args(["serve", "--json", "--transcript", "off"]);
        command.args(&endpoints);
        let server = Server::start_as(command, &[&endpoints[0], &endpoints[1]])?;
        let old = Honest::start(&lab.peer, &endpoints[0], u64::try_from(span.as_millis())?);
        wait_until("the old connection", || Ok(server.counter("connections")? == 1))?;
        if lowered {
            // Below what the server counts on, so that accept fails.
            let pid = server.pid().to_string();
            let limit = format!("--nofile={0}:{0}", server.descriptors()? + 8);
            output(lab.server.command("prlimit").args(["--pid", &pid, &limit]))?;
        }
        let held = crowd(&lab, 200)?;
        let (start, cpu) = (Instant::now(), server.cpu()?);
        thread::sleep(span);
        let share = 100.0 * (server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
        let udp = Honest::run(&lab.peer, &endpoints[1], 100)?;
        let old = old.finish()?;
        drop(held);
        let released = Instant::now();
        let is_new_served = lab.peer.run(|| is_served(0));
        let wait = released.elapsed();
        server.check_alive()?;
        let complaints = server.complaints().len();
        let mode = if lowered { "limit lowered under it" } else { "limit 64" };
        figures.add(format!("{mode}: {share:.1} % of a core"), share <= scale.pick(10.0, 5.0));
        let served = udp.answered == udp.sent && old.answered == old.sent;
        let text = format!("udp {} of {}, old peer {} of {}", udp.answered, udp.sent, old.answered, old.sent);
        figures.add(text, served);
        let slack = scale.pick(Duration::from_secs(2), Duration::ZERO);
        figures.add(
            format!("newcomer after {wait:.2?}"),
            is_new_served && wait <= Duration::from_secs(1) + slack,
        );
        figures.add(format!("{complaints} lines"), complaints <= 3);
        server.stop();
    }
    Ok(figures
        .verdict(format!("200 connections held for {} s by a server that can have fewer", span.as_secs())))
}

/// Row 14: connection requests from random sources that never go on.
fn syn_flood(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let endpoint = format!("tcp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &[&endpoint])?;
    let baseline = Honest::run(&lab.peer, &endpoint, 1000)?.p99.context("no baseline")?;
    let before = server.rss_kib()?;
    let span = scale.pick(Duration::from_secs(3), Duration::from_secs(10));
    let honest = Honest::start(&lab.peer, &endpoint, u64::try_from(span.as_millis())?);
    let wire = Wire::open(&lab.peer)?;
    let mut random = Random::new(3);
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < span {
        let frames: Vec<Vec<u8>> = (0..256).map(|_| random_syn(&mut random)).collect();
        wire.send(&frames)?;
        sent += frames.len();
    }
    let honest = honest.finish()?;
    let p99 = honest.p99.context("no reply")?;
    let growth = server.rss_kib()?.saturating_sub(before);
    server.check_alive()?;
    let mut figures = Figures::default();
    figures.add(
        format!("{} of {} pings answered", honest.answered, honest.sent),
        honest.answered == honest.sent,
    );
    figures.add(format!("p99 {baseline:?} → {p99:?}"), p99 <= 5 * scale.p99_max(baseline) / 2);
    figures.add(format!("memory +{growth} KiB"), growth <= 1024);
    Ok(figures.verdict(format!("{sent} SYN from random sources in {} s", span.as_secs())))
}

fn random_syn(random: &mut Random) -> Vec<u8> {
    let [a, b, c, d, e, f, g, h] = random.next_u64().to_ne_bytes();
    let source = Ipv4Addr::new(a % 200 + 11, b, c, d);
    let from = SocketAddr::from((source, u16::from_ne_bytes([e, f]) | 0x8000));
    let sequence = u32::from_ne_bytes([e, f, g, h]);
    frame::ethernet(PEER_MAC, SERVER_MAC, &frame::syn(from, server_address(), sequence))
}
