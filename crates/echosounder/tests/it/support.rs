//! Programs that run beside a test, what they have written so far, and how they ended.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::skip::skip;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Length of `[{ctime}] `.
pub(crate) const CTIME: usize = 27;

/// A program that runs, until it ends or this is dropped.
pub(crate) struct Program {
    pid: u32,
    input: Option<ChildStdin>,
    page: Arc<Page>,
}

/// What a program has written, and whether it still runs.
#[derive(Default)]
struct Page {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Outputs that have ended.
    ended: usize,
    status: Option<ExitStatus>,
}

/// How a program ended, and all that it wrote.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// The exit code; of a program that a signal killed there is none.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// Standard output, if it is text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    /// How it ended and what it wrote, to be compared.
    pub(crate) fn all(&self) -> (Option<i32>, &str, &str) {
        (self.code, self.text(), &self.stderr)
    }

    /// Standard output's lines, each of them JSON.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        objects(self.text())
    }
}

/// Lines of JSON.
pub(crate) fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Takes the time out of events, each of which must have one: it differs from run to run.
pub(crate) fn without_times(mut events: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    for event in &mut events {
        let keys = event.as_object_mut().unwrap();
        let nanos = keys.remove("time_unix_ns").expect("an event has its time in digits");
        let nanos = nanos.as_str().expect("jq would round a number").to_owned();
        assert!(now().abs_diff(nanos.parse::<u64>().unwrap() / 1_000_000_000) <= 60, "{nanos}");
        let time = keys.remove("time").expect("an event has its time in words");
        let fraction = format!(".{}Z", &nanos[nanos.len() - 9..]);
        assert!(time.as_str().unwrap().ends_with(&fraction), "{time} is not {nanos}");
    }
    events
}

