//! A server within this program, for commands that need one to talk to.

use std::env;
use std::fs::{self, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use echosounder_proto::{Framing, PlainEcho, Template};
use echosounder_server::{Config, Note, Running, Server, Timeouts};
use echosounder_socket::family::unix::{PATH_MAX, UnixName};
use echosounder_socket::{Address, Endpoint, IpVersion, Transport};
use tempfile::TempDir;

use crate::config::{cores, host_name};
use crate::failure::{plain, sentence};
use crate::support;

/// How long a peer may take none of its answers.
const STALL: Duration = Duration::from_secs(60);

/// The longest name of a socket in the folder.
const NAME_MAX: usize = "/seqpacket".len();

/// A server that runs.
pub(crate) struct Embedded {
    running: Running,
    /// Where it answers.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What it does without.
    pub(crate) notes: Vec<String>,
    /// Where its sockets are; removed behind it.
    folder: Option<TempDir>,
}

impl Embedded {
    /// Answers on every kind of socket that works here. What does not is left out with a note.
    pub(crate) fn everywhere() -> Result<Self> {
        let (folder, mut notes) = match folder() {
            Ok(folder) => (Some(folder), Vec::new()),
            Err(error) => {
                (None, vec![format!("UNIX socket paths are left out: {}", sentence(error.chain()))])
            }
        };
        let (wanted, absent) = endpoints(folder.as_ref().map(TempDir::path))?;
        if !absent.is_empty() {
            let absent = absent.join(" ");
            notes.push(format!("not on this machine: {absent}; run \"sounder doctor\" to see why"));
        }
        let server = Server::bind(config(wanted.clone())).or_else(|error| {
            let mut works = Vec::new();
            for endpoint in wanted {
                works.push(endpoint);
                // With those before it: what fails may be one too many, rather than this kind of socket.
                if let Err(error) = Server::bind(config(works.clone())) {
                    works.pop();
                    notes.push(format!("left out: {}", sentence(anyhow::Error::from(error).chain())));
                }
            }
            if works.is_empty() { Err(error) } else { Server::bind(config(works)) }
        });
        let mut server = Self::start(server?, folder)?;
        server.notes.append(&mut notes);
        Ok(server)
    }

    /// Answers at these endpoints.
    pub(crate) fn at(endpoints: Vec<Endpoint>) -> Result<Self> {
        Self::start(Server::bind(config(endpoints))?, None)
    }

    fn start(server: Server, folder: Option<TempDir>) -> Result<Self> {
        let told = |note: &Note| format!("{}: {}", note.error, plain(&note.error.cause().to_string()));
        let notes = server.notes().iter().map(told).collect();
        let endpoints = server.endpoints().cloned().collect();
        Ok(Self { running: server.start(|| ())?, endpoints, notes, folder })
    }

    /// What is to be removed with all that is in it by whoever ends the program without ending the server.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().to_owned())
    }

    /// Ends it, and what it has left in the file system.
    pub(crate) fn stop(self) -> Result<()> {
        self.running.stop().context("cannot run the server").map(drop)
    }
}

fn config(endpoints: Vec<Endpoint>) -> Config {
    Config {
        endpoints,
        ip_version: IpVersion::Any,
        stamp: Template::ctime(),
        framing: Framing::default(),
        plain_echo: PlainEcho::Local,
        host: host_name(),
        workers: cores(),
        connections_max: None,
        per_peer_max: None,
        patience: Timeouts { idle: None, stall: STALL },
        unix_mode: 0o600,
    }
}

/// Every transport that works here, each on a free port or in the folder, UNIX streams by name, too; and the names of those
/// that do not. Without a folder there are no paths.
fn endpoints(folder: Option<&Path>) -> Result<(Vec<Endpoint>, Vec<&'static str>)> {
    let (mut endpoints, mut absent) = (Vec::new(), Vec::new());
    for transport in Transport::all() {
        let mut is_present = false;
        for place in transport.loopback_addresses() {
            match support::carry(transport, &place) {
                Err(error) if transport.is_absent(&place, &error) => {}
                _ => {
                    is_present = true;
                    endpoints.extend(endpoint(transport, place, folder).transpose()?);
                }
            }
        }
        if !is_present {
            absent.push(transport.scheme());
        }
    }
    // Nobody can have taken a name that cannot be guessed.
    let name = RandomState::new().build_hasher().finish();
    endpoints.push(format!("unix:@sounder-{name:016x}").parse()?);
    Ok((endpoints, absent))
}

/// Where a transport is served, if it does not need a folder that is not there.
fn endpoint(transport: Transport, place: Address, folder: Option<&Path>) -> Option<Result<Endpoint>> {
    let place = match place {
        Address::Unix(_) => {
            let scheme = transport.scheme();
            let path = folder?.join(scheme.strip_prefix("unix-").unwrap_or("stream"));
            UnixName::Path(path.as_os_str().as_bytes().into()).into()
        }
        place => place,
    };
    Some(Endpoint::at(transport, &place).map_err(anyhow::Error::from))
}

/// A folder for sockets that nobody else may enter, in the user's runtime folder or among the temporary files.
fn folder() -> Result<TempDir> {
    let named = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let runtime = named("XDG_RUNTIME_DIR").filter(|path| path.is_absolute());
    let in_runtime = runtime.and_then(|runtime| folder_in(&runtime).ok());
    in_runtime.map_or_else(|| folder_in(&named("TMPDIR").unwrap_or_else(|| "/tmp".into())), Ok)
}

fn folder_in(parent: &Path) -> Result<TempDir> {
    let make = || format!("cannot create a folder in {}", parent.display());
    // Before anything is made there: these errors are the plainer ones.
    let metadata = fs::metadata(parent).with_context(make)?;
    ensure!(metadata.is_dir(), "{} is not a folder", parent.display());
    let folder = tempfile::Builder::new()
        .prefix("sounder-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(absolute(parent).with_context(make)?)
        .with_context(make)?;
    let len = folder.path().as_os_str().len() + NAME_MAX;
    ensure!(len < PATH_MAX, "{} is too long for the path of a socket", parent.display());
    Ok(folder)
}
