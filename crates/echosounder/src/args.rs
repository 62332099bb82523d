//! The command line: arguments, help texts and examples, as clap reads them.
//!
//! Nothing is computed or looked up here; [`config`](crate::config) turns arguments into the work
//! to be done.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand};
use echosounder_client::{Eol, Percent, SizeRange, Spacing};
use echosounder_proto::{Framing, Template};
use echosounder_server::Network;
use echosounder_socket::Endpoint;

use crate::choices::{self, AutoClock, AutoTimestamps, AutoTranscript};
use crate::output::{Output, OutputFile};
use crate::value_parsers;

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

const SHELLS: &str = "\
Examples:
  source <(sounder completions bash)    add to ~/.bashrc
  source <(sounder completions zsh)     add to ~/.zshrc
  sounder completions fish | source     add to ~/.config/fish/config.fish";

/// The headings of the options of `serve`.
const LIMITS: &str = "Limits";
const ACCESS: &str = "Access";

/// Run an echo server that prefixes every message with a timestamp
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Datagrams that start with a timestamp or come from a port below 1024 get no
reply, so that two servers never reply to each other for ever. Ports of UDP
services that reply to anything, such as 5353, get one reply per second.

Ctrl-C shuts down cleanly; SIGUSR1 prints statistics.

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
    /// A template is printable ASCII text with the fields {ctime} {rfc3339} {unix} {rx} {tx} {peer}
    /// {local} {host} {seq}. {rx} is the time when the message arrived and {tx} the time when its
    /// reply leaves, both in nanoseconds since the Unix epoch. `ctime` stands for the template
    /// "[{ctime}] ", `rfc3339` and `unix` likewise, and `ns` for "[{rx} {tx}] ". On datagram
    /// sockets a template must begin with one of these four, so that other servers recognise a
    /// reply.
    #[arg(long, value_name = "STAMP", default_value = "ctime")]
    pub(crate) stamp: Template,

    /// How to split a stream into messages: every read of up to SIZE bytes, or every line [default:
    /// 1024]
    ///
    /// With `line`, a message ends at a newline, after MAX bytes (default 64k), or at the end of
    /// input.
    #[arg(long, value_name = "SIZE|line[:MAX]", value_parser = value_parsers::framing)]
    pub(crate) frame: Option<Framing>,

    /// With --stamp none, reply to datagrams from other hosts too, at most 10 per second
    ///
    /// The limit applies to the whole server. A reply without a timestamp looks like a request:
    /// without the limit, two such servers could reply to each other for ever. Replies to this host
    /// and to trusted ones are limited to 10,000 per second.
    #[arg(long)]
    pub(crate) allow_plain_echo: bool,

    /// What to print to standard output
    #[arg(long, value_parser = choices::TRANSCRIPT, value_name = "WHAT", default_value = "auto")]
    pub(crate) transcript: AutoTranscript,

    /// Maximum number of connections [default: as many as the limit of open files allows]
    ///
    /// A client beyond the maximum replaces a connection of the peer that has most: the connection
    /// that has waited longest. A client of that peer itself only replaces a connection that has
    /// waited for a second. If there is none, the client waits or is refused.
    #[arg(long, value_name = "N", value_parser = value_parsers::count, help_heading = LIMITS)]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// Maximum connections per peer [default: a quarter of all for other hosts]
    ///
    /// A peer is an IPv4 address, an IPv6 /48 network, the user of a UNIX socket, a VSOCK context or
    /// a TIPC node. By default this host has no limit.
    #[arg(long, value_name = "N", value_parser = value_parsers::count, help_heading = LIMITS)]
    pub(crate) max_per_peer: Option<NonZeroUsize>,

    /// Close connections that send nothing for this long, such as 30s [default: never]
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration, help_heading = LIMITS)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Disconnect peers that take longer to read 64 KiB of replies or to finish a line
    ///
    /// A peer has this long to read 64 KiB or all of its waiting replies, and with `--frame line` to
    /// finish a line that it has begun.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "45s",
        value_parser = value_parsers::duration,
        help_heading = LIMITS
    )]
    pub(crate) stall_timeout: Duration,

    /// Kernel memory for peers that do not read [default: a quarter of what the system allows]
    ///
    /// When the kernel holds more for them, the server disconnects those for which it holds most. It
    /// spares peers that have read 64 KiB in the last 200 ms, unless the kernel holds twice the limit.
    /// By default the limit is a quarter of the second value of net.ipv4.tcp_mem, or of the memory
    /// limit of the control group if that is less.
    #[arg(long, value_name = "SIZE", value_parser = value_parsers::memory, help_heading = LIMITS)]
    pub(crate) socket_memory: Option<u64>,

    /// Serve only clients in this IP network, such as 10.0.0.0/8; repeatable
    ///
    /// Connections and datagrams of all other IP addresses are refused, 127.0.0.1 and ::1 included.
    /// Clients without an IP address are not affected.
    #[arg(long, value_name = "CIDR", help_heading = ACCESS)]
    pub(crate) allow: Vec<Network>,

    /// Do not serve clients in this IP network, even if --allow contains it; repeatable
    #[arg(long, value_name = "CIDR", help_heading = ACCESS)]
    pub(crate) deny: Vec<Network>,

    /// Serve only this user on UNIX sockets: a name or a number; repeatable
    ///
    /// All other users are refused, root included. --unix-mode says who can reach a path at all.
    #[arg(long, value_name = "USER", help_heading = ACCESS)]
    pub(crate) allow_uid: Vec<String>,

    /// Bytes by which datagram replies to one network may exceed its requests at once
    ///
    /// A timestamp makes a reply longer than its request, and the source of a request can be forged.
    /// So the bytes by which replies exceed their requests are limited: for each network (IPv4 /24,
    /// IPv6 /56, TIPC node) and in total. Requests beyond a limit get no reply.
    ///
    /// Requests that begin with the placeholder of a timestamp, as those of "sounder ping" do, have
    /// replies of their own length and are not limited. Requests of this host and of trusted networks
    /// are not limited either.
    #[arg(long, value_name = "SIZE", default_value = "8k", value_parser = value_parsers::excess, help_heading = LIMITS)]
    pub(crate) excess_burst: u32,

    /// Bytes by which datagram replies to one network may exceed its requests per second
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = value_parsers::excess, help_heading = LIMITS)]
    pub(crate) excess_rate: u32,

    /// Bytes by which all datagram replies may exceed their requests per second
    #[arg(long, value_name = "SIZE", default_value = "64k", value_parser = value_parsers::excess, help_heading = LIMITS)]
    pub(crate) excess_rate_total: u32,

    /// Treat datagrams from this IP network like those from this host; repeatable
    ///
    /// CIDR is an address, or a network such as 192.0.2.0/24 or 2001:db8::/32. Replies to it are not
    /// limited by the --excess options, and --stamp none replies to it. Source addresses can be
    /// forged: trust only networks whose addresses no other host can use.
    #[arg(long, value_name = "CIDR", help_heading = ACCESS)]
    pub(crate) trust: Vec<Network>,

    /// Maximum size of the transcript [default: 1024m if it is a file, otherwise unlimited]
    ///
    /// The last line says that the transcript ends. The server continues without one.
    #[arg(long, value_name = "SIZE", value_parser = value_parsers::transcript_size, help_heading = "Limits")]
    pub(crate) transcript_max: Option<u64>,

    /// Number of worker threads, and of threads for each UDP address [default: one per core]
    #[arg(long, value_name = "N", value_parser = value_parsers::threads)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// Permissions of UNIX socket paths in octal, reduced by the umask [default: 600]
    #[arg(long, value_name = "MODE", value_parser = value_parsers::mode)]
    pub(crate) unix_mode: Option<u32>,

    /// Run as this user, a name or a number, after binding the endpoints
    ///
    /// The process takes the user's groups and cannot become root again. Paths of UNIX sockets keep
    /// their owner.
    #[arg(long, value_name = "USER", help_heading = ACCESS)]
    pub(crate) user: Option<String>,

    /// Do not restrict the server's access to files, TCP ports and system calls
    ///
    /// After binding, the server opens no file, socket or process. By default Landlock and a seccomp
    /// filter enforce that: it can only remove its own UNIX sockets and make the system calls that
    /// serving takes. "sounder doctor" shows whether the kernel has both.
    #[arg(long, help_heading = ACCESS)]
    pub(crate) no_sandbox: bool,

    /// Also stop when standard input ends: the process that started this server for itself holds
    /// the other end
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
}

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

