//! A load that makes a new connection for each message, and closes it after the reply.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use echosounder_proto::{Clock, FailureKind};
use echosounder_socket::{Address, Kind, is_out_of_resources, option};

use super::connection::Connection;
use super::generator::Generator;
use super::histogram::nanos;
use super::phase::SWEEP_EVERY;
use super::recorder::Request;
use super::refusals::Failure;
use super::send::BURST_MAX;
use super::slots::Exchange;
use crate::connect::{connect_result, start_to_connect};
use crate::error::Operation;
use crate::nonblocking::{is_transient, would_block};

/// How long to wait before connecting again to a listener whose queue is full.
const FULL_QUEUE_REST: Duration = Duration::from_millis(1);

/// The beginnings of exchanges.
impl<C: Clock> Generator<C> {
    /// Begins the exchanges that are due and have a slot. Returns the time until the next is due.
    pub(super) fn begin_exchanges(&mut self) -> Result<Duration, Failure> {
        let idle = self.fresh.as_ref().map_or(0, |fresh| fresh.slots.idle_count());
        // An exchange that ends at once is not replaced before replies are received.
        for _ in 0..idle.min(BURST_MAX) {
            let now = self.elapsed();
            let due = self.schedule.as_ref().map_or(now, |schedule| schedule.due());
            if now < due {
                return Ok(due - now);
            }
            if !self.may_send(due) {
                return Ok(SWEEP_EVERY);
            }
            let is_scheduled = self.schedule.is_some();
            self.schedule.iter_mut().for_each(|schedule| schedule.advance());
            self.begin_exchange(is_scheduled.then_some(due))?;
        }
        let has_idle = self.fresh.as_ref().is_some_and(|fresh| fresh.slots.idle_count() != 0);
        Ok(if has_idle { Duration::ZERO } else { SWEEP_EVERY })
    }

    /// Goes on with the exchanges that no event brings forward: those whose listener had a full
    /// queue, and those whose time is over.
    pub(super) fn go_on_with_exchanges(&mut self) -> Result<(), Failure> {
        self.end_expired_exchanges()?;
        let Some(fresh) = &mut self.fresh else { return Ok(()) };
        let again = std::mem::take(&mut fresh.blocked);
        again.into_iter().try_for_each(|index| self.start_connection(index))
    }

    /// Returns how long to wait for events at most, so that listeners with a full queue are tried
    /// again.
    pub(super) fn exchange_wait_max(&self) -> Duration {
        match &self.fresh {
            Some(fresh) if !fresh.blocked.is_empty() => FULL_QUEUE_REST,
            _ => SWEEP_EVERY,
        }
    }

    /// Begins an exchange that was `due` then; in a closed loop, it is due when its socket is ready
    /// to connect.
    fn begin_exchange(&mut self, due: Option<Duration>) -> Result<(), Failure> {
        let Some(fresh) = &self.fresh else { return Ok(()) };
        let socket = fresh.candidates.socket(&self.plan.address).map_err(Failure::connect)?;
        if self.kind == Kind::Stream && self.plan.address.ip().is_some() {
            // Not every stream of a host has the option: SCTP does not.
            let _ = socket.set_option(option::TCP_NODELAY, true);
        }
        let (number, len) = self.next_message();
        let started = self.elapsed();
        let is_scheduled = due.is_some();
        let due = due.unwrap_or(started);
        let exchange = Exchange { number, len, due, started, established: None };
        let begun = self.fresh.as_mut().and_then(|fresh| fresh.slots.begin(exchange));
        let Some((index, could_begin)) = begun else { return Ok(()) };
        if is_scheduled && self.plan.warm_up <= due {
            self.recorder.record_send_delay(could_begin, started);
        }
        self.recorder.record_sent(number, due);
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
        self.silent_since.get_or_insert(due);
        let mut connection = Connection::new(socket);
        connection.insert(number, Request { due, len });
        self.connections[index] = connection;
        self.start_connection(index)
    }

