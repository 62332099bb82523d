//! Tests of process-wide behaviour. Each runs the test program again, as a process of its own.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use echosounder_socket::{Interest, ready};

use crate::wait_readable;

const ALONE: &str = "ECHOSOUNDER_TEST_ALONE";

/// Returns whether this process was started by such a test.
pub(crate) fn is_alone() -> bool {
    env::var_os(ALONE).is_some()
}

/// Sends one line to the test that started this process.
pub(crate) fn send_line(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A process that runs one test.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Process {
    /// Starts a process that runs a test, through another program if `by` names one.
    pub(crate) fn start(by: &[&str], test: &str) -> io::Result<Self> {
        let this = env::current_exe()?;
        let mut command = match by {
            [] => Command::new(this),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(this);
                command
            }
        };
        let mut child = command
            .args(["--exact", test, "--nocapture"])
            .env(ALONE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stderr.take().unwrap());
        Ok(Self { child, lines })
    }

    /// Returns the next line that the process sends.
    pub(crate) fn next_line(&mut self) -> String {
        if self.lines.buffer().is_empty() {
            wait_readable(self.lines.get_ref());
        }
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    /// Returns whether the process sends something within the timeout.
    pub(crate) fn has_line(&self, timeout: Duration) -> bool {
        let output = [(self.lines.get_ref().as_fd(), Interest::READ)];
        !self.lines.buffer().is_empty() || ready(output, Some(timeout)).unwrap()[0].can_read()
    }

    /// Writes to the standard input of the process.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end of the process and returns its status and remaining output.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended cannot be killed, which is fine.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
