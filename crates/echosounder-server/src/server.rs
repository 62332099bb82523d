//! A server before it serves: binds all endpoints, and checks what serving them takes.

use std::fs;
use std::io;
use std::time::Duration;

use echosounder_socket::internal::{fd_limit, raise_fd_limit, read_user_map};
use echosounder_socket::{Address, Endpoint, Error, Socket, ToEndpoint, Transport};

use crate::config::Config;
use crate::datagrams::PINNED_MAX;
use crate::event::Observer;
use crate::limits::Limits;
use crate::listen::{self, BindError, BindOptions, Bound, Note, Service};
use crate::running::Running;
use crate::socket_memory;
use crate::time_zone::local_time_zone;

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
        let mut server = Self::empty(config);
        server.bind_more(Service::Echo, endpoints)?;
        Ok(server)
    }

    /// Binds every endpoint of a service, or none.
    fn bind_more<E: ToEndpoint>(
        &mut self,
        service: Service,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<(), BindError> {
        let unusable = |error| BindError::Endpoint(Error::new("use", &"the endpoint", error));
        let to_endpoint = |endpoint: E| match endpoint.to_endpoint().map_err(unusable)? {
            endpoint if service == Service::Stamp && endpoint.transport() != Transport::Udp => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "STAMP is a protocol over UDP");
                Err(BindError::Endpoint(Error::new("reflect at", &endpoint, error)))
            }
            endpoint => Ok(endpoint),
        };
        let endpoints: Vec<Endpoint> = endpoints.into_iter().map(to_endpoint).collect::<Result<_, _>>()?;
        let (bound, notes) = listen::bind_all(service, &endpoints, &self.bound, self.bind_options())?;
        self.bound.extend(bound);
        self.notes.extend(notes);
        self.connections_max = None;
        Ok(())
    }

    fn bind_options(&self) -> BindOptions {
        let Config { ip_version, workers, unix_mode, stall_timeout, .. } = self.config;
        BindOptions { ip_version, workers, unix_mode, stall_timeout }
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
        self.bound.push(listen::adopt(socket.into(), self.bind_options())?);
        self.connections_max = None;
        Ok(())
    }

    /// Binds UDP endpoints, or none of them, where the server reflects STAMP requests (RFC 8762)
    /// instead of echoing messages. [`Config::reflector`] sets how.
    ///
    /// The port of STAMP is 862, which needs CAP_NET_BIND_SERVICE: capabilities(7). An endpoint that
    /// this machine lacks the address family for becomes a [note](Self::notes), and is an error only
    /// if no other endpoint is left.
    ///
    /// # Errors
    ///
    /// If a text is no endpoint, if an endpoint is none of UDP, or if an address is in use or cannot
    /// be bound.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use echosounder_server::Config;
    ///
    /// let mut server = Config::new().bind::<&str>([])?;
    /// server.add_reflectors(["udp://127.0.0.1:0"])?;
    /// let server = server.start()?;
    /// let target = server.reflectors().next().expect("one reflector").to_string();
    ///
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to(&[0; 44], target.trim_start_matches("udp://"))?;
    /// let mut reply = [0; 44];
    /// assert_eq!(client.recv(&mut reply)?, 44);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_reflectors<E: ToEndpoint>(
        &mut self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<(), BindError> {
        self.bind_more(Service::Stamp, endpoints)
    }
}

/// Making a server. [`Server::bind`] makes one with the default settings.
impl Config {
    /// Binds every endpoint, or none: [`Server::bind`] with this configuration.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub fn bind<E: ToEndpoint>(self, endpoints: impl IntoIterator<Item = E>) -> Result<Server, BindError> {
        Server::bind_with(self, endpoints)
    }

    /// Takes bound sockets: [`Server::from_sockets`] with this configuration.
    ///
    /// # Errors
    ///
    /// As [`Server::add_socket`].
    ///
    /// # Examples
    ///
    /// [`Server::from_sockets`] has one.
    pub fn from_sockets<S: Into<Socket>>(
        self,
        sockets: impl IntoIterator<Item = S>,
    ) -> Result<Server, BindError> {
        let mut server = Server::empty(self);
        sockets.into_iter().try_for_each(|socket| server.add_socket(socket))?;
        Ok(server)
    }

    /// Refuses timeouts that no connection would survive.
    fn check_timeouts(&self) -> Result<(), StartError> {
        match (self.idle_timeout, self.stall_timeout) {
            (Some(Duration::ZERO), _) => Err(StartError::ZeroTimeout { name: "an idle" }),
            (_, Duration::ZERO) => Err(StartError::ZeroTimeout { name: "a stall" }),
            _ => Ok(()),
        }
    }
}

/// A bound server.
impl Server {
    /// Returns the bound endpoints where the server echoes messages. Their ports are the real ones.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.bound_for(Service::Echo).map(|bound| &bound.endpoint)
    }

    /// Returns the bound endpoints where the server reflects STAMP requests. Their ports are the real
    /// ones.
    pub fn reflectors(&self) -> impl Iterator<Item = &Endpoint> {
        self.bound_for(Service::Stamp).map(|bound| &bound.endpoint)
    }

    fn bound_for(&self, service: Service) -> impl Iterator<Item = &Bound> {
        self.bound.iter().filter(move |bound| bound.service == service)
    }

    /// Returns the bound addresses, in the order of the [endpoints](Self::endpoints). An address does
    /// not tell the transport, so give clients the endpoint.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.bound_for(Service::Echo).map(|bound| &bound.address)
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
        Running::begin(self.config, self.bound, self.notes, limits, &observer).map_err(StartError::system)
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
