//! `sounder serve`: runs a server and writes its transcript until a signal stops it.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_server::{Note, Running, Server};
use echosounder_socket::{Interest, Signal, StopToken, Waker, is_invalid_call, ready};

use super::transcript::{self, Plan, WriterThread};
use super::{sandbox, signals, socket_paths};
use crate::config::Serve;
use crate::failure::{ABSENT_HINT, Outcome, ThreadError, plain};
use crate::output::{Output, Transcript};
use crate::render::numbers::counted;
use crate::render::serve::{listening, note, summary};
use crate::run_as::RunAs;
use crate::stderr::stderr;
use crate::target::Target;

/// How many waits may fail in a row because the call is invalid.
const INVALID_WAITS_MAX: usize = 8;

/// How long to pause after a failed wait.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs the server until a signal stops it. `output` is for standard output, and `log` for standard
/// error.
pub(crate) fn run(config: Serve, output: Output, log: Output) -> Result<Outcome> {
    let mut server = config.server.bind(config.endpoints)?;
    server.add_reflectors(config.reflectors)?;
    // Threads inherit the signal mask and the sandbox, so both precede the first thread. A lookup of
    // names can take long and should be interruptible, so the signals are blocked after it.
    let signals = signals::receive(&[Signal::User1, Signal::Quit])?;
    let restrictions = restrict(&mut server, config.user.as_ref(), config.sandbox)?;
    let is_incomplete = server.notes().iter().any(|note| note.whole_endpoint);
    print_notes(server.notes(), log)?;
    config.notes.iter().chain(&restrictions).try_for_each(|text| note(&mut stderr(), text, log.json))?;

    // Without a transcript, its writer only prints errors to standard error.
    let as_json = if config.transcript == Transcript::Off { log.json } else { output.json };
    let plan = Plan { wanted: config.transcript, as_json, bytes_max: config.transcript_max };
    let (reporter, writer) = transcript::start(plan).map_err(ThreadError::of("the transcript"))?;
    let running = server.start_with(reporter)?;
    announce(&running, config.on_defaults, log)?;

    let input = io::stdin();
    // If the end of input is not of interest, `ended` takes its place.
    let input = if config.until_input_ends { input.as_fd() } else { running.ended() };
    let stop = StopToken::new().context("cannot create an eventfd")?;
    let report = Arc::new(Waker::new().context("cannot create an eventfd")?);
    let request_report = {
        let report = Arc::clone(&report);
        // A write to an eventfd fails only if it is readable already.
        move || drop(report.wake())
    };
    let first_signal = signals::stop_on_signal(signals, stop.clone(), request_report, || ())?;
    let ends = [stop.as_fd(), running.ended(), writer.broken().as_fd(), input];
    wait_for_end(ends, &report, &running, log)?;
    if first_signal.is_interrupt() && io::stderr().is_terminal() {
        // The terminal has printed ^C, so the statistics begin on a new line.
        writeln!(stderr())?;
    }
    finish(running, writer, log)?;
    Ok(if is_incomplete { Outcome::Incomplete } else { Outcome::Done })
}

/// Gives up the privileges and the access to the system that the bound server does not need. Returns
/// notes about the restrictions.
fn restrict(server: &mut Server, user: Option<&RunAs>, sandbox: bool) -> Result<Vec<String>> {
    server.prepare()?;
    let mut notes = Vec::new();
    if let Some(user) = user {
        user.become_user()?;
        let name = user.name();
        let lasting = server.endpoints().filter(|endpoint| {
            socket_paths::path(endpoint).is_some_and(|path| !socket_paths::is_removable(path))
        });
        notes.extend(lasting.map(|endpoint| {
            format!("{endpoint} remains when the server stops: user {name} may not remove it")
        }));
    }
    if sandbox {
        notes.extend(sandbox::enter(server.endpoints(), server.reflectors().next().is_some()));
    }
    Ok(notes)
}

/// Prints the addresses that the server does not serve.
fn print_notes(notes: &[Note], output: Output) -> Result<()> {
    for missing in notes {
        let text = format!("{}: {}", missing.error, plain(&missing.error.cause().to_string()));
        note(&mut stderr(), &text, output.json)?;
    }
    if notes.iter().any(|note| note.whole_endpoint) && !output.json {
        writeln!(stderr(), "hint: {ABSENT_HINT}")?;
    }
    Ok(())
}

/// Prints the endpoints, now that the server serves them.
fn announce(running: &Running, on_defaults: bool, output: Output) -> Result<()> {
    if output.quiet {
        return Ok(());
    }
    let mut err = stderr();
    let echoes = running.endpoints().map(|endpoint| Target::from(endpoint.clone()));
    let reflectors = running.reflectors().map(|endpoint| Target::reflector(endpoint.clone()));
    for target in echoes.chain(reflectors) {
        listening(&mut err, &target, output.json)?;
    }
    if on_defaults && !output.json {
        writeln!(err, "hint: in another terminal \"sounder talk\"; for other hosts \"serve tcp:// udp://\"")?;
    }
    Ok(())
}

/// Waits until one of `ends` is readable. Prints statistics whenever `report` wakes it.
fn wait_for_end(ends: [BorrowedFd<'_>; 4], report: &Waker, running: &Running, output: Output) -> Result<()> {
    let [stop, ended, broken, input] = ends;
    let waited = [report.as_fd(), stop, ended, broken, input].map(|fd| (fd, Interest::READ));
    let mut failures = 0;
    loop {
        match ready(waited, None) {
            Ok([report_state, ends @ ..]) => {
                failures = 0;
                if report_state.can_read() {
                    report.reset().context("cannot read an eventfd")?;
                    summary(&mut stderr(), &running.totals(), output.json)?;
                }
                if ends.iter().any(|end| end.can_read()) {
                    return Ok(());
                }
            }
            Err(error) if INVALID_WAITS_MAX <= failures && is_invalid_call(&error) => {
                return Err(error).context("cannot wait");
            }
            // The workers report failures that concern the whole process.
            Err(_) => {
                failures += 1;
                thread::park_timeout(PAUSE);
            }
        }
    }
}

fn finish(running: Running, writer: WriterThread, output: Output) -> Result<()> {
    let totals = running.stop().context("cannot run the server")?;
    let written = writer.finish();
    if !output.quiet {
        summary(&mut stderr(), &totals, output.json)?;
    }
    let ending = written.context("cannot write the transcript")?;
    let missing = counted(ending.left_out, "line");
    match ending.cause {
        Some(cause) => Err(cause).with_context(|| format!("cannot write {missing} of the transcript")),
        None if ending.left_out != 0 && !output.quiet => {
            let text = format!("{missing} left out of the transcript, which has its maximum size");
            Ok(note(&mut stderr(), &text, output.json)?)
        }
        None => Ok(()),
    }
}
