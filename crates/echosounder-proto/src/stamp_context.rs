//! The values that the prefix of a reply can show.

use core::fmt;

use crate::header_fields::HeaderFields;
use crate::time::{LocalTime, WallTime};

/// The values that a prefix can show.
#[derive(Clone, Copy)]
pub struct StampContext<'a> {
    /// The time of day, for `{ctime}`, `{rfc3339}` and `{unix}`.
    pub local_time: &'a LocalTime,
    /// When the message arrived.
    pub rx: WallTime,
    /// When its reply is sent.
    pub tx: WallTime,
    /// The address of the client.
    pub peer: &'a dyn fmt::Display,
    /// The address that the client used.
    pub local: &'a dyn fmt::Display,
    /// This machine's name.
    pub host: &'a str,
    /// How many messages have been replied to on this connection or socket.
    pub seq: u64,
    /// The prefix, if it was rendered before:
    /// [`Template::render_per_second`](crate::Template::render_per_second).
    pub stamp: Option<&'a [u8]>,
    /// The header fields of the datagram, if they are known.
    pub header: Option<HeaderFields>,
}

impl<'a> StampContext<'a> {
    /// Returns a context without addresses, in which all happens at the time of `local_time`.
    pub fn anonymous(local_time: &'a LocalTime) -> Self {
        Self {
            local_time,
            rx: local_time.wall,
            tx: local_time.wall,
            peer: &"",
            local: &"",
            host: "",
            seq: 0,
            stamp: None,
            header: None,
        }
    }
}
