//! One request and its reply: sending, waiting, and what errors about earlier datagrams mean for
//! it.

use std::io;
use std::time::Duration;

use echosounder_proto::FailureKind;
use echosounder_socket::{Interest, Kind, is_too_long};

use super::link::{Arrival, Failure, Woken};
use super::peer::Peer;
use super::received::{Received, RequestOutcome};
use super::reply_matcher::ReplyMatcher;
use crate::clock::Deadline;
use crate::error::{ClientError, Operation, failure_kind};

/// How long a reply may still arrive after the network has reported an error about the request.
const AFTER_REPORT: Duration = Duration::from_secs(1);

/// The same if nothing has ever arrived from the peer, and another report or another address makes
/// the error credible.
const AFTER_CREDIBLE_REPORT: Duration = Duration::from_millis(100);

/// A request that has failed alone: the next one may succeed.
#[derive(Debug)]
pub(super) enum FailedRequest {
    /// It could not be sent, or the network has refused it.
    Refused(ClientError),
    /// It cannot be sent as one message: it is too long, or it is empty and the family has no empty
    /// messages.
    Unsendable(ClientError),
}

impl FailedRequest {
    pub(super) fn into_error(self) -> ClientError {
        match self {
            Self::Refused(error) | Self::Unsendable(error) => error,
        }
    }
}

