//! Starting and stopping a server: binds all endpoints, then starts a thread for each worker.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use echosounder_proto::Responder;
use echosounder_socket::{Endpoint, Socket, StopToken, Transport, Waker, raise_fd_limit};

use crate::backlog::BACKLOG_MAX;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::counters::{Counters, Totals};
use crate::datagrams::{DatagramWorker, PINNED_MAX};
use crate::event::Observer;
use crate::limits::{Limits, WorkerLimits};
use crate::listen::{self, BindError, BindOptions, Bound, Note};
use crate::path::BoundPath;
use crate::service::EchoService;
use crate::worker::Worker;

/// Descriptors that are not available to connections, beside those that are open and those of the
/// workers: a reserve for the rest of the process.
const DESCRIPTORS_SPARE: usize = 8;

/// Why a bound server could not start.
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
    /// The system lacks a resource.
    #[error("cannot start a worker thread")]
    System(#[source] io::Error),
}

/// A server that has bound its endpoints and does not reply yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    notes: Vec<Note>,
}

impl Server {
    /// Binds every endpoint, or none.
    ///
    /// # Errors
    ///
    /// If an address is in use or cannot be bound. An endpoint that this machine lacks the address
    /// family for becomes a [note](Self::notes), and is an error only if no other endpoint is left.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let Config { ip_version, workers, unix_mode, timeouts, .. } = config;
        let options = BindOptions { ip_version, workers, unix_mode, stall_timeout: timeouts.stall };
        let (bound, notes) = listen::bind_all(&config.endpoints, options)?;
        Ok(Self { config, bound, notes })
    }

    /// Returns the bound endpoints. Their ports are the real ones.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.bound.iter().map(|bound| &bound.endpoint)
    }

    /// Returns the addresses that the server does not serve.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Starts to serve. Calls `observer` once for each worker.
    ///
    /// This raises the process's limit of open descriptors permanently: [`raise_fd_limit`].
    ///
    /// # Errors
    ///
    /// If the limit of descriptors does not allow the configured number of connections, or a worker
    /// cannot be created.
    pub fn start<O: Observer + Send + 'static>(
        self,
        observer: impl FnMut() -> O,
    ) -> Result<Running, StartError> {
        let limits = Limits::new(self.connections_max()?, self.config.connections_per_host_max);
        let stop = StopToken::new().map_err(StartError::System)?;
        let ended = Arc::new(Waker::new().map_err(StartError::System)?);
        let mut running =
            Running { stop, ended, threads: Vec::new(), counters: Vec::new(), paths: Vec::new() };
        running.start(self.config, self.bound, limits, observer).map_err(StartError::System)?;
        Ok(running)
    }

    /// Returns the maximum number of connections: the configured one, or the one that the limit
    /// of descriptors allows.
    fn connections_max(&self) -> Result<usize, StartError> {
        let limit = raise_fd_limit().map_err(StartError::System)?;
        let open = fs::read_dir("/proc/self/fd").map_or(64, Iterator::count);
        let pinning = self.bound.iter().filter(|bound| bound.endpoint.transport().replies_to_paths()).count();
        let workers = self.config.workers.get();
        let taken = open + workers + pinning * PINNED_MAX + DESCRIPTORS_SPARE;
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
#[derive(Debug)]
pub struct Running {
    stop: StopToken,
    /// Readable as soon as a worker has ended for any reason.
    ended: Arc<Waker>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    counters: Vec<Arc<Counters>>,
    paths: Vec<BoundPath>,
}

impl Running {
    /// Returns a descriptor that becomes readable when a worker has ended, by a stop or by a
    /// failure.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Returns the counts so far.
    pub fn totals(&self) -> Totals {
        self.counters.iter().map(|counters| counters.totals()).sum()
    }

    /// Stops the server: it replies to messages that have arrived and shuts every connection down.
    /// Waits at most a few seconds for the clients to close.
    ///
    /// # Errors
    ///
    /// If a worker has failed.
    pub fn stop(mut self) -> io::Result<Totals> {
        self.join()?;
        Ok(self.totals())
    }

    /// Starts a worker for each datagram socket, and the configured number of workers for all
    /// listeners.
    fn start<O: Observer + Send + 'static>(
        &mut self,
        config: Config,
        bound: Vec<Bound>,
        limits: Limits,
        mut observer: impl FnMut() -> O,
    ) -> io::Result<()> {
        let mut service = || {
            let responder = Responder { stamp: config.stamp.clone(), framing: config.framing };
            EchoService::new(responder, config.host.as_str().into(), SystemClock::start(), observer())
        };
        let mut listeners = Vec::new();
        for Bound { endpoint, path, sockets, .. } in bound {
            self.paths.extend(path);
            let transport = endpoint.transport();
            if transport.has_connections() {
                listeners.push((transport, sockets));
                continue;
            }
            for (number, socket) in sockets.into_iter().enumerate() {
                let service = service();
                let counters = Arc::clone(service.counters());
                let worker = DatagramWorker::new(service, self.stop.clone(), socket, config.plain_echo)?;
                let worker = if number == 0 { worker } else { worker.without_group_count() };
                self.spawn("datagrams", counters, || worker.run())?;
            }
        }
        let workers = if listeners.is_empty() { 0 } else { config.workers.get() };
        let backlog_max = BACKLOG_MAX / config.workers;
        let limits = WorkerLimits { shared: Arc::new(limits), timeouts: config.timeouts, backlog_max };
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
