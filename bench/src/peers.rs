//! The servers: how each is built and started, which scenarios it can serve, and its reply format.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use crate::check::ReplyFormat;
use crate::scenario::{Scenario, Transport};

pub struct Peer {
    pub name: &'static str,
    /// A remark for the tables.
    pub note: &'static str,
    pub reply_format: ReplyFormat,
    /// Whether the other servers are compared with it.
    pub is_floor: bool,
    build: fn(&Workshop) -> Result<Built>,
    /// Returns the arguments for a transport and a port or path.
    pub arguments: fn(Transport, &str) -> Vec<String>,
    pub can: fn(&Scenario) -> bool,
}

/// A program, its first arguments and its version.
struct Built {
    program: Vec<String>,
    version: String,
}

/// A peer that can be started.
pub struct Ready {
    pub peer: &'static Peer,
    pub program: Vec<String>,
    pub version: String,
}

/// Our own server, which the other rows are also compared with.
pub const OURS: &str = "sounder";

/// Another build of our server.
pub const BEFORE: &str = "sounder, before";

const OWN: Peer = Peer {
    name: "",
    note: "",
    reply_format: ReplyFormat::Stamped,
    is_floor: false,
    build: |_| unreachable!(),
    arguments: |transport, place| vec![transport.name().into(), place.into()],
    can: |_| true,
};

