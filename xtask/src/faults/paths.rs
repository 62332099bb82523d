//! Long and bad paths: delay, loss, duplicates, changed order, damage, and streams cut anywhere.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use echosounder_testkit::Random;

use crate::faults::lab::{Lab, PORT, SERVER, server_address};
use crate::faults::relay::{Path, Relay};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::Server;

pub(crate) const ROWS: &[Row] = &[
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

/// Sends bytes in pieces of these lengths, reads them back at the same time, and returns whether
/// they are the same.
fn echoes(stream: &TcpStream, bytes: &[u8], mut piece: impl FnMut() -> usize + Send) -> Result<bool> {
    let (mut reader, mut writer) = (stream.try_clone()?, stream.try_clone()?);
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    thread::scope(|scope| {
        let sending = scope.spawn(move || -> io::Result<()> {
            let mut rest = bytes;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
                writer.write_all(now)?;
                rest = later;
            }
            writer.shutdown(Shutdown::Write)
        });
        let mut returned = Vec::with_capacity(bytes.len());
        reader.read_to_end(&mut returned).context("cannot read back")?;
        sending.join().map_err(|_| anyhow!("the sender panicked"))?.context("cannot send")?;
        Ok(returned == bytes)
    })
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
        let stream = lab.peer.run(|| TcpStream::connect(server_address())).context("cannot connect")?;
        let start = Instant::now();
        is_same &= echoes(&stream, &bytes, || 256 << 10)?;
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
    let stream = lab.peer.run(|| TcpStream::connect(server_address())).context("cannot connect")?;
    let is_same = echoes(&stream, &bytes, || 8 << 10)?;
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
