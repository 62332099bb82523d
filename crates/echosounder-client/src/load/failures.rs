//! How a generator handles failures: of connections, of datagrams, and of this machine.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use echosounder_proto::{Clock, FailureKind};
use echosounder_socket::is_too_long;

use super::generator::Generator;
use super::refusals::Failure;
use crate::error::{Operation, failure_kind};

impl<C: Clock> Generator<C> {
    /// Handles an error of a connection: either the server closed it, or this machine failed.
    pub(super) fn connection_failed(
        &mut self,
        index: usize,
        operation: Operation,
        error: io::Error,
    ) -> Result<(), Failure> {
        match failure_kind(operation, &error, &self.plan.address) {
            Some(_) => self.connection_ended(index),
            None => Err(Failure::Socket { operation, error }),
        }
    }

    /// Counts and closes a connection that the server has closed.
    pub(super) fn connection_ended(&mut self, index: usize) -> Result<(), Failure> {
        match self.exchange(index) {
            Some(exchange) => self.count_failed(exchange, FailureKind::Closed),
            None => {
                self.recorder.counts.connections_closed += u64::from(self.connections[index].is_open());
            }
        }
        self.close(index)
    }

    pub(super) fn close(&mut self, index: usize) -> Result<(), Failure> {
        self.count_unexpected_stream(index);
        if self.fresh.is_some() {
            self.end_exchange(index);
            return Ok(());
        }
        self.read_tcp(index);
        if let Some(socket) = self.connections[index].socket.take() {
            self.poll.remove(&socket)?;
            self.open -= 1;
            while let Some((number, _)) = self.connections[index].take_first() {
                self.recorder.record_given_up(number);
            }
        }
        Ok(())
    }

    /// Counts a connection as unexpected over which data arrived, but no message came back: the
    /// peer does not echo.
    pub(super) fn count_unexpected_stream(&mut self, index: usize) {
        let finder = self.connections[index].finder.take();
        let is_unexpected = finder.is_some_and(|finder| finder.has_found_nothing());
        self.recorder.counts.unexpected += u64::from(is_unexpected);
    }

    /// Counts an error about an earlier datagram that the network reported.
    pub(super) fn count_network_error(&mut self) {
        self.recorder.counts.network_errors += u64::from(self.plan.address.ip().is_some());
    }

    /// Handles an error about an earlier datagram that a receive returned.
    pub(super) fn earlier_datagram_failed(&mut self, index: usize, error: io::Error) -> Result<(), Failure> {
        self.count_network_error();
        if is_too_long(&error) {
            // The kernel has noted the path MTU and fragments the next messages: ip(7),
            // IP_MTU_DISCOVER.
            return Ok(());
        }
        self.datagram_refused(index, Operation::Receive, error)?;
        if !self.refusals.is_first() || !self.plan.is_closed_loop() {
            return Ok(());
        }
        // The next message shows whether the error was forged.
        let given_up = self.connections[index].expire(Duration::MAX);
        given_up.into_iter().for_each(|number| self.recorder.record_given_up(number));
        self.enqueue(index, usize::from(given_up.is_some()))
    }

    /// Handles an error of a server that refuses datagrams. As long as no reply has arrived, there
    /// may be no server at all.
    pub(super) fn datagram_refused(
        &mut self,
        index: usize,
        operation: Operation,
        error: io::Error,
    ) -> Result<(), Failure> {
        if self.shared.answered.load(Ordering::Relaxed) == 0 {
            self.refusals.add(self.elapsed(), Failure::Socket { operation, error });
            return Ok(());
        }
        self.connections[index].is_refused = true;
        self.poll_writable(index, false)?;
        Ok(())
    }
}
