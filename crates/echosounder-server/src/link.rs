//! A connection and its socket: performs the operations that the connection asks for.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::Clock;
use echosounder_socket::{
    Interest, Kind, Readiness, Shutdown, Socket, is_out_of_resources, is_too_long, ready,
};

use crate::connection::{Completion, Connection, Operation};
use crate::event::Observer;
use crate::failures::{Starvation, is_transient};
use crate::limits::ConnectionPermit;
use crate::turn_context::TurnContext;

/// A connection of a worker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
    _permit: ConnectionPermit,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// The connection waits for this event.
    Waits(Interest),
    /// The connection is to be closed.
    Closes,
}

impl Link {
    pub(crate) fn new(connection: Connection, socket: Socket, permit: ConnectionPermit) -> Self {
        Self { connection, socket, _permit: permit }
    }

    /// Takes a turn: performs operations until the connection waits or closes.
    pub(crate) fn turn<C: Clock, O: Observer>(
        &mut self,
        ready: Readiness,
        context: &mut TurnContext<C, O>,
        starvation: &mut Starvation,
    ) -> io::Result<TurnEnd> {
        let mut operation = self.connection.on_ready(ready, context);
        loop {
            let completion = match operation {
                Operation::Wait(interest) => return Ok(TurnEnd::Waits(interest)),
                Operation::Close => return Ok(TurnEnd::Closes),
                Operation::CheckWritable => Completion::Writable(self.is_writable()?),
                Operation::Recv { offset, max } => {
                    self.receive(&mut context.input_mut()[offset..], max, starvation)?
                }
                Operation::Send => match self.send(self.connection.output(context), starvation) {
                    Ok(completion) => completion,
                    Err(error) => {
                        self.connection.complete(Completion::SendFailed, context);
                        return Err(error);
                    }
                },
                Operation::Shutdown(how) => self.shut_down(how)?,
            };
            operation = self.connection.complete(completion, context);
        }
    }

    /// Returns whether closing the socket may block.
    pub(crate) fn close_blocks(&self) -> bool {
        self.connection.transport().close_may_block() && !self.is_writable().unwrap_or(true)
    }

    fn is_writable(&self) -> io::Result<bool> {
        let [state] = ready([(self.socket.as_fd(), Interest::Write)], Some(Duration::ZERO))?;
        Ok(state.writable)
    }

    fn receive(&self, buffer: &mut [u8], max: usize, starvation: &mut Starvation) -> io::Result<Completion> {
        let transport = self.connection.transport();
        let received = match self.connection.kind() {
            Kind::Messages => self.socket.recv_message(buffer),
            _ => {
                let max = max.min(buffer.len());
                self.socket.recv(&mut buffer[..max])
            }
        };
        match received {
            Ok(len) if buffer.len() < len => Ok(Completion::Truncated),
            Ok(len) => {
                starvation.failures.reset();
                let is_end = len == 0 && (!transport.receives_empty_messages() || self.socket.has_ended()?);
                Ok(if is_end { Completion::End } else { Completion::Received(len) })
            }
            Err(error) if is_out_of_resources(&error) => {
                starvation.add("receive", error);
                Ok(Completion::WouldBlock)
            }
            Err(error) if is_transient(&error) => Ok(Completion::WouldBlock),
            Err(error) if transport.is_end(&error) => Ok(Completion::End),
            // The server's shutdown has ended both directions.
            Err(_) if self.connection.is_lingering() && !transport.half_closes() => Ok(Completion::End),
            Err(error) => Err(error),
        }
    }

    /// Sends once.
    fn send(&self, bytes: &[u8], starvation: &mut Starvation) -> io::Result<Completion> {
        match self.socket.send(bytes) {
            Ok(sent) => {
                if sent != 0 {
                    starvation.failures.reset();
                }
                Ok(Completion::Sent(sent))
            }
            Err(error) if is_out_of_resources(&error) => {
                starvation.add("send", error);
                Ok(Completion::Sent(0))
            }
            Err(error) if is_transient(&error) => Ok(Completion::Sent(0)),
            // SCTP takes at most what fits into its send buffer.
            Err(error)
                if self.connection.kind() == Kind::Stream && 1 < bytes.len() && is_too_long(&error) =>
            {
                self.send(&bytes[..bytes.len() / 2], starvation)
            }
            Err(error) if is_too_long(&error) => Ok(Completion::MessageTooLong),
            Err(error) => Err(error),
        }
    }

    fn shut_down(&self, how: Shutdown) -> io::Result<Completion> {
        // A shutdown that may block is left to the close, which then has a thread of its own.
        if !self.close_blocks() {
            match self.socket.shutdown(how) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
                _ => {}
            }
        }
        Ok(Completion::ShutDown)
    }
}

const _: () = assert!(size_of::<Link>() <= 96, "ten thousand idle connections need little memory");
