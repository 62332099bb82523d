//! The addresses of an endpoint that have not been tried, and how the next of them are tried.

use std::collections::VecDeque;
use std::{fmt, io};

use echosounder_proto::FailureKind;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{
    Address, Endpoint, Error, Events, Interest, Kind, Poll, Socket, Transport, is_multicast_or_broadcast,
    option,
};

use super::attempt::Attempt;
use super::icmp;
use super::options::{self, ConnectOptions, IpOptions, Opens, Source};
use super::race::{Race, refuse_self_connection};
use super::resolve;
use crate::clock::Deadline;
use crate::error::{ClientError, Operation};
use crate::wait_limit::WaitLimit;

/// How many connections of [`connect_many`] are established at the same time.
const PENDING_MAX: usize = 128;

/// The addresses of an endpoint that have not been tried.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    transport: Transport,
    opens: Opens,
    source: Option<Source>,
    source_port: Option<u16>,
    ip_options: IpOptions,
    addresses: VecDeque<Address>,
    /// Whether a datagram socket has been connected to an address, or has failed to be.
    has_tried: bool,
    limit: WaitLimit,
}

impl Candidates {
    /// Looks the endpoint's name up.
    pub(crate) fn resolve(
        options: &ConnectOptions,
        deadline: Deadline,
        limit: &WaitLimit,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            transport: options.endpoint.transport(),
            opens: options.opens,
            source: options.source.clone(),
            source_port: options.source_port,
            ip_options: options.ip_options,
            addresses: resolve::addresses(options, deadline, limit)?,
            has_tried: false,
            limit: limit.clone(),
        })
    }

    /// Fails if an address stands for many hosts. A connected socket receives only from the address
    /// that it is connected to, and no reply ever comes from the address of a group.
    pub(crate) fn refuse_multicast(&self, endpoint: &dyn fmt::Display) -> Result<(), ClientError> {
        if !self.addresses().any(|address| is_multicast_or_broadcast(address).is_ok_and(|is_group| is_group))
        {
            return Ok(());
        }
        let reason = io::Error::new(io::ErrorKind::InvalidInput, "it is a multicast or broadcast address");
        Err(ClientError::Local(Error::new(Operation::Connect.as_str(), endpoint, reason)))
    }

    /// Returns the addresses that have not been tried, the next first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// Connects to the first address that accepts; `None` if every address has been tried before.
    ///
    /// A datagram socket is connected to the next address without a check: only a request shows
    /// whether a server listens there. It never waits, so the first address is tried even if the
    /// time is over, and a busy machine cannot make it time out.
    pub(crate) fn connect(&mut self, deadline: Deadline) -> Option<Result<(Socket, Address), ClientError>> {
        if self.addresses.is_empty() {
            return None;
        }
        if self.transport.kind() != Kind::Datagrams {
            return Some(self.race(deadline));
        }
        let mut failures = Vec::new();
        while let Some(address) = self.addresses.pop_front() {
            if self.has_tried && deadline.is_over(self.limit.now()) {
                failures.push(self.timed_out(&address));
                break;
            }
            self.has_tried = true;
            match self.start(&address, deadline) {
                Ok((socket, _)) => return Some(Ok((socket, address))),
                Err(error) => failures.push(error),
            }
        }
        Some(Err(ClientError::combine(failures)))
    }

    /// Connects to the first address that accepts, and blocks meanwhile.
    fn race(&mut self, deadline: Deadline) -> Result<(Socket, Address), ClientError> {
        let poll = Poll::new().map_err(|error| self.local_error("poll", error))?;
        poll.add(self.limit.stop(), 0, Interest::READ).map_err(|error| self.local_error("poll", error))?;
        let (mut attempt, mut events) = (self.attempt(deadline), Events::with_capacity(8));
        loop {
            if let Some(result) = self.step(&mut attempt, &poll, 0) {
                return result;
            }
            let left = self.due(&attempt).left(self.limit.now());
            poll.wait(&mut events, left).map_err(|error| self.local_error("poll", error))?;
        }
    }

    /// Creates an attempt to connect that does not block, to be advanced by [`step`](Self::step).
    pub(crate) fn attempt(&self, deadline: Deadline) -> Attempt {
        Attempt::new(self.transport, self.limit.now(), deadline)
    }

    /// Returns when the next [step](Self::step) of an attempt is due, if none of its sockets is
    /// ready before.
    pub(crate) fn due(&self, attempt: &Attempt) -> Deadline {
        let deadline = attempt.deadline();
        if self.addresses.is_empty() { deadline } else { deadline.earlier(attempt.next_start()) }
    }

    /// Looks at the connections of an attempt, and starts the next one if it is due. Returns the
    /// outcome, or `None` if there is none yet. Sockets that are being connected are in `poll`,
    /// with `token`.
    ///
    /// Connections start one after another, each a stagger after the one before or as soon as all
    /// of those have failed. A connection to a UNIX socket blocks while the queue of its listener
    /// is full.
    pub(crate) fn step(
        &mut self,
        attempt: &mut Attempt,
        poll: &Poll,
        token: u64,
    ) -> Option<Result<(Socket, Address), ClientError>> {
        match attempt.take_established(poll) {
            Ok(None) => {}
            Ok(Some(winner)) => return Some(Ok(winner)),
            Err(error) => return Some(Err(self.local_error("poll", error))),
        }
        loop {
            if let Err(stopped) = self.check_stop() {
                return Some(Err(stopped));
            }
            let now = self.limit.now();
            if attempt.deadline().is_over(now) {
                return Some(Err(attempt.take_error(self.addresses.pop_front())));
            }
            if !attempt.is_idle() && !attempt.next_start().is_over(now) {
                return None;
            }
            let Some(address) = self.addresses.pop_front() else {
                return attempt.is_idle().then(|| Err(attempt.take_error(None)));
            };
            attempt.started(now);
            match self.start(&address, attempt.deadline()) {
                Ok((socket, true)) => return Some(Ok((socket, address))),
                Ok((socket, false)) => {
                    if let Err(error) = attempt.enter(socket, address, poll, token) {
                        return Some(Err(self.local_error("poll", error)));
                    }
                }
                Err(error) => attempt.fail(error),
            }
        }
    }

    /// Takes the next address, without trying it.
    pub(crate) fn next_address(&mut self) -> Option<Address> {
        self.addresses.pop_front()
    }

    /// Creates a socket to connect to an address, bound to its source.
    pub(crate) fn socket(&self, address: &Address) -> Result<Socket, ClientError> {
        let socket = match self.opens {
            Opens::Transport | Opens::Stamp => {
                self.transport.socket(address).map_err(|error| self.error(address, error))?
            }
            Opens::Icmp => icmp::open(address)?,
        };
        if let Err(error) = self.transport.check_loopback(address) {
            let error = Error::new(Operation::Connect.as_str(), &self.display(address), error);
            return Err(ClientError::FamilyAbsent(error));
        }
        if self.source_port.is_some() && self.transport.kind() != Kind::Datagrams {
            // The port may be in use by a connection that was closed: TIME-WAIT, RFC 9293 §3.6.1.
            let reused = socket.set_option(option::SO_REUSEADDR, true);
            reused.map_err(|error| self.local_error("prepare", error))?;
        }
        if address.ip().is_some() {
            options::bind(&socket, self.source.as_ref(), self.source_port, address)?;
        }
        let applied = self.ip_options.apply(&socket, address);
        applied.map_err(|error| self.local_error("mark the packets of", error))?;
        Ok(socket)
    }

    /// Starts to connect. Returns the socket, and whether it is connected already.
    fn start(&self, address: &Address, deadline: Deadline) -> Result<(Socket, bool), ClientError> {
        let socket = self.socket(address)?;
        let connected = match address {
            Address::Unix(_) => self.connect_to_path(&socket, address, deadline).map(|()| true),
            // A ping socket has no peer name: getpeername(2) fails.
            _ if self.opens == Opens::Icmp => socket.connect(address).map(|()| true),
            _ => start_to_connect(&socket, address),
        };
        match connected {
            Ok(is_connected) => Ok((socket, is_connected)),
            Err(error) => self.check_stop().and(Err(self.classify(address, error))),
        }
    }

    /// Connects to a UNIX socket. If the queue of its listener is full, no event shows when it no
    /// longer is. A blocking connect(2) then waits on a thread of its own.
    fn connect_to_path(&self, socket: &Socket, address: &Address, deadline: Deadline) -> io::Result<()> {
        if self.transport.needs_client_name() {
            // The kernel makes up an abstract name: unix(7), autobind feature.
            socket.bind(Address::Unix(UnixName::Unnamed))?;
        }
        socket.set_nonblocking(true)?;
        match socket.connect(address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        let (waiting, to) = (socket.try_clone()?, address.clone());
        waiting.set_timeout(deadline.left(self.limit.now()))?;
        let connected = self.limit.call_blocking("connect", deadline, move || waiting.connect(&to))?;
        connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        socket.set_nonblocking(true)
    }

    /// Returns whose failure an immediate error of connect(2) is.
    ///
    /// Some errors have two causes. To connect an unbound datagram socket to the same address shows
    /// which of them it is, since neither a missing port nor the source address can make that fail.
    pub(crate) fn classify(&self, address: &Address, error: io::Error) -> ClientError {
        use io::ErrorKind::{AddrNotAvailable, InvalidInput};
        let endpoint = self.display(address);
        match (error.kind(), address, &self.source) {
            // Either no local port is free, or no address of this machine has a route to that IPv6
            // address.
            (AddrNotAvailable, Address::Inet6(_), None) if test_connect(address) == Err(AddrNotAvailable) => {
                ClientError::Peer(
                    FailureKind::Unreachable,
                    Error::new(Operation::Connect.as_str(), &endpoint, error),
                )
            }
            // Either a route discards the packets, or it does not allow that source address.
            (InvalidInput, _, Some(Source::Address(source))) if test_connect(address).is_ok() => {
                let error =
                    Error::new(Operation::Connect.as_str(), &format!("{endpoint} from {source}"), error);
                ClientError::Local(error.with_address(address))
            }
            _ => self.error(address, error),
        }
    }

    /// Returns the error of a connection to `address` that has failed.
    fn error(&self, address: &Address, error: io::Error) -> ClientError {
        ClientError::new(Operation::Connect, &self.display(address), address, error)
    }

    /// Returns the text of an address.
    fn display(&self, address: &Address) -> String {
        self.opens.display(&Endpoint::display(self.transport, address))
    }

    fn check_stop(&self) -> Result<(), ClientError> {
        if self.limit.is_stopped() { Err(ClientError::Stopped) } else { Ok(()) }
    }

    fn timed_out(&self, address: &Address) -> ClientError {
        self.error(address, io::ErrorKind::TimedOut.into())
    }

    fn local_error(&self, operation: &'static str, error: io::Error) -> ClientError {
        ClientError::Local(Error::new(operation, &self.transport.scheme(), error))
    }
}

