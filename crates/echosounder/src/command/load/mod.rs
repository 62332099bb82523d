//! `sounder load`: generates load as its options say, and reports the result.

mod output;
mod server_process;

use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{LoadError, LoadEvent, LoadReport, Pace, RampEvent, load, ramp};
use echosounder_socket::Signal;
use echosounder_socket::internal::raise_fd_limit;

use self::output::{LoadOutput, report_note};
use self::server_process::ServerProcess;
use super::console::{self, Console};
use super::{result_file, signals};
use crate::config;
use crate::failure::{Advised, Outcome};
use crate::hints::socket::ports_in_time_wait;
use crate::output::Output;

/// Runs the command.
pub(crate) fn run(mut config: config::Load, output: Output) -> Result<Outcome> {
    // Each connection needs a file descriptor.
    raise_fd_limit().context("cannot raise the limit of open files")?;
    result_file::find_stdout(&mut config.output);
    // A file that cannot be written is reported before the load, not after it.
    let files = result_file::open_all(&config.output)?;
    // Before the server starts, which must not be left behind, and before the first thread.
    let signals = signals::receive(&[Signal::User1])?;
    let server =
        config.with_server.then(|| ServerProcess::start(&config.load.connect.endpoint)).transpose()?;
    if let Some(server) = &server {
        config.load.connect.endpoint = server.endpoint().clone();
    }
    let stop = config.load.stop.clone();
    let terminate_server = server.as_ref().map(ServerProcess::terminator);
    // After a second signal nobody waits for the server.
    let clean_up = move || terminate_server.into_iter().for_each(|terminate| terminate());
    signals::stop_on_signal(signals, stop, || (), clean_up)?;
    limit_console(&config);
    let console = Console::beside(&config.output);
    let load_output = LoadOutput::new(output, console, &files, config.load.stop.clone());
    run_with(config, output, load_output, server.as_ref())
}

/// Sets when the console is no longer waited for, if the length of the load is known. The progress
/// of a load whose length is unknown fits into any pipe.
fn limit_console(config: &config::Load) {
    let has_length = config.load.messages.is_none() && config.ramp.is_none();
    let length = config.load.duration.filter(|_| has_length);
    console::expect_end_after(length.map_or(Duration::ZERO, |length| config.load.warm_up + length));
}

/// Generates the load and writes its result.
fn run_with(
    mut config: config::Load,
    output: Output,
    mut load_output: LoadOutput<'_>,
    server: Option<&ServerProcess>,
) -> Result<Outcome> {
    let endpoint = config.load.connect.endpoint.clone();
    let keeps_ports = config.load.connect_each.is_some_and(|connect| !connect.reset);
    let failed = |error| match error {
        LoadError::Connect(error) => match ports_in_time_wait(&error).filter(|_| keeps_ports) {
            Some(hint) => Advised::new(error, hint).into(),
            None => Advised::at(&endpoint, error, ", or try --self"),
        },
        error => anyhow::Error::from(error),
    };
    let cpu_before = server.map(ServerProcess::cpu_time);
    let report = measure(&mut config, &mut load_output).map_err(failed)?;
    let cpu_after = server.map(ServerProcess::cpu_time);
    let is_stopped = config.load.stop.is_stopped();
    let Some(report) = report else {
        load_output.finish_without_result()?;
        let why = match is_stopped {
            true => "stopped before any rate was found",
            false => "no tested rate met the p99 limit",
        };
        report_note(why, output)?;
        return Ok(Outcome::Incomplete);
    };
    // A ramp has many loads, so the server's CPU time is not that of the result.
    let server_cpu = cpu_after
        .zip(cpu_before)
        .filter(|_| config.ramp.is_none())
        .map(|(after, before)| after.saturating_sub(before));
    load_output.finish(&config.load, &report, server_cpu)?;
    match report.failure() {
        Some(error) if !is_stopped => return Err(failed(error)),
        _ => {}
    }
    if report.is_empty() && !is_stopped {
        report_note("no message came due while it was measured; see --duration", output)?;
    }
    Ok(if report.is_complete(&config.load) { Outcome::Done } else { Outcome::Incomplete })
}

/// Generates one load, or those of a ramp. The report is that of the highest rate that met the
/// bound, if any did, and the options are then changed to that rate.
fn measure(
    config: &mut config::Load,
    load_output: &mut LoadOutput<'_>,
) -> Result<Option<LoadReport>, LoadError> {
    let Some(options) = config.ramp else {
        let plan = &config.load;
        let on_event = |event: LoadEvent<'_>| match event {
            LoadEvent::Interval(interval) => load_output.interval(&interval),
            LoadEvent::Checkpoint(report) => load_output.checkpoint(plan, report),
            _ => {}
        };
        return load(plan, on_event).map(Some);
    };
    let best = ramp(&config.load, options, |event| match event {
        RampEvent::Interval(interval) => load_output.interval(&interval),
        RampEvent::Step(step) => load_output.step(step, options.p99_max),
        _ => {}
    })?;
    Ok(best.map(|step| {
        config.load.pace = Pace::Open { rate: step.rate, spacing: options.spacing };
        step.report
    }))
}
