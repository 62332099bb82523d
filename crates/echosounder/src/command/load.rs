//! `sounder load`

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use echosounder_client::{Interval, LoadError, Report, Step, load, ramp};
use echosounder_socket::{Endpoint, Signal, Signals, raise_fd_limit};

use crate::args::Output;
use crate::config;
use crate::render::load::{Result as Outcomes, interval, result, step};
use crate::report::{NoServer, Outcome};

/// Puts a load on a server, and tells what came of it.
pub(crate) fn run(mut config: config::Load, output: Output) -> Result<Outcome> {
    // Ten thousand connections need as many descriptors.
    raise_fd_limit().context("raise the limit of descriptors")?;
    // It would be a pity to find out afterwards.
    let file = config.output.as_deref().map(open).transpose()?;
    let server = config.with_server.then(|| Server::start(&config.load.call.endpoint)).transpose()?;
    if let Some(server) = &server {
        config.load.call.endpoint = server.endpoint.clone();
    }
    let signals = Signals::receive().context("receive signals")?;
    let failed = |error| match error {
        LoadError::Call(error) if config.on_default => NoServer(error).into(),
        error => anyhow::Error::from(error),
    };
    let mut page = Page { output, signals, progress: io::stderr().is_terminal(), broken: None };
    let before = server.as_ref().map(Server::cpu);
    let report = match config.ramp {
        None => Some(load(&config.load, |now| page.goes_on(&now)).map_err(failed)?),
        Some((bound, spacing)) => climb(&config.load, bound, spacing, &mut page).map_err(failed)?,
    };
    page.clear()?;
    if let Some(error) = page.broken {
        return Err(error.into());
    }
    let server_cpu = server.as_ref().zip(before).map(|(server, before)| server.cpu().saturating_sub(before));
    let Some(report) = report else {
        writeln!(io::stderr(), "not even the lowest rate kept to the bound")?;
        return Ok(Outcome::Lacking);
    };
    let outcomes = Outcomes { load: &config.load, report: &report, server_cpu };
    result(&mut io::stdout().lock(), &outcomes, output.json)?;
    if let Some((mut file, path)) = file.zip(config.output.as_deref()) {
        outcomes.save(&mut file, path).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if report.tally.answered == 0 || report.tally.wrong != 0 { Outcome::Lacking } else { Outcome::Done })
}

fn open(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

/// Tries rates, and tells each; the report is that of the highest that held.
fn climb(
    plan: &echosounder_client::Load,
    bound: Duration,
    spacing: echosounder_client::Spacing,
    page: &mut Page,
) -> Result<Option<Report>, LoadError> {
    let page = std::cell::RefCell::new(page);
    let watch = |now: Interval| page.borrow_mut().goes_on(&now);
    let tell = |tried: &Step| page.borrow_mut().tried(tried);
    Ok(ramp(plan, spacing, bound, watch, tell)?.map(|step| step.report))
}

/// What is told while a load runs.
struct Page {
    output: Output,
    signals: Signals,
    progress: bool,
    /// Why nothing more can be told.
    broken: Option<io::Error>,
}

impl Page {
    /// Tells how it goes; whether it is to go on is returned.
    fn goes_on(&mut self, now: &Interval) -> bool {
        let told = self.tell_interval(now);
        self.heed(told)
    }

    fn tell_interval(&self, now: &Interval) -> io::Result<()> {
        match (self.output.json, self.progress && !self.output.quiet) {
            (true, _) => interval(&mut io::stdout().lock(), now, true),
            (false, true) => interval(&mut io::stderr().lock(), now, false),
            (false, false) => Ok(()),
        }
    }

    /// Tells of a rate that was tried; whether another is to be is returned.
    fn tried(&mut self, tried: &Step) -> bool {
        let told = self.clear().and_then(|()| step(&mut io::stdout().lock(), tried, self.output.json));
        self.heed(told)
    }

    fn heed(&mut self, told: io::Result<()>) -> bool {
        self.broken = told.err();
        self.broken.is_none()
            && !matches!(self.signals.next(), Ok(Some(Signal::Interrupt | Signal::Terminate)))
    }

    /// Takes the progress away.
    fn clear(&self) -> io::Result<()> {
        if self.progress && !self.output.json && !self.output.quiet {
            write!(io::stderr(), "\r\x1b[K")?;
        }
        Ok(())
    }
}

/// A server of its own, in a process of its own, so that its time and its descriptors are its own.
struct Server {
    child: Child,
    endpoint: Endpoint,
}

impl Server {
    fn start(endpoint: &Endpoint) -> Result<Self> {
        let mut child = Command::new(env::current_exe().context("find this program")?)
            .args(["serve", "--json", "--transcript", "off", &endpoint.to_string()])
            // What is typed at the terminal is for the load.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start a server")?;
        let told = child.stderr.take().context("hear what the server tells")?;
        let mut line = String::new();
        let mut told = BufReader::new(told);
        told.read_line(&mut line).context("hear what the server tells")?;
        let found = serde_json::from_str(&line).ok().and_then(|told: serde_json::Value| {
            told["endpoint"].as_str().and_then(|endpoint| endpoint.parse().ok())
        });
        let server = found.map(|endpoint| Self { child, endpoint });
        let why =
            || serde_json::from_str::<serde_json::Value>(&line).ok()?["error"].as_str().map(str::to_owned);
        ensure!(
            server.is_some(),
            "start a server: {}",
            why().unwrap_or_else(|| "it told nothing".to_owned())
        );
        server.context("start a server")
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
