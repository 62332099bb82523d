//! Starting and stopping: binding first, then a thread for each worker and each datagram socket.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use echosounder_proto::{Framing, PlainEcho, Responder, Template};
use echosounder_socket::{Endpoint, IpVersion, Socket, Transport, Waker, raise_fd_limit};

use crate::clock::SystemClock;
use crate::counters::{Counters, Totals};
use crate::datagrams::{DESCRIPTORS_HELD, DatagramWorker};
use crate::event::Observer;
use crate::limits::{BACKLOG_MAX, Limits};
use crate::listen::{self, BindError, Bound, Note, Terms};
use crate::path::BoundPath;
use crate::worker::{Timeouts, Worker, WorkerConfig, WorkerLimits};

/// Descriptors that are not given to connections, beside those open when a server starts and those that workers
/// have: some for whoever runs it.
const DESCRIPTORS_SPARE: usize = 8;

/// What a server is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it answers; a name stands for every address it has.
    pub endpoints: Vec<Endpoint>,
    /// Which addresses of a name are taken.
    pub ip_version: IpVersion,
    /// What stands before each answer.
    pub stamp: Template,
    /// What is one message on a stream.
    pub framing: Framing,
    /// Whom it answers on datagram sockets, if it does not stamp.
    pub plain_echo: PlainEcho,
    /// This machine's name, for stamps that show it.
    pub host: String,
    /// How many threads answer connections, and how many each address for datagrams over IP has.
    pub workers: NonZeroUsize,
    /// How many connections there may be at the same time; `None` for as many as there are descriptors.
    pub connections_max: Option<usize>,
    /// How many connections one host may have; of IPv6, one network of 64 bits.
    pub per_peer_max: Option<u32>,
    /// How long connections may wait for their peers.
    pub patience: Timeouts,
    /// The permissions of UNIX socket paths, less the umask.
    pub unix_mode: u32,
}

/// Why a bound server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// More connections are promised than this process may have descriptors.
    #[error("cannot serve {wanted} connections: the limit of open files allows {available}")]
    Descriptors {
        /// Connections promised.
        wanted: usize,
        /// Connections for which there are descriptors.
        available: usize,
    },
    /// The system has no more of something.
    #[error("cannot start a worker thread")]
    System(#[source] io::Error),
}

/// A server that has its addresses and does not answer yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    notes: Vec<Note>,
}

impl Server {
    /// Takes every endpoint, or none.
    ///
    /// # Errors
    ///
    /// If an address is in use or may not be had. What this machine does not have at all is
    /// [noted](Self::notes), and is an error only if nothing else was asked for.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let Config { ip_version, workers, unix_mode, patience, .. } = config;
        let terms = Terms { ip_version, workers, unix_mode, stalled_max: patience.stall };
        let (bound, notes) = listen::bind_all(&config.endpoints, terms)?;
        Ok(Self { config, bound, notes })
    }

    /// Where it will answer: the addresses that the endpoints really have.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.bound.iter().map(|bound| &bound.endpoint)
    }

    /// What it does without.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Starts to answer; `observer` is called once for each worker.
    ///
    /// This raises the process's limit of open descriptors for good: [`raise_fd_limit`].
    ///
    /// # Errors
    ///
    /// If the limit of descriptors does not allow what was promised, or a worker cannot be made.
    pub fn start<O: Observer + Send + 'static>(
        self,
        observer: impl FnMut() -> O,
    ) -> Result<Running, StartError> {
        let limits = Limits::new(self.connections_max()?, self.config.per_peer_max);
        let stop = Arc::new(Waker::new().map_err(StartError::System)?);
        let ended = Arc::new(Waker::new().map_err(StartError::System)?);
        let mut running =
            Running { stop, ended, threads: Vec::new(), counters: Vec::new(), paths: Vec::new() };
        running.start(self.config, self.bound, limits, observer).map_err(StartError::System)?;
        Ok(running)
    }

    /// How many connections there may be: what was promised, or what the limit of descriptors allows.
    fn connections_max(&self) -> Result<usize, StartError> {
        let limit = raise_fd_limit().map_err(StartError::System)?;
        let open = fs::read_dir("/proc/self/fd").map_or(64, Iterator::count);
        let holders = self.bound.iter().filter(|bound| bound.holds_peers()).count();
        let workers = self.config.workers.get();
        let taken = open + workers + holders * DESCRIPTORS_HELD + DESCRIPTORS_SPARE;
        let available = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(taken);
        match self.config.connections_max {
            Some(wanted) if available < wanted => Err(StartError::Descriptors { wanted, available }),
            Some(wanted) => Ok(wanted),
            None if available == 0 => Err(StartError::Descriptors { wanted: 1, available }),
            None => Ok(available),
        }
    }
}

