//! Starting and stopping a server: binds all endpoints, then starts a thread for each worker.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use echosounder_proto::Responder;
use echosounder_socket::internal::{fd_limit, raise_fd_limit, read_user_map};
use echosounder_socket::{
    Address, Endpoint, Error, Interest, Socket, StopToken, ToEndpoint, Transport, Waker, ready,
};

use crate::access::Access;
use crate::backlog::BACKLOG_MAX;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::counters::{Counters, Totals};
use crate::datagrams::{DatagramWorker, PINNED_MAX};
use crate::event::Observer;
use crate::limits::{Limits, Timeouts, WorkerLimits};
use crate::listen::{self, BindError, BindOptions, Bound, Note};
use crate::path::BoundPath;
use crate::reply_rules::ReplyRules;
use crate::service::EchoService;
use crate::socket_memory;
use crate::time_zone::local_time_zone;
use crate::worker::Worker;

/// Descriptors that are not available to connections, beside those that are open and those of the
/// workers: a reserve for the rest of the process.
const DESCRIPTORS_SPARE: usize = 8;

/// Why a bound server could not start.
///
/// It converts to [`io::Error`], as the example of [`BindError`] shows for that type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configured number of connections exceeds the process's limit of open descriptors.
    #[error(
        "cannot serve {wanted} connection{}: the limit of open files allows {available}",
        if *wanted == 1 { "" } else { "s" }
    )]
    Descriptors {
        /// The configured number of connections.
        wanted: usize,
        /// The number of connections for which there are descriptors.
        available: usize,
    },
    /// The configured timeout is zero, so that every connection would end at once.
    #[error("cannot serve connections with {name} timeout of zero")]
    ZeroTimeout {
        /// The timeout with its article: `an idle` or `a stall`.
        name: &'static str,
    },
    /// The server has neither an endpoint nor a socket.
    #[error("cannot start a server without endpoints")]
    NoEndpoint,
    /// The system lacks a resource.
    #[error(transparent)]
    System(Error),
}

impl StartError {
    fn system(cause: io::Error) -> Self {
        Self::System(Error::new("start", &"a worker thread", cause))
    }
}

/// Keeps the kind of the system's error. The inner error is this one, and displays the reason.
impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        let (kind, error) = match error {
            StartError::System(error) => (error.kind(), StartError::System(error.with_reason())),
            StartError::Descriptors { .. } => (io::ErrorKind::QuotaExceeded, error),
            StartError::NoEndpoint | StartError::ZeroTimeout { .. } => (io::ErrorKind::InvalidInput, error),
        };
        Self::new(kind, error)
    }
}

/// A server that has bound its endpoints and does not reply yet.
///
/// [`bind`](Self::bind) binds endpoints by the default [`Config`], [`Config::bind`] by another;
/// [`start`](Self::start) starts the worker threads. Clients that connect before wait.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use echosounder_server::Server;
///
/// let server = Server::bind(["tcp://127.0.0.1:0"])?.start()?;
/// let address = server.addresses().next().and_then(|address| address.ip().zip(address.port()));
///
/// let mut client = TcpStream::connect(address.expect("a TCP server has an IP address and a port"))?;
/// client.write_all(b"hello")?;
/// client.shutdown(std::net::Shutdown::Write)?;
/// let mut reply = String::new();
/// client.read_to_string(&mut reply)?;
/// assert!(reply.ends_with("] hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    notes: Vec<Note>,
    /// The maximum number of connections, once the server is [prepared](Self::prepare).
    connections_max: Option<usize>,
}

