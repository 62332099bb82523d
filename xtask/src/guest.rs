//! A guest: a kernel that boots, runs one job and powers off.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::init::{self, Job, Link, Paths};
use crate::machine::{Kernel, Machine};
use crate::notice::notice;
use crate::{args, boot, packages};

/// How many lines of a guest's log are shown when it fails.
const LOG_LINES: usize = 40;

/// Runs a command in a guest, and returns its exit status.
pub(crate) fn run(args: &args::Guest) -> Result<u8> {
    try_kernels(args.machine, |kernel| {
        let guest = Guest::start(kernel, args.machine, &args.command, None)?;
        guest.wait()
    })
}

/// Tries one kernel after the other until one boots, and returns the exit status of its job.
pub(crate) fn try_kernels(machine: Machine, attempt: impl Fn(Kernel) -> Result<Ended>) -> Result<u8> {
    let kernels = machine.candidates();
    for (index, &kernel) in kernels.iter().enumerate() {
        let next = kernels.get(index + 1);
        match (attempt(kernel), next) {
            (Ok(Ended::Job(status)), _) => return Ok(status),
            (Ok(Ended::Unbooted { .. }), Some(next)) => {
                notice(format!("{} did not boot, trying {}", kernel.name(), next.name()));
            }
            (Err(error), Some(next)) => {
                notice(format!("{}: {error:#}; trying {}", kernel.name(), next.name()));
            }
            (Ok(Ended::Unbooted { reason, log } | Ended::Lost { reason, log }), _) => {
                print_tail(&log);
                bail!("{}: {reason}", kernel.name());
            }
            (Err(error), None) => return Err(error.context(kernel.name())),
        }
    }
    bail!("there is no kernel to try")
}

/// How a guest ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The job ended with this status.
    Job(u8),
    /// The guest was not ready to run the job.
    Unbooted { reason: String, log: String },
    /// The job began, and its exit status is unknown.
    Lost { reason: String, log: String },
}

/// One side of the Ethernet link between two guests.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) node: &'static str,
    pub(crate) mac: &'static str,
    /// Each datagram is an Ethernet frame.
    pub(crate) socket: UnixDatagram,
}

/// A guest that has been started.
#[derive(Debug)]
pub(crate) struct Guest {
    child: Child,
    relays: [JoinHandle<()>; 2],
    folder: TempDir,
    timeout: u32,
}

impl Guest {
    /// Starts a guest that runs a command, and forwards its output; if there is a link, each line
    /// gets the node's name as a prefix.
    pub(crate) fn start(
        kernel: Kernel,
        machine: Machine,
        command: &[OsString],
        side: Option<Side>,
    ) -> Result<Self> {
        let fetched = packages::kernel(kernel)?;
        let folder = guest_folder()?;
        let tipc = side.as_ref().map(|_| packages::tipc()).transpose()?;
        let link = side.as_ref().zip(tipc.as_ref());
        let paths = Paths {
            busybox: &fetched.join("busybox"),
            modules: &fetched.join("modules"),
            consoles: boot::consoles(kernel),
            link: link.map(|(side, tipc)| Link {
                node: side.node,
                device: boot::ethernet_device(kernel),
                tipc: &tipc.program,
                tipc_libraries: &tipc.libraries,
            }),
        };
        let job = Job {
            command,
            folder: &env::current_dir().context("cannot find the working directory")?,
            environment: &env::vars_os().collect::<Vec<_>>(),
        };
        write_script(&folder.path().join("init"), &init::script(&job, &paths))?;

        let prefix = side.as_ref().map(|side| format!("{}: ", side.node));
        let mac = side.as_ref().map(|side| side.mac);
        let mut command = boot::command(kernel, &fetched, folder.path(), machine, mac);
        command.stdin(side.map_or_else(Stdio::null, |side| OwnedFd::from(side.socket).into()));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start sh")?;
        let (stdout, stderr) =
            child.stdout.take().zip(child.stderr.take()).context("the guest has no pipes")?;
        let relays =
            [spawn_relay(stdout, io::stdout(), prefix.clone()), spawn_relay(stderr, io::stderr(), prefix)];
        Ok(Self { child, relays, folder, timeout: machine.timeout })
    }

