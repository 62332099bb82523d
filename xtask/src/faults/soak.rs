//! The server under a steady load on all transports, with faults at a low rate.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use echosounder_socket::{Socket, option};
use echosounder_testkit::{Program, Random};

use crate::faults::lab::{Lab, PORT, server_address};
use crate::faults::relay::{Path, Relay};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::{Server, binary};

pub(crate) const ROWS: &[Row] = &[Row::new(
    28,
    "soak",
    "memory grows by 1 MiB per hour at most, the descriptors stay the same, no wrong reply, none lost",
    soak,
)];

/// Messages per second on each transport: together about a fifth of what two cores can do.
const RATE: &str = "1000";

/// How often the memory and the descriptors are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

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
    let span = Duration::from_secs(60 * scale.minutes);
    let loads: Vec<(&str, Program)> = endpoints
        .iter()
        .map(|endpoint| {
            let target = endpoint.replace("//:", "//127.0.0.1:");
            let mut command = lab.server.command(binary());
            command.args([
                "load",
                "--json",
                "-c",
                "4",
                "-r",
                RATE,
                "-d",
                &span.as_secs().to_string(),
                &target,
            ]);
            (endpoint.as_str(), Program::start(&mut command))
        })
        .collect();
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
        let lines = done.objects();
        let result =
            lines.iter().find(|line| line["event"] == "result").with_context(|| done.stderr.clone())?;
        let number = |key: &str| result[key].as_u64().unwrap_or(0);
        answered += number("answered");
        let (lost, wrong) = (number("lost"), number("unexpected"));
        if lost + wrong != 0 {
            figures.add(format!("{endpoint}: {lost} lost, {wrong} wrong"), false);
        }
    }
    server.check_alive()?;
    relay.stop()?;
    figures.add(format!("{answered} replies, all right"), 0 < answered);
    let growth = samples.kib_last.saturating_sub(samples.kib_first);
    let per_hour = growth * 3600 / (span.as_secs() / 2).max(1);
    // A page here and there is no slope.
    figures.add(format!("memory +{growth} KiB, {per_hour} KiB/h"), per_hour <= 1024 || growth <= 128);
    let (least, most) = samples.descriptors;
    figures.add(format!("{least} to {most} descriptors"), most <= least + 64);
    let faults = faults.into_inner();
    Ok(figures.verdict(format!(
        "{} minutes, {} transports at {RATE}/s, {faults} faults",
        scale.minutes,
        endpoints.len()
    )))
}

/// Memory and descriptors of a server over time.
struct Samples {
    /// The mean memory in the second quarter and in the last.
    kib_first: u64,
    kib_last: u64,
    /// The least and the most descriptors of the last three quarters.
    descriptors: (usize, usize),
}

fn sample(server: &Server, span: Duration) -> Result<Samples> {
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < span {
        samples.push((server.rss_kib()?, server.descriptors()?));
        thread::sleep(INTERVAL);
    }
    let quarter = samples.len() / 4;
    let mean = |samples: &[(u64, usize)]| {
        samples.iter().map(|(kib, _)| kib).sum::<u64>() / (samples.len() as u64).max(1)
    };
    let descriptors = samples[quarter..].iter().map(|(_, descriptors)| *descriptors);
    Ok(Samples {
        kib_first: mean(&samples[quarter..2 * quarter]),
        kib_last: mean(&samples[3 * quarter..]),
        descriptors: (descriptors.clone().min().unwrap_or(0), descriptors.max().unwrap_or(0)),
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
