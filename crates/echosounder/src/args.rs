//! What is typed, and nothing more: no defaults are computed here, nothing is looked up.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use echosounder_client::SizeRange;
use echosounder_proto::{Framing, Template};
use echosounder_socket::Endpoint;

use crate::value_parsers;

/// Timestamped echo server, client, latency prober and load generator for every socket family on Linux
#[derive(Debug, Parser)]
#[command(name = "sounder", version, max_term_width = 100)]
#[command(after_help = TRY_IT, after_long_help = format!("{TRY_IT}\n\n{EXIT_STATUS}"))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// How everything is said.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Print one JSON object per line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// A destination of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputFile {
    /// Standard output, in JSON.
    Stdout,
    /// A file, in the format that its name ends in.
    Path(PathBuf, ResultFormat),
}

/// The format of a result file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultFormat {
    Json,
    Csv,
    Hdr,
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Talk(Talk),
    Ping(Ping),
    Load(Load),
    /// Show a conversation and 1,000 verified echoes on every kind of socket of this machine
    #[command(after_long_help = EXIT_STATUS)]
    Demo,
    /// Check which socket families and kernel features work on this machine
    #[command(after_long_help = EXIT_STATUS)]
    Doctor,
    /// Print a shell completion script
    #[command(after_help = SHELLS, after_long_help = format!("{SHELLS}\n\n{EXIT_STATUS}"))]
    Completions {
        /// Shell to complete for
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the man pages to a folder: sounder(1), sounder-serve(1), ...
    #[command(after_long_help = EXIT_STATUS)]
    Man {
        /// Folder to write to; created if missing
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

const TRY_IT: &str = "\
Try it:
  sounder demo                        a short tour; needs nothing else
  sounder serve                       echo server on localhost, TCP and UDP
  sounder talk                        type a line, see it come back with the time
  sounder ping HOST                   round-trip time, loss, jitter, each direction
  sounder load --self                 how fast the server is on this machine
  sounder doctor                      which sockets work on this machine
  echo hi | sounder talk udp://HOST   one request, one reply";

const ENDPOINTS: &str = "\
Endpoints:
  tcp://HOST:PORT              TCP; also HOST, HOST:PORT, :PORT and PORT
  udp://HOST:PORT              UDP
  mptcp://HOST:PORT            Multipath TCP
  sctp://HOST:PORT             SCTP
  unix:PATH                    UNIX stream socket; also /PATH, ./PATH and @NAME
  unix-dgram:PATH              UNIX datagram socket
  unix-seqpacket:PATH          UNIX seqpacket socket
  vsock://CID:PORT             virtual machines; CID: number, any, local, host
  vsock-seqpacket://CID:PORT   the same with message boundaries
  tipc://TYPE:INSTANCE         TIPC service; ?scope=node for this node only
  tipc-seqpacket:// tipc-rdm:// tipc-dgram://TYPE:INSTANCE
  netlink://PORTID             processes on this host (NETLINK_USERSOCK)

HOST: name or address, such as [::1] or [fe80::1%eth0]; empty or * means all
interfaces for a server and localhost for a client. PORT: number or service
name; default 21567, 0 means any free port. @NAME is an abstract UNIX socket;
in PATH and NAME, %0A is a newline and %25 a percent sign.";

const EXIT_STATUS: &str = "\
Exit status:
  0  Success.
  1  The peer failed (REFUSED, TIMEOUT, UNREACHABLE, DNS or CLOSED), a reply
     is missing, a threshold was missed, or a socket family is absent.
  2  Wrong usage, or this machine failed: bind, permission, no local ports,
     disk.";

const SHELLS: &str = "\
Examples:
  source <(sounder completions bash)    add to ~/.bashrc
  source <(sounder completions zsh)     add to ~/.zshrc
  sounder completions fish | source     add to ~/.config/fish/config.fish";

/// Run an echo server that prefixes every message with a timestamp
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

A server never replies to datagrams that start with a timestamp or come from a
port below 1024. Ctrl-C shuts down cleanly; SIGUSR1 prints statistics.

Examples:
  sounder serve                                 localhost, TCP and UDP
  sounder serve 8080                            all interfaces, TCP, port 8080
  sounder serve tcp:// udp://                   all interfaces, TCP and UDP
  sounder serve unix-seqpacket:/run/echo.sock   a UNIX seqpacket socket
  sounder serve --stamp '[{{rfc3339}}] {{peer}} ' :7000
  sounder serve --stamp none --frame line       plain echo (RFC 862) of lines

{EXIT_STATUS}"))]
pub(crate) struct Serve {
    /// Endpoints to listen on [default: tcp://localhost:21567 udp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Timestamp before each reply: ctime, rfc3339, unix, ns, none, or a template
    ///
    /// A template is printable text with the fields {ctime} {rfc3339} {unix} {rx} {tx} {peer} {local} {host}
    /// {seq}. `ctime` means "[{ctime}] ", and so on; `ns` means "[{rx} {tx}] ": when the message arrived and when
    /// its reply leaves, in nanoseconds since the Unix epoch. On datagram sockets a template must begin with one of
    /// these, so that other servers recognise a reply.
    #[arg(long, value_name = "STAMP", default_value = "ctime")]
    pub(crate) stamp: Template,

    /// How to split a stream into messages: every read of up to SIZE bytes, or every line [default: 1024]
    ///
    /// With `line`, a message ends at a newline, after MAX bytes (default 64k), or at the end of input.
    #[arg(long, value_name = "SIZE|line[:MAX]", value_parser = value_parsers::framing)]
    pub(crate) frame: Option<Framing>,

    /// With --stamp none, reply to datagrams from other hosts too, at most ten per second
    ///
    /// The limit is per socket, and each thread has its own. A reply without a timestamp looks like a request: two
    /// such servers would answer each other for ever.
    #[arg(long)]
    pub(crate) allow_plain_echo: bool,

    /// What to print to standard output: nothing, connections, or also every message
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Transcript::Auto)]
    pub(crate) transcript: Transcript,

    /// Maximum number of connections [default: as many as the descriptor limit allows]
    #[arg(long, value_name = "N", value_parser = value_parsers::count)]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// Maximum connections per client host (per /64 for IPv6) [default: --max-connections]
    #[arg(long, value_name = "N", value_parser = value_parsers::count)]
    pub(crate) max_per_peer: Option<NonZeroUsize>,

    /// Close connections that have sent nothing for this long, such as 30s [default: never]
    ///
    /// Whatever is set here, at --max-connections the connection that has been idle longest is closed for a new one.
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Reset connections whose client has read no replies for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = value_parsers::duration)]
    pub(crate) stall_timeout: Duration,

    /// Threads for connections, and threads for each UDP address [default: one per core]
    #[arg(long, value_name = "N", value_parser = value_parsers::workers)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// Permissions of UNIX socket paths in octal, reduced by the umask [default: 600]
    #[arg(long, value_name = "MODE", value_parser = value_parsers::mode)]
    pub(crate) unix_mode: Option<u32>,

    /// End with standard input, too: it is held by whoever started this server for itself
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
}

