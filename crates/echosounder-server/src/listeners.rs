//! The listening sockets of a worker, and their pauses.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::{Interest, Poll, Socket, Transport, is_unreachable, ready};

use crate::failures::{Failures, PAUSE};

/// The token of the first listener in the poll. Connections have lower tokens.
pub(crate) const FIRST_TOKEN: u64 = 1 << 32;

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    pub(crate) transport: Transport,
    interest: Interest,
    pub(crate) accept_failures: Failures,
    /// Whether the socket is out of the poll, because no connection can be accepted.
    pub(crate) is_paused: bool,
    /// Since when a client waits because the maximum number of connections is reached.
    pub(crate) full_since: Option<MonoTime>,
}

/// The listening sockets of a worker.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    list: Vec<Listener>,
    /// When paused listeners are tried again.
    pub(crate) resume_at: Option<MonoTime>,
}

impl Listeners {
    /// Adds a socket to the list and to the poll.
    pub(crate) fn add(&mut self, poll: &Poll, socket: Socket, transport: Transport) -> io::Result<()> {
        // All workers may poll duplicates of one socket. One of them is enough for each connection.
        let interest = Interest::READ | Interest::EXCLUSIVE;
        poll.add(&socket, FIRST_TOKEN + self.list.len() as u64, interest)?;
        let accept_failures = Failures::default();
        self.list.push(Listener {
            socket,
            transport,
            interest,
            accept_failures,
            is_paused: false,
            full_since: None,
        });
        Ok(())
    }

    /// Returns a listener; `None` if all have been [removed](Self::remove_all).
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Listener> {
        self.list.get_mut(index)
    }

    /// Removes a listener from the poll, which would report it as readable again and again.
    pub(crate) fn pause(&mut self, poll: &Poll, index: usize, now: MonoTime) {
        let listener = &mut self.list[index];
        if !listener.is_paused && poll.remove(&listener.socket).is_ok() {
            listener.is_paused = true;
        }
        self.resume_at = Some(now + PAUSE);
    }

    /// Returns all paused listeners to the poll.
    pub(crate) fn resume(&mut self, poll: &Poll, now: MonoTime) {
        if self.resume_at.take().is_none() {
            return;
        }
        for (index, listener) in self.list.iter_mut().enumerate().filter(|(_, listener)| listener.is_paused) {
            let added = poll.add(&listener.socket, FIRST_TOKEN + index as u64, listener.interest);
            listener.is_paused = added.is_err();
            if listener.is_paused {
                self.resume_at = Some(now + PAUSE);
            }
        }
    }

    /// Closes all listeners. Other workers may hold duplicates of them, so closing alone would not
    /// remove them from the poll: epoll(7).
    pub(crate) fn remove_all(&mut self, poll: &Poll) -> io::Result<()> {
        self.list
            .drain(..)
            .filter(|listener| !listener.is_paused)
            .try_for_each(|listener| poll.remove(&listener.socket))
    }
}

impl Listener {
    /// Returns whether a client waits to be accepted. If that cannot be found out, no connection is
    /// evicted for it.
    pub(crate) fn is_readable(&self) -> bool {
        ready([(self.socket.as_fd(), Interest::READ)], Some(Duration::ZERO))
            .is_ok_and(|[state]| state.can_read())
    }
}

/// Returns whether an accept failed because of one client, so that the next can succeed at once:
/// accept(2) returns errors that are already pending on the new connection.
pub(crate) fn concerns_one_client(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::Interrupted,
    ];
    kinds.contains(&error.kind()) || is_unreachable(error)
}
