//! Looking names up and connecting, for many sessions at the same time.
//!
//! Connections are established without blocking, any number at a time: hosts that do not answer
//! hold up no other session. Only calls that block, getaddrinfo(3) and connect(2) to a UNIX socket,
//! are made on a bounded number of helper threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime};
use echosounder_socket::family::inet::Host;
use echosounder_socket::{Address, Error, Kind, Name, Poll, Socket, StopToken, Waker};

use crate::connect::{Attempt, Candidates, ConnectOptions};
use crate::error::{ClientError, Operation};
use crate::wait_limit::WaitLimit;

/// Threads that look up and connect at once.
const THREADS_MAX: usize = 64;

/// The bit of a token that distinguishes a socket that is being connected from that of a session.
const CONNECTING: u64 = 1 << 62;

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

/// Connects sockets for sessions. The index of a session identifies its connection.
pub(super) struct Connector {
    limit: WaitLimit,
    jobs: Sender<Job>,
    waiting: Arc<Mutex<Receiver<Job>>>,
    finished: Receiver<(usize, Finished)>,
    reporter: Sender<(usize, Finished)>,
    waker: Arc<Waker>,
    threads: usize,
    /// Jobs that were given to threads and have not ended.
    pending: usize,
    /// Attempts that no thread makes, by the index of their session.
    attempts: BTreeMap<usize, Box<Connecting>>,
    /// When each attempt is to be looked at, though none of its sockets is ready.
    deadlines: BTreeSet<(MonoTime, usize)>,
    outcomes: VecDeque<(usize, ConnectOutcome)>,
    /// The addresses of names that were only looked up.
    looked_up: VecDeque<(usize, Result<Candidates, ClientError>)>,
}

struct Job {
    index: usize,
    options: ConnectOptions,
    timeout: Duration,
    work: Work,
}

/// What a thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    LookUp,
    Connect,
}

/// What a thread has done.
enum Finished {
    LookedUp(Box<Connecting>),
    Connected(Box<ConnectOutcome>),
    /// The addresses, and nothing else was wanted.
    Resolved(Result<Box<Candidates>, ClientError>),
}

/// An endpoint that is looked up and being connected to.
struct Connecting {
    candidates: Candidates,
    first: Option<Address>,
    attempt: Attempt,
    /// Its entry in the deadlines.
    due: Option<MonoTime>,
}