/// What is written of what a server hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transcript {
    /// Messages on a terminal, otherwise nothing
    Auto,
    /// Nothing
    Off,
    /// Connections opened and closed
    Peers,
    /// Connections and every message
    Messages,
}

/// Send lines to a server and print its replies
///
/// On a terminal each line is sent as it is typed, without a newline, and its reply is shown. An empty line or Ctrl-D
/// ends the conversation. Pasted text is one message, whatever it contains.
///
/// If standard input or output is a pipe or a file, bytes pass unchanged in both directions at once, as with nc. The end
/// of the input closes the sending direction; talk ends when the server closes the connection, or when nothing arrives
/// for --wait after the end of the input. If the server closes first, input is still sent until it ends or stays away
/// for --wait.
///
/// With --lines or --json, and always on sockets that keep messages apart (udp, seqpacket and so on), talk works in
/// lockstep: one line is one message, sent without its newline (see --eol), and the next line waits for the reply. An
/// empty line is an empty message; on a stream, without --eol, it sends nothing. Each reply is written unchanged; a
/// newline is added if it lacks one. A reply ends where the sent line has come back, or with a newline, or after 0.3 s of
/// silence. A line whose reply is not complete within --wait counts as not answered; what has arrived is written all the
/// same, and a late reply is not taken for the reply to the next line where it can be told apart. What arrives before the first line belongs to no line: on connections, talk waits up to 0.25 s for such a
/// greeting.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder talk                                  the server on this host
  sounder talk /run/echo.sock
  echo hello | sounder talk udp://localhost
  sounder talk localhost:7 <image >copy         bytes pass unchanged
  sounder talk --eol crlf mail.example:25       a server that wants whole lines
  sounder talk --lines --eol lf host <requests  one line at a time

{EXIT_STATUS}

Success means that all input was sent and, in lockstep, every line was answered."))]
pub(crate) struct Talk {
    /// Target endpoint [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::endpoint)]
    pub(crate) endpoint: Option<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Source address, or interface to send from
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// How long to wait for a connection, and for each reply, such as 0.2, 200ms or 1m30s
    ///
    /// On a stream it begins anew with each 64 KiB of the line that come back. After the end of the input, lockstep
    /// listens this long in all, and as long again after each 64 KiB that arrive; otherwise talk goes on as long as the
    /// server sends something within this time.
    #[arg(short, long, value_name = "DURATION", default_value = "5s", value_parser = value_parsers::duration)]
    pub(crate) wait: Duration,

