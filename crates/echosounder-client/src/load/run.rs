//! Running a load: connecting, starting the threads, and watching them until they end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use echosounder_proto::{Clock, MonoTime, NUMBERED_MIN};
use echosounder_socket::{
    Address, Endpoint, Error, Kind, Locality, Socket, is_multicast_or_broadcast, ready,
};

use super::error::LoadError;
use super::fresh::FreshConnections;
use super::generator::Generator;
use super::options::{LoadOptions, MESSAGE_BYTES_MAX, RATE_MAX, REMOTE_RATE_MAX, SizeRange};
use super::pace::Pace;
use super::plan::LoadPlan;
use super::progress::{LoadEvent, Progress};
use super::report::LoadReport;
use super::shared::Shared;
use crate::clock::SystemClock;
use crate::connect::{Candidates, ConnectProbe, connect_many};
use crate::error::ClientError;
use crate::nonblocking::prepare;
use crate::wait_limit::WaitLimit;

/// Bytes that a closed loop may have in flight on all connections.
const IN_FLIGHT_MAX_BYTES: usize = 1 << 30;

/// Memory that a message in flight takes beside its own bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// How often the threads are looked at: short enough that nobody notices the delay at the end.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// Connects to a server, sends it a load and returns the report. Calls `on_event` while the load
/// runs.
///
/// # Errors
///
/// If the options contradict each other, or the server cannot be reached or fails.
///
/// [`LoadOptions`] has an example.
pub fn load(load: &LoadOptions, mut on_event: impl FnMut(LoadEvent<'_>)) -> Result<LoadReport, LoadError> {
    check(load)?;
    let transport = load.connect.endpoint.transport();
    let limit = WaitLimit::new(load.stop.clone(), Duration::MAX);
    let mut candidates = Candidates::resolve(&load.connect, limit.after(load.connect.wait), &limit)?;
    let is_group = |address: &&Address| is_multicast_or_broadcast(address).is_ok_and(|is_group| is_group);
    if let Some(address) = candidates.addresses().find(is_group) {
        return Err(LoadError::Multicast(Endpoint::display(transport, address)));
    }
    // One connection shows that the server is there; the load makes its own.
    let count = if load.connect_each.is_some() { 1 } else { load.connections.get() };
    let mut failures = Vec::new();
    loop {
        let result = match connect_many(&mut candidates, &load.connect, count) {
            Ok((sockets, address)) => run(load, sockets, &candidates, &address, &mut on_event),
            Err(error) => Err(error.into()),
        };
        match result {
            // No server is at this address; the name may have another address.
            Err(LoadError::Connect(error))
                if error.failure_kind().is_some() && candidates.addresses().next().is_some() =>
            {
                failures.push(error);
            }
            Err(LoadError::Connect(error)) => {
                failures.push(error);
                return Err(ClientError::combine(failures).into());
            }
            result => return result,
        }
    }
}

/// Checks the options: the bounds of each, that replies can be matched with messages, and that the
/// messages in flight fit into memory.
fn check(load: &LoadOptions) -> Result<(), LoadError> {
    if load.connect.wait.is_zero() {
        return Err(LoadError::Options("a timeout is more than 0".into()));
    }
    let SizeRange { min, max } = load.sizes;
    if min < 1 || max < min || MESSAGE_BYTES_MAX < max {
        return Err(LoadError::Options(format!(
            "message sizes are 1 to {MESSAGE_BYTES_MAX} bytes, not {min} to {max}"
        )));
    }
    match load.pace {
        Pace::Closed { depth: 0 } => {
            return Err(LoadError::Options("a closed loop has 1 message in flight or more, not 0".into()));
        }
        // NaN is in no range.
        Pace::Open { rate, .. } if !(f64::MIN_POSITIVE..=RATE_MAX).contains(&rate) => {
            return Err(LoadError::Options(format!(
                "a rate is more than 0 and at most {RATE_MAX} messages per second, not {rate}"
            )));
        }
        Pace::Closed { .. } | Pace::Open { .. } => {}
    }
    let is_datagram = load.connect.endpoint.transport().kind() == Kind::Datagrams;
    if load.connect_each.is_some() {
        let endpoint = &load.connect.endpoint;
        match load.pace {
            _ if is_datagram => return Err(LoadError::Options(format!("{endpoint} has no connections"))),
            Pace::Closed { depth: 2.. } => {
                let text = "a connection for each message has 1 message in flight";
                return Err(LoadError::Options(text.into()));
            }
            Pace::Closed { .. } | Pace::Open { .. } => {}
        }
    }
    if is_datagram && load.sizes.min < NUMBERED_MIN {
        return Err(LoadError::MessageTooShort);
    }
    if let Pace::Closed { depth } = load.pace {
        let messages = load.connections.get().saturating_mul(depth);
        let bytes = load.sizes.max;
        if IN_FLIGHT_MAX_BYTES < messages.saturating_mul(bytes + MESSAGE_OVERHEAD_BYTES) {
            return Err(LoadError::TooMuchInFlight { messages, bytes });
        }
    }
    Ok(())
}

/// Sends the load over connected sockets.
fn run(
    load: &LoadOptions,
    sockets: Vec<Socket>,
    candidates: &Candidates,
    address: &Address,
    on_event: &mut impl FnMut(LoadEvent<'_>),
) -> Result<LoadReport, LoadError> {
    let transport = load.connect.endpoint.transport();
    let local = |operation, error| LoadError::Local(Error::new(operation, &load.connect.endpoint, error));
    let peer = Endpoint::display(transport, address);
    let is_limited = !load.allow_remote && is_remote(address, &sockets);
    let first_second = match load.pace {
        Pace::Open { rate, .. } => rate,
        Pace::Closed { depth } => load.connections.get().saturating_mul(depth) as f64,
    };
    if is_limited && REMOTE_RATE_MAX < first_second {
        return Err(LoadError::RemoteRate(peer));
    }
    sockets
        .iter()
        .try_for_each(|socket| prepare(socket, transport.kind()))
        .map_err(|error| local("prepare", error))?;

    let clock = SystemClock::new();
    let shared = Arc::new(Shared::new(load.stop.clone()));
    let generators = match load.connect_each {
        None => generators(load, sockets, address, clock, &shared),
        Some(connect) => {
            sockets.into_iter().for_each(|socket| connect.close(socket));
            fresh_generators(load, connect, candidates, address, clock, &shared)
        }
    };
    let generators = generators.map_err(|error| local("poll", error))?;
    let start = clock.mono();
    let threads: io::Result<Vec<_>> =
        generators.into_iter().map(|generator| spawn(generator, start, &shared)).collect();
    let threads = threads.map_err(|error| {
        shared.failed.store(true, Ordering::Relaxed);
        local("start a thread for", error)
    })?;

    let mut progress =
        Progress::new(peer.clone(), load.connections, threads.len(), load.warm_up, load.checkpoint_every);
    let mut is_over_limit = false;
    while !threads.iter().all(JoinHandle::is_finished) {
        let _ = ready([], Some(WATCH_EVERY));
        if is_limited && REMOTE_RATE_MAX < progress.sent_since_interval(&shared) as f64 {
            is_over_limit = true;
            shared.failed.store(true, Ordering::Relaxed);
        }
        progress.report(clock.mono() - start, &shared, on_event);
    }
    for thread in threads {
        let panicked = |_| Err(local("run", io::Error::other("a thread panicked")));
        thread.join().map_or_else(panicked, |result| result.map_err(LoadError::from))?;
    }
    if is_over_limit { Err(LoadError::RemoteRate(peer)) } else { Ok(progress.finish(&shared)) }
}

/// Divides the connections among the threads.
fn generators(
    load: &LoadOptions,
    sockets: Vec<Socket>,
    address: &Address,
    clock: SystemClock,
    shared: &Arc<Shared>,
) -> io::Result<Vec<Generator<SystemClock>>> {
    let threads = load.threads.get().min(sockets.len());
    let mut shares: Vec<Vec<Socket>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        shares[index % threads].push(socket);
    }
    let generator = |(thread, share): (usize, Vec<Socket>)| {
        let plan = LoadPlan::of_thread(load, address, thread, threads, share.len());
        Generator::with_shared(plan, share, clock, Arc::clone(shared))
    };
    shares.into_iter().enumerate().map(generator).collect()
}

/// Divides the connections that are made at a time among the threads.
fn fresh_generators(
    load: &LoadOptions,
    connect: ConnectProbe,
    candidates: &Candidates,
    address: &Address,
    clock: SystemClock,
    shared: &Arc<Shared>,
) -> io::Result<Vec<Generator<SystemClock>>> {
    let connections = load.connections.get();
    let threads = load.threads.get().min(connections);
    let generator = |thread| {
        let share = connections / threads + usize::from(thread < connections % threads);
        let plan = LoadPlan::of_thread(load, address, thread, threads, share);
        let fresh = FreshConnections::new(candidates.clone(), connect, share, plan.timeout);
        Generator::with_fresh(plan, fresh, clock, Arc::clone(shared))
    };
    (0..threads).map(generator).collect()
}

/// Starts a thread that runs a generator to its end and publishes its results.
fn spawn(
    mut generator: Generator<SystemClock>,
    start: MonoTime,
    shared: &Arc<Shared>,
) -> io::Result<JoinHandle<Result<(), ClientError>>> {
    let shared = Arc::clone(shared);
    let run = move || {
        generator.start_at(start);
        let mut fulfilled = 0;
        while generator.turn(Duration::MAX)? {
            let request = shared.requests();
            if request != fulfilled {
                fulfilled = request;
                shared.publish(generator.take_result(request));
            }
        }
        shared.publish(generator.take_result(u64::MAX));
        Ok(())
    };
    thread::Builder::new().name("load".into()).spawn(run)
}

/// Returns whether the server is on another host.
fn is_remote(address: &Address, sockets: &[Socket]) -> bool {
    let local = sockets.first().and_then(|socket| socket.local_addr().ok());
    address.locality(local.as_ref()) == Locality::OtherHost
}
