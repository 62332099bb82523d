//! The server of `load --self`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};
use echosounder_socket::{Endpoint, Signal};

use crate::failure::OwnServerError;

/// A server in a process of its own, so that its CPU time and its file descriptors are its own.
pub(super) struct ServerProcess {
    child: Child,
    endpoint: Endpoint,
    /// The standard input of the server. It ends with this process, however that ends, and then the
    /// server ends.
    _input: Option<ChildStdin>,
}

impl ServerProcess {
    /// Starts a server and waits until it serves an endpoint.
    pub(super) fn start(endpoint: &Endpoint) -> Result<Self> {
        let mut child = Command::new(env::current_exe().context("cannot find this program")?)
            .args(["serve", "--until-input-ends", "--json", "--transcript", "off", &endpoint.to_string()])
            // Ctrl-C at the terminal is for the load alone.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a server")?;
        let input = child.stdin.take();
        let stderr = child.stderr.take().context("cannot read the output of the server")?;
        let mut reason = "it reported no endpoint".to_owned();
        for line in BufReader::new(stderr).lines() {
            let line = line.context("cannot read the output of the server")?;
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(endpoint) = event["endpoint"].as_str().and_then(|endpoint| endpoint.parse().ok()) {
                return Ok(Self { child, endpoint, _input: input });
            }
            if let Some(error) = event["error"].as_str() {
                reason = error.to_owned();
            }
        }
        let code = child.wait().ok().and_then(|status| status.code());
        // The server exits with 1 if this machine lacks the socket family.
        Err(OwnServerError { reason, is_absent: code == Some(1) }.into())
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns a function that asks the server to end, for a process that does not wait for it.
    pub(super) fn terminator(&self) -> impl FnOnce() + Send + 'static {
        let pid = self.child.id();
        // The server may have ended already.
        move || drop(Signal::Terminate.send(pid))
    }

    /// Returns the CPU time of the server's threads so far.
    pub(super) fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if Signal::Terminate.send(self.child.id()).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
