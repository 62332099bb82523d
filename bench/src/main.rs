//! Times the server beside a floor in C: CPU per message, in one run, round by round in shuffled order.
//!
//! `cargo run --release` builds both, pins the server to the first core and the load to the second, and writes a
//! table in Markdown. A ratio is the median of the rounds' own ratios, with a 95 % bootstrap interval.

mod load;
mod statistics;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use echosounder_socket::Endpoint;

use crate::load::Load;
use crate::statistics::{Random, interval, median};

const ROUNDS: usize = 14;
const WARM_UP: Duration = Duration::from_millis(100);
const MEASURED: Duration = Duration::from_millis(350);

const SCENARIOS: [(&str, Load); 3] = [
    ("1 × 64 B", Load { connections: 1, size: 64, depth: 1 }),
    ("50 × 64 B", Load { connections: 50, size: 64, depth: 1 }),
    ("50 × 1 KiB × 16", Load { connections: 50, size: 1024, depth: 16 }),
];

/// One of a round's figures.
type Figure = fn(&Round) -> f64;

/// What one server did in one round.
#[derive(Clone, Copy)]
struct Round {
    messages_per_second: f64,
    cpu_us_per_message: f64,
}

fn main() -> Result<()> {
    let folder = env::temp_dir().join(format!("echosounder-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let floor = folder.join("floor");
    run(Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&floor)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/floor.c")))?;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    run(Command::new("cargo").args(["build", "--release", "--quiet"]).current_dir(root))?;
    let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| format!("{root}/target"));
    let floor = || on_core("0", floor.to_str().unwrap_or("floor"), &["0"]);
    let sounder = || {
        let program = format!("{target}/release/sounder");
        on_core("0", &program, &["serve", "--workers", "1", "--transcript", "off", "tcp://127.0.0.1:0"])
    };
    // The load, which is this process, stays off the server's core.
    run(Command::new("taskset").args(["-acp", "1", &std::process::id().to_string()]).stdout(Stdio::null()))?;

    println!(
        "| scenario | floor msgs/s | sounder msgs/s | rate ratio [95 %] | floor µs/msg | sounder µs/msg | CPU ratio [95 %] |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let mut random = Random::new(0x5eed);
    for (name, load) in SCENARIOS {
        let (mut floors, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            if random.below(2) == 0 {
                floors.push(round(floor(), load)?);
                ours.push(round(sounder(), load)?);
            } else {
                ours.push(round(sounder(), load)?);
                floors.push(round(floor(), load)?);
            }
        }
        row(name, &floors, &ours, &mut random);
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn row(name: &str, floors: &[Round], ours: &[Round], random: &mut Random) {
    let of = |rounds: &[Round], what: Figure| median(rounds.iter().map(what).collect());
    let ratios = |what: Figure| ours.iter().zip(floors).map(|(our, floor)| what(our) / what(floor)).collect();
    let (rate, cpu): (Figure, Figure) = (|r| r.messages_per_second, |r| r.cpu_us_per_message);
    let mut shown = |what| {
        let ratios: Vec<f64> = ratios(what);
        let (low, high) = interval(&ratios, random);
        format!("{:.2} [{low:.2}–{high:.2}]", median(ratios))
    };
    println!(
        "| {name} | {:.0} | {:.0} | {} | {:.2} | {:.2} | {} |",
        of(floors, rate),
        of(ours, rate),
        shown(rate),
        of(floors, cpu),
        of(ours, cpu),
        shown(cpu),
    );
}

/// Runs a server for one round, and counts what its CPU time went to.
fn round(mut command: Command, load: Load) -> Result<Round> {
    let mut server =
        Server(command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().context("start a server")?);
    let endpoint = server.endpoint()?;
    let mut flood = load.start(&endpoint)?;
    flood.run(WARM_UP)?;
    let before = server.cpu()?;
    let (messages, elapsed) = flood.run(MEASURED)?;
    let cpu = server.cpu()? - before;
    ensure!(messages != 0, "no message came back");
    Ok(Round {
        messages_per_second: messages as f64 / elapsed.as_secs_f64(),
        cpu_us_per_message: cpu.as_secs_f64() * 1e6 / messages as f64,
    })
}

fn on_core(core: &str, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]).args(arguments);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// A server that is killed when it is dropped.
struct Server(Child);

impl Server {
    /// Where it says that it waits.
    fn endpoint(&mut self) -> Result<Endpoint> {
        let stderr = self.0.stderr.take().context("the server's errors are piped")?;
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line)?;
        let endpoint =
            line.trim().strip_prefix("Waiting for connection on ").with_context(|| line.clone())?;
        Ok(endpoint.parse()?)
    }

    /// The CPU time of all its threads.
    fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            total += text.split(' ').next().context("schedstat has a first field")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