/// Establishes `count` connections to the first address that accepts one. If the operation is to
/// stop meanwhile, the connections that are there by then are returned.
pub(crate) fn connect_many(
    candidates: &mut Candidates,
    options: &ConnectOptions,
    count: usize,
) -> Result<(Vec<Socket>, Address), ClientError> {
    let limit = candidates.limit.clone();
    // Each established connection gives the next ones the whole time again.
    let mut deadline = limit.within(options.wait);
    let none_left = || Err(ClientError::timeout(Operation::Connect, &options.endpoint));
    let (first, address) = candidates.connect(deadline).unwrap_or_else(none_left)?;
    let mut sockets = vec![first];
    let poll_error = |error| candidates.local_error("poll", error);
    let mut race = Race::new(candidates.transport, &limit).map_err(poll_error)?;
    let mut pending = 0;
    while sockets.len() < count && !limit.is_stopped() {
        if sockets.len() + pending < count && pending < PENDING_MAX {
            deadline = limit.within(options.wait);
            match candidates.start(&address, deadline)? {
                (socket, true) => sockets.push(socket),
                (socket, false) => {
                    race.enter(socket, address.clone()).map_err(poll_error)?;
                    pending += 1;
                }
            }
        } else if let Some((socket, _)) = race.wait(deadline, &limit).map_err(poll_error)? {
            sockets.push(socket);
            pending -= 1;
        } else if !race.failures.is_empty() {
            // The pending connections may still succeed, so they are not named.
            return Err(ClientError::combine(race.failures));
        } else if deadline.is_over(limit.now()) {
            return Err(race.into_error());
        }
    }
    Ok((sockets, address))
}