impl Connector {
    pub(super) fn new(clock: Arc<dyn Clock + Send + Sync>) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let (reporter, finished) = mpsc::channel();
        Ok(Self {
            limit: WaitLimit::with_clock(clock, StopToken::new()?, Duration::MAX),
            jobs,
            waiting: Arc::new(Mutex::new(waiting)),
            finished,
            reporter,
            waker: Arc::new(Waker::new()?),
            threads: 0,
            pending: 0,
            attempts: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            outcomes: VecDeque::new(),
            looked_up: VecDeque::new(),
        })
    }

    /// Looks the endpoint up and connects to it. Returns the outcome if there is one at once;
    /// otherwise it will be [taken](Self::take). Sockets that are being connected are in `poll`,
    /// with the tokens of [`token`].
    pub(super) fn connect(
        &mut self,
        index: usize,
        options: &ConnectOptions,
        timeout: Duration,
        poll: &Poll,
    ) -> Result<Option<ConnectOutcome>, ClientError> {
        if !may_block(options) {
            let finished = open(options, timeout, &self.limit);
            return Ok(self.go_on(index, finished, poll));
        }
        self.give_job(Job { index, options: options.clone(), timeout, work: Work::Connect }).map(|()| None)
    }

    /// Looks the endpoint up, without connecting. The result will be
    /// [taken](Self::take_looked_up).
    pub(super) fn look_up(
        &mut self,
        index: usize,
        options: &ConnectOptions,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        self.give_job(Job { index, options: options.clone(), timeout, work: Work::LookUp })
    }

    /// Gives a job to a thread, and starts another one if all are busy.
    fn give_job(&mut self, job: Job) -> Result<(), ClientError> {
        if self.threads <= self.pending && self.threads < THREADS_MAX {
            let started = self.start_thread();
            started.map_err(|error| {
                ClientError::Local(Error::new("start a thread for", &job.options.target(), error))
            })?;
        }
        self.pending += 1;
        // The receiver lives as long as this connector.
        let _ = self.jobs.send(job);
        Ok(())
    }

    /// Goes on with what has been done for a session. Returns the outcome if there is one.
    fn go_on(&mut self, index: usize, finished: Finished, poll: &Poll) -> Option<ConnectOutcome> {
        match finished {
            Finished::LookedUp(connecting) => self.step(index, connecting, poll),
            Finished::Connected(outcome) => Some(*outcome),
            Finished::Resolved(result) => {
                self.looked_up.push_back((index, result.map(|candidates| *candidates)));
                None
            }
        }
    }

    /// Returns when to [take](Self::take) outcomes, though nothing is ready.
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Goes on with an attempt, one of whose sockets is ready.
    pub(super) fn resume(&mut self, index: usize, poll: &Poll) {
        let Some(mut connecting) = self.attempts.remove(&index) else { return };
        if let Some(due) = connecting.due.take() {
            self.deadlines.remove(&(due, index));
        }
        let outcome = self.step(index, connecting, poll);
        self.outcomes.extend(outcome.map(|outcome| (index, outcome)));
    }

    /// Goes on with what the threads have done. To be called when the connector is readable.
    pub(super) fn receive(&mut self, poll: &Poll) {
        // If it cannot be reset, the next wait ends at once, too.
        let _ = self.waker.reset();
        while let Ok((index, finished)) = self.finished.try_recv() {
            self.pending -= 1;
            let outcome = self.go_on(index, finished, poll);
            self.outcomes.extend(outcome.map(|outcome| (index, outcome)));
        }
    }

    /// Returns the next outcome, with the index of its session.
    pub(super) fn take(&mut self, now: MonoTime, poll: &Poll) -> Option<(usize, ConnectOutcome)> {
        while let Some((_, index)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.resume(index, poll);
        }
        self.outcomes.pop_front()
    }

    /// Returns the addresses of the next name that was looked up, with the index of its session.
    pub(super) fn take_looked_up(&mut self) -> Option<(usize, Result<Candidates, ClientError>)> {
        self.looked_up.pop_front()
    }

    /// Takes a step of an attempt. Returns the outcome, or stores the attempt.
    fn step(&mut self, index: usize, mut connecting: Box<Connecting>, poll: &Poll) -> Option<ConnectOutcome> {
        let Connecting { candidates, attempt, .. } = &mut *connecting;
        let result = candidates.step(attempt, poll, token(index));
        if result.is_none() {
            connecting.due = candidates.due(attempt).time();
            self.deadlines.extend(connecting.due.map(|due| (due, index)));
            self.attempts.insert(index, connecting);
            return None;
        }
        let Connecting { candidates, first, .. } = *connecting;
        result.map(|result| ConnectOutcome { candidates: Some(candidates), first, result })
    }

    fn start_thread(&mut self) -> io::Result<()> {
        let (waiting, reporter) = (Arc::clone(&self.waiting), self.reporter.clone());
        let (waker, limit) = (Arc::clone(&self.waker), self.limit.clone());
        let work = move || {
            loop {
                let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Job { index, options, timeout, work }) = job else { return };
                if limit.is_stopped() {
                    return;
                }
                let finished = match work {
                    Work::LookUp => Finished::Resolved(resolve(&options, timeout, &limit).map(Box::new)),
                    Work::Connect => open(&options, timeout, &limit),
                };
                if reporter.send((index, finished)).is_err() {
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

/// Returns the token of the sockets that are being connected for a session.
pub(super) fn token(index: usize) -> u64 {
    CONNECTING | index as u64
}

/// Returns the session for which the socket with a token is being connected.
pub(super) fn index_of(token: u64) -> Option<usize> {
    (token & CONNECTING != 0).then_some(token & !CONNECTING).and_then(|index| usize::try_from(index).ok())
}

/// Returns whether to look the endpoint up, or to start a connection to it, may block.
fn may_block(options: &ConnectOptions) -> bool {
    match options.endpoint.name() {
        Name::Inet(Host::Name(_), _) => true,
        // connect(2) waits while the queue of the listener is full.
        Name::Unix(_) => options.endpoint.transport().kind() != Kind::Datagrams,
        _ => false,
    }
}

/// Looks the endpoint up.
fn resolve(
    options: &ConnectOptions,
    timeout: Duration,
    limit: &WaitLimit,
) -> Result<Candidates, ClientError> {
    let candidates = Candidates::resolve(options, limit.after(timeout), limit)?;
    candidates.refuse_multicast(&options.target())?;
    Ok(candidates)
}

/// Looks the endpoint up, and connects to it unless that is possible without blocking.
fn open(options: &ConnectOptions, timeout: Duration, limit: &WaitLimit) -> Finished {
    let deadline = limit.after(timeout);
    let mut candidates = match resolve(options, timeout, limit) {
        Ok(candidates) => candidates,
        Err(error) => {
            let outcome = ConnectOutcome { candidates: None, first: None, result: Err(error) };
            return Finished::Connected(Box::new(outcome));
        }
    };
    let first = candidates.addresses().next().cloned();
    let is_connection = options.endpoint.transport().kind() != Kind::Datagrams;
    if is_connection && !matches!(first, None | Some(Address::Unix(_))) {
        let attempt = candidates.attempt(deadline);
        return Finished::LookedUp(Box::new(Connecting { candidates, first, attempt, due: None }));
    }
    let none_left = || Err(ClientError::timeout(Operation::Connect, &options.target()));
    let result = candidates.connect(deadline).unwrap_or_else(none_left);
    Finished::Connected(Box::new(ConnectOutcome { candidates: Some(candidates), first, result }))
}
