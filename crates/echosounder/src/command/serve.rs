//! `sounder serve`

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_server::{Note, Running, Server};
use echosounder_socket::{Endpoint, Interest, Signal, Signals, ready};

use super::transcript::{self, Writer};
use crate::args::Output;
use crate::config::{Serve, Transcript};
use crate::render::transcript::{listening, note, summary};
use crate::report::{ABSENT_HINT, Outcome, plain};

/// How long after the first signal another is taken for the same.
const WITH_THE_FIRST: Duration = Duration::from_millis(100);

/// Answers until a signal says to stop.
pub(crate) fn run(config: Serve, output: Output) -> Result<Outcome> {
    let server = Server::bind(config.server)?;
    // Before the first thread, which inherits what is blocked; but not before names were looked up, which takes
    // long where it fails, and may be interrupted.
    let signals = Signals::receive(&[Signal::Interrupt, Signal::Terminate, Signal::User1, Signal::Quit])
        .context("receive signals")?;
    let lacking = server.notes().iter().any(|note| note.whole_endpoint);
    let endpoints: Vec<Endpoint> = server.endpoints().cloned().collect();
    tell_notes(server.notes(), output)?;

    // Errors are told even if nothing else is; then they are no part of a transcript.
    let out: Box<dyn Write + Send> = match config.transcript {
        Transcript::Off => Box::new(io::stderr()),
        _ => Box::new(io::stdout()),
    };
    let (reporter, writer) =
        transcript::start(config.transcript, output.json, out).context("start the transcript")?;
    let running = server.start(|| reporter.clone())?;
    drop(reporter);
    announce(&endpoints, config.on_defaults, output)?;

    let input = io::stdin();
    // Where the input tells nothing, another end stands in for it.
    let input = if config.until_input_ends { input.as_fd() } else { running.ended() };
    await_the_end(&signals, [running.ended(), writer.broken().as_fd(), input], &running, output)?;
    heed_the_second(signals).context("start a thread")?;
    stop(running, writer, output)?;
    Ok(if lacking { Outcome::Lacking } else { Outcome::Done })
}

/// Tells what the server does without.
fn tell_notes(notes: &[Note], output: Output) -> Result<()> {
    for missing in notes {
        let text = format!("{}: {}", missing.error, plain(&missing.error.cause().to_string()));
        note(&mut io::stderr().lock(), &text, output.json)?;
    }
    if notes.iter().any(|note| note.whole_endpoint) && !output.json {
        writeln!(io::stderr(), "hint: {ABSENT_HINT}")?;
    }
    Ok(())
}

/// Tells where the server answers, as soon as it does.
fn announce(endpoints: &[Endpoint], on_defaults: bool, output: Output) -> Result<()> {
    if output.quiet {
        return Ok(());
    }
    let mut err = io::stderr().lock();
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
    loop {
        let [signalled, ends @ ..] = ready(waited, None).context("wait for a signal")?;
        match signals.next().context("receive a signal")? {
            Some(Signal::User1 | Signal::Quit) => {
                summary(&mut io::stderr().lock(), &running.totals(), output.json)?
            }
            // Behind the ^C that the terminal shows, a line of our own begins.
            Some(Signal::Interrupt) if io::stderr().is_terminal() => return Ok(writeln!(io::stderr())?),
            Some(Signal::Interrupt | Signal::Terminate) => return Ok(()),
            None if ends.iter().any(|end| end.readable) => return Ok(()),
            None => debug_assert!(!signalled.readable, "a signal that is told can be read"),
        }
    }
}

/// From here on another signal ends the program at once. Not one that comes with the first, as from timeout(1),
/// which sends two.
fn heed_the_second(signals: Signals) -> io::Result<()> {
    let heed = move || {
        let _ = ready([], Some(WITH_THE_FIRST));
        drop(signals);
        // It is this thread that does not block them now, so it must be there to receive them.
        while ready([], None).is_ok() {}
    };
    thread::Builder::new().name("signals".into()).spawn(heed).map(drop)
}

fn stop(running: Running, writer: Writer, output: Output) -> Result<()> {
    let totals = running.stop().context("answer")?;
    let written = writer.finish();
    if !output.quiet {
        summary(&mut io::stderr().lock(), &totals, output.json)?;
    }
    written.context("write the transcript")
}
