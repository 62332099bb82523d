//! A writer on a thread of its own, so that an output that accepts nothing holds up neither the
//! peer nor a signal.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use echosounder_socket::{Interest, IoBuffer, Waker, ready};

use crate::clock::Deadline;
use crate::wait_limit::WaitLimit;

/// The size of a buffer in bytes.
const BUFFER_LEN: usize = 64 * 1024;

/// How long a write may still take after the operation was to end.
const SOON: Duration = Duration::from_millis(200);

/// How long each further buffer of a message may take after the limit has ended the write, so that
/// a line of JSON is complete.
const MESSAGE_END: Duration = Duration::from_millis(500);

/// How many buffers may wait to be written.
const PENDING_MAX: usize = 2;

/// A thread that writes buffers to an output, at most two of 64 KiB at a time.
///
/// Its descriptor is readable when the thread has reported something.
#[derive(Debug)]
pub struct BackgroundWriter {
    full: Option<SyncSender<(IoBuffer, usize)>>,
    reports: Receiver<Report>,
    waker: Arc<Waker>,
    /// Buffers that were pushed and are not written yet.
    pending: usize,
    spare: Vec<IoBuffer>,
    limit: WaitLimit,
}

/// A report of the thread.
enum Report {
    /// The buffer was written.
    Written(IoBuffer),
    /// A write has failed; nothing more will be written.
    Failed(io::Error),
    /// The output was closed; nothing more will be written.
    End,
}

impl BackgroundWriter {
    /// Starts the thread. Every wait for it ends with `limit`.
    ///
    /// # Errors
    ///
    /// If no thread or descriptor is left.
    pub fn start(out: impl Write + Send + 'static, limit: WaitLimit) -> io::Result<Self> {
        let (full, buffers) = mpsc::sync_channel(PENDING_MAX);
        // The channel holds a report on every buffer and the last report, so that the thread never
        // waits to report.
        let (sender, reports) = mpsc::sync_channel(PENDING_MAX + 2);
        let waker = Arc::new(Waker::new()?);
        let alarm = Arc::clone(&waker);
        let run = move || write_all(out, &buffers, &sender, &alarm);
        thread::Builder::new().name("output".into()).spawn(run)?;
        Ok(Self { full: Some(full), reports, waker, pending: 0, spare: Vec::new(), limit })
    }

    /// Returns whether another buffer may be pushed.
    pub(crate) fn has_capacity(&self) -> bool {
        self.pending < PENDING_MAX
    }

    /// Returns a buffer to fill.
    pub(crate) fn buffer(&mut self) -> IoBuffer {
        self.spare.pop().unwrap_or_else(|| IoBuffer::zeroed(BUFFER_LEN))
    }

    /// Takes a buffer back that was not filled.
    pub(crate) fn give_back(&mut self, buffer: IoBuffer) {
        self.spare.push(buffer);
    }

    /// Passes the first `len` bytes of a buffer to the thread. There must be
    /// [capacity](Self::has_capacity).
    pub(crate) fn push(&mut self, buffer: IoBuffer, len: usize) {
        self.pending += 1;
        // It fails only after a failed write, whose error is the next report.
        let _ = self.full.as_ref().map(|full| full.send((buffer, len)));
    }

