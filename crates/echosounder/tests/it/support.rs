//! `sounder` as a program under test, peers for it, and re-exports from the testkit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::SystemTime;

pub(crate) use echosounder_testkit::{
    Finished, Folder, PATIENCE, Program, closed_port, finish, free_port, has_ipv6, installed, json_lines,
    may_run, net_lab, retry_interrupted, sh, skip, unique, wait_for, wait_until,
};

/// Length of `[{ctime}] `.
pub(crate) const CTIME: usize = 27;

/// Removes the time from events, since it differs from run to run; each event must have one, within
/// the last minute.
pub(crate) fn without_times(mut events: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    for event in &mut events {
        let keys = event.as_object_mut().unwrap();
        let nanos = keys.remove("time_unix_ns").expect("an event has a time in nanoseconds");
        let nanos = nanos.as_str().expect("the time is a string, since jq rounds large numbers").to_owned();
        assert!(now().abs_diff(nanos.parse::<u64>().unwrap() / 1_000_000_000) <= 60, "{nanos}");
        let time = keys.remove("time").expect("an event has a readable time");
        assert_eq!(keys.remove("schema"), Some(1.into()), "an event has the version of its schema");
        let fraction = format!(".{}Z", &nanos[nanos.len() - 9..]);
        assert!(time.as_str().unwrap().ends_with(&fraction), "{time} is not {nanos}");
    }
    events
}

/// Returns the command `sounder` with these arguments.
pub(crate) fn sounder<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sounder"));
    command.args(args);
    command
}

/// Runs `sounder` with this input until it ends.
#[track_caller]
pub(crate) fn run(args: &[&str], input: &[u8]) -> Finished {
    finish(&mut sounder(args), input)
}

/// A running `sounder serve` that is ready to reply.
pub(crate) struct Serving {
    program: Program,
    endpoints: Vec<String>,
}

impl Serving {
    /// Serves these endpoints, each with one address.
    #[track_caller]
    pub(crate) fn at(endpoints: &[&str]) -> Self {
        Self::with(endpoints, endpoints.len())
    }

    /// Starts it with these arguments, and waits until it has reported `count` bound endpoints.
    #[track_caller]
    pub(crate) fn with(args: &[&str], count: usize) -> Self {
        Self::start(sounder(["serve"]).args(args), count)
    }

    /// Starts this command, which must run `sounder serve`, and waits for `count` bound endpoints.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, count: usize) -> Self {
        let program = Program::start(command);
        let wanted = format!("{count} endpoints");
        let stderr = program.wait_until_stderr(&wanted, |stderr| count <= bound_endpoints(stderr).len());
        let endpoints = bound_endpoints(&stderr);
        Self { program, endpoints }
    }

    /// Returns the endpoints that it has bound, as it has reported them.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Returns its only endpoint.
    pub(crate) fn endpoint(&self) -> &str {
        assert_eq!(self.endpoints.len(), 1);
        &self.endpoints[0]
    }

    /// Returns the address in its only endpoint: `127.0.0.1:4711`.
    pub(crate) fn address(&self) -> &str {
        self.endpoint().split_once("://").unwrap().1
    }

    /// Returns the running program.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Stops it as Ctrl-C does.
    #[track_caller]
    pub(crate) fn stop(self) -> Finished {
        self.stop_by("INT")
    }

    /// Stops it with a signal.
    #[track_caller]
    pub(crate) fn stop_by(self, signal: &str) -> Finished {
        self.program.signal(signal);
        self.program.finish()
    }
}

/// Returns the endpoints in complete lines `Waiting for … on ENDPOINT`, or in the events of
/// `--json`.
fn bound_endpoints(stderr: &str) -> Vec<String> {
    let whole = stderr.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let named = whole.filter_map(|line| match line.strip_prefix("Waiting for ") {
        Some(rest) => rest.split_once(" on ").map(|(_, endpoint)| endpoint.trim_end().to_owned()),
        None => {
            let object: serde_json::Value = serde_json::from_str(line).ok()?;
            (object["event"] == "listening").then(|| object["endpoint"].as_str().unwrap().to_owned())
        }
    });
    named.collect()
}

/// Splits an endpoint into host and port: `[::1]:4711` into `::1` and `4711`.
pub(crate) fn host_and_port(endpoint: &str) -> (&str, &str) {
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    let (host, port) = address.rsplit_once(':').unwrap();
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Returns a command for one of the Python programs in `tests/it/textbook`, or skips if there is no
/// Python.
pub(crate) fn python<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Option<Command> {
    let mut python = installed("python3")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/textbook").join(name);
    // With -B Python leaves no compiled files behind in the source tree.
    python.arg("-B").arg(script).args(args);
    Some(python)
}

/// Returns a command that runs its arguments in a network namespace that has only a loopback
/// interface, or skips if this user may not create one.
pub(crate) fn private_network() -> Option<Command> {
    let mut unshare = installed("unshare")?;
    let loopback = python("loopback.py", [] as [&str; 0])?;
    unshare.args(["--map-root-user", "--net"]).arg(loopback.get_program()).args(loopback.get_args());
    may_run(unshare)
}

/// Returns a command that runs its arguments in a mount namespace where `/etc/hosts` is this file,
/// or skips if this user may not create one.
pub(crate) fn private_hosts(hosts: &str) -> Option<Command> {
    let mut unshare = installed("unshare")?;
    let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    unshare.args(["--map-root-user", "--mount", "sh", "-c", mount, hosts]);
    may_run(unshare)
}

/// Returns the seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a server's timestamp is compared with the time of the test")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Returns the ctime(3) text of every second since `start` in this process's time zone, and of the
/// second before: time(2) reads a clock that is up to one tick behind.
pub(crate) fn ctimes_since(start: u64) -> Vec<String> {
    (start - 1..=now()).map(ctime).collect()
}

/// Returns the ctime(3) text of a second. date(1) renders it, once for each second.
fn ctime(second: u64) -> String {
    static KNOWN: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let ask = || {
        let mut date = Command::new("date");
        date.env("LC_ALL", "C").args(["-d", &format!("@{second}"), "+%a %b %e %T %Y"]);
        finish(&mut date, b"").text().trim_end().to_owned()
    };
    KNOWN.lock().unwrap().entry(second).or_insert_with(ask).clone()
}

/// Fails unless the reply is a timestamp between `start` and now, followed by the message.
#[track_caller]
pub(crate) fn assert_stamped(reply: &[u8], start: u64, message: &[u8]) {
    let stamps = ctimes_since(start);
    let expected = stamps.iter().map(|ctime| [format!("[{ctime}] ").as_bytes(), message].concat());
    let shown = String::from_utf8_lossy(reply);
    assert!(
        expected.into_iter().any(|expected| expected == reply),
        "{shown:?} has none of the timestamps {stamps:?}"
    );
}

/// Starts a TCP server that calls `serve` for each connection on a thread of its own; returns its
/// endpoint.
pub(crate) fn connections(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    endpoint
}
