//! The arguments of `talk`.

use std::time::Duration;

use echosounder_client::Eol;
use echosounder_socket::Endpoint;

use super::{ENDPOINTS, EXIT_STATUS, IpVersion};
use crate::{choices, value_parsers};

/// Send lines to a server and print its replies
///
/// On a terminal, each line is sent as typed, without a newline, and its reply is printed. An empty
/// line or Ctrl-D ends the session. Pasted text is sent as one message.
///
/// If standard input or output is a pipe or a file, bytes pass unchanged in both directions at
/// once, as with nc. At the end of the input, talk closes the sending direction. Then it exits when
/// the server closes the connection, or when nothing arrives for --wait. If the server closes the
/// connection first, talk sends the rest of the input until it ends or pauses for --wait.
///
/// With --lines or --json, and always on sockets that preserve message boundaries (UDP, seqpacket
/// and others), talk works in lockstep: each line is one message, sent without its newline (see
/// --eol), and the next line waits for the reply. An empty line is an empty message; on a stream
/// without --eol it sends nothing.
///
/// In lockstep, a reply ends when it contains the line that was sent, with a newline, or after 0.3
/// s of silence. Each reply is printed unchanged; a newline is added if it lacks one. If the reply
/// is incomplete after --wait, the line counts as unanswered; the part that has arrived is printed.
/// A late reply is not mistaken for the reply to the next line if the two can be distinguished.
/// Data that arrives before the first line, such as a greeting, belongs to no line; on connections,
/// talk waits up to 0.25 s for it.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder talk                                  the server on this host
  sounder talk /run/echo.sock                   a server on a UNIX socket
  echo hello | sounder talk udp://localhost     one message, one reply
  sounder talk localhost:7 <image >copy         bytes pass unchanged
  sounder talk --eol crlf mail.example:25       a server that expects CRLF
  sounder talk --lines --eol lf host <requests  one line at a time

{EXIT_STATUS}

Success means that all input was sent and, in lockstep, every line was answered."))]
pub(crate) struct Talk {
    /// Target endpoint [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::endpoint)]
    pub(crate) endpoint: Option<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Source address, or network interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// How long to wait for a connection, and for each reply, such as 0.2, 200ms or 1m30s
    ///
    /// On streams, the time starts again whenever 64 KiB of the reply have arrived. In lockstep,
    /// talk waits this long for late replies after the end of the input, and again whenever 64 KiB
    /// have arrived. Otherwise it continues as long as the server sends something within this time.
    #[arg(short, long, value_name = "DURATION", default_value = "5s", value_parser = value_parsers::duration)]
    pub(crate) wait: Duration,

    /// Stop after this long, including the time to connect [default: never]
    ///
    /// The exit status is then 1, since the data from the server may be incomplete.
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) deadline: Option<Duration>,

    /// Send one line at a time, and wait for its reply
    #[arg(long)]
    pub(crate) lines: bool,

    /// Line ending to send (also disables "empty line quits")
    #[arg(long, value_parser = choices::EOL, value_name = "EOL")]
    pub(crate) eol: Option<Eol>,

    /// Print replies unchanged, even on a terminal: control characters are not escaped
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,

    /// Print the address of the server
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}
