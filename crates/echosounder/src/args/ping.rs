//! The arguments of `ping`.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use echosounder_client::Percent;
use echosounder_proto::stamp::TimestampFormat;
use echosounder_socket::option::PathMtuDiscovery;

use super::{EXIT_STATUS, IpVersion, STAMP, targets};
use crate::choices::{self, AutoClock, AutoTimestamps};
use crate::output::OutputFile;
use crate::request_sizes::RequestSizes;
use crate::target::Target;
use crate::value_parsers;

/// Returns the help about targets.
fn with_icmp() -> String {
    format!("{}\nicmp://HOST is any host, by ICMP or ICMPv6 echo.", targets())
}

/// Measure round-trip time, loss and jitter, and the delay of each direction
///
/// Requests are sent on schedule, whether or not replies arrive. Replies of `sounder serve` carry
/// timestamps, from which ping computes the delay of each direction. Other echo servers are
/// measured as far as their replies allow. STAMP reflectors (stamp://HOST) send timestamps, too;
/// those that count requests also show in which direction packets are lost.
///
/// Ctrl-C prints the summary and exits; Ctrl-\ prints the summary so far and continues.
#[derive(Debug, clap::Args)]
#[command(after_help = with_icmp(), after_long_help = format!("{}

Examples:
  sounder ping HOST                             once a second, until Ctrl-C
  sounder ping -c 1 udp://HOST                  one probe: a reply, or the reason
  sounder ping -i 20ms -s 172 -Q ef udp://HOST  like a telephone call
  sounder ping -q -c 1k -i 0 /run/echo.sock     as fast as replies arrive
  sounder ping --self -w 5                      every socket type here
  sounder ping -c 100 -i 0.1 --max-loss 1% --max-p99 5ms HOST && echo good
  sounder ping -w 60 -o report.html HOST        one minute as an HTML page
  sounder ping -Q ef stamp://ROUTER             a router, by STAMP
  sounder ping --until-up -w 5m HOST            wait until a server replies
  sounder ping icmp://HOST udp://HOST HOST      which of them the network slows down
  sounder ping --connect tcp://HOST:443         any port that accepts connections
  sounder ping -s 1200-1500 icmp://HOST         the path MTU

{EXIT_STATUS}", with_icmp()))]
pub(crate) struct Ping {
    /// Target endpoints [default: tcp://localhost:21567]
    #[arg(value_name = "ENDPOINT", value_parser = value_parsers::target)]
    pub(crate) targets: Vec<Target>,

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

    /// Stop at the first reply with exit status 0, or after -w with exit status 1
    ///
    /// Until then, whatever fails is tried again: a server that refuses requests every -i, a name
    /// without an address every 5 seconds. Several targets must all reply.
    #[arg(long, conflicts_with_all = ["count", "with_server", "max_loss", "max_p99"])]
    pub(crate) until_up: bool,

    /// How often to look a name up again [default: only while requests are lost]
    ///
    /// If the name no longer has the address in use, requests go to its new address. Without this
    /// option, a name is looked up every 5 seconds while at least ten requests in a row are lost.
    #[arg(long, value_name = "DURATION", value_parser = value_parsers::lookup_interval, conflicts_with = "with_server")]
    pub(crate) resolve_every: Option<Duration>,