pub static PEERS: [Peer; 19] = [
    Peer {
        name: "C epoll floor",
        note: "level-triggered epoll, 16 KiB buffer",
        reply_format: ReplyFormat::Plain,
        is_floor: true,
        build: |shop| shop.c("floor", &[]),
        can: |scenario| scenario.transport.is_stream(),
        ..OWN
    },
    Peer {
        name: "C recvmmsg floor",
        note: "recvmmsg and sendmmsg, 64 at a time",
        reply_format: ReplyFormat::Plain,
        is_floor: true,
        build: |shop| shop.c("floor_datagram", &[]),
        can: |scenario| !scenario.transport.is_stream(),
        ..OWN
    },
    Peer {
        name: OURS,
        note: "one worker",
        build: Workshop::sounder,
        arguments: |transport, place| serve(&transport.endpoint(place)),
        ..OWN
    },
    Peer {
        name: "sounder, wildcard",
        note: "on 0.0.0.0: each reply leaves from the address that received the request",
        build: Workshop::sounder,
        arguments: |_, place| serve(&format!("udp://0.0.0.0:{place}")),
        can: |scenario| scenario.transport == Transport::Udp,
        ..OWN
    },
    Peer {
        name: BEFORE,
        note: "the program that --before names, one worker",
        build: Workshop::before,
        arguments: |transport, place| serve(&transport.endpoint(place)),
        ..OWN
    },
    Peer {
        name: "sounder, fields",
        note: "each reply has the times, and the TTL, DSCP and ECN of its request",
        reply_format: ReplyFormat::Fields,
        build: Workshop::sounder,
        arguments: |transport, place| serve(&transport.endpoint(place)),
        can: has_requests_of_64_bytes,
        ..OWN
    },
    Peer {
        name: "sounder, STAMP",
        note: "a stateful reflector, with the kernel's times of receipt",
        reply_format: ReplyFormat::Stamp,
        build: Workshop::sounder,
        arguments: |_, place| serve(&format!("stamp://127.0.0.1:{place}")),
        can: has_requests_of_64_bytes,
        ..OWN
    },
    Peer {
        name: "Rust threads",
        note: "std, a thread for each connection",
        build: |shop| shop.rust("threads", None),
        ..OWN
    },
    Peer {
        name: "tokio",
        note: "runtime of one thread",
        build: |shop| shop.rust("tokio", Some("tokio")),
        ..OWN
    },
    Peer {
        name: "monoio",
        note: "io_uring",
        build: |shop| shop.rust("monoio", Some("monoio")),
        can: |scenario| scenario.transport != Transport::UnixDatagram,
        ..OWN
    },
    Peer { name: "Go", note: "net", build: Workshop::go, ..OWN },
    Peer {
        name: "Node",
        note: "net, dgram",
        build: |shop| {
            let version = shop.version("node", &["--version"])?;
            Ok(Built { program: vec!["node".into(), shop.source("node.js")], version })
        },
        can: |scenario| scenario.transport != Transport::UnixDatagram,
        ..OWN
    },
    Peer {
        name: "libuv",
        note: "C",
        build: |shop| shop.c("libuv", &["-luv"]),
        can: |scenario| scenario.transport != Transport::UnixDatagram,
        ..OWN
    },
    Peer {
        name: "asyncio",
        note: "Python, Protocol",
        build: |shop| shop.python("asyncio", "import platform as p; print('Python', p.python_version())"),
        ..OWN
    },
    Peer {
        name: "uvloop",
        note: "Python, Protocol",
        build: |shop| {
            shop.python(
                "uvloop",
                "import uvloop, platform as p; print(uvloop.__version__, 'on Python', p.python_version())",
            )
        },
        can: |scenario| scenario.transport != Transport::UnixDatagram,
        ..OWN
    },
    Peer {
        name: "socat",
        note: "fork, PIPE",
        reply_format: ReplyFormat::Plain,
        build: |shop| shop.installed("socat", &["-V"]),
        arguments: |transport, place| {
            let listen = match transport {
                Transport::Tcp => format!("TCP4-LISTEN:{place},bind=127.0.0.1,nodelay,fork,backlog=128"),
                _ => format!("UNIX-LISTEN:{place},fork,backlog=128"),
            };
            vec![listen, "PIPE".into()]
        },
        can: forks,
        ..OWN
    },
    Peer {
        name: "ncat",
        note: "--exec cat",
        reply_format: ReplyFormat::Plain,
        build: |shop| shop.installed("ncat", &["--version"]),
        arguments: |transport, place| {
            let place = match transport {
                Transport::Tcp => vec!["127.0.0.1", place],
                _ => vec!["-U", place],
            };
            let listen = ["--listen", "--keep-open", "--max-conns", "1000", "--exec", "/bin/cat"];
            listen.into_iter().chain(place).map(String::from).collect()
        },
        can: forks,
        ..OWN
    },
    Peer {
        name: "sockperf UDP",
        note: "echoes its own header",
        reply_format: ReplyFormat::Sockperf,
        build: |shop| shop.installed("sockperf", &["--version"]),
        arguments: |_, place| words(&["server", "-i", "127.0.0.1", "-p", place]),
        can: |scenario| scenario.name == "udp-1x64",
        ..OWN
    },
    Peer {
        name: "sockperf TCP",
        note: "echoes its own header",
        reply_format: ReplyFormat::Sockperf,
        build: |shop| shop.installed("sockperf", &["--version"]),
        arguments: |_, place| words(&["server", "--tcp", "-i", "127.0.0.1", "-p", place]),
        can: |scenario| scenario.name == "tcp-1x64",
        ..OWN
    },
];

fn serve(endpoint: &str) -> Vec<String> {
    words(&["serve", "--workers", "1", "--transcript", "off", endpoint])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().copied().map(String::from).collect()
}

/// Returns whether the requests of a scenario are UDP datagrams of 64 bytes.
fn has_requests_of_64_bytes(scenario: &Scenario) -> bool {
    scenario.transport == Transport::Udp && scenario.load.size == 64 && !scenario.load.segments
}

/// Returns whether a server with a process for each connection can serve a scenario: few
/// connections, and messages that fit into the pipe between.
fn forks(scenario: &Scenario) -> bool {
    let load = scenario.load;
    scenario.transport.is_stream()
        && load.idle == 0
        && load.connections <= 50
        && load.size * load.depth <= 1024
}

/// The folder in which programs are built.
pub struct Workshop {
    folder: PathBuf,
    /// Another build of our server.
    before: Option<PathBuf>,
}

