//! What is typed, and nothing more: no defaults are computed here, nothing is looked up.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use echosounder_proto::{Framing, Template};
use echosounder_socket::Endpoint;

use crate::units;

/// Ping for every kind of socket: a server that answers with the time and the message, a client to talk to it
#[derive(Debug, Parser)]
#[command(name = "sounder", version, max_term_width = 100)]
#[command(after_help = "\
Try it:
  sounder demo                                a tour; needs nothing else
  sounder serve                               answer on localhost, TCP and UDP
  sounder talk                                type a line, see it come back with the time
  sounder ping host                           delay, loss and jitter, each way
  sounder load --self                         how fast the server is on this machine
  sounder doctor                              which sockets this machine has
  echo hello | sounder talk udp://localhost   one question, one answer")]
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
    /// One JSON object a line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say only what was asked for, and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// When to use colours; auto is on a terminal, unless NO_COLOR is set
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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Talk(Talk),
    Ping(Ping),
    Load(Load),
    /// Show it all: a server, a conversation, and a thousand echoes on every kind of socket of this machine
    Demo,
    /// Tell which kinds of socket and which kernel features work on this machine, and what the others lack
    Doctor,
    /// Print what makes a shell complete the command line
    #[command(after_help = "\
For bash, now:    source <(sounder completions bash)
For bash, always: sounder completions bash > ~/.local/share/bash-completion/completions/sounder
For zsh, always:  sounder completions zsh > a folder of $fpath, as _sounder
For fish, always: sounder completions fish > ~/.config/fish/completions/sounder.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder: sounder(1), sounder-serve(1), ...
    Man {
        /// The folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

const ENDPOINTS: &str = "\
Endpoints:
  tcp://HOST:PORT  udp://HOST:PORT      HOST a name or an address ([::1], [fe80::1%eth0]);
                                        empty or * for all; PORT 21567 if left out, 0 for any
  HOST  HOST:PORT  :PORT                the same over TCP
  mptcp://HOST:PORT  sctp://HOST:PORT   the same over Multipath TCP and SCTP
  unix:PATH  unix-dgram:PATH            a UNIX socket; @NAME for an abstract one;
  unix-seqpacket:PATH                   %0A stands for a byte that does not print, %25 for %
  /PATH  ./PATH  @NAME                  the same as a stream
  vsock://CID:PORT                      a virtual machine or its host; CID a number, any, local or
  vsock-seqpacket://CID:PORT            host; PORT as above
  tipc://TYPE:INSTANCE                  a service of a TIPC cluster, which several servers may have;
                                        also tipc-seqpacket:// tipc-rdm:// tipc-dgram://;
                                        ?scope=node behind it for this node alone
  netlink://PORTID                      processes of this host, by NETLINK_USERSOCK; 0 for any
Datagrams that begin with a stamp, or come from a port below 1024, are not answered.";

/// Answer every message with the time and the message
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder serve                                 localhost, TCP and UDP, port 21567
  sounder serve tcp:// udp://                   all addresses of this machine
  sounder serve unix-seqpacket:/run/echo.sock   a UNIX socket that keeps messages apart
  sounder serve --stamp '[{{rfc3339}}] {{peer}} ' :7000
  sounder serve --stamp none --frame line       the plain echo of RFC 862, line by line

Ctrl-C ends it in good order; kill -USR1 makes it tell how things stand."))]
pub(crate) struct Serve {
    /// Where to answer [default: tcp://localhost:21567 udp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = units::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// What stands before each answer: ctime, rfc3339, unix, ns, none, or a template
    ///
    /// A template is printable text with the fields {ctime} {rfc3339} {unix} {rx} {tx} {peer} {local} {host}
    /// {seq}; `ctime` is "[{ctime}] ", and so on; `ns` is "[{rx} {tx}] ", when the message arrived and when its
    /// answer leaves, in nanoseconds since 1970. For datagrams it must begin with one of these, so that other
    /// servers know an answer when they see one.
    #[arg(long, value_name = "STAMP", default_value = "ctime")]
    pub(crate) stamp: Template,

    /// What is stamped on a stream: at most SIZE bytes of a read, or each line [default: 1024]
    ///
    /// `line` keeps an unfinished line until it ends, is MAX bytes long (default 64k), or the peer ends.
    #[arg(long, value_name = "SIZE|line[:MAX]", value_parser = units::framing)]
    pub(crate) frame: Option<Framing>,

    /// Answer other hosts over datagrams even if nothing is stamped, ten times a second
    ///
    /// That is for each socket, and each thread has its own. An answer without a stamp cannot be told from a call: two such servers would answer each other for ever.
    #[arg(long)]
    pub(crate) allow_plain_echo: bool,

    /// What to write to standard output: nothing, who connects and leaves, or also every message
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Transcript::Auto)]
    pub(crate) transcript: Transcript,

    /// Most connections at the same time [default: what the limit of descriptors allows]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// Most connections of one host (of IPv6, one /64 network) [default: as many as there may be]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(crate) max_per_peer: Option<NonZeroUsize>,

    /// Close connections on which the peer has sent nothing for this long, such as 30s [default: never]
    ///
    /// When there are as many connections as there may be, the one that has been idle longest makes room, whatever
    /// is set here.
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Reset connections whose peer reads none of its answers for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = units::duration)]
    pub(crate) stall_timeout: Duration,

    /// Threads for connections, and for each UDP address [default: one for each core]
    #[arg(long, value_name = "N", value_parser = units::workers)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// Permissions of UNIX socket paths, in octal, less the umask [default: 600]
    #[arg(long, value_name = "MODE", value_parser = units::mode)]
    pub(crate) unix_mode: Option<u32>,

    /// End with standard input, too: it is held by whoever started this server for itself
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
}

