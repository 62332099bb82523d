//! The configuration of a server.

use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_proto::{Framing, PlainEcho, Template};
use echosounder_socket::{Endpoint, IpVersion};

use crate::limits::Timeouts;

/// How long a client may receive nothing, unless it is configured.
const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The configuration of a server. Change the fields of [`Config::new`] as needed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The endpoints to serve. A host name stands for each of its addresses.
    pub endpoints: Vec<Endpoint>,
    /// Which addresses of a host name to use.
    pub ip_version: IpVersion,
    /// The timestamp prefix of replies.
    pub stamp: Template,
    /// How streams are split into messages.
    pub framing: Framing,
    /// Which clients of datagram sockets get replies without a timestamp.
    pub plain_echo: PlainEcho,
    /// This machine's name, for templates that show it.
    pub host: String,
    /// The number of threads that serve connections. Each datagram socket that several threads can
    /// share has as many.
    pub workers: NonZeroUsize,
    /// Maximum number of connections; `None` means as many as the limit of open descriptors allows.
    pub connections_max: Option<usize>,
    /// Maximum number of connections of one client host, or of one IPv6 /64 network; `None` means
    /// no limit.
    pub connections_per_host_max: Option<u32>,
    /// How long connections may wait for their clients.
    pub timeouts: Timeouts,
    /// The permissions of UNIX socket paths, less the umask.
    pub unix_mode: u32,
}

impl Config {
    /// Returns the configuration of a server with `ctime` timestamps and one worker thread, without
    /// limits.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            ip_version: IpVersion::Any,
            stamp: Template::ctime(),
            framing: Framing::default(),
            plain_echo: PlainEcho::Local,
            host: String::new(),
            workers: NonZeroUsize::MIN,
            connections_max: None,
            connections_per_host_max: None,
            timeouts: Timeouts { idle: None, stall: DEFAULT_STALL_TIMEOUT },
            unix_mode: 0o600,
        }
    }
}
