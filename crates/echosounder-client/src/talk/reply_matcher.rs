//! Finds the request that received data belongs to. No I/O, and time is a parameter.
//!
//! A message socket delivers whole replies, which are matched by the message that they end with. On
//! a stream the matcher follows the echo byte by byte. If the peer sends anything but an echo, the
//! data that follows is the reply to the last request; such a reply ends with a newline or with
//! silence.

use std::time::Duration;

use echosounder_proto::{EchoReader, InFlight, Match, MonoTime};
use echosounder_socket::{Kind, Transport};

use super::received::{Received, ReceivedKind};
use crate::clock::Deadline;

/// Maximum number of requests without a reply that are remembered, to recognise late replies.
const REMEMBERED_MAX: usize = 256;

/// Maximum bytes of their messages.
const REMEMBERED_BYTES_MAX: usize = 4 << 20;

/// How many bytes must arrive while a reply is awaited for the stream to count as flowing.
const FLOW_BYTES: usize = 64 * 1024;

/// How long a stream must be silent before a reply without a newline at its end counts as complete.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// The requests without a reply, and the observed form of the peer's replies.
#[derive(Debug)]
pub(super) struct ReplyMatcher {
    transport: Transport,
    requests: InFlight<Request>,
    next_number: u64,
    /// The bytes that are to come back on a stream, until the peer sends something else.
    echo: Option<EchoReader>,
    /// Whether a message has come back, so that a reply without the message in it belongs to
    /// another request.
    is_echo_server: bool,
    /// Bytes that have arrived since the stream last counted as flowing.
    arrived_bytes: usize,
    has_received: bool,
    /// Data on a stream that is not an echo and has no known end yet.
    fragment: Option<Fragment>,
    last_echo: Option<LastEcho>,
}

/// A request without a reply. On a stream the message is empty: there the echo reader knows it.
#[derive(Debug)]
struct Request {
    message: Box<[u8]>,
    sent_at: MonoTime,
}

/// The last echo and the message in it.
#[derive(Debug)]
struct LastEcho {
    message: Box<[u8]>,
    reply: Box<[u8]>,
}

/// Data on a stream that is not an echo.
#[derive(Debug)]
struct Fragment {
    /// When the last byte so far arrived.
    arrived_at: MonoTime,
    /// Whether the last byte so far is a newline.
    ends_line: bool,
    /// Whether a request was without a reply when the first byte arrived.
    is_reply: bool,
}

impl ReplyMatcher {
    pub(super) fn new(transport: Transport) -> Self {
        let is_stream = transport.kind() == Kind::Stream;
        // The echo reader of a stream counts on every request.
        let given_up_max = if is_stream { usize::MAX } else { REMEMBERED_MAX - 1 };
        Self {
            transport,
            requests: InFlight::new(given_up_max),
            next_number: 0,
            echo: is_stream.then(EchoReader::new),
            is_echo_server: false,
            arrived_bytes: 0,
            has_received: false,
            fragment: None,
            last_echo: None,
        }
    }

    /// Notes a request that is sent now. Replies to earlier requests are late from now on.
    pub(super) fn start_request(&mut self, message: &[u8], now: MonoTime) {
        self.give_up();
        self.arrived_bytes = 0;
        if let Some(reader) = &mut self.echo {
            reader.sent(message);
        }
        let message = if self.is_stream() { &[] } else { message };
        self.limit_memory(message.len());
        self.requests.insert(self.next_number, Request { message: message.into(), sent_at: now });
        self.next_number += 1;
    }

    /// Forgets the last request: it was not sent after all.
    pub(super) fn cancel_request(&mut self) {
        if self.requests.take_back_last().is_some() {
            self.next_number -= 1;
        }
    }

    /// Ends the wait for replies. Replies that arrive from now on are late, and a fragment that has
    /// begun to arrive is forgotten.
    pub(super) fn give_up(&mut self) {
        self.fragment = None;
        while self.requests.expire(|_| true).is_some() {}
    }