/// What is written of what a server hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transcript {
    /// Messages on a terminal, else off
    Auto,
    /// Nothing
    Off,
    /// Who connects and who leaves
    Peers,
    /// What they say, too
    Messages,
}

/// Talk to a server by hand: each line is sent, its answer is shown
///
/// On a pipe the next line leaves when the answer has come; each answer is written as it is, and a newline behind
/// it if its line's was left out. An empty line, or the end of the input, ends the conversation.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder talk                                  the server on this host
  sounder talk /run/echo.sock
  echo hello | sounder talk udp://localhost
  sounder talk --eol crlf mail.example:25       a server that wants whole lines"))]
pub(crate) struct Talk {
    /// Whom to talk to [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = units::endpoint)]
    pub(crate) endpoint: Option<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Where to call from: an address of this machine, or an interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// How long to wait for a connection, and for each answer: 0.2, 200ms, 1m30s
    ///
    /// After the end of the input, talk goes on as long as the server says something within this time.
    #[arg(short, long, value_name = "DURATION", default_value = "5s", value_parser = units::duration)]
    pub(crate) wait: Duration,

    /// What to send at the end of each line; with it, an empty line does not end the conversation
    #[arg(long, value_enum, value_name = "EOL")]
    pub(crate) eol: Option<Eol>,

    /// Write answers as they are, to a terminal too
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,

    /// Say which address has taken the call
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

/// Measure delay, loss and jitter, there and back and each way
///
/// Calls leave at even times, whatever comes back. From servers of sounder each way is told apart; of any other echo, as
/// much as its answers tell. Ctrl-C ends it with its statistics, Ctrl-\ shows them meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder ping host                             once a second, until Ctrl-C
  sounder ping -c 1 udp://host                  one call: answered, REFUSED, TIMEOUT or UNREACHABLE
  sounder ping -i 20ms -s 172 -Q ef udp://host  as a telephone call
  sounder ping -q -c 1k -i 0 /run/echo.sock     as fast as answers come
  sounder ping --self -w 5                      every kind of socket that this machine has
  sounder ping -c 100 -i 0.1 --max-loss 1% --max-p99 5ms host && echo good
  sounder ping -w 60 -o report.html host        a page with the course of a minute"))]
pub(crate) struct Ping {
    /// Whom to call [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = units::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Call a server of its own, which is started for it: at each ENDPOINT, or on every kind of socket
    #[arg(long = "self")]
    pub(crate) with_server: bool,

    /// How many calls [default: until it is stopped]
    #[arg(short, long, value_name = "N", value_parser = units::count)]
    pub(crate) count: Option<NonZeroUsize>,

    /// Time between two requests; 0 sends each when the reply to the last has come [default: 1s]
    ///
    /// With --self and -c or -w the default is 20ms.
    #[arg(short, long, value_name = "DURATION", value_parser = units::interval, overrides_with = "interval")]
    pub(crate) interval: Option<Duration>,

    /// How long to go on at most, connecting included [default: until it is stopped]
    #[arg(short = 'w', long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) deadline: Option<Duration>,

    /// How long to wait for a connection, and for each answer; what comes later is late
    #[arg(short = 'W', long, value_name = "DURATION", default_value = "2s", value_parser = units::duration)]
    pub(crate) wait: Duration,

    /// Bytes of a call: at least 50; 44 on streams
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = units::call_size)]
    pub(crate) size: NonZeroUsize,

    /// Where to call from: an address of this machine, or an interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// How routers are to treat the calls: a code point from 0 to 63, or its name, such as ef, af41, cs5
    #[arg(short = 'Q', long, value_name = "DSCP", value_parser = units::dscp)]
    pub(crate) dscp: Option<u8>,

    /// How many routers may pass the calls on
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: Option<u8>,

    /// What is known of the peer's clock
    #[arg(long, value_enum, value_name = "CLOCK", default_value_t = Clock::Auto)]
    pub(crate) clock: Clock,

    /// Which clock reads time the receipt of replies
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Timestamps::Auto)]
    pub(crate) timestamps: Timestamps,

    /// Print the time before each line, in seconds since 1970
    #[arg(short = 'D', long)]
    pub(crate) print_time: bool,

    /// Show all statistics of each of several targets
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Fail if more than this much of a hundred calls is lost, such as 1%
    #[arg(long, value_name = "PERCENT", value_parser = units::percent)]
    pub(crate) max_loss: Option<f64>,

    /// Fail unless 99 of 100 answers are back within this time
    ///
    /// Of fewer than a hundred answers, all have to be.
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) max_p99: Option<Duration>,

    /// Write the result to a file, too: .json, .csv (each call), .hdr (HdrHistogram's log) or .html (a page)
    #[arg(short, long, value_name = "FILE", value_parser = units::report_file)]
    pub(crate) output: Option<PathBuf>,
}