    /// How long to wait for a connection, and for each reply [default: 2s]
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = value_parsers::duration)]
    pub(crate) wait: Option<Duration>,

    /// Message size in bytes, or MIN-MAX[:STEP] to find the path MTU [default: 64, STAMP 72]
    ///
    /// The minimum is 50 bytes, 44 on stream sockets and for STAMP, 16 for ICMP. The size of ICMP is
    /// that of its payload, as in ping(8).
    /// STAMP packets with a key have 112 bytes at least and 160 by default. The default size has space
    /// for the extensions that show DSCP and ECN of the request as it arrived.
    ///
    /// Requests over UDP of 73 bytes or more ask an Echosounder server for the TTL, DSCP and ECN with
    /// which they arrived. With -Q, -t or --ecn their default size is 80 bytes.
    ///
    /// The sizes of a range are measured one after another, with -M do and by default -c 3 -i 0
    /// -W 1s, until three of them in a row have no reply. A packet is 28 bytes longer than its
    /// message, or 48 over IPv6. The default STEP is 1. The exit status is 0 if requests of MIN bytes
    /// were replied to.
    #[arg(short, long, value_name = "SIZE", value_parser = value_parsers::request_sizes)]
    pub(crate) size: Option<RequestSizes>,

    /// Measure how long connections take to any server: a new one for each request
    ///
    /// Nothing is sent over the connection, and it is closed when it is established. The round-trip
    /// time is that of the handshake, as the kernel measures it on TCP. REFUSED means that the host
    /// is up and the port is closed; its time is reported, too.
    #[arg(long, conflicts_with = "size")]
    pub(crate) connect: bool,

    /// Close connections of --connect with a reset (RST), so that no port waits in TIME_WAIT here
    ///
    /// The server may log an error for each connection. Without it, each connection leaves a local
    /// port unusable for 60 seconds, unless the server closes first.
    #[arg(long, requires = "connect")]
    pub(crate) reset: bool,

    /// Source address, or network interface
    #[arg(short = 'I', long, value_name = "ADDRESS|INTERFACE")]
    pub(crate) source: Option<String>,

    /// Source port, or a range of up to 256 ports, each measured on its own
    ///
    /// Routers with several paths to a target choose one by addresses and ports (ECMP): a range
    /// shows the paths. -c and -i apply to each port.
    #[arg(long, value_name = "PORT|MIN-MAX", value_parser = value_parsers::ports, conflicts_with = "with_server")]
    pub(crate) source_port: Option<RangeInclusive<u16>>,

    /// DSCP value to set on outgoing packets: 0 to 63, or a name such as ef, af41, cs5
    #[arg(short = 'Q', long, value_name = "DSCP", value_parser = value_parsers::dscp)]
    pub(crate) dscp: Option<u8>,

    /// IP time to live (hop limit)
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: Option<u8>,

    /// ECN bits to set on outgoing datagrams: 0 to 3, or not-ect, ect1, ect0, ce
    ///
    /// TCP sets these bits itself.
    #[arg(long, value_name = "ECN", value_parser = value_parsers::ecn)]
    pub(crate) ecn: Option<u8>,

    /// Whether outgoing datagrams may be fragmented
    ///
    /// The kernel remembers a path MTU that a router has reported for 10 minutes.
    #[arg(short = 'M', long, value_parser = choices::PATH_MTU, value_name = "HOW")]
    pub(crate) path_mtu: Option<PathMtuDiscovery>,

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

    /// Authenticate STAMP packets with the key in FILE
    ///
    /// The key is the content of FILE without a newline at its end, 16 bytes at least. The reflector
    /// must have the same key. Replies without a valid HMAC count as unexpected.
    #[arg(long, value_name = "FILE", help_heading = STAMP)]
    pub(crate) stamp_key: Option<PathBuf>,

    /// Format of the timestamps in STAMP requests [default: ntp]
    #[arg(long, value_parser = choices::STAMP_TIME, value_name = "FORMAT", help_heading = STAMP)]
    pub(crate) stamp_time: Option<TimestampFormat>,

    /// Write the result to FILE: .json, .csv (each request), .hdr (HdrHistogram log) or .html; - is
    /// standard output
    ///
    /// This option may be repeated. FILE is written at the end, and every 10 seconds with the
    /// result so far. With `-o -` the JSON result goes to standard output and everything else to
    /// standard error.
    #[arg(short, long, value_name = "FILE", value_parser = value_parsers::output_file)]
    pub(crate) output: Vec<OutputFile>,
}
