//! A connected socket in one call: every address of a name is tried (RFC 8305).

use std::collections::VecDeque;
use std::error;
use std::fmt;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::lookup::Side;
use crate::option;
use crate::poll::{Interest, PollFd, poll_once};
use crate::socket::Socket;
use crate::to_endpoint::ToEndpoint;
use crate::transport::{Kind, Transport};

/// How long an address is tried alone before the next is tried beside it: RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many attempts an `io::Error` displays.
const SHOWN_ATTEMPTS: usize = 3;

/// Why none of an endpoint's addresses could be connected to.
///
/// The source is the error of the last attempt; [`attempts`](Self::attempts) has all of them.
///
/// See [`ConnectionError`] for an example.
pub struct FailedAttempts {
    target: String,
    attempts: Vec<(Address, io::Error)>,
    /// Whether the attempts are displayed: within an `io::Error`.
    shows_attempts: bool,
}

impl FailedAttempts {
    /// Returns the endpoint, as text.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the error of each address, in the order in which they failed.
    pub fn attempts(&self) -> &[(Address, io::Error)] {
        &self.attempts
    }

    fn last(&self) -> Option<&io::Error> {
        self.attempts.last().map(|(_, error)| error)
    }

    fn write_attempts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, error)] = &self.attempts[..] {
            return write!(f, ": {error}");
        }
        for (place, (address, error)) in self.attempts.iter().take(SHOWN_ATTEMPTS).enumerate() {
            let separator = if place == 0 { ": " } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        match self.attempts.len().saturating_sub(SHOWN_ATTEMPTS) {
            0 => Ok(()),
            more => write!(f, "; {more} more"),
        }
    }
}

impl fmt::Display for FailedAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}", self.target)?;
        if self.shows_attempts { self.write_attempts(f) } else { Ok(()) }
    }
}

/// The text with the first attempts, which a program prints that returns an error from `main`.
impl fmt::Debug for FailedAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}", self.target)?;
        self.write_attempts(f)
    }
}

impl error::Error for FailedAttempts {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        let last = self.last().map(|error| error as &(dyn error::Error + 'static));
        if self.shows_attempts { last.and_then(error::Error::source) } else { last }
    }
}

/// Why [`create_connection`] has failed.
///
/// It displays the endpoint; its source is the reason. Converted to an [`io::Error`], it keeps the
/// kind of the reason, or of the last attempt, and displays the first three attempts with their reasons.
/// `io::Error::downcast` returns this type again.
///
/// ```
/// use echosounder_socket::{ConnectionError, create_connection};
/// use std::io;
///
/// let error = create_connection("tcp://127.0.0.1:0", None, None).unwrap_err();
/// assert_eq!(error.to_string(), "cannot connect to tcp://127.0.0.1:0");
/// let error = io::Error::from(error);
/// assert_eq!(error.to_string(), "cannot connect to tcp://127.0.0.1:0: Connection refused (os error 111)");
/// // What a program prints that returns the error from `main`.
/// assert!(format!("{error:?}").contains(&error.to_string()));
/// let ConnectionError::Connect(failed) = error.downcast()? else { panic!("the name was resolved") };
/// assert_eq!(failed.attempts()[0].1.raw_os_error(), Some(111)); // ECONNREFUSED
/// # Ok::<(), io::Error>(())
/// ```
#[non_exhaustive]
pub enum ConnectionError {
    /// The endpoint is invalid, or its name has no address.
    Resolve(Error),
    /// No address accepted the connection.
    Connect(FailedAttempts),
}

impl ConnectionError {
    /// Returns the kind of the reason: that of the last attempt, if there were several.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::Connect(failed) => failed.last().map_or(io::ErrorKind::NotFound, io::Error::kind),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => fmt::Display::fmt(error, f),
            Self::Connect(failed) => fmt::Display::fmt(failed, f),
        }
    }
}

/// The text with the reason, which a program prints that returns an error from `main`.
impl fmt::Debug for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => fmt::Debug::fmt(error, f),
            Self::Connect(failed) => fmt::Debug::fmt(failed, f),
        }
    }
}

impl error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Resolve(error) => error.source(),
            Self::Connect(failed) => failed.source(),
        }
    }
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = error.kind();
        let shown = match error {
            ConnectionError::Resolve(error) => ConnectionError::Resolve(error.with_reason()),
            ConnectionError::Connect(failed) => {
                ConnectionError::Connect(FailedAttempts { shows_attempts: true, ..failed })
            }
        };
        Self::new(kind, shown)
    }
}

