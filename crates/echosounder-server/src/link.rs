//! A connection and its socket: performs the operations that the connection asks for.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::Clock;
use echosounder_socket::internal::TcpOptions;
use echosounder_socket::option::BufferLocks;
use echosounder_socket::{
    Interest, Kind, Readiness, Shutdown, Socket, Transport, is_out_of_resources, is_too_long, option, ready,
};

use crate::connection::{Completion, Connection, Operation};
use crate::event::Observer;
use crate::failures::{Starvation, is_transient};
use crate::turn_context::TurnContext;

/// Unsent bytes above which a TCP connection is not writable, so that output waits in the bounded
/// backlog and not in the kernel: TCP_NOTSENT_LOWAT, tcp(7).
pub(crate) const NOT_SENT_MAX: i32 = 64 * 1024;

/// The same for a connection with a limited receive buffer.
const LIMITED_NOT_SENT_MAX: i32 = 16 * 1024;

/// The limited receive buffer of a TCP connection in bytes. The kernel doubles the value.
const LIMITED_RECEIVE_BUFFER: i32 = 48 * 1024;

/// The limited send buffer of a UNIX stream in bytes. The kernel doubles the value, and the packet
/// that exceeds the buffer may have half of it more: `unix_stream_sendmsg` in net/unix/af_unix.c.
const LIMITED_UNIX_BUFFER: i32 = 48 * 1024;

/// The default send buffer of a UNIX stream in bytes, before the kernel doubles it: wmem_default,
/// socket(7).
const UNIX_BUFFER: i32 = 104 * 1024;

/// A connection of a worker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// The connection waits for this event.
    Waits(Interest),
    /// The connection must be closed.
    Closes,
}

impl Link {
    pub(crate) fn new(connection: Connection, socket: Socket) -> Self {
        let link = Self { connection, socket };
        if link.connection.limits_buffers() {
            link.size_buffers();
        }
        link
    }

    /// Takes a turn: performs operations until the connection waits or closes.
    pub(crate) fn turn<C: Clock, O: Observer>(
        &mut self,
        ready: Readiness,
        context: &mut TurnContext<C, O>,
        starvation: &mut Starvation,
    ) -> io::Result<TurnEnd> {
        let limits_buffers = self.connection.limits_buffers();
        let mut operation = self.connection.on_ready(ready, context);
        loop {
            operation = match operation {
                Operation::Recv { offset, max } => {
                    let buffer = &mut context.input_mut()[offset..];
                    let completion = self.receive(buffer, max, starvation)?;
                    self.connection.complete(completion, context)
                }
                Operation::Send => match self.send(self.connection.output(context), starvation) {
                    Ok(completion) => self.connection.complete(completion, context),
                    Err(error) => {
                        self.connection.complete(Completion::SendFailed, context);
                        return Err(error);
                    }
                },
                Operation::Wait(interest) => {
                    if limits_buffers != self.connection.limits_buffers() {
                        self.size_buffers();
                    }
                    return Ok(TurnEnd::Waits(interest));
                }
                Operation::CheckWritable => {
                    // If the call fails, the connection waits for the event.
                    let is_writable = self.is_writable().unwrap_or(false);
                    self.connection.complete(Completion::Writable(is_writable), context)
                }
                Operation::Shutdown(how) => {
                    self.shut_down(how)?;
                    self.connection.complete(Completion::ShutDown, context)
                }
                Operation::Close => return Ok(TurnEnd::Closes),
            };
        }
    }

    /// Returns whether closing the socket may block.
    pub(crate) fn close_blocks(&self) -> bool {
        self.connection.transport().close_may_block() && !self.is_writable().unwrap_or(true)
    }

    /// Returns the bytes that the kernel holds in the queues of the socket: SO_MEMINFO, socket(7).
    /// A UNIX socket counts only what it has sent, and a VSOCK socket nothing.
    pub(crate) fn kernel_memory(&self) -> u64 {
        let memory = self.socket.option(option::SO_MEMINFO).unwrap_or_default();
        // TCP counts its send queue in `wmem_queued` and packets on their way in `wmem_alloc` again.
        let sent = memory.wmem_alloc.max(memory.wmem_queued);
        [memory.rmem_alloc, memory.backlog, sent].into_iter().map(u64::from).sum()
    }

    /// Limits the buffers of a connection, or lets them grow again. The connection works with either,
    /// so errors are ignored.
    #[cold]
    fn size_buffers(&self) {
        let transport = self.connection.transport();
        if transport == Transport::UnixStream {
            self.size_unix_buffer();
        } else if transport.tcp_options() != TcpOptions::None {
            self.size_tcp_buffers();
        }
    }

