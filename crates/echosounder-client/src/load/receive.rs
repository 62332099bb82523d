//! The receiving side of a generator: every reply is matched with its message.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use echosounder_proto::{Clock, Finder, Match, Payload, Returned};
use echosounder_socket::{Kind, is_out_of_resources};

use super::generator::{AfterReply, Generator};
use super::inbox::read_reply;
use super::phase::SWEEP_EVERY;
use super::refusals::Failure;
use crate::error::{Operation, is_about_earlier};
use crate::nonblocking::would_block;

/// A peer that sends more bytes than this in one read, but no message back, is not an echo server.
/// Fewer may be a greeting.
const GREETING_MAX: usize = 1024;

impl<C: Clock> Generator<C> {
    /// Waits at most `wait_max` for events and handles them.
    pub(super) fn receive(&mut self, wait_max: Duration) -> Result<(), Failure> {
        self.poll.wait_precise(&mut self.events, wait_max.min(SWEEP_EVERY))?;
        let mut handled = 0;
        while let Some(event) = self.events.get(handled) {
            handled += 1;
            let index = usize::try_from(event.token).unwrap_or(usize::MAX);
            if event.ready.can_write() && self.connections[index].polls_writable() {
                self.flush(index)?;
            }
            if event.ready.can_read() {
                self.receive_from(index)?;
            }
        }
        Ok(())
    }

    /// Receives once from a connection, and sends the next messages of a closed loop.
    fn receive_from(&mut self, index: usize) -> Result<(), Failure> {
        let replies = match self.kind {
            Kind::Stream => self.receive_stream(index)?,
            Kind::Messages => self.receive_message(index)?,
            Kind::Datagrams => self.receive_datagrams(index)?,
        };
        if replies == 0 {
            return Ok(());
        }
        self.shared.answered.fetch_add(replies as u64, Ordering::Relaxed);
        self.silent_since = None;
        self.refusals.clear();
        let connection = &mut self.connections[index];
        (connection.is_refused, connection.is_failing) = (false, false);
        match self.after_reply {
            AfterReply::Send => self.enqueue(index, replies),
            AfterReply::Wait => Ok(()),
            AfterReply::Close => self.exchange_answered(index),
        }
    }

    /// Receives bytes into the buffer, and returns their number; `None` if there are none now, or
    /// no more.
    fn receive_bytes(&mut self, index: usize) -> Result<Option<usize>, Failure> {
        let Some(socket) = &self.connections[index].socket else { return Ok(None) };
        match socket.recv(&mut self.inbox.buffer) {
            Ok(len @ 1..) => {
                self.receive_starvation.end();
                Ok(Some(len))
            }
            Ok(_) => self.connection_ended(index).map(|()| None),
            Err(error) if is_out_of_resources(&error) => self.starve(error).map(|()| None),
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => self.connection_failed(index, Operation::Receive, error).map(|()| None),
        }
    }

    /// Rests after a receive that lacks memory. Fails if none has succeeded for too long.
    fn starve(&mut self, error: io::Error) -> Result<(), Failure> {
        let now = self.mono();
        let rested = self.receive_starvation.rest(now, error);
        rested.map_err(|error| Failure::Socket { operation: Operation::Receive, error })
    }

    /// Receives from a stream, and returns how many messages have come back.
    fn receive_stream(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(len) = self.receive_bytes(index)? else { return Ok(0) };
        let now = self.elapsed();
        if self.connections[index].finder.is_some() {
            let bytes = self.inbox.buffer[..len].to_vec();
            return self.search_stream(index, &bytes, now);
        }
        let connection = &mut self.connections[index];
        let timestamps = &mut self.inbox.timestamps;
        timestamps.clear();
        let read = connection
            .reader
            .receive(&self.inbox.buffer[..len], |echo| timestamps.push(echo.stamp.is_some()));
        for &has_timestamp in &*timestamps {
            // The messages of a stream come back in their order.
            if let Some((number, request)) = connection.take_first() {
                self.recorder.record_reply(number, &request, has_timestamp, now);
            }
        }
        let replies = timestamps.len();
        connection.has_echoed |= replies != 0;
        if read.is_ok() {
            return Ok(replies);
        }
        let payload = Payload::new(self.plan.sizes.min);
        if connection.has_echoed || !payload.can_be_found() {
            // Nothing that follows can be matched.
            self.recorder.counts.unexpected += 1;
            return self.close(index).map(|()| replies);
        }
        connection.finder = Some(Finder::after(&connection.reader, payload, connection.first()));
        let unread = connection.reader.unread().to_vec();
        self.search_stream(index, &unread, now).map(|found| replies + found)
    }

