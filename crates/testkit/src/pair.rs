//! Connected sockets without a network, and pipes.

use std::fs::File;

use echosounder_socket::{Socket, Transport};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::PATIENCE;

/// Returns two connected UNIX sockets of this transport whose calls fail after [`PATIENCE`] instead
/// of blocking forever.
pub fn socket_pair(transport: Transport) -> (Socket, Socket) {
    let (one, other) = transport.pair().unwrap();
    one.set_timeout(Some(PATIENCE)).unwrap();
    other.set_timeout(Some(PATIENCE)).unwrap();
    (one, other)
}

/// Returns the reading end and the writing end of a pipe. `std::io::pipe` needs Rust 1.87, and the
/// socket crate supports older versions.
pub fn pipe() -> (File, File) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_is_connected_and_has_a_timeout() {
        let (one, other) = socket_pair(Transport::UnixSeqpacket);
        one.send(b"hello").unwrap();
        let mut buffer = [0; 8];
        assert_eq!((other.recv(&mut buffer).unwrap(), &buffer[..5]), (5, &b"hello"[..]));
        assert_eq!((one.timeout(), other.timeout()), (Some(PATIENCE), Some(PATIENCE)));
    }
}