/// Creates a socket that is connected to one of an endpoint's addresses.
///
/// The addresses of a host name are tried as RFC 8305 ("Happy Eyeballs") recommends: IPv6 and IPv4
/// take turns, the next address is tried 250 ms after the one before or as soon as all before it
/// have failed, and the first connection that is established wins. A datagram socket is connected to
/// the first address that has a route, since nobody replies to a connect(2).
///
/// `timeout` limits each attempt, from its own beginning; `None` leaves the limit to the kernel
/// (about two minutes for TCP: net.ipv4.tcp_syn_retries). It does not limit the lookup of a host
/// name. The socket keeps the timeout. If the [hook](crate::set_interrupt_hook) for interrupted calls
/// returns an error, every attempt ends, and that error is the last of
/// [`FailedAttempts::attempts`]. With a timeout of zero nothing is waited for, and the attempt
/// fails with EINPROGRESS unless it ends at once. With `source`, the socket is bound to that address
/// first; if it has a port, with SO_REUSEADDR, because several attempts share the port.
///
/// # Errors
///
/// [`ConnectionError::Resolve`] as [`ToEndpoint::to_addresses`]; [`ConnectionError::Connect`] with
/// the error of every address if none accepted.
///
/// ```
/// use echosounder_socket::{ServerOptions, create_connection, create_server};
/// use std::time::Duration;
///
/// let server = create_server(("localhost", 0), ServerOptions::default())?;
/// let port = server.local_addr()?.port().unwrap_or(0);
/// let client = create_connection(("localhost", port), Some(Duration::from_secs(5)), None)?;
/// assert_eq!(client.peer_addr()?, server.local_addr()?);
///
/// let client = create_connection(format!("udp://localhost:{port}"), None, None)?;
/// assert_eq!(client.peer_addr()?.port(), Some(port));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "happy eyeballs")]
pub fn create_connection(
    endpoint: impl ToEndpoint,
    timeout: Option<Duration>,
    source: Option<&Address>,
) -> Result<Socket, ConnectionError> {
    let (transport, addresses) = endpoint
        .to_addresses(Side::Client)
        .map_err(|error| ConnectionError::Resolve(Error::from_io(error, "connect to")))?;
    let waits = timeout != Some(Duration::ZERO);
    let race =
        Race { transport, timeout, source, pending: Vec::new(), failed: Vec::new(), is_stopped: false };
    let result = if waits && 1 < addresses.len() && transport.kind() != Kind::Datagrams {
        race.connect(interleave(addresses))
    } else {
        race.connect_in_turn(addresses)
    };
    result.map_err(|attempts| {
        let target = match (endpoint.to_endpoint(), attempts.first()) {
            (Err(_), Some((address, _))) => Endpoint::display(transport, address),
            (endpoint, _) => endpoint.map_or_else(|_| String::new(), |endpoint| endpoint.to_string()),
        };
        ConnectionError::Connect(FailedAttempts { target, attempts, shows_attempts: false })
    })
}

/// Alternates between IPv6 and IPv4 and keeps the order within each, so that a family without a
/// route costs one delay only: RFC 8305, section 4.
pub fn interleave(addresses: Vec<Address>) -> VecDeque<Address> {
    let first_family = addresses.first().map(Address::family);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Some(address.family()) == first_family);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

type Failures = Vec<(Address, io::Error)>;

/// A connection that is being established.
struct Pending {
    socket: Socket,
    address: Address,
    /// `None` means no limit.
    deadline: Option<Instant>,
}

/// Connections to the addresses of one name. The first that is established wins.
struct Race<'a> {
    transport: Transport,
    timeout: Option<Duration>,
    source: Option<&'a Address>,
    pending: Vec<Pending>,
    failed: Failures,
    /// Whether the last failure is the error of the hook for interrupted calls, after which no other
    /// address is tried.
    is_stopped: bool,
}