    /// Handles the reports of the thread, without a wait. Returns whether the output was closed.
    ///
    /// # Errors
    ///
    /// The error of the first write that has failed.
    pub(crate) fn collect(&mut self) -> io::Result<bool> {
        self.waker.reset()?;
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Written(buffer) => {
                    self.pending -= 1;
                    self.spare.push(buffer);
                }
                Report::Failed(error) => return Err(error),
                Report::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Writes a message and waits until it is written. If the limit ends the wait, the rest of the
    /// message is still written as long as the output accepts 64 KiB within 500 ms.
    ///
    /// # Errors
    ///
    /// As write(2); `Interrupted` if the limit has ended the wait.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        for chunk in bytes.chunks(BUFFER_LEN) {
            let mut buffer = self.buffer();
            buffer[..chunk.len()].copy_from_slice(chunk);
            self.push(buffer, chunk.len());
            while self.pending != 0 {
                match self.wait() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        self.await_buffer()?;
                        result = Err(error);
                    }
                    waited => drop(waited?),
                }
            }
        }
        result
    }

    /// Waits for a buffer to be written although the limit has ended the wait.
    fn await_buffer(&mut self) -> io::Result<()> {
        let deadline = self.limit.after(MESSAGE_END);
        while self.pending != 0 {
            let left = deadline.left(self.limit.now());
            match ready([(self.waker.as_fd(), Interest::READ)], left) {
                Ok([report]) if report.can_read() => drop(self.collect()?),
                _ => return Err(io::ErrorKind::Interrupted.into()),
            }
        }
        Ok(())
    }

    /// Waits until everything is written and the output is closed.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> io::Result<()> {
        self.full = None;
        while !self.wait()? {}
        Ok(())
    }

    /// Waits at most 200 ms until everything is written, although the operation is to end.
    pub(crate) fn finish_soon(mut self) {
        self.full = None;
        let deadline = self.limit.after(SOON);
        loop {
            let left = deadline.left(self.limit.now());
            match ready([(self.waker.as_fd(), Interest::READ)], left) {
                Ok([report]) if report.can_read() && matches!(self.collect(), Ok(false)) => {}
                _ => return,
            }
        }
    }

    /// Waits for a report. Returns whether the output was closed.
    fn wait(&mut self) -> io::Result<bool> {
        let watched = [(self.waker.as_fd(), Interest::READ)];
        match self.limit.wait(watched, Deadline::NEVER)? {
            Some([report]) if report.can_read() => self.collect(),
            Some(_) => Ok(false),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

impl AsFd for BackgroundWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// Writes buffers until the channel is closed, a write fails, or the receiver of the reports is
/// gone.
fn write_all(
    mut out: impl Write,
    buffers: &Receiver<(IoBuffer, usize)>,
    reports: &SyncSender<Report>,
    alarm: &Waker,
) {
    let send = |report| reports.send(report).is_ok() && alarm.wake().is_ok();
    while let Ok((buffer, len)) = buffers.recv() {
        let written = out.write_all(&buffer[..len]).and_then(|()| out.flush());
        let is_failed = written.is_err();
        if !send(written.map_or_else(Report::Failed, |()| Report::Written(buffer))) || is_failed {
            return;
        }
    }
    drop(out);
    send(Report::End);
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use echosounder_socket::StopToken;

    use super::*;

    fn limit(time: Duration) -> WaitLimit {
        WaitLimit::new(StopToken::new().unwrap(), time)
    }

    #[test]
    fn all_bytes_are_written_in_order() {
        let (out, mut reader) = UnixStream::pair().unwrap();
        let mut writer = BackgroundWriter::start(out, limit(Duration::MAX)).unwrap();
        let sent: Vec<u8> = (0..=255).cycle().take(5 * BUFFER_LEN + 7).collect();
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
    fn stop_and_time_limit_end_a_write_that_nobody_reads() {
        let bytes = vec![0; 16 * BUFFER_LEN];
        let stop = StopToken::new().unwrap();
        let (out, _unread) = UnixStream::pair().unwrap();
        let limited = WaitLimit::new(stop.clone(), Duration::MAX);
        let mut writer = BackgroundWriter::start(out, limited).unwrap();
        stop.stop();
        assert_eq!(writer.write(&bytes).unwrap_err().kind(), io::ErrorKind::Interrupted);

        let (out, _unread) = UnixStream::pair().unwrap();
        let mut writer = BackgroundWriter::start(out, limit(Duration::from_millis(1))).unwrap();
        assert_eq!(writer.write(&bytes).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn message_is_complete_although_the_limit_has_ended() {
        let stop = StopToken::new().unwrap();
        let (out, mut reader) = UnixStream::pair().unwrap();
        let mut writer = BackgroundWriter::start(out, WaitLimit::new(stop.clone(), Duration::MAX)).unwrap();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all.len())
        });
        stop.stop();
        let len = 16 * BUFFER_LEN + 1;
        assert_eq!(writer.write(&vec![0; len]).unwrap_err().kind(), io::ErrorKind::Interrupted);
        drop(writer);
        assert_eq!(reading.join().unwrap().unwrap(), len);
    }

    #[test]
    fn write_to_a_closed_output_fails() {
        let (out, unread) = UnixStream::pair().unwrap();
        drop(unread);
        let mut writer = BackgroundWriter::start(out, limit(Duration::MAX)).unwrap();
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
