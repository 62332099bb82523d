//! `sounder load`

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};
use echosounder_client::{
    Load, LoadError, LoadEvent, LoadInterval, LoadReport, Pace, Spacing, Step, load, ramp,
};
use echosounder_socket::{Endpoint, Signal, Signals, StopToken, raise_fd_limit};

use crate::args::{Output, ResultFormat};
use crate::command::console::{self, Console, Lock};
use crate::command::result_file::{self, ResultFile};
use crate::command::signals;
use crate::config;
use crate::failure::{self, Advised, Outcome, OwnServer};
use crate::render::json::EventTime;
use crate::render::load::summary::Summary;
use crate::render::load::{csv, hdr, json, text};
use crate::render::style::Style;
use crate::render::transcript::note;
use crate::stderr::stderr;

/// Puts a load on a server, and tells what came of it.
pub(crate) fn run(mut config: config::Load, output: Output) -> Result<Outcome> {
    // Ten thousand connections need as many descriptors.
    raise_fd_limit().context("cannot raise the limit of open files")?;
    result_file::find_stdout(&mut config.output);
    // It would be a pity to find out afterwards.
    let files = result_file::open_all(&config.output)?;
    // Before the server is there, which must not be left behind, and before the first thread.
    let signals = signals::receive(&[])?;
    let server = config.with_server.then(|| Server::start(&config.load.connect.endpoint)).transpose()?;
    if let Some(server) = &server {
        config.load.connect.endpoint = server.endpoint.clone();
    }
    heed(signals, config.load.stop.clone(), server.as_ref().map(|server| server.child.id()))?;
    let endpoint = config.load.connect.endpoint.clone();
    let failed = |error| match error {
        LoadError::Connect(error) => Advised::at(&endpoint, error, ", or try --self"),
        error => anyhow::Error::from(error),
    };
    let console = Console::beside(&config.output);
    let mut page = Page {
        output,
        console,
        style: console.style(output),
        progress: Style::stderr(output),
        has_files: !files.is_empty(),
        stop: config.load.stop.clone(),
        broken: None,
    };
    // How long so many messages take nobody knows, nor a ramp; what either tells meanwhile fits into any pipe.
    let length = config.load.duration.filter(|_| config.load.messages.is_none() && config.ramp.is_none());
    console::over_after(length.map_or(Duration::ZERO, |length| config.load.warm_up + length));
    let before = server.as_ref().map(Server::cpu);
    let report = match config.ramp {
        None => {
            let tell = |event: LoadEvent<'_>| match event {
                LoadEvent::Interval(now) => page.tell_interval(&now),
                LoadEvent::Checkpoint(report) => save(&files, &config.load, report),
            };
            Some(load(&config.load, tell).map_err(failed)?)
        }
        Some((bound, spacing)) => {
            let best = climb(&config.load, bound, spacing, &mut page).map_err(failed)?;
            best.map(|step| {
                config.load.pace = Pace::Open { rate: step.rate, spacing };
                step.report
            })
        }
    };
    page.clear();
    let server_cpu = server.as_ref().zip(before).map(|(server, before)| server.cpu().saturating_sub(before));
    let stopped = config.load.stop.is_stopped();
    let Some(report) = report else {
        page.finish()?;
        let why =
            if stopped { "stopped before any rate was found" } else { "no tested rate met the p99 limit" };
        remark(why, output)?;
        return Ok(Outcome::Incomplete);
    };
    // Of a ramp nobody knows what the server has spent on which of its rates.
    let server_cpu = server_cpu.filter(|_| config.ramp.is_none());
    let summary = Summary { load: &config.load, report: &report, server_cpu };
    page.end(&files, &summary)?;
    match report.failure(config.load.connections) {
        Some(error) if !stopped => Err(failed(error)),
        _ => {
            if report.is_empty() && !stopped {
                remark("no message came due while it was measured; see --duration", output)?;
            }
            Ok(if report.is_complete(&config.load) { Outcome::Done } else { Outcome::Incomplete })
        }
    }
}

/// Tells on standard error why there is less of a result than was asked for.
fn remark(text: &str, output: Output) -> io::Result<()> {
    match output.json {
        true => note(&mut stderr(), text, true),
        false => writeln!(stderr(), "{text}"),
    }
}