    /// Returns whether no reply is awaited.
    pub(super) fn is_complete(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns whether a reply may still arrive, in time or late.
    pub(super) fn expects_any(&self) -> bool {
        self.remembered().next().is_some()
    }

    /// Returns whether anything has ever arrived.
    pub(super) fn has_received(&self) -> bool {
        self.has_received
    }

    /// Returns whether data without a known end has begun to arrive.
    pub(super) fn has_fragment(&self) -> bool {
        self.fragment.is_some()
    }

    /// Starts to count the bytes that make a stream flow.
    pub(super) fn restart_flow(&mut self) {
        self.arrived_bytes = 0;
    }

    /// Returns whether so many bytes have arrived since this was last true that the stream flows
    /// rather than drips.
    pub(super) fn is_flowing(&mut self) -> bool {
        let is_flowing = FLOW_BYTES <= self.arrived_bytes;
        if is_flowing {
            self.arrived_bytes = 0;
        }
        is_flowing
    }

    /// Returns when a silence since the last byte completes the fragment; never if there is none.
    pub(super) fn quiet_deadline(&self) -> Deadline {
        let fragment = self.fragment.as_ref();
        fragment.map_or(Deadline::NEVER, |fragment| Deadline::after(fragment.arrived_at, QUIET))
    }

    /// Returns whether the fragment is complete if nothing more is readable at `now`.
    pub(super) fn may_finish(&self, now: MonoTime) -> bool {
        let fragment = self.fragment.as_ref();
        fragment.is_some_and(|fragment| fragment.ends_line || QUIET <= now - fragment.arrived_at)
    }

    /// Returns whether the fragment is a reply whose bytes so far have arrived by `deadline`. If a
    /// silence then completes it, it has arrived in time.
    pub(super) fn is_reply_in_time(&self, deadline: Deadline) -> bool {
        let fragment = self.fragment.as_ref();
        fragment.is_some_and(|fragment| fragment.is_reply && deadline.includes(fragment.arrived_at))
    }

    /// Takes data that has arrived at `now`, and passes it on with its kind.
    pub(super) fn receive<E>(
        &mut self,
        bytes: &[u8],
        now: MonoTime,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.has_received = true;
        self.arrived_bytes = self.arrived_bytes.saturating_add(bytes.len());
        if !self.is_stream() {
            let kind = self.match_message(bytes, now);
            return on_received(Received { bytes, kind });
        }
        let rest = self.take_echoes(bytes, now, on_received)?;
        if rest.is_empty() {
            return Ok(());
        }
        let is_reply =
            self.fragment.as_ref().map_or_else(|| self.expects_any(), |fragment| fragment.is_reply);
        self.fragment = Some(Fragment { arrived_at: now, ends_line: rest.ends_with(b"\n"), is_reply });
        on_received(Received { bytes: rest, kind: ReceivedKind::Fragment })
    }

    /// Ends the fragment, if there is one.
    pub(super) fn finish_fragment<E>(
        &mut self,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(fragment) = self.fragment.take() else { return Ok(()) };
        let mut kind = ReceivedKind::Unexpected;
        if fragment.is_reply {
            let last = self.last_number();
            kind = last.map_or(kind, |number| self.take(number, fragment.arrived_at).0);
            // It is the one reply to all that was sent before it.
            while self.requests.forget_oldest().is_some() {}
        }
        on_received(Received { bytes: b"", kind })
    }

    fn is_stream(&self) -> bool {
        self.transport.kind() == Kind::Stream
    }

    /// Returns the requests without a reply, the oldest first.
    fn remembered(&self) -> impl Iterator<Item = (u64, &Request)> {
        self.requests.given_up().chain(self.requests.iter())
    }

    fn last_number(&self) -> Option<u64> {
        self.remembered().last().map(|(number, _)| number)
    }

    /// Forgets the oldest requests until a message of this length fits.
    fn limit_memory(&mut self, len: usize) {
        let mut bytes = self.remembered().fold(len, |bytes, (_, request)| bytes + request.message.len());
        while REMEMBERED_BYTES_MAX < bytes {
            let Some(oldest) = self.requests.forget_oldest() else { break };
            bytes -= oldest.message.len();
        }
    }

    /// Ends the request with this number, and returns what its reply is.
    fn take(&mut self, number: u64, now: MonoTime) -> (ReceivedKind, Option<Box<[u8]>>) {
        match self.requests.take(number) {
            Match::InTime(request) => (ReceivedKind::Reply(now - request.sent_at), Some(request.message)),
            Match::Late(request) => (ReceivedKind::LateReply(now - request.sent_at), Some(request.message)),
            Match::Duplicate | Match::Unexpected => (ReceivedKind::Unexpected, None),
        }
    }

    /// Takes the echoes at the beginning of a stream's data, and returns the rest. Data that
    /// arrives while no reply is expected is not an echo, and does not show that the peer is not an
    /// echo server.
    fn take_echoes<'a, E>(
        &mut self,
        bytes: &'a [u8],
        now: MonoTime,
        on_received: &mut impl FnMut(Received<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        let is_echo_possible = self.fragment.is_none() && self.expects_any();
        let Some(reader) = self.echo.as_mut().filter(|_| is_echo_possible) else { return Ok(bytes) };
        let mut ends = Vec::new();
        let is_echo = reader.receive(bytes, |echo| ends.push(echo.end)).is_ok();
        if !is_echo {
            // What follows the last echo is a part of the peer's own reply.
            self.echo = None;
            ends.pop();
        }
        let mut start = 0;
        for end in ends {
            let oldest = self.remembered().next().map(|(number, _)| number);
            let kind = oldest.map_or(ReceivedKind::Unexpected, |number| self.take(number, now).0);
            on_received(Received { bytes: &bytes[start..end], kind })?;
            start = end;
        }
        let rest = &bytes[start..];
        if is_echo && !rest.is_empty() {
            on_received(Received { bytes: rest, kind: ReceivedKind::Fragment })?;
        }
        Ok(if is_echo { &[] } else { rest })
    }

    /// Returns the kind of a whole message.
    fn match_message(&mut self, reply: &[u8], now: MonoTime) -> ReceivedKind {
        let Some((_, current)) = self.remembered().last() else { return ReceivedKind::Unexpected };
        let is_repeated = |last: &LastEcho| *last.reply == *reply && last.message != current.message;
        if self.last_echo.as_ref().is_some_and(is_repeated) {
            return ReceivedKind::Unexpected;
        }
        let Some(number) = self.request_of(reply) else { return ReceivedKind::Unexpected };
        let (kind, message) = self.take(number, now);
        if let Some(message) = message {
            let is_echo = !message.is_empty() && reply.ends_with(&message);
            self.is_echo_server |= is_echo;
            self.last_echo = is_echo.then(|| LastEcho { message, reply: reply.into() });
        }
        kind
    }

    /// Returns the request that a whole message is the reply to: the longest message that the reply
    /// ends with, and the last of equal ones.
    ///
    /// An empty message matches an empty reply, and any reply of an echo server that matches no
    /// other request. Anything else that a connected peer sends is the reply to the last request.
    fn request_of(&self, reply: &[u8]) -> Option<u64> {
        let is_in_reply = |message: &[u8]| !message.is_empty() && reply.ends_with(message);
        let echoed = self.remembered().filter(|(_, request)| is_in_reply(&request.message));
        let echoed = echoed.max_by_key(|(_, request)| request.message.len()).map(|(number, _)| number);
        let empty = self.remembered().filter(|(_, request)| request.message.is_empty()).last();
        let empty = empty.map(|(number, _)| number);
        if self.transport.receives_from_any() {
            return echoed.or(empty);
        }
        let empty = empty.filter(|_| reply.is_empty() || self.is_echo_server);
        echoed.or(empty).or_else(|| self.last_number())
    }
}

#[cfg(test)]
mod tests {
    use echosounder_socket::Endpoint;

