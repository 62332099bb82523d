//! Sockets of the measuring loops, which never wait inside a send or a receive.

use std::io;

use echosounder_socket::{Kind, Socket, is_out_of_resources, option};

/// Prepares a connected socket for a measuring loop: non-blocking, and without delay for small
/// messages.
pub(crate) fn prepare(socket: &Socket, kind: Kind) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if kind == Kind::Stream && socket.local_addr()?.ip().is_some() {
        // Not every stream of a host has the option: SCTP does not.
        let _ = socket.set_option(option::TCP_NODELAY, true);
    }
    Ok(())
}

/// Returns whether a send or a receive that failed may succeed later: the socket is not ready, a
/// signal arrived, or memory is short.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    would_block(error) || is_out_of_resources(error)
}

/// Returns whether an operation has done nothing because the descriptor is not ready or a signal
/// has arrived.
pub(crate) fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
