//! The echo service: everything that a reply depends on beside the message itself.
//!
//! An [`EchoService`] owns the [`Responder`], the clock, the rendered time, the counters and the
//! observer of one worker. Connections and datagrams both get their replies from it. It does no
//! input or output.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use echosounder_proto::{
    Clock, DropReason, Framing, HeaderFields, Input, Moment, MonoTime, Responder, StampContext, WallTime,
};
use echosounder_socket::Address;

use crate::counters::Counters;
use crate::event::{Observer, ServerEvent};
use crate::failures::FailureReports;
use crate::stamp_cache::StampCache;

/// Makes the replies of one worker, and counts and reports them.
#[derive(Debug)]
pub struct EchoService<C, O> {
    /// The responder for connections that carry a stream.
    streams: Responder,
    /// The responder for sockets that preserve message boundaries.
    messages: Responder,
    host: Arc<str>,
    stamp_cache: StampCache,
    clock: C,
    /// When the current turn began.
    now: Moment,
    counters: Arc<Counters>,
    observer: O,
    wants_messages: bool,
    reports: FailureReports,
}

/// Input on a connection.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) peer: &'a Address,
    /// The local address, if timestamps show it.
    pub(crate) local: Option<&'a Address>,
    pub(crate) is_message: bool,
    pub(crate) bytes: &'a [u8],
    pub(crate) input: Input,
    /// When the bytes were received.
    pub(crate) arrival: Moment,
    /// The number of messages of this connection that were replied to before.
    pub(crate) seq: u64,
}

impl Request<'_> {
    /// Returns whether this is a message without content. An empty read from a stream is its end
    /// and no message.
    pub(crate) fn is_empty_message(&self) -> bool {
        self.is_message && self.bytes.is_empty() && self.input == Input::More
    }
}

/// How far a reply has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes of the input that were replied to.
    pub(crate) consumed: usize,
    /// The number of messages of the connection that were replied to, these included.
    pub(crate) seq: u64,
}

/// The addresses and times of a datagram.
#[derive(Clone, Copy)]
pub(crate) struct DatagramContext<'a> {
    pub(crate) peer: &'a Address,
    pub(crate) local: &'a Address,
    /// When the reply is sent.
    pub(crate) tx: WallTime,
    /// The number of datagrams that this socket replied to before.
    pub(crate) seq: u64,
    /// The header fields, if they are known.
    pub(crate) header: Option<HeaderFields>,
}

impl<C: Clock, O: Observer> EchoService<C, O> {
    /// Creates a service that replies with `responder`, whose templates show `host` as this
    /// machine's name.
    pub fn new(responder: Responder, host: Arc<str>, clock: C, observer: O) -> Self {
        let now = clock.now();
        Self {
            stamp_cache: StampCache::new(now.wall, &responder.stamp, &host),
            messages: Responder { framing: Framing::Message, ..responder.clone() },
            streams: responder,
            host,
            clock,
            now,
            counters: Arc::default(),
            wants_messages: observer.wants_messages(),
            observer,
            reports: FailureReports::default(),
        }
    }

    /// Returns the service's counters, which other threads may read.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Reads the clock at the beginning of a turn.
    pub(crate) fn begin_turn(&mut self) {
        self.now = self.clock.now();
        self.stamp_cache.set(self.now.wall);
    }

    /// Returns when the current turn began.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Returns the responder for messages or for streams.
    pub(crate) fn responder(&self, is_message: bool) -> &Responder {
        if is_message { &self.messages } else { &self.streams }
    }

    /// Returns the time at which `bytes` were received: the beginning of the turn, or the current
    /// time if a reply shows it exactly.
    pub(crate) fn arrival(&self, is_message: bool, bytes: &[u8]) -> Moment {
        match self.responder(is_message).needs_exact_time(bytes) {
            true => self.clock.now(),
            false => self.now,
        }
    }

    /// Appends the replies to `request` to `out`. It leaves unfinished frames, and frames whose
    /// replies would make the output too long for one turn; see [`Responder::respond`].
    pub(crate) fn reply(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Progress {
        let Self { streams, messages, observer, .. } = self;
        let responder = if request.is_message { messages } else { streams };
        let arrival = request.arrival;
        let exact = arrival != self.now;
        let mut context = StampContext {
            local_time: self.stamp_cache.time(),
            rx: arrival.wall,
            tx: if exact { arrival.wall_at(self.clock.now().mono) } else { arrival.wall },
            peer: request.peer,
            local: request.local.map_or(&"", |local| local as &dyn Display),
            host: &self.host,
            seq: request.seq,
            stamp: self.stamp_cache.prefix(),
            header: None,
        };
        let mut report = |bytes: &[u8]| {
            if self.wants_messages {
                observer.observe(ServerEvent::Message { peer: request.peer, bytes });
            }
        };
        let consumed = if request.is_empty_message() {
            report(request.bytes);
            responder.respond_to_empty(&mut context, out);
            0
        } else {
            responder.respond(request.bytes, request.input, &mut context, out, &mut report)
        };
        Progress { consumed, seq: context.seq }
    }

    /// Returns the transmit time of datagrams that were received at the beginning of the turn.
    pub(crate) fn transmit_time(&self, exact: bool) -> WallTime {
        if exact { self.now.wall_at(self.clock.now().mono) } else { self.now.wall }
    }

    /// Prepares the reply to a datagram: the prefix, followed by `message`, whose timestamp
    /// placeholder is filled in. `admit` decides by the length of the prefix and the time whether
    /// there is a reply.
    pub(crate) fn reply_to_datagram(
        &mut self,
        message: &mut [u8],
        datagram: DatagramContext<'_>,
        prefix: &mut Vec<u8>,
        admit: impl FnOnce(usize, MonoTime) -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        let DatagramContext { peer, local, tx, seq, header } = datagram;
        let mut context = StampContext {
            local_time: self.stamp_cache.time(),
            rx: self.now.wall,
            tx,
            peer,
            local,
            host: &self.host,
            seq,
            stamp: self.stamp_cache.prefix(),
            header,
        };
        self.messages.prefix_of_datagram(message, &mut context, prefix);
        admit(prefix.len(), self.now.mono)?;
        if self.wants_messages {
            self.observer.observe(ServerEvent::Message { peer, bytes: message });
        }
        Responder::fill_placeholder(message, &context);
        Ok(())
    }

    /// Returns whether timestamps show addresses.
    pub(crate) fn uses_addresses(&self) -> bool {
        self.streams.stamp.uses_addresses()
    }

    /// Passes an event to the observer.
    pub(crate) fn observe(&mut self, event: ServerEvent<'_>) {
        self.observer.observe(event);
    }

    /// Counts dropped messages.
    pub(crate) fn add_drops(&self, reason: DropReason, messages: u64) {
        self.counters.add_drops(reason, messages);
    }

    /// Reports a failed operation, unless it was reported a short time ago.
    pub(crate) fn report(&mut self, operation: &'static str, error: &io::Error) {
        if self.reports.is_due(operation, self.now.mono) {
            self.observer.observe(ServerEvent::Error { operation, error });
        }
    }
}