/// Measure round-trip time, loss and jitter, and the delay of each direction
///
/// Requests are sent on schedule, whether or not replies arrive. Replies of `sounder serve` carry
/// timestamps, from which ping computes the delay of each direction. Other echo servers are
/// measured as far as their replies allow.
///
/// Ctrl-C prints the summary and exits; Ctrl-\ prints the summary so far and continues.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder ping HOST                             once a second, until Ctrl-C
  sounder ping -c 1 udp://HOST                  one probe: a reply, or the reason
  sounder ping -i 20ms -s 172 -Q ef udp://HOST  like a telephone call
  sounder ping -q -c 1k -i 0 /run/echo.sock     as fast as replies arrive
  sounder ping --self -w 5                      every socket type here
  sounder ping -c 100 -i 0.1 --max-loss 1% --max-p99 5ms HOST && echo good
  sounder ping -w 60 -o report.html HOST        one minute as an HTML page

{EXIT_STATUS}"))]
pub(crate) struct Ping {
    /// Target endpoints [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Start a server at each ENDPOINT, or on every socket type, and measure it
    #[arg(long = "self")]
    pub(crate) with_server: bool,

    /// Stop after N requests [default: run until interrupted]
    #[arg(short, long, value_name = "N", value_parser = value_parsers::count)]
    pub(crate) count: Option<NonZeroUsize>,

