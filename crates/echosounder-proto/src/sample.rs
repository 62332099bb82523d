//! The measured times of one request.

use core::time::Duration;

use crate::probe_format::Seen;
use crate::time::{Moment, MonoTime};
use crate::timestamp::Timestamp;

/// When something happened: as the program saw it, and as the kernel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Right before the send, or right after the receive.
    pub program: Moment,
    /// When the packet was sent or arrived, if the kernel reported that.
    pub kernel: Option<Moment>,
}

impl Times {
    /// Creates times that only the program saw.
    pub fn of(program: Moment) -> Self {
        Self { program, kernel: None }
    }

    /// Returns the known time that is nearest to the wire.
    pub fn best(&self) -> Moment {
        self.kernel.unwrap_or(self.program)
    }

    /// Returns the difference between the kernel's and the program's time.
    pub fn difference(&self) -> Option<Duration> {
        self.kernel.map(|kernel| kernel.mono.max(self.program.mono) - kernel.mono.min(self.program.mono))
    }
}

/// A request that was replied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The number of the request; the first is 1.
    pub number: u64,
    /// When the request was to be sent.
    pub due: MonoTime,
    /// When it was sent.
    pub sent: Times,
    /// When it entered the queue of this host's network interface, if the kernel reported that.
    pub queued: Option<Moment>,
    /// When the last byte of its reply arrived.
    pub received: Times,
    /// The timestamp that the reply began with.
    pub timestamp: Option<Timestamp>,
    /// The peer's report beside the timestamp.
    pub seen: Seen,
    /// Whether the reply to a later request arrived before: RFC 4737 §3.
    pub reordered: bool,
}

impl Sample {
    /// Returns the round-trip time. It begins with the send, so that the time in this host's queues
    /// counts, and ends when the reply arrived, by the kernel's time if it is known.
    pub fn rtt(&self) -> Duration {
        self.received.best().mono - self.sent.program.mono
    }

    /// Returns the time from when the request left this host until its reply arrived, both by the
    /// kernel: the round-trip time without the time in this host's queues.
    pub fn wire(&self) -> Option<Duration> {
        span(self.sent.kernel?, self.received.kernel?)
    }

    /// Returns how long the request waited in the queue of this host's network interface, if the
    /// kernel reported that.
    pub fn queue(&self) -> Option<Duration> {
        span(self.queued?, self.sent.kernel?)
    }

    /// Returns how long after it was due the request was sent.
    pub fn send_delay(&self) -> Duration {
        self.sent.program.mono - self.due
    }

    /// Returns how long the server held the request, or `None` if its timestamp does not show that,
    /// or shows more than the round-trip time.
    pub fn residence(&self) -> Option<Duration> {
        match self.timestamp? {
            Timestamp::Ns { rx, tx } => {
                let nanos = tx.as_nanos().checked_sub(rx.as_nanos())?;
                Some(Duration::from_nanos(nanos)).filter(|residence| *residence <= self.rtt())
            }
            _ => None,
        }
    }
}

/// Returns the time between two moments; `None` if they are not in this order, because the clock
/// was set in between.
fn span(start: Moment, end: Moment) -> Option<Duration> {
    (start.mono <= end.mono).then(|| end.mono - start.mono)
}