impl Race<'_> {
    /// Tries one address after the other.
    fn connect_in_turn(mut self, addresses: Vec<Address>) -> Result<Socket, Failures> {
        for address in addresses {
            let mut is_stopped = false;
            let mut connect = || {
                let socket = self.socket(&address)?;
                socket.set_timeout(self.timeout)?;
                socket.connect_or_stop(&address, &mut is_stopped)?;
                Ok(socket)
            };
            match connect() {
                Ok(socket) => return Ok(socket),
                Err(error) => self.failed.push((address, error)),
            }
            if is_stopped {
                break;
            }
        }
        Err(self.failed)
    }

    /// Tries the addresses beside each other, each 250 ms after the one before or when all before it
    /// have failed.
    fn connect(mut self, mut addresses: VecDeque<Address>) -> Result<Socket, Failures> {
        let mut next_start = now();
        loop {
            let now = now();
            if self.pending.is_empty() || next_start <= now {
                if let Some(address) = addresses.pop_front() {
                    next_start = now + ATTEMPT_DELAY;
                    match self.start(address, now) {
                        Some(socket) => return self.finish(socket),
                        None if self.is_stopped => return Err(self.failed),
                        None => continue,
                    }
                }
            }
            if self.pending.is_empty() {
                return Err(self.failed);
            }
            let deadlines = self.pending.iter().filter_map(|pending| pending.deadline);
            let wake = deadlines.chain((!addresses.is_empty()).then_some(next_start)).min();
            match self.wait(wake.map(|wake| wake.saturating_duration_since(now))) {
                Ok(Some(socket)) => return self.finish(socket),
                Ok(None) => {}
                Err(error) => {
                    let address = self.pending.swap_remove(0).address;
                    self.failed.push((address, error));
                    return Err(self.failed);
                }
            }
        }
    }

    /// Starts an attempt. Returns the socket if it is connected already.
    fn start(&mut self, address: Address, now: Instant) -> Option<Socket> {
        let mut is_stopped = false;
        let mut connect = || {
            let socket = self.socket(&address)?;
            socket.set_nonblocking(true)?;
            match socket.connect_or_stop(&address, &mut is_stopped) {
                Err(error) if Socket::is_in_progress(&error) => Ok((socket, false)),
                result => result.map(|()| (socket, true)),
            }
        };
        match connect() {
            Ok((socket, true)) => return Some(socket),
            Ok((socket, false)) => {
                let deadline = self.timeout.and_then(|timeout| now.checked_add(timeout));
                self.pending.push(Pending { socket, address, deadline });
            }
            Err(error) => self.failed.push((address, error)),
        }
        self.is_stopped = is_stopped;
        None
    }

    /// Waits until an attempt has ended, for `limit` at most. Returns the first socket that is
    /// connected, and drops those whose attempt has failed.
    ///
    /// # Errors
    ///
    /// As poll(2), or the error of the hook for interrupted calls. No attempt is dropped then.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<Option<Socket>> {
        let mut fds: Vec<_> =
            self.pending.iter().map(|pending| PollFd::new(&pending.socket, Interest::WRITE)).collect();
        match poll_once(&mut fds, limit) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                crate::wait::interrupted()?;
                return Ok(None);
            }
            waited => waited?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.ready().is_empty()).collect();
        let now = now();
        for (pending, ready) in mem::take(&mut self.pending).into_iter().zip(ready) {
            let Pending { socket, address, deadline } = pending;
            let expired = deadline.is_some_and(|deadline| deadline <= now);
            let error = match ready.then(|| socket.take_error()) {
                Some(Ok(None)) => return Ok(Some(socket)),
                Some(Ok(Some(error)) | Err(error)) => error,
                None if expired => io::ErrorKind::TimedOut.into(),
                None => {
                    self.pending.push(Pending { socket, address, deadline });
                    continue;
                }
            };
            self.failed.push((address, error));
        }
        Ok(None)
    }

    fn socket(&self, address: &Address) -> io::Result<Socket> {
        let socket = self.transport.socket(address)?;
        if let Some(source) = self.source {
            if source.port().is_some_and(|port| port != 0) {
                // Attempts beside each other have the same source and different destinations.
                socket.set_option(option::SO_REUSEADDR, true)?;
            }
            socket.bind(source)?;
        }
        Ok(socket)
    }

    /// Gives the winner its timeout.
    fn finish(self, socket: Socket) -> Result<Socket, Failures> {
        match socket.set_timeout(self.timeout) {
            Ok(()) => Ok(socket),
            Err(error) => {
                let peer = socket.peer_addr().unwrap_or(Address::Unspecified);
                Err(self.failed.into_iter().chain([(peer, error)]).collect())
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a wait in the kernel needs the real clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_error_displays_a_few_attempts() {
        let attempt = |port| (Address::from(([127, 0, 0, 1], port)), io::ErrorKind::TimedOut.into());
        let failed = |count| FailedAttempts {
            target: "tcp://several".into(),
            attempts: (1..=count).map(attempt).collect(),
            shows_attempts: true,
        };
        let three = "127.0.0.1:1: timed out; 127.0.0.1:2: timed out; 127.0.0.1:3: timed out";
        assert_eq!(failed(3).to_string(), format!("cannot connect to tcp://several: {three}"));
        assert_eq!(failed(5).to_string(), format!("cannot connect to tcp://several: {three}; 2 more"));
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<_>>();
        let sorted = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let mixed = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleave(sorted), mixed);
        assert_eq!(interleave(addresses(&["127.0.0.1:1"])), addresses(&["127.0.0.1:1"]));
    }
}