/// Starts to connect. Returns whether the socket is connected already.
pub(crate) fn start_to_connect(socket: &Socket, address: &Address) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if Socket::is_in_progress(&error) => Ok(false),
        result => result.and_then(|()| refuse_self_connection(socket)).map(|()| true),
    }
}

/// Connects a UDP socket to the address. No packet is sent.
fn test_connect(address: &Address) -> Result<(), io::ErrorKind> {
    let connected = Transport::Udp.socket(address).and_then(|socket| socket.connect(address));
    connected.map_err(|error| error.kind())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use echosounder_socket::StopToken;

    use super::*;

    fn limit() -> WaitLimit {
        WaitLimit::new(StopToken::new().unwrap(), Duration::MAX)
    }

    fn candidates(transport: Transport, addresses: impl IntoIterator<Item = Address>) -> Candidates {
        Candidates {
            transport,
            opens: Opens::Transport,
            source: None,
            source_port: None,
            ip_options: IpOptions::default(),
            addresses: addresses.into_iter().collect(),
            has_tried: false,
            limit: limit(),
        }
    }

    /// Returns addresses that refuse connections as long as the sockets live, which are bound and do
    /// not listen.
    fn refusing(transport: Transport, count: usize) -> (Candidates, Vec<Socket>) {
        let any_port = Address::from((std::net::Ipv4Addr::LOCALHOST, 0));
        let bound = |_| {
            let socket = Transport::Tcp.socket(&any_port).unwrap();
            socket.bind(&any_port).unwrap();
            socket
        };
        let sockets: Vec<Socket> = (0..count).map(bound).collect();
        let addresses: Vec<Address> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        (candidates(transport, addresses), sockets)
    }

    #[test]
    fn no_other_address_is_tried_when_the_time_is_over() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let (mut candidates, _sockets) = refusing(transport, 5);
            let deadline = candidates.limit.after(Duration::ZERO);
            let mut left = 4;
            if transport == Transport::Udp {
                // Connecting the first one never waits.
                candidates.connect(deadline).unwrap().unwrap();
                left = 3;
            }
            let error = candidates.connect(deadline).unwrap().unwrap_err();
            assert_eq!(error.failure_kind(), Some(FailureKind::Timeout), "{error}");
            assert_eq!(candidates.addresses().count(), left);
        }
        let (mut in_time, _sockets) = refusing(Transport::Tcp, 5);
        let error = in_time.connect(Deadline::NEVER).unwrap().unwrap_err();
        assert_eq!(
            (error.failure_kind(), in_time.addresses().count()),
            (Some(FailureKind::Refused), 0),
            "{error}"
        );
    }
}
