//! `sounder demo`: a server of its own on every kind of socket, and a thousand questions to each.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{Call, CallError, Heard, Marks, Part, Peer, Reply};
use echosounder_proto::{Framing, PlainEcho, Scan, Template, scan};
use echosounder_server::{Config, Note, Patience, Server};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, IpVersion, Signal, Signals, Transport};
use serde::Serialize;

use crate::args::Output;
use crate::config::{cores, host_name};
use crate::probe;
use crate::render::escape::Escaped;
use crate::render::json;
use crate::render::transcript::note;
use crate::report::{Outcome, plain, sentence};

/// How often each endpoint is asked.
const ECHOES: usize = 1000;

/// How long an answer may take; on one machine, far more than it does.
const WAIT: Duration = Duration::from_secs(2);

/// Longest folder that leaves room for a socket's name in a path of its own.
const PARENT_MAX: usize = 70;

/// How one endpoint answered.
#[derive(Debug, Default, Serialize)]
struct Row {
    endpoint: String,
    sent: usize,
    wrong: usize,
    lost: usize,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    max_ns: Option<u64>,
    error: Option<String>,
}

pub(crate) fn run(output: Output) -> Result<Outcome> {
    let signals = Signals::receive(&[Signal::Interrupt, Signal::Terminate]).context("receive signals")?;
    let folder = Folder::new()?;
    let (wanted, absent) = endpoints(&folder.path)?;
    let server = Server::bind(Config {
        endpoints: wanted,
        ip_version: IpVersion::Any,
        stamp: Template::ctime(),
        framing: Framing::default(),
        plain_echo: PlainEcho::Local,
        host: host_name(),
        workers: cores(),
        connections_max: None,
        per_peer_max: None,
        patience: Patience { idle: None, stalled: WAIT },
        unix_mode: 0o600,
    })?;
    let told = |note: &Note| format!("{}: {}", note.error, plain(&note.error.cause().to_string()));
    let mut notes: Vec<String> = server.notes().iter().map(told).collect();
    if !absent.is_empty() {
        notes.push(format!("not on this machine: {}; \"sounder doctor\" tells why", absent.join(" ")));
    }
    let endpoints: Vec<Endpoint> = server.endpoints().cloned().collect();
    let running = server.start(|| ())?;
    let mut out = io::stdout().lock();
    let all_right = if output.json {
        objects(&mut out, endpoints, &notes, &signals)
    } else {
        tour(&mut out, endpoints, &notes, &signals)
    }?;
    running.stop().context("answer")?;
    Ok(if all_right { Outcome::Done } else { Outcome::Lacking })
}

/// An object for each endpoint; whether all was well is returned.
fn objects(
    out: &mut impl Write,
    endpoints: Vec<Endpoint>,
    notes: &[String],
    signals: &Signals,
) -> Result<bool> {
    notes.iter().try_for_each(|text| note(&mut io::stderr().lock(), text, true))?;
    let mut all_right = true;
    for endpoint in endpoints {
        let row = sound(endpoint, signals)?;
        json::line(out, &row)?;
        all_right &= row.is_right();
    }
    Ok(all_right)
}

/// The tour for people; whether all was well is returned.
fn tour(out: &mut impl Write, endpoints: Vec<Endpoint>, notes: &[String], signals: &Signals) -> Result<bool> {
    writeln!(out, "An echo sounder sends a call, times the echo, and knows the depth.\n")?;
    writeln!(out, "1. Talk: a server on a free port stamps what it hears")?;
    let mut all_right = true;
    if let Some(endpoint) = endpoints.first() {
        all_right &= talk(out, endpoint)?;
    }
    writeln!(out, "\n2. Every socket: the same server, 1,000 echoes on each")?;
    let width = endpoints.iter().map(|endpoint| endpoint.to_string().len()).max().unwrap_or(0);
    writeln!(
        out,
        "   {:width$}  {:>8}  {:>8}  {:>8}  {:>5}",
        "endpoint", "p50 ms", "p99 ms", "max ms", "lost"
    )?;
    for endpoint in endpoints {
        let row = sound(endpoint, signals)?;
        let ms = |nanos: Option<u64>| {
            nanos.map_or_else(
                || "-".to_owned(),
                |nanos| format!("{:.3}", Duration::from_nanos(nanos).as_secs_f64() * 1e3),
            )
        };
        let [p50, p99, max] = [row.p50_ns, row.p99_ns, row.max_ns].map(ms);
        write!(out, "   {:width$}  {p50:>8}  {p99:>8}  {max:>8}  {:>5}", row.endpoint, row.lost)?;
        if row.wrong != 0 {
            write!(out, "  {} wrong", row.wrong)?;
        }
        writeln!(out, "{}", row.error.as_ref().map_or_else(String::new, |error| format!("  {error}")))?;
        all_right &= row.is_right();
    }
    for note in notes {
        writeln!(out, "   {note}")?;
    }
    writeln!(out, "\n3. Your turn, in two terminals: sounder serve / sounder talk")?;
    Ok(all_right)
}

