//! The kernel's queues of a socket.

use std::io;
use std::os::fd::AsFd;

use super::Socket;
use crate::sys;

/// Queues.
impl Socket {
    /// Returns the number of bytes in the receive queue: FIONREAD, also named SIOCINQ. ss(8) shows it
    /// as Recv-Q.
    ///
    /// For a stream, and for UNIX seqpackets, this is everything that has arrived and was not received
    /// (tcp(7), unix(7)). For datagrams it is the length of the next one; zero means that there is
    /// none or that it is empty (udp(7), unix(7)).
    ///
    /// # Errors
    ///
    /// As ioctl(2): EINVAL for a listener, ENOTTY or EOPNOTSUPP for a family without this.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"ahoy")?;
    /// one.send(b"there")?;
    /// assert_eq!(other.recv_queue_len()?, 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "FIONREAD")]
    #[doc(alias = "SIOCINQ")]
    #[doc(alias = "available")]
    pub fn recv_queue_len(&self) -> io::Result<usize> {
        sys::socket::recv_queue_len(self.as_fd())
    }

    /// Returns the number of bytes in the send queue: SIOCOUTQ, also named TIOCOUTQ. ss(8) shows it
    /// as Send-Q.
    ///
    /// For TCP, these are the bytes that the peer's kernel has not acknowledged, sent or not: tcp(7).
    /// UDP and UNIX count the memory of the queued packets, which exceeds that of their bytes.
    ///
    /// # Errors
    ///
    /// As ioctl(2): EINVAL for a listener, ENOTTY or EOPNOTSUPP for a family without this.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"ahoy")?;
    /// assert!(4 <= one.send_queue_len()?);
    /// other.recv(&mut [0; 16])?;
    /// assert_eq!(one.send_queue_len()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SIOCOUTQ")]
    #[doc(alias = "TIOCOUTQ")]
    pub fn send_queue_len(&self) -> io::Result<usize> {
        sys::socket::send_queue_len(self.as_fd())
    }

    /// Returns whether the next byte to receive is the one that followed urgent data: sockatmark(3),
    /// SIOCATMARK, tcp(7).
    ///
    /// A receive ends at the urgent mark, so this method shows whether a receive has reached it. The
    /// urgent byte itself is received with [`MessageFlags::OOB`](crate::MessageFlags::OOB).
    ///
    /// # Errors
    ///
    /// As ioctl(2): ENOTTY or EOPNOTSUPP for a socket without urgent data.
    ///
    /// ```
    /// use echosounder_socket::{MessageFlags, ServerOptions, create_connection, create_server};
    ///
    /// let server = create_server(("127.0.0.1", 0), ServerOptions::default())?;
    /// let client = create_connection(server.local_addr()?, None, None)?;
    /// client.send(b"before")?;
    /// client.send_with(b"!", MessageFlags::OOB)?;
    ///
    /// let (connection, _) = server.accept()?;
    /// let mut buffer = [0; 16];
    /// assert!(!connection.is_at_mark()?);
    /// assert_eq!(connection.recv(&mut buffer)?, 6);
    /// # let mut waiting = 0; // The urgent byte may still be on its way.
    /// # while !connection.is_at_mark()? && waiting < 1000 { waiting += 1; std::thread::yield_now(); }
    /// assert!(connection.is_at_mark()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sockatmark")]
    #[doc(alias = "SIOCATMARK")]
    pub fn is_at_mark(&self) -> io::Result<bool> {
        sys::socket::is_at_mark(self.as_fd())
    }
}
