//! The sockets of a load that makes a connection for each message.

use std::time::Duration;

use super::exchange_times::ExchangeTimes;
use super::slots::Slots;
use crate::connect::{Candidates, ConnectProbe};

/// The exchanges of one thread, and how their sockets are made and closed.
#[derive(Debug)]
pub(super) struct FreshConnections {
    pub(super) candidates: Candidates,
    pub(super) connect: ConnectProbe,
    pub(super) slots: Slots,
    /// Slots that connect again soon: the queue of the listener was full, and no event shows when it
    /// has space (unix(7)).
    pub(super) blocked: Vec<usize>,
    pub(super) times: ExchangeTimes,
}

impl FreshConnections {
    /// Creates `count` slots for exchanges, each of whose parts may take `timeout`.
    pub(super) fn new(
        candidates: Candidates,
        connect: ConnectProbe,
        count: usize,
        timeout: Duration,
    ) -> Self {
        let slots = Slots::new(count, timeout);
        Self { candidates, connect, slots, blocked: Vec::new(), times: ExchangeTimes::default() }
    }

    /// Returns the number of slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Takes the times that were recorded since the last call.
    pub(super) fn take_times(&mut self) -> ExchangeTimes {
        std::mem::take(&mut self.times)
    }
}
