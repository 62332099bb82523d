//! A connected peer: send a message, wait for its reply, and take what arrives in between.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use echosounder_socket::{
    Address, Endpoint, Error, Interest, Kind, Socket, StopToken, ToEndpoint, Transport,
};

use super::link::{Arrival, Failure, Link, Woken};
use super::received::{Received, RequestOutcome};
use super::reply_matcher::ReplyMatcher;
use crate::clock::Deadline;
use crate::connect::{Candidates, ConnectOptions};
use crate::error::{ClientError, Operation};
use crate::wait_limit::WaitLimit;

/// How long after connecting the first line of a program waits for a greeting.
const GREETING: Duration = Duration::from_millis(250);

/// How long more of a greeting may take after the last of it.
const MORE_GREETING: Duration = Duration::from_millis(50);

/// How long a whole greeting may take once it has begun.
const GREETING_MAX: Duration = Duration::from_secs(2);

/// How many reads in a row [`Peer::catch_up`] makes, so that a peer that sends without end cannot
/// hold up a line.
const READS_MAX: usize = 16;

/// A peer that replies to messages.
///
/// [`request`](Self::request) sends a message and waits for its reply. Data that arrives at other
/// times is taken by [`receive`](Self::receive), when the descriptor of the peer is readable.
///
/// # Examples
///
/// [`ask`](Self::ask) has one.
#[derive(Debug)]
pub struct Peer {
    endpoint: Endpoint,
    /// How long to wait for a reply.
    wait: Duration,
    pub(super) link: Link,
    /// Other addresses of the endpoint. They are tried until the peer has replied.
    pub(super) candidates: Option<Candidates>,
    pub(super) matcher: ReplyMatcher,
    /// When the wait for a greeting ends; `None` once a request was sent or the greeting has ended.
    pub(super) greeting: Option<Deadline>,
}

impl Peer {
    /// Connects to an endpoint: a text such as `tcp://host:21567`, an [`Endpoint`], or anything else
    /// that is [`ToEndpoint`]. Connecting may take 5 seconds, and so may each reply afterwards.
    ///
    /// # Errors
    ///
    /// As [`connect_with`](Self::connect_with), or if the text is no endpoint.
    ///
    /// # Examples
    ///
    /// [`ask`](Self::ask) has one.
    pub fn connect(target: impl ToEndpoint) -> Result<Self, ClientError> {
        let endpoint = target.to_endpoint().map_err(ClientError::target)?;
        let local = |error| ClientError::Local(Error::new("connect to", &endpoint, error));
        let stop = StopToken::new().map_err(local)?;
        Self::connect_with(ConnectOptions::new(endpoint), WaitLimit::new(stop, Duration::MAX))
    }

    /// Connects to an endpoint: its addresses are tried with staggered starts until one accepts.
    ///
    /// # Errors
    ///
    /// If an address stands for many hosts, or if no address accepts: then the error lists how each
    /// has failed. A datagram socket shows that only with the first request.
    pub fn connect_with(options: ConnectOptions, limit: WaitLimit) -> Result<Self, ClientError> {
        let deadline = limit.within(options.wait);
        let mut candidates = Candidates::resolve(&options, deadline, &limit)?;
        candidates.refuse_multicast(&options.endpoint)?;
        let none_left = || Err(ClientError::timeout(Operation::Connect, &options.endpoint));
        let (socket, address) = candidates.connect(deadline).unwrap_or_else(none_left)?;
        let (endpoint, wait) = (options.endpoint, options.wait);
        Ok(Self { candidates: Some(candidates), ..Self::with_socket(socket, address, endpoint, wait, limit) })
    }

    /// Uses a socket that is connected already and does not block. `address` is the address of its
    /// peer, `endpoint` the endpoint to name it by, and `wait` how long to wait for each reply.
    pub fn with_socket(
        socket: Socket,
        address: Address,
        endpoint: Endpoint,
        wait: Duration,
        limit: WaitLimit,
    ) -> Self {
        let transport = endpoint.transport();
        let greeting = (transport.kind() != Kind::Datagrams).then(|| limit.after(GREETING));
        let link = Link::new(transport, socket, address, limit);
        Self { endpoint, wait, link, candidates: None, matcher: ReplyMatcher::new(transport), greeting }
    }