/// A server that answers, until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    stop: Arc<Waker>,
    ended: Arc<Waker>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    counters: Vec<Arc<Counters>>,
    paths: Vec<BoundPath>,
}

impl Running {
    /// Becomes readable when a worker has ended, asked to or not.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// What has been counted so far.
    pub fn totals(&self) -> Totals {
        self.counters.iter().map(|counters| counters.totals()).sum()
    }

    /// Stops in good order: what has arrived is answered, every peer is told the end.
    ///
    /// # Errors
    ///
    /// If a worker had failed.
    pub fn stop(mut self) -> io::Result<Totals> {
        self.join()?;
        Ok(self.totals())
    }

    /// Starts a worker for each datagram socket, and as many as there are to be for all listeners.
    fn start<O: Observer + Send + 'static>(
        &mut self,
        config: Config,
        bound: Vec<Bound>,
        limits: Limits,
        mut observer: impl FnMut() -> O,
    ) -> io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let mut setup = || WorkerConfig {
            responder: Responder { stamp: config.stamp.clone(), framing: config.framing },
            host: config.host.as_str().into(),
            counters: Arc::default(),
            stop: Arc::clone(&stop),
            clock: SystemClock::start(),
            observer: observer(),
        };
        let mut listeners = Vec::new();
        for Bound { endpoint, path, sockets, .. } in bound {
            self.paths.extend(path);
            let transport = endpoint.transport();
            if transport.has_connections() {
                listeners.push((transport, sockets));
                continue;
            }
            for (place, socket) in sockets.into_iter().enumerate() {
                let worker = DatagramWorker::new(setup(), socket, config.plain_echo)?;
                self.start_datagrams(if place == 0 { worker } else { worker.leave_groups() })?;
            }
        }
        let workers = if listeners.is_empty() { 0 } else { config.workers.get() };
        let kept_max = BACKLOG_MAX / config.workers;
        let bounds = WorkerLimits { limits: Arc::new(limits), patience: config.patience, kept_max };
        for _ in 0..workers {
            self.start_worker(setup(), bounds.clone(), &mut listeners)?;
        }
        Ok(())
    }

    fn start_datagrams<O: Observer + Send + 'static>(
        &mut self,
        worker: DatagramWorker<SystemClock, O>,
    ) -> io::Result<()> {
        self.spawn("datagrams", worker.counters(), || worker.run())
    }

    /// Starts a worker with a socket of each listener.
    fn start_worker<O: Observer + Send + 'static>(
        &mut self,
        setup: WorkerConfig<SystemClock, O>,
        bounds: WorkerLimits,
        listeners: &mut [(Transport, Vec<Socket>)],
    ) -> io::Result<()> {
        let counters = Arc::clone(&setup.counters);
        let mut worker = Worker::new(setup, bounds)?;
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
        let ended = WakeAtEnd(Arc::clone(&self.ended));
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
        // While the sockets are open nobody can have taken the paths over, so these are still ours.
        self.paths.clear();
        self.stop.wake()?;
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
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.join();
    }
}

/// Wakes when it is dropped, however the thread that holds it ends.
struct WakeAtEnd(Arc<Waker>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        // An eventfd that exists takes a one.
        let _ = self.0.wake();
    }
}
