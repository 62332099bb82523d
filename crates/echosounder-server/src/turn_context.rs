//! The values that a connection borrows for its turn: the service, the worker's buffers and the
//! backlog budget.

use echosounder_proto::{Clock, FRAME_MAX, Moment};
use echosounder_socket::IoBuffer;

use std::io;

use crate::backlog::{BacklogBudget, READ_MAX};
use crate::event::Observer;
use crate::service::{EchoService, Progress};

/// Maximum length of a message on a connection that preserves message boundaries, and the length of
/// the input buffer. A UNIX socket sends at most 208 KiB by default.
const MESSAGE_MAX: usize = 256 * 1024;
const _: () =
    assert!(READ_MAX + FRAME_MAX <= MESSAGE_MAX, "the input buffer holds an unfinished line and a read");

/// The part of a worker that each of its connections borrows for its turn.
///
/// The buffers hold the input and output of one connection until it has taken its last operation of
/// the turn.
#[derive(Debug)]
pub struct TurnContext<C, O> {
    pub(crate) service: EchoService<C, O>,
    pub(crate) budget: BacklogBudget,
    pub(crate) input: IoBuffer,
    pub(crate) output: IoBuffer,
    pub(crate) exchange: Exchange,
}

/// The reply that is being sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// Bytes of input in the input buffer.
    pub(crate) input_len: usize,
    /// When that input was received.
    pub(crate) arrival: Moment,
    /// How much of it the reply covers.
    pub(crate) progress: Progress,
}

impl<C: Clock, O: Observer> TurnContext<C, O> {
    /// Creates a context whose connections may hold `backlog_max` bytes of backlog together.
    ///
    /// # Errors
    ///
    /// ENOMEM if there is no memory for the buffers.
    pub fn new(service: EchoService<C, O>, backlog_max: usize) -> io::Result<Self> {
        let exchange =
            Exchange { input_len: 0, arrival: service.now(), progress: Progress { consumed: 0, seq: 0 } };
        Ok(Self {
            service,
            budget: BacklogBudget::new(backlog_max),
            input: IoBuffer::try_zeroed(MESSAGE_MAX)?,
            output: IoBuffer::default(),
            exchange,
        })
    }

    /// Reads the clock. Call it once for all connections that are ready at the same time.
    pub fn begin_turn(&mut self) {
        self.service.begin_turn();
    }

    /// Returns the input buffer, into which [`Operation::Recv`](crate::internal::Operation::Recv)
    /// is performed.
    pub fn input_mut(&mut self) -> &mut [u8] {
        &mut self.input
    }

    /// Returns the service.
    pub fn service(&self) -> &EchoService<C, O> {
        &self.service
    }
}