    /// Takes data that has arrived, without a wait. Returns `false` if the peer has closed the
    /// connection.
    ///
    /// # Errors
    ///
    /// If the peer fails, or if `on_received` does.
    pub fn receive<E: From<ClientError>>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        match self.read(on_received).and_then(|arrival| self.settle(on_received).map(|()| arrival)) {
            Ok(Arrival::End) => self.matcher.finish_fragment(on_received).map(|()| false),
            Ok(_) => Ok(true),
            Err(failure) => Err(self.link.error_of(failure)),
        }
    }

    /// Takes all data that is there now, and ends a fragment whose silence is over. Returns whether
    /// more may arrive.
    pub(crate) fn catch_up<E: From<ClientError>>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        for _ in 0..READS_MAX {
            match self.link.is_readable() {
                Ok(true) if !self.receive(on_received)? => return Ok(false),
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.link.error(Operation::Wait, error).into()),
            }
        }
        self.settle(on_received).map_err(|failure| self.link.error_of(failure))?;
        Ok(true)
    }

    /// Returns when [`catch_up`](Self::catch_up) has something to do although no data has arrived.
    pub(crate) fn next_deadline(&self) -> Deadline {
        self.matcher.quiet_deadline()
    }

    /// Waits a little for a greeting, which belongs to no request, unless a request was sent
    /// before. Returns whether more may arrive.
    pub(crate) fn receive_greeting<E: From<ClientError>>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(mut until) = self.greeting.take() else { return Ok(true) };
        let limit = self.link.limit().clone();
        let last = limit.after(GREETING_MAX);
        loop {
            let now = limit.now();
            if last.is_over(now) || (until.is_over(now) && !self.matcher.has_fragment()) {
                return Ok(true);
            }
            let wait = if self.matcher.has_fragment() { self.next_deadline() } else { until };
            match self.link.wait(Interest::READ, wait).map_err(|failure| self.link.error_of(failure))? {
                Woken::Stopped => return Ok(true),
                Woken::Readable if !self.receive(on_received)? => return Ok(false),
                Woken::Readable => until = limit.after(MORE_GREETING),
                Woken::Otherwise => {
                    self.settle(on_received).map_err(|failure| self.link.error_of(failure))?;
                }
            }
        }
    }

    /// Half-closes the connection, and takes the data that the peer still sends until it closes,
    /// too: at most for the time of [`ConnectOptions::wait`], which begins again after each 64 KiB.
    /// On a transport without a half-close only missing replies are awaited, and on datagrams
    /// nothing is.
    ///
    /// # Errors
    ///
    /// If the peer fails, or if `on_received` does.
    pub fn drain<E: From<ClientError>>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<RequestOutcome, E> {
        if self.transport().kind() == Kind::Datagrams {
            return Ok(RequestOutcome::Replied);
        }
        self.half_close().map_err(E::from)?;
        let half_closes = self.transport().half_closes();
        let mut deadline = self.limit().after(self.wait);
        self.matcher.restart_flow();
        while !deadline.is_over(self.limit().now()) && (half_closes || self.matcher.expects_any()) {
            match self.link.wait(Interest::READ, deadline).map_err(|failure| self.link.error_of(failure))? {
                Woken::Stopped => return Ok(RequestOutcome::Stopped),
                Woken::Readable if !self.receive(on_received)? => return Ok(RequestOutcome::Closed),
                Woken::Readable if self.matcher.is_flowing() => deadline = self.limit().after(self.wait),
                Woken::Readable | Woken::Otherwise => {}
            }
        }
        self.matcher.finish_fragment(on_received)?;
        Ok(RequestOutcome::Replied)
    }

    /// Half-closes the connection, if the transport can: the peer then knows that nothing more will
    /// be sent.
    pub(crate) fn half_close(&self) -> Result<(), ClientError> {
        self.link.half_close()
    }

    /// Returns whether data has ever arrived from the peer. On datagrams nothing else shows that a
    /// server is there.
    pub fn has_replied(&self) -> bool {
        self.matcher.has_received()
    }

    /// Returns the endpoint at the address that has accepted the connection.
    pub fn peer_endpoint(&self) -> String {
        self.link.endpoint()
    }

    /// Returns the endpoint that this peer was connected by.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns how long to wait for a reply.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    pub(crate) fn limit(&self) -> &WaitLimit {
        self.link.limit()
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.link.socket()
    }

    pub(crate) fn transport(&self) -> Transport {
        self.link.transport()
    }

    pub(crate) fn error(&self, operation: Operation, error: io::Error) -> ClientError {
        self.link.error(operation, error)
    }

    /// Reads once, and passes on the data.
    pub(super) fn read<E>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<Arrival, Failure<E>> {
        let arrival = self.link.receive().map_err(|error| Failure::Socket(Operation::Receive, error))?;
        if let Arrival::Bytes(len) = arrival {
            let now = self.link.limit().now();
            self.matcher.receive(self.link.bytes(len), now, on_received).map_err(Failure::Caller)?;
        }
        Ok(arrival)
    }

    /// Ends a fragment if it ends with a newline or nothing has arrived for a while, and nothing
    /// more is readable.
    pub(super) fn settle<E>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        if !self.matcher.may_finish(self.limit().now()) {
            return Ok(());
        }
        if self.link.is_readable().map_err(|error| Failure::Socket(Operation::Wait, error))? {
            return Ok(());
        }
        self.matcher.finish_fragment(on_received).map_err(Failure::Caller)
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
