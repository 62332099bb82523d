//! A socket as a file: buffered, in both directions.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use crate::socket::Socket;

/// A socket that is read and written like a file, with a buffer for each direction.
///
/// It has a descriptor of its own: the connection ends when this and every other descriptor of the socket are
/// closed, whichever is the last. What is in the buffer is written when the file is flushed or dropped; only a
/// flush tells of an error.
///
/// A read that has timed out may have taken bytes that nobody got. So there is no other after it: every read fails
/// from then on, rather than go on where nobody knows what is missing.
#[derive(Debug)]
pub struct SocketFile {
    reader: BufReader<Careful>,
    writer: BufWriter<Shared>,
}

/// The reading half, until it has timed out.
#[derive(Debug)]
struct Careful {
    socket: Arc<Socket>,
    timed_out: bool,
}

/// The writing half.
#[derive(Debug)]
struct Shared(Arc<Socket>);

impl Socket {
    /// A file object of this socket, over a duplicate of the descriptor and with the same timeout.
    ///
    /// # Errors
    ///
    /// If no descriptor is left.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::{BufRead, Write};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let mut file = one.make_file()?;
    /// drop(one); // The connection lives on in the file.
    /// writeln!(file, "ahoy")?;
    /// file.flush()?;
    ///
    /// let mut line = String::new();
    /// other.make_file()?.read_line(&mut line)?;
    /// assert_eq!(line, "ahoy\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "makefile")]
    pub fn make_file(&self) -> io::Result<SocketFile> {
        let socket = Arc::new(self.duplicate()?);
        let careful = Careful { socket: Arc::clone(&socket), timed_out: false };
        Ok(SocketFile { reader: BufReader::new(careful), writer: BufWriter::new(Shared(socket)) })
    }
}

impl Read for Careful {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.timed_out {
            return Err(io::Error::other("an earlier read of this file has timed out"));
        }
        let result = self.socket.recv(buffer);
        self.timed_out = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        result
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SocketFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl BufRead for SocketFile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

impl Write for SocketFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
