//! Looking names up and connecting, on a bounded number of helper threads.
//!
//! getaddrinfo(3) cannot be interrupted, and a race of connections waits for its winner; neither
//! may hold up the other sessions. What cannot block, a datagram socket to a numeric address, needs
//! no thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use echosounder_proto::Clock;
use echosounder_socket::family::inet::Host;
use echosounder_socket::{Address, Error, Kind, Name, Socket, StopToken, Waker};

use crate::connect::{Candidates, ConnectOptions};
use crate::error::{ClientError, Operation};
use crate::wait_limit::WaitLimit;

/// Threads that look up and connect at once.
const THREADS_MAX: usize = 64;

/// How an attempt to connect has ended.
#[derive(Debug)]
pub(super) struct ConnectOutcome {
    /// The addresses that were not tried; `None` if the endpoint was not resolved.
    pub(super) candidates: Option<Candidates>,
    /// The first address of the endpoint.
    pub(super) first: Option<Address>,
    /// The connected socket and its address.
    pub(super) result: Result<(Socket, Address), ClientError>,
}

/// Connects sockets for sessions, each of which is known by its index.
pub(super) struct Connector {
    limit: WaitLimit,
    jobs: Sender<Job>,
    waiting: Arc<Mutex<Receiver<Job>>>,
    outcomes: Receiver<(usize, ConnectOutcome)>,
    reporter: Sender<(usize, ConnectOutcome)>,
    waker: Arc<Waker>,
    threads: usize,
    /// Jobs that were given to threads and have not ended.
    pending: usize,
}

struct Job {
    index: usize,
    options: ConnectOptions,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(clock: Arc<dyn Clock + Send + Sync>) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let (reporter, outcomes) = mpsc::channel();
        Ok(Self {
            limit: WaitLimit::with_clock(clock, StopToken::new()?, Duration::MAX),
            jobs,
            waiting: Arc::new(Mutex::new(waiting)),
            outcomes,
            reporter,
            waker: Arc::new(Waker::new()?),
            threads: 0,
            pending: 0,
        })
    }

    /// Looks the endpoint up and connects to it. Returns the outcome if that cannot block;
    /// otherwise it will be [taken](Self::take) when the connector is readable.
    pub(super) fn connect(
        &mut self,
        index: usize,
        options: &ConnectOptions,
        timeout: Duration,
    ) -> Result<Option<ConnectOutcome>, ClientError> {
        let is_name = matches!(options.endpoint.name(), Name::Inet(Host::Name(_), _));
        if !is_name && options.endpoint.transport().kind() == Kind::Datagrams {
            return Ok(Some(connect(options, timeout, &self.limit)));
        }
        if self.threads <= self.pending && self.threads < THREADS_MAX {
            let started = self.start_thread();
            started.map_err(|error| {
                ClientError::Local(Error::new("start a thread for", &options.endpoint, error))
            })?;
        }
        self.pending += 1;
        // The receiver lives as long as this connector.
        let _ = self.jobs.send(Job { index, options: options.clone(), timeout });
        Ok(None)
    }

    /// Returns the next outcome, with the index of its session.
    pub(super) fn take(&mut self) -> Option<(usize, ConnectOutcome)> {
        // If it cannot be reset, the next wait ends at once, too.
        let _ = self.waker.reset();
        let outcome = self.outcomes.try_recv().ok()?;
        self.pending -= 1;
        Some(outcome)
    }

    fn start_thread(&mut self) -> io::Result<()> {
        let (waiting, reporter) = (Arc::clone(&self.waiting), self.reporter.clone());
        let (waker, limit) = (Arc::clone(&self.waker), self.limit.clone());
        let work = move || {
            loop {
                let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Job { index, options, timeout }) = job else { return };
                if limit.is_stopped() || reporter.send((index, connect(&options, timeout, &limit))).is_err() {
                    return;
                }
                // A write to an eventfd fails only if it is readable already.
                let _ = waker.wake();
            }
        };
        thread::Builder::new().name("connect".into()).spawn(work)?;
        self.threads += 1;
        Ok(())
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.limit.stop().stop();
    }
}

impl AsFd for Connector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

fn connect(options: &ConnectOptions, timeout: Duration, limit: &WaitLimit) -> ConnectOutcome {
    let deadline = limit.after(timeout);
    let resolved = Candidates::resolve(options, deadline, limit)
        .and_then(|candidates| candidates.refuse_multicast(&options.endpoint).map(|()| candidates));
    let mut candidates = match resolved {
        Ok(candidates) => candidates,
        Err(error) => return ConnectOutcome { candidates: None, first: None, result: Err(error) },
    };
    let first = candidates.addresses().next().cloned();
    let none_left = || Err(ClientError::timeout(Operation::Connect, &options.endpoint));
    let result = candidates.connect(deadline).unwrap_or_else(none_left);
    ConnectOutcome { candidates: Some(candidates), first, result }
}
