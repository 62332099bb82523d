//! `sounder demo`: one conversation with a server of its own, then 1,000 verified echoes on every
//! socket type.

use std::fs;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use echosounder_client::{
    ClientError, ConnectOptions, Distribution, Peer, Received, ReceivedKind, RequestOutcome, WaitLimit,
};
use echosounder_proto::{Scan, scan};
use echosounder_socket::{Endpoint, Signal, StopToken};

use crate::command::console::stdout;
use crate::command::embedded::Embedded;
use crate::command::signals;
use crate::failure::{Outcome, sentence};
use crate::output::Output;
use crate::render::demo::echoes::Echoes;
use crate::render::demo::json;
use crate::render::demo::text::Table;
use crate::render::escape::{Escaped, Harmless};
use crate::render::json::EventTime;
use crate::render::serve::note;
use crate::render::style::Style;
use crate::stderr::stderr;

/// The number of messages to each endpoint.
const ECHOES: u64 = 1000;

/// How long to wait for a reply. A reply on this machine takes far less.
const WAIT: Duration = Duration::from_secs(2);

/// Shows the tour, or prints an object for each endpoint.
pub(crate) fn run(output: Output) -> Result<Outcome> {
    let signals = signals::receive(&[Signal::User1])?;
    let server = Embedded::everywhere()?;
    let stop = StopToken::new().context("cannot create an eventfd")?;
    let folder = server.folder();
    // If the folder cannot be removed, nothing can be done about it at a second signal.
    let clean_up = move || drop(folder.map(fs::remove_dir_all));
    signals::stop_on_signal(signals, stop.clone(), || (), clean_up)?;
    let endpoints = server.endpoints.clone();
    let mut out = stdout();
    let is_complete = if output.json {
        print_objects(&mut out, endpoints, &server.notes, &stop)
    } else {
        show_tour(&mut out, Style::stdout(output), endpoints, &server.notes, &stop)
    }?;
    server.stop()?;
    Ok(if is_complete { Outcome::Done } else { Outcome::Incomplete })
}

/// Prints an object for each endpoint. Returns whether every reply was right.
fn print_objects(
    out: &mut impl Write,
    endpoints: Vec<Endpoint>,
    notes: &[String],
    stop: &StopToken,
) -> Result<bool> {
    notes.iter().try_for_each(|text| note(&mut stderr(), text, true))?;
    let mut all_complete = true;
    for endpoint in endpoints {
        let echoes = echo(endpoint, stop)?;
        json::result(out, &EventTime::now(), &echoes)?;
        all_complete &= is_complete(&echoes);
    }
    Ok(all_complete)
}

/// Shows the tour. Returns whether every reply was right.
fn show_tour(
    out: &mut impl Write,
    style: Style,
    endpoints: Vec<Endpoint>,
    notes: &[String],
    stop: &StopToken,
) -> Result<bool> {
    let out = &mut style.wrapped(out);
    writeln!(out, "An echo sounder sends a pulse, times the echo, and so knows the depth.\n")?;
    writeln!(out, "1. Talk: a server on a free port puts the time before every message")?;
    let mut all_complete = true;
    if let Some(endpoint) = endpoints.first() {
        all_complete &= talk(out, endpoint, stop)?;
    }
    writeln!(out, "\n2. Every socket: the same server, 1,000 echoes on each")?;
    let width = endpoints.iter().map(|endpoint| endpoint.to_string().len()).max().unwrap_or(0);
    let table = Table::new(style, width);
    table.header(out)?;
    for endpoint in endpoints {
        let echoes = echo(endpoint, stop)?;
        table.row(out, &echoes)?;
        all_complete &= is_complete(&echoes);
    }
    for note in notes {
        writeln!(out, "   {}", Harmless(note))?;
    }
    writeln!(out, "\n3. Your turn, in two terminals: sounder serve / sounder talk")?;
    Ok(all_complete)
}

/// Sends one message and shows the reply. Returns whether the reply was right.
fn talk(out: &mut impl Write, endpoint: &Endpoint, stop: &StopToken) -> Result<bool> {
    writeln!(out, "   >hello")?;
    let mut reply = Vec::new();
    let result =
        connect(endpoint.clone(), stop).and_then(|mut peer| request(&mut peer, b"hello", &mut reply));
    match result {
        Ok(Some(rtt)) => {
            writeln!(out, "   Server: {}   {:.2} ms", Escaped(&reply), rtt.as_secs_f64() * 1e3)?;
        }
        Ok(None) => writeln!(out, "   no reply within {WAIT:?}")?,
        Err(error) => writeln!(out, "   {}", Harmless(&sentence(error.chain())))?,
    }
    Ok(is_echo(&reply, b"hello"))
}

/// Sends messages to an endpoint, one at a time, and checks every reply.
///
/// # Errors
///
/// If a signal stops the command, so that the caller stops the server.
fn echo(endpoint: Endpoint, stop: &StopToken) -> Result<Echoes> {
    let mut echoes = Echoes { endpoint: endpoint.to_string(), ..Echoes::default() };
    let mut times = Distribution::default();
    let result = echo_all(endpoint, stop, &mut echoes, &mut times);
    ensure!(!stop.is_stopped(), "interrupted");
    echoes.error = result.err().map(|error| sentence(error.chain()));
    echoes.rtt = times;
    Ok(echoes)
}

fn echo_all(
    endpoint: Endpoint,
    stop: &StopToken,
    echoes: &mut Echoes,
    times: &mut Distribution,
) -> Result<()> {
    let mut peer = connect(endpoint, stop)?;
    let mut reply = Vec::new();
    for number in 1..=ECHOES {
        let message = format!("echo {number:04}");
        echoes.sent += 1;
        reply.clear();
        match request(&mut peer, message.as_bytes(), &mut reply)? {
            Some(_) if !is_echo(&reply, message.as_bytes()) => echoes.unexpected += 1,
            Some(rtt) => {
                echoes.answered += 1;
                times.record_span(rtt);
            }
            None => {
                echoes.lost += 1;
                bail!("no reply within {WAIT:?}");
            }
        }
    }
    Ok(())
}

fn is_complete(echoes: &Echoes) -> bool {
    echoes.answered == ECHOES && echoes.unexpected == 0 && echoes.error.is_none()
}

fn connect(endpoint: Endpoint, stop: &StopToken) -> Result<Peer> {
    let options = ConnectOptions::new(endpoint).wait(WAIT);
    Ok(Peer::connect_with(options, WaitLimit::new(stop.clone(), Duration::MAX))?)
}

/// Sends a message and appends the reply. Returns the round-trip time, or `None` if no reply
/// arrives in time.
fn request(peer: &mut Peer, message: &[u8], reply: &mut Vec<u8>) -> Result<Option<Duration>> {
    let mut rtt = None;
    let mut on_received = |received: Received<'_>| {
        reply.extend_from_slice(received.bytes);
        if let ReceivedKind::Reply(elapsed) = received.kind {
            rtt = Some(elapsed);
        }
        Ok::<(), ClientError>(())
    };
    match peer.request(message, &mut on_received)? {
        RequestOutcome::Replied => Ok(rtt),
        RequestOutcome::TimedOut | RequestOutcome::Stopped => Ok(None),
        RequestOutcome::Closed => bail!("the server closed the connection"),
    }
}

/// Returns whether a reply consists of a timestamp and the message.
fn is_echo(reply: &[u8], message: &[u8]) -> bool {
    matches!(scan(reply), Scan::Timestamp(_, len) if &reply[len..] == message)
}
