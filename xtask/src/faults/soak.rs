//! The server under a steady load on all transports, with faults at a low rate.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use echosounder_socket::{Socket, option};
use echosounder_testkit::{Finished, Program, Random};

use crate::faults::lab::{Lab, Namespace, PORT, server_address};
use crate::faults::relay::{Path, Relay};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::{Server, binary};

pub(crate) const ROWS: &[Row] = &[Row::new(
    28,
    "soak",
    "memory grows by 1 MiB per hour at most, all descriptors are closed afterwards, no wrong reply, no \
     request lost that the kernel did not drop",
    soak,
)];

/// Messages per second on each transport: together about a fifth of what two cores can do.
const RATE: &str = "1000";

/// How often the memory and the descriptors are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Datagrams that fill the receive buffers of the server before the memory is measured.
const WARM_UP: u64 = 100_000;

/// How long descriptors of connections may stay open whose peers' last packets were lost: the server
/// gives up such peers after 60 seconds.
const CLOSING_MAX: Duration = Duration::from_secs(75);

/// Row 28: load on all transports, while other peers reset, send odd datagrams, and use a bad path.
fn soak(scale: Scale) -> Result<Verdict> {
    let (lab, middle) = Lab::with_middle()?;
    let bad = Path { lost: 20, duplicated: 20, held: 20, damaged: 10, seed: 28, ..Path::default() };
    let relay = Relay::start(&middle, bad)?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let endpoints = [
        format!("tcp://:{PORT}"),
        format!("udp://:{PORT}"),
        "mptcp://127.0.0.1:7000".to_owned(),
        format!("unix:{}", path("stream")),
        format!("unix-dgram:{}", path("datagram")),
        format!("unix-seqpacket:{}", path("seqpacket")),
    ];
    let arguments: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let server = Server::start(&lab.server, &arguments)?;
    lab.server.run(warm_up)?;
    let descriptors = server.descriptors()?;
    let full = full_buffers(&lab.server)?;
    let span = Duration::from_secs(60 * scale.minutes);
    let loads = endpoints.each_ref().map(|endpoint| (endpoint, start_load(&lab.server, endpoint, span)));
    let (stop, faults) = (AtomicBool::new(false), AtomicU64::new(0));
    let samples = thread::scope(|scope| {
        scope.spawn(|| faulty_peers(&lab, &stop, &faults));
        let samples = sample(&server, span);
        stop.store(true, Ordering::Relaxed);
        samples
    })?;
    let mut figures = Figures::default();
    let mut answered = 0;
    for (endpoint, load) in loads {
        let done = load.wait();
        answered += add_load(&mut figures, endpoint, &done, full_buffers(&lab.server)? - full)?;
    }
    figures.add(format!("{answered} replies, all right"), 0 < answered);
    let growth = samples.kib_last.saturating_sub(samples.kib_first);
    let per_hour = growth * 3600 / (span.as_secs() / 2).max(1);
    // A page here and there is no slope.
    figures.add(format!("memory +{growth} KiB, {per_hour} KiB/h"), per_hour <= 1024 || growth <= 128);
    let open = open_after(&server, descriptors)?;
    let text = format!("{descriptors} descriptors before, at most {} meanwhile, {open} after", samples.most);
    figures.add(text, open <= descriptors);
    relay.stop()?;
    server.check_alive()?;
    let faults = faults.into_inner();
    Ok(figures.verdict(format!(
        "{} minutes, {} transports at {RATE}/s, {faults} faults",
        scale.minutes,
        endpoints.len()
    )))
}

/// Sends datagrams of all lengths as fast as possible. Each receive buffer of the server takes memory
/// when a large datagram arrives in it for the first time, which at the rate of the faults would go
/// on for hours. Their number is fixed.
fn warm_up() -> Result<()> {
    let sockets: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut random = Random::new(28);
    let bytes = vec![b'x'; 65_507];
    for round in 0..WARM_UP {
        let len = if random.below(16) == 0 { bytes.len() } else { 64 };
        let socket = &sockets[usize::try_from(round / 16)? % sockets.len()];
        // The kernel refuses some when its buffers are full.
        let _ = socket.send_to(&bytes[..len], ("127.0.0.1", PORT));
    }
    Ok(())
}

