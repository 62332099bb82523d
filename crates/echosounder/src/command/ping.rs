//! `sounder ping`: measures targets on a thread of its own and reports their events.

mod file;
mod reporter;
mod summary;
mod sweep;
mod target_state;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{Order, PingControl, PingOptions, Pinger, Probe, TargetEvent, TimestampSource};
use echosounder_socket::internal::raise_fd_limit;
use echosounder_socket::{Kind, Signal, Signals, StopToken};

use self::file::ResultFiles;
use self::reporter::Reporter;
use self::sweep::Progress;
use crate::command::console;
use crate::command::embedded::Embedded;
use crate::command::result_file;
use crate::command::signals;
use crate::config;
use crate::failure::{self, Outcome, ThreadError};
use crate::output::Output;
use crate::render::serve::note;
use crate::request_sizes::RequestSizes;
use crate::stderr::stderr;
use crate::target::{Service, Target};

/// Events that may wait to be written before the measurement waits for the writer.
const QUEUE: usize = 1024;

/// Runs the command.
pub(crate) fn run(mut config: config::Ping, output: Output) -> Result<Outcome> {
    raise_fd_limit().context("cannot raise the limit of open files")?;
    result_file::find_stdout(&mut config.output);
    // A file that cannot be written must not fail after the measurement.
    let files = ResultFiles::open(&config.output)?;
    // Before the first thread, which inherits the blocked signals.
    let signals = signals::receive(&[Signal::User1, Signal::Quit])?;
    write_notes(&config.notes, output)?;
    let server = config.with_server.then(|| serve(&mut config, output)).transpose()?;
    settle(&mut config);
    let control = StopToken::new().and_then(PingControl::new).context("cannot create an eventfd")?;
    let control = Arc::new(control);
    watch_signals(signals, &control, server.as_ref().and_then(Embedded::folder))?;
    let receiver = start(&config, &control)?;
    if let Some(length) = length(&config.targets, config.in_turn) {
        console::expect_end_after(length);
    }
    let mut reporter = Reporter::new(&config, output, files);
    let is_endless = config.template.count.is_none() && config.template.deadline.is_none();
    reporter.run(&receiver, &control, is_endless);
    control.stop();
    drop(receiver);
    let written = reporter.finish();
    let stopped = server.map_or(Ok(()), Embedded::stop);
    match (written.and(stopped), reporter.take_only_error()) {
        (Ok(()), None) => Ok(reporter.outcome()),
        (Ok(()), Some(error)) => Err(error),
        (Err(last), only) => {
            only.iter().for_each(|error| failure::report(error, output));
            Err(last)
        }
    }
}

/// Decides what depends on all targets: which receive timestamps they all have, and how much of the
/// time each gets if they are measured one after another.
fn settle(config: &mut config::Ping) {
    let has_kernel = |target: &PingOptions| TimestampSource::has_kernel(target.connect.endpoint.transport());
    let common =
        if config.targets.iter().all(has_kernel) { TimestampSource::Kernel } else { TimestampSource::User };
    let count = u32::try_from(config.targets.len()).unwrap_or(u32::MAX).max(1);
    for target in &mut config.targets {
        target.timestamps = config.timestamps.unwrap_or(common);
        if config.in_turn {
            target.deadline = target.deadline.map(|deadline| deadline / count);
        }
    }
}

/// Starts a server at the targets, or on every family if there are none. Its endpoints become the
/// targets.
fn serve(config: &mut config::Ping, output: Output) -> Result<Embedded> {
    let wanted: Vec<_> = config.targets.iter().map(target).collect();
    let server = match wanted.is_empty() {
        true => Embedded::everywhere(),
        false => Embedded::at(&wanted, config.stamp.key.clone()),
    }?;
    write_notes(&server.notes, output)?;
    let is_connect = matches!(config.template.probe, Probe::Connect(_));
    let is_measured =
        |ping: &PingOptions| !is_connect || ping.connect.endpoint.transport().kind() != Kind::Datagrams;
    config.targets = server.targets().map(|target| config.options(target)).filter(is_measured).collect();
    Ok(server)
}