impl Peer {
    /// Sends a message and waits for its reply, at most for the time of
    /// [`ConnectOptions::wait`](crate::ConnectOptions::wait). On a stream that time
    /// begins again with each part of the message that was sent, and with each 64 KiB of the echo.
    ///
    /// Data that arrives meanwhile is passed to `on_received`. A reply that is not complete in time
    /// stays a fragment. A datagram that is refused before anything has arrived is sent to the next
    /// address of the endpoint.
    ///
    /// # Errors
    ///
    /// If the peer fails, if a stream does not take the message in time, or if `on_received` fails.
    pub fn request<E: From<ClientError>>(
        &mut self,
        message: &[u8],
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<RequestOutcome, E> {
        self.try_request(message, on_received)?.map_err(|failed| failed.into_error().into())
    }

    /// Does what [`request`](Self::request) does, and distinguishes a failure of this request alone
    /// from a failure of the peer.
    pub(super) fn try_request<E: From<ClientError>>(
        &mut self,
        message: &[u8],
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<Result<RequestOutcome, FailedRequest>, E> {
        let deadline = self.limit().after(self.wait());
        loop {
            let (operation, error) = match self.exchange(message, deadline, on_received) {
                Ok(outcome) => return Ok(Ok(outcome)),
                Err(Failure::Caller(error)) => return Err(error),
                Err(Failure::Socket(operation, error)) => (operation, error),
            };
            if operation == Operation::Send && self.is_unsendable(message, &error) {
                self.matcher.cancel_request();
                return Ok(Err(FailedRequest::Unsendable(self.error(operation, error))));
            }
            if self.transport().kind() != Kind::Datagrams {
                return Err(self.error(operation, error).into());
            }
            let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let error = self.error(operation, error);
            if !is_refused || self.matcher.has_received() {
                return if error.failure_kind().is_some() {
                    Ok(Err(FailedRequest::Refused(error)))
                } else {
                    Err(error.into())
                };
            }
            let next = self.candidates.as_mut().and_then(|candidates| candidates.connect(deadline));
            let (socket, address) = next.unwrap_or(Err(error))?;
            self.link.replace(socket, address);
            self.matcher = ReplyMatcher::new(self.transport());
        }
    }

    /// Returns whether an error of a send is about this message alone: the family cannot send a
    /// message of its length.
    fn is_unsendable(&self, message: &[u8], error: &io::Error) -> bool {
        // Netlink refuses empty messages (ENODATA).
        let is_empty_refused =
            || message.is_empty() && failure_kind(Operation::Send, error, self.link.address()).is_none();
        self.transport().kind() != Kind::Stream && (is_too_long(error) || is_empty_refused())
    }

    fn exchange<E>(
        &mut self,
        message: &[u8],
        mut deadline: Deadline,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<RequestOutcome, Failure<E>> {
        self.matcher.finish_fragment(on_received).map_err(Failure::Caller)?;
        self.matcher.start_request(message, self.limit().now());
        self.greeting = None;
        let mut unsent = Some(message);
        let mut reports = Reports::default();
        while unsent.is_some() || !self.matcher.is_complete() {
            if let Some(bytes) = unsent {
                match self.link.send(bytes) {
                    Ok(Some(len)) => {
                        unsent = Some(&bytes[len..]).filter(|unsent| !unsent.is_empty());
                        deadline = self.prolonged(deadline);
                    }
                    Ok(None) => {}
                    Err(error) if self.is_closed_by(&error) => {
                        return self.read_to_end(deadline, on_received);
                    }
                    Err(error) => return Err(Failure::Socket(Operation::Send, error)),
                }
            }
            if !self.is_in_time(deadline) {
                self.matcher.give_up();
                return if unsent.is_none() { reports.into_outcome() } else { Err(send_timed_out()) };
            }
            let interest = if unsent.is_none() { Interest::READ } else { Interest::READ | Interest::WRITE };
            match self.link.wait(interest, self.wake_up(deadline))? {
                Woken::Stopped => return Ok(RequestOutcome::Stopped),
                Woken::Otherwise => {}
                Woken::Readable => match self.read(on_received)? {
                    Arrival::End => {
                        self.matcher.finish_fragment(on_received).map_err(Failure::Caller)?;
                        let is_complete = unsent.is_none() && self.matcher.is_complete();
                        return Ok(if is_complete {
                            RequestOutcome::Replied
                        } else {
                            RequestOutcome::Closed
                        });
                    }
                    Arrival::Report(error) => {
                        deadline = deadline.earlier(self.deadline_after(&mut reports, error));
                        // The message may be the one that did not arrive, so it is sent once more.
                        if reports.count == 1 {
                            unsent = Some(message);
                        }
                    }
                    // The length of an echo is known. Another reply could flow forever.
                    Arrival::Bytes(_) if !self.matcher.has_fragment() && self.matcher.is_flowing() => {
                        deadline = self.prolonged(deadline);
                    }
                    Arrival::Bytes(_) | Arrival::Nothing => {}
                },
            }
            if self.is_in_time(deadline) {
                self.settle(on_received)?;
            }
        }
        Ok(RequestOutcome::Replied)
    }

    /// Returns whether a reply may still be in time. The silence that ends a reply may last longer
    /// than the wait for it.
    fn is_in_time(&self, deadline: Deadline) -> bool {
        !deadline.is_over(self.limit().now()) || self.matcher.is_reply_in_time(deadline)
    }

    /// Returns when a wait for the reply is to end: with the silence that ends a fragment, or with
    /// the deadline unless it is over.
    fn wake_up(&self, deadline: Deadline) -> Deadline {
        let quiet = self.next_deadline();
        if deadline.is_over(self.limit().now()) { quiet } else { quiet.earlier(deadline) }
    }

    /// Returns the deadline of a reply after progress. On a stream the time to wait begins again
    /// when a part of the message was sent, and when much of its echo has arrived.
    fn prolonged(&self, deadline: Deadline) -> Deadline {
        if self.transport().kind() == Kind::Stream { self.limit().after(self.wait()) } else { deadline }
    }

    /// Returns whether an error of a send means that the peer has closed the connection. Data that
    /// it has sent before can still be read.
    fn is_closed_by(&self, error: &io::Error) -> bool {
        self.transport().kind() != Kind::Datagrams
            && failure_kind(Operation::Send, error, self.link.address()) == Some(FailureKind::Closed)
    }

    /// Takes the data that the peer has sent before it closed the connection.
    fn read_to_end<E>(
        &mut self,
        deadline: Deadline,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<RequestOutcome, Failure<E>> {
        while !deadline.is_over(self.limit().now()) {
            match self.link.wait(Interest::READ, deadline)? {
                Woken::Stopped => return Ok(RequestOutcome::Stopped),
                Woken::Readable if matches!(self.read(on_received)?, Arrival::End) => break,
                Woken::Readable | Woken::Otherwise => {}
            }
        }
        self.matcher.finish_fragment(on_received).map_err(Failure::Caller)?;
        Ok(RequestOutcome::Closed)
    }

    /// Notes an error that the network has reported, and returns until when a reply may still
    /// arrive.
    ///
    /// The reply may be there already, behind the report. If nothing has ever arrived, it is not
    /// awaited for long once a second report has come or the endpoint has another address.
    fn deadline_after(&self, reports: &mut Reports, error: io::Error) -> Deadline {
        reports.count += 1;
        if is_too_long(&error) {
            return Deadline::NEVER;
        }
        reports.last = Some(error);
        let has_other_address =
            self.candidates.as_ref().is_some_and(|candidates| candidates.addresses().next().is_some());
        let is_credible = !self.matcher.has_received() && (1 < reports.count || has_other_address);
        self.limit().after(if is_credible { AFTER_CREDIBLE_REPORT } else { AFTER_REPORT })
    }
}

/// Errors that the network has reported about a datagram without a reply.
#[derive(Default)]
struct Reports {
    count: u32,
    /// The last one, unless it only asks for smaller packets.
    last: Option<io::Error>,
}

impl Reports {
    /// Returns how a request without a reply has ended.
    fn into_outcome<E>(self) -> Result<RequestOutcome, Failure<E>> {
        self.last
            .map_or(Ok(RequestOutcome::TimedOut), |error| Err(Failure::Socket(Operation::Receive, error)))
    }
}

fn send_timed_out<E>() -> Failure<E> {
    Failure::Socket(Operation::Send, io::ErrorKind::TimedOut.into())
}
