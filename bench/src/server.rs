//! A server of one round: started on its core, measured from outside, and killed at the end in any
//! case.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use echosounder_socket::{Endpoint, Interest, Signal, Signals, ready};

use crate::check::ReplyFormat;
use crate::load;
use crate::peers::Ready;
use crate::scenario::{Scenario, Transport};

/// The core of the servers, and that of the load.
pub const SERVER_CORE: &str = "0";
pub const LOAD_CORE: &str = "1";

/// How often a server is tried after its start, and the pause between.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// Ports for the servers, below the kernel's ephemeral ports.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

pub struct Server {
    child: Child,
    pub endpoint: Endpoint,
}

impl Server {
    /// Starts a server, and returns when it serves its endpoint.
    pub fn start(
        peer: &Ready,
        scenario: &Scenario,
        port: &mut u16,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let place = if scenario.transport.has_ports() {
            free_port(scenario.transport, port)?.to_string()
        } else {
            let path = folder.join("server");
            let _ = fs::remove_file(&path);
            path.to_string_lossy().into_owned()
        };
        let log = folder.join("log");
        // setpriv and taskset replace themselves by the program. It leads a process group, so that
        // its children are known.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", SERVER_CORE])
            .args(&peer.program)
            .args((peer.peer.arguments)(scenario.transport, &place))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .process_group(0)
            .spawn()
            .context("start a server with setpriv")?;
        let mut server = Self { child, endpoint: scenario.transport.endpoint(&place).parse()? };
        for _ in 0..TRIES {
            interrupt.pause(PAUSE)?;
            if let Some(status) = server.child.try_wait()? {
                bail!("{status}: {}", fs::read_to_string(log)?.lines().last().unwrap_or_default());
            }
            if server.is_up(scenario, peer.peer.reply_format, folder) {
                return Ok(server);
            }
        }
        bail!("the server does not reply");
    }

    fn is_up(&self, scenario: &Scenario, reply_format: ReplyFormat, folder: &Path) -> bool {
        load::is_up(scenario, &self.endpoint, reply_format, folder)
    }

    /// Returns the CPU time of all its processes and threads, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        let mut nanos = 0;
        for process in self.processes()? {
            // A process or thread may have just ended.
            for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten() {
                let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                nanos += text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0_u64);
            }
        }
        Ok(nanos as f64 / 1e9)
    }

    /// Returns the resident memory of all its processes, in KiB.
    pub fn memory(&self) -> Result<f64> {
        let mut kib = 0;
        for process in self.processes()? {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
            kib += number.unwrap_or(0_u64);
        }
        Ok(kib as f64)
    }

    /// Gives its children time to end with their connections. If the server is killed first, they
    /// may stay as zombies.
    pub fn end_children(&self, interrupt: &Interrupt) -> Result<()> {
        for _ in 0..TRIES {
            if self.processes()?.len() <= 1 {
                break;
            }
            interrupt.pause(PAUSE)?;
        }
        Ok(())
    }

    /// Returns the processes of its group: the server and its children.
    fn processes(&self) -> Result<Vec<u32>> {
        let group = self.child.id().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(process) = entry?.file_name().to_string_lossy().parse() else { continue };
            // The name is in parentheses and may hold any byte; state, parent and group follow it.
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            if rest.split(' ').nth(3) == Some(&group) {
                found.push(process);
            }
        }
        Ok(found)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("kill -KILL -{}", self.child.id());
        let _ = Command::new("sh").args(["-c", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the next port that is not in use.
fn free_port(transport: Transport, last: &mut u16) -> Result<u16> {
    for _ in PORTS {
        *last = if PORTS.contains(&(*last + 1)) { *last + 1 } else { PORTS.start };
        let here = ("127.0.0.1", *last);
        let is_free = match transport {
            Transport::Udp => UdpSocket::bind(here).is_ok(),
            _ => TcpListener::bind(here).is_ok(),
        };
        if is_free {
            return Ok(*last);
        }
    }
    bail!("no port is free")
}

/// SIGINT and SIGTERM, which end the run with an error, so that its servers are killed.
pub struct Interrupt(Signals);

impl Interrupt {
    pub fn receive() -> Result<Self> {
        Ok(Self(Signals::receive(&[Signal::Interrupt, Signal::Terminate])?))
    }

    /// Waits for `span`, or fails if there is a signal. The signal stays pending.
    pub fn pause(&self, span: Duration) -> Result<()> {
        let [signals] = ready([(self.0.as_fd(), Interest::READ)], Some(span))?;
        ensure!(!signals.can_read(), "interrupted");
        Ok(())
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