/// Making a server. [`Config`] makes one with other settings.
impl Server {
    /// Binds every endpoint, or none, by the default [`Config`].
    ///
    /// An endpoint is a text such as `tcp://127.0.0.1:21567`, `udp://*` or `unix:/run/echo`, an
    /// [`Endpoint`], or anything else that is [`ToEndpoint`]. Port 0 lets the kernel choose a free
    /// port; [`endpoints`](Self::endpoints) returns it.
    ///
    /// # Errors
    ///
    /// If a text is no endpoint, or if an address is in use or cannot be bound. An endpoint that
    /// this machine lacks the address family for becomes a [note](Self::notes), and is an error
    /// only if no other endpoint is left. A server without endpoints does not
    /// [start](Self::start_with), unless [sockets are added](Self::add_socket).
    pub fn bind<E: ToEndpoint>(endpoints: impl IntoIterator<Item = E>) -> Result<Self, BindError> {
        Self::bind_with(Config::default(), endpoints)
    }

    pub(crate) fn bind_with<E: ToEndpoint>(
        config: Config,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Self, BindError> {
        let endpoints: Result<Vec<Endpoint>, _> =
            endpoints.into_iter().map(|endpoint| endpoint.to_endpoint()).collect();
        let endpoints =
            endpoints.map_err(|error| BindError::Endpoint(Error::new("use", &"the endpoint", error)))?;
        let Config { ip_version, workers, unix_mode, stall_timeout, .. } = config;
        let options = BindOptions { ip_version, workers, unix_mode, stall_timeout };
        let (bound, notes) = listen::bind_all(&endpoints, options)?;
        Ok(Self { config, bound, notes, connections_max: None })
    }

    /// Takes sockets that are bound already, such as those of a service manager (`sd_listen_fds`(3))
    /// or of a test, by the default [`Config`].
    ///
    /// # Errors
    ///
    /// As [`add_socket`](Self::add_socket).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use std::os::fd::OwnedFd;
    /// use echosounder_server::{Server, socket::Socket};
    ///
    /// let bound = UdpSocket::bind("127.0.0.1:0")?;
    /// let port = bound.local_addr()?.port();
    /// let server = Server::from_sockets([Socket::try_from(OwnedFd::from(bound))?])?.start()?;
    ///
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to(b"hello", ("127.0.0.1", port))?;
    /// let mut reply = [0; 64];
    /// let len = client.recv(&mut reply)?;
    /// assert!(reply[..len].ends_with(b"] hello"));
    /// server.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_sockets<S: Into<Socket>>(sockets: impl IntoIterator<Item = S>) -> Result<Self, BindError> {
        Config::default().from_sockets(sockets)
    }

    /// Returns a server without endpoints.
    pub(crate) fn empty(config: Config) -> Self {
        Self { config, bound: Vec::new(), notes: Vec::new(), connections_max: None }
    }

    /// Adds a socket that is bound already. A socket with connections that does not listen yet
    /// begins to.
    ///
    /// The server changes the mode of the socket, which its duplicates in other processes share: it
    /// does not block afterwards. The server does not remove the path of a UNIX socket when it
    /// stops. All workers share the one listener, and a datagram socket has one worker.
    ///
    /// # Errors
    ///
    /// If the socket is of no [`Transport`], if it is connected or has no address, or as
    /// setsockopt(2).
    ///
    /// # Examples
    ///
    /// [`from_sockets`](Self::from_sockets) has one.
    pub fn add_socket(&mut self, socket: impl Into<Socket>) -> Result<(), BindError> {
        let Config { ip_version, workers, unix_mode, stall_timeout, .. } = self.config;
        let options = BindOptions { ip_version, workers, unix_mode, stall_timeout };
        self.bound.push(listen::adopt(socket.into(), options)?);
        self.connections_max = None;
        Ok(())
    }
}