    /// Searches bytes of a stream that the reader cannot follow, and returns how many messages have
    /// come back.
    fn search_stream(&mut self, index: usize, bytes: &[u8], now: Duration) -> Result<usize, Failure> {
        let Some((finder, requests)) = self.connections[index].finder_and_requests() else { return Ok(0) };
        let len = |number| requests.get(number).map_or(0, |request| request.len);
        let mut found = Vec::new();
        finder.receive(bytes, self.next_number, len, |message| found.push(message));
        if finder.has_found_nothing() && GREETING_MAX < bytes.len() {
            self.close(index)?;
        }
        let mut replies = 0;
        for message in found {
            match self.connections[index].take(message.number) {
                Match::InTime(request) => {
                    replies += 1;
                    self.recorder.record_reply(message.number, &request, message.stamp.is_some(), now);
                }
                Match::Late(_) | Match::Duplicate | Match::Unexpected => {
                    self.recorder.counts.duplicate += 1;
                }
            }
        }
        Ok(replies)
    }

    /// Receives a message, and returns how many requests it replies to: one or none.
    fn receive_message(&mut self, index: usize) -> Result<usize, Failure> {
        let Some(len) = self.receive_bytes(index)? else { return Ok(0) };
        let now = self.elapsed();
        let reply = read_reply(&self.inbox.buffer[..len], self.next_number, &mut self.inbox.scratch);
        Ok(usize::from(self.match_reply(index, reply, now)))
    }

    /// Receives a batch of datagrams, and returns how many requests they reply to.
    fn receive_datagrams(&mut self, index: usize) -> Result<usize, Failure> {
        let (Some(socket), Some(batch)) = (&self.connections[index].socket, &mut self.inbox.batch) else {
            return Ok(0);
        };
        let received = match socket.recv_many(batch) {
            Ok(received) => received,
            Err(error) if is_out_of_resources(&error) => return self.starve(error).map(|()| 0),
            Err(error) if would_block(&error) => return Ok(0),
            Err(error) if is_about_earlier(self.kind, &error) => {
                return self.earlier_datagram_failed(index, error).map(|()| 0);
            }
            Err(error) => return Err(Failure::Socket { operation: Operation::Receive, error }),
        };
        self.receive_starvation.end();
        let now = self.elapsed();
        let mut replies = std::mem::take(&mut self.inbox.replies);
        replies.clear();
        if let Some(batch) = &mut self.inbox.batch {
            let next = self.next_number;
            let scratch = &mut self.inbox.scratch;
            replies.extend((0..received).map(|place| read_reply(batch.bytes(place), next, scratch)));
        }
        let matched = replies.iter().filter(|&&reply| self.match_reply(index, reply, now)).count();
        self.inbox.replies = replies;
        Ok(matched)
    }

    /// Matches a reply with its request, and returns whether the request was in flight.
    fn match_reply(&mut self, index: usize, reply: Option<Returned>, now: Duration) -> bool {
        let numbered = reply.and_then(|reply| Some((reply, reply.number(self.next_number)?)));
        let Some((reply, number)) = numbered else {
            // A socket that receives from anybody may receive anything.
            self.recorder.counts.unexpected += u64::from(!self.plan.transport.receives_from_any());
            return false;
        };
        let matched = self.connections[index].take(number);
        let has_timestamp = reply.stamp.is_some();
        match matched {
            Match::InTime(request) | Match::Late(request)
                if Payload::new(request.len).body_len() != reply.body_len =>
            {
                self.recorder.counts.unexpected += 1;
                if let Match::InTime(_) = matched {
                    self.recorder.record_given_up(number);
                }
            }
            Match::InTime(request) => self.recorder.record_reply(number, &request, has_timestamp, now),
            Match::Late(request) => {
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
                self.refusals.clear();
                self.recorder.record_late_reply(number, &request, has_timestamp, now);
            }
            // The number is one of ours. The table forgets requests that were given up long ago.
            Match::Duplicate | Match::Unexpected => {
                self.recorder.counts.duplicate += u64::from(self.recorder.is_measured(number));
            }
        }
        matches!(matched, Match::InTime(_))
    }
}
