//! `sounder load`

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};
use echosounder_client::{Interval, Load, LoadError, Pace, Spacing, Step, load, ramp};
use echosounder_socket::{Endpoint, Signal, Signals, raise_fd_limit};

use crate::args::Output;
use crate::command::signals;
use crate::config;
use crate::render::load::{Result as Outcomes, interval, result, step};
use crate::render::style::Style;
use crate::report::{NoServer, Outcome, OwnServer};
use crate::stderr::stderr;

/// Puts a load on a server, and tells what came of it.
pub(crate) fn run(mut config: config::Load, output: Output) -> Result<Outcome> {
    // Ten thousand connections need as many descriptors.
    raise_fd_limit().context("raise the limit of descriptors")?;
    // It would be a pity to find out afterwards.
    let file = config.output.as_deref().map(open).transpose()?;
    // Before the server is there, which must not be left behind, and before the first thread.
    let signals = signals::receive(&[])?;
    let server = config.with_server.then(|| Server::start(&config.load.call.endpoint)).transpose()?;
    if let Some(server) = &server {
        config.load.call.endpoint = server.endpoint.clone();
    }
    heed(signals, Arc::clone(&config.load.stop), server.as_ref().map(|server| server.child.id()))?;
    let endpoint = config.load.call.endpoint.clone();
    let failed = |error| match error {
        LoadError::Call(error) => NoServer::at(&endpoint, error, ", or try --self"),
        error => anyhow::Error::from(error),
    };
    let mut page =
        Page { output, progress: Style::stderr(output), stop: Arc::clone(&config.load.stop), broken: None };
    let before = server.as_ref().map(Server::cpu);
    let report = match config.ramp {
        None => Some(load(&config.load, |now| page.tell_interval(&now)).map_err(failed)?),
        Some((bound, spacing)) => {
            let best = climb(&config.load, bound, spacing, &mut page).map_err(failed)?;
            best.map(|step| {
                config.load.pace = Pace::Open { rate: step.rate, spacing };
                step.report
            })
        }
    };
    page.clear()?;
    if let Some(error) = page.broken {
        return Err(error.into());
    }
    let server_cpu = server.as_ref().zip(before).map(|(server, before)| server.cpu().saturating_sub(before));
    let stopped = config.load.stop.load(Ordering::Relaxed);
    let Some(report) = report else {
        let why =
            if stopped { "stopped before any rate was found" } else { "no tested rate met the p99 limit" };
        writeln!(stderr(), "{why}")?;
        return Ok(Outcome::Lacking);
    };
    // Of a ramp nobody knows what the server has spent on which of its rates.
    let server_cpu = server_cpu.filter(|_| config.ramp.is_none());
    let outcomes = Outcomes { load: &config.load, report: &report, server_cpu };
    result(&mut io::stdout().lock(), Style::stdout(output), &outcomes, output.json)?;
    if let Some((mut file, path)) = file.zip(config.output.as_deref()) {
        outcomes.save(&mut file, path).with_context(|| format!("write {}", path.display()))?;
    }
    match report.failure(config.load.connections) {
        Some(error) if !stopped => Err(failed(error)),
        _ => {
            if report.came_to_nothing() && !stopped {
                writeln!(stderr(), "no message came due while it was measured; see --duration")?;
            }
            Ok(if report.is_complete(&config.load) { Outcome::Done } else { Outcome::Lacking })
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

/// From here on a signal ends the load, and another the program at once.
fn heed(signals: Signals, stop: Arc<AtomicBool>, server: Option<u32>) -> Result<()> {
    // Nobody will be there to wait for the server.
    let clean_up = move || drop(server.map(|server| Signal::Terminate.send(server)));
    signals::watch(signals, || {}, move || stop.store(true, Ordering::Relaxed), clean_up)
}

/// Tries rates, and tells each; the highest that held is returned.
fn climb(plan: &Load, bound: Duration, spacing: Spacing, page: &mut Page) -> Result<Option<Step>, LoadError> {
    let page = std::cell::RefCell::new(page);
    let watch = |now: Interval| page.borrow_mut().tell_interval(&now);
    let tell = |tried: &Step| page.borrow_mut().tell_step(tried, bound);
    ramp(plan, spacing, bound, watch, tell)
}

/// What is told while a load runs.
struct Page {
    output: Output,
    progress: Style,
    stop: Arc<AtomicBool>,
    /// Why nothing more can be told.
    broken: Option<io::Error>,
}

impl Page {
    /// Tells how it goes.
    fn tell_interval(&mut self, now: &Interval) {
        let told = match self.output.json {
            true => interval(&mut io::stdout().lock(), self.progress, now, true),
            false if self.shows_progress() => interval(&mut stderr(), self.progress, now, false),
            false => Ok(()),
        };
        self.note(told);
    }

    /// Tells of a rate that was tried.
    fn tell_step(&mut self, tried: &Step, bound: Duration) {
        let style = Style::stdout(self.output);
        let told =
            self.clear().and_then(|()| step(&mut io::stdout().lock(), style, tried, bound, self.output.json));
        self.note(told);
    }

    /// A load that nobody hears of any more ends.
    fn note(&mut self, told: io::Result<()>) {
        if let Err(error) = told {
            self.broken.get_or_insert(error);
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the progress away.
    fn clear(&self) -> io::Result<()> {
        if self.shows_progress() { write!(stderr(), "\r\x1b[K") } else { Ok(()) }
    }

    fn shows_progress(&self) -> bool {
        io::stderr().is_terminal() && !self.output.json && !self.output.quiet
    }
}

/// A server of its own, in a process of its own, so that its time and its descriptors are its own.
struct Server {
    child: Child,
    endpoint: Endpoint,
    /// Its standard input. However this process ends, that ends with it, and then the server does.
    _leash: Option<ChildStdin>,
}

impl Server {
    fn start(endpoint: &Endpoint) -> Result<Self> {
        let mut child = Command::new(env::current_exe().context("find this program")?)
            .args(["serve", "--until-input-ends", "--json", "--transcript", "off", &endpoint.to_string()])
            // What is typed at the terminal is for the load.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start a server")?;
        let leash = child.stdin.take();
        let told = child.stderr.take().context("hear what the server tells")?;
        let mut why = "it told nothing".to_owned();
        for line in BufReader::new(told).lines() {
            let line = line.context("hear what the server tells")?;
            let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(endpoint) = told["endpoint"].as_str().and_then(|endpoint| endpoint.parse().ok()) {
                return Ok(Self { child, endpoint, _leash: leash });
            }
            if let Some(error) = told["error"].as_str() {
                why = error.to_owned();
            }
        }
        let code = child.wait().ok().and_then(|status| status.code());
        // It has found out whether this machine lacks the socket, or refuses it.
        Err(OwnServer { why, absent: code == Some(1) }.into())
    }

    /// The processor's time that its threads have taken.
    fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Signal::Terminate.send(self.child.id()).is_err() {
            // It cannot be asked to end.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