    /// Stop after this long, including the time to connect [default: never]
    ///
    /// Exit status 1 then, since what the server has sent may be incomplete.
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) deadline: Option<Duration>,

    /// Send one line at a time, and wait for its reply
    #[arg(long)]
    pub(crate) lines: bool,

    /// Line ending to send (also disables "empty line quits")
    #[arg(long, value_enum, value_name = "EOL")]
    pub(crate) eol: Option<Eol>,

    /// Write replies unchanged, to a terminal too
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,

    /// Print the address that was reached
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

/// Measure round-trip time, loss and jitter, and the delay of each direction
///
/// Requests are sent on schedule, whatever comes back. Replies of `sounder serve` carry timestamps, so each direction
/// is measured separately; other echo servers are measured as far as their replies allow. Ctrl-C prints the summary
/// and ends, Ctrl-\ prints it and goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder ping HOST                             once a second, until Ctrl-C
  sounder ping -c 1 udp://HOST                  one probe: a reply, or why not
  sounder ping -i 20ms -s 172 -Q ef udp://HOST  like a telephone call
  sounder ping -q -c 1k -i 0 /run/echo.sock     as fast as replies come
  sounder ping --self -w 5                      every kind of socket here
  sounder ping -c 100 -i 0.1 --max-loss 1% --max-p99 5ms HOST && echo good
  sounder ping -w 60 -o report.html HOST        one minute as an HTML page

{EXIT_STATUS}"))]
pub(crate) struct Ping {
    /// Target endpoints [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Start a server and measure it: at each ENDPOINT, or on every kind of socket
    #[arg(long = "self")]
    pub(crate) with_server: bool,

    /// Stop after N requests [default: run until interrupted]
    #[arg(short, long, value_name = "N", value_parser = value_parsers::count)]
    pub(crate) count: Option<NonZeroUsize>,

    /// Time between requests; 0: as fast as replies come [default: 1s]
    ///
    /// With --self and -c or -w the default is 20ms.
    #[arg(short, long, value_name = "DURATION", value_parser = value_parsers::interval, overrides_with = "interval")]
    pub(crate) interval: Option<Duration>,

    /// Stop after this long, including the time to connect [default: run until interrupted]
    #[arg(short = 'w', long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) deadline: Option<Duration>,

    /// How long to wait for a connection, and for each reply before it is late
    #[arg(short = 'W', long, value_name = "DURATION", default_value = "2s", value_parser = value_parsers::duration)]
    pub(crate) wait: Duration,

    /// Message size in bytes (minimum 50; 44 on stream sockets)
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = value_parsers::call_size)]
    pub(crate) size: NonZeroUsize,

    /// Source address, or interface to send from
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// DSCP value of outgoing packets: 0 to 63, or a name such as ef, af41, cs5
    #[arg(short = 'Q', long, value_name = "DSCP", value_parser = value_parsers::dscp)]
    pub(crate) dscp: Option<u8>,

    /// IP time to live (hop limit)
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: Option<u8>,

    /// How the peer's clock relates to this one
    #[arg(long, value_enum, value_name = "CLOCK", default_value_t = Clock::Auto)]
    pub(crate) clock: Clock,

    /// Which timestamps measure the arrival of replies
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = TimestampSource::Auto)]
    pub(crate) timestamps: TimestampSource,

    /// Print the time before each line, in seconds since the Unix epoch
    #[arg(short = 'D', long)]
    pub(crate) print_time: bool,

    /// Print all statistics for each of several targets
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Exit 1 if packet loss exceeds this percentage
    #[arg(long, value_name = "PERCENT", value_parser = value_parsers::percent)]
    pub(crate) max_loss: Option<f64>,

    /// Exit 1 if the 99th percentile of the round trips exceeds this
    ///
    /// With fewer than 100 replies, the maximum counts.
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) max_p99: Option<Duration>,

    /// Write the result to FILE: .json, .csv (each request), .hdr (HdrHistogram log) or .html; - is standard output
    ///
    /// The option may be repeated. FILE is replaced when the result is complete, and every 10 seconds on the way there. With
    /// `-o -` the JSON result goes to standard output and everything else to standard error.
    #[arg(short, long, value_name = "FILE", value_parser = value_parsers::ping_output)]
    pub(crate) output: Vec<OutputFile>,
}

