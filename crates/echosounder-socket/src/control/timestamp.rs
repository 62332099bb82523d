//! Arrival times.

use std::time::{Duration, SystemTime};

use crate::control::raw::Fields;

/// The arrival time of a message by the system clock: SCM_TIMESTAMP and SCM_TIMESTAMPNS, socket(7).
///
/// [`Message::timestamp`](crate::Message::timestamp) returns the time alone.
///
/// ```
/// use echosounder_socket::{ControlMessage, ControlSpace, MessageFlags, TimestampResolution};
/// use echosounder_socket::{ServerOptions, create_server, option};
/// use std::io::IoSliceMut;
///
/// let socket = create_server("udp://127.0.0.1:0", ServerOptions::default())?;
/// socket.set_option(option::SO_TIMESTAMPNS, true)?;
/// socket.send_to(b"ahoy", socket.local_addr()?)?;
///
/// let mut buffer = [0; 64];
/// let space = ControlSpace::TIMESTAMP;
/// let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
/// let Some(ControlMessage::Timestamp(arrival)) = message.control.first() else { panic!() };
/// assert_eq!(arrival.resolution(), TimestampResolution::Nanos);
/// assert_eq!(message.timestamp(), Some(arrival.system_time()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    since_epoch: Duration,
    resolution: TimestampResolution,
}

/// The resolution of a [`Timestamp`], which depends on the socket option that enabled it.
///
/// See [`Timestamp`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimestampResolution {
    /// Microseconds: [`SO_TIMESTAMP`](crate::option::SO_TIMESTAMP).
    Micros,
    /// Nanoseconds: [`SO_TIMESTAMPNS`](crate::option::SO_TIMESTAMPNS).
    Nanos,
}

impl Timestamp {
    /// Returns the time since the Unix epoch (UTC).
    pub fn since_epoch(self) -> Duration {
        self.since_epoch
    }

    /// Returns the resolution, which shows the option that enabled the timestamp.
    pub fn resolution(self) -> TimestampResolution {
        self.resolution
    }

    /// Returns the time as std's type.
    pub fn system_time(self) -> SystemTime {
        system_time(self.since_epoch)
    }

    /// Decodes a `struct timeval`.
    pub(crate) fn micros(data: &[u8]) -> Option<Self> {
        let fields = Fields(data);
        fields.exactly::<16>()?;
        let since_epoch = since_1970(fields.i64(0)?, fields.i64(8)?.checked_mul(1000)?)?;
        Some(Self { since_epoch, resolution: TimestampResolution::Micros })
    }

    /// Decodes a `struct timespec`.
    pub(crate) fn nanos(data: &[u8]) -> Option<Self> {
        let fields = Fields(data);
        fields.exactly::<16>()?;
        Some(Self { since_epoch: timespec(fields, 0)?, resolution: TimestampResolution::Nanos })
    }

    pub(crate) fn data(self) -> [u8; 16] {
        let part = match self.resolution {
            TimestampResolution::Micros => self.since_epoch.subsec_micros(),
            TimestampResolution::Nanos => self.since_epoch.subsec_nanos(),
        };
        seconds_and_part(self.since_epoch, part)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.system_time()
    }
}

/// Returns a time since the Unix epoch as std's type.
pub(crate) fn system_time(since_epoch: Duration) -> SystemTime {
    // Decoded seconds fit std's representation, the `time_t` that they come from.
    SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Decodes the three times of SCM_TIMESTAMPING: software, unused, hardware. Zero means that there is
/// none.
pub(crate) fn decode_timestamping(data: &[u8]) -> Option<(Option<Duration>, Option<Duration>)> {
    let fields = Fields(data);
    fields.exactly::<48>()?;
    let nonzero = |time: Duration| Some(time).filter(|time| !time.is_zero());
    let unused = fields.bytes::<16>(16)?;
    (unused == [0; 16]).then_some(())?;
    Some((nonzero(timespec(fields, 0)?), nonzero(timespec(fields, 32)?)))
}

pub(crate) fn encode_timestamping(software: Option<Duration>, hardware: Option<Duration>) -> [u8; 48] {
    let mut data = [0; 48];
    for (at, time) in [(0, software), (32, hardware)] {
        let time = time.unwrap_or_default();
        data[at..at + 16].copy_from_slice(&seconds_and_part(time, time.subsec_nanos()));
    }
    data
}

/// Encodes a `struct timeval` or a `struct timespec`.
fn seconds_and_part(time: Duration, part: u32) -> [u8; 16] {
    let mut data = [0; 16];
    data[..8].copy_from_slice(&time.as_secs().to_ne_bytes());
    data[8..].copy_from_slice(&u64::from(part).to_ne_bytes());
    data
}

/// Reads a `struct timespec` since the Unix epoch.
fn timespec(fields: Fields<'_>, at: usize) -> Option<Duration> {
    since_1970(fields.i64(at)?, fields.i64(at + 8)?)
}

const _: () = assert!(size_of::<libc::timespec>() == 16 && size_of::<libc::timeval>() == 16);

/// Returns a time since the Unix epoch, or `None` for an invalid or earlier one.
fn since_1970(seconds: i64, nanos: i64) -> Option<Duration> {
    let nanos = u32::try_from(nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}
