//! The programs in a lab: the server that a row attacks, and the well-behaved client that must not
//! notice the attack.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use echosounder_testkit::{Program, wait_for};
use serde_json::Value;

use crate::command::output;
use crate::faults::lab::Namespace;

/// The program to attack.
pub(crate) static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Returns the program to attack.
pub(crate) fn binary() -> &'static PathBuf {
    BINARY.get().expect("it is set before the first row")
}

/// A running `sounder serve`.
#[derive(Debug)]
pub(crate) struct Server {
    program: Program,
}

impl Server {
    /// Starts a server that prints JSON, and waits until it listens on all its endpoints.
    pub(crate) fn start(namespace: &Namespace, arguments: &[&str]) -> Result<Self> {
        let mut command = namespace.command(binary());
        command.args(["serve", "--json", "--transcript", "off"]).args(arguments);
        Self::start_as(command, arguments)
    }

    /// Starts a server by a command that has its arguments already.
    pub(crate) fn start_as(mut command: Command, arguments: &[&str]) -> Result<Self> {
        let endpoints = arguments.iter().filter(|argument| is_endpoint(argument));
        let endpoints = endpoints.count();
        let program = Program::start(&mut command);
        program.wait_until_stderr("listening endpoints", |stderr| {
            stderr.matches(r#""event":"listening""#).count() >= endpoints
        });
        Ok(Self { program })
    }

    /// Starts a server that prints text or JSON, with one endpoint.
    pub(crate) fn start_text(mut command: Command) -> Self {
        let program = Program::start(&mut command);
        program.wait_until_stderr("a listening endpoint", |stderr| {
            stderr.contains("Waiting for") || stderr.contains("listening")
        });
        Self { program }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Returns the counters so far.
    pub(crate) fn summary(&self) -> Result<Value> {
        let summaries = |stderr: &str| stderr.matches(r#""event":"summary""#).count();
        let before = summaries(&self.program.wait_for_stderr(""));
        self.program.signal("USR1");
        // The line is complete when its newline has arrived.
        let stderr = self
            .program
            .wait_until_stderr("a summary", |stderr| summaries(stderr) > before && stderr.ends_with('\n'));
        let line = stderr.lines().rev().find(|line| line.contains(r#""event":"summary""#));
        Ok(serde_json::from_str(line.context("no summary")?)?)
    }

    /// Returns a number of the summary, such as `messages` or `dropped.rate`. A counter that this
    /// program does not have is 0.
    pub(crate) fn counter(&self, name: &str) -> Result<u64> {
        let summary = self.summary()?;
        let value = name.split('.').fold(&summary, |value, key| &value[key]);
        Ok(match value {
            Value::Object(counters) => counters.values().filter_map(Value::as_u64).sum(),
            value => value.as_u64().unwrap_or(0),
        })
    }

    /// Returns what the server has printed on standard error, without its summaries.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let stderr = self.program.wait_for_stderr("");
        let is_other = |line: &&str| {
            ![r#""event":"summary""#, "listening", "Waiting for"].iter().any(|other| line.contains(other))
        };
        stderr.lines().filter(is_other).map(str::to_owned).collect()
    }

    /// Returns a value of /proc/PID/status in its unit, usually kB.
    pub(crate) fn status(&self, key: &str) -> Result<u64> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).context("the server has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("/proc/PID/status has no {key}"))
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        self.status("VmRSS")
    }

    /// Returns the number of open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid())).context("the server has ended")?.count())
    }

    /// Returns the CPU time that it has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.pid())).context("the server has ended")?;
        // proc_pid_stat(5): after the name come the state, ten fields, user and system time, in
        // hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let ticks = ticks(11).zip(ticks(12)).context("unexpected /proc/PID/stat")?;
        Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
    }

    /// Fails if the server has ended, with what it last said.
    pub(crate) fn check_alive(&self) -> Result<()> {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.pid())) else {
            bail!("the server has ended: {}", self.complaints().last().cloned().unwrap_or_default());
        };
        if status.contains("State:\tZ") {
            bail!("the server has ended: {}", self.complaints().last().cloned().unwrap_or_default());
        }
        Ok(())
    }

    /// Returns what the server has printed on standard output.
    pub(crate) fn output(&self) -> Vec<u8> {
        self.program.wait_for_bytes(0)
    }

    /// Stops the server and returns its exit status.
    pub(crate) fn stop(self) -> Option<i32> {
        self.program.signal("TERM");
        self.program.wait().code
    }
}

fn is_endpoint(argument: &str) -> bool {
    argument.contains("://") || argument.starts_with("unix:") || argument.starts_with("unix-")
}

/// A client that behaves well: `sounder ping` once per millisecond.
#[derive(Debug)]
pub(crate) struct Honest {
    program: Program,
}

/// What the client that behaves well has measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) p99: Option<Duration>,
}

impl Honest {
    /// Starts a client that sends `count` requests.
    pub(crate) fn start(namespace: &Namespace, endpoint: &str, count: u64) -> Self {
        let mut command = namespace.command(binary());
        command.args(["ping", "-q", "--json", "-i", "1ms", "-W", "5s", "-c", &count.to_string(), endpoint]);
        Self { program: Program::start(&mut command) }
    }

    /// Returns the client's address, once it has one.
    pub(crate) fn local(&self) -> Result<SocketAddr> {
        let lines = self.program.wait_for_lines(1);
        let start: Value = serde_json::from_str(&lines[0])?;
        Ok(start["local"].as_str().context("the client has no address")?.parse()?)
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Result<Service> {
        let done = self.program.wait();
        let lines = done.objects();
        let result = lines.iter().find(|line| line["event"] == "result");
        let result =
            result.with_context(|| format!("the client has no result: {}", done.stderr.trim_end()))?;
        let number = |key: &str| result[key].as_u64().unwrap_or(0);
        let p99 = result["rtt"]["p99_ns"].as_u64().or_else(|| result["rtt"]["max_ns"].as_u64());
        Ok(Service { sent: number("sent"), answered: number("answered"), p99: p99.map(Duration::from_nanos) })
    }

    /// Runs a client from its start to its end.
    pub(crate) fn run(namespace: &Namespace, endpoint: &str, count: u64) -> Result<Service> {
        Self::start(namespace, endpoint, count).finish()
    }
}

/// Returns the mean kernel memory per established TCP connection of a namespace's server port, in
/// bytes: ss(8), `skmem`.
pub(crate) fn kernel_memory(namespace: &Namespace, port: u16) -> Result<u64> {
    let filter = format!("sport = :{port}");
    let table = output(namespace.command("ss").args(["-tmnHO", "state", "connected", &filter]))?;
    let mut sum = 0;
    let mut count = 0;
    for line in table.lines() {
        let Some((_, memory)) = line.split_once("skmem:(") else { continue };
        let fields = memory.split([',', ')']);
        let field = |name: &str| {
            let mut values = fields.clone().filter_map(|field| field.strip_prefix(name)?.parse::<u32>().ok());
            // The kernel counts what is reserved as an int, and it is below zero now and then.
            i64::from(values.next().unwrap_or(0).cast_signed())
        };
        // Received, queued for sending, and reserved. `t` is a part of `w`.
        sum += field("r") + field("w") + field("f");
        count += 1;
    }
    Ok(u64::try_from(sum / count.max(1)).unwrap_or(0))
}

/// Waits until a condition about the server holds, at most for testkit's patience.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, || match condition() {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    })
}