/// Writes the report so far. Where that fails the old file stays, and the next report may do better.
fn save(files: &[ResultFile], load: &Load, report: &LoadReport) {
    let summary = Summary { load, report, server_cpu: None };
    for file in files.iter().filter(|file| file.is_replaceable()) {
        let _ = write_file(file, "interim", &summary);
    }
}

fn write_file(file: &ResultFile, event: &'static str, summary: &Summary<'_>) -> Result<()> {
    file.write(|out| {
        Ok(match file.format() {
            ResultFormat::Hdr => hdr::log(out, summary),
            ResultFormat::Csv => csv::distribution(out, summary),
            ResultFormat::Json | ResultFormat::Html => json::result(out, &EventTime::now(), event, summary),
        }?)
    })
}

/// From here on a signal ends the load, and another the program at once.
fn heed(signals: Signals, stop: StopToken, server: Option<u32>) -> Result<()> {
    // Nobody will be there to wait for the server.
    let clean_up = move || drop(server.map(|server| Signal::Terminate.send(server)));
    signals::watch(signals, || {}, move || stop.stop(), clean_up)
}

/// Tries rates, and tells each; the highest that held is returned.
fn climb(plan: &Load, bound: Duration, spacing: Spacing, page: &mut Page) -> Result<Option<Step>, LoadError> {
    let page = std::cell::RefCell::new(page);
    let watch = |now: LoadInterval| page.borrow_mut().tell_interval(&now);
    let tell = |tried: &Step| page.borrow_mut().tell_step(tried, bound);
    ramp(plan, spacing, bound, watch, tell)
}

/// What is told while a load runs.
struct Page {
    output: Output,
    console: Console,
    style: Style,
    progress: Style,
    /// Whether the result goes to files, too.
    has_files: bool,
    stop: StopToken,
    /// Why nothing more can be told.
    broken: Option<io::Error>,
}

impl Page {
    /// Tells how it goes.
    fn tell_interval(&mut self, now: &LoadInterval) {
        if self.output.json {
            self.tell(|out| json::interval(out, &EventTime::now(), now));
        } else if self.shows_progress() {
            // It is for somebody who looks; the result does not depend on it.
            let _ = text::progress(&mut stderr(), self.progress, now);
        }
    }

    /// Tells of a rate that was tried.
    fn tell_step(&mut self, tried: &Step, bound: Duration) {
        self.clear();
        let (style, as_json) = (self.style, self.output.json);
        self.tell(|out| match as_json {
            true => json::step(out, &EventTime::now(), tried),
            false => text::step(out, style, tried, bound),
        });
    }

    /// Writes to the console. A load that nobody hears of any more ends, unless there are files to be written.
    fn tell(&mut self, write: impl FnOnce(&mut Lock) -> io::Result<()>) {
        if self.broken.is_some() {
            return;
        }
        self.broken = self.console.write(write).err();
        if self.broken.is_some() && !self.has_files {
            self.stop.stop();
        }
    }

    /// The files, then the result. What fails stops nothing else; the last failure of a file is returned, and the others are
    /// told before.
    fn end(&mut self, files: &[ResultFile], summary: &Summary<'_>) -> Result<()> {
        let save = |file: &ResultFile| write_file(file, "result", summary).err();
        let mut failures: Vec<_> = files.iter().filter_map(save).collect();
        let (style, as_json) = (self.style, self.output.json);
        self.tell(|out| match as_json {
            true => json::result(out, &EventTime::now(), "result", summary),
            false => text::result(out, style, summary),
        });
        let (last, told) = (failures.pop(), self.finish());
        failures.iter().for_each(|error| failure::tell(error, self.output));
        last.map_or(told, Err)
    }

    fn finish(&mut self) -> Result<()> {
        self.tell(|out| out.flush());
        self.broken.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes the progress away.
    fn clear(&self) {
        if self.shows_progress() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
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
        let mut child = Command::new(env::current_exe().context("cannot find this program")?)
            .args(["serve", "--until-input-ends", "--json", "--transcript", "off", &endpoint.to_string()])
            // What is typed at the terminal is for the load.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a server")?;
        let leash = child.stdin.take();
        let told = child.stderr.take().context("cannot read the output of the server")?;
        let mut why = "it reported no endpoint".to_owned();
        for line in BufReader::new(told).lines() {
            let line = line.context("cannot read the output of the server")?;
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
