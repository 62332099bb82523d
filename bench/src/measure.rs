//! The rounds: every server runs once in each, in shuffled order.

use std::path::Path;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Result, ensure};

use crate::load::Flood;
use crate::peers::{Peer, Ready};
use crate::scenario::Scenario;
use crate::server::{Interrupt, Server};
use crate::statistics::Random;

/// A round is repeated if other processes took more than this share of a core.
const FOREIGN_MAX: f64 = 0.10;

/// At most one of so many rounds is repeated, because on a busy machine all would be.
const REPEAT_ONE_OF: usize = 5;

/// A server that has failed this often is not tried again in the scenario.
const FAILURES_MAX: usize = 3;

/// How long a server is under load in a round.
#[derive(Clone, Copy)]
pub struct Spans {
    pub warm_up: Duration,
    pub measured: Duration,
}

impl Spans {
    pub const FULL: Self = Self { warm_up: Duration::from_millis(100), measured: Duration::from_millis(350) };
    pub const QUICK: Self = Self { warm_up: Duration::from_millis(50), measured: Duration::from_millis(150) };
}

/// The figures of a server in one round.
pub struct Sample {
    pub messages_per_second: f64,
    pub cpu_us_per_message: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub memory_kib: f64,
    /// The memory that each connection has added before the load began.
    pub bytes_per_connection: f64,
    pub lost: u64,
    pub late: u64,
    /// The share of a core that the server itself was busy.
    pub busy: f64,
    /// The share of a core that other processes took.
    pub foreign: f64,
}

/// A server's rounds in one scenario.
pub struct Row<'a> {
    pub peer: &'a Peer,
    /// By round; `None` if the round failed.
    pub samples: Vec<Option<Sample>>,
    pub failures: Vec<String>,
}

pub struct Bench<'a> {
    ready: &'a [Ready],
    spans: Spans,
    folder: &'a Path,
    interrupt: &'a Interrupt,
    random: Random,
    port: u16,
    repeats_left: usize,
}

impl<'a> Bench<'a> {
    pub fn new(ready: &'a [Ready], spans: &Spans, folder: &'a Path, interrupt: &'a Interrupt) -> Self {
        Self {
            ready,
            spans: *spans,
            folder,
            interrupt,
            random: Random::new(0x5eed),
            port: 0,
            repeats_left: 0,
        }
    }

    /// Runs a scenario with every server that can do it.
    pub fn scenario(&mut self, scenario: &Scenario, rounds: usize) -> Result<Vec<Row<'a>>> {
        let ready: Vec<&Ready> = self.ready.iter().filter(|ready| (ready.peer.can)(scenario)).collect();
        let mut rows: Vec<Row<'_>> = ready
            .iter()
            .map(|ready| Row { peer: ready.peer, samples: Vec::new(), failures: Vec::new() })
            .collect();
        self.repeats_left = rounds * ready.len() / REPEAT_ONE_OF;
        for round in 1..=rounds {
            eprintln!("{}: round {round} of {rounds}", scenario.name);
            for index in self.random.shuffled(ready.len()) {
                let row = &mut rows[index];
                if FAILURES_MAX <= row.failures.len() {
                    row.samples.push(None);
                    continue;
                }
                let result = self.quiet_round(ready[index], scenario);
                // An interrupt is no failure of the server.
                self.interrupt.pause(Duration::ZERO)?;
                if let Err(error) = &result {
                    eprintln!("{}: {}: {error:#}", scenario.name, row.peer.name);
                    row.failures.push(format!("{error:#}"));
                }
                row.samples.push(result.ok());
            }
        }
        Ok(rows)
    }

    /// Runs a round, and repeats it if other processes disturb it. The less disturbed round counts.
    fn quiet_round(&mut self, ready: &Ready, scenario: &Scenario) -> Result<Sample> {
        let first = self.round(ready, scenario)?;
        if first.foreign <= FOREIGN_MAX || self.repeats_left == 0 {
            return Ok(first);
        }
        self.repeats_left -= 1;
        let second = self.round(ready, scenario)?;
        Ok(if second.foreign < first.foreign { second } else { first })
    }

    fn round(&mut self, ready: &Ready, scenario: &Scenario) -> Result<Sample> {
        let server = Server::start(ready, scenario, &mut self.port, self.folder, self.interrupt)?;
        let empty = server.memory()?;
        let reply_format = ready.peer.reply_format;
        let mut flood =
            Flood::connect(scenario, &server.endpoint, reply_format, self.folder, self.interrupt)?;
        let connections = (scenario.load.connections + scenario.load.idle) as f64;
        let bytes_per_connection = (server.memory()? - empty) * 1024.0 / connections;
        flood.start()?;
        flood.run(self.spans.warm_up)?;

        let (busy, cpu) = (Busy::now()?, server.cpu()?);
        let outcome = flood.run(self.spans.measured)?;
        let (cpu, busy) = (server.cpu()? - cpu, Busy::now()?.since(&busy));
        ensure!(outcome.messages != 0, "no reply arrived");
        let memory_kib = server.memory()?;
        drop(flood);
        server.end_children(self.interrupt)?;

        let seconds = outcome.elapsed.as_secs_f64();
        let percentile = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Sample {
            messages_per_second: outcome.messages as f64 / seconds,
            cpu_us_per_message: cpu * 1e6 / outcome.messages as f64,
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            p999_us: percentile(0.999),
            memory_kib,
            bytes_per_connection,
            lost: outcome.lost,
            late: outcome.late,
            busy: cpu / seconds,
            foreign: (busy.all - busy.own - cpu).max(0.0) / seconds,
        })
    }
}

/// CPU time in seconds: of all processes on all cores, and of this one.
struct Busy {
    all: f64,
    own: f64,
}

impl Busy {
    /// Ticks of /proc/stat per second (USER_HZ), on every architecture.
    const TICKS: f64 = 100.0;

    fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let mut fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        // user nice system idle iowait irq softirq steal
        let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        let all: Vec<f64> = iter::repeat_with(&mut next).take(8).collect();
        let busy: f64 = all.iter().sum::<f64>() - all[3] - all[4];
        let own = fs::read_to_string("/proc/self/schedstat")?;
        let own: f64 = own.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default();
        Ok(Self { all: busy / Self::TICKS, own: own / 1e9 })
    }

    fn since(&self, before: &Self) -> Self {
        Self { all: self.all - before.all, own: self.own - before.own }
    }
}