/// Which clock reads time the receipt of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timestamps {
    /// The kernel's if all targets are TCP or UDP, so that targets are compared by like times
    Auto,
    /// The kernel's: when the packet came, without the time that this program takes to wake up
    Kernel,
    /// This program's
    User,
}

/// What is known of the peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clock {
    /// Same for targets on this machine, else free
    Auto,
    /// It is this machine's: each way's delay is told as it is
    Same,
    /// It is kept in step with this machine's, by NTP or PTP: likewise, as far as that is true
    Synced,
    /// It may show anything: delay is told above the quickest path, and the clock is compared
    Free,
}

/// Find out how much a server can take: many connections, every answer looked at
///
/// Without --rate it is a closed loop: on each connection so many messages are under way (--depth), and the next
/// leaves when one has come back. With --rate messages leave when it is time, whatever comes back, and their delay
/// counts from then on, so that a server which stalls cannot hide it.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder load --self                           a server of its own, ten connections, ten seconds
  sounder load -c 50 -p 16 -s 1k host           as fast as it goes
  sounder load -r 20k -s 64-1400 udp://host     20,000 a second, of any of these lengths
  sounder load --ramp 1ms -c 50 /run/echo.sock  the highest rate whose p99 stays below a millisecond
  sounder load -n 1m -o result.json host        a million messages; the result goes to a file, too"))]
pub(crate) struct Load {
    /// Whom to call [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = units::endpoint)]
    pub(crate) endpoint: Option<Endpoint>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Call a server of its own, which is started for it: at ENDPOINT, or on a free port
    #[arg(long = "self")]
    pub(crate) with_server: bool,

    /// Connections, or sockets where there are none
    #[arg(short, long, value_name = "N", default_value = "10", value_parser = units::count)]
    pub(crate) connections: NonZeroUsize,

    /// Messages under way on each connection [default: 1]
    #[arg(short = 'p', long, value_name = "N", value_parser = units::count, conflicts_with_all = ["rate", "ramp"])]
    pub(crate) depth: Option<NonZeroUsize>,

    /// Messages a second, over all connections, sent when it is time
    #[arg(short, long, value_name = "RATE", value_parser = units::rate, conflicts_with = "ramp")]
    pub(crate) rate: Option<f64>,

    /// What lies between two messages of --rate or --ramp [default: even]
    #[arg(long, value_enum, value_name = "SPACING")]
    pub(crate) spacing: Option<Spacing>,

    /// Find the highest rate at which 99 of 100 messages are back within this time
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) ramp: Option<Duration>,

    /// Bytes of a message, or the least and the most of them
    #[arg(short, long, value_name = "SIZE|MIN-MAX", default_value = "64", value_parser = units::sizes)]
    pub(crate) size: (usize, usize),

    /// How long to measure; with --ramp, each rate [default: 10s, with --ramp 2s]
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,

    /// How many messages to measure, unless --duration is over before
    #[arg(short = 'n', long, value_name = "N", value_parser = units::count)]
    pub(crate) messages: Option<NonZeroUsize>,

    /// How long to go on before anything is measured; 0 for not at all
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = units::span)]
    pub(crate) warm_up: Duration,

    /// Threads that send
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = units::workers)]
    pub(crate) threads: NonZeroUsize,

    /// How long to wait for a connection, and for each answer; what comes later is late
    #[arg(short, long, value_name = "DURATION", default_value = "2s", value_parser = units::duration)]
    pub(crate) wait: Duration,

    /// Where to call from: an address of this machine, or an interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// Write the result to a file, too: .json, .csv (each latency) or .hdr (HdrHistogram's log)
    #[arg(short, long, value_name = "FILE", value_parser = units::result_file)]
    pub(crate) output: Option<PathBuf>,

    /// Send other hosts more than 100,000 messages a second
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What lies between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spacing {
    /// Always the same time
    Even,
    /// As between independent callers
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
    /// Use IPv4 alone
    #[arg(short = '4', action = ArgAction::SetTrue, conflicts_with = "v6")]
    pub(crate) v4: bool,

    /// Use IPv6 alone
    #[arg(short = '6', action = ArgAction::SetTrue)]
    pub(crate) v6: bool,
}
