//! A running server: starts a thread for each worker, and stops them in order.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use echosounder_proto::Responder;
use echosounder_socket::{Address, Endpoint, Interest, Socket, StopToken, Transport, Waker, ready};

use crate::access::Access;
use crate::backlog::BACKLOG_MAX;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::counters::{Counters, Totals};
use crate::datagrams::DatagramWorker;
use crate::event::Observer;
use crate::limits::{Limits, Timeouts, WorkerLimits};
use crate::listen::{Bound, Note, Service};
use crate::path::BoundPath;
use crate::reply_rules::ReplyRules;
use crate::service::EchoService;
use crate::worker::Worker;

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
    reflectors: Vec<Endpoint>,
    notes: Vec<Note>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    counters: Vec<Arc<Counters>>,
    paths: Vec<BoundPath>,
}

impl Running {
    /// Starts the workers of a prepared server.
    pub(crate) fn begin<O: Observer + Clone + Send + 'static>(
        config: Config,
        bound: Vec<Bound>,
        notes: Vec<Note>,
        limits: Limits,
        observer: &O,
    ) -> io::Result<Self> {
        let (mut endpoints, mut reflectors) = (Vec::new(), Vec::new());
        for bound in &bound {
            match bound.service {
                Service::Echo => endpoints.push((bound.endpoint.clone(), bound.address.clone())),
                Service::Stamp => reflectors.push(bound.endpoint.clone()),
            }
        }
        let mut running = Self {
            stop: StopToken::new()?,
            ended: Arc::new(Waker::new()?),
            endpoints,
            reflectors,
            notes,
            threads: Vec::new(),
            counters: Vec::new(),
            paths: Vec::new(),
        };
        running.start(config, bound, limits, observer)?;
        Ok(running)
    }

    /// Returns the endpoints where the server echoes messages. Their ports are the real ones.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().map(|(endpoint, _)| endpoint)
    }

    /// Returns the UDP endpoints where the server reflects STAMP requests. Their ports are the real
    /// ones.
    pub fn reflectors(&self) -> impl Iterator<Item = &Endpoint> {
        self.reflectors.iter()
    }

    /// Returns the addresses where the server echoes messages, in the order of the
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
        let mut rules = ReplyRules::new(config.plain_echo, &config.trust, config.reply_limits);
        rules.reflects_dscp = config.reflect_dscp;
        let service = || {
            let responder = Responder { stamp: config.stamp.clone(), framing: config.framing };
            EchoService::new(responder, config.host.as_str().into(), clock, observer.clone())
        };
        let Config { allowed_networks, denied_networks, allowed_users, .. } = &config;
        let access = Access::new(allowed_networks.clone(), denied_networks.clone(), allowed_users.clone());
        let access = Arc::new(access);
        let mut listeners = Vec::new();
        for Bound { service: kind, endpoint, path, sockets, mut look, .. } in bound {
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
                let worker = match kind {
                    Service::Echo => worker,
                    Service::Stamp => worker.with_reflector(config.reflector.clone())?,
                };
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
