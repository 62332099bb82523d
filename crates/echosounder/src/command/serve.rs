//! `sounder serve`

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_server::{Note, Running, Server};
use echosounder_socket::{Endpoint, Interest, Signal, Signals, ready};

use super::signals;
use super::transcript::{self, Writer};
use crate::args::Output;
use crate::config::{Serve, Transcript};
use crate::failure::{ABSENT_HINT, Outcome, plain};
use crate::render::transcript::{listening, note, summary};
use crate::stderr::stderr;

/// How often waiting for a signal may fail in a row, and how long it rests after each time.
const WAITS_MAX: usize = 8;
const PAUSE: Duration = Duration::from_millis(250);

/// Answers until a signal says to stop.
pub(crate) fn run(config: Serve, output: Output) -> Result<Outcome> {
    let server = Server::bind(config.server)?;
    // Before the first thread, which inherits what is blocked; but not before names were looked up, which takes
    // long where it fails, and may be interrupted.
    let signals = signals::receive(&[Signal::User1, Signal::Quit])?;
    let lacking = server.notes().iter().any(|note| note.whole_endpoint);
    let endpoints: Vec<Endpoint> = server.endpoints().cloned().collect();
    tell_notes(server.notes(), output)?;

    // Errors are told even if nothing else is; then they are no part of a transcript.
    let out: Box<dyn Write + Send> = match config.transcript {
        Transcript::Off => Box::new(stderr()),
        _ => Box::new(io::stdout()),
    };
    let (reporter, writer) =
        transcript::start(config.transcript, output.json, out).context("cannot start the transcript")?;
    let running = server.start(|| reporter.clone())?;
    drop(reporter);
    announce(&endpoints, config.on_defaults, output)?;

    let input = io::stdin();
    // Where the input tells nothing, another end stands in for it.
    let input = if config.until_input_ends { input.as_fd() } else { running.ended() };
    await_the_end(&signals, [running.ended(), writer.broken().as_fd(), input], &running, output)?;
    signals::die_of_the_next(signals)?;
    stop(running, writer, output)?;
    Ok(if lacking { Outcome::Incomplete } else { Outcome::Done })
}

/// Tells what the server does without.
fn tell_notes(notes: &[Note], output: Output) -> Result<()> {
    for missing in notes {
        let text = format!("{}: {}", missing.error, plain(&missing.error.cause().to_string()));
        note(&mut stderr(), &text, output.json)?;
    }
    if notes.iter().any(|note| note.whole_endpoint) && !output.json {
        writeln!(stderr(), "hint: {ABSENT_HINT}")?;
    }
    Ok(())
}

/// Tells where the server answers, as soon as it does.
fn announce(endpoints: &[Endpoint], on_defaults: bool, output: Output) -> Result<()> {
    if output.quiet {
        return Ok(());
    }
    let mut err = stderr();
    for endpoint in endpoints {
        listening(&mut err, endpoint, output.json)?;
    }
    if on_defaults && !output.json {
        writeln!(err, "hint: in another terminal \"sounder talk\"; for other hosts \"serve tcp:// udp://\"")?;
    }
    Ok(())
}

/// Waits for a signal to stop, or until one of what ends the server otherwise is readable. Whoever asks is told how things
/// stand meanwhile.
fn await_the_end(
    signals: &Signals,
    ends: [BorrowedFd<'_>; 3],
    running: &Running,
    output: Output,
) -> Result<()> {
    let [one, other, third] = ends;
    let waited = [signals.as_fd(), one, other, third].map(|fd| (fd, Interest::Read));
    let mut failed = 0;
    loop {
        let ended = match ready(waited, None) {
            Ok([_, ends @ ..]) => {
                failed = 0;
                ends.iter().any(|end| end.readable)
            }
            Err(error) if WAITS_MAX <= failed => return Err(error).context("cannot wait for a signal"),
            Err(_) => {
                failed += 1;
                thread::park_timeout(PAUSE);
                false
            }
        };
        match signals.next().context("cannot receive a signal")? {
            Some(Signal::User1 | Signal::Quit) => summary(&mut stderr(), &running.totals(), output.json)?,
            // After the ^C that the terminal shows, a line of our own begins.
            Some(Signal::Interrupt) if io::stderr().is_terminal() => return Ok(writeln!(stderr())?),
            Some(Signal::Interrupt | Signal::Terminate | Signal::Hangup) => return Ok(()),
            None if ended => return Ok(()),
            None => {}
        }
    }
}

fn stop(running: Running, writer: Writer, output: Output) -> Result<()> {
    let totals = running.stop().context("cannot run the server")?;
    let written = writer.finish();
    if !output.quiet {
        summary(&mut stderr(), &totals, output.json)?;
    }
    written.context("cannot write the transcript")
}