    fn size_tcp_buffers(&self) {
        // Linux has SO_BUF_LOCK since 5.15. Without it, a limit would be permanent.
        if self.socket.set_option(option::SO_BUF_LOCK, BufferLocks::empty()).is_err() {
            return;
        }
        let not_sent_max = match self.connection.limits_buffers() {
            true => {
                let _ = self.socket.set_option(option::SO_RCVBUF, LIMITED_RECEIVE_BUFFER);
                LIMITED_NOT_SENT_MAX
            }
            false => NOT_SENT_MAX,
        };
        let _ = self.socket.set_option(option::TCP_NOTSENT_LOWAT, not_sent_max);
    }

    /// Changes a send buffer that is larger than the limit, or has been limited.
    fn size_unix_buffer(&self) {
        let Ok(size) = self.socket.option(option::SO_SNDBUF) else { return };
        let new = match self.connection.limits_buffers() {
            true if 2 * LIMITED_UNIX_BUFFER < size => LIMITED_UNIX_BUFFER,
            false if 2 * LIMITED_UNIX_BUFFER == size => UNIX_BUFFER,
            _ => return,
        };
        let _ = self.socket.set_option(option::SO_SNDBUF, new);
    }

    fn is_writable(&self) -> io::Result<bool> {
        let [state] = ready([(self.socket.as_fd(), Interest::WRITE)], Some(Duration::ZERO))?;
        Ok(state.can_write())
    }

    /// Receives once.
    #[inline]
    fn receive(&self, buffer: &mut [u8], max: usize, starvation: &mut Starvation) -> io::Result<Completion> {
        let received = match self.connection.kind() {
            Kind::Messages => match self.socket.recv_message(buffer) {
                Ok(message) if message.is_truncated() => return Ok(Completion::Truncated),
                message => message.map(|message| message.len),
            },
            _ => {
                let max = max.min(buffer.len());
                self.socket.recv(&mut buffer[..max])
            }
        };
        match received {
            Ok(0) => {
                starvation.failures.reset();
                let can_be_message = self.connection.transport().receives_empty_messages();
                let is_end = !can_be_message || self.socket.has_ended()?;
                Ok(if is_end { Completion::End } else { Completion::Received(0) })
            }
            Ok(len) => {
                starvation.failures.reset();
                Ok(Completion::Received(len))
            }
            Err(error) => self.on_receive_error(error, starvation),
        }
    }

    #[cold]
    fn on_receive_error(&self, error: io::Error, starvation: &mut Starvation) -> io::Result<Completion> {
        let transport = self.connection.transport();
        match error {
            error if is_out_of_resources(&error) => {
                starvation.add("receive", error);
                Ok(Completion::WouldBlock)
            }
            error if is_transient(&error) => Ok(Completion::WouldBlock),
            error if transport.is_end(&error) => Ok(Completion::End),
            // The server's shutdown has ended both directions.
            _ if self.connection.is_lingering() && !transport.half_closes() => Ok(Completion::End),
            error => Err(error),
        }
    }

    /// Sends once.
    #[inline]
    fn send(&self, bytes: &[u8], starvation: &mut Starvation) -> io::Result<Completion> {
        match self.socket.send(bytes) {
            Ok(sent) => {
                if sent != 0 {
                    starvation.failures.reset();
                }
                Ok(Completion::Sent(sent))
            }
            Err(error) => self.on_send_error(error, bytes, starvation),
        }
    }

    #[cold]
    fn on_send_error(
        &self,
        error: io::Error,
        bytes: &[u8],
        starvation: &mut Starvation,
    ) -> io::Result<Completion> {
        match error {
            error if is_out_of_resources(&error) => {
                starvation.add("send", error);
                Ok(Completion::Sent(0))
            }
            error if is_transient(&error) => Ok(Completion::Sent(0)),
            // SCTP takes at most what fits into its send buffer.
            error if self.connection.kind() == Kind::Stream && 1 < bytes.len() && is_too_long(&error) => {
                self.send(&bytes[..bytes.len() / 2], starvation)
            }
            error if is_too_long(&error) => Ok(Completion::MessageTooLong),
            error => Err(error),
        }
    }

    fn shut_down(&self, how: Shutdown) -> io::Result<()> {
        // A shutdown that may block is left to the close, which then has a thread of its own.
        if !self.close_blocks() {
            match self.socket.shutdown(how) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

const _: () = assert!(size_of::<Link>() <= 80, "ten thousand idle connections need little memory");
