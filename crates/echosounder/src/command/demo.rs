//! `sounder demo`: a server of its own on every kind of socket, and a thousand questions to each.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{
    ClientError, ConnectOptions, IpOptions, Peer, Received, ReceivedKind, RequestOutcome, WaitLimit,
};
use echosounder_proto::{Scan, scan};
use echosounder_socket::{Endpoint, IpVersion, Signals, StopToken};
use hdrhistogram::Histogram;

use crate::args::Output;
use crate::command::console::stdout;
use crate::command::embedded::Embedded;
use crate::command::signals;
use crate::failure::{Outcome, sentence};
use crate::render::demo::echoes::Echoes;
use crate::render::demo::json;
use crate::render::demo::text::Table;
use crate::render::escape::{Escaped, Harmless};
use crate::render::json::EventTime;
use crate::render::numbers::whole_nanos;
use crate::render::style::Style;
use crate::render::transcript::note;
use crate::stderr::stderr;

/// How often each endpoint is asked.
const ECHOES: u64 = 1000;

/// How long an answer may take; on one machine, far more than it does.
const WAIT: Duration = Duration::from_secs(2);

pub(crate) fn run(output: Output) -> Result<Outcome> {
    let signals = signals::receive(&[])?;
    let server = Embedded::everywhere()?;
    let stop = Arc::new(AtomicBool::new(false));
    watch(signals, Arc::clone(&stop), server.folder())?;
    let endpoints = server.endpoints.clone();
    let mut out = stdout();
    let all_right = if output.json {
        objects(&mut out, endpoints, &server.notes, &stop)
    } else {
        tour(&mut out, Style::stdout(output), endpoints, &server.notes, &stop)
    }?;
    server.stop()?;
    Ok(if all_right { Outcome::Done } else { Outcome::Incomplete })
}

/// Starts to watch for signals: the first stops the demo, another ends the program at once, without leaving sockets
/// behind.
fn watch(signals: Signals, stop: Arc<AtomicBool>, folder: Option<PathBuf>) -> Result<()> {
    let clean_up = move || drop(folder.map(fs::remove_dir_all));
    signals::watch(signals, || {}, move || stop.store(true, Ordering::Relaxed), clean_up).map(drop)
}

/// An object for each endpoint; whether all was well is returned.
fn objects(
    out: &mut impl Write,
    endpoints: Vec<Endpoint>,
    notes: &[String],
    stop: &AtomicBool,
) -> Result<bool> {
    notes.iter().try_for_each(|text| note(&mut stderr(), text, true))?;
    let mut all_right = true;
    for endpoint in endpoints {
        let row = sound(endpoint, stop)?;
        json::result(out, &EventTime::now(), &row)?;
        all_right &= is_complete(&row);
    }
    Ok(all_right)
}

/// The tour for people; whether all was well is returned.
fn tour(
    out: &mut impl Write,
    style: Style,
    endpoints: Vec<Endpoint>,
    notes: &[String],
    stop: &AtomicBool,
) -> Result<bool> {
    let out = &mut style.wrapped(out);
    writeln!(out, "An echo sounder sends a pulse, times the echo, and so knows the depth.\n")?;
    writeln!(out, "1. Talk: a server on a free port puts the time before every message")?;
    let mut all_right = true;
    if let Some(endpoint) = endpoints.first() {
        all_right &= talk(out, endpoint)?;
    }
    writeln!(out, "\n2. Every socket: the same server, 1,000 echoes on each")?;
    let width = endpoints.iter().map(|endpoint| endpoint.to_string().len()).max().unwrap_or(0);
    let table = Table::new(style, width);
    table.header(out)?;
    for endpoint in endpoints {
        let row = sound(endpoint, stop)?;
        table.row(out, &row)?;
        all_right &= is_complete(&row);
    }
    for note in notes {
        writeln!(out, "   {}", Harmless(note))?;
    }
    writeln!(out, "\n3. Your turn, in two terminals: sounder serve / sounder talk")?;
    Ok(all_right)
}

/// Says hello, and shows what comes back; whether it was right is returned.
fn talk(out: &mut impl Write, endpoint: &Endpoint) -> Result<bool> {
    writeln!(out, "   >hello")?;
    let mut answer = Vec::new();
    let asked = connect(endpoint.clone()).and_then(|mut peer| ask(&mut peer, b"hello", &mut answer));
    match asked {
        Ok(Some(rtt)) => {
            writeln!(out, "   Server: {}   {:.2} ms", Escaped(&answer), rtt.as_secs_f64() * 1e3)?;
        }
        Ok(None) => writeln!(out, "   no reply within {WAIT:?}")?,
        Err(error) => writeln!(out, "   {}", Harmless(&sentence(error.chain())))?,
    }
    Ok(is_right(&answer, b"hello"))
}

/// Asks an endpoint again and again, and looks at every answer.
///
/// # Errors
///
/// If a signal says to stop: whoever called tidies up then.
fn sound(endpoint: Endpoint, stop: &AtomicBool) -> Result<Echoes> {
    let mut row = Echoes { endpoint: endpoint.to_string(), ..Echoes::default() };
    let mut times = Histogram::<u64>::new(3)?;
    let mut interrupted = false;
    let echo_all = || -> Result<()> {
        let mut peer = connect(endpoint)?;
        let mut answer = Vec::new();
        for number in 1..=ECHOES {
            let message = format!("echo {number:04}");
            interrupted = stop.load(Ordering::Relaxed);
            if interrupted {
                break;
            }
            row.sent += 1;
            answer.clear();
            match ask(&mut peer, message.as_bytes(), &mut answer)? {
                Some(_) if !is_right(&answer, message.as_bytes()) => row.unexpected += 1,
                Some(rtt) => {
                    row.answered += 1;
                    times.record(whole_nanos(rtt))?;
                }
                None => {
                    row.lost += 1;
                    anyhow::bail!("no answer within {WAIT:?}");
                }
            }
        }
        Ok(())
    };
    row.error = echo_all().err().map(|error| sentence(error.chain()));
    anyhow::ensure!(!interrupted, "interrupted");
    row.rtt = (&times).into();
    Ok(row)
}

fn is_complete(echoes: &Echoes) -> bool {
    echoes.answered == ECHOES && echoes.unexpected == 0 && echoes.error.is_none()
}

fn connect(endpoint: Endpoint) -> Result<Peer> {
    let options = ConnectOptions {
        endpoint,
        ip_version: IpVersion::Any,
        source: None,
        ip_options: IpOptions::default(),
        wait: WAIT,
    };
    let limit = WaitLimit::new(StopToken::new()?, Duration::MAX);
    Ok(Peer::connect(options, limit)?)
}

/// Asks once and gathers the answer; `None` if none comes in time.
fn ask(peer: &mut Peer, message: &[u8], answer: &mut Vec<u8>) -> Result<Option<Duration>> {
    let mut after = None;
    let mut on_received = |received: Received<'_>| {
        answer.extend_from_slice(received.bytes);
        if let ReceivedKind::Reply(elapsed) = received.kind {
            after = Some(elapsed);
        }
        Ok::<(), ClientError>(())
    };
    match peer.request(message, &mut on_received)? {
        RequestOutcome::Replied => Ok(after),
        RequestOutcome::TimedOut | RequestOutcome::Stopped => Ok(None),
        RequestOutcome::Closed => anyhow::bail!("the server has ended the conversation"),
    }
}

/// Whether an answer is a stamp and what was said.
fn is_right(answer: &[u8], said: &[u8]) -> bool {
    matches!(scan(answer), Scan::Timestamp(_, len) if &answer[len..] == said)
}