impl Program {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let page = Arc::new(Page::default());
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        page.gather(stdout, |state| &mut state.stdout);
        page.gather(stderr, |state| &mut state.stderr);
        let (pid, input) = (child.id(), child.stdin.take());
        let watched = Arc::clone(&page);
        thread::spawn(move || {
            let status = child.wait().unwrap();
            watched.change(|state| state.status = Some(status));
        });
        Self { pid, input, page }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes to its standard input.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.flush()).unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn hush(&mut self) {
        self.input = None;
    }

    /// Waits until it has written so many bytes to standard output; all that it has written there.
    #[track_caller]
    pub(crate) fn hear(&self, len: usize) -> Vec<u8> {
        self.page.wait(|state| len <= state.stdout.len()).stdout.clone()
    }

    /// Waits until it has written so many lines to standard output.
    #[track_caller]
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        lines(&self.page.wait(|state| count <= newlines(&state.stdout)).stdout)
    }

    /// Waits until standard error says something; returns all of it.
    #[track_caller]
    pub(crate) fn told(&self, what: &str) -> String {
        let state = self.page.wait(|state| String::from_utf8_lossy(&state.stderr).contains(what));
        String::from_utf8_lossy(&state.stderr).into_owned()
    }

    /// Sends it a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        kill(self.pid, name);
    }

    /// Ends its standard input and waits until it has ended.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        self.hush();
        self.ended()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(&self) -> Finished {
        let state = self.page.wait(|state| state.status.is_some() && state.ended == 2);
        Finished {
            code: state.status.and_then(|status| status.code()),
            stdout: state.stdout.clone(),
            stderr: String::from_utf8_lossy(&state.stderr).into_owned(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.page.state().status.is_none() {
            kill(self.pid, "KILL");
        }
    }
}

impl Page {
    /// Reads an output on a thread of its own.
    fn gather(
        self: &Arc<Self>,
        mut output: impl Read + Send + 'static,
        part: fn(&mut State) -> &mut Vec<u8>,
    ) {
        let page = Arc::clone(self);
        thread::spawn(move || {
            let mut chunk = [0; 64 * 1024];
            while let Ok(len @ 1..) = output.read(&mut chunk) {
                page.change(|state| part(state).extend_from_slice(&chunk[..len]));
            }
            page.change(|state| state.ended += 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until something is so. If the program has ended without it, or the time is up, the test fails.
    #[track_caller]
    fn wait(&self, wanted: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let over = |state: &State| state.status.is_some() && state.ended == 2;
        let waiting = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !wanted(state) && !over(state))
            .unwrap();
        let (state, _) = waiting;
        if !wanted(&state) {
            let (stdout, stderr) =
                (String::from_utf8_lossy(&state.stdout), String::from_utf8_lossy(&state.stderr));
            let shown = format!("{:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", state.status);
            drop(state);
            panic!("it never came; the program's status is {shown}");
        }
        state
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

fn kill(pid: u32, signal: &str) {
    // The shell's own `kill` is everywhere. A process that has just ended need not be killed.
    let _ = sh(&format!("kill -{signal} {pid}")).stderr(Stdio::null()).status();
}

/// A shell's command.
pub(crate) fn sh(command: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.arg("-c").arg(command);
    sh
}

/// Our own program, with arguments.
pub(crate) fn sounder<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sounder"));
    command.args(args);
    command
}

/// Runs our own program with this input until it ends.
#[track_caller]
pub(crate) fn run(args: &[&str], input: &[u8]) -> Finished {
    finish(&mut sounder(args), input)
}

/// Runs a program with this input until it ends.
#[track_caller]
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> Finished {
    let mut program = Program::start(command);
    let mut stdin = program.input.take().unwrap();
    let input = input.to_vec();
    // A program that does not read all of it ends nevertheless.
    thread::spawn(move || stdin.write_all(&input));
    program.ended()
}

/// `sounder serve`, ready to answer.
pub(crate) struct Serving {
    program: Program,
    endpoints: Vec<String>,
}

impl Serving {
    /// Serves these endpoints, of which each has one address.
    #[track_caller]
    pub(crate) fn at(endpoints: &[&str]) -> Self {
        Self::with(endpoints, endpoints.len())
    }

    /// Starts it with these arguments, and waits until it has told where it answers so many times.
    #[track_caller]
    pub(crate) fn with(args: &[&str], count: usize) -> Self {
        Self::start(sounder(["serve"]).args(args), count)
    }

    /// Starts this command, which must come to `sounder serve`.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, count: usize) -> Self {
        let program = Program::start(command);
        let mut endpoints = Vec::new();
        let told = program.page.wait(|state| count <= waiting(&state.stderr).len());
        endpoints.extend(waiting(&told.stderr));
        drop(told);
        Self { program, endpoints }
    }

    /// Where it answers, as it has told.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Where it answers, if that is one place.
    pub(crate) fn endpoint(&self) -> &str {
        assert_eq!(self.endpoints.len(), 1);
        &self.endpoints[0]
    }

    /// The address in its only endpoint: `127.0.0.1:4711`.
    pub(crate) fn address(&self) -> &str {
        self.endpoint().split_once("://").unwrap().1
    }

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

/// The endpoints in whole lines of `Waiting for … on ENDPOINT`, or in the objects that say the same.
fn waiting(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let named = whole.filter_map(|line| match line.strip_prefix("Waiting for ") {
        Some(rest) => rest.split_once(" on ").map(|(_, endpoint)| endpoint.trim_end().to_owned()),
        None => {
            let object: serde_json::Value = serde_json::from_str(line).ok()?;
            (object["event"] == "listening").then(|| object["endpoint"].as_str().unwrap().to_owned())
        }
    });
    named.collect()
}

/// Host and port of an endpoint: `[::1]:4711` is `::1` and `4711`.
pub(crate) fn host_and_port(endpoint: &str) -> (&str, &str) {
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    let (host, port) = address.rsplit_once(':').unwrap();
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Makes a call again when it was interrupted: where a socket has a time-out the system does not do so itself
/// (signal(7)).
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A name that nobody else has.
pub(crate) fn unique() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("sounder-test-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A folder of one's own, gone when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(unique());
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it, as text.
    pub(crate) fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program of the system's, or a skip if it is not installed.
pub(crate) fn program(name: &str) -> Option<Command> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if !found {
        skip(name, "not installed");
    }
    found.then(|| Command::new(name))
}

/// One of the Python programs in `tests/it/textbook`, or a skip if there is no Python.
pub(crate) fn python<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Option<Command> {
    let mut python = program("python3")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/textbook").join(name);
    // With -B it leaves no compiled files behind in the source tree.
    python.arg("-B").arg(script).args(args);
    Some(python)
}

/// A command that runs its arguments in a network of their own, of which there is a loopback alone, or a skip if
/// that is not allowed here.
pub(crate) fn private_network() -> Option<Command> {
    let mut unshare = program("unshare")?;
    let loopback = python("loopback.py", [] as [&str; 0])?;
    unshare.args(["--map-root-user", "--net"]).arg(loopback.get_program()).args(loopback.get_args());
    may_run(unshare)
}

/// A command that runs its arguments where `/etc/hosts` is this file, or a skip if that is not allowed here.
pub(crate) fn private_hosts(hosts: &str) -> Option<Command> {
    let mut unshare = program("unshare")?;
    let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    unshare.args(["--map-root-user", "--mount", "sh", "-c", mount, hosts]);
    may_run(unshare)
}

/// The command, if it can run another.
pub(crate) fn may_run(command: Command) -> Option<Command> {
    let mut trial = Command::new(command.get_program());
    let tried = finish(trial.args(command.get_args()).arg("true"), b"");
    if tried.code != Some(0) {
        skip(&command.get_program().to_string_lossy(), tried.stderr);
    }
    (tried.code == Some(0)).then_some(command)
}

/// Whether this machine has IPv6 on its loopback; if not, the test is skipped.
pub(crate) fn has_ipv6() -> bool {
    let bound = UdpSocket::bind("[::1]:0");
    if let Err(error) = &bound {
        skip("ipv6", error);
    }
    bound.is_ok()
}

/// A TCP port on 127.0.0.1 where nobody listens now.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The second that it is.
#[expect(clippy::disallowed_methods, reason = "what a server stamps is compared with the time it did so")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What ctime(3) says of every second since `start`, in this process's zone, and of the one before: time(2) reads a
/// clock that lags up to a tick behind.
pub(crate) fn ctimes_since(start: u64) -> Vec<String> {
    (start - 1..=now()).map(ctime).collect()
}

/// What ctime(3) says of a second, which date(1) is asked for once.
fn ctime(second: u64) -> String {
    static KNOWN: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let ask = || {
        let mut date = Command::new("date");
        date.env("LC_ALL", "C").args(["-d", &format!("@{second}"), "+%a %b %e %T %Y"]);
        finish(&mut date, b"").text().trim_end().to_owned()
    };
    KNOWN.lock().unwrap().entry(second).or_insert_with(ask).clone()
}

/// Fails unless these bytes are a stamp of the time since `start`, and the message.
#[track_caller]
pub(crate) fn assert_stamped(answer: &[u8], start: u64, message: &[u8]) {
    let stamps = ctimes_since(start);
    let expected = stamps.iter().map(|ctime| [format!("[{ctime}] ").as_bytes(), message].concat());
    let shown = String::from_utf8_lossy(answer);
    assert!(expected.into_iter().any(|expected| expected == answer), "{shown:?} is not of {stamps:?}");
}

/// A peer for connections, which does this with each.
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