    /// Time between requests; 0 sends as fast as replies arrive [default: 1s]
    ///
    /// With --self and -c or -w the default is 20ms.
    #[arg(short, long, value_name = "DURATION", value_parser = value_parsers::interval, overrides_with = "interval")]
    pub(crate) interval: Option<Duration>,

    /// Stop after this long, including the time to connect [default: run until interrupted]
    #[arg(short = 'w', long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) deadline: Option<Duration>,

    /// How long to wait for a connection, and for each reply
    #[arg(short = 'W', long, value_name = "DURATION", default_value = "2s", value_parser = value_parsers::duration)]
    pub(crate) wait: Duration,

    /// Message size in bytes (minimum 50; 44 on stream sockets)
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = value_parsers::request_size)]
    pub(crate) size: NonZeroUsize,

    /// Source address, or network interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// DSCP value to set on outgoing packets: 0 to 63, or a name such as ef, af41, cs5
    #[arg(short = 'Q', long, value_name = "DSCP", value_parser = value_parsers::dscp)]
    pub(crate) dscp: Option<u8>,

    /// IP time to live (hop limit)
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: Option<u8>,

    /// How the peer's clock relates to this one
    #[arg(long, value_parser = choices::CLOCK, value_name = "CLOCK", default_value = "auto")]
    pub(crate) clock: AutoClock,

    /// Which timestamps to use for the arrival of replies
    #[arg(long, value_parser = choices::TIMESTAMPS, value_name = "WHICH", default_value = "auto")]
    pub(crate) timestamps: AutoTimestamps,

    /// Print the time before each line, in seconds since the Unix epoch
    #[arg(short = 'D', long)]
    pub(crate) print_time: bool,

    /// With several targets, print all statistics of each
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Exit 1 if packet loss exceeds this percentage
    #[arg(long, value_name = "PERCENT", value_parser = value_parsers::percent)]
    pub(crate) max_loss: Option<Percent>,

    /// Exit 1 if the 99th percentile of the round-trip time exceeds this
    ///
    /// With fewer than 100 replies, the maximum counts.
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) max_p99: Option<Duration>,

    /// Write the result to FILE: .json, .csv (each request), .hdr (HdrHistogram log) or .html; - is
    /// standard output
    ///
    /// This option may be repeated. FILE is written at the end, and every 10 seconds with the
    /// result so far. With `-o -` the JSON result goes to standard output and everything else to
    /// standard error.
    #[arg(short, long, value_name = "FILE", value_parser = value_parsers::output_file)]
    pub(crate) output: Vec<OutputFile>,
}

