//! The command line: arguments, help texts and examples, as clap reads them.
//!
//! Nothing is computed or looked up here; [`config`](crate::config) turns arguments into the work
//! to be done.

#![allow(rustdoc::broken_intra_doc_links, reason = "brackets in a help text are no link")]

mod load;
mod ping;
mod serve;
mod talk;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

pub(crate) use load::Load;
pub(crate) use ping::Ping;
pub(crate) use serve::Serve;
pub(crate) use talk::Talk;

use crate::output::Output;

/// Timestamped echo server, client, latency prober and load generator for every socket family on
/// Linux
#[derive(Debug, Parser)]
#[command(name = "sounder", version, max_term_width = 100)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUS}"))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Talk(Talk),
    Ping(Ping),
    Load(Load),
    /// Show a conversation, then 1,000 verified echoes on every socket type that works here
    #[command(after_long_help = EXIT_STATUS)]
    Demo,
    /// Check which socket families and kernel features work on this machine
    #[command(after_long_help = EXIT_STATUS)]
    Doctor,
    /// Check configuration files
    #[command(after_help = CONFIG, after_long_help = format!("{CONFIG}\n\n{EXIT_STATUS}"))]
    Config {
        /// Check the files as "serve --config FILE" reads them, without serving; - is standard input
        ///
        /// Print "FILE: ok", or every error with its line and exit with status 2. Check as the user
        /// and on the machine that will serve: the user and the key file that a file names must exist.
        #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
        check: Vec<PathBuf>,
    },
    /// Print a shell completion script
    #[command(after_help = SHELLS, after_long_help = format!("{SHELLS}\n\n{EXIT_STATUS}"))]
    Completions {
        /// Shell that runs the script
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the man pages to a folder
    #[command(after_long_help = EXIT_STATUS)]
    Man {
        /// Folder for the man pages; created if missing
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

const EXAMPLES: &str = "\
Examples:
  sounder demo                        a short tour, needs no other command
  sounder serve                       echo server on localhost, TCP and UDP
  sounder talk                        type a line, get it back with a timestamp
  sounder ping HOST                   delay, loss and jitter, in each direction
  sounder load --self                 how fast the server is on this machine
  sounder doctor                      which socket types work on this machine
  echo hi | sounder talk udp://HOST   send one message, print the reply";

const ENDPOINTS: &str = "\
Endpoints:
  tcp://HOST:PORT              TCP; also HOST, HOST:PORT, :PORT and PORT
  udp://HOST:PORT              UDP
  mptcp://HOST:PORT            Multipath TCP
  sctp://HOST:PORT             SCTP
  unix:PATH                    UNIX stream socket; also /PATH, ./PATH and @NAME
  unix-dgram:PATH              UNIX datagram socket
  unix-seqpacket:PATH          UNIX seqpacket socket
  vsock://CID:PORT             VSOCK stream; CID: number, any, local or host
  vsock-seqpacket://CID:PORT   VSOCK seqpacket
  tipc://TYPE:INSTANCE         TIPC stream; ?scope=node for this node only
  tipc-seqpacket://TYPE:INSTANCE, tipc-rdm://..., tipc-dgram://...
  netlink://PORTID             processes on this host (NETLINK_USERSOCK)

HOST: name or address, such as [::1] or [fe80::1%eth0]; empty or * means all
interfaces for a server and localhost for a client. PORT: number or service
name; default 21567, 0 means any free port. @NAME is an abstract UNIX socket;
in PATH and NAME, %0A is a newline and %25 a percent sign.";

const EXIT_STATUS: &str = "\
Exit status:
  0  Success.
  1  The peer failed (REFUSED, TIMEOUT, UNREACHABLE, DNS or CLOSED), a reply
     is missing, a threshold was missed, or a requested socket family is
     absent.
  2  Wrong usage, or this machine failed: bind, permission, no local ports,
     disk.";

const CONFIG: &str = "\
Examples:
  sounder config --check sounder.toml    check a file before the server reads it
  sounder serve --config sounder.toml    serve with its options";

const SHELLS: &str = "\
Examples:
  source <(sounder completions bash)    add to ~/.bashrc
  source <(sounder completions zsh)     add to ~/.zshrc
  sounder completions fish | source     add to ~/.config/fish/config.fish";

/// The heading of the options of STAMP.
const STAMP: &str = "STAMP";

/// Returns the help about targets.
fn targets() -> String {
    format!(
        "{ENDPOINTS}

stamp://HOST:PORT is a STAMP reflector (RFC 8762), as many routers have one; its
default port is 862."
    )
}

/// The addresses of a name that a command uses.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct IpVersion {
    /// Use IPv4 only
    #[arg(short = '4', action = ArgAction::SetTrue, conflicts_with = "v6")]
    pub(crate) v4: bool,

    /// Use IPv6 only
    #[arg(short = '6', action = ArgAction::SetTrue)]
    pub(crate) v6: bool,
}
