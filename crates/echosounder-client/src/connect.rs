//! Reaching somebody: every address of a name, one after the other, until one answers.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, Error, Interest, IpVersion, Side, Socket, Transport, ready};

use crate::clock::Deadline;
use crate::error::{CallError, Word};

/// Whom to call, and how.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom.
    pub endpoint: Endpoint,
    /// Which addresses of a name to try.
    pub ip_version: IpVersion,
    /// How long to try, all addresses together.
    pub wait: Duration,
}

/// The addresses of an endpoint that have not been tried.
#[derive(Debug)]
pub(crate) struct Candidates {
    transport: Transport,
    addresses: VecDeque<Address>,
}

impl Candidates {
    /// Looks the endpoint's name up.
    pub(crate) fn of(call: &Call, deadline: Deadline) -> Result<Self, CallError> {
        let addresses = resolve(call, deadline)?;
        Ok(Self { transport: call.endpoint.transport(), addresses: addresses.into() })
    }

    /// Connects to the first address that takes it. If none does, the last one's failure comes back; `None` if
    /// there was none left.
    pub(crate) fn connect(&mut self, deadline: Deadline) -> Option<Result<(Socket, Address), CallError>> {
        let mut last = None;
        while let Some(address) = self.addresses.pop_front() {
            // Whoever does not answer at all leaves the others their share of the time.
            let shares = u32::try_from(self.addresses.len() + 1).unwrap_or(u32::MAX);
            let share = deadline.left().map_or(deadline, |left| Deadline::after(left / shares));
            match connect(self.transport, &address, share) {
                Ok(socket) => return Some(Ok((socket, address))),
                Err(error) => {
                    last = Some(CallError::of("connect", &at(self.transport, &address), &address, error));
                }
            }
        }
        last.map(Err)
    }
}

/// The endpoint at an address, as it is shown.
pub(crate) fn at(transport: Transport, address: &Address) -> String {
    Endpoint::at(transport, address).map_or_else(|_| address.to_string(), |endpoint| endpoint.to_string())
}

/// Looks a name up on a thread of its own: getaddrinfo(3) knows no time-out.
fn resolve(call: &Call, deadline: Deadline) -> Result<Vec<Address>, CallError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (endpoint, version) = (call.endpoint.clone(), call.ip_version);
    let lookup = move || {
        // If nobody waits any more, nobody wants to know.
        let _ = sender.send(endpoint.resolve(Side::Client, version));
    };
    let local = |error| CallError::Local(Error::new("resolve", &call.endpoint, error));
    thread::Builder::new().name("resolver".into()).spawn(lookup).map_err(local)?;
    let result = match deadline.left() {
        Some(left) => receiver.recv_timeout(left),
        None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match result {
        Ok(addresses) => addresses.map_err(|error| CallError::Peer(Word::Dns, error)),
        Err(_) => Err(CallError::timeout("resolve", &call.endpoint)),
    }
}

fn connect(transport: Transport, address: &Address, deadline: Deadline) -> io::Result<Socket> {
    let socket = Socket::new(transport, address)?;
    if let Address::Unix(_) = address {
        if transport == Transport::UnixDatagram {
            // Without a name of its own it could not be answered; the kernel makes one up.
            socket.bind(&Address::Unix(UnixName::Unnamed))?;
        }
        // A full queue has no readiness to wait for, so the call itself waits.
        socket.set_send_timeout(deadline.left().unwrap_or(Duration::MAX))?;
        socket.connect(address)?;
        socket.set_blocking(false)?;
        return Ok(socket);
    }
    socket.set_blocking(false)?;
    match socket.connect(address) {
        Err(error) if Socket::is_in_progress(&error) => finish_connecting(&socket, deadline)?,
        result => result?,
    }
    if transport == Transport::Tcp && socket.local_addr()? == socket.peer_addr()? {
        // A port of the ephemeral range can be given to the very socket that calls it.
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the connection led to itself"));
    }
    Ok(socket)
}

fn finish_connecting(socket: &Socket, deadline: Deadline) -> io::Result<()> {
    loop {
        let [state] = ready([(socket.as_fd(), Interest::Write)], deadline.left())?;
        if state.writable {
            return socket.take_error();
        }
        if deadline.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}