/// A bound server.
impl Server {
    /// Returns the bound endpoints. Their ports are the real ones.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.bound.iter().map(|bound| &bound.endpoint)
    }

    /// Returns the bound addresses, in the order of the [endpoints](Self::endpoints). An address does
    /// not tell the transport, so give clients the endpoint.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.bound.iter().map(|bound| &bound.address)
    }

    /// Returns the addresses that the server does not serve.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Does everything that needs files or privileges: reads the time zone, the map of user ids and
    /// the memory limits of the system, counts the open descriptors, and raises their limit if
    /// [`Config::raise_fd_limit`] is set.
    ///
    /// [`start_with`](Self::start_with) does so itself. A program that gives up privileges or its
    /// access to files calls this before. Afterwards the server opens no file except references to
    /// the sockets of UNIX datagram clients (O_PATH), and removes the paths of its UNIX sockets when
    /// it stops.
    ///
    /// # Errors
    ///
    /// If the limit of descriptors does not allow the configured number of connections, or if a
    /// timeout is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use echosounder_server::Server;
    ///
    /// let mut server = Server::bind(["tcp://127.0.0.1:0"])?;
    /// server.prepare()?;
    /// // Change the user of the process here, and restrict its access to files.
    /// server.start()?.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare(&mut self) -> Result<(), StartError> {
        self.prepared_connections_max().map(drop)
    }

    /// Prepares the server if it is not prepared, and returns the maximum number of connections.
    fn prepared_connections_max(&mut self) -> Result<usize, StartError> {
        if let Some(max) = self.connections_max {
            return Ok(max);
        }
        self.config.check_timeouts()?;
        local_time_zone();
        read_user_map();
        self.config.socket_memory_max.get_or_insert_with(socket_memory::default_max);
        let max = self.connections_max()?;
        self.connections_max = Some(max);
        Ok(max)
    }

    /// Starts to serve, and reports nothing: [`start_with`](Self::start_with) an observer `()`.
    ///
    /// # Errors
    ///
    /// As [`start_with`](Self::start_with).
    pub fn start(self) -> Result<Running, StartError> {
        self.start_with(())
    }

    /// Starts to serve, and reports events to the observer: a closure, or another [`Observer`].
    /// Each worker thread has a clone of it.
    ///
    /// The limit of open descriptors of the process stays as it is, unless
    /// [`Config::raise_fd_limit`] is set.
    ///
    /// # Errors
    ///
    /// If the server has no endpoint, if the limit of descriptors does not allow the configured
    /// number of connections, if a timeout is zero, or if a worker cannot be created.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use echosounder_server::{Server, ServerEvent};
    ///
    /// let (sender, events) = mpsc::channel();
    /// let server = Server::bind(["unix:@echosounder-example"])?.start_with(move |event: ServerEvent<'_>| {
    ///     if let ServerEvent::Message { bytes, .. } = event {
    ///         // Fails only if the receiver is gone.
    ///         let _ = sender.send(bytes.to_vec());
    ///     }
    /// })?;
    /// # use echosounder_server::socket::{Side, IpVersion};
    /// # let endpoint = server.endpoints().next().unwrap();
    /// # let address = endpoint.resolve(Side::Client, IpVersion::Any)?.remove(0);
    /// # let client = endpoint.transport().socket(&address)?;
    /// # client.connect(&address)?;
    /// # client.send(b"hello")?;
    /// // A client sends "hello".
    /// assert_eq!(events.recv()?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_with<O: Observer + Clone + Send + 'static>(
        mut self,
        observer: O,
    ) -> Result<Running, StartError> {
        if self.bound.is_empty() {
            return Err(StartError::NoEndpoint);
        }
        let limits = Limits::new(self.prepared_connections_max()?, self.config.connections_per_peer_max);
        let stop = StopToken::new().map_err(StartError::system)?;
        let ended = Arc::new(Waker::new().map_err(StartError::system)?);
        let mut running = Running {
            stop,
            ended,
            endpoints: self
                .bound
                .iter()
                .map(|bound| (bound.endpoint.clone(), bound.address.clone()))
                .collect(),
            notes: self.notes,
            threads: Vec::new(),
            counters: Vec::new(),
            paths: Vec::new(),
        };
        running.start(self.config, self.bound, limits, &observer).map_err(StartError::system)?;
        Ok(running)
    }

    /// Returns the maximum number of connections: the configured one, or the one that the limit
    /// of descriptors allows. Without a transport that has connections it is 0.
    fn connections_max(&self) -> Result<usize, StartError> {
        let limit = if self.config.raise_fd_limit { raise_fd_limit() } else { fd_limit() };
        let limit = limit.map_err(StartError::system)?;
        if !self.bound.iter().any(|bound| bound.endpoint.transport().has_connections()) {
            return Ok(0);
        }
        let open = fs::read_dir("/proc/self/fd").map_or(64, Iterator::count);
        let pinning = self.bound.iter().filter(|bound| bound.endpoint.transport().replies_to_paths()).count();
        // Each worker has an epoll instance, and accepts a client before it refuses it.
        let workers = self.config.workers.get().saturating_mul(2);
        let taken = (open + pinning * PINNED_MAX + DESCRIPTORS_SPARE).saturating_add(workers);
        let available = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(taken);
        match self.config.connections_max {
            Some(wanted) if available < wanted => Err(StartError::Descriptors { wanted, available }),
            Some(wanted) => Ok(wanted),
            None if available == 0 => Err(StartError::Descriptors { wanted: 1, available }),
            None => Ok(available),
        }
    }
}

