//! `sounder serve`

use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use echosounder_server::{Running, Server};
use echosounder_socket::{Interest, Signal, Signals, ready};

use super::transcript::{self, Writer};
use crate::args::Output;
use crate::config::{Serve, Transcript};
use crate::render::transcript::{listening, summary};
use crate::report::{Outcome, plain};

/// Answers until a signal says to stop.
pub(crate) fn run(config: Serve, output: Output) -> Result<Outcome> {
    let signals = Signals::receive().context("receive signals")?;
    let server = Server::bind(config.server)?;
    let lacking = server.notes().iter().any(|note| note.whole_endpoint);
    announce(&server, config.on_defaults, output)?;

    // Errors are told even if nothing else is; then they are no part of a transcript.
    let out: Box<dyn Write + Send> = match config.transcript {
        Transcript::Off => Box::new(io::stderr()),
        _ => Box::new(io::stdout()),
    };
    let (reporter, writer) =
        transcript::start(config.transcript, output.json, out).context("start the transcript")?;
    let running = server.start(|| reporter.clone())?;
    drop(reporter);

    await_the_end(&signals, &running, &writer, output)?;
    // From here on a second signal ends the program at once.
    drop(signals);
    stop(running, writer, output)?;
    Ok(if lacking { Outcome::Lacking } else { Outcome::Done })
}

/// Tells where the server answers, and what it does without.
fn announce(server: &Server, on_defaults: bool, output: Output) -> Result<()> {
    let mut err = io::stderr().lock();
    for note in server.notes() {
        let reason = plain(&note.error.cause().to_string());
        writeln!(err, "note: {}: {reason}", note.error)?;
    }
    if output.quiet {
        return Ok(());
    }
    for endpoint in server.endpoints() {
        listening(&mut err, endpoint, output.json)?;
    }
    if on_defaults && !output.json {
        writeln!(err, "hint: in another terminal \"sounder talk\"; for other hosts \"serve tcp:// udp://\"")?;
    }
    Ok(())
}

/// Waits for a signal to stop, or for something that ends the server otherwise. Whoever asks is told how things
/// stand meanwhile.
fn await_the_end(signals: &Signals, running: &Running, writer: &Writer, output: Output) -> Result<()> {
    let readable = |fd| (fd, Interest::Read);
    let ends = [readable(signals.as_fd()), readable(running.ended()), readable(writer.broken().as_fd())];
    loop {
        let [signalled, ended, broken] = ready(ends, None).context("wait for a signal")?;
        match signals.next().context("receive a signal")? {
            Some(Signal::User1) => summary(&mut io::stderr().lock(), &running.totals(), output.json)?,
            Some(Signal::Interrupt | Signal::Terminate) => return Ok(()),
            None if ended.readable || broken.readable => return Ok(()),
            None => debug_assert!(!signalled.readable, "a signal that is told can be read"),
        }
    }
}

fn stop(running: Running, writer: Writer, output: Output) -> Result<()> {
    let totals = running.stop().context("answer")?;
    let written = writer.finish();
    if !output.quiet {
        summary(&mut io::stderr().lock(), &totals, output.json)?;
    }
    written.context("write the transcript")
}