/// Generate load over many connections and verify every reply
///
/// Without --rate this is a closed loop: each connection keeps --depth messages in flight and sends
/// the next one when a reply arrives. With --rate it is an open loop: messages are sent on
/// schedule, and latency counts from the scheduled time, so that a stalled server cannot hide
/// its delay.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder load --self                           ten connections, ten seconds
  sounder load -c 50 -p 16 -s 1k HOST           as fast as possible
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

    /// Start a server at ENDPOINT, or on a free port, and load it
    #[arg(long = "self")]
    pub(crate) with_server: bool,

    /// Number of connections, or of sockets where there are no connections
    #[arg(short, long, value_name = "N", default_value = "10", value_parser = value_parsers::count)]
    pub(crate) connections: NonZeroUsize,

    /// Messages in flight per connection [default: 1]
    #[arg(short = 'p', long, value_name = "N", value_parser = value_parsers::count, conflicts_with_all = ["rate", "ramp"])]
    pub(crate) depth: Option<NonZeroUsize>,

    /// Fixed rate in messages per second across all connections (open loop)
    #[arg(short, long, value_name = "RATE", value_parser = value_parsers::rate, conflicts_with = "ramp")]
    pub(crate) rate: Option<f64>,

    /// Arrival process for --rate and --ramp [default: even]
    #[arg(long, value_parser = choices::SPACING, value_name = "SPACING")]
    pub(crate) spacing: Option<Spacing>,

    /// Find the highest rate whose 99th percentile of latency stays within this time
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) ramp: Option<Duration>,

    /// Message size in bytes, fixed or MIN-MAX
    #[arg(short, long, value_name = "SIZE|MIN-MAX", default_value = "64", value_parser = value_parsers::sizes)]
    pub(crate) size: SizeRange,

    /// How long to measure; with --ramp, each rate [default: 10s, with --ramp 2s]
    #[arg(short, long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) duration: Option<Duration>,

    /// Stop after N measured messages, or after --duration if that is given and comes first
    #[arg(short = 'n', long, value_name = "N", value_parser = value_parsers::count)]
    pub(crate) messages: Option<NonZeroUsize>,

    /// How long to send before measuring; 0 for no warm-up
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = value_parsers::duration_or_zero)]
    pub(crate) warm_up: Duration,

    /// Number of sending threads
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = value_parsers::threads)]
    pub(crate) threads: NonZeroUsize,

    /// How long to wait for a connection, and for each reply
    #[arg(short, long, value_name = "DURATION", default_value = "2s", value_parser = value_parsers::duration)]
    pub(crate) wait: Duration,

    /// Source address, or network interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// Write the result to FILE: .json, .csv (each latency), .hdr (HdrHistogram log) or .html; - is
    /// standard output
    ///
    /// This option may be repeated. FILE is written at the end, and every 10 seconds with the
    /// result so far. With `-o -` the JSON result goes to standard output and everything else to
    /// standard error.
    #[arg(short, long, value_name = "FILE", value_parser = value_parsers::output_file)]
    pub(crate) output: Vec<OutputFile>,

    /// Allow more than 100,000 messages per second to other hosts
    #[arg(long)]
    pub(crate) yes: bool,
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