fn start_load(namespace: &Namespace, endpoint: &str, span: Duration) -> Program {
    let target = endpoint.replace("//:", "//127.0.0.1:");
    let mut command = namespace.command(binary());
    command.args(["load", "--json", "-c", "4", "-r", RATE, "-d", &span.as_secs().to_string(), &target]);
    Program::start(&mut command)
}

/// Adds what a load has found, and returns the number of replies. `full` is the number of datagrams
/// that the kernel has dropped because a receive buffer was full. A busy machine lets the buffers of
/// the server or of the load fill, so such a loss is reported and no failure.
fn add_load(figures: &mut Figures, endpoint: &str, done: &Finished, full: u64) -> Result<u64> {
    let lines = done.objects();
    let result = lines.iter().find(|line| line["event"] == "result").with_context(|| done.stderr.clone())?;
    let number = |key: &str| result[key].as_u64().unwrap_or(0);
    let (lost, wrong) = (number("lost"), number("unexpected"));
    if lost + wrong != 0 {
        let dropped = if endpoint.starts_with("udp:") { full } else { 0 };
        let text = format!("{endpoint}: {lost} lost, {wrong} wrong, {dropped} dropped by full buffers");
        figures.add(text, wrong == 0 && lost <= dropped);
    }
    Ok(number("answered"))
}

/// Returns the number of UDP datagrams that a namespace has dropped because a receive buffer was
/// full: RcvbufErrors in /proc/net/snmp, RFC 4113 and proc(5).
fn full_buffers(namespace: &Namespace) -> Result<u64> {
    let snmp = namespace.run(|| fs::read_to_string("/proc/thread-self/net/snmp"))?;
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = lines.next().zip(lines.next()).context("the kernel does not count UDP")?;
    let mut counters = names.split(' ').zip(values.split(' '));
    let (_, count) = counters.find(|(name, _)| *name == "RcvbufErrors").context("no RcvbufErrors")?;
    Ok(count.parse()?)
}

/// Waits until the server has no more descriptors than `before`, and returns how many it has. A peer
/// whose reset was lost on the bad path is open until the server gives it up.
fn open_after(server: &Server, before: usize) -> Result<usize> {
    let start = Instant::now();
    loop {
        let open = server.descriptors()?;
        if open <= before || CLOSING_MAX < start.elapsed() {
            return Ok(open);
        }
        thread::sleep(INTERVAL);
    }
}

/// Memory and descriptors of a server over time.
struct Samples {
    /// The mean memory in the second quarter and in the last.
    kib_first: u64,
    kib_last: u64,
    /// The most descriptors.
    most: usize,
}

fn sample(server: &Server, span: Duration) -> Result<Samples> {
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < span {
        // Pages of the program itself come and go with the kernel's memory.
        samples.push((server.status("RssAnon")?, server.descriptors()?));
        thread::sleep(INTERVAL);
    }
    let quarter = samples.len() / 4;
    let mean = |samples: &[(u64, usize)]| {
        samples.iter().map(|(kib, _)| kib).sum::<u64>() / (samples.len() as u64).max(1)
    };
    Ok(Samples {
        kib_first: mean(&samples[quarter..2 * quarter]),
        kib_last: mean(&samples[3 * quarter..]),
        most: samples.iter().map(|(_, descriptors)| *descriptors).max().unwrap_or(0),
    })
}

/// Resets connections, sends odd datagrams and exchanges bytes over the bad path, some 20 times per
/// second, and counts.
fn faulty_peers(lab: &Lab, stop: &AtomicBool, count: &AtomicU64) {
    lab.peer.enter();
    let mut random = Random::new(28);
    while !stop.load(Ordering::Relaxed) {
        // The path may lose what was sent, so failures are no findings.
        let _ = fault(&mut random);
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
    }
}

fn fault(random: &mut Random) -> Result<()> {
    match random.below(3) {
        0 => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            let len = [0, 1, 1472, 9000, 65_507][usize::try_from(random.below(5))?];
            socket.send_to(&vec![b'x'; len], server_address())?;
        }
        kind => {
            let mut stream = TcpStream::connect_timeout(&server_address(), Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(&vec![b'x'; usize::try_from(random.below(20_000))? + 1])?;
            stream.read_exact(&mut [0; 10])?;
            if kind == 1 {
                Socket::from_fd(stream.into())?.set_option(option::SO_LINGER, Some(Duration::ZERO))?;
            }
        }
    }
    Ok(())
}
