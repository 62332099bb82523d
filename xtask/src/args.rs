//! The command line of `cargo xtask`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::machine::Machine;

/// Tasks for developers of this repository
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Guest(Guest),
    Bearer(Bearer),
    Faults(Faults),
    #[command(hide = true)]
    SwapReturnAddress(SwapReturnAddress),
    Picture(Picture),
}

/// Run a command in a kernel that has TIPC, VSOCK and SCTP
///
/// The guest sees this machine's files read-only, with the same working directory and environment.
/// It may write in /run, /dev/shm and $TMPDIR, which are its own. The command's standard input is
/// empty. The exit status is that of the command, or 128+N if signal N ended it, or 125 if no guest
/// booted or the time limit was reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Guest {
    #[command(flatten)]
    pub(crate) machine: Machine,

    /// Command to run and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Run a server and a client in two kernels, joined by an Ethernet link with a TIPC bearer
///
/// Both commands are lines for the shell; each line of their output gets the name of the guest as a
/// prefix. CLIENT starts when the link is up and SERVER has bound a service, or after half a
/// minute. The exit status is that of CLIENT, after which the server is ended.
#[derive(Debug, clap::Args)]
pub(crate) struct Bearer {
    #[command(flatten)]
    pub(crate) machine: Machine,

    /// Command of the first guest
    pub(crate) server: OsString,

    /// Command of the second guest
    pub(crate) client: OsString,
}

/// Attack servers in network namespaces and check that they survive
///
/// Needs root. Prints a line for each row: what was done, what was measured, what the condition is,
/// and whether it holds. The namespaces have no names and end with this program, however it ends.
/// The exit status is 1 if a condition does not hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Faults {
    /// Take under three minutes, with fewer peers and wider limits of latency
    #[arg(long)]
    pub(crate) short: bool,

    /// Program to attack [default: a release build of this repository]
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,

    /// Rows to run, by number or name [default: all but "soak" and "others"]
    pub(crate) rows: Vec<String>,

    /// How long "soak" runs, in minutes
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) minutes: u64,

    /// Delay of the path in "bulk", one way, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub(crate) delay: u64,
}

/// Replace the return addresses of requests, as the peer of a row of `faults`
#[derive(Debug, clap::Args)]
pub(crate) struct SwapReturnAddress {
    /// Folder of the servers
    pub(crate) folder: PathBuf,

    /// Number of requests
    pub(crate) rounds: u32,
}

/// Draw the README's pictures from real runs of the program
///
/// Writes demo.svg, the terminal output of `sounder demo`, and report.png, the HTML report of a
/// ping. The report needs chromium; without it a note says so and the old picture stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Picture {
    /// Program to run [default: a release build of this repository]
    #[arg(long, value_name = "PATH")]
    pub(crate) sounder: Option<PathBuf>,

    /// Folder for the pictures, created if it is missing
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_command_is_passed_on_unchanged() {
        let args =
            Args::try_parse_from(["xtask", "guest", "--timeout", "5", "--", "run", "--timeout", "--", "-x"]);
        let Task::Guest(guest) = args.unwrap().task else { panic!("not a guest") };
        assert_eq!(guest.machine.timeout, 5);
        assert_eq!(guest.command, ["run", "--timeout", "--", "-x"]);
    }

    #[test]
    fn missing_commands_and_zero_timeouts_are_usage_errors() {
        for args in [
            &["xtask", "guest"][..],
            &["xtask", "guest", "--timeout", "0", "--", "run"],
            &["xtask", "bearer", "a"],
            &["xtask", "picture"],
        ] {
            Args::try_parse_from(args).unwrap_err();
        }
    }
}
