//! Long and bad paths: delay, loss, duplicates, changed order, damage, and streams cut anywhere.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Family, Protocol, Shutdown, Socket, Type, option};
use echosounder_testkit::Random;

use crate::faults::lab::{Lab, PORT, SERVER, server_address};
use crate::faults::relay::{Path, Relay};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::Server;

pub(crate) const ROWS: &[Row] = &[
    Row::new(17, "cut", "every byte comes back unchanged", cut),
    Row::new(
        18,
        "bad-network",
        "TCP: no wrong byte; ping: the losses, duplicates and late replies of the path",
        bad_network,
    ),
    Row::new(90, "bulk", "every byte comes back unchanged (the speed is for comparisons)", bulk),
];

/// A stream of bytes that depend on their position.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(|| random.next_u64().to_le_bytes()).take(len / 8 + 1).flatten().take(len).collect()
}

/// A stream socket of any family.
fn stream(family: Family, protocol: Protocol, address: Address) -> Result<Socket> {
    let socket = Socket::new(family, Type::STREAM, protocol)?;
    socket.connect(address).context("cannot connect")?;
    Ok(socket)
}

/// Sends bytes in pieces of these lengths, reads them back at the same time, and returns whether
/// they are the same.
fn echoes(socket: &Socket, bytes: &[u8], mut piece: impl FnMut() -> usize + Send) -> Result<bool> {
    thread::scope(|scope| {
        let sending = scope.spawn(move || -> Result<()> {
            let mut rest = bytes;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
                socket.send_all(now)?;
                rest = later;
            }
            Ok(socket.shutdown(Shutdown::Write)?)
        });
        let mut returned = Vec::with_capacity(bytes.len());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match socket.recv(&mut buffer).context("cannot read back")? {
                0 => break,
                len => returned.extend_from_slice(&buffer[..len]),
            }
        }
        sending.join().map_err(|_| anyhow!("the sender panicked"))?.context("cannot send")?;
        Ok(returned == bytes)
    })
}

/// Row 17: streams cut anywhere, with a send buffer of 4 KiB and pauses.
fn cut(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("stream");
    let endpoints = [
        format!("tcp://{SERVER}:{PORT}"),
        format!("unix:{}", path.display()),
        format!("mptcp://{SERVER}:7000"),
    ];
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let server = Server::start(&lab.server, &[&["--stamp", "none"], &endpoints[..]].concat())?;
    let size = scale.pick(2 << 20, 64 << 20);
    let mut figures = Figures::default();
    for seed in 1..=scale.pick(1, 3) {
        let bytes = pattern(seed, size);
        for (name, family, protocol, address) in [
            ("tcp", Family::INET, Protocol::DEFAULT, Address::from(server_address())),
            ("unix", Family::UNIX, Protocol::DEFAULT, Address::from(UnixName::path(&path))),
            ("mptcp", Family::INET, Protocol::MPTCP, Address::from(SocketAddr::from((SERVER, 7000)))),
        ] {
            let socket = lab.peer.run(|| stream(family, protocol, address))?;
            socket.set_option(option::SO_SNDBUF, 4096)?;
            let mut random = Random::new(seed);
            let is_same = echoes(&socket, &bytes, || {
                if random.percent(2) {
                    thread::sleep(Duration::from_millis(random.below(5)));
                }
                usize::try_from(random.below(64 << 10)).unwrap_or(1)
            })?;
            figures
                .add(format!("{name}, seed {seed}: {}", if is_same { "same" } else { "CHANGED" }), is_same);
        }
    }
    server.check_alive()?;
    Ok(figures.verdict(format!("{} MiB in cuts of up to 64 KiB, send buffer of 4 KiB, pauses", size >> 20)))
}

