//! Connections of a listener as an iterator.

use std::io;
use std::iter::FusedIterator;

use super::Socket;

/// The connections of a listener: [`Socket::incoming`].
#[derive(Clone, Copy, Debug)]
#[must_use = "iterators do nothing unless advanced"]
pub struct Incoming<'listener> {
    listener: &'listener Socket,
}

impl Socket {
    /// Returns an iterator that accepts connections, as [`accept`](Self::accept) does, and never
    /// ends. As in std, the address of the peer is that of [`peer_addr`](Self::peer_addr),
    /// which fails (`NotConnected`) if the peer has already reset the connection;
    /// [`accept`](Self::accept) returns the address in any case.
    ///
    /// An error does not end the iterator. `WouldBlock` of a non-blocking listener and `TimedOut` of
    /// one with a timeout repeat until a connection arrives.
    ///
    /// ```
    /// use echosounder_socket::{ServerOptions, create_server};
    /// use std::io::{self, Write};
    /// use std::net::TcpStream;
    ///
    /// let server = create_server(("127.0.0.1", 0), ServerOptions::default())?;
    /// let client = TcpStream::connect(("127.0.0.1", server.local_addr()?.port().unwrap_or(0)))?;
    /// for connection in server.incoming() {
    ///     let mut connection = connection?;
    ///     assert_eq!(connection.peer_addr()?, client.local_addr()?.into());
    ///     writeln!(connection, "ahoy")?;
    ///     break; // A server would go on.
    /// }
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<Socket>;

    fn next(&mut self) -> Option<io::Result<Socket>> {
        Some(self.listener.accept().map(|(connection, _)| connection))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for Incoming<'_> {}
