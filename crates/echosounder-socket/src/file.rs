//! A socket as a buffered file, for `read_line` and `write!`.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::poll::Interest;
use crate::socket::Socket;
use crate::sys;
use crate::wait::CallWait;

/// A socket that is read and written like a file, with a buffer for each direction.
///
/// [`Socket::make_file`] creates one. It implements [`Read`], [`BufRead`] and [`Write`]. Written
/// bytes stay in the buffer until it is full or flushed, so call [`flush`](Write::flush) before
/// waiting for a reply. [`into_split`](Self::into_split) returns two halves, to write while an
/// iterator such as [`lines`](BufRead::lines) reads, or to read and write in different threads.
///
/// The file has its own duplicate of the descriptor. The connection ends when every descriptor of
/// the socket is closed. The write buffer is flushed when the file is dropped; only an explicit
/// flush reports an error.
///
/// # Timeouts
///
/// The file has its own timeout, initially that of the socket: see
/// [`set_timeout`](Self::set_timeout). The timeout of the original socket does not affect the file,
/// although both share the descriptor's blocking mode: a file without a timeout waits, in the kernel
/// or with poll(2).
///
/// A read that times out may have consumed bytes that were not returned. Every later read therefore
/// fails, so that the caller cannot continue in the middle of a record. With a timeout of zero, a
/// read that would block can be repeated. Exceptions are a [`read_exact`](Read::read_exact) that has
/// received a part, and a [`read_line`](BufRead::read_line) or
/// [`read_to_string`](Read::read_to_string) that has received a part of a character: they refuse
/// further reads too. Do not use [`lines`](BufRead::lines) or [`split`](BufRead::split) with a
/// timeout of zero: both drop an incomplete record.
#[derive(Debug)]
pub struct SocketFile {
    reader: SocketReader,
    writer: SocketWriter,
}

/// The reading half of a [`SocketFile`]: [`SocketFile::into_split`].
#[derive(Debug)]
pub struct SocketReader {
    buffered: BufReader<Receiver>,
    /// The bytes of a line or text until they are checked; empty between calls.
    text: Vec<u8>,
}

/// The writing half of a [`SocketFile`]: [`SocketFile::into_split`]. Dropping it flushes the buffer
/// and leaves the connection open as long as the other half exists.
#[derive(Debug)]
pub struct SocketWriter {
    buffered: BufWriter<Sender>,
}

/// Receives without a buffer, and refuses after a read that may have lost bytes.
#[derive(Debug)]
struct Receiver {
    socket: Arc<Socket>,
    broken_by: Option<ReadFailure>,
}

/// A failed read after which the position in the stream is unknown.
#[derive(Clone, Copy, Debug)]
enum ReadFailure {
    TimedOut,
    /// A read that received only a part and returned none of it.
    Incomplete,
}

/// Sends without a buffer.
#[derive(Debug)]
struct Sender(Arc<Socket>);

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
        let receiver = Receiver { socket: Arc::clone(&socket), broken_by: None };
        Ok(SocketFile {
            reader: SocketReader { buffered: BufReader::new(receiver), text: Vec::new() },
            writer: SocketWriter { buffered: BufWriter::new(Sender(socket)) },
        })
    }
}

