//! The link for datagrams.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use echosounder_socket::{Events, Interest, Poll, Socket};

use super::form::MessageForm;
use super::{Fate, Log, nanos, now, receive, wait};

/// A datagram that waits. The one that is due first leaves first, and among equals the one that
/// came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Duration,
    order: u64,
    is_request: bool,
    bytes: Vec<u8>,
}

pub(super) struct DatagramLink<F> {
    /// The socket that the client sends to.
    facing: Socket,
    /// The socket that is connected to the server.
    beyond: Socket,
    client: Option<SocketAddr>,
    form: MessageForm,
    decide: F,
    /// The socket stays open for the replies, and for requests that are sent twice.
    fates: BTreeMap<u64, Fate>,
    held: BinaryHeap<Reverse<Held>>,
    received: u64,
    log: Log,
}

impl<F: FnMut(u64) -> Fate> DatagramLink<F> {
    pub(super) fn new(facing: Socket, beyond: Socket, form: MessageForm, decide: F) -> Self {
        let (fates, held) = (BTreeMap::new(), BinaryHeap::new());
        Self { facing, beyond, client: None, form, decide, fates, held, received: 0, log: Log::default() }
    }

    pub(super) fn run(mut self, stop: &AtomicBool) -> Log {
        let (poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(4));
        poll.add(&self.facing, 0, Interest::READ).unwrap();
        poll.add(&self.beyond, 1, Interest::READ).unwrap();
        let mut buffer = [0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            let due = self.held.peek().map(|Reverse(held)| held.due);
            wait(&poll, &mut events, due);
            while let Some(arrival) = receive(&self.facing, &mut buffer) {
                self.client = arrival.from;
                self.hold(true, &buffer[..arrival.len], arrival.time);
            }
            while let Some(arrival) = receive(&self.beyond, &mut buffer) {
                self.hold(false, &buffer[..arrival.len], arrival.time);
            }
            while self.held.peek().is_some_and(|Reverse(held)| held.due <= now()) {
                let Reverse(held) = self.held.pop().unwrap();
                self.forward(&held);
            }
        }
        self.log
    }

    fn hold(&mut self, is_request: bool, bytes: &[u8], time: Duration) {
        let read = if is_request { self.form.request_number } else { self.form.reply_number };
        let number = read(bytes).unwrap();
        let fate = *self.fates.entry(number).or_insert_with(|| (self.decide)(number));
        let request = self.log.requests.entry(number).or_default();
        let passage = if is_request {
            request.arrived_ns = nanos(time);
            fate.up
        } else {
            request.server_ns = request.server_ns.or_else(|| (self.form.server_times)(bytes));
            fate.down
        };
        for _ in 0..passage.copies {
            self.received += 1;
            let (due, order, bytes) = (time + passage.delay, self.received, bytes.to_vec());
            self.held.push(Reverse(Held { due, order, is_request, bytes }));
        }
    }

    fn forward(&mut self, held: &Held) {
        if held.is_request {
            // The test may have ended the server.
            let _ = self.beyond.send(&held.bytes);
            return;
        }
        let number = (self.form.reply_number)(&held.bytes).unwrap();
        let before = nanos(now());
        if self.facing.send_to(&held.bytes, self.client.unwrap()).is_ok() {
            self.log.requests.entry(number).or_default().replied_ns.push(before..=nanos(now()));
            self.log.replies.push(number);
        }
    }
}
