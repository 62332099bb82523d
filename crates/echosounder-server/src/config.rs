//! The configuration of a server.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use echosounder_proto::stamp::ReflectorConfig;
use echosounder_proto::{Framing, PlainEcho, ReplyLimits, Template};
use echosounder_socket::IpVersion;

use crate::network::Network;

/// The maximum number of threads. With more, the share of each in the backlog budget would be too
/// small.
const WORKERS_MAX: usize = 1024;

/// The stall timeout, unless it is configured.
const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(45);

/// How a server binds its endpoints and serves them: a builder of [`Server`](crate::Server).
///
/// The default has `ctime` timestamps, one worker thread and no limits. Each setting is a method,
/// and a field that can be read and changed.
///
/// ```
/// use std::time::Duration;
/// use echosounder_server::Config;
///
/// let server = Config::new()
///     .stamp("[{unix}] ".parse()?)
///     .idle_timeout(Duration::from_secs(300))
///     .connections_max(1000)
///     .bind(["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])?
///     .start()?;
/// assert_eq!(server.endpoints().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Which addresses of a host name to use.
    pub ip_version: IpVersion,
    /// The timestamp prefix of replies.
    pub stamp: Template,
    /// How streams are split into messages.
    pub framing: Framing,
    /// Which clients of datagram sockets get replies without a timestamp.
    pub plain_echo: PlainEcho,
    /// Networks whose datagrams are treated like those of this host.
    pub trust: Vec<Network>,
    /// The bytes by which datagram replies to other hosts may exceed their requests.
    pub reply_limits: ReplyLimits,
    /// Whether echoes over UDP have the DSCP of their requests.
    pub reflect_dscp: bool,
    /// How [reflectors](crate::Server::add_reflectors) reply to STAMP requests.
    pub reflector: ReflectorConfig,
    /// This machine's name, for templates that show it.
    pub host: String,
    /// The number of threads that serve connections. Each datagram socket that several threads can
    /// share has as many.
    pub workers: NonZeroUsize,
    /// Maximum number of connections; `None` means as many as the limit of open descriptors allows.
    pub connections_max: Option<usize>,
    /// Maximum number of connections of one peer; `None` means a quarter of all for a peer on
    /// another host, and no limit for this host.
    pub connections_per_peer_max: Option<u32>,
    /// The networks whose clients are served. If empty, clients of all networks are served.
    pub allowed_networks: Vec<Network>,
    /// The networks whose clients are not served, even if another list allows them.
    pub denied_networks: Vec<Network>,
    /// The ids of the users who are served on UNIX sockets. If empty, all users are served.
    pub allowed_users: Vec<u32>,
    /// How long a client may send nothing; `None` means no limit.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take to receive 64 KiB or all output that the server has for it, and
    /// to finish a line.
    pub stall_timeout: Duration,
    /// Bytes that the kernel may hold for stalled connections; `None` means a quarter of what the
    /// system allows.
    pub socket_memory_max: Option<u64>,
    /// The permissions of UNIX socket paths, less the umask.
    pub unix_mode: u32,
    /// Whether [`Server::start`](crate::Server::start) raises the process's limit of open
    /// descriptors.
    pub raise_fd_limit: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ip_version: IpVersion::Any,
            stamp: Template::ctime(),
            framing: Framing::default(),
            plain_echo: PlainEcho::Local,
            trust: Vec::new(),
            reply_limits: ReplyLimits::default(),
            reflect_dscp: false,
            reflector: ReflectorConfig::default(),
            host: String::new(),
            workers: NonZeroUsize::MIN,
            connections_max: None,
            connections_per_peer_max: None,
            allowed_networks: Vec::new(),
            denied_networks: Vec::new(),
            allowed_users: Vec::new(),
            idle_timeout: None,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
            socket_memory_max: None,
            unix_mode: 0o600,
            raise_fd_limit: false,
        }
    }
}

