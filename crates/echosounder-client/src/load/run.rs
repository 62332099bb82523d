//! Running a load: connecting, starting the threads, and watching them until they end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use echosounder_socket::{
    Address, Endpoint, Error, Socket, family::vsock::VsockAddress, is_multicast_or_broadcast,
};

use super::driver::{Driver, Failure, LoadPlan};
use super::error::LoadError;
use super::options::{Load, REMOTE_RATE_MAX};
use super::pace::Pace;
use super::progress::{LoadEvent, Progress};
use super::report::LoadReport;
use super::shared::Shared;
use crate::clock::now;
use crate::connect::{Candidates, connect_many};
use crate::error::ClientError;
use crate::nonblocking::prepare;
use crate::wait_limit::WaitLimit;

/// Bytes that an open loop may have in flight or unsent on all connections. Messages beyond them are not sent.
const BACKLOG_MAX_BYTES: usize = 256 << 20;

/// How often the threads are looked at: short enough that nobody notices the delay at the end.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// Connects to a server, sends it a load and returns the report. Calls `on_event` while the load runs.
///
/// # Errors
///
/// If the options contradict each other, or the server cannot be reached or fails.
pub fn load(load: &Load, mut on_event: impl FnMut(LoadEvent<'_>)) -> Result<LoadReport, LoadError> {
    load.check()?;
    let transport = load.connect.endpoint.transport();
    let limit = WaitLimit::new(load.stop.clone(), Duration::MAX);
    let mut candidates = Candidates::resolve(&load.connect, limit.after(load.connect.wait), &limit)?;
    let is_many = |address: &&Address| is_multicast_or_broadcast(address).is_ok_and(|is_many| is_many);
    if let Some(address) = candidates.addresses().find(is_many) {
        return Err(LoadError::Multicast(Endpoint::display(transport, address)));
    }
    let mut failures = Vec::new();
    loop {
        let result = match connect_many(&mut candidates, &load.connect, load.connections.get()) {
            Ok((sockets, address)) => run(load, sockets, &address, &mut on_event),
            Err(error) => Err(error.into()),
        };
        match result {
            // No server is at this address; the name may have another address.
            Err(LoadError::Connect(error))
                if error.word().is_some() && candidates.addresses().next().is_some() =>
            {
                failures.push(error);
            }
            Err(LoadError::Connect(error)) => {
                failures.push(error);
                return Err(ClientError::all(failures).into());
            }
            result => return result,
        }
    }
}

/// Sends the load over connected sockets.
fn run(
    load: &Load,
    sockets: Vec<Socket>,
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

    let shared = Arc::new(Shared::new(load.stop.clone()));
    let drivers = drivers(load, sockets, address, &shared).map_err(|error| local("poll", error))?;
    let start = now();
    let threads: io::Result<Vec<_>> = drivers
        .into_iter()
        .map(|driver| thread::Builder::new().name("load".into()).spawn(move || driver.run(start)))
        .collect();
    let threads = threads.map_err(|error| local("start a thread for", error))?;

    let mut progress = Progress::new(peer.clone(), threads.len(), load.warm_up, load.checkpoint_every, start);
    let mut is_over_limit = false;
    while !threads.iter().all(thread::JoinHandle::is_finished) {
        let _ = echosounder_socket::ready([], Some(WATCH_EVERY));
        if is_limited && REMOTE_RATE_MAX < progress.sent_since_interval(&shared) as f64 {
            is_over_limit = true;
            shared.failed.store(true, Ordering::Relaxed);
        }
        progress.report(&shared, on_event);
    }
    for thread in threads {
        let panicked = |_| Err(io::Error::other("a thread of the load panicked").into());
        let result = thread.join().unwrap_or_else(panicked);
        result.map_err(|Failure { operation, error }| ClientError::of(operation, &peer, address, error))?;
    }
    if is_over_limit { Err(LoadError::RemoteRate(peer)) } else { Ok(progress.finish(&shared)) }
}

/// Divides the connections and the pace among the threads.
fn drivers(
    load: &Load,
    sockets: Vec<Socket>,
    address: &Address,
    shared: &Arc<Shared>,
) -> io::Result<Vec<Driver>> {
    let transport = load.connect.endpoint.transport();
    let threads = load.threads.get().min(sockets.len());
    let mut shares: Vec<Vec<Socket>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        shares[index % threads].push(socket);
    }
    let count = load.connections.get() as f64;
    let messages = |thread: usize| match load.messages {
        // The first threads take what is left over.
        Some(messages) => {
            let (threads, thread) = (threads as u64, thread as u64);
            messages / threads + u64::from(thread < messages % threads)
        }
        None => u64::MAX,
    };
    let driver = |(thread, share): (usize, Vec<Socket>)| {
        let pace = match load.pace {
            Pace::Open { rate, spacing } => Pace::Open { rate: rate * share.len() as f64 / count, spacing },
            closed => closed,
        };
        // Threads in step with each other would send in bursts.
        let first = match load.pace {
            Pace::Open { rate, .. } => Duration::try_from_secs_f64(thread as f64 / rate).unwrap_or_default(),
            Pace::Closed { .. } => Duration::ZERO,
        };
        let plan = LoadPlan {
            thread,
            kind: transport.kind(),
            address: address.clone(),
            pace,
            first,
            sizes: load.sizes,
            warm_up: load.warm_up,
            measured: load.duration,
            messages_max: messages(thread),
            wait: load.connect.wait,
            receives_from_any: transport.receives_from_any(),
            backlog_max_bytes: BACKLOG_MAX_BYTES / load.connections.get(),
            seed: thread as u64 + 1,
        };
        Driver::new(plan, share, Arc::clone(shared))
    };
    shares.into_iter().enumerate().map(driver).collect()
}

/// Whether the peer is on another host.
fn is_remote(address: &Address, sockets: &[Socket]) -> bool {
    match address {
        Address::Unix(_) | Address::Netlink(_) => false,
        Address::Vsock(address) => address.cid != VsockAddress::CID_LOCAL,
        address => {
            // A host that calls itself does so from the address that it calls.
            let here = || sockets.first()?.local_addr().ok()?.ip();
            address.ip().is_some_and(|ip| !ip.is_loopback() && !ip.is_unspecified() && here() != Some(ip))
        }
    }
}