    fn start_connection(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return Ok(()) };
        match start_to_connect(socket, &self.plan.address) {
            Ok(is_established) => {
                connection.start_polling(&self.poll, index as u64, !is_established)?;
                if is_established { self.connection_established(index) } else { Ok(()) }
            }
            Err(error) if matches!(self.plan.address, Address::Unix(_)) && would_block(&error) => {
                self.fresh.iter_mut().for_each(|fresh| fresh.blocked.push(index));
                Ok(())
            }
            Err(error) => self.exchange_failed(index, error),
        }
    }

    /// Goes on with a connection whose setup has waited for its socket.
    pub(super) fn go_on_with_setup(&mut self, index: usize) -> Result<(), Failure> {
        let Some(socket) = &self.connections[index].socket else { return Ok(()) };
        match connect_result(socket) {
            Ok(()) => self.connection_established(index),
            Err(error) => self.exchange_failed(index, error),
        }
    }

    /// Notes that a connection is established, and sends its message.
    fn connection_established(&mut self, index: usize) -> Result<(), Failure> {
        let now = self.elapsed();
        let Some(fresh) = &mut self.fresh else { return Ok(()) };
        if let Some(exchange) = fresh.slots.establish(index, now)
            && self.recorder.is_measured(exchange.number)
        {
            fresh.times.connect.saturating_record(nanos(now - exchange.due));
        }
        let Some(Exchange { number, len, .. }) = fresh.slots.get(index) else { return Ok(()) };
        self.outbox.clear();
        let message = self.outbox.push(number, len);
        let connection = &mut self.connections[index];
        if self.kind == Kind::Stream {
            connection.reader.sent(message);
            connection.is_setting_up = false;
            self.write(index)?;
            let has_unsent = self.connections[index].has_unsent();
            return Ok(self.poll_writable(index, has_unsent)?);
        }
        let Some(socket) = &connection.socket else { return Ok(()) };
        match socket.send(message) {
            Ok(_) => {
                self.send_starvation.end();
                connection.is_setting_up = false;
                Ok(self.poll_writable(index, false)?)
            }
            Err(error) if is_transient(&error) => {
                connection.is_setting_up = true;
                self.poll_writable(index, true)?;
                match is_out_of_resources(&error) {
                    true => self.note_send_starvation(error),
                    false => Ok(()),
                }
            }
            Err(error) => self.connection_failed(index, Operation::Send, error),
        }
    }
}

/// The ends of exchanges.
impl<C: Clock> Generator<C> {
    /// Counts a connection that failed, and ends its exchange; fails if this machine has failed.
    fn exchange_failed(&mut self, index: usize, error: io::Error) -> Result<(), Failure> {
        let Some(fresh) = &self.fresh else { return Ok(()) };
        let error = fresh.candidates.classify(&self.plan.address, error);
        let Some(kind) = error.failure_kind() else { return Err(Failure::connect(error)) };
        self.exchange(index).into_iter().for_each(|exchange| self.count_failed(exchange, kind));
        self.close(index)
    }

    /// Returns the exchange that is going on in a slot; `None` if connections are not made for each
    /// message.
    pub(super) fn exchange(&self, index: usize) -> Option<Exchange> {
        self.fresh.as_ref()?.slots.get(index)
    }

    /// Counts how a connection has failed, if it is measured.
    pub(super) fn count_failed(&mut self, exchange: Exchange, kind: FailureKind) {
        if !self.recorder.is_measured(exchange.number) {
            return;
        }
        let counts = &mut self.recorder.counts;
        *match kind {
            FailureKind::Refused => &mut counts.connections_refused,
            FailureKind::Timeout => &mut counts.connections_timed_out,
            FailureKind::Closed => &mut counts.connections_closed,
            FailureKind::Unreachable | FailureKind::Dns => &mut counts.connections_unreachable,
        } += 1;
    }

    /// Records the time of a reply, and ends its exchange.
    pub(super) fn exchange_answered(&mut self, index: usize) -> Result<(), Failure> {
        if let Some(fresh) = &mut self.fresh
            && let Some(exchange) = fresh.slots.get(index)
            && let Some(established) = exchange.established
            && self.recorder.is_measured(exchange.number)
        {
            // The reply was recorded just now.
            let reply = self.recorder.last_reply().saturating_sub(established);
            fresh.times.reply.saturating_record(nanos(reply));
        }
        self.close(index)
    }

    /// Ends the exchanges whose connection is not established, or whose reply has not arrived,
    /// within the timeout.
    fn end_expired_exchanges(&mut self) -> Result<(), Failure> {
        let now = self.elapsed();
        if self.fresh.is_none() || now < self.sweep.at + SWEEP_EVERY {
            return Ok(());
        }
        self.sweep.at = now;
        let mut from = 0;
        while let Some((index, exchange)) =
            self.fresh.as_ref().and_then(|fresh| fresh.slots.next_expired(from, now))
        {
            if exchange.established.is_none() {
                self.count_failed(exchange, FailureKind::Timeout);
            }
            self.close(index)?;
            from = index + 1;
        }
        Ok(())
    }

    /// Closes the connection of an exchange; a message without a reply is given up. Its slot is idle
    /// from now on.
    pub(super) fn end_exchange(&mut self, index: usize) {
        let now = self.elapsed();
        let Some(fresh) = &mut self.fresh else { return };
        let connection = &mut self.connections[index];
        connection.socket.take().into_iter().for_each(|socket| fresh.connect.close(socket));
        while let Some((number, _)) = connection.take_first() {
            self.recorder.record_given_up(number);
        }
        fresh.blocked.retain(|&waiting| waiting != index);
        fresh.slots.end(index, now);
    }
}

#[cfg(test)]
mod tests;