    /// Waits until the guest has ended.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        const TIMED_OUT: i32 = 124;
        const KILLED: i32 = 137;
        let exit = self.child.wait().context("cannot wait for the guest")?;
        // Processes that outlive a killed kernel may still hold the pipes.
        if exit.code() != Some(KILLED) {
            for relay in self.relays {
                relay.join().ok().context("cannot forward the guest's output")?;
            }
        }
        let log = fs::read(self.folder.path().join("log")).context("cannot read the guest's log")?;
        let log = String::from_utf8_lossy(&log).into_owned();
        if let Some(status) = init::status(&log) {
            return Ok(Ended::Job(status));
        }
        let too_late = matches!(exit.code(), Some(TIMED_OUT | KILLED));
        let within = format!("within {} seconds", self.timeout);
        Ok(match (init::is_up(&log), too_late) {
            (false, true) => Ended::Unbooted { reason: format!("the guest did not boot {within}"), log },
            (false, false) => Ended::Unbooted { reason: format!("the guest did not boot: {exit}"), log },
            (true, true) => Ended::Lost { reason: format!("the command did not end {within}"), log },
            (true, false) => {
                Ended::Lost { reason: format!("the guest ended before the command: {exit}"), log }
            }
        })
    }

    /// Ends the guest if it still runs.
    pub(crate) fn end(self) -> Result<Ended> {
        // SIGTERM, since a kernel that gets SIGKILL cannot end its processes, and std sends no
        // other signal.
        let pid = self.child.id().to_string();
        Command::new("sh")
            .args(["-c", "kill \"$0\"", &pid])
            .stderr(Stdio::null())
            .status()
            .context("cannot start sh")?;
        self.wait()
    }
}

/// Creates a folder for one guest, removed with its contents when it is dropped.
fn guest_folder() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    // The init script contains the environment, which other users must not read.
    builder.prefix("echosounder-guest-").permissions(Permissions::from_mode(0o700));
    builder.tempdir().context("cannot create a folder for the guest")
}

fn write_script(path: &Path, text: &[u8]) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).context("cannot write the guest's script")
}

/// Forwards a guest's output as it comes, or line by line if each gets a prefix.
fn spawn_relay(
    from: impl Read + Send + 'static,
    to: impl Write + Send + 'static,
    prefix: Option<String>,
) -> JoinHandle<()> {
    let mut from = BufReader::new(from);
    thread::spawn(move || {
        let forwarded = match prefix {
            Some(prefix) => forward_lines(&mut from, to, &prefix),
            None => forward(&mut from, to),
        };
        if forwarded.is_err() {
            // The reader has gone. Reading on lets the guest run to its end, since full pipes would
            // block its consoles.
            let _ = io::copy(&mut from, &mut io::sink());
        }
    })
}

fn forward(from: &mut impl BufRead, mut to: impl Write) -> io::Result<()> {
    loop {
        let len = match from.fill_buf()? {
            [] => return Ok(()),
            bytes => to.write_all(bytes).and_then(|()| to.flush()).map(|()| bytes.len())?,
        };
        from.consume(len);
    }
}

fn forward_lines(from: &mut impl BufRead, mut to: impl Write, prefix: &str) -> io::Result<()> {
    loop {
        // One write for the whole line, so that lines of two guests do not mix.
        let mut line = prefix.as_bytes().to_vec();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        to.write_all(&line)?;
    }
}

/// Prints the end of a guest's log.
fn print_tail(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        let line: String =
            line.trim_end().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        notice(format!("| {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_gets_a_prefix_and_a_newline() {
        let mut out = Vec::new();
        forward_lines(&mut &b"a\n\nb"[..], &mut out, "server: ").unwrap();
        assert_eq!(out, b"server: a\nserver: \nserver: b\n");
    }

    #[test]
    fn without_a_prefix_bytes_are_unchanged() {
        let mut out = Vec::new();
        forward(&mut &b"a\r\n\0\xff"[..], &mut out).unwrap();
        assert_eq!(out, b"a\r\n\0\xff");
    }
}
