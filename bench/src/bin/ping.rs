//! Compares the round trips of `sounder ping` with those of other probers, each with its own
//! server, over UDP on loopback: 64 bytes, a thousand per second.
//!
//! `cargo run --release --bin ping [ROUNDS]` runs them in shuffled order, and prints the median of
//! each prober's medians and the ratio of ours to it in the same round, with a 95 % bootstrap
//! interval. It needs taskset, irtt and sockperf; a missing prober is named and left out.

use std::env;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use echosounder_bench::machine::processor;
use echosounder_bench::statistics::{Interval, Random, interval, median};

/// The default number of rounds.
const ROUNDS: usize = 14;

/// How long a server has to start.
const START: Duration = Duration::from_millis(200);

/// A prober, and the server that it needs.
struct Prober {
    name: &'static str,
    program: PathBuf,
    server: fn(port: &str) -> Vec<String>,
    client: fn(port: &str) -> Vec<String>,
    /// Reads the median in microseconds from the client's output.
    median: fn(&str) -> Option<f64>,
}

fn main() -> Result<()> {
    let rounds = env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse()).context("read ROUNDS")?;
    let probers: Vec<Prober> = probers()?.into_iter().filter(is_installed).collect();
    let mut random = Random::new(1);
    let mut medians: Vec<Vec<f64>> = probers.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for place in random.shuffled(probers.len()) {
            medians[place].push(run(&probers[place])?);
        }
    }
    println!("cpu: {}", processor());
    println!("median round trip over UDP, 64 B, 1,000 a second, {rounds} rounds");
    for (prober, values) in probers.iter().zip(&medians) {
        let ratios: Vec<f64> = medians[0].iter().zip(values).map(|(ours, theirs)| ours / theirs).collect();
        let Interval { low, high } = interval(&ratios, &mut random);
        println!(
            "{:26} {:8.1} µs   ours ÷ it {:.2} [{low:.2}–{high:.2}]",
            prober.name,
            median(values.clone()),
            median(ratios)
        );
    }
    Ok(())
}

fn probers() -> Result<Vec<Prober>> {
    let sounder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/sounder");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .status()?;
    ensure!(built.success(), "sounder does not build");
    Ok(vec![
        Prober {
            name: "sounder ping",
            program: sounder,
            server: |port| words(&format!("serve -q --workers 1 udp://127.0.0.1:{port}")),
            client: |port| words(&format!("ping --json -q -i 1ms -c 1000 udp://127.0.0.1:{port}")),
            median: |text| {
                let end: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
                Some(end["rtt"]["p50_ns"].as_f64()? / 1e3)
            },
        },
        Prober {
            name: "irtt",
            program: "irtt".into(),
            server: |port| words(&format!("server -i 0 -b 127.0.0.1:{port}")),
            client: |port| words(&format!("client -i 1ms -d 1s -l 64 -q -o - 127.0.0.1:{port}")),
            median: |text| {
                let result: serde_json::Value = serde_json::from_str(&text[text.find('{')?..]).ok()?;
                Some(result["stats"]["rtt"]["median"].as_f64()? / 1e3)
            },
        },
        Prober {
            name: "sockperf, which spins",
            program: "sockperf".into(),
            server: |port| words(&format!("server -i 127.0.0.1 -p {port}")),
            client: |port| {
                words(&format!(
                    "under-load -i 127.0.0.1 -p {port} -m 64 -t 1 --mps 1000 --reply-every 1 --full-rtt"
                ))
            },
            median: |text| {
                let line = text.lines().find(|line| line.contains("percentile 50.000"))?;
                line.rsplit('=').next()?.trim().parse().ok()
            },
        },
    ])
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn is_installed(prober: &Prober) -> bool {
    let runs = Command::new(&prober.program)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !runs {
        eprintln!("left out: {} is not installed", prober.name);
    }
    runs
}

/// Runs one round of a prober, and returns its median in microseconds.
fn run(prober: &Prober) -> Result<f64> {
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let _server = Server::start(prober, &port)?;
    let output = Command::new("taskset")
        .args(["-c", "1"])
        .arg(&prober.program)
        .args((prober.client)(&port))
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("run {}", prober.name))?;
    let text = String::from_utf8_lossy(&output.stdout);
    (prober.median)(&text).with_context(|| format!("{} prints no median: {text}", prober.name))
}

struct Server(Child);

impl Server {
    fn start(prober: &Prober, port: &str) -> Result<Self> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", "0"])
            .arg(&prober.program)
            .args((prober.server)(port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start the server of {}", prober.name))?;
        // The servers do not report when they are ready.
        let _ = echosounder_socket::ready([], Some(START));
        Ok(Self(child))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