impl Config {
    /// Returns the default configuration.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Settings. The [type](Self) has an example.
impl Config {
    /// Sets which addresses of a host name to use: those of IPv4, of IPv6, or both.
    #[must_use]
    pub fn ip_version(self, ip_version: IpVersion) -> Self {
        Self { ip_version, ..self }
    }

    /// Sets the timestamp prefix of replies. [`Template::none`] echoes messages unchanged, except
    /// those that begin with the timestamp placeholder: it is filled in whatever the prefix is.
    #[must_use]
    pub fn stamp(self, stamp: Template) -> Self {
        Self { stamp, ..self }
    }

    /// Sets how streams are split into messages.
    #[must_use]
    pub fn framing(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    /// Sets which clients of datagram sockets get replies without a timestamp, if the stamp is
    /// [none](Template::none).
    #[must_use]
    pub fn plain_echo(self, plain_echo: PlainEcho) -> Self {
        Self { plain_echo, ..self }
    }

    /// Adds a network whose datagrams are treated like those of this host: their replies are not
    /// limited by [`reply_limits`](Self::reply_limits), and a plain echo replies to them.
    ///
    /// A source address can be forged. Trust only networks whose addresses no other host can use.
    ///
    /// ```
    /// let config = echosounder_server::Config::new().trust("192.0.2.0/24".parse()?);
    /// # let _ = config;
    /// # Ok::<(), echosounder_server::NetworkError>(())
    /// ```
    #[must_use]
    pub fn trust(mut self, network: Network) -> Self {
        self.trust.push(network);
        self
    }

    /// Sets the bytes by which datagram replies to other hosts may exceed their requests.
    ///
    /// A request that begins with the [placeholder](echosounder_proto::TIMESTAMP_PLACEHOLDER) has a
    /// reply of its own length, which is not limited.
    #[must_use]
    pub fn reply_limits(self, reply_limits: ReplyLimits) -> Self {
        Self { reply_limits, ..self }
    }

    /// Sets whether echoes over UDP have the DSCP of their requests. Their ECN bits are zero. By
    /// default they have no DSCP, because the kernel takes about 3 % more time to report that of
    /// each request.
    ///
    /// Reflectors have a setting of their own,
    /// [`ReflectorConfig::honours_dscp`](echosounder_proto::stamp::ReflectorConfig::honours_dscp). For
    /// TCP, `net.ipv4.tcp_reflect_tos` of Linux sets it.
    ///
    /// ```
    /// assert!(echosounder_server::Config::new().reflect_dscp(true).reflect_dscp);
    /// ```
    #[must_use]
    pub fn reflect_dscp(self, reflect_dscp: bool) -> Self {
        Self { reflect_dscp, ..self }
    }

    /// Sets how reflectors reply to STAMP requests.
    /// [`Server::add_reflectors`](crate::Server::add_reflectors) has an example.
    #[must_use]
    pub fn reflector(self, reflector: ReflectorConfig) -> Self {
        Self { reflector, ..self }
    }

    /// Sets this machine's name, for templates that show it. The default is empty.
    #[must_use]
    pub fn host(self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// Sets the number of threads that serve connections, at most 1,024; 0 means as many as this
    /// process has processors ([`available_parallelism`](thread::available_parallelism)). More than
    /// 1,024 count as 1,024.
    ///
    /// Each datagram socket that several threads can share has as many threads of its own.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        let available = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { workers: NonZeroUsize::new(workers.min(WORKERS_MAX)).unwrap_or_else(available), ..self }
    }

    /// Sets the maximum number of connections. Without it there are as many as the limit of open
    /// descriptors allows.
    ///
    /// When the maximum is reached, a new client replaces a connection of the peer that has most,
    /// the one that has waited longest for its client. A client whose own peer has most replaces
    /// only a connection that has been idle or stalled for a second, and is refused or waits if
    /// there is none. See
    /// [`connections_per_peer_max`](Self::connections_per_peer_max) for what one peer is.
    #[must_use]
    pub fn connections_max(self, max: usize) -> Self {
        Self { connections_max: Some(max), ..self }
    }

    /// Sets the maximum number of connections of one peer: an IPv4 address, an IPv6 /48 network, the
    /// user of a UNIX socket, a VSOCK context or a TIPC node.
    ///
    /// Without it, a peer on another host has at most a quarter of
    /// [all](Self::connections_max), but always one, and this host has no limit.
    #[must_use]
    pub fn connections_per_peer_max(self, max: u32) -> Self {
        Self { connections_per_peer_max: Some(max), ..self }
    }

    /// Adds networks whose clients are served, by connections and datagrams. All other IP addresses
    /// are refused then, 127.0.0.1 and ::1 included. Clients without an IP address are
    /// always served.
    ///
    /// ```
    /// use echosounder_server::{Config, Network};
    ///
    /// let config = Config::new()
    ///     .allow_networks(["127.0.0.0/8".parse::<Network>()?, "192.0.2.0/24".parse()?])
    ///     .deny_networks(["192.0.2.13".parse::<Network>()?]);
    /// config.bind(["tcp://127.0.0.1:0"])?.start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn allow_networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.allowed_networks.extend(networks);
        self
    }