fn target(ping: &PingOptions) -> Target {
    let service = match ping.probe {
        Probe::Stamp(_) => Service::Stamp,
        _ => Service::Echo,
    };
    Target { service, endpoint: ping.connect.endpoint.clone() }
}

fn write_notes(notes: &[String], output: Output) -> Result<()> {
    let mut notes = notes.iter().filter(|_| !output.quiet);
    Ok(notes.try_for_each(|text| note(&mut stderr(), text, output.json))?)
}

/// Lets a signal end the ping, and another one the process at once, after it has removed the folder
/// of the server's sockets. SIGUSR1 and SIGQUIT (Ctrl-\) request interim
/// statistics.
fn watch_signals(signals: Signals, control: &Arc<PingControl>, folder: Option<PathBuf>) -> Result<()> {
    let (reporting, stop) = (Arc::clone(control), control.stop_token().clone());
    // A folder that is gone already needs no removal.
    let clean_up = move || drop(folder.map(fs::remove_dir_all));
    signals::stop_on_signal(signals, stop, move || reporting.request_interim(), clean_up).map(drop)
}

/// Returns how long the ping takes if every reply arrives; `None` if it does not end by itself.
fn length(targets: &[PingOptions], in_turn: bool) -> Option<Duration> {
    let of = |ping: &PingOptions| {
        let intervals = ping.count.map(|count| u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX));
        let interval = ping.pace.interval().unwrap_or_default();
        let by_count = intervals.map(|intervals| interval.saturating_mul(intervals));
        [by_count, ping.deadline].into_iter().flatten().min()
    };
    targets.iter().try_fold(Duration::ZERO, |length, ping| {
        Some(if in_turn { length.saturating_add(of(ping)?) } else { length.max(of(ping)?) })
    })
}

/// Starts the thread that measures all targets.
fn start(config: &config::Ping, control: &Arc<PingControl>) -> Result<Receiver<(usize, TargetEvent)>> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let mut targets = config.targets.clone();
    let (share, mut running) = (1.0 / targets.len() as f64, targets.len());
    if !config.in_turn {
        for (place, ping) in targets.iter_mut().enumerate() {
            ping.start_delay = ping.pace.interval().unwrap_or_default().mul_f64(place as f64 * share);
        }
    }
    let order = if config.in_turn { Order::InTurn } else { Order::AtOnce };
    // A sweep has one pinger for each target, which ends when its larger sizes are left out.
    let is_sweep = config.sweep.is_some();
    let size = config.sweep.map_or(targets.len(), RequestSizes::count).max(1);
    let pinger = |targets: &[PingOptions]| Pinger::new(targets.to_vec(), order, Arc::clone(control));
    let pingers: io::Result<Vec<Pinger>> = targets.chunks(size).map(pinger).collect();
    let pingers = pingers.context("cannot prepare the measurement")?;
    let stop = control.stop_token().clone();
    let measure = move || {
        for (first, pinger) in (0..).step_by(size).zip(pingers) {
            let (mut progress, mut is_open) = (Progress::default(), true);
            pinger.run(|place, event| {
                running -= usize::from(matches!(event, TargetEvent::Ended { .. }));
                if running == 0 {
                    // The send may have to wait for a writer that waits for its reader.
                    console::expect_end_after(Duration::ZERO);
                }
                let goes_on = !is_sweep || progress.goes_on_after(&event);
                is_open = sender.send((first + place, event)).is_ok();
                is_open && goes_on
            });
            if !is_open || stop.is_stopped() {
                return;
            }
        }
    };
    thread::Builder::new().name("ping".into()).spawn(measure).map_err(ThreadError::of("a thread"))?;
    Ok(receiver)
}
