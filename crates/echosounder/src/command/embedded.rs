//! A server inside this process, for commands that need a server to connect to.

use std::env;
use std::fs::{self, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, ensure};
use echosounder_proto::stamp::{Key, ReflectorConfig};
use echosounder_server::{BindError, Config, Note, Running, Server};
use echosounder_socket::family::unix::{PATH_MAX, UnixName};
use echosounder_socket::{Address, Endpoint, Transport};
use tempfile::TempDir;

use crate::config::{cores, host_name};
use crate::failure::{plain, sentence};
use crate::support;
use crate::target::{Service, Target};

/// The length of the longest socket name in the folder, with its slash.
const NAME_MAX: usize = "/seqpacket".len();

/// A running server.
pub(crate) struct Embedded {
    running: Running,
    /// The endpoints of its echo server.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The endpoints of its STAMP reflectors.
    reflectors: Vec<Endpoint>,
    /// Sentences about the endpoints that it does not serve.
    pub(crate) notes: Vec<String>,
    /// The folder of its sockets, removed when it is dropped.
    folder: Option<TempDir>,
}

impl Embedded {
    /// Starts a server on every kind of socket that works on this machine. Each kind that does not
    /// work has a note.
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
        let server = bind(&wanted).or_else(|error| {
            let mut works = Vec::new();
            for endpoint in wanted {
                works.push(endpoint);
                // Bound together with the former ones: the number of sockets may be the cause, not
                // this kind of socket.
                if let Err(error) = bind(&works) {
                    works.pop();
                    notes.push(format!("left out: {}", sentence(anyhow::Error::from(error).chain())));
                }
            }
            if works.is_empty() { Err(error) } else { bind(&works) }
        });
        let mut server = Self::start(server?, folder)?;
        server.notes.append(&mut notes);
        Ok(server)
    }

    /// Starts a server at these targets, with reflectors that have this key.
    pub(crate) fn at(targets: &[Target], key: Option<Key>) -> Result<Self> {
        let of = |service| targets.iter().filter(move |target| target.service == service);
        let endpoints = |service| of(service).map(|target| target.endpoint.clone());
        let mut reflector = ReflectorConfig::default();
        reflector.key = key;
        let mut server = config().reflector(reflector).bind(endpoints(Service::Echo))?;
        server.add_reflectors(endpoints(Service::Stamp))?;
        Self::start(server, None)
    }

    /// Returns its echo servers, then its reflectors.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        let reflector = |endpoint: &Endpoint| Target { service: Service::Stamp, endpoint: endpoint.clone() };
        self.endpoints.iter().cloned().map(Target::from).chain(self.reflectors.iter().map(reflector))
    }

    fn start(server: Server, folder: Option<TempDir>) -> Result<Self> {
        let text = |note: &Note| format!("{}: {}", note.error, plain(&note.error.cause().to_string()));
        let notes = server.notes().iter().map(text).collect();
        let endpoints = server.endpoints().cloned().collect();
        let reflectors = server.reflectors().cloned().collect();
        Ok(Self { running: server.start()?, endpoints, reflectors, notes, folder })
    }

    /// Returns the folder to remove if the program ends without stopping the server.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().to_owned())
    }

    /// Stops the server and removes its folder.
    pub(crate) fn stop(self) -> Result<()> {
        self.running.stop().context("cannot run the server").map(drop)
    }
}

fn bind(endpoints: &[Endpoint]) -> Result<Server, BindError> {
    config().bind(endpoints)
}

fn config() -> Config {
    Config::new().host(host_name()).workers(cores().get()).raise_fd_limit(true)
}

/// Returns an endpoint for every transport that works on this machine, with a free port or a path
/// in the folder, and an abstract name for UNIX streams. Without a folder there are no paths. Also
/// returns the schemes of the transports that do not work.
fn endpoints(folder: Option<&Path>) -> Result<(Vec<Endpoint>, Vec<&'static str>)> {
    let (mut endpoints, mut absent) = (Vec::new(), Vec::new());
    for transport in Transport::all() {
        let mut is_present = false;
        for address in transport.loopback_addresses() {
            match support::send_byte(transport, &address) {
                Err(error) if transport.is_absent(&address, &error) => {}
                _ => {
                    is_present = true;
                    endpoints.extend(endpoint(transport, address, folder).transpose()?);
                }
            }
        }
        if !is_present {
            absent.push(transport.scheme());
        }
    }
    // A random name cannot be in use.
    let name = RandomState::new().build_hasher().finish();
    endpoints.push(format!("unix:@sounder-{name:016x}").parse()?);
    Ok((endpoints, absent))
}

/// Returns the endpoint of a transport at an address. Returns `None` if it needs a folder and there
/// is none.
fn endpoint(transport: Transport, address: Address, folder: Option<&Path>) -> Option<Result<Endpoint>> {
    let address = match address {
        Address::Unix(_) => {
            let scheme = transport.scheme();
            let path = folder?.join(scheme.strip_prefix("unix-").unwrap_or("stream"));
            UnixName::Path(path.as_os_str().as_bytes().into()).into()
        }
        address => address,
    };
    Some(Endpoint::at(transport, &address).map_err(anyhow::Error::from))
}

/// Creates a folder for sockets that only this user may enter, in the user's runtime folder or the
/// folder for temporary files.
fn folder() -> Result<TempDir> {
    let named = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let runtime = named("XDG_RUNTIME_DIR").filter(|path| path.is_absolute());
    let in_runtime = runtime.and_then(|runtime| folder_in(&runtime).ok());
    in_runtime.map_or_else(|| folder_in(&named("TMPDIR").unwrap_or_else(|| "/tmp".into())), Ok)
}

fn folder_in(parent: &Path) -> Result<TempDir> {
    let make = || format!("cannot create a folder in {}", parent.display());
    // Checked first, because this error is clearer than the one of creating a folder in it.
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
