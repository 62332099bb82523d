//! Programs that run beside a test: their output so far, and their exit status.

use std::fmt;
use std::io::{Read, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::PATIENCE;

/// A running program with pipes as its standard streams. Dropping it kills the program.
#[derive(Debug)]
pub struct Program {
    pid: u32,
    stdin: Option<ChildStdin>,
    record: Arc<Record>,
}

/// The output and the exit status of a program, with a way to wait for changes.
#[derive(Debug, Default)]
struct Record {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// How many of the two outputs have reached their end.
    outputs_ended: usize,
    status: Option<ExitStatus>,
}

impl State {
    fn is_over(&self) -> bool {
        self.status.is_some() && self.outputs_ended == 2
    }
}

/// How a program ended, and all that it wrote. Its `Debug` form shows the outputs as text.
#[derive(Clone)]
pub struct Finished {
    /// The exit status; `None` if a signal killed the program.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        write!(f, "exit status {:?}\nstdout:\n{stdout}\nstderr:\n{}", self.code, self.stderr)
    }
}

impl Finished {
    /// Returns standard output as text.
    ///
    /// # Panics
    ///
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Returns the exit status and both outputs, to be compared at once.
    pub fn all(&self) -> (Option<i32>, &str, &str) {
        (self.code, self.text(), &self.stderr)
    }

    /// Returns the lines of standard output. Each line must be JSON.
    pub fn objects(&self) -> Vec<serde_json::Value> {
        json_lines(self.text())
    }
}

/// Parses lines of JSON.
pub fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

impl Program {
    /// Starts a program. Its outputs are read as they come, so it never waits for the test to read
    /// them.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let record = Arc::new(Record::default());
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        record.read_to_end(stdout, |state| &mut state.stdout);
        record.read_to_end(stderr, |state| &mut state.stderr);
        let (pid, stdin) = (child.id(), child.stdin.take());
        let watched = Arc::clone(&record);
        thread::spawn(move || {
            let status = child.wait().unwrap();
            watched.change(|state| state.status = Some(status));
        });
        Self { pid, stdin, record }
    }

    /// Returns its process number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has written `len` bytes to standard output; returns all that it has written
    /// there.
    #[track_caller]
    pub fn wait_for_bytes(&self, len: usize) -> Vec<u8> {
        let wanted = format!("{len} bytes on standard output");
        self.record.wait(&wanted, |state| len <= state.stdout.len()).stdout.clone()
    }

    /// Waits until it has written `count` lines to standard output; returns all that it has written
    /// there.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize) -> Vec<String> {
        let wanted = format!("{count} lines on standard output");
        let state = self.record.wait(&wanted, |state| count <= newlines(&state.stdout));
        String::from_utf8_lossy(&state.stdout).lines().map(str::to_owned).collect()
    }

    /// Waits until standard error contains `text`; returns all of standard error.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) -> String {
        self.wait_until_stderr(&format!("{text:?} on standard error"), |stderr| stderr.contains(text))
    }

    /// Waits until standard error satisfies a condition, which `wanted` describes; returns all of
    /// standard error.
    #[track_caller]
    pub fn wait_until_stderr(&self, wanted: &str, condition: impl Fn(&str) -> bool) -> String {
        let state = self.record.wait(wanted, |state| condition(&String::from_utf8_lossy(&state.stderr)));
        String::from_utf8_lossy(&state.stderr).into_owned()
    }

    /// Sends it a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        kill(self.pid, name);
    }

    /// Closes its standard input and waits until it has ended.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.close_stdin();
        self.wait()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait(&self) -> Finished {
        let state = self.record.wait("its end", State::is_over);
        Finished {
            code: state.status.and_then(|status| status.code()),
            stdout: state.stdout.clone(),
            stderr: String::from_utf8_lossy(&state.stderr).into_owned(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.record.state().status.is_none() {
            kill(self.pid, "KILL");
        }
    }
}

impl Record {
    /// Reads an output to its end on a thread of its own.
    fn read_to_end(
        self: &Arc<Self>,
        mut output: impl Read + Send + 'static,
        part: fn(&mut State) -> &mut Vec<u8>,
    ) {
        let record = Arc::clone(self);
        thread::spawn(move || {
            let mut chunk = [0; 64 * 1024];
            while let Ok(len @ 1..) = output.read(&mut chunk) {
                record.change(|state| part(state).extend_from_slice(&chunk[..len]));
            }
            record.change(|state| state.outputs_ended += 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until the condition holds. Fails if the program has ended without it, or if it takes
    /// too long.
    #[track_caller]
    fn wait(&self, wanted: &str, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !condition(state) && !state.is_over())
            .unwrap();
        if !condition(&state) {
            let outputs =
                [&state.stdout, &state.stderr].map(|output| String::from_utf8_lossy(output).into_owned());
            let ended =
                state.status.map_or_else(|| "still runs".to_owned(), |status| format!("has ended: {status}"));
            drop(state);
            let [stdout, stderr] = outputs;
            panic!(
                "waited in vain for {wanted}; the program {ended}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
            );
        }
        state
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn kill(pid: u32, signal: &str) {
    // Every shell has `kill` built in. The process may just have ended, and then this does nothing.
    let _ = sh(&format!("kill -{signal} {pid}")).stderr(Stdio::null()).status();
}

/// Returns a command for the shell.
pub fn sh(command: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.arg("-c").arg(command);
    sh
}

/// Runs a program with this input until it ends.
#[track_caller]
pub fn finish(command: &mut Command, input: &[u8]) -> Finished {
    let mut program = Program::start(command);
    let mut stdin = program.stdin.take().unwrap();
    let input = input.to_vec();
    // On a thread, since the program may end without reading all of it, or write before it reads.
    thread::spawn(move || stdin.write_all(&input));
    program.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_status_are_separate() {
        let done = finish(&mut sh("cat; echo error >&2; exit 3"), b"input");
        assert_eq!(done.all(), (Some(3), "input", "error\n"));
    }

    #[test]
    fn waiting_fails_at_once_when_the_program_ends_without_it() {
        let waiting = std::panic::catch_unwind(|| Program::start(&mut sh("echo one")).wait_for_lines(2));
        let message = waiting.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("2 lines on standard output; the program has ended"), "{message}");
    }

    #[test]
    fn dropping_a_program_kills_it() {
        let mut program = Program::start(&mut sh("echo up; exec cat"));
        program.wait_for_lines(1);
        let record = Arc::clone(&program.record);
        let stdin = program.stdin.take();
        drop(program);
        let state = record.wait("its end", State::is_over);
        assert_eq!(state.status.unwrap().code(), None);
        drop(stdin);
    }
}
