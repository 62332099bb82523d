//! `sounder demo`: a server of its own on every kind of socket, and a question to each.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{Call, CallError, Heard, Part, Peer, Reply};
use echosounder_proto::{Framing, PlainEcho, Scan, Template, scan};
use echosounder_server::{Config, Patience, Server};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, IpVersion, Transport};
use serde::Serialize;

use crate::args::Output;
use crate::config::{cores, host_name};
use crate::render::escape::Escaped;
use crate::render::json::{self, Bytes};
use crate::report::{Outcome, plain, sentence};

/// What is said to every server.
const MESSAGE: &[u8] = b"hello";

/// How long an answer may take; on one machine, far more than it does.
const WAIT: Duration = Duration::from_secs(5);

/// One question and its answer.
#[derive(Serialize)]
struct Row<'a> {
    endpoint: String,
    #[serde(flatten)]
    answer: Bytes<'a>,
    rtt_ns: Option<u64>,
    right: bool,
    error: Option<String>,
}

pub(crate) fn run(output: Output) -> Result<Outcome> {
    let folder = Folder::new().context("make a folder for sockets")?;
    let server = Server::bind(Config {
        endpoints: endpoints(&folder.path)?,
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
    let mut out = io::stdout().lock();
    if !output.json {
        writeln!(out, "An echo sounder sends a call, times the echo, and knows the depth.\n")?;
        writeln!(out, "A server on every kind of socket stamps what it hears; to each we say \"hello\":\n")?;
        for note in server.notes() {
            writeln!(out, "   {}: {}", note.error, plain(&note.error.cause().to_string()))?;
        }
    }
    let endpoints: Vec<Endpoint> = server.endpoints().cloned().collect();
    let width = endpoints.iter().map(|endpoint| endpoint.to_string().len()).max().unwrap_or(0);
    let running = server.start(|| ())?;
    let mut all_right = true;
    for endpoint in endpoints {
        all_right &= tell(&mut out, endpoint, width, output)?;
    }
    running.stop().context("answer")?;
    if !output.json {
        writeln!(out, "\nYour turn, in two terminals:   sounder serve   /   sounder talk")?;
    }
    Ok(if all_right { Outcome::Done } else { Outcome::Lacking })
}

/// Asks one endpoint, tells its answer, and returns whether it was right.
fn tell(out: &mut impl Write, endpoint: Endpoint, width: usize, output: Output) -> Result<bool> {
    let name = endpoint.to_string();
    let mut answer = Vec::new();
    let asked = ask(endpoint, &mut answer);
    let right = asked.is_ok() && is_right(&answer);
    let row = Row {
        endpoint: name,
        answer: Bytes::from(&answer[..]),
        rtt_ns: asked.as_ref().ok().map(|rtt| u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX)),
        right,
        error: asked.as_ref().err().map(|error| sentence(error.chain())),
    };
    if output.json {
        json::line(out, &row)?;
        return Ok(right);
    }
    match asked {
        Ok(rtt) => writeln!(
            out,
            "   {:width$}   {}   {:.3} ms{}",
            row.endpoint,
            Escaped(&answer),
            rtt.as_secs_f64() * 1e3,
            if right { "" } else { "   WRONG" },
        )?,
        Err(_) => writeln!(out, "   {:width$}   {}", row.endpoint, row.error.unwrap_or_default())?,
    }
    Ok(right)
}

/// Asks once, and gathers the answer.
fn ask(endpoint: Endpoint, answer: &mut Vec<u8>) -> Result<Duration> {
    let silent = format!("no answer within {WAIT:?}");
    let mut peer = Peer::call(Call { endpoint, ip_version: IpVersion::Any, source: None, wait: WAIT })?;
    let mut after = None;
    let mut heard = |heard: Heard<'_>| {
        answer.extend_from_slice(heard.bytes);
        if let Part::Answer(elapsed) = heard.part {
            after = Some(elapsed);
        }
        Ok::<(), CallError>(())
    };
    let reply = peer.ask(MESSAGE, &mut heard)?;
    after.filter(|_| reply == Reply::Answered).context(silent)
}

/// Whether an answer is a stamp and what was said.
fn is_right(answer: &[u8]) -> bool {
    matches!(scan(answer), Scan::Stamp(_, len) if &answer[len..] == MESSAGE)
}

/// Every transport, each on a free port or in a folder of its own; UNIX streams by name, too.
fn endpoints(folder: &Path) -> Result<Vec<Endpoint>> {
    use std::os::unix::ffi::OsStrExt;
    let mut endpoints = Vec::new();
    for transport in Transport::all() {
        let scheme = transport.scheme();
        if matches!(transport, Transport::Tcp | Transport::Udp) {
            for host in ["127.0.0.1", "[::1]"] {
                endpoints.push(format!("{scheme}://{host}:0").parse()?);
            }
            continue;
        }
        let path = folder.join(scheme.strip_prefix("unix-").unwrap_or("stream"));
        let name = UnixName::Path(path.as_os_str().as_bytes().into());
        endpoints.push(Endpoint::at(transport, &Address::Unix(name))?);
    }
    endpoints.push(format!("unix:@sounder-{}", std::process::id()).parse()?);
    Ok(endpoints)
}

/// A folder for sockets that nobody else may enter, removed when it is dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let parent = runtime.unwrap_or_else(std::env::temp_dir);
        let path = parent.join(format!("sounder-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The server has removed its sockets; what is left would not be ours.
        let _ = fs::remove_dir(&self.path);
    }
}
