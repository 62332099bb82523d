//! A guest: a kernel that boots, runs one job and is gone.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use crate::args::{self, Machine};
use crate::init::{self, Job, Link, Place};
use crate::kernel::Kernel;
use crate::{packages, tell};

/// How many lines of a guest's log are shown when it fails.
const LOG_LINES: usize = 40;

/// Runs a command in a guest, and returns its exit status.
pub(crate) fn run(args: &args::Guest) -> Result<u8> {
    try_kernels(args.machine, |kernel| {
        let guest = Guest::start(kernel, args.machine, &args.command, None)?;
        guest.wait()
    })
}

/// Tries one kernel after the other until one boots, and returns how the job ended in it.
pub(crate) fn try_kernels(machine: Machine, attempt: impl Fn(Kernel) -> Result<Ended>) -> Result<u8> {
    let kernels = Kernel::candidates(machine.kernel);
    for (index, &kernel) in kernels.iter().enumerate() {
        let next = kernels.get(index + 1);
        match (attempt(kernel), next) {
            (Ok(Ended::Job(status)), _) => return Ok(status),
            (Ok(Ended::Unbooted { .. }), Some(next)) => {
                tell(&format!("{} did not boot, {} is next", kernel.name(), next.name()));
            }
            (Err(error), Some(next)) => {
                tell(&format!("{}: {error:#}; {} is next", kernel.name(), next.name()));
            }
            (Ok(Ended::Unbooted { why, log } | Ended::Lost { why, log }), _) => {
                show(&log);
                bail!("{}: {why}", kernel.name());
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
    Unbooted { why: String, log: String },
    /// The job began, and nobody knows how it would have ended.
    Lost { why: String, log: String },
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
    folder: Folder,
    timeout: u32,
}

impl Guest {
    /// Starts a guest that runs a command; what that prints is passed on, each line with the node's name if there is a
    /// link.
    pub(crate) fn start(
        kernel: Kernel,
        machine: Machine,
        command: &[OsString],
        side: Option<Side>,
    ) -> Result<Self> {
        let fetched = packages::kernel(kernel)?;
        let folder = Folder::new()?;
        let tipc = side.as_ref().map(|_| packages::tipc()).transpose()?;
        let link = side.as_ref().zip(tipc.as_ref());
        let place = Place {
            busybox: &fetched.join("busybox"),
            modules: &fetched.join("modules"),
            consoles: kernel.consoles(),
            link: link.map(|(side, tipc)| Link { node: side.node, device: kernel.device(), tipc }),
        };
        let job = Job {
            command,
            folder: &env::current_dir().context("find the working directory")?,
            environment: &env::vars_os().collect::<Vec<_>>(),
        };
        folder.write_script("init", &init::script(&job, &place))?;

        let prefix = side.as_ref().map(|side| format!("{}: ", side.node));
        let mut command = kernel.command(&fetched, &folder.path, machine, side.as_ref().map(|side| side.mac));
        command.stdin(side.map_or_else(Stdio::null, |side| OwnedFd::from(side.socket).into()));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start sh")?;
        let (stdout, stderr) = child.stdout.take().zip(child.stderr.take()).context("there are no pipes")?;
        let relays = [relay(stdout, io::stdout(), prefix.clone()), relay(stderr, io::stderr(), prefix)];
        Ok(Self { child, relays, folder, timeout: machine.timeout })
    }

    /// Waits until the guest is over.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        const TIMED_OUT: i32 = 124;
        const KILLED: i32 = 137;
        let exit = self.child.wait().context("wait for the guest")?;
        // What outlives a killed kernel may still hold the pipes.
        if exit.code() != Some(KILLED) {
            for relay in self.relays {
                relay.join().ok().context("pass on what the guest prints")?;
            }
        }
        let log = self.folder.log()?;
        if let Some(status) = init::status(&log) {
            return Ok(Ended::Job(status));
        }
        let too_late = matches!(exit.code(), Some(TIMED_OUT | KILLED));
        let within = format!("within {} seconds", self.timeout);
        Ok(match (init::is_up(&log), too_late) {
            (false, true) => Ended::Unbooted { why: format!("the guest did not boot {within}"), log },
            (false, false) => Ended::Unbooted { why: format!("the guest did not boot: {exit}"), log },
            (true, true) => Ended::Lost { why: format!("the command did not end {within}"), log },
            (true, false) => Ended::Lost { why: format!("the guest ended before the command: {exit}"), log },
        })
    }

    /// Ends the guest if it is not over yet.
    pub(crate) fn end(self) -> Result<Ended> {
        // A kernel that is killed outright cannot end its processes; std knows no other way to end one.
        let pid = self.child.id().to_string();
        Command::new("sh")
            .args(["-c", "kill \"$0\"", &pid])
            .stderr(Stdio::null())
            .status()
            .context("start sh")?;
        self.wait()
    }
}

/// A folder for one guest, removed with all that is in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Self> {
        let parent = env::temp_dir();
        for number in 0.. {
            let path = parent.join(format!("echosounder-guest-{}-{number}", process::id()));
            // The script contains our environment, which is nobody else's business.
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self { path }).context("make a folder for the guest"),
            }
        }
        bail!("{} is full", parent.display())
    }

    fn write_script(&self, name: &str, text: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).context("write the guest's script")
    }

    /// What the guest's kernel and its first process have said.
    fn log(&self) -> Result<String> {
        let log = fs::read(self.path.join("log")).context("read the guest's log")?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays; the guest did its work.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Passes on what a guest prints, as it comes; or line by line, if each is to have a prefix.
fn relay(
    from: impl Read + Send + 'static,
    to: impl Write + Send + 'static,
    prefix: Option<String>,
) -> JoinHandle<()> {
    let mut from = BufReader::new(from);
    thread::spawn(move || {
        let passed = match prefix {
            Some(prefix) => pass_lines(&mut from, to, &prefix),
            None => pass(&mut from, to),
        };
        if passed.is_err() {
            // Nobody listens any more. The guest runs on to its end, as it would not if its consoles were stuck.
            let _ = io::copy(&mut from, &mut io::sink());
        }
    })
}

fn pass(from: &mut impl BufRead, mut to: impl Write) -> io::Result<()> {
    loop {
        let len = match from.fill_buf()? {
            [] => return Ok(()),
            bytes => to.write_all(bytes).and_then(|()| to.flush()).map(|()| bytes.len())?,
        };
        from.consume(len);
    }
}

fn pass_lines(from: &mut impl BufRead, mut to: impl Write, prefix: &str) -> io::Result<()> {
    loop {
        // Written at once, so that lines of two guests do not mix.
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

/// Shows the end of a guest's log.
fn show(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        let line: String =
            line.trim_end().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        tell(&format!("| {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_put_before_each_line_and_an_unfinished_one_is_ended() {
        let mut out = Vec::new();
        pass_lines(&mut &b"a\n\nb"[..], &mut out, "server: ").unwrap();
        assert_eq!(out, b"server: a\nserver: \nserver: b\n");
    }

    #[test]
    fn without_a_prefix_nothing_is_changed() {
        let mut out = Vec::new();
        pass(&mut &b"a\r\n\0\xff"[..], &mut out).unwrap();
        assert_eq!(out, b"a\r\n\0\xff");
    }

    #[test]
    fn folders_are_different_and_go_with_their_guest() {
        let (one, other) = (Folder::new().unwrap(), Folder::new().unwrap());
        assert_ne!(one.path, other.path);
        let path = one.path.clone();
        one.write_script("init", b"").unwrap();
        drop(one);
        assert!(!path.exists());
    }
}