impl Workshop {
    /// Opens the folder beside this program, so that the next run finds the built servers.
    pub fn open(before: Option<PathBuf>) -> Result<Self> {
        let folder = env::current_exe()?.parent().context("a program is in a folder")?.join("peers");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, before })
    }

    /// Builds a peer, or returns why it cannot be built.
    pub fn ready(&self, peer: &'static Peer) -> Result<Ready> {
        let Built { program, version } = (peer.build)(self)?;
        Ok(Ready { peer, program, version })
    }

    fn c(&self, name: &str, libraries: &[&str]) -> Result<Built> {
        let program = self.out(name);
        let source = self.source(&format!("c/{name}.c"));
        let mut version = self.version("cc", &["--version"])?;
        run(Command::new("cc").args(["-O2", "-o", &program, &source]).args(libraries))?;
        if !libraries.is_empty() {
            version = version_line(Command::new(&program).arg("--version"))?;
        }
        Ok(Built { program: vec![program], version })
    }

    fn sounder(&self) -> Result<Built> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        run(Command::new("cargo").args(["build", "--release", "--locked", "--quiet"]).current_dir(root))?;
        let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| format!("{root}/target"));
        let program = format!("{target}/release/sounder");
        let mut version = self.version(&program, &["--version"])?;
        // Outside a repository there is no commit.
        let describe = ["describe", "--always", "--dirty", "--exclude", "*"];
        if let Ok(commit) = version_line(Command::new("git").args(describe).current_dir(root)) {
            version = format!("{version} at {commit}");
        }
        Ok(Built { program: vec![program], version })
    }

    fn before(&self) -> Result<Built> {
        let program = self.before.as_ref().context("--before names no program")?;
        let program = program.to_string_lossy().into_owned();
        Ok(Built { version: self.version(&program, &["--version"])?, program: vec![program] })
    }

    /// Builds one of the Rust peers. Its version is that of its runtime crate, or of the compiler.
    fn rust(&self, name: &str, package: Option<&str>) -> Result<Built> {
        let (manifest, target) = (self.source("rust/Cargo.toml"), self.out("rust"));
        run(Command::new("cargo").args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--manifest-path",
            &manifest,
            "--target-dir",
            &target,
        ]))?;
        let version = match package {
            None => self.version("rustc", &["--version"])?,
            Some(package) => {
                let lock = fs::read_to_string(self.source("rust/Cargo.lock"))?;
                let start = format!("name = \"{package}\"\nversion = \"");
                let (_, rest) = lock.split_once(&start).context("the lock file has the package")?;
                rest.split('"').next().unwrap_or_default().into()
            }
        };
        Ok(Built { program: vec![format!("{target}/release/{name}")], version })
    }

    fn go(&self) -> Result<Built> {
        let (version, program) = (self.version("go", &["version"])?, self.out("go-net"));
        run(Command::new("go").args(["build", "-o", &program, "."]).current_dir(self.source("go")))?;
        Ok(Built { program: vec![program], version })
    }

    /// Finds the first Python that can run `code`, which prints its version.
    fn python(&self, name: &str, code: &str) -> Result<Built> {
        let of = |python: &str| version_line(Command::new(python).args(["-c", code]).stderr(Stdio::null()));
        let found =
            ["python3", "/usr/bin/python3"].into_iter().find_map(|python| Some((python, of(python).ok()?)));
        let (python, version) = found.with_context(|| format!("no Python has {name}"))?;
        Ok(Built { program: vec![python.into(), self.source("asyncio_server.py"), name.into()], version })
    }

    fn installed(&self, program: &str, arguments: &[&str]) -> Result<Built> {
        Ok(Built { program: vec![program.into()], version: self.version(program, arguments)? })
    }

    /// Returns the version that a program prints.
    fn version(&self, program: &str, arguments: &[&str]) -> Result<String> {
        version_line(Command::new(program).args(arguments))
            .with_context(|| format!("{} is not installed", Path::new(program).display()))
    }

    fn source(&self, name: &str) -> String {
        format!("{}/peers/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn out(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {}", command.get_program().display()))?;
    ensure!(status.success(), "{}: {status}", command.get_program().display());
    Ok(())
}

/// Returns the first line with a digit that a program writes.
fn version_line(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", output.status);
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
    Ok(line.unwrap_or_default().trim().to_owned())
}