impl SocketFile {
    /// Returns the reading and the writing half, which share the descriptor and the timeout.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Shutdown, Socket, Type};
    /// use std::io::{BufRead, Write};
    ///
    /// let (client, server) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// client.send_all(b"ahoy\nthere\n")?;
    /// client.shutdown(Shutdown::Write)?;
    ///
    /// let (reader, mut writer) = server.make_file()?.into_split();
    /// for line in reader.lines() {
    ///     writeln!(writer, "[{}]", line?)?;
    ///     writer.flush()?;
    /// }
    ///
    /// let mut replies = client.make_file()?.lines();
    /// assert_eq!(replies.next().transpose()?.as_deref(), Some("[ahoy]"));
    /// assert_eq!(replies.next().transpose()?.as_deref(), Some("[there]"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_split(self) -> (SocketReader, SocketWriter) {
        (self.reader, self.writer)
    }

    /// Flushes the write buffer and returns the file's own socket. Bytes that the file has received
    /// but not returned are lost: see [`buffer`](Self::buffer).
    ///
    /// # Errors
    ///
    /// The error of the flush. The file is then closed.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::Write;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let mut file = one.make_file()?;
    /// write!(file, "ahoy")?;
    /// let socket = file.into_inner()?;
    /// assert_eq!(other.recv(&mut [0; 16])?, 4);
    /// assert_eq!(socket.peer_addr()?, other.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(mut self) -> io::Result<Socket> {
        self.flush()?;
        let Self { reader, writer } = self;
        drop(writer);
        // Both halves are here, so nothing else has the socket.
        Arc::try_unwrap(reader.buffered.into_inner().socket).or_else(|shared| shared.try_clone())
    }

    /// Returns the bytes that the file has received but not returned.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::BufRead;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"header\nbody")?;
    /// let mut file = other.make_file()?;
    /// file.read_line(&mut String::new())?;
    /// assert_eq!(file.buffer(), b"body");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn buffer(&self) -> &[u8] {
        self.reader.buffered.buffer()
    }

    /// Returns the file's own socket, to set its options. Reading from it or writing to it bypasses
    /// the buffers.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type, option};
    ///
    /// let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let file = one.make_file()?;
    /// file.get_ref().set_option(option::SO_RCVBUF, 65536)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_ref(&self) -> &Socket {
        self.reader.get_ref()
    }

    /// Sets how long each read and each write of the file waits, as
    /// [`Socket::set_timeout`] does for a socket. The timeout of the original socket does not change.
    ///
    /// # Errors
    ///
    /// As ioctl(2) with FIONBIO.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    ///
    /// let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// let mut file = one.make_file()?;
    /// file.set_timeout(Some(Duration::from_millis(10)))?;
    /// assert_eq!(file.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "settimeout")]
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.get_ref().set_timeout(timeout)
    }

    /// Returns how long each read and each write of the file waits; `None` means no limit.
    #[doc(alias = "gettimeout")]
    pub fn timeout(&self) -> Option<Duration> {
        self.get_ref().timeout()
    }
}

impl SocketReader {
    /// Returns the socket of the file: see [`SocketFile::get_ref`].
    pub fn get_ref(&self) -> &Socket {
        &self.buffered.get_ref().socket
    }

    /// Checks the bytes that a read has put into `self.text`, and appends them to `target`.
    ///
    /// If the read has failed in the middle of a character, the bytes cannot be returned, and later
    /// reads must fail.
    fn append_text(&mut self, target: &mut String, read: io::Result<usize>) -> io::Result<usize> {
        let text = std::mem::take(&mut self.text);
        let result = match std::str::from_utf8(&text) {
            Ok(valid) => {
                target.push_str(valid);
                read
            }
            Err(error) => {
                if read.is_err() {
                    self.buffered.get_mut().broken_by.get_or_insert(ReadFailure::Incomplete);
                }
                read.and_then(|_| Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        };
        self.text = text;
        self.text.clear();
        result
    }
}

impl SocketWriter {
    /// Returns the socket of the file: see [`SocketFile::get_ref`].
    pub fn get_ref(&self) -> &Socket {
        &self.buffered.get_ref().0
    }
}

impl Read for Receiver {
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

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let send = || sys::socket::send(self.0.as_fd(), bytes, self.0.mode());
        CallWait::in_any_mode(self.0.timeout()).call(self.0.as_fd(), Interest::WRITE, send)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SocketReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.buffered.read(buffer)
    }

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let read = self.buffered.read_to_end(&mut self.text);
        self.append_text(text, read)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.buffered.read(&mut buffer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The caller does not learn how many bytes the buffer holds.
                    if filled != 0 {
                        self.buffered.get_mut().broken_by.get_or_insert(ReadFailure::Incomplete);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl BufRead for SocketReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.buffered.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.buffered.consume(amount);
    }

    fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let read = self.buffered.read_until(b'\n', &mut self.text);
        self.append_text(line, read)
    }
}

impl Write for SocketWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffered.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffered.flush()
    }
}

impl Read for SocketFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        self.reader.read_to_string(text)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(buffer)
    }
}

impl BufRead for SocketFile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }

    fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        self.reader.read_line(line)
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

/// Defines the traits that return the descriptor.
macro_rules! as_fd {
    ($($file:ty)*) => {$(
        impl AsFd for $file {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.get_ref().as_fd()
            }
        }

        impl AsRawFd for $file {
            fn as_raw_fd(&self) -> RawFd {
                self.get_ref().as_raw_fd()
            }
        }
    )*};
}

as_fd!(SocketFile SocketReader SocketWriter);
