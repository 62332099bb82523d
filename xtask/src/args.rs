//! What is typed.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::kernel::Kernel;

/// What developers of this repository need and cargo does not do
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
}

/// Run a command in a kernel that has TIPC, VSOCK and SCTP
///
/// The guest sees this machine's files, read-only, and has the same working directory and environment; it may write
/// in /run, /dev/shm and $TMPDIR, which are its own. The command's standard input is empty. Its exit status is
/// passed on, 128+N if signal N ended it; 125 means that there was no guest to run it in, or that it took too long.
#[derive(Debug, clap::Args)]
pub(crate) struct Guest {
    #[command(flatten)]
    pub(crate) machine: Machine,

    /// What to run, and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Run a server and a client in two kernels, joined by an Ethernet link with a TIPC bearer
///
/// Both are lines for the shell, and what they print is told apart by a prefix. CLIENT starts when the link is up and
/// SERVER has bound a service, but waits no longer than half a minute for that. Its exit status is passed on; then
/// the server is ended.
#[derive(Debug, clap::Args)]
pub(crate) struct Bearer {
    #[command(flatten)]
    pub(crate) machine: Machine,

    /// What runs in the first kernel
    pub(crate) server: OsString,

    /// What runs in the second
    pub(crate) client: OsString,
}

/// The machine that a guest is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Machine {
    /// How long booting and the command may take together
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,

    /// The guest's memory
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) memory: u32,

    /// How the kernel is run; without it, User-Mode Linux, and QEMU where that does not boot
    #[arg(long, value_enum)]
    pub(crate) kernel: Option<Kernel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_taken_as_it_is() {
        let args =
            Args::try_parse_from(["xtask", "guest", "--timeout", "5", "--", "run", "--timeout", "--", "-x"]);
        let Task::Guest(guest) = args.unwrap().task else { panic!("not a guest") };
        assert_eq!(guest.machine.timeout, 5);
        assert_eq!(guest.command, ["run", "--timeout", "--", "-x"]);
    }

    #[test]
    fn nothing_to_run_and_no_time_to_run_it_are_usage_errors() {
        for args in [
            &["xtask", "guest"][..],
            &["xtask", "guest", "--timeout", "0", "--", "run"],
            &["xtask", "bearer", "a"],
        ] {
            Args::try_parse_from(args).unwrap_err();
        }
    }
}
