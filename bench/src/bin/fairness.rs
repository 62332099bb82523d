//! Measures the round trips of a client that waits for each reply while fifty other connections are
//! saturated.
//!
//! `cargo run --release --bin fairness [ROUNDS]` starts each server on the first core, and `sounder
//! load -c 50 -p 16 -s 1k` and `sounder ping -i 2ms` on the second, in shuffled order, and prints
//! the medians of the rounds' percentiles. The ping runs with a higher priority than the load
//! (SCHED_FIFO), because it would otherwise measure the load on their common core: this needs root
//! and `chrt`.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use echosounder_bench::machine::processor;
use echosounder_bench::peers::{OURS, PEERS, Ready, Workshop};
use echosounder_bench::scenario::{SCENARIOS, Transport};
use echosounder_bench::statistics::{Random, median};

/// The default number of rounds.
const ROUNDS: usize = 7;

/// How often a server is tried after its start, and the pause between.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

fn main() -> Result<()> {
    let rounds = env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse()).context("read ROUNDS")?;
    let workshop = Workshop::open(None)?;
    let scenario =
        SCENARIOS.iter().find(|scenario| scenario.name == "tcp-50x1kx16").context("the scenario exists")?;
    let mut found: Vec<Ready> = Vec::new();
    for peer in PEERS.iter().filter(|peer| (peer.can)(scenario)) {
        match workshop.ready(peer) {
            Ok(ready) => found.push(ready),
            Err(error) => eprintln!("left out: {}: {error:#}", peer.name),
        }
    }
    let sounder =
        found.iter().find(|ready| ready.peer.name == OURS).context("our server exists")?.program[0].clone();
    let mut random = Random::new(1);
    let mut results: Vec<Vec<[f64; 3]>> = found.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for place in random.shuffled(found.len()) {
            results[place].push(round(&found[place], &sounder)?);
        }
    }
    println!("cpu: {}", processor());
    println!(
        "a lockstep client beside 50 connections × 16 × 1 KiB, round trips in µs, medians of {rounds} rounds"
    );
    println!("{:16} {:>9} {:>9} {:>9}", "server", "p50", "p99", "max");
    for (ready, rows) in found.iter().zip(&results) {
        let [p50, p99, max] = [0, 1, 2].map(|place| median(rows.iter().map(|row| row[place]).collect()));
        println!("{:16} {p50:9.0} {p99:9.0} {max:9.0}", ready.peer.name);
    }
    Ok(())
}

/// Runs one round of a server, and returns p50, p99 and the maximum in microseconds.
fn round(ready: &Ready, sounder: &str) -> Result<[f64; 3]> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let arguments = (ready.peer.arguments)(Transport::Tcp, &port);
    let _server =
        Running::start(&[&["taskset", "-c", "0"], &strs(&ready.program)[..], &strs(&arguments)].concat())?;
    ensure!(
        (0..TRIES).any(|_| {
            pause(PAUSE);
            TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
        }),
        "{} does not reply",
        ready.peer.name
    );
    let load = [
        "taskset", "-c", "1", sounder, "load", "-q", "-c", "50", "-p", "16", "-s", "1k", "-d", "20",
        &endpoint,
    ];
    let _load = Running::start(&load)?;
    let ping = [
        "-c", "1", "chrt", "-f", "50", sounder, "ping", "--json", "-q", "-i", "2ms", "-c", "1000", &endpoint,
    ];
    let output = Command::new("taskset").args(ping).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let end: serde_json::Value = serde_json::from_str(text.lines().last().context("ping prints nothing")?)?;
    let micros = |key: &str| end["rtt"][key].as_f64().map(|nanos| nanos / 1e3);
    let all = [micros("p50_ns"), micros("p99_ns"), micros("max_ns")];
    let [Some(p50), Some(p99), Some(max)] = all else { anyhow::bail!("{}: {text}", ready.peer.name) };
    Ok([p50, p99, max])
}

/// Waits before the next try: the servers do not report when they are ready.
fn pause(span: Duration) {
    let _ = echosounder_socket::ready([], Some(span));
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A program that is killed when this is dropped.
struct Running(Child);

impl Running {
    fn start(words: &[&str]) -> Result<Self> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", words.join(" ")))?;
        Ok(Self(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
