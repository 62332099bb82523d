//! The arguments of `load`.

use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_client::{SizeRange, Spacing};
use echosounder_socket::Endpoint;

use super::{ENDPOINTS, EXIT_STATUS, IpVersion};
use crate::output::OutputFile;
use crate::{choices, value_parsers};

/// Generate load over many connections and verify every reply
///
/// Without --rate this is a closed loop: each connection keeps --depth messages in flight and sends
/// the next one when a reply arrives. With --rate it is an open loop: messages are sent on
/// schedule, and latency counts from the scheduled time, so that a stalled server cannot hide
/// its delay.
///
/// With --connect each message has a connection of its own: the load measures connections per
/// second.
#[derive(Debug, clap::Args)]
#[command(after_help = ENDPOINTS, after_long_help = format!("{ENDPOINTS}

Examples:
  sounder load --self                           ten connections, ten seconds
  sounder load -c 50 -p 16 -s 1k HOST           as fast as possible
  sounder load -r 20k -s 64-1400 udp://HOST     20,000 messages per second
  sounder load --connect --reset -c 50 HOST     connections per second
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
    #[arg(short = 'p', long, value_name = "N", value_parser = value_parsers::count, conflicts_with_all = ["rate", "ramp", "connect"])]
    pub(crate) depth: Option<NonZeroUsize>,

    /// Make a new connection for each message, and close it after the reply
    ///
    /// At most --connections are open at a time. The latency is the time until the reply, connecting
    /// included; its two parts are also shown apart. With --rate, connections are opened on schedule
    /// and wait while all are in use, and connecting counts from the scheduled time. One connection
    /// is made before the load, which is not measured.
    #[arg(long)]
    pub(crate) connect: bool,

    /// Close connections of --connect with a reset (RST), so that no port waits in TIME_WAIT here
    ///
    /// The server may log an error for each connection. Without it, each connection leaves a local
    /// port unusable for 60 seconds, unless the server closes first, so that local ports run out:
    /// 28,232 by default.
    #[arg(long, requires = "connect")]
    pub(crate) reset: bool,

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