/// Says hello, and shows what comes back; whether it was right is returned.
fn talk(out: &mut impl Write, endpoint: &Endpoint) -> Result<bool> {
    writeln!(out, "   >hello")?;
    let mut answer = Vec::new();
    let mut peer = Peer::call(call(endpoint.clone()))?;
    match ask(&mut peer, b"hello", &mut answer)? {
        Some(rtt) => writeln!(out, "   Server: {}   {:.2} ms", Escaped(&answer), rtt.as_secs_f64() * 1e3)?,
        None => writeln!(out, "   no answer within {WAIT:?}")?,
    }
    Ok(is_right(&answer, b"hello"))
}

/// Asks an endpoint again and again, and looks at every answer.
///
/// # Errors
///
/// If a signal says to stop: whoever called tidies up then.
fn sound(endpoint: Endpoint, signals: &Signals) -> Result<Row> {
    let mut row = Row { endpoint: endpoint.to_string(), ..Row::default() };
    let mut times = Vec::with_capacity(ECHOES);
    let mut interrupted = false;
    let echo_all = || -> Result<()> {
        let mut peer = Peer::call(call(endpoint))?;
        let mut answer = Vec::new();
        for number in 1..=ECHOES {
            let message = format!("echo {number:04}");
            interrupted = signals.next()?.is_some();
            if interrupted {
                break;
            }
            row.sent += 1;
            answer.clear();
            match ask(&mut peer, message.as_bytes(), &mut answer)? {
                Some(_) if !is_right(&answer, message.as_bytes()) => row.wrong += 1,
                Some(rtt) => times.push(rtt),
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
    times.sort_unstable();
    let nanos = |rtt: &Duration| u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
    // The nearest rank: the smallest time that so many of a hundred answers did not exceed.
    let percentile =
        |of_100: usize| times.get((times.len() * of_100).div_ceil(100).saturating_sub(1)).map(nanos);
    (row.p50_ns, row.p99_ns, row.max_ns) = (percentile(50), percentile(99), times.last().map(nanos));
    Ok(row)
}

impl Row {
    fn is_right(&self) -> bool {
        self.sent == ECHOES && self.wrong == 0 && self.lost == 0 && self.error.is_none()
    }
}

fn call(endpoint: Endpoint) -> Call {
    Call { endpoint, ip_version: IpVersion::Any, source: None, marks: Marks::default(), wait: WAIT }
}

/// Asks once and gathers the answer; `None` if none comes in time.
fn ask(peer: &mut Peer, message: &[u8], answer: &mut Vec<u8>) -> Result<Option<Duration>> {
    let mut after = None;
    let mut heard = |heard: Heard<'_>| {
        answer.extend_from_slice(heard.bytes);
        if let Part::Answer(elapsed) = heard.part {
            after = Some(elapsed);
        }
        Ok::<(), CallError>(())
    };
    match peer.ask(message, &mut heard)? {
        Reply::Answered => Ok(after),
        Reply::Silence | Reply::Interrupted => Ok(None),
        Reply::Ended => anyhow::bail!("the server has ended the conversation"),
    }
}

/// Whether an answer is a stamp and what was said.
fn is_right(answer: &[u8], said: &[u8]) -> bool {
    matches!(scan(answer), Scan::Stamp(_, len) if &answer[len..] == said)
}

/// Every transport that works here, each on a free port or in a folder of its own, UNIX streams by name, too; and
/// the names of those that do not.
fn endpoints(folder: &Path) -> Result<(Vec<Endpoint>, Vec<&'static str>)> {
    let (mut endpoints, mut absent) = (Vec::new(), Vec::new());
    for transport in Transport::all() {
        let before = endpoints.len();
        for place in probe::places(transport) {
            match probe::carry(transport, &place) {
                Err(error) if transport.is_absent(&place, &error) => {}
                _ => endpoints.push(endpoint(transport, place, folder)?),
            }
        }
        if endpoints.len() == before {
            absent.push(transport.scheme());
        }
    }
    endpoints.push(format!("unix:@sounder-{}", std::process::id()).parse()?);
    Ok((endpoints, absent))
}

/// Where a transport is served.
fn endpoint(transport: Transport, place: Address, folder: &Path) -> Result<Endpoint> {
    let place = match place {
        Address::Unix(_) => {
            let scheme = transport.scheme();
            let path = folder.join(scheme.strip_prefix("unix-").unwrap_or("stream"));
            UnixName::Path(path.as_os_str().as_bytes().into()).into()
        }
        place => place,
    };
    Ok(Endpoint::at(transport, &place)?)
}

/// A folder for sockets that nobody else may enter, removed when it is dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let short = |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= PARENT_MAX;
        runtime.filter(short).map_or_else(
            || Self::within(std::env::temp_dir()),
            |runtime| Self::within(runtime).or_else(|_| Self::within(std::env::temp_dir())),
        )
    }

    fn within(parent: PathBuf) -> Result<Self> {
        let path = parent.join(format!("sounder-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The server has removed its sockets; what is left would not be ours.
        let _ = fs::remove_dir(&self.path);
    }
}
