//! The arguments of `serve`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use echosounder_proto::stamp::TimestampFormat;
use echosounder_proto::{Framing, Template};
use echosounder_server::Network;

use super::{EXIT_STATUS, IpVersion, STAMP, targets};
use crate::choices::{self, AutoTranscript};
use crate::target::Target;
use crate::value_parsers;

/// The headings of the options of `serve`.
const LIMITS: &str = "Limits";
const ACCESS: &str = "Access";

/// Run an echo server that prefixes every message with a timestamp
#[derive(Debug, clap::Args)]
#[command(after_help = targets(), after_long_help = format!("{}

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
  sounder serve stamp://                        a STAMP reflector, port 862
  sounder serve --config /etc/sounder.toml      options from a file

{EXIT_STATUS}", targets()))]
pub(crate) struct Serve {
    /// Endpoints to listen on [default: tcp://localhost:21567 udp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::target)]
    pub(crate) targets: Vec<Target>,

    #[command(flatten)]
    pub(crate) ip_version: IpVersion,

    /// Read options and endpoints from the table [serve] of a TOML file; - is standard input
    ///
    /// The keys are the options without their dashes, such as max-connections = 1000, and endpoints =
    /// ["tcp://", "udp://"]. Typed options replace those of the file, but repeatable ones add up. Typed
    /// endpoints replace all endpoints of the file. A relative path in the file begins at the working
    /// directory. "sounder config --check FILE" checks a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

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

    /// Format of the lines on standard error [default: text, with --json json]
    ///
    /// Standard output, which has the transcript, keeps its format.
    #[arg(long, value_parser = choices::LOG_FORMAT, value_name = "FORMAT")]
    pub(crate) log_format: Option<bool>,

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
    #[arg(long, value_name = "SIZE", value_parser = value_parsers::socket_memory, help_heading = LIMITS)]
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

    /// Send UDP replies with the DSCP of their request [default: no, STAMP yes]
    ///
    /// It costs the echo about 3 % of its CPU time. Replies over TCP have the DSCP of the client if the
    /// sysctl net.ipv4.tcp_reflect_tos is 1.
    #[arg(
        long,
        value_name = "yes|no",
        value_parser = choices::YES_NO,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "yes",
        hide_possible_values = true
    )]
    pub(crate) reflect_dscp: Option<bool>,

    /// Whether a STAMP reflector numbers its replies itself [default: stateful]
    #[arg(long, value_parser = choices::STAMP_MODE, value_name = "MODE", help_heading = STAMP)]
    pub(crate) stamp_mode: Option<bool>,

    /// Reflect only STAMP requests that are authenticated with the key in FILE
    ///
    /// The key is the content of FILE without a newline at its end, 16 bytes at least. It is read
    /// before the server becomes another user by --user.
    #[arg(long, value_name = "FILE", help_heading = STAMP)]
    pub(crate) stamp_key: Option<PathBuf>,

    /// Format of the timestamps in STAMP replies [default: ntp]
    #[arg(long, value_parser = choices::STAMP_TIME, value_name = "FORMAT", help_heading = STAMP)]
    pub(crate) stamp_time: Option<TimestampFormat>,

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