/// Which clock reads time the receipt of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimestampSource {
    /// The kernel's if all targets are TCP or UDP, otherwise this program's
    Auto,
    /// The kernel's: when the packet arrived, without the time this program takes to wake up
    Kernel,
    /// This program's
    User,
}

/// What is known of the peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clock {
    /// Same for targets on this machine, otherwise free
    Auto,
    /// It is the same clock: one-way delays are exact
    Same,
    /// Both are synchronised by NTP or PTP: one-way delays are as exact as that
    Synced,
    /// Clocks are unrelated: one-way delays are shown relative to the fastest seen
    Free,
}

/// Generate load over many connections and verify every reply
///
/// Without --rate this is a closed loop: each connection keeps --depth messages in flight and sends the next one when
/// a reply arrives. With --rate it is an open loop: messages are sent on schedule, and latency counts from the
/// scheduled time, so that a server that stalls cannot hide it.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder load --self                           ten connections, ten seconds
  sounder load -c 50 -p 16 -s 1k HOST           as fast as it goes
  sounder load -r 20k -s 64-1400 udp://HOST     20,000 messages per second
  sounder load --ramp 1ms -c 50 /run/echo.sock  highest rate with p99 below 1 ms
  sounder load -n 1m -o result.json HOST        a million messages

{EXIT_STATUS}"))]
pub(crate) struct Load {
    /// Target endpoint [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::endpoint)]
    pub(crate) endpoint: Option<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Start a server and load it: at ENDPOINT, or on a free port
    #[arg(long = "self")]
    pub(crate) with_server: bool,

    /// Number of connections, or of sockets if there are no connections
    #[arg(short, long, value_name = "N", default_value = "10", value_parser = value_parsers::count)]
    pub(crate) connections: NonZeroUsize,

    /// Messages in flight per connection [default: 1]
    #[arg(short = 'p', long, value_name = "N", value_parser = value_parsers::count, conflicts_with_all = ["rate", "ramp"])]
    pub(crate) depth: Option<NonZeroUsize>,

    /// Fixed rate in messages per second across all connections (open loop)
    #[arg(short, long, value_name = "RATE", value_parser = value_parsers::rate, conflicts_with = "ramp")]
    pub(crate) rate: Option<f64>,

    /// Arrival process for --rate and --ramp [default: even]
    #[arg(long, value_enum, value_name = "SPACING")]
    pub(crate) spacing: Option<Spacing>,

    /// Find the highest rate whose 99th percentile stays within this time
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) ramp: Option<Duration>,

    /// Message size in bytes, fixed or MIN-MAX
    #[arg(short, long, value_name = "SIZE|MIN-MAX", default_value = "64", value_parser = value_parsers::sizes)]
    pub(crate) size: SizeRange,

    /// How long to measure; with --ramp, each rate [default: 10s, with --ramp 2s]
    #[arg(short, long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) duration: Option<Duration>,

    /// Stop after N measured messages, or after --duration if that is given
    #[arg(short = 'n', long, value_name = "N", value_parser = value_parsers::count)]
    pub(crate) messages: Option<NonZeroUsize>,

    /// How long to run before measuring; 0: not at all
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = value_parsers::span)]
    pub(crate) warm_up: Duration,

    /// Number of sending threads
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = value_parsers::workers)]
    pub(crate) threads: NonZeroUsize,

    /// How long to wait for a connection, and for each reply before it is late
    #[arg(short, long, value_name = "DURATION", default_value = "2s", value_parser = value_parsers::duration)]
    pub(crate) wait: Duration,

    /// Source address, or interface to send from
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// Write the result to FILE: .json, .csv (each latency) or .hdr (HdrHistogram log); - is standard output
    ///
    /// The option may be repeated. FILE is replaced when the result is complete, and every 10 seconds on the way there. With
    /// `-o -` the JSON result goes to standard output and everything else to standard error.
    #[arg(short, long, value_name = "FILE", value_parser = value_parsers::load_output)]
    pub(crate) output: Vec<OutputFile>,

    /// Allow more than 100,000 messages per second to other hosts
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What lies between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spacing {
    /// Constant intervals
    Even,
    /// Random intervals, as from independent clients
    Poisson,
}

/// What is sent at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Eol {
    /// A line feed
    Lf,
    /// A carriage return and a line feed
    Crlf,
}

/// Which addresses of a name to take.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct IpVersion {
    /// Use IPv4 only
    #[arg(short = '4', action = ArgAction::SetTrue, conflicts_with = "v6")]
    pub(crate) v4: bool,

    /// Use IPv6 only
    #[arg(short = '6', action = ArgAction::SetTrue)]
    pub(crate) v6: bool,
}
