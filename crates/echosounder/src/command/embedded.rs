//! A server within this program, for commands that need one to talk to.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_proto::{Framing, PlainEcho, Template};
use echosounder_server::{Config, Note, Patience, Running, Server};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, IpVersion, Transport};

use crate::config::{cores, host_name};
use crate::probe;
use crate::report::plain;

/// How long a peer may take none of its answers.
const STALL: Duration = Duration::from_secs(60);

/// Longest folder that leaves room for a socket's name in a path of its own.
const PARENT_MAX: usize = 70;

/// A server that runs.
pub(crate) struct Embedded {
    running: Running,
    /// Where it answers.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What it does without.
    pub(crate) notes: Vec<String>,
    /// Where its sockets are; removed behind it.
    folder: Option<Folder>,
}

impl Embedded {
    /// Answers on every kind of socket that this machine has.
    pub(crate) fn everywhere() -> Result<Self> {
        let folder = Folder::new()?;
        let (wanted, absent) = endpoints(&folder.path)?;
        let mut server = Self::start(wanted, Some(folder))?;
        if !absent.is_empty() {
            let absent = absent.join(" ");
            server.notes.push(format!("not on this machine: {absent}; \"sounder doctor\" tells why"));
        }
        Ok(server)
    }

    /// Answers at these endpoints.
    pub(crate) fn at(endpoints: Vec<Endpoint>) -> Result<Self> {
        Self::start(endpoints, None)
    }

    fn start(endpoints: Vec<Endpoint>, folder: Option<Folder>) -> Result<Self> {
        let server = Server::bind(Config {
            endpoints,
            ip_version: IpVersion::Any,
            stamp: Template::ctime(),
            framing: Framing::default(),
            plain_echo: PlainEcho::Local,
            host: host_name(),
            workers: cores(),
            connections_max: None,
            per_peer_max: None,
            patience: Patience { idle: None, stalled: STALL },
            unix_mode: 0o600,
        })?;
        let told = |note: &Note| format!("{}: {}", note.error, plain(&note.error.cause().to_string()));
        let notes = server.notes().iter().map(told).collect();
        let endpoints = server.endpoints().cloned().collect();
        Ok(Self { running: server.start(|| ())?, endpoints, notes, folder })
    }

    /// What is to be removed with all that is in it by whoever ends the program without ending the server.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path.clone())
    }

    /// Ends it, and what it has left in the file system.
    pub(crate) fn stop(self) -> Result<()> {
        self.running.stop().context("answer").map(drop)
    }
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