/// A server that serves until it is stopped or dropped.
///
/// Dropping it does what [`stop`](Self::stop) does, and takes as long: at most about a second for
/// the clients to close their connections.
///
/// # Examples
///
/// ```
/// use echosounder_server::Server;
///
/// let server = Server::bind(["tcp://127.0.0.1:0"])?.start()?;
/// println!("serving {}", server.endpoints().next().expect("it has one endpoint"));
/// let totals = server.stop()?;
/// assert_eq!(totals.messages, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Running {
    stop: StopToken,
    /// Readable as soon as a worker has ended for any reason.
    ended: Arc<Waker>,
    endpoints: Vec<(Endpoint, Address)>,
    notes: Vec<Note>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    counters: Vec<Arc<Counters>>,
    paths: Vec<BoundPath>,
}

impl Running {
    /// Returns the endpoints that the server serves. Their ports are the real ones.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().map(|(endpoint, _)| endpoint)
    }

    /// Returns the addresses that the server serves, in the order of the
    /// [endpoints](Self::endpoints). An address does not tell the transport, so give clients the
    /// endpoint.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.endpoints.iter().map(|(_, address)| address)
    }

    /// Returns the addresses that the server does not serve.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Returns a descriptor that becomes readable when a worker has ended, by a stop or by a
    /// failure.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Returns the counts so far.
    pub fn totals(&self) -> Totals {
        self.counters.iter().map(|counters| counters.totals()).sum()
    }

    /// Returns a token that stops the server from another thread. [`wait`](Self::wait) has an
    /// example.
    pub fn stop_token(&self) -> StopToken {
        self.stop.clone()
    }

    /// Stops the server: it replies to messages that have arrived, shuts every connection down, and
    /// waits at most a second for the clients to close theirs. Removes the paths of UNIX sockets
    /// that it has bound.
    ///
    /// # Errors
    ///
    /// If a worker has failed.
    pub fn stop(mut self) -> io::Result<Totals> {
        self.join()?;
        Ok(self.totals())
    }

    /// Blocks until the server ends: until its [stop token](Self::stop_token) is stopped, or a
    /// worker fails. Then ends all workers as [`stop`](Self::stop) does.
    ///
    /// # Errors
    ///
    /// If a worker has failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use echosounder_server::Server;
    ///
    /// let server = Server::bind(["udp://127.0.0.1:0"])?.start()?;
    /// let stop = server.stop_token();
    /// std::thread::spawn(move || stop.stop()); // When a signal arrives, for instance.
    /// let totals = server.wait()?;
    /// assert_eq!(totals.messages, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(self) -> io::Result<Totals> {
        ready([(self.ended(), Interest::READ), (self.stop.as_fd(), Interest::READ)], None)?;
        self.stop()
    }

    /// Starts a worker for each datagram socket, and the configured number of workers for all
    /// listeners.
    fn start<O: Observer + Clone + Send + 'static>(
        &mut self,
        config: Config,
        bound: Vec<Bound>,
        limits: Limits,
        observer: &O,
    ) -> io::Result<()> {
        // The workers share a meter, so their monotonic times must have one origin.
        let clock = SystemClock::start();
        let rules = ReplyRules::new(config.plain_echo, &config.trust, config.reply_limits);
        let service = || {
            let responder = Responder { stamp: config.stamp.clone(), framing: config.framing };
            EchoService::new(responder, config.host.as_str().into(), clock, observer.clone())
        };
        let Config { allowed_networks, denied_networks, allowed_users, .. } = &config;
        let access = Access::new(allowed_networks.clone(), denied_networks.clone(), allowed_users.clone());
        let access = Arc::new(access);
        let mut listeners = Vec::new();
        for Bound { endpoint, path, sockets, mut look, .. } in bound {
            self.paths.extend(path);
            let transport = endpoint.transport();
            if transport.has_connections() {
                listeners.push((transport, sockets));
                continue;
            }
            for (number, socket) in sockets.into_iter().enumerate() {
                let service = service();
                let counters = Arc::clone(service.counters());
                let worker = DatagramWorker::new(service, self.stop.clone(), socket, rules.clone())?;
                let worker = worker.with_access(&access).with_look(look.take());
                let worker = if number == 0 { worker } else { worker.without_group_count() };
                self.spawn("datagrams", counters, || worker.run())?;
            }
        }
        let workers = if listeners.is_empty() { 0 } else { config.workers.get() };
        let backlog_max = BACKLOG_MAX / config.workers;
        let timeouts = Timeouts { idle: config.idle_timeout, stall: config.stall_timeout };
        let socket_memory_max = config.socket_memory_max.unwrap_or(u64::MAX) / config.workers.get() as u64;
        let shared = Arc::new(limits);
        let limits = WorkerLimits { shared, access, timeouts, backlog_max, socket_memory_max };
        for _ in 0..workers {
            self.start_worker(service(), limits.clone(), &mut listeners)?;
        }
        Ok(())
    }

    /// Starts a worker with one socket of each listener.
    fn start_worker<O: Observer + Send + 'static>(
        &mut self,
        service: EchoService<SystemClock, O>,
        limits: WorkerLimits,
        listeners: &mut [(Transport, Vec<Socket>)],
    ) -> io::Result<()> {
        let counters = Arc::clone(service.counters());
        let mut worker = Worker::new(service, self.stop.clone(), limits)?;
        for (transport, sockets) in listeners {
            if let Some(socket) = sockets.pop() {
                worker.serve(socket, *transport)?;
            }
        }
        self.spawn("worker", counters, || worker.run())
    }

    fn spawn(
        &mut self,
        name: &str,
        counters: Arc<Counters>,
        run: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let ended = WakeOnDrop(Arc::clone(&self.ended));
        let name = format!("{name}-{}", self.threads.len());
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _ended = ended;
            run()
        })?;
        self.threads.push(thread);
        self.counters.push(counters);
        Ok(())
    }

    fn join(&mut self) -> io::Result<()> {
        // The sockets are still open, so nobody can have taken over their paths.
        self.paths.clear();
        self.stop.stop();
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            result = result.and(ended);
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `stop` returns this result.
        let _ = self.join();
    }
}

/// Wakes the waker when it is dropped, even by a panic of its thread.
struct WakeOnDrop(Arc<Waker>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        // A write to an eventfd fails only when it is readable already.
        let _ = self.0.wake();
    }
}
