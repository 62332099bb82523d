//! The sending side of a generator.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use echosounder_proto::Clock;
use echosounder_socket::{Address, Kind, is_out_of_resources};

use super::generator::Generator;
use super::inbox::BATCH_MAX;
use super::options::SizeRange;
use super::phase::SWEEP_EVERY;
use super::recorder::Request;
use super::refusals::Failure;
use crate::error::{Operation, failure_kind, send_twice};
use crate::nonblocking::is_transient;

/// The maximum number of messages of an open loop that are sent before replies are received.
pub(super) const BURST_MAX: usize = 256;

/// Messages are sent in one go until they have so many bytes.
const BURST_MAX_BYTES: usize = 256 * 1024;

impl<C: Clock> Generator<C> {
    /// Sends the messages of an open loop that are due, and returns the time until the next.
    pub(super) fn send_scheduled(&mut self) -> Result<Duration, Failure> {
        for _ in 0..BURST_MAX {
            let Some(due) = self.schedule.as_ref().map(|schedule| schedule.due()) else {
                return Ok(SWEEP_EVERY);
            };
            let now = self.elapsed();
            if now < due {
                return Ok(due - now);
            }
            if !self.may_send(due) {
                return Ok(SWEEP_EVERY);
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
            self.recorder.record_send_delay(due, now);
            let index = self.next_open_connection();
            self.send_one(index, due)?;
        }
        Ok(Duration::ZERO)
    }

    /// Returns the next connection in turn that is open, if any is.
    fn next_open_connection(&mut self) -> usize {
        loop {
            let index = self.next_connection;
            self.next_connection = (self.next_connection + 1) % self.connections.len();
            if self.connections[index].is_open() || self.open == 0 {
                return index;
            }
        }
    }

    /// Sends a message of an open loop, unless the connection's backlog is full.
    fn send_one(&mut self, index: usize, due: Duration) -> Result<(), Failure> {
        let connection = &self.connections[index];
        if !connection.is_open() {
            return Ok(());
        }
        if self.plan.backlog_max_bytes < connection.backlog_bytes() {
            self.silent_since.get_or_insert(due);
            self.recorder.record_skipped(due);
            return Ok(());
        }
        self.outbox.clear();
        self.prepare_message(index, due);
        let rejected = self.send_outbox(index)?;
        self.recorder.counts.skipped += self.take_back(index, rejected);
        Ok(())
    }

    /// Makes `count` more messages of a closed loop due, and sends them.
    pub(super) fn enqueue(&mut self, index: usize, count: usize) -> Result<(), Failure> {
        self.connections[index].to_send += count;
        self.send_pending(index)
    }

    /// Sends the messages of a closed loop that are due, in as few system calls as possible, until
    /// the kernel accepts no more.
    pub(super) fn send_pending(&mut self, index: usize) -> Result<(), Failure> {
        let now = self.elapsed();
        loop {
            self.outbox.clear();
            let connection = &self.connections[index];
            let to_send = connection.to_send;
            let is_blocked = connection.has_unsent() || self.shared.is_stopped();
            while self.outbox.len() < to_send
                && !is_blocked
                && self.outbox.bytes().len() < BURST_MAX_BYTES
                && self.may_send(now)
            {
                self.prepare_message(index, now);
            }
            if self.outbox.is_empty() || !self.connections[index].is_open() {
                if to_send != 0 && is_blocked {
                    self.silent_since.get_or_insert(now);
                }
                return Ok(());
            }
            self.connections[index].to_send -= self.outbox.len();
            let rejected = self.send_outbox(index)?;
            if rejected != 0 {
                self.take_back(index, rejected);
                self.connections[index].to_send += rejected;
                return Ok(());
            }
        }
    }

    /// Returns the number and the length of the next message.
    pub(super) fn next_message(&mut self) -> (u64, usize) {
        let SizeRange { min, max } = self.plan.sizes;
        let len = if min == max { min } else { self.random.between(min, max) };
        let number = self.next_number;
        self.next_number += 1;
        (number, len)
    }

    /// Adds a message to the outbox.
    fn prepare_message(&mut self, index: usize, due: Duration) {
        let (number, len) = self.next_message();
        let message = self.outbox.push(number, len);
        let connection = &mut self.connections[index];
        if self.kind == Kind::Stream && connection.finder.is_none() {
            connection.reader.sent(message);
        }
        connection.insert(number, Request { due, len });
        self.recorder.record_sent(number, due);
        self.silent_since.get_or_insert(due);
    }

    /// Sends the messages of the outbox, and returns how many of the last ones the kernel has not
    /// accepted. A stream keeps what the kernel does not accept.
    fn send_outbox(&mut self, index: usize) -> Result<usize, Failure> {
        self.shared.sent.fetch_add(self.outbox.len() as u64, Ordering::Relaxed);
        match self.kind {
            Kind::Stream => self.write(index).map(|()| 0),
            Kind::Messages => self.send_messages(index),
            Kind::Datagrams => self.send_datagrams(index),
        }
    }

    /// Takes back the last messages that were not sent after all, and returns how many of them are
    /// measured.
    fn take_back(&mut self, index: usize, count: usize) -> u64 {
        self.shared.sent.fetch_sub(count as u64, Ordering::Relaxed);
        let mut measured = 0;
        for _ in 0..count {
            if let Some((number, _)) = self.connections[index].take_back_last() {
                measured += u64::from(self.recorder.take_back_sent(number));
            }
        }
        measured
    }

    pub(super) fn write(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        let now = || self.clock.mono();
        match connection.write(self.outbox.bytes(), &mut self.send_starvation, now) {
            Ok(()) if connection.has_unsent() => Ok(self.poll_writable(index, true)?),
            Ok(()) => Ok(()),
            Err(error) => self.connection_failed(index, Operation::Send, error),
        }
    }

    /// Writes the unsent bytes of a stream, and then the messages that are due.
    pub(super) fn flush(&mut self, index: usize) -> Result<(), Failure> {
        if self.connections[index].is_setting_up {
            return self.go_on_with_setup(index);
        }
        let now = || self.clock.mono();
        if let Err(error) = self.connections[index].flush(&mut self.send_starvation, now) {
            return self.connection_failed(index, Operation::Send, error);
        }
        if !self.connections[index].is_open() || self.connections[index].has_unsent() {
            return Ok(());
        }
        self.poll_writable(index, false)?;
        self.send_pending(index)
    }

    /// Sends each message with a call of its own, on a connection that preserves message
    /// boundaries.
    fn send_messages(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(socket) = &self.connections[index].socket else { return Ok(0) };
        let count = self.outbox.len();
        let sent = self.outbox.messages().map(|message| socket.send(message));
        let failed = sent.enumerate().find_map(|(place, sent)| sent.err().map(|error| (place, error)));
        if failed.as_ref().is_none_or(|(place, _)| *place != 0) {
            self.send_starvation.end();
        }
        match failed {
            Some((place, error)) => self.send_failed(index, count - place, error),
            None => Ok(0),
        }
    }

    /// Sends each message as a datagram, in as few system calls as possible.
    fn send_datagrams(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(socket) = &self.connections[index].socket else { return Ok(0) };
        if self.outbox.len() == 1 {
            let (sent, earlier) = send_twice(self.kind, || socket.send(self.outbox.bytes()));
            earlier.into_iter().for_each(|_| self.count_network_error());
            return match sent {
                Ok(_) => {
                    self.send_starvation.end();
                    Ok(0)
                }
                Err(error) => self.send_failed(index, 1, error),
            };
        }
        let (mut network_errors, mut failed) = (0, None);
        self.outbox.with_datagrams(|datagrams| {
            let mut left = datagrams;
            while !left.is_empty() && failed.is_none() {
                let batch = &left[..left.len().min(BATCH_MAX)];
                let (sent, earlier) = send_twice(self.kind, || socket.send_many(batch));
                network_errors += usize::from(earlier.is_some());
                match sent {
                    Ok(sent) => left = &left[sent.max(1)..],
                    Err(error) => failed = Some((left.len(), error)),
                }
            }
        });
        (0..network_errors).for_each(|_| self.count_network_error());
        if failed.as_ref().is_none_or(|(left, _)| *left < self.outbox.len()) {
            self.send_starvation.end();
        }
        match failed {
            Some((count, error)) => self.send_failed(index, count, error),
            None => Ok(0),
        }
    }

    /// Notes that a send lacks memory. Fails if none has succeeded for too long.
    pub(super) fn note_send_starvation(&mut self, error: io::Error) -> Result<(), Failure> {
        let noted = self.send_starvation.note(self.clock.mono(), error);
        noted.map_err(|error| Failure::Socket { operation: Operation::Send, error })
    }

    /// Handles an error of a send: the last `count` messages were not sent now, or never will be.
    /// Returns how many of them the caller must send again.
    fn send_failed(&mut self, index: usize, count: usize, error: io::Error) -> Result<usize, Failure> {
        if is_transient(&error) {
            if is_out_of_resources(&error) {
                self.note_send_starvation(error)?;
            }
            // Netlink and TIPC sockets for datagrams do not become writable again; the next sweep
            // tries.
            let reports_space = self.kind == Kind::Messages
                || matches!(self.plan.address, Address::Unix(_) | Address::Inet(_) | Address::Inet6(_));
            self.poll_writable(index, self.plan.is_closed_loop() && reports_space)?;
            return Ok(count);
        }
        if self.kind == Kind::Messages {
            return self.connection_failed(index, Operation::Send, error).map(|()| 0);
        }
        if failure_kind(Operation::Send, &error, &self.plan.address).is_none() {
            return Err(Failure::Socket { operation: Operation::Send, error });
        }
        self.connections[index].is_failing = true;
        self.datagram_refused(index, Operation::Send, error).map(|()| count)
    }
}