    /// Adds networks whose clients are not served, even if
    /// [`allow_networks`](Self::allow_networks) contains them. That method has an example.
    #[must_use]
    pub fn deny_networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.denied_networks.extend(networks);
        self
    }

    /// Adds the ids of users who are served on UNIX sockets. All other users are refused then, root
    /// included.
    ///
    /// The user of a connection is the effective user who called connect(2): SO_PEERCRED, unix(7).
    /// That of a datagram is the user whom the kernel attests: SCM_CREDENTIALS, unix(7).
    #[must_use]
    pub fn allow_users(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.allowed_users.extend(uids);
        self
    }

    /// Sets how long a client may send nothing before the server disconnects it.
    #[must_use]
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: Some(timeout), ..self }
    }

    /// Sets how long a client may take to receive 64 KiB or all output that the server has for it,
    /// and to finish a line, before the server disconnects it. The default is 45 seconds.
    ///
    /// A client whose host is gone is disconnected within this time too, but not earlier than
    /// after 50 seconds: TCP_USER_TIMEOUT and TCP_KEEPIDLE, tcp(7).
    #[must_use]
    pub fn stall_timeout(self, timeout: Duration) -> Self {
        Self { stall_timeout: timeout, ..self }
    }

    /// Sets how many bytes the kernel may hold for connections whose clients do not receive: their
    /// sent and received data, as far as SO_MEMINFO reports it, socket(7). Beyond that, the server
    /// resets those that hold most of all whose clients receive less than 64 KiB in 200 ms. Beyond
    /// twice the limit, it also resets others. A worker resets at most 64 connections in 100 ms.
    ///
    /// Each worker has an equal part of the limit. The default is a quarter of the second value of tcp_mem,
    /// tcp(7), or of the memory limit of the control group (memory.max) if that is less.
    ///
    /// ```
    /// let config = echosounder_server::Config::new().socket_memory_max(64 << 20);
    /// assert_eq!(config.socket_memory_max, Some(64 << 20));
    /// ```
    #[must_use]
    pub fn socket_memory_max(self, bytes: u64) -> Self {
        Self { socket_memory_max: Some(bytes), ..self }
    }

    /// Sets the permissions of UNIX socket paths, less the umask. The default is `0o600`.
    #[must_use]
    pub fn unix_mode(self, mode: u32) -> Self {
        Self { unix_mode: mode, ..self }
    }

    /// Sets whether [`Server::start`](crate::Server::start) raises the soft limit of open
    /// descriptors of the process to the hard limit, so that it can serve more connections:
    /// RLIMIT_NOFILE, getrlimit(2). The default is `false`.
    ///
    /// The limit stays raised when the server has stopped, and programs that the process executes
    /// inherit it. Code that uses select(2) fails with descriptors from 1024 on.
    #[must_use]
    pub fn raise_fd_limit(self, raise: bool) -> Self {
        Self { raise_fd_limit: raise, ..self }
    }
}