    use super::*;

    const RTT: Duration = Duration::from_millis(7);

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_millis(millis))
    }

    fn matcher(endpoint: &str) -> ReplyMatcher {
        ReplyMatcher::new(endpoint.parse::<Endpoint>().unwrap().transport())
    }

    fn send(matcher: &mut ReplyMatcher, message: &[u8]) {
        matcher.start_request(message, at(0));
    }

    /// Returns the kind of the bytes, and whether the last reply is still awaited.
    fn receive(matcher: &mut ReplyMatcher, bytes: &[u8]) -> (ReceivedKind, bool) {
        let mut kind = None;
        let mut on_received = |received: Received<'_>| {
            kind = Some(received.kind);
            Ok::<(), ()>(())
        };
        matcher.receive(bytes, at(7), &mut on_received).unwrap();
        (kind.unwrap(), !matcher.is_complete())
    }

    const REPLY: ReceivedKind = ReceivedKind::Reply(RTT);
    const LATE: ReceivedKind = ReceivedKind::LateReply(RTT);
    const UNEXPECTED: ReceivedKind = ReceivedKind::Unexpected;

    #[test]
    fn late_reply_does_not_end_the_wait_for_the_last_one() {
        for endpoint in ["udp://localhost:7", "unix-seqpacket:@a", "tcp://localhost:7"] {
            let mut matcher = matcher(endpoint);
            for message in [b"L1", b"L2", b"L3"] {
                send(&mut matcher, message);
            }
            let kinds = [&b"L1"[..], b"L2", b"L3"].map(|reply| receive(&mut matcher, reply));
            assert_eq!(kinds, [(LATE, true), (LATE, true), (REPLY, false)], "{endpoint}");
        }
    }

    #[test]
    fn second_copy_of_a_late_reply_is_unexpected() {
        let mut matcher = matcher("udp://localhost:7");
        send(&mut matcher, b"one");
        send(&mut matcher, b"two");
        assert_eq!(receive(&mut matcher, b"[now] two"), (REPLY, false));
        send(&mut matcher, b"three");
        assert_eq!(receive(&mut matcher, b"[now] one"), (LATE, true));
        assert_eq!(receive(&mut matcher, b"[now] one"), (UNEXPECTED, true));
        assert_eq!(receive(&mut matcher, b"[now] three"), (REPLY, false));
    }

    #[test]
    fn late_reply_does_not_match_an_empty_message() {
        for stamp in ["", "[now] "] {
            let mut matcher = matcher("udp://localhost:7");
            let reply = |text: &str| format!("{stamp}{text}").into_bytes();
            send(&mut matcher, b"a");
            send(&mut matcher, b"");
            assert_eq!(receive(&mut matcher, &reply("a")), (LATE, true));
            send(&mut matcher, b"bb");
            assert_eq!(receive(&mut matcher, &reply("")), (LATE, true));
            assert_eq!(receive(&mut matcher, &reply("bb")), (REPLY, false));
            send(&mut matcher, b"");
            assert_eq!(receive(&mut matcher, &reply("")), (REPLY, false));
        }
    }

    #[test]
    fn reply_matches_the_longest_message_that_it_ends_with() {
        let mut matcher = matcher("udp://localhost:7");
        send(&mut matcher, b"11");
        send(&mut matcher, b"1");
        assert_eq!(receive(&mut matcher, b"11"), (LATE, true));
        send(&mut matcher, b"21");
        assert_eq!(receive(&mut matcher, b"21"), (REPLY, false));
        assert_eq!(receive(&mut matcher, b"1"), (LATE, false));
    }

    #[test]
    fn reply_without_a_message_in_it_matches_the_last_request() {
        let mut matcher = matcher("udp://localhost:7");
        send(&mut matcher, b"one");
        send(&mut matcher, b"two");
        assert_eq!(receive(&mut matcher, b"ERROR"), (REPLY, false));
    }

    #[test]
    fn number_and_bytes_of_remembered_requests_are_bounded() {
        let mut matcher = matcher("udp://localhost:7");
        (0..2 * REMEMBERED_MAX).for_each(|_| send(&mut matcher, b"x"));
        assert_eq!(matcher.remembered().count(), REMEMBERED_MAX);
        send(&mut matcher, &vec![b'x'; REMEMBERED_BYTES_MAX]);
        assert_eq!(matcher.remembered().count(), 1);
    }

    #[test]
    fn cancelled_request_awaits_no_reply() {
        let mut matcher = matcher("udp://localhost:7");
        send(&mut matcher, b"one");
        matcher.cancel_request();
        assert!(matcher.is_complete() && !matcher.expects_any());
        send(&mut matcher, b"two");
        assert_eq!(receive(&mut matcher, b"two"), (REPLY, false));
    }

    #[test]
    fn reply_that_is_not_an_echo_ends_with_a_newline_or_silence() {
        let mut matcher = matcher("tcp://localhost:7");
        send(&mut matcher, b"HELO me\r\n");
        assert_eq!(receive(&mut matcher, b"250 hel"), (ReceivedKind::Fragment, true));
        assert!(!matcher.may_finish(at(7)) && matcher.may_finish(at(307)));
        assert_eq!(receive(&mut matcher, b"lo\r\n"), (ReceivedKind::Fragment, true));
        assert!(matcher.may_finish(at(7)));
        let mut last = None;
        let mut on_received = |received: Received<'_>| {
            last = Some(received.kind);
            Ok::<(), ()>(())
        };
        matcher.finish_fragment(&mut on_received).unwrap();
        assert_eq!((last, matcher.is_complete()), (Some(REPLY), true));
    }
}
