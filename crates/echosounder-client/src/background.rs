//! Writing in the background, so that an output that is stuck stops neither the peer nor a signal.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use echosounder_socket::{Interest, IoBuffer, Waker, ready};

use crate::clock::Deadline;

/// The size of a buffer.
const BUFFER: usize = 64 * 1024;

/// How long something that ends at once may still be written.
const SOON: Duration = Duration::from_millis(200);

/// Most buffers that wait to be written.
const WAITING_MAX: usize = 2;

/// A thread that writes, with at most two buffers of 64 KiB that are not written yet.
#[derive(Debug)]
pub struct BackgroundWriter {
    full: Option<SyncSender<(IoBuffer, usize)>>,
    written: Receiver<Written>,
    waker: Arc<Waker>,
    waiting: usize,
    spare: Vec<IoBuffer>,
    interrupt: OwnedFd,
    limit: Deadline,
}

/// What the thread reports.
enum Written {
    Buffer(IoBuffer),
    Failed(io::Error),
    /// The output was dropped; nothing more will be written.
    End,
}

impl BackgroundWriter {
    /// Starts the thread. Every wait for it ends when `interrupt` becomes readable, or after `span`.
    ///
    /// # Errors
    ///
    /// If no thread or descriptor is left.
    pub fn start(out: impl Write + Send + 'static, interrupt: OwnedFd, span: Duration) -> io::Result<Self> {
        let (full, buffers) = mpsc::sync_channel(WAITING_MAX);
        // Room for a report on every buffer, and the last.
        let (report, written) = mpsc::sync_channel(WAITING_MAX + 2);
        let waker = Arc::new(Waker::new()?);
        let alarm = Arc::clone(&waker);
        let run = move || write_all(out, &buffers, &report, &alarm);
        thread::Builder::new().name("output".into()).spawn(run)?;
        let limit = Deadline::after(span);
        Ok(Self { full: Some(full), written, waker, waiting: 0, spare: Vec::new(), interrupt, limit })
    }

    /// Whether another buffer may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < WAITING_MAX
    }

    /// Returns a buffer to fill.
    pub(crate) fn buffer(&mut self) -> IoBuffer {
        self.spare.pop().unwrap_or_else(|| IoBuffer::zeroed(BUFFER))
    }

    /// Returns a buffer that was not needed.
    pub(crate) fn give_back(&mut self, buffer: IoBuffer) {
        self.spare.push(buffer);
    }

    /// Has the first `len` bytes of a buffer written. There must be room.
    pub(crate) fn push(&mut self, buffer: IoBuffer, len: usize) {
        self.waiting += 1;
        // The thread ends only when this is dropped, and there is room in the channel.
        let _ = self.full.as_ref().map(|full| full.send((buffer, len)));
    }

    /// Takes what the thread has reported. Called when the descriptor is readable.
    ///
    /// # Errors
    ///
    /// The first that a write has failed with.
    pub(crate) fn collect(&mut self) -> io::Result<bool> {
        self.waker.reset()?;
        while let Ok(written) = self.written.try_recv() {
            match written {
                Written::Buffer(buffer) => {
                    self.waiting -= 1;
                    self.spare.push(buffer);
                }
                Written::Failed(error) => return Err(error),
                Written::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Writes bytes and waits until they are written.
    ///
    /// # Errors
    ///
    /// As write(2); `Interrupted` if the wait was ended.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(BUFFER) {
            let mut buffer = self.buffer();
            buffer[..piece.len()].copy_from_slice(piece);
            self.push(buffer, piece.len());
            while self.waiting != 0 {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Waits until everything is written and the output is dropped.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> io::Result<()> {
        self.full = None;
        while !self.wait()? {}
        Ok(())
    }

    /// Waits a moment until everything is written, whatever interrupts.
    pub(crate) fn finish_soon(mut self) {
        self.full = None;
        let deadline = Deadline::after(SOON);
        while !deadline.is_over() {
            match ready([(self.waker.as_fd(), Interest::Read)], deadline.left()) {
                Ok([report]) if report.readable && matches!(self.collect(), Ok(false)) => {}
                _ => return,
            }
        }
    }

    /// Waits for a report; whether it is the last is returned.
    fn wait(&mut self) -> io::Result<bool> {
        let watched = [self.waker.as_fd(), self.interrupt.as_fd()].map(|fd| (fd, Interest::Read));
        let [report, interrupt] = ready(watched, self.limit.left())?;
        if report.readable {
            self.collect()
        } else if interrupt.readable || self.limit.is_over() {
            Err(io::ErrorKind::Interrupted.into())
        } else {
            Ok(false)
        }
    }
}

impl AsFd for BackgroundWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// Writes until nobody pushes any more. Who does not want to hear of it has ended.
fn write_all(
    mut out: impl Write,
    buffers: &Receiver<(IoBuffer, usize)>,
    report: &SyncSender<Written>,
    alarm: &Waker,
) {
    let tell = |written| report.send(written).is_ok() && alarm.wake().is_ok();
    while let Ok((buffer, len)) = buffers.recv() {
        let written = out.write_all(&buffer[..len]).and_then(|()| out.flush());
        let failed = written.is_err();
        if !tell(written.map_or_else(Written::Failed, |()| Written::Buffer(buffer))) || failed {
            return;
        }
    }
    drop(out);
    tell(Written::End);
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn interrupt() -> (UnixStream, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, theirs.into())
    }

    #[test]
    fn everything_is_written_in_order() {
        let (_quiet, interrupt) = interrupt();
        let (out, mut reader) = UnixStream::pair().unwrap();
        let mut writer = BackgroundWriter::start(out, interrupt, Duration::MAX).unwrap();
        let sent: Vec<u8> = (0..=255).cycle().take(5 * BUFFER + 7).collect();
        let expected = sent.clone();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all == expected)
        });
        writer.write(&sent).unwrap();
        writer.finish().unwrap();
        assert!(reading.join().unwrap().unwrap());
    }

    #[test]
    fn an_output_that_takes_nothing_holds_up_neither_an_interrupt_nor_the_end_of_the_time() {
        let bytes = vec![0; 16 * BUFFER];
        let (signal, interrupted) = interrupt();
        let (out, _unread) = UnixStream::pair().unwrap();
        let mut writer = BackgroundWriter::start(out, interrupted, Duration::MAX).unwrap();
        (&signal).write_all(b"x").unwrap();
        assert_eq!(writer.write(&bytes).unwrap_err().kind(), io::ErrorKind::Interrupted);

        let (_quiet, interrupt) = interrupt();
        let (out, _unread) = UnixStream::pair().unwrap();
        let mut writer = BackgroundWriter::start(out, interrupt, Duration::from_millis(1)).unwrap();
        assert_eq!(writer.write(&bytes).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_closed_output_is_told() {
        let (_quiet, interrupt) = interrupt();
        let (out, unread) = UnixStream::pair().unwrap();
        drop(unread);
        let mut writer = BackgroundWriter::start(out, interrupt, Duration::MAX).unwrap();
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
