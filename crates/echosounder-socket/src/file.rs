//! A socket as a file: buffered, in both directions.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::poll::Interest;
use crate::socket::Socket;
use crate::sys;
use crate::wait::Waits;

/// A socket that is read and written like a file, with a buffer for each direction.
///
/// It has a descriptor of its own: the connection ends when this and every other descriptor of the socket are
/// closed, whichever is the last. What is in the buffer is written when the file is flushed or dropped; only a
/// flush tells of an error.
///
/// It has a timeout of its own, too, which [`get_ref`](Self::get_ref) leads to. What the socket that it was made of does
/// with its timeout meanwhile changes nothing here, although both share the descriptor's mode: a file without a timeout
/// waits, in the kernel or with poll(2).
///
/// A read that has timed out may have taken bytes that nobody got. So there is no other after it: every read fails
/// from then on, rather than go on where nobody knows what is missing. With a timeout of zero a read that would block
/// can be repeated, unless it was a [`read_exact`](Read::read_exact) that had got a part. Then [`lines`](BufRead::lines)
/// and [`split`](BufRead::split) are of no use: they drop the beginning of what they have not got whole.
#[derive(Debug)]
pub struct SocketFile {
    reader: BufReader<Careful>,
    writer: BufWriter<Shared>,
}

/// The reading half, until it has lost something.
#[derive(Debug)]
struct Careful {
    socket: Arc<Socket>,
    over: Option<Over>,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug)]
enum Over {
    TimedOut,
    Lost,
}

/// The writing half.
#[derive(Debug)]
struct Shared(Arc<Socket>);

impl Socket {
    /// A file object of this socket, over a duplicate of the descriptor and with the timeout that the socket has now.
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
        let careful = Careful { socket: Arc::clone(&socket), over: None };
        Ok(SocketFile { reader: BufReader::new(careful), writer: BufWriter::new(Shared(socket)) })
    }
}

impl SocketFile {
    /// The file's own socket: to give it a timeout, and to ask what it is. What is read or written there goes past the
    /// buffers.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    ///
    /// let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let mut file = one.make_file()?;
    /// file.get_ref().set_timeout(Some(Duration::from_millis(10)))?;
    /// assert_eq!(file.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_ref(&self) -> &Socket {
        &self.reader.get_ref().socket
    }
}

impl AsFd for SocketFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl Read for Careful {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.over {
            Some(Over::TimedOut) => {
                return Err(io::Error::other("an earlier read of this file has timed out"));
            }
            Some(Over::Lost) => return Err(io::Error::other("an earlier read of this file got only a part")),
            None if buffer.is_empty() => return Ok(0),
            None => {}
        }
        let receive = || sys::socket::recv(self.socket.as_fd(), buffer, self.socket.mode());
        let result = Waits::patient(self.socket.timeout()).call(self.socket.as_fd(), Interest::Read, receive);
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            self.over = Some(Over::TimedOut);
        }
        result
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let send = || sys::socket::send(self.0.as_fd(), bytes, self.0.mode());
        Waits::patient(self.0.timeout()).call(self.0.as_fd(), Interest::Write, send)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SocketFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Nobody is told how much of the buffer is good.
                    if filled != 0 {
                        self.reader.get_mut().over.get_or_insert(Over::Lost);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
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
