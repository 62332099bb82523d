//! A socket as a buffered file, for `read_line` and `write!`.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::poll::Interest;
use crate::socket::Socket;
use crate::sys;
use crate::wait::CallWait;

/// A socket that is read and written like a file, with a buffer for each direction.
///
/// The file has its own duplicate of the descriptor. The connection ends when every descriptor of
/// the socket is closed. The write buffer is flushed when the file is dropped; only an explicit
/// flush reports an error.
///
/// The file also has its own timeout, initially that of the socket: use [`get_ref`](Self::get_ref)
/// to change it. The timeout of the original socket does not affect the file, although both share
/// the descriptor's blocking mode: a file without a timeout waits, in the kernel or with poll(2).
///
/// A read that times out may have consumed bytes that were not returned. Every later read therefore
/// fails, so that the caller cannot continue in the middle of a record. With a timeout of zero, a
/// read that would block can be repeated, except a [`read_exact`](Read::read_exact) that has
/// received a part. Do not use [`lines`](BufRead::lines) or [`split`](BufRead::split) with a
/// timeout of zero: both drop an incomplete record.
#[derive(Debug)]
pub struct SocketFile {
    reader: BufReader<Reader>,
    writer: BufWriter<Writer>,
}

/// The reading half. It refuses further reads after one that may have lost bytes.
#[derive(Debug)]
struct Reader {
    socket: Arc<Socket>,
    broken_by: Option<ReadFailure>,
}

/// A failed read after which the position in the stream is unknown.
#[derive(Clone, Copy, Debug)]
enum ReadFailure {
    TimedOut,
    /// A `read_exact` that received only a part.
    Incomplete,
}

/// The writing half.
#[derive(Debug)]
struct Writer(Arc<Socket>);

impl Socket {
    /// Returns a file object for this socket, with a duplicate of its descriptor and its current
    /// timeout.
    ///
    /// # Errors
    ///
    /// EMFILE if the process has no descriptor left.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::{BufRead, Write};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let mut file = one.make_file()?;
    /// drop(one); // The file keeps the connection open.
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
        let socket = Arc::new(self.try_clone()?);
        let reader = Reader { socket: Arc::clone(&socket), broken_by: None };
        Ok(SocketFile { reader: BufReader::new(reader), writer: BufWriter::new(Writer(socket)) })
    }
}

impl SocketFile {
    /// Returns the file's own socket, to set its timeout or options. Reading from it or writing to
    /// it bypasses the buffers.
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

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.broken_by {
            Some(ReadFailure::TimedOut) => {
                return Err(io::Error::other("an earlier read of this file timed out"));
            }
            Some(ReadFailure::Incomplete) => {
                return Err(io::Error::other("an earlier read of this file received only a part"));
            }
            None if buffer.is_empty() => return Ok(0),
            None => {}
        }
        let receive = || sys::socket::recv(self.socket.as_fd(), buffer, self.socket.mode());
        let result =
            CallWait::in_any_mode(self.socket.timeout()).call(self.socket.as_fd(), Interest::READ, receive);
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            self.broken_by = Some(ReadFailure::TimedOut);
        }
        result
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let send = || sys::socket::send(self.0.as_fd(), bytes, self.0.mode());
        CallWait::in_any_mode(self.0.timeout()).call(self.0.as_fd(), Interest::WRITE, send)
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
                    // The caller does not learn how many bytes the buffer holds.
                    if filled != 0 {
                        self.reader.get_mut().broken_by.get_or_insert(ReadFailure::Incomplete);
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