/// Sends a stream over a path with delay and reads it back.
fn bulk(scale: Scale) -> Result<Verdict> {
    let (lab, middle) = Lab::with_middle()?;
    let relay = Relay::start(&middle, Path { delay: scale.delay, ..Path::default() })?;
    let endpoint = format!("tcp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &["--stamp", "none", &endpoint])?;
    let size = scale.pick(16 << 20, 128 << 20);
    let bytes = pattern(1, size);
    let mut speeds = Vec::new();
    let mut is_same = true;
    for _ in 0..scale.pick(1, 5) {
        let address = Address::from(server_address());
        let socket = lab.peer.run(|| stream(Family::INET, Protocol::DEFAULT, address))?;
        let start = Instant::now();
        is_same &= echoes(&socket, &bytes, || 256 << 10)?;
        let millis = u64::try_from(start.elapsed().as_millis())?;
        speeds.push(1000 * (size as u64 >> 10) / millis.max(1));
    }
    server.check_alive()?;
    relay.stop()?;
    speeds.sort_unstable();
    let figure = format!(
        "{} KiB/s at best, {} in the middle, {}",
        speeds.last().copied().unwrap_or(0),
        speeds[speeds.len() / 2],
        if is_same { "unchanged" } else { "CHANGED" }
    );
    let delay = 2 * scale.delay;
    Ok(Verdict::tried(format!("{} MiB over a path of {delay:?} there and back", size >> 20), figure, is_same))
}

/// Row 18: packets lost, duplicated, out of order and damaged.
fn bad_network(scale: Scale) -> Result<Verdict> {
    let (lab, middle) = Lab::with_middle()?;
    lab.send_single_packets()?;
    let endpoints = [format!("tcp://{SERVER}:{PORT}"), format!("udp://{SERVER}:{PORT}")];
    let server = Server::start(&lab.server, &["--stamp", "none", "--allow-plain-echo", &endpoints[0]])?;
    let stamped = Server::start(&lab.server, &[&endpoints[1]])?;
    let mut figures = Figures::default();

    let all = Path { lost: 20, duplicated: 50, held: 50, damaged: 10, seed: 7, ..Path::default() };
    let relay = Relay::start(&middle, all)?;
    let size = scale.pick(1 << 20, 32 << 20);
    let bytes = pattern(2, size);
    let address = Address::from(server_address());
    let socket = lab.peer.run(|| stream(Family::INET, Protocol::DEFAULT, address))?;
    let is_same = echoes(&socket, &bytes, || 8 << 10)?;
    let [up, down] = relay.stop()?;
    ensure!(up.damaged + down.damaged > 0 && up.lost + down.lost > 0, "the path did nothing");
    figures.add(
        format!(
            "tcp: {} KiB with {} packets damaged, {} lost",
            size >> 10,
            up.damaged + down.damaged,
            up.lost + down.lost
        ),
        is_same,
    );

    let count = scale.pick(2000, 20_000);
    for (name, path) in [
        ("10 % lost", Path { lost: 100, seed: 8, ..Path::default() }),
        ("5 % duplicated", Path { duplicated: 50, seed: 9, ..Path::default() }),
        ("5 % held", Path { held: 50, seed: 10, ..Path::default() }),
        ("1 % damaged", Path { damaged: 10, seed: 11, ..Path::default() }),
    ] {
        let relay = Relay::start(&middle, path)?;
        let result = ping(&lab, &endpoints[1], count)?;
        let [up, down] = relay.stop()?;
        let number = |key: &str| result[key].as_u64().unwrap_or(0);
        // A damaged packet has a wrong checksum, so the kernel drops it.
        let lost = up.lost + down.lost + up.damaged + down.damaged;
        let duplicated = up.duplicated + down.duplicated;
        let text = format!(
            "{name}: path {lost} lost, {duplicated} twice, {} held; ping {} lost, {} twice, {} out of order",
            up.held + down.held,
            number("lost"),
            number("duplicate"),
            number("reordered")
        );
        // A request may be held on both ways, and a busy machine may send it too late to be
        // overtaken.
        let held = up.held + down.held;
        let is_ordered = (held / 2..=held).contains(&number("reordered"));
        figures.add(text, number("lost") == lost && number("duplicate") == duplicated && is_ordered);
    }
    server.check_alive()?;
    stamped.check_alive()?;
    Ok(figures.verdict(format!("TCP, and {count} requests over UDP for each fault")))
}

/// Returns the result of a ping.
fn ping(lab: &Lab, endpoint: &str, count: u64) -> Result<serde_json::Value> {
    let mut command = lab.peer.command(crate::faults::server::binary());
    command.args(["ping", "-q", "--json", "-i", "1ms", "-W", "2s", "-c", &count.to_string(), endpoint]);
    let done = echosounder_testkit::Program::start(&mut command).wait();
    let lines = done.objects();
    lines.into_iter().find(|line| line["event"] == "result").context("ping has no result")
}
